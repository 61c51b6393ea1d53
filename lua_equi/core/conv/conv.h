/* conv.h -- one convolution, as every way to compute it sees it.
 *
 *   y[b, o, i, j] = bias[o] + sum over c, u, v of w[o, c, u, v] x[b, c', i sh - top + u dh, ...]
 *
 * with c' = c + (group of o) * ci / groups, and 0 where x ends. The two gradients of that are
 * passes of the same geometry. A way to compute is one row of the table in conv.c. */
#ifndef EQUI_CONV_H
#define EQUI_CONV_H
#include "../equi.h"

/* Images with their channels next to each other: element (b, c, i, j) lies at
 * b * image + i * row + j * pixel + c, in elements. */
typedef struct eq_pixels {
  char *data;
  int64_t image, row, pixel;
} eq_pixels;

/* Sizes are those of the forward pass, whatever pass it is. Images in: ci x h x w; out: co x oh x
 * ow. The padding may be negative (it cuts); what reaches over the right and the bottom is in oh
 * and ow already: whether x[.., i, j] exists is all that a kernel asks. */
typedef struct eq_conv {
  eq_dtype dtype;
  int64_t batch, groups, ci, h, w, co, oh, ow;
  int64_t kh, kw, sh, sw, dh, dw, top, left, bottom, right;
  eq_pixels x;       /* any row and image strides, pixel >= ci; as a result dense */
  eq_pixels y;       /* dense: pixel = co, row = ow * co, image = oh * ow * co */
  eq_tensor *weight; /* [co, ci / groups, kh, kw], any strides; as a result row-major */
  const void *bias;  /* co numbers, or NULL; forward only */
} eq_conv;

/* FORWARD writes y; GRAD_INPUT writes x from y and weight; GRAD_WEIGHT writes weight from x, y.
 * Results hold anything before. No size is 0. */
typedef enum { EQ_CONV_FORWARD, EQ_CONV_GRAD_INPUT, EQ_CONV_GRAD_WEIGHT, EQ_CONV_PASSES } eq_pass;
typedef enum { EQ_CONV_CANNOT, EQ_CONV_CAN, EQ_CONV_GOOD } eq_fitness;
typedef struct eq_conv_path {
  const char *name;
  eq_fitness (*can)(const eq_conv *g, eq_pass pass); /* GOOD: faster here than the rows behind */
  int (*run[EQ_CONV_PASSES])(const eq_conv *g);      /* a status */
} eq_conv_path;

/* Runs the first path that is GOOD, or the forced one where it can. */
int eq_conv_run(const eq_conv *g, eq_pass pass);
/* Forward into y, then + add (NULL, or laid out as y) and relu (fused.c). *packed: the weights as
 * an earlier call left them, or NULL; replaced where the path wants others. */
int eq_conv_fused(const eq_conv *g, eq_tensor **packed, eq_tensor *y, eq_tensor *add, bool relu);
int eq_conv_finish(eq_tensor *y, eq_tensor *add, bool relu); /* only what follows */
const eq_conv_path *eq_conv_path_at(int i);                  /* NULL past the last */
enum { EQ_CONV_AUTO = -1, EQ_CONV_EXACT = -2 }; /* EXACT: without Winograd's products */
extern int eq_conv_forced;                      /* number of a path, or one of these */
extern int64_t eq_conv_ran[][EQ_CONV_PASSES];   /* how often each path ran each pass */

extern const eq_conv_path eq_conv_winograd, eq_conv_depthwise, eq_conv_direct, eq_conv_lowered;
#endif
