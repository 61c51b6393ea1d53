/* call.c -- one closure that serves every op: reads the arguments (args.c), runs the op, returns
 * its results. Also the registration of ops.
 *
 * Order of things: read everything, push empty boxes for the results, compute, fill the boxes. The
 * only C-owned values are scalars made from numbers, released before anything may raise. */
#include "args.h"
#include <stdio.h>

/* ---- operands that are numbers take the dtype of the tensors ---- */
static int make_scalars(reader *r) {
  for (int k = 0; k < r->nnumber; k++) {
    eq_tensor *s = eq_scalar(r->number_dtype, r->number[k]);
    r->c.in[r->number_at[k]] = s;
    if (!s) return EQ_NOMEM;
  }
  return EQ_OK;
}

static void drop_scalars(reader *r) {
  for (int k = 0; k < r->nnumber; k++) {
    eq_release(r->c.in[r->number_at[k]]);
    r->c.in[r->number_at[k]] = NULL;
  }
}

static int run(reader *r, bool inplace) {
  int bad = make_scalars(r);
  if (!bad) bad = inplace ? eq_apply_inplace(&r->c) : eq_apply(&r->c);
  drop_scalars(r);
  return bad;
}

/* ---- the call ---- */
static int call(lua_State *L, bool inplace) {
  reader r;
  eq_lua_pressure(L);
  eq_lua_read(&r, L);
  int n = inplace ? 1 : r.sig->nvisible;
  luaL_checkstack(L, n + 4, r.op->name);
  eq_tensor **box[EQ_MAXOUT];
  for (int k = 0; k < n; k++) box[k] = eq_lua_newbox(L);
  eq_rng before = eq_default_rng;
  int bad = run(&r, inplace);
  if (bad && eq_lua_retry(L, bad)) {
    eq_default_rng = before; /* the numbers drawn are those of a call that had its memory at once */
    bad = run(&r, inplace);
  }
  if (bad) return eq_lua_raise(L, inplace ? lua_pushfstring(L, "%s_", r.op->name) : r.op->name);
  for (int k = 0; k < r.c.nout; k++) {
    if (k < n)
      *box[k] = r.c.out[k];
    else
      eq_release(r.c.out[k]);
  }
  if (r.c.nout >= n) return n;
  lua_pop(L, n - r.c.nout); /* max without a dim has no positions to return */
  return r.c.nout;
}

static int call_op(lua_State *L) { return call(L, false); }
static int call_inplace(lua_State *L) { return call(L, true); }

/* ---- registration ---- */
static void push_closure(lua_State *L, const eq_op *op, lua_CFunction f) {
  lua_pushlightuserdata(L, (void *)op);
  lua_pushlightuserdata(L, (void *)eq_sig_of(op));
  lua_pushcclosure(L, f, 2);
}

static void add_op(lua_State *L, const eq_op *op, int module, int methods) {
  const eq_sig *g = eq_sig_of(op);
  bool method = g->nparam && g->param[0].kind <= EQ_P_OPERAND && g->param[0].kind != EQ_P_TENSORS;
  if (op->flags & EQ_HIDDEN) return;
  push_closure(L, op, call_op);
  if (method && !(op->flags & EQ_FUNCTION)) {
    lua_pushvalue(L, -1);
    lua_setfield(L, methods, op->name);
  }
  if (op->flags & EQ_METHOD_ONLY)
    lua_pop(L, 1);
  else
    lua_setfield(L, module, op->name);
  if (op->flags & EQ_INPLACE) {
    lua_pushfstring(L, "%s_", op->name);
    push_closure(L, op, call_inplace);
    lua_settable(L, methods);
  }
}

/* One row for help and the reference: {name=, sig=, doc=, example=, where=, hidden=, ...}. */
static void push_row(lua_State *L, const eq_op *op) {
  lua_createtable(L, 0, 10);
  const struct {
    const char *k, *v;
  } text[] = {{"name", op->name},
              {"sig", op->sig},
              {"doc", op->doc},
              {"example", op->example},
              {"where", op->where}};
  for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
    lua_pushstring(L, text[i].v);
    lua_setfield(L, -2, text[i].k);
  }
  const struct {
    const char *k;
    bool v;
  } flag[] = {{"hidden", op->flags & EQ_HIDDEN},
              {"inplace", op->flags & EQ_INPLACE},
              {"differentiable", !(op->flags & EQ_NO_GRAD) && (op->back || op->compose)},
              {"once", op->flags & EQ_ONCE},
              {"composed", op->compose != NULL},
              {"function_only", op->flags & EQ_FUNCTION},
              {"method_only", op->flags & EQ_METHOD_ONLY}};
  for (size_t i = 0; i < sizeof flag / sizeof *flag; i++) {
    lua_pushboolean(L, flag[i].v);
    lua_setfield(L, -2, flag[i].k);
  }
}

int eq_lua_ops(lua_State *L) {
  int module = lua_gettop(L);
  lua_getfield(L, module, "methods");
  int methods = lua_gettop(L);
  lua_newtable(L);
  for (int i = 0; eq_op_at(i); i++) {
    add_op(L, eq_op_at(i), module, methods);
    push_row(L, eq_op_at(i));
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, module, "ops");
  lua_settop(L, module);
  return 0;
}
