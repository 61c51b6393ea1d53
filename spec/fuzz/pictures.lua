--- What the targets that read pictures and data sets share: seeds by their ending, and results used
--- up.
local equi = require "lua_equi"
local files = require "spec.support.files"

local pictures = {}

local FOLDER = "spec/support/images/"

pictures.max_pixels = 1 << 20 -- larger ones cost time and tell nothing new

--- The paths of the seeds whose names match.
---@param pattern string
---@return string[]
function pictures.seeds(pattern)
  local list = {}
  for _, name in ipairs(files.list(FOLDER)) do
    if name:find(pattern) then list[#list + 1] = FOLDER .. name end
  end
  return list
end

--- Touches every pixel of a picture, or of the tensors of a list.
---@param x any
function pictures.use(x)
  for _, t in ipairs(equi.is_tensor(x) and {x} or x) do
    assert(equi.is_tensor(t) and #t:tobytes() > 0)
  end
end

return pictures
