/* text.h -- bytes as characters, the words that GPT-2's pattern splits a text into, and byte-pair
 * encoding of such words.
 *
 * A text is any bytes. Where they are UTF-8 a character is its code point; a byte that begins no
 * well-formed sequence (overlong forms, surrogates and what lies beyond U+10FFFF included) is a
 * character of its own that is neither letter, number nor space. Nothing here normalises. */
#ifndef EQUI_TEXT_H
#define EQUI_TEXT_H
#include "equi.h"

/* ---- characters (unicode.c) ----
 * SPACE is Unicode's White_Space (regular expressions' \s), LETTER \p{L}, NUMBER \p{N}; of the
 * rest, MARK is Mn, PUNCT \p{P}, CONTROL Cc, Cf, Cs, Co and unassigned. */
typedef enum { EQ_OTHER, EQ_LETTER, EQ_NUMBER, EQ_SPACE, EQ_MARK, EQ_PUNCT, EQ_CONTROL } eq_class;
extern const uint8_t eq_ascii_class[128];
eq_class eq_class_of(uint32_t code);
const char *eq_unicode_version(void);
/* The length in bytes of the character at p < end, and its code point, or UINT32_MAX for a byte
 * that is none. */
int eq_character(const uint8_t *p, const uint8_t *end, uint32_t *code);

/* ---- words (split.c) ----
 * The end of the word that begins at p < end, by
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * The words of a text are side by side: every byte belongs to one. */
const uint8_t *eq_word(const uint8_t *p, const uint8_t *end);

/* ---- words as BERT sees them (basic.c) ----
 * Writes the words of a piece of the text (at most EQ_BASIC_PIECE bytes and the rest of a
 * character) to out, parted by spaces, some of them double; moves *text behind the piece. Returns
 * how many bytes were written, at most EQ_BASIC_ROOM. */
enum { EQ_BASIC_PIECE = 1 << 14, EQ_BASIC_ROOM = 6 * (EQ_BASIC_PIECE + 4) };
size_t eq_basic(const uint8_t **text, const uint8_t *end, bool lower, uint8_t *out);

/* ---- byte-pair encoding (bpe.c) ---- */
typedef struct eq_bpe eq_bpe;
/* A merge: the tokens `left` and `right`, side by side, become `result`, which has the bytes of
 * both. Tokens are numbers from 0. Earlier merges go first. */
typedef struct eq_merge {
  uint32_t left, right, result;
} eq_merge;
/* length: how many bytes each of `ntoken` tokens has; byte_token: the token of each byte. A pair
 * that is listed twice has the place and the result of the last. NULL on failure. */
eq_bpe *eq_bpe_new(const uint32_t *length, size_t ntoken, const uint32_t byte_token[256],
                   const eq_merge *merge, size_t n);
void eq_bpe_free(eq_bpe *t); /* t may be NULL */
/* Tokens grow in `out`, which belongs to the caller: begin with {0}, end with eq_tokens_free. */
typedef struct eq_tokens {
  uint32_t *at;
  size_t n, room;
} eq_tokens;
void eq_tokens_free(eq_tokens *out);
/* Appends the tokens of a text: each word begins as bytes; again and again the pair with the
 * earliest merge, the leftmost of equal ones, is merged. Takes O(n log n) time and O(n) memory for
 * a word of n bytes. Returns EQ_OK, EQ_NOMEM, EQ_STOP, or EQ_ERR for a word of 2 GB. */
int eq_bpe_encode(eq_bpe *t, const uint8_t *text, size_t n, eq_tokens *out);

#endif
