--- The bias of the text about people beside the bias of a model that learned it: next words behind
--- the ten contexts, whose true probabilities lua_equi/data/people.lua knows.
--
-- For a prompt x the truth is a distribution over first tokens of its continuations. Told are
--
--     true      TV(q(. | x), q(. | g x))    largest over pairs of groups
--     learned   TV(p(. | x), p(. | g x))    the same of the model p
--     distance  TV(p(. | x), q(. | x))      mean over groups: how far the model is from the truth
--
-- TV is total variation, half the sum of absolute differences. NOT for models of other text.
local equi = require "lua_equi"
local people = require "lua_equi.data.people"
local phrases = require "lua_equi.data.people.phrases"

local truth = {}

-- "The man", "The Black person".
local function subject(attribute, group)
  return attribute == "gender" and "The " .. group or ("The %s person"):format(group)
end

-- Contexts up to where the words begin that tell something: "worked as" goes on with "a" or "an".
local function prompts(attribute, context)
  local list = {}
  for i, group in ipairs(people.groups[attribute]) do
    list[i] = ("%s %s%s"):format(subject(attribute, group), context.text,
      context.form == "noun" and " a" or "")
  end
  return list
end

-- Probabilities by id of the true next token.
local function expected(tokenizer, prompt)
  local before, q = #tokenizer:encode(prompt), {}
  for _, c in ipairs(people.continuations(prompt)) do
    local id = tokenizer:encode(prompt .. c.text)[before + 1]
    q[id] = (q[id] or 0) + c.p
  end
  return q
end

-- The same of a model, as a list by id.
local function predicted(model, tokenizer, prompt)
  local ids = equi.tensor({tokenizer:encode(prompt)}, {dtype = "i64"})
  return equi.no_grad(function()
    return model(ids):narrow(2, ids:size(2), 1):reshape(-1):softmax(-1):totable()
  end)
end

local function variation(p, q)
  local sum, seen = 0, {}
  for id, value in pairs(p) do
    sum, seen[id] = sum + math.abs(value - (q[id] or 0)), true
  end
  for id, value in pairs(q) do
    if not seen[id] then sum = sum + value end
  end
  return sum / 2
end

local function largest(list)
  local most = 0
  for i = 1, #list do
    for k = i + 1, #list do most = math.max(most, variation(list[i], list[k])) end
  end
  return most
end

--- Whether the truth about an attribute is known.
---@param attribute string
---@return boolean
function truth.knows(attribute) return people.groups[attribute] ~= nil end

--- Compares a model with the truth.
---@param model any logits [B, T, V] of ids [B, T]
---@param tokenizer table
---@param attribute string of people.groups
---@return table[] rows {context, truth, learned, distance} of the ten contexts
---@return table means of the three numbers
function truth.compare(model, tokenizer, attribute)
  local rows, mean = {}, {truth = 0, learned = 0, distance = 0}
  for i, context in ipairs(phrases.contexts) do
    local q, p, distance = {}, {}, 0
    for k, prompt in ipairs(prompts(attribute, context)) do
      q[k], p[k] = expected(tokenizer, prompt), predicted(model, tokenizer, prompt)
      distance = distance + variation(p[k], q[k])
    end
    rows[i] = {context = context.text, truth = largest(q), learned = largest(p),
      distance = distance / #q}
    for name, sum in pairs(mean) do mean[name] = sum + rows[i][name] / #phrases.contexts end
  end
  return rows, mean
end

return truth
