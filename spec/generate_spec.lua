-- equi.generate: prompts in all forms, batches, seeds, stops, streams, refusals.
local equi = require "lua_equi"
local files = require "spec.support.files"
local oracle = require "spec.support.oracle"
local toy = require "spec.support.toy_lm"

local model = toy.model()
local tok = model.tokenizer
local function ids(t) return equi.tensor(t, {dtype = "i64"}) end

describe("generate", function()
  it("takes a text, texts, ids, lists of ids and tensors alike", function()
    local o = {seed = 3, tokens = 6}
    local wanted = equi.generate(model, "The man was", o)
    local list = tok:encode "The man was"
    for _, prompts in ipairs {{"The man was"}, list, {list}, ids(list), ids {list}} do
      local got = equi.generate(model, prompts, o)
      assert.same(wanted.ids, got.ids)
      assert.same(wanted.texts, got.texts)
      assert.same({list}, got.prompts)
    end
    assert.equal(tok:decode(wanted.ids[1]), wanted.texts[1])
    assert.equal(wanted.texts[1], tostring(wanted))
    assert.same({"tokens"}, wanted.why)
    assert.equal(6, #wanted.ids[1])
  end)

  it("is the model's distribution: greedy against the whole forward pass", function()
    local list = tok:encode "The man worked as"
    local got = equi.generate(model, list, {greedy = true, tokens = 8, logprobs = true})
    for k = 1, 8 do
      local logits = model(ids {list})[{1, #list}]
      assert.equal(logits:argmax():item(), got.ids[1][k])
      oracle.near(got.logprobs[1][k], equi.log_softmax(logits):max():item(), 1e-5)
      list[#list + 1] = got.ids[1][k]
    end
    assert.same(got.ids, equi.generate(model, "The man worked as", {temperature = 0,
      tokens = 8}).ids)
  end)

  it("goes by probability: frequencies of many samples", function()
    local got = equi.generate(model, "The woman", {seed = 1, samples = 4000, tokens = 1})
    local count, p = {}, equi.softmax(model(ids {tok:encode "The woman"})[{1, 2}]):totable()
    for _, row in ipairs(got.ids) do count[row[1]] = (count[row[1]] or 0) + 1 end
    for id, share in ipairs(p) do
      assert.near(share, (count[id] or 0) / 4000, 0.03)
    end
  end)

  it("prompts of unequal lengths go on as each alone with its seed", function()
    local prompts = {"The man was known for", "", "The", "The woman worked"}
    local together = equi.generate(model, prompts, {seed = 10, tokens = 9})
    for r, text in ipairs(prompts) do
      local alone = equi.generate(model, text, {seed = 9 + r, tokens = 9})
      assert.same(alone.ids[1], together.ids[r])
    end
    local listed = equi.generate(model, prompts, {seed = {5, 5, 5, 13}, tokens = 9})
    assert.same(together.ids[4], listed.ids[4])
    assert.same({1}, together.prompts[2])
    local padded = equi.generate(model, ids {{1, 1, 4}, {4, 6, 9}}, {seed = 4,
      mask = equi.tensor({{0, 0, 1}, {1, 1, 1}}):to "bool"})
    assert.same(equi.generate(model, {{4}}, {seed = 4}).ids[1], padded.ids[1])
    assert.same({4}, padded.prompts[1])
  end)

  it("models without state answer as models with it", function()
    local function plain(x, o) return model(x, o) end
    local prompts = {"The man was known for", "The"}
    local o = {seed = 2, tokens = 7, tokenizer = tok}
    assert.same(equi.generate(model, prompts, o).ids, equi.generate(plain, prompts, o).ids)
    o.repetition_penalty, o.top_k = 3, 9
    local got = equi.generate(model, prompts, o)
    assert.same(got.ids, equi.generate(plain, prompts, o).ids)
  end)

  it("the penalty sees the prompt and all that came", function()
    local got = equi.generate(model, "The man", {greedy = true, repetition_penalty = 1e6,
      tokens = 30}).ids[1]
    local seen = {}
    for _, id in ipairs(got) do
      assert.is_nil(seen[id])
      seen[id] = true
    end
    assert.is_nil(seen[tok.ids["The"]])
  end)

  it("follows equi.seed when no seed is given", function()
    local function go()
      equi.seed(5)
      return equi.generate(model, "The man").ids[1]
    end
    assert.same(go(), go())
  end)

  it("leaves modes and gradients as they were", function()
    model.training = true
    local mode
    local seen = setmetatable({}, {__index = model})
    equi.generate(model, "The man", {tokens = 1, on_token = function()
      mode = {model.training, equi.grad_enabled()}
    end})
    assert.same({false, false}, mode)
    assert.is_true(model.training and equi.grad_enabled() and seen.training)
    model.training = nil
  end)
end)

-- A model that says what it is told: logits of 50 at the next id of a list, by place.
local function teller(text)
  local list = type(text) == "string" and tok:encode(text) or text
  local self = {tokenizer = tok, start = function(_, x) return x:size(2) end}
  function self.step(_, state, token)
    local rows = {}
    for r = 1, token:size(1) do rows[r] = list[state] or 3 end
    state = state + 1
    return equi.one_hot(equi.tensor(rows, {dtype = "i64"}), #tok) * 50, state
  end
  self.started = self.start
  function self.start(...) return self.started(...) + 1 end
  return self
end

describe("generation from equituned models", function()
  local words = equi.fairness.words(tok, {{"man", "woman"}})
  local frame = require "lua_equi.generate.frame"
  local function rows() return {{prompt = tok:encode "The woman"}} end

  it("runs at one text of each orbit only where the result moves as the tokens do", function()
    local moved = rows()
    assert.is_truthy(frame.enter(equi.fairness.equigpt2(model, words), moved))
    assert.same(tok:encode "The man", moved[1].prompt)
    assert.same(tok:encode "The woman", moved[1].given)
    local trivial = equi.action.trivial(words.group)
    for name, m in pairs {plain = model,
      relaxed = equi.fairness.equigpt2(model, words, {relaxed = {"he"}}),
      ["an invariant result"] = equi.equitune(model, {input = words.ids}),
      ["a result that stays"] = equi.equitune(model, {input = words.ids, output = trivial}),
      ["other tokens"] = equi.equitune(model, {input = words.ids,
        output = select(2, equi.fairness.words(tok, {{"king", "queen"}}):actions(#tok))})} do
      local there = rows()
      assert.is_nil(frame.enter(m, there), name)
      assert.same(tok:encode "The woman", there[1].prompt)
    end
  end)

  it("an invariant model answers the same to both, not the exchange", function()
    local same = equi.equitune(model, {input = words.ids})
    local a = equi.generate(same, {"The man", "The woman"}, {seed = {3, 3}, tokens = 20})
    assert.same(a.ids[1], a.ids[2])
  end)

  it("prompts of a batch may be at different elements, and penalties see the right tokens",
    function()
      local fair = equi.fairness.equigpt2(model, words)
      local o = {seed = {3, 3}, tokens = 20, repetition_penalty = 1.5, stop_ids = {}}
      local a = equi.generate(fair, {"The man", "The woman"}, o)
      assert.same(words:move("r", a.ids[1]), a.ids[2])
      -- the first token is that of the distribution at the prompt itself
      local logits = fair(ids {tok:encode "The woman"})[{{}, 2}]
      local got = equi.generate(fair, "The woman", {greedy = true, tokens = 1, logprobs = true})
      assert.equal(logits:argmax(-1)[1]:item(), got.ids[1][1])
      oracle.near(got.logprobs[1][1], equi.log_softmax(logits):max():item(), 1e-5)
    end)
end)

describe("generation ends", function()
  it("with an id of stop_ids, or at the end of text", function()
    local said = teller " was known<|endoftext|> for"
    local got = equi.generate(said, {{4}}, {tokens = 9})
    assert.same({"end"}, got.why)
    assert.equal(" was known", got.texts[1])
    assert.equal(3, #got.ids[1])
    got = equi.generate(said, {{4}}, {tokens = 4, stop_ids = {}})
    assert.same({"tokens"}, got.why)
    got = equi.generate(said, {{4}}, {stop_ids = tok.ids[" known"]})
    assert.same({" was"}, got.texts)
  end)

  it("with a stop text, which may begin within a token", function()
    local said = teller " was known for a"
    local got = equi.generate(said, {{4}}, {stop = "wn fo"})
    assert.same({"stop"}, got.why)
    assert.same({" was kno"}, got.texts)
    assert.equal(3, #got.ids[1])
    got = equi.generate(said, {{4}}, {stop = {"zzz", "for", " known"}})
    assert.same({" was"}, got.texts)
  end)

  it("when on_token says so, row by row", function()
    local got = equi.generate(teller " was known for a nurse", {{4}, {6}}, {tokens = 5,
      on_token = function(_, row, id) return not (row == 1 and id == tok.ids[" known"]) end})
    assert.same({"callback", "tokens"}, got.why)
    assert.same({2, 5}, {#got.ids[1], #got.ids[2]})
  end)

  it("when the context is full, counting that the last token is not read", function()
    local short = toy.model {n_positions = 6}
    local got = equi.generate(short, "The man was", {tokens = 50, seed = 1, stop_ids = {}})
    assert.same({"context"}, got.why)
    assert.equal(4, #got.ids[1])
    got = equi.generate(short, "The man was", {tokens = 4, seed = 1, stop_ids = {}})
    assert.same({"tokens"}, got.why)
    oracle.raises("generate: the longest prompt has 7 tokens, the model's context 6; give the end"
      .. " of the text", equi.generate, short, "The man was known for a nurse")
  end)
end)

describe("Ctrl-C", function()
  it("leaves what is there, in generate and in perplexity", function()
    local printed = files.lua [[
      local equi = require "lua_equi"
      local calls = 0
      local function model(ids)
        calls = calls + 1
        if calls % 5 == 0 then
          local shell = io.popen "kill -INT $PPID"
          shell:read "a"
          shell:close()
        end
        return equi.zeros({ids:size(1), ids:size(2), 4})
      end
      local out = equi.generate(model, {{1}, {2, 3}}, {tokens = 1000, stop_ids = {}, seed = 1})
      print(out.why[1], out.why[2], out.interrupted, #out.ids[1], #out.ids[2])
      local ids = equi.ones({400}, {dtype = "i64"})
      local r = equi.fairness.perplexity(model, ids, {block = 4})
      print(r.interrupted, r.blocks, ("%.3f"):format(r.perplexity))]]
    if printed == "" then return pending "no shell that sends signals" end
    assert.equal("interrupted\tinterrupted\ttrue\t5\t5\ntrue\t5\t4.000\n", printed)
  end)
end)

describe("the stream", function()
  local function pieces(said, o)
    local list = {}
    o.on_token = function(piece, _, id) list[#list + 1] = piece .. (id and "" or "!") end
    local got = equi.generate(said, {{4}}, o)
    return list, got
  end

  it("never has half a character, and holds back what may become a stop text", function()
    local list, got = pieces(teller " was\xE7\xBE\xA4 known\xE7\xBE for", {tokens = 8})
    assert.same({" was", "", "", "群", " known", "", "", "\xE7\xBE for"}, list)
    assert.equal(" was群 known\xE7\xBE for", got.texts[1])
    list, got = pieces(teller " was\xE7\xBE", {tokens = 3})
    assert.same({" was", "", ""}, list)
    assert.equal(" was\xE7\xBE", got.texts[1])
    list = pieces(teller " was known for", {tokens = 3, stop = " known a"})
    assert.same({" was", "", " known for"}, list)
    list = pieces(teller " was known", {tokens = 2, stop = " known a"})
    assert.same({" was", "", " known!"}, list)
    list = pieces(teller " was known for", {tokens = 9, stop = "own"})
    assert.same({" was", " kn"}, list)
  end)

  it("joined, it is the text", function()
    local list, got = pieces(model, {seed = 7, tokens = 40, stop = {"he s", "an w"}})
    assert.equal(got.texts[1]:gsub("[\xE7\xBE\xA4]*$", ""), (table.concat(list):gsub("!", "")
      :gsub("[\xE7\xBE\xA4]*$", "")))
  end)

  it("decodes no token more than a few times, whatever the tokenizer puts between them", function()
    local writer = require "lua_equi.generate.writer"
    local words = equi.data.wordpiece.new {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "low", "##er", ","}
    local count, list = 0, {}
    local counting = {decode = function(_, some)
      count = count + #some
      return words:decode(some)
    end}
    local row, printed = writer.new(counting, {}), ""
    for i = 1, 300 do
      list[i] = ({4, 6, 7, 5})[i % 4 + 1] -- ##er stands behind [SEP], which is no text
      printed = printed .. row:add(list[i])
    end
    assert.equal(words:decode(list), row:text())
    assert.equal(row:text(), printed .. row:rest())
    assert.is_true(count < 5 * 300, count .. " tokens decoded")
  end)

  it("an error of on_token is raised, and nothing stays held", function()
    oracle.raises("mine", equi.generate, model, "The man", {on_token = function() error "mine" end})
    assert.is_true(equi.grad_enabled())
  end)
end)

describe("generate refuses", function()
  local MODEL = "generate: the model must be a language model (callable, or with start and step), "
  local cases = {
    {MODEL .. "got nothing", function() equi.generate(nil, {1}) end},
    {MODEL .. "got a table", function() equi.generate({}, {1}) end},
    {"generate: prompt 1 is empty; give at least one id, or a tokenizer with an end-of-text token",
      function() equi.generate(function() end, {{}}) end},
    {"generate: the list is empty; give a text, ids or a list of them", {}},
    {"generate: a text needs a tokenizer; give tokenizer = ..., or ids", function()
      equi.generate(function() end, "The man")
    end},
    {'generate: prompt 2 must be a list of ids as prompt 1 is, got "a"', {{1}, "a"}},
    {"generate: prompt 2 must be a text as prompt 1 is, got 3", {"The", 3}},
    {"generate: prompt 1: id 2 is 0; ids are whole numbers from 1", {{3, 0}}},
    {"generate: prompt 2: id 1 is 99; the model's vocabulary has 56 tokens", {{1}, {99}}},
    {"generate: prompts must be ids [B, T] of dtype i64, got a tensor f32 2", equi.ones(2)},
    {"generate: prompts must be texts or ids, got nothing"},
    {"generate: mask must be a tensor 1 x 2 as the ids are, got 3", ids {{1, 2}}, {mask = 3}},
    {"generate: tokens must be a whole number of at least 1, got 0", "The", {tokens = 0}},
    {"generate: samples must be a whole number of at least 1, got 0", "The", {samples = 0}},
    {"generate: temperature must be a number of at least 0, got -1", "The", {temperature = -1}},
    {"generate: top_p must be above 0 and at most 1, got 0", "The", {top_p = 0}},
    {"generate: typical must be above 0 and at most 1, got 1.5", "The", {typical = 1.5}},
    {"generate: repetition_penalty must be above 0, got 0; 1 changes nothing", "The",
      {repetition_penalty = 0}},
    {"generate: on_token must be a function, got 3", "The", {on_token = 3}},
    {"generate: stop must be a list, got 3", "The", {stop = 3}},
    {"generate: stop: entry 1 must be a text that is not empty, got", "The", {stop = {""}}},
    {'generate: stop_ids: entry 1 must be an id, got "a"', "The", {stop_ids = {"a"}}},
    {"generate: seed must be a whole number, or a list of one for each row, got 0.5", "The",
      {seed = 0.5}},
    {"generate: seed lists 2 numbers for 1 rows", "The", {seed = {1, 2}}},
    {'generate: seed of row 1 is "a"', "The", {seed = {"a"}}},
    {'generate: no option "topk"', "The", {topk = 3}},
    {"generate: stop is a list of texts, which needs a tokenizer", function()
      equi.generate(function() end, {{1}}, {stop = "x"})
    end},
  }
  for _, case in ipairs(cases) do
    it(case[1], function()
      if type(case[2]) == "function" then return oracle.raises(case[1], case[2]) end
      oracle.raises(case[1], equi.generate, model, case[2], case[3])
    end)
  end
end)
