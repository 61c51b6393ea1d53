-- conv2d_fused against conv2d: every path, packed weights given back, residual and relu.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"

local function plain(x, w, b, add, o)
  local y = equi.conv2d(x, w, b, o)
  if add then y = y + add end
  return y:relu()
end

describe("conv2d_fused", function()
  local cases = {
    {"3 x 3", {2, 16, 9, 11}, {24, 16, 3, 3}, {padding = 1}},
    {"3 x 3 of many pixels", {2, 64, 30, 31}, {64, 64, 3, 3}, {padding = 1}},
    {"3 x 3 of many channels and few pixels", {1, 150, 13, 14}, {70, 150, 3, 3}, {padding = 1}},
    {"3 x 3 of many channels and pixels", {3, 150, 27, 18}, {17, 150, 3, 3}, {padding = 1}},
    {"1 x 1", {2, 20, 7, 7}, {33, 20, 1, 1}, {}},
    {"7 x 7, stride 2", {1, 3, 23, 24}, {16, 3, 7, 7}, {stride = 2, padding = 3}},
    {"of groups", {2, 12, 8, 8}, {12, 3, 3, 3}, {groups = 4, padding = 1}},
    {"depthwise, dilated", {1, 32, 12, 12}, {32, 1, 3, 3}, {groups = 32, dilation = 2}},
  }
  for _, c in ipairs(cases) do
    for _, dtype in ipairs {"f32", "f64"} do
      it(c[1] .. ", " .. dtype, function()
        local x = oracle.data(c[2], {dtype = dtype})
        local w = oracle.data(c[3], {dtype = dtype, seed = 2, low = -0.3, high = 0.3})
        local b = oracle.data({c[3][1]}, {dtype = dtype, seed = 3})
        local add = oracle.data({equi.conv2d(x, w, b, c[4]):size()}, {dtype = dtype, seed = 4})
        local want, tol = plain(x, w, b, add, c[4]), dtype == "f32" and 2e-4 or 1e-12
        local o = {add = add, relu = true}
        for key, value in pairs(c[4]) do o[key] = value end
        local y, packed = equi.conv2d_fused(x, w, b, o)
        oracle.near(y, want, tol)
        assert.is_true(y:is_channels_last())
        oracle.near((equi.conv2d_fused(x, w, b, packed, o)), want, tol, "packed")
        oracle.near((equi.conv2d_fused(x:channels_last(), w, b, equi.zeros(1, 5):to(dtype), o)),
                    want, tol, "packed otherwise")
        o.add, o.relu = nil, nil
        oracle.near((equi.conv2d_fused(x, w, o)), equi.conv2d(x, w, nil, c[4]), tol, "alone")
      end)
    end
  end

  it("reads a range of channels, and takes no images", function()
    local wide = oracle.data({2, 9, 6, 6}, {dtype = "f32"}):channels_last()
    local w = equi.ones(4, 3, 1, 1)
    local x = wide:narrow(2, 4, 3)
    oracle.near((equi.conv2d_fused(x, w)), equi.conv2d(x:clone(), w), 1e-5)
    assert.same({0, 4, 6, 6}, {equi.conv2d_fused(x:narrow(1, 1, 0), w, {relu = true}):size()})
  end)

  it("refuses gradients and what does not fit", function()
    local x, w = equi.ones(1, 3, 4, 4), equi.ones(2, 3, 1, 1)
    oracle.raises("conv2d_fused: it has no gradient; use conv2d, or equi.no_grad",
                  equi.conv2d_fused, x, w:clone():requires_grad_())
    oracle.raises("conv2d_fused: add is 1 x 2 x 4 x 3, the result is 1 x 2 x 4 x 4",
                  equi.conv2d_fused, x, w, {add = equi.ones(1, 2, 4, 3)})
  end)

  it("keeps weights as they are, in another order, whatever the path", function()
    local x = oracle.data({1, 24, 14, 14}, {dtype = "f32"})
    local w = oracle.data({40, 24, 3, 3}, {dtype = "f32", seed = 2})
    local kept = {}
    for _, path in ipairs {"winograd", "direct"} do
      local before = equi.conv_path(path)
      local _, packed = equi.conv2d_fused(x, w, {padding = 1})
      equi.conv_path(before)
      kept[#kept + 1] = packed
    end
    assert.same({kept[1]:size()}, {kept[2]:size()})
    oracle.near(kept[1], kept[2], 0)
    assert(math.abs(kept[1]:sum():item() - w:sum():item()) < 1e-3)
  end)

  it("has the same bits on one and two threads", function()
    local x = oracle.data({4, 32, 33, 34}, {dtype = "f32"})
    local w = oracle.data({48, 32, 3, 3}, {dtype = "f32", seed = 2})
    oracle.both_threads(function() return (equi.conv2d_fused(x, w, {padding = 1, relu = true})) end)
    x = oracle.data({1, 200, 14, 14}, {dtype = "f32"})
    w = oracle.data({96, 200, 3, 3}, {dtype = "f32", seed = 2})
    oracle.both_threads(function() return (equi.conv2d_fused(x, w, {padding = 1, relu = true})) end)
  end)
end)
