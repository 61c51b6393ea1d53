#!/usr/bin/env lua5.4
--- Equi-tuning of image classifiers: train, evaluate, fine-tune, and compare on turned images.
--
-- The experiment of Basu et al. (AAAI 2023; weights and choices: NeurIPS 2023): see doc/images.md.
-- One run is one method and seed; several are done one after the other. Each leaves its result.json
-- in a folder of its own, such as cifar10-resnet20-c4-equi_tuned-mean-0, from which the table is
-- made (also with --report). Parts: images/networks.lua, images/data.lua, images/stages.lua.
local here = arg[0]:match "^(.*)scripts/images%.lua$" or "./"
package.path = here .. "?.lua;" .. here .. "?/init.lua;" .. here .. "scripts/?.lua;" .. package.path
package.cpath = here .. "?.so;" .. package.cpath

local equi = require "lua_equi"
local command = require "scripts.command".new "images.lua"
local data = require "images.data"
local json = require "lua_equi.json"
local networks = require "images.networks"
local options = require "lua_equi.options"
local results = require "lua_equi.results"
local stages = require "images.stages"

local METHODS = {"plain", "plain_tuned", "plain_augmented", "equi", "equi_tuned"}

local declared = options.declare {
  name = "images.lua",
  doc = "Trains image classifiers, equi-tunes pretrained ones, and compares them on test images "
    .. "that are upright, turned, and moved at random. Every accuracy in the table is of the test "
    .. "images, except validation, whose images are split off the training images. 0 and auto "
    .. "stand for the task's defaults: those of the paper for tune (epochs 10, batch 8, lr 3e-4; "
    .. "it also used batch 4, lr 1e-3), those of He et al. for scratch (epochs 180, batch 128, lr "
    .. "0.1, weight decay 1e-4, tenths at 1/2 and 3/4, random crops and flips).",
  "What to run",
  {"task", "tune", choices = {"tune", "evaluate", "scratch"},
   doc = "tune: all --methods; evaluate: without training; scratch: a network from nothing"},
  {"backbone", "resnet20", choices = networks.names, doc = "architecture"},
  {"weights", "", doc = "file of pretrained weights, or a shipped one's name, such as cifar10"},
  {"data", "cifar10", doc = "cifar10, cifar100, fashion_mnist, hymenoptera, toy, or "
    .. "folder:PATH with train/CLASS and val/CLASS (or test/CLASS) below it"},
  {"pixels", "torch", choices = {"torch", "caffe"}, doc = "what the weights want: RGB from 0 to 1 "
    .. "with the network's mean and std, or Caffe's BGR from 0 to 255 minus a mean"},
  {"resize", 0, min = 0, doc = "shorter side of an image; 0: the network's"},
  {"crop", 0, min = 0, doc = "side of the square cut out of its middle; 0: the network's"},
  {"data_dir", "", saved = false, doc = "folder of the data set's files; default: where "
    .. "scripts/get_data.lua puts them"},
  {"group", "c4", choices = networks.group_names, doc = "by which images are moved: quarter turns; "
    .. "these and flips; half turns; flips in one direction; in both"},
  {"combine", {"mean"}, choices = {"mean", "best", "weighted", "canonical"},
   doc = "how branches become one: equitune, equizero, lambda-equitune, one turned pass"},
  {"head", "logits", choices = {"logits", "features"},
   doc = "what is equituned: the whole network, or its features with a linear layer after them"},
  {"methods", METHODS, choices = METHODS, doc = "what is compared"},
  {"seeds", {0}, doc = "one run each"},
  "Training",
  {"learn", "all", choices = {"all", "head"}, doc = "all weights, or the last layer on a frozen "
    .. "backbone (feature extraction)"},
  {"epochs", 0.0, min = 0, doc = "passes over the training images"},
  {"batch", 0, min = 0, doc = "images a step"},
  {"lr", 0.0, min = 0, doc = "learning rate of SGD"},
  {"momentum", 0.9, min = 0, below = 1, doc = "of SGD"},
  {"weight_decay", -1.0, min = -1, doc = "of SGD; -1: the task's"},
  {"schedule", "auto", choices = {"auto", "constant", "steps", "cosine"}, doc = "learning rate"},
  {"augment", {"auto"}, choices = {"auto", "none", "crop", "flip", "rot90"},
   doc = "random moves of training images, in every method"},
  {"equal_compute", true, doc = "that plain networks train |G| times as many epochs, and so cost "
    .. "as many passes of the backbone as equi-tuned ones, whose every step runs the orbit"},
  {"frozen_norm", false, doc = "batch norm keeps its pretrained statistics"},
  {"holdout", 0.1, above = 0, below = 1, doc = "part of the training images kept for validation"},
  {"subset", 0, min = 0, doc = "train on so many images only; 0: all"},
  {"test_subset", 0, min = 0, doc = "test on so many images only, drawn once; 0: all"},
  {"orient_epochs", 5.0, above = 0, doc = "of the small network of canonical, which finds where "
    .. "up is"},
  "Running",
  {"rows", 50, min = 1, saved = false, doc = "images a batch when evaluating"},
  {"max_memory", 0, min = 0, saved = false, doc = "MB that tensors may take: orbits go in chunks, "
    .. "batches in parts; 0: no limit"},
  {"out", "", saved = false, doc = "folder for results; default: out/images, out/demo, out/tiny"},
  {"resume", false, saved = false, doc = "skip finished runs, go on from the last checkpoint"},
  {"force", false, saved = false, doc = "overwrite results of other options; with --resume, runs "
    .. "whose options are others begin anew"},
  {"ship", "", saved = false, doc = "with scratch: put the weights beside the models under this "
    .. "name, with the recipe and the log"},
  {"report", false, saved = false, doc = "only print the table of the results in --out"},
  {"markdown", false, saved = false, doc = "print that table as Markdown"},
  {"threads", 0, min = 0, saved = false, doc = "results do not depend on it; 0: all cores, or 1 "
    .. "with tiny"},
  {"demo", false, doc = "the shipped network, or that of --weights, equi-tuned without training, "
    .. "on CIFAR-10 if it is there, else on a drawn picture; options that are given win"},
  {"tiny", false, doc = "a run of seconds on generated pictures, to see that everything works; "
    .. "without --weights a network is trained on them first"},
}

-- ---- options ----

local usual = {
  tune = {epochs = 10, batch = 8, lr = 3e-4, weight_decay = 0, schedule = "constant",
          augment = {"none"}},
  scratch = {epochs = 180, batch = 128, lr = 0.1, weight_decay = 1e-4, schedule = "steps",
             augment = {"crop", "flip"}},
}
usual.evaluate = usual.tune

-- What stands for a default becomes it.
local function complete(opt)
  local u = usual[opt.task]
  for _, name in ipairs {"epochs", "batch", "lr"} do
    if opt[name] == 0 then opt[name] = u[name] end
  end
  if opt.weight_decay < 0 then opt.weight_decay = u.weight_decay end
  if opt.schedule == "auto" then opt.schedule = u.schedule end
  if opt.augment[1] == "auto" then opt.augment = u.augment end
  if opt.out == "" then
    opt.out = opt.tiny and "out/tiny" or opt.demo and "out/demo" or "out/images"
  end
end

-- What --tiny and --demo make shorter, unless the command line says otherwise.
local function shorten(opt)
  if opt.tiny and opt.demo then command:fail("--tiny and --demo are two sizes; give one") end
  if opt.tiny then
    options.preset(opt, {epochs = 1, lr = 0.02, subset = 48, test_subset = 40, threads = 1,
      data = "toy", rows = 30})
  elseif opt.demo then
    options.preset(opt, {task = "evaluate", weights = "cifar10", backbone = "resnet20",
      data = "cifar10", combine = {"mean", "best"}, test_subset = 1000})
  end
end

local trains = {plain_tuned = true, plain_augmented = true, equi_tuned = true, scratch = true}
local for_equi = {"combine", "head"}
local for_training = {"learn", "epochs", "batch", "lr", "momentum", "weight_decay", "schedule",
  "augment", "frozen_norm", "holdout", "subset", "equal_compute"}

-- The options of one run; `saved` is what decides its result.
local function single(opt, method, combine, seed)
  local saved = options.describe(opt)
  saved.methods, saved.seeds, saved.task = nil, nil, nil
  for _, name in ipairs {"epochs", "batch", "lr", "weight_decay", "schedule", "augment"} do
    saved[name] = opt[name]
  end
  saved.method, saved.combine, saved.seed = method, combine, seed
  if not combine then
    for _, name in ipairs(for_equi) do saved[name] = nil end
  end
  if combine ~= "canonical" then saved.orient_epochs = nil end
  if not trains[method] then
    for _, name in ipairs(for_training) do
      if name ~= "holdout" and name ~= "subset" or combine ~= "canonical" then saved[name] = nil end
    end
  end
  local one = {saved = saved, resume = opt.resume, rows = opt.rows, data_dir = opt.data_dir,
               max_memory = opt.max_memory, classes = nil}
  for name, value in pairs(saved) do one[name] = value end
  local parts = {method, combine, one.head == "features" and "features" or nil}
  if one.learn == "head" then parts[#parts + 1] = "last_layer" end
  one.label = table.concat(parts, ", ")
  one.dir = ("%s/%s-%s-%s-%s-%d"):format(opt.out, opt.data:gsub("[^%w_]+", "_"), opt.backbone,
    opt.group, table.concat(parts, "-"), seed)
  return one
end

local function methods_of(opt)
  if opt.task == "scratch" then return {"scratch"} end
  if opt.task == "tune" then return opt.methods end
  local list = {}
  for _, m in ipairs(opt.methods) do
    if not trains[m] then list[#list + 1] = m end
  end
  return list
end

-- A network to start from, where none is at hand: trained on the images of --tiny first.
local function pretraining(opt)
  local first = setmetatable({}, getmetatable(opt))
  for name, value in pairs(opt) do first[name] = value end
  first.task, first.epochs, first.augment = "scratch", 6, {"none"}
  first.subset = opt.data == "toy" and 0 or 160 -- as many as there are toys
  local one = single(first, "scratch", nil, opt.seeds[1])
  one.first = true
  return one
end

-- Nothing is drawn at random in an untrained network that is only averaged: one seed is enough.
local function all_runs(opt)
  local list = {}
  if opt.tiny and opt.task ~= "scratch" and opt.weights == "" then
    list[1] = pretraining(opt)
    opt.weights = list[1].dir .. "/weights.safetensors"
  end
  for _, method in ipairs(methods_of(opt)) do
    for _, combine in ipairs(method:find "^equi" and opt.combine or {false}) do
      local drawn = trains[method] or combine == "weighted" or combine == "canonical"
      for i, seed in ipairs(opt.seeds) do
        if drawn or i == 1 then list[#list + 1] = single(opt, method, combine or nil, seed) end
      end
    end
  end
  return list
end

-- Nothing that other options made is overwritten or gone on with, unless asked for.
local function protect(one)
  for _, file in ipairs {"/result.json", one.resume and "/train.safetensors" or nil} do
    command:protect(one.dir .. file, one.saved)
  end
end

-- Whether a stage goes on with its checkpoint. More epochs than it was made for continue it, where
-- the learning rate does not depend on how many there are.
local function resumes(one, file)
  command.checkpoint = one.dir .. file
  return one.resume and command:goes_on(command.checkpoint, one.saved,
    {longer = one.schedule == "constant" and "epochs" or nil, unit = 1})
end

-- ---- columns of tables ----

local columns = {
  {field = "upright", format = "%.2f"}, {field = "90", format = "%.2f"},
  {field = "180", format = "%.2f"}, {field = "270", format = "%.2f"},
  {field = "hflip", format = "%.2f"}, {field = "vflip", format = "%.2f"},
  {field = "transpose", format = "%.2f"}, {field = "antitranspose", format = "%.2f"},
  {field = "random", format = "%.2f"},
  {field = "gap", format = "%.0e", title = "logits' gap", worst = true},
  {field = "validation", format = "%.2f"},
  {field = "epochs", format = "%.4g", plain = true},
  {field = "seconds", format = "%.0f", plain = true},
  {field = "train_rate", format = "%.0f", title = "images/s, training", plain = true},
  {field = "test_rate", format = "%.0f", title = "images/s, test", plain = true},
}

-- Columns that no row fills are left out.
local function used_columns(list)
  local used = {}
  for _, c in ipairs(columns) do
    local found = false
    for _, r in ipairs(list) do found = found or r.rows[1][c.field] ~= nil end
    if found then used[#used + 1] = c end
  end
  return used
end

-- ---- one run ----

-- Images that fit into memory at a time: with gradients while training, and elements of an orbit.
local function fit_memory(one, network, learns)
  if one.max_memory == 0 then return nil end
  local side, limit = network.preprocessing.crop, one.max_memory * 1e6
  local order = networks.groups[one.group].group.order
  local function forward(n) return network(equi.zeros(n, 3, side, side)) end
  local seen = equi.nn.evaluating(network, function()
    return equi.train.rows_within(limit, function(n) equi.no_grad(forward, n) end)
  end)
  local taught = learns and equi.nn.evaluating(network, function()
    return equi.train.rows_within(limit, function(n) forward(n):sum():backward() end)
  end)
  equi.nn.zero_grad(network)
  one.rows = math.max(1, math.min(one.rows, one.combine and seen // order or seen))
  if taught then
    one.train_rows = math.max(1, one.combine and taught // order or taught)
  end
  return one.combine and seen < order and seen or nil
end

-- The model of a run: plain or equituned.
local function make_model(one, set, learns)
  one.size = set.size
  local network, fresh = networks.build(one.backbone, #set.classes, one)
  if fresh and not learns then return nil end
  local chunk = fit_memory(one, network, learns)
  if not one.combine then
    return network, network, {head = network:last_layer()}
  end
  local model, parts = networks.equituned(network, {group = one.group, combine = one.combine,
    head = one.head, chunk = chunk})
  return model, network, parts
end

-- What learns: everything, or the last layer and the network of weights.
local function set_learning(one, model, network, parts)
  if one.learn == "head" then
    equi.nn.freeze(network)
    equi.nn.unfreeze(parts.head)
  end
  local list = equi.nn.parameters(model)
  local heads = {parts.head}
  if parts.net then heads = {parts.head, parts.net.fc1, parts.net.fc2, parts.net.fc3,
                             parts.net.dropout} end
  return list, heads
end

local function teach(one, model, network, parts, set)
  local epochs = one.epochs
  if one.equal_compute and (one.method == "plain_tuned" or one.method == "plain_augmented") then
    epochs = epochs * networks.groups[one.group].group.order
  end
  local learning, heads = set_learning(one, model, network, parts)
  return stages.train {
    model = model, learning = learning, learn = one.learn, head = heads, train = set.train,
    validation = set.validation, epochs = epochs, batch = one.batch, lr = one.lr,
    momentum = one.momentum, weight_decay = one.weight_decay, schedule = one.schedule,
    seed = one.seed, augment = one.augment, frozen_norm = one.frozen_norm,
    moves = one.method == "plain_augmented" and networks.action(one.group) or nil,
    group = one.method ~= "scratch" and one.group or nil, rows = one.train_rows,
    evaluated_rows = one.rows, dir = one.dir, resume = resumes(one, "/train.safetensors"),
    saved = one.saved,
    label = ("%s seed %d"):format(one.label, one.seed),
  }
end

local function row_of(one, report, trained)
  local row = {method = one.label, group = one.group, random = report.random, gap = report.gap,
    validation = trained and trained.best, epochs = trained and trained.epochs,
    seconds = trained and trained.seconds, train_rate = trained and trained.rate,
    test_rate = report.rate, test_images = report.count, loss = report.loss}
  for _, m in ipairs(report.moves) do row[m.name] = m.accuracy end
  return row
end

-- The weights of the network inside, as a file that can be given to --weights, and the result.
local function write_result(one, network, result)
  if trains[one.method] then
    if one.pixels == "caffe" then networks.exchange_colours(network) end
    local recipe = json.encode(one.saved, {sort = true})
    local ok, message = equi.safetensors.write(one.dir .. "/weights.safetensors",
      network:state_dict(), {recipe = recipe, result = json.encode(result.rows[1], {sort = true})})
    if not ok then command:fail("%s", message) end
  end
  local text = json.encode(result, {sort = true, indent = 2})
  local ok, message = equi.write_file_atomic(one.dir .. "/result.json", {text})
  if not ok then command:fail("%s", message) end
end

-- Weights that come with the models, with how they were made and what they do.
local function ship(one, name)
  local function read(path)
    local f = assert(io.open(path, "rb"))
    local text = f:read "a"
    f:close()
    return text
  end
  local result = assert(json.read(one.dir .. "/result.json"))
  local target = equi.models.backbone.weights_path(one.backbone, name)
  os.execute(("mkdir -p '%s'"):format(target:match "^(.*)/"))
  local file = target:match "[^/]*$"
  local lines = {"# " .. file, "", ("%s for %s, trained by `scripts/images.lua --task scratch` "
    .. "with these options:"):format(one.backbone, one.data), "", "```json",
    json.encode(one.saved, {sort = true, indent = 2}), "```", "",
    ("Images: %d for training, %d for validation, %d for the test. Accuracy in percent:"):format(
      result.images.train, result.images.validation, result.images.test), "",
    results.table({result}, {"method"}, used_columns {result}, {markdown = true}), "",
    "The log, one line an epoch:", "", "```", (read(one.dir .. "/train.csv"):gsub("%s+$", "")),
    "```", ""}
  for path, text in pairs {[target] = read(one.dir .. "/weights.safetensors"),
                           [target:gsub("safetensors$", "md")] = table.concat(lines, "\n")} do
    local ok, message = equi.write_file_atomic(path, {text})
    if not ok then command:fail("%s", message) end
  end
  io.stderr:write("wrote ", target, " and its description\n")
end

-- Reads a finished result when going on, else runs. Nil for a network that knows nothing yet.
local function run(one)
  local finished = one.resume and command.finished(one.dir .. "/result.json", one.saved)
  if finished then return finished end
  one.is_new = true
  equi.seed(one.seed)
  local set = command:try(data.open, one)
  local model, network, parts = command:try(make_model, one, set, trains[one.method])
  if not model then
    io.stderr:write(one.label, ": left out, the last layer is new and has learned nothing\n")
    return nil
  end
  command:make_folder(one.dir)
  data.prepare(set, network.preprocessing)
  if parts.pick then
    stages.orient(parts.pick, {train = set.train, batch = 64, epochs = one.orient_epochs,
      seed = one.seed, dir = one.dir, saved = one.saved,
      resume = resumes(one, "/orientation.safetensors"),
      label = one.label .. ", orientation"})
  end
  local trained = trains[one.method] and teach(one, model, network, parts, set) or nil
  local report = command:try(stages.measure, model, set.test, {group = one.group, rows = one.rows,
    label = one.label .. ", test"})
  local result = {options = one.saved, data = one.data, backbone = one.backbone, seed = one.seed,
    parameters = equi.nn.count(network), moves = report.moves, confusion = report.confusion,
    classes = set.classes, images = set.counts, rows = {row_of(one, report, trained)}}
  write_result(one, network, result)
  stages.pictures {dir = one.dir, title = ("%s, %s"):format(one.backbone, one.label),
                   classes = set.classes, report = report, trained = trained}
  io.stderr:write("wrote ", one.dir, "/result.json\n")
  return result
end

-- ---- tables ----

local function print_table(list, markdown)
  local rank = {}
  for i, m in ipairs {"scratch", table.unpack(METHODS)} do rank[m] = i end
  for i, r in ipairs(list) do r.place = i end
  table.sort(list, function(a, b)
    local x, y = a.data .. a.backbone .. a.options.group, b.data .. b.backbone .. b.options.group
    if x ~= y then return x < y end
    local m, n = rank[a.options.method] or 0, rank[b.options.method] or 0
    if m ~= n then return m < n end
    return a.place < b.place
  end)
  print(results.table(list, {"data", "backbone", "group", "method"}, used_columns(list),
    {markdown = markdown}))
end

-- ---- the command ----

local function main()
  local opt = options.parse(declared)
  shorten(opt)
  complete(opt)
  if opt.report then
    return print_table(command:results(opt.out, {"backbone", "data", "moves"}), opt.markdown)
  end
  if opt.threads > 0 then equi.threads(opt.threads) end
  for _, kind in ipairs(opt.head == "features" and opt.combine or {}) do
    if kind == "best" then
      command:fail("--head features goes without --combine best, which chooses by probabilities")
    end
  end
  if opt.ship ~= "" and (opt.task ~= "scratch" or opt.ship:find "[^%w_]") then
    command:fail("--ship goes with --task scratch, and a name of letters, digits and _; got %s",
      opt.ship)
  end
  if opt.demo and opt.data == "cifar10" and opt.data_dir == "" and not data.find(opt) then
    return command:try(require "images.demo", opt)
  end
  local list, done = all_runs(opt), {}
  if not opt.force then
    for _, one in ipairs(list) do protect(one) end
  end
  for _, one in ipairs(list) do
    done[#done + 1] = run(one)
    -- what starts from a network that was trained just now was not computed from it
    if one.first and one.is_new then
      for _, other in ipairs(list) do other.resume = false end
    end
  end
  if opt.ship ~= "" then ship(list[1], opt.ship) end
  if #done > 0 then print_table(done) end
end

command:run(main)
