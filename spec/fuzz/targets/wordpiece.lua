local equi = require "lua_equi"
local tokenizers = require "spec.fuzz.tokenizers"

return tokenizers.target {
  seed = "vocab.txt", ending = ".txt",
  words = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "##", "\n", "\r\n", "\0", " ", "你", "a"},
  read = equi.data.wordpiece.read,
}
