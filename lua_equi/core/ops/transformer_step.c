/* transformer_step.c -- one token through a stack of pre-norm transformer blocks with a cache.
 *
 *   for every block   h = norm_1(x);  q, k, v = the thirds of h Wa + ba;  k, v to the cache
 *                     x = x + attention(q, cache) Wp + bp
 *                     x = x + f(norm_2(x) Wf + bf) Wo + bo
 *   logits = norm(x) We'
 *
 * as in GPT-2 (Radford et al. 2019; models/gpt2.lua has the same in ops). Few rows, so that reading
 * the weights is what it costs: every product reads its weights once, in parallel (thin.c); what
 * lies between the products is short and stays with the caller, but for attention over a long
 * cache. Nothing is recorded. A row's logits do not depend on the other rows. */
#include "../equi.h"
#include "../thin.h"
#include "../vmath.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Places of tensors and arguments in the signature below. */
enum { X, WEIGHTS };
enum { WEIGHTS_LIST, KEYS_LIST, VALUES_LIST };
enum { LENGTH, HEADS, EPS, SCALE, ACTIVATION, BY_LAYER };
/* A block's tensors, an empty one where there is none; behind the last block those of the end. */
enum { NORM_1, BIAS_1, WA, SA, BA, WP, SP, BP, NORM_2, BIAS_2, WF, SF, BF, WO, SO, BO, EACH };
enum { NORM, BIAS, WE, SE, END };

typedef struct step {
  int64_t M, D, H, layers, inner, V, length; /* length: places of the cache already taken */
  double eps, scale;
  eq_thin_after f;
  eq_tensor **weights, **keys, **values;
  const char *mask; /* [M, length + 1], NULL: all places count */
  float *x, *h, *qkv, *wide, *scores, *logits;
} step;

static float *numbers(const eq_tensor *x) { return x->numel ? (float *)(void *)x->data : NULL; }

/* ---- what is computed between products ---- */
EQ_SIMD static void norm_row(const float *x, const float *w, const float *b, double eps, float *y,
                             int64_t n) {
  float lane[16] = {0}, mean = 0, var = 0;
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int k = 0; k < 16; k++) lane[k] += x[i + k];
  for (; i < n; i++) lane[i % 16] += x[i];
  for (int k = 0; k < 16; k++) mean += lane[k], lane[k] = 0;
  mean /= (float)n;
  for (i = 0; i + 16 <= n; i += 16)
    for (int k = 0; k < 16; k++) lane[k] += (x[i + k] - mean) * (x[i + k] - mean);
  for (; i < n; i++) lane[i % 16] += (x[i] - mean) * (x[i] - mean);
  for (int k = 0; k < 16; k++) var += lane[k];
  const float r = (float)(1 / sqrt((double)(var / (float)n) + eps));
  for (i = 0; i < n; i++) y[i] = (x[i] - mean) * r;
  for (i = 0; w && i < n; i++) y[i] *= w[i];
  for (i = 0; b && i < n; i++) y[i] += b[i];
}

static void norm(const step *s, eq_tensor *const *wb) {
  for (int64_t r = 0; r < s->M; r++)
    norm_row(s->x + r * s->D, numbers(wb[0]), numbers(wb[1]), s->eps, s->h + r * s->D, s->D);
}

#define ACTIVATION_OF(name, Y)                                                                     \
  EQ_SIMD static void name(float *y, int64_t n) {                                                  \
    for (int64_t i = 0; i < n; i++) {                                                              \
      const float x = y[i];                                                                        \
      y[i] = (Y);                                                                                  \
    }                                                                                              \
  }
ACTIVATION_OF(gelu_tanh, x *eq_sigmoid_f32(1.5957691216057308f * (x + 0.044715f * x * x * x)))
ACTIVATION_OF(gelu, 0.5f * x * (1 + eq_erf_f32(0.70710678118654752f * x)))
ACTIVATION_OF(relu, x < 0 ? 0 : x)
ACTIVATION_OF(silu, x *eq_sigmoid_f32(x))
ACTIVATION_OF(tanh_of, eq_tanh_f32(x))
static const eq_thin_after activations[] = {gelu_tanh, gelu, relu, silu, tanh_of};
#define ACTIVATIONS "gelu_tanh|gelu|relu|silu|tanh"

/* y = x W + b over rows of k numbers; w points to weight, scale and bias. */
static int product(const step *s, const float *x, int64_t k, eq_tensor *const *w, bool turned,
                   float *y, bool add, eq_thin_after after) {
  eq_sgemm g = {.m = s->M, .k = k, .a = x, .ars = k, .acs = 1, .c = y, .accumulate = add};
  if (eq_thin_weight(&g, w[0], w[1], turned)) return EQ_ERR;
  g.crs = g.n;
  if (!turned) g.bias = numbers(w[2]);
  return eq_thin(&g, after);
}

/* ---- attention of the new place to all of the cache ---- */
EQ_SIMD static void softmax_row(float *p, const char *mask, float scale, int64_t n) {
  float most = -INFINITY, sum = 0;
  for (int64_t t = 0; t < n; t++) p[t] *= scale;
  for (int64_t t = 0; mask && t < n; t++) p[t] = mask[t] ? p[t] : -INFINITY;
  for (int64_t t = 0; t < n; t++) most = p[t] > most ? p[t] : most;
  for (int64_t t = 0; t < n; t++) p[t] = eq_exp_f32(p[t] - most);
  float lane[16] = {0};
  for (int64_t t = 0; t < n; t++) lane[t % 16] += p[t];
  for (int k = 0; k < 16; k++) sum += lane[k];
  const float by = 1 / sum;
  for (int64_t t = 0; t < n; t++) p[t] *= by;
}

typedef struct heads {
  const step *s;
  eq_tensor *k, *v;
  float scale;
} heads;

static float *place(const eq_tensor *cache, int64_t row, int64_t head, int64_t at) {
  return (float *)(void *)cache->data + row * cache->stride[0] + head * cache->stride[1] +
         at * cache->stride[2];
}

static void attend(int64_t begin, int64_t end, void *ctx) {
  const heads *q = ctx;
  const step *s = q->s;
  const int64_t size = s->D / s->H, all = s->length + 1;
  for (int64_t i = begin; i < end; i++) {
    const int64_t row = i / s->H, head = i % s->H;
    float *p = s->scores + i * all;
    const float *mine = s->qkv + row * 3 * s->D + head * size;
    memcpy(place(q->k, row, head, s->length), mine + s->D, (size_t)size * sizeof *mine);
    memcpy(place(q->v, row, head, s->length), mine + 2 * s->D, (size_t)size * sizeof *mine);
    eq_sgemm g = {.m = 1, .n = all, .k = size, .a = mine, .ars = size, .acs = 1, .c = p};
    g.b = place(q->k, row, head, 0), g.bks = 1, g.bns = q->k->stride[2], g.crs = all;
    eq_sgemm_skinny(&g);
    softmax_row(p, s->mask ? s->mask + row * all : NULL, q->scale, all);
    g = (eq_sgemm){.m = 1, .n = size, .k = all, .a = p, .ars = all, .acs = 1};
    g.b = place(q->v, row, head, 0), g.bks = q->v->stride[2], g.bns = 1;
    g.c = s->h + row * s->D + head * size, g.crs = size;
    eq_sgemm_skinny(&g);
  }
}

static int attention(const step *s, int64_t layer, float scale) {
  enum { PIECE = 65536 }; /* numbers of the cache that a part reads: some 10 us */
  heads q = {s, s->keys[layer], s->values[layer], scale};
  const int64_t each = 2 * (s->length + 1) * (s->D / s->H);
  return eq_parallel_for(s->M * s->H, each < PIECE ? PIECE / each : 1, attend, &q);
}

static int block(const step *s, int64_t layer, float scale) {
  eq_tensor *const *w = s->weights + layer * EACH;
  norm(s, w + NORM_1);
  int bad = product(s, s->h, s->D, w + WA, false, s->qkv, false, NULL);
  if (!bad) bad = attention(s, layer, scale);
  if (!bad) bad = product(s, s->h, s->D, w + WP, false, s->x, true, NULL);
  if (bad) return bad;
  norm(s, w + NORM_2);
  bad = product(s, s->h, s->D, w + WF, false, s->wide, false, s->f);
  return bad ? bad : product(s, s->wide, s->inner, w + WO, false, s->x, true, NULL);
}

static int run(const eq_call *c, const step *s) {
  for (int64_t i = 0; i < s->layers; i++) {
    const double scale = c->arg[BY_LAYER].i ? s->scale / (double)(i + 1) : s->scale;
    int bad = block(s, i, (float)scale);
    if (bad) return bad;
  }
  norm(s, s->weights + s->layers * EACH + NORM);
  return product(s, s->h, s->D, s->weights + s->layers * EACH + WE, true, s->logits, false, NULL);
}

/* ---- checks ---- */
/* Outputs of a matrix with k inputs, or -1 with the message. */
static int64_t outputs(eq_tensor *const *w, int64_t k, bool turned) {
  eq_sgemm g = {.k = k};
  return eq_thin_weight(&g, w[0], w[1], turned) ? -1 : g.n;
}

static int check_vector(const eq_tensor *x, int64_t n, const char *what) {
  if (x->numel == 0 || (x->dtype == EQ_F32 && x->numel == n)) return EQ_OK;
  return eq_fail("%s is %s %s; it must be f32 of %" PRId64, what, eq_dtype_name(x->dtype),
                 eq_shape_of(x), n);
}

static int check_width(int64_t have, int64_t want) {
  if (have == want) return EQ_OK;
  return have < 0
             ? EQ_ERR
             : eq_fail("a matrix has %" PRId64 " outputs where %" PRId64 " are needed", have, want);
}

static int check_block(const step *s, eq_tensor *const *w) {
  static const int of_width[] = {NORM_1, BIAS_1, BP, NORM_2, BIAS_2, BO};
  const int64_t D = s->D, inner = outputs(w + WF, D, false);
  if (inner < 0) return EQ_ERR;
  if (inner != s->inner) return eq_fail("blocks differ in width");
  for (size_t i = 0; i < sizeof of_width / sizeof *of_width; i++)
    if (check_vector(w[of_width[i]], D, "a norm or bias")) return EQ_ERR;
  if (check_vector(w[BA], 3 * D, "a bias") || check_vector(w[BF], inner, "a bias")) return EQ_ERR;
  return check_width(outputs(w + WA, D, false), 3 * D) ||
                 check_width(outputs(w + WP, D, false), D) ||
                 check_width(outputs(w + WO, inner, false), D)
             ? EQ_ERR
             : EQ_OK;
}

static int check_cache(const step *s, const eq_tensor *k) {
  const bool ok = k->dtype == EQ_F32 && k->ndim == 4 && k->shape[0] == s->M &&
                  k->shape[1] == s->H && k->shape[2] > s->length && k->shape[3] * s->H == s->D &&
                  (k->stride[3] == 1 || k->shape[3] == 1);
  if (ok) return eq_check_places(k);
  return eq_fail("a cache is %s %s; it must be f32 of %" PRId64 " x %" PRId64
                 " x more than %" PRId64 " x %" PRId64,
                 eq_dtype_name(k->dtype), eq_shape_of(k), s->M, s->H, s->length, s->D / s->H);
}

/* Sizes and lists of the call; everything checked before anything is written. */
static int read_call(const eq_call *c, step *s) {
  const eq_tensor *x = c->in[X], *mask = c->in[c->nin - 1];
  const int nw = c->count[WEIGHTS_LIST], nk = c->count[KEYS_LIST], nv = c->count[VALUES_LIST];
  if (x->dtype != EQ_F32 || x->ndim != 2 || x->shape[0] < 1 || x->shape[0] > EQ_SKINNY)
    return eq_fail("x must be f32 of 1 to %d rows, it is %s %s", EQ_SKINNY, eq_dtype_name(x->dtype),
                   eq_shape_of(x));
  s->M = x->shape[0], s->D = x->shape[1];
  s->H = c->arg[HEADS].i, s->length = c->arg[LENGTH].i;
  s->layers = nk;
  s->eps = c->arg[EPS].f, s->scale = c->arg[SCALE].f;
  s->f = activations[c->arg[ACTIVATION].i];
  s->weights = c->in + WEIGHTS, s->keys = s->weights + nw, s->values = s->keys + nk;
  if (nv != nk || nw != EACH * nk + END || nk < 1)
    return eq_fail("%d weights, %d keys and %d values; each block has %d weights, the end %d", nw,
                   nk, nv, EACH, END);
  if (s->H < 1 || s->D % s->H || s->length < 0)
    return eq_fail("heads is %" PRId64 " for %" PRId64 " features, length %" PRId64, s->H, s->D,
                   s->length);
  s->inner = outputs(s->weights + WF, s->D, false);
  for (int i = 0; i < nk; i++)
    if (check_block(s, s->weights + i * EACH) || check_cache(s, s->keys[i]) ||
        check_cache(s, s->values[i]))
      return EQ_ERR;
  eq_tensor *const *end = s->weights + nk * EACH;
  if (check_vector(end[NORM], s->D, "a norm") || check_vector(end[BIAS], s->D, "a norm"))
    return EQ_ERR;
  s->V = outputs(end + WE, s->D, true);
  if (s->V < 0) return EQ_ERR;
  if (mask && (mask->ndim != 2 || mask->shape[0] != s->M || mask->shape[1] != s->length + 1))
    return eq_fail("mask is %s; it must be %" PRId64 " x %" PRId64, eq_shape_of(mask), s->M,
                   s->length + 1);
  return EQ_OK;
}

/* ---- memory ---- */
static size_t scratch_of(const step *s, float *at, step *to) {
  const int64_t row = 5 * s->D + s->inner + s->H * (s->length + 1);
  if (at) {
    to->x = at, to->h = to->x + s->M * s->D, to->qkv = to->h + s->M * s->D;
    to->wide = to->qkv + s->M * 3 * s->D, to->scores = to->wide + s->M * s->inner;
  }
  return (size_t)(s->M * row) * sizeof(float);
}

static int with_scratch(eq_call *c, step *s, const eq_tensor *x) {
  const size_t bytes = scratch_of(s, NULL, NULL);
  float *block = eq_alloc(bytes);
  if (!block) return eq_error.status;
  (void)scratch_of(s, block, s);
  memcpy(s->x, x->data, (size_t)x->numel * sizeof(float));
  s->logits = (float *)(void *)c->out[0]->data;
  int bad = run(c, s);
  eq_free(block, bytes);
  for (int64_t i = 0; i < s->layers; i++) eq_touch(s->keys[i]), eq_touch(s->values[i]);
  return bad;
}

/* compose: the caches are written, so they must come as they are, and matrices are not copied. */
static int transformer_step(eq_call *c) {
  step s = {0};
  if (read_call(c, &s)) return EQ_ERR;
  for (int i = 0; i < c->count[WEIGHTS_LIST]; i++)
    if (!eq_is_contiguous(s.weights[i]))
      return eq_fail("weight %d of the list is not row-major; use contiguous()", i + 1);
  eq_tensor *x = eq_contiguous(c->in[X]), *mask = c->in[c->nin - 1];
  eq_tensor *whole = mask ? eq_contiguous(mask) : NULL;
  int bad = x && (whole || !mask) ? EQ_OK : (int)eq_error.status;
  if (!bad) {
    c->out[0] = eq_empty(EQ_F32, 2, (int64_t[]){s.M, s.V});
    c->nout = 1;
    s.mask = whole ? whole->data : NULL;
    bad = c->out[0] ? with_scratch(c, &s, x) : (int)eq_error.status;
  }
  eq_release(x);
  eq_release(whole);
  return bad;
}

const eq_op ops_transformer_step[] = {
    {.name = "transformer_step",
     .sig = "x:float, weights:tensors, keys:tensors, values:tensors, mask:mask?, length:int, "
            "heads:int, eps:num=1e-5, scale:num=1, activation:" ACTIVATIONS "=gelu_tanh, "
            "by_layer:bool=false -> logits",
     .doc = "The logits [M, V] of one token for each of M rows, at most 8: x [M, D] goes through a "
            "stack of\npre-norm transformer blocks, whose keys and values, [M, heads, capacity, D "
            "/ heads] a block, hold\n`length` places and get one more, in place. models/gpt2.lua's "
            "step calls this.\n"
            "weights lists for every block, an empty tensor where there is none: norm, its bias, "
            "then for each\nof the matrices qkv, projection, norm again (two tensors), widening, "
            "narrowing: the matrix, its\nscales and its bias; at the end norm, bias, head and the "
            "head's scales. Matrices are f32 [in, out]\n(the head [V, D]) or of compress_weights. "
            "mask [M, length + 1] is true for places that count; by_layer\ndivides scale by the "
            "block's number.",
     .example = "local none, D = equi.zeros(0), 4\n"
                "local weights = {}\n"
                "for i, m in ipairs {{D, 3 * D}, {D, D}, {D, 8}, {8, D}} do\n"
                "  if i % 2 == 1 then table.move({none, none}, 1, 2, #weights + 1, weights) end\n"
                "  table.move({equi.zeros(m), none, none}, 1, 3, #weights + 1, weights)\n"
                "end\n"
                "table.move({none, none, equi.eye(D), none}, 1, 4, #weights + 1, weights)\n"
                "local k, v = equi.zeros(1, 2, 8, 2), equi.zeros(1, 2, 8, 2)\n"
                "local x = equi.tensor({{1, -1, 1, -1}})\n"
                "local y = equi.transformer_step(x, weights, {k}, {v}, {length = 0, heads = 2, eps "
                "= 0})\n"
                "print(y[1][2]:item())  --> -1.0",
     .compose = transformer_step,
     .flags = EQ_FUNCTION | EQ_NO_GRAD | EQ_MIXED,
     .where = EQ_HERE},
    {0}};
