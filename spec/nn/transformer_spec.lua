-- nn/transformer.lua by its parts; whole models are compared with PyTorch in spec/models/gpt2_spec.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local nn = equi.nn

describe("nn.transformer", function()
  it("multiplies by [in, out] weights", function()
    local layer = nn.to(nn.affine(3, 2), "f64")
    local x = oracle.data(4, 3)
    oracle.near(layer(x), equi.linear(x, layer.weight:t(), layer.bias):detach(), 1e-15)
    assert.is_nil(nn.affine(3, 2, {bias = false}).bias)
  end)

  it("forbids later places and padding", function()
    local function rows(x) return x:to("i64"):totable() end
    assert.is_nil(nn.forbidden(1, 4))
    assert.same({{0, 0, 1}, {0, 0, 0}}, rows(nn.forbidden(2, 3)))
    local mask = equi.tensor({{false, true, true}}, {dtype = "bool"})
    assert.same({{{{1, 0, 0}}}}, rows(nn.forbidden(1, 3, mask)))
    assert.same({{{{1, 0, 1}, {1, 0, 0}}}}, rows(nn.forbidden(2, 3, mask)))
  end)

  it("attends to what is earlier only", function()
    local layer = nn.to(nn.causal_attention(8, 2), "f64")
    local x = oracle.data(1, 5, 8)
    local y, short = layer(x), layer(x:narrow(2, 1, 3))
    oracle.near(y:narrow(2, 1, 3), short:detach(), 1e-14)
  end)

  it("refuses what does not fit", function()
    local function refused(message, f, ...)
      local ok, problem = pcall(f, ...)
      assert.is_false(ok)
      assert.matches(message, problem, 1, true)
    end
    refused("causal_attention: 8 features do not divide into 3 heads", nn.causal_attention, 8, 3)
    refused('mlp: activation must be one of gelu, ', nn.mlp, 8, 32, {activation = "mish"})
    refused('block: no option "head"', nn.block, 8, 2, {head = 3})
  end)

  it("computes the activations that it lists", function()
    for _, name in ipairs(nn.activations()) do
      local y = nn.mlp(4, 8, {activation = name})(equi.ones(1, 4))
      assert.equal(4, y:numel())
    end
  end)

  it("is made without memory on demand, and adopts tensors", function()
    local before = equi.memory().live
    local block = nn.initialise.hollow(nn.block, 4096, 8)
    assert.is_true(equi.memory().live - before < 4096 * 400)
    assert.equal(12 * 4096 ^ 2 + 13 * 4096, block:count())
    local small, other = nn.initialise.hollow(nn.block, 8, 2), nn.block(8, 2)
    small:adopt(other:state_dict())
    assert.is_true(small.mlp.c_fc.weight:shares_storage(other.mlp.c_fc.weight))
    assert.is_true(small.mlp.c_fc.weight.requires_grad)
    local ok, problem = pcall(small.adopt, small, {weight = equi.ones(1)})
    assert.is_false(ok)
    assert.matches("adopt: 13 do not fit: missing attn.c_attn.bias; ", problem, 1, true)
  end)
end)
