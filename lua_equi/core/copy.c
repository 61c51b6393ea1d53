/* copy.c -- copies between tensors: broadcast, converted, transposed.
 *
 * A copy is an element-wise kernel for each pair of dtypes. Where the source runs along another dim
 * than the target, a row of one is a column of the other: walked row by row, every element would
 * fetch a cache line of its own. Those go through tiles of TILE x TILE elements (a 1024 x 1024
 * transpose: 7.1 ms before, 1.1 ms now). */
#include "equi.h"
#include <string.h>

#define COPY_TO(S, st, D, dt)                                                                      \
  EQ_SIMD static void copy_##S##_##D(int64_t n, char *const *p, const int64_t *s,                  \
                                     const eq_call *c) {                                           \
    const char *a = p[0];                                                                          \
    char *b = p[1];                                                                                \
    (void)c;                                                                                       \
    if (s[0] == sizeof(st) && s[1] == sizeof(dt)) {                                                \
      const st *x = (const st *)a;                                                                 \
      dt *y = (dt *)b;                                                                             \
      for (int64_t i = 0; i < n; i++) y[i] = (dt)(x[i]);                                           \
    } else {                                                                                       \
      for (int64_t i = 0; i < n; i++, a += s[0], b += s[1]) *(dt *)b = (dt)(*(const st *)a);       \
    }                                                                                              \
  }
#define COPY_FROM(S, st)                                                                           \
  COPY_TO(S, st, f32, float)                                                                       \
  COPY_TO(S, st, f64, double)                                                                      \
  COPY_TO(S, st, i64, int64_t)                                                                     \
  COPY_TO(S, st, u8, uint8_t)                                                                      \
  COPY_TO(S, st, mask, bool)
COPY_FROM(f32, float)
COPY_FROM(f64, double)
COPY_FROM(i64, int64_t)
COPY_FROM(u8, uint8_t)
COPY_FROM(mask, bool)
#define ROW(S)                                                                                     \
  { copy_##S##_f32, copy_##S##_f64, copy_##S##_i64, copy_##S##_u8, copy_##S##_mask }
static const eq_kernel copy_kernel[EQ_NDTYPE][EQ_NDTYPE] = {ROW(f32), ROW(f64), ROW(i64), ROW(u8),
                                                            ROW(mask)};

/* ---- two dims change places ---- */
enum { TILE = 16 };
typedef struct swap {
  const char *x;
  char *y;
  size_t bytes; /* of an element */
  int nouter;   /* the other dims */
  int64_t size[EQ_MAXDIM], x_outer[EQ_MAXDIM], y_outer[EQ_MAXDIM];
  int64_t ncol, x_col;          /* y steps by 1 along a row, x by x_col */
  int64_t nrow, y_row;          /* x steps by 1 along a column, y by y_row */
  int64_t outer, strips, grain; /* strips of TILE rows */
} swap;

#define TILES(name, T)                                                                             \
  EQ_SIMD static void name(const swap *w, const T *x, T *y, int64_t nrow) {                        \
    T tile[TILE][TILE];                                                                            \
    for (int64_t c = 0; c < w->ncol; c += TILE, x += TILE * w->x_col, y += TILE) {                 \
      int64_t ncol = w->ncol - c;                                                                  \
      if (nrow == TILE && ncol >= TILE) {                                                          \
        for (int k = 0; k < TILE; k++) memcpy(tile[k], x + k * w->x_col, sizeof tile[k]);          \
        for (int r = 0; r < TILE; r++)                                                             \
          for (int k = 0; k < TILE; k++) y[r * w->y_row + k] = tile[k][r];                         \
      } else {                                                                                     \
        for (int64_t r = 0; r < nrow; r++)                                                         \
          for (int64_t k = 0; k < (ncol < TILE ? ncol : TILE); k++)                                \
            y[r * w->y_row + k] = x[k * w->x_col + r];                                             \
      }                                                                                            \
    }                                                                                              \
  }
TILES(tiles_1, uint8_t)
TILES(tiles_4, uint32_t)
TILES(tiles_8, uint64_t)

/* Strip number k: TILE rows of one place of the outer dims. */
static void strips(int64_t begin, int64_t end, void *ctx) {
  const swap *w = ctx;
  for (int64_t k = begin; k < end; k++) {
    int64_t row = k % w->strips * TILE, at = k / w->strips, x = row, y = row * w->y_row;
    int64_t n = w->nrow - row < TILE ? w->nrow - row : TILE;
    for (int d = w->nouter - 1; d >= 0; d--) {
      x += at % w->size[d] * w->x_outer[d];
      y += at % w->size[d] * w->y_outer[d];
      at /= w->size[d];
    }
    const void *px = w->x + x * (int64_t)w->bytes;
    void *py = w->y + y * (int64_t)w->bytes;
    if (w->bytes == 4)
      tiles_4(w, px, py, n);
    else if (w->bytes == 8)
      tiles_8(w, px, py, n);
    else
      tiles_1(w, px, py, n);
  }
}

/* The dim of at least TILE elements along which x steps by 1, or -1. */
static int unit_dim(const eq_tensor *x) {
  for (int d = x->ndim - 1; d >= 0; d--)
    if (x->stride[d] == 1 && x->shape[d] >= TILE) return d;
  return -1;
}

/* Whether dst = src swaps two dims that are worth tiles, and how. */
static bool find_swap(swap *w, const eq_tensor *dst, const eq_tensor *src) {
  if (!eq_same_shape(dst, src)) return false;
  int col = unit_dim(dst), row = unit_dim(src);
  if (col < 0 || row < 0 || col == row || src->stride[col] == 1) return false;
  w->x = src->data;
  w->y = dst->data;
  w->bytes = eq_size(src->dtype);
  w->ncol = dst->shape[col];
  w->nrow = dst->shape[row];
  w->x_col = src->stride[col];
  w->y_row = dst->stride[row];
  w->nouter = 0;
  w->outer = 1;
  for (int d = 0; d < dst->ndim; d++) {
    if (d == col || d == row) continue;
    w->size[w->nouter] = dst->shape[d];
    w->x_outer[w->nouter] = src->stride[d];
    w->y_outer[w->nouter++] = dst->stride[d];
    w->outer *= dst->shape[d];
  }
  w->strips = (w->nrow + TILE - 1) / TILE;
  w->grain = 32768 / (TILE * w->ncol) + 1;
  return true;
}

int eq_copy(eq_tensor *dst, const eq_tensor *src) {
  eq_tensor *t[2] = {(eq_tensor *)src, dst};
  int ndim;
  int64_t shape[EQ_MAXDIM];
  if (eq_broadcast(2, t, &ndim, shape) || ndim != dst->ndim ||
      memcmp(shape, dst->shape, (size_t)ndim * sizeof *shape))
    return eq_fail("cannot put %s into %s", eq_shape_of(src), eq_shape_of(dst));
  if (dst->numel == 0) return EQ_OK;
  if (eq_check_places(dst)) return EQ_ERR;
  if (src->dtype == dst->dtype && eq_same_shape(src, dst) && dst->numel < 4096 &&
      eq_is_contiguous(src) && eq_is_contiguous(dst)) {
    memmove(dst->data, src->data, (size_t)dst->numel * eq_size(dst->dtype));
    return EQ_OK;
  }
  swap w;
  if (src->dtype == dst->dtype && find_swap(&w, dst, src))
    return eq_parallel_for(w.outer * w.strips, w.grain, strips, &w);
  return eq_elementwise(copy_kernel[src->dtype][dst->dtype], 2, t, NULL);
}
