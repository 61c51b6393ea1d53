/* apply.c -- runs an op: check, allocate, choose kernel, compute, record.
 *
 * The one function through which everything that computes passes. Broadcasting, copies of inputs
 * whose strides a kernel does not walk and the NaN watch are here and in no op. Recording for
 * autograd is in node.c, the loop over elements in elementwise.c. */
#include "equi.h"
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

int eq_out(eq_call *c, int k, eq_dtype t, int ndim, const int64_t *shape) {
  c->out[k] = eq_empty(t, ndim, shape);
  if (k >= c->nout) c->nout = k + 1;
  return c->out[k] ? EQ_OK : eq_error.status;
}

int eq_broadcast(int n, eq_tensor *const *x, int *ndim, int64_t *shape) {
  int nd = 0;
  for (int i = 0; i < n; i++)
    if (x[i] && x[i]->ndim > nd) nd = x[i]->ndim;
  for (int d = 0; d < nd; d++) shape[d] = 1;
  for (int i = 0; i < n; i++) {
    if (!x[i]) continue;
    for (int d = 0; d < x[i]->ndim; d++) {
      int64_t *have = &shape[nd - x[i]->ndim + d], size = x[i]->shape[d];
      if (size == *have || size == 1) continue;
      if (*have != 1) {
        for (int j = 0; j < i; j++)
          if (x[j])
            return eq_fail("shapes do not fit: %s and %s; sizes must be equal or 1, counted "
                           "from the last dimension",
                           eq_shape_of(x[j]), eq_shape_of(x[i]));
      }
      *have = size;
    }
  }
  *ndim = nd;
  return EQ_OK;
}

/* The dtype that holds more of the other's values. */
static eq_dtype wider(eq_dtype a, eq_dtype b) {
  static const int rank[EQ_NDTYPE] = {
      [EQ_BOOL] = 0, [EQ_U8] = 1, [EQ_I64] = 2, [EQ_F32] = 3, [EQ_F64] = 4};
  return rank[a] >= rank[b] ? a : b;
}

/* ---- checks ---- */
static int check_dtypes(const eq_call *c) {
  if (c->nin == 1 || (c->nin == 2 && c->in[0] && c->in[1] && c->in[0]->dtype == c->in[1]->dtype))
    return EQ_OK;
  const eq_sig *g = eq_sig_of(c->op);
  const eq_tensor *first = NULL;
  int i = 0, list = 0;
  if (c->op->flags & EQ_MIXED) return EQ_OK;
  for (int p = 0; p < g->nparam; p++) {
    if (g->param[p].kind > EQ_P_OPERAND) continue;
    int n = g->param[p].kind == EQ_P_TENSORS ? c->count[list++] : 1;
    bool value = (g->param[p].accept & EQ_ACC_FLOAT) != 0;
    for (; n > 0 && i < c->nin; n--, i++) {
      if (!value || !c->in[i]) continue;
      if (!first)
        first = c->in[i];
      else if (first->dtype != c->in[i]->dtype)
        return eq_fail("tensors of dtype %s and %s do not mix; convert one: x:to \"%s\"",
                       eq_dtype_name(first->dtype), eq_dtype_name(c->in[i]->dtype),
                       eq_dtype_name(wider(first->dtype, c->in[i]->dtype)));
    }
  }
  return EQ_OK;
}

/* ---- element-wise ops ---- */
/* An input that the caller does not need again (eq_f's letter d): the result of the call in hand
 * may take its memory. A gradient of a large activation then costs no pages of its own. */
static eq_tensor *spare;

/* Not while recording, where inputs are saved, nor under the NaN watch, which compares both. */
static bool take_place(eq_call *c, eq_dtype t, int ndim, const int64_t *shape) {
  eq_tensor *x = spare;
  spare = NULL;
  if (!x || eq_grad_enabled || eq_debug || x->refs != 1 || x->storage->refs != 1) return false;
  if (x->dtype != t || x->ndim != ndim || memcmp(shape, x->shape, (size_t)ndim * sizeof *shape) ||
      !eq_has_places(x))
    return false;
  c->out[0] = eq_retain(x);
  c->nout = 1;
  return true;
}

static int elementwise_shape(eq_call *c) {
  int ndim;
  int64_t shape[EQ_MAXDIM];
  if (eq_broadcast(c->nin, c->in, &ndim, shape)) return EQ_ERR;
  eq_dtype t = c->op->flags & EQ_OUT_BOOL ? EQ_BOOL : c->in[0]->dtype;
  if (spare && take_place(c, t, ndim, shape)) return EQ_OK;
  for (int i = 0; i < c->nin && ndim > 1;
       i++) { /* the first input of that shape gives the layout */
    const eq_tensor *x = c->in[i];
    if (x && x->ndim == ndim && !memcmp(shape, x->shape, (size_t)ndim * sizeof *shape))
      return eq_out_like(c, 0, t, x);
  }
  return eq_out(c, 0, t, ndim, shape);
}

static int elementwise_run(eq_call *c) {
  eq_kernel k = c->op->kernel[c->in[0]->dtype];
  eq_tensor *t[EQ_MAXOPERAND + 1];
  if (!k)
    return eq_fail("does not work on %s tensors; convert first: x:to \"f32\"",
                   eq_dtype_name(c->in[0]->dtype));
  for (int i = 0; i < c->nin; i++) t[i] = c->in[i];
  t[c->nin] = c->out[0];
  return c->out[0]->numel ? eq_elementwise(k, c->nin + 1, t, c) : EQ_OK;
}

/* ---- the general path ---- */
static void drop_outputs(eq_call *c) {
  for (int k = 0; k < c->nout; k++) {
    eq_release(c->out[k]);
    c->out[k] = NULL;
  }
  c->nout = 0;
}

static bool walks_any_stride(const eq_op *op) {
  return op->flags & (EQ_ELEMENTWISE | EQ_ANY_STRIDE | EQ_VIEW);
}

/* Replace inputs by row-major copies where the kernel needs that. in[] keeps the originals. */
static int make_contiguous(eq_call *c, eq_tensor **copy) {
  for (int i = 0; i < c->nin; i++) {
    copy[i] = c->in[i] ? eq_contiguous(c->in[i]) : NULL;
    if (c->in[i] && !copy[i]) {
      while (i--) eq_release(copy[i]);
      return eq_error.status;
    }
  }
  return EQ_OK;
}

static int compute(eq_call *c) {
  const eq_op *op = c->op;
  int bad = op->shape ? op->shape(c) : elementwise_shape(c);
  if (bad || op->flags & EQ_VIEW) return bad;
  int (*run)(eq_call *) = eq_run_of(op);
  if (run != op->run && (bad = run(c)) != EQ_PASS) return bad; /* a backend's */
  return op->run ? op->run(c) : elementwise_run(c);
}

/* compute() on row-major stand-ins of the inputs; c->in is what it was afterwards. */
static int compute_copied(eq_call *c) {
  enum { FEW = 16 };
  eq_tensor *few[FEW], **copy = few, **in = c->in;
  size_t bytes = (size_t)c->nin * sizeof *copy;
  if (c->nin > FEW && !(copy = eq_alloc(bytes))) return eq_error.status;
  int bad = make_contiguous(c, copy);
  if (!bad) {
    c->in = copy;
    bad = compute(c);
    c->in = in;
    for (int i = 0; i < c->nin; i++) eq_release(copy[i]);
  }
  if (copy != few) eq_free(copy, bytes);
  return bad;
}

static bool all_contiguous(const eq_call *c) {
  for (int i = 0; i < c->nin; i++)
    if (c->in[i] && !eq_is_contiguous(c->in[i])) return false;
  return true;
}

/* A missing result or part is a failure, even if the op did not look at what its parts returned. */
static int composed(eq_call *c) {
  eq_status outer = eq_error.missed;
  eq_error.missed = EQ_OK;
  int bad = c->op->compose(c);
  for (int k = 0; k < c->nout && !bad; k++)
    if (!c->out[k]) bad = eq_error.status ? (int)eq_error.status : EQ_ERR;
  if (eq_error.missed) bad = (int)(eq_error.status = eq_error.missed);
  eq_error.missed = outer;
  return bad;
}

int eq_apply(eq_call *c) {
  c->nout = 0;
  for (int k = 0; k < EQ_MAXOUT; k++) c->out[k] = NULL;
  eq_error.status = EQ_OK;
  int bad = check_dtypes(c);
  if (!bad) {
    if (c->op->compose)
      bad = composed(c);
    else if (walks_any_stride(c->op) || all_contiguous(c))
      bad = compute(c);
    else
      bad = compute_copied(c);
  }
  if (!bad && !c->op->compose) bad = eq_record(c, c->in);
  if (!bad && eq_debug && !eq_in_rule) bad = eq_check_nan(c);
  if (bad) drop_outputs(c);
  return bad;
}

/* ---- in place ---- */
static bool overlaps(const eq_tensor *x, const eq_tensor *y) {
  if (!x || x == y || x->storage != y->storage) return false;
  return x->data != y->data || !eq_same_shape(x, y) ||
         memcmp(x->stride, y->stride, (size_t)x->ndim * sizeof *x->stride);
}

static int inplace_elementwise(eq_call *c) {
  eq_tensor *x = c->in[0], *t[EQ_MAXOPERAND + 1];
  eq_kernel k = c->op->kernel[x->dtype];
  int ndim;
  int64_t shape[EQ_MAXDIM];
  if (eq_check_places(x) || check_dtypes(c) || eq_broadcast(c->nin, c->in, &ndim, shape))
    return EQ_ERR;
  if (ndim != x->ndim || memcmp(shape, x->shape, (size_t)ndim * sizeof *shape))
    return eq_fail("the result is %s and does not fit into x, which is %s",
                   eq_shape_str(ndim, shape), eq_shape_of(x));
  if (!k) return eq_fail("does not work on %s tensors", eq_dtype_name(x->dtype));
  int bad = EQ_OK;
  for (int i = 0; i < c->nin; i++) { /* an input that shares memory but not places is copied */
    t[i] = overlaps(c->in[i], x) ? eq_clone(c->in[i]) : eq_retain(c->in[i]);
    if (!t[i]) bad = eq_error.status;
  }
  t[c->nin] = x;
  if (!bad) bad = eq_elementwise(k, c->nin + 1, t, c);
  for (int i = 0; i < c->nin; i++) eq_release(t[i]);
  return bad;
}

int eq_apply_inplace(eq_call *c) {
  eq_tensor *x = c->in[0];
  bool recorded = false;
  c->nout = 0;
  eq_error.status = EQ_OK;
  for (int i = 0; i < c->nin; i++) recorded |= c->in[i] && c->in[i]->node;
  if (recorded && eq_grad_enabled)
    return eq_fail(
        "in-place changes are not recorded for gradients; use %s without the underscore, "
        "or equi.no_grad",
        c->op->name);
  int bad;
  bool watch = eq_debug && !eq_any_nan(c->nin, c->in);
  if (c->op->flags & EQ_ELEMENTWISE && !c->op->compose && !(c->op->flags & EQ_OUT_BOOL)) {
    bad = inplace_elementwise(c);
  } else {
    bad = eq_apply(c);
    if (!bad) bad = eq_copy(x, c->out[0]);
    drop_outputs(c);
  }
  if (bad) return bad;
  eq_touch(x);
  if (watch && eq_any_nan(1, &x))
    return eq_fail("first NaN appeared in the result of %s_", c->op->name);
  c->out[0] = eq_retain(x);
  c->nout = 1;
  return EQ_OK;
}

/* ---- calling ops from C ---- */
static int64_t push_list(eq_call *c, int n, const int64_t *v) {
  int at = c->nlist;
  if (at + n + 1 > EQ_MAXLIST) return -1;
  c->list[at] = n;
  if (n) memcpy(c->list + at + 1, v, (size_t)n * sizeof *v);
  c->nlist += n + 1;
  return at;
}

static void set_default(eq_call *c, const eq_param *p) {
  if (!p->has_default) return;
  c->given |= 1u << p->slot;
  if (p->kind == EQ_P_NUM)
    c->arg[p->slot].f = p->def;
  else if (p->kind == EQ_P_INTS)
    c->arg[p->slot].i = push_list(c, 1, &(int64_t){(int64_t)p->def});
  else
    c->arg[p->slot].i = (int64_t)p->def;
  if (p->kind == EQ_P_DIM && p->def < 0 && c->nin && c->in[0])
    c->arg[p->slot].i += c->in[0]->ndim + p->insert;
}

static bool is_tensor_param(const eq_param *p) { return p->kind <= EQ_P_OPERAND; }

enum { C_MAXIN = 16 };
typedef struct builder {
  eq_call call;
  eq_tensor *in[C_MAXIN];
  bool owned[C_MAXIN];
} builder;

/* Reads the C arguments of one parameter into the call. */
static int take(builder *b, const eq_param *p, char letter, va_list *ap) {
  eq_call *c = &b->call;
  if (is_tensor_param(p)) {
    eq_tensor *x = NULL;
    bool owned = false;
    if (letter == 'n') {
      double v = va_arg(*ap, double);
      eq_dtype t = c->nin && c->in[0] ? c->in[0]->dtype : EQ_F32;
      if (!(x = eq_scalar(t, v))) return eq_error.status;
      owned = true;
    } else if (letter != '0') {
      x = va_arg(*ap, eq_tensor *);
      owned = letter == 'T';
      if (letter == 'd') spare = x;
      if (owned && !x) return eq_error.status ? (int)eq_error.status : EQ_ERR;
    }
    if (c->nin == C_MAXIN) {
      if (owned) eq_release(x);
      return eq_fail("more than %d tensors", C_MAXIN);
    }
    b->owned[c->nin] = owned;
    c->in[c->nin++] = x;
    return EQ_OK;
  }
  c->given |= 1u << p->slot;
  switch (letter) {
  case 'i': c->arg[p->slot].i = va_arg(*ap, int64_t); break;
  case 'b': c->arg[p->slot].i = va_arg(*ap, int); break;
  case 'n': c->arg[p->slot].f = va_arg(*ap, double); break;
  case 'l': {
    int n = va_arg(*ap, int);
    c->arg[p->slot].i = push_list(c, n, va_arg(*ap, const int64_t *));
    break;
  }
  default: c->given &= ~(1u << p->slot); set_default(c, p);
  }
  return EQ_OK;
}

/* What failed first is told; what follows is read all the same, since it may be ours to release. */
static int first(int bad, int next) { return bad ? bad : next; }

static int call_from_c(builder *b, const char *name, const char *letters, va_list *ap) {
  eq_call *c = &b->call;
  c->op = eq_find(name);
  c->nin = c->nlist = 0;
  c->given = 0;
  c->in = b->in;
  if (!c->op) return eq_fail("there is no op '%s'", name);
  const eq_sig *g = eq_sig_of(c->op);
  int bad = EQ_OK, nlists = 0;
  const char *l = letters;
  for (int p = 0; p < g->nparam; p++) {
    if (g->param[p].kind == EQ_P_TENSORS) { /* all tensor letters that follow */
      int n = 0;
      for (; *l == 't' || *l == 'T'; l++, n++) bad = first(bad, take(b, &g->param[p], *l, ap));
      c->count[nlists++] = n;
    } else {
      bad = first(bad, take(b, &g->param[p], *l ? *l : '0', ap));
      if (*l) l++;
    }
  }
  if (!bad) bad = eq_apply(c);
  spare = NULL;
  for (int i = 0; i < c->nin; i++)
    if (b->owned[i]) eq_release(c->in[i]);
  /* a NULL that came in is the failure of an earlier part, which is the one to tell */
  if (bad && (eq_error.status || !eq_error.missed))
    eq_error.missed = eq_error.status ? eq_error.status : EQ_ERR;
  return bad;
}

eq_tensor *eq_f(const char *op, const char *letters, ...) {
  builder b;
  va_list ap;
  va_start(ap, letters);
  int bad = call_from_c(&b, op, letters, &ap);
  va_end(ap);
  if (bad) return NULL;
  for (int k = 1; k < b.call.nout; k++) eq_release(b.call.out[k]);
  return b.call.out[0];
}

int eq_fn(const char *op, eq_tensor **res, const char *letters, ...) {
  builder b;
  va_list ap;
  va_start(ap, letters);
  int bad = call_from_c(&b, op, letters, &ap);
  va_end(ap);
  if (bad) return bad;
  int visible = eq_sig_of(b.call.op)->nvisible;
  for (int k = 0; k < b.call.nout; k++) {
    if (k < visible)
      res[k] = b.call.out[k];
    else
      eq_release(b.call.out[k]);
  }
  return EQ_OK;
}
