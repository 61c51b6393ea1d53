/* channel_norm_kernels.h -- the loops of channel_norm.c over rows of channels; that file states the
 * formulas. Included by floats.h, once for each dtype. */
#ifdef T

/* Sums about the first row k: s of x - k and q of its square, over `rows` rows of w numbers. */
EQ_SIMD static void FN(block_moments)(const T *x, int64_t stride, int64_t rows, int64_t w,
                                      T *restrict k, T *restrict s, T *restrict q) {
  for (int64_t i = 0; i < w; i++) {
    k[i] = x[i];
    s[i] = q[i] = 0;
  }
  int64_t r = 1;
  for (; r + 4 <= rows; r += 4) {
    const T *x0 = x + r * stride, *x1 = x0 + stride, *x2 = x1 + stride, *x3 = x2 + stride;
    for (int64_t i = 0; i < w; i++) {
      T d0 = x0[i] - k[i], d1 = x1[i] - k[i], d2 = x2[i] - k[i], d3 = x3[i] - k[i];
      s[i] += (d0 + d1) + (d2 + d3);
      q[i] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3);
    }
  }
  for (; r < rows; r++)
    for (int64_t i = 0; i < w; i++) {
      T d = x[r * stride + i] - k[i];
      s[i] += d;
      q[i] += d * d;
    }
}

/* Adds a block of n rows to mean and m2 (summed squares about it) of C channels; `seen` rows so
 * far. w = C times the rows that were walked at once. */
static void FN(merge)(const T *k, int64_t w, int64_t C, double n, double *seen, double *mean,
                      double *m2) {
  const T *s = k + w, *q = s + w;
  for (int64_t v = 0; v < w; v += C, *seen += n) {
    double share = n / (*seen + n), both = *seen * share;
    for (int64_t i = 0; i < C; i++) {
      double a = (double)s[v + i] / n, d = (double)k[v + i] + a - mean[i];
      double own = (double)q[v + i] - n * a * a;
      m2[i] += (own > 0 ? own : 0) + d * d * both;
      mean[i] += d * share;
    }
  }
}

static void FN(moments)(const job *j, int64_t begin, int64_t rows, char *scratch, double *sums) {
  int64_t C = j->C;
  double seen = 0;
  T *k = (T *)(void *)scratch;
  const T *x = (const T *)j->x + begin * j->sx;
  for (int64_t i = 0; i < 2 * C; i++) sums[i] = 0;
  for (int64_t r = 0, n; r < rows; r += n) {
    int64_t fold = rows - r >= j->fold ? j->fold : 1, w = fold * C;
    int64_t steps = (rows - r) / fold < BLOCK ? (rows - r) / fold : BLOCK;
    n = steps * fold;
    FN(block_moments)(x + r * j->sx, fold * j->sx, steps, w, k, k + w, k + 2 * w);
    FN(merge)(k, w, C, (double)steps, &seen, sums, sums + C);
  }
}

/* ---- y = scale (x - mean) + bias (+ add), relu ---- */
#define ROWS(name, VALUE)                                                                          \
  EQ_SIMD static void FN(name)(const job *j, int64_t begin, int64_t rows, int64_t w,               \
                               const T *scale, const T *bias, const T *mean) {                     \
    for (int64_t r = 0; r < rows; r++) {                                                           \
      const T *x = (const T *)j->x + begin * j->sx + r * (w / j->C) * j->sx;                       \
      EQ_UNUSED const T *a =                                                                       \
          j->add ? (const T *)j->add + begin * j->sa + r * (w / j->C) * j->sa : x;                 \
      T *restrict y = (T *)j->y + begin * j->C + r * w;                                            \
      for (int64_t i = 0; i < w; i++) {                                                            \
        T v = VALUE;                                                                               \
        y[i] = v;                                                                                  \
      }                                                                                            \
    }                                                                                              \
  }
#define KEEP_POSITIVE(v) ((v) < 0 ? (T)0 : (v))
#define NORMAL ((x[i] - mean[i]) * scale[i] + bias[i])
ROWS(rows_plain, NORMAL)
ROWS(rows_relu, KEEP_POSITIVE(NORMAL))
ROWS(rows_add, NORMAL + a[i])
ROWS(rows_add_relu, KEEP_POSITIVE(NORMAL + a[i]))
#undef ROWS

static void FN(apply)(const job *j, int64_t begin, int64_t rows, int64_t w, const T *table) {
  const T *scale = table, *bias = table + j->w, *mean = bias + j->w;
  if (j->add && j->relu)
    FN(rows_add_relu)(j, begin, rows, w, scale, bias, mean);
  else if (j->add)
    FN(rows_add)(j, begin, rows, w, scale, bias, mean);
  else if (j->relu)
    FN(rows_relu)(j, begin, rows, w, scale, bias, mean);
  else
    FN(rows_plain)(j, begin, rows, w, scale, bias, mean);
}

/* ---- the gradient: s = sum g and q = sum g (x - mean), then gx ---- */
/* Two rows a turn: half the loads and stores of s and q. */
#define SUMS(name, G, KEEP)                                                                        \
  EQ_SIMD static void FN(name)(const job *j, int64_t begin, int64_t rows, int64_t w,               \
                               const T *table, T *restrict s, T *restrict q) {                     \
    int64_t f = w / j->C;                                                                          \
    EQ_UNUSED const T *scale = table, *bias = scale + j->w;                                        \
    const T *mean = table + 2 * j->w;                                                              \
    for (int64_t r = 0, n; r < rows; r += n) {                                                     \
      n = r + 1 < rows ? 2 : 1;                                                                    \
      int64_t at = begin + r * f, sx = f * j->sx, sg = f * j->sg, sy = f * j->sy, sa = f * j->C;   \
      const T *x0 = (const T *)j->x + at * j->sx, *g0 = (const T *)j->g + at * j->sg;              \
      EQ_UNUSED const T *y0 = (const T *)j->seen + (j->seen ? at * j->sy : 0);                     \
      EQ_UNUSED T *restrict ga = (T *)j->gadd + (j->gadd ? at * j->C : 0);                         \
      EQ_UNUSED T *restrict gb = ga + (j->gadd && n == 2 ? sa : 0);                                \
      (void)sy, (void)sa;                                                                          \
      if (n == 2)                                                                                  \
        for (int64_t i = 0; i < w; i++) {                                                          \
          T h0 = g0[i], h1 = g0[sg + i]; /* loaded whatever the mask says: no branch */            \
          T v0 = G(x0[i], h0, y0[i]), v1 = G(x0[sx + i], h1, y0[sy + i]);                          \
          KEEP(ga[i], v0);                                                                         \
          KEEP(gb[i], v1);                                                                         \
          s[i] += v0 + v1;                                                                         \
          q[i] += v0 * (x0[i] - mean[i]) + v1 * (x0[sx + i] - mean[i]);                            \
        }                                                                                          \
      else                                                                                         \
        for (int64_t i = 0; i < w; i++) {                                                          \
          T h = g0[i], v = G(x0[i], h, y0[i]);                                                     \
          KEEP(ga[i], v);                                                                          \
          s[i] += v;                                                                               \
          q[i] += v * (x0[i] - mean[i]);                                                           \
        }                                                                                          \
    }                                                                                              \
  }
#define AS_IS(x, g, y) (g)
#define BY_SIGN(x, g, y) (((x)-mean[i]) * scale[i] + bias[i] > 0 ? (g) : 0)
#define BY_RESULT(x, g, y) ((y) > 0 ? (g) : 0)
#define DROP(to, v) (void)0
#define PUT(to, v) (to) = (v)
SUMS(sums_plain, AS_IS, DROP)
SUMS(sums_by_sign, BY_SIGN, DROP)
SUMS(sums_by_result, BY_RESULT, PUT)
#undef SUMS
#undef AS_IS
#undef BY_RESULT
#undef DROP
#undef PUT

static void FN(sums)(const job *j, int64_t begin, int64_t rows, char *scratch, const T *table,
                     double *sums) {
  int64_t C = j->C;
  for (int64_t i = 0; i < 2 * C; i++) sums[i] = 0;
  for (int64_t r = 0, n; r < rows; r += n) {
    int64_t fold = rows - r >= j->fold ? j->fold : 1, w = fold * C;
    int64_t steps = (rows - r) / fold < BLOCK ? (rows - r) / fold : BLOCK;
    T *s = (T *)(void *)scratch, *q = s + w;
    for (int64_t i = 0; i < 2 * w; i++) s[i] = 0;
    if (!j->relu)
      FN(sums_plain)(j, begin + r, steps, w, table, s, q);
    else if (j->seen)
      FN(sums_by_result)(j, begin + r, steps, w, table, s, q);
    else
      FN(sums_by_sign)(j, begin + r, steps, w, table, s, q);
    for (int64_t v = 0; v < w; v += C)
      for (int64_t i = 0; i < C; i++) {
        sums[i] += (double)s[v + i];
        sums[C + i] += (double)q[v + i];
      }
    n = steps * fold;
  }
}

/* gx = scale g + a (x - mean) + b; table: scale, bias, mean, a, b. */
#define ROWS(name, G)                                                                              \
  EQ_SIMD static void FN(name)(const job *j, int64_t begin, int64_t rows, int64_t w,               \
                               const T *table) {                                                   \
    const T *scale = table, *mean = table + 2 * j->w, *a = mean + j->w, *b = a + j->w;             \
    EQ_UNUSED const T *bias = scale + j->w;                                                        \
    for (int64_t r = 0; r < rows; r++) {                                                           \
      int64_t at = begin + r * (w / j->C);                                                         \
      const T *x = (const T *)j->x + at * j->sx, *g = (const T *)j->g + at * j->sg;                \
      T *restrict gx = (T *)j->y + at * j->C;                                                      \
      for (int64_t i = 0; i < w; i++) gx[i] = scale[i] * (G) + (a[i] * (x[i] - mean[i]) + b[i]);   \
    }                                                                                              \
  }
ROWS(gradient_plain, g[i])
ROWS(gradient_by_sign, BY_SIGN(x[i], g[i], 0))
#undef ROWS
#undef BY_SIGN
#undef NORMAL
#undef KEEP_POSITIVE

static void FN(gradient)(const job *j, int64_t begin, int64_t rows, int64_t w, const T *table) {
  if (j->relu && !j->seen)
    FN(gradient_by_sign)(j, begin, rows, w, table);
  else
    FN(gradient_plain)(j, begin, rows, w, table);
}

/* `count` rows of C numbers as T, each repeated to the width that is walked at once. */
static void FN(spread)(const job *j, const double *const *from, int count, int64_t image, T *to) {
  for (int t = 0; t < count; t++)
    for (int64_t i = 0; i < j->w; i++) *to++ = (T)from[t][image * j->C + i % j->C];
}
#endif
