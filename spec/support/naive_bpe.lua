-- GPT-2's splitting and merging as plainly as they can be written, for comparison: a text is a list
-- of characters, the pattern's alternatives are tried one after the other, and every round goes
-- through all pairs of a word. Classes of characters are given by `class_of`(code).
local naive = {}

-- {text, class} of each character; a byte that is not UTF-8 is one by itself.
function naive.characters(text, class_of)
  local list, at = {}, 1
  while at <= #text do
    local char, code = text:sub(at, at), nil
    for n = 1, 4 do
      local part = text:sub(at, at + n - 1)
      if utf8.len(part) == 1 then
        char, code = part, utf8.codepoint(part)
        break
      end
    end
    list[#list + 1] = {char, code and class_of(code) or "other"}
    at = at + #char
  end
  return list
end

-- How many characters from i on have the class.
local function run(list, i, class)
  local n = 0
  while list[i + n] and list[i + n][2] == class do n = n + 1 end
  return n
end

local function word_length(list, i)
  for _, tail in ipairs {"s", "t", "re", "ve", "m", "ll", "d"} do
    local text = ""
    for k = i, math.min(i + #tail, #list) do text = text .. list[k][1] end
    if text == "'" .. tail then return #tail + 1 end
  end
  for _, class in ipairs {"letter", "number", "other"} do
    local space = list[i][1] == " " and 1 or 0
    local n = run(list, i + space, class)
    if n > 0 then return n + space end
  end
  local n = run(list, i, "space")
  if i + n > #list then return n end -- \s+(?!\S) at the end
  return n > 1 and n - 1 or n
end

function naive.words(text, class_of)
  local list, words, i = naive.characters(text, class_of), {}, 1
  while i <= #list do
    local n, word = word_length(list, i), {}
    for k = i, i + n - 1 do word[#word + 1] = list[k][1] end
    words[#words + 1] = table.concat(word)
    i = i + n
  end
  return words
end

-- ranks: by left .. "\0\1" .. right (bytes), the number of the merge.
function naive.merge(word, ranks)
  local parts = {}
  for k = 1, #word do parts[k] = word:sub(k, k) end
  while true do
    local best, at
    for k = 1, #parts - 1 do
      local rank = ranks[parts[k] .. "\0\1" .. parts[k + 1]]
      if rank and (not best or rank < best) then best, at = rank, k end
    end
    if not best then return parts end
    parts[at] = parts[at] .. table.remove(parts, at + 1)
  end
end

-- The tokens (bytes) of a text.
function naive.encode(text, class_of, ranks)
  local tokens = {}
  for _, word in ipairs(naive.words(text, class_of)) do
    local parts = naive.merge(word, ranks)
    table.move(parts, 1, #parts, #tokens + 1, tokens)
  end
  return tokens
end

-- The ranks of a tokenizer, from what is public of it.
function naive.ranks(tok)
  local ranks = {}
  for i = 1, #tok.merges, 3 do
    ranks[tok.tokens[tok.merges[i] + 1] .. "\0\1" .. tok.tokens[tok.merges[i + 1] + 1]] = i
  end
  return ranks
end

return naive
