-- models/bert.lua: against PyTorch, against itself (padding), files of Hugging Face, mistakes.
local equi = require "lua_equi"
local files = require "spec.support.files"
local json = require "lua_equi.json"
local oracle = require "spec.support.oracle"
local vectors = require "spec.support.bert_vectors"

local FOLDER = "spec/support/bert"
local SIZES = {vocab_size = 11, hidden_size = 8, num_hidden_layers = 2, num_attention_heads = 2,
  intermediate_size = 12, max_position_embeddings = 7}

local function ids(list) return equi.tensor(list, {dtype = "i64"}) end

local IDS = ids {{3, 6, 10, 4, 2}, {5, 11, 4, 1, 1}} -- as in make_bert_vectors.py, from 1
local MASK = equi.tensor({{1, 1, 1, 1, 1}, {1, 1, 1, 0, 0}}):to "bool"
local TYPES = ids {{1, 1, 2, 2, 2}, {1, 1, 1, 1, 1}}

local function small(more)
  local o = {}
  for k, v in pairs(SIZES) do o[k] = v end
  for k, v in pairs(more or {}) do o[k] = v end
  return equi.models.bert(o)
end

-- Weights as make_bert_vectors.py fills them.
local function fill(model)
  local names, state = {}, model:state_dict()
  for name in pairs(state) do names[#names + 1] = name end
  table.sort(names)
  for k, name in ipairs(names) do
    local values = {}
    for i = 1, state[name]:numel() do values[i] = 1.2 * math.sin(1.7 * i + k) end
    state[name]:copy_(equi.tensor(values, {dtype = "f64"}):reshape(state[name].shape))
  end
  return model
end

local function check(want, model, opts)
  local logits = model(IDS, opts)
  oracle.near(logits:reshape(-1), want.logits, 1e-9)
  local loss = equi.cross_entropy(logits, ids {3, 1})
  oracle.near(loss, want.loss, 1e-9)
  loss:backward()
  local n = 0
  for _, p in ipairs(model:named_parameters()) do
    local g = p.tensor.grad:reshape(-1)
    local wave = {}
    for i = 1, g:numel() do wave[i] = math.sin(i) end
    local weighted = (g * equi.tensor(wave, {dtype = "f64"})):sum():item()
    oracle.near({g:sum():item(), weighted}, want.gradients[p.name], 1e-9, p.name)
    n = n + 1
  end
  for _ in pairs(want.gradients) do n = n - 1 end
  assert.equal(0, n)
end

local function message(f, ...)
  local ok, text = pcall(f, ...)
  assert.is_false(ok)
  return text
end

describe("bert", function()
  it("has PyTorch's parameter count at the size of bert-base", function()
    assert.equal(109483778, vectors.count)
    assert.equal(vectors.count, equi.nn.initialise.hollow(equi.models.bert):count())
  end)

  it("computes what PyTorch computes, gradients included", function()
    local function model(more)
      local m = small {num_labels = 3, hidden_dropout_prob = 0, attention_probs_dropout_prob = 0,
        hidden_act = more}
      return fill(m:to "f64")
    end
    check(vectors.whole, model())
    check(vectors.masked, model(), {mask = MASK, types = TYPES})
    check(vectors.gelu_new, model "gelu_new", {mask = MASK})
  end)

  it("loads an old pytorch_model.bin, and what it saves itself", function()
    local m = equi.models.bert {folder = FOLDER}
    assert.is_false(m.training)
    assert.same({"negative", "neutral", "positive"}, m.config.labels)
    local want = equi.tensor(vectors.masked.logits):reshape(2, 3)
    oracle.near(m(IDS, {mask = MASK, types = TYPES}), want, 1e-5)
    local folder = files.folder()
    m:save(folder)
    local config = json.read(folder .. "/config.json")
    assert.same({"BertForSequenceClassification", "bert"},
                {config.architectures[1], config.model_type})
    assert.same({["0"] = "negative", ["1"] = "neutral", ["2"] = "positive"}, config.id2label)
    assert.same({negative = 0, neutral = 1, positive = 2}, config.label2id)
    local state = equi.load_weights(folder .. "/model.safetensors")
    assert.is_truthy(state["bert.encoder.layer.1.attention.self.query.weight"])
    oracle.near(equi.models.bert {folder = folder}(IDS), m(IDS), 0)
    files.remove(folder)
  end)

  it("takes an encoder alone, and one of other classes, with a new classifier", function()
    local folder = files.folder()
    local state = {}
    for name, x in pairs(equi.models.bert({folder = FOLDER}):state_dict()) do
      if name:find "^bert%." then state[name:sub(6)] = x end
    end
    state["cls.predictions.bias"] = equi.zeros(11)
    equi.safetensors.save(folder .. "/model.safetensors", state)
    files.write(folder .. "/config.json", files.read(FOLDER .. "/config.json"))
    assert.matches("holds no classifier.weight; with labels or num_labels the model gets a new one",
      message(equi.models.bert, {folder = folder}), 1, true)
    local a = equi.models.bert {folder = folder, labels = {"a", "b", "c", "d"}, seed = 1}
    local b = equi.models.bert {folder = FOLDER, num_labels = 4, seed = 1}
    assert.same({2, 4}, {a(IDS):size()})
    oracle.near(a(IDS), b(IDS), 0)
    assert.is_true(a.classifier.weight:abs():sum():item() > 0)
    local renamed = equi.models.bert {folder = FOLDER, labels = {"x", "y", "z"}}
    oracle.near(renamed(IDS), equi.models.bert {folder = FOLDER}(IDS), 0)
    files.remove(folder)
  end)

  it("gives a padded row what it gives the row alone", function()
    local m = small {seed = 2}:eval()
    local both = m(IDS, {mask = MASK})
    oracle.near(both:narrow(1, 1, 1), m(IDS:narrow(1, 1, 1)), 1e-6)
    oracle.near(both:narrow(1, 2, 1), m(ids {{5, 11, 4}}), 1e-6)
    local nobody = m(IDS, {mask = equi.zeros(2, 5):to "bool"})
    assert.is_true(nobody:is_finite():all():item())
  end)

  it("drops out in training only, and starts from a seed", function()
    local m = small {seed = 3}
    assert.is_true((m(IDS) - m(IDS)):abs():max():item() > 0)
    m:eval()
    oracle.near(m(IDS), m(IDS), 0)
    oracle.near(m(IDS), small {seed = 3}:eval()(IDS), 0)
  end)

  it("learns", function()
    local m = small {seed = 1, hidden_dropout_prob = 0, attention_probs_dropout_prob = 0}
    local optimizer, loss = equi.optim.adamw(m, {lr = 1e-2}), nil
    for _ = 1, 40 do
      optimizer:zero_grad()
      loss = equi.cross_entropy(m(IDS, {mask = MASK}), ids {1, 2})
      loss:backward()
      optimizer:step()
    end
    assert.is_true(loss:item() < 0.1)
  end)

  it("has only its parts as parameters, and prints", function()
    local m = small()
    assert.equal(2 * 16 + 4 + 5, #m:parameters())
    assert.matches("word_embeddings: embedding%(11, 8%)", tostring(m))
    m.tokenizer = {words = {equi.zeros(3)}}
    assert.equal(2 * 16 + 4 + 5, #m:parameters())
  end)

  it("says what is wrong with its options and input", function()
    local function refuses(text, f)
      local m = message(f)
      assert.matches(text, m, 1, true)
      assert.matches("bert_spec.lua:%d+: ", m)
    end
    refuses('bert: no option "hidden"; options are', function() equi.models.bert {hidden = 1} end)
    refuses("bert: hidden_size = 9 does not divide into num_attention_heads = 2",
      function() small {hidden_size = 9} end)
    refuses("bert: num_labels must be a whole number of at least 2, got 1",
      function() small {num_labels = 1} end)
    refuses('bert: label "a" stands at 1 and at 2', function() small {labels = {"a", "a"}} end)
    refuses("num_labels = 2, but there are 3 labels",
      function() small {num_labels = 2, labels = {"a", "b", "c"}} end)
    refuses('hidden_act of the options must be one of gelu, gelu_new, gelu_pytorch_tanh, relu, got '
      .. '"silly"', function() small {hidden_act = "silly"} end)
    local m = small()
    local function says(text, ...) assert.matches(text, message(m, ...), 1, true) end
    says("ids must be i64 [B, T], got a tensor f32 2 x 2", equi.ones(2, 2))
    says("ids hold 12, outside 1 to 11 (they count from 1 here", ids {{12}})
    says("ids hold 0, outside 1 to 11", ids {{0}})
    says("8 tokens do not fit into max_position_embeddings = 7", equi.ones(1, 8):to "i64")
    says("types hold 3, outside 1 to 2", ids {{1}}, {types = ids {{3}}})
    says("types are 1 x 2, ids are 1 x 1", ids {{1}}, {types = ids {{1, 1}}})
    says("mask must be bool [1, 1], true for real tokens", ids {{1}}, {mask = ids {{1}}})
  end)

  it("says what is wrong with a folder", function()
    local folder = files.folder()
    local function load(o)
      o = o or {}
      o.folder = folder
      return message(equi.models.bert, o)
    end
    local function refuses(text, config)
      files.write(folder .. "/config.json", config)
      assert.matches(text, load(), 1, true)
    end
    assert.matches("config.json: No such file", load(), 1, true)
    refuses("expected", '{"a": ')
    refuses("it is no JSON object", "[]")
    refuses('model_type of ' .. folder .. '/config.json is "gpt2"', '{"model_type": "gpt2"}')
    refuses("no weights are in it", "{}")
    local good = json.read(FOLDER .. "/config.json")
    files.write(folder .. "/pytorch_model.bin", files.read(FOLDER .. "/pytorch_model.bin"))
    local function with(field, value)
      local c = {}
      for k, v in pairs(good) do c[k] = v end
      c[field] = value
      return json.encode(c)
    end
    refuses("vocab_size of " .. folder .. "/config.json is 12, the weights in " .. folder
      .. "/pytorch_model.bin have 11", with("vocab_size", 12))
    refuses("num_hidden_layers of", with("num_hidden_layers", 1000000000))
    refuses("intermediate_size of", with("intermediate_size", 1 << 30))
    refuses('must be a whole number of at least 1, got "8"', with("hidden_size", "8"))
    refuses("id2label names 2 labels, classifier.weight in", with("id2label", {["0"] = "a",
      ["1"] = "b"}))
    refuses("has 3 names, but none at 2", with("id2label", {["0"] = "a", ["1"] = "b", x = "c"}))
    refuses('position_embedding_type of', with("position_embedding_type", "relative_key"))
    files.remove(folder)
  end)

  it("says that there is no tokenizer to read texts with", function()
    local m = equi.models.bert {folder = FOLDER}
    assert.matches("probabilities: the model has no tokenizer: there is no vocab.txt in "
      .. FOLDER, message(m.probabilities, m, {"a text"}), 1, true)
    assert.matches("texts must be a list of texts, got none", message(m.probabilities, m, {}), 1,
      true)
  end)
end)
