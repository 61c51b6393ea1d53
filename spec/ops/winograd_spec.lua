-- The Winograd path against the general one in f64 (which conv_spec.lua holds against the sums).
local equi = require "lua_equi"
local core = require "lua_equi.core"
local oracle = require "spec.support.oracle"

local function with_path(path, f)
  local before = equi.conv_path(path)
  local ok, problem = pcall(f)
  equi.conv_path(before)
  if not ok then error(problem, 0) end
end

local function ran()
  local _, counts = equi.conv_path()
  return counts.winograd
end

local function leaves(case, dtype)
  local x = oracle.data(case.x, {dtype = "f32"}):to(dtype)
  local w = oracle.data({case.out, case.x[2], 3, 3}, {dtype = "f32", seed = 2}):to(dtype)
  local b = oracle.data({case.out}, {dtype = "f32", seed = 3}):to(dtype)
  return x:requires_grad_(), w:requires_grad_(), b:requires_grad_()
end

-- Result, and the gradients for x and w.
local function all(case, dtype)
  local x, w, b = leaves(case, dtype)
  local y = equi.conv2d(x, w, b, {padding = case.padding or 0})
  y:backward(oracle.data({y:size()}, {dtype = "f32", seed = 4}):to(dtype))
  return y, x.grad, w.grad
end

-- Largest difference, relative to the largest value.
local function distance(got, want)
  return (got:double() - want):abs():max():item() / want:abs():max():item()
end

local function check(case)
  local names, want = {"y", "gx", "gw"}, {all(case, "f64")}
  with_path("winograd", function()
    local before, got = ran(), {all(case, "f32")}
    local after = ran()
    for _, pass in ipairs {"forward", "grad_input", "grad_weight"} do
      assert.equal(before[pass] + 1, after[pass], pass)
    end
    for i, name in ipairs(names) do
      local d = distance(got[i], want[i])
      assert(d < 1.5e-5, ("%s: %s is off by %g"):format(case[1], name, d))
    end
  end)
end

local cases = {
  {"one whole tile", x = {1, 16, 6, 6}, out = 16},
  {"one pixel", x = {1, 3, 1, 1}, out = 2, padding = 1},
  {"one output", x = {2, 3, 3, 3}, out = 5},
  {"odd sizes", x = {2, 16, 13, 9}, out = 32, padding = 1},
  {"all that a border can leave", x = {1, 4, 10, 11}, out = 4, padding = {0, 1, 2, 0}},
  {"channels that fill no vector", x = {2, 5, 9, 7}, out = 3, padding = 1},
  {"one channel", x = {2, 1, 9, 7}, out = 1, padding = 1},
  {"one channel more than a panel", x = {1, 33, 8, 8}, out = 33, padding = 1},
  {"a panel and a half", x = {1, 17, 8, 12}, out = 48, padding = 1},
  {"padding beyond the kernel", x = {2, 6, 4, 5}, out = 7, padding = 6},
  {"many channels of few tiles", x = {1, 270, 7, 7}, out = 40, padding = 1},
  {"many tiles", x = {3, 8, 50, 47}, out = 8, padding = 1},
}

describe("the Winograd path", function()
  for _, name in ipairs(core.use_kernels()) do
    it("is the convolution in the instruction set " .. name, function()
      core.use_kernels(name)
      local ok, problem = pcall(function()
        for _, case in ipairs(cases) do check(case) end
      end)
      core.use_kernels(nil)
      if not ok then error(problem, 0) end
    end)
  end

  it("goes through many channels in several rounds", function()
    local x = oracle.data({1, 256, 60, 60}, {dtype = "f32"})
    local w = oracle.data({8, 256, 3, 3}, {dtype = "f32", seed = 2})
    local want = equi.conv2d(x:double(), w:double())
    with_path("winograd", function()
      assert(distance(equi.conv2d(x, w), want) < 1.5e-5)
    end)
  end)

  it("has the same bits on 1 and 2 threads", function()
    with_path("winograd", function()
      for _, case in ipairs {
        {x = {5, 32, 29, 31}, out = 48, padding = 1},
        {x = {1, 260, 14, 14}, out = 64, padding = 1},
        {x = {40, 16, 16, 16}, out = 16, padding = 1},
      } do
        oracle.both_threads(function() return all(case, "f32") end)
      end
    end)
  end)

  it("gives each image what it gives it in a batch", function()
    with_path("winograd", function()
      local x, w = leaves({x = {5, 20, 11, 10}, out = 24}, "f32")
      local y = equi.conv2d(x, w)
      for i = 1, 5 do oracle.near(equi.conv2d(x:narrow(1, i, 1), w), y:narrow(1, i, 1), 0) end
    end)
  end)

  it("reads channels of a wider image and weights of any layout", function()
    with_path("winograd", function()
      local wide = oracle.data({2, 40, 9, 9}, {dtype = "f32"}):channels_last()
      local w = oracle.data({8, 20, 3, 3}, {dtype = "f32", seed = 2})
      local part = wide:narrow(2, 7, 20)
      oracle.near(equi.conv2d(part, w), equi.conv2d(part:clone(), w), 0)
      oracle.near(equi.conv2d(part, w:channels_last()), equi.conv2d(part, w), 0)
    end)
  end)

  it("keeps NaN and infinity where they are", function()
    with_path("winograd", function()
      local x = equi.zeros({1, 16, 12, 12}, {dtype = "f32"})
      x[{1, 1, 1, 1}] = 0 / 0
      local y = equi.conv2d(x, equi.ones({16, 16, 3, 3}, {dtype = "f32"}), nil, {padding = 1})
      assert.is_true(y[{1, 1, 1, 1}]:item() ~= y[{1, 1, 1, 1}]:item())
      assert.equal(0, y[{1, 1, 12, 12}]:item())
    end)
  end)

  it("is chosen where there are many tiles, and not when exact sums are asked for", function()
    local x = equi.zeros({1, 32, 40, 40}, {dtype = "f32"})
    local w = equi.zeros({32, 32, 3, 3}, {dtype = "f32"})
    for path, runs in pairs {auto = 1, exact = 0, winograd = 1} do
      with_path(path, function()
        local before = ran().forward
        equi.conv2d(x, w)
        assert.equal(before + runs, ran().forward, path)
      end)
    end
  end)

  it("leaves other geometries and dtypes to the others", function()
    with_path("winograd", function()
      local before = ran().forward
      local x, w = equi.ones(1, 4, 9, 9), equi.ones(4, 4, 3, 3)
      for _, options in ipairs {{stride = 2}, {dilation = 2}} do equi.conv2d(x, w, nil, options) end
      equi.conv2d(x, equi.ones(4, 1, 3, 3), nil, {groups = 4})
      equi.conv2d(x, equi.ones(4, 4, 3, 2))
      equi.conv2d(x:double(), w:double())
      assert.equal(before, ran().forward)
      assert.same({0, 4, 7, 7}, {equi.conv2d(equi.ones(0, 4, 9, 9), w):size()})
    end)
  end)
end)
