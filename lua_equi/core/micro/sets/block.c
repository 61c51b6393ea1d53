/* block.c -- blocks of up to 14 rows by two vectors, all sums in registers; see micro.h.
 *
 * One broadcast of a number of `a` serves two multiply-adds, one load of `b` all rows. Rows are
 * addressed as base + {1, 2, 4, 8} * stride, so four pointers reach fourteen rows and nothing
 * spills (with fourteen pointers half of them would live on the stack). */
#include "vec.h"

enum {
  LINE = 64, /* bytes of a cache line */
  AHEAD = 64 /* rows of an unpacked b that are asked for in advance, also of the panel beside */
};

INLINE vec finished(vec sum, vec bias, vec add, const eq_micro_job *job) {
  if (job->bias) sum += bias;
  if (job->add) sum += add;
  return job->relu ? (vec)((ivec)sum & ~(ivec)(sum < ZERO)) : sum; /* NaN stays */
}

/* sum into row r from column `from` on; part: how many columns there are, 0 for a whole vector. */
INLINE void finish(const eq_micro_job *job, int64_t r, int64_t from, vec sum, vec bias, int part) {
  const float *add = job->add ? job->add + r * job->ads + from : NULL;
  float *c = job->c + r * job->crs + from;
  if (part)
    store_part(c, finished(sum, bias, job->add ? load_part(add, part) : ZERO, job), part);
  else
    store(c, finished(sum, bias, job->add ? load(add) : ZERO, job));
}

INLINE vec load_bias(const eq_micro_job *job, int64_t from, int part) {
  if (!job->bias) return ZERO;
  return part ? load_part(job->bias + from, part) : load(job->bias + from);
}

/* Row r as a base and a multiple of the stride that an address can hold: see the header. */
#define EACH_ROW(F)                                                                                \
  F(0, p0, 0)                                                                                      \
  F(1, p0, 1)                                                                                      \
  F(2, p0, 2)                                                                                      \
  F(3, p3, 0)                                                                                      \
  F(4, p0, 4)                                                                                      \
  F(5, p5, 0)                                                                                      \
  F(6, p5, 1)                                                                                      \
  F(7, p3, 4)                                                                                      \
  F(8, p0, 8)                                                                                      \
  F(9, p5, 4)                                                                                      \
  F(10, p10, 0)                                                                                    \
  F(11, p3, 8)                                                                                     \
  F(12, p10, 2)                                                                                    \
  F(13, p5, 8)

#define DECLARE(r, base, times) vec s##r = ZERO, t##r = ZERO;
#define STEP(r, base, times)                                                                       \
  if (rows > r) {                                                                                  \
    const float x = *(const float *)(const void *)(base + stride * times);                         \
    s##r += b0 * x;                                                                                \
    if (vecs > 1) t##r += b1 * x;                                                                  \
  }
/* c comes while the sums run: its lines are far apart and no hardware foresees them. */
#define FETCH(r, base, times)                                                                      \
  if (rows > r) {                                                                                  \
    __builtin_prefetch(job->c + (first + r) * job->crs, 1);                                        \
    if (vecs > 1) __builtin_prefetch(job->c + (first + r) * job->crs + LANES, 1);                  \
  }
#define FINISH(r, base, times)                                                                     \
  if (rows > r) {                                                                                  \
    finish(job, first + r, 0, s##r, bias0, vecs > 1 ? 0 : part);                                   \
    if (vecs > 1) finish(job, first + r, LANES, t##r, bias1, part);                                \
  }

#define STORE(r, base, times)                                                                      \
  if (rows > r) {                                                                                  \
    store(job->c + (first + r) * job->crs, s##r);                                                  \
    if (vecs > 1) store(job->c + (first + r) * job->crs + LANES, t##r);                            \
  }

/* Rows first .. first + rows of the job; rows and vecs are constants of the caller. */
INLINE const char *block(const eq_micro_job *job, int64_t first, const char *next, const int rows,
                         const int vecs, const bool keep) {
  const int64_t stride = job->ars * (int64_t)sizeof(float);
  const int64_t step = job->acs * (int64_t)sizeof(float), bs = job->bs;
  const int part = (int)(job->cols % LANES);
  const float *b = job->b;
  const int64_t ahead = job->next ? LINE : 0;
  float *kept = job->keep;
  const float *soon = b + AHEAD * bs;
  EACH_ROW(DECLARE)
  EACH_ROW(FETCH)
  for (int64_t run = 0; run < job->runs; run++) {
    const char *p0 = (const char *)(job->a + first * job->ars + (job->at ? job->at[run] : 0));
    const char *p3 = p0 + 3 * stride, *p5 = p0 + 5 * stride, *p10 = p0 + 10 * stride;
    for (int64_t k = job->k; k > 0; k--) {
      const vec b0 = load(b), b1 = vecs > 1 ? load(b + LANES) : ZERO;
      EACH_ROW(STEP)
      if (keep) {
        if (k == AHEAD) soon = job->b + WIDTH; /* the panel beside */
        __builtin_prefetch(soon);
        __builtin_prefetch(soon + LANES);
        soon += bs;
        store(kept, b0);
        store(kept + LANES, b1);
        kept += WIDTH;
      }
      __builtin_prefetch(next, 0, 2);
      next += ahead;
      b += bs;
      p0 += step, p3 += step, p5 += step, p10 += step;
    }
  }
  if (!part && !job->bias && !job->add && !job->relu) { /* a tenth of a short sum's time */
    EACH_ROW(STORE)
    return next;
  }
  const vec bias0 = load_bias(job, 0, vecs > 1 ? 0 : part);
  const vec bias1 = vecs > 1 ? load_bias(job, LANES, part) : ZERO;
  EACH_ROW(FINISH)
  return next;
}

#define BLOCK(rows)                                                                                \
  static const char *one_##rows(const eq_micro_job *job, int64_t first, const char *next) {        \
    return block(job, first, next, rows, 1, false);                                                \
  }                                                                                                \
  static const char *two_##rows(const eq_micro_job *job, int64_t first, const char *next) {        \
    return block(job, first, next, rows, 2, false);                                                \
  }                                                                                                \
  static const char *keep_##rows(const eq_micro_job *job, int64_t first, const char *next) {       \
    return block(job, first, next, rows, 2, true);                                                 \
  }
BLOCK(1)
BLOCK(2)
BLOCK(3)
BLOCK(4)
BLOCK(5)
BLOCK(6)
#define UP_TO_6(v) v##_1, v##_2, v##_3, v##_4, v##_5, v##_6
#if defined(__AVX512F__) || defined(__aarch64__)
BLOCK(7)
BLOCK(8)
BLOCK(9)
BLOCK(10)
BLOCK(11)
BLOCK(12)
BLOCK(13)
BLOCK(14)
#define UP_TO_ROWS(v) UP_TO_6(v), v##_7, v##_8, v##_9, v##_10, v##_11, v##_12, v##_13, v##_14
#else
#define UP_TO_ROWS(v) UP_TO_6(v)
#endif
typedef const char *(*block_fn)(const eq_micro_job *job, int64_t first, const char *next);
static const block_fn blocks[3][ROWS] = {{UP_TO_ROWS(one)}, {UP_TO_ROWS(two)}, {UP_TO_ROWS(keep)}};

/* Blocks of nearly equal height: 32 rows are 11 + 11 + 10, not 14 + 14 + 4. */
static void run(const eq_micro_job *job) {
  const block_fn *of = blocks[job->cols > LANES];
  eq_micro_job rest;
  const char *next = (const char *)(job->next ? job->next : job->a);
  int64_t left = (job->rows + ROWS - 1) / ROWS, first = 0;
  for (; left > 0; left--) {
    int64_t rows = (job->rows - first + left - 1) / left;
    next = (job->keep ? blocks[2] : of)[rows - 1](job, first, next);
    first += rows;
    if (!job->keep || left == 1) continue;
    rest = *job; /* the first block has left a panel behind */
    rest.b = job->keep, rest.bs = WIDTH, rest.keep = NULL;
    job = &rest;
  }
}

const eq_micro_set SET(eq_micro) = {.name = SET_NAME,
                                    .rows = ROWS,
                                    .lanes = LANES,
                                    .width = WIDTH,
                                    .fast = FAST,
                                    .run = run,
                                    .pack_rows = SET(eq_pack_rows),
                                    .pack_columns = SET(eq_pack_columns),
                                    .pack_taps = SET(eq_pack_taps),
                                    .unpack_taps = SET(eq_unpack_taps),
                                    .skinny = SET(eq_skinny)};
