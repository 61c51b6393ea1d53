--- BERT's tokenizer: words, then WordPiece (Devlin et al., "BERT", 2019).
--
-- A text becomes words: controls and what is not UTF-8 go, punctuation marks and CJK ideographs are
-- words of their own, and an uncased vocabulary takes small letters without accents (each letter by
-- itself, as Hugging Face's fast tokenizers do). A word becomes the longest token that begins it,
-- then the longest "##" token that goes on, and so forth; [UNK] when that fails or the word has
-- more than 100 characters.
--
-- Ids count from 1: line n of vocab.txt, counted from 0, is n + 1 here. {base = 0} speaks the ids
-- of the file. Not reversible: decode gives words and marks parted by spaces. Not GPT-2's tokenizer
-- (bpe.lua).
local arguments = require "lua_equi.arguments"
local caller = require "lua_equi.caller"
local core = require "lua_equi.core"
local ids_of = require "lua_equi.data.ids"
local json = require "lua_equi.json"
local options = require "lua_equi.options"
local train = require "lua_equi.data.bpe.train"

local wordpiece = {}

local MAX_CHARACTERS = 100
local MAX_SIZE = 1 << 26
local KEPT = 1 << 14 -- words whose tokens are remembered

local NEEDED = {unk = "[UNK]", cls = "[CLS]", sep = "[SEP]", pad = "[PAD]"}
local SPECIAL = {["[UNK]"] = true, ["[CLS]"] = true, ["[SEP]"] = true, ["[PAD]"] = true,
  ["[MASK]"] = true}

local methods = {}
local mt = {__index = methods, __name = "wordpiece"}

function mt:__len() return #self.tokens end

function mt:__tostring()
  return ("WordPiece vocabulary of %d tokens, %s"):format(#self.tokens,
    self.lower and "uncased" or "cased")
end

-- Returns the tokenizer, or nil and what is wrong with the tokens.
local function build(tokens, lower)
  local ids, longest = {}, 0
  for id, token in ipairs(tokens) do
    if token == "" then return nil, ("token %d, counted from 0, is empty"):format(id - 1) end
    if ids[token] then
      return nil, ('"%s" is listed twice, as %d and %d, counted from 0'):format(token:sub(1, 60),
        ids[token] - 1, id - 1)
    end
    ids[token], longest = id, math.max(longest, #token)
  end
  local self = {tokens = tokens, ids = ids, longest = longest, lower = lower,
    mask = ids["[MASK]"], known = {}, count = 0}
  for name, token in pairs(NEEDED) do
    if not ids[token] then return nil, ("there is no token %s"):format(token) end
    self[name] = ids[token]
  end
  return setmetatable(self, mt)
end

--- A tokenizer of given tokens, in the order of their ids.
---@param tokens string[] with [UNK], [CLS], [SEP] and [PAD]
---@param given? {lower: boolean} small letters without accents: default true
---@return table tokenizer as `wordpiece.load` returns it
--- Example:
---     local tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "walk", "##ed", "."}
---     local tok = equi.data.wordpiece.new(tokens)
---     print(table.concat(tok:encode "Walked.", " "))   --> 3 5 6 7 4
function wordpiece.new(tokens, given)
  local o = options.check("wordpiece.new", given, {lower = true})
  if type(tokens) ~= "table" then
    error(("wordpiece.new: the tokens must be a list, got %s"):format(arguments.shown(tokens)), 2)
  end
  for i, token in ipairs(tokens) do
    if type(token) ~= "string" then
      error(("wordpiece.new: token %d must be a string, got %s"):format(i,
        arguments.shown(token)), 2)
    end
  end
  local tok, problem = build(table.move(tokens, 1, #tokens, 1, {}), o.lower)
  if not tok then error("wordpiece.new: " .. problem, 2) end
  return tok
end

-- ---- files ----

local function read_lines(path)
  local m <close>, problem = core.map(path, {copy = true})
  if not m then return nil, problem end
  if #m > MAX_SIZE then
    return nil, ("%s: it has %d bytes, the limit is %d"):format(path, #m, MAX_SIZE)
  end
  local lines, text = {}, m:bytes(0, #m)
  for line in text:gmatch "([^\n]*)\n?" do lines[#lines + 1] = line:gsub("\r$", "") end
  while lines[#lines] == "" do lines[#lines] = nil end
  return lines
end

-- do_lower_case of a folder's tokenizer_config.json, or nil.
local function read_case(folder)
  local path = folder .. "/tokenizer_config.json"
  local file = io.open(path, "rb")
  if not file then return nil end
  file:close()
  local config, problem = json.read(path, {max_depth = 32, max_size = MAX_SIZE})
  if problem then return nil, problem end
  local lower = type(config) == "table" and config.do_lower_case
  if type(lower) == "boolean" then return lower end
  return nil
end

local function read(source, lower)
  local path = source
  if not source:find "%.txt$" then
    path = source .. "/vocab.txt"
    if lower == nil then
      local found, problem = read_case(source)
      if problem then return nil, problem end
      lower = found
    end
  end
  local tokens, problem = read_lines(path)
  if not tokens then return nil, problem end
  local tok
  tok, problem = build(tokens, lower ~= false)
  if not tok then return nil, ("%s: %s"):format(path, problem) end
  return tok
end

local function check_source(who, source, given)
  local o = options.check(who, given, {lower = options.any()})
  if type(source) ~= "string" or source == "" then
    error(("%s: the vocabulary must be a folder or a vocab.txt, got %s"):format(who,
      arguments.shown(source)), caller(3))
  end
  if o.lower ~= nil and type(o.lower) ~= "boolean" then
    error(("%s: lower must be true or false, got %s"):format(who, arguments.shown(o.lower)),
      caller(3))
  end
  return o.lower
end

--- Reads a vocabulary: one token a line; [UNK], [CLS], [SEP] and [PAD] must be among them.
--- Whether it is uncased is told by `lower`, else by do_lower_case in a folder's
--- tokenizer_config.json, else it is.
---@param source string folder with vocab.txt, or the path of such a file
---@param given? {lower: boolean}
---@return table? tokenizer nil when it cannot be read
---@return string? message
--- Example:
---     print(equi.data.wordpiece.read "no/such")
---     --> nil wordpiece.read: cannot open no/such/vocab.txt: No such file or directory
function wordpiece.read(source, given)
  local tok, problem = read(source, check_source("wordpiece.read", source, given))
  if not tok then return nil, "wordpiece.read: " .. problem:gsub("^json%.%w+: ", "") end
  return tok
end

--- The same as `wordpiece.read`, but raises what is wrong.
---
--- The tokenizer `tok` has tok:encode, tok:decode, tok:batch, tok:token, tok:id, tok:save, #tok
--- (how many tokens), tok.lower, and the ids tok.unk, tok.cls, tok.sep, tok.pad, tok.mask (or nil).
---@param source string folder with vocab.txt, or the path of such a file
---@param given? {lower: boolean}
---@return table tokenizer
--- Example:
---     local path = os.tmpname() .. ".txt"
---     equi.write_file_atomic(path, {"[PAD]\n[UNK]\n[CLS]\n[SEP]\nhello\n,\n"})
---     local tok = equi.data.wordpiece.load(path)
---     print(tok:decode(tok:encode "Hello, you"))   --> hello , [UNK]
---     os.remove(path)
function wordpiece.load(source, given)
  local tok, problem = read(source, check_source("wordpiece.load", source, given))
  if not tok then
    error("wordpiece.load: " .. problem:gsub("^json%.%w+: ", ""), caller(2))
  end
  return tok
end

--- Writes vocab.txt and tokenizer_config.json, which Hugging Face's BERT tokenizers load too;
--- raises what keeps it from that.
---@param folder string must be there
--- Example:
---     local tok = equi.data.wordpiece.new {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"}
---     print((select(2, pcall(tok.save, tok, "no/such/folder")):gsub("^.*vocab", "vocab")))
---     --> vocab.txt: No such file or directory
function methods:save(folder)
  if type(folder) ~= "string" or folder == "" then
    error(("wordpiece.save: the folder must be a path, got %s"):format(arguments.shown(folder)),
      caller(2))
  end
  local config = json.encode({do_lower_case = self.lower, tokenizer_class = "BertTokenizer"},
    {indent = 2})
  for _, file in ipairs {{"vocab.txt", table.concat(self.tokens, "\n")},
    {"tokenizer_config.json", config}} do
    local ok, problem = core.write_file_atomic(folder .. "/" .. file[1], {file[2], "\n"})
    if not ok then error("wordpiece.save: " .. problem, caller(2)) end
  end
end

-- ---- training ----

-- The parts of a word before any merge: its characters, all but the first with "##".
local function characters(word)
  local list = {}
  for _, code in utf8.codes(word) do
    list[#list + 1] = (#list > 0 and "##" or "") .. utf8.char(code)
  end
  return list
end

local function count_words(text, lower)
  local counts = {}
  local function add(part)
    ids_of.check_text("wordpiece.train", "the text", part)
    for word in core.basic_words(part, lower):gmatch "[^ ]+" do
      counts[word] = (counts[word] or 0) + 1
    end
  end
  if arguments.is_callable(text) then
    for part in text do add(part) end
  else
    add(text)
  end
  return counts
end

-- Appends the characters that come often enough, those that begin words first. Returns ids from 0.
local function add_characters(tokens, counts, min_count)
  local times, list, ids = {}, {}, {}
  for word, n in pairs(counts) do
    for _, c in ipairs(characters(word)) do times[c] = (times[c] or 0) + n end
  end
  for c, n in pairs(times) do
    if n >= min_count then list[#list + 1] = c end
  end
  local function goes_on(c) return c:find "^##." ~= nil end
  table.sort(list, function(a, b)
    if goes_on(a) ~= goes_on(b) then return goes_on(b) end
    return a < b
  end)
  for i, c in ipairs(list) do
    ids[c], tokens[#tokens + 1] = #tokens, list[i]
  end
  return ids
end

-- Words without rare characters, sorted, as lists of ids, and how often each comes.
local function spell(counts, ids)
  local texts, words, times = {}, {}, {}
  for word in pairs(counts) do texts[#texts + 1] = word end
  table.sort(texts)
  for _, text in ipairs(texts) do
    local list, complete = characters(text), #text <= 4 * MAX_CHARACTERS
    for k, c in ipairs(list) do list[k], complete = ids[c], complete and ids[c] ~= nil end
    if complete then words[#words + 1], times[#times + 1] = list, counts[text] end
  end
  return words, times
end

--- Learns a vocabulary: [PAD], [UNK], [CLS], [SEP], [MASK], characters, then pieces of words.
---
--- As Hugging Face's trainer does, by the merges of byte-pair encoding: the most frequent pair of
--- neighbours inside of words becomes a token until there are `size` tokens or no pair comes
--- `min_count` times; of equally frequent ones the pair with the lower ids goes first. Characters
--- that come less often stay unknown. Defaults: size 8000, lower true, min_count 2.
---@param text string|function a text, or an iterator that returns one after the other
---@param given? {size: integer, lower: boolean, min_count: integer}
---@return table tokenizer as `wordpiece.load` returns it
--- Example:
---     local tok = equi.data.wordpiece.train(("Low lower lowest! "):rep(5), {size = 20})
---     print(#tok, tok:decode(tok:encode "lowest low"), tok:token(tok:encode("lowest")[2]))
---     --> 19 lowest low lowest
function wordpiece.train(text, given)
  local o = options.check("wordpiece.train", given, {size = 8000, lower = true, min_count = 2})
  arguments.whole("wordpiece.train", "size", o.size)
  arguments.whole("wordpiece.train", "min_count", o.min_count)
  local tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
  local counts = count_words(text, o.lower)
  local ids = add_characters(tokens, counts, o.min_count)
  if #tokens > o.size then
    error(("wordpiece.train: size is %d, but characters and special tokens are %d; give more, or a "
      .. "larger min_count"):format(o.size, #tokens), caller(2))
  end
  local words, times = spell(counts, ids)
  train.merges(words, times, tokens, function(left, right) return left .. right:sub(3) end,
    o.size, o.min_count)
  return (build(tokens, o.lower))
end

-- ---- encoding ----

-- The ids of a word: a list that is not to be changed.
local function pieces(self, word)
  local list, from, prefix = {}, 1, ""
  if #word > MAX_CHARACTERS and utf8.len(word) > MAX_CHARACTERS then return {self.unk} end
  while from <= #word do
    local id
    local last = math.min(#word, from + self.longest - #prefix - 1)
    while not id and last >= from do
      id = self.ids[prefix .. word:sub(from, last)]
      last = last - 1
    end
    if not id then return {self.unk} end
    list[#list + 1], from, prefix = id, last + 2, "##"
  end
  return list
end

-- Appends the ids of a text without special tokens, at most `most` in all.
local function append(self, text, list, most)
  local known = self.known
  for word in core.basic_words(text, self.lower):gmatch "[^ ]+" do
    local ids = known[word]
    if not ids then
      ids = pieces(self, word)
      if self.count >= KEPT then self.known, self.count = {}, 0 end
      known = self.known
      known[word], self.count = ids, self.count + 1
    end
    for i = 1, #ids do
      if #list >= most then return end
      list[#list + 1] = ids[i]
    end
  end
end

-- The first special token from `from` on: where it begins and which.
local function next_special(self, text, from)
  local at = from
  while true do
    at = text:find("[", at, true)
    if not at then return nil end
    local name = text:match("^%[%u+%]", at)
    if SPECIAL[name or ""] and self.ids[name] then return at, name end
    at = at + 1
  end
end

local ENCODE = {special = false, ends = true, max = math.maxinteger, base = 1}
local BATCH = {special = false, ends = true, max = math.maxinteger, side = "right"}

local function encode(self, text, o)
  local list, from, most = {}, 1, o.max - (o.ends and 1 or 0)
  if o.ends then list[1] = self.cls end
  while o.special do
    local first, name = next_special(self, text, from)
    if not first then break end
    append(self, text:sub(from, first - 1), list, most)
    if #list < most then list[#list + 1] = self.ids[name] end
    from = first + #name
  end
  append(self, text:sub(from), list, most)
  if o.ends then list[#list + 1] = self.sep end
  return list
end

local function check_options(who, given, defaults)
  local o = options.check(who, given, defaults)
  arguments.whole(who, "max", o.max, o.ends and 2 or 1)
  ids_of.check_base(who, o.base or 1)
  return o
end

--- The ids of a text, between [CLS] and [SEP].
--- Longer texts are cut to `max` ids, [CLS] and [SEP] included; ends = false leaves these away.
--- Tokens such as [MASK] in a text are plain text unless {special = true}.
---@param text string
---@param given? {special: boolean, ends: boolean, max: integer, base: integer}
---@return integer[] ids
--- Example:
---     local tok = equi.data.wordpiece.new {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "cafe", "##s"}
---     print(table.concat(tok:encode "Cafés", " "))   --> 3 5 6 4
---     print(table.concat(tok:encode("cafe tea", {ends = false, base = 0}), " "))   --> 4 1
function methods:encode(text, given)
  ids_of.check_text("encode", "the text", text)
  local o = check_options("encode", given, ENCODE)
  local list = encode(self, text, o)
  if o.base == 0 then
    for i = 1, #list do list[i] = list[i] - 1 end
  end
  return list
end

--- Several texts as one batch of rows, filled up with [PAD] at the right, or side = "left".
---@param texts string[]
---@param given? {side: string, special: boolean, ends: boolean, max: integer} side of padding
---@return table ids i64 [B, T]
---@return table mask bool [B, T], true for tokens, false for padding
--- Example:
---     local tok = equi.data.wordpiece.new {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"}
---     local ids, mask = tok:batch {"a a", "a"}
---     print(ids:totable()[2][4], mask:totable()[2][4])   --> 1 false
function methods:batch(texts, given)
  local o = check_options("batch", given, BATCH)
  local ids, mask = ids_of.batch(texts, o.side, self.pad, function(text)
    return encode(self, text, o)
  end)
  return ids, mask
end

--- The words of ids: pieces joined, words and marks parted by spaces; without [CLS], [SEP], [PAD].
---@param ids integer[]|table a list, or an i64 tensor of one dim
---@param given? {base: integer} base = 0: they are ids of the file
---@return string text
--- Example:
---     local tok = equi.data.wordpiece.new {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "walk", "##ed"}
---     print(tok:decode {3, 5, 6, 5, 4, 1})   --> walked walk
function methods:decode(ids, given)
  local o = options.check("decode", given, {base = 1})
  local parts = {}
  for _, id in ipairs(ids_of.list(ids, o.base, #self.tokens)) do
    local token = self.tokens[id]
    if id ~= self.cls and id ~= self.sep and id ~= self.pad then
      parts[#parts + 1] = #parts > 0 and token:match "^##(.+)$" or " " .. token
    end
  end
  return table.concat(parts):sub(2)
end

--- A token by its id.
---@param id integer from 1
---@return string token "##ed" goes on with a word
--- Example:
---     print(equi.data.wordpiece.new({"[PAD]", "[UNK]", "[CLS]", "[SEP]"}):token(2))   --> [UNK]
function methods:token(id)
  local token = math.type(id) == "integer" and self.tokens[id]
  if token then return token end
  error(("token: id %s; ids are 1 to %d"):format(arguments.shown(id), #self.tokens), caller(2))
end

--- The id of a token.
---@param token string
---@return integer? id nil when there is none
--- Example:
---     print(equi.data.wordpiece.new({"[PAD]", "[UNK]", "[CLS]", "[SEP]"}):id "[CLS]")   --> 3
function methods:id(token)
  ids_of.check_text("id", "the token", token)
  return self.ids[token]
end

return wordpiece
