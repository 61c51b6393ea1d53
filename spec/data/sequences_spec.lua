-- Padded batches of id sequences: what they hold, that nothing is lost, and what counts as right.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local sequences = equi.data.sequences

local function ids(list) return equi.tensor(list, {dtype = "i64"}) end

-- n pairs of many lengths; the first id of each input is its place in the list.
local function some(n)
  local list = {}
  for i = 1, n do
    local x, y = {i}, {}
    for k = 1, i % 4 do x[k + 1] = 3 + k end
    for k = 1, (7 * i) % 5 do y[k] = 3 + k end
    x[#x + 1], y[#y + 1] = 2, 2
    list[i] = {x, y}
  end
  return list
end

-- Every pair of the list is in exactly one batch, as it was, and `rows` names its place.
local function assert_complete(list, batches)
  local seen, n = {}, 0
  for _, b in ipairs(batches) do
    local x, y, lengths = b.x:totable(), b.y:totable(), b.lengths:totable()
    for r, row in ipairs(b.rows) do
      assert.is_nil(seen[row])
      seen[row], n = true, n + 1
      assert.equal(#list[row][1], lengths[r])
      for k, id in ipairs(x[r]) do assert.equal(list[row][1][k] or 2, id) end
      for k, id in ipairs(y[r]) do assert.equal(list[row][2][k] or 0, id) end
    end
  end
  assert.equal(#list, n)
end

describe("data.sequences", function()
  it("pads one batch in the order of the list", function()
    local b = sequences.batch {{{3, 4, 2}, {5, 2}}, {{3, 2}, {5, 5, 5, 2}}}
    assert.same({{3, 4, 2}, {3, 2, 2}}, b.x:totable())
    assert.same({{5, 2, 0, 0}, {5, 5, 5, 2}}, b.y:totable())
    assert.same({3, 2}, b.lengths:totable())
    assert.same({1, 2}, b.rows)
    assert.equal(7, sequences.batch({{{3, 4}}, {{3}}}, {pad = 7}).x[{2, 2}]:item())
    assert.is_nil(sequences.batch({{{3, 4}}, {{3}}}).y)
  end)

  it("keeps every pair, longest answers first", function()
    local list = some(23)
    local batches = sequences.batches(list, {size = 5})
    assert.equal(5, #batches)
    assert_complete(list, batches)
    for i = 2, #batches do assert.is_true(batches[i].y:size(2) <= batches[i - 1].y:size(2)) end
    local plain = sequences.batches(list, {size = 23, sort = false})
    assert.same(sequences.batch(list).x:totable(), plain[1].x:totable())
  end)

  it("shuffles an epoch by its seed", function()
    local list = some(23)
    local function epoch(seed)
      local batches, order = {}, {}
      for b in sequences.epoch(list, {size = 4, seed = seed}) do
        batches[#batches + 1] = b
        table.move(b.rows, 1, #b.rows, #order + 1, order)
      end
      return batches, order
    end
    local batches, order = epoch(1)
    assert.equal(6, #batches)
    assert_complete(list, batches)
    local _, same = epoch(1)
    local _, other = epoch(2)
    assert.same(order, same)
    assert.not_same(order, other)
  end)

  it("counts whole answers up to their EOS", function()
    local y = ids {{5, 2, 0}, {5, 5, 2}, {2, 0, 0}, {6, 7, 2}}
    local longer = ids {{5, 2, 9, 9}, {5, 5, 2, 1}, {2, 2, 2, 2}, {6, 7, 2, 5}}
    assert.equal(4, sequences.exact(longer, y))
    assert.equal(2, sequences.exact(ids {{5, 2}, {5, 5}, {2, 2}, {6, 7}}, y)) -- too short for two
    assert.equal(0, sequences.exact(ids {{5, 5, 2}, {5, 2, 2}, {3, 2, 2}, {6, 7, 7}}, y))
  end)

  it("says what does not fit", function()
    oracle.raises("sequences.batch: there are no pairs", sequences.batch, {})
    oracle.raises("pair 2 has no input ids", sequences.batch, {{{3}, {2}}, {{}, {2}}})
    oracle.raises("pair 2 has no answer, pair 1 has one", sequences.batches, {{{3}, {2}}, {{3}}})
    oracle.raises("size must be a whole number of at least 1, got 0", sequences.epoch, some(3),
                  {size = 0})
    oracle.raises('no option "sise"; options are pad, size, sort', sequences.batches, some(3),
                  {sise = 1})
    local ok, message = pcall(function() sequences.batch {} end)
    assert.is_false(ok)
    assert.matches("sequences_spec.lua:%d+: sequences.batch", message)
  end)
end)
