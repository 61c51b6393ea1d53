-- models/bag.lua: what it computes, its folder, mistakes; and what classifiers of texts share.
local equi = require "lua_equi"
local files = require "spec.support.files"
local oracle = require "spec.support.oracle"

local function ids(list) return equi.tensor(list, {dtype = "i64"}) end
local LABELS = {"bad", "so", "good"}

local function small(more)
  local o = {vocab_size = 9, hidden_size = 4, labels = LABELS, seed = 1}
  for k, v in pairs(more or {}) do o[k] = v end
  return equi.models.bag(o)
end

local function message(f, ...)
  local ok, text = pcall(f, ...)
  assert.is_false(ok)
  return text
end

describe("bag", function()
  it("is the mean of the real tokens through a perceptron", function()
    local m = small():eval()
    local x = ids {{3, 4, 2}, {5, 5, 1}}
    local mask = equi.tensor({{1, 1, 1}, {1, 1, 0}}):to "bool"
    local w = m.embeddings.weight
    local mean = equi.stack({(w[3] + w[4] + w[2]) / 3, w[5]}, 1)
    local want = m.classifier(m.dense(mean):tanh())
    oracle.near(m(x, {mask = mask}), want, 1e-6)
    oracle.near(m(ids {{3, 4, 2}}), want:narrow(1, 1, 1), 1e-6)
    oracle.near(m(ids {{4, 2, 3}}), want:narrow(1, 1, 1), 1e-6)
    assert.is_true(m(x, {mask = equi.zeros(2, 3):to "bool"}):is_finite():all():item())
  end)

  it("is saved and loaded", function()
    local m, folder = small():eval(), files.folder()
    m:save(folder)
    local n = equi.models.bag {folder = folder}
    oracle.near(n(ids {{1, 2}}), m(ids {{1, 2}}), 0)
    assert.same(LABELS, {table.unpack(n.config.labels)})
    assert.is_false(n.training)
    assert.matches('model_type of .* is "bag"; "bert" is what can be loaded',
      message(equi.models.bert, {folder = folder}))
    files.write(folder .. "/config.json", '{"model_type": "bert"}')
    assert.matches('is "bert", it must be "bag"', message(equi.models.bag, {folder = folder}), 1,
      true)
    files.write(folder .. "/config.json", '{"model_type": "bag", "vocab_size": 10, '
      .. '"hidden_size": 4, "dropout": 0, "max_position_embeddings": 5, "labels": ["a", "b"]}')
    assert.matches("classifier.bias is 3, the model's is 2", message(equi.models.bag,
      {folder = folder}), 1, true)
    files.remove(folder)
    assert.matches("No such file", message(equi.models.bag, {folder = folder}), 1, true)
  end)

  it("says what is wrong", function()
    assert.matches("bag: vocab_size must be a whole number of at least 1, got 0", message(small,
      {vocab_size = 0}), 1, true)
    assert.matches("bag: labels must be a list of at least 2 names", message(small,
      {labels = {"a"}}), 1, true)
    assert.matches("dropout must be a number of at least 0 and below 1, got 1", message(small,
      {dropout = 1}), 1, true)
    assert.matches("ids hold 10, outside 1 to 9", message(small(), ids {{10}}), 1, true)
    assert.matches("mask must be bool [1, 1]", message(small(), ids {{1}}, {mask = 3}), 1, true)
  end)

  it("gives probabilities of texts, some at a time", function()
    local m, widths = small(), {}
    m.tokenizer = {batch = function(_, texts)
      local rows, longest = {}, 0
      for i, text in ipairs(texts) do
        rows[i] = {}
        for k = 1, #text do rows[i][k] = text:byte(k) - 96 end
        longest = math.max(longest, #text)
      end
      widths[#widths + 1] = longest
      for _, row in ipairs(rows) do
        for k = #row + 1, longest do row[k] = 1 end
      end
      return ids(rows)
    end}
    local p = m:probabilities({"ab", "bc", "cba"}, {rows = 2})
    assert.same({3, 3}, {p:size()})
    assert.same({2, 3}, widths)
    oracle.near(p:sum(2), equi.ones(3), 1e-6)
    assert.is_true(m.training)
    assert.is_false(p.requires_grad)
    oracle.near(p[2], m:eval()(ids {{2, 3}}):softmax(-1)[1], 1e-6)
  end)
end)
