/* append.c -- cat along the channels into a buffer with room: what a dense block grows by.
 *
 * Joining L parts one after the other copies the first of them L times. Here a result lies in a
 * channels-last buffer of `room` channels, and as long as nothing was appended to it yet, the next
 * append writes behind it: the longer tensor and the shorter one are views of the same pixels. The
 * storage says how many channels are taken, so a second append to the same tensor makes a buffer of
 * its own. Going back, the gradient is not copied: its ranges of channels are handed on. */
#include "channel_norm.h"
#include <inttypes.h>
#include <string.h>

enum { X, NEW, PIECE = 65536 };

static int check(const eq_call *c) {
  const eq_tensor *x = c->in[X], *y = c->in[NEW];
  bool same = x->ndim >= 2 && y->ndim == x->ndim;
  for (int d = 0; same && d < x->ndim; d++) same = d == 1 || x->shape[d] == y->shape[d];
  if (same) return EQ_OK;
  return eq_fail("x is %s, new is %s; they must be B x C x .. and differ in C only", eq_shape_of(x),
                 eq_shape_of(y));
}

/* Strides of rows of `width` channels. */
static void row_strides(const eq_tensor *x, int64_t width, int64_t *stride) {
  stride[1] = 1;
  for (int d = x->ndim - 1; d >= 0; d--)
    if (d != 1) {
      stride[d] = width;
      width *= x->shape[d];
    }
}

/* x ends where its buffer's free channels begin, and those are enough. */
static bool has_room(const eq_tensor *x, int64_t more) {
  const eq_storage *s = x->storage;
  int64_t stride[EQ_MAXDIM];
  if (!s->room || s->taken != x->shape[1] || s->taken + more > s->room || x->data != s->data)
    return false;
  row_strides(x, s->room, stride);
  for (int d = 0; d < x->ndim; d++)
    if (x->shape[d] != 1 && x->stride[d] != stride[d]) return false;
  return true;
}

static int append_shape(eq_call *c) {
  if (check(c)) return EQ_ERR;
  const eq_tensor *x = c->in[X];
  int64_t shape[EQ_MAXDIM], stride[EQ_MAXDIM], more = c->in[NEW]->shape[1], room = c->arg[0].i;
  memcpy(shape, x->shape, sizeof shape);
  shape[1] += more;
  if (x->numel == 0 || more == 0 || !has_room(x, more)) {
    eq_tensor wide = *x;
    wide.shape[1] = shape[1] > room ? shape[1] : room;
    eq_tensor *buffer = eq_empty(x->dtype, x->ndim, wide.shape);
    if (!buffer) return eq_error.status;
    row_strides(x, wide.shape[1], stride);
    c->out[0] = eq_view(buffer, x->ndim, shape, stride, 0);
    if (c->out[0]) c->out[0]->storage->room = wide.shape[1];
    eq_release(buffer);
  } else {
    row_strides(x, x->storage->room, stride);
    c->out[0] = eq_view(x, x->ndim, shape, stride, 0);
  }
  c->nout = 1;
  return c->out[0] ? EQ_OK : (int)eq_error.status;
}

typedef struct job {
  const char *from;
  char *to;
  size_t bytes, from_step, to_step;
} job;

static void rows(int64_t begin, int64_t end, void *ctx) {
  const job *j = ctx;
  for (int64_t r = begin; r < end; r++)
    memcpy(j->to + (size_t)r * j->to_step, j->from + (size_t)r * j->from_step, j->bytes);
}

/* Copies x to the channels of y from `at` on. */
static int put(eq_tensor *y, eq_tensor *x, int64_t at) {
  int64_t stride, C = x->shape[1];
  size_t size = eq_size(x->dtype);
  if (x->numel == 0) return EQ_OK;
  eq_tensor *from = eq_channel_rows(x, &stride);
  if (!from) return eq_error.status;
  job j = {from->data, y->data + (size_t)at * size, (size_t)C * size, (size_t)stride * size,
           (size_t)y->storage->room * size};
  int bad = eq_parallel_for(x->numel / C, C < PIECE ? PIECE / C : 1, rows, &j);
  eq_release(from);
  return bad;
}

static int append_run(eq_call *c) {
  eq_tensor *x = c->in[X], *y = c->out[0];
  int bad = y->storage == x->storage ? EQ_OK : put(y, x, 0);
  if (!bad) bad = put(y, c->in[NEW], x->shape[1]);
  if (!bad) y->storage->taken = y->shape[1];
  return bad;
}

static int append_back(eq_call *c, eq_tensor **gy, eq_tensor **gx) {
  int64_t C = c->in[X]->shape[1], all = C + c->in[NEW]->shape[1];
  if (eq_needed(c, X)) gx[X] = eq_f("slice", "tiiii", gy[0], (int64_t)1, (int64_t)0, C, (int64_t)1);
  if (eq_needed(c, NEW)) gx[NEW] = eq_f("slice", "tiiii", gy[0], (int64_t)1, C, all, (int64_t)1);
  return eq_error.status;
}

const eq_op ops_append[] = {
    {.name = "append",
     .sig = "x:tensor, new:tensor, room:int=0 -> y",
     .doc = "x [B, C, ..] and new [B, D, ..] behind each other along dim 2, channels-last: "
            "cat({x, new}, 2) into\nmemory for `room` channels. Appending to such a result again "
            "copies only what is new, as long\nas there is room: y then shares x's memory, so "
            "neither should be changed in place.\nMemory-efficient dense blocks are made of it "
            "(Pleiss et al. 2017, arXiv 1707.06990).",
     .example = "local x = equi.append(equi.zeros(1, 2, 4, 4), equi.ones(1, 3, 4, 4), 8)\n"
                "local y = equi.append(x, equi.ones(1, 3, 4, 4))\n"
                "print(y:size())  --> 1 8 4 4\nprint(y:sum():item())  --> 96.0",
     .shape = append_shape,
     .run = append_run,
     .back = append_back,
     .flags = EQ_ANY_STRIDE,
     .where = EQ_HERE},
    {0}};
