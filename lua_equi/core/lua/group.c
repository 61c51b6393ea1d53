/* group.c (core/lua) -- groups as Lua values, and the questions one asks them.
 *
 * NOT here: their elements (element.c), how they are made (group_make.c) and act (action.c). */
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
               eq_lua_kind(L, i));
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
    return luaL_error(L, "%s: %s must be a list, got %s", who, name, eq_lua_kind(L, i));
  return (int)luaL_len(L, i);
}

static int gc(lua_State *L) {
  eq_group **box = luaL_checkudata(L, 1, EQ_GROUP);
  eq_group_release(*box);
  *box = NULL;
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
  const eq_group *h = eq_lua_element_group(L, 2, &a, "group:contains");
  lua_pushboolean(L, eq_lua_carry(h, a, g) >= 0);
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
    for (int i = 0; i < g->order; i++) inside = inside && eq_lua_carry(g, i, h) >= 0;
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
  const char *key = lua_tostring(L, 2);
  static const char *const absent[] = {"degree", "parent", "factors"}; /* only some groups' */
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
    if (!strcmp(key, absent[i])) return 1;
  return eq_lua_no_field(L, "group", lua_upvalueindex(1), key);
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

int eq_lua_group(lua_State *L) {
  eq_lua_element(L);
  lua_newtable(L); /* the constructors; product serves as the metamethod of * */
  eq_lua_group_constructors(L);
  if (luaL_newmetatable(L, EQ_GROUP)) {
    const luaL_Reg meta[] = {{"__len", group_len},
                             {"__eq", group_eq},
                             {"__call", element}, /* g "r" */
                             {"__gc", gc},
                             {"__close", gc},
                             {"__newindex", eq_lua_immutable},
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
