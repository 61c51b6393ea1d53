-- Linear algebra against definitions (Cramer, Laplace, products of factors) in loops over tables.
-- The expanded layout of the general check repeats a row, which makes a matrix singular: cases that
-- refuse such matrices leave it out (strides = false).
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

-- Laplace's expansion along the first row.
local function det(a)
  if #a == 1 then return a[1][1] end
  local s = 0
  for j = 1, #a do
    local minor = {}
    for i = 2, #a do
      minor[i - 1] = {}
      for k = 1, #a do if k ~= j then table.insert(minor[i - 1], a[i][k]) end end
    end
    s = s + (j % 2 == 1 and 1 or -1) * a[1][j] * det(minor)
  end
  return s
end

-- Cramer's rule: column j of a replaced by b.
local function cramer(a, b)
  local d, x = det(a), {}
  for j = 1, #a do
    local m = {}
    for i = 1, #a do
      m[i] = {table.unpack(a[i])}
      m[i][j] = b[i]
    end
    x[j] = det(m) / d
  end
  return x
end

local function regular(n, seed, ...)
  local batch = {...}
  local sizes = {table.unpack(batch)}
  sizes[#sizes + 1], sizes[#sizes + 2] = n, n
  return oracle.data(sizes, {seed = seed or 1}) + equi.eye(n, {dtype = "f64"}) * 3
end

local function positive(n, seed)
  local x = regular(n, seed)
  return x:matmul(x:transpose())
end

local f64 = {dtype = "f64"}

op("solve", {
  {"for a vector", strides = false, inputs = {regular(4), oracle.data(4)}, naive = cramer,
   second = true},
  {"of size 1", inputs = {regular(1), oracle.data(1)}, naive = cramer},
  {"for a matrix", strides = false, inputs = {regular(3), oracle.data(3, 2)}, second = true,
   naive = function(a, b)
    local x = {{}, {}, {}}
    for j = 1, 2 do
      local column = cramer(a, {b[1][j], b[2][j], b[3][j]})
      for i = 1, 3 do x[i][j] = column[i] end
    end
    return x
  end},
  {"in a batch", inputs = {regular(3, 1, 2), oracle.data(2, 3)}, naive = function(a, b)
    return {cramer(a[1], b[1]), cramer(a[2], b[2])}
  end},
  {"broadcasting", inputs = {regular(2, 1, 3, 1), oracle.data(1, 2, 2, 1)},
   naive = function(a, b)
     local r = {}
     for i = 1, 3 do
       r[i] = {}
       for j = 1, 2 do
         local x = cramer(a[i][1], {b[1][j][1][1], b[1][j][2][1]})
         r[i][j] = {{x[1]}, {x[2]}}
       end
     end
     return r
   end},
})

op("inv", {
  {"of one", strides = false, inputs = {regular(3)}, second = true, naive = function(a)
    local r = {{}, {}, {}}
    for j = 1, 3 do
      local e = {0, 0, 0}
      e[j] = 1
      local column = cramer(a, e)
      for i = 1, 3 do r[i][j] = column[i] end
    end
    return r
  end},
})

op("det", {
  {"of one", inputs = {regular(4)}, naive = det, second = true},
  {"with row exchanges", inputs = {regular(3):flip(1)}, naive = det},
  {"of size 1", inputs = {regular(1)}, naive = det},
  {"of a batch", inputs = {regular(3, 2, 2)}, naive = function(a) return {det(a[1]),
   det(a[2])} end},
})

op("slogdet", {
  {"of one", inputs = {regular(4):flip(1)}, naive = function(a)
    local d = det(a)
    return d < 0 and -1 or 1, math.log(math.abs(d))
  end},
})

-- For these the definition is that the factors give the matrix again and have their form.
op("cholesky", {
  {"gives a again", f = function(a)
    local l = ((a + a:transpose()) * 0.5):cholesky()
    return l:matmul(l:transpose()), l:triu(1)
  end, inputs = {positive(4)}, strides = false, naive = function(a)
    local zero = {}
    for i = 1, 4 do zero[i] = {0, 0, 0, 0} end
    return a, zero
  end},
  {"of symmetric matrices", f = function(a) return equi.cholesky((a + a:transpose()) * 0.5) end,
   inputs = {positive(3)}, second = true, strides = false},
})

op("eigh", {
  {"gives a again", f = function(a)
    local w, v = ((a + a:transpose()) * 0.5):eigh()
    return v:matmul(w:diag()):matmul(v:transpose()), v:transpose():matmul(v)
  end, inputs = {positive(3)}, naive = function(a)
    return a, {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}
  end},
  {"eigenvalues", f = function(a) return (equi.eigh((a + a:transpose()) * 0.5)) end,
   inputs = {positive(3)}},
  {"eigenvectors", f = function(a)
    local _, v = equi.eigh((a + a:transpose()) * 0.5)
    return v * v
  end, inputs = {positive(3)}, second = true},
})

op("qr", {
  {"gives a again", f = function(a)
    local q, r = a:qr()
    return q:matmul(r), q:transpose():matmul(q), r:tril(-1)
  end, inputs = {oracle.data(4, 3)}, naive = function(a)
    return a, {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}}
  end},
  {"both factors", inputs = {oracle.data(2, 3, 2)}, second = true},
  {"square", inputs = {regular(3)}},
  {"of a wide matrix", f = function(a)
    local q, r = a:qr()
    return q:matmul(r)
  end, inputs = {oracle.data(2, 4)}, naive = function(a) return a end, grad = false},
})

op("svd", {
  {"gives a again", f = function(a)
    local u, s, vh = a:svd()
    return (u * s):matmul(vh), u:transpose():matmul(u), vh:matmul(vh:transpose())
  end, inputs = {oracle.data(4, 2)}, naive = function(a)
    return a, {{1, 0}, {0, 1}}, {{1, 0}, {0, 1}}
  end},
  {"of a wide matrix", f = function(a)
    local u, s, vh = a:svd()
    return (u * s:sqrt()):matmul(vh)
  end, inputs = {oracle.data(2, 4)}, second = true},
  {"factors up to signs", f = function(a)
    local u, s, vh = a:svd()
    return u * u, s, vh * vh
  end, inputs = {oracle.data(4, 3)}},
})

op("lstsq", {
  {"solves the normal equations", inputs = {oracle.data(4, 2), oracle.data({4}, {seed = 3})},
   naive = function(a, b)
     local at = {{}, {}}
     for i = 1, 4 do at[1][i], at[2][i] = a[i][1], a[i][2] end
     local atb = product(at, {{b[1]}, {b[2]}, {b[3]}, {b[4]}})
     return cramer(product(at, a), {atb[1][1], atb[2][1]})
   end},
})

describe("linalg at the edges", function()
  it("finds values that no rounding disturbs", function()
    assert.same({-2}, {equi.tensor({{1, 2}, {3, 4}}, f64):det():item()})
    oracle.near((equi.tensor({{2, 0}, {0, 1}}, f64):eigh()), {1, 2}, 0)
    local sign, log = equi.zeros(2, 2):slogdet()
    assert.same({0, -math.huge}, {sign:item(), log:item()})
    assert.equal(0, equi.zeros(2, 2):det():item())
    assert.equal(1, equi.zeros(0, 0):det():item())
    assert.same({0, 0}, {equi.zeros(0, 0):inv():size()})
    assert.same({0, 3, 3}, {equi.zeros(0, 3, 3):cholesky():size()})
  end)

  it("takes transposed views, which hold other strides", function()
    local a, b = regular(3), oracle.data({3, 2}, {seed = 2})
    oracle.near(a:transpose():solve(b), a:transpose():clone():solve(b):totable(), 0)
    oracle.near(a:transpose():inv(), a:inv():transpose():totable(), 1e-12)
    local p = positive(3)
    oracle.near(p:transpose():cholesky(), p:cholesky():totable(), 1e-12)
  end)

  it("says what is wrong", function()
    oracle.raises("solve: the matrix is singular; add a small multiple of the identity, " ..
                  "or use lstsq", equi.solve, equi.ones(2, 2), equi.ones(2))
    oracle.raises("inv: the matrix (matrix 2 of the batch) is singular", equi.inv,
                  equi.stack {equi.eye(2), equi.zeros(2, 2)})
    oracle.raises("solve: a is 2 x 2, b is 3; b needs 2 rows", equi.solve, equi.eye(2),
                  equi.ones(3))
    oracle.raises("solve: shapes do not fit", equi.solve, equi.zeros(2, 2, 2), equi.zeros(3, 2, 1))
    oracle.raises("inv: needs square matrices in the last two dims, got 2 x 3", equi.inv,
                  equi.zeros(2, 3))
    oracle.raises("det: needs square matrices in the last two dims, got 3", equi.det, equi.zeros(3))
    oracle.raises("cholesky: the matrix is not positive definite: its leading 2 x 2 part is not",
                  equi.cholesky, equi.tensor {{1, 2}, {2, 1}})
    oracle.raises("eigh: the matrix holds NaN or infinity", equi.eigh, equi.full({2, 2}, 0 / 0))
    oracle.raises("svd: the matrix holds NaN or infinity", equi.svd, equi.full({2, 2}, 1 / 0))
    oracle.raises("lstsq: needs at least as many rows as columns, got 2 x 3", equi.lstsq,
                  equi.zeros(2, 3), equi.zeros(2))
    oracle.raises("lstsq: a is 3 x 2, b is 2; b needs 3 rows", equi.lstsq, equi.zeros(3, 2),
                  equi.zeros(2))
    local x = equi.ones(2, 3, {requires_grad = true})
    local q = x:qr()
    oracle.raises("has a gradient for matrices with at least as many rows as columns, got 2 x 3",
                  q.backward, q:sum())
  end)
end)
