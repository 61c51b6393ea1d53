-- Other sizes, borders and turning of images; PyTorch's numbers are in conv_vectors_spec.lua.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"

local function check_layouts(f)
  local x = oracle.data(2, 3, 5, 6)
  local want = f(x)
  assert.is_true(want:is_channels_last())
  oracle.near(f(x:channels_last()), want, 0)
  for _, v in ipairs(oracle.variants(x)) do oracle.near(f(v.x), f(v.plain), 0, v.name) end
  oracle.both_threads(function()
    local big = oracle.data({3, 20, 40, 37}, {dtype = "f32"}):requires_grad_()
    local y = f(big)
    y:square():sum():backward()
    return y, big.grad
  end)
  local none = equi.zeros(0, 3, 5, 6):requires_grad_()
  f(none):sum():backward()
  assert.same({0, 3, 5, 6}, {none.grad:size()})
end

describe("upsample", function()
  it("repeats pixels", function()
    local x = equi.tensor({1, 2, 3, 4}):reshape(1, 1, 2, 2)
    oracle.near(equi.upsample(x, {scale = 2}),
      {{{{1, 1, 2, 2}, {1, 1, 2, 2}, {3, 3, 4, 4}, {3, 3, 4, 4}}}}, 0)
    oracle.near(equi.upsample(x, {2, 3}), {{{{1, 1, 2}, {3, 3, 4}}}}, 0)
    oracle.near(equi.upsample(x, 1), {{{{1}}}}, 0)
    local y = equi.upsample(oracle.data(1, 2, 7, 9), {size = {49, 27}})
    oracle.near(y[{{}, {}, {1, 49, 7}, {1, 27, 3}}], oracle.data(1, 2, 7, 9), 0)
  end)

  it("goes straight from pixel to pixel", function()
    local x = equi.tensor({0, 4}):reshape(1, 1, 1, 2)
    local function f(w, corners)
      return equi.upsample(x, {1, w}, {mode = "bilinear", align_corners = corners}):reshape(-1)
    end
    oracle.near(f(4), {0, 1, 3, 4}, 0)
    oracle.near(f(5, true), {0, 1, 2, 3, 4}, 0)
    oracle.near(f(1, true), {0}, 0)
    oracle.near(f(1), {2}, 0)
    local same = oracle.data(1, 2, 3, 4)
    oracle.near(equi.upsample(same, {3, 4}, {mode = "bilinear"}), same, 0)
  end)

  it("has gradients of gradients", function()
    for _, o in ipairs {{size = {7, 4}}, {scale = 1.7, mode = "bilinear"}, {scale = 0.6},
                        {size = {2, 9}, mode = "bilinear", align_corners = true}} do
      oracle.gradcheck(function(x) return equi.upsample(x, o):square() end,
        {oracle.data(2, 3, 3, 5)}, {second = true, tol = 1e-6})
      check_layouts(function(x) return equi.upsample(x, o) end)
    end
  end)

  it("says what does not fit", function()
    local x = equi.zeros(1, 2, 3, 4)
    local function raises(part, ...) oracle.raises("upsample: " .. part, equi.upsample, ...) end
    raises("x must be batch x channels x height x width, it is 3 x 4", x[1][1], {scale = 2})
    raises("x is 1 x 2 x 0 x 4 and has no pixels", equi.zeros(1, 2, 0, 4), {scale = 2})
    raises("needs either size or scale", x)
    raises("needs either size or scale, not both", x, {size = 3, scale = 2})
    raises("size must be one number or two {height, width}, got 3", x, {1, 2, 3})
    raises("scale must be more than 0, got -1", x, {scale = -1})
    raises("the result would have 0 rows", x, {scale = 0.1})
    raises("the result would have 0 columns", x, {size = {2, 0}})
    raises('align_corners goes with mode "bilinear" only', x, 3, {align_corners = true})
    raises('mode must be one of "nearest", "bilinear", got "cubic"', x, 3, {mode = "cubic"})
  end)
end)

describe("pad of images", function()
  it("makes the border from x, as along other dims", function()
    local x = oracle.data(2, 3, 5, 6)
    for _, mode in ipairs {"constant", "reflect", "replicate", "circular"} do
      for _, pads in ipairs {{1, 2}, {0, 3, 4, 1}, {-1, 2, 1, -2}, {-2, -3, 0, -1}} do
        local got = equi.pad(x, pads, {mode = mode})
        local planes = equi.pad(x:reshape(6, 5, 6), pads, {mode = mode}) -- the general way
        oracle.near(got, planes:reshape({got:size()}), 0, mode)
        oracle.gradcheck(function(v) return equi.pad(v, pads, {mode = mode}):square() end, {x},
                         {second = true, tol = 1e-6})
      end
      check_layouts(function(v)
        return equi.pad(v:channels_last(), {1, 2, 3, 1}, {mode = mode})
      end)
    end
  end)

  it("says what does not fit", function()
    local x = equi.zeros(1, 1, 3, 4)
    oracle.raises("pad: reflect needs pads smaller than the dim: dim 4 has size 4, the pad is 4",
      equi.pad, x, {4, 0}, {mode = "reflect"})
    oracle.raises("pad: circular goes around once: dim 3 has size 3, the pad is 4",
      equi.pad, x, {0, 0, 0, 4}, {mode = "circular"})
  end)
end)

describe("rotate", function()
  it("is rot90 for quarter turns", function()
    local x = oracle.data(2, 3, 5, 5)
    for k = -5, 5 do oracle.near(equi.rotate(x, 90 * k), x:rot90(k), 0) end
    oracle.near(equi.rotate(x[1][1], 90), x[1][1]:rot90(), 0)
    local long = oracle.data(1, 1, 3, 5)
    oracle.near(equi.rotate(long, 180), long:rot90(2), 0)
    local turned = equi.rotate(long, 90) -- the middle three columns stay, the rest is cut
    oracle.near(turned[{{}, {}, {}, {2, 4}}], long[{{}, {}, {}, {2, 4}}]:rot90(), 0)
    oracle.near(turned[{{}, {}, {}, {1, 5, 4}}], equi.zeros(1, 1, 3, 2), 0)
  end)

  it("comes close to turning back, and to a quarter turn in steps", function()
    local grid = equi.arange(41):float():reshape(-1, 1) / 20 - 21 / 20
    local bump = (-(grid * grid + grid:t() * grid:t()) * 8):exp() * (grid + 1) -- smooth, 0 outside
    oracle.near(equi.rotate(equi.rotate(bump, 30), 60), bump:rot90(), 0.01)
    oracle.near(equi.rotate(equi.rotate(bump, 17), -17), bump, 0.01)
    oracle.near(equi.rotate(bump, 360 + 25), equi.rotate(bump, 25), 1e-6)
  end)

  it("has gradients of gradients, in every layout", function()
    for _, degrees in ipairs {33, -100.5, 90, 720} do
      oracle.gradcheck(function(x) return equi.rotate(x, degrees):square() end,
        {oracle.data(2, 2, 3, 4)}, {second = true, tol = 1e-6})
    end
    oracle.gradcheck(function(x) return equi.rotate(x, 20):square() end, {oracle.data(2, 3, 4)},
      {second = true, tol = 1e-6})
    check_layouts(function(x) return equi.rotate(x, 33) end)
  end)

  it("says what does not fit", function()
    oracle.raises("rotate: x must end with height and width, it is 3", equi.rotate, equi.ones(3), 5)
    oracle.raises("rotate: degrees must be a finite number, got inf", equi.rotate, equi.ones(3, 3),
      math.huge)
  end)
end)
