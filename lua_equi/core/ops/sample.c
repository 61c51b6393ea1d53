/* sample.c -- one token per row of logits, picked by rank.
 *
 * The tokens left by the filters are ordered by falling probability and the one is taken in whose
 * share of the sum the uniform number falls. Renaming the tokens renames the pick: for a model with
 * P(. | g x) = g P(. | x) equal numbers give the same answer up to g, which an order by id would
 * not. The filters are those of Hugging Face's `generate`, in its order: repetition penalty,
 * temperature, top-k, top-p, typical (Meister et al. 2023), each on what the one before left,
 * renormalised. Equally likely tokens at a border stay or go together: an order by id would decide
 * otherwise. Sums and orders are in f64. Ranks are found one by one from a heap: only those
 * above the pick are put in order, not all of a vocabulary. */
#include "../equi.h"
#include <inttypes.h>
#include <math.h>

typedef struct entry {
  double key;
  int64_t id; /* from 0 */
} entry;

/* Entries, the largest key first: those of ranks 0 .. n - h - 1 stand at the end, e[n - 1 - rank],
 * the others are a heap in e[0 .. h - 1]. Equal keys go by id. */
typedef struct pool {
  entry *e;
  int64_t n, h;
} pool;

typedef struct filters {
  double temperature, top_p, typical, penalty;
  int64_t top_k;
} filters;

typedef struct job {
  const eq_tensor *logits, *uniform, *seen;
  eq_tensor *ids, *logp;
  filters f;
  entry *scratch; /* 2 V a row */
  int64_t bad;    /* a row without a number to pick from, from 1; 0: none */
} job;

/* ---- ranks ---- */
static bool above(entry a, entry b) { return a.key > b.key || (a.key == b.key && a.id < b.id); }

static void sink(entry *e, int64_t i, int64_t h) {
  entry x = e[i];
  for (int64_t k; (k = 2 * i + 1) < h; i = k) {
    if (k + 1 < h && above(e[k + 1], e[k])) k++;
    if (!above(e[k], x)) break;
    e[i] = e[k];
  }
  e[i] = x;
}

static pool open_pool(entry *e, int64_t n) {
  for (int64_t i = n / 2 - 1; i >= 0; i--) sink(e, i, n);
  return (pool){.e = e, .n = n, .h = n};
}

static entry ranked(pool *q, int64_t rank) {
  while (q->n - q->h <= rank) {
    entry top = q->e[0];
    q->e[0] = q->e[--q->h];
    if (q->h) sink(q->e, 0, q->h);
    q->e[q->h] = top;
  }
  return q->e[q->n - 1 - rank];
}

/* Keeps ranks below m and what is as large as the last of them. */
static void keep(pool *q, int64_t m) {
  while (m < q->n && ranked(q, m).key == ranked(q, m - 1).key) m++;
  if (m == q->n) return;
  q->e += q->n - m;
  q->n = m;
  q->h = 0;
}

/* ---- filters: keys are log-probabilities, up to a constant until top-p ---- */
static double total(const pool *q, double most) {
  double sum = 0;
  for (int64_t i = 0; i < q->n; i++) sum += exp(q->e[i].key - most);
  return sum;
}

/* As few of the first ranks as have the share p. */
static void keep_share(pool *q, double p, double most) {
  double sum = 0, bar = p * total(q, most);
  int64_t m = 0;
  while (m < q->n && sum < bar) sum += exp(ranked(q, m++).key - most);
  if (m < q->n) keep(q, m > 1 ? m : 1);
}

/* As few as have the share p of those whose surprise is closest to the entropy. */
static void keep_typical(pool *q, double p, double most, entry *scratch) {
  double sum = total(q, most), log_sum = log(sum), entropy = 0, share = 0;
  for (int64_t i = 0; i < q->n; i++) {
    double logp = q->e[i].key - most - log_sum;
    entropy -= exp(logp) * logp;
  }
  for (int64_t i = 0; i < q->n; i++)
    scratch[i] = (entry){-fabs(most + log_sum - q->e[i].key - entropy), i};
  pool near = open_pool(scratch, q->n);
  int64_t m = 0;
  while (m < near.n && share < p) share += exp(q->e[ranked(&near, m++).id].key - most) / sum;
  keep(&near, m > 1 ? m : 1);
  for (int64_t i = 0; i < near.n; i++) near.e[i] = q->e[near.e[i].id];
  *q = open_pool(near.e, near.n);
}

static entry pick(pool q, const filters *f, double u, entry *scratch) {
  double most = ranked(&q, 0).key, sum = 0;
  if (f->temperature == 0) return ranked(&q, 0);
  if (f->top_k > 0 && f->top_k < q.n) keep(&q, f->top_k);
  if (f->top_p < 1) keep_share(&q, f->top_p, most);
  if (f->typical < 1) {
    keep_typical(&q, f->typical, most, scratch);
    most = ranked(&q, 0).key;
  }
  double bar = u * total(&q, most);
  for (int64_t rank = 0; rank < q.n - 1; rank++) {
    entry e = ranked(&q, rank);
    sum += exp(e.key - most);
    if (sum > bar) return e;
  }
  return ranked(&q, q.n - 1);
}

/* ---- rows ---- */
static void penalise(const job *j, int64_t b, double *score) {
  int64_t n = j->seen->shape[1];
  for (int64_t i = 0; i < n; i++) {
    int64_t id = eq_get_int(j->seen, b * n + i) - EQ_BASE;
    if (id < 0) continue;
    double v = eq_get(j->logits, b * j->logits->shape[1] + id); /* a second time changes nothing */
    score[id] = v < 0 ? v * j->f.penalty : v / j->f.penalty;
  }
}

/* The log of the sum of exponentials, or NaN when a number is NaN or +inf, or all are -inf. */
static double log_sum(const double *x, int64_t n) {
  double most = -INFINITY, sum = 0;
  for (int64_t i = 0; i < n; i++) {
    if (!(x[i] < INFINITY)) return NAN;
    if (x[i] > most) most = x[i];
  }
  if (most == -INFINITY) return NAN;
  for (int64_t i = 0; i < n; i++) sum += exp(x[i] - most);
  return most + log(sum);
}

static void one_row(job *j, int64_t b) {
  int64_t v = j->logits->shape[1], n = 0;
  entry *e = j->scratch + 2 * v * b;
  double *score = (double *)(void *)(e + v); /* the second half is free until typical */
  for (int64_t i = 0; i < v; i++) score[i] = eq_get(j->logits, b * v + i);
  double whole = log_sum(score, v), warm = j->f.temperature > 0 ? j->f.temperature : 1;
  if (isnan(whole)) {
    j->bad = b + 1;
    return;
  }
  if (j->seen && j->f.penalty != 1) penalise(j, b, score);
  for (int64_t i = 0; i < v; i++)
    if (score[i] > -INFINITY) e[n++] = (entry){score[i] / warm, i};
  entry got = pick(open_pool(e, n), &j->f, eq_get(j->uniform, b), e + v);
  eq_set(j->logp, b, eq_get(j->logits, b * v + got.id) - whole);
  *((int64_t *)(void *)j->ids->data + b) = got.id + EQ_BASE;
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
  size_t bytes = (size_t)j.logits->numel * 2 * sizeof *j.scratch;
  if (j.logits->numel == 0) return EQ_OK;
  if (!(j.scratch = eq_alloc(bytes))) return EQ_NOMEM;
  int64_t grain = 16384 / j.logits->shape[1]; /* a region costs more than a small vocabulary */
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
