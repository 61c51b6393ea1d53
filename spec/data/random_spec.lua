local random = require "lua_equi.data.random"

describe("data.random", function()
  it("is xoshiro256** seeded by splitmix64", function()
    local g = random.new(1234567)
    -- The published test values of both generators.
    assert.same({6457827717110365317, 3203168211198807973}, {g[1], g[2]})
    assert.equal("883ebce5a3f27c77", ("%x"):format(g[3]))
    g:restore {1, 2, 3, 4}
    assert.same({11520, 0, 1509978240, 1215971899390074240},
      {g:bits(), g:bits(), g:bits(), g:bits()})
  end)

  it("draws every integer about equally often, and floats below 1", function()
    local g, counts = random.new(3), {0, 0, 0, 0, 0, 0}
    for _ = 1, 6000 do
      local k = g:integer(6)
      counts[k] = counts[k] + 1
      local x = g:uniform()
      assert.is_true(x >= 0 and x < 1)
    end
    for k = 1, 6 do assert.is_true(math.abs(counts[k] - 1000) < 150, counts[k]) end
    assert.is_true(g:integer(math.maxinteger) >= 1)
  end)

  it("shuffles by the seed alone and continues from a state", function()
    local function shuffled(g) return g:shuffle {1, 2, 3, 4, 5, 6, 7, 8, 9} end
    assert.same(shuffled(random.new(5)), shuffled(random.new(5)))
    assert.not_same(shuffled(random.new(5)), shuffled(random.new(6)))
    local g = random.new(5)
    local state = g:state()
    local first = shuffled(g)
    table.sort(first)
    assert.same({1, 2, 3, 4, 5, 6, 7, 8, 9}, first)
    assert.same(shuffled(random.new(0):restore(state)), shuffled(random.new(5)))
  end)

  it("refuses wrong arguments", function()
    assert.error_matches(function() random.new "x" end,
      "random.new: the seed must be an integer, got x")
    assert.error_matches(function() random.new(1):integer(0) end,
      "random: integer%(n%) needs n of at least 1, got 0")
    for _, state in ipairs {{1, 2}, {0, 0, 0, 0}, {1, 2, 3, "4"}, 7} do
      assert.error_matches(function() random.new(1):restore(state) end,
        "random: a state is a list of four integers, not all 0")
    end
  end)
end)
