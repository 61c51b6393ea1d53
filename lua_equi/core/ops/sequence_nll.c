/* sequence_nll.c -- the loss of a decoder: -log p of the targets, up to where the model itself
 * ends.
 *
 * loss[b] = sum over s < n[b] of -logp[b, s, targets[b, s]], where n[b] is the smallest of the
 * row's length, the place of the first target 0 (padding) and the step after the first token eos: a
 * model that stops early is not charged for what it did not say, as in the SCAN experiments of
 * Gordon et al. (2020), while its early eos is charged at that step. */
#ifdef T
static void FN(losses)(const terms *z, const T *logp, T *loss, T *total) {
  double sum = 0;
  for (int64_t b = 0; b < z->B; b++) {
    double row = 0;
    for (int64_t s = 0; s < z->n[b]; s++)
      row -= (double)logp[(b * z->L + s) * z->V + z->targets[b * z->L + s] - EQ_BASE];
    if (loss) loss[b] = (T)row;
    sum += row;
  }
  if (total) *total = (T)sum;
}

static void FN(losses_back)(const terms *z, const T *g, bool each, T *gx) {
  memset(gx, 0, (size_t)(z->B * z->L * z->V) * sizeof(T));
  for (int64_t b = 0; b < z->B; b++)
    for (int64_t s = 0; s < z->n[b]; s++)
      gx[(b * z->L + s) * z->V + z->targets[b * z->L + s] - EQ_BASE] = -g[each ? b : 0];
}

#else
#include "equi.h"
#include <inttypes.h>
#include <string.h>

typedef struct terms {
  int64_t B, L, V;
  const int64_t *targets, *n;
} terms;

#define EQ_FILE "ops/sequence_nll.c"
#include "../floats.h"

enum { LOGP, TARGETS, TOKENS, LENGTHS };
enum { EOS, REDUCE };
enum { LOSS, STEPS };

static int shape(eq_call *c) {
  const eq_tensor *x = c->in[LOGP];
  if (x->ndim != 3)
    return eq_fail("logp is %s; it must have 3 dimensions, B x L x V", eq_shape_of(x));
  for (int i = TARGETS; i <= LENGTHS; i++) {
    static const char *const names[] = {"", "targets", "tokens", "lengths"};
    const int ndim = i == LENGTHS ? 1 : 2;
    const eq_tensor *t = c->in[i];
    if (t && (t->ndim != ndim || memcmp(t->shape, x->shape, (size_t)ndim * sizeof *t->shape)))
      return eq_fail("%s is %s; for logp of %s it must be %s", names[i], eq_shape_of(t),
                     eq_shape_of(x), eq_shape_str(ndim, x->shape));
  }
  int bad = eq_out(c, LOSS, x->dtype, (int)c->arg[REDUCE].i, x->shape);
  return bad ? bad : eq_out(c, STEPS, EQ_I64, 1, x->shape);
}

/* How many steps of row b count, or -1 with a message. */
static int64_t count_steps(const eq_call *c, const terms *z, int64_t b) {
  const int64_t *lengths = c->in[LENGTHS] ? (int64_t *)c->in[LENGTHS]->data : NULL;
  const int64_t *said = c->in[TOKENS] ? (int64_t *)c->in[TOKENS]->data + b * z->L : NULL;
  const int64_t most = lengths ? lengths[b] : z->L;
  if (most < 0 || most > z->L) {
    eq_fail("lengths[%" PRId64 "] is %" PRId64 "; there are %" PRId64 " steps", b + EQ_BASE, most,
            z->L);
    return -1;
  }
  for (int64_t s = 0; s < most; s++) {
    const int64_t id = z->targets[b * z->L + s];
    if (!id) return s;
    if (id < EQ_BASE || id >= z->V + EQ_BASE) {
      eq_fail("targets[{%" PRId64 ", %" PRId64 "}] is %" PRId64 "; the vocabulary has %" PRId64
              " entries",
              b + EQ_BASE, s + EQ_BASE, id, z->V);
      return -1;
    }
    if (said && said[s] == c->arg[EOS].i) return s + 1;
  }
  return most;
}

static terms terms_of(const eq_call *c, const eq_tensor *targets) {
  const eq_tensor *x = c->in[LOGP];
  return (terms){.B = x->shape[0],
                 .L = x->shape[1],
                 .V = x->shape[2],
                 .targets = (const int64_t *)targets->data,
                 .n = (const int64_t *)c->out[STEPS]->data};
}

static int run(eq_call *c) {
  terms z = terms_of(c, c->in[TARGETS]);
  void *loss = c->out[LOSS]->data, *x = c->in[LOGP]->data;
  const bool each = c->arg[REDUCE].i;
  for (int64_t b = 0; b < z.B; b++) {
    int64_t n = count_steps(c, &z, b);
    if (n < 0) return EQ_ERR;
    ((int64_t *)c->out[STEPS]->data)[b] = n;
  }
  FLOAT_CALL(c->in[LOGP]->dtype, losses, (&z, x, each ? loss : NULL, each ? NULL : loss));
  return EQ_OK;
}

static int back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  const eq_dtype t = gy[LOSS]->dtype;
  eq_tensor *g = eq_contiguous(gy[LOSS]), *targets = eq_contiguous(c->in[TARGETS]);
  if (g && targets) gx[LOGP] = eq_empty(t, 3, c->in[LOGP]->shape);
  if (gx[LOGP]) {
    terms z = terms_of(c, targets);
    FLOAT_CALL(t, losses_back, (&z, (void *)g->data, c->arg[REDUCE].i, (void *)gx[LOGP]->data));
  }
  eq_release(g);
  eq_release(targets);
  return gx[LOGP] ? EQ_OK : eq_error.status;
}

const eq_op ops_sequence_nll[] = {
    {.name = "sequence_nll",
     .sig = "logp:float, targets:index, tokens:index?, lengths:index?, eos:int=2, "
            "reduction:sum|none=sum -> loss; steps",
     .doc = "Negative log-likelihood of target sequences, up to where the model itself ends.\n"
            "logp [B, L, V], targets and tokens [B, L], lengths [B], all ids i64 from 1. Row b is "
            "summed up\n"
            "to its length, its first target 0 (padding) or the step at which tokens first says "
            "eos, this\n"
            "step included. reduction: sum gives one number, none the loss of each row [B].\n"
            "Errors: a target outside the vocabulary; a length above L. Gordon et al., ICLR 2020.",
     .example = "local logp = equi.full({1, 3, 4}, -1)\n"
                "local targets = equi.tensor({{3, 4, 2}}, {dtype = \"i64\"})\n"
                "print(equi.sequence_nll(logp, targets):item())   --> 3.0",
     .shape = shape,
     .run = run,
     .back = back,
     .flags = EQ_FUNCTION | EQ_ONCE | EQ_SAVE_IN1 | EQ_SAVE_OUT,
     .where = EQ_HERE},
    {0}};
#endif
