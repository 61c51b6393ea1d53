/* folder.c (binding) -- the names in a folder, for data/image_folder.lua: core.list_folder. Links
 * are followed; what is neither a file nor a folder, or has a link that leads nowhere, is left out.
 * NOT sorted: folders have no order that two systems agree on. */
#include "lua_equi.h"
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define FOLDER "equi.Folder"

static int close_folder(lua_State *L) {
  DIR **box = lua_touserdata(L, 1);
  if (*box) closedir(*box);
  *box = NULL;
  return 0;
}

static int push_failure(lua_State *L, const char *path) {
  const int why = errno;
  lua_pushnil(L);
  lua_pushfstring(L, "cannot list %s: %s", path, strerror(why));
  return 2;
}

/* Appends the string on top to the list at place i. */
static void append(lua_State *L, int i) { lua_rawseti(L, i, (lua_Integer)lua_rawlen(L, i) + 1); }

/* list_folder(path) -> files, folders | nil, message: two lists of names, in any order */
static int list_folder(lua_State *L) {
  size_t n = 0;
  const char *path = lua_type(L, 1) == LUA_TSTRING ? lua_tolstring(L, 1, &n) : NULL;
  if (!n || strlen(path) != n) return luaL_error(L, "list_folder: needs the name of a folder");
  lua_settop(L, 1);
  DIR **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, FOLDER);
  lua_newtable(L);
  lua_newtable(L);
  if (!(*box = opendir(path))) return push_failure(L, path);
  for (;;) {
    struct stat st;
    errno = 0;
    const struct dirent *entry = readdir(*box);
    if (!entry && errno) return push_failure(L, path);
    if (!entry) break;
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    lua_pushstring(L, entry->d_name);
    const char *whole = lua_pushfstring(L, "%s/%s", path, lua_tostring(L, -1));
    const bool found = stat(whole, &st) == 0;
    lua_pop(L, 1);
    if (found && S_ISREG(st.st_mode))
      append(L, 3);
    else if (found && S_ISDIR(st.st_mode))
      append(L, 4);
    else
      lua_pop(L, 1);
  }
  closedir(*box);
  *box = NULL;
  return 2;
}

void eq_lua_folder(lua_State *L) {
  if (luaL_newmetatable(L, FOLDER)) {
    lua_pushcfunction(L, close_folder);
    lua_setfield(L, -2, "__gc");
  }
  lua_pop(L, 1);
  lua_pushcfunction(L, list_folder);
  lua_setfield(L, -2, "list_folder");
}
