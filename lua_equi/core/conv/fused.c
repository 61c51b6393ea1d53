/* fused.c -- convolution of a model whose weights do not change: they are packed once, and the
 * residual and relu are done as results leave the registers.
 *
 * Packed weights are a tensor, so that they live and die with their model: [panels of all groups,
 * taps, channels, width], what direct.c reads and winograd.c transforms. What fits the weights of
 * this call and the instruction set is used, else made anew. Where neither path is the one, the
 * general choice runs and the rest follows in passes. */
#include "conv.h"
#include "direct.h"
#include "winograd.h"
#include <string.h>

typedef struct way {
  const eq_conv_path *path;
  int (*forward)(const eq_conv *g, const float *packed, const float *add, bool relu);
} way;

static const way winograd = {&eq_conv_winograd, eq_winograd_forward};
static const way direct = {&eq_conv_direct, eq_direct_forward};

/* NULL: the general choice. With its weights packed Winograd's path pays earlier. */
static const way *choose(const eq_conv *g) {
  if (g->dtype != EQ_F32) return NULL;
  if (eq_conv_forced >= 0) {
    const eq_conv_path *forced = eq_conv_path_at(eq_conv_forced);
    if (forced == &eq_conv_winograd && eq_winograd_can(g)) return &winograd;
    return forced == &eq_conv_direct && eq_direct_can(g) ? &direct : NULL;
  }
  if (eq_conv_forced != EQ_CONV_EXACT && eq_winograd_can(g) &&
      eq_winograd_pays(g, EQ_CONV_FORWARD, true))
    return &winograd;
  if (eq_conv_depthwise.can(g, EQ_CONV_FORWARD) == EQ_CONV_GOOD) return NULL;
  return eq_direct_can(g) && eq_conv_direct.can(g, EQ_CONV_FORWARD) == EQ_CONV_GOOD ? &direct
                                                                                    : NULL;
}

/* Makes *packed what g's weights are packed. */
static int prepare(const eq_conv *g, eq_tensor **packed) {
  int64_t width = eq_micro()->width, row = g->kh * g->kw * (g->ci / g->groups) * width;
  int64_t shape[4] = {eq_direct_packed(g) / row, g->kh * g->kw, g->ci / g->groups, width};
  eq_tensor *p = *packed;
  if (p && p->ndim == 4 && !memcmp(p->shape, shape, sizeof shape) && p->dtype == EQ_F32 &&
      eq_is_contiguous(p))
    return EQ_OK;
  p = eq_empty(EQ_F32, 4, shape);
  if (!p) return eq_error.status;
  int bad = eq_direct_pack(g, (float *)(void *)p->data);
  if (bad) {
    eq_release(p);
    return bad;
  }
  eq_release(*packed);
  *packed = p;
  return EQ_OK;
}

static void count(const eq_conv_path *path) {
  for (int i = 0; eq_conv_path_at(i); i++)
    if (eq_conv_path_at(i) == path) eq_conv_ran[i][EQ_CONV_FORWARD]++;
}

int eq_conv_finish(eq_tensor *y, eq_tensor *add, bool relu) {
  eq_tensor *sum[3] = {y, add, y}, *cut[2] = {y, y};
  int bad = EQ_OK;
  if (add) bad = eq_elementwise(eq_find("add")->kernel[y->dtype], 3, sum, NULL);
  if (relu && !bad) bad = eq_elementwise(eq_find("relu")->kernel[y->dtype], 2, cut, NULL);
  return bad;
}

int eq_conv_fused(const eq_conv *g, eq_tensor **packed, eq_tensor *y, eq_tensor *add, bool relu) {
  const way *w = choose(g);
  if (!w) {
    int bad = eq_conv_run(g, EQ_CONV_FORWARD);
    return bad ? bad : eq_conv_finish(y, add, relu);
  }
  int bad = prepare(g, packed);
  if (bad) return bad;
  count(w->path);
  return w->forward(g, (const float *)(const void *)(*packed)->data,
                    add ? (const float *)(const void *)add->data : NULL, relu);
}
