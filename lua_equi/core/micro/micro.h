/* micro.h -- the one inner kernel of all fast f32 products and convolutions.
 *
 *   c[r][j] = f(sum_s sum_k a[at[s] + r * ars + k * acs] * b[(s * K + k) * bs + j]
 *               + bias[j] + add[r][j])          f: nothing, or relu
 *
 * for any number of rows r and up to `width` columns j. Rows are read in place, at a constant
 * distance: the pixels of a channels-last image, the rows of a matrix. b is a packed panel, or any
 * rows of which `width` numbers can be read (one vector's worth when cols fits into one).
 * The order of every sum is s, k ascending, whatever the rows, the columns and the neighbours: a
 * product may be cut between rows and columns anywhere without changing a bit.
 *
 * The files of sets/ are compiled once per instruction set; dispatch.c picks one when the library
 * is loaded. NOT here: blocking for caches, packing, threads (gemm.c, conv/). */
#ifndef EQ_MICRO_H
#define EQ_MICRO_H
#include <stdbool.h>
#include <stdint.h>

enum { EQ_MICRO_ROWS = 14, EQ_MICRO_WIDTH = 32 }; /* the largest of all sets */

typedef struct eq_micro_job {
  const float *a;
  int64_t rows, ars, acs; /* strides in elements */
  int64_t k, runs;        /* K, and how many runs of K there are */
  const int64_t *at;      /* where in a each run begins, in elements; NULL: one run, at a */
  const float *b;
  int64_t bs;
  float *c;
  int64_t cols, crs;
  float *keep;       /* NULL, or room for the panel that b is to become; only for whole panels */
  const float *bias; /* NULL, or cols numbers: nothing behind them is read */
  const float *add;  /* NULL, or rows `ads` apart; add = c accumulates */
  int64_t ads;
  bool relu;
  const float
      *next; /* NULL, or what comes from memory soon: a line of it is fetched in each step */
} eq_micro_job;

/* An order of the rows of a panel: number q of a column lies at place[q % period] + q / period *
 * step, or is left out when the place is negative. So [channel][tap] becomes [tap][channel]. */
typedef struct eq_taps {
  int64_t period, step;
  const int64_t *place;
} eq_taps;

struct eq_sgemm;
typedef struct eq_micro_set {
  const char *name;
  int rows;         /* rows of the largest block: a good number of rows for a job is a multiple of
                     * a number slightly below */
  int lanes, width; /* numbers in a vector; columns of a block, two vectors */
  bool fast;        /* has FMA and wide vectors: worth preferring to a BLAS */
  void (*run)(const eq_micro_job *job);
  void (*pack_rows)(const float *b, int64_t bks, int64_t k, int64_t n, float *panels);
  void (*pack_columns)(const float *b, int64_t bns, int64_t k, int64_t n, float *panels);
  /* One panel of n columns, bns apart, of k numbers each; and back. */
  void (*pack_taps)(const float *b, int64_t bns, int64_t k, int64_t n, const eq_taps *taps,
                    float *panel);
  void (*unpack_taps)(const float *panel, int64_t k, int64_t n, const eq_taps *taps, float *b,
                      int64_t bns);
  void (*skinny)(const struct eq_sgemm *g);
} eq_micro_set;

/* The set in use. */
const eq_micro_set *eq_micro(void);
/* Use the set of that name ("base", "v3", "v4"; NULL or "": the best), or none where a BLAS or a
 * general path can do the work ("none"). False, and no change, when this build or this processor
 * does not have it. */
bool eq_micro_use(const char *name);
bool eq_micro_wanted(void); /* rather than BLAS and general paths: it is fast, or was asked for */
const char *eq_micro_name(void);
/* Sets this processor can run, best first; NULL past the last. */
const eq_micro_set *eq_micro_at(int i);

/* Copies a k x n matrix, b[k * bks + j * bns], into panels of `width` columns, each k x width and
 * behind the other; missing columns are 0. Room for eq_micro_packed(n, k) numbers. */
void eq_micro_pack(const float *b, int64_t bks, int64_t bns, int64_t k, int64_t n, float *panels);
static inline int64_t eq_micro_packed(int64_t n, int64_t k) {
  int64_t w = eq_micro()->width;
  return (n + w - 1) / w * w * k;
}
#endif
