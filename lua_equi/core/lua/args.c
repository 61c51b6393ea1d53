/* args.c -- reads the arguments of a call as the op's signature says: by place, by name from a
 * trailing options table, from defaults. Names, positions and messages come from the signature.
 *
 * It does not compute: call.c runs the op with what is read here. Nothing read here is owned (the
 * arguments on the stack own the tensors), so it may raise anywhere. */
#include "args.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static int fail(reader *r, const char *fmt, ...) {
  char text[512];
  va_list a;
  va_start(a, fmt);
  vsnprintf(text, sizeof text, fmt, a);
  va_end(a);
  return luaL_error(r->L, "%s: %s", r->op->name, text);
}

/* ---- options tables ---- */
bool eq_lua_is_options(lua_State *L, int i) {
  if (lua_type(L, i) != LUA_TTABLE) return false;
  i = lua_absindex(L, i);
  lua_pushnil(L);
  if (!lua_next(L, i)) return false;
  bool named = lua_type(L, -2) == LUA_TSTRING;
  lua_pop(L, 2);
  return named;
}

void eq_lua_drop_empty(lua_State *L, int before) {
  int top = lua_gettop(L);
  if (top <= before || lua_type(L, top) != LUA_TTABLE) return;
  lua_pushnil(L);
  bool any = lua_next(L, top);
  lua_settop(L, any ? top : top - 1);
}

void eq_lua_check_keys(lua_State *L, int i, const char *who, const char *const *valid) {
  i = lua_absindex(L, i);
  lua_pushnil(L);
  while (lua_next(L, i)) {
    lua_pop(L, 1);
    const char *key = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    bool known = false;
    for (int k = 0; key && valid[k]; k++) known |= !strcmp(valid[k], key);
    if (known) continue;
    luaL_Buffer b;
    const char *shown = key ? key : luaL_tolstring(L, -1, NULL);
    luaL_buffinit(L, &b);
    for (int k = 0; valid[k]; k++) {
      if (k) luaL_addstring(&b, ", ");
      luaL_addstring(&b, valid[k]);
    }
    luaL_pushresult(&b);
    const char *list = lua_tostring(L, -1), *ours = eq_lua_elsewhere(L, "options", shown);
    bool has = false; /* whether that function has the option that it is elsewhere */
    for (int k = 0; ours && valid[k]; k++) has |= !strcmp(valid[k], ours);
    luaL_error(L, "%s: no option \"%s\"; options are %s%s", who, shown, list,
               has ? lua_pushfstring(L, "; did you mean \"%s\"?", ours) : "");
  }
}

static void check_option_names(reader *r) {
  const char *valid[EQ_MAXPARAM + 1];
  int n = 0;
  for (int p = 0; p < r->sig->nparam; p++) valid[n++] = r->sig->param[p].name;
  valid[n] = NULL;
  eq_lua_check_keys(r->L, r->options, r->op->name, valid);
}

/* The signature as a user calls it: "x:float, dim:dim=-1 -> y" becomes "x, dim = -1". */
static const char *usage(reader *r) {
  luaL_Buffer b;
  luaL_buffinit(r->L, &b);
  bool kind = false;
  for (const char *s = r->op->sig; *s && strncmp(s, " ->", 3) && strncmp(s, "->", 2); s++) {
    kind = (kind || *s == ':') && *s != ',' && *s != '=';
    if (*s == '=')
      luaL_addstring(&b, " = ");
    else if (!kind)
      luaL_addchar(&b, *s);
  }
  luaL_pushresult(&b);
  return lua_tostring(r->L, -1);
}

/* ---- one argument ---- */
/* Userdata by the name of their class: "equi.Group" is a group. */
const char *eq_lua_kind(lua_State *L, int i) {
  i = lua_absindex(L, i);
  if (lua_type(L, i) != LUA_TUSERDATA || luaL_getmetafield(L, i, "__name") == LUA_TNIL)
    return luaL_typename(L, i);
  const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "equi.userdata";
  if (strncmp(name, "equi.", 5)) return luaL_typename(L, i);
  char word[40];
  size_t n = 0;
  for (name += 5; *name && n + 1 < sizeof word; name++)
    word[n++] = (char)(*name >= 'A' && *name <= 'Z' ? *name - 'A' + 'a' : *name);
  word[n] = 0;
  return lua_pushfstring(L, "%s %s", strchr("aeiou", *word) ? "an" : "a", word);
}

const char *eq_lua_elsewhere(lua_State *L, const char *list, const char *name) {
  int top = lua_gettop(L);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  if (lua_getfield(L, -1, "lua_equi.elsewhere") == LUA_TTABLE &&
      lua_getfield(L, -1, list) == LUA_TTABLE && lua_getfield(L, -1, name) == LUA_TSTRING)
    return lua_tostring(L, -1);
  lua_settop(L, top);
  return NULL;
}

/* How a wrong value is shown in a message. */
static const char *shown(lua_State *L, int i) {
  eq_tensor *x = eq_lua_totensor(L, i);
  if (x) return lua_pushfstring(L, "a tensor %s %s", eq_dtype_name(x->dtype), eq_shape_of(x));
  if (lua_type(L, i) == LUA_TNUMBER) return lua_pushfstring(L, "%s", luaL_tolstring(L, i, NULL));
  if (lua_type(L, i) == LUA_TSTRING) return lua_pushfstring(L, "\"%s\"", lua_tostring(L, i));
  return eq_lua_kind(L, i);
}

static void add_input(reader *r, eq_tensor *x) {
  if (r->c.nin == r->room) { /* a longer array in a userdata: freed by Lua whatever happens */
    eq_tensor **more = lua_newuserdatauv(r->L, (size_t)r->room * 4 * sizeof *more, 0);
    memcpy(more, r->c.in, (size_t)r->c.nin * sizeof *more);
    lua_insert(r->L, 1); /* below the arguments: places are counted from the top of them */
    r->c.in = more;
    r->room *= 4;
    r->top++;
    r->next++;
    if (r->options) r->options++;
  }
  r->c.in[r->c.nin++] = x;
}

static const char *wanted_dtypes(uint8_t accept) {
  switch (accept) {
  case EQ_ACC_FLOAT: return "f32 or f64";
  case EQ_ACC_INDEX: return "i64";
  case EQ_ACC_MASK: return "bool or u8";
  case EQ_ACC_NUMBER: return "f32, f64, i64 or u8";
  default: return "any";
  }
}

static void read_tensor(reader *r, const eq_param *p, int i) {
  eq_tensor *x = eq_lua_totensor(r->L, i);
  if (!x) fail(r, "%s must be a tensor, got %s", p->name, shown(r->L, i));
  if (!((p->accept >> x->dtype) & 1))
    fail(r, "%s must have dtype %s, it is %s; convert it: %s:to \"%s\"", p->name,
         wanted_dtypes(p->accept), eq_dtype_name(x->dtype), p->name,
         p->accept == EQ_ACC_INDEX  ? "i64"
         : p->accept == EQ_ACC_MASK ? "bool"
                                    : "f32");
  add_input(r, x);
}

static void read_operand(reader *r, const eq_param *p, int i) {
  if (lua_type(r->L, i) == LUA_TNUMBER) {
    if (r->nnumber == 4) fail(r, "at least one operand must be a tensor");
    r->number[r->nnumber] = lua_tonumber(r->L, i);
    r->number_at[r->nnumber++] = r->c.nin;
    add_input(r, NULL);
  } else {
    if (!eq_lua_totensor(r->L, i))
      fail(r, "%s must be a tensor or a number, got %s", p->name, shown(r->L, i));
    read_tensor(r, p, i);
  }
}

static void read_tensors(reader *r, const eq_param *p, int i, int slot) {
  if (lua_type(r->L, i) != LUA_TTABLE)
    fail(r, "%s must be a list of tensors, got %s%s", p->name, shown(r->L, i),
         eq_lua_totensor(r->L, i) ? "; write them in braces: {x, y}" : "");
  int n = (int)lua_rawlen(r->L, i);
  for (int k = 1; k <= n; k++) {
    lua_rawgeti(r->L, i, k);
    eq_tensor *x = eq_lua_totensor(r->L, -1);
    if (!x) fail(r, "%s[%d] must be a tensor, got %s", p->name, k, shown(r->L, -1));
    if (!((p->accept >> x->dtype) & 1))
      fail(r, "%s[%d] must have dtype %s, it is %s", p->name, k, wanted_dtypes(p->accept),
           eq_dtype_name(x->dtype));
    lua_pop(r->L, 1); /* the list keeps it */
    int before = r->top;
    add_input(r, x);
    i += r->top - before;
  }
  r->c.count[slot] = n;
}

int64_t eq_lua_checkint(lua_State *L, int i, const char *who, const char *name) {
  int ok;
  lua_Integer v = lua_tointegerx(L, i, &ok);
  if (!ok || lua_type(L, i) != LUA_TNUMBER)
    luaL_error(L, "%s: %s must be a whole number, got %s", who, name, shown(L, i));
  return v;
}

double eq_lua_checknumber(lua_State *L, int i, const char *who, const char *name) {
  if (lua_type(L, i) != LUA_TNUMBER)
    luaL_error(L, "%s: %s must be a number, got %s", who, name, shown(L, i));
  return lua_tonumber(L, i);
}

bool eq_lua_checkbool(lua_State *L, int i, const char *who, const char *name) {
  if (!lua_isnoneornil(L, i) && !lua_isboolean(L, i))
    luaL_error(L, "%s: %s must be true or false, got %s", who, name, shown(L, i));
  return lua_toboolean(L, i);
}

/* 1-based or negative dim of the first tensor -> 0-based. */
static int64_t to_dim(reader *r, const eq_param *p, int64_t v) {
  int n = 1;
  for (int i = 0; i < r->c.nin; i++)
    if (r->c.in[i]) {
      n = r->c.in[i]->ndim;
      break;
    }
  if (p->insert) n++;
  if (n == 0 && (v == 1 || v == -1)) return 0; /* a single number counts as one dim of size 1 */
  if (v >= 1 && v <= n) return v - 1;
  if (v <= -1 && v >= -n) return v + n;
  if (n == 0) fail(r, "%s is %" PRId64 ", but x is a single number without dimensions", p->name, v);
  return fail(r, "%s must be a whole number from 1 to %d (or -%d to -1), got %" PRId64, p->name, n,
              n, v);
}

static void begin_list(reader *r, const eq_param *p) {
  r->c.arg[p->slot].i = r->c.nlist;
  if (r->c.nlist + 1 > EQ_MAXLIST) fail(r, "%s: lists are too long", p->name);
  r->c.list[r->c.nlist++] = 0;
}

static void add_to_list(reader *r, const eq_param *p, int64_t v) {
  if (r->c.nlist == EQ_MAXLIST) fail(r, "%s has too many entries", p->name);
  r->c.list[r->c.arg[p->slot].i]++;
  r->c.list[r->c.nlist++] = p->kind == EQ_P_DIMS ? to_dim(r, p, v) : v;
}

static bool is_list(const eq_param *p) {
  return p->kind == EQ_P_TENSORS || p->kind == EQ_P_DIMS || p->kind == EQ_P_INTS;
}

static int read_choice(reader *r, const eq_param *p, int i) {
  char all[256] = "";
  const char *s = lua_type(r->L, i) == LUA_TSTRING ? lua_tostring(r->L, i) : NULL;
  for (int k = 0; k < p->nchoices; k++) {
    if (s && !strcmp(s, p->choices[k])) return k;
    size_t n = strlen(all);
    snprintf(all + n, sizeof all - n, "%s\"%s\"", k ? ", " : "", p->choices[k]);
  }
  return fail(r, "%s must be %sone of %s, got %s", p->name,
              p->kind == EQ_P_INTS ? "a whole number, a list of them or " : "", all,
              shown(r->L, i));
}

/* A list is a table, or the run of numbers from place i on; a single number where another list
 * follows, as in x:movedim(3, 1); or a word in its place, which is a negative length. Returns the
 * places used. */
static int read_list(reader *r, const eq_param *p, int i, int last) {
  lua_State *L = r->L;
  begin_list(r, p);
  if (p->nchoices && lua_type(L, i) == LUA_TSTRING) {
    r->c.list[r->c.arg[p->slot].i] = -1 - read_choice(r, p, i);
    return 1;
  }
  if (lua_type(L, i) == LUA_TTABLE) {
    int n = (int)lua_rawlen(L, i);
    for (int k = 1; k <= n; k++) {
      lua_rawgeti(L, i, k);
      add_to_list(r, p, eq_lua_checkint(L, -1, r->op->name, p->name));
      lua_pop(L, 1);
    }
    return 1;
  }
  if (lua_type(L, i) != LUA_TNUMBER)
    fail(r, "%s must be a whole number or a list of them, got %s", p->name, shown(L, i));
  int k = i;
  const eq_sig *g = eq_sig_of(r->op);
  if (p + 1 < g->param + g->nparam && is_list(p + 1)) last = i;
  for (; k <= last && lua_type(L, k) == LUA_TNUMBER; k++)
    add_to_list(r, p, eq_lua_checkint(L, k, r->op->name, p->name));
  return k - i;
}

/* By sound: "eff", "eye", but "you". */
const char *eq_lua_a_dtype(eq_dtype t) {
  static const char *const name[EQ_NDTYPE] = {[EQ_F32] = "an f32",
                                              [EQ_F64] = "an f64",
                                              [EQ_I64] = "an i64",
                                              [EQ_U8] = "a u8",
                                              [EQ_BOOL] = "a bool"};
  return name[t];
}

eq_dtype eq_lua_checkdtype(lua_State *L, int i, const char *who) {
  i = lua_absindex(L, i);
  const char *s = lua_type(L, i) == LUA_TSTRING ? lua_tostring(L, i) : NULL;
  for (int t = 0; s && t < EQ_NDTYPE; t++)
    if (!strcmp(s, eq_dtype_name((eq_dtype)t))) return (eq_dtype)t;
  const char *hint = s ? eq_lua_elsewhere(L, "dtypes", s) : NULL;
  luaL_error(L, "%s: dtype must be one of \"f32\", \"f64\", \"i64\", \"u8\", \"bool\", got %s%s%s",
             who, shown(L, i), hint ? "; " : "", hint ? hint : "");
  return EQ_F32;
}

/* Reads the value at place i into p. Returns how many places it used. */
static int read_value(reader *r, const eq_param *p, int i, int last, int *lists) {
  lua_State *L = r->L;
  eq_call *c = &r->c;
  switch (p->kind) {
  case EQ_P_TENSOR: read_tensor(r, p, i); return 1;
  case EQ_P_OPERAND: read_operand(r, p, i); return 1;
  case EQ_P_TENSORS: read_tensors(r, p, i, (*lists)++); return 1;
  default: break;
  }
  c->given |= 1u << p->slot;
  switch (p->kind) {
  case EQ_P_INT: c->arg[p->slot].i = eq_lua_checkint(L, i, r->op->name, p->name); break;
  case EQ_P_DIM:
    c->arg[p->slot].i = to_dim(r, p, eq_lua_checkint(L, i, r->op->name, p->name));
    break;
  case EQ_P_NUM:
    if (lua_type(L, i) != LUA_TNUMBER) fail(r, "%s must be a number, got %s", p->name, shown(L, i));
    c->arg[p->slot].f = lua_tonumber(L, i);
    break;
  case EQ_P_BOOL:
    if (lua_type(L, i) != LUA_TBOOLEAN)
      fail(r, "%s must be true or false, got %s", p->name, shown(L, i));
    c->arg[p->slot].i = lua_toboolean(L, i);
    break;
  case EQ_P_DTYPE: c->arg[p->slot].i = eq_lua_checkdtype(L, i, r->op->name); break;
  case EQ_P_STR:
    if (lua_type(L, i) != LUA_TSTRING) fail(r, "%s must be a string, got %s", p->name, shown(L, i));
    c->arg[p->slot].s = lua_tostring(L, i);
    break;
  case EQ_P_CHOICE: c->arg[p->slot].i = read_choice(r, p, i); break;
  default: return read_list(r, p, i, last);
  }
  return 1;
}

static void use_default(reader *r, const eq_param *p, int *lists) {
  eq_call *c = &r->c;
  if (p->kind <= EQ_P_OPERAND) {
    if (!p->optional) fail(r, "%s is missing; call it as %s(%s)", p->name, r->op->name, usage(r));
    if (p->kind == EQ_P_TENSORS)
      c->count[(*lists)++] = 0;
    else
      add_input(r, NULL);
    return;
  }
  if (!p->optional) fail(r, "%s is missing; call it as %s(%s)", p->name, r->op->name, usage(r));
  if (!p->has_default) return;
  c->given |= 1u << p->slot;
  if (p->kind == EQ_P_NUM) {
    c->arg[p->slot].f = p->def;
  } else if (p->kind == EQ_P_INTS) {
    begin_list(r, p);
    add_to_list(r, p, (int64_t)p->def);
  } else if (p->kind == EQ_P_DIM) {
    c->arg[p->slot].i = to_dim(r, p, (int64_t)(p->def >= 0 ? p->def + 1 : p->def));
  } else {
    c->arg[p->slot].i = (int64_t)p->def;
  }
}

static void check_not_twice(reader *r, const eq_param *p) {
  if (!r->options) return;
  if (lua_getfield(r->L, r->options, p->name) != LUA_TNIL)
    fail(r, "%s is given twice, by place and by name", p->name);
  lua_pop(r->L, 1);
}

/* An empty table at the end is an empty list where p takes one (with a default number it takes no
 * empty one), else options without any. */
static bool is_no_options(reader *r, const eq_param *p) {
  bool list = is_list(p) && !(p->kind == EQ_P_INTS && p->has_default);
  if (list || r->options || r->next != r->top || lua_type(r->L, r->next) != LUA_TTABLE)
    return false;
  lua_pushnil(r->L);
  if (!lua_next(r->L, r->next)) return true;
  lua_pop(r->L, 2);
  return false;
}

static void read_params(reader *r) {
  lua_State *L = r->L;
  int lists = 0;
  for (int k = 0; k < r->sig->nparam; k++) {
    const eq_param *p = &r->sig->param[k];
    bool named = false;
    if (r->options && (r->next > r->top || r->next == r->options)) {
      /* stack: arguments ..., options, values read from it (kept: they own the tensors) */
      lua_getfield(L, r->options, p->name);
      named = !lua_isnil(L, -1);
      if (!named) lua_pop(L, 1);
    }
    if (is_no_options(r, p)) lua_settop(L, --r->top);
    int last = r->options ? r->options - 1 : r->top;
    if (named) {
      luaL_checkstack(L, 8, r->op->name);
      int place = lua_gettop(L);
      read_value(r, p, place, place, &lists);
    } else if (r->next <= last && !lua_isnil(L, r->next)) {
      check_not_twice(r, p);
      int used = read_value(r, p, r->next, last, &lists);
      r->next += used;
    } else {
      if (r->next <= last) r->next++; /* an explicit nil */
      use_default(r, p, &lists);
    }
  }
  int last = r->options ? r->options - 1 : r->top;
  if (r->next <= last)
    fail(r, "too many arguments: %s is left over; call it as %s(%s)", shown(L, r->next),
         r->op->name, usage(r));
}

/* ---- operands that are numbers must fit the dtype of the tensors ---- */
/* The first tensor whose dtype a number follows: not a mask or an index. */
static const eq_tensor *first_value(const reader *r) {
  int i = 0, list = 0;
  for (int p = 0; p < r->sig->nparam; p++) {
    const eq_param *param = &r->sig->param[p];
    if (param->kind > EQ_P_OPERAND) continue;
    int n = param->kind == EQ_P_TENSORS ? r->c.count[list++] : 1;
    for (; n > 0 && i < r->c.nin; n--, i++)
      if (r->c.in[i] && param->accept & EQ_ACC_FLOAT) return r->c.in[i];
  }
  return NULL;
}

static void check_numbers(reader *r) {
  bool any = false;
  if (!r->nnumber) return;
  for (int i = 0; i < r->c.nin; i++) any |= r->c.in[i] != NULL;
  if (!any) fail(r, "at least one operand must be a tensor");
  const eq_tensor *t = first_value(r);
  r->number_dtype = t ? t->dtype : EQ_F32;
  for (int k = 0; t && k < r->nnumber; k++) {
    double v = r->number[k];
    if (t->dtype == EQ_BOOL && v != 0 && v != 1)
      fail(r, "the number %s and a bool tensor do not mix; convert it: x:to \"f32\"",
           lua_pushfstring(r->L, "%f", v));
    if ((t->dtype == EQ_I64 || t->dtype == EQ_U8) &&
        (v != floor(v) || (t->dtype == EQ_U8 && (v < 0 || v > 255))))
      fail(r, "the number %s does not fit %s tensor; convert it: x:to \"f32\"",
           lua_pushfstring(r->L, "%f", v), eq_lua_a_dtype(t->dtype));
  }
}

static void start(reader *r, lua_State *L) {
  r->L = L;
  r->op = lua_touserdata(L, lua_upvalueindex(1));
  r->sig = lua_touserdata(L, lua_upvalueindex(2));
  r->c.op = r->op;
  r->c.in = r->few;
  r->c.nin = r->c.nout = r->c.nlist = 0;
  r->c.given = 0;
  r->room = EQ_LUA_FEW;
  r->top = lua_gettop(L);
  r->next = 1;
  r->options = 0;
  r->nnumber = 0;
  if (r->top && eq_lua_is_options(L, r->top)) {
    r->options = r->top;
    check_option_names(r);
  }
}

void eq_lua_read(reader *r, lua_State *L) {
  start(r, L);
  read_params(r);
  check_numbers(r);
}
