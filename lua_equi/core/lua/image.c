/* image.c (binding) -- pictures for lua_equi/image.lua and plot.lua: core.image_read, image_write
 * and image_resize, over core/image. Pictures are u8 tensors [C, H, W] whose channels lie side by
 * side in memory.
 *
 * Mistakes of the caller raise at his line; what the world does (no such file, a full disk, a
 * damaged picture) comes back as nil and a message. */
#include "image/image.h"
#include "lua_equi.h"
#include <string.h>

static int push_failure(lua_State *L, const char *name, const char *why) {
  lua_pushnil(L);
  if (name)
    lua_pushfstring(L, "%s: %s", name, why);
  else
    lua_pushstring(L, why);
  return 2;
}

static const char *check_bytes(lua_State *L, int i, size_t *n, const char *who, const char *name) {
  if (lua_type(L, i) != LUA_TSTRING)
    luaL_error(L, "%s: %s must be a string, got %s", who, name, eq_lua_kind(L, i));
  return lua_tolstring(L, i, n);
}

static const char *check_path(lua_State *L, const char *who) {
  size_t n = 0;
  const char *path = check_bytes(L, 1, &n, who, "the file name");
  if (n == 0 || strlen(path) != n)
    luaL_error(L, "%s: a file name is not empty and holds no \\0", who);
  return path;
}

/* ---- reading ---- */

static uint8_t *place(eq_picture *p) {
  eq_tensor **box = p->owner;
  const int64_t shape[] = {p->height, p->width, p->channels};
  eq_release(*box);
  *box = eq_empty(EQ_U8, 3, shape);
  return *box ? (uint8_t *)(*box)->data : NULL;
}

static bool is_interrupted(eq_picture *p) {
  (void)p;
  return eq_poll && eq_poll();
}

static eq_status read_picture(eq_picture *p, const char *path, const char *bytes, size_t n) {
  return path ? eq_picture_file(p, path) : eq_picture_bytes(p, bytes, n);
}

/* [H, W, C] as [C, H, W] */
static eq_tensor *channels_first(const eq_tensor *x) {
  const int64_t h = x->shape[0], w = x->shape[1], c = x->shape[2];
  const int64_t shape[] = {c, h, w}, stride[] = {1, w * c, c};
  return eq_view(x, 3, shape, stride, 0);
}

/* PIL's brightness of RGB: 0.299 R + 0.587 G + 0.114 B in 16 fractional bits. */
static eq_tensor *to_gray(const eq_tensor *x) {
  const int64_t shape[] = {1, x->shape[0], x->shape[1]};
  eq_tensor *y = eq_empty(EQ_U8, 3, shape);
  if (!y) return NULL;
  const uint8_t *p = (const uint8_t *)x->data;
  uint8_t *out = (uint8_t *)y->data;
  for (int64_t i = 0; i < y->numel; i++, p += 3)
    out[i] = (uint8_t)((p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 0x8000) >> 16);
  return y;
}

/* image_read(path or nil, bytes or nil, channels, max_pixels) -> tensor | nil, message */
static int image_read(lua_State *L) {
  size_t n = 0;
  const char *bytes = NULL, *path = NULL;
  if (lua_isnil(L, 1))
    bytes = check_bytes(L, 2, &n, "image_read", "the bytes");
  else
    path = check_path(L, "image_read");
  const int64_t channels = eq_lua_checkint(L, 3, "image_read", "channels");
  eq_lua_pressure(L);
  eq_tensor **box = eq_lua_newbox(L), **result = eq_lua_newbox(L);
  eq_picture p = {.channels = channels == 4 ? 4 : 3, .owner = box};
  p.max_pixels = eq_lua_checkint(L, 4, "image_read", "max_pixels");
  p.place = place;
  p.stop = is_interrupted;
  if (read_picture(&p, path, bytes, n) == EQ_NOMEM && eq_lua_retry(L, EQ_NOMEM))
    read_picture(&p, path, bytes, n);
  if (p.status == EQ_OK) {
    *result = channels == 1 ? to_gray(*box) : channels_first(*box);
    if (!*result) return eq_lua_raise(L, "image_read");
  }
  eq_release(*box); /* now, not at the next collection: it may be large */
  *box = NULL;
  if (p.status == EQ_OK) return 1;
  if (p.status == EQ_STOP) {
    (void)eq_stopped();
    return eq_lua_raise(L, "image_read");
  }
  return push_failure(L, path, p.why);
}

/* ---- writing ---- */

/* x [H, W] or [C, H, W] as a view [H, W, C] */
static eq_tensor *channels_behind(const eq_tensor *x) {
  const int k = x->ndim - 2;
  const int64_t shape[] = {x->shape[k], x->shape[k + 1], k ? x->shape[0] : 1};
  const int64_t stride[] = {x->stride[k], x->stride[k + 1], k ? x->stride[0] : 1};
  return eq_view(x, 3, shape, stride, 0);
}

/* image_write(path, x) -> true | nil, message */
static int image_write(lua_State *L) {
  const char *path = check_path(L, "image_write");
  const eq_tensor *x = eq_lua_checktensor(L, 2, "image_write", "x");
  const int64_t c = x->ndim == 3 ? x->shape[0] : 1;
  if (x->dtype != EQ_U8 || x->ndim < 2 || x->ndim > 3 || (c != 1 && c != 3 && c != 4) || !x->numel)
    return luaL_error(L, "image_write: x is %s %s; a picture is u8 [H, W] or [C, H, W], C 1, 3, 4",
                      eq_dtype_name(x->dtype), eq_shape_of(x));
  eq_lua_pressure(L);
  eq_tensor **view = eq_lua_newbox(L), **rows = eq_lua_newbox(L);
  if (!(*view = channels_behind(x))) return eq_lua_raise(L, "image_write");
  if (!(*rows = eq_contiguous(*view))) return eq_lua_raise(L, "image_write");
  const int64_t *shape = (*rows)->shape;
  const int bad =
      eq_png_write(path, (const uint8_t *)(*rows)->data, shape[0], shape[1], (int)shape[2]);
  if (bad == EQ_STOP) return eq_lua_raise(L, "image_write");
  if (bad) return push_failure(L, NULL, eq_error.text);
  lua_pushboolean(L, 1);
  return 1;
}

/* ---- other sizes ---- */

/* x [.., H, W] (.. at most B, C) as a view [B, H, W, C] */
static eq_tensor *images_of(const eq_tensor *x) {
  const int k = x->ndim - 2;
  const int64_t shape[] = {k > 1 ? x->shape[0] : 1, x->shape[k], x->shape[k + 1],
                           k ? x->shape[k - 1] : 1};
  const int64_t stride[] = {k > 1 ? x->stride[0] : 0, x->stride[k], x->stride[k + 1],
                            k ? x->stride[k - 1] : 1};
  return eq_view(x, 4, shape, stride, 0);
}

static eq_status resize(const eq_tensor *in, eq_tensor *out, eq_filter filter) {
  const int64_t h = in->shape[1], w = in->shape[2], c = in->shape[3];
  const eq_window all = {0, 0, out->shape[1], out->shape[2]};
  const int64_t from = h * w * c, to = all.height * all.width * c;
  eq_status status = EQ_OK;
  for (int64_t b = 0; b < in->shape[0] && status == EQ_OK; b++) {
    if (b && eq_poll && eq_poll()) return (eq_status)eq_stopped();
    if (in->dtype == EQ_U8)
      status = eq_resize_u8((const uint8_t *)in->data + b * from, w * c, h, w, (int)c, all.height,
                            all.width, filter, all, (uint8_t *)out->data + b * to);
    else if (in->dtype == EQ_F32)
      status =
          eq_resize_f32((const float *)(void *)in->data + b * from, w * c, h, w, (int)c, all.height,
                        all.width, filter, all, (float *)(void *)out->data + b * to);
    else
      status =
          eq_resize_f64((const double *)(void *)in->data + b * from, w * c, h, w, (int)c,
                        all.height, all.width, filter, all, (double *)(void *)out->data + b * to);
  }
  if (status == EQ_NOMEM) eq_nomem((size_t)to);
  return status;
}

/* The result [B, H, W, C] with the dims of x, which has k in front of height and width. */
static eq_tensor *like(const eq_tensor *y, int k) {
  const int64_t *s = y->shape, *t = y->stride;
  const int64_t shape[] = {s[0], s[3], s[1], s[2]}, stride[] = {t[0], t[3], t[1], t[2]};
  return eq_view(y, k + 2, shape + 2 - k, stride + 2 - k, 0);
}

/* image_resize(x, height, width, filter) -> y */
static int image_resize(lua_State *L) {
  static const char *const names[] = {"nearest", "bilinear", "bicubic", NULL};
  const eq_tensor *x = eq_lua_checktensor(L, 1, "image.resize", "x");
  const int64_t h = eq_lua_checkint(L, 2, "image.resize", "height");
  const int64_t w = eq_lua_checkint(L, 3, "image.resize", "width");
  const eq_filter filter = (eq_filter)luaL_checkoption(L, 4, "bilinear", names);
  if (x->ndim < 2 || x->ndim > 4 || !x->numel || (x->dtype != EQ_U8 && !eq_is_float(x->dtype)))
    return luaL_error(L,
                      "image.resize: x is %s %s; it takes u8, f32 or f64 of [H, W], [C, H, W] or "
                      "[B, C, H, W]",
                      eq_dtype_name(x->dtype), eq_shape_of(x));
  if (h < 1 || w < 1 || h > EQ_MAX_SIDE || w > EQ_MAX_SIDE)
    return luaL_error(L, "image.resize: to %I x %I pixels; both sides must be at least 1",
                      (LUAI_UACINT)h, (LUAI_UACINT)w);
  eq_lua_pressure(L);
  eq_tensor **view = eq_lua_newbox(L), **in = eq_lua_newbox(L), **out = eq_lua_newbox(L);
  eq_tensor **result = eq_lua_newbox(L);
  if (!(*view = images_of(x)) || !(*in = eq_contiguous(*view)))
    return eq_lua_raise(L, "image.resize");
  const int64_t shape[] = {(*in)->shape[0], h, w, (*in)->shape[3]};
  if (!(*out = eq_empty(x->dtype, 4, shape)) || resize(*in, *out, filter) ||
      !(*result = like(*out, x->ndim - 2)))
    return eq_lua_raise(L, "image.resize");
  return 1;
}

static const luaL_Reg functions[] = {
    {"image_read", image_read},
    {"image_write", image_write},
    {"image_resize", image_resize},
    {NULL, NULL},
};

/* Adds the picture functions to the module table on top of the stack. */
int eq_lua_image(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
  lua_pushinteger(L, EQ_MAX_PIXELS);
  lua_setfield(L, -2, "image_max_pixels");
  return 0;
}
