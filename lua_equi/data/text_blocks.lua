--- A long text, cut into blocks of tokens for language models.
--
-- Block k of `size` tokens is tokens (k - 1) * size + 1 ... of the text, without overlap. Batch
-- number i is a function of the seed and of i alone, so that training can begin anywhere.
local arguments = require "lua_equi.arguments"
local caller = require "lua_equi.caller"
local core = require "lua_equi.core"
local options = require "lua_equi.options"
local random = require "lua_equi.data.random"

local text_blocks = {}
local methods = {}
local mt = {__index = methods, __name = "text_blocks"}
local WHO = "text_blocks"

local function fail(...) error(WHO .. ": " .. string.format(...), caller(2)) end

function mt:__len() return self.count end

function mt:__tostring()
  return ("text_blocks: %d tokens, %d blocks of %d, %d batches of %d an epoch"):format(
    self.ids:numel(), self.count, self.size, self.batches, self.batch_size)
end

local function read(path)
  local f, problem = io.open(path, "rb")
  if not f then fail("%s", problem) end
  local text, why = f:read "a"
  f:close()
  if not text then fail("%s: %s", path, why) end
  return text
end

--- The ids of a text, a file or a list as one tensor [N].
---
--- Example:
---     print(equi.data.text_blocks.ids({3, 4, 5}):size())   --> 3
---@param text any a text or {file = path} (these need a tokenizer), a list or a tensor of ids
---@param tokenizer? any
---@return any ids i64 [N]
function text_blocks.ids(text, tokenizer)
  if type(text) == "table" and text.file ~= nil then
    if type(text.file) ~= "string" then
      fail("file must be a path, got %s", arguments.shown(text.file))
    end
    text = read(text.file)
  end
  if type(text) == "string" then
    if not tokenizer then fail "a text needs a tokenizer; give tokenizer = ..., or ids" end
    text = tokenizer:encode(text)
  end
  if core.is_tensor(text) then
    if text.dtype ~= "i64" then fail("ids must be i64, got %s", arguments.shown(text)) end
    return text:reshape(-1)
  end
  if type(text) ~= "table" or text[1] ~= nil and math.type(text[1]) ~= "integer" then
    fail("give a text, {file = path}, or ids, got %s", arguments.shown(text))
  end
  return core.tensor(text, {dtype = "i64"})
end

--- Cuts a text into blocks.
---
--- Example:
---     local blocks = equi.data.text_blocks.new({1, 2, 3, 4, 5, 6, 7}, {size = 2, batch = 2,
---       shuffle = false})
---     print(#blocks, blocks.batches, blocks:batch(1):totable()[2][1])   --> 3 2 3
---@param text any as for text_blocks.ids
---@param opts? table {size = 1024 tokens, batch = 4 blocks, seed = 0, shuffle = true, tokenizer}
---@return table blocks #blocks is their number, blocks.batches the batches of an epoch
function text_blocks.new(text, opts)
  local o = options.check(WHO, opts, {size = 1024, batch = 4, seed = 0, shuffle = true,
    tokenizer = options.any()})
  arguments.whole(WHO, "size", o.size, 2)
  arguments.whole(WHO, "batch", o.batch)
  local ids = text_blocks.ids(text, o.tokenizer)
  local count = ids:numel() // o.size
  if count == 0 then
    fail("%d tokens are less than one block of %d; give more text, or a smaller size", ids:numel(),
      o.size)
  end
  return setmetatable({ids = ids, count = count, size = o.size, batch_size = o.batch, seed = o.seed,
    shuffle = o.shuffle, batches = (count + o.batch - 1) // o.batch}, mt)
end

-- The order of the blocks in an epoch, from 0.
local function order_of(self, epoch)
  if self.epoch == epoch then return self.order end
  local order = {}
  for k = 1, self.count do order[k] = k end
  if self.shuffle then random.new(self.seed + epoch):shuffle(order) end
  self.epoch, self.order = epoch, order
  return order
end

--- Batch number i, counted on through the epochs: every epoch has an order of its own, and every
--- block once; the last batch of an epoch may be smaller.
---
--- Example:
---     local blocks = equi.data.text_blocks.new({1, 2, 3, 4}, {size = 2, batch = 1})
---     print(blocks:batch(7):size())   --> 1 2
---@param i integer from 1
---@return any ids [B, size]
function methods:batch(i)
  arguments.whole("batch", "i", i)
  local order, first = order_of(self, (i - 1) // self.batches),
    (i - 1) % self.batches * self.batch_size + 1
  local list = {}
  for k = first, math.min(first + self.batch_size - 1, self.count) do
    list[#list + 1] = self.ids:narrow(1, (order[k] - 1) * self.size + 1, self.size)
  end
  return core.stack(list)
end

--- All batches of one epoch, for `for` loops.
---
--- Example:
---     local blocks, n = equi.data.text_blocks.new({1, 2, 3, 4, 5, 6}, {size = 2, batch = 2}), 0
---     for ids in blocks:each() do n = n + ids:numel() end
---     print(n)   --> 6
---@param epoch? integer from 1, default 1
---@return function iterator of ids [B, size]
function methods:each(epoch)
  epoch = epoch or 1
  arguments.whole("each", "epoch", epoch)
  local i, last = (epoch - 1) * self.batches, epoch * self.batches
  return function()
    i = i + 1
    return i <= last and self:batch(i) or nil
  end
end

return text_blocks
