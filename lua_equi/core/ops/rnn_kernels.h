/* rnn_kernels.h -- what the recurrent ops (rnn.c, attn_decoder.c) compute with, on raw pointers.
 *
 * Small matrix products whose weights stream through registers once, and the gates of one step.
 * Gate order and formulas are PyTorch's (s is the sigmoid, * element-wise):
 *   rnn   h' = tanh or relu (w_ih x + b_ih + w_hh h + b_hh)
 *   gru   r, z = s(...);  n = tanh(w_in x + b_in + r * (w_hn h + b_hn));  h' = (1 - z) * n + z * h
 *   lstm  i, f, o = s(...);  g = tanh(...);  c' = f * c + i * g;  h' = o * tanh(c')
 * The gates of one row lie side by side: rnn 1 block of H, lstm 4 (i f g o), gru 4 (r, z, n and the
 * hidden part of n, which its derivative needs apart).
 *
 * This is no general gemm: there is no packing, so it is for weights that fit in the second cache
 * level. It beats BLAS there because sequences of batch 1 to 32 are matrix-vector like.
 *
 * Included twice: for its types, and from the `#ifdef T` part of a file for the kernels. */
#ifndef EQ_RNN_KERNELS
#define EQ_RNN_KERNELS
#include "equi.h"
#include <string.h>

#if defined(__GNUC__)
#define EQ_ALWAYS static inline __attribute__((always_inline))
#define EQ_VECTOR(bytes) __attribute__((vector_size(bytes)))
#define EQ_VECTOR_AT(bytes, align) __attribute__((vector_size(bytes), aligned(align), may_alias))
#else
#error "the recurrent kernels are written with the vector types of gcc and clang"
#endif
#if defined(__clang__)
#define EQ_UNROLL _Pragma("unroll")
#define EQ_EVEN(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define EQ_ODD(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#define EQ_LOW(a, b) __builtin_shufflevector(a, b, 0, 1, 4, 5)
#define EQ_HIGH(a, b) __builtin_shufflevector(a, b, 2, 3, 6, 7)
#else
#define EQ_UNROLL _Pragma("GCC unroll 8")
typedef int32_t lanes_f32 EQ_VECTOR(16); /* the places in a shuffle of 4 elements */
typedef int64_t lanes_f64 EQ_VECTOR(32);
#define EQ_EVEN(a, b) __builtin_shuffle(a, b, (FN(lanes)){0, 4, 1, 5})
#define EQ_ODD(a, b) __builtin_shuffle(a, b, (FN(lanes)){2, 6, 3, 7})
#define EQ_LOW(a, b) __builtin_shuffle(a, b, (FN(lanes)){0, 1, 4, 5})
#define EQ_HIGH(a, b) __builtin_shuffle(a, b, (FN(lanes)){2, 3, 6, 7})
#endif

enum { CELL_TANH, CELL_RELU, CELL_GRU, CELL_LSTM };
enum {
  CELL_PIECE = 16, /* rows of a batch that walk through time together */
  CELL_BATCH = 8   /* rows from which transposing the weights pays: products with them run 1.6 x as
                      fast as with weights as they are stored (measured, AVX-512) */
};
typedef struct rnn_cell {
  int kind;
  int64_t D, H;
  const void *w_ih, *w_hh, *b_ih, *b_hh; /* [gates * H, D], [gates * H, H]; biases may be NULL */
  void *t_ih, *t_hh;                     /* their transposes, for batches; else NULL */
} rnn_cell;
static inline int cell_gates(int kind) { return kind == CELL_LSTM ? 4 : kind == CELL_GRU ? 3 : 1; }
/* Elements that a row of gates takes in memory, per hidden unit. */
static inline int cell_blocks(int kind) { return kind >= CELL_GRU ? 4 : 1; }
/* Rows per piece: depends on the batch alone, so that threads do not change results. */
static inline int64_t cell_piece(int64_t B) {
  int64_t rows = (B / 4 + 3) / 4 * 4;
  return B <= 4 ? (B > 0 ? B : 1) : rows < 4 ? 4 : rows > CELL_PIECE ? CELL_PIECE : rows;
}

/* Several work arrays in one block: ask for each, get them all at once, free them together. */
typedef struct eq_scratch {
  char *block;
  size_t bytes, at[16];
  void *to[16]; /* of the pointers, whatever their type */
  int n;
} eq_scratch;
static inline void scratch_ask(eq_scratch *s, void *pointer_to, int64_t count, size_t size) {
  s->to[s->n] = pointer_to;
  s->at[s->n++] = s->bytes;
  s->bytes += ((size_t)count * size + 63) / 64 * 64;
}
static inline int scratch_get(eq_scratch *s) {
  s->block = eq_alloc(s->bytes ? s->bytes : 1);
  if (!s->block) return eq_error.status;
  for (int i = 0; i < s->n; i++) {
    void *start = s->block + s->at[i];
    memcpy(s->to[i], &start, sizeof start);
  }
  return EQ_OK;
}
static inline void scratch_free(eq_scratch *s) { eq_free(s->block, s->bytes ? s->bytes : 1); }

/* gx[i] in the shape of input i, when it is wanted; its data, else NULL. */
static inline void *cell_gradient(const eq_call *c, eq_tensor **gx, int i, int *bad) {
  if (*bad || !c->in[i] || !eq_needed(c, i)) return NULL;
  gx[i] = eq_empty(c->in[i]->dtype, c->in[i]->ndim, c->in[i]->shape);
  if (!gx[i]) *bad = eq_error.status;
  return gx[i] ? gx[i]->data : NULL;
}

/* Rules see inputs and gradients with whatever strides they came with: call rule with row-major
 * ones. ngy gradients, of which those past the visible results are no input. */
typedef int (*rnn_rule)(eq_call *c, eq_tensor **in, eq_tensor **gy, eq_tensor **gx);
static inline int rnn_back_contiguous(eq_call *c, eq_tensor **gy, int ngy, eq_tensor **gx,
                                      rnn_rule rule) {
  eq_tensor *all[EQ_MAXOUT + 16] = {NULL}, **in = all, **g = all + 16;
  int bad = EQ_OK;
  for (int i = 0; i < c->nin && !bad; i++)
    if (c->in[i] && !(in[i] = eq_contiguous(c->in[i]))) bad = eq_error.status;
  for (int k = 0; k < ngy && !bad; k++)
    if (!(g[k] = eq_contiguous(gy[k]))) bad = eq_error.status;
  if (!bad) bad = rule(c, in, g, gx);
  for (int i = 0; i < EQ_MAXOUT + 16; i++) eq_release(all[i]);
  return bad;
}

static inline void cell_ask_transposed(eq_scratch *s, rnn_cell *z, size_t size) {
  scratch_ask(s, &z->t_ih, cell_gates(z->kind) * z->H * z->D, size);
  scratch_ask(s, &z->t_hh, cell_gates(z->kind) * z->H * z->H, size);
}

/* fn over [0, n) in pieces of grain: on several threads only when there is work for them. The
 * pieces are the same either way. ops: multiply-adds in all; 16 million take about 200 us. */
static inline int cell_parallel(int64_t n, int64_t grain, int64_t ops, eq_range_fn fn, void *ctx) {
  if (ops > 16000000) return eq_parallel_for(n, grain, fn, ctx);
  for (int64_t i = 0; i < n; i += grain) fn(i, i + grain < n ? i + grain : n, ctx);
  return EQ_OK;
}
#endif

#ifdef T
typedef T FN(vec) EQ_VECTOR(64);
typedef T FN(vec_at) EQ_VECTOR_AT(64, sizeof(T));
typedef T FN(half) EQ_VECTOR(32);
typedef T FN(quad) EQ_VECTOR(4 * sizeof(T));
typedef T FN(quad_at) EQ_VECTOR_AT(4 * sizeof(T), sizeof(T));
enum { FN(LANES) = 64 / sizeof(T) };
#define LOAD(p) (*(const FN(vec_at) *)(p))
#define STORE(p, v) (*(FN(vec_at) *)(p) = (v))

/* The sum of the quarters (f32) or halves (f64) of a vector: 4 lanes that are still to be summed.
 */
EQ_ALWAYS void FN(fold)(const FN(vec) * s, FN(quad) * q) {
  union {
    FN(vec) whole;
    FN(half) half[2];
  } u = {*s};
  union {
    FN(half) whole;
    FN(quad) quad[32 / sizeof(FN(quad))];
  } v = {u.half[0] + u.half[1]};
  *q = sizeof(FN(quad)) == 32 ? v.quad[0] : v.quad[0] + v.quad[32 / sizeof(FN(quad)) - 1];
}

/* The sums over the lanes of 4 vectors, for little more than the price of one. */
EQ_ALWAYS void FN(lane_sums)(const FN(vec) * s0, const FN(vec) * s1, const FN(vec) * s2,
                             const FN(vec) * s3, FN(quad) * sum) {
  FN(quad) a, b, c, d;
  FN(fold)(s0, &a);
  FN(fold)(s1, &b);
  FN(fold)(s2, &c);
  FN(fold)(s3, &d);
  a = EQ_EVEN(a, b) + EQ_ODD(a, b);
  c = EQ_EVEN(c, d) + EQ_ODD(c, d);
  *sum = EQ_LOW(a, c) + EQ_HIGH(a, c);
}

/* y[m][r] += x[m] . w[r] for one or two vectors x and 4 rows r of w. */
EQ_ALWAYS void FN(dots_block)(const int rows, int64_t K, const T *x, int64_t ldx, const T *w,
                              int64_t ldw, T *y, int64_t ldy) {
  FN(vec) s[2][4];
  EQ_UNROLL for (int m = 0; m < rows; m++) {
    EQ_UNROLL for (int r = 0; r < 4; r++) s[m][r] = (FN(vec)){0};
  }
  int64_t k = 0;
  for (; k + FN(LANES) <= K; k += FN(LANES)) {
    EQ_UNROLL for (int m = 0; m < rows; m++) {
      FN(vec) e = LOAD(x + m * ldx + k);
      EQ_UNROLL for (int r = 0; r < 4; r++) s[m][r] += e * LOAD(w + r * ldw + k);
    }
  }
  EQ_UNROLL for (int m = 0; m < rows; m++) {
    FN(quad) sum;
    FN(lane_sums)(&s[m][0], &s[m][1], &s[m][2], &s[m][3], &sum);
    for (int64_t j = k; j < K; j++)
      sum += x[m * ldx + j] * (FN(quad)){w[j], w[ldw + j], w[2 * ldw + j], w[3 * ldw + j]};
    *(FN(quad_at) *)(y + m * ldy) += sum;
  }
}

/* y[M, N] += x[M, K] w[N, K]^T: products with weights as they are stored. */
EQ_SIMD EQ_UNUSED static void FN(dots)(int64_t M, int64_t N, int64_t K, const T *x, int64_t ldx,
                                       const T *w, int64_t ldw, T *y, int64_t ldy) {
  for (int64_t n = 0; n + 4 <= N; n += 4, w += 4 * ldw) {
    int64_t m = 0;
    for (; m + 2 <= M; m += 2) FN(dots_block)(2, K, x + m * ldx, ldx, w, ldw, y + m * ldy + n, ldy);
    if (m < M) FN(dots_block)(1, K, x + m * ldx, ldx, w, ldw, y + m * ldy + n, ldy);
  }
  for (int64_t n = N & ~(int64_t)3; n < N; n++, w += ldw)
    for (int64_t m = 0; m < M; m++) {
      T sum = 0;
      for (int64_t k = 0; k < K; k++) sum += x[m * ldx + k] * w[k];
      y[m * ldy + n] += sum;
    }
}

/* y[i][j] += sum over k of a[i * ai + k * ak] b[k][j] for a tile of rows x vecs vectors. */
EQ_ALWAYS void FN(axpys_tile)(const int rows, const int vecs, int64_t K, const T *a, int64_t ai,
                              int64_t ak, const T *b, int64_t ldb, T *y, int64_t ldy) {
  FN(vec) s[4][8];
  EQ_UNROLL for (int i = 0; i < rows; i++) {
    EQ_UNROLL for (int v = 0; v < vecs; v++) s[i][v] = LOAD(y + i * ldy + v * FN(LANES));
  }
  for (int64_t k = 0; k < K; k++, a += ak, b += ldb) {
    EQ_UNROLL for (int i = 0; i < rows; i++) {
      T e = a[i * ai];
      EQ_UNROLL for (int v = 0; v < vecs; v++) s[i][v] += e * LOAD(b + v * FN(LANES));
    }
  }
  EQ_UNROLL for (int i = 0; i < rows; i++) {
    EQ_UNROLL for (int v = 0; v < vecs; v++) STORE(y + i * ldy + v * FN(LANES), s[i][v]);
  }
}

EQ_ALWAYS void FN(axpys_columns)(const int vecs, int64_t M, int64_t K, const T *a, int64_t ai,
                                 int64_t ak, const T *b, int64_t ldb, T *y, int64_t ldy) {
  int64_t i = 0;
  if (vecs <= 2)
    for (; i + 4 <= M; i += 4)
      FN(axpys_tile)(4, vecs, K, a + i * ai, ai, ak, b, ldb, y + i * ldy, ldy);
  if (vecs <= 4)
    for (; i + 2 <= M; i += 2)
      FN(axpys_tile)(2, vecs, K, a + i * ai, ai, ak, b, ldb, y + i * ldy, ldy);
  for (; i < M; i++) FN(axpys_tile)(1, vecs, K, a + i * ai, ai, ak, b, ldb, y + i * ldy, ldy);
}

/* y[M, N] += A b, b [K, N] row-major, A(i, k) = a[i * ai + k * ak] (so also a transposed matrix).
 */
EQ_SIMD EQ_UNUSED static void FN(axpys)(int64_t M, int64_t N, int64_t K, const T *a, int64_t ai,
                                        int64_t ak, const T *b, int64_t ldb, T *y, int64_t ldy) {
  const int64_t L = FN(LANES);
  int64_t j = 0;
  if (M == 1)
    for (; j + 8 * L <= N; j += 8 * L)
      FN(axpys_columns)(8, M, K, a, ai, ak, b + j, ldb, y + j, ldy);
  if (M < 4)
    for (; j + 4 * L <= N; j += 4 * L)
      FN(axpys_columns)(4, M, K, a, ai, ak, b + j, ldb, y + j, ldy);
  for (; j + 2 * L <= N; j += 2 * L) FN(axpys_columns)(2, M, K, a, ai, ak, b + j, ldb, y + j, ldy);
  for (; j + L <= N; j += L) FN(axpys_columns)(1, M, K, a, ai, ak, b + j, ldb, y + j, ldy);
  if (j == N) return;
  for (int64_t i = 0; i < M; i++)
    for (int64_t k = 0; k < K; k++) {
      T e = a[i * ai + k * ak];
      for (int64_t n = j; n < N; n++) y[i * ldy + n] += e * b[k * ldb + n];
    }
}

/* y[n] += the sum of the rows of d [M, N]. */
EQ_SIMD EQ_UNUSED static void FN(add_rows)(int64_t M, int64_t N, const T *d, int64_t ldd,
                                           T *restrict y) {
  for (int64_t m = 0; m < M; m++, d += ldd)
    for (int64_t n = 0; n < N; n++) y[n] += d[n];
}

/* t[K, N] = w[N, K]^T, in blocks that fit in the first cache level. */
EQ_UNUSED static void FN(transpose)(int64_t N, int64_t K, const T *w, T *t) {
  enum { BLOCK = 16 };
  for (int64_t n = 0; n < N; n += BLOCK)
    for (int64_t k = 0; k < K; k += BLOCK)
      for (int64_t j = k; j < K && j < k + BLOCK; j++)
        for (int64_t i = n; i < N && i < n + BLOCK; i++) t[j * N + i] = w[i * K + j];
}

/* y[M, N] += x[M, K] w[N, K]^T, by the transpose t of w [rows, K] where there is one. */
EQ_ALWAYS void FN(weigh)(int64_t M, int64_t N, int64_t K, const T *x, const T *w, const T *t,
                         int64_t rows, T *y, int64_t ldy) {
  if (t)
    FN(axpys)(M, N, K, x, K, 1, t, rows, y, ldy);
  else
    FN(dots)(M, N, K, x, K, w, K, y, ldy);
}

EQ_UNUSED static void FN(cell_transpose)(const rnn_cell *z) {
  const int64_t G = cell_gates(z->kind) * z->H;
  FN(transpose)(G, z->D, z->w_ih, z->t_ih);
  FN(transpose)(G, z->H, z->w_hh, z->t_hh);
}

/* ---- one step: gates ---- */
EQ_SIMD static void FN(lstm_row)(int64_t H, T *restrict i, T *restrict f, T *restrict g,
                                 T *restrict o, const T *restrict c0, T *restrict h,
                                 T *restrict c) {
  for (int64_t k = 0; k < H; k++) {
    T a = SIGMOID(i[k]), b = SIGMOID(f[k]), d = TANH(g[k]), e = SIGMOID(o[k]);
    T s = b * c0[k] + a * d;
    i[k] = a, f[k] = b, g[k] = d, o[k] = e, c[k] = s;
    h[k] = e * TANH(s);
  }
}

/* dc: gradient of c' on entry, of c on return. The gates become their gradients' place d. */
EQ_SIMD static void FN(lstm_row_back)(int64_t H, const T *restrict g, const T *restrict c0,
                                      const T *restrict c, const T *restrict dh, T *restrict dc,
                                      T *restrict di, T *restrict df, T *restrict dg,
                                      T *restrict dd) {
  for (int64_t k = 0; k < H; k++) {
    T a = g[k], b = g[H + k], d = g[2 * H + k], e = g[3 * H + k], s = TANH(c[k]);
    T gc = dc[k] + dh[k] * e * (1 - s * s);
    dd[k] = dh[k] * s * e * (1 - e);
    di[k] = gc * d * a * (1 - a);
    df[k] = gc * c0[k] * b * (1 - b);
    dg[k] = gc * a * (1 - d * d);
    dc[k] = gc * b;
  }
}

EQ_SIMD static void FN(gru_row)(int64_t H, T *restrict r, T *restrict z, T *restrict n,
                                const T *restrict nh, const T *restrict h0, T *restrict h) {
  for (int64_t k = 0; k < H; k++) {
    T a = SIGMOID(r[k]), b = SIGMOID(z[k]);
    T d = TANH(n[k] + a * nh[k]);
    r[k] = a, z[k] = b, n[k] = d;
    h[k] = (1 - b) * d + b * h0[k];
  }
}

/* dh: gradient of h' on entry, its direct part for h (without the products) on return. */
EQ_SIMD static void FN(gru_row_back)(int64_t H, const T *restrict g, const T *restrict h0,
                                     T *restrict dh, T *restrict dr, T *restrict dz, T *restrict dn,
                                     T *restrict dnh) {
  for (int64_t k = 0; k < H; k++) {
    T a = g[k], b = g[H + k], d = g[2 * H + k], nh = g[3 * H + k], u = dh[k];
    T gn = u * (1 - b) * (1 - d * d);
    dn[k] = gn;
    dnh[k] = gn * a;
    dr[k] = gn * nh * a * (1 - a);
    dz[k] = u * (h0[k] - d) * b * (1 - b);
    dh[k] = u * b;
  }
}

EQ_SIMD static void FN(plain_row)(int64_t H, bool relu, const T *restrict g, T *restrict h) {
  if (relu)
    for (int64_t k = 0; k < H; k++) h[k] = g[k] < 0 ? 0 : g[k]; /* NaN stays NaN */
  else
    for (int64_t k = 0; k < H; k++) h[k] = TANH(g[k]);
}

EQ_SIMD static void FN(plain_row_back)(int64_t H, bool relu, const T *restrict h, T *restrict dh,
                                       T *restrict d) {
  for (int64_t k = 0; k < H; k++) {
    d[k] = dh[k] * (relu ? (T)(h[k] > 0) : 1 - h[k] * h[k]);
    dh[k] = 0;
  }
}

/* ---- one step, M rows ---- */
/* g[M] = biases + w_ih x. */
EQ_UNUSED static void FN(cell_input)(const rnn_cell *z, int64_t M, const T *x, T *g) {
  const int64_t H = z->H, G = cell_gates(z->kind) * H, R = cell_blocks(z->kind) * H;
  const T *bi = z->b_ih, *bh = z->b_hh;
  int64_t both = z->kind == CELL_GRU ? 2 * H : G; /* rows where the two biases simply add */
  for (int64_t m = 0; m < M; m++) {
    T *row = g + m * R;
    for (int64_t k = 0; k < both; k++) row[k] = (bi ? bi[k] : 0) + (bh ? bh[k] : 0);
    for (int64_t k = both; k < G; k++) {
      row[k] = bi ? bi[k] : 0;
      row[H + k] = bh ? bh[k] : 0;
    }
  }
  FN(weigh)(M, G, z->D, x, z->w_ih, z->t_ih, G, g, R);
}

/* g += w_hh h, then the new states: h1 (and c1). Rows of h and c lie side by side. */
EQ_UNUSED static void FN(cell_step)(const rnn_cell *z, int64_t M, const T *h, const T *c, T *g,
                                    T *h1, T *c1) {
  const int64_t H = z->H, R = cell_blocks(z->kind) * H;
  const T *w = z->w_hh, *t = z->t_hh;
  if (z->kind == CELL_GRU) {
    FN(weigh)(M, 2 * H, H, h, w, t, 3 * H, g, R);
    FN(weigh)(M, H, H, h, w + 2 * H * H, t ? t + 2 * H : NULL, 3 * H, g + 3 * H, R);
  } else {
    FN(weigh)(M, R, H, h, w, t, R, g, R);
  }
  for (int64_t m = 0; m < M; m++, g += R, h += H, h1 += H) {
    if (z->kind == CELL_LSTM)
      FN(lstm_row)(H, g, g + H, g + 2 * H, g + 3 * H, c + m * H, h1, c1 + m * H);
    else if (z->kind == CELL_GRU)
      FN(gru_row)(H, g, g + H, g + 2 * H, g + 3 * H, h, h1);
    else
      FN(plain_row)(H, z->kind == CELL_RELU, g, h1);
  }
}

/* The reverse: from dh, dc (of h1, c1) the gradients d of the gates, and dh, dc of h, c. */
EQ_UNUSED static void FN(cell_step_back)(const rnn_cell *z, int64_t M, const T *h, const T *c,
                                         const T *g, const T *h1, const T *c1, T *dh, T *dc, T *d) {
  const int64_t H = z->H, R = cell_blocks(z->kind) * H;
  const T *w = z->w_hh;
  for (int64_t m = 0; m < M; m++) {
    T *row = d + m * R, *u = dh + m * H;
    const T *gates = g + m * R;
    if (z->kind == CELL_LSTM) {
      FN(lstm_row_back)
      (H, gates, c + m * H, c1 + m * H, u, dc + m * H, row, row + H, row + 2 * H, row + 3 * H);
      memset(u, 0, (size_t)H * sizeof(T));
    } else if (z->kind == CELL_GRU) {
      FN(gru_row_back)(H, gates, h + m * H, u, row, row + H, row + 2 * H, row + 3 * H);
    } else {
      FN(plain_row_back)(H, z->kind == CELL_RELU, h1 + m * H, u, row);
    }
  }
  if (z->kind == CELL_GRU) {
    FN(axpys)(M, H, 2 * H, d, R, 1, w, H, dh, H);
    FN(axpys)(M, H, H, d + 3 * H, R, 1, w + 2 * H * H, H, dh, H);
  } else {
    FN(axpys)(M, H, R, d, R, 1, w, H, dh, H);
  }
}

/* gx[M] += w_ih^T d: what reaches the input. */
EQ_UNUSED static void FN(cell_input_back)(const rnn_cell *z, int64_t M, const T *d, T *gx) {
  const int64_t R = cell_blocks(z->kind) * z->H;
  FN(axpys)(M, z->D, cell_gates(z->kind) * z->H, d, R, 1, z->w_ih, z->D, gx, z->D);
}
#undef LOAD
#undef STORE
#endif
