-- Convolutions against the sums that define them, on every path that computes them.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local naive = require "spec.support.naive_conv"

-- The options of conv2d for a geometry of naive_conv.lua.
local function options(g)
  return {stride = {g.sh or 1, g.sw or 1}, dilation = {g.dh or 1, g.dw or 1},
    padding = {g.top or 0, g.left or 0, g.bottom or g.top or 0, g.right or g.left or 0},
    groups = g.groups or 1}
end

-- x's shape, w's shape, geometry.
local geometries = {
  {"plain", {2, 3, 5, 6}, {4, 3, 3, 3}, {}},
  {"1 x 1", {2, 5, 3, 4}, {3, 5, 1, 1}, {}},
  {"1 x 1, strided", {2, 3, 5, 6}, {4, 3, 1, 1}, {sh = 2, sw = 2}},
  {"1 x 1, padded", {1, 3, 2, 2}, {4, 3, 1, 1}, {top = 1, left = 1}},
  {"one pixel", {1, 1, 1, 1}, {1, 1, 1, 1}, {}},
  {"padding", {2, 3, 5, 6}, {4, 3, 3, 3}, {top = 1, left = 1}},
  {"stride 2", {2, 3, 7, 6}, {4, 3, 3, 3}, {sh = 2, sw = 2, top = 1, left = 1}},
  {"stride larger than the kernel", {1, 2, 9, 8}, {3, 2, 2, 2}, {sh = 3, sw = 4}},
  {"padding larger than the kernel", {1, 2, 2, 3}, {3, 2, 2, 3}, {top = 4, left = 5}},
  {"different in the two dims", {1, 2, 8, 9}, {3, 2, 4, 1}, {sh = 2, sw = 3, top = 1, left = 2}},
  {"four paddings", {1, 2, 5, 4}, {3, 2, 3, 2}, {top = 2, left = 0, bottom = 1, right = 3}},
  {"dilation", {1, 3, 9, 8}, {2, 3, 3, 3}, {dh = 2, dw = 3, top = 1, left = 2}},
  {"dilation and stride", {2, 2, 9, 10}, {3, 2, 3, 2}, {dh = 2, dw = 3, sh = 2, sw = 2, top = 2}},
  {"groups", {2, 6, 5, 5}, {4, 3, 3, 3}, {groups = 2, top = 1, left = 1}},
  {"groups, 1 x 1", {2, 6, 3, 2}, {9, 2, 1, 1}, {groups = 3}},
  {"depthwise", {2, 5, 5, 4}, {5, 1, 3, 3}, {groups = 5, top = 1, left = 1}},
  {"depthwise, in vectors and what is left", {2, 37, 5, 6}, {37, 1, 3, 2},
    {groups = 37, sh = 2, dw = 2, top = 1, left = 2, right = 0}},
  {"depthwise, 8 x 7", {1, 3, 9, 9}, {3, 1, 8, 7}, {groups = 3, top = 3, left = 3}},
  {"depthwise, two filters each", {1, 3, 6, 5}, {6, 1, 3, 3}, {groups = 3, sh = 2, sw = 1}},
  {"a kernel as large as x", {2, 3, 4, 3}, {5, 3, 4, 3}, {}},
  {"17 channels", {1, 17, 4, 5}, {19, 17, 3, 3}, {top = 1, left = 1}},
  {"what the stride leaves over", {1, 2, 8, 7}, {2, 2, 3, 2}, {sh = 4, sw = 4}},
}

local paths = {}
do
  local _, counts = equi.conv_path()
  for name in pairs(counts) do paths[#paths + 1] = name end
  table.sort(paths)
end

local function with_path(path, f)
  local before = equi.conv_path(path)
  local ok, problem = pcall(f)
  equi.conv_path(before)
  if not ok then error(problem, 0) end
end

local function check(case, dtype, tol)
  local sizes, g = case[2], case[4]
  local x, w = oracle.data(sizes, {dtype = dtype}), oracle.data(case[3], {dtype = dtype, seed = 2})
  local b = oracle.data({case[3][1]}, {dtype = dtype, seed = 3})
  for _, t in ipairs {x, w, b} do t:requires_grad_() end
  local y = equi.conv2d(x, w, b, options(g))
  oracle.near(y, naive.conv2d(x:totable(), w:totable(), b:totable(), g), tol)
  assert.is_true(y:is_channels_last())
  local gy = oracle.data({y:size()}, {dtype = dtype, seed = 4})
  y:backward(gy)
  local gx, gw, gb = naive.conv2d_grad(x:totable(), w:totable(), gy:totable(), g)
  oracle.near(x.grad, gx, tol, "gx")
  oracle.near(w.grad, gw, tol, "gw")
  oracle.near(b.grad, gb, tol, "gb")
end

describe("conv2d", function()
  for _, path in ipairs(paths) do
    it("is the sum on the path " .. path, function()
      with_path(path, function()
        for _, case in ipairs(geometries) do
          local ok, problem = pcall(check, case, "f32", 1e-4)
          assert(ok, case[1] .. ": " .. tostring(problem))
        end
      end)
    end)
  end

  it("is the sum in f64", function()
    for _, case in ipairs(geometries) do
      local ok, problem = pcall(check, case, "f64", 1e-12)
      assert(ok, case[1] .. ": " .. tostring(problem))
    end
  end)

  it("needs no bias", function()
    local x, w = oracle.data(2, 3, 5, 5), oracle.data({4, 3, 3, 3}, {seed = 2})
    oracle.near(equi.conv2d(x, w), naive.conv2d(x:totable(), w:totable(), nil, {}), 1e-12)
    local v = oracle.data({3, 1, 3, 3}, {seed = 2})
    oracle.near(equi.conv2d(x, v, nil, {groups = 3}),
                naive.conv2d(x:totable(), v:totable(), nil, {groups = 3}), 1e-12)
  end)

  it("gives the same for every layout of x and w", function()
    local x, w = oracle.data(2, 3, 5, 6), oracle.data({4, 3, 3, 2}, {seed = 2})
    local function f(p, q) return equi.conv2d(p, q, nil, {padding = 1}) end
    local want = f(x, w)
    oracle.near(f(x:channels_last(), w), want, 0)
    oracle.near(f(x, w:channels_last()), want, 0)
    for _, v in ipairs(oracle.variants(x)) do oracle.near(f(v.x, w), f(v.plain, w), 0, v.name) end
    for _, v in ipairs(oracle.variants(w)) do oracle.near(f(x, v.x), f(x, v.plain), 0, v.name) end
    local wide = oracle.data(2, 7, 5, 6):channels_last() -- channels 3 to 5 of 7: pixels lie apart
    local part = wide:narrow(2, 3, 3)
    oracle.near(f(part, w), f(part:clone(), w), 0)
    oracle.near(f(part:flip(3), w), f(part:clone():flip(3), w), 0)
  end)

  it("has gradients of gradients", function()
    for _, g in ipairs {{}, {sh = 2, sw = 3, top = 1, left = 2, dw = 2}, {groups = 2, top = 1}} do
      local n = g.groups or 1
      oracle.gradcheck(function(x, w, b) return equi.conv2d(x, w, b, options(g)) end,
        {oracle.data(2, 2 * n, 5, 6), oracle.data({2 * n, 2, 3, 2}, {seed = 2}),
         oracle.data({2 * n}, {seed = 3})}, {second = true, tol = 1e-6})
    end
  end)

  it("pads by name", function()
    local x = oracle.data(1, 2, 5, 6)
    for _, k in ipairs {{1, 1}, {3, 3}, {2, 4}, {5, 2}} do
      local w = oracle.data({3, 2, k[1], k[2]}, {seed = 2})
      for d = 1, 2 do
        local h, v = d * (k[1] - 1), d * (k[2] - 1)
        local y = equi.conv2d(x, w, nil, {padding = "same", dilation = d})
        oracle.near(y, naive.conv2d(x:totable(), w:totable(), nil, {dh = d, dw = d, top = h // 2,
          left = v // 2, bottom = h - h // 2, right = v - v // 2}), 1e-12)
        assert.same({1, 3, 5, 6}, {y:size()})
      end
      oracle.near(equi.conv2d(x, w, nil, {padding = "valid"}), equi.conv2d(x, w), 0)
    end
  end)

  it("has the same bits on 1 and 2 threads", function()
    for _, path in ipairs(paths) do
      with_path(path, function()
        for _, case in ipairs {
          {{3, 16, 40, 40}, {24, 16, 3, 3}, {padding = 1}}, {{2, 64, 30, 30}, {32, 64, 1, 1}, {}},
          {{2, 8, 60, 61}, {8, 1, 3, 3}, {groups = 8, stride = 2}},
          {{4, 3, 50, 50}, {16, 3, 7, 7}, {stride = 2, padding = 3}},
        } do
          oracle.both_threads(function()
            local x = oracle.data(case[1], {dtype = "f32"}):requires_grad_()
            local w = oracle.data(case[2], {dtype = "f32", seed = 2}):requires_grad_()
            local b = oracle.data({case[2][1]}, {dtype = "f32", seed = 3}):requires_grad_()
            local y = equi.conv2d(x, w, b, case[3])
            y:square():sum():backward()
            return y, x.grad, w.grad, b.grad
          end)
        end
      end)
    end
  end)

  it("of a batch is that of its images, also where the work is cut into pieces", function()
    local x = oracle.data({16, 16, 20, 20}, {dtype = "f32"}):channels_last():requires_grad_()
    local w = oracle.data({8, 16, 5, 5}, {dtype = "f32", seed = 2}):requires_grad_()
    local function f(images)
      local y = equi.conv2d(images, w, nil, {padding = 2})
      y:square():sum():backward()
      return y
    end
    local function near(a, b) -- of 100,000 numbers
      assert.is_true((a - b):abs():max():item() <= 1e-5 * b:abs():max():item())
    end
    for _, path in ipairs(paths) do
      with_path(path, function()
        x.grad, w.grad = nil, nil
        local whole = f(x)
        local gw = w.grad:clone()
        w.grad = nil
        for b = 1, 16 do
          local one = x:detach():narrow(1, b, 1):clone():requires_grad_()
          near(f(one), whole:narrow(1, b, 1))
          near(one.grad, x.grad:narrow(1, b, 1))
        end
        near(w.grad, gw)
      end)
    end
  end)

  it("works on batches of none", function()
    local x = equi.zeros(0, 3, 5, 5):requires_grad_()
    local w, b = equi.ones(4, 3, 3, 3):requires_grad_(), equi.ones(4):requires_grad_()
    local y = equi.conv2d(x, w, b)
    assert.same({0, 4, 3, 3}, {y:size()})
    y:sum():backward()
    oracle.near(w.grad, equi.zeros(4, 3, 3, 3), 0)
    oracle.near(b.grad, equi.zeros(4), 0)
    assert.same({0, 3, 5, 5}, {x.grad:size()})
    local none = equi.conv2d(equi.zeros(2, 0, 3, 3), equi.zeros(2, 0, 3, 3), equi.tensor {1, 2})
    oracle.near(none, {{{{1}}, {{2}}}, {{{1}}, {{2}}}}, 0)
  end)

  it("says what does not fit", function()
    local x, w = equi.zeros(2, 3, 5, 6), equi.zeros(4, 3, 3, 3)
    local function raises(part, ...) oracle.raises("conv2d: " .. part, equi.conv2d, ...) end
    raises("x must be batch x channels x height x width, it is 3 x 5 x 6; :unsqueeze(1) makes it "
      .. "a batch of one", x[1], w)
    raises("w must be out channels x in channels / groups x height x width, it is 3 x 3", x,
      equi.zeros(3, 3))
    raises("x is 2 x 3 x 5 x 6 with 3 channels, w is 4 x 2 x 3 x 3 and reads 2 in each of 1 group;"
      .. " w needs 4 x 3 x 3 x 3", x, equi.zeros(4, 2, 3, 3))
    raises("x is 2 x 3 x 5 x 6 with 3 channels, w is 4 x 3 x 3 x 3 and reads 3 in each of 2 groups;"
      .. " w needs another number of groups", x, w, nil, {groups = 2})
    raises("groups is 3, which does not divide the 4 channels that w makes", x,
      equi.zeros(4, 1, 3, 3), nil, {groups = 3})
    raises("groups must be at least 1, got 0", x, w, nil, {groups = 0})
    raises("b is 3, w makes 4 channels; b needs 4 elements", x, w, equi.zeros(3))
    raises("the kernel covers 7 rows, x has 5 and the padding 0; padding = 1 would do", x,
      equi.zeros(4, 3, 7, 3))
    raises("the kernel covers 9 columns, x has 6 and the padding 2; padding = 2 would do", x, w,
      nil, {dilation = {1, 4}, padding = 1})
    raises("w is 4 x 3 x 0 x 3, a kernel without elements", x, equi.zeros(4, 3, 0, 3))
    raises("stride must be at least 1, got 0", x, w, nil, {stride = 0})
    raises("dilation must be at least 1, got 0", x, w, nil, {dilation = {1, 0}})
    raises("stride must be one number or two {height, width}, got 3", x, w, nil,
      {stride = {1, 1, 1}})
    raises("padding must be at least 0, got -1", x, w, nil, {padding = -1})
    raises("padding must be at least 0, got -1 x 0 x 0 x 0", x, w, nil, {padding = {-1, 0, 0, 0}})
    raises("padding must be one number, two {height, width}, four {top, left, bottom, right}, "
      .. '"same" or "valid"; got 3 numbers', x, w, nil, {padding = {1, 1, 1}})
    raises('padding must be a whole number, a list of them or one of "same", "valid", got "full"',
      x, w, nil, {padding = "full"})
    raises('padding "same" keeps sizes with stride 1 only, the stride is 2', x, w, nil,
      {padding = "same", stride = 2})
    raises("tensors of dtype f32 and f64 do not mix", x, w:double())
    raises('no option "pad"; options are x, w, b, stride, padding, dilation, groups', x, w, nil,
      {pad = 1})
  end)
end)

describe("conv_path", function()
  it("names the path that runs", function()
    local before, old = equi.conv_path "lowered"
    assert.equal("lowered", equi.config().conv)
    equi.conv2d(equi.ones(1, 2, 4, 4), equi.ones(3, 2, 3, 3))
    local _, counts = equi.conv_path(before)
    assert.equal(old.lowered.forward + 1, counts.lowered.forward)
    oracle.raises('conv_path: the path must be one of "auto", ', equi.conv_path, "fast")
    oracle.raises("conv_path: the path must be a name, got number", equi.conv_path, 1)
  end)
end)

describe("conv1d", function()
  it("is conv2d along one dim", function()
    for _, o in ipairs {{}, {padding = 2}, {stride = 3, padding = {1, 2}}, {padding = "same"},
                        {dilation = 2, padding = "same"}, {groups = 2, padding = "valid"}} do
      local x = oracle.data(2, 4, 9)
      local w = oracle.data({6, 4 // (o.groups or 1), 4}, {seed = 2})
      local b = oracle.data({6}, {seed = 3})
      local pad = o.padding or 0
      if type(pad) == "number" then pad = {0, pad, 0, pad}
      elseif type(pad) == "table" then pad = {0, pad[1], 0, pad[2]} end
      local want = equi.conv2d(x:unsqueeze(3), w:unsqueeze(3), b, {stride = {1, o.stride or 1},
        padding = pad, dilation = {1, o.dilation or 1}, groups = o.groups})
      oracle.near(equi.conv1d(x, w, b, o), want:squeeze(3), 0)
      oracle.gradcheck(function(...)
        return equi.conv1d(..., select(2, ...), select(3, ...), o)
      end, {x, w, b}, {second = true, tol = 1e-6})
      for _, v in ipairs(oracle.variants(x)) do
        oracle.near(equi.conv1d(v.x, w, b, o), equi.conv1d(v.plain, w, b, o), 0, v.name)
      end
    end
  end)

  it("says what does not fit", function()
    local x, w = equi.zeros(2, 3, 8), equi.zeros(4, 3, 3)
    local function raises(part, ...) oracle.raises("conv1d: " .. part, equi.conv1d, ...) end
    raises("x must be batch x channels x length, it is 3 x 8; :unsqueeze(1) makes it a batch of "
      .. "one", x[1], w)
    raises("w must be out channels x in channels / groups x length, it is 3 x 3", x, w[1])
    raises("w is 4 x 3 x 0, a kernel without elements", x, equi.zeros(4, 3, 0))
    raises("x is 2 x 3 x 8 with 3 channels, w is 4 x 2 x 3 and reads 2 in each of 1 group; w needs "
      .. "4 x 3 x 3", x, equi.zeros(4, 2, 3))
    raises("the kernel covers 13 places, x has 8 and the padding 2; padding = 3 would do", x, w,
      nil, {padding = 1, dilation = 6})
    raises("stride must be one number, got 2", x, w, nil, {stride = {1, 1}})
    raises("padding must be one number, two {before, after}, \"same\" or \"valid\"; got 4 numbers",
      x, w, nil, {padding = {0, 1, 0, 1}})
  end)
end)

describe("conv_transpose2d", function()
  local function transposed(x, w, b, g)
    return equi.conv_transpose2d(x, w, b, {stride = {g.sh or 1, g.sw or 1}, groups = g.groups,
      padding = {g.top or 0, g.left or 0}, dilation = {g.dh or 1, g.dw or 1},
      output_padding = {g.eh or 0, g.ew or 0}})
  end

  local cases = {
    {{2, 3, 4, 3}, {3, 2, 3, 3}, {}},
    {{2, 3, 4, 3}, {3, 2, 2, 2}, {sh = 2, sw = 2}},
    {{1, 3, 3, 4}, {3, 2, 3, 3}, {sh = 2, sw = 3, top = 1, left = 1, eh = 1, ew = 2}},
    {{1, 4, 3, 4}, {4, 2, 3, 2}, {groups = 2, sh = 3, dh = 2, top = 2, eh = 2}},
    {{1, 2, 3, 3}, {2, 3, 2, 3}, {dh = 3, dw = 2, eh = 2, ew = 1}},
    {{2, 2, 1, 1}, {2, 1, 4, 5}, {top = 1, left = 2}},
    {{2, 5, 3, 2}, {5, 1, 1, 1}, {groups = 5, sh = 2, sw = 2, eh = 1}},
  }

  it("adds w times every pixel", function()
    for _, case in ipairs(cases) do
      local x, w, g = oracle.data(case[1]), oracle.data(case[2], {seed = 2}), case[3]
      local b = oracle.data({case[2][2] * (g.groups or 1)}, {seed = 3})
      oracle.near(transposed(x, w, b, g),
                  naive.conv_transpose2d(x:totable(), w:totable(), b:totable(), g), 1e-12)
      oracle.near(transposed(x, w, nil, g),
                  naive.conv_transpose2d(x:totable(), w:totable(), nil, g), 1e-12)
      oracle.near(transposed(x:float(), w:float(), b:float(), g),
                  naive.conv_transpose2d(x:totable(), w:totable(), b:totable(), g), 1e-4)
      assert.is_true(transposed(x, w, b, g):is_channels_last())
    end
  end)

  it("has gradients of gradients", function()
    for _, case in ipairs(cases) do
      local g = case[3]
      oracle.gradcheck(function(x, w, b) return transposed(x, w, b, g) end,
        {oracle.data(case[1]), oracle.data(case[2], {seed = 2}),
         oracle.data({case[2][2] * (g.groups or 1)}, {seed = 3})}, {second = true, tol = 1e-6})
    end
  end)

  it("gives the same for every layout, and on 1 and 2 threads", function()
    local x, w = oracle.data(2, 3, 5, 6), oracle.data({3, 4, 3, 2}, {seed = 2})
    local function f(p, q) return equi.conv_transpose2d(p, q, nil, {stride = 2, padding = 1}) end
    oracle.near(f(x:channels_last(), w), f(x, w), 0)
    for _, v in ipairs(oracle.variants(x)) do oracle.near(f(v.x, w), f(v.plain, w), 0, v.name) end
    for _, v in ipairs(oracle.variants(w)) do oracle.near(f(x, v.x), f(x, v.plain), 0, v.name) end
    oracle.both_threads(function()
      local p = oracle.data({2, 16, 30, 30}, {dtype = "f32"}):requires_grad_()
      local q = oracle.data({16, 8, 3, 3}, {dtype = "f32", seed = 2}):requires_grad_()
      local y = f(p, q)
      y:square():sum():backward()
      return y, p.grad, q.grad
    end)
  end)

  it("says what does not fit", function()
    local x, w = equi.zeros(2, 3, 4, 4), equi.zeros(3, 2, 3, 3)
    local function raises(part, ...)
      oracle.raises("conv_transpose2d: " .. part, equi.conv_transpose2d, ...)
    end
    raises("x must be batch x channels x height x width, it is 3 x 4 x 4", x[1], w)
    raises("w must be in channels x out channels / groups x height x width, it is 2 x 3 x 3", x,
      w[1])
    raises("x is 2 x 3 x 4 x 4 with 3 channels, w is 2 x 3 x 3 x 3 and reads 2", x,
      equi.zeros(2, 3, 3, 3))
    raises("groups is 2, which does not divide the 3 channels of x", x, w, nil, {groups = 2})
    raises("b is 3, w makes 2 channels; b needs 2 elements", x, w, equi.zeros(3))
    raises("output_padding must be smaller than stride or dilation, got 1 with stride 1 and "
      .. "dilation 1", x, w, nil, {output_padding = 1})
    raises("x is 2 x 3 x 4 x 4, of which 0 rows would be left; less padding, or a larger x", x, w,
      nil, {padding = 3})
    raises('padding must be a whole number or a list of them, got "same"', x, w, nil,
      {padding = "same"})
  end)
end)
