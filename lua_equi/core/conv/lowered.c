/* lowered.c -- convolution as a matrix product: any geometry, f32 and f64.
 *
 * The numbers that one pixel of y reads become a row of a matrix, in the order kernel row, kernel
 * column, channel; each group has its own matrix. With the filters in the same order
 *   y = rows w',   gx = rows of gy w put back where they came from,   gw = gy' rows.
 * The matrix is made for some rows of y at a time, which bounds the memory; sums run in an order
 * that depends on the sizes alone. A 1 x 1 kernel that reads every pixel needs no matrix: x is it.
 * Not here: speed on small channel counts, for which there are the other paths. */
#ifdef T
/* Adds the columns of kernel place (u, v) to row i of image b of gx. */
EQ_SIMD static void FN(add_row)(const lowered *l, const T *from, T *to, int64_t v) {
  const eq_conv *g = l->g;
  int64_t first = 0, shift = v * g->dw - g->left, n = g->ci / g->groups;
  while (first < g->ow && first * g->sw + shift < 0) first++;
  for (int64_t j = first; j < g->ow && j * g->sw + shift < g->w; j++) {
    T *x = to + (j * g->sw + shift) * g->ci;
    for (int64_t k = 0; k < g->groups; k++) {
      const T *c = from + (k * l->rows + j) * l->k;
      for (int64_t i = 0; i < n; i++) x[k * n + i] += c[i];
    }
  }
}

static void FN(gather)(const lowered *l, int64_t begin, int64_t end) {
  const eq_conv *g = l->g;
  for (int64_t r = begin; r < end; r++) {
    int64_t b = r / g->h, i = r % g->h;
    T *to = (T *)(void *)g->x.data + r * g->w * g->ci;
    for (int64_t u = 0; u < g->kh; u++) {
      int64_t at = i + g->top - u * g->dh, line = b * g->oh + at / g->sh;
      if (at < 0 || at % g->sh || at / g->sh >= g->oh || line < l->from || line >= l->to) continue;
      for (int64_t v = 0; v < g->kw; v++) FN(add_row)
      (l,
       (const T *)(const void *)l->matrix->data + (line - l->from) * g->ow * l->k +
           (u * g->kw + v) * (g->ci / g->groups),
       to, v);
    }
  }
}

static void FN(add_bias)(const lowered *l, int64_t begin, int64_t end) {
  const eq_conv *g = l->g;
  const T *bias = g->bias;
  for (int64_t p = begin; p < end; p++) {
    T *y = (T *)(void *)g->y.data + p * g->co;
    for (int64_t o = 0; o < g->co; o++) y[o] += bias[o];
  }
}

static void FN(add)(char *to, const char *from, int64_t n) {
  T *y = (T *)(void *)to;
  const T *x = (const T *)(const void *)from;
  for (int64_t i = 0; i < n; i++) y[i] += x[i];
}
#else
#include "conv.h"
#include <string.h>

enum { MOST = 1 << 21, PIECE = 32768 }; /* elements of the matrix; of a thread's piece */

typedef struct lowered {
  const eq_conv *g;
  size_t size;                 /* of an element */
  int64_t k;                   /* numbers of a row: kh kw ci / groups */
  int64_t from, to;            /* lines of y that the matrix holds, counted through the batch */
  int64_t rows;                /* its rows: (to - from) ow */
  eq_tensor *matrix, *filters; /* [groups, rows, k], [groups, co / groups, k] */
} lowered;

#define EQ_FILE "conv/lowered.c"
#include "../floats.h"

/* ---- matrices that others own ---- */
/* [groups, rows, n] over images: the channels of a group beside those of the others. */
static eq_tensor borrowed(const eq_conv *g, char *data, int64_t rows, int64_t n, int64_t pixel) {
  eq_tensor x = {.refs = 1, .dtype = g->dtype, .ndim = 3, .numel = g->groups * rows * n};
  x.shape[0] = g->groups, x.shape[1] = rows, x.shape[2] = n;
  x.stride[0] = n, x.stride[1] = pixel, x.stride[2] = 1;
  x.data = data;
  return x;
}

static eq_tensor transposed(eq_tensor x) {
  int64_t n = x.shape[1], s = x.stride[1];
  x.shape[1] = x.shape[2], x.stride[1] = x.stride[2];
  x.shape[2] = n, x.stride[2] = s;
  return x;
}

static int product(const eq_conv *g, eq_tensor *x, eq_tensor *w, bool w_transposed,
                   const eq_tensor *bias, eq_tensor *y) {
  return eq_product(x, w, w_transposed, bias, 1, &g->groups, y);
}

/* The filters, or their gradient, as [groups, co / groups, kh, kw, ci / groups]. */
static eq_tensor *filter_view(const eq_conv *g) {
  const eq_tensor *w = g->weight;
  const int64_t *s = w->stride,
                shape[5] = {g->groups, g->co / g->groups, g->kh, g->kw, g->ci / g->groups};
  const int64_t stride[5] = {s[0] * shape[1], s[0], s[2], s[3], s[1]};
  return eq_view(w, 5, shape, stride, 0);
}

/* ---- the matrix ---- */
static void copy_pixel(const lowered *l, char *to, const char *from) {
  const eq_conv *g = l->g;
  size_t bytes = (size_t)(g->ci / g->groups) * l->size;
  for (int64_t k = 0; k < g->groups; k++, to += (size_t)(l->rows * l->k) * l->size) {
    if (from)
      memcpy(to, from + (size_t)k * bytes, bytes);
    else
      memset(to, 0, bytes);
  }
}

/* One row, for pixel (i, j) of image b of y. */
static void fill_row(const lowered *l, char *to, int64_t b, int64_t i, int64_t j) {
  const eq_conv *g = l->g;
  int64_t n = g->ci / g->groups, x0 = j * g->sw - g->left;
  bool run = g->groups == 1 && g->dw == 1 && g->x.pixel == g->ci && x0 >= 0 && x0 + g->kw <= g->w;
  for (int64_t u = 0; u < g->kh; u++) {
    int64_t at = i * g->sh - g->top + u * g->dh;
    bool inside = at >= 0 && at < g->h;
    const char *line = g->x.data + (b * g->x.image + at * g->x.row) * (int64_t)l->size;
    char *row = to + (size_t)(u * g->kw * n) * l->size;
    if (run && inside) {
      memcpy(row, line + (size_t)(x0 * g->x.pixel) * l->size, (size_t)(g->kw * n) * l->size);
      continue;
    }
    for (int64_t v = 0; v < g->kw; v++) {
      int64_t x = x0 + v * g->dw;
      copy_pixel(l, row + (size_t)(v * n) * l->size,
                 inside && x >= 0 && x < g->w ? line + x * g->x.pixel * (int64_t)l->size : NULL);
    }
  }
}

static void fill(int64_t begin, int64_t end, void *ctx) {
  const lowered *l = ctx;
  const eq_conv *g = l->g;
  for (int64_t r = begin; r < end; r++) {
    int64_t line = l->from + r / g->ow;
    fill_row(l, l->matrix->data + (size_t)(r * l->k) * l->size, line / g->oh, line % g->oh,
             r % g->ow);
  }
}

static int64_t grain_of(int64_t width) { return width < PIECE ? PIECE / width : 1; }

static int64_t lines_at_once(const lowered *l) {
  const eq_conv *g = l->g;
  int64_t n = MOST / (l->k * g->groups * g->ow), all = g->batch * g->oh;
  return n < 1 ? 1 : n < all ? n : all;
}

/* The next lines of y; the matrix has room for as many as at first. */
static void advance(lowered *l) {
  int64_t n = lines_at_once(l), all = l->g->batch * l->g->oh;
  l->from = l->to;
  l->to = all - l->from < n ? all : l->from + n;
  l->rows = (l->to - l->from) * l->g->ow;
  if (!l->matrix) return;
  l->matrix->shape[1] = l->rows;
  l->matrix->stride[0] = l->rows * l->k;
  l->matrix->numel = l->g->groups * l->rows * l->k;
}

static bool is_plain(const eq_conv *g) {
  return g->kh == 1 && g->kw == 1 && g->sh == 1 && g->sw == 1 && g->h == g->oh && g->w == g->ow &&
         !g->top && !g->left && g->x.row == g->w * g->x.pixel && g->x.image == g->h * g->x.row;
}

static int start(lowered *l, const eq_conv *g, bool filters) {
  *l = (lowered){.g = g, .size = eq_size(g->dtype), .k = g->kh * g->kw * (g->ci / g->groups)};
  if (!is_plain(g)) {
    int64_t shape[3] = {g->groups, lines_at_once(l) * g->ow, l->k};
    if (!(l->matrix = eq_empty(g->dtype, 3, shape))) return eq_error.status;
  }
  if (!filters) return EQ_OK;
  int64_t shape[3] = {g->groups, g->co / g->groups, l->k}, stride[3];
  eq_tensor *view = filter_view(g), *dense = view ? eq_contiguous(view) : NULL;
  eq_strides(3, shape, stride);
  l->filters = dense ? eq_view(dense, 3, shape, stride, 0) : NULL;
  eq_release(view);
  eq_release(dense);
  return l->filters ? EQ_OK : (int)eq_error.status;
}

static int finish(lowered *l, int bad) {
  eq_release(l->matrix);
  eq_release(l->filters);
  return bad;
}

/* ---- forward ---- */
static void bias_piece(int64_t begin, int64_t end, void *ctx) {
  const lowered *l = ctx;
  FLOAT_CALL(l->g->dtype, add_bias, (l, begin, end));
}

/* Rows of y from those of the matrix (or of x itself). Groups lie beside each other in y but behind
 * each other in a product, which therefore goes through a copy. */
static int put_product(const lowered *l, eq_tensor *rows) {
  const eq_conv *g = l->g;
  int64_t n = g->co / g->groups, shape[3] = {g->groups, rows->shape[1], n};
  char *at = g->y.data + (size_t)(l->from * g->ow * g->co) * l->size;
  eq_tensor y = borrowed(g, at, rows->shape[1], n, g->co);
  if (g->groups == 1) {
    eq_tensor bias = {
        .refs = 1, .dtype = g->dtype, .ndim = 1, .numel = g->co, .shape = {g->co}, .stride = {1}};
    bias.data = (char *)(uintptr_t)g->bias;
    return product(g, rows, l->filters, true, g->bias ? &bias : NULL, &y);
  }
  eq_tensor *parts = eq_empty(g->dtype, 3, shape);
  if (!parts) return eq_error.status;
  int bad = product(g, rows, l->filters, true, NULL, parts);
  if (!bad) bad = eq_copy(&y, parts);
  eq_release(parts);
  return bad;
}

static int forward(const eq_conv *g) {
  lowered l;
  int64_t pixels = g->batch * g->oh * g->ow;
  int bad = start(&l, g, true);
  if (!bad && !l.matrix) {
    eq_tensor x = borrowed(g, g->x.data, pixels, g->ci / g->groups, g->x.pixel);
    bad = put_product(&l, &x);
  }
  while (!bad && l.matrix && l.to < g->batch * g->oh) {
    advance(&l);
    bad = eq_parallel_for(l.rows, grain_of(l.k * g->groups), fill, &l);
    if (!bad) bad = put_product(&l, l.matrix);
  }
  if (!bad && g->bias && g->groups > 1)
    bad = eq_parallel_for(pixels, grain_of(g->co), bias_piece, &l);
  return finish(&l, bad);
}

/* ---- gradients ---- */
static eq_tensor gradient_rows(const lowered *l, int64_t rows) {
  const eq_conv *g = l->g;
  return borrowed(g, g->y.data + (size_t)(l->from * g->ow * g->co) * l->size, rows,
                  g->co / g->groups, g->co);
}

static void gather_piece(int64_t begin, int64_t end, void *ctx) {
  const lowered *l = ctx;
  FLOAT_CALL(l->g->dtype, gather, (l, begin, end));
}

static int grad_input(const eq_conv *g) {
  lowered l;
  int64_t lines = g->batch * g->h;
  int bad = start(&l, g, true);
  if (!bad && !l.matrix && g->groups == 1) {
    eq_tensor y = gradient_rows(&l, lines * g->w);
    eq_tensor x = borrowed(g, g->x.data, lines * g->w, g->ci, g->ci);
    return finish(&l, product(g, &y, l.filters, false, NULL, &x));
  }
  if (!bad && !l.matrix) {
    int64_t shape[3] = {g->groups, lines_at_once(&l) * g->ow, l.k};
    if (!(l.matrix = eq_empty(g->dtype, 3, shape))) bad = eq_error.status;
  }
  memset(g->x.data, 0, (size_t)(lines * g->w * g->ci) * l.size);
  while (!bad && l.to < g->batch * g->oh) {
    advance(&l);
    eq_tensor y = gradient_rows(&l, l.rows);
    bad = product(g, &y, l.filters, false, NULL, l.matrix);
    if (!bad) bad = eq_parallel_for(lines, grain_of(g->w * l.k), gather_piece, &l);
  }
  return finish(&l, bad);
}

/* Adds gy' rows to the sum; the first time it is the sum. */
static int add_product(const lowered *l, eq_tensor *rows, eq_tensor *sum, eq_tensor *part) {
  eq_tensor y = transposed(gradient_rows(l, rows->shape[1]));
  int bad = product(l->g, &y, rows, false, NULL, l->from ? part : sum);
  if (!bad && l->from) FLOAT_CALL(l->g->dtype, add, (sum->data, part->data, sum->numel));
  return bad;
}

static int grad_weight(const eq_conv *g) {
  lowered l;
  int64_t shape[5] = {g->groups, g->co / g->groups, g->kh, g->kw, g->ci / g->groups};
  eq_tensor *sum = eq_empty(g->dtype, 5, shape), *part = eq_empty(g->dtype, 5, shape);
  int bad = start(&l, g, false);
  if (!sum || !part) bad = eq_error.status;
  if (!bad && !l.matrix) {
    eq_tensor x = borrowed(g, g->x.data, g->batch * g->oh * g->ow, g->ci / g->groups, g->x.pixel);
    bad = add_product(&l, &x, sum, part);
  }
  while (!bad && l.matrix && l.to < g->batch * g->oh) {
    advance(&l);
    bad = eq_parallel_for(l.rows, grain_of(l.k * g->groups), fill, &l);
    if (!bad) bad = add_product(&l, l.matrix, sum, part);
  }
  eq_tensor *view = bad ? NULL : filter_view(g);
  if (!bad) bad = view ? eq_copy(view, sum) : (int)eq_error.status;
  eq_release(view);
  eq_release(sum);
  eq_release(part);
  return finish(&l, bad);
}

static eq_fitness can(const eq_conv *g, eq_pass pass) {
  (void)g;
  (void)pass;
  return EQ_CONV_GOOD;
}

const eq_conv_path eq_conv_lowered = {"lowered", can, {forward, grad_input, grad_weight}};
#endif
