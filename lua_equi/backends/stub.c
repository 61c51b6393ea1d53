/* stub.c -- the template of a backend: a library that puts its own kernels in place of ours.
 *
 * It replaces `add` with a plain loop, y = a + b, and counts its calls, which is all it is good
 * for: a spec loads it. To write a backend, copy this file to NAME.c here, rename the symbol to
 * eq_backend_NAME and fill the table; the build makes NAME.so of it, equi.backend.load "NAME" loads
 * it. Put ops into `entry` by the name in their row.
 *
 * A kernel gets the call after checks and with its outputs allocated. It reads c->in[i], writes
 * c->out[k]->data, returns EQ_OK, or EQ_PASS before it has written anything for a case that it does
 * not do: then the portable kernel runs. Inputs of element-wise ops are not broadcast yet and may
 * have any strides. It does not allocate tensors, call Lua or use other functions of the core: only
 * the structs of equi.h are shared, which is what `version` stands for. The results must equal the
 * portable ones up to rounding, on any number of threads. Calls that write in place keep the
 * portable kernel. */
#include "../core/equi.h"

#if defined(__GNUC__)
#define EXPORT __attribute__((visibility("default")))
#else
#define EXPORT
#endif

static int64_t calls;

static bool is_plain(const eq_tensor *x, const eq_tensor *y) {
  int64_t step = 1;
  for (int d = x->ndim - 1; d >= 0; d--) {
    if (x->stride[d] != step && x->shape[d] != 1) return false;
    step *= x->shape[d];
  }
  return x->dtype == EQ_F32 && x->numel == y->numel;
}

static int add(eq_call *c) {
  const eq_tensor *a = c->in[0], *b = c->in[1], *y = c->out[0];
  if (!is_plain(a, y) || !is_plain(b, y)) return EQ_PASS;
  const float *pa = (const float *)(void *)a->data, *pb = (const float *)(void *)b->data;
  float *py = (float *)(void *)y->data;
  for (int64_t i = 0; i < y->numel; i++) py[i] = pa[i] + pb[i];
  calls++;
  return EQ_OK;
}

static int64_t count(void) { return calls; }

EXPORT extern const eq_backend eq_backend_stub;
const eq_backend eq_backend_stub = {
    .version = EQ_BACKEND_VERSION, .name = "stub", .calls = count, .entry = {{"add", add}}};
