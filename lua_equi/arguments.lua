--- Checks of positional arguments: whole numbers, numbers in a range, names, tensors.
--
-- Messages have the form of all others, "who: name must be ..., got ...", and are raised at the
-- line that called the function whose arguments are checked. Options are lua_equi/options.lua's.
local caller = require "lua_equi.caller"
local core = require "lua_equi.core"
local nearest = require "lua_equi.nearest"

local arguments = {}

--- A value as messages show it.
---@param v any
---@return string
function arguments.shown(v)
  if v == nil then return "nothing" end
  if core.is_tensor(v) then
    return ("a tensor %s %s"):format(v.dtype, v.ndim == 0 and "of one number" or
      table.concat(v.shape, " x "))
  end
  if type(v) == "string" then return ('"%s"'):format(v) end
  if type(v) == "number" or type(v) == "boolean" then return tostring(v) end
  local class = type(v) == "userdata" and (getmetatable(v) or {}).__name
  local noun = class and class:match "^equi%.(.*)$" or type(v)
  return (noun:find "^[AEIOaeio]" and "an " or "a ") .. noun:lower()
end

--- Raises unless value is a whole number of at least `least`.
---@param who string
---@param name string
---@param value any
---@param least? integer default 1
function arguments.whole(who, name, value, least)
  least = least or 1
  if math.type(value) ~= "integer" or value < least then
    error(("%s: %s must be a whole number of at least %d, got %s"):format(who, name, least,
      arguments.shown(value)), caller(3))
  end
end

--- A whole number for all of n dims, or a list of one for each, as a new list of n. Raises unless
--- all are at least `least`.
---@param who string
---@param name string
---@param value any
---@param n integer
---@param least? integer default 1
---@return integer[]
function arguments.each(who, name, value, n, least)
  least = least or 1
  local list = type(value) == "table" and {table.unpack(value)} or {}
  if type(value) ~= "table" then
    for d = 1, n do list[d] = value end
  end
  local ok, words = #list == n, {}
  for i, v in ipairs(list) do
    ok = ok and math.type(v) == "integer" and v >= least
    words[i] = arguments.shown(v)
  end
  if ok then return list end
  error(("%s: %s must be a whole number of at least %d%s, got %s"):format(who, name, least,
    n == 2 and ", or two {height, width}" or "", type(value) == "table" and
    "{" .. table.concat(words, ", ") .. "}" or arguments.shown(value)), caller(3))
end

--- Raises unless value is a number from `from` (itself allowed) to `below` (not allowed).
---@param who string
---@param name string
---@param value any
---@param from? number
---@param below? number
function arguments.number(who, name, value, from, below)
  from, below = from or -math.huge, below or math.huge
  if type(value) == "number" and value >= from and (value < below or below == math.huge) then
    return
  end
  local range = "a number"
  if from > -math.huge then range = ("a number of at least %g"):format(from) end
  if below < math.huge then range = range .. (" and below %g"):format(below) end
  error(("%s: %s must be %s, got %s"):format(who, name, range, arguments.shown(value)), caller(3))
end

--- Raises unless value is one of some names.
---@param who string
---@param name string
---@param value any
---@param names string[]
function arguments.choice(who, name, value, names)
  for _, valid in ipairs(names) do
    if value == valid then return end
  end
  local near = type(value) == "string" and nearest(value, names)
  error(("%s: %s must be one of %s, got %s%s"):format(who, name, table.concat(names, ", "),
    arguments.shown(value), near and ('; did you mean "%s"?'):format(near) or ""), caller(3))
end

--- Raises unless value is a tensor.
---@param who string
---@param name string
---@param value any
function arguments.tensor(who, name, value)
  if not core.is_tensor(value) then
    error(("%s: %s must be a tensor, got %s"):format(who, name, arguments.shown(value)), caller(3))
  end
end

--- Whether a value can be called.
---@param v any
---@return boolean
function arguments.is_callable(v)
  local class = getmetatable(v)
  return type(v) == "function" or type(class) == "table" and class.__call ~= nil
end

return arguments
