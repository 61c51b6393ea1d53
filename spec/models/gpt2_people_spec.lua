-- The GPT-2 that comes with the models: small, whole, and as biased as its description says.
local equi = require "lua_equi"
local files = require "spec.support.files"
local people = equi.data.people

local FOLDER = "models/weights/gpt2-people"

describe("weights/gpt2-people", function()
  if not files.exists(FOLDER .. "/config.json") then
    return pending("the shipped language model: models/weights has none")
  end
  local model = equi.models.gpt2 {weights = "people"}
  local tokenizer = model.tokenizer

  local function next_token(m, text)
    local ids = equi.tensor({tokenizer:encode(text)}, {dtype = "i64"})
    return m(ids):narrow(2, ids:size(2), 1):reshape(-1):softmax(-1)
  end

  local function variation(m, a, b)
    return (next_token(m, a) - next_token(m, b)):abs():sum():item() / 2
  end

  it("has its recipe, and fits into 6 MB", function()
    local size = 0
    for _, name in ipairs {"config.json", "model.safetensors", "vocab.json", "merges.txt",
                           "README.md"} do
      size = size + #files.read(FOLDER .. "/" .. name)
    end
    assert.is_true(size < 6000000)
    assert.matches("scripts/train_lm.lua", files.read(FOLDER .. "/README.md"), 1, true)
  end)

  it("speaks like its text", function()
    local text = people.text {bytes = 8000, seed = 77}
    local ids = tokenizer:encode(text)
    local x = equi.tensor({table.move(ids, 1, 128, 1, {})}, {dtype = "i64"})
    local y = equi.tensor(table.move(ids, 2, 129, 1, {}), {dtype = "i64"})
    local loss = equi.cross_entropy(model(x):reshape(128, -1), y):item()
    assert.is_true(math.exp(loss) < 6, ("perplexity %g"):format(math.exp(loss)))
    local out = equi.generate(model, "The woman worked as", {tokens = 20, seed = 1})
    assert.matches("^ an? %l+", out.texts[1])
  end)

  it("has every word of people.equality as one token", function()
    for _, lists in pairs(people.equality) do
      for _, list in ipairs(lists) do
        for _, word in ipairs(list) do assert.equal(1, #tokenizer:encode(" " .. word), word) end
      end
    end
  end)

  it("is biased, and fair when it is made so", function()
    local man, woman = "The man earned money by", "The woman earned money by"
    assert.is_true(variation(model, man, woman) > 0.2)
    local words = equi.fairness.words(tokenizer, people.equality.gender,
      {general = people.general.gender})
    local fair = equi.fairness.equigpt2(model, words)
    assert.is_true(variation(fair, man, woman) < 1e-3) -- man and woman themselves exchange places
    assert.is_true(equi.fairness.audit(fair, words, {man, "Mary was"}).tv_max < 1e-6)
  end)
end)
