/* registry.c -- finds ops by name and reads their signatures.
 *
 * The folder core/ops is the registry: the build lists its tables in oplist.h. A signature is read
 * once, when the module loads; from it come argument checks, named options, help, annotations. */
#include "equi.h"
#include "oplist.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAXOP = 1024, HASH = 4096 };
static struct {
  const eq_op *op;
  eq_sig sig;
} * table;
static int nop;
static short slot_of[HASH];    /* op number + 1 by name, open addressing */
static short slot_of_op[HASH]; /* the same by the op's address */

static unsigned hash(const char *s) {
  unsigned h = 2166136261u;
  while (*s) h = (h ^ (unsigned char)*s++) * 16777619u;
  return h % HASH;
}

const eq_op *eq_op_at(int i) { return i >= 0 && i < nop ? table[i].op : NULL; }

static int number_of(const char *name) {
  for (unsigned h = hash(name);; h = (h + 1) % HASH) {
    if (!slot_of[h]) return -1;
    if (!strcmp(table[slot_of[h] - 1].op->name, name)) return slot_of[h] - 1;
  }
}

/* Rules name ops by literals, so the same address asks again and again: what it named last time is
 * tried first. The name itself is compared, since an address may come to hold another. */
const eq_op *eq_find(const char *name) {
  enum { RECENT = 1024 };
  static const eq_op *recent[RECENT];
  const eq_op **near = &recent[((uint32_t)(uintptr_t)name * 2654435769u) >> 22];
  if (*near && !strcmp((*near)->name, name)) return *near;
  int i = number_of(name);
  if (i < 0) return NULL;
  return *near = table[i].op;
}

/* Ops of one file lie one behind the other: dividing gives neighbours different places. */
static unsigned hash_op(const eq_op *op) { return (unsigned)((uintptr_t)op / sizeof *op % HASH); }

const eq_sig *eq_sig_of(const eq_op *op) {
  for (unsigned h = hash_op(op); slot_of_op[h]; h = (h + 1) % HASH)
    if (table[slot_of_op[h] - 1].op == op) return &table[slot_of_op[h] - 1].sig;
  return NULL;
}

/* ---- reading a signature ---- */
static const struct {
  const char *word;
  eq_kind kind;
  uint8_t accept;
} kinds[] = {{"tensor", EQ_P_TENSOR, EQ_ACC_ANY},
             {"float", EQ_P_TENSOR, EQ_ACC_FLOAT},
             {"number", EQ_P_TENSOR, EQ_ACC_NUMBER},
             {"index", EQ_P_TENSOR, EQ_ACC_INDEX},
             {"mask", EQ_P_TENSOR, EQ_ACC_MASK},
             {"operand", EQ_P_OPERAND, EQ_ACC_ANY},
             {"tensors", EQ_P_TENSORS, EQ_ACC_ANY},
             {"floats", EQ_P_TENSORS, EQ_ACC_FLOAT},
             {"int", EQ_P_INT, 0},
             {"num", EQ_P_NUM, 0},
             {"bool", EQ_P_BOOL, 0},
             {"dim", EQ_P_DIM, 0},
             {"dim+", EQ_P_DIM, 1},
             {"dims", EQ_P_DIMS, 0},
             {"ints", EQ_P_INTS, 0},
             {"dtype", EQ_P_DTYPE, 0},
             {"str", EQ_P_STR, 0}};

static bool is_tensor_kind(eq_kind k) { return k <= EQ_P_OPERAND; }

/* "a|b|c": the choices, in one block that lives as long as the program. */
static int read_choices(eq_param *p, char *text) {
  int n = 1;
  for (const char *s = text; *s; s++) n += *s == '|';
  const char **list = malloc((size_t)n * sizeof *list);
  if (!list) return eq_nomem((size_t)n * sizeof *list);
  p->kind = EQ_P_CHOICE;
  p->nchoices = 0;
  for (char *w = text, *bar; w; w = bar ? bar + 1 : NULL) {
    bar = strchr(w, '|');
    if (bar) *bar = 0;
    list[p->nchoices++] = w;
  }
  p->choices = list;
  return EQ_OK;
}

static int read_kind(eq_param *p, char *word) {
  size_t n = strlen(word);
  if (n && word[n - 1] == '?') {
    p->optional = true;
    word[n - 1] = 0;
  }
  if (!strncmp(word, "ints|", 5)) { /* a list, or one of the words */
    int bad = read_choices(p, word + 5);
    p->kind = EQ_P_INTS;
    return bad;
  }
  if (strchr(word, '|')) return read_choices(p, word);
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if (strcmp(kinds[i].word, word)) continue;
    p->kind = kinds[i].kind;
    p->accept = kinds[i].accept;
    p->insert = p->kind == EQ_P_DIM && kinds[i].accept;
    return EQ_OK;
  }
  return eq_fail("unknown kind '%s' of '%s'", word, p->name);
}

static int read_default(eq_param *p, const char *text) {
  p->optional = true;
  if (!strcmp(text, "nil")) return EQ_OK;
  p->has_default = true;
  if (p->kind == EQ_P_CHOICE) {
    for (int i = 0; i < p->nchoices; i++)
      if (!strcmp(p->choices[i], text)) {
        p->def = i;
        return EQ_OK;
      }
    return eq_fail("default '%s' of '%s' is no choice", text, p->name);
  }
  if (p->kind == EQ_P_BOOL)
    p->def = !strcmp(text, "true");
  else
    p->def = strtod(text, NULL);
  if (p->kind == EQ_P_DIM && p->def > 0) p->def -= 1; /* signatures are in the user's terms */
  return EQ_OK;
}

static char *trim(char *s) {
  while (*s == ' ') s++;
  size_t n = strlen(s);
  while (n && s[n - 1] == ' ') s[--n] = 0;
  return s;
}

static int read_param(eq_sig *g, char *text) {
  if (g->nparam == EQ_MAXPARAM) return eq_fail("more than %d parameters", EQ_MAXPARAM);
  eq_param *p = &g->param[g->nparam++];
  memset(p, 0, sizeof *p);
  char *colon = strchr(text, ':'), *equal = strchr(text, '=');
  if (!colon) return eq_fail("parameter '%s' has no kind", text);
  *colon = 0;
  if (equal) *equal = 0;
  p->name = trim(text);
  int bad = read_kind(p, trim(colon + 1));
  if (!bad && equal) bad = read_default(p, trim(equal + 1));
  p->slot = is_tensor_kind(p->kind) ? g->ntensor++ : g->narg++;
  if (g->narg > EQ_MAXARG) return eq_fail("more than %d arguments", EQ_MAXARG);
  return bad;
}

static int read_outs(eq_sig *g, char *text) {
  char *semi = strchr(text, ';');
  if (!*trim(text)) return EQ_OK; /* works in place, returns nothing */
  for (char *p = text; *p; p++)
    if (*p == ';') *p = ',';
  for (char *w = text, *comma; w; w = comma ? comma + 1 : NULL) {
    comma = strchr(w, ',');
    if (g->nout == EQ_MAXOUT) return eq_fail("more than %d results", EQ_MAXOUT);
    if (!semi || w <= semi) g->nvisible++;
    if (comma) *comma = 0;
    g->outs[g->nout++] = trim(w);
  }
  return EQ_OK;
}

/* The text is copied once and cut into words that the signature points to for ever. */
static int read_sig(const char *sig, eq_sig *g) {
  size_t n = strlen(sig) + 1;
  char *text = malloc(n);
  if (!text) return eq_nomem(n);
  memcpy(text, sig, n);
  char *arrow = strstr(text, "->");
  if (!arrow) {
    free(text);
    return eq_fail("no '->'");
  }
  *arrow = 0;
  char *params = trim(text);
  int bad = EQ_OK;
  for (char *w = params, *comma; !bad && w && *w; w = comma ? comma + 1 : NULL) {
    comma = strchr(w, ',');
    if (comma) *comma = 0;
    bad = read_param(g, w);
  }
  return bad ? bad : read_outs(g, arrow + 2);
}

static int add(const eq_op *op) {
  if (nop == MAXOP) return eq_fail("more than %d ops", MAXOP);
  if (number_of(op->name) >= 0) return eq_fail("op '%s' is defined twice", op->name);
  table[nop].op = op;
  memset(&table[nop].sig, 0, sizeof(eq_sig));
  if (read_sig(op->sig, &table[nop].sig)) {
    char why[sizeof eq_error.text];
    memcpy(why, eq_error.text, sizeof why);
    return eq_fail("signature of op '%s' (%s): %.400s", op->name, op->where ? op->where : "?", why);
  }
  if (op->flags & EQ_ELEMENTWISE && table[nop].sig.ntensor > EQ_MAXOPERAND)
    return eq_fail("op '%s' works on more than %d tensors, element by element", op->name,
                   EQ_MAXOPERAND);
  unsigned h = hash(op->name);
  while (slot_of[h]) h = (h + 1) % HASH;
  slot_of[h] = (short)++nop;
  for (h = hash_op(op); slot_of_op[h];) h = (h + 1) % HASH;
  slot_of_op[h] = (short)nop;
  return EQ_OK;
}

int eq_ops_init(void) {
  if (nop) return EQ_OK;
  if (!table) table = calloc(MAXOP, sizeof *table);
  if (!table) return eq_nomem(MAXOP * sizeof *table);
  for (int f = 0; oplist[f]; f++)
    for (const eq_op *op = oplist[f]; op->name; op++)
      if (add(op)) {
        nop = 0;
        memset(slot_of, 0, sizeof slot_of);
        memset(slot_of_op, 0, sizeof slot_of_op);
        return EQ_ERR;
      }
  return EQ_OK;
}
