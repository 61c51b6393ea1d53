/* file.h -- files of tensors: mapped into memory to read, replaced as a whole to write.
 *
 * Functions that can fail return NULL or nonzero and leave one sentence, with the path, in
 * eq_error. Bytes in files are little-endian. */
#ifndef EQUI_FILE_H
#define EQUI_FILE_H
#include "equi.h"
#include <stdio.h>

/* ---- reading ----
 * A file's bytes, counted: every tensor made from them holds a reference, so the mapping outlives
 * whoever opened it. Writes into such tensors stay private to the process. */
typedef struct eq_mapping {
  int refs;
  bool mapped; /* else the bytes were read into a block of their own */
  size_t bytes;
  char *data;
} eq_mapping;
eq_mapping *eq_map(const char *path, bool copy); /* copy: read it all instead, see file.c */
void eq_unmap(eq_mapping *m);                    /* drops one reference; m may be NULL */
/* inflate.c: the `size` bytes that the `count` deflated ones at `offset` of m become (raw deflate,
 * as in zip files), as a mapping without a file. Refuses another size and another CRC-32. */
eq_mapping *eq_inflate(const eq_mapping *m, size_t offset, size_t count, size_t size, uint32_t crc);

/* How numbers may be stored. The first five are native: no copy when they lie aligned. */
typedef enum {
  EQ_AS_F32,
  EQ_AS_F64,
  EQ_AS_I64,
  EQ_AS_U8,
  EQ_AS_BOOL,
  EQ_AS_F16,
  EQ_AS_BF16,
  EQ_AS_I8,
  EQ_AS_I16,
  EQ_AS_U16,
  EQ_AS_I32,
  EQ_AS_U32,
  EQ_AS_U64,
  EQ_NSTORED
} eq_stored;
const char *eq_stored_name(eq_stored s); /* "F32"; NULL past the last */
size_t eq_stored_size(eq_stored s);
/* The tensor whose row-major elements begin at byte `offset`. F16 and BF16 become f32, the other
 * integers i64. Refuses what reaches beyond the file and U64 above 2^63 - 1. */
eq_tensor *eq_map_tensor(eq_mapping *m, eq_stored s, int ndim, const int64_t *shape, size_t offset);

/* The bytes, as a tensor u8 [2 n], of f32 x stored as F16 or BF16: the nearest such numbers, of two
 * equally near the even one. Refuses finite numbers that become infinite. */
eq_tensor *eq_halves(eq_tensor *x, eq_stored s);

/* ---- writing ----
 * A file appears complete or not at all: bytes go to a new file beside the target, which is synced
 * and renamed over it. A link is followed. Between open and commit or discard nothing may raise. */
typedef struct eq_draft {
  FILE *file;
  char *path, *beside;
  int why; /* errno of the first failure */
} eq_draft;
int eq_draft_open(eq_draft *o, const char *path);
int eq_draft_write(eq_draft *o, const void *bytes, size_t n);
int eq_draft_commit(eq_draft *o); /* on failure the target is untouched and the new file gone */
void eq_draft_discard(eq_draft *o);

#endif
