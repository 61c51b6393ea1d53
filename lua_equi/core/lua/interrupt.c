/* interrupt.c (binding) -- Ctrl-C between the steps of a training, and a clock.
 *
 * lua.c answers SIGINT by an error in the middle of whatever runs. A training step that is half
 * done cannot be resumed, so train.lua holds the signal: the first Ctrl-C is only noted, to be
 * asked for between steps, and the second goes to whoever handled the signal before. */
#include "lua_equi.h"
#include <signal.h>
#include <time.h>

#define HOLD "equi.Hold"

typedef void (*handler)(int);
static volatile sig_atomic_t presses;
static handler before; /* valid while holding */
static int holders;

static void on_press(int sig) {
  presses++;
  if (presses == 1) {
    (void)signal(sig, on_press);
    return;
  }
  (void)signal(sig, before);
  (void)raise(sig);
}

static void install(void) {
  handler old = signal(SIGINT, on_press);
  if (old != on_press) before = old == SIG_ERR ? SIG_DFL : old;
}

static int hold_interrupts(lua_State *L) {
  bool *active = lua_newuserdatauv(L, sizeof *active, 0);
  *active = false;
  luaL_setmetatable(L, HOLD);
  if (!holders++) {
    presses = 0;
    install();
  }
  *active = true;
  return 1;
}

static int release(lua_State *L) { /* __close and __gc */
  bool *active = luaL_checkudata(L, 1, HOLD);
  if (*active && !--holders) (void)signal(SIGINT, before);
  *active = false;
  return 0;
}

static int pressed(lua_State *L) {
  lua_pushboolean(L, presses > 0);
  return 1;
}

/* hold:pause(true) lets Ctrl-C through to its old handler, if there is one that does not just end
 * the process; hold:pause(false) holds it again. */
static int pause_hold(lua_State *L) {
  luaL_checkudata(L, 1, HOLD);
  if (holders && before != SIG_DFL && before != SIG_IGN) {
    if (lua_toboolean(L, 2))
      (void)signal(SIGINT, before);
    else
      install();
  }
  return 0;
}

static int seconds(lua_State *L) {
  struct timespec t;
#if defined(CLOCK_MONOTONIC)
  clock_gettime(CLOCK_MONOTONIC, &t);
#else
  timespec_get(&t, TIME_UTC);
#endif
  lua_pushnumber(L, (double)t.tv_sec + 1e-9 * (double)t.tv_nsec);
  return 1;
}

static const luaL_Reg functions[] = {
    {"hold_interrupts", hold_interrupts}, {"clock", seconds}, {NULL, NULL}};
static const luaL_Reg methods[] = {{"pressed", pressed}, {"pause", pause_hold}, {NULL, NULL}};
static const luaL_Reg events[] = {{"__gc", release}, {"__close", release}, {NULL, NULL}};

static const eq_lua_doc docs[] = {
    {"clock", "() -> seconds",
     "Seconds since some fixed moment; does not jump when the time is set.",
     "local t = equi.clock()\nprint(equi.clock() >= t)  --> true"},
    {"hold_interrupts", "() -> hold",
     "Until the result is closed, Ctrl-C raises nothing: hold:pressed() tells of it. A second "
     "Ctrl-C "
     "acts as it would have before. hold:pause(true) lets Ctrl-C through for a while.",
     "do\n  local hold <close> = equi.hold_interrupts()\n  print(hold:pressed())  --> false\nend"},
    {0}};

int eq_lua_interrupt(lua_State *L) {
  if (luaL_newmetatable(L, HOLD)) {
    luaL_setfuncs(L, events, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
  }
  lua_pop(L, 1);
  luaL_setfuncs(L, functions, 0);
  eq_lua_add_docs(L, docs);
  return 0;
}
