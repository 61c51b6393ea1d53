/* anchor.c (binding) -- keeps Lua values alive that C holds on to by number: hooks, and what the
 * nodes of custom ops need.
 *
 * Lua's collector does not see the graph, so a value that a node needs must be held from outside:
 * - for a leaf, as long as its userdata lives: an ephemeron table, so that a hook which mentions
 * its own tensor does not keep it alive;
 * - for any other node, until the node is freed. A value that leads back to the node (a hook that
 *   captures a tensor computed from it) keeps the graph until it is removed, or until backward has
 *   released the graph below.
 * Dropping an anchor allocates nothing and needs no running Lua function, so finalizers may do it.
 */
#include "lua_equi.h"

static const char by_id_key = 0, for_ever_key = 0, of_box_key = 0;
static int64_t last_id;

/* The table at `key` of the registry, made at first use; mode: its weakness, or NULL. */
static void push_table(lua_State *L, const char *key, const char *mode) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, key) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_newtable(L);
  if (mode) {
    lua_createtable(L, 0, 1);
    lua_pushstring(L, mode);
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
  }
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

/* Pushes the table that holds the anchors of the userdata at stack place `box`. */
static void push_holder(lua_State *L, int box) {
  if (!box) {
    push_table(L, &for_ever_key, NULL);
    return;
  }
  push_table(L, &of_box_key, "k");
  lua_pushvalue(L, box);
  if (lua_rawget(L, -2) != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, box);
    lua_pushvalue(L, -2);
    lua_rawset(L, -4);
  }
  lua_remove(L, -2);
}

int64_t eq_lua_anchor(lua_State *L, int box) {
  int64_t id = ++last_id;
  push_holder(L, box); /* value, holder */
  lua_createtable(L, 2, 0);
  lua_rotate(L, -3, 1); /* cell, value, holder */
  lua_pushvalue(L, -1);
  lua_rawseti(L, -4, 2);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -4, 1);
  lua_pushvalue(L, -3);
  lua_rawseti(L, -2, id);
  push_table(L, &by_id_key, "v"); /* cell, value, holder, by_id */
  lua_pushvalue(L, -4);
  lua_rawseti(L, -2, id);
  lua_pop(L, 4);
  return id;
}

bool eq_lua_anchored(lua_State *L, int64_t id) {
  push_table(L, &by_id_key, "v");
  if (lua_rawgeti(L, -1, id) == LUA_TTABLE) {
    lua_rawgeti(L, -1, 1);
    lua_replace(L, -3);
    lua_pop(L, 1);
    return true;
  }
  lua_pop(L, 2);
  return false;
}

void eq_lua_drop(lua_State *L, int64_t id) {
  if (!lua_checkstack(L, 5)) return;
  int top = lua_gettop(L);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &by_id_key) == LUA_TTABLE &&
      lua_rawgeti(L, -1, id) == LUA_TTABLE) {
    lua_rawgeti(L, -1, 2);
    lua_pushnil(L);
    lua_rawseti(L, -2, id); /* the holder's; by_id follows at the next collection */
  }
  lua_settop(L, top);
}

lua_State *eq_lua_main(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  lua_State *M = lua_tothread(L, -1);
  lua_pop(L, 1);
  return M;
}

/* ---- calling Lua from the backward pass ---- */
int eq_lua_protected(lua_CFunction f, void *job, const char *what, const char *name) {
  lua_State *L = eq_lua_caller();
  if (!L || !lua_checkstack(L, LUA_MINSTACK))
    return eq_fail("%s of %s: no Lua to run it", what, name);
  lua_pushcfunction(L, f);
  lua_pushlightuserdata(L, job);
  bool recording = eq_grad_enabled; /* f may switch it, for itself */
  int status = lua_pcall(L, 1, 0, 0);
  eq_grad_enabled = recording;
  if (status == LUA_OK) return EQ_OK;
  bool text = lua_type(L, -1) == LUA_TSTRING;
  eq_fail("in %s of %s: %s", what, name, text ? lua_tostring(L, -1) : luaL_typename(L, -1));
  lua_pop(L, 1);
  return EQ_ERR;
}
