/* tensor.c (binding) -- the tensor userdata: boxes, fields, operators, conversion to Lua values. */
#include "lua_equi.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char metatable_key = 0; /* its address is the metatable's place in the registry */

/* ---- boxes ---- */
eq_tensor **eq_lua_newbox(lua_State *L) {
  eq_tensor **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable_key);
  lua_setmetatable(L, -2);
  return box;
}

/* Compared by address, without a look into the registry for each argument, as long as there is one
 * Lua state: `known` is the metatable of the state that opened us last, while that state lives. */
static const void *known;
void eq_lua_forget_tensor(void) { known = NULL; }

static bool is_ours(lua_State *L) { /* pops the metatable on top */
  const void *mt = lua_topointer(L, -1);
  bool same = mt == known;
  if (!same) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable_key);
    same = mt == lua_topointer(L, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return same;
}

eq_tensor *eq_lua_totensor(lua_State *L, int i) {
  if (lua_type(L, i) != LUA_TUSERDATA || !lua_getmetatable(L, i)) return NULL;
  return is_ours(L) ? *(eq_tensor **)lua_touserdata(L, i) : NULL;
}

eq_tensor *eq_lua_checktensor(lua_State *L, int i, const char *who, const char *name) {
  eq_tensor *x = eq_lua_totensor(L, i);
  if (!x) luaL_error(L, "%s: %s must be a tensor, got %s", who, name, eq_lua_kind(L, i));
  return x;
}

void eq_lua_push(lua_State *L, eq_tensor *x) {
  eq_tensor **box = eq_lua_newbox(L);
  *box = x;
  if (!x) eq_lua_raise(L, NULL);
}

static int collect(lua_State *L) { /* __gc and __close */
  eq_tensor **box = lua_touserdata(L, 1);
  eq_tensor *x = *box;
  *box = NULL;
  eq_release(x);
  return 0;
}

/* ---- fields ---- */
static void push_shape(lua_State *L, const eq_tensor *x) {
  lua_createtable(L, x->ndim, 0);
  for (int d = 0; d < x->ndim; d++) {
    lua_pushinteger(L, x->shape[d]);
    lua_rawseti(L, -2, d + 1);
  }
}

/* lua_equi/tensor.lua knows what other libraries call things: `unknown` of the methods' metatable.
 */
static int unknown(lua_State *L, const char *k) {
  const char *hint = "equi.help(x) lists them";
  if (luaL_getmetafield(L, lua_upvalueindex(1), "unknown") != LUA_TNIL) {
    lua_pushstring(L, k);
    lua_call(L, 1, 1);
    if (lua_isstring(L, -1)) hint = lua_tostring(L, -1);
  }
  return luaL_error(L, "tensor: no field or method \"%s\"; %s", k, hint);
}

static int get_field(lua_State *L, eq_tensor *x, const char *k) {
  if (!strcmp(k, "shape"))
    push_shape(L, x);
  else if (!strcmp(k, "dtype"))
    lua_pushstring(L, eq_dtype_name(x->dtype));
  else if (!strcmp(k, "ndim"))
    lua_pushinteger(L, x->ndim);
  else if (!strcmp(k, "requires_grad"))
    lua_pushboolean(L, x->node != NULL);
  else if (!strcmp(k, "is_leaf"))
    lua_pushboolean(L, eq_is_leaf(x));
  else if (!strcmp(k, "grad_op"))
    lua_pushstring(L, eq_is_leaf(x) ? NULL : x->node->op->name);
  else if (!strcmp(k, "grad")) {
    if (x->grad)
      *eq_lua_newbox(L) = eq_retain(x->grad);
    else
      lua_pushnil(L);
  } else
    return unknown(L, k);
  return 1;
}

static int index_event(lua_State *L) {
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
    return get_field(L, eq_lua_checktensor(L, 1, "index", "x"), lua_tostring(L, 2));
  }
  return lua_tocfunction(L, lua_upvalueindex(2))(L); /* no frame between: messages name the line */
}

static int set_grad(lua_State *L, eq_tensor *x) {
  eq_tensor *g = lua_isnil(L, 3) ? NULL : eq_lua_checktensor(L, 3, "grad", "the gradient");
  if (g && (!eq_same_shape(g, x) || g->dtype != x->dtype))
    return luaL_error(L, "grad: the gradient is %s %s, the tensor is %s %s",
                      eq_dtype_name(g->dtype), eq_shape_of(g), eq_dtype_name(x->dtype),
                      eq_shape_of(x));
  eq_tensor *old = x->grad;
  x->grad = eq_retain(g);
  eq_release(old);
  return 0;
}

static int newindex_event(lua_State *L) {
  if (lua_type(L, 2) == LUA_TSTRING) {
    eq_tensor *x = eq_lua_checktensor(L, 1, "assignment", "x");
    const char *k = lua_tostring(L, 2);
    if (!strcmp(k, "grad")) return set_grad(L, x);
    if (!strcmp(k, "requires_grad")) {
      if (eq_require_grad(x, eq_lua_checkbool(L, 3, "assignment", k)))
        return eq_lua_raise(L, "requires_grad");
      return 0;
    }
    return luaL_error(L, "tensor: field \"%s\" cannot be set; grad and requires_grad can", k);
  }
  return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* ---- methods that are no ops ---- */
static int size(lua_State *L) {
  eq_tensor *x = eq_lua_checktensor(L, 1, "size", "x");
  if (!lua_isnoneornil(L, 2)) {
    int64_t d = eq_lua_checkint(L, 2, "size", "dim");
    int64_t k = d < 0 ? d + x->ndim : d - 1;
    if (d == 0 || k < 0 || k >= x->ndim)
      return luaL_error(L, "size: dim must be from 1 to %d (or -%d to -1), got %I", x->ndim,
                        x->ndim, (LUAI_UACINT)d);
    lua_pushinteger(L, x->shape[k]);
    return 1;
  }
  luaL_checkstack(L, x->ndim, "size");
  for (int d = 0; d < x->ndim; d++) lua_pushinteger(L, x->shape[d]);
  return x->ndim;
}

static int stride(lua_State *L) {
  eq_tensor *x = eq_lua_checktensor(L, 1, "stride", "x");
  lua_createtable(L, x->ndim, 0);
  for (int d = 0; d < x->ndim; d++) {
    lua_pushinteger(L, x->stride[d]);
    lua_rawseti(L, -2, d + 1);
  }
  return 1;
}

static int numel(lua_State *L) {
  lua_pushinteger(L, eq_lua_checktensor(L, 1, "numel", "x")->numel);
  return 1;
}

static int length(lua_State *L) {
  eq_tensor *x = eq_lua_checktensor(L, 1, "#", "x");
  if (x->ndim == 0) return luaL_error(L, "#: a single number has no length");
  lua_pushinteger(L, x->shape[0]);
  return 1;
}

static void push_element(lua_State *L, const eq_tensor *x, int64_t flat) {
  switch (x->dtype) {
  case EQ_I64:
  case EQ_U8: lua_pushinteger(L, eq_get_int(x, flat)); break;
  case EQ_BOOL: lua_pushboolean(L, eq_get(x, flat) != 0); break;
  default: lua_pushnumber(L, eq_get(x, flat));
  }
}

static int item(lua_State *L) {
  eq_tensor *x = eq_lua_checktensor(L, 1, "item", "x");
  if (x->numel != 1)
    return luaL_error(L, "item: x must hold one number, it is %s; index it first", eq_shape_of(x));
  push_element(L, x, 0);
  return 1;
}

static void push_nested(lua_State *L, const eq_tensor *x, int d, int64_t *flat) {
  luaL_checkstack(L, 3, "totable");
  int64_t n = x->shape[d];
  lua_createtable(L, n < (1 << 28) ? (int)n : 0, 0);
  for (int64_t i = 0; i < n; i++) {
    if (d + 1 < x->ndim)
      push_nested(L, x, d + 1, flat);
    else
      push_element(L, x, (*flat)++);
    lua_rawseti(L, -2, i + 1);
  }
}

static int totable(lua_State *L) {
  eq_tensor *x = eq_lua_checktensor(L, 1, "totable", "x");
  int64_t flat = 0;
  if (x->ndim == 0)
    push_element(L, x, 0);
  else
    push_nested(L, x, 0, &flat);
  return 1;
}

static int tobytes(lua_State *L) { /* the elements as a binary string, row-major, host order */
  eq_tensor *x = eq_lua_checktensor(L, 1, "tobytes", "x");
  eq_tensor **keep = eq_lua_newbox(L);
  if (!(*keep = eq_contiguous(x))) return eq_lua_raise(L, "tobytes");
  lua_pushlstring(L, (*keep)->data ? (*keep)->data : "", (size_t)x->numel * eq_size(x->dtype));
  return 1;
}

static int is_contiguous(lua_State *L) {
  lua_pushboolean(L, eq_is_contiguous(eq_lua_checktensor(L, 1, "is_contiguous", "x")));
  return 1;
}

static int is_channels_last(lua_State *L) {
  eq_tensor *x = eq_lua_checktensor(L, 1, "is_channels_last", "x");
  lua_pushboolean(L, eq_is_channels_last(x));
  return 1;
}

static int detach(lua_State *L) {
  eq_tensor *x = eq_lua_checktensor(L, 1, "detach", "x"), **box = eq_lua_newbox(L);
  if (!(*box = eq_alias(x))) return eq_lua_raise(L, "detach");
  return 1;
}

static int requires_grad_(lua_State *L) {
  eq_tensor *x = eq_lua_checktensor(L, 1, "requires_grad_", "x");
  bool on = lua_isnone(L, 2) || eq_lua_checkbool(L, 2, "requires_grad_", "on");
  if (eq_require_grad(x, on)) return eq_lua_raise(L, "requires_grad_");
  lua_settop(L, 1);
  return 1;
}

static void refuse_recorded(lua_State *L, const eq_tensor *x, const eq_tensor *y, const char *who) {
  if (eq_grad_enabled && (x->node || (y && y->node)))
    luaL_error(L,
               "%s: in-place changes are not recorded for gradients; use equi.no_grad or a "
               "detached tensor",
               who);
}

static int copy_(lua_State *L) {
  eq_tensor *x = eq_lua_checktensor(L, 1, "copy_", "x"),
            *y = eq_lua_checktensor(L, 2, "copy_", "y");
  refuse_recorded(L, x, y, "copy_");
  eq_tensor **keep = eq_lua_newbox(L);
  if (x->storage == y->storage && !(*keep = eq_clone(y))) return eq_lua_raise(L, "copy_");
  if (eq_copy(x, *keep ? *keep : y)) return eq_lua_raise(L, "copy_");
  eq_touch(x);
  lua_settop(L, 1);
  return 1;
}

static int fill(lua_State *L, const char *who) {
  eq_tensor *x = eq_lua_checktensor(L, 1, who, "x");
  if (lua_type(L, 2) != LUA_TNUMBER && !lua_isboolean(L, 2))
    return luaL_error(L, "%s: value must be a number, got %s", who, eq_lua_kind(L, 2));
  refuse_recorded(L, x, NULL, who);
  if (eq_copy(x, *eq_lua_scalar(L, 2, x->dtype, who))) return eq_lua_raise(L, who);
  eq_touch(x);
  lua_settop(L, 1);
  return 1;
}

static int fill_(lua_State *L) { return fill(L, "fill_"); }

static int zero_(lua_State *L) {
  lua_settop(L, 1);
  lua_pushinteger(L, 0);
  return fill(L, "zero_");
}

/* ---- comparison and identity ---- */
static int same(lua_State *L) { /* __eq: the same tensor; element-wise is x:eq(y) */
  eq_tensor *x = eq_lua_totensor(L, 1);
  lua_pushboolean(L, x && x == eq_lua_totensor(L, 2));
  return 1;
}

/* Lua turns x > y into y < x, so a message cannot know which of the two was written. */
static double single(lua_State *L, int i) {
  eq_tensor *x = eq_lua_totensor(L, i);
  if (!x && lua_type(L, i) == LUA_TNUMBER) return lua_tonumber(L, i);
  if (!x || x->numel != 1)
    luaL_error(L,
               "comparison: < <= > >= compare single numbers, got %s; use x:lt(y), x:le(y), "
               "x:gt(y) or x:ge(y) for each element",
               x ? lua_pushfstring(L, "a tensor %s", eq_shape_of(x)) : eq_lua_kind(L, i));
  return eq_get(x, 0);
}

static int less(lua_State *L) {
  lua_pushboolean(L, single(L, 1) < single(L, 2));
  return 1;
}

static int less_equal(lua_State *L) {
  lua_pushboolean(L, single(L, 1) <= single(L, 2));
  return 1;
}

static int is_tensor(lua_State *L) {
  lua_pushboolean(L, eq_lua_totensor(L, 1) != NULL);
  return 1;
}

/* The same storage? For specs and for counting memory once. */
static int shares(lua_State *L) {
  eq_tensor *x = eq_lua_checktensor(L, 1, "shares_storage", "x");
  lua_pushboolean(L, x->storage == eq_lua_checktensor(L, 2, "shares_storage", "y")->storage);
  return 1;
}

static const luaL_Reg methods[] = {{"size", size},
                                   {"stride", stride},
                                   {"numel", numel},
                                   {"item", item},
                                   {"totable", totable},
                                   {"tobytes", tobytes},
                                   {"is_contiguous", is_contiguous},
                                   {"is_channels_last", is_channels_last},
                                   {"detach", detach},
                                   {"requires_grad_", requires_grad_},
                                   {"copy_", copy_},
                                   {"fill_", fill_},
                                   {"zero_", zero_},
                                   {"shares_storage", shares},
                                   {NULL, NULL}};

static const eq_lua_doc docs[] = {
    {"size", "x, dim:int=nil -> n, ...", "Sizes of x, or the size of one dim.",
     "print(equi.zeros(2, 3):size())  --> 2 3"},
    {"stride", "x -> table", "Strides in elements, one per dim; 0 where x is expanded.",
     "print(equi.zeros(2, 3):stride()[1])  --> 3"},
    {"numel", "x -> n", "Number of elements.", "print(equi.zeros(2, 3):numel())  --> 6"},
    {"item", "x -> number", "The only element of x as a Lua value. Raises if there are more.",
     "print(equi.tensor({2}):item())  --> 2.0"},
    {"totable", "x -> table",
     "Nested Lua tables of numbers (booleans for bool); a number if x has no "
     "dims.",
     "print(equi.tensor({{1, 2}, {3, 4}}):totable()[2][1])  --> 3.0"},
    {"tobytes", "x -> string",
     "The elements as a binary string, row-major, in the host's byte order.",
     "print(#equi.zeros(4):tobytes())  --> 16"},
    {"is_contiguous", "x -> boolean", "True when the elements lie in row-major order without gaps.",
     "print(equi.zeros(2, 3):t():is_contiguous())  --> false"},
    {"is_channels_last", "x -> boolean",
     "True for x [B, C, H, W] whose channels of a pixel lie next to each other, without gaps.",
     "print(equi.zeros(2, 3, 4, 4):channels_last():is_channels_last())  --> true"},
    {"detach", "x -> y", "A view of x that is cut off from the graph: gradients stop here.",
     "print(equi.ones(2):requires_grad_():detach().requires_grad)  --> false"},
    {"requires_grad_", "x, on:bool=true -> x",
     "Ask for the gradient of a leaf: backward fills x.grad.",
     "local w = equi.ones(2):requires_grad_();\n(w * w):sum():backward()\nprint(w.grad[1]:item())  "
     "--> 2.0"},
    {"copy_", "x, y -> x", "Writes y into x, broadcasting and converting the dtype.",
     "print(equi.zeros(2):copy_(equi.ones(2, {dtype = \"f64\"})):sum():item())  --> 2.0"},
    {"fill_", "x, value -> x", "Sets every element of x.",
     "print(equi.zeros(2):fill_(3)[1]:item())  --> 3.0"},
    {"zero_", "x -> x", "Sets every element of x to 0.",
     "print(equi.ones(2):zero_():sum():item())  --> 0.0"},
    {"shares_storage", "x, y -> boolean", "True when x and y are views of the same memory.",
     "local x = equi.zeros(2, 3)\nprint(x:shares_storage(x:t()))  --> true"},
    {"is_tensor", "v -> boolean", "True when v is a tensor.",
     "print(equi.is_tensor(3))  --> false"},
    {0}};

void eq_lua_add_docs(lua_State *L, const eq_lua_doc *d) {
  if (lua_getfield(L, -1, "docs") == LUA_TNIL) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "docs");
  }
  for (; d->name; d++) {
    lua_createtable(L, 0, 4);
    lua_pushstring(L, d->name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, d->sig);
    lua_setfield(L, -2, "sig");
    lua_pushstring(L, d->doc);
    lua_setfield(L, -2, "doc");
    lua_pushstring(L, d->example);
    lua_setfield(L, -2, "example");
    lua_setfield(L, -2, d->name);
  }
  lua_pop(L, 1);
}

/* ---- metatable ---- */
static void add_operators(lua_State *L, int mt, int meth) {
  static const char *const op[][2] = {
      {"__add", "add"}, {"__sub", "sub"}, {"__mul", "mul"},       {"__div", "div"},
      {"__pow", "pow"}, {"__unm", "neg"}, {"__mod", "remainder"}, {"__idiv", "floor_divide"}};
  for (size_t i = 0; i < sizeof op / sizeof *op; i++) {
    lua_getfield(L, meth, op[i][1]);
    lua_setfield(L, mt, op[i][0]);
  }
}

static int unary_minus(lua_State *L) { /* Lua passes the operand twice */
  lua_settop(L, 1);
  lua_getfield(L, lua_upvalueindex(1), "neg");
  lua_insert(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

/* Called before the ops are registered (makes the metatable and the methods table) and finished by
 * eq_lua_index, when the methods exist. A second load in the same state reuses the metatable. */
int eq_lua_tensor(lua_State *L) {
  int module = lua_gettop(L);
  if (luaL_newmetatable(L, EQ_TENSOR)) {
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &metatable_key);
    known = lua_topointer(L, -1);
    static const luaL_Reg events[] = {{"__gc", collect}, {"__close", collect}, {"__eq", same},
                                      {"__len", length}, {"__lt", less},       {"__le", less_equal},
                                      {NULL, NULL}};
    luaL_setfuncs(L, events, 0);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "methods");
  }
  lua_getfield(L, -1, "methods");
  lua_setfield(L, module, "methods");
  lua_settop(L, module);
  lua_pushcfunction(L, is_tensor);
  lua_setfield(L, module, "is_tensor");
  eq_lua_add_docs(L, docs);
  return 0;
}

void eq_lua_finish_tensor(lua_State *L, lua_CFunction get, lua_CFunction set);
void eq_lua_finish_tensor(lua_State *L, lua_CFunction get, lua_CFunction set) {
  int top = lua_gettop(L);
  luaL_getmetatable(L, EQ_TENSOR);
  int mt = lua_gettop(L);
  lua_getfield(L, mt, "methods");
  int meth = lua_gettop(L);
  add_operators(L, mt, meth);
  lua_pushvalue(L, meth);
  lua_pushcclosure(L, unary_minus, 1);
  lua_setfield(L, mt, "__unm");
  lua_pushvalue(L, meth);
  lua_pushcfunction(L, get);
  lua_pushcclosure(L, index_event, 2);
  lua_setfield(L, mt, "__index");
  lua_pushcfunction(L, set);
  lua_pushcclosure(L, newindex_event, 1);
  lua_setfield(L, mt, "__newindex");
  lua_settop(L, top);
}
