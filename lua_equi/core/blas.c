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

/* Before every call of the library outside pieces. */
static void one_thread(void) {
  static bool done;
  if (!eq_alone() || done) return;
#ifdef OPENBLAS_VERSION
  openblas_set_num_threads(1);
#endif
  done = true;
}

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
  one_thread();
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

/* Only the OpenMP build, and only where we can tell it, thread by thread, to use one: then a call
 * touches nothing that threads share but a table of buffers with a lock for each. */
bool eq_blas_concurrent(void) {
#ifdef OPENBLAS_VERSION
  one_thread();
  return openblas_get_parallel() == 2 && eq_has_openmp();
#else
  return false;
#endif
}

/* ---- LAPACK, from the same library ----
 * Fortran symbols: everything by address, lengths of strings behind the arguments. Matrices are
 * column-major, so a row-major caller passes what LAPACK sees as the transposed matrix. */
#define DECLARE(S, p)                                                                              \
  void p##getrf_(const int *m, const int *n, S *a, const int *lda, int *pivot, int *info);         \
  void p##getrs_(const char *trans, const int *n, const int *k, const S *a, const int *lda,        \
                 const int *pivot, S *b, const int *ldb, int *info, size_t);                       \
  void p##potrf_(const char *uplo, const int *n, S *a, const int *lda, int *info, size_t);         \
  void p##syevd_(const char *job, const char *uplo, const int *n, S *a, const int *lda, S *w,      \
                 S *work, const int *lwork, int *iwork, const int *liwork, int *info, size_t,      \
                 size_t);                                                                          \
  void p##gesdd_(const char *job, const int *m, const int *n, S *a, const int *lda, S *s, S *u,    \
                 const int *ldu, S *vt, const int *ldvt, S *work, const int *lwork, int *iwork,    \
                 int *info, size_t);                                                               \
  void p##geqrf_(const int *m, const int *n, S *a, const int *lda, S *tau, S *work,                \
                 const int *lwork, int *info);                                                     \
  void p##orgqr_(const int *m, const int *n, const int *k, S *a, const int *lda, const S *tau,     \
                 S *work, const int *lwork, int *info);
DECLARE(float, s)
DECLARE(double, d)

enum { QUERY = -1 };

/* Each asks for its workspace first and returns LAPACK's info, or EQ_LAPACK_NOMEM. */
#define DEFINE(S, p)                                                                               \
  static int p##_eigh(int n, S *a, S *w) {                                                         \
    S size;                                                                                        \
    int isize, lwork = QUERY, liwork = QUERY, info;                                                \
    p##syevd_("V", "U", &n, a, &n, w, &size, &lwork, &isize, &liwork, &info, 1, 1);                \
    lwork = (int)size, liwork = isize;                                                             \
    size_t bytes = (size_t)lwork * sizeof(S), ibytes = (size_t)liwork * sizeof(int);               \
    S *work = eq_alloc(bytes);                                                                     \
    int *iwork = work ? eq_alloc(ibytes) : NULL;                                                   \
    if (iwork) p##syevd_("V", "U", &n, a, &n, w, work, &lwork, iwork, &liwork, &info, 1, 1);       \
    bool ok = iwork != NULL;                                                                       \
    eq_free(work, bytes);                                                                          \
    eq_free(iwork, ibytes);                                                                        \
    return ok ? info : EQ_LAPACK_NOMEM;                                                            \
  }                                                                                                \
  static int p##_svd(int m, int n, S *a, S *u, S *s, S *vt) {                                      \
    S size;                                                                                        \
    int k = m < n ? m : n, lwork = QUERY, info, none;                                              \
    p##gesdd_("S", &m, &n, a, &m, s, u, &m, vt, &k, &size, &lwork, &none, &info, 1);               \
    lwork = (int)size;                                                                             \
    size_t bytes = (size_t)lwork * sizeof(S), ibytes = (size_t)k * 8 * sizeof(int);                \
    S *work = eq_alloc(bytes);                                                                     \
    int *iwork = work ? eq_alloc(ibytes) : NULL;                                                   \
    if (iwork) p##gesdd_("S", &m, &n, a, &m, s, u, &m, vt, &k, work, &lwork, iwork, &info, 1);     \
    bool ok = iwork != NULL;                                                                       \
    eq_free(work, bytes);                                                                          \
    eq_free(iwork, ibytes);                                                                        \
    return ok ? info : EQ_LAPACK_NOMEM;                                                            \
  }                                                                                                \
  /* a, m x n with room for m x min(m, n): first R above the diagonal, copied to r (min x n), then \
   * Q */                                                                                          \
  static int p##_qr(int m, int n, S *a, S *r) {                                                    \
    S size, size2;                                                                                 \
    int k = m < n ? m : n, lwork = QUERY, info;                                                    \
    p##geqrf_(&m, &n, a, &m, &size, &size, &lwork, &info);                                         \
    p##orgqr_(&m, &k, &k, a, &m, &size2, &size2, &lwork, &info);                                   \
    lwork = (int)(size > size2 ? size : size2);                                                    \
    size_t bytes = (size_t)(lwork + k) * sizeof(S);                                                \
    S *work = eq_alloc(bytes);                                                                     \
    if (!work) return EQ_LAPACK_NOMEM;                                                             \
    p##geqrf_(&m, &n, a, &m, work + lwork, work, &lwork, &info);                                   \
    for (int j = 0; j < n; j++)                                                                    \
      for (int i = 0; i < k; i++)                                                                  \
        r[j * k + i] = i <= j ? a[(size_t)j * (size_t)m + (size_t)i] : 0;                          \
    if (!info) p##orgqr_(&m, &k, &k, a, &m, work + lwork, work, &lwork, &info);                    \
    eq_free(work, bytes);                                                                          \
    return info;                                                                                   \
  }
DEFINE(float, s)
DEFINE(double, d)

int eq_lapack_lu(eq_dtype t, int n, void *a, int *pivot) {
  int info = 0;
  one_thread();
  if (t == EQ_F32)
    sgetrf_(&n, &n, a, &n, pivot, &info);
  else
    dgetrf_(&n, &n, a, &n, pivot, &info);
  return info;
}

int eq_lapack_lu_solve(eq_dtype t, int n, int k, const void *lu, const int *pivot, void *b) {
  int info = 0;
  if (t == EQ_F32)
    sgetrs_("T", &n, &k, lu, &n, pivot, b, &n, &info, 1);
  else
    dgetrs_("T", &n, &k, lu, &n, pivot, b, &n, &info, 1);
  return info;
}

int eq_lapack_cholesky(eq_dtype t, int n, void *a) {
  int info = 0;
  one_thread();
  if (t == EQ_F32)
    spotrf_("U", &n, a, &n, &info, 1);
  else
    dpotrf_("U", &n, a, &n, &info, 1);
  return info;
}

int eq_lapack_eigh(eq_dtype t, int n, void *a, void *w) {
  one_thread();
  return t == EQ_F32 ? s_eigh(n, a, w) : d_eigh(n, a, w);
}

int eq_lapack_svd(eq_dtype t, int m, int n, void *a, void *u, void *s, void *vt) {
  one_thread();
  return t == EQ_F32 ? s_svd(m, n, a, u, s, vt) : d_svd(m, n, a, u, s, vt);
}

int eq_lapack_qr(eq_dtype t, int m, int n, void *a, void *r) {
  one_thread();
  return t == EQ_F32 ? s_qr(m, n, a, r) : d_qr(m, n, a, r);
}
