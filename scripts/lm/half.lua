--- Writes tensors as 16-bit floats (IEEE half) into a safetensors file, for weights that ship.
--
-- Half keeps 11 bits: an error of at most 1 in 4,096 of each weight. Reading such a file gives f32.
-- Rounding is to the nearest, ties to even. NOT for numbers above 65,504, which are refused.
local equi = require "lua_equi"
local json = require "lua_equi.json"

local half = {}

-- The 16 bits of a number.
local function bits_of(x)
  local sign = (x < 0 or 1 / x < 0) and 0x8000 or 0
  x = math.abs(x)
  if x == 0 then return sign end
  local exponent = math.floor(math.log(x, 2))
  if 2.0 ^ exponent > x then exponent = exponent - 1 end
  if 2.0 ^ (exponent + 1) <= x then exponent = exponent + 1 end
  exponent = math.max(exponent, -14)
  local scaled = x * 2.0 ^ (10 - exponent) -- 1024 to 2047, below 1024 for subnormals
  local whole = math.floor(scaled)
  local rest = scaled - whole
  if rest > 0.5 or rest == 0.5 and whole % 2 == 1 then whole = whole + 1 end
  -- a carry out of the fraction raises the exponent, as the layout of the bits does by itself
  local bits = whole >= 1024 and ((exponent + 15) << 10) + whole - 1024 or whole
  if bits >= 0x7c00 or x ~= x then
    error(("half: %g is no number of 16 bits; they end at 65504"):format(x), 0)
  end
  return sign | bits
end

--- The bytes of a tensor's elements as halves, in row-major order.
---@param x any tensor
---@return string
--- Example:
---     print(#require("scripts.lm.half").bytes(equi.zeros(3)))   --> 6
function half.bytes(x)
  local list, parts, n = x:reshape(-1):totable(), {}, 0
  local pack = string.pack
  for i = 1, #list, 8 do
    n = n + 1
    local m = math.min(8, #list - i + 1)
    local eight = {}
    for k = 1, m do eight[k] = bits_of(list[i + k - 1]) end
    parts[n] = pack(("<" .. ("I2"):rep(m)), table.unpack(eight))
  end
  return table.concat(parts)
end

--- Writes tensors by name; the file changes completely or not at all.
---@param path string
---@param tensors table<string, any>
---@param metadata? table<string, string>
---@return boolean? ok
---@return string? message
function half.write(path, tensors, metadata)
  local names, all = {}, {format = "pt"}
  for key, value in pairs(metadata or {}) do all[key] = value end
  for name in pairs(tensors) do names[#names + 1] = name end
  table.sort(names)
  local entries, pieces, at = {'"__metadata__":' .. json.encode(all, {sort = true})}, {"", ""}, 0
  for i, name in ipairs(names) do
    local bytes = half.bytes(tensors[name])
    entries[i + 1] = ('%s:{"dtype":"F16","shape":[%s],"data_offsets":[%d,%d]}'):format(
      json.encode(name), table.concat(tensors[name].shape, ","), at, at + #bytes)
    pieces[i + 2], at = bytes, at + #bytes
  end
  local header = "{" .. table.concat(entries, ",") .. "}"
  header = header .. (" "):rep(-#header % 8)
  pieces[1], pieces[2] = string.pack("<I8", #header), header
  return equi.write_file_atomic(path, pieces)
end

return half
