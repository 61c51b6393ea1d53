/* action.c (core/lua) -- actions as Lua values: act(g, x), verification, orbits.
 *
 * NOT here: their constructors (action_make.c, vocabulary.c). */
#include "symmetry.h"
#include <string.h>

eq_action *eq_lua_toaction(lua_State *L, int i) {
  eq_action **box = luaL_testudata(L, i, EQ_ACTION);
  return box ? *box : NULL;
}

eq_action *eq_lua_checkaction(lua_State *L, int i, const char *who, const char *name) {
  eq_action *a = eq_lua_toaction(L, i);
  if (!a)
    luaL_error(L, "%s: %s must be an action on one tensor, got %s; equi.action makes them", who,
               name, luaL_testudata(L, i, EQ_ACTION) ? "a tuple of actions" : eq_lua_kind(L, i));
  return a;
}

eq_action **eq_lua_newaction(lua_State *L, int group) {
  group = lua_absindex(L, group);
  eq_action **box = lua_newuserdatauv(L, sizeof *box, 2);
  *box = NULL;
  luaL_setmetatable(L, EQ_ACTION);
  lua_pushvalue(L, group);
  lua_setiuservalue(L, -2, EQ_UV_GROUP);
  return box;
}

static int gc(lua_State *L) {
  eq_action **box = luaL_checkudata(L, 1, EQ_ACTION);
  eq_action_release(*box);
  *box = NULL;
  return 0;
}

/* ---- moving ---- */

static void move(lua_State *L, const eq_action *a, int g, int i) {
  eq_tensor *x = eq_lua_checktensor(L, i, "action", "x"), **box = eq_lua_newbox(L);
  EQ_LUA_MAKE(L, "action", *box, eq_action_apply(a, g, x));
}

/* Calls `each` with action k and tensor k of the tuple at place 1 and the list at place `list`;
 * it leaves one value, and these make the list that is pushed. */
static void over_tuple(lua_State *L, int list, int g,
                       void (*each)(lua_State *, const eq_action *, int, int)) {
  lua_getiuservalue(L, 1, EQ_UV_TUPLE);
  int parts = lua_gettop(L), n = (int)lua_rawlen(L, parts);
  if (eq_lua_list(L, list, "action", "x") != n)
    luaL_error(L, "action: the tuple holds %d actions, the list %d tensors", n,
               (int)luaL_len(L, list));
  lua_createtable(L, n, 0);
  for (int k = 1; k <= n; k++) {
    lua_rawgeti(L, parts, k);
    eq_action *a = eq_lua_checkaction(L, -1, "action", "each part");
    lua_geti(L, list, k);
    each(L, a, g, lua_gettop(L));
    lua_rawseti(L, parts + 1, k);
    lua_settop(L, parts + 1);
  }
}

static bool is_tuple(lua_State *L) {
  luaL_checkudata(L, 1, EQ_ACTION);
  return eq_lua_toaction(L, 1) == NULL;
}

static int call(lua_State *L) {
  bool tuple = is_tuple(L);
  lua_settop(L, 3);
  lua_getiuservalue(L, 1, EQ_UV_GROUP);
  int g = eq_lua_checkelement(L, 2, 4, "action");
  if (tuple)
    over_tuple(L, 3, g, move);
  else
    move(L, eq_lua_toaction(L, 1), g, 3);
  eq_lua_pressure(L);
  return 1;
}

static void orbit_of(lua_State *L, const eq_action *a, int g, int i) {
  (void)g;
  eq_tensor *x = eq_lua_checktensor(L, i, "action:orbit", "x"), **box = eq_lua_newbox(L);
  EQ_LUA_MAKE(L, "action:orbit", *box, eq_action_orbit(a, x));
}

static int orbit(lua_State *L) {
  bool tuple = is_tuple(L);
  lua_settop(L, 2);
  if (tuple)
    over_tuple(L, 2, 0, orbit_of);
  else
    orbit_of(L, eq_lua_toaction(L, 1), 0, 2);
  eq_lua_pressure(L);
  return 1;
}

/* ---- verification ---- */

static void verify_one(lua_State *L, const eq_action *a, int g, int i) {
  static const char who[] = "action:verify";
  (void)g;
  if (lua_isnoneornil(L, i)) {
    eq_tensor **box = eq_lua_newbox(L);
    EQ_LUA_MAKE(L, who, *box, eq_action_sample(a));
    i = lua_gettop(L);
  }
  int s = eq_action_verify(a, eq_lua_checktensor(L, i, who, "x"), true);
  if (eq_lua_retry(L, s)) s = eq_action_verify(a, eq_lua_totensor(L, i), true);
  if (s) eq_lua_raise(L, who);
  lua_pushboolean(L, 1);
}

static int verify(lua_State *L) {
  bool tuple = is_tuple(L);
  lua_settop(L, 2);
  if (!tuple) {
    verify_one(L, eq_lua_toaction(L, 1), 0, 2);
    return 1;
  }
  if (lua_isnil(L, 2)) { /* an empty place for each part: every one takes a sample of its own */
    lua_getiuservalue(L, 1, EQ_UV_TUPLE);
    int n = (int)lua_rawlen(L, -1);
    for (int k = 1; k <= n; k++) {
      lua_rawgeti(L, 3, k);
      verify_one(L, eq_lua_checkaction(L, -1, "action:verify", "each part"), 0, 2);
      lua_settop(L, 3);
    }
  } else {
    over_tuple(L, 2, 0, verify_one);
  }
  lua_pushboolean(L, 1);
  return 1;
}

static int restrict_to(lua_State *L) {
  static const char who[] = "action:restrict";
  eq_action *a = eq_lua_checkaction(L, 1, who, "self");
  eq_group *h = eq_lua_checkgroup(L, 2, who, "the subgroup");
  eq_action **box = eq_lua_newaction(L, 2);
  EQ_LUA_MAKE(L, who, *box, eq_action_restrict(a, h));
  return 1;
}

/* ---- fields ---- */

static const char *kind_name(const eq_action *a) {
  static const char *const name[] = {"trivial",  "permutation", "vocabulary",
                                     "matrices", "grid",        "composed"};
  return a ? name[a->kind] : "tuple";
}

static bool tuple_exact(lua_State *L) {
  bool exact = true;
  lua_getiuservalue(L, 1, EQ_UV_TUPLE);
  int n = (int)lua_rawlen(L, -1);
  for (int k = 1; k <= n; k++) {
    lua_rawgeti(L, -1, k);
    eq_action *a = eq_lua_toaction(L, -1);
    exact = exact && a && a->exact;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return exact;
}

static int action_index(lua_State *L) {
  const eq_action *a = is_tuple(L) ? NULL : eq_lua_toaction(L, 1);
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  if (!strcmp(key, "group")) return lua_getiuservalue(L, 1, EQ_UV_GROUP), 1;
  if (!strcmp(key, "exact")) return lua_pushboolean(L, a ? a->exact : tuple_exact(L)), 1;
  if (!strcmp(key, "kind")) return lua_pushstring(L, kind_name(a)), 1;
  if (!strcmp(key, "parts") && !a) return lua_getiuservalue(L, 1, EQ_UV_TUPLE), 1;
  if (!strcmp(key, "dim") && a && a->kind != EQ_ACT_CHAIN && a->kind != EQ_ACT_IDS)
    return lua_pushinteger(L, a->dim < 0 ? a->dim : a->dim + 1), 1;
  if (!strcmp(key, "size") && a && a->size && a->kind != EQ_ACT_GRID)
    return lua_pushinteger(L, a->size), 1;
  static const char *const absent[] = {"parts", "dim", "size"}; /* only some actions' */
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
    if (!strcmp(key, absent[i])) return 1;
  return eq_lua_no_field(L, "action", lua_upvalueindex(1), key);
}

/* permutation action of cyclic(4) on 4 positions of dim -1 */
static int action_tostring(lua_State *L) {
  const eq_action *a = is_tuple(L) ? NULL : eq_lua_toaction(L, 1);
  lua_getiuservalue(L, 1, EQ_UV_GROUP);
  const eq_group *g = eq_lua_togroup(L, -1);
  lua_pushfstring(L, "%s action of %s", kind_name(a), g ? g->title : "a closed group");
  if (a && a->kind == EQ_ACT_IDS) {
    lua_pushfstring(L, " on %I ids", (LUAI_UACINT)a->size);
    lua_concat(L, 2);
  } else if (a && a->size && a->kind != EQ_ACT_GRID && a->kind != EQ_ACT_CHAIN) {
    lua_pushfstring(L, " on %I positions of dim %d", (LUAI_UACINT)a->size,
                    a->dim < 0 ? a->dim : a->dim + 1);
    lua_concat(L, 2);
  }
  return 1;
}

static const luaL_Reg methods[] = {
    {"verify", verify}, {"orbit", orbit}, {"restrict", restrict_to}, {NULL, NULL}};

int eq_lua_action(lua_State *L) {
  lua_newtable(L);
  eq_lua_action_constructors(L);
  eq_lua_vocabulary(L);
  if (luaL_newmetatable(L, EQ_ACTION)) {
    const luaL_Reg meta[] = {{"__call", call},
                             {"__gc", gc},
                             {"__close", gc},
                             {"__tostring", action_tostring},
                             {"__newindex", eq_lua_immutable},
                             {NULL, NULL}};
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_pushcclosure(L, action_index, 1);
    lua_setfield(L, -2, "__index");
    lua_getfield(L, -2, "product");
    lua_setfield(L, -2, "__mul");
  }
  lua_pop(L, 1);
  lua_setfield(L, -2, "action");
  eq_lua_action_docs(L);
  return 0;
}
