/* jpeg.c -- JPEG files through libjpeg-turbo, read as 8-bit RGB or RGBA: baseline and progressive,
 * gray, colour in any sampling, and CMYK, with the numbers of PIL's convert("RGB"): slow integer
 * transform, smooth upsampling, CMYK taken as inverted (Adobe's way) and mixed with black.
 *
 * Orientation in EXIF is NOT applied (torchvision does not either), profiles are skipped. A file
 * that is cut off is refused, where the library alone would fill up with gray.
 *
 * A build without the library has this file too: it then says so when a JPEG is opened. The library
 * reports errors by longjmp; everything that changes after setjmp lives in a struct. */
#include "image.h"

#ifndef EQ_JPEG

const char *eq_jpeg_name(void) { return NULL; }

eq_status eq_jpeg_read(eq_picture *p, eq_source *s) {
  (void)s;
  return eq_picture_fail(p, EQ_ERR,
                         "a JPEG, and this build reads none: install libjpeg-turbo's development "
                         "package ('make deps' knows it) and build again");
}

#else
#include <jpeglib.h>
#include <setjmp.h>
#include <string.h>

#if defined(LIBJPEG_TURBO_VERSION)
#define NAME "libjpeg-turbo " EQ_STR(LIBJPEG_TURBO_VERSION)
#else
#define NAME "libjpeg " EQ_STR(JPEG_LIB_VERSION)
#endif
const char *eq_jpeg_name(void) { return NAME; }

enum {
  BUFFER = 16384,
  MAX_SCANS = 100,  /* a progressive file has 10; each costs a walk over all coefficients */
  MAX_RATIO = 2048, /* pixels a byte: 64 of the largest component take a bit, its share is a 4th */
  LOOK = 16         /* calls of `progress` between two looks for Ctrl-C */
};

struct job {
  struct jpeg_decompress_struct d; /* first: the library's callbacks get its address */
  struct jpeg_error_mgr errors;
  struct jpeg_source_mgr source;
  struct jpeg_progress_mgr progress;
  jmp_buf back;
  eq_picture *p;
  eq_source *s;
  uint8_t *pixels;
  int calls;
  uint8_t buffer[BUFFER];
};

static struct job *job_of(void *d) { return d; }

static void fail(struct job *job, eq_status status, const char *why) {
  eq_picture_fail(job->p, status, "%s", why);
  longjmp(job->back, 1);
}

/* ---- what the library calls ---- */

static void on_error(j_common_ptr d) {
  char text[JMSG_LENGTH_MAX];
  d->err->format_message(d, text);
  fail(job_of(d), EQ_ERR, text);
}

static void on_message(j_common_ptr d, int level) {
  (void)level;
  (void)d; /* as PIL: what the library mends is not an error */
}

static void on_output(j_common_ptr d) { (void)d; /* a library prints nothing */ }

static void on_init(j_decompress_ptr d) { (void)d; }

static boolean on_fill(j_decompress_ptr d) {
  struct job *job = job_of(d);
  const size_t n = eq_source_read(job->s, job->buffer, BUFFER);
  if (!n)
    fail(job, EQ_ERR, job->s->system_error ? "the disk cannot read it" : "the file is cut off");
  job->source.next_input_byte = job->buffer;
  job->source.bytes_in_buffer = n;
  return TRUE;
}

static void on_skip(j_decompress_ptr d, long n) {
  struct job *job = job_of(d);
  while (n > (long)job->source.bytes_in_buffer) {
    n -= (long)job->source.bytes_in_buffer;
    on_fill(d);
  }
  if (n <= 0) return;
  job->source.next_input_byte += n;
  job->source.bytes_in_buffer -= (size_t)n;
}

static void on_progress(j_common_ptr d) {
  struct job *job = job_of(d);
  if (job->d.input_scan_number > MAX_SCANS) fail(job, EQ_ERR, "a JPEG of more than 100 scans");
  if (++job->calls % LOOK == 0 && job->p->stop && job->p->stop(job->p))
    fail(job, EQ_STOP, "interrupted");
}

static void prepare(struct job *job) {
  job->d.err = jpeg_std_error(&job->errors);
  job->errors.error_exit = on_error;
  job->errors.emit_message = on_message;
  job->errors.output_message = on_output;
  job->source.init_source = on_init;
  job->source.fill_input_buffer = on_fill;
  job->source.skip_input_data = on_skip;
  job->source.resync_to_restart = jpeg_resync_to_restart;
  job->source.term_source = on_init;
  job->progress.progress_monitor = on_progress;
}

/* ---- rows ---- */

/* a * b / 255, rounded, as PIL does it */
static int share(int a, int b) {
  const int t = a * b + 128;
  return ((t >> 8) + t) >> 8;
}

/* C, M, Y, K as they are in the file, which means inverted. */
static void from_cmyk(uint8_t *out, const uint8_t *in, int64_t width, int channels) {
  for (int64_t x = 0; x < width; x++, in += 4, out += channels) {
    for (int c = 0; c < 3; c++) {
      const int v = in[3] - share(255 - in[c], in[3]);
      out[c] = (uint8_t)(v < 0 ? 0 : v);
    }
    if (channels == 4) out[3] = 255;
  }
}

static void with_alpha(uint8_t *out, const uint8_t *in, int64_t width) {
  for (int64_t x = 0; x < width; x++, in += 3, out += 4) {
    memcpy(out, in, 3);
    out[3] = 255;
  }
}

static void choose_color(struct job *job) {
  const int n = job->d.num_components;
  if (n != 1 && n != 3 && n != 4) {
    eq_picture_fail(job->p, EQ_ERR, "a JPEG of %d components; gray, colour and CMYK can be read",
                    n);
    longjmp(job->back, 1);
  }
  job->d.out_color_space = n == 4 ? JCS_CMYK : JCS_RGB;
}

static void read_rows(struct job *job) {
  const int64_t width = job->p->width;
  const int channels = job->p->channels;
  const bool direct = job->d.output_components == channels && channels == 3;
  JSAMPARRAY line =
      job->d.mem->alloc_sarray((j_common_ptr)&job->d, JPOOL_IMAGE, (JDIMENSION)width * 4, 1);
  while (job->d.output_scanline < job->d.output_height) {
    uint8_t *to = job->pixels + (size_t)job->d.output_scanline * (size_t)(width * channels);
    JSAMPROW row = direct ? to : line[0];
    jpeg_read_scanlines(&job->d, &row, 1);
    if (job->d.output_components == 4)
      from_cmyk(to, row, width, channels);
    else if (!direct)
      with_alpha(to, row, width);
  }
}

/* The only frame that longjmp returns to. */
static void decode(struct job *job) {
  if (setjmp(job->back)) return;
  jpeg_create_decompress(&job->d);
  job->d.src = &job->source;
  job->d.progress = &job->progress;
  jpeg_read_header(&job->d, TRUE);
  if (!eq_picture_fits(job->p, job->d.image_height, job->d.image_width)) return;
  if (!job->d.arith_code && job->p->height > job->s->size * MAX_RATIO / job->p->width)
    fail(job, EQ_ERR, "the file is cut off"); /* before it takes memory; arithmetic has no bound */
  choose_color(job);
  jpeg_start_decompress(&job->d);
  job->pixels = job->p->place(job->p);
  if (!job->pixels) fail(job, EQ_NOMEM, "out of memory");
  read_rows(job);
  jpeg_finish_decompress(&job->d); /* reads to the end marker */
}

eq_status eq_jpeg_read(eq_picture *p, eq_source *s) {
  struct job job = {.p = p, .s = s};
  prepare(&job);
  decode(&job);
  jpeg_destroy_decompress(&job.d); /* also when it was never made: all zeros but err */
  return p->status;
}

#endif
