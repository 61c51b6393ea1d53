--- The walk over a module, which everything in this folder is made of.
--
-- Rules: fields whose name begins with "_" are private; a tensor whose name is in the class's
-- `buffers` is a buffer, every other tensor is a parameter; list entries are named from 0, as
-- PyTorch names them, so that weights import without a mapping. A userdata takes part if its
-- metatable has `__children(u)`: it returns the table of u's modules and tensors, the live one,
-- since `to` replaces tensors in it. A table whose metatable has `__children = false` is no module.
local core = require "lua_equi.core"

local walk = {}

-- Keys in a fixed order: list entries, then names by the alphabet. pairs() has no order, and the
-- order decides which random numbers initialise which weight and which optimizer state belongs to
-- it.
function walk.sorted_keys(t)
  local numbers, names = {}, {}
  for k in pairs(t) do
    if math.type(k) == "integer" then
      numbers[#numbers + 1] = k
    elseif type(k) == "string" and k:byte() ~= 95 then -- "_": private
      names[#names + 1] = k
    end
  end
  table.sort(numbers)
  table.sort(names)
  table.move(names, 1, #names, #numbers + 1, numbers)
  return numbers
end

function walk.children_of(v)
  local mt = getmetatable(v)
  if type(v) == "table" then
    return (type(mt) ~= "table" or rawget(mt, "__children") ~= false) and v or nil
  end
  if type(v) ~= "userdata" then return nil end
  local f = type(mt) == "table" and mt.__children
  return f and f(v) or nil
end

-- With `places`, f sees a shared tensor in each of its places.
function walk.visit(v, path, seen, f, places)
  if seen[v] then return end
  seen[v] = true
  local t = walk.children_of(v)
  if not t then return end
  f("module", v, path)
  local class = getmetatable(v)
  local buffers = type(class) == "table" and class.buffers or {}
  for _, k in ipairs(walk.sorted_keys(t)) do
    local child = t[k]
    local name = math.type(k) == "integer" and tostring(k - 1) or k
    local full = path == "" and name or path .. "." .. name
    if core.is_tensor(child) then
      if places or not seen[child] then
        seen[child] = true
        f(buffers[k] and "buffer" or "parameter", child, full, t, k)
      end
    elseif type(child) == "table" or type(child) == "userdata" then
      walk.visit(child, full, seen, f, places)
    end
  end
end

return walk
