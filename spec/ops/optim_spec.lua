-- The steps of the optimizers and gradient clipping as ops: against the formulas over Lua numbers.
-- spec/optim_spec.lua has the optimizers themselves, against PyTorch.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"

local near, raises = oracle.near, oracle.raises
local GRAD = {0.5, -3, 2}

-- A parameter {1, -2, 3} with the gradient GRAD, or with another one.
local function parameter(dtype, grad)
  local w = equi.tensor({1, -2, 3}, {dtype = dtype, requires_grad = true});
  (w * equi.tensor(grad or GRAD, {dtype = dtype})):sum():backward()
  return w
end

local function each_dtype(f)
  for dtype, tol in pairs {f32 = 1e-6, f64 = 1e-14} do
    f(dtype, tol, function() return equi.zeros(3, {dtype = dtype}) end)
  end
end

-- {f(w_1, g_1), f(w_2, g_2), f(w_3, g_3)}
local function stepped(f)
  return oracle.each(f)({1, -2, 3}, GRAD)
end

describe("sgd_step", function()
  it("goes down the gradient, with weight decay", function()
    each_dtype(function(dtype, tol)
      local w = parameter(dtype)
      equi.sgd_step({w}, {lr = 0.1, weight_decay = 0.5})
      near(w, stepped(function(v, g) return v - 0.1 * (g + 0.5 * v) end), tol)
    end)
  end)

  it("keeps a velocity", function()
    each_dtype(function(dtype, tol, state)
      local w, v = parameter(dtype), state()
      equi.sgd_step({w}, {v}, {lr = 0.1, momentum = 0.9, dampening = 0.2, first = true})
      near(v, GRAD, tol)
      equi.sgd_step({w}, {v}, {lr = 0.1, momentum = 0.9, dampening = 0.2})
      near(v, stepped(function(_, g) return 0.9 * g + 0.8 * g end), tol)
      near(w, stepped(function(x, g) return x - 0.1 * g - 0.1 * 1.7 * g end), tol)
    end)
    local w, v = parameter "f64", equi.zeros(3, {dtype = "f64"})
    equi.sgd_step({w}, {v}, {lr = 0.1, momentum = 0.5, nesterov = true, first = true})
    near(w, stepped(function(x, g) return x - 0.1 * 1.5 * g end), 1e-14)
  end)
end)

describe("adam_step", function()
  it("follows the paper, coupled and decoupled", function()
    for _, decoupled in ipairs {true, false} do
      each_dtype(function(dtype, tol, state)
        local w, m, v = parameter(dtype), state(), state()
        for t = 1, 2 do
          equi.adam_step({w}, {m}, {v}, {lr = 0.1, beta1 = 0.8, beta2 = 0.9, eps = 0.01,
                                         weight_decay = 0.3, decoupled = decoupled, step = t})
        end
        near(w, stepped(function(x, g)
          local mean, square = 0, 0
          for t = 1, 2 do
            local d = decoupled and g or g + 0.3 * x
            if decoupled then x = x - 0.1 * 0.3 * x end
            mean, square = 0.8 * mean + 0.2 * d, 0.9 * square + 0.1 * d * d
            x = x - 0.1 * mean / (1 - 0.8 ^ t) / (math.sqrt(square / (1 - 0.9 ^ t)) + 0.01)
          end
          return x
        end), tol)
      end)
    end
  end)
end)

describe("rmsprop_step", function()
  it("divides by the root of the mean square, with a buffer or without", function()
    each_dtype(function(dtype, tol, state)
      local w, v, b = parameter(dtype), state(), state()
      for _ = 1, 2 do
        equi.rmsprop_step({w}, {v}, {b}, {lr = 0.1, alpha = 0.8, eps = 0.01, momentum = 0.5,
                                          weight_decay = 0.2})
      end
      near(w, stepped(function(x, g)
        local square, buffer = 0, 0
        for _ = 1, 2 do
          local d = g + 0.2 * x
          square = 0.8 * square + 0.2 * d * d
          buffer = 0.5 * buffer + d / (math.sqrt(square) + 0.01)
          x = x - 0.1 * buffer
        end
        return x
      end), tol)
      w, v = parameter(dtype), state()
      equi.rmsprop_step({w}, {v}, {lr = 0.1, alpha = 0.75, eps = 0})
      near(w, {0.8, -1.8, 2.8}, tol)
    end)
  end)
end)

describe("steps", function()
  it("leave parameters without a gradient alone", function()
    local w, rest = parameter "f32", equi.ones(2):requires_grad_()
    equi.sgd_step({rest, w}, {lr = 1})
    assert.same({1, 1}, rest:totable())
    assert.same({0.5, 1, 1}, w:totable())
  end)

  it("refuse states that do not belong to the parameters", function()
    local w = parameter "f32"
    raises("adam_step: the optimizer's state of parameter 1 is f32 2, the parameter is f32 3",
           equi.adam_step, {w}, {equi.zeros(2)}, {equi.zeros(3)})
    raises("sgd_step: 1 parameters, but 2 and 0 states", equi.sgd_step, {w},
           {equi.zeros(3), equi.zeros(3)})
    raises("rmsprop_step: the optimizer's state of parameter 1 is f64 3, the parameter is f32 3",
           equi.rmsprop_step, {w}, {equi.zeros(3):double()})
    assert.same({1, -2, 3}, w:totable())
  end)
end)

describe("clip_grad_norm", function()
  it("scales all gradients by one factor when their norm is too large", function()
    each_dtype(function(dtype, tol)
      local a, b = parameter(dtype, {3, 0, 0}), parameter(dtype, {0, -4, 0})
      near(equi.clip_grad_norm({a, b, equi.ones(2)}, 10), 5, tol)
      near(a.grad, {3, 0, 0}, 0)
      near(equi.clip_grad_norm({a, b}, 1), 5, tol)
      near(a.grad, {3 / (5 + 1e-6), 0, 0}, tol)
      near(b.grad, {0, -4 / (5 + 1e-6), 0}, tol)
    end)
  end)

  it("reports NaN and refuses norms that are not above 0", function()
    local w = parameter("f32", {0 / 0, 1, 1})
    near(equi.clip_grad_norm({w}, 1), 0 / 0)
    near(w.grad, {0 / 0, 1, 1}, 0)
    for _, most in ipairs {0, -1, 0 / 0} do
      raises("clip_grad_norm: max_norm must be above 0, got", equi.clip_grad_norm, {w}, most)
    end
  end)
end)

describe("clip_grad_value", function()
  it("limits every element", function()
    each_dtype(function(dtype)
      local w = parameter(dtype)
      equi.clip_grad_value({w, equi.ones(2)}, 1)
      near(w.grad, {0.5, -1, 1}, 0)
    end)
    raises("clip_grad_value: max must be above 0, got 0", equi.clip_grad_value, {parameter "f32"},
           0)
  end)
end)
