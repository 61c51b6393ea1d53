--- EquiGPT2, R-EquiGPT2 and their relatives: any language model, made fair by its orbit.
local arguments = require "lua_equi.arguments"
local caller = require "lua_equi.caller"
local combine = require "lua_equi.combine"
local core = require "lua_equi.core"
local options = require "lua_equi.options"
local prompts = require "lua_equi.generate.prompts"

local equigpt2 = {}
local WHO = "fairness.equigpt2"

local function fail(...) error(WHO .. ": " .. string.format(...), caller(2)) end

-- How sure a branch is: the log-probability of its most likely token.
local function confidence(logits) return (core.log_softmax(logits, -1):max(-1)) end

local function combination(words, o, size)
  if o.relaxed ~= nil then
    if o.combine ~= "mean" then fail "relaxed goes with the mean; leave combine out" end
    local ids = o.relaxed == true and words.general or words:general_ids(o.relaxed)
    if #ids == 0 then
      fail 'relaxed names no general words; give a list such as {"he", "she"}'
    end
    return combine.relaxed(ids, size)
  end
  if type(o.combine) == "table" then return o.combine end
  arguments.choice(WHO, "combine", o.combine, {"mean", "best", "weighted"})
  local score = o.score or confidence
  if o.combine == "best" then return combine.best(score) end
  if o.combine == "weighted" then
    return combine.weighted(score, {of = "results", softmax = o.softmax})
  end
  return combine.mean
end

--- A language model made group-theoretically fair: P(g x2 | g x1) = P(x2 | x1).
---
--- EquiGPT2 (Basu et al., AAAI 2023): the mean over the group of g^-1 M(g x), logits averaged. With
--- relaxed, R-EquiGPT2: tokens of equality and neutral words use the mean, general words (S) the
--- model's own logits; fair up to these. combine = "best": the branch of the highest score
--- (EquizeroGPT2, Basu et al., NeurIPS 2023); "weighted": lambda-equitune, the mean weighted by the
--- scores (softmax over the branches, or softmax = false: the scores themselves, not negative).
--- score sees a branch's logits [..., V] and gives one number for each place [...], so that
--- stepping and whole texts agree; default: the log-probability of the most likely token. A score
--- that is a module learns with the model.
---
--- The result is called, stepped, generated from and trained as the model is: one batch holds the
--- branches, and all share one history of tokens.
---
--- Example:
---     local tok = {encode = function(_, t) return {t:find "she" and 2 or 1} end,
---       decode = function(_, ids) return ({" he", " she"})[ids[1]] end}
---     local words = equi.fairness.words(tok, {{"he", "she"}}, {size = 2})
---     local fair = equi.fairness.equigpt2(function(ids)
---       return equi.tensor({{{3, 0}}}):tile({ids:size(1), ids:size(2), 1}) end, words)
---     print(fair(equi.tensor({{1}}, {dtype = "i64"})):totable()[1][1][2])   --> 1.5
---@param model any a language model
---@param words any from equi.fairness.words
---@param opts? table {relaxed = words of S (or true: those of words.general), combine = "mean",
--- "best", "weighted" or one of equi.combine's, score, softmax = true, chunk}
---@return any equituned
function equigpt2.equigpt2(model, words, opts)
  local o = options.check(WHO, opts, {relaxed = options.any(), combine = options.any "mean",
    score = options.any(), softmax = true, chunk = options.any()})
  if type(words) ~= "table" or not words.general_ids then
    fail("words must come from equi.fairness.words, got %s", arguments.shown(words))
  end
  prompts.check_model(WHO, model)
  if o.score ~= nil and not arguments.is_callable(o.score) then
    fail("score must be a function of the logits, got %s", arguments.shown(o.score))
  end
  if o.score ~= nil and o.combine ~= "best" and o.combine ~= "weighted" then
    fail 'score goes with combine = "best" or "weighted"'
  end
  local size = prompts.vocabulary(model) or words.size
  local ids, logits = words.ids, words.logits
  if size ~= words.size then ids, logits = words:actions(size) end
  return core.equitune(model, {input = ids, output = logits, chunk = o.chunk,
    combine = combination(words, o, size)})
end

return equigpt2
