/* elementwise.c -- the loop over elements that every element-wise op shares.
 *
 * Dimensions that lie behind each other in memory for all operands are joined, so most calls become
 * one run of n elements. Runs are cut into pieces of PIECE elements for the threads. */
#include "equi.h"

/* SERIAL: below about 50 us of work a second thread costs more than it brings. */
enum { MAXT = EQ_MAXOPERAND + 1, PIECE = 32768, SERIAL = 4 * PIECE };

typedef struct walk {
  eq_kernel kernel;
  const eq_call *call;
  int n, ndim; /* operands; dims left after joining, the last is inner */
  int64_t shape[EQ_MAXDIM];
  int64_t stride[EQ_MAXDIM][MAXT]; /* bytes */
  char *base[MAXT];
  int64_t rows, inner, split; /* split: pieces of one row */
} walk;

/* Byte stride of operand x along dim d of the result, 0 where x is broadcast. */
static int64_t stride_of(const eq_tensor *x, const eq_tensor *out, int d) {
  int k = d - (out->ndim - x->ndim);
  return k < 0 || x->shape[k] == 1 ? 0 : x->stride[k] * (int64_t)eq_size(x->dtype);
}

static bool can_join(const walk *w, int last, const int64_t *stride, int64_t size) {
  for (int i = 0; i < w->n; i++)
    if (w->stride[last][i] != stride[i] * size) return false;
  return true;
}

/* Dims in the result's order in memory; a dim is joined to the one before when every operand steps
 * evenly. */
static void join_dims(walk *w, eq_tensor *const *t) {
  const eq_tensor *out = t[w->n - 1];
  int order[EQ_MAXDIM];
  eq_memory_order(out, order);
  w->ndim = 0;
  for (int k = 0; k < out->ndim; k++) {
    int d = order[k];
    int64_t stride[MAXT], size = out->shape[d];
    if (size == 1) continue;
    for (int i = 0; i < w->n; i++) stride[i] = stride_of(t[i], out, d);
    int at = w->ndim;
    if (at && can_join(w, at - 1, stride, size)) {
      at--;
      w->shape[at] *= size;
    } else {
      w->shape[at] = size;
      w->ndim++;
    }
    for (int i = 0; i < w->n; i++) w->stride[at][i] = stride[i];
  }
  if (w->ndim == 0) {
    w->shape[0] = 1;
    for (int i = 0; i < w->n; i++) w->stride[0][i] = 0;
    w->ndim = 1;
  }
}

static void row_start(const walk *w, int64_t row, char **p) {
  for (int i = 0; i < w->n; i++) p[i] = w->base[i];
  for (int d = w->ndim - 2; d >= 0; d--) {
    int64_t at = row % w->shape[d];
    row /= w->shape[d];
    for (int i = 0; i < w->n; i++) p[i] += at * w->stride[d][i];
  }
}

/* Piece number k is part k % split of row k / split. */
static void pieces(int64_t begin, int64_t end, void *ctx) {
  const walk *w = ctx;
  const int64_t *s = w->stride[w->ndim - 1];
  char *p[MAXT];
  for (int64_t k = begin; k < end; k++) {
    int64_t from = k % w->split * PIECE, n = w->inner - from;
    row_start(w, k / w->split, p);
    if (from)
      for (int i = 0; i < w->n; i++) p[i] += from * s[i];
    w->kernel(w->split > 1 && n > PIECE ? PIECE : n, p, s, w->call);
  }
}

int eq_elementwise(eq_kernel kernel, int n, eq_tensor *const *t, const eq_call *c) {
  walk w; /* not cleared: the unused dims are most of it */
  const eq_tensor *out = t[n - 1];
  if (out->numel == 0) return EQ_OK;
  w.kernel = kernel;
  w.call = c;
  w.n = n;
  join_dims(&w, t);
  for (int i = 0; i < n; i++) w.base[i] = t[i]->data;
  w.inner = w.shape[w.ndim - 1];
  w.rows = out->numel / w.inner;
  w.split = w.inner > PIECE ? (w.inner + PIECE - 1) / PIECE : 1;
  if (out->numel < SERIAL) {
    pieces(0, w.rows * w.split, &w);
    return EQ_OK;
  }
  int64_t grain = w.inner >= PIECE ? 1 : PIECE / w.inner;
  return eq_parallel_for(w.rows * w.split, grain, pieces, &w);
}
