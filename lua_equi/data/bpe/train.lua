--- Learns merges from counted words, for byte-level BPE and for WordPiece.
--
-- Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with Subword Units" (2016):
-- the most frequent pair of neighbours becomes a token, everywhere, again and again. Of pairs that
-- are equally frequent the one with the lower left id goes first, then the lower right id, so that
-- equal texts give equal vocabularies. Counts are kept up to date by the words that hold a pair.
local train = {}

local PAIR = 1 << 32 -- a pair is left * PAIR + right

-- A heap of pairs, most frequent first; counts that have changed since are found when one is taken.
local function earlier(count_a, a, count_b, b)
  return count_a > count_b or count_a == count_b and a < b
end

local function push(heap, count, pair)
  local counts, list = heap.counts, heap.pairs
  local i = #list + 1
  while i > 1 do
    local up = i // 2
    if not earlier(count, pair, counts[up], list[up]) then break end
    counts[i], list[i] = counts[up], list[up]
    i = up
  end
  counts[i], list[i] = count, pair
end

local function pop(heap)
  local counts, list = heap.counts, heap.pairs
  local count, pair, n = counts[1], list[1], #list
  local last_count, last = counts[n], list[n]
  counts[n], list[n] = nil, nil
  n = n - 1
  if n == 0 then return count, pair end
  local i = 1
  while true do
    local child = 2 * i
    if child > n then break end
    if child < n and earlier(counts[child + 1], list[child + 1], counts[child], list[child]) then
      child = child + 1
    end
    if not earlier(counts[child], list[child], last_count, last) then break end
    counts[i], list[i] = counts[child], list[child]
    i = child
  end
  counts[i], list[i] = last_count, last
  return count, pair
end

-- How often each pair comes, and in which words.
local function count_pairs(words, times)
  local count, where = {}, {}
  for w, ids in ipairs(words) do
    local n = times[w]
    for k = 1, #ids - 1 do
      local pair = ids[k] * PAIR + ids[k + 1]
      local list = where[pair]
      if not list then
        where[pair], count[pair] = {w}, n
      else
        count[pair] = count[pair] + n
        if list[#list] ~= w then list[#list + 1] = w end
      end
    end
  end
  return count, where
end

-- Merges a pair in one word. `add(pair, n)` hears of the pairs that come (1) and go (-1).
local function merge_word(ids, left, right, new, add)
  local n, out, k = #ids, 0, 1
  while k <= n do
    local id = ids[k]
    if id == left and k < n and ids[k + 1] == right then
      if out > 0 then
        local before = ids[out]
        add(before * PAIR + left, -1)
        add(before * PAIR + new, 1)
      end
      if k + 2 <= n then
        add(right * PAIR + ids[k + 2], -1)
        add(new * PAIR + ids[k + 2], 1)
      end
      id, k = new, k + 1
    end
    out, k = out + 1, k + 1
    ids[out] = id
  end
  for i = out + 1, n do ids[i] = nil end
end

-- The id of a pair's token, which is appended to `tokens` unless there is one like it.
local function token_of(tokens, ids, text)
  if not ids[text] then
    ids[text], tokens[#tokens + 1] = #tokens, text
  end
  return ids[text]
end

--- The merges of a vocabulary of at most `size` tokens.
---@param words integer[][] ids from 0 of the parts of each word; they are changed
---@param times integer[] how often each word comes
---@param tokens string[] tokens so far, by id + 1; new ones are appended
---@param join function left, right -> the token that they become
---@param size integer tokens that there are to be; fewer when the words give no more
---@param min_count integer pairs that come less often are not merged
---@return integer[] merges left, right, result (from 0) of each, one after the other
function train.merges(words, times, tokens, join, size, min_count)
  local count, where = count_pairs(words, times)
  local heap, merges, ids = {counts = {}, pairs = {}}, {}, {}
  for i, text in ipairs(tokens) do ids[text] = i - 1 end
  for pair, n in pairs(count) do
    if n >= min_count then push(heap, n, pair) end
  end
  local changed, w, n_of_w
  local function add(pair, sign)
    count[pair] = (count[pair] or 0) + sign * n_of_w
    if sign < 0 then return end
    local list = where[pair]
    if not list then
      where[pair] = {w}
    elseif list[#list] ~= w then
      list[#list + 1] = w
    end
    changed[pair] = true
  end
  local function merge(pair)
    local left, right = pair // PAIR, pair % PAIR
    local new = token_of(tokens, ids, join(tokens[left + 1], tokens[right + 1]))
    table.move({left, right, new}, 1, 3, #merges + 1, merges)
    local holders = where[pair]
    changed, where[pair] = {}, nil
    for i = 1, #holders do
      w = holders[i]
      n_of_w = times[w]
      merge_word(words[w], left, right, new, add)
    end
    count[pair] = 0
    for other in pairs(changed) do
      if count[other] >= min_count then push(heap, count[other], other) end
    end
  end
  while #tokens < size and #heap.pairs > 0 do
    local n, pair = pop(heap)
    local now = count[pair]
    if now == n then
      merge(pair)
    elseif now >= min_count then -- it has become rarer: it waits for its turn
      push(heap, now, pair)
    end
  end
  return merges
end

return train
