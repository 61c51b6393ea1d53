/* taps.h -- images whose pixels are sums of other pixels: means over windows, interpolation,
 * borders.
 *
 * A tap says that source `from` goes into a target with a weight. Taps of rows and of columns are
 * separate: pixel (i, j) of the result is the sum over the taps a of row i and b of column j of
 * weight a weight b x[from a, from b], divided by the divisors of i and j. Backwards the same runs
 * with the taps turned around. */
#ifndef EQUI_TAPS_H
#define EQUI_TAPS_H
#include "equi.h"

typedef struct eq_taps {
  int64_t n, count, open; /* targets; taps so far; one more than the target begun last */
  int64_t *first; /* n + 1: the taps of target i are those from first[i] to first[i + 1] - 1 */
  int64_t *from, *place; /* source, and its number in the target's window */
  double *weight, *divisor;
  void *block;
  size_t bytes;
} eq_taps;

/* Room for n targets with `most` taps together. Nothing to free after a failure. */
int eq_taps_new(eq_taps *t, int64_t n, int64_t most);
void eq_taps_free(eq_taps *t); /* also of a zeroed struct */
/* Targets are begun in order, eq_taps_add gives taps to the one begun last. */
void eq_taps_begin(eq_taps *t, int64_t target, double divisor);
void eq_taps_add(eq_taps *t, int64_t from, int64_t place, double weight);
/* b: sources become targets; divisors go into the weights. */
int eq_taps_turn(const eq_taps *a, int64_t sources, eq_taps *b);
/* Windows of n places, m of them: `kernel` places `dilation` apart, `stride` from window to window,
 * the first `pad` before x; kernel 0: windows that cover everything evenly. Divisors are 1. */
int eq_taps_windows(eq_taps *t, int64_t n, int64_t m, int64_t kernel, int64_t stride, int64_t pad,
                    int64_t dilation);
int64_t eq_window_width(int64_t n, int64_t m, int64_t kernel); /* places of the widest */
/* y from x, both dense channels-last, rows->n x cols->n and h x w pixels of `channels` numbers. */
int eq_taps_run(const eq_taps *rows, const eq_taps *cols, const eq_tensor *x, int64_t h, int64_t w,
                eq_tensor *y);
/* How borders are made; which entry (from 0) of n stands at place i of an endless row of them. */
enum { EQ_CONSTANT, EQ_REFLECT, EQ_REPLICATE, EQ_CIRCULAR };
int64_t eq_border(int mode, int64_t i, int64_t n);
/* The list for one axis of the op "resample": the kind, the places of x, those of the result, then
 *   EQ_WINDOW: kernel (0: windows that cover everything evenly), stride, padding, whether padded
 *     places count, what to divide by (0: the places that count)
 *   EQ_BORDER: mode, places before
 * Its arguments: x, rows, cols, ratio of rows, of columns, whether the taps are turned around. */
enum { EQ_WINDOW, EQ_NEAREST, EQ_LINEAR, EQ_CORNERS, EQ_BORDER };
#endif
