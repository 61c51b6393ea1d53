--- The nearest of some names to a misspelt word, for messages that suggest what was meant.
--
-- Edit distance with swapped neighbours counted once, and a limit beyond which nothing is
-- suggested: a far-fetched suggestion is worse than none. Not a search over long texts.

-- Edit distance with swaps of neighbours counted once (optimal string alignment).
local function distance(a, b)
  local before, last, this = {}, {}, {}
  for j = 0, #b do last[j] = j end
  for i = 1, #a do
    this[0] = i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      local best = math.min(last[j] + 1, this[j - 1] + 1, last[j - 1] + cost)
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        best = math.min(best, before[j - 2] + 1)
      end
      this[j] = best
    end
    before, last, this = last, this, before
  end
  return last[#b]
end

--- The name nearest to a misspelt word, or nil when none is near.
--- Near: at most a third of the longer word's letters wrong, or one begins with the other.
--- Ties go to the name that comes first in the list.
---@param word string
---@param names string[]
---@param most? integer at most so many letters wrong, and beginnings do not count
---@return string? name
--- Example:
---     local nearest = require "lua_equi.nearest"
---     print(nearest("ltsm", {"rnn", "gru", "lstm"}))   --> lstm
local function nearest(word, names, most)
  if #word > 64 then return nil end -- quadratic below; nobody misspells 64 letters
  local best, least
  local low = word:lower()
  for _, name in ipairs(names) do
    local other = name:lower()
    local d = distance(low, other)
    local short = math.min(#low, #other)
    local limit = most or math.max(1, math.max(#low, #other) // 3)
    local begins = short >= (#low < #other and 2 or 3) -- "new_zeros" is no misspelt "ne"
    if begins and not most
      and low:sub(1, short) == other:sub(1, short) then d = math.min(d, limit) end
    if d <= limit and d < math.max(#low, #other) and (not least or d < least) then
      best, least = name, d
    end
  end
  return best
end

return nearest
