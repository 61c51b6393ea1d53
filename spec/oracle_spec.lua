-- The oracles themselves: each must be able to say no.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"

describe("oracle", function()
  it("near sees one wrong element, another shape and NaN", function()
    local x = equi.tensor({{1, 2}, {3, 4}}, {dtype = "f64"})
    oracle.near(x, {{1, 2}, {3, 4}}, 0)
    oracle.raises("at [2, 1]", oracle.near, x, {{1, 2}, {3.1, 4}}, 1e-3)
    oracle.raises("elements, expected", oracle.near, x, {{1, 2}}, 1e-3)
    oracle.raises("at [1, 1]", oracle.near, x, {{0 / 0, 2}, {3, 4}})
  end)

  it("gradcheck sees a wrong gradient, of first and of second order", function()
    local x = {oracle.data(2, 3)}
    oracle.gradcheck(function(a) return (a * a):sin() end, x, {second = true})
    -- the value depends on a in both factors, the gradient only on one
    oracle.raises("gradient of input 1", oracle.gradcheck, function(a) return a * a:detach() end, x)
    -- a^2 with the gradient 2a, in which the second a is cut off
    local function square(a)
      local d = a:detach()
      return 2 * (a * d) - d * d
    end
    oracle.gradcheck(function(a) return a * a end, x, {second = true})
    oracle.raises("second gradient", oracle.gradcheck, function(a)
      if not a.requires_grad then return a * a end
      return square(a)
    end, x, {second = true})
  end)

  it("variants have x's values and other strides", function()
    local x = oracle.data(3, 4)
    local seen = {}
    for _, v in ipairs(oracle.variants(x)) do
      seen[v.name] = true
      assert.is_false(v.x:is_contiguous(), v.name)
      if v.name ~= "expanded" then oracle.near(v.x, x, 0) end
      oracle.near(v.x, v.plain, 0)
    end
    assert.same({["every second element"] = true, transposed = true, expanded = true}, seen)
  end)

  it("both_threads sees a result that depends on the number of threads", function()
    oracle.both_threads(function() return equi.ones(3) end)
    oracle.raises("different bits", oracle.both_threads,
                  function() return equi.ones(3) * equi.threads() end)
  end)

  it("raises wants an error and its text", function()
    oracle.raises("no error", oracle.raises, "x", function() end)
    oracle.raises("the message is", oracle.raises, "x", error, "y")
  end)

  it("each broadcasts like an op", function()
    local add = oracle.each(function(a, b) return a + b end)
    assert.same({{11, 12}, {21, 22}}, add({{10}, {20}}, {1, 2}))
    local sum = oracle.along(1, function(v) return {v[1], v[1] + v[2]} end)
    assert.same({{1, 2}, {4, 6}}, sum({{1, 2}, {3, 4}}))
  end)
end)
