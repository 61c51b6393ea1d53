/* index.c (binding) -- x[1], x[{1, {2, 5}}], x[mask], x[ids], and assignment to them.
 *
 * In a table every entry takes one dim: a number selects and drops the dim, {from, to} or
 * {from, to, step} takes a range (both ends included, negative from the end), {} takes all. */
#include "lua_equi.h"
#include <inttypes.h>

/* 1-based or negative position in a dim of size n -> 0-based. */
static int64_t position(lua_State *L, int64_t i, int64_t n, int d) {
  int64_t k = i < 0 ? i + n : i - 1;
  if (i == 0 || k < 0 || k >= n)
    luaL_error(L, "index: position %I of dim %d is out of range, the dim has %I", (LUAI_UACINT)i,
               d + 1, (LUAI_UACINT)n);
  return k;
}

/* A key that is a name, as in x[{dim = 1}], would be left out in silence. */
static void check_places(lua_State *L, int at) {
  lua_pushnil(L);
  while (lua_next(L, at)) {
    lua_pop(L, 1);
    if (lua_type(L, -1) != LUA_TNUMBER)
      luaL_error(L,
                 "index: positions stand in a list, one for each dim, got the key %s; x[{1, {2, "
                 "5}}] is entry 1 of dim 1 and entries 2 to 5 of dim 2",
                 luaL_tolstring(L, -1, NULL));
  }
}

/* Replaces *box by `next`, made from it. */
static void advance(lua_State *L, eq_tensor **box, eq_tensor *next) {
  if (!next) eq_lua_raise(L, "index");
  eq_release(*box);
  *box = next;
}

static void take_range(lua_State *L, eq_tensor **box, int at, int d) {
  int64_t n = (*box)->shape[d], from = 1, to = n, step = 1;
  int len = (int)lua_rawlen(L, at);
  int64_t *part[] = {&from, &to, &step};
  check_places(L, at);
  if (len > 3)
    luaL_error(L, "index: a range is {from, to} or {from, to, step}, got %d numbers", len);
  for (int k = 0; k < len; k++) {
    lua_rawgeti(L, at, k + 1);
    *part[k] = eq_lua_checkint(L, -1, "index", "a range's end");
    lua_pop(L, 1);
  }
  if (len == 0) return;
  if (step < 1)
    luaL_error(L, "index: the step of a range must be at least 1, got %I; use flip to go backwards",
               (LUAI_UACINT)step);
  int64_t b = from < 0 ? from + n : from - 1, e = len < 2 ? n : to < 0 ? to + n + 1 : to;
  if (from == 0 || b < 0 || e > n || e < b)
    luaL_error(L, "index: range {%I, %I} does not fit dim %d of size %I", (LUAI_UACINT)from,
               (LUAI_UACINT)(len < 2 ? n : to), d + 1, (LUAI_UACINT)n);
  if (step > n) step = n ? n : 1; /* names the first entry only, and nothing overflows */
  advance(L, box, eq_f("slice", "tiiii", *box, (int64_t)d, b, e, step));
}

/* The positions along dim d that the tensor k names; whatever is no i64 would be read as if it
 * were. */
static void take_positions(lua_State *L, eq_tensor **box, const eq_tensor *k, int d) {
  if (k->dtype != EQ_I64)
    luaL_error(L,
               k->dtype == EQ_BOOL
                   ? "index: a mask (%s) stands alone: x[mask]; beside other positions "
                     "use mask:nonzero():reshape(-1)"
                   : "index: positions must have dtype i64, they are %s; convert them: "
                     "ids:to \"i64\"",
               eq_dtype_name(k->dtype));
  advance(L, box, eq_f("index_select", "tit", *box, (int64_t)d, k));
}

/* Walks the table at stack place `at`; the result is in the box on top of the stack. From the last
 * dim to the first: so a dim that a number drops does not change the count of the others. */
static void take_table(lua_State *L, eq_tensor **box, int at) {
  int n = (int)lua_rawlen(L, at);
  check_places(L, at);
  if (n > (*box)->ndim)
    luaL_error(L, "index: %d positions for %s, which has %d dims", n, eq_shape_of(*box),
               (*box)->ndim);
  for (int d = n - 1; d >= 0; d--) {
    int kind = lua_rawgeti(L, at, d + 1);
    if (kind == LUA_TTABLE) {
      take_range(L, box, lua_gettop(L), d);
    } else if (eq_lua_totensor(L, -1)) {
      take_positions(L, box, eq_lua_totensor(L, -1), d);
    } else {
      int64_t i = eq_lua_checkint(L, -1, "index", "a position");
      i = position(L, i, (*box)->shape[d], d);
      advance(L, box, eq_f("select", "tii", *box, (int64_t)d, i));
    }
    lua_pop(L, 1);
  }
}

/* Pushes the part of x that the key at `key` names. */
static eq_tensor **take(lua_State *L, eq_tensor *x, int key) {
  eq_tensor **box = eq_lua_newbox(L);
  eq_tensor *k = eq_lua_totensor(L, key);
  *box = eq_retain(x);
  if (lua_type(L, key) == LUA_TTABLE) {
    take_table(L, box, key);
  } else if (k && (k->dtype == EQ_BOOL || k->dtype == EQ_U8)) {
    advance(L, box, eq_f("masked_select", "tt", x, k));
  } else if (k) {
    if (x->ndim == 0) luaL_error(L, "index: x is a single number; use x:item()");
    take_positions(L, box, k, 0);
  } else {
    if (x->ndim == 0) luaL_error(L, "index: x is a single number; use x:item()");
    int64_t i = eq_lua_checkint(L, key, "index", "a position");
    advance(L, box, eq_f("select", "tii", x, (int64_t)0, position(L, i, x->shape[0], 0)));
  }
  return box;
}

static int get(lua_State *L) {
  eq_tensor *x = eq_lua_checktensor(L, 1, "index", "x");
  eq_lua_pressure(L);
  take(L, x, 2);
  return 1;
}

/* A number or a tensor as the source of an assignment, in the box on top of the stack. */
static eq_tensor *source(lua_State *L, int i, const eq_tensor *x) {
  eq_tensor **box = eq_lua_newbox(L), *y = eq_lua_totensor(L, i);
  if (y) return *box = eq_retain(y);
  if (lua_type(L, i) != LUA_TNUMBER && !lua_isboolean(L, i))
    luaL_error(L, "assignment: the value must be a tensor or a number, got %s", eq_lua_kind(L, i));
  lua_pop(L, 1);
  return *eq_lua_scalar(L, i, x->dtype, "assignment");
}

static int set(lua_State *L) {
  eq_tensor *x = eq_lua_checktensor(L, 1, "assignment", "x"), *key = eq_lua_totensor(L, 2);
  eq_lua_pressure(L);
  eq_tensor *y = source(L, 3, x);
  if (eq_grad_enabled && (x->node || y->node))
    return luaL_error(L, "assignment: in-place changes are not recorded for gradients; build the "
                         "tensor with cat, stack, where or scatter, or use equi.no_grad");
  if (key && (key->dtype == EQ_BOOL || key->dtype == EQ_U8)) {
    eq_tensor **r = eq_lua_newbox(L);
    if (!(*r = eq_f("where", "ttt", key, y, x)) || eq_copy(x, *r))
      return eq_lua_raise(L, "assignment");
  } else if (key) {
    return luaL_error(L, "assignment: at an index tensor use x:scatter(dim, ids, values)");
  } else {
    eq_tensor **part = take(L, x, 2), **copy = eq_lua_newbox(L);
    if ((*part)->storage != x->storage)
      return luaL_error(L, "assignment: at an index tensor use x:scatter(dim, ids, values)");
    if (y->storage == x->storage && !(*copy = eq_clone(y))) return eq_lua_raise(L, "assignment");
    if (eq_copy(*part, *copy ? *copy : y)) return eq_lua_raise(L, "assignment");
  }
  eq_touch(x);
  return 0;
}

void eq_lua_finish_tensor(lua_State *L, lua_CFunction get_fn, lua_CFunction set_fn);
void eq_lua_index(lua_State *L) { eq_lua_finish_tensor(L, get, set); }
