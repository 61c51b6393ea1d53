/* generate.c -- groups made by the user: from a Cayley table, from permutations, from matrices.
 *
 * Permutations and matrices generate: products with the generators are formed until nothing new
 * comes. A finite closure of invertible maps is a group, since some power of each is the identity.
 */
#include "group.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- a table ---- */

static int check_entries(int n, const int64_t *t) {
  for (int a = 0; a < n; a++)
    for (int b = 0; b < n; b++)
      if (t[a * n + b] < 0 || t[a * n + b] >= n)
        return eq_fail(
            "row %d, column %d is %lld; the entries of a table of %d elements are 1 to %d", a + 1,
            b + 1, (long long)t[a * n + b] + 1, n, n);
  return EQ_OK;
}

/* In a group a*x = b and x*a = b have one solution each: no row or column repeats an entry. */
static int check_latin(int n, const int64_t *t) {
  for (int a = 0; a < n; a++) {
    int row[EQ_GROUP_MAX], column[EQ_GROUP_MAX];
    for (int b = 0; b < n; b++) row[b] = column[b] = -1;
    for (int b = 0; b < n; b++) {
      int64_t r = t[a * n + b], c = t[b * n + a];
      if (row[r] >= 0)
        return eq_fail("row %d holds %lld twice, at columns %d and %d; each row must hold each "
                       "element once",
                       a + 1, (long long)r + 1, row[r] + 1, b + 1);
      if (column[c] >= 0)
        return eq_fail("column %d holds %lld twice, at rows %d and %d; each column must hold each "
                       "element once",
                       a + 1, (long long)c + 1, column[c] + 1, b + 1);
      row[r] = column[c] = b;
    }
  }
  return EQ_OK;
}

eq_group *eq_group_from_table(int n, const int64_t *table) {
  if (n < 1 || n > EQ_GROUP_MAX) {
    eq_fail("the table has %d rows; groups have 1 to %d elements", n, EQ_GROUP_MAX);
    return NULL;
  }
  if (check_entries(n, table) || check_latin(n, table)) return NULL;
  eq_group *g = eq_group_new(n, 0, "from_table(order %d)", n);
  if (!g) return NULL;
  int s = EQ_OK;
  for (int i = 0; i < n * n; i++) g->mul[i] = (uint16_t)table[i];
  for (int a = 0; a < n && !s; a++) s = eq_group_name(g, "%d", a + 1);
  if (!s) s = eq_group_finish(g, true);
  if (!s) return g;
  eq_group_release(g);
  return NULL;
}

/* ---- closure ---- */

/* What a closure grows: rows of `row` bytes, found again by `same`. */
typedef struct closure {
  int count, room, limit, ngen, size;
  size_t row;
  char *rows;      /* room rows */
  uint16_t *right; /* room x ngen */
  int *slot;       /* hash table of `slots` places, -1 where free; NULL: search all rows */
  int slots;
  double tolerance;
  void (*multiply)(int n, const void *a, const void *b, void *y);
} closure;

static void multiply_permutations(int n, const void *a, const void *b, void *y) {
  for (int i = 0; i < n; i++) ((int32_t *)y)[i] = ((const int32_t *)a)[((const int32_t *)b)[i]];
}

static void multiply_matrices(int n, const void *a, const void *b, void *y) {
  const double *x = a, *w = b;
  double *out = y;
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) {
      double sum = 0;
      for (int k = 0; k < n; k++) sum += x[i * n + k] * w[k * n + j];
      out[i * n + j] = sum;
    }
}

static int hash_row(const closure *c, const void *row) {
  uint64_t h = 1469598103934665603u; /* FNV-1a over 4-byte words */
  const int32_t *p = row;
  for (int i = 0; i < c->size; i++) h = (h ^ (uint64_t)p[i]) * 1099511628211u;
  return (int)((h >> 20) & (uint64_t)(c->slots - 1));
}

/* The row that equals `row`, or -1; *place is the hash slot where it belongs. */
static int look_up(const closure *c, const void *row, int *place) {
  if (c->slot) {
    int h = hash_row(c, row);
    for (; c->slot[h] >= 0; h = (h + 1) & (c->slots - 1))
      if (memcmp(c->rows + (size_t)c->slot[h] * c->row, row, c->row) == 0) return c->slot[h];
    *place = h;
    return -1;
  }
  const double *x = row;
  for (int a = 0; a < c->count; a++) {
    const double *y = (const double *)(c->rows + (size_t)a * c->row);
    int i = 0, n = c->size * c->size;
    while (i < n && fabs(x[i] - y[i]) <= c->tolerance) i++;
    if (i == n) return a;
  }
  return -1;
}

static int grow(closure *c) {
  int room = c->room ? 2 * c->room : 64;
  size_t right = (size_t)c->ngen * sizeof(uint16_t);
  char *rows = eq_alloc((size_t)room * c->row);
  uint16_t *products = eq_alloc((size_t)room * right);
  if (!rows || !products) {
    eq_free(rows, (size_t)room * c->row);
    eq_free(products, (size_t)room * right);
    return EQ_NOMEM;
  }
  if (c->room) {
    memcpy(rows, c->rows, (size_t)c->count * c->row);
    memcpy(products, c->right, (size_t)c->count * right);
  }
  eq_free(c->rows, (size_t)c->room * c->row);
  eq_free(c->right, (size_t)c->room * right);
  c->rows = rows, c->right = products, c->room = room;
  return EQ_OK;
}

static void close_closure(closure *c) {
  eq_free(c->rows, (size_t)c->room * c->row);
  eq_free(c->right, (size_t)c->room * (size_t)c->ngen * sizeof(uint16_t));
  eq_free(c->slot, (size_t)c->slots * sizeof *c->slot);
}

/* The number of `row`, which is added if it is new; negative on failure. */
static int number_of(closure *c, const void *row) {
  int place = 0, a = look_up(c, row, &place);
  if (a >= 0) return a;
  if (c->count >= c->limit) {
    eq_fail("the generators give more than %d elements, or no finite group; limit may be up to %d",
            c->limit, EQ_GROUP_MAX);
    return -1;
  }
  if (c->count == c->room && grow(c)) return -1;
  memcpy(c->rows + (size_t)c->count * c->row, row, c->row);
  if (c->slot) c->slot[place] = c->count;
  return c->count++;
}

/* Row 0 is the identity; breadth first, so that words are short. `y` holds one row. */
static int close_under(closure *c, const char *generators, void *y) {
  for (int a = 0; a < c->count; a++)
    for (int k = 0; k < c->ngen; k++) {
      c->multiply(c->size, c->rows + (size_t)a * c->row, generators + (size_t)k * c->row, y);
      int b = number_of(c, y);
      if (b < 0) return EQ_ERR;
      c->right[a * c->ngen + k] = (uint16_t)b;
    }
  return EQ_OK;
}

/* Multiplying by an invertible map hits every element once; a singular one collapses some. */
static int check_invertible(const closure *c) {
  for (int k = 0; k < c->ngen; k++) {
    uint8_t hit[EQ_GROUP_MAX] = {0};
    for (int a = 0; a < c->count; a++)
      if (hit[c->right[a * c->ngen + k]]++)
        return eq_fail("matrix %d has no inverse: two different products become equal when "
                       "multiplied by it",
                       k + 1);
  }
  return EQ_OK;
}

static int run_closure(closure *c, const char *generators, const void *identity) {
  void *y = eq_alloc(c->row);
  if (!y) return EQ_NOMEM;
  int s = number_of(c, identity) < 0 ? EQ_ERR : close_under(c, generators, y);
  eq_free(y, c->row);
  return s ? s : check_invertible(c);
}

/* Words name matrices: a2b is the first generator twice, then the second. */
static int name_words(eq_group *g) {
  for (int a = 0; a < g->order; a++) {
    char word[2048];
    size_t at = sizeof word;
    word[--at] = 0;
    for (int b = a; b != g->identity && at > 16;) {
      int k = g->via[b], n = 0;
      while (b != g->identity && g->via[b] == k) b = g->from[b], n++;
      char power[32] = "";
      if (k < 26)
        snprintf(power, sizeof power, n > 1 ? "%c%d" : "%c", 'a' + k, n);
      else
        snprintf(power, sizeof power, n > 1 ? "[%d]%d" : "[%d]", k + 1, n);
      at -= strlen(power);
      memcpy(word + at, power, strlen(power));
    }
    int s = eq_group_name(g, "%s", word[at] ? word + at : "e");
    if (s) return s;
  }
  return EQ_OK;
}

/* ---- the two kinds ---- */

/* A group with the numbers of a finished closure; its rows are still to be copied. */
static eq_group *group_of(closure *c, const char *generators, const char *title) {
  eq_group *g = eq_group_new(c->count, c->ngen, "%s", title);
  if (!g) return NULL;
  for (int k = 0, place; k < c->ngen; k++)
    g->gen[k] = (uint16_t)look_up(c, generators + (size_t)k * c->row, &place);
  g->identity = 0;
  if (eq_group_finish_right(g, c->right, c->tolerance > 0) == EQ_OK) return g;
  eq_group_release(g);
  return NULL;
}

static int check_permutation(int which, int degree, const int32_t *p, int32_t *at) {
  for (int i = 0; i < degree; i++) at[i] = -1;
  for (int i = 0; i < degree; i++) {
    if (p[i] < 0 || p[i] >= degree)
      return eq_fail("permutation %d sends %d to %d; its numbers are 1 to %d", which + 1, i + 1,
                     p[i] + 1, degree);
    if (at[p[i]] >= 0)
      return eq_fail("permutation %d sends both %d and %d to %d", which + 1, at[p[i]] + 1, i + 1,
                     p[i] + 1);
    at[p[i]] = i;
  }
  return EQ_OK;
}

static int start(closure *c, int limit) {
  c->limit = limit;
  if (limit >= 1 && limit <= EQ_GROUP_MAX) return EQ_OK;
  return eq_fail("limit is %d; groups are kept up to %d elements", limit, EQ_GROUP_MAX);
}

static int copy_rows(eq_group *g, const closure *c, void **to) {
  *to = eq_alloc((size_t)g->order * c->row);
  if (!*to) return EQ_NOMEM;
  memcpy(*to, c->rows, (size_t)g->order * c->row);
  return EQ_OK;
}

eq_group *eq_group_from_permutations(int ngen, int degree, const int32_t *perm, int limit) {
  closure c = {.ngen = ngen, .size = degree, .multiply = multiply_permutations, .slots = 1 << 14};
  c.row = (size_t)degree * sizeof *perm;
  if (start(&c, limit)) return NULL;
  eq_group *g = NULL;
  int32_t *id = eq_alloc(c.row);
  c.slot = eq_alloc((size_t)c.slots * sizeof *c.slot);
  int s = id && c.slot ? EQ_OK : EQ_NOMEM;
  for (int k = 0; k < ngen && !s; k++) s = check_permutation(k, degree, perm + k * degree, id);
  if (!s) {
    char title[64];
    for (int i = 0; i < degree; i++) id[i] = i;
    for (int i = 0; i < c.slots; i++) c.slot[i] = -1;
    snprintf(title, sizeof title, "from_permutations(degree %d)", degree);
    s = run_closure(&c, (const char *)perm, id);
    if (!s) g = group_of(&c, (const char *)perm, title);
  }
  if (g) {
    g->degree = degree;
    void *rows;
    s = copy_rows(g, &c, &rows);
    g->perm = s ? NULL : rows;
    if (!s) s = degree <= EQ_CYCLE_NAMES ? eq_group_name_cycles(g) : name_words(g);
  }
  eq_free(id, c.row);
  if (c.slot) close_closure(&c);
  if (g && s) eq_group_release(g), g = NULL;
  return g;
}

static int check_entries_finite(int n, const double *x, double *largest) {
  for (int i = 0; i < n; i++) {
    if (!isfinite(x[i])) return eq_fail("a matrix holds %g; entries must be finite", x[i]);
    *largest = fmax(*largest, fabs(x[i]));
  }
  return EQ_OK;
}

eq_group *eq_group_from_matrices(int ngen, int dim, const double *matrix, int limit) {
  closure c = {.ngen = ngen, .size = dim, .multiply = multiply_matrices};
  double largest = 1;
  c.row = (size_t)(dim * dim) * sizeof *matrix;
  if (start(&c, limit) || check_entries_finite(ngen * dim * dim, matrix, &largest)) return NULL;
  c.tolerance = 1e-6 * largest;
  double *id = eq_calloc(c.row);
  if (!id) return NULL;
  for (int i = 0; i < dim; i++) id[i * dim + i] = 1;
  int s = run_closure(&c, (const char *)matrix, id);
  eq_group *g = NULL;
  if (!s) {
    char title[64];
    snprintf(title, sizeof title, "from_matrices(%d x %d)", dim, dim);
    g = group_of(&c, (const char *)matrix, title);
  }
  if (g) {
    g->dim = dim;
    void *rows;
    s = copy_rows(g, &c, &rows);
    g->matrix = s ? NULL : rows;
    if (!s) s = name_words(g);
  }
  eq_free(id, c.row);
  close_closure(&c);
  if (g && s) eq_group_release(g), g = NULL;
  return g;
}
