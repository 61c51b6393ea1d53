--- GPT-2's tokenizer: byte-level BPE (Radford et al., "Language Models are Unsupervised Multitask
--- Learners", 2019), and vocabularies of the same kind learnt from a text.
--
-- A text is split into words by
--     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
-- and the bytes of each word are merged by the vocabulary's list, earliest merge first. Any bytes
-- are a text: one that is not part of well-formed UTF-8 counts as a character that is neither
-- letter, number nor space, and decoding gives every byte back. Nothing is normalised.
--
-- Ids count from 1: GPT-2's published id n is n + 1 here. {base = 0} speaks the ids of the files.
-- Not a tokenizer of other patterns or of sentence pieces; for BERT's see data/wordpiece.lua.
local arguments = require "lua_equi.arguments"
local alphabet = require "lua_equi.data.bpe.alphabet"
local caller = require "lua_equi.caller"
local core = require "lua_equi.core"
local files = require "lua_equi.data.bpe.files"
local ids_of = require "lua_equi.data.ids"
local json = require "lua_equi.json"
local options = require "lua_equi.options"
local train = require "lua_equi.data.bpe.train"

local bpe = {}

local END = "<|endoftext|>"

local methods = {}
local mt = {__index = methods, __name = "bpe", __children = false} -- no part of a model

function mt:__len() return #self.tokens end

function mt:__tostring()
  return ("byte-level BPE of %d tokens: 256 bytes, %d merges, special: %s"):format(#self.tokens,
    #self.merges // 3, #self.specials == 0 and "none" or table.concat(self.specials, " "))
end

-- The tokenizer of the parts that files.lua describes.
local function build(parts)
  local ids, specials, lengths = {}, {}, {}
  for id, bytes in ipairs(parts.tokens) do
    ids[bytes], lengths[id] = ids[bytes] or id, #bytes
  end
  for i, id in ipairs(parts.special) do specials[i] = parts.tokens[id] end
  for i, id in ipairs(parts.special) do ids[specials[i]] = id end
  table.sort(specials, function(a, b) return #a > #b or #a == #b and a < b end)
  return setmetatable({tokens = parts.tokens, ids = ids, specials = specials,
    special = parts.special, eot = ids[END], merges = parts.merges, bytes = parts.bytes,
    prefix_space = parts.prefix_space or false,
    encoder = core.bpe(lengths, parts.bytes, parts.merges)}, mt)
end

-- ---- files ----

local function exists(path)
  local file = io.open(path, "rb")
  return file ~= nil and file:close()
end

local PAIRS = {{"vocab.json", "merges.txt"}, {"encoder.json", "vocab.bpe"}}

local function read_folder(folder)
  for _, names in ipairs(PAIRS) do
    local vocab, merges = folder .. "/" .. names[1], folder .. "/" .. names[2]
    local added = folder .. "/added_tokens.json"
    if exists(vocab) and exists(merges) then
      return files.read_pair(vocab, merges, exists(added) and added or nil)
    end
  end
  if exists(folder .. "/tokenizer.json") then
    return files.read_single(folder .. "/tokenizer.json")
  end
  for _, names in ipairs(PAIRS) do
    for i, name in ipairs(names) do
      if exists(folder .. "/" .. name) then
        return nil, ("%s has %s but no %s"):format(folder, name, names[3 - i])
      end
    end
  end
  return nil, ("%s has no tokenizer; vocab.json with merges.txt, encoder.json with vocab.bpe, or "
    .. "tokenizer.json is needed"):format(folder)
end

local function read(who, source)
  if type(source) == "table" then
    local o = options.check(who, source, {vocab = options.any(), merges = options.any()}, 1)
    if type(o.vocab) ~= "string" or type(o.merges) ~= "string" then
      error(who .. ": give {vocab = path, merges = path}", caller(3))
    end
    return files.read_pair(o.vocab, o.merges)
  end
  if type(source) ~= "string" or source == "" then
    error(("%s: the tokenizer must be a folder, a tokenizer.json or {vocab = path, merges = path}, "
      .. "got %s"):format(who, arguments.shown(source)), caller(3))
  end
  if source:find "%.json$" then return files.read_single(source) end
  return read_folder(source)
end

--- Reads a tokenizer.
--- A folder holds vocab.json and merges.txt (and, if it likes, added_tokens.json), or OpenAI's
--- encoder.json and vocab.bpe, or tokenizer.json. Ids in the files are 0 to n - 1, each once; all
--- 256 bytes must have a token, and what a merge names must be in the vocabulary. Tokens that are
--- no byte and that no merge makes, and the added ones, are special.
---@param source string|table folder, path of a tokenizer.json, or {vocab = path, merges = path}
---@return table? tokenizer nil when it cannot be read
---@return string? message
--- Example:
---     print(equi.data.bpe.read {vocab = "no/such.json", merges = "merges.txt"})
---     --> nil bpe.read: no/such.json: No such file or directory
function bpe.read(source)
  local parts, problem = read("bpe.read", source)
  if not parts then return nil, "bpe.read: " .. problem:gsub("^json%.%w+: ", "") end
  return build(parts)
end

--- The same as `bpe.read`, but raises what is wrong.
---
--- The tokenizer `tok` has tok:encode, tok:decode, tok:batch, tok:token, tok:id, tok:save, #tok
--- (how many tokens), tok.eot (id of <|endoftext|>, or nil) and tok.specials (a list of texts).
---@param source string|table folder, path of a tokenizer.json, or {vocab = path, merges = path}
---@return table tokenizer
--- Example:
---     local folder = os.tmpname()
---     os.remove(folder)
---     os.execute("mkdir " .. folder)
---     equi.data.bpe.train("low lower lowest", {size = 260}):save(folder)
---     local tok = equi.data.bpe.load(folder)
---     print(#tok, tok:token(257), tok:decode(tok:encode "slow"))   --> 260 lo slow
---     os.execute("rm -r " .. folder)
function bpe.load(source)
  local parts, problem = read("bpe.load", source)
  if not parts then
    error("bpe.load: " .. problem:gsub("^json%.%w+: ", ""), caller(2))
  end
  return build(parts)
end

-- ---- training ----

local function count_all(text)
  local counts = {}
  if type(text) == "string" then
    core.count_words(text, counts)
    return counts
  end
  if not arguments.is_callable(text) then
    error(("bpe.train: the text must be a string or a function that returns one after the other, "
      .. "got %s"):format(arguments.shown(text)), caller(3))
  end
  for part in text do
    if type(part) ~= "string" then
      error(("bpe.train: the function must return strings, got %s"):format(arguments.shown(part)),
        caller(3))
    end
    core.count_words(part, counts)
  end
  return counts
end

local function check_specials(list)
  local seen = {}
  for _, text in ipairs(list) do
    if type(text) ~= "string" or #text < 2 or not utf8.len(text) or seen[text] then
      error(("bpe.train: special must list different texts of at least two bytes, got %s"):format(
        arguments.shown(text)), caller(3))
    end
    seen[text] = true
  end
end

-- The words, sorted, as lists of ids from 0, and how often each comes.
local function spell(counts, byte_id)
  local texts, words, times = {}, {}, {}
  for word in pairs(counts) do texts[#texts + 1] = word end
  table.sort(texts)
  for i, text in ipairs(texts) do
    local ids = {}
    for k = 1, #text do ids[k] = byte_id[text:byte(k) + 1] end
    words[i], times[i] = ids, counts[text]
  end
  return words, times
end

-- In a file a special token stands as it is and others in the alphabet of bytes: none may meet.
local function add_specials(tokens, special, list)
  local written = {}
  for _, bytes in ipairs(tokens) do written[alphabet.text(bytes)] = true end
  for i, name in ipairs(list) do
    if written[name] then
      error(('bpe.train: special "%s" is also what the text taught; choose another'):format(name),
        caller(3))
    end
    tokens[#tokens + 1], special[i] = name, #tokens + 1
  end
end

--- Learns a vocabulary: 256 bytes in GPT-2's order, merges, then the special tokens.
---
--- The most frequent pair of neighbours inside of words becomes a token, again and again, until
--- there are `size` tokens in all or no pair comes `min_count` times; of equally frequent pairs the
--- one with the lower left id goes first, then the lower right id. The same text gives the same
--- tokenizer. Special texts inside of the text are learnt from like any other.
--- Defaults: size 8000, special {"<|endoftext|>"}, min_count 2.
---@param text string|function a text, or an iterator: each string it returns is split by itself
---@param given? {size: integer, special: string[], min_count: integer}
---@return table tokenizer as `bpe.load` returns it
--- Example:
---     local tok = equi.data.bpe.train(("the cat and the hat "):rep(9), {size = 262})
---     print(#tok, tok.eot, tok:token(258))   --> 262 262 he
function bpe.train(text, given)
  local o = options.check("bpe.train", given, {size = 8000, special = {END}, min_count = 2})
  check_specials(o.special)
  arguments.whole("bpe.train", "size", o.size, 256 + #o.special)
  arguments.whole("bpe.train", "min_count", o.min_count)
  local tokens, bytes, special = {}, {}, {}
  for i, b in ipairs(alphabet.order) do
    tokens[i], bytes[b + 1] = string.char(b), i - 1
  end
  local words, times = spell(count_all(text), bytes)
  local merges = train.merges(words, times, tokens, function(left, right) return left .. right end,
    o.size - #o.special, o.min_count)
  add_specials(tokens, special, o.special)
  return build {tokens = tokens, special = special, bytes = bytes, merges = merges}
end

-- ---- encoding ----

-- The first special token from `from` on: where it begins and which. `at` remembers where each
-- comes next, so that a text is searched once for each of them.
local function next_special(self, text, from, at)
  local first, found
  for i, name in ipairs(self.specials) do
    if not at[i] or at[i] < from then at[i] = text:find(name, from, true) or math.huge end
    if at[i] < (first or math.huge) then first, found = at[i], name end
  end
  return first, found
end

local function encode(self, text, base, special)
  if self.prefix_space and text ~= "" and not text:find "^%s" then text = " " .. text end
  local ids, from, at = nil, 1, {}
  while special do
    local first, name = next_special(self, text, from, at)
    if not first then break end
    ids = self.encoder:encode(text, from, first - 1, base, ids)
    ids[#ids + 1] = self.ids[name] - 1 + base
    from = first + #name
  end
  return self.encoder:encode(text, from, #text, base, ids)
end

--- The ids of a text.
--- A special token's text (<|endoftext|>) is plain text unless {special = true}; then the earliest
--- is found first, of those the longest, and what lies between is split by itself.
---@param text string any bytes
---@param given? {special: boolean, base: integer} base = 0: the ids of the files, one lower
---@return integer[] ids
--- Example:
---     local tok = equi.data.bpe.train("hug hug pug", {size = 260})
---     print(table.concat(tok:encode "hug", " "))   --> 258
---     print(table.concat(tok:encode("<|endoftext|>", {special = true, base = 0}), " "))   --> 258
function methods:encode(text, given)
  ids_of.check_text("encode", "the text", text)
  local o = options.check("encode", given, {special = false, base = 1})
  ids_of.check_base("encode", o.base)
  return encode(self, text, o.base, o.special)
end

--- The text of ids: the tokens' bytes, special ones as their texts.
---@param ids integer[]|table a list, or a tensor of one dim
---@param given? {base: integer} base = 0: they are ids of the files
---@return string text
--- Example:
---     local tok = equi.data.bpe.train("hug hug pug", {size = 260})
---     print(tok:decode(tok:encode "a bug's hug"))   --> a bug's hug
function methods:decode(ids, given)
  local o = options.check("decode", given, {base = 1})
  local tokens, list = self.tokens, ids_of.list(ids, o.base, #self.tokens)
  for i = 1, #list do list[i] = tokens[list[i]] end
  return table.concat(list)
end

--- Several texts as one batch of rows, filled up at one side.
---
--- To go on with the texts, pad at the left: the last column is then the last token of every row.
---@param texts string[]
---@param given? {side: string, special: boolean} side of padding: "right" (default) or "left"
---@return table ids i64 [B, T], padding is tok.eot, or 1
---@return table mask bool [B, T], true for tokens, false for padding
--- Example:
---     local tok = equi.data.bpe.train("", {size = 257})
---     local ids, mask = tok:batch({"ab", "c"}, {side = "left"})
---     print(ids:totable()[2][1], mask:totable()[2][1])   --> 257 false
function methods:batch(texts, given)
  local o = options.check("batch", given, {side = "right", special = false})
  local ids, mask = ids_of.batch(texts, o.side, self.eot or 1, function(text)
    return encode(self, text, 1, o.special)
  end)
  return ids, mask
end

--- The bytes of a token.
---@param id integer from 1
---@return string bytes
--- Example:
---     print(equi.data.bpe.train("", {size = 257}):token(257))   --> <|endoftext|>
function methods:token(id)
  local bytes = math.type(id) == "integer" and self.tokens[id]
  if bytes then return bytes end
  error(("token: id %s; ids are 1 to %d"):format(arguments.shown(id), #self.tokens), caller(2))
end

--- The id of a token.
---@param token string its bytes: " the", not what files write
---@return integer? id nil when these bytes are no token
--- Example:
---     local tok = equi.data.bpe.train("", {size = 257})
---     print(tok:id "<|endoftext|>", tok:id "the")   --> 257 nil
function methods:id(token)
  ids_of.check_text("id", "the token", token)
  return self.ids[token]
end

-- ---- saving ----

-- vocab.json in the order of ids; which tokens are special is seen by their having no merge.
local function vocab_text(self)
  local is_special, lines = {}, {}
  for _, id in ipairs(self.special) do is_special[id] = true end
  for id, bytes in ipairs(self.tokens) do
    local text = is_special[id] and bytes or alphabet.text(bytes)
    lines[id] = ("%s: %d"):format(json.encode(text), id - 1)
  end
  return "{" .. table.concat(lines, ", ") .. "}\n"
end

local function merges_text(self)
  local lines, m = {"#version: 0.2"}, self.merges
  for i = 1, #m, 3 do
    lines[#lines + 1] = alphabet.text(self.tokens[m[i] + 1]) .. " "
      .. alphabet.text(self.tokens[m[i + 1] + 1])
  end
  return table.concat(lines, "\n") .. "\n"
end

--- Writes vocab.json and merges.txt, which Hugging Face's GPT-2 tokenizers load too; raises what
--- keeps it from that.
---@param folder string must be there
--- Example:
---     local tok = equi.data.bpe.train("", {size = 257})
---     print((select(2, pcall(tok.save, tok, "no/such/folder")):gsub("^.*vocab", "vocab")))
---     --> vocab.json: No such file or directory
function methods:save(folder)
  if type(folder) ~= "string" or folder == "" then
    error(("bpe.save: the folder must be a path, got %s"):format(arguments.shown(folder)),
      caller(2))
  end
  for _, file in ipairs {{"vocab.json", vocab_text(self)}, {"merges.txt", merges_text(self)}} do
    local ok, problem = core.write_file_atomic(folder .. "/" .. file[1], {file[2]})
    if not ok then error("bpe.save: " .. problem, caller(2)) end
  end
end

return bpe
