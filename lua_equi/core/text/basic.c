/* basic.c -- what BERT does to a text before WordPiece (Devlin et al., 2019, tokenization.py).
 *
 * Control characters, U+FFFD and bytes that are not UTF-8 go; white space of any kind parts words;
 * every punctuation mark (of ASCII also its symbols) and every CJK ideograph is a word of its own;
 * if `lower`, letters become small, are decomposed and lose their nonspacing marks, each by itself
 * (a final sigma stays an ordinary one). NOT a normalisation form: without `lower`, composed and
 * decomposed letters stay different. */
#include "text.h"

#include "folds.h"

enum { HANGUL = 0xAC00, VOWELS = 21, TAILS = 28, LAST_HANGUL = 0xD7A3 };

/* At most three code points; returns how many. */
static int fold(uint32_t code, uint32_t *to) {
  *to = code;
  if (code < 128) {
    if (code >= 'A' && code <= 'Z') *to = code + 32;
    return 1;
  }
  if (code >= HANGUL && code <= LAST_HANGUL) {
    const uint32_t s = code - HANGUL, tail = s % TAILS;
    to[0] = 0x1100 + s / TAILS / VOWELS;
    to[1] = 0x1161 + s / TAILS % VOWELS;
    to[2] = 0x11A7 + tail;
    return tail ? 3 : 2;
  }
  int low = 0, high = NSINGLES;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (singles[middle].from < code)
      low = middle + 1;
    else
      high = middle;
  }
  if (low < NSINGLES && singles[low].from == code) return *to = singles[low].to, 1;
  for (int i = 0; i < NSEVERALS; i++) {
    if (severals[i].from != code) continue;
    int n = 0;
    for (; n < 3 && severals[i].to[n]; n++) to[n] = severals[i].to[n];
    return n;
  }
  return 1;
}

static bool is_ideograph(uint32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

/* \v, \f and U+0085 are spaces to Unicode but controls to BERT, which drops them. */
static bool is_dropped(uint32_t c, eq_class k) {
  return k == EQ_CONTROL || c == 0xFFFD || c > 0x10FFFF || c == 11 || c == 12 || c == 0x85;
}

static bool is_mark_of_its_own(uint32_t c, eq_class k) {
  return k == EQ_PUNCT || (c < 128 && k == EQ_OTHER);
}

static uint8_t *put(uint8_t *out, uint32_t c) {
  if (c < 0x80) return *out = (uint8_t)c, out + 1;
  const int n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (int i = n - 1; i > 0; i--, c >>= 6) out[i] = (uint8_t)(0x80 | (c & 0x3F));
  out[0] = (uint8_t)(((0xF00u >> n) & 0xFF) | c);
  return out + n;
}

/* One character into out, with spaces around what is a word of its own. */
static uint8_t *put_character(uint8_t *out, uint32_t code, bool lower) {
  eq_class k = eq_class_of(code);
  uint32_t to[3] = {code};
  if (is_dropped(code, k)) return out;
  if (k == EQ_SPACE) return *out = ' ', out + 1;
  if (lower && k == EQ_MARK) return out;
  const bool ideograph = is_ideograph(code);
  const int n = lower ? fold(code, to) : 1;
  for (int i = 0; i < n; i++) {
    const bool alone = ideograph || is_mark_of_its_own(to[i], eq_class_of(to[i]));
    if (alone) *out++ = ' ';
    out = put(out, to[i]);
    if (alone) *out++ = ' ';
  }
  return out;
}

size_t eq_basic(const uint8_t **text, const uint8_t *end, bool lower, uint8_t *out) {
  const uint8_t *p = *text, *stop = end - p > EQ_BASIC_PIECE ? p + EQ_BASIC_PIECE : end;
  uint8_t *to = out;
  while (p < stop) {
    uint32_t code;
    p += eq_character(p, end, &code);
    to = put_character(to, code, lower);
  }
  *text = p;
  return (size_t)(to - out);
}
