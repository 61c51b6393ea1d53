/* state.c (binding) -- what is set for the whole process: seed, threads, memory. */
#include "image/image.h"
#include "lua_equi.h"
#include "../micro/micro.h"
#include <string.h>

/* ---- random numbers ---- */
static int seed(lua_State *L) {
  if (lua_isnoneornil(L, 1)) {
    lua_pushinteger(L, (lua_Integer)eq_default_rng.seed);
    return 1;
  }
  eq_default_rng.seed = (uint64_t)eq_lua_checkint(L, 1, "seed", "seed");
  eq_default_rng.counter = 0;
  return 0;
}

static int rng_state(lua_State *L) { /* rng_state() -> {seed, counter}; rng_state(t) restores */
  if (lua_istable(L, 1)) {
    int64_t v[2];
    if (eq_lua_sizes(L, 1, v, 2, "rng_state", "state") != 2)
      return luaL_error(L, "rng_state: state must be {seed, counter}");
    eq_default_rng.seed = (uint64_t)v[0];
    eq_default_rng.counter = (uint64_t)v[1];
    return 0;
  }
  lua_createtable(L, 2, 0);
  lua_pushinteger(L, (lua_Integer)eq_default_rng.seed);
  lua_rawseti(L, -2, 1);
  lua_pushinteger(L, (lua_Integer)eq_default_rng.counter);
  lua_rawseti(L, -2, 2);
  return 1;
}

/* ---- threads ---- */
static int threads(lua_State *L) {
  if (!lua_isnoneornil(L, 1)) {
    int64_t n = eq_lua_checkint(L, 1, "threads", "n");
    if (n < 1 || n > EQ_MOST_THREADS)
      return luaL_error(L, "threads: n must be from 1 to %d, got %I", (int)EQ_MOST_THREADS,
                        (LUAI_UACINT)n);
    eq_set_threads((int)n);
  }
  lua_pushinteger(L, eq_threads());
  return 1;
}

/* ---- memory ---- */
static void set_number(lua_State *L, const char *k, size_t v) {
  lua_pushinteger(L, (lua_Integer)v);
  lua_setfield(L, -2, k);
}

static int read_limit(lua_State *L, const char *key, size_t *limit) {
  if (lua_getfield(L, 1, key) != LUA_TNIL) {
    int64_t v = eq_lua_checkint(L, -1, "memory", key);
    if (v < 0) return luaL_error(L, "memory: %s must not be negative", key);
    *limit = (size_t)v;
  }
  lua_pop(L, 1);
  return 0;
}

static int memory(lua_State *L) {
  static const char *const valid[] = {"soft_limit", "cache_limit", NULL};
  eq_lua_pressure(L); /* a coroutine that is over is let go */
  if (lua_istable(L, 1)) {
    eq_lua_check_keys(L, 1, "memory", valid);
    read_limit(L, "soft_limit", &eq_mem.soft_limit);
    size_t kept = eq_mem.cache_limit;
    read_limit(L, "cache_limit", &eq_mem.cache_limit);
    eq_mem.cache_fixed |= eq_mem.cache_limit != kept;
    eq_mem.next_collect = eq_mem.soft_limit;
    if (eq_mem.cached > eq_mem.cache_limit) eq_trim();
  } else if (!lua_isnoneornil(L, 1)) {
    static const char *const verb[] = {"trim", "collect", "reset_peak", NULL};
    const char *s = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : "";
    int v = 0;
    while (verb[v] && strcmp(verb[v], s)) v++;
    if (!verb[v])
      return luaL_error(L,
                        "memory: the verb must be one of \"trim\", \"collect\", "
                        "\"reset_peak\", got %s",
                        *s ? lua_pushfstring(L, "\"%s\"", s) : luaL_tolstring(L, 1, NULL));
    if (v <= 1) lua_gc(L, LUA_GCCOLLECT), eq_lua_collect(L);
    if (v == 0) eq_trim();
    if (v == 2) eq_mem.peak = eq_mem.live;
  }
  lua_createtable(L, 0, 8);
  set_number(L, "live", eq_mem.live);
  set_number(L, "peak", eq_mem.peak);
  set_number(L, "cached", eq_mem.cached);
  set_number(L, "soft_limit", eq_mem.soft_limit);
  set_number(L, "cache_limit", eq_mem.cache_limit);
  set_number(L, "allocations", (size_t)eq_mem.allocations);
  set_number(L, "collections", (size_t)eq_mem.collections);
  luaL_newmetatable(L, "equi.Memory"); /* lua_equi/tensor.lua says how it prints */
  lua_setmetatable(L, -2);
  return 1;
}

/* Tests: fail_allocation(n, times=1): the n-th allocation from now fails, and the times - 1 after
 * it; nil switches that off. */
static int fail_allocation(lua_State *L) {
  bool off = lua_isnoneornil(L, 1);
  eq_mem.fail_after = off ? -1 : eq_lua_checkint(L, 1, "fail_allocation", "n") - 1;
  eq_mem.fail_times = lua_isnoneornil(L, 2) ? 1 : eq_lua_checkint(L, 2, "fail_allocation", "times");
  return 0;
}

/* ---- what is built in ---- */
static int build(lua_State *L) {
  lua_createtable(L, 0, 6);
  lua_pushstring(L, eq_blas_name());
  lua_setfield(L, -2, "blas");
  lua_pushstring(L, eq_blas_warning());
  lua_setfield(L, -2, "warning");
  lua_pushstring(L, eq_openmp_name());
  lua_setfield(L, -2, "openmp");
  lua_pushinteger(L, eq_max_threads());
  lua_setfield(L, -2, "cores");
  lua_pushstring(L,
#if defined(__clang__)
                 "clang " __clang_version__
#elif defined(__GNUC__)
                 "gcc " __VERSION__
#else
                 "C11"
#endif
  );
  lua_setfield(L, -2, "compiler");
  lua_pushstring(L, eq_jpeg_name());
  lua_setfield(L, -2, "jpeg");
#if defined(__x86_64__) && defined(__GNUC__)
  lua_pushstring(L, __builtin_cpu_supports("avx512f") ? "x86-64-v4 (AVX-512)"
                    : __builtin_cpu_supports("avx2")  ? "x86-64-v3 (AVX2)"
                                                      : "x86-64 (SSE2)");
#else
  lua_pushliteral(L, "portable");
#endif
  lua_setfield(L, -2, "simd");
  lua_pushstring(L, eq_micro_name());
  lua_setfield(L, -2, "kernels");
  return 1;
}

/* Tests: use_kernels(name) switches to the kernels of one instruction set, "none" to the general
 * paths, nil to the best; use_kernels() names those there are. */
static int use_kernels(lua_State *L) {
  const eq_micro_set *set;
  if (lua_gettop(L) > 0) {
    const char *name = luaL_optstring(L, 1, NULL);
    if (!eq_micro_use(name)) return luaL_error(L, "use_kernels: no kernels \"%s\" here", name);
  }
  lua_newtable(L);
  for (int i = 0; (set = eq_micro_at(i)); i++) {
    lua_pushstring(L, set->name);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static const luaL_Reg functions[] = {{"seed", seed},
                                     {"rng_state", rng_state},
                                     {"threads", threads},
                                     {"memory", memory},
                                     {"fail_allocation", fail_allocation},
                                     {"build", build},
                                     {"use_kernels", use_kernels},
                                     {NULL, NULL}};

static const eq_lua_doc docs[] = {
    {"seed", "n -> ; () -> n", "Starts the random stream n, or returns the current seed.",
     "equi.seed(1)\nlocal a = equi.seed()\nprint(a)  --> 1"},
    {"rng_state", "() -> {seed, counter}; state -> ",
     "The whole state of the random stream, to save in checkpoints, or restores one.",
     "local s = equi.rng_state()\nequi.rng_state(s)\nprint(#s)  --> 2"},
    {"threads", "n=nil -> n",
     "Number of threads for our kernels and for BLAS; sets it when given. "
     "Results do not depend on it.",
     "print(equi.threads(1))  --> 1"},
    {"memory", "verb or {soft_limit=, cache_limit=} -> table",
     "Bytes in use by tensors: live, peak, cached and limits. \"trim\" collects and gives cached "
     "blocks "
     "back, \"collect\" only collects, \"reset_peak\" restarts the peak. Until cache_limit is "
     "set it\nis 1 GiB or three quarters of the peak, whichever is more.",
     "local m = equi.memory()\nprint(m.live <= m.peak)  --> true"},
    {0}};

int eq_lua_state(lua_State *L) {
  (void)eq_micro(); /* chosen now, by one thread */
  luaL_setfuncs(L, functions, 0);
  eq_lua_add_docs(L, docs);
  return 0;
}
