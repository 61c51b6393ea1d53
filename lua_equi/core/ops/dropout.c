/* dropout.c -- sets elements to 0 with probability p and scales the others by 1 / (1 - p)
 * (Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR
 * 2014).
 *
 * No mask is stored: element i is decided by number i of the random stream, which the backward pass
 * draws again from the same seed and counter. So the result does not depend on the thread count. */
#ifdef T
static void FN(apply)(const job *j, int64_t begin, int64_t end) {
  const T *x = (const T *)(const void *)j->x;
  T *y = (T *)(void *)j->y, scale = (T)j->scale;
  for (int64_t i = begin; i < end; i += 4) {
    uint32_t bits[4];
    int64_t n = end - i < 4 ? end - i : 4;
    eq_philox(j->seed, j->counter + (uint64_t)i / 4, bits);
    for (int64_t k = 0; k < n; k++) y[i + k] = bits[k] >= j->below ? x[i + k] * scale : 0;
  }
}
#else
#include "../equi.h"

enum { PIECE = 32768 }; /* a multiple of 4: pieces begin with a new block of random numbers */

typedef struct job {
  const char *x;
  char *y;
  eq_dtype dtype;
  double scale;
  uint64_t seed, counter, below; /* elements whose 32 bits are below `below` are dropped */
} job;

#define EQ_FILE "ops/dropout.c"
#include "../floats.h"

static int dropout_compose(eq_call *c) {
  double p = c->arg[0].f;
  if (!(p >= 0 && p <= 1)) return eq_fail("p must be from 0 to 1, got %g", p);
  c->nout = 1;
  if (!c->arg[1].i || p == 0) {
    c->out[0] = eq_retain(c->in[0]);
    return EQ_OK;
  }
  uint64_t blocks = ((uint64_t)c->in[0]->numel + 3) / 4,
           first = eq_rng_take(&eq_default_rng, blocks);
  c->out[0] = eq_f("drop", "tnii", c->in[0], p, (int64_t)first, (int64_t)eq_default_rng.seed);
  return c->out[0] ? EQ_OK : eq_error.status;
}

static int drop_shape(eq_call *c) {
  return eq_out(c, 0, c->in[0]->dtype, c->in[0]->ndim, c->in[0]->shape);
}

static void piece(int64_t begin, int64_t end, void *ctx) {
  const job *j = ctx;
  FLOAT_CALL(j->dtype, apply, (j, begin, end));
}

static int drop_run(eq_call *c) {
  double p = c->arg[0].f;
  job j = {.x = c->in[0]->data,
           .y = c->out[0]->data,
           .dtype = c->in[0]->dtype,
           .scale = p < 1 ? 1 / (1 - p) : 0,
           .seed = (uint64_t)c->arg[2].i,
           .counter = (uint64_t)c->arg[1].i,
           .below = (uint64_t)(p * 4294967296.0)};
  return eq_parallel_for(c->in[0]->numel, PIECE, piece, &j);
}

static int drop_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  gx[0] = eq_f("drop", "tnii", gy[0], c->arg[0].f, c->arg[1].i, c->arg[2].i);
  return gx[0] ? EQ_OK : eq_error.status;
}

const eq_op ops_dropout[] = {
    {.name = "dropout",
     .sig = "x:float, p:num=0.5, training:bool=true -> y",
     .doc =
         "Elements become 0 with probability p, the others are divided by 1 - p, so that the mean "
         "stays.\nWith training = false, or p = 0, the result is x itself. Follows equi.seed.",
     .example = "print(equi.ones(3):dropout(0.5, {training = false}):sum():item())  --> 3.0",
     .compose = dropout_compose,
     .where = EQ_HERE},
    {.name = "drop",
     .sig = "x:float, p:num, counter:int, seed:int -> y",
     .doc = "dropout with the random numbers named: linear in x, and its own rule.",
     .shape = drop_shape,
     .run = drop_run,
     .back = drop_back,
     .flags = EQ_HIDDEN,
     .where = EQ_HERE},
    {0}};
#endif
