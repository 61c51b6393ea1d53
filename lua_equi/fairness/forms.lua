--- The forms in which a word stands in a text, " man", " Man", "Man", "man", and their tokens.
--
-- A candidate is one form of one list: the d spellings that take each other's places. Only what is
-- written is looked at; no grammar is known here, so plurals are given.
local core = require "lua_equi.core"

local forms = {}

--- The names of forms, the one that every word must have first.
forms.NAMES = {"space", "space_capital", "capital", "bare"}

--- Those that are looked for when none are named. Not "bare": of a tokenizer by bytes, a word in
--- small letters without a space is mostly the end of another one, as the "son" of Johnson.
forms.USUAL = {"space", "space_capital", "capital"}

local function capital(word) return (word:gsub("^%l", string.upper)) end

local spell = {
  space = function(word) return " " .. word end,
  space_capital = function(word) return " " .. capital(word) end,
  capital = capital,
  bare = function(word) return word end,
}

-- How many of the words begin with a capital.
local function capitals(words)
  local n = 0
  for _, w in ipairs(words) do n = n + (w:find "^%u" and 1 or 0) end
  return n
end

--- All spellings of the words in the forms named, none twice. Words that begin with a capital have
--- no forms in small letters; a list that has such words and others has no capitalised forms.
---@param words string[]
---@param names string[]
---@return table[] {form, spellings}
--- Example:
---     local forms = require "lua_equi.fairness.forms"
---     print(#forms.of({"man", "woman"}, forms.NAMES), #forms.of({"Black", "White"}, forms.NAMES))
---     --> 4 2
function forms.of(words, names)
  local list, seen, n = {}, {}, capitals(words)
  for _, name in ipairs(names) do
    local spelt = {}
    for i, w in ipairs(words) do spelt[i] = spell[name](w) end
    local key = table.concat(spelt, "\0")
    local mixed = (name == "capital" or name == "space_capital") and n > 0 and n < #words
    if not seen[key] and not mixed then
      seen[key] = true
      list[#list + 1] = {form = name, spellings = spelt}
    end
  end
  return list
end

--- The ids of a text, or nil and why there are none.
---@param tokenizer any
---@param text string
---@return integer[]? ids
---@return string? problem
function forms.encode(tokenizer, text)
  local ok, ids = pcall(tokenizer.encode, tokenizer, text)
  if not ok then return nil, (tostring(ids):gsub("^[^\n]-:%d+: ", "")) end
  if core.is_tensor(ids) then ids = ids:totable() end
  for _, id in ipairs(ids) do
    if id == tokenizer.unk then return nil, "it is not in the vocabulary" end
  end
  if #ids == 0 then return nil, "it has no tokens" end
  return ids
end

-- Tokens of all spellings at one place: true when all are the same, the cycle when all differ.
local function place(rows, t)
  local cycle, seen, same = {}, {}, 0
  for i, ids in ipairs(rows) do
    cycle[i] = ids[t]
    same = same + (ids[t] == rows[1][t] and 1 or 0)
    if seen[ids[t]] then seen.twice = true end
    seen[ids[t]] = true
  end
  if same == #rows then return true end
  return not seen.twice and cycle or nil
end

--- The cycles of ids by which a candidate's spellings take each other's places: one for a word of
--- one token; of words of several tokens, as many for each, one for every place where they differ.
---@param tokenizer any
---@param spellings string[]
---@return integer[][]? cycles nil when there are none
---@return string|integer problem or the number of tokens of each
function forms.cycles(tokenizer, spellings)
  local rows = {}
  for i, text in ipairs(spellings) do
    local ids, problem = forms.encode(tokenizer, text)
    if not ids then return nil, ('"%s": %s'):format(text, problem) end
    rows[i] = ids
    if #ids ~= #rows[1] then
      return nil, ('"%s" is %d token%s and "%s" %d; only words of as many tokens can take each '
        .. "other's places"):format(spellings[1], #rows[1], #rows[1] == 1 and "" or "s", text, #ids)
    end
  end
  local cycles = {}
  for t = 1, #rows[1] do
    local cycle = place(rows, t)
    if not cycle then
      return nil, ('"%s" share token %d with some but not with all'):format(
        table.concat(spellings, '", "'), t)
    end
    if cycle ~= true then cycles[#cycles + 1] = cycle end
  end
  if #cycles == 0 then
    return nil, ('"%s" are the same tokens'):format(table.concat(spellings, '", "'))
  end
  return cycles, #rows[1]
end

return forms
