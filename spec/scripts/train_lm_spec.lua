-- scripts/train_lm.lua as a command: help, wrong options, a tiny run, resuming; windows of text.
local equi = require "lua_equi"
local files = require "spec.support.files"
local json = require "lua_equi.json"
local text = require "scripts.lm.text"

local function run(words) return files.script("train_lm.lua", words) end

local function weights(path)
  local parts = {}
  for name, x in pairs(equi.safetensors.load(path)) do parts[#parts + 1] = name .. x:tobytes() end
  table.sort(parts)
  return table.concat(parts)
end

describe("scripts/train_lm.lua", function()
  it("explains every option", function()
    local said, code = run "--help"
    assert.equal(0, code)
    for _, name in ipairs {"text", "bytes", "vocab", "layers", "positions", "steps", "lr", "warmup",
                           "dropout", "clip", "resume", "ship", "tiny"} do
      assert.matches("--" .. name, said, 1, true)
    end
  end)

  for _, case in ipairs {
    {"--step 5 --tiny", "did you mean --steps"}, {"--lr 0", "lr"}, {"--vocab 100", "vocab"},
    {"--text no/such.txt --tiny --out %s", "no/such.txt: No such file"},
    {"--tiny --width 10 --heads 3", "--width 10 does not divide into --heads 3"},
    {"--tiny --ship a/b", "--ship goes with a name of letters, digits and _; got a/b"},
    {"--tiny --tokenizer no/such --out %s", "no/such"},
    {"--tiny --bytes 1000 --positions 2000 --out %s", "a window 2000 and one more"},
    {"--tiny --ship new_name", "--ship goes with a whole run, not with --tiny"},
    {"--ship people --steps 1 --out %s", "models/weights/gpt2-people is there already"},
  } do
    it("refuses " .. case[1] .. " in one sentence", function()
      local out = files.folder()
      local said, code = run((case[1]:gsub("%%s", out)))
      files.remove(out)
      assert.equal(2, code)
      assert.matches(case[2], said, 1, true)
      assert.is_nil(said:find("stack traceback", 1, true))
    end)
  end

  it("trains, keeps the best, resumes to the same bits, and leaves a folder of a GPT-2", function()
    local a, b = files.folder(), files.folder()
    local said, code = run("--tiny --out " .. a)
    assert.equal(0, code, said)
    for _, file in ipairs {"result.json", "curves.png", "train.csv", "model/config.json",
                           "model/vocab.json", "model/merges.txt"} do
      assert.is_truthy(files.read(a .. "/" .. file), file)
    end
    local result = json.read(a .. "/result.json")
    assert.is_true(result.rows[1].perplexity < 320)
    local model = equi.models.gpt2 {folder = a .. "/model"}
    assert.same({1, 3, 320}, {model(equi.tensor({{1, 2, 320}}, {dtype = "i64"})):size()})
    assert.equal("The man", model.tokenizer:decode(model.tokenizer:encode "The man"))
    -- a run that Ctrl-C stops somewhere and that goes on
    local words = "--tiny --steps 150 --every 40 --out "
    run(words .. a .. "/whole")
    files.interrupted("train_lm.lua", words .. b, b .. "/train.safetensors")
    said, code = run(words .. b .. " --resume")
    assert.equal(0, code, said)
    for _, file in ipairs {"/train.safetensors", "/train.best.safetensors"} do
      assert.is_true(weights(a .. "/whole" .. file) == weights(b .. file), file)
    end
    files.remove(a)
    files.remove(b)
  end)

  it("does not overwrite what other options made", function()
    local a = files.folder()
    run("--tiny --steps 4 --out " .. a)
    local said, code = run("--tiny --steps 4 --lr 0.1 --out " .. a)
    assert.equal(2, code)
    assert.matches("other options: lr was", said, 1, true)
    assert.equal(0, select(2, run("--tiny --steps 4 --lr 0.1 --force --out " .. a)))
    files.remove(a)
  end)

  it("learns from files", function()
    local a, path = files.folder(), os.tmpname()
    files.write(path, ("The cat sat on the mat.\nThe dog sat on the log.\n"):rep(200))
    local words = "--tiny --steps 60 --lr 0.01 --vocab 280 --text %s --out %s"
    local said, code = run(words:format(path, a))
    assert.equal(0, code, said)
    assert.is_true(json.read(a .. "/result.json").rows[1].perplexity < 60)
    os.remove(path)
    files.remove(a)
  end)
end)

describe("windows of text", function()
  local ids = equi.arange(1, 51):to "i64"

  it("are followed by their targets, begin with stories in half of the cases", function()
    local w = text.windows(ids, {1, 11, 21}, {length = 8, batch = 500, seed = 3})
    local x, y = w:next()
    assert.is_true((x + 1):eq(y):all():item())
    local first, stories = x:narrow(2, 1, 1):reshape(-1):totable(), 0
    for _, id in ipairs(first) do
      if id == 1 or id == 11 or id == 21 then stories = stories + 1 end
    end
    assert.is_true(stories > 220 and stories < 340)
  end)

  it("go on from their state", function()
    local w = text.windows(ids, {1}, {length = 8, batch = 4, seed = 3})
    w:next()
    local state = w:state_dict()
    local x = w:next()
    w:load_state_dict(state)
    assert.is_true(x:eq((w:next())):all():item())
  end)

  it("of a uniform model have the vocabulary as perplexity", function()
    local function model(x) return equi.zeros(x:size(1), x:size(2), 60) end
    local perplexity, n = text.perplexity(model, ids, {length = 10, rows = 3})
    assert.is_true(math.abs(perplexity - 60) < 1e-4)
    assert.equal(50, n)
  end)
end)
