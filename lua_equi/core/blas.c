/* blas.c -- matrix products through OpenBLAS; the only file that includes cblas.h.
 *
 * Row-major throughout. blasint is 32 bits in common builds: larger sizes are refused. BLAS itself
 * always runs on one thread: with two, OpenBLAS cuts a product at other places and half of all
 * shapes differ in the last bits. ops/matmul.c cuts large products into tiles that do not depend
 * on the thread count and runs those in parallel. */
#include "equi.h"
#if defined(__has_include)
#if __has_include(<cblas.h>)
#include <cblas.h>
#else
#include <openblas/cblas.h>
#endif
#else
#include <cblas.h>
#endif
#include <inttypes.h>
#include <limits.h>
#include <string.h>

static bool too_large(int64_t a) { return a > INT_MAX; }

int eq_gemm(eq_dtype t, bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha,
            const void *a, int64_t lda, const void *b, int64_t ldb, double beta, void *c,
            int64_t ldc) {
  if (too_large(m) || too_large(n) || too_large(k) || too_large(lda) || too_large(ldb) ||
      too_large(ldc))
    return eq_fail("a matrix product of %" PRId64 " x %" PRId64 " x %" PRId64
                   " is too large for this BLAS; split it",
                   m, k, n);
  if (m == 0 || n == 0) return EQ_OK;
  CBLAS_TRANSPOSE A = ta ? CblasTrans : CblasNoTrans, B = tb ? CblasTrans : CblasNoTrans;
  if (t == EQ_F32)
    cblas_sgemm(CblasRowMajor, A, B, (int)m, (int)n, (int)k, (float)alpha, a, (int)lda, b, (int)ldb,
                (float)beta, c, (int)ldc);
  else
    cblas_dgemm(CblasRowMajor, A, B, (int)m, (int)n, (int)k, alpha, a, (int)lda, b, (int)ldb, beta,
                c, (int)ldc);
  return EQ_OK;
}

const char *eq_blas_name(void) {
#ifdef OPENBLAS_VERSION
  return openblas_get_config();
#else
  return "cblas";
#endif
}

const char *eq_blas_warning(void) {
#ifdef OPENBLAS_VERSION
  if (openblas_get_parallel() == 1 && eq_max_threads() > 1)
    return "OpenBLAS is the pthreads build: its threads and ours compete; install the OpenMP build "
           "(Debian: libopenblas-openmp-dev)";
#endif
  return NULL;
}

void eq_blas_one_thread(void) {
#ifdef OPENBLAS_VERSION
  static bool done;
  if (!done) openblas_set_num_threads(1);
  done = true;
#endif
}

bool eq_blas_concurrent(void) {
#ifdef OPENBLAS_VERSION
  return openblas_get_parallel() == 2;
#else
  return false;
#endif
}
