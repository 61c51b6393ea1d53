/* grad.c -- reverse-mode automatic differentiation over a dynamic graph.
 *
 * A result that depends on a tensor which requires a gradient owns a node; the node owns the op, the
 * inputs (with data only if the op's rule reads them) and, if the rule reads it, a DETACHED alias of
 * the result: tensor and node would own each other otherwise. Nodes are numbered as they are made,
 * so a node is always older than its users; backward takes pending nodes from the highest number
 * down with a heap. No recursion anywhere: graphs of a million nodes work. A leaf's node is an
 * accumulator, older than every use of the leaf. */
#include "equi.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

bool eq_grad_enabled = true;
bool eq_debug;
const char *(*eq_position)(void);

static uint64_t sequence;
static const eq_op accumulator = {.name = "leaf", .sig = "-> x"};

/* ---- nodes ---- */
/* The node, then its slots, then their versions, in one block. Of the call only the part up to the
 * last used list entry exists: with small tensors the nodes are most of the memory traffic. */
static size_t call_bytes(int nlist) {
  return offsetof(eq_call, list) + (size_t)nlist * sizeof(int64_t);
}

static size_t slots_at(int nlist) { return offsetof(eq_node, call) + call_bytes(nlist); }

static size_t node_bytes(int n, int nlist) {
  return slots_at(nlist) + (size_t)n * (sizeof(eq_tensor *) + sizeof(uint32_t));
}

static eq_node *new_node(const eq_op *op, int nin, int nout, const eq_call *c) {
  int nlist = c ? c->nlist : 0;
  size_t bytes = node_bytes(nin + nout, nlist);
  eq_node *n = eq_alloc(bytes);
  if (!n) return NULL;
  n->refs = 1;
  n->nin = nin;
  n->nout = nout;
  n->ntensor = nin + nout;
  n->seq = ++sequence;
  n->op = op;
  n->slot = (eq_tensor **)(void *)((char *)n + slots_at(nlist));
  n->version = (uint32_t *)(void *)(n->slot + n->ntensor);
  memset(n->slot, 0, bytes - slots_at(nlist));
  if (c) memcpy(&n->call, c, call_bytes(nlist));
  n->call.nlist = nlist;
  memset(n->gy, 0, sizeof n->gy);
  n->leaf = NULL;
  n->hooks = NULL;
  n->where = NULL;
  n->released = n->queued = false;
  n->next = NULL;
  return n;
}

eq_node *eq_node_retain(eq_node *n) {
  if (n) n->refs++;
  return n;
}

static void drop_saved(eq_node *n) {
  for (int i = 0; i < n->ntensor; i++) {
    eq_tensor *x = n->slot[i];
    n->slot[i] = NULL;
    eq_release(x);
  }
}

static void free_node(eq_node *n) {
  drop_saved(n);
  for (int k = 0; k < EQ_MAXOUT; k++) eq_release(n->gy[k]);
  while (n->hooks) {
    eq_hook *h = n->hooks;
    n->hooks = h->next;
    h->release(h);
  }
  if (n->where) eq_free(n->where, strlen(n->where) + 1);
  eq_free(n, node_bytes(n->ntensor, n->call.nlist));
}

/* Freeing a node releases its inputs, which may free their nodes, and so on down the graph: the
 * waiting list turns that recursion into a loop. */
void eq_node_release(eq_node *n) {
  static eq_node *waiting;
  static bool busy;
  if (!n || --n->refs) return;
  n->next = waiting;
  waiting = n;
  if (busy) return;
  busy = true;
  while (waiting) {
    eq_node *next = waiting;
    waiting = next->next;
    free_node(next);
  }
  busy = false;
}

bool eq_is_leaf(const eq_tensor *x) { return !x->node || x->node->op == &accumulator; }

int eq_require_grad(eq_tensor *x, bool on) {
  if (!eq_is_leaf(x))
    return on ? EQ_OK : eq_fail("only leaves can stop requiring a gradient; use x:detach()");
  if (!on) {
    if (x->node) x->node->leaf = NULL;
    eq_node_release(x->node);
    x->node = NULL;
    return EQ_OK;
  }
  if (x->node) return EQ_OK;
  if (!eq_is_float(x->dtype))
    return eq_fail("only f32 and f64 tensors have gradients, this one is %s",
                   eq_dtype_name(x->dtype));
  eq_node *n = new_node(&accumulator, 0, 1, NULL);
  if (!n) return EQ_NOMEM;
  n->leaf = x;
  x->node = n;
  x->out = 0;
  return EQ_OK;
}

/* ---- recording ---- */
static bool saves_input(const eq_op *op, int i) {
  return op->flags & EQ_SAVE_INS || (i < 3 && op->flags & ((uint32_t)EQ_SAVE_IN0 << i));
}

/* A stand-in without data: shape and graph link. */
static eq_tensor *shape_only(const eq_tensor *x) {
  eq_tensor *m = eq_meta(x->dtype, x->ndim, x->shape);
  if (!m) return NULL;
  m->node = eq_node_retain(x->node);
  m->out = x->out;
  return m;
}

eq_tensor *eq_linked(const eq_tensor *data, const eq_tensor *link) {
  eq_tensor *a = eq_alias(data);
  if (!a) return NULL;
  a->node = eq_node_retain(link->node);
  a->out = link->out;
  return a;
}

static char *position(void) {
  const char *p = eq_position ? eq_position() : "";
  size_t n = strlen(p) + 1;
  char *copy = n > 1 ? eq_alloc(n) : NULL;
  if (copy) memcpy(copy, p, n);
  return copy;
}

static uint32_t version_of(const eq_tensor *x) { return x && x->storage ? x->storage->version : 0; }

static int save_inputs(eq_node *n, const eq_op *op, eq_tensor **in) {
  for (int i = 0; i < n->nin; i++) {
    if (!in[i]) continue;
    bool whole = saves_input(op, i) || (in[i]->node && in[i]->node->op == &accumulator);
    n->slot[i] = whole ? eq_retain(in[i]) : shape_only(in[i]);
    if (!n->slot[i]) return EQ_NOMEM;
    n->version[i] = version_of(n->slot[i]);
  }
  return EQ_OK;
}

static int save_outputs(eq_node *n, const eq_call *c) {
  for (int k = 0; k < n->nout; k++) {
    const eq_tensor *y = c->out[k];
    if (c->nout == 1 && !(c->op->flags & EQ_SAVE_OUT)) return EQ_OK; /* gy tells its shape */
    eq_tensor *s = c->op->flags & EQ_SAVE_OUT ? eq_alias(y) : eq_meta(y->dtype, y->ndim, y->shape);
    if (!s) return EQ_NOMEM;
    n->slot[n->nin + k] = s;
    n->version[n->nin + k] = version_of(s);
  }
  return EQ_OK;
}

int eq_record(eq_call *c, eq_tensor **in) {
  bool wanted = false;
  if (!eq_grad_enabled || c->op->flags & EQ_NO_GRAD) return EQ_OK;
  for (int i = 0; i < c->nin; i++) wanted |= in[i] && in[i]->node;
  if (!wanted) return EQ_OK;
  eq_node *n = new_node(c->op, c->nin, c->nout, c);
  if (!n) return EQ_NOMEM;
  n->call.in = n->slot;
  for (int k = 0; k < EQ_MAXOUT; k++) n->call.out[k] = NULL;
  if (eq_debug || !c->op->back) n->where = position();
  if (save_inputs(n, c->op, in) || save_outputs(n, c)) {
    eq_node_release(n);
    return EQ_NOMEM;
  }
  for (int k = 0; k < c->nout; k++) {
    if (!eq_is_float(c->out[k]->dtype)) continue;
    c->out[k]->node = eq_node_retain(n);
    c->out[k]->out = k;
  }
  eq_node_release(n);
  return EQ_OK;
}

/* ---- NaN watch ---- */
static bool has_nan(const eq_tensor *x) {
  if (!eq_is_float(x->dtype) || !x->data) return false;
  for (int64_t i = 0; i < x->numel; i++) {
    double v = eq_get(x, i);
    if (v != v) return true;
  }
  return false;
}

int eq_check_nan(const eq_call *c) {
  for (int i = 0; i < c->nin; i++)
    if (c->in[i] && has_nan(c->in[i])) return EQ_OK; /* it came from outside, not from this op */
  for (int k = 0; k < c->nout; k++)
    if (c->out[k] && has_nan(c->out[k]))
      return eq_fail("first NaN appeared in the result of %s", c->op->name);
  return EQ_OK;
}

/* ---- the heap of pending nodes, highest number first ---- */
typedef struct heap {
  eq_node **node;
  int n, room;
} heap;

static int push(heap *h, eq_node *x) {
  if (x->queued) return EQ_OK;
  if (h->n == h->room) {
    int room = h->room ? 2 * h->room : 256;
    eq_node **more = eq_alloc((size_t)room * sizeof *more);
    if (!more) return EQ_NOMEM;
    if (h->n) memcpy(more, h->node, (size_t)h->n * sizeof *more);
    eq_free(h->node, (size_t)h->room * sizeof *more);
    h->node = more;
    h->room = room;
  }
  int i = h->n++;
  for (; i && h->node[(i - 1) / 2]->seq < x->seq; i = (i - 1) / 2) h->node[i] = h->node[(i - 1) / 2];
  h->node[i] = eq_node_retain(x);
  x->queued = true;
  return EQ_OK;
}

static eq_node *pop(heap *h) {
  eq_node *top = h->node[0], *last = h->node[--h->n];
  int i = 0;
  for (int k; (k = 2 * i + 1) < h->n; i = k) {
    if (k + 1 < h->n && h->node[k + 1]->seq > h->node[k]->seq) k++;
    if (h->node[k]->seq <= last->seq) break;
    h->node[i] = h->node[k];
  }
  h->node[i] = last;
  top->queued = false;
  return top;
}

/* ---- one step of the backward pass ---- */
/* sum += g, taking over the reference to g. In place when nobody else sees sum. */
static int add_to(eq_tensor **sum, eq_tensor *g, bool record) {
  if (!*sum) {
    *sum = g;
    return EQ_OK;
  }
  eq_tensor *s = *sum, *r;
  if (!record && s->refs == 1 && s->storage->refs == 1 && eq_is_contiguous(s)) {
    eq_tensor *t[3] = {s, g, s};
    const eq_op *op = eq_find("add");
    int bad = eq_elementwise(op->kernel[s->dtype], 3, t, NULL);
    eq_release(g);
    return bad;
  }
  r = eq_f("add", "tT", s, g);
  if (!r) return eq_error.status;
  eq_release(s);
  *sum = r;
  return EQ_OK;
}

eq_tensor *eq_sum_to(eq_tensor *g, int ndim, const int64_t *shape) {
  int64_t dims[EQ_MAXDIM];
  int n = 0, lead = g->ndim - ndim;
  for (int d = 0; d < g->ndim; d++)
    if (d < lead || (shape[d - lead] == 1 && g->shape[d] != 1)) dims[n++] = d;
  eq_tensor *s = n ? eq_f("sum", "tlb", g, n, dims, 1) : eq_retain(g);
  return s && lead ? eq_f("reshape", "Tl", s, ndim, shape) : s;
}

static int check_versions(const eq_node *n) {
  for (int i = 0; i < n->ntensor; i++) {
    bool read = i >= n->nin || saves_input(n->op, i); /* a leaf may be held for its link only */
    if (read && n->slot[i] && version_of(n->slot[i]) != n->version[i])
      return eq_fail("a tensor that %s%s%s needs for its gradient was changed in place after it was "
                     "used; change a copy: x:clone()", n->op->name, n->where ? ", called at " : "",
                     n->where ? n->where : "");
  }
  return EQ_OK;
}

/* The call as the rule sees it. With create_graph a saved result is linked to its node again. */
static int rebuild_call(eq_node *n, eq_call *c, bool graph) {
  memcpy(c, &n->call, call_bytes(n->call.nlist));
  c->in = n->slot;
  c->need = 0;
  for (int i = 0; i < n->nin && i < 64; i++)
    if (n->slot[i] && n->slot[i]->node) c->need |= (uint64_t)1 << i;
  for (int k = 0; k < n->nout; k++) {
    eq_tensor *y = n->slot[n->nin + k];
    if (!y) {
      c->out[k] = eq_meta(n->gy[k]->dtype, n->gy[k]->ndim, n->gy[k]->shape);
      if (!c->out[k]) return EQ_NOMEM;
      continue;
    }
    c->out[k] = graph ? eq_alias(y) : eq_retain(y);
    if (!c->out[k]) return EQ_NOMEM;
    if (graph && eq_is_float(y->dtype)) {
      c->out[k]->node = eq_node_retain(n);
      c->out[k]->out = k;
    }
  }
  return EQ_OK;
}

static int run_hooks(eq_node *n) {
  for (eq_hook *h = n->hooks; h; h = h->next)
    if (n->gy[h->out]) {
      int bad = h->call(h, &n->gy[h->out]);
      if (bad) return bad;
    }
  return EQ_OK;
}

static int fill_missing(eq_node *n) {
  for (int k = 0; k < n->nout; k++) {
    const eq_tensor *y = n->slot[n->nin + k];
    if (y && !n->gy[k] && !(n->gy[k] = eq_zeros(eq_is_float(y->dtype) ? y->dtype : EQ_F32, y->ndim, y->shape)))
      return EQ_NOMEM;
  }
  return EQ_OK;
}

/* Hands gx[i] to the node that made input i. Takes over the reference. */
static int deliver(heap *h, eq_node *n, int i, eq_tensor *gx, bool graph) {
  eq_tensor *x = n->slot[i];
  if (!x || !x->node) {
    eq_release(gx);
    return EQ_OK;
  }
  if (!eq_same_shape(gx, x)) {
    eq_tensor *s = n->op->flags & EQ_ELEMENTWISE ? eq_sum_to(gx, x->ndim, x->shape) : NULL;
    if (!s && eq_error.status == EQ_OK)
      eq_fail("gradient of %s for input %d has shape %s, the input is %s: please report this",
              n->op->name, i + 1, eq_shape_of(gx), eq_shape_of(x));
    eq_release(gx);
    if (!s) return eq_error.status;
    gx = s;
  }
  int bad = add_to(&x->node->gy[x->out], gx, graph);
  return bad ? bad : push(h, x->node);
}

static int nan_in_gradient(const eq_node *n, eq_tensor *const *gx) {
  for (int k = 0; k < n->nout; k++)
    if (n->gy[k] && has_nan(n->gy[k])) return EQ_OK;
  for (int i = 0; i < n->nin; i++)
    if (gx[i] && has_nan(gx[i]))
      return eq_fail("first NaN appeared in the gradient of %s%s%s", n->op->name,
                     n->where ? ", called at " : "", n->where ? n->where : "");
  return EQ_OK;
}

static int run_rule(heap *h, eq_node *n, eq_tensor **gx, bool graph) {
  eq_call c;
  eq_error.status = EQ_OK;
  int bad = rebuild_call(n, &c, graph);
  if (!bad) bad = n->op->back(&c, n->gy, gx);
  for (int k = 0; k < n->nout; k++) eq_release(c.out[k]);
  if (!bad && eq_error.status) bad = eq_error.status; /* a NULL passed through nested eq_f */
  if (!bad && eq_debug) bad = nan_in_gradient(n, gx);
  for (int i = 0; i < n->nin; i++) {
    if (!gx[i]) continue;
    eq_tensor *g = gx[i];
    gx[i] = NULL;
    if (bad) eq_release(g);
    else bad = deliver(h, n, i, g, graph);
  }
  return bad;
}

static int backward_node(heap *h, eq_node *n, bool graph) {
  enum { FEW = 32 };
  eq_tensor *few[FEW], **gx = few;
  size_t bytes = (size_t)n->nin * sizeof *gx;
  if (n->released)
    return eq_fail("the graph below %s was already used and released; pass {retain = true} to the "
                   "first backward to use it again", n->op->name);
  if (!n->op->back)
    return eq_fail("%s has no gradient rule (called at %s); use x:detach() to stop there", n->op->name,
                   n->where ? n->where : "?");
  int bad = check_versions(n);
  if (!bad) bad = fill_missing(n);
  if (bad) return bad;
  if (n->nin > FEW && !(gx = eq_alloc(bytes))) return EQ_NOMEM;
  if (n->nin) memset(gx, 0, bytes);
  bad = run_rule(h, n, gx, graph);
  if (gx != few) eq_free(gx, bytes);
  return bad;
}

/* *sum += g where *sum is visible to the user as x.grad: in place even if he holds it elsewhere. */
static int accumulate(eq_tensor **sum, eq_tensor *g, bool graph) {
  if (graph || !*sum || (*sum)->node) return add_to(sum, g, true);
  eq_tensor *t[3] = {*sum, g, *sum};
  int bad = eq_elementwise(eq_find("add")->kernel[g->dtype], 3, t, NULL);
  eq_touch(*sum);
  eq_release(g);
  return bad;
}

/* The accumulated gradient becomes the leaf's own. A tensor that others see too is copied first:
 * optimizers change gradients in place. */
static int store_leaf(eq_node *n, bool graph) {
  eq_tensor *x = n->leaf, *g = n->gy[0];
  n->gy[0] = NULL;
  if (!x || !g) {
    eq_release(g);
    return EQ_OK;
  }
  if (!graph && (g->refs > 1 || g->storage->refs > 1 || !eq_is_contiguous(g))) {
    eq_tensor *own = eq_clone(g);
    eq_release(g);
    if (!(g = own)) return EQ_NOMEM;
  }
  return accumulate(&x->grad, g, graph);
}

/* ---- the pass ---- */
typedef struct pass {
  heap h;
  int nwrt;
  eq_tensor **wrt, **gwrt;
  bool graph, retain;
} pass;

static void catch_wanted(pass *p, eq_node *n) {
  for (int i = 0; i < p->nwrt; i++)
    if (p->wrt[i]->node == n && n->gy[p->wrt[i]->out] && !p->gwrt[i])
      p->gwrt[i] = eq_retain(n->gy[p->wrt[i]->out]);
}

static int visit(pass *p, eq_node *n) {
  int bad = run_hooks(n);
  if (bad) return bad;
  catch_wanted(p, n);
  if (n->op == &accumulator) return p->nwrt ? EQ_OK : store_leaf(n, p->graph);
  bad = backward_node(&p->h, n, p->graph);
  if (!bad && !p->retain) {
    drop_saved(n);
    n->released = true;
  }
  return bad;
}

static void clear_gradients(eq_node *n) {
  for (int k = 0; k < EQ_MAXOUT; k++) {
    eq_release(n->gy[k]);
    n->gy[k] = NULL;
  }
}

static int seed(pass *p, eq_tensor *y, eq_tensor *gy) {
  if (!y->node)
    return eq_fail("this tensor does not depend on one that requires a gradient; mark a leaf with "
                   "x:requires_grad_()");
  if (gy && (!eq_same_shape(y, gy) || y->dtype != gy->dtype))
    return eq_fail("the gradient given is %s %s, the tensor is %s %s", eq_shape_of(gy),
                   eq_dtype_name(gy->dtype), eq_shape_of(y), eq_dtype_name(y->dtype));
  if (!gy && y->numel != 1)
    return eq_fail("a gradient starts at a single number, this tensor is %s; sum it, or pass the "
                   "gradient to start with", eq_shape_of(y));
  eq_tensor *g = gy ? eq_retain(gy) : eq_full(y->dtype, y->ndim, y->shape, 1);
  if (!g) return EQ_NOMEM;
  int bad = add_to(&y->node->gy[y->out], g, true); /* never in place: g may be the caller's */
  return bad ? bad : push(&p->h, y->node);
}

int eq_backward(int n, eq_tensor **y, eq_tensor **gy, int nwrt, eq_tensor **wrt, eq_tensor **gwrt,
                int flags) {
  pass p = {.nwrt = nwrt, .wrt = wrt, .gwrt = gwrt, .graph = flags & EQ_CREATE_GRAPH};
  p.retain = p.graph || flags & EQ_RETAIN;
  bool enabled = eq_grad_enabled;
  int bad = EQ_OK;
  eq_error.status = EQ_OK;
  eq_grad_enabled = p.graph;
  for (int i = 0; i < nwrt; i++) gwrt[i] = NULL;
  for (int i = 0; i < n && !bad; i++) bad = seed(&p, y[i], gy ? gy[i] : NULL);
  while (p.h.n && !bad) {
    eq_node *next = pop(&p.h);
    bad = eq_poll && eq_poll() ? eq_stopped() : visit(&p, next);
    clear_gradients(next);
    eq_node_release(next);
  }
  while (p.h.n) { /* only after a failure */
    eq_node *left = pop(&p.h);
    clear_gradients(left);
    eq_node_release(left);
  }
  eq_free(p.h.node, (size_t)p.h.room * sizeof *p.h.node);
  for (int i = 0; bad && i < nwrt; i++) {
    eq_release(gwrt[i]);
    gwrt[i] = NULL;
  }
  eq_grad_enabled = enabled;
  return bad;
}
