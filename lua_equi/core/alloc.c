/* alloc.c -- blocks for tensors: aligned, counted, kept after use.
 *
 * A training step asks for the same sizes again and again; with malloc/free the loop of doc/memory
 * ran 20 times slower because fresh pages fault at 3 GB/s. So sizes are rounded up to classes (four
 * per power of two, at most 19 % waste) and freed blocks wait in one list per class until the cache
 * limit. Large blocks are aligned to 2 MiB and ask for huge pages.
 * Not thread-safe by design: only the calling thread allocates, kernels never do. */
#include "equi.h"
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

/* Kept blocks would hide misuse from the address sanitizer, so it is told what is not to be
 * touched: the rest of a rounded size, and all of a kept block but its link (which the leak check
 * follows). */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define FORBID(p, from, to) ASAN_POISON_MEMORY_REGION((char *)(p) + (from), (to) - (from))
#define PERMIT(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define FORBID(p, from, to) ((void)0)
#define PERMIT(p, n) ((void)0)
#endif

enum {
  ALIGN = 64,
  SMALL_STEP = 64,
  SMALL_MAX = 1024,
  NSMALL = SMALL_MAX / SMALL_STEP,
  NCLASS = 256,
  CHURN_MAX = 65536,
  CHURN_SHARE = 4 /* larger blocks take longer to fill: they count less */
};
#define HUGE_PAGE ((size_t)2 << 20)
/* The addresses of a process on today's 64-bit systems: more is refused unasked. */
#define ADDRESSES ((size_t)1 << 47)

typedef struct block {
  struct block *next;
} block;

static block *cache[NCLASS];
eq_memory eq_mem = {.cache_limit = (size_t)1 << 30,
                    .soft_limit = (size_t)24 << 20,
                    .next_collect = (size_t)24 << 20,
                    .fail_after = -1};

/* Class number of a size, and the class's own size through *rounded. */
static int class_of(size_t bytes, size_t *rounded) {
  if (bytes <= SMALL_MAX) {
    size_t k = bytes ? (bytes + SMALL_STEP - 1) / SMALL_STEP : 1;
    *rounded = k * SMALL_STEP;
    return (int)k - 1;
  }
  int log2 =
      63 - __builtin_clzll((unsigned long long)(bytes - 1)); /* 2^log2 < bytes <= 2^(log2+1) */
  size_t quarter = ((size_t)1 << log2) / 4, base = (size_t)1 << log2;
  size_t k = (bytes - base + quarter - 1) / quarter; /* 1..4 */
  *rounded = base + k * quarter;
  return NSMALL + (log2 - 10) * 4 + (int)k - 1;
}

static void *system_alloc(size_t bytes) {
  void *p = NULL;
  size_t align = bytes >= HUGE_PAGE ? HUGE_PAGE : ALIGN;
  if (posix_memalign(&p, align, bytes)) return NULL;
#if defined(MADV_HUGEPAGE)
  if (bytes >= HUGE_PAGE) (void)madvise(p, bytes, MADV_HUGEPAGE);
#endif
  return p;
}

/* Tests: counts down to the allocations that are to fail. */
static bool must_fail(void) {
  if (eq_mem.fail_after > 0) {
    eq_mem.fail_after--;
    return false;
  }
  if (--eq_mem.fail_times <= 0) eq_mem.fail_after = -1;
  return true;
}

static void raise_peak(void) {
  eq_mem.peak = eq_mem.live;
  const size_t most = eq_mem.peak / 4 * 3;
  if (!eq_mem.cache_fixed && most > eq_mem.cache_limit) eq_mem.cache_limit = most;
}

static size_t churn_of(size_t size) { return size <= CHURN_MAX ? size : size / CHURN_SHARE; }

static size_t without(size_t count, size_t part) { return count > part ? count - part : 0; }

void *eq_alloc(size_t bytes) {
  size_t size;
  if (bytes > ADDRESSES) {
    eq_nomem(bytes);
    return NULL;
  }
  if (eq_mem.fail_after >= 0 && must_fail()) {
    eq_nomem(bytes);
    return NULL;
  }
  int k = class_of(bytes, &size);
  block *b = cache[k];
  if (b) {
    cache[k] = b->next;
    eq_mem.cached -= size;
  } else {
    b = system_alloc(size);
    if (!b && eq_mem.cached) {
      eq_trim();
      b = system_alloc(size);
    }
    if (!b) {
      eq_nomem(bytes);
      return NULL;
    }
  }
  PERMIT(b, size);
  FORBID(b, bytes, size);
  eq_mem.live += size;
  eq_mem.allocations++;
  eq_mem.fresh += size;
  eq_mem.churn += churn_of(size);
  if (eq_mem.live > eq_mem.peak) raise_peak();
  return b;
}

void *eq_calloc(size_t bytes) {
  void *p = eq_alloc(bytes);
  if (p) memset(p, 0, bytes);
  return p;
}

void eq_free(void *p, size_t bytes) {
  size_t size;
  if (!p) return;
  int k = class_of(bytes, &size);
  eq_mem.live -= size;
  eq_mem.fresh = without(eq_mem.fresh, size); /* a kernel's scratch memory leaves nothing behind */
  eq_mem.churn = without(eq_mem.churn, churn_of(size));
  if (eq_mem.cached + size > eq_mem.cache_limit) {
    free(p);
    return;
  }
  block *b = p;
  PERMIT(b, sizeof *b); /* a block of a few bytes has its link partly in the rest */
  b->next = cache[k];
  cache[k] = b;
  FORBID(b, sizeof *b, size);
  eq_mem.cached += size;
}

void eq_trim(void) {
  for (int k = 0; k < NCLASS; k++) {
    while (cache[k]) {
      block *b = cache[k];
      cache[k] = b->next;
      free(b);
    }
  }
  eq_mem.cached = 0;
}
