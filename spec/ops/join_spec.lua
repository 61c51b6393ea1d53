-- cat, stack, pad, flip, roll, rot90, tile against loops over Lua tables.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local op = require "spec.support.cases"

local data, raises, z = oracle.data, oracle.raises, equi.zeros

local function joined(...)
  local r = {}
  for _, t in ipairs {...} do for _, v in ipairs(t) do r[#r + 1] = v end end
  return r
end

-- The entries of the last dim that stand at `places` (0: the number v).
local function at(places, v)
  return oracle.along(-1, function(row)
    local r = {}
    for k, i in ipairs(places) do r[k] = i == 0 and v or row[i] end
    return r
  end)
end

op("cat", {
  {"rows", f = function(...) return equi.cat({...}) end, inputs = {data(2, 3), data(1, 3)},
   naive = joined, second = true, big = {{90, 400}, {7, 400}}},
  {"columns", f = function(...) return equi.cat({...}, -1) end, inputs = {data(2, 3), data(2, 1)},
   naive = function(a, b) return {joined(a[1], b[1]), joined(a[2], b[2])} end, second = true},
  {"one, and an empty one", f = function(x) return equi.cat {x, z(0, 3, {dtype = x.dtype})} end,
   inputs = {data(2, 3)}, naive = joined},
})

op("stack", {
  {"in front", f = function(...) return equi.stack({...}) end, inputs = {data(2, 3), data(2, 3)},
   naive = function(...) return {...} end, second = true},
  {"at the end", f = function(...) return equi.stack({...}, -1) end, inputs = {data(3), data(3)},
   naive = function(a, b) return {{a[1], b[1]}, {a[2], b[2]}, {a[3], b[3]}} end},
  {"single numbers", f = function(...) return equi.stack({...}) end,
   inputs = {equi.tensor(2, {dtype = "f64"}), equi.tensor(3, {dtype = "f64"})},
   naive = function(...) return {...} end},
})

local function pad(...)
  local args = {...}
  return function(x) return x:pad(table.unpack(args)) end
end

op("pad", {
  {"with a number", f = pad({1, 2}, "constant", 5), inputs = {data(2, 3)}, second = true,
   naive = at({0, 1, 2, 3, 0, 0}, 5), big = {{90, 400}}},
  {"cutting", f = pad({-1, 1}), inputs = {data(2, 3)}, naive = at({2, 3, 0}, 0), second = true},
  {"mirrored", f = pad({2, 1}, "reflect"), inputs = {data(2, 3)}, naive = at {3, 2, 1, 2, 3, 2},
   second = true},
  {"with the edge", f = pad({2, 1}, "replicate"), inputs = {data(2, 3)},
   naive = at {1, 1, 1, 2, 3, 3}, second = true},
  {"around", f = pad({2, 1}, "circular"), inputs = {data(2, 3)}, naive = at {2, 3, 1, 2, 3, 1},
   second = true},
  {"two dims", f = pad {0, 1, 1, 0}, inputs = {data(1, 2)},
   naive = function(x) return {{0, 0, 0}, {x[1][1], x[1][2], 0}} end},
})

op("flip", {
  {"columns", f = function(x) return x:flip(2) end, inputs = {data(2, 3)}, naive = at {3, 2, 1},
   second = true, big = {{90, 400}}},
  {"both", f = function(x) return x:flip(1, -1) end, inputs = {data(2, 2)},
   naive = function(x) return {{x[2][2], x[2][1]}, {x[1][2], x[1][1]}} end},
})

op("roll", {
  {"columns", f = function(x) return x:roll({1}, {2}) end, inputs = {data(2, 3)},
   naive = at {3, 1, 2}, second = true, big = {{90, 400}}},
  {"far and back", f = function(x) return x:roll({-7}, {-1}) end, inputs = {data(2, 3)},
   naive = at {2, 3, 1}},
  {"everything", f = function(x) return x:roll(1) end, inputs = {data(2, 2)},
   naive = function(x) return {{x[2][2], x[1][1]}, {x[1][2], x[2][1]}} end},
})

local function turned(k)
  return function(x)
    for _ = 1, k do
      local y = {}
      for j = #x[1], 1, -1 do
        y[#y + 1] = {}
        for i = 1, #x do y[#y][i] = x[i][j] end
      end
      x = y
    end
    return x
  end
end

for k = -1, 4 do
  op("rot90", {{k .. " times", f = function(x) return x:rot90(k) end, inputs = {data(2, 3)},
    naive = turned(k % 4), second = true}})
end

op("tile", {
  {"two dims", f = function(x) return x:tile(2, 2) end, inputs = {data(2, 1)}, second = true,
   naive = function(x) return joined(at({1, 1})(x), at({1, 1})(x)) end},
  {"into a new dim", f = function(x) return x:tile(2, 1) end, inputs = {data(3)},
   naive = function(x) return {x, x} end},
})

describe("joining", function()
  it("takes nothing and sizes of 0", function()
    assert.same({0, 3}, {equi.cat({z(0, 3), z(0, 3)}):size()})
    assert.same({2, 0, 3}, {equi.stack({z(0, 3), z(0, 3)}):size()})
    assert.same({2, 2}, {z(0, 2):pad({0, 0, 1, 1}):size()})
    assert.same({0, 2}, {z(2, 2):pad({0, 0, -1, -1}):size()})
    assert.same({0, 3}, {z(0, 3):flip(1):size()})
    assert.same({0, 3}, {z(0, 3):roll(2):size()})
    assert.same({0, 3}, {z(2, 3):tile(0, 1):size()})
    assert.equal(3, equi.tensor(3):flip(1):item())
  end)

  it("gives tensors of their own", function()
    local x = equi.ones(2)
    for _, y in ipairs {x:pad({0, 0}, "reflect"), x:pad {}, x:roll(0), x:tile(1), x:flip({}),
                        equi.cat {x}} do
      assert.is_false(x:shares_storage(y))
    end
  end)

  it("refuses what does not fit", function()
    raises("cat: the list of tensors is empty", equi.cat, {})
    raises("cat: tensor 2 is 2 x 2, the first is 2 x 3; sizes may differ in dim 1 only", equi.cat,
           {z(2, 3), z(2, 2)})
    raises("cat: single numbers have no dim to join along; use stack", equi.cat, {equi.tensor(1)})
    raises("cat: tensors of dtype f32 and f64 do not mix", equi.cat,
           {z(1), z(1, {dtype = "f64"})})
    raises("cat: xs[2] must be a tensor, got 3", equi.cat, {z(1), 3})
    raises("cat: dim must be a whole number from 1 to 1", equi.cat, {z(1)}, 2)
    raises("stack: tensor 2 is 3, the first is 2; all must have one shape", equi.stack,
           {z(2), z(3)})
    raises("pad: pads must be pairs (before, after) for at most 1 dims, the last dim first; got 3",
           equi.pad, z(2), {1, 1, 1})
    raises("pad: dim 1 has size 3 and pads -2 and -2 leave less than nothing", equi.pad, z(3),
           {-2, -2})
    raises("pad: pads 9223372036854775807 and 1 of dim 1 are too large", equi.pad, z(3),
           {math.maxinteger, 1})
    raises("pad: reflect needs pads smaller than the dim: dim 1 has size 2, the pad is 2", equi.pad,
           z(2), {2, 0}, "reflect")
    raises("pad: circular goes around once: dim 1 has size 2, the pad is 3", equi.pad, z(2), {0, 3},
           "circular")
    raises("pad: dim 1 has size 0 and nothing to repeat", equi.pad, z(0), {1, 0}, "replicate")
    raises("pad: mode must be one of", equi.pad, z(2), {1, 0}, "mirror")
    raises("flip: dim 1 is named twice", equi.flip, z(2), 1, -1)
    raises("roll: needs one shift for each dim, or one shift and no dim; got 2 shifts and 1 dims",
           equi.roll, z(2), {1, 1}, {1})
    raises("rot90: x must have at least 2 dims, it is 2", equi.rot90, z(2))
    raises("rot90: dims must be two different ones, got 1 twice", equi.rot90, z(2, 2), 1, {1, 1})
    raises("rot90: dims must be two, got 1", equi.rot90, z(2, 2), 1, {1})
    raises("tile: needs a number for each of the 2 dims (more add dims in front), got 1", equi.tile,
           z(2, 2), 2)
    raises("tile: times must not be negative, got -1", equi.tile, z(2), -1)
    raises("tile: 4611686018427387904 times a dim of size 2 is too large", equi.tile, z(2), 1 << 62)
  end)
end)

describe("cat of images", function()
  it("stays channels-last, forward and back", function()
    local x = equi.randn(2, 3, 4, 5):channels_last():requires_grad_()
    local y = equi.randn(2, 2, 4, 5):requires_grad_()
    local both = equi.cat({x, y}, 2)
    assert.is_true(both:is_channels_last())
    oracle.near(both, equi.cat({x:detach():clone(), y:detach()}, 2), 0)
    assert.is_true(equi.cat({x, x}, 1):is_channels_last())
    assert.is_true(equi.cat({y, y}, 2):is_contiguous());
    (both * both):sum():backward()
    oracle.near(x.grad, x * 2, 1e-6)
    oracle.near(y.grad, y * 2, 1e-6)
  end)
end)
