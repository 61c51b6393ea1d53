-- scripts/train_regard.lua as a command: what a run leaves, what is said of mistakes.
local equi = require "lua_equi"
local files = require "spec.support.files"
local json = require "lua_equi.json"

local function run(words) return files.script("train_regard.lua", words) end

-- Sentences that a few words tell apart.
local function sentences(n, labels)
  local words, lines = {[-1] = "cruel", [0] = "tall", [1] = "kind", [2] = "odd"}, {}
  for i = 1, n do
    local label = labels[i % #labels + 1]
    lines[i] = ("%d\tXYZ was known for being %s, they say."):format(label, words[label])
  end
  return table.concat(lines, "\n") .. "\n"
end

describe("train_regard.lua", function()
  it("leaves a classifier that opens again, a result, pictures", function()
    local out = files.folder()
    local text, code = run("--tiny --model bert,bag --out " .. out)
    assert.equal(0, code, text)
    assert.matches("class +precision +recall +F1 +sentences +predicted", text)
    assert.matches("\nbag +generated +1 ", text)
    for _, model in ipairs {"bert", "bag"} do
      local folder = out .. "/" .. model .. "-0"
      for _, name in ipairs {"config.json", "model.safetensors", "vocab.txt", "result.json",
        "confusion.png", "curves.png", "train.csv"} do
        assert.is_truthy(files.exists(folder .. "/" .. name), name)
      end
      local result = json.read(folder .. "/result.json")
      local test = result.tests[1]
      assert.same({"negative", "neutral", "positive", "other"}, {table.unpack(result.classes)})
      assert.equal(test.accuracy, equi.classify.scores(test.confusion).accuracy)
      local classifier = equi.fairness.regard.classifier(folder)
      assert.same({1, 4}, {classifier:probabilities({"XYZ was known for being kind."}):size()})
    end
    assert.equal(2, select(2, run("--report --out " .. out):gsub("generated", "")))
    text, code = run("--tiny --width 4 --out " .. out)
    assert.equal(2, code)
    assert.matches("result.json has other options: width was 8, is 4; take another --out, or "
      .. "--force", text, 1, true)
    files.remove(out)
  end)

  it("learns from files, the same again and when it goes on", function()
    local out, path = files.folder(), files.temporary()
    files.write(path, sentences(60, {-1, 0, 1}))
    local words = ("--train %s --test %s --epochs 12 --batch 8 --width 8 --lr 0.03 --model bag "
      .. "--balance --out %s/"):format(path, path, out)
    local text, code = run(words .. "a")
    assert.equal(0, code, text)
    assert.matches("accuracy 100.0 %", text, 1, true)
    assert.is_falsy(text:find "other")
    run(words .. "b")
    local function weights(name)
      return files.read(("%s/%s/bag-0/model.safetensors"):format(out, name))
    end
    assert.is_true(weights "a" == weights "b")
    os.remove(out .. "/b/bag-0/result.json")
    text, code = run(words .. "b --resume")
    assert.equal(0, code, text)
    assert.is_true(weights "a" == weights "b")
    local classifier = equi.fairness.regard.classifier(out .. "/a/bag-0")
    local found = equi.fairness.regard.score({
      {text = "The man was known for being cruel, they say.", demographic = "The man"},
      {text = "The woman was known for being kind, they say.", demographic = "The woman"}},
      {classifier = classifier})
    assert.same({"negative", "positive"}, {found.samples[1].regard, found.samples[2].regard})
    files.write(path, sentences(30, {-1, 0, 1, 2}))
    text = run(words:gsub("%-%-test %S+", "--test " .. path):gsub("%-%-train %S+",
      "--train " .. path .. ".3") .. "c")
    assert.matches("No such file", text, 1, true)
    os.remove(path)
    files.remove(out)
  end)

  it("goes on from a BERT that is given", function()
    local out, path = files.folder(), files.temporary()
    files.write(path, sentences(30, {-1, 0, 1}))
    run("--tiny --out " .. out)
    local text, code = run(("--tiny --train %s --pretrained %s/bert-0 --out %s/b"):format(path, out,
      out))
    assert.equal(0, code, text)
    assert.equal(3, #json.read(out .. "/b/bert-0/result.json").classes)
    text, code = run(("--tiny --pretrained %s/bert-0 --model bag --out %s/c"):format(out, out))
    assert.same({"train_regard.lua: --pretrained goes with --model bert, not bag\n", 2},
                {text, code})
    os.remove(path)
    files.remove(out)
  end)

  it("says in one sentence what is wrong with its data", function()
    local out, path = files.folder(), files.temporary()
    local function refuses(text, bytes, more)
      files.write(path, bytes)
      local said, code = run(("--tiny --train %s --out %s %s"):format(path, out, more or ""))
      assert.equal(2, code, said)
      assert.matches(text, said, 1, true)
      assert.equal(1, select(2, said:gsub("\n", "")))
    end
    refuses(('line 2: the label is "5"; labels are -1, 0, 1, 2'), "1\ta\n5\tb\n")
    refuses("no lines", "")
    refuses("2 sentences for training are too few to hold 0.15 of them out; give --dev",
      "1\ta\n0\tb\n")
    refuses("no/such.tsv: No such file", sentences(30, {0, 1}), "--dev no/such.tsv")
    refuses("lr must be above 0", "1\ta\n", "--lr 0")
    os.remove(path)
    files.remove(out)
  end)

  it("leaves out what the classifier does not tell apart, and says so", function()
    local out, path, other = files.folder(), files.temporary(), files.temporary()
    files.write(path, sentences(30, {-1, 0, 1}))
    files.write(other, sentences(20, {-1, 2}))
    local text, code = run(("--tiny --train %s --test %s --out %s"):format(path, other, out))
    assert.equal(0, code, text)
    assert.matches('test: 10 sentences of regard "other" are left out, of which training has none',
      text, 1, true)
    os.remove(path)
    os.remove(other)
    files.remove(out)
  end)
end)
