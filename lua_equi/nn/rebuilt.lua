--- A copy of a model's tables with the same tensors, changed on the way: what fuse and compress
--- make a model of another kind with, without touching the one they were given.
local core = require "lua_equi.core"

-- change(t) sees every copied table after its parts were copied.
local function rebuilt(v, change, seen)
  if core.is_tensor(v) then
    seen[v] = seen[v] or v:detach()
    return seen[v]
  end
  if seen[v] then return seen[v] end
  local clone = type(v) == "userdata" and (getmetatable(v) or {}).__clone
  if clone then return clone(v, seen, function(x) return rebuilt(x, change, seen) end) end
  if type(v) ~= "table" then return v end
  local t = setmetatable({}, getmetatable(v))
  seen[v] = t
  for k, x in pairs(v) do rawset(t, k, rebuilt(x, change, seen)) end
  change(t)
  return t
end

return function(model, change) return rebuilt(model, change, {}) end
