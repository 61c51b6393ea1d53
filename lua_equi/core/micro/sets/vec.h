/* vec.h -- what the files of this folder share: one vector type, its length given by the compiler.
 *
 * Every .c file here is compiled once per instruction set, with EQ_MICRO_SET as the set's name:
 * vector length, rows of a block and the names of shared functions follow from that. The sources
 * use the vector types of gcc and clang; intrinsics only where those have no words: parts of a
 * vector. */
#ifndef EQ_VEC_H
#define EQ_VEC_H
#include "../gemm.h"
#include "../micro.h"
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { LANES = 16, ROWS = 14 };
#elif defined(__AVX2__)
enum { LANES = 8, ROWS = 6 };
#elif defined(__aarch64__)
enum { LANES = 4, ROWS = 14 };
#else
enum { LANES = 4, ROWS = 6 };
#endif
#if defined(__FMA__) || defined(__aarch64__)
#define FAST true
#else
#define FAST false
#endif
enum { WIDTH = 2 * LANES };

#if defined(__GNUC__)
typedef float vec __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t ivec __attribute__((vector_size(LANES * sizeof(int32_t))));
#define INLINE static inline __attribute__((always_inline))
#define ZERO                                                                                       \
  (vec) { 0 }
#else
#error "micro.c needs the vector types of gcc or clang"
#endif

INLINE vec load(const float *p) {
  vec v;
  memcpy(&v, p, sizeof v);
  return v;
}

INLINE void store(float *p, vec v) { memcpy(p, &v, sizeof v); }

/* The first n numbers at p, 1 <= n < LANES; nothing behind them is touched. */
#if defined(__AVX512F__)
INLINE vec load_part(const float *p, int n) {
  return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
INLINE void store_part(float *p, vec v, int n) {
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
}
#elif defined(__AVX2__)
INLINE __m256i mask_of(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE vec load_part(const float *p, int n) { return (vec)_mm256_maskload_ps(p, mask_of(n)); }
INLINE void store_part(float *p, vec v, int n) { _mm256_maskstore_ps(p, mask_of(n), (__m256)v); }
#else
INLINE vec load_part(const float *p, int n) {
  return (vec){p[0], n > 1 ? p[1] : 0, n > 2 ? p[2] : 0, 0};
}
INLINE void store_part(float *p, vec v, int n) {
  for (int j = 0; j < n; j++) p[j] = v[j];
}
#endif

/* SET(eq_f): the function f of this set; the table of the set is SET(eq_micro). */
#define SET_TEXT_(x) #x
#define SET_TEXT(x) SET_TEXT_(x)
#define SET_PASTE_(f, x) f##_##x
#define SET_PASTE(f, x) SET_PASTE_(f, x)
#define SET(f) SET_PASTE(f, EQ_MICRO_SET)
#define SET_NAME SET_TEXT(EQ_MICRO_SET)
extern const eq_micro_set SET(eq_micro);
void SET(eq_pack_rows)(const float *b, int64_t bks, int64_t k, int64_t n, float *panels);
void SET(eq_pack_columns)(const float *b, int64_t bns, int64_t k, int64_t n, float *panels);
void SET(eq_pack_taps)(const float *b, int64_t bns, int64_t k, int64_t n, const eq_taps *taps,
                       float *panel);
void SET(eq_unpack_taps)(const float *panel, int64_t k, int64_t n, const eq_taps *taps, float *b,
                         int64_t bns);
void SET(eq_skinny)(const eq_sgemm *g);

/* ---- LANES vectors as a square, turned over in registers ---- */
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, F, d) __builtin_shufflevector(a, b, EACH_LANE(F, d))
#define LOW(l, d) ((l) & (d) ? LANES + (l) - (d) : (l))
#define HIGH(l, d) ((l) & (d) ? LANES + (l) : (l) + (d))
#define FOUR(F, l, d) F(l, d), F(l + 1, d), F(l + 2, d), F(l + 3, d)
#if defined(__AVX512F__)
#define EACH_LANE(F, d) FOUR(F, 0, d), FOUR(F, 4, d), FOUR(F, 8, d), FOUR(F, 12, d)
#elif defined(__AVX2__)
#define EACH_LANE(F, d) FOUR(F, 0, d), FOUR(F, 4, d)
#else
#define EACH_LANE(F, d) FOUR(F, 0, d)
#endif
/* Squares of d x d beside the diagonal change places. */
#define EXCHANGE(d)                                                                                \
  _Pragma("GCC unroll 16") for (int i = 0; i < LANES; i++) {                                       \
    if (i & (d)) continue;                                                                         \
    const vec low = v[i], high = v[i + (d)];                                                       \
    v[i] = SHUFFLE(low, high, LOW, d);                                                             \
    v[i + (d)] = SHUFFLE(low, high, HIGH, d);                                                      \
  }
INLINE void turn(vec *v) {
  EXCHANGE(1)
  EXCHANGE(2)
#if defined(__AVX2__)
  EXCHANGE(4)
#endif
#if defined(__AVX512F__)
  EXCHANGE(8)
#endif
}
#else
INLINE void turn(vec *v) {
  for (int i = 0; i < LANES; i++)
    for (int j = 0; j < i; j++) {
      float x = v[i][j];
      v[i][j] = v[j][i];
      v[j][i] = x;
    }
}
#endif
#endif
