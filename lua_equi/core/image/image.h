/* image.h -- pictures as bytes: H x W x C, rows from the top, C = 1 gray, 3 RGB, 4 RGBA. A file of
 * its own beside equi.h, because only core/lua/image.c reads it. */
#ifndef EQ_IMAGE_H
#define EQ_IMAGE_H
#include <stdint.h>

/* Writes a PNG whole or not at all. Returns 0, or nonzero with the sentence in eq_error. */
int eq_png_write(const char *path, const uint8_t *pixels, int64_t height, int64_t width,
                 int channels);
/* Reads any PNG as 8-bit gray, RGB or RGBA; refuses more than max_pixels pixels. *pixels is the
 * caller's: eq_free(*pixels, height * width * channels). Returns as eq_png_write. */
int eq_png_read(const char *path, uint8_t **pixels, int64_t *height, int64_t *width, int *channels,
                int64_t max_pixels);

#endif
