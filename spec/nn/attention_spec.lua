local equi = require "lua_equi"
local formula = require "spec.support.formula"
local oracle = require "spec.support.oracle"
local vectors = require "spec.support.nn_vectors"
local nn = equi.nn

describe("nn.attention", function()
  for _, case in ipairs(vectors.attention) do
    it(("matches PyTorch's, causal %s, memory of %s"):format(case.causal, case.memory), function()
      local layer = formula.fill(nn.attention(4, 2, {causal = case.causal}))
      local x = formula.filled({2, 3, 4}, 0):requires_grad_()
      local memory = case.memory and formula.filled({2, case.memory, 4}, 9)
      local y = layer(x, memory)
      oracle.near(y:reshape(-1), case.y, 1e-8, "y")
      formula.loss(y):backward()
      oracle.near(x.grad:reshape(-1), case.gx, 1e-8, "gradient of x")
    end)
  end

  it("does not see what is masked", function()
    local q, k, v = equi.randn(1, 2, 4), equi.randn(1, 3, 4), equi.randn(1, 3, 4)
    local mask = equi.tensor {{false, false, true}, {false, true, true}}
    local y = nn.dot_product_attention(q, k, v, {mask = mask})
    oracle.near(y[1][2], v[1][1], 1e-6)
    local short = nn.dot_product_attention(q, k[{{1, 1}, {1, 2}}], v[{{1, 1}, {1, 2}}])
    oracle.near(y[1][1], short[1][1], 1e-6)
  end)

  it("looks back from the last positions when the memory is longer", function()
    local q, k, v = equi.randn(1, 2, 4), equi.randn(1, 5, 4), equi.randn(1, 5, 4)
    local y = nn.dot_product_attention(q, k, v, {causal = true})
    local last = nn.dot_product_attention(q[{{1, 1}, {2, 2}}], k, v)
    oracle.near(y[1][2], last[1][1], 1e-6)
    local first = nn.dot_product_attention(q[{{1, 1}, {1, 1}}], k[{{1, 1}, {1, 4}}], v[{{1, 1},
      {1, 4}}])
    oracle.near(y[1][1], first[1][1], 1e-6)
  end)

  it("drops weights in training only", function()
    equi.seed(2)
    local layer, x = nn.attention(4, 2, {dropout = 0.5}), equi.randn(2, 6, 4)
    assert.is_true((layer(x) - layer(x)):abs():sum():item() > 0)
    layer:eval()
    assert.equal(0.0, (layer(x) - layer(x)):abs():sum():item())
  end)

  it("refuses heads that do not divide the features", function()
    local ok, text = pcall(function()
      local layer = nn.attention(6, 4)
      return layer
    end)
    assert.is_false(ok)
    assert.matches(
      "^[^:]*attention_spec%.lua:%d+: attention: 6 features do not divide into 4 heads$", text)
    assert.equal(4 * (4 * 4), nn.attention(4, 2, {bias = false}):count())
  end)
end)
