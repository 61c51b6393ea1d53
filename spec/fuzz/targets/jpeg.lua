local equi = require "lua_equi"
local pictures = require "spec.fuzz.pictures"

return {
  seeds = pictures.seeds "%.jpg$",
  words = {"\255\216", "\255\217", "\255\192\0\17\8", "\255\193", "\255\194", "\255\195",
    "\255\196", "\255\201", "\255\202", "\255\218", "\255\219", "\255\221\0\4\0\1", "\255\208",
    "\255\224", "\255\238\0\14Adobe", "\255\254", "\1\34\0", "\2\17\1", "\3\17\1", "\4\17\1",
    "\255\255"},
  read = function(path) return equi.image.read(path, {max_pixels = pictures.max_pixels}) end,
  use = pictures.use,
}
