/* backend.c -- the table of replaceable kernels.
 *
 * Every op brings a portable `run`. A backend (a separate .so, see backends/stub.c) may put its own
 * in place of single entries; what it does not name, or passes on, stays. */
#include "equi.h"

enum { MAXBACKEND = 16, MAXREPLACED = 256 };
static const eq_backend *backend[MAXBACKEND];
static struct {
  const eq_op *op;
  int (*run)(eq_call *c);
} replaced[MAXREPLACED];
static int nbackend, nreplaced;

int (*eq_run_of(const eq_op *op))(eq_call *c) {
  for (int i = nreplaced - 1; i >= 0; i--) /* the last one loaded */
    if (replaced[i].op == op) return replaced[i].run;
  return op->run;
}

const eq_backend *eq_backend_at(int i) { return i >= 0 && i < nbackend ? backend[i] : NULL; }

/* How many entries b has, or -1 when it cannot be used. */
static int check(const eq_backend *b) {
  int n = 0;
  if (b->version != EQ_BACKEND_VERSION) /* before anything else is read: its layout is not ours */
    return eq_fail("this backend is made for version %d, this is version %d; rebuild it",
                   b->version, EQ_BACKEND_VERSION),
           -1;
  for (; n < EQ_MAXENTRY && b->entry[n].op; n++) {
    const eq_op *op = eq_find(b->entry[n].op);
    if (!op || op->compose || op->flags & EQ_VIEW)
      return eq_fail("backend '%s' replaces '%s', which is no op with a kernel", b->name,
                     b->entry[n].op),
             -1;
  }
  if (nbackend == MAXBACKEND || nreplaced + n > MAXREPLACED)
    return eq_fail("at most %d backends and %d replaced kernels are in use at a time; see "
                   "backend.reset",
                   MAXBACKEND, MAXREPLACED),
           -1;
  return n;
}

int eq_backend_register(const eq_backend *b) {
  for (int i = 0; i < nbackend; i++)
    if (backend[i] == b) return EQ_OK;
  int n = check(b);
  if (n < 0) return EQ_ERR;
  for (int i = 0; i < n; i++) {
    replaced[nreplaced].op = eq_find(b->entry[i].op);
    replaced[nreplaced++].run = b->entry[i].run;
  }
  backend[nbackend++] = b;
  return EQ_OK;
}

void eq_backend_reset(void) { nbackend = nreplaced = 0; }
