/* print.c (binding) -- tostring(x): a header with dtype and shape, then the values, aligned.
 *
 *   f32[2 x 3]
 *    1.0000  2.5000  3.0000
 *    4.0000  5.0000  6.0000
 *
 * Rows are the last dim; with more than two dims every matrix has a line "[i, j, :, :]" above it.
 * Above `threshold` elements only `edge` entries at each end of a dim are shown, and only the first
 * and last `edge` matrices. The number format follows from what is printed and nothing else, so the
 * cost is that of the printed part: an expanded tensor of 10^15 elements prints at once. */
#include "lua_equi.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LINE = 100, CELL = 64 };
static struct { int64_t precision, edge, threshold; } options = {4, 3, 1000};

typedef struct printer {
  lua_State *L;
  const eq_tensor *x;
  luaL_Buffer b;
  bool whole; /* everything is shown */
  int64_t rows, columns, matrices, stride_row, stride_column;
  int width;
  char style; /* 'i' whole numbers, 'f' fixed, 'e' with exponent */
} printer;

/* ---- which positions are shown ---- */
/* The position after i, of n: jumps over the middle. */
static int64_t after(const printer *p, int64_t i, int64_t n) {
  bool last_of_front = !p->whole && i + 1 == options.edge && n > 2 * options.edge;
  return last_of_front ? n - options.edge : i + 1;
}

/* First element of matrix number m, in elements from x's first. */
static int64_t matrix_offset(const eq_tensor *x, int64_t m) {
  int64_t at = 0;
  for (int d = x->ndim - 3; d >= 0; d--) {
    at += m % x->shape[d] * x->stride[d];
    m /= x->shape[d];
  }
  return at;
}

static double number_at(const eq_tensor *x, int64_t offset) {
  return x->dtype == EQ_F32 ? (double)((const float *)(const void *)x->data)[offset]
                            : ((const double *)(const void *)x->data)[offset];
}

/* ---- one value ---- */
static int format_float(const printer *p, double v, char *text) {
  if (isnan(v)) return snprintf(text, CELL, "nan");
  if (isinf(v)) return snprintf(text, CELL, v > 0 ? "inf" : "-inf");
  if (p->style == 'i') return snprintf(text, CELL, "%.0f", v);
  if (p->style == 'e') return snprintf(text, CELL, "%.*e", (int)options.precision, v);
  return snprintf(text, CELL, "%.*f", (int)options.precision, v);
}

static int format(const printer *p, int64_t offset, char *text) {
  const eq_tensor *x = p->x;
  switch (x->dtype) {
  case EQ_I64:
    return snprintf(text, CELL, "%" PRId64, ((const int64_t *)(const void *)x->data)[offset]);
  case EQ_U8: return snprintf(text, CELL, "%d", ((const uint8_t *)x->data)[offset]);
  case EQ_BOOL: return snprintf(text, CELL, "%s", x->data[offset] ? "true" : "false");
  default: return format_float(p, number_at(x, offset), text);
  }
}

/* ---- the format, from the values shown ---- */
typedef struct range {
  bool whole;
  double low, high; /* of the absolute values, 0 left out */
} range;

static void look(printer *p, int64_t offset, void *ctx) {
  range *r = ctx;
  double v = fabs(number_at(p->x, offset));
  if (!isfinite(v)) return;
  if (v != floor(v)) r->whole = false;
  if (v > r->high) r->high = v;
  if (v > 0 && v < r->low) r->low = v;
}

static void measure(printer *p, int64_t offset, void *ctx) {
  char text[CELL];
  int n = format(p, offset, text);
  (void)ctx;
  if (n > p->width) p->width = n;
}

/* Calls f for every element shown. */
static void each(printer *p, void (*f)(printer *, int64_t, void *), void *ctx) {
  for (int64_t m = 0; m < p->matrices; m = after(p, m, p->matrices)) {
    int64_t base = matrix_offset(p->x, m);
    for (int64_t i = 0; i < p->rows; i = after(p, i, p->rows))
      for (int64_t j = 0; j < p->columns; j = after(p, j, p->columns))
        f(p, base + i * p->stride_row + j * p->stride_column, ctx);
  }
}

static void choose_format(printer *p) {
  range r = {true, INFINITY, 0};
  p->style = 'i';
  if (eq_is_float(p->x->dtype)) {
    each(p, look, &r);
    bool tiny = r.low < pow(10, -(double)options.precision), huge = r.high >= 1e6;
    if (r.whole && r.high < 1e9)
      p->style = 'i';
    else
      p->style = tiny || huge ? 'e' : 'f';
  }
  each(p, measure, NULL);
}

/* ---- output ---- */
static void add_row(printer *p, int64_t offset) {
  char text[CELL];
  int used = 0;
  for (int64_t j = 0; j < p->columns;) {
    int n = format(p, offset + j * p->stride_column, text);
    if (used && used + p->width + 2 > LINE) { /* a long row goes on below, further in */
      luaL_addstring(&p->b, "\n  ");
      used = 2;
    }
    for (int k = n - (used ? 2 : 1); k < p->width; k++) luaL_addchar(&p->b, ' ');
    luaL_addlstring(&p->b, text, (size_t)n);
    used += p->width + 2;
    int64_t next = after(p, j, p->columns);
    if (next > j + 1) luaL_addstring(&p->b, "  ...");
    j = next;
  }
}

static void add_matrix(printer *p, int64_t m) {
  int64_t base = matrix_offset(p->x, m);
  for (int64_t i = 0; i < p->rows;) {
    luaL_addchar(&p->b, '\n');
    add_row(p, base + i * p->stride_row);
    int64_t next = after(p, i, p->rows);
    if (next > i + 1) luaL_addstring(&p->b, "\n ...");
    i = next;
  }
}

/* "[2, 1, :, :]", in Lua's counting. */
static void add_title(printer *p, int64_t m) {
  int64_t at[EQ_MAXDIM];
  char text[CELL];
  for (int d = p->x->ndim - 3; d >= 0; d--) {
    at[d] = m % p->x->shape[d] + 1;
    m /= p->x->shape[d];
  }
  luaL_addstring(&p->b, "\n[");
  for (int d = 0; d < p->x->ndim - 2; d++) {
    snprintf(text, sizeof text, "%" PRId64 ", ", at[d]);
    luaL_addstring(&p->b, text);
  }
  luaL_addstring(&p->b, ":, :]");
}

static void add_values(printer *p) {
  const eq_tensor *x = p->x;
  int last = x->ndim - 1;
  p->whole = x->numel <= options.threshold;
  p->columns = x->shape[last];
  p->stride_column = x->stride[last];
  p->rows = last > 0 ? x->shape[last - 1] : 1;
  p->stride_row = last > 0 ? x->stride[last - 1] : 0;
  p->matrices = x->numel / p->rows / p->columns;
  choose_format(p);
  for (int64_t m = 0; m < p->matrices;) {
    if (x->ndim > 2) add_title(p, m);
    add_matrix(p, m);
    int64_t next = after(p, m, p->matrices);
    if (next > m + 1) luaL_addstring(&p->b, "\n...");
    m = next;
  }
}

static void add_gradient(printer *p) {
  const eq_tensor *x = p->x;
  if (!x->node) return;
  luaL_addstring(&p->b, " requires_grad");
  if (eq_is_leaf(x)) return;
  luaL_addstring(&p->b, ", from ");
  luaL_addstring(&p->b, x->node->op->name);
}

static void add_single(printer *p) { /* a tensor without dims: f32 3.5 */
  const eq_tensor *x = p->x;
  char text[CELL];
  luaL_addchar(&p->b, ' ');
  if (eq_is_float(x->dtype))
    snprintf(text, CELL, x->dtype == EQ_F32 ? "%.7g" : "%.15g", number_at(x, 0));
  else
    format(p, 0, text);
  luaL_addstring(&p->b, text);
  add_gradient(p);
}

static int tostring(lua_State *L) {
  eq_tensor *x = eq_lua_totensor(L, 1);
  if (!x) {
    lua_pushliteral(L, "tensor (empty)"); /* its constructor failed */
    return 1;
  }
  printer p = {.L = L, .x = x};
  luaL_buffinit(L, &p.b);
  luaL_addstring(&p.b, eq_dtype_name(x->dtype));
  if (x->ndim == 0) {
    add_single(&p);
  } else {
    luaL_addchar(&p.b, '[');
    luaL_addstring(&p.b, eq_shape_of(x));
    luaL_addchar(&p.b, ']');
    add_gradient(&p);
    if (x->numel) add_values(&p);
  }
  luaL_pushresult(&p.b);
  return 1;
}

/* ---- options ---- */
static void read_option(lua_State *L, const char *key, int64_t *at, int64_t low, int64_t high) {
  if (lua_getfield(L, 1, key) != LUA_TNIL) {
    int64_t v = eq_lua_checkint(L, -1, "print_options", key);
    if (v < low || v > high)
      luaL_error(L, "print_options: %s must be from %I to %I, got %I", key, (LUAI_UACINT)low,
                 (LUAI_UACINT)high, (LUAI_UACINT)v);
    *at = v;
  }
  lua_pop(L, 1);
}

static int print_options(lua_State *L) {
  static const char *const valid[] = {"precision", "edge", "threshold", NULL};
  if (!lua_isnoneornil(L, 1)) {
    if (lua_type(L, 1) != LUA_TTABLE)
      return luaL_error(L, "print_options: needs a table like {precision = 4}, got %s",
                        eq_lua_kind(L, 1));
    eq_lua_check_keys(L, 1, "print_options", valid);
    read_option(L, "precision", &options.precision, 0, 17);
    read_option(L, "edge", &options.edge, 1, 100);
    read_option(L, "threshold", &options.threshold, 1, 10000000);
  }
  lua_createtable(L, 0, 3);
  lua_pushinteger(L, options.precision);
  lua_setfield(L, -2, "precision");
  lua_pushinteger(L, options.edge);
  lua_setfield(L, -2, "edge");
  lua_pushinteger(L, options.threshold);
  lua_setfield(L, -2, "threshold");
  return 1;
}

static const eq_lua_doc docs[] = {
    {"print_options", "{precision=, edge=, threshold=}=nil -> table",
     "How tensors are printed: digits after the point (4), entries shown at each end of a "
     "shortened "
     "dim (3), and the number\nof elements above which dims are shortened (1000). Returns what is "
     "set.",
     "equi.print_options{precision = 2}\nprint(equi.tensor({0.5, 0.25}))  --> f32[2] 0.50 0.25\n"
     "equi.print_options{precision = 4}"},
    {0}};

int eq_lua_print(lua_State *L) {
  luaL_getmetatable(L, EQ_TENSOR);
  lua_pushcfunction(L, tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pop(L, 1);
  lua_pushcfunction(L, print_options);
  lua_setfield(L, -2, "print_options");
  eq_lua_add_docs(L, docs);
  return 0;
}
