/* thin.c -- see thin.h: cuts a product between its outputs and runs the parts in parallel. */
#include "thin.h"
#include <inttypes.h>
#include <string.h>

enum {
  PIECE = 512 << 10, /* bytes of weights that one part reads: some 12 us */
  NARROW = 192,      /* columns of dense rows: less are read slower */
  WIDE = 1024        /* and so many fastest, where there is nobody to share with */
};

static int64_t size_of(eq_store store) {
  return store == EQ_KEPT_F32 ? 4 : store == EQ_KEPT_BF16 ? 2 : 1;
}

typedef struct job {
  const eq_sgemm *g;
  eq_thin_after after;
} job;

static void add_bias(const eq_sgemm *g) {
  for (int64_t r = 0; r < g->m; r++)
    for (int64_t j = 0; j < g->n; j++) g->c[r * g->crs + j] += g->bias[j];
}

static void part(int64_t begin, int64_t end, void *ctx) {
  const job *q = ctx;
  eq_sgemm g = *q->g;
  g.n = end - begin;
  g.b = (const float *)(const void *)((const char *)g.b + begin * g.bns * size_of(g.store));
  g.c += begin;
  if (g.bias) g.bias += begin;
  if (g.scale) g.scale += begin;
  if (g.bias && g.accumulate) {
    add_bias(&g);
    g.bias = NULL;
  }
  eq_sgemm_skinny(&g);
  for (int64_t r = 0; q->after && r < g.m; r++) q->after(g.c + r * g.crs, g.n);
}

int eq_thin(const eq_sgemm *g, eq_thin_after after) {
  job q = {g, after};
  int64_t cols = PIECE / (g->k * size_of(g->store) + 1);
  int64_t least = g->bns != 1 ? 64 : eq_threads() > 1 ? NARROW : WIDE;
  return eq_parallel_for(g->n, (cols > least ? cols : least) / 64 * 64, part, &q);
}

int eq_thin_weight(eq_sgemm *g, const eq_tensor *w, const eq_tensor *scale, bool turned) {
  const int64_t k = g->k, rows = w->ndim == 2 ? w->shape[0] : -1;
  const int64_t cols = w->ndim == 2 ? w->shape[1] : -1;
  g->b = (const float *)(const void *)w->data;
  g->bks = 1, g->bns = k;
  g->n = rows;
  g->store = EQ_KEPT_F32;
  g->scale = NULL;
  if (w->dtype == EQ_F32 && !turned && rows == k) {
    g->n = cols;
    g->bks = cols, g->bns = 1;
    return EQ_OK;
  }
  if (w->dtype == EQ_F32 && turned && cols == k) return EQ_OK;
  if (w->dtype == EQ_U8 && cols == 2 * k) {
    g->store = EQ_KEPT_BF16;
    return EQ_OK;
  }
  if (w->dtype == EQ_U8 && cols == k && scale && scale->numel == rows) {
    g->store = EQ_KEPT_INT8;
    g->scale = (const float *)(const void *)scale->data;
    return EQ_OK;
  }
  return eq_fail("weights are %s of %s, which are none for %" PRId64 " inputs",
                 eq_dtype_name(w->dtype), eq_shape_of(w), k);
}

EQ_SIMD static void unpack_bf16(const uint16_t *h, int64_t n, float *y) {
  for (int64_t i = 0; i < n; i++) {
    uint32_t bits = (uint32_t)h[i] << 16;
    memcpy(y + i, &bits, sizeof bits);
  }
}

EQ_SIMD static void unpack_int8(const int8_t *q, int64_t n, float scale, float *y) {
  for (int64_t i = 0; i < n; i++) y[i] = (float)q[i] * scale;
}

void eq_thin_unpack(eq_store store, const void *kept, int64_t at, int64_t n, float scale,
                    float *y) {
  if (store == EQ_KEPT_BF16)
    unpack_bf16((const uint16_t *)kept + at, n, y);
  else
    unpack_int8((const int8_t *)kept + at, n, scale, y);
}
