-- scripts/fairness.lua as a command: help, wrong options, every task in seconds, resuming, the
-- report; and the truth that audits are compared with.
local equi = require "lua_equi"
local files = require "spec.support.files"
local json = require "lua_equi.json"
local setup = require "scripts.fairness.setup"
local study = require "scripts.fairness.study"
local truth = require "scripts.fairness.truth"

local function run(words) return files.script("fairness.lua", words) end

describe("scripts/fairness.lua", function()
  it("explains every option", function()
    local said, code = run "--help"
    assert.equal(0, code)
    for _, name in ipairs {"task", "model", "words", "general", "methods", "combine", "prompts",
                           "text", "count", "samples", "tokens", "temperature", "top-k",
                           "classifier", "train", "epochs", "lr", "out", "resume", "report",
                           "markdown", "demo", "tiny"} do
      assert.matches("--" .. name, said, 1, true)
    end
  end)

  for _, case in ipairs {
    {"--tasks audit", "did you mean --task"}, {"--task judge", "judge"}, {"--lr 0", "lr"},
    {"--methods fair", "fair"}, {"--samples 0", "samples"},
    {"--tiny --words sex", 'there are no words "sex"; there are gender, race, orientation, nation'},
    {"--tiny --words no/such.txt", "no/such.txt: No such file"},
    {"--tiny --words religion --out %s", 'the vocabulary has none of the words "religion"'},
    {"--tiny --demo", "--tiny and --demo are two sizes; give one"},
    {"--model no/such --out %s", "no/such"},
    {"--report --out no/such/folder", "no results in no/such/folder"},
  } do
    it("refuses " .. case[1] .. " in one sentence", function()
      local out = files.folder()
      local said, code = run((case[1]:gsub("%%s", out)))
      assert.equal(2, code, said)
      assert.matches(case[2], said, 1, true)
      assert.is_nil(said:find("stack traceback", 1, true))
      files.remove(out)
    end)
  end

  it("does every task, and reports", function()
    local out = files.folder()
    local said, code = run("--tiny --task audit,generate,perplexity,finetune --out " .. out)
    assert.equal(0, code, said)
    for _, name in ipairs {"audit-gender-0/unfairness.png", "generate-gender-0/result.json",
                           "perplexity-gender-0/result.json", "finetune-gender-0/result.json"} do
      assert.is_truthy(files.exists(out .. "/" .. name), name)
    end
    local rows = json.read(out .. "/audit-gender-0/result.json").rows
    assert.equal(3, #rows)
    assert.is_true(rows[1].max_tv > 1e-4)  -- plain
    assert.is_true(rows[2].max_tv < 1e-5)  -- EquiGPT2
    assert.equal(100, json.read(out .. "/generate-gender-0/result.json").rows[2].same)
    local report = run("--report --out " .. out)
    for _, task in ipairs {"audit", "generate", "perplexity", "finetune"} do
      assert.matches("\n?" .. task .. "\n\n", report)
    end
    assert.matches("^words", (run("--report --task perplexity --out " .. out)))
    assert.matches("| EquiGPT2", (run("--report --markdown --out " .. out)), 1, true)
    said, code = run("--tiny --task audit --count 5 --out " .. out)
    assert.equal(2, code)
    assert.matches("other options: count was 4, is 5", said, 1, true)
    said, code = run("--tiny --task audit --resume --out " .. out)
    assert.equal(0, code, said)
    assert.is_nil(said:find("wrote", 1, true))
    files.remove(out)
  end)

  it("goes on with a fine-tuning that was stopped", function()
    local out = files.folder()
    local words = "--tiny --task finetune --methods plain,equi --out " .. out
    local said, code = run(words)
    assert.equal(0, code, said)
    local path = out .. "/finetune-gender-0/"
    local before = json.read(path .. "result.json").rows
    os.remove(path .. "result.json") -- as if stopped in the last method
    os.remove(path .. "equi.safetensors")
    said, code = run(words .. " --resume")
    assert.equal(0, code, said)
    assert.is_nil(said:find("begins anew", 1, true), said)
    local after = json.read(path .. "result.json").rows
    for i, row in ipairs(after) do assert.equal(before[i].perplexity, row.perplexity) end
    files.remove(out)
  end)

  it("judges samples by a classifier that it trains first, and that is taken again", function()
    local out = files.folder()
    local said, code = run("--tiny --task regard --methods plain,equi --out " .. out)
    assert.equal(0, code, said)
    for _, name in ipairs {"regard.png", "samples-plain.jsonl", "samples-equi.jsonl"} do
      assert.is_truthy(files.exists(out .. "/regard-gender-0/" .. name), name)
    end
    local result = json.read(out .. "/regard-gender-0/result.json")
    assert.equal(12, #result.rows) -- two methods, two groups; respect, occupation and both
    for _, row in ipairs(result.rows) do
      local sum = row.negative + row.neutral + row.positive + row.other
      assert.is_true(math.abs(sum - 1) < 1e-9)
    end
    said = run(("--tiny --task regard --seeds 1 --methods equi --out %s"):format(out))
    assert.is_nil(said:find("training a classifier", 1, true))
    files.remove(out)
  end)

  it("finds the classifier's script below any folder, and hears a Ctrl-C there", function()
    local execute, command = os.execute, nil
    local function ended(...)
      local end_of = {...}
      os.execute = function(words) -- luacheck: ignore 122
        command = words
        return nil, table.unpack(end_of)
      end
      local _, message = pcall(study.run, {classifier = "", out = "no/such", tiny = true}, {},
        "/a b/")
      os.execute = execute -- luacheck: ignore 122
      return message
    end
    assert.equal("interrupted!", ended("exit", 130))
    assert.equal("interrupted!", ended("signal", 2))
    assert.matches("'/a b/scripts/train_regard.lua'", command, 1, true)
    assert.matches("could not be trained", ended("exit", 2), 1, true)
  end)

  it("is fair for groups of three, for products and for lists of the user", function()
    local out, path = files.folder(), os.tmpname() .. ".txt"
    files.write(path, "# ours\nman woman\nmother father\ngeneral: he she\n")
    local said, code = run(("--tiny --words nation,gender+race,%s --count 2 --out %s"):format(path,
      out))
    assert.equal(0, code, said)
    for _, name in ipairs {"audit-nation-0", "audit-gender+race-0"} do
      local rows = json.read(("%s/%s/result.json"):format(out, name)).rows
      assert.is_true(rows[1].max_tv > 1e-4 and rows[2].max_tv < 1e-5, name)
    end
    os.remove(path)
    files.remove(out)
  end)
end)

describe("fairness.setup", function()
  it("reads lists of words from files", function()
    local path = os.tmpname() .. ".txt"
    files.write(path, "# people\nFrench, German, Italian\n\ngeneral: continental\n")
    local lists, general = setup.lists(path)
    assert.same({{"French", "German", "Italian"}}, lists)
    assert.same({"continental"}, general)
    files.write(path, "man woman\nFrench German Italian\n")
    local ok, message = pcall(setup.lists, path)
    assert.is_false(ok)
    assert.matches("has 3 words, the first list 2", message, 1, true)
    os.remove(path)
  end)

  it("names the members of products", function()
    local function of(...)
      local list = {}
      for i, name in ipairs {...} do list[i] = {name = name, lists = (setup.lists(name))} end
      return setup.subjects(list)
    end
    assert.same({"The man", "The woman"}, of "gender")
    assert.same({"The French person", "The German person", "The Italian person"}, of "nation")
    assert.same({"The Black man", "The White man", "The Black woman", "The White woman"},
      of("gender", "race"))
  end)
end)

describe("fairness.truth", function()
  -- A tokenizer of whole words, and a model that knows the text: its next words are those of
  -- people.continuations.
  local tokenizer, words = {}, {}
  function tokenizer.encode(_, text)
    local ids = {}
    for word in text:gmatch "%S+" do
      if not words[word] then
        words[#words + 1] = word
        words[word] = #words
      end
      ids[#ids + 1] = words[word]
    end
    return ids
  end

  local function knowing(ids)
    local prompt = {}
    for i, id in ipairs(ids:totable()[1]) do prompt[i] = words[id] end
    prompt = table.concat(prompt, " ")
    local p = {}
    for i = 1, 400 do p[i] = 1e-30 end
    for _, c in ipairs(equi.data.people.continuations(prompt)) do
      local id = tokenizer:encode(c.text)[1]
      p[id] = p[id] + c.p
    end
    return equi.tensor({{p}}):log():tile({1, ids:size(2), 1})
  end

  it("finds no distance of a model that knows the text, and its bias", function()
    for _, attribute in ipairs {"gender", "nation"} do
      local rows, mean = truth.compare(knowing, tokenizer, attribute)
      assert.equal(10, #rows)
      assert.is_true(mean.distance < 1e-5, attribute)
      assert.is_true(math.abs(mean.truth - mean.learned) < 1e-5, attribute)
      assert.is_true(mean.truth > 0.2, attribute)
    end
  end)

  it("finds the distance of one that knows nothing", function()
    local _, mean = truth.compare(function(ids) return equi.zeros(1, ids:size(2), 400) end,
      tokenizer, "race")
    assert.equal(0.0, mean.learned)
    assert.is_true(mean.distance > 0.8)
  end)
end)
