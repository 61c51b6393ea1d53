-- What specs compare against: naive values in Lua tables, central differences, other memory
-- layouts, another number of threads.
--   local oracle = require "spec.support.oracle"
-- spec/support/cases.lua runs all of them over one declarative case.
local equi = require "lua_equi"
local assert = require "luassert"

local oracle = {}

-- Numbers between low and high that look random and are the same everywhere: they do not come from
-- the generator under test. No two are equal, so maxima and orders are well defined.
--   oracle.data(3, 4)   oracle.data({3, 4}, {low = 0.1, high = 2, seed = 7, dtype = "f32"})
function oracle.data(...)
  local sizes, opts = {...}, {}
  if type(sizes[1]) == "table" then sizes, opts = sizes[1], sizes[2] or {} end
  local n = 1
  for _, size in ipairs(sizes) do n = n * size end
  local low, high, values = opts.low or -2, opts.high or 2, {}
  local state = ((opts.seed or 1) * 0.7548776662466927) % 1
  for i = 1, n do
    state = (state + 0.6180339887498949) % 1
    values[i] = low + (high - low) * state
  end
  return equi.tensor(values, {dtype = opts.dtype or "f64"}):reshape(sizes)
end

-- An index tensor with values 1 .. count, in no particular order.
function oracle.index(count, ...)
  return (oracle.data({...}, {low = 0, high = count, seed = 3}):floor() + 1):to("i64")
end

local function same_number(a, e, tol)
  if type(a) == "boolean" or type(e) == "boolean" then return a == e end
  if a ~= a or e ~= e then return a ~= a and e ~= e end
  if a == e then return true end
  return math.abs(a - e) <= tol * (1 + math.abs(e))
end

-- `at` is the path of 1-based positions, for the message.
local function compare(a, e, tol, at)
  if type(a) ~= "table" or type(e) ~= "table" then
    if type(a) == "table" or type(e) == "table" then
      error(("at [%s]: %s against %s"):format(at, type(a), type(e)), 0)
    end
    if not same_number(a, e, tol) then
      error(("at [%s]: got %s, expected %s, tolerance %g"):format(at, a, e, tol), 0)
    end
    return
  end
  if #a ~= #e then error(("at [%s]: %d elements, expected %d"):format(at, #a, #e), 0) end
  for i = 1, #a do compare(a[i], e[i], tol, at == "" and tostring(i) or at .. ", " .. i) end
end

-- Fails unless actual equals expected (tensor, nested table or number) within
-- tol * (1 + |expected|) in every element. NaN equals NaN. tol defaults to 1e-6.
function oracle.near(actual, expected, tol, message)
  if equi.is_tensor(expected) then
    assert.same({expected:size()}, {actual:size()}, message)
    expected = expected:totable()
  end
  if equi.is_tensor(actual) then actual = actual:totable() end
  local ok, why = pcall(compare, actual, expected, tol or 1e-6, "")
  if not ok then error((message and message .. ": " or "") .. why, 2) end
end

-- Fails unless f raises an error whose text contains `part`.
function oracle.raises(part, f, ...)
  local ok, message = pcall(f, ...)
  if ok then error(("no error was raised; expected one with %q"):format(part), 2) end
  if not tostring(message):find(part, 1, true) then
    error(("the message is %q; expected one with %q"):format(tostring(message), part), 2)
  end
end

-- ---- other memory layouts ----
local function spread(x)
  local sizes = {x:size()}
  for d = 1, #sizes do sizes[d] = 2 * sizes[d] + 1 end
  local big, part = equi.zeros(sizes, {dtype = x.dtype}), {}
  for d = 1, #sizes do part[d] = {2, -2, 2} end
  local view = big[part]
  view:copy_(x)
  return view
end

-- The same values as x behind other strides: {{name = ..., x = ...}, ...}. The expanded one repeats
-- x's first row; `plain` is always a row-major copy to compare with.
function oracle.variants(x)
  local dims, list = select("#", x:size()), {}
  local function add(name, view)
    list[#list + 1] = {name = name, x = view, plain = view:clone()}
  end
  if dims >= 1 and x:numel() > 0 then add("every second element", spread(x)) end
  if dims >= 2 then
    add("transposed", x:transpose(1, -1):clone():transpose(1, -1))
    if x:size(1) > 0 then
      local sizes = {x:size()}
      add("expanded", x[{{1, 1}}]:expand(sizes))
    end
  end
  return list
end

-- ---- threads ----
local function bytes(...)
  local parts = {}
  for i, v in ipairs {...} do parts[i] = equi.is_tensor(v) and v:tobytes() or tostring(v) end
  return table.concat(parts, "|")
end

-- Calls f under 1 and under 2 threads (f makes its own inputs, or seeds, the same way each time)
-- and fails unless its results are equal bit for bit.
function oracle.both_threads(f)
  local before, got = equi.threads(), {}
  for n = 1, 2 do
    equi.threads(n)
    local result = table.pack(pcall(f))
    equi.threads(before)
    if not result[1] then error(result[2], 2) end
    got[n] = bytes(table.unpack(result, 2, result.n))
  end
  if got[1] ~= got[2] then error("1 and 2 threads give different bits", 2) end
end

-- ---- gradients ----
-- Fails unless equi.check.gradients finds the gradients of all float inputs of f right. Options:
-- h = 1e-3, tol = 1e-7 (relative to 1 + |slope|); second = true goes on to the gradients of those
-- gradients. f32 inputs are converted, others passed through.
function oracle.gradcheck(f, inputs, opts)
  opts = opts or {}
  local xs = {}
  for i, x in ipairs(inputs) do
    xs[i] = equi.is_tensor(x) and x.dtype == "f32" and x:to "f64" or x
  end
  local report = equi.check.gradients(f, xs, {step = opts.h, tolerance = opts.tol,
                                              second = opts.second})
  for _, e in ipairs(report.errors) do
    if e.error > report.tolerance or e.error ~= e.error then
      error(("%s of input %d: at [%d]: got %s, expected %s, tolerance %g"):format(
        e.order == 1 and "gradient" or "second gradient", e.input, e.at, e.gradient, e.slope,
        report.tolerance), 2)
    end
  end
end

-- ---- naive values ----
local function depth(t)
  if type(t) ~= "table" then return 0 end
  return t[1] == nil and 1 or 1 + depth(t[1])
end

-- A function of nested tables from a function of numbers, with broadcasting: the naive element-wise
-- op. oracle.each(math.exp)({{1, 2}}) is {{e, e^2}}.
function oracle.each(f)
  local function walk(...)
    local args, deepest, n = {...}, 0, 1
    for i = 1, #args do deepest = math.max(deepest, depth(args[i])) end
    if deepest == 0 then return f(...) end
    for i = 1, #args do
      if depth(args[i]) == deepest and #args[i] ~= 1 then n = #args[i] end
    end
    local result = {}
    for k = 1, n do
      local inner = {}
      for i, a in ipairs(args) do
        if depth(a) < deepest then inner[i] = a
        else inner[i] = a[#a == 1 and 1 or k] end
      end
      result[k] = walk(table.unpack(inner))
    end
    return result
  end
  return walk
end

-- f along the first dim of t, an n x ... table; the second result says that f gave a list.
local function along_first(t, f)
  if type(t[1]) ~= "table" then
    local r = f(t)
    return r, type(r) == "table"
  end
  local parts, kept = {}, false
  for k = 1, #t[1] do
    local slice = {}
    for i = 1, #t do slice[i] = t[i][k] end
    parts[k], kept = along_first(slice, f)
  end
  if not kept then return parts, false end
  local turned = {}
  for i = 1, #parts[1] do
    turned[i] = {}
    for k = 1, #parts do turned[i][k] = parts[k][i] end
  end
  return turned, true
end

-- A function of nested tables that applies f along one dim: the naive reduction (f: list -> number,
-- which removes the dim), softmax or cumsum (f: list -> list).
function oracle.along(dim, f)
  local function walk(t, d)
    if d == 1 then return (along_first(t, f)) end
    local r = {}
    for i, v in ipairs(t) do r[i] = walk(v, d - 1) end
    return r
  end
  return function(t)
    local dims, v = 0, t
    while type(v) == "table" do dims, v = dims + 1, v[1] end
    return walk(t, dim < 0 and dim + dims + 1 or dim)
  end
end

return oracle
