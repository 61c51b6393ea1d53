/* image.h -- pictures: files and bytes to pixels, pixels to other sizes, pixels to batches.
 *
 * Pixels are H x W x C bytes, rows from the top, the channels of a pixel side by side. Everything
 * here may run on any thread: it touches no shared state, takes memory from malloc and reports into
 * the caller's struct. Only eq_png_write belongs to the main thread. */
#ifndef EQ_IMAGE_H
#define EQ_IMAGE_H
#include "equi.h"
#include <stdio.h>

/* Larger pictures are refused unless asked for: 1 GiB as 3 floats a pixel. PIL warns from here. */
enum { EQ_MAX_PIXELS = 89478485, EQ_MAX_SIDE = INT32_MAX };

/* ---- reading (source.c) ---- */
typedef struct eq_picture {
  /* what is wanted */
  int channels; /* 3 RGB or 4 RGBA */
  int64_t max_pixels;
  /* Called once, when height and width are known: room for height * width * channels bytes; NULL
   * when there is no memory. What it gives stays the caller's, also after a failure. */
  uint8_t *(*place)(struct eq_picture *p);
  bool (*stop)(struct eq_picture *p); /* asked every few rows; NULL: never */
  void *owner;
  /* what came of it */
  int64_t height, width;
  eq_status status;
  char why[256]; /* the sentence, without the file's name */
} eq_picture;

/* Where a decoder's bytes come from. */
typedef struct eq_source {
  FILE *file; /* or, when NULL, the bytes */
  const uint8_t *bytes;
  size_t left;
  int64_t size;     /* of the whole file */
  int system_error; /* errno of a read that failed, else 0 */
} eq_source;
size_t eq_source_read(eq_source *s, void *to, size_t n); /* less than n: the end, or an error */

/* Any PNG or JPEG. EQ_OK, EQ_ERR (see why), EQ_NOMEM or EQ_STOP; never a part of a picture. */
eq_status eq_picture_file(eq_picture *p, const char *path);
eq_status eq_picture_bytes(eq_picture *p, const void *bytes, size_t n);
/* Sets status and why; returns the status. Keeps an earlier failure. */
eq_status eq_picture_fail(eq_picture *p, eq_status status, const char *fmt, ...) EQ_PRINTF(3, 4);
/* height x width from the header: false, and p has failed, above max_pixels. */
bool eq_picture_fits(eq_picture *p, int64_t height, int64_t width);

/* ---- the formats: the source stands at the first byte ---- */
eq_status eq_png_read(eq_picture *p, eq_source *s);
eq_status eq_jpeg_read(eq_picture *p, eq_source *s);
const char *eq_jpeg_name(void); /* the library that is built in, or NULL */

/* Writes a PNG whole or not at all; 1 (gray), 3 (RGB) or 4 (RGBA) channels. EQ_OK, or another
 * status with the sentence in eq_error. */
int eq_png_write(const char *path, const uint8_t *pixels, int64_t height, int64_t width,
                 int channels);

/* ---- other sizes (resize.c) ---- */
typedef enum { EQ_NEAREST, EQ_BILINEAR, EQ_BICUBIC } eq_filter;
typedef struct eq_window { /* the part of the result that is wanted */
  int64_t top, left, height, width;
} eq_window;
/* in: h x w pixels of c numbers, rows `row` numbers apart, as the h2 x w2 picture PIL would make of
 * it; its window goes to out, row after row. EQ_OK or EQ_NOMEM. */
eq_status eq_resize_u8(const uint8_t *in, int64_t row, int64_t h, int64_t w, int c, int64_t h2,
                       int64_t w2, eq_filter filter, eq_window part, uint8_t *out);
eq_status eq_resize_f32(const float *in, int64_t row, int64_t h, int64_t w, int c, int64_t h2,
                        int64_t w2, eq_filter filter, eq_window part, float *out);
eq_status eq_resize_f64(const double *in, int64_t row, int64_t h, int64_t w, int c, int64_t h2,
                        int64_t w2, eq_filter filter, eq_window part, double *out);

#endif
