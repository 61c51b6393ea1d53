/* image.c (binding) -- pictures for Lua: core.png_write and core.png_read, over image/png.c.
 *
 * Pixels cross as one string of H x W x C bytes. Mistakes raise at the line of the call; what the
 * world does (no such file, a full disk, a damaged picture) comes back as nil and a message. */
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "equi.h"
#include "image/image.h"
#include "lua_equi.h"

#define BOX "lua_equi.core.pixels"
#define MAX_PIXELS ((lua_Integer)1 << 26) /* 8,192 x 8,192: larger than any picture trained on */

/* ---- a block of pixels that an error cannot leak ---- */

struct box {
  uint8_t *pixels;
  size_t bytes;
};

static int free_box(lua_State *L) {
  struct box *box = lua_touserdata(L, 1);
  eq_free(box->pixels, box->bytes);
  *box = (struct box){NULL, 0};
  return 0;
}

static struct box *push_box(lua_State *L) {
  struct box *box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = (struct box){NULL, 0};
  if (luaL_newmetatable(L, BOX)) {
    lua_pushcfunction(L, free_box);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return box;
}

/* ---- the functions ---- */

static int push_failure(lua_State *L) {
  lua_pushnil(L);
  lua_pushstring(L, eq_error.text);
  return 2;
}

static const char *check_string(lua_State *L, int i, size_t *n, const char *who, const char *name) {
  if (lua_type(L, i) != LUA_TSTRING)
    luaL_error(L, "%s: %s must be a string, got %s", who, name, luaL_typename(L, i));
  return lua_tolstring(L, i, n);
}

static const char *check_path(lua_State *L, const char *who) {
  size_t n = 0;
  const char *path = check_string(L, 1, &n, who, "the file name");
  if (n == 0 || strlen(path) != n)
    luaL_error(L, "%s: a file name is not empty and holds no \\0", who);
  return path;
}

static int png_write(lua_State *L) {
  size_t n = 0;
  const char *path = check_path(L, "png_write");
  const char *bytes = check_string(L, 2, &n, "png_write", "pixels");
  const lua_Integer h = eq_lua_checkint(L, 3, "png_write", "height");
  const lua_Integer w = eq_lua_checkint(L, 4, "png_write", "width");
  const lua_Integer c = eq_lua_checkint(L, 5, "png_write", "channels");
  if (c != 1 && c != 3 && c != 4)
    return luaL_error(L, "png_write: %I channels; a picture has 1 (gray), 3 (RGB) or 4 (RGBA)",
                      (LUAI_UACINT)c);
  if (h < 1 || w < 1 || h > INT32_MAX || w > INT32_MAX)
    return luaL_error(L, "png_write: a picture of %I x %I pixels; both sides must be 1 to %d",
                      (LUAI_UACINT)h, (LUAI_UACINT)w, (int)INT32_MAX);
  if ((uint64_t)n / (uint64_t)c / (uint64_t)w != (uint64_t)h || n != (size_t)(h * w * c))
    return luaL_error(L, "png_write: %I bytes for %I x %I x %I; give height * width * channels",
                      (LUAI_UACINT)n, (LUAI_UACINT)h, (LUAI_UACINT)w, (LUAI_UACINT)c);
  if (eq_png_write(path, (const uint8_t *)bytes, h, w, (int)c)) return push_failure(L);
  lua_pushboolean(L, 1);
  return 1;
}

static int png_read(lua_State *L) {
  const char *path = check_path(L, "png_read");
  const lua_Integer max_pixels =
      lua_isnoneornil(L, 2) ? MAX_PIXELS : eq_lua_checkint(L, 2, "png_read", "max_pixels");
  if (max_pixels < 1)
    return luaL_error(L, "png_read: max_pixels must be positive, got %I", (LUAI_UACINT)max_pixels);
  int64_t h = 0, w = 0;
  int c = 0;
  struct box *box = push_box(L);
  if (eq_png_read(path, &box->pixels, &h, &w, &c, max_pixels)) return push_failure(L);
  box->bytes = (size_t)h * (size_t)w * (size_t)c;
  lua_pushlstring(L, (const char *)box->pixels, box->bytes);
  eq_free(box->pixels, box->bytes); /* now, not at the next collection: it may be large */
  *box = (struct box){NULL, 0};
  lua_pushinteger(L, h);
  lua_pushinteger(L, w);
  lua_pushinteger(L, c);
  return 4;
}

static const luaL_Reg functions[] = {
    {"png_write", png_write},
    {"png_read", png_read},
    {NULL, NULL},
};

int eq_lua_image(lua_State *L);

/* Adds the picture functions to the module table on top of the stack. */
int eq_lua_image(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
  return 0;
}
