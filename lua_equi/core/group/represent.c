/* represent.c -- making actions: maps of generators are extended along the group's walk
 * (a = from[a] * gen[via[a]], so a moves like from[a] after that generator) and then verified on
 * every a with every generator, which is every relation of the group. */
#include "action.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static eq_action *make(eq_group *g, eq_action_kind kind, int dim, int64_t size) {
  eq_action *a = eq_calloc(sizeof *a);
  if (!a) return NULL;
  a->refs = 1;
  a->kind = kind;
  a->exact = true;
  a->group = eq_group_retain(g);
  a->dim = dim;
  a->size = size;
  return a;
}

static eq_action *kept(eq_action *a, int status) {
  if (!status) return a;
  eq_action_release(a);
  return NULL;
}

eq_action *eq_action_trivial(eq_group *g, int dim, int64_t size) {
  return make(g, EQ_ACT_TRIVIAL, dim, size);
}

/* Maps come one per generator or one per element. */
static int check_count(const eq_group *g, int n, bool *each) {
  *each = n != g->ngen && n == g->order;
  if (n == g->ngen || *each) return EQ_OK;
  return eq_fail("%d maps are given; %s has %d generators and %d elements, and needs one map for "
                 "each of either",
                 n, g->title, g->ngen, g->order);
}

/* at: the first position that shows it, from 1; 0 for matrices. */
static int no_action(const eq_group *g, int a, int k, int64_t at) {
  char where[48] = "";
  if (at) snprintf(where, sizeof where, ", at position %lld", (long long)at);
  return eq_fail("no action of %s: %s after %s is not %s%s", g->title, eq_group_name_of(g, a),
                 eq_group_name_of(g, g->gen[k]), eq_group_name_of(g, eq_group_mul(g, a, g->gen[k])),
                 where);
}

static int not_identity(const eq_group *g, const char *what) {
  return eq_fail("no action of %s: the map of the identity %s %s", g->title,
                 eq_group_name_of(g, g->identity), what);
}

/* ---- permutations ---- */

static int check_bijection(int which, int64_t size, const int64_t *to, int64_t *at) {
  for (int64_t i = 0; i < size; i++) at[i] = -1;
  for (int64_t i = 0; i < size; i++) {
    if (to[i] < 0 || to[i] >= size)
      return eq_fail("map %d sends %lld to %lld; positions are 1 to %lld", which + 1,
                     (long long)i + 1, (long long)to[i] + 1, (long long)size);
    if (at[to[i]] >= 0)
      return eq_fail("map %d is no bijection: it sends both %lld and %lld to %lld", which + 1,
                     (long long)at[to[i]] + 1, (long long)i + 1, (long long)to[i] + 1);
    at[to[i]] = i;
  }
  return EQ_OK;
}

/* t is order x size, from 0 */
static int extend_permutations(const eq_group *g, int64_t size, bool each, const int64_t *to,
                               int64_t *t) {
  if (each) memcpy(t, to, (size_t)(g->order * size) * sizeof *t);
  for (int i = 0; i < g->order && !each; i++) {
    int a = g->walk[i];
    const int64_t *first = to + g->via[a] * size, *then = t + g->from[a] * size;
    for (int64_t j = 0; j < size; j++) t[a * size + j] = i ? then[first[j]] : j;
  }
  for (int64_t j = 0; j < size; j++)
    if (t[g->identity * size + j] != j) return not_identity(g, "moves positions");
  for (int k = 0; k < g->ngen; k++) {
    const int64_t *first = each ? t + g->gen[k] * size : to + k * size;
    for (int a = 0; a < g->order; a++) {
      const int64_t *both = t + eq_group_mul(g, a, g->gen[k]) * size, *then = t + a * size;
      for (int64_t j = 0; j < size; j++)
        if (both[j] != then[first[j]]) return no_action(g, a, k, j + 1);
    }
  }
  return EQ_OK;
}

eq_action *eq_action_permutation(eq_group *g, eq_action_kind kind, int dim, int64_t size, int n,
                                 const int64_t *to) {
  bool each;
  if (check_count(g, n, &each)) return NULL;
  eq_action *a = make(g, kind, dim, size);
  if (!a) return NULL;
  a->table = eq_empty(EQ_I64, 2, (int64_t[]){g->order, size});
  if (!a->table) return kept(a, EQ_NOMEM);
  int64_t *t = (int64_t *)(void *)a->table->data; /* its first row is scratch for the check */
  int s = EQ_OK;
  for (int k = 0; k < n && !s; k++) s = check_bijection(k, size, to + k * size, t);
  if (!s) s = extend_permutations(g, size, each, to, t);
  for (int64_t i = 0; i < g->order * size && !s; i++) t[i] += EQ_BASE;
  return kept(a, s);
}

/* g sends position h to g h. */
eq_action *eq_action_regular(eq_group *g, int dim) {
  size_t bytes = (size_t)g->order * (size_t)g->order * sizeof(int64_t);
  int64_t *to = eq_alloc(bytes);
  if (!to) return NULL;
  for (int i = 0; i < g->order * g->order; i++) to[i] = g->mul[i];
  eq_action *a = eq_action_permutation(g, EQ_ACT_AXIS, dim, g->order, g->order, to);
  eq_free(to, bytes);
  return a;
}

/* ---- matrices ---- */

static void multiply(int64_t n, const double *x, const double *y, double *out) {
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < n; j++) {
      double sum = 0;
      for (int64_t k = 0; k < n; k++) sum += x[i * n + k] * y[k * n + j];
      out[i * n + j] = sum;
    }
}

static double gap(int64_t n, const double *x, const double *y) {
  double most = 0;
  for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(x[i] - y[i]));
  return most;
}

/* t is order x size x size; *worst becomes the largest deviation from a homomorphism. */
static int extend_matrices(const eq_group *g, int64_t size, bool each, const double *m, double *t,
                           double *product, double limit, double *worst) {
  int64_t square = size * size;
  if (each) memcpy(t, m, (size_t)(g->order * square) * sizeof *t);
  for (int64_t i = 0; i < square; i++) product[i] = i % (size + 1) == 0;
  if (!each) memcpy(t + g->identity * square, product, (size_t)square * sizeof *t);
  *worst = gap(square, t + g->identity * square, product);
  if (*worst > limit) return not_identity(g, "is not the unit matrix");
  for (int i = 1; i < g->order && !each; i++) {
    int a = g->walk[i];
    multiply(size, t + g->from[a] * square, m + g->via[a] * square, t + a * square);
  }
  for (int k = 0; k < g->ngen; k++) {
    const double *first = each ? t + g->gen[k] * square : m + k * square;
    for (int a = 0; a < g->order; a++) {
      multiply(size, t + a * square, first, product);
      double d = gap(square, t + eq_group_mul(g, a, g->gen[k]) * square, product);
      if (!(d <= limit)) return no_action(g, a, k, 0);
      *worst = fmax(*worst, d);
    }
  }
  return EQ_OK;
}

eq_action *eq_action_matrices(eq_group *g, int dim, int64_t size, int n, const double *m) {
  bool each;
  double scale = 1, worst = 0;
  if (check_count(g, n, &each)) return NULL;
  for (int64_t i = 0; i < n * size * size; i++) {
    if (!isfinite(m[i])) return eq_fail("a matrix holds %g; entries must be finite", m[i]), NULL;
    scale = fmax(scale, fabs(m[i]));
  }
  eq_action *a = make(g, EQ_ACT_MATRIX, dim, size);
  if (!a) return NULL;
  size_t bytes = (size_t)(size * size) * sizeof(double);
  double *product = eq_alloc(bytes);
  a->table = product ? eq_empty(EQ_F64, 3, (int64_t[]){g->order, size, size}) : NULL;
  int s = a->table ? EQ_OK : EQ_NOMEM;
  if (!s)
    s = extend_matrices(g, size, each, m, (double *)(void *)a->table->data, product, 1e-6 * scale,
                        &worst);
  eq_free(product, bytes);
  a->exact = worst <= 1e-12 * scale;
  if (!s && !(a->table32 = eq_cast(a->table, EQ_F32))) s = EQ_NOMEM;
  return kept(a, s);
}

/* ---- grids ---- */

eq_action *eq_action_grid(eq_group *g, int dim1, int dim2, int n, const int *move) {
  if (n != g->ngen)
    return eq_fail("%d moves are given; %s has %d generators", n, g->title, g->ngen), NULL;
  eq_action *a = make(g, EQ_ACT_GRID, dim1, 0);
  if (!a) return NULL;
  a->dim2 = dim2;
  a->square = eq_group_dihedral(4);
  a->map = eq_alloc((size_t)g->order * sizeof *a->map);
  if (!a->square || !a->map) return kept(a, EQ_NOMEM);
  for (int i = 0; i < g->order; i++) {
    int e = g->walk[i];
    a->map[e] = i ? eq_group_mul(a->square, a->map[g->from[e]], move[g->via[e]]) : 0;
    if (a->map[e] % 2) a->size = 1; /* an odd quarter turn: the grid must be square */
  }
  for (int k = 0; k < n; k++)
    if (a->map[g->gen[k]] != move[k])
      return kept(a, eq_fail("no action of %s: the move of %s does not fit the others", g->title,
                             eq_group_name_of(g, g->gen[k])));
  if (eq_group_check_map(g, a->square, a->map) == EQ_OK) return a;
  char why[256];
  size_t length = strlen(eq_error.text);
  if (length >= sizeof why) length = sizeof why - 1;
  memcpy(why, eq_error.text, length);
  why[length] = 0;
  return kept(a, eq_fail("the moves of the square are no action of %s: %s", g->title, why));
}

/* ---- combinations ---- */

static int check_parts(int n, eq_action *const *part, int64_t *total, bool *matrices) {
  for (int i = 0; i < n; i++) {
    const eq_action *p = part[i];
    bool sized = p->kind == EQ_ACT_AXIS || p->kind == EQ_ACT_MATRIX ||
                 (p->kind == EQ_ACT_TRIVIAL && p->size > 0);
    if (!sized)
      return eq_fail("part %d moves no fixed number of positions; parts are permutation, regular, "
                     "matrices, logits or trivial with a size",
                     i + 1);
    if (!eq_group_same(p->group, part[0]->group))
      return eq_fail("part %d is an action of %s, part 1 of %s", i + 1, p->group->title,
                     part[0]->group->title);
    if (p->dim != part[0]->dim)
      return eq_fail("part %d moves another dim than part 1; a sum lies along one dim", i + 1);
    if (p->kind == EQ_ACT_MATRIX) *matrices = true;
    *total += p->size;
  }
  return EQ_OK;
}

static eq_action *sum_of_permutations(int n, eq_action *const *part, int64_t total) {
  eq_group *g = part[0]->group;
  size_t bytes = (size_t)(g->order * total) * sizeof(int64_t);
  int64_t *to = eq_alloc(bytes);
  if (!to) return NULL;
  for (int a = 0; a < g->order; a++)
    for (int64_t i = 0, at = 0; i < n; at += part[i++]->size)
      for (int64_t j = 0; j < part[i]->size; j++)
        to[a * total + at + j] =
            at + (part[i]->table ? eq_get_int(part[i]->table, a * part[i]->size + j) - EQ_BASE : j);
  eq_action *y = eq_action_permutation(g, EQ_ACT_AXIS, part[0]->dim, total, g->order, to);
  eq_free(to, bytes);
  return y;
}

/* Entry (row, column) of element a of one part, as a matrix. */
static double entry(const eq_action *p, int a, int64_t row, int64_t column) {
  if (!p->table) return row == column;
  if (p->kind == EQ_ACT_AXIS) return eq_get_int(p->table, a * p->size + column) - EQ_BASE == row;
  return eq_get(p->table, (a * p->size + row) * p->size + column);
}

static eq_action *sum_of_matrices(int n, eq_action *const *part, int64_t total) {
  eq_group *g = part[0]->group;
  size_t bytes = (size_t)(g->order * total * total) * sizeof(double);
  double *m = eq_calloc(bytes);
  if (!m) return NULL;
  for (int a = 0; a < g->order; a++)
    for (int64_t i = 0, at = 0; i < n; at += part[i++]->size)
      for (int64_t r = 0; r < part[i]->size; r++)
        for (int64_t c = 0; c < part[i]->size; c++)
          m[(a * total + at + r) * total + at + c] = entry(part[i], a, r, c);
  eq_action *y = eq_action_matrices(g, part[0]->dim, total, g->order, m);
  eq_free(m, bytes);
  return y;
}

eq_action *eq_action_sum(int n, eq_action *const *part) {
  int64_t total = 0;
  bool matrices = false;
  if (check_parts(n, part, &total, &matrices)) return NULL;
  return matrices ? sum_of_matrices(n, part, total) : sum_of_permutations(n, part, total);
}

eq_action *eq_action_chain(eq_group *g, int n, eq_action *const *part, int *const *map) {
  eq_action *a = make(g, EQ_ACT_CHAIN, 0, 0);
  if (!a) return NULL;
  size_t row = (size_t)g->order * sizeof(int);
  a->part = eq_calloc((size_t)n * sizeof *a->part);
  a->part_map = eq_calloc((size_t)n * sizeof *a->part_map);
  if (a->part && a->part_map) a->npart = n;
  int s = a->npart ? EQ_OK : EQ_NOMEM;
  for (int i = 0; i < a->npart && !s; i++) {
    a->part[i] = eq_action_retain(part[i]);
    a->part_map[i] = eq_alloc(row);
    if (a->part_map[i])
      memcpy(a->part_map[i], map[i], row);
    else
      s = EQ_NOMEM;
    a->exact = a->exact && part[i]->exact;
  }
  eq_tensor *x = s || n < 2 ? NULL : eq_action_sample(a);
  if (x)
    s = eq_action_verify(a, x, false);
  else if (!s && n > 1)
    s = (int)eq_error.status;
  eq_release(x);
  return kept(a, s);
}

eq_action *eq_action_product(eq_group *product, int n, eq_action *const *part) {
  size_t bytes = (size_t)n * sizeof(int *), row = (size_t)product->order * sizeof(int);
  int **map = eq_calloc(bytes);
  if (!map) return NULL;
  bool all = true;
  for (int i = 0; i < n && all; i++) {
    map[i] = eq_alloc(row);
    all = map[i] != NULL;
    for (int a = 0; a < product->order && all; a++) map[i][a] = eq_group_part(product, a, i);
  }
  eq_action *y = all ? eq_action_chain(product, n, part, map) : NULL;
  for (int i = 0; i < n; i++) eq_free(map[i], row);
  eq_free(map, bytes);
  return y;
}

eq_action *eq_action_restrict(eq_action *a, eq_group *subgroup) {
  size_t row = (size_t)subgroup->order * sizeof(int);
  int *map = eq_alloc(row);
  if (!map) return NULL;
  const eq_group *up = subgroup;
  for (int i = 0; i < subgroup->order; i++) map[i] = i;
  while (up && !eq_group_same(up, a->group)) {
    for (int i = 0; up->parent && i < subgroup->order; i++) map[i] = up->embed[map[i]];
    up = up->parent;
  }
  eq_action *y = NULL;
  if (up)
    y = eq_action_chain(subgroup, 1, &a, &map);
  else
    eq_fail("%s is no subgroup of %s", subgroup->title, a->group->title);
  eq_free(map, row);
  return y;
}
