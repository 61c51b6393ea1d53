/* group_make.c -- the constructors of equi.group: read the arguments, push the empty userdata,
 * build. Lists become 0-based arrays in memory that Lua owns, so that nothing leaks when a later
 * argument raises. */
#include "symmetry.h"

static int keep(lua_State *L) {
  eq_lua_pressure(L);
  return 1;
}

static int size_argument(lua_State *L, const char *who) {
  int64_t n = eq_lua_checkint(L, 1, who, "n");
  return n > INT32_MAX ? INT32_MAX : n < -1 ? -1 : (int)n;
}

static int cyclic(lua_State *L) {
  int n = size_argument(L, "group.cyclic");
  eq_group **box = eq_lua_newgroup(L);
  EQ_LUA_MAKE(L, "group.cyclic", *box, eq_group_cyclic(n));
  return keep(L);
}

static int dihedral(lua_State *L) {
  int n = size_argument(L, "group.dihedral");
  eq_group **box = eq_lua_newgroup(L);
  EQ_LUA_MAKE(L, "group.dihedral", *box, eq_group_dihedral(n));
  return keep(L);
}

static int symmetric(lua_State *L) {
  int n = size_argument(L, "group.symmetric");
  eq_group **box = eq_lua_newgroup(L);
  EQ_LUA_MAKE(L, "group.symmetric", *box, eq_group_symmetric(n, false));
  return keep(L);
}

static int alternating(lua_State *L) {
  int n = size_argument(L, "group.alternating");
  eq_group **box = eq_lua_newgroup(L);
  EQ_LUA_MAKE(L, "group.alternating", *box, eq_group_symmetric(n, true));
  return keep(L);
}

static int quaternion(lua_State *L) {
  eq_group **box = eq_lua_newgroup(L);
  EQ_LUA_MAKE(L, "group.quaternion", *box, eq_group_quaternion());
  return keep(L);
}

static int klein(lua_State *L) {
  eq_group **box = eq_lua_newgroup(L);
  EQ_LUA_MAKE(L, "group.klein", *box, eq_group_klein());
  return keep(L);
}

int eq_lua_group_product(lua_State *L) {
  static const char who[] = "group.product";
  int n = lua_gettop(L);
  if (n == 0) return luaL_error(L, "%s: give at least one group", who);
  eq_group **factor = eq_lua_scratch(L, (size_t)n * sizeof *factor);
  lua_createtable(L, n, 0); /* keeps the factors, and their elements as they are, alive */
  for (int i = 1; i <= n; i++) {
    factor[i - 1] = eq_lua_checkgroup(L, i, who, "each factor");
    lua_pushvalue(L, i);
    lua_rawseti(L, -2, i);
  }
  eq_group **box = eq_lua_newgroup(L);
  EQ_LUA_MAKE(L, who, *box, eq_group_product(n, factor));
  lua_rotate(L, -2, 1);
  lua_setiuservalue(L, -2, EQ_UV_KIN);
  return keep(L);
}

/* The images of the elements of n under element a of h: a function's results, or row a of a list.
 */
static void read_automorphism(lua_State *L, const char *who, int a, const eq_group *n, int *out) {
  bool call = lua_isfunction(L, 3);
  if (!call) {
    lua_geti(L, 3, a + 1);
    if (eq_lua_list(L, -1, who, "each automorphism") != n->order)
      luaL_error(L, "%s: automorphism %d lists %d images; %s has %d elements", who, a + 1,
                 (int)luaL_len(L, -1), n->title, n->order);
  }
  for (int x = 0; x < n->order; x++) {
    if (call) {
      lua_pushvalue(L, 3);
      eq_lua_pushelement(L, 2, a);
      eq_lua_pushelement(L, 1, x);
      lua_call(L, 2, 1);
    } else {
      lua_geti(L, -1, x + 1);
    }
    out[x] = eq_lua_checkelement(L, -1, 1, who);
    lua_pop(L, 1);
  }
  if (!call) lua_pop(L, 1);
}

static int semidirect(lua_State *L) {
  static const char who[] = "group.semidirect";
  eq_group *n = eq_lua_checkgroup(L, 1, who, "the normal factor");
  eq_group *h = eq_lua_checkgroup(L, 2, who, "the acting factor");
  lua_settop(L, 3);
  if (!lua_isfunction(L, 3) && eq_lua_list(L, 3, who, "the action") != h->order)
    return luaL_error(L, "%s: %d automorphisms listed; %s has %d elements, each needs one", who,
                      (int)luaL_len(L, 3), h->title, h->order);
  int *phi = eq_lua_scratch(L, (size_t)n->order * (size_t)h->order * sizeof *phi);
  for (int a = 0; a < h->order; a++) read_automorphism(L, who, a, n, phi + a * n->order);
  eq_group **box = eq_lua_newgroup(L);
  EQ_LUA_MAKE(L, who, *box, eq_group_semidirect(n, h, phi));
  return keep(L);
}

/* ---- user-made ---- */

static int read_limit(lua_State *L, int i, const char *who) {
  static const char *const keys[] = {"limit", NULL};
  if (lua_isnoneornil(L, i)) return EQ_GROUP_MAX;
  if (!lua_istable(L, i))
    return luaL_error(L, "%s: options must be a table, got %s", who, eq_lua_kind(L, i));
  eq_lua_check_keys(L, i, who, keys);
  int64_t limit = EQ_GROUP_MAX;
  if (lua_getfield(L, i, "limit") != LUA_TNIL) limit = eq_lua_checkint(L, -1, who, "limit");
  lua_pop(L, 1);
  return limit > INT32_MAX ? INT32_MAX : limit < 0 ? 0 : (int)limit;
}

/* The list at place 1 and the length of its first member, all of which must agree. */
static int read_lengths(lua_State *L, const char *who, const char *what, int *n) {
  *n = eq_lua_list(L, 1, who, "the argument");
  if (*n == 0) return luaL_error(L, "%s: the list is empty; give at least one %s", who, what);
  int length = 0;
  for (int i = 1; i <= *n; i++) {
    lua_geti(L, 1, i);
    int len = eq_lua_list(L, -1, who, what);
    if (i == 1) length = len;
    if (len != length)
      return luaL_error(L, "%s: %s %d has %d entries, %s 1 has %d", who, what, i, len, what,
                        length);
    lua_pop(L, 1);
  }
  if (length == 0) return luaL_error(L, "%s: %s 1 is empty", who, what);
  return length;
}

static int from_permutations(lua_State *L) {
  static const char who[] = "group.from_permutations";
  int n, degree = read_lengths(L, who, "permutation", &n), limit = read_limit(L, 2, who);
  int32_t *perm = eq_lua_scratch(L, (size_t)n * (size_t)degree * sizeof *perm);
  for (int k = 0; k < n; k++) {
    lua_geti(L, 1, k + 1);
    for (int i = 0; i < degree; i++) {
      lua_geti(L, -1, i + 1);
      int64_t v = eq_lua_checkint(L, -1, who, "each entry of a permutation");
      perm[k * degree + i] = v < 1 || v > INT32_MAX ? -1 : (int32_t)v - 1;
      if (v < 1 || v > degree)
        return luaL_error(L, "%s: permutation %d sends %d to %I; its numbers are 1 to %d", who,
                          k + 1, i + 1, (LUAI_UACINT)v, degree);
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
  eq_group **box = eq_lua_newgroup(L);
  EQ_LUA_MAKE(L, who, *box, eq_group_from_permutations(n, degree, perm, limit));
  return keep(L);
}

static int from_matrices(lua_State *L) {
  static const char who[] = "group.from_matrices";
  int limit = read_limit(L, 2, who), n;
  lua_settop(L, 1);
  int64_t dim;
  const double *matrix = eq_lua_matrices(L, 1, who, &n, &dim);
  if (dim > 512) return luaL_error(L, "%s: matrices of %d rows; at most 512", who, (int)dim);
  eq_group **box = eq_lua_newgroup(L);
  EQ_LUA_MAKE(L, who, *box, eq_group_from_matrices(n, (int)dim, matrix, limit));
  return keep(L);
}

static int from_table(lua_State *L) {
  static const char who[] = "group.from_table";
  int n = eq_lua_list(L, 1, who, "the table");
  if (n < 1 || n > EQ_GROUP_MAX)
    return luaL_error(L, "%s: the table has %d rows; groups have 1 to %d elements", who, n,
                      EQ_GROUP_MAX);
  int64_t *table = eq_lua_scratch(L, (size_t)n * (size_t)n * sizeof *table);
  for (int a = 0; a < n; a++) {
    lua_geti(L, 1, a + 1);
    int columns = eq_lua_list(L, -1, who, "each row");
    if (columns != n)
      return luaL_error(L, "%s: row %d has %d entries, the table has %d rows; it must be square",
                        who, a + 1, columns, n);
    for (int b = 0; b < n; b++) {
      lua_geti(L, -1, b + 1);
      table[a * n + b] = eq_lua_checkint(L, -1, who, "each entry") - 1;
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
  eq_group **box = eq_lua_newgroup(L);
  EQ_LUA_MAKE(L, who, *box, eq_group_from_table(n, table));
  return keep(L);
}

static const eq_lua_doc docs[] = {
    {"group.cyclic", "n -> group",
     "The cyclic group of n elements e r r2 ...: rotations of a regular n-gon.\n"
     "n is 1 to 5,040.",
     "local g = equi.group.cyclic(4)\n"
     "print(g)                  --> cyclic(4), order 4: e r r2 r3\n"
     "print(g[2] * g \"r3\")      --> e"},
    {"group.dihedral", "n -> group",
     "The symmetries of a regular n-gon: rotations r^k, then reflections s r^k, with s r s = "
     "r^-1.\nIt has 2n elements; n is 1 to 2,520.",
     "local g = equi.group.dihedral(4)\n"
     "print(g)                  --> dihedral(4), order 8: e r r2 r3 s sr sr2 sr3\n"
     "local r, s = g \"r\", g \"s\"\n"
     "print(s * r * s == r ^ -1)  --> true"},
    {"group.symmetric", "n -> group",
     "All permutations of n things, in lexicographic order, named by their cycles; n is 1 to 7.\n"
     "(g * h) sends i to g(h(i)).",
     "print(equi.group.symmetric(3))  --> symmetric(3), order 6: e (2 3) (1 2) (1 2 3) (1 3 2) "
     "(1 3)"},
    {"group.alternating", "n -> group", "The even permutations of n things; n is 1 to 7.",
     "print(equi.group.alternating(3))  --> alternating(3), order 3: e (1 2 3) (1 3 2)"},
    {"group.quaternion", "-> group", "The quaternion group of order 8: 1 -1 i -i j -j k -k.",
     "local q = equi.group.quaternion()\n"
     "print(q \"i\" * q \"j\", q \"j\" * q \"i\")  --> k -k"},
    {"group.klein", "-> group", "Klein's four-group e a b ab: two commuting swaps.",
     "print(equi.group.klein().is_abelian)  --> true"},
    {"group.product", "g, h, ... -> group",
     "The direct product; g * h is the same. Elements are tuples, the last factor counts fastest.\n"
     "Group.factors lists the factors, element.parts the coordinates.",
     "local p = equi.group.cyclic(2) * equi.group.cyclic(3)\n"
     "print(p.name, p.order)    --> cyclic(2) x cyclic(3) 6\n"
     "print(p:element{\"r\", \"r2\"})  --> (r, r2)"},
    {"group.semidirect", "n, h, action -> group",
     "Pairs with (n1, h1)(n2, h2) = (n1 h1.n2, h1 h2), where h acts on n by automorphisms.\n"
     "action is a function (h, n) -> element of n, or a list that holds for each element of h the\n"
     "list of images of the elements of n. Raises when a map is no automorphism or the maps do "
     "not\n"
     "multiply like h, and says at which elements.",
     "local c3, c2 = equi.group.cyclic(3), equi.group.cyclic(2)\n"
     "local g = equi.group.semidirect(c3, c2, function(h, n)\n"
     "  return h == c2.identity and n or n ^ -1\n"
     "end)\n"
     "print(g.order, g.is_abelian)  --> 6 false"},
    {"group.from_permutations", "list, {limit=5040} -> group",
     "The group that permutations generate. A permutation is a list: entry i is where i goes.\n"
     "Raises when there are more than `limit` elements.",
     "local g = equi.group.from_permutations{{2, 1, 3}, {2, 3, 1}}\n"
     "print(g.order, g[2])      --> 6 (1 2)"},
    {"group.from_matrices", "list, {limit=5040} -> group",
     "The group that square matrices generate; entries are equal within 1e-6 of the largest.\n"
     "Raises when it does not close within `limit` elements or a matrix has no inverse. Elements\n"
     "are named by words (a2b: the first generator twice, then the second).",
     "local g = equi.group.from_matrices{{{0, -1}, {1, 0}}}\n"
     "print(g)                  --> from_matrices(2 x 2), order 4: e a a2 a3"},
    {"group.from_table", "rows -> group",
     "A group from its Cayley table: entry [a][b] is the number of a * b. Every axiom is checked,\n"
     "and the message names what fails and where.",
     "print(equi.group.from_table{{1, 2}, {2, 1}})  --> from_table(order 2), order 2: 1 2"},
    {"group:element", "what -> element",
     "The element with a name, a number from 1, or (products) a list of parts; g \"r\" and g[2] "
     "are\n"
     "short for it. An element of a subgroup or of the parent is carried over.",
     "local g = equi.group.cyclic(4)\nprint(g:element \"r2\", g \"r\" ^ 2 == g[3])  --> r2 true"},
    {"group:elements", "-> list", "All elements, in the order of their numbers.",
     "print(#equi.group.symmetric(4):elements())  --> 24"},
    {"group:iter", "-> iterator", "For loops over the elements.",
     "for g in equi.group.cyclic(3):iter() do print(g.order) end\n--> 1\n--> 3\n--> 3"},
    {"group:subgroup", "generators -> group",
     "The subgroup that a list of elements generates; its .parent is the group. Elements keep "
     "their\nnames.",
     "local d = equi.group.dihedral(4)\n"
     "print(d:subgroup{\"r2\", \"s\"})  --> <r2, s> in dihedral(4), order 4: e r2 s sr2"},
    {"group:subgroups", "-> list",
     "All subgroups by growing order; for groups of up to 200 elements.",
     "print(#equi.group.symmetric(4):subgroups())  --> 30"},
    {"group:center", "-> group", "The subgroup of the elements that commute with all.",
     "print(equi.group.quaternion():center().order)  --> 2"},
    {"group:classes", "-> list of lists", "The conjugacy classes.",
     "print(#equi.group.symmetric(4):classes())  --> 5"},
    {"group:cosets", "subgroup, side=\"left\" -> list of lists",
     "The left cosets gH, or the right ones Hg.",
     "local d = equi.group.dihedral(4)\nprint(#d:cosets(d:subgroup{\"r\"}))  --> 2"},
    {"group:contains", "element -> boolean",
     "Whether an element lies in the group; elements of a parent or subgroup count.",
     "local d = equi.group.dihedral(4)\nprint(d:subgroup{\"r\"}:contains(d \"s\"))  --> false"},
    {"group:is_subgroup", "of -> boolean", "Whether all elements of this group lie in the other.",
     "local d = equi.group.dihedral(4)\nprint(d:subgroup{\"r\"}:is_subgroup(d))  --> true"},
    {"group:is_homomorphism", "target, map -> boolean, why",
     "Whether map(a * b) = map(a) * map(b) always. map is a function or the list of images.",
     "local c4, c2 = equi.group.cyclic(4), equi.group.cyclic(2)\n"
     "print(c4:is_homomorphism(c2, {1, 2, 1, 2}))  --> true"},
    {"group:table", "-> rows", "The Cayley table: entry [a][b] is the number of a * b.",
     "print(equi.group.cyclic(3):table()[2][3])  --> 1"},
    {NULL, NULL, NULL, NULL}};

void eq_lua_group_constructors(lua_State *L) {
  static const luaL_Reg list[] = {{"cyclic", cyclic},
                                  {"dihedral", dihedral},
                                  {"symmetric", symmetric},
                                  {"alternating", alternating},
                                  {"quaternion", quaternion},
                                  {"klein", klein},
                                  {"product", eq_lua_group_product},
                                  {"semidirect", semidirect},
                                  {"from_permutations", from_permutations},
                                  {"from_matrices", from_matrices},
                                  {"from_table", from_table},
                                  {NULL, NULL}};
  luaL_setfuncs(L, list, 0);
}

void eq_lua_group_docs(lua_State *L) { eq_lua_add_docs(L, docs); }
