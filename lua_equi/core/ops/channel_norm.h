/* channel_norm.h -- what batch_norm.c and channel_norm.c share: one table of numbers per channel
 * says what y = scale (x - mean) + bias is made of. */
#ifndef EQ_CHANNEL_NORM
#define EQ_CHANNEL_NORM
#include "../equi.h"

/* x as rows of channels: x[r][c] is at r * stride + c. x itself where its strides say so (a range
 * of the channels of a wider tensor too), else a channels-last copy. A new reference. */
eq_tensor *eq_channel_rows(eq_tensor *x, int64_t *stride);

/* Mean and variance (divided by the count) of x [B, C, ..]; groups = 0: of every channel over the
 * batch, else of every image's groups of channels. mean and var: C numbers, or B * groups. */
int eq_channel_moments(eq_tensor *x, int64_t groups, double *mean, double *var);

/* Rows of the f64 table [4, B or 1, C] that channel_norm and its kin take. */
enum { EQ_NORM_MEAN, EQ_NORM_RSTD, EQ_NORM_SCALE, EQ_NORM_BIAS, EQ_NORM_ROWS };

/* The rule of channel_norm and its kin as a chain of ops, for gradients of gradients
 * (batch_norm.c): gy where the result is positive (seen: the result; NULL: it is computed again),
 * and gx from that.
 */
eq_tensor *eq_norm_mask(eq_call *c, eq_tensor *gy, const eq_tensor *seen);
int eq_norm_back(eq_call *c, eq_tensor *gy, eq_tensor **gx);
#endif
