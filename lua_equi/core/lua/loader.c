/* loader.c (binding) -- batches of pictures for data/loader.lua: core.image_batch (pictures in
 * memory) and core.image_pool (files, read by threads). What becomes of a picture is a table, the
 * recipe, whose fields the Lua side has filled in and checked; here they are only kept from doing
 * harm.
 *
 * A batch that is being filled owns its tensor: a pool may be collected, or closed, at any time. */
#include "image/recipe.h"
#include "lua_equi.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define POOL "equi.Pool"
enum {
  MAX_SIDE = 1 << 15,
  MAX_WORKERS = 256,
  MAX_WAITING = 1024,
  GRAIN = 1 << 19 /* numbers, half a millisecond: less is not worth waking a thread */
};

/* ---- the recipe ---- */

static double number(lua_State *L, int i, const char *key, double least, double most) {
  lua_getfield(L, i, key);
  const double v = eq_lua_checknumber(L, -1, "loader", key);
  if (!(v >= least && v <= most))
    luaL_error(L, "loader: %s must be from %f to %f, got %f", key, least, most, v);
  lua_pop(L, 1);
  return v;
}

static int64_t whole(lua_State *L, int i, const char *key, int64_t least, int64_t most) {
  lua_getfield(L, i, key);
  const int64_t v = eq_lua_checkint(L, -1, "loader", key);
  if (v < least || v > most)
    luaL_error(L, "loader: %s must be from %I to %I, got %I", key, (LUAI_UACINT)least,
               (LUAI_UACINT)most, (LUAI_UACINT)v);
  lua_pop(L, 1);
  return v;
}

static bool truth(lua_State *L, int i, const char *key) {
  lua_getfield(L, i, key);
  const bool v = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return v;
}

static void three(lua_State *L, int i, const char *key, float *to) {
  lua_getfield(L, i, key);
  luaL_checktype(L, -1, LUA_TTABLE);
  for (int c = 0; c < 3; c++) {
    lua_rawgeti(L, -1, c + 1);
    to[c] = (float)eq_lua_checknumber(L, -1, "loader", key);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

static eq_recipe read_recipe(lua_State *L, int i) {
  static const char *const filters[] = {"nearest", "bilinear", "bicubic", NULL};
  eq_recipe r = {0};
  luaL_checktype(L, i, LUA_TTABLE);
  r.channels = whole(L, i, "channels", 1, 3) == 1 ? 1 : 3;
  r.resize = whole(L, i, "resize", 0, MAX_SIDE);
  r.height = whole(L, i, "height", 0, MAX_SIDE);
  r.width = whole(L, i, "width", r.height ? 1 : 0, MAX_SIDE);
  r.crop_h = whole(L, i, "crop_h", 0, MAX_SIDE);
  r.crop_w = whole(L, i, "crop_w", r.crop_h ? 1 : 0, MAX_SIDE);
  r.pad = r.crop_h ? whole(L, i, "pad", 0, (r.crop_h < r.crop_w ? r.crop_h : r.crop_w) - 1) : 0;
  r.random_crop = truth(L, i, "random_crop");
  r.area_to = r.crop_h ? number(L, i, "area_to", 0, 1) : 0;
  r.area_from = number(L, i, "area_from", 0, 1);
  r.ratio_from = number(L, i, "ratio_from", 1e-3, 1e3);
  r.ratio_to = number(L, i, "ratio_to", r.ratio_from, 1e3);
  r.hflip = number(L, i, "hflip", 0, 1);
  r.rot90 = truth(L, i, "rot90");
  lua_getfield(L, i, "filter");
  r.filter = (eq_filter)luaL_checkoption(L, -1, "bilinear", filters);
  lua_pop(L, 1);
  three(L, i, "mean", r.mean);
  three(L, i, "std", r.std);
  r.seed = (uint64_t)whole(L, i, "seed", INT64_MIN, INT64_MAX);
  r.max_pixels = whole(L, i, "max_pixels", 1, INT64_MAX);
  return r;
}

/* ---- lists of positions ---- */

/* The list of 1-based positions at stack place i as numbers from 0, in a userdata on the stack. */
static int64_t *positions(lua_State *L, int i, int64_t size, int64_t *count) {
  luaL_checktype(L, i, LUA_TTABLE);
  const int64_t n = (int64_t)lua_rawlen(L, i);
  if (n < 1) luaL_error(L, "loader: a batch of no pictures");
  int64_t *list = lua_newuserdatauv(L, (size_t)n * sizeof *list, 0);
  for (int64_t k = 0; k < n; k++) {
    lua_rawgeti(L, i, k + 1);
    list[k] = eq_lua_checkint(L, -1, "loader", "position") - EQ_BASE;
    if (list[k] < 0 || list[k] >= size)
      luaL_error(L, "loader: there is no picture %I; positions are 1 to %I",
                 (LUAI_UACINT)(list[k] + EQ_BASE), (LUAI_UACINT)size);
    lua_pop(L, 1);
  }
  *count = n;
  return list;
}

/* A box with an f32 [n, c, h, w], channels side by side. */
static eq_tensor *new_batch(lua_State *L, int64_t n, int64_t c, int64_t h, int64_t w) {
  const int64_t rows[] = {n, h, w, c}, shape[] = {n, c, h, w}, stride[] = {h * w * c, 1, w * c, c};
  eq_tensor **whole_box = eq_lua_newbox(L), **box = eq_lua_newbox(L);
  *whole_box = eq_empty(EQ_F32, 4, rows);
  if (!*whole_box && eq_lua_retry(L, eq_error.status)) *whole_box = eq_empty(EQ_F32, 4, rows);
  if (!*whole_box || !(*box = eq_view(*whole_box, 4, shape, stride, 0))) eq_lua_raise(L, "loader");
  eq_release(*whole_box);
  *whole_box = NULL;
  return *box;
}

/* ---- pictures in memory ---- */

struct gathering {
  const eq_recipe *recipe;
  eq_levels levels;
  const eq_tensor *x, *y;
  const int64_t *item;
  uint64_t epoch;
  atomic_int status;
};

static void gather(int64_t begin, int64_t end, void *context) {
  struct gathering *g = context;
  const eq_tensor *x = g->x, *y = g->y;
  char why[256];
  for (int64_t i = begin; i < end; i++) {
    const eq_pixels in = {(const uint8_t *)x->data + g->item[i] * x->stride[0],
                          x->shape[2],
                          x->shape[3],
                          x->shape[1],
                          x->stride[2],
                          x->stride[3],
                          x->stride[1]};
    const eq_status status =
        eq_recipe_run(g->recipe, &g->levels, &in, g->epoch, (uint64_t)g->item[i], y->shape[2],
                      y->shape[3], (float *)(void *)y->data + i * y->stride[0], why, sizeof why);
    if (status != EQ_OK) atomic_store(&g->status, (int)status);
  }
}

/* image_batch(images u8 [N, C, H, W], positions, recipe, epoch) -> f32 [B, C, h, w] */
static int image_batch(lua_State *L) {
  const eq_tensor *x = eq_lua_checktensor(L, 1, "loader", "images");
  char why[256] = "";
  int64_t n, h, w;
  if (x->dtype != EQ_U8 || x->ndim != 4 || (x->shape[1] != 1 && x->shape[1] != 3) || !x->numel)
    return luaL_error(L, "loader: images are %s %s; it takes u8 [N, C, H, W] with 1 or 3 channels",
                      eq_dtype_name(x->dtype), eq_shape_of(x));
  const eq_recipe recipe = read_recipe(L, 3);
  const int64_t *item = positions(L, 2, x->shape[0], &n);
  struct gathering g = {.recipe = &recipe, .x = x, .item = item};
  g.epoch = (uint64_t)eq_lua_checkint(L, 4, "loader", "epoch");
  if (recipe.channels > x->shape[1])
    return luaL_error(L, "loader: 3 channels of pictures that have 1");
  if (eq_recipe_size(&recipe, x->shape[2], x->shape[3], &h, &w, why, sizeof why))
    return luaL_error(L, "loader: %s", why);
  eq_recipe_levels(&recipe, &g.levels);
  eq_lua_pressure(L);
  g.y = new_batch(L, n, recipe.channels, h, w);
  const int64_t grain = 1 + GRAIN / (h * w * recipe.channels);
  if (eq_parallel_for(n, grain, gather, &g)) return eq_lua_raise(L, "loader");
  if (atomic_load(&g.status) != EQ_OK) { /* the size fits, so it was memory */
    eq_nomem((size_t)(h * w * recipe.channels));
    return eq_lua_raise(L, "loader");
  }
  return 1;
}

/* ---- pictures in files ---- */

struct made { /* a batch on its way */
  eq_batch batch;
  eq_tensor *x;
  struct made *next;
  int64_t item[];
};

struct box {
  eq_pool *pool;
  struct made *first, *last;
  int64_t npath, channels, h, w;
};

static int close_pool(lua_State *L) { /* __gc and __close */
  struct box *box = luaL_checkudata(L, 1, POOL);
  eq_pool_close(box->pool); /* first: workers write into the batches */
  box->pool = NULL;
  while (box->first) {
    struct made *m = box->first;
    box->first = m->next;
    eq_release(m->x);
    free(m);
  }
  box->last = NULL;
  return 0;
}

static struct box *check_pool(lua_State *L) {
  struct box *box = luaL_checkudata(L, 1, POOL);
  if (!box->pool) luaL_error(L, "loader: it is closed");
  return box;
}

/* The paths at stack place i as an array in a userdata on the stack; the strings stay Lua's. */
static const char **check_paths(lua_State *L, int i, int64_t *count) {
  luaL_checktype(L, i, LUA_TTABLE);
  const int64_t n = (int64_t)lua_rawlen(L, i);
  if (n < 1) luaL_error(L, "loader: no pictures");
  const char **list = lua_newuserdatauv(L, (size_t)n * sizeof *list, 0);
  for (int64_t k = 0; k < n; k++) {
    size_t size = 0;
    if (lua_rawgeti(L, i, k + 1) != LUA_TSTRING)
      luaL_error(L, "loader: path %I is a %s", (LUAI_UACINT)(k + 1), luaL_typename(L, -1));
    list[k] = lua_tolstring(L, -1, &size); /* the table keeps it */
    if (!size || strlen(list[k]) != size)
      luaL_error(L, "loader: path %I is empty or holds a \\0", (LUAI_UACINT)(k + 1));
    lua_pop(L, 1);
  }
  *count = n;
  return list;
}

/* image_pool(paths, recipe, workers, most) -> pool; `most` batches may be on their way */
static int image_pool(lua_State *L) {
  char why[256];
  int64_t npath;
  const char **path = check_paths(L, 1, &npath);
  const eq_recipe recipe = read_recipe(L, 2);
  const int64_t workers = eq_lua_checkint(L, 3, "loader", "workers");
  const int64_t most = eq_lua_checkint(L, 4, "loader", "ahead");
  if (workers < 1 || workers > MAX_WORKERS || most < 1 || most > MAX_WAITING)
    return luaL_error(L,
                      "loader: %I workers and %I batches ahead; 1 to %d and 1 to %d are possible",
                      (LUAI_UACINT)workers, (LUAI_UACINT)most, MAX_WORKERS, MAX_WAITING);
  struct box *box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = (struct box){.npath = npath, .channels = recipe.channels};
  luaL_setmetatable(L, POOL);
  if (eq_recipe_size(&recipe, 0, 0, &box->h, &box->w, why, sizeof why))
    return luaL_error(L, "loader: %s", why);
  box->pool = eq_pool_open(&recipe, box->h, box->w, npath, path, (int)workers, (int)most);
  return box->pool ? 1 : eq_lua_raise(L, "loader");
}

/* pool:add(positions, epoch) -> whether there was room */
static int add(lua_State *L) {
  struct box *box = check_pool(L);
  int64_t n;
  const int64_t *item = positions(L, 2, box->npath, &n);
  const int64_t epoch = eq_lua_checkint(L, 3, "loader", "epoch");
  eq_lua_pressure(L);
  eq_tensor *x = new_batch(L, n, box->channels, box->h, box->w);
  if (!box->pool) return luaL_error(L, "loader: it is closed"); /* by a finalizer just now */
  struct made *m = malloc(sizeof *m + (size_t)n * sizeof *item);
  if (!m) {
    eq_nomem(sizeof *m);
    return eq_lua_raise(L, "loader");
  }
  memcpy(m->item, item, (size_t)n * sizeof *item);
  m->batch = (eq_batch){.out = (float *)(void *)x->data, .n = n, .item = m->item};
  m->batch.epoch = (uint64_t)epoch;
  m->x = eq_retain(x);
  m->next = NULL;
  const bool fits = eq_pool_add(box->pool, &m->batch);
  if (fits) {
    if (box->last)
      box->last->next = m;
    else
      box->first = m;
    box->last = m;
  } else {
    eq_release(m->x);
    free(m);
  }
  lua_pushboolean(L, fits);
  return 1;
}

/* pool:take() -> the oldest batch | nil, message | nothing when none is on its way */
static int take(lua_State *L) {
  struct box *box = check_pool(L);
  eq_lua_pressure(L);
  eq_tensor **result = eq_lua_newbox(L);
  box = check_pool(L);
  if (!box->first) return 0;
  if (!eq_pool_take(box->pool)) return eq_lua_raise(L, "loader");
  struct made *m = box->first; /* the same batch: both are queues */
  box->first = m->next;
  if (!box->first) box->last = NULL;
  const eq_status status = m->batch.status;
  if (status == EQ_OK)
    *result = m->x;
  else
    eq_release(m->x);
  if (status != EQ_OK) eq_fail("%s", m->batch.why);
  free(m);
  if (status == EQ_OK) return 1;
  lua_pushnil(L);
  lua_pushstring(L, eq_error.text);
  return 2;
}

static const luaL_Reg functions[] = {
    {"image_batch", image_batch}, {"image_pool", image_pool}, {NULL, NULL}};
static const luaL_Reg methods[] = {
    {"add", add}, {"take", take}, {"close", close_pool}, {NULL, NULL}};
static const luaL_Reg events[] = {{"__gc", close_pool}, {"__close", close_pool}, {NULL, NULL}};

int eq_lua_loader(lua_State *L) {
  if (luaL_newmetatable(L, POOL)) {
    luaL_setfuncs(L, events, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
  }
  lua_pop(L, 1);
  luaL_setfuncs(L, functions, 0);
  return 0;
}
