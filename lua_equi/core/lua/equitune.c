/* equitune.c (binding) -- the equituned model: a userdata that is called like the model it holds.
 *
 * Lua values (model, actions, combination) live in user values, so a model that refers to its own
 * equituned version is still collectable. Order of a call: orbit of every input, model, results back,
 * combine; with `chunk` the first three run for a few elements at a time. */
#include "group/equitune.h"
#include "lua_equi.h"
#include "symmetry.h"
#include <string.h>

#define EQ_EQUITUNE "equi.Equitune"
enum { UV_MODEL = 1, UV_INPUT, UV_OUTPUT, UV_COMBINE, UV_START, UV_TOKEN, UV_PICK, UV_COUNT = UV_PICK };
enum { MAXIN = 16 };

typedef struct tuned {
  int order, identity, chunk; /* chunk: elements per call of the model */
  bool exact;
  double tol; /* of combine.best */
  enum { MEAN, BEST, WEIGHTED, RELAXED } combine;
} tuned;

static tuned *check_tuned(lua_State *L, int i) { return luaL_checkudata(L, i, EQ_EQUITUNE); }

/* ---- making one ---- */
static const eq_action *action_at(lua_State *L, int i, const char *name) {
  eq_action *a = eq_lua_toaction(L, i);
  if (!a) luaL_error(L, "equitune: %s must be an action, got %s; see equi.help \"action\"", name,
                     luaL_typename(L, i));
  return a;
}

/* The list at place i (or a single action) as a table of actions in user value `slot`; false stands
 * for an input that is repeated, not moved. */
static void read_actions(lua_State *L, tuned *t, int self, int i, int slot, const char *name,
                         const eq_group **group) {
  lua_newtable(L);
  int list = lua_gettop(L), n = eq_lua_toaction(L, i) ? 1 : (int)lua_rawlen(L, i);
  if (n == 0 || n > MAXIN) luaL_error(L, "equitune: %s must be an action or a list of up to %d", name, MAXIN);
  for (int k = 1; k <= n; k++) {
    if (eq_lua_toaction(L, i)) lua_pushvalue(L, i);
    else lua_rawgeti(L, i, k);
    if (lua_isboolean(L, -1) && !lua_toboolean(L, -1)) {
      lua_rawseti(L, list, k);
      continue;
    }
    const eq_action *a = action_at(L, -1, name);
    if (!*group) *group = a->group;
    if (!eq_group_same(*group, a->group))
      luaL_error(L, "equitune: %s belongs to the group %s, another action to %s; all must be of one group",
                 name, a->group->title, (*group)->title);
    t->exact = t->exact && a->exact;
    lua_rawseti(L, list, k);
  }
  lua_setiuservalue(L, self, slot);
}

static void read_combine(lua_State *L, tuned *t, int self, int options) {
  static const char *const kinds[] = {"mean", "best", "weighted", "relaxed", NULL};
  if (lua_getfield(L, options, "combine") == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  if (lua_type(L, -1) != LUA_TTABLE || lua_getfield(L, -1, "kind") != LUA_TSTRING)
    luaL_error(L, "equitune: combine must be one of equi.combine's, such as equi.combine.mean, got %s",
               luaL_typename(L, -1));
  const char *kind = lua_tostring(L, -1);
  for (int k = 0; kinds[k]; k++)
    if (!strcmp(kinds[k], kind)) t->combine = k;
  lua_pop(L, 1);
  if (lua_getfield(L, -1, "tolerance") == LUA_TNUMBER) t->tol = lua_tonumber(L, -1);
  lua_pop(L, 1);
  lua_setiuservalue(L, self, UV_COMBINE);
}

static int callable(lua_State *L, int i) {
  if (lua_isfunction(L, i)) return 1;
  return luaL_getmetafield(L, i, "__call") != LUA_TNIL ? (lua_pop(L, 1), 1) : 0;
}

static int equitune(lua_State *L) { /* equitune(model, {input=, output=, ...}) */
  static const char *const valid[] = {"input", "output", "combine", "chunk", "start", "token", "pick", NULL};
  const eq_group *group = NULL;
  if (!callable(L, 1) && !lua_istable(L, 1))
    return luaL_error(L, "equitune: model must be callable, got %s", luaL_typename(L, 1));
  luaL_checktype(L, 2, LUA_TTABLE);
  eq_lua_check_keys(L, 2, "equitune", valid);
  lua_settop(L, 2);
  tuned *t = lua_newuserdatauv(L, sizeof *t, UV_COUNT);
  memset(t, 0, sizeof *t);
  t->exact = true;
  luaL_setmetatable(L, EQ_EQUITUNE);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, 3, UV_MODEL);
  static const struct { const char *name; int slot; } lists[] = {
      {"input", UV_INPUT}, {"output", UV_OUTPUT}, {"start", UV_START}, {"token", UV_TOKEN}};
  for (int k = 0; k < 4; k++) {
    if (lua_getfield(L, 2, lists[k].name) != LUA_TNIL)
      read_actions(L, t, 3, lua_gettop(L), lists[k].slot, lists[k].name, &group);
    else if (k == 0)
      return luaL_error(L, "equitune: input is missing: the action on the model's input, or a list of them");
    lua_settop(L, 3);
  }
  t->order = group ? group->order : 0;
  if (!t->order) return luaL_error(L, "equitune: at least one input must have an action");
  t->identity = group->identity;
  read_combine(L, t, 3, 2);
  lua_settop(L, 3);
  t->chunk = t->order;
  if (lua_getfield(L, 2, "chunk") != LUA_TNIL) {
    int64_t n = eq_lua_checkint(L, -1, "equitune", "chunk");
    if (n < 1) return luaL_error(L, "equitune: chunk must be at least 1 element, got %I", (LUAI_UACINT)n);
    t->chunk = n < t->order ? (int)n : t->order;
  }
  if (lua_getfield(L, 2, "pick") != LUA_TNIL) lua_setiuservalue(L, 3, UV_PICK);
  lua_settop(L, 3);
  return 1;
}

/* ---- actions of a call ---- */
/* Action number k of user value `slot` (NULL: not moved). It stays alive in the list. */
static eq_action *nth_action(lua_State *L, int self, int slot, int k) {
  lua_getiuservalue(L, self, slot);
  eq_action *a = NULL;
  if (lua_istable(L, -1)) {
    int n = (int)lua_rawlen(L, -1);
    if (k <= n) {
      lua_rawgeti(L, -1, k);
      a = eq_lua_toaction(L, -1);
      lua_pop(L, 1);
    }
  }
  lua_pop(L, 1);
  return a;
}

static int list_length(lua_State *L, int self, int slot) {
  lua_getiuservalue(L, self, slot);
  int n = lua_istable(L, -1) ? (int)lua_rawlen(L, -1) : 0;
  lua_pop(L, 1);
  return n;
}

/* Pushes the orbit of argument `arg` for elements from .. from + n - 1. */
static void push_orbit(lua_State *L, int self, int slot, int k, int arg, int from, int n) {
  int element[EQ_GROUP_MAX > 4096 ? 4096 : EQ_GROUP_MAX];
  eq_tensor *x = eq_lua_totensor(L, arg);
  if (lua_isnil(L, arg)) {
    lua_pushnil(L);
    return;
  }
  if (!x) luaL_error(L, "equitune: input %d must be a tensor, got %s", k, luaL_typename(L, arg));
  for (int i = 0; i < n; i++) element[i] = from + i;
  eq_tensor **box = eq_lua_newbox(L);
  *box = eq_orbit_out(nth_action(L, self, slot, k), n, element, x);
  if (!*box) eq_lua_raise(L, "equitune");
}

/* Takes the tensor on top back by the inverses and replaces it. */
static void return_orbit(lua_State *L, int self, int from, int n) {
  int element[EQ_GROUP_MAX > 4096 ? 4096 : EQ_GROUP_MAX];
  eq_tensor *y = eq_lua_totensor(L, -1);
  if (!y) luaL_error(L, "equitune: the model must return a tensor, got %s", luaL_typename(L, -1));
  for (int i = 0; i < n; i++) element[i] = from + i;
  eq_tensor **box = eq_lua_newbox(L);
  *box = eq_orbit_back(nth_action(L, self, UV_OUTPUT, 1), n, element, y);
  if (!*box) eq_lua_raise(L, "equitune");
  lua_remove(L, -2);
}

/* ---- scores and weights: a function of the combination, one number per row of the orbit ---- */
static void push_field(lua_State *L, int self, const char *name) {
  lua_getiuservalue(L, self, UV_COMBINE);
  if (lua_istable(L, -1)) lua_getfield(L, -1, name);
  else lua_pushnil(L);
  lua_remove(L, -2);
}

/* Replaces the tensor on top, [n * B] or [n * B, 1], by [n, B]. */
static void shape_scores(lua_State *L, int n, const char *what) {
  eq_tensor *s = eq_lua_totensor(L, -1);
  if (!s || !eq_is_float(s->dtype) || s->ndim == 0 || s->numel != s->shape[0] || s->shape[0] % n)
    luaL_error(L, "equitune: %s must give one float per row, got %s", what,
               s ? eq_shape_of(s) : luaL_typename(L, -1));
  int64_t shape[2] = {n, s->shape[0] / n};
  eq_tensor **box = eq_lua_newbox(L);
  *box = eq_f("reshape", "tl", s, 2, shape);
  if (!*box) eq_lua_raise(L, "equitune");
  lua_remove(L, -2);
}

/* stack: ..., orbits (nin of them), raw result -> ..., result. Pushes the scores into list `scores`. */
static void take_scores(lua_State *L, int self, const tuned *t, int first, int nin, int n, int scores) {
  if (t->combine != BEST && t->combine != WEIGHTED) return;
  int result = lua_gettop(L);
  push_field(L, self, t->combine == BEST ? "score" : "net");
  if (t->combine == BEST) lua_pushvalue(L, result);
  else
    for (int k = 0; k < nin; k++) lua_pushvalue(L, first + k);
  lua_call(L, t->combine == BEST ? 1 : nin, 1);
  shape_scores(L, n, t->combine == BEST ? "the score function" : "the weight network");
  lua_rawseti(L, scores, (lua_Integer)lua_rawlen(L, scores) + 1);
}

/* Joins the list of tensors at place i along the first dim; pushes the result. */
static eq_tensor *join(lua_State *L, int i) {
  eq_tensor *item[4096];
  int n = (int)lua_rawlen(L, i);
  if (n > 4096) luaL_error(L, "equitune: more than 4096 chunks");
  for (int k = 0; k < n; k++) {
    lua_rawgeti(L, i, k + 1);
    item[k] = eq_lua_totensor(L, -1);
    lua_pop(L, 1);
  }
  eq_tensor **box = eq_lua_newbox(L);
  if (n == 1) return *box = eq_retain(item[0]);
  eq_call c = {.op = eq_find("cat"), .nin = n, .in = item, .count = {n}, .given = 1};
  if (eq_apply(&c)) eq_lua_raise(L, "equitune");
  return *box = c.out[0];
}

static eq_tensor *softmax_first(eq_tensor *w) { return eq_f("softmax", "ti", w, (int64_t)0); }

/* Pushes the combination of y [G, B, ...]; scores is the list of score tensors. */
static void push_combined(lua_State *L, int self, const tuned *t, eq_tensor *y, int scores) {
  eq_tensor *z = NULL, *general = NULL;
  if (t->combine == MEAN) {
    z = eq_combine_mean(y);
  } else if (t->combine == BEST) {
    z = eq_combine_best(y, join(L, scores), t->tol);
  } else if (t->combine == WEIGHTED) {
    eq_tensor *w = join(L, scores);
    push_field(L, self, "softmax");
    if (lua_toboolean(L, -1)) {
      eq_tensor **box = eq_lua_newbox(L);
      if (!(*box = softmax_first(w))) eq_lua_raise(L, "equitune");
      w = *box;
    }
    z = eq_combine_weighted(y, w);
  } else {
    push_field(L, self, "mask");
    general = eq_lua_checktensor(L, -1, "equitune", "the mask of general words");
    z = eq_combine_relaxed(y, general, t->identity);
  }
  eq_lua_push(L, z);
}

/* ---- the call ---- */
/* Runs `method` (NULL: the model itself) on elements from .. from + n - 1. stack on return: orbits,
 * raw result; *first is the place of the first orbit. */
static void run_model(lua_State *L, int self, int slot, int nargs, int from, int n, int *first) {
  int nin = list_length(L, self, slot);
  luaL_checkstack(L, 2 * nargs + 20, "equitune");
  *first = lua_gettop(L) + 1;
  for (int k = 1; k <= nin; k++) {
    if (k <= nargs) push_orbit(L, self, slot, k, self + k, from, n);
    else lua_pushnil(L);
  }
  lua_getiuservalue(L, self, UV_MODEL);
  for (int k = 0; k < nin; k++) lua_pushvalue(L, *first + k);
  for (int k = nin + 1; k <= nargs; k++) lua_pushvalue(L, self + k);
  lua_call(L, nargs > nin ? nargs : nin, 1);
}

static int canonical_call(lua_State *L, tuned *t, int nargs);

static int call(lua_State *L) {
  tuned *t = check_tuned(L, 1);
  int nargs = lua_gettop(L) - 1, nin = list_length(L, 1, UV_INPUT);
  if (nargs < 1) return luaL_error(L, "equitune: call it with the model's inputs");
  lua_getiuservalue(L, 1, UV_PICK);
  bool canonical = !lua_isnil(L, -1);
  lua_pop(L, 1);
  if (canonical) return canonical_call(L, t, nargs);
  lua_newtable(L);
  int parts = lua_gettop(L);
  lua_newtable(L);
  int scores = lua_gettop(L);
  for (int from = 0; from < t->order; from += t->chunk) {
    int n = t->order - from < t->chunk ? t->order - from : t->chunk, first;
    run_model(L, 1, UV_INPUT, nargs, from, n, &first);
    take_scores(L, 1, t, first, nin, n, scores);
    return_orbit(L, 1, from, n);
    lua_rawseti(L, parts, (lua_Integer)lua_rawlen(L, parts) + 1);
    lua_settop(L, scores);
  }
  push_combined(L, 1, t, join(L, parts), scores);
  return 1;
}

/* Canonicalization (Kaba et al. 2023): y = h(x) M(h(x)^-1 x), one pass of the model; pick(x, ...)
 * returns the number of h(x) for each row, with h(g x) = g h(x). */
static int canonical_call(lua_State *L, tuned *t, int nargs) {
  int nin = list_length(L, 1, UV_INPUT);
  (void)t;
  lua_getiuservalue(L, 1, UV_PICK);
  for (int k = 1; k <= nargs; k++) lua_pushvalue(L, 1 + k);
  lua_call(L, nargs, 1);
  eq_tensor *number = eq_lua_checktensor(L, -1, "equitune", "what pick returns");
  lua_getiuservalue(L, 1, UV_MODEL);
  for (int k = 1; k <= nargs; k++) {
    eq_action *a = k <= nin ? nth_action(L, 1, UV_INPUT, k) : NULL;
    if (a && !lua_isnil(L, 1 + k))
      eq_lua_push(L, eq_act_by_row(a, eq_lua_checktensor(L, 1 + k, "equitune", "an input"), number, true));
    else lua_pushvalue(L, 1 + k);
  }
  lua_call(L, nargs, 1);
  eq_tensor *y = eq_lua_checktensor(L, -1, "equitune", "the model's result");
  eq_action *out = nth_action(L, 1, UV_OUTPUT, 1);
  if (out) eq_lua_push(L, eq_act_by_row(out, y, number, false));
  return 1;
}

/* ---- models with state: the whole orbit steps with one shared choice of token ---- */
static void push_method(lua_State *L, const char *name) {
  lua_getiuservalue(L, 1, UV_MODEL);
  lua_getfield(L, -1, name);
  if (lua_isnil(L, -1)) luaL_error(L, "equitune: the model has no method %s", name);
  lua_insert(L, -2); /* stack: method, model */
}

static int start(lua_State *L) {
  tuned *t = check_tuned(L, 1);
  int nargs = lua_gettop(L) - 1, slot = list_length(L, 1, UV_START) ? UV_START : UV_INPUT;
  int nin = list_length(L, 1, slot);
  push_method(L, "start");
  for (int k = 1; k <= nargs; k++) {
    if (k <= nin) push_orbit(L, 1, slot, k, 1 + k, 0, t->order);
    else lua_pushvalue(L, 1 + k);
  }
  lua_call(L, nargs + 1, 1);
  return 1;
}

static int step(lua_State *L) { /* step(state, token [B]) -> combined [B, V], state */
  tuned *t = check_tuned(L, 1);
  if (t->combine == WEIGHTED)
    return luaL_error(L, "equitune: step cannot weight by a network of the input; use another combination");
  lua_settop(L, 3);
  lua_newtable(L);
  int scores = lua_gettop(L), slot = list_length(L, 1, UV_TOKEN) ? UV_TOKEN : UV_INPUT;
  push_method(L, "step");
  lua_pushvalue(L, 2);
  push_orbit(L, 1, slot, 1, 3, 0, t->order);
  lua_call(L, 3, 2);
  lua_insert(L, scores + 1); /* stack: ..., scores, state, result */
  take_scores(L, 1, t, 0, 0, t->order, scores);
  return_orbit(L, 1, 0, t->order);
  push_combined(L, 1, t, eq_lua_totensor(L, -1), scores);
  lua_pushvalue(L, scores + 1);
  return 2;
}

/* ---- fields ---- */
static int children(lua_State *L) { /* for the walk over modules */
  check_tuned(L, 1);
  lua_createtable(L, 0, 2);
  lua_getiuservalue(L, 1, UV_MODEL);
  if (!lua_isfunction(L, -1)) lua_setfield(L, -2, "model");
  else lua_pop(L, 1);
  lua_getiuservalue(L, 1, UV_COMBINE);
  if (lua_istable(L, -1)) {
    if (lua_getfield(L, -1, "net") == LUA_TTABLE) lua_setfield(L, -3, "weight");
    else lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return 1;
}

static int get(lua_State *L) {
  tuned *t = check_tuned(L, 1);
  const char *k = luaL_checkstring(L, 2);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  if (!strcmp(k, "model")) lua_getiuservalue(L, 1, UV_MODEL);
  else if (!strcmp(k, "order")) lua_pushinteger(L, t->order);
  else if (!strcmp(k, "exact")) lua_pushboolean(L, t->exact);
  else if (!strcmp(k, "combine")) lua_getiuservalue(L, 1, UV_COMBINE);
  else if (!strcmp(k, "input")) lua_getiuservalue(L, 1, UV_INPUT);
  else if (!strcmp(k, "output")) lua_getiuservalue(L, 1, UV_OUTPUT);
  else return luaL_error(L, "equitune: no field \"%s\"; there are model, order, exact, combine, input, "
                            "output, start, step and the methods of modules", k);
  return 1;
}

static int tostring(lua_State *L) {
  static const char *const kinds[] = {"mean", "best", "weighted", "relaxed"};
  tuned *t = check_tuned(L, 1);
  lua_getiuservalue(L, 1, UV_PICK);
  const char *how = lua_isnil(L, -1) ? kinds[t->combine] : "canonical";
  lua_getiuservalue(L, 1, UV_MODEL);
  const char *model = lua_isfunction(L, -1) ? "function" : luaL_tolstring(L, -1, NULL);
  lua_pushfstring(L, "equitune(%s, %d elements)\n  model: %s", how, t->order, model);
  return 1;
}

static const eq_lua_doc docs[] = {
    {"equitune", "model, {input=, output=, combine=, chunk=, start=, token=, pick=} -> equituned",
     "Makes any model equivariant: M_G(x) = 1/|G| sum over g of g^-1 M(g x) (Basu et al., AAAI 2023,\n"
     "equation 3). model is anything that can be called with batched tensors; the orbit is stacked on "
     "dim 1.\n"
     "input: the action on the first argument, or a list for several (false: repeated, not moved).\n"
     "output: the action on the result; absent: trivial, the result is invariant.\n"
     "combine: equi.combine.mean (default), best, weighted or relaxed.\n"
     "chunk: group elements per call of the model, to bound memory (default: all).\n"
     "pick: function of the inputs that names one element per row: canonicalization, one pass only.\n"
     "start, token: actions of models with state, see equituned:step.\n"
     "The result is called like the model, and walks like a module: parameters, train, save.",
     "local G = equi.group.cyclic(2)\n"
     "local swap = equi.action.permutation(G, {{2, 1}})\n"
     "local first = equi.equitune(function(x) return x * equi.tensor({1, 0}) end,\n"
     "  {input = swap, output = swap})\n"
     "print(first(equi.tensor({{3, 5}})):totable()[1][1])  --> 1.5"},
    {0}};

int eq_lua_equitune(lua_State *L) {
  if (luaL_newmetatable(L, EQ_EQUITUNE)) {
    static const luaL_Reg events[] = {{"__call", call}, {"__tostring", tostring},
                                      {"__children", children}, {NULL, NULL}};
    luaL_setfuncs(L, events, 0);
    lua_newtable(L);
    lua_pushcfunction(L, start);
    lua_setfield(L, -2, "start");
    lua_pushcfunction(L, step);
    lua_setfield(L, -2, "step");
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "methods");
    lua_pushcclosure(L, get, 1);
    lua_setfield(L, -2, "__index");
  }
  lua_getfield(L, -1, "methods");
  lua_setfield(L, -3, "equitune_methods");
  lua_pop(L, 1);
  lua_pushcfunction(L, equitune);
  lua_setfield(L, -2, "equitune");
  eq_lua_add_docs(L, docs);
  return 0;
}
