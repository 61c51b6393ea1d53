local equi = require "lua_equi"
local tokenizers = require "spec.fuzz.tokenizers"

return tokenizers.target {
  seed = "vocab.json", exact = true,
  words = {'"Ġ"', '"Ġt"', '"th"', '"<|endoftext|>"', '": 0', '": 279', '": 280', '": -1', '": 1e3',
    ": null", ": {}", "{", "}", "[", "]", ",", "\\u0120", "\\u0000", '""'},
  read = function(path)
    return equi.data.bpe.read {vocab = path, merges = tokenizers.folder .. "merges.txt"}
  end,
}
