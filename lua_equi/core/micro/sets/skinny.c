/* skinny.c -- products of at most EQ_SKINNY rows: b is read where it is, once, and nothing else
 * counts.
 *
 * With dense rows of b, a few rows of b at a time are added to all rows of c, a chunk of columns
 * that stays in the first cache. With dense columns (a transposed b, the weights of `linear`),
 * every number of c is a dot product; several columns at once share what is read of a. */
#include "vec.h"

enum { CHUNK = 1024 };

/* ---- dense rows of b ---- */
/* Rows r0 .. r0 + rows of c += sum over `deep` rows of b from p, for n columns from j. */
INLINE void add_rows(const eq_sgemm *g, int64_t r0, int64_t p, int64_t j, int64_t n, const int rows,
                     const int deep) {
  float x[4][4];
  for (int r = 0; r < rows; r++)
    for (int d = 0; d < deep; d++) x[r][d] = g->a[(r0 + r) * g->ars + (p + d) * g->acs];
  const float *b = g->b + p * g->bks + j;
  float *c = g->c + r0 * g->crs + j;
  const int64_t whole = n - n % LANES;
  const int part = (int)(n % LANES);
  for (int64_t i = 0; i < whole; i += LANES) {
    vec v[4];
    for (int d = 0; d < deep; d++) {
      v[d] = load(b + d * g->bks + i);
      __builtin_prefetch(b + (d + deep) * g->bks + i);
    }
    for (int r = 0; r < rows; r++) {
      vec sum = load(c + r * g->crs + i);
      for (int d = 0; d < deep; d++) sum += v[d] * x[r][d];
      store(c + r * g->crs + i, sum);
    }
  }
  if (!part) return;
  for (int r = 0; r < rows; r++) {
    vec sum = load_part(c + r * g->crs + whole, part);
    for (int d = 0; d < deep; d++) sum += load_part(b + d * g->bks + whole, part) * x[r][d];
    store_part(c + r * g->crs + whole, sum, part);
  }
}

/* More than four rows: the others find the rows of b in the first cache. */
INLINE void all_rows(const eq_sgemm *g, const int rows) {
  const int few = rows > 4 ? 4 : rows, more = rows - few;
  const int64_t chunk = CHUNK / (more ? 2 : 1);
  for (int64_t j = 0; j < g->n; j += chunk) {
    int64_t n = g->n - j < chunk ? g->n - j : chunk, p = 0;
    for (; p + 4 <= g->k; p += 4) {
      add_rows(g, 0, p, j, n, few, 4);
      if (more) add_rows(g, few, p, j, n, more, 4);
    }
    for (; p < g->k; p++) {
      add_rows(g, 0, p, j, n, few, 1);
      if (more) add_rows(g, few, p, j, n, more, 1);
    }
  }
}

/* ---- dense columns of b ---- */
#if defined(__AVX512F__) || defined(__aarch64__)
#define COLUMNS(rows) ((rows) < 3 ? 8 : 24 / (rows))
#else
#define COLUMNS(rows) ((rows) < 3 ? 4 : (rows) < 6 ? 10 / (rows) : 1)
#endif

/* The sums of count vectors to c, number q of them belonging to row q / cols, column q % cols. */
INLINE void give_sums(const eq_sgemm *g, int64_t j, vec *sums, const int count, const int cols) {
  for (int from = 0; from < count; from += LANES) {
    vec *v = sums + from;
    turn(v);
    for (int d = LANES / 2; d > 0; d /= 2)
      for (int i = 0; i < d; i++) v[i] += v[i + d];
    for (int i = 0; i < LANES && from + i < count; i++)
      g->c[(from + i) / cols * g->crs + j + (from + i) % cols] += v[0][i];
  }
}

INLINE void dots(const eq_sgemm *g, int64_t j, const int rows, const int cols) {
  vec sums[32 + LANES];
  const float *a = g->a, *b = g->b + j * g->bns;
  for (int q = 0; q < (rows * cols + LANES - 1) / LANES * LANES; q++) sums[q] = ZERO;
  const int64_t whole = g->k - g->k % LANES;
  const int part = (int)(g->k % LANES);
  for (int64_t p = 0; p < whole; p += LANES) {
    vec x[8];
    for (int r = 0; r < rows; r++) x[r] = load(a + r * g->ars + p);
    for (int q = 0; q < cols; q++) {
      const vec v = load(b + q * g->bns + p);
      for (int r = 0; r < rows; r++) sums[r * cols + q] += x[r] * v;
    }
  }
  if (part)
    for (int q = 0; q < cols; q++) {
      const vec v = load_part(b + q * g->bns + whole, part);
      for (int r = 0; r < rows; r++)
        sums[r * cols + q] += load_part(a + r * g->ars + whole, part) * v;
    }
  give_sums(g, j, sums, rows * cols, cols);
}

INLINE void all_dots(const eq_sgemm *g, const int rows) {
  int64_t j = 0;
  for (; j + COLUMNS(rows) <= g->n; j += COLUMNS(rows)) dots(g, j, rows, COLUMNS(rows));
  for (; j < g->n; j++) dots(g, j, rows, 1);
}

#define CASE(rows)                                                                                 \
  static void rows_##rows(const eq_sgemm *g) { all_rows(g, rows); }                                \
  static void dots_##rows(const eq_sgemm *g) { all_dots(g, rows); }
CASE(1)
CASE(2)
CASE(3)
CASE(4)
CASE(5)
CASE(6)
CASE(7)
CASE(8)
#define ALL(f) f##_1, f##_2, f##_3, f##_4, f##_5, f##_6, f##_7, f##_8
typedef void (*skinny_fn)(const eq_sgemm *g);
static const skinny_fn by_rows[] = {ALL(rows)}, by_dots[] = {ALL(dots)};

void SET(eq_skinny)(const eq_sgemm *g) {
  if (!g->accumulate)
    for (int64_t r = 0; r < g->m; r++) {
      if (g->bias)
        memcpy(g->c + r * g->crs, g->bias, (size_t)g->n * sizeof *g->c);
      else
        memset(g->c + r * g->crs, 0, (size_t)g->n * sizeof *g->c);
    }
  if (g->bns == 1) /* no array chosen by `?`: gcc's sanitizer takes its size wrong */
    by_rows[g->m - 1](g);
  else
    by_dots[g->m - 1](g);
}
