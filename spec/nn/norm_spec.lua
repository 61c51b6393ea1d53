local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local nn = equi.nn

describe("nn.batch_norm", function()
  it("has PyTorch's names, and numbers that are no parameters", function()
    local state, count = nn.batch_norm2d(3):state_dict(), 0
    for _, name in ipairs {"weight", "bias", "running_mean", "running_var",
      "num_batches_tracked"} do assert.is_truthy(state[name], name) end
    for _ in pairs(state) do count = count + 1 end
    assert.equal(5, count)
    assert.equal("i64", state.num_batches_tracked.dtype)
    assert.equal(0, state.num_batches_tracked.ndim)
    assert.equal(6, nn.batch_norm2d(3):count())
    assert.equal(0, nn.batch_norm1d(3, {affine = false}):count())
    assert.equal("batch_norm1d(3)", tostring(nn.batch_norm1d(3)))
  end)

  it("tracks batches in training and uses what it tracked afterwards", function()
    local layer = nn.batch_norm2d(2, {momentum = 0.5})
    local x = oracle.data({4, 2, 3, 3}, {dtype = "f32"})
    layer(x)
    layer(x)
    assert.equal(2, layer.num_batches_tracked:item())
    local mean = x:mean({1, 3, 4})
    oracle.near(layer.running_mean, mean * 0.75, 1e-5)
    layer:eval()
    local before = layer.running_mean:clone()
    local y = layer(x)
    oracle.near(layer.running_mean, before, 0)
    assert.equal(2, layer.num_batches_tracked:item())
    local m, v = layer.running_mean:reshape(2, 1, 1), layer.running_var:reshape(2, 1, 1)
    oracle.near(y, (x - m) / (v + 1e-5):sqrt(), 1e-5)
    layer:train()(x)
    assert.equal(3, layer.num_batches_tracked:item())
  end)

  it("adds and rectifies in the same pass", function()
    local layer, x = nn.batch_norm2d(2), oracle.data({4, 2, 3, 3}, {dtype = "f32"})
    local plain, add = layer(x), oracle.data({4, 2, 3, 3}, {dtype = "f32", seed = 5})
    oracle.near(layer(x, {relu = true}), plain:relu(), 1e-6)
    oracle.near(layer(x, {add = add}), plain + add, 1e-6)
    oracle.near(layer(x, {add = add, relu = true}), (plain + add):relu(), 1e-6)
    oracle.raises('batch_norm2d: no option "rleu"', layer, x, {rleu = true})
  end)

  it("changes its dtype, and takes rows and sequences in one dimension", function()
    local layer = nn.batch_norm1d(3):to "f64"
    assert.equal("f64", layer.running_var.dtype)
    assert.equal("i64", layer.num_batches_tracked.dtype)
    assert.same({4, 3}, {layer(oracle.data(4, 3)):size()})
    assert.same({4, 3, 2}, {layer(oracle.data(4, 3, 2)):size()})
    oracle.raises("in batch_norm1d: x must be B x 3 or B x 3 x L, got a tensor f64 2",
                  layer, oracle.data(2))
    oracle.raises("batch_norm2d: x must be B x 3 x H x W, got a tensor f32 1 x 4 x 2 x 2",
                  nn.batch_norm2d(3), equi.zeros(1, 4, 2, 2))
  end)
end)

describe("nn.group_norm and nn.local_response_norm", function()
  it("are the ops with their own numbers", function()
    local x = oracle.data({2, 6, 3, 3}, {dtype = "f32"})
    local layer = nn.group_norm(3, 6, {eps = 1e-3})
    layer.weight:detach():fill_(2)
    oracle.near(layer(x), equi.group_norm(x, 3, {eps = 1e-3}) * 2, 1e-5)
    assert.equal("group_norm(3, 6)", tostring(layer))
    oracle.raises("group_norm: 6 channels do not divide into 4 groups", nn.group_norm, 4, 6)
    oracle.near(nn.local_response_norm(5, {alpha = 1, k = 2})(x),
                equi.local_response_norm(x, 5, 1, 0.75, 2), 0)
    assert.equal("local_response_norm(5)", tostring(nn.local_response_norm(5)))
  end)
end)
