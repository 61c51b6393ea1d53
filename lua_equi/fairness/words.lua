--- Lists of demographic words -> the actions of their group on ids and logits.
--
-- A list of d words, {"man", "woman"}, is a cycle: the generator of C_d sends each word to the next
-- and the last to the first. All lists of an attribute move together; several attributes (gender,
-- race) make the product of their groups. In the words of the paper: E, the equality words, are
-- what moves; S, the general words, have a gendered meaning but no partner; N are all others.
-- NOT here: lists of words (data/demographics) and models (equigpt2.lua).
local arguments = require "lua_equi.arguments"
local caller = require "lua_equi.caller"
local core = require "lua_equi.core"
local forms = require "lua_equi.fairness.forms"
local options = require "lua_equi.options"

local words = {}
local methods = {}
local mt = {__name = "fairness.words"}
local WHO = "fairness.words"

local function fail(...) error(WHO .. ": " .. string.format(...), caller(2)) end

local function quoted(list) return '"' .. table.concat(list, '", "') .. '"' end

-- ---- reading ----

local function read_list(list, where, d)
  if type(list) ~= "table" or #list < 2 then
    fail('%s must be a list of at least two words such as {"man", "woman"}, got %s', where,
      type(list) == "table" and ("a list of %d"):format(#list) or arguments.shown(list))
  end
  if d and #list ~= d then
    fail("%s has %d words, list 1 has %d; all lists of an attribute have one for each member",
      where, #list, d)
  end
  local clean, seen = {}, {}
  for i, w in ipairs(list) do
    if type(w) ~= "string" or not w:find "%S" then
      fail("%s: word %d must be a text, got %s", where, i, arguments.shown(w))
    end
    clean[i] = w:match "^%s*(.-)%s*$"
    if seen[clean[i]] then fail('%s has "%s" twice', where, clean[i]) end
    seen[clean[i]] = true
  end
  return clean
end

-- One attribute: {name, d, lists = {{words, number, plural}}}.
local function read_attribute(name, lists)
  local a = {name = name, lists = {}}
  for i, list in ipairs(lists) do
    local where = ("list %d%s"):format(i, name == "" and "" or " of " .. name)
    a.lists[#a.lists + 1] = {words = read_list(list, where, a.d), where = where}
    a.d = a.d or #list
    if list.plural ~= nil then
      a.lists[#a.lists + 1] = {words = read_list(list.plural, "the plural of " .. where, a.d),
        where = where, plural = true}
    end
  end
  return a
end

local function read_attributes(lists)
  if type(lists) ~= "table" or next(lists) == nil then
    fail('give lists of words such as {{"man", "woman"}, {"king", "queen"}}, or several attributes '
      .. "{gender = lists, race = lists}, got %s", type(lists) == "table" and "none"
      or arguments.shown(lists))
  end
  if #lists > 0 then return {read_attribute("", lists)} end
  local names, all = {}, {}
  for name in pairs(lists) do
    if type(name) ~= "string" then fail("attributes are named, got one at [%s]", tostring(name)) end
    names[#names + 1] = name
  end
  table.sort(names)
  for i, name in ipairs(names) do
    if type(lists[name]) ~= "table" or #lists[name] == 0 then
      fail('attribute %s must be a list of lists of words, got %s', name,
        type(lists[name]) == "table" and "none" or arguments.shown(lists[name]))
    end
    all[i] = read_attribute(name, lists[name])
  end
  return all
end

-- ---- candidates: forms of lists that are to take each other's places ----

local function candidates(self, o)
  local list = {}
  local chosen = o.forms or forms.USUAL
  for _, a in ipairs(self.attributes) do
    for _, l in ipairs(a.lists) do
      for k, f in ipairs(forms.of(l.words, chosen)) do
        local c = {attribute = a, list = l, where = l.where, spellings = f.spellings,
          first = k == 1,
          needed = not l.plural and k == 1 or o.forms ~= nil}
        c.cycles, c.tokens = forms.cycles(self.tokenizer, f.spellings)
        if not c.cycles then c.problem = c.tokens end
        list[#list + 1] = c
      end
    end
  end
  return list
end

-- The sentence about a cycle that does not fit to what moves already, or nil. fresh: how many of
-- its ids do not move yet.
local function clash(self, c, cycle)
  local fresh = 0
  for i, id in ipairs(cycle) do
    local other = self.owner[id]
    if not other then
      fresh = fresh + 1
    elseif other.attribute ~= c.attribute or self.to[c.attribute][id] ~= cycle[i % #cycle + 1] then
      return ('"%s" stands in %s (%s) and in %s (%s), so that the exchange would be no bijection'):
        format(self.tokenizer:decode {id}, other.where, quoted(other.spellings), c.where,
          quoted(c.spellings))
    end
  end
  if fresh == 0 or fresh == #cycle then return nil, fresh end
  return ("%s of %s share tokens with other words, so that the exchange would be no bijection")
    :format(quoted(c.spellings), c.where)
end

-- Takes a candidate into the maps; returns what is wrong if it does not fit.
local function take(self, c)
  if c.problem then return c.problem end
  local new = {}
  for _, cycle in ipairs(c.cycles) do
    local problem, fresh = clash(self, c, cycle)
    if problem then return problem end
    if fresh > 0 then new[#new + 1] = cycle end
  end
  if c.tokens > 1 and #new > 0 and not c.needed then
    return ("%s are words of several tokens, which alone would have to move"):format(
      quoted(c.spellings))
  end
  local to = self.to[c.attribute]
  for _, cycle in ipairs(new) do
    for i, id in ipairs(cycle) do to[id], self.owner[id] = cycle[i % #cycle + 1], c end
    if c.tokens > 1 then
      local parts = {}
      for i, id in ipairs(cycle) do parts[i] = self.tokenizer:decode {id} end
      self.side_effects[#self.side_effects + 1] = {tokens = parts, because = c.spellings}
    end
  end
end

local function refuse(c, problem, o)
  local more = c.tokens == 1 and
    "leave one of the lists out, or make such words general ones (relaxed)" or
    'choose other words, or multi = "skip" leaves them out'
  if o.multi == "refuse" and c.cycles and c.tokens > 1 then
    problem = ('%s of %s are %d tokens each'):format(quoted(c.spellings), c.where, c.tokens)
  end
  fail("%s; %s", problem, more)
end

local function leave_out(self, c, problem)
  if c.first then c.list.left_out = true end -- without it, its other forms go too
  self.left_out[#self.left_out + 1] = {words = c.spellings, why = problem}
end

-- Takes one candidate, or refuses it, or leaves it out.
local function decide(self, c, o)
  if not c.first and not c.needed and c.list.left_out then return end
  local problem
  if c.cycles and c.tokens > 1 and o.multi ~= "exact" then
    problem = ("%s are words of several tokens"):format(quoted(c.spellings))
  else
    problem = take(self, c)
  end
  if not problem then return end
  if c.needed and (c.tokens == 1 or o.multi ~= "skip") then refuse(c, problem, o) end
  leave_out(self, c, problem)
end

-- First what must be there, then first forms of plurals, then what can be; words of one token
-- before those of several, which may use their exchange.
local function take_all(self, list, o)
  for _, kind in ipairs {"needed", "first", "other"} do
    for _, single in ipairs {true, false} do
      for _, c in ipairs(list) do
        local of = c.needed and "needed" or c.first and "first" or "other"
        if of == kind and (c.tokens == 1) == single then decide(self, c, o) end
      end
    end
  end
end

-- ---- general words ----

--- The ids of general words (S of the paper), in all their forms that are one token. They must not
--- move: a word cannot be in both E and S.
---
--- Example:
---     local tok = {tokens = {"a", " he", " she", " him"}, encode = function(_, t)
---       return ({[" he"] = {2}, [" she"] = {3}, [" him"] = {4}})[t] or {1, 1} end,
---       decode = function(self, ids) return self.tokens[ids[1]] end}
---     local w = equi.fairness.words(tok, {{"he", "she"}}, {size = 4})
---     print(w:general_ids {"him"}[1])   --> 4
---@param list table words, or ids
---@return integer[] ids sorted, none twice
function methods:general_ids(list)
  if type(list) ~= "table" then
    fail('general words must be a list such as {"he", "she"}, got %s', arguments.shown(list))
  end
  local seen, ids = {}, {}
  local function add(id, name)
    if self.owner[id] then
      fail('"%s" cannot be general: it stands in %s (%s), and moves', name, self.owner[id].where,
        quoted(self.owner[id].spellings))
    end
    if not seen[id] then ids[#ids + 1] = id end
    seen[id] = true
  end
  for _, w in ipairs(list) do
    if math.type(w) == "integer" then
      add(w, tostring(w))
    elseif type(w) ~= "string" then
      fail("a general word must be a text or an id, got %s", arguments.shown(w))
    else
      for k, f in ipairs(forms.of({w}, forms.USUAL)) do
        local got, problem = forms.encode(self.tokenizer, f.spellings[1])
        if got and #got == 1 then
          add(got[1], f.spellings[1])
        elseif k == 1 then
          fail('the general word "%s" %s; general words are one token', f.spellings[1],
            got and ("is %d tokens"):format(#got) or "cannot be used: " .. problem)
        end
      end
    end
  end
  table.sort(ids)
  return ids
end

-- ---- the actions ----

local function build_group(attributes)
  local factors = {}
  for i, a in ipairs(attributes) do factors[i] = core.group.cyclic(a.d) end
  return #factors == 1 and factors[1] or core.group.product(table.unpack(factors))
end

--- The actions for a vocabulary of another size: models may have rows behind the tokenizer's last
--- token, which stay in place.
---
--- Example:
---     local tok = {encode = function(_, t) return {t:find "she" and 2 or 1} end,
---       decode = function(_, ids) return ({" he", " she"})[ids[1]] end}
---     local ids = equi.fairness.words(tok, {{"he", "she"}}, {size = 2}):actions(64)
---     print(ids(ids.group "r", equi.tensor({{1, 64}}, {dtype = "i64"})):totable()[1][1])   --> 2
---@param size integer
---@return any ids action on tokens
---@return any logits action on a last dim of logits
function methods:actions(size)
  local maps, most = {}, 0
  for i, a in ipairs(self.attributes) do maps[i] = self.to[a] end
  for id in pairs(self.owner) do most = math.max(most, id) end
  if math.type(size) ~= "integer" or size < most then
    fail("the vocabulary has %s tokens, the words move tokens up to %d", arguments.shown(size),
      most)
  end
  local o = {size = size, generators = maps}
  local ids = core.action.vocabulary(self.group, o)
  o.what = "logits"
  return ids, core.action.vocabulary(self.group, o)
end

local function sorted_ids(owner)
  local list = {}
  for id in pairs(owner) do list[#list + 1] = id end
  table.sort(list)
  return list
end

--- What an element makes of a text, or of a list of ids.
---
--- Example:
---     local tok = {encode = function(_, t) return {t:find "she" and 2 or 1} end,
---       decode = function(_, ids) return ({" he", " she"})[ids[1]] end}
---     local w = equi.fairness.words(tok, {{"he", "she"}}, {size = 2})
---     print(w:move(w.group "r", " he"))   -->  she
---@param g any element of words.group
---@param text any text or list of ids
---@return any of the same kind
function methods:move(g, text)
  local ids = type(text) == "string" and self.tokenizer:encode(text) or text
  if type(ids) ~= "table" then
    fail("move: give a text or a list of ids, got %s", arguments.shown(text))
  end
  if #ids == 0 then return text end
  local ok, moved = pcall(self.ids, g, core.tensor(ids, {dtype = "i64"}))
  if not ok then fail("move: %s", (tostring(moved):gsub("^.-action: ", ""))) end
  moved = moved:totable()
  return type(text) == "string" and self.tokenizer:decode(moved) or moved
end

--- Which kind of word a token is: "equality" (moves), "general" or "neutral".
---
--- Example:
---     local tok = {encode = function(_, t) return {t:find "she" and 2 or 1} end,
---       decode = function(_, ids) return ({" he", " she"})[ids[1]] end}
---     local w = equi.fairness.words(tok, {{"he", "she"}}, {size = 3})
---     print(w:kind(1), w:kind(3))   --> equality neutral
---@param id integer
---@return string
function methods:kind(id)
  if self.owner[id] then return "equality" end
  for _, general in ipairs(self.general) do
    if general == id then return "general" end
  end
  return "neutral"
end

-- ---- printing ----

mt.__index = methods

local SHOWN = 24 -- exchanges and words left out that print shows

-- The first few of a list, and how many more there are.
local function few(list, sep)
  local more = #list - SHOWN
  return table.concat(list, sep, 1, math.min(#list, SHOWN)) ..
    (more > 0 and ("%sand %d more"):format(sep, more) or "")
end

local function lists_line(self, a)
  local shown, done = {}, {}
  for _, id in ipairs(sorted_ids(self.to[a])) do
    if not done[id] then
      local cycle, at = {}, id
      repeat
        cycle[#cycle + 1] = self.tokenizer:decode {at}
        done[at], at = true, self.to[a][at]
      until at == id
      local first = self.owner[id].spellings[1] -- where it is one token, the list's order is shown
      for _ = 1, cycle[1] ~= first and #cycle - 1 or 0 do
        if cycle[1] ~= first then table.insert(cycle, table.remove(cycle, 1)) end
      end
      shown[#shown + 1] = quoted(cycle):gsub('", "', '" -> "')
    end
  end
  return ("  %s%s"):format(a.name == "" and "" or a.name .. ": ", few(shown, ", "))
end

function mt:__tostring()
  local lines = {("fairness.words: %s, %d of %d tokens move"):format(tostring(self.group.name),
    #self.equality, self.size)}
  for _, a in ipairs(self.attributes) do lines[#lines + 1] = lists_line(self, a) end
  if #self.general > 0 then
    local names = {}
    for i, id in ipairs(self.general) do names[i] = self.tokenizer:decode {id} end
    lines[#lines + 1] = "  general: " .. quoted(names)
  end
  for _, s in ipairs(self.side_effects) do
    lines[#lines + 1] = ("  %s move wherever they stand, because of %s"):format(quoted(s.tokens),
      quoted(s.because))
  end
  local left = {}
  for i, l in ipairs(self.left_out) do
    left[i] = ("  left out: %s (%s)"):format(quoted(l.words), l.why)
  end
  if #left > 0 then lines[#lines + 1] = few(left, "\n") end
  return table.concat(lines, "\n")
end

--- The group of demographic words and its actions on tokens and logits.
---
--- lists: one list for each meaning, with one word for each of d >= 2 members, {{"man", "woman"},
--- {"king", "queen", plural = {"kings", "queens"}}}: C_d, whose generator sends each word to the
--- next; or several attributes by name, {gender = lists, race = lists}: the product of their
--- groups, factors in the order of the names.
---
--- Every word stands for its forms " man", " Man", "Man", and so for its plural where that is
--- given. The first, with a space in front, must work; plurals and the other forms do where they
--- can, and are listed in left_out where not. With forms = {"space", "bare", ...} (names: space,
--- space_capital, capital, bare: "man") those must all work.
---
--- The map of tokens must be a bijection: a word with two partners (his and him both to her) is
--- refused by name. Words of several tokens take each other's places token by token if they have as
--- many, and the map is still a bijection; then these tokens move wherever they stand, in other
--- words too (side_effects lists them). Otherwise they are refused by name. multi = "refuse"
--- refuses all words of several tokens, "skip" leaves out (and lists) what would be refused for
--- them and moves no word of several tokens.
---
--- Example:
---     local tok = {tokens = {" man", " woman", "man", "woman", " he"}}
---     function tok:encode(text)
---       for i, t in ipairs(self.tokens) do if t == text then return {i} end end
---       return {5, 5}
---     end
---     function tok:decode(ids) return self.tokens[ids[1]] end
---     local w = equi.fairness.words(tok, {{"man", "woman"}}, {size = 5})
---     print(w.group.order, #w.equality, w:move("r", " man"))   --> 2 2  woman
---@param tokenizer any with encode and decode, ids from 1
---@param lists table
---@param opts? table {forms = names, multi = "exact", "skip" or "refuse"; general = words of S,
--- size = of the vocabulary, default #tokenizer}
---@return table words fields group, ids and logits (actions), size, equality (ids that move),
--- general (ids), attributes, left_out, side_effects; methods general_ids, actions, move, kind
function words.words(tokenizer, lists, opts)
  local o = options.check(WHO, opts, {forms = options.any(), multi = "exact", general = {},
    size = options.any()})
  if type(tokenizer) ~= "table" and type(tokenizer) ~= "userdata" then
    fail("tokenizer must have encode and decode, got %s", arguments.shown(tokenizer))
  end
  arguments.choice(WHO, "multi", o.multi, {"exact", "skip", "refuse"})
  if o.forms ~= nil then
    if type(o.forms) ~= "table" then
      fail('forms must be a list such as {"space"}, got %s', arguments.shown(o.forms))
    end
    for _, name in ipairs(o.forms) do arguments.choice(WHO, "each form", name, forms.NAMES) end
  end
  local self = setmetatable({tokenizer = tokenizer, attributes = read_attributes(lists), to = {},
    owner = {}, left_out = {}, side_effects = {}, general = {}}, mt)
  for _, a in ipairs(self.attributes) do self.to[a] = {} end
  take_all(self, candidates(self, o), o)
  if next(self.owner) == nil then fail "no word is left: all were left out" end
  self.group = build_group(self.attributes)
  self.equality = sorted_ids(self.owner)
  self.size = o.size or #tokenizer
  self.ids, self.logits = self:actions(self.size)
  self.general = self:general_ids(o.general)
  return self
end

return words
