--- The study of regard: in what regard a language model holds people of a demographic (Sheng et
--- al., EMNLP 2019; for equivariant models, Basu et al., AAAI 2023).
--
--     prompts x demographics x samples -> texts -> masked -> a classifier -> shares of
--     other, positive, neutral, negative
--
-- Samples of different demographics are drawn with equal random numbers, so that a model that is
-- fair as equi.fairness.equigpt2 makes it gives each demographic the same texts. Masking is
-- regard/mask.lua, counting, tables and pictures are regard/result.lua. NOT here: the classifier
-- (models/bert.lua, scripts/train_regard.lua), and exact measures of fairness.
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local data = require "lua_equi.data.regard"
local hugging_face = require "lua_equi.formats.hugging_face"
local mask = require "lua_equi.fairness.regard.mask"
local options = require "lua_equi.options"
local result = require "lua_equi.fairness.regard.result"

local regard = {mask = mask.mask, fill = mask.fill, interval = result.interval,
  plot = result.plot}

--- The ten prompts of the study: {text = "XYZ was known for", kind = "respect"} and so on.
regard.prompts = {}
for i, context in ipairs(require("lua_equi.data.people.phrases").contexts) do
  regard.prompts[i] = {text = "XYZ " .. context.text, kind = context.kind}
end

--- The demographics of the study, by attribute.
regard.demographics = {gender = {"The man", "The woman"},
  race = {"The Black person", "The White person"},
  orientation = {"The gay person", "The straight person"}}

local ATTRIBUTE_OF = {}
for attribute, names in pairs(regard.demographics) do
  for _, name in ipairs(names) do ATTRIBUTE_OF[name] = attribute end
end

local function fail(who, ...) error(("regard.%s: %s"):format(who, string.format(...)), 0) end

-- ---- classifiers ----

-- Which class each column of a classifier is.
local function classes_of(who, labels)
  local classes, seen, unknown = {}, {}, {}
  for i, label in ipairs(labels) do
    local class = data.class(label)
    if not class then unknown[#unknown + 1] = ('"%s"'):format(tostring(label)) end
    if class and seen[class] then
      fail(who, "labels: %s stands twice, at %d and %d", data.names[class], seen[class], i)
    end
    classes[i] = class
    if class then seen[class] = i end
  end
  if #unknown > 0 then
    fail(who, "the classifier's labels hold %s; say what they are: labels = {%s}, as many and in "
      .. "this order", table.concat(unknown, ", "), '"' .. table.concat(data.names, '", "') .. '"')
  end
  return classes
end

-- A classifier as a function of texts, and the labels of its columns.
local function open_classifier(who, classifier, labels)
  local call, own = classifier, nil
  if type(classifier) == "table" and classifier.probabilities then
    own = classifier.config and classifier.config.labels
    call = function(texts) return classifier:probabilities(texts) end
  elseif not arguments.is_callable(classifier) then
    fail(who, "classifier must be a model with probabilities(texts), such as equi.models.bert "
      .. "{folder = ...}, or a function of texts, got %s", arguments.shown(classifier))
  end
  if labels ~= nil and type(labels) ~= "table" then
    fail(who, "labels must be a list, got %s", arguments.shown(labels))
  end
  if labels and own and #labels ~= #own then
    fail(who, "labels names %d classes, the classifier has %d", #labels, #own)
  end
  labels = labels or own
  return call, labels and classes_of(who, labels)
end

local function largest(row)
  local best = 1
  for i = 2, #row do
    if row[i] > row[best] then best = i end
  end
  return best
end

-- The class of one text, and its probabilities by name, out of what a classifier says.
local function judge(who, said, i, columns)
  if type(said) ~= "table" then
    local class = data.class(said)
    if not class then
      fail(who, "the classifier says %s of text %d; labels are %s or %s", arguments.shown(said), i,
        table.concat(data.labels, ", "), table.concat(data.names, ", "))
    end
    return class
  end
  if not columns then
    fail(who, "the classifier returns probabilities; say of which classes: labels = {\"%s\"}",
      table.concat(data.names, '", "'))
  end
  if #said ~= #columns then
    fail(who, "the classifier gives %d probabilities for text %d, labels are %d", #said, i,
      #columns)
  end
  local named = {}
  for k, class in ipairs(columns) do
    if type(said[k]) ~= "number" or said[k] ~= said[k] then
      fail(who, "probability %d of text %d is %s", k, i, arguments.shown(said[k]))
    end
    named[data.names[class]] = said[k]
  end
  return columns[largest(said)], named
end

-- Fills regard and probabilities into the samples; `rows` texts at a time.
local function classify(who, samples, o)
  local call, columns = open_classifier(who, o.classifier, o.labels)
  for from = 1, #samples, o.rows do
    local texts, to = {}, math.min(#samples, from + o.rows - 1)
    for i = from, to do texts[#texts + 1] = samples[i].masked end
    local said = call(texts)
    if core.is_tensor(said) then said = said:totable() end
    if type(said) ~= "table" or #said ~= #texts then
      fail(who, "the classifier returned %s for %d texts; one label or one row of probabilities "
        .. "for each is needed", type(said) == "table" and #said or arguments.shown(said), #texts)
    end
    for k = 1, #texts do
      local class, probabilities = judge(who, said[k], from + k - 1, columns)
      samples[from + k - 1].regard = data.names[class]
      samples[from + k - 1].probabilities = probabilities
    end
  end
  local told = columns and {}
  for _, class in ipairs(columns or {}) do told[data.names[class]] = true end
  return result.new(samples, ATTRIBUTE_OF, told)
end

-- Runs f, and raises what it raises at the line that called the public function.
local function at_caller(f, ...)
  local ok, value = pcall(f, ...)
  if ok then return value end
  local here = "^[^\n]-lua_equi[/\\]fairness[/\\]regard[^\n]-:%d+: (regard%..*)$"
  local own = type(value) == "string" and (value:match "^regard%..*" or value:match(here))
  return error(own or value, own and 3 or 0)
end

local SCORE = {classifier = options.any(), labels = options.any(), rows = 64, mentions = "first"}

local function score(samples, o)
  arguments.whole("regard.score", "rows", o.rows)
  if type(samples) ~= "table" or #samples == 0 then
    fail("score", "samples must be a list of {text, demographic}, got %s",
      type(samples) == "table" and "none" or arguments.shown(samples))
  end
  local list = {}
  for i, s in ipairs(samples) do
    if type(s) ~= "table" or type(s.text) ~= "string" or type(s.demographic) ~= "string" then
      fail("score", "sample %d has no text and demographic", i)
    end
    local copy = {}
    for key, value in pairs(s) do copy[key] = value end
    local masked, count = mask.mask(s.text, s.demographic, {mentions = o.mentions})
    copy.masked = masked
    if count == 0 then
      fail("score", 'sample %d does not mention "%s": "%s"', i, s.demographic, s.text:sub(1, 60))
    end
    list[i] = copy
  end
  return classify("score", list, o)
end

--- Scores texts that exist: masks them, classifies them, counts.
---
--- The classifier is a model with probabilities(texts) such as equi.models.bert {folder = ...}, or
--- a function of a list of texts that returns a label for each ("negative", "neutral", "positive",
--- "other", or -1, 0, 1, 2), or probabilities [texts, classes] (a tensor or lists) of the classes
--- in `labels`. A classifier whose labels have other names needs `labels` too. The likeliest class
--- counts. Demographics of different attributes in regard.demographics are not compared.
---@param samples table[] list of {text, demographic}, perhaps kind ("respect") and others
---@param opts {classifier: any, labels: string[], rows: integer, mentions: string} default of rows
--- (texts at a time) 64, of mentions "first" (see regard.mask)
---@return table result {samples, demographics, kinds, classes (which the classifier tells apart),
--- shares[kind][demographic][class] = {share, low, high, count}, differences[kind] = list of
--- {first, second, variation, [class] = {difference, low, high}}}; kind "all" is all samples.
--- Methods: table, plot, write
--- Example:
---     local regard = require "lua_equi.fairness.regard"
---     local samples = {{text = "The man was kind.", demographic = "The man"},
---       {text = "The woman was late.", demographic = "The woman"}}
---     local function classify(texts)
---       local labels = {}
---       for i, t in ipairs(texts) do labels[i] = t == "XYZ was kind." and 1 or -1 end
---       return labels
---     end
---     local r = regard.score(samples, {classifier = classify})
---     print(r.shares.all["The man"].positive.share, r.differences.all[1].variation)   --> 1.0 1.0
function regard.score(samples, opts)
  local o = options.check("regard.score", opts, SCORE)
  local found = at_caller(score, samples, o)
  return found
end

--- The classifier in a folder: BERT in Hugging Face's layout, or what scripts/train_regard.lua
--- wrote, with the vocab.txt of its WordPiece tokenizer. Raises what keeps it from being used.
---@param folder string
---@return any model with probabilities(texts) and config.labels, for regard.score and regard.study
--- Example:
---     local regard = require "lua_equi.fairness.regard"
---     print((select(2, pcall(regard.classifier, "no/such")):match "regard.*"))
---     --> regard.classifier: json.read: no/such/config.json: No such file or directory
function regard.classifier(folder)
  if type(folder) ~= "string" then
    error(("regard.classifier: folder must be a path, got %s"):format(arguments.shown(folder)), 2)
  end
  local config, problem = hugging_face.config(folder)
  if not config then error("regard.classifier: " .. problem, 2) end
  local f = io.open(folder .. "/vocab.txt", "rb")
  if not f then
    error(("regard.classifier: there is no vocab.txt in %s, so texts cannot be read"):format(
      folder), 2)
  end
  f:close()
  local models = require("lua_equi").models
  local model = config.model_type == "bag" and models.bag or models.bert
  local made = model {folder = folder}
  local tokens = #made.tokenizer
  if tokens ~= made.config.vocab_size then
    error(("regard.classifier: vocab.txt in %s has %d tokens, vocab_size is %d"):format(folder,
      tokens, made.config.vocab_size), 2)
  end
  return made
end

-- ---- sampling ----

local STUDY = {model = options.any(), generate = options.any(), classifier = options.any(),
  labels = options.any(), demographics = {"The man", "The woman"}, prompts = regard.prompts,
  samples = 100, seed = 0, rows = 50, mentions = "first", sentence = true, tokens = 15,
  top_k = 40, temperature = 1, tokenizer = options.any(), progress = options.any()}

-- A language model as a function of prompts and seeds.
local function generator(o)
  if o.generate ~= nil then
    if not arguments.is_callable(o.generate) then
      fail("study", "generate must be a function of prompts and seeds, got %s",
        arguments.shown(o.generate))
    end
    if o.model ~= nil then fail("study", "give model or generate, not both") end
    return o.generate
  end
  if o.model == nil then fail("study", "give model, a language model, or generate, a function") end
  local equi = require "lua_equi"
  return function(prompts, seeds)
    local out = equi.generate(o.model, prompts, {tokens = o.tokens, top_k = o.top_k,
      temperature = o.temperature, stop = {"\n"}, seed = seeds, tokenizer = o.tokenizer})
    if out.interrupted then error("interrupted!", 0) end -- half texts are no samples
    return out.texts
  end
end

local function read_prompts(list)
  if type(list) ~= "table" or #list == 0 then
    fail("study", "prompts must be a list such as {\"XYZ was known for\"}, got %s",
      type(list) == "table" and "none" or arguments.shown(list))
  end
  local prompts = {}
  for i, p in ipairs(list) do
    prompts[i] = type(p) == "table" and p or {text = p}
    if type(prompts[i].text) ~= "string" then
      fail("study", "prompt %d must be a text, got %s", i, arguments.shown(p))
    end
  end
  return prompts
end

-- Every sample to come, with the seed that those of other demographics have at the same place.
local function planned(o)
  local list = {}
  for _, demographic in ipairs(o.demographics) do
    for p, prompt in ipairs(read_prompts(o.prompts)) do
      for s = 1, o.samples do
        list[#list + 1] = {demographic = demographic, kind = prompt.kind, sample = s,
          prompt = mask.fill(prompt.text, demographic),
          seed = (o.seed << 24) + (p - 1) * o.samples + s - 1}
      end
    end
  end
  return list
end

-- What a model said behind the prompt, up to the end of the line or of the first sentence.
local function finished(prompt, text, sentence)
  if text:sub(1, #prompt) ~= prompt then text = prompt .. text end
  text = text:gsub("\n.*$", ""):gsub("<|endoftext|>.*$", ""):gsub("%s+$", "")
  return sentence and text:match "^(.-[.!?]['\"]?)%s" or text
end

local function study(o)
  for _, name in ipairs {"samples", "rows", "tokens"} do
    arguments.whole("regard.study", name, o[name])
  end
  if math.type(o.seed) ~= "integer" then
    fail("study", "seed must be a whole number, got %s", arguments.shown(o.seed))
  end
  open_classifier("study", o.classifier, o.labels) -- before minutes of sampling
  local generate, list = generator(o), planned(o)
  for from = 1, #list, o.rows do
    local prompts, seeds, to = {}, {}, math.min(#list, from + o.rows - 1)
    for i = from, to do
      prompts[#prompts + 1], seeds[#seeds + 1] = list[i].prompt, list[i].seed
    end
    local texts = generate(prompts, seeds)
    if type(texts) ~= "table" or #texts ~= #prompts then
      fail("study", "generate returned %s for %d prompts; one text for each is needed",
        type(texts) == "table" and #texts .. " texts" or arguments.shown(texts), #prompts)
    end
    for i = from, to do
      local s = list[i]
      s.text = finished(s.prompt, texts[i - from + 1], o.sentence)
      s.masked = mask.mask(s.text, s.demographic, {mentions = o.mentions})
    end
    if o.progress then o.progress(to, #list) end
  end
  return classify("study", list, o)
end

--- The whole study: a language model goes on with every prompt about every demographic, `samples`
--- times each; the texts are masked, classified and counted.
---
--- model is anything that equi.generate takes, plain or equituned; generate(prompts, seeds) instead
--- is any function that returns one text for each prompt, with the prompt in front or without.
--- Texts end with their first sentence, as the published samples do (sentence = false: at a line
--- break). Seeds are the same for all demographics and follow from `seed`. The classifier is that
--- of regard.score. Prompts hold XYZ for the person; entries are texts or {text, kind}.
--- progress(done, all) is called now and then.
---@param opts {model: any, generate: function, classifier: any, labels: string[],
--- demographics: string[], prompts: table[], samples: integer, seed: integer, rows: integer,
--- mentions: string, sentence: boolean, tokens: integer, top_k: integer, temperature: number,
--- tokenizer: any, progress: function} defaults: demographics {"The man", "The woman"},
--- regard.prompts (ten), samples 100, seed 0, rows (at a time) 50, sentence true, tokens 15,
--- top_k 40, temperature 1
---@return table result as of regard.score
--- Example:
---     local regard = require "lua_equi.fairness.regard"
---     local function parrot(prompts)
---       local texts = {}
---       for i in ipairs(prompts) do texts[i] = " being kind." end
---       return texts
---     end
---     local function classify(texts)
---       local labels = {}
---       for i, t in ipairs(texts) do labels[i] = t:find "kind" and "positive" or "neutral" end
---       return labels
---     end
---     local r = regard.study {generate = parrot, classifier = classify, samples = 2}
---     print(#r.samples, r.samples[1].masked)   --> 40 XYZ was known for being kind.
function regard.study(opts)
  local o = options.check("regard.study", opts, STUDY)
  local found = at_caller(study, o)
  return found
end

--- Reads samples that a model made earlier, one text a line, plain or .gz; each begins with one of
--- the demographics. The prompt is recognised where it is one of regard.prompts.
---@param path string
---@param opts? {demographics: string[]} default: all of regard.demographics
---@return table[]? samples list of {text, demographic, prompt, kind}, as regard.score takes them
---@return string? message with the line's number
--- Example:
---     local regard = require "lua_equi.fairness.regard"
---     print(regard.read "no/such.tsv")
---     --> nil regard.read: no/such.tsv: No such file or directory
function regard.read(path, opts)
  local o = options.check("regard.read", opts, {demographics = options.any()})
  local demographics, list = o.demographics or {}, {}
  if not o.demographics then
    for _, names in pairs(regard.demographics) do
      for _, name in ipairs(names) do demographics[#demographics + 1] = name end
    end
    table.sort(demographics)
  end
  local lines, problem = data.lines(path)
  if not lines then return nil, "regard.read: " .. problem end
  for i, line in ipairs(lines) do
    local sample
    for _, demographic in ipairs(demographics) do
      if line:sub(1, #demographic + 1) == demographic .. " " then
        sample = {text = line, demographic = demographic}
      end
    end
    if not sample then
      return nil, ('regard.read: %s: line %d begins with none of the demographics %s: "%s"'):format(
        path, i, table.concat(demographics, ", "), line:sub(1, 40))
    end
    for _, prompt in ipairs(regard.prompts) do
      local filled = mask.fill(prompt.text, sample.demographic)
      if line:sub(1, #filled) == filled then sample.prompt, sample.kind = filled, prompt.kind end
    end
    list[i] = sample
  end
  return list
end

return regard
