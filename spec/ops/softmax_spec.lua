-- softmax, log_softmax, logsumexp against loops over Lua tables.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local op = require "spec.support.cases"

local function logsumexp(v)
  local m, s = -math.huge, 0
  for _, x in ipairs(v) do m = math.max(m, x) end
  for _, x in ipairs(v) do s = s + math.exp(x - m) end
  return m + math.log(s)
end

local function mapped(v, f)
  local r = {}
  for i, x in ipairs(v) do r[i] = f(x) end
  return r
end

local function log_softmax(v)
  local l = logsumexp(v)
  return mapped(v, function(x) return x - l end)
end

local function softmax(v) return mapped(log_softmax(v), math.exp) end

for name, naive in pairs {softmax = softmax, log_softmax = log_softmax} do
  local f = equi[name]
  op(name, {
    {"of a vector", inputs = {oracle.data(37)}, naive = oracle.along(1, naive), second = true},
    {"over the last dim", inputs = {oracle.data(2, 3, 5)}, naive = oracle.along(-1, naive),
     second = true, big = {{300, 400}}},
    {"over the first dim", f = function(x) return f(x, 1) end, inputs = {oracle.data(4, 3)},
     naive = oracle.along(1, naive), second = true, big = {{300, 400}}},
    {"over the middle dim", f = function(x) return f(x, {dim = -2}) end,
     inputs = {oracle.data(2, 4, 3)}, naive = oracle.along(2, naive), second = true},
    {"of size 1", inputs = {oracle.data(3, 1)}, naive = oracle.along(-1, naive), second = true},
  })
end

op("logsumexp", {
  {"of everything", inputs = {oracle.data(33)}, naive = oracle.along(1, logsumexp), second = true},
  {"over one dim", f = function(x) return x:logsumexp(1, true) end, inputs = {oracle.data(3, 4)},
   naive = oracle.along(1, function(v) return {logsumexp(v)} end), strides = true, second = true,
   big = {{300, 400}}},
  {"over two dims", f = function(x) return x:logsumexp({1, 3}) end, inputs = {oracle.data(2, 3, 4)},
   naive = function(t)
     local r = {}
     for j = 1, 3 do
       local v = {}
       for i = 1, 2 do for k = 1, 4 do v[#v + 1] = t[i][j][k] end end
       r[j] = logsumexp(v)
     end
     return r
   end, second = true},
})

describe("softmax at the edges", function()
  it("does not overflow, and -inf has probability 0", function()
    local inf = math.huge
    oracle.near(equi.tensor({1e30, 0, -1e30}):softmax(), {1, 0, 0}, 0)
    oracle.near(equi.tensor({0, -inf, 0}):softmax(), {0.5, 0, 0.5}, 0)
    oracle.near(equi.tensor({0, -inf}):log_softmax(), {0, -inf}, 0)
    oracle.near(equi.tensor({-inf, -inf}):logsumexp(), -inf, 0)
    oracle.near(equi.tensor({inf, 0}):logsumexp(), inf, 0)
  end)

  it("NaN spreads over its row only", function()
    local nan = 0 / 0
    oracle.near(equi.tensor({{nan, 1}, {2, 2}}):softmax(), {{nan, nan}, {0.5, 0.5}}, 1e-7)
  end)

  it("keeps relative precision in rows of small numbers", function()
    local x = oracle.data({1000}, {low = -30, high = 0, dtype = "f32"})
    local got, want = x:softmax():to("f64"), x:to("f64"):softmax()
    assert.is_true((got / want - 1):abs():totable()[1] < 1e-5)
    oracle.near(got / want, equi.ones(1000):totable(), 1e-5)
  end)

  it("works on nothing and on a single number", function()
    assert.same({0, 3}, {equi.zeros(0, 3):softmax():size()})
    assert.same({3, 0}, {equi.zeros(3, 0):log_softmax():size()})
    oracle.near(equi.zeros(2, 0):logsumexp(2), {-math.huge, -math.huge}, 0)
    oracle.near(equi.tensor(5):softmax(), 1, 0)
    oracle.near(equi.tensor(5):logsumexp(), 5, 0)
    oracle.gradcheck(equi.softmax, {equi.tensor(5, {dtype = "f64"})})
  end)

  it("refuses whole numbers and dims that are not there", function()
    oracle.raises('softmax: x must have dtype f32 or f64, it is i64; convert it: x:to "f32"',
                  equi.softmax, equi.tensor({1, 2}, {dtype = "i64"}))
    oracle.raises("softmax: dim must be a whole number from 1 to 2", equi.softmax,
                  equi.zeros(2, 2), 3)
    oracle.raises("log_softmax: dim must be", equi.log_softmax, equi.zeros(2, 2), 0)
    oracle.raises('softmax: no option "axis"', equi.softmax, equi.zeros(2), {axis = 1})
  end)
end)
