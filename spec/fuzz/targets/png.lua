local equi = require "lua_equi"
local files = require "spec.support.files"
local pictures = require "spec.fuzz.pictures"

local crcs = {}
for n = 0, 255 do
  local c = n
  for _ = 1, 8 do c = c & 1 == 1 and c >> 1 ~ 0xEDB88320 or c >> 1 end
  crcs[n] = c
end

local function crc32(text)
  local c = 0xFFFFFFFF
  for i = 1, #text do c = crcs[(c ~ text:byte(i)) & 255] ~ c >> 8 end
  return c ~ 0xFFFFFFFF
end

-- The file with the right checksums: without them libpng would look no further.
local function mended(bytes)
  local parts, at = {bytes:sub(1, 8)}, 9
  while at + 11 <= #bytes do
    local n = string.unpack(">I4", bytes, at)
    if at + 11 + n > #bytes then break end
    local body = bytes:sub(at + 4, at + 7 + n)
    parts[#parts + 1] = string.pack(">I4", n) .. body .. string.pack(">I4", crc32(body))
    at = at + 12 + n
  end
  return table.concat(parts) .. bytes:sub(at)
end

return {
  seeds = pictures.seeds "%.png$",
  words = {"\137PNG\r\n\26\n", "IHDR", "PLTE", "IDAT", "IEND", "tRNS", "gAMA", "iCCP", "zTXt",
    "sBIT", "\0\0\0\0", "\0\0\0\1", "\127\255\255\255", "\255\255\255\255", "\0\0\0\13IHDR",
    "\0\0\0\0IEND"},
  read = function(path)
    local bytes = files.read(path)
    local limit = {max_pixels = pictures.max_pixels, channels = #bytes % 3 == 0 and 4 or 3}
    if #bytes % 4 == 0 then return equi.image.read(path, limit) end
    return equi.image.decode(mended(bytes), limit)
  end,
  use = pictures.use,
}
