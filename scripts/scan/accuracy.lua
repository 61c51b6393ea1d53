--- Whole answers to SCAN's commands, by the three decoders, and how many of them are right.
local equi = require "lua_equi"
local sequences = require "lua_equi.data.sequences"

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

--- Exact matches of whole answers, EOS included, in percent.
---@param model any
---@param decoder string plain, independent or synchronised
---@param batches table[] of sequences.batches
---@param limit integer steps of the longest answer
---@return number
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

return accuracy
