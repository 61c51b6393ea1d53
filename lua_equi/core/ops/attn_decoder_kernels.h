/* attn_decoder_kernels.h -- the arithmetic of attn_decoder.c: a piece of the batch forward through
 * all steps, and back. That file states the formulas; this one is only read by it.
 *
 * A row that has ended leaves its piece, so what is kept for the backward pass lies packed in order
 * of execution; row_b and token say which sequence and which input each packed row was. Without a
 * recorded gradient the place of one step is used again for all steps. */
#ifndef EQ_ATTN_DECODER_KERNELS
#define EQ_ATTN_DECODER_KERNELS
#include "rnn_kernels.h"

/* Rows row..row + rows of one weight gradient; shift: see gru in rnn_kernels.h. */
typedef struct job {
  void *g;
  const void *d, *a;
  int64_t row, rows, width, ldd, shift;
} job;

typedef struct decoder {
  rnn_cell cell; /* cell.D is the width of x */
  int64_t B, places, L, E, V, rows, grain, sos, eos;
  bool teacher, drop, stop, save, alone, stopped;
  double p;
  uint64_t seed, counter;
  const int64_t *len, *targets, *start;
  int64_t target_columns;
  const void *enc, *h0, *c0, *emb, *wc, *bc, *wo, *bo;
  void *logp, *hn, *cn, *keep, *logits, *t_wc; /* t_wc: the transpose of wc for batches, or NULL */
  int64_t *tokens, *count, *row_b, *token;
  const void *gy, *ghn, *gcn;
  void *dlogits, *dgates, *dx, *de, *dh, *dc, *uh, *uc, *dcat, *datt, *genc, *gh0, *gc0;
  int64_t *used, njobs;
  job *jobs;
} decoder;

/* The number of steps of the piece that begins at sequence `begin`, then its rows at each. */
static int64_t *counts_of(const decoder *z, int64_t begin) {
  return z->count + begin / z->grain * (z->L + 1);
}
static int64_t places_of(const decoder *z, int64_t b) { return z->len ? z->len[b] : z->places; }
/* Targets of 0 are padding, behind which nothing counts. */
static int64_t target_at(const decoder *z, int64_t b, int64_t s) {
  int64_t id = z->targets[b * z->target_columns + s];
  return id ? id - EQ_BASE : z->eos;
}
static bool interrupted(decoder *z) {
  if (z->alone && !z->stopped && eq_poll && eq_poll()) z->stopped = true;
  return z->stopped;
}
#endif

#ifdef T
#include "rnn_kernels.h"

/* y = softmax(y) over n elements; returns the logarithm of what it divided by, maximum included. */
static T FN(softmax)(int64_t n, T *y) {
  T top = n ? y[0] : 0, sum = 0;
  for (int64_t i = 1; i < n; i++)
    if (y[i] > top) top = y[i];
  for (int64_t i = 0; i < n; i++) y[i] = EXP(y[i] - top);
  for (int64_t i = 0; i < n; i++) sum += y[i];
  for (int64_t i = 0; i < n; i++) y[i] /= sum;
  return n ? top + LOG(sum) : 0;
}

/* The kept quantities of packed row q on. */
typedef struct FN(kept) {
  T *cat, *x, *gates, *h0, *h, *att, *c0, *c, *mask;
} FN(kept);
static FN(kept) FN(kept_at)(const decoder *z, int64_t q) {
  const int64_t n = z->rows, H = z->cell.H, R = cell_blocks(z->cell.kind) * H;
  FN(kept) k;
  k.cat = z->keep;
  k.x = k.cat + n * (z->E + H);
  k.gates = k.x + n * z->cell.D;
  k.h0 = k.gates + n * R;
  k.h = k.h0 + n * H;
  k.att = k.h + n * H;
  T *next = k.att + n * z->places;
  k.c0 = next;
  k.c = k.c0 + n * H;
  k.mask = z->cell.kind == CELL_LSTM ? k.c + n * H : next;
  k.cat += q * (z->E + H);
  k.x += q * z->cell.D;
  k.gates += q * R;
  k.h0 += q * H, k.h += q * H, k.c0 += q * H, k.c += q * H;
  k.att += q * z->places;
  k.mask += q * z->E;
  return k;
}

static void FN(fill_mask)(const decoder *z, int64_t b, int64_t s, T *mask) {
  const uint64_t blocks = (uint64_t)(z->E + 3) / 4;
  const uint64_t first = z->counter + (uint64_t)(b * z->L + s) * blocks;
  const uint32_t limit = (uint32_t)(z->p * 4294967296.0);
  const T scale = (T)(1 / (1 - z->p));
  for (uint64_t k = 0; k < blocks; k++) {
    uint32_t u[4];
    eq_philox(z->seed, first + k, u);
    for (int64_t i = 0, e = (int64_t)k * 4; i < 4 && e + i < z->E; i++)
      mask[e + i] = u[i] < limit ? 0 : scale;
  }
}

/* [e; k] of one row: the embedded token and what the state attends to. */
static void FN(attend)(const decoder *z, int64_t b, int64_t s, int64_t token, const FN(kept) * k) {
  const int64_t H = z->cell.H, E = z->E, n = places_of(z, b);
  const T *enc = (const T *)z->enc + b * z->places * H;
  memcpy(k->cat, (const T *)z->emb + token * E, (size_t)E * sizeof(T));
  if (z->drop) {
    FN(fill_mask)(z, b, s, k->mask);
    for (int64_t i = 0; i < E; i++) k->cat[i] *= k->mask[i];
  }
  memset(k->att, 0, (size_t)z->places * sizeof(T));
  memset(k->cat + E, 0, (size_t)H * sizeof(T));
  FN(dots)(1, n, H, k->h0, H, enc, H, k->att, n);
  FN(softmax)(n, k->att);
  FN(axpys)(1, H, n, k->att, n, 1, enc, H, k->cat + E, H);
}

/* logits -> logp of sequence b at step s; returns its argmax. */
static int64_t FN(speak)(const decoder *z, int64_t b, int64_t s, T *logits) {
  const int64_t V = z->V;
  T *out = (T *)z->logp + (b * z->L + s) * V;
  int64_t best = 0;
  for (int64_t v = 1; v < V; v++)
    if (logits[v] > logits[best]) best = v;
  memcpy(out, logits, (size_t)V * sizeof(T));
  T lse = FN(softmax)(V, logits);
  for (int64_t v = 0; v < V; v++) out[v] -= lse;
  z->tokens[b * z->L + s] = best + EQ_BASE;
  return best;
}

static void FN(spread)(int64_t M, int64_t N, const T *bias, T *y) {
  for (int64_t m = 0; m < M; m++, y += N) {
    if (bias)
      memcpy(y, bias, (size_t)N * sizeof(T));
    else
      memset(y, 0, (size_t)N * sizeof(T));
  }
}

/* The arithmetic of one step for M packed rows; logits [M, V]. */
static void FN(step)(const decoder *z, int64_t M, int64_t s, const FN(kept) * k,
                     const int64_t *row_b, const int64_t *token, T *logits) {
  const int64_t H = z->cell.H, X = z->cell.D, W = z->E + H;
  for (int64_t m = 0; m < M; m++) {
    FN(kept)
    row = {.cat = k->cat + m * W,
           .h0 = k->h0 + m * H,
           .att = k->att + m * z->places,
           .mask = k->mask + m * z->E};
    FN(attend)(z, row_b[m], s, token[m], &row);
  }
  FN(spread)(M, X, z->bc, k->x);
  FN(weigh)(M, X, W, k->cat, z->wc, z->t_wc, X, k->x, X);
  for (int64_t i = 0; i < M * X; i++) k->x[i] = k->x[i] < 0 ? 0 : k->x[i];
  FN(cell_input)(&z->cell, M, k->x, k->gates);
  FN(cell_step)(&z->cell, M, k->h0, k->c0, k->gates, k->h, k->c);
  FN(spread)(M, z->V, z->bo, logits);
  FN(dots)(M, z->V, H, k->h, H, z->wo, H, logits, z->V);
}

/* Sequence b ends after step s: its state, and nothing more to say. */
static void FN(finish)(const decoder *z, int64_t b, int64_t s, const T *h, const T *c) {
  const int64_t H = z->cell.H, left = z->L - s - 1;
  memcpy((T *)z->hn + b * H, h, (size_t)H * sizeof(T));
  if (z->cell.kind == CELL_LSTM) memcpy((T *)z->cn + b * H, c, (size_t)H * sizeof(T));
  memset((T *)z->logp + (b * z->L + s + 1) * z->V, 0, (size_t)(left * z->V) * sizeof(T));
  for (int64_t i = 1; i <= left; i++) z->tokens[b * z->L + s + i] = z->eos + EQ_BASE;
}

static void FN(begin_row)(const decoder *z, const T *h, const T *c, const FN(kept) * k, int64_t m) {
  const size_t bytes = (size_t)z->cell.H * sizeof(T);
  memcpy(k->h0 + m * z->cell.H, h, bytes);
  if (z->cell.kind != CELL_LSTM) return;
  if (c)
    memcpy(k->c0 + m * z->cell.H, c, bytes);
  else
    memset(k->c0 + m * z->cell.H, 0, bytes);
}

static void FN(forward_piece)(int64_t begin, int64_t end, void *ctx) {
  decoder *z = ctx;
  const int64_t H = z->cell.H, base = z->save ? begin * z->L : begin;
  int64_t *count = counts_of(z, begin), q = base, M = end - begin;
  T *logits = (T *)z->logits + begin * z->V;
  FN(kept) k = FN(kept_at)(z, q);
  for (int64_t m = 0; m < M; m++) {
    const int64_t b = begin + m;
    const T *c0 = z->c0 ? (const T *)z->c0 + b * H : NULL;
    FN(begin_row)(z, (const T *)z->h0 + b * H, c0, &k, m);
    z->row_b[q + m] = b;
    z->token[q + m] = z->start ? z->start[b] - EQ_BASE : z->sos;
    if (!z->L) FN(finish)(z, b, -1, k.h0 + m * H, k.c0 + m * H);
  }
  count[0] = 0;
  for (int64_t s = 0; s < z->L && M && !interrupted(z); s++) {
    FN(step)(z, M, s, &k, z->row_b + q, z->token + q, logits);
    count[++count[0]] = M;
    const int64_t next = z->save ? q + M : q;
    const FN(kept) old = k;
    int64_t left = 0;
    k = FN(kept_at)(z, s + 1 < z->L ? next : q);
    for (int64_t m = 0; m < M; m++) {
      const int64_t b = z->row_b[q + m], said = FN(speak)(z, b, s, logits + m * z->V);
      const T *h = old.h + m * H, *c = old.c + m * H;
      if (s + 1 == z->L || (z->stop && said == z->eos)) {
        FN(finish)(z, b, s, h, c);
        continue;
      }
      FN(begin_row)(z, h, c, &k, left);
      z->row_b[next + left] = b;
      z->token[next + left++] = z->teacher ? target_at(z, b, s) : said;
    }
    q = next, M = left;
  }
}

/* ---- backward ---- */
static bool FN(any)(int64_t n, const T *g) {
  for (int64_t i = 0; i < n; i++)
    if (g[i] != 0) return true;
  return false;
}

/* Steps of a piece that the gradients reach, and in *rows their packed rows. */
static int64_t FN(reached)(const decoder *z, int64_t begin, int64_t end, int64_t *rows) {
  const int64_t H = z->cell.H, *count = counts_of(z, begin);
  int64_t steps = count[0], n = 0;
  for (int64_t s = 1; s <= steps; s++) n += count[s];
  bool state = FN(any)((end - begin) * H, (const T *)z->ghn + begin * H) ||
               (z->gcn && FN(any)((end - begin) * H, (const T *)z->gcn + begin * H));
  while (steps && !state) {
    const int64_t *b = z->row_b + begin * z->L + n - count[steps];
    bool used = false;
    for (int64_t m = 0; m < count[steps] && !used; m++)
      used = FN(any)(z->V, (const T *)z->gy + (b[m] * z->L + steps - 1) * z->V);
    if (used) break;
    n -= count[steps--];
  }
  *rows = n;
  return steps;
}

/* Through the attention of one row: dk in, the state's and the encoder's gradients out. */
static void FN(attend_back)(const decoder *z, int64_t b, const FN(kept) * k, const T *dk, T *da,
                            T *dh) {
  const int64_t H = z->cell.H, n = places_of(z, b);
  const T *enc = (const T *)z->enc + b * z->places * H, *a = k->att;
  T mean = 0;
  memset(da, 0, (size_t)n * sizeof(T));
  FN(dots)(1, n, H, dk, H, enc, H, da, n);
  for (int64_t t = 0; t < n; t++) mean += a[t] * da[t];
  for (int64_t t = 0; t < n; t++) da[t] = a[t] * (da[t] - mean);
  FN(axpys)(1, H, n, da, n, 1, enc, H, dh, H);
  if (!z->genc) return;
  T *genc = (T *)z->genc + b * z->places * H;
  FN(axpys)(n, H, 1, a, 1, 1, dk, H, genc, H);
  FN(axpys)(n, H, 1, da, 1, 1, k->h0, H, genc, H);
}

/* One step back for M packed rows from q on: dh and dc [M, H] are of the new state on entry. */
static void FN(step_back)(const decoder *z, int64_t M, int64_t q, int64_t s, T *dh, T *dc,
                          T *dcat) {
  const int64_t H = z->cell.H, X = z->cell.D, V = z->V, W = z->E + H;
  FN(kept) k = FN(kept_at)(z, q);
  T *dl = (T *)z->dlogits + q * V, *dx = (T *)z->dx + q * X, *de = (T *)z->de + q * z->E;
  T *d = (T *)z->dgates + q * cell_blocks(z->cell.kind) * H;
  for (int64_t m = 0; m < M; m++) {
    const int64_t at = (z->row_b[q + m] * z->L + s) * V;
    const T *gy = (const T *)z->gy + at, *logp = (const T *)z->logp + at;
    T sum = 0;
    for (int64_t v = 0; v < V; v++) sum += gy[v];
    for (int64_t v = 0; v < V; v++) dl[m * V + v] = gy[v] - EXP(logp[v]) * sum;
  }
  FN(axpys)(M, H, V, dl, V, 1, z->wo, H, dh, H);
  FN(cell_step_back)(&z->cell, M, k.h0, k.c0, k.gates, k.h, k.c, dh, dc, d);
  memset(dx, 0, (size_t)(M * X) * sizeof(T));
  FN(cell_input_back)(&z->cell, M, d, dx);
  for (int64_t i = 0; i < M * X; i++) dx[i] = k.x[i] > 0 ? dx[i] : 0;
  memset(dcat, 0, (size_t)(M * W) * sizeof(T));
  FN(axpys)(M, W, X, dx, X, 1, z->wc, W, dcat, W);
  for (int64_t m = 0; m < M; m++) {
    FN(kept) row = {.att = k.att + m * z->places, .h0 = k.h0 + m * H};
    T *da = (T *)z->datt + z->row_b[q + m] * z->places;
    for (int64_t i = 0; i < z->E; i++)
      de[m * z->E + i] = dcat[m * W + i] * (z->drop ? k.mask[m * z->E + i] : 1);
    FN(attend_back)(z, z->row_b[q + m], &row, dcat + m * W + z->E, da, dh + m * H);
  }
}

static void FN(backward_piece)(int64_t begin, int64_t end, void *ctx) {
  decoder *z = ctx;
  const int64_t H = z->cell.H, n = (end - begin) * H, *count = counts_of(z, begin);
  const bool lstm = z->cell.kind == CELL_LSTM;
  int64_t rows, steps = FN(reached)(z, begin, end, &rows), q = begin * z->L + rows;
  T *dh = (T *)z->dh + begin * H, *dc = (T *)z->dc + begin * H; /* by sequence */
  T *uh = (T *)z->uh + begin * H, *uc = (T *)z->uc + begin * H; /* by packed row */
  z->used[begin / z->grain] = rows;
  memcpy(dh, (const T *)z->ghn + begin * H, (size_t)n * sizeof(T));
  if (lstm) memcpy(dc, (const T *)z->gcn + begin * H, (size_t)n * sizeof(T));
  if (z->genc) memset((T *)z->genc + begin * z->places * H, 0, (size_t)(n * z->places) * sizeof(T));
  for (int64_t s = steps - 1; s >= 0 && !interrupted(z); s--) {
    const int64_t M = count[s + 1];
    q -= M;
    for (int64_t m = 0; m < M; m++) {
      const int64_t from = (z->row_b[q + m] - begin) * H;
      memcpy(uh + m * H, dh + from, (size_t)H * sizeof(T));
      if (lstm) memcpy(uc + m * H, dc + from, (size_t)H * sizeof(T));
    }
    FN(step_back)(z, M, q, s, uh, uc, (T *)z->dcat + begin * (z->E + H));
    for (int64_t m = 0; m < M; m++) {
      const int64_t to = (z->row_b[q + m] - begin) * H;
      memcpy(dh + to, uh + m * H, (size_t)H * sizeof(T));
      if (lstm) memcpy(dc + to, uc + m * H, (size_t)H * sizeof(T));
    }
  }
  if (z->gh0) memcpy((T *)z->gh0 + begin * H, dh, (size_t)n * sizeof(T));
  if (z->gc0) memcpy((T *)z->gc0 + begin * H, dc, (size_t)n * sizeof(T));
}

/* g[rows of job] = the sum over packed rows of d a^T, or of d alone for a bias. */
static void FN(weight_jobs)(int64_t begin, int64_t end, void *ctx) {
  const decoder *z = ctx;
  for (const job *j = z->jobs + begin; j < z->jobs + end; j++) {
    T *g = (T *)j->g + j->row * j->width;
    memset(g, 0, (size_t)(j->rows * j->width) * sizeof(T));
    for (int64_t b = 0; b < z->B; b += z->grain) {
      const int64_t at = b * z->L, n = z->used[b / z->grain];
      const T *d = (const T *)j->d + at * j->ldd + j->row + j->shift;
      const T *a = (const T *)j->a + at * j->width;
      if (j->a)
        FN(axpys)(j->rows, j->width, n, d, 1, j->ldd, a, j->width, g, j->width);
      else
        FN(add_rows)(n, j->rows, d, j->ldd, g);
    }
  }
}

static void FN(embedding_back)(const decoder *z, T *g) {
  const int64_t E = z->E;
  memset(g, 0, (size_t)(z->V * E) * sizeof(T));
  for (int64_t b = 0; b < z->B; b += z->grain)
    for (int64_t q = b * z->L, last = q + z->used[b / z->grain]; q < last; q++)
      for (int64_t i = 0; i < E; i++) g[z->token[q] * E + i] += ((const T *)z->de)[q * E + i];
}

static void FN(transpose_weights)(const decoder *z) {
  FN(cell_transpose)(&z->cell);
  FN(transpose)(z->cell.D, z->E + z->cell.H, z->wc, z->t_wc);
}

static void FN(kept_pointers)(const decoder *z, const void **cat, const void **x, const void **h0,
                              const void **h) {
  FN(kept) k = FN(kept_at)(z, 0);
  *cat = k.cat, *x = k.x, *h0 = k.h0, *h = k.h;
}

#endif
