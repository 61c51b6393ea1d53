local equi = require "lua_equi"

describe("data.sampler", function()
  local sampler = equi.data.sampler

  it("draws every position once an epoch, in another order each time", function()
    local s = sampler.new(50, {seed = 4})
    local orders = {}
    for e = 1, 3 do
      local list = s:batch(50)
      orders[e] = table.concat(list, " ")
      table.sort(list)
      for i = 1, 50 do assert.equal(i, list[i]) end
      assert.equal(e, s:epoch())
    end
    assert.not_equal(orders[1], orders[2])
    assert.not_equal(orders[2], orders[3])
    assert.equal(orders[1], table.concat(sampler.new(50, {seed = 4}):batch(50), " "))
    assert.not_equal(orders[1], table.concat(sampler.new(50, {seed = 5}):batch(50), " "))
  end)

  it("draws with replacement from all positions", function()
    local s, seen = sampler.new(5, {replace = true}), {0, 0, 0, 0, 0}
    for _ = 1, 1000 do
      local i = s:next()
      seen[i] = seen[i] + 1
    end
    for i = 1, 5 do assert.is_true(seen[i] > 140 and seen[i] < 260) end
  end)

  it("goes on from its state, at any place", function()
    for _, replace in ipairs {false, true} do
      for drawn = 0, 12 do
        local a, b = sampler.new(5, {replace = replace}), sampler.new(5, {seed = 9,
          replace = replace})
        a:batch(drawn)
        b:load_state_dict(a:state_dict())
        assert.same(a:batch(17), b:batch(17))
        assert.equal(a:epoch(), b:epoch())
      end
    end
    assert.has_error(function() sampler.new(5):load_state_dict(sampler.new(6):state_dict()) end,
      "sampler: the saved sampler draws from 6 in shuffled epochs, "
      .. "this one from 5 in shuffled epochs")
  end)

  it("refuses an empty set", function()
    assert.has_error(function() sampler.new(0) end,
      "sampler.new: size must be a whole number of at least 1, got 0")
  end)
end)
