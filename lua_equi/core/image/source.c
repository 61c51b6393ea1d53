/* source.c -- pictures from files and from bytes in memory: opens them, sees which format they are
 * in, and hands them to its reader.
 *
 * The format is what the first bytes say, not the name's ending. NOT here: pixels (png.c, jpeg.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"

size_t eq_source_read(eq_source *s, void *to, size_t n) {
  if (s->file) {
    const size_t got = fread(to, 1, n, s->file);
    if (got < n && ferror(s->file)) s->system_error = errno ? errno : EIO;
    return got;
  }
  if (n > s->left) n = s->left;
  if (n) memcpy(to, s->bytes, n);
  s->bytes += n;
  s->left -= n;
  return n;
}

eq_status eq_picture_fail(eq_picture *p, eq_status status, const char *fmt, ...) {
  va_list a;
  if (p->status != EQ_OK) return p->status;
  p->status = status;
  va_start(a, fmt);
  vsnprintf(p->why, sizeof p->why, fmt, a);
  va_end(a);
  return status;
}

bool eq_picture_fits(eq_picture *p, int64_t height, int64_t width) {
  p->height = height;
  p->width = width;
  if (height < 1 || width < 1)
    eq_picture_fail(p, EQ_ERR, "a picture of %lld x %lld pixels", (long long)height,
                    (long long)width);
  else if (height > p->max_pixels / width)
    eq_picture_fail(p, EQ_ERR, "%lld x %lld pixels, above the limit of %lld (max_pixels)",
                    (long long)height, (long long)width, (long long)p->max_pixels);
  return p->status == EQ_OK;
}

/* ---- which format ---- */

static const struct {
  const char *start;
  size_t n, at;
  const char *name;
  eq_status (*read)(eq_picture *p, eq_source *s); /* NULL: known, but not read here */
} formats[] = {
    {"\x89PNG\r\n\x1a\n", 8, 0, "PNG", eq_png_read},
    {"\xff\xd8\xff", 3, 0, "JPEG", eq_jpeg_read},
    {"GIF8", 4, 0, "GIF", NULL},
    {"WEBP", 4, 8, "WebP", NULL},
    {"BM", 2, 0, "BMP", NULL},
    {"II*\0", 4, 0, "TIFF", NULL},
    {"MM\0*", 4, 0, "TIFF", NULL},
};
enum { START = 12, FORMATS = sizeof formats / sizeof *formats };

static eq_status read_any(eq_picture *p, eq_source *s, const uint8_t *start, size_t n) {
  for (int k = 0; k < FORMATS; k++) {
    if (formats[k].at + formats[k].n > n) continue;
    if (memcmp(start + formats[k].at, formats[k].start, formats[k].n)) continue;
    if (formats[k].read) return formats[k].read(p, s);
    return eq_picture_fail(p, EQ_ERR, "a %s picture; PNG and JPEG can be read", formats[k].name);
  }
  return eq_picture_fail(p, EQ_ERR, "%s",
                         n ? "not a PNG or JPEG picture" : "empty; a picture is a PNG or JPEG");
}

eq_status eq_picture_bytes(eq_picture *p, const void *bytes, size_t n) {
  eq_source s = {.bytes = bytes, .left = n, .size = (int64_t)n};
  p->status = EQ_OK;
  return read_any(p, &s, bytes, n < START ? n : START);
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

eq_status eq_picture_file(eq_picture *p, const char *path) {
  eq_source s = {0};
  uint8_t start[START];
  p->status = EQ_OK;
  s.file = open_regular(path, &s.size);
  if (!s.file) {
    char text[128];
    const int why = errno;
    return eq_picture_fail(p, EQ_ERR, "cannot open it: %s",
                           strerror_r(why, text, sizeof text) == 0 ? text : "unknown error");
  }
  const size_t n = eq_source_read(&s, start, START);
  rewind(s.file);
  read_any(p, &s, start, n);
  fclose(s.file);
  return p->status;
}
