/* group.c (core/lua) -- groups and their elements as Lua values.
 *
 * Elements are compared by group and number, and each group hands out one userdata per element.
 * NOT here: how groups are made (group_make.c), how they act (action.c). */
#include "symmetry.h"
#include <string.h>

/* ---- boxes ---- */

eq_group *eq_lua_togroup(lua_State *L, int i) {
  eq_group **box = luaL_testudata(L, i, EQ_GROUP);
  return box ? *box : NULL;
}

eq_group *eq_lua_checkgroup(lua_State *L, int i, const char *who, const char *name) {
  eq_group *g = eq_lua_togroup(L, i);
  if (!g)
    luaL_error(L, "%s: %s must be a group, got %s; equi.group.cyclic(4) is one", who, name,
               luaL_typename(L, i));
  return g;
}

eq_group **eq_lua_newgroup(lua_State *L) {
  eq_group **box = lua_newuserdatauv(L, sizeof *box, 2);
  *box = NULL;
  luaL_setmetatable(L, EQ_GROUP);
  lua_newtable(L);
  lua_setiuservalue(L, -2, EQ_UV_ELEMENTS);
  return box;
}

void *eq_lua_scratch(lua_State *L, size_t bytes) { return lua_newuserdatauv(L, bytes + 1, 0); }

int eq_lua_list(lua_State *L, int i, const char *who, const char *name) {
  if (!lua_istable(L, i))
    return luaL_error(L, "%s: %s must be a list, got %s", who, name, luaL_typename(L, i));
  return (int)luaL_len(L, i);
}

void eq_lua_pushelement(lua_State *L, int group, int a) {
  group = lua_absindex(L, group);
  lua_getiuservalue(L, group, EQ_UV_ELEMENTS);
  if (lua_rawgeti(L, -1, a + 1) == LUA_TNIL) {
    lua_pop(L, 1);
    int *box = lua_newuserdatauv(L, sizeof *box, 1);
    *box = a;
    lua_pushvalue(L, group);
    lua_setiuservalue(L, -2, 1);
    luaL_setmetatable(L, EQ_ELEMENT);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, a + 1);
  }
  lua_remove(L, -2);
}

static int gc(lua_State *L) {
  eq_group **box = luaL_checkudata(L, 1, EQ_GROUP);
  eq_group_release(*box);
  *box = NULL;
  return 0;
}

/* ---- elements from what users write ---- */

/* The group of the element at place i, pushed; its number in *a. */
static eq_group *element_group(lua_State *L, int i, int *a, const char *who) {
  int *box = luaL_testudata(L, i, EQ_ELEMENT);
  if (!box) luaL_error(L, "%s: expected an element of a group, got %s", who, luaL_typename(L, i));
  lua_getiuservalue(L, i, 1);
  *a = *box;
  return eq_lua_checkgroup(L, -1, who, "the element's group");
}

/* Through the embedding of a subgroup, down or up; -1 when the groups are strangers, -2 when the
 * element lies outside the subgroup. */
static int carry(const eq_group *from, int a, const eq_group *to) {
  if (eq_group_same(from, to)) return a;
  for (const eq_group *up = from; up->parent; up = up->parent) {
    a = up->embed[a];
    if (eq_group_same(up->parent, to)) return a;
  }
  if (!to->parent) return -1;
  int b = carry(from, a, to->parent);
  if (b < 0) return b;
  for (int i = 0; i < to->order; i++)
    if (to->embed[i] == b) return i;
  return -2;
}

static int from_parts(lua_State *L, int i, int group, const char *who) {
  const eq_group *g = eq_lua_togroup(L, group);
  if (!g->nfactor)
    return luaL_error(L, "%s: %s is no direct product, so its elements have no parts", who,
                      g->title);
  int n = (int)luaL_len(L, i), y = 0;
  if (n != g->nfactor)
    return luaL_error(L, "%s: %d parts given; %s has %d factors", who, n, g->title, g->nfactor);
  lua_getiuservalue(L, group, EQ_UV_KIN);
  int kin = lua_gettop(L);
  for (int k = 0; k < n; k++) {
    lua_geti(L, i, k + 1);
    lua_rawgeti(L, kin, k + 1);
    y = y * g->factor[k]->order + eq_lua_checkelement(L, -2, lua_gettop(L), who);
    lua_pop(L, 2);
  }
  lua_pop(L, 1);
  return y;
}

static int from_element(lua_State *L, int i, const eq_group *g, const char *who) {
  int a;
  const eq_group *h = element_group(L, i, &a, who);
  int b = carry(h, a, g);
  if (b == -1)
    luaL_error(L, "%s: %s is in %s, not in %s", who, eq_group_name_of(h, a), h->title, g->title);
  if (b == -2) luaL_error(L, "%s: %s does not lie in %s", who, eq_group_name_of(h, a), g->title);
  lua_pop(L, 1);
  return b;
}

int eq_lua_checkelement(lua_State *L, int i, int group, const char *who) {
  i = lua_absindex(L, i);
  group = lua_absindex(L, group);
  const eq_group *g = eq_lua_checkgroup(L, group, who, "the group");
  int whole;
  switch (lua_type(L, i)) {
  case LUA_TUSERDATA: return from_element(L, i, g, who);
  case LUA_TTABLE: return from_parts(L, i, group, who);
  case LUA_TSTRING: {
    int a = eq_group_find(g, lua_tostring(L, i));
    if (a < 0) {
      luaL_tolstring(L, group, NULL);
      luaL_error(L, "%s: no element \"%s\" in %s", who, lua_tostring(L, i), lua_tostring(L, -1));
    }
    return a;
  }
  case LUA_TNUMBER: {
    lua_Integer k = lua_tointegerx(L, i, &whole);
    if (!whole || k < 1 || k > g->order)
      luaL_error(L, "%s: no element number %s; %s has elements 1 to %d", who,
                 luaL_tolstring(L, i, NULL), g->title, g->order);
    return (int)k - 1;
  }
  default:
    return luaL_error(L, "%s: expected an element of %s, its name or its number, got %s", who,
                      g->title, luaL_typename(L, i));
  }
}

static int element_mul(lua_State *L) {
  int a, b;
  const eq_group *g = element_group(L, 1, &a, "element"), *h = element_group(L, 2, &b, "element");
  if (g != h && !eq_group_same(g, h))
    return luaL_error(L, "element: %s is in %s and %s in %s; only elements of one group multiply",
                      eq_group_name_of(g, a), g->title, eq_group_name_of(h, b), h->title);
  eq_lua_pushelement(L, -2, eq_group_mul(g, a, b));
  return 1;
}

static int element_pow(lua_State *L) {
  int a;
  const eq_group *g = element_group(L, 1, &a, "element");
  int64_t n = eq_lua_checkint(L, 2, "element", "the exponent");
  eq_lua_pushelement(L, -1, eq_group_pow(g, a, n));
  return 1;
}

static int element_eq(lua_State *L) {
  if (!luaL_testudata(L, 1, EQ_ELEMENT) || !luaL_testudata(L, 2, EQ_ELEMENT)) return 0;
  int a, b;
  const eq_group *g = element_group(L, 1, &a, "element"), *h = element_group(L, 2, &b, "element");
  lua_pushboolean(L, a == b && eq_group_same(g, h));
  return 1;
}

static int element_tostring(lua_State *L) {
  int a;
  const eq_group *g = element_group(L, 1, &a, "element");
  lua_pushstring(L, eq_group_name_of(g, a));
  return 1;
}

static void push_matrix(lua_State *L, const double *m, int n) {
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lua_createtable(L, n, 0);
    for (int j = 0; j < n; j++) {
      lua_pushnumber(L, m[i * n + j]);
      lua_rawseti(L, -2, j + 1);
    }
    lua_rawseti(L, -2, i + 1);
  }
}

static int element_parts(lua_State *L, int group, int a) {
  const eq_group *g = eq_lua_togroup(L, group);
  lua_createtable(L, g->nfactor, 0);
  lua_getiuservalue(L, group, EQ_UV_KIN);
  for (int k = 0; k < g->nfactor; k++) {
    lua_rawgeti(L, -1, k + 1);
    eq_lua_pushelement(L, -1, eq_group_part(g, a, k));
    lua_rawseti(L, -4, k + 1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return 1;
}

static int element_index(lua_State *L) {
  int a;
  const eq_group *g = element_group(L, 1, &a, "element");
  int group = lua_gettop(L);
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  if (!strcmp(key, "index")) return lua_pushinteger(L, a + 1), 1;
  if (!strcmp(key, "order")) return lua_pushinteger(L, g->period[a]), 1;
  if (!strcmp(key, "group")) return lua_pushvalue(L, group), 1;
  if (!strcmp(key, "name")) return lua_pushstring(L, eq_group_name_of(g, a)), 1;
  if (!strcmp(key, "inverse")) return eq_lua_pushelement(L, group, g->inv[a]), 1;
  if (!strcmp(key, "parts") && g->nfactor) return element_parts(L, group, a);
  if (!strcmp(key, "matrix") && g->dim)
    return push_matrix(L, g->matrix + (size_t)a * (size_t)(g->dim * g->dim), g->dim), 1;
  if (!strcmp(key, "permutation") && g->degree) {
    lua_createtable(L, g->degree, 0);
    for (int i = 0; i < g->degree; i++) {
      lua_pushinteger(L, g->perm[(size_t)a * (size_t)g->degree + (size_t)i] + 1);
      lua_rawseti(L, -2, i + 1);
    }
    return 1;
  }
  return 0;
}

/* ---- questions to a group ---- */

static eq_group *self(lua_State *L, const char *who) {
  return eq_lua_checkgroup(L, 1, who, "self");
}

static int push_elements(lua_State *L, int n, const uint16_t *list) {
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    eq_lua_pushelement(L, 1, list ? list[i] : i);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int elements(lua_State *L) {
  eq_group *g = self(L, "group:elements");
  return push_elements(L, g->order, NULL);
}

static int next_element(lua_State *L) {
  lua_Integer i = lua_tointeger(L, lua_upvalueindex(2));
  lua_pushvalue(L, lua_upvalueindex(1));
  eq_group *g = eq_lua_togroup(L, -1);
  if (!g || i >= g->order) return 0;
  lua_pushinteger(L, i + 1);
  lua_replace(L, lua_upvalueindex(2));
  eq_lua_pushelement(L, -1, (int)i);
  return 1;
}

static int iter(lua_State *L) {
  self(L, "group:iter");
  lua_pushvalue(L, 1);
  lua_pushinteger(L, 0);
  lua_pushcclosure(L, next_element, 2);
  return 1;
}

static int element(lua_State *L) {
  self(L, "group:element");
  luaL_checkany(L, 2);
  eq_lua_pushelement(L, 1, eq_lua_checkelement(L, 2, 1, "group:element"));
  return 1;
}

static int contains(lua_State *L) {
  eq_group *g = self(L, "group:contains");
  int a;
  const eq_group *h = element_group(L, 2, &a, "group:contains");
  lua_pushboolean(L, carry(h, a, g) >= 0);
  return 1;
}

/* Pushes the subgroup that n elements generate; the parent is kept by a user value. */
static void push_subgroup(lua_State *L, const char *who, int n, const int *element_list) {
  eq_group *g = self(L, who), **box = eq_lua_newgroup(L);
  EQ_LUA_MAKE(L, who, *box, eq_group_subgroup(g, n, element_list));
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, EQ_UV_KIN);
}

static int subgroup(lua_State *L) {
  static const char who[] = "group:subgroup";
  self(L, who);
  int n = eq_lua_list(L, 2, who, "the list of generators");
  int *list = eq_lua_scratch(L, (size_t)n * sizeof *list);
  for (int i = 0; i < n; i++) {
    lua_geti(L, 2, i + 1);
    list[i] = eq_lua_checkelement(L, -1, 1, who);
    lua_pop(L, 1);
  }
  push_subgroup(L, who, n, list);
  return 1;
}

static void push_set(lua_State *L, const char *who, const uint8_t *in) {
  int gen[EQ_MAXGEN];
  push_subgroup(L, who, eq_group_generators(self(L, who), in, gen), gen);
}

/* The rows go to memory that Lua frees before anything here can raise. */
static int subgroups(lua_State *L) {
  static const char who[] = "group:subgroups";
  eq_group *g = self(L, who);
  int count = 0;
  uint8_t *found;
  size_t most = (size_t)EQ_LATTICE_COUNT * (size_t)(g->order <= EQ_LATTICE_ORDER ? g->order : 1);
  uint8_t *rows = eq_lua_scratch(L, most);
  EQ_LUA_MAKE(L, who, found, eq_group_lattice(g, &count));
  memcpy(rows, found, (size_t)count * (size_t)g->order);
  eq_free(found, (size_t)count * (size_t)g->order);
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    push_set(L, who, rows + (size_t)i * (size_t)g->order);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int center(lua_State *L) {
  uint8_t in[EQ_GROUP_MAX];
  eq_group_center(self(L, "group:center"), in);
  push_set(L, "group:center", in);
  return 1;
}

/* A list of lists of elements from a label per element. */
static int push_parts(lua_State *L, const eq_group *g, int count, const int *label) {
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    lua_newtable(L);
    lua_rawseti(L, -2, i + 1);
  }
  for (int a = 0; a < g->order; a++) {
    lua_rawgeti(L, -1, label[a] + 1);
    eq_lua_pushelement(L, 1, a);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 1);
  }
  return 1;
}

static int classes(lua_State *L) {
  eq_group *g = self(L, "group:classes");
  int label[EQ_GROUP_MAX];
  return push_parts(L, g, eq_group_classes(g, label), label);
}

static int cosets(lua_State *L) {
  static const char who[] = "group:cosets";
  static const char *const sides[] = {"left", "right", NULL};
  eq_group *g = self(L, who), *h = eq_lua_checkgroup(L, 2, who, "the subgroup");
  int side = luaL_checkoption(L, 3, "left", sides), label[EQ_GROUP_MAX];
  if (!h->parent || !eq_group_same(h->parent, g))
    return luaL_error(L, "%s: %s is no subgroup of %s; %s:subgroup{...} makes one", who, h->title,
                      g->title, "the group");
  uint8_t in[EQ_GROUP_MAX] = {0};
  for (int i = 0; i < h->order; i++) in[h->embed[i]] = 1;
  return push_parts(L, g, eq_group_cosets(g, in, side == 0, label), label);
}

static int is_subgroup(lua_State *L) {
  eq_group *g = self(L, "group:is_subgroup");
  eq_group *h = eq_lua_checkgroup(L, 2, "group:is_subgroup", "the other group");
  bool inside = eq_group_same(g, h);
  for (const eq_group *up = g; up->parent && !inside; up = up->parent)
    inside = eq_group_same(up->parent, h);
  if (!inside && g->parent && h->parent && eq_group_same(g->parent, h->parent)) {
    inside = true;
    for (int i = 0; i < g->order; i++) inside = inside && carry(g, i, h) >= 0;
  }
  lua_pushboolean(L, inside);
  return 1;
}

static int is_homomorphism(lua_State *L) {
  static const char who[] = "group:is_homomorphism";
  eq_group *g = self(L, who), *to = eq_lua_checkgroup(L, 2, who, "the target");
  int *map = eq_lua_scratch(L, (size_t)g->order * sizeof *map);
  bool call = lua_isfunction(L, 3);
  if (!call && eq_lua_list(L, 3, who, "the map") != g->order)
    return luaL_error(L, "%s: the map has %d images; %s has %d elements", who, (int)luaL_len(L, 3),
                      g->title, g->order);
  for (int a = 0; a < g->order; a++) {
    if (call) {
      lua_pushvalue(L, 3);
      eq_lua_pushelement(L, 1, a);
      lua_call(L, 1, 1);
    } else {
      lua_geti(L, 3, a + 1);
    }
    map[a] = eq_lua_checkelement(L, -1, 2, who);
    lua_pop(L, 1);
  }
  int s = eq_group_check_map(g, to, map);
  lua_pushboolean(L, s == EQ_OK);
  if (s == EQ_OK) return 1;
  lua_pushstring(L, eq_error.text);
  return 2;
}

static int cayley_table(lua_State *L) {
  eq_group *g = self(L, "group:table");
  lua_createtable(L, g->order, 0);
  for (int a = 0; a < g->order; a++) {
    lua_createtable(L, g->order, 0);
    for (int b = 0; b < g->order; b++) {
      lua_pushinteger(L, eq_group_mul(g, a, b) + 1);
      lua_rawseti(L, -2, b + 1);
    }
    lua_rawseti(L, -2, a + 1);
  }
  return 1;
}

/* ---- fields and metamethods ---- */

static int field(lua_State *L, eq_group *g, const char *key) {
  if (!strcmp(key, "order")) return lua_pushinteger(L, g->order), 1;
  if (!strcmp(key, "name")) return lua_pushstring(L, g->title), 1;
  if (!strcmp(key, "identity")) return eq_lua_pushelement(L, 1, g->identity), 1;
  if (!strcmp(key, "generators")) return push_elements(L, g->ngen, g->gen);
  if (!strcmp(key, "is_abelian")) return lua_pushboolean(L, g->abelian), 1;
  if (!strcmp(key, "degree") && g->degree) return lua_pushinteger(L, g->degree), 1;
  if (!strcmp(key, "parent") && g->parent) return lua_getiuservalue(L, 1, EQ_UV_KIN), 1;
  if (!strcmp(key, "factors") && g->nfactor) return lua_getiuservalue(L, 1, EQ_UV_KIN), 1;
  return 0;
}

static int group_index(lua_State *L) {
  eq_group *g = self(L, "group");
  if (lua_type(L, 2) == LUA_TNUMBER) {
    lua_Integer i = lua_tointeger(L, 2);
    if (i < 1 || i > g->order) return 0; /* nil ends ipairs */
    eq_lua_pushelement(L, 1, (int)i - 1);
    return 1;
  }
  if (lua_type(L, 2) != LUA_TSTRING) return 0;
  if (field(L, g, lua_tostring(L, 2))) return 1;
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(1));
  return 1;
}

static int group_len(lua_State *L) {
  lua_pushinteger(L, self(L, "group")->order);
  return 1;
}

static int group_eq(lua_State *L) {
  const eq_group *a = eq_lua_togroup(L, 1), *b = eq_lua_togroup(L, 2);
  lua_pushboolean(L, a && b && eq_group_same(a, b));
  return 1;
}

/* cyclic(4), order 4: e r r2 r3; long groups end in three dots */
static int group_tostring(lua_State *L) {
  enum { SHOWN = 24 };
  const eq_group *g = eq_lua_togroup(L, 1);
  if (!g) return lua_pushliteral(L, "a closed group"), 1;
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  lua_pushfstring(L, "%s, order %d:", g->title, g->order);
  luaL_addvalue(&b);
  for (int a = 0; a < g->order && a < SHOWN; a++) {
    luaL_addchar(&b, ' ');
    luaL_addstring(&b, eq_group_name_of(g, a));
  }
  if (g->order > SHOWN) luaL_addstring(&b, " ...");
  luaL_pushresult(&b);
  return 1;
}

static int immutable(lua_State *L) {
  return luaL_error(L, "group: groups and their elements cannot be changed");
}

static const luaL_Reg group_methods[] = {{"elements", elements},
                                         {"iter", iter},
                                         {"element", element},
                                         {"contains", contains},
                                         {"subgroup", subgroup},
                                         {"subgroups", subgroups},
                                         {"center", center},
                                         {"classes", classes},
                                         {"cosets", cosets},
                                         {"table", cayley_table},
                                         {"is_subgroup", is_subgroup},
                                         {"is_homomorphism", is_homomorphism},
                                         {NULL, NULL}};

static const luaL_Reg element_meta[] = {{"__mul", element_mul},
                                        {"__pow", element_pow},
                                        {"__eq", element_eq},
                                        {"__tostring", element_tostring},
                                        {"__index", element_index},
                                        {"__newindex", immutable},
                                        {NULL, NULL}};

int eq_lua_group(lua_State *L) {
  if (luaL_newmetatable(L, EQ_ELEMENT)) luaL_setfuncs(L, element_meta, 0);
  lua_pop(L, 1);
  lua_newtable(L); /* the constructors; product serves as the metamethod of * */
  eq_lua_group_constructors(L);
  if (luaL_newmetatable(L, EQ_GROUP)) {
    const luaL_Reg meta[] = {{"__len", group_len},
                             {"__eq", group_eq},
                             {"__call", element}, /* g "r" */
                             {"__gc", gc},
                             {"__close", gc},
                             {"__newindex", immutable},
                             {"__tostring", group_tostring},
                             {NULL, NULL}};
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, group_methods);
    lua_pushcclosure(L, group_index, 1);
    lua_setfield(L, -2, "__index");
    lua_getfield(L, -2, "product");
    lua_setfield(L, -2, "__mul");
  }
  lua_pop(L, 1);
  lua_setfield(L, -2, "group");
  eq_lua_group_docs(L);
  return 0;
}
