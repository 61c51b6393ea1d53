/* tensor.c -- storage, tensors, views, copies.
 *
 * A tensor is a window (shape, strides, first element) on a counted storage. Views share the
 * storage and cost one small struct; a copy is made only where an op needs row-major input. */
#include "equi.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- dtypes ---- */
size_t eq_size(eq_dtype t) {
  static const size_t size[EQ_NDTYPE] = {4, 8, 8, 1, 1};
  return size[t];
}

const char *eq_dtype_name(eq_dtype t) {
  static const char *const name[EQ_NDTYPE] = {"f32", "f64", "i64", "u8", "bool"};
  return name[t];
}

/* ---- shapes ---- */
void eq_strides(int ndim, const int64_t *shape, int64_t *stride) {
  int64_t s = 1;
  for (int d = ndim - 1; d >= 0; d--) {
    stride[d] = s;
    s *= shape[d] > 0 ? shape[d] : 1;
  }
}

bool eq_same_shape(const eq_tensor *a, const eq_tensor *b) {
  return a->ndim == b->ndim && !memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape);
}

bool eq_is_contiguous(const eq_tensor *x) {
  int64_t s = 1;
  if (x->numel == 0) return true;
  for (int d = x->ndim - 1; d >= 0; d--) {
    if (x->shape[d] != 1 && x->stride[d] != s) return false;
    s *= x->shape[d];
  }
  return true;
}

const char *eq_shape_str(int ndim, const int64_t *shape) {
  static char ring[6][160];
  static int turn;
  char *s = ring[turn = (turn + 1) % 6];
  size_t n = 0;
  if (ndim == 0) return "a single number";
  for (int d = 0; d < ndim && n + 24 < sizeof ring[0]; d++)
    n += (size_t)snprintf(s + n, sizeof ring[0] - n, d ? " x %" PRId64 : "%" PRId64, shape[d]);
  return s;
}

/* Number of elements, or -1 when negative sizes or more bytes than an address holds. */
static int64_t count(eq_dtype t, int ndim, const int64_t *shape) {
  int64_t n = 1, limit = ((int64_t)1 << 60) / (int64_t)eq_size(t);
  if (ndim < 0 || ndim > EQ_MAXDIM) {
    eq_fail("a tensor has at most %d dimensions, got %d", EQ_MAXDIM, ndim);
    return -1;
  }
  for (int d = 0; d < ndim; d++) {
    if (shape[d] < 0) {
      eq_fail("sizes must not be negative, got %s", eq_shape_str(ndim, shape));
      return -1;
    }
    bool small = n <= INT32_MAX && shape[d] <= INT32_MAX; /* then n * shape[d] does not overflow */
    if (small ? n * shape[d] > limit : shape[d] && n > limit / shape[d]) {
      eq_fail("a tensor of %s %s does not fit into memory", eq_shape_str(ndim, shape),
              eq_dtype_name(t));
      return -1;
    }
    n *= shape[d];
  }
  return n;
}

/* ---- life ---- */
eq_storage *eq_storage_wrap(void *data, size_t bytes, void (*release)(eq_storage *), void *owner) {
  eq_storage *s = eq_alloc(sizeof *s);
  if (!s) return NULL;
  *s = (eq_storage){.refs = 1, .bytes = bytes, .data = data, .release = release, .owner = owner};
  return s;
}

static eq_storage *new_storage(size_t bytes) {
  void *data = eq_alloc(bytes);
  if (!data) return NULL;
  eq_storage *s = eq_storage_wrap(data, bytes, NULL, NULL);
  if (!s) eq_free(data, bytes);
  return s;
}

static void storage_release(eq_storage *s) {
  if (!s || --s->refs) return;
  if (s->release)
    s->release(s);
  else
    eq_free(s->data, s->bytes);
  eq_free(s, sizeof *s);
}

eq_tensor *eq_meta(eq_dtype t, int ndim, const int64_t *shape) {
  int64_t n = count(t, ndim, shape);
  if (n < 0) return NULL;
  eq_tensor *x = eq_alloc(sizeof *x);
  if (!x) return NULL;
  x->refs = 1;
  x->dtype = t;
  x->ndim = ndim;
  x->out = 0;
  x->numel = n;
  for (int d = 0; d < ndim; d++) x->shape[d] = shape[d];
  eq_strides(ndim, shape, x->stride);
  x->data = NULL;
  x->storage = NULL;
  x->node = NULL;
  x->grad = NULL;
  return x;
}

eq_tensor *eq_empty(eq_dtype t, int ndim, const int64_t *shape) {
  eq_tensor *x = eq_meta(t, ndim, shape);
  if (!x) return NULL;
  x->storage = new_storage((size_t)x->numel * eq_size(t));
  if (!x->storage) {
    eq_release(x);
    return NULL;
  }
  x->data = x->storage->data;
  return x;
}

eq_tensor *eq_from_storage(eq_storage *s, eq_dtype t, int ndim, const int64_t *shape,
                           size_t offset) {
  eq_tensor *x = eq_meta(t, ndim, shape);
  if (!x) return NULL;
  s->refs++;
  x->storage = s;
  x->data = (char *)s->data + offset;
  return x;
}

eq_tensor *eq_view(const eq_tensor *x, int ndim, const int64_t *shape, const int64_t *stride,
                   int64_t offset) {
  eq_tensor *v = eq_meta(x->dtype, ndim, shape);
  if (!v) return NULL;
  if (ndim) memcpy(v->stride, stride, (size_t)ndim * sizeof *stride);
  v->storage = x->storage;
  if (v->storage) v->storage->refs++;
  v->data = x->data && v->numel ? x->data + offset * (int64_t)eq_size(x->dtype) : x->data;
  return v;
}

eq_tensor *eq_alias(const eq_tensor *x) { return eq_view(x, x->ndim, x->shape, x->stride, 0); }

eq_tensor *eq_retain(eq_tensor *x) {
  if (x) x->refs++;
  return x;
}

void eq_release(eq_tensor *x) {
  if (!x || --x->refs) return;
  eq_node *node = x->node;
  if (node && node->leaf == x) node->leaf = NULL; /* the accumulator may outlive its leaf */
  eq_release(x->grad);
  storage_release(x->storage);
  eq_free(x, sizeof *x);
  if (node) eq_node_release(node);
}

int eq_check_places(const eq_tensor *x) {
  for (int d = 0; d < x->ndim; d++)
    if (x->stride[d] == 0 && x->shape[d] > 1 && x->numel)
      return eq_fail("x is expanded in dim %d: its elements share memory and cannot be written one "
                     "by one; use x:clone()",
                     d + 1);
  return EQ_OK;
}

void eq_touch(eq_tensor *x) {
  if (x->storage) x->storage->version++;
}

/* ---- reshape without copying ---- */
/* Strides for `shape` over x's elements in order: every run of x's dims that is one block in memory
 * must be covered by a run of new dims of the same size. */
static bool reshape_strides(const eq_tensor *x, int ndim, const int64_t *shape, int64_t *stride) {
  int64_t size[EQ_MAXDIM], step[EQ_MAXDIM];
  int n = 0, o = 0;
  for (int d = 0; d < x->ndim; d++) {
    if (x->shape[d] == 1) continue;
    size[n] = x->shape[d];
    step[n++] = x->stride[d];
  }
  for (int d = 0; d < ndim;) {
    if (shape[d] == 1) {
      stride[d++] = 1;
      continue;
    }
    if (o >= n) return false;
    int64_t have = size[o], want = shape[d];
    int d1 = d + 1, o1 = o + 1;
    while (have != want) {
      if (have < want) {
        if (o1 >= n) return false;
        have *= size[o1++];
      } else {
        if (d1 >= ndim) return false;
        want *= shape[d1++];
      }
    }
    for (int k = o; k + 1 < o1; k++)
      if (step[k] != size[k + 1] * step[k + 1]) return false;
    int64_t s = step[o1 - 1];
    for (int k = d1 - 1; k >= d; k--) {
      stride[k] = s;
      s *= shape[k];
    }
    d = d1;
    o = o1;
  }
  return o == n;
}

eq_tensor *eq_try_reshape(const eq_tensor *x, int ndim, const int64_t *shape) {
  int64_t stride[EQ_MAXDIM];
  eq_error.status = EQ_OK;
  if (x->numel == 0)
    eq_strides(ndim, shape, stride);
  else if (!reshape_strides(x, ndim, shape, stride))
    return NULL;
  return eq_view(x, ndim, shape, stride, 0);
}

/* ---- copies and conversions ---- */
/* A new tensor of dtype t with x's values, row-major. */
static eq_tensor *copied(const eq_tensor *x, eq_dtype t) {
  eq_tensor *y = eq_empty(t, x->ndim, x->shape);
  if (y && eq_copy(y, x)) {
    eq_release(y);
    return NULL;
  }
  return y;
}

eq_tensor *eq_clone(const eq_tensor *x) { return copied(x, x->dtype); }

eq_tensor *eq_contiguous(eq_tensor *x) {
  return eq_is_contiguous(x) ? eq_retain(x) : copied(x, x->dtype);
}

eq_tensor *eq_cast(eq_tensor *x, eq_dtype t) { return x->dtype == t ? eq_retain(x) : copied(x, t); }

/* ---- filled tensors and single elements ---- */
eq_tensor *eq_zeros(eq_dtype t, int ndim, const int64_t *shape) {
  eq_tensor *x = eq_empty(t, ndim, shape);
  if (x) memset(x->data, 0, (size_t)x->numel * eq_size(t));
  return x;
}

static void put(char *p, eq_dtype t, double v) {
  switch (t) {
  case EQ_F32: *(float *)p = (float)v; break;
  case EQ_F64: *(double *)p = v; break;
  case EQ_I64: *(int64_t *)p = (int64_t)v; break;
  case EQ_U8: *(uint8_t *)p = (uint8_t)v; break;
  default: *(bool *)p = v != 0;
  }
}

eq_tensor *eq_scalar(eq_dtype t, double value) {
  eq_tensor *x = eq_empty(t, 0, NULL);
  if (x) put(x->data, t, value);
  return x;
}

eq_tensor *eq_full(eq_dtype t, int ndim, const int64_t *shape, double value) {
  eq_tensor *x = eq_empty(t, ndim, shape), *v = x ? eq_scalar(t, value) : NULL;
  int bad = !v || eq_copy(x, v);
  eq_release(v);
  if (!bad) return x;
  eq_release(x);
  return NULL;
}

/* Address of element number `flat` in row-major order. */
static char *address(const eq_tensor *x, int64_t flat) {
  int64_t at = 0;
  for (int d = x->ndim - 1; d >= 0; d--) {
    at += flat % x->shape[d] * x->stride[d];
    flat /= x->shape[d];
  }
  return x->data + at * (int64_t)eq_size(x->dtype);
}

double eq_get(const eq_tensor *x, int64_t flat) {
  const char *p = address(x, flat);
  switch (x->dtype) {
  case EQ_F32: return *(const float *)p;
  case EQ_F64: return *(const double *)p;
  case EQ_I64: return (double)*(const int64_t *)p;
  case EQ_U8: return *(const uint8_t *)p;
  default: return *(const bool *)p;
  }
}

int64_t eq_get_int(const eq_tensor *x, int64_t flat) {
  return x->dtype == EQ_I64 ? *(const int64_t *)(void *)address(x, flat) : (int64_t)eq_get(x, flat);
}

void eq_set(eq_tensor *x, int64_t flat, double value) { put(address(x, flat), x->dtype, value); }
