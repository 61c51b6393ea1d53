--- What tokenizers share: checks of texts and ids, lists of ids as one padded tensor.
local arguments = require "lua_equi.arguments"
local caller = require "lua_equi.caller"
local core = require "lua_equi.core"

local ids = {}

--- Raises unless value is a string.
---@param who string
---@param name string
---@param value any
function ids.check_text(who, name, value)
  if type(value) == "string" then return end
  error(("%s: %s must be a string, got %s"):format(who, name, arguments.shown(value)), caller(3))
end

--- Raises unless base is 0 or 1.
---@param who string
---@param base any
function ids.check_base(who, base)
  if base == 0 or base == 1 then return end
  error(("%s: base must be 0, for the ids of files, or 1, got %s"):format(who,
    arguments.shown(base)), caller(3))
end

--- Ids that decode is given, as a list of ids from 1, all of them known; raises otherwise.
---@param given integer[]|table a list, or an i64 tensor of one dim
---@param base integer what the first id is
---@param size integer how many tokens there are
---@return integer[]
function ids.list(given, base, size)
  ids.check_base("decode", base)
  if core.is_tensor(given) and given.ndim == 1 and given.dtype == "i64" then
    given = given:totable()
  elseif type(given) ~= "table" then
    error(("decode: the ids must be a list or an i64 tensor of one dim, got %s"):format(
      arguments.shown(given)), caller(3))
  end
  local list, shift = {}, 1 - base
  for i = 1, #given do
    local id = given[i]
    if math.type(id) ~= "integer" or id < base or id > size - shift then
      error(("decode: id %s at place %d; ids are %d to %d"):format(arguments.shown(id), i, base,
        size - shift), caller(3))
    end
    list[i] = id + shift
  end
  return list
end

--- Encodes texts into the rows of a tensor, filled up at one side.
---@param texts string[]
---@param side string "right" or "left": where padding goes
---@param pad integer id of padding
---@param encode function text -> list of ids
---@return table ids i64 [B, T]
---@return table mask bool [B, T], false for padding
function ids.batch(texts, side, pad, encode)
  arguments.choice("batch", "side", side, {"right", "left"})
  if type(texts) ~= "table" or #texts == 0 then
    error(("batch: needs a list of texts, got %s"):format(type(texts) == "table" and "none" or
      arguments.shown(texts)), caller(3))
  end
  local rows, longest = {}, 0
  for i, text in ipairs(texts) do
    ids.check_text("batch", "text " .. i, text)
    rows[i] = encode(text)
    longest = math.max(longest, #rows[i])
  end
  if longest == 0 then
    return core.zeros({#rows, 0}, {dtype = "i64"}), core.zeros({#rows, 0}, {dtype = "bool"})
  end
  local filled, mask = {}, {}
  for i, row in ipairs(rows) do
    local shift = side == "left" and longest - #row or 0
    local places, real = {}, {}
    for k = 1, longest do
      local id = row[k - shift]
      places[k], real[k] = id or pad, id ~= nil
    end
    filled[i], mask[i] = places, real
  end
  return core.tensor(filled, {dtype = "i64"}), core.tensor(mask, {dtype = "bool"})
end

return ids
