/*
 * PNG files: 8-bit pixels to a file and back, through libpng.
 *
 * A picture is H x W x C bytes, rows from the top, channels interleaved; C is 1 (gray), 3 (RGB) or
 * 4 (RGBA). Every kind of PNG is read into one of these: palettes and 1, 2, 4-bit gray are
 * expanded, 16-bit samples are scaled to 8, transparency becomes alpha, gray with alpha RGBA.
 *
 * This is NOT a colour-managed reader: gamma, profiles and text chunks are skipped, so that a
 * training image gives the sample values that are in the file. Nothing here knows Lua.
 *
 * libpng reports errors by longjmp. All that changes between setjmp and the jump lives in a struct
 * behind a pointer (a local could be left in a register and come back stale), and one function per
 * direction opens, and closes, everything.
 */
#include <errno.h>
#include <fcntl.h>
#include <png.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "equi.h"
#include "file.h"
#include "image.h"

enum {
  SIGNATURE = 8,
  MAX_SIDE = INT32_MAX,       /* the format's own limit */
  MAX_RATIO = 1032,           /* deflate cannot expand a byte to more */
  MAX_CHUNK = 8 * 1024 * 1024 /* palettes and transparency are below 1 KiB */
};

struct job {
  FILE *file;
  png_structp png;
  png_infop info;
  uint8_t *pixels;
  int64_t height, width;
  int channels;
  int system_error; /* errno of a failed read or write, 0 when libpng itself complained */
  char message[200];
};

/* ---- what libpng calls ---- */

static void on_error(png_structp png, png_const_charp text) {
  struct job *job = png_get_error_ptr(png);
  snprintf(job->message, sizeof job->message, "%s", text);
  png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
  (void)png;
  (void)text; /* a library prints nothing */
}

static void on_write(png_structp png, png_bytep bytes, png_size_t n) {
  struct job *job = png_get_io_ptr(png);
  if (fwrite(bytes, 1, n, job->file) != n) {
    job->system_error = errno ? errno : EIO;
    png_error(png, "write failed");
  }
}

static void on_flush(png_structp png) { (void)png; /* flushed once, before fsync */ }

static void on_read(png_structp png, png_bytep bytes, png_size_t n) {
  struct job *job = png_get_io_ptr(png);
  if (fread(bytes, 1, n, job->file) != n) {
    if (ferror(job->file)) job->system_error = errno ? errno : EIO;
    png_error(png, "the file is cut off");
  }
}

static const char *reason(const struct job *job) {
  return job->system_error ? strerror(job->system_error) : job->message;
}

/* ---- writing ---- */

static int color_type(int channels) {
  if (channels == 1) return PNG_COLOR_TYPE_GRAY;
  return channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_RGB_ALPHA;
}

/* Returns 0, or -1 with the reason in job. The only frame that longjmp returns to when writing. */
static int encode(struct job *job, const uint8_t *pixels) {
  if (setjmp(png_jmpbuf(job->png))) return -1;
  png_set_write_fn(job->png, job, on_write, on_flush);
  png_set_user_limits(job->png, MAX_SIDE, MAX_SIDE);
  png_set_IHDR(job->png, job->info, (png_uint_32)job->width, (png_uint_32)job->height, 8,
               color_type(job->channels), PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_write_info(job->png, job->info);
  const size_t stride = (size_t)job->width * (size_t)job->channels;
  for (int64_t y = 0; y < job->height; y++) png_write_row(job->png, pixels + (size_t)y * stride);
  png_write_end(job->png, NULL);
  return 0;
}

static int encode_into(struct job *job, const uint8_t *pixels) {
  int bad = -1;
  snprintf(job->message, sizeof job->message, "out of memory");
  job->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, job, on_error, on_warning);
  if (job->png) job->info = png_create_info_struct(job->png);
  if (job->info) bad = encode(job, pixels);
  if (job->png) png_destroy_write_struct(&job->png, &job->info);
  return bad;
}

/* Puts the function's name before the sentence of file.c. */
static int named(int bad) {
  char why[sizeof eq_error.text];
  if (!bad) return 0;
  snprintf(why, sizeof why, "%s", eq_error.text);
  return eq_fail("png.write: %s", why);
}

/*
 * Writes height x width x channels bytes as a PNG. The target appears complete or not at all: the
 * bytes go to a file beside it, which is synced and renamed. Returns 0, or nonzero with the
 * message set (bad sizes, folder absent, disk full ...) and the old target untouched.
 */
int eq_png_write(const char *path, const uint8_t *pixels, int64_t height, int64_t width,
                 int channels) {
  if (channels != 1 && channels != 3 && channels != 4)
    return eq_fail("png.write: %d channels; a picture has 1 (gray), 3 (RGB) or 4 (RGBA)", channels);
  if (height < 1 || width < 1 || height > MAX_SIDE || width > MAX_SIDE)
    return eq_fail("png.write: a picture of %lld x %lld pixels; both sides must be 1 to %d",
                   (long long)height, (long long)width, (int)MAX_SIDE);

  struct job job = {.height = height, .width = width, .channels = channels};
  eq_draft draft;
  int bad = eq_draft_open(&draft, path);
  if (bad) return named(bad);
  job.file = draft.file;
  if (!encode_into(&job, pixels)) return named(eq_draft_commit(&draft));
  eq_draft_discard(&draft);
  return eq_fail("png.write: cannot write %s: %s", path, reason(&job));
}

/* ---- reading ---- */

/* Asks libpng for 8-bit gray, RGB or RGBA, whatever the file holds; returns the channel count. */
static int set_transforms(png_structp png, png_infop info) {
  const int type = png_get_color_type(png, info);
  const int transparent = (type & PNG_COLOR_MASK_ALPHA) || png_get_valid(png, info, PNG_INFO_tRNS);
  png_set_expand(png); /* palette to RGB, gray below 8 bits to 8, tRNS to alpha */
  png_set_scale_16(png);
  if (transparent && !(type & PNG_COLOR_MASK_COLOR)) png_set_gray_to_rgb(png);
  if (transparent) return 4;
  return type & PNG_COLOR_MASK_COLOR ? 3 : 1;
}

/* The header's size against the caller's limit and against what the file's bytes could expand to,
 * before anything of that size is allocated. */
static void check_size(struct job *job, int64_t file_bytes, int64_t max_pixels) {
  job->height = png_get_image_height(job->png, job->info);
  job->width = png_get_image_width(job->png, job->info);
  if (job->height > max_pixels / job->width) { /* libpng refuses a width of 0 itself */
    char text[160];
    snprintf(text, sizeof text, "%lld x %lld pixels, above the limit of %lld",
             (long long)job->height, (long long)job->width, (long long)max_pixels);
    png_error(job->png, text);
  }
  const int64_t row = (int64_t)png_get_rowbytes(job->png, job->info);
  if (row > file_bytes * MAX_RATIO / job->height) png_error(job->png, "the file is cut off");
}

/* Returns 0, or -1 with the reason in job. The only frame that longjmp returns to when reading. */
static int decode(struct job *job, int64_t file_bytes, int64_t max_pixels) {
  if (setjmp(png_jmpbuf(job->png))) return -1;
  png_structp png = job->png;
  png_set_read_fn(png, job, on_read);
  png_set_sig_bytes(png, SIGNATURE);
  png_set_user_limits(png, MAX_SIDE, MAX_SIDE); /* check_size has the real limit */
  png_set_chunk_malloc_max(png, MAX_CHUNK);
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1); /* all that is not pixels */
  png_read_info(png, job->info);
  check_size(job, file_bytes, max_pixels);
  job->channels = set_transforms(png, job->info);
  const int passes = png_set_interlace_handling(png);
  png_read_update_info(png, job->info);
  const size_t stride = (size_t)job->width * (size_t)job->channels;
  if (png_get_rowbytes(png, job->info) != stride) png_error(png, "an unknown kind of PNG");
  job->pixels = eq_alloc(stride * (size_t)job->height);
  if (!job->pixels) png_error(png, "out of memory");
  for (int pass = 0; pass < passes; pass++)
    for (int64_t y = 0; y < job->height; y++)
      png_read_row(png, job->pixels + (size_t)y * stride, NULL);
  png_read_end(png, NULL);
  return 0;
}

static int decode_from(struct job *job, int64_t file_bytes, int64_t max_pixels) {
  int bad = -1;
  uint8_t start[SIGNATURE];
  if (fread(start, 1, SIGNATURE, job->file) != SIGNATURE || png_sig_cmp(start, 0, SIGNATURE)) {
    snprintf(job->message, sizeof job->message, "not a PNG file");
    return -1;
  }
  snprintf(job->message, sizeof job->message, "out of memory");
  job->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, job, on_error, on_warning);
  if (job->png) job->info = png_create_info_struct(job->png);
  if (job->info) bad = decode(job, file_bytes, max_pixels);
  if (job->png) png_destroy_read_struct(&job->png, &job->info, NULL);
  if (bad && job->pixels) {
    eq_free(job->pixels, (size_t)(job->height * job->width) * (size_t)job->channels);
    job->pixels = NULL;
  }
  return bad;
}

/* Opens a regular file for reading and gives its size; NULL with errno set. O_NONBLOCK: a pipe
 * under that name must be refused, not waited for. */
static FILE *open_regular(const char *path, int64_t *size) {
  struct stat st;
  const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return NULL;
  FILE *file = NULL;
  if (fstat(fd, &st) == 0) {
    if (S_ISREG(st.st_mode))
      file = fdopen(fd, "rb");
    else
      errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
  }
  if (!file) {
    const int why = errno;
    close(fd);
    errno = why;
    return NULL;
  }
  *size = (int64_t)st.st_size;
  return file;
}

/*
 * Reads a PNG of any kind into 8-bit gray, RGB or RGBA; *pixels is the caller's, to be
 * given to eq_free with its height * width * channels bytes.
 * A picture of more than max_pixels is refused before memory is taken for it. Returns 0, or
 * nonzero with the message set and *pixels NULL; a cut-off or damaged file never gives a part.
 */
int eq_png_read(const char *path, uint8_t **pixels, int64_t *height, int64_t *width, int *channels,
                int64_t max_pixels) {
  struct job job = {0};
  int64_t size = 0;
  *pixels = NULL;
  job.file = open_regular(path, &size);
  if (!job.file) return eq_fail("png.read: cannot open %s: %s", path, strerror(errno));
  const int bad = decode_from(&job, size, max_pixels);
  fclose(job.file);
  if (bad) return eq_fail("png.read: %s: %s", path, reason(&job));
  *pixels = job.pixels;
  *height = job.height;
  *width = job.width;
  *channels = job.channels;
  return 0;
}
