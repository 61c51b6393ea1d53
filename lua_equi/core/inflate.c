/* inflate.c -- deflated members of zip files (numpy.savez_compressed). The only file that includes
 * zlib.h.
 *
 * What this is NOT: a reader of zip or gzip headers. The caller knows from the archive's directory
 * how large the result is; memory for that much is taken and nothing beyond it is ever written. */
#include "file.h"
#include <string.h>
#include <zlib.h>

enum { STEP = 1 << 20 }; /* zlib counts in 32 bits; between steps Ctrl-C is looked at */

static uInt at_most(size_t n) { return n < STEP ? (uInt)n : STEP; }

/* Z_STREAM_END when exactly `size` bytes came out, else what stopped it. */
static int run(z_stream *z, const char *from, size_t count, char *to, size_t size) {
  size_t in = 0, out = 0;
  for (;;) {
    if (eq_poll && eq_poll()) return Z_ERRNO;
    unsigned char past; /* one byte of room behind the last: the end mark may still come */
    bool full = out == size;
    z->next_in = (z_const Bytef *)(from + in);
    z->avail_in = at_most(count - in);
    z->next_out = full ? &past : (Bytef *)(to + out);
    z->avail_out = full ? 1 : at_most(size - out);
    uInt had_in = z->avail_in, had_out = z->avail_out;
    int status = inflate(z, Z_NO_FLUSH);
    in += had_in - z->avail_in;
    size_t made = had_out - z->avail_out;
    if (full && made) return Z_BUF_ERROR; /* more than it said */
    out += made;
    if (status == Z_STREAM_END) return out == size && in == count ? status : Z_BUF_ERROR;
    if (status != Z_OK) return status;
  }
}

static uint32_t checksum(const char *p, size_t n) {
  uLong crc = crc32(0, NULL, 0);
  for (size_t at = 0; at < n; at += STEP) crc = crc32(crc, (const Bytef *)p + at, at_most(n - at));
  return (uint32_t)crc;
}

static int fill(eq_mapping *made, const char *from, size_t count, uint32_t crc) {
  z_stream z;
  memset(&z, 0, sizeof z);
  if (inflateInit2(&z, -MAX_WBITS) != Z_OK) return eq_nomem(1 << 16);
  int status = run(&z, from, count, made->data, made->bytes);
  inflateEnd(&z);
  if (status == Z_ERRNO) return eq_stopped();
  if (status == Z_MEM_ERROR) return eq_nomem(1 << 16);
  if (status == Z_BUF_ERROR)
    return eq_fail("its deflated bytes do not become the %zu that it is said to have", made->bytes);
  if (status != Z_STREAM_END) return eq_fail("its deflated bytes are damaged");
  if (checksum(made->data, made->bytes) != crc)
    return eq_fail("its bytes do not have the checksum that the archive says");
  return EQ_OK;
}

eq_mapping *eq_inflate(const eq_mapping *m, size_t offset, size_t count, size_t size,
                       uint32_t crc) {
  if (offset > m->bytes || count > m->bytes - offset) {
    eq_fail("%zu bytes at %zu reach beyond the file's %zu bytes", count, offset, m->bytes);
    return NULL;
  }
  eq_mapping *made = eq_calloc(sizeof *made);
  if (!made) return NULL;
  made->refs = 1;
  made->data = eq_alloc(size);
  made->bytes = made->data ? size : 0;
  if (made->data && fill(made, m->data + offset, count, crc) == EQ_OK) return made;
  eq_error_info why = eq_error;
  eq_unmap(made);
  eq_error = why;
  return NULL;
}
