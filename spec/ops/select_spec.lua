-- where and straight_through against loops over Lua tables.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local op = require "spec.support.cases"

local data, raises = oracle.data, oracle.raises
local cond = equi.tensor {{true, false, true}, {false, false, true}}

local function choose(c, x, y)
  if c == true or c == 1 then return x end
  return y
end

op("where", {
  {"of one shape", inputs = {cond, data(2, 3), data({2, 3}, {seed = 5})},
   naive = oracle.each(choose), second = true},
  {"broadcast", inputs = {cond, data(3), data(2, 1)}, naive = oracle.each(choose), second = true},
  {"by one condition", inputs = {equi.tensor(true), data(2, 1), data(3)},
   naive = oracle.each(choose)},
  {"by u8", inputs = {equi.tensor({1, 0, 1}, {dtype = "u8"}), data(3), data(2, 3)},
   naive = oracle.each(choose)},
  {"and a number", f = function(c, x) return equi.where(c, x, 7) end, inputs = {cond, data(2, 3)},
   naive = oracle.each(function(c, x) return c and x or 7 end), second = true},
})

describe("where", function()
  it("works on every dtype and never looks at what is not chosen", function()
    for _, dtype in ipairs {"f32", "f64", "i64", "u8"} do
      local x = equi.tensor({1, 2}, {dtype = dtype})
      local y = equi.where(equi.tensor {false, true}, x, 9)
      assert.same({9, 2}, y:totable())
      assert.equal(dtype, y.dtype)
    end
    local b = equi.tensor {true, false}
    assert.same({false, false}, equi.where(b, b:logical_not(), b):totable())
    local big = equi.where(b, equi.tensor({9007199254740993, 0}, {dtype = "i64"}), 0)
    assert.same({9007199254740993, 0}, big:totable())
    local w = equi.tensor({1, 2}):requires_grad_()
    equi.where(b, w, 0 / 0):sum():backward()
    assert.same({1, 0}, w.grad:totable())
  end)

  it("takes numbers, sizes of 0 and many elements", function()
    assert.same({1, 2}, equi.where(equi.tensor {true, false}, 1, 2):totable())
    assert.same({0, 2}, {equi.where(equi.zeros(0, 1):gt(0), equi.zeros(2), 1):size()})
    local x, y = data({300, 401}, {dtype = "f32"}), data({401}, {dtype = "f32", seed = 2})
    oracle.both_threads(function() return equi.where(x:gt(0), x, y) end)
  end)

  it("refuses what does not fit", function()
    local x = equi.zeros(2, 3)
    raises("where: cond must have dtype bool or u8, it is f32", equi.where, x, x, x)
    raises("where: shapes do not fit: 2 and 2 x 3", equi.where, equi.tensor {true, false}, x, x)
    raises("where: tensors of dtype f32 and f64 do not mix", equi.where, cond, x, x:double())
    raises("where: the number 1.5 does not fit an i64 tensor", equi.where, cond, x:long(), 1.5)
  end)
end)

describe("straight_through", function()
  it("has the value of one tensor and the gradient of the other", function()
    for _, dtype in ipairs {"f32", "f64"} do
      local x = data({3, 2}, {dtype = dtype}):t():detach():requires_grad_()
      local value = data({2, 3}, {dtype = dtype, seed = 2}):requires_grad_()
      local y = equi.straight_through(x, value)
      oracle.near(y, value, 0);
      (y * y):sum():backward()
      oracle.near(x.grad, value * 2, 0)
      assert.is_nil(value.grad)
    end
    local far = equi.straight_through(equi.tensor {math.huge}, equi.tensor {1})
    assert.equal(1, far:item())
    assert.same({0, 2}, {equi.straight_through(equi.zeros(0, 2), equi.zeros(0, 2)):size()})
  end)

  it("refuses tensors that are not alike", function()
    raises("straight_through: x is f32 2, value is f32 3; they must be alike",
           equi.straight_through, equi.zeros(2), equi.zeros(3))
    raises("straight_through: tensors of dtype f32 and f64 do not mix",
           equi.straight_through, equi.zeros(2), equi.zeros(2):double())
  end)
end)
