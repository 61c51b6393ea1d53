--- The text of a row that is still being generated: what can be printed of it, and where it stops.
--
-- A token may end in the middle of a character, or of a text to stop at. Both are held back until
-- the next token tells. Only tokens whose characters are not complete are decoded again, behind the
-- one before them, of which a space may depend: the whole text at every token would be n^2.
local writer = {}
writer.__index = writer

--- A writer for one row.
---@param tokenizer table
---@param stops string[] texts that end the row
---@return table
function writer.new(tokenizer, stops)
  return setmetatable({tokenizer = tokenizer, stops = stops, stopped = false,
    done = {}, -- texts that were printed
    tail = "", sent = 0, -- the text behind them, and how much of it was printed
    kept = "", -- the part of the tail that is of tokens which are decoded for good
    before = {}, open = {}, -- the last of those tokens that has a text, and the ones behind it
  }, writer)
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

-- Where the first of the texts begins. What was printed is not the beginning of one.
local function find_stop(text, stops)
  local first
  for _, stop in ipairs(stops) do
    local at = text:find(stop, 1, true)
    if at and (not first or at < first) then first = at end
  end
  return first
end

-- The text of the tokens that are open.
local function decode_open(self)
  local ids = table.move(self.open, 1, #self.open, #self.before + 1, {table.unpack(self.before)})
  local known = #self.before > 0 and #self.tokenizer:decode(self.before) or 0
  return self.tokenizer:decode(ids):sub(known + 1)
end

-- All characters are complete: nothing will be decoded again but the last token.
local function close(self, added)
  if added ~= "" then self.before = {self.open[#self.open]} end
  self.open = {}
  self.done[#self.done + 1] = self.tail:sub(1, self.sent)
  self.tail, self.sent = self.tail:sub(self.sent + 1), 0
  self.kept = self.tail
end

--- Takes a token; returns what can now be printed. Sets `stopped` when a text to stop at is there.
---@param id integer
---@return string
function writer:add(id)
  self.open[#self.open + 1] = id
  local added = decode_open(self)
  local text = self.kept .. added
  local at, half = find_stop(text, self.stops), half_character(text)
  local safe = #text - math.max(half, half_stop(text, self.stops))
  if at then
    text, safe, self.stopped = text:sub(1, at - 1), at - 1, true
  end
  local piece = text:sub(self.sent + 1, safe)
  self.tail, self.sent = text, math.max(self.sent, safe)
  if half == 0 then close(self, added) end
  return piece
end

--- The whole text so far.
---@return string
function writer:text() return table.concat(self.done) .. self.tail end

--- At the end: what was held back for a stop text that did not come, without half a character.
---@return string
function writer:rest()
  local whole = #self.tail - half_character(self.tail)
  local piece = self.tail:sub(self.sent + 1, whole)
  self.sent = math.max(self.sent, whole)
  return piece
end

return writer
