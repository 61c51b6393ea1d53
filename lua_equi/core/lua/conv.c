/* conv.c (binding) -- equi.conv_path: which way of computing convolutions runs. */
#include "../conv/conv.h"
#include "lua_equi.h"
#include <string.h>

static int find(lua_State *L, const char *name) {
  luaL_Buffer b;
  if (!strcmp(name, "auto")) return EQ_CONV_AUTO;
  if (!strcmp(name, "exact")) return EQ_CONV_EXACT;
  luaL_buffinit(L, &b);
  luaL_addstring(&b, "\"auto\", \"exact\"");
  for (int i = 0; eq_conv_path_at(i); i++) {
    if (!strcmp(name, eq_conv_path_at(i)->name)) return i;
    luaL_addstring(&b, ", \"");
    luaL_addstring(&b, eq_conv_path_at(i)->name);
    luaL_addstring(&b, "\"");
  }
  luaL_pushresult(&b);
  return luaL_error(L, "conv_path: the path must be one of %s, got \"%s\"", lua_tostring(L, -1),
                    name);
}

static int conv_path(lua_State *L) { /* conv_path(name) -> old name, counts */
  static const char *const passes[] = {"forward", "grad_input", "grad_weight"};
  int old = eq_conv_forced;
  if (!lua_isnoneornil(L, 1)) {
    if (lua_type(L, 1) != LUA_TSTRING)
      return luaL_error(L, "conv_path: the path must be a name, got %s", eq_lua_kind(L, 1));
    eq_conv_forced = find(L, lua_tostring(L, 1));
  }
  lua_pushstring(L, old == EQ_CONV_AUTO    ? "auto"
                    : old == EQ_CONV_EXACT ? "exact"
                                           : eq_conv_path_at(old)->name);
  lua_newtable(L);
  for (int i = 0; eq_conv_path_at(i); i++) {
    lua_createtable(L, 0, EQ_CONV_PASSES);
    for (int k = 0; k < EQ_CONV_PASSES; k++) {
      lua_pushinteger(L, (lua_Integer)eq_conv_ran[i][k]);
      lua_setfield(L, -2, passes[k]);
    }
    lua_setfield(L, -2, eq_conv_path_at(i)->name);
  }
  return 2;
}

static const eq_lua_doc docs[] = {
    {"conv_path", "name=nil -> old, counts",
     "Which way of computing convolutions is to run: \"auto\" (the best for each), \"exact\" (the "
     "best that\ncomputes the sums as they stand: not \"winograd\", which transforms and rounds "
     "otherwise), \"lowered\" (as a\nmatrix product; takes everything), or another that counts "
     "names. A path that cannot "
     "compute a convolution\nleaves it to the choice of \"auto\". Returns what was set before, and "
     "how often each path ran\n(counts.lowered.forward, .grad_input, .grad_weight).",
     "local before = equi.conv_path \"lowered\"\n"
     "print(before, (equi.conv_path(before)))  --> auto\tlowered"},
    {0}};

int eq_lua_conv(lua_State *L) {
  lua_pushcfunction(L, conv_path);
  lua_setfield(L, -2, "conv_path");
  eq_lua_add_docs(L, docs);
  return 0;
}
