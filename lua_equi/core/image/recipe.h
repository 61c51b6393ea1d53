/* recipe.h -- what becomes of a picture on its way into a batch, and the threads that do it. */
#ifndef EQ_RECIPE_H
#define EQ_RECIPE_H
#include "image.h"

/* In this order: a random part of the picture resized to the crop (area_to > 0), or resize and
 * crop; flip; quarter turns; normalise. Sizes of 0: leave out. */
typedef struct eq_recipe {
  int channels;           /* 1 gray, 3 RGB */
  int64_t resize;         /* the shorter side, in proportion */
  int64_t height, width;  /* or both sides */
  int64_t crop_h, crop_w; /* from the middle, or */
  bool random_crop;       /* from anywhere, */
  int64_t pad;            /* after so many black pixels were put around it */
  double area_from, area_to, ratio_from, ratio_to;
  double hflip; /* probability */
  bool rot90;   /* a random number of quarter turns */
  eq_filter filter;
  float mean[3], std[3];
  uint64_t seed;
  int64_t max_pixels;
} eq_recipe;

/* A picture in memory: strides in bytes. */
typedef struct eq_pixels {
  const uint8_t *data;
  int64_t height, width, channels, sy, sx, sc;
} eq_pixels;

/* value[c * 256 + byte]: (byte / 255 - mean) / std. Made once for a recipe. */
typedef struct eq_levels {
  float value[3 * 256];
} eq_levels;
void eq_recipe_levels(const eq_recipe *r, eq_levels *levels);

/* The size of the result for pictures of height x width; EQ_ERR and the sentence in why when the
 * recipe does not fit them. With height = 0 (sizes differ) only a recipe that fixes the size does.
 */
eq_status eq_recipe_size(const eq_recipe *r, int64_t height, int64_t width, int64_t *out_h,
                         int64_t *out_w, char *why, size_t room);

/* Writes the picture to out: out_h x out_w pixels, channels side by side. What is random depends on
 * the recipe's seed, epoch and index alone. Any thread. EQ_OK, EQ_ERR (why) or EQ_NOMEM. */
eq_status eq_recipe_run(const eq_recipe *r, const eq_levels *levels, const eq_pixels *in,
                        uint64_t epoch, uint64_t index, int64_t out_h, int64_t out_w, float *out,
                        char *why, size_t room);

/* ---- threads that read files (pool.c) ---- */
typedef struct eq_pool eq_pool;

/* One batch: made by the main thread, filled by the workers, taken by the main thread. */
typedef struct eq_batch {
  float *out;       /* n pictures */
  int64_t n, *item; /* numbers of the files, from 0; owned by whoever made the batch */
  uint64_t epoch;
  /* the pool's */
  int64_t next, done, bad; /* bad: the first place that failed, or -1 */
  eq_status status;
  char why[512];
} eq_batch;

/* The paths are copied. NULL: eq_error tells. Workers run until eq_pool_close. */
eq_pool *eq_pool_open(const eq_recipe *r, int64_t out_h, int64_t out_w, int64_t npath,
                      const char *const *path, int workers, int most);
/* Adds a batch behind the others; false when `most` are waiting. The pool keeps the pointer. */
bool eq_pool_add(eq_pool *pool, eq_batch *batch);
/* The oldest batch, when it is done, and no longer the pool's; NULL after Ctrl-C (eq_error) or when
 * there is none. */
eq_batch *eq_pool_take(eq_pool *pool);
/* Stops the workers, also in the middle of a picture, and frees everything but the batches. */
void eq_pool_close(eq_pool *pool);

#endif
