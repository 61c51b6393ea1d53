--- Words and their ids for sequence models.
--
-- Ids are positions counted from 1: SOS is 1, EOS 2, words follow. A file that counts from 0 with
-- the same order lines up without change: its row 0 is our id 1. Words are what spaces separate.
-- Not a subword tokenizer.

local json = require "lua_equi.json"
local nearest = require "lua_equi.nearest"
local options = require "lua_equi.options"

local vocabulary = {}

--- The id of the word that answers start from.
vocabulary.SOS = 1

--- The id of the word that ends a sentence.
vocabulary.EOS = 2

local methods = {}
local mt = {__index = methods, __name = "vocabulary"}

function mt:__len() return #self.words end

function mt:__tostring()
  return ("vocabulary of %d: %s"):format(#self.words, table.concat(self.words, " "))
end

-- Returns the ids by word, or nil and what is wrong with the list.
local function index_words(words)
  if type(words) ~= "table" then return nil, "words must be a list, got a " .. type(words) end
  if words[1] ~= "SOS" or words[2] ~= "EOS" then
    return nil, ("words must begin with SOS, EOS, got %s, %s"):format(tostring(words[1]),
      tostring(words[2]))
  end
  local ids = {}
  for i, word in ipairs(words) do
    if type(word) ~= "string" or not word:find "^%S+$" then
      return nil, ("word %d must be a text without spaces, got %q"):format(i, tostring(word))
    end
    if ids[word] then return nil, ('word "%s" twice, at %d and %d'):format(word, ids[word], i) end
    ids[word] = i
  end
  return ids
end

local function build(words)
  local ids, problem = index_words(words)
  if not ids then return nil, problem end
  return setmetatable({words = table.move(words, 1, #words, 1, {}), ids = ids}, mt)
end

--- A vocabulary of given words in the given order.
---@param words string[] begins with SOS, EOS
---@return table vocabulary fields words (list) and ids (by word)
--- Example:
---     local vocabulary = require "lua_equi.data.vocabulary"
---     local v = vocabulary.new {"SOS", "EOS", "jump", "twice"}
---     print(table.concat(v:encode "jump twice", " "))   --> 3 4 2
function vocabulary.new(words)
  local v, problem = build(words)
  if not v then error("vocabulary.new: " .. problem, 2) end
  return v
end

--- The vocabulary of some texts, words in the order of first appearance after SOS, EOS.
---@param texts string[]
---@return table vocabulary
--- Example:
---     local vocabulary = require "lua_equi.data.vocabulary"
---     print(vocabulary.from_texts {"walk", "jump walk"})
---     --> vocabulary of 4: SOS EOS walk jump
function vocabulary.from_texts(texts)
  local words, seen = {"SOS", "EOS"}, {}
  for _, text in ipairs(texts) do
    for word in text:gmatch "%S+" do
      if not seen[word] then
        seen[word] = true
        words[#words + 1] = word
      end
    end
  end
  return vocabulary.new(words)
end

--- Reads a pair of vocabularies: a JSON object of two lists, "input" and "output".
---@param path string
---@return table? input nil when the file cannot be read
---@return table|string output or the message
--- Example:
---     local vocabulary = require "lua_equi.data.vocabulary"
---     print(vocabulary.read "no/such.json")
---     --> nil json.read: no/such.json: No such file or directory
function vocabulary.read(path)
  local both, problem = json.read(path, {unique = true, max_size = 1 << 26})
  if problem then return nil, problem end
  local read = {}
  for i, key in ipairs {"input", "output"} do
    if type(both) ~= "table" or not json.is_array(both[key]) then
      return nil, ('vocabulary.read: %s: no list "%s"; an object of the lists "input" and '
        .. '"output" is needed'):format(path, key)
    end
    read[i], problem = build(both[key])
    if not read[i] then
      return nil, ("vocabulary.read: %s: %s: %s"):format(path, key, problem)
    end
  end
  return read[1], read[2]
end

--- The ids of a text's words, EOS appended.
---@param text string words separated by spaces
---@param given? {eos: boolean} eos = false leaves EOS away
---@return integer[] ids
--- Example:
---     local vocabulary = require "lua_equi.data.vocabulary"
---     local v = vocabulary.new {"SOS", "EOS", "jump"}
---     print(#v:encode("jump jump", {eos = false}))   --> 2
function methods:encode(text, given)
  local o = options.check("encode", given, {eos = true})
  local list, n = {}, 0
  for word in text:gmatch "%S+" do
    local id = self.ids[word]
    if not id then
      local near = nearest(word, self.words)
      error(('encode: unknown word "%s" in "%s"; words are %s%s'):format(word, text,
        table.concat(self.words, " ", 3), near and ('; did you mean "%s"?'):format(near) or ""), 2)
    end
    n = n + 1
    list[n] = id
  end
  if o.eos then list[n + 1] = vocabulary.EOS end
  return list
end

--- The text of a list of ids, up to the first EOS.
---@param ids integer[]
---@return string text
--- Example:
---     local vocabulary = require "lua_equi.data.vocabulary"
---     local v = vocabulary.new {"SOS", "EOS", "jump", "twice"}
---     print(v:decode {3, 4, 2, 3})   --> jump twice
function methods:decode(ids)
  local words = {}
  for i, id in ipairs(ids) do
    if id == vocabulary.EOS then break end
    local word = self.words[id]
    if not word then
      error(("decode: id %s at place %d; ids are 1 to %d"):format(tostring(id), i, #self.words), 2)
    end
    words[i] = word
  end
  return table.concat(words, " ")
end

--- A renaming of words as a permutation of ids: p[i] is the id of what word i becomes.
--- Words that are not named stay. Raises when the renaming is not one to one, naming the words.
---@param map table<string, string>
---@return integer[] p
--- Example:
---     local vocabulary = require "lua_equi.data.vocabulary"
---     local v = vocabulary.new {"SOS", "EOS", "jump", "run"}
---     print(table.concat(v:permutation {jump = "run", run = "jump"}, " "))   --> 1 2 4 3
function methods:permutation(map)
  local p, from = {}, {}
  for _, pair in pairs(map) do
    if not self.ids[pair] then
      error(('permutation: unknown word "%s"; words are %s'):format(tostring(pair),
        table.concat(self.words, " ")), 2)
    end
  end
  for word in pairs(map) do
    if not self.ids[word] then
      error(('permutation: unknown word "%s"; words are %s'):format(tostring(word),
        table.concat(self.words, " ")), 2)
    end
  end
  for i, word in ipairs(self.words) do
    local target = map[word] or word
    if from[target] then
      error(('permutation: not one to one: "%s" and "%s" both become "%s"'):format(from[target],
        word, target), 2)
    end
    from[target] = word
    p[i] = self.ids[target]
  end
  return p
end

return vocabulary
