/* group.c -- the life of a group and what is read off its Cayley table.
 *
 * A constructor calls eq_group_new, names the elements, fills `mul` (or the products with the
 * generators alone) and finishes; finishing derives the identity, inverses, periods and the walk
 * along which permutations, matrices and actions given on generators extend to all elements.
 * NOT here: the families (family.c), closures (generate.c), subgroups (subgroup.c). */
#include "group.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static size_t table_bytes(const eq_group *g) {
  return (size_t)g->order * (size_t)g->order * sizeof(uint16_t);
}

static size_t row_bytes(const eq_group *g) { return (size_t)g->order * sizeof(uint16_t); }

eq_group *eq_group_retain(eq_group *g) {
  g->refs++;
  return g;
}

void eq_group_release(eq_group *g) {
  if (!g || --g->refs > 0) return;
  size_t order = (size_t)g->order;
  uint16_t *rows[] = {g->inv, g->period, g->walk, g->from, g->via, g->embed};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) eq_free(rows[i], row_bytes(g));
  eq_free(g->mul, table_bytes(g));
  eq_free(g->gen, (size_t)g->gen_room * sizeof *g->gen);
  eq_free(g->names, g->name_room);
  eq_free(g->name_at, order * sizeof(uint32_t));
  eq_free(g->perm, order * (size_t)g->degree * sizeof(int32_t));
  eq_free(g->matrix, order * (size_t)(g->dim * g->dim) * sizeof(double));
  for (int i = 0; g->factor && i < g->nfactor; i++) eq_group_release(g->factor[i]);
  eq_free(g->factor, (size_t)g->nfactor * sizeof *g->factor);
  eq_group_release(g->parent);
  eq_free(g, sizeof *g);
}

eq_group *eq_group_new(int order, int ngen, const char *fmt, ...) {
  eq_group *g = eq_calloc(sizeof *g);
  if (!g) return NULL;
  g->refs = 1;
  g->order = order;
  g->ngen = ngen;
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(g->title, sizeof g->title, fmt, ap);
  va_end(ap);
  if (n >= (int)sizeof g->title) memcpy(g->title + sizeof g->title - 4, "...", 4);
  g->mul = eq_alloc(table_bytes(g));
  g->gen_room = ngen > order ? ngen : order;
  g->gen = eq_calloc((size_t)g->gen_room * sizeof *g->gen);
  uint16_t **rows[] = {&g->inv, &g->period, &g->walk, &g->from, &g->via};
  bool all = g->mul && g->gen;
  for (size_t i = 0; i < sizeof rows / sizeof *rows && all; i++) {
    *rows[i] = eq_calloc(row_bytes(g));
    all = *rows[i] != NULL;
  }
  if (all) g->name_at = eq_calloc((size_t)order * sizeof(uint32_t));
  if (g->name_at) return g;
  eq_group_release(g);
  return NULL;
}

int eq_group_name(eq_group *g, const char *fmt, ...) {
  char text[4096];
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  size_t bytes = (size_t)(n < (int)sizeof text ? n : (int)sizeof text - 1) + 1;
  if (g->name_bytes + bytes > g->name_room) {
    size_t room = 2 * (g->name_bytes + bytes) + 64;
    char *names = eq_alloc(room);
    if (!names) return EQ_NOMEM;
    if (g->names) memcpy(names, g->names, g->name_bytes);
    eq_free(g->names, g->name_room);
    g->names = names;
    g->name_room = room;
  }
  g->name_at[g->named++] = (uint32_t)g->name_bytes;
  memcpy(g->names + g->name_bytes, text, bytes);
  g->name_bytes += bytes;
  return EQ_OK;
}

/* "(1 3)(2 4)"; cycles start at their smallest member, the identity is "e". */
int eq_group_name_cycles(eq_group *g) {
  for (int a = 0; a < g->order; a++) {
    const int32_t *p = g->perm + (size_t)a * (size_t)g->degree;
    char text[8 * EQ_CYCLE_NAMES] = "";
    bool seen[EQ_CYCLE_NAMES] = {false};
    size_t at = 0;
    for (int i = 0; i < g->degree; i++) {
      if (seen[i] || p[i] == i) continue;
      for (int j = i; !seen[j]; j = p[j]) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%c%d", j == i ? '(' : ' ', j + 1);
        seen[j] = true;
      }
      at += (size_t)snprintf(text + at, sizeof text - at, ")");
    }
    int s = eq_group_name(g, "%s", at ? text : "e");
    if (s) return s;
  }
  return EQ_OK;
}

/* Breadth first from the identity along `right`; returns how many elements were reached. */
static int spread(eq_group *g, const uint16_t *right, uint8_t *seen) {
  int n = 1;
  memset(seen, 0, (size_t)g->order);
  seen[g->identity] = 1;
  g->walk[0] = g->from[g->identity] = (uint16_t)g->identity;
  g->via[g->identity] = 0;
  for (int i = 0; i < n; i++)
    for (int k = 0, a = g->walk[i]; k < g->ngen; k++) {
      int b = right ? right[a * g->ngen + k] : eq_group_mul(g, a, g->gen[k]);
      if (seen[b]) continue;
      seen[b] = 1;
      g->walk[n++] = (uint16_t)b;
      g->from[b] = (uint16_t)a;
      g->via[b] = (uint16_t)k;
    }
  return n;
}

/* The message of a failed test shows elements as the user counts them. */
static int not_associative(const eq_group *g, int a, int b, int c) {
  int ab = eq_group_mul(g, a, b), bc = eq_group_mul(g, b, c);
  return eq_fail("not associative: (%d*%d)*%d is %d but %d*(%d*%d) is %d", a + 1, b + 1, c + 1,
                 eq_group_mul(g, ab, c) + 1, a + 1, b + 1, c + 1, eq_group_mul(g, a, bc) + 1);
}

static bool associates(const eq_group *g, int a, int b, int c) {
  return eq_group_mul(g, eq_group_mul(g, a, b), c) == eq_group_mul(g, a, eq_group_mul(g, b, c));
}

/* Small tables name their first failing triple, so that the message does not hang on which
 * generators were found. */
static int first_failure(const eq_group *g, int x, int s, int y) {
  if (g->order <= 200)
    for (int a = 0; a < g->order; a++)
      for (int b = 0; b < g->order; b++)
        for (int c = 0; c < g->order; c++)
          if (!associates(g, a, b, c)) return not_associative(g, a, b, c);
  return not_associative(g, x, s, y);
}

/* Light's test. The elements s with (x s) y = x (s y) for all x, y are closed under products, in
 * any table, so it is enough to try generators: exact, at a fraction of all triples. */
static int check_associative(const eq_group *g) {
  for (int k = 0; k < g->ngen; k++)
    for (int x = 0, s = g->gen[k]; x < g->order; x++)
      for (int y = 0; y < g->order; y++)
        if (!associates(g, x, s, y)) return first_failure(g, x, s, y);
  return EQ_OK;
}

/* Generators of a table that came without: take the first element not reached yet, again and
 * again. In a group each at least doubles what is reached, so there are few. */
static int find_generators(eq_group *g, uint8_t *seen) {
  g->ngen = 0;
  while (spread(g, NULL, seen) < g->order) {
    if (g->ngen == EQ_MAXGEN) { /* more than a group of this size can need */
      int s = check_associative(g);
      return s ? s : eq_fail("not associative: %d elements do not generate it", g->ngen);
    }
    int a = 0;
    while (seen[a]) a++;
    g->gen[g->ngen++] = (uint16_t)a;
  }
  return EQ_OK;
}

static int find_identity(eq_group *g) {
  for (int e = 0; e < g->order; e++) {
    bool is = true;
    for (int a = 0; is && a < g->order; a++)
      is = eq_group_mul(g, e, a) == a && eq_group_mul(g, a, e) == a;
    if (!is) continue;
    g->identity = e;
    return EQ_OK;
  }
  return eq_fail("no identity: no element e has e*a = a*e = a for each of the %d elements",
                 g->order);
}

/* The period of a is read along a, a*a, ...; the power before the identity is the inverse. */
static void find_periods(eq_group *g) {
  for (int a = 0; a < g->order; a++) {
    int n = 1, last = g->identity;
    for (int b = a; b != g->identity && n <= g->order; b = eq_group_mul(g, b, a)) last = b, n++;
    g->period[a] = (uint16_t)n;
    g->inv[a] = (uint16_t)last;
  }
  g->abelian = true;
  for (int i = 0; i < g->ngen; i++)
    for (int k = 0; k < i; k++) {
      int a = g->gen[i], b = g->gen[k];
      if (eq_group_mul(g, a, b) != eq_group_mul(g, b, a)) g->abelian = false;
    }
}

int eq_group_finish(eq_group *g, bool verify) {
  int s = find_identity(g);
  if (s) return s;
  uint8_t *seen = eq_alloc((size_t)g->order);
  if (!seen) return EQ_NOMEM;
  if (g->ngen)
    spread(g, NULL, seen);
  else
    s = find_generators(g, seen);
  eq_free(seen, (size_t)g->order);
  if (!s && verify) s = check_associative(g);
  if (!s) find_periods(g);
  return s;
}

int eq_group_finish_right(eq_group *g, const uint16_t *right, bool verify) {
  uint8_t *seen = eq_alloc((size_t)g->order);
  if (!seen) return EQ_NOMEM;
  spread(g, right, seen);
  eq_free(seen, (size_t)g->order);
  for (int a = 0; a < g->order; a++) {
    uint16_t *row = g->mul + (size_t)a * (size_t)g->order;
    row[g->identity] = (uint16_t)a;
    for (int i = 1; i < g->order; i++) {
      int b = g->walk[i];
      row[b] = right[row[g->from[b]] * g->ngen + g->via[b]];
    }
  }
  return eq_group_finish(g, verify);
}

int eq_group_pow(const eq_group *g, int a, int64_t n) {
  int64_t left = n % g->period[a];
  if (left < 0) left += g->period[a];
  int y = g->identity;
  while (left-- > 0) y = eq_group_mul(g, y, a);
  return y;
}

/* Spaces do not count ("s r" is "sr"), except inside cycles, where they separate numbers. */
static bool same_name(const char *a, const char *b) {
  bool cycles = strchr(a, '(') != NULL;
  for (;; a++, b++) {
    while (!cycles && *a == ' ') a++;
    while (!cycles && *b == ' ') b++;
    if (*a != *b) return false;
    if (!*a) return true;
  }
}

int eq_group_find(const eq_group *g, const char *name) {
  for (int a = 0; a < g->order; a++)
    if (same_name(eq_group_name_of(g, a), name)) return a;
  return strcmp(name, "e") == 0 ? g->identity : -1;
}

bool eq_group_same(const eq_group *a, const eq_group *b) {
  if (a == b) return true;
  if (a->order != b->order) return false;
  if (a->parent && b->parent && eq_group_same(a->parent, b->parent))
    return memcmp(a->embed, b->embed, row_bytes(a)) == 0;
  return a->name_bytes == b->name_bytes && strcmp(a->title, b->title) == 0 &&
         memcmp(a->names, b->names, a->name_bytes) == 0 &&
         memcmp(a->mul, b->mul, table_bytes(a)) == 0;
}
