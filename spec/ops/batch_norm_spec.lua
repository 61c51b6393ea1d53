-- batch_norm and group_norm against PyTorch, in every layout, on one thread and two.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local op = require "spec.support.cases"
local vectors = require "spec.support.image_norm_vectors"

local function filled(shape, seed)
  local n, values = 1, {}
  for _, size in ipairs(shape) do n = n * size end
  for i = 1, n do values[i] = math.sin(1.7 * i + seed) + 0.3 * seed end
  return equi.tensor(values, {dtype = "f64"}):reshape(shape)
end

-- The same values: row-major, channels-last, and as a range of the channels of a wider tensor.
local function layouts(x)
  local order, back = {1}, {1}
  for d = 3, x.ndim do order[#order + 1], back[d] = d, d - 1 end
  order[#order + 1], back[2] = 2, x.ndim
  local wide = equi.cat({x, x, x}, 2):permute(order):clone():permute(back)
  local C = x:size(2)
  return {x, x:permute(order):clone():permute(back), wide:narrow(2, C + 1, C)}
end

local function label(c)
  return table.concat(c.shape, " x ") .. (c.training and ", training" or "") ..
    (c.relu and ", relu" or "") .. (c.add and ", add" or "")
end

describe("batch_norm is PyTorch's", function()
  local function compare(c, dtype, tol)
    local C = c.shape[2]
    for k, plain in ipairs(layouts(filled(c.shape, 0):to(dtype))) do
      local x = plain:detach():requires_grad_()
      local w = filled({C}, 1):to(dtype):requires_grad_()
      local b = filled({C}, 2):to(dtype):requires_grad_()
      local mean, var = filled({C}, 3):to(dtype), (filled({C}, 6):abs() + 1):to(dtype)
      local add = c.add and filled(c.shape, 4):to(dtype):requires_grad_() or nil
      local y = equi.batch_norm(x, mean, var, w, b, {add = add, training = c.training,
        momentum = c.momentum, eps = c.eps, relu = c.relu})
      local function near(got, want, what)
        oracle.near(got:reshape(-1), want, tol, ("layout %d, %s"):format(k, what))
      end
      near(y, c.y, "y")
      near(mean, c.mean, "running mean")
      near(var, c.var, "running var");
      (y * filled(c.shape, 5):to(dtype)):sum():backward()
      near(x.grad, c.gx, "gx")
      near(w.grad, c.gw, "gw")
      near(b.grad, c.gb, "gb")
      if add then near(add.grad, c.gadd, "gadd") end
    end
  end
  for _, c in ipairs(vectors.batch_norm) do
    it(label(c), function()
      compare(c, "f64", 1e-11)
      compare(c, "f32", 2e-5)
    end)
  end
end)

describe("group_norm is PyTorch's", function()
  for _, c in ipairs(vectors.group_norm) do
    it(label(c), function()
      for _, plain in ipairs(layouts(filled(c.shape, 0))) do
        local x = plain:detach():requires_grad_()
        local w = filled({c.shape[2]}, 1):requires_grad_()
        local b = filled({c.shape[2]}, 2):requires_grad_()
        local y = equi.group_norm(x, c.groups, w, b, c.eps)
        oracle.near(y:reshape(-1), c.y, 1e-11);
        (y * filled(c.shape, 5)):sum():backward()
        oracle.near(x.grad:reshape(-1), c.gx, 1e-11)
        oracle.near(w.grad, c.gw, 1e-11)
        oracle.near(b.grad, c.gb, 1e-11)
      end
    end)
  end
end)

local function training(o)
  return function(x, w, b, add)
    return equi.batch_norm(x, nil, nil, w, b, {training = true, add = add, relu = o.relu})
  end
end

local function frozen(x, w, b)
  local C = x:size(2)
  return equi.batch_norm(x, filled({C}, 3):to(x.dtype), (filled({C}, 6):abs() + 1):to(x.dtype), w,
                         b, {relu = true})
end

local function inputs(shape, add)
  local C = shape[2]
  return {oracle.data(shape), oracle.data({C}, {seed = 2}), oracle.data({C}, {seed = 3}),
          add and oracle.data(shape, {seed = 4}) or nil}
end

op("batch_norm", {
  {"in training", f = training {}, inputs = inputs {3, 2, 2, 2}, second = true, gradtol = 1e-6},
  {"in training, of rows", f = training {}, inputs = inputs {5, 3}, second = true, gradtol = 1e-6},
  {"and relu", f = training {relu = true}, inputs = inputs {3, 2, 3}, second = true,
   gradtol = 1e-6, h = 1e-4},
  {"and add and relu", f = training {relu = true}, inputs = inputs({3, 2, 2, 2}, true),
   second = true, gradtol = 1e-6, h = 1e-4},
  {"and add", f = training {}, inputs = inputs({3, 2, 2, 2}, true), second = true, gradtol = 1e-6},
  {"with running statistics", f = frozen, inputs = inputs {2, 3, 2, 2}, second = true,
   gradtol = 1e-6, h = 1e-4},
  {"of many rows", f = training {relu = true}, inputs = {oracle.data(2, 3)}, strides = false,
   gradtol = 1e-6, big = {{6, 5, 60, 61}}},
  {"of many channels", f = training {}, inputs = {oracle.data(2, 3)}, strides = false,
   gradtol = 1e-6, big = {{3, 300, 20, 20}}},
})
op("group_norm", {
  {"of images", f = function(x, w, b) return equi.group_norm(x, 2, w, b) end,
   inputs = {oracle.data(2, 4, 2, 3), oracle.data(4), oracle.data(4)}, second = true,
   gradtol = 1e-6, big = {{9, 36, 31, 30}, {36}, {36}}},
})

describe("batch_norm", function()
  it("sees a small spread about a large mean, in f32, and nothing where all is equal", function()
    local x = (oracle.data({8, 3, 40, 41}, {low = -1, high = 1}) + 1000):to "f32"
    local mean, var = equi.zeros(3), equi.ones(3)
    equi.batch_norm(x, mean, var, {training = true, momentum = 1})
    local exact = x:to "f64"
    for k = 1, 3 do
      local channel = exact:narrow(2, k, 1)
      oracle.near(mean[k]:item(), channel:mean():item(), 1e-7)
      oracle.near(var[k]:item(), channel:var():item(), 1e-5)
    end
    local y = equi.batch_norm(equi.full({4, 2, 7, 7}, 3.7), nil, nil, {training = true})
    oracle.near(y:abs():max(), 0, 0)
  end)

  it("moves the running statistics only in training, and only once", function()
    local mean, var = equi.zeros(2), equi.ones(2)
    local x = oracle.data({6, 2}, {dtype = "f32"})
    equi.batch_norm(x, mean, var)
    oracle.near(mean, {0, 0}, 0)
    equi.no_grad(function() equi.batch_norm(x, mean, var, {training = true, momentum = 0.5}) end)
    oracle.near(mean, x:mean(1) * 0.5, 1e-6)
    oracle.near(var, x:var(1) * 0.5 + 0.5, 1e-6)
  end)

  it("is channels-last in and out, and takes no rows", function()
    local x = equi.randn({2, 3, 4, 5}):channels_last():requires_grad_()
    local y = equi.batch_norm(x, {training = true, relu = true})
    assert.is_true(y:is_channels_last())
    y:sum():backward()
    local none, mean, var = equi.zeros(0, 3, 2, 2):requires_grad_(), equi.ones(3), equi.ones(3)
    local w = equi.ones(3):requires_grad_()
    equi.batch_norm(none, mean, var, w, {training = true}):sum():backward()
    oracle.near(w.grad, {0, 0, 0}, 0)
    oracle.near(mean, {1, 1, 1}, 0)
    assert.same({0, 3, 2, 2}, {none.grad:size()})
    assert.same({0, 4}, {equi.group_norm(equi.zeros(0, 4), 2):size()})
  end)

  it("says what does not fit", function()
    local x, one, two = equi.zeros(2, 3, 4, 4), equi.zeros(3), equi.zeros(2)
    local function refused(text, ...)
      oracle.raises("batch_norm: " .. text, equi.batch_norm, ...)
    end
    refused("x must be [B, C], [B, C, L] or [B, C, H, W], it is 3", one, {training = true})
    refused("weight is 2, x is 2 x 3 x 4 x 4; it must have one number for each of the 3 channels",
            x, one, one, two)
    refused("mean and var must be given both, or neither", x, one)
    refused("without training = true it needs mean and var", x)
    refused("add is 3, x is 2 x 3 x 4 x 4; they must have one shape", x, one, one, {add = one})
    refused("training needs more than one value for each channel, x is 1 x 3", equi.zeros(1, 3),
            {training = true})
    refused("mean requires a gradient; running statistics are no parameters", x,
            equi.zeros(3):requires_grad_(), one)
    oracle.raises("group_norm: 3 channels do not divide into 2 groups", equi.group_norm, x, 2)
  end)
end)
