/* action.h -- how a group moves one kind of tensor.
 *
 * An eq_action is immutable and counted by references. g (h x) = (g h) x is verified when it is
 * made. Every move runs through ops, so it is differentiable where its input is. */
#ifndef EQ_ACTION_H
#define EQ_ACTION_H
#include "group.h"

typedef enum {
  EQ_ACT_TRIVIAL,
  EQ_ACT_AXIS,   /* permutes a dim */
  EQ_ACT_IDS,    /* maps the values of an i64 tensor */
  EQ_ACT_MATRIX, /* multiplies along a dim */
  EQ_ACT_GRID,   /* turns and flips two dims */
  EQ_ACT_CHAIN   /* several actions, the last one first, each behind a map of elements */
} eq_action_kind;

typedef struct eq_action {
  int refs;
  eq_action_kind kind;
  bool exact; /* equality up to rounding is to be expected */
  eq_group *group;
  int dim, dim2;      /* from 0, or negative from the end */
  int64_t size;       /* along dim; 0: any */
  eq_tensor *table;   /* i64 order x size (from 1) or f64 order x size x size */
  eq_tensor *table32; /* the matrices in f32 */
  eq_group *square;   /* grid: dihedral(4) */
  int *map;           /* grid: the move of each element, as an element of it */
  int npart;
  struct eq_action **part;
  int **part_map; /* element of the group -> element of the part's group */
} eq_action;

eq_action *eq_action_retain(eq_action *a);
void eq_action_release(eq_action *a); /* a may be NULL */

/* Constructors: NULL after eq_fail. n is the number of maps: one per generator, or one per element
 * of the group. The maps of a generator are extended along the group and verified. */
eq_action *eq_action_trivial(eq_group *g, int dim, int64_t size);
eq_action *eq_action_permutation(eq_group *g, eq_action_kind kind, int dim, int64_t size, int n,
                                 const int64_t *to); /* n x size, from 0 */
eq_action *eq_action_regular(eq_group *g, int dim);
eq_action *eq_action_matrices(eq_group *g, int dim, int64_t size, int n, const double *m);
eq_action *eq_action_grid(eq_group *g, int dim1, int dim2, int n, const int *move);
/* Blocks side by side along the dim of the first part; all of one group, along one dim. */
eq_action *eq_action_sum(int n, eq_action *const *part);
/* Actions of one group one after the other; they must commute, which is verified on a sample. */
eq_action *eq_action_chain(eq_group *g, int n, eq_action *const *part, int *const *map);
/* Part k moves by coordinate k of the direct product. */
eq_action *eq_action_product(eq_group *product, int n, eq_action *const *part);
eq_action *eq_action_restrict(eq_action *a, eq_group *subgroup);

eq_tensor *eq_action_apply(const eq_action *a, int g, eq_tensor *x); /* a new reference */
eq_tensor *eq_action_orbit(const eq_action *a, eq_tensor *x); /* stacked on a new first dim */
/* A random tensor the action can move; dtype f64, or i64 for ids. */
eq_tensor *eq_action_sample(const eq_action *a);
/* Identity, and g (h x) = (g h) x: on all pairs, or with the generators only in h's place. */
int eq_action_verify(const eq_action *a, eq_tensor *x, bool all_pairs);
bool eq_action_moves_ids(const eq_action *a);
#endif
