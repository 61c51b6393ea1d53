local shards = require "lua_equi.formats.shards"
local weights = require "spec.fuzz.weights"

-- The index alone is damaged; what it names is looked for where the good files are.
return weights.target {
  seeds = {"shards.index.json"},
  words = {'"weight_map"', '"shard-1.bin"', '"a"', "{", "}", "[", "null", "1e999", '"metadata"',
    "..", "/", ".", "\\u0000", "\0"},
  read = function(path, equi)
    return shards.read(path, {}, function(name)
      return equi.weights.read("spec/support/weights/" .. name:match "[^/]*$")
    end)
  end,
}
