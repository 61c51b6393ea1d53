/* equitune.h -- the tensor half of equi-tuning: orbits out, results back, and how they combine.
 *
 * The model between the two is called by core/lua/equitune.c. Rows are stacked element by element:
 * row k * B + b of an orbit is element from + k applied to row b. Every function returns a new
 * reference, or NULL after eq_fail; an action that is NULL moves nothing. */
#ifndef EQ_EQUITUNE_H
#define EQ_EQUITUNE_H
#include "action.h"

/* x [B, ...] -> [n * B, ...]: n elements, counted from `from`, applied one after the other. */
eq_tensor *eq_orbit_out(const eq_action *a, int from, int n, eq_tensor *x);
/* What came back from the model for n stacked elements of `rows` rows each; what: "result". */
int eq_orbit_check(const eq_tensor *y, int n, int64_t rows, const char *what);
/* Scores s for a result y of the model: [n * rows], [n * rows, 1], or the first dims of y. EQ_ERR
 * without a sentence when they have another shape. */
int eq_orbit_check_scores(const eq_action *a, const eq_tensor *s, const eq_tensor *y);
/* Block k of y [n * rows, ...], moved back by the inverse of element g: [rows, ...]. */
eq_tensor *eq_orbit_branch(const eq_action *a, int g, eq_tensor *y, int k, int64_t rows);
/* All branches of y, stacked: [n, rows, ...]. */
eq_tensor *eq_orbit_back(const eq_action *a, int from, int n, eq_tensor *y, int64_t rows);
/* sum + block k of y moved back by element g, times its row of w [G, rows, ...]. sum and w may be
 * NULL; a sum that nobody else holds is written over, as the last thing that can fail. Branches are
 * added in the order of the elements, so that it does not matter how many come at a time. Sums of
 * more than two f32 branches, of `order`, are f64: then it does not matter either, but for one bit
 * in 2^29, which element is first, and first is whatever happens to be the input. */
eq_tensor *eq_orbit_add(const eq_action *a, int order, int g, eq_tensor *y, int k, int64_t rows,
                        eq_tensor *w, eq_tensor *sum);

/* y / d for a sum over the group, in the dtype t of the branches. */
eq_tensor *eq_combine_divide(eq_tensor *y, double d, eq_dtype t);
/* y [B, ...] / the sum of w [G, B, ...], in the dtype t. */
eq_tensor *eq_combine_normalise(eq_tensor *y, eq_tensor *w, eq_dtype t);
/* Branches y [G, B, ...] weighted by w [G, B, ...], whose dims are the first ones of y, and divided
 * by the sum of w; softmax: of w, along the group. */
eq_tensor *eq_combine_weighted(eq_tensor *y, eq_tensor *w, bool softmax);
/* softmax of w [G, B, ...] along the group. */
eq_tensor *eq_combine_softmax(eq_tensor *w);
/* No weight is negative, and none of the rows has weights of 0 only. */
int eq_combine_check_weights(const eq_tensor *w);
/* y [G, B, ...], score [G, B, ...], whose dims are the first ones of y: the y of the highest score,
 * forward; the gradient of the mean, backward. Scores that differ from the highest by up to tol
 * times its size share the place. */
eq_tensor *eq_combine_best(eq_tensor *y, eq_tensor *score, double tol);
/* Along the last dim: `own` where general is true, elsewhere the mean. */
eq_tensor *eq_combine_relaxed(eq_tensor *mean, eq_tensor *own, eq_tensor *general);

/* Canonicalization and frames. number (i64, from 1) names one element h per row, [B], or F of them,
 * [B, F]. out: x [B, ...] -> [F * B, ...], row f * B + b is h^-1 x_b. back: y [F * B, ...] -> the
 * mean over f of h y, [B, ...]. */
int eq_pick_check(const eq_group *g, const eq_tensor *number, int64_t rows);
eq_tensor *eq_pick_out(const eq_action *a, const eq_tensor *number, eq_tensor *x);
eq_tensor *eq_pick_back(const eq_action *a, const eq_tensor *number, eq_tensor *y);
#endif
