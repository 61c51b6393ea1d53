-- The direct convolution on every instruction set, with one and two threads, against the lowered
-- one: sizes around blocks of 14 pixels and panels of channels. Whole numbers make sums exact.
local equi = require "lua_equi"
local core = require "lua_equi.core"

local function whole(...) return equi.randint(-3, 4, {...}):to "f32" end

-- Name, x, w, options.
local cases = {
  {"56 pixels", {2, 5, 6, 56}, {33, 5, 3, 3}, {padding = 1}},
  {"7 pixels", {5, 20, 7, 7}, {70, 20, 3, 3}, {padding = 1}},
  {"few channels, wide kernel", {2, 3, 30, 40}, {16, 3, 7, 7}, {stride = 2, padding = 3}},
  {"stride 4", {1, 3, 35, 39}, {20, 3, 11, 11}, {stride = 4, padding = 2}},
  {"stride 2, 1 x 1", {2, 17, 9, 10}, {40, 17, 1, 1}, {stride = 2}},
  {"1 x 1", {3, 40, 9, 31}, {12, 40, 1, 1}, {}},
  {"1 x 1 with more padding than pixels", {2, 8, 3, 3}, {9, 8, 1, 1}, {padding = {4, 0}}},
  {"1024 channels", {1, 1024, 5, 6}, {10, 1024, 1, 1}, {}},
  {"1024 channels, 3 x 3", {1, 1024, 4, 5}, {5, 1024, 3, 3}, {padding = 1, stride = 2}},
  {"dilation", {2, 9, 12, 15}, {18, 9, 3, 2}, {dilation = {2, 3}, padding = 2}},
  {"dilation and stride", {2, 9, 12, 15}, {18, 9, 3, 3}, {dilation = 3, stride = 2, padding = 3}},
  {"groups", {2, 24, 8, 9}, {40, 12, 3, 3}, {groups = 2, padding = 1, stride = 2}},
}

-- y and the gradients of x and w.
local function results(case, x, w, gy)
  x, w = x:detach():requires_grad_(), w:detach():requires_grad_()
  local y = equi.conv2d(x, w, nil, case[4])
  y:backward(gy)
  return {y:detach(), x.grad, w.grad}
end

describe("direct convolution", function()
  local threads = equi.threads()
  after_each(function()
    core.use_kernels(nil)
    equi.conv_path "auto"
    equi.threads(threads)
  end)

  local function check(case, set, x, w)
    equi.conv_path "lowered"
    core.use_kernels "none"
    local gy = whole(equi.conv2d(x, w, nil, case[4]):size())
    local expected = results(case, x, w, gy)
    core.use_kernels(set)
    equi.conv_path "direct"
    for n = 1, 2 do
      equi.threads(n)
      local have = results(case, x, w, gy)
      for k, name in ipairs {"y", "gx", "gw"} do
        local at = ("%s: %s on %d threads"):format(case[1], name, n)
        assert.equal(0, (have[k] - expected[k]):abs():max():item(), at)
      end
    end
  end

  for _, set in ipairs(core.use_kernels()) do
    it("is the sum on " .. set, function()
      for _, case in ipairs(cases) do
        check(case, set, whole(table.unpack(case[2])), whole(table.unpack(case[3])))
      end
    end)
  end

  it("takes slices of channels and any layout of the weights", function()
    local case = {"slice", {2, 12, 8, 9}, {20, 12, 3, 3}, {padding = 1}}
    local x = whole(2, 20, 8, 9):channels_last():narrow(2, 5, 12)
    local w = whole(20, 12, 3, 3)
    check(case, nil, x, w:channels_last())
    check(case, nil, x, whole(12, 20, 3, 3):transpose(1, 2))
    check(case, nil, x, whole(20, 12, 3, 3):transpose(3, 4))
  end)

  it("has the same bits on one and two threads", function()
    for _, case in ipairs(cases) do
      local x, w = equi.randn(case[2]), equi.randn(case[3])
      equi.conv_path "direct"
      local gy, have = equi.randn {equi.conv2d(x, w, nil, case[4]):size()}, {}
      for n = 1, 2 do
        equi.threads(n)
        have[n] = results(case, x, w, gy)
      end
      for k = 1, 3 do assert.is_true(have[1][k]:eq(have[2][k]):all():item(), case[1]) end
    end
  end)
end)
