--- equi.combine: how the branches of an equituned model become one result.
--
-- Objects for the `combine` option of equi.equitune, where y_g below is g^-1 M(g x); the network of
-- lambda-equitune, for `weighted`; and the choice of one element, for equitune's option `pick`.
local arguments = require "lua_equi.arguments"
local classes = require "lua_equi.nn.class"
local core = require "lua_equi.core"
local module = require "lua_equi.nn.module"
local nn = require "lua_equi.nn.basic"
local options = require "lua_equi.options"

local mt = {
  __name = "combine",
  __tostring = function(self) return "combine." .. self.kind end,
  __topic = function(self) return "combine." .. self.kind end, -- what equi.help shows of one
}

local combine = {}

local function check_callable(v, who, what)
  local class = getmetatable(v)
  if type(v) == "function" or type(class) == "table" and class.__call then return end
  error(("%s: %s, got %s"):format(who, what, core.is_tensor(v) and "a tensor" or type(v)), 3)
end

--- The mean of all branches: 1/|G| sum y_g (equitune; Basu et al., AAAI 2023).
---
--- Example:
---     print(equi.combine.mean)   --> combine.mean
combine.mean = setmetatable({kind = "mean"}, mt)

--- The branch with the highest score (equizero; Basu et al., NeurIPS 2023).
---
--- score(M(g x)) gives one number per row of the model's result, before it is moved back; or one
--- for each of its first places, such as [N, T] for logits [N, T, V]: then the choice is made place
--- by place. The gradient is that of the mean, straight through. Branches within `tolerance`
--- (relative) of the highest score share the place: a tie broken by order would not be equivariant.
---
--- Example:
---     local c = equi.combine.best(function(y) return (y:max(-1)) end)
---     print(c)   --> combine.best
---@param score function result [N, ...] -> [N] or [N, ...]
---@param opts? table {tolerance = 1e-6}
---@return table
function combine.best(score, opts)
  opts = options.check("combine.best", opts, {tolerance = 1e-6})
  check_callable(score, "combine.best", "score must be a function of the model's result")
  if opts.tolerance < 0 then
    error(("combine.best: tolerance is %g; it must not be negative"):format(opts.tolerance), 2)
  end
  return setmetatable({kind = "best", score = score, tolerance = opts.tolerance}, mt)
end

--- Weighted mean: sum of lambda(g x) y_g / sum of lambda(g x) (lambda-equitune; Basu et al.,
--- NeurIPS 2023).
---
--- net is called with the orbits of the inputs that equitune's `input` lists, and gives one number
--- per row. With softmax = true these are scores, normalised over the group; else they are the
--- weights and must not be negative. A constant net is the mean. A net that is a module appears
--- under the equituned model's parameters as `weight`.
---
--- With of = "results" the net sees what the model returned for g x instead, lambda(M(g x)), and
--- may give a number for each of its first places: [N, T] for logits [N, T, V]. Language models
--- need this: a step sees one token of the input only, but the result of all.
---
--- Example:
---     local c = equi.combine.weighted(equi.nn.linear(4, 1))
---     print(c.softmax)   --> true
---@param net any module or function: inputs (or results) [N, ...] -> [N] or [N, 1]
---@param opts? table {softmax = true, of = "inputs" or "results"}
---@return table
function combine.weighted(net, opts)
  opts = options.check("combine.weighted", opts, {softmax = true, of = "inputs"})
  arguments.choice("combine.weighted", "of", opts.of, {"inputs", "results"})
  check_callable(net, "combine.weighted", "net must be a module or a function of the " .. opts.of)
  return setmetatable({kind = "weighted", net = net, softmax = opts.softmax, of = opts.of}, mt)
end

--- The mean, except at general ids, where the identity's branch stays (R-EquiGPT2; Basu et al.,
--- AAAI 2023).
---
--- For results whose last dim is a vocabulary. Not equivariant at the ids named: that is the
--- relaxation.
---
--- Example:
---     local c = equi.combine.relaxed({2, 5}, 8)
---     print(c.mask:to("i64"):sum():item())   --> 2
---@param ids table list of ids, from 1
---@param size integer size of the vocabulary
---@return table
function combine.relaxed(ids, size)
  if type(ids) ~= "table" then
    error(("combine.relaxed: ids must be a list of ids such as {2, 5}, got %s"):format(
      arguments.shown(ids)), 2)
  end
  if math.type(size) ~= "integer" or size < 1 then
    error(("combine.relaxed: size must be the size of the vocabulary, got %s"):format(
      tostring(size)), 2)
  end
  local mask = core.zeros(size, {dtype = "bool"})
  for i, id in ipairs(ids) do
    if math.type(id) ~= "integer" or id < 1 or id > size then
      error(("combine.relaxed: id %d is %s; ids are 1 to %d"):format(i, tostring(id), size), 2)
    end
    mask[id] = true
  end
  return setmetatable({kind = "relaxed", mask = mask}, mt)
end

-- ---- lambda-equitune ----

-- What a backbone sees in x, [N, ...] -> [N, features].
local function features_of(backbone, x)
  local y = type(backbone) == "table" and backbone.features and backbone:features(x) or backbone(x)
  return y.ndim == 2 and y or y:reshape(y:size(1), -1)
end

--- The weight network of lambda-equitune (Basu et al., NeurIPS 2023), for `combine.weighted`.
---
--- On the features that a frozen copy of the backbone sees: linear(size, hidden), ReLU, dropout,
--- linear(hidden, hidden), dropout, linear(hidden, 1). The copy is made when this is called, so it
--- stays as the backbone was before fine-tuning; it is always in evaluation mode, and nothing is
--- recorded in it. The features are backbone:features(x), or backbone(x) where there is no such
--- method, flattened.
---
--- Example:
---     local backbone = equi.nn.linear(4, 6)
---     local lambda = equi.combine.lambda(backbone, 6)
---     print(lambda(equi.ones(3, 4)):size())   --> 3 1
---     print(equi.nn.count(lambda, {trainable = true}))   --> 10901
---@param backbone any a module
---@param size integer how many features it gives
---@param opts? table {hidden = 100, p = 0.5}
combine.lambda = classes.class("lambda", {
  new = function(self, backbone, size, opts)
    opts = options.check("combine.lambda", opts, {hidden = 100, p = 0.5})
    if type(backbone) ~= "table" and type(backbone) ~= "userdata" then
      error(("combine.lambda: backbone must be a module, got %s"):format(
        arguments.shown(backbone)), 3)
    end
    arguments.whole("combine.lambda", "size", size)
    self.backbone = module.freeze(module.clone(backbone))
    self.fc1 = nn.linear(size, opts.hidden)
    self.fc2 = nn.linear(opts.hidden, opts.hidden)
    self.fc3 = nn.linear(opts.hidden, 1)
    self.dropout = nn.dropout(opts.p)
  end,
  forward = function(self, x)
    local seen = core.no_grad(function()
      return module.evaluating(self.backbone, features_of, self.backbone, x)
    end)
    local h = self.dropout(core.relu(self.fc1(seen)))
    return self.fc3(self.dropout(self.fc2(h)))
  end,
})

-- ---- canonicalization ----

local canonical = {}

function canonical:new(energy, action)
  check_callable(energy, "combine.canonical", "energy must be a module or a function of the input")
  local class = getmetatable(action)
  if type(action) ~= "userdata" or type(class) ~= "table" or class.__name ~= "equi.Action" then
    error(("combine.canonical: action must be the action on the input, got %s"):format(
      arguments.shown(action)), 3)
  end
  self.energy, self._action = energy, action
end

--- The energy of every h^-1 x, in the order of the group's elements: one call of the energy.
---
--- Example:
---     local turn = equi.action.regular(equi.group.cyclic(2))
---     local pick = equi.combine.canonical(function(x) return x[{{}, 1}] end, turn)
---     print(pick:energies(equi.tensor {{3, 5}}):totable()[1][2])   --> 5.0
---@param x any [B, ...]
---@return any [B, G]
function canonical:energies(x)
  local orbit, elements = {}, self._action.group:elements()
  for i, g in ipairs(elements) do orbit[i] = self._action(g.inverse, x) end
  local e = self.energy(core.cat(orbit, 1))
  if not core.is_tensor(e) or e:numel() ~= #elements * x:size(1) then
    error(("combine.canonical: the energy must be one number for each of the %d rows, it is %s")
      :format(#elements * x:size(1), core.is_tensor(e) and table.concat(e.shape, " x ")
        or type(e)), 0)
  end
  return e:reshape(#elements, x:size(1)):transpose(1, 2)
end

--- Cross-entropy of softmax(-energy) against the identity: an energy that learns on upright
--- inputs that they are upright (the prior of Mondal et al. 2023).
---
--- Example:
---     local turn = equi.action.regular(equi.group.cyclic(2))
---     local pick = equi.combine.canonical(equi.nn.linear(2, 1), turn)
---     print(pick:loss(equi.ones(5, 2)).ndim)   --> 0
---@param x any upright inputs [B, ...]
---@return any loss
function canonical:loss(x)
  local e = self:energies(x)
  return core.cross_entropy(-e, core.ones({x:size(1)}, {dtype = "i64"}))
end

function canonical:forward(x)
  return core.no_grad(function() return self:energies(x):argmin(2) end)
end

--- Which element an input is turned by, for equitune's option `pick`: h(x) = argmin over h of
--- energy(h^-1 x), so that h(g x) = g h(x) and the model runs once (Kaba et al. 2023).
---
--- The energy is a small network that learns from `loss`, or a function of features: one number
--- per row. The smallest wins (argmin): where more is better, give minus the score. Two elements of
--- equal energy are a tie, which the first one wins: then (a symmetric input) no choice is
--- equivariant. The choice itself has no gradient.
---
--- Example:
---     local turn = equi.action.regular(equi.group.cyclic(3))
---     local pick = equi.combine.canonical(function(x) return x[{{}, 1}] end, turn)
---     local model = equi.equitune(function(x) return x * equi.tensor {1, 0, 0} end,
---       {input = turn, pick = pick})
---     print(model(equi.tensor {{7, 5, 6}}):totable()[1][1])   --> 5.0
---@param energy any module or function: inputs [N, ...] -> [N] or [N, 1]
---@param action any the action on the input
combine.canonical = classes.class("canonical", canonical)

return combine
