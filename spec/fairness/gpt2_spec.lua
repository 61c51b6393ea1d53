-- The measures and the fair models on a small GPT-2 with random weights: with a cache, padding,
-- products of groups, fine-tuning.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local toy = require "spec.support.toy_lm"
local fairness = equi.fairness

local tok = toy.tokenizer()
local function gpt2(seed)
  local m = equi.models.gpt2 {n_layer = 2, n_head = 2, n_embd = 16, n_positions = 48,
    vocab_size = #tok, seed = seed or 3, initializer_range = 0.4, eos_token_id = 0}
  m.tokenizer = tok
  return m:eval()
end

local model = gpt2()
local lists = {two = {{"man", "woman"}, {"actor", "actress"}, {"king", "queen"}},
  three = {{"Christian", "Jewish", "Muslim"}, {"man", "woman", "person"}},
  product = {gender = {{"man", "woman"}}, race = {{"Black", "White"}}}}
local contexts = {}
for i = 1, 100 do
  contexts[i] = oracle.index(#tok, 1, 3 + i % 9)[1]:totable()
  contexts[i][1 + i % 3] = tok.ids[" man"]
  for k = 2, #contexts[i] do contexts[i][k] = (contexts[i][k] * i) % #tok + 1 end
end

describe("a fair GPT-2", function()
  for name, list in pairs(lists) do
    local words = fairness.words(tok, list)

    it("has no unfairness on 100 contexts: " .. name, function()
      assert.is_true(fairness.audit(model, words, contexts).tv_max > 0.05)
      local r = fairness.audit(fairness.equigpt2(model, words), words, contexts)
      assert.is_true(r.tv_max <= 1e-6, tostring(r))
    end)

    it("goes on the same under equal seeds, up to the exchange: " .. name, function()
      local fair = fairness.equigpt2(model, words)
      local prompts = {"The man was", "The Black man", "The actor Christian", "The woman Jewish"}
      local r = fairness.same_continuations(fair, words, prompts, {top_k = 0, tokens = 30})
      assert.equal(r.of, r.same)
      assert.is_true(fairness.same_continuations(model, words, prompts, {top_k = 0}).rate < 1)
    end)
  end

  it("generates from prompts of unequal lengths as from each alone", function()
    local words = fairness.words(tok, lists.two)
    for _, m in ipairs {model, fairness.equigpt2(model, words),
      fairness.equigpt2(model, words, {relaxed = {"he", "she"}}),
      fairness.equigpt2(model, words, {combine = "best"}),
      fairness.equigpt2(model, words, {combine = "weighted"})} do
      local prompts = {"The man was known for", "The", "The woman worked"}
      local together = equi.generate(m, prompts, {seed = 5, tokens = 12, top_k = 20})
      for r, text in ipairs(prompts) do
        assert.same(equi.generate(m, text, {seed = 4 + r, tokens = 12, top_k = 20}).ids[1],
          together.ids[r])
      end
      local plain = equi.generate(function(ids, o) return m(ids, o) end, prompts, {seed = 5,
        tokens = 12, top_k = 20, tokenizer = tok})
      assert.same(plain.why, together.why)
    end
  end)

  it("ends where the context ends", function()
    local out = equi.generate(model, "The man was", {tokens = 99, seed = 1, stop_ids = {}})
    assert.same({"context"}, out.why)
    assert.equal(46, #out.ids[1])
  end)

  it("is fine-tuned through all branches, with dropout, and stays fair", function()
    local m = gpt2(5)
    local words = fairness.words(tok, lists.three)
    local fair = fairness.equigpt2(m, words)
    local text = ("The man was a nurse.\nThe Jewish person worked as a doctor.\n"):rep(30)
    local before = fairness.perplexity(fair, text, {block = 24}).loss
    fairness.finetune(fair, text, {lr = 0.01, block = 24, steps = 20, seed = 1})
    assert.is_true(fairness.perplexity(fair, text, {block = 24}).loss < before - 0.5)
    assert.is_true(fairness.audit(fair, words, "The man was").tv_max <= 1e-6)
  end)
end)
