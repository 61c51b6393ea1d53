/* pack.c -- matrices into panels of the kernel's width, [k][WIDTH], the last filled up with zeros.
 */
#include "vec.h"

enum { AHEAD = 4 }; /* rows fetched before they are read */

/* b[p * bks + j]. All panels of a row at once: rows are far apart, and only a long stretch of one
 * is read at the speed of the memory. */
void SET(eq_pack_rows)(const float *b, int64_t bks, int64_t k, int64_t n, float *panels) {
  const int64_t whole = n / LANES;
  const int part = (int)(n % LANES);
  for (int64_t p = 0; p < k; p++, b += bks, panels += WIDTH) {
    float *to = panels;
    const float *next = b + AHEAD * bks;
    for (int64_t q = 0; q < whole; q++) {
      __builtin_prefetch(next + q * LANES);
      store(to + q % 2 * LANES, load(b + q * LANES));
      to += q % 2 * k * WIDTH;
    }
    if (part) store(to + whole % 2 * LANES, load_part(b + whole * LANES, part));
    if ((whole + (part > 0)) % 2) store(to + LANES, ZERO);
  }
}

/* Numbers p .. p + n of `cols` columns, bns apart, as n rows of a vector; missing ones are 0. */
INLINE void turned(const float *b, int64_t bns, int64_t cols, int n, vec *v) {
  for (int j = 0; j < LANES; j++) {
    if (j >= cols)
      v[j] = ZERO;
    else
      v[j] = n == LANES ? load(b + j * bns) : load_part(b + j * bns, n);
  }
  turn(v);
}

INLINE int rows_left(int64_t k, int64_t p) { return k - p < LANES ? (int)(k - p) : LANES; }

void SET(eq_pack_columns)(const float *b, int64_t bns, int64_t k, int64_t n, float *panels) {
  vec v[LANES];
  for (int64_t j = 0; j < n; j += WIDTH, panels += k * WIDTH)
    for (int64_t half = 0; half < WIDTH; half += LANES)
      for (int64_t p = 0; p < k; p += LANES) {
        const int rows = rows_left(k, p);
        turned(b + (j + half) * bns + p, bns, n - j - half, rows, v);
        for (int i = 0; i < rows; i++) store(panels + (p + i) * WIDTH + half, v[i]);
      }
}

/* One panel whose rows are in another order than in b: number q of a column goes to
 * place[q % period] + q / period * step, nowhere when that place is negative. */
void SET(eq_pack_taps)(const float *b, int64_t bns, int64_t k, int64_t n, const eq_taps *taps,
                       float *panel) {
  vec v[LANES];
  for (int64_t half = 0; half < WIDTH; half += LANES) {
    int64_t tap = 0, at = half;
    for (int64_t p = 0; p < k; p += LANES) {
      const int rows = rows_left(k, p);
      turned(b + half * bns + p, bns, n - half, rows, v);
      for (int i = 0; i < rows; i++) {
        if (taps->place[tap] >= 0) store(panel + taps->place[tap] + at, v[i]);
        if (++tap == taps->period) tap = 0, at += taps->step;
      }
    }
  }
}

/* And back: the rows of a panel into columns. */
void SET(eq_unpack_taps)(const float *panel, int64_t k, int64_t n, const eq_taps *taps, float *b,
                         int64_t bns) {
  vec v[LANES];
  for (int64_t half = 0; half < n; half += LANES) {
    int64_t tap = 0, at = half;
    for (int64_t p = 0; p < k; p += LANES) {
      const int rows = rows_left(k, p);
      for (int i = 0; i < LANES; i++) {
        v[i] = i < rows ? load(panel + taps->place[tap] + at) : ZERO;
        if (i < rows && ++tap == taps->period) tap = 0, at += taps->step;
      }
      turn(v);
      for (int j = 0; j < LANES && half + j < n; j++) {
        float *to = b + (half + j) * bns + p;
        if (rows == LANES)
          store(to, v[j]);
        else
          store_part(to, v[j], rows);
      }
    }
  }
}
