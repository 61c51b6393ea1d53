--- What the targets that read weights share: where the seeds are, and how a result is used up.
local equi = require "lua_equi"

local weights = {}

local FOLDER = "spec/support/weights/"
local MAX_TOUCHED = 1 << 20 -- elements; views that repeat a few numbers may have more

local function touch(tensors)
  for name, x in pairs(tensors) do
    assert(type(name) == "string" and equi.is_tensor(x), name)
    if x:numel() <= MAX_TOUCHED then assert(type(x:tobytes()) == "string") end
  end
end

--- A target of spec/fuzz/fuzz.lua whose seeds are names of files in spec/support/weights.
---@param t table {seeds =, words =, read = function(path, equi)}
---@return table
function weights.target(t)
  for i, name in ipairs(t.seeds) do t.seeds[i] = FOLDER .. name end
  local read = t.read or function(path) return equi.weights.read(path, {max_inflated = 1 << 26}) end
  t.read = function(path) return read(path, equi) end
  t.use = touch
  return t
end

--- What means something in a pickle, and `more`.
---@param more string[]
---@return string[]
function weights.pickle_words(more)
  local words = {"\x80\x02", "ctorch\n", "FloatStorage\n", "HalfStorage\n", "LongStorage\n",
    "BoolStorage\n", "ctorch._utils\n_rebuild_tensor_v2\n", "ccollections\nOrderedDict\n",
    "cposix\nsystem\n", "X\7\0\0\0storage", "tQ", "K\0", "K\1", "J\255\255\255\255", "]", "}", ")",
    "(", "R", "b", ".", "N", "u", "e", "t", "\x85", "\x86", "\x87", "h\0", "q\0", "j\0\0\0\0",
    "\x8a\8\255\255\255\255\255\255\255\127", "G\127\248\0\0\0\0\0\0", "\x95\0\0\0\0\0\0\0\0"}
  return table.move(more, 1, #more, #words + 1, words)
end

return weights
