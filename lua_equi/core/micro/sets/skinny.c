/* skinny.c -- products of at most EQ_SKINNY rows: b is read where it is, once, and nothing else
 * counts. Where several rows compute with what is loaded, the processor looks ahead too little, and
 * b is asked for in advance; for one row or two that costs a tenth of the speed (both measured).
 *
 * With dense rows of b, a few rows of b at a time are added to all rows of c, a chunk of columns
 * that stays in the first cache. With dense columns (a transposed b, the weights of `linear`),
 * every number of c is a dot product; several columns at once share what is read of a. Those
 * columns may be kept in half or a quarter of the bytes (eq_store).
 *
 * A row of c has the same bits whatever the number of rows and its place among them. */
#include "vec.h"

enum {
  DEEP = 8, /* rows of b at a time, where it has dense rows, for one or two rows; half for more */
  CHUNK = 1024, /* columns at a time, where b has dense rows */
  TOGETHER = 8  /* where it has dense columns: those that all rows use before the next */
};

/* ---- dense rows of b ---- */
/* Rows r0 .. r0 + rows of c += sum over `deep` rows of b from p, for n columns from j. */
INLINE void add_rows(const eq_sgemm *g, int64_t r0, int64_t p, int64_t j, int64_t n, const int rows,
                     const int deep) {
  float x[4][DEEP];
  for (int r = 0; r < rows; r++)
    for (int d = 0; d < deep; d++) x[r][d] = g->a[(r0 + r) * g->ars + (p + d) * g->acs];
  const int64_t bks = g->bks, crs = g->crs; /* in registers: c might lie over g, for all it knows */
  const float *b = g->b + p * bks + j;
  float *c = g->c + r0 * crs + j;
  const int64_t whole = n - n % LANES;
  const int part = (int)(n % LANES);
  const bool fetch = deep == DEEP / 2;
  for (int64_t i = 0; i < whole; i += LANES) {
    vec v[DEEP];
    for (int d = 0; d < deep; d++) {
      v[d] = load(b + d * bks + i);
      if (fetch) __builtin_prefetch(b + (d + deep) * bks + i);
    }
    for (int r = 0; r < rows; r++) {
      vec sum = load(c + r * crs + i);
      for (int d = 0; d < deep; d++) sum += v[d] * x[r][d];
      store(c + r * crs + i, sum);
    }
  }
  if (!part) return;
  for (int r = 0; r < rows; r++) {
    vec sum = load_part(c + r * crs + whole, part);
    for (int d = 0; d < deep; d++) sum += load_part(b + d * bks + whole, part) * x[r][d];
    store_part(c + r * crs + whole, sum, part);
  }
}

/* More than four rows: the others find the rows of b in the first cache. */
INLINE void all_rows(const eq_sgemm *g, const int rows) {
  const int few = rows > 4 ? 4 : rows, more = rows - few;
  const int64_t chunk = CHUNK / (more ? 2 : 1);
  const int deep = rows < 3 ? DEEP : DEEP / 2;
  for (int64_t j = 0; j < g->n; j += chunk) {
    int64_t n = g->n - j < chunk ? g->n - j : chunk, p = 0;
    for (; p + deep <= g->k; p += deep) {
      add_rows(g, 0, p, j, n, few, deep);
      if (more) add_rows(g, few, p, j, n, more, deep);
    }
    for (; p < g->k; p++) {
      add_rows(g, 0, p, j, n, few, 1);
      if (more) add_rows(g, few, p, j, n, more, 1);
    }
  }
}

/* ---- dense columns of b ---- */
/* Columns of a block of 1 .. 4 rows, as the registers allow; rows * columns <= LANES. */
#if defined(__AVX512F__)
#define COLUMNS(rows) ((rows) < 3 ? 8 : 4)
#elif defined(__aarch64__)
#define COLUMNS(rows) (4 / (rows))
#elif defined(__AVX2__)
#define COLUMNS(rows) (8 / (rows))
#else
#define COLUMNS(rows) (4 / (rows))
#endif

typedef uint16_t halves __attribute__((vector_size(LANES * sizeof(uint16_t))));
typedef uint32_t wholes __attribute__((vector_size(LANES * sizeof(uint32_t))));
typedef int8_t bytes __attribute__((vector_size(LANES)));

INLINE vec of_bf16(halves h) { return (vec)(__builtin_convertvector(h, wholes) << 16); }
INLINE vec of_int8(bytes b) { /* gcc 12 has no short way for __builtin_convertvector */
#if defined(__AVX512F__)
  return (vec)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32((__m128i)b));
#elif defined(__AVX2__)
  return (vec)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_set1_epi64x((long long)b)));
#else
  return (vec){(float)b[0], (float)b[1], (float)b[2], (float)b[3]};
#endif
}

/* Numbers i .. i + n of b as it is kept, n <= LANES. */
INLINE vec kept(const void *b, int64_t i, int n, const eq_store as) {
  halves h = {0};
  bytes q = {0};
  if (as == EQ_KEPT_F32)
    return n == LANES ? load((const float *)b + i) : load_part((const float *)b + i, n);
  if (as == EQ_KEPT_BF16) {
    memcpy(&h, (const uint16_t *)b + i, (size_t)n * sizeof(uint16_t));
    return of_bf16(h);
  }
  memcpy(&q, (const int8_t *)b + i, (size_t)n);
  return of_int8(q);
}

INLINE void fetch_kept(const void *b, int64_t i, const eq_store as) {
  const int64_t size = as == EQ_KEPT_F32 ? 4 : as == EQ_KEPT_BF16 ? 2 : 1;
  __builtin_prefetch((const char *)b + i * size);
}

/* sums[r * cols + q] = row r0 + r of a times column j + q of b, one part for each lane. */
INLINE void dots(const eq_sgemm *g, int64_t r0, int64_t j, const int rows, const int cols,
                 const eq_store as, vec *sums) {
  vec s[LANES];
  const float *a = g->a + r0 * g->ars;
  const int64_t whole = g->k - g->k % LANES, b = j * g->bns;
  const int part = (int)(g->k % LANES), more = cols < TOGETHER ? TOGETHER : cols;
  const bool fetch = (rows > 1 || as != EQ_KEPT_F32) && r0 == 0;
  for (int i = 0; i < rows * cols; i++) s[i] = ZERO;
  for (int64_t p = 0; p < whole; p += LANES) {
    vec x[4];
    for (int r = 0; r < rows; r++) x[r] = load(a + r * g->ars + p);
    for (int q = 0; q < cols; q++) {
      if (fetch) fetch_kept(g->b, b + (q + more) * g->bns + p, as);
      const vec v = kept(g->b, b + q * g->bns + p, LANES, as);
      for (int r = 0; r < rows; r++) s[r * cols + q] += x[r] * v;
    }
  }
  if (part)
    for (int q = 0; q < cols; q++) {
      const vec v = kept(g->b, b + q * g->bns + whole, part, as);
      for (int r = 0; r < rows; r++) s[r * cols + q] += load_part(a + r * g->ars + whole, part) * v;
    }
  for (int i = 0; i < rows * cols; i++) sums[i] = s[i];
}

/* Adds the parts up; the sums, `cols` of each of `rows` rows, go to c. */
INLINE void give(const eq_sgemm *g, int64_t r0, int64_t j, const int rows, const int cols,
                 const eq_store as, vec *sums) {
  float total[LANES];
  for (int i = rows * cols; i < LANES; i++) sums[i] = ZERO;
  turn(sums);
  for (int d = LANES / 2; d > 0; d /= 2)
    for (int i = 0; i < d; i++) sums[i] += sums[i + d];
  store(total, sums[0]);
  for (int r = 0; r < rows; r++) {
    float *c = g->c + (r0 + r) * g->crs + j;
    for (int q = 0; q < cols; q++)
      c[q] += total[r * cols + q] * (as == EQ_KEPT_INT8 ? g->scale[j + q] : 1);
  }
}

/* All columns for rows r0 .. r0 + rows. A block that leaves half of the lanes of its sums free is
 * added up together with the next. */
INLINE void all_columns(const eq_sgemm *g, int64_t j0, int64_t j1, int64_t r0, const int rows,
                        const eq_store as) {
  vec sums[LANES];
  enum { BOTH = 2 };
  const int cols = COLUMNS(rows);
  int64_t j = j0;
  if (rows == 1 && BOTH * cols <= LANES)
    for (; j + BOTH * cols <= j1; j += BOTH * cols) {
      dots(g, r0, j, 1, cols, as, sums);
      dots(g, r0, j + cols, 1, cols, as, sums + cols);
      give(g, r0, j, 1, BOTH * cols, as, sums);
    }
  for (; j + cols <= j1; j += cols) {
    dots(g, r0, j, rows, cols, as, sums);
    give(g, r0, j, rows, cols, as, sums);
  }
  for (; j < j1; j++) {
    dots(g, r0, j, rows, 1, as, sums);
    give(g, r0, j, rows, 1, as, sums);
  }
}

/* More than four rows: the others find the columns in the first cache. */
INLINE void all_dots(const eq_sgemm *g, const int rows, const eq_store as) {
  const int few = rows > 4 ? 4 : rows, more = rows - few;
  if (!more) {
    all_columns(g, 0, g->n, 0, few, as);
    return;
  }
  for (int64_t j = 0; j < g->n; j += TOGETHER) {
    const int64_t end = g->n - j < TOGETHER ? g->n : j + TOGETHER;
    all_columns(g, j, end, 0, few, as);
    all_columns(g, j, end, few, more, as);
  }
}

#define CASE(rows)                                                                                 \
  static void rows_##rows(const eq_sgemm *g) { all_rows(g, rows); }                                \
  static void dots_##rows(const eq_sgemm *g) { all_dots(g, rows, EQ_KEPT_F32); }                   \
  static void half_##rows(const eq_sgemm *g) { all_dots(g, rows, EQ_KEPT_BF16); }                  \
  static void byte_##rows(const eq_sgemm *g) { all_dots(g, rows, EQ_KEPT_INT8); }
CASE(1)
CASE(2)
CASE(3)
CASE(4)
CASE(5)
CASE(6)
CASE(7)
CASE(8)
#define ALL(f)                                                                                     \
  { f##_1, f##_2, f##_3, f##_4, f##_5, f##_6, f##_7, f##_8 }
typedef void (*skinny_fn)(const eq_sgemm *g);
static const skinny_fn by_rows[] = ALL(rows);
static const skinny_fn by_dots[][EQ_SKINNY] = {
    [EQ_KEPT_F32] = ALL(dots), [EQ_KEPT_BF16] = ALL(half), [EQ_KEPT_INT8] = ALL(byte)};

void SET(eq_skinny)(const eq_sgemm *g) {
  if (!g->accumulate)
    for (int64_t r = 0; r < g->m; r++) {
      if (g->bias)
        memcpy(g->c + r * g->crs, g->bias, (size_t)g->n * sizeof *g->c);
      else
        memset(g->c + r * g->crs, 0, (size_t)g->n * sizeof *g->c);
    }
  if (g->bns == 1 &&
      g->store == EQ_KEPT_F32) /* no array chosen by `?`: gcc's sanitizer takes its size wrong */
    by_rows[g->m - 1](g);
  else
    by_dots[g->store][g->m - 1](g);
}
