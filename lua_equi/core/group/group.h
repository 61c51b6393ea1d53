/* group.h -- finite groups: a Cayley table, names, generators.
 *
 * An eq_group is immutable after it was made and counted by references; elements are the numbers
 * 0 .. order-1. NOT a computer algebra system: everything is read from the full table, so groups
 * end at EQ_GROUP_MAX elements (the symmetric group on 7 letters). */
#ifndef EQ_GROUP_H
#define EQ_GROUP_H
#include "equi.h"

enum {
  EQ_GROUP_MAX = 5040,
  EQ_GROUP_TITLE = 192,
  EQ_MAXGEN = 16,         /* more than log2 of EQ_GROUP_MAX */
  EQ_CYCLE_NAMES = 32,    /* larger permutations are named by words in the generators */
  EQ_LATTICE_ORDER = 200, /* all subgroups are listed of groups up to this order, */
  EQ_LATTICE_COUNT = 5000 /* if there are no more of them than this */
};

typedef struct eq_group {
  int refs, order, identity, ngen, gen_room;
  bool abelian;
  uint16_t *mul;    /* order x order: mul[a * order + b] is a * b */
  uint16_t *inv;    /* order */
  uint16_t *period; /* order of each element */
  uint16_t *gen;    /* ngen generators */
  uint16_t *walk;   /* all elements, identity first, each after the one it is made from: */
  uint16_t *from;   /* a = from[a] * gen[via[a]]; of the identity: itself, 0 */
  uint16_t *via;
  char *names; /* order zero-terminated names, one after the other */
  uint32_t *name_at;
  size_t name_bytes, name_room;
  int named;                  /* how many names there are so far */
  char title[EQ_GROUP_TITLE]; /* "dihedral(4)" */
  int degree;                 /* > 0: elements are permutations of 0 .. degree-1, order x degree */
  int32_t *perm;              /* perm[a * degree + i] is where a sends i */
  int dim;                    /* > 0: elements are matrices, order x dim x dim */
  double *matrix;
  int nfactor; /* > 0: a direct product; the last factor counts fastest */
  struct eq_group **factor;
  struct eq_group *parent; /* of a subgroup: its group, and where each element lies in it */
  uint16_t *embed;
} eq_group;

/* ---- life (group.c). A constructor returns NULL after eq_fail or when memory is short. ---- */
eq_group *eq_group_retain(eq_group *g);
void eq_group_release(eq_group *g); /* g may be NULL */
/* An empty group with room for the tables; for constructors only. */
eq_group *eq_group_new(int order, int ngen, const char *fmt, ...) EQ_PRINTF(3, 4);
/* Appends the name of the next element. */
int eq_group_name(eq_group *g, const char *fmt, ...) EQ_PRINTF(2, 3);
int eq_group_name_cycles(eq_group *g); /* all elements, from perm; degree <= EQ_CYCLE_NAMES */
/* Given mul and gen: identity, inverses, periods, walk. Assumes a group unless `verify`, which
 * tests associativity (Light: only a generator in the middle). ngen 0 finds generators. */
int eq_group_finish(eq_group *g, bool verify);
/* Given gen and right[a * ngen + k] = a * gen[k]: fills mul, then finishes. */
int eq_group_finish_right(eq_group *g, const uint16_t *right, bool verify);

/* ---- questions ---- */
static inline int eq_group_mul(const eq_group *g, int a, int b) {
  return g->mul[(size_t)a * (size_t)g->order + (size_t)b];
}
static inline const char *eq_group_name_of(const eq_group *g, int a) {
  return g->names + g->name_at[a];
}
int eq_group_pow(const eq_group *g, int a, int64_t n);
int eq_group_find(const eq_group *g, const char *name); /* -1: no such element */
/* One object, or two with the same title, names and table: their elements may meet. */
bool eq_group_same(const eq_group *a, const eq_group *b);

/* ---- families (family.c) ---- */
eq_group *eq_group_cyclic(int n);
eq_group *eq_group_dihedral(int n);             /* order 2n: r^k, then s r^k */
eq_group *eq_group_symmetric(int n, bool even); /* even: the alternating group */
eq_group *eq_group_quaternion(void);
eq_group *eq_group_klein(void);
eq_group *eq_group_product(int n, eq_group *const *factor);
/* Pairs (n, h), (n1, h1)(n2, h2) = (n1 phi_h1(n2), h1 h2); phi[h * |N| + n], verified. */
eq_group *eq_group_semidirect(eq_group *n, eq_group *h, const int *phi);
/* Coordinate k of element a of a direct product, and back. */
int eq_group_part(const eq_group *g, int a, int k);

/* ---- user-made groups (generate.c) ---- */
eq_group *eq_group_from_table(int n, const int64_t *table);
/* ngen permutations of 0 .. degree-1; (a * b)(i) = a(b(i)). */
eq_group *eq_group_from_permutations(int ngen, int degree, const int32_t *perm, int limit);
/* ngen matrices dim x dim; equal within 1e-6 of the largest entry. */
eq_group *eq_group_from_matrices(int ngen, int dim, const double *matrix, int limit);

/* ---- subgroups (subgroup.c) ---- */
/* Marks in `in` (order bytes) what the n elements generate; returns the size. */
int eq_group_span(const eq_group *g, int n, const int *element, uint8_t *in);
eq_group *eq_group_subgroup(eq_group *g, int n, const int *element);
/* Few elements that generate the subgroup `in`; gen has room for EQ_MAXGEN. */
int eq_group_generators(const eq_group *g, const uint8_t *in, int *gen);
/* Every subgroup as order bytes of 0 and 1, by growing order; NULL on failure. Free the result
 * with eq_free(result, *count * order). */
uint8_t *eq_group_lattice(const eq_group *g, int *count);
/* Numbers 0 .. count-1 of the conjugacy class or coset of each element into `label`. */
int eq_group_classes(const eq_group *g, int *label);
int eq_group_cosets(const eq_group *g, const uint8_t *subgroup, bool left, int *label);
int eq_group_center(const eq_group *g, uint8_t *in); /* size; marks the members */
/* EQ_OK when map[a * b] = map[a] * map[b] for all a, b of g; EQ_ERR names the pair. */
int eq_group_check_map(const eq_group *g, const eq_group *to, const int *map);
#endif
