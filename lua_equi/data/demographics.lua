--- Words for demographic groups, for equi.fairness.words, and the prompts of the regard study.
--
-- Each file in demographics/ is one attribute: lists with one word for each of its members, in a
-- fixed order; `plural` stands beside a list where the words have one. They are ours to ship:
-- collected for this project, with no claim to be complete. A vocabulary may cut a word into
-- several tokens: equi.fairness.words(tokenizer, lists, {multi = "skip"}) leaves such out.
--
--     gender         two, long (E of a thorough experiment); gender.short is {{"man", "woman"}}
--     race           two; race.three has three members
--     orientation    two
--     religion       three members
--     general        S: words with a gendered meaning and no one-to-one partner
--     prompts        five of respect and five of occupation, after Sheng et al. (EMNLP 2019)
local contexts = require("lua_equi.data.people.phrases").contexts
local strict = require "lua_equi.strict"

local parts = {"gender", "race", "orientation", "religion", "general"}
local is_part = {}
for _, name in ipairs(parts) do is_part[name] = true end

local demographics = {}

--- The ten prompts of the regard study (Sheng et al., EMNLP 2019), five of `respect` and five of
--- `occupation`; they go behind the name of a group.
---
--- Example:
---     print(equi.data.demographics.prompts.respect[1])   --> was known for
demographics.prompts = {respect = {}, occupation = {}}
for _, c in ipairs(contexts) do table.insert(demographics.prompts[c.kind], c.text) end

return strict(demographics, "equi.data.demographics", function(name)
  return is_part[name] and require("lua_equi.data.demographics." .. name) or nil
end, function() return parts end)
