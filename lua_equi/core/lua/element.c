/* element.c -- elements of groups as Lua values, and elements from what users write.
 *
 * A group hands out one userdata per element, kept in its cache, so that an element serves as a
 * key; elements of equal groups made twice are equal by value. */
#include "symmetry.h"
#include <string.h>

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

int eq_lua_immutable(lua_State *L) {
  return luaL_error(L, "group: groups and their elements cannot be changed");
}

/* ---- elements from what users write ---- */

eq_group *eq_lua_element_group(lua_State *L, int i, int *a, const char *who) {
  int *box = luaL_testudata(L, i, EQ_ELEMENT);
  if (!box) luaL_error(L, "%s: expected an element of a group, got %s", who, eq_lua_kind(L, i));
  lua_getiuservalue(L, i, 1);
  *a = *box;
  return eq_lua_checkgroup(L, -1, who, "the element's group");
}

int eq_lua_carry(const eq_group *from, int a, const eq_group *to) {
  if (eq_group_same(from, to)) return a;
  for (const eq_group *up = from; up->parent; up = up->parent) {
    a = up->embed[a];
    if (eq_group_same(up->parent, to)) return a;
  }
  if (!to->parent) return -1;
  int b = eq_lua_carry(from, a, to->parent);
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
  const eq_group *h = eq_lua_element_group(L, i, &a, who);
  int b = eq_lua_carry(h, a, g);
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
                      g->title, eq_lua_kind(L, i));
  }
}

static int element_mul(lua_State *L) {
  int a, b;
  const eq_group *g = eq_lua_element_group(L, 1, &a, "element"),
                 *h = eq_lua_element_group(L, 2, &b, "element");
  if (g != h && !eq_group_same(g, h))
    return luaL_error(L, "element: %s is in %s and %s in %s; only elements of one group multiply",
                      eq_group_name_of(g, a), g->title, eq_group_name_of(h, b), h->title);
  eq_lua_pushelement(L, -2, eq_group_mul(g, a, b));
  return 1;
}

static int element_pow(lua_State *L) {
  int a;
  const eq_group *g = eq_lua_element_group(L, 1, &a, "element");
  int64_t n = eq_lua_checkint(L, 2, "element", "the exponent");
  eq_lua_pushelement(L, -1, eq_group_pow(g, a, n));
  return 1;
}

static int element_eq(lua_State *L) {
  if (!luaL_testudata(L, 1, EQ_ELEMENT) || !luaL_testudata(L, 2, EQ_ELEMENT)) return 0;
  int a, b;
  const eq_group *g = eq_lua_element_group(L, 1, &a, "element"),
                 *h = eq_lua_element_group(L, 2, &b, "element");
  lua_pushboolean(L, a == b && eq_group_same(g, h));
  return 1;
}

static int element_tostring(lua_State *L) {
  int a;
  const eq_group *g = eq_lua_element_group(L, 1, &a, "element");
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
  const eq_group *g = eq_lua_element_group(L, 1, &a, "element");
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

static const luaL_Reg element_meta[] = {{"__mul", element_mul},
                                        {"__pow", element_pow},
                                        {"__eq", element_eq},
                                        {"__tostring", element_tostring},
                                        {"__index", element_index},
                                        {"__newindex", eq_lua_immutable},
                                        {NULL, NULL}};

void eq_lua_element(lua_State *L) {
  if (luaL_newmetatable(L, EQ_ELEMENT)) luaL_setfuncs(L, element_meta, 0);
  lua_pop(L, 1);
}
