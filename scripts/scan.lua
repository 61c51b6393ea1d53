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
local json = require "lua_equi.json"
local options = require "lua_equi.options"
local results = require "lua_equi.results"
local sampler = require "lua_equi.data.sampler"
local scan = require "lua_equi.data.scan"
local sequences = require "lua_equi.data.sequences"
local checkpoint = require "lua_equi.checkpoint"
local train = require "lua_equi.train"

-- The groups of the papers; `auto` is the one Basu et al. use for the split.
local groups = {
  verbs2 = scan.symmetries.jump_run,
  direction = scan.symmetries.left_right,
  cycle4 = scan.symmetries.verb_cycle,
  product = scan.symmetries.verb_cycle_left_right,
  full = scan.symmetries.full,
}
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
  {"force", false, saved = false, doc = "go on, or overwrite results, with other options too"},
  {"report", false, saved = false, doc = "only print the table of the results in --out"},
  {"markdown", false, saved = false, doc = "print that table as Markdown"},
  {"threads", 1, min = 1, saved = false, doc = "threads; results do not depend on it"},
  {"demo", false, doc = "the main experiment in minutes: batch 32, fewer steps"},
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

local function fail(...)
  os.exit(io.stderr:write("scan.lua: ", string.format(...), "\n") and 2)
end

local function read_official(folder, split, part)
  local path = folder .. "/" .. official[split]:format(part)
  local list, message = scan.read(path)
  if not list then list, message = scan.read(path .. ".gz") end
  return list or fail("%s", message)
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

-- ---- the group ----

-- The symmetry as actions on command ids, answer ids and answer log-probabilities.
local function actions(opt, data)
  local symmetry = groups[opt.group]
  local perms_in, perms_out, joint = {}, {}, {}
  for i, g in ipairs(symmetry.generators) do
    perms_in[i] = data.words_in:permutation(g.input)
    perms_out[i] = data.words_out:permutation(g.output)
    joint[i] = table.move(perms_in[i], 1, #perms_in[i], 1, {})
    for _, id in ipairs(perms_out[i]) do joint[i][#joint[i] + 1] = #data.words_in + id end
  end
  local G = equi.group.from_permutations(joint)
  local function act(words, perms, what)
    return equi.action.vocabulary(G, {size = #words, generators = perms, what = what})
  end
  return {
    group = G,
    input = act(data.words_in, perms_in, "ids"),
    target = act(data.words_out, perms_out, "ids"),
    logits = act(data.words_out, perms_out, "logits"),
  }
end

-- Mean log-probability of the favoured tokens: the score of equizero, of sequences [N, L, V] or one
-- step of them, [N, V].
local function confidence(logp)
  local best = logp:max(-1)
  return best.ndim == 2 and best:mean(-1) or best
end

-- The weight network of lambda-equitune: one score per command, the mean over its words.
local word_weights = equi.nn.class("word_weights", {
  new = function(self, words)
    self.embedding = equi.nn.embedding(words, 100)
    self.score = equi.nn.linear(100, 1)
  end,
  forward = function(self, x, _, lengths)
    local scores = self.score(self.embedding(x)):reshape(x:size(1), -1)
    if not lengths then return scores:mean(2) end
    local places = equi.arange(x:size(2)):reshape(1, -1):expand(x:size(1), -1)
    local padding = places:gt(lengths:reshape(-1, 1))
    return scores:masked_fill(padding, 0):sum(2) / lengths:to "f32"
  end,
})

local function combination(opt, data)
  if opt.combine == "best" then return equi.combine.best(confidence) end
  if opt.combine == "mean" then return equi.combine.mean end
  return equi.combine.weighted(word_weights(#data.words_in))
end

local function equituned(opt, model, act, data)
  return equi.equitune(model, {
    input = {act.input, act.target, false}, output = act.logits, combine = combination(opt, data),
    start = {act.input, false}, token = act.target,
  })
end

-- ---- decoding ----

-- Whole answers [B, steps] of every definition.
local decoders = {}

function decoders.plain(model, x, lengths, steps)
  local _, tokens = model(x, nil, lengths, {steps = steps, stop = true})
  return tokens
end

-- As the authors: every branch decodes for itself, then log-probabilities are combined.
function decoders.independent(model, x, lengths, steps)
  return model(x, nil, lengths, {steps = steps, stop = true}):argmax(-1)
end

-- All branches share the token chosen from the combined log-probabilities.
function decoders.synchronised(model, x, lengths, steps)
  local state = model:start(x, lengths)
  local token, out = equi.full({x:size(1)}, 1, {dtype = "i64"}), {}
  local ended = equi.zeros(x:size(1), {dtype = "bool"})
  for t = 1, steps do
    local logp
    logp, state = model:step(state, token)
    token = logp:argmax(-1)
    out[t] = token
    ended = ended:logical_or(token:eq(2))
    if ended:all():item() then break end
  end
  return equi.stack(out, 2)
end

-- Exact matches of whole answers, EOS included, in percent.
local function accuracy(model, decoder, batches, limit)
  return equi.no_grad(function()
    local right, n = 0, 0
    for _, b in ipairs(batches) do
      local tokens = decoders[decoder](model, b.x, b.lengths, limit)
      right = right + sequences.exact(tokens, b.y)
      n = n + b.x:size(1)
    end
    return 100 * right / n
  end)
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
  equi.nn.train(fields.model)
  local result = train.run {
    steps = fields.steps, every = fields.every, best = "validation", resume = opt.resume,
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

local function plot_curves(dir, stages)
  local plot = require "lua_equi.plot"
  local figure = plot.new {title = "SCAN: validation while training", xlabel = "step",
                           ylabel = "exact match, %", ylim = {0, 100}}
  for _, s in ipairs(stages) do
    if #s.steps > 0 then figure:line(s.steps, s.validation, {label = s.label}) end
  end
  assert(figure:save(dir .. "/curves.png"))
end

local function curve(label, history, offset)
  local c = {label = label, steps = {}, validation = history and history.values}
  for i, step in ipairs(history and history.steps or {}) do c.steps[i] = offset + step end
  return c
end

local function build(opt, data, act)
  local sizes = {input_words = #data.words_in, output_words = #data.words_out, cell = opt.cell,
                 hidden = opt.hidden, embedding = opt.embedding, dropout = opt.dropout}
  if not opt.baseline then return equi.models.seq2seq(sizes) end
  sizes.group, sizes.input, sizes.output = act.group, act.input, act.target
  return equi.models.g_seq2seq(sizes)
end

local function tune(opt, result, data, act, model, dir)
  local tuned = equituned(opt, model, act, data)
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
    dir = dir, lr = opt.tune_lr, decay = opt.weight_decay, steps = opt.tune_iterations,
    every = opt.tune_every, decoder = opt.decode,
    label = ("%s %s seed %d, equi-tuning"):format(opt.split, opt.cell, opt.seed),
  })
  report("equi-tuned, fine-tuned", seconds)
  return history
end

local function run(opt)
  local dir = opt.dir
  local made = os.execute(("mkdir -p '%s' 2>/dev/null"):format(dir:gsub("'", "'\\''")))
  if not made then fail("cannot make the folder %s", dir) end
  equi.seed(opt.seed)
  local data = load_data(opt, opt.split, opt.seed)
  local act = actions(opt, data)
  local model = build(opt, data, act)
  local result = {options = opt.saved, split = opt.split, cell = opt.cell, seed = opt.seed,
                  parameters = equi.nn.count(model), group_order = act.group.order, rows = {}}
  local history, seconds = run_stage(opt, "pretrain", {
    salt = 0, model = model, base = model, data = data, dir = dir, lr = opt.lr, decay = 0,
    steps = opt.iterations, every = opt.every, decoder = "plain",
    label = ("%s %s seed %d, pretraining"):format(opt.split, opt.cell, opt.seed),
  })
  local name = opt.baseline and "G-equivariant" or "plain"
  local row = measure(result, name, model, "plain", data, seconds)
  row.equivariance = equivariance(model, act, data)
  local tuning = not opt.baseline and tune(opt, result, data, act, model, dir) or nil
  local text = json.encode(result, {sort = true, indent = 2})
  assert(equi.write_file_atomic(dir .. "/result.json", {text}))
  if opt.iterations > 0 then
    plot_curves(dir, {curve("pretraining", history, 0),
                      curve("equi-tuning", tuning, opt.iterations)})
  end
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

local function shorten(opt)
  if opt.out == "" then
    opt.out = opt.tiny and "out/tiny" or opt.demo and "out/demo" or "out/scan"
  end
  if opt.tiny then
    opt.iterations, opt.every, opt.tune_iterations, opt.tune_every = 20, 10, 10, 5
    opt.hidden, opt.embedding = 8, 8
  elseif opt.demo then
    opt.batch, opt.lr, opt.iterations, opt.every = 32, 2e-3, 6000, 1000
    opt.tune_iterations, opt.tune_every, opt.tune_lr = 1500, 500, 3e-4
  end
end

-- The options of one run, with what "auto" and 0 stand for; `saved` is what decides its result.
local function single(opt, split, cell, seed)
  local saved = options.describe(opt)
  saved.cells, saved.splits, saved.seeds = nil, nil, nil
  saved.split, saved.cell, saved.seed = split, cell, seed
  if opt.group == "auto" then saved.group = turning[split] and "direction" or "verbs2" end
  if opt.tune_lr == 0 then saved.tune_lr = split == "around_right" and 5e-5 or 2e-5 end
  local one = {saved = saved, resume = opt.resume}
  for k, v in pairs(saved) do one[k] = v end
  one.dir = ("%s/%s-%s-%s-%s-%d"):format(opt.out, split, cell, saved.group,
                                         opt.baseline and "baseline" or opt.combine, seed)
  return one
end

-- Nothing that other options made is overwritten or gone on with, unless asked for.
local function protect(opt)
  local stages = opt.resume and {"/tune.safetensors", "/pretrain.safetensors"} or {}
  for _, file in ipairs {"/result.json", table.unpack(stages)} do
    local path = opt.dir .. file
    local text, message = results.conflict(path, opt.saved)
    if message then fail("%s", message) end
    if text then fail("%s has other options: %s; take another --out, or --force", path, text) end
  end
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
    local list, message = results.read(opt.out)
    return print_table(list or fail("%s", message), opt.markdown)
  end
  equi.threads(opt.threads)
  local list, done = all_runs(opt), {}
  if not opt.force then
    for _, one in ipairs(list) do protect(one) end
  end
  for i, one in ipairs(list) do
    done[i] = run(one)
    io.stderr:write("wrote ", one.dir, "/result.json, logs and curves.png\n")
  end
  print_table(done)
end

main()
