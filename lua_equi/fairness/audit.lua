--- How far a language model is from fair, exactly: no sampling, no classifier.
--
-- A model is fair if P(. | x) = g^-1 P(. | g x) for all contexts x and elements g. Measured between
-- the two, for each context and each g that is not the identity:
--
--     TV = 1/2 sum over tokens |p - q|        KL = sum over tokens p log(p / q)
--
-- both 0 for a fair model. Everything in f64 from the model's logits on.
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local log = require "lua_equi.log"
local next_token = require "lua_equi.fairness.next_token"
local options = require "lua_equi.options"
local prompts = require "lua_equi.generate.prompts"

local audit = {}
local WHO = "fairness.audit"
local BYTES = 2 ^ 28 -- of logits at once

-- ---- measuring ----

-- The largest entries of a distance [V]: {{token, distance, p, q}}.
local function top_tokens(run, distance, p, q)
  local n = math.min(run.top, distance:numel())
  local values, ids = distance:topk(n)
  local list, v, i = {}, values:totable(), ids:totable()
  for k = 1, n do
    if v[k] <= 0 then break end
    list[k] = {token = run.name(i[k]), id = i[k], tv = v[k] / 2, p = p and p[i[k]]:item(),
      q = q and q[i[k]]:item()}
  end
  return list
end

-- logp [V] of a context and those [V] of its images moved back, one for each g but the identity.
local function compare(run, text, logp, images)
  local entry = {text = text, tv = 0.0, kl = 0.0, tv_mean = 0.0, kl_mean = 0.0}
  local p, worst = logp:exp(), nil
  for k, q in ipairs(images) do
    local distance = (p - q.logp:exp()):abs()
    local tv = distance:sum():item() / 2
    local kl = core.where(p:gt(0), p * (logp - q.logp), 0):sum():item()
    entry.tv_mean, entry.kl_mean = entry.tv_mean + tv / #images, entry.kl_mean + kl / #images
    if k == 1 or tv > entry.tv then
      entry.tv, entry.element = tv, tostring(q.element)
      worst = {distance = distance, q = q.logp:exp()}
    end
    entry.kl = math.max(entry.kl, kl)
    run.sum = run.sum and run.sum + distance or distance
    run.pairs = run.pairs + 1
  end
  if #run.kept < run.worst or entry.tv > run.kept[#run.kept].tv then
    entry.tokens = top_tokens(run, worst.distance, p, worst.q)
    run.kept[#run.kept + 1] = entry
    table.sort(run.kept, function(a, b) return a.tv > b.tv end)
    if #run.kept > run.worst then table.remove(run.kept).tokens = nil end
  end
  run.all[#run.all + 1] = entry
end

-- Logits [G, V] of a context and its images.
local function take(run, text, logits)
  local logp, images = core.log_softmax(logits:to "f64", -1), {}
  for k, g in ipairs(run.elements) do
    local own = logp:narrow(1, k, 1)
    if k ~= run.identity then
      images[#images + 1] = {element = g, logp = run.logits(g.inverse, own):reshape(-1)}
    end
  end
  compare(run, text, logp[run.identity], images)
end

-- ---- going through the contexts ----

-- Contexts of one length are run together.
local function batches(rows, most)
  local by_length, lengths, list = {}, {}, {}
  for _, row in ipairs(rows) do
    local n = #row.ids
    if not by_length[n] then
      by_length[n] = {}
      lengths[#lengths + 1] = n
    end
    table.insert(by_length[n], row)
  end
  table.sort(lengths)
  for _, n in ipairs(lengths) do
    for first = 1, #by_length[n], most do
      list[#list + 1] = table.move(by_length[n], first, math.min(first + most - 1, #by_length[n]),
        1, {})
    end
  end
  return list
end

local function run_last(run, model, rows, batch)
  local done, order = 0, #run.elements
  for _, part in ipairs(batches(rows, batch)) do
    local orbits = {}
    for i, row in ipairs(part) do orbits[i] = next_token.orbit(run.words, run.ids, row.ids) end
    local logits = next_token.last(model, core.cat(orbits, 1))
    for i, row in ipairs(part) do
      take(run, row.text, logits:narrow(1, (i - 1) * order + 1, order))
    end
    done = done + #part
    run.line:update(done)
  end
end

local function run_all(run, model, rows)
  for i, row in ipairs(rows) do
    next_token.all(model, next_token.orbit(run.words, run.ids, row.ids), function(t, logits)
      local part = table.move(row.ids, 1, t, 1, {})
      take(run, run.tokenizer and run.tokenizer:decode(part) or table.concat(part, " "), logits)
    end, BYTES)
    run.line:update(i)
  end
end

-- ---- the report ----

local report = {}

function report:__tostring()
  local lines = {("unfairness over %d contexts and %d exchanges each (0: fair)"):format(
    #self.contexts, self.order - 1),
    log.table({{"", "max", "mean"},
      {"total variation", ("%.3g"):format(self.tv_max), ("%.3g"):format(self.tv_mean)},
      {"KL", ("%.3g"):format(self.kl_max), ("%.3g"):format(self.kl_mean)}}, {align = "lrr"})}
  if self.tv_max == 0 then return table.concat(lines, "\n") end
  local function add(title, list)
    local parts = {}
    for i, t in ipairs(list) do parts[i] = ("%q %.2g"):format(t.token, t.tv):gsub("\\\n", "\\n") end
    lines[#lines + 1] = title .. table.concat(parts, "  ", 1, math.min(#parts, 6))
  end
  add("tokens: ", self.tokens)
  for i = 1, math.min(3, #self.worst) do
    local c = self.worst[i]
    add(("%.3g  %q (%s): "):format(c.tv, c.text, c.element), c.tokens)
  end
  return table.concat(lines, "\n")
end

local function finish(run)
  local r = {contexts = run.all, worst = run.kept, order = #run.elements, tv_max = 0.0,
    tv_mean = 0.0, kl_max = 0.0, kl_mean = 0.0}
  for _, c in ipairs(run.all) do
    r.tv_max, r.kl_max = math.max(r.tv_max, c.tv), math.max(r.kl_max, c.kl)
    r.tv_mean, r.kl_mean = r.tv_mean + c.tv_mean / #run.all, r.kl_mean + c.kl_mean / #run.all
  end
  r.tokens = top_tokens(run, run.sum / run.pairs)
  return setmetatable(r, report)
end

--- Group-theoretic unfairness, exactly: total variation and KL between P(. | x) and g^-1 P(. | g x)
--- for all elements g, over contexts x.
---
--- Contexts are texts or lists of ids; the next token behind each is looked at, or with positions =
--- "all" behind each of its tokens. The memory used does not grow with their number. The report
--- prints as a table; fields: tv_max, tv_mean, kl_max, kl_mean (over contexts and g), contexts
--- ({text, tv, kl: the largest over g; tv_mean, kl_mean; element}), worst (the worst of them first,
--- with tokens: {token, id, tv = its part of the total variation, p, q}), tokens (the same,
--- averaged over everything).
---
--- Example:
---     local tok = {encode = function(_, t) return {t:find "she" and 2 or 1} end,
---       decode = function(_, ids) return ({" he", " she"})[ids[1]] end}
---     local words = equi.fairness.words(tok, {{"he", "she"}}, {size = 2})
---     local function biased(ids) return equi.tensor({{{3, 0}}}):tile({ids:size(1), 1, 1}) end
---     print(("%.3f"):format(equi.fairness.audit(biased, words, " he").tv_max))   --> 0.905
---     local fair = equi.fairness.equigpt2(biased, words)
---     print(equi.fairness.audit(fair, words, " he").tv_max < 1e-6)   --> true
---@param model any a language model, plain or equituned
---@param words any from equi.fairness.words
---@param contexts any texts or lists of ids
---@param opts? table {positions = "last" or "all", batch = 16 contexts at once, top = 10 tokens,
--- worst = 10 contexts, tokenizer = that of words, progress = false}
---@return table report
function audit.audit(model, words, contexts, opts)
  local o = options.check(WHO, opts, {positions = "last", batch = 16, top = 10, worst = 10,
    tokenizer = options.any(), progress = false})
  arguments.choice(WHO, "positions", o.positions, {"last", "all"})
  for _, name in ipairs {"batch", "top", "worst"} do arguments.whole(WHO, name, o[name]) end
  local ids, logits = next_token.actions(WHO, model, words)
  local tokenizer = o.tokenizer or words.tokenizer
  local rows = next_token.contexts(WHO, contexts, tokenizer, words.size)
  local run = {words = words, ids = ids, logits = logits, elements = words.group:elements(),
    identity = words.group.identity.index, all = {}, kept = {}, pairs = 0, top = o.top,
    worst = o.worst, tokenizer = tokenizer,
    line = log.progress(#rows, {label = "audit", quiet = not o.progress})}
  function run.name(id)
    return id <= words.size and tokenizer:decode {id} or ("token %d"):format(id)
  end
  core.no_grad(prompts.evaluating, model, o.positions == "last" and run_last or run_all, run, model,
    rows, o.batch)
  run.line:done()
  return finish(run)
end

return audit
