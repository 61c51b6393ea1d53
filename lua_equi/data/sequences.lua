--- Pairs of id sequences as padded batches, and the count of exact answers.
--
-- A pair is {input ids, answer ids}; the answer may be missing. A batch is a table of
--
--     x        ids [B, T], rows filled up with `pad`
--     y        answer ids [B, L], rows filled up with 0, which losses and counts skip
--     lengths  true lengths of the rows of x [B]
--     rows     where each row stood in the list
--
-- Ids count from 1; 1 is SOS, 2 is EOS (data/vocabulary.lua). Not here: words, splits (scan.lua),
-- which pair comes next (sampler.lua).
local core = require "lua_equi.core"
local options = require "lua_equi.options"
local random = require "lua_equi.data.random"
local vocabulary = require "lua_equi.data.vocabulary"

local sequences = {}

local function check_pair(who, list, i)
  local pair = list[i]
  if type(pair) ~= "table" or type(pair[1]) ~= "table" or #pair[1] == 0 then
    error(("%s: pair %d has no input ids; a pair is {input ids, answer ids}"):format(who, i), 4)
  end
  if (pair[2] == nil) ~= (list[1][2] == nil) then
    error(("%s: pair %d has %s answer, pair 1 has %s; all or none have one"):format(who, i,
      pair[2] and "an" or "no", pair[2] and "none" or "one"), 4)
  end
end

local function check_pairs(who, list, size)
  if type(list) ~= "table" or #list == 0 then
    error(who .. ": there are no pairs; give a list of {input ids, answer ids}", 3)
  end
  for i = 1, #list do check_pair(who, list, i) end
  if size and (math.type(size) ~= "integer" or size < 1) then
    error(("%s: size must be a whole number of at least 1, got %s"):format(who, size), 3)
  end
end

-- Lists of ids -> [B, longest], and their lengths.
local function padded(list, pad)
  local lengths, longest = {}, 0
  for i, ids in ipairs(list) do
    lengths[i] = #ids
    if #ids > longest then longest = #ids end
  end
  local rows = {}
  for i, ids in ipairs(list) do
    local row = table.move(ids, 1, #ids, 1, {})
    for k = #ids + 1, longest do row[k] = pad end
    rows[i] = row
  end
  if longest == 0 then return core.zeros({#list, 0}, {dtype = "i64"}), lengths end
  return core.tensor(rows, {dtype = "i64"}), lengths
end

local function build(list, rows, pad)
  local inputs, answers = {}, list[1][2] and {}
  for i, row in ipairs(rows) do
    inputs[i] = list[row][1]
    if answers then answers[i] = list[row][2] end
  end
  local x, lengths = padded(inputs, pad)
  return {x = x, y = answers and padded(answers, 0), rows = rows,
    lengths = core.tensor(lengths, {dtype = "i64"})}
end

local function count(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

--- One batch of all pairs, in their order.
---
--- Example:
---     local b = equi.data.sequences.batch {{{3, 4, 2}, {5, 2}}, {{3, 2}, {5, 5, 5, 2}}}
---     print(b.x:size())              --> 2 3
---     print(b.y[{1, 3}]:item(), b.lengths[2]:item())   --> 0 2
---@param list table[] pairs {input ids, answer ids}, or {input ids}
---@param opts? {pad: integer} what fills up x, default EOS; models skip it by `lengths`
---@return table batch x, y, lengths, rows
function sequences.batch(list, opts)
  local o = options.check("sequences.batch", opts, {pad = vocabulary.EOS})
  check_pairs("sequences.batch", list)
  return build(list, count(#list), o.pad)
end

-- Cuts an order of rows into batches.
local function cut(list, order, o)
  local batches = {}
  for first = 1, #order, o.size do
    local rows = table.move(order, first, math.min(first + o.size - 1, #order), 1, {})
    batches[#batches + 1] = build(list, rows, o.pad)
  end
  return batches
end

--- All pairs in batches of similar lengths, longest answers first: the least padding, so the
--- fastest way through a set where the order does not matter. `rows` leads back to the list.
---
--- Example:
---     local pairs = {{{3, 2}, {5, 2}}, {{3, 4, 2}, {5, 5, 2}}, {{4, 2}, {2}}}
---     local b = equi.data.sequences.batches(pairs, {size = 2})
---     print(#b, b[1].rows[1], b[2].rows[1])   --> 2 2 3
---@param list table[] pairs {input ids, answer ids}, or {input ids}
---@param opts? {size: integer, sort: boolean, pad: integer} default 512, true, EOS
---@return table[] batches
function sequences.batches(list, opts)
  local o = options.check("sequences.batches", opts,
    {size = 512, sort = true, pad = vocabulary.EOS})
  check_pairs("sequences.batches", list, o.size)
  local order = count(#list)
  if o.sort then
    local function length(row, side) return list[row][side] and #list[row][side] or 0 end
    table.sort(order, function(a, b)
      for side = 2, 1, -1 do
        local la, lb = length(a, side), length(b, side)
        if la ~= lb then return la > lb end
      end
      return a < b
    end)
  end
  return cut(list, order, o)
end

--- One shuffled pass over all pairs in mini-batches, for `for` loops. The seed decides the order,
--- so give every epoch its own. The last batch may be smaller.
---
--- Example:
---     local pairs, n = {{{3, 2}, {5, 2}}, {{3, 4, 2}, {5, 5, 2}}, {{4, 2}, {2}}}, 0
---     for b in equi.data.sequences.epoch(pairs, {size = 2, seed = 1}) do n = n + b.x:size(1) end
---     print(n)   --> 3
---@param list table[] pairs {input ids, answer ids}, or {input ids}
---@param opts? {size: integer, seed: integer, pad: integer} default 32, 0, EOS
---@return function iterator of batches
function sequences.epoch(list, opts)
  local o = options.check("sequences.epoch", opts, {size = 32, seed = 0, pad = vocabulary.EOS})
  check_pairs("sequences.epoch", list, o.size)
  local order, at = random.new(o.seed):shuffle(count(#list)), 1
  return function()
    if at > #order then return nil end
    local rows = table.move(order, at, math.min(at + o.size - 1, #order), 1, {})
    at = at + o.size
    return build(list, rows, o.pad)
  end
end

--- How many rows of `tokens` begin with the whole answer, its EOS included. What a row says after
--- that does not count; a row that is too short for its answer is wrong.
---
--- Example:
---     local y = equi.tensor({{5, 2, 0}, {5, 5, 2}}, {dtype = "i64"})
---     local tokens = equi.tensor({{5, 2, 2, 2}, {5, 2, 2, 2}}, {dtype = "i64"})
---     print(equi.data.sequences.exact(tokens, y))   --> 1
---@param tokens any ids [B, L']
---@param y any answer ids [B, L], filled up with 0
---@return integer
function sequences.exact(tokens, y)
  local said, wanted = tokens:size(2), y:size(2)
  local n = math.min(said, wanted)
  local part = y:narrow(2, 1, n)
  local wrong = part:ne(tokens:narrow(2, 1, n)):logical_and(part:ne(0)):to("i64"):sum(2)
  if wanted > n then wrong = wrong + y:narrow(2, n + 1, wanted - n):ne(0):to("i64"):sum(2) end
  return wrong:eq(0):to("i64"):sum():item()
end

return sequences
