--- Modules that answer a misspelt name with what was meant, instead of a silent nil.
--
-- A nil from a module shows up later, as "attempt to call a nil value" in the middle of a formula.
-- rawget, next and pairs see the table as it is; only indexing asks. NOT a guard of assignments.
local elsewhere = require "lua_equi.elsewhere"

local FEW = 12 -- as many names as fit into a sentence

local function names_of(t, more)
  local names = {}
  for key in pairs(t) do
    if type(key) == "string" and key:find "^%a" then names[#names + 1] = key end
  end
  for _, name in ipairs(more or {}) do
    if rawget(t, name) == nil then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

--- Makes a table refuse names that it does not have.
---
--- `load(name)` may provide a value at the first use (kept then); nil means there is none. `more()`
--- lists the names that it knows, for suggestions. Names that begin with "_" and keys that are no
--- strings stay nil: Lua and tools look for them.
---@param t table
---@param title string how the user writes the table: "equi.nn"
---@param load? function
---@param more? function
---@return table t
--- Example:
---     local strict = require "lua_equi.strict"
---     local t = strict({linear = print}, "net")
---     print((select(2, pcall(function() return t.Linear end))):match "net: .*")
---     --> net: there is no "Linear"; did you mean "linear"?
local function strict(t, title, load, more)
  local meta = {names = more, title = title}
  function meta.__tostring() return title .. ("; equi.help(%s) lists what it has"):format(title) end
  function meta.__index(_, name)
    if type(name) ~= "string" or not name:find "^%a" then return nil end
    local value = load and load(name)
    if value ~= nil then
      rawset(t, name, value)
      return value
    end
    local names = names_of(t, more and more())
    local hint = elsewhere.hint(title:match "[%w_]+$", name, names)
      or #names <= FEW and "it has " .. table.concat(names, ", ")
      or ('equi.help(%s) lists what there is'):format(title)
    error(('%s: there is no "%s"; %s'):format(title, name, hint), 2)
  end
  return setmetatable(t, meta)
end

return strict
