--- The text of a row that is still being generated: what can be printed of it, and where it stops.
--
-- A token may end in the middle of a character, or of a text to stop at. Both are held back until
-- the next token tells.
local writer = {}
writer.__index = writer

--- A writer for one row.
---@param tokenizer table
---@param stops string[] texts that end the row
---@return table
function writer.new(tokenizer, stops)
  return setmetatable({tokenizer = tokenizer, stops = stops, ids = {}, decoded = "", sent = 0,
    searched = 0, stopped = false}, writer)
end

-- Bytes at the end of s that begin a character and do not finish it.
local function half_character(s)
  for back = 1, math.min(3, #s) do
    local byte = s:byte(-back)
    if byte >= 0xC0 then
      local needs = byte >= 0xF0 and 4 or byte >= 0xE0 and 3 or 2
      return byte < 0xF8 and needs > back and back or 0
    elseif byte < 0x80 then
      return 0
    end
  end
  return 0
end

-- Bytes at the end of s that a text to stop at begins with.
local function half_stop(s, stops)
  local most = 0
  for _, stop in ipairs(stops) do
    for n = math.min(#stop - 1, #s), most + 1, -1 do
      if s:sub(-n) == stop:sub(1, n) then
        most = n
        break
      end
    end
  end
  return most
end

-- Where the first of the texts begins; only what is new is searched.
local function find_stop(self)
  local first
  for _, stop in ipairs(self.stops) do
    local at = self.decoded:find(stop, math.max(1, self.searched - #stop + 2), true)
    if at and (not first or at < first) then first = at end
  end
  self.searched = #self.decoded
  return first
end

--- Takes a token; returns what can now be printed. Sets `stopped` when a text to stop at is there.
---@param id integer
---@return string
function writer:add(id)
  self.ids[#self.ids + 1] = id
  self.decoded = self.tokenizer:decode(self.ids)
  local at = find_stop(self)
  local safe = #self.decoded - half_character(self.decoded)
  if at then
    self.decoded, self.stopped = self.decoded:sub(1, at - 1), true
    safe = #self.decoded
  elseif #self.stops > 0 then
    safe = math.min(safe, #self.decoded - half_stop(self.decoded, self.stops))
  end
  if safe <= self.sent then return "" end
  local piece = self.decoded:sub(self.sent + 1, safe)
  self.sent = safe
  return piece
end

--- The whole text so far.
---@return string
function writer:text() return self.decoded end

--- At the end: what was held back for a stop text that did not come, without half a character.
---@return string
function writer:rest()
  local whole = #self.decoded - half_character(self.decoded)
  local piece = self.decoded:sub(self.sent + 1, whole)
  self.sent = math.max(self.sent, whole)
  return piece
end

return writer
