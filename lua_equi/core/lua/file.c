/* file.c (binding) -- files of tensors for safetensors.lua and checkpoint.lua: core.map and
 * core.write_file_atomic. Mistakes raise; what the disk does comes back as nil and a message. */
#include "file.h"
#include "lua_equi.h"
#include <string.h>

#define MAPPING "equi.Mapping"

static int push_failure(lua_State *L) {
  lua_pushnil(L);
  lua_pushstring(L, eq_error.text);
  return 2;
}

static const char *check_path(lua_State *L, const char *who) {
  size_t n = 0;
  const char *path = lua_type(L, 1) == LUA_TSTRING ? lua_tolstring(L, 1, &n) : NULL;
  if (!path) luaL_error(L, "%s: the file name must be a string, got %s", who, eq_lua_kind(L, 1));
  if (n == 0 || strlen(path) != n)
    luaL_error(L, "%s: a file name is not empty and holds no \\0", who);
  return path;
}

/* ---- reading ---- */

static eq_mapping **push_mapping(lua_State *L) { /* empty; holds what is put into it */
  eq_mapping **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, MAPPING);
  return box;
}

static int map(lua_State *L) { /* map(path, {copy = false}) */
  static const char *const valid[] = {"copy", NULL};
  const char *path = check_path(L, "map");
  bool copy = false;
  if (!lua_isnoneornil(L, 2)) {
    luaL_checktype(L, 2, LUA_TTABLE);
    eq_lua_check_keys(L, 2, "map", valid);
    lua_getfield(L, 2, "copy");
    copy = eq_lua_checkbool(L, -1, "map", "copy");
  }
  eq_mapping **box = push_mapping(L);
  if (!(*box = eq_map(path, copy)) && eq_lua_retry(L, eq_error.status)) *box = eq_map(path, copy);
  return *box ? 1 : push_failure(L);
}

static int unmap(lua_State *L) { /* __gc and __close; the tensors made from it live on */
  eq_mapping **box = lua_touserdata(L, 1);
  eq_unmap(*box);
  *box = NULL;
  return 0;
}

static eq_mapping *check_mapping(lua_State *L) {
  eq_mapping **box = luaL_checkudata(L, 1, MAPPING);
  if (!*box) luaL_error(L, "mapping: it is closed");
  return *box;
}

static int length(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check_mapping(L)->bytes);
  return 1;
}

static size_t check_offset(lua_State *L, int i, const eq_mapping *m) {
  int64_t at = eq_lua_checkint(L, i, "mapping", "offset");
  if (at < 0 || (uint64_t)at > m->bytes)
    luaL_error(L, "mapping: offset %I is outside the file's %I bytes", (LUAI_UACINT)at,
               (LUAI_UACINT)m->bytes);
  return (size_t)at;
}

static int bytes(lua_State *L) { /* mapping:bytes(offset, count) -> string; offsets from 0 */
  const eq_mapping *m = check_mapping(L);
  size_t at = check_offset(L, 2, m);
  int64_t n = eq_lua_checkint(L, 3, "mapping", "count");
  if (n < 0 || (uint64_t)n > m->bytes - at)
    return luaL_error(L, "mapping: %I bytes at %I reach beyond the file's %I bytes", (LUAI_UACINT)n,
                      (LUAI_UACINT)at, (LUAI_UACINT)m->bytes);
  lua_pushlstring(L, m->data + at, (size_t)n);
  return 1;
}

static int tensor(lua_State *L) { /* mapping:tensor("F32", {sizes}, offset) -> x | nil, message */
  eq_mapping *m = check_mapping(L);
  int64_t shape[EQ_MAXDIM];
  int s = 0;
  const char *name = luaL_checkstring(L, 2);
  while (s < EQ_NSTORED && strcmp(name, eq_stored_name((eq_stored)s))) s++;
  if (s == EQ_NSTORED) return luaL_error(L, "mapping: no stored type is called %s", name);
  luaL_checktype(L, 3, LUA_TTABLE);
  int ndim = eq_lua_sizes(L, 3, shape, EQ_MAXDIM, "mapping", "sizes");
  size_t at = check_offset(L, 4, m);
  eq_lua_pressure(L);
  eq_tensor **box = eq_lua_newbox(L);
  *box = eq_map_tensor(m, (eq_stored)s, ndim, shape, at);
  if (!*box && eq_lua_retry(L, eq_error.status))
    *box = eq_map_tensor(m, (eq_stored)s, ndim, shape, at);
  return *box ? 1 : push_failure(L);
}

/* A list of whole numbers that are not negative, as long as `sizes`. */
static void check_strides(lua_State *L, int i, int ndim, int64_t *stride) {
  luaL_checktype(L, i, LUA_TTABLE);
  if ((int64_t)lua_rawlen(L, i) != ndim)
    luaL_error(L, "mapping: there are %I strides for %d sizes", (LUAI_UACINT)lua_rawlen(L, i),
               ndim);
  for (int k = 0; k < ndim; k++) {
    lua_rawgeti(L, i, k + 1);
    stride[k] = eq_lua_checkint(L, -1, "mapping", "a stride");
    lua_pop(L, 1);
    if (stride[k] < 0)
      luaL_error(L, "mapping: strides are not negative, got %I", (LUAI_UACINT)stride[k]);
  }
}

/* How far behind `start` the last element lies, or more than `room` when it lies beyond that. */
static int64_t reach(int ndim, const int64_t *shape, const int64_t *stride, int64_t room) {
  int64_t at = 0;
  for (int k = 0; k < ndim; k++) {
    if (shape[k] == 0) return 0;
    if (shape[k] == 1 || stride[k] == 0) continue;
    if (stride[k] > (room - at) / (shape[k] - 1)) return room + 1;
    at += stride[k] * (shape[k] - 1);
  }
  return at;
}

/* mapping:view(x, {sizes}, {strides}, start) -> y | nil, message: other sizes over the elements of
 * x, which mapping:tensor made; strides and start count elements from 0. */
static int view(lua_State *L) {
  int64_t shape[EQ_MAXDIM], stride[EQ_MAXDIM];
  (void)check_mapping(L);
  eq_tensor *x = eq_lua_checktensor(L, 2, "mapping", "x");
  luaL_checktype(L, 3, LUA_TTABLE);
  int ndim = eq_lua_sizes(L, 3, shape, EQ_MAXDIM, "mapping", "sizes");
  check_strides(L, 4, ndim, stride);
  int64_t start = eq_lua_checkint(L, 5, "mapping", "start");
  eq_tensor *sizes = eq_meta(x->dtype, ndim, shape); /* refuses sizes beyond any memory */
  if (!sizes) return push_failure(L);
  int64_t n = sizes->numel, room = x->numel - 1 - start;
  eq_release(sizes);
  if (start < 0 || (n && (room < 0 || reach(ndim, shape, stride, room) > room))) {
    eq_fail("%s at element %lld reaches beyond the %lld that are stored", eq_shape_str(ndim, shape),
            (long long)start, (long long)x->numel);
    return push_failure(L);
  }
  eq_tensor **box = eq_lua_newbox(L);
  for (int attempt = 0; !*box && attempt < 2; attempt++) {
    if (attempt && !eq_lua_retry(L, eq_error.status)) break;
    *box = n ? eq_view(x, ndim, shape, stride, start) : eq_empty(x->dtype, ndim, shape);
  }
  return *box ? 1 : push_failure(L);
}

static size_t check_count(lua_State *L, int i, const char *name) {
  int64_t n = eq_lua_checkint(L, i, "mapping", name);
  if (n < 0) luaL_error(L, "mapping: %s must not be negative, got %I", name, (LUAI_UACINT)n);
  return (size_t)n;
}

/* mapping:inflate(offset, count, size, crc32) -> mapping of the inflated bytes | nil, message */
static int inflated(lua_State *L) {
  const eq_mapping *m = check_mapping(L);
  size_t at = check_offset(L, 2, m), count = check_count(L, 3, "count");
  size_t size = check_count(L, 4, "size");
  uint32_t crc = (uint32_t)eq_lua_checkint(L, 5, "mapping", "crc32");
  eq_lua_pressure(L);
  eq_mapping **box = push_mapping(L);
  *box = eq_inflate(m, at, count, size, crc);
  if (!*box && eq_lua_retry(L, eq_error.status)) *box = eq_inflate(m, at, count, size, crc);
  if (!*box && eq_error.status == EQ_STOP) return eq_lua_raise(L, "inflate");
  return *box ? 1 : push_failure(L);
}

/* ---- writing ---- */

static int halves(lua_State *L) { /* halves(x, "F16" or "BF16") -> u8 tensor of the bytes */
  eq_tensor *x = eq_lua_checktensor(L, 1, "halves", "x");
  const char *name = luaL_checkstring(L, 2);
  eq_stored s = strcmp(name, "F16") ? EQ_AS_BF16 : EQ_AS_F16;
  if (x->dtype != EQ_F32)
    return luaL_error(L, "halves: x must be f32, it is %s", eq_dtype_name(x->dtype));
  if (strcmp(name, eq_stored_name(s)))
    return luaL_error(L, "halves: the second argument must be F16 or BF16, got %s", name);
  eq_lua_pressure(L);
  eq_tensor **box = eq_lua_newbox(L);
  if (!(*box = eq_halves(x, s)) && eq_lua_retry(L, (int)eq_error.status)) *box = eq_halves(x, s);
  return *box ? 1 : eq_lua_raise(L, "halves");
}

static int write_tensor(eq_draft *o, eq_tensor *x) {
  eq_tensor *rows = eq_contiguous(x);
  if (!rows) return EQ_NOMEM;
  int bad = eq_draft_write(o, rows->data, (size_t)rows->numel * eq_size(rows->dtype));
  eq_release(rows);
  return bad;
}

/* Nothing here may raise: the list was checked, and reading it raw calls no Lua code. */
static int write_pieces(lua_State *L, const char *path, lua_Integer n) {
  eq_draft o;
  int bad = eq_draft_open(&o, path);
  if (bad) return bad;
  for (lua_Integer i = 1; i <= n && !bad; i++) {
    size_t len = 0;
    bool text = lua_rawgeti(L, 2, i) == LUA_TSTRING;
    const char *s = text ? lua_tolstring(L, -1, &len) : NULL;
    bad = text ? eq_draft_write(&o, s, len) : write_tensor(&o, eq_lua_totensor(L, -1));
    lua_pop(L, 1);
  }
  if (bad != EQ_NOMEM) return eq_draft_commit(&o); /* also says why a write failed */
  eq_draft_discard(&o);
  return bad;
}

static int write_file_atomic(lua_State *L) {
  const char *path = check_path(L, "write_file_atomic");
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  lua_Integer n = (lua_Integer)lua_rawlen(L, 2);
  for (lua_Integer i = 1; i <= n; i++) {
    if (lua_rawgeti(L, 2, i) != LUA_TSTRING && !eq_lua_totensor(L, -1))
      return luaL_error(L, "write_file_atomic: piece %I is a %s; give strings and tensors",
                        (LUAI_UACINT)i, luaL_typename(L, -1));
    lua_pop(L, 1);
  }
  luaL_checkstack(L, 8, "write_file_atomic");
  int bad = write_pieces(L, path, n);
  if (bad && eq_lua_retry(L, bad)) bad = write_pieces(L, path, n);
  if (bad) return push_failure(L);
  lua_pushboolean(L, 1);
  return 1;
}

static const luaL_Reg functions[] = {
    {"map", map}, {"halves", halves}, {"write_file_atomic", write_file_atomic}, {NULL, NULL}};
static const luaL_Reg events[] = {
    {"__gc", unmap}, {"__close", unmap}, {"__len", length}, {NULL, NULL}};
static const luaL_Reg methods[] = {
    {"bytes", bytes}, {"tensor", tensor}, {"view", view}, {"inflate", inflated}, {NULL, NULL}};

static const eq_lua_doc docs[] = {
    {"map", "path, {copy = false} -> mapping | nil, message",
     "A file mapped into memory. #m is its size, m:bytes(offset, count) a string, and "
     "m:tensor(\"F32\", {sizes}, offset) the tensor stored there (types as in safetensors; no copy "
     "when dtype and alignment allow). m:view(x, {sizes}, {strides}, start) looks at elements of "
     "such a tensor x, m:inflate(offset, count, size, crc32) is a mapping of deflated bytes. "
     "Offsets count from 0. Changing such a tensor leaves the file as it is. While tensors of it "
     "live, nobody may shorten the file (replacing or removing it is fine): the system ends a "
     "process that touches the lost part (SIGBUS). copy = true reads the file instead.",
     "print((equi.map \"no/such/file\"))  --> nil"},
    {"write_file_atomic", "path, {strings and tensors} -> true | nil, message",
     "Writes the pieces one after the other as the file's new content. The file changes completely "
     "or not at all: bytes go to a new file beside it, which is synced and renamed.",
     "print((equi.write_file_atomic(\"no/such/folder/x\", {\"bytes\"})))  --> nil"},
    {0}};

int eq_lua_file(lua_State *L) {
  if (luaL_newmetatable(L, MAPPING)) {
    luaL_setfuncs(L, events, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
  }
  lua_pop(L, 1);
  luaL_setfuncs(L, functions, 0);
  eq_lua_add_docs(L, docs);
  return 0;
}
