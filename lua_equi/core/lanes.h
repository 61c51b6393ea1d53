/* lanes.h -- sums and maxima of a row of numbers, in LANES interleaved parts.
 *
 * Interleaving is what lets the compiler use vector registers without changing the order of the
 * sum: the result is the same for every instruction set and number of threads, and its rounding
 * error is smaller than that of a plain loop. Included in the `#ifdef T` part of a file; the
 * callers are EQ_SIMD, these are part of them: a call per row would cost as much as a short row. */
enum { FN(LANES) = 16 };
#define LANES FN(LANES)

/* The sum of EXPR over i = 0 .. n - 1. */
#define LANE_SUM(name, args, EXPR)                                                                 \
  EQ_INLINE T FN(name) args {                                                                      \
    T lane[LANES] = {0};                                                                           \
    int64_t at = 0;                                                                                \
    for (; at + LANES <= n; at += LANES)                                                           \
      for (int k = 0; k < LANES; k++) {                                                            \
        int64_t i = at + k;                                                                        \
        lane[k] += (EXPR);                                                                         \
      }                                                                                            \
    for (int64_t i = at; i < n; i++) lane[i % LANES] += (EXPR);                                    \
    for (int w = LANES / 2; w; w /= 2) /* in pairs: a chain of additions would wait 15 times */    \
      for (int k = 0; k < w; k++) lane[k] += lane[k + w];                                          \
    return lane[0];                                                                                \
  }
LANE_SUM(total, (const T *x, int64_t n), x[i])
LANE_SUM(dot, (const T *x, const T *y, int64_t n), x[i] * y[i])
LANE_SUM(squares, (const T *x, T mean, int64_t n), (x[i] - mean) * (x[i] - mean))
#undef LANE_SUM

/* The largest of n numbers, -inf if there is none; NaN is passed over. */
EQ_INLINE T FN(largest)(const T *x, int64_t n) {
  T lane[LANES];
  int64_t i = 0;
  for (int k = 0; k < LANES; k++) lane[k] = (T)-INFINITY;
  for (; i + LANES <= n; i += LANES)
    for (int k = 0; k < LANES; k++) lane[k] = x[i + k] > lane[k] ? x[i + k] : lane[k];
  for (; i < n; i++) lane[0] = x[i] > lane[0] ? x[i] : lane[0];
  for (int w = LANES / 2; w; w /= 2)
    for (int k = 0; k < w; k++) lane[k] = lane[k + w] > lane[k] ? lane[k + w] : lane[k];
  return lane[0];
}
#undef LANES
