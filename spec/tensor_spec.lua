-- x[...], assignment to it, and constructors: what they give and what they refuse.
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
