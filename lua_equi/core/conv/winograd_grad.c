/* winograd_grad.c -- gradient of the weights of a 3 x 3 convolution, in 36 products for 16 pixels.
 *
 *   gw[o, c, u, v] = sum over pixels of gy[o, i, j] x[c, i + u - top, j + v - left]
 *
 * On a tile of 4 x 4 gradients that is F(3x3,4x4): the input is transformed as on the way forward,
 * the gradients as if they were the taps, and each place is a product [C x tiles] with
 * [tiles x O]. These are summed over all tiles and go back to 3 x 3 taps once, at the end.
 *
 * The sums are four times as large as the weights, hence three ways. Few tiles: all are transformed
 * first, then each thread takes some channels through to their taps, and the sums of all never
 * exist. Few channels: the tiles are cut into parts with sums of their own, a thread goes through a
 * part alone, and what it made stays in its cache. Else all threads work on one block of tiles
 * after another. Which way, and the order of every sum, depends on sizes only. */
#include "winograd.h"
#include <string.h>

enum {
  WHOLE_BYTES = 24 << 20,  /* all transformed tiles, when these are few */
  CHUNK = 112,             /* input channels that a thread takes at a time then */
  PART_BYTES = 1 << 20,    /* sums of a part; larger ones are not made twice */
  PARTS = 8,               /* at most */
  PART_TILES = 128,        /* fewest tiles that are worth sums of their own */
  BLOCK_BYTES = 768 << 10, /* transformed tiles of a block of a part, */
  ROUND_BYTES = 24 << 20,  /* and of one of all threads: the sums are read and written for each */
  FEWEST = 32              /* tiles of a block, for the same reason */
};

typedef struct backward {
  const eq_conv *g;
  winograd_grid grid;
  bool spread;                /* over threads */
  int64_t block, parts, part; /* tiles of a block; parts, and tiles of each */
  int64_t vrow, vplane, zpanel, zplane;
  float *sums;          /* [parts, 36, ci, padded co] */
  winograd_slots slots; /* transformed tiles, or sums of a chunk with a panel */
} backward;

/* A block of tiles on its way: transformed input v and gradients z. */
typedef struct block {
  backward *f;
  int64_t from, tiles;
  float *v, *z, *sums;
  bool first;
} block;

static void transform(int64_t begin, int64_t end, void *ctx) {
  const block *b = ctx;
  const backward *f = b->f;
  const eq_conv *g = f->g;
  int64_t width = eq_micro()->width;
  winograd_cursor at = winograd_at(&f->grid, b->from + begin), soon = at;
  int64_t t = begin, ahead = begin;
  for (; t < end; t++, winograd_next(&f->grid, &at)) {
    for (; ahead < t + WINOGRAD_AHEAD && ahead < end; ahead++, winograd_next(&f->grid, &soon)) {
      winograd_tile x = winograd_cut(&g->x, &soon, g->top, g->left, SEEN, g->h, g->w);
      winograd_tile y = winograd_cut(&g->y, &soon, 0, 0, SIDE, g->oh, g->ow);
      winograd_fetch(&x, g->ci, soon.j > 0 ? 2 : 0);
      winograd_fetch(&y, g->co, 0);
    }
    winograd_tile x = winograd_cut(&g->x, &at, g->top, g->left, SEEN, g->h, g->w);
    winograd_tile y = winograd_cut(&g->y, &at, 0, 0, SIDE, g->oh, g->ow);
    eq_winograd_set()->input(&x, g->ci, b->v + t * f->vrow, f->vplane, width);
    eq_winograd_set()->gradient(&y, g->co, b->z + t * width, f->zplane, f->zpanel);
  }
}

/* Products of a place, of n channels from c on with a panel of outputs, to sums. */
static void multiply(const block *b, int place, int64_t c, int64_t n, int64_t panel, float *sums,
                     int64_t row, bool first) {
  const backward *f = b->f;
  eq_micro_job job = {.a = b->v + place * f->vplane + c,
                      .rows = n,
                      .ars = 1,
                      .acs = f->vrow,
                      .k = b->tiles,
                      .runs = 1,
                      .b = b->z + place * f->zplane + panel * f->zpanel,
                      .bs = eq_micro()->width,
                      .c = sums,
                      .cols = winograd_panel(panel, f->g->co),
                      .crs = row,
                      .add = first ? NULL : sums,
                      .ads = row};
  eq_micro()->run(&job);
}

/* Sums of n channels from c on, and of outputs from o to `end`, become taps. */
static void finish(const backward *f, const float *sums, int64_t row, int64_t plane, int64_t part,
                   int64_t c, int64_t n, int64_t o, int64_t end) {
  float taps[TAPS * WINOGRAD_WIDTH] __attribute__((aligned(64)));
  const eq_conv *g = f->g;
  int64_t lanes = eq_micro()->lanes;
  for (int64_t first = o; first < end; first += lanes)
    for (int64_t i = 0; i < n; i++) {
      int64_t real = end - first < lanes ? end - first : lanes;
      float *w = (float *)(void *)g->weight->data + (first * g->ci + c + i) * TAPS;
      eq_winograd_set()->taps(sums + i * row + first - o, plane, f->parts, part, taps);
      for (int64_t k = 0; k < real; k++, w += g->ci * TAPS)
        for (int t = 0; t < TAPS; t++) w[t] = taps[t * lanes + k];
    }
}

/* ---- few tiles: units are a chunk of input channels and a panel of outputs ---- */
static void whole_units(int64_t begin, int64_t end, void *ctx) {
  const block *b = ctx;
  const eq_conv *g = b->f->g;
  int slot;
  float *sums = winograd_slot_take(&b->f->slots, &slot);
  int64_t panels = winograd_panels(g->co), width = eq_micro()->width,
          plane = winograd_plane(CHUNK, width);
  for (int64_t unit = begin; unit < end; unit++) {
    int64_t c = unit / panels * CHUNK, q = unit % panels, o = q * width;
    int64_t n = g->ci - c < CHUNK ? g->ci - c : CHUNK;
    for (int place = 0; place < PLACES; place++)
      multiply(b, place, c, n, q, sums + place * plane, width, true);
    finish(b->f, sums, width, plane, 0, c, n, o, o + width < g->co ? o + width : g->co);
  }
  winograd_slot_leave(&b->f->slots, slot);
}
static int run_whole(backward *f) {
  int64_t units = (f->g->ci + CHUNK - 1) / CHUNK * winograd_panels(f->g->co);
  size_t bytes = (size_t)(PLACES * (f->vplane + f->zplane)) * sizeof(float);
  int bad = winograd_slots_get(&f->slots, units, PLACES * winograd_plane(CHUNK, eq_micro()->width));
  if (bad) return bad;
  block b = {.f = f, .tiles = f->grid.tiles, .v = eq_alloc(bytes)};
  bad = b.v ? EQ_OK : eq_error.status;
  b.z = b.v + PLACES * f->vplane;
  if (!bad) bad = winograd_for(f->spread, b.tiles, 4, transform, &b);
  if (!bad) bad = winograd_for(f->spread, units, 1, whole_units, &b);
  eq_free(b.v, bytes);
  winograd_slots_free(&f->slots);
  return bad;
}

/* ---- many tiles: units are a place and a panel ---- */
static void block_units(int64_t begin, int64_t end, void *ctx) {
  const block *b = ctx;
  int64_t panels = winograd_panels(b->f->g->co), co = winograd_padded(b->f->g->co);
  int64_t ci = b->f->g->ci, width = eq_micro()->width;
  for (int64_t unit = begin; unit < end; unit++) {
    int64_t place = unit / panels, q = unit % panels;
    multiply(b, (int)place, 0, ci, q, b->sums + place * winograd_plane(ci, co) + q * width, co,
             b->first);
  }
}
/* All blocks of a part. alone: by this thread. */
static int run_part(backward *f, int64_t part, bool alone, float *scratch) {
  const eq_conv *g = f->g;
  int64_t last = (part + 1) * f->part, units = PLACES * winograd_panels(g->co);
  if (last > f->grid.tiles) last = f->grid.tiles;
  block b = {.f = f, .v = scratch, .z = scratch + PLACES * f->vplane, .first = true};
  b.sums = f->sums + part * PLACES * winograd_plane(g->ci, winograd_padded(g->co));
  for (b.from = part * f->part; b.from < last; b.from += f->block, b.first = false) {
    int bad;
    b.tiles = last - b.from < f->block ? last - b.from : f->block;
    if (alone) {
      transform(0, b.tiles, &b);
      block_units(0, units, &b);
    } else if ((bad = winograd_for(f->spread, b.tiles, 4, transform, &b)) ||
               (bad = winograd_for(f->spread, units, 4, block_units, &b))) {
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
static void finish_channels(int64_t begin, int64_t end, void *ctx) {
  const backward *f = ctx;
  int64_t co = winograd_padded(f->g->co), plane = winograd_plane(f->g->ci, co);
  finish(f, f->sums + begin * co, co, plane, PLACES * plane, begin, end - begin, 0, f->g->co);
}
static int run_blocks(backward *f) {
  size_t bytes = (size_t)(f->parts * PLACES * winograd_plane(f->g->ci, winograd_padded(f->g->co))) *
                 sizeof(float);
  int bad = winograd_slots_get(&f->slots, f->parts, PLACES * (f->vplane + f->zplane));
  if (bad) return bad;
  f->sums = eq_alloc(bytes);
  bad = f->sums ? EQ_OK : eq_error.status;
  if (!bad)
    bad = f->parts > 1 ? winograd_for(f->spread, f->parts, 1, run_parts, f)
                       : run_part(f, 0, false, f->slots.data);
  if (!bad) bad = winograd_for(f->spread, f->g->ci, 16, finish_channels, f);
  eq_free(f->sums, bytes);
  winograd_slots_free(&f->slots);
  return bad;
}

int winograd_weight_pass(const eq_conv *g) {
  backward f = {.g = g, .grid = winograd_grid_of(g->oh, g->ow, g->batch)};
  int64_t tiles = f.grid.tiles, width = eq_micro()->width, panels = winograd_panels(g->co);
  f.vrow = winograd_padded(g->ci);
  int64_t each = PLACES * (f.vrow + panels * width) * (int64_t)sizeof(float); /* bytes of a tile */
  int64_t sums = PLACES * g->ci * winograd_padded(g->co) * (int64_t)sizeof(float);
  f.parts = sums > PART_BYTES ? 1 : tiles / PART_TILES;
  f.parts = f.parts > PARTS ? PARTS : f.parts < 1 ? 1 : f.parts;
  f.part = (tiles + f.parts - 1) / f.parts;
  f.parts = (tiles + f.part - 1) / f.part; /* none is empty */
  bool whole = f.parts == 1 && tiles * each <= WHOLE_BYTES;
  f.block = whole ? tiles : (f.parts > 1 ? BLOCK_BYTES : ROUND_BYTES) / each;
  if (f.block < FEWEST) f.block = FEWEST;
  int64_t blocks = (f.part + f.block - 1) / f.block;
  f.block = (f.part + blocks - 1) / blocks; /* of nearly one size */
  f.vplane = winograd_plane(f.block, f.vrow);
  f.zpanel = f.block * width;
  f.zplane = winograd_plane(panels, f.zpanel);
  f.spread = winograd_spread(tiles, g->ci, g->co);
  return whole ? run_whole(&f) : run_blocks(&f);
}
