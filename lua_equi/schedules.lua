--- Learning-rate schedules, reached as equi.optim.step_lr, cosine and so on.
--
-- A schedule multiplies the rates an optimizer had when it was made by factor(step), step = 0, 1,
-- 2 ... Meaning and options are those of PyTorch. NOT the optimizers: optim.lua.
local arguments = require "lua_equi.arguments"
local options = require "lua_equi.options"

local schedules = {}

-- ---- schedules: factor(step) for step = 0, 1, 2 ... ----

local schedule = {}
schedule.__index = schedule

local function set_rates(self, factor)
  for i, g in ipairs(self.optimizer.groups) do g.lr = self.start[i] * factor end
end

--- Moves the learning rates on by one; call it once per step or epoch. plateau takes the metric.
---
--- Example:
---     local opt = equi.optim.sgd({equi.ones(1, {requires_grad = true})}, {lr = 1})
---     local s = equi.optim.step_lr(opt, 2, {gamma = 0.1})
---     s:step() s:step()
---     print(opt:lr())   --> 0.1
---@param metric? number for plateau only
function schedule:step(metric)
  self.count = self.count + 1
  set_rates(self, self:factor(metric))
end

--- Plain numbers to save in a checkpoint.
---
--- Example:
---     local opt = equi.optim.sgd({equi.ones(1, {requires_grad = true})})
---     print(equi.optim.cosine(opt, 10):state_dict().count)   --> 0
---@return table
function schedule:state_dict()
  local s = {}
  for k, v in pairs(self) do
    if type(v) == "number" then s[k] = v end
  end
  for i, v in ipairs(self.start) do s["start" .. i] = v end
  return s
end

--- Takes over what state_dict gave.
---
--- Example:
---     local opt = equi.optim.sgd({equi.ones(1, {requires_grad = true})})
---     local s = equi.optim.cosine(opt, 10)
---     s:load_state_dict(s:state_dict())
---@param saved table
function schedule:load_state_dict(saved)
  if type(saved) ~= "table" or saved.count == nil or not saved["start" .. #self.start] then
    error(("load_state_dict: give what state_dict of such a schedule returned, got %s"):format(
      arguments.shown(saved)), 2)
  end
  for k, v in pairs(saved) do
    if not k:find "^start" then self[k] = v end
  end
  for i in ipairs(self.start) do self.start[i] = saved["start" .. i] end
end

local function check_optimizer(who, opt)
  if type(opt) ~= "table" or type(opt.groups) ~= "table" then
    error(("%s: the first argument must be an optimizer, got %s"):format(who,
      arguments.shown(opt)), 3)
  end
end

local function new_schedule(opt, fields)
  fields.optimizer, fields.count, fields.start = opt, 0, {}
  for i, g in ipairs(opt.groups) do fields.start[i] = g.lr end
  local self = setmetatable(fields, schedule)
  if not self.best then set_rates(self, self:factor()) end -- a warm-up begins with the first step
  return self
end

--- lr * gamma^floor(step / every).
---
--- Example:
---     local opt = equi.optim.sgd({equi.ones(1, {requires_grad = true})}, {lr = 1})
---     equi.optim.step_lr(opt, 1, {gamma = 0.5}):step()
---     print(opt:lr())   --> 0.5
---@param opt table
---@param every integer steps
---@param opts? table {gamma = 0.1}
---@return table
function schedules.step_lr(opt, every, opts)
  opts = options.check("step_lr", opts, {gamma = 0.1})
  check_optimizer("step_lr", opt)
  arguments.whole("step_lr", "every", every)
  arguments.number("step_lr", "gamma", opts.gamma, 0)
  return new_schedule(opt, {factor = function(self) return opts.gamma ^ (self.count // every) end})
end

--- lr * gamma^(number of milestones passed).
---
--- Example:
---     local opt = equi.optim.sgd({equi.ones(1, {requires_grad = true})}, {lr = 1})
---     local s = equi.optim.multi_step(opt, {1, 3}, {gamma = 0.5})
---     s:step() s:step() s:step()
---     print(opt:lr())   --> 0.25
---@param opt table
---@param milestones table steps
---@param opts? table {gamma = 0.1}
---@return table
function schedules.multi_step(opt, milestones, opts)
  opts = options.check("multi_step", opts, {gamma = 0.1})
  check_optimizer("multi_step", opt)
  if type(milestones) ~= "table" then
    error("multi_step: milestones must be a list of steps, got " .. arguments.shown(milestones), 2)
  end
  arguments.number("multi_step", "gamma", opts.gamma, 0)
  for _, m in ipairs(milestones) do arguments.whole("multi_step", "each milestone", m, 0) end
  return new_schedule(opt, {factor = function(self)
    local n = 0
    for _, m in ipairs(milestones) do n = n + (self.count >= m and 1 or 0) end
    return opts.gamma ^ n
  end})
end

--- From lr down to lr * floor along half a cosine over `total` steps (Loshchilov & Hutter 2017),
--- after `warmup` steps straight up from 0.
---
--- Example:
---     local opt = equi.optim.sgd({equi.ones(1, {requires_grad = true})}, {lr = 1})
---     local s = equi.optim.cosine(opt, 2)
---     s:step()
---     print(("%.2f"):format(opt:lr()))   --> 0.50
---@param opt table
---@param total integer steps
---@param opts? table {floor = 0, warmup = 0}
---@return table
function schedules.cosine(opt, total, opts)
  opts = options.check("cosine", opts, {floor = 0, warmup = 0})
  check_optimizer("cosine", opt)
  arguments.whole("cosine", "total", total)
  arguments.whole("cosine", "warmup", opts.warmup, 0)
  arguments.number("cosine", "floor", opts.floor, 0)
  return new_schedule(opt, {factor = function(self)
    if self.count < opts.warmup then return self.count / opts.warmup end
    local done = math.min(1, (self.count - opts.warmup) / math.max(1, total - opts.warmup))
    return opts.floor + (1 - opts.floor) * 0.5 * (1 + math.cos(math.pi * done))
  end})
end

--- Up from 0 over `warmup` steps, then down to 0 at `total`, both straight.
---
--- Example:
---     local opt = equi.optim.sgd({equi.ones(1, {requires_grad = true})}, {lr = 1})
---     local s = equi.optim.linear(opt, 4)
---     s:step()
---     print(opt:lr())   --> 0.75
---@param opt table
---@param total integer steps
---@param opts? table {warmup = 0}
---@return table
function schedules.linear(opt, total, opts)
  opts = options.check("linear", opts, {warmup = 0})
  check_optimizer("linear", opt)
  arguments.whole("linear", "total", total)
  arguments.whole("linear", "warmup", opts.warmup, 0)
  return new_schedule(opt, {factor = function(self)
    if self.count < opts.warmup then return self.count / opts.warmup end
    return math.max(0, (total - self.count) / math.max(1, total - opts.warmup))
  end})
end

--- Multiplies the rate by gamma when the metric given to step() has not improved for `patience`
--- steps.
---
--- Example:
---     local opt = equi.optim.sgd({equi.ones(1, {requires_grad = true})}, {lr = 1})
---     local s = equi.optim.plateau(opt, {patience = 0, gamma = 0.5})
---     s:step(1.0) s:step(1.0)
---     print(opt:lr())   --> 0.5
---@param opt table
---@param opts? table {gamma = 0.1, patience = 10, mode = "min" or "max", threshold = 1e-4}
---@return table
function schedules.plateau(opt, opts)
  opts = options.check("plateau", opts, {gamma = 0.1, patience = 10, mode = "min",
    threshold = 1e-4})
  check_optimizer("plateau", opt)
  arguments.number("plateau", "gamma", opts.gamma, 0)
  arguments.whole("plateau", "patience", opts.patience, 0)
  arguments.number("plateau", "threshold", opts.threshold, 0)
  arguments.choice("plateau", "mode", opts.mode, {"min", "max"})
  local sign = opts.mode == "max" and -1 or 1
  return new_schedule(opt, {waited = 0, reductions = 0, best = math.huge, factor = function(self,
    metric)
    if type(metric) ~= "number" then
      error("plateau: step needs the metric to watch, a number, got " .. arguments.shown(metric), 3)
    end
    if sign * metric < self.best - math.abs(self.best == math.huge and 0
      or self.best) * opts.threshold then
      self.best, self.waited = sign * metric, 0
    else
      self.waited = self.waited + 1
    end
    if self.waited > opts.patience then self.reductions, self.waited = self.reductions + 1, 0 end
    return opts.gamma ^ self.reductions
  end})
end

return schedules
