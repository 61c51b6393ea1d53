--- equi.check: is a model equivariant, and are gradients right? For your own models and ops, too.
local core = require "lua_equi.core"
local log = require "lua_equi.log"
local options = require "lua_equi.options"

local check = {}

local function as_list(v)
  if v == nil then return {} end
  if type(v) == "table" and getmetatable(v) == nil then return v end
  return {v}
end

-- ---- equivariance ----

-- max |a - b| / max |b|: relative to the largest value, so that numbers near 0 do not decide.
local function relative_error(a, b)
  if table.concat(a.shape, "x") ~= table.concat(b.shape, "x") then
    error(("check.equivariance: f(g x) is %s, g f(x) is %s"):format(
      table.concat(a.shape, " x "), table.concat(b.shape, " x ")), 0)
  end
  if a:numel() == 0 then return 0 end
  if a.dtype == "i64" or a.dtype == "bool" then
    return a:ne(b):to("i64"):sum():item() / a:numel()
  end
  local scale = b:abs():max():item()
  local worst = (a - b):abs():max():item()
  if worst ~= worst then return worst end
  return scale > 0 and worst / scale or worst
end

local report = {}
report.__index = report

function report:__tostring()
  local rows = {{"element", "relative error"}}
  for _, e in ipairs(self.errors) do rows[#rows + 1] = {e.element, ("%.2e"):format(e.error)} end
  return ("%s\nworst %.2e, tolerance %.0e: %s; equality is %s"):format(
    log.table(rows, {align = "lr", header = true}), self.worst, self.tolerance,
    self.ok and "equivariant" or "NOT equivariant",
    self.exact and "to be expected, up to rounding" or "not to be expected: an action is approximate")
end

local function move(actions, g, xs)
  local out = {}
  for i, x in ipairs(xs) do out[i] = actions[i] and actions[i](g, x) or x end
  return out
end

local function all_exact(list)
  for _, a in pairs(list) do
    if a and not a.exact then return false end
  end
  return true
end

local function first_group(list)
  for _, a in pairs(list) do
    if a then return a.group end
  end
  error("check.equivariance: no action is given; pass input = action", 3)
end

--- Compares f(g x) with g f(x) for every element g of the group.
---
--- For an equituned model the actions are known; for anything else pass them. The model should be in
--- evaluation mode: dropout draws anew, and batch statistics mix the orbit.
---
--- Example:
---     local G = equi.group.cyclic(3)
---     local turn = equi.action.permutation(G, {{2, 3, 1}})
---     local model = equi.equitune(function(x) return x * equi.tensor({1, 2, 3}) end,
---       {input = turn, output = turn})
---     print(equi.check.equivariance(model, {equi.ones(2, 3)}).ok)   --> true
---@param f any function, module or equituned model
---@param xs table list of inputs (or one tensor)
---@param opts? table {input = action or list, output = action (absent: invariant),
--- tolerance = 1e-5 (1e-12 for f64)}
---@return table report fields errors (list of {element, error}), worst, ok, exact, tolerance; prints
function check.equivariance(f, xs, opts)
  opts = options.check("check.equivariance", opts, {input = options.any(), output = options.any(),
                                                    tolerance = options.any()})
  local known = type(f) == "userdata" and not core.is_tensor(f)
  xs = as_list(xs)
  local input = as_list(opts.input or (known and f.input or nil))
  local output = as_list(opts.output or (known and f.output or nil))
  local group = first_group(input)
  local result = setmetatable({errors = {}, worst = 0, exact = all_exact(input) and all_exact(output)},
                              report)
  core.no_grad(function()
    local y = f(table.unpack(xs))
    result.tolerance = opts.tolerance or (y.dtype == "f64" and 1e-12 or 1e-5)
    for i, g in ipairs(group:elements()) do
      local expected = output[1] and output[1](g, y) or y
      local e = relative_error((f(table.unpack(move(input, g, xs)))), expected)
      result.errors[i] = {element = tostring(g), error = e}
      if e ~= e or e > result.worst then result.worst = e end
    end
  end)
  result.ok = result.worst <= result.tolerance
  return result
end

-- ---- gradients ----

-- Sum of all results times fixed weights, so that no symmetry hides an error.
local function objective(f, xs)
  local total
  for k, y in ipairs {f(table.unpack(xs))} do
    if core.is_tensor(y) and (y.dtype == "f64" or y.dtype == "f32") and y:numel() > 0 then
      local weights = (core.arange(y:numel(), {dtype = y.dtype}) * (0.618 + 0.1 * k) % 1 + 0.5)
      local part = (y * weights:reshape(y.shape)):sum()
      total = total and total + part or part
    end
  end
  return total or error("check.gradients: f returned no float tensor", 3)
end

local function numeric_gradient(f, xs, i, eps)
  local x = xs[i]
  local flat = x:detach():reshape(-1)
  local g = core.zeros(x:numel(), {dtype = "f64"})
  core.no_grad(function()
    for k = 1, x:numel() do
      local old = flat[k]:item()
      flat[k] = old + eps
      local up = objective(f, xs):item()
      flat[k] = old - eps
      local down = objective(f, xs):item()
      flat[k] = old
      g[k] = (up - down) / (2 * eps)
    end
  end)
  return g:reshape(x.shape)
end

--- Compares the gradients of f with central differences (f(x + eps) - f(x - eps)) / 2 eps.
---
--- Inputs must be f64: f32 has too few digits for differences. Every float input is checked.
---
--- Example:
---     local x = equi.tensor({1, 2, 3}, {dtype = "f64"})
---     print(equi.check.gradients(function(v) return v:tanh() end, x).ok)   --> true
---@param f function of the inputs; may return several tensors
---@param xs table list of inputs (or one tensor)
---@param opts? table {eps = 1e-6, tolerance = 1e-6}
---@return table report fields errors (one per input), worst, ok
function check.gradients(f, xs, opts)
  opts = options.check("check.gradients", opts, {eps = 1e-6, tolerance = 1e-6})
  local inputs, leaves = {}, {}
  for i, x in ipairs(as_list(xs)) do
    inputs[i] = x
    if core.is_tensor(x) and x.dtype == "f32" then
      error(("check.gradients: input %d is f32; convert it: x:to \"f64\""):format(i), 2)
    end
    if core.is_tensor(x) and x.dtype == "f64" then
      inputs[i] = x:detach():clone():requires_grad_()
      leaves[#leaves + 1] = i
    end
  end
  local y, result = objective(f, inputs), {errors = {}, worst = 0}
  y:backward()
  for _, i in ipairs(leaves) do
    local numeric = numeric_gradient(f, inputs, i, opts.eps)
    local analytic = inputs[i].grad or core.zeros(inputs[i].shape, {dtype = "f64"})
    local scale = inputs[i]:numel() > 0 and math.max(1, numeric:abs():max():item()) or 1
    local e = inputs[i]:numel() > 0 and (numeric - analytic):abs():max():item() / scale or 0
    result.errors[#result.errors + 1] = e
    if e ~= e or e > result.worst then result.worst = e end
  end
  result.ok = result.worst <= opts.tolerance
  return result
end

return check
