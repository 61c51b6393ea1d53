--- Writes the reference and the editor's annotations:
---     lua5.4 scripts/doc/run.lua [--root folder]
--
-- doc/reference.md and lua_equi/meta/core.lua, below the root (the current folder). Everything in
-- them comes from the rows of ops, the tables of C functions and the docstrings of Lua files; the
-- same sources give the same bytes. What ops can be differentiated how often is tried out.
local here = arg[0]:match "^(.*)[/\\]" or "."
package.path = here .. "/?.lua;" .. package.path
local equi = require "lua_equi"
local reference, annotations = require "reference", require "annotations"

local function fail(...)
  io.stderr:write(string.format(...), "\n")
  os.exit(1)
end

local root = "."
if arg[1] == "--root" and arg[2] and not arg[3] then
  root = arg[2]
elseif arg[1] then
  fail("doc: no option \"%s\"; call it as lua5.4 scripts/doc/run.lua [--root folder]", arg[1])
end

local function write(name, text)
  local path = root .. "/" .. name
  os.execute(("mkdir -p '%s'"):format(path:match "^(.*)/"))
  local f, message = io.open(path, "w")
  if not f then fail("doc: %s", message) end
  f:write((text:gsub("[ \t]+\n", "\n"):gsub("\n+$", "") .. "\n"))
  f:close()
end

equi.threads(1)
write("doc/reference.md", reference())
write("lua_equi/meta/core.lua", annotations())
