--- Gradient checkpointing (Chen et al., "Training deep nets with sublinear memory cost", arXiv
--- 1604.06174): what happens inside of f is not kept for the backward pass but computed again.
--
-- f runs without recording; backward runs it once more on the same inputs with the random numbers
-- it had, so that dropout drops the same, and differentiates that run. Memory: the inputs of f
-- instead of everything between them and its results; time: one forward pass more.
-- NOT differentiable twice, and f must compute the same each time it is called.
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local walk = require "lua_equi.nn.walk"

local recompute = {}

-- The tensors that learn below the modules among f and its arguments, each once.
local function parameters_of(list, n)
  local found, seen = {}, {}
  for i = 1, n do
    local v = list[i]
    local is_module = type(v) == "table" and getmetatable(v) or type(v) == "userdata"
    if is_module and not core.is_tensor(v) and walk.children_of(v) then
      walk.visit(v, "", seen, function(kind, x)
        if kind ~= "module" and x.requires_grad then found[#found + 1] = x end
      end)
    end
  end
  return found
end

-- f(...) with the stream of random numbers where it was, and afterwards where it is.
local function repeated(rng, f, ...)
  local now = core.rng_state()
  local function finish(ok, ...)
    core.rng_state(now)
    if not ok then error((...), 0) end
    return table.pack(...)
  end
  core.rng_state(rng)
  return finish(pcall(f, ...))
end

-- sum of all elements of y * gy, whose gradient is what gy sends back.
local function weighted(y, gy, n)
  local total
  for k = 1, n do
    if y[k].requires_grad then
      local part = (y[k] * gy[k]):sum()
      total = total and total + part or part
    end
  end
  return total
end

-- Runs the pass and takes what it leaves at `wanted`, whose own gradients stay as they were. Other
-- leaves, which f reaches by itself, receive theirs as in any pass.
local function gradients(total, wanted)
  local before = {}
  for x in pairs(wanted) do before[x], x.grad = x.grad or false, nil end
  local ok, problem = pcall(total.backward, total)
  local found = {}
  for x in pairs(wanted) do
    found[x] = x.grad
    x.grad = before[x] or nil
  end
  if not ok then error(problem, 0) end
  return found
end

-- Arguments: call = {f =, n =, rng =}, f's arguments, then the parameters. Of the tensors among the
-- arguments, those that need a gradient take part as leaves of their own.
local function again(call, gy, given)
  local args, inner, wanted = {}, {}, {}
  for i = 1, call.n do
    local x = given[i]
    args[i] = x
    if core.is_tensor(x) and x.requires_grad then
      inner[i] = x:detach():requires_grad_()
      args[i], wanted[inner[i]] = inner[i], true
    end
  end
  for i = call.n + 1, given.n do wanted[given[i]] = true end
  local before = core.grad_enabled(true)
  local ok, result = pcall(function()
    local y = repeated(call.rng, call.f, table.unpack(args, 1, call.n))
    local total = weighted(y, gy, #gy)
    return total and gradients(total, wanted) or {}
  end)
  core.grad_enabled(before)
  if not ok then error(result, 0) end
  local list = {nil}
  for i = 1, given.n do list[i + 1] = result[inner[i] or i > call.n and given[i]] end
  return table.unpack(list, 1, given.n + 1)
end

local op = core.op {
  name = "recompute",
  forward = function(call, ...) return call.f(table.unpack({...}, 1, call.n)) end,
  backward = function(...)
    local all = table.pack(...)
    local n = 1 -- results: gradients and results stand before the table `call`
    while core.is_tensor(all[n]) do n = n + 1 end
    if core.grad_enabled() then
      error("recompute: it cannot be differentiated twice; call f itself for create_graph", 0)
    end
    local gy = table.move(all, 1, (n - 1) // 2, 1, {})
    return again(all[n], gy, table.pack(table.unpack(all, n + 1, all.n)))
  end,
}

--- f(...) whose insides are computed again in the backward pass instead of kept: less memory, about
--- a third more time.
---
--- f is a module or a function that returns one or more tensors; what it gets may be tensors,
--- modules and anything else. Parameters of f and of modules among the arguments learn; so do other
--- parameters that f reaches, if an argument needs a gradient. Dropout drops the same both times.
---
--- Example:
---     local layer = equi.nn.linear(3, 2)
---     local y = equi.nn.recompute(layer, equi.ones(4, 3))
---     y:sum():backward()
---     print(layer.bias.grad:totable()[1])   --> 4.0
---@param f any module or function
---@param ... any
---@return any ... what f returns
function recompute.recompute(f, ...)
  if not arguments.is_callable(f) then
    error("recompute: f must be a module or a function, got " .. arguments.shown(f), 2)
  end
  local n = select("#", ...)
  if not core.grad_enabled() then return f(...) end
  local list = {...}
  list[n + 1] = f
  local parameters = parameters_of(list, n + 1)
  list[n + 1] = nil
  table.move(parameters, 1, #parameters, n + 1, list)
  return op({f = f, n = n, rng = core.rng_state()}, table.unpack(list, 1, n + #parameters))
end

return recompute
