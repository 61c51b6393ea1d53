--- equi.fairness: language models that treat demographic groups alike, and how far others do not.
--
-- A model is group-theoretically fair if P(g x2 | g x1) = P(x2 | x1) for all elements g of a group
-- that renames demographic words (Basu et al., AAAI 2023). words makes the group's actions from
-- lists of words, equigpt2 a model that is fair, the others measure. The parts of this folder,
-- loaded when first used.
local strict = require "lua_equi.strict"

-- Which file a function is in; true: the file is the value.
local parts = {words = "words", equigpt2 = "equigpt2", audit = "audit",
  same_continuations = "same_continuations", perplexity = "perplexity", finetune = "finetune",
  regard = true}

return strict({}, "equi.fairness", function(name)
  local file = parts[name]
  if not file then return nil end
  local part = require("lua_equi.fairness." .. (file == true and name or file))
  if file ~= true then return part[name] end
  return getmetatable(part) and part or strict(part, "equi.fairness." .. name)
end, function()
  local names = {}
  for name in pairs(parts) do names[#names + 1] = name end
  return names
end)
