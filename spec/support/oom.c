/* oom.c -- lets Lua's own allocator fail: oom.fail(n) makes the n-th request for more memory from
 * now on fail, and all after it until oom.fail() switches that off; oom.count() tells how many
 * there were. Shrinking and freeing always work, as Lua demands. */
#include <lauxlib.h>
#include <lua.h>

static lua_Alloc original;
static void *original_data;
static lua_Integer left = -1, requests;

static void *limited(void *ud, void *p, size_t old, size_t size) {
  (void)ud;
  if (size > (p ? old : 0)) {
    requests++;
    if (left == 0) return NULL;
    if (left > 0) left--;
  }
  return original(original_data, p, old, size);
}

static int fail(lua_State *L) {
  left = lua_isnoneornil(L, 1) ? -1 : luaL_checkinteger(L, 1) - 1;
  return 0;
}

static int count(lua_State *L) {
  lua_pushinteger(L, requests);
  return 1;
}

static const luaL_Reg functions[] = {{"fail", fail}, {"count", count}, {NULL, NULL}};

#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
int luaopen_oom(lua_State *L);
int luaopen_oom(lua_State *L) {
  if (!original) {
    original = lua_getallocf(L, &original_data);
    lua_setallocf(L, limited, NULL);
  }
  luaL_newlib(L, functions);
  return 1;
}
