/* equitune.c (binding) -- calling an equituned model.
 *
 * Order of a call: orbit of every input, model, results moved back and added up, element by
 * element; with `chunk` for a few elements at a time, so that one sum is all that stays. Only
 * combine.best, and weights of the results, keep every branch, since the choice comes last.
 * Whatever is computed goes into a box that is on the stack before: errors, also those of the
 * model, leave nothing unowned. */
#include "tuned.h"
#include <string.h>

static const char who[] = "equitune";

typedef struct run {
  lua_State *L;
  const eq_tuned *t;
  int nargs, nin; /* arguments, from place 2 on; how many of them have an action or false */
  int64_t rows;   /* the batch */
  int weights;    /* place of the weights [G, B], or 0 */
  int sum, own;   /* places of the first sum (or list of branches) and identity's branch */
  int scores;     /* place of the list of scores */
  eq_dtype dtype[EQ_TUNED_MAXIN]; /* of the results; sums may have more bits */
} run;

static eq_tensor **box_at(lua_State *L, int i) { return lua_touserdata(L, i); }

/* ---- actions of the model at place 1 ---- */
eq_tuned *eq_lua_checktuned(lua_State *L, int i) { return luaL_checkudata(L, i, EQ_EQUITUNE); }

eq_action *eq_lua_tuned_action(lua_State *L, int slot, int k) {
  eq_action *a = NULL;
  if (lua_getiuservalue(L, 1, slot) == LUA_TTABLE) {
    lua_rawgeti(L, -1, k);
    a = eq_lua_toaction(L, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return a;
}

int eq_lua_tuned_length(lua_State *L, int slot) {
  int n = lua_getiuservalue(L, 1, slot) == LUA_TTABLE ? (int)lua_rawlen(L, -1) : 0;
  lua_pop(L, 1);
  return n;
}

static eq_action *output_action(const run *r, int k) {
  return eq_lua_tuned_action(r->L, EQ_UV_OUTPUT, k + 1);
}

/* ---- inputs ---- */
/* The batch of the arguments with an action; those after the first may be nil: optional inputs. */
static int64_t batch_of(lua_State *L, int slot, int nin) {
  int named = 0;
  int64_t rows = -1;
  for (int k = 1; k <= nin; k++) {
    if (!eq_lua_tuned_action(L, slot, k)) continue;
    int i = 1 + k;
    eq_tensor *x = eq_lua_totensor(L, i);
    if (!x && (rows < 0 || !lua_isnoneornil(L, i)))
      luaL_error(L, "%s: input %d must be a tensor, got %s", who, k, eq_lua_kind(L, i));
    if (!x) continue;
    if (x->ndim == 0)
      luaL_error(L, "%s: input %d is a single number; its first dim must be the batch", who, k);
    if (rows >= 0 && x->shape[0] != rows)
      luaL_error(L, "%s: input %d has a batch of %I, input %d of %I", who, k,
                 (LUAI_UACINT)x->shape[0], named, (LUAI_UACINT)rows);
    if (rows < 0) named = k;
    rows = x->shape[0];
  }
  return rows;
}

static void raise_at(lua_State *L, const char *what, int k) {
  eq_lua_raise(L, lua_pushfstring(L, "%s: %s %d", who, what, k));
}

/* Pushes the orbit of the argument at place i, input number k, for n elements. */
static void push_orbit(lua_State *L, int slot, int k, int i, int from, int n) {
  eq_action *a = eq_lua_tuned_action(L, slot, k);
  eq_tensor *x = eq_lua_totensor(L, i);
  if (!x) {
    lua_pushvalue(L, i);
    return;
  }
  eq_tensor **box = eq_lua_newbox(L);
  *box = eq_orbit_out(a, from, n, x);
  if (!*box && eq_lua_retry(L, (int)eq_error.status)) *box = eq_orbit_out(a, from, n, x);
  if (!*box) raise_at(L, "input", k);
}

/* ---- scores and weights: one number per row of the orbit, or per place of its results ---- */
static void push_field(lua_State *L, const char *name) {
  if (lua_getiuservalue(L, 1, EQ_UV_COMBINE) == LUA_TTABLE)
    lua_getfield(L, -1, name);
  else
    lua_pushnil(L);
  lua_remove(L, -2);
}

static int refuse_scores(const run *r, int n, const char *what, const eq_tensor *s) {
  lua_State *L = r->L;
  const char *got = eq_lua_kind(L, -1);
  if (s)
    got = lua_pushfstring(L, "%s %s", eq_dtype_name(s->dtype),
                          s->ndim ? eq_shape_of(s) : "of no dim");
  return luaL_error(
      L, "%s: %s must return one f32 or f64 number for each of the %I rows, it returned %s", who,
      what, (LUAI_UACINT)(n * r->rows), got);
}

/* Pops the tensor on top, [n * B], [n * B, 1] or [n * B, T, ...], and adds it as [n, B, ...] to the
 * list. */
static void add_scores(const run *r, int n, int list) {
  lua_State *L = r->L;
  eq_tensor *s = eq_lua_totensor(L, -1);
  int64_t shape[EQ_MAXDIM] = {n, r->rows};
  int ndim = s->numel == s->shape[0] ? 2 : s->ndim + 1;
  for (int d = 2; d < ndim; d++) shape[d] = s->shape[d - 1];
  eq_tensor **box = eq_lua_newbox(L);
  EQ_LUA_MAKE(L, who, *box, eq_f("reshape", "tl", s, ndim, shape));
  lua_rawseti(L, list, (lua_Integer)lua_rawlen(L, list) + 1);
  lua_pop(L, 1);
}

static eq_tensor *cat(eq_tensor **item, int n) {
  eq_call c = {.op = eq_find("cat"), .nin = n, .in = item, .count = {n}, .given = 1};
  return eq_apply(&c) ? NULL : c.out[0];
}

/* Joins the list of tensors at place i along the first dim; pushes the result and returns it. */
static eq_tensor *join(lua_State *L, int i) {
  int n = (int)lua_rawlen(L, i);
  eq_tensor **item = eq_lua_scratch(L, (size_t)n * sizeof *item);
  for (int k = 0; k < n; k++) {
    lua_rawgeti(L, i, k + 1);
    item[k] = eq_lua_totensor(L, -1);
    lua_pop(L, 1);
  }
  eq_tensor **box = eq_lua_newbox(L);
  EQ_LUA_MAKE(L, who, *box, n == 1 ? eq_retain(item[0]) : cat(item, n));
  lua_remove(L, -2);
  return *box;
}

/* Do all branches stay until the scores are there? */
static bool keeps_branches(const eq_tuned *t) {
  return t->combine == EQ_BEST || (t->combine == EQ_WEIGHTED && t->of_results);
}

static int chunk_from(const eq_tuned *t, int from) {
  return t->order - from < t->chunk ? t->order - from : t->chunk;
}

/* Pushes the weights [G, B] of the network, which sees the orbits and not the model. */
static void push_weights(run *r) {
  lua_State *L = r->L;
  lua_newtable(L);
  int list = lua_gettop(L), n;
  for (int from = 0; from < r->t->order; from += n) {
    n = chunk_from(r->t, from);
    push_field(L, "net");
    for (int k = 1; k <= r->nin; k++) push_orbit(L, EQ_UV_INPUT, k, 1 + k, from, n);
    lua_call(L, r->nin, 1);
    eq_tensor *s = eq_lua_totensor(L, -1);
    if (!s || !eq_is_float(s->dtype) || s->ndim == 0 || s->numel != n * r->rows ||
        s->shape[0] != s->numel)
      refuse_scores(r, n, "the weight network", s);
    add_scores(r, n, list);
  }
  eq_tensor *w = join(L, list);
  if (r->t->softmax) {
    eq_tensor **box = eq_lua_newbox(L);
    EQ_LUA_MAKE(L, who, *box, eq_combine_softmax(w));
    lua_remove(L, -2);
  } else if (eq_combine_check_weights(w)) {
    eq_lua_raise(L, who);
  }
  lua_replace(L, list);
  r->weights = list;
}

/* A score sees the raw results, cut off from the graph: the choice has no gradient. A network that
 * weighs them sees them as they are. */
static void take_scores(const run *r, int first, int n) {
  lua_State *L = r->L;
  bool best = r->t->combine == EQ_BEST;
  if (!keeps_branches(r->t)) return;
  push_field(L, best ? "score" : "net");
  for (int k = 0; k < r->t->nout; k++) {
    if (!best) {
      lua_pushvalue(L, first + k);
      continue;
    }
    eq_tensor *y = eq_lua_totensor(L, first + k), **box = eq_lua_newbox(L);
    EQ_LUA_MAKE(L, who, *box, eq_alias(y));
  }
  lua_call(L, r->t->nout, 1);
  const char *what = best ? "the score function" : "the weight network";
  eq_tensor *s = eq_lua_totensor(L, -1);
  if (!s || !eq_is_float(s->dtype)) refuse_scores(r, n, what, s);
  for (int k = 0; k < r->t->nout; k++) {
    eq_error.text[0] = 0;
    if (!eq_orbit_check_scores(output_action(r, k), s, eq_lua_totensor(L, first + k))) continue;
    if (!eq_error.text[0]) refuse_scores(r, n, what, s);
    eq_lua_raise(L, who);
  }
  add_scores(r, n, r->scores);
}

/* ---- results ---- */
/* Result k of the model at place i, checked, for `blocks` stacked batches. */
static eq_tensor *check_result(const run *r, int i, int k, int blocks, bool averaged) {
  lua_State *L = r->L;
  eq_tensor *y = eq_lua_totensor(L, i);
  if (!y)
    luaL_error(L, "%s: result %d of the model must be a tensor, got %s", who, k + 1,
               eq_lua_kind(L, i));
  if (averaged && !eq_is_float(y->dtype))
    luaL_error(L, "%s: result %d of the model is %s; results are averaged, which needs f32 or f64",
               who, k + 1, eq_dtype_name(y->dtype));
  if (eq_orbit_check(y, blocks, r->rows, "model's result")) eq_lua_raise(L, who);
  return y;
}

/* Empty places for the sums of all results, the identity's branches and the scores. */
static void open_sums(run *r) {
  lua_State *L = r->L;
  r->sum = lua_gettop(L) + 1;
  for (int k = 0; k < r->t->nout; k++) {
    if (keeps_branches(r->t))
      lua_newtable(L);
    else
      eq_lua_newbox(L);
  }
  r->own = lua_gettop(L) + 1;
  for (int k = 0; k < r->t->nout && r->t->combine == EQ_RELAXED; k++) eq_lua_newbox(L);
  lua_newtable(L);
  r->scores = lua_gettop(L);
}

/* Takes the branches of result k, a tensor y for n elements, into its place. */
static void add_branches(const run *r, int k, eq_tensor *y, int from, int n) {
  lua_State *L = r->L;
  const eq_tuned *t = r->t;
  eq_action *a = output_action(r, k);
  if (keeps_branches(t)) {
    eq_tensor **box = eq_lua_newbox(L);
    EQ_LUA_MAKE(L, who, *box, eq_orbit_back(a, from, n, y, r->rows));
    lua_rawseti(L, r->sum + k, (lua_Integer)lua_rawlen(L, r->sum + k) + 1);
    return;
  }
  eq_tensor **sum = box_at(L, r->sum + k), *w = r->weights ? *box_at(L, r->weights) : NULL, *z;
  for (int b = 0; b < n; b++) {
    EQ_LUA_MAKE(L, who, z, eq_orbit_add(a, t->order, from + b, y, b, r->rows, w, *sum));
    eq_release(*sum);
    *sum = z;
  }
  if (t->combine != EQ_RELAXED || t->identity < from || t->identity >= from + n) return;
  eq_tensor **own = box_at(L, r->own + k);
  EQ_LUA_MAKE(L, who, *own, eq_orbit_branch(a, t->identity, y, t->identity - from, r->rows));
}

/* The results at places first .. of the model for n elements. */
static void take_results(run *r, int first, int from, int n) {
  for (int k = 0; k < r->t->nout; k++) r->dtype[k] = check_result(r, first + k, k, n, true)->dtype;
  take_scores(r, first, n);
  for (int k = 0; k < r->t->nout; k++)
    add_branches(r, k, eq_lua_totensor(r->L, first + k), from, n);
}

static void push_relaxed(const run *r, int k) {
  lua_State *L = r->L;
  eq_tensor **mean = eq_lua_newbox(L), *own = *box_at(L, r->own + k);
  EQ_LUA_MAKE(L, who, *mean, eq_combine_divide(*box_at(L, r->sum + k), r->t->order, r->dtype[k]));
  push_field(L, "mask");
  eq_tensor *general = eq_lua_checktensor(L, -1, who, "the mask of general ids");
  eq_tensor **box = eq_lua_newbox(L);
  EQ_LUA_MAKE(L, who, *box, eq_combine_relaxed(*mean, own, general));
}

static void push_chosen(const run *r, int k) {
  const eq_tuned *t = r->t;
  eq_tensor *y = join(r->L, r->sum + k), *score = join(r->L, r->scores);
  eq_tensor **box = eq_lua_newbox(r->L);
  EQ_LUA_MAKE(r->L, who, *box,
              t->combine == EQ_BEST ? eq_combine_best(y, score, t->tolerance)
                                    : eq_combine_weighted(y, score, t->softmax));
}

/* The sum of weights that are a softmax is 1. */
static void push_sum(const run *r, int k) {
  lua_State *L = r->L;
  eq_tensor *y = *box_at(L, r->sum + k), **box = eq_lua_newbox(L);
  EQ_LUA_MAKE(L, who, *box,
              r->weights && !r->t->softmax
                  ? eq_combine_normalise(y, *box_at(L, r->weights), r->dtype[k])
                  : eq_combine_divide(y, r->weights ? 1 : r->t->order, r->dtype[k]));
}

/* Pushes the combined results. */
static void push_combined(const run *r) {
  lua_State *L = r->L;
  for (int k = 0, top = lua_gettop(L); k < r->t->nout; k++) {
    if (keeps_branches(r->t))
      push_chosen(r, k);
    else if (r->t->combine == EQ_RELAXED)
      push_relaxed(r, k);
    else
      push_sum(r, k);
    lua_copy(L, -1, top + k + 1);
    lua_settop(L, top + k + 1);
  }
}

/* ---- the call ---- */
/* The number of h(x) for each row, or several: left on the stack. */
static eq_tensor *push_pick(const run *r) {
  lua_State *L = r->L;
  lua_getiuservalue(L, 1, EQ_UV_PICK);
  for (int k = 1; k <= r->nargs; k++) lua_pushvalue(L, 1 + k);
  lua_call(L, r->nargs, 1);
  eq_tensor *number = eq_lua_checktensor(L, -1, who, "what pick returns");
  eq_action *a = NULL;
  for (int k = 1; k <= r->nin && !a; k++) a = eq_lua_tuned_action(L, EQ_UV_INPUT, k);
  if (eq_pick_check(a->group, number, r->rows)) eq_lua_raise(L, who);
  return number;
}

/* Canonicalization (Kaba et al. 2023): y = h(x) M(h(x)^-1 x) with h(g x) = g h(x), one pass of the
 * model; with several elements a row, frame averaging (Puny et al. 2022). */
static int picked_call(run *r) {
  lua_State *L = r->L;
  eq_tensor *number = push_pick(r);
  int frames = number->ndim == 2 ? (int)number->shape[1] : 1, nout = r->t->nout;
  lua_getiuservalue(L, 1, EQ_UV_MODEL);
  for (int k = 1; k <= r->nargs; k++) {
    eq_action *a = k <= r->nin ? eq_lua_tuned_action(L, EQ_UV_INPUT, k) : NULL;
    eq_tensor *x = k <= r->nin ? eq_lua_totensor(L, 1 + k) : NULL;
    if (!x) {
      lua_pushvalue(L, 1 + k);
      continue;
    }
    eq_tensor **box = eq_lua_newbox(L);
    *box = eq_pick_out(a, number, x);
    if (!*box && eq_lua_retry(L, (int)eq_error.status)) *box = eq_pick_out(a, number, x);
    if (!*box) raise_at(L, "input", k);
  }
  lua_call(L, r->nargs, nout);
  int first = lua_gettop(L) - nout + 1;
  for (int k = 0; k < nout; k++) {
    eq_tensor *y = check_result(r, first + k, k, frames, frames > 1), **box = eq_lua_newbox(L);
    EQ_LUA_MAKE(L, who, *box, eq_pick_back(output_action(r, k), number, y));
  }
  return nout;
}

/* The model on n elements; its results are on top. */
static void run_model(const run *r, int from, int n) {
  lua_State *L = r->L;
  lua_getiuservalue(L, 1, EQ_UV_MODEL);
  for (int k = 1; k <= r->nargs; k++) {
    if (k <= r->nin)
      push_orbit(L, EQ_UV_INPUT, k, 1 + k, from, n);
    else
      lua_pushvalue(L, 1 + k);
  }
  lua_call(L, r->nargs, r->t->nout);
}

static void open_run(run *r, lua_State *L, int slot) {
  memset(r, 0, sizeof *r);
  r->L = L;
  r->t = eq_lua_checktuned(L, 1);
  r->nargs = lua_gettop(L) - 1;
  r->nin = eq_lua_tuned_length(L, slot);
  luaL_checkstack(L, 2 * r->nargs + 4 * EQ_TUNED_MAXIN + 40, who);
  eq_lua_pressure(L);
}

int eq_lua_tuned_call(lua_State *L) {
  run r;
  int n;
  open_run(&r, L, EQ_UV_INPUT);
  r.rows = batch_of(L, EQ_UV_INPUT, r.nin);
  if (r.nargs < r.nin) { /* optional inputs that are absent */
    lua_settop(L, 1 + r.nin);
    r.nargs = r.nin;
  }
  bool picks = lua_getiuservalue(L, 1, EQ_UV_PICK) != LUA_TNIL;
  lua_pop(L, 1);
  if (picks) return picked_call(&r);
  if (r.t->combine == EQ_WEIGHTED && !r.t->of_results) push_weights(&r);
  open_sums(&r);
  for (int from = 0, top = lua_gettop(L); from < r.t->order; from += n) {
    n = chunk_from(r.t, from);
    run_model(&r, from, n);
    take_results(&r, lua_gettop(L) - r.t->nout + 1, from, n);
    lua_settop(L, top);
  }
  push_combined(&r);
  return r.t->nout;
}

/* ---- models with state: the whole orbit steps with one shared choice of token ---- */
/* Pushes the model's method and the model. */
static void push_method(lua_State *L, const char *name) {
  int type = lua_getiuservalue(L, 1, EQ_UV_MODEL);
  if (type == LUA_TFUNCTION || lua_getfield(L, -1, name) == LUA_TNIL)
    luaL_error(L, "%s: the model has no method %s; models with state have start and step", who,
               name);
  lua_insert(L, -2);
}

static void refuse_pick(lua_State *L, const char *name) {
  if (lua_getiuservalue(L, 1, EQ_UV_PICK) != LUA_TNIL)
    luaL_error(L, "%s: pick has no %s; the whole orbit steps, or the model is called at once", who,
               name);
  lua_pop(L, 1);
}

int eq_lua_tuned_start(lua_State *L) {
  run r;
  eq_lua_checktuned(L, 1);
  refuse_pick(L, "start");
  int slot = eq_lua_tuned_length(L, EQ_UV_START) ? EQ_UV_START : EQ_UV_INPUT;
  open_run(&r, L, slot);
  batch_of(L, slot, r.nin);
  push_method(L, "start");
  for (int k = 1; k <= r.nargs; k++) {
    if (k <= r.nin)
      push_orbit(L, slot, k, 1 + k, 0, r.t->order);
    else
      lua_pushvalue(L, 1 + k);
  }
  lua_call(L, r.nargs + 1, 1);
  return 1;
}

int eq_lua_tuned_step(lua_State *L) { /* step(state, token [B], ...) -> combined [B, V], state */
  run r;
  const eq_tuned *t = eq_lua_checktuned(L, 1);
  refuse_pick(L, "step");
  if (t->combine == EQ_WEIGHTED && !t->of_results)
    return luaL_error(L,
                      "%s: step cannot weight by a network of the inputs, it has one token only; "
                      "combine.weighted(net, {of = \"results\"}), mean, best and relaxed can step",
                      who);
  int slot = eq_lua_tuned_length(L, EQ_UV_TOKEN) ? EQ_UV_TOKEN : EQ_UV_INPUT;
  const eq_tensor *token = eq_lua_checktensor(L, 3, who, "the token");
  if (token->ndim == 0)
    return luaL_error(L, "%s: the token is a single number; its first dim must be the batch", who);
  open_run(&r, L, slot);
  r.rows = token->shape[0];
  open_sums(&r);
  push_method(L, "step");
  lua_pushvalue(L, 2);
  push_orbit(L, slot, 1, 3, 0, t->order);
  for (int k = 3; k <= r.nargs; k++) lua_pushvalue(L, 1 + k);
  lua_call(L, r.nargs + 1, t->nout + 1);
  int state = lua_gettop(L);
  take_results(&r, state - t->nout, 0, t->order);
  push_combined(&r);
  lua_pushvalue(L, state);
  return t->nout + 1;
}
