rockspec_format = "3.0"
package = "lua_equi"
version = "scm-1"
source = {url = "git+file://."}
description = {
  summary = "Group-equivariant fine-tuning of pretrained models: tensors, groups, actions, equitune",
  detailed = [[
Makes a pretrained model equivariant to a finite group by averaging over the orbit of its input,
and fine-tunes it so. A C core with tensors, automatic differentiation and finite groups, and Lua
above it: layers, optimizers, training, data.]],
  license = "MIT",
  labels = {"equivariance", "neural-network", "tensor", "autograd"},
}
dependencies = {"lua >= 5.4, < 5.5"}
-- Only the libraries: Debian keeps cblas.h in a folder that LuaRocks does not search; the Makefile
-- finds it, or says which package has it. It also finds libjpeg, which is optional and so not here.
external_dependencies = {
  OPENBLAS = {library = "openblas"},
  PNG = {library = "png"},
  ZLIB = {library = "z"},
}
build = {
  type = "make",
  -- A folder of its own: installing from a checkout leaves the checkout's build alone.
  variables = {BUILD = "build-rock", CC = "$(CC)", LUA = "$(LUA)", LUA_INCDIR = "$(LUA_INCDIR)"},
  build_variables = {CFLAGS = "$(CFLAGS) -O3 -g", LIBFLAG = "$(LIBFLAG)"},
  install_variables = {
    CFLAGS = "$(CFLAGS) -O3 -g",
    LIBFLAG = "$(LIBFLAG)",
    PREFIX = "$(PREFIX)",
    LUADIR = "$(LUADIR)",
    LIBDIR = "$(LIBDIR)",
  },
}
