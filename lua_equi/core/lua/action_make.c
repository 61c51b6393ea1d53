/* action_make.c -- the constructors of equi.action, except vocabulary (vocabulary.c). */
#include "symmetry.h"
#include <string.h>

/* ---- options ---- */

bool eq_lua_options(lua_State *L, int i, const char *who, const char *const *keys) {
  if (lua_isnoneornil(L, i)) return false;
  if (!lua_istable(L, i))
    luaL_error(L, "%s: options must be a table, got %s", who, eq_lua_kind(L, i));
  eq_lua_check_keys(L, i, who, keys);
  return true;
}

static int read_dim(lua_State *L, int i, const char *who, const char *name) {
  int64_t d = eq_lua_checkint(L, i, who, name);
  if (d == 0 || d > EQ_MAXDIM || d < -EQ_MAXDIM)
    luaL_error(L, "%s: %s is %I; dims are 1 to %d, or -1 to -%d from the end", who, name,
               (LUAI_UACINT)d, EQ_MAXDIM, EQ_MAXDIM);
  return (int)(d > 0 ? d - 1 : d);
}

int eq_lua_dim_option(lua_State *L, int i, const char *key, int otherwise, const char *who) {
  if (!lua_istable(L, i)) return otherwise;
  int dim = lua_getfield(L, i, key) == LUA_TNIL ? otherwise : read_dim(L, -1, who, key);
  lua_pop(L, 1);
  return dim;
}

static int only_dim(lua_State *L, int i, const char *who) {
  static const char *const keys[] = {"dim", NULL};
  eq_lua_options(L, i, who, keys);
  return eq_lua_dim_option(L, i, "dim", -1, who);
}

/* ---- constructors ---- */

static int trivial(lua_State *L) {
  static const char who[] = "action.trivial";
  static const char *const keys[] = {"dim", "size", NULL};
  eq_group *g = eq_lua_checkgroup(L, 1, who, "the group");
  int64_t size = 0;
  lua_settop(L, 2);
  if (eq_lua_options(L, 2, who, keys) && lua_getfield(L, 2, "size") != LUA_TNIL) {
    size = eq_lua_checkint(L, -1, who, "size");
    if (size < 1)
      return luaL_error(L, "%s: size is %I; it must be 1 or more", who, (LUAI_UACINT)size);
  }
  int dim = eq_lua_dim_option(L, 2, "dim", -1, who);
  eq_action **box = eq_lua_newaction(L, 1);
  EQ_LUA_MAKE(L, who, *box, eq_action_trivial(g, dim, size));
  return 1;
}

/* Without a list, a group of permutations moves as it does. */
static int64_t *natural_permutations(lua_State *L, const eq_group *g, int *n, int64_t *size) {
  if (!g->degree)
    luaL_error(L, "action.permutation: %s does not consist of permutations; give one per generator",
               g->title);
  *n = g->order;
  *size = g->degree;
  int64_t *to = eq_lua_scratch(L, (size_t)(*n * *size) * sizeof *to);
  for (int64_t i = 0; i < *n * *size; i++) to[i] = g->perm[i];
  return to;
}

static int permutation(lua_State *L) {
  static const char who[] = "action.permutation";
  eq_group *g = eq_lua_checkgroup(L, 1, who, "the group");
  lua_settop(L, 3);
  int dim = only_dim(L, 3, who), n;
  int64_t size = 0, *to;
  if (lua_isnil(L, 2)) {
    to = natural_permutations(L, g, &n, &size);
  } else {
    n = eq_lua_list(L, 2, who, "the list of permutations");
    lua_geti(L, 2, 1);
    if (n) size = eq_lua_list(L, -1, who, "each permutation");
    if (size == 0)
      return luaL_error(L, "%s: give one permutation per generator of %s", who, g->title);
    to = eq_lua_scratch(L, (size_t)(n * size) * sizeof *to);
    for (int k = 0; k < n; k++) {
      lua_geti(L, 2, k + 1);
      if (eq_lua_list(L, -1, who, "each permutation") != size)
        return luaL_error(L, "%s: permutation %d has %d entries, permutation 1 has %d", who, k + 1,
                          (int)luaL_len(L, -1), (int)size);
      for (int64_t i = 0; i < size; i++) {
        lua_geti(L, -1, i + 1);
        to[k * size + i] = eq_lua_checkint(L, -1, who, "each entry") - 1;
        lua_pop(L, 1);
      }
      lua_pop(L, 1);
    }
  }
  eq_action **box = eq_lua_newaction(L, 1);
  EQ_LUA_MAKE(L, who, *box, eq_action_permutation(g, EQ_ACT_AXIS, dim, size, n, to));
  eq_lua_pressure(L);
  return 1;
}

static int regular(lua_State *L) {
  static const char who[] = "action.regular";
  eq_group *g = eq_lua_checkgroup(L, 1, who, "the group");
  int dim = only_dim(L, 2, who);
  eq_action **box = eq_lua_newaction(L, 1);
  EQ_LUA_MAKE(L, who, *box, eq_action_regular(g, dim));
  eq_lua_pressure(L);
  return 1;
}

/* The matrix on top of the stack: a 2-D tensor or a list of rows. Returns its size; with `out`, its
 * entries as well. */
static int64_t read_matrix(lua_State *L, const char *who, int k, int64_t size, double *out) {
  eq_tensor *x = eq_lua_totensor(L, -1);
  int64_t rows = x ? (x->ndim ? x->shape[0] : 1) : eq_lua_list(L, -1, who, "each matrix");
  if (x && (x->ndim != 2 || x->shape[1] != rows))
    luaL_error(L, "%s: matrix %d is %s; it must be square", who, k, eq_shape_of(x));
  if (!out) return rows;
  if (rows != size)
    luaL_error(L, "%s: matrix %d has %d rows, matrix 1 has %d", who, k, (int)rows, (int)size);
  for (int64_t i = 0; x && i < size * size; i++) out[i] = eq_get(x, i);
  for (int64_t i = 0; !x && i < size; i++) {
    lua_geti(L, -1, i + 1);
    if (eq_lua_list(L, -1, who, "each row") != size)
      luaL_error(L,
                 "%s: row %d of matrix %d has %d numbers; the matrix has %d rows, it must be "
                 "square",
                 who, (int)i + 1, k, (int)luaL_len(L, -1), (int)size);
    for (int64_t j = 0; j < size; j++) {
      if (lua_geti(L, -1, j + 1) != LUA_TNUMBER)
        luaL_error(L, "%s: row %d, column %d of matrix %d must be a number, got %s", who,
                   (int)i + 1, (int)j + 1, k, eq_lua_kind(L, -1));
      out[i * size + j] = lua_tonumber(L, -1);
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
  return rows;
}

const double *eq_lua_matrices(lua_State *L, int i, const char *who, int *n, int64_t *size) {
  *n = eq_lua_list(L, i, who, "the list of matrices");
  if (*n == 0) luaL_error(L, "%s: the list is empty; give at least one matrix", who);
  lua_geti(L, i, 1);
  *size = read_matrix(L, who, 1, 0, NULL);
  if (*size < 1 || *size > 4096)
    luaL_error(L, "%s: matrix 1 has %d rows; 1 to 4096", who, (int)*size);
  double *out = eq_lua_scratch(L, (size_t)(*n * *size * *size) * sizeof *out);
  for (int k = 0; k < *n; k++) {
    lua_geti(L, i, k + 1);
    read_matrix(L, who, k + 1, *size, out + k * *size * *size);
    lua_pop(L, 1);
  }
  return out;
}

static int matrices(lua_State *L) {
  static const char who[] = "action.matrices";
  eq_group *g = eq_lua_checkgroup(L, 1, who, "the group");
  lua_settop(L, 3);
  int dim = only_dim(L, 3, who), n = g->order;
  int64_t size = g->dim;
  const double *m = g->matrix; /* without a list, a group of matrices moves as it does */
  if (lua_isnil(L, 2) && !m)
    return luaL_error(L, "%s: %s does not consist of matrices; give one per generator", who,
                      g->title);
  if (!lua_isnil(L, 2)) m = eq_lua_matrices(L, 2, who, &n, &size);
  eq_action **box = eq_lua_newaction(L, 1);
  EQ_LUA_MAKE(L, who, *box, eq_action_matrices(g, dim, size, n, m));
  eq_lua_pressure(L);
  return 1;
}

/* ---- grids ---- */

/* Moves of the square as elements of dihedral(4): k for r^k, 4 + k for s r^k, where r is a quarter
 * turn counterclockwise and s flips the second dim. */
static const char *const move_name[] = {"identity", "rot90",         "rot180", "rot270",
                                        "hflip",    "antitranspose", "vflip",  "transpose"};
enum { ROT90 = 1, HFLIP = 4, VFLIP = 6, NMOVES = 8 };

static int read_move(lua_State *L, const char *who) {
  const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : eq_lua_kind(L, -1);
  for (int i = 0; i < NMOVES; i++)
    if (!strcmp(name, move_name[i])) return i;
  return luaL_error(L,
                    "%s: no move \"%s\"; moves are identity, rot90, rot180, rot270, hflip, vflip, "
                    "transpose, antitranspose",
                    who, name);
}

/* What the generators do when the user does not say: quarter turns for those of order 4, flips for
 * those of order 2. */
static bool usual_moves(const eq_group *g, int *move) {
  int first = g->ngen > 0 ? g->period[g->gen[0]] : 0;
  if (g->ngen > 2 || (g->ngen > 0 && first != 4 && first != 2)) return false;
  move[0] = first == 4 ? ROT90 : HFLIP;
  if (g->ngen < 2) return true;
  move[1] = first == 4 ? HFLIP : VFLIP;
  return g->period[g->gen[1]] == 2;
}

static int *read_moves(lua_State *L, const eq_group *g, const char *who, int *n) {
  int *move = eq_lua_scratch(L, (size_t)(g->ngen + 2) * sizeof *move);
  *n = g->ngen;
  if (!lua_istable(L, 2) || lua_getfield(L, 2, "generators") == LUA_TNIL) {
    if (!usual_moves(g, move))
      luaL_error(L,
                 "%s: what do the generators of %s do to a grid? give {generators = {\"rot90\", "
                 "\"hflip\"}} or the like",
                 who, g->title);
    return move;
  }
  *n = eq_lua_list(L, -1, who, "generators");
  if (*n != g->ngen)
    luaL_error(L, "%s: %d moves are given; %s has %d generators", who, *n, g->title, g->ngen);
  for (int k = 0; k < *n; k++) {
    lua_geti(L, -1, k + 1);
    move[k] = read_move(L, who);
    lua_pop(L, 1);
  }
  return move;
}

static int grid(lua_State *L) {
  static const char who[] = "action.grid";
  static const char *const keys[] = {"dims", "generators", NULL};
  eq_group *g = eq_lua_checkgroup(L, 1, who, "the group");
  lua_settop(L, 2);
  int dim[2] = {-2, -1}, n;
  if (eq_lua_options(L, 2, who, keys) && lua_getfield(L, 2, "dims") != LUA_TNIL) {
    if (eq_lua_list(L, -1, who, "dims") != 2)
      return luaL_error(L, "%s: dims lists %d dims; a grid has 2", who, (int)luaL_len(L, -1));
    for (int i = 0; i < 2; i++) {
      lua_geti(L, 3, i + 1);
      dim[i] = read_dim(L, -1, who, "each of dims");
    }
    if (dim[0] == dim[1])
      return luaL_error(L, "%s: dims are equal; a grid has 2 different dims", who);
  }
  int *move = read_moves(L, g, who, &n);
  eq_action **box = eq_lua_newaction(L, 1);
  EQ_LUA_MAKE(L, who, *box, eq_action_grid(g, dim[0], dim[1], n, move));
  return 1;
}

/* ---- combinations ---- */

/* The actions listed at place 1, as an array on the stack. */
static eq_action **read_actions(lua_State *L, const char *who, int *n) {
  *n = eq_lua_list(L, 1, who, "the list of actions");
  if (*n == 0) luaL_error(L, "%s: the list is empty", who);
  eq_action **part = eq_lua_scratch(L, (size_t)*n * sizeof *part);
  for (int i = 0; i < *n; i++) {
    lua_geti(L, 1, i + 1);
    part[i] = eq_lua_checkaction(L, -1, who, "each part");
    if (!eq_group_same(part[i]->group, part[0]->group))
      luaL_error(L, "%s: part %d is an action of %s, part 1 of %s", who, i + 1,
                 part[i]->group->title, part[0]->group->title);
    lua_pop(L, 1);
  }
  return part;
}

static void push_group_of_first(lua_State *L) {
  lua_geti(L, 1, 1);
  lua_getiuservalue(L, -1, EQ_UV_GROUP);
}

static int sum(lua_State *L) {
  static const char who[] = "action.sum";
  int n;
  eq_action **part = read_actions(L, who, &n);
  push_group_of_first(L);
  eq_action **box = eq_lua_newaction(L, -1);
  EQ_LUA_MAKE(L, who, *box, eq_action_sum(n, part));
  eq_lua_pressure(L);
  return 1;
}

static int chain(lua_State *L) {
  static const char who[] = "action.chain";
  int n;
  eq_action **part = read_actions(L, who, &n);
  eq_group *g = part[0]->group;
  int *same = eq_lua_scratch(L, (size_t)g->order * sizeof *same);
  int **map = eq_lua_scratch(L, (size_t)n * sizeof *map);
  for (int a = 0; a < g->order; a++) same[a] = a;
  for (int i = 0; i < n; i++) map[i] = same;
  push_group_of_first(L);
  eq_action **box = eq_lua_newaction(L, -1);
  EQ_LUA_MAKE(L, who, *box, eq_action_chain(g, n, part, map));
  return 1;
}

/* A tuple carries no eq_action: it only hands tensors to its parts. */
static int tuple(lua_State *L) {
  int n;
  read_actions(L, "action.tuple", &n);
  push_group_of_first(L);
  eq_lua_newaction(L, -1);
  lua_createtable(L, n, 0);
  for (int i = 1; i <= n; i++) {
    lua_geti(L, 1, i);
    lua_rawseti(L, -2, i);
  }
  lua_setiuservalue(L, -2, EQ_UV_TUPLE);
  return 1;
}

static int product(lua_State *L) {
  static const char who[] = "action.product";
  int n = lua_gettop(L);
  if (n == 0) return luaL_error(L, "%s: give at least one action", who);
  eq_action **part = eq_lua_scratch(L, (size_t)n * sizeof *part);
  luaL_checkstack(L, n + 8, who);
  for (int i = 0; i < n; i++) part[i] = eq_lua_checkaction(L, i + 1, who, "each part");
  lua_pushcfunction(L, eq_lua_group_product);
  for (int i = 1; i <= n; i++) lua_getiuservalue(L, i, EQ_UV_GROUP);
  lua_call(L, n, 1);
  eq_group *g = eq_lua_togroup(L, -1);
  eq_action **box = eq_lua_newaction(L, -1);
  EQ_LUA_MAKE(L, who, *box, eq_action_product(g, n, part));
  return 1;
}

static const eq_lua_doc docs[] = {
    {"action.trivial", "group, {dim=-1, size} -> action",
     "Every element leaves tensors as they are; with a size it can be part of a sum.",
     "local c4 = equi.group.cyclic(4)\n"
     "print(equi.action.trivial(c4)(\"r\", equi.ones(2)):sum():item())  --> 2.0"},
    {"action.permutation", "group, permutations, {dim=-1} -> action",
     "Permutes the positions of a dim: the permutation of g sends position i to entry i.\n"
     "One permutation per generator (extended to the group and verified) or one per element;\n"
     "none when the group consists of permutations itself.",
     "local c3 = equi.group.cyclic(3)\n"
     "local act = equi.action.permutation(c3, {{2, 3, 1}})\n"
     "print(act(\"r\", equi.tensor{5, 6, 7})[1]:item())  --> 7.0"},
    {"action.regular", "group, {dim=-1} -> action",
     "The regular representation: dim has one position per element, g sends that of h to that of\n"
     "g * h.",
     "print(equi.action.regular(equi.group.dihedral(3)):verify())  --> true"},
    {"action.matrices", "group, matrices, {dim=-1} -> action",
     "Multiplies along a dim, y[.., i, ..] = sum_j M[i][j] x[.., j, ..]. One matrix (rows, or a "
     "2-D\n"
     "tensor) per generator or per element, a homomorphism within 1e-6; none when the group\n"
     "consists of matrices itself. exact is false when the deviation passes 1e-12.",
     "local c4 = equi.group.cyclic(4)\n"
     "local act = equi.action.matrices(c4, {{{0, -1}, {1, 0}}})\n"
     "print(act.exact)  --> true"},
    {"action.grid", "group, {dims={-2, -1}, generators} -> action",
     "Turns and flips a grid of pixels, exactly. generators names the move of each generator:\n"
     "identity rot90 rot180 rot270 hflip vflip transpose antitranspose; by default rot90 for\n"
     "cyclic(4), rot90 hflip for dihedral(4), hflip for cyclic(2), hflip vflip for klein. Turns "
     "are\n"
     "counterclockwise; quarter turns need a square.",
     "local act = equi.action.grid(equi.group.cyclic(4))\n"
     "print(act(\"r\", equi.tensor{{0, 1}, {2, 3}})[{1, 1}]:item())  --> 1.0"},
    {"action.sum", "list -> action",
     "The direct sum: the parts move consecutive blocks of positions along one dim.",
     "local c2 = equi.group.cyclic(2)\n"
     "local part = equi.action.regular(c2)\n"
     "print(equi.action.sum{part, equi.action.trivial(c2, {size = 3})}.size)  --> 5"},
    {"action.chain", "list -> action",
     "Actions of one group on one tensor, the last one first; they must commute. Feature maps of "
     "a\n"
     "group convolution move so: the grid turns and the channels permute.",
     "local c4 = equi.group.cyclic(4)\n"
     "local act = equi.action.chain{equi.action.grid(c4), equi.action.regular(c4, {dim = -3})}\n"
     "print(act:verify())  --> true"},
    {"action.tuple", "list -> action",
     "Actions of one group on a list of tensors: act(g, {x, y}) is {a(g, x), b(g, y)}.",
     "local c2 = equi.group.cyclic(2)\n"
     "local a = equi.action.regular(c2)\n"
     "local y = equi.action.tuple{a, a}(\"r\", {equi.tensor{1, 2}, equi.tensor{3, 4}})\n"
     "print(y[2][1]:item())  --> 4.0"},
    {"action.product", "a, b, ... -> action",
     "The action of the product of the groups: (g, h) x = a(g, b(h, x)); a * b is the same. The\n"
     "parts must commute.",
     "local c2 = equi.group.cyclic(2)\n"
     "local flip = equi.action.regular(c2)\n"
     "print((flip * equi.action.regular(c2, {dim = -2})).group.order)  --> 4"},
    {"action:verify", "x -> true",
     "Checks on all pairs that g (h x) = (g h) x and that the identity moves nothing, on x or a\n"
     "random tensor; raises with the pair that fails.",
     "print(equi.action.grid(equi.group.dihedral(4)):verify())  --> true"},
    {"action:orbit", "x -> tensor", "g x for every g, stacked on a new first dim.",
     "print(equi.action.regular(equi.group.cyclic(3)):orbit(equi.tensor{1, 2, 3}).shape[1])  --> "
     "3"},
    {"action:restrict", "subgroup -> action", "The same moves by the elements of a subgroup only.",
     "local d4 = equi.group.dihedral(4)\n"
     "print(equi.action.grid(d4):restrict(d4:subgroup{\"r\"}).group.order)  --> 4"},
    {"action.vocabulary", "group, {size, words, generators, swaps, what=\"ids\", dim=-1} -> action",
     "Maps the tokens of a vocabulary. what = \"ids\" moves the values of i64 tensors, \"logits\" "
     "the\n"
     "positions of a dim. Give the size or the list of words. generators holds one map per\n"
     "generator: a list of cycles of ids or words, the list of all images, or a table {from = "
     "to};\n"
     "what is not named stays, and so does 0 (padding). swaps = cycles is short for generators = "
     "{cycles}. A map that is "
     "no\n"
     "bijection is refused, naming the words.",
     "local act = equi.action.vocabulary(equi.group.cyclic(2),\n"
     "  {words = {\"walk\", \"run\", \"jump\"}, swaps = {{\"run\", \"jump\"}}})\n"
     "print(act(\"r\", equi.tensor({2, 1}, {dtype = \"i64\"}))[1]:item())  --> 3"},
    {NULL, NULL, NULL, NULL}};

void eq_lua_action_docs(lua_State *L) { eq_lua_add_docs(L, docs); }

void eq_lua_action_constructors(lua_State *L) {
  static const luaL_Reg list[] = {{"trivial", trivial}, {"permutation", permutation},
                                  {"regular", regular}, {"matrices", matrices},
                                  {"grid", grid},       {"sum", sum},
                                  {"chain", chain},     {"tuple", tuple},
                                  {"product", product}, {NULL, NULL}};
  luaL_setfuncs(L, list, 0);
}
