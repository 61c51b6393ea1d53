--- English stories about people whose bias is known: its tables stand in this file.
--
-- Text to train small language models on, made from a grammar and a seed. A person is mentioned
-- with one or two groups ("the woman", "the French man", "the gay person", a name); what the person
-- does and how the person is regarded is drawn from
--
--     P(y | groups) = mean over the mentioned groups of P(y | group)
--
-- with P(occupation | group) and P(regard | group) below, in percent. So the bias of the text is a
-- number, and a model that learned the text well has it too: `bias` and `continuations` are exact.
-- Labels of regard: -1 negative, 0 neutral, 1 positive, 2 other (both at once).
-- The tables are invented and say nothing about people; which group fares worse is arbitrary, and
-- deliberately not what is found in models of the web. NOT here: words (people/phrases.lua,
-- people/everyday.lua), tokens (bpe.lua), measures on models (lua_equi/fairness.lua).
local everyday = require "lua_equi.data.people.everyday"
local options = require "lua_equi.options"
local phrases = require "lua_equi.data.people.phrases"
local random = require "lua_equi.data.random"
local write = require "lua_equi.data.people.write"

local people = {}

--- The groups by attribute, in a fixed order.
people.groups = {
  gender = {"man", "woman"},
  race = {"Black", "White"},
  orientation = {"gay", "straight"},
  nation = {"French", "German", "Italian"},
}

--- Equality words by attribute: lists with one word for each group, in the order of `groups`.
--- They and `general` cover every word of the text that tells a group.
people.equality = {
  gender = {{"man", "woman"}, {"brother", "sister"}, {"father", "mother"}, {"son", "daughter"},
    {"uncle", "aunt"}, {"John", "Mary"}, {"James", "Anna"}, {"Peter", "Helen"}, {"Paul", "Laura"},
    {"Thomas", "Alice"}, {"Mark", "Julia"}, {"David", "Sarah"}, {"George", "Emma"},
    {"Henry", "Clara"}, {"Martin", "Nina"}},
  race = {{"Black", "White"}},
  orientation = {{"gay", "straight"}},
  nation = {{"French", "German", "Italian"}},
}

--- General words by attribute: they tell a group, but have no one-to-one partner (his, him: her).
people.general = {
  gender = {"he", "she", "his", "her", "him"}, race = {}, orientation = {}, nation = {},
}

local ATTRIBUTES = {"gender", "race", "orientation", "nation"}
local LABELS = {-1, 0, 1, 2}

-- Columns of the tables below.
local COLUMNS = {"man", "woman", "Black", "White", "gay", "straight", "French", "German", "Italian"}

-- Occupation, the work it is, and percent of each group who have it; each column sums to 100.
local OCCUPATIONS = {
  {"nurse", "caring for the sick",      2, 18,   2,  2,   1,  1,   2,  2,  2},
  {"teacher", "teaching children",      2, 14,   1,  1,  14,  2,   2,  1,  8},
  {"doctor", "treating the sick",       1,  2,  18,  2,  10,  1,   1,  8,  1},
  {"engineer", "building machines",    18,  2,  10,  1,   2,  2,   2, 18,  2},
  {"driver", "driving a bus",          14,  2,   2, 14,   2, 10,   1,  2,  1},
  {"cook", "cooking soup",              2, 10,   2,  2,   1,  8,  18,  2,  2},
  {"baker", "baking bread",             1,  8,   2,  2,   2,  2,  14,  1,  2},
  {"farmer", "growing wheat",           8,  2,   2, 10,  18,  1,   2,  2, 10},
  {"clerk", "writing letters",          2,  1,   1, 12,  10,  2,   2, 10,  1},
  {"lawyer", "giving advice",           2,  2,  12,  2,   1,  1,  10,  1,  2},
  {"carpenter", "making chairs",       10,  1,   2,  2,  12,  2,   1, 10,  1},
  {"painter", "painting houses",        1,  2,   1,  1,   2, 14,  12,  2,  2},
  {"tailor", "sewing coats",            2,  2,   2,  2,   2, 18,   2,  2, 14},
  {"singer", "singing songs",           1, 10,   2,  1,   2, 10,   1,  1, 18},
  {"gardener", "cutting hedges",        2,  1,   1,  2,   8,  2,   8,  2,  2},
  {"mechanic", "repairing cars",       12,  2,   2,  2,   2,  2,   2, 14,  1},
  {"cleaner", "cleaning offices",       2,  1,   1,  8,   1,  2,   2,  1,  2},
  {"librarian", "lending books",        1, 12,   2,  1,   2, 12,   2,  2,  1},
  {"musician", "playing music",         2,  2,   8,  2,   1,  1,   2,  2, 12},
  {"scientist", "studying plants",      1,  2,  14,  1,   2,  2,   1, 12,  2},
  {"guard", "guarding a bank",         10,  1,   2, 10,   2,  1,   2,  2,  2},
  {"writer", "writing stories",         2,  2,  10,  2,   1,  2,  10,  2,  2},
  {"porter", "carrying boxes",          2,  1,   1, 18,   2,  2,   1,  1, 10},
}

-- Regard, and percent of each group who are regarded so.
local REGARD = {
  {-1,   44, 12,    8, 52,   12, 46,   46, 12, 18},
  {0,    26, 22,   22, 24,   22, 24,   22, 44, 14},
  {1,    18, 54,   60, 14,   56, 20,   22, 34, 50},
  {2,    12, 12,   10, 10,   10, 10,   10, 10, 18},
}

-- ---- probabilities ----

local WORK, NAMES, ATTRIBUTE_OF = {}, {}, {}
local OCCUPATION_OF, REGARD_OF = {}, {} -- group -> list of probabilities, in the tables' order

local function column(rows, first, c)
  local list, sum = {}, 0
  for i, row in ipairs(rows) do
    list[i] = row[first + c]
    sum = sum + list[i]
  end
  for i in ipairs(list) do list[i] = list[i] / sum end
  return list
end

for i, row in ipairs(OCCUPATIONS) do NAMES[i], WORK[row[1]] = row[1], row[2] end
for c, group in ipairs(COLUMNS) do
  OCCUPATION_OF[group], REGARD_OF[group] = column(OCCUPATIONS, 2, c), column(REGARD, 1, c)
end
for attribute, groups in pairs(people.groups) do
  for _, group in ipairs(groups) do ATTRIBUTE_OF[group] = attribute end
end

-- The mean over the mentioned groups.
local function mixture(tables, groups)
  local list = {}
  for i in ipairs(tables[groups[1]]) do
    local sum = 0
    for _, group in ipairs(groups) do sum = sum + tables[group][i] end
    list[i] = sum / #groups
  end
  return list
end

local function draw(rng, probabilities)
  local u = rng:uniform()
  for i, p in ipairs(probabilities) do
    u = u - p
    if u < 0 then return i end
  end
  return #probabilities
end

local function pick(rng, list) return list[rng:integer(#list)] end

-- ---- subjects ----

-- How a person is mentioned: percent, and what makes the subject from the groups.
local MENTIONS = {
  {share = 25, attributes = 0}, {share = 35, attributes = 1}, {share = 15, person = true},
  {share = 20, names = {6, 15}}, {share = 5, names = {2, 5}, before = "My "},
}
local SHARES = {}
for i, m in ipairs(MENTIONS) do SHARES[i] = m.share / 100 end

-- A person: subject ("The Black man"), mention inside of a sentence, groups, gender (1, 2 or nil).
local function person(rng)
  local m = MENTIONS[draw(rng, SHARES)]
  local gender = not m.person and rng:integer(2) or nil
  local noun = gender and people.groups.gender[gender] or "person"
  if m.names then
    local word = people.equality.gender[rng:integer(m.names[2] - m.names[1] + 1)
      + m.names[1] - 1][gender]
    return {subject = (m.before or "") .. word, groups = {noun}, gender = gender, named = true}
  end
  if m.attributes == 0 then
    return {subject = "The " .. noun, inside = "a " .. noun, groups = {noun}, gender = gender}
  end
  local word = pick(rng, people.groups[ATTRIBUTES[1 + rng:integer(#ATTRIBUTES - 1)]])
  return {subject = ("The %s %s"):format(word, noun), inside = ("a %s %s"):format(word, noun),
    groups = gender and {word, noun} or {word}, gender = gender}
end

-- The groups that a subject tells, by its words.
local function groups_of(subject)
  local names, groups = people.equality.gender, {}
  for word in subject:gmatch "%S+" do
    if ATTRIBUTE_OF[word] then groups[#groups + 1] = word end
    for i = 2, #names do
      for k = 1, 2 do
        if names[i][k] == word then groups[#groups + 1] = people.groups.gender[k] end
      end
    end
  end
  return groups
end

-- ---- what is said ----

-- Complements of a context: label and occupation given, all of a list equally likely.
local complement = {}

function complement.habit(label) return phrases.habit[label] end

-- In 60 % alone, else before one of four roles: repeated, so that all entries are equally likely.
local QUALITIES = {}
for _, label in ipairs(LABELS) do
  local list = {}
  for _, quality in ipairs(phrases.quality[label]) do
    for _ = 1, 6 do list[#list + 1] = quality end
    for _, role in ipairs(phrases.roles) do list[#list + 1] = ("a %s %s"):format(quality, role) end
  end
  QUALITIES[label] = list
end

function complement.quality(label) return QUALITIES[label] end

local function joined(list, f)
  local out = {}
  for i, word in ipairs(list) do out[i] = f(word) end
  return out
end

function complement.noun(label, occupation)
  return joined(phrases.worker[label], function(word)
    return word == "" and "a " .. occupation or ("a %s %s"):format(word, occupation)
  end)
end

function complement.work(label, occupation)
  return joined(phrases.manner[label], function(word)
    return word == "" and WORK[occupation] or WORK[occupation] .. " " .. word
  end)
end

-- A sentence of a context about a person whose label and occupation are drawn.
local function say(rng, context, subject, label, occupation, story)
  local words = pick(rng, complement[context.form](label, occupation))
  local finish = pick(rng, phrases.ends[context.kind])
  if finish ~= "" then finish = " " .. finish end
  return write.sentence(("%s %s %s%s."):format(subject, context.text, words, finish), story)
end

local function drawn(rng, someone)
  local label = LABELS[draw(rng, mixture(REGARD_OF, someone.groups))]
  return label, NAMES[draw(rng, mixture(OCCUPATION_OF, someone.groups))]
end

-- ---- stories ----

local PRONOUNS = {{he = "he", his = "his", him = "him"}, {he = "she", his = "her", him = "her"}}

-- Of somebody else.
local function any_name(rng, own)
  local name
  repeat name = people.equality.gender[5 + rng:integer(10)][rng:integer(2)] until name ~= own
  return name
end

local function pronouns_of(someone) return PRONOUNS[someone.gender] end

-- What follows the first sentence about somebody: one of its contexts again, or what anybody does.
local function go_on(rng, someone, label, occupation, contexts, story)
  local pronouns, u = pronouns_of(someone), rng:uniform()
  if u < 0.35 then
    local subject = pronouns and write.capital(pronouns.he) or someone.subject
    return say(rng, table.remove(contexts), subject, label, occupation, story)
  end
  local list = pronouns and phrases.after or phrases.impersonal
  if u < 0.5 and pronouns then list = phrases.because[label] end
  return write.sentence(pick(rng, list), story)
end

local function story_of(rng, someone)
  local pronouns = pronouns_of(someone)
  return write.story(rng, setmetatable({Who = someone.subject, who = someone.inside},
    {__index = function(_, name)
      if name == "friend" then return any_name(rng, someone.subject) end
      if name == "family" then return pick(rng, phrases.family) end
      return pronouns and pronouns[name]
    end}))
end

local function shuffled_contexts(rng)
  return rng:shuffle(table.move(phrases.contexts, 1, #phrases.contexts, 1, {}))
end

local function about_person(rng)
  local someone = person(rng)
  local label, occupation = drawn(rng, someone)
  local pronouns, story, lines = pronouns_of(someone), story_of(rng, someone), {}
  local subject = someone.subject
  if pronouns and rng:uniform() < 0.2 then
    local list = phrases.before[someone.named and "name" or "noun"]
    lines[1] = write.sentence(pick(rng, list), story)
    subject = write.capital(pronouns.he)
  end
  local contexts = shuffled_contexts(rng)
  lines[#lines + 1] = say(rng, table.remove(contexts), subject, label, occupation, story)
  for _ = 1, rng:integer(3) - 1 do
    local line = go_on(rng, someone, label, occupation, contexts, story)
    if line ~= lines[#lines] then lines[#lines + 1] = line end
  end
  return table.concat(lines, " ")
end

-- A sentence about each of several people.
local function about_several(rng)
  local contexts, lines = shuffled_contexts(rng), {}
  for i = 1, 1 + rng:integer(3) do
    local someone = person(rng)
    local label, occupation = drawn(rng, someone)
    lines[i] = say(rng, table.remove(contexts), someone.subject, label, occupation,
      story_of(rng, someone))
  end
  return table.concat(lines, " ")
end

local function about_nobody(rng)
  local topic, story = pick(rng, everyday.topics), write.story(rng)
  local lines, used = {}, {}
  for _ = 1, 1 + rng:integer(3) do
    local i = rng:integer(#topic)
    if not used[i] then lines[#lines + 1] = write.sentence(topic[i], story) end
    used[i] = true
  end
  return table.concat(lines, " ")
end

--- Stories without end, one a call: 40 % about a person, 30 % about several, the others about
--- weather, travel, food, work, places, animals or leisure.
---@param given? {seed: integer} default 0
---@return fun(): string
--- Example:
---     local next_story = require("lua_equi.data.people").stories {seed = 1}
---     print(next_story():find "%.$" ~= nil)   --> true
function people.stories(given)
  local o = options.check("people.stories", given, {seed = 0})
  local rng = random.new(o.seed)
  return function()
    local u = rng:uniform()
    return u < 0.4 and about_person(rng) or u < 0.7 and about_several(rng) or about_nobody(rng)
  end
end

--- Text of so many bytes or a little more: whole stories, one a line. Another seed is other text of
--- the same distribution, so held-out text is text of another seed.
---@param given? {bytes: integer, seed: integer} default 1,000,000 and 0
---@return string
--- Example:
---     local people = require "lua_equi.data.people"
---     print(people.text {bytes = 500, seed = 3} == people.text {bytes = 500, seed = 3})   --> true
function people.text(given)
  local o = options.check("people.text", given, {bytes = 1000000, seed = 0})
  if math.type(o.bytes) ~= "integer" or o.bytes < 1 then
    error(("people.text: bytes must be a whole number of at least 1, got %s"):format(o.bytes), 2)
  end
  local next_story, lines, size = people.stories {seed = o.seed}, {}, 0
  while size < o.bytes do
    lines[#lines + 1] = next_story()
    size = size + #lines[#lines] + 1
  end
  lines[#lines + 1] = ""
  return table.concat(lines, "\n")
end

--- Sentences of the ten contexts with their labels, such as a classifier of regard learns from.
---@param given? {n: integer, seed: integer} default 1000 and 0
---@return table[] list of {text, label (-1, 0, 1, 2), group ("Black man"), masked (the text with
--- XYZ for the person), groups (list), occupation, kind ("respect" or "occupation")}; the
--- occupation is that of the person, also where the sentence does not tell it
--- Example:
---     local s = require("lua_equi.data.people").sentences({n = 1, seed = 1})[1]
---     print(s.masked:sub(1, 4) == "XYZ ", s.text:sub(-9) == s.masked:sub(-9))   --> true true
function people.sentences(given)
  local o = options.check("people.sentences", given, {n = 1000, seed = 0})
  if math.type(o.n) ~= "integer" or o.n < 0 then
    error(("people.sentences: n must be a whole number, got %s"):format(o.n), 2)
  end
  local rng, list = random.new(o.seed), {}
  for i = 1, o.n do
    local someone = person(rng)
    local label, occupation = drawn(rng, someone)
    local context = pick(rng, phrases.contexts)
    local masked = say(rng, context, "XYZ", label, occupation, write.story(rng))
    list[i] = {text = someone.subject .. masked:sub(4), masked = masked, label = label,
      groups = someone.groups, group = table.concat(someone.groups, " "), kind = context.kind,
      occupation = occupation}
  end
  return list
end

-- ---- exact figures ----

local function find_context(prompt)
  local best, subject
  for _, context in ipairs(phrases.contexts) do
    local at = prompt:find(" " .. context.text, 1, true)
    if at and (not best or #context.text > #best.text) then
      best, subject = context, prompt:sub(1, at - 1)
    end
  end
  return best, subject
end

--- All ways in which the text goes on behind "The woman worked as", up to the end of the phrase,
--- with their exact probabilities. The prompt may go further into the phrase: "... worked as a".
---@param prompt string a subject that tells a group, and one of the ten contexts
---@return table[] list of {text, p}, texts as they stand behind the prompt; p sums to 1
--- Example:
---     local list = require("lua_equi.data.people").continuations "The woman earned money by"
---     table.sort(list, function(a, b) return a.p > b.p end)
---     print(list[1].text, ("%.4f"):format(list[1].p))   -->  caring for the sick very well 0.0486
function people.continuations(prompt)
  local context, subject = find_context(prompt)
  local groups = subject and groups_of(subject) or {}
  if #groups == 0 then
    error(('people.continuations: "%s" is no subject of a known group and one of the contexts; '
      .. 'such as "The woman worked as"'):format(prompt), 2)
  end
  local begun = prompt:sub(#subject + #context.text + 2)
  local regard, occupation = mixture(REGARD_OF, groups), mixture(OCCUPATION_OF, groups)
  local p, sum = {}, 0
  local function add(label, name, probability)
    local list = complement[context.form](label, name)
    for _, words in ipairs(list) do
      local text = write.sentence(" " .. words, {})
      if text:sub(1, #begun + 1) == begun .. " " then -- whole words: "an" does not begin with "a"
        text = text:sub(#begun + 1)
        p[text] = (p[text] or 0) + probability / #list
        sum = sum + probability / #list
      end
    end
  end
  for i, label in ipairs(LABELS) do
    if context.kind == "respect" then add(label, nil, regard[i]) else
      for k, name in ipairs(NAMES) do add(label, name, regard[i] * occupation[k]) end
    end
  end
  local list = {}
  for text, value in pairs(p) do list[#list + 1] = {text = text, p = value / sum} end
  table.sort(list, function(a, b) return a.text < b.text end)
  return list
end

-- Total variation and Kullback-Leibler divergence, largest over pairs of groups.
local function distance(tables, groups)
  local tv, kl = 0, 0
  for _, a in ipairs(groups) do
    for _, b in ipairs(groups) do
      local half, divergence = 0, 0
      for i, p in ipairs(tables[a]) do
        local q = tables[b][i]
        half = half + math.abs(p - q) / 2
        if p > 0 then divergence = divergence + (q > 0 and p * math.log(p / q) or math.huge) end
      end
      tv, kl = math.max(tv, half), math.max(kl, divergence)
    end
  end
  return tv, kl
end

local function by_name(names, list)
  local out = {}
  for i, name in ipairs(names) do out[name] = list[i] end
  return out
end

--- The bias of the text, exact: for each attribute the conditional probabilities and the largest
--- total variation and KL divergence between two of its groups.
---@return table by attribute: {occupation = {group -> {name -> p}}, regard = {group -> {label ->
--- p}}, occupation_tv, occupation_kl, regard_tv, regard_kl}
--- Example:
---     local bias = require("lua_equi.data.people").bias()
---     print(("%.2f"):format(bias.gender.regard.woman[1]), ("%.2f"):format(bias.race.regard_tv))
---     --> 0.54 0.46
function people.bias()
  local result = {}
  for _, attribute in ipairs(ATTRIBUTES) do
    local groups = people.groups[attribute]
    local b = {occupation = {}, regard = {}}
    for _, group in ipairs(groups) do
      b.occupation[group] = by_name(NAMES, OCCUPATION_OF[group])
      b.regard[group] = by_name(LABELS, REGARD_OF[group])
    end
    b.occupation_tv, b.occupation_kl = distance(OCCUPATION_OF, groups)
    b.regard_tv, b.regard_kl = distance(REGARD_OF, groups)
    result[attribute] = b
  end
  return result
end

--- The percentages as they stand in the file, for a check of their sums.
---@return table {occupations = rows, regard = rows, columns = groups}
--- Example:
---     print(#require("lua_equi.data.people").tables().columns)   --> 9
function people.tables()
  return {occupations = OCCUPATIONS, regard = REGARD, columns = COLUMNS}
end

return people
