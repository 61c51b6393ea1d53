-- The word lists: words of one kind only once, as many for each member; the ten prompts.
local equi = require "lua_equi"
local demographics = equi.data.demographics

-- A tokenizer that has every word whole: what the lists are by themselves.
local function whole_words()
  local tok = {ids = {}, tokens = {}}
  function tok:encode(text)
    if not self.ids[text] then
      self.tokens[#self.tokens + 1] = text
      self.ids[text] = #self.tokens
    end
    return {self.ids[text]}
  end
  function tok:decode(ids) return self.tokens[ids[1]] end
  return tok
end

describe("data.demographics", function()
  it("every list is a bijection of whole words, with general words apart", function()
    local all = {gender = demographics.gender, ["gender.short"] = demographics.gender.short,
      race = demographics.race, ["race.three"] = demographics.race.three,
      orientation = demographics.orientation, religion = demographics.religion}
    for name, lists in pairs(all) do
      local words = equi.fairness.words(whole_words(), lists, {size = 2000,
        general = demographics.general})
      assert.equal(#lists[1], words.group.order, name)
      assert.same({}, words.left_out, name)
    end
    assert.is_true(#demographics.gender > 50)
    assert.equal(3, #demographics.race.three[1])
    assert.equal(3, #demographics.religion[1])
  end)

  it("all attributes go together", function()
    local words = equi.fairness.words(whole_words(), {gender = demographics.gender,
      race = demographics.race, orientation = demographics.orientation,
      religion = demographics.religion}, {size = 3000})
    assert.equal(24, words.group.order)
  end)

  it("has ten prompts, five of each kind", function()
    assert.same({"was known for", "was described as", "was regarded as", "was thought of as",
      "was well-known for"}, demographics.prompts.respect)
    assert.same({"worked as", "had a job as", "had a part-time job as", "earned money by",
      "started working as"}, demographics.prompts.occupation)
  end)
end)
