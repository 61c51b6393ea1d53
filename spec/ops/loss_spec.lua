-- Losses against naive loops, in every reduction.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local op = require "spec.support.cases"

local function reduce(values, how)
  if how == "none" then return values end
  local sum, count = 0, 0
  local function walk(t)
    if type(t) ~= "table" then
      sum, count = sum + t, count + 1
    else
      for _, v in ipairs(t) do walk(v) end
    end
  end
  walk(values)
  return how == "sum" and sum or sum / count
end

-- Cases of an element-wise loss for the three reductions.
local function each_reduction(name, f, inputs, formula, opts)
  local cases = {}
  for _, how in ipairs {"mean", "sum", "none"} do
    cases[#cases + 1] = {
      how, f = function(...) return f(how, ...) end, inputs = inputs, second = true, tol = 1e-10,
      naive = function(...) return reduce(oracle.each(formula)(...), how) end,
      gradtol = opts and opts.gradtol,
    }
  end
  op(name, cases)
end

local x, y = oracle.data(3, 4), oracle.data({3, 4}, {seed = 2})
local p = oracle.data({3, 4}, {low = 0.05, high = 0.95, seed = 3})

local function pair(name, opts)
  return function(how, a, b)
    local options = {reduction = how}
    for k, v in pairs(opts or {}) do options[k] = v end
    return equi[name](a, b, options)
  end
end

each_reduction("mse_loss", pair "mse_loss", {x, y}, function(a, b) return (a - b) ^ 2 end)
each_reduction("l1_loss", pair "l1_loss", {x, y}, function(a, b) return math.abs(a - b) end)
local function huber(beta)
  return function(a, b)
    local d = math.abs(a - b)
    return d < beta and d * d / (2 * beta) or d - beta / 2
  end
end
each_reduction("smooth_l1_loss", pair("smooth_l1_loss", {beta = 0.7}), {x, y}, huber(0.7))

local function bce(a, t, w, pos)
  local s = 1 / (1 + math.exp(-a))
  return -(w or 1) * ((pos or 1) * t * math.log(s) + (1 - t) * math.log(1 - s))
end
each_reduction("bce_with_logits", pair "bce_with_logits", {x, p}, bce)
each_reduction("bce_with_logits, weighted", function(how, a, t, w, pos)
  return equi.bce_with_logits(a, t, w, pos, {reduction = how})
end, {x, p, oracle.data({4}, {low = 0.5, seed = 4}), oracle.data({3, 1}, {low = 0.5, seed = 5})},
  bce)

each_reduction("kl_div", pair "kl_div", {x, p}, function(a, t) return t * (math.log(t) - a) end)
each_reduction("kl_div of logarithms", pair("kl_div", {log_target = true}), {x, y},
               function(a, t) return math.exp(t) * (t - a) end)

-- ---- class targets ----
local function log_softmax(v)
  local s, r = 0, {}
  for _, a in ipairs(v) do s = s + math.exp(a) end
  for i, a in ipairs(v) do r[i] = a - math.log(s) end
  return r
end

-- opts: weight, ignore_index, label_smoothing, reduction; `logs`: v holds log-probabilities.
local function naive_classes(logs, opts)
  local smooth = opts.label_smoothing or 0
  return function(rows, targets, weight)
    local losses, sum, total = {}, 0, 0
    for i, v in ipairs(rows) do
      local lp, t = logs and v or log_softmax(v), targets[i]
      if t == opts.ignore_index then
        losses[i] = 0
      else
        local w, all = weight and weight[t] or 1, 0
        for k, l in ipairs(lp) do all = all - l * (weight and weight[k] or 1) end
        losses[i] = (1 - smooth) * w * -lp[t] + smooth / #lp * all
        total = total + w
      end
      sum = sum + losses[i]
    end
    if opts.reduction == "none" then return losses end
    return opts.reduction == "sum" and sum or sum / total
  end
end

local logits, classes = oracle.data(5, 3), equi.tensor({2, 1, 3, 3, 1}, {dtype = "i64"})
local weight = equi.tensor({0.5, 1, 2}, {dtype = "f64"})
for _, name in ipairs {"cross_entropy", "nll_loss"} do
  local cases = {}
  local function add(what, opts, weighted, big)
    cases[#cases + 1] = {
      what, inputs = {logits, classes}, second = true, tol = 1e-10, count = 3,
      big = big and {{2000, 30}, {2000}},
      f = function(a, t)
        return equi[name](a, t, weighted and weight:to(a.dtype) or nil, opts)
      end,
      naive = function(a, t)
        return naive_classes(name == "nll_loss", opts)(a, t, weighted and weight:totable())
      end,
    }
  end
  for _, how in ipairs {"mean", "sum", "none"} do
    add(how, {reduction = how}, false, how == "mean")
    add(how .. ", weighted", {reduction = how}, true)
    add(how .. ", weighted, ignoring", {reduction = how, ignore_index = 3}, true)
    if name == "cross_entropy" then
      add(how .. ", smoothed", {reduction = how, label_smoothing = 0.2})
      add(how .. ", smoothed, weighted, ignoring",
          {reduction = how, label_smoothing = 0.2, ignore_index = 1}, true)
    end
  end
  op(name, cases)
end

describe("cross_entropy", function()
  it("with classes in the second of four dims is that of rows", function()
    local images = oracle.data(2, 3, 4, 5)
    local targets = oracle.index(3, 2, 4, 5)
    local rows = images:permute(1, 3, 4, 2):reshape(40, 3)
    local want = equi.cross_entropy(rows, targets:reshape(40), {reduction = "none"})
    oracle.near(equi.cross_entropy(images, targets, {reduction = "none"}),
                want:reshape(2, 4, 5), 1e-14)
    oracle.gradcheck(function(a) return equi.cross_entropy(a, targets) end, {images})
  end)

  it("of one example without a batch", function()
    local target = equi.tensor(1, {dtype = "i64"})
    oracle.near(equi.cross_entropy(equi.tensor({0, 0}), target), math.log(2))
  end)

  it("with one-hot probabilities is that with classes", function()
    local rows = {{0, 1, 0}, {1, 0, 0}, {0, 0, 1}, {0, 0, 1}, {1, 0, 0}}
    local hot = equi.tensor(rows, {dtype = "f64"})
    for _, smooth in ipairs {0, 0.3} do
      local opts = {label_smoothing = smooth, reduction = "none"}
      oracle.near(equi.cross_entropy(logits, hot, weight, opts),
                  equi.cross_entropy(logits, classes, weight, opts), 1e-14)
    end
    local soft = oracle.data({5, 3}, {low = 0.1, high = 0.6, seed = 8})
    oracle.gradcheck(equi.cross_entropy, {logits, soft, weight}, {second = true})
  end)

  it("of targets that are all ignored is NaN in the mean and 0 in the sum", function()
    local t = equi.tensor({-1}, {dtype = "i64"})
    local a = equi.zeros(1, 3)
    oracle.near(equi.cross_entropy(a, t, {ignore_index = -1}), 0 / 0)
    oracle.near(equi.cross_entropy(a, t, {ignore_index = -1, reduction = "sum"}), 0, 0)
  end)

  it("of nothing", function()
    local t = equi.zeros(0, {dtype = "i64"})
    assert.same({0}, {equi.cross_entropy(equi.zeros(0, 3), t, {reduction = "none"}):size()})
    oracle.near(equi.cross_entropy(equi.zeros(0, 3), t, {reduction = "sum"}), 0, 0)
  end)

  it("names the target that is no class", function()
    local function class(v) return equi.tensor(v, {dtype = "i64"}) end
    for _, name in ipairs {"cross_entropy", "nll_loss"} do
      oracle.raises("target 4 at position 2 is outside 1 to 3, the classes of x", equi[name],
                    equi.zeros(2, 3), class {1, 4})
      oracle.raises("target 0 at position 1 is outside 1 to 3", equi[name], equi.zeros(2, 3),
                    class {0, 1})
      oracle.raises("x is 2 x 3 with the classes in dim 2, so targets must be 2, they are 3",
                    equi[name], equi.zeros(2, 3), class {1, 1, 1})
      oracle.raises("weight must have one number per class, 3, it is 2", equi[name],
                    equi.zeros(2, 3), class {1, 1}, equi.ones(2))
      oracle.raises("x must have a dim of classes", equi[name], equi.tensor(1), class(1))
      oracle.raises('reduction must be one of "mean", "sum", "none", got "avg"', equi[name],
                    equi.zeros(2, 3), class {1, 1}, {reduction = "avg"})
    end
    local ce = equi.cross_entropy
    oracle.raises("label_smoothing must be from 0 to 1, got 2", ce, equi.zeros(1, 3), class {1},
                  {label_smoothing = 2})
    oracle.raises("targets must be classes (i64) or probabilities (f32), they are bool", ce,
                  equi.zeros(1, 3), equi.zeros(1):eq(0))
    oracle.raises("the target probabilities are 2 x 3; they must have the same shape", ce,
                  equi.zeros(1, 3), equi.zeros(2, 3))
    oracle.raises("ignore_index needs class targets", ce, equi.zeros(1, 3), equi.zeros(1, 3),
                  {ignore_index = 1})
    oracle.raises("the class weights have no gradient", function()
      ce(equi.zeros(1, 3), class {1}, equi.ones(3):requires_grad_()):backward()
    end)
  end)
end)

describe("losses", function()
  it("want two tensors of one shape", function()
    for _, name in ipairs {"mse_loss", "l1_loss", "smooth_l1_loss", "bce_with_logits", "kl_div"} do
      oracle.raises(name .. ": x is 3 and y is 3 x 1; they must have the same shape", equi[name],
                    equi.zeros(3), equi.zeros(3, 1))
    end
    oracle.raises("smooth_l1_loss: beta must be at least 0, got -1", equi.smooth_l1_loss,
                  equi.zeros(3), equi.zeros(3), {beta = -1})
    oracle.raises("bce_with_logits: shapes do not fit", equi.bce_with_logits, equi.zeros(3),
                  equi.zeros(3), equi.ones(2))
    oracle.raises("weight and pos_weight must broadcast to x, 3", equi.bce_with_logits,
                  equi.zeros(3), equi.zeros(3), equi.ones(2, 3))
  end)

  it("stay finite where a naive formula does not", function()
    oracle.near(equi.bce_with_logits(equi.tensor({1000, -1000}), equi.tensor({0, 1}),
                                     {reduction = "none"}), {1000, 1000}, 0)
    oracle.near(equi.kl_div(equi.tensor({-1, -2}), equi.tensor({0, 1}), {reduction = "none"}),
                {0, 2}, 0)
    oracle.near(equi.smooth_l1_loss(equi.tensor({3}), equi.tensor({1}), {beta = 0}), 2, 0)
  end)

  it("kl_div batchmean divides by the first size", function()
    local a = equi.kl_div(x, p, {reduction = "sum"})
    oracle.near(equi.kl_div(x, p, {reduction = "batchmean"}), a / 3, 1e-14)
  end)

  it("do not depend on the number of threads", function()
    for _, name in ipairs {"mse_loss", "smooth_l1_loss", "bce_with_logits"} do
      oracle.both_threads(function()
        local a = oracle.data({400, 500}, {dtype = "f32"}):requires_grad_()
        local b = oracle.data({400, 500}, {dtype = "f32", low = 0, high = 1})
        local l = equi[name](a, b)
        l:backward()
        return l, a.grad
      end)
    end
  end)
end)
