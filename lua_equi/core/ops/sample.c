/* sample.c -- one token per row of logits, picked by rank.
 *
 * The tokens left by the filters are ordered by falling probability and the one is taken in whose
 * share of the sum the uniform number falls. Renaming the tokens renames the pick: for a model with
 * P(. | g x) = g P(. | x) equal numbers give the same answer up to g, which an order by id would
 * not. The filters are those of Hugging Face's `generate`, in its order: repetition penalty,
 * temperature, top-k, top-p, typical (Meister et al. 2023), each on what the one before left,
 * renormalised. Equally likely tokens at a border stay or go together: an order by id would decide
 * otherwise.
 *
 * Probabilities are whole numbers, exp(key) times a power of two: sums of them do not depend on the
 * order, so that nothing but an equal rank depends on where a token stands. Nothing is sorted but
 * the few tokens around the border or pick: the others are counted in buckets by their keys. */
#include "../equi.h"
#include "../vmath.h"
#include <inttypes.h>
#include <math.h>

enum { BUCKETS = 1024, BLOCK = 512, FEW = 32, LANES = 16 };

/* Below this a key is taken for -inf, which no difference of keys can be; above -LEAST_STEP for 0,
 * so that keys which differ do so by more than the smallest numbers there are. */
static const double LEAST = -1e300, LEAST_STEP = 1e-270;

/* Tokens, ids from 0 and rising. key: log-probability, up to a constant and times temperature, 0
 * for the largest; weight: probability, up to a factor; NULL: 1 for each. */
typedef struct tokens {
  double *key;
  int64_t *weight, *id;
  int64_t n;
} tokens;

/* What a thread works with. `some` is that of the search for a rank. */
typedef struct room {
  tokens all, some;
  double *near;
} room;

typedef struct filters {
  double temperature, top_p, typical, penalty;
  int64_t top_k;
} filters;

typedef struct job {
  const eq_tensor *logits, *uniform, *seen;
  eq_tensor *ids, *logp;
  filters f;
  double one; /* the weight of the likeliest token */
  char *scratch;
  int64_t bad; /* a row without a number to pick from, from 1; 0: none */
} job;

/* ---- loops over a vocabulary ---- */
EQ_SIMD static void widen(const float *x, int64_t n, double *y) {
  for (int64_t i = 0; i < n; i++) y[i] = x[i];
}

/* The largest and the smallest of n numbers; NaN for both where one is NaN or inf, or all -inf. */
EQ_SIMD static void bounds(const double *x, int64_t n, double *top, double *low) {
  double most[LANES], least[LANES];
  int64_t wrong = 0, i = 0;
  for (int k = 0; k < LANES; k++) most[k] = -INFINITY;
  for (int k = 0; k < LANES; k++) least[k] = INFINITY;
  for (; i + LANES <= n; i += LANES) {
    for (int k = 0; k < LANES; k++) most[k] = x[i + k] > most[k] ? x[i + k] : most[k];
    for (int k = 0; k < LANES; k++) least[k] = x[i + k] < least[k] ? x[i + k] : least[k];
  }
  for (; i < n; i++) {
    most[0] = x[i] > most[0] ? x[i] : most[0];
    least[0] = x[i] < least[0] ? x[i] : least[0];
  }
  for (int k = 1; k < LANES; k++) {
    most[0] = most[k] > most[0] ? most[k] : most[0];
    least[0] = least[k] < least[0] ? least[k] : least[0];
  }
  for (i = 0; i < n; i++) wrong += !(x[i] < INFINITY);
  wrong += most[0] == -INFINITY;
  *top = wrong ? NAN : most[0];
  *low = wrong ? NAN : least[0];
}

/* Keys, measured from the largest. */
EQ_SIMD static void lower(double *key, int64_t n, double top) {
  for (int64_t i = 0; i < n; i++) {
    double d = key[i] - top;
    d = d > LEAST ? d : LEAST;
    key[i] = d > -LEAST_STEP ? 0. : d;
  }
}

/* To a whole number, for |x| < 2^51, by the bits that adding 1.5 * 2^52 leaves. */
EQ_INLINE int64_t whole(double x) {
  double shifted = x + 6755399441055744.0;
  int64_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  return bits - 0x4338000000000000;
}

EQ_INLINE double log_weight(double key, double warm) {
  double d = key / warm;
  return d > LEAST ? d : LEAST;
}

/* Weights, `one` for a key of 0; returns their sum divided by `one`. */
EQ_SIMD static double weigh(const tokens *t, double warm, double one) {
  double w[BLOCK], lane[LANES] = {0};
  for (int64_t from = 0; from < t->n; from += BLOCK) {
    const double *key = t->key + from;
    int64_t *weight = t->weight + from, n = t->n - from < BLOCK ? t->n - from : BLOCK;
    for (int64_t i = 0; i < n; i++) w[i] = eq_exp_down(log_weight(key[i], warm));
    for (int64_t i = 0; i < n; i++) weight[i] = whole(w[i] * one);
    for (int64_t i = n; i % LANES; i++) w[i] = 0;
    for (int64_t i = 0; i < n; i += LANES)
      for (int k = 0; k < LANES; k++) lane[k] += w[i + k];
  }
  for (int k = 1; k < LANES; k++) lane[0] += lane[k];
  return lane[0];
}

/* The sum of w log w, times `one`: a whole number, for the reason that weights are. */
EQ_SIMD static int64_t depths(const tokens *t, double warm, double one) {
  int64_t sum = 0;
  for (int64_t i = 0; i < t->n; i++) {
    double d = log_weight(t->key[i], warm);
    sum += whole(eq_exp_down(d) * d * one);
  }
  return sum;
}

/* How close the surprise of each is to the entropy, the closest the largest: the log of the sum of
 * weights is in both and falls out. */
EQ_SIMD static void closeness(const tokens *t, double warm, double mean, double *near) {
  for (int64_t i = 0; i < t->n; i++) near[i] = -fabs(mean - log_weight(t->key[i], warm));
}

EQ_SIMD static int64_t total(const tokens *t) {
  int64_t sum = 0;
  for (int64_t i = 0; i < t->n; i++) sum += t->weight[i];
  return sum;
}

EQ_SIMD static void buckets(const double *key, int64_t n, double top, double scale, int32_t *b) {
  for (int64_t i = 0; i < n; i++) {
    double f = (top - key[i]) * scale;
    b[i] = (int32_t)(f < BUCKETS - 1 ? f : BUCKETS - 1);
  }
}

/* ---- ranks: by falling key, equal keys by id ---- */
typedef struct place {
  double key;
  int64_t id;
} place;

static int64_t weight_of(const tokens *t, int64_t i) { return t->weight ? t->weight[i] : 1; }

static void put(tokens *t, int64_t at, double key, int64_t weight, int64_t id) {
  t->key[at] = key;
  t->id[at] = id;
  if (t->weight) t->weight[at] = weight;
}

/* Keys from the largest down; stable, so that ids rise among equal ones. */
static void insert_all(tokens *t) {
  for (int64_t i = 1; i < t->n; i++) {
    double key = t->key[i];
    int64_t weight = weight_of(t, i), id = t->id[i], at = i;
    for (; at > 0 && t->key[at - 1] < key; at--)
      put(t, at, t->key[at - 1], weight_of(t, at - 1), t->id[at - 1]);
    put(t, at, key, weight, id);
  }
}

/* How much weight each bucket has. */
static void count(const tokens *t, double top, double scale, int64_t *sum) {
  int32_t b[BLOCK];
  memset(sum, 0, BUCKETS * sizeof *sum);
  for (int64_t from = 0; from < t->n; from += BLOCK) {
    int64_t n = t->n - from < BLOCK ? t->n - from : BLOCK;
    buckets(t->key + from, n, top, scale, b);
    if (t->weight)
      for (int64_t i = 0; i < n; i++) sum[b[i]] += t->weight[from + i];
    else
      for (int64_t i = 0; i < n; i++) sum[b[i]]++;
  }
}

/* The tokens of one bucket; `to` may be the tokens themselves. */
static void take(const tokens *t, double top, double scale, int32_t bucket, tokens *to) {
  int32_t b[BLOCK];
  int64_t m = 0, all = t->n;
  for (int64_t from = 0; from < all; from += BLOCK) {
    int64_t n = all - from < BLOCK ? all - from : BLOCK;
    buckets(t->key + from, n, top, scale, b);
    for (int64_t i = 0; i < n; i++)
      if (b[i] == bucket) put(to, m++, t->key[from + i], weight_of(t, from + i), t->id[from + i]);
  }
  to->n = m;
}

/* The first token, by rank, at which the sum of weights passes `bar`; that of all does. */
static place reach(const tokens *t, int64_t bar, tokens some) {
  double top, low;
  if (!t->weight) some.weight = NULL;
  for (;; t = &some) {
    bounds(t->key, t->n, &top, &low);
    if (t->n <= FEW || low == top) break;
    int64_t sum[BUCKETS], k = 0;
    double scale = BUCKETS / (top - low); /* low and top are in different buckets */
    count(t, top, scale, sum);
    while (k < BUCKETS - 1 && sum[k] <= bar) bar -= sum[k++];
    take(t, top, scale, (int32_t)k, &some);
  }
  if (low < top) {
    if (t != &some) take(t, top, 0, 0, &some);
    insert_all(&some);
    t = &some;
  }
  int64_t i = 0;
  while (i < t->n - 1 && weight_of(t, i) <= bar) bar -= weight_of(t, i++);
  return (place){t->key[i], t->id[i]};
}

/* ---- filters ---- */
/* Those whose key (in an array of any keys) is not below `least`. */
static void keep(tokens *t, const double *key, double least) {
  int64_t m = 0;
  for (int64_t i = 0; i < t->n; i++) {
    bool stays = key[i] >= least;
    put(t, m, t->key[i], t->weight[i], t->id[i]);
    m += stays;
  }
  t->n = m;
}

/* A sum passes this when it has the share p of the whole. */
static int64_t bar_of(double p, const tokens *t) {
  int64_t all = total(t), bar = (int64_t)ceil(p * (double)all) - 1;
  return bar < 0 ? 0 : bar < all ? bar : all - 1;
}

/* As few as have the share p of those whose surprise is closest to the entropy. */
static void keep_typical(room *r, double p, double warm, double one) {
  tokens *t = &r->all, near = {r->near, t->weight, t->id, t->n};
  double top, low;
  closeness(t, warm, (double)depths(t, warm, one) / (double)total(t), near.key);
  keep(t, near.key, reach(&near, bar_of(p, t), r->some).key);
  bounds(t->key, t->n, &top, &low);
  lower(t->key, t->n, top);
  weigh(t, warm, one);
}

static int64_t pick(room *r, const job *j, double warm, double u) {
  const filters *f = &j->f;
  tokens *t = &r->all, each = {t->key, NULL, t->id, t->n};
  if (f->temperature == 0) return reach(&each, 0, r->some).id;
  if (f->top_k > 0 && f->top_k < t->n) keep(t, t->key, reach(&each, f->top_k - 1, r->some).key);
  if (f->top_p < 1) keep(t, t->key, reach(t, bar_of(f->top_p, t), r->some).key);
  if (f->typical < 1) keep_typical(r, f->typical, warm, j->one);
  int64_t all = total(t), bar = (int64_t)(u * (double)all);
  return reach(t, bar < all ? bar : all - 1, r->some).id;
}

/* ---- rows ---- */
static void penalise(const job *j, int64_t b, double top, double *key) {
  int64_t n = j->seen->shape[1];
  for (int64_t i = 0; i < n; i++) {
    int64_t id = eq_get_int(j->seen, b * n + i) - EQ_BASE;
    if (id < 0) continue;
    double v = eq_get(j->logits, b * j->logits->shape[1] + id); /* a second time changes nothing */
    key[id] = (v < 0 ? v * j->f.penalty : v / j->f.penalty) - top;
  }
}

static tokens carve(char **at, int64_t n) {
  tokens t = {.n = n};
  t.key = (double *)(void *)*at;
  t.weight = (int64_t *)(void *)(*at + n * 8);
  t.id = (int64_t *)(void *)(*at + n * 16);
  *at += n * 24;
  return t;
}

/* Bytes that a thread needs for n tokens. */
static int64_t room_of(int64_t n) { return (7 * n * 8 + 63) / 64 * 64; }

static void one_row(job *j, int64_t b) {
  int64_t v = j->logits->shape[1];
  char *at = j->scratch + eq_thread() * room_of(v);
  room r = {.all = carve(&at, v), .some = carve(&at, v)};
  double top, low, over, *key = r.all.key, warm = j->f.temperature > 0 ? j->f.temperature : 1;
  r.near = (double *)(void *)at;
  if (j->logits->dtype == EQ_F32)
    widen((const float *)(const void *)j->logits->data + b * v, v, key);
  else
    memcpy(key, j->logits->data + b * v * 8, (size_t)v * 8);
  bounds(key, v, &top, &low);
  if (isnan(top)) {
    j->bad = b + 1;
    return;
  }
  for (int64_t i = 0; i < v; i++) r.all.id[i] = i;
  lower(key, v, top);
  double log_sum = log(weigh(&r.all, 1, j->one));
  bool penalised = j->seen && j->f.penalty != 1;
  if (penalised) {
    penalise(j, b, top, key);
    bounds(key, v, &over, &low);
    if (isnan(over)) {
      j->bad = b + 1;
      return;
    }
    lower(key, v, over);
  }
  if (penalised || warm != 1) weigh(&r.all, warm, j->one);
  int64_t id = pick(&r, j, warm, eq_get(j->uniform, b));
  eq_set(j->logp, b, eq_get(j->logits, b * v + id) - top - log_sum);
  *((int64_t *)(void *)j->ids->data + b) = id + EQ_BASE;
}

static void rows(int64_t begin, int64_t end, void *ctx) {
  for (int64_t b = begin; b < end; b++) one_row(ctx, b);
}

/* ---- the op ---- */
static int check_filters(const filters *f) {
  if (!(f->temperature >= 0 && f->temperature < INFINITY))
    return eq_fail("temperature must not be negative, got %g; 0 takes the most likely token",
                   f->temperature);
  if (f->top_k < 0) return eq_fail("top_k must be 0 (all) or more, got %" PRId64, f->top_k);
  if (!(f->top_p > 0 && f->top_p <= 1))
    return eq_fail("top_p must be above 0 and at most 1, got %g", f->top_p);
  if (!(f->typical > 0 && f->typical <= 1))
    return eq_fail("typical must be above 0 and at most 1, got %g", f->typical);
  if (!(f->penalty > 0 && f->penalty < INFINITY))
    return eq_fail("penalty must be above 0, got %g; 1 changes nothing", f->penalty);
  return EQ_OK;
}

static int sample_shape(eq_call *c) {
  const eq_tensor *x = c->in[0], *u = c->in[1], *seen = c->in[2];
  if (x->ndim != 2 || x->shape[1] == 0)
    return eq_fail("logits must be batch x vocabulary, they are %s", eq_shape_of(x));
  if (u->ndim != 1 || u->shape[0] != x->shape[0])
    return eq_fail("uniform must be one number for each of the %" PRId64 " rows, it is %s",
                   x->shape[0], eq_shape_of(u));
  if (seen && (seen->ndim != 2 || seen->shape[0] != x->shape[0]))
    return eq_fail("seen must be a list of ids for each of the %" PRId64 " rows, it is %s",
                   x->shape[0], eq_shape_of(seen));
  int bad = eq_out(c, 0, EQ_I64, 1, x->shape);
  return bad ? bad : eq_out(c, 1, x->dtype, 1, x->shape);
}

static int check_values(const job *j) {
  int64_t v = j->logits->shape[1];
  for (int64_t b = 0; b < j->uniform->numel; b++) {
    double u = eq_get(j->uniform, b);
    if (!(u >= 0 && u < 1))
      return eq_fail("uniform must be from 0 to below 1, it is %g in row %" PRId64, u, b + 1);
  }
  for (int64_t i = 0; j->seen && i < j->seen->numel; i++) {
    int64_t id = eq_get_int(j->seen, i);
    if (id < 0 || id >= v + EQ_BASE)
      return eq_fail("seen holds id %" PRId64 "; ids are 1 to %" PRId64 ", or 0 for none", id, v);
  }
  return check_filters(&j->f);
}

static int sample_run(eq_call *c) {
  job j = {.logits = c->in[0], .uniform = c->in[1], .seen = c->in[2]};
  j.ids = c->out[0];
  j.logp = c->out[1];
  j.f = (filters){c->arg[0].f, c->arg[2].f, c->arg[3].f, c->arg[4].f, c->arg[1].i};
  if (check_values(&j)) return EQ_ERR;
  if (j.logits->numel == 0) return EQ_OK;
  int64_t v = j.logits->shape[1];
  size_t bytes = (size_t)eq_threads() * (size_t)room_of(v);
  if (!(j.scratch = eq_alloc(bytes))) return EQ_NOMEM;
  j.one = 0x1p50; /* the largest that `whole` takes; the sum of all must be below 2^63 */
  while (j.one * (double)v > 0x1p62) j.one /= 2;
  int64_t grain = 16384 / v; /* a region costs more than a small vocabulary */
  int bad = eq_parallel_for(j.logits->shape[0], grain < 1 ? 1 : grain, rows, &j);
  eq_free(j.scratch, bytes);
  if (bad) return bad;
  if (j.bad)
    return eq_fail("row %" PRId64 " has no token to pick: its logits hold nan or inf, or all are "
                   "-inf",
                   j.bad);
  return EQ_OK;
}

const eq_op ops_sample[] = {
    {.name = "sample",
     .sig = "logits:float, uniform:float, seen:index?, temperature:num=1, top_k:int=0, "
            "top_p:num=1, typical:num=1, penalty:num=1 -> ids, logp",
     .doc = "One token for each row of logits [B, V], picked by rank: what the filters leave is "
            "ordered by\nfalling probability, and uniform [B], from 0 to below 1, says how far "
            "down the sum one goes.\nFilters in the order of Hugging Face: penalty on the ids in "
            "seen [B, L] (0: none), temperature\n(0: the most likely token), top_k (0: all), "
            "top_p, typical (Meister et al. 2023). Equally likely\ntokens stay or go together, so "
            "that renaming tokens renames the pick. logp is the log-probability\nof the pick under "
            "the logits as they came.",
     .example = "local logits = equi.tensor({{0, 3, 1}})\n"
                "local ids = equi.sample(logits, equi.tensor({0.99}), {top_k = 2})\n"
                "print(ids[1]:item())  --> 3",
     .shape = sample_shape,
     .run = sample_run,
     .flags = EQ_NO_GRAD | EQ_MIXED | EQ_FUNCTION,
     .where = EQ_HERE},
    {0}};
