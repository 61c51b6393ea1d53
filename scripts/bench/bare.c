/* bare.c -- the floor under the measurements: cblas_sgemm as it is, and the plainest loop for the
 * rest.
 *
 * Reads lines "op sizes..." and writes one JSON line each, as pytorch/ops.py does. No tensors, no
 * allocation in the loop: input and output stay where they are. f32, compiled for this machine;
 * OMP_NUM_THREADS decides how many threads BLAS and the loops use.
 *   echo "add 100000" | bare 0.5 */
#if __has_include(<cblas.h>)
#include <cblas.h>
#else
#include <openblas/cblas.h>
#endif
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static float *x, *y, *z;
static long rows, cols, n; /* cols: the last dim; matmul: rows x n times n x cols */

static void matmul(void) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, (int)cols, (int)n, 1, x, (int)n,
              y, (int)cols, 0, z, (int)cols);
}

#define LOOP(name, expression)                                                                     \
  static void name(void) {                                                                         \
    _Pragma("omp parallel for simd") for (long i = 0; i < n; i++) {                                \
      float a = x[i];                                                                              \
      z[i] = (expression);                                                                         \
    }                                                                                              \
  }
LOOP(add, a + y[i])
LOOP(mul, a *y[i])
LOOP(relu, a > 0 ? a : 0)
LOOP(exp_, expf(a))
LOOP(tanh_, tanhf(a))
LOOP(sigmoid, 1 / (1 + expf(-a)))
LOOP(gelu, 0.5f * a * (1 + erff(a * 0.70710678f)))

static void sum(void) {
  float s = 0;
#pragma omp parallel for simd reduction(+ : s)
  for (long i = 0; i < n; i++) s += x[i];
  z[0] = s;
}

static void max(void) {
  float m = x[0];
#pragma omp parallel for simd reduction(max : m)
  for (long i = 0; i < n; i++) m = x[i] > m ? x[i] : m;
  z[0] = m;
}

static void sum_rows(void) {
#pragma omp parallel for
  for (long r = 0; r < rows; r++) {
    float s = 0;
#pragma omp simd reduction(+ : s)
    for (long i = 0; i < cols; i++) s += x[r * cols + i];
    z[r] = s;
  }
}

static void transpose_copy(void) {
#pragma omp parallel for
  for (long i = 0; i < cols; i++)
    for (long r = 0; r < rows; r++) z[i * rows + r] = x[r * cols + i];
}

static void softmax(void) {
#pragma omp parallel for
  for (long r = 0; r < rows; r++) {
    float *in = x + r * cols, *out = z + r * cols, m = in[0], s = 0;
    for (long i = 1; i < cols; i++) m = in[i] > m ? in[i] : m;
    for (long i = 0; i < cols; i++) s += out[i] = expf(in[i] - m);
    for (long i = 0; i < cols; i++) out[i] /= s;
  }
}

static void layer_norm(void) {
#pragma omp parallel for
  for (long r = 0; r < rows; r++) {
    float *in = x + r * cols, *out = z + r * cols, s = 0, q = 0;
#pragma omp simd reduction(+ : s)
    for (long i = 0; i < cols; i++) s += in[i];
    float mean = s / (float)cols;
#pragma omp simd reduction(+ : q)
    for (long i = 0; i < cols; i++) q += (in[i] - mean) * (in[i] - mean);
    float scale = 1 / sqrtf(q / (float)cols + 1e-5f);
    for (long i = 0; i < cols; i++) out[i] = (in[i] - mean) * scale;
  }
}

static const struct {
  const char *name;
  void (*run)(void);
} ops[] = {{"matmul", matmul},     {"add", add},
           {"mul", mul},           {"relu", relu},
           {"exp", exp_},          {"tanh", tanh_},
           {"sigmoid", sigmoid},   {"gelu", gelu},
           {"sum", sum},           {"max", max},
           {"sum_rows", sum_rows}, {"transpose_copy", transpose_copy},
           {"softmax", softmax},   {"layer_norm", layer_norm}};

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
  double d = *(const double *)a - *(const double *)b;
  return d < 0 ? -1 : d > 0;
}

/* Median of nine rounds of the mean time of a call. */
static double seconds_per_call(void (*run)(void), double budget) {
  enum { ROUNDS = 9 };
  double each[ROUNDS], start;
  run();
  start = now();
  run();
  double once = now() - start;
  long count = (long)(budget / ROUNDS / (once > 1e-7 ? once : 1e-7));
  if (count < 1) count = 1;
  for (int r = 0; r < ROUNDS; r++) {
    start = now();
    for (long i = 0; i < count; i++) run();
    each[r] = (now() - start) / (double)count;
  }
  qsort(each, ROUNDS, sizeof *each, ascending);
  return each[ROUNDS / 2];
}

static float *filled(long count) {
  float *p = aligned_alloc(64, (size_t)(count * 4 + 63) / 64 * 64);
  for (long i = 0; p && i < count; i++) p[i] = (float)(i % 1001) / 500 - 1;
  return p;
}

static int measure(char *line, double budget) {
  long size[8];
  int ndim = 0;
  const char *name = strtok(line, " \n");
  for (char *w; ndim < 8 && (w = strtok(NULL, " \n"));) size[ndim++] = atol(w);
  for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) {
    if (!name || !ndim || strcmp(ops[k].name, name)) continue;
    int product = ops[k].run == matmul;
    rows = size[0];
    cols = size[product ? 1 : ndim - 1];
    n = product ? size[2] : ndim > 1 ? rows * cols : cols;
    x = filled(product ? rows * n : n);
    y = filled(product ? n * cols : n);
    z = filled(product ? rows * cols : n);
    if (!x || !y || !z) return 1;
    double t = seconds_per_call(ops[k].run, budget);
    printf("{\"name\": \"%s\", \"seconds\": %.9g}\n", name, t);
    free(x), free(y), free(z);
    return 0;
  }
  return 1;
}

int main(int argc, char **argv) {
  char line[256];
  double budget = argc > 1 ? atof(argv[1]) : 0.5;
  while (fgets(line, sizeof line, stdin))
    if (measure(line, budget)) return fprintf(stderr, "bare: unknown or too large\n"), 1;
  return 0;
}
