-- sort, argsort, topk, kthvalue, median, unique against table.sort over Lua tables.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local op = require "spec.support.cases"

local data, raises = oracle.data, oracle.raises
local function ids(t) return equi.tensor(t, {dtype = "i64"}) end

-- v's places in stable order.
local function order(v, down)
  local place = {}
  for i = 1, #v do place[i] = i end
  table.sort(place, function(a, b)
    if v[a] == v[b] then return a < b end
    if down then return v[a] > v[b] end
    return v[a] < v[b]
  end)
  return place
end

local function both(dim, down, from, to)
  local function chosen(f)
    return oracle.along(dim, function(v)
      local r = {}
      for k, i in ipairs {table.unpack(order(v, down), from or 1, to or #v)} do r[k] = f(v, i) end
      return r
    end)
  end
  local values = chosen(function(v, i) return v[i] end)
  local places = chosen(function(_, i) return i end)
  return function(x) return values(x), places(x) end
end

local function first(f)
  return function(x)
    local a, b = f(x)
    local function bare(t)
      local r = {}
      for i, v in ipairs(t) do r[i] = v[1] end
      return r
    end
    return bare(a), bare(b)
  end
end

op("sort", {
  {"a vector", inputs = {data(40)}, naive = both(1), second = true},
  {"the last dim", inputs = {data(2, 3, 5)}, naive = both(-1), second = true, big = {{400, 90}}},
  {"the first dim, descending", f = function(x) return x:sort(1, true) end, inputs = {data(5, 3)},
   naive = both(1, true), second = true, big = {{90, 400}}},
  {"a middle dim", f = function(x) return x:sort {dim = 2} end, inputs = {data(2, 4, 3)},
   naive = both(2)},
  {"of size 1", inputs = {data(3, 1)}, naive = both(-1)},
})

op("argsort", {{"descending", f = function(x) return x:argsort(1, true) end, inputs = {data(5, 2)},
  grad = false, naive = function(x) return (select(2, both(1, true)(x))) end}})

op("topk", {
  {"the largest", f = function(x) return x:topk(2) end, inputs = {data(3, 5)}, second = true,
   naive = both(-1, true, 1, 2), big = {{400, 90}}},
  {"the smallest of the first dim", f = function(x) return x:topk(3, 1, false) end,
   inputs = {data(5, 2)}, naive = both(1, false, 1, 3)},
})

op("kthvalue", {
  {"kept", f = function(x) return x:kthvalue(2, {keepdim = true}) end, inputs = {data(3, 4)},
   naive = both(-1, false, 2, 2), second = true},
  {"of rows", f = function(x) return x:kthvalue(4) end, inputs = {data(3, 4)},
   naive = first(both(-1, false, 4, 4))},
})

op("median", {
  {"of rows of four: the lower middle", f = function(x) return x:median(2) end,
   inputs = {data(3, 4)}, naive = first(both(2, false, 2, 2)), second = true},
  {"of rows of five", f = function(x) return x:median(-1, true) end, inputs = {data(3, 5)},
   naive = both(2, false, 3, 3)},
})

describe("sort", function()
  it("keeps the order of equal elements in both directions", function()
    local x = equi.tensor {2, 1, 2, 1, 2}
    assert.same({2, 4, 1, 3, 5}, x:argsort():totable())
    assert.same({1, 3, 5, 2, 4}, x:argsort(1, true):totable())
    local _, place = equi.zeros(1000):sort()
    assert.same(equi.arange(1000):totable(), place:totable())
  end)

  it("puts NaN behind all numbers", function()
    local nan, inf = 0 / 0, math.huge
    local y, place = equi.tensor({nan, 1, inf, nan, -inf}):sort()
    oracle.near(y, {-inf, 1, inf, nan, nan}, 0)
    assert.same({5, 2, 3, 1, 4}, place:totable())
    oracle.near((equi.tensor({1, nan, 2}):sort(1, true)), {nan, 2, 1}, 0)
  end)

  it("takes whole numbers and masks", function()
    local big = math.maxinteger
    assert.same({big - 1, big}, (ids {big, big - 1}:sort()):totable())
    assert.same({0, 200, 255}, (equi.tensor({255, 0, 200}, {dtype = "u8"}):sort()):totable())
    assert.same({false, true, true}, (equi.tensor({true, false, true}):sort()):totable())
  end)

  it("takes nothing and single numbers", function()
    assert.same({0, 3}, {(equi.zeros(0, 3):sort()):size()})
    assert.same({0, 3}, {(equi.zeros(0, 3):sort(1)):size()})
    local y, place = equi.tensor(4):sort()
    assert.same({4, 1}, {y:item(), place:item()})
    assert.equal(4, (equi.tensor(4):median()):item())
    assert.equal(4, (equi.tensor(4):topk(1)):item())
    assert.same({2, 0}, {(equi.zeros(2, 3):topk(0)):size()})
    oracle.gradcheck(equi.sort, {equi.tensor(4, {dtype = "f64"})})
  end)

  it("gives the median of everything and its place", function()
    local y, place = equi.tensor({{5, 1}, {4, 2}}):median()
    assert.same({2, 4}, {y:item(), place:item()})
    local x = data(3, 3):requires_grad_();
    (x:median()):backward()
    assert.equal(1, x.grad:sum():item())
  end)

  it("refuses what is not there", function()
    raises("topk: k must be from 0 to 3, the size of dim 2, got 4", equi.topk, equi.zeros(2, 3), 4)
    raises("topk: k must be from 0 to 3, the size of dim 2, got -1", equi.topk, equi.zeros(2, 3),
           -1)
    raises("kthvalue: k must be from 1 to 3, the size of dim 2, got 0", equi.kthvalue,
           equi.zeros(2, 3), 0)
    raises("kthvalue: k must be from 1 to 2, the size of dim 1, got 3", equi.kthvalue,
           equi.zeros(2, 3), 3, 1)
    raises("median: there is no middle of nothing: x is 0", equi.median, equi.zeros(0))
    raises("median: there is no middle of nothing: x is 2 x 0", equi.median, equi.zeros(2, 0), 2)
    raises("sort: dim must be a whole number from 1 to 2 (or -2 to -1), got 3", equi.sort,
           equi.zeros(2, 3), 3)
    raises("sort: descending must be true or false, got 1", equi.sort, equi.zeros(2), 1, 1)
    raises('sort: no option "reverse"', equi.sort, equi.zeros(2), {reverse = true})
    raises("topk: k is missing", equi.topk, equi.zeros(2))
  end)
end)

describe("a long line", function()
  it("is sorted in pieces, the same on one and two threads", function()
    local n = 150001
    local x = equi.arange(n):mul(7919):remainder(1009) -- every value many times: order is stable
    local want = order(x:totable(), false)
    local threads = equi.threads()
    for _, count in ipairs {1, 2} do
      equi.threads(count)
      local y, at = x:sort()
      assert.same(want, at:totable())
      assert.is_true(y:eq(x:take(at)):all():item())
    end
    equi.threads(threads)
  end)
end)

describe("unique", function()
  it("gives the values in order, where each went, how often", function()
    local x = equi.tensor {{3, 1, 3}, {-2, 1, 3}}
    local y, inverse, counts = x:unique()
    assert.same({-2, 1, 3}, y:totable())
    assert.same({{3, 2, 3}, {1, 2, 3}}, inverse:totable())
    assert.same({1, 2, 3}, counts:totable())
    assert.same(x:totable(), y:take(inverse):totable())
    local t, from = x:transpose():unique()
    assert.same(x:transpose():totable(), t:take(from):totable())
  end)

  it("takes every dtype and nothing", function()
    local big = math.maxinteger
    assert.same({big - 1, big}, (ids {big, big - 1, big}:unique()):totable())
    assert.same({false, true}, (equi.tensor({true, false, true}):unique()):totable())
    assert.same({7}, (equi.tensor({7, 7}, {dtype = "u8"}):unique()):totable())
    assert.same({0}, {(equi.zeros(2, 0):unique()):size()})
    assert.same({5}, (equi.tensor(5):unique()):totable())
  end)
end)
