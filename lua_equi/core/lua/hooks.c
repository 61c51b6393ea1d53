/* hooks.c (binding) -- functions that see, and may replace, a gradient on its way back.
 *
 * A hook belongs to the node that made the tensor (for a leaf: its accumulator) and goes with it,
 * or with h:remove(). Who keeps the Lua function alive: see anchor.c. */
#include "lua_equi.h"

#define HANDLE "equi.Hook"

/* Shared by the node and the handle; each lets go of it once. */
typedef struct hook {
  eq_hook base; /* first: the core knows only this part */
  int refs;
  eq_node *node; /* not owned; NULL when the node is gone */
  lua_State *main;
} hook;

static void let_go(hook *h) {
  if (--h->refs == 0) eq_free(h, sizeof *h);
}

static void released(eq_hook *base) {
  hook *h = (hook *)(void *)base;
  h->node = NULL;
  eq_lua_drop(h->main, h->base.id);
  let_go(h);
}

typedef struct job {
  hook *h;
  eq_tensor **g;
} job;

static int run(lua_State *L) { /* protected */
  job *j = lua_touserdata(L, 1);
  if (!eq_lua_anchored(L, j->h->base.id)) return 0; /* the leaf is out of reach: nobody can look */
  eq_tensor *g = *j->g, **box = eq_lua_newbox(L);
  *box = eq_retain(g);
  uint32_t version = eq_version_of(g);
  lua_call(L, 1, 1);
  if (eq_version_of(g) != version)
    return luaL_error(L,
                      "the gradient was changed in place; others use it too, so return a new one");
  if (lua_isnil(L, -1)) return 0;
  eq_tensor *r = eq_lua_totensor(L, -1);
  if (!r) return luaL_error(L, "it must return a tensor or nothing, got %s", eq_lua_kind(L, -1));
  if (!eq_same_shape(r, g) || r->dtype != g->dtype)
    return luaL_error(L, "it returned %s %s for a gradient that is %s %s", eq_dtype_name(r->dtype),
                      eq_shape_of(r), eq_dtype_name(g->dtype), eq_shape_of(g));
  eq_retain(r);
  eq_release(g);
  *j->g = r;
  return 0;
}

static int call(eq_hook *base, eq_tensor **g) {
  job j = {(hook *)(void *)base, g};
  return eq_lua_protected(run, &j, "a hook", j.h->node ? j.h->node->op->name : "?");
}

/* ---- the handle ---- */
static int remove_hook(lua_State *L) {
  hook **p = luaL_checkudata(L, 1, HANDLE), *h = *p;
  if (!h || !h->node) return 0;
  eq_node *n = h->node;
  h->node = NULL;
  eq_lua_drop(L, h->base.id);
  eq_hook_remove(n, &h->base);
  return 0;
}

static int collect(lua_State *L) { /* the hook itself stays */
  hook **p = lua_touserdata(L, 1), *h = *p;
  *p = NULL;
  if (h) let_go(h);
  return 0;
}

static int shown(lua_State *L) {
  hook **p = luaL_checkudata(L, 1, HANDLE);
  lua_pushstring(L, *p && (*p)->node ? "hook" : "hook (removed)");
  return 1;
}

static int add_hook(lua_State *L) { /* x:hook(f) -> handle */
  eq_tensor *x = eq_lua_checktensor(L, 1, "hook", "x");
  if (lua_type(L, 2) != LUA_TFUNCTION)
    return luaL_error(L, "hook: needs a function of the gradient, got %s", eq_lua_kind(L, 2));
  if (!x->node)
    return luaL_error(L, "hook: x does not require a gradient, so there is none to look at; mark a "
                         "leaf with x:requires_grad_()");
  lua_settop(L, 2);
  hook **p = lua_newuserdatauv(L, sizeof *p, 0);
  *p = NULL;
  luaL_setmetatable(L, HANDLE);
  lua_insert(L, 2); /* x, handle, f */
  int64_t id = eq_lua_anchor(L, eq_is_leaf(x) ? 1 : 0);
  hook *h = eq_alloc(sizeof *h);
  if (!h) {
    eq_lua_drop(L, id);
    return eq_lua_raise(L, "hook");
  }
  *h = (hook){.base = {.call = call, .release = released, .id = id},
              .refs = 2,
              .node = x->node,
              .main = eq_lua_main(L)};
  *p = h;
  eq_hook_add(x, &h->base);
  return 1;
}

static const eq_lua_doc docs[] = {
    {"hook", "x, f -> handle",
     "Calls f(g) with the gradient g of x whenever backward passes x; if f returns a tensor, that "
     "goes "
     "on in its place.\nx may be a leaf or a result. Hooks run in the order they were added; "
     "handle:remove() takes one away. f must\nnot change g in place. Recording is off "
     "in f, except with create_graph; equi.grad_enabled(true) switches it on there. The hook of a "
     "result lives as "
     "long as the graph does: if f mentions tensors computed from\nx, remove it or run backward, "
     "or "
     "they keep each other in memory.",
     "local x = equi.ones(2):requires_grad_()\nlocal h = x:hook(function(g) return g * 10 end);\n"
     "(x * 3):sum():backward()\nprint(x.grad[1]:item())  --> 30.0\nh:remove()"},
    {0}};

int eq_lua_hooks(lua_State *L) {
  static const luaL_Reg events[] = {{"__gc", collect},
                                    {"__close", collect},
                                    {"__tostring", shown},
                                    {"remove", remove_hook},
                                    {NULL, NULL}};
  if (luaL_newmetatable(L, HANDLE)) {
    luaL_setfuncs(L, events, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
  }
  lua_pop(L, 1);
  lua_getfield(L, -1, "methods");
  lua_pushcfunction(L, add_hook);
  lua_setfield(L, -2, "hook");
  lua_pop(L, 1);
  eq_lua_add_docs(L, docs);
  return 0;
}
