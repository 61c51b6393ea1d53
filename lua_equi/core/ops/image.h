/* image.h -- what the ops of images share: reading arguments that come for rows and columns. */
#include "../equi.h"
#include <inttypes.h>

enum { TOO_FAR = 1 << 30 };

EQ_UNUSED static int give(eq_call *c, eq_tensor *y) {
  c->out[0] = y;
  c->nout = 1;
  return y ? EQ_OK : eq_error.status;
}

/* The list in an argument: one number for all dims, or one for each. dims is 1 or 2. */
EQ_UNUSED static int read_each(const eq_call *c, int slot, const char *name, int dims,
                               int64_t least, int64_t *to) {
  int n;
  const int64_t *v = eq_list(c, slot, &n);
  if (n != 1 && n != dims)
    return eq_fail(dims == 1 ? "%s must be one number, got %d"
                             : "%s must be one number or two "
                               "{height, width}, got %d",
                   name, n);
  for (int d = 0; d < 2; d++) {
    to[d] = dims == 1 && d == 0 ? least : v[n == 1 || dims == 1 ? 0 : d];
    if (to[d] < least || to[d] > TOO_FAR)
      return eq_fail("%s must be at least %" PRId64 ", got %" PRId64, name, least, to[d]);
  }
  return EQ_OK;
}

EQ_UNUSED static int check_image(const eq_tensor *x, const char *name) {
  if (x->ndim == 4) return EQ_OK;
  return eq_fail("%s must be batch x channels x height x width, it is %s%s", name, eq_shape_of(x),
                 x->ndim == 3 ? "; :unsqueeze(1) makes it a batch of one" : "");
}
