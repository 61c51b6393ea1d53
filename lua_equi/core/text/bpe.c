/* bpe.c -- byte-pair encoding: a table of merges, and words encoded by it.
 *
 * A text repeats its words, so the tokens of short words are kept in a table of fixed size, where a
 * later word takes the place of an earlier one with the same slot. Words of up to SHORT bytes are
 * merged by looking for the earliest pair again and again; longer ones through a heap of pairs, so
 * that a word of n bytes takes n log n steps. Both give the same tokens. */
#include "text.h"
#include <string.h>

enum {
  SHORT = 64,      /* bytes of a word that is merged without a heap */
  KEPT_BYTES = 31, /* longest word that is kept */
  KEPT_TOKENS = 7, /* and the most tokens of one */
  NSLOT = 1 << 14, /* words that are kept: 1 MB */
  POLL = 1 << 18   /* bytes between two looks for Ctrl-C */
};
static const uint32_t none = UINT32_MAX;

typedef struct kept { /* 64 bytes: one line of the processor's cache */
  uint8_t length, n;  /* length 0: empty */
  uint8_t word[KEPT_BYTES + 3];
  uint32_t token[KEPT_TOKENS];
} kept;

typedef struct pair { /* of the hash table; left == none: empty */
  uint32_t left, right, rank, result;
} pair;

struct eq_bpe {
  uint32_t byte_token[256];
  size_t ntoken, mask; /* slots of `pairs` - 1 */
  uint32_t *length;    /* of each token, in bytes */
  pair *pairs;
  kept *words;
};

/* ---- merges ---- */

static size_t place(const eq_bpe *t, uint32_t left, uint32_t right) {
  uint64_t key = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15u;
  return (size_t)(key >> 29) & t->mask;
}

/* The merge of left and right, or NULL. */
static const pair *find(const eq_bpe *t, uint32_t left, uint32_t right) {
  for (size_t i = place(t, left, right);; i = (i + 1) & t->mask) {
    const pair *p = t->pairs + i;
    if (p->left == left && p->right == right) return p;
    if (p->left == none) return NULL;
  }
}

static void insert(eq_bpe *t, const eq_merge *m, uint32_t rank) {
  size_t i = place(t, m->left, m->right);
  while (t->pairs[i].left != none && (t->pairs[i].left != m->left || t->pairs[i].right != m->right))
    i = (i + 1) & t->mask;
  t->pairs[i] = (pair){m->left, m->right, rank, m->result};
}

eq_bpe *eq_bpe_new(const uint32_t *length, size_t ntoken, const uint32_t byte_token[256],
                   const eq_merge *merge, size_t n) {
  eq_bpe *t = eq_calloc(sizeof *t);
  if (!t) return NULL;
  size_t slots = 16;
  while (slots < 2 * n) slots *= 2;
  t->mask = slots - 1;
  t->ntoken = ntoken;
  memcpy(t->byte_token, byte_token, sizeof t->byte_token);
  t->pairs = eq_alloc(slots * sizeof *t->pairs);
  t->words = eq_calloc(NSLOT * sizeof *t->words);
  t->length = eq_alloc(ntoken * sizeof *t->length);
  if (!t->pairs || !t->words || !t->length) return eq_bpe_free(t), NULL;
  memcpy(t->length, length, ntoken * sizeof *length);
  for (size_t i = 0; i < slots; i++) t->pairs[i].left = none;
  for (size_t i = 0; i < n; i++) insert(t, merge + i, (uint32_t)i);
  return t;
}

void eq_bpe_free(eq_bpe *t) {
  if (!t) return;
  eq_free(t->pairs, (t->mask + 1) * sizeof *t->pairs);
  eq_free(t->words, NSLOT * sizeof *t->words);
  eq_free(t->length, t->ntoken * sizeof *t->length);
  eq_free(t, sizeof *t);
}

/* ---- output ---- */

static int make_room(eq_tokens *out, size_t more) {
  if (out->room - out->n >= more) return EQ_OK;
  size_t room = out->room < 64 ? 64 : out->room + out->room / 2;
  if (room < out->n + more) room = out->n + more;
  uint32_t *at = eq_alloc(room * sizeof *at);
  if (!at) return EQ_NOMEM;
  if (out->n) memcpy(at, out->at, out->n * sizeof *at);
  eq_free(out->at, out->room * sizeof *out->at);
  out->at = at;
  out->room = room;
  return EQ_OK;
}

void eq_tokens_free(eq_tokens *out) {
  eq_free(out->at, out->room * sizeof *out->at);
  *out = (eq_tokens){0};
}

/* ---- short words ---- */

static uint32_t rank_of(const pair *p) { return p ? p->rank : none; }

/* The tokens of a word of n <= SHORT bytes; returns how many. */
static size_t merge_short(const eq_bpe *t, const uint8_t *word, size_t n, uint32_t *token) {
  uint32_t rank[SHORT]; /* of token i and its right neighbour */
  for (size_t i = 0; i < n; i++) token[i] = t->byte_token[word[i]];
  for (size_t i = 0; i + 1 < n; i++) rank[i] = rank_of(find(t, token[i], token[i + 1]));
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; i++)
      if (rank[i] < rank[best]) best = i;
    if (rank[best] == none) break;
    token[best] = find(t, token[best], token[best + 1])->result;
    n--;
    memmove(token + best + 1, token + best + 2, (n - best - 1) * sizeof *token);
    if (best + 1 < n) {
      memmove(rank + best + 1, rank + best + 2, (n - best - 2) * sizeof *rank);
      rank[best] = rank_of(find(t, token[best], token[best + 1]));
    }
    if (best) rank[best - 1] = rank_of(find(t, token[best - 1], token[best]));
  }
  return n;
}

/* ---- long words ----
 * One number for each byte. Where a token begins stands the token; where it ends, if it is longer
 * than a byte, stands INSIDE + its beginning; what else is inside of it is INSIDE and anything. The
 * heap (each entry has four below it) holds pairs as rank << 32 | beginning of the left token; what
 * has changed since a pair was put there is found out when it is taken. */

#define INSIDE ((uint32_t)1 << 31)

typedef struct chain {
  const eq_bpe *t;
  uint32_t n, *slot;
  uint64_t *heap;
  size_t count, room;
} chain;

static uint32_t next(const chain *c, uint32_t at) { return at + c->t->length[c->slot[at]]; }

static uint32_t before(const chain *c, uint32_t at) {
  const uint32_t last = c->slot[at - 1];
  return last & INSIDE ? last - INSIDE : at - 1;
}

static int grow(chain *c) {
  size_t room = c->room + c->room / 2;
  uint64_t *heap = eq_alloc(room * sizeof *heap);
  if (!heap) return EQ_NOMEM;
  memcpy(heap, c->heap, c->count * sizeof *heap);
  eq_free(c->heap, c->room * sizeof *heap);
  c->heap = heap;
  c->room = room;
  return EQ_OK;
}

/* Puts the pair whose left token begins at `at` on the heap, if there is a merge for it. */
static int put(chain *c, uint32_t at) {
  const uint32_t right = next(c, at);
  if (right >= c->n) return EQ_OK;
  const pair *p = find(c->t, c->slot[at], c->slot[right]);
  if (!p) return EQ_OK;
  if (c->count == c->room && grow(c)) return EQ_NOMEM;
  const uint64_t key = (uint64_t)p->rank << 32 | at;
  size_t i = c->count++;
  for (; i && key < c->heap[(i - 1) / 4]; i = (i - 1) / 4) c->heap[i] = c->heap[(i - 1) / 4];
  c->heap[i] = key;
  return EQ_OK;
}

static uint64_t take(chain *c) {
  const uint64_t first = c->heap[0], last = c->heap[--c->count];
  size_t i = 0;
  for (size_t child = 1; child < c->count; child = 4 * i + 1) {
    const size_t end = child + 4 < c->count ? child + 4 : c->count;
    size_t least = child;
    for (size_t k = child + 1; k < end; k++)
      if (c->heap[k] < c->heap[least]) least = k;
    if (c->heap[least] >= last) break;
    c->heap[i] = c->heap[least];
    i = least;
  }
  c->heap[i] = last;
  return first;
}

static int merge_chain(chain *c) {
  for (uint32_t i = 0; i + 1 < c->n; i++) {
    if (i % POLL == POLL - 1 && eq_poll && eq_poll()) return eq_stopped();
    if (put(c, i)) return EQ_NOMEM;
  }
  for (size_t steps = 0; c->count; steps++) {
    if (steps % POLL == POLL - 1 && eq_poll && eq_poll()) return eq_stopped();
    const uint64_t key = take(c);
    const uint32_t at = (uint32_t)key;
    if (c->slot[at] & INSIDE) continue;
    const uint32_t right = next(c, at);
    if (right >= c->n) continue;
    const pair *p = find(c->t, c->slot[at], c->slot[right]);
    if (!p || p->rank != key >> 32) continue;
    c->slot[right] = INSIDE;
    c->slot[at] = p->result;
    c->slot[next(c, at) - 1] = INSIDE + at;
    if (put(c, at) || (at && put(c, before(c, at)))) return EQ_NOMEM;
  }
  return EQ_OK;
}

static int collect(const chain *c, eq_tokens *out) {
  size_t n = 0;
  for (uint32_t i = 0; i < c->n; i = next(c, i)) n++;
  if (make_room(out, n)) return EQ_NOMEM;
  for (uint32_t i = 0; i < c->n; i = next(c, i)) out->at[out->n++] = c->slot[i];
  return EQ_OK;
}

static int merge_long(const eq_bpe *t, const uint8_t *word, size_t n, eq_tokens *out) {
  if (n >= INSIDE) return eq_fail("a word of %zu bytes; at most %u are possible", n, INSIDE - 1);
  chain c = {.t = t, .n = (uint32_t)n, .room = n + n / 4};
  c.slot = eq_alloc(n * sizeof *c.slot);
  c.heap = eq_alloc(c.room * sizeof *c.heap);
  int s = c.slot && c.heap ? EQ_OK : EQ_NOMEM;
  if (!s) {
    for (uint32_t i = 0; i < c.n; i++) c.slot[i] = t->byte_token[word[i]];
    s = merge_chain(&c);
  }
  if (!s) s = collect(&c, out);
  eq_free(c.slot, n * sizeof *c.slot);
  eq_free(c.heap, c.room * sizeof *c.heap);
  return s;
}

/* ---- texts ---- */

static size_t hash(const uint8_t *word, size_t n) {
  uint64_t h = n, x;
  for (; n >= 8; word += 8, n -= 8) {
    memcpy(&x, word, 8);
    h = (h ^ x) * 0x9E3779B97F4A7C15u;
    h ^= h >> 32;
  }
  x = 0;
  memcpy(&x, word, n);
  h = (h ^ x) * 0x9E3779B97F4A7C15u;
  return (size_t)(h >> 40);
}

/* Room for SHORT tokens is there. */
static void encode_short(eq_bpe *t, const uint8_t *word, size_t n, eq_tokens *out) {
  uint32_t *token = out->at + out->n;
  kept *k = n <= KEPT_BYTES ? t->words + hash(word, n) % NSLOT : NULL;
  if (k && k->length == n && !memcmp(k->word, word, n)) {
    memcpy(token, k->token, sizeof k->token);
    out->n += k->n;
    return;
  }
  size_t count = merge_short(t, word, n, token);
  out->n += count;
  if (!k || count > KEPT_TOKENS) return;
  k->length = (uint8_t)n;
  k->n = (uint8_t)count;
  memcpy(k->word, word, n);
  memcpy(k->token, token, count * sizeof *token);
}

int eq_bpe_encode(eq_bpe *t, const uint8_t *text, size_t n, eq_tokens *out) {
  const uint8_t *p = text, *end = text + n, *look = p;
  while (p < end) {
    if (p - look > POLL) {
      look = p;
      if (eq_poll && eq_poll()) return eq_stopped();
    }
    const uint8_t *stop = eq_word(p, end);
    size_t length = (size_t)(stop - p);
    int s = make_room(out, SHORT);
    if (!s && length <= SHORT)
      encode_short(t, p, length, out);
    else if (!s)
      s = merge_long(t, p, length, out);
    if (s) return s;
    p = stop;
  }
  return EQ_OK;
}
