--- What the readers of files share: how one is refused, and how that becomes nil and a message.
--
-- A bad file travels as a table, so that mistakes in a reader are not taken for one. Names and
-- texts out of files are shown with care: a hostile one may be long or hold control characters.
local core = require "lua_equi.core"

local refusal = {}

--- Ends the reading of a file; the message is what is wrong with it, without its path.
---@param format string
---@param ... any
function refusal.refuse(format, ...) error({bad_file = format:format(...)}, 0) end

--- A text out of a file, for a message.
---@param name string
---@return string
function refusal.shown(name)
  if #name > 100 then name = name:sub(1, 100) .. "..." end
  return ('"%s"'):format(name:gsub("%c", "?"))
end

--- Maps a file and returns what f(mapping) does, or nil and the message when it refuses.
---@param path string
---@param options table {copy =}: read the file instead of mapping it
---@param f function
---@return any
---@return any
function refusal.read(path, options, f)
  local mapping <close>, problem = core.map(path, {copy = options.copy})
  if not mapping then return nil, problem end
  local ok, first, second = pcall(f, mapping)
  if ok then return first, second end
  if type(first) == "table" and first.bad_file then return nil, path .. ": " .. first.bad_file end
  error(first, 0)
end

return refusal
