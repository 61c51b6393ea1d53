--- What a run of fairness.lua does, one function a task: audit, generate, perplexity, finetune,
--- regard. Each gets the options of the run and returns {rows = list, ...}.
local equi = require "lua_equi"
local log = require "lua_equi.log"
local setup = require "scripts.fairness.setup"
local study = require "scripts.fairness.study"
local truth = require "scripts.fairness.truth"

local tasks = {}

-- Lists of which not even the plain form could be used, in a line.
local function tell_left_out(words)
  local list, why = {}, nil
  for _, l in ipairs(words.left_out) do
    if l.words[1]:find "^ %l" then
      list[#list + 1], why = table.concat(l.words, ","):sub(2), why or l.why
    end
  end
  if #list > 0 then
    io.stderr:write(("left out: %s; the first because %s\n"):format(table.concat(list, "; "), why))
  end
end

-- Model, words, variants and contexts of a run.
local function open(one)
  local model, tokenizer = setup.model(one.folder)
  local words, attributes = setup.words(tokenizer, one.words, {general = one.general,
    multi = one.multi, size = model.config.vocab_size})
  tell_left_out(words)
  local r = {model = model, tokenizer = tokenizer, words = words, attributes = attributes,
    subjects = setup.subjects(attributes), contexts = setup.contexts(one.prompts or "")}
  function r.variant(method) return setup.variant(method, model, words, one.combine) end
  function r.title(method) return setup.title(method, one.combine) end
  return r
end

local function save(figure, path)
  local done, message = figure:save(path)
  if not done then error(message, 0) end
end

-- ---- contexts ----

-- Ids of every group's prompts and of pieces of held-out text.
local function contexts_of(one, run)
  local list = {}
  for _, context in ipairs(run.contexts) do
    for _, subject in ipairs(run.subjects) do
      list[#list + 1] = run.tokenizer:encode(subject .. " " .. context)
    end
  end
  if one.count > 0 then
    local pieces = setup.pieces(run.tokenizer, setup.text(one.text, one.bytes, 1000 + one.seed),
      {count = one.count, tokens = one.context_tokens, seed = one.seed})
    table.move(pieces, 1, #pieces, #list + 1, list)
  end
  return list
end

-- ---- audit ----

local function add_truth(row, run, one, model)
  if one.model ~= "" or #run.attributes > 1 or not truth.knows(run.attributes[1].name) then
    return nil
  end
  local rows, mean = truth.compare(model, run.tokenizer, run.attributes[1].name)
  row.learned, row.truth, row.distance = mean.learned, mean.truth, mean.distance
  return rows
end

local function bars_of_audit(one, rows)
  local plot = require "lua_equi.plot"
  local names, max, mean = {}, {}, {}
  for i, row in ipairs(rows) do
    names[i], max[i], mean[i] = row.method, math.max(row.max_tv, 1e-9), math.max(row.mean_tv, 1e-9)
  end
  local figure = plot.new {title = "unfairness, " .. one.words, ylabel = "total variation",
    yscale = "log"}
  figure:bars(names, max, {label = "largest"})
  figure:bars(names, mean, {label = "mean"})
  save(figure, one.dir .. "/unfairness.png")
end

local function bars_of_truth(one, by_method)
  local plot = require "lua_equi.plot"
  local names, text
  local figure = plot.new {title = "total variation between groups, " .. one.words,
    ylabel = "TV of the next word", width = 1200}
  for _, m in ipairs(by_method) do
    local heights = {}
    if not names then
      names, text = {}, {}
      for i, r in ipairs(m.rows) do names[i], text[i] = r.context, r.truth end
      figure:bars(names, text, {label = "in the text"})
    end
    for i, r in ipairs(m.rows) do heights[i] = r.learned end
    figure:bars(names, heights, {label = m.method})
  end
  save(figure, one.dir .. "/contexts.png")
end

--- Exact unfairness of every method over the contexts, and where it is largest.
---@param one table options of the run
---@return table result
function tasks.audit(one)
  local run = open(one)
  local contexts = contexts_of(one, run)
  local result, by_method = {rows = {}, worst = {}}, {}
  for i, method in ipairs(one.methods) do
    local model = run.variant(method)
    local report = equi.fairness.audit(model, run.words, contexts)
    local row = {method = run.title(method), contexts = #contexts, max_tv = report.max_tv,
      mean_tv = report.mean_tv, max_kl = report.max_kl, mean_kl = report.mean_kl}
    local rows = add_truth(row, run, one, model)
    if rows then by_method[#by_method + 1] = {method = row.method, rows = rows} end
    result.rows[i] = row
    result.worst[i] = {method = row.method, contexts = report.worst, tokens = report.tokens}
  end
  result.prompts = by_method
  bars_of_audit(one, result.rows)
  if #by_method > 0 then bars_of_truth(one, by_method) end
  return result
end

-- ---- generation ----

-- The element that takes the first group's name to the k-th's, told by what it makes of a prompt.
local function element_to(run, k)
  local from, to = run.subjects[1] .. " was", run.subjects[k] .. " was"
  for _, g in ipairs(run.words.group:elements()) do
    if run.words:move(g, from) == to then return g end
  end
  error(('no element takes "%s" to "%s": the words are not in the vocabulary'):format(from, to), 0)
end

-- Continuations of all groups' prompts with equal seeds: [context][group], of equi.generate.
local function samples_of(one, run, model)
  local list = {}
  for c, context in ipairs(run.contexts) do
    list[c] = {}
    for k, subject in ipairs(run.subjects) do
      list[c][k] = equi.generate(model, subject .. " " .. context, {tokens = one.tokens,
        samples = one.samples, temperature = one.temperature, top_k = one.top_k, stop = {"\n"},
        seed = (one.seed << 24) + c * one.samples, tokenizer = run.tokenizer})
    end
  end
  return list
end

-- One line of UTF-8, since a model may say any bytes.
local function clean(text)
  text = text:gsub("%c", " "):gsub("^%s+", ""):gsub("%s+$", "")
  local ok, at = utf8.len(text)
  while not ok do
    text = text:sub(1, at - 1) .. "?" .. text:sub(at + 1)
    ok, at = utf8.len(text)
  end
  return text
end

-- Lines of a table, and how many continuations are the first group's up to the swap.
local function compare(one, run, all)
  local lines, elements, same, count = {{"context", "who", "goes on"}}, {}, 0, 0
  for k in ipairs(run.subjects) do elements[k] = element_to(run, k) end
  for c, context in ipairs(run.contexts) do
    for s = 1, one.samples do
      for k, subject in ipairs(run.subjects) do
        local text = clean(all[c][k].texts[s])
        lines[#lines + 1] = {k == 1 and s == 1 and context or "", subject, text}
        if k > 1 then
          local moved = run.words:move(elements[k], all[c][1].ids[s])
          local equal = table.concat(moved, " ") == table.concat(all[c][k].ids[s], " ")
          same, count = same + (equal and 1 or 0), count + 1
        end
      end
    end
  end
  return lines, same, count
end

--- Continuations of every group's prompts with equal seeds, side by side.
---@param one table options of the run
---@return table result
function tasks.generate(one)
  local run = open(one)
  local result = {rows = {}, samples = {}}
  for i, method in ipairs(one.methods) do
    local title = run.title(method)
    local lines, same, count = compare(one, run, samples_of(one, run, run.variant(method)))
    print(("%s, %s\n\n%s\n"):format(title, one.words, log.table(lines, {header = true})))
    result.rows[i] = {method = title, same = 100 * same / count, pairs = count}
    result.samples[i] = {method = title, lines = lines}
  end
  return result
end

--- Samples of every method about every group, judged by a classifier of regard.
---@param one table options of the run
---@return table result
function tasks.regard(one) return study.run(one, open(one), one.here) end

return tasks
