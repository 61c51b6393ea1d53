/* winograd_grad.c -- gradient of the weights of a 3 x 3 convolution, in 36 products for 16 pixels.
 *
 *   gw[o, c, u, v] = sum over pixels of gy[o, i, j] x[c, i + u - top, j + v - left]
 *
 * On a tile of 4 x 4 gradients that is F(3x3,4x4): the input is transformed as on the way forward,
 * the gradients as if they were the taps, and each place is a product [C x tiles] with
 * [tiles x O]. These are summed over all tiles and go back to 3 x 3 taps once, at the end.
 *
 * The sums of many channels are large: all threads work on one block of tiles after another. Those
 * of few channels are small: the tiles are cut into parts with sums of their own, a thread goes
 * through a part alone, and what it made stays in its cache. The parts depend on sizes only. */
#include "winograd.h"
#include <string.h>

enum {
  PART_BYTES = 1 << 20, /* sums of a part; larger ones are not made twice */
  PARTS = 8,
  PART_TILES = 128,        /* fewest tiles that are worth sums of their own */
  BLOCK_BYTES = 768 << 10, /* transformed tiles of a part, */
  ROUND_BYTES = 6 << 20,   /* and of all threads together */
  FEWEST = 32              /* tiles of a block: the sums are read and written for each */
};

typedef struct backward {
  const eq_conv *g;
  winograd_grid grid;
  bool spread;                /* over threads */
  int64_t block, parts, part; /* tiles of a block; parts, and tiles of each */
  int64_t vrow, vplane, zpanel, zplane;
  float *sums; /* [parts, 36, ci, padded co] */
  winograd_slots slots;
} backward;

/* A block of tiles on its way: transformed input v and gradients z. */
typedef struct block {
  const backward *f;
  int64_t from, tiles;
  float *v, *z, *sums;
  bool first;
} block;

static void transform(int64_t begin, int64_t end, void *ctx) {
  const block *b = ctx;
  const backward *f = b->f;
  const eq_conv *g = f->g;
  int64_t each = f->grid.down * f->grid.across, width = eq_micro()->width;
  for (int64_t t = begin; t < end; t++) {
    int64_t at = b->from + t, image = at / each;
    int64_t i = at % each / f->grid.across * SIDE, j = at % f->grid.across * SIDE;
    winograd_tile x = winograd_cut(&g->x, image, i - g->top, j - g->left, SEEN, g->h, g->w);
    winograd_tile y = winograd_cut(&g->y, image, i, j, SIDE, g->oh, g->ow);
    eq_winograd_set()->input(&x, g->ci, b->v + t * f->vrow, f->vplane, width);
    eq_winograd_set()->gradient(&y, g->co, b->z + t * width, f->zplane, f->zpanel);
  }
}

/* Product of a place with a panel of output channels; a unit is one of both. */
static void multiply(int64_t begin, int64_t end, void *ctx) {
  const block *b = ctx;
  const backward *f = b->f;
  int64_t panels = winograd_panels(f->g->co), co = winograd_padded(f->g->co), ci = f->g->ci;
  for (int64_t unit = begin; unit < end; unit++) {
    int64_t place = unit / panels, q = unit % panels;
    float *sums = b->sums + place * ci * co + q * eq_micro()->width;
    eq_micro_job job = {.a = b->v + place * f->vplane,
                        .rows = ci,
                        .ars = 1,
                        .acs = f->vrow,
                        .k = b->tiles,
                        .runs = 1,
                        .b = b->z + place * f->zplane + q * f->zpanel,
                        .bs = eq_micro()->width,
                        .c = sums,
                        .cols = winograd_panel(q, f->g->co),
                        .crs = co,
                        .add = b->first ? NULL : sums,
                        .ads = co};
    eq_micro()->run(&job);
  }
}

/* All blocks of a part. alone: by this thread. */
static int run_part(const backward *f, int64_t part, bool alone, float *scratch) {
  const eq_conv *g = f->g;
  int64_t last = (part + 1) * f->part, panels = winograd_panels(g->co);
  if (last > f->grid.tiles) last = f->grid.tiles;
  block b = {.f = f, .v = scratch, .z = scratch + PLACES * f->vplane, .first = true};
  b.sums = f->sums + part * PLACES * g->ci * winograd_padded(g->co);
  for (b.from = part * f->part; b.from < last; b.from += f->block, b.first = false) {
    int bad;
    b.tiles = last - b.from < f->block ? last - b.from : f->block;
    if (alone) {
      transform(0, b.tiles, &b);
      multiply(0, PLACES * panels, &b);
    } else if ((bad = winograd_for(f->spread, b.tiles, 4, transform, &b)) ||
               (bad = winograd_for(f->spread, PLACES * panels, 4, multiply, &b))) {
      return bad;
    }
  }
  return EQ_OK;
}
static void run_parts(int64_t begin, int64_t end, void *ctx) {
  backward *f = ctx;
  int slot;
  float *scratch = winograd_slot_take(&f->slots, &slot);
  for (int64_t part = begin; part < end; part++) (void)run_part(f, part, true, scratch);
  winograd_slot_leave(&f->slots, slot);
}

/* The sums of some input channels become taps. */
static void finish(int64_t begin, int64_t end, void *ctx) {
  const backward *f = ctx;
  const eq_conv *g = f->g;
  float taps[TAPS * WINOGRAD_WIDTH] __attribute__((aligned(64)));
  float *w = (float *)(void *)g->weight->data;
  int64_t co = winograd_padded(g->co), lanes = eq_micro()->lanes, plane = g->ci * co;
  for (int64_t o = 0; o < g->co; o += lanes)
    for (int64_t c = begin; c < end; c++) {
      int64_t n = g->co - o < lanes ? g->co - o : lanes;
      eq_winograd_set()->taps(f->sums + c * co + o, plane, f->parts, PLACES * plane, taps);
      for (int64_t k = 0; k < n; k++)
        for (int i = 0; i < TAPS; i++) w[((o + k) * g->ci + c) * TAPS + i] = taps[i * lanes + k];
    }
}

/* Parts and blocks, from the sizes alone. */
static void plan(backward *f) {
  const eq_conv *g = f->g;
  int64_t tiles = f->grid.tiles, width = eq_micro()->width, panels = winograd_panels(g->co);
  int64_t bytes = PLACES * g->ci * winograd_padded(g->co) * (int64_t)sizeof(float);
  f->vrow = winograd_padded(g->ci);
  f->parts = bytes > PART_BYTES ? 1 : tiles / PART_TILES;
  f->parts = f->parts > PARTS ? PARTS : f->parts < 1 ? 1 : f->parts;
  f->part = (tiles + f->parts - 1) / f->parts;
  f->parts = (tiles + f->part - 1) / f->part; /* none is empty */
  f->block = (f->parts > 1 ? BLOCK_BYTES : ROUND_BYTES) /
             (PLACES * (f->vrow + panels * width) * (int64_t)sizeof(float));
  if (f->block < FEWEST) f->block = FEWEST;
  int64_t blocks = (f->part + f->block - 1) / f->block;
  f->block = (f->part + blocks - 1) / blocks; /* of nearly one size */
  f->vplane = f->block * f->vrow | 16;
  f->zpanel = f->block * width;
  f->zplane = panels * f->zpanel | 16;
}

int winograd_weight_pass(const eq_conv *g) {
  backward f = {.g = g, .grid = winograd_grid_of(g->oh, g->ow, g->batch)};
  f.spread = winograd_spread(f.grid.tiles, g->ci, g->co);
  plan(&f);
  size_t bytes = (size_t)(f.parts * PLACES * g->ci * winograd_padded(g->co)) * sizeof(float);
  int bad = winograd_slots_get(&f.slots, f.parts, PLACES * (f.vplane + f.zplane));
  if (bad) return bad;
  f.sums = eq_alloc(bytes);
  bad = f.sums ? EQ_OK : eq_error.status;
  if (!bad)
    bad = f.parts > 1 ? winograd_for(f.spread, f.parts, 1, run_parts, &f)
                      : run_part(&f, 0, false, f.slots.data);
  if (!bad) bad = winograd_for(f.spread, g->ci, 16, finish, &f);
  eq_free(f.sums, bytes);
  winograd_slots_free(&f.slots);
  return bad;
}
