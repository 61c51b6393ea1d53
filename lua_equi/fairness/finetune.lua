--- Fine-tuning of a language model, plain or equituned, on a text.
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local module = require "lua_equi.nn.module"
local optim = require "lua_equi.optim"
local options = require "lua_equi.options"
local perplexity = require "lua_equi.fairness.perplexity"
local prompts = require "lua_equi.generate.prompts"
local text_blocks = require "lua_equi.data.text_blocks"
local train = require "lua_equi.train"

local finetune = {}
local WHO = "fairness.finetune"

local GIVEN = {lr = 5e-5, eps = 1e-8, weight_decay = 0, clip = 1.0, batch = 4, epochs = 1,
  block = options.any(), warmup = 0, accumulate = 1, seed = options.any(), steps = options.any(),
  parameters = options.any(), tokenizer = options.any(), evaluate = options.any(), every = 1000,
  checkpoint = "", resume = false, log = "", progress = false, hooks = {}, options = options.any()}

local function check(opts)
  local o = options.check(WHO, opts, GIVEN)
  for _, name in ipairs {"batch", "epochs", "accumulate", "every"} do
    arguments.whole(WHO, name, o[name])
  end
  for _, name in ipairs {"lr", "eps", "weight_decay", "clip"} do
    arguments.number(WHO, name, o[name], 0)
  end
  for _, name in ipairs {"steps", "seed"} do
    if o[name] ~= nil then arguments.whole(WHO, name, o[name], name == "seed" and 0 or 1) end
  end
  return o
end

-- Gradients of `accumulate` batches of a step; returns the mean loss of their tokens.
local function gradients(model, blocks, step, many)
  local sum, tokens, list = 0, 0, {}
  for k = 1, many do
    list[k] = blocks:batch((step - 1) * many + k)
    tokens = tokens + list[k]:size(1) * (list[k]:size(2) - 1)
  end
  for _, ids in ipairs(list) do
    local loss = perplexity.loss(model, ids) / tokens
    loss:backward()
    sum = sum + loss:item()
  end
  return sum
end

--- Fine-tunes a language model on a text, with the recipe of the paper: AdamW with rate 5e-5, eps
--- 1e-8 and no weight decay, falling straight to 0 over the run without warm-up, gradients clipped
--- to norm 1, batches of 4 blocks, one epoch.
---
--- The model is trained as it is given: an equituned one through all branches, so that it stays
--- fair at every step. What learns are its parameters that require gradients, or `parameters`.
--- Logs, checkpoints, resume, hooks and evaluation are those of equi.train.run.
---
--- Example:
---     local w = equi.zeros({4, 4}, {requires_grad = true})
---     local model = setmetatable({w = w}, {__call = function(self, ids)
---       return equi.embedding(ids, self.w) end})
---     local r = equi.fairness.finetune(model, {1, 2, 3, 4, 1, 2, 3, 4, 1}, {lr = 1, block = 4,
---       epochs = 20, batch = 1})
---     print(r.step, equi.fairness.perplexity(model, {1, 2, 3, 4}).perplexity < 1.5)   --> 40 true
---@param model any
---@param text any a text, {file = path}, ids, or blocks from equi.data.text_blocks
---@param opts? table {lr = 5e-5, eps = 1e-8, weight_decay = 0, clip = 1 (0: none), batch = 4,
--- epochs = 1, block = 1024 or the model's context, warmup = 0 steps, accumulate = 1 batches for
--- each step, seed = nil: of dropout and of the order of blocks (0 without), steps = nil: as many
--- as the epochs have, parameters, tokenizer = model.tokenizer, evaluate, every = 1000, checkpoint,
--- resume, log, progress, hooks, options = what a checkpoint records (default: those of here)}
---@return table result of equi.train.run
function finetune.finetune(model, text, opts)
  local o = check(opts)
  prompts.check_model(WHO, model)
  local blocks = type(text) == "table" and text.batches and text or text_blocks.new(text,
    {size = o.block or math.min(1024, prompts.positions(model) or 1024), batch = o.batch,
      seed = o.seed or 0, tokenizer = o.tokenizer or prompts.tokenizer(model)})
  local steps = o.steps or math.max(1, blocks.batches * o.epochs // o.accumulate)
  local opt = optim.adamw(o.parameters or model, {lr = o.lr, eps = o.eps,
    weight_decay = o.weight_decay})
  local schedule = optim.linear(opt, steps, {warmup = o.warmup})
  module.train(model)
  if o.seed then core.seed(o.seed) end
  local result = train.run {steps = steps, model = model, optimizer = opt, schedules = {schedule},
    evaluate = o.evaluate, every = o.every, checkpoint = o.checkpoint, resume = o.resume,
    log = o.log, progress = o.progress, hooks = o.hooks, label = "finetune",
    options = o.options or {lr = o.lr, eps = o.eps, weight_decay = o.weight_decay, clip = o.clip,
      batch = blocks.batch_size, block = blocks.size, steps = steps, accumulate = o.accumulate,
      seed = o.seed, warmup = o.warmup},
    step = function(i)
      opt:zero_grad()
      local loss = gradients(model, blocks, i, o.accumulate)
      if o.clip > 0 then optim.clip_norm(opt, o.clip) end
      opt:step()
      schedule:step()
      return loss
    end}
  module.eval(model)
  return result
end

return finetune
