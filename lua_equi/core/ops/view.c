/* view.c -- views named by what they are for: narrow, squeeze, unsqueeze, flatten, unflatten,
 * movedim, t, diagonal; and the triangles. All but diag, tril and triu share x's memory (flatten
 * where the strides allow it). Built from the ops of shape.c wherever they suffice. */
#include "../equi.h"
#include <inttypes.h>
#include <string.h>

static int give(eq_call *c, eq_tensor *y) {
  c->out[0] = y;
  c->nout = 1;
  return y ? EQ_OK : eq_error.status;
}

/* ---- narrow ---- */
static int narrow(eq_call *c) {
  const eq_tensor *x = c->in[0];
  int64_t d = c->arg[0].i, from = c->arg[1].i, n = c->arg[2].i;
  if (x->ndim == 0) return eq_fail("x is a single number and has no dims");
  int64_t size = x->shape[d], first = from < 0 ? from + size : from - EQ_BASE;
  if (first < 0 || n < 0 || first > size || n > size - first)
    return eq_fail("%" PRId64 " entries from %" PRId64 " on do not lie in dim %" PRId64
                   ", which has size %" PRId64,
                   n, from, d + 1, size);
  return give(c, eq_f("slice", "tiiii", x, d, first, first + n, (int64_t)1));
}

/* ---- sizes of 1 ---- */
static int squeeze(eq_call *c) {
  const eq_tensor *x = c->in[0];
  int n = 0, m = 0;
  const int64_t *dim = eq_given(c, 0) ? eq_list(c, 0, &n) : NULL;
  int64_t shape[EQ_MAXDIM];
  unsigned drop = dim ? 0 : ~0u;
  for (int i = 0; i < n; i++) drop |= 1u << dim[i];
  for (int d = 0; d < x->ndim; d++)
    if (x->shape[d] != 1 || !(drop >> d & 1)) shape[m++] = x->shape[d];
  return give(c, eq_f("reshape", "tl", x, m, shape));
}

static int unsqueeze(eq_call *c) {
  const eq_tensor *x = c->in[0];
  int64_t shape[EQ_MAXDIM + 1], at = c->arg[0].i;
  for (int d = 0; d <= x->ndim; d++)
    shape[d] = d < at ? x->shape[d] : d == at ? 1 : x->shape[d - 1];
  return give(c, eq_f("reshape", "tl", x, x->ndim + 1, shape));
}

/* ---- several dims as one, one as several ---- */
static int flatten(eq_call *c) {
  const eq_tensor *x = c->in[0];
  int64_t shape[EQ_MAXDIM] = {1}, a = c->arg[0].i, b = c->arg[1].i;
  int n = 0;
  if (x->ndim == 0) return give(c, eq_f("reshape", "tl", x, 1, shape));
  if (a > b)
    return eq_fail("the first dim, %" PRId64 ", lies behind the last, %" PRId64, a + 1, b + 1);
  for (int d = 0; d < x->ndim; d++) {
    if (d > a && d <= b)
      shape[n - 1] *= x->shape[d];
    else
      shape[n++] = x->shape[d];
  }
  return give(c, eq_f("reshape", "tl", x, n, shape));
}

static int unflatten(eq_call *c) {
  const eq_tensor *x = c->in[0];
  int n, open = -1, m = 0;
  const int64_t *size = eq_list(c, 1, &n);
  int64_t shape[EQ_MAXDIM + EQ_MAXLIST], d = c->arg[0].i, known = 1,
                                         have = x->ndim ? x->shape[d] : 1;
  for (int i = 0; i < n; i++) {
    if (size[i] == -1 && open < 0)
      open = i;
    else if (size[i] < 0 || known < 0)
      known = -1;
    else /* what is larger than the dim is too large, however much */
      known = size[i] && known > have / size[i] ? have + 1 : known * size[i];
  }
  for (int k = 0; k < x->ndim || k == 0; k++) {
    if (k != d)
      shape[m++] = x->shape[k];
    else
      for (int i = 0; i < n; i++) shape[m++] = i == open && known ? have / known : size[i];
  }
  if (n == 0 || known < 0 || (open >= 0 ? !known || have % known : known != have))
    return eq_fail("dim %" PRId64 " has size %" PRId64 " and does not become %s", d + 1, have,
                   eq_shape_str(n, size));
  return give(c, eq_f("reshape", "tl", x, m, shape));
}

/* ---- order of dims ---- */
static int movedim(eq_call *c) {
  const eq_tensor *x = c->in[0];
  int n, m, next = 0;
  const int64_t *from = eq_list(c, 0, &n), *to = eq_list(c, 1, &m);
  int64_t order[EQ_MAXDIM];
  unsigned taken = 0, moved = 0;
  if (n != m) return eq_fail("%d dims are to be moved to %d places", n, m);
  for (int i = 0; i < n; i++) {
    if (moved >> from[i] & 1 || taken >> to[i] & 1) return eq_fail("a dim is named twice");
    moved |= 1u << from[i];
    taken |= 1u << to[i];
    order[to[i]] = from[i];
  }
  for (int d = 0; d < x->ndim; d++) {
    if (moved >> d & 1) continue;
    while (taken >> next & 1) next++;
    order[next++] = d;
  }
  return give(c, eq_f("permute", "tl", x, x->ndim, order));
}

static int t(eq_call *c) {
  eq_tensor *x = c->in[0];
  if (x->ndim > 2)
    return eq_fail("x must be a matrix, it is %s; transpose exchanges two dims", eq_shape_of(x));
  return give(c, x->ndim < 2 ? eq_f("reshape", "tl", x, x->ndim, x->shape)
                             : eq_f("transpose", "tii", x, (int64_t)0, (int64_t)1));
}

/* ---- diagonals ---- */
/* The view of x's diagonal: all other dims, then the diagonal as the last. */
static eq_tensor *diagonal_view(const eq_tensor *x, int64_t offset, int64_t a, int64_t b) {
  int64_t shape[EQ_MAXDIM], stride[EQ_MAXDIM], rows = x->shape[a], cols = x->shape[b];
  int n = 0;
  int64_t i = offset >= 0      ? 0
              : offset < -rows ? rows
                               : -offset,
          j = offset <= 0     ? 0
              : offset > cols ? cols
                              : offset; /* beyond the corners: nothing */
  int64_t len = rows - i < cols - j ? rows - i : cols - j;
  for (int d = 0; d < x->ndim; d++) {
    if (d == a || d == b) continue;
    shape[n] = x->shape[d];
    stride[n++] = x->stride[d];
  }
  shape[n] = len > 0 ? len : 0;
  stride[n++] = x->stride[a] + x->stride[b];
  return eq_view(x, n, shape, stride, len > 0 ? i * x->stride[a] + j * x->stride[b] : 0);
}

static int diagonal_shape(eq_call *c) {
  const eq_tensor *x = c->in[0];
  if (x->ndim < 2) return eq_fail("x must have at least 2 dims, it is %s", eq_shape_of(x));
  if (c->arg[1].i == c->arg[2].i) return eq_fail("dim1 and dim2 are the same dim");
  return give(c, diagonal_view(x, c->arg[0].i, c->arg[1].i, c->arg[2].i));
}

static int diagonal_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  const eq_tensor *x = c->in[0];
  gx[0] =
      eq_f("undiagonal", "tliii", gy[0], x->ndim, x->shape, c->arg[0].i, c->arg[1].i, c->arg[2].i);
  return eq_error.status;
}

static int undiagonal_shape(eq_call *c) {
  int n;
  const int64_t *shape = eq_list(c, 0, &n);
  return eq_out(c, 0, c->in[0]->dtype, n, shape);
}

static int undiagonal_run(eq_call *c) {
  eq_tensor *y = c->out[0];
  if (y->numel == 0) return EQ_OK;
  memset(y->data, 0, (size_t)y->numel * eq_size(y->dtype));
  eq_tensor *part = diagonal_view(y, c->arg[1].i, c->arg[2].i, c->arg[3].i);
  int bad = part ? eq_copy(part, c->in[0]) : EQ_NOMEM;
  eq_release(part);
  return bad;
}

static int undiagonal_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  gx[0] = eq_f("diagonal", "tiii", gy[0], c->arg[1].i, c->arg[2].i, c->arg[3].i);
  return eq_error.status;
}

static int diag(eq_call *c) {
  const eq_tensor *x = c->in[0];
  int64_t k = c->arg[0].i;
  if (x->ndim == 2) return give(c, eq_f("diagonal", "tiii", x, k, (int64_t)0, (int64_t)1));
  if (x->ndim != 1) return eq_fail("x must be a vector or a matrix, it is %s", eq_shape_of(x));
  if (k < -INT32_MAX || k > INT32_MAX) return eq_fail("offset %" PRId64 " is too large", k);
  int64_t n = x->shape[0] + (k < 0 ? -k : k), shape[2] = {n, n};
  return give(c, eq_f("undiagonal", "tliii", x, 2, shape, k, (int64_t)0, (int64_t)1));
}

/* ---- triangles ---- */
static int triangle_shape(eq_call *c) {
  const eq_tensor *x = c->in[0];
  if (x->ndim < 2) return eq_fail("x must have at least 2 dims, it is %s", eq_shape_of(x));
  return eq_out(c, 0, x->dtype, x->ndim, x->shape);
}

/* Row i keeps columns [from, to) of x; the rest is 0. */
static int triangle_run(eq_call *c, bool lower) {
  const eq_tensor *x = c->in[0];
  eq_tensor *y = c->out[0];
  if (y->numel == 0) return EQ_OK;
  int64_t rows = x->shape[x->ndim - 2], cols = x->shape[x->ndim - 1],
          size = (int64_t)eq_size(x->dtype);
  memset(y->data, 0, (size_t)(y->numel * size));
  for (int64_t r = 0; r < y->numel / cols; r++) {
    int64_t k = c->arg[0].i < -rows ? -rows : c->arg[0].i > cols ? cols : c->arg[0].i;
    int64_t cut = r % rows + k + (lower ? 1 : 0);
    cut = cut < 0 ? 0 : cut > cols ? cols : cut;
    int64_t from = lower ? 0 : cut, n = lower ? cut : cols - cut;
    memcpy(y->data + (r * cols + from) * size, x->data + (r * cols + from) * size,
           (size_t)(n * size));
  }
  return EQ_OK;
}
static int tril_run(eq_call *c) { return triangle_run(c, true); }
static int triu_run(eq_call *c) { return triangle_run(c, false); }

static int tril_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  gx[0] = eq_f("tril", "ti", gy[0], c->arg[0].i);
  return eq_error.status;
}
static int triu_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  gx[0] = eq_f("triu", "ti", gy[0], c->arg[0].i);
  return eq_error.status;
}

const eq_op ops_view[] = {
    {.name = "narrow",
     .sig = "x:tensor, dim:dim, start:int, length:int -> y",
     .doc = "A view of `length` entries of a dim from `start` on (from 1; negative counts from the "
            "end).",
     .example = "print(equi.arange(5):narrow(1, 2, 3):sum():item())  --> 9",
     .compose = narrow,
     .where = EQ_HERE},
    {.name = "squeeze",
     .sig = "x:tensor, dims:dims=nil -> y",
     .doc = "x without its dims of size 1, or without those of the given dims that have size 1.",
     .example = "print(equi.zeros(1, 3, 1):squeeze():size())  --> 3",
     .compose = squeeze,
     .where = EQ_HERE},
    {.name = "unsqueeze",
     .sig = "x:tensor, dim:dim+ -> y",
     .doc = "x with a new dim of size 1 at place dim.",
     .example = "print(equi.zeros(2, 3):unsqueeze(1):size())  --> 1 2 3",
     .compose = unsqueeze,
     .where = EQ_HERE},
    {.name = "flatten",
     .sig = "x:tensor, first:dim=1, last:dim=-1 -> y",
     .doc = "The dims from first to last as one; by default all.",
     .example = "print(equi.zeros(2, 3, 4):flatten(2):size())  --> 2 12",
     .compose = flatten,
     .where = EQ_HERE},
    {.name = "unflatten",
     .sig = "x:tensor, dim:dim, sizes:ints -> y",
     .doc = "One dim as several, whose sizes multiply to its size; one may be -1.",
     .example = "print(equi.zeros(2, 12):unflatten(2, {3, -1}):size())  --> 2 3 4",
     .compose = unflatten,
     .where = EQ_HERE},
    {.name = "movedim",
     .sig = "x:tensor, from:dims, to:dims -> y",
     .doc = "A view with dims moved to other places, one or a list of them; the rest keeps its "
            "order.",
     .example = "print(equi.zeros(2, 3, 4):movedim(1, 3):size())  --> 3 4 2",
     .compose = movedim,
     .where = EQ_HERE},
    {.name = "t",
     .sig = "x:tensor -> y",
     .doc = "The transposed matrix, a view; vectors stay as they are.",
     .example = "print(equi.zeros(2, 3):t():size())  --> 3 2",
     .compose = t,
     .where = EQ_HERE},
    {.name = "diagonal",
     .sig = "x:tensor, offset:int=0, dim1:dim=1, dim2:dim=2 -> y",
     .doc = "A view of the diagonal of two dims, as the last dim. offset 1 is the one above, -1 "
            "the one below.",
     .example = "print(equi.eye(3):diagonal():sum():item())  --> 3.0",
     .shape = diagonal_shape,
     .back = diagonal_back,
     .flags = EQ_VIEW,
     .where = EQ_HERE},
    {.name = "undiagonal",
     .sig = "g:tensor, sizes:ints, offset:int, dim1:int, dim2:int -> gx",
     .doc = "Zeros of the sizes given with g on a diagonal: the rule of diagonal.",
     .shape = undiagonal_shape,
     .run = undiagonal_run,
     .back = undiagonal_back,
     .flags = EQ_ANY_STRIDE | EQ_HIDDEN,
     .where = EQ_HERE},
    {.name = "diag",
     .sig = "x:tensor, offset:int=0 -> y",
     .doc = "The diagonal of a matrix (a view), or the matrix with a vector on its diagonal.",
     .example = "print(equi.tensor({1, 2}):diag()[2][2]:item())  --> 2.0",
     .compose = diag,
     .where = EQ_HERE},
    {.name = "tril",
     .sig = "x:tensor, offset:int=0 -> y",
     .doc =
         "The lower triangle of the last two dims, zeros above. offset 1 keeps one diagonal more.",
     .example = "print(equi.ones(3, 3):tril():sum():item())  --> 6.0",
     .shape = triangle_shape,
     .run = tril_run,
     .back = tril_back,
     .flags = EQ_INPLACE,
     .where = EQ_HERE},
    {.name = "triu",
     .sig = "x:tensor, offset:int=0 -> y",
     .doc =
         "The upper triangle of the last two dims, zeros below. offset 1 keeps one diagonal less.",
     .example = "print(equi.ones(3, 3):triu():sum():item())  --> 6.0",
     .shape = triangle_shape,
     .run = triu_run,
     .back = triu_back,
     .flags = EQ_INPLACE,
     .where = EQ_HERE},
    {0}};
