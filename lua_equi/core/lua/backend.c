/* backend.c (binding) -- equi.backend: loads libraries that replace kernels (backends/stub.c is the
 * template), lists them, takes them out of use. A library stays mapped until the process ends. */
#include "lua_equi.h"
#include <stdio.h>
#include <string.h>
#if defined(__unix__) || defined(__APPLE__)
#include <dlfcn.h>
#endif

/* The path of backend i: itself if it looks like a file, else where Lua finds its own libraries. */
static const char *find(lua_State *L, int i) {
  const char *name = luaL_checkstring(L, i);
  if (strchr(name, '/') || strchr(name, '.')) return name;
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "searchpath");
  lua_pushfstring(L, "lua_equi.backends.%s", name);
  lua_getfield(L, -3, "cpath");
  lua_call(L, 2, 1);
  const char *path = lua_tostring(L, -1);
  if (!path)
    luaL_error(L,
               "backend.load: there is no backend \"%s\" in package.cpath; give its name or the "
               "path of its library",
               name);
  return path;
}

/* "dir/stub.so" -> "eq_backend_stub" */
static const char *symbol(lua_State *L, const char *path) {
  const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
  size_t n = strcspn(base, ".");
  lua_pushliteral(L, "eq_backend_");
  lua_pushlstring(L, base, n);
  lua_concat(L, 2);
  return lua_tostring(L, -1);
}

static const eq_backend *open_library(lua_State *L, const char *path) {
#if defined(__unix__) || defined(__APPLE__)
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    luaL_error(L, "backend.load: %s", dlerror());
    return NULL;
  }
  const char *wanted = symbol(L, path);
  const eq_backend *b = dlsym(library, wanted);
  if (!b) {
    dlclose(library);
    luaL_error(L, "backend.load: %s has no symbol %s; backends/stub.c shows what a backend exports",
               path, wanted);
  }
  return b;
#else
  luaL_error(L, "backend.load: %s: backends cannot be loaded on this system", path);
  return NULL;
#endif
}

static int load(lua_State *L) {
  const eq_backend *b = open_library(L, find(L, 1));
  if (eq_backend_register(b)) return eq_lua_raise(L, "backend.load");
  lua_pushstring(L, b->name);
  return 1;
}

static int reset(lua_State *L) {
  (void)L;
  eq_backend_reset();
  return 0;
}

static int list(lua_State *L) {
  const eq_backend *b;
  lua_newtable(L);
  for (int i = 0; (b = eq_backend_at(i)); i++) {
    lua_createtable(L, 0, 3);
    lua_pushstring(L, b->name);
    lua_setfield(L, -2, "name");
    if (b->calls) {
      lua_pushinteger(L, b->calls());
      lua_setfield(L, -2, "calls");
    }
    lua_newtable(L);
    for (int k = 0; k < EQ_MAXENTRY && b->entry[k].op; k++) {
      lua_pushstring(L, b->entry[k].op);
      lua_rawseti(L, -2, k + 1);
    }
    lua_setfield(L, -2, "ops");
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static const luaL_Reg functions[] = {
    {"load", load}, {"list", list}, {"reset", reset}, {NULL, NULL}};

static const eq_lua_doc docs[] = {
    {"backend.load", "name or path -> name",
     "Puts the kernels of a backend in place of the portable ones, and returns its name.\n"
     "A name is looked for where Lua finds lua_equi's own library; a path names the .so file. "
     "Where "
     "two backends replace one op, the one loaded last counts; loading one again changes nothing. "
     "Raises when there is no such "
     "library, "
     "it is no backend or it was made for another version.",
     "print(equi.backend.load \"stub\")  --> stub\nequi.backend.reset()"},
    {"backend.list", "() -> table",
     "The backends in use, in the order of loading: {name =, ops = {the ops it replaces}, calls = "
     "how "
     "often its kernels ran, where it counts}.",
     "print(#equi.backend.list())  --> 0"},
    {"backend.reset", "() -> ", "Goes back to the portable kernels.",
     "equi.backend.reset()\nprint(#equi.backend.list())  --> 0"},
    {0}};

int eq_lua_backend(lua_State *L) {
  luaL_newlib(L, functions);
  lua_setfield(L, -2, "backend");
  eq_lua_add_docs(L, docs);
  return 0;
}
