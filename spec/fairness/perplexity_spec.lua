-- Perplexity in blocks, and fine-tuning with the paper's recipe.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local toy = require "spec.support.toy_lm"
local fairness = equi.fairness

local text = ("The man worked as a nurse.\nThe woman was known for a doctor.\n"):rep(12)

describe("fairness.perplexity", function()
  local model = toy.model {n_positions = 32}
  local tok = model.tokenizer
  local ids = tok:encode(text)

  -- Mean of -log p of all tokens but the first of each block.
  local function naive(size)
    local sum, n, blocks = 0, 0, 0
    for first = 1, #ids, size do
      local row = table.move(ids, first, math.min(first + size - 1, #ids), 1, {})
      if #row > 1 then
        blocks = blocks + 1
        local logp = model(equi.tensor({row}, {dtype = "i64"})):log_softmax(-1)
        for t = 1, #row - 1 do
          sum, n = sum - logp[{1, t, row[t + 1]}]:item(), n + 1
        end
      end
    end
    return sum / n, n, blocks
  end

  it("is exp of the mean over blocks without overlap, the last one short", function()
    for _, size in ipairs {7, 16, 32} do
      local loss, n, blocks = naive(size)
      for _, batch in ipairs {1, 3} do
        local r = fairness.perplexity(model, text, {block = size, batch = batch})
        oracle.near({r.loss, r.perplexity, r.tokens, r.blocks}, {loss, math.exp(loss), n, blocks},
          1e-5)
      end
    end
    oracle.near(fairness.perplexity(model, text).loss, (naive(32)), 1e-5)
  end)

  it("takes ids and a limit, plain and equituned models", function()
    local whole = fairness.perplexity(model, ids).loss
    assert.equal(whole, fairness.perplexity(model, equi.tensor(ids, {dtype = "i64"})).loss)
    local r = fairness.perplexity(model, ids, {limit = 20, block = 10})
    assert.same({18, 2}, {r.tokens, r.blocks})
    local words = fairness.words(tok, {{"man", "woman"}})
    local fair = fairness.equigpt2(model, words)
    local swapped = words:move(words.group "r", ids)
    oracle.near(fairness.perplexity(fair, ids).loss, fairness.perplexity(fair, swapped).loss, 1e-6)
    local chunked = fairness.equigpt2(model, words, {chunk = 1})
    oracle.near(fairness.perplexity(chunked, ids).loss, fairness.perplexity(fair, ids).loss, 1e-6)
    assert.is_truthy(tostring(r):find "perplexity")
  end)

  it("names what is wrong", function()
    oracle.raises("fairness.perplexity: block is 64 tokens, the model's context 32",
      fairness.perplexity, model, text, {block = 64})
    oracle.raises("fairness.perplexity: block must be a whole number of at least 2, got 1",
      fairness.perplexity, model, text, {block = 1})
    oracle.raises("fairness.perplexity: batch must be", fairness.perplexity, model, text,
      {batch = 0})
    oracle.raises("fairness.perplexity: limit must be", fairness.perplexity, model, text,
      {limit = 0})
    oracle.raises("fairness.perplexity: the text has 1 tokens; perplexity needs 2 or more",
      fairness.perplexity, model, "The")
    oracle.raises("fairness.perplexity: the model must be a language model", fairness.perplexity,
      3, text)
    oracle.raises("text_blocks: a text needs a tokenizer", fairness.perplexity, print, "The")
  end)
end)

describe("fairness.finetune", function()
  it("lowers the loss of an equituned model, which stays fair", function()
    local model = toy.model {n_positions = 32}
    local words = fairness.words(model.tokenizer, {{"man", "woman"}})
    local fair = fairness.equigpt2(model, words)
    local before = fairness.perplexity(fair, text, {block = 16}).loss
    local r = fairness.finetune(fair, text, {lr = 0.05, block = 16, epochs = 4, batch = 2})
    assert.equal("steps", r.stopped)
    assert.is_true(fairness.perplexity(fair, text, {block = 16}).loss < before - 1)
    assert.is_true(fairness.audit(fair, words, "The man worked").tv_max <= 1e-6)
    assert.is_false(model.training)
  end)

  it("is the recipe: AdamW, linear decay, clipping, step by step", function()
    local a, b = toy.model(), toy.model()
    local o = {block = 8, batch = 2, steps = 5, lr = 0.01, clip = 0.5, seed = 3}
    fairness.finetune(a, text, o)
    local blocks = equi.data.text_blocks.new(text, {size = 8, batch = 2, seed = 3,
      tokenizer = b.tokenizer})
    local opt = equi.optim.adamw(b, {lr = 0.01, eps = 1e-8, weight_decay = 0})
    for i = 1, 5 do
      opt:lr(0.01 * (5 - (i - 1)) / 5)
      opt:zero_grad()
      local x = blocks:batch(i)
      local y = b(x):narrow(2, 1, 7):reshape(-1, #b.tokenizer)
      equi.cross_entropy(y, x:narrow(2, 2, 7):reshape(-1)):backward()
      equi.optim.clip_norm(opt, 0.5)
      opt:step()
    end
    oracle.near(a.E, b.E, 1e-5)
    oracle.near(a.W, b.W, 1e-5)
  end)

  it("accumulated batches are one larger batch", function()
    local a, b = toy.model(), toy.model()
    fairness.finetune(a, text, {block = 8, batch = 4, steps = 3, lr = 0.01, seed = 3})
    fairness.finetune(b, text, {block = 8, batch = 2, accumulate = 2, steps = 3, lr = 0.01,
      seed = 3})
    oracle.near(a.W, b.W, 1e-5)
  end)

  it("resumes as if it had not been stopped", function()
    local path = os.tmpname()
    os.remove(path)
    path = path .. ".safetensors"
    local o = {block = 8, batch = 2, steps = 8, lr = 0.01, every = 2, checkpoint = path}
    local whole = toy.model()
    fairness.finetune(whole, text, o)
    os.remove(path)
    local first, second = toy.model(), toy.model()
    o.hooks = {after_evaluate = function(i) return i == 4 and "stop" or nil end}
    fairness.finetune(first, text, o)
    o.hooks, o.resume = {}, true
    fairness.finetune(second, text, o)
    assert.equal(whole.W:tobytes(), second.W:tobytes())
    os.remove(path)
    os.remove((path:gsub("%.safetensors$", ".best.safetensors")))
  end)

  it("names what is wrong", function()
    local model = toy.model()
    for _, case in ipairs {{"batch", 0}, {"epochs", 0.5}, {"accumulate", 0}, {"steps", 0},
      {"every", 0}, {"seed", -1}} do
      oracle.raises(("fairness.finetune: %s must be a whole number of at least"):format(case[1]),
        fairness.finetune, model, text, {[case[1]] = case[2]})
    end
    oracle.raises("fairness.finetune: the model must be a language model", fairness.finetune, 3,
      text)
    oracle.raises("fairness.finetune: lr must be a number of at least 0, got -1", fairness.finetune,
      model, text, {lr = -1})
  end)
end)
