local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local nn = equi.nn

describe("nn layers that change sizes", function()
  local x = oracle.data({2, 3, 7, 8}, {dtype = "f32"})

  it("are the ops", function()
    local o = {stride = 2, padding = 1, ceil_mode = true}
    oracle.near(nn.max_pool2d(3, o)(x), equi.max_pool2d(x, 3, o), 0)
    oracle.near(nn.avg_pool2d(3, o)(x), equi.avg_pool2d(x, 3, o), 0)
    oracle.near(nn.max_pool2d({2, 3})(x), equi.max_pool2d(x, {2, 3}), 0)
    oracle.near(nn.max_pool2d(2, {dilation = 2})(x), equi.max_pool2d(x, 2, {dilation = 2}), 0)
    local p = {padding = 1, count_include_pad = false}
    oracle.near(nn.avg_pool2d(2, p)(x), equi.avg_pool2d(x, 2, p), 0)
    oracle.near(nn.avg_pool2d(2, {divisor = 3})(x), equi.avg_pool2d(x, 2, {divisor = 3}), 0)
    oracle.near(nn.adaptive_avg_pool2d({2, 3})(x), equi.adaptive_avg_pool2d(x, {2, 3}), 0)
    oracle.near(nn.adaptive_max_pool2d(2)(x), equi.adaptive_max_pool2d(x, 2), 0)
    oracle.near(nn.upsample({scale = 1.5})(x), equi.upsample(x, {scale = 1.5}), 0)
    local u = {size = {9, 5}, mode = "bilinear", align_corners = true}
    oracle.near(nn.upsample(u)(x), equi.upsample(x, u), 0)
  end)

  it("flatten, relu and identity do what they say", function()
    oracle.near(nn.flatten()(x), x:reshape(2, 168), 0)
    oracle.near(nn.flatten()(x:channels_last()), x:reshape(2, 168), 0)
    oracle.near(nn.flatten(3)(x), x:reshape(2, 3, 56), 0)
    oracle.near(nn.flatten(1, 2)(x), x:reshape(6, 7, 8), 0)
    oracle.near(nn.relu()(x), x:relu(), 0)
    assert.equal(x, nn.identity()(x))
  end)

  it("show what they are", function()
    local net = nn.sequential(nn.max_pool2d(3, {stride = 2, padding = {1, 0}}), nn.max_pool2d(2),
      nn.avg_pool2d(2, {count_include_pad = false, divisor = 3}), nn.adaptive_avg_pool2d {1, 2},
      nn.upsample {size = 4, mode = "bilinear", align_corners = true}, nn.flatten())
    assert.equal([[
sequential()
  [1]: max_pool2d(3, stride 2, padding 1 x 0)
  [2]: max_pool2d(2)
  [3]: avg_pool2d(2, count_include_pad false, divisor 3)
  [4]: adaptive_avg_pool2d(1 x 2)
  [5]: upsample(size 4, bilinear, align_corners)
  [6]: flatten(2, -1)]], tostring(net))
  end)

  it("say what does not fit", function()
    oracle.raises("max_pool2d: kernel must be a whole number of at least 1, or two {height, "
      .. "width}, got nothing", nn.max_pool2d)
    oracle.raises("avg_pool2d: stride must be a whole number of at least 1", nn.avg_pool2d, 2,
      {stride = 0})
    oracle.raises("max_pool2d: padding must be at most half the kernel, got 2 for a kernel of 3",
      nn.max_pool2d, 3, {padding = 2})
    oracle.raises("avg_pool2d: divisor must be a whole number of at least 1, got 0", nn.avg_pool2d,
      2, {divisor = 0})
    oracle.raises('avg_pool2d: no option "dilation"', nn.avg_pool2d, 2, {dilation = 2})
    oracle.raises("adaptive_avg_pool2d: size must be a whole number of at least 1",
      nn.adaptive_avg_pool2d, {1, 0})
    oracle.raises("upsample: needs either size or scale", nn.upsample)
    oracle.raises("upsample: needs either size or scale, not both", nn.upsample,
      {size = 2, scale = 2})
    oracle.raises('upsample: mode must be "nearest" or "bilinear", got "cubic"', nn.upsample,
      {size = 2, mode = "cubic"})
    oracle.raises('upsample: align_corners goes with mode "bilinear" only', nn.upsample,
      {size = 2, align_corners = true})
    oracle.raises("flatten: first must be a dim, from 1 or negative from the end, got 0",
      nn.flatten, 0)
  end)
end)
