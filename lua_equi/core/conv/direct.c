/* direct.c -- convolution straight from the image: pixels of a line are the rows of the inner
 * kernel, channels its sums.
 *
 *   y[b, i, j, :] = bias + sum over u, v, c of x[b, i s + u, j s + v, c] w[u, v, c, :]
 *
 * Pixels of a line lie at one distance, and so do the lines, so nothing is gathered: at most the
 * lines of a block are copied once with zeros around them. Where taps are neighbours, (v, c) is one
 * run of numbers, which serves images with few channels well. Weights are packed into panels of
 * output channels. The gradient of the input is the same with x and y exchanged: one such
 * convolution for each of the s * s positions that a pixel can have between the strides.
 * NOT here: the gradient of the weights (direct_weight.c), groups of few channels. */
#include "direct.h"
#include <string.h>

enum {
  BLOCK = 64 << 10, /* numbers of input that a block of lines reads: a quarter of a 1 MiB cache */
  CHUNK = 224,      /* pixels of a line when the image is one long line */
  TASKS = 8,        /* at least, where there are enough panels */
  FEW = 8           /* channels of a group below which other ways are better */
};

/* One convolution of a window with packed weights. */
typedef struct plan {
  direct_window win;
  float *y; /* first pixel; its strides */
  int64_t y_image, y_row, y_pixel, n;
  int64_t last;            /* pixels of the last line, if shorter */
  const float *bias, *add; /* add: laid out as y */
  bool relu, in_place;
  int64_t batch, groups, panels;      /* panels of one group */
  const float *weights;               /* packed: groups, panels, taps, c */
  int64_t taps, first;                /* of a panel; the first that the window reads */
  int64_t lines, images;              /* of a task */
  int64_t cuts, blocks, parts, tasks; /* cuts: of the panels; parts: of the batch */
  float *scratch;
  int64_t room, image_room;
} plan;

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t pieces(int64_t n, int64_t each) { return (n + each - 1) / each; }

bool eq_direct_can(const eq_conv *g) {
  return g->dtype == EQ_F32 && g->kh <= EQ_DIRECT_TAPS && g->kw <= EQ_DIRECT_TAPS &&
         (g->groups == 1 || (g->ci / g->groups >= FEW && g->co / g->groups >= FEW));
}

/* ---- one task ---- */
/* Line i of an image times one panel; line i + ahead is fetched, where that is not 0. */
static void one_line(const plan *p, const direct_lines *l, eq_micro_job *job, int64_t i,
                     int64_t from, int64_t offset, int64_t ahead) {
  job->a = l->data + (i - from) * p->win.si * l->row;
  job->rows = i == p->win.oh - 1 ? p->last : p->win.ow;
  job->next = p->in_place && ahead ? l->data + (i + ahead - from) * p->win.si * l->row : NULL;
  job->c = p->y + offset;
  job->add = p->add ? p->add + offset : NULL;
  eq_micro()->run(job);
}

/* Where the runs of taps begin, relative to the first; returns how many, their length in *k. */
static int64_t runs_of(const plan *p, const direct_lines *l, int64_t *at, int64_t *k) {
  const direct_window *w = &p->win;
  bool run = direct_is_run(w, l);
  int64_t n = 0;
  for (int u = 0; u < w->nu; u++)
    for (int v = 0; v < (run ? smaller(w->nv, 1) : w->nv); v++)
      at[n++] = (w->u[u] - w->u[0]) * l->row + (w->v[v] - w->v[0]) * l->pixel;
  *k = run ? w->nv * w->c : w->c;
  return n;
}

static void task(const plan *p, int64_t item) {
  int64_t width = eq_micro()->width, group = item / (p->parts * p->blocks * p->cuts);
  int64_t cut = item % p->cuts, block = item / p->cuts % p->blocks;
  int64_t b0 = item / (p->cuts * p->blocks) % p->parts * p->images;
  int64_t b1 = smaller(b0 + p->images, p->batch), from = block * p->lines;
  int64_t to = smaller(from + p->lines, p->win.oh), each = pieces(p->panels, p->cuts);
  int64_t at[EQ_DIRECT_TAPS * EQ_DIRECT_TAPS];
  float *room = p->scratch + eq_thread() * p->room;
  direct_window win = p->win;
  direct_lines first;
  eq_micro_job job = {
      .at = at, .ads = p->y_pixel, .crs = p->y_pixel, .bs = width, .acs = 1, .relu = p->relu};
  win.x += group * win.c;
  for (int64_t b = b0; b < b1; b++) {
    direct_lines l = direct_take(&win, p->in_place, b, from, to, room + (b - b0) * p->image_room);
    if (b == b0) first = l;
  }
  job.runs = runs_of(p, &first, at, &job.k);
  job.ars = win.sj * first.pixel;
  for (int64_t panel = cut * each; panel < smaller((cut + 1) * each, p->panels); panel++) {
    int64_t o = panel * width;
    job.b = p->weights + ((group * p->panels + panel) * p->taps + p->first) * win.c * width;
    job.cols = smaller(p->n - o, width);
    job.bias = p->bias ? p->bias + group * p->n + o : NULL;
    for (int64_t b = b0; b < b1; b++) {
      direct_lines l = first;
      l.data += (b - b0) * (p->in_place ? win.image : p->image_room);
      for (int64_t i = from; i < to; i++)
        one_line(p, &l, &job, i, from, b * p->y_image + i * p->y_row + group * p->n + o,
                 panel == cut * each ? to - from : 0);
    }
  }
}

static void tasks(int64_t begin, int64_t end, void *ctx) {
  for (int64_t i = begin; i < end; i++) task(ctx, i);
}

/* ---- cutting ---- */
/* Pixels that need nobody beside them are one long line through all images, cut into equal ones. */
static void join_lines(plan *p) {
  direct_window *w = &p->win;
  bool single = w->nu == 1 && w->nv == 1 && w->si == 1 && w->sj == 1;
  if (!single || !p->in_place || w->row != w->ow * w->pixel || p->y_row != w->ow * p->y_pixel)
    return;
  w->x += w->u[0] * w->row + w->v[0] * w->pixel;
  w->u[0] = w->v[0] = 0;
  int64_t all = w->oh * w->ow, most = larger(BLOCK / w->c, 14);
  if (p->batch == 1 || (w->image == all * w->pixel && p->y_image == all * p->y_pixel)) {
    all *= p->batch;
    p->batch = 1;
  }
  w->ow = smaller(most < CHUNK ? most / 14 * 14 : CHUNK, all);
  w->oh = pieces(all, w->ow);
  w->row = w->ow * w->pixel;
  p->y_row = w->ow * p->y_pixel;
  p->last = all - (w->oh - 1) * w->ow;
}

static void cut(plan *p) {
  direct_window *w = &p->win;
  p->in_place = direct_in_place(w);
  p->last = w->ow;
  join_lines(p);
  p->lines = 1;
  while (p->lines < w->oh && w->nu && direct_room(w, p->lines + 1) <= BLOCK) p->lines++;
  p->blocks = pieces(w->oh, p->lines);
  p->lines = pieces(w->oh, p->blocks);
  p->image_room = p->in_place ? 0 : (direct_room(w, p->lines) + 15) / 16 * 16;
  p->images = 1;
  if (p->blocks == 1) {
    int64_t room = larger(direct_room(w, p->lines), 1);
    p->images = smaller(larger(BLOCK / room, 1), larger(p->batch / 4, 1));
  }
  p->parts = pieces(p->batch, p->images);
  p->panels = pieces(p->n, eq_micro()->width);
  int64_t have = p->groups * p->parts * p->blocks;
  p->cuts = have < TASKS ? smaller(pieces(TASKS, have), p->panels) : 1;
  p->cuts = pieces(p->panels, pieces(p->panels, p->cuts));
  p->tasks = have * p->cuts;
  p->room = p->images * p->image_room;
}

static int run(plan *p) {
  cut(p);
  size_t bytes = (size_t)(p->room * eq_threads()) * sizeof(float);
  p->scratch = bytes ? eq_alloc(bytes) : NULL;
  if (bytes && !p->scratch) return eq_error.status;
  double all = 2.0 * (double)(p->batch * p->groups * p->win.oh * p->win.ow) * (double)p->n *
               (double)(p->win.nu * p->win.nv * p->win.c + 1);
  int64_t grain = larger((int64_t)(0x1p19 / (all / (double)p->tasks)), 1);
  int bad = eq_parallel_for(p->tasks, grain, tasks, p);
  eq_free(p->scratch, bytes);
  return bad;
}

/* ---- weights ---- */
/* Weights as a plan wants them: columns n (channels of the result), c channels of the source, and
 * of the kh x kw taps those with a place, counted in taps. */
typedef struct packing {
  const float *w;
  int64_t n, c, kh, kw, groups;
  int64_t sn, sc, su, sv; /* strides in elements */
  int64_t group;          /* from one group to the next */
  int64_t taps;           /* how many have a place */
  const int64_t *place;   /* kh * kw; negative: left out */
  float *to;
} packing;

static void pack_panel(const packing *p, const float *w, int64_t cols, float *to) {
  const eq_micro_set *set = eq_micro();
  int64_t all = p->kh * p->kw, row = p->c * set->width, place[EQ_DIRECT_TAPS * EQ_DIRECT_TAPS];
  bool dense = (p->sv == 1 || p->kw == 1) && (p->su == p->kw || p->kh == 1);
  for (int64_t t = 0; t < all; t++) place[t] = p->place[t] < 0 ? -1 : p->place[t] * row;
  eq_taps taps = {all, set->width, place};
  if (dense && p->sc == all && all * p->c > 1) { /* [column][channel][tap] */
    set->pack_taps(w, p->sn, all * p->c, cols, &taps, to);
    return;
  }
  if (dense && all > 4) { /* [channel][..][tap], turned over for each channel */
    for (int64_t c = 0; c < p->c; c++)
      set->pack_taps(w + c * p->sc, p->sn, all, cols, &taps, to + c * set->width);
    return;
  }
  for (int64_t t = 0; t < all; t++) {
    if (place[t] < 0) continue;
    const float *from = w + t / p->kw * p->su + t % p->kw * p->sv;
    float *at = to + place[t];
    if (p->sn == 1)
      set->pack_rows(from, p->sc, p->c, cols, at);
    else if (p->sc == 1)
      set->pack_columns(from, p->sn, p->c, cols, at);
    else
      eq_micro_pack(from, p->sc, p->sn, p->c, cols, at);
  }
}

static void pack_panels(int64_t begin, int64_t end, void *ctx) {
  const packing *p = ctx;
  int64_t width = eq_micro()->width, panels = pieces(p->n, width);
  for (int64_t i = begin; i < end; i++) {
    int64_t group = i / panels, o = i % panels * width;
    pack_panel(p, p->w + group * p->group + o * p->sn, smaller(p->n - o, width),
               p->to + i * p->taps * p->c * width);
  }
}

static int pack(const packing *p) {
  int64_t width = eq_micro()->width, each = larger(p->taps * p->c * width, 1);
  return eq_parallel_for(p->groups * pieces(p->n, width), larger(32768 / each, 1), pack_panels,
                         (void *)(uintptr_t)p);
}

static int64_t packed_size(const eq_conv *g, int64_t n, int64_t c, int64_t taps) {
  int64_t width = eq_micro()->width;
  return g->groups * pieces(n, width) * width * c * taps;
}

/* ---- forward ---- */
int64_t eq_direct_packed(const eq_conv *g) {
  return packed_size(g, g->co / g->groups, g->ci / g->groups, g->kh * g->kw);
}

int eq_direct_pack(const eq_conv *g, float *packed) {
  int64_t place[EQ_DIRECT_TAPS * EQ_DIRECT_TAPS];
  const eq_tensor *w = g->weight;
  const int64_t *s = w->stride, n = g->co / g->groups;
  for (int64_t t = 0; t < g->kh * g->kw; t++) place[t] = t;
  packing p = {.w = (const float *)(const void *)w->data,
               .n = n,
               .c = g->ci / g->groups,
               .kh = g->kh,
               .kw = g->kw,
               .groups = g->groups,
               .sn = s[0],
               .sc = s[1],
               .su = s[2],
               .sv = s[3],
               .group = n * s[0],
               .taps = g->kh * g->kw,
               .place = place,
               .to = packed};
  return pack(&p);
}

int eq_direct_forward(const eq_conv *g, const float *packed, const float *add, bool relu) {
  plan p = {.win = direct_window_of(g),
            .y = (float *)(void *)g->y.data,
            .y_image = g->y.image,
            .y_row = g->y.row,
            .y_pixel = g->y.pixel,
            .n = g->co / g->groups,
            .bias = g->bias,
            .add = add,
            .relu = relu,
            .batch = g->batch,
            .groups = g->groups,
            .weights = packed,
            .taps = g->kh * g->kw};
  return run(&p);
}

static int forward(const eq_conv *g) {
  size_t bytes = (size_t)eq_direct_packed(g) * sizeof(float);
  float *packed = eq_alloc(bytes);
  if (!packed) return eq_error.status;
  int bad = eq_direct_pack(g, packed);
  if (!bad) bad = eq_direct_forward(g, packed, NULL, false);
  eq_free(packed, bytes);
  return bad;
}

/* ---- the gradient of the input ---- */
/* Pixels at phase, phase + stride, ... of x: which taps reach them, the last first, and where in y
 * each then reads for the first of those pixels. Returns how many; which[] has the taps. */
static int reaching(int64_t phase, int64_t before, int64_t taps, int64_t dilation, int64_t stride,
                    int64_t *at, int64_t *which) {
  int n = 0;
  for (int64_t t = taps - 1; t >= 0; t--) {
    int64_t x = phase + before - t * dilation;
    if ((x % stride + stride) % stride) continue;
    at[n] = x >= 0 ? x / stride : -(-x / stride);
    which[n++] = t;
  }
  return n;
}

/* The plan of one phase; its taps get the places from *used on, in the order they are read. */
static plan phase_of(const eq_conv *g, int64_t i, int64_t j, int64_t *used, int64_t *place) {
  int64_t which_u[EQ_DIRECT_TAPS], which_v[EQ_DIRECT_TAPS];
  plan p = {.win = {.x = (const float *)(const void *)g->y.data,
                    .image = g->y.image,
                    .row = g->y.row,
                    .pixel = g->y.pixel,
                    .h = g->oh,
                    .w = g->ow,
                    .c = g->co / g->groups,
                    .oh = pieces(g->h - i, g->sh),
                    .ow = pieces(g->w - j, g->sw),
                    .si = 1,
                    .sj = 1},
            .y = (float *)(void *)g->x.data + i * g->x.row + j * g->x.pixel,
            .y_image = g->x.image,
            .y_row = g->sh * g->x.row,
            .y_pixel = g->sw * g->x.pixel,
            .n = g->ci / g->groups,
            .batch = g->batch,
            .groups = g->groups,
            .first = *used};
  direct_window *w = &p.win;
  w->nu = reaching(i, g->top, g->kh, g->dh, g->sh, w->u, which_u);
  w->nv = reaching(j, g->left, g->kw, g->dw, g->sw, w->v, which_v);
  if (!w->nu || !w->nv) w->nu = w->nv = 0;
  for (int u = 0; u < w->nu; u++)
    for (int v = 0; v < w->nv; v++) place[which_u[u] * g->kw + which_v[v]] = (*used)++;
  return p;
}

static int all_phases(const eq_conv *g, int64_t *place, int64_t *used, float *packed) {
  int64_t taps = *used;
  int bad = EQ_OK;
  *used = 0;
  for (int64_t i = 0; !bad && i < smaller(g->sh, g->h); i++)
    for (int64_t j = 0; !bad && j < smaller(g->sw, g->w); j++) {
      plan p = phase_of(g, i, j, used, place);
      p.weights = packed;
      p.taps = taps;
      if (packed) bad = run(&p);
    }
  return bad;
}

/* Each tap belongs to one phase, so the weights are packed once, those of a phase together. */
static int grad_input(const eq_conv *g) {
  const int64_t *s = g->weight->stride, n = g->ci / g->groups, c = g->co / g->groups;
  int64_t place[EQ_DIRECT_TAPS * EQ_DIRECT_TAPS], taps = 0;
  for (int64_t t = 0; t < g->kh * g->kw; t++) place[t] = -1;
  (void)all_phases(g, place, &taps, NULL);
  size_t bytes = (size_t)packed_size(g, n, c, taps) * sizeof(float);
  float *packed = eq_alloc(bytes);
  if (!packed) return eq_error.status;
  packing q = {.w = (const float *)(const void *)g->weight->data,
               .n = n,
               .c = c,
               .kh = g->kh,
               .kw = g->kw,
               .groups = g->groups,
               .sn = s[1],
               .sc = s[0],
               .su = s[2],
               .sv = s[3],
               .group = c * s[0],
               .taps = taps,
               .place = place,
               .to = packed};
  int bad = pack(&q);
  if (!bad) bad = all_phases(g, place, &taps, packed);
  eq_free(packed, bytes);
  return bad;
}

static eq_fitness can(const eq_conv *g, eq_pass pass) {
  (void)pass;
  if (!eq_direct_can(g)) return EQ_CONV_CANNOT;
  return eq_micro_wanted() ? EQ_CONV_GOOD : EQ_CONV_CAN;
}

const eq_conv_path eq_conv_direct = {"direct", can, {forward, grad_input, eq_direct_grad_weight}};
