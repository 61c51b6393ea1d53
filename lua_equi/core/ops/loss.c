/* loss.c -- what training minimises. reduction is "mean", "sum" or "none" everywhere.
 *
 * The class losses share two hidden ops that are each other's rule: nll_pick takes -w_t x_t at the
 * target t of every position, nll_spread puts a gradient back there. Class targets are i64 and
 * count from 1. All others are composed of ops, so every loss here can be differentiated twice. */
#include "../equi.h"
#include <inttypes.h>
#include <string.h>

enum { MEAN, SUM, NONE, BATCHMEAN };
#define REDUCTION "reduction:mean|sum|none=mean"

static int give(eq_call *c, eq_tensor *y) {
  c->out[0] = y;
  c->nout = 1;
  return y ? EQ_OK : eq_error.status ? (int)eq_error.status : EQ_ERR;
}

/* Takes over the tensor of single losses. */
static eq_tensor *reduced(eq_tensor *l, int64_t how, int64_t count) {
  if (!l || how == NONE) return l;
  eq_tensor *sum = eq_f("sum", "T", l);
  return how == SUM ? sum : eq_f("mul", "Tn", sum, 1.0 / (double)count);
}

static int check_same(const eq_call *c) {
  const eq_tensor *x = c->in[0], *y = c->in[1];
  if (eq_same_shape(x, y)) return EQ_OK;
  return eq_fail("x is %s and y is %s; they must have the same shape", eq_shape_of(x),
                 eq_shape_of(y));
}

/* ---- losses of two tensors of one shape ---- */
static int mse_compose(eq_call *c) {
  if (check_same(c)) return EQ_ERR;
  eq_tensor *d = eq_f("sub", "tt", c->in[0], c->in[1]);
  return give(c, reduced(eq_f("square", "T", d), c->arg[0].i, c->in[0]->numel));
}

static int l1_compose(eq_call *c) {
  if (check_same(c)) return EQ_ERR;
  eq_tensor *d = eq_f("sub", "tt", c->in[0], c->in[1]);
  return give(c, reduced(eq_f("abs", "T", d), c->arg[0].i, c->in[0]->numel));
}

static int smooth_l1_compose(eq_call *c) {
  double beta = c->arg[0].f;
  if (check_same(c)) return EQ_ERR;
  if (!(beta >= 0)) return eq_fail("beta must be at least 0, got %g", beta);
  eq_tensor *d = eq_f("sub", "tt", c->in[0], c->in[1]);
  eq_tensor *l = beta > 0 ? eq_f("smooth_abs", "Tn", d, beta) : eq_f("abs", "T", d);
  return give(c, reduced(l, c->arg[1].i, c->in[0]->numel));
}

/* (1 - y) x + (1 + (p - 1) y) softplus(-x): log sigmoid without overflow. */
static int bce_compose(eq_call *c) {
  eq_tensor *x = c->in[0], *y = c->in[1], *w = c->in[2], *p = c->in[3];
  if (check_same(c)) return EQ_ERR;
  eq_tensor *soft = eq_f("softplus", "T", eq_f("neg", "t", x));
  if (p) {
    eq_tensor *more = eq_f("mul", "Tt", eq_f("sub", "tn", p, 1.0), y);
    soft = eq_f("mul", "TT", soft, eq_f("add", "Tn", more, 1.0));
  }
  eq_tensor *rest = eq_f("mul", "tT", x, eq_f("add", "Tn", eq_f("neg", "t", y), 1.0));
  eq_tensor *l = eq_f("add", "TT", soft, rest);
  if (l && w) l = eq_f("mul", "Tt", l, w);
  if (l && !eq_same_shape(l, x)) {
    eq_fail("weight and pos_weight must broadcast to x, %s", eq_shape_of(x));
    eq_release(l);
    return EQ_ERR;
  }
  return give(c, reduced(l, c->arg[0].i, x->numel));
}

/* t (log t - x), or exp(t) (t - x) when t is a logarithm itself; 0 where t is 0. */
static int kl_div_compose(eq_call *c) {
  eq_tensor *x = c->in[0], *t = c->in[1], *l;
  int64_t how = c->arg[1].i, count = x->numel;
  if (check_same(c)) return EQ_ERR;
  if (c->arg[0].i) {
    l = eq_f("mul", "TT", eq_f("exp", "t", t), eq_f("sub", "tt", t, x));
  } else {
    eq_tensor *some = eq_f("gt", "tn", t, 0.0), *one = eq_scalar(t->dtype, 1);
    l = eq_f("mul", "tT", t,
             eq_f("sub", "Tt", eq_f("log", "T", eq_f("where", "TtT", some, t, one)), x));
  }
  if (how == BATCHMEAN) {
    count = x->ndim ? x->shape[0] : 1;
    how = MEAN;
  }
  return give(c, reduced(l, how, count));
}

/* ---- class targets ---- */
/* The class dim of x: the second, or the only one. x is outer x classes x inner. */
typedef struct layout {
  int dim;
  int64_t outer, classes, inner;
} layout;

static layout layout_of(const eq_tensor *x) {
  layout l = {x->ndim > 1, 1, 1, 1};
  l.classes = x->ndim ? x->shape[l.dim] : 0;
  if (l.dim) l.outer = x->shape[0];
  for (int d = l.dim + 1; d < x->ndim; d++) l.inner *= x->shape[d];
  return l;
}

static int check_targets(const eq_tensor *x, const eq_tensor *t, const eq_tensor *w, layout *l) {
  int64_t shape[EQ_MAXDIM];
  int n = 0;
  if (x->ndim == 0) return eq_fail("x must have a dim of classes, it is a single number");
  *l = layout_of(x);
  for (int d = 0; d < x->ndim; d++)
    if (d != l->dim) shape[n++] = x->shape[d];
  if (t->ndim != n || memcmp(shape, t->shape, (size_t)n * sizeof *shape))
    return eq_fail("x is %s with the classes in dim %d, so targets must be %s, they are %s",
                   eq_shape_of(x), l->dim + 1, n ? eq_shape_str(n, shape) : "a single number",
                   t->ndim ? eq_shape_of(t) : "a single number");
  if (w && (w->ndim != 1 || w->shape[0] != l->classes))
    return eq_fail("weight must have one number per class, %" PRId64 ", it is %s", l->classes,
                   eq_shape_of(w));
  return EQ_OK;
}

/* x, targets, weight?, ignore -> loss and weight of every position */
static int pick_shape(eq_call *c) {
  layout l;
  const eq_tensor *x = c->in[0], *t = c->in[1];
  if (check_targets(x, t, c->in[2], &l)) return EQ_ERR;
  int bad = eq_out(c, 0, x->dtype, t->ndim, t->shape);
  return bad ? bad : eq_out(c, 1, x->dtype, t->ndim, t->shape);
}

static int check_target(int64_t t, int64_t at, int64_t classes) {
  if (t >= EQ_BASE && t < classes + EQ_BASE) return EQ_OK;
  return eq_fail("target %" PRId64 " at position %" PRId64 " is outside 1 to %" PRId64
                 ", the classes of x",
                 t, at + 1, classes);
}

#define PICK(T, S)                                                                                 \
  static int pick_##S(eq_call *c, const layout *l) {                                               \
    const T *x = (const T *)(void *)c->in[0]->data;                                                \
    const T *w = c->in[2] ? (const T *)(void *)c->in[2]->data : NULL;                              \
    const int64_t *t = (const int64_t *)(void *)c->in[1]->data;                                    \
    T *loss = (T *)(void *)c->out[0]->data, *weight = (T *)(void *)c->out[1]->data;                \
    for (int64_t i = 0; i < c->in[1]->numel; i++) {                                                \
      loss[i] = weight[i] = 0;                                                                     \
      if (eq_given(c, 0) && t[i] == c->arg[0].i) continue;                                         \
      if (check_target(t[i], i, l->classes)) return EQ_ERR;                                        \
      int64_t k = t[i] - EQ_BASE;                                                                  \
      weight[i] = w ? w[k] : 1;                                                                    \
      loss[i] = -weight[i] * x[(i / l->inner * l->classes + k) * l->inner + i % l->inner];         \
    }                                                                                              \
    return EQ_OK;                                                                                  \
  }                                                                                                \
  static int spread_##S(eq_call *c, const layout *l) {                                             \
    const T *g = (const T *)(void *)c->in[0]->data;                                                \
    const T *w = c->in[2] ? (const T *)(void *)c->in[2]->data : NULL;                              \
    const int64_t *t = (const int64_t *)(void *)c->in[1]->data;                                    \
    T *gx = (T *)(void *)c->out[0]->data;                                                          \
    for (int64_t i = 0; i < c->in[1]->numel; i++) {                                                \
      int64_t k = t[i] - EQ_BASE;                                                                  \
      if (eq_given(c, 1) && t[i] == c->arg[1].i) continue;                                         \
      gx[(i / l->inner * l->classes + k) * l->inner + i % l->inner] = -(w ? w[k] : 1) * g[i];      \
    }                                                                                              \
    return EQ_OK;                                                                                  \
  }
PICK(float, f32)
PICK(double, f64)

static int pick_run(eq_call *c) {
  layout l = layout_of(c->in[0]);
  return c->in[0]->dtype == EQ_F32 ? pick_f32(c, &l) : pick_f64(c, &l);
}

static int pick_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  const eq_tensor *x = c->in[0];
  if (eq_needed(c, 2)) return eq_fail("the class weights have no gradient; use weight:detach()");
  if (!eq_needed(c, 0)) return EQ_OK;
  gx[0] = eq_given(c, 0) ? eq_f("nll_spread", "tttli", gy[0], c->in[1], c->in[2], x->ndim, x->shape,
                                c->arg[0].i)
                         : eq_f("nll_spread", "tttl", gy[0], c->in[1], c->in[2], x->ndim, x->shape);
  return gx[0] ? EQ_OK : eq_error.status;
}

static int spread_shape(eq_call *c) {
  int n;
  const int64_t *shape = eq_list(c, 0, &n);
  return eq_out(c, 0, c->in[0]->dtype, n, shape);
}

static int spread_run(eq_call *c) {
  layout l = layout_of(c->out[0]);
  memset(c->out[0]->data, 0, (size_t)c->out[0]->numel * eq_size(c->out[0]->dtype));
  return c->out[0]->dtype == EQ_F32 ? spread_f32(c, &l) : spread_f64(c, &l);
}

static int spread_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  gx[0] = eq_given(c, 1) ? eq_f("nll_pick", "ttti", gy[0], c->in[1], c->in[2], c->arg[1].i)
                         : eq_f("nll_pick", "ttt", gy[0], c->in[1], c->in[2]);
  return gx[0] ? EQ_OK : eq_error.status;
}

/* The loss of targets under log-probabilities; *weight: the weight of every position. */
static eq_tensor *pick(eq_call *c, eq_tensor *logp, eq_tensor **weight) {
  eq_tensor *res[2] = {NULL, NULL};
  int bad = eq_given(c, 0) ? eq_fn("nll_pick", res, "ttti", logp, c->in[1], c->in[2], c->arg[0].i)
                           : eq_fn("nll_pick", res, "ttt", logp, c->in[1], c->in[2]);
  *weight = bad ? NULL : eq_alias(res[1]); /* cut off from the graph: it does not depend on x */
  eq_release(res[1]);
  return bad ? NULL : res[0];
}

/* The mean divides by the sum of the weights. Takes over both. */
static eq_tensor *weighted_mean(eq_tensor *loss, eq_tensor *weight, int64_t how) {
  if (how != MEAN) {
    eq_release(weight);
    return reduced(loss, how, 1);
  }
  return eq_f("div", "TT", loss ? eq_f("sum", "T", loss) : NULL,
              weight ? eq_f("sum", "T", weight) : NULL);
}

static int nll_compose(eq_call *c) {
  eq_tensor *weight, *loss = pick(c, c->in[0], &weight);
  return give(c, loss ? weighted_mean(loss, weight, c->arg[1].i) : NULL);
}

/* ---- cross entropy: x, targets, weight?; ignore_index, label_smoothing, reduction ---- */
/* weight as a row that broadcasts along the class dim of x, or NULL. */
static eq_tensor *class_row(const eq_call *c, const layout *l) {
  int64_t shape[EQ_MAXDIM];
  if (!c->in[2]) return NULL;
  for (int d = 0; d < c->in[0]->ndim; d++) shape[d] = d == l->dim ? l->classes : 1;
  return eq_f("reshape", "tl", c->in[2], c->in[0]->ndim, shape);
}

/* -sum over the classes of p logp w, where p is the targets or absent (all ones). Takes over p. */
static eq_tensor *class_sum(const eq_call *c, const layout *l, eq_tensor *logp, eq_tensor *p) {
  int64_t dim = l->dim;
  eq_tensor *row = class_row(c, l);
  eq_tensor *y = p ? eq_f("mul", "Tt", p, logp) : eq_retain(logp);
  if (row) y = eq_f("mul", "TT", y, row);
  return eq_f("neg", "T", eq_f("sum", "Tl", y, 1, &dim));
}

static int ce_probabilities(eq_call *c, eq_tensor *logp) {
  const eq_tensor *x = c->in[0];
  double smooth = c->arg[1].f;
  layout l = layout_of(x);
  if (!eq_same_shape(x, c->in[1]))
    return eq_fail("x is %s and the target probabilities are %s; they must have the same shape",
                   eq_shape_of(x), eq_shape_of(c->in[1]));
  if (c->in[2] && (c->in[2]->ndim != 1 || c->in[2]->shape[0] != l.classes))
    return eq_fail("weight must have one number per class, %" PRId64 ", it is %s", l.classes,
                   eq_shape_of(c->in[2]));
  if (eq_given(c, 0)) return eq_fail("ignore_index needs class targets, these are probabilities");
  eq_tensor *p = eq_retain(c->in[1]);
  if (smooth > 0)
    p = eq_f("add", "Tn", eq_f("mul", "Tn", p, 1 - smooth), smooth / (double)l.classes);
  return give(c, reduced(class_sum(c, &l, logp, p), c->arg[2].i, l.outer * l.inner));
}

/* (1 - s) nll + s / classes * (sum over all classes), the latter 0 where the target is ignored. */
static int ce_smoothed(eq_call *c, eq_tensor *logp, eq_tensor *loss, eq_tensor *weight) {
  double smooth = c->arg[1].f;
  layout l = layout_of(c->in[0]);
  eq_tensor *all = class_sum(c, &l, logp, NULL);
  if (eq_given(c, 0)) {
    eq_tensor *used = eq_f("ne", "tn", c->in[1], (double)c->arg[0].i);
    all = eq_f("mul", "TT", all, eq_f("to", "Ti", used, (int64_t)logp->dtype));
  }
  loss = eq_f("add", "TT", eq_f("mul", "Tn", loss, 1 - smooth),
              eq_f("mul", "Tn", all, smooth / (double)l.classes));
  return give(c, weighted_mean(loss, weight, c->arg[2].i));
}

static int ce_compose(eq_call *c) {
  const eq_tensor *t = c->in[1];
  double smooth = c->arg[1].f;
  layout l;
  bool probabilities = eq_is_float(t->dtype);
  if (!(smooth >= 0 && smooth <= 1))
    return eq_fail("label_smoothing must be from 0 to 1, got %g", smooth);
  if (!probabilities && t->dtype != EQ_I64)
    return eq_fail("targets must be classes (i64) or probabilities (%s), they are %s",
                   eq_dtype_name(c->in[0]->dtype), eq_dtype_name(t->dtype));
  if (!probabilities && check_targets(c->in[0], t, c->in[2], &l)) return EQ_ERR;
  if (c->in[0]->ndim == 0) return eq_fail("x must have a dim of classes, it is a single number");
  eq_tensor *logp = eq_f("log_softmax", "ti", c->in[0], (int64_t)(c->in[0]->ndim > 1)), *weight,
            *loss;
  if (!logp) return eq_error.status;
  int bad;
  if (probabilities)
    bad = ce_probabilities(c, logp);
  else if (!(loss = pick(c, logp, &weight)))
    bad = eq_error.status;
  else if (smooth > 0)
    bad = ce_smoothed(c, logp, loss, weight);
  else
    bad = give(c, weighted_mean(loss, weight, c->arg[2].i));
  eq_release(logp);
  return bad;
}

#define PAIR "local x, y = equi.tensor({1, 2}), equi.tensor({1, 4})\n"
#define CLASSES                                                                                    \
  "x has the classes in dim 2 (dim 1 if it has one dim only), targets x's shape without it.\n"
const eq_op ops_loss[] = {
    {.name = "mse_loss",
     .sig = "x:float, y:float, " REDUCTION " -> loss",
     .doc = "(x - y)^2, averaged (the default), summed, or element by element.",
     .example = PAIR "print(equi.mse_loss(x, y):item())  --> 2.0",
     .compose = mse_compose,
     .where = EQ_HERE},
    {.name = "l1_loss",
     .sig = "x:float, y:float, " REDUCTION " -> loss",
     .doc = "|x - y|, averaged (the default), summed, or element by element.",
     .example = PAIR "print(equi.l1_loss(x, y):item())  --> 1.0",
     .compose = l1_compose,
     .where = EQ_HERE},
    {.name = "smooth_l1_loss",
     .sig = "x:float, y:float, beta:num=1, " REDUCTION " -> loss",
     .doc = "d^2 / (2 beta) where d = |x - y| is below beta, else d - beta / 2.",
     .example = PAIR "print(equi.smooth_l1_loss(x, y):item())  --> 0.75",
     .compose = smooth_l1_compose,
     .where = EQ_HERE},
    {.name = "bce_with_logits",
     .sig = "x:float, y:float, weight:float?, pos_weight:float?, " REDUCTION " -> loss",
     .doc =
         "Binary cross entropy of sigmoid(x) with targets y from 0 to 1, safe for large x:\n"
         "-(pos_weight y log s(x) + (1 - y) log(1 - s(x))), times weight; both weights broadcast.",
     .example = "local x, y = equi.tensor({1000}), equi.tensor({1})\n"
                "print(equi.bce_with_logits(x, y):item())  --> 0.0",
     .compose = bce_compose,
     .where = EQ_HERE},
    {.name = "kl_div",
     .sig =
         "x:float, y:float, log_target:bool=false, reduction:mean|sum|none|batchmean=mean -> loss",
     .doc = "y (log y - x) for log-probabilities x and probabilities y (their logarithms with "
            "log_target).\n"
            "\"batchmean\" divides the sum by the size of dim 1: the Kullback-Leibler divergence.",
     .example = "local p = equi.tensor({{0.5, 0.5}})\n"
                "print(equi.kl_div(p:log(), p, {reduction = \"batchmean\"}):item())  --> 0.0",
     .compose = kl_div_compose,
     .where = EQ_HERE},
    {.name = "nll_loss",
     .sig = "x:float, targets:index, weight:float?, ignore_index:int=nil, " REDUCTION " -> loss",
     .doc = "-x[target] for log-probabilities x and classes that count from 1, times the class's "
            "weight;\n" CLASSES "The mean divides by the sum of the weights; positions whose "
            "target is ignore_index count 0.",
     .example = "local x = equi.tensor({{-1, -2}})\n"
                "print(equi.nll_loss(x, equi.tensor({2}, {dtype = \"i64\"})):item())  --> 2.0",
     .compose = nll_compose,
     .where = EQ_HERE},
    {.name = "cross_entropy",
     .sig = "x:float, targets:tensor, weight:float?, ignore_index:int=nil, "
            "label_smoothing:num=0, " REDUCTION " -> loss",
     .doc =
         "nll_loss of log_softmax(x), for classes (i64, from 1), or for target probabilities of "
         "x's "
         "shape.\n" CLASSES
         "weight: one number per class; the mean divides by the sum of the targets' weights (with\n"
         "probabilities: by the number of positions). label_smoothing s mixes the targets with "
         "the\n"
         "uniform distribution: (1 - s) target + s / classes.",
     .example =
         "local x = equi.tensor({{1000, 0}, {0, 1000}})\n"
         "print(equi.cross_entropy(x, equi.tensor({1, 2}, {dtype = \"i64\"})):item())  --> 0.0",
     .compose = ce_compose,
     .flags = EQ_MIXED,
     .where = EQ_HERE},
    {.name = "nll_pick",
     .sig = "x:float, targets:index, weight:float?, ignore:int=nil -> loss, weights",
     .doc = "-w x at the targets, and w.",
     .shape = pick_shape,
     .run = pick_run,
     .back = pick_back,
     .flags = EQ_SAVE_IN1 | EQ_SAVE_IN2 | EQ_HIDDEN,
     .where = EQ_HERE},
    {.name = "nll_spread",
     .sig = "g:float, targets:index, weight:float?, sizes:ints, ignore:int=nil -> gx",
     .doc = "Zeros with -w g at the targets: the rule of nll_pick.",
     .shape = spread_shape,
     .run = spread_run,
     .back = spread_back,
     .flags = EQ_SAVE_IN1 | EQ_SAVE_IN2 | EQ_HIDDEN,
     .where = EQ_HERE},
    {0}};
