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

local submodules = {
  nn = true, optim = true, train = true, data = true, check = true, checkpoint = true,
  combine = true, safetensors = true,
  options = true, log = true, plot = true, json = true, models = true,
}

return setmetatable(equi, {
  __index = function(t, name)
    if not submodules[name] then return nil end
    local module = require("lua_equi." .. name)
    rawset(t, name, module)
    return module
  end,
})
