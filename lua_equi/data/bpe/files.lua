--- The files of byte-level BPE tokenizers: vocab.json (encoder.json) with merges.txt (vocab.bpe),
--- and tokenizer.json.
--
-- Every reader returns parts for data/bpe.lua, or nil and a message:
--     tokens   bytes of each token, by its id from 1
--     special  ids of the special tokens, rising
--     bytes    id from 0 of each byte's token, by byte + 1
--     merges   ids from 0: left, right, result of each merge, one after the other
-- A token that is no byte and that no merge makes is special: its text is taken as it stands. But a
-- word behind a space has lost its merge.
-- Not here: tokenizers that normalise, split otherwise, or know no bytes.
local core = require "lua_equi.core"
local alphabet = require "lua_equi.data.bpe.alphabet"
local json = require "lua_equi.json"
local refusal = require "lua_equi.formats.refusal"

local files = {}

local refuse, shown = refusal.refuse, refusal.shown
local MAX_SIZE = 1 << 26
local MAX_DEPTH = 32

local function check_object(v, title)
  if type(v) ~= "table" or json.is_array(v) or v == json.null then
    refuse("%s is no object of tokens and their ids", title)
  end
end

-- The ids (from 0) must be 0 to n - 1, each once. Returns the texts by id + 1.
local function in_order(vocab)
  local texts, n = {}, 0
  for text, id in pairs(vocab) do
    if math.type(id) ~= "integer" or id < 0 then
      refuse("the id of %s is %s; ids are whole numbers from 0", shown(text), shown(tostring(id)))
    end
    if texts[id + 1] then
      refuse("%s and %s have the same id %d", shown(texts[id + 1]), shown(text), id)
    end
    texts[id + 1], n = text, n + 1
  end
  for id = 0, n - 1 do
    if not texts[id + 1] then
      refuse("no token has the id %d; the ids of %d tokens are 0 to %d", id, n, n - 1)
    end
  end
  return texts
end

local function byte_ids(vocab)
  local bytes = {}
  for b = 0, 255 do
    bytes[b + 1] = vocab[alphabet.of_byte[b + 1]]
    if not bytes[b + 1] then
      refuse("no token is the byte 0x%02x (written %s); every byte needs one", b,
        shown(alphabet.of_byte[b + 1]))
    end
  end
  return bytes
end

-- Appends one merge to the list; marks its result in `made`.
local function add_merge(merges, made, vocab, left, right)
  local result = left .. right
  for _, part in ipairs {left, right, result} do
    if not vocab[part] then
      refuse("merge %d, %s with %s: %s is not in the vocabulary", #merges // 3 + 1, shown(left),
        shown(right), shown(part))
    end
  end
  local n = #merges
  merges[n + 1], merges[n + 2], merges[n + 3] = vocab[left], vocab[right], vocab[result]
  made[result] = true
end

local function split_merge(line, number)
  local left, right = line:match "^(%S+) (%S+)$"
  if not left then
    refuse("merge %d, %s, is not two tokens parted by a space", number, shown(line))
  end
  return left, right
end

local SPACE = alphabet.of_byte[string.byte " " + 1]

-- Refuses a word whose merge is missing: it would pass for special, and texts be cut otherwise. It
-- is told by the sign of a space in front; others may be special.
local function check_special(text, id)
  if text:sub(1, #SPACE) == SPACE and alphabet.bytes(text) then
    refuse("no merge makes %s, id %d; the merges are cut or another vocabulary's", shown(text), id)
  end
end

-- What data/bpe.lua wants, from texts by id + 1 and what merges make. `added`: texts of tokens that
-- are special even if a merge makes them, unless they write other bytes than those of their text.
local function parts(texts, bytes, merges, made, added)
  local tokens, special = {}, {}
  for b = 1, 256 do made[alphabet.of_byte[b]] = true end
  for i, text in ipairs(texts) do
    if text == "" then refuse("the token with the id %d is empty", i - 1) end
    local spelt = made[text] and (alphabet.bytes(text)
      or refuse("%s has a character that stands for no byte", shown(text)))
    if not spelt and not added[text] then check_special(text, i - 1) end
    tokens[i] = spelt or text
    if not spelt or added[text] and spelt == text then special[#special + 1] = i end
  end
  return {tokens = tokens, special = special, bytes = bytes, merges = merges}
end

-- f(), or nil and the message when it refuses the file at path.
local function guarded(path, f)
  local ok, first, second = pcall(f)
  if ok then return first, second end
  if type(first) ~= "table" or not first.bad_file then error(first, 0) end
  return nil, path .. ": " .. first.bad_file
end

local function read_json(path)
  return json.read(path, {unique = true, max_depth = MAX_DEPTH, max_size = MAX_SIZE})
end

local function read_text(path)
  local m <close>, problem = core.map(path, {copy = true})
  if not m then return nil, problem end
  if #m > MAX_SIZE then
    return nil, ("%s: it has %d bytes, the limit is %d"):format(path, #m, MAX_SIZE)
  end
  return m:bytes(0, #m)
end

local function read_merges(text, vocab)
  local merges, made, first = {}, {}, true
  for line in text:gmatch "[^\n]+" do
    line = line:gsub("\r$", "")
    if not (first and line:find "^#version") and line ~= "" then
      add_merge(merges, made, vocab, split_merge(line, #merges // 3 + 1))
    end
    first = false
  end
  return merges, made
end

-- Adds tokens with ids of their own to a vocabulary; both by text.
local function add_tokens(vocab, added)
  for text, id in pairs(added) do
    if vocab[text] and vocab[text] ~= id then
      refuse("%s has the id %s and, as an added token, %s", shown(text), vocab[text],
        shown(tostring(id)))
    end
    vocab[text] = id
  end
end

--- Reads a pair of files; `added` is the path of added_tokens.json, if there is one.
---@param vocab_path string
---@param merges_path string
---@param added_path? string
---@return table? parts
---@return string? message
function files.read_pair(vocab_path, merges_path, added_path)
  local vocab, problem = read_json(vocab_path)
  if problem then return nil, problem end
  local added = {}
  if added_path then
    added, problem = read_json(added_path)
    if problem then return nil, problem end
  end
  local texts, bytes = guarded(added_path or vocab_path, function()
    check_object(vocab, "vocab.json")
    check_object(added, "added_tokens.json")
    add_tokens(vocab, added)
    return in_order(vocab), byte_ids(vocab)
  end)
  if not texts then return nil, bytes end
  local text
  text, problem = read_text(merges_path)
  if not text then return nil, problem end
  local merges, made = guarded(merges_path, function() return read_merges(text, vocab) end)
  if not merges then return nil, made end
  return guarded(vocab_path, function() return parts(texts, bytes, merges, made, added) end)
end

-- ---- tokenizer.json ----

local function known(v) return v ~= nil and v ~= json.null end

-- Whether the splitting is ByteLevel's with GPT-2's pattern; returns whether a text gets a space.
local function check_splitting(pre)
  if type(pre) ~= "table" or pre.type ~= "ByteLevel" or pre.use_regex == false then
    refuse("its pre_tokenizer is %s; GPT-2's, ByteLevel with its pattern, can be read",
      shown(type(pre) == "table" and tostring(pre.type) or "missing"))
  end
  return pre.add_prefix_space == true
end

local PLAIN = {"continuing_subword_prefix", "end_of_word_suffix", "dropout", "unk_token",
  "byte_fallback", "ignore_merges"}

local function check_model(model)
  if type(model) ~= "table" or known(model.type) and model.type ~= "BPE" then
    refuse("its model is %s; BPE can be read",
      shown(type(model) == "table" and tostring(model.type) or "missing"))
  end
  for _, key in ipairs(PLAIN) do
    local value = model[key]
    if known(value) and value ~= "" and value ~= false and value ~= 0.0 then
      refuse("its model has %s = %s; GPT-2's has none", key, shown(tostring(value)))
    end
  end
  if not json.is_array(model.merges) then refuse "its model has no list of merges" end
end

local function read_merge_list(list, vocab)
  local merges, made = {}, {}
  for i, entry in ipairs(list) do
    local left, right
    if type(entry) == "string" then
      left, right = split_merge(entry, i)
    elseif json.is_array(entry) and #entry == 2 and type(entry[1]) == "string"
        and type(entry[2]) == "string" then
      left, right = entry[1], entry[2]
    else
      refuse("merge %d is neither a text nor two of them", i)
    end
    add_merge(merges, made, vocab, left, right)
  end
  return merges, made
end

local function read_added(list)
  local added = {}
  if not known(list) then return added end
  if not json.is_array(list) then refuse "added_tokens is no list" end
  for i, entry in ipairs(list) do
    if type(entry) ~= "table" or type(entry.content) ~= "string" then
      refuse("added token %d has no content", i)
    end
    added[entry.content] = entry.id
  end
  return added
end

--- Reads a tokenizer.json.
---@param path string
---@return table? parts with prefix_space as well
---@return string? message
function files.read_single(path)
  local file, problem = read_json(path)
  if problem then return nil, problem end
  return guarded(path, function()
    if type(file) ~= "table" then refuse "it is no object" end
    check_model(file.model)
    if known(file.normalizer) then refuse "it normalises; GPT-2's does not" end
    local prefix_space = check_splitting(file.pre_tokenizer)
    local vocab, added = file.model.vocab, read_added(file.added_tokens)
    check_object(vocab, "model.vocab")
    add_tokens(vocab, added)
    local texts, bytes = in_order(vocab), byte_ids(vocab)
    local merges, made = read_merge_list(file.model.merges, vocab)
    local read = parts(texts, bytes, merges, made, added)
    read.prefix_space = prefix_space
    return read
  end)
end

return files
