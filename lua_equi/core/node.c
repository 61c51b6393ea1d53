/* node.c -- the nodes of the graph that backward walks: made, recorded, freed.
 *
 * A result that depends on a tensor which requires a gradient owns a node; the node owns the op,
 * the inputs (with data only if the op's rule reads them) and, if the rule reads it, a DETACHED
 * alias of the result: tensor and node would own each other otherwise. Nodes are numbered as they
 * are made, so a node is always older than its users. A leaf's node is an eq_leaf_op, older than
 * every use of the leaf. Freeing is a loop, not a recursion: graphs of a million nodes work. */
#include "equi.h"
#include <string.h>

bool eq_grad_enabled = true;
bool eq_debug;
const char *(*eq_position)(void);

static uint64_t sequence;
const eq_op eq_leaf_op = {.name = "leaf", .sig = "-> x"};

/* ---- nodes ---- */
/* The node, then its slots, then their versions, in one block, with no more of the call's list than
 * was used: with small tensors the nodes are most of the memory traffic. */
static size_t slots_at(int nlist) { return offsetof(eq_node, call) + eq_call_bytes(nlist); }

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
  if (c) memcpy(&n->call, c, eq_call_bytes(nlist));
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

void eq_node_drop(eq_node *n) {
  for (int i = 0; i < n->ntensor; i++) {
    eq_tensor *x = n->slot[i];
    n->slot[i] = NULL;
    eq_release(x);
  }
}

static void free_node(eq_node *n) {
  eq_node_drop(n);
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

bool eq_is_leaf(const eq_tensor *x) { return !x->node || x->node->op == &eq_leaf_op; }

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
  eq_node *n = new_node(&eq_leaf_op, 0, 1, NULL);
  if (!n) return EQ_NOMEM;
  n->leaf = x;
  x->node = n;
  x->out = 0;
  return EQ_OK;
}

/* ---- recording ---- */
bool eq_saves_input(const eq_op *op, int i) {
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

uint32_t eq_version_of(const eq_tensor *x) { return x && x->storage ? x->storage->version : 0; }

static int save_inputs(eq_node *n, const eq_op *op, eq_tensor **in) {
  for (int i = 0; i < n->nin; i++) {
    if (!in[i]) continue;
    bool whole = eq_saves_input(op, i) || (in[i]->node && in[i]->node->op == &eq_leaf_op);
    n->slot[i] = whole ? eq_retain(in[i]) : shape_only(in[i]);
    if (!n->slot[i]) return EQ_NOMEM;
    n->version[i] = eq_version_of(n->slot[i]);
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
    n->version[n->nin + k] = eq_version_of(s);
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

bool eq_any_nan(int n, eq_tensor *const *x) {
  for (int i = 0; i < n; i++)
    if (x[i] && has_nan(x[i])) return true;
  return false;
}

int eq_check_nan(const eq_call *c) {
  if (eq_any_nan(c->nin, c->in)) return EQ_OK; /* it came from outside, not from this op */
  if (!eq_any_nan(c->nout, c->out)) return EQ_OK;
  return eq_fail("first NaN appeared in the result of %s", c->op->name);
}
