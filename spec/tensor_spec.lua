-- Constructors, x[...] and assignment to it, conversions, in-place changes, splitting, comparison:
-- what they give and what they refuse.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"

local raises = oracle.raises
local function ids(t) return equi.tensor(t, {dtype = "i64"}) end

describe("indexing", function()
  local x = equi.arange(24):reshape(2, 3, 4)

  it("takes positions, ranges, ids and masks", function()
    assert.same({13, 14, 15, 16}, x[2][1]:totable())
    assert.same({16, 20, 24}, x[{2, {}, -1}]:totable())
    assert.same({{5, 7}, {9, 11}}, x[{1, {2, 3}, {1, -1, 2}}]:totable())
    assert.same({{3, 1}, {15, 13}}, x[{{}, 1, ids {3, 1}}]:totable())
    assert.same({23, 24}, x[x:gt(22)]:totable())
    oracle.gradcheck(function(y) return y[{1, {}, {1, 4, 3}}] end, {oracle.data(2, 3, 4)})
  end)

  it("assigns and keeps whole numbers exact", function()
    local y = ids {1, 2, 3}
    y[1] = 9007199254740993
    y[{{2, 3}}] = ids {7, 8}
    y[y:eq(8)] = 9
    assert.same({9007199254740993, 7, 9}, y:totable())
  end)

  it("names the user's dim and refuses what does not fit", function()
    for _, i in ipairs {0, 4, -4} do
      raises(("index: position %d of dim 2 is out of range, the dim has 3"):format(i),
             function() return x[{1, i}] end)
    end
    raises("index: range {1, 9} does not fit dim 2 of size 3", function() return x[{1, {1, 9}}] end)
    raises("index: positions must have dtype i64, they are f32",
           function() return x[equi.tensor {1}] end)
    raises("assignment: the number 1.5 does not fit an i64 tensor", function() ids {1}[1] = 1.5 end)
    local wide = equi.ones(1):expand(2)
    raises("copy_: x is expanded in dim 1", wide.copy_, wide, equi.ones(2))
    raises("zeros: one list of sizes is enough, 3 is left over", equi.zeros, {2}, 3)
  end)
end)

describe("constructors", function()
  it("fill a shape with one value", function()
    assert.same({{0, 0, 0}, {0, 0, 0}}, equi.zeros(2, 3):totable())
    assert.same({{1}, {1}}, equi.ones({2, 1}):totable())
    assert.same({7, 7}, equi.full({2}, 7):totable())
    assert.same(2.5, equi.full({}, 2.5):item())
    assert.equal(9007199254740993, equi.full({1}, 9007199254740993, {dtype = "i64"}):item())
    assert.same({true, true}, equi.ones(2, {dtype = "bool"}):totable())
    assert.same({2, 0}, {equi.zeros(2, 0):size()})
    assert.equal(0, equi.zeros().ndim)
    local w = equi.zeros(2, {dtype = "f64", requires_grad = true})
    assert.equal("f64", w.dtype)
    assert.is_true(w.requires_grad)
  end)

  it("refuse what is no size or does not fit", function()
    raises("zeros: sizes must not be negative, got -1", equi.zeros, -1)
    raises("ones: sizes must be a whole number, got 1.5", equi.ones, 1.5)
    raises('zeros: sizes must be a whole number, got "a"', equi.zeros, "a")
    raises("zeros: sizes has 9 entries, at most 8 are possible", equi.zeros, 1, 1, 1, 1, 1, 1, 1, 1,
           1)
    raises("f32 does not fit into memory", equi.zeros, 1 << 40, 1 << 40)
    raises("full: call it as full({2, 3}, value)", equi.full, 2, 3)
    raises("full: the number 1.5 does not fit an i64 tensor", equi.full, {2}, 1.5, {dtype = "i64"})
    raises('zeros: no option "device"; options are dtype, requires_grad', equi.zeros, 2,
           {device = "cpu"})
  end)

  it("read nested tables, numbers and tensors", function()
    local x = equi.tensor {{1, 2, 3}, {4, 5, 6}}
    assert.same({2, 3}, {x:size()})
    assert.equal("f32", x.dtype)
    assert.same({{1, 2, 3}, {4, 5, 6}}, x:totable())
    assert.equal("bool", equi.tensor({true, false}).dtype)
    assert.same({2, 0}, {equi.tensor({{}, {}}):size()})
    assert.same({0}, {equi.tensor({}):size()})
    assert.equal(0, equi.tensor(5).ndim)
    local copy = equi.tensor(x, {dtype = "i64"})
    assert.equal("i64", copy.dtype)
    assert.same(x:totable(), copy:totable())
    assert.is_false(equi.tensor(x):shares_storage(x))
  end)

  it("refuse tables that are no tensor", function()
    raises("tensor: rows differ: expected 1 entries at depth 2, got table of 2", equi.tensor,
           {{1}, {1, 2}})
    raises("tensor: rows differ: expected 1 entries at depth 2, got number of 1", equi.tensor,
           {{1}, 2})
    raises("tensor: entries must be numbers, got string at entry 2", equi.tensor, {1, "a"})
    raises("tensor: entries must be numbers, got boolean at entry 2", equi.tensor, {1, true})
    raises("tensor: a bool tensor takes true and false, got number", equi.tensor, {true, 1})
    raises("tensor: 1.5 does not fit into an i64 tensor", equi.tensor, {1.5}, {dtype = "i64"})
    raises("tensor: 256 does not fit into a u8 tensor", equi.tensor, {256}, {dtype = "u8"})
    raises('tensor: dtype must be one of "f32", "f64", "i64", "u8", "bool", got "f16"', equi.tensor,
           {1}, {dtype = "f16"})
    raises("tensor: only f32 and f64 tensors have gradients, this one is i64", equi.tensor, {1},
           {dtype = "i64", requires_grad = true})
    raises("tensor: call it as tensor(numbers, {dtype = ...})", equi.tensor)
  end)

  it("count, ends included", function()
    local x = equi.arange(4)
    assert.equal("i64", x.dtype)
    assert.same({1, 2, 3, 4}, x:totable())
    assert.same({0, 0.25, 0.5, 0.75, 1}, equi.arange(0, 1, 0.25):totable())
    assert.same({5, 3, 1}, equi.arange(5, 1, -2):totable())
    assert.same({0}, {equi.arange(5, 1):size()})
    assert.equal("f64", equi.arange(3, {dtype = "f64"}).dtype)
    raises("arange: step must not be 0 and all ends must be finite", equi.arange, 1, 5, 0)
    raises("arange: step must not be 0 and all ends must be finite", equi.arange, 1, math.huge)
    raises("arange: 0.0 to 300.0 does not fit a u8 tensor", equi.arange, 0, 300, 1, {dtype = "u8"})
    raises("arange: last must be a number, got no value", equi.arange)
  end)

  it("divide an interval", function()
    oracle.near(equi.linspace(0, 1, 4, {dtype = "f64"}), {0, 1 / 3, 2 / 3, 1}, 1e-15)
    assert.same({2}, equi.linspace(2, 9, 1):totable())
    assert.same({0}, {equi.linspace(2, 9, 0):size()})
    assert.equal(0.3, equi.linspace(-0.1, 0.3, 7, {dtype = "f64"})[-1]:item())
    raises("linspace: sizes must not be negative, got -1", equi.linspace, 0, 1, -1)
    raises("linspace: count must be a whole number, got no value", equi.linspace, 0, 1)
  end)

  it("give the identity", function()
    assert.same({{1, 0}, {0, 1}}, equi.eye(2):totable())
    assert.same({{1, 0, 0}, {0, 1, 0}}, equi.eye(2, 3, {dtype = "i64"}):totable())
    assert.same({{1}, {0}}, equi.eye(2, 1):totable())
    assert.same({0, 0}, {equi.eye(0):size()})
    raises("eye: n must be a whole number, got no value", equi.eye)
  end)

  it("read bytes as tobytes wrote them", function()
    for _, dtype in ipairs {"f32", "f64", "i64", "u8"} do
      local x = equi.tensor({{0, 1, 2}, {3, 4, 200}}, {dtype = dtype})
      local y = equi.frombytes(x:tobytes(), {2, 3}, {dtype = dtype})
      assert.same(x:totable(), y:totable())
      assert.same({0, 3, 1, 4, 2, 200},
                  equi.frombytes(x:t():tobytes(), nil, {dtype = dtype}):totable())
    end
    assert.equal(string.pack("<fd", 1, 0):sub(1, 4), equi.ones(1):tobytes())
    assert.equal("", equi.zeros(0, 2):tobytes())
    assert.same({true, false}, equi.frombytes("\1\0", {2}, {dtype = "bool"}):totable())
    raises("frombytes: 3 bytes do not fill 0 of f32", equi.frombytes, "abc")
    raises("frombytes: 4 bytes do not fill 2 of f32", equi.frombytes, "abcd", {2})
    raises("frombytes: byte 1 is 2; a bool tensor takes 0 and 1", equi.frombytes, "\2", {1},
           {dtype = "bool"})
    raises("frombytes: needs a string of bytes", equi.frombytes, 3)
  end)
end)

describe("tensors", function()
  local x = equi.tensor {{1.5, -2.5, 3}, {4, 5, 6}}

  it("become other dtypes by name", function()
    assert.equal("f64", x:double().dtype)
    assert.equal("f32", x:double():float().dtype)
    assert.same({{1, -2, 3}, {4, 5, 6}}, x:long():totable())
    assert.equal("i64", x:long().dtype)
  end)

  it("become Lua values", function()
    assert.equal(1.5, x[1][1]:item())
    assert.equal("integer", math.type(x:long()[1][1]:item()))
    assert.is_true(x:gt(0)[1][1]:item())
    assert.same({{1.5, 4}, {-2.5, 5}, {3, 6}}, x:t():totable())
    assert.equal(5, equi.tensor(5):totable())
    assert.same({{}, {}}, equi.zeros(2, 0):totable())
    raises("item: x must hold one number, it is 2 x 3; index it first", x.item, x)
    raises("item: x must hold one number, it is 0", function() equi.zeros(0):item() end)
  end)

  it("tell their sizes", function()
    assert.same({2, 3}, {x:size()})
    assert.equal(3, x:size(2))
    assert.equal(3, x:size(-1))
    assert.equal(2, #x)
    assert.equal(0, #equi.zeros(0, 4))
    assert.same({2, 3}, x.shape)
    assert.equal(6, x:numel())
    raises("size: dim must be from 1 to 2 (or -2 to -1), got 3", x.size, x, 3)
    raises("size: dim must be from 1 to 2 (or -2 to -1), got 0", x.size, x, 0)
    raises("#: a single number has no length", function() return #equi.tensor(1) end)
  end)

  it("compare as single numbers, or by identity", function()
    local one, two = equi.tensor(1), equi.tensor({2}, {dtype = "i64"})
    assert.is_true(one < two)
    assert.is_false(two < one)
    assert.is_true(one <= one)
    assert.is_false(two <= 1)
    assert.is_true(one > 0.5)
    assert.is_true(2 >= two)
    assert.is_true(x == x)
    assert.is_false(one == equi.tensor(1))
    assert.is_false(one == 1)
    local compare = "comparison: < <= > >= compare single numbers, got %s; use x:lt(y), x:le(y), "
      .. "x:gt(y) or x:ge(y) for each element"
    raises(compare:format "a tensor 2 x 3", function() return x < 1 end)
    raises(compare:format "a tensor 2 x 3", function() return x > 1 end)
    raises(compare:format "table", function() return {} <= x end)
  end)

  it("split into views", function()
    local y = equi.arange(10):reshape(5, 2)
    local function sizes(parts)
      local list = {}
      for i, part in ipairs(parts) do
        assert.is_true(part:shares_storage(y))
        list[i] = {part:size()}
      end
      return list
    end
    assert.same({{2, 2}, {2, 2}, {1, 2}}, sizes(y:split(2)))
    assert.same({{1, 2}, {0, 2}, {4, 2}}, sizes(y:split {1, 0, 4}))
    assert.same({{5, 1}, {5, 1}}, sizes(y:split(1, -1)))
    assert.same({{5, 1}, {5, 1}}, sizes(y:chunk(2, {dim = 2})))
    assert.same({{2, 2}, {2, 2}, {1, 2}}, sizes(y:chunk(3)))
    assert.same({{2}, {2}, {2}, {2}, {2}}, sizes(y:unbind()))
    assert.same({9, 10}, y:split(2)[3][1]:totable())
    assert.same({7, 8, 9, 10}, y:split({1, 0, 4})[3]:flatten():narrow(1, 5, 4):totable())
    assert.same({2, 4, 6, 8, 10}, y:unbind(2)[2]:totable())
    assert.equal(1, #equi.zeros(0, 2):chunk(3))
    assert.equal(0, #equi.zeros(0, 2):unbind())
    oracle.gradcheck(function(t)
      local parts = t:split(2)
      return parts[1] * parts[2] + t:chunk(2)[1]:unbind(2)[1]:unsqueeze(2)
    end, {oracle.data(4, 3)}, {second = true})
  end)

  it("refuse to split wrongly", function()
    raises("split: size must be a whole number of at least 1, got 0", x.split, x, 0)
    raises("split: sizes add up to 3, dim 1 has size 2", x.split, x, {1, 2}, 1)
    raises("split: each size must be a whole number of at least 0, got -1", x.split, x, {3, -1}, 2)
    raises("split: dim must be a whole number from 1 to 2 (or -2 to -1), got 3", x.split, x, 1, 3)
    raises('split: no option "dims"; options are dim', x.split, x, 1, {dims = 1})
    raises("chunk: the number of parts must be a whole number of at least 1, got 1.5", x.chunk, x,
           1.5)
    raises("unbind: x is a single number and has no dims", x.unbind, equi.tensor(1))
  end)

  it("take the shape of others", function()
    assert.same({{1, 1}, {2, 2}}, equi.tensor({{1}, {2}}):expand_as(equi.zeros(2, 2)):totable())
    assert.same({{1, 2}, {3, 4}}, equi.arange(4):view_as(equi.zeros(2, 2)):totable())
    raises("expand_as: y must be a tensor, got 3", x.expand_as, x, 3)
    raises("view_as: y must be a tensor, got a table", x.view_as, x, {})
    raises("expand_as: 2 x 3 needs at least 2 sizes, got 1", x.expand_as, x, equi.zeros(2))
  end)
end)

describe("changes in place", function()
  it("write into x and give x back", function()
    local x = equi.zeros(2, 3)
    assert.equal(x, x:fill_(2))
    assert.same({{2, 2, 2}, {2, 2, 2}}, x:totable())
    assert.equal(x, x:copy_(equi.tensor({1, 2, 3}, {dtype = "i64"})))
    assert.same({{1, 2, 3}, {1, 2, 3}}, x:totable())
    assert.equal(x, x:add_(1):mul_(equi.tensor {{2}, {3}}))
    assert.same({{4, 6, 8}, {6, 9, 12}}, x:totable())
    x:t():sub_(1)
    assert.same({{3, 5, 7}, {5, 8, 11}}, x:totable())
    x[1]:copy_(x[2])
    x[{{}, {2, 3}}]:copy_(x[{{}, {1, 2}}])
    assert.same({{5, 5, 8}, {5, 5, 8}}, x:totable())
    assert.equal(x, x:zero_())
    assert.same({{0, 0, 0}, {0, 0, 0}}, x:totable())
    assert.same({true, true}, equi.zeros(2, {dtype = "bool"}):fill_(true):totable())
    local big = equi.zeros(1, {dtype = "i64"}):fill_(9007199254740993)
    assert.equal(9007199254740993, big:item())
  end)

  it("refuse what does not fit", function()
    local x = equi.zeros(2, 3)
    raises("fill_: value must be a number, got string", x.fill_, x, "a")
    raises("fill_: the number 1.5 does not fit an i64 tensor", x.fill_, x:long(), 1.5)
    raises("copy_: cannot put 4 into 2 x 3", x.copy_, x, equi.zeros(4))
    raises("add_: the result is 2 x 3 and does not fit into x, which is 3", x.add_, equi.zeros(3),
           x)
    raises("zero_: x is expanded in dim 1", x.zero_, equi.ones(1):expand(2))
  end)

  it("are refused where gradients are recorded", function()
    local w = equi.ones(2):requires_grad_()
    local calls = {fill_ = {w, 1}, zero_ = {w * 1}, copy_ = {w * 1, equi.zeros(2)},
                   add_ = {w * 1, 1}, mul_ = {equi.zeros(2), w}}
    for name, args in pairs(calls) do
      raises(name .. ": in-place changes are not recorded for gradients;", w[name],
             table.unpack(args))
    end
    raises("copy_: in-place changes are not recorded", w.copy_, equi.zeros(2), w)
    assert.same({1, 1}, w:totable())
    equi.no_grad(function() w:fill_(2):add_(1) end)
    w:detach():mul_(2)
    assert.same({6, 6}, w:totable())
  end)

  it("are seen by a rule that needs the old values", function()
    local w = equi.ones(2):requires_grad_()
    local y = (w * w):sum()
    w:detach():fill_(5)
    assert.is_false((pcall(y.backward, y)))
  end)
end)
