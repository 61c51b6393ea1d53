-- EquiGPT2 and its relatives: P(g x2 | g x1) = P(x2 | x1), and where that is relaxed.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local toy = require "spec.support.toy_lm"

local model = toy.model()
local tok = model.tokenizer
local two = equi.fairness.words(tok, {{"man", "woman"}, {"king", "queen"}, {"actor", "actress"}},
  {general = {"he", "she"}})
local three = equi.fairness.words(tok, {{"Christian", "Jewish", "Muslim"},
  {"man", "woman", "person"}})
local both = equi.fairness.words(tok, {gender = {{"man", "woman"}}, race = {{"Black", "White"}}})

local contexts = oracle.index(#tok, 100, 9)

-- The largest total variation between P(. | x) and g^-1 P(. | g x) over g and contexts.
local function unfairness(m, words)
  local function next_token(x)
    return equi.no_grad(function()
      local state = m:start(x:narrow(2, 1, 8))
      return (m:step(state, x:narrow(2, 9, 1):reshape(-1))):to("f64"):softmax(-1)
    end)
  end
  local p, worst = next_token(contexts), 0
  for _, g in ipairs(words.group:elements()) do
    local q = words.logits(g.inverse, next_token(words.ids(g, contexts)))
    worst = math.max(worst, ((p - q):abs():sum(-1) / 2):max():item())
  end
  return worst
end

describe("fairness.equigpt2", function()
  for name, words in pairs {["d = 2"] = two, ["d = 3"] = three, ["a product"] = both} do
    for _, kind in ipairs {"mean", "best", "weighted"} do
      it(("%s, combine = %s: fair to 1e-6 on 100 contexts; the model is not"):format(name, kind),
        function()
          assert.is_true(unfairness(model, words) > 0.01)
          assert.is_true(unfairness(equi.fairness.equigpt2(model, words, {combine = kind}), words)
            <= 1e-6)
        end)
    end
  end

  it("is the mean of the branches moved back by the inverse", function()
    local tuned, sum = equi.fairness.equigpt2(model, three), 0
    for _, g in ipairs(three.group:elements()) do
      sum = sum + three.logits(g.inverse, model(three.ids(g, contexts)))
    end
    oracle.near(tuned(contexts), sum / 3, 1e-5)
  end)

  it("relaxed: general words keep the model's own logits, all others the mean", function()
    local mean, own = equi.fairness.equigpt2(model, two)(contexts), model(contexts)
    for _, given in ipairs {true, {"he", "she"}} do
      local y = equi.fairness.equigpt2(model, two, {relaxed = given})(contexts)
      for id = 1, #tok do
        local expected = two:kind(id) == "general" and own or mean
        oracle.near(y[{{}, {}, id}], expected[{{}, {}, id}], 1e-6)
      end
    end
  end)

  it("steps and calls agree, also with padding", function()
    local mask = equi.tensor({{0, 0, 1, 1}, {1, 1, 1, 1}}):to "bool"
    local x = contexts:narrow(1, 1, 2):narrow(2, 1, 4)
    local softly = {combine = "weighted", score = function(y) return y:exp():sum(-1):log() end}
    for _, o in ipairs {{}, {relaxed = true}, {combine = "best"}, {combine = "weighted"}, softly} do
      local tuned = equi.fairness.equigpt2(model, two, o)
      local whole = tuned(x, {mask = mask})
      local state = tuned:start(x:narrow(2, 1, 3), {mask = mask:narrow(2, 1, 3)})
      oracle.near((tuned:step(state, x:narrow(2, 4, 1):reshape(-1))),
        whole:narrow(2, 4, 1):reshape(2, -1), 1e-5)
    end
  end)

  it("goes on alike under equal seeds, up to the exchange", function()
    for _, words in ipairs {two, three} do
      local tuned = equi.fairness.equigpt2(model, words)
      for seed = 1, 20 do
        local x = "The man worked as"
        local first = equi.generate(tuned, x, {seed = seed, tokens = 20, stop_ids = {}})
        for _, g in ipairs(words.group:elements()) do
          local other = equi.generate(tuned, words:move(g, x), {seed = seed, tokens = 20,
            stop_ids = {}})
          assert.same(words:move(g, first.ids[1]), other.ids[1])
        end
      end
    end
  end)

  it("fits models whose vocabulary is padded, and refuses smaller ones", function()
    local wide = toy.model {vocab_size = 64}
    local tuned = equi.fairness.equigpt2(wide, two)
    assert.equal(64, tuned(contexts):size(3))
    oracle.raises("the vocabulary has 5 tokens, the words move tokens up to",
      equi.fairness.equigpt2, toy.model {vocab_size = 5}, two)
  end)

  it("names what is wrong", function()
    local f = equi.fairness.equigpt2
    oracle.raises("fairness.equigpt2: words must come from equi.fairness.words, got a table", f,
      model, {})
    oracle.raises("fairness.equigpt2: the model must be a language model", f, nil, two)
    oracle.raises("fairness.equigpt2: score must be a function of the logits, got 3", f, model, two,
      {combine = "best", score = 3})
    oracle.raises('combine must be one of mean, best, weighted, got "sum"', f, model, two,
      {combine = "sum"})
    oracle.raises("relaxed goes with the mean; leave combine out", f, model, two,
      {combine = "best", relaxed = true})
    oracle.raises("relaxed names no general words; give a list such as", f, model, three,
      {relaxed = true})
    oracle.raises('score goes with combine = "best" or "weighted"', f, model, two,
      {score = print})
  end)
end)
