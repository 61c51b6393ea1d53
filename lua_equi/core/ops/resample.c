/* resample.c -- images of other sizes, turned by any angle, with borders; means over windows.
 *
 * All of these are linear maps whose weights are those of the row times those of the column
 * (turning: of the pixel): tables of taps, see taps.h. One op runs them, and its rule is the same
 * op with the tables turned around. Conventions are PyTorch's. */
#include "../taps.h"
#include "image.h"
#include <math.h>
#include <string.h>

/* ---- tables of one axis: n places of x, m of the result ---- */
/* Places in the list of one axis. */
enum { KIND, FROM, TO, KERNEL, STRIDE, PAD, INCLUDE, DIVISOR, MODE = KERNEL, BEFORE = STRIDE };

/* Means over windows. Padded places count in the divisor when INCLUDE is set, but not beyond the
 * padding. */
static int mean_taps(eq_taps *t, const int64_t *a) {
  if (eq_taps_windows(t, a[FROM], a[TO], a[KERNEL], a[STRIDE], a[PAD], 1)) return eq_error.status;
  for (int64_t i = 0; i < a[TO]; i++) {
    int64_t all = t->first[i + 1] - t->first[i];
    if (a[INCLUDE]) {
      int64_t left = a[FROM] + 2 * a[PAD] - i * a[STRIDE];
      all = left < a[KERNEL] ? left : a[KERNEL];
    }
    t->divisor[i] = a[DIVISOR] ? (double)a[DIVISOR] : all ? (double)all : 1;
  }
  return EQ_OK;
}

/* Place i of the result reads place i * ratio; without corners, centres of pixels are compared. */
static int stretch_taps(eq_taps *t, const int64_t *a, double ratio) {
  int64_t n = a[FROM], m = a[TO];
  if (eq_taps_new(t, m, 2 * m)) return eq_error.status;
  for (int64_t i = 0; i < m; i++) {
    eq_taps_begin(t, i, 1);
    if (a[KIND] == EQ_NEAREST) {
      int64_t at = ratio > 0 ? (int64_t)((double)i * ratio) : i * n / m;
      eq_taps_add(t, at < n ? at : n - 1, 0, 1);
      continue;
    }
    double at = a[KIND] == EQ_CORNERS ? (double)i * ratio : ((double)i + 0.5) * ratio - 0.5;
    at = at < 0 ? 0 : at;
    int64_t low = (int64_t)at < n - 1 ? (int64_t)at : n - 1;
    double part = at - (double)low;
    if (low + 1 >= n) part = 0;
    eq_taps_add(t, low, 0, 1 - part);
    if (part > 0) eq_taps_add(t, low + 1, 0, part);
  }
  return EQ_OK;
}

static int border_taps(eq_taps *t, const int64_t *a) {
  if (eq_taps_new(t, a[TO], a[TO])) return eq_error.status;
  for (int64_t i = 0; i < a[TO]; i++) {
    eq_taps_begin(t, i, 1);
    eq_taps_add(t, eq_border((int)a[MODE], i - a[BEFORE], a[FROM]), 0, 1);
  }
  return EQ_OK;
}

/* Turned around: where each place of x went. */
static int make_taps(eq_taps *t, const int64_t *a, double ratio, bool turned) {
  eq_taps ahead;
  int bad = a[KIND] == EQ_WINDOW   ? mean_taps(t, a)
            : a[KIND] == EQ_BORDER ? border_taps(t, a)
                                   : stretch_taps(t, a, ratio);
  if (bad || !turned) return bad;
  ahead = *t;
  bad = eq_taps_turn(&ahead, a[FROM], t);
  eq_taps_free(&ahead);
  return bad;
}

/* ---- the op ---- */
static int resample_shape(eq_call *c) {
  const eq_tensor *x = c->in[0];
  int n, to = c->arg[4].i ? FROM : TO;
  return eq_out_channels_last(
      c, 0, x->dtype, 4,
      (int64_t[4]){x->shape[0], x->shape[1], eq_list(c, 0, &n)[to], eq_list(c, 1, &n)[to]});
}

static int resample_run(eq_call *c) {
  int n;
  bool turned = c->arg[4].i;
  if (!c->out[0]->numel) return EQ_OK;
  eq_taps rows = {0}, cols = {0};
  eq_tensor *x = eq_channels_last(c->in[0]);
  int bad = x ? make_taps(&rows, eq_list(c, 0, &n), c->arg[2].f, turned) : (int)eq_error.status;
  if (!bad) bad = make_taps(&cols, eq_list(c, 1, &n), c->arg[3].f, turned);
  if (!bad) bad = eq_taps_run(&rows, &cols, x, x->shape[2], x->shape[3], c->out[0]);
  eq_taps_free(&rows);
  eq_taps_free(&cols);
  eq_release(x);
  return bad;
}

static int resample_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  int nr, nc;
  const int64_t *rows = eq_list(c, 0, &nr), *cols = eq_list(c, 1, &nc);
  gx[0] =
      eq_f("resample", "tllnnb", gy[0], nr, rows, nc, cols, c->arg[2].f, c->arg[3].f, !c->arg[4].i);
  return eq_error.status;
}

/* ---- upsample ---- */
static int upsample(eq_call *c) {
  const eq_tensor *x = c->in[0];
  bool linear = c->arg[2].i, corners = c->arg[3].i;
  int64_t axis[2][3];
  double ratio[2];
  int n = 0;
  const int64_t *size = eq_given(c, 0) ? eq_list(c, 0, &n) : NULL;
  double scale = eq_given(c, 1) ? c->arg[1].f : 0;
  if (check_image(x, "x")) return EQ_ERR;
  if (!x->shape[2] || !x->shape[3]) return eq_fail("x is %s and has no pixels", eq_shape_of(x));
  if ((size != NULL) == eq_given(c, 1))
    return eq_fail("needs either size or scale%s", size ? ", not both" : "");
  if (size && n != 1 && n != 2)
    return eq_fail("size must be one number or two {height, width}, got %d", n);
  if (corners && !linear) return eq_fail("align_corners goes with mode \"bilinear\" only");
  if (!size && !(scale > 0)) return eq_fail("scale must be more than 0, got %g", scale);
  for (int d = 0; d < 2; d++) {
    double from = (double)x->shape[2 + d],
           want = size ? (double)size[n == 1 ? 0 : d] : floor(from * scale);
    if (want < 1 || want > TOO_FAR)
      return eq_fail("the result would have %g %s; at least 1 and at most 2^30 work", want,
                     d ? "columns" : "rows");
    axis[d][KIND] = !linear ? EQ_NEAREST : corners ? EQ_CORNERS : EQ_LINEAR;
    axis[d][FROM] = x->shape[2 + d];
    axis[d][TO] = (int64_t)want;
    ratio[d] = corners  ? (want > 1 ? (from - 1) / (want - 1) : 0)
               : !size  ? 1 / scale
               : linear ? from / want
                        : 0; /* whole numbers know it better */
  }
  return give(c, eq_f("resample", "tllnnb", x, 3, axis[0], 3, axis[1], ratio[0], ratio[1], 0));
}

/* ---- rotate ---- */
/* The cosine and sine, exact for quarter turns. */
static void direction(double degrees, double *cosine, double *sine) {
  static const double quarter[4] = {1, 0, -1, 0};
  double turn = fmod(degrees, 360);
  if (turn < 0) turn += 360;
  *cosine = cos(turn * acos(-1) / 180);
  *sine = sin(turn * acos(-1) / 180);
  if (fmod(turn, 90) != 0) return;
  int k = (int)(turn / 90) % 4;
  *cosine = quarter[k];
  *sine = quarter[(k + 3) % 4];
}

/* Taps of every pixel of the result, in one row: the four around the place it comes from. */
static int turn_taps(eq_taps *t, int64_t h, int64_t w, double degrees) {
  double c, s, mid_y = (double)(h - 1) / 2, mid_x = (double)(w - 1) / 2;
  direction(degrees, &c, &s);
  if (eq_taps_new(t, h * w, 4 * h * w)) return eq_error.status;
  for (int64_t p = 0; p < h * w; p++) {
    double dy = (double)(p / w) - mid_y, dx = (double)(p % w) - mid_x;
    double y = mid_y + s * dx + c * dy, x = mid_x + c * dx - s * dy;
    double y0 = floor(y), x0 = floor(x);
    eq_taps_begin(t, p, 1);
    for (int k = 0; k < 4; k++) {
      double i = y0 + k / 2, j = x0 + k % 2, weight = (1 - fabs(y - i)) * (1 - fabs(x - j));
      if (weight > 0 && i >= 0 && i < (double)h && j >= 0 && j < (double)w)
        eq_taps_add(t, (int64_t)i * w + (int64_t)j, 0, weight);
    }
  }
  return EQ_OK;
}

static int turn_shape(eq_call *c) {
  return eq_out_channels_last(c, 0, c->in[0]->dtype, 4, c->in[0]->shape);
}

static int turn_run(eq_call *c) {
  int64_t h = c->in[0]->shape[2], w = c->in[0]->shape[3];
  eq_taps rows = {0}, back = {0}, one = {0};
  eq_tensor *x = eq_channels_last(c->in[0]);
  int bad = x ? turn_taps(&rows, h, w, c->arg[0].f) : (int)eq_error.status;
  if (!bad && c->arg[1].i) bad = eq_taps_turn(&rows, h * w, &back);
  if (!bad && !(bad = eq_taps_new(&one, 1, 1))) {
    eq_taps_begin(&one, 0, 1);
    eq_taps_add(&one, 0, 0, 1);
    bad = eq_taps_run(c->arg[1].i ? &back : &rows, &one, x, h * w, 1, c->out[0]);
  }
  eq_taps_free(&rows);
  eq_taps_free(&back);
  eq_taps_free(&one);
  eq_release(x);
  return bad;
}

static int turn_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  gx[0] = eq_f("turn", "tnb", gy[0], c->arg[0].f, !c->arg[1].i);
  return eq_error.status;
}

static int rotate(eq_call *c) {
  eq_tensor *x = c->in[0];
  double degrees = c->arg[0].f;
  if (x->ndim < 2)
    return eq_fail("x must end with height and width, it is %s",
                   x->ndim ? eq_shape_of(x) : "a single number");
  if (!isfinite(degrees)) return eq_fail("degrees must be a finite number, got %g", degrees);
  int64_t h = x->shape[x->ndim - 2], w = x->shape[x->ndim - 1];
  double turn = fmod(degrees, 360);
  if (fmod(turn, 90) == 0 && (h == w || fmod(turn, 180) == 0))
    return give(c, eq_f("rot90", "ti", x, (int64_t)(turn / 90)));
  if (x->numel == 0) return give(c, eq_f("clone", "t", x));
  if (x->ndim == 4) return give(c, eq_f("turn", "tnb", x, degrees, 0));
  int64_t flat[4] = {1, x->numel / (h * w), h, w};
  return give(c, eq_f("reshape", "Tl",
                      eq_f("turn", "Tnb", eq_f("reshape", "tl", x, 4, flat), degrees, 0), x->ndim,
                      x->shape));
}

const eq_op ops_resample[] = {
    {.name = "resample",
     .sig = "x:float, rows:ints, cols:ints, ratio_h:num, ratio_w:num, turned:bool -> y",
     .doc = "Pixels as sums of pixels, by tables made from the lists (taps.h).",
     .shape = resample_shape,
     .run = resample_run,
     .back = resample_back,
     .flags = EQ_ANY_STRIDE | EQ_HIDDEN,
     .where = EQ_HERE},
    {.name = "upsample",
     .sig = "x:float, size:ints=nil, scale:num=nil, mode:nearest|bilinear=nearest, "
            "align_corners:bool=false -> y",
     .doc =
         "Images of another size: x is B x C x H x W, the result has the size given ({height, "
         "width}, or one\nnumber for both), or scale times that of x, rounded down. nearest "
         "repeats pixels, bilinear goes\nstraight from one to the next. As PyTorch's interpolate: "
         "with align_corners the corner pixels of\nboth lie on each other, else the outer edges; "
         "sizes may shrink, but nothing is averaged.",
     .example = "local x = equi.tensor({0, 1}):reshape(1, 1, 1, 2)\n"
                "local y = equi.upsample(x, {1, 4}, {mode = \"bilinear\"})\n"
                "print(y[1][1][1][2]:item(), y:size())  --> 0.25\t1\t1\t1\t4",
     .compose = upsample,
     .where = EQ_HERE},
    {.name = "turn",
     .sig = "x:float, degrees:num, turned:bool -> y",
     .doc = "rotate of images; turned: the transposed map.",
     .shape = turn_shape,
     .run = turn_run,
     .back = turn_back,
     .flags = EQ_ANY_STRIDE | EQ_HIDDEN,
     .where = EQ_HERE},
    {.name = "rotate",
     .sig = "x:float, degrees:num -> y",
     .doc =
         "The images in the last two dims turned about their centre, counter-clockwise as rot90, "
         "sizes kept.\nThe result is approximate: each pixel is interpolated (bilinear) between "
         "four of x, outside of\nwhich all is 0, so turning back does not give x again. Multiples "
         "of 90 degrees are exact: rot90.\nA quarter turn of an image that is not square cuts "
         "what overhangs.",
     .example = "local x = equi.tensor({{1, 2}, {3, 4}})\n"
                "print(equi.rotate(x, 90)[1][1]:item())  --> 2.0\n"
                "print(equi.rotate(equi.ones(9, 9), 45)[1][1]:item())  --> 0.0",
     .compose = rotate,
     .where = EQ_HERE},
    {0}};
