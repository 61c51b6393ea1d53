/* sort.c -- order: sort, argsort, topk, kthvalue, median, unique.
 *
 * Sorting is stable, in both directions, and puts NaN behind all numbers (first when descending).
 * Lines of the dim are sorted one by one by merging, 2 x n scratch entries a line. topk, kthvalue
 * and median sort the whole line: n log n, not n. The gradient goes to the elements chosen. */
#ifdef T
typedef struct FN(entry) {
  T key;
  int64_t id;
} FN(entry);

#define NAN_OF(a) ((a) != (a))
static inline bool FN(before)(T a, T b, bool down) {
  if (down) return a > b || (NAN_OF(a) && !NAN_OF(b));
  return a < b || (NAN_OF(b) && !NAN_OF(a));
}

/* Run number r of RUN entries, by insertion. */
static void FN(sort_run)(FN(entry) * e, int64_t r, int64_t n, bool down) {
  for (int64_t i = r * RUN + 1; i < n && i < (r + 1) * RUN; i++) {
    FN(entry) x = e[i];
    int64_t j = i;
    for (; j > r * RUN && FN(before)(x.key, e[j - 1].key, down); j--) e[j] = e[j - 1];
    e[j] = x;
  }
}

/* Pair number p of runs of w entries, from e to f. */
static void FN(merge)(const FN(entry) * e, FN(entry) * f, int64_t p, int64_t w, int64_t n,
                      bool down) {
  int64_t a = p * 2 * w, mid = a + w < n ? a + w : n, end = a + 2 * w < n ? a + 2 * w : n;
  for (int64_t k = a, i = a, j = mid; k < end; k++)
    f[k] = j < end && (i >= mid || FN(before)(e[j].key, e[i].key, down)) ? e[j++] : e[i++];
}

static void FN(run_piece)(int64_t begin, int64_t end, void *ctx) {
  const round_of *o = ctx;
  for (int64_t r = begin; r < end; r++) FN(sort_run)(o->e, r, o->n, o->down);
}

static void FN(merge_piece)(int64_t begin, int64_t end, void *ctx) {
  const round_of *o = ctx;
  for (int64_t p = begin; p < end; p++) FN(merge)(o->e, o->f, p, o->w, o->n, o->down);
}

/* Runs, then rounds of merging between the entries and the room behind them: o->e is the result.
 * Called for a line that is alone, the pieces of a round run in parallel and can be interrupted; in
 * a region, or for a short line, they are one piece. */
static int FN(merge_sort)(round_of *o) {
  int64_t grain = o->alone ? 4096 : (o->n + RUN - 1) / RUN;
  int bad = eq_parallel_for((o->n + RUN - 1) / RUN, grain, FN(run_piece), o);
  for (o->w = RUN; o->w < o->n && !bad; o->w *= 2) {
    int64_t pairs = (o->n + 2 * o->w - 1) / (2 * o->w);
    grain = o->alone ? 4096 * RUN / (2 * o->w) : pairs;
    bad = eq_parallel_for(pairs, grain < 1 ? 1 : grain, FN(merge_piece), o);
    void *swap = o->e;
    o->e = o->f, o->f = swap;
    if (!bad && o->alone && o->n > 4096 * RUN && eq_poll && eq_poll()) bad = eq_stopped();
  }
  return bad;
}

/* Lines [begin, end): x and results are outer x n x inner. */
static void FN(sort_lines)(int64_t begin, int64_t end, void *ctx) {
  job *q = ctx;
  for (int64_t l = begin; l < end; l++) {
    int64_t at = l / q->inner * q->n * q->inner + l % q->inner;
    const T *x = (const T *)(const void *)q->x + at;
    T *y = (T *)(void *)q->y + at;
    int64_t *id = q->id + at;
    FN(entry) *e = (FN(entry) *)q->scratch + l * 2 * q->n;
    for (int64_t i = 0; i < q->n; i++) e[i] = (FN(entry)){x[i * q->inner], i + EQ_BASE};
    round_of o = {.e = e, .f = e + q->n, .n = q->n, .down = q->down, .alone = q->alone};
    if (FN(merge_sort)(&o)) q->stopped = true; /* alone: nobody else writes it */
    e = o.e;
    for (int64_t i = 0; i < q->n; i++) {
      y[i * q->inner] = e[i].key;
      id[i * q->inner] = e[i].id;
    }
  }
}
#else
#include "../equi.h"
#include <inttypes.h>
#include <string.h>

enum { RUN = 16 };

typedef struct job {
  const char *x;
  char *y;
  int64_t *id;
  void *scratch; /* 2 n entries a line */
  int64_t n, inner;
  bool down, alone, stopped;
} job;

/* One round of merging a line. */
typedef struct round_of {
  void *e, *f;  /* entries; room for as many */
  int64_t n, w; /* w: length of the sorted runs */
  bool down, alone;
} round_of;

#define EQ_FILE "ops/sort.c"
#include "../floats.h"
#define T int64_t
#define SUFFIX _i64
#include "sort.c"
#undef T
#undef SUFFIX
#define T uint8_t
#define SUFFIX _u8
#include "sort.c"
#undef T
#undef SUFFIX

/* ---- sort ---- */
static int sort_shape(eq_call *c) {
  const eq_tensor *x = c->in[0];
  int bad = eq_out(c, 0, x->dtype, x->ndim, x->shape);
  return bad ? bad : eq_out(c, 1, EQ_I64, x->ndim, x->shape);
}

static int sort_run(eq_call *c) {
  static const eq_range_fn lines[EQ_NDTYPE] = {sort_lines_f32, sort_lines_f64, sort_lines_i64,
                                               sort_lines_u8, sort_lines_u8};
  const eq_tensor *x = c->in[0];
  int64_t d = c->arg[0].i;
  if (x->numel == 0) return EQ_OK;
  job q = {.x = x->data, .y = c->out[0]->data, .n = x->ndim ? x->shape[d] : 1, .inner = 1};
  q.id = (int64_t *)(void *)c->out[1]->data;
  q.down = c->arg[1].i;
  for (int k = (int)d + 1; k < x->ndim; k++) q.inner *= x->shape[k];
  size_t bytes = (size_t)x->numel * 2 * sizeof(entry_f64);
  if (!(q.scratch = eq_alloc(bytes))) return EQ_NOMEM;
  int64_t grain = 4096 / q.n;
  q.alone = x->numel == q.n;
  int bad = eq_parallel_for(x->numel / q.n, grain < 1 ? 1 : grain, lines[x->dtype], &q);
  eq_free(q.scratch, bytes);
  return bad ? bad : q.stopped ? eq_stopped() : EQ_OK;
}

static int sort_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  const eq_tensor *x = c->in[0];
  if (x->ndim == 0)
    gx[0] = eq_retain(gy[0]);
  else
    gx[0] = eq_f("scatter", "Titt", eq_zeros(x->dtype, x->ndim, x->shape), c->arg[0].i, c->out[1],
                 gy[0]);
  return eq_error.status;
}

/* ---- composed of sort ---- */
/* Two results of an op, cut to places [from, from + n) of dim d. */
static int part(eq_call *c, eq_tensor **r, int64_t d, int64_t from, int64_t n) {
  c->nout = 2;
  for (int k = 0; k < 2; k++)
    c->out[k] = r[k]->ndim ? eq_f("slice", "Tiiii", r[k], d, from, from + n, (int64_t)1) : r[k];
  return c->out[0] && c->out[1] ? EQ_OK : eq_error.status;
}

static int64_t size_of(const eq_tensor *x, int64_t d) { return x->ndim ? x->shape[d] : 1; }

static int argsort(eq_call *c) {
  eq_tensor *r[2];
  int bad = eq_fn("sort", r, "tib", c->in[0], c->arg[0].i, (int)c->arg[1].i);
  if (bad) return bad;
  eq_release(r[0]);
  c->out[0] = r[1];
  c->nout = 1;
  return EQ_OK;
}

static int topk(eq_call *c) {
  eq_tensor *x = c->in[0], *r[2];
  int64_t k = c->arg[0].i, d = c->arg[1].i, n = size_of(x, d);
  if (k < 0 || k > n)
    return eq_fail("k must be from 0 to %" PRId64 ", the size of dim %" PRId64 ", got %" PRId64, n,
                   d + 1, k);
  int bad = eq_fn("sort", r, "tib", x, d, (int)c->arg[2].i);
  return bad ? bad : part(c, r, d, 0, k);
}

/* Entry k (from 0) of every sorted line of dim d. */
static int pick(eq_call *c, eq_tensor *x, int64_t d, int64_t k, bool keep) {
  eq_tensor *r[2];
  int bad = eq_fn("sort", r, "ti", x, d);
  if (!bad) bad = part(c, r, d, k, 1);
  for (int i = 0; !bad && !keep && i < 2; i++) {
    c->out[i] = eq_f("squeeze", "Tl", c->out[i], 1, &d);
    if (!c->out[i]) bad = eq_error.status;
  }
  return bad;
}

static int kthvalue(eq_call *c) {
  int64_t k = c->arg[0].i, d = c->arg[1].i, n = size_of(c->in[0], d);
  if (k < 1 || k > n)
    return eq_fail("k must be from 1 to %" PRId64 ", the size of dim %" PRId64 ", got %" PRId64, n,
                   d + 1, k);
  return pick(c, c->in[0], d, k - 1, c->arg[2].i);
}

static int median(eq_call *c) {
  eq_tensor *x = c->in[0];
  int64_t n = eq_given(c, 0) ? size_of(x, c->arg[0].i) : x->numel;
  if (n == 0) return eq_fail("there is no middle of nothing: x is %s", eq_shape_of(x));
  if (eq_given(c, 0)) return pick(c, x, c->arg[0].i, (n - 1) / 2, c->arg[1].i);
  eq_tensor *flat = eq_f("reshape", "tl", x, 1, &n);
  int bad = flat ? pick(c, flat, 0, (n - 1) / 2, false) : (int)eq_error.status;
  eq_release(flat);
  return bad;
}

/* ---- unique ---- */
static bool same(const eq_tensor *x, int64_t i, int64_t j) {
  return eq_is_float(x->dtype) ? eq_get(x, i) == eq_get(x, j)
                               : eq_get_int(x, i) == eq_get_int(x, j);
}

/* sorted values v with their ids -> the different ones, where each element of x went, how many. */
static int group_equal(eq_call *c, const eq_tensor *v, const eq_tensor *ids) {
  const eq_tensor *x = c->in[0];
  int64_t n = v->numel, kinds = 0;
  for (int64_t i = 0; i < n; i++) kinds += i == 0 || !same(v, i - 1, i);
  int bad = eq_out(c, 0, x->dtype, 1, &kinds);
  if (!bad) bad = eq_out(c, 1, EQ_I64, x->ndim, x->shape);
  if (!bad) bad = eq_out(c, 2, EQ_I64, 1, &kinds);
  if (bad) return bad;
  const int64_t *id = (const int64_t *)(const void *)ids->data;
  int64_t *inverse = (int64_t *)(void *)c->out[1]->data,
          *count = (int64_t *)(void *)c->out[2]->data, k = -1;
  size_t size = eq_size(x->dtype);
  for (int64_t i = 0; i < n; i++) {
    if (i == 0 || !same(v, i - 1, i)) {
      count[++k] = 0;
      memcpy(c->out[0]->data + (size_t)k * size, v->data + (size_t)i * size, size);
    }
    count[k]++;
    inverse[id[i] - EQ_BASE] = k + EQ_BASE;
  }
  return EQ_OK;
}

static int unique(eq_call *c) {
  eq_tensor *r[2];
  int bad =
      eq_fn("sort", r, "Ti", eq_f("reshape", "tl", c->in[0], 1, &c->in[0]->numel), (int64_t)0);
  if (bad) return bad;
  bad = group_equal(c, r[0], r[1]);
  eq_release(r[0]);
  eq_release(r[1]);
  return bad;
}

const eq_op ops_sort[] = {
    {.name = "sort",
     .sig = "x:tensor, dim:dim=-1, descending:bool=false -> y, ids",
     .doc = "A dim in order, and where (from 1) each element stood. Equal elements keep their "
            "order. NaN is "
            "larger\nthan every number.",
     .example = "local y, ids = equi.tensor({3, 1, 2}):sort()\nprint(y[1]:item(), ids[1]:item())  "
                "--> 1.0 2",
     .shape = sort_shape,
     .run = sort_run,
     .back = sort_back,
     .flags = EQ_SAVE_OUT,
     .where = EQ_HERE},
    {.name = "argsort",
     .sig = "x:tensor, dim:dim=-1, descending:bool=false -> ids",
     .doc = "The second result of sort: the ids that put a dim in order.",
     .example = "print(equi.tensor({3, 1, 2}):argsort()[1]:item())  --> 2",
     .compose = argsort,
     .flags = EQ_NO_GRAD,
     .where = EQ_HERE},
    {.name = "topk",
     .sig = "x:tensor, k:int, dim:dim=-1, largest:bool=true -> y, ids",
     .doc = "The k largest (or smallest) entries of a dim in order, and their ids.",
     .example = "local y = equi.tensor({3, 1, 2}):topk(2)\nprint(y:sum():item())  --> 5.0",
     .compose = topk,
     .where = EQ_HERE},
    {.name = "kthvalue",
     .sig = "x:tensor, k:int, dim:dim=-1, keepdim:bool=false -> y, ids",
     .doc = "The k-th smallest entry of a dim (k from 1) and its id.",
     .example = "print((equi.tensor({3, 1, 2}):kthvalue(2)):item())  --> 2.0",
     .compose = kthvalue,
     .where = EQ_HERE},
    {.name = "median",
     .sig = "x:tensor, dim:dim=nil, keepdim:bool=false -> y, ids",
     .doc = "The middle entry of a dim, or of all elements, and its id; of an even number the "
            "lower one.",
     .example = "print((equi.tensor({3, 1, 2}):median()):item())  --> 2.0",
     .compose = median,
     .where = EQ_HERE},
    {.name = "unique",
     .sig = "x:tensor -> y, inverse, counts",
     .doc = "The different values of x in order; for every element of x the place of its value "
            "among them "
            "(from 1);\nhow often each occurs.",
     .example = "local y, inverse, counts = equi.tensor({2, 1, 2}):unique()\n"
                "print(y:size(), inverse[1]:item(), counts[2]:item())  --> 2 2 2",
     .compose = unique,
     .flags = EQ_NO_GRAD,
     .where = EQ_HERE},
    {0}};
#endif
