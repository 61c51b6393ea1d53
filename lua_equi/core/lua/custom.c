/* custom.c (binding) -- differentiable functions written in Lua: equi.op{name=, forward=,
 * backward=}.
 *
 * A call runs `forward` without recording and then records one node, whose op row belongs to the
 * declaration. The row lives until the userdata and every node made with it are gone; the node's
 * anchor keeps the declaration (its functions) and those arguments that are no tensors. */
#include "lua_equi.h"
#include <stdlib.h>
#include <string.h>

#define OP "equi.Op"
enum { FORWARD = 1, BACKWARD = 2 }; /* user values of the declaration */

typedef struct custom {
  eq_op row;
  int refs;
  char name[]; /* row.name points here */
} custom;

static void let_go(custom *f) {
  if (--f->refs == 0) free(f);
}

/* A hook without a function: what a node owns of us. */
typedef struct owned {
  eq_hook base;
  custom *f;
  lua_State *main;
} owned;

static void released(eq_hook *base) {
  owned *o = (owned *)(void *)base;
  eq_lua_drop(o->main, o->base.id);
  let_go(o->f);
  eq_free(o, sizeof *o);
}

/* ---- the backward rule ---- */
typedef struct job {
  eq_call *c;
  eq_tensor **gy, **gx;
} job;

static void push_retained(lua_State *L, eq_tensor *x) {
  eq_tensor **box = eq_lua_newbox(L);
  *box = eq_retain(x);
}

/* Pushes the arguments of the call; `record` holds {declaration, count, what is no tensor ...}. */
static int push_arguments(lua_State *L, int record, eq_call *c) {
  lua_rawgeti(L, record, 2);
  int n = (int)lua_tointeger(L, -1), next = 0;
  lua_pop(L, 1);
  luaL_checkstack(L, n + 8, c->op->name);
  for (int i = 0; i < n; i++) {
    if (lua_rawgeti(L, record, 3 + i) != LUA_TLIGHTUSERDATA) continue;
    lua_pop(L, 1); /* a tensor's place */
    push_retained(L, c->in[next++]);
  }
  return n;
}

static void take_gradient(lua_State *L, int at, int number, const eq_tensor *x, eq_tensor **gx) {
  eq_tensor *g = eq_lua_totensor(L, at);
  if (lua_isnil(L, at)) return;
  if (!g)
    luaL_error(L, "result %d must be the gradient of argument %d or nil, got %s", number, number,
               eq_lua_kind(L, at));
  if (!eq_same_shape(g, x) || g->dtype != x->dtype)
    luaL_error(L, "the gradient of argument %d is %s %s, the argument is %s %s", number,
               eq_dtype_name(g->dtype), eq_shape_of(g), eq_dtype_name(x->dtype), eq_shape_of(x));
  *gx = eq_retain(g);
}

static int run_backward(lua_State *L) { /* protected */
  job *j = lua_touserdata(L, 1);
  eq_call *c = j->c;
  uint32_t version[EQ_MAXOUT];
  if (!eq_lua_anchored(L, c->arg[0].i)) return luaL_error(L, "its declaration is gone");
  lua_rawgeti(L, 2, 1);
  lua_getiuservalue(L, -1, BACKWARD);
  luaL_checkstack(L, 2 * c->nout, c->op->name);
  for (int k = 0; k < c->nout; k++) {
    version[k] = eq_version_of(j->gy[k]);
    push_retained(L, j->gy[k]);
  }
  for (int k = 0; k < c->nout; k++) push_retained(L, c->out[k]);
  int n = push_arguments(L, 2, c), base = 3; /* job, record, declaration, results */
  lua_call(L, 2 * c->nout + n, LUA_MULTRET);
  int nres = lua_gettop(L) - base;
  if (nres == 0 || nres > n)
    return luaL_error(L,
                      "it returned %d values; it must return one gradient for each of the %d "
                      "arguments, nil where there is none",
                      nres, n);
  for (int k = 0; k < c->nout; k++)
    if (eq_version_of(j->gy[k]) != version[k])
      return luaL_error(L, "the gradient was changed in place; others use it too");
  for (int i = 0, next = 0; i < nres; i++) {
    bool tensor = lua_rawgeti(L, 2, 3 + i) == LUA_TLIGHTUSERDATA;
    lua_pop(L, 1);
    if (tensor && eq_needed(c, next))
      take_gradient(L, base + 1 + i, i + 1, c->in[next], &j->gx[next]);
    next += tensor;
  }
  return 0;
}

static int back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  job j = {c, gy, gx};
  int bad = eq_lua_protected(run_backward, &j, "backward", c->op->name);
  eq_error.missed = EQ_OK; /* what failed there was tried again, raised or caught */
  return bad;
}

/* ---- a call ---- */
/* f's results without recording; they replace the arguments on the stack. */
static void run_forward(lua_State *L, int nargs) {
  bool old = eq_grad_enabled;
  luaL_checkstack(L, nargs + 4, "forward");
  lua_getiuservalue(L, 1, FORWARD);
  for (int i = 0; i < nargs; i++) lua_pushvalue(L, 2 + i);
  eq_grad_enabled = false;
  int status = lua_pcall(L, nargs, LUA_MULTRET, 0);
  eq_grad_enabled = old;
  if (status != LUA_OK) lua_error(L);
}

/* Fills c->in from the arguments, in the order they come. The array belongs to Lua. */
static void read_inputs(lua_State *L, eq_call *c, int nargs) {
  c->in = lua_newuserdatauv(L, (size_t)(nargs + 1) * sizeof *c->in, 0);
  for (int i = 0; i < nargs; i++) {
    eq_tensor *x = eq_lua_totensor(L, 2 + i);
    if (x) c->in[c->nin++] = x;
  }
}

static int64_t anchor_call(lua_State *L, int nargs) {
  lua_createtable(L, nargs + 2, 0);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, 1);
  lua_pushinteger(L, nargs);
  lua_rawseti(L, -2, 2);
  for (int i = 0; i < nargs; i++) {
    if (eq_lua_totensor(L, 2 + i))
      lua_pushlightuserdata(L, NULL);
    else
      lua_pushvalue(L, 2 + i);
    lua_rawseti(L, -2, 3 + i);
  }
  return eq_lua_anchor(L, 0);
}

static int record(lua_State *L, custom *f, eq_call *c, int nargs) {
  bool wanted = false;
  for (int i = 0; i < c->nin; i++) wanted |= c->in[i]->node != NULL;
  if (!wanted || !eq_grad_enabled) return EQ_OK;
  c->arg[0].i = anchor_call(L, nargs);
  owned *o = eq_alloc(sizeof *o);
  if (o)
    *o = (owned){.base = {.release = released, .id = c->arg[0].i}, .f = f, .main = eq_lua_main(L)};
  int bad = o ? eq_record(c, c->in) : EQ_NOMEM;
  eq_tensor *y = NULL;
  for (int k = 0; k < c->nout; k++)
    if (c->out[k]->node) y = c->out[k];
  if (bad || !y) {
    eq_lua_drop(L, c->arg[0].i);
    eq_free(o, sizeof *o);
    return bad;
  }
  f->refs++;
  return eq_hook_add(y, &o->base);
}

static int call(lua_State *L) { /* f(...) */
  custom *f = *(custom **)luaL_checkudata(L, 1, OP);
  int nargs = lua_gettop(L) - 1;
  eq_call c = {.op = &f->row};
  eq_lua_pressure(L);
  read_inputs(L, &c, nargs);
  int first = lua_gettop(L) + 1;
  run_forward(L, nargs);
  c.nout = lua_gettop(L) - first + 1;
  if (c.nout < 1 || c.nout > EQ_MAXOUT)
    return luaL_error(L, "%s: forward returned %d values, it must return 1 to %d tensors", f->name,
                      c.nout, EQ_MAXOUT);
  luaL_checkstack(L, 2 * EQ_MAXOUT + 8, f->name);
  for (int k = 0; k < c.nout; k++) { /* new tensors: forward may return one that others hold */
    eq_tensor *y = eq_lua_checktensor(L, first + k, f->name, "each result of forward");
    eq_tensor **box = eq_lua_newbox(L);
    if (!(*box = c.out[k] = eq_alias(y))) return eq_lua_raise(L, f->name);
  }
  if (record(L, f, &c, nargs) || (eq_debug && eq_check_nan(&c))) return eq_lua_raise(L, f->name);
  return c.nout;
}

/* ---- the declaration ---- */
static int declare(lua_State *L) {
  static const char *const valid[] = {"name", "forward", "backward", NULL};
  if (lua_type(L, 1) != LUA_TTABLE)
    return luaL_error(L, "op: call it as op{name = \"...\", forward = f, backward = g}");
  eq_lua_check_keys(L, 1, "op", valid);
  lua_settop(L, 1);
  if (lua_getfield(L, 1, "name") != LUA_TSTRING) return luaL_error(L, "op: name must be a string");
  size_t len;
  const char *name = lua_tolstring(L, 2, &len);
  if (lua_getfield(L, 1, "forward") != LUA_TFUNCTION)
    return luaL_error(L, "op: forward of %s must be a function, got %s", name, eq_lua_kind(L, -1));
  int kind = lua_getfield(L, 1, "backward");
  if (kind != LUA_TFUNCTION && kind != LUA_TNIL)
    return luaL_error(L, "op: backward of %s must be a function, got %s", name, eq_lua_kind(L, -1));
  custom **p = lua_newuserdatauv(L, sizeof *p, 2);
  *p = NULL;
  luaL_setmetatable(L, OP);
  lua_pushvalue(L, 3);
  lua_setiuservalue(L, -2, FORWARD);
  lua_pushvalue(L, 4);
  lua_setiuservalue(L, -2, BACKWARD);
  custom *f = malloc(sizeof *f + len + 1);
  if (!f) return luaL_error(L, "op: out of memory");
  memset(f, 0, sizeof *f);
  memcpy(f->name, name, len + 1);
  f->refs = 1;
  f->row = (eq_op){.name = f->name,
                   .sig = "-> y",
                   .back = kind == LUA_TNIL ? NULL : back,
                   .flags = EQ_SAVE_INS | EQ_SAVE_OUT};
  *p = f;
  return 1;
}

static int collect(lua_State *L) {
  custom **p = lua_touserdata(L, 1), *f = *p;
  *p = NULL;
  if (f) let_go(f);
  return 0;
}

static int shown(lua_State *L) {
  custom **p = luaL_checkudata(L, 1, OP);
  lua_pushfstring(L, "op %s", (*p)->name);
  return 1;
}

static const eq_lua_doc docs[] = {
    {"op", "{name=, forward=, backward=} -> f",
     "Declares a differentiable function. f(a, b, ...) calls forward(a, b, ...) without recording; "
     "forward returns one or\nmore tensors. Backward calls backward(gy, y, a, b, ...), with all "
     "gradients first if there are several\nresults, then all results; it returns one gradient for "
     "each argument, nil where there is none. Arguments that are\nno tensors are passed on. With "
     "create_graph the rule itself is recorded. Declare an op once, not in a loop: the functions\n"
     "stay in memory as long as a graph uses them.",
     "local square = equi.op{name = \"square\",\n"
     "  forward = function(x) return x * x end,\n"
     "  backward = function(gy, y, x) return gy * x * 2 end}\n"
     "local x = equi.tensor({3}, {requires_grad = true})\nsquare(x):sum():backward()\n"
     "print(x.grad[1]:item())  --> 6.0"},
    {0}};

int eq_lua_custom(lua_State *L) {
  static const luaL_Reg events[] = {{"__gc", collect},
                                    {"__close", collect},
                                    {"__call", call},
                                    {"__tostring", shown},
                                    {NULL, NULL}};
  if (luaL_newmetatable(L, OP)) luaL_setfuncs(L, events, 0);
  lua_pop(L, 1);
  lua_pushcfunction(L, declare);
  lua_setfield(L, -2, "op");
  eq_lua_add_docs(L, docs);
  return 0;
}
