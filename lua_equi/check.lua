--- equi.check: is a model equivariant, and are gradients right? For your own models and ops, too.
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local log = require "lua_equi.log"
local options = require "lua_equi.options"

local check = {}

local function as_list(v)
  if v == nil then return {} end
  if type(v) == "table" and getmetatable(v) == nil then return v end
  return {v}
end

local function is_float(x) return core.is_tensor(x) and (x.dtype == "f64" or x.dtype == "f32") end

local function shape_of(x) return x.ndim == 0 and "one number" or table.concat(x.shape, " x ") end

-- ---- equivariance ----

-- max |a - b| / max |b|: relative to the largest value, so that numbers near 0 do not decide; for
-- integers the part that differs. Equal infinities are equal.
local function relative_error(a, b)
  if shape_of(a) ~= shape_of(b) then
    error(("check.equivariance: f(g x) is %s, g f(x) is %s"):format(shape_of(a), shape_of(b)), 0)
  end
  if a:numel() == 0 then return 0 end
  if not is_float(a) then return a:ne(b):to("i64"):sum():item() / a:numel() end
  local size = b:abs()
  local scale = core.where(size:lt(math.huge), size, 0):max():item()
  local apart = core.where(a:eq(b), 0, (a - b):abs())
  if apart:ne(apart):any():item() then return 0 / 0 end
  local worst = apart:max():item()
  return scale > 0 and worst / scale or worst
end

local report = {}
report.__index = report

function report:__tostring()
  local rows = {{"element", "relative error"}}
  for _, e in ipairs(self.errors) do rows[#rows + 1] = {e.element, ("%.2e"):format(e.error)} end
  local expected = "to be expected, up to rounding"
  if #self.notes > 0 then expected = "not to be expected: " .. table.concat(self.notes, "; ") end
  return ("%s\nworst %.2e, tolerance %.0e: %s; equality is %s"):format(
    log.table(rows, {align = "lr", header = true}), self.worst, self.tolerance,
    self.ok and "equivariant" or "NOT equivariant", expected)
end

local function move(actions, g, xs, n)
  local out = {}
  for i = 1, n do
    out[i] = actions[i] and xs[i] ~= nil and actions[i](g, xs[i]) or xs[i]
  end
  return out
end

local function all_exact(list)
  for _, a in pairs(list) do
    if a and not a.exact then return false end
  end
  return true
end

local function is_action(a)
  local class = getmetatable(a)
  return type(a) == "userdata" and type(class) == "table" and class.__name == "equi.Action"
end

local function check_actions(list, name)
  for _, a in pairs(list) do
    if a and not is_action(a) then
      error(("check.equivariance: %s must be an action, or a list of actions and false, got %s; "
        .. "equi.action makes them"):format(name, arguments.shown(a)), 3)
    end
  end
end

local function first_group(list)
  for _, a in pairs(list) do
    if a then return a.group end
  end
  error("check.equivariance: no action is given; pass input = action", 3)
end

local function is_equituned(f)
  local class = getmetatable(f)
  return type(f) == "userdata" and type(class) == "table" and class.__name == "equi.Equitune"
end

-- Batch norm in training mode: its statistics mix the elements of an orbit with the batch.
local function uses_batch_statistics(f)
  local found = false
  if type(f) ~= "function" then
    require "lua_equi.nn".walk(f, function(kind, m)
      found = found or kind == "module" and type(m) == "table" and rawget(m, "training") == true
        and rawget(m, "running_mean") ~= nil
    end)
  end
  return found
end

-- Why equality is not to be expected of f, in clauses.
local function reasons(f, exact, repeatable)
  local list = {}
  if not exact then list[#list + 1] = "an action is approximate" end
  if not repeatable then
    list[#list + 1] = "equal inputs give different results (dropout in training mode? call eval)"
  end
  if uses_batch_statistics(f) then
    list[#list + 1] = "batch norm is in training mode (call eval)"
  end
  if is_equituned(f) and f.combine and f.combine.kind == "relaxed" then
    list[#list + 1] = "combine.relaxed leaves the general ids as they are"
  end
  return list
end

local function same_results(a, b, n)
  for k = 1, n do
    if relative_error(a[k], b[k]) ~= 0 then return false end
  end
  return true
end

local function default_tolerance(y)
  return y.dtype == "f64" and 1e-12 or y.dtype == "f32" and 1e-5 or 0
end

-- Calls f; the first n results, all of them tensors.
local function results(f, xs, nx, n)
  local y = table.pack(f(table.unpack(xs, 1, nx)))
  for k = 1, n do
    if not core.is_tensor(y[k]) then
      error(("check.equivariance: result %d of f must be a tensor, got %s"):format(k,
        type(y[k])), 0)
    end
  end
  return y
end

--- Compares f(g x) with g f(x) for every element g of the group.
---
--- For an equituned model the actions are known; for anything else pass them. The report says
--- whether equality is to be expected at all: not when an action is approximate, when f gives
--- different results for equal inputs (dropout), when batch norm is in training mode, or when
--- combine is relaxed. f runs |G| + 2 times, without gradients.
---
--- Example:
---     local G = equi.group.cyclic(3)
---     local turn = equi.action.permutation(G, {{2, 3, 1}})
---     local model = equi.equitune(function(x) return x * equi.tensor({1, 2, 3}) end,
---       {input = turn, output = turn})
---     print(equi.check.equivariance(model, {equi.ones(2, 3)}).ok)   --> true
---@param f any function, module or equituned model
---@param xs table list of inputs (or one tensor)
---@param opts? table {input = action or list, output = action or list (absent: invariant),
--- tolerance = 1e-5 (1e-12 for f64, 0 for integers)}
---@return table report fields errors (list of {element, error}), worst, ok, tolerance, exact (the
--- actions are), expected (equality is), notes (why not); printing shows all
function check.equivariance(f, xs, opts)
  opts = options.check("check.equivariance", opts, {input = options.any(), output = options.any(),
                                                    tolerance = options.any()})
  local known = is_equituned(f)
  xs = as_list(xs)
  local input = as_list(opts.input or known and f.input or nil)
  local output = as_list(opts.output or known and f.output or nil)
  check_actions(input, "input")
  check_actions(output, "output")
  if not arguments.is_callable(f) then
    error("check.equivariance: f must be a function, a module or an equituned model, got "
      .. arguments.shown(f), 2)
  end
  local group, nx, n = first_group(input), 0, math.max(1, #output)
  for i in pairs(xs) do nx = math.max(nx, i) end
  local result = setmetatable({errors = {}, worst = 0, exact = all_exact(input) and
    all_exact(output)}, report)
  core.no_grad(function()
    local y = results(f, xs, nx, n)
    result.notes = reasons(f, result.exact, same_results(results(f, xs, nx, n), y, n))
    result.tolerance = opts.tolerance or default_tolerance(y[1])
    for i, g in ipairs(group:elements()) do
      local got, expected = results(f, move(input, g, xs, nx), nx, n), move(output, g, y, n)
      local worst = 0
      for k = 1, n do
        local e = relative_error(got[k], expected[k])
        if e ~= e or e > worst then worst = e end
      end
      result.errors[i] = {element = tostring(g), error = worst}
      if worst ~= worst or worst > result.worst then result.worst = worst end
    end
  end)
  result.expected = #result.notes == 0
  result.ok = result.worst <= result.tolerance
  return result
end

-- ---- gradients ----

-- Sum of all float results times fixed weights, so that no symmetry hides an error; nil without.
local function objective(...)
  local total
  for k, y in ipairs {...} do
    if is_float(y) and y:numel() > 0 then
      local spread = core.arange(1, y:numel(), {dtype = "f64"}) * 0.6180339887498949 + 0.1 * k
      local weights = (spread - spread:floor() + 0.5):to(y.dtype):reshape(y.shape)
      local part = (y * weights):sum()
      total = total and total + part or part
    end
  end
  return total
end

-- The inputs as leaves of their own; what is not f64 stays.
local function leaves_of(xs, on)
  local copy, wanted, places = {}, {}, {}
  for i, x in ipairs(xs) do
    copy[i] = x
    if core.is_tensor(x) and x.dtype == "f64" then
      copy[i] = x:detach():clone():requires_grad_(on)
      wanted[#wanted + 1] = copy[i]
      places[#places + 1] = i
    end
  end
  return copy, wanted, places
end

-- d objective(f) / dx by central differences of order 4, for input number i.
local function numeric(f, xs, i, h, on)
  local flat = xs[i]:detach():reshape(-1)
  local slope = core.zeros(flat:numel(), {dtype = "f64"})
  local function at(k, value)
    local args, moved = leaves_of(xs, on), flat:clone()
    moved[k] = value
    args[i] = moved:reshape(xs[i].shape):requires_grad_(on)
    local y = objective(f(table.unpack(args)))
    return y and y:item() or 0
  end
  for k = 1, flat:numel() do
    local x = flat[k]:item()
    local near = (at(k, x + h) - at(k, x - h)) / (2 * h)
    local far = (at(k, x + 2 * h) - at(k, x - 2 * h)) / (4 * h)
    slope[k] = (4 * near - far) / 3
  end
  return slope
end

local function analytic(f, xs)
  local args, wanted, places = leaves_of(xs, true)
  local y, got = objective(f(table.unpack(args))), {}
  if y and y.requires_grad then
    local g = table.pack(core.grad(y, wanted))
    for k, i in ipairs(places) do got[i] = g[k] end
  end
  for _, i in ipairs(places) do
    got[i] = got[i] or core.zeros(xs[i].shape, {dtype = "f64"})
    if shape_of(got[i]) ~= shape_of(xs[i]) then
      error(("check.gradients: the gradient of input %d is %s, the input %s"):format(i,
        shape_of(got[i]), shape_of(xs[i])), 0)
    end
  end
  return got, places
end

-- f's gradient as a function of the same inputs.
local function derivative(f)
  return function(...)
    local wanted = {}
    for _, x in ipairs {...} do
      if core.is_tensor(x) and x.dtype == "f64" then wanted[#wanted + 1] = x end
    end
    local y = objective(f(...))
    if not y or not y.requires_grad then return end
    local g, there = table.pack(core.grad(y, wanted, nil, {create_graph = true})), {}
    for k = 1, #wanted do there[#there + 1] = g[k] end
    return table.unpack(there)
  end
end

-- Adds the errors of one order to the report: |gradient - slope| / (1 + |slope|), worst element.
local function compare(f, xs, order, result, h)
  local got, places = analytic(f, xs)
  for _, i in ipairs(places) do
    if xs[i]:numel() > 0 then
      local slope = numeric(f, xs, i, h, order == 2)
      local apart = (got[i]:detach():reshape(-1) - slope):abs() / (slope:abs() + 1)
      local e, at = apart:max(1)
      if apart:ne(apart):any():item() then
        e, at = core.full({}, 0 / 0, {dtype = "f64"}), apart:ne(apart):to("i64"):argmax()
      end
      e, at = e:item(), at:item()
      result.errors[#result.errors + 1] = {input = i, order = order, error = e, at = at,
        gradient = got[i]:detach():reshape(-1)[at]:item(), slope = slope[at]:item()}
      if e ~= e or e > result.worst then result.worst = e end
    end
  end
end

local gradient_report = {}
gradient_report.__index = gradient_report

function gradient_report:__tostring()
  local rows = {{"input", "derivative", "error", "at element", "gradient", "slope"}}
  for _, e in ipairs(self.errors) do
    rows[#rows + 1] = {tostring(e.input), e.order == 1 and "first" or "second",
      ("%.2e"):format(e.error), tostring(e.at), ("%g"):format(e.gradient), ("%g"):format(e.slope)}
  end
  return ("%s\nworst %.2e, tolerance %.0e: %s"):format(
    log.table(rows, {align = "rlrrrr", header = true}), self.worst, self.tolerance,
    self.ok and "the gradients are right" or "the gradients are WRONG")
end

--- Compares the gradients of f with central differences of order 4.
---
--- f gets the inputs and returns tensors; the sum of all float results, each times a fixed weight,
--- is differentiated. Float inputs must be f64: f32 has too few digits for differences. Every one
--- of them is checked, element by element, and is left as it is; other inputs are handed on.
---
--- Example:
---     local x = equi.tensor({1, 2, 3}, {dtype = "f64"})
---     print(equi.check.gradients(function(v) return v:tanh() end, x).ok)   --> true
---@param f function of the inputs; may return several tensors
---@param xs table list of inputs (or one tensor)
---@param opts? table {step = 1e-3, tolerance = 1e-7 of 1 + |slope|, second = false: gradients of
--- the gradients as well}
---@return table report fields errors (list of {input, order, error, at, gradient, slope}), worst,
--- ok, tolerance
function check.gradients(f, xs, opts)
  opts = options.check("check.gradients", opts, {step = 1e-3, tolerance = 1e-7, second = false})
  xs = as_list(xs)
  for i, x in ipairs(xs) do
    if core.is_tensor(x) and x.dtype == "f32" then
      error(("check.gradients: input %d is f32; convert it: x:to \"f64\""):format(i), 2)
    end
  end
  if not objective(f(table.unpack((leaves_of(xs, true))))) then
    error("check.gradients: f returned no float tensor", 2)
  end
  local result = setmetatable({errors = {}, worst = 0, tolerance = opts.tolerance}, gradient_report)
  compare(f, xs, 1, result, opts.step)
  if opts.second then compare(derivative(f), xs, 2, result, opts.step) end
  result.ok = result.worst <= opts.tolerance
  return result
end

return check
