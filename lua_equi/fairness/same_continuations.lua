--- The test of equal seeds: a fair model goes on with g x as with x, up to g.
local arguments = require "lua_equi.arguments"
local generate = require "lua_equi.generate"
local next_token = require "lua_equi.fairness.next_token"
local options = require "lua_equi.options"

local same_continuations = {}
local WHO = "fairness.same_continuations"

local function equal(a, b)
  if #a ~= #b then return false end
  for i, id in ipairs(a) do
    if b[i] ~= id then return false end
  end
  return true
end

local function key(ids) return table.concat(ids, " ") end

-- The different images of a context, with all elements that lead to each.
local function images(words, ids)
  local list, by_key = {}, {}
  for _, g in ipairs(words.group:elements()) do
    local moved = words:move(g, ids)
    local image = by_key[key(moved)]
    if not image then
      image = {ids = moved, elements = {}}
      by_key[key(moved)] = image
      list[#list + 1] = image
    end
    table.insert(image.elements, g)
  end
  return list
end

-- Whether one of the elements that lead from x to the image takes one answer to the other.
local function fits(words, image, first, answer)
  for _, g in ipairs(image.elements) do
    if equal(words:move(g, first), answer) then return true end
  end
  return false
end

local report = {}

function report:__tostring()
  if not self.rate then return "no exchange: no context has a word that moves" end
  local lines = {("%d of %d exchanges go on the same (%.1f %%)"):format(self.same, self.of,
    100 * self.rate)}
  for i = 1, math.min(3, #self.different) do
    local d = self.different[i]
    lines[#lines + 1] = ("  %q:%s"):format(d.context, d.text)
    lines[#lines + 1] = ("  %q:%s"):format(d.other, d.other_text)
  end
  return table.concat(lines, "\n")
end

local function compare(run, context, list, answers)
  local function show(ids) return run.words.tokenizer:decode(ids) end
  for k = 2, #list do
    run.of = run.of + 1
    if fits(run.words, list[k], answers[1], answers[k]) then
      run.same = run.same + 1
    else
      run.different[#run.different + 1] = {context = context.text, other = show(list[k].ids),
        element = list[k].elements[1], text = show(answers[1]), other_text = show(answers[k])}
    end
  end
end

--- Samples what follows each context and each of its images under equal seeds, and counts how
--- often the answers are the same up to the exchange: always, for a fair model.
---
--- What is compared are the different images of a context: one without any equality word has none,
--- and elements that leave a context as it is may be needed to see that two answers are the same
--- (then they are equally likely, and only their names tell). The default of top_k is the paper's.
---
--- Example:
---     local tok = {encode = function(_, t) return {t:find "she" and 2 or 1} end,
---       decode = function(_, ids) return ({" he", " she"})[ids[1]] end}
---     local words = equi.fairness.words(tok, {{"he", "she"}}, {size = 2})
---     local function biased(ids)
---       return equi.tensor({{{3, 0}}}):tile({ids:size(1), ids:size(2), 1}) end
---     print(equi.fairness.same_continuations(biased, words, " he").rate)   --> 0.0
---     local fair = equi.fairness.equigpt2(biased, words)
---     print(equi.fairness.same_continuations(fair, words, " he").rate)   --> 1.0
---@param model any
---@param words any from equi.fairness.words
---@param contexts any texts or lists of ids
---@param opts? table {tokens = 15, top_k = 40, temperature = 1, top_p = 1, typical = 1, stop_ids,
--- seed = 1 of the first context, tokenizer}
---@return table report {same, of, rate (nil without an exchange), different = list of {context,
--- other, element, text, other_text}, interrupted}
function same_continuations.same_continuations(model, words, contexts, opts)
  local o = options.check(WHO, opts, {tokens = 15, top_k = 40, temperature = 1, top_p = 1,
    typical = 1, stop_ids = options.any(), seed = 1, tokenizer = options.any()})
  arguments.whole(WHO, "seed", o.seed, 0)
  next_token.actions(WHO, model, words)
  local tokenizer = o.tokenizer or words.tokenizer
  local rows = next_token.contexts(WHO, contexts, tokenizer, words.size)
  local run, first = {words = words, same = 0, of = 0, different = {}}, o.seed
  for i, row in ipairs(rows) do
    local list, prompt, seeds = images(words, row.ids), {}, {}
    for k, image in ipairs(list) do prompt[k], seeds[k] = image.ids, first + i - 1 end
    o.seed, o.tokenizer = seeds, tokenizer
    local out = generate.generate(model, prompt, o)
    if out.interrupted then
      run.interrupted = true
      break
    end
    compare(run, row, list, out.ids)
  end
  return setmetatable({same = run.same, of = run.of, rate = run.of > 0 and run.same / run.of or nil,
    different = run.different, interrupted = run.interrupted}, report)
end

return same_continuations
