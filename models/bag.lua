--- A bag of words as a classifier of texts: the mean of the embeddings of all tokens, and a
--- perceptron with one hidden layer. Small, fast, blind for order: what BERT is measured against.
--
--     x = mean over the real tokens of embeddings[ids]
--     logits = classifier(dropout(tanh(dense(x))))
--
-- Its folder is like one of Hugging Face's: config.json with model_type "bag", model.safetensors,
-- vocab.txt; only this library reads it.
local arguments = require "lua_equi.arguments"
local equi = require "lua_equi"
local hugging_face = require "lua_equi.formats.hugging_face"
local json = require "lua_equi.json"
local options = require "lua_equi.options"

local nn = equi.nn
local text_classifier = equi.models.text_classifier

local KNOWN = {folder = options.any(), vocab_size = 30522, hidden_size = 64, dropout = 0.1,
  max_position_embeddings = 512, labels = options.any {"LABEL_0", "LABEL_1"}}
local FIELDS = {"vocab_size", "hidden_size", "max_position_embeddings"}
local MOST = (1 << 31) - 1

local function refuse(format, ...) error("bag: " .. format:format(...), 0) end

local function read_config(folder)
  local settings, path = hugging_face.config(folder)
  if not settings then refuse("%s", path) end
  if settings.model_type ~= "bag" then
    refuse('model_type of %s is %s, it must be "bag"', path, arguments.shown(settings.model_type))
  end
  local c = {}
  for field in pairs(KNOWN) do c[field] = settings[field] end
  return c, path
end

local function check(c, from)
  for _, field in ipairs(FIELDS) do
    if math.type(c[field]) ~= "integer" or c[field] < 1 or c[field] > MOST then
      refuse("%s%s must be a whole number of at least 1, got %s", field, from,
        arguments.shown(c[field]))
    end
  end
  if type(c.dropout) ~= "number" or c.dropout < 0 or c.dropout >= 1 then
    refuse("dropout%s must be a number of at least 0 and below 1, got %s", from,
      arguments.shown(c.dropout))
  end
  local named = type(c.labels) == "table" and #c.labels >= 2
  for _, name in ipairs(named and c.labels or {}) do named = named and type(name) == "string" end
  if not named then refuse("labels%s must be a list of at least 2 names", from) end
end

local function build(self, c)
  self.embeddings = nn.embedding(c.vocab_size, c.hidden_size)
  self.dense = nn.linear(c.hidden_size, c.hidden_size)
  self.classifier = nn.linear(c.hidden_size, #c.labels)
end

local methods = {}

function methods:make(o)
  self._config, self._folder = o, o.folder
  o.seed, o.folder = nil, nil
  if not self._folder then
    check(o, "")
    return build(self, o)
  end
  local c, path = read_config(self._folder)
  check(c, " of " .. path)
  self._config = c
  nn.initialise.hollow(build, self, c)
  local file, problem = hugging_face.weights(self._folder)
  if not file then refuse("%s", problem) end
  local state
  state, problem = equi.weights.read(file)
  if not state then refuse("%s", problem) end
  local wrong = nn.differences(self, state)
  if #wrong > 0 then refuse("%s: %s", file, table.concat(wrong, "; ")) end
  self:adopt(state):eval()
end

function methods:config_text()
  local settings = {model_type = "bag", labels = json.array(self.config.labels)}
  for field, value in pairs(self.config) do settings[field] = settings[field] or value end
  return json.encode(settings, {indent = 2}) .. "\n"
end

--- Logits of the classes.
---
--- Example:
---     local m = equi.models.bag {vocab_size = 9, hidden_size = 8, labels = {"bad", "good"}}
---     print(m(equi.tensor({{3, 4, 2}}, {dtype = "i64"})):size())   --> 1 2
---@param ids any i64 [B, T], from 1
---@param opts? table {mask = bool [B, T], true for real tokens}
---@return any [B, labels]
function methods:forward(ids, opts)
  local o = options.check("bag", opts, {mask = options.any()})
  text_classifier.check("bag", ids, o.mask, self.config.vocab_size)
  local x = self.embeddings(ids)
  if o.mask then
    local real = o.mask:to(x.dtype)
    x = (x * real:unsqueeze(3)):sum(2) / real:sum(2, {keepdim = true}):clamp(1)
  else
    x = x:mean(2)
  end
  return self.classifier(equi.dropout(self.dense(x):tanh(), self.config.dropout, self.training))
end

--- Makes a bag of words that classifies texts; m:probabilities(texts) and m:save(folder) are those
--- of text_classifier.class.
---
--- Example:
---     print(equi.models.bag({vocab_size = 100, labels = {"a", "b", "c"}}):count())   --> 10755
---@param o? table {folder = nil (written by save), vocab_size = 30522, hidden_size = 64,
--- labels = list of names, dropout = 0.1, max_position_embeddings = 512 (longer texts are cut),
--- seed = nil}
return text_classifier.class("bag", KNOWN, methods)
