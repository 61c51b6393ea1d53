-- Blocks of a text: what is in them, order by seed and epoch, refusals.
local equi = require "lua_equi"
local files = require "spec.support.files"
local oracle = require "spec.support.oracle"
local toy = require "spec.support.toy_lm"
local text_blocks = equi.data.text_blocks

local function count(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

describe("text_blocks", function()
  it("cuts without overlap and leaves out what is no whole block", function()
    local b = text_blocks.new(count(11), {size = 3, batch = 2, shuffle = false})
    assert.same({3, 2}, {#b, b.batches})
    assert.same({{1, 2, 3}, {4, 5, 6}}, b:batch(1):totable())
    assert.same({{7, 8, 9}}, b:batch(2):totable())
    assert.same(b:batch(1):totable(), b:batch(3):totable())
    assert.equal("text_blocks: 11 tokens, 3 blocks of 3, 2 batches of 2 an epoch", tostring(b))
  end)

  it("every epoch has every block once, in an order of its own that the seed decides", function()
    local function epoch(seed, n)
      local b, order = text_blocks.new(count(40), {size = 2, batch = 3, seed = seed}), {}
      for ids in b:each(n) do
        for _, row in ipairs(ids:totable()) do order[#order + 1] = row[1] end
      end
      return order
    end
    local first = epoch(1, 1)
    assert.same(first, epoch(1, 1))
    assert.not_same(first, epoch(1, 2))
    assert.not_same(first, epoch(2, 1))
    table.sort(first)
    for k = 1, 20 do assert.equal(2 * k - 1, first[k]) end
  end)

  it("any batch can come first", function()
    local a = text_blocks.new(count(40), {size = 2, batch = 3, seed = 4})
    local wanted = {}
    for i = 1, 16 do wanted[i] = a:batch(i):totable() end
    local b = text_blocks.new(count(40), {size = 2, batch = 3, seed = 4})
    for _, i in ipairs {9, 2, 16, 8, 1} do assert.same(wanted[i], b:batch(i):totable()) end
  end)

  it("reads texts, files, lists and tensors", function()
    local tok = toy.tokenizer()
    local wanted = tok:encode "The man was"
    local path = files.temporary()
    files.write(path, "The man was")
    assert.same(wanted, text_blocks.ids("The man was", tok):totable())
    assert.same(wanted, text_blocks.ids({file = path}, tok):totable())
    assert.same(wanted, text_blocks.ids(wanted):totable())
    assert.same(wanted, text_blocks.ids(equi.tensor({wanted}, {dtype = "i64"})):totable())
    os.remove(path)
  end)

  it("names what is wrong", function()
    oracle.raises("text_blocks: 3 tokens are less than one block of 4; give more text",
      text_blocks.new, {1, 2, 3}, {size = 4})
    oracle.raises("text_blocks: size must be a whole number of at least 2, got 1", text_blocks.new,
      {1, 2}, {size = 1})
    oracle.raises("text_blocks: batch must be a whole number of at least 1, got 0", text_blocks.new,
      {1, 2}, {size = 2, batch = 0})
    oracle.raises("text_blocks: a text needs a tokenizer; give tokenizer = ..., or ids",
      text_blocks.ids, "The")
    oracle.raises("text_blocks: ids must be i64, got a tensor f32 2", text_blocks.ids, equi.ones(2))
    oracle.raises('text_blocks: give a text, {file = path}, or ids, got a table', text_blocks.ids,
      {"a"})
    oracle.raises("text_blocks: file must be a path, got 3", text_blocks.ids, {file = 3})
    oracle.raises("no/such.txt: No such file", text_blocks.ids, {file = "no/such.txt"}, {})
    local b = text_blocks.new({1, 2}, {size = 2})
    oracle.raises("batch: i must be a whole number of at least 1, got 0", b.batch, b, 0)
    oracle.raises("each: epoch must be a whole number of at least 1, got 0", b.each, b, 0)
  end)
end)
