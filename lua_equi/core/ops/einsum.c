/* einsum.c -- sums of products by letters: einsum("bik,bkj->bij", {x, w}).
 *
 * Read into labels, then composed of diagonal, sum, permute, reshape and matmul, from left to
 * right: letters that two operands share and nobody else needs are summed by the matrix product,
 * shared letters that stay are its batch. Not an optimiser: the order of the operands is the order
 * of work. */
#include "../equi.h"
#include <inttypes.h>
#include <string.h>

enum { LETTERS = 52, LABELS = LETTERS + EQ_MAXDIM, MAXTERM = 16, DOTS = -1 };

/* A tensor and what each of its dims is called. */
typedef struct term {
  eq_tensor *x;
  int n;
  int label[2 * EQ_MAXDIM];
} term;

typedef struct equation {
  term in[MAXTERM], out;
  int nin, dots; /* dims that ... stands for, the most of any operand */
  bool has_out;
  int64_t size[LABELS]; /* 0: not seen */
  int seen_in[LABELS];  /* operand that gave the size, from 1 */
} equation;

/* Capitals first, as in ASCII: the order of letters in an implicit result. */
static int label_of(char ch) {
  if (ch >= 'A' && ch <= 'Z') return ch - 'A';
  return ch >= 'a' && ch <= 'z' ? 26 + ch - 'a' : -2;
}
static char letter_of(int label) { return (char)(label < 26 ? 'A' + label : 'a' + label - 26); }

/* ---- reading ---- */
/* One list of letters up to a comma, an arrow or the end. Returns where it stopped. */
static const char *read_term(const char *s, term *t) {
  t->n = 0;
  for (; *s && *s != ',' && *s != '-'; s++) {
    int label = label_of(*s);
    if (*s == ' ') continue;
    if (!strncmp(s, "...", 3)) label = DOTS, s += 2;
    if (label == -2) {
      eq_fail("'%c' is no letter; an equation looks like \"ij,jk->ik\"", *s);
      return NULL;
    }
    if (t->n == 2 * EQ_MAXDIM) {
      eq_fail("an operand has more than %d letters", 2 * EQ_MAXDIM);
      return NULL;
    }
    for (int i = 0; label == DOTS && i < t->n; i++)
      if (t->label[i] == DOTS) {
        eq_fail("... may stand once in an operand");
        return NULL;
      }
    t->label[t->n++] = label;
  }
  return s;
}

static int read_equation(const char *s, equation *e) {
  memset(e, 0, sizeof *e);
  for (;;) {
    if (e->nin == MAXTERM) return eq_fail("more than %d operands", MAXTERM);
    if (!(s = read_term(s, &e->in[e->nin++]))) return EQ_ERR;
    if (*s != ',') break;
    s++;
  }
  if (!*s) return EQ_OK;
  if (s[1] != '>') return eq_fail("'-' must be followed by '>'");
  e->has_out = true;
  if (!(s = read_term(s + 2, &e->out))) return EQ_ERR;
  return *s ? eq_fail("'%c' stands behind the result", *s) : EQ_OK;
}

/* Puts the labels of the dims for ... which has `have` dims here; the last of them is always the
 * last label, so that operands line up at the right. */
static void replace_dots(const equation *e, term *t, int have) {
  for (int i = 0; i < t->n; i++) {
    if (t->label[i] != DOTS) continue;
    memmove(t->label + i + have, t->label + i + 1, (size_t)(t->n - i - 1) * sizeof(int));
    for (int k = 0; k < have; k++) t->label[i + k] = LETTERS + e->dots - have + k;
    t->n += have - 1;
    return;
  }
}

static int letters_in(const term *t, bool *dots) {
  int n = 0;
  *dots = false;
  for (int i = 0; i < t->n; i++) {
    if (t->label[i] == DOTS)
      *dots = true;
    else
      n++;
  }
  return n;
}

static int note_size(equation *e, int label, int64_t size, int operand) {
  int64_t *have = &e->size[label];
  if (e->seen_in[label] && *have != size && label < LETTERS)
    return eq_fail("letter '%c' has size %" PRId64 " in operand %d and %" PRId64 " in operand %d",
                   letter_of(label), *have, e->seen_in[label], size, operand);
  if (e->seen_in[label] && *have != size && *have != 1 && size != 1)
    return eq_fail("the dims for ... have sizes %" PRId64 " in operand %d and %" PRId64
                   " in operand %d",
                   *have, e->seen_in[label], size, operand);
  if (!e->seen_in[label] || *have == 1) *have = size, e->seen_in[label] = operand;
  return EQ_OK;
}

static int match_operands(const eq_call *c, equation *e) {
  if (e->nin != c->nin)
    return eq_fail("the equation has %d operands, the list has %d tensors", e->nin, c->nin);
  for (int i = 0; i < e->nin; i++) {
    bool dots;
    int n = letters_in(&e->in[i], &dots), have = c->in[i]->ndim - n;
    if (have < 0 || (have > 0 && !dots))
      return eq_fail("operand %d has %d letters, the tensor is %s", i + 1, n,
                     eq_shape_of(c->in[i]));
    if (have > e->dots) e->dots = have;
  }
  for (int i = 0; i < e->nin; i++) {
    bool dots;
    replace_dots(e, &e->in[i], c->in[i]->ndim - letters_in(&e->in[i], &dots));
    for (int d = 0; d < e->in[i].n; d++)
      if (note_size(e, e->in[i].label[d], c->in[i]->shape[d], i + 1)) return EQ_ERR;
  }
  return EQ_OK;
}

/* The result as written, or by the rule: dims of ..., then letters that occur once, in order. */
static int match_result(equation *e) {
  int times[LABELS] = {0};
  for (int i = 0; i < e->nin; i++)
    for (int d = 0; d < e->in[i].n; d++) times[e->in[i].label[d]]++;
  if (!e->has_out) {
    for (int k = 0; k < e->dots; k++) e->out.label[e->out.n++] = LETTERS + k;
    for (int k = 0; k < LETTERS; k++)
      if (times[k] == 1 && e->out.n < 2 * EQ_MAXDIM) e->out.label[e->out.n++] = k;
  }
  replace_dots(e, &e->out, e->dots);
  if (e->out.n > EQ_MAXDIM)
    return eq_fail("the result would have %d dims, at most %d are possible", e->out.n, EQ_MAXDIM);
  int used[LABELS] = {0};
  for (int d = 0; d < e->out.n; d++) {
    int label = e->out.label[d];
    if (!times[label])
      return eq_fail("letter '%c' of the result is in no operand", letter_of(label));
    if (used[label]++) return eq_fail("letter '%c' comes twice in the result", letter_of(label));
  }
  return EQ_OK;
}

/* ---- computing ---- */
static int place_of(const term *t, int label) {
  for (int d = 0; d < t->n; d++)
    if (t->label[d] == label) return d;
  return -1;
}

static int put(term *t, eq_tensor *x) {
  eq_release(t->x);
  t->x = x;
  return x ? EQ_OK : eq_error.status;
}

static void remove_label(term *t, int d) {
  memmove(t->label + d, t->label + d + 1, (size_t)(t->n - d - 1) * sizeof(int));
  t->n--;
}

/* A letter that comes twice in one operand: its diagonal, which diagonal puts last. */
static int take_diagonals(term *t) {
  for (int a = 0; a < t->n; a++)
    for (int b = a + 1; b < t->n; b++) {
      if (t->label[a] != t->label[b]) continue;
      int label = t->label[a];
      if (put(t, eq_f("diagonal", "tiii", t->x, (int64_t)0, (int64_t)a, (int64_t)b)))
        return eq_error.status;
      remove_label(t, b);
      remove_label(t, a);
      t->label[t->n++] = label;
      return take_diagonals(t);
    }
  return EQ_OK;
}

/* Sums the dims whose label is in none of the n other terms. */
static int sum_unused(term *t, const term *others, int n, const term *out) {
  int64_t dims[EQ_MAXDIM];
  int m = 0, kept = 0;
  for (int d = 0; d < t->n; d++) {
    bool needed = place_of(out, t->label[d]) >= 0;
    for (int i = 0; i < n && !needed; i++) needed = place_of(&others[i], t->label[d]) >= 0;
    if (needed)
      t->label[kept++] = t->label[d];
    else
      dims[m++] = d;
  }
  t->n = kept;
  return m ? put(t, eq_f("sum", "tl", t->x, m, dims)) : EQ_OK;
}

/* x with the dims in the order of the labels, expanded to their sizes, seen as the shape given. */
static eq_tensor *arranged(const equation *e, const term *t, int n, const int *label, int ndim,
                           const int64_t *shape) {
  int64_t order[EQ_MAXDIM], wide[EQ_MAXDIM];
  for (int d = 0; d < n; d++) {
    order[d] = place_of(t, label[d]);
    wide[d] = t->x->shape[order[d]];
    if (label[d] >= LETTERS) wide[d] = e->size[label[d]];
  }
  eq_tensor *x = eq_f("expand", "Tl", eq_f("permute", "tl", t->x, n, order), n, wide);
  return eq_f("reshape", "Tl", x, ndim, shape);
}

static int64_t sizes(const equation *e, int n, const int *label) {
  int64_t p = 1;
  for (int d = 0; d < n; d++) p *= e->size[label[d]];
  return p;
}

/* a = a * b: one batched matrix product. rest: the operands that come later. */
static int contract(const equation *e, term *a, const term *b, const term *rest, int nrest) {
  int shared[EQ_MAXDIM], inner[EQ_MAXDIM], left[EQ_MAXDIM], right[EQ_MAXDIM], ns = 0, ni = 0,
                                                                              nl = 0, nr = 0;
  for (int d = 0; d < a->n; d++) {
    int label = a->label[d];
    bool later = place_of(&e->out, label) >= 0;
    for (int i = 0; i < nrest && !later; i++) later = place_of(&rest[i], label) >= 0;
    if (place_of(b, label) < 0)
      left[nl++] = label;
    else if (later)
      shared[ns++] = label;
    else
      inner[ni++] = label;
  }
  for (int d = 0; d < b->n; d++)
    if (place_of(a, b->label[d]) < 0) right[nr++] = b->label[d];
  if (ns + nl + nr > EQ_MAXDIM)
    return eq_fail("a product on the way has %d dims, at most %d are possible", ns + nl + nr,
                   EQ_MAXDIM);
  int order[2 * EQ_MAXDIM], first = ns ? 0 : 1;
  int64_t x[3] = {sizes(e, ns, shared), sizes(e, nl, left), sizes(e, ni, inner)};
  int64_t w[3] = {x[0], x[2], sizes(e, nr, right)}, shape[EQ_MAXDIM];
  memcpy(order, shared, sizeof shared);
  memcpy(order + ns, left, (size_t)nl * sizeof *left);
  memcpy(order + ns + nl, inner, (size_t)ni * sizeof *inner);
  eq_tensor *l = arranged(e, a, ns + nl + ni, order, 3 - first, x + first);
  memcpy(order + ns, inner, (size_t)ni * sizeof *inner);
  memcpy(order + ns + ni, right, (size_t)nr * sizeof *right);
  eq_tensor *r = arranged(e, b, ns + ni + nr, order, 3 - first, w + first);
  memcpy(a->label, shared, (size_t)ns * sizeof *shared);
  memcpy(a->label + ns, left, (size_t)nl * sizeof *left);
  memcpy(a->label + ns + nl, right, (size_t)nr * sizeof *right);
  a->n = ns + nl + nr;
  for (int d = 0; d < a->n; d++) shape[d] = e->size[a->label[d]];
  return put(a, eq_f("reshape", "Tl", eq_f("matmul", "TT", l, r), a->n, shape));
}

static int evaluate(equation *e) {
  for (int i = 0; i < e->nin; i++)
    if (take_diagonals(&e->in[i])) return eq_error.status;
  term *a = &e->in[0];
  for (int i = 1; i < e->nin; i++) {
    if (sum_unused(a, &e->in[i], e->nin - i, &e->out)) return eq_error.status;
    term others[MAXTERM]; /* who may still need a letter of operand i */
    others[0] = *a;
    memcpy(others + 1, e->in + i + 1, (size_t)(e->nin - i - 1) * sizeof *others);
    if (sum_unused(&e->in[i], others, e->nin - i, &e->out)) return eq_error.status;
    if (contract(e, a, &e->in[i], &e->in[i + 1], e->nin - i - 1)) return eq_error.status;
  }
  return sum_unused(a, NULL, 0, &e->out);
}

static int einsum(eq_call *c) {
  equation e;
  int64_t shape[EQ_MAXDIM];
  if (c->nin == 0) return eq_fail("the list of tensors is empty");
  if (read_equation(c->arg[0].s, &e) || match_operands(c, &e) || match_result(&e)) return EQ_ERR;
  for (int i = 0; i < e.nin; i++) e.in[i].x = eq_retain(c->in[i]);
  int bad = evaluate(&e);
  for (int d = 0; d < e.out.n; d++) shape[d] = e.size[e.out.label[d]];
  c->out[0] = bad ? NULL : arranged(&e, &e.in[0], e.out.n, e.out.label, e.out.n, shape);
  c->nout = 1;
  for (int i = 0; i < e.nin; i++) eq_release(e.in[i].x);
  return c->out[0] ? EQ_OK : eq_error.status;
}

const eq_op ops_einsum[] = {
    {.name = "einsum",
     .sig = "equation:str, xs:floats -> y",
     .doc =
         "Sums of products by letters, one letter a dim: \"ij,jk->ik\" is the matrix product. "
         "Letters that "
         "are not in the\nresult are summed; a letter twice in one operand is its diagonal; ... "
         "stands for "
         "any dims, which broadcast.\nWithout an arrow the result has the dims of ... and then, in "
         "alphabetical order, the letters that occur once.\nMore than two operands are multiplied "
         "from left "
         "to right.",
     .example = "local x = equi.tensor({{1, 2}, {3, 4}})\n"
                "print(equi.einsum(\"ii\", {x}):item(), equi.einsum(\"ij->j\", {x})[1]:item())  "
                "--> 5.0 4.0",
     .compose = einsum,
     .flags = EQ_FUNCTION,
     .where = EQ_HERE},
    {0}};
