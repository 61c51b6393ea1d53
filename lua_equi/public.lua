--- Everything that a user reaches below equi, with the name under which it is reached.
--
-- Names as one writes them behind "equi.": nn.linear, data.scan.load. The prompt's help, the
-- reference and the spec that looks for undocumented functions go by these names, not by those
-- inside of files. NOT what objects have: methods of tensors, modules, readers.
local public = {}

-- What the C core shares with the files beside it: no part of the interface.
local INTERNAL = {core = true, docs = true, methods = true, ops = true, equitune_methods = true}

--- The names in a table of ours, those included that load when first used; sorted.
---@param t table
---@return string[]
--- Example:
---     print(#require("lua_equi.public").names(equi.data) > 5)   --> true
function public.names(t)
  local meta, seen, names = getmetatable(t) or {}, {}, {}
  local function add(name)
    if type(name) ~= "string" or seen[name] or name:sub(1, 1) == "_" then return end
    seen[name] = true
    names[#names + 1] = name
  end
  for name in pairs(t) do add(name) end
  for name in pairs(rawget(meta, "lazy") or {}) do add(name) end
  for _, name in ipairs(rawget(meta, "names") and rawget(meta, "names")() or {}) do add(name) end
  table.sort(names)
  return names
end

local function is_module(t)
  for _, v in pairs(package.loaded) do
    if rawequal(v, t) then return true end
  end
  local meta = getmetatable(t)
  return type(meta) == "table" and rawget(meta, "title") ~= nil -- made by lua_equi/strict.lua
end

--- Calls f(name, value, owner) for everything public, modules before what is in them.
---@param f function
--- Example:
---     local count = 0
---     require("lua_equi.public").walk(function(name)
---       if name == "nn.linear" then count = count + 1 end
---     end)
---     print(count)   --> 1
function public.walk(f)
  local seen = {}
  local function visit(t, path)
    seen[t] = true
    for _, key in ipairs(public.names(t)) do local _ = t[key] end -- what loads may bring others
    for _, key in ipairs(public.names(t)) do
      if path ~= "" or not INTERNAL[key] then
        local value = t[key]
        f(path .. key, value, t)
        if type(value) == "table" and not seen[value] and is_module(value) then
          visit(value, path .. key .. ".")
        end
      end
    end
  end
  visit(require "lua_equi", "")
end

local known -- value -> name, made at the first question

--- The name of a function or table, the shortest where there are several; nil if it is not public.
---@param value any
---@return string? name
--- Example:
---     print(require("lua_equi.public").name(equi.nn.linear))   --> nn.linear
function public.name(value)
  if not known then
    known = {}
    public.walk(function(name, v)
      local fits = type(v) == "function" or type(v) == "table"
      if fits and (not known[v] or #name < #known[v]) then known[v] = name end
    end)
  end
  return value ~= nil and known[value] or nil
end

return public
