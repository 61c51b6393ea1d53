/* recipe.c -- from a picture to its place in a batch, in one pass: resize, crop, flip, turn,
 * normalise.
 *
 *   out[y, x, c] = (pixel / 255 - mean[c]) / std[c],   pixels outside of the picture are 0 (black)
 *
 * Resizing and the middle crop are those of torchvision's Resize, CenterCrop and RandomResizedCrop;
 * random numbers are Philox's, by seed, epoch and the picture's number: which thread does the work,
 * and when, changes nothing. NOT here: decoding (source.c), threads (pool.c). */
#include "recipe.h"

#include <math.h>
#include <stdlib.h>

void eq_recipe_levels(const eq_recipe *r, eq_levels *levels) {
  for (int c = 0; c < 3; c++)
    for (int v = 0; v < 256; v++)
      levels->value[c * 256 + v] = ((float)v / 255.0f - r->mean[c]) / r->std[c];
}

/* ---- sizes ---- */

struct size {
  int64_t h, w;
};

/* The size after the resize. */
static struct size resized(const eq_recipe *r, int64_t h, int64_t w) {
  if (r->height) return (struct size){r->height, r->width};
  if (!r->resize) return (struct size){h, w};
  if (h <= w) return (struct size){r->resize, r->resize * w / h};
  return (struct size){r->resize * h / w, r->resize};
}

eq_status eq_recipe_size(const eq_recipe *r, int64_t height, int64_t width, int64_t *out_h,
                         int64_t *out_w, char *why, size_t room) {
  struct size s = {r->crop_h, r->crop_w};
  if (!r->crop_h) {
    if (!r->height && !height) {
      snprintf(why, room,
               "the pictures of a batch must have one size; give crop, or resize as "
               "{height, width}");
      return EQ_ERR;
    }
    s = resized(r, height, width);
  }
  if (r->crop_h && height && r->area_to <= 0) {
    const struct size from = resized(r, height, width);
    if (from.h + 2 * r->pad < s.h || from.w + 2 * r->pad < s.w) {
      snprintf(why, room, "%lld x %lld pixels are too few for a crop of %lld x %lld; resize first",
               (long long)from.h, (long long)from.w, (long long)s.h, (long long)s.w);
      return EQ_ERR;
    }
  }
  if (r->rot90 && s.h != s.w) {
    snprintf(why, room, "rot90 needs square pictures, these become %lld x %lld; give a square crop",
             (long long)s.h, (long long)s.w);
    return EQ_ERR;
  }
  *out_h = s.h;
  *out_w = s.w;
  return EQ_OK;
}

/* ---- random numbers ---- */

struct draws {
  uint64_t key, counter;
  uint32_t bits[4];
  int left;
};

static uint64_t mix(uint64_t z) { /* the finalizer of splitmix64 */
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

static struct draws draws_of(uint64_t seed, uint64_t epoch, uint64_t index) {
  return (struct draws){mix(seed + 0x9e3779b97f4a7c15ULL * (epoch + 1)), index << 16, {0}, 0};
}

static uint32_t bits(struct draws *d) {
  if (!d->left) {
    eq_philox(d->key, d->counter++, d->bits);
    d->left = 4;
  }
  return d->bits[--d->left];
}

/* 0 ... n - 1 */
static int64_t below(struct draws *d, int64_t n) {
  return (int64_t)(((uint64_t)bits(d) * (uint64_t)n) >> 32);
}

static double between(struct draws *d, double from, double to) {
  return from + (to - from) * (bits(d) * 0x1p-32);
}

/* ---- which part of the picture ---- */

/* Half of n, halves to the even number: Python's round, which torchvision uses. */
static int64_t half(int64_t n) { return n % 4 == 3 ? n / 2 + 1 : n / 2; }

/* Inception's crop: a share of the area and a ratio of the sides, drawn until it fits. */
static eq_window random_part(const eq_recipe *r, struct draws *d, int64_t h, int64_t w) {
  const double area = (double)h * (double)w;
  for (int attempt = 0; attempt < 10; attempt++) {
    const double share = area * between(d, r->area_from, r->area_to);
    const double ratio = exp(between(d, log(r->ratio_from), log(r->ratio_to)));
    const int64_t pw = (int64_t)lround(sqrt(share * ratio));
    const int64_t ph = (int64_t)lround(sqrt(share / ratio));
    if (pw < 1 || ph < 1 || pw > w || ph > h) continue;
    const int64_t top = below(d, h - ph + 1);
    return (eq_window){top, below(d, w - pw + 1), ph, pw};
  }
  const double ratio = (double)w / (double)h;
  eq_window part = {0, 0, h, w};
  if (ratio < r->ratio_from) part.height = (int64_t)lround((double)w / r->ratio_from);
  if (ratio > r->ratio_to) part.width = (int64_t)lround((double)h * r->ratio_to);
  if (part.height < 1) part.height = 1;
  if (part.width < 1) part.width = 1;
  part.top = (h - part.height) / 2;
  part.left = (w - part.width) / 2;
  return part;
}

/* The window of the resized picture, which padding lets begin before it. */
static eq_window crop(const eq_recipe *r, struct draws *d, struct size s) {
  if (!r->crop_h) return (eq_window){0, 0, s.h, s.w};
  const int64_t rest_h = s.h + 2 * r->pad - r->crop_h, rest_w = s.w + 2 * r->pad - r->crop_w;
  eq_window part = {half(rest_h) - r->pad, half(rest_w) - r->pad, r->crop_h, r->crop_w};
  if (r->random_crop) {
    part.top = below(d, rest_h + 1) - r->pad;
    part.left = below(d, rest_w + 1) - r->pad;
  }
  return part;
}

/* What of the window lies in the picture. */
static eq_window inside(eq_window part, struct size s) {
  const int64_t bottom = part.top + part.height, right = part.left + part.width;
  eq_window in = {part.top < 0 ? 0 : part.top, part.left < 0 ? 0 : part.left, 0, 0};
  in.height = (bottom < s.h ? bottom : s.h) - in.top;
  in.width = (right < s.w ? right : s.w) - in.left;
  if (in.height < 0) in.height = 0;
  if (in.width < 0) in.width = 0;
  return in;
}

/* ---- pixels ---- */

/* The pixel of `in` that result (y, x) takes is (ay + by * y + cy * x, ax + bx * y + cx * x). */
struct walk {
  int64_t ay, by, cy, ax, bx, cx;
};

/* n x m results: the window's corner, then the flip, then `turns` quarter turns as rot90 does. */
static struct walk walk_of(int64_t top, int64_t left, int64_t n, int64_t m, bool flip, int turns) {
  /* (y, x) of the turned result as a pixel of the unturned one, of which n = m when turns is odd */
  static const int turn[4][4] = {{1, 0, 0, 1}, {0, 1, -1, 0}, {-1, 0, 0, -1}, {0, -1, 1, 0}};
  const int *t = turn[turns];
  struct walk k = {t[0] + t[1] < 0 ? n - 1 : 0, t[0], t[1],
                   t[2] + t[3] < 0 ? m - 1 : 0, t[2], t[3]};
  if (flip) k = (struct walk){k.ay, k.by, k.cy, m - 1 - k.ax, -k.bx, -k.cx};
  k.ay += top;
  k.ax += left;
  return k;
}

static void gather(const eq_pixels *in, const eq_levels *levels, bool to_gray, struct walk k,
                   int64_t h, int64_t w, float *out) {
  const int64_t c = to_gray ? 1 : in->channels;
  for (int64_t y = 0; y < h; y++)
    for (int64_t x = 0; x < w; x++, out += c) {
      const int64_t py = k.ay + k.by * y + k.cy * x, px = k.ax + k.bx * y + k.cx * x;
      const bool is_in = py >= 0 && py < in->height && px >= 0 && px < in->width;
      const uint8_t *p = in->data + (is_in ? py * in->sy + px * in->sx : 0);
      if (to_gray) {
        const int v = p[0] * 19595 + p[in->sc] * 38470 + p[2 * in->sc] * 7471 + 0x8000;
        out[0] = levels->value[is_in ? v >> 16 : 0];
        continue;
      }
      for (int64_t j = 0; j < c; j++) out[j] = levels->value[j * 256 + (is_in ? p[j * in->sc] : 0)];
    }
}

/* Makes *p the `part` of itself at another size, in a block that *block owns. */
static eq_status resize(const eq_recipe *r, eq_pixels *p, struct size s, eq_window part,
                        uint8_t **block) {
  const int64_t c = p->channels;
  *block = malloc((size_t)(part.height * part.width * c) + 1);
  if (!*block) return EQ_NOMEM;
  const eq_status status =
      eq_resize_u8(p->data, p->sy, p->height, p->width, (int)c, s.h, s.w, r->filter, part, *block);
  *p = (eq_pixels){*block, part.height, part.width, c, part.width * c, c, 1};
  return status;
}

/* Resizing reads pixels whose channels lie side by side; others are copied to such a block. */
static eq_status interleave(eq_pixels *p, uint8_t **block) {
  const int64_t c = p->channels;
  if (p->sc == 1 && p->sx == c) return EQ_OK;
  uint8_t *to = *block = malloc((size_t)(p->height * p->width * c) + 1);
  if (!to) return EQ_NOMEM;
  for (int64_t y = 0; y < p->height; y++)
    for (int64_t x = 0; x < p->width; x++)
      for (int64_t j = 0; j < c; j++) *to++ = p->data[y * p->sy + x * p->sx + j * p->sc];
  *p = (eq_pixels){*block, p->height, p->width, c, p->width * c, c, 1};
  return EQ_OK;
}

/* What of the picture is taken: *from loses what a random part leaves out, *s is the size to give
 * it, the result is the window of that size. */
static eq_window choose(const eq_recipe *r, struct draws *d, eq_pixels *from, struct size *s) {
  if (r->area_to <= 0) {
    *s = resized(r, from->height, from->width);
    return crop(r, d, *s);
  }
  const eq_window part = random_part(r, d, from->height, from->width);
  from->data += part.top * from->sy + part.left * from->sx;
  from->height = part.height;
  from->width = part.width;
  *s = (struct size){r->crop_h, r->crop_w};
  return (eq_window){0, 0, s->h, s->w};
}

eq_status eq_recipe_run(const eq_recipe *r, const eq_levels *levels, const eq_pixels *in,
                        uint64_t epoch, uint64_t index, int64_t out_h, int64_t out_w, float *out,
                        char *why, size_t room) {
  int64_t h, w;
  if (eq_recipe_size(r, in->height, in->width, &h, &w, why, room)) return EQ_ERR;
  if (h != out_h || w != out_w) {
    snprintf(why, room, "it becomes %lld x %lld pixels, the batch has %lld x %lld", (long long)h,
             (long long)w, (long long)out_h, (long long)out_w);
    return EQ_ERR;
  }
  struct draws d = draws_of(r->seed, epoch, index);
  uint8_t *copied = NULL, *made = NULL;
  eq_pixels from = *in;
  struct size s;
  eq_window part = choose(r, &d, &from, &s);
  eq_status status = EQ_OK;
  if (s.h != from.height || s.w != from.width) {
    const eq_window needed = inside(part, s);
    status = interleave(&from, &copied);
    if (status == EQ_OK) status = resize(r, &from, s, needed, &made);
    part.top -= needed.top;
    part.left -= needed.left;
  }
  if (status == EQ_OK) {
    const bool flip = r->hflip > 0 && between(&d, 0, 1) < r->hflip;
    const int turns = r->rot90 ? (int)below(&d, 4) : 0;
    gather(&from, levels, r->channels == 1 && in->channels == 3,
           walk_of(part.top, part.left, out_h, out_w, flip, turns), out_h, out_w, out);
  }
  free(copied);
  free(made);
  return status;
}
