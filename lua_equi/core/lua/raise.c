/* raise.c (binding) -- what ends a call before its end: errors, Ctrl-C, full memory; and where in
 * the Lua program we are, for messages.
 *
 * Ctrl-C: lua.c answers SIGINT by setting a hook on its main thread, which raises "interrupted!" at
 * the next instruction of that thread. Long kernels look for this hook. A debugger's hook must not
 * stop them, so the hook found when the main thread calls us is taken as its own; lua.c's hook is
 * another one, with all four masks and a count of 1. A coroutine never sees that hook (hooks belong
 * to threads), so there every op looks once, and the hook is moved to the coroutine. */
#include "lua_equi.h"
#include <stdio.h>
#include <string.h>

static lua_State *main_thread, *running;
static lua_Hook usual_hook;

/* ---- which thread runs ---- */
static const char running_key = 0, watch_key = 0;

/* The registry keeps the running thread alive, so that `running` never dangles. */
static void switch_thread(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  lua_State *M = lua_tothread(L, -1);
  lua_pop(L, 1);
  lua_pushthread(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &running_key);
  main_thread = M;
  running = L;
}

lua_State *eq_lua_running(void) { return running; }

static const char *where(void) {
  static char text[LUA_IDSIZE + 24];
  lua_Debug ar;
  text[0] = 0;
  for (int level = 0; running && lua_getstack(running, level, &ar); level++) {
    lua_getinfo(running, "Sl", &ar);
    if (ar.currentline <= 0) continue;
    snprintf(text, sizeof text, "%s:%d", ar.short_src, ar.currentline);
    break;
  }
  return text;
}

/* ---- Ctrl-C ---- */
static bool poll(void) {
  lua_Hook h = main_thread ? lua_gethook(main_thread) : NULL;
  return h && h != usual_hook && lua_gethookcount(main_thread) == 1 &&
         lua_gethookmask(main_thread) ==
             (LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT);
}

static int nop(lua_State *L) {
  (void)L;
  return 0;
}

/* Calling any function makes the waiting hook run on this thread, and the hook raises. It does not
 * run inside finalizers: then this returns. */
static void interrupt(lua_State *L) {
  lua_Hook h = lua_gethook(main_thread);
  if (main_thread != L && h) {
    int mask = lua_gethookmask(main_thread);
    lua_sethook(main_thread, NULL, 0, 0);
    lua_sethook(L, h, mask, 1);
  }
  lua_pushcfunction(L, nop);
  lua_call(L, 0, 0);
}

/* A closed state must not be asked any more. */
static int forget(lua_State *L) {
  (void)L;
  main_thread = running = NULL;
  return 0;
}

int eq_lua_watch(lua_State *L) {
  switch_thread(L);
  usual_hook = lua_gethook(main_thread);
  eq_poll = poll;
  eq_position = where;
  lua_newuserdatauv(L, 1, 0); /* dies with the state */
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, forget);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &watch_key);
  return 0;
}

/* ---- errors ---- */
int eq_lua_raise(lua_State *L, const char *who) {
  if (eq_error.status == EQ_STOP && main_thread) interrupt(L);
  char text[sizeof eq_error.text];
  snprintf(text, sizeof text, "%s", eq_error.text);
  luaL_where(L, 1);
  if (who)
    lua_pushfstring(L, "%s: %s", who, text);
  else
    lua_pushstring(L, text);
  lua_concat(L, 2);
  return lua_error(L);
}

int eq_lua_no_field(lua_State *L, const char *where, int methods, const char *k) {
  const char *hint = NULL;
  if (*k == '_' || !*k) return lua_pushnil(L), 1;
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  if (lua_getfield(L, -1, "lua_equi.elsewhere") == LUA_TTABLE &&
      lua_getfield(L, -1, "unknown") == LUA_TFUNCTION) {
    lua_pushstring(L, where);
    lua_pushstring(L, k);
    lua_pushvalue(L, methods);
    lua_call(L, 3, 1);
    hint = lua_tostring(L, -1);
  }
  return luaL_error(L, "%s: no field or method \"%s\"%s%s", where, k, hint ? "; " : "",
                    hint ? hint : "");
}

/* ---- memory ---- */
bool eq_lua_retry(lua_State *L, int status) {
  if (status != EQ_NOMEM) return false;
  lua_gc(L, LUA_GCCOLLECT);
  lua_gc(L, LUA_GCCOLLECT); /* finalizers of the first cycle free what the second may count */
  eq_trim();
  return true;
}

/* Small tensors never reach the limit, but a loop over them would walk through fresh memory all the
 * time: collecting after CHURN_MIN bytes (more with a large Lua heap, which makes collections dear)
 * keeps the blocks in the processor's cache. */
#define CHURN_MIN ((size_t)8 << 20)
#define SMALL_HEAP ((size_t)1 << 20)
static size_t churn_limit = CHURN_MIN;

/* In the generational mode a step is a collection of young objects alone (1 to 5 us): after every
 * FRESH_MAX bytes, large results find their dead predecessors' blocks still in the cache (an add of
 * 1M elements: 101 us before, 63 now). In the incremental mode steps would only bring full cycles
 * closer. Lua tells the mode when it is set: setting the one we believe in changes nothing. */
#define FRESH_MAX ((size_t)1 << 20)
static bool generational = true;
static void find_mode(lua_State *L) {
  int was = generational ? lua_gc(L, LUA_GCGEN, 0, 0) : lua_gc(L, LUA_GCINC, 0, 0, 0);
  if ((was == LUA_GCGEN) == generational) return;
  generational = !generational;
  if (generational)
    lua_gc(L, LUA_GCGEN, 0, 0);
  else
    lua_gc(L, LUA_GCINC, 0, 0, 0);
}

/* Tensors look 8 bytes small to Lua's collector, so we count bytes ourselves: a full collection
 * when live bytes pass max(soft limit, 1.5 x what was live after the last one), later when Lua's
 * own heap is large, since a collection walks all of it. Not while the collector is stopped (also
 * true inside finalizers). */
void eq_lua_collect(lua_State *L) {
  lua_gc(L, LUA_GCCOLLECT);
  find_mode(L);
  eq_mem.collections++;
  size_t heap = (size_t)lua_gc(L, LUA_GCCOUNT) << 10;
  churn_limit = heap > SMALL_HEAP ? 64 * heap : CHURN_MIN;
  eq_mem.churn = eq_mem.fresh = 0;
  size_t room = eq_mem.live / 2 > heap ? eq_mem.live / 2 : heap;
  size_t next = eq_mem.live + room;
  eq_mem.next_collect = next > eq_mem.soft_limit ? next : eq_mem.soft_limit;
}

void eq_lua_pressure(lua_State *L) {
  if (L != running) switch_thread(L);
  if (L == main_thread)
    usual_hook = lua_gethook(L);
  else if (poll())
    interrupt(L);
  if (eq_mem.live > eq_mem.next_collect || eq_mem.churn > churn_limit) {
    if (lua_gc(L, LUA_GCISRUNNING)) eq_lua_collect(L);
  } else if (eq_mem.fresh > FRESH_MAX && generational) {
    eq_mem.fresh = 0;
    if (lua_gc(L, LUA_GCISRUNNING)) lua_gc(L, LUA_GCSTEP, 0);
  }
}
