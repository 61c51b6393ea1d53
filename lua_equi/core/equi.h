/* equi.h -- what everything in the C core includes: tensors, memory, ops, autograd, threads.
 *
 * Nothing here knows Lua (core/lua does) or BLAS (blas.c does). A function that can fail returns
 * NULL or a nonzero status and leaves one sentence in eq_error.text; nothing aborts or prints.
 *
 * Shape letters used in all comments: B batch, C channels, H W height and width, T time,
 * D features, V vocabulary, K kernel, G group order, N anything flat. A gradient of x is gx.
 * dims count from 0 here and from 1 in Lua (core/lua converts). The VALUES of index tensors (token
 * ids, class targets, argmax) count from 1 in both: a kernel subtracts EQ_BASE when it reads one.
 */
#ifndef EQUI_H
#define EQUI_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- compiler ---- */
#if defined(__GNUC__)
#define EQ_PRINTF(a, b) __attribute__((format(printf, a, b)))
#define EQ_UNUSED __attribute__((unused))
#else
#define EQ_PRINTF(a, b)
#define EQ_UNUSED
#endif
/* EQ_SIMD before a hot loop's function: one copy per instruction set, chosen at load time. The
 * default -O3 would leave three quarters of the speed behind on AVX2 and AVX-512 machines. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(EQ_NO_SIMD_DISPATCH)
#define EQ_SIMD __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define EQ_SIMD
#endif
/* EQ_INLINE: part of a loop in an EQ_SIMD function, compiled with it for each instruction set. */
#if defined(__GNUC__)
#define EQ_INLINE EQ_UNUSED static inline __attribute__((always_inline))
#else
#define EQ_INLINE static inline
#endif
/* EQ_PAUSE: in a loop that looks for another thread's word. */
#if defined(__GNUC__) && defined(__x86_64__)
#define EQ_PAUSE() __builtin_ia32_pause()
#elif defined(__GNUC__) && defined(__aarch64__)
#define EQ_PAUSE() __asm__ volatile("yield")
#else
#define EQ_PAUSE() ((void)0)
#endif
#define EQ_STR_(x) #x
#define EQ_STR(x) EQ_STR_(x)
#define EQ_HERE __FILE__ ":" EQ_STR(__LINE__)

enum { EQ_MAXDIM = 8, EQ_MAXOUT = 6, EQ_MAXARG = 16, EQ_MAXLIST = 40, EQ_BASE = 1 };
enum { EQ_MAXOPERAND = 8 }; /* tensors of an element-wise op, the result aside */

/* ---- errors: EQ_OK or one of these; eq_error holds the last one ---- */
typedef enum { EQ_OK, EQ_ERR, EQ_NOMEM, EQ_STOP, EQ_PASS } eq_status; /* EQ_PASS: see backend */
typedef struct eq_error_info {
  eq_status status;
  size_t wanted; /* bytes asked for, when status is EQ_NOMEM */
  char text[768];
  /* The last eq_f or eq_fn that failed inside the rule or the composed op that runs: a part that
   * works afterwards clears `status`, and a rule need not look at every part. */
  eq_status missed;
} eq_error_info;
extern eq_error_info eq_error;
/* Store the sentence; always returns EQ_ERR. The op's name is put in front by the binding. */
int eq_fail(const char *fmt, ...) EQ_PRINTF(1, 2);
int eq_nomem(size_t bytes); /* always returns EQ_NOMEM */
int eq_stopped(void);       /* a long computation was interrupted; always returns EQ_STOP */

/* ---- memory (alloc.c): 64-byte aligned, freed blocks are kept for reuse ---- */
typedef struct eq_memory {
  size_t live, peak, cached, cache_limit, soft_limit, next_collect;
  size_t churn; /* bytes handed out since the last collection and not given back; of large blocks a
                 * part */
  size_t fresh; /* bytes handed out since the last step of the collector */
  uint64_t allocations, collections;
  int64_t fail_after; /* tests: the allocation this many from now fails; < 0 never */
  int64_t fail_times; /* and so many in a row */
  bool cache_fixed;   /* cache_limit was set; else it follows the peak */
} eq_memory;
extern eq_memory eq_mem;
void *eq_alloc(size_t bytes); /* NULL and EQ_NOMEM when there is none; contents undefined */
void *eq_calloc(size_t bytes);
void eq_free(void *p, size_t bytes); /* bytes as given to eq_alloc; p may be NULL */
void eq_trim(void);                  /* give every cached block back to the system */

/* ---- threads (parallel.c) ---- */
typedef void (*eq_range_fn)(int64_t begin, int64_t end, void *ctx);
enum { EQ_MOST_THREADS = 1024 };
/* Runs fn over [0, n) in pieces of at most `grain`, on up to eq_threads() threads. Pieces are the
 * same for every thread count. Returns EQ_OK or EQ_STOP (then some pieces did not run). Called from
 * a piece, or while another thread's call has the workers, it runs on the calling thread alone. */
int eq_parallel_for(int64_t n, int64_t grain, eq_range_fn fn, void *ctx);
int eq_threads(void);
int eq_thread(void); /* which of them calls, from 0: a kernel's own part of scratch memory */
void eq_set_threads(int n);
/* A BLAS that runs on OpenMP takes its number of threads from there at every call, whatever it was
 * told: after this it runs on one, for calls of this thread. False, and no change, inside a piece:
 * workers have said so when they started, the caller before (eq_blas_concurrent). */
bool eq_alone(void);
int eq_max_threads(void);
bool eq_has_openmp(void);
const char *eq_openmp_name(void);
/* Set by the binding: true when the user pressed Ctrl-C. Safe to call often; main thread only. */
extern bool (*eq_poll)(void);

/* ---- tensors (tensor.c, copy.c) ---- */
typedef enum { EQ_F32, EQ_F64, EQ_I64, EQ_U8, EQ_BOOL, EQ_NDTYPE } eq_dtype;
typedef struct eq_node eq_node;
typedef struct eq_op eq_op;

typedef struct eq_storage {
  int refs;
  uint32_t version; /* grows at every in-place write: saved tensors notice */
  size_t bytes;
  void *data;
  void (*release)(struct eq_storage *s); /* NULL: own block. Mapped files set it. */
  void *owner;
  int64_t room, taken; /* append: rows of `room` channels, of which so many hold values; else 0 */
} eq_storage;

typedef struct eq_tensor {
  int refs;
  eq_dtype dtype;
  int ndim;
  int out; /* which output of node */
  int64_t numel;
  int64_t shape[EQ_MAXDIM], stride[EQ_MAXDIM]; /* strides in elements, 0 where broadcast */
  char *data;                                  /* first element; NULL in a shape-only tensor */
  eq_storage *storage;
  eq_node *node;          /* who computed it (or its accumulator if a leaf); NULL: no gradient */
  struct eq_tensor *grad; /* leaves only */
} eq_tensor;

size_t eq_size(eq_dtype t);
const char *eq_dtype_name(eq_dtype t);
static inline bool eq_is_float(eq_dtype t) { return t == EQ_F32 || t == EQ_F64; }

eq_tensor *eq_empty(eq_dtype t, int ndim, const int64_t *shape); /* contents undefined */
eq_tensor *eq_zeros(eq_dtype t, int ndim, const int64_t *shape);
eq_tensor *eq_full(eq_dtype t, int ndim, const int64_t *shape, double value);
eq_tensor *eq_scalar(eq_dtype t, double value);                 /* 0-dimensional */
eq_tensor *eq_meta(eq_dtype t, int ndim, const int64_t *shape); /* shape only, no data */
eq_tensor *eq_from_storage(eq_storage *s, eq_dtype t, int ndim, const int64_t *shape,
                           size_t offset);
eq_storage *eq_storage_wrap(void *data, size_t bytes, void (*release)(eq_storage *), void *owner);
/* A view: same storage, own shape; no gradient link. offset in elements from x's first. */
eq_tensor *eq_view(const eq_tensor *x, int ndim, const int64_t *shape, const int64_t *stride,
                   int64_t offset);
eq_tensor *eq_alias(const eq_tensor *x); /* a view of all of x */
/* The view of x reshaped, or NULL with EQ_OK in eq_error.status when its strides do not allow. */
eq_tensor *eq_try_reshape(const eq_tensor *x, int ndim, const int64_t *shape);
eq_tensor *eq_contiguous(eq_tensor *x); /* x itself, retained, or a row-major copy */
eq_tensor *eq_clone(const eq_tensor *x);
eq_tensor *eq_cast(eq_tensor *x, eq_dtype t);      /* x itself, retained, if it has that dtype */
int eq_copy(eq_tensor *dst, const eq_tensor *src); /* copy.c: broadcasts, converts, checks shapes */
eq_tensor *eq_retain(eq_tensor *x);
void eq_release(eq_tensor *x); /* x may be NULL */
bool eq_is_contiguous(const eq_tensor *x);
bool eq_same_shape(const eq_tensor *a, const eq_tensor *b);
void eq_strides(int ndim, const int64_t *shape, int64_t *stride); /* row-major */
/* layout.c: [B, C, H, W] with the channels of a pixel side by side; other ndim: row-major. */
bool eq_is_channels_last(const eq_tensor *x);
eq_tensor *eq_channels_last(eq_tensor *x); /* x itself, retained, or a copy */
eq_tensor *eq_empty_channels_last(eq_dtype t, int ndim, const int64_t *shape);
bool eq_is_dense(const eq_tensor *x);               /* numel places, in any order of the dims */
bool eq_has_places(const eq_tensor *x);             /* no two elements share a place */
void eq_memory_order(const eq_tensor *x, int *dim); /* dims from the largest stride down */
/* "32 x 128" into a small ring of static buffers: usable a few times in one message. */
const char *eq_shape_str(int ndim, const int64_t *shape);
static inline const char *eq_shape_of(const eq_tensor *x) {
  return eq_shape_str(x->ndim, x->shape);
}
double eq_get(const eq_tensor *x, int64_t flat); /* element in row-major order, as a double */
int64_t eq_get_int(const eq_tensor *x, int64_t flat);
void eq_set(eq_tensor *x, int64_t flat, double value);
void eq_touch(eq_tensor *x); /* call after every in-place write */
/* EQ_ERR, with the message, when several elements of x share a place (expanded): before a write. */
int eq_check_places(const eq_tensor *x);

/* ---- random numbers (rng.c): Philox 4x32-10; a result depends on seed and counter only ---- */
typedef struct eq_rng {
  uint64_t seed, counter;
} eq_rng;
extern eq_rng eq_default_rng;
uint64_t eq_rng_take(eq_rng *r,
                     uint64_t blocks); /* first counter of `blocks` blocks of 4 x 32 bits */
void eq_philox(uint64_t seed, uint64_t counter, uint32_t out[4]);
/* random.c: fill x, of any strides, from a stream. f32 and f64; whole numbers from low to high:
 * i64. */
int eq_fill_uniform(eq_tensor *x, double low, double high, eq_rng *rng);
int eq_fill_normal(eq_tensor *x, double mean, double std, eq_rng *rng);
int eq_fill_bernoulli(eq_tensor *x, double p, eq_rng *rng);
int eq_fill_whole(eq_tensor *x, int64_t low, int64_t high, eq_rng *rng);
eq_tensor *eq_permutation(int64_t n, eq_rng *rng);
/* Ids [.., draws] drawn with probabilities proportional to weights [.., C]. */
eq_tensor *eq_multinomial(const eq_tensor *weights, int64_t draws, bool replace, eq_rng *rng);

/* ---- ops (registry.c reads signatures; apply.c runs) ----
 * A signature: "x:float, w:float?, xs:tensors, dim:dim=-1, keepdim:bool=false -> y, i; reserve".
 * Tensor kinds: tensor (any dtype) float number(f32 f64 i64 u8) index(i64) mask(bool u8)
 *   operand (tensor or Lua number); `?` may be nil; `tensors` `floats` take a list.
 * Other kinds: int num bool dim dims dim+ (0..ndim, for insertion) ints dtype str a|b|c (choices)
 * ints|a|b (a list or one of the words: then its length is -1 for a, -2 for b; one default number).
 * `=value` default; `=nil` may be absent (test with eq_given). Results after `;` are kept for the
 * backward pass and not returned to Lua. */
typedef enum {
  EQ_P_TENSOR,
  EQ_P_TENSORS,
  EQ_P_OPERAND,
  EQ_P_INT,
  EQ_P_NUM,
  EQ_P_BOOL,
  EQ_P_DIM,
  EQ_P_DIMS,
  EQ_P_INTS,
  EQ_P_DTYPE,
  EQ_P_STR,
  EQ_P_CHOICE
} eq_kind;
enum { EQ_ACC_FLOAT = 3, EQ_ACC_NUMBER = 15, EQ_ACC_INDEX = 4, EQ_ACC_MASK = 24, EQ_ACC_ANY = 31 };
enum { EQ_MAXPARAM = 24 };
typedef struct eq_param {
  const char *name;
  eq_kind kind;
  uint8_t accept; /* bit per dtype, for tensors */
  bool optional, insert, has_default;
  int slot;                   /* number among the tensor parameters, or among the other arguments */
  double def;                 /* default (dims and lists: absent) */
  const char *const *choices; /* EQ_P_CHOICE */
  int nchoices;
} eq_param;
typedef struct eq_sig {
  int nparam, ntensor, narg, nout, nvisible;
  eq_param param[EQ_MAXPARAM];
  const char *outs[EQ_MAXOUT];
} eq_sig;

/* One argument that is no tensor. Lists live in eq_call.list: i is the place of the length, the
 * values follow it. A string is valid during the call only (ops with `compose`). */
typedef union eq_arg {
  int64_t i;
  double f;
  const char *s;
} eq_arg;

typedef struct eq_call {
  const eq_op *op;
  int nin, nout, nlist;
  eq_tensor **in; /* tensor parameters in order, lists flattened; NULL where absent */
  eq_tensor *out[EQ_MAXOUT];
  int count[4];   /* how many tensors each `tensors` parameter took, in order */
  uint32_t given; /* bit per argument slot: it was given or has a default */
  uint64_t need;  /* backward: bit i is set when gx[i] is wanted (i < 64) */
  eq_arg arg[EQ_MAXARG];
  int64_t list[EQ_MAXLIST];
} eq_call;
static inline bool eq_given(const eq_call *c, int slot) { return (c->given >> slot) & 1; }
static inline const int64_t *eq_list(const eq_call *c, int slot, int *n) {
  *n = (int)c->list[c->arg[slot].i];
  return c->list + c->arg[slot].i + 1;
}
static inline bool eq_needed(const eq_call *c, int i) { return i >= 64 || ((c->need >> i) & 1); }

/* Element-wise inner loop: n elements; p and s: pointers and BYTE strides of the inputs, then the
 * outputs. An output may be one of the inputs. */
typedef void (*eq_kernel)(int64_t n, char *const *p, const int64_t *s, const eq_call *c);

enum {
  EQ_ELEMENTWISE = 1 << 0, /* broadcast inputs; `shape` may be NULL (out: dtype of input 0) */
  EQ_OUT_BOOL = 1 << 1,    /* element-wise, out is bool */
  EQ_ANY_STRIDE = 1 << 2,  /* the kernel walks any strides; else apply passes row-major copies */
  EQ_VIEW = 1 << 3,        /* shape makes an alias; nothing is computed */
  EQ_NO_GRAD = 1 << 4,  /* not differentiable by nature (comparisons, argmax): results need none */
  EQ_INPLACE = 1 << 5,  /* also callable as NAME_(x, ...), result written into x */
  EQ_HIDDEN = 1 << 6,   /* a rule's own op: no Lua function */
  EQ_FUNCTION = 1 << 7, /* equi.NAME only, no method */
  EQ_MIXED = 1 << 8,    /* float inputs may differ in dtype */
  EQ_SAVE_IN0 = 1 << 9,
  EQ_SAVE_IN1 = 1 << 10,
  EQ_SAVE_IN2 = 1 << 11,
  EQ_SAVE_INS = 1 << 12, /* every input */
  EQ_SAVE_OUT = 1 << 13, /* every output */
  EQ_METHOD_ONLY = 1 << 14,
  EQ_ONCE = 1 << 15 /* the rule is no chain of ops: second derivatives are refused */
};

struct eq_op {
  const char *name, *sig;
  const char *doc;     /* first line: what it does; then shapes, formula, errors */
  const char *example; /* runnable Lua, `--> text` is what it prints; `equi` and `x` are defined */
  int (*shape)(eq_call *c);   /* check; make the outputs (eq_out, or a view into c->out[0]) */
  int (*run)(eq_call *c);     /* fill the outputs; fails only for values (singular, index range) */
  int (*compose)(eq_call *c); /* instead of both: builds c->out from other ops */
  /* gx[i] for every eq_needed(c, i), as new references; gy[k] is never NULL. In a rule c->in[i] and
   * c->out[k] have data only if saved (flags); else they are shape-only. */
  int (*back)(eq_call *c, eq_tensor **gy, eq_tensor **gx);
  eq_kernel kernel[EQ_NDTYPE]; /* element-wise: by dtype of input 0 */
  uint32_t flags;
  const char *where; /* EQ_HERE */
};

/* The kernel pair f_f32, f_f64 for a row. */
#define FLOATS(f)                                                                                  \
  { [EQ_F32] = f##_f32, [EQ_F64] = f##_f64 }

const eq_op *eq_find(const char *name); /* NULL if there is none */
const eq_sig *eq_sig_of(const eq_op *op);
const eq_op *eq_op_at(int i); /* NULL past the last */
int eq_ops_init(void);        /* parse all signatures, once; EQ_ERR names the bad row */

int eq_apply(eq_call *c);         /* outputs in c->out, owned by the caller */
int eq_apply_inplace(eq_call *c); /* result goes into c->in[0]; c->out[0] is that, retained */
/* Shape functions: make output k. */
int eq_out(eq_call *c, int k, eq_dtype t, int ndim, const int64_t *shape);
int eq_out_channels_last(eq_call *c, int k, eq_dtype t, int ndim, const int64_t *shape);
int eq_out_like(eq_call *c, int k, eq_dtype t, const eq_tensor *x); /* x's shape and layout */
/* `shape`, with as many dims as x and in the order in memory that x has, if x is dense. */
int eq_out_in_order(eq_call *c, int k, eq_dtype t, const int64_t *shape, const eq_tensor *x);
int eq_broadcast(int n, eq_tensor *const *x, int *ndim, int64_t *shape); /* NULL entries skipped */
/* Run kernel over all elements of t[0..n-1], every one broadcast to the shape of t[n-1]. */
int eq_elementwise(eq_kernel k, int n, eq_tensor *const *t, const eq_call *c);
/* ---- ops along dims (rows.c) ---- */
/* What a row kernel sees: inputs 0 and 1, results 0 and 1, all row-major; rows of n numbers, or one
 * number per row in results that are not full. */
typedef struct eq_rows {
  const char *a, *b;
  char *y, *z;
  int64_t n;
  const eq_call *call;
} eq_rows;
typedef void (*eq_row_fn)(const eq_rows *r, int64_t begin, int64_t end);
/* Runs the kernel over all rows along the dims of the mask. full: results have x's shape. */
int eq_over_rows(eq_call *c, unsigned mask, bool full, eq_row_fn run);
/* The dims in the list argument `slot` as a bit mask; all when it is absent or empty. */
int eq_dim_mask(const eq_call *c, int slot, unsigned *mask);
/* x's shape without the dims of the mask, or with size 1 there; returns how many dims. */
int eq_reduced_shape(const eq_tensor *x, unsigned mask, bool keep, int64_t *shape);
int64_t eq_row_length(const eq_tensor *x, unsigned mask);

/* ---- calling ops from C ---- */
/* An op from C, first result: eq_f("sum", "tlb", x, 1, dims, true). One letter an argument, in
 * signature order: t tensor, T tensor that is released afterwards (so calls nest), d tensor that
 * nobody needs afterwards (an element-wise result may take its memory), n tensor
 * operand or num argument from a double, i int64_t or int-like (pass int64_t), b bool (int),
 * l list (int n, const int64_t *v), 0 absent. Trailing arguments may be left out. A NULL T gives
 * NULL: failures pass through nested calls. */
eq_tensor *eq_f(const char *op, const char *letters, ...);
/* The same with all results; res[k] for every visible result. */
int eq_fn(const char *op, eq_tensor **res, const char *letters, ...);

/* ---- backend (backend.c): replace an op's run at load time ----
 * A backend's run may return EQ_PASS before it writes anything: the portable kernel runs instead.
 * The version grows with every change to the structs that such a run reads. */
enum { EQ_BACKEND_VERSION = 1, EQ_MAXENTRY = 64 };
typedef struct eq_backend {
  int version;
  const char *name;
  int64_t (*calls)(void); /* how often its kernels ran; may be NULL */
  struct {
    const char *op;
    int (*run)(eq_call *c);
  } entry[EQ_MAXENTRY];
} eq_backend;
const eq_backend *eq_backend_at(int i); /* NULL past the last */
int eq_backend_register(const eq_backend *b);
int (*eq_run_of(const eq_op *op))(eq_call *c);
void eq_backend_reset(void);

/* ---- autograd (node.c records, grad.c goes back) ---- */
typedef struct eq_hook {
  struct eq_hook *next;
  int out;   /* result of the node whose gradient it sees */
  bool gone; /* removed while hooks ran: freed with the node */
  /* Replaces *g (new reference) or leaves it. NULL: only owns something for the node. */
  int (*call)(struct eq_hook *h, eq_tensor **g);
  void (*release)(struct eq_hook *h);
  void *owner;
  int64_t id;
} eq_hook;

struct eq_node {
  int refs, nin, nout, ntensor;
  uint64_t seq; /* grows: a node is older than all its users */
  const eq_op *op;
  eq_tensor **slot;  /* nin inputs: saved, or shape-only with their graph link */
  uint32_t *version; /* of saved storages: nin inputs, nout outputs */
  eq_tensor *gy[EQ_MAXOUT];
  eq_tensor *leaf; /* accumulator nodes: the leaf, not owned */
  eq_hook *hooks;
  char *where; /* Lua position of the call, in debug mode or when the rule is missing */
  bool released, queued;
  struct eq_node *next; /* list of nodes waiting to be freed */
  eq_call call;         /* last: only the used part of call.list exists */
};
extern bool eq_grad_enabled;
extern bool eq_debug;                      /* NaN watch, positions recorded */
extern const char *(*eq_position)(void);   /* set by the binding: "file.lua:12" or "" */
int eq_record(eq_call *c, eq_tensor **in); /* apply only: link the outputs */
int eq_check_nan(const eq_call *c);        /* debug mode */
extern bool eq_in_rule;                    /* backward watches the rule as a whole */
int eq_require_grad(eq_tensor *x, bool on);
bool eq_is_leaf(const eq_tensor *x);
/* Adds h, owned from now on by the node of x, which runs its hooks in the order they came. */
int eq_hook_add(eq_tensor *x, eq_hook *h);
void eq_hook_remove(eq_node *n, eq_hook *h); /* also from inside a hook; h is released */
eq_node *eq_node_retain(eq_node *n);
void eq_node_release(eq_node *n);
void eq_node_drop(eq_node *n); /* the saved tensors */
extern const eq_op eq_leaf_op; /* op of accumulator nodes */
bool eq_saves_input(const eq_op *op, int i);
uint32_t eq_version_of(const eq_tensor *x);
bool eq_any_nan(int n, eq_tensor *const *x);    /* NULL entries skipped */
static inline size_t eq_call_bytes(int nlist) { /* a node's call exists up to its last list entry */
  return offsetof(eq_call, list) + (size_t)nlist * sizeof(int64_t);
}
enum { EQ_RETAIN = 1, EQ_CREATE_GRAPH = 2 };
/* Sends gy (NULL: ones) back from y. With nwrt > 0 the gradients of wrt go to gwrt (NULL where y
 * does not depend on it) and no leaf is touched. */
int eq_backward(int n, eq_tensor **y, eq_tensor **gy, int nwrt, eq_tensor **wrt, eq_tensor **gwrt,
                int flags);
/* A shape-only or data-sharing stand-in: data of `data`, graph link of `link`. For rules that
 * differentiate with respect to an input they did not save. */
eq_tensor *eq_linked(const eq_tensor *data, const eq_tensor *link);
eq_tensor *eq_sum_to(eq_tensor *g, int ndim, const int64_t *shape); /* undo broadcasting */

/* ---- matrix products (product.c) ----
 * y = x w + bias; x [batch.., m, k] or [k], w [batch.., k, n] or [k] (with w_transposed: [n, k]),
 * y row-major [batch.., m, n]. Shapes are the caller's to check. Any strides. */
int eq_product(eq_tensor *x, eq_tensor *w, bool w_transposed, const eq_tensor *bias, int nbatch,
               const int64_t *batch, eq_tensor *y);

/* ---- BLAS and LAPACK (blas.c): row-major, leading dimensions in elements ---- */
int eq_gemm(eq_dtype t, bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha,
            const void *a, int64_t lda, const void *b, int64_t ldb, double beta, void *c,
            int64_t ldc);
/* LAPACK on column-major n x n (or m x n) matrices. Return its info: 0, or > 0 when the matrix does
 * not allow it (which: LAPACK's manual), or EQ_LAPACK_NOMEM with eq_error set. */
enum { EQ_LAPACK_NOMEM = -1000 };
int eq_lapack_lu(eq_dtype t, int n, void *a, int *pivot);
int eq_lapack_lu_solve(eq_dtype t, int n, int k, const void *lu, const int *pivot,
                       void *b);                         /* a' x = b */
int eq_lapack_cholesky(eq_dtype t, int n, void *a);      /* upper triangle */
int eq_lapack_eigh(eq_dtype t, int n, void *a, void *w); /* a: upper triangle, then the vectors */
int eq_lapack_svd(eq_dtype t, int m, int n, void *a, void *u, void *s, void *vt);
int eq_lapack_qr(eq_dtype t, int m, int n, void *a, void *r); /* a: then Q of m x min */
const char *eq_blas_name(void);
const char *eq_blas_warning(void); /* NULL, or why this build may be slow with our threads */
bool eq_blas_concurrent(void);     /* may pieces call eq_gemm? Ask before they start. */

#endif
