--- lua_equi: group-equivariant fine-tuning of pretrained networks.
--
-- The public table: everything a user reaches starts here. Submodules load when first used.
local core = require "lua_equi.core"
require "lua_equi.tensor"

local equi = {}
for name, value in pairs(core) do
  equi[name] = value
end
equi.core = core
equi._VERSION = "lua_equi scm"

-- What loads when first used: true for a module of that name, else the module with the function.
local lazy = {
  nn = true, optim = true, train = true, data = true, check = true, checkpoint = true,
  combine = true, safetensors = true,
  options = true, log = true, plot = true, json = true, models = true,
  help = "repl", complete = "repl", config = "repl",
}

return setmetatable(equi, {
  lazy = lazy,
  __index = function(t, name)
    local from = lazy[name]
    if not from then return nil end
    local value = require("lua_equi." .. (from == true and name or from))
    if from ~= true then value = value[name] end
    rawset(t, name, value)
    return value
  end,
})
