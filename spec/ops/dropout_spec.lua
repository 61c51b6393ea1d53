-- dropout: what it keeps, how often, and that the random stream alone decides.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"

local function seeded(p, seed)
  return function(x)
    equi.seed(seed or 1)
    return x:dropout(p)
  end
end

describe("dropout", function()
  it("drops about p of the elements and scales the others", function()
    for _, p in ipairs {0.1, 0.5, 0.9} do
      local y, kept = seeded(p)(equi.ones(100, 100)):reshape(-1):totable(), 0
      for _, v in ipairs(y) do
        if v ~= 0 then
          kept = kept + 1
          assert.near(1 / (1 - p), v, 1e-5)
        end
      end
      -- four standard deviations
      assert.near((1 - p) * 1e4, kept, 4 * math.sqrt(p * (1 - p) * 1e4))
    end
  end)

  it("is the identity outside training and with p = 0, and zero with p = 1", function()
    local x = oracle.data(5)
    local state = equi.rng_state()
    oracle.near(x:dropout(0.5, false), x, 0)
    oracle.near(x:dropout(0), x, 0)
    assert.same(state, equi.rng_state())
    oracle.near(x:dropout(1), {0, 0, 0, 0, 0}, 0)
    assert.same({0, 2}, {equi.zeros(0, 2):dropout():size()})
    assert.is_true(seeded(0.5)(equi.ones(1)):item() % 2 == 0)
  end)

  it("follows the seed, and two calls differ", function()
    local x = equi.ones(50)
    oracle.near(seeded(0.5, 3)(x), seeded(0.5, 3)(x), 0)
    local a = seeded(0.5, 3)(x)
    assert.is_true((a - x:dropout(0.5)):abs():sum():item() > 0)
    assert.is_true((a - seeded(0.5, 4)(x)):abs():sum():item() > 0)
  end)

  it("sends the gradient through what was kept", function()
    oracle.gradcheck(seeded(0.4), {oracle.data(5, 7)}, {second = true})
    local x = equi.ones(200):requires_grad_()
    local y = x:dropout(0.5)
    y:sum():backward()
    oracle.near(x.grad, y, 0)
  end)

  it("does not depend on strides or threads", function()
    local x = oracle.data(6, 4)
    for _, v in ipairs(oracle.variants(x)) do
      oracle.near(seeded(0.5)(v.x), seeded(0.5)(v.plain), 0)
    end
    oracle.both_threads(function()
      local big = equi.ones(300, 401):requires_grad_()
      local y = seeded(0.3)(big)
      y:sum():backward()
      return y, big.grad
    end)
  end)

  it("wants a probability", function()
    oracle.raises("dropout: p must be from 0 to 1, got 1.5", equi.dropout, equi.ones(2), 1.5)
    oracle.raises("dropout: p must be from 0 to 1, got -0.1", equi.dropout, equi.ones(2), -0.1)
    oracle.raises("p must be from 0 to 1", equi.dropout, equi.ones(2), 0 / 0)
  end)
end)
