/* rnn.c -- recurrent layers: one direction of one layer over whole sequences, in one op.
 *
 * x [B, T, D] -> y [B, T, H] and the last states. Formulas, gate order and weight shapes are
 * PyTorch's (rnn_kernels.h states them). Rows of a batch walk through time in pieces of at most
 * CELL_PIECE, longest first, so that the rows still running are always the first ones: what a
 * piece computes lies packed by time step, without padding, and is kept for the backward pass.
 * With `lengths` a row stops after its own length (later rows of y are 0); `reverse` reads each row
 * from its last valid step to its first.
 *
 * Several layers, both directions and dropout between layers are composed in Lua from this. */
#ifdef T
#include "rnn_kernels.h"

static void FN(pack)(const seq *z, const piece *p, const T *x, int64_t width, T *to) {
  int64_t rows = 0;
  for (int64_t s = 0; s < p->steps; s++)
    for (int64_t m = 0; m < p->active[s]; m++, rows++)
      memcpy(to + rows * width, x + place(z, p, m, s) * width, (size_t)width * sizeof(T));
}

static void FN(gather)(const piece *p, int64_t H, const T *state, T *to) {
  for (int64_t m = 0; m < p->rows; m++) {
    if (state)
      memcpy(to + m * H, state + p->order[m] * H, (size_t)H * sizeof(T));
    else
      memset(to + m * H, 0, (size_t)H * sizeof(T));
  }
}

static void FN(scatter)(const piece *p, int64_t H, int64_t from, int64_t to, const T *state,
                        T *out) {
  for (int64_t m = from; m < to; m++)
    memcpy(out + p->order[m] * H, state + m * H, (size_t)H * sizeof(T));
}

static void FN(clear_padding)(const seq *z, const piece *p, int64_t width, T *y) {
  for (int64_t m = 0; m < p->rows; m++)
    memset(y + (p->order[m] * z->T_ + p->len[m]) * width, 0,
           (size_t)((z->T_ - p->len[m]) * width) * sizeof(T));
}

/* Pointers into the buffers of one piece. hs and cs begin with the M starting states. */
typedef struct FN(spot) {
  T *xs, *gates, *hs, *cs, *h0, *c0;
} FN(spot);

static FN(spot) FN(spot_of)(const seq *z, const piece *p) {
  const int64_t at = p->base, H = z->cell.H, R = cell_blocks(z->cell.kind) * H;
  T *keep = z->keep;
  FN(spot) k = {.gates = keep + at * R, .hs = keep + z->B * z->T_ * R + at * H};
  k.cs = k.hs + z->B * z->T_ * H;
  k.xs = p->direct ? (T *)z->x + at * z->cell.D : (T *)z->xs + at * z->cell.D;
  k.h0 = (T *)z->start + p->first * H;
  k.c0 = k.h0 + z->B * H;
  return k;
}

static void FN(forward_piece)(int64_t begin, int64_t end, void *ctx) {
  seq *z = ctx;
  piece p;
  const int64_t H = z->cell.H, R = cell_blocks(z->cell.kind) * H;
  const bool lstm = z->cell.kind == CELL_LSTM;
  make_piece(z, begin, end, &p);
  FN(spot) k = FN(spot_of)(z, &p);
  if (!p.direct) FN(pack)(z, &p, z->x, z->cell.D, k.xs);
  FN(gather)(&p, H, z->h0, k.h0);
  if (lstm) FN(gather)(&p, H, z->c0, k.c0);
  FN(cell_input)(&z->cell, p.packed, k.xs, k.gates);
  const T *h = k.h0, *c = k.c0;
  int64_t running = p.rows, at = 0;
  for (int64_t s = 0; s <= p.steps; s++) {
    int64_t M = s < p.steps ? p.active[s] : 0;
    FN(scatter)(&p, H, M, running, h, z->hn);
    if (lstm) FN(scatter)(&p, H, M, running, c, z->cn);
    running = M;
    if (!M || interrupted(z)) break;
    T *h1 = k.hs + at * H, *c1 = k.cs + at * H;
    FN(cell_step)(&z->cell, M, h, c, k.gates + at * R, h1, c1);
    for (int64_t m = 0; m < M; m++)
      memcpy((T *)z->y + place(z, &p, m, s) * H, h1 + m * H, (size_t)H * sizeof(T));
    h = h1, c = c1, at += M;
  }
  FN(clear_padding)(z, &p, H, z->y);
}

/* Backward through time of one piece: gradients of gates (packed), of the start and of x. */
static void FN(backward_piece)(int64_t begin, int64_t end, void *ctx) {
  seq *z = ctx;
  piece p;
  const int64_t H = z->cell.H, D = z->cell.D, R = cell_blocks(z->cell.kind) * H;
  const bool lstm = z->cell.kind == CELL_LSTM;
  make_piece(z, begin, end, &p);
  FN(spot) k = FN(spot_of)(z, &p);
  T *d = (T *)z->dgates + p.base * R, *before = (T *)z->before + p.base * H;
  T *dh = (T *)z->dstart + p.first * H, *dc = dh + z->B * H;
  if (!p.direct) FN(pack)(z, &p, z->x, D, k.xs);
  FN(gather)(&p, H, z->h0, k.h0);
  if (lstm) FN(gather)(&p, H, z->c0, k.c0);
  FN(gather)(&p, H, z->ghn, dh);
  if (lstm) FN(gather)(&p, H, z->gcn, dc);
  int64_t at = p.packed;
  for (int64_t s = p.steps - 1; s >= 0 && !interrupted(z); s--) {
    int64_t M = p.active[s], last = s ? at - M - p.active[s - 1] : 0;
    at -= M;
    const T *h = s ? k.hs + last * H : k.h0, *c = s ? k.cs + last * H : k.c0;
    for (int64_t m = 0; m < M; m++) {
      const T *gy = (const T *)z->gy + place(z, &p, m, s) * H;
      for (int64_t i = 0; i < H; i++) dh[m * H + i] += gy[i];
    }
    memcpy(before + at * H, h, (size_t)(M * H) * sizeof(T));
    FN(cell_step_back)
    (&z->cell, M, h, c, k.gates + at * R, k.hs + at * H, k.cs + at * H, dh, dc, d + at * R);
  }
  if (z->gh0) FN(scatter)(&p, H, 0, p.rows, dh, z->gh0);
  if (z->gc0) FN(scatter)(&p, H, 0, p.rows, dc, z->gc0);
  if (z->gx) {
    T *gx = p.direct ? (T *)z->gx + p.base * D : (T *)z->gxs + p.base * D;
    memset(gx, 0, (size_t)(p.packed * D) * sizeof(T));
    FN(cell_input_back)(&z->cell, p.packed, d, gx);
    if (!p.direct) {
      int64_t row = 0;
      for (int64_t s = 0; s < p.steps; s++)
        for (int64_t m = 0; m < p.active[s]; m++, row++)
          memcpy((T *)z->gx + place(z, &p, m, s) * D, gx + row * D, (size_t)D * sizeof(T));
    }
    FN(clear_padding)(z, &p, D, z->gx);
  }
}

/* Rows begin..end of the weights' gradients: sums over all packed rows, piece after piece. */
static void FN(weight_rows)(int64_t begin, int64_t end, void *ctx) {
  seq *z = ctx;
  const int64_t H = z->cell.H, D = z->cell.D, R = cell_blocks(z->cell.kind) * H;
  const int64_t n = end - begin;
  /* the hidden part of gru's n gate is the fourth block of a row of gates */
  const int64_t shift = z->cell.kind == CELL_GRU && begin >= 2 * H ? H : 0;
  T *gw = z->gw_ih, *gu = z->gw_hh, *gb = z->gb_ih, *gc = z->gb_hh;
  if (gw) memset(gw + begin * D, 0, (size_t)(n * D) * sizeof(T));
  if (gu) memset(gu + begin * H, 0, (size_t)(n * H) * sizeof(T));
  if (gb) memset(gb + begin, 0, (size_t)n * sizeof(T));
  if (gc) memset(gc + begin, 0, (size_t)n * sizeof(T));
  for (int64_t b = 0; b < z->B; b += z->grain) {
    const int64_t at = b * z->T_, rows = z->packed[b / z->grain];
    const T *d = (const T *)z->dgates + at * R + begin;
    const T *xs = z->alldirect ? z->x : z->xs;
    if (gw) FN(axpys)(n, D, rows, d, 1, R, xs + at * D, D, gw + begin * D, D);
    if (gu)
      FN(axpys)(n, H, rows, d + shift, 1, R, (const T *)z->before + at * H, H, gu + begin * H, H);
    if (gb) FN(add_rows)(rows, n, d, R, gb + begin);
    if (gc) FN(add_rows)(rows, n, d + shift, R, gc + begin);
  }
}

#else
#include "rnn_kernels.h"
#include <string.h>

/* Everything about one call; pointers are typed in the part above. */
typedef struct seq {
  rnn_cell cell;
  int64_t B, T_, grain;
  bool reverse, alone, stopped, alldirect;
  const int64_t *len;
  const void *x, *h0, *c0, *gy, *ghn, *gcn;
  void *y, *hn, *cn, *keep, *xs, *start;
  void *dgates, *before, *dstart, *gxs, *gx, *gh0, *gc0, *gw_ih, *gw_hh, *gb_ih, *gb_hh;
  int64_t *packed, *active; /* per piece; T per piece */
} seq;

/* The rows of one piece, longest first; active[s] of them run at step s. */
typedef struct piece {
  int64_t first, rows, steps, packed, base;
  int64_t order[CELL_PIECE], len[CELL_PIECE], *active;
  bool direct; /* one row read forward: x is packed as it is */
} piece;

static void make_piece(const seq *z, int64_t begin, int64_t end, piece *p) {
  p->first = begin;
  p->rows = end - begin;
  p->base = begin * z->T_;
  p->direct = z->alldirect;
  p->active = z->active + begin / z->grain * z->T_;
  p->packed = 0;
  for (int64_t m = 0; m < p->rows; m++) {
    int64_t n = z->len ? z->len[begin + m] : z->T_, i = m;
    for (; i > 0 && p->len[i - 1] < n; i--) {
      p->len[i] = p->len[i - 1];
      p->order[i] = p->order[i - 1];
    }
    p->len[i] = n;
    p->order[i] = begin + m;
    p->packed += n;
  }
  p->steps = p->rows ? p->len[0] : 0;
  for (int64_t s = 0, m = p->rows; s < p->steps; s++) {
    while (p->len[m - 1] <= s) m--;
    p->active[s] = m;
  }
  z->packed[begin / z->grain] = p->packed;
}

/* Row of x or y [B, T] that the m-th row of a piece reads at step s. */
static inline int64_t place(const seq *z, const piece *p, int64_t m, int64_t s) {
  return p->order[m] * z->T_ + (z->reverse ? p->len[m] - 1 - s : s);
}

/* Ctrl-C in a long sequence; only asked where the calling thread does all the work. */
static bool interrupted(seq *z) {
  if (z->alone && !z->stopped && eq_poll && eq_poll()) z->stopped = true;
  return z->stopped;
}

#define EQ_FILE "ops/rnn.c"
#include "../floats.h"

/* ---- checks and shapes ---- */
static int kind_of(const eq_call *c) {
  const char *name = c->op->name;
  return name[0] == 'l'   ? CELL_LSTM
         : name[0] == 'g' ? CELL_GRU
         : c->arg[1].i    ? CELL_RELU
                          : CELL_TANH;
}

/* Places of the inputs: only lstm has c0. */
enum { X, H0, C0 };
static int after_states(const eq_call *c) { return kind_of(c) == CELL_LSTM ? 3 : 2; }

static int check_size(const char *what, const eq_tensor *x, int64_t rows, int64_t columns) {
  const int ndim = columns < 0 ? 1 : 2;
  if (!x) return EQ_OK;
  if (x->ndim == ndim && x->shape[0] == rows && (ndim == 1 || x->shape[1] == columns)) return EQ_OK;
  const int64_t want[2] = {rows, columns};
  return eq_fail("%s is %s; it must be %s here", what, eq_shape_of(x), eq_shape_str(ndim, want));
}

static int check(const eq_call *c) {
  const int kind = kind_of(c), w = after_states(c), G = cell_gates(kind);
  const eq_tensor *x = c->in[X], *w_hh = c->in[w + 1];
  if (x->ndim != 3) return eq_fail("x is %s; it must have 3 dimensions, B x T x D", eq_shape_of(x));
  if (w_hh->ndim != 2 || w_hh->shape[0] != G * w_hh->shape[1])
    return eq_fail("w_hh is %s; it must be %d H x H", eq_shape_of(w_hh), G);
  const int64_t B = x->shape[0], D = x->shape[2], H = w_hh->shape[1];
  if (check_size("h0", c->in[H0], B, H) || check_size("w_ih", c->in[w], G * H, D) ||
      check_size("b_ih", c->in[w + 2], G * H, -1) || check_size("b_hh", c->in[w + 3], G * H, -1) ||
      check_size("lengths", c->in[w + 4], B, -1))
    return EQ_ERR;
  return kind == CELL_LSTM ? check_size("c0", c->in[C0], B, H) : EQ_OK;
}

static int shape(eq_call *c) {
  if (check(c)) return EQ_ERR;
  const eq_tensor *x = c->in[X];
  const int kind = kind_of(c), lstm = kind == CELL_LSTM;
  const int64_t B = x->shape[0], L = x->shape[1], H = c->in[after_states(c) + 1]->shape[1];
  const int64_t y[3] = {B, L, H}, state[2] = {B, H};
  const int64_t keep[1] = {B * L * H * (cell_blocks(kind) + 1 + lstm)};
  int bad = eq_out(c, 0, x->dtype, 3, y);
  for (int k = 1; k <= 1 + lstm && !bad; k++) bad = eq_out(c, k, x->dtype, 2, state);
  return bad ? bad : eq_out(c, 2 + lstm, x->dtype, 1, keep);
}

static const void *data_of(const eq_tensor *x) { return x ? x->data : NULL; }

static int read_call(const eq_call *c, eq_tensor **in, seq *z) {
  const int w = after_states(c), lstm = w == 3;
  const eq_tensor *x = in[X];
  memset(z, 0, sizeof *z);
  z->cell = (rnn_cell){.kind = kind_of(c),
                       .D = x->shape[2],
                       .H = in[w + 1]->shape[1],
                       .w_ih = in[w]->data,
                       .w_hh = in[w + 1]->data,
                       .b_ih = data_of(in[w + 2]),
                       .b_hh = data_of(in[w + 3])};
  z->B = x->shape[0];
  z->T_ = x->shape[1];
  z->reverse = c->arg[0].i;
  z->len = data_of(in[w + 4]);
  z->x = x->data;
  z->h0 = data_of(in[H0]);
  z->c0 = lstm ? data_of(in[C0]) : NULL;
  z->keep = c->out[2 + lstm]->data;
  z->grain = cell_piece(z->B);
  z->alone = z->B <= z->grain;
  z->alldirect = z->grain == 1 && !z->reverse;
  for (int64_t b = 0; z->len && b < z->B; b++)
    if (z->len[b] < 0 || z->len[b] > z->T_)
      return eq_fail("lengths[%lld] is %lld; x has %lld steps", (long long)b + EQ_BASE,
                     (long long)z->len[b], (long long)z->T_);
  return EQ_OK;
}

/* Work arrays that both directions need. */
static void ask(eq_scratch *s, seq *z, size_t size) {
  const int64_t pieces = z->B / z->grain + 1;
  scratch_ask(s, &z->packed, pieces, sizeof *z->packed);
  scratch_ask(s, &z->active, pieces * z->T_, sizeof *z->active);
  scratch_ask(s, &z->start, 2 * z->B * z->cell.H, size);
  if (!z->alldirect) scratch_ask(s, &z->xs, z->B * z->T_ * z->cell.D, size);
}

static int64_t work(const seq *z) {
  return z->B * z->T_ * cell_gates(z->cell.kind) * z->cell.H * (z->cell.D + z->cell.H);
}

static int run(eq_call *c) {
  seq z;
  eq_scratch s = {0};
  const eq_dtype t = c->in[X]->dtype;
  int bad = read_call(c, c->in, &z);
  if (bad) return bad;
  ask(&s, &z, eq_size(t));
  if (z.B >= CELL_BATCH) cell_ask_transposed(&s, &z.cell, eq_size(t));
  if ((bad = scratch_get(&s))) return bad;
  if (z.cell.t_hh) FLOAT_CALL(t, cell_transpose, (&z.cell));
  z.y = c->out[0]->data;
  z.hn = c->out[1]->data;
  z.cn = z.cell.kind == CELL_LSTM ? c->out[2]->data : NULL;
  bad = cell_parallel(z.B, z.grain, work(&z), t == EQ_F32 ? forward_piece_f32 : forward_piece_f64,
                      &z);
  scratch_free(&s);
  return bad ? bad : z.stopped ? eq_stopped() : EQ_OK;
}

/* ---- backward ---- */
static int run_back(eq_call *c, eq_tensor **in, eq_tensor **gy, eq_tensor **gx) {
  const int w = after_states(c), lstm = w == 3;
  const eq_dtype t = in[X]->dtype;
  const size_t size = eq_size(t);
  seq z;
  eq_scratch s = {0};
  int bad = read_call(c, in, &z);
  z.gx = cell_gradient(c, gx, X, &bad);
  z.gh0 = cell_gradient(c, gx, H0, &bad);
  if (lstm) z.gc0 = cell_gradient(c, gx, C0, &bad);
  z.gw_ih = cell_gradient(c, gx, w, &bad);
  z.gw_hh = cell_gradient(c, gx, w + 1, &bad);
  z.gb_ih = cell_gradient(c, gx, w + 2, &bad);
  z.gb_hh = cell_gradient(c, gx, w + 3, &bad);
  if (bad) return bad;
  z.gy = gy[0]->data;
  z.ghn = gy[1]->data;
  z.gcn = lstm ? gy[2]->data : NULL;
  const int64_t rows = z.B * z.T_, H = z.cell.H, G = cell_gates(z.cell.kind);
  ask(&s, &z, size);
  scratch_ask(&s, &z.dgates, rows * H * cell_blocks(z.cell.kind), size);
  scratch_ask(&s, &z.before, rows * H, size);
  scratch_ask(&s, &z.dstart, 2 * z.B * H, size);
  if (!z.alldirect) scratch_ask(&s, &z.gxs, rows * z.cell.D, size);
  if ((bad = scratch_get(&s))) return bad;
  bad = cell_parallel(z.B, z.grain, work(&z), t == EQ_F32 ? backward_piece_f32 : backward_piece_f64,
                      &z);
  if (!bad && z.stopped) bad = eq_stopped();
  /* gru: H rows at a time, because its third gate has its gradients apart */
  const int64_t grain = G == 3 ? H : 64;
  if (!bad && (z.gw_ih || z.gw_hh || z.gb_ih || z.gb_hh))
    bad =
        cell_parallel(G * H, grain, work(&z), t == EQ_F32 ? weight_rows_f32 : weight_rows_f64, &z);
  scratch_free(&s);
  return bad;
}

static int back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  return rnn_back_contiguous(c, gy, after_states(c), gx, run_back);
}

/* ---- one step ---- */
/* x [B, D] as a sequence of one step through the op of the same name without "_cell". */
static int cell(eq_call *c) {
  const eq_tensor *x = c->in[0];
  const bool lstm = c->op->name[0] == 'l', plain = c->op->name[0] == 'r';
  if (x->ndim != 2) return eq_fail("x is %s; it must have 2 dimensions, B x D", eq_shape_of(x));
  const int64_t size[3] = {x->shape[0], 1, x->shape[1]};
  eq_tensor *res[3] = {NULL}, *sequence = eq_f("reshape", "tl", x, 3, size);
  if (!sequence) return eq_error.status;
  int bad = lstm ? eq_fn("lstm", res, "Ttttttt", sequence, c->in[1], c->in[2], c->in[3], c->in[4],
                         c->in[5], c->in[6])
            : plain ? eq_fn("rnn", res, "Tttttt0bi", sequence, c->in[1], c->in[2], c->in[3],
                            c->in[4], c->in[5], 0, c->arg[0].i)
                    : eq_fn("gru", res, "Tttttt", sequence, c->in[1], c->in[2], c->in[3], c->in[4],
                            c->in[5]);
  if (bad) return bad;
  eq_release(res[0]);
  c->nout = lstm ? 2 : 1;
  c->out[0] = res[1];
  if (lstm) c->out[1] = res[2];
  return EQ_OK;
}

#define SHAPES                                                                                     \
  "x [B, T, D], states [B, H] (absent: zeros), biases optional. y [B, T, H] holds every step's "   \
  "h,\n"                                                                                           \
  "h_n [B, H] the last. lengths [B] (i64): steps of each row; y is 0 after them and h_n is the\n"  \
  "state there. reverse reads each row from its last valid step to the first. Gate order, "        \
  "formulas\n"                                                                                     \
  "and weights are PyTorch's. Errors: sizes that do not fit; a length above T."
#define SEQUENCE(NAME, GATES, EXTRA)                                                               \
  .doc = NAME " layer over whole sequences, one direction.\n"                                      \
              "w_ih [" GATES "H, D], w_hh [" GATES "H, H]. " EXTRA "\n" SHAPES,                    \
  .shape = shape, .run = run, .back = back,                                                        \
  .flags = EQ_FUNCTION | EQ_ONCE | EQ_SAVE_INS | EQ_SAVE_OUT, .where = EQ_HERE

const eq_op ops_rnn[] = {
    {.name = "rnn",
     .sig = "x:float, h0:float?, w_ih:float, w_hh:float, b_ih:float?, b_hh:float?, lengths:index?, "
            "reverse:bool=false, nonlinearity:tanh|relu=tanh -> y, h_n; reserve",
     .example =
         "local y, h_n = equi.rnn(equi.ones(1, 3, 2), nil, equi.ones(4, 2), equi.zeros(4, 4))\n"
         "print(y:size())   --> 1 3 4",
     SEQUENCE("Plain recurrent", "", "h' = tanh(w_ih x + b_ih + w_hh h + b_hh), or relu.")},
    {.name = "gru",
     .sig = "x:float, h0:float?, w_ih:float, w_hh:float, b_ih:float?, b_hh:float?, lengths:index?, "
            "reverse:bool=false -> y, h_n; reserve",
     .example =
         "local y, h_n = equi.gru(equi.ones(1, 3, 2), nil, equi.ones(12, 2), equi.zeros(12, 4))\n"
         "print(y:size())   --> 1 3 4",
     SEQUENCE("GRU", "3 ",
              "Gates r z n (Cho et al. 2014); r acts after b_hh is added, as in PyTorch.")},
    {.name = "lstm",
     .sig = "x:float, h0:float?, c0:float?, w_ih:float, w_hh:float, b_ih:float?, b_hh:float?, "
            "lengths:index?, reverse:bool=false -> y, h_n, c_n; reserve",
     .example = "local y, h_n, c_n = equi.lstm(equi.ones(1, 3, 2), nil, nil, equi.ones(16, 2),\n"
                "  equi.zeros(16, 4))\n"
                "print(y:size())   --> 1 3 4",
     SEQUENCE("LSTM", "4 ", "Gates i f g o (Hochreiter and Schmidhuber 1997).")},
    {.name = "rnn_cell",
     .sig = "x:float, h:float?, w_ih:float, w_hh:float, b_ih:float?, b_hh:float?, "
            "nonlinearity:tanh|relu=tanh -> h_n",
     .doc = "One step of `rnn`: x [B, D] and the state h [B, H] (absent: zeros) give the next one.",
     .example = "local h = equi.rnn_cell(equi.ones(1, 2), nil, equi.ones(4, 2), equi.zeros(4, 4))\n"
                "print(h:size())   --> 1 4",
     .compose = cell,
     .flags = EQ_FUNCTION,
     .where = EQ_HERE},
    {.name = "gru_cell",
     .sig = "x:float, h:float?, w_ih:float, w_hh:float, b_ih:float?, b_hh:float? -> h_n",
     .doc = "One step of `gru`: x [B, D] and the state h [B, H] (absent: zeros) give the next one.",
     .example =
         "local h = equi.gru_cell(equi.ones(1, 2), nil, equi.ones(12, 2), equi.zeros(12, 4))\n"
         "print(h:size())   --> 1 4",
     .compose = cell,
     .flags = EQ_FUNCTION,
     .where = EQ_HERE},
    {.name = "lstm_cell",
     .sig = "x:float, h:float?, c:float?, w_ih:float, w_hh:float, b_ih:float?, b_hh:float? -> h_n, "
            "c_n",
     .doc = "One step of `lstm`: x [B, D] and the states h, c [B, H] (absent: zeros) give the next "
            "ones.",
     .example = "local h, c = equi.lstm_cell(equi.ones(1, 2), nil, nil, equi.ones(16, 2), "
                "equi.zeros(16, 4))\n"
                "print(h:size())   --> 1 4",
     .compose = cell,
     .flags = EQ_FUNCTION,
     .where = EQ_HERE},
    {0}};
#endif
