/* symmetry.c -- the three moves by which a group acts exactly: permuting one dim, turning and
 * flipping a grid, mapping ids; and the sum over it. Hidden ops: users reach them through actions.
 *
 * permute_along: y[.., j, ..] = x[.., index[j], ..]; inverse undoes it, so that the gradient is the
 *   same gather the other way round and not a scatter.
 * grid: `turns` quarter turns counterclockwise, then a flip of dim2, in one copy and in the layout
 *   of x; of channels-last images whole pixels move.
 * map_ids: y = table[x] for ids, range checked.
 * add_wide: the sum over a group, in f64, plus a branch in f32, in one pass and in place.
 * narrow_mean: that sum times a number, in f32. */
#include "equi.h"
#include <inttypes.h>
#include <string.h>

static int like_x(eq_call *c) {
  return eq_out(c, 0, c->in[0]->dtype, c->in[0]->ndim, c->in[0]->shape);
}

static int give(eq_tensor **gx, eq_tensor *g) {
  gx[0] = g;
  return g ? EQ_OK : (int)eq_error.status;
}

/* ---- permute_along ---- */
typedef struct along {
  const char *x;
  char *y;
  const int64_t *index;
  int64_t size, inner; /* inner: bytes of what moves together */
} along;

#define GATHER(T, a, t)                                                                            \
  *(T *)(void *)((a)->y + (t) * (a)->inner) = *(const T *)(const void *)((a)->x + from * (a)->inner)

static void move_along(int64_t begin, int64_t end, void *ctx) {
  const along *a = ctx;
  int64_t base = begin / a->size * a->size, j = begin - base;
  for (int64_t t = begin; t < end; t++) {
    int64_t from = base + a->index[j] - EQ_BASE;
    if (a->inner == 4)
      GATHER(uint32_t, a, t);
    else if (a->inner == 8)
      GATHER(uint64_t, a, t);
    else
      memcpy(a->y + t * a->inner, a->x + from * a->inner, (size_t)a->inner);
    if (++j == a->size) j = 0, base += a->size;
  }
}

static int permute_along_run(eq_call *c) {
  const eq_tensor *x = c->in[0];
  int64_t d = c->arg[0].i, inner = 1;
  if (x->numel == 0) return EQ_OK;
  for (int k = (int)d + 1; k < x->ndim; k++) inner *= x->shape[k];
  along a = {.x = x->data, .y = c->out[0]->data, .index = (const int64_t *)(void *)c->in[1]->data};
  a.size = x->shape[d];
  a.inner = inner * (int64_t)eq_size(x->dtype);
  int64_t grain = a.inner < 32768 ? 32768 / a.inner : 1;
  return eq_parallel_for(x->numel / inner, grain, move_along, &a);
}

static int permute_along_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  return give(gx, eq_f("permute_along", "ttti", gy[0], c->in[2], c->in[1], c->arg[0].i));
}

/* ---- grid ---- */
/* A dense tensor whose two dims lie side by side in memory, in either layout of images: `outer`
 * grids of points of `bytes` bytes, the other dims. Point (i, j) of a grid of y is point
 * from + i * step1 + j * step2 of that of x: turns and flips are strides. */
typedef struct points {
  const char *x;
  char *y;
  int64_t n1, n2; /* of y */
  int64_t from, step1, step2, bytes;
} points;

#define MOVE_POINTS(n)                                                                             \
  for (int64_t j = 0; j < p->n2; j++, x += step, y += (n)) memcpy(y, x, (size_t)(n))

/* Rows of all grids of y. A size that the compiler knows is a load and a store. */
static void move_points(int64_t begin, int64_t end, void *ctx) {
  const points *p = ctx;
  int64_t step = p->step2 * p->bytes;
  for (int64_t row = begin; row < end; row++) {
    int64_t at = row / p->n1 * (p->n1 * p->n2) + p->from + row % p->n1 * p->step1;
    const char *x = p->x + at * p->bytes;
    char *y = p->y + row * p->n2 * p->bytes;
    switch (p->bytes) {
    case 1: MOVE_POINTS(1); break;
    case 3: MOVE_POINTS(3); break;
    case 4: MOVE_POINTS(4); break;
    case 8: MOVE_POINTS(8); break;
    case 12: MOVE_POINTS(12); break;
    case 64: MOVE_POINTS(64); break;
    default: MOVE_POINTS(p->bytes);
    }
  }
}

/* The view of x that, copied, is turned and flipped. */
static eq_tensor *grid_view(const eq_tensor *x, int d1, int d2, int64_t turns, bool flip) {
  int64_t shape[EQ_MAXDIM], stride[EQ_MAXDIM], offset = 0;
  memcpy(shape, x->shape, sizeof shape);
  memcpy(stride, x->stride, sizeof stride);
  for (int64_t k = 0; k < turns; k++) { /* y[i, j] = x[j, n - 1 - i] */
    int64_t n1 = shape[d1], n2 = shape[d2], s1 = stride[d1], s2 = stride[d2];
    shape[d1] = n2, shape[d2] = n1;
    stride[d1] = -s2, stride[d2] = s1;
    offset += (n2 - 1) * s2;
  }
  if (flip) {
    offset += (shape[d2] - 1) * stride[d2];
    stride[d2] = -stride[d2];
  }
  return eq_view(x, x->ndim, shape, stride, x->numel ? offset : 0);
}

static int grid_shape(eq_call *c) {
  int64_t shape[EQ_MAXDIM], d1 = c->arg[0].i, d2 = c->arg[1].i;
  memcpy(shape, c->in[0]->shape, sizeof shape);
  if (c->arg[2].i % 2) shape[d1] = c->in[0]->shape[d2], shape[d2] = c->in[0]->shape[d1];
  return eq_out_in_order(c, 0, c->in[0]->dtype, shape, c->in[0]);
}

/* Whether v, a turned view of the dense x, can be copied to y by points. */
static bool find_points(points *p, const eq_tensor *x, const eq_tensor *v, eq_tensor *y, int d1,
                        int d2) {
  int dim[EQ_MAXDIM], at = 0;
  int64_t inner = 1;
  if (!eq_is_dense(x) || !eq_is_dense(y)) return false;
  eq_memory_order(y, dim);
  while (dim[at] != d1 && dim[at] != d2) at++;
  if (dim[at] != d1 || dim[at + 1] != d2) return false;
  for (int k = at + 2; k < y->ndim; k++) inner *= y->shape[dim[k]];
  for (int k = 0; k < y->ndim; k++) /* all other dims lie as in x */
    if (k != d1 && k != d2 && y->shape[k] != 1 && y->stride[k] != x->stride[k]) return false;
  p->x = x->data;
  p->y = y->data;
  p->n1 = y->shape[d1];
  p->n2 = y->shape[d2];
  p->step1 = v->stride[d1] / inner;
  p->step2 = v->stride[d2] / inner;
  p->from = (v->data - x->data) / (int64_t)eq_size(x->dtype) / inner;
  p->bytes = inner * (int64_t)eq_size(x->dtype);
  return true;
}

static int grid_run(eq_call *c) {
  int d1 = (int)c->arg[0].i, d2 = (int)c->arg[1].i;
  const eq_tensor *x = c->in[0];
  eq_tensor *y = c->out[0], *v = grid_view(x, d1, d2, c->arg[2].i, c->arg[3].i != 0);
  points p;
  if (!v) return (int)eq_error.status;
  int s;
  if (x->numel == 0)
    s = EQ_OK;
  else if (!find_points(&p, x, v, y, d1, d2))
    s = eq_copy(y, v);
  else
    s = eq_parallel_for(y->numel * (int64_t)eq_size(y->dtype) / (p.n2 * p.bytes),
                        32768 / (p.n2 * p.bytes) + 1, move_points, &p);
  eq_release(v);
  return s;
}

/* (s r^k)^-1 = s r^k: a flipped move undoes itself. */
static int grid_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  int64_t back = c->arg[3].i ? c->arg[2].i : (4 - c->arg[2].i) % 4;
  return give(gx, eq_f("grid", "tiiii", gy[0], c->arg[0].i, c->arg[1].i, back, c->arg[3].i));
}

/* ---- map_ids ---- */
static int map_ids_run(eq_call *c) {
  const eq_tensor *x = c->in[0], *table = c->in[1];
  const int64_t *id = (const int64_t *)(void *)x->data, *to = (const int64_t *)(void *)table->data;
  int64_t *y = (int64_t *)(void *)c->out[0]->data;
  for (int64_t i = 0; i < x->numel; i++) {
    if (id[i] == EQ_BASE - 1) { /* padding: no word, so nothing moves it */
      y[i] = id[i];
      continue;
    }
    if (id[i] < EQ_BASE || id[i] >= table->numel + EQ_BASE)
      return eq_fail("id %" PRId64 " at position %" PRId64
                     " is outside the vocabulary; ids are 1 to "
                     "%" PRId64,
                     id[i], i + 1, table->numel);
    y[i] = to[id[i] - EQ_BASE];
  }
  return EQ_OK;
}

/* ---- add_wide ---- */
EQ_SIMD static void add_wide(int64_t n, char *const *p, const int64_t *s, const eq_call *c) {
  (void)c;
  if (s[0] == sizeof(double) && s[1] == sizeof(float) && s[2] == sizeof(double)) {
    const double *a = (const double *)(void *)p[0];
    const float *b = (const float *)(void *)p[1];
    double *y = (double *)(void *)p[2];
    for (int64_t i = 0; i < n; i++) y[i] = a[i] + (double)b[i];
    return;
  }
  for (int64_t i = 0; i < n; i++)
    *(double *)(void *)(p[2] + i * s[2]) = *(const double *)(void *)(p[0] + i * s[0]) +
                                           (double)*(const float *)(void *)(p[1] + i * s[1]);
}

static int add_wide_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  if (eq_needed(c, 0)) gx[0] = eq_retain(gy[0]);
  if (eq_needed(c, 1)) gx[1] = eq_f("to", "ti", gy[0], (int64_t)EQ_F32);
  return !eq_needed(c, 1) || gx[1] ? EQ_OK : (int)eq_error.status;
}

/* ---- narrow_mean ---- */
EQ_SIMD static void narrow_mean(int64_t n, char *const *p, const int64_t *s, const eq_call *c) {
  double by = c->arg[0].f;
  if (s[0] == sizeof(double) && s[1] == sizeof(float)) {
    const double *x = (const double *)(void *)p[0];
    float *y = (float *)(void *)p[1];
    for (int64_t i = 0; i < n; i++) y[i] = (float)(x[i] * by);
    return;
  }
  for (int64_t i = 0; i < n; i++)
    *(float *)(void *)(p[1] + i * s[1]) = (float)(*(const double *)(void *)(p[0] + i * s[0]) * by);
}

static int narrow_mean_shape(eq_call *c) { return eq_out_like(c, 0, EQ_F32, c->in[0]); }

static int narrow_mean_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  return give(gx, eq_f("mul", "Tn", eq_f("to", "ti", gy[0], (int64_t)EQ_F64), c->arg[0].f));
}

const eq_op ops_symmetry[] = {
    {.name = "permute_along",
     .sig = "x:tensor, index:index, inverse:index, dim:dim -> y",
     .doc = "x with the positions of a dim permuted.",
     .shape = like_x,
     .run = permute_along_run,
     .back = permute_along_back,
     .flags = EQ_HIDDEN | EQ_SAVE_IN1 | EQ_SAVE_IN2,
     .where = EQ_HERE},
    {.name = "grid",
     .sig = "x:tensor, dim1:dim, dim2:dim, turns:int, flip:int -> y",
     .doc = "Quarter turns counterclockwise from dim1 to dim2, then a flip of dim2.",
     .shape = grid_shape,
     .run = grid_run,
     .back = grid_back,
     .flags = EQ_HIDDEN | EQ_ANY_STRIDE,
     .where = EQ_HERE},
    {.name = "add_wide",
     .sig = "sum:float, x:float -> y",
     .doc = "sum in f64 plus x in f32, of one shape.",
     .kernel = {[EQ_F64] = add_wide},
     .back = add_wide_back,
     .flags = EQ_ELEMENTWISE | EQ_MIXED | EQ_HIDDEN,
     .where = EQ_HERE},
    {.name = "narrow_mean",
     .sig = "sum:float, by:num -> y",
     .doc = "sum in f64 times a number, in f32.",
     .shape = narrow_mean_shape,
     .kernel = {[EQ_F64] = narrow_mean},
     .back = narrow_mean_back,
     .flags = EQ_ELEMENTWISE | EQ_HIDDEN,
     .where = EQ_HERE},
    {.name = "map_ids",
     .sig = "x:index, table:index -> y",
     .doc = "table[x] for ids from 1.",
     .shape = like_x,
     .run = map_ids_run,
     .flags = EQ_HIDDEN | EQ_NO_GRAD,
     .where = EQ_HERE},
    {0}};
