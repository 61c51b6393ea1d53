/* symmetry.h -- what the bindings of groups, actions and equitune share. */
#ifndef LUA_SYMMETRY_H
#define LUA_SYMMETRY_H
#include "group/action.h"
#include "lua_equi.h"

#define EQ_GROUP "equi.Group"
#define EQ_ELEMENT "equi.Element"
#define EQ_ACTION "equi.Action"

/* A group userdata is an eq_group*; its user values are the cache of its elements (so that one
 * element is one Lua value, usable as a key), its parent or factors. An element userdata is its
 * number from 0; its user value is the group's userdata. */
enum { EQ_UV_ELEMENTS = 1, EQ_UV_KIN = 2 };

/* Builds twice when memory was short the first time; raises when there is no result. */
#define EQ_LUA_MAKE(L, who, result, expression)                                                    \
  do {                                                                                             \
    (result) = (expression);                                                                       \
    if (!(result) && eq_lua_retry(L, (int)eq_error.status)) (result) = (expression);               \
    if (!(result)) eq_lua_raise(L, who);                                                           \
  } while (0)

eq_group **eq_lua_newgroup(lua_State *L); /* pushes an empty box; fill it before anything raises */
eq_group *eq_lua_togroup(lua_State *L, int i); /* NULL when it is none */
eq_group *eq_lua_checkgroup(lua_State *L, int i, const char *who, const char *name);
void eq_lua_pushelement(lua_State *L, int group, int a); /* `group`: stack place of the userdata */
/* The group of the element at place i, pushed; its number in *a. */
eq_group *eq_lua_element_group(lua_State *L, int i, int *a, const char *who);
/* Element a of `from` in `to`, through the embedding of a subgroup, down or up. -1: the groups are
 * strangers; -2: it lies outside the subgroup. */
int eq_lua_carry(const eq_group *from, int a, const eq_group *to);
/* An element of the group at stack place `group` from: an element of it, of a subgroup or of the
 * parent, a name, a number from 1, or for products a list of parts. From 0; raises. */
int eq_lua_checkelement(lua_State *L, int i, int group, const char *who);
/* Scratch memory that Lua frees; left on the stack. */
void *eq_lua_scratch(lua_State *L, size_t bytes);
int eq_lua_list(lua_State *L, int i, const char *who, const char *name); /* length of a table */

int eq_lua_immutable(lua_State *L);           /* __newindex */
void eq_lua_element(lua_State *L);            /* the metatable of elements */
void eq_lua_group_constructors(lua_State *L); /* into the table on top */
void eq_lua_group_docs(lua_State *L);         /* module table on top */
int eq_lua_group(lua_State *L);

/* An action userdata is an eq_action*; its user values are its group's userdata and, for a tuple
 * (whose eq_action* is NULL), the list of its actions. */
enum { EQ_UV_GROUP = 1, EQ_UV_TUPLE = 2 };
eq_action **eq_lua_newaction(lua_State *L, int group); /* pushes an empty box */
eq_action *eq_lua_toaction(lua_State *L, int i);       /* NULL when it is none, or a tuple */
eq_action *eq_lua_checkaction(lua_State *L, int i, const char *who, const char *name);
int eq_lua_group_product(lua_State *L); /* the Lua function equi.group.product */
void eq_lua_action_constructors(lua_State *L);
void eq_lua_vocabulary(lua_State *L); /* equi.action.vocabulary into the table on top */
void eq_lua_action_docs(lua_State *L);
/* The field `key` of the options at place i as a dim from 0 or negative. */
int eq_lua_dim_option(lua_State *L, int i, const char *key, int otherwise, const char *who);
/* The list of square matrices (rows, or 2-D tensors) at place i; memory that Lua owns. */
const double *eq_lua_matrices(lua_State *L, int i, const char *who, int *n, int64_t *size);
/* Raises unless place i is nil or a table with these keys only; true when it is a table. */
bool eq_lua_options(lua_State *L, int i, const char *who, const char *const *keys);
int eq_lua_action(lua_State *L);
int eq_lua_equitune(lua_State *L);
#endif
