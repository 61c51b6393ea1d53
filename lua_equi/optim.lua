--- equi.optim: SGD, Adam, AdamW, RMSprop, gradient clipping, learning-rate schedules.
--
-- An optimizer holds a list of parameters (or groups of them with their own options) and the state
-- of each. step() is one C pass over all parameters of a group (core/ops/optim.c). Formulas,
-- defaults and option names are PyTorch's, so recipes carry over. Methods:
-- opt:step(), opt:zero_grad(), opt:lr() and opt:lr(x) to read and set the learning rate,
-- opt:state_dict() and opt:load_state_dict(saved).
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local module = require "lua_equi.nn.module"
local options = require "lua_equi.options"
local strict = require "lua_equi.strict"

local optim = {}

-- ---- parameters and groups ----

local function is_module(v) return type(v) == "userdata" or getmetatable(v) ~= nil end

-- The tensors of a module, of a table of modules and tensors, or of a list of tensors.
local function tensors_of(v)
  if core.is_tensor(v) then return {v} end
  if not is_module(v) and core.is_tensor(v[1]) then return v end
  return module.parameters(v)
end

-- Anything tensors_of takes, or a list of groups {params = ..., lr = ...} -> list of groups.
local function to_groups(params, defaults, who)
  if type(params) ~= "table" and type(params) ~= "userdata" then
    error(("%s: params must be a module or a list of tensors, got %s"):format(who,
      arguments.shown(params)), 3)
  end
  local first = type(params) == "table" and not is_module(params) and rawget(params, 1)
  if type(first) ~= "table" or first.params == nil then params = {{params = params}} end
  local groups, seen = {}, {}
  for i, given in ipairs(params) do
    local own = {}
    for k, v in pairs(given) do own[k] = v end
    own.params = nil
    local group = options.check(who, own, defaults, 1)
    group.params = tensors_of(given.params)
    if #group.params == 0 then error(who .. ": there are no parameters to optimize", 3) end
    for j, p in ipairs(group.params) do
      if not core.is_tensor(p) or not p.is_leaf then
        error(("%s: parameter %d of group %d is no leaf tensor"):format(who, j, i), 3)
      end
      if p.dtype ~= "f32" and p.dtype ~= "f64" then
        error(("%s: parameter %d of group %d is %s; it must be f32 or f64"):format(who, j, i,
          p.dtype), 3)
      end
      if seen[p] then error(("%s: parameter %d of group %d comes twice"):format(who, j, i), 3) end
      seen[p] = true
    end
    groups[i] = group
  end
  return groups
end

local function zeros_like(list)
  local out = {}
  for i, p in ipairs(list) do out[i] = core.zeros(p.shape, {dtype = p.dtype}) end
  return out
end

-- ---- the class of all optimizers ----

local optimizer = strict({}, "optimizer", nil, function() return {"groups", "state"} end)
optimizer.__index = optimizer

-- What equi.help shows of one.
function optimizer.__topic(self) return "optim." .. self.name end

function optimizer.__tostring(self)
  local n = 0
  for _, g in ipairs(self.groups) do n = n + #g.params end
  return ("%s(%d parameters, lr %g)"):format(self.name, n, self.groups[1].lr)
end

--- Forgets the gradients of all its parameters.
---
--- Example:
---     local w = equi.ones(1, {requires_grad = true})
---     local opt = equi.optim.sgd({w}, {lr = 0.1})
---     w:sum():backward()
---     opt:zero_grad()
---     print(w.grad)   --> nil
function optimizer:zero_grad()
  for _, g in ipairs(self.groups) do
    for _, p in ipairs(g.params) do p.grad = nil end
  end
end

--- One step along the gradients of its parameters; those without one stay.
---
--- Example:
---     local w = equi.ones(1, {requires_grad = true})
---     local opt = equi.optim.sgd({w}, {lr = 0.25})
---     w:sum():backward()
---     opt:step()
---     print(w:item())   --> 0.75
function optimizer:step()
  for i, g in ipairs(self.groups) do
    local state = self.state[i]
    state.step = state.step + 1
    self.update(g, state)
  end
end

--- The learning rate of the first group; sets that of all groups when given.
---
--- Example:
---     local opt = equi.optim.adam({equi.ones(1, {requires_grad = true})})
---     opt:lr(0.01)
---     print(opt:lr())   --> 0.01
---@param value? number
---@return number
function optimizer:lr(value)
  if value ~= nil then
    arguments.number("lr", "the learning rate", value, 0)
    for _, g in ipairs(self.groups) do g.lr = value end
  end
  return self.groups[1].lr
end

--- Everything needed to go on: tensors by name and a plain table of numbers. The tensors are its
--- own.
---
--- Example:
---     local opt = equi.optim.sgd({equi.ones(1, {requires_grad = true})}, {momentum = 0.9})
---     print(opt:state_dict().numbers["1.step"])   --> 0
---@return table {tensors =, numbers =}
function optimizer:state_dict()
  local tensors, numbers = {}, {}
  for i, state in ipairs(self.state) do
    numbers[i .. ".step"], numbers[i .. ".lr"] = state.step, self.groups[i].lr
    for name, list in pairs(state) do
      if type(list) == "table" then
        for j, t in ipairs(list) do tensors[("%d.%s.%d"):format(i, name, j)] = t end
      end
    end
  end
  return {tensors = tensors, numbers = numbers}
end

local function check_saved(saved, parts)
  for _, part in ipairs(parts) do
    if type(saved) ~= "table" or type(saved[part]) ~= "table" then
      error(("load_state_dict: give what state_dict returned, {%s = ...}, got %s"):format(
        table.concat(parts, " = ..., "), arguments.shown(saved)), 3)
    end
  end
end

local function shape_of(t) return table.concat(t.shape, " x ") end

--- How a saved state differs from this optimizer's, in clauses; empty when it fits.
---
--- Example:
---     local w = equi.ones(1, {requires_grad = true})
---     local a, b = equi.optim.sgd({w}), equi.optim.adam({w})
---     print(b:differences(a:state_dict())[1])   --> adam lacks 1.mean.1 of 1
---@param saved table {tensors =, numbers =}
---@return string[]
function optimizer:differences(saved)
  local own, list = self:state_dict(), {}
  local function add(...) list[#list + 1] = self.name .. " " .. string.format(...) end
  for name, t in pairs(own.tensors) do
    local s = saved.tensors[name]
    if not s then add("lacks %s of %s", name, shape_of(t))
    elseif shape_of(s) ~= shape_of(t) then
      add("has %s of %s, the parameter is %s", name, shape_of(s), shape_of(t))
    elseif s.dtype ~= t.dtype then
      add("has %s in %s, the parameter is %s", name, s.dtype, t.dtype)
    end
  end
  for name in pairs(saved.tensors) do
    if not own.tensors[name] then add("has no use for %s", name) end
  end
  for name in pairs(own.numbers) do
    if not saved.numbers[name] then add("lacks %s", name) end
  end
  table.sort(list)
  return list
end

--- Takes over what state_dict gave; raises if it is of other parameters, and then changes nothing.
---
--- Example:
---     local opt = equi.optim.adam({equi.ones(1, {requires_grad = true})})
---     opt:load_state_dict(opt:state_dict())
---@param saved table {tensors =, numbers =}
function optimizer:load_state_dict(saved)
  check_saved(saved, {"tensors", "numbers"})
  local list = self:differences(saved)
  if #list > 0 then error("load_state_dict: " .. table.concat(list, "; "), 2) end
  for name, t in pairs(self:state_dict().tensors) do t:copy_(saved.tensors[name]) end
  for i, state in ipairs(self.state) do
    state.step = math.tointeger(saved.numbers[i .. ".step"])
    self.groups[i].lr = saved.numbers[i .. ".lr"]
  end
end

-- Numeric options are at least 0 and below these.
local RANGES = {lr = math.huge, eps = math.huge, weight_decay = math.huge, momentum = math.huge,
  dampening = math.huge, beta1 = 1, beta2 = 1, alpha = 1}

-- new_state(group) -> lists of tensors; update(group, state) runs the C pass.
local function new(name, params, opts, defaults, new_state, update)
  opts = options.check(name, opts, defaults)
  local self = setmetatable({name = name, groups = to_groups(params, opts, name), state = {},
    update = update},
                            optimizer)
  for i, g in ipairs(self.groups) do
    for option, below in pairs(RANGES) do
      if g[option] and not (g[option] >= 0 and g[option] < below) then
        error(("%s: %s must %s, got %g"):format(name, option, below == 1 and
          "be at least 0 and below 1" or "be finite and not negative", g[option]), 2)
      end
    end
    if g.nesterov and (g.momentum == 0 or g.dampening ~= 0) then
      error(("%s: nesterov needs momentum above 0 and dampening 0, got %g and %g"):format(name,
        g.momentum, g.dampening), 2)
    end
    self.state[i] = new_state(g)
    self.state[i].step = 0
  end
  self.param_groups = self.groups -- as PyTorch calls them
  return self
end

-- ---- rules ----

--- Stochastic gradient descent: w -= lr * g, with momentum v = mu v + g, w -= lr * v.
---
--- Example:
---     local opt = equi.optim.sgd(equi.nn.linear(2, 1), {lr = 0.1, momentum = 0.9})
---     print(opt)   --> sgd(2 parameters, lr 0.1)
---@param params any a module, a list of tensors, or a list of {params =, lr =, ...}
---@param opts? table {lr = 0.001, momentum = 0, dampening = 0, weight_decay = 0, nesterov = false}
---@return table
function optim.sgd(params, opts)
  local defaults = {lr = 0.001, momentum = 0, dampening = 0, weight_decay = 0, nesterov = false}
  return new("sgd", params, opts, defaults, function(g)
    return g.momentum ~= 0 and {velocity = zeros_like(g.params)} or {}
  end, function(g, s)
    core.sgd_step(g.params, s.velocity or {}, {}, g.lr, g.momentum, g.dampening, g.weight_decay,
      g.nesterov,
                  s.step == 1)
  end)
end

local function adam_like(name, params, opts, decay, decoupled)
  local defaults = {lr = 0.001, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = decay}
  return new(name, params, opts, defaults, function(g)
    return {mean = zeros_like(g.params), square = zeros_like(g.params)}
  end, function(g, s)
    core.adam_step(g.params, s.mean, s.square, g.lr, g.beta1, g.beta2, g.eps, g.weight_decay,
      decoupled, s.step)
  end)
end

--- Adam (Kingma & Ba 2015); weight_decay is added to the gradient.
---
--- Example:
---     print(equi.optim.adam(equi.nn.linear(2, 1)))   --> adam(2 parameters, lr 0.001)
---@param params any
---@param opts? table {lr = 0.001, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0}
---@return table
function optim.adam(params, opts) return adam_like("adam", params, opts, 0, false) end

--- AdamW (Loshchilov & Hutter 2019): weights shrink by lr * weight_decay besides the step.
---
--- Example:
---     local opt = equi.optim.adamw(equi.nn.linear(2, 1), {lr = 5e-5})
---     print(opt)   --> adamw(2 parameters, lr 5e-05)
---@param params any
---@param opts? table {lr = 0.001, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.01}
---@return table
function optim.adamw(params, opts) return adam_like("adamw", params, opts, 0.01, true) end

--- RMSprop (Tieleman & Hinton 2012): w -= lr * g / (sqrt(mean of g^2) + eps).
---
--- Example:
---     print(equi.optim.rmsprop(equi.nn.linear(2, 1)))   --> rmsprop(2 parameters, lr 0.01)
---@param params any
---@param opts? table {lr = 0.01, alpha = 0.99, eps = 1e-8, weight_decay = 0, momentum = 0}
---@return table
function optim.rmsprop(params, opts)
  local defaults = {lr = 0.01, alpha = 0.99, eps = 1e-8, weight_decay = 0, momentum = 0}
  return new("rmsprop", params, opts, defaults, function(g)
    return {square = zeros_like(g.params), buffer = g.momentum ~= 0 and zeros_like(g.params) or nil}
  end, function(g, s)
    core.rmsprop_step(g.params, s.square, s.buffer or {}, g.lr, g.alpha, g.eps, g.weight_decay,
      g.momentum)
  end)
end

-- ---- clipping ----

local function list_of(v, who)
  if type(v) ~= "table" and type(v) ~= "userdata" then
    error(("%s: params must be an optimizer, a module or a list of tensors, got %s"):format(who,
      arguments.shown(v)), 3)
  end
  if getmetatable(v) ~= optimizer then return tensors_of(v) end
  if #v.groups == 1 then return v.groups[1].params end
  local list = {}
  for _, g in ipairs(v.groups) do table.move(g.params, 1, #g.params, #list + 1, list) end
  return list
end

--- Scales all gradients so that their joint norm is at most max_norm.
---
--- Example:
---     local w = equi.ones(4, {requires_grad = true})
---     w:sum():backward()
---     print(equi.optim.clip_norm({w}, 1))   --> 2.0
---@param params any an optimizer (the fastest: no walk), a module or a list of tensors
---@param max_norm number
---@return number norm before clipping
function optim.clip_norm(params, max_norm)
  local list = list_of(params, "clip_norm")
  arguments.number("clip_norm", "max_norm", max_norm, 0)
  return core.clip_grad_norm(list, max_norm):item()
end

--- Limits every element of every gradient to -max .. max.
---
--- Example:
---     local w = equi.ones(1, {requires_grad = true});
---     (w * 3):sum():backward()
---     equi.optim.clip_value({w}, 1)
---     print(w.grad:item())   --> 1.0
---@param params any an optimizer, a module or a list of tensors
---@param max number
function optim.clip_value(params, max)
  local list = list_of(params, "clip_value")
  arguments.number("clip_value", "max", max, 0)
  core.clip_grad_value(list, max)
end

for name, schedule in pairs(require "lua_equi.schedules") do optim[name] = schedule end

return optim
