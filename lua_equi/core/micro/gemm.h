/* gemm.h -- f32 matrix products on the inner kernel: c = a b + bias, or c += a b.
 *
 * One call computes one tile on the calling thread; product.c cuts and runs tiles in parallel. The
 * order of a sum depends on k alone, so the cuts do not show in the result. */
#ifndef EQ_GEMM_H
#define EQ_GEMM_H
#include "micro.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What b is kept as: f32, the upper half of an f32, or whole numbers times the column's scale. The
 * last two: skinny products with dense columns only. */
typedef enum { EQ_KEPT_F32, EQ_KEPT_BF16, EQ_KEPT_INT8 } eq_store;

typedef struct eq_sgemm {
  int64_t m, n, k;
  const float *a; /* a[i * ars + p * acs] */
  int64_t ars, acs;
  const float *b; /* b[p * bks + j * bns] */
  int64_t bks, bns;
  float *c; /* c[i * crs + j] */
  int64_t crs;
  const float *bias;  /* n numbers, or NULL */
  bool accumulate;    /* then bias must be NULL */
  eq_store store;     /* b points to what is kept; strides are in numbers */
  const float *scale; /* EQ_KEPT_INT8: of each column */
} eq_sgemm;

enum { EQ_SKINNY = 8 }; /* rows up to which b is read in place, once */

/* Numbers of scratch memory that a tile needs at most, or one with less rows, columns or k. */
int64_t eq_sgemm_scratch(const eq_sgemm *g);
void eq_sgemm_tile(const eq_sgemm *g, float *scratch);
/* m <= EQ_SKINNY, b dense in one of its dims, a dense along k. No scratch; memory decides. */
static inline void eq_sgemm_skinny(const eq_sgemm *g) { eq_micro()->skinny(g); }
#endif
