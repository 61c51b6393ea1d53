/* text.c (binding) -- for data/bpe.lua: core.bpe, the tables of a tokenizer as one userdata, and
 * core.count_words; for data/wordpiece.lua: core.basic_words. Tokens of the C side count from 0;
 * encode adds `base`. */
#include "text/text.h"
#include "lua_equi.h"
#include <limits.h>

#define BPE "equi.Bpe"
#define TOKENS "equi.Tokens"

enum { BYTES = 256, POLL = 1 << 14 /* words between two looks for Ctrl-C */ };

static int free_bpe(lua_State *L) {
  eq_bpe **box = lua_touserdata(L, 1);
  eq_bpe_free(*box);
  *box = NULL;
  return 0;
}

static int free_tokens(lua_State *L) {
  eq_tokens_free(lua_touserdata(L, 1));
  return 0;
}

/* The number at place i of a list, below `end`. */
static uint32_t number_at(lua_State *L, int list, lua_Integer i, uint32_t end) {
  lua_rawgeti(L, list, i);
  lua_Integer x = eq_lua_checkint(L, -1, "bpe", "each entry");
  lua_pop(L, 1);
  if (x < 0 || x >= end)
    luaL_error(L, "bpe: %I is too large or negative; 0 to %I are possible", (LUAI_UACINT)x,
               (LUAI_UACINT)end - 1);
  return (uint32_t)x;
}

static void read_merges(lua_State *L, int list, eq_merge *merge, size_t n, uint32_t ntoken) {
  for (size_t i = 0; i < n; i++) {
    lua_Integer at = (lua_Integer)(3 * i);
    merge[i].left = number_at(L, list, at + 1, ntoken);
    merge[i].right = number_at(L, list, at + 2, ntoken);
    merge[i].result = number_at(L, list, at + 3, ntoken);
  }
}

/* core.bpe(lengths, bytes, merges) -> encoder: how many bytes each token has; the token of each
 * byte (256); left, right, result of each merge, one after the other */
static int bpe(lua_State *L) {
  uint32_t byte_token[BYTES];
  for (int i = 1; i <= 3; i++) luaL_checktype(L, i, LUA_TTABLE);
  lua_settop(L, 3);
  const size_t ntoken = lua_rawlen(L, 1), n = lua_rawlen(L, 3) / 3;
  if (ntoken > INT32_MAX || lua_rawlen(L, 2) != BYTES || lua_rawlen(L, 3) % 3)
    return luaL_error(L, "bpe: needs 256 tokens of bytes and three for each merge");
  eq_bpe **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, BPE);
  uint32_t *length = lua_newuserdatauv(L, ntoken * sizeof *length, 0);
  eq_merge *merge = lua_newuserdatauv(L, n * sizeof *merge, 0);
  for (size_t i = 0; i < ntoken; i++) length[i] = number_at(L, 1, (lua_Integer)i + 1, INT32_MAX);
  for (int i = 0; i < BYTES; i++) byte_token[i] = number_at(L, 2, i + 1, (uint32_t)ntoken);
  read_merges(L, 3, merge, n, (uint32_t)ntoken);
  for (size_t i = 0; i < n; i++)
    if (length[merge[i].result] != length[merge[i].left] + length[merge[i].right])
      return luaL_error(L, "bpe: merge %I has another length than its parts", (LUAI_UACINT)(i + 1));
  for (int i = 0; i < BYTES; i++)
    if (length[byte_token[i]] != 1) return luaL_error(L, "bpe: byte %d is no byte", i);
  eq_lua_pressure(L);
  for (int attempt = 0; !*box && attempt < 2; attempt++) {
    *box = eq_bpe_new(length, ntoken, byte_token, merge, n);
    if (!*box && (attempt || !eq_lua_retry(L, (int)eq_error.status))) return eq_lua_raise(L, "bpe");
  }
  lua_settop(L, 4);
  return 1;
}

/* encoder:encode(text, from, to, base, list=nil) -> list: appends the tokens of text:sub(from, to),
 * which is split by itself. */
static int encode(lua_State *L) {
  eq_bpe **box = luaL_checkudata(L, 1, BPE);
  size_t size;
  const char *text = luaL_checklstring(L, 2, &size);
  lua_Integer from = luaL_checkinteger(L, 3), to = luaL_checkinteger(L, 4);
  lua_Integer base = luaL_checkinteger(L, 5);
  if (!*box || from < 1 || to < from - 1 || (size_t)to > size)
    return luaL_error(L, "bpe: cannot encode bytes %I to %I", (LUAI_UACINT)from, (LUAI_UACINT)to);
  lua_settop(L, 6);
  eq_tokens *out = lua_newuserdatauv(L, sizeof *out, 0);
  *out = (eq_tokens){0};
  luaL_setmetatable(L, TOKENS);
  eq_lua_pressure(L);
  const uint8_t *first = (const uint8_t *)text + from - 1;
  size_t n = (size_t)(to - from + 1);
  int s = eq_bpe_encode(*box, first, n, out);
  if (s && eq_lua_retry(L, s)) {
    out->n = 0;
    s = eq_bpe_encode(*box, first, n, out);
  }
  if (!s && out->n > INT_MAX)
    s = eq_fail("%zu tokens do not fit into a list; encode the text in parts", out->n);
  if (s) {
    eq_tokens_free(out);
    return eq_lua_raise(L, "encode");
  }
  if (lua_isnil(L, 6)) {
    lua_createtable(L, (int)out->n, 0);
    lua_replace(L, 6);
  }
  lua_Integer at = (lua_Integer)lua_rawlen(L, 6);
  for (size_t i = 0; i < out->n; i++) {
    lua_pushinteger(L, (lua_Integer)out->at[i] + base);
    lua_rawseti(L, 6, ++at);
  }
  eq_tokens_free(out);
  lua_settop(L, 6);
  return 1;
}

/* core.count_words(text, counts): adds to counts[word] for each word of a text */
static int count_words(lua_State *L) {
  size_t size;
  const uint8_t *p = (const uint8_t *)luaL_checklstring(L, 1, &size), *end = p + size;
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  eq_lua_pressure(L);
  for (int words = 0; p < end; words++) {
    if (words == POLL) {
      words = 0;
      if (eq_poll && eq_poll()) {
        (void)eq_stopped();
        return eq_lua_raise(L, "count_words");
      }
    }
    const uint8_t *stop = eq_word(p, end);
    lua_pushlstring(L, (const char *)p, (size_t)(stop - p));
    lua_pushvalue(L, -1);
    lua_rawget(L, 2);
    lua_Integer count = lua_tointeger(L, -1);
    lua_pop(L, 1);
    lua_pushinteger(L, count + 1);
    lua_rawset(L, 2);
    p = stop;
  }
  return 0;
}

/* core.basic_words(text, lower) -> text: its words as BERT sees them, parted by spaces */
static int basic_words(lua_State *L) {
  size_t size;
  const uint8_t *p = (const uint8_t *)luaL_checklstring(L, 1, &size), *end = p + size;
  const bool lower = lua_toboolean(L, 2);
  luaL_Buffer b;
  eq_lua_pressure(L);
  luaL_buffinit(L, &b);
  while (p < end) {
    if (eq_poll && eq_poll()) {
      (void)eq_stopped();
      return eq_lua_raise(L, "encode");
    }
    uint8_t *out = (uint8_t *)luaL_prepbuffsize(&b, EQ_BASIC_ROOM);
    luaL_addsize(&b, eq_basic(&p, end, lower, out));
  }
  luaL_pushresult(&b);
  return 1;
}

static const luaL_Reg methods[] = {{"encode", encode}, {NULL, NULL}};
static const luaL_Reg functions[] = {
    {"bpe", bpe}, {"count_words", count_words}, {"basic_words", basic_words}, {NULL, NULL}};

void eq_lua_text(lua_State *L) {
  if (luaL_newmetatable(L, TOKENS)) {
    lua_pushcfunction(L, free_tokens);
    lua_setfield(L, -2, "__gc");
  }
  if (luaL_newmetatable(L, BPE)) {
    lua_pushcfunction(L, free_bpe);
    lua_setfield(L, -2, "__gc");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
  }
  lua_pop(L, 2);
  luaL_setfuncs(L, functions, 0);
}
