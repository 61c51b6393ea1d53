--- What classifier the options of equi.models.bert mean: its configuration, labels and weights.
--
-- A field is a default, or of config.json, or of the options, the later one counts. Files are
-- untrusted: every field is checked before anything is made of it, and the sizes that it claims
-- against the weights. Names in weights become those of Hugging Face's sequence classifier, also
-- from older files (gamma and beta) and from an encoder alone. Messages are raised without a line,
-- "bert: ...". NOT the model (models/bert.lua).
local arguments = require "lua_equi.arguments"
local hugging_face = require "lua_equi.formats.hugging_face"
local json = require "lua_equi.json"
local options = require "lua_equi.options"
local weights = require "lua_equi.weights"

local bert_config = {}

local DEFAULTS = {vocab_size = 30522, hidden_size = 768, num_hidden_layers = 12,
  num_attention_heads = 12, intermediate_size = 3072, hidden_act = "gelu",
  hidden_dropout_prob = 0.1, attention_probs_dropout_prob = 0.1, max_position_embeddings = 512,
  type_vocab_size = 2, initializer_range = 0.02, layer_norm_eps = 1e-12, pad_token_id = 0}
local WHOLE = {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
  "intermediate_size", "max_position_embeddings", "type_vocab_size"}
local ACTIVATIONS = {"gelu", "gelu_new", "gelu_pytorch_tanh", "relu"}
local MOST = (1 << 31) - 1

--- The options of equi.models.bert.
bert_config.options = {folder = options.any(), labels = options.any(), num_labels = options.any(),
  classifier_dropout = options.any()}
for field in pairs(DEFAULTS) do bert_config.options[field] = options.any() end

local function refuse(format, ...) error("bert: " .. format:format(...), 0) end

-- ---- fields ----

local function check_field(c, from, field, ok, wanted)
  if ok then return end
  refuse("%s%s must be %s, got %s", field, from[field] and " of " .. from[field] or "", wanted,
    arguments.shown(c[field]))
end

local function check_fields(c, from)
  for _, field in ipairs(WHOLE) do
    local v = c[field]
    check_field(c, from, field, math.type(v) == "integer" and v >= 1 and v <= MOST,
      "a whole number of at least 1")
  end
  for _, field in ipairs {"hidden_dropout_prob", "attention_probs_dropout_prob",
    "classifier_dropout"} do
    local v = c[field]
    local ok = type(v) == "number" and v >= 0 and v < 1
    check_field(c, from, field, ok or v == nil and field == "classifier_dropout",
      "a number of at least 0 and below 1")
  end
  for _, field in ipairs {"layer_norm_eps", "initializer_range"} do
    local v = c[field]
    check_field(c, from, field, type(v) == "number" and v >= 0 and v < math.huge,
      "a number of at least 0")
  end
  local known = false
  for _, name in ipairs(ACTIVATIONS) do known = known or name == c.hidden_act end
  check_field(c, from, "hidden_act", known, "one of " .. table.concat(ACTIVATIONS, ", "))
  check_field(c, from, "position_embedding_type",
    c.position_embedding_type == nil or c.position_embedding_type == "absolute", "absolute")
  if c.hidden_size % c.num_attention_heads ~= 0 then
    refuse("hidden_size = %d does not divide into num_attention_heads = %d", c.hidden_size,
      c.num_attention_heads)
  end
end

-- ---- labels ----

local function check_labels(labels, where)
  if type(labels) ~= "table" or #labels < 2 then
    refuse("labels%s must be a list of at least 2 names, got %s", where,
      type(labels) == "table" and #labels or arguments.shown(labels))
  end
  local seen = {}
  for i, name in ipairs(labels) do
    if type(name) ~= "string" or name == "" then
      refuse("label %d%s must be a name, got %s", i, where, arguments.shown(name))
    end
    if seen[name] then
      refuse('label "%s"%s stands at %d and at %d', name, where, seen[name], i)
    end
    seen[name] = i
  end
  return table.move(labels, 1, #labels, 1, {})
end

local function numbered(n)
  local labels = {}
  for i = 1, n do labels[i] = ("LABEL_%d"):format(i - 1) end
  return labels
end

-- The names in id2label, whose keys count from 0 in texts; nil when the file names none.
local function file_labels(settings, path)
  local names = settings.id2label
  if names == nil then
    local n = settings.num_labels
    return math.type(n) == "integer" and n >= 2 and n <= 100000 and numbered(n) or nil
  end
  if type(names) ~= "table" or json.is_array(names) then
    refuse("id2label of %s must be an object of names", path)
  end
  local labels, count = {}, 0
  for _ in pairs(names) do count = count + 1 end
  for i = 0, count - 1 do
    labels[i + 1] = names[tostring(i)]
    if labels[i + 1] == nil then
      refuse("id2label of %s has %d names, but none at %d", path, count, i)
    end
  end
  return check_labels(labels, " of " .. path)
end

-- The labels that the options ask for; nil when they leave it to the file.
local function given_labels(o)
  if o.num_labels ~= nil then
    if math.type(o.num_labels) ~= "integer" or o.num_labels < 2 then
      refuse("num_labels must be a whole number of at least 2, got %s",
        arguments.shown(o.num_labels))
    end
    if o.labels and #o.labels ~= o.num_labels then
      refuse("num_labels = %d, but there are %d labels", o.num_labels, #o.labels)
    end
  end
  if o.labels ~= nil then return check_labels(o.labels, "") end
  return o.num_labels and numbered(o.num_labels) or nil
end

-- ---- weights ----

local ENCODER = {embeddings = true, encoder = true, pooler = true}

--- The name of a tensor as Hugging Face's BertForSequenceClassification has it; false for what a
--- classifier does without: the heads of pretraining, and the list of positions.
---@param name string
---@return string|false
function bert_config.name(name)
  if name:find "^cls%." or name:find "position_ids$" then return false end
  if ENCODER[name:match "^[^.]*"] then name = "bert." .. name end
  return (name:gsub("LayerNorm%.gamma$", "LayerNorm.weight")
    :gsub("LayerNorm%.beta$", "LayerNorm.bias"))
end

local function rows_of(state, name, dim)
  local x = state[name]
  return x and x.ndim >= dim and x:size(dim) or 0
end

-- Sizes in the configuration against those of the weights, before a model of that size is made.
local function check_sizes(c, from, state, path)
  local layers = 0
  for name in pairs(state) do
    local i = math.tointeger(tonumber(name:match "^bert%.encoder%.layer%.(%d+)%." or nil))
    if i and i + 1 > layers then layers = i + 1 end
  end
  local found = {
    vocab_size = rows_of(state, "bert.embeddings.word_embeddings.weight", 1),
    hidden_size = rows_of(state, "bert.embeddings.word_embeddings.weight", 2),
    max_position_embeddings = rows_of(state, "bert.embeddings.position_embeddings.weight", 1),
    type_vocab_size = rows_of(state, "bert.embeddings.token_type_embeddings.weight", 1),
    intermediate_size = rows_of(state, "bert.encoder.layer.0.intermediate.dense.weight", 1),
    num_hidden_layers = layers,
  }
  if found.vocab_size == 0 then
    refuse("%s holds no bert.embeddings.word_embeddings.weight: it is not a BERT's", path)
  end
  for _, field in ipairs(WHOLE) do
    if found[field] and found[field] ~= c[field] then
      refuse("%s of %s is %d, the weights in %s have %d", field, from[field] or "the defaults",
        c[field], path, found[field])
    end
  end
end

-- Which labels the classifier in the weights tells apart: the names of config.json where they fit.
local function head_labels(state, path, named, asked)
  local n = rows_of(state, "classifier.weight", 1)
  if n > 0 and named and #named ~= n then
    refuse("id2label names %d labels, classifier.weight in %s has %d rows", #named, path, n)
  end
  if asked and #asked ~= n then return asked, true end
  if n == 0 then
    refuse("%s holds no classifier.weight; with labels or num_labels the model gets a new one",
      path)
  end
  if n < 2 then refuse("classifier.weight in %s has one row, it needs two classes", path) end
  return asked or named or numbered(n), false
end

local function read_folder(folder, c, from)
  if type(folder) ~= "string" then
    refuse("folder must be a path, got %s", arguments.shown(folder))
  end
  local settings, path = hugging_face.config(folder)
  if not settings then refuse("%s", path) end
  if settings.model_type ~= nil and settings.model_type ~= "bert" then
    refuse('model_type of %s is %s; "bert" is what can be loaded', path,
      arguments.shown(settings.model_type))
  end
  for field, value in pairs(settings) do c[field], from[field] = value, path end
  local named = file_labels(settings, path)
  local file, problem = hugging_face.weights(folder)
  if not file then refuse("%s", problem) end
  return named, file
end

--- The configuration that the options of equi.models.bert ask for, and the weights.
---
--- c.labels are the names of the classes in the order of the logits.
---@param o table options, checked against bert_config.options
---@return table c
---@return table? state tensors by name
---@return boolean is_new whether the classifier is not among them
function bert_config.resolve(o)
  local c, from, asked = {}, {}, given_labels(o)
  local named, file
  for field, value in pairs(DEFAULTS) do c[field] = value end
  if o.folder ~= nil then named, file = read_folder(o.folder, c, from) end
  c.id2label, c.label2id, c.num_labels = nil, nil, nil
  for field in pairs(bert_config.options) do
    if field ~= "folder" and field ~= "seed" and field ~= "num_labels" and o[field] ~= nil then
      c[field], from[field] = o[field], "the options"
    end
  end
  check_fields(c, from)
  if not file then
    c.labels = asked or numbered(2)
    return c, nil, true
  end
  local state, problem = weights.read(file, {rename = bert_config.name})
  if not state then refuse("%s", problem) end
  check_sizes(c, from, state, file)
  local is_new
  c.labels, is_new = head_labels(state, file, named, asked)
  return c, state, is_new
end

--- What is written as config.json: Hugging Face's fields only.
---@param c table
---@return string text
function bert_config.encode(c)
  local settings = {}
  for field, value in pairs(c) do settings[field] = value end
  settings.labels = nil
  settings.model_type, settings.architectures = "bert", json.array {"BertForSequenceClassification"}
  settings.id2label, settings.label2id = {}, {}
  for i, name in ipairs(c.labels) do
    settings.id2label[tostring(i - 1)], settings.label2id[name] = name, i - 1
  end
  return json.encode(settings, {indent = 2}) .. "\n"
end

return bert_config
