/* parallel.c -- parallel_for and the thread count; the only file that knows OpenMP.
 *
 * Work is cut into pieces whose borders do not depend on the number of threads, so results are the
 * same bit for bit. Only the calling thread looks for Ctrl-C (it is the one that may touch Lua). */
#include "equi.h"
#ifdef _OPENMP
#include <omp.h>
#endif

static int nthreads;
bool (*eq_poll)(void);

int eq_max_threads(void) {
#ifdef _OPENMP
  return omp_get_num_procs();
#else
  return 1;
#endif
}

int eq_threads(void) {
#ifdef _OPENMP
  if (!nthreads)
    nthreads = omp_get_max_threads(); /* honours OMP_NUM_THREADS; eq_alone changes it */
#else
  nthreads = 1;
#endif
  return nthreads;
}

int eq_thread(void) {
#ifdef _OPENMP
  return omp_get_thread_num();
#else
  return 0;
#endif
}

void eq_set_threads(int n) {
#ifdef _OPENMP
  (void)eq_threads();
  nthreads = n;
#else
  (void)n;
#endif
}

bool eq_alone(void) {
#ifdef _OPENMP
  if (omp_in_parallel()) return false;
  (void)eq_threads();
  omp_set_num_threads(1);
#endif
  return true;
}

const char *eq_openmp_name(void) {
#ifdef _OPENMP
  return "OpenMP " EQ_STR(_OPENMP);
#else
  return "none";
#endif
}

static int run_serial(int64_t n, int64_t grain, eq_range_fn fn, void *ctx) {
  for (int64_t i = 0; i < n; i += grain) {
    if (i && eq_poll && eq_poll()) return eq_stopped();
    fn(i, i + grain < n ? i + grain : n, ctx);
  }
  return EQ_OK;
}

int eq_parallel_for(int64_t n, int64_t grain, eq_range_fn fn, void *ctx) {
  if (n <= grain) { /* the common small case: no region, no poll */
    if (n > 0) fn(0, n, ctx);
    return EQ_OK;
  }
#ifdef _OPENMP
  if (eq_threads() > 1 && !omp_in_parallel()) {
    int64_t pieces = (n + grain - 1) / grain;
    int stop = 0;
#pragma omp parallel for schedule(dynamic, 1) num_threads(nthreads)
    for (int64_t p = 0; p < pieces; p++) {
      int halt;
#pragma omp atomic read
      halt = stop;
      if (halt) continue;
      if (p && omp_get_thread_num() == 0 && eq_poll && eq_poll()) {
#pragma omp atomic write
        stop = 1;
        continue;
      }
      int64_t b = p * grain;
      fn(b, b + grain < n ? b + grain : n, ctx);
    }
    return stop ? eq_stopped() : EQ_OK;
  }
#endif
  return run_serial(n, grain, fn, ctx);
}
