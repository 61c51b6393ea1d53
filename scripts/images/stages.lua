--- What a run does: training stages with validation and resuming, and the measurement after them.
local equi = require "lua_equi"
local log = require "lua_equi.log"
local networks = require "images.networks"
local results = require "lua_equi.results"
local train = require "lua_equi.train"

local stages = {}

-- ---- evaluation ----

-- Batches with a progress line: how many, the rate, the time left.
local function shown(begin, count, label)
  return function()
    local line, next_one, i = log.progress(count, {label = label}), begin(), 0
    return function()
      local x, y = next_one()
      if not x then return line:done() end
      line:update(i)
      i = i + 1
      return x, y
    end
  end
end

--- Accuracies of a model on a part of the data under every element of the group.
---@param model any
---@param part table with batches(size)
---@param o table {group =, rows =, label =}
---@return table report of equi.classify.evaluate
function stages.measure(model, part, o)
  local begin, count = part:batches(o.rows)
  local report = equi.classify.evaluate(networks.for_batches(model),
    shown(begin, count, o.label), {moves = networks.action(o.group)})
  local names = networks.groups[o.group].moves
  for _, m in ipairs(report.moves) do m.name = names[m.name] or m.name end
  return report
end

-- Batches of which each image is moved by an element drawn for it, the same one every time.
local function turned(begin, action)
  local elements = action.group:elements()
  return function()
    local next_one, draw = begin(), equi.data.random.new(0)
    return function()
      local x, y = next_one()
      if not x then return nil end
      local rows = {}
      for b = 1, x:size(1) do rows[b] = action(elements[draw:integer(#elements)], x[{{b, b}}]) end
      return equi.cat(rows, 1), y
    end
  end
end

-- ---- optimizer and schedule ----

local schedules = {
  constant = function() return nil end,
  steps = function(opt, total)
    return equi.optim.multi_step(opt, {total // 2, total * 3 // 4})
  end,
  cosine = function(opt, total) return equi.optim.cosine(opt, total) end,
}

local function learning(list)
  local out = {}
  for _, p in ipairs(list) do
    if p.requires_grad then out[#out + 1] = p end
  end
  return out
end

-- ---- one step ----

-- The loss of a batch, sent back in parts of `rows` images: their gradients add up to the batch's.
local function descend(model, x, y, rows)
  local n, total = x:size(1), 0
  for from = 1, n, rows do
    local to = math.min(n, from + rows - 1)
    local whole = from == 1 and to == n
    local part = whole and x or x[{{from, to}}]
    local loss = equi.cross_entropy(model(part), whole and y or y[{{from, to}}])
    if not whole then loss = loss * ((to - from + 1) / n) end
    loss:backward()
    total = total + loss:item()
  end
  return total
end

--- Trains a model and leaves the best one by validation in it.
---@param o table model, learning (list of parameters), learn = "all" or "head", head = modules that
--- learn with a frozen backbone; train, validation = parts of the data; epochs, batch, rows (of a
--- batch at a time), evaluated_rows, lr, momentum, weight_decay, schedule, seed, augment, moves
--- (action: random moves), group (of validation; nil: upright), dir, label, resume, saved,
--- frozen_norm
---@return table {seconds, rate, history, best, epochs}
function stages.train(o)
  local stream = o.train:stream {batch = o.batch, seed = o.seed, augment = o.augment,
                                 moves = o.moves}
  local per_epoch = stream.per_epoch
  local steps = math.max(1, math.ceil(o.epochs * per_epoch))
  local opt = equi.optim.sgd(learning(o.learning), {lr = o.lr, momentum = o.momentum,
    weight_decay = o.weight_decay})
  local schedule = schedules[o.schedule](opt, steps)
  local validation = o.validation:batches(o.evaluated_rows)
  if o.group then validation = turned(validation, networks.action(o.group)) end
  stages.mode(o)
  local seen = networks.for_batches(o.model)
  local path = o.dir .. "/train"
  local result = train.run {
    steps = steps, every = math.min(steps, per_epoch), best = "validation", resume = o.resume,
    step = function()
      local x, y = stream:next()
      opt:zero_grad()
      local loss = descend(o.model, x, y, o.rows or stream.batch)
      opt:step()
      if schedule then schedule:step() end
      return loss
    end,
    evaluate = function()
      return {validation = equi.classify.accuracy(seen, validation)}
    end,
    model = o.model, optimizer = opt, schedules = schedule, sampler = stream.states,
    options = o.saved, checkpoint = path .. ".safetensors", log = path, progress = true,
    label = o.label,
  }
  equi.checkpoint.load(path .. ".best.safetensors", {model = o.model, rng = false})
  equi.nn.eval(o.model)
  return {seconds = result.seconds, rate = steps * stream.batch / math.max(result.seconds, 1e-9),
    best = result.best, epochs = steps / per_epoch,
    validation = results.history(path .. ".jsonl", "validation"),
    loss = results.history(path .. ".jsonl", "loss")}
end

--- Training mode for what learns: everything, or only what stands on a frozen backbone; with
--- frozen_norm batch norm keeps its statistics.
---@param o table {model =, learn =, head = list of modules, frozen_norm =}
function stages.mode(o)
  if o.learn == "head" then
    equi.nn.eval(o.model)
    for _, part in ipairs(o.head) do equi.nn.train(part) end
    return
  end
  equi.nn.train(o.model)
  if not o.frozen_norm then return end
  equi.nn.walk(o.model, function(kind, m)
    if kind == "module" and type(m) == "table" and rawget(m, "running_mean") then
      m.training = false
    end
  end)
end

--- Lets the energy of a canonicalization learn on upright images that they are upright.
---@param pick table equi.combine.canonical
---@param o table {train =, batch =, epochs =, seed =, dir =, label =, saved =, resume =}
function stages.orient(pick, o)
  local stream = o.train:stream {batch = o.batch, seed = o.seed}
  local steps = math.max(1, math.ceil(o.epochs * stream.per_epoch))
  local opt = equi.optim.adam(pick, {lr = 1e-3})
  equi.nn.train(pick)
  local path = o.dir .. "/orientation"
  train.run {
    steps = steps, every = math.max(1, steps // 4), resume = o.resume,
    step = function()
      local x = stream:next()
      opt:zero_grad()
      local loss = pick:loss(x)
      loss:backward()
      opt:step()
      return loss
    end,
    model = pick, optimizer = opt, sampler = stream.states, options = o.saved,
    checkpoint = path .. ".safetensors", log = path, progress = true, label = o.label,
  }
  equi.nn.freeze(equi.nn.eval(pick))
end

-- ---- pictures ----

local function save(figure, path)
  local done, message = figure:save(path)
  if not done then io.stderr:write("images.lua: ", message, "\n") end
end

--- Learning curves and the confusion matrix of one run, as PNG files in its folder.
---@param o table {dir =, title =, classes =, report =, trained = of stages.train, or nil}
function stages.pictures(o)
  local plot = require "lua_equi.plot"
  local many = #o.classes > 30 -- then cells are colours without numbers and names
  local matrix = plot.new {title = o.title .. ": randomly moved test images", width = 900,
                           height = 800, xlabel = "predicted", ylabel = "true"}
  matrix:heatmap(o.report.confusion, {rows = not many and o.classes or nil,
    cols = not many and o.classes or nil, values = not many})
  save(matrix, o.dir .. "/confusion.png")
  local t = o.trained
  if not t or #t.validation.steps == 0 then return end
  local loss = plot.new {xlabel = "step", ylabel = "training loss"}
  loss:line(t.loss.steps, t.loss.values, {label = "loss"})
  local accuracy = plot.new {xlabel = "step", ylabel = "validation accuracy, %"}
  accuracy:line(t.validation.steps, t.validation.values, {label = "validation"})
  save(plot.grid({{loss, accuracy}}, {title = o.title}), o.dir .. "/curves.png")
end

return stages
