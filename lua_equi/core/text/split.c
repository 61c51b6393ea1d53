/* split.c -- GPT-2's pattern, by hand: at each place the first alternative that matches, as long as
 * it can be. The last two say: a run of spaces leaves its last one to what follows, unless it is
 * alone or ends the text; of that last one, only U+0020 becomes part of the next word. */
#include "text.h"

/* Of the pattern's four kinds of characters: marks, punctuation and controls are "other". */
static eq_class kind(const uint8_t *p, const uint8_t *end, int *length) {
  uint32_t code;
  if (*p < 0x80) {
    *length = 1;
    eq_class c = (eq_class)eq_ascii_class[*p];
    return c > EQ_SPACE ? EQ_OTHER : c;
  }
  *length = eq_character(p, end, &code);
  eq_class c = eq_class_of(code);
  return c > EQ_SPACE ? EQ_OTHER : c;
}

/* The end of 's 't 'm 'd 're 've 'll at p, or NULL. */
static const uint8_t *contraction(const uint8_t *p, const uint8_t *end) {
  if (*p != '\'' || end - p < 2) return NULL;
  switch (p[1]) {
  case 's':
  case 't':
  case 'm':
  case 'd': return p + 2;
  case 'r':
  case 'v': return end - p > 2 && p[2] == 'e' ? p + 3 : NULL;
  case 'l': return end - p > 2 && p[2] == 'l' ? p + 3 : NULL;
  default: return NULL;
  }
}

/* The end of the spaces that begin at p, their last left over if something follows. */
static const uint8_t *spaces(const uint8_t *p, const uint8_t *end) {
  const uint8_t *last = p, *q = p;
  int n;
  while (q < end && kind(q, end, &n) == EQ_SPACE) {
    last = q;
    q += n;
  }
  return q == end || last == p ? q : last;
}

const uint8_t *eq_word(const uint8_t *p, const uint8_t *end) {
  int n, m;
  const uint8_t *stop = contraction(p, end);
  if (stop) return stop;
  eq_class c = kind(p, end, &n);
  if (c == EQ_SPACE) {
    if (*p != ' ' || end - p == 1) return spaces(p, end);
    c = kind(p + 1, end, &m);
    if (c == EQ_SPACE) return spaces(p, end);
    n += m;
  }
  p += n;
  while (p < end && kind(p, end, &n) == c) p += n;
  return p;
}
