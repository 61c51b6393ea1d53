/* random.c (binding) -- random tensors, random changes in place, and streams of one's own. */
#include "lua_equi.h"
#include <inttypes.h>
#include <string.h>

#define GENERATOR "equi.Generator"

typedef struct options {
  eq_dtype dtype;
  bool requires_grad, replacement;
  eq_rng *rng;
} options;

/* Reads the options at the last argument, if it is a table of them. The table moves to place 1: it
 * holds the generator while we fill. */
static options read_options(lua_State *L, const char *who, const char *const *valid,
                            eq_dtype dtype) {
  options o = {.dtype = dtype, .rng = &eq_default_rng};
  eq_lua_drop_empty(L, 1);
  int top = lua_gettop(L);
  if (!top || !eq_lua_is_options(L, top)) return o;
  eq_lua_check_keys(L, top, who, valid);
  if (lua_getfield(L, top, "dtype") != LUA_TNIL) o.dtype = eq_lua_checkdtype(L, -1, who);
  lua_getfield(L, top, "requires_grad");
  o.requires_grad = eq_lua_checkbool(L, -1, who, "requires_grad");
  lua_getfield(L, top, "replacement");
  o.replacement = lua_toboolean(L, -1);
  if (lua_getfield(L, top, "generator") != LUA_TNIL) {
    o.rng = luaL_testudata(L, -1, GENERATOR);
    if (!o.rng)
      luaL_error(L, "%s: generator must come from equi.generator, got %s", who, eq_lua_kind(L, -1));
  }
  lua_settop(L, top);
  lua_insert(L, 1); /* the options table keeps the generator while we fill */
  return o;
}

static const char *const made[] = {"dtype", "generator", "requires_grad", NULL};
static const char *const changed[] = {"generator", NULL};
static const char *const drawn[] = {"generator", "replacement", NULL};

/* First argument behind the options table, which read_options put to place 1. */
static int first(lua_State *L, int before) {
  return lua_gettop(L) && before && eq_lua_is_options(L, 1) ? 2 : 1;
}

static int finish(lua_State *L, eq_tensor *x, int bad, bool requires_grad, const char *who) {
  if (bad || (requires_grad && eq_require_grad(x, true))) return eq_lua_raise(L, who);
  return 1;
}

static eq_tensor *new_tensor(lua_State *L, eq_dtype t, int at, const char *who) {
  int64_t shape[EQ_MAXDIM];
  int n = eq_lua_all_sizes(L, at, shape, who);
  eq_lua_pressure(L);
  eq_tensor **box = eq_lua_newbox(L);
  *box = eq_empty(t, n, shape);
  if (!*box && eq_lua_retry(L, eq_error.status)) *box = eq_empty(t, n, shape);
  if (!*box) eq_lua_raise(L, who);
  return *box;
}

/* ---- constructors ---- */
static int rand_(lua_State *L) {
  options o = read_options(L, "rand", made, eq_lua_default_dtype(L));
  eq_tensor *x = new_tensor(L, o.dtype, first(L, 1), "rand");
  return finish(L, x, eq_fill_uniform(x, 0, 1, o.rng), o.requires_grad, "rand");
}

static int randn(lua_State *L) {
  options o = read_options(L, "randn", made, eq_lua_default_dtype(L));
  eq_tensor *x = new_tensor(L, o.dtype, first(L, 1), "randn");
  return finish(L, x, eq_fill_normal(x, 0, 1, o.rng), o.requires_grad, "randn");
}

static int randint(lua_State *L) { /* randint(low, high, sizes...) */
  options o = read_options(L, "randint", changed, EQ_I64);
  int at = first(L, 1);
  int64_t low = eq_lua_checkint(L, at, "randint", "low"),
          high = eq_lua_checkint(L, at + 1, "randint", "high");
  eq_tensor *x = new_tensor(L, EQ_I64, at + 2, "randint");
  return finish(L, x, eq_fill_whole(x, low, high, o.rng), false, "randint");
}

static int permutation(lua_State *L) {
  options o = read_options(L, "permutation", changed, EQ_I64);
  int64_t n = eq_lua_checkint(L, first(L, 1), "permutation", "n");
  eq_lua_pressure(L);
  eq_tensor **box = eq_lua_newbox(L);
  *box = eq_permutation(n, o.rng);
  return finish(L, *box, !*box, false, "permutation");
}

static int bernoulli(lua_State *L) { /* bernoulli(probabilities) */
  options o = read_options(L, "bernoulli", changed, EQ_F32);
  eq_tensor *p = eq_lua_checktensor(L, first(L, 1), "bernoulli", "p");
  if (!eq_is_float(p->dtype))
    return luaL_error(L, "bernoulli: p must have dtype f32 or f64, it is %s",
                      eq_dtype_name(p->dtype));
  for (int64_t i = 0; i < p->numel; i++) {
    double v = eq_get(p, i);
    if (!(v >= 0 && v <= 1)) return luaL_error(L, "bernoulli: p must be from 0 to 1, got %f", v);
  }
  eq_lua_pressure(L);
  eq_tensor **box = eq_lua_newbox(L);
  *box = eq_empty(p->dtype, p->ndim, p->shape);
  int bad = !*box || eq_fill_uniform(*box, 0, 1, o.rng);
  for (int64_t i = 0; !bad && i < p->numel; i++) eq_set(*box, i, eq_get(*box, i) < eq_get(p, i));
  return finish(L, *box, bad, false, "bernoulli");
}

static int multinomial(lua_State *L) { /* multinomial(weights, draws) */
  options o = read_options(L, "multinomial", drawn, EQ_I64);
  int at = first(L, 1);
  eq_tensor *w = eq_lua_checktensor(L, at, "multinomial", "weights");
  int64_t n = eq_lua_checkint(L, at + 1, "multinomial", "draws");
  eq_tensor **box = eq_lua_newbox(L);
  *box = eq_multinomial(w, n, o.replacement, o.rng);
  return finish(L, *box, !*box, false, "multinomial");
}

/* ---- in place ---- */
typedef int (*filler)(eq_tensor *x, double a, double b, eq_rng *rng);

static int change(lua_State *L, const char *who, filler f, const char *const *names, double a,
                  double b) {
  options o = read_options(L, who, changed, EQ_F32);
  int at = first(L, 1);
  eq_tensor *x = eq_lua_checktensor(L, at, who, "x");
  for (int k = 0; k < 2; k++)
    if (names[k] && !lua_isnoneornil(L, at + 1 + k))
      *(k ? &b : &a) = eq_lua_checknumber(L, at + 1 + k, who, names[k]);
  if (x->node && eq_grad_enabled)
    return luaL_error(L,
                      "%s: in-place changes are not recorded for gradients; use equi.no_grad, or "
                      "x:detach()",
                      who);
  if (f(x, a, b, o.rng)) return eq_lua_raise(L, who);
  lua_pushvalue(L, at);
  return 1;
}

static int bernoulli_in(eq_tensor *x, double p, double unused, eq_rng *rng) {
  (void)unused;
  return eq_fill_bernoulli(x, p, rng);
}

static const char *const ends[] = {"low", "high"}, *const moments[] = {"mean", "std"},
                         *const chance[] = {"p", NULL};
static int uniform_(lua_State *L) { return change(L, "uniform_", eq_fill_uniform, ends, 0, 1); }
static int normal_(lua_State *L) { return change(L, "normal_", eq_fill_normal, moments, 0, 1); }
static int bernoulli_(lua_State *L) {
  return change(L, "bernoulli_", bernoulli_in, chance, 0.5, 0);
}

/* ---- generators ---- */
static int generator(lua_State *L) {
  int64_t seed = eq_lua_checkint(L, 1, "generator", "seed");
  eq_rng *g = lua_newuserdatauv(L, sizeof *g, 0);
  *g = (eq_rng){.seed = (uint64_t)seed};
  luaL_setmetatable(L, GENERATOR);
  return 1;
}

static int generator_state(lua_State *L) { /* g:state() -> {seed, counter}; g:state(t) restores */
  eq_rng *g = luaL_checkudata(L, 1, GENERATOR);
  if (lua_istable(L, 2)) {
    int64_t v[2];
    if (eq_lua_sizes(L, 2, v, 2, "state", "state") != 2)
      return luaL_error(L, "state: state must be {seed, counter}");
    *g = (eq_rng){(uint64_t)v[0], (uint64_t)v[1]};
    return 0;
  }
  if (!lua_isnoneornil(L, 2))
    return luaL_error(L, "state: state must be {seed, counter}, got %s", eq_lua_kind(L, 2));
  lua_createtable(L, 2, 0);
  lua_pushinteger(L, (lua_Integer)g->seed);
  lua_rawseti(L, -2, 1);
  lua_pushinteger(L, (lua_Integer)g->counter);
  lua_rawseti(L, -2, 2);
  return 1;
}

static int generator_tostring(lua_State *L) {
  const eq_rng *g = luaL_checkudata(L, 1, GENERATOR);
  lua_pushfstring(L, "generator(seed %I, %I blocks used)", (LUAI_UACINT)g->seed,
                  (LUAI_UACINT)g->counter);
  return 1;
}

static const luaL_Reg functions[] = {{"rand", rand_},          {"randn", randn},
                                     {"randint", randint},     {"permutation", permutation},
                                     {"bernoulli", bernoulli}, {"multinomial", multinomial},
                                     {"generator", generator}, {NULL, NULL}};
static const luaL_Reg methods[] = {{"uniform_", uniform_},
                                   {"normal_", normal_},
                                   {"bernoulli_", bernoulli_},
                                   {"multinomial", multinomial},
                                   {NULL, NULL}};

static const eq_lua_doc docs[] = {
    {"rand", "sizes..., {dtype=, generator=, requires_grad=} -> x",
     "Random numbers uniform in [0, 1). The same seed gives the same numbers on any number of "
     "threads.",
     "equi.seed(1)\nprint(equi.rand(2, 3):lt(1):all():item())  --> true"},
    {"randn", "sizes..., {dtype=, generator=, requires_grad=} -> x",
     "Random numbers from the normal distribution with mean 0 and variance 1 (Box and Muller).",
     "print(equi.randn(2, 3):size())  --> 2 3"},
    {"randint", "low, high, sizes..., {generator=} -> x",
     "Random whole numbers from low to high, both included as in math.random; i64.",
     "print(equi.randint(3, 3, 2):sum():item())  --> 6"},
    {"permutation", "n, {generator=} -> x", "The numbers 1 to n in random order; i64.",
     "print(equi.permutation(4):sum():item())  --> 10"},
    {"bernoulli", "p, {generator=} -> x",
     "1 with the probability that p, a tensor, says, else 0; p's shape and dtype.",
     "print(equi.bernoulli(equi.ones(3)):sum():item())  --> 3.0"},
    {"multinomial", "weights, draws, {generator=, replacement=false} -> ids",
     "Draws from 1 .. C with probabilities proportional to weights of .. x C, which need not sum "
     "to 1; i64 of "
     ".. x draws.\nWithout replacement no id comes twice.",
     "print(equi.multinomial(equi.tensor({0, 0, 1}), 1):item())  --> 3"},
    {"generator", "seed -> g",
     "A stream of random numbers of its own, for {generator = g}. g:state() and g:state(t) save "
     "and restore.",
     "local g = equi.generator(7)\nprint(equi.rand(2, {generator = g}):size())  --> 2"},
    {"uniform_", "x, low=0, high=1, {generator=} -> x",
     "Fills x with numbers uniform in [low, high).",
     "print(equi.zeros(3):uniform_(2, 3):ge(2):all():item())  --> true"},
    {"normal_", "x, mean=0, std=1, {generator=} -> x", "Fills x with normally distributed numbers.",
     "print(equi.zeros(3):normal_(5, 0):sum():item())  --> 15.0"},
    {"bernoulli_", "x, p=0.5, {generator=} -> x", "Fills x with 1, with probability p, and 0.",
     "print(equi.zeros(3):bernoulli_(1):sum():item())  --> 3.0"},
    {0}};

int eq_lua_random(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
  lua_getfield(L, -1, "methods");
  luaL_setfuncs(L, methods, 0);
  lua_pop(L, 1);
  eq_lua_add_docs(L, docs);
  if (luaL_newmetatable(L, GENERATOR)) {
    lua_pushcfunction(L, generator_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, generator_state);
    lua_setfield(L, -2, "state");
    lua_setfield(L, -2, "__index");
  }
  lua_pop(L, 1);
  return 0;
}
