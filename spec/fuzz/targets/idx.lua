local equi = require "lua_equi"
local pictures = require "spec.fuzz.pictures"

return {
  seeds = pictures.seeds "^idx",
  words = {"\0\0\8\1", "\0\0\8\3", "\0\0\13\2", "\0\0\0\0", "\0\0\0\24", "\255\255\255\255",
    "\31\139\8\0", "\31\139\8\4", "\31\139\8\8", "\31\139\8\30", "\3\0", "\1\0\0\255\255"},
  read = function(path) return equi.data.idx.read(path) end,
  use = function(x) assert(#x:tobytes() == x:numel()) end,
}
