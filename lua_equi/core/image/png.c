/* png.c -- PNG files through libpng: every kind is read as 8-bit RGB or RGBA, and 8-bit pixels are
 * written.
 *
 * As RGB the result is that of PIL's convert("RGB"): palettes and 1, 2, 4-bit gray are expanded,
 * alpha and transparent colours are dropped, not blended, and of 16-bit samples the upper byte is
 * kept (for gray PIL clips to 255 instead, which leaves white). As RGBA transparency becomes alpha.
 *
 * This is NOT a colour-managed reader: gamma, profiles and text chunks are skipped, so that a
 * training image gives the sample values that are in the file.
 *
 * libpng reports errors by longjmp. All that changes between setjmp and the jump lives in a struct
 * behind a pointer (a local could be left in a register and come back stale), and one function per
 * direction opens, and closes, everything. */
#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "file.h"
#include "image.h"

enum {
  MAX_RATIO = 1032,            /* deflate cannot expand a byte to more */
  MAX_CHUNK = 8 * 1024 * 1024, /* palettes and transparency are below 1 KiB */
  LOOK = 64                    /* rows between two looks for Ctrl-C */
};

static void on_warning(png_structp png, png_const_charp text) {
  (void)png;
  (void)text; /* a library prints nothing */
}

/* ---- reading ---- */

struct reading {
  eq_picture *p;
  eq_source *s;
  png_structp png;
  png_infop info;
  uint8_t *pixels;
};

static void on_read_error(png_structp png, png_const_charp text) {
  struct reading *r = png_get_error_ptr(png);
  eq_picture_fail(r->p, EQ_ERR, "%s", text);
  png_longjmp(png, 1);
}

static void on_read(png_structp png, png_bytep bytes, png_size_t n) {
  struct reading *r = png_get_io_ptr(png);
  if (eq_source_read(r->s, bytes, n) != n)
    png_error(png, r->s->system_error ? "the disk cannot read it" : "the file is cut off");
}

/* Asks libpng for 8-bit RGB or RGBA, whatever the file holds. */
static void set_transforms(struct reading *r) {
  png_set_expand(r->png); /* palette to RGB, gray below 8 bits to 8, tRNS to alpha */
  png_set_strip_16(r->png);
  png_set_gray_to_rgb(r->png);
  if (r->p->channels == 4)
    png_set_add_alpha(r->png, 255, PNG_FILLER_AFTER);
  else
    png_set_strip_alpha(r->png);
}

/* The header's size against the caller's limit and against what the file's bytes could expand to,
 * before anything of that size is allocated. */
static void check_size(struct reading *r) {
  const int64_t height = png_get_image_height(r->png, r->info);
  if (!eq_picture_fits(r->p, height, png_get_image_width(r->png, r->info)))
    png_error(r->png, "too large");
  const int64_t row = (int64_t)png_get_rowbytes(r->png, r->info);
  if (row > r->s->size * MAX_RATIO / height) png_error(r->png, "the file is cut off");
}

static void read_rows(struct reading *r, int passes, size_t stride) {
  for (int pass = 0; pass < passes; pass++)
    for (int64_t y = 0; y < r->p->height; y++) {
      if (y % LOOK == 0 && r->p->stop && r->p->stop(r->p)) {
        eq_picture_fail(r->p, EQ_STOP, "interrupted");
        png_error(r->png, "interrupted");
      }
      png_read_row(r->png, r->pixels + (size_t)y * stride, NULL);
    }
}

/* The only frame that longjmp returns to when reading. */
static void decode(struct reading *r) {
  if (setjmp(png_jmpbuf(r->png))) return;
  png_set_read_fn(r->png, r, on_read);
  png_set_user_limits(r->png, EQ_MAX_SIDE, EQ_MAX_SIDE); /* check_size has the real limit */
  png_set_chunk_malloc_max(r->png, MAX_CHUNK);
  png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1); /* all but pixels */
  png_read_info(r->png, r->info);
  check_size(r);
  set_transforms(r);
  const int passes = png_set_interlace_handling(r->png);
  png_read_update_info(r->png, r->info);
  const size_t stride = (size_t)r->p->width * (size_t)r->p->channels;
  if (png_get_rowbytes(r->png, r->info) != stride) png_error(r->png, "an unknown kind of PNG");
  r->pixels = r->p->place(r->p);
  if (!r->pixels) {
    eq_picture_fail(r->p, EQ_NOMEM, "out of memory");
    png_error(r->png, "out of memory");
  }
  read_rows(r, passes, stride);
  png_read_end(r->png, NULL);
}

eq_status eq_png_read(eq_picture *p, eq_source *s) {
  struct reading r = {.p = p, .s = s};
  r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_read_error, on_warning);
  if (r.png) r.info = png_create_info_struct(r.png);
  if (r.info)
    decode(&r);
  else
    eq_picture_fail(p, EQ_NOMEM, "out of memory");
  if (r.png) png_destroy_read_struct(&r.png, &r.info, NULL);
  return p->status;
}

/* ---- writing ---- */

struct writing {
  FILE *file;
  png_structp png;
  png_infop info;
  const uint8_t *pixels;
  int64_t height, width;
  int channels, system_error;
  bool stopped;
  char why[200];
};

static void on_write_error(png_structp png, png_const_charp text) {
  struct writing *w = png_get_error_ptr(png);
  snprintf(w->why, sizeof w->why, "%s", text);
  png_longjmp(png, 1);
}

static void on_write(png_structp png, png_bytep bytes, png_size_t n) {
  struct writing *w = png_get_io_ptr(png);
  if (fwrite(bytes, 1, n, w->file) != n) {
    w->system_error = errno ? errno : EIO;
    png_error(png, "write failed");
  }
}

static void on_flush(png_structp png) { (void)png; /* flushed once, before fsync */ }

static int color_type(int channels) {
  if (channels == 1) return PNG_COLOR_TYPE_GRAY;
  return channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_RGB_ALPHA;
}

/* Returns 0, or -1 with the reason in w. The only frame that longjmp returns to when writing. */
static int encode(struct writing *w) {
  if (setjmp(png_jmpbuf(w->png))) return -1;
  png_set_write_fn(w->png, w, on_write, on_flush);
  png_set_user_limits(w->png, EQ_MAX_SIDE, EQ_MAX_SIDE);
  png_set_IHDR(w->png, w->info, (png_uint_32)w->width, (png_uint_32)w->height, 8,
               color_type(w->channels), PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_write_info(w->png, w->info);
  const size_t stride = (size_t)w->width * (size_t)w->channels;
  for (int64_t y = 0; y < w->height; y++) {
    if (y % LOOK == 0 && eq_poll && eq_poll()) {
      w->stopped = true;
      png_error(w->png, "interrupted");
    }
    png_write_row(w->png, w->pixels + (size_t)y * stride);
  }
  png_write_end(w->png, NULL);
  return 0;
}

static int encode_into(struct writing *w) {
  int bad = -1;
  snprintf(w->why, sizeof w->why, "out of memory");
  w->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, w, on_write_error, on_warning);
  if (w->png) w->info = png_create_info_struct(w->png);
  if (w->info) bad = encode(w);
  if (w->png) png_destroy_write_struct(&w->png, &w->info);
  return bad;
}

/* The target appears complete or not at all: the bytes go to a file beside it, which is synced and
 * renamed. After a failure (folder absent, disk full ...) the old target is untouched. */
int eq_png_write(const char *path, const uint8_t *pixels, int64_t height, int64_t width,
                 int channels) {
  struct writing w = {.pixels = pixels, .height = height, .width = width, .channels = channels};
  eq_draft draft;
  const int bad = eq_draft_open(&draft, path);
  if (bad) return bad;
  w.file = draft.file;
  if (!encode_into(&w)) return eq_draft_commit(&draft);
  eq_draft_discard(&draft);
  if (w.stopped) return eq_stopped();
  return eq_fail("cannot write %s: %s", path, w.system_error ? strerror(w.system_error) : w.why);
}
