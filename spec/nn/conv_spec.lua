local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local nn = equi.nn

describe("nn convolutions", function()
  it("have PyTorch's shapes and start uniform in +-1/sqrt(fan in)", function()
    local layer = nn.conv2d(6, 8, {3, 2}, {groups = 2})
    assert.same({8, 3, 3, 2}, {layer.weight:size()})
    assert.same({8}, {layer.bias:size()})
    local wide, bound = nn.conv2d(16, 64, 5), 1 / math.sqrt(16 * 25)
    local most = wide.weight:abs():max():item()
    assert.is_true(most <= bound and most > 0.99 * bound)
    assert.is_true(wide.bias:abs():max():item() <= bound)
    assert.is_true(wide.weight.requires_grad)
    assert.same({6, 4, 3, 3}, {nn.conv_transpose2d(6, 8, 3, {groups = 2}).weight:size()})
    assert.same({8, 6, 5}, {nn.conv1d(6, 8, 5).weight:size()})
    assert.equal(nil, nn.conv2d(3, 4, 1, {bias = false}).bias)
    local names = {}
    for name in pairs(layer:state_dict()) do names[#names + 1] = name end
    table.sort(names)
    assert.same({"bias", "weight"}, names)
  end)

  it("are the ops with their weights", function()
    local x = oracle.data({2, 4, 6, 7}, {dtype = "f32"})
    local a = nn.conv2d(4, 6, {3, 2}, {stride = {2, 1}, padding = {1, 0}, dilation = {1, 2},
                                      groups = 2})
    oracle.near(a(x), equi.conv2d(x, a.weight, a.bias, {stride = {2, 1}, padding = {1, 0},
      dilation = {1, 2}, groups = 2}), 0)
    local b = nn.conv2d(4, 3, 3, {padding = {0, 1, 2, 3}, bias = false})
    oracle.near(b(x), equi.conv2d(x, b.weight, nil, {padding = {0, 1, 2, 3}}), 0)
    local c = nn.conv_transpose2d(4, 6, 3, {stride = 2, padding = 1, output_padding = {1, 0},
                                            groups = 2, dilation = 2})
    oracle.near(c(x), equi.conv_transpose2d(x, c.weight, c.bias, {stride = 2, padding = 1,
      output_padding = {1, 0}, groups = 2, dilation = 2}), 0)
    local t = oracle.data({2, 4, 9}, {dtype = "f32"})
    local d = nn.conv1d(4, 6, 3, {stride = 2, padding = 1})
    oracle.near(d(t), equi.conv1d(t, d.weight, d.bias, {stride = 2, padding = 1}), 0)
    a(x):sum():backward()
    assert.same({6, 2, 3, 2}, {a.weight.grad:size()})
  end)

  it("take their border from the image", function()
    local x = oracle.data({1, 2, 5, 6}, {dtype = "f32"})
    for _, mode in ipairs {"reflect", "replicate", "circular"} do
      local layer = nn.conv2d(2, 3, 3, {padding = {1, 2}, padding_mode = mode})
      oracle.near(layer(x), equi.conv2d(x:pad({2, 2, 1, 1}, {mode = mode}), layer.weight,
        layer.bias), 0)
      local same = nn.conv2d(2, 3, {4, 3}, {padding = "same", padding_mode = mode})
      oracle.near(same(x), equi.conv2d(x:pad({1, 1, 1, 2}, {mode = mode}), same.weight,
        same.bias), 0)
      local valid = nn.conv2d(2, 3, 3, {padding = "valid", padding_mode = mode})
      oracle.near(valid(x), equi.conv2d(x, valid.weight, valid.bias), 0)
      local line = nn.conv1d(2, 3, 3, {padding = 2, padding_mode = mode})
      local t = oracle.data({1, 2, 6}, {dtype = "f32"})
      oracle.near(line(t), equi.conv1d(t:pad({2, 2}, {mode = mode}), line.weight, line.bias), 0)
    end
  end)

  it("show what they are", function()
    assert.equal("conv2d(3, 8, 3 x 3)", tostring(nn.conv2d(3, 8, 3)))
    assert.equal('conv2d(4, 8, 3 x 2, padding "same", dilation 1 x 2, groups 2, circular, no bias)',
      tostring(nn.conv2d(4, 8, {3, 2}, {padding = "same", dilation = {1, 2}, groups = 2,
        padding_mode = "circular", bias = false})))
    assert.equal("conv1d(4, 8, 3, stride 2, padding 1)", tostring(nn.conv1d(4, 8, 3, {stride = 2,
      padding = 1})))
    assert.equal("conv_transpose2d(4, 8, 2 x 2, stride 2, output_padding 1 x 0, groups 2)",
      tostring(nn.conv_transpose2d(4, 8, 2, {stride = 2, output_padding = {1, 0}, groups = 2})))
  end)

  it("say what does not fit", function()
    oracle.raises("conv2d: inputs must be a whole number of at least 1, got 0", nn.conv2d, 0, 1, 1)
    oracle.raises("conv2d: kernel must be a whole number of at least 1, or two {height, width}, "
      .. "got {3, 3, 3}", nn.conv2d, 1, 1, {3, 3, 3})
    oracle.raises("conv1d: kernel must be a whole number of at least 1, got nothing", nn.conv1d, 1,
      1)
    oracle.raises("conv2d: stride must be a whole number of at least 1, or two {height, width}, "
      .. "got 0", nn.conv2d, 1, 1, 3, {stride = 0})
    oracle.raises("conv2d: inputs is 3, which 2 groups do not divide", nn.conv2d, 3, 4, 3,
      {groups = 2})
    oracle.raises('conv2d: padding must be numbers, "same" or "valid", got "full"', nn.conv2d, 3,
      4, 3, {padding = "full"})
    oracle.raises('conv2d: padding "same" keeps sizes with stride 1 only, the stride is 2',
      nn.conv2d, 3, 4, 3, {padding = "same", stride = 2})
    oracle.raises('conv2d: padding_mode must be "zeros", "reflect", "replicate" or "circular", got '
      .. '"mirror"', nn.conv2d, 3, 4, 3, {padding_mode = "mirror"})
    oracle.raises('conv2d: no option "pad"', nn.conv2d, 3, 4, 3, {pad = 1})
    oracle.raises("conv_transpose2d: output_padding must be a whole number of at least 0",
      nn.conv_transpose2d, 3, 4, 3, {output_padding = -1})
    oracle.raises("in conv2d: x must be batch x channels x height x width, it is 3 x 4",
      nn.conv2d(3, 4, 3), equi.zeros(3, 4))
  end)
end)
