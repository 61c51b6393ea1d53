/* unicode.c -- UTF-8 to code points, code points to classes. */
#include "text.h"

#include "classes.h"

/* 0..8, 14..31 and 127 are CONTROL, 9..13 and 32 SPACE. */
const uint8_t eq_ascii_class[128] = {
    6, 6, 6, 6, 6, 6, 6, 6, 6, 3, 3, 3, 3, 3, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6,
    3, 5, 5, 5, 0, 5, 5, 5, 5, 5, 5, 0, 5, 5, 5, 5, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 5, 5, 0, 0, 0, 5,
    5, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5, 5, 5, 0, 5,
    0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5, 0, 5, 0, 6,
};

eq_class eq_class_of(uint32_t code) {
  if (code < 128) return (eq_class)eq_ascii_class[code];
  if (code > 0x10FFFF) return EQ_OTHER; /* a byte that is no character */
  int low = 0, high = NRUNS; /* runs[low] begins at or before the code, runs[high] after it */
  while (high - low > 1) {
    int middle = (low + high) / 2;
    if (runs[middle] >> 3 <= code)
      low = middle;
    else
      high = middle;
  }
  return (eq_class)(runs[low] & 7);
}

const char *eq_unicode_version(void) { return unicode_version; }

int eq_character(const uint8_t *p, const uint8_t *end, uint32_t *code) {
  const uint32_t c = *p;
  *code = c;
  if (c < 0x80) return 1;
  *code = UINT32_MAX;
  if (c < 0xC2 || c > 0xF4) return 1;
  const int n = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
  if (end - p < n) return 1;
  uint32_t x = c & (0x7Fu >> n);
  for (int i = 1; i < n; i++) {
    if ((p[i] & 0xC0) != 0x80) return 1;
    x = x << 6 | (p[i] & 0x3F);
  }
  if (n == 3 && (x < 0x800 || (x >= 0xD800 && x < 0xE000))) return 1;
  if (n == 4 && (x < 0x10000 || x > 0x10FFFF)) return 1;
  *code = x;
  return n;
}
