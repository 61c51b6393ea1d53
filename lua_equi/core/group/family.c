/* family.c -- the named families of groups, and products of groups.
 *
 * Elements are numbered by a formula, so that the order of the names is the one of textbooks:
 * cyclic e r r2 ..., dihedral e r r2 ... s sr sr2 ..., permutations in lexicographic order. A
 * permutation sends i to p[i], and (p * q)(i) = p(q(i)). */
#include "group.h"
#include <stdio.h>
#include <string.h>

/* Every constructor ends here: the group, or NULL when something on the way failed. */
static eq_group *finished(eq_group *g, int status, bool verify) {
  if (!status) status = eq_group_finish(g, verify);
  if (!status) return g;
  eq_group_release(g);
  return NULL;
}

static bool fits(const char *what, int64_t n, int64_t least, int64_t most) {
  if (n >= least && n <= most) return true;
  eq_fail("n is %lld; %s groups are kept up to %d elements, so n is %lld to %lld", (long long)n,
          what, EQ_GROUP_MAX, (long long)least, (long long)most);
  return false;
}

/* r2, sr, ... ; the plain letters stand for themselves */
static int name_power(eq_group *g, const char *front, int k) {
  if (k == 0) return eq_group_name(g, "%s", *front ? front : "e");
  return k == 1 ? eq_group_name(g, "%sr", front) : eq_group_name(g, "%sr%d", front, k);
}

eq_group *eq_group_cyclic(int n) {
  if (!fits("cyclic", n, 1, EQ_GROUP_MAX)) return NULL;
  eq_group *g = eq_group_new(n, n > 1, "cyclic(%d)", n);
  if (!g) return NULL;
  int s = EQ_OK;
  for (int a = 0; a < n; a++) {
    if (!s) s = name_power(g, "", a);
    for (int b = 0; b < n; b++) g->mul[a * n + b] = (uint16_t)((a + b) % n);
  }
  g->gen[0] = n > 1;
  return finished(g, s, false);
}

/* r^n = s^2 = e, s r s = r^-1, hence r^a s = s r^-a. Element i + n j is s^j r^i. */
eq_group *eq_group_dihedral(int n) {
  if (!fits("dihedral", n, 1, EQ_GROUP_MAX / 2)) return NULL;
  int order = 2 * n, s = EQ_OK;
  eq_group *g = eq_group_new(order, n > 1 ? 2 : 1, "dihedral(%d)", n);
  if (!g) return NULL;
  for (int a = 0; a < order; a++) {
    if (!s) s = name_power(g, a < n ? "" : "s", a % n);
    for (int b = 0; b < order; b++) {
      int turn = b < n ? (a + b) % n : (b - a % n) % n;
      int flipped = (a >= n) != (b >= n);
      g->mul[a * order + b] = (uint16_t)(turn + n * flipped);
    }
  }
  g->gen[0] = (uint16_t)(n > 1 ? 1 : n);
  if (n > 1) g->gen[1] = (uint16_t)n;
  return finished(g, s, false);
}

eq_group *eq_group_klein(void) {
  static const char *const name[] = {"e", "a", "b", "ab"};
  eq_group *g = eq_group_new(4, 2, "klein");
  if (!g) return NULL;
  int s = EQ_OK;
  for (int a = 0; a < 4; a++) {
    if (!s) s = eq_group_name(g, "%s", name[a]);
    for (int b = 0; b < 4; b++) g->mul[a * 4 + b] = (uint16_t)(a ^ b);
  }
  g->gen[0] = 1;
  g->gen[1] = 2;
  return finished(g, s, false);
}

/* Element 2u + m is (-1)^m times the unit u of 1 i j k. */
eq_group *eq_group_quaternion(void) {
  static const char *const name[] = {"1", "-1", "i", "-i", "j", "-j", "k", "-k"};
  static const uint8_t product[4][4] = {{0, 2, 4, 6}, {2, 1, 6, 5}, {4, 7, 1, 2}, {6, 4, 3, 1}};
  eq_group *g = eq_group_new(8, 2, "quaternion");
  if (!g) return NULL;
  int s = EQ_OK;
  for (int a = 0; a < 8; a++) {
    if (!s) s = eq_group_name(g, "%s", name[a]);
    for (int b = 0; b < 8; b++)
      g->mul[a * 8 + b] = (uint16_t)(product[a / 2][b / 2] ^ ((a ^ b) & 1));
  }
  g->gen[0] = 2;
  g->gen[1] = 4;
  return finished(g, s, false);
}

/* ---- permutations ---- */

static bool next_permutation(int n, int32_t *p) {
  int i = n - 2, j = n - 1;
  while (i >= 0 && p[i] > p[i + 1]) i--;
  if (i < 0) return false;
  while (p[j] < p[i]) j--;
  int32_t t = p[i];
  p[i] = p[j], p[j] = t;
  for (i++, j = n - 1; i < j; i++, j--) t = p[i], p[i] = p[j], p[j] = t;
  return true;
}

static bool is_even(int n, const int32_t *p) {
  int odd = 0;
  for (int i = 0; i < n; i++)
    for (int j = 0; j < i; j++) odd ^= p[j] > p[i];
  return !odd;
}

static int find_row(const eq_group *g, const int32_t *p) {
  size_t row = (size_t)g->degree * sizeof *p;
  int low = 0, high = g->order;
  while (low < high) { /* rows are in lexicographic order */
    int mid = (low + high) / 2, i = 0;
    const int32_t *q = g->perm + (size_t)mid * (size_t)g->degree;
    if (memcmp(q, p, row) == 0) return mid;
    while (q[i] == p[i]) i++;
    if (q[i] < p[i])
      low = mid + 1;
    else
      high = mid;
  }
  return -1;
}

/* Generators: (1 2) and (1 2 ... n) for all permutations, the 3-cycles (1 2 k) for the even ones.
 */
static int permutation_generators(eq_group *g, int n, bool even) {
  int count = 0, first = even ? 2 : 1;
  for (int k = first; k < n; k++) {
    int32_t p[8];
    for (int i = 0; i < n; i++) p[i] = i;
    if (even) {
      p[0] = 1, p[1] = k, p[k] = 0;
    } else if (k == 1) {
      p[0] = 1, p[1] = 0;
    } else if (k == 2) {
      for (int i = 0; i < n; i++) p[i] = (i + 1) % n;
    } else {
      break;
    }
    g->gen[count++] = (uint16_t)find_row(g, p);
  }
  return count;
}

/* Products with the generators are looked up; the rest of the table follows along the walk. */
static int permutation_table(eq_group *g) {
  size_t bytes = (size_t)(g->order * g->ngen + 1) * sizeof(uint16_t);
  uint16_t *right = eq_alloc(bytes);
  if (!right) return EQ_NOMEM;
  for (int a = 0; a < g->order; a++)
    for (int k = 0; k < g->ngen; k++) {
      int32_t p[8];
      const int32_t *x = g->perm + a * g->degree, *y = g->perm + g->gen[k] * g->degree;
      for (int i = 0; i < g->degree; i++) p[i] = x[y[i]];
      right[a * g->ngen + k] = (uint16_t)find_row(g, p);
    }
  int s = eq_group_finish_right(g, right, false);
  eq_free(right, bytes);
  return s;
}

eq_group *eq_group_symmetric(int n, bool even) {
  const char *what = even ? "alternating" : "symmetric";
  if (!fits(what, n, 1, 7)) return NULL;
  int all = 1;
  for (int i = 2; i <= n; i++) all *= i;
  int order = even && n > 1 ? all / 2 : all;
  eq_group *g = eq_group_new(order, 0, "%s(%d)", what, n);
  if (!g) return NULL;
  g->degree = n;
  g->perm = eq_alloc((size_t)(order * n) * sizeof *g->perm);
  int s = g->perm ? EQ_OK : EQ_NOMEM, row = 0;
  int32_t p[8];
  for (int i = 0; i < n; i++) p[i] = i;
  do {
    if (s || (even && !is_even(n, p))) continue;
    memcpy(g->perm + row++ * n, p, (size_t)n * sizeof *p);
  } while (next_permutation(n, p));
  if (!s) {
    g->ngen = permutation_generators(g, n, even);
    s = permutation_table(g);
  }
  if (!s) s = eq_group_name_cycles(g);
  if (!s) return g;
  eq_group_release(g);
  return NULL;
}

/* ---- products ---- */

int eq_group_part(const eq_group *g, int a, int k) {
  for (int i = g->nfactor - 1; i > k; i--) a /= g->factor[i]->order;
  return a % g->factor[k]->order;
}

/* "cyclic(2) x cyclic(3)", products among the factors in brackets */
static void product_title(eq_group *g, int n, eq_group *const *factor) {
  size_t at = 0, room = sizeof g->title;
  for (int i = 0; i < n && at < room; i++) {
    bool inner = factor[i]->nfactor > 0;
    at += (size_t)snprintf(g->title + at, room - at, "%s%s%s%s", i ? " x " : "", inner ? "(" : "",
                           factor[i]->title, inner ? ")" : "");
  }
}

static int name_tuple(eq_group *g, int a) {
  char text[1024];
  size_t at = 0;
  for (int k = 0; k < g->nfactor && at < sizeof text; k++)
    at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", k ? ", " : "(",
                           eq_group_name_of(g->factor[k], eq_group_part(g, a, k)));
  return eq_group_name(g, "%s)", text);
}

static int multiply_parts(const eq_group *g, int a, int b) {
  int y = 0, scale = 1;
  for (int k = g->nfactor - 1; k >= 0; k--) {
    const eq_group *f = g->factor[k];
    y += scale * eq_group_mul(f, a % f->order, b % f->order);
    scale *= f->order, a /= f->order, b /= f->order;
  }
  return y;
}

/* The generators of each factor, the other coordinates at their identity. */
static void product_generators(eq_group *g) {
  int base = 0, scale = 1;
  g->ngen = 0;
  for (int k = 0; k < g->nfactor; k++) base = base * g->factor[k]->order + g->factor[k]->identity;
  for (int k = g->nfactor - 1; k >= 0; k--) {
    const eq_group *f = g->factor[k];
    for (int i = f->ngen - 1; i >= 0; i--)
      g->gen[g->ngen++] = (uint16_t)(base + scale * (f->gen[i] - f->identity));
    scale *= f->order;
  }
  for (int i = 0, j = g->ngen - 1; i < j; i++, j--) {
    uint16_t t = g->gen[i];
    g->gen[i] = g->gen[j], g->gen[j] = t;
  }
}

eq_group *eq_group_product(int n, eq_group *const *factor) {
  int64_t order = 1;
  int ngen = 0;
  for (int i = 0; i < n; i++) {
    ngen += factor[i]->ngen;
    order *= factor[i]->order;
    if (order > EQ_GROUP_MAX) {
      eq_fail("the product has %lld elements or more; groups are kept up to %d", (long long)order,
              EQ_GROUP_MAX);
      return NULL;
    }
  }
  eq_group *g = eq_group_new((int)order, ngen, "%s", "");
  if (!g) return NULL;
  product_title(g, n, factor);
  g->factor = eq_calloc((size_t)n * sizeof *g->factor);
  if (!g->factor) return finished(g, EQ_NOMEM, false);
  g->nfactor = n;
  for (int i = 0; i < n; i++) g->factor[i] = eq_group_retain(factor[i]);
  int s = EQ_OK;
  for (int a = 0; a < g->order && !s; a++) {
    s = name_tuple(g, a);
    for (int b = 0; b < g->order; b++)
      g->mul[(size_t)a * (size_t)order + (size_t)b] = (uint16_t)multiply_parts(g, a, b);
  }
  product_generators(g);
  return finished(g, s, false);
}

/* Each phi_h must be an automorphism of n, and h -> phi_h a homomorphism. */
static int check_automorphisms(const eq_group *n, const eq_group *h, const int *phi) {
  for (int a = 0; a < h->order; a++) {
    const int *f = phi + a * n->order;
    const char *who = eq_group_name_of(h, a);
    for (int x = 0; x < n->order; x++)
      for (int y = 0; y < x; y++)
        if (f[x] == f[y])
          return eq_fail("%s acts on %s by no bijection: it sends both %s and %s to %s", who,
                         n->title, eq_group_name_of(n, y), eq_group_name_of(n, x),
                         eq_group_name_of(n, f[x]));
    for (int x = 0; x < n->order; x++)
      for (int y = 0; y < n->order; y++)
        if (f[eq_group_mul(n, x, y)] != eq_group_mul(n, f[x], f[y]))
          return eq_fail("%s acts on %s by no automorphism: it sends %s * %s to %s, but the images "
                         "multiply to %s",
                         who, n->title, eq_group_name_of(n, x), eq_group_name_of(n, y),
                         eq_group_name_of(n, f[eq_group_mul(n, x, y)]),
                         eq_group_name_of(n, eq_group_mul(n, f[x], f[y])));
  }
  for (int a = 0; a < h->order; a++)
    for (int b = 0; b < h->order; b++)
      for (int x = 0, ab = eq_group_mul(h, a, b); x < n->order; x++) {
        int once = phi[ab * n->order + x], twice = phi[a * n->order + phi[b * n->order + x]];
        if (once != twice)
          return eq_fail("the automorphisms do not multiply like %s: %s after %s sends %s to %s, "
                         "but %s sends it to %s",
                         h->title, eq_group_name_of(h, a), eq_group_name_of(h, b),
                         eq_group_name_of(n, x), eq_group_name_of(n, twice),
                         eq_group_name_of(h, ab), eq_group_name_of(n, once));
      }
  return EQ_OK;
}

eq_group *eq_group_semidirect(eq_group *n, eq_group *h, const int *phi) {
  if ((int64_t)n->order * h->order > EQ_GROUP_MAX) {
    eq_fail("the product has %lld elements; groups are kept up to %d",
            (long long)n->order * h->order, EQ_GROUP_MAX);
    return NULL;
  }
  if (check_automorphisms(n, h, phi)) return NULL;
  int order = n->order * h->order, s = EQ_OK;
  eq_group *g = eq_group_new(order, n->ngen + h->ngen, "semidirect(%s, %s)", n->title, h->title);
  if (!g) return NULL;
  for (int a = 0; a < order && !s; a++) {
    int an = a / h->order, ah = a % h->order;
    s = eq_group_name(g, "(%s, %s)", eq_group_name_of(n, an), eq_group_name_of(h, ah));
    for (int b = 0; b < order; b++) {
      int bn = phi[ah * n->order + b / h->order];
      int y = eq_group_mul(n, an, bn) * h->order + eq_group_mul(h, ah, b % h->order);
      g->mul[(size_t)a * (size_t)order + (size_t)b] = (uint16_t)y;
    }
  }
  for (int i = 0; i < n->ngen; i++) g->gen[i] = (uint16_t)(n->gen[i] * h->order + h->identity);
  for (int i = 0; i < h->ngen; i++)
    g->gen[n->ngen + i] = (uint16_t)(n->identity * h->order + h->gen[i]);
  return finished(g, s, false);
}
