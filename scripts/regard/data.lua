--- Sentences for scripts/train_regard.lua: from files, generated, or held out of the training ones.
local equi = require "lua_equi"

local regard = require "lua_equi.data.regard"
local data = {}

local GENERATED = "generated"
-- Which generated sentences a part gets: another stream of them for each.
local STREAM = {train = 0, dev = 1, test = 2}

local function read(source, part, o)
  if source == GENERATED then
    local n = part == "train" and o.generated or math.max(1, o.generated // 4)
    return regard.generated {n = n, seed = 3 * o.seed + STREAM[part]}
  end
  local list, message = regard.read(source)
  return list or error(message, 0)
end

local function set_of(list)
  local set = {}
  for _, example in ipairs(list or {}) do set[example.text] = true end
  return set
end

-- The examples of several sources; those of a label that is not told apart are left out, and
-- generated ones that are training sentences.
local function join(sources, part, o, classes, training)
  local list, left_out, seen = {}, 0, set_of(training)
  for _, source in ipairs(sources) do
    for _, example in ipairs(read(source, part, o)) do
      local class = regard.class(example.label)
      if classes and class > classes then
        left_out = left_out + 1
      elseif source ~= GENERATED or not seen[example.text] then
        list[#list + 1] = {text = example.text, label = example.label, class = class}
      end
    end
  end
  if left_out > 0 then
    io.stderr:write(('train_regard.lua: %s: %d sentences of regard "other" are left out, of '
      .. "which training has none\n"):format(part, left_out))
  end
  if #list == 0 then error(("%s: there are no sentences"):format(part), 0) end
  return list
end

-- The largest class that there is.
local function count_classes(list)
  local most = 2
  for _, example in ipairs(list) do most = math.max(most, example.class) end
  return most
end

local function hold_out(list, part, seed)
  local shuffled = equi.data.random.new(seed):shuffle(table.move(list, 1, #list, 1, {}))
  local n = math.floor(part * #list + 0.5)
  if n < 1 or n >= #list then
    error(("%d sentences for training are too few to hold %g of them out; give --dev"):format(
      #list, part), 0)
  end
  return table.move(shuffled, n + 1, #list, 1, {}), table.move(shuffled, 1, n, 1, {})
end

--- The sentences of a run.
---@param o table train, dev, test (lists of files and "generated"), generated, holdout, seed
---@return table {train, dev (lists of {text, label, class}), tests = list of {name, list},
--- classes = list of names}
function data.open(o)
  local training = join(o.train, "train", o)
  local classes, tests = math.max(3, count_classes(training)), {}
  local dev
  if #o.dev > 0 then
    dev = join(o.dev, "dev", o, classes, training)
  else
    training, dev = hold_out(training, o.holdout, o.seed)
  end
  for i, source in ipairs(o.test) do
    tests[i] = {name = source:match "[^/]*$",
      list = join({source}, "test", o, classes, training)}
  end
  return {train = training, dev = dev, tests = tests,
    classes = table.move(regard.names, 1, classes, 1, {})}
end

--- Batches of {x = {ids, mask}, y = classes} for equi.classify.
---@param list table[] examples
---@param tokenizer any
---@param rows integer
---@param longest integer tokens
---@return table[]
function data.batches(list, tokenizer, rows, longest)
  local out = {}
  for from = 1, #list, rows do
    local texts, classes = {}, {}
    for i = from, math.min(#list, from + rows - 1) do
      texts[#texts + 1], classes[#classes + 1] = list[i].text, list[i].class
    end
    local ids, mask = tokenizer:batch(texts, {max = longest})
    out[#out + 1] = {x = {ids, mask}, y = equi.tensor(classes, {dtype = "i64"})}
  end
  return out
end

--- The tokenizer of a run: that of a pretrained folder, or one of the words of training.
---@param o table pretrained, least
---@param training table[] examples
---@return any tokenizer
function data.tokenizer(o, training)
  if o.pretrained ~= "" then return equi.data.wordpiece.load(o.pretrained) end
  local i = 0
  return equi.data.wordpiece.train(function()
    i = i + 1
    return training[i] and training[i].text
  end, {size = o.tokens, min_count = o.least})
end

return data
