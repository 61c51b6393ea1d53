-- lua_equi/fairness/regard.lua: masking, counting, the whole study on models that are known.
local equi = require "lua_equi"
local files = require "spec.support.files"
local json = require "lua_equi.json"
local regard = require "lua_equi.fairness.regard"

local SAMPLES = "../shared/data/nlg-bias/generated_samples/"

local function says(label)
  return function(texts)
    local list = {}
    for i in ipairs(texts) do list[i] = label end
    return list
  end
end

-- A model that says more good of some.
local function biased(prompts, seeds)
  local texts = {}
  for i, prompt in ipairs(prompts) do
    local good = (seeds[i] * 7919 % 10) < (prompt:find "woman" and 3 or 7)
    texts[i] = good and " being kind" or " being late"
  end
  return texts
end

local function fair(_, seeds)
  local texts = {}
  for i, seed in ipairs(seeds) do texts[i] = seed % 3 == 0 and " being kind" or " being late" end
  return texts
end

local function kind_or_late(texts)
  local rows = {}
  for i, t in ipairs(texts) do rows[i] = t:find "kind" and {0.1, 0.7, 0.2} or {0.9, 0, 0.1} end
  return rows
end
local COLUMNS = {"negative", "positive", "neutral"}

local function refuses(text, f, ...)
  local args = table.pack(...)
  local ok, message = pcall(function()
    f(table.unpack(args, 1, args.n))
    return 1
  end)
  assert.is_false(ok)
  assert.matches(text, message, 1, true)
  assert.matches("regard_spec.lua:%d+: ", message)
end

describe("fairness.regard", function()
  it("masks the first mention with its article, in any case, whole words only", function()
    local cases = {
      {"The man worked as a clerk.", "The man", "XYZ worked as a clerk.", 1},
      {"the  Black\tperson's job", "The Black person", "XYZ's job", 1},
      {"A gay person was THE GAY PERSON.", "gay person", "XYZ was THE GAY PERSON.", 1},
      {"Once the man-made thing and the woman, the man.", "The man",
        "Once the man-made thing and the woman, XYZ.", 1},
      {"The woman", "The man", "The woman", 0},
      {"Bathe man", "The man", "Bathe XYZ", 1},
      {"é man, mané, a man", "man", "é XYZ, mané, a man", 1},
      {"", "The man", "", 0},
    }
    for _, c in ipairs(cases) do
      assert.same({c[3], c[4]}, {regard.mask(c[1], c[2])}, c[1])
    end
    assert.same({"XYZ, a maintenance man, said XYZ's man.", 2},
      {regard.mask("The man, a maintenance man, said the man's man.", "The man",
        {mentions = "all"})})
    assert.equal("[x] was", (regard.mask("The man was", "man", {as = "[x]"})))
    refuses('mentions must be one of first, all, got "some"', regard.mask, "a", "man",
      {mentions = "some"})
    refuses('the demographic must be words such as "The man", got "the"', regard.mask, "a", "the")
  end)

  it("masks as the files of Sheng et al. do, in all 6,000 samples of GPT-2", function()
    local name = "small_gpt2_generated_samples.tsv"
    if not files.exists(SAMPLES .. name .. ".gz") then
      pending("masked samples: " .. SAMPLES .. name .. ".gz is absent")
      return
    end
    local list = assert(regard.read(SAMPLES .. name .. ".gz"))
    local masked = assert(equi.data.regard.lines(SAMPLES .. name .. ".XYZ.gz"))
    assert.same({6000, 6000}, {#list, #masked})
    local kinds = {}
    for i, s in ipairs(list) do
      assert.equal(masked[i], (regard.mask(s.text, s.demographic)))
      kinds[s.kind] = (kinds[s.kind] or 0) + 1
    end
    assert.same({respect = 3000, occupation = 3000}, kinds)
  end)

  it("puts people into prompts", function()
    assert.equal("The gay person worked as", regard.fill("XYZ worked as", "the gay person"))
    assert.equal("Yesterday the man", regard.fill("Yesterday XYZ", "the man"))
    refuses("a prompt holds XYZ once", regard.fill, "The man", "The man")
    refuses("a prompt holds XYZ once", regard.fill, "XYZ, XYZ", "The man")
    assert.equal(10, #regard.prompts)
  end)

  it("has the intervals of Wilson and Newcombe", function()
    local low, high = regard.interval(81, 263) -- Newcombe, Statistics in Medicine 17, 1998
    assert.same({"0.2553", "0.3662"}, {("%.4f"):format(low), ("%.4f"):format(high)})
    low, high = regard.interval(0, 20)
    assert.same({0, "0.1611"}, {low, ("%.4f"):format(high)})
    -- 56 of 70 and 48 of 80: 0.0524 to 0.3339 there
    local list = {}
    for i = 1, 150 do
      local first = i <= 70
      local good = first and i <= 56 or not first and i - 70 <= 48
      list[i] = {text = (first and "The man" or "The woman") .. (good and " good" or " bad"),
        demographic = first and "The man" or "The woman"}
    end
    local r = regard.score(list, {classifier = function(texts)
      local labels = {}
      for i, t in ipairs(texts) do labels[i] = t == "XYZ good" and 1 or -1 end
      return labels
    end})
    local d = r.differences.all[1].positive
    assert.same({"0.2000", "0.0524", "0.3339"}, {("%.4f"):format(d.difference),
      ("%.4f"):format(d.low), ("%.4f"):format(d.high)})
    assert.equal("0.2000", ("%.4f"):format(r.differences.all[1].variation))
  end)

  it("finds the bias of a model that has one, and none in one that is fair", function()
    local o = {generate = biased, classifier = kind_or_late, labels = COLUMNS, samples = 20}
    local r = regard.study(o)
    assert.equal(400, #r.samples)
    assert.same({"The man", "The woman"}, r.demographics)
    assert.same({"respect", "occupation"}, r.kinds)
    local men, women = r.shares.all["The man"], r.shares.all["The woman"]
    assert.equal(200, men.n)
    assert.is_true(men.positive.share - women.positive.share > 0.3)
    assert.is_true(r.differences.all[1].positive.low > 0)
    assert.equal(0, men.other.share)
    assert.equal(1, men.positive.share + men.negative.share)
    local s = r.samples[1]
    assert.same({"The man was known for", "respect", 1}, {s.prompt, s.kind, s.sample})
    assert.matches("^The man was known for being %a+$", s.text)
    assert.equal("XYZ" .. s.text:sub(8), s.masked)
    assert.is_truthy(s.probabilities.neutral)
    o.generate = fair
    local even = regard.study(o)
    for _, d in ipairs(even.differences.all) do assert.equal(0, d.variation) end
    for i = 1, 200 do
      local a, b = even.samples[i], even.samples[i + 200]
      assert.same({a.seed, a.masked}, {b.seed, b.masked})
    end
    o.seed = 5
    assert.is_false(regard.study(o).samples[1].seed == s.seed)
    assert.same(regard.study(o).samples, regard.study(o).samples)
  end)

  it("takes texts with the prompt and without, up to the end of a sentence", function()
    local function whole(prompts)
      local list = {}
      for i, p in ipairs(prompts) do list[i] = p .. " this.  \nThe next" end
      return list
    end
    local r = regard.study {generate = whole, classifier = says "neutral", samples = 1,
      prompts = {"XYZ liked"}}
    assert.equal("The man liked this.", r.samples[1].text)
    assert.same({}, r.kinds)
    assert.is_false(r:table():find "respect" ~= nil)
    local function several() return {' a "cat." It ran.', " a d.o.g and ran"} end
    local o = {generate = several, classifier = says "neutral", samples = 1,
      prompts = {"XYZ liked"}}
    local s = regard.study(o).samples
    assert.same({'The man liked a "cat."', "The woman liked a d.o.g and ran"},
      {s[1].text, s[2].text})
    o.sentence = false
    assert.equal('The man liked a "cat." It ran.', regard.study(o).samples[1].text)
  end)

  it("takes labels as numbers, names and tensors of probabilities, and a model", function()
    local list = {{text = "The man ran", demographic = "The man"}}
    for _, label in ipairs {2, "2", "other", "Other"} do
      assert.equal("other", regard.score(list, {classifier = says(label)}).samples[1].regard)
    end
    local function tensor() return equi.tensor {{0.2, 0.5, 0.3}} end
    assert.equal("positive",
      regard.score(list, {classifier = tensor, labels = COLUMNS}).samples[1].regard)
    local model = {config = {labels = {"LABEL_0", "LABEL_1", "LABEL_2"}},
      probabilities = function() return equi.tensor {{0.2, 0.2, 0.6}} end}
    assert.equal("neutral",
      regard.score(list, {classifier = model, labels = COLUMNS}).samples[1].regard)
    refuses('the classifier\'s labels hold "LABEL_0", "LABEL_1", "LABEL_2"; say what they are',
      regard.score, list, {classifier = model})
  end)

  it("opens the classifier in a folder, BERT or a bag of words", function()
    local folder = files.folder()
    local tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "xyz", "ran", "sat"}
    local o = {vocab_size = #tokens, hidden_size = 4, labels = COLUMNS, seed = 1}
    local list = {{text = "The man ran", demographic = "The man"}}
    refuses("regard.classifier: folder must be a path, got nothing", regard.classifier)
    refuses("config.json: No such file", regard.classifier, folder)
    local models = {equi.models.bag(o)}
    o.num_hidden_layers, o.num_attention_heads, o.intermediate_size = 1, 1, 4
    models[2] = equi.models.bert(o)
    for i, m in ipairs(models) do
      m:save(folder)
      if i == 1 then refuses("there is no vocab.txt in " .. folder, regard.classifier, folder) end
      files.write(folder .. "/vocab.txt", table.concat(tokens, "\n") .. "\n")
      local found = regard.classifier(folder)
      m.tokenizer = found.tokenizer
      assert.same(m:probabilities({"XYZ ran"}):totable(),
        found:probabilities({"XYZ ran"}):totable())
      local s = regard.score(list, {classifier = found}).samples[1]
      assert.is_truthy(s.probabilities.neutral)
    end
    files.write(folder .. "/vocab.txt", table.concat(tokens, "\n") .. "\nmore\n")
    refuses("has 8 tokens, vocab_size is 7", regard.classifier, folder)
    files.remove(folder)
  end)

  it("compares only demographics of one attribute", function()
    local r = regard.study {generate = fair, classifier = says "neutral", samples = 1,
      demographics = {"The man", "The gay person", "The woman", "The straight person", "The cat"}}
    local pairs_of = {}
    for i, d in ipairs(r.differences.all) do pairs_of[i] = d.first .. ", " .. d.second end
    table.sort(pairs_of)
    assert.same({"The gay person, The cat", "The gay person, The straight person",
      "The man, The cat", "The man, The woman", "The straight person, The cat",
      "The woman, The cat"}, pairs_of)
  end)

  it("prints, draws, and writes its samples", function()
    local r = regard.study {generate = biased, classifier = kind_or_late, labels = COLUMNS,
      samples = 2}
    assert.matches("respect +The woman +10 ", tostring(r))
    assert.matches("The man %- The woman", tostring(r), 1)
    assert.matches("| all ", r:table {markdown = true}, 1, true)
    assert.is_false(r:table({differences = false}):find("The man - The woman", 1, true) ~= nil)
    assert.same({"positive", "neutral", "negative"}, r.classes) -- there is no other in COLUMNS
    assert.is_nil(tostring(r):find("other", 1, true))
    local path = files.temporary()
    assert.is_true(regard.plot({{"GPT-2", r}, {"EquiGPT2", r}}, {title = "t"}):save(path))
    local h, w = select(2, equi.image.read(path):size())
    assert.same({900, 840}, {w, h})
    assert.is_true(r:plot():save(path))
    r.samples[1].text = "bad \255 bytes"
    assert.is_true(r:write(path))
    local lines = {}
    for line in io.lines(path) do lines[#lines + 1] = json.decode(line) end
    os.remove(path)
    assert.same({40, "bad \u{FFFD} bytes", "The man"}, {#lines, lines[1].text,
      lines[1].demographic})
    assert.is_nil(r:write "no/such/folder/x")
    refuses("give a list of {name, result", regard.plot, {})
  end)

  it("says what is wrong", function()
    local list = {{text = "The man ran", demographic = "The man"}}
    refuses("regard.score: classifier must be a model with probabilities", regard.score, list, {})
    refuses("samples must be a list of {text, demographic}, got none", regard.score, {},
      {classifier = says(0)})
    refuses('sample 1 does not mention "The woman": "The man ran"', regard.score,
      {{text = "The man ran", demographic = "The woman"}}, {classifier = says(0)})
    refuses("sample 1 has no text", regard.score, {{demographic = "x"}}, {classifier = says(0)})
    refuses("the classifier says 3 of text 1; labels are -1, 0, 1, 2 or negative", regard.score,
      list, {classifier = says(3)})
    refuses('the classifier says "good" of text 1', regard.score, list, {classifier = says "good"})
    refuses("the classifier returned 0 for 1 texts", regard.score, list,
      {classifier = function() return {} end})
    refuses("the classifier returns probabilities; say of which classes", regard.score, list,
      {classifier = kind_or_late})
    refuses("gives 3 probabilities for text 1, labels are 2", regard.score, list,
      {classifier = kind_or_late, labels = {"negative", "positive"}})
    refuses("labels: positive stands twice, at 1 and 2", regard.score, list,
      {classifier = kind_or_late, labels = {"positive", 1, 0}})
    refuses("regard.study: give model, a language model, or generate", regard.study,
      {classifier = says(0)})
    refuses("generate returned 1 texts for 20 prompts", regard.study, {classifier = says(0),
      samples = 1, generate = function() return {"a"} end})
    refuses("a prompt holds XYZ once", regard.study, {classifier = says(0), generate = fair,
      prompts = {"The man"}})
    refuses("samples must be a whole number of at least 1, got 0", regard.study,
      {classifier = says(0), generate = fair, samples = 0})
    refuses('no option "sample"; options are', regard.study, {sample = 1})
  end)

  it("says which line of a file of samples is wrong", function()
    local path = files.temporary()
    files.write(path, "The man was known for x\nThe cat was known for y\n")
    local list, message = regard.read(path)
    assert.is_nil(list)
    assert.matches("line 2 begins with none of the demographics The Black person, ", message, 1,
      true)
    local two = assert(regard.read(path, {demographics = {"The man", "The cat"}}))
    assert.same({"The cat", "The cat was known for", "respect"}, {two[2].demographic,
      two[2].prompt, two[2].kind})
    files.write(path, "")
    assert.matches("no lines", select(2, regard.read(path)), 1, true)
    os.remove(path)
  end)
end)

describe("Ctrl-C", function()
  it("ends a study: what it cut off is no sample", function()
    local printed = files.lua [[
      local equi = require "lua_equi"
      local tok, calls = equi.data.bpe.train("", {size = 257, special = {"<|endoftext|>"}}), 0
      local function model(ids)
        calls = calls + 1
        if calls == 5 then
          local shell = io.popen "kill -INT $PPID"
          shell:read "a"
          shell:close()
        end
        return equi.zeros({ids:size(1), ids:size(2), #tok})
      end
      print(pcall(equi.fairness.regard.study, {model = model, tokenizer = tok, samples = 1,
        classifier = function(texts)
          local list = {}
          for i in ipairs(texts) do list[i] = "neutral" end
          return list
        end}))]]
    if printed == "" then return pending "no shell that sends signals" end
    assert.equal("false\tinterrupted!\n", printed)
  end)
end)
