/* equitune.h -- the tensor half of equi-tuning: orbits out, results back, and how they combine.
 *
 * The model between the two is called by core/lua/equitune.c. Rows are stacked element by element:
 * row k * B + b of an orbit is element k applied to row b. */
#ifndef EQ_EQUITUNE_H
#define EQ_EQUITUNE_H
#include "action.h"

/* x [B, ...] -> [n * B, ...]: the n elements applied, one after the other. a NULL: repeated. */
eq_tensor *eq_orbit_out(const eq_action *a, int n, const int *element, eq_tensor *x);
/* y [n * B, ...] -> [n, B, ...]: block k moved back by the inverse of element k. */
eq_tensor *eq_orbit_back(const eq_action *a, int n, const int *element, eq_tensor *y);

/* y [G, B, ...] -> [B, ...] */
eq_tensor *eq_combine_mean(eq_tensor *y);
/* w [G, B], not negative: sum of w y / sum of w. */
eq_tensor *eq_combine_weighted(eq_tensor *y, eq_tensor *w);
/* score [G, B]: the y of the highest score, forward; the gradient of the mean, backward. Elements
 * whose scores differ from the highest by less than tol times its size share the place. */
eq_tensor *eq_combine_best(eq_tensor *y, eq_tensor *score, double tol);
/* Along the last dim: where general is true the identity's branch, elsewhere the mean. */
eq_tensor *eq_combine_relaxed(eq_tensor *y, eq_tensor *general, int identity);
/* Element number[b] (from 1) applied to row b; inverse: its inverse. */
eq_tensor *eq_act_by_row(const eq_action *a, eq_tensor *x, eq_tensor *number, bool inverse);
#endif
