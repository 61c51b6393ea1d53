-- Element-wise functions of one tensor: Lua's math library is the oracle, f64 that of f32.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local op = require "spec.support.cases"

local nan, inf = 0 / 0, math.huge
local exp, log, sqrt = math.exp, math.log, math.sqrt

local function tanh(x) return 1 - 2 / (exp(2 * x) + 1) end
local function sigmoid(x) return 1 / (1 + exp(-x)) end
local function sinh(x) return (exp(x) - exp(-x)) / 2 end
local function cosh(x) return (exp(x) + exp(-x)) / 2 end
-- The series of erf, exact to double precision for |x| < 3.
local function erf(x)
  local term, sum, k = x, x, 0
  while math.abs(term) > 1e-18 do
    k = k + 1
    term = -term * x * x / k
    sum = sum + term / (2 * k + 1)
  end
  return 2 / sqrt(math.pi) * sum
end
local function round(x)
  local low = math.floor(x)
  if x - low ~= 0.5 then return math.floor(x + 0.5) end
  return low % 2 == 0 and low or low + 1
end
local function sign(x) return x > 0 and 1 or x < 0 and -1 or 0 end
local function gelu_tanh(x)
  return 0.5 * x * (1 + tanh(sqrt(2 / math.pi) * (x + 0.044715 * x ^ 3)))
end

-- name = {the function, low, high, more options of the case}
local functions = {
  neg = {function(x) return -x end}, abs = {math.abs}, sign = {sign},
  square = {function(x) return x * x end}, exp = {exp}, expm1 = {function(x) return exp(x) - 1 end},
  exp2 = {function(x) return 2 ^ x end}, log = {log, 0.1, 3},
  log1p = {function(x) return log(1 + x) end, -0.9, 3},
  log2 = {function(x) return log(x, 2) end, 0.1, 3},
  log10 = {function(x) return log(x, 10) end, 0.1, 3}, sqrt = {sqrt, 0.2, 4},
  rsqrt = {function(x) return 1 / sqrt(x) end, 0.3, 4, {gradtol = 1e-6}},
  reciprocal = {function(x) return 1 / x end, 0.4, 3, {gradtol = 1e-6}},
  sin = {math.sin}, cos = {math.cos}, tan = {math.tan, -1.2, 1.2, {gradtol = 1e-6}},
  asin = {math.asin, -0.9, 0.9, {gradtol = 1e-6}}, acos = {math.acos, -0.9, 0.9, {gradtol = 1e-6}},
  atan = {math.atan}, sinh = {sinh}, cosh = {cosh}, tanh = {tanh}, sigmoid = {sigmoid},
  relu = {function(x) return math.max(x, 0) end}, silu = {function(x) return x * sigmoid(x) end},
  erf = {erf}, floor = {math.floor}, ceil = {math.ceil}, round = {round},
  gelu = {function(x) return 0.5 * x * (1 + erf(x / sqrt(2))) end},
  elu = {function(x) return x > 0 and x or exp(x) - 1 end},
  leaky_relu = {function(x) return x > 0 and x or 0.01 * x end},
  softplus = {function(x) return log(1 + exp(x)) end},
  hardtanh = {function(x) return math.max(-1, math.min(1, x)) end},
}

local function case(what, f, inputs, naive, more)
  local c = {what, f = f, inputs = inputs, naive = oracle.each(naive), second = true, tol = 1e-11}
  for k, v in pairs(more or {}) do c[k] = v end
  return c
end

for name, row in pairs(functions) do
  local opts, inputs = {low = row[2], high = row[3]}, {}
  for i, sizes in ipairs {{3, 5}, {1}, {}} do inputs[i] = {oracle.data(sizes, opts)} end
  op(name, {
    case("of a matrix", nil, inputs[1], row[1], row[4]),
    case("of one element", nil, inputs[2], row[1], row[4]),
    case("of a single number", nil, inputs[3], row[1], row[4]),
    case("of many", nil, {oracle.data({40}, opts)}, row[1],
         {grad = false, strides = false}),
  })
end

local x = oracle.data(4, 5)
op("activations with parameters", {
  case("elu(0.5)", function(a) return a:elu(0.5) end, {x},
       function(a) return a > 0 and a or 0.5 * (exp(a) - 1) end),
  case("leaky_relu(0.3)", function(a) return a:leaky_relu {slope = 0.3} end, {x},
       function(a) return a > 0 and a or 0.3 * a end),
  case("softplus(3)", function(a) return a:softplus(3) end, {x},
       function(a) return log(1 + exp(3 * a)) / 3 end, {gradtol = 1e-6}),
  case("hardtanh(-0.5, 0.7)", function(a) return a:hardtanh(-0.5, 0.7) end, {x},
       function(a) return math.max(-0.5, math.min(0.7, a)) end),
  case("threshold(0.3, 9)", function(a) return a:threshold(0.3, 9) end, {x},
       function(a) return a > 0.3 and a or 9 end),
  case("gelu tanh", function(a) return a:gelu("tanh") end, {x}, gelu_tanh),
  case("clamp", function(a) return a:clamp(-0.5, 0.7) end, {x},
       function(a) return math.max(-0.5, math.min(0.7, a)) end, {big = {{300, 301}}}),
  case("clamp from below", function(a) return a:clamp(0.1) end, {x},
       function(a) return math.max(0.1, a) end),
  case("clamp from above", function(a) return a:clamp {max = 0.1} end, {x},
       function(a) return math.min(0.1, a) end),
})

describe("element-wise functions", function()
  it("are the same under 1 and 2 threads", function()
    for name, row in pairs(functions) do
      local opts = {low = row[2], high = row[3], dtype = "f32"}
      oracle.both_threads(function()
        local a = oracle.data({210, 320}, opts):requires_grad_()
        local y = equi[name](a)
        y:sum():backward()
        return y, a.grad
      end)
    end
  end)

  it("work in place and on nothing", function()
    for name, row in pairs(functions) do
      local a = oracle.data({3, 5}, {low = row[2], high = row[3]})
      local want, c = equi[name](a), a:clone()
      assert.is_true(c[name .. "_"](c):shares_storage(c))
      oracle.near(c, want, 0, name)
      assert.same({0, 2}, {equi[name](equi.zeros(0, 2)):size()})
    end
    local part = equi.ones(4)
    part[{{1, 4, 2}}]:neg_()
    oracle.near(part, {-1, 1, -1, 1}, 0)
    oracle.near(equi.tensor({-3, 0.5, 3}):clamp_(-1, 1), {-1, 0.5, 1}, 0)
  end)

  it("keep NaN, and know the ends of the range", function()
    for name in pairs(functions) do
      if name ~= "sign" then oracle.near(equi[name](equi.tensor({nan})), {nan}, 0, name) end
    end
    oracle.near(equi.tensor({nan}):clamp(0, 1), {nan})
    local ends = equi.tensor({-inf, -1e30, -0.0, 0, 1e30, inf})
    local function is(name, values) oracle.near(equi[name](ends), values, 1e-6, name) end
    is("exp", {0, 0, 1, 1, inf, inf})
    is("log", {nan, nan, -inf, -inf, log(1e30), inf})
    is("tanh", {-1, -1, 0, 0, 1, 1})
    is("sigmoid", {0, 0, 0.5, 0.5, 1, 1})
    is("erf", {-1, -1, 0, 0, 1, 1})
    is("relu", {0, 0, 0, 0, 1e30, inf})
    is("softplus", {0, 0, log(2), log(2), 1e30, inf})
    is("elu", {-1, -1, 0, 0, 1e30, inf})
    is("reciprocal", {0, -1e-30, -inf, inf, 1e-30, 0})
  end)

  it("keep the sign of zero and small numbers", function()
    for _, name in ipairs {"tanh", "erf", "sin", "expm1", "log1p", "sqrt", "floor"} do
      local y = equi[name](equi.tensor({-0.0})):reciprocal():item()
      assert.equal(-inf, y, name)
    end
    local tiny = equi.tensor({1e-40})
    oracle.near(tiny:log(), {log(tiny:item())}, 1e-6)
    for _, name in ipairs {"tanh", "expm1", "log1p", "sin"} do
      assert.equal(tiny:item(), equi[name](tiny):item(), name)
    end
    local smallest = equi.tensor({-100}):exp():item()
    assert.near(1, smallest / exp(-100), 0.2)
  end)

  it("neg, abs, square and sign work on i64; floats only for the others", function()
    local a = equi.tensor({-3, 0, 5}, {dtype = "i64"})
    assert.same({3, 0, -5}, a:neg():totable())
    assert.same({3, 0, 5}, a:abs():totable())
    assert.same({9, 0, 25}, a:square():totable())
    assert.same({-1, 0, 1}, a:sign():totable())
    assert.equal("i64", a:abs().dtype)
    assert.same({0, 0, 5}, a:clamp(0, 9):totable())
    assert.same({2, 9}, equi.tensor({1, 200}, {dtype = "u8"}):clamp(2, 9):totable())
    oracle.raises('exp: x must have dtype f32 or f64, it is i64; convert it: x:to "f32"', equi.exp,
                  a)
    oracle.raises("neg: does not work on u8 tensors", equi.neg, a:to("u8"))
    oracle.raises("neg_: in-place changes are not recorded", function()
      equi.ones(2):requires_grad_():neg_()
    end)
    oracle.raises('gelu: approximate must be one of "none", "tanh", got "erf"', equi.gelu,
                  equi.ones(2), "erf")
    oracle.raises("threshold: threshold is missing", equi.threshold, equi.ones(2))
  end)
end)

describe("tests of elements", function()
  it("say what is NaN, infinite, finite, zero", function()
    local v = equi.tensor({nan, -inf, inf, 0, -0.0, 3})
    assert.same({true, false, false, false, false, false}, v:is_nan():totable())
    assert.same({false, true, true, false, false, false}, v:is_inf():totable())
    assert.same({false, false, false, true, true, true}, v:is_finite():totable())
    assert.same({false, false, false, true, true, false}, v:logical_not():totable())
    for _, dtype in ipairs {"i64", "u8", "bool"} do
      local w = equi.tensor({0, 1}):to(dtype)
      assert.same({false, false}, w:is_nan():totable())
      assert.same({false, false}, w:is_inf():totable())
      assert.same({true, true}, w:is_finite():totable())
      assert.same({true, false}, w:logical_not():totable())
    end
    local column = equi.tensor({{0, 5}, {1, 6}})[{{}, {1, 1}}]
    assert.same({{true}, {false}}, column:logical_not():totable())
  end)
end)

-- ---- accuracy of the f32 versions against f64 ----
-- The largest error in units of the last place, over `count` numbers from low to high; with `even`
-- spread evenly over the exponents instead.
local function worst_ulp(name, low, high, even)
  local a = oracle.data({30000}, {low = low, high = high, dtype = "f64"})
  if even then a = a:exp2() end
  a = a:to("f32")
  local got, want = equi[name](a):to("f64"), equi[name](a:to("f64"))
  local ulp = (want:abs():log2():floor() - 23):clamp(-149):exp2()
  local error = ((got - want):abs() / ulp)
  return error:amax():item()
end

describe("f32 functions", function()
  local function bound(ulps, name, ...)
    local worst = worst_ulp(name, ...)
    assert.is_true(worst <= ulps, ("%s: %.3f units in the last place"):format(name, worst))
  end

  it("exp, log, tanh and erf are exact to 2 units in the last place", function()
    bound(2, "exp", -103, 88.7)
    bound(2, "exp", -1, 1)
    bound(2, "exp", -149, 6, true)
    bound(2, "log", -149, 127, true)
    bound(2, "log", 0.5, 2)
    bound(2, "log1p", -0.999, 4)
    bound(2, "log1p", -149, 127, true)
    bound(2, "tanh", -10, 10)
    bound(2, "tanh", -149, 6, true)
    bound(2, "erf", -5, 5)
    bound(2, "erf", -140, 6, true)
  end)

  it("sigmoid and softplus to 3", function()
    bound(3, "sigmoid", -87, 30)
    bound(3, "sigmoid", -149, 6, true)
    bound(3, "softplus", -87, 90)
  end)
end)
