-- Turns a declarative case of an op into specs: one description, many uses.
--   local op = require "spec.support.cases"
--   op("softmax", {
--     {"over the last dim", f = function(x) return x:softmax(-1) end, inputs = {oracle.data(3, 5)},
--      naive = function(x) ... return nested tables end, second = true,
--      big = {{200, 300}}},
--   })
-- A case: [1] what it is; inputs (f64 tensors, or i64 and bool, passed through); f (default
-- equi[name]); naive: nested tables -> nested table(s), one per result (nil skips the values);
-- grad = false for ops without a rule; second = true when the rule is written with ops; big: sizes
-- of the inputs for the comparison of 1 with 2 threads; tol (f64) and tol32; strides = false when
-- layouts make no sense; f32 = false when the op is for f64 only.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local busted = require "busted"
local it, describe = busted.it, busted.describe

local function converted(inputs, dtype)
  local list = {}
  for i, x in ipairs(inputs) do list[i] = x.dtype == "f64" and x:to(dtype) or x end
  return list
end

local function tables(inputs)
  local list = {}
  for i, x in ipairs(inputs) do list[i] = x:totable() end
  return list
end

local function check_values(f, inputs, naive, tol)
  local got, want = {f(table.unpack(inputs))}, {naive(table.unpack(tables(inputs)))}
  for k, e in ipairs(want) do oracle.near(got[k], e, tol, "result " .. k) end
end

-- Every input in turn comes in every layout; the others stay.
local function check_strides(f, inputs, tol)
  for i, x in ipairs(inputs) do
    for _, variant in ipairs(oracle.variants(x)) do
      local strided, plain = {table.unpack(inputs)}, {table.unpack(inputs)}
      strided[i], plain[i] = variant.x, variant.plain
      local got, want = {f(table.unpack(strided))}, {f(table.unpack(plain))}
      for k = 1, #want do
        oracle.near(got[k], want[k], tol, ("input %d %s"):format(i, variant.name))
      end
    end
  end
end

local function big_inputs(case)
  local list = {}
  for i, x in ipairs(case.inputs) do
    local sizes = case.big[i] or case.big[1]
    if x.dtype == "i64" then list[i] = oracle.index(case.count or 2, table.unpack(sizes))
    else list[i] = oracle.data(sizes, {dtype = x.dtype == "f64" and "f32" or x.dtype, seed = i}) end
  end
  return list
end

local function check_threads(case, f)
  local inputs = big_inputs(case)
  oracle.both_threads(function()
    local leaves = {}
    for i, x in ipairs(inputs) do
      local float = x.dtype == "f32" and case.grad ~= false
      leaves[i] = float and x:detach():requires_grad_() or x
    end
    local result = {f(table.unpack(leaves))}
    if case.grad ~= false then
      result[1]:sum():backward()
      for _, x in ipairs(leaves) do result[#result + 1] = x.grad end
    end
    return table.unpack(result)
  end)
end

local function declare(name, case)
  local f, inputs, label = case.f or equi[name], case.inputs, name .. " " .. case[1]
  local tol, tol32 = case.tol or 1e-12, case.tol32 or 1e-5
  if case.naive then
    it(label .. ": values", function()
      check_values(f, inputs, case.naive, tol)
      if case.f32 ~= false then check_values(f, converted(inputs, "f32"), case.naive, tol32) end
    end)
  end
  if case.strides ~= false then
    it(label .. ": any strides", function() check_strides(f, inputs, tol) end)
  end
  if case.grad ~= false then
    it(label .. ": gradients", function()
      local opts = {second = case.second, tol = case.gradtol, h = case.h}
      oracle.gradcheck(f, inputs, opts)
    end)
  end
  if case.big then
    it(label .. ": 1 and 2 threads", function() check_threads(case, f) end)
  end
end

return function(name, cases)
  describe(name, function()
    for _, case in ipairs(cases) do declare(name, case) end
  end)
end
