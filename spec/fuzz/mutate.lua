--- Changed copies of bytes, for fuzzing: the same generator state gives the same change.
--
-- Blind changes (bits, runs, cuts, splices) and those that formats are sensitive to: whole numbers
-- of every width replaced by the edges of their ranges, and words of the format.
local mutate = {}

local random = math.random

local EDGES = {0, 1, 2, 3, 7, 8, 16, 32, 64, 127, 128, 255, 256, 32767, 32768, 65535, 65536,
  2147483647, 2147483648, 4294967295, 4294967296, 1 << 40, 1 << 60, 1 << 62, math.maxinteger,
  math.mininteger, -1, -2, -8}
local WIDTHS = {1, 2, 4, 8}

local function replace(bytes, at, old, new)
  return bytes:sub(1, at - 1) .. new .. bytes:sub(at + old)
end

local function place(bytes) return random(1, math.max(1, #bytes)) end

local function run_length() return random(1, random() < 0.8 and 8 or 256) end

local changes = {
  function(bytes) -- a bit
    local at = place(bytes)
    return replace(bytes, at, 1, string.char((bytes:byte(at) or 0) ~ (1 << random(0, 7))))
  end,
  function(bytes) return replace(bytes, place(bytes), 1, string.char(random(0, 255))) end,
  function(bytes) -- a number at the edge of its range
    local width, value = WIDTHS[random(#WIDTHS)], EDGES[random(#EDGES)]
    local text = string.pack(random() < 0.9 and "<i8" or ">i8", value)
    return replace(bytes, place(bytes), width, text:sub(1, width))
  end,
  function(bytes) -- a number a little larger or smaller
    local width = WIDTHS[random(#WIDTHS)]
    local at = random(1, math.max(1, #bytes - width + 1))
    if #bytes < at + width - 1 then return bytes end
    local text = string.pack("<i8", string.unpack("<i" .. width, bytes, at) + random(-4, 4))
    return replace(bytes, at, width, text:sub(1, width))
  end,
  function(bytes) return bytes:sub(1, random(0, #bytes)) end,
  function(bytes) return replace(bytes, place(bytes), run_length(), "") end,
  function(bytes) -- a run comes again, somewhere
    local from = place(bytes)
    return replace(bytes, place(bytes), 0, bytes:sub(from, from + run_length() - 1))
  end,
  function(bytes) -- a run over another
    local from, n = place(bytes), run_length()
    return replace(bytes, place(bytes), n, bytes:sub(from, from + n - 1))
  end,
  function(bytes) -- one byte many times
    local n = random() < 0.9 and run_length() or random(1, 20000)
    return replace(bytes, place(bytes), 0, string.char(random(0, 255)):rep(n))
  end,
  function(bytes, seeds) -- the beginning of this, the end of another
    local other = seeds[random(#seeds)]
    return bytes:sub(1, random(0, #bytes)) .. other:sub(place(other))
  end,
  function(bytes, _, words)
    if #words == 0 then return bytes end
    local word = words[random(#words)]
    return replace(bytes, place(bytes), random() < 0.5 and #word or 0, word)
  end,
  function(bytes, _, words) -- one word for another
    if #words == 0 then return bytes end
    local from, to = words[random(#words)], words[random(#words)]
    local at = bytes:find(from, place(bytes), true) or bytes:find(from, 1, true)
    return at and replace(bytes, at, #from, to) or bytes
  end,
}

--- The n-th changed copy of some seed: one to a few changes of it.
---@param seeds string[]
---@param words string[] texts that mean something in the format
---@param n integer
---@return string
function mutate.make(seeds, words, n)
  math.randomseed(n, #seeds)
  local bytes = seeds[random(#seeds)]
  for _ = 1, random() < 0.5 and 1 or random(2, 6) do
    bytes = changes[random(#changes)](bytes, seeds, words)
  end
  return bytes
end

return mutate
