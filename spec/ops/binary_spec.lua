-- Arithmetic, comparisons and logic of two tensors, with broadcasting.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local op = require "spec.support.cases"

local nan, inf = 0 / 0, math.huge

-- name = {the function, low and high of x, of y, more options of the case}
local arithmetic = {
  add = {function(a, b) return a + b end}, sub = {function(a, b) return a - b end},
  mul = {function(a, b) return a * b end},
  div = {function(a, b) return a / b end, {-2, 2}, {0.5, 2}},
  pow = {function(a, b) return a ^ b end, {0.3, 2}, {-1.5, 2}},
  maximum = {math.max}, minimum = {math.min},
  remainder = {function(a, b) return a % b end, {0.1, 0.9}, {1.1, 1.9}},
  floor_divide = {function(a, b) return a // b end, {-5, 5}, {0.6, 2}, {grad = false}},
  atan2 = {function(a, b) return math.atan(a, b) end, {0.3, 2}, {-2, -0.3}},
}

local function inputs(row, ...)
  local list = {}
  for i, sizes in ipairs {...} do
    local range = row[i + 1] or {-2, 2}
    list[i] = oracle.data(sizes, {low = range[1], high = range[2], seed = i})
  end
  return list
end

for name, row in pairs(arithmetic) do
  local cases = {}
  local function add(what, a, b, big)
    local case = {what, inputs = inputs(row, a, b), naive = oracle.each(row[1]), second = true,
                  tol = 1e-11, gradtol = 1e-6, big = big}
    for k, v in pairs(row[4] or {}) do case[k] = v end
    cases[#cases + 1] = case
  end
  add("of equal shapes", {3, 4}, {3, 4}, {{200, 300}, {200, 300}})
  add("of a matrix and a row", {3, 4}, {4}, {{200, 300}, {300}})
  add("of a matrix and a column", {3, 4}, {3, 1}, {{200, 300}, {200, 1}})
  add("of a row and a matrix", {1, 4}, {3, 4})
  add("of an outer product", {3, 1}, {1, 4})
  add("of more dims on the right", {2, 1}, {3, 1, 4})
  add("of a single number", {}, {2, 3})
  add("of one element", {1}, {1})
  op(name, cases)
end

local blend = {oracle.data(3, 4), oracle.data({3, 4}, {seed = 2}), oracle.data({4}, {seed = 3})}
op("lerp", {
  {"with a tensor", inputs = blend, second = true,
   naive = oracle.each(function(a, b, w) return a + w * (b - a) end)},
  {"with a number", inputs = {blend[1], blend[2]}, second = true,
   f = function(a, b) return equi.lerp(a, b, 0.3) end,
   naive = oracle.each(function(a, b) return a + 0.3 * (b - a) end)},
})

local comparisons = {
  eq = function(a, b) return a == b end, ne = function(a, b) return a ~= b end,
  lt = function(a, b) return a < b end, le = function(a, b) return a <= b end,
  gt = function(a, b) return a > b end, ge = function(a, b) return a >= b end,
  logical_and = function(a, b) return a ~= 0 and b ~= 0 end,
  logical_or = function(a, b) return a ~= 0 or b ~= 0 end,
  logical_xor = function(a, b) return (a ~= 0) ~= (b ~= 0) end,
}

describe("comparisons", function()
  local a = equi.tensor({{0, 1, 2}, {2, 1, 0}})
  local b = equi.tensor({0, 1, 1})

  for name, f in pairs(comparisons) do
    it(name .. " works on every dtype and layout", function()
      for _, dtype in ipairs {"f32", "f64", "i64", "u8"} do
        local x, y = a:to(dtype), b:to(dtype)
        local got = equi[name](x, y)
        assert.equal("bool", got.dtype)
        oracle.near(got, oracle.each(f)(x:totable(), y:totable()), 0)
        for _, v in ipairs(oracle.variants(x)) do
          oracle.near(equi[name](v.x, y), equi[name](v.plain, y), 0)
        end
      end
      local p, q = equi.tensor({0, 0, 1, 1}):eq(1), equi.tensor({0, 1, 0, 1}):eq(1)
      local numbers = oracle.each(f)({0, 0, 1, 1}, {0, 1, 0, 1})
      oracle.near(equi[name](p, q), numbers, 0)
      oracle.near(equi[name](a, 1), oracle.each(f)(a:totable(), 1), 0)
      assert.same({0}, {equi[name](equi.zeros(0), equi.zeros(1)):size()})
    end)
  end

  it("with NaN are false, except ne", function()
    local n = equi.tensor({nan})
    for name in pairs {eq = 1, lt = 1, le = 1, gt = 1, ge = 1} do
      assert.is_false(equi[name](n, n):item(), name)
    end
    assert.is_true(equi.ne(n, n):item())
  end)
end)

describe("arithmetic", function()
  it("is there as operators, with numbers on either side", function()
    local x = equi.tensor({1, 2, 3})
    oracle.near(x + 1, {2, 3, 4}, 0)
    oracle.near(1 - x, {0, -1, -2}, 0)
    oracle.near(2 * x, {2, 4, 6}, 0)
    oracle.near(6 / x, {6, 3, 2}, 1e-7)
    oracle.near(x ^ 2, {1, 4, 9}, 0)
    oracle.near(2 ^ x, {2, 4, 8}, 0)
    oracle.near(x % 2, {1, 0, 1}, 0)
    oracle.near(7 // x, {7, 3, 2}, 0)
    oracle.near(-x, {-1, -2, -3}, 0)
  end)

  it("of whole numbers follows Lua's", function()
    local values = {-7, -1, 0, 1, 2, 7}
    for _, b in ipairs {-3, -1, 1, 2, 5} do
      local x = equi.tensor(values, {dtype = "i64"})
      for i, a in ipairs(values) do
        assert.equal(a // b, (x // b)[i]:item())
        assert.equal(a % b, (x % b)[i]:item())
        if b > 0 then assert.equal((a ^ b) // 1, (x ^ b)[i]:item()) end
      end
    end
    local zero = equi.tensor({5}, {dtype = "i64"})
    assert.equal(0, (zero // 0):item())
    assert.equal(0, (zero % 0):item())
    assert.equal(44, (equi.tensor({200}, {dtype = "u8"}) + 100):item())
    assert.equal(math.mininteger, (equi.tensor({math.maxinteger}, {dtype = "i64"}) + 1):item())
    local negative = equi.tensor({2, 1, -1}, {dtype = "i64"}):pow(-1)
    assert.same({0, 1, -1}, negative:totable())
  end)

  it("with zero, inf and NaN follows IEEE 754", function()
    oracle.near(equi.tensor({1, -1, 0}) / 0, {inf, -inf, nan})
    oracle.near(equi.maximum(equi.tensor({nan, 1}), equi.tensor({1, nan})), {nan, nan})
    oracle.near(equi.minimum(equi.tensor({nan, 1}), equi.tensor({1, nan})), {nan, nan})
    oracle.near(equi.tensor({0}) ^ 0, {1}, 0)
    oracle.near(equi.tensor({-8}) ^ (1 / 3), {nan})
  end)

  it("shares the gradient of ties, and takes that of 0^y in y as 0", function()
    local x = equi.tensor({2, 2}, {requires_grad = true})
    oracle.near(equi.grad(equi.maximum(x, 2):sum(), x), {0.5, 0.5}, 0)
    local y = equi.tensor({2}, {requires_grad = true})
    oracle.near(equi.grad((equi.zeros(1) ^ y):sum(), y), {0}, 0)
    oracle.gradcheck(function(a) return a ^ 2 end, {oracle.data(6)}, {second = true})
    oracle.gradcheck(function(a) return a ^ 3 end, {equi.tensor({0, -1.5}, {dtype = "f64"})})
  end)

  it("works in place, in parts and on itself", function()
    local x = equi.tensor({{1, 2}, {3, 4}})
    x:add_(equi.tensor({10, 20}))
    oracle.near(x, {{11, 22}, {13, 24}}, 0)
    x[1]:mul_(2)
    oracle.near(x, {{22, 44}, {13, 24}}, 0)
    x:sub_(x:transpose())
    oracle.near(x, {{0, 31}, {-31, 0}}, 0)
    oracle.raises("add_: the result is 2 x 2 and does not fit into x, which is 2", function()
      equi.zeros(2):add_(equi.zeros(2, 2))
    end)
    oracle.raises("add_: in-place changes are not recorded for gradients", function()
      equi.zeros(2):requires_grad_():add_(1)
    end)
  end)

  it("says what does not fit", function()
    for name in pairs(arithmetic) do
      oracle.raises(name .. ": shapes do not fit: 2 x 3 and 4; sizes must be equal or 1",
                    equi[name], equi.zeros(2, 3), equi.zeros(4))
      oracle.raises(name .. ": tensors of dtype f32 and f64 do not mix; convert one", equi[name],
                    equi.zeros(2), equi.zeros(2, {dtype = "f64"}))
      oracle.raises(name .. ": y must be a tensor or a number, got \"one\"", equi[name],
                    equi.zeros(2), "one")
      oracle.raises(name .. ": y is missing", equi[name], equi.zeros(2))
    end
    oracle.raises("add: the number 0.5", equi.add, equi.zeros(2, {dtype = "i64"}), 0.5)
    oracle.raises("div: does not work on i64 tensors", equi.div, equi.zeros(2, {dtype = "i64"}), 2)
    oracle.raises("add: at least one operand must be a tensor", equi.add, 1, 2)
    oracle.raises("add: the number", equi.add, equi.zeros(2):eq(0), 2)
  end)

  it("refuses changed inputs and used graphs", function()
    local x = equi.ones(2):requires_grad_()
    local w = equi.ones(2)
    local y = (x * w):sum()
    w:add_(1)
    oracle.raises("was changed in place after it was used", y.backward, y)
  end)
end)
