-- layer_norm against a loop over rows.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local op = require "spec.support.cases"

local EPS = 1e-5

local function normalized(v, w, b)
  local mean, var, r = 0, 0, {}
  for _, x in ipairs(v) do mean = mean + x / #v end
  for _, x in ipairs(v) do var = var + (x - mean) ^ 2 / #v end
  for i, x in ipairs(v) do
    r[i] = (x - mean) / math.sqrt(var + EPS) * (w and w[i] or 1) + (b and b[i] or 0)
  end
  return r
end

local function rows(t, w, b)
  if type(t[1]) ~= "table" then return normalized(t, w, b) end
  local r = {}
  for i, v in ipairs(t) do r[i] = rows(v, w, b) end
  return r
end

local function over(n)
  return function(x, w, b) return equi.layer_norm(x, {n}, w, b) end
end

local x, w, b = oracle.data(3, 5), oracle.data({5}, {seed = 2}), oracle.data({5}, {seed = 3})
op("layer_norm", {
  {"with weight and bias", f = over(5), inputs = {x, w, b}, naive = rows, second = true,
   gradtol = 1e-6, tol32 = 1e-4},
  {"with weight", f = over(5), inputs = {x, w}, naive = rows, second = true, gradtol = 1e-6,
   tol32 = 1e-4},
  {"with bias", f = function(a, c) return equi.layer_norm(a, {5}, nil, c) end, inputs = {x, b},
   naive = function(t, c) return rows(t, nil, c) end, second = true, gradtol = 1e-6, tol32 = 1e-4},
  {"alone", f = over(5), inputs = {oracle.data(2, 3, 5)}, naive = rows, second = true,
   gradtol = 1e-6, tol32 = 1e-4},
  {"of rows longer than a vector register", f = over(37), inputs = {oracle.data(2, 37)},
   naive = rows, gradtol = 1e-6, tol32 = 1e-4},
  {"over many rows", f = over(64), strides = false,
   inputs = {oracle.data(2, 64), oracle.data(64), oracle.data(64)}, naive = rows, gradtol = 1e-6,
   tol32 = 1e-4, big = {{2000, 64}, {64}, {64}}},
})

describe("layer_norm over two dims", function()
  it("is that over one, reshaped", function()
    local t, v = oracle.data(4, 2, 3), oracle.data({2, 3}, {seed = 5})
    local got = equi.layer_norm(t, {2, 3}, v, {eps = 0.1})
    local want = equi.layer_norm(t:reshape(4, 6), {6}, v:reshape(6), {eps = 0.1})
    oracle.near(got, want:reshape(4, 2, 3), 0)
    oracle.gradcheck(function(p, q) return equi.layer_norm(p, {2, 3}, q) end, {t, v},
                     {second = true, tol = 1e-6})
  end)

  it("gradients of weight and bias add up thousands of rows", function()
    local t = oracle.data({3000, 3}, {dtype = "f32"})
    local weight = equi.ones(3):requires_grad_()
    local bias = equi.zeros(3):requires_grad_()
    equi.layer_norm(t, {3}, weight, bias):sum():backward()
    oracle.near(bias.grad, {3000, 3000, 3000}, 0)
    local h = equi.layer_norm(t:to("f64"), {3}):sum(1)
    oracle.near(weight.grad, h, 1e-3)
  end)

  it("works on no rows", function()
    local t = equi.zeros(0, 3):requires_grad_()
    local weight = equi.ones(3):requires_grad_()
    equi.layer_norm(t, {3}, weight):sum():backward()
    oracle.near(weight.grad, {0, 0, 0}, 0)
  end)

  it("says which shape does not fit", function()
    oracle.raises("layer_norm: x is 2 x 3 and does not end with the sizes 4", equi.layer_norm,
                  equi.zeros(2, 3), {4})
    oracle.raises("layer_norm: weight is 4, the sizes are 3", equi.layer_norm, equi.zeros(2, 3),
                  {3}, equi.zeros(4))
    oracle.raises("layer_norm: bias is 4, the sizes are 3", equi.layer_norm, equi.zeros(2, 3), {3},
                  nil, equi.zeros(4))
    oracle.raises("layer_norm: sizes must name at least the last dim", equi.layer_norm,
                  equi.zeros(2, 3), {})
  end)
end)
