/* pool.c -- pooling of images: the largest pixel, or the mean, of every window.
 *
 *   max: y[b, c, i, j] = max over u, v of x[b, c, i s - p + u d, j s - p + v d]
 *
 * per channel, so vectors of channels throughout. A maximum keeps the number u KW + v of the place
 * it came from, in a byte where that fits; NaN wins, as it does in PyTorch. Each pixel of the
 * gradient looks at the windows it is in, so no two threads write one pixel. Means are sums with
 * weights, which resample.c computes. */
#ifdef T
/* One source pixel of a window against the best so far. */
EQ_SIMD static void FN(keep)(const T *x, T *y, int64_t n) {
  for (int64_t i = 0; i < n; i++) y[i] = ((x[i] > y[i]) | (x[i] != x[i])) ? x[i] : y[i];
}

#define PLACED(I, name)                                                                            \
  EQ_SIMD static void FN(keep_##name)(const T *x, T *y, I *place, I here, int64_t n) {             \
    for (int64_t i = 0; i < n; i++) {                                                              \
      bool better = (x[i] > y[i]) | (x[i] != x[i]);                                                \
      y[i] = better ? x[i] : y[i];                                                                 \
      place[i] = better ? here : place[i];                                                         \
    }                                                                                              \
  }                                                                                                \
  /* y += x, or y = x, in the channels that came from here. */                                     \
  EQ_SIMD static void FN(add_##name)(const T *x, T *y, const I *place, I here, int64_t n) {        \
    for (int64_t i = 0; i < n; i++) y[i] += place[i] == here ? x[i] : 0;                           \
  }                                                                                                \
  EQ_SIMD static void FN(pick_##name)(const T *x, T *y, const I *place, I here, int64_t n) {       \
    for (int64_t i = 0; i < n; i++) y[i] = place[i] == here ? x[i] : y[i];                         \
  }
PLACED(uint8_t, u8)
PLACED(int64_t, i64)
#undef PLACED

/* Pixel k of line l of the target: over all taps of its row and its column. */
static void FN(pixel)(const job *j, int64_t l, int64_t k) {
  const eq_taps *r = j->rows, *c = j->cols;
  int64_t n = j->channels, i = l % r->n, image = l / r->n * j->height;
  int64_t to = (l * c->n + k) * n;
  T *y = (T *)j->y + to;
  for (int64_t q = 0; q < n; q++) y[q] = j->pass == FIND ? (T)-INFINITY : 0;
  if (j->pass == FIND && j->place) {
    if (j->small)
      memset((uint8_t *)j->place + to, NOWHERE, (size_t)n);
    else
      for (int64_t q = 0; q < n; q++) ((int64_t *)j->place)[to + q] = -1;
  }
  for (int64_t a = r->first[i]; a < r->first[i + 1]; a++)
    for (int64_t b = c->first[k]; b < c->first[k + 1]; b++) {
      int64_t from = ((image + r->from[a]) * j->width + c->from[b]) * n;
      int64_t here = r->place[a] * j->window + c->place[b], at = j->pass == ADD ? from : to;
      const T *x = (const T *)j->x + from;
      uint8_t *small = (uint8_t *)j->place + at;
      int64_t *wide = (int64_t *)j->place + at;
      if (j->pass == FIND && !j->place)
        FN(keep)(x, y, n);
      else if (j->pass == FIND && j->small)
        FN(keep_u8)(x, y, small, (uint8_t)here, n);
      else if (j->pass == FIND)
        FN(keep_i64)(x, y, wide, here, n);
      else if (j->pass == ADD && j->small)
        FN(add_u8)(x, y, small, (uint8_t)here, n);
      else if (j->pass == ADD)
        FN(add_i64)(x, y, wide, here, n);
      else if (j->small)
        FN(pick_u8)(x, y, small, (uint8_t)here, n);
      else
        FN(pick_i64)(x, y, wide, here, n);
    }
}

static void FN(lines)(const job *j, int64_t begin, int64_t end) {
  for (int64_t l = begin; l < end; l++)
    for (int64_t k = 0; k < j->cols->n; k++) FN(pixel)(j, l, k);
}
#else
#include "../taps.h"
#include "image.h"
#include <math.h>
#include <string.h>

enum { PIECE = 32768, NOWHERE = 255 };

/* FIND the best of each window; ADD the gradient to where they were; PICK what is there. */
typedef enum { FIND, ADD, PICK } pass;

typedef struct job {
  const eq_taps *rows, *cols;
  const void *x;
  void *y, *place;                 /* place: NULL when nobody asks */
  int64_t height, width, channels; /* of x */
  int64_t window;                  /* numbers of a row of a window */
  bool small;
  pass pass;
  eq_dtype dtype;
} job;

#define EQ_FILE "ops/pool.c"
#include "../floats.h"

/* ---- windows of one axis ---- */
/* Places in a list: kernel 0 means windows that cover everything evenly. */
enum { FROM, TO, KERNEL, STRIDE, PAD, DILATION, AXIS };

static int64_t width_of(const int64_t *a) { return eq_window_width(a[FROM], a[TO], a[KERNEL]); }

static int make_taps(eq_taps *t, const int64_t *a, bool turned) {
  eq_taps ahead;
  int bad = eq_taps_windows(t, a[FROM], a[TO], a[KERNEL], a[STRIDE], a[PAD], a[DILATION]);
  if (bad || !turned) return bad;
  ahead = *t;
  bad = eq_taps_turn(&ahead, a[FROM], t);
  eq_taps_free(&ahead);
  return bad;
}

/* ---- maxima ---- */
static void piece(int64_t begin, int64_t end, void *ctx) {
  const job *j = ctx;
  FLOAT_CALL(j->dtype, lines, (j, begin, end));
}

/* x and place dense channels-last. */
static int run_dense(pass what, const eq_tensor *x, eq_tensor *y, const eq_tensor *place,
                     const int64_t *rows, const int64_t *cols) {
  eq_taps r = {0}, k = {0};
  job j = {.rows = &r,
           .cols = &k,
           .x = x->data,
           .y = y->data,
           .place = place->numel ? place->data : NULL,
           .height = x->shape[2],
           .width = x->shape[3],
           .channels = x->shape[1],
           .window = width_of(cols),
           .small = place->dtype == EQ_U8,
           .pass = what,
           .dtype = x->dtype};
  if (y->numel == 0) return EQ_OK;
  int bad = make_taps(&r, rows, what == ADD);
  if (!bad) bad = make_taps(&k, cols, what == ADD);
  if (!bad) {
    int64_t work = (r.count / r.n + 1) * (k.count + 1) * j.channels; /* of a line */
    bad = eq_parallel_for(x->shape[0] * r.n, work < PIECE ? PIECE / work : 1, piece, &j);
  }
  eq_taps_free(&r);
  eq_taps_free(&k);
  return bad;
}

static int run(eq_call *c, pass what, eq_tensor *place) {
  int n;
  eq_tensor *x = eq_channels_last(c->in[0]), *at = eq_channels_last(place);
  int bad = x && at ? run_dense(what, x, c->out[0], at, eq_list(c, 0, &n), eq_list(c, 1, &n))
                    : (int)eq_error.status;
  eq_release(x);
  eq_release(at);
  return bad;
}

/* The result with one size of each list. */
static int shape_by(eq_call *c, int k, eq_dtype t, int which) {
  const eq_tensor *x = c->in[0];
  int n;
  return eq_out_channels_last(
      c, k, t, 4,
      (int64_t[4]){x->shape[0], x->shape[1], eq_list(c, 0, &n)[which], eq_list(c, 1, &n)[which]});
}

/* Places are kept when a backward pass may ask for them. */
static int max_shape(eq_call *c) {
  int n;
  int64_t places = width_of(eq_list(c, 0, &n)) * width_of(eq_list(c, 1, &n));
  eq_dtype t = places <= NOWHERE ? EQ_U8 : EQ_I64;
  int bad = shape_by(c, 0, c->in[0]->dtype, TO);
  if (bad) return bad;
  if (eq_grad_enabled && c->in[0]->node) return shape_by(c, 1, t, TO);
  return eq_out(c, 1, t, 4, (int64_t[4]){0, 0, 0, 0});
}

static int max_run(eq_call *c) { return run(c, FIND, c->out[1]); }

static int linear(eq_call *c, const char *op, eq_tensor *g, eq_tensor *place, eq_tensor **gx) {
  int nr, nc;
  const int64_t *rows = eq_list(c, 0, &nr), *cols = eq_list(c, 1, &nc);
  *gx = eq_f(op, "ttll", g, place, nr, rows, nc, cols);
  return eq_error.status;
}

static int max_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  return linear(c, "max_pool_grad", gy[0], c->out[1], gx);
}

static int grad_shape(eq_call *c) { return shape_by(c, 0, c->in[0]->dtype, FROM); }
static int grad_run(eq_call *c) { return run(c, ADD, c->in[1]); }
static int grad_back(eq_call *c, eq_tensor **h, eq_tensor **gx) {
  return eq_needed(c, 0) ? linear(c, "max_pool_pick", h[0], c->in[1], gx) : EQ_OK;
}

static int pick_shape(eq_call *c) { return shape_by(c, 0, c->in[0]->dtype, TO); }
static int pick_run(eq_call *c) { return run(c, PICK, c->in[1]); }
static int pick_back(eq_call *c, eq_tensor **h, eq_tensor **gx) {
  return eq_needed(c, 0) ? linear(c, "max_pool_grad", h[0], c->in[1], gx) : EQ_OK;
}

/* ---- arguments ---- */
typedef struct windows {
  int64_t kernel[2], stride[2], pad[2], dilation[2], size[2];
} windows;

/* kernel, stride, padding stand in slots 0 to 2; stride is the kernel where absent or empty. */
static int read_windows(const eq_call *c, windows *w) {
  int n = 0;
  if (eq_given(c, 1)) (void)eq_list(c, 1, &n);
  w->dilation[0] = w->dilation[1] = 1;
  if (check_image(c->in[0], "x") || read_each(c, 0, "kernel", 2, 1, w->kernel) ||
      read_each(c, n ? 1 : 0, "stride", 2, 1, w->stride) ||
      read_each(c, 2, "padding", 2, 0, w->pad))
    return EQ_ERR;
  for (int d = 0; d < 2; d++)
    if (w->pad[d] > w->kernel[d] / 2)
      return eq_fail("padding must be at most half the kernel, got %" PRId64 " for a kernel of "
                     "%" PRId64 "; equi.pad adds more",
                     w->pad[d], w->kernel[d]);
  return EQ_OK;
}

/* Sizes of the result; with ceil_mode a last window may reach over the end, but not begin there. */
static int count_windows(const eq_tensor *x, windows *w, bool up) {
  for (int d = 0; d < 2; d++) {
    int64_t n = x->shape[2 + d], s = w->stride[d];
    int64_t covers = (w->kernel[d] - 1) * w->dilation[d] + 1, left = n + 2 * w->pad[d] - covers;
    if (n < 1 || left + (up ? s - 1 : 0) < 0)
      return eq_fail("a window covers %" PRId64 " %s, x has %" PRId64 " and the padding %" PRId64,
                     covers, d ? "columns" : "rows", n, 2 * w->pad[d]);
    w->size[d] = (left + (up ? s - 1 : 0)) / s + 1;
    if (up && (w->size[d] - 1) * s >= n + w->pad[d]) w->size[d]--;
  }
  return EQ_OK;
}

static eq_tensor *largest(eq_tensor *x, const windows *w) {
  int64_t a[2][AXIS];
  for (int d = 0; d < 2; d++) {
    a[d][FROM] = x->shape[2 + d], a[d][TO] = w->size[d], a[d][KERNEL] = w->kernel[d];
    a[d][STRIDE] = w->stride[d], a[d][PAD] = w->pad[d], a[d][DILATION] = w->dilation[d];
  }
  return eq_f("max_pool", "tll", x, AXIS, a[0], AXIS, a[1]);
}

/* divisor 0: as many as are counted. */
static eq_tensor *mean(eq_tensor *x, const windows *w, bool include, int64_t divisor) {
  int64_t a[2][8];
  for (int d = 0; d < 2; d++) {
    const int64_t list[8] = {EQ_WINDOW,    x->shape[2 + d], w->size[d], w->kernel[d],
                             w->stride[d], w->pad[d],       include,    d && divisor ? 1 : divisor};
    memcpy(a[d], list, sizeof list);
  }
  return eq_f("resample", "tllnnb", x, 8, a[0], 8, a[1], 0.0, 0.0, 0);
}

/* ---- the four ops ---- */
static int max_pool2d(eq_call *c) {
  windows w;
  if (read_windows(c, &w) || read_each(c, 3, "dilation", 2, 1, w.dilation) ||
      count_windows(c->in[0], &w, c->arg[4].i))
    return EQ_ERR;
  return give(c, largest(c->in[0], &w));
}

static int avg_pool2d(eq_call *c) {
  windows w;
  if (read_windows(c, &w) || count_windows(c->in[0], &w, c->arg[3].i)) return EQ_ERR;
  int64_t divisor = eq_given(c, 5) ? c->arg[5].i : 1;
  if (divisor < 1) return eq_fail("divisor must be at least 1, got %" PRId64, divisor);
  return give(c, mean(c->in[0], &w, c->arg[4].i, eq_given(c, 5) ? divisor : 0));
}

static int read_adaptive(const eq_call *c, windows *w) {
  const eq_tensor *x = c->in[0];
  memset(w, 0, sizeof *w);
  w->dilation[0] = w->dilation[1] = 1;
  if (check_image(x, "x") || read_each(c, 0, "size", 2, 1, w->size)) return EQ_ERR;
  for (int d = 0; d < 2; d++)
    if (x->shape[2 + d] < 1) return eq_fail("x is %s and has no pixels", eq_shape_of(x));
  return EQ_OK;
}

static int adaptive_max_pool2d(eq_call *c) {
  windows w;
  return read_adaptive(c, &w) ? EQ_ERR : give(c, largest(c->in[0], &w));
}

static int adaptive_avg_pool2d(eq_call *c) {
  windows w;
  return read_adaptive(c, &w) ? EQ_ERR : give(c, mean(c->in[0], &w, false, 0));
}

#define WINDOWS                                                                                    \
  "Windows of `kernel` pixels, `stride` apart (by default side by side), of B x C x H x W "        \
  "images; "                                                                                       \
  "each number\nis for both dims or {height, width}. "
const eq_op ops_pool[] = {
    {.name = "max_pool2d",
     .sig = "x:float, kernel:ints, stride:ints=nil, padding:ints=0, dilation:ints=1, "
            "ceil_mode:bool=false -> y",
     .doc = "The largest number of each window, per channel; NaN wins.\n" WINDOWS
            "padding adds places that never win, at most half the kernel.\nThe result has "
            "floor((H + 2 padding - dilation (kernel - 1) - 1) / stride) + 1 rows, channels-last; "
            "with\nceil_mode that is rounded up: a window may reach over the end. Of equal numbers "
            "the first gets the\ngradient.",
     .example = "local x = equi.linspace(1, 16, 16):reshape(1, 1, 4, 4)\n"
                "print(equi.max_pool2d(x, 2):totable()[1][1][1][1])  --> 6.0\n"
                "print(equi.max_pool2d(x, 3, {stride = 2, padding = 1}):size())  --> 1 1 2 2",
     .compose = max_pool2d,
     .where = EQ_HERE},
    {.name = "max_pool",
     .sig = "x:float, rows:ints, cols:ints -> y; place",
     .doc = "The largest of each window; the windows of an axis are a list.",
     .shape = max_shape,
     .run = max_run,
     .back = max_back,
     .flags = EQ_ANY_STRIDE | EQ_SAVE_OUT | EQ_HIDDEN,
     .where = EQ_HERE},
    {.name = "max_pool_grad",
     .sig = "g:float, place:tensor, rows:ints, cols:ints -> gx",
     .doc = "Zeros with g added where the largest were: the rule of max_pool.",
     .shape = grad_shape,
     .run = grad_run,
     .back = grad_back,
     .flags = EQ_ANY_STRIDE | EQ_SAVE_IN1 | EQ_MIXED | EQ_HIDDEN,
     .where = EQ_HERE},
    {.name = "max_pool_pick",
     .sig = "h:float, place:tensor, rows:ints, cols:ints -> y",
     .doc = "What h has where the largest were: the rule of max_pool_grad.",
     .shape = pick_shape,
     .run = pick_run,
     .back = pick_back,
     .flags = EQ_ANY_STRIDE | EQ_SAVE_IN1 | EQ_MIXED | EQ_HIDDEN,
     .where = EQ_HERE},
    {.name = "avg_pool2d",
     .sig = "x:float, kernel:ints, stride:ints=nil, padding:ints=0, ceil_mode:bool=false, "
            "count_include_pad:bool=true, divisor:int=nil -> y",
     .doc = "The mean of each window, per channel.\n" WINDOWS
            "padding adds zeros, at most half the kernel; with\ncount_include_pad = false they do "
            "not count in the mean. `divisor` divides the sums in place of\nthe count. Sizes as in "
            "max_pool2d, channels-last.",
     .example = "local x = equi.linspace(1, 16, 16):reshape(1, 1, 4, 4)\n"
                "print(equi.avg_pool2d(x, 2):totable()[1][1][1][1])  --> 3.5",
     .compose = avg_pool2d,
     .where = EQ_HERE},
    {.name = "adaptive_avg_pool2d",
     .sig = "x:float, size:ints -> y",
     .doc = "The means of size = {height, width} (or one number for both) windows that cover x "
            "evenly, per channel:\nrows floor(i H / h) to ceil((i + 1) H / h), and columns so, "
            "channels-last. Size 1 is the mean of all pixels.",
     .example = "local x = equi.linspace(1, 16, 16):reshape(1, 1, 4, 4)\n"
                "print(equi.adaptive_avg_pool2d(x, 1):item())  --> 8.5",
     .compose = adaptive_avg_pool2d,
     .where = EQ_HERE},
    {.name = "adaptive_max_pool2d",
     .sig = "x:float, size:ints -> y",
     .doc = "The largest numbers of size = {height, width} (or one number for both) windows that "
            "cover x evenly, as\nthose of adaptive_avg_pool2d; NaN wins.",
     .example = "local x = equi.linspace(1, 16, 16):reshape(1, 1, 4, 4)\n"
                "print(equi.adaptive_max_pool2d(x, 1):item())  --> 16.0",
     .compose = adaptive_max_pool2d,
     .where = EQ_HERE},
    {0}};
#endif
