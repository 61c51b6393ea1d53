/* lua_equi.h -- what the files of core/lua share. This folder is the only one that knows both Lua
 * and tensors, the only one that raises, and the only place where 1-based becomes 0-based. */
#ifndef LUA_EQUI_H
#define LUA_EQUI_H
#include "equi.h"
#include <lauxlib.h>
#include <lua.h>

#define EQ_TENSOR "equi.Tensor"

/* Documentation of a function that is no op row; collected in core.docs[name] for help, the
 * reference and the editor. Tables end with {0}. */
typedef struct eq_lua_doc {
  const char *name, *sig, *doc, *example;
} eq_lua_doc;
void eq_lua_add_docs(lua_State *L, const eq_lua_doc *docs); /* module table on top */

/* ---- boxes (tensor.c) ----
 * A tensor userdata is an eq_tensor*. The box is pushed empty, then filled: an error in between
 * leaves nothing unowned. */
eq_tensor **eq_lua_newbox(lua_State *L);
eq_tensor *eq_lua_totensor(lua_State *L, int i); /* NULL when it is none */
eq_tensor *eq_lua_checktensor(lua_State *L, int i, const char *who, const char *name);
void eq_lua_forget_tensor(void);              /* before the state that opened us is closed */
void eq_lua_push(lua_State *L, eq_tensor *x); /* takes over the reference; raises if x is NULL */

/* What messages call the value at place i: "a tensor", "a group", "table". (args.c) */
const char *eq_lua_kind(lua_State *L, int i);

/* ---- failures (raise.c) ---- */
/* `k` is no name of `where` ("group", "action"), whose methods are at stack place `methods`: raises
 * with what lua_equi/elsewhere.lua says of it. Nil if k begins with "_", which tools look for. */
int eq_lua_no_field(lua_State *L, const char *where, int methods, const char *k);
/* Raise eq_error as "position: who: sentence". After EQ_STOP runs the interrupt's hook instead. */
int eq_lua_raise(lua_State *L, const char *who);
/* After EQ_NOMEM, once: give memory back and tell the caller to try again. */
bool eq_lua_retry(lua_State *L, int status);
/* First thing in every function that computes: notes the thread for messages and Ctrl-C, and
 * collects garbage when live bytes passed the limit. */
void eq_lua_pressure(lua_State *L);
void eq_lua_collect(lua_State *L); /* in full; says when the next is due */
lua_State *eq_lua_running(void);   /* the thread that called pressure last, or NULL */

/* ---- Lua values that C holds on to (anchor.c) ---- */
/* Pops the value on top and keeps it until it is dropped, or until the userdata at stack place
 * `box` is collected (box > 0). Returns its number. */
int64_t eq_lua_anchor(lua_State *L, int box);
bool eq_lua_anchored(lua_State *L, int64_t id); /* pushes it; false when it is gone */
void eq_lua_drop(lua_State *L, int64_t id);     /* any thread of the state; allocates nothing */
lua_State *eq_lua_main(lua_State *L);
/* Runs f(job) protected on the thread that called backward; an error becomes the sentence "in
 * `what` of `name`: message". */
int eq_lua_protected(lua_CFunction f, void *job, const char *what, const char *name);
lua_State *eq_lua_caller(void); /* that thread; NULL outside of a backward pass (grad.c) */

/* ---- reading arguments (args.c) ---- */
eq_dtype eq_lua_checkdtype(lua_State *L, int i, const char *who);
/* Pushes what lua_equi/elsewhere.lua says of a name of PyTorch's or NumPy's: list is "dtypes" or
 * "options". NULL (and nothing pushed) if there is nothing. */
const char *eq_lua_elsewhere(lua_State *L, const char *list, const char *name);
const char *eq_lua_a_dtype(eq_dtype t); /* "an f32", "a u8": for messages */
/* A list of sizes at stack place i: a table, or the numbers from i on. Returns how many. */
int eq_lua_sizes(lua_State *L, int i, int64_t *out, int max, const char *who, const char *name);
/* The same of a shape, behind which nothing may follow. */
int eq_lua_all_sizes(lua_State *L, int i, int64_t *out, const char *who);
/* Drops an empty table behind more than `before` arguments: options without any. */
void eq_lua_drop_empty(lua_State *L, int before);
bool eq_lua_is_options(lua_State *L, int i); /* a table whose first key is a string */
/* The number of entries used up is returned; nil-terminated list of valid keys is checked. */
void eq_lua_check_keys(lua_State *L, int i, const char *who, const char *const *valid);
eq_dtype eq_lua_default_dtype(lua_State *L); /* of constructors without {dtype=} */
bool eq_lua_checkbool(lua_State *L, int i, const char *who, const char *name); /* nil: false */
int64_t eq_lua_checkint(lua_State *L, int i, const char *who, const char *name);
double eq_lua_checknumber(lua_State *L, int i, const char *who, const char *name);
/* The number or boolean at place i as a tensor without dims in a box pushed on the stack (taken by
 * construct.c); raises when it does not fit the dtype. */
eq_tensor **eq_lua_scalar(lua_State *L, int i, eq_dtype t, const char *who);

/* ---- registration: each adds its functions to the module table on top of the stack ---- */
int eq_lua_ops(lua_State *L);
int eq_lua_tensor(lua_State *L);
int eq_lua_construct(lua_State *L);
int eq_lua_random(lua_State *L);
int eq_lua_state(lua_State *L);
int eq_lua_grad(lua_State *L);
int eq_lua_watch(lua_State *L);
int eq_lua_hooks(lua_State *L);
int eq_lua_custom(lua_State *L);
int eq_lua_print(lua_State *L);
int eq_lua_image(lua_State *L);
int eq_lua_loader(lua_State *L);
void eq_lua_folder(lua_State *L);
int eq_lua_backend(lua_State *L);
int eq_lua_file(lua_State *L);
int eq_lua_interrupt(lua_State *L);
int eq_lua_conv(lua_State *L);
void eq_lua_text(lua_State *L);
void eq_lua_index(lua_State *L); /* __index, __newindex into the metatable on top */

#endif
