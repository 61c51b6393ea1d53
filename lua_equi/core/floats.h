/* floats.h -- compiles the `#ifdef T` part of a file once for float and once for double.
 * Define EQ_FILE as the file's own name (relative to core/) before including this.
 * Inside that part T is the element type, FN(f) is f with the type's suffix (_f32, _f64), and
 * EXP, TANH ... are the vectorisable functions of vmath.h. FLOATS(f) of equi.h is the kernel pair
 * for a row. */
#include "vmath.h"
#define EQ_CAT_(a, b) a##b
#define EQ_CAT(a, b) EQ_CAT_(a, b)
#define FN(f) EQ_CAT(f, SUFFIX)
#define T float
#define SUFFIX _f32
#include EQ_FILE
#undef T
#undef SUFFIX
#define T double
#define SUFFIX _f64
#include EQ_FILE
#undef T
#undef SUFFIX
/* Calls f_f32 or f_f64 by dtype: FLOAT_CALL(dt, rows, (arguments)). */
#define FLOAT_CALL(dt, f, args) ((dt) == EQ_F32 ? EQ_CAT(f, _f32) args : EQ_CAT(f, _f64) args)
