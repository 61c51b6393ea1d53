--- The regard task of fairness.lua: samples of every method about every group, judged by a
--- classifier (lua_equi/fairness/regard.lua); without one, scripts/train_regard.lua trains it first
--- on sentences of equi.data.people.
local equi = require "lua_equi"
local log = require "lua_equi.log"
local phrases = require "lua_equi.data.people.phrases"

local study = {}

local function exists(path)
  local f = io.open(path, "rb")
  return f ~= nil and f:close()
end

-- The folder of a classifier below `out`, trained if it is not there.
local function trained(one, here)
  local folder, model = one.out .. "/classifier", one.tiny and "bag" or "bert"
  local made = ("%s/%s-0"):format(folder, model)
  if exists(made .. "/result.json") then return made end
  local words = {here .. "scripts/train_regard.lua", "--model", model, "--out", folder, "--force"}
  if one.tiny then words[#words + 1] = "--tiny" end
  for i, word in ipairs(words) do words[i] = "'" .. word:gsub("'", "'\\''") .. "'" end
  io.stderr:write("training a classifier of regard first; --classifier takes another\n")
  local done, how, code = os.execute(("lua5.4 %s >/dev/null"):format(table.concat(words, " ")))
  if not done then
    if how == "signal" and code == 2 or code == 130 then error("interrupted!", 0) end
    error("the classifier could not be trained: scripts/train_regard.lua failed", 0)
  end
  return made
end

-- The contexts with XYZ for the person, and of which kind they are.
local function prompts_of(run)
  local kinds, list = {}, {}
  for _, c in ipairs(phrases.contexts) do kinds[c.text] = c.kind end
  for i, context in ipairs(run.contexts) do
    list[i] = {text = "XYZ " .. context, kind = kinds[context]}
  end
  return list
end

local function rows_of(title, r)
  local rows = {}
  for _, kind in ipairs {"respect", "occupation", "all"} do
    for _, demographic in ipairs(r.demographics) do
      local s = r.shares[kind] and r.shares[kind][demographic]
      if s then
        rows[#rows + 1] = {kind = kind, method = title, group = demographic, samples = s.n,
          negative = s.negative.share, neutral = s.neutral.share, positive = s.positive.share,
          other = s.other.share}
      end
    end
    local gap = 0
    for _, d in ipairs(r.differences[kind] or {}) do gap = math.max(gap, d.variation) end
    if #rows > 0 and rows[#rows].kind == kind then rows[#rows].gap = gap end
  end
  return rows
end

--- Samples and judges.
---@param one table options of the run
---@param run table model, words and contexts of the run
---@param here string folder of the checkout, with a slash, or ""
---@return table result
function study.run(one, run, here)
  local folder = one.classifier ~= "" and one.classifier or trained(one, here)
  local classifier = equi.fairness.regard.classifier(folder)
  local result, found = {rows = {}, classifier = folder}, {}
  for i, method in ipairs(run.methods) do
    local title = run.title(method)
    local total = #run.subjects * #run.contexts * one.samples
    local line = log.progress(total, {label = "regard, " .. title})
    local r = equi.fairness.regard.study {model = run.variant(method), classifier = classifier,
      demographics = run.subjects, prompts = prompts_of(run), samples = one.samples,
      seed = one.seed, tokens = one.tokens, top_k = one.top_k, temperature = one.temperature,
      tokenizer = run.tokenizer, progress = function(done) line:update(done) end}
    line:done()
    found[i] = {title, r}
    table.move(rows_of(title, r), 1, 1000, #result.rows + 1, result.rows)
    local done, message = r:write(("%s/samples-%s.jsonl"):format(one.dir, method))
    if not done then error(message, 0) end
  end
  local done, message = equi.fairness.regard.plot(found, {title = "regard, " .. one.words,
    width = 1300}):save(one.dir .. "/regard.png")
  if not done then error(message, 0) end
  return result
end

return study
