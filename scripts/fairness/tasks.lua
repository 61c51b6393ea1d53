--- What a run of fairness.lua does, one function a task: audit, generate, perplexity, finetune,
--- regard. Each gets the options of the run and returns {rows = list, ...}.
local equi = require "lua_equi"
local log = require "lua_equi.log"
local pictures = require "scripts.fairness.pictures"
local setup = require "scripts.fairness.setup"
local study = require "scripts.fairness.study"
local truth = require "scripts.fairness.truth"

local tasks = {}

-- What Ctrl-C cut off is no result.
local function whole(r)
  if r.interrupted then error("interrupted!", 0) end
  return r
end

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
    multi = one.multi, size = model.config.vocab_size, is_shipped = one.model == ""})
  tell_left_out(words)
  local r = {model = model, tokenizer = tokenizer, words = words, attributes = attributes,
    subjects = setup.subjects(attributes), contexts = setup.contexts(one.prompts or "")}
  r.methods = {}
  for _, method in ipairs(one.methods) do -- R-EquiGPT2 is EquiGPT2 where no word is general
    if method ~= "relaxed" or #words.general > 0 then r.methods[#r.methods + 1] = method end
  end
  function r.variant(method) return setup.variant(method, model, words, one.combine) end
  function r.title(method) return setup.title(method, one.combine) end
  return r
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

-- What a report of equi.fairness.audit says, as fields of a row.
local function add_unfairness(row, model, run, contexts, label)
  local report = equi.fairness.audit(model, run.words, contexts, {progress = label ~= nil})
  row.max_tv, row.mean_tv = report.tv_max, report.tv_mean
  row.max_kl, row.mean_kl = report.kl_max, math.max(0, report.kl_mean) -- of 0, rounding is left
  return report
end

-- The worst contexts and tokens, for reading and for the result.
local function worst_of(report)
  local contexts, tokens = {}, {}
  for i, c in ipairs(report.worst) do
    contexts[i] = {text = clean(c.text), tv = c.tv, kl = c.kl, token = c.tokens and c.tokens[1]
      and clean(c.tokens[1].token)}
  end
  for i, t in ipairs(report.tokens) do tokens[i] = {token = clean(t.token), tv = t.tv} end
  return contexts, tokens
end

local function print_worst(title, one, contexts, tokens)
  local lines, words = {{"TV", "KL", "context", "token"}}, {}
  for i = 1, math.min(5, #contexts) do
    local c = contexts[i]
    lines[i + 1] = {("%.2g"):format(c.tv), ("%.2g"):format(c.kl), c.text, c.token or ""}
  end
  for i = 1, math.min(12, #tokens) do
    words[i] = ("%s %.2g"):format(tokens[i].token, tokens[i].tv)
  end
  print(("%s, %s: the worst contexts, and the tokens with the largest share\n"):format(title,
    one.words))
  print(log.table(lines, {header = true}))
  print("\n" .. table.concat(words, "   ") .. "\n")
end

--- Exact unfairness of every method over the contexts, and where it is largest.
---@param one table options of the run
---@return table result
function tasks.audit(one)
  local run = open(one)
  local contexts = contexts_of(one, run)
  local result, by_method = {rows = {}, worst = {}}, {}
  for i, method in ipairs(run.methods) do
    local model = run.variant(method)
    local row = {method = run.title(method), contexts = #contexts}
    local report = add_unfairness(row, model, run, contexts, true)
    local rows = add_truth(row, run, one, model)
    if rows then by_method[#by_method + 1] = {method = row.method, rows = rows} end
    result.rows[i] = row
    local worst, tokens = worst_of(report)
    result.worst[i] = {method = row.method, contexts = worst, tokens = tokens}
    if row.max_tv > 1e-5 then print_worst(row.method, one, worst, tokens) end
  end
  result.prompts = by_method
  pictures.unfairness(one, result.rows)
  if #by_method > 0 then pictures.contexts(one, by_method) end
  return result
end

-- ---- perplexity and fine-tuning ----

local function perplexity_of(model, text, one, run)
  return whole(equi.fairness.perplexity(model, text, {block = one.block > 0 and one.block or nil,
    batch = 8, tokenizer = run.tokenizer, progress = true}))
end

--- Perplexity of every method on held-out text.
---@param one table options of the run
---@return table result
function tasks.perplexity(one)
  local run, result = open(one), {rows = {}}
  local text = setup.text(one.text, one.bytes, 1000 + one.seed)
  for i, method in ipairs(run.methods) do
    local r = perplexity_of(run.variant(method), text, one, run)
    result.rows[i] = {method = run.title(method), perplexity = r.perplexity, tokens = r.tokens,
      tokens_s = r.tokens / math.max(r.seconds, 1e-9)}
  end
  pictures.perplexity(one, result.rows)
  return result
end

-- A method before and after it has learned from the text.
local function tune(one, method, text, held_out, command)
  local run = open(one)
  local model, contexts = run.variant(method), contexts_of(one, run)
  local rows = {}
  local function look(state, more)
    local row = {method = run.title(method), state = state,
      perplexity = perplexity_of(model, held_out, one, run).perplexity}
    add_unfairness(row, model, run, contexts)
    for name, value in pairs(more or {}) do row[name] = value end
    rows[#rows + 1] = row
  end
  look "before"
  local path = ("%s/%s"):format(one.dir, method)
  command.checkpoint = path .. ".safetensors"
  local trained = equi.fairness.finetune(model, text, {lr = one.lr, batch = one.batch,
    epochs = one.epochs, block = one.block > 0 and one.block or nil, seed = one.seed,
    tokenizer = run.tokenizer, checkpoint = command.checkpoint, log = path, progress = true,
    every = 100, options = one.saved,
    resume = one.resume and command:goes_on(command.checkpoint, one.saved)})
  look("after", {steps = trained.step, seconds = trained.seconds})
  run.model:save(path)
  return rows
end

--- Fine-tunes every method on a text; leaves each as a folder of Hugging Face's layout.
---@param one table options of the run
---@param command table of scripts/command.lua
---@return table result
function tasks.finetune(one, command)
  local result = {rows = {}}
  local text = setup.text(one.train, one.train_bytes, 2000 + one.seed)
  local held_out = setup.text(one.text, one.bytes, 1000 + one.seed)
  for _, method in ipairs(open(one).methods) do
    for _, row in ipairs(tune(one, method, text, held_out, command)) do
      result.rows[#result.rows + 1] = row
    end
  end
  pictures.finetune(one, result.rows)
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
      list[c][k] = whole(equi.generate(model, subject .. " " .. context, {tokens = one.tokens,
        samples = one.samples, temperature = one.temperature, top_k = one.top_k, stop = {"\n"},
        seed = (one.seed << 24) + c * one.samples, tokenizer = run.tokenizer}))
    end
  end
  return list
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
  for i, method in ipairs(run.methods) do
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
