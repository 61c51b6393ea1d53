/* vocabulary.c -- equi.action.vocabulary: maps of tokens from cycles, images or pairs, written in
 * ids or in words; a map that is no bijection is refused by the names of its words. */
#include "symmetry.h"
#include <string.h>

static const char who[] = "action.vocabulary";

/* Stack: 1 group, 2 options, 3 list of words or nil, 4 table from word to id. */
enum { OPTIONS = 2, WORDS = 3, IDS = 4 };

static void read_words(lua_State *L, int64_t *size) {
  lua_getfield(L, OPTIONS, "words");
  lua_newtable(L);
  if (lua_isnil(L, WORDS)) return;
  int n = eq_lua_list(L, WORDS, who, "words");
  if (*size && *size != n)
    luaL_error(L, "%s: size is %I, but there are %d words", who, (LUAI_UACINT)*size, n);
  *size = n;
  for (int i = 1; i <= n; i++) {
    if (lua_geti(L, WORDS, i) != LUA_TSTRING)
      luaL_error(L, "%s: word %d must be a string, got %s", who, i, eq_lua_kind(L, -1));
    lua_pushvalue(L, -1);
    if (lua_rawget(L, IDS) != LUA_TNIL)
      luaL_error(L, "%s: \"%s\" is listed twice, as %I and as %d", who, lua_tostring(L, -2),
                 (LUAI_UACINT)lua_tointeger(L, -1), i);
    lua_pop(L, 1);
    lua_pushinteger(L, i);
    lua_rawset(L, IDS);
  }
}

/* The id, from 0, of the word or number at place i. */
static int64_t read_id(lua_State *L, int i, int64_t size) {
  i = lua_absindex(L, i);
  if (lua_type(L, i) == LUA_TSTRING) {
    lua_pushvalue(L, i);
    if (lua_rawget(L, IDS) == LUA_TNIL) {
      if (lua_isnil(L, WORDS))
        luaL_error(L, "%s: \"%s\" is a word; give the list of words as {words = ...}", who,
                   lua_tostring(L, i));
      luaL_error(L, "%s: \"%s\" is not among the %I words", who, lua_tostring(L, i),
                 (LUAI_UACINT)size);
    }
    int64_t id = lua_tointeger(L, -1) - 1;
    lua_pop(L, 1);
    return id;
  }
  int64_t id = eq_lua_checkint(L, i, who, "each id");
  if (id < 1 || id > size)
    luaL_error(L, "%s: id %I is outside the vocabulary; ids are 1 to %I", who, (LUAI_UACINT)id,
               (LUAI_UACINT)size);
  return id - 1;
}

/* How a token is called in messages; the string is left on the stack. */
static const char *token(lua_State *L, int64_t id) {
  if (lua_isnil(L, WORDS)) return lua_pushfstring(L, "%I", (LUAI_UACINT)(id + 1));
  lua_geti(L, WORDS, id + 1);
  return lua_pushfstring(L, "\"%s\"", lua_tostring(L, -1));
}

static void read_cycles(lua_State *L, int map, int n, int64_t size, int which, int64_t *to) {
  uint8_t *used = eq_lua_scratch(L, (size_t)size);
  for (int64_t i = 0; i < size; i++) used[i] = 0;
  for (int c = 1; c <= n; c++) {
    lua_geti(L, map, c);
    int cycle = lua_gettop(L), length = eq_lua_list(L, cycle, who, "each cycle");
    int64_t first = 0, last = 0;
    for (int j = 1; j <= length; j++) {
      lua_geti(L, cycle, j);
      int64_t id = read_id(L, -1, size);
      if (used[id]++)
        luaL_error(L, "%s: generator %d is no bijection: %s occurs twice in its cycles", who, which,
                   token(L, id));
      if (j == 1)
        first = id;
      else
        to[last] = id;
      last = id;
      lua_pop(L, 1);
    }
    if (length) to[last] = first;
    lua_settop(L, cycle - 1);
  }
  lua_pop(L, 1);
}

static void read_images(lua_State *L, int map, int n, int64_t size, int which, int64_t *to) {
  if (n != size)
    luaL_error(L, "%s: generator %d lists %d images, the vocabulary has %I tokens", who, which, n,
               (LUAI_UACINT)size);
  for (int i = 0; i < n; i++) {
    lua_geti(L, map, i + 1);
    to[i] = read_id(L, -1, size);
    lua_pop(L, 1);
  }
}

static void read_pairs(lua_State *L, int map, int64_t size, int64_t *to) {
  lua_pushnil(L);
  while (lua_next(L, map)) {
    int64_t from = read_id(L, -2, size);
    to[from] = read_id(L, -1, size);
    lua_pop(L, 1);
  }
}

static void check_bijection(lua_State *L, int64_t size, int which, const int64_t *to) {
  int64_t *from = eq_lua_scratch(L, (size_t)size * sizeof *from);
  for (int64_t i = 0; i < size; i++) from[i] = -1;
  for (int64_t i = 0; i < size; i++) {
    if (from[to[i]] >= 0)
      luaL_error(L, "%s: generator %d is no bijection: it sends both %s and %s to %s", who, which,
                 token(L, from[to[i]]), token(L, i), token(L, to[i]));
    from[to[i]] = i;
  }
  lua_pop(L, 1);
}

/* The map on top of the stack, which is popped. */
static void read_map(lua_State *L, int64_t size, int which, int64_t *to) {
  int map = lua_gettop(L), n = eq_lua_list(L, map, who, "each generator's map");
  for (int64_t i = 0; i < size; i++) to[i] = i;
  int first = lua_geti(L, map, 1);
  lua_pop(L, 1);
  if (first == LUA_TTABLE)
    read_cycles(L, map, n, size, which, to);
  else if (first != LUA_TNIL && n > 0 && n >= size)
    read_images(L, map, n, size, which, to);
  else
    read_pairs(L, map, size, to);
  check_bijection(L, size, which, to);
  lua_settop(L, map - 1);
}

static int64_t *read_generators(lua_State *L, int64_t size, int *n) {
  bool swaps = lua_getfield(L, OPTIONS, "swaps") != LUA_TNIL;
  if (swaps == (lua_getfield(L, OPTIONS, "generators") != LUA_TNIL))
    luaL_error(L, "%s: give either swaps = {{a, b}, ...} or generators = {map, ...}", who);
  *n = swaps ? 1 : eq_lua_list(L, -1, who, "generators");
  int64_t *to = eq_lua_scratch(L, (size_t)(*n * size) * sizeof *to);
  for (int k = 0; k < *n; k++) {
    if (swaps)
      lua_pushvalue(L, -3);
    else
      lua_geti(L, -2, k + 1);
    read_map(L, size, k + 1, to + k * size);
  }
  return to;
}

/* true for ids, false for logits */
static bool read_what(lua_State *L) {
  bool ids = true;
  if (lua_getfield(L, OPTIONS, "what") != LUA_TNIL) {
    const char *what = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : eq_lua_kind(L, -1);
    ids = !strcmp(what, "ids");
    if (!ids && strcmp(what, "logits") != 0)
      luaL_error(L, "%s: what is \"%s\"; it is \"ids\" or \"logits\"", who, what);
  }
  lua_pop(L, 1);
  return ids;
}

static int vocabulary(lua_State *L) {
  static const char *const keys[] = {"size", "words", "generators", "swaps", "what", "dim", NULL};
  eq_group *g = eq_lua_checkgroup(L, 1, who, "the group");
  lua_settop(L, 2);
  if (!eq_lua_options(L, OPTIONS, who, keys))
    return luaL_error(L, "%s: options are missing; give {size = ..., generators = ...}", who);
  int64_t size = 0;
  if (lua_getfield(L, OPTIONS, "size") != LUA_TNIL) size = eq_lua_checkint(L, -1, who, "size");
  lua_settop(L, 2);
  read_words(L, &size);
  if (size < 1 || size > INT32_MAX)
    return luaL_error(L, "%s: size is %I; give the number of tokens, or the list of words", who,
                      (LUAI_UACINT)size);
  bool ids = read_what(L);
  int dim = eq_lua_dim_option(L, OPTIONS, "dim", -1, who), n;
  int64_t *to = read_generators(L, size, &n);
  eq_action **box = eq_lua_newaction(L, 1);
  EQ_LUA_MAKE(L, who, *box,
              eq_action_permutation(g, ids ? EQ_ACT_IDS : EQ_ACT_AXIS, dim, size, n, to));
  eq_lua_pressure(L);
  return 1;
}

void eq_lua_vocabulary(lua_State *L) {
  lua_pushcfunction(L, vocabulary);
  lua_setfield(L, -2, "vocabulary");
}
