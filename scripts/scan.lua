#!/usr/bin/env lua5.4
--- Equi-tuning on SCAN: pretrain a sequence model, make it equivariant, fine-tune it, compare.
--
-- The protocol is that of Basu et al. (AAAI 2023) and Gordon et al. (ICLR 2020): see doc/scan.md.
-- One run is one cell, split and seed; several are done one after the other. Each leaves its
-- SPLIT-CELL-GROUP-COMBINE-SEED/result.json, from which the table is made (also with --report).
local here = arg[0]:match "^(.*)scripts/scan%.lua$" or "./"
package.path = here .. "?.lua;" .. here .. "?/init.lua;" .. package.path
package.cpath = here .. "?.so;" .. package.cpath

local equi = require "lua_equi"
local accuracy = require "scripts.scan.accuracy"
local command = require "scripts.command".new "scan.lua"
local json = require "lua_equi.json"
local options = require "lua_equi.options"
local results = require "lua_equi.results"
local sampler = require "lua_equi.data.sampler"
local scan = require "lua_equi.data.scan"
local sequences = require "lua_equi.data.sequences"
local symmetric = require "scripts.scan.symmetric"
local checkpoint = require "lua_equi.checkpoint"
local train = require "lua_equi.train"

-- `auto` is the group that Basu et al. use for the split.
local turning = {around_right = true, add_turn_left = true}

local declared = options.declare {
  name = "scan.lua",
  doc = "Pretrains a recurrent model on SCAN, equi-tunes it, and compares on the split's test set.",
  "What to run",
  {"cells", {"lstm"}, choices = {"rnn", "gru", "lstm"}, doc = "recurrent cells"},
  {"splits", {"add_jump"}, doc = "splits of the data",
   choices = {"simple", "add_jump", "around_right", "length", "add_turn_left"}},
  {"seeds", {0}, doc = "one run each"},
  {"baseline", false, doc = "the G-equivariant network of Gordon et al. instead of equi-tuning"},
  {"data", type = "string", doc = "folder of the official SCAN files; default: the grammar's own"},
  "Model",
  {"hidden", 64, min = 1, doc = "units per direction"},
  {"embedding", 64, min = 1, doc = "size of the command embedding"},
  {"dropout", 0.1, min = 0, below = 1, doc = "dropout of the answer embedding"},
  "Pretraining",
  {"iterations", 200000, min = 0, doc = "training steps"},
  {"batch", 1, min = 1, doc = "pairs a step; above 1 losses are averaged, one coin thrown a step"},
  {"lr", 1e-4, above = 0, doc = "learning rate of Adam"},
  {"teacher", 0.5, min = 0, max = 1, doc = "probability of feeding the target"},
  {"clip", 5.0, above = 0, doc = "largest gradient norm, of encoder and decoder each"},
  {"holdout", 0.2, above = 0, below = 1, doc = "part of the training pairs kept for validation"},
  {"every", 20000, min = 1, doc = "steps between validations"},
  "Equi-tuning",
  {"group", "auto", choices = {"auto", "verbs2", "direction", "cycle4", "product", "full"},
   doc = "symmetry; auto: verbs2, or direction for the splits about turning"},
  {"combine", "mean", choices = {"mean", "best", "weighted"},
   doc = "how branches become one: equitune, equizero, lambda-equitune"},
  {"tune_iterations", 10000, min = 0, doc = "fine-tuning steps"},
  {"tune_lr", 0.0, min = 0, doc = "learning rate; 0: 2e-5, or 5e-5 for around_right"},
  {"tune_every", 1000, min = 1, doc = "steps between validations"},
  {"weight_decay", 1e-4, min = 0, doc = "of Adam while fine-tuning"},
  {"decode", "independent", choices = {"independent", "synchronised"},
   doc = "decoding by which the best model is chosen; both are reported"},
  "Running",
  {"out", "", saved = false, doc = "folder for results; default: out/scan, out/demo, out/tiny"},
  {"resume", false, saved = false, doc = "go on from the last checkpoint of each run"},
  {"pretrained", "", saved = false, doc = "folder of results (another --out, or this one): its "
    .. "pretraining is taken, which must have the same options"},
  {"force", false, saved = false, doc = "overwrite results of other options; with --resume, only "
    .. "stages whose options are others begin anew"},
  {"report", false, saved = false, doc = "only print the table of the results in --out"},
  {"markdown", false, saved = false, doc = "print that table as Markdown"},
  {"threads", 1, min = 1, saved = false, doc = "threads; results do not depend on it"},
  {"demo", false, doc = "the main experiment in minutes: batch 32, fewer steps; options that are "
    .. "given win"},
  {"tiny", false, doc = "a run of seconds, to see that everything works"},
}

-- ---- data ----

local official = {
  simple = "simple_split/tasks_%s_simple.txt",
  add_jump = "add_prim_split/tasks_%s_addprim_jump.txt",
  around_right = "template_split/tasks_%s_template_around_right.txt",
  length = "length_split/tasks_%s_length.txt",
  add_turn_left = "add_prim_split/tasks_%s_addprim_turn_left.txt",
}

local function read_official(folder, split, part)
  local path = folder .. "/" .. official[split]:format(part)
  local list, message = scan.read(path)
  if not list and message:find("No such file", 1, true) then
    list, message = scan.read(path .. ".gz")
    if not list and message:find("No such file", 1, true) then
      message = ("there is neither %s nor %s.gz"):format(path, path)
    end
  end
  return list or command:fail("%s", message)
end

local function load_pairs(opt, split)
  if opt.data then
    return read_official(opt.data, split, "train"), read_official(opt.data, split, "test")
  end
  return scan.split(split)
end

-- Word pairs -> {input ids, output ids}.
local function encode(list, words_in, words_out)
  local out = {}
  for i, pair in ipairs(list) do
    out[i] = {words_in:encode(pair.input), words_out:encode(pair.output)}
  end
  return out
end

local function tensors(list)
  local out, i64 = {}, {dtype = "i64"}
  for i, p in ipairs(list) do out[i] = {equi.tensor({p[1]}, i64), equi.tensor({p[2]}, i64)} end
  return out
end

local function load_data(opt, split, seed)
  local words_in, words_out = scan.vocabularies()
  local all, test = load_pairs(opt, split)
  local training, validation = scan.holdout(all, {fraction = opt.holdout, seed = seed})
  if opt.tiny then
    training, validation = table.move(training, 1, 50, 1, {}), table.move(validation, 1, 20, 1, {})
    test = table.move(test, 1, 20, 1, {})
  end
  return {
    words_in = words_in, words_out = words_out,
    train = encode(training, words_in, words_out),
    validation = sequences.batches(encode(validation, words_in, words_out), {size = 512}),
    test = sequences.batches(encode(test, words_in, words_out), {size = 512}),
  }
end

-- ---- training ----

-- Encoder, decoder and, if there is one, weight network have an optimizer and a gradient norm each.
local function optimizers(model, net, lr, decay)
  local list = {}
  for i, part in ipairs {model.encoder, model.decoder, net} do
    list[i] = equi.optim.adam(part, {lr = lr, weight_decay = decay})
  end
  return list
end

local function descend(opts, loss, clip)
  for _, o in ipairs(opts) do o:zero_grad() end
  loss:backward()
  for _, o in ipairs(opts) do
    equi.optim.clip_norm(o.groups[1].params, clip)
    o:step()
  end
end

-- Draws the pairs of a step: single ones as they are, several padded into one batch.
local function drawer(opt, data, source)
  if opt.batch == 1 then
    local list = tensors(data.train)
    return function()
      local pair = list[source:next()]
      return pair[1], pair[2], nil
    end
  end
  return function()
    local chosen = {}
    for i = 1, opt.batch do chosen[i] = data.train[source:next()] end
    local b = sequences.batch(chosen)
    return b.x, b.y, b.lengths
  end
end

-- One step of plain or equituned training. The loss of a pair is summed over its steps, up to the
-- one at which the model itself says EOS; with teacher forcing the targets are fed (permuted with
-- each branch), else every branch feeds itself.
local function stepper(opt, fields, opts, draw, coin)
  local model, base = fields.model, fields.base
  local heads = math.floor(opt.teacher * coin.size)
  return function()
    local x, y, lengths = draw()
    local teacher = coin:next() <= heads
    local logp, tokens = model(x, y, lengths, {teacher = teacher, steps = y:size(2),
                                               stop = model ~= base and not teacher})
    local loss = equi.sequence_nll(logp, y, tokens or logp:detach():argmax(-1))
    if opt.batch > 1 then loss = loss / opt.batch end
    descend(opts, loss, opt.clip)
    return loss
  end
end

-- Trains, keeps the best model by validation in `base`, returns the curve and the time.
local function run_stage(opt, stage, fields)
  local seed = 2 * opt.seed + fields.salt
  local source = sampler.new(#fields.data.train, {seed = seed, replace = true})
  local coin = sampler.new(1000000, {seed = seed + 1000, replace = true})
  local opts = optimizers(fields.base, fields.net, fields.lr, fields.decay)
  local path = ("%s/%s.safetensors"):format(fields.dir, stage)
  command.checkpoint = path
  equi.nn.train(fields.model)
  local result = train.run {
    steps = fields.steps, every = fields.every, best = "validation", resume = fields.resume,
    step = stepper(opt, fields, opts, drawer(opt, fields.data, source), coin),
    evaluate = function()
      return {validation = accuracy(fields.model, fields.decoder, fields.data.validation, 50)}
    end,
    model = fields.model, optimizer = opts, sampler = {source, coin},
    options = opt.saved, checkpoint = path, log = ("%s/%s"):format(fields.dir, stage),
    progress = true, label = fields.label,
  }
  if fields.steps > 0 then
    local best = path:gsub("safetensors$", "best.safetensors")
    checkpoint.load(best, {model = fields.model, rng = false})
  end
  equi.nn.eval(fields.model)
  return results.history(("%s/%s.jsonl"):format(fields.dir, stage), "validation"), result.seconds
end

-- ---- one run ----

local function measure(result, name, model, decoder, data, seconds)
  local m = {name = name, validation = accuracy(model, decoder, data.validation, 50),
             test = accuracy(model, decoder, data.test, 50), seconds = seconds}
  result.rows[#result.rows + 1] = m
  return m
end

-- Largest relative difference of f(g x) and g f(x) over the group, on the last test batch.
local function equivariance(model, act, data)
  local b = data.test[#data.test]
  local n = math.min(64, b.x:size(1))
  local x, lengths = b.x[{{1, n}}], b.lengths[{{1, n}}]
  local report = equi.check.equivariance(function(input)
    return (model(input, nil, lengths, {steps = 10}))
  end, {x}, {input = act.input, output = act.logits})
  return report.worst
end

-- The curve of equi-tuning begins where pretraining ends: with the accuracy of the plain model,
-- then that of the equituned one before it learns.
local function plot_curves(opt, result, history, tuning)
  local plot = require "lua_equi.plot"
  local figure = plot.new {title = "SCAN: validation while training", xlabel = "step",
                           ylabel = "exact match, %", ylim = {0, 100}}
  figure:line(history.steps, history.values, {label = "pretraining"})
  local plain, start = result.rows[1].validation, result.rows[2]
  if start then
    start = opt.decode == "synchronised" and start.validation_synchronised or start.validation
    local steps, values = {opt.iterations, opt.iterations}, {plain, start}
    for i, step in ipairs(tuning and tuning.steps or {}) do
      steps[i + 2], values[i + 2] = opt.iterations + step, tuning.values[i]
    end
    figure:line(steps, values, {label = "equi-tuning"})
  end
  local done, message = figure:save(opt.dir .. "/curves.png")
  if not done then command:fail("%s", message) end
end

local function build(opt, data, act)
  local sizes = {input_words = #data.words_in, output_words = #data.words_out, cell = opt.cell,
                 hidden = opt.hidden, embedding = opt.embedding, dropout = opt.dropout}
  if not opt.baseline then return equi.models.seq2seq(sizes) end
  sizes.group, sizes.input, sizes.output = act.group, act.input, act.target
  return equi.models.g_seq2seq(sizes)
end

-- Options that pretraining does not depend on. The baseline has its group from the beginning.
local function of_tuning(opt)
  return {group = not opt.baseline, combine = true, tune_iterations = true, tune_lr = true,
    tune_every = true, weight_decay = true, decode = true, demo = true}
end

local function tune(opt, result, data, act, model)
  local tuned = symmetric.equituned(opt, model, act, data)
  local function report(name, seconds)
    local row = measure(result, name, tuned, "independent", data, seconds)
    if opt.combine ~= "weighted" then -- the weights see the whole command, a step does not
      local other = measure({rows = {}}, name, tuned, "synchronised", data)
      row.test_synchronised, row.validation_synchronised = other.test, other.validation
    end
    row.equivariance = equivariance(tuned, act, data)
  end
  report("equi-tuned", 0)
  if opt.tune_iterations == 0 then return nil end
  local history, seconds = run_stage(opt, "tune", {
    salt = 1, model = tuned, net = tuned.combine and tuned.combine.net, base = model, data = data,
    dir = opt.dir, lr = opt.tune_lr, decay = opt.weight_decay, steps = opt.tune_iterations,
    every = opt.tune_every, decoder = opt.decode,
    resume = opt.resume and command:goes_on(opt.dir .. "/tune.safetensors", opt.saved,
      {longer = "tune_iterations", unit = opt.tune_every}),
    label = ("%s %s seed %d, equi-tuning"):format(opt.split, opt.cell, opt.seed),
  })
  report("equi-tuned, fine-tuned", seconds)
  return history
end

-- Pretrains, or goes on, or takes what another run has pretrained.
local function pretrain(opt, model, data)
  local path = opt.dir .. "/pretrain.safetensors"
  if opt.source and opt.source ~= opt.dir then
    command:copy(opt.source, opt.dir, {"pretrain.csv", "pretrain.jsonl",
      "pretrain.best.safetensors", "pretrain.safetensors"})
  end
  return run_stage(opt, "pretrain", {
    salt = 0, model = model, base = model, data = data, dir = opt.dir, lr = opt.lr, decay = 0,
    steps = opt.iterations, every = opt.every, decoder = "plain",
    resume = opt.source ~= nil or opt.resume and command:goes_on(path, opt.saved,
      {left_out = of_tuning(opt), longer = "iterations", unit = opt.every}),
    label = ("%s %s seed %d, pretraining"):format(opt.split, opt.cell, opt.seed),
  })
end

local function run(opt)
  equi.seed(opt.seed)
  local data = load_data(opt, opt.split, opt.seed)
  command:make_folder(opt.dir)
  local act = symmetric.actions(opt, data)
  local model = build(opt, data, act)
  local result = {options = opt.saved, split = opt.split, cell = opt.cell, seed = opt.seed,
                  parameters = equi.nn.count(model), group_order = act.group.order, rows = {}}
  local history, seconds = pretrain(opt, model, data)
  local name = opt.baseline and "G-equivariant" or "plain"
  local row = measure(result, name, model, "plain", data, seconds)
  row.equivariance = equivariance(model, act, data)
  local tuning = not opt.baseline and tune(opt, result, data, act, model) or nil
  local text = json.encode(result, {sort = true, indent = 2})
  local done, message = equi.write_file_atomic(opt.dir .. "/result.json", {text})
  if not done then command:fail("%s", message) end
  if opt.iterations > 0 then plot_curves(opt, result, history, tuning) end
  return result
end

-- ---- tables ----

local columns = {
  {field = "validation", format = "%.2f", title = "validation %"},
  {field = "test", format = "%.2f", title = "test %"},
  {field = "test_synchronised", format = "%.2f", title = "test %, synchronised"},
  {field = "equivariance", format = "%.1e", title = "equivariance error", worst = true},
  {field = "seconds", format = "%.0f", plain = true},
}

local function print_table(list, markdown)
  for _, r in ipairs(list) do
    r.method = ("%s, order %d"):format(r.options.combine, r.group_order)
  end
  print(results.table(list, {"split", "cell", "method", "name"}, columns, {markdown = markdown}))
end

-- ---- the command ----

-- What --tiny and --demo make shorter, unless the command line says otherwise.
local function shorten(opt)
  if opt.tiny and opt.demo then command:fail "--tiny and --demo are two sizes; give one" end
  if opt.out == "" then
    opt.out = opt.tiny and "out/tiny" or opt.demo and "out/demo" or "out/scan"
  end
  if opt.tiny then
    options.preset(opt, {iterations = 20, every = 10, tune_iterations = 10, tune_every = 5,
      hidden = 8, embedding = 8})
  elseif opt.demo then
    options.preset(opt, {batch = 32, lr = 2e-3, iterations = 6000, every = 1000,
      tune_iterations = 1500, tune_every = 500, tune_lr = 3e-4})
  end
end

-- The options of one run, with what "auto" and 0 stand for; `saved` is what decides its result.
local function single(opt, split, cell, seed)
  local saved = options.describe(opt)
  saved.cells, saved.splits, saved.seeds = nil, nil, nil
  saved.split, saved.cell, saved.seed = split, cell, seed
  if opt.group == "auto" then saved.group = turning[split] and "direction" or "verbs2" end
  if opt.tune_lr == 0 then saved.tune_lr = split == "around_right" and 5e-5 or 2e-5 end
  local one = {saved = saved, resume = opt.resume, out = opt.out,
               pretrained = opt.pretrained}
  for k, v in pairs(saved) do one[k] = v end
  one.dir = ("%s/%s-%s-%s-%s-%d"):format(opt.out, split, cell, saved.group,
                                         opt.baseline and "baseline" or opt.combine, seed)
  return one
end

-- Nothing that other options made is overwritten or gone on with, unless asked for.
local function protect(opt)
  local pretrained = opt.dir .. "/pretrain.safetensors"
  local other, _, step = command:differences(pretrained, opt.saved, of_tuning(opt))
  local kept = not other and step > 0
    and (" with --pretrained %s, which keeps the pretraining"):format(opt.out) or nil
  command:protect(opt.dir .. "/result.json", opt.saved, kept)
  if not opt.resume then return end
  command:protect(opt.dir .. "/tune.safetensors", opt.saved, kept)
  if other then
    command:fail("%s has other options: %s; take another --out, or --force", pretrained, other)
  end
end

-- The folder of the run below --pretrained whose pretraining is finished and has these options.
local function pretrained_by(opt)
  local name, why = ("%s-%s-*-%d"):format(opt.split, opt.cell, opt.seed), nil
  for _, path in ipairs(command.list(opt.pretrained, {name .. "/pretrain.safetensors"})) do
    local text, _, step = command:differences(path, opt.saved, of_tuning(opt))
    if not text and step == opt.iterations then return path:match "^(.*)/" end
    why = ("%s %s"):format(path, text and "has other options: " .. text
      or ("is at step %d of %d"):format(step, opt.iterations))
  end
  return command:fail("--pretrained: %s", why or ("there is no %s/%s/pretrain.safetensors"):format(
    opt.pretrained, name))
end

-- That files are absent is said before anything else.
local function check_data(opt)
  for _, split in ipairs(opt.data and opt.splits or {}) do load_pairs(opt, split) end
end

local function all_runs(opt)
  local list = {}
  for _, split in ipairs(opt.splits) do
    for _, cell in ipairs(opt.cells) do
      for _, seed in ipairs(opt.seeds) do list[#list + 1] = single(opt, split, cell, seed) end
    end
  end
  return list
end

local function main()
  local opt = options.parse(declared)
  shorten(opt)
  if opt.report then
    return print_table(command:results(opt.out, {"split", "cell", "group_order"}), opt.markdown)
  end
  equi.threads(opt.threads)
  check_data(opt)
  local list, done = all_runs(opt), {}
  for _, one in ipairs(list) do
    if not opt.force then protect(one) end
    one.source = opt.pretrained ~= "" and pretrained_by(one) or nil
  end
  for i, one in ipairs(list) do
    done[i] = run(one)
    io.stderr:write("wrote ", one.dir, "/result.json, logs and curves.png\n")
  end
  print_table(done)
end

command:run(main)
