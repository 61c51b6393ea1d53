/* grad.c -- reverse-mode automatic differentiation over a dynamic graph.
 *
 * backward takes pending nodes from the highest number down with a heap, so every node is visited
 * once, after all its users. No recursion anywhere. A rule or a hook may run a backward pass of its
 * own: what the outer pass has pending is put aside meanwhile. node.c makes and frees the nodes. */
#include "equi.h"
#include <string.h>

bool eq_in_rule;

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
  for (; i && h->node[(i - 1) / 2]->seq < x->seq; i = (i - 1) / 2)
    h->node[i] = h->node[(i - 1) / 2];
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
  if (!record && s->refs == 1 && s->storage->refs == 1 && eq_has_places(s)) {
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
    bool read = i >= n->nin || eq_saves_input(n->op, i); /* a leaf may be held for its link only */
    if (read && n->slot[i] && eq_version_of(n->slot[i]) != n->version[i])
      return eq_fail(
          "a tensor that %s%s%s needs for its gradient was changed in place after it was "
          "used; change a copy: x:clone()",
          n->op->name, n->where ? ", called at " : "", n->where ? n->where : "");
  }
  return EQ_OK;
}

/* The call as the rule sees it. With create_graph a saved result is linked to its node again. */
static int rebuild_call(eq_node *n, eq_call *c, bool graph) {
  memcpy(c, &n->call, eq_call_bytes(n->call.nlist));
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

/* ---- hooks ---- */
static int hooks_running;

int eq_hook_add(eq_tensor *x, eq_hook *h) {
  if (!x->node) return eq_fail("x does not require a gradient, so there is none to look at");
  eq_hook **last = &x->node->hooks;
  while (*last) last = &(*last)->next;
  h->out = x->out;
  h->next = NULL;
  h->gone = false;
  *last = h;
  return EQ_OK;
}

void eq_hook_remove(eq_node *n, eq_hook *h) {
  h->gone = true; /* a running hook may be this one, or the one before it */
  if (hooks_running) return;
  eq_hook **at = &n->hooks;
  while (*at && *at != h) at = &(*at)->next;
  if (!*at) return;
  *at = h->next;
  h->release(h);
}

/* They cannot run any more, and what they mention may lead back to this very node. */
static void drop_hooks(eq_node *n) {
  for (eq_hook *h = n->hooks, *next; h; h = next) {
    next = h->next;
    if (h->call) eq_hook_remove(n, h);
  }
}

static int run_hooks(eq_node *n) {
  int bad = EQ_OK;
  hooks_running++;
  for (eq_hook *h = n->hooks; h && !bad; h = h->next)
    if (h->call && !h->gone && n->gy[h->out]) bad = h->call(h, &n->gy[h->out]);
  hooks_running--;
  return bad;
}

static int fill_missing(eq_node *n) {
  for (int k = 0; k < n->nout; k++) {
    const eq_tensor *y = n->slot[n->nin + k];
    if (y && !n->gy[k] &&
        !(n->gy[k] = eq_zeros(eq_is_float(y->dtype) ? y->dtype : EQ_F32, y->ndim, y->shape)))
      return EQ_NOMEM;
  }
  return EQ_OK;
}

/* The node is queued first: whatever fails, the end of the pass finds and clears its gradient. */
static int give(heap *h, const eq_tensor *x, eq_tensor *g, bool record) {
  int bad = push(h, x->node);
  if (bad) eq_release(g);
  return bad ? bad : add_to(&x->node->gy[x->out], g, record);
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
  return give(h, x, gx, graph);
}

static int nan_in_gradient(eq_node *n, eq_tensor *const *gx) {
  if (eq_any_nan(n->nout, n->gy) || !eq_any_nan(n->nin, gx)) return EQ_OK;
  return eq_fail("first NaN appeared in the gradient of %s%s%s", n->op->name,
                 n->where ? ", called at " : "", n->where ? n->where : "");
}

/* Gradients that a rule computed without ops look like constants: with create_graph they get a node
 * that refuses to be passed, so that second derivatives fail instead of being wrong. */
static const eq_op once_only = {.name = "gradient", .sig = "-> gx"};

static int refuse_second(eq_node *n, eq_tensor **gx) {
  for (int i = 0; i < n->nin; i++) {
    if (!gx[i] || !n->slot[i] || !n->slot[i]->node) continue;
    eq_tensor *own = eq_alias(gx[i]);
    if (!own) return EQ_NOMEM;
    eq_release(gx[i]);
    gx[i] = own;
    eq_call c = {.op = &once_only, .nin = 1, .nout = 1, .in = &n->slot[i], .out = {own}};
    c.arg[0].s = n->op->name;
    if (eq_record(&c, c.in)) return EQ_NOMEM;
  }
  return EQ_OK;
}

static int run_rule(heap *h, eq_node *n, eq_tensor **gx, bool graph) {
  eq_call c;
  eq_error.status = EQ_OK;
  int bad = rebuild_call(n, &c, graph);
  bool outer = eq_in_rule;
  eq_status missed = eq_error.missed;
  eq_in_rule = true;
  eq_error.missed = EQ_OK;
  if (!bad) bad = n->op->back(&c, n->gy, gx);
  if (eq_error.missed) bad = eq_error.missed; /* a part failed: its gradient is not just absent */
  eq_error.missed = missed;
  eq_in_rule = outer;
  for (int k = 0; k < n->nout; k++) eq_release(c.out[k]);
  if (!bad && eq_error.status) bad = eq_error.status; /* a NULL passed through nested eq_f */
  if (!bad && n->released)
    bad =
        eq_fail("the gradient rule of %s ran a backward pass that released the graph it stands in; "
                "pass {retain = true} there",
                n->op->name);
  if (!bad && graph && n->op->flags & EQ_ONCE) bad = refuse_second(n, gx);
  if (!bad && eq_debug) bad = nan_in_gradient(n, gx);
  for (int i = 0; i < n->nin; i++) {
    if (!gx[i]) continue;
    eq_tensor *g = gx[i];
    gx[i] = NULL;
    if (bad)
      eq_release(g);
    else
      bad = deliver(h, n, i, g, graph);
  }
  return bad;
}

static int backward_node(heap *h, eq_node *n, bool graph) {
  enum { FEW = 32 };
  eq_tensor *few[FEW], **gx = few;
  size_t bytes = (size_t)n->nin * sizeof *gx;
  if (n->released)
    return eq_fail("the graph below %s was already used and released; pass {retain = true} to the "
                   "first backward to use it again",
                   n->op->name);
  if (n->op == &once_only)
    return eq_fail(
        "%s can be differentiated once, not twice: its rule is one kernel, not a chain of "
        "ops",
        n->call.arg[0].s);
  if (!n->op->back)
    return eq_fail("%s has no gradient rule (called at %s); use x:detach() to stop there",
                   n->op->name, n->where ? n->where : "?");
  int bad = check_versions(n);
  if (!bad) bad = fill_missing(n);
  if (bad) return bad;
  if (n->nin > FEW && !(gx = eq_alloc(bytes))) return EQ_NOMEM;
  if (n->nin) memset(gx, 0, bytes);
  bad = run_rule(h, n, gx, graph);
  if (gx != few) eq_free(gx, bytes);
  return bad;
}

/* *sum += g where *sum is visible to the user as x.grad: in place even if it is held elsewhere. */
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
  eq_node *at; /* the node being visited */
  struct pass *outer;
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
  if (n->op == &eq_leaf_op) return p->nwrt ? EQ_OK : store_leaf(n, p->graph);
  bad = backward_node(&p->h, n, p->graph);
  if (!bad && !p->retain) {
    eq_node_drop(n);
    drop_hooks(n);
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
    return eq_fail("the gradient given is %s %s, the tensor is %s %s", eq_dtype_name(gy->dtype),
                   eq_shape_of(gy), eq_dtype_name(y->dtype), eq_shape_of(y));
  if (!gy && y->numel != 1)
    return eq_fail("a gradient starts at a single number, this tensor is %s; sum it, or pass the "
                   "gradient to start with",
                   eq_shape_of(y));
  eq_tensor *g = gy ? eq_retain(gy) : eq_full(y->dtype, y->ndim, y->shape, 1);
  if (!g) return EQ_NOMEM;
  return give(&p->h, y, g, true); /* never in place: g may be the caller's */
}

/* ---- a pass inside a rule or a hook ----
 * The gradients that the outer pass has collected so far belong to it alone. Passes further out are
 * already put aside. */
typedef struct aside {
  eq_node *node;
  eq_tensor *gy[EQ_MAXOUT];
  bool queued;
} aside;

static pass *innermost;

static void swap_aside(aside *a) {
  bool queued = a->node->queued;
  eq_tensor *gy[EQ_MAXOUT];
  memcpy(gy, a->node->gy, sizeof gy);
  memcpy(a->node->gy, a->gy, sizeof gy);
  memcpy(a->gy, gy, sizeof gy);
  a->node->queued = a->queued;
  a->queued = queued;
}

static int count_pending(const pass *p) { return p ? p->h.n + (p->at != NULL) : 0; }

static aside *put_aside(const pass *p) {
  int n = count_pending(p);
  aside *list = n ? eq_calloc((size_t)n * sizeof *list) : NULL;
  for (int i = 0; list && i < n; i++) {
    list[i].node = i < p->h.n ? p->h.node[i] : p->at;
    swap_aside(&list[i]);
  }
  return list;
}

static void take_back(aside *list, int n) {
  for (int i = 0; list && i < n; i++) swap_aside(&list[i]);
  eq_free(list, (size_t)n * sizeof *list);
}

static int run_pass(pass *p, int n, eq_tensor **y, eq_tensor **gy) {
  int bad = EQ_OK;
  for (int i = 0; i < n && !bad; i++) bad = seed(p, y[i], gy ? gy[i] : NULL);
  while (p->h.n) {
    p->at = pop(&p->h);
    if (!bad) bad = eq_poll && eq_poll() ? eq_stopped() : visit(p, p->at);
    clear_gradients(p->at);
    eq_node_release(p->at);
  }
  p->at = NULL;
  eq_free(p->h.node, (size_t)p->h.room * sizeof *p->h.node);
  return bad;
}

int eq_backward(int n, eq_tensor **y, eq_tensor **gy, int nwrt, eq_tensor **wrt, eq_tensor **gwrt,
                int flags) {
  pass p = {.outer = innermost, .nwrt = nwrt, .wrt = wrt, .gwrt = gwrt};
  p.graph = flags & EQ_CREATE_GRAPH;
  p.retain = p.graph || flags & EQ_RETAIN;
  bool enabled = eq_grad_enabled;
  int pending = count_pending(p.outer);
  eq_error.status = EQ_OK;
  for (int i = 0; i < nwrt; i++) gwrt[i] = NULL;
  aside *list = put_aside(p.outer);
  if (pending && !list) return EQ_NOMEM;
  innermost = &p;
  eq_grad_enabled = p.graph;
  int bad = run_pass(&p, n, y, gy);
  eq_grad_enabled = enabled;
  innermost = p.outer;
  take_back(list, pending);
  for (int i = 0; bad && i < nwrt; i++) {
    eq_release(gwrt[i]);
    gwrt[i] = NULL;
  }
  return bad;
}
