/* direct.h -- direct convolution with weights that were packed before, for models that are fused.
 *
 * direct.c computes forward and the gradient of the input, direct_weight.c that of the weights. */
#ifndef EQUI_CONV_DIRECT_H
#define EQUI_CONV_DIRECT_H
#include "../micro/micro.h"
#include "conv.h"

enum { EQ_DIRECT_TAPS = 16 }; /* at most, each way */

/* May direct.c compute g (f32, groups of enough channels, not too many taps)? */
bool eq_direct_can(const eq_conv *g);
/* Forward with packed weights: room for eq_direct_packed numbers, aligned to 64 bytes, which
 * depends on the sizes of the weights and on eq_micro() only. add: NULL, or an image laid out as y
 * that is added; relu comes last. */
int64_t eq_direct_packed(const eq_conv *g);
int eq_direct_pack(const eq_conv *g, float *packed);
int eq_direct_forward(const eq_conv *g, const float *packed, const float *add, bool relu);
int eq_direct_grad_weight(const eq_conv *g);

/* ---- shared by the two files ---- */
/* Source pixels that a grid of results reads: result (i, j) reads lines i * si + u[..] and pixels
 * j * sj + v[..], ascending, zero where the source ends. */
typedef struct direct_window {
  const float *x;
  int64_t image, row, pixel, h, w, c; /* c channels from x on */
  int64_t oh, ow, si, sj;
  int nu, nv;
  int64_t u[EQ_DIRECT_TAPS], v[EQ_DIRECT_TAPS];
} direct_window;
direct_window direct_window_of(const eq_conv *g); /* the forward pass; x of the first group */
/* Where the lines of a block are: element (line, pixel, channel) of the window at data +
 * line * row + pixel * pixel + channel, from the first that is read. */
typedef struct direct_lines {
  const float *data;
  int64_t row, pixel;
} direct_lines;
/* Is everything inside the source, and its rows not at a distance that defeats the caches? */
bool direct_in_place(const direct_window *w);
int64_t direct_room(const direct_window *w, int64_t lines); /* numbers that `lines` results need */
/* Result lines [from, to) of an image: in place, or copied to `room` with zeros around. */
direct_lines direct_take(const direct_window *w, bool in_place, int64_t image, int64_t from,
                         int64_t to, float *room);
/* Are the pixels of a line that belong to one result a single run of numbers? */
bool direct_is_run(const direct_window *w, const direct_lines *l);
#endif
