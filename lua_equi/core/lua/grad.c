/* grad.c (binding) -- backward, gradients of a function's result, switching recording off. */
#include "lua_equi.h"
#include <string.h>

enum { MAXROOT = 64 };

static int read_flags(lua_State *L, int i, const char *who) {
  static const char *const valid[] = {"retain", "create_graph", NULL};
  int flags = 0;
  if (lua_isnoneornil(L, i)) return 0;
  if (lua_type(L, i) != LUA_TTABLE) luaL_error(L, "%s: options must be a table", who);
  eq_lua_check_keys(L, i, who, valid);
  lua_getfield(L, i, "retain");
  if (lua_toboolean(L, -1)) flags |= EQ_RETAIN;
  lua_getfield(L, i, "create_graph");
  if (lua_toboolean(L, -1)) flags |= EQ_CREATE_GRAPH;
  lua_pop(L, 2);
  return flags;
}

static lua_State *caller;

lua_State *eq_lua_caller(void) { return caller; }

/* The pass never raises: rules and hooks written in Lua run protected. */
static int run(lua_State *L, eq_tensor **y, eq_tensor **gy, int nwrt, eq_tensor **wrt,
               eq_tensor **gwrt, int flags) {
  lua_State *outer = caller;
  caller = L;
  int bad = eq_backward(1, y, gy, nwrt, wrt, gwrt, flags);
  caller = outer;
  return bad;
}

static int backward(lua_State *L) { /* y:backward(gy, {retain=, create_graph=}) */
  eq_tensor *y = eq_lua_checktensor(L, 1, "backward", "y");
  int at = 2;
  eq_tensor *gy = eq_lua_totensor(L, 2);
  if (gy || lua_isnil(L, 2)) at = 3;
  int flags = read_flags(L, at, "backward");
  eq_lua_pressure(L);
  int bad = run(L, &y, &gy, 0, NULL, NULL, flags);
  if (bad) return eq_lua_raise(L, "backward");
  return 0;
}

/* Tensors of a list or a single one at place i; returns how many. */
static int read_list(lua_State *L, int i, eq_tensor **out, const char *name) {
  if ((out[0] = eq_lua_totensor(L, i))) return 1;
  if (lua_type(L, i) != LUA_TTABLE)
    luaL_error(L, "grad: %s must be a tensor or a list of tensors, got %s", name,
               eq_lua_kind(L, i));
  int n = (int)lua_rawlen(L, i);
  if (n > MAXROOT) luaL_error(L, "grad: at most %d tensors in %s, got %d", MAXROOT, name, n);
  for (int k = 0; k < n; k++) {
    lua_rawgeti(L, i, k + 1);
    out[k] = eq_lua_checktensor(L, -1, "grad", name);
    lua_pop(L, 1);
  }
  return n;
}

static int grad(lua_State *L) { /* grad(y, xs, {gy=, retain=, create_graph=}) */
  eq_tensor *y[1], *gy[1] = {NULL}, *wrt[MAXROOT], *g[MAXROOT];
  eq_tensor **box[MAXROOT];
  y[0] = eq_lua_checktensor(L, 1, "grad", "y");
  int n = read_list(L, 2, wrt, "xs"), at = 3;
  if ((gy[0] = eq_lua_totensor(L, 3)) || lua_isnil(L, 3)) at = 4;
  int flags = read_flags(L, at, "grad");
  for (int i = 0; i < n; i++)
    if (!wrt[i]->node) return luaL_error(L, "grad: xs[%d] does not require a gradient", i + 1);
  luaL_checkstack(L, n + 4, "grad");
  for (int i = 0; i < n; i++) box[i] = eq_lua_newbox(L);
  eq_lua_pressure(L);
  int bad = run(L, y, gy, n, wrt, g, flags);
  if (bad) return eq_lua_raise(L, "grad");
  for (int i = 0; i < n; i++) *box[i] = g[i];
  int first = lua_gettop(L) - n + 1;
  for (int i = 0; i < n; i++) {
    if (g[i]) continue;
    lua_pushnil(L);
    lua_replace(L, first + i);
  }
  return n;
}

static int grad_enabled(lua_State *L) {
  bool old = eq_grad_enabled;
  if (!lua_isnone(L, 1)) eq_grad_enabled = eq_lua_checkbool(L, 1, "grad_enabled", "on");
  lua_pushboolean(L, old);
  return 1;
}

/* no_grad(f, ...) -> f's results; recording is on again afterwards even if f raises. f cannot
 * yield: whoever goes on meanwhile would run without recording, and nothing tells us that f left.
 */
static int no_grad(lua_State *L) {
  bool old = eq_grad_enabled;
  bool callable = lua_isfunction(L, 1) || luaL_getmetafield(L, 1, "__call") != LUA_TNIL;
  if (!callable)
    return luaL_error(L, "no_grad: needs a function to run without recording, got %s",
                      eq_lua_kind(L, 1));
  if (!lua_isfunction(L, 1)) lua_pop(L, 1);
  eq_grad_enabled = false;
  int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
  eq_grad_enabled = old;
  if (status == LUA_OK) return lua_gettop(L);
  const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
  if (strstr(text, "attempt to yield across a C-call boundary"))
    return luaL_error(L, "no_grad: a coroutine cannot yield inside no_grad; yield outside of it, "
                         "or switch recording with equi.grad_enabled");
  return lua_error(L);
}

static int debug_mode(lua_State *L) {
  bool old = eq_debug;
  if (!lua_isnone(L, 1)) eq_debug = eq_lua_checkbool(L, 1, "debug", "on");
  lua_pushboolean(L, old);
  return 1;
}

static const luaL_Reg functions[] = {{"grad", grad},
                                     {"grad_enabled", grad_enabled},
                                     {"no_grad", no_grad},
                                     {"debug", debug_mode},
                                     {NULL, NULL}};

static const eq_lua_doc docs[] = {
    {"backward", "y, gy=nil, {retain=, create_graph=}",
     "Sends the gradient from y back to every leaf x that requires one, adding to x.grad.\ny must "
     "be a "
     "single number unless gy, the gradient to start with, is given. The graph is released on the\n"
     "way; retain = true keeps it, create_graph = true records the pass itself for second "
     "derivatives.",
     "local x = equi.tensor({3}, {requires_grad = true});\n(x * "
     "x):backward()\nprint(x.grad:item()) "
     " --> 6.0"},
    {"grad", "y, xs, gy=nil, {retain=, create_graph=} -> gx, ...",
     "Gradients of y with respect to the tensors xs, returned instead of stored; nil where y does "
     "not "
     "depend on one.",
     "local x = equi.tensor({3}, {requires_grad = true})\nprint(equi.grad(x ^ 3, x):item())  --> "
     "27.0"},
    {"grad_enabled", "on=nil -> old", "Whether operations are recorded; sets it when given.",
     "print(equi.grad_enabled())  --> true"},
    {"no_grad", "f, ... -> f(...)",
     "Calls f without recording, and returns its results. f cannot yield to another coroutine.",
     "local w = equi.ones(2):requires_grad_()\nprint(equi.no_grad(function() return w * 2 "
     "end).requires_grad)  --> false"},
    {"debug", "on=nil -> old",
     "Debug mode: every op is checked for NaN, and messages of the backward "
     "pass name the Lua line of the forward call. Slow.",
     "print(equi.debug())  --> false"},
    {0}};

int eq_lua_grad(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
  lua_getfield(L, -1, "methods");
  lua_pushcfunction(L, backward);
  lua_setfield(L, -2, "backward");
  lua_pop(L, 1);
  eq_lua_add_docs(L, docs);
  return 0;
}
