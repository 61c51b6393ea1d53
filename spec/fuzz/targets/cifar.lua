local equi = require "lua_equi"
local pictures = require "spec.fuzz.pictures"

return {
  seeds = pictures.seeds "^cifar",
  words = {("\0"):rep(3073), ("\9"):rep(3073), "\10", "\100", "\20", "\255"},
  read = function(path)
    for _, kind in ipairs {"cifar10", "cifar100"} do
      local x, y = equi.data.cifar.read_file(path, {kind = kind})
      if x then return {x, y} end
      if kind == "cifar100" then return nil, y end
    end
  end,
  use = pictures.use,
}
