--- BERT (Devlin, Chang, Lee and Toutanova, "BERT: pre-training of deep bidirectional transformers",
--- NAACL 2019) as a classifier of texts, with the files of Hugging Face.
--
--     x = norm(word[ids] + position[1 .. T] + type[types])
--     x = norm(x + dense(attention(x)))    x = norm(x + dense(gelu(dense(x))))    in each layer
--     logits = classifier(tanh(pooler(x[1])))
--
-- Parameter names are those of Hugging Face's BertForSequenceClassification. Ids, types and classes
-- count from 1: the published id n is n + 1 here. Not here: pretraining, and reading configurations
-- (lua_equi/formats/bert_config.lua). Shapes: B batch, T tokens, H heads, D features of one head.
local bert_config = require "lua_equi.formats.bert_config"
local equi = require "lua_equi"
local options = require "lua_equi.options"

local nn = equi.nn
local text_classifier = equi.models.text_classifier
local NEVER = -1e30 -- forbids a place; finite, so that a row without any real token has no nan

local ACTIVATIONS = {gelu = equi.gelu, relu = equi.relu}
function ACTIVATIONS.gelu_new(x) return equi.gelu(x, "tanh") end
ACTIVATIONS.gelu_pytorch_tanh = ACTIVATIONS.gelu_new

-- ---- parts ----

-- dense, dropout, and the norm of the sum with what the part began with.
local output = nn.class("output", {
  new = function(self, inputs, c)
    self.dense = nn.linear(inputs, c.hidden_size)
    self.LayerNorm = nn.layer_norm(c.hidden_size, {eps = c.layer_norm_eps})
    self.dropout = c.hidden_dropout_prob
  end,
  forward = function(self, x, before)
    return self.LayerNorm(equi.dropout(self.dense(x), self.dropout, self.training) + before)
  end,
})

local attention = nn.class("attention", {
  new = function(self, c)
    self.self = {}
    for _, name in ipairs {"query", "key", "value"} do
      self.self[name] = nn.linear(c.hidden_size, c.hidden_size)
    end
    self.output = output(c.hidden_size, c)
    self.heads, self.dropout = c.num_attention_heads, c.attention_probs_dropout_prob
  end,
  -- x [B, T, H D]; padding [B, 1, 1, T] is true where nobody looks
  forward = function(self, x, padding)
    local b, t, width = x:size()
    local function heads(layer)
      return layer(x):reshape(b, t, self.heads, width // self.heads):transpose(2, 3)
    end
    local part = self.self
    local q, k, v = heads(part.query), heads(part.key), heads(part.value)
    local scores = q:matmul(k:transpose(3, 4)) / math.sqrt(width // self.heads)
    if padding then scores = scores:masked_fill(padding, NEVER) end
    local weights = equi.dropout(scores:softmax(-1), self.dropout, self.training)
    return self.output(weights:matmul(v):transpose(2, 3):reshape(b, t, width), x)
  end,
})

local layer = nn.class("layer", {
  new = function(self, c)
    self.attention = attention(c)
    self.intermediate = {dense = nn.linear(c.hidden_size, c.intermediate_size)}
    self.output = output(c.intermediate_size, c)
    self._activation = ACTIVATIONS[c.hidden_act]
  end,
  forward = function(self, x, padding)
    x = self.attention(x, padding)
    return self.output(self._activation(self.intermediate.dense(x)), x)
  end,
})

local embeddings = nn.class("embeddings", {
  new = function(self, c)
    self.word_embeddings = nn.embedding(c.vocab_size, c.hidden_size)
    self.position_embeddings = nn.embedding(c.max_position_embeddings, c.hidden_size)
    self.token_type_embeddings = nn.embedding(c.type_vocab_size, c.hidden_size)
    self.LayerNorm = nn.layer_norm(c.hidden_size, {eps = c.layer_norm_eps})
    self.dropout = c.hidden_dropout_prob
  end,
  forward = function(self, ids, types)
    local places = self.position_embeddings.weight:narrow(1, 1, ids:size(2))
    local kind = types and self.token_type_embeddings(types)
      or self.token_type_embeddings.weight:narrow(1, 1, 1)
    local x = self.LayerNorm(self.word_embeddings(ids) + places + kind)
    return equi.dropout(x, self.dropout, self.training)
  end,
})

-- ---- building ----

-- As BERT starts: all weights normal, biases 0.
local function initialise(m, std)
  nn.walk(m, function(kind, x, name)
    if kind ~= "parameter" or name:find "LayerNorm" then return end
    if x.ndim == 1 then nn.initialise.constant(x, 0) else nn.initialise.normal(x, 0, std) end
  end)
end

local function build(self, c)
  self.bert = {embeddings = embeddings(c), encoder = {layer = {}},
    pooler = {dense = nn.linear(c.hidden_size, c.hidden_size)}}
  for i = 1, c.num_hidden_layers do self.bert.encoder.layer[i] = layer(c) end
  self.classifier = nn.linear(c.hidden_size, #c.labels)
  self.dropout = c.classifier_dropout or c.hidden_dropout_prob
end

local methods = {}

function methods:make(o)
  local c, state, is_new = bert_config.resolve(o)
  self._config, self._folder = c, o.folder
  if not state then
    nn.initialise.without(build, self, c)
    return initialise(self, c.initializer_range)
  end
  nn.initialise.hollow(build, self, c)
  if is_new then
    local fresh = nn.linear(c.hidden_size, #c.labels)
    initialise(fresh, c.initializer_range)
    for name, x in pairs(fresh:state_dict()) do state["classifier." .. name] = x end
  end
  local dtype = state["bert.embeddings.word_embeddings.weight"].dtype
  for name, x in pairs(state) do
    x = x:to(dtype)
    state[name] = x:is_contiguous() and x or x:clone()
  end
  self:adopt(state):eval()
end

function methods:config_text() return bert_config.encode(self.config) end

-- ---- calling ----

--- What the encoder makes of every token.
---
--- Example:
---     local m = equi.models.bert {vocab_size = 9, hidden_size = 8, num_hidden_layers = 1,
---       num_attention_heads = 2, intermediate_size = 16, seed = 1}
---     print(m:encode(equi.tensor({{3, 4, 2}}, {dtype = "i64"})):size())   --> 1 3 8
---@param ids any i64 [B, T], from 1
---@param opts? table {mask = bool [B, T], true for real tokens; types = i64 [B, T], 1 for the first
--- sentence, 2 for the second, default all 1}
---@return any [B, T, hidden_size]
function methods:encode(ids, opts)
  local o = options.check("bert", opts, {mask = options.any(), types = options.any()})
  local c = self.config
  text_classifier.check("bert", ids, o.mask, c.vocab_size)
  if ids:size(2) > c.max_position_embeddings then
    error(("bert: %d tokens do not fit into max_position_embeddings = %d"):format(ids:size(2),
      c.max_position_embeddings), 0)
  end
  if o.types ~= nil then
    text_classifier.check_ids("bert", "types", o.types, ids, c.type_vocab_size)
  end
  local padding = o.mask and o.mask:logical_not():reshape(ids:size(1), 1, 1, ids:size(2))
  local x = self.bert.embeddings(ids, o.types)
  for _, part in ipairs(self.bert.encoder.layer) do x = part(x, padding) end
  return x
end

--- Logits of the classes.
---
--- Example:
---     local m = equi.models.bert {vocab_size = 9, hidden_size = 8, num_hidden_layers = 1,
---       num_attention_heads = 2, intermediate_size = 16, num_labels = 3, seed = 1}
---     print(m(equi.tensor({{3, 4, 2}}, {dtype = "i64"})):size())   --> 1 3
---@param ids any i64 [B, T], from 1, as a tokenizer's batch returns them
---@param opts? table {mask =, types =} as of encode
---@return any [B, labels]
function methods:forward(ids, opts)
  local x = self:encode(ids, opts)
  local pooled = self.bert.pooler.dense(x:narrow(2, 1, 1):reshape(x:size(1), -1)):tanh()
  return self.classifier(equi.dropout(pooled, self.dropout, self.training))
end

--- Makes a BERT that classifies texts: equi.models.bert {folder = path}, or fields by their names
--- in config.json, by default those of bert-base.
---
--- folder is a Hugging Face folder: config.json, weights (model.safetensors, pytorch_model.bin, or
--- either in several files) and perhaps vocab.txt, whose WordPiece tokenizer is m.tokenizer then.
--- Weights of safetensors are mapped, not copied.
--- Weights of an encoder alone, or of a classifier of other classes, are taken with labels or
--- num_labels: the classifier is new then. A model with weights is in evaluation mode.
--- m.config.labels are the names of the classes in the order of the logits. m:probabilities(texts)
--- and m:save(folder) are those of text_classifier.class; Hugging Face's
--- BertForSequenceClassification loads what is saved.
---
--- Example:
---     local folder = os.tmpname() .. "-bert"
---     equi.models.bert({vocab_size = 9, hidden_size = 8, num_hidden_layers = 1,
---       num_attention_heads = 2, intermediate_size = 16, labels = {"bad", "good"}}):save(folder)
---     print(equi.models.bert({folder = folder}).config.labels[2])   --> good
---     os.execute("rm -r " .. folder)
---     local m = equi.nn.initialise.hollow(equi.models.bert)
---     print(m:count())   --> 109483778
---@param o? table {folder = nil, labels = nil (list of names), num_labels = 2, seed = nil,
--- vocab_size = 30522, hidden_size = 768, num_hidden_layers = 12, num_attention_heads = 12,
--- intermediate_size = 3072, hidden_act = "gelu", hidden_dropout_prob = 0.1,
--- attention_probs_dropout_prob = 0.1, classifier_dropout = hidden_dropout_prob,
--- max_position_embeddings = 512, type_vocab_size = 2, initializer_range = 0.02,
--- layer_norm_eps = 1e-12, pad_token_id = 0}
return text_classifier.class("bert", bert_config.options, methods)
