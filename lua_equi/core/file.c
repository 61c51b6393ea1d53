/* file.c -- memory-mapped reading and all-or-nothing writing.
 *
 * What this is NOT: a parser of any format (safetensors.lua reads headers), and no guard against a
 * file that another program shortens while it is mapped: touching what is gone ends the process
 * with SIGBUS. Replace files, as eq_draft does, or read them as a copy. */
#include "file.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(_POSIX_MAPPED_FILES) && _POSIX_MAPPED_FILES > 0
#include <sys/mman.h>
#define HAVE_MMAP 1
#else
#define HAVE_MMAP 0
#endif

/* ---- mapping ---- */

void eq_unmap(eq_mapping *m) {
  if (!m || --m->refs) return;
#if HAVE_MMAP
  if (m->mapped) munmap(m->data, m->bytes);
#endif
  if (!m->mapped) eq_free(m->data, m->bytes);
  eq_free(m, sizeof *m);
}

/* The whole file into a block of our own: where there is no mmap, or a file system without it. */
static int read_all(eq_mapping *m, int fd) {
  m->data = eq_alloc(m->bytes);
  if (!m->data) return EQ_NOMEM;
  for (size_t at = 0; at < m->bytes;) {
    ssize_t n = read(fd, m->data + at, m->bytes - at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return eq_fail("%s", strerror(errno));
    if (n == 0) return eq_fail("the file shrank while it was read");
    at += (size_t)n;
  }
  return EQ_OK;
}

static int fill(eq_mapping *m, int fd, bool copy) {
  struct stat st;
  if (fstat(fd, &st)) return eq_fail("%s", strerror(errno));
  if (S_ISDIR(st.st_mode)) return eq_fail("it is a folder");
  if (!S_ISREG(st.st_mode)) return eq_fail("it is not a regular file");
  m->bytes = (size_t)st.st_size;
#if HAVE_MMAP
  if (m->bytes && !copy) {
    /* private and writable: a change to a tensor copies its page, the file stays as it is */
    void *p = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    m->mapped = p != MAP_FAILED;
    if (m->mapped) {
      m->data = p;
      return EQ_OK;
    }
  }
#else
  (void)copy;
#endif
  return read_all(m, fd);
}

eq_mapping *eq_map(const char *path, bool copy) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* opening a pipe must not wait */
  if (fd < 0) {
    eq_fail("cannot open %s: %s", path, strerror(errno));
    return NULL;
  }
  eq_mapping *m = eq_calloc(sizeof *m);
  if (m) {
    m->refs = 1;
    if (fill(m, fd, copy)) {
      char why[sizeof eq_error.text];
      snprintf(why, sizeof why, "%s", eq_error.text);
      if (eq_error.status == EQ_ERR) eq_fail("cannot read %s: %s", path, why);
      eq_unmap(m);
      m = NULL;
    }
  }
  close(fd);
  return m;
}

/* ---- stored numbers ---- */

static const struct {
  const char *name;
  size_t size;
  eq_dtype becomes;
} stored[EQ_NSTORED] = {
    [EQ_AS_F32] = {"F32", 4, EQ_F32},    [EQ_AS_F64] = {"F64", 8, EQ_F64},
    [EQ_AS_I64] = {"I64", 8, EQ_I64},    [EQ_AS_U8] = {"U8", 1, EQ_U8},
    [EQ_AS_BOOL] = {"BOOL", 1, EQ_BOOL}, [EQ_AS_F16] = {"F16", 2, EQ_F32},
    [EQ_AS_BF16] = {"BF16", 2, EQ_F32},  [EQ_AS_I8] = {"I8", 1, EQ_I64},
    [EQ_AS_I16] = {"I16", 2, EQ_I64},    [EQ_AS_U16] = {"U16", 2, EQ_I64},
    [EQ_AS_I32] = {"I32", 4, EQ_I64},    [EQ_AS_U32] = {"U32", 4, EQ_I64},
    [EQ_AS_U64] = {"U64", 8, EQ_I64},
};

const char *eq_stored_name(eq_stored s) { return s < EQ_NSTORED ? stored[s].name : NULL; }
size_t eq_stored_size(eq_stored s) { return stored[s].size; }

static float from_bits(uint32_t u) {
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}

/* IEEE half: 1 sign, 5 exponent, 10 fraction bits. Subnormals are fraction * 2^-24. */
static float from_half(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = (h >> 10) & 31, f = h & 1023;
  if (e == 31) return from_bits(sign | 0x7f800000 | f << 13);
  if (e) return from_bits(sign | (e + 112) << 23 | f << 13);
  return from_bits(sign | 0) + (sign ? -1.0f : 1.0f) * (float)f * 0x1p-24f;
}

static uint32_t bits_of(float f) {
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  return u;
}

static uint16_t to_half(float f) {
  uint32_t u = bits_of(f), sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
  if (a > 0x7f800000) return (uint16_t)(sign | 0x7e00);
  if (a >= 0x47800000) return (uint16_t)(sign | 0x7c00);
  if (a < 0x38800000) return (uint16_t)(sign | (uint32_t)rintf(from_bits(a) * 0x1p24f));
  return (uint16_t)(sign | (a + 0xfff + (a >> 13 & 1) - 0x38000000) >> 13);
}

static uint16_t to_bfloat(float f) {
  uint32_t u = bits_of(f);
  if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 64); /* nan stays one */
  return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static int halve(const float *x, int64_t n, eq_stored s, unsigned char *y) {
  uint16_t infinite = s == EQ_AS_F16 ? 0x7c00 : 0x7f80;
  for (int64_t i = 0; i < n; i++) {
    uint16_t h = s == EQ_AS_F16 ? to_half(x[i]) : to_bfloat(x[i]);
    if ((h & 0x7fff) == infinite && isfinite(x[i]))
      return eq_fail("element %" PRId64 " is %g, too large for %s", i + 1, (double)x[i],
                     eq_stored_name(s));
    y[2 * i] = (unsigned char)h; /* little-endian */
    y[2 * i + 1] = (unsigned char)(h >> 8);
  }
  return EQ_OK;
}

eq_tensor *eq_halves(eq_tensor *x, eq_stored s) {
  int64_t n = 2 * x->numel;
  eq_tensor *rows = eq_contiguous(x), *y = rows ? eq_empty(EQ_U8, 1, &n) : NULL;
  if (y && halve((const float *)(const void *)rows->data, x->numel, s, (unsigned char *)y->data)) {
    eq_release(y);
    y = NULL;
  }
  eq_release(rows);
  return y;
}

/* One loop for a stored type: reads at any address, writes y[i] = expression of v. */
#define CONVERT(type, out, expression)                                                             \
  for (int64_t i = 0; i < n; i++) {                                                                \
    type v;                                                                                        \
    memcpy(&v, p + (size_t)i * sizeof v, sizeof v);                                                \
    ((out *)y)[i] = (expression);                                                                  \
  }                                                                                                \
  break

static void convert(eq_stored s, int64_t n, const char *p, void *y) {
  switch (s) {
  case EQ_AS_F16: CONVERT(uint16_t, float, from_half(v));
  case EQ_AS_BF16: CONVERT(uint16_t, float, from_bits((uint32_t)v << 16));
  case EQ_AS_I8: CONVERT(int8_t, int64_t, v);
  case EQ_AS_I16: CONVERT(int16_t, int64_t, v);
  case EQ_AS_U16: CONVERT(uint16_t, int64_t, v);
  case EQ_AS_I32: CONVERT(int32_t, int64_t, v);
  case EQ_AS_U32: CONVERT(uint32_t, int64_t, v);
  case EQ_AS_U64: CONVERT(uint64_t, int64_t, (int64_t)v);
  case EQ_AS_BOOL: CONVERT(uint8_t, bool, v != 0);
  default: memcpy(y, p, (size_t)n * stored[s].size);
  }
}

/* A C bool that is neither 0 nor 1 is undefined behaviour in whoever reads it. */
static bool all_bools(int64_t n, const char *p) {
  unsigned char any = 0;
  for (int64_t i = 0; i < n; i++) any |= (unsigned char)p[i];
  return any <= 1;
}

static int check_u64(int64_t n, const char *p) {
  for (int64_t i = 0; i < n; i++) {
    uint64_t v;
    memcpy(&v, p + (size_t)i * sizeof v, sizeof v);
    if (v > INT64_MAX)
      return eq_fail("element %" PRId64 " is %" PRIu64 ", too large for i64", i + 1, v);
  }
  return EQ_OK;
}

static bool is_little_endian(void) {
  const uint16_t one = 1;
  return *(const unsigned char *)&one == 1;
}

static void drop_mapping(eq_storage *s) { eq_unmap(s->owner); }

/* A storage of its own for each tensor: an in-place write to one must not look like a write to its
 * neighbours in the file. */
static eq_tensor *window(eq_mapping *m, eq_dtype t, int ndim, const int64_t *shape, size_t offset,
                         size_t bytes) {
  eq_storage *s = eq_storage_wrap(m->data + offset, bytes, drop_mapping, m);
  if (!s) return NULL;
  m->refs++;
  eq_tensor *x = eq_from_storage(s, t, ndim, shape, 0);
  if (x) {
    s->refs--; /* x holds the only reference now */
    return x;
  }
  eq_unmap(m);
  eq_free(s, sizeof *s);
  return NULL;
}

eq_tensor *eq_map_tensor(eq_mapping *m, eq_stored s, int ndim, const int64_t *shape,
                         size_t offset) {
  eq_tensor *x = eq_meta(stored[s].becomes, ndim, shape); /* checks the sizes */
  if (!x) return NULL;
  int64_t n = x->numel;
  size_t bytes = (size_t)n * stored[s].size;
  eq_release(x);
  if (offset > m->bytes || bytes > m->bytes - offset) {
    eq_fail("%s of %s at byte %zu reaches beyond the file's %zu bytes", stored[s].name,
            eq_shape_str(ndim, shape), offset, m->bytes);
    return NULL;
  }
  if (!is_little_endian()) {
    eq_fail("the file is little-endian and this machine is not");
    return NULL;
  }
  if (n == 0) return eq_empty(stored[s].becomes, ndim, shape);
  const char *p = m->data + offset;
  bool native = s <= EQ_AS_BOOL && (uintptr_t)p % stored[s].size == 0;
  if (native && (s != EQ_AS_BOOL || all_bools(n, p)))
    return window(m, stored[s].becomes, ndim, shape, offset, bytes);
  if (s == EQ_AS_U64 && check_u64(n, p)) return NULL;
  x = eq_empty(stored[s].becomes, ndim, shape);
  if (x) convert(s, n, p, x->data);
  return x;
}

/* ---- writing ---- */

static int out_failed(eq_draft *o) {
  if (!o->why) o->why = errno ? errno : EIO;
  return EQ_ERR;
}

/* Frees what is held and removes the new file; `path` is needed for the sentence before. */
static int give_up(eq_draft *o, const char *verb) {
  eq_fail("cannot %s %s: %s", verb, o->path, strerror(o->why));
  eq_draft_discard(o);
  return EQ_ERR;
}

void eq_draft_discard(eq_draft *o) {
  if (o->file) fclose(o->file);
  if (o->beside && *o->beside) unlink(o->beside);
  free(o->beside);
  free(o->path);
  *o = (eq_draft){0};
}

/* mkstemp is not used: its files are readable by their owner only, and the umask is the user's say
 * in that. */
static FILE *open_beside(eq_draft *o, size_t size) {
  static unsigned serial;
  for (int attempt = 0; attempt < 100; attempt++) {
    snprintf(o->beside, size, "%s.%ld.%u.tmp", o->path, (long)getpid(), serial++);
    int fd = open(o->beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST) continue;
    FILE *file = fd < 0 ? NULL : fdopen(fd, "wb");
    if (file) return file;
    int why = errno;
    if (fd >= 0) {
      close(fd);
      unlink(o->beside);
    }
    errno = why;
    break;
  }
  return NULL;
}

int eq_draft_open(eq_draft *o, const char *path) {
  struct stat st;
  *o = (eq_draft){0};
  /* a rename over a device or a pipe would replace it: with root's rights even /dev/null */
  bool there = stat(path, &st) == 0;
  if (there && !S_ISREG(st.st_mode))
    return eq_fail("cannot write %s: it is not a regular file", path);
  o->path = there ? realpath(path, NULL) : strdup(path);
  size_t size = o->path ? strlen(o->path) + 48 : 0;
  o->beside = o->path ? malloc(size) : NULL;
  if (!o->beside) {
    eq_draft_discard(o);
    return eq_nomem(strlen(path) + 48);
  }
  *o->beside = 0;
  if (!(o->file = open_beside(o, size))) {
    (void)out_failed(o);
    *o->beside = 0; /* nothing to remove */
    return give_up(o, "create");
  }
  return EQ_OK;
}

int eq_draft_write(eq_draft *o, const void *bytes, size_t n) {
  if (o->why) return EQ_ERR;
  errno = 0;
  return n == 0 || fwrite(bytes, 1, n, o->file) == n ? EQ_OK : out_failed(o);
}

/* The rename itself is on disk only once the folder is. A file system that cannot sync folders is
 * no reason to fail: the file is complete either way. */
static void sync_folder(const char *path) {
  char *folder = strdup(path);
  if (!folder) return;
  char *slash = strrchr(folder, '/');
  if (slash) slash[slash == folder] = 0;
  int fd = open(slash ? folder : ".", O_RDONLY | O_CLOEXEC);
  free(folder);
  if (fd < 0) return;
  (void)fsync(fd);
  close(fd);
}

int eq_draft_commit(eq_draft *o) {
  errno = 0;
  if (!o->why && (fflush(o->file) || fsync(fileno(o->file)))) (void)out_failed(o);
  if (fclose(o->file) && !o->why) (void)out_failed(o);
  o->file = NULL;
  if (!o->why && rename(o->beside, o->path)) (void)out_failed(o);
  if (o->why) return give_up(o, "write");
  *o->beside = 0; /* it is the target now */
  sync_folder(o->path);
  eq_draft_discard(o);
  return EQ_OK;
}
