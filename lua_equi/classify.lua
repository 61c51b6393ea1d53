--- equi.classify: how well a classifier does, upright and moved by a group.
--
-- Accuracy under every element of an action (images turned by 0, 90, 180, 270 degrees), under one
-- drawn for each example, the confusion matrix, time. One pass a move: what random moves give
-- follows from the same predictions. NOT training: train.lua; not a test of equivariance as such:
-- check.lua.
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local module = require "lua_equi.nn.module"
local options = require "lua_equi.options"
local random = require "lua_equi.data.random"

local classify = {}

local function fail(...) error("classify.evaluate: " .. string.format(...), 0) end

-- What a step of the loop over `batches` gives: x, y of an iterator, or of {x, y} or {x =, y =}.
local function each_batch(batches)
  if type(batches) == "function" then return batches() end
  local i = 0
  return function()
    i = i + 1
    local b = batches[i]
    if b then return b.x or b[1], b.y or b[2] end
  end
end

-- Predictions against labels, added to what was counted for this move: which rows were right, and
-- the confusion matrix row by row, if wanted.
local function count(tally, logits, y)
  if logits.ndim ~= 2 or logits:size(1) ~= y:size(1) then
    fail("the model's result is %s for %d labels; it must be [B, classes]",
      table.concat(logits.shape, " x "), y:size(1))
  end
  local top = y:max():item()
  if top > logits:size(2) then
    fail("a label is %d, the model tells %d classes apart", top, logits:size(2))
  end
  local guess = logits:argmax(-1)
  local predicted, right = guess:totable(), guess:eq(y):to("i64"):totable()
  tally.classes = logits:size(2)
  for i = 1, #predicted do
    tally.predicted[#tally.predicted + 1] = predicted[i]
    tally.right = tally.right + right[i]
  end
end

-- The elements to look at, identity first, and how a batch is moved by each.
local function moves_of(action)
  if not action then return {{name = "e", move = function(x) return x end}} end
  local list = {}
  for i, g in ipairs(action.group:elements()) do
    list[i] = {name = tostring(g), move = function(x) return action(g, x) end}
  end
  return list
end

-- max |a - b| / max |b|
local function distance(a, b)
  local scale = b:abs():max():item()
  local apart = (a - b):abs():max():item()
  return scale > 0 and apart / scale or apart
end

local function confusion_of(tallies, labels, drawn)
  local k, matrix = tallies[1].classes or 0, {}
  for r = 1, k do
    matrix[r] = {}
    for c = 1, k do matrix[r][c] = 0 end
  end
  for i, label in ipairs(labels) do
    local row, guess = matrix[label], tallies[drawn[i]].predicted[i]
    row[guess] = row[guess] + 1
  end
  return matrix
end

local function run(model, batches, moves)
  local tallies, labels, gap, loss, busy = {}, {}, 0, 0, 0
  for k in ipairs(moves) do tallies[k] = {right = 0, predicted = {}} end
  for x, y in each_batch(batches) do
    if not core.is_tensor(y) or y.dtype ~= "i64" then
      fail("labels must be an i64 tensor of classes from 1, got %s", arguments.shown(y))
    end
    local upright
    for k, m in ipairs(moves) do
      local turned = m.move(x)
      local began = core.clock()
      local logits = model(turned)
      count(tallies[k], logits, y)
      busy = busy + core.clock() - began
      if k == 1 then
        upright = logits
        loss = loss + core.cross_entropy(logits, y):item() * y:size(1)
      else
        gap = math.max(gap, distance(logits, upright))
      end
    end
    for _, label in ipairs(y:totable()) do labels[#labels + 1] = label end
  end
  if #labels == 0 then fail("there are no examples") end
  return tallies, labels, gap, loss / #labels, busy
end

--- Accuracies of a classifier, in percent, in evaluation mode and without gradients.
---
--- With an action, once for each of its elements: `moves` lists them in the group's order, the
--- identity first. `random` is the accuracy when every example is moved by an element drawn
--- uniformly (by `seed`, the same draws for every model), as the confusion matrix is. `gap` is the
--- largest difference of logits between moved and unmoved, relative to the largest logit: 0 for an
--- invariant model.
---
--- Example:
---     local turn = equi.action.regular(equi.group.cyclic(3))
---     local x, y = equi.eye(3), equi.tensor({1, 2, 3}, {dtype = "i64"})
---     local report = equi.classify.evaluate(function(v) return v end, {{x, y}}, {moves = turn})
---     print(report.accuracy, report.moves[2].accuracy)   --> 100.0 0.0
---@param model any inputs [B, ...] -> logits [B, classes]
---@param batches any a list of {x, y}, or a function that returns an iterator of x, y; y are
--- classes from 1
---@param opts? table {moves = action on the input, seed = 0}
---@return table report {accuracy, loss, moves = {{name =, accuracy =} ...}, random, confusion
--- (rows: true classes), gap, count (examples), seconds (in the model), rate (examples a second)}
function classify.evaluate(model, batches, opts)
  opts = options.check("classify.evaluate", opts, {moves = options.any(), seed = 0})
  if not arguments.is_callable(model) then
    error("classify.evaluate: model must be a module or a function, got "
      .. arguments.shown(model), 2)
  end
  local moves = moves_of(opts.moves)
  local tallies, labels, gap, loss, busy = core.no_grad(function()
    if type(model) == "function" then return run(model, batches, moves) end
    return module.evaluating(model, run, model, batches, moves)
  end)
  local draw, drawn, right = random.new(opts.seed), {}, 0
  for i, label in ipairs(labels) do
    drawn[i] = draw:integer(#moves)
    if tallies[drawn[i]].predicted[i] == label then right = right + 1 end
  end
  local report = {moves = {}, count = #labels, loss = loss, gap = gap, seconds = busy,
    rate = #labels * #moves / math.max(busy, 1e-9), random = 100 * right / #labels,
    confusion = confusion_of(tallies, labels, drawn)}
  for k, m in ipairs(moves) do
    report.moves[k] = {name = m.name, accuracy = 100 * tallies[k].right / #labels}
  end
  report.accuracy = report.moves[1].accuracy
  return report
end

--- Accuracy in percent of one pass over the batches: `evaluate` without moves.
---
--- Example:
---     local x, y = equi.eye(2), equi.tensor({1, 1}, {dtype = "i64"})
---     print(equi.classify.accuracy(function(v) return v end, {{x, y}}))   --> 50.0
---@param model any
---@param batches any
---@return number percent
function classify.accuracy(model, batches)
  local report = classify.evaluate(model, batches)
  return report.accuracy
end

--- What a confusion matrix says of each class: precision, the part of what was called so that is
--- so; recall, the part of what is so that was called so; F1, their harmonic mean. In percent;
--- a class that was never predicted has precision 0, one without examples recall 0 and f1 0 and
--- is left out of the mean.
---
--- Example:
---     local s = equi.classify.scores {{8, 2}, {4, 6}}
---     print(("%.1f %.1f"):format(s[1].precision, s[1].recall), ("%.1f"):format(s.f1))
---     --> 66.7 80.0 69.7
---@param confusion number[][] rows: true classes, columns: predicted ones
---@return table scores a list of {precision, recall, f1, count (examples), predicted} by class, and
--- accuracy, f1 (mean over the classes), count
function classify.scores(confusion)
  local scores, right, all, sum, present = {}, 0, 0, 0, 0
  for k, row in ipairs(confusion) do
    local there, predicted = 0, 0
    for c, n in ipairs(row) do there, predicted = there + n, predicted + confusion[c][k] end
    local hit = row[k]
    scores[k] = {count = there, predicted = predicted,
      precision = 100 * hit / math.max(predicted, 1), recall = 100 * hit / math.max(there, 1),
      f1 = 200 * hit / math.max(there + predicted, 1)}
    right, all = right + hit, all + there
    if there > 0 then sum, present = sum + scores[k].f1, present + 1 end
  end
  scores.accuracy, scores.count = 100 * right / math.max(all, 1), all
  scores.f1 = sum / math.max(present, 1)
  return scores
end

return classify
