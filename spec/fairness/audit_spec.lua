-- Measures of fairness: values against plain sums, zero for fair models, the test of equal seeds.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local toy = require "spec.support.toy_lm"
local fairness = equi.fairness

local model = toy.model {n_positions = 64}
local tok = model.tokenizer
local two = fairness.words(tok, {{"man", "woman"}, {"actor", "actress"}})
local three = fairness.words(tok, {{"Christian", "Jewish", "Muslim"}, {"man", "woman", "person"}})
local both = fairness.words(tok, {gender = {{"man", "woman"}}, race = {{"Black", "White"}}})
local texts = {"The man worked as", "The woman was", "The person was known for", "The actor"}

-- TV and KL between P(. | x) and g^-1 P(. | g x), by tables.
local function naive(m, words, x, g)
  local function p(ids)
    local t = equi.tensor({ids}, {dtype = "i64"})
    return m(t):to("f64"):softmax(-1)[{1, #ids}]:totable()
  end
  local a, b, tv, kl = p(x), p(words:move(g, x)), 0, 0
  for id = 1, #tok do
    local q = b[words:move(g, {id})[1]] -- (g^-1 P)(id) = P(g id)
    tv, kl = tv + math.abs(a[id] - q) / 2, kl + a[id] * math.log(a[id] / q)
  end
  return tv, kl
end

describe("fairness.audit", function()
  for name, words in pairs {["d = 2"] = two, ["d = 3"] = three, ["a product"] = both} do
    it("is the largest and the mean over contexts and g, " .. name, function()
      local tv_max, kl_max, tv_sum, kl_sum, n = 0, 0, 0, 0, 0
      for _, text in ipairs(texts) do
        for _, g in ipairs(words.group:elements()) do
          if g ~= words.group.identity then
            local tv, kl = naive(model, words, tok:encode(text), g)
            tv_max, kl_max = math.max(tv_max, tv), math.max(kl_max, kl)
            tv_sum, kl_sum, n = tv_sum + tv, kl_sum + kl, n + 1
          end
        end
      end
      for _, batch in ipairs {1, 3, 16} do
        local r = fairness.audit(model, words, texts, {batch = batch})
        oracle.near({r.tv_max, r.kl_max, r.tv_mean, r.kl_mean},
          {tv_max, kl_max, tv_sum / n, kl_sum / n}, 1e-5)
      end
    end)

    it("is 0 for fair models and not for others, " .. name, function()
      assert.is_true(fairness.audit(model, words, texts).tv_mean > 0.01)
      for _, kind in ipairs {"mean", "best", "weighted"} do
        local fair = fairness.equigpt2(model, words, {combine = kind})
        local r = fairness.audit(fair, words, texts, {positions = "all"})
        assert.is_true(r.tv_max <= 1e-6 and r.kl_max <= 1e-6, kind .. " " .. r.tv_max)
      end
    end)
  end

  it("positions: behind every token, whole or step by step, with state or without", function()
    local r = fairness.audit(model, two, texts, {positions = "all"})
    local n = 0
    for _, text in ipairs(texts) do n = n + #tok:encode(text) end
    assert.equal(n, #r.contexts)
    local prefixes = {}
    for i, c in ipairs(r.contexts) do prefixes[i] = c.text end
    local one = fairness.audit(model, two, prefixes)
    oracle.near(one.tv_mean, r.tv_mean, 1e-6)
    local plain = fairness.audit(function(ids) return model(ids) end, two, texts,
      {positions = "all"})
    oracle.near(plain.kl_mean, r.kl_mean, 1e-6)
    local next_token = require "lua_equi.fairness.next_token"
    local ids = equi.tensor({tok:encode(texts[3])}, {dtype = "i64"})
    for _, bytes in ipairs {0, 2 ^ 30} do
      local seen = {}
      next_token.all(model, ids, function(t, logits) seen[t] = logits end, bytes)
      oracle.near(equi.stack(seen, 2), model(ids), 1e-5)
    end
  end)

  it("reports contexts and tokens, the worst first", function()
    local r = fairness.audit(model, two, texts, {worst = 2, top = 3})
    assert.equal(2, #r.worst)
    assert.is_true(r.worst[1].tv == r.tv_max and r.worst[1].tv >= r.worst[2].tv)
    assert.equal(3, #r.worst[1].tokens)
    local t = r.worst[1].tokens[1]
    oracle.near(t.tv, math.abs(t.p - t.q) / 2, 1e-12)
    assert.equal(tok:decode {t.id}, t.token)
    local all = fairness.audit(model, two, texts, {top = 100}).tokens
    local sum = 0
    for _, entry in ipairs(all) do sum = sum + entry.tv end
    oracle.near(sum, r.tv_mean, 1e-9)
    assert.is_truthy(tostring(r):find("unfairness over 4 contexts and 1 exchanges each", 1, true))
    assert.is_truthy(tostring(r):find("total variation", 1, true))
  end)

  it("takes lists of ids, and models whose vocabulary is padded", function()
    local a = fairness.audit(model, two, texts[1])
    local b = fairness.audit(model, two, {tok:encode(texts[1])})
    assert.equal(a.tv_max, b.tv_max)
    local wide = toy.model {vocab_size = 64, tokenizer = tok}
    assert.is_true(fairness.audit(fairness.equigpt2(wide, two), two, texts).tv_max <= 1e-6)
  end)

  it("names what is wrong", function()
    oracle.raises('fairness.audit: positions must be one of last, all, got "first"', fairness.audit,
      model, two, texts, {positions = "first"})
    oracle.raises("fairness.audit: batch must be a whole number of at least 1, got 0",
      fairness.audit, model, two, texts, {batch = 0})
    oracle.raises("fairness.audit: words must come from equi.fairness.words, got a table",
      fairness.audit, model, {}, texts)
    oracle.raises("fairness.audit: the model must be a language model", fairness.audit, nil, two,
      texts)
    oracle.raises("fairness.audit: prompts must be texts or ids, got 3", fairness.audit, model, two,
      3)
    oracle.raises("fairness.audit: the list is empty; give a text", fairness.audit, model, two, {})
  end)
end)

describe("fairness.same_continuations", function()
  it("is always for fair models, seldom for others", function()
    for _, words in ipairs {two, three, both} do
      local near = {"The man", "The actor", "The Black man Christian", "The woman Jewish"}
      local r = fairness.same_continuations(fairness.equigpt2(model, words), words, near,
        {seed = 3, tokens = 20})
      assert.equal(r.of, r.same)
      assert.equal(1.0, r.rate)
      assert.is_true(r.of >= 3)
      local plain = fairness.same_continuations(model, words, near, {seed = 3, tokens = 20})
      assert.is_true(plain.rate < 1)
      assert.equal(plain.of - plain.same, #plain.different)
    end
  end)

  it("shows what differs", function()
    local r = fairness.same_continuations(model, two, "The man", {tokens = 9})
    local d = r.different[1]
    assert.same({"The man", "The woman"}, {d.context, d.other})
    assert.equal(two.group "r", d.element)
    assert.is_truthy(tostring(r):find("0 of 1 exchanges go on the same (0.0 %)", 1, true))
  end)

  it("counts the different images only", function()
    assert.equal(0, fairness.same_continuations(model, two, "The nurse").of == 0 and 0 or 1)
    assert.equal(1, fairness.same_continuations(model, both, "The man was").of)
    assert.equal(3, fairness.same_continuations(model, both, "The Black man was").of)
  end)

  it("has no rate where nothing can be exchanged", function()
    local r = fairness.same_continuations(model, two, "The nurse")
    assert.is_nil(r.rate)
    assert.equal("no exchange: no context has a word that moves", tostring(r))
  end)

  it("names what is wrong", function()
    oracle.raises("fairness.same_continuations: seed must be a whole number of at least 0, got -1",
      fairness.same_continuations, model, two, texts, {seed = -1})
    oracle.raises("fairness.same_continuations: words must come from equi.fairness.words",
      fairness.same_continuations, model, 3, texts)
  end)
end)
