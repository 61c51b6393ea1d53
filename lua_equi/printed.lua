--- Plain tables that print their contents at the prompt instead of an address.
--
-- Only printing changes: pairs, # and equality are those of the table without it. NOT for tables
-- that are kept in modules, where a metatable marks a module.
local printed = {}

local function shown(v)
  if type(v) ~= "table" or getmetatable(v) then return tostring(v) end
  local names, parts = {}, {}
  for k in pairs(v) do names[#names + 1] = tostring(k) end
  table.sort(names)
  for i, k in ipairs(names) do parts[i] = k .. " " .. tostring(v[k] or v[tonumber(k)]) end
  return table.concat(parts, ", ")
end

local fields = {}

function fields:__tostring()
  local names, out = {}, {}
  for k in pairs(self) do names[#names + 1] = k end
  table.sort(names)
  for i, k in ipairs(names) do out[i] = ("%-12s %s"):format(k, shown(self[k])) end
  return table.concat(out, "\n")
end

local lines = {}

function lines:__tostring() return table.concat(self, "\n") end

--- Lets a table with named fields print as one field a line, sorted.
---@param t table
---@return table t
--- Example:
---     print(require("lua_equi.printed").fields {step = 3})   --> step         3
function printed.fields(t) return setmetatable(t, fields) end

--- Lets a list of strings print as one string a line.
---@param t string[]
---@return string[] t
--- Example:
---     print(require("lua_equi.printed").lines {"one"})   --> one
function printed.lines(t) return setmetatable(t, lines) end

return printed
