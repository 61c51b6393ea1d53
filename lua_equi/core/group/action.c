/* action.c -- applying an action to a tensor, and verifying that it is one.
 *
 * A permuted dim is one gather, matrices are one matmul, grids one strided copy, ids one look-up.
 * NOT here: how actions are made (represent.c). */
#include "action.h"
#include <math.h>
#include <string.h>

eq_action *eq_action_retain(eq_action *a) {
  a->refs++;
  return a;
}

void eq_action_release(eq_action *a) {
  if (!a || --a->refs > 0) return;
  size_t row = (size_t)a->group->order * sizeof(int), n = (size_t)a->npart;
  for (int i = 0; a->part && i < a->npart; i++) eq_action_release(a->part[i]);
  for (int i = 0; a->part_map && i < a->npart; i++) eq_free(a->part_map[i], row);
  eq_free(a->part, n * sizeof *a->part);
  eq_free(a->part_map, n * sizeof *a->part_map);
  eq_free(a->map, row);
  eq_release(a->table);
  eq_release(a->table32);
  eq_group_release(a->square);
  eq_group_release(a->group);
  eq_free(a, sizeof *a);
}

/* A dim as the user writes it, for messages. */
static int shown(int dim) { return dim < 0 ? dim : dim + 1; }

static int place(const eq_tensor *x, int dim) {
  int d = dim < 0 ? dim + x->ndim : dim;
  if (d >= 0 && d < x->ndim) return d;
  eq_fail("the action moves dim %d, the tensor has %d dims (%s)", shown(dim), x->ndim,
          eq_shape_of(x));
  return -1;
}

/* The place of the action's dim, with the size checked; -1 on failure. */
static int sized_place(const eq_action *a, const eq_tensor *x) {
  int d = place(x, a->dim);
  if (d < 0 || !a->size || x->shape[d] == a->size) return d;
  eq_fail("the action moves %lld positions along dim %d, the tensor has %lld there (%s)",
          (long long)a->size, shown(a->dim), (long long)x->shape[d], eq_shape_of(x));
  return -1;
}

/* Row g of the action's table as a view. */
static eq_tensor *row_of(eq_tensor *table, int g) {
  return eq_view(table, table->ndim - 1, table->shape + 1, table->stride + 1, g * table->stride[0]);
}

static eq_tensor *apply_axis(const eq_action *a, int g, eq_tensor *x) {
  int d = sized_place(a, x);
  if (d < 0) return NULL;
  eq_tensor *from = row_of(a->table, a->group->inv[g]), *to = row_of(a->table, g);
  return eq_f("permute_along", "tTTi", x, from, to, (int64_t)d);
}

static eq_tensor *apply_ids(const eq_action *a, int g, eq_tensor *x) {
  if (x->dtype == EQ_I64) return eq_f("map_ids", "tT", x, row_of(a->table, g));
  eq_fail("the action moves ids, which are i64, the tensor is %s; logits are moved by an action "
          "made with what = \"logits\"",
          eq_dtype_name(x->dtype));
  return NULL;
}

/* x as outer x size x inner, times the matrix from the left; one product without inner part. */
static eq_tensor *apply_matrix(const eq_action *a, int g, eq_tensor *x) {
  int d = sized_place(a, x);
  if (d < 0) return NULL;
  if (!eq_is_float(x->dtype)) {
    eq_fail("matrices move f32 and f64 tensors, this one is %s", eq_dtype_name(x->dtype));
    return NULL;
  }
  int64_t flat[3] = {1, x->shape[d], 1};
  for (int k = 0; k < d; k++) flat[0] *= x->shape[k];
  for (int k = d + 1; k < x->ndim; k++) flat[2] *= x->shape[k];
  eq_tensor *m = row_of(x->dtype == EQ_F32 ? a->table32 : a->table, g), *y;
  if (!m) return NULL;
  if (flat[2] == 1)
    y = eq_f("matmul", "TT", eq_f("reshape", "tl", x, 2, flat), eq_f("transpose", "T", m));
  else
    y = eq_f("matmul", "TT", m, eq_f("reshape", "tl", x, 3, flat));
  return eq_f("reshape", "Tl", y, x->ndim, x->shape);
}

static eq_tensor *apply_grid(const eq_action *a, int g, eq_tensor *x) {
  int d1 = place(x, a->dim), d2 = d1 < 0 ? -1 : place(x, a->dim2), move = a->map[g];
  if (d2 < 0) return NULL;
  if (d1 == d2) {
    eq_fail("dims %d and %d of %s are the same dim", shown(a->dim), shown(a->dim2), eq_shape_of(x));
    return NULL;
  }
  if (a->size && x->shape[d1] != x->shape[d2]) {
    eq_fail("the grid is %lld x %lld; quarter turns need a square", (long long)x->shape[d1],
            (long long)x->shape[d2]);
    return NULL;
  }
  if (move == a->square->identity) return eq_retain(x);
  return eq_f("grid", "tiiii", x, (int64_t)d1, (int64_t)d2, (int64_t)(move % 4),
              (int64_t)(move / 4));
}

static eq_tensor *apply_chain(const eq_action *a, int g, eq_tensor *x) {
  eq_tensor *y = eq_retain(x);
  for (int i = a->npart - 1; i >= 0 && y; i--) {
    eq_tensor *z = eq_action_apply(a->part[i], a->part_map[i][g], y);
    eq_release(y);
    y = z;
  }
  return y;
}

eq_tensor *eq_action_apply(const eq_action *a, int g, eq_tensor *x) {
  switch (a->kind) {
  case EQ_ACT_AXIS: return apply_axis(a, g, x);
  case EQ_ACT_IDS: return apply_ids(a, g, x);
  case EQ_ACT_MATRIX: return apply_matrix(a, g, x);
  case EQ_ACT_GRID: return apply_grid(a, g, x);
  case EQ_ACT_CHAIN: return apply_chain(a, g, x);
  default: return a->size && sized_place(a, x) < 0 ? NULL : eq_retain(x);
  }
}

eq_tensor *eq_action_orbit(const eq_action *a, eq_tensor *x) {
  int n = a->group->order, made = 0;
  size_t bytes = (size_t)n * sizeof(eq_tensor *);
  eq_tensor **list = eq_calloc(bytes), *y = NULL;
  if (!list) return NULL;
  for (; made < n; made++)
    if (!(list[made] = eq_action_apply(a, made, x))) break;
  eq_call c = {.op = eq_find("stack"), .nin = n, .in = list, .count = {n}, .given = 1};
  if (!c.op) eq_fail("there is no op stack");
  if (made == n && c.op && eq_apply(&c) == EQ_OK) y = c.out[0];
  for (int i = 0; i < made; i++) eq_release(list[i]);
  eq_free(list, bytes);
  return y;
}

/* ---- verification ---- */

bool eq_action_moves_ids(const eq_action *a) {
  for (int i = 0; i < a->npart; i++)
    if (eq_action_moves_ids(a->part[i])) return true;
  return a->kind == EQ_ACT_IDS;
}

/* Sizes that the action asks for: front[d] along dim d, back[d] along dim d from the end. */
typedef struct wanted {
  int64_t front[EQ_MAXDIM], back[EQ_MAXDIM];
  int nfront, nback;
  int64_t ids;
} wanted;

static int want(wanted *w, int dim, int64_t size) {
  int d = dim < 0 ? -dim - 1 : dim, *n = dim < 0 ? &w->nback : &w->nfront;
  int64_t *list = dim < 0 ? w->back : w->front;
  if (d >= EQ_MAXDIM)
    return eq_fail("tensors have up to %d dims, the action moves dim %d", EQ_MAXDIM, shown(dim));
  if (size && list[d] && size != list[d])
    return eq_fail("the parts move %lld and %lld positions along dim %d; sizes must agree",
                   (long long)list[d], (long long)size, shown(dim));
  if (size) list[d] = size;
  if (d >= *n) *n = d + 1;
  return EQ_OK;
}

static int collect(const eq_action *a, wanted *w) {
  int s = EQ_OK;
  for (int i = 0; i < a->npart && !s; i++) s = collect(a->part[i], w);
  switch (a->kind) {
  case EQ_ACT_CHAIN: return s;
  case EQ_ACT_IDS:
    if (w->ids && w->ids != a->size)
      return eq_fail("the parts map vocabularies of %lld and %lld ids", (long long)w->ids,
                     (long long)a->size);
    w->ids = a->size;
    return EQ_OK;
  case EQ_ACT_GRID: return (s = want(w, a->dim, 0)) ? s : want(w, a->dim2, 0);
  case EQ_ACT_TRIVIAL: return a->size ? want(w, a->dim, a->size) : EQ_OK;
  default: return want(w, a->dim, a->size);
  }
}

eq_tensor *eq_action_sample(const eq_action *a) {
  wanted w = {.nfront = 0};
  if (collect(a, &w)) return NULL;
  int ndim = w.nfront + w.nback;
  int64_t shape[EQ_MAXDIM], side = 3; /* free dims agree, so that grids are square */
  if (ndim == 0) ndim = 1;
  if (ndim > EQ_MAXDIM) {
    eq_fail("the action needs %d dims, tensors have up to %d", ndim, EQ_MAXDIM);
    return NULL;
  }
  for (int d = 0; d < ndim; d++) {
    int64_t size = d < w.nfront ? w.front[d] : w.back[ndim - 1 - d];
    shape[d] = size ? size : side;
  }
  eq_tensor *x = eq_empty(w.ids ? EQ_I64 : EQ_F64, ndim, shape);
  if (!x) return NULL;
  for (int64_t i = 0; i < x->numel; i++) { /* distinct numbers of both signs, or every id in turn */
    uint32_t r[4];
    eq_philox(1, (uint64_t)i, r);
    eq_set(x, i, w.ids ? (double)((int64_t)r[0] % w.ids + EQ_BASE) : r[0] / 2147483648.0 - 1);
  }
  return x;
}

/* Largest difference, relative to the largest value; -1 when the shapes differ. */
static double distance(const eq_tensor *a, const eq_tensor *b) {
  if (!eq_same_shape(a, b) || a->dtype != b->dtype) return -1;
  double most = 0, scale = 0;
  for (int64_t i = 0; i < a->numel; i++) {
    double x = eq_get(a, i), y = eq_get(b, i);
    most = fmax(most, x == y ? 0 : fabs(x - y));
    scale = fmax(scale, fmax(fabs(x), fabs(y)));
    if (!isfinite(x - y) && x != y) return INFINITY;
  }
  return scale > 0 ? most / scale : most;
}

static double tolerance(const eq_action *a, const eq_tensor *x) {
  if (!a->exact) return 1e-4;
  return x->dtype == EQ_F32 ? 1e-5 : 1e-10;
}

static int check_pair(const eq_action *a, int g, int h, eq_tensor *x, eq_tensor *hx) {
  const eq_group *p = a->group;
  int gh = eq_group_mul(p, g, h), s = EQ_OK;
  eq_tensor *twice = eq_action_apply(a, g, hx), *once = eq_action_apply(a, gh, x);
  if (!twice || !once) {
    s = (int)eq_error.status;
  } else {
    double d = distance(once, twice);
    if (d < 0 || d > tolerance(a, x))
      s = eq_fail("no action of %s: %s after %s is not %s, they differ by %.3g", p->title,
                  eq_group_name_of(p, g), eq_group_name_of(p, h), eq_group_name_of(p, gh), d);
  }
  eq_release(twice);
  eq_release(once);
  return s;
}

int eq_action_verify(const eq_action *a, eq_tensor *x, bool all_pairs) {
  const eq_group *p = a->group;
  eq_tensor *same = eq_action_apply(a, p->identity, x);
  if (!same) return (int)eq_error.status;
  double d = distance(same, x);
  eq_release(same);
  if (d < 0 || d > tolerance(a, x))
    return eq_fail("no action of %s: the identity %s moves the tensor by %.3g", p->title,
                   eq_group_name_of(p, p->identity), d);
  int s = EQ_OK, n = all_pairs ? p->order : p->ngen;
  for (int k = 0; k < n && !s; k++) {
    int h = all_pairs ? k : p->gen[k];
    eq_tensor *hx = eq_action_apply(a, h, x);
    s = hx ? EQ_OK : (int)eq_error.status;
    for (int g = 0; g < p->order && !s; g++) s = check_pair(a, g, h, x, hx);
    eq_release(hx);
  }
  return s;
}
