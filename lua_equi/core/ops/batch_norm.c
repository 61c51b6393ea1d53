/* batch_norm.c -- y = (x - mean) / sqrt(var + eps) * weight + bias per channel: batch normalisation
 * (Ioffe and Szegedy 2015) and group normalisation (Wu and He 2018).
 *
 * What differs is where mean and var come from: the batch, running statistics, or groups of the
 * channels of one image. They become a table per channel, and channel_norm.c does the arithmetic,
 * relu and the residual included. The running statistics change last, so a call that ran out of
 * memory and is made again does not change them twice. */
#include "channel_norm.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { X, MEAN, VAR, WEIGHT, BIAS, ADD };

static int check_channels(const eq_tensor *x, const eq_tensor *v, const char *name) {
  if (!v || (v->ndim == 1 && v->shape[0] == x->shape[1])) return EQ_OK;
  return eq_fail("%s is %s, x is %s; it must have one number for each of the %" PRId64 " channels",
                 name, eq_shape_of(v), eq_shape_of(x), x->shape[1]);
}

static int check_input(const eq_tensor *x) {
  if (x->ndim >= 2) return EQ_OK;
  return eq_fail("x must be [B, C], [B, C, L] or [B, C, H, W], it is %s", eq_shape_of(x));
}

static int check(const eq_call *c) {
  static const char *const name[] = {"x", "mean", "var", "weight", "bias"};
  const eq_tensor *x = c->in[X], *add = c->in[ADD];
  bool training = c->arg[0].i;
  if (check_input(x)) return EQ_ERR;
  for (int i = MEAN; i <= BIAS; i++)
    if (check_channels(x, c->in[i], name[i])) return EQ_ERR;
  if (add && !eq_same_shape(x, add))
    return eq_fail("add is %s, x is %s; they must have one shape", eq_shape_of(add),
                   eq_shape_of(x));
  if (!c->in[MEAN] != !c->in[VAR]) return eq_fail("mean and var must be given both, or neither");
  if (!training && !c->in[MEAN]) return eq_fail("without training = true it needs mean and var");
  for (int i = MEAN; i <= VAR; i++)
    if (c->in[i] && c->in[i]->node)
      return eq_fail("%s requires a gradient; running statistics are no parameters: x:detach()",
                     name[i]);
  if (training && x->numel && x->numel == x->shape[1])
    return eq_fail("training needs more than one value for each channel, x is %s; take a larger "
                   "batch, or evaluation mode",
                   eq_shape_of(x));
  return EQ_OK;
}

/* The C numbers of v, or of what stands for an absent one. */
static void numbers(const eq_tensor *v, int64_t C, double absent, double *to) {
  bool plain = v && (v->stride[0] == 1 || C == 1);
  const float *f = plain && v->dtype == EQ_F32 ? (const float *)(const void *)v->data : NULL;
  const double *d = plain && v->dtype == EQ_F64 ? (const double *)(const void *)v->data : NULL;
  for (int64_t i = 0; i < C; i++) to[i] = f ? (double)f[i] : d ? d[i] : v ? eq_get(v, i) : absent;
}

/* The table of channel_norm.h from mean and var of images x groups; every image's C channels are
 * spread over its groups. */
static eq_tensor *make_table(int64_t images, int64_t C, int64_t groups, const double *mean,
                             const double *var, double eps, const eq_tensor *weight,
                             const eq_tensor *bias) {
  eq_tensor *t = eq_empty(EQ_F64, 3, (int64_t[]){EQ_NORM_ROWS, images, C});
  int64_t n = images * C, per = groups ? C / groups : 1;
  if (!t) return NULL;
  double *row = (double *)(void *)t->data, *rstd = row + EQ_NORM_RSTD * n;
  double *scale = row + EQ_NORM_SCALE * n, *offset = row + EQ_NORM_BIAS * n;
  for (int64_t i = 0; i < images; i++) {
    numbers(weight, C, 1, scale + i * C);
    numbers(bias, C, 0, offset + i * C);
  }
  for (int64_t i = 0; i < n; i++) {
    row[EQ_NORM_MEAN * n + i] = mean[i / per];
    rstd[i] = 1 / sqrt(var[i / per] + eps);
    scale[i] *= rstd[i];
  }
  return t;
}

static int give(eq_call *c, eq_tensor *y) {
  c->out[0] = y;
  c->nout = 1;
  return y ? EQ_OK : (int)eq_error.status;
}

/* ---- batch_norm ---- */
static int statistics(const eq_call *c, double *mean, double *var) {
  if (c->arg[0].i && c->in[X]->numel) return eq_channel_moments(c->in[X], 0, mean, var);
  numbers(c->in[MEAN], c->in[X]->shape[1], 0, mean);
  numbers(c->in[VAR], c->in[X]->shape[1], 1, var);
  return EQ_OK;
}

/* running = (1 - momentum) running + momentum batch; var divided by the count less one. */
static void update(const eq_call *c, const double *mean, const double *var) {
  double n = (double)(c->in[X]->numel / c->in[X]->shape[1]), m = c->arg[1].f;
  for (int64_t i = 0; i < c->in[X]->shape[1]; i++) {
    eq_set(c->in[MEAN], i, (1 - m) * eq_get(c->in[MEAN], i) + m * mean[i]);
    eq_set(c->in[VAR], i, (1 - m) * eq_get(c->in[VAR], i) + m * var[i] * n / (n - 1));
  }
  eq_touch(c->in[MEAN]);
  eq_touch(c->in[VAR]);
}

static int batch_norm(eq_call *c) {
  if (check(c)) return EQ_ERR;
  eq_tensor *x = c->in[X], *y = NULL;
  bool training = c->arg[0].i, relu = c->arg[3].i, moves = training && c->in[MEAN] && x->numel;
  if (moves && (eq_check_places(c->in[MEAN]) || eq_check_places(c->in[VAR]))) return EQ_ERR;
  int64_t C = x->shape[1];
  size_t bytes = (size_t)(2 * C) * sizeof(double);
  double *mean = eq_alloc(bytes), *var = mean + C;
  if (!mean) return eq_error.status;
  if (!statistics(c, mean, var)) {
    eq_tensor *table = make_table(1, C, 0, mean, var, c->arg[2].f, c->in[WEIGHT], c->in[BIAS]);
    const char *op = !relu        ? "channel_norm"
                     : c->in[ADD] ? "channel_norm_add_relu"
                                  : "channel_norm_relu";
    y = eq_f(op, "ttTttinb", x, c->in[WEIGHT], table, c->in[BIAS], c->in[ADD], (int64_t)0,
             c->arg[2].f, !training);
    if (y && moves) update(c, mean, var);
  }
  eq_free(mean, bytes);
  return give(c, y);
}

/* ---- group_norm ---- */
static int group_norm(eq_call *c) {
  enum { GAIN = 1, OFFSET };
  eq_tensor *x = c->in[0], *y = NULL;
  int64_t groups = c->arg[0].i;
  if (check_input(x) || check_channels(x, c->in[GAIN], "weight") ||
      check_channels(x, c->in[OFFSET], "bias"))
    return EQ_ERR;
  int64_t B = x->shape[0], C = x->shape[1];
  if (groups < 1 || C % groups)
    return eq_fail("%" PRId64 " channels do not divide into %" PRId64 " groups", C, groups);
  size_t bytes = (size_t)(2 * B * groups) * sizeof(double);
  double *mean = eq_calloc(bytes), *var = mean + B * groups;
  if (!mean && bytes) return eq_error.status;
  if (!x->numel || !eq_channel_moments(x, groups, mean, var)) {
    eq_tensor *table = make_table(B, C, groups, mean, var, c->arg[1].f, c->in[GAIN], c->in[OFFSET]);
    y = eq_f("channel_norm", "ttTt0inb", x, c->in[GAIN], table, c->in[OFFSET], groups, c->arg[1].f,
             0);
  }
  eq_free(mean, bytes);
  return give(c, y);
}

/* ---- the rule in ops, for gradients of gradients ---- */
static eq_tensor *row_mean(eq_tensor *x, int k, const int64_t *dims, double n) {
  return eq_f("mul", "Tn", eq_f("sum", "Tlb", x, k, dims, 1), 1 / n);
}

/* (x - mean) rstd where both depend on x: over the dims given. */
static eq_tensor *normalized(eq_tensor *x, int k, const int64_t *dims, double n, double eps,
                             eq_tensor **rstd) {
  eq_tensor *centered = eq_f("sub", "tT", x, row_mean(eq_retain(x), k, dims, n));
  eq_tensor *var = centered ? row_mean(eq_f("square", "t", centered), k, dims, n) : NULL;
  *rstd = eq_f("rsqrt", "T", eq_f("add", "Tn", var, eps));
  return *rstd ? eq_f("mul", "Tt", centered, *rstd) : (eq_release(centered), NULL);
}

/* A row of the table in x's dtype, in the shape that broadcasts: [B or 1, C, 1 ..]. */
static eq_tensor *constant(const eq_call *c, int row) {
  const eq_tensor *table = c->in[2];
  int64_t shape[EQ_MAXDIM], from = row * (table->numel / EQ_NORM_ROWS);
  for (int d = 0; d < c->in[0]->ndim; d++) shape[d] = d < 2 ? table->shape[d + 1] : 1;
  int64_t stride[EQ_MAXDIM];
  eq_strides(c->in[0]->ndim, shape, stride);
  eq_tensor *v = eq_view(table, c->in[0]->ndim, shape, stride, from);
  eq_tensor *y = v ? eq_cast(v, c->in[0]->dtype) : NULL;
  eq_release(v);
  return y;
}

eq_tensor *eq_norm_mask(eq_call *c, eq_tensor *gy, const eq_tensor *seen) {
  eq_tensor *y = seen ? eq_alias(seen) : NULL, *x = seen ? NULL : eq_alias(c->in[0]);
  if (!seen && x)
    y = eq_f("add", "TT",
             eq_f("mul", "TT", eq_f("sub", "TT", x, constant(c, EQ_NORM_MEAN)),
                  constant(c, EQ_NORM_SCALE)),
             constant(c, EQ_NORM_BIAS));
  eq_tensor *positive = y ? eq_f("gt", "Tn", y, 0.0) : NULL;
  return positive ? eq_f("where", "TtT", positive, gy, eq_scalar(gy->dtype, 0)) : NULL;
}

typedef struct space { /* x as the moments see it */
  int ndim, ndims;
  int64_t shape[EQ_MAXDIM], dims[EQ_MAXDIM];
  double n;
} space;

static space moments_of(const eq_call *c) {
  const eq_tensor *x = c->in[0];
  int64_t groups = c->arg[0].i;
  space s = {.ndim = x->ndim};
  memcpy(s.shape, x->shape, sizeof s.shape);
  if (groups) {
    s = (space){.ndim = 3, .ndims = 1, .dims = {2}};
    s.shape[0] = x->shape[0];
    s.shape[1] = groups;
    s.shape[2] = x->shape[0] ? x->numel / x->shape[0] / groups : 0;
    s.n = (double)s.shape[2];
  } else {
    for (int d = 0; d < x->ndim; d++)
      if (d != 1) s.dims[s.ndims++] = d;
    s.n = (double)(x->shape[1] ? x->numel / x->shape[1] : 0);
  }
  return s;
}

/* [C] as [C, 1 ..], which fits x from behind. */
static eq_tensor *per_channel(const eq_call *c, eq_tensor *w) {
  int64_t shape[EQ_MAXDIM] = {c->in[0]->shape[1], 1, 1, 1, 1, 1, 1, 1};
  return eq_f("reshape", "tl", w, c->in[0]->ndim - 1, shape);
}

static eq_tensor *to_channels(const eq_call *c, eq_tensor *g) {
  int64_t shape[EQ_MAXDIM] = {c->in[0]->shape[1], 1, 1, 1, 1, 1, 1, 1}, C = shape[0];
  eq_tensor *s = g ? eq_sum_to(g, c->in[0]->ndim - 1, shape) : NULL;
  eq_release(g);
  return eq_f("reshape", "Tl", s, 1, &C);
}

static eq_tensor *moving_gradient(const space *s, eq_tensor *g, eq_tensor *h, eq_tensor *rstd,
                                  const eq_tensor *x) {
  eq_tensor *gs = eq_f("reshape", "tl", g, s->ndim, s->shape);
  eq_tensor *a =
      gs ? eq_f("sub", "tT", gs, row_mean(eq_retain(gs), s->ndims, s->dims, s->n)) : NULL;
  eq_tensor *b = gs ? row_mean(eq_f("mul", "tt", gs, h), s->ndims, s->dims, s->n) : NULL;
  eq_release(gs);
  eq_tensor *r = eq_f("mul", "tT", rstd, eq_f("sub", "TT", a, eq_f("mul", "tT", h, b)));
  return eq_f("reshape", "Tl", r, x->ndim, x->shape);
}

int eq_norm_back(eq_call *c, eq_tensor *gy, eq_tensor **gx) {
  const eq_tensor *x = c->in[0];
  space s = moments_of(c);
  bool frozen = c->arg[2].i;
  eq_tensor *rstd = NULL, *h = NULL, *hs = NULL;
  if (frozen) {
    rstd = constant(c, EQ_NORM_RSTD);
    eq_tensor *centered = eq_f("sub", "tT", c->in[0], constant(c, EQ_NORM_MEAN));
    h = rstd ? eq_f("mul", "Tt", centered, rstd) : (eq_release(centered), NULL);
  } else {
    eq_tensor *xs = eq_f("reshape", "tl", c->in[0], s.ndim, s.shape);
    hs = xs ? normalized(xs, s.ndims, s.dims, s.n, c->arg[1].f, &rstd) : NULL;
    eq_release(xs);
    h = hs ? eq_f("reshape", "tl", hs, x->ndim, x->shape) : NULL;
  }
  if (h && eq_needed(c, 0)) {
    eq_tensor *g = c->in[1] ? eq_f("mul", "tT", gy, per_channel(c, c->in[1])) : eq_retain(gy);
    if (g) gx[0] = frozen ? eq_f("mul", "tt", g, rstd) : moving_gradient(&s, g, hs, rstd, x);
    eq_release(g);
  }
  if (h && c->in[1] && eq_needed(c, 1)) gx[1] = to_channels(c, eq_f("mul", "tt", gy, h));
  if (h && c->in[3] && eq_needed(c, 3)) gx[3] = to_channels(c, eq_retain(gy));
  eq_release(rstd);
  eq_release(h);
  eq_release(hs);
  return eq_error.status;
}

const eq_op ops_batch_norm[] = {
    {.name = "batch_norm",
     .sig = "x:float, mean:float?, var:float?, weight:float?, bias:float?, add:float?, "
            "training:bool=false, momentum:num=0.1, eps:num=1e-5, relu:bool=false -> y",
     .doc = "(x - mean) / sqrt(var + eps) * weight + bias for every channel of x [B, C], [B, C, L] "
            "or\n[B, C, H, W]; the rest are [C]. In training mean and var are those of the batch, "
            "and the running\nones that are given move: running = (1 - momentum) running + "
            "momentum batch, where var divides\nby the count less one. With add, of x's shape, "
            "the result is + add; with relu = true it is\nrelu of that, all in one pass. The "
            "result is channels-last. Ioffe and Szegedy,\n\"Batch normalization\", 2015.",
     .example = "local y = equi.batch_norm(equi.tensor({{1}, {3}}), {training = true, eps = 0})\n"
                "print(y[2]:item())  --> 1.0",
     .compose = batch_norm,
     .where = EQ_HERE},
    {.name = "group_norm",
     .sig = "x:float, groups:int, weight:float?, bias:float?, eps:num=1e-5 -> y",
     .doc = "(x - mean) / sqrt(var + eps) * weight + bias, where mean and var are those of a group "
            "of\nneighbouring channels of one image of x [B, C, ..]. groups must divide C; weight "
            "and bias are [C].\nThe result is channels-last. Wu and He, \"Group normalization\", "
            "2018.",
     .example = "local y = equi.group_norm(equi.tensor({{1, 3, 5, 5}}), 2, {eps = 0.25})\n"
                "print(y[1][1]:item() < -0.8, y[1][3]:item())  --> true 0.0",
     .compose = group_norm,
     .where = EQ_HERE},
    {0}};
