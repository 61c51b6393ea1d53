/* args.h -- one call on its way from Lua's stack to an op: args.c fills it, call.c runs it. */
#ifndef ARGS_H
#define ARGS_H
#include "lua_equi.h"

enum { EQ_LUA_FEW = 32 };

typedef struct reader {
  lua_State *L;
  const eq_op *op;
  const eq_sig *sig;
  eq_call c;
  eq_tensor *few[EQ_LUA_FEW];
  int room, top, next; /* top: positional arguments; next: the one to read */
  int options;         /* stack place of the options table, or 0 */
  double number[4];    /* operands given as numbers: value, and which input */
  int number_at[4], nnumber;
  eq_dtype number_dtype; /* what they become */
} reader;

/* Reads everything on the stack, for the op and signature that are the running closure's upvalues.
 * Raises, naming op and argument. Inputs given as numbers are left NULL, see number_at. */
void eq_lua_read(reader *r, lua_State *L);

#endif
