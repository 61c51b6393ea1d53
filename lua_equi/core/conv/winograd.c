/* winograd.c -- convolution with 3 x 3 taps, stride 1, in 36 products for 16 pixels instead of 144.
 *
 * The image is cut into tiles of 4 x 4 output pixels. Each sees 6 x 6 input pixels; these, and the
 * taps, are transformed (winograd_tiles.c), multiplied place by place (36 products of [tiles x C]
 * with [C x O], by the micro-kernel), and transformed back. The gradient of the input is the same
 * with the taps turned over.
 *
 * Two ways through the work, so that what is used again stays in a cache. By tiles: a block of
 * tiles is transformed, multiplied with all weights, and finished, by one thread. By panels, for
 * many channels: the threads transform many tiles together, then each takes a panel of output
 * channels and transforms its weights on the way, so that they never leave the cache. Transformed
 * weights are not kept between calls: they are four times as many, and reading them from memory
 * takes longer than making them (512 to 512 channels: 37.7 MB against 9.4 MB).
 * The order of a sum depends on the number of channels alone.
 * NOT here: the gradient of the weights (winograd_grad.c); when all this pays (can, at the end). */
#include "winograd.h"
#include <stdatomic.h>
#include <string.h>

enum {
  CHUNK = 16,              /* input channels whose taps are gathered at a time */
  BLOCK_BYTES = 640 << 10, /* transformed input of a block of tiles: over half of a 1 MiB cache */
  ROUND_BYTES = 12 << 20,  /* and of all tiles of a round by panels */
  BY_PANELS = 256,         /* input channels from which a block would be too few tiles */
  DEPTH = 128,             /* input channels whose transformed weights stay in that cache */
  TILES = 56               /* most tiles of a block: four blocks of rows of the micro-kernel */
};

extern const winograd_set eq_winograd_base;

#if defined(EQ_MICRO_X86)
extern const winograd_set eq_winograd_v3, eq_winograd_v4;
#endif
const winograd_set *eq_winograd_set(void) {
#if defined(EQ_MICRO_X86)
  if (eq_micro()->lanes == 16) return &eq_winograd_v4;
  if (eq_micro()->lanes == 8) return &eq_winograd_v3;
#endif
  return &eq_winograd_base;
}

/* ---- scratch memory of threads ---- */
int winograd_slots_get(winograd_slots *s, int64_t pieces, int64_t each) {
  s->n = eq_threads() < pieces ? eq_threads() : (int)pieces;
  if (s->n > WINOGRAD_SLOTS) s->n = WINOGRAD_SLOTS;
  s->each = (each + 15) / 16 * 16;
  s->data = eq_alloc((size_t)(s->n * s->each) * sizeof(float));
  for (int i = 0; i < s->n; i++) atomic_flag_clear(&s->taken[i]);
  return s->data ? EQ_OK : eq_error.status;
}
void winograd_slots_free(winograd_slots *s) {
  eq_free(s->data, (size_t)(s->n * s->each) * sizeof(float));
}
/* There are as many as threads, so one is free sooner or later: at once, if threads <= slots. */
float *winograd_slot_take(winograd_slots *s, int *which) {
  for (int i = 0;; i = (i + 1) % s->n)
    if (!atomic_flag_test_and_set(&s->taken[i])) return s->data + (*which = i) * s->each;
}
void winograd_slot_leave(winograd_slots *s, int which) { atomic_flag_clear(&s->taken[which]); }

/* fn over [0, n) in the same pieces, on all threads or on this one. */
int winograd_for(bool spread, int64_t n, int64_t grain, eq_range_fn fn, void *ctx) {
  if (spread) return eq_parallel_for(n, grain, fn, ctx);
  for (int64_t i = 0; i < n; i += grain) fn(i, i + grain < n ? i + grain : n, ctx);
  return EQ_OK;
}

/* ---- weights ---- */
/* Transformed taps of DEPTH input channels, or the rest of them, for a panel of outputs: [36, n,
 * its width] with gaps. A panel has one such piece after another. */
static int64_t piece_size(void) { return PLACES * winograd_plane(DEPTH, eq_micro()->width); }
static int64_t pieces_of(int64_t ci) { return (ci + DEPTH - 1) / DEPTH; }
static int64_t depth_at(int64_t ci, int64_t c) { return ci - c < DEPTH ? ci - c : DEPTH; }

/* Where taps are: tap t of input channel k at data + t * step + k * next, a panel's width each. */
typedef struct tap_rows {
  const float *data;
  int64_t step, next;
} tap_rows;

/* Taps of input channels c .. c + n for a panel of outputs from `first` on, `real` of them. */
static tap_rows gather_taps(const winograd_taps *w, int64_t ci, int64_t c, int64_t n, int64_t first,
                            int64_t real, float *taps) {
  int64_t full = eq_micro()->width, forward = w->column;
  const float *from = w->data + first * w->out + c * w->in;
  if (w->packed) return (tap_rows){w->data + first * TAPS * ci + c * full, ci * full, full};
  if (w->row == 3 * forward &&
      (forward == 1 || forward == -1)) { /* nine in a row, or turned over */
    const float *lowest = forward > 0 ? from : from - (TAPS - 1);
    bool all = w->in == TAPS;
    for (int64_t k = 0; k < (all ? 1 : n); k++)
      eq_micro()->pack_columns(lowest + k * w->in, w->out, all ? n * TAPS : TAPS, real,
                               taps + k * TAPS * full);
    return (tap_rows){forward > 0 ? taps : taps + (TAPS - 1) * full, full * forward, TAPS * full};
  }
  if (real < full) memset(taps, 0, (size_t)(n * TAPS * full) * sizeof(float));
  for (int64_t o = 0; o < real; o++)
    for (int64_t k = 0; k < n; k++) {
      const float *of = from + o * w->out + k * w->in;
      float *to = taps + k * TAPS * full + o;
      for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++, to += full) *to = of[i * w->row + j * w->column];
    }
  return (tap_rows){taps, full, TAPS * full};
}
/* Asks for taps that come soon: no hardware follows nine streams from page to page. */
static void fetch_taps(const tap_rows *at, int64_t width) {
  enum { LINE = 16, SOON = 5 };
  const float *soon = at->data + SOON * at->next;
  for (int t = 0; t < TAPS; t++, soon += at->step)
    for (int64_t o = 0; o < width; o += LINE) __builtin_prefetch(soon + o);
}
/* Input channels c .. end of a panel; u: where those of channel c belong. */
static void transform_weights(const winograd_problem *p, int64_t c, int64_t end, int64_t panel,
                              int64_t plane, float *u) {
  float taps[CHUNK * TAPS * WINOGRAD_WIDTH] __attribute__((aligned(64)));
  int64_t full = eq_micro()->width, first = panel * full, width = winograd_panel(panel, p->co);
  int64_t real = p->co - first < width ? p->co - first : width;
  for (; c < end; c += CHUNK) {
    int64_t n = end - c < CHUNK ? end - c : CHUNK;
    tap_rows at = gather_taps(&p->taps, p->ci, c, n, first, real, taps);
    for (int64_t k = 0; k < n; k++, u += width, at.data += at.next) {
      if (p->taps.packed) fetch_taps(&at, width);
      eq_winograd_set()->weights(at.data, at.step, width, u, plane);
    }
  }
}

typedef struct prepare_job {
  const winograd_problem *p;
  int64_t chunks;
  float *u;
} prepare_job;
static void prepare_piece(int64_t begin, int64_t end, void *ctx) {
  const prepare_job *j = ctx;
  int64_t ci = j->p->ci;
  for (int64_t i = begin; i < end; i++) {
    int64_t panel = i / j->chunks, c = i % j->chunks * CHUNK, n = depth_at(ci, c / DEPTH * DEPTH);
    int64_t width = winograd_panel(panel, j->p->co), piece = panel * pieces_of(ci) + c / DEPTH;
    transform_weights(j->p, c, ci - c < CHUNK ? ci : c + CHUNK, panel, winograd_plane(n, width),
                      j->u + piece * piece_size() + c % DEPTH * width);
  }
}
/* All weights, panel by panel. */
static int prepare(const winograd_problem *p, float *u) {
  prepare_job j = {p, (p->ci + CHUNK - 1) / CHUNK, u};
  return winograd_for(PLACES * p->ci * p->co > ALONE / 16, winograd_panels(p->co) * j.chunks, 4,
                      prepare_piece, &j);
}

/* ---- tiles ---- */
winograd_grid winograd_grid_of(int64_t oh, int64_t ow, int64_t batch) {
  int64_t down = (oh + SIDE - 1) / SIDE, across = (ow + SIDE - 1) / SIDE;
  return (winograd_grid){down, across, batch * down * across};
}
winograd_cursor winograd_at(const winograd_grid *g, int64_t tile) {
  int64_t each = g->down * g->across;
  return (winograd_cursor){tile / each, tile % each / g->across * SIDE, tile % g->across * SIDE};
}
/* The part of the tile that begins top above and left of its first result. */
winograd_tile winograd_cut(const eq_pixels *x, const winograd_cursor *c, int64_t top, int64_t left,
                           int side, int64_t h, int64_t w) {
  int64_t i = c->i - top, j = c->j - left;
  winograd_tile at = {i < 0 ? -i : 0,
                      j < 0 ? -j : 0,
                      h - i < side ? h - i : side,
                      w - j < side ? w - j : side,
                      (const float *)(const void *)x->data,
                      x->row,
                      x->pixel};
  if (at.top >= at.bottom || at.left >= at.right) /* nothing of it */
    at.top = at.left = at.bottom = at.right = 0;
  else
    at.x += c->image * x->image + (i + at.top) * x->row + (j + at.left) * x->pixel;
  return at;
}
/* Asks for the pixels of a tile, without the columns that the tile before it has, too. */
void winograd_fetch(const winograd_tile *at, int64_t channels, int64_t known) {
  enum { LINE = 16 };
  int64_t skip = at->left >= known ? 0 : known - at->left;
  for (int64_t i = at->top; i < at->bottom; i++)
    for (int64_t j = skip; j < at->right - at->left; j++) {
      const float *x = at->x + (i - at->top) * at->rows + j * at->pixels;
      for (int64_t c = 0; c < channels; c += LINE) __builtin_prefetch(x + c, 0, 2);
    }
}

/* ---- the way forward ---- */
typedef struct forward {
  const winograd_problem *p;
  winograd_grid grid;
  bool spread;          /* over threads */
  int64_t block;        /* tiles of a block */
  int64_t from;         /* by panels: first tile of the round, */
  int64_t tiles;        /* and how many it has */
  int64_t row, plane;   /* of transformed input: distance of tiles and of places */
  int64_t mplane;       /* of products */
  float *v;             /* by panels: transformed input of the round */
  float *u;             /* by tiles: transformed weights */
  winograd_slots slots; /* v of a block, or weights of a panel; then products of a block */
} forward;

static void transform_tiles(const forward *f, int64_t from, int64_t to, float *v) {
  const winograd_problem *p = f->p;
  winograd_cursor at = winograd_at(&f->grid, from), soon = at;
  int64_t t = from, ahead = from;
  for (; t < to; t++, v += f->row, winograd_next(&f->grid, &at)) {
    for (; ahead < t + WINOGRAD_AHEAD && ahead < to; ahead++, winograd_next(&f->grid, &soon)) {
      winograd_tile x = winograd_cut(&p->x, &soon, p->top, p->left, SEEN, p->h, p->w);
      winograd_fetch(&x, p->ci, soon.j > 0 ? 2 : 0);
    }
    winograd_tile x = winograd_cut(&p->x, &at, p->top, p->left, SEEN, p->h, p->w);
    eq_winograd_set()->input(&x, p->ci, v, f->plane, eq_micro()->width);
  }
}

/* Products m of tiles from .. to with a panel, back into pixels. */
static void finish_tiles(const forward *f, int64_t from, int64_t to, int64_t panel,
                         const float *m) {
  const winograd_problem *p = f->p;
  int64_t width = eq_micro()->width, o = panel * width, row = winograd_panel(panel, p->co);
  int64_t channels = p->co - o < width ? p->co - o : width;
  winograd_cursor at = winograd_at(&f->grid, from);
  for (int64_t t = from; t < to; t++, m += row, winograd_next(&f->grid, &at)) {
    int64_t first = at.image * p->y.image + at.i * p->y.row + at.j * p->y.pixel + o;
    winograd_result r = {p->oh - at.i < SIDE ? (int)(p->oh - at.i) : SIDE,
                         p->ow - at.j < SIDE ? (int)(p->ow - at.j) : SIDE,
                         (float *)(void *)p->y.data + first,
                         p->y.row,
                         p->y.pixel,
                         p->bias ? p->bias + o : NULL,
                         p->add ? p->add + first : NULL,
                         p->relu};
    eq_winograd_set()->output(m, f->mplane, channels, &r);
  }
}

/* Input channels c .. c + k of `tiles` tiles, whose transformed input is v, times those of a panel
 * of weights, to m; behind the first channels added to it. */
static void multiply(const forward *f, int64_t tiles, int64_t panel, const float *v, const float *u,
                     int64_t c, int64_t k, float *m) {
  int64_t width = winograd_panel(panel, f->p->co);
  for (int place = 0; place < PLACES; place++) {
    float *to = m + place * f->mplane;
    eq_micro_job job = {.a = v + place * f->plane + c,
                        .rows = tiles,
                        .ars = f->row,
                        .acs = 1,
                        .k = k,
                        .runs = 1,
                        .b = u + place * winograd_plane(k, width),
                        .bs = width,
                        .c = to,
                        .cols = width,
                        .crs = width,
                        .add = c ? to : NULL,
                        .ads = width};
    eq_micro()->run(&job);
  }
}

/* Tiles from .. to times a panel of weights, whose pieces are `step` apart, and back into pixels.
 * make: the weights are still to be transformed. */
static void panel_of(const forward *f, int64_t from, int64_t to, int64_t panel, const float *v,
                     float *u, int64_t step, bool make, float *m) {
  int64_t ci = f->p->ci, width = winograd_panel(panel, f->p->co);
  for (int64_t c = 0; c < ci; c += DEPTH, u += step) {
    int64_t k = depth_at(ci, c);
    if (make) transform_weights(f->p, c, c + k, panel, winograd_plane(k, width), u);
    multiply(f, to - from, panel, v, u, c, k, m);
  }
  finish_tiles(f, from, to, panel, m);
}

static void by_tiles(int64_t begin, int64_t end, void *ctx) {
  forward *f = ctx;
  int slot;
  float *v = winograd_slot_take(&f->slots, &slot), *m = v + PLACES * f->plane;
  int64_t panels = winograd_panels(f->p->co), step = piece_size();
  transform_tiles(f, begin, end, v);
  for (int64_t q = 0; q < panels; q++)
    panel_of(f, begin, end, q, v, f->u + q * pieces_of(f->p->ci) * step, step, false, m);
  winograd_slot_leave(&f->slots, slot);
}

static void round_input(int64_t begin, int64_t end, void *ctx) {
  forward *f = ctx;
  transform_tiles(f, f->from + begin, f->from + end, f->v + begin * f->row);
}
/* Pieces of weights are kept where a second block of tiles needs them. */
static void by_panels(int64_t begin, int64_t end, void *ctx) {
  forward *f = ctx;
  int slot;
  int64_t step = f->tiles > f->block ? piece_size() : 0;
  float *m = winograd_slot_take(&f->slots, &slot), *u = m + PLACES * f->mplane;
  for (int64_t q = begin; q < end; q++)
    for (int64_t t = 0; t < f->tiles; t += f->block) {
      int64_t last = f->tiles - t < f->block ? f->tiles : t + f->block;
      panel_of(f, f->from + t, f->from + last, q, f->v + t * f->row, u, step, !t, m);
    }
  winograd_slot_leave(&f->slots, slot);
}

static int run_by_tiles(forward *f) {
  int64_t pieces = (f->grid.tiles + f->block - 1) / f->block;
  size_t bytes =
      (size_t)(winograd_panels(f->p->co) * pieces_of(f->p->ci) * piece_size()) * sizeof(float);
  int bad = winograd_slots_get(&f->slots, pieces, PLACES * (f->plane + f->mplane));
  if (bad) return bad;
  f->u = eq_alloc(bytes);
  bad = f->u ? prepare(f->p, f->u) : (int)eq_error.status;
  if (!bad) bad = winograd_for(f->spread, f->grid.tiles, f->block, by_tiles, f);
  eq_free(f->u, bytes);
  winograd_slots_free(&f->slots);
  return bad;
}

static int run_by_panels(forward *f, int64_t most) {
  int64_t panels = winograd_panels(f->p->co);
  int64_t pieces = most > f->block ? pieces_of(f->p->ci) : 1;
  size_t bytes = (size_t)(PLACES * f->plane) * sizeof(float);
  int bad = winograd_slots_get(&f->slots, panels, PLACES * f->mplane + pieces * piece_size());
  if (bad) return bad;
  f->v = eq_alloc(bytes);
  bad = f->v ? EQ_OK : eq_error.status;
  for (f->from = 0; f->from < f->grid.tiles && !bad; f->from += most) {
    f->tiles = f->grid.tiles - f->from < most ? f->grid.tiles - f->from : most;
    bad = winograd_for(f->spread, f->tiles, 4, round_input, f);
    if (!bad) bad = winograd_for(f->spread, panels, 1, by_panels, f);
  }
  eq_free(f->v, bytes);
  winograd_slots_free(&f->slots);
  return bad;
}

/* Tiles whose transformed input has so many bytes; whole blocks of the micro-kernel's rows. */
static int64_t tiles_of(int64_t bytes, int64_t row) {
  int64_t rows = eq_micro()->rows, n = bytes / (PLACES * row * (int64_t)sizeof(float)) / rows;
  return (n > 0 ? n : 1) * rows;
}

/* By panels: where blocks are too few tiles to use weights often, or all of them are one block. */
static bool is_by_panels(const winograd_problem *p, int64_t row, int64_t tiles) {
  int64_t each = tiles_of(BLOCK_BYTES, row);
  return p->ci >= BY_PANELS ||
         (tiles <= TILES && winograd_panels(p->co) >= (tiles + each - 1) / each);
}

int winograd_run(const winograd_problem *p) {
  forward f = {.p = p, .grid = winograd_grid_of(p->oh, p->ow, p->batch)};
  f.row = winograd_padded(p->ci);
  f.spread = winograd_spread(f.grid.tiles, p->ci, p->co);
  bool panels = is_by_panels(p, f.row, f.grid.tiles);
  int64_t most = tiles_of(panels ? ROUND_BYTES : BLOCK_BYTES, f.row);
  if (most > f.grid.tiles) most = f.grid.tiles;
  f.block = most < TILES ? most : TILES;
  if (!panels) most = f.block;
  f.plane = winograd_plane(most, f.row);
  f.mplane = winograd_plane(f.block, eq_micro()->width);
  return panels ? run_by_panels(&f, most) : run_by_tiles(&f);
}

/* ---- the path of the table in conv.c ---- */
static winograd_problem problem_of(const eq_conv *g) {
  const eq_tensor *w = g->weight;
  return (winograd_problem){.batch = g->batch,
                            .ci = g->ci,
                            .h = g->h,
                            .w = g->w,
                            .co = g->co,
                            .oh = g->oh,
                            .ow = g->ow,
                            .top = g->top,
                            .left = g->left,
                            .x = g->x,
                            .y = g->y,
                            .taps = {(const float *)(const void *)w->data, w->stride[0],
                                     w->stride[1], w->stride[2], w->stride[3], false},
                            .bias = g->bias};
}
static int forward_pass(const eq_conv *g) {
  winograd_problem p = problem_of(g);
  return winograd_run(&p);
}
/* The taps turned over, from output to input; what was padded at the top is cut there now. */
static int input_pass(const eq_conv *g) {
  winograd_problem p = problem_of(g);
  const winograd_taps w = p.taps;
  p.ci = g->co, p.h = g->oh, p.w = g->ow, p.x = g->y;
  p.co = g->ci, p.oh = g->h, p.ow = g->w, p.y = g->x;
  p.top = 2 - g->top, p.left = 2 - g->left, p.bias = NULL;
  p.taps = (winograd_taps){w.data + 2 * (w.row + w.column), w.in, w.out, -w.row, -w.column, false};
  return winograd_run(&p);
}

int eq_winograd_forward(const eq_conv *g, const float *packed, const float *add, bool relu) {
  winograd_problem p = problem_of(g);
  p.taps = (winograd_taps){.data = packed, .packed = true};
  p.add = add, p.relu = relu;
  return winograd_run(&p);
}

bool eq_winograd_can(const eq_conv *g) {
  return g->dtype == EQ_F32 && g->groups == 1 && g->kh == 3 && g->kw == 3 && g->sh == 1 &&
         g->sw == 1 && g->dh == 1 && g->dw == 1;
}
/* Measured beside direct.c on AVX-512, 64 to 512 channels: with 2 tiles 1.1 times its speed, with 4
 * it is 1.3 to 1.6, with 16 1.6 to 2.0 and with 64 and more up to 3.0; with packed weights 0.9 with
 * 2 and 1.1 with 3, because direct.c gains more from that. The gradient of the weights: with 4 it
 * is 0.8 to 0.9, with 8 it is 1.2 and with 16 it is 1.5. 8 to 8 channels: 0.8, 16 to 16: 1.3. Where
 * less than half of the tiles' pixels exist: 0.8. */
bool eq_winograd_pays(const eq_conv *g, eq_pass pass, bool packed) {
  int64_t tiles = winograd_grid_of(g->oh, g->ow, g->batch).tiles;
  int64_t fewest = pass == EQ_CONV_GRAD_WEIGHT ? 8 : packed ? 3 : 2;
  return eq_micro_wanted() && eq_winograd_can(g) && tiles >= fewest && g->ci >= 8 && g->co >= 8 &&
         g->ci * g->co >= 256 && g->batch * g->oh * g->ow >= SIDE * SIDE / 2 * tiles;
}
static eq_fitness can(const eq_conv *g, eq_pass pass) {
  if (!eq_winograd_can(g)) return EQ_CONV_CANNOT;
  return eq_winograd_pays(g, pass, false) ? EQ_CONV_GOOD : EQ_CONV_CAN;
}
const eq_conv_path eq_conv_winograd = {
    "winograd", can, {forward_pass, input_pass, winograd_weight_pass}};
