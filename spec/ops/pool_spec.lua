-- Pooling against loops over windows; PyTorch's numbers are in conv_vectors_spec.lua.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"

local NAN = 0 / 0

-- f(values, count) of every window of nested tables; a window is {{row, column}, ...}.
local function over(x, h, w, window, f)
  local y = {}
  for b = 1, #x do
    y[b] = {}
    for c = 1, #x[b] do
      y[b][c] = {}
      for i = 1, h do
        y[b][c][i] = {}
        for j = 1, w do
          local values = {}
          for _, at in ipairs(window(i, j)) do
            local row = x[b][c][at[1]]
            values[#values + 1] = row and row[at[2]]
          end
          y[b][c][i][j] = f(values)
        end
      end
    end
  end
  return y
end

local function largest(v)
  local best = -math.huge
  for _, x in ipairs(v) do if x > best or x ~= x then best = x end end
  return best
end
local function mean(v)
  local sum = 0
  for _, x in ipairs(v) do sum = sum + x end
  return sum / #v
end

-- Windows of k x l, each number for both dims.
local function window(k, l, stride, pad, dilation)
  return function(i, j)
    local list = {}
    for u = 0, k - 1 do
      for v = 0, l - 1 do
        list[#list + 1] = {(i - 1) * stride - pad + u * dilation + 1,
          (j - 1) * stride - pad + v * dilation + 1}
      end
    end
    return list
  end
end

local function adaptive(n, m, h, w)
  return function(i, j)
    local list = {}
    for r = (i - 1) * n // h + 1, -(-i * n // h) do
      for c = (j - 1) * m // w + 1, -(-j * m // w) do list[#list + 1] = {r, c} end
    end
    return list
  end
end

local cases = { -- kernel, stride, padding, dilation, size of x
  {{2, 2}, 2, 0, 1, {2, 3, 4, 6}}, {{3, 3}, 2, 1, 1, {1, 17, 7, 6}},
  {{2, 3}, 5, 1, 1, {2, 1, 9, 8}}, {{3, 2}, 1, 1, 3, {1, 2, 7, 8}},
  {{1, 1}, 1, 0, 1, {1, 4, 1, 1}}, {{5, 4}, 3, 2, 1, {1, 2, 5, 4}},
  {{17, 16}, 2, 8, 1, {1, 2, 17, 18}}, -- more places than a byte counts
}

local function size_of(case)
  local size = {}
  for d = 1, 2 do
    size[d] = (case[5][d + 2] + 2 * case[3] - case[4] * (case[1][d] - 1) - 1) // case[2] + 1
  end
  return size[1], size[2]
end

local layers = {
  max_pool2d = function(x) return equi.max_pool2d(x, 3, {stride = 2, padding = 1}) end,
  avg_pool2d = function(x) return equi.avg_pool2d(x, 3, {stride = 2, padding = 1}) end,
  adaptive_avg_pool2d = function(x) return equi.adaptive_avg_pool2d(x, {3, 4}) end,
  adaptive_max_pool2d = function(x) return equi.adaptive_max_pool2d(x, {3, 4}) end,
}

describe("pooling", function()
  it("takes the largest of each window", function()
    for _, case in ipairs(cases) do
      local k, stride, pad, dilation = table.unpack(case)
      local h, w = size_of(case)
      for _, dtype in ipairs {"f32", "f64"} do
        local x = oracle.data(case[5], {dtype = dtype})
        local o = {stride = stride, padding = pad, dilation = dilation}
        local want = over(x:totable(), h, w, window(k[1], k[2], stride, pad, dilation), largest)
        oracle.near(equi.max_pool2d(x, k, o), want, 0)
        oracle.near(equi.max_pool2d(x:requires_grad_(), k, o), want, 0)
      end
      oracle.gradcheck(function(x)
        return equi.max_pool2d(x, k, {stride = stride, padding = pad, dilation = dilation})
      end, {oracle.data(case[5])}, {second = case[5][3] < 10, h = 1e-6, tol = 1e-5})
    end
  end)

  it("takes the mean of each window", function()
    for _, case in ipairs(cases) do
      if case[4] == 1 then
        local k, stride, pad = table.unpack(case)
        local h, w = size_of(case)
        local x = oracle.data(case[5])
        local list = window(k[1], k[2], stride, pad, 1)
        local function f(v, o)
          o.stride, o.padding = stride, pad
          return equi.avg_pool2d(v, k, o)
        end
        oracle.near(f(x, {count_include_pad = false}), over(x:totable(), h, w, list, mean), 1e-12)
        local count = k[1] * k[2]
        local all = over(x:totable(), h, w, list, function(v) return mean(v) * #v / count end)
        oracle.near(f(x, {}), all, 1e-12)
        oracle.near(f(x:float(), {}), all, 1e-5)
        local thirds = equi.tensor(all, {dtype = "f64"}) * (count / 3)
        oracle.near(f(x, {divisor = 3}), thirds, 1e-12)
        oracle.gradcheck(function(v) return f(v, {count_include_pad = false}):square() end, {x},
                         {second = case[5][3] < 10, tol = 1e-6})
      end
    end
  end)

  it("adapts to any size", function()
    for _, size in ipairs {{1, 1}, {2, 3}, {5, 7}, {8, 4}} do
      local h, w = size[1], size[2]
      local x = oracle.data(2, 3, 5, 7)
      local list = adaptive(5, 7, h, w)
      oracle.near(equi.adaptive_avg_pool2d(x, size), over(x:totable(), h, w, list, mean), 1e-12)
      oracle.near(equi.adaptive_max_pool2d(x, size), over(x:totable(), h, w, list, largest), 0)
      oracle.gradcheck(function(v) return equi.adaptive_avg_pool2d(v, size):square() end, {x},
                       {second = true, tol = 1e-6})
      oracle.gradcheck(function(v) return equi.adaptive_max_pool2d(v, size):square() end, {x},
                       {second = true, h = 1e-6, tol = 1e-5})
    end
    oracle.near(equi.adaptive_avg_pool2d(equi.ones(1, 2, 3, 3), 1), {{{{1}}, {{1}}}}, 0)
  end)

  it("reaches over the end with ceil_mode, but begins no window there", function()
    local x = oracle.data(1, 1, 5, 6)
    assert.same({1, 1, 2, 3}, {equi.max_pool2d(x, 2, {ceil_mode = false}):size()})
    assert.same({1, 1, 3, 3}, {equi.max_pool2d(x, 2, {ceil_mode = true}):size()})
    assert.same({1, 1, 2, 2}, {equi.avg_pool2d(x, 2, {stride = 4, ceil_mode = true}):size()})
    assert.same({1, 1, 1, 2}, {equi.avg_pool2d(x, 2, {stride = 5, ceil_mode = true}):size()})
    assert.same({1, 1, 1, 1}, {equi.max_pool2d(x, 4, {stride = 6, ceil_mode = true}):size()})
    oracle.near(equi.avg_pool2d(equi.ones(1, 1, 3, 3), 2, {ceil_mode = true}),
                {{{{1, 1}, {1, 1}}}}, 0)
  end)

  it("lets NaN win, and infinity lose to nothing else", function()
    local x = equi.tensor({1, NAN, 3, -math.huge, 5, 2, 0, math.huge}):reshape(1, 1, 2, 4)
    oracle.near(equi.max_pool2d(x, 2), {{{{NAN, math.huge}}}}, 0)
    oracle.near(equi.max_pool2d(x, {2, 1}), {{{{5, NAN, 3, math.huge}}}}, 0)
    oracle.near(equi.adaptive_max_pool2d(x, 1), {{{{NAN}}}}, 0)
    local low = equi.full({1, 1, 2, 2}, -math.huge):requires_grad_()
    local y = equi.max_pool2d(low, 2)
    oracle.near(y, {{{{-math.huge}}}}, 0)
    local v = x:detach():clone():requires_grad_()
    equi.max_pool2d(v, 2):sum():backward()
    oracle.near(v.grad, {{{{0, 1, 0, 0}, {0, 0, 0, 1}}}}, 0)
    local channels = equi.zeros(1, 40, 2, 2) -- whole vectors and what is left of them
    channels:narrow(2, 17, 1):fill_(NAN)
    local p = equi.max_pool2d(channels, 2):reshape(-1):is_nan():totable()
    for c = 1, 40 do assert.equal(c == 17, p[c]) end
  end)

  it("gives the first of equal numbers the gradient", function()
    local x = equi.ones(1, 1, 2, 2):requires_grad_()
    equi.max_pool2d(x, 2):sum():backward()
    oracle.near(x.grad, {{{{1, 0}, {0, 0}}}}, 0)
  end)

  for name, f in pairs(layers) do
    it(name .. " gives the same for every layout, channels-last, on 1 and 2 threads", function()
      local x = oracle.data(2, 5, 6, 7)
      local want = f(x)
      assert.is_true(want:is_channels_last())
      oracle.near(f(x:channels_last()), want, 0)
      for _, v in ipairs(oracle.variants(x)) do oracle.near(f(v.x), f(v.plain), 0, v.name) end
      oracle.both_threads(function()
        local big = oracle.data({3, 24, 40, 41}, {dtype = "f32"}):requires_grad_()
        local y = f(big)
        y:square():sum():backward()
        return y, big.grad
      end)
    end)

    it(name .. " works on batches of none", function()
      local x = equi.zeros(0, 3, 6, 7):requires_grad_()
      local y = f(x)
      assert.equal(0, y:numel())
      y:sum():backward()
      assert.same({0, 3, 6, 7}, {x.grad:size()})
    end)

    it(name .. " says what does not fit", function()
      local two = equi.zeros(3, 6, 7)
      oracle.raises(name .. ": x must be batch x channels x height x width, it is 3 x 6 x 7; "
        .. ":unsqueeze(1) makes it a batch of one", f, two)
      oracle.raises(name .. ": x must have dtype f32 or f64, it is i64", f, two:to("i64"))
    end)
  end

  it("says which option does not fit", function()
    local x = equi.zeros(1, 2, 5, 6)
    local function raises(part, name, ...)
      oracle.raises(name .. ": " .. part, equi[name], x, ...)
    end
    raises("kernel is missing", "max_pool2d")
    raises("kernel must be at least 1, got 0", "max_pool2d", 0)
    raises("kernel must be one number or two {height, width}, got 3", "avg_pool2d", {1, 2, 3})
    raises("stride must be at least 1, got 0", "avg_pool2d", 2, {stride = {1, 0}})
    raises("dilation must be at least 1, got 0", "max_pool2d", 2, {dilation = 0})
    raises("padding must be at most half the kernel, got 2 for a kernel of 3; equi.pad adds more",
      "max_pool2d", 3, {padding = 2})
    raises("padding must be at least 0, got -1", "avg_pool2d", 3, {padding = -1})
    raises("a window covers 6 rows, x has 5 and the padding 0", "max_pool2d", 6)
    raises("a window covers 7 columns, x has 6 and the padding 0", "avg_pool2d", {5, 7})
    raises("divisor must be at least 1, got 0", "avg_pool2d", 2, {divisor = 0})
    raises("size must be at least 1, got 0", "adaptive_avg_pool2d", 0)
    oracle.raises("adaptive_max_pool2d: x is 1 x 2 x 0 x 3 and has no pixels",
      equi.adaptive_max_pool2d, equi.zeros(1, 2, 0, 3), 1)
  end)
end)
