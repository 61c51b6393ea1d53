/* direct_window.c -- the part of an image that some lines of a result read, with its padding. */
#include "direct.h"
#include <string.h>

enum { PAGE = 1024, PAD = 16 }; /* numbers; see micro/gemm.c */

direct_window direct_window_of(const eq_conv *g) {
  direct_window w = {.x = (const float *)(const void *)g->x.data,
                     .image = g->x.image,
                     .row = g->x.row,
                     .pixel = g->x.pixel,
                     .h = g->h,
                     .w = g->w,
                     .c = g->ci / g->groups,
                     .oh = g->oh,
                     .ow = g->ow,
                     .si = g->sh,
                     .sj = g->sw,
                     .nu = (int)g->kh,
                     .nv = (int)g->kw};
  for (int64_t u = 0; u < g->kh; u++) w.u[u] = u * g->dh - g->top;
  for (int64_t v = 0; v < g->kw; v++) w.v[v] = v * g->dw - g->left;
  return w;
}

static int64_t lines_of(const direct_window *w, int64_t n) {
  return (n - 1) * w->si + w->u[w->nu - 1] - w->u[0] + 1;
}

static int64_t span_of(const direct_window *w) {
  return (w->ow - 1) * w->sj + w->v[w->nv - 1] - w->v[0] + 1;
}

static bool too_regular(const direct_window *w, int64_t pixel) {
  return w->sj * pixel % PAGE == 0 && w->ow > 4;
}

bool direct_in_place(const direct_window *w) {
  if (!w->nu || !w->nv) return true;
  return w->u[0] >= 0 && (w->oh - 1) * w->si + w->u[w->nu - 1] < w->h && w->v[0] >= 0 &&
         (w->ow - 1) * w->sj + w->v[w->nv - 1] < w->w && !too_regular(w, w->pixel);
}

static int64_t pixel_of(const direct_window *w) { return w->c + (too_regular(w, w->c) ? PAD : 0); }

int64_t direct_room(const direct_window *w, int64_t lines) {
  return w->nu && w->nv ? lines_of(w, lines) * span_of(w) * pixel_of(w) : 0;
}

/* n pixels of a line from number `from` on. */
static void copy_line(const direct_window *w, const float *line, int64_t from, int64_t n,
                      int64_t pixel, float *to) {
  int64_t first = from < 0 ? -from : 0, last = w->w - from < n ? w->w - from : n;
  if (!line || first >= last) {
    memset(to, 0, (size_t)(n * pixel) * sizeof *to);
    return;
  }
  memset(to, 0, (size_t)(first * pixel) * sizeof *to);
  memset(to + last * pixel, 0, (size_t)((n - last) * pixel) * sizeof *to);
  const float *x = line + (from + first) * w->pixel;
  to += first * pixel;
  if (w->pixel == pixel) {
    memcpy(to, x, (size_t)((last - first) * pixel) * sizeof *to);
    return;
  }
  for (int64_t j = first; j < last; j++, x += w->pixel, to += pixel)
    for (int64_t c = 0; c < w->c; c++) to[c] = x[c];
}

direct_lines direct_take(const direct_window *w, bool in_place, int64_t image, int64_t from,
                         int64_t to, float *room) {
  if (!w->nu || !w->nv) return (direct_lines){w->x, 0, 0};
  int64_t first = from * w->si + w->u[0];
  const float *x = w->x + image * w->image;
  if (in_place) return (direct_lines){x + first * w->row + w->v[0] * w->pixel, w->row, w->pixel};
  int64_t pixel = pixel_of(w), span = span_of(w), lines = lines_of(w, to - from);
  for (int64_t i = 0; i < lines; i++) {
    int64_t at = first + i;
    copy_line(w, at < 0 || at >= w->h ? NULL : x + at * w->row, w->v[0], span, pixel,
              room + i * span * pixel);
  }
  return (direct_lines){room, span * pixel, pixel};
}

bool direct_is_run(const direct_window *w, const direct_lines *l) {
  for (int v = 1; v < w->nv; v++)
    if (w->v[v] != w->v[v - 1] + 1) return false;
  return w->nv == 1 || l->pixel == w->c;
}
