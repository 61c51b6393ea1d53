/* layout.c -- orders of dims in memory: which one a tensor has, and results in the same one.
 *
 * A layout is nothing but strides: every op reads every one. Images [B, C, H, W] live with their
 * channels next to each other (channels-last), where a pixel is one vector; element-wise results
 * take over the order of their input, so it lasts through a network. Not here: copies (copy.c). */
#include "equi.h"
#include <string.h>

/* Strides of a dense tensor whose dims lie in memory in the order dim[0] (outermost) ... */
static void strides_in_order(int ndim, const int64_t *shape, const int *dim, int64_t *stride) {
  int64_t s = 1;
  for (int k = ndim - 1; k >= 0; k--) {
    stride[dim[k]] = s;
    s *= shape[dim[k]] > 0 ? shape[dim[k]] : 1;
  }
}

void eq_memory_order(const eq_tensor *x, int *dim) {
  for (int d = 0; d < x->ndim; d++) {
    int k = d;
    for (; k > 0 && x->stride[dim[k - 1]] < x->stride[d]; k--) dim[k] = dim[k - 1];
    dim[k] = d;
  }
}

/* Dims of size 1 step nowhere: their strides say nothing. */
static bool same_places(const eq_tensor *x, const int64_t *stride) {
  for (int d = 0; d < x->ndim; d++)
    if (x->shape[d] != 1 && x->stride[d] != stride[d]) return false;
  return true;
}

bool eq_is_dense(const eq_tensor *x) {
  int dim[EQ_MAXDIM];
  int64_t stride[EQ_MAXDIM];
  if (eq_is_contiguous(x)) return true;
  eq_memory_order(x, dim);
  /* a dim of size 1 may stand anywhere in the order, and changes no product */
  strides_in_order(x->ndim, x->shape, dim, stride);
  return same_places(x, stride);
}

bool eq_has_places(const eq_tensor *x) {
  int dim[EQ_MAXDIM];
  int64_t span = 1; /* one more than the farthest place of the dims below */
  eq_memory_order(x, dim);
  for (int k = x->ndim - 1; k >= 0; k--) {
    if (x->shape[dim[k]] == 1) continue;
    if (x->stride[dim[k]] < span) return false;
    span = x->stride[dim[k]] * x->shape[dim[k]];
  }
  return true;
}

static void channels_last_strides(const int64_t *shape, int64_t *stride) {
  static const int order[4] = {0, 2, 3, 1};
  strides_in_order(4, shape, order, stride);
}

bool eq_is_channels_last(const eq_tensor *x) {
  int64_t stride[4];
  if (x->ndim != 4) return false;
  if (x->numel == 0) return true;
  channels_last_strides(x->shape, stride);
  return same_places(x, stride);
}

eq_tensor *eq_empty_channels_last(eq_dtype t, int ndim, const int64_t *shape) {
  eq_tensor *y = eq_empty(t, ndim, shape);
  if (y && ndim == 4) channels_last_strides(shape, y->stride);
  return y;
}

eq_tensor *eq_channels_last(eq_tensor *x) {
  if (eq_is_channels_last(x)) return eq_retain(x);
  eq_tensor *y = eq_empty_channels_last(x->dtype, x->ndim, x->shape);
  if (!y || !eq_copy(y, x)) return y;
  eq_release(y);
  return NULL;
}

int eq_out_channels_last(eq_call *c, int k, eq_dtype t, int ndim, const int64_t *shape) {
  int bad = eq_out(c, k, t, ndim, shape);
  if (!bad && ndim == 4) channels_last_strides(shape, c->out[k]->stride);
  return bad;
}

int eq_out_in_order(eq_call *c, int k, eq_dtype t, const int64_t *shape, const eq_tensor *x) {
  int dim[EQ_MAXDIM];
  int bad = eq_out(c, k, t, x->ndim, shape);
  if (bad || x->ndim < 2 || eq_is_contiguous(x) || !eq_has_places(x)) return bad;
  eq_memory_order(x, dim);
  strides_in_order(x->ndim, shape, dim, c->out[k]->stride);
  return EQ_OK;
}

int eq_out_like(eq_call *c, int k, eq_dtype t, const eq_tensor *x) {
  return eq_out_in_order(c, k, t, x->shape, x);
}
