--- The line of the user's that a message should name.
--
-- A fixed level for error() is wrong as soon as functions of ours call each other, or where the
-- user's line is gone because it was a tail call. So the stack is asked. NOT a traceback.

local own = debug.getinfo(1, "S").source:match "^(.*[/\\])" or "?" -- the folder of this library

--- The first level from `level` on that is no function of this library, for error(); when there is
--- none, or it is no Lua function, the message stands without a line.
---@param level integer as error() counts, in the function that calls this
---@return integer level
--- Example:
---     local caller = require "lua_equi.caller"
---     print(caller(1))   --> 1
local function caller(level)
  for at = level, level + 50 do
    local info = debug.getinfo(at + 1, "S") -- this function is one more
    if not info or info.source:sub(1, #own) ~= own then return at end
  end
  return level
end

return caller
