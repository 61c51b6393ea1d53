--- equi.nn: layers and what works on any module. One page; the parts are in this folder.
local module = require "lua_equi.nn.module"
local strict = require "lua_equi.strict"

local nn = {initialise = strict(require "lua_equi.nn.initialise", "equi.nn.initialise")}
for name, f in pairs(module) do nn[name] = f end
nn.class = require("lua_equi.nn.class").class
for _, part in ipairs {"basic", "conv", "pool", "norm", "recurrent", "attention",
  "transformer", "recompute",
  "lora"} do
  for name, constructor in pairs(require("lua_equi.nn." .. part)) do nn[name] = constructor end
end
return nn
