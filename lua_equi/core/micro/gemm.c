/* gemm.c -- one tile of a f32 product, blocked for the caches around the inner kernel.
 *
 * b goes in panels of one kernel's width, packed once for all rows of the tile. A panel of DEPTH
 * rows stays in the second-level cache, beside HEIGHT rows of a; passes are that long because each
 * reads and writes all of c. a is read where it is; only rows whose distance would put them all
 * into the same lines of the first cache, and transposed matrices, are copied in blocks. */
#include "gemm.h"
#include "micro.h"
#include <string.h>

enum {
  DEPTH = 768,  /* of a pass over k */
  PANELS = 32,  /* of b, packed at a time */
  HEIGHT = 168, /* rows of a that stay in the second-level cache: 12 blocks of 14 */
  OFTEN = 4,    /* panels up to which a transposed a is read where it is */
  PAD = 16,     /* behind a copied row: neighbours start in different lines */
  NEAR = 12288, /* numbers of a b that stays in the first cache as it is: not packed */
  PAGE = 1024   /* numbers: at this distance rows share their lines of the first cache */
};

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* k in equal passes of at most DEPTH. */
static int64_t depth_of(int64_t k) {
  int64_t passes = (k + DEPTH - 1) / DEPTH;
  return passes ? (k + passes - 1) / passes : 0;
}

static bool copies_rows(const eq_sgemm *g) {
  int64_t panels = (g->n + eq_micro()->width - 1) / eq_micro()->width;
  return g->acs != 1 ? panels > OFTEN : panels > 1 && g->ars % PAGE == 0 && g->m > 4;
}

/* A small b with dense rows is read where it is, but for columns that do not fill a vector. */
static int64_t in_place(const eq_sgemm *g) {
  return g->bns == 1 && g->k * g->bks <= NEAR ? g->n - g->n % eq_micro()->lanes : 0;
}

int64_t eq_sgemm_scratch(const eq_sgemm *g) {
  int64_t depth = smaller(g->k, DEPTH), width = eq_micro()->width;
  int64_t panels = smaller((g->n + width - 1) / width, PANELS);
  return panels * width * depth + (copies_rows(g) ? smaller(g->m, HEIGHT) * (depth + PAD) : 0);
}

/* Rows [0, m) x [0, k) of a into blocks. Dense rows stay rows; of a transposed matrix `high` rows
 * at a time are laid beside each other, [k][high]. */
static void copy_rows(const eq_sgemm *g, const float *a, int64_t m, int64_t k, int64_t high,
                      float *to) {
  if (g->acs == 1) {
    for (int64_t i = 0; i < m; i++)
      memcpy(to + i * (k + PAD), a + i * g->ars, (size_t)k * sizeof *to);
    return;
  }
  for (int64_t i = 0; i < m; i += high) {
    int64_t rows = smaller(m - i, high);
    const float *from = a + i * g->ars;
    for (int64_t p = 0; p < k; p++, to += rows, from += g->acs)
      for (int64_t r = 0; r < rows; r++) to[r] = from[r * g->ars];
  }
}

/* What a group of columns is: from j on, cols of them, packed (bs the width) or as they are. */
typedef struct group {
  int64_t j, cols, bs, step; /* step: from one panel to the next */
  const float *b;
  const float *raw; /* NULL, or the rows that b is still to be packed from, while they are used */
  float *room;      /* where b is */
} group;

/* One block of rows times all panels of a group. */
static void times_panels(const eq_sgemm *g, eq_micro_job *job, group *q) {
  const eq_micro_set *set = eq_micro();
  float *c = job->c;
  for (int64_t j = 0, at = 0; j < q->cols; j += set->width, at += q->step) {
    job->cols = smaller(q->cols - j, set->width);
    bool keep = q->raw && job->cols == set->width;
    job->b = keep ? q->raw + j : q->b + at;
    job->bs = keep ? g->bks : q->bs;
    job->keep = keep ? q->room + at : NULL;
    job->c = c + j;
    if (job->add)
      job->add = job->c;
    else if (g->bias)
      job->bias = g->bias + q->j + j;
    set->run(job);
    job->next = NULL; /* by the first panel */
  }
  q->raw = NULL;
}

/* A group of columns, k from p0: all rows, in blocks. */
static void times_group(const eq_sgemm *g, int64_t p0, int64_t k, group *q, float *block) {
  int64_t limit = eq_micro()->rows;
  for (int64_t i0 = 0; i0 < g->m; i0 += HEIGHT) {
    int64_t m = smaller(g->m - i0, HEIGHT), blocks = (m + limit - 1) / limit;
    int64_t high = block && g->acs != 1 ? (m + blocks - 1) / blocks : m;
    const float *a = g->a + i0 * g->ars + p0 * g->acs;
    eq_micro_job job = {.k = k, .runs = 1, .crs = g->crs, .ads = g->crs};
    if (block) copy_rows(g, a, m, k, high, block);
    for (int64_t i = 0; i < m; i += high) {
      job.rows = smaller(m - i, high);
      job.a = !block ? a : block + i * k;
      job.ars = !block ? g->ars : g->acs == 1 ? k + PAD : 1;
      job.acs = !block ? g->acs : g->acs == 1 ? 1 : job.rows;
      job.c = g->c + (i0 + i) * g->crs + q->j;
      job.add = g->accumulate || p0 ? job.c : NULL;
      if (!block && q->j == 0 && g->ars == k) job.next = a + HEIGHT * g->ars; /* in one stretch */
      times_panels(g, &job, q);
    }
  }
}

void eq_sgemm_tile(const eq_sgemm *g, float *scratch) {
  int64_t depth = depth_of(g->k), width = eq_micro()->width, near = in_place(g);
  int64_t packed = smaller((g->n + width - 1) / width, PANELS) * width * depth;
  float *panels = scratch, *block = copies_rows(g) ? scratch + packed : NULL; /* panels: aligned */
  for (int64_t p = 0; p < g->k; p += depth) {
    int64_t k = smaller(g->k - p, depth);
    const float *b = g->b + p * g->bks;
    if (near) {
      group q = {.cols = near, .bs = g->bks, .step = width, .b = b};
      times_group(g, p, k, &q, block);
    }
    for (int64_t j = near; j < g->n; j += PANELS * width) {
      group q = {j, smaller(g->n - j, PANELS * width), width, width * k, panels, NULL, panels};
      int64_t whole = g->bns == 1 ? q.cols / width * width : 0; /* packed while they are used */
      if (whole) q.raw = b + j;
      if (whole && g->m <= HEIGHT && g->acs == 1) /* each is used once: one place, which is near */
        q.step = 0, q.b = panels + width * k;
      eq_micro_pack(b + (j + whole) * g->bns, g->bks, g->bns, k, q.cols - whole,
                    q.step ? panels + whole * k : panels + width * k);
      times_group(g, p, k, &q, block);
    }
  }
}
