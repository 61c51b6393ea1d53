-- append against cat: values, gradients, and whose memory is whose.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local op = require "spec.support.cases"

local function nested(a, b)
  local r = {}
  for n = 1, #a do
    r[n] = {}
    for _, channel in ipairs(a[n]) do r[n][#r[n] + 1] = channel end
    for _, channel in ipairs(b[n]) do r[n][#r[n] + 1] = channel end
  end
  return r
end

op("append", {
  {"images", inputs = {oracle.data(2, 3, 2, 2), oracle.data({2, 2, 2, 2}, {seed = 2})},
   naive = nested, second = true, big = {{4, 30, 20, 20}, {4, 12, 20, 20}}},
  {"rows, with room", f = function(x, y) return equi.append(x, y, 20) end,
   inputs = {oracle.data(4, 3), oracle.data({4, 2}, {seed = 2})}, naive = nested, second = true},
  {"three times, with a use of every part", f = function(x, y)
     local a = equi.append(x, y, 9)
     local b = equi.append(a, a:narrow(2, 1, 2):square(), 9)
     local c = equi.append(b, b:narrow(2, 3, 1) * 3)
     return c * a:sum() + (b * b):sum()
   end, inputs = {oracle.data(2, 3, 2, 2), oracle.data({2, 2, 2, 2}, {seed = 2})}, second = true,
   gradtol = 1e-6},
})

describe("append", function()
  local x, y = oracle.data(2, 3, 4, 4), oracle.data({2, 2, 4, 4}, {seed = 2})

  it("writes behind what is there while there is room", function()
    local a = equi.append(x, y, 8)
    local b = equi.append(a, y)
    assert.is_true(b:shares_storage(a))
    oracle.near(b, equi.cat({x, y, y}, 2), 0)
    oracle.near(a, equi.cat({x, y}, 2), 0)
    local c = equi.append(b, y)
    assert.is_false(c:shares_storage(b))
    oracle.near(c, equi.cat({x, y, y, y}, 2), 0)
  end)

  it("never writes where another append has written", function()
    local a = equi.append(x, y, 16)
    local b, c = equi.append(a, y), equi.append(a, -y)
    assert.is_true(b:shares_storage(a))
    assert.is_false(c:shares_storage(a))
    oracle.near(b, equi.cat({x, y, y}, 2), 0)
    oracle.near(c, equi.cat({x, y, -y}, 2), 0)
    local part = equi.append(a:narrow(2, 1, 2), y)
    assert.is_false(part:shares_storage(a))
    oracle.near(part, equi.cat({x:narrow(2, 1, 2), y}, 2), 0)
    oracle.near(b, equi.cat({x, y, y}, 2), 0)
  end)

  it("goes back into both, the gradient of a part added to that of the whole", function()
    local p, q = x:clone():requires_grad_(), y:clone():requires_grad_()
    local a = equi.append(p, q, 7)
    local b = equi.append(a, a:narrow(2, 1, 2) * 2);
    (b * b):sum():backward()
    oracle.near(p.grad:narrow(2, 1, 2), x:narrow(2, 1, 2) * 10, 1e-12)
    oracle.near(p.grad:narrow(2, 3, 1), x:narrow(2, 3, 1) * 2, 1e-12)
    oracle.near(q.grad, y * 2, 1e-12)
  end)

  it("takes nothing, and says what does not fit", function()
    assert.same({2, 3, 4, 4}, {equi.append(x, y:narrow(2, 1, 0), 5):size()})
    assert.same({0, 5}, {equi.append(equi.zeros(0, 3), equi.zeros(0, 2), 8):size()})
    oracle.raises("append: x is 2 x 3 x 4 x 4, new is 2 x 48; they must be B x C x .. and " ..
      "differ in C only", equi.append, x, x:reshape(2, 48))
  end)
end)
