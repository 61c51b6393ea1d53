--- The symmetries of SCAN as groups that act on its words, and the models equituned by them.
local equi = require "lua_equi"
local scan = require "lua_equi.data.scan"

local symmetric = {}

-- The groups of the papers.
local groups = {
  verbs2 = scan.symmetries.jump_run,
  direction = scan.symmetries.left_right,
  cycle4 = scan.symmetries.verb_cycle,
  product = scan.symmetries.verb_cycle_left_right,
  full = scan.symmetries.full,
}

--- The symmetry as actions on command ids, answer ids and answer log-probabilities.
---@param opt table {group = name}
---@param data table {words_in =, words_out =} vocabularies
---@return table {group =, input =, target =, logits =}
function symmetric.actions(opt, data)
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

--- The equituned model, which can also be stepped word by word.
---@param opt table {combine = name}
---@param model any
---@param act table of symmetric.actions
---@param data table {words_in =}
---@return any
function symmetric.equituned(opt, model, act, data)
  return equi.equitune(model, {
    input = {act.input, act.target, false}, output = act.logits, combine = combination(opt, data),
    start = {act.input, false}, token = act.target,
  })
end

return symmetric
