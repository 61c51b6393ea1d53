--- Lists of ids as one tensor: rows of equal length, filled up at one side, and which places count.
local arguments = require "lua_equi.arguments"
local caller = require "lua_equi.caller"
local core = require "lua_equi.core"

--- Encodes texts into rows of one length.
---@param texts string[]
---@param side string "right" or "left": where padding goes
---@param pad integer id of padding
---@param encode function text -> list of ids
---@return table ids i64 [B, T]
---@return table mask bool [B, T], false for padding
local function padded(texts, side, pad, encode)
  arguments.choice("batch", "side", side, {"right", "left"})
  if type(texts) ~= "table" or #texts == 0 then
    error(("batch: needs a list of texts, got %s"):format(type(texts) == "table" and "none" or
      arguments.shown(texts)), caller(2))
  end
  local rows, longest = {}, 0
  for i, text in ipairs(texts) do
    if type(text) ~= "string" then
      error(("batch: text %d must be a string, got %s"):format(i, arguments.shown(text)), caller(2))
    end
    rows[i] = encode(text)
    longest = math.max(longest, #rows[i])
  end
  local ids, mask = {}, {}
  for i, row in ipairs(rows) do
    local shift = side == "left" and longest - #row or 0
    local places, real = {}, {}
    for k = 1, longest do
      local id = row[k - shift]
      places[k], real[k] = id or pad, id ~= nil
    end
    ids[i], mask[i] = places, real
  end
  if longest == 0 then
    return core.zeros({#rows, 0}, {dtype = "i64"}), core.zeros({#rows, 0}, {dtype = "bool"})
  end
  return core.tensor(ids, {dtype = "i64"}), core.tensor(mask, {dtype = "bool"})
end

return padded
