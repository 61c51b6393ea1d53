--- How often an op can be differentiated, found by trying: its example's arguments, in f64, with
--- gradients asked for, go through the op, then through its rule, then through the rule's rule.
local equi = require "lua_equi"

local silent = {print = function() end, io = {write = function() end}}

-- The arguments of the first call of `name` while the example runs.
local function arguments(row)
  local caught
  local function catch(original)
    return function(...)
      caught = caught or table.pack(...)
      return original(...)
    end
  end
  local proxy = setmetatable({}, {__index = function(_, k)
    return k == row.name and catch(equi.core[k]) or equi[k]
  end})
  local methods, original = equi.core.methods, equi.core.methods[row.name]
  if original then methods[row.name] = catch(original) end
  local env = setmetatable({equi = proxy, x = equi.tensor{{1, 2}, {3, 4}}, print = silent.print,
                            io = silent.io}, {__index = _G})
  local chunk = load(row.example or "", "=" .. row.name, "t", env)
  if chunk then pcall(chunk) end
  methods[row.name] = original
  return caught
end

local function is_float(v) return equi.is_tensor(v) and (v.dtype == "f32" or v.dtype == "f64") end

-- A copy of an argument with every float tensor a leaf in f64; with `force` the first tensor is
-- taken for one whatever its dtype.
local function as_leaves(v, leaves, force)
  if equi.is_tensor(v) and (is_float(v) or (force and #leaves == 0)) then
    local leaf = equi.tensor(v:detach(), {dtype = "f64"}):requires_grad_()
    leaves[#leaves + 1] = leaf
    return leaf
  elseif type(v) == "table" and not equi.is_tensor(v) then
    local copy = {}
    for k, inner in pairs(v) do copy[k] = as_leaves(inner, leaves, force) end
    return copy
  end
  return v
end

-- The squares make the gradient that comes in depend on the inputs, so that linear rules are tried,
-- and every gradient must depend on something.
local function total(...)
  local sum
  for i = 1, select("#", ...) do
    local y = select(i, ...)
    if is_float(y) and y.requires_grad then
      local part = (y * y):sum()
      sum = sum and sum + part or part
    end
  end
  return sum
end

local function order(row, args, force)
  local f = equi.core[row.name] or equi.core.methods[row.name]
  local leaves, given = {}, {}
  for i = 1, args.n do given[i] = as_leaves(args[i], leaves, force) end
  equi.seed(1)
  local ok, sum = pcall(function() return total(f(table.unpack(given, 1, args.n))) end)
  if not ok or not sum then return 0 end
  local first = table.pack(pcall(equi.grad, sum, leaves, {create_graph = true}))
  if not first[1] then return 0 end
  local again = total(table.unpack(first, 2, first.n))
  return again and pcall(equi.grad, again, leaves) and 2 or 1
end

local words = {[0] = "not", "once", "twice"}

--- "twice", "once" or "not".
---@param row table a row of equi.core.ops
---@return string
return function(row)
  if not row.differentiable then return words[0] end
  local pair = {equi.tensor{0.5, 1.5}, equi.tensor{2, 3}, n = 2}
  local cast = {equi.tensor{0.5, 1.5}, "f64", n = 2}
  local args = arguments(row) or pair
  return words[math.max(order(row, args), order(row, args, true), order(row, pair),
                        order(row, cast))]
end
