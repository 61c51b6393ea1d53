/* embedding.c -- rows of a table chosen by ids: y[..., :] = weight[ids[...], :].
 *
 * ids count from 1. The gradient adds up rows that were chosen several times; threads split the
 * columns, not the ids, so the order of every sum is fixed. */
#ifdef T
static void FN(add_rows)(const job *j, int64_t begin, int64_t end) {
  for (int64_t k = 0; k < j->count; k++) {
    int64_t id = j->ids[k] - EQ_BASE;
    if (j->ids[k] == j->padding) continue;
    T *row = (T *)(void *)j->to + id * j->width;
    const T *g = (const T *)(const void *)j->from + k * j->width;
    for (int64_t i = begin; i < end; i++) row[i] += g[i];
  }
}
#else
#include "../equi.h"
#include <inttypes.h>
#include <string.h>

enum { PIECE = 32768 };

typedef struct job {
  const int64_t *ids;
  const char *from;
  char *to;
  int64_t count, width, padding; /* padding: an id, or 0 */
  size_t row_bytes;
  eq_dtype dtype;
} job;

#define EQ_FILE "ops/embedding.c"
#include "../floats.h"

static int check_padding(const eq_call *c, int slot, int64_t rows, int64_t *padding) {
  *padding = 0;
  if (!eq_given(c, slot)) return EQ_OK;
  *padding = c->arg[slot].i;
  if (*padding < 0) *padding += rows + EQ_BASE;
  if (*padding < EQ_BASE || *padding >= rows + EQ_BASE)
    return eq_fail("padding_idx is %" PRId64 ", weight has rows 1 to %" PRId64, c->arg[slot].i,
                   rows);
  return EQ_OK;
}

static int check_ids(const eq_tensor *ids, int64_t rows) {
  const int64_t *id = (const int64_t *)(const void *)ids->data;
  for (int64_t k = 0; k < ids->numel; k++)
    if (id[k] < EQ_BASE || id[k] >= rows + EQ_BASE)
      return eq_fail("id %" PRId64 " at position %" PRId64 " is outside 1 to %" PRId64
                     ", the rows of weight",
                     id[k], k + 1, rows);
  return EQ_OK;
}

static void copy_rows(int64_t begin, int64_t end, void *ctx) {
  const job *j = ctx;
  for (int64_t k = begin; k < end; k++)
    memcpy(j->to + (size_t)k * j->row_bytes, j->from + (size_t)(j->ids[k] - EQ_BASE) * j->row_bytes,
           j->row_bytes);
}

static int embedding_shape(eq_call *c) {
  const eq_tensor *ids = c->in[0], *w = c->in[1];
  int64_t shape[EQ_MAXDIM], padding;
  if (w->ndim != 2) return eq_fail("weight must be rows x width, it is %s", eq_shape_of(w));
  if (ids->ndim == EQ_MAXDIM)
    return eq_fail("ids have %d dims, at most %d work", ids->ndim, EQ_MAXDIM - 1);
  if (check_padding(c, 0, w->shape[0], &padding)) return EQ_ERR;
  memcpy(shape, ids->shape, sizeof shape);
  shape[ids->ndim] = w->shape[1];
  return eq_out(c, 0, w->dtype, ids->ndim + 1, shape);
}

static int embedding_run(eq_call *c) {
  const eq_tensor *ids = c->in[0], *w = c->in[1];
  job j = {.ids = (const int64_t *)(const void *)ids->data,
           .from = w->data,
           .to = c->out[0]->data,
           .row_bytes = (size_t)w->shape[1] * eq_size(w->dtype)};
  int64_t grain = w->shape[1] ? PIECE / w->shape[1] : PIECE;
  if (check_ids(ids, w->shape[0])) return EQ_ERR;
  return eq_parallel_for(ids->numel, grain < 1 ? 1 : grain, copy_rows, &j);
}

static int embedding_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  if (!eq_needed(c, 1)) return EQ_OK;
  int64_t rows = c->in[1]->shape[0], padding;
  if (check_padding(c, 0, rows, &padding)) return EQ_ERR;
  gx[1] = eq_f("embedding_grad", "ttii", gy[0], c->in[0], rows, padding);
  return gx[1] ? EQ_OK : eq_error.status;
}

/* ---- the gradient: rows of zeros, g added where ids say ---- */
static int grad_shape(eq_call *c) {
  const eq_tensor *g = c->in[0];
  int64_t shape[2] = {c->arg[0].i, g->shape[g->ndim - 1]};
  return eq_out(c, 0, g->dtype, 2, shape);
}

static void columns(int64_t begin, int64_t end, void *ctx) {
  const job *j = ctx;
  FLOAT_CALL(j->dtype, add_rows, (j, begin, end));
}

static int grad_run(eq_call *c) {
  eq_tensor *y = c->out[0];
  job j = {.ids = (const int64_t *)(const void *)c->in[1]->data,
           .from = c->in[0]->data,
           .to = y->data,
           .count = c->in[1]->numel,
           .width = y->shape[1],
           .padding = c->arg[1].i,
           .dtype = y->dtype};
  memset(y->data, 0, (size_t)y->numel * eq_size(y->dtype));
  int64_t grain = j.count ? PIECE / j.count : PIECE;
  return eq_parallel_for(j.width, grain < 64 ? 64 : grain, columns, &j);
}

/* It is linear in g: back comes the row of h for every id, 0 for the padding. */
static int grad_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  if (!eq_needed(c, 0)) return EQ_OK;
  eq_tensor *ids = c->in[1], *h = eq_f("embedding", "tt", ids, gy[0]);
  int64_t padding = c->arg[1].i, shape[EQ_MAXDIM];
  if (h && padding) {
    memcpy(shape, ids->shape, sizeof shape);
    shape[ids->ndim] = 1;
    eq_tensor *used =
        eq_f("reshape", "Tl", eq_f("ne", "tn", ids, (double)padding), ids->ndim + 1, shape);
    h = eq_f("mul", "TT", h, eq_f("to", "Ti", used, (int64_t)gy[0]->dtype));
  }
  gx[0] = h;
  return h ? EQ_OK : eq_error.status;
}

const eq_op ops_embedding[] = {
    {.name = "embedding",
     .sig = "ids:index, weight:float, padding_idx:int=nil -> y",
     .doc = "Row ids[...] of weight for every id: ids of any shape, weight V x D, result ids' "
            "shape x D.\n"
            "ids are i64 and count from 1. The row padding_idx receives no gradient.",
     .example = "local w = equi.tensor({{1, 2}, {3, 4}})\n"
                "local ids = equi.tensor({2, 2, 1}, {dtype = \"i64\"})\n"
                "print(equi.embedding(ids, w):totable()[1][2])  --> 4.0",
     .shape = embedding_shape,
     .run = embedding_run,
     .back = embedding_back,
     .flags = EQ_SAVE_IN0,
     .where = EQ_HERE},
    {.name = "embedding_grad",
     .sig = "g:float, ids:index, rows:int, padding:int -> gx",
     .doc = "Zeros with the rows of g added at ids: the rule of embedding.",
     .shape = grad_shape,
     .run = grad_run,
     .back = grad_back,
     .flags = EQ_SAVE_IN1 | EQ_HIDDEN,
     .where = EQ_HERE},
    {0}};
#endif
