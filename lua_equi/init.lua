--- lua_equi: group-equivariant fine-tuning of pretrained networks.
--
-- The public table: everything a user reaches starts here. Submodules load when first used.
local core = require "lua_equi.core"
local elsewhere = require "lua_equi.elsewhere"
require "lua_equi.tensor"
local strict = require "lua_equi.strict"

local equi = {}
for name, value in pairs(core) do
  equi[name] = value
end
equi.fail_allocation = nil -- for tests, which find it in equi.core
equi.list_folder = nil     -- a part of equi.data.image_folder
for _, name in ipairs {"bpe", "count_words", "basic_words"} do
  equi[name] = nil -- parts of equi.data.bpe and equi.data.wordpiece
end
for _, name in ipairs {"read", "write", "resize", "batch", "pool", "max_pixels"} do
  equi["image_" .. name] = nil -- parts of equi.image and equi.data.loader
end
for _, name in ipairs {"build", "is_terminal", "use_kernels", "halves"} do
  equi[name] = nil -- for equi.config, equi.log, safetensors and specs: in equi.core
end
equi.core = core
equi._VERSION = "lua_equi scm"
for _, name in ipairs {"group", "action", "backend"} do strict(core[name], "equi." .. name) end

-- Equituned models have the methods of modules, which come with lua_equi.nn.
setmetatable(core.equitune_methods, {__index = function(methods, name)
  require "lua_equi.nn"
  return rawget(methods, name)
end})

-- What loads when first used: true for a module of that name, else the module with the function.
local lazy = {
  nn = true, optim = true, train = true, data = true, check = true, checkpoint = true,
  combine = true, classify = true, safetensors = true, weights = true, results = true,
  image = true,
  options = true, log = true, plot = true, json = true, models = true,
  load_weights = "weights", fuse = "fuse", compress = "compress",
  generate = "generate", fairness = true,
  help = "repl", complete = "repl", config = "config",
}

-- A misspelt name would be "a nil value" in the middle of a formula; here it says what was meant.
local function unknown(name)
  local names = {}
  for key in pairs(equi) do names[#names + 1] = key end
  for key in pairs(lazy) do names[#names + 1] = key end
  table.sort(names)
  error(('equi: nothing is called "%s"; %s'):format(name,
    elsewhere.hint("equi", name, names) or "equi.help() lists what there is"), 3)
end

return setmetatable(equi, {
  lazy = lazy,
  __name = "lua_equi",
  __tostring = function() return equi._VERSION .. "; equi.help() lists what there is" end,
  __index = function(t, name)
    local from = lazy[name]
    if not from then
      if type(name) == "string" and name:find "^%a" then unknown(name) end
      return nil
    end
    local value = require("lua_equi." .. (from == true and name or from))
    if from ~= true then value = value[name] end
    if type(value) == "table" and not getmetatable(value) then strict(value, "equi." .. name) end
    rawset(t, name, value)
    return value
  end,
})
