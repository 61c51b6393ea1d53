/* winograd.h -- what winograd.c, winograd_grad.c and the transforms of winograd_tiles.c share.
 *
 * Lengths and strides are in elements. A place is one of the 36 numbers that a tile becomes in each
 * channel; `plane` is the distance between places, so each is a matrix [tiles x channels]. */
#ifndef EQ_WINOGRAD_H
#define EQ_WINOGRAD_H
#include "conv.h"
#include "../micro/micro.h"
#include <stdatomic.h>

/* ---- the transforms, for each instruction set ---- */
/* The part of a tile that lies inside of its image: rows top .. bottom - 1, columns left ..
 * right - 1 of the tile; x points at the first of these pixels. */
typedef struct winograd_tile {
  int64_t top, left, bottom, right;
  const float *x;
  int64_t rows, pixels; /* strides */
} winograd_tile;

typedef struct winograd_result {
  int bottom, right; /* how many of the 4 x 4 pixels exist */
  float *y;
  int64_t rows, pixels;
  const float *bias; /* NULL, or one number for each channel */
  const float *add;  /* NULL, or laid out like y */
  bool relu;
} winograd_result;

typedef struct winograd_set {
  /* A tile of 6 x 6 pixels, or of 4 x 4 gradients, in all channels. Vectors of channels go to v in
   * pairs, `pair` apart: twice a vector's length, or the distance of the panels of a product. */
  void (*input)(const winograd_tile *at, int64_t channels, float *v, int64_t plane, int64_t pair);
  void (*gradient)(const winograd_tile *at, int64_t channels, float *z, int64_t plane,
                   int64_t pair);
  /* Products of one tile, of `channels` numbers, into pixels. */
  void (*output)(const float *m, int64_t plane, int64_t channels, const winograd_result *to);
  /* 9 taps, `step` apart, of one or two vectors: `width` numbers. */
  void (*weights)(const float *taps, int64_t step, int64_t width, float *u, int64_t plane);
  /* The way back: `parts` sums of products, `part` apart, of one vector become its 9 taps. */
  void (*taps)(const float *m, int64_t plane, int64_t parts, int64_t part, float *taps);
} winograd_set;
const winograd_set *eq_winograd_set(void); /* that of the micro-kernel's set */

/* ---- shapes ---- */
enum {
  SIDE = 4, /* of a tile of outputs */
  SEEN = 6, /* of the input that it sees */
  PLACES = 36,
  TAPS = 9,
  WINOGRAD_WIDTH = EQ_MICRO_WIDTH,
  WINOGRAD_AHEAD = 2 /* tiles whose pixels are asked for in advance */
};
/* Channels in whole vectors; panels of two vectors, the last of one if that will do. */
static inline int64_t winograd_padded(int64_t n) {
  int64_t lanes = eq_micro()->lanes;
  return (n + lanes - 1) / lanes * lanes;
}
static inline int64_t winograd_panels(int64_t n) {
  return (n + eq_micro()->width - 1) / eq_micro()->width;
}
static inline int64_t winograd_panel(int64_t panel, int64_t n) {
  int64_t left = winograd_padded(n) - panel * eq_micro()->width;
  return left < eq_micro()->width ? left : eq_micro()->width;
}

/* From a matrix of a place to the next: an odd number of cache lines, or the 36 would share a set
 * of the caches, which hold 12 or 16 of those. */
static inline int64_t winograd_plane(int64_t rows, int64_t width) {
  enum { LINE = 16 };
  return (rows * width + LINE - 1) / LINE * LINE | LINE;
}

typedef struct winograd_grid {
  int64_t down, across, tiles; /* of an image; of all */
} winograd_grid;
winograd_grid winograd_grid_of(int64_t oh, int64_t ow, int64_t batch);
/* Where a tile is: its image, and its first result. */
typedef struct winograd_cursor {
  int64_t image, i, j;
} winograd_cursor;
winograd_cursor winograd_at(const winograd_grid *g, int64_t tile);
static inline void winograd_next(const winograd_grid *g, winograd_cursor *c) {
  if ((c->j += SIDE) < g->across * SIDE) return;
  c->j = 0;
  if ((c->i += SIDE) < g->down * SIDE) return;
  c->i = 0, c->image++;
}
winograd_tile winograd_cut(const eq_pixels *x, const winograd_cursor *c, int64_t top, int64_t left,
                           int side, int64_t h, int64_t w);
void winograd_fetch(const winograd_tile *at, int64_t channels, int64_t known);

/* ---- scratch memory: a slot for each thread, got before the parallel region ---- */
enum { WINOGRAD_SLOTS = 64 };
typedef struct winograd_slots {
  float *data;
  int n;
  int64_t each;
  atomic_flag taken[WINOGRAD_SLOTS];
} winograd_slots;
int winograd_slots_get(winograd_slots *s, int64_t pieces, int64_t each);
void winograd_slots_free(winograd_slots *s);
float *winograd_slot_take(winograd_slots *s, int *which);
void winograd_slot_leave(winograd_slots *s, int which);

/* ---- threads ---- */
enum { ALONE = 6000000 }; /* multiply-adds that one thread does in 50 us: fewer are not shared */
static inline bool winograd_spread(int64_t tiles, int64_t ci, int64_t co) {
  return PLACES * tiles * ci * co > ALONE;
}
int winograd_for(bool spread, int64_t n, int64_t grain, eq_range_fn fn, void *ctx);

/* ---- weights ---- */
typedef struct winograd_taps {
  const float *data;
  int64_t out, in, row, column; /* strides */
  bool packed; /* as direct.h packs them: panels of output channels, each [9, ci, width] */
} winograd_taps;

/* y = x * taps + bias + add, then relu. */
typedef struct winograd_problem {
  int64_t batch, ci, h, w, co, oh, ow, top, left;
  eq_pixels x, y;
  winograd_taps taps;
  const float *bias, *add;
  bool relu;
} winograd_problem;
int winograd_run(const winograd_problem *p);
int winograd_weight_pass(const eq_conv *g);

/* ---- for models whose weights do not change ---- */
bool eq_winograd_can(const eq_conv *g);
/* Is it faster than direct.c? packed: both with weights that were packed before. */
bool eq_winograd_pays(const eq_conv *g, eq_pass pass, bool packed);
/* eq_direct_forward with the same packed weights, which are transformed in each call: four times
 * as many numbers would take longer to read than these to transform. */
int eq_winograd_forward(const eq_conv *g, const float *packed, const float *add, bool relu);
#endif
