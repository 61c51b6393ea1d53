/* core.c (binding) -- luaopen: puts together what the other files of this folder register.
 *
 * May run several times per process and per state (busted reloads modules): nothing here keeps
 * state outside the registry, and the metatable is made once. */
#if defined(__linux__)
#define _GNU_SOURCE /* dladdr, RTLD_NOLOAD */
#endif
#include "symmetry.h"
#if defined(__linux__)
#include <dlfcn.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

#if defined(__GNUC__)
#define EXPORT __attribute__((visibility("default")))
#else
#define EXPORT
#endif
EXPORT int luaopen_lua_equi_core(lua_State *L);

/* lua_close unloads C modules, but the worker threads of OpenMP and BLAS outlive it: unloading
 * their code under them crashes at exit (0-30 % of runs measured). So the module stays loaded. */
static void pin(void) {
#if defined(__linux__)
  Dl_info info;
  if (dladdr((void *)(uintptr_t)pin, &info) && info.dli_fname)
    (void)dlopen(info.dli_fname, RTLD_NOW | RTLD_NODELETE | RTLD_NOLOAD);
#endif
}

static int is_terminal(lua_State *L) { /* is_terminal(file) */
  luaL_Stream *s = luaL_testudata(L, 1, LUA_FILEHANDLE);
#if defined(__unix__) || defined(__APPLE__)
  lua_pushboolean(L, s && s->f && isatty(fileno(s->f)));
#else
  (void)s;
  lua_pushboolean(L, 0);
#endif
  return 1;
}

int luaopen_lua_equi_core(lua_State *L) {
  luaL_checkversion(L);
  pin();
  if (eq_ops_init()) return luaL_error(L, "lua_equi.core: %s", eq_error.text);
  lua_createtable(L, 0, 256);
  eq_lua_tensor(L);
  eq_lua_construct(L);
  eq_lua_random(L);
  eq_lua_watch(L);
  eq_lua_state(L);
  eq_lua_grad(L);
  eq_lua_hooks(L);
  eq_lua_custom(L);
  eq_lua_print(L);
  eq_lua_group(L);
  eq_lua_action(L);
  eq_lua_equitune(L);
  eq_lua_ops(L);
  eq_lua_index(L);
  eq_lua_image(L);
  eq_lua_loader(L);
  eq_lua_folder(L);
  eq_lua_backend(L);
  eq_lua_file(L);
  eq_lua_interrupt(L);
  eq_lua_conv(L);
  eq_lua_text(L);
  lua_pushcfunction(L, is_terminal);
  lua_setfield(L, -2, "is_terminal");
  return 1;
}
