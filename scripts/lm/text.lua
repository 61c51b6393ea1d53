--- Text for a language model: documents as ids, windows to learn from, perplexity of what was held
--- out.
--
-- A document is a string; <|endoftext|> stands behind each. A story is a line. Half of the windows
-- begin with a story, since that is where prompts begin, the others anywhere.
-- Ids count from 1. NOT here: perplexity with the blocks of the papers (lua_equi/fairness.lua).
local equi = require "lua_equi"
local people = require "lua_equi.data.people"
local random = require "lua_equi.data.random"

local text = {}

local STORIES = 10 -- in a document of the generator

--- Documents of the generator, of so many bytes in all.
---@param bytes integer
---@param seed integer
---@return string[]
function text.generated(bytes, seed)
  local next_story, documents, lines, size = people.stories {seed = seed}, {}, {}, 0
  while size < bytes do
    local story = next_story()
    lines[#lines + 1] = story
    size = size + #story + 1
    if #lines == STORIES or size >= bytes then
      documents[#documents + 1] = table.concat(lines, "\n") .. "\n"
      lines = {}
    end
  end
  return documents
end

--- The contents of files, one document each.
---@param paths string[]
---@return string[]
function text.read(paths)
  local documents = {}
  for i, path in ipairs(paths) do
    local f, message = io.open(path, "rb")
    if not f then error(message, 0) end
    documents[i], message = f:read "a"
    f:close()
    if not documents[i] then error(path .. ": " .. message, 0) end
    if documents[i] == "" then error(path .. ": the file is empty", 0) end
  end
  return documents
end

--- Cuts the end off each document, at a line: what is held out.
---@param documents string[]
---@param fraction number
---@return string[] training
---@return string[] validation
function text.split(documents, fraction)
  local training, validation = {}, {}
  for _, d in ipairs(documents) do
    local cut = d:find("\n", math.max(1, math.floor(#d * (1 - fraction))), true)
    if cut and cut < #d then
      training[#training + 1], validation[#validation + 1] = d:sub(1, cut), d:sub(cut + 1)
    else
      training[#training + 1] = d
    end
  end
  if #validation == 0 then
    error("there is nothing to hold out: the text has no line break near its end; give "
      .. "--validation", 0)
  end
  return training, validation
end

--- Documents as ids.
---@param tokenizer table
---@param documents string[]
---@return any ids i64 [N]
---@return integer[] starts places where a story begins
function text.ids(tokenizer, documents)
  local line, ids, starts = tokenizer:encode "\n", {}, {1}
  local break_id = #line == 1 and line[1]
  for _, d in ipairs(documents) do
    for _, id in ipairs(tokenizer:encode(d)) do
      ids[#ids + 1] = id
      if id == break_id then starts[#starts + 1] = #ids + 1 end
    end
    if tokenizer.eot then
      ids[#ids + 1] = tokenizer.eot
      if starts[#starts] == #ids then starts[#starts] = nil end -- a line's end before it
      starts[#starts + 1] = #ids + 1
    end
  end
  return equi.tensor(ids, {dtype = "i64"}), starts
end

local windows = {}
windows.__index = windows

--- Draws batches of windows; what it draws next is its state.
---@param ids any i64 [N]
---@param starts integer[]
---@param o table {length = of a window, batch =, seed =}
---@return table with next() -> x, y i64 [batch, length]; y is what follows each place of x
function text.windows(ids, starts, o)
  local last = ids:size(1) - o.length
  if last < 1 then
    error(("the text has %d tokens, a window %d and one more"):format(ids:size(1), o.length), 0)
  end
  local usable = {}
  for i, start in ipairs(starts) do
    if start <= last then usable[i] = start end
  end
  return setmetatable({ids = ids, starts = usable, last = last, length = o.length,
    batch = o.batch, random = random.new(o.seed)}, windows)
end

function windows:next()
  local rows, rng = {}, self.random
  for b = 1, self.batch do
    local anywhere = rng:uniform() < 0.5 or #self.starts == 0
    local at = anywhere and rng:integer(self.last) or self.starts[rng:integer(#self.starts)]
    rows[b] = self.ids:narrow(1, at, self.length + 1)
  end
  local all = equi.stack(rows, 1)
  return all:narrow(2, 1, self.length), all:narrow(2, 2, self.length)
end

function windows:state_dict() return {random = self.random:state()} end

function windows.differences() return {} end

function windows:load_state_dict(saved) self.random:restore(saved.random) end

--- exp of the mean cross-entropy over windows without overlap.
---@param model any logits [B, T, V] of ids [B, T]
---@param ids any i64 [N]
---@param o table {length =, rows = windows at a time}
---@return number perplexity
---@return integer tokens that were predicted
function text.perplexity(model, ids, o)
  local n = (ids:size(1) - 1) // o.length
  local length = o.length
  if n == 0 then n, length = 1, ids:size(1) - 1 end
  local total = 0
  equi.no_grad(function()
    for from = 0, n - 1, o.rows do
      local b = math.min(o.rows, n - from)
      local x = ids:narrow(1, from * length + 1, b * length):reshape(b, length)
      local y = ids:narrow(1, from * length + 2, b * length)
      local logits = model(x)
      local loss = equi.cross_entropy(logits:reshape(b * length, logits:size(3)), y)
      total = total + loss:item() * b * length
    end
  end)
  return math.exp(total / (n * length)), n * length
end

return text
