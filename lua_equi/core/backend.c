/* backend.c -- the table of replaceable kernels.
 *
 * Every op brings a portable `run`. A backend (a separate .so, see backends/stub.c) may put its own
 * in place of single entries; what it does not name stays. */
#include "equi.h"
#include <string.h>

enum { MAXREPLACED = 256 };
static struct {
  const eq_op *op;
  int (*run)(eq_call *c);
} replaced[MAXREPLACED];
static int nreplaced;

int (*eq_run_of(const eq_op *op))(eq_call *c) {
  for (int i = 0; i < nreplaced; i++)
    if (replaced[i].op == op) return replaced[i].run;
  return op->run;
}

int eq_backend_register(const eq_backend *b) {
  if (b->version != EQ_BACKEND_VERSION)
    return eq_fail("backend '%s' is made for version %d, this is version %d; rebuild it", b->name,
                   b->version, EQ_BACKEND_VERSION);
  for (int i = 0; b->entry[i].op; i++) {
    const eq_op *op = eq_find(b->entry[i].op);
    if (!op) return eq_fail("backend '%s' replaces '%s', which is no op", b->name, b->entry[i].op);
    if (nreplaced == MAXREPLACED) return eq_fail("more than %d replaced kernels", MAXREPLACED);
    replaced[nreplaced].op = op;
    replaced[nreplaced++].run = b->entry[i].run;
  }
  return EQ_OK;
}

void eq_backend_reset(void) { nreplaced = 0; }
