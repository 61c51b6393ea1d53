-- The rock: installed into an empty tree, it must work from any folder, without the checkout.
-- Compiling is what takes the time; with ccache the checkout's own build has done it already.
local rockspec = "rockspec/lua_equi-scm-1.rockspec"

local function run(command)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local text = pipe:read "a"
  return pipe:close() == true, text
end

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "a"
  file:close()
  return text
end

local function list(command)
  local _, text = run(command)
  local found = {}
  for line in text:gmatch "[^\n]+" do found[#found + 1] = line end
  return found
end

describe("the rock #install", function()
  local tree, elsewhere, installed, log, core

  -- A Lua that knows the tree and nothing of the checkout.
  local function lua(code)
    local script = elsewhere .. "/script.lua"
    local file = assert(io.open(script, "w"))
    file:write(code)
    file:close()
    local share, lib = tree .. "/share/lua/5.4/", tree .. "/lib/lua/5.4/"
    local command = "cd %s && env LUA_PATH_5_4='%s?.lua;%s?/init.lua' LUA_CPATH_5_4='%s?.so' %s %s"
    return run(command:format(elsewhere, share, share, lib, arg[-1] or "lua5.4", script))
  end

  setup(function()
    if not run "command -v luarocks" then return end
    core = read "lua_equi/core.so"
    local top = select(2, run "mktemp -d"):gsub("%s+$", "")
    tree, elsewhere = top .. "/tree", top .. "/elsewhere"
    run("mkdir " .. elsewhere)
    -- The same compiler and flags as the plain build, so that ccache knows the objects.
    local command = "env MAKEFLAGS=-j2 luarocks --lua-version 5.4 make %s --tree %s CC=%s CFLAGS="
    installed, log = run(command:format(rockspec, tree, os.getenv "CC" or "cc"))
  end)

  teardown(function()
    if tree then run("rm -rf " .. tree:gsub("/tree$", "")) end
  end)

  before_each(function()
    if not tree then pending "the rock: luarocks is absent" end
    assert(installed, log)
  end)

  it("is loaded and run from another folder", function()
    local ok, text = lua [[
      local equi = require "lua_equi"
      print(type(equi), package.searchpath("lua_equi.core", package.cpath))
    ]]
    assert(ok, text)
    assert.equal("table\t" .. tree .. "/lib/lua/5.4/lua_equi/core.so\n", text)
  end)

  it("has every module of the library and every model", function()
    local files = list "find lua_equi models -name '*.lua'"
    assert(#files > 0)
    for _, file in ipairs(files) do
      local to = tree .. "/share/lua/5.4/" .. file:gsub("^models/", "lua_equi/models/")
      assert.equal(read(file), read(to), to)
    end
  end)

  it("has the backends", function()
    for _, source in ipairs(list "find lua_equi -path '*/backends/*.c'") do
      assert(read(tree .. "/lib/lua/5.4/" .. source:gsub("%.c$", ".so")), source)
    end
  end)

  it("leaves the checkout's own build alone", function()
    assert(core == read "lua_equi/core.so", "installing changed lua_equi/core.so")
  end)

  it("needs nothing but Lua 5.4, OpenBLAS, libpng and zlib", function()
    local fields = {}
    assert(loadfile(rockspec, "t", fields))()
    assert.same({"lua >= 5.4, < 5.5"}, fields.dependencies)
    local libraries = {OPENBLAS = {library = "openblas"}, PNG = {library = "png"},
      ZLIB = {library = "z"}}
    assert.same(libraries, fields.external_dependencies)
  end)
end)
