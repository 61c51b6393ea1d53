/* thin.h -- products of few rows with weights as they are kept: y = f(x W + b), for decoding.
 *
 * The weights stream from memory once and nothing else counts, so they may be kept in fewer bytes:
 * as bf16, or as whole numbers of 8 bits with one scale for each output. Those lie as [out, in],
 * one row for each output. */
#ifndef EQ_THIN_H
#define EQ_THIN_H
#include "equi.h"
#include "micro/gemm.h"

/* What is done with n results of one row as soon as they are there; NULL: nothing. */
typedef void (*eq_thin_after)(float *y, int64_t n);

/* g as of eq_sgemm_skinny, m <= EQ_SKINNY; accumulate and bias may stand together. In parallel;
 * EQ_OK or EQ_STOP. A result has the same bits on any number of threads, and whatever the number of
 * rows. */
int eq_thin(const eq_sgemm *g, eq_thin_after after);

/* The matrix w as b of a product with k inputs: f32 of [k, out] or, turned, of [out, k]; u8 of
 * [out, 2 k] (bf16) or [out, k] (int8, with its scales). Row-major. EQ_ERR says what does not fit.
 */
int eq_thin_weight(eq_sgemm *g, const eq_tensor *w, const eq_tensor *scale, bool turned);

/* Row-major kept numbers from place `at` on as f32, times scale (1 for bf16). */
void eq_thin_unpack(eq_store store, const void *kept, int64_t at, int64_t n, float scale, float *y);

#endif
