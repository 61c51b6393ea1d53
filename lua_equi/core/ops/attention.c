/* attention.c -- softmax(scale q k' + mask) v without the matrix of all weights (Vaswani et al.
 * 2017, equation 1; computed in blocks of keys as by Milakov and Gimelshein 2018, Dao et al. 2022).
 *
 * A block of queries meets one block of keys after the other. Of each query the largest score m so
 * far and the sum l of exp(score - m) are kept; when m grows, what was added up before is scaled.
 * For the way back log(l) + m is saved, and the weights are computed again:
 *   gv = P' gy;  gS = P (gy v' - rowsum(gy y)) scale;  gq = gS k;  gk = gS' q.
 * A query that may see no key gets 0. Dropout of weights is not here (nn/attention.lua composes).
 *
 * q, k, v and the results are seen through strides, so they may be parts of one tensor [B, T, 3, H,
 * D]. Results lie in memory as [B, T, H, D], whose heads join without a copy. */
#ifdef T
#include "../lanes.h"

EQ_INLINE void FN(forbid)(T *p, const char *mask, int64_t step, T value, int64_t n) {
  if (step == 1)
    for (int64_t i = 0; i < n; i++) p[i] = mask[i] ? value : p[i];
  else
    for (int64_t i = 0; i < n; i++) p[i] = mask[i * step] ? value : p[i];
}

/* Scores of query `at` against n keys from `from` -> exp(score - m); what the query may not see is
 * 0. Returns what was added up before must be scaled by. */
EQ_INLINE T FN(weigh)(const job *j, T *p, int64_t n, int64_t seen, const char *mask, T *m, T *l) {
  const T scale = (T)j->scale;
  for (int64_t i = 0; i < seen; i++) p[i] *= scale;
  for (int64_t i = 0; mask && i < seen; i++) p[i] = mask[i * j->mask.s[3]] ? (T)-INFINITY : p[i];
  const T here = FN(largest)(p, seen), most = here > *m ? here : *m;
  const T shift = most > (T)-INFINITY ? most : 0;
  for (int64_t i = 0; i < seen; i++) p[i] = EXP(p[i] - shift);
  for (int64_t i = seen; i < n; i++) p[i] = 0;
  const T by = EXP(*m - shift);
  *l = *l * by + FN(total)(p, seen);
  *m = most;
  return by;
}

EQ_INLINE void FN(scale_row)(T *y, T by, int64_t n) {
  for (int64_t i = 0; i < n; i++) y[i] *= by;
}

EQ_SIMD static void FN(forward)(const job *j, const block *q, char *scratch) {
  T *p = (T *)(void *)scratch, m[QUERIES], l[QUERIES];
  T *y = FN(at)(&j->y, q->b, q->h, q->from);
  const int64_t step = j->y.s[2];
  for (int64_t i = 0; i < q->n; i++) m[i] = (T)-INFINITY, l[i] = 0;
  for (int64_t k0 = 0; k0 < q->keys; k0 += KEYS) {
    const int64_t n = smaller(q->keys - k0, KEYS);
    FN(product)
    (scores_of(j, q->n, n), FN(at)(&j->q, q->b, q->h, q->from), FN(at)(&j->k, q->b, q->h, k0), p,
     scratch + j->own);
    for (int64_t i = 0; i < q->n; i++) {
      const T by = FN(weigh)(j, p + i * KEYS, n, seen_by(j, q->from + i, k0, n),
                             mask_at(j, q, q->from + i, k0), m + i, l + i);
      if (k0 && by != 1) FN(scale_row)(y + i * step, by, j->width);
    }
    const factors f = {q->n, j->width, n, KEYS, 1, j->v.s[2], j->v.s[3], step, k0 > 0};
    FN(product)(f, p, FN(at)(&j->v, q->b, q->h, k0), y, scratch + j->own);
  }
  T *kept = (T *)j->kept + (q->b * j->H + q->h) * j->queries + q->from;
  for (int64_t i = 0; i < q->n; i++) {
    if (q->keys == 0) memset(y + i * step, 0, (size_t)j->width * sizeof *y);
    FN(scale_row)(y + i * step, l[i] != 0 ? 1 / l[i] : 0, j->width);
    kept[i] = m[i] + (T)log((double)l[i]);
  }
}

/* P and gP of one block -> P again and gS, in place. */
EQ_INLINE void FN(unweigh)(const job *j, T *p, T *g, int64_t n, int64_t seen, const char *mask,
                           T kept, T delta) {
  const T scale = (T)j->scale;
  const bool none = kept == (T)-INFINITY;
  for (int64_t i = 0; i < seen; i++) p[i] = EXP(p[i] * scale - kept);
  if (mask) FN(forbid)(p, mask, j->mask.s[3], 0, seen);
  for (int64_t i = none ? 0 : seen; i < n; i++) p[i] = 0;
  for (int64_t i = 0; i < seen; i++) g[i] = p[i] * (g[i] - delta) * scale;
  for (int64_t i = seen; i < n; i++) g[i] = 0;
}

EQ_SIMD static void FN(one_block)(const job *j, const block *q, int64_t k0, const T *delta,
                                  char *scratch) {
  T *p = (T *)(void *)scratch, *g = p + QUERIES * KEYS;
  char *room = scratch + j->own;
  const int64_t n = smaller(q->keys - k0, KEYS), b = q->b, h = q->h;
  const T *kept = (const T *)j->kept + (b * j->H + h) * j->queries + q->from;
  const T *qs = FN(at)(&j->q, b, h, q->from), *ks = FN(at)(&j->k, b, h, k0);
  const T *gy = FN(at)(&j->gy, b, h, q->from);
  FN(product)(scores_of(j, q->n, n), qs, ks, p, room);
  const factors gp = {q->n, n, j->width, j->gy.s[2], j->gy.s[3], j->v.s[3], j->v.s[2], KEYS, false};
  FN(product)(gp, gy, FN(at)(&j->v, b, h, k0), g, room);
  for (int64_t i = 0; i < q->n; i++) FN(unweigh)
  (j, p + i * KEYS, g + i * KEYS, n, seen_by(j, q->from + i, k0, n), mask_at(j, q, q->from + i, k0),
   kept[i], delta[i]);
  const factors gv = {n, j->width, q->n, 1, KEYS, j->gy.s[2], j->gy.s[3], j->gv.s[2], true};
  FN(product)(gv, p, gy, FN(at)(&j->gv, b, h, k0), room);
  const factors gk = {n, j->width, q->n, 1, KEYS, j->q.s[2], j->q.s[3], j->gk.s[2], true};
  FN(product)(gk, g, qs, FN(at)(&j->gk, b, h, k0), room);
  const factors gq = {q->n, j->width, n, KEYS, 1, j->k.s[2], j->k.s[3], j->gq.s[2], k0 > 0};
  FN(product)(gq, g, ks, FN(at)(&j->gq, b, h, q->from), room);
}

/* All of one head: its keys and values get their gradients from all queries. */
EQ_SIMD static void FN(backward)(const job *j, int64_t b, int64_t h, char *scratch) {
  T delta[QUERIES];
  for (int64_t k = 0; k < j->keys; k++) {
    memset(FN(at)(&j->gk, b, h, k), 0, (size_t)j->width * sizeof(T));
    memset(FN(at)(&j->gv, b, h, k), 0, (size_t)j->width * sizeof(T));
  }
  for (int64_t from = 0; from < j->queries; from += QUERIES) {
    const block q = block_of(j, b, h, from);
    for (int64_t i = 0; i < q.n; i++) {
      const T *gy = FN(at)(&j->gy, b, h, from + i), *y = FN(at)(&j->y, b, h, from + i);
      delta[i] = 0;
      for (int64_t d = 0; d < j->width; d++) delta[i] += gy[d * j->gy.s[3]] * y[d * j->y.s[3]];
      if (!q.keys) memset(FN(at)(&j->gq, b, h, from + i), 0, (size_t)j->width * sizeof(T));
    }
    for (int64_t k0 = 0; k0 < q.keys; k0 += KEYS) FN(one_block)(j, &q, k0, delta, scratch);
  }
}
#else
#include "../equi.h"
#include "../micro/gemm.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { QUERIES = 64, KEYS = 128 }; /* of a block */

/* A tensor [B, H, places, width], whatever its strides (in elements). */
typedef struct strided {
  char *data;
  int64_t s[4];
} strided;

typedef struct job {
  eq_dtype dtype;
  int64_t B, H, queries, keys, width;
  strided q, k, v, y, gy, gq, gk, gv, mask; /* mask.data NULL: none; it is true where forbidden */
  char *kept;                               /* [B, H, queries] */
  bool causal;
  double scale;
  char *scratch;
  size_t own, room; /* of a thread: bytes of ours, of all */
} job;

typedef struct block {
  int64_t b, h, from, n, keys; /* keys: so many that one of its queries sees */
} block;

/* c[i * crs + j] (+)= sum_p a[i * ars + p * acs] b[p * bks + j * bns] */
typedef struct factors {
  int64_t m, n, k, ars, acs, bks, bns, crs;
  bool add;
} factors;

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* The last query sees the last key. */
static int64_t seen_by(const job *j, int64_t query, int64_t k0, int64_t n) {
  if (!j->causal) return n;
  const int64_t last = query + j->keys - j->queries + 1 - k0;
  return last < 0 ? 0 : smaller(last, n);
}

static const char *mask_at(const job *j, const block *q, int64_t query, int64_t key) {
  const strided *m = &j->mask;
  return m->data ? m->data + q->b * m->s[0] + q->h * m->s[1] + query * m->s[2] + key * m->s[3]
                 : NULL;
}

static block block_of(const job *j, int64_t b, int64_t h, int64_t from) {
  const int64_t n = smaller(j->queries - from, QUERIES);
  return (block){b, h, from, n, seen_by(j, from + n - 1, 0, j->keys)};
}

static factors scores_of(const job *j, int64_t queries, int64_t keys) {
  return (factors){queries,   keys,      j->width, j->q.s[2], j->q.s[3],
                   j->k.s[3], j->k.s[2], KEYS,     false};
}

static eq_sgemm sgemm_of(const factors *f) {
  return (eq_sgemm){.m = f->m,
                    .n = f->n,
                    .k = f->k,
                    .ars = f->ars,
                    .acs = f->acs,
                    .bks = f->bks,
                    .bns = f->bns,
                    .crs = f->crs,
                    .accumulate = f->add};
}

#define AT(T, S)                                                                                   \
  static T *at_##S(const strided *x, int64_t b, int64_t h, int64_t place) {                        \
    return (T *)(void *)x->data + b * x->s[0] + h * x->s[1] + place * x->s[2];                     \
  }
AT(float, f32)
AT(double, f64)

EQ_SIMD static void product_f64(factors f, const double *a, const double *b, double *c,
                                char *room) {
  (void)room;
  for (int64_t i = 0; i < f.m; i++) {
    double *to = c + i * f.crs;
    for (int64_t j = 0; !f.add && j < f.n; j++) to[j] = 0;
    for (int64_t p = 0; p < f.k; p++) {
      const double x = a[i * f.ars + p * f.acs], *row = b + p * f.bks;
      for (int64_t j = 0; j < f.n; j++) to[j] += x * row[j * f.bns];
    }
  }
}

static void product_f32(factors f, const float *a, const float *b, float *c, char *room) {
  eq_sgemm g = sgemm_of(&f);
  g.a = a, g.b = b, g.c = c;
  eq_sgemm_tile(&g, (float *)(void *)room);
}

#define EQ_FILE "ops/attention.c"
#include "../floats.h"

/* ---- running ---- */
static void forward_piece(int64_t begin, int64_t end, void *ctx) {
  const job *j = ctx;
  const int64_t blocks = (j->queries + QUERIES - 1) / QUERIES;
  char *scratch = j->scratch + (size_t)eq_thread() * j->room;
  for (int64_t i = begin; i < end; i++) {
    const int64_t head = i / blocks;
    const block q = block_of(j, head / j->H, head % j->H, i % blocks * QUERIES);
    FLOAT_CALL(j->dtype, forward, (j, &q, scratch));
  }
}

static void backward_piece(int64_t begin, int64_t end, void *ctx) {
  const job *j = ctx;
  char *scratch = j->scratch + (size_t)eq_thread() * j->room;
  for (int64_t i = begin; i < end; i++)
    FLOAT_CALL(j->dtype, backward, (j, i / j->H, i % j->H, scratch));
}

/* Room that any product of two blocks needs. */
static int64_t product_room(const job *j) {
  const int64_t wide = j->width > KEYS ? j->width : KEYS;
  eq_sgemm g = {.m = KEYS, .n = wide, .k = wide, .ars = 1, .acs = KEYS, .bks = 1, .bns = wide};
  return eq_sgemm_scratch(&g);
}

static int run_pieces(job *j, int64_t n, int squares, eq_range_fn fn) {
  const int64_t each = smaller(j->queries, QUERIES) * smaller(j->keys, KEYS) * j->width;
  j->own = (size_t)(squares * QUERIES * KEYS) * eq_size(j->dtype);
  j->room = j->own + ((size_t)product_room(j) * sizeof(float) + 63) / 64 * 64;
  const size_t bytes = j->room * (size_t)eq_threads();
  j->scratch = eq_alloc(bytes);
  if (!j->scratch) return eq_error.status;
  const int64_t grain = each > 0 ? (1 << 19) / each : n; /* some 10 us */
  int bad = eq_parallel_for(n, grain < 1 ? 1 : grain, fn, j);
  eq_free(j->scratch, bytes);
  return bad;
}

static strided of_tensor(const eq_tensor *x) {
  strided s = {x->data, {0}};
  for (int d = 0; d < 4; d++) s.s[d] = x->stride[d];
  return s;
}

/* Part number k of a tensor [B, T, parts H D] as [B, H, T, D]. */
static strided part_of(const eq_tensor *x, int64_t k, int64_t heads, int64_t width) {
  return (strided){x->data + (size_t)(k * heads * width * x->stride[2]) * eq_size(x->dtype),
                   {x->stride[0], width * x->stride[2], x->stride[1], x->stride[2]}};
}

/* ---- checks and shapes ---- */
/* A mask of up to 4 dims broadcast over [B, H, queries, keys]. */
static int set_mask(job *j, const eq_tensor *mask) {
  if (!mask) return EQ_OK;
  const int64_t want[4] = {j->B, j->H, j->queries, j->keys};
  const int skip = 4 - mask->ndim;
  bool ok = skip >= 0;
  for (int d = 0; ok && d < mask->ndim; d++) {
    ok = mask->shape[d] == want[d + skip] || mask->shape[d] == 1;
    j->mask.s[d + skip] = mask->shape[d] == 1 ? 0 : mask->stride[d];
  }
  j->mask.data = mask->data;
  return ok ? EQ_OK
            : eq_fail("forbidden is %s; it must broadcast to %s", eq_shape_of(mask),
                      eq_shape_str(4, want));
}

static double scale_of(const eq_call *c, int slot, int64_t width) {
  return eq_given(c, slot) ? c->arg[slot].f : 1 / sqrt((double)width);
}

enum { Q, K, V, MASK };

static int read_three(const eq_call *c, eq_tensor *const *in, job *j) {
  const eq_tensor *q = in[0], *k = in[1], *v = in[2];
  if (q->ndim != 4 || k->ndim != 4 || !eq_same_shape(k, v) || q->shape[0] != k->shape[0] ||
      q->shape[1] != k->shape[1] || q->shape[3] != k->shape[3])
    return eq_fail("q is %s, k %s, v %s; they must be B x H x T x D, and B x H x S x D for both k "
                   "and v",
                   eq_shape_of(q), eq_shape_of(k), eq_shape_of(v));
  *j = (job){.dtype = q->dtype,
             .B = q->shape[0],
             .H = q->shape[1],
             .queries = q->shape[2],
             .keys = k->shape[2],
             .width = q->shape[3]};
  j->causal = c->arg[0].i;
  j->q = of_tensor(q), j->k = of_tensor(k), j->v = of_tensor(v);
  j->scale = scale_of(c, 1, j->width);
  return EQ_OK;
}

/* x [B, T, 3 H D] */
static int read_joint(const eq_call *c, const eq_tensor *x, job *j) {
  const int64_t heads = c->arg[0].i;
  if (heads < 1 || x->ndim != 3 || x->shape[2] % (3 * heads))
    return eq_fail("x is %s; it must be B x T x 3 H D with H = %" PRId64 " heads", eq_shape_of(x),
                   heads);
  const int64_t width = x->shape[2] / (3 * heads);
  *j = (job){.dtype = x->dtype,
             .B = x->shape[0],
             .H = heads,
             .queries = x->shape[1],
             .keys = x->shape[1],
             .width = width};
  j->causal = c->arg[1].i;
  j->q = part_of(x, 0, heads, width);
  j->k = part_of(x, 1, heads, width);
  j->v = part_of(x, 2, heads, width);
  j->scale = scale_of(c, 2, width);
  return EQ_OK;
}

static int keep_out(eq_call *c, const job *j) {
  return eq_out(c, 1, j->dtype, 3, (int64_t[]){j->B, j->H, j->queries});
}

/* Memory [B, T, H, D] as [B, H, T, D]. */
static eq_tensor *heads_inside(eq_dtype t, int64_t B, int64_t H, int64_t places, int64_t width) {
  const int64_t shape[4] = {B, H, places, width};
  const int64_t stride[4] = {places * H * width, width, H * width, 1};
  eq_tensor *y = eq_empty(t, 4, shape), *view = y ? eq_view(y, 4, shape, stride, 0) : NULL;
  eq_release(y);
  return view;
}

static int three_shape(eq_call *c) {
  job j;
  if (read_three(c, c->in, &j) || set_mask(&j, c->in[MASK])) return EQ_ERR;
  c->out[0] = heads_inside(j.dtype, j.B, j.H, j.queries, j.width);
  c->nout = 1;
  return c->out[0] ? keep_out(c, &j) : (int)eq_error.status;
}

static int joint_shape(eq_call *c) {
  job j;
  if (read_joint(c, c->in[0], &j) || set_mask(&j, c->in[1])) return EQ_ERR;
  int bad = eq_out(c, 0, j.dtype, 3, (int64_t[]){j.B, j.queries, j.H * j.width});
  return bad ? bad : keep_out(c, &j);
}

static int run_forward(const eq_call *c, job *j) {
  const int64_t blocks = (j->queries + QUERIES - 1) / QUERIES;
  j->kept = c->out[1]->data;
  if (c->out[0]->numel == 0) return EQ_OK;
  return run_pieces(j, j->B * j->H * blocks, 1, forward_piece);
}

static int three_run(eq_call *c) {
  job j;
  (void)read_three(c, c->in, &j);
  (void)set_mask(&j, c->in[MASK]);
  j.y = of_tensor(c->out[0]);
  return run_forward(c, &j);
}

static int joint_run(eq_call *c) {
  job j;
  (void)read_joint(c, c->in[0], &j);
  (void)set_mask(&j, c->in[1]);
  j.y = part_of(c->out[0], 0, j.H, j.width);
  return run_forward(c, &j);
}

/* ---- the way back ---- */
static int run_backward(const eq_call *c, job *j) {
  j->kept = c->out[1]->data;
  return run_pieces(j, j->B * j->H, 2, backward_piece);
}

/* The weights in ops, for gradients of gradients. */
static eq_tensor *weights(const eq_call *c, const job *j) {
  eq_tensor *kt = eq_f("transpose", "t", c->in[K]);
  eq_tensor *s = eq_f("mul", "Tn", eq_f("matmul", "tT", c->in[Q], kt), j->scale);
  if (s && c->in[MASK]) s = eq_f("masked_fill", "Ttn", s, c->in[MASK], -(double)INFINITY);
  if (s && j->causal) {
    eq_tensor *later = eq_full(EQ_U8, 2, (int64_t[]){j->queries, j->keys}, 1);
    later = eq_f("triu", "Ti", later, j->keys - j->queries + 1);
    s = eq_f("masked_fill", "TTn", s, later, -(double)INFINITY);
  }
  return eq_f("softmax", "Ti", s, (int64_t)3);
}

static int back_ops(eq_call *c, eq_tensor **gy, eq_tensor **gx, const job *j) {
  const int64_t last = 3;
  eq_tensor *p = weights(c, j);
  eq_tensor *gp = p ? eq_f("matmul", "tT", gy[0], eq_f("transpose", "t", c->in[V])) : NULL;
  eq_tensor *sum = gp ? eq_f("sum", "Tlb", eq_f("mul", "tt", gp, p), 1, &last, 1) : NULL;
  eq_tensor *gs = sum ? eq_f("mul", "Tt", eq_f("sub", "tT", gp, sum), p) : NULL;
  if (gs) gs = eq_f("mul", "Tn", gs, j->scale);
  if (gs && eq_needed(c, Q)) gx[Q] = eq_f("matmul", "tt", gs, c->in[K]);
  if (gs && eq_needed(c, K)) gx[K] = eq_f("matmul", "Tt", eq_f("transpose", "t", gs), c->in[Q]);
  if (gs && eq_needed(c, V)) gx[V] = eq_f("matmul", "Tt", eq_f("transpose", "t", p), gy[0]);
  eq_release(p);
  eq_release(gp);
  eq_release(gs);
  return eq_error.status;
}

static int three_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  job j;
  (void)read_three(c, c->in, &j);
  (void)set_mask(&j, c->in[MASK]);
  if (eq_grad_enabled) return back_ops(c, gy, gx, &j);
  eq_tensor *g[3];
  for (int i = 0; i < 3; i++)
    g[i] = heads_inside(j.dtype, j.B, j.H, i == Q ? j.queries : j.keys, j.width);
  int bad = g[Q] && g[K] && g[V] ? EQ_OK : (int)eq_error.status;
  if (!bad) {
    j.y = of_tensor(c->out[0]), j.gy = of_tensor(gy[0]);
    j.gq = of_tensor(g[Q]), j.gk = of_tensor(g[K]), j.gv = of_tensor(g[V]);
    bad = run_backward(c, &j);
  }
  for (int i = 0; i < 3; i++) {
    if (!bad && eq_needed(c, i))
      gx[i] = g[i];
    else
      eq_release(g[i]);
  }
  return bad;
}

static int joint_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  job j;
  (void)read_joint(c, c->in[0], &j);
  (void)set_mask(&j, c->in[1]);
  gx[0] = eq_empty(j.dtype, 3, c->in[0]->shape);
  if (!gx[0]) return eq_error.status;
  j.y = part_of(c->out[0], 0, j.H, j.width), j.gy = part_of(gy[0], 0, j.H, j.width);
  j.gq = part_of(gx[0], 0, j.H, j.width);
  j.gk = part_of(gx[0], 1, j.H, j.width);
  j.gv = part_of(gx[0], 2, j.H, j.width);
  return run_backward(c, &j);
}

#define FLAGS (EQ_FUNCTION | EQ_ANY_STRIDE | EQ_SAVE_INS | EQ_SAVE_OUT)
const eq_op ops_attention[] = {
    {.name = "scaled_dot_product_attention",
     .sig = "q:float, k:float, v:float, forbidden:mask?, causal:bool=false, scale:num=nil -> y; "
            "kept",
     .doc =
         "softmax(scale q k' + mask) v: q [B, H, T, D], k and v [B, H, S, D] give [B, H, T, "
         "D].\nforbidden, which broadcasts to [B, H, T, S], is true where a query must not look; "
         "causal forbids\nkeys behind a query, the last query sees the last key. A query that "
         "sees nothing gets 0. scale is\n1 / sqrt(D) unless given. The T x S weights are never "
         "in memory as a whole. Vaswani et al. 2017,\nequation 1.",
     .example =
         "local q = equi.ones(1, 2, 3, 4)\nlocal v = equi.arange(24):reshape(1, 2, 3, 4):float()\n"
         "local y = equi.scaled_dot_product_attention(q, q, v, {causal = true})\n"
         "print(y[1][1][2][1]:item())  --> 3.0",
     .shape = three_shape,
     .run = three_run,
     .back = three_back,
     .flags = FLAGS,
     .where = EQ_HERE},
    {.name = "joint_attention",
     .sig = "x:float, forbidden:mask?, heads:int, causal:bool=false, scale:num=nil -> y; kept",
     .doc = "scaled_dot_product_attention of q, k and v that lie side by side: x [B, T, 3 H D], "
            "their thirds\nof H heads each, gives the heads side by side, [B, T, H D].",
     .example = "print(equi.joint_attention(equi.ones(2, 5, 24), nil, 2):size())  --> 2 5 8",
     .shape = joint_shape,
     .run = joint_run,
     .back = joint_back,
     .flags = FLAGS | EQ_ONCE,
     .where = EQ_HERE},
    {0}};
#endif
