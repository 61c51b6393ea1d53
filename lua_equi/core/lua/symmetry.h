/* symmetry.h -- what the bindings of groups, actions and equitune share. */
#ifndef LUA_SYMMETRY_H
#define LUA_SYMMETRY_H
#include "group/group.h"
#include "lua_equi.h"

#define EQ_GROUP "equi.Group"
#define EQ_ELEMENT "equi.Element"

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
#endif
