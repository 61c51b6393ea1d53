-- Touches every layer in under two seconds: run it first, always.
local equi = require "lua_equi"

describe("tiny", function()
  it("adds, multiplies and sums with broadcasting", function()
    local x = equi.tensor({{1, 2}, {3, 4}})
    assert.equal(34, (x * x + equi.ones(2)):sum():item())
  end)

  it("differentiates", function()
    local x = equi.tensor({{1, 2}, {3, 4}}, {requires_grad = true});
    (x * x):sum():backward()
    assert.same({{2, 4}, {6, 8}}, x.grad:totable())
  end)

  it("refuses what does not fit, in one sentence", function()
    local ok, message = pcall(function() return equi.zeros(2, 3) + equi.zeros(4) end)
    assert.is_false(ok)
    assert.matches("add: shapes do not fit: 2 x 3 and 4", message, 1, true)
  end)
end)
