local equi = require "lua_equi"
local tokenizers = require "spec.fuzz.tokenizers"

return tokenizers.target {
  seed = "merges.txt", exact = true,
  words = {"#version: 0.2\n", "t h\n", "h t\n", "Ġ t\n", "\n", "\r\n", " ", "  ", "Ġ", "\0",
    "a b c\n"},
  read = function(path)
    return equi.data.bpe.read {vocab = tokenizers.folder .. "vocab.json", merges = path}
  end,
}
