-- index_select, index_add, gather, scatter, scatter_add, take, one_hot; masked_fill, masked_select,
-- nonzero: against loops over Lua tables.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local op = require "spec.support.cases"

local data, raises = oracle.data, oracle.raises
local function ids(t) return equi.tensor(t, {dtype = "i64"}) end

local function mapped(t, f)
  local r = {}
  for i, v in ipairs(t) do r[i] = f(v, i) end
  return r
end

local function copied(t) return type(t) == "table" and mapped(t, copied) or t end

-- f(row, ids' row, src's row) in every place of the first dim, for dims before the one in question.
local function rows(f)
  return function(x, i, src)
    return mapped(i, function(line, k) return f(x[k], line, src and src[k]) end)
  end
end

local function pick(x, i) return mapped(i, function(id) return x[id] end) end

local function put(combine)
  return function(x, i, src)
    local y = copied(x)
    for j, id in ipairs(i) do y[id] = combine(y[id], src[j]) end
    return y
  end
end

local plus = oracle.each(function(a, b) return a + b end)
local set, add = put(function(_, b) return b end), put(plus)

local function at(name, dim)
  return function(x, ...) return equi[name](x, dim, ...) end
end

op("index_select", {
  {"rows", f = at("index_select", 1), inputs = {data(4, 3), ids {4, 1, 1}}, naive = pick,
   second = true, big = {{2, 5000}, {40}}},
  {"columns", f = at("index_select", -1), inputs = {data(2, 3), ids {3, 1, 3, 2}}, second = true,
   naive = function(x, i) return mapped(x, function(r) return pick(r, i) end) end,
   big = {{9000, 2}, {7}}},
  {"of a middle dim", f = at("index_select", 2), inputs = {data(2, 3, 2), ids {2, 2}},
   naive = function(x, i) return mapped(x, function(r) return pick(r, i) end) end},
  {"of size 1, by one id", f = at("index_select", 1), inputs = {data(1), ids(1)},
   naive = function(x) return {x[1]} end},
})

op("index_add", {
  {"rows", f = at("index_add", 1), inputs = {data(3, 2), ids {2, 2, 1, 2}, data(4, 2)},
   naive = add, second = true, big = {{2, 900}, {500}, {500, 900}}},
  {"columns", f = at("index_add", 2), inputs = {data(2, 3), ids {3, 3}, data(2, 2)}, second = true,
   naive = function(x, i, s) return mapped(x, function(r, k) return add(r, i, s[k]) end) end,
   big = {{400, 2}, {90}, {400, 90}}},
})

op("gather", {
  {"along the last dim", f = at("gather", 2), naive = rows(pick), second = true,
   inputs = {data(2, 3), ids {{3, 1, 1, 2}, {2, 2, 3, 1}}}, big = {{300, 2}, {300, 200}}},
  {"along the first dim", f = at("gather", 1), inputs = {data(3, 2), ids {{3, 1}, {2, 2}}},
   naive = function(x, i)
     return mapped(i, function(r) return mapped(r, function(id, k) return x[id][k] end) end)
   end, second = true, big = {{2, 300}, {200, 300}}},
  {"by fewer ids than x has rows", f = at("gather", 2), inputs = {data(3, 2), ids {{2}, {1}}},
   naive = rows(pick)},
  {"along a middle dim", f = at("gather", 2), inputs = {data(2, 3, 2), ids {{{3, 1}}, {{2, 2}}}},
   naive = rows(function(x, i)
     return mapped(i, function(r) return mapped(r, function(id, k) return x[id][k] end) end)
   end)},
})

op("scatter", {
  {"a tensor", f = at("scatter", 2), inputs = {data(2, 4), ids {{3, 1}, {2, 4}}, data(2, 2)},
   naive = rows(set), second = true},
  {"a number", f = function(x, i) return x:scatter(1, i, 7) end, inputs = {data(3), ids {2, 2}},
   naive = function(x) return {x[1], 7, x[3]} end, big = {{2}, {3000}}},
  {"along the first dim", f = at("scatter", 1), inputs = {data(3, 2), ids {{3, 1}}, data(1, 2)},
   naive = function(x, i, s)
     local y = copied(x)
     for k = 1, 2 do y[i[1][k]][k] = s[1][k] end
     return y
   end, second = true},
})

op("scatter_add", {
  {"a tensor", f = at("scatter_add", 2), inputs = {data(2, 3), ids {{3, 3}, {2, 3}}, data(2, 2)},
   naive = rows(add), second = true, big = {{300, 2}, {300, 200}, {300, 200}}},
  {"along the first dim", f = at("scatter_add", 1), second = true,
   inputs = {data(2, 2), ids {{2, 1}, {2, 2}, {1, 2}}, data(3, 2)},
   naive = function(x, i, s)
     local y = copied(x)
     for j, r in ipairs(i) do for k, id in ipairs(r) do y[id][k] = y[id][k] + s[j][k] end end
     return y
   end, big = {{2, 300}, {200, 300}, {200, 300}}},
  {"a single number with a gradient", f = at("scatter_add", 1),
   inputs = {data(3), ids {2, 2}, equi.tensor(1.5, {dtype = "f64"})},
   naive = function(x, _, s) return {x[1], x[2] + 2 * s, x[3]} end},
})

op("take", {
  {"a matrix of ids", inputs = {data(2, 3), ids {{6, 1}, {4, 4}}}, second = true,
   naive = function(x, i)
     return mapped(i, function(r)
       return mapped(r, function(id) return x[(id - 1) // 3 + 1][(id - 1) % 3 + 1] end)
     end)
   end},
})

op("one_hot", {
  {"of a matrix", f = function(i) return i:one_hot(3, "f64") end, inputs = {ids {{1, 3}, {2, 2}}},
   grad = false, naive = function() return {{{1, 0, 0}, {0, 0, 1}}, {{0, 1, 0}, {0, 1, 0}}} end},
})

local mask = equi.tensor {{true, false, true}, {false, false, true}}
op("masked_fill", {
  {"by a number", f = function(x, m) return x:masked_fill(m, -1.5) end, inputs = {data(2, 3), mask},
   naive = oracle.each(function(x, m) return m and -1.5 or x end), second = true},
  {"by a tensor, broadcast", f = function(x, m, v) return x:masked_fill(m, v) end, second = true,
   inputs = {data(3), mask, data(2, 1)},
   naive = oracle.each(function(x, m, v) if m then return v end return x end)},
})

op("masked_select", {
  {"of one shape", inputs = {data(2, 3), mask}, second = true,
   naive = function(x) return {x[1][1], x[1][3], x[2][3]} end},
  {"broadcast", inputs = {data(3), mask}, naive = function(x) return {x[1], x[3], x[3]} end},
  {"of nothing", grad = false, inputs = {data(2, 3), equi.tensor(false)},
   naive = function() return {} end},
})

op("nonzero", {
  {"places in every dim", f = function(m) return m:nonzero() end, inputs = {mask}, grad = false,
   naive = function() return {{1, 1}, {1, 3}, {2, 3}} end},
})

describe("index ops", function()
  it("work on every dtype, in place too", function()
    for _, dtype in ipairs {"f32", "f64", "i64", "u8"} do
      local x = equi.tensor({1, 2, 3}, {dtype = dtype})
      local s = equi.tensor({5, 6}, {dtype = dtype})
      assert.same({3, 1}, x:index_select(1, ids {3, 1}):totable())
      assert.same({3, 1}, x:gather(1, ids {3, 1}):totable())
      assert.same({6, 2, 5}, x:scatter(1, ids {3, 1}, s):totable())
      assert.same({7, 2, 8}, x:scatter_add(1, ids {3, 1}, s):totable())
      assert.same({7, 2, 8}, x:index_add(1, ids {3, 1}, s):totable())
      assert.same({0, 2, 0}, x:masked_fill(equi.tensor {true, false, true}, 0):totable())
      assert.same({3, 1}, {equi.tensor({0, 4, 0, 1, 0, 1}, {dtype = dtype}):nonzero():size()})
      x:index_add_(1, ids {2}, s[{{1, 1}}])
      assert.same({1, 7, 3}, x:totable())
      x:scatter_(1, ids {1}, 4)
      assert.same({4, 7, 3}, x:totable())
      x:masked_fill_(x:gt(4), 1)
      assert.same({4, 1, 3}, x:totable())
    end
    local m = equi.tensor {true, false}
    assert.same({false, true}, m:index_select(1, ids {2, 1}):totable())
    assert.same({false, true}, m:gather(1, ids {2, 1}):totable())
    assert.same({false, true}, m:scatter(1, ids {2, 1}, m):totable())
    assert.same({true, true}, m:masked_fill(m:logical_not(), 1):totable())
  end)

  it("of several values for one place keep the last, and add in order", function()
    assert.same({9, 0}, equi.zeros(2):scatter(1, ids {1, 1, 1}, equi.tensor {3, 5, 9}):totable())
    local big = equi.tensor {1e8, 1, -1e8}
    assert.same({0, 0}, equi.zeros(2):scatter_add(1, ids {1, 1, 1}, big):totable())
    assert.same({0, 0}, equi.zeros(2):index_add(1, ids {1, 1, 1}, big):totable())
  end)

  it("take no ids and empty tensors", function()
    local none = equi.zeros(0, {dtype = "i64"})
    assert.same({2, 0}, {equi.zeros(2, 3):index_select(2, none):size()})
    assert.same({0, 2}, {equi.zeros(0, 3):index_select(2, ids {1, 1}):size()})
    assert.same({2, 0}, {equi.zeros(2, 3):gather(2, equi.zeros(2, 0, {dtype = "i64"})):size()})
    assert.same({1, 1}, equi.ones(2):scatter(1, none, 5):totable())
    assert.same({1, 1}, equi.ones(2):index_add(1, none, equi.zeros(0)):totable())
    assert.same({0}, {equi.ones(2):take(none):size()})
    assert.same({0, 3}, {none:one_hot(3):size()})
    assert.same({0, 0}, {none:one_hot():size()})
    assert.same({0, 2}, {equi.zeros(2, 2):nonzero():size()})
    assert.same({1, 0}, {equi.tensor(3):nonzero():size()})
  end)

  it("name the id, the dim and its size", function()
    local x = equi.zeros(2, 3)
    local message = "%s: id %d is out of range in dim %d, which has size %d; ids count from 1"
    for _, id in ipairs {0, -1, 4, math.maxinteger, math.mininteger} do
      raises(message:format("index_select", id, 2, 3), equi.index_select, x, 2, ids {1, id})
      raises(message:format("index_add", id, 2, 3), equi.index_add, x, 2, ids {id},
             equi.zeros(2, 1))
      raises(message:format("gather", id, 2, 3), equi.gather, x, 2, ids {{1}, {id}})
      raises(message:format("scatter", id, 2, 3), equi.scatter, x, -1, ids {{id}}, 1)
      raises(message:format("scatter_add", id, 2, 3), equi.scatter_add, x, 2, ids {{id}}, 1)
      raises(message:format("scatter_", id, 2, 3), x.scatter_, x, 2, ids {{id}}, 1)
      raises(message:format("take", id, 1, 3), equi.take, equi.zeros(3, 1), ids {id})
      if id ~= math.maxinteger then
        raises(message:format("one_hot", id, 2, 3), equi.one_hot, ids {1, id}, 3)
      end
    end
    raises(message:format("one_hot", 0, 2, 0), equi.one_hot, ids {0})
    assert.same({{0, 0, 0}, {0, 0, 0}}, x:totable())
  end)

  it("refuse wrong dtypes", function()
    local x, i = equi.zeros(2, 3), equi.ones(1)
    for _, name in ipairs {"index_select", "gather", "scatter", "scatter_add", "index_add"} do
      raises(name .. ': ids must have dtype i64, it is f32; convert it: ids:to "i64"', equi[name],
             x, 1, i, x)
    end
    raises("take: ids must have dtype i64", equi.take, x, i)
    raises("one_hot: ids must have dtype i64", equi.one_hot, i)
    raises("masked_fill: mask must have dtype bool or u8, it is f32", equi.masked_fill, x, x, 1)
    raises("masked_select: mask must have dtype bool or u8, it is f32", equi.masked_select, x, x)
    raises("scatter: tensors of dtype f32 and f64 do not mix", equi.scatter, x, 1, ids {{1}},
           equi.ones(1, 1, {dtype = "f64"}))
    raises("index_add: x must have dtype f32, f64, i64 or u8, it is bool", equi.index_add,
           equi.tensor {true}, 1, ids {1}, equi.tensor {true})
    raises("masked_fill: the number 0.5 does not fit an i64 tensor", equi.masked_fill, ids {1},
           equi.tensor {true}, 0.5)
    raises("scatter: the number 300.0 does not fit a u8 tensor", equi.scatter,
           equi.zeros(1, {dtype = "u8"}), 1, ids {1}, 300)
    raises("one_hot: classes must be at least 1, got 0", equi.one_hot, ids {1}, 0)
    raises("one_hot: dtype must be one of", equi.one_hot, ids {1}, 1, "f16")
  end)

  it("refuse wrong shapes", function()
    local x, one = equi.zeros(2, 3), equi.tensor(1)
    raises("index_select: ids must be a list, they are 1 x 2; gather takes more",
           equi.index_select, x, 1, ids {{1, 2}})
    raises("index_add: ids must be a list, they are 1 x 2; scatter_add takes more",
           equi.index_add, x, 1, ids {{1, 2}}, x)
    raises("index_add: src is 2 x 3; for 1 ids in dim 1 of 2 x 3 it must be 1 x 3", equi.index_add,
           x, 1, ids {1}, x)
    for _, name in ipairs {"index_select", "gather"} do
      raises(name .. ": x is a single number and has no dims", equi[name], one, 1, ids(1))
    end
    raises("scatter: x is a single number and has no dims", equi.scatter, one, 1, ids(1), 2)
    raises("index_add: x is a single number and has no dims", equi.index_add, one, 1, ids(1), one)
    raises("gather: ids need as many dims as x: ids are 2, x is 2 x 3", equi.gather, x, 1,
           ids {1, 1})
    raises("gather: ids are 1 x 4 and larger than x, which is 2 x 3, in dim 2", equi.gather, x, 1,
           ids {{1, 1, 1, 1}})
    raises("scatter: src is 2 x 3, ids are 1 x 1; they must agree, or src be a number",
           equi.scatter, x, 1, ids {{1}}, x)
    raises("gather: dim must be a whole number from 1 to 2 (or -2 to -1), got 3", equi.gather, x, 3,
           ids {{1}})
    raises("masked_select: shapes do not fit: 2 x 3 and 2", equi.masked_select, x,
           equi.tensor {true, false})
    raises("masked_fill_: the result is 2 x 3 and does not fit into x, which is 3", function()
      equi.zeros(3):masked_fill_(mask, 1)
    end)
  end)
end)
