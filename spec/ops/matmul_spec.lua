-- matmul, linear, bmm, dot, outer against three loops over Lua tables.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local op = require "spec.support.cases"

local function product(a, b)
  local r = {}
  for i = 1, #a do
    r[i] = {}
    for j = 1, #b[1] do
      local s = 0
      for k = 1, #b do s = s + a[i][k] * b[k][j] end
      r[i][j] = s
    end
  end
  return r
end

local function column(v)
  local r = {}
  for i, x in ipairs(v) do r[i] = {x} end
  return r
end

local function transposed(a)
  local r = {}
  for j = 1, #a[1] do
    r[j] = {}
    for i = 1, #a do r[j][i] = a[i][j] end
  end
  return r
end

local function row_dot(a, b) return product({a}, column(b))[1][1] end

local function mapped(t, f)
  local r = {}
  for i, x in ipairs(t) do r[i] = f(x, i) end
  return r
end

local data = oracle.data

op("matmul", {
  {"of matrices", inputs = {data(3, 4), data(4, 5)}, naive = product, second = true,
   big = {{300, 200}, {200, 250}}},
  {"of matrices large enough for BLAS", inputs = {data(33, 40), data({40, 37}, {seed = 2})},
   naive = product, grad = false, tol32 = 1e-4, big = {{513, 1030}, {1030, 517}}},
  {"of a row and a matrix", inputs = {data(1, 300), data({300, 70}, {seed = 2})}, naive = product,
   grad = false, tol32 = 1e-4, big = {{1, 3000}, {3000, 1100}}},
  {"of a matrix and a column", inputs = {data(70, 300), data({300, 1}, {seed = 2})},
   naive = product,
   grad = false, tol32 = 1e-4, big = {{1100, 3000}, {3000, 1}}},
  {"of vectors", inputs = {data(5), data({5}, {seed = 2})}, naive = row_dot, second = true,
   big = {{100000}, {100000}}},
  {"of a vector and a matrix", inputs = {data(3), data(3, 4)}, second = true,
   naive = function(a, b) return product({a}, b)[1] end},
  {"of a matrix and a vector", inputs = {data(3, 4), data(4)}, second = true,
   naive = function(a, b) return transposed(product(a, column(b)))[1] end},
  {"of size 1", inputs = {data(1, 1), data(1, 1)}, naive = product},
  {"of batches", inputs = {data(2, 3, 4), data({2, 4, 2}, {seed = 2})}, second = true,
   naive = function(a, b) return mapped(a, function(m, i) return product(m, b[i]) end) end,
   big = {{40, 50, 60}, {40, 60, 30}}},
  {"of a batch and a matrix", inputs = {data(2, 3, 4), data(4, 2)}, second = true,
   naive = function(a, b) return mapped(a, function(m) return product(m, b) end) end,
   big = {{40, 50, 60}, {60, 30}}},
  {"of a batch and a vector", inputs = {data(2, 3, 4), data(4)},
   naive = function(a, b)
     return mapped(a, function(m) return mapped(m, function(r) return row_dot(r, b) end) end)
   end},
  {"of a vector and a batch", inputs = {data(3), data(2, 3, 4)},
   naive = function(a, b) return mapped(b, function(m) return product({a}, m)[1] end) end},
  {"of a matrix and a batch", inputs = {data(2, 3), data(2, 3, 2)},
   naive = function(a, b) return mapped(b, function(m) return product(a, m) end) end},
  {"broadcasting two batch dims", inputs = {data(2, 1, 2, 3), data({3, 3, 2}, {seed = 2})},
   naive = function(a, b)
     return mapped(a, function(m) return mapped(b, function(w) return product(m[1], w) end) end)
   end},
})

op("linear", {
  {"with bias", inputs = {data(3, 4), data({2, 4}, {seed = 2}), data(2)}, second = true,
   naive = function(x, w, b)
     return mapped(product(x, transposed(w)), function(r)
       return mapped(r, function(v, j) return v + b[j] end)
     end)
   end, big = {{300, 200}, {250, 200}, {250}}},
  {"without bias", inputs = {data(3, 4), data({2, 4}, {seed = 2})},
   naive = function(x, w) return product(x, transposed(w)) end},
  {"of a vector", inputs = {data(40), data({33, 40}, {seed = 2}), data(33)}, grad = false,
   tol32 = 1e-4, big = {{3000}, {1000, 3000}, {1000}},
   naive = function(x, w, b) return mapped(w, function(r, j) return row_dot(x, r) + b[j] end) end},
  {"to one number", inputs = {data(2, 3, 4), data(1, 4), data(1)}, second = true,
   naive = function(x, w, b)
     return mapped(x, function(m)
       return mapped(m, function(r) return {row_dot(r, w[1]) + b[1]} end)
     end)
   end},
})

op("bmm", {{"of two", inputs = {data(2, 3, 2), data({2, 2, 2}, {seed = 2})},
  naive = function(a, b) return mapped(a, function(m, i) return product(m, b[i]) end) end}})
op("dot", {{"of two", inputs = {data(4), data({4}, {seed = 2})}, naive = row_dot}})
op("outer", {{"of two", inputs = {data(2), data(3)},
  naive = function(a, b) return product(column(a), {b}) end}})

describe("matrix products", function()
  it("of nothing are zeros or empty", function()
    oracle.near(equi.ones(2, 0):matmul(equi.ones(0, 3)), {{0, 0, 0}, {0, 0, 0}}, 0)
    oracle.near(equi.linear(equi.ones(2, 0), equi.ones(3, 0), equi.tensor {1, 2, 3}),
                {{1, 2, 3}, {1, 2, 3}}, 0)
    assert.same({0, 3}, {equi.ones(0, 2):matmul(equi.ones(2, 3)):size()})
    assert.same({0, 2, 3}, {equi.ones(0, 2, 2):matmul(equi.ones(2, 3)):size()})
    oracle.gradcheck(equi.matmul, {equi.ones(2, 0, {dtype = "f64"}),
                                   equi.ones(0, 3, {dtype = "f64"})})
  end)

  it("agree bit for bit however the operands lie in memory", function()
    local a, b = data({70, 90}, {dtype = "f32"}), data({90, 50}, {dtype = "f32", seed = 2})
    local at, bt = a:transpose():clone():transpose(), b:transpose():clone():transpose()
    local want = a:matmul(b):totable()
    oracle.near(at:matmul(bt), want, 1e-5)
    oracle.near(a:narrow(1, 1, 69):matmul(b), a:matmul(b):narrow(1, 1, 69):totable(), 1e-5)
  end)

  it("spread NaN through the row and the column it stands in only", function()
    local x = equi.ones(2, 2)
    x[1][1] = 0 / 0
    local y = x:matmul(equi.eye(2)):totable()
    assert.is_true(y[1][1] ~= y[1][1])
    assert.same({1, 1}, y[2])
  end)

  it("say which sizes do not fit", function()
    local z = equi.zeros
    oracle.raises("matmul: inner sizes differ: x is 32 x 128, w is 64 x 10; w needs 128 rows",
                  equi.matmul, z(32, 128), z(64, 10))
    oracle.raises("matmul: inner sizes differ: x is 2 x 3, w is 2; w needs 3 elements", equi.matmul,
                  z(2, 3), z(2))
    oracle.raises("matmul: w is a single number; multiply with *", equi.matmul, z(2, 3),
                  equi.tensor(1))
    oracle.raises("matmul: batch sizes do not fit: x is 2 x 1 x 3, w is 3 x 3 x 1; all dims before "
                  .. "the last two must be equal or 1", equi.matmul, z(2, 1, 3), z(3, 3, 1))
    oracle.raises("matmul: tensors of dtype f32 and f64 do not mix", equi.matmul, z(2, 2),
                  z(2, 2, {dtype = "f64"}))
    oracle.raises("linear: w must be out x in, it is 3", equi.linear, z(2, 3), z(3))
    oracle.raises("linear: inner sizes differ: x is 2 x 3, w is 5 x 4 (out x in); the last size of "
                  .. "x must be 4", equi.linear, z(2, 3), z(5, 4))
    oracle.raises("linear: b is 2, w is 5 x 3 (out x in); b needs 5 elements", equi.linear, z(2, 3),
                  z(5, 3), z(2))
    oracle.raises("bmm: needs B x n x k and B x k x m with one B, got 2 x 2 and 2 x 2", equi.bmm,
                  z(2, 2), z(2, 2))
    oracle.raises("dot: needs two vectors of one length, got 2 and 3", equi.dot, z(2), z(3))
    oracle.raises("outer: needs two vectors, got 2 x 2 and 3", equi.outer, z(2, 2), z(3))
  end)
end)
