--- Perplexity of a language model: exp of the mean cross-entropy of the next token.
local arguments = require "lua_equi.arguments"
local caller = require "lua_equi.caller"
local core = require "lua_equi.core"
local log = require "lua_equi.log"
local options = require "lua_equi.options"
local printed = require "lua_equi.printed"
local prompts = require "lua_equi.generate.prompts"
local text_blocks = require "lua_equi.data.text_blocks"

local perplexity = {}
local WHO = "fairness.perplexity"

--- The sum of -log p of every token of ids [B, T] but the first of each row, and how many these
--- are. The logits of the last place are not used; leaving them in saves a copy of all others.
---@param model any
---@param ids any [B, T]
---@return any loss a tensor of one number
---@return integer tokens
function perplexity.loss(model, ids)
  local b, t = ids:size()
  local logits = model(ids)
  local targets = core.cat({ids:narrow(2, 2, t - 1), core.zeros({b, 1}, {dtype = "i64"})}, 2)
  return core.cross_entropy(logits:reshape(b * t, -1), targets:reshape(-1), nil,
    {ignore_index = 0, reduction = "sum"}), b * (t - 1)
end

-- Blocks [batch, size], and what remains behind the last whole one as a row of its own.
local function pieces(ids, size, batch)
  local n, list = ids:numel(), {}
  local whole = n // size
  for first = 1, whole, batch do
    local rows = math.min(batch, whole - first + 1)
    list[#list + 1] = ids:narrow(1, (first - 1) * size + 1, rows * size):reshape(rows, size)
  end
  local rest = n - whole * size
  if rest > 1 then list[#list + 1] = ids:narrow(1, whole * size + 1, rest):reshape(1, rest) end
  return list
end

--- Perplexity over a text: exp of the mean of -log P(token | those before it in its block).
---
--- Blocks do not overlap, as in the paper: of each block all tokens but the first count, and the
--- last block may be short. Works on plain and equituned models alike; of an equituned one,
--- chunk = 1 keeps the logits of one branch at a time. Ctrl-C between two blocks ends it with what
--- was measured, and interrupted = true.
---
--- Example:
---     local function even(ids) return equi.zeros({ids:size(1), ids:size(2), 4}) end
---     print(("%.3f"):format(equi.fairness.perplexity(even, {1, 2, 3, 4, 1}).perplexity))
---     --> 4.000
---@param model any
---@param text any a text, {file = path}, or ids (list or tensor)
---@param opts? table {block = 1024 tokens, at most the model's context; batch = 1 block at once,
--- tokenizer = model.tokenizer, limit = tokens to look at, progress = false}
---@return table result {perplexity, loss, tokens, blocks, seconds, interrupted}
function perplexity.perplexity(model, text, opts)
  local o = options.check(WHO, opts, {block = options.any(), batch = 1, tokenizer = options.any(),
    limit = options.any(), progress = false})
  prompts.check_model(WHO, model)
  local most = prompts.positions(model) or 1024
  local size = o.block or math.min(1024, most)
  arguments.whole(WHO, "block", size, 2)
  arguments.whole(WHO, "batch", o.batch)
  if prompts.positions(model) and size > most then
    error(("%s: block is %d tokens, the model's context %d"):format(WHO, size, most), caller(2))
  end
  local ids = text_blocks.ids(text, o.tokenizer or prompts.tokenizer(model))
  if o.limit ~= nil then
    arguments.whole(WHO, "limit", o.limit, 2)
    ids = ids:narrow(1, 1, math.min(o.limit, ids:numel()))
  end
  if ids:numel() < 2 then
    error(("%s: the text has %d tokens; perplexity needs 2 or more"):format(WHO, ids:numel()),
      caller(2))
  end
  local list, r = pieces(ids, size, o.batch), {loss = 0.0, tokens = 0, blocks = 0}
  local line, began = log.progress(#list, {label = "perplexity", quiet = not o.progress}),
    core.clock()
  local hold <close> = core.hold_interrupts()
  local function go()
    for i, block in ipairs(list) do
      if hold:pressed() then
        r.interrupted = true
        break
      end
      local loss, tokens = perplexity.loss(model, block)
      r.loss, r.tokens, r.blocks = r.loss + loss:item(), r.tokens + tokens, r.blocks + block:size(1)
      line:update(i, {perplexity = math.exp(r.loss / r.tokens)})
    end
  end
  core.no_grad(prompts.evaluating, model, go)
  line:done()
  r.loss = r.loss / math.max(1, r.tokens)
  r.perplexity, r.seconds = math.exp(r.loss), core.clock() - began
  return printed.fields(r)
end

return perplexity
