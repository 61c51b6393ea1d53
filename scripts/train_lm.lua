#!/usr/bin/env lua5.4
--- Trains a byte-pair vocabulary and a small GPT-2 on text files, or on the text about people whose
--- bias is known (lua_equi/data/people.lua): see doc/fairness.md.
--
-- Leaves in --out: a folder `model` that equi.models.gpt2 and Hugging Face load, checkpoints, the
-- log, curves.png and result.json. Part: lm/text.lua.
local here = arg[0]:match "^(.*)scripts/train_lm%.lua$" or "./"
package.path = here .. "?.lua;" .. here .. "?/init.lua;" .. package.path
package.cpath = here .. "?.so;" .. package.cpath

local equi = require "lua_equi"
local command = require "scripts.command".new "train_lm.lua"
local json = require "lua_equi.json"
local log = require "lua_equi.log"
local options = require "lua_equi.options"
local results = require "lua_equi.results"
local text = require "scripts.lm.text"
local train = require "lua_equi.train"

local declared = options.declare {
  name = "train_lm.lua",
  doc = "Trains a byte-pair vocabulary and a model of GPT-2's architecture, from nothing.",
  "Text",
  {"text", {""}, doc = "files to learn from, one document each; default: generated text about "
    .. "people"},
  {"validation", {""}, doc = "files that are held out; default: the end of each --text"},
  {"holdout", 0.05, above = 0, below = 1, doc = "part of --text that is held out"},
  {"bytes", 16000000, min = 1000, doc = "of generated text"},
  {"held_out", 200000, min = 1000, doc = "bytes of generated text for validation, of another seed"},
  {"text_seed", 1, doc = "of generated text; the next one is the held-out text's"},
  "Vocabulary",
  {"tokenizer", "", doc = "folder with vocab.json and merges.txt, or a tokenizer.json; default: "
    .. "one is trained"},
  {"vocab", 2048, min = 257, doc = "tokens of a trained vocabulary"},
  {"vocab_bytes", 2000000, min = 1000, doc = "of the text that it is trained on"},
  "Model",
  {"layers", 4, min = 1, doc = "blocks"},
  {"heads", 4, min = 1, doc = "attention heads"},
  {"width", 128, min = 1, doc = "features"},
  {"positions", 128, min = 2, doc = "longest context; also the length of a window"},
  {"dropout", 0.05, min = 0, below = 1, doc = "of embeddings, attention and residuals"},
  "Training",
  {"steps", 3000, min = 1, doc = "steps of AdamW"},
  {"batch", 8, min = 1, doc = "windows a step"},
  {"lr", 2e-3, above = 0, doc = "learning rate after warm-up; then a cosine"},
  {"warmup", 200, min = 0, doc = "steps straight up from 0"},
  {"floor", 0.05, min = 0, max = 1, doc = "part of the learning rate where the cosine ends"},
  {"beta2", 0.98, min = 0, below = 1, doc = "of AdamW"},
  {"weight_decay", 0.1, min = 0, doc = "of AdamW, on matrices"},
  {"clip", 1.0, above = 0, doc = "largest gradient norm"},
  {"every", 250, min = 1, doc = "steps between validations"},
  {"seed", 0, doc = "of weights, windows and dropout"},
  "Running",
  {"out", "", saved = false, doc = "folder for results; default: out/lm, out/tiny-lm"},
  {"resume", false, saved = false, doc = "go on from the last checkpoint"},
  {"force", false, saved = false, doc = "overwrite results of other options, and a shipped model"},
  {"ship", "", saved = false, doc = "put the model, as 16-bit floats, beside the models as "
    .. "weights/gpt2-NAME, with the recipe and the log"},
  {"threads", 1, min = 1, saved = false, doc = "threads; results do not depend on it"},
  {"tiny", false, doc = "a run of seconds, to see that everything works"},
}

-- ---- text and vocabulary ----

local function documents_of(opt)
  if opt.text[1] == "" then
    return text.generated(opt.bytes, opt.text_seed), text.generated(opt.held_out, opt.text_seed + 1)
  end
  local all = text.read(opt.text)
  if opt.validation[1] ~= "" then return all, text.read(opt.validation) end
  return text.split(all, opt.holdout)
end

-- The first documents up to so many bytes.
local function beginning(documents, bytes)
  local list, size = {}, 0
  for _, d in ipairs(documents) do
    list[#list + 1] = size + #d > bytes and d:sub(1, bytes - size) or d
    size = size + #d
    if size >= bytes then break end
  end
  return table.concat(list)
end

-- A vocabulary that was given, or made before with the same options, or a new one.
local function tokenizer_of(opt, documents)
  if opt.tokenizer ~= "" then return equi.data.bpe.load(opt.tokenizer) end
  local folder = opt.out .. "/tokenizer"
  local f = opt.resume and io.open(folder .. "/vocab.json")
  if f then
    f:close()
    return equi.data.bpe.load(folder)
  end
  local tokenizer = equi.data.bpe.train(beginning(documents, opt.vocab_bytes),
    {size = opt.vocab, special = {"<|endoftext|>"}})
  command:make_folder(folder)
  tokenizer:save(folder)
  return tokenizer
end

local function data_of(opt)
  local training, validation = documents_of(opt)
  local tokenizer = tokenizer_of(opt, training)
  local ids, starts = text.ids(tokenizer, training)
  local data = {tokenizer = tokenizer, ids = ids, starts = starts,
    validation = text.ids(tokenizer, validation), bytes = 0, held_out = 0}
  for _, d in ipairs(training) do data.bytes = data.bytes + #d end
  for _, d in ipairs(validation) do data.held_out = data.held_out + #d end
  io.stderr:write(("%s bytes, %s tokens of a vocabulary of %s; held out: %s tokens\n"):format(
    log.count(data.bytes), log.count(ids:size(1)), log.count(#tokenizer),
    log.count(data.validation:size(1))))
  return data
end

-- ---- training ----

local function build(opt, data)
  local tokenizer = data.tokenizer
  local eot = (tokenizer.eot or #tokenizer) - 1 -- config.json counts from 0
  local model = equi.models.gpt2 {n_layer = opt.layers, n_head = opt.heads, n_embd = opt.width,
    n_positions = opt.positions, vocab_size = #tokenizer, resid_pdrop = opt.dropout,
    embd_pdrop = opt.dropout, attn_pdrop = opt.dropout, bos_token_id = eot, eos_token_id = eot,
    seed = opt.seed}
  model.tokenizer = tokenizer
  return model
end

-- Matrices decay, biases and norms do not.
local function optimizer_of(opt, model)
  local matrices, others = {}, {}
  for _, p in ipairs(equi.nn.parameters(model)) do
    local list = p.ndim > 1 and matrices or others
    list[#list + 1] = p
  end
  return equi.optim.adamw({{params = matrices, weight_decay = opt.weight_decay},
    {params = others, weight_decay = 0}}, {lr = opt.lr, beta2 = opt.beta2})
end

local function learn(opt, model, data)
  local windows = command:try(text.windows, data.ids, data.starts, {length = opt.positions,
    batch = opt.batch, seed = opt.seed + 1})
  local optimizer = optimizer_of(opt, model)
  local schedule = equi.optim.cosine(optimizer, opt.steps, {warmup = opt.warmup,
    floor = opt.floor})
  local path = opt.out .. "/train"
  local tokens, clock = opt.batch * opt.positions, equi.core.clock
  command.checkpoint = path .. ".safetensors"
  model:train()
  local result = train.run {
    steps = opt.steps, every = opt.every, best = "perplexity", mode = "min",
    resume = opt.resume and command:goes_on(path .. ".safetensors", opt.saved),
    step = function()
      local began = clock()
      local x, y = windows:next()
      optimizer:zero_grad()
      local logits = model(x)
      local loss = equi.cross_entropy(logits:reshape(tokens, logits:size(3)), y:reshape(tokens))
      loss:backward()
      equi.optim.clip_norm(optimizer, opt.clip)
      optimizer:step()
      schedule:step()
      return {loss = loss:item(), tokens_s = tokens / (clock() - began)}
    end,
    evaluate = function()
      return {perplexity = (text.perplexity(model, data.validation, {length = opt.positions,
        rows = opt.batch}))}
    end,
    model = model, optimizer = optimizer, schedules = schedule, sampler = windows,
    options = opt.saved, checkpoint = path .. ".safetensors", log = path, progress = true,
    label = ("%d layers, width %d"):format(opt.layers, opt.width),
  }
  equi.checkpoint.load(path .. ".best.safetensors", {model = model, rng = false})
  model:eval()
  return result
end

-- ---- results ----

local function save_curves(opt)
  local plot = require "lua_equi.plot"
  local loss = results.history(opt.out .. "/train.jsonl", "loss")
  local validation = results.history(opt.out .. "/train.jsonl", "perplexity")
  local left = plot.new {xlabel = "step", ylabel = "training loss"}
  left:line(loss.steps, loss.values, {label = "loss"})
  local right = plot.new {xlabel = "step", ylabel = "perplexity, held out", yscale = "log"}
  right:line(validation.steps, validation.values, {label = "held out"})
  local done, message = plot.grid({{left, right}}, {title = "training"}):save(
    opt.out .. "/curves.png")
  if not done then command:fail("%s", message) end
end

local columns = {
  {field = "perplexity", format = "%.3f"}, {field = "bits_per_byte", format = "%.3f"},
  {field = "best_step", format = "%.0f", title = "best step"},
  {field = "tokens_s", format = "%.0f", title = "tokens/s"},
  {field = "seconds", format = "%.0f", plain = true},
}

local function write_result(opt, model, data, trained)
  local perplexity, predicted = text.perplexity(model, data.validation, {length = opt.positions,
    rows = opt.batch})
  local bits = math.log(perplexity, 2) * predicted / data.held_out
  local row = {model = ("%d x %d"):format(opt.layers, opt.width), perplexity = perplexity,
    bits_per_byte = bits, best_step = trained.best_step, seconds = trained.seconds,
    tokens_s = trained.metrics.tokens_s, parameters = equi.nn.count(model)}
  local result = {options = opt.saved, parameters = row.parameters, vocabulary = #data.tokenizer,
    training = {bytes = data.bytes, tokens = data.ids:size(1)},
    validation = {bytes = data.held_out, tokens = data.validation:size(1)}, rows = {row}}
  local done, message = equi.write_file_atomic(opt.out .. "/result.json",
    {json.encode(result, {sort = true, indent = 2})})
  if not done then command:fail("%s", message) end
  return result
end

-- ---- shipping ----

local function read(path)
  local f = io.open(path, "rb") or command:fail("cannot open %s", path)
  local content = f:read "a"
  f:close()
  return content
end

local function recipe(opt, result)
  return table.concat({"# gpt2-" .. opt.ship, "",
    ("A model of GPT-2's architecture with %s parameters, made by `scripts/train_lm.lua` with "
      .. "these options:"):format(log.count(result.parameters)), "", "```json",
    json.encode(result.options, {sort = true, indent = 2}), "```", "",
    ("Learned from %s bytes (%s tokens), tested on %s others. The weights are 16-bit floats; the "
      .. "perplexity is that of the held-out text, in windows of %d tokens:"):format(
      log.count(result.training.bytes), log.count(result.training.tokens),
      log.count(result.validation.bytes), opt.positions), "",
    results.table({result}, {"model"}, columns, {markdown = true}), "", "The log:", "", "```",
    (read(opt.out .. "/train.csv"):gsub("%s+$", "")), "```", ""}, "\n")
end

local function shipped(opt) return ("%smodels/weights/gpt2-%s"):format(here, opt.ship) end

local function ship(opt, result)
  local target = shipped(opt)
  command:try(function()
    equi.models.gpt2({folder = opt.out .. "/model"}):save(target, {as = "f16"})
  end)
  local done, message = equi.write_file_atomic(target .. "/README.md", {recipe(opt, result)})
  if not done then command:fail("%s", message) end
  io.stderr:write("wrote ", target, "\n")
end

-- ---- the command ----

local function shorten(opt)
  if opt.out == "" then opt.out = opt.tiny and "out/tiny-lm" or "out/lm" end
  if not opt.tiny then return end
  options.preset(opt, {bytes = 40000, held_out = 4000, vocab = 320, vocab_bytes = 20000,
    layers = 1, heads = 2, width = 16, positions = 32, steps = 20, batch = 4, warmup = 5,
    every = 10})
end

-- A shipped model is what every later example takes: it is not replaced by the way.
local function check_ship(opt)
  if opt.ship:find "[^%w_]" then
    command:fail("--ship goes with a name of letters, digits and _; got %s", opt.ship)
  end
  if opt.ship == "" then return end
  if opt.tiny then command:fail("--ship goes with a whole run, not with --tiny") end
  local f = not opt.force and io.open(shipped(opt) .. "/config.json")
  if f then
    f:close()
    command:fail("--ship %s: %s is there already; take another name, or --force to replace it",
      opt.ship, shipped(opt))
  end
end

local function check(opt)
  if opt.width % opt.heads ~= 0 then
    command:fail("--width %d does not divide into --heads %d", opt.width, opt.heads)
  end
  check_ship(opt)
  if opt.force then return end
  command:protect(opt.out .. "/result.json", opt.saved)
  if opt.resume then command:protect(opt.out .. "/train.safetensors", opt.saved) end
end

local function main()
  local opt = options.parse(declared)
  shorten(opt)
  opt.saved = options.describe(opt)
  check(opt)
  equi.threads(opt.threads)
  equi.seed(opt.seed)
  local result = opt.resume and command.finished(opt.out .. "/result.json", opt.saved)
  if not result then
    command:make_folder(opt.out)
    local data = command:try(data_of, opt)
    local model = build(opt, data)
    local trained = learn(opt, model, data)
    model:save(opt.out .. "/model")
    result = write_result(opt, model, data, trained)
    save_curves(opt)
  end
  if opt.ship ~= "" then ship(opt, result) end
  print(results.table({result}, {"model"}, columns))
end

command:run(main)
