/* optim.c -- one pass over all parameters per optimizer step, in place.
 *
 * Called by optim.lua. A parameter without a gradient is left alone. Formulas and the meaning of
 * every option are PyTorch's; g is the gradient, plus weight_decay * w (for adam: unless decoupled,
 * where w shrinks by lr * weight_decay instead: AdamW, Loshchilov & Hutter 2019). */
#ifdef T
EQ_SIMD static void FN(sgd)(T *w, const T *g, T *v, int64_t n, const step *s) {
  T lr = (T)s->lr, decay = (T)s->decay, mu = (T)s->mu, damp = (T)(1 - s->damping);
  for (int64_t i = 0; i < n; i++) {
    T d = g[i] + decay * w[i];
    if (v) {
      v[i] = s->first ? d : mu * v[i] + damp * d;
      d = s->nesterov ? d + mu * v[i] : v[i];
    }
    w[i] -= lr * d;
  }
}

/* m, v: running means of g and g^2 (Kingma & Ba 2015, algorithm 1), both corrected for their start.
 */
EQ_SIMD static void FN(adam)(T *w, const T *g, T *m, T *v, int64_t n, const step *s) {
  T b1 = (T)s->b1, b2 = (T)s->b2, a1 = (T)(1 - s->b1), a2 = (T)(1 - s->b2), eps = (T)s->eps;
  T rate = (T)(s->lr / (1 - pow(s->b1, s->t))), fix = (T)(1 / sqrt(1 - pow(s->b2, s->t)));
  T decay = (T)(s->decoupled ? 0 : s->decay), shrink = (T)(s->decoupled ? 1 - s->lr * s->decay : 1);
  for (int64_t i = 0; i < n; i++) {
    T d = g[i] + decay * w[i];
    m[i] = b1 * m[i] + a1 * d;
    v[i] = b2 * v[i] + a2 * d * d;
    w[i] = shrink * w[i] - rate * m[i] / (FN(root)(v[i]) * fix + eps);
  }
}

/* v: running mean of g^2; b: momentum buffer or NULL (Tieleman & Hinton 2012). */
EQ_SIMD static void FN(rmsprop)(T *w, const T *g, T *v, T *b, int64_t n, const step *s) {
  T lr = (T)s->lr, decay = (T)s->decay, a = (T)s->b2, c = (T)(1 - s->b2), eps = (T)s->eps,
    mu = (T)s->mu;
  for (int64_t i = 0; i < n; i++) {
    T d = g[i] + decay * w[i];
    v[i] = a * v[i] + c * d * d;
    T u = d / (FN(root)(v[i]) + eps);
    if (b) u = b[i] = mu * b[i] + u;
    w[i] -= lr * u;
  }
}

/* In blocks of 1,024 with 32 partial sums each, so that it vectorises; blocks are added in f64. */
EQ_SIMD static double FN(sum_squares)(const T *g, int64_t n) {
  double sum = 0;
  for (int64_t from = 0; from < n; from += 1024) {
    T part[32] = {0}, block = 0;
    int64_t i = from, end = n - from < 1024 ? n : from + 1024;
    for (; i + 32 <= end; i += 32)
      for (int k = 0; k < 32; k++) part[k] += g[i + k] * g[i + k];
    for (; i < end; i++) part[0] += g[i] * g[i];
    for (int k = 0; k < 32; k++) block += part[k];
    sum += (double)block;
  }
  return sum;
}

EQ_SIMD static void FN(scale)(T *g, int64_t n, double by) {
  for (int64_t i = 0; i < n; i++) g[i] *= (T)by;
}

EQ_SIMD static void FN(limit)(T *g, int64_t n, double by) {
  T top = (T)by;
  for (int64_t i = 0; i < n; i++) g[i] = g[i] > top ? top : g[i] < -top ? -top : g[i];
}
#else
#include "../equi.h"
#include <math.h>

typedef struct step {
  double lr, decay, mu, damping, b1, b2, eps, t;
  bool nesterov, decoupled, first;
} step;
static inline float root_f32(float x) { return sqrtf(x); }
static inline double root_f64(double x) { return sqrt(x); }
#define EQ_FILE "ops/optim.c"
#include "../floats.h"

enum { PIECE = 262144 }; /* below, a second thread costs more than it brings */
typedef enum { SGD, ADAM, RMSPROP } rule;
typedef struct job {
  rule rule;
  const step *s;
  eq_dtype dtype;
  char *w, *g, *a, *b; /* weight, gradient, first and second state (may be NULL) */
} job;

static void piece(int64_t begin, int64_t end, void *ctx) {
  const job *j = ctx;
  int64_t at = begin * (int64_t)eq_size(j->dtype), n = end - begin;
  void *w = j->w + at, *g = j->g + at, *a = j->a ? j->a + at : NULL, *b = j->b ? j->b + at : NULL;
  switch (j->rule) {
  case SGD: FLOAT_CALL(j->dtype, sgd, (w, g, a, n, j->s)); break;
  case ADAM: FLOAT_CALL(j->dtype, adam, (w, g, a, b, n, j->s)); break;
  case RMSPROP: FLOAT_CALL(j->dtype, rmsprop, (w, g, a, b, n, j->s)); break;
  }
}

static int check(const eq_tensor *w, const eq_tensor *state, int i) {
  if (!eq_is_contiguous(w) || !w->grad || w->grad->dtype != w->dtype || !eq_same_shape(w, w->grad))
    return eq_fail("parameter %d is not row-major, or its gradient has another shape or dtype",
                   i + 1);
  if (state && (!eq_is_contiguous(state) || !eq_same_shape(w, state) || state->dtype != w->dtype))
    return eq_fail("the optimizer's state of parameter %d is %s %s, the parameter is %s %s", i + 1,
                   eq_dtype_name(state->dtype), eq_shape_of(state), eq_dtype_name(w->dtype),
                   eq_shape_of(w));
  return EQ_OK;
}

/* All memory is asked for before anything changes: an op that ran out of it is called again. */
static int own_gradients(const eq_call *c) {
  for (int i = 0; i < c->count[0]; i++) {
    eq_tensor *w = c->in[i];
    if (!w->grad || eq_is_contiguous(w->grad)) continue;
    eq_tensor *g = eq_clone(w->grad);
    if (!g) return EQ_NOMEM;
    eq_release(w->grad);
    w->grad = g;
  }
  return EQ_OK;
}

/* Runs a rule over all parameters that have a gradient. Lists: weights, then states a, then b. */
static int update(eq_call *c, rule r, const step *s) {
  int n = c->count[0], na = c->count[1], nb = c->count[2];
  if ((na && na != n) || (nb && nb != n))
    return eq_fail("%d parameters, but %d and %d states", n, na, nb);
  for (int i = 0; i < n; i++)
    if (c->in[i]->grad && (check(c->in[i], na ? c->in[n + i] : NULL, i) ||
                           check(c->in[i], nb ? c->in[n + na + i] : NULL, i)))
      return EQ_ERR;
  if (own_gradients(c)) return EQ_NOMEM;
  for (int i = 0; i < n; i++) {
    eq_tensor *w = c->in[i], *a = na ? c->in[n + i] : NULL, *b = nb ? c->in[n + na + i] : NULL;
    if (!w->grad) continue;
    job j = {r, s, w->dtype, w->data, w->grad->data, a ? a->data : NULL, b ? b->data : NULL};
    bool (*asking)(void) = eq_poll;
    eq_poll = NULL; /* a step happens wholly or not at all: no Ctrl-C inside */
    (void)eq_parallel_for(w->numel, PIECE, piece, &j);
    eq_poll = asking;
    eq_touch(w);
  }
  return EQ_OK;
}

static int sgd_step(eq_call *c) {
  step s = {.lr = c->arg[0].f,
            .mu = c->arg[1].f,
            .damping = c->arg[2].f,
            .decay = c->arg[3].f,
            .nesterov = c->arg[4].i,
            .first = c->arg[5].i};
  return update(c, SGD, &s);
}

static int adam_step(eq_call *c) {
  step s = {.lr = c->arg[0].f,
            .b1 = c->arg[1].f,
            .b2 = c->arg[2].f,
            .eps = c->arg[3].f,
            .decay = c->arg[4].f,
            .decoupled = c->arg[5].i,
            .t = (double)c->arg[6].i};
  return update(c, ADAM, &s);
}

static int rmsprop_step(eq_call *c) {
  step s = {.lr = c->arg[0].f,
            .b2 = c->arg[1].f,
            .eps = c->arg[2].f,
            .decay = c->arg[3].f,
            .mu = c->arg[4].f};
  return update(c, RMSPROP, &s);
}

/* ---- clipping ---- */
/* Squares are summed in f64 in blocks of PIECE, one block after the other: the same for any number
 * of threads, and the gradients were just written, so one thread reads them from its cache. */
static double gradient_norm(const eq_call *c) {
  double sum = 0;
  for (int i = 0; i < c->count[0]; i++) {
    const eq_tensor *g = c->in[i]->grad;
    for (int64_t k = 0; g && k < g->numel; k += PIECE) {
      const char *p = g->data + k * (int64_t)eq_size(g->dtype);
      int64_t n = g->numel - k < PIECE ? g->numel - k : PIECE;
      sum += g->dtype == EQ_F32 ? sum_squares_f32((const float *)(const void *)p, n)
                                : sum_squares_f64((const double *)(const void *)p, n);
    }
  }
  return sqrt(sum);
}

static int clip_norm(eq_call *c) {
  double most = c->arg[0].f;
  if (!(most > 0)) return eq_fail("max_norm must be above 0, got %g", most);
  if (own_gradients(c)) return EQ_NOMEM;
  double norm = gradient_norm(c), by = most / (norm + 1e-6);
  c->out[0] = eq_scalar(EQ_F64, norm);
  c->nout = 1;
  if (!c->out[0]) return EQ_NOMEM;
  for (int i = 0; by < 1 && i < c->count[0]; i++) {
    eq_tensor *g = c->in[i]->grad;
    if (!g) continue;
    if (g->dtype == EQ_F32)
      scale_f32((float *)(void *)g->data, g->numel, by);
    else
      scale_f64((double *)(void *)g->data, g->numel, by);
    eq_touch(g);
  }
  return EQ_OK;
}

static int clip_value(eq_call *c) {
  if (!(c->arg[0].f > 0)) return eq_fail("max must be above 0, got %g", c->arg[0].f);
  if (own_gradients(c)) return EQ_NOMEM;
  for (int i = 0; i < c->count[0]; i++) {
    eq_tensor *g = c->in[i]->grad;
    if (!g) continue;
    if (g->dtype == EQ_F32)
      limit_f32((float *)(void *)g->data, g->numel, c->arg[0].f);
    else
      limit_f64((double *)(void *)g->data, g->numel, c->arg[0].f);
    eq_touch(g);
  }
  return EQ_OK;
}

#define FLAGS (EQ_FUNCTION | EQ_NO_GRAD | EQ_MIXED)
const eq_op ops_optim[] = {
    {.name = "sgd_step",
     .sig = "params:floats, velocity:floats?, empty:floats?, lr:num=0.001, momentum:num=0, "
            "dampening:num=0, "
            "weight_decay:num=0, nesterov:bool=false, first:bool=false ->",
     .doc = "One step of SGD over all parameters, in place; optim.sgd keeps the state.",
     .example = "local w = equi.ones(1):requires_grad_()\nw:sum():backward()\n"
                "equi.sgd_step({w}, {lr = 0.5})\nprint(w:item())  --> 0.5",
     .compose = sgd_step,
     .flags = FLAGS,
     .where = EQ_HERE},
    {.name = "adam_step",
     .sig =
         "params:floats, mean:floats, square:floats, lr:num=0.001, beta1:num=0.9, beta2:num=0.999, "
         "eps:num=1e-8, weight_decay:num=0, decoupled:bool=false, step:int=1 ->",
     .doc = "One step of Adam (decoupled: AdamW) over all parameters, in place; optim.adam keeps "
            "the state.",
     .example = "local w, m, v = equi.ones(1):requires_grad_(), equi.zeros(1), equi.zeros(1)\n"
                "w:sum():backward()\nequi.adam_step({w}, {m}, {v}, {lr = 0.5, eps = "
                "0})\nprint(w:item())  --> 0.5",
     .compose = adam_step,
     .flags = FLAGS,
     .where = EQ_HERE},
    {.name = "rmsprop_step",
     .sig =
         "params:floats, square:floats, buffer:floats?, lr:num=0.01, alpha:num=0.99, eps:num=1e-8, "
         "weight_decay:num=0, momentum:num=0 ->",
     .doc = "One step of RMSprop over all parameters, in place; optim.rmsprop keeps the state.",
     .example = "local w, v = equi.ones(1):requires_grad_(), equi.zeros(1)\nw:sum():backward()\n"
                "equi.rmsprop_step({w}, {v}, {lr = 0.05, alpha = 0.75, eps = 0})\nprint(w:item() < "
                "1)  --> true",
     .compose = rmsprop_step,
     .flags = FLAGS,
     .where = EQ_HERE},
    {.name = "clip_grad_norm",
     .sig = "params:floats, max_norm:num -> norm",
     .doc = "Scales all gradients so that their joint Euclidean norm is at most max_norm; returns "
            "the norm "
            "before as an f64 number. NaN gradients stay as they are and give a NaN norm.",
     .example = "local w = equi.ones(4):requires_grad_()\nw:sum():backward()\n"
                "print(equi.clip_grad_norm({w}, 1):item())  --> 2.0",
     .compose = clip_norm,
     .flags = FLAGS,
     .where = EQ_HERE},
    {.name = "clip_grad_value",
     .sig = "params:floats, max:num ->",
     .doc = "Limits every element of every gradient to -max .. max.",
     .example = "local w = equi.ones(1):requires_grad_();\n(w * 3):sum():backward()\n"
                "equi.clip_grad_value({w}, 1)\nprint(w.grad:item())  --> 1.0",
     .compose = clip_value,
     .flags = FLAGS,
     .where = EQ_HERE},
    {0}};
#endif
