-- Reductions along dims against loops over Lua tables.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local op = require "spec.support.cases"

local nan, inf = 0 / 0, math.huge

local function sum(v)
  local s = 0
  for _, x in ipairs(v) do s = s + x end
  return s
end
local function mean(v) return sum(v) / #v end
local function prod(v)
  local p = 1
  for _, x in ipairs(v) do p = p * x end
  return p
end
local function variance(correction)
  return function(v)
    local m, s = mean(v), 0
    for _, x in ipairs(v) do s = s + (x - m) ^ 2 end
    return s / (#v - correction)
  end
end
local function deviation(v) return math.sqrt(variance(1)(v)) end
local function norm(p)
  return function(v)
    local s = 0
    for _, x in ipairs(v) do s = s + math.abs(x) ^ p end
    return s ^ (1 / p)
  end
end
local function largest(v) return math.max(table.unpack(v)) end
local function smallest(v) return math.min(table.unpack(v)) end
local function place(of)
  return function(v)
    local best = of(v)
    for i, x in ipairs(v) do
      if x == best then return i end
    end
  end
end
local function kept(f) return function(v) return {f(v)} end end

-- All elements of a nested table in one list.
local function flat(t, list)
  list = list or {}
  for _, v in ipairs(t) do
    if type(v) == "table" then flat(v, list) else list[#list + 1] = v end
  end
  return list
end

-- Every layout of the reduced dims that takes another way through the code. call(x, dims, keep).
local function reduction(name, naive, call, extra)
  local cases = {}
  local function add(what, inputs, f, expected, big)
    local case = {what, inputs = inputs, f = f, naive = expected, second = true, big = big}
    for k, v in pairs(extra or {}) do case[k] = v end
    cases[#cases + 1] = case
  end
  add("of a vector", {oracle.data(37)}, call, oracle.along(1, naive))
  add("of everything", {oracle.data(2, 3, 3)}, call, function(t) return naive(flat(t)) end)
  add("over the last dim", {oracle.data(3, 5)}, function(x) return call(x, -1) end,
      oracle.along(2, naive), {{300, 500}})
  add("over the first dim", {oracle.data(5, 3)}, function(x) return call(x, 1) end,
      oracle.along(1, naive), {{300, 500}})
  add("over the middle dim, kept", {oracle.data(2, 4, 3)}, function(x) return call(x, 2, true) end,
      oracle.along(2, kept(naive)))
  if not (extra and extra.one) then
    add("over two dims", {oracle.data(2, 3, 4)}, function(x) return call(x, {1, 3}) end, function(t)
      local r = {}
      for j = 1, 3 do r[j] = naive(flat {t[1][j], t[2][j]}) end
      return r
    end)
  end
  op(name, cases)
end

local function plain(name)
  return function(x, dims, keep) return equi[name](x, dims, keep) end
end
reduction("sum", sum, plain "sum")
reduction("mean", mean, plain "mean")
reduction("prod", prod, plain "prod", {gradtol = 1e-6, tol = 1e-10})
reduction("amax", largest, plain "amax")
reduction("amin", smallest, plain "amin")
reduction("max", largest, plain "max", {one = true})
reduction("min", smallest, plain "min", {one = true})
reduction("argmax", place(largest), plain "argmax", {one = true, grad = false})
reduction("argmin", place(smallest), plain "argmin", {one = true, grad = false})
reduction("var", variance(1), function(x, dims, keep) return x:var(dims, {keepdim = keep}) end)
reduction("var by n", variance(0), function(x, dims, keep)
  return x:var(dims, {keepdim = keep, correction = 0})
end)
reduction("std", deviation, function(x, dims, keep) return x:std(dims, {keepdim = keep}) end)
for _, p in ipairs {1, 2, 3, 0.5} do
  reduction("norm " .. p, norm(p), function(x, dims, keep) return x:norm(p, dims, keep) end,
            {tol = 1e-10, gradtol = 1e-5, h = 1e-4, tol32 = 1e-4})
end
reduction("norm inf", function(v)
  local m = 0
  for _, x in ipairs(v) do m = math.max(m, math.abs(x)) end
  return m
end, function(x, dims, keep) return x:norm(inf, dims, keep) end)

local function running(v)
  local r, s = {}, 0
  for i, x in ipairs(v) do
    s = s + x
    r[i] = s
  end
  return r
end
op("cumsum", {
  {"of a vector", inputs = {oracle.data(9)}, naive = running, second = true},
  {"along the last dim", inputs = {oracle.data(3, 4)}, naive = oracle.along(2, running),
   second = true, big = {{300, 400}}},
  {"along the first dim", f = function(x) return x:cumsum(1) end, inputs = {oracle.data(3, 4)},
   naive = oracle.along(1, running), second = true, big = {{300, 400}}},
})

describe("extremes", function()
  it("name the first of equal elements, and only max gives it the whole gradient", function()
    local x = equi.tensor({{1, 7, 7}, {2, 2, 2}}, {requires_grad = true})
    local value, index = x:max(2)
    oracle.near(value, {7, 2}, 0)
    oracle.near(index, {2, 1}, 0)
    oracle.near(equi.grad(value:sum(), x), {{0, 1, 0}, {1, 0, 0}}, 0)
    oracle.near(equi.grad(x:amax(2):sum(), x), {{0, 0.5, 0.5}, {1 / 3, 1 / 3, 1 / 3}}, 1e-7)
    oracle.near(equi.grad(x:max(), x), {{0, 0.5, 0.5}, {0, 0, 0}}, 0)
    assert.equal(1, select("#", x:max()))
    assert.equal(2, select("#", x:min(1)))
  end)

  it("see NaN wherever it is, also beyond the first vector", function()
    for n = 1, 70, 23 do
      local x = equi.zeros(70)
      x[n] = nan
      oracle.near(x:max(), nan)
      oracle.near(x:amin(), nan)
      assert.equal(n, x:argmax():item())
      assert.equal(n, x:argmin():item())
      local value, index = x:min(1)
      oracle.near(value, nan)
      assert.equal(n, index:item())
    end
  end)

  it("work with infinities and on all dtypes", function()
    oracle.near(equi.full({20}, -inf):max(), -inf, 0)
    oracle.near(equi.full({20}, inf):amin(), inf, 0)
    oracle.near(equi.tensor({3, -9, 4}, {dtype = "i64"}):amin(), -9, 0)
    oracle.near(equi.tensor({3, 200, 4}, {dtype = "u8"}):amax(), 200, 0)
    assert.is_true(equi.tensor({0, 1}):gt(0):amax():item())
    assert.equal("i64", equi.tensor({3, 1}, {dtype = "i64"}):max(1).dtype)
    assert.equal("i64", equi.zeros(3):argmax().dtype)
    assert.equal(4, equi.tensor({{1, 2}, {0, 5}}):argmax():item())
    assert.same({2, 1}, {equi.zeros(2, 3):argmax(2, true):size()})
  end)

  it("of nothing are refused, of no rows are not", function()
    for _, name in ipairs {"amax", "amin", "max", "min", "argmax", "argmin"} do
      oracle.raises("x is 2 x 0: there are no elements to compare", equi[name], equi.zeros(2, 0), 2)
      assert.same({0}, {equi[name](equi.zeros(0, 2), 2):size()})
    end
    oracle.raises("x is 0: there are no elements to compare", equi.max, equi.zeros(0))
    oracle.near(equi.tensor(3):max(), 3, 0)
    oracle.near(equi.tensor(3):argmax(), 1, 0)
  end)
end)

describe("any and all", function()
  it("ask every element, of any dtype", function()
    for _, dtype in ipairs {"f32", "f64", "i64", "u8", "bool"} do
      local x = equi.tensor({{0, 1}, {1, 1}}):to(dtype)
      assert.is_true(x:any():item())
      assert.is_false(x:all():item())
      assert.same({false, true}, x:all(1):totable())
      assert.same({{true}, {true}}, x:any(2, true):totable())
      assert.is_false(equi.zeros(3, {dtype = dtype}):any():item())
    end
    assert.is_true(equi.tensor({nan}):any():item())
    for _, v in ipairs(oracle.variants(equi.tensor({{0, 1}, {1, 1}}))) do
      assert.same(v.plain:all(2):totable(), v.x:all(2):totable(), v.name)
    end
  end)

  it("of nothing are false and true", function()
    assert.same({false, false}, equi.zeros(2, 0):any(2):totable())
    assert.same({true, true}, equi.zeros(2, 0):all(2):totable())
    assert.is_true(equi.zeros(0):all():item())
  end)
end)

describe("reductions", function()
  it("of whole numbers stay whole", function()
    local x = equi.tensor({{1, 2}, {3, 4}}, {dtype = "i64"})
    oracle.near(x:sum(1), {4, 6}, 0)
    oracle.near(x:prod(), 24, 0)
    oracle.near(x:cumsum(1), {{1, 2}, {4, 6}}, 0)
    assert.equal("i64", x:prod().dtype)
  end)

  it("of nothing", function()
    oracle.near(equi.zeros(2, 0):sum(2), {0, 0}, 0)
    oracle.near(equi.zeros(2, 0):prod(2), {1, 1}, 0)
    oracle.near(equi.zeros(2, 0):mean(2), {nan, nan})
    oracle.near(equi.zeros(0):norm(), 0, 0)
    assert.same({2, 0}, {equi.zeros(2, 0):cumsum():size()})
    oracle.near(equi.ones(1):var(), nan)
    oracle.near(equi.ones(1):var({correction = 0}), 0, 0)
  end)

  it("of a single number", function()
    local x = equi.tensor(3, {dtype = "f64"})
    for _, name in ipairs {"sum", "mean", "prod", "amax", "norm", "cumsum"} do
      oracle.near(equi[name](x), 3, 0, name)
      oracle.gradcheck(equi[name], {x})
    end
  end)

  it("have the gradient 0 where norm and std are 0 and have a corner", function()
    local x = equi.zeros(3):requires_grad_()
    oracle.near(equi.grad(x:norm(), x), {0, 0, 0}, 0)
    oracle.near(equi.grad(x:std(), x), {0, 0, 0}, 0)
  end)

  it("prod has the right gradient beside zeros", function()
    local x = equi.tensor({{2, 0, 3}, {0, 0, 3}}, {requires_grad = true})
    oracle.near(equi.grad(x:prod(2):sum(), x), {{0, 6, 0}, {0, 0, 0}}, 0)
  end)

  it("norm counts with p = 0 and takes the smallest with -inf", function()
    local x = equi.tensor({0, -3, 4})
    oracle.near(x:norm(0), 2, 0)
    oracle.near(x:norm(-inf), 0, 0)
    oracle.raises("norm: p must be a number, inf or -inf, got nan", equi.norm, x, nan)
  end)

  it("sum a million small numbers exactly enough", function()
    oracle.near(equi.full({1000000}, 0.1):sum(), 1e5, 1e-6)
    oracle.near(equi.full({1000000}, 0.1):mean(), 0.1, 1e-6)
    oracle.near(equi.full({1000000}, 0.1):norm(), 100, 1e-6)
    oracle.near(equi.full({1000, 1000}, 0.1):sum(), 1e5, 1e-6)
  end)

  it("sum tall columns and long parts, the same on one and two threads", function()
    local x = equi.arange(70003 * 5):remainder(1013):to("f64"):reshape(70003, 5)
    local image = equi.arange(3 * 7 * 90 * 70):remainder(1013):to("f64"):reshape(3, 7, 90, 70)
    local threads, first = equi.threads(), nil
    local function bytes()
      local y = image:float():channels_last()
      return (x:float() / 7):sum(1):tobytes() .. (x:float() / 7):sum():tobytes()
        .. (y / 7):sum({1, 3, 4}):tobytes()
    end
    for _, count in ipairs {1, 2} do
      equi.threads(count)
      first = first or bytes()
      assert.equal(first, bytes())
    end
    equi.threads(threads)
    for column = 1, 5 do
      local want = 0
      for _, v in ipairs(x[{{}, column}]:totable()) do want = want + v end
      assert.equal(want, x:sum(1)[column]:item())
    end
    assert.same(image:sum({1, 3, 4}):totable(), image:channels_last():sum({1, 3, 4}):totable())
    assert.equal(x:sum(1):sum():item(), x:sum():item())
  end)

  it("say what is wrong with dims and dtypes", function()
    local x = equi.zeros(2, 3)
    for _, name in ipairs {"sum", "mean", "prod", "amax", "amin", "var", "std", "any", "all",
                           "logsumexp"} do
      oracle.raises(name .. ": dim 1 is named twice", equi[name], x, {1, -2})
      oracle.raises(name .. ": dim must be a whole number from 1 to 2", equi[name], x, 3)
      oracle.raises(name .. ': no option "axis"', equi[name], x, {axis = 1})
    end
    oracle.raises("sum: x is bool and its sum would not fit", equi.sum, x:gt(0))
    oracle.raises("prod: x is u8 and the result would not fit", equi.prod, x:to("u8"))
    oracle.raises("cumsum: x is u8 and the sums would not fit", equi.cumsum, x:to("u8"))
    oracle.raises("mean: x must have dtype f32 or f64, it is i64", equi.mean, x:to("i64"))
  end)
end)
