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

/* Columns j .. j + cols of b[p + j * bns] into a panel's lanes at `to`; missing ones are 0. */
static void turn_over(const float *b, int64_t bns, int64_t k, int64_t cols, float *to) {
  vec v[LANES];
  int64_t p = 0;
  for (; p + LANES <= k; p += LANES, to += LANES * WIDTH) {
    if (cols >= LANES)
      for (int j = 0; j < LANES; j++) v[j] = load(b + j * bns + p);
    else
      for (int j = 0; j < LANES; j++) v[j] = j < cols ? load(b + j * bns + p) : ZERO;
    turn(v);
    for (int i = 0; i < LANES; i++) store(to + i * WIDTH, v[i]);
  }
  for (; p < k; p++, to += WIDTH)
    for (int64_t j = 0; j < LANES; j++) to[j] = j < cols ? b[j * bns + p] : 0;
}

void SET(eq_pack_columns)(const float *b, int64_t bns, int64_t k, int64_t n, float *panels) {
  for (int64_t j = 0; j < n; j += WIDTH, b += WIDTH * bns, panels += k * WIDTH) {
    turn_over(b, bns, k, n - j, panels);
    turn_over(b + LANES * bns, bns, k, n - j - LANES, panels + LANES);
  }
}
