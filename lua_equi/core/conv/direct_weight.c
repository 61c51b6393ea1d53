/* direct_weight.c -- the gradient of a convolution's weights on the inner kernel:
 *
 *   gw[u, v, c, o] = sum over b, i, j of x[b, i s + u, j s + v, c] gy[b, i, j, o]
 *
 * The kernel's rows are channels of x (neighbours in memory; with neighbouring taps the whole run
 * of a kernel row), its sum goes down the pixels of some lines, its panel is a strip of gy. The
 * lines of a block are copied even when they could be read in place: read down the pixels, memory
 * is slow. The pixels are cut into parts that depend on the sizes only; each part has sums of its
 * own, which are added in order at the end, and turned into PyTorch's layout. */
#include "direct.h"
#include <string.h>

enum {
  BLOCK = 64 << 10, /* numbers of input that a block of lines reads */
  PIXELS = 512,     /* of a block, about: a strip of gy stays near the first cache */
  LINES = 256,      /* of a block, at most */
  TASKS = 8,
  SUMS = 2 << 20, /* numbers in the sums of all parts */
  HIGH = 12       /* rows of the kernel; measured against 8 and 14 */
};

typedef struct weight_plan {
  direct_window win;
  const eq_conv *g;
  int64_t n, panels, width, rows;    /* n: channels of gy in a group; rows: taps * c of a panel */
  int64_t lines, images, image_room; /* of a block: some lines of an image, or whole images */
  int64_t bands, blocks;             /* of an image; of the batch */
  int64_t parts, cuts;               /* of the blocks, of the panels */
  float *sums, *scratch;             /* sums: parts, groups, panels, rows, width */
  int64_t room;
} weight_plan;

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t pieces(int64_t n, int64_t each) { return (n + each - 1) / each; }

/* All taps of the lines taken, times the strip of gy: into, or added to, a panel of sums. */
static void multiply(const weight_plan *p, const direct_lines *l, const int64_t *at, int64_t runs,
                     const float *strip, bool first, float *sums) {
  const direct_window *w = &p->win;
  bool run = direct_is_run(w, l);
  int64_t rows = run ? w->nv * w->c : w->c;
  eq_micro_job job = {.ars = 1,
                      .acs = w->sj * l->pixel,
                      .k = w->ow,
                      .runs = runs,
                      .at = at,
                      .b = strip,
                      .bs = p->width,
                      .cols = p->width,
                      .crs = p->width,
                      .ads = p->width};
  for (int u = 0; u < w->nu; u++)
    for (int v = 0; v < (run ? 1 : w->nv); v++) {
      const float *a = l->data + (w->u[u] - w->u[0]) * l->row + (w->v[v] - w->v[0]) * l->pixel;
      for (int64_t r = 0; r < rows; r += HIGH, sums += job.rows * p->width) {
        job.a = a + r;
        job.rows = smaller(rows - r, HIGH);
        job.c = sums;
        job.add = first ? NULL : sums;
        eq_micro()->run(&job);
      }
    }
}

/* One block of lines, for the panels from .. to of a group. */
static void block(const weight_plan *p, int64_t group, int64_t index, int64_t from, int64_t to,
                  bool first, float *sums, float *room) {
  const eq_conv *g = p->g;
  direct_window win = p->win;
  int64_t b0 = index / p->bands * p->images, b1 = smaller(b0 + p->images, g->batch);
  int64_t i0 = index % p->bands * p->lines, i1 = smaller(i0 + p->lines, g->oh);
  int64_t at[LINES], runs = 0, pixels = (b1 - b0) * (i1 - i0) * g->ow;
  float *strip = room + p->images * p->image_room;
  direct_lines l;
  win.x += group * win.c;
  for (int64_t b = b0; b < b1; b++) {
    direct_lines taken = direct_take(&win, false, b, i0, i1, room + (b - b0) * p->image_room);
    if (b == b0) l = taken;
    for (int64_t i = 0; i < i1 - i0; i++)
      at[runs++] = (b - b0) * p->image_room + i * win.si * l.row;
  }
  const float *gy = (const float *)(const void *)g->y.data + (b0 * g->oh + i0) * g->ow * g->co;
  for (int64_t panel = from; panel < to; panel++, sums += p->rows * p->width) {
    int64_t o = panel * p->width;
    eq_micro()->pack_rows(gy + group * p->n + o, g->co, pixels, smaller(p->n - o, p->width), strip);
    multiply(p, &l, at, runs, strip, first, sums);
  }
}

static void tasks(int64_t begin, int64_t end, void *ctx) {
  const weight_plan *p = ctx;
  for (int64_t i = begin; i < end; i++) {
    int64_t cut = i % p->cuts, part = i / p->cuts % p->parts, group = i / (p->cuts * p->parts);
    int64_t each = pieces(p->panels, p->cuts), from = cut * each;
    int64_t b0 = part * p->blocks / p->parts, b1 = (part + 1) * p->blocks / p->parts;
    float *sums = p->sums + ((part * p->g->groups + group) * p->panels + from) * p->rows * p->width;
    for (int64_t b = b0; b < b1; b++)
      block(p, group, b, from, smaller(from + each, p->panels), b == b0, sums,
            p->scratch + eq_thread() * p->room);
  }
}

/* Panels of sums: added in the order of the parts, and into the weights' own layout. */
static void finish(int64_t begin, int64_t end, void *ctx) {
  const weight_plan *p = ctx;
  const eq_conv *g = p->g;
  int64_t all = g->kh * g->kw, n = p->rows * p->width, place[EQ_DIRECT_TAPS * EQ_DIRECT_TAPS];
  for (int64_t t = 0; t < all; t++) place[t] = t * p->win.c * p->width;
  eq_taps taps = {all, p->width, place};
  for (int64_t i = begin; i < end; i++) {
    int64_t o = i % p->panels * p->width, first = i / p->panels * p->n + o;
    float *sum = p->sums + i * n;
    for (int64_t part = 1; part < p->parts; part++) {
      const float *from = sum + part * g->groups * p->panels * n;
      for (int64_t k = 0; k < n; k++) sum[k] += from[k];
    }
    eq_micro()->unpack_taps(sum, p->rows, smaller(p->n - o, p->width), &taps,
                            (float *)(void *)g->weight->data + first * p->rows, p->rows);
  }
}

static void cut(weight_plan *p) {
  const eq_conv *g = p->g;
  const direct_window *w = &p->win;
  int64_t most = smaller(larger(PIXELS / g->ow, 1), LINES);
  p->lines = 1;
  while (p->lines < smaller(g->oh, most) && direct_room(w, p->lines + 1) <= BLOCK) p->lines++;
  p->bands = pieces(g->oh, p->lines);
  p->lines = pieces(g->oh, p->bands);
  p->images = 1;
  if (p->bands == 1) {
    p->images = smaller(BLOCK / larger(direct_room(w, p->lines), 1), most / p->lines);
    p->images = larger(smaller(p->images, g->batch), 1);
  }
  p->blocks = pieces(g->batch, p->images) * p->bands;
  p->image_room = (direct_room(w, p->lines) + 15) / 16 * 16;
  p->room = p->images * (p->image_room + p->lines * g->ow * p->width);
  p->parts = larger(smaller(SUMS / (p->rows * p->panels * p->width * g->groups), TASKS), 1);
  p->parts = smaller(p->parts, p->blocks);
  p->cuts = smaller(pieces(TASKS, p->parts * g->groups), p->panels);
  p->cuts = pieces(p->panels, pieces(p->panels, p->cuts));
}

int eq_direct_grad_weight(const eq_conv *g) {
  weight_plan p = {.win = direct_window_of(g), .g = g, .n = g->co / g->groups};
  p.width = eq_micro()->width;
  p.panels = pieces(p.n, p.width);
  p.rows = g->kh * g->kw * p.win.c;
  cut(&p);
  int64_t panels = g->groups * p.panels, each = p.rows * p.width * p.parts;
  size_t bytes = (size_t)(p.parts * panels * p.rows * p.width) * sizeof(float);
  size_t room = (size_t)(p.room * eq_threads()) * sizeof(float);
  p.sums = eq_alloc(bytes);
  p.scratch = p.sums ? eq_alloc(room) : NULL;
  int bad = p.scratch ? EQ_OK : (int)eq_error.status;
  double work = (double)(g->batch * g->oh * g->ow) * (double)(p.rows * g->co);
  double tasks_all = (double)(p.cuts * p.parts * g->groups);
  if (!bad)
    bad = eq_parallel_for(p.cuts * p.parts * g->groups,
                          larger((int64_t)(0x1p18 / (work / tasks_all)), 1), tasks, &p);
  if (!bad) bad = eq_parallel_for(panels, larger(32768 / each, 1), finish, &p);
  eq_free(p.scratch, room);
  eq_free(p.sums, bytes);
  return bad;
}
