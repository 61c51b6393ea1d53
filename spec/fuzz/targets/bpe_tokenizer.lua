local equi = require "lua_equi"
local tokenizers = require "spec.fuzz.tokenizers"

return tokenizers.target {
  seed = "tokenizer.json", exact = true, ending = ".json",
  words = {'"model"', '"vocab"', '"merges"', '"added_tokens"', '"id"', '"content"', '"type"',
    "null", "true", "[", "]", "{", "}", ":", ",", '"Ġ t"', '["Ġ", "t"]', ": 0", ": 279", ": -1",
    ": 1e9", '"BPE"', '"ByteLevel"', '""', "[["},
  read = equi.data.bpe.read,
}
