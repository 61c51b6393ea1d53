--- The 256 printable characters by which GPT-2's files write bytes.
--
-- Bytes that Latin-1 prints stand for themselves, the 68 others for U+0100 and on, in their order:
-- a space is U+0120. Not UTF-8: a token may end in the middle of a character.
local alphabet = {}

--- The character of each byte, by byte + 1.
---@type string[]
alphabet.of_byte = {}

--- The byte, as a string, of each character.
---@type table<string, string>
alphabet.byte_of = {}

--- The bytes in the order of their characters, which is the order of GPT-2's first 256 tokens.
---@type integer[]
alphabet.order = {}

local function prints(b)
  return b >= 33 and b <= 126 or b >= 161 and b <= 172 or b >= 174
end

local more = 0
for b = 0, 255 do
  local c = utf8.char(b)
  if not prints(b) then
    c = utf8.char(256 + more)
    more = more + 1
  end
  alphabet.of_byte[b + 1], alphabet.byte_of[c] = c, string.char(b)
end
for _, wanted in ipairs {true, false} do
  for b = 0, 255 do
    if prints(b) == wanted then alphabet.order[#alphabet.order + 1] = b end
  end
end

--- The bytes that a token of a file stands for, or nil when a character of it stands for none.
---@param text string UTF-8
---@return string? bytes
function alphabet.bytes(text)
  if not text:find "[^!-~]" then return text end
  local known = true
  local bytes = text:gsub(utf8.charpattern, function(c)
    local byte = alphabet.byte_of[c]
    known = known and byte ~= nil
    return byte
  end)
  return known and bytes or nil
end

--- A token's bytes as a file writes them.
---@param bytes string
---@return string text UTF-8
function alphabet.text(bytes)
  if not bytes:find "[^!-~]" then return bytes end
  return (bytes:gsub(".", function(c) return alphabet.of_byte[c:byte() + 1] end))
end

return alphabet
