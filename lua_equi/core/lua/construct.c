/* construct.c (binding) -- tensors from tables, numbers, sizes and bytes. */
#include "lua_equi.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char default_key = 0; /* the state's default dtype: registry, by address */

eq_dtype eq_lua_default_dtype(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &default_key);
  eq_dtype t = lua_isinteger(L, -1) ? (eq_dtype)lua_tointeger(L, -1) : EQ_F32;
  lua_pop(L, 1);
  return t;
}

static int default_dtype_(lua_State *L) {
  eq_dtype old = eq_lua_default_dtype(L);
  if (!lua_isnoneornil(L, 1)) {
    const char *s = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : "";
    eq_dtype t = !strcmp(s, "f64") ? EQ_F64 : EQ_F32;
    if (t == EQ_F32 && strcmp(s, "f32"))
      return luaL_error(L, "default_dtype: dtype must be \"f32\" or \"f64\", got %s",
                        *s ? lua_pushfstring(L, "\"%s\"", s) : luaL_tolstring(L, 1, NULL));
    lua_pushinteger(L, t);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &default_key);
  }
  lua_pushstring(L, eq_dtype_name(old));
  return 1;
}

/* ---- options every constructor takes ---- */
typedef struct options {
  eq_dtype dtype;
  bool given, requires_grad;
} options;

/* Reads {dtype=, requires_grad=} at the last argument if it is one, and removes it. */
static options read_options(lua_State *L, const char *who) {
  static const char *const valid[] = {"dtype", "requires_grad", NULL};
  options o = {eq_lua_default_dtype(L), false, false};
  eq_lua_drop_empty(L, lua_type(L, 1) == LUA_TSTRING ? 2 : 1); /* frombytes("", {}): no dims */
  int top = lua_gettop(L);
  if (!top || !eq_lua_is_options(L, top)) return o;
  eq_lua_check_keys(L, top, who, valid);
  if (lua_getfield(L, top, "dtype") != LUA_TNIL) {
    o.dtype = eq_lua_checkdtype(L, -1, who);
    o.given = true;
  }
  lua_getfield(L, top, "requires_grad");
  o.requires_grad = eq_lua_checkbool(L, -1, who, "requires_grad");
  lua_settop(L, top - 1);
  return o;
}

static int finish(lua_State *L, eq_tensor *x, const options *o, const char *who) {
  if (!x) return eq_lua_raise(L, who);
  if (o->requires_grad && eq_require_grad(x, true)) return eq_lua_raise(L, who);
  return 1;
}

/* ---- sizes ---- */
int eq_lua_sizes(lua_State *L, int i, int64_t *out, int max, const char *who, const char *name) {
  bool table = lua_type(L, i) == LUA_TTABLE;
  int n = table ? (int)lua_rawlen(L, i) : lua_gettop(L) - i + 1;
  if (n > max) luaL_error(L, "%s: %s has %d entries, at most %d are possible", who, name, n, max);
  for (int k = 0; k < n; k++) {
    if (table)
      lua_rawgeti(L, i, k + 1);
    else
      lua_pushvalue(L, i + k);
    out[k] = eq_lua_checkint(L, -1, who, name);
    lua_pop(L, 1);
  }
  return n;
}

int eq_lua_all_sizes(lua_State *L, int i, int64_t *out, const char *who) {
  if (lua_type(L, i) == LUA_TTABLE && lua_gettop(L) > i)
    luaL_error(L, "%s: one list of sizes is enough, %s is left over", who,
               luaL_tolstring(L, i + 1, NULL));
  return eq_lua_sizes(L, i, out, EQ_MAXDIM, who, "sizes");
}

static int filled(lua_State *L, double value, const char *who) {
  options o = read_options(L, who);
  int64_t shape[EQ_MAXDIM];
  int n = eq_lua_all_sizes(L, 1, shape, who);
  eq_lua_pressure(L);
  eq_tensor **box = eq_lua_newbox(L);
  *box = value == 0 ? eq_zeros(o.dtype, n, shape) : eq_full(o.dtype, n, shape, value);
  if (!*box && eq_lua_retry(L, eq_error.status)) *box = eq_full(o.dtype, n, shape, value);
  return finish(L, *box, &o, who);
}

static int zeros(lua_State *L) { return filled(L, 0, "zeros"); }
static int ones(lua_State *L) { return filled(L, 1, "ones"); }

eq_tensor **eq_lua_scalar(lua_State *L, int i, eq_dtype t, const char *who) {
  bool truth = lua_isboolean(L, i), whole = truth || t == EQ_F32 || t == EQ_F64;
  lua_Integer n = 0;
  double v = truth ? lua_toboolean(L, i) : lua_tonumber(L, i);
  if (!whole) {
    int is;
    n = lua_tointegerx(L, i, &is);
    whole = is && (t == EQ_I64 || (n >= 0 && n <= (t == EQ_U8 ? 255 : 1)));
  }
  if (!whole)
    luaL_error(L, "%s: the number %s does not fit %s tensor; convert it: x:to \"f32\"", who,
               luaL_tolstring(L, i, NULL), eq_lua_a_dtype(t));
  eq_tensor **box = eq_lua_newbox(L);
  if (!(*box = eq_scalar(t, v))) eq_lua_raise(L, who);
  if (t == EQ_I64 && !truth) *(int64_t *)(void *)(*box)->data = n; /* more digits than v */
  return box;
}

static int full(lua_State *L) { /* full({2, 3}, value) */
  options o = read_options(L, "full");
  int64_t shape[EQ_MAXDIM];
  if (lua_type(L, 1) != LUA_TTABLE || lua_type(L, 2) != LUA_TNUMBER || lua_gettop(L) > 2)
    return luaL_error(L, "full: call it as full({2, 3}, value)");
  eq_tensor **value = eq_lua_scalar(L, 2, o.dtype, "full");
  lua_replace(L, 2);
  lua_pushvalue(L, 1);
  int n = eq_lua_sizes(L, 3, shape, EQ_MAXDIM, "full", "sizes");
  eq_tensor **box = eq_lua_newbox(L);
  *box = eq_empty(o.dtype, n, shape);
  if (*box && eq_copy(*box, *value)) return eq_lua_raise(L, "full");
  return finish(L, *box, &o, "full");
}

/* ---- from nested tables ---- */
typedef struct nest {
  int ndim;
  int64_t shape[EQ_MAXDIM];
  bool all_bool;
} nest;

/* The shape, read along the first entries; read_nested checks that the rest agrees. */
static void measure(lua_State *L, int i, nest *s) {
  int top = lua_gettop(L);
  s->ndim = 0;
  lua_pushvalue(L, i);
  while (lua_type(L, -1) == LUA_TTABLE) {
    if (s->ndim == EQ_MAXDIM) luaL_error(L, "tensor: tables are nested deeper than %d", EQ_MAXDIM);
    int64_t n = (int64_t)lua_rawlen(L, -1);
    s->shape[s->ndim++] = n;
    if (n == 0) break;
    lua_rawgeti(L, -1, 1);
  }
  s->all_bool = lua_type(L, -1) == LUA_TBOOLEAN;
  lua_settop(L, top);
}

static void store(lua_State *L, eq_tensor *x, int64_t flat) {
  if (x->dtype == EQ_BOOL) {
    if (!lua_isboolean(L, -1))
      luaL_error(L, "tensor: a bool tensor takes true and false, got %s", eq_lua_kind(L, -1));
    ((bool *)(void *)x->data)[flat] = lua_toboolean(L, -1);
    return;
  }
  if (lua_type(L, -1) != LUA_TNUMBER)
    luaL_error(L, "tensor: entries must be numbers, got %s at entry %I", eq_lua_kind(L, -1),
               (LUAI_UACINT)flat + 1);
  double v = lua_tonumber(L, -1);
  switch (x->dtype) {
  case EQ_F32: ((float *)(void *)x->data)[flat] = (float)v; break;
  case EQ_F64: ((double *)(void *)x->data)[flat] = v; break;
  default: {
    int ok;
    lua_Integer n = lua_tointegerx(L, -1, &ok);
    if (!ok || (x->dtype == EQ_U8 && (n < 0 || n > 255)))
      luaL_error(L, "tensor: %s does not fit into %s tensor", luaL_tolstring(L, -1, NULL),
                 eq_lua_a_dtype(x->dtype));
    if (x->dtype == EQ_I64)
      ((int64_t *)(void *)x->data)[flat] = n;
    else
      ((uint8_t *)x->data)[flat] = (uint8_t)n;
  }
  }
}

static void read_nested(lua_State *L, eq_tensor *x, int d, int64_t *flat) {
  luaL_checkstack(L, 4, "tensor");
  if (d == x->ndim) {
    store(L, x, (*flat)++);
    return;
  }
  if (lua_type(L, -1) != LUA_TTABLE || (int64_t)lua_rawlen(L, -1) != x->shape[d])
    luaL_error(L, "tensor: rows differ: expected %I entries at depth %d, got %s of %I",
               (LUAI_UACINT)x->shape[d], d + 1, eq_lua_kind(L, -1),
               (LUAI_UACINT)(lua_type(L, -1) == LUA_TTABLE ? (int64_t)lua_rawlen(L, -1) : 1));
  for (int64_t k = 0; k < x->shape[d]; k++) {
    lua_rawgeti(L, -1, k + 1);
    read_nested(L, x, d + 1, flat);
    lua_pop(L, 1);
  }
}

static int tensor(lua_State *L) {
  options o = read_options(L, "tensor");
  eq_tensor *y = eq_lua_totensor(L, 1);
  nest s;
  int64_t flat = 0;
  if (lua_gettop(L) != 1 || lua_isnil(L, 1))
    return luaL_error(L,
                      "tensor: call it as tensor(numbers, {dtype = ...}) with one table or number");
  eq_lua_pressure(L);
  eq_tensor **box = eq_lua_newbox(L);
  if (y) {
    eq_dtype t = o.given ? o.dtype : y->dtype;
    *box = eq_empty(t, y->ndim, y->shape);
    if (!*box || eq_copy(*box, y)) return eq_lua_raise(L, "tensor");
    return finish(L, *box, &o, "tensor");
  }
  measure(L, 1, &s);
  *box = eq_empty(!o.given && s.all_bool ? EQ_BOOL : o.dtype, s.ndim, s.shape);
  if (!*box) return eq_lua_raise(L, "tensor");
  lua_pushvalue(L, 1);
  read_nested(L, *box, 0, &flat);
  lua_pop(L, 1);
  return finish(L, *box, &o, "tensor");
}

static int frombytes(lua_State *L) { /* frombytes(string, {sizes}, {dtype=}) */
  options o = read_options(L, "frombytes");
  size_t len;
  int64_t shape[EQ_MAXDIM];
  if (lua_type(L, 1) != LUA_TSTRING) return luaL_error(L, "frombytes: needs a string of bytes");
  const char *s = lua_tolstring(L, 1, &len);
  int n = 1;
  if (lua_isnoneornil(L, 2))
    shape[0] = (int64_t)(len / eq_size(o.dtype));
  else
    n = eq_lua_sizes(L, 2, shape, EQ_MAXDIM, "frombytes", "sizes");
  eq_tensor **box = eq_lua_newbox(L);
  *box = eq_empty(o.dtype, n, shape);
  if (!*box) return eq_lua_raise(L, "frombytes");
  if ((size_t)(*box)->numel * eq_size(o.dtype) != len)
    return luaL_error(L,
                      "frombytes: %I bytes do not fill %s of %s, %d bytes each; {dtype = ...} "
                      "says what the bytes are",
                      (LUAI_UACINT)len, eq_shape_of(*box), eq_dtype_name(o.dtype),
                      (int)eq_size(o.dtype));
  for (size_t i = 0; o.dtype == EQ_BOOL && i < len; i++)
    if ((unsigned char)s[i] > 1)
      return luaL_error(L, "frombytes: byte %I is %d; a bool tensor takes 0 and 1",
                        (LUAI_UACINT)i + 1, (unsigned char)s[i]);
  memcpy((*box)->data, s, len);
  return finish(L, *box, &o, "frombytes");
}

/* ---- ranges ---- */
static int
arange(lua_State *L) { /* arange(last) or arange(first, last, step): both ends included */
  options o = read_options(L, "arange");
  double a = 1, b = eq_lua_checknumber(L, 1, "arange", lua_isnoneornil(L, 2) ? "last" : "first"),
         step = lua_isnoneornil(L, 3) ? 1 : eq_lua_checknumber(L, 3, "arange", "step");
  bool whole = lua_isinteger(L, 1) && (lua_isnoneornil(L, 2) || lua_isinteger(L, 2)) &&
               (lua_isnoneornil(L, 3) || lua_isinteger(L, 3));
  if (!lua_isnoneornil(L, 2)) {
    a = b;
    b = eq_lua_checknumber(L, 2, "arange", "last");
  }
  if (step == 0 || !isfinite(a) || !isfinite(b) || !isfinite(step))
    return luaL_error(L, "arange: step must not be 0 and all ends must be finite");
  double span = floor((b - a) / step + 1e-9) + 1;
  int64_t n = span > 0 ? (span < 1e15 ? (int64_t)span : (int64_t)1 << 50) : 0;
  eq_tensor **box = eq_lua_newbox(L);
  if (o.given && o.dtype == EQ_U8 && n > 0 && (fmin(a, b) < 0 || fmax(a, b) > 255))
    return luaL_error(L, "arange: %f to %f does not fit a u8 tensor", a, b);
  *box = eq_empty(o.given ? o.dtype : whole ? EQ_I64 : o.dtype, 1, &n);
  if (!*box) return eq_lua_raise(L, "arange");
  for (int64_t i = 0; i < n; i++) eq_set(*box, i, a + (double)i * step);
  return finish(L, *box, &o, "arange");
}

static int linspace(lua_State *L) {
  options o = read_options(L, "linspace");
  double a = eq_lua_checknumber(L, 1, "linspace", "first"),
         b = eq_lua_checknumber(L, 2, "linspace", "last");
  int64_t n = eq_lua_checkint(L, 3, "linspace", "count");
  eq_tensor **box = eq_lua_newbox(L);
  *box = eq_empty(o.dtype, 1, &n);
  if (!*box) return eq_lua_raise(L, "linspace");
  for (int64_t i = 0; i < n; i++)
    eq_set(*box, i, n == 1 ? a : i == n - 1 ? b : a + (b - a) * (double)i / (double)(n - 1));
  return finish(L, *box, &o, "linspace");
}

static int eye(lua_State *L) {
  options o = read_options(L, "eye");
  int64_t shape[2] = {eq_lua_checkint(L, 1, "eye", "n"), 0};
  shape[1] = lua_isnoneornil(L, 2) ? shape[0] : eq_lua_checkint(L, 2, "eye", "m");
  eq_tensor **box = eq_lua_newbox(L);
  *box = eq_zeros(o.dtype, 2, shape);
  if (!*box) return eq_lua_raise(L, "eye");
  for (int64_t i = 0; i < shape[0] && i < shape[1]; i++) eq_set(*box, i * shape[1] + i, 1);
  return finish(L, *box, &o, "eye");
}

static const luaL_Reg functions[] = {
    {"tensor", tensor}, {"zeros", zeros},         {"ones", ones},
    {"full", full},     {"arange", arange},       {"linspace", linspace},
    {"eye", eye},       {"frombytes", frombytes}, {"default_dtype", default_dtype_},
    {NULL, NULL}};

static const eq_lua_doc docs[] = {
    {"tensor", "values, {dtype=, requires_grad=} -> x",
     "A tensor from a number, nested tables of numbers or booleans, or a copy of a tensor.\nRows "
     "must "
     "have equal lengths. dtype: f32 by default (bool for booleans).",
     "local x = equi.tensor({{1, 2}, {3, 4}})\nprint(x[2][1]:item())  --> 3.0"},
    {"zeros", "sizes..., {dtype=, requires_grad=} -> x", "A tensor of zeros.",
     "print(equi.zeros(2, 3):size())  --> 2 3"},
    {"ones", "sizes..., {dtype=, requires_grad=} -> x", "A tensor of ones.",
     "print(equi.ones({2, 2}):sum():item())  --> 4.0"},
    {"full", "{sizes}, value, {dtype=, requires_grad=} -> x", "A tensor filled with one value.",
     "print(equi.full({2}, 7)[2]:item())  --> 7.0"},
    {"arange", "[first=1,] last, step=1, {dtype=} -> x",
     "Numbers from first to last, both included. i64 when all arguments are whole numbers.",
     "print(equi.arange(5):sum():item())  --> 15"},
    {"linspace", "first, last, count, {dtype=} -> x", "count numbers evenly spaced, ends included.",
     "print(equi.linspace(0, 1, 5)[2]:item())  --> 0.25"},
    {"eye", "n, m=n, {dtype=} -> x", "The n x m matrix with ones on the diagonal.",
     "print(equi.eye(3):sum():item())  --> 3.0"},
    {"frombytes", "bytes, {sizes}=nil, {dtype=} -> x",
     "A tensor from a binary string, row-major, in the host's byte order.",
     "print(equi.frombytes(\"\\1\\2\", {2}, {dtype = \"u8\"})[2]:item())  --> 2"},
    {"default_dtype", "dtype=nil -> old", "The dtype constructors use: \"f32\", or \"f64\".",
     "print(equi.default_dtype())  --> f32"},
    {0}};

int eq_lua_construct(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
  eq_lua_add_docs(L, docs);
  return 0;
}
