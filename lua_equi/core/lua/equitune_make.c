/* equitune_make.c (binding) -- making an equituned model, its fields and its documentation.
 *
 * NOT here: calling it (equitune.c). Methods of modules (parameters, train, ...) are added from Lua
 * to core.equitune_methods; the walk over modules finds what is inside through __children, clone
 * makes copies through __clone. */
#include "tuned.h"
#include <string.h>

static const char *const kinds[] = {"mean", "best", "weighted", "relaxed", NULL};

/* ---- reading options ---- */
static bool is_callable(lua_State *L, int i) {
  if (lua_isfunction(L, i)) return true;
  if (luaL_getmetafield(L, i, "__call") == LUA_TNIL) return false;
  lua_pop(L, 1);
  return true;
}

/* What the lists of actions have in common so far. */
typedef struct common {
  const eq_group *group;
  const char *name; /* who brought the group */
  bool exact;
} common;

/* The entry on top of the stack: an action of the common group, or false when that is allowed. */
static void check_entry(lua_State *L, const char *name, common *c) {
  if (lua_isboolean(L, -1) && !lua_toboolean(L, -1)) return;
  const eq_action *a = eq_lua_toaction(L, -1);
  if (!a && luaL_testudata(L, -1, EQ_ACTION))
    luaL_error(L, "equitune: %s holds a tuple of actions; give the list of its parts", name);
  if (!a)
    luaL_error(L,
               "equitune: %s must be an action, or a list of actions and false, got %s; "
               "equi.action makes them",
               name, eq_lua_kind(L, -1));
  if (!c->group) {
    c->group = a->group;
    c->name = name;
  }
  if (!eq_group_same(c->group, a->group))
    luaL_error(L, "equitune: %s has an action of %s, %s of %s; all must be of one group", name,
               a->group->title, c->name, c->group->title);
  c->exact = c->exact && a->exact;
}

/* The list on top (or a single action) becomes a list of our own in user value `slot`. */
static int read_actions(lua_State *L, int self, int slot, const char *name, common *c) {
  int given = lua_gettop(L), n = lua_istable(L, given) ? (int)lua_rawlen(L, given) : 1;
  if (n == 0 || n > EQ_TUNED_MAXIN)
    luaL_error(L, "equitune: %s lists %d actions; 1 to %d can be given", name, n, EQ_TUNED_MAXIN);
  lua_createtable(L, n, 0);
  for (int k = 1; k <= n; k++) {
    if (lua_istable(L, given))
      lua_rawgeti(L, given, k);
    else
      lua_pushvalue(L, given);
    check_entry(L, name, c);
    lua_rawseti(L, given + 1, k);
  }
  lua_setiuservalue(L, self, slot);
  return n;
}

static int refuse_combine(lua_State *L, int i) {
  return luaL_error(L,
                    "equitune: combine must be made by equi.combine: mean, best(score), "
                    "weighted(net) or relaxed(ids, size); got %s",
                    eq_lua_kind(L, i));
}

/* The combination on top, one of equi.combine's. */
static void read_combine(lua_State *L, eq_tuned *t, int self) {
  int c = lua_gettop(L), kind = -1;
  if (!lua_istable(L, c) || lua_getfield(L, c, "kind") != LUA_TSTRING) refuse_combine(L, c);
  for (int k = 0; kinds[k]; k++)
    if (!strcmp(kinds[k], lua_tostring(L, -1))) kind = k;
  if (kind < 0) refuse_combine(L, c);
  t->combine = (eq_combination)kind;
  if (lua_getfield(L, c, "tolerance") == LUA_TNUMBER) t->tolerance = lua_tonumber(L, -1);
  lua_getfield(L, c, "softmax");
  t->softmax = lua_toboolean(L, -1);
  t->of_results =
      lua_getfield(L, c, "of") == LUA_TSTRING && !strcmp(lua_tostring(L, -1), "results");
  lua_settop(L, c);
  lua_setiuservalue(L, self, EQ_UV_COMBINE);
}

static void read_lists(lua_State *L, eq_tuned *t, int self) {
  static const struct {
    const char *name;
    int slot;
  } lists[] = {{"input", EQ_UV_INPUT},
               {"output", EQ_UV_OUTPUT},
               {"start", EQ_UV_START},
               {"token", EQ_UV_TOKEN}};
  common c = {.exact = true};
  t->nout = 1;
  for (int k = 0; k < 4; k++) {
    int n = 0;
    if (lua_getfield(L, 2, lists[k].name) != LUA_TNIL)
      n = read_actions(L, self, lists[k].slot, lists[k].name, &c);
    lua_settop(L, self);
    if (lists[k].slot == EQ_UV_OUTPUT && n > 0) t->nout = n;
    if (k == 0 && !c.group)
      luaL_error(L,
                 "equitune: input is missing: the action on the model's input, or a list with at "
                 "least one action");
  }
  t->order = c.group->order;
  t->identity = c.group->identity;
  t->exact = c.exact;
}

static void read_chunk(lua_State *L, eq_tuned *t) {
  t->chunk = t->order;
  if (lua_getfield(L, 2, "chunk") != LUA_TNIL) {
    int64_t n = eq_lua_checkint(L, -1, "equitune", "chunk");
    if (n < 1) luaL_error(L, "equitune: chunk must be at least 1 element, got %I", (LUAI_UACINT)n);
    if (n < t->order) t->chunk = (int)n;
  }
  lua_pop(L, 1);
}

/* pick chooses the elements itself, so that nothing is left to combine or to cut up. */
static void read_pick(lua_State *L, int self) {
  static const char *const others[] = {"combine", "chunk", "start", "token"};
  if (!is_callable(L, -1))
    luaL_error(L,
               "equitune: pick must be a function of the inputs that returns an element for each "
               "row, got %s",
               eq_lua_kind(L, -1));
  for (int k = 0; k < 4; k++) {
    if (lua_getfield(L, 2, others[k]) != LUA_TNIL)
      luaL_error(L, "equitune: pick goes without %s: it chooses the elements that run", others[k]);
    lua_pop(L, 1);
  }
  lua_setiuservalue(L, self, EQ_UV_PICK);
}

static void check_model(lua_State *L) {
  if (is_callable(L, 1)) return;
  if (lua_istable(L, 1) && lua_getfield(L, 1, "step") != LUA_TNIL) return;
  luaL_error(L,
             "equitune: the model must be a function, a module or a table with start and step, "
             "got %s",
             eq_lua_kind(L, 1));
}

static int equitune(lua_State *L) { /* equitune(model, {input =, output =, ...}) */
  static const char *const valid[] = {"input", "output", "combine", "chunk",
                                      "start", "token",  "pick",    NULL};
  const int self = 3;
  check_model(L);
  if (!lua_istable(L, 2))
    return luaL_error(L,
                      "equitune: the second argument must be a table of options, {input = action, "
                      "...}, got %s",
                      eq_lua_kind(L, 2));
  eq_lua_check_keys(L, 2, "equitune", valid);
  lua_settop(L, 2);
  eq_tuned *t = lua_newuserdatauv(L, sizeof *t, EQ_UV_COUNT);
  memset(t, 0, sizeof *t);
  luaL_setmetatable(L, EQ_EQUITUNE);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, self, EQ_UV_MODEL);
  read_lists(L, t, self);
  if (lua_getfield(L, 2, "combine") != LUA_TNIL) read_combine(L, t, self);
  lua_settop(L, self);
  read_chunk(L, t);
  if (lua_getfield(L, 2, "pick") != LUA_TNIL) read_pick(L, self);
  lua_settop(L, self);
  return 1;
}

/* ---- as a module ---- */
/* The value on top becomes the field of the table below it if modules may be in it, else goes. */
static void keep_child(lua_State *L, const char *name) {
  if (lua_istable(L, -1) || lua_isuserdata(L, -1))
    lua_setfield(L, -2, name);
  else
    lua_pop(L, 1);
}

static int children(lua_State *L) {
  eq_lua_checktuned(L, 1);
  lua_createtable(L, 0, 4);
  lua_getiuservalue(L, 1, EQ_UV_MODEL);
  keep_child(L, "model");
  lua_getiuservalue(L, 1, EQ_UV_PICK);
  keep_child(L, "pick");
  if (lua_getiuservalue(L, 1, EQ_UV_COMBINE) == LUA_TTABLE) {
    int combine = lua_gettop(L);
    lua_pushvalue(L, combine - 1);
    lua_getfield(L, combine, "net");
    keep_child(L, "weight");
    lua_getfield(L, combine, "score");
    keep_child(L, "score");
    return 1;
  }
  lua_pop(L, 1);
  return 1;
}

/* __clone(self, seen, copy): a new one with copies of what it holds; noted in `seen` before, for
 * models that refer to their own equituned version. */
static int clone(lua_State *L) {
  eq_tuned *t = eq_lua_checktuned(L, 1), *u = lua_newuserdatauv(L, sizeof *u, EQ_UV_COUNT);
  int self = lua_gettop(L);
  *u = *t;
  luaL_setmetatable(L, EQ_EQUITUNE);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, self);
  lua_settable(L, 2);
  for (int slot = EQ_UV_MODEL; slot <= EQ_UV_COUNT; slot++) {
    bool shared = slot >= EQ_UV_INPUT && slot <= EQ_UV_TOKEN; /* lists of actions never change */
    if (!shared) lua_pushvalue(L, 3);
    lua_getiuservalue(L, 1, slot);
    if (!shared) lua_call(L, 1, 1);
    lua_setiuservalue(L, self, slot);
  }
  return 1;
}

/* ---- fields ---- */
/* Pushes a copy of a list of actions: the list itself must stay as it was checked. */
static void push_list(lua_State *L, int slot) {
  int n = eq_lua_tuned_length(L, slot);
  if (n == 0) {
    lua_pushnil(L);
    return;
  }
  lua_createtable(L, n, 0);
  lua_getiuservalue(L, 1, slot);
  for (int k = 1; k <= n; k++) {
    lua_rawgeti(L, -1, k);
    lua_rawseti(L, -3, k);
  }
  lua_pop(L, 1);
}

static void push_group(lua_State *L) {
  lua_getiuservalue(L, 1, EQ_UV_INPUT);
  for (int k = 1; lua_rawgeti(L, -1, k) != LUA_TUSERDATA; k++) lua_pop(L, 1);
  lua_getiuservalue(L, -1, EQ_UV_GROUP);
}

/* Upvalue 1: the methods. Those of modules load when first asked for (init.lua). */
static int get(lua_State *L) {
  const eq_tuned *t = eq_lua_checktuned(L, 1);
  lua_settop(L, 2);
  const char *k = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
  if (!strcmp(k, "model"))
    lua_getiuservalue(L, 1, EQ_UV_MODEL);
  else if (!strcmp(k, "group"))
    push_group(L);
  else if (!strcmp(k, "order"))
    lua_pushinteger(L, t->order);
  else if (!strcmp(k, "chunk"))
    lua_pushinteger(L, t->chunk);
  else if (!strcmp(k, "exact"))
    lua_pushboolean(L, t->exact);
  else if (!strcmp(k, "combine"))
    lua_getiuservalue(L, 1, EQ_UV_COMBINE);
  else if (!strcmp(k, "pick"))
    lua_getiuservalue(L, 1, EQ_UV_PICK);
  else if (!strcmp(k, "input"))
    push_list(L, EQ_UV_INPUT);
  else if (!strcmp(k, "output"))
    push_list(L, EQ_UV_OUTPUT);
  else if (lua_pushvalue(L, 2), lua_gettable(L, lua_upvalueindex(1)) == LUA_TNIL)
    return luaL_error(L,
                      "equitune: no field \"%s\"; there are model, group, order, input, output, "
                      "combine, pick, chunk, exact, start, step and the methods of modules",
                      k);
  return 1;
}

static int set(lua_State *L) {
  return luaL_error(L, "equitune: an equituned model is not changed by assignment; change what its "
                       "field model holds, or make another one");
}

static int tostring(lua_State *L) {
  const eq_tuned *t = eq_lua_checktuned(L, 1);
  bool picks = lua_getiuservalue(L, 1, EQ_UV_PICK) != LUA_TNIL;
  push_group(L);
  const eq_group *g = eq_lua_togroup(L, -1);
  int type = lua_getiuservalue(L, 1, EQ_UV_MODEL);
  const char *model = type == LUA_TFUNCTION ? "a function" : luaL_tolstring(L, -1, NULL);
  lua_pushfstring(L, "equitune(%s, %s, order %d)\n  model: %s", picks ? "pick" : kinds[t->combine],
                  g ? g->title : "a closed group", t->order, model);
  return 1;
}

/* ---- registration ---- */
static const eq_lua_doc docs[] = {
    {"equitune", "model, {input=, output=, combine=, chunk=, pick=, start=, token=} -> equituned",
     "Makes any model equivariant: M_G(x) = 1/|G| sum over g of g^-1 M(g x) (Basu et al., AAAI "
     "2023,\n"
     "equation 3). The model is anything that can be called with tensors whose first dim is the "
     "batch;\n"
     "the orbit is stacked along it.\n"
     "input: the action on the first argument, or a list for several (false: repeated, not "
     "moved).\n"
     "Later arguments are handed on as they are; arguments after the first moved one may be nil.\n"
     "output: the action on the result, or a list for several results; absent: the result is "
     "invariant.\n"
     "combine: equi.combine.mean (default), best, weighted or relaxed.\n"
     "chunk: elements per call of the model, to bound memory (default: all). Values do not "
     "change.\n"
     "pick: function of the inputs that returns, for each row, the number of the element h(x) "
     "with\n"
     "h(g x) = g h(x); the result is h(x) M(h(x)^-1 x), one pass of the model (Kaba et al. 2023).\n"
     "With [B, F] numbers the F results are averaged (frames, Puny et al. 2022).\n"
     "start, token: actions for models with state, see equituned:start.\n"
     "The result is called like the model. It has the methods of modules (parameters, train, "
     "state_dict,\n"
     "to, clone, ...) and the fields model, group, order, input, output, combine (nil: mean), "
     "pick, "
     "chunk\nand exact.",
     "local G = equi.group.cyclic(2)\n"
     "local swap = equi.action.permutation(G, {{2, 1}})\n"
     "local first = equi.equitune(function(v) return v * equi.tensor({1, 0}) end,\n"
     "  {input = swap, output = swap})\n"
     "print(first(equi.tensor({{3, 5}})):totable()[1][1])  --> 1.5"},
    {"equituned:start", "... -> state",
     "Calls the model's start with the orbit of the inputs: the state of all |G| branches at "
     "once.\n"
     "The actions are those of the option start, or else of input.",
     "local G = equi.group.cyclic(2)\n"
     "local ids = equi.action.vocabulary(G, {size = 3, swaps = {{2, 3}}})\n"
     "local counter = {start = function(_, v) return v:size(1) end, step = function() end}\n"
     "local tuned = equi.equitune(counter, {input = ids})\n"
     "print(tuned:start(equi.tensor({{1, 2}}, {dtype = \"i64\"})))  --> 2"},
    {"equituned:step", "state, token, ... -> result, state",
     "One step of a model with state: every branch gets its own image of the token [B], the "
     "results\n"
     "are moved back and combined, so that all branches share one choice. The model's method\n"
     "step(state, token, ...) returns its results and the next state. The action on the token is "
     "the\n"
     "option token, or else that of the first input.",
     "local G = equi.group.cyclic(2)\n"
     "local opts = {size = 3, swaps = {{2, 3}}}\n"
     "local ids = equi.action.vocabulary(G, opts)\n"
     "opts.what = \"logits\"\n"
     "local echo = {start = function() return 0 end}\n"
     "function echo.step(_, state, token) return token:one_hot(3):to \"f32\", state + 1 end\n"
     "local tuned = equi.equitune(echo, {input = ids, output = equi.action.vocabulary(G, opts)})\n"
     "local y, state = tuned:step(0, equi.tensor({2}, {dtype = \"i64\"}))\n"
     "print(y[{1, 2}]:item(), state)  --> 1.0 1"},
    {0}};

int eq_lua_equitune(lua_State *L) {
  if (luaL_newmetatable(L, EQ_EQUITUNE)) {
    static const luaL_Reg events[] = {{"__call", eq_lua_tuned_call}, {"__tostring", tostring},
                                      {"__children", children},      {"__clone", clone},
                                      {"__newindex", set},           {NULL, NULL}};
    static const luaL_Reg methods[] = {
        {"start", eq_lua_tuned_start}, {"step", eq_lua_tuned_step}, {NULL, NULL}};
    luaL_setfuncs(L, events, 0);
    luaL_newlib(L, methods);
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
