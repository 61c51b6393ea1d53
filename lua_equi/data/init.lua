--- equi.data: readers, samplers, vocabularies, tokenizers. The parts of this folder, loaded when
--- first used.
local strict = require "lua_equi.strict"

local parts = {"bpe", "cifar", "demographics", "idx", "image_folder", "loader", "people",
  "random", "regard", "sampler", "scan", "sequences", "text_blocks", "vocabulary", "wordpiece"}
local is_part = {}
for _, name in ipairs(parts) do is_part[name] = true end

return strict({}, "equi.data", function(name)
  if not is_part[name] then return nil end
  local part = require("lua_equi.data." .. name)
  return getmetatable(part) and part or strict(part, "equi.data." .. name)
end, function() return parts end)
