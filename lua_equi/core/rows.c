/* rows.c -- for ops along dims: the dims in question as rows of n numbers behind each other.
 *
 * A kernel knows that one layout. Where a tensor has another, its dims are moved to the end and
 * copied, which costs less than walking memory with large strides, and no kernel exists twice. */
#include "equi.h"

enum { PIECE = 32768 };

int eq_dim_mask(const eq_call *c, int slot, unsigned *mask) {
  const eq_tensor *x = c->in[0];
  int n = 0;
  const int64_t *d = eq_given(c, slot) ? eq_list(c, slot, &n) : NULL;
  *mask = 0;
  for (int i = 0; i < n; i++) {
    if (*mask >> d[i] & 1) return eq_fail("dim %d is named twice", (int)d[i] + 1);
    *mask |= 1u << d[i];
  }
  if (n == 0) *mask = (1u << x->ndim) - 1;
  *mask &= (1u << x->ndim) - 1; /* a single number has no dims */
  return EQ_OK;
}

int eq_reduced_shape(const eq_tensor *x, unsigned mask, bool keep, int64_t *shape) {
  int n = 0;
  for (int d = 0; d < x->ndim; d++) {
    if (!(mask >> d & 1))
      shape[n++] = x->shape[d];
    else if (keep)
      shape[n++] = 1;
  }
  return n;
}

int64_t eq_row_length(const eq_tensor *x, unsigned mask) {
  int64_t n = 1;
  for (int d = 0; d < x->ndim; d++)
    if (mask >> d & 1) n *= x->shape[d];
  return n;
}

/* x with the dims of the mask moved to the end, in order: a view. */
static eq_tensor *dims_last(const eq_tensor *x, unsigned mask) {
  int64_t shape[EQ_MAXDIM], stride[EQ_MAXDIM];
  int n = 0;
  for (unsigned pass = 0; pass < 2; pass++)
    for (int d = 0; d < x->ndim; d++) {
      if ((mask >> d & 1) != pass) continue;
      shape[n] = x->shape[d];
      stride[n++] = x->stride[d];
    }
  return eq_view(x, x->ndim, shape, stride, 0);
}

/* x itself or a copy in which the dims of the mask are the row-major tail. */
static eq_tensor *rows_of(const eq_tensor *x, unsigned mask) {
  eq_tensor *v = dims_last(x, mask), *r = v ? eq_contiguous(v) : NULL;
  eq_release(v);
  return r;
}

typedef struct work {
  eq_rows rows;
  eq_row_fn run;
} work;

static void piece(int64_t begin, int64_t end, void *ctx) {
  const work *w = ctx;
  w->run(&w->rows, begin, end);
}

int eq_over_rows(eq_call *c, unsigned mask, bool full, eq_row_fn run) {
  const eq_tensor *x = c->in[0];
  eq_tensor *y = c->out[0];
  work w = {.rows = {.n = eq_row_length(x, mask), .call = c}, .run = run};
  if (y->numel == 0) return EQ_OK;
  int64_t count = full ? y->numel / w.rows.n : y->numel;
  bool two = c->nin > 1 && c->in[1];
  eq_tensor *a = rows_of(x, mask), *b = two ? rows_of(c->in[1], mask) : NULL;
  eq_tensor *there = full ? dims_last(y, mask) : NULL, *made = NULL;
  int bad = !a || (two && !b) || (full && !there) ? EQ_NOMEM : EQ_OK;
  if (!bad) {
    bool direct = !full || eq_is_contiguous(there);
    made = direct ? eq_retain(y) : eq_empty(y->dtype, y->ndim, there->shape);
    if (!made) bad = EQ_NOMEM;
  }
  if (!bad) {
    w.rows.a = a->data;
    w.rows.b = b ? b->data : NULL;
    w.rows.y = made->data;
    w.rows.z = c->nout > 1 ? c->out[1]->data : NULL;
    int64_t grain = w.rows.n ? PIECE / w.rows.n : PIECE;
    bad = eq_parallel_for(count, grain < 1 ? 1 : grain, piece, &w);
  }
  if (!bad && made != y) bad = eq_copy(there, made);
  eq_release(a);
  eq_release(b);
  eq_release(there);
  eq_release(made);
  return bad;
}
