/* dispatch.c -- which compiled copy of sets/ this processor runs. */
#include "micro.h"
#include <stdlib.h>
#include <string.h>

extern const eq_micro_set eq_micro_base;
#if defined(EQ_MICRO_X86)
extern const eq_micro_set eq_micro_v3, eq_micro_v4;

static bool has_v3(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

static bool has_v4(void) {
  return has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}
#endif

const eq_micro_set *eq_micro_at(int i) {
  const eq_micro_set *have[4] = {NULL};
  int n = 0;
#if defined(EQ_MICRO_X86)
  if (has_v4()) have[n++] = &eq_micro_v4;
  if (has_v3()) have[n++] = &eq_micro_v3;
#endif
  have[n++] = &eq_micro_base;
  return i >= 0 && i < n ? have[i] : NULL;
}

static const eq_micro_set *in_use;
static bool wanted;

bool eq_micro_use(const char *name) {
  const eq_micro_set *set = eq_micro_at(0);
  bool asked = name && *name, none = asked && !strcmp(name, "none");
  if (asked && !none)
    for (int i = 0; (set = eq_micro_at(i)) && strcmp(set->name, name);) i++;
  if (!set) return false;
  in_use = set;
  wanted = !none && (asked || set->fast);
  return true;
}

/* The binding asks once while the library is loaded, so no two threads meet here. An unknown name
 * in the environment is no reason to refuse to load: config shows what is in use. */
const eq_micro_set *eq_micro(void) {
  if (!in_use && !eq_micro_use(getenv("LUA_EQUI_SIMD"))) (void)eq_micro_use(NULL);
  return in_use;
}

bool eq_micro_wanted(void) { return eq_micro() && wanted; }
const char *eq_micro_name(void) { return eq_micro_wanted() ? eq_micro()->name : "none"; }

static void pack_any(const float *b, int64_t bks, int64_t bns, int64_t k, int64_t n, int64_t width,
                     float *to) {
  for (int64_t j0 = 0; j0 < n; j0 += width)
    for (int64_t p = 0; p < k; p++)
      for (int64_t j = j0; j < j0 + width; j++) *to++ = j < n ? b[p * bks + j * bns] : 0;
}

void eq_micro_pack(const float *b, int64_t bks, int64_t bns, int64_t k, int64_t n, float *panels) {
  const eq_micro_set *set = eq_micro();
  if (bns == 1)
    set->pack_rows(b, bks, k, n, panels);
  else if (bks == 1)
    set->pack_columns(b, bns, k, n, panels);
  else
    pack_any(b, bks, bns, k, n, set->width, panels);
}
