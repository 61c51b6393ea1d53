/* equitune.c -- orbits and combinations for equi-tuning (Basu et al., AAAI 2023):
 *
 *     M_G(x) = 1/|G| sum_g g^-1 M(g x)
 *
 * which is equivariant whatever M is: M_G(h x) = 1/|G| sum_g g^-1 M(g h x) = h M_G(x), with k = g h.
 * Everything is built from ops, so gradients reach M through all branches. */
#include "equitune.h"
#include <inttypes.h>
#include <string.h>

enum { FEW = 64 };

/* ---- a list of tensors joined by one op, released afterwards ---- */
typedef struct list {
  eq_tensor *few[FEW], **item;
  int n, room;
} list;

static int list_open(list *l, int room) {
  l->n = 0;
  l->room = room;
  l->item = room <= FEW ? l->few : eq_alloc((size_t)room * sizeof *l->item);
  return l->item ? EQ_OK : EQ_NOMEM;
}

/* Joins the items along the first dim (NULL if one of them failed) and closes the list. */
static eq_tensor *list_join(list *l, const char *op) {
  eq_tensor *y = NULL;
  bool whole = l->n > 0;
  for (int i = 0; i < l->n; i++) whole = whole && l->item[i];
  if (whole) {
    eq_call c = {.op = eq_find(op), .nin = l->n, .in = l->item, .count = {l->n}, .given = 1};
    if (!eq_apply(&c)) y = c.out[0];
  }
  for (int i = 0; i < l->n; i++) eq_release(l->item[i]);
  if (l->item != l->few) eq_free(l->item, (size_t)l->room * sizeof *l->item);
  return y;
}

static eq_tensor *moved(const eq_action *a, int g, eq_tensor *x) {
  return a ? eq_action_apply(a, g, x) : eq_retain(x);
}

/* ---- out and back ---- */
eq_tensor *eq_orbit_out(const eq_action *a, int n, const int *element, eq_tensor *x) {
  list l;
  if (x->ndim == 0) {
    eq_fail("an input must have a batch dim, it is a single number");
    return NULL;
  }
  if (n == 1) return moved(a, element[0], x);
  if (list_open(&l, n)) return NULL;
  for (int k = 0; k < n; k++) l.item[l.n++] = moved(a, element[k], x);
  return list_join(&l, "cat");
}

/* Rows from .. from + rows of y. */
static eq_tensor *block(eq_tensor *y, int64_t from, int64_t rows) {
  return eq_f("slice", "tiiii", y, (int64_t)0, from, from + rows, (int64_t)1);
}

eq_tensor *eq_orbit_back(const eq_action *a, int n, const int *element, eq_tensor *y) {
  list l;
  if (y->ndim == 0 || y->shape[0] % n) {
    eq_fail("the model returned %s for %d stacked inputs; its first dim must be the batch",
            eq_shape_of(y), n);
    return NULL;
  }
  int64_t rows = y->shape[0] / n;
  if (list_open(&l, n)) return NULL;
  for (int k = 0; k < n; k++) {
    eq_tensor *part = block(y, k * rows, rows);
    int inverse = a ? a->group->inv[element[k]] : 0;
    l.item[l.n++] = part ? moved(a, inverse, part) : NULL;
    eq_release(part);
  }
  return list_join(&l, "stack");
}

/* ---- combinations ---- */
static eq_tensor *sum_first(eq_tensor *y) {
  int64_t dim = 0;
  return eq_f("sum", "tl", y, 1, &dim);
}

/* The sum goes from the first element to the last: with another order a turned input would give the
 * same numbers up to rounding only, which is what equality means here anyway. */
eq_tensor *eq_combine_mean(eq_tensor *y) {
  return eq_f("mul", "Tn", sum_first(y), 1.0 / (double)y->shape[0]);
}

/* w [G, B] with dims of size 1 added until it multiplies y [G, B, ...]. */
static eq_tensor *spread(eq_tensor *w, const eq_tensor *y) {
  int64_t shape[EQ_MAXDIM];
  if (w->ndim != 2 || y->ndim < 2 || w->shape[0] != y->shape[0] || w->shape[1] != y->shape[1]) {
    eq_fail("weights and scores must be one number per row of the orbit: %s for results of %s",
            eq_shape_of(w), eq_shape_of(y));
    return NULL;
  }
  for (int d = 0; d < y->ndim; d++) shape[d] = d < 2 ? y->shape[d] : 1;
  return eq_f("reshape", "tl", w, y->ndim, shape);
}

eq_tensor *eq_combine_weighted(eq_tensor *y, eq_tensor *w) {
  eq_tensor *s = spread(w, y);
  if (!s) return NULL;
  eq_tensor *product = eq_f("mul", "tt", y, s), *top = product ? sum_first(product) : NULL;
  eq_tensor *below = top ? sum_first(s) : NULL;
  eq_release(product);
  eq_release(s);
  if (below) return eq_f("div", "TT", top, below);
  eq_release(top);
  return NULL;
}

/* 1 where the score is within tol of the highest of its row of the batch, else 0. */
static eq_tensor *winners(eq_tensor *score, double tol) {
  eq_tensor *w = eq_zeros(score->dtype, score->ndim, score->shape);
  int64_t n = score->shape[0], rows = score->shape[1];
  for (int64_t b = 0; w && b < rows; b++) {
    double top = eq_get(score, b);
    for (int64_t k = 1; k < n; k++) {
      double s = eq_get(score, k * rows + b);
      if (s > top || top != top) top = s;
    }
    double bar = top - tol * (top < 0 ? -top : top);
    for (int64_t k = 0; k < n; k++) eq_set(w, k * rows + b, eq_get(score, k * rows + b) >= bar);
  }
  return w;
}

eq_tensor *eq_combine_best(eq_tensor *y, eq_tensor *score, double tol) {
  bool recording = eq_grad_enabled;
  if (score->ndim != 2) {
    eq_fail("scores must be one number per row of the orbit, they are %s", eq_shape_of(score));
    return NULL;
  }
  eq_grad_enabled = false;
  eq_tensor *w = winners(score, tol), *best = w ? eq_combine_weighted(y, w) : NULL;
  eq_release(w);
  if (!recording || !best) {
    eq_grad_enabled = recording;
    return best;
  }
  eq_tensor *plain = eq_alias(y), *still = plain ? eq_combine_mean(plain) : NULL;
  eq_tensor *step = still ? eq_f("sub", "TT", best, still) : NULL;
  eq_release(plain);
  eq_grad_enabled = recording;
  eq_tensor *mean = step ? eq_combine_mean(y) : NULL;
  return mean ? eq_f("add", "TT", mean, step) : NULL;
}

eq_tensor *eq_combine_relaxed(eq_tensor *y, eq_tensor *general, int identity) {
  if (general->ndim != 1 || general->shape[0] != y->shape[y->ndim - 1]) {
    eq_fail("the mask of general words has %s entries, the results are %s", eq_shape_of(general),
            eq_shape_of(y));
    return NULL;
  }
  eq_tensor *mean = eq_combine_mean(y), *z = NULL;
  eq_tensor *own = mean ? eq_f("select", "tii", y, (int64_t)0, (int64_t)identity) : NULL;
  if (own) z = eq_f("where", "ttt", general, own, mean);
  eq_release(own);
  eq_release(mean);
  return z;
}

/* ---- one element per row: canonicalization ---- */
/* Row by row: one move per row is cheap beside the model, which then runs once on the whole batch. */
eq_tensor *eq_act_by_row(const eq_action *a, eq_tensor *x, eq_tensor *number, bool inverse) {
  int n = a->group->order;
  int64_t rows = x->shape[0];
  list l;
  if (number->dtype != EQ_I64 || number->ndim != 1 || number->shape[0] != rows) {
    eq_fail("pick must return an i64 element number for each of the %" PRId64 " rows, got %s %s", rows,
            eq_dtype_name(number->dtype), eq_shape_of(number));
    return NULL;
  }
  for (int64_t b = 0; b < rows; b++) {
    int64_t g = eq_get_int(number, b);
    if (g < EQ_BASE || g >= n + EQ_BASE) {
      eq_fail("pick returned element %" PRId64 " of a group of %d", g, n);
      return NULL;
    }
  }
  if (list_open(&l, (int)rows)) return NULL;
  for (int64_t b = 0; b < rows; b++) {
    int g = (int)(eq_get_int(number, b) - EQ_BASE);
    eq_tensor *row = block(x, b, 1);
    l.item[l.n++] = row ? eq_action_apply(a, inverse ? a->group->inv[g] : g, row) : NULL;
    eq_release(row);
  }
  return list_join(&l, "cat");
}
