/* equitune.c -- orbits and combinations for equi-tuning (Basu et al., AAAI 2023):
 *
 *     M_G(x) = 1/|G| sum_g g^-1 M(g x)
 *
 * which is equivariant whatever M is: M_G(h x) = 1/|G| sum_g g^-1 M(g h x) = h M_G(x), with k = g
 * h. Everything is built from ops, so gradients reach M through all branches. NOT here: the model's
 * call and the order of things (core/lua/equitune.c). */
#include "equitune.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- a list of tensors joined by one op, released afterwards ---- */
typedef struct list {
  eq_tensor **item;
  int n, room;
} list;

static int list_open(list *l, int64_t room) {
  l->n = 0;
  l->room = (int)room;
  l->item = eq_alloc((size_t)room * sizeof(eq_tensor *));
  return l->item ? EQ_OK : EQ_NOMEM;
}

/* Takes x over; false when it is NULL, so that a loop can end. */
static bool list_add(list *l, eq_tensor *x) {
  if (x) l->item[l->n++] = x;
  return x != NULL;
}

/* Joins the items along the first dim (NULL unless there are as many as room) and closes the list.
 */
static eq_tensor *list_join(list *l, const char *op) {
  eq_tensor *y = NULL;
  if (l->n == l->room) {
    eq_call c = {.op = eq_find(op), .nin = l->n, .in = l->item, .count = {l->n}, .given = 1};
    if (!eq_apply(&c)) y = c.out[0];
  }
  for (int i = 0; i < l->n; i++) eq_release(l->item[i]);
  eq_free(l->item, (size_t)l->room * sizeof(eq_tensor *));
  return y;
}

/* ---- moving ---- */
static bool is_first(int dim, int n, int ndim) { return (dim < 0 ? dim + ndim : dim) < n; }

/* Would the action move any of the first n dims, such as the rows of the batch into each other? */
static bool moves_first(const eq_action *a, int n, int ndim) {
  switch (a->kind) {
  case EQ_ACT_AXIS:
  case EQ_ACT_MATRIX: return is_first(a->dim, n, ndim);
  case EQ_ACT_GRID: return is_first(a->dim, n, ndim) || is_first(a->dim2, n, ndim);
  case EQ_ACT_CHAIN:
    for (int i = 0; i < a->npart; i++)
      if (moves_first(a->part[i], n, ndim)) return true;
    return false;
  default: return false;
  }
}

static int check_batch(const eq_action *a, const eq_tensor *x, const char *what) {
  if (x->ndim == 0)
    return eq_fail("the %s is a single number; its first dim must be the batch", what);
  if (a && moves_first(a, 1, x->ndim))
    return eq_fail("the action moves dim 1 of the %s (%s), which is the batch; add a dim in front, "
                   "or make the action for a dim counted from the end",
                   what, eq_shape_of(x));
  return EQ_OK;
}

static eq_tensor *moved(const eq_action *a, int g, eq_tensor *x) {
  return !a || g == a->group->identity ? eq_retain(x) : eq_action_apply(a, g, x);
}

/* Rows from .. from + rows of x. */
static eq_tensor *block(eq_tensor *x, int64_t from, int64_t rows) {
  if (rows == x->shape[0]) return eq_retain(x);
  return eq_f("slice", "tiiii", x, (int64_t)0, from, from + rows, (int64_t)1);
}

/* ---- out and back ---- */
/* Does the action turn the pixels of x [B, C, H, W]? */
static bool turns_pixels(const eq_action *a, const eq_tensor *x) {
  if (!a || a->kind != EQ_ACT_GRID || x->ndim != 4) return false;
  int d1 = a->dim < 0 ? a->dim + 4 : a->dim, d2 = a->dim2 < 0 ? a->dim2 + 4 : a->dim2;
  return d1 == 2 && d2 == 3;
}

/* Images are brought to channels-last once, as convolutions want them, and not the whole orbit. */
eq_tensor *eq_orbit_out(const eq_action *a, int from, int n, eq_tensor *x) {
  list l;
  if (check_batch(a, x, "input")) return NULL;
  if (n == 1) return moved(a, from, x);
  x = turns_pixels(a, x) ? eq_f("channels_last", "t", x) : eq_retain(x);
  if (!x || list_open(&l, n)) {
    eq_release(x);
    return NULL;
  }
  for (int k = 0; k < n && list_add(&l, moved(a, from + k, x));) k++;
  eq_release(x);
  return list_join(&l, "cat");
}

int eq_orbit_check(const eq_tensor *y, int n, int64_t rows, const char *what) {
  if (y->ndim > 0 && y->shape[0] == n * rows) return EQ_OK;
  return eq_fail("the %s is %s for a batch of %" PRId64 " rows (%d elements of %" PRId64
                 "); its first dim must be the batch",
                 what, y->ndim ? eq_shape_of(y) : "a single number", n * rows, n, rows);
}

/* One number for each row, or for each of the first places of the result; places that the action
 * moves have no score of their own, which would have to move with them. */
int eq_orbit_check_scores(const eq_action *a, const eq_tensor *s, const eq_tensor *y) {
  bool ok = s->ndim > 0 && s->shape[0] == y->shape[0];
  if (ok && s->numel == s->shape[0]) return EQ_OK;
  ok = ok && s->ndim < y->ndim;
  for (int d = 0; ok && d < s->ndim; d++) ok = s->shape[d] == y->shape[d];
  if (!ok) return EQ_ERR;
  if (a && moves_first(a, s->ndim, y->ndim))
    return eq_fail("there is a score for each of %s places, but the action moves these; give one "
                   "number for each row",
                   eq_shape_of(s));
  return EQ_OK;
}

eq_tensor *eq_orbit_branch(const eq_action *a, int g, eq_tensor *y, int k, int64_t rows) {
  if (check_batch(a, y, "result")) return NULL;
  eq_tensor *part = block(y, k * rows, rows);
  eq_tensor *z = part ? moved(a, a ? a->group->inv[g] : 0, part) : NULL;
  eq_release(part);
  return z;
}

eq_tensor *eq_orbit_back(const eq_action *a, int from, int n, eq_tensor *y, int64_t rows) {
  list l;
  if (list_open(&l, n)) return NULL;
  for (int k = 0; k < n && list_add(&l, eq_orbit_branch(a, from + k, y, k, rows));) k++;
  return list_join(&l, "stack");
}

/* w with dims of size 1 added behind until it multiplies a tensor of ndim dims. */
static eq_tensor *spread(eq_tensor *w, int ndim) {
  int64_t shape[EQ_MAXDIM] = {1, 1, 1, 1, 1, 1, 1, 1};
  memcpy(shape, w->shape, (size_t)w->ndim * sizeof *shape);
  return eq_f("reshape", "tl", w, ndim, shape);
}

static eq_tensor *weight_of(eq_tensor *w, int g, int ndim) {
  eq_tensor *row = eq_f("select", "tii", w, (int64_t)0, (int64_t)g);
  eq_tensor *s = row ? spread(row, ndim) : NULL;
  eq_release(row);
  return s;
}

static eq_tensor *in_dtype(eq_tensor *y, eq_dtype t) {
  return y->dtype == t ? eq_retain(y) : eq_f("to", "ti", y, (int64_t)t);
}

/* Nobody else sees x, and no gradient will: it may be written over. */
static bool is_own(const eq_tensor *x) { return !x->node && x->refs == 1 && x->storage->refs == 1; }

/* x op y, in the place of x; both are taken over. */
static eq_tensor *in_place(const char *op, eq_tensor *x, eq_tensor *y) {
  eq_call c = {.op = eq_find(op), .nin = 2, .in = (eq_tensor *[2]){x, y}};
  int bad = y ? eq_apply_inplace(&c) : EQ_ERR;
  eq_release(x);
  eq_release(y);
  return bad ? NULL : c.out[0];
}

/* sum + z, where possible in the place of sum; z is taken over, sum may be NULL. Two numbers have
 * one sum, so two branches need no more bits. */
static eq_tensor *plus(eq_tensor *sum, eq_tensor *z, int order) {
  if (!sum) return order > 2 && z->dtype == EQ_F32 ? eq_f("to", "Ti", z, (int64_t)EQ_F64) : z;
  const char *op = sum->dtype == z->dtype ? "add" : "add_wide";
  if (is_own(sum) && !z->node) return in_place(op, eq_retain(sum), z);
  return eq_f(op, "tT", sum, z);
}

eq_tensor *eq_orbit_add(const eq_action *a, int order, int g, eq_tensor *y, int k, int64_t rows,
                        eq_tensor *w, eq_tensor *sum) {
  eq_tensor *z = eq_orbit_branch(a, g, y, k, rows);
  if (z && w) z = eq_f("mul", "TT", z, weight_of(w, g, y->ndim));
  if (z && sum && !eq_same_shape(sum, z)) {
    eq_fail("the result is %s for one chunk and %s for another", eq_shape_of(sum), eq_shape_of(z));
    eq_release(z);
    return NULL;
  }
  return z ? plus(sum, z, order) : NULL;
}

/* ---- combinations ---- */
static eq_tensor *sum_first(eq_tensor *y) {
  int64_t dim = 0;
  return eq_f("sum", "tl", y, 1, &dim);
}

eq_tensor *eq_combine_divide(eq_tensor *y, double d, eq_dtype t) {
  if (y->dtype != t) return eq_f("narrow_mean", "tn", y, 1 / d);
  if (is_own(y)) return in_place("mul", eq_retain(y), eq_scalar(t, 1 / d));
  return eq_f("mul", "tn", y, 1 / d);
}

eq_tensor *eq_combine_normalise(eq_tensor *y, eq_tensor *w, eq_dtype t) {
  eq_tensor *wide = in_dtype(w, y->dtype), *s = wide ? sum_first(wide) : NULL;
  eq_tensor *below = s ? spread(s, y->ndim) : NULL, *q = eq_f("div", "tT", y, below);
  eq_tensor *z = q ? in_dtype(q, t) : NULL;
  eq_release(q);
  eq_release(s);
  eq_release(wide);
  return z;
}

/* In f64, as the sums: weights must not depend on which element is called the first. */
eq_tensor *eq_combine_softmax(eq_tensor *w) {
  eq_tensor *wide = in_dtype(w, EQ_F64), *s = wide ? eq_f("softmax", "ti", wide, (int64_t)0) : NULL;
  eq_tensor *z = s ? in_dtype(s, w->dtype) : NULL;
  eq_release(s);
  eq_release(wide);
  return z;
}

/* The sum of branches y [G, ...] times their weights. */
static eq_tensor *weighted_sum(eq_tensor *y, eq_tensor *w) {
  eq_tensor *total = NULL;
  int n = (int)y->shape[0];
  for (int k = 0; k < n; k++) {
    eq_tensor *row = eq_f("select", "tii", y, (int64_t)0, (int64_t)k);
    eq_tensor *part = row ? eq_f("mul", "TT", row, weight_of(w, k, row->ndim)) : NULL;
    eq_tensor *next = part ? plus(total, part, n) : NULL;
    eq_release(total);
    if (!(total = next)) return NULL;
  }
  return total;
}

eq_tensor *eq_combine_weighted(eq_tensor *y, eq_tensor *w, bool softmax) {
  if (!softmax && eq_combine_check_weights(w)) return NULL;
  eq_tensor *used = softmax ? eq_combine_softmax(w) : eq_retain(w), *z = NULL;
  eq_tensor *total = used ? weighted_sum(y, used) : NULL;
  if (total) z = softmax ? in_dtype(total, y->dtype) : eq_combine_normalise(total, used, y->dtype);
  eq_release(total);
  eq_release(used);
  return z;
}

int eq_combine_check_weights(const eq_tensor *w) {
  int64_t n = w->shape[0], rows = w->numel / n, places = rows / w->shape[1];
  for (int64_t b = 0; b < rows; b++) {
    double sum = 0;
    for (int64_t k = 0; k < n; k++) {
      double v = eq_get(w, k * rows + b);
      if (v < 0)
        return eq_fail("weight %" PRId64 " of row %" PRId64 " is %g; weights must not be negative, "
                       "or use softmax = true",
                       k + 1, b / places + 1, v);
      sum += v;
    }
    if (sum == 0)
      return eq_fail("all weights of row %" PRId64 " are 0; one of them must be positive",
                     b / places + 1);
  }
  return EQ_OK;
}

/* bool [G, B, ..., 1, ...], true where the score is within tol of the highest of its place; and how
 * many these are, without G. Scores that are NaN never win. */
static eq_tensor *winners(const eq_tensor *score, double tol, const eq_tensor *y,
                          eq_tensor **count) {
  int64_t n = y->shape[0], rows = score->numel / n, shape[EQ_MAXDIM] = {1, 1, 1, 1, 1, 1, 1, 1};
  memcpy(shape, score->shape, (size_t)score->ndim * sizeof *shape);
  eq_tensor *w = eq_zeros(EQ_BOOL, y->ndim, shape);
  *count = w ? eq_zeros(y->dtype, y->ndim - 1, shape + 1) : NULL;
  for (int64_t b = 0; *count && b < rows; b++) {
    double top = -INFINITY, many = 0;
    for (int64_t k = 0; k < n; k++) top = fmax(top, eq_get(score, k * rows + b));
    double bar = isinf(top) ? top : top - tol * fabs(top);
    for (int64_t k = 0; k < n; k++) {
      bool wins = eq_get(score, k * rows + b) >= bar;
      eq_set(w, k * rows + b, wins);
      many += wins;
    }
    eq_set(*count, b, many);
  }
  return w;
}

/* A branch that lost is left out, not multiplied by 0: it may hold infinities. */
eq_tensor *eq_combine_best(eq_tensor *y, eq_tensor *score, double tol) {
  eq_tensor *count, *w = winners(score, tol, y, &count), *plain = count ? eq_alias(y) : NULL;
  eq_tensor *zero = plain ? eq_scalar(y->dtype, 0) : NULL, *best = NULL;
  eq_tensor *left = zero ? eq_f("where", "ttt", w, plain, zero) : NULL;
  eq_tensor *top = left ? sum_first(left) : NULL;
  if (top) best = eq_f("div", "tt", top, count);
  eq_release(top);
  eq_release(left);
  eq_release(zero);
  eq_release(plain);
  eq_release(count);
  eq_release(w);
  if (!best || !y->node || !eq_grad_enabled) return best;
  eq_tensor *sum = sum_first(y),
            *mean = sum ? eq_combine_divide(sum, (double)y->shape[0], y->dtype) : NULL;
  eq_release(sum);
  return eq_f("straight_through", "TT", mean, best);
}

eq_tensor *eq_combine_relaxed(eq_tensor *mean, eq_tensor *own, eq_tensor *general) {
  int last = mean->ndim - 1;
  if (last < 1 || general->ndim != 1 || general->shape[0] != mean->shape[last]) {
    eq_fail("the mask of general ids has %s entries, the result is %s; its last dim must be the "
            "vocabulary",
            eq_shape_of(general), eq_shape_of(mean));
    return NULL;
  }
  return eq_f("where", "ttt", general, own, mean);
}

/* ---- elements by row: canonicalization and frames ---- */
static int64_t frames_of(const eq_tensor *number) {
  return number->ndim == 2 ? number->shape[1] : 1;
}

int eq_pick_check(const eq_group *g, const eq_tensor *number, int64_t rows) {
  if (number->dtype != EQ_I64 || number->ndim < 1 || number->ndim > 2 || number->shape[0] != rows ||
      frames_of(number) < 1)
    return eq_fail(
        "pick must return i64 numbers of elements, one or several for each of the %" PRId64
        " rows, it returned %s %s",
        rows, eq_dtype_name(number->dtype), eq_shape_of(number));
  for (int64_t i = 0; i < number->numel; i++) {
    int64_t v = eq_get_int(number, i);
    if (v < EQ_BASE || v >= g->order + EQ_BASE)
      return eq_fail("pick returned element %" PRId64 " for row %" PRId64
                     "; %s has elements 1 to %d",
                     v, i / frames_of(number) + 1, g->title, g->order);
  }
  return EQ_OK;
}

/* Row f * B + b of the result: element number[b, f], or its inverse, applied to that row of x,
 * which holds all F blocks or the one that serves them all. Row by row: a move is cheap beside the
 * model, which then runs once. */
static eq_tensor *by_row(const eq_action *a, const eq_tensor *number, eq_tensor *x, bool inverse) {
  int64_t rows = number->shape[0], frames = frames_of(number);
  list l;
  if (rows == 0) return eq_retain(x);
  if (check_batch(a, x, inverse ? "input" : "result") || list_open(&l, rows * frames)) return NULL;
  for (int64_t i = 0; i < rows * frames; i++) {
    int g = (int)(eq_get_int(number, i % rows * frames + i / rows) - EQ_BASE);
    eq_tensor *row = block(x, i % x->shape[0], 1);
    bool ok = row && list_add(&l, moved(a, inverse && a ? a->group->inv[g] : g, row));
    eq_release(row);
    if (!ok) break;
  }
  return list_join(&l, "cat");
}

eq_tensor *eq_pick_out(const eq_action *a, const eq_tensor *number, eq_tensor *x) {
  if (check_batch(a, x, "input")) return NULL;
  if (x->shape[0] != number->shape[0]) {
    eq_fail("an input has %" PRId64 " rows, pick returned elements for %" PRId64, x->shape[0],
            number->shape[0]);
    return NULL;
  }
  return !a && frames_of(number) == 1 ? eq_retain(x) : by_row(a, number, x, true);
}

eq_tensor *eq_pick_back(const eq_action *a, const eq_tensor *number, eq_tensor *y) {
  int64_t frames = frames_of(number), rows = number->shape[0], shape[EQ_MAXDIM];
  eq_tensor *z = a ? by_row(a, number, y, false) : eq_retain(y);
  if (!z || frames == 1) return z;
  if (z->ndim == EQ_MAXDIM) {
    eq_fail("the result is %s; frames need a dim more, and tensors have up to %d", eq_shape_of(z),
            EQ_MAXDIM);
    eq_release(z);
    return NULL;
  }
  shape[0] = frames;
  shape[1] = rows;
  for (int d = 1; d < z->ndim; d++) shape[d + 1] = z->shape[d];
  int n = z->ndim + 1;
  eq_tensor *s = eq_f("reshape", "Tl", z, n, shape), *sum = s ? sum_first(s) : NULL;
  eq_tensor *mean = sum ? eq_combine_divide(sum, (double)frames, y->dtype) : NULL;
  eq_release(s);
  eq_release(sum);
  return mean;
}
