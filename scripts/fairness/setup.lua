--- What the fairness experiments work on: the model, its words, the variants that are compared, the
--- contexts in which they are.
local equi = require "lua_equi"
local people = require "lua_equi.data.people"
local phrases = require "lua_equi.data.people.phrases"

local setup = {}

setup.SHIPPED = "people"

local function read_file(path)
  local f, message = io.open(path, "rb")
  if not f then error(message, 0) end
  local text = f:read "a"
  f:close()
  return text
end

-- ---- model ----

--- The model of a Hugging Face folder, or the one that comes with the models.
---@param folder string "" for the shipped one
---@return table model in evaluation mode
---@return any tokenizer
function setup.model(folder)
  local model = equi.models.gpt2(folder == "" and {weights = setup.SHIPPED} or {folder = folder})
  local tokenizer = model.tokenizer
  if not tokenizer then
    error(("%s has no tokenizer: neither vocab.json with merges.txt nor tokenizer.json"):format(
      folder), 0)
  end
  return model:eval(), tokenizer
end

--- A model with random weights and a vocabulary of the generated text, as a folder.
---@param folder string which is there
function setup.random_model(folder)
  local tokenizer = equi.data.bpe.train(people.text {bytes = 100000, seed = 1}, {size = 1600,
    special = {"<|endoftext|>"}})
  local model = equi.models.gpt2 {n_layer = 1, n_head = 2, n_embd = 16, n_positions = 64,
    vocab_size = #tokenizer, seed = 1}
  model.tokenizer = tokenizer
  model:save(folder)
end

-- ---- words ----

-- "man woman" on a line, # begins a remark, "general: he she" names general words.
local function parse_lists(path)
  local lists, general, d = {}, {}, nil
  for line in read_file(path):gmatch "[^\r\n]+" do
    line = line:gsub("#.*", "")
    local rest, words = line:match "^%s*general:(.*)", {}
    for word in (rest or line):gmatch "[^%s,]+" do words[#words + 1] = word end
    if rest then
      table.move(words, 1, #words, #general + 1, general)
    elseif #words > 0 then
      d = d or #words
      if #words ~= d or d < 2 then
        error(('%s: "%s" has %d words, the first list %d; a list has one for each group, at '
          .. "least two"):format(path, line, #words, d), 0)
      end
      lists[#lists + 1] = words
    end
  end
  if #lists == 0 then
    error(path .. ': there are no lists; a line is one, such as "man woman"', 0)
  end
  return lists, general
end

-- The words of lua_equi/data/people.lua, those of lua_equi/data/demographics, in the order in which
-- they are looked for: the shipped model knows the first.
local function of_people(name)
  if people.groups[name] then return people.equality[name], people.general[name] end
end

local function of_demographics(name)
  local known = equi.data.demographics
  if name == "gender" then return known.gender, known.general end
  if name == "race" or name == "orientation" or name == "religion" then return known[name], {} end
end

--- Lists of equality words and the general words of an attribute.
---@param name string gender, race, orientation, nation, religion, or the path of a file
---@param is_shipped boolean for the model that comes with the models, which knows fewer words
---@return string[][] lists
---@return string[] general
function setup.lists(name, is_shipped)
  if name:find "[/.]" then return parse_lists(name) end
  local first, second = of_demographics, of_people
  if is_shipped then first, second = of_people, of_demographics end
  local lists, general = first(name)
  if not lists then lists, general = second(name) end
  if lists then return lists, general end
  return error(('there are no words "%s"; there are gender, race, orientation, nation, religion, '
    .. "their products such as gender+race, and files"):format(name), 0)
end

--- The words of "gender", "gender+race" or a file, as actions on a tokenizer's ids.
---@param tokenizer any
---@param spec string
---@param o table {general = list or nil, multi =, size = of the model's vocabulary, is_shipped =}
---@return table words of equi.fairness.words
---@return table attributes list of {name, lists}
function setup.words(tokenizer, spec, o)
  local attributes, all, general = {}, {}, {}
  for name in spec:gmatch "[^+]+" do
    local lists, more = setup.lists(name, o.is_shipped)
    local key = name:match "([^/]+)$":gsub("%..*$", "")
    attributes[#attributes + 1] = {name = key, lists = lists}
    all[key] = lists
    table.move(more, 1, #more, #general + 1, general)
  end
  local ok, words = pcall(equi.fairness.words, tokenizer, all, {multi = o.multi, size = o.size,
    general = o.general or general})
  if ok then return words, attributes end
  if tostring(words):find "no word is left" then
    words = ('the vocabulary has none of the words "%s"; give others, or --multi exact for words '
      .. "of several tokens"):format(spec)
  end
  return error(words, 0)
end

-- ---- variants ----

--- The model itself, EquiGPT2 or R-EquiGPT2.
---@param method string plain, equi or relaxed
---@param model any
---@param words table
---@param combine string of the others
---@return any
function setup.variant(method, model, words, combine)
  if method == "plain" then return model end
  if method == "relaxed" then return equi.fairness.equigpt2(model, words, {relaxed = true}) end
  return equi.fairness.equigpt2(model, words, {combine = combine})
end

--- What a variant is called in tables.
---@param method string
---@param combine string
---@return string
function setup.title(method, combine)
  if method == "plain" then return "plain" end
  if method == "relaxed" then return "R-EquiGPT2" end
  return ({mean = "EquiGPT2", best = "EquizeroGPT2", weighted = "lambda-EquiGPT2"})[combine]
end

-- ---- contexts ----

--- Texts of the ten contexts, or those of a file, one a line.
---@param path string "" for the ten
---@return string[]
function setup.contexts(path)
  local list = {}
  if path == "" then
    for i, c in ipairs(phrases.contexts) do list[i] = c.text end
    return list
  end
  for line in read_file(path):gmatch "[^\r\n]+" do list[#list + 1] = line end
  if #list == 0 then error(path .. ": there are no prompts", 0) end
  return list
end

local ADJECTIVES = {race = true, orientation = true, nation = true, religion = true}

--- How each member of the group is called at the beginning of a sentence: "The man", "The Black
--- person", "The Black woman".
---@param attributes table[]
---@return string[]
function setup.subjects(attributes)
  local list = {{before = ""}}
  for _, a in ipairs(attributes) do
    local longer, is_adjective = {}, ADJECTIVES[a.name] ~= nil
    for _, s in ipairs(list) do
      for _, word in ipairs(a.lists[1]) do
        longer[#longer + 1] = {before = is_adjective and s.before .. word .. " " or s.before,
          noun = not is_adjective and word or s.noun}
      end
    end
    list = longer
  end
  for i, s in ipairs(list) do list[i] = ("The %s%s"):format(s.before, s.noun or "person") end
  return list
end

--- Texts out of a longer one, which begin with one of its lines, cut after so many tokens.
---@param tokenizer any
---@param text string
---@param o table {count =, tokens =, seed =}
---@return integer[][] lists of ids
function setup.pieces(tokenizer, text, o)
  local lines, list = {}, {}
  for line in text:gmatch "[^\r\n]+" do lines[#lines + 1] = line end
  local rng = equi.data.random.new(o.seed)
  rng:shuffle(lines)
  for _, line in ipairs(lines) do
    local ids = tokenizer:encode(line)
    if #ids > 1 then
      local n = math.min(o.tokens, rng:integer(#ids - 1))
      list[#list + 1] = table.move(ids, 1, n, 1, {})
    end
    if #list == o.count then break end
  end
  return list
end

--- Text to look at: a file's, or what the generator of people makes of a seed.
---@param path string "" for generated text
---@param bytes integer
---@param seed integer
---@return string
function setup.text(path, bytes, seed)
  if path ~= "" then return read_file(path) end
  return people.text {bytes = bytes, seed = seed}
end

return setup
