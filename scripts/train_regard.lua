#!/usr/bin/env lua5.4
--- Trains a small classifier of regard: in what regard a sentence holds the person called XYZ.
--
-- From labelled files (label, tab, text; see lua_equi/data/regard.lua), from the sentences of
-- equi.data.people, or from both. Each run leaves in its folder, such as bert-0, the classifier as
-- a folder that equi.fairness.regard.classifier opens (for BERT in the layout of Hugging Face), its
-- result.json, curves and confusion matrices; from the results the table is made (also with
-- --report).
local here = arg[0]:match "^(.*)scripts/train_regard%.lua$" or "./"
package.path = here .. "?.lua;" .. here .. "?/init.lua;" .. package.path
package.cpath = here .. "?.so;" .. package.cpath

local equi = require "lua_equi"
local checkpoint = require "lua_equi.checkpoint"
local command = require "scripts.command".new "train_regard.lua"
local data = require "scripts.regard.data"
local json = require "lua_equi.json"
local log = require "lua_equi.log"
local options = require "lua_equi.options"
local plot = require "lua_equi.plot"
local results = require "lua_equi.results"
local sampler = require "lua_equi.data.sampler"
local train = require "lua_equi.train"

local declared = options.declare {
  name = "train_regard.lua",
  doc = "Trains a classifier of regard on labelled sentences and tests it. Sentences come from "
    .. "files (a line: -1, 0, 1 or 2 for negative, neutral, positive, other; a tab; the text) or, "
    .. "where a list says generated, from equi.data.people. A classifier of generated sentences "
    .. "knows their words only: see the tests for what it makes of others.",
  "What to learn from",
  {"train", {"generated"}, type = "string", doc = "files, or generated, or both"},
  {"dev", {}, type = "string", doc = "the same, for choosing the best model; by default a part of "
    .. "the training sentences is held out"},
  {"test", {"generated"}, type = "string", doc = "the same; each is tested for itself"},
  {"generated", 4000, min = 20, doc = "generated sentences for training; a quarter as many for "
    .. "dev and test, those left out that are training sentences"},
  {"holdout", 0.15, above = 0, below = 1, doc = "part of the training sentences for dev"},
  "Model",
  {"model", {"bert"}, choices = {"bert", "bag"}, doc = "BERT from scratch, or a bag of words: the "
    .. "mean of the embeddings and a perceptron"},
  {"pretrained", "", doc = "folder of a BERT in Hugging Face's layout to begin from"},
  {"layers", 2, min = 1, doc = "of BERT"},
  {"width", 64, min = 2, doc = "size of the embeddings; heads of BERT are of 32 or less"},
  {"dropout", 0.1, min = 0, below = 1, doc = "everywhere"},
  {"tokens", 8000, min = 100, doc = "of the vocabulary at most, which is learned from the training "
    .. "sentences"},
  {"least", 2, min = 1, doc = "a piece of a word that comes so often in training may be a token"},
  {"longest", 64, min = 4, doc = "tokens of a text; longer ones are cut"},
  "Training",
  {"seeds", {0}, doc = "one run each"},
  {"epochs", 5.0, above = 0, doc = "passes over the training sentences"},
  {"batch", 16, min = 1, doc = "sentences a step"},
  {"lr", 1e-3, above = 0, doc = "learning rate of AdamW; up over a tenth of the steps, then down "
    .. "to 0, both straight"},
  {"weight_decay", 0.01, min = 0, doc = "of AdamW"},
  {"clip", 1.0, above = 0, doc = "largest gradient norm"},
  {"balance", false, doc = "errors weigh as much as their class is rare"},
  "Running",
  {"out", "", saved = false, doc = "folder for results; default: out/regard, out/tiny"},
  {"resume", false, saved = false, doc = "go on from the last checkpoint of each run"},
  {"force", false, saved = false, doc = "overwrite results of other options; with --resume, runs "
    .. "whose options are others begin anew"},
  {"report", false, saved = false, doc = "only print the table of the results in --out"},
  {"markdown", false, saved = false, doc = "print tables as Markdown"},
  {"threads", 1, min = 1, saved = false, doc = "threads; results do not depend on it"},
  {"tiny", false, doc = "a run of seconds, to see that everything works"},
}

-- ---- model ----

local function heads_of(width)
  for heads = (width + 31) // 32, width do
    if width % heads == 0 then return heads end
  end
end

local function build(o, set, tokenizer)
  local common = {vocab_size = #tokenizer, labels = set.classes, seed = o.seed,
    max_position_embeddings = o.longest, hidden_size = o.width}
  if o.model == "bag" then
    common.dropout = o.dropout
    return equi.models.bag(common)
  end
  if o.pretrained ~= "" then
    return equi.models.bert {folder = o.pretrained, labels = set.classes, seed = o.seed,
      hidden_dropout_prob = o.dropout, attention_probs_dropout_prob = o.dropout}
  end
  common.num_hidden_layers, common.num_attention_heads = o.layers, heads_of(o.width)
  common.intermediate_size = 4 * o.width
  common.hidden_dropout_prob, common.attention_probs_dropout_prob = o.dropout, o.dropout
  return equi.models.bert(common)
end

local function logits_of(model)
  return function(x) return model(x[1], {mask = x[2]}) end
end

-- ---- training ----

local function class_weights(o, set)
  if not o.balance then return nil end
  local counts, weights = {}, {}
  for k in ipairs(set.classes) do counts[k] = 0 end
  for _, e in ipairs(set.train) do counts[e.class] = counts[e.class] + 1 end
  for k, n in ipairs(counts) do weights[k] = n > 0 and #set.train / (#counts * n) or 0 end
  return equi.tensor(weights)
end

-- One step on sentences that are drawn next.
local function stepper(o, set, tokenizer, fields)
  local weights, size = class_weights(o, set), math.min(o.batch, #set.train)
  return function()
    local chosen = {}
    for i = 1, size do chosen[i] = set.train[fields.source:next()] end
    local b = data.batches(chosen, tokenizer, size, o.longest)[1]
    fields.optimizer:zero_grad()
    local loss = equi.cross_entropy(fields.forward(b.x), b.y, weights)
    loss:backward()
    equi.optim.clip_norm(fields.model:parameters(), o.clip)
    fields.optimizer:step()
    fields.schedule:step()
    return loss
  end
end

-- Trains, leaves the model that was best on dev.
local function learn(o, set, model, tokenizer)
  local source = sampler.new(#set.train, {seed = o.seed})
  local per_epoch = math.max(1, #set.train // o.batch)
  local steps = math.max(1, math.floor(o.epochs * per_epoch))
  local optimizer = equi.optim.adamw(model, {lr = o.lr, weight_decay = o.weight_decay})
  local schedule = equi.optim.linear(optimizer, steps, {warmup = steps // 10})
  local fields = {model = model, forward = logits_of(model), source = source,
    optimizer = optimizer, schedule = schedule}
  local dev = data.batches(set.dev, tokenizer, 64, o.longest)
  local path = o.dir .. "/train"
  command.checkpoint = path .. ".safetensors"
  local result = train.run {
    steps = steps, every = math.min(steps, per_epoch), best = "dev", model = model:train(),
    resume = o.resume and command:goes_on(command.checkpoint, o.saved),
    step = stepper(o, set, tokenizer, fields),
    evaluate = function() return {dev = equi.classify.accuracy(fields.forward, dev)} end,
    optimizer = optimizer, schedules = schedule, sampler = source, options = o.saved,
    checkpoint = command.checkpoint, log = path, progress = true,
    label = ("%s seed %d"):format(o.model, o.seed),
  }
  checkpoint.load(path .. ".best.safetensors", {model = model, rng = false})
  model:eval()
  return result
end

-- ---- results ----

local function save(figure, path)
  local done, message = figure:save(path)
  if not done then command:fail("%s", message) end
end

local function draw(o, set, reports)
  local row = {}
  for i, r in ipairs(reports) do
    row[i] = plot.new {title = r.name, xlabel = "predicted", ylabel = "true"}
    row[i]:heatmap(r.confusion, {rows = set.classes, cols = set.classes})
  end
  save(plot.grid({row}, {title = ("%s, seed %d"):format(o.model, o.seed), height = 460,
    width = math.max(560, 520 * #row)}), o.dir .. "/confusion.png")
  local loss = results.history(o.dir .. "/train.jsonl", "loss")
  local dev = results.history(o.dir .. "/train.jsonl", "dev")
  if #loss.steps == 0 then return end
  local a = plot.new {xlabel = "step", ylabel = "training loss"}
  a:line(loss.steps, loss.values)
  local b = plot.new {xlabel = "step", ylabel = "dev accuracy, %", ylim = {0, 100}}
  b:line(dev.steps, dev.values)
  save(plot.grid({{a, b}}), o.dir .. "/curves.png")
end

-- What the model makes of the test sentences; prints a table for each of them.
local function test(o, set, model, tokenizer)
  local reports = {}
  for i, t in ipairs(set.tests) do
    local batches = data.batches(t.list, tokenizer, 64, o.longest)
    local report = equi.classify.evaluate(logits_of(model), batches)
    local scores, rows = equi.classify.scores(report.confusion),
      {{"class", "precision", "recall", "F1", "sentences", "predicted"}}
    local function shown(x) return ("%.1f"):format(x) end
    for k, s in ipairs(scores) do
      rows[k + 1] = {set.classes[k], shown(s.precision), shown(s.recall), shown(s.f1), s.count,
        s.predicted}
    end
    reports[i] = {name = t.name, confusion = report.confusion, accuracy = scores.accuracy,
      f1 = scores.f1, count = scores.count}
    print(("%s, seed %d, %s: accuracy %.1f %%, mean F1 %.1f"):format(o.model, o.seed, t.name,
      scores.accuracy, scores.f1))
    print(log.table(rows, {markdown = o.markdown, align = "lrrrrr"}))
    print()
  end
  return reports
end

local function run(o)
  local finished = o.resume and command.finished(o.dir .. "/result.json", o.saved)
  if finished then return finished end
  equi.seed(o.seed)
  local set = command:try(data.open, o)
  command:make_folder(o.dir)
  local tokenizer = command:try(data.tokenizer, o, set.train)
  local model = command:try(build, o, set, tokenizer)
  local learned = learn(o, set, model, tokenizer)
  model.tokenizer = tokenizer
  command:try(model.save, model, o.dir)
  local reports = test(o, set, model, tokenizer)
  local result = {options = o.saved, model = o.model, seed = o.seed, classes = set.classes,
    parameters = model:count(), sentences = {train = #set.train, dev = #set.dev}, tests = reports,
    rows = {}}
  for i, r in ipairs(reports) do
    result.rows[i] = {test = r.name, accuracy = r.accuracy, f1 = r.f1, dev = learned.best,
      sentences = r.count, seconds = learned.seconds}
  end
  local done, message = equi.write_file_atomic(o.dir .. "/result.json",
    {json.encode(result, {indent = 2})})
  if not done then command:fail("%s", message) end
  draw(o, set, reports)
  io.stderr:write("wrote ", o.dir, ": the classifier, result.json, curves.png, confusion.png\n")
  return result
end

local columns = {
  {field = "dev", format = "%.1f", title = "dev %"},
  {field = "accuracy", format = "%.1f", title = "accuracy %"},
  {field = "f1", format = "%.1f", title = "mean F1"},
  {field = "sentences", format = "%.0f", plain = true},
  {field = "seconds", format = "%.0f", plain = true},
}

-- ---- the command ----

local function all_runs(opt)
  local list = {}
  for _, model in ipairs(opt.model) do
    for _, seed in ipairs(opt.seeds) do
      local saved = options.describe(opt)
      saved.seeds = nil
      saved.model, saved.seed = model, seed
      local one = {saved = saved, resume = opt.resume, markdown = opt.markdown,
        dir = ("%s/%s-%d"):format(opt.out, model, seed)}
      for name, value in pairs(saved) do one[name] = value end
      list[#list + 1] = one
    end
  end
  return list
end

local function main()
  local opt = options.parse(declared)
  if opt.out == "" then opt.out = opt.tiny and "out/tiny/regard" or "out/regard" end
  if opt.tiny then
    options.preset(opt, {generated = 60, epochs = 2, width = 8, layers = 1, batch = 8})
  end
  if opt.report then
    print(results.table(command:results(opt.out, {"model", "tests"}), {"model", "test"}, columns,
      {markdown = opt.markdown}))
    return
  end
  for _, model in ipairs(opt.pretrained ~= "" and opt.model or {}) do
    if model ~= "bert" then command:fail("--pretrained goes with --model bert, not %s", model) end
  end
  equi.threads(opt.threads)
  local list, done = all_runs(opt), {}
  for _, one in ipairs(opt.force and {} or list) do
    for _, file in ipairs {"/result.json", one.resume and "/train.safetensors" or nil} do
      command:protect(one.dir .. file, one.saved)
    end
  end
  for i, one in ipairs(list) do done[i] = run(one) end
  print(results.table(done, {"model", "test"}, columns, {markdown = opt.markdown}))
end

command:run(main)
