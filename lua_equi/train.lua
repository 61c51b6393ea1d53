--- A small training loop: steps, evaluations, logs, the best checkpoint, early stop, resume.
--
-- The loop owns what goes around a step and nothing in it: `step` computes the loss, sends it back
-- and moves the weights. Evaluations do not touch the random stream, so how often one looks changes
-- nothing. Ctrl-C stops between two steps, after writing a checkpoint to resume from; a resumed run
-- equals one that was never stopped, bit for bit. About a microsecond a step is spent here.
-- Not a trainer class, and no loop over data: `step` draws its own examples (data/sampler.lua).
local arguments = require "lua_equi.arguments"
local checkpoint = require "lua_equi.checkpoint"
local core = require "lua_equi.core"
local log = require "lua_equi.log"
local module = require "lua_equi.nn.module"
local options = require "lua_equi.options"
local printed = require "lua_equi.printed"

log.clock, log.isatty = core.clock, core.is_terminal

local train = {}

local GIVEN = {
  steps = options.any(), step = options.any(), evaluate = options.any(), every = 1000,
  best = "", mode = "max", patience = 0,
  checkpoint = "", resume = false, log = "", progress = false, label = "", hooks = {},
  model = options.any(), optimizer = options.any(), schedules = options.any(),
  sampler = options.any(), options = options.any(),
}
local HOOKS = {before_step = options.any(), after_step = options.any(),
  after_evaluate = options.any()}
local SHOWN = 0.1 -- seconds between two updates of the progress line

-- ---- checkpoints ----

local function parts(run, extra)
  local o = run.o
  return {model = o.model, optimizer = o.optimizer, schedules = o.schedules, sampler = o.sampler,
    options = o.options, extra = extra}
end

-- path.ext -> path.best.ext
local function best_path(path)
  local stem, extension = path:match "^(.*)(%.[^./\\]*)$"
  return (stem or path) .. ".best" .. (extension or "")
end

local function save(run, path)
  if run.o.checkpoint == "" then return end
  local state = {step = run.step, sums = run.sums, count = run.count, best = run.best,
    best_step = run.best_step, waited = run.waited, evaluated = run.evaluated,
      metrics = run.metrics,
    seconds = run.seconds + core.clock() - run.began}
  local ok, problem = checkpoint.write(path, parts(run, {train = state}))
  -- a disk that is full now may have room at the next checkpoint; the last one is still whole
  if not ok then run.warn(("train.run: step %d: %s; the last checkpoint is kept"):format(run.step,
    problem)) end
end

local function exists(path)
  local f = io.open(path, "rb")
  return f ~= nil and f:close()
end

local function resume(run)
  local path = run.o.checkpoint
  if not run.o.resume or not exists(path) then return end
  local info = checkpoint.load(path, parts(run))
  local saved = info.extra and info.extra.train
  if not saved then error(path .. " is no checkpoint of train.run", 0) end
  for key, value in pairs(saved) do run[key] = value end
  run.differences = info.differences
end

-- ---- metrics ----

local function number_of(run, name, v)
  if type(v) ~= "number" then
    if not core.is_tensor(v) or v:numel() ~= 1 then
      error(("train.run: step must return numbers, %s of step %d is a %s"):format(name, run.step,
        type(v)), 0)
    end
    v = v:item()
  end
  if v ~= v or v == math.huge or v == -math.huge then
    local kept = run.o.checkpoint ~= "" and "; the last checkpoint is kept" or ""
    error(("train.run: %s is %s in step %d; lower the learning rate or clip gradients%s"):format(
      name, v ~= v and "nan" or v, run.step, kept), 0)
  end
  return v
end

local function add(run, result)
  local sums = run.sums
  run.count = run.count + 1
  if type(result) == "table" then
    for name, v in pairs(result) do sums[name] = (sums[name] or 0) + number_of(run, name, v) end
  elseif result ~= nil then
    sums.loss = (sums.loss or 0) + number_of(run, "loss", result)
  end
end

local function means(run)
  local row = {}
  for name, sum in pairs(run.sums) do row[name] = sum / run.count end
  return row
end

local function sorted_names(row)
  local names = {}
  for name in pairs(row) do
    if name ~= "step" then names[#names + 1] = name end
  end
  table.sort(names)
  table.insert(names, 1, "step")
  return names
end

local function must(run, ok, problem)
  if not ok then run.warn("train.run: " .. tostring(problem)) end
  return ok
end

-- Opens the logs at the first row, whose names are the columns.
local function write_row(run, row)
  local prefix = run.o.log
  if prefix == "" then return end
  if not run.csv then
    local keep = run.first > 0 and {resume = run.first} or nil
    run.columns = sorted_names(row)
    run.csv = must(run, log.csv(prefix .. ".csv", run.columns, keep))
    run.jsonl = must(run, log.jsonl(prefix .. ".jsonl", keep))
  end
  local known = {}
  for _, name in ipairs(run.columns) do known[name] = row[name] end
  if run.csv then must(run, run.csv:row(known)) end
  if run.jsonl then must(run, run.jsonl:row(row)) end
end

-- ---- evaluation ----

-- Without recording, in evaluation mode, and without touching the random stream.
local function evaluate(run)
  local o = run.o
  if not o.evaluate then return {} end
  local stream = core.rng_state()
  run.hold:pause(true)
  local ok, metrics = pcall(core.no_grad, function()
    if not o.model then return o.evaluate(run.step) end
    return module.evaluating(o.model, o.evaluate, run.step)
  end)
  run.hold:pause(false)
  core.rng_state(stream)
  if not ok then
    if tostring(metrics):find "interrupted!$" then save(run, o.checkpoint) end
    error(metrics, 0)
  end
  if metrics ~= nil and type(metrics) ~= "table" then metrics = {metric = metrics} end
  local row = {}
  for name, v in pairs(metrics or {}) do row[name] = core.is_tensor(v) and v:item() or v end
  return row
end

local function is_better(run, value)
  if value ~= value then return false end
  if run.best == nil then return true end
  if run.o.mode == "min" then return value < run.best end
  return value > run.best
end

-- Notes a new best; returns true when patience has run out.
local function judge(run, row)
  local o = run.o
  if o.best == "" then return false end
  local value = row[o.best]
  if type(value) ~= "number" then
    error(('train.run: best = "%s", but the metrics are %s'):format(o.best,
      table.concat(sorted_names(row), ", ", 2)), 0)
  end
  if is_better(run, value) then
    run.best, run.best_step, run.waited = value, run.step, 0
    return false
  end
  run.waited = run.waited + 1
  return o.patience > 0 and run.waited >= o.patience
end

-- One report: evaluate, log, best, checkpoint. `regular` is false for the last, odd step: then the
-- checkpoint keeps the sums, so that a longer run goes on as if this had not been looked at.
local function report(run, regular)
  local row = evaluate(run)
  for name, value in pairs(means(run)) do
    if row[name] == nil then row[name] = value end
  end
  if run.optimizer then row.lr = run.optimizer:lr() end
  local stop = judge(run, row)
  run.metrics = row
  if regular then run.sums, run.count, run.evaluated = {}, 0, run.step end
  local line = {step = run.step, seconds = run.seconds + core.clock() - run.began}
  for name, value in pairs(row) do line[name] = value end
  write_row(run, line)
  if run.best_step == run.step then save(run, run.best_file) end
  save(run, run.o.checkpoint)
  local hook = run.hooks.after_evaluate
  return hook and hook(run.step, row) == "stop" and "hook" or stop and "patience" or nil
end

-- ---- the loop ----

local function show(run)
  local now = core.clock()
  if now < run.show_at then return end
  run.show_at = now + SHOWN
  run.line:update(run.step, run.count > 0 and means(run) or nil)
end

local function interrupted(run)
  save(run, run.o.checkpoint)
  error("interrupted!", 0)
end

local function loop(run)
  local o, hooks, hold = run.o, run.hooks, run.hold
  local step, before, after, every, shown = o.step, hooks.before_step, hooks.after_step, o.every,
    o.progress
  if run.step > 0 and run.step % every == 0 and run.evaluated ~= run.step then
    local stop = report(run, true) -- the run was interrupted while it evaluated here
    if stop then return stop end
  end
  for i = run.step + 1, o.steps do
    if hold:pressed() then interrupted(run) end
    if before then before(i) end
    run.step = i
    local result = step(i)
    add(run, result)
    if after then after(i, result) end
    if shown then show(run) end
    if i % every == 0 then
      local stop = report(run, true)
      if stop then return stop end
    end
  end
  if hold:pressed() then interrupted(run) end
  if run.evaluated ~= run.step then report(run, false) end
  return "steps"
end

local function check(given)
  local o = options.check("train.run", given, GIVEN)
  local function bad(...) error("train.run: " .. string.format(...), 4) end
  if math.type(o.steps) ~= "integer" or o.steps < 0
    then bad("steps must be a whole number, got %s", tostring(o.steps)) end
  if type(o.step) ~= "function" then bad("step must be a function, got a %s", type(o.step)) end
  if o.evaluate ~= nil and type(o.evaluate) ~= "function"
    then bad("evaluate must be a function, got a %s", type(o.evaluate)) end
  if math.type(o.every) ~= "integer" or o.every < 1
    then bad("every must be a whole number of at least 1, got %s", tostring(o.every)) end
  if o.mode ~= "max" and o.mode ~= "min" then bad('mode must be "max" or "min", got "%s"',
    o.mode) end
  if o.optimizer ~= nil and type(o.optimizer) ~= "table" then
    bad("optimizer must be an optimizer or a list of them, got %s", arguments.shown(o.optimizer))
  end
  if o.resume and o.checkpoint == "" then bad "resume needs checkpoint, the file to resume from" end
  if o.patience > 0 and o.best == ""
    then bad "patience needs best, the name of the metric to wait for" end
  return o, options.check("train.run hooks", o.hooks, HOOKS)
end

local function close(run)
  if run.csv then run.csv:close() end
  if run.jsonl then run.jsonl:close() end
  run.line:done()
end

--- Runs `step(i)` for i = 1 .. steps, with everything around it.
---
--- `step` returns the loss, or a table of numbers by name; their means since the last report stand
--- in the logs. Every `every` steps, and after the last, `evaluate(i)` (in evaluation mode, nothing
--- recorded) returns metrics by name; a row goes to LOG.csv and LOG.jsonl, and the checkpoint is
--- written; when the metric called `best` is the best so far (`mode` "max" or "min"), also to
--- NAME.best.EXT. With `patience` the run ends after that many evaluations without a new best.
--- A loss that is no finite number ends the run with an error. Ctrl-C writes the checkpoint and is
--- raised again. With `resume` the run goes on from the checkpoint, if there is one.
--- hooks: before_step(i), after_step(i, result), after_evaluate(i, metrics), which ends the run by
--- returning "stop".
---
--- Example:
---     local w = equi.zeros(1, {requires_grad = true})
---     local opt = equi.optim.sgd({w}, {lr = 0.1})
---     local result = equi.train.run {steps = 50, model = {w = w}, optimizer = opt,
---       step = function()
---         opt:zero_grad()
---         local loss = ((w - 3) ^ 2):sum()
---         loss:backward()
---         opt:step()
---         return loss
---       end}
---     print(result.stopped, ("%.2f"):format(w:item()))   --> steps 3.00
---@param given table steps, step, evaluate, every = 1000, best, mode = "max", patience, checkpoint
--- (path), resume, log (path without extension), progress, label, hooks; model, optimizer,
--- schedules, sampler, options: what the checkpoint holds, as in checkpoint.save
---@return table result {step, stopped = "steps" | "patience" | "hook", best, best_step, metrics
--- (of the last report), seconds, differences (of the options, when resumed)}
function train.run(given)
  local o, hooks = check(given)
  local run = {o = o, hooks = hooks, step = 0, sums = {}, count = 0, waited = 0, seconds = 0,
    evaluated = 0, began = core.clock(), show_at = 0, best_file = best_path(o.checkpoint)}
  run.optimizer = o.optimizer and (o.optimizer.state_dict and o.optimizer or o.optimizer[1])
  function run.warn(text) io.stderr:write(text, "\n") end
  resume(run)
  run.first = run.step
  run.line = log.progress(o.steps, {label = o.label, start = run.step, quiet = not o.progress})
  local hold <close> = core.hold_interrupts()
  run.hold = hold
  local ok, stopped = pcall(loop, run)
  close(run)
  if not ok then error(stopped, 0) end
  return printed.fields {step = run.step, stopped = stopped, best = run.best,
    best_step = run.best_step, metrics = run.metrics,
    seconds = run.seconds + core.clock() - run.began, differences = run.differences}
end

--- How many rows fit: the largest n for which f(n) stays within a limit of memory.
---
--- f runs with 1 row and with 2; the peak is taken to grow by as much with every row. What is in
--- use already (weights, data) counts. At least 1, also where one row is too many.
---
--- Example:
---     local function f(n) return equi.ones(n, 1000) * 2 end
---     print(equi.train.rows_within(2 ^ 30, f) > 1000)   --> true
---@param bytes number the limit
---@param f function called with a number of rows
---@return integer rows
---@return number peak bytes with one row
function train.rows_within(bytes, f)
  arguments.number("rows_within", "bytes", bytes, 1)
  local function peak(n)
    core.memory "collect"
    core.memory "reset_peak"
    f(n)
    return core.memory().peak
  end
  peak(1) -- what the first call keeps, it keeps once
  local one, two = peak(1), peak(2)
  if two <= one then return one <= bytes and math.maxinteger or 1, one end
  return math.max(1, 1 + math.floor((bytes - one) / (two - one))), one
end

return train
