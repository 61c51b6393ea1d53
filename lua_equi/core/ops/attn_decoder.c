/* attn_decoder.c -- a recurrent decoder with attention: all its steps in one op.
 *
 * One step, for the previous state h (and c) and the token fed in:
 *   e = dropout(emb[token]);  a = softmax(h . enc) over the valid places;  k = sum of a * enc
 *   x = relu(wc [e; k] + bc);  h, c = cell(x, h, c);  logp = log_softmax(wo h + bo)
 * as in the sequence models of Lake and Baroni (2018) and Gordon et al. (2020). The next token is
 * the target (teacher) or the step's own argmax, through which no gradient flows.
 *
 * Not here: the encoder (rnn.c), the loss (sequence_nll.c), beam search, copying attention. */
#include "attn_decoder_kernels.h"
#include <inttypes.h>
#define EQ_FILE "ops/attn_decoder_kernels.h"
#include "../floats.h"

/* Places of tensors, arguments and results in the signature below. */
enum { ENC, H0, C0, EMB, WC, BC, W_IH, W_HH, B_IH, B_HH, WO, BO, LENGTHS, TARGETS, START, NIN };
enum { CELL, STEPS, SOS, EOS, TEACHER, STOP, P, TRAINING };
enum { LOGP, TOKENS, H_N, C_N, KEEP, PATH };
static const char *const names[NIN] = {"enc", "h0",   "c0",      "emb",     "wc",
                                       "bc",  "w_ih", "w_hh",    "b_ih",    "b_hh",
                                       "wo",  "bo",   "lengths", "targets", "start"};

/* ---- checks and shapes ---- */
static int kind_of(const eq_call *c) {
  static const int kinds[] = {CELL_LSTM, CELL_GRU, CELL_TANH, CELL_RELU};
  return kinds[c->arg[CELL].i];
}

/* The sizes of a call, all from the tensors' shapes. */
typedef struct sizes {
  int64_t B, places, H, V, E, X, L;
} sizes;

static int read_sizes(const eq_call *c, sizes *z) {
  static const int ndim[NIN] = {3, 2, 2, 2, 2, 1, 2, 2, 1, 1, 2, 1, 1, 2, 1};
  for (int i = 0; i < NIN; i++)
    if (c->in[i] && c->in[i]->ndim != ndim[i])
      return eq_fail("%s is %s; it must have %d dimension%s", names[i], eq_shape_of(c->in[i]),
                     ndim[i], ndim[i] == 1 ? "" : "s");
  const eq_tensor *targets = c->in[TARGETS];
  *z = (sizes){.B = c->in[ENC]->shape[0],
               .places = c->in[ENC]->shape[1],
               .H = c->in[H0]->shape[1],
               .V = c->in[EMB]->shape[0],
               .E = c->in[EMB]->shape[1],
               .X = c->in[WC]->shape[0]};
  if (eq_given(c, STEPS))
    z->L = c->arg[STEPS].i;
  else
    z->L = targets ? targets->shape[1] : 50;
  if (z->L < 0) return eq_fail("steps is %" PRId64 "; it must be 0 or more", z->L);
  if (targets && targets->shape[1] < z->L)
    return eq_fail("targets has %" PRId64 " columns for %" PRId64 " steps", targets->shape[1],
                   z->L);
  if (c->arg[TEACHER].i && !targets) return eq_fail("teacher = true needs targets");
  return EQ_OK;
}

static int check(const eq_call *c, const sizes *z) {
  const int64_t G = cell_gates(kind_of(c)) * z->H;
  const int64_t want[NIN][3] = {[ENC] = {z->B, z->places, z->H},
                                [H0] = {z->B, z->H},
                                [C0] = {z->B, z->H},
                                [EMB] = {z->V, z->E},
                                [WC] = {z->X, z->E + z->H},
                                [BC] = {z->X},
                                [W_IH] = {G, z->X},
                                [W_HH] = {G, z->H},
                                [B_IH] = {G},
                                [B_HH] = {G},
                                [WO] = {z->V, z->H},
                                [BO] = {z->V},
                                [LENGTHS] = {z->B},
                                [START] = {z->B}};
  for (int i = 0; i < NIN; i++) {
    const eq_tensor *x = c->in[i];
    if (!x) continue;
    if (i == TARGETS ? x->shape[0] == z->B
                     : !memcmp(x->shape, want[i], (size_t)x->ndim * sizeof *x->shape))
      continue;
    if (i == TARGETS) return eq_fail("targets is %s for a batch of %" PRId64, eq_shape_of(x), z->B);
    return eq_fail("%s is %s; it must be %s here", names[i], eq_shape_of(x),
                   eq_shape_str(x->ndim, want[i]));
  }
  if (c->in[C0] && kind_of(c) != CELL_LSTM) return eq_fail("only an lstm cell has a c0");
  const double p = c->arg[P].f;
  if (!(p >= 0 && p < 1)) return eq_fail("p is %g; it must be at least 0 and below 1", p);
  for (int i = SOS; i <= EOS; i++)
    if (c->arg[i].i < EQ_BASE || c->arg[i].i >= z->V + EQ_BASE)
      return eq_fail("%s is %" PRId64 "; the vocabulary has %" PRId64 " entries",
                     i == SOS ? "sos" : "eos", c->arg[i].i, z->V);
  return EQ_OK;
}

static bool drops(const eq_call *c) { return c->arg[TRAINING].i && c->arg[P].f > 0; }

static int shape(eq_call *c) {
  sizes z;
  if (read_sizes(c, &z) || check(c, &z)) return EQ_ERR;
  const int kind = kind_of(c), lstm = kind == CELL_LSTM;
  const eq_dtype t = c->in[ENC]->dtype;
  const int64_t rows = eq_grad_enabled && z.L ? z.B * z.L : z.B;
  const int64_t width = (z.E + z.H) + z.X + z.H * (cell_blocks(kind) + 2 + 2 * lstm) + z.places +
                        (drops(c) ? z.E : 0);
  const int64_t pieces = z.B / cell_piece(z.B) + 1;
  const int64_t logp[3] = {z.B, z.L, z.V}, state[2] = {z.B, z.H}, none[2] = {0, z.H};
  const int64_t keep[2] = {rows, width}, path[1] = {pieces * (z.L + 1) + 2 * rows};
  int bad = eq_out(c, LOGP, t, 3, logp);
  if (!bad) bad = eq_out(c, TOKENS, EQ_I64, 2, logp);
  if (!bad) bad = eq_out(c, H_N, t, 2, state);
  if (!bad) bad = eq_out(c, C_N, t, 2, lstm ? state : none);
  if (!bad) bad = eq_out(c, KEEP, t, 2, keep);
  return bad ? bad : eq_out(c, PATH, EQ_I64, 1, path);
}

static const void *data_of(const eq_tensor *x) { return x ? x->data : NULL; }

static int check_ids(const char *what, const eq_tensor *x, int64_t low, int64_t high) {
  const int64_t *id = data_of(x);
  for (int64_t i = 0; x && i < x->numel; i++)
    if (id[i] < low || id[i] > high)
      return eq_fail("%s holds %" PRId64 "; it must be from %" PRId64 " to %" PRId64 " here", what,
                     id[i], low, high);
  return EQ_OK;
}

/* Everything but the work arrays. */
static int read_call(const eq_call *c, eq_tensor **in, decoder *z) {
  sizes n;
  if (read_sizes(c, &n)) return EQ_ERR;
  if (check_ids("lengths", in[LENGTHS], 0, n.places) || check_ids("targets", in[TARGETS], 0, n.V) ||
      check_ids("start", in[START], EQ_BASE, n.V))
    return EQ_ERR;
  memset(z, 0, sizeof *z);
  z->cell = (rnn_cell){.kind = kind_of(c),
                       .D = n.X,
                       .H = n.H,
                       .w_ih = in[W_IH]->data,
                       .w_hh = in[W_HH]->data,
                       .b_ih = data_of(in[B_IH]),
                       .b_hh = data_of(in[B_HH])};
  z->B = n.B, z->places = n.places, z->L = n.L, z->E = n.E, z->V = n.V;
  z->rows = c->out[KEEP]->shape[0];
  z->save = z->rows == n.B * n.L;
  z->grain = cell_piece(n.B);
  z->alone = n.B <= z->grain;
  z->sos = c->arg[SOS].i - EQ_BASE;
  z->eos = c->arg[EOS].i - EQ_BASE;
  z->teacher = c->arg[TEACHER].i;
  z->stop = c->arg[STOP].i;
  z->drop = drops(c);
  z->p = c->arg[P].f;
  z->len = data_of(in[LENGTHS]);
  z->targets = data_of(in[TARGETS]);
  z->target_columns = in[TARGETS] ? in[TARGETS]->shape[1] : 0;
  z->start = data_of(in[START]);
  z->enc = in[ENC]->data, z->h0 = in[H0]->data, z->c0 = data_of(in[C0]);
  z->emb = in[EMB]->data, z->wc = in[WC]->data, z->bc = data_of(in[BC]);
  z->wo = in[WO]->data, z->bo = data_of(in[BO]);
  z->logp = c->out[LOGP]->data, z->tokens = (int64_t *)c->out[TOKENS]->data;
  z->hn = c->out[H_N]->data, z->cn = c->out[C_N]->data;
  z->keep = c->out[KEEP]->data;
  z->count = (int64_t *)c->out[PATH]->data;
  z->row_b = z->count + (n.B / z->grain + 1) * (n.L + 1);
  z->token = z->row_b + z->rows;
  return EQ_OK;
}

static int64_t step_work(const decoder *z) {
  const int64_t H = z->cell.H, X = z->cell.D;
  return X * (z->E + H) + cell_gates(z->cell.kind) * H * (X + H) + z->V * H + 2 * z->places * H;
}

static int run(eq_call *c) {
  decoder z;
  eq_scratch s = {0};
  const eq_dtype t = c->in[ENC]->dtype;
  int bad = read_call(c, c->in, &z);
  if (bad) return bad;
  if (z.drop) {
    z.seed = eq_default_rng.seed;
    z.counter = eq_rng_take(&eq_default_rng, (uint64_t)(z.B * z.L * ((z.E + 3) / 4)));
  }
  scratch_ask(&s, &z.logits, z.B * z.V, eq_size(t));
  if (z.B >= CELL_BATCH) {
    cell_ask_transposed(&s, &z.cell, eq_size(t));
    scratch_ask(&s, &z.t_wc, z.cell.D * (z.E + z.cell.H), eq_size(t));
  }
  if ((bad = scratch_get(&s))) return bad;
  if (z.t_wc) FLOAT_CALL(t, transpose_weights, (&z));
  bad = cell_parallel(z.B, z.grain, z.B * z.L * step_work(&z),
                      t == EQ_F32 ? forward_piece_f32 : forward_piece_f64, &z);
  scratch_free(&s);
  return bad ? bad : z.stopped ? eq_stopped() : EQ_OK;
}

/* ---- backward ---- */
/* The rows of one weight in jobs of up to 64, which stay within one gate. */
static void add_jobs(decoder *z, void *g, const void *d, const void *a, int64_t gates, int64_t rows,
                     int64_t width, int64_t ldd, bool hidden) {
  if (!g) return;
  for (int64_t k = 0; k < gates; k++)
    for (int64_t r = 0; r < rows; r += 64)
      z->jobs[z->njobs++] = (job){.g = g,
                                  .d = d,
                                  .a = a,
                                  .row = k * rows + r,
                                  .rows = rows - r < 64 ? rows - r : 64,
                                  .width = width,
                                  .ldd = ldd,
                                  .shift = hidden && gates == 3 && k == 2 ? rows : 0};
}

static int weight_gradients(const eq_call *c, eq_tensor **gx, decoder *z, eq_dtype t) {
  const int64_t H = z->cell.H, X = z->cell.D, W = z->E + H;
  const int64_t G = cell_gates(z->cell.kind), R = cell_blocks(z->cell.kind) * H;
  const void *cat, *x, *h0, *h;
  int bad = EQ_OK;
  FLOAT_CALL(t, kept_pointers, (z, &cat, &x, &h0, &h));
  add_jobs(z, cell_gradient(c, gx, WO, &bad), z->dlogits, h, 1, z->V, H, z->V, false);
  add_jobs(z, cell_gradient(c, gx, BO, &bad), z->dlogits, NULL, 1, z->V, 1, z->V, false);
  add_jobs(z, cell_gradient(c, gx, WC, &bad), z->dx, cat, 1, X, W, X, false);
  add_jobs(z, cell_gradient(c, gx, BC, &bad), z->dx, NULL, 1, X, 1, X, false);
  add_jobs(z, cell_gradient(c, gx, W_IH, &bad), z->dgates, x, G, H, X, R, false);
  add_jobs(z, cell_gradient(c, gx, W_HH, &bad), z->dgates, h0, G, H, H, R, true);
  add_jobs(z, cell_gradient(c, gx, B_IH, &bad), z->dgates, NULL, G, H, 1, R, false);
  add_jobs(z, cell_gradient(c, gx, B_HH, &bad), z->dgates, NULL, G, H, 1, R, true);
  void *gemb = cell_gradient(c, gx, EMB, &bad);
  if (bad) return bad;
  if (gemb) FLOAT_CALL(t, embedding_back, (z, gemb));
  return cell_parallel(z->njobs, 1, z->B * z->L * step_work(z),
                       t == EQ_F32 ? weight_jobs_f32 : weight_jobs_f64, z);
}

static void ask_back(eq_scratch *s, decoder *z, size_t size) {
  const int64_t H = z->cell.H, X = z->cell.D, G = cell_gates(z->cell.kind);
  scratch_ask(s, &z->used, z->B / z->grain + 1, sizeof *z->used);
  scratch_ask(s, &z->jobs, 2 * (z->V / 64 + X / 64 + 2 * G * (H / 64 + 1) + 2), sizeof *z->jobs);
  scratch_ask(s, &z->dlogits, z->rows * z->V, size);
  scratch_ask(s, &z->dgates, z->rows * cell_blocks(z->cell.kind) * H, size);
  scratch_ask(s, &z->dx, z->rows * X, size);
  scratch_ask(s, &z->de, z->rows * z->E, size);
  scratch_ask(s, &z->dh, z->B * H, size);
  scratch_ask(s, &z->dc, z->B * H, size);
  scratch_ask(s, &z->uh, z->B * H, size);
  scratch_ask(s, &z->uc, z->B * H, size);
  scratch_ask(s, &z->dcat, z->B * (z->E + H), size);
  scratch_ask(s, &z->datt, z->B * z->places, size);
}

static int run_back(eq_call *c, eq_tensor **in, eq_tensor **gy, eq_tensor **gx) {
  decoder z;
  eq_scratch s = {0};
  const eq_dtype t = in[ENC]->dtype;
  int bad = read_call(c, in, &z);
  if (bad) return bad;
  z.genc = cell_gradient(c, gx, ENC, &bad);
  z.gh0 = cell_gradient(c, gx, H0, &bad);
  z.gc0 = cell_gradient(c, gx, C0, &bad);
  z.gy = gy[LOGP]->data;
  z.ghn = gy[H_N]->data;
  z.gcn = z.cell.kind == CELL_LSTM ? gy[C_N]->data : NULL;
  ask_back(&s, &z, eq_size(t));
  if (bad || (bad = scratch_get(&s))) return bad;
  bad = cell_parallel(z.B, z.grain, z.B * z.L * step_work(&z),
                      t == EQ_F32 ? backward_piece_f32 : backward_piece_f64, &z);
  if (!bad && z.stopped) bad = eq_stopped();
  if (!bad) bad = weight_gradients(c, gx, &z, t);
  scratch_free(&s);
  return bad;
}

static int back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  return rnn_back_contiguous(c, gy, C_N + 1, gx, run_back);
}

const eq_op ops_attn_decoder[] = {
    {.name = "attn_decoder",
     .sig =
         "enc:float, h0:float, c0:float?, emb:float, wc:float, bc:float?, w_ih:float, w_hh:float, "
         "b_ih:float?, b_hh:float?, wo:float, bo:float?, lengths:index?, targets:index?, "
         "start:index?, cell:lstm|gru|rnn|rnn_relu=lstm, steps:int=nil, sos:int=1, eos:int=2, "
         "teacher:bool=false, stop:bool=false, p:num=0, training:bool=false "
         "-> logp, tokens, h_n, c_n; keep, path",
     .doc =
         "A recurrent decoder with dot-product attention, all steps in one op.\n"
         "Step: e = dropout(emb[token]); a = softmax(h . enc); k = sum of a enc; x = relu(wc [e; "
         "k] + bc);\n"
         "h, c = cell(x, h, c); logp = log_softmax(wo h + bo), h and c being the previous states "
         "in a.\n"
         "enc [B, T, H], lengths [B] (i64): valid places of enc (absent: all), h0, c0 [B, H], emb "
         "[V, E],\n"
         "wc [X, E + H], w_ih [gates H, X], w_hh [gates H, H], wo [V, H]; biases may be absent.\n"
         "logp [B, L, V], tokens [B, L] (argmax, i64, from 1), h_n and c_n [B, H] (c_n is 0 x H "
         "unless lstm).\n"
         "L is steps, else the columns of targets [B, L], else 50. teacher feeds the targets (0 is "
         "padding),\n"
         "otherwise the step's own token is fed, without gradient. start [B]: first tokens instead "
         "of sos.\n"
         "stop: a row that says eos ends there: its later logp are 0, its later tokens eos.\n"
         "p, training: dropout of the embedded token. Call inside no_grad to keep nothing of the "
         "steps.\n"
         "Lake and Baroni, ICML 2018; Gordon et al., ICLR 2020.",
     .example =
         "local enc, h = equi.zeros(1, 3, 4), equi.zeros(1, 4)\n"
         "local logp, tokens = equi.attn_decoder(enc, h, nil, equi.zeros(5, 2), equi.zeros(6, 6), "
         "nil,\n"
         "  equi.zeros(16, 6), equi.zeros(16, 4), nil, nil, equi.zeros(5, 4), nil, {steps = 7})\n"
         "print(logp:size())   --> 1 7 5",
     .shape = shape,
     .run = run,
     .back = back,
     .flags = EQ_FUNCTION | EQ_ONCE | EQ_SAVE_INS | EQ_SAVE_OUT,
     .where = EQ_HERE},
    {0}};
