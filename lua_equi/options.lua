--- Options, twice: `check` for the trailing table of a Lua function, `declare`/`parse` for the
--- command line of a script.
--
-- A script declares its options once; parsing, range checks, `--help`, the record in a checkpoint
-- and the comparison on resume all follow from that declaration. Names of groups and the like are
-- turned into objects here (`map`), so that no algorithm ever takes a string for an object.
-- Not a configuration-file reader, and no sub-commands or positional arguments.

local caller = require "lua_equi.caller"
local elsewhere = require "lua_equi.elsewhere"
local nearest = require "lua_equi.nearest"
local page = require "lua_equi.options.page"

local options = {}

local TYPES = {flag = true, integer = true, number = true, string = true}
local NEEDS = {integer = "an integer", number = "a number", string = "a text", choice = "a name"}

local function show(value)
  if type(value) == "string" then return ('"%s"'):format(value) end
  if type(value) == "table" then
    local parts = {}
    for i, item in ipairs(value) do parts[i] = tostring(item) end
    return table.concat(parts, ",")
  end
  return tostring(value)
end

local any_mt = {__name = "options.any"}

--- A default for `check` that admits a value of any type; without an argument, no default at all.
---@param default any
---@return table marker
--- Example:
---     local options = require "lua_equi.options"
---     local o = options.check("pad", {}, {by = options.any(1), mask = options.any()})
---     print(o.by, o.mask)   --> 1 nil
function options.any(default)
  return setmetatable({default = default}, any_mt)
end

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

local function list_valid(defaults)
  local names = sorted_keys(defaults)
  return #names == 0 and "it has no options" or "options are " .. table.concat(names, ", "), names
end

-- Returns what is wrong with one given key, or nil.
local function wrong_key(key, value, defaults)
  local default = defaults[key]
  if default == nil then
    local valid, names = list_valid(defaults)
    if type(key) ~= "string" then
      return ("options are named, got a value at [%s]; %s"):format(tostring(key), valid)
    end
    local ours = elsewhere.options[key]
    local near = defaults[ours] ~= nil and ours or nearest(key, names)
    return ('no option "%s"; %s%s'):format(key, valid,
      near and ('; did you mean "%s"?'):format(near) or "")
  end
  if getmetatable(default) ~= any_mt and type(value) ~= type(default) then
    return ("option %s must be a %s, got %s (a %s)"):format(key, type(default), show(value),
      type(value))
  end
end

--- Checks the trailing option table of a Lua function and fills in the defaults.
--- Unknown keys are refused with the valid ones listed; a value must be of its default's type
--- unless the default is `options.any(default)`. Raises at the first line outside of this library
--- (call it as `local o = options.check(...)`: a tail call would lose that line).
---@param who string name of the function, as the user writes it
---@param given table? what the user passed
---@param defaults table<string, any> every valid key with its default
---@param deeper? integer how many calls further out the line to name is
---@return table filled a new table; the arguments are left alone
--- Example:
---     local options = require "lua_equi.options"
---     local function dropout(given) return options.check("dropout", given, {p = 0.5}).p end
---     print(dropout(), dropout {p = 0.1})   --> 0.5 0.1
---     print((select(2, pcall(dropout, {rate = 1}))):match "dropout: .*")
---     --> dropout: no option "rate"; options are p
function options.check(who, given, defaults, deeper)
  local level = 3 + (deeper or 0)
  if given ~= nil and type(given) ~= "table" then
    error(("%s: options must be a table, got %s (a %s); %s"):format(who, show(given),
      type(given), (list_valid(defaults))), caller(level))
  end
  local filled = {}
  for key, default in pairs(defaults) do
    if getmetatable(default) == any_mt then default = default.default end
    filled[key] = default
  end
  for key, value in pairs(given or {}) do
    local problem = wrong_key(key, value, defaults)
    if problem then error(who .. ": " .. problem, caller(level)) end
    filled[key] = value
  end
  return filled
end

local function range_text(option)
  local parts = {}
  local words = {min = "at least ", above = "above ", max = "at most ", below = "below "}
  for _, key in ipairs {"min", "above", "max", "below"} do
    if option[key] then parts[#parts + 1] = words[key] .. option[key] end
  end
  return table.concat(parts, " and ")
end

local function in_range(option, x)
  return (not option.min or x >= option.min) and (not option.above or x > option.above)
    and (not option.max or x <= option.max) and (not option.below or x < option.below)
end

-- Reads one word of the command line. Returns the value, or nil and what is wrong with it.
local function read_item(option, text)
  if option.type == "choice" then
    for _, name in ipairs(option.choices) do
      if name == text then return text end
    end
    local near = nearest(text, option.choices)
    return nil, ('must be one of %s, got "%s"%s'):format(table.concat(option.choices, ", "), text,
      near and ("; did you mean %s?"):format(near) or "")
  elseif option.type == "string" then
    return text
  end
  local x = tonumber(text)
  local whole = x and math.tointeger(x)
  if not x or (option.type == "integer" and not whole) or x ~= x or math.abs(x) == math.huge then
    return nil, ('must be %s, got "%s"'):format(NEEDS[option.type], text)
  end
  if not in_range(option, x) then
    return nil, ("must be %s, got %s"):format(range_text(option), text)
  end
  return option.type == "integer" and whole or x
end

-- Reads what was typed; of a list, each item once: a run would count twice.
local function read_value(option, text)
  if not option.list then return read_item(option, text) end
  local values, seen = {}, {}
  for word in (text .. ","):gmatch "([^,]*)," do
    local value, problem = read_item(option, word)
    if value == nil then return nil, problem .. "; separate several by commas" end
    if seen[value] then return nil, ("names %s twice; give each once"):format(show(value)) end
    values[#values + 1], seen[value] = value, true
  end
  return values
end

local function infer_type(row, default)
  if row.choices then return "choice" end
  if row.type then return row.type end
  if type(default) == "table" then default = default[1] end
  if type(default) == "boolean" then return "flag" end
  return math.type(default) == "integer" and "integer" or type(default)
end

local ROW = {doc = true, type = true, choices = true, min = true, max = true, above = true,
  below = true, map = true, saved = true}

-- Turns a row {name, default, ...} into an option; raises at the declaring line.
local function declare_row(who, row, group)
  local name, default = row[1], row[2]
  if type(name) ~= "string" or not name:find "^%l[%l%d_]*$" or name == "help" then
    error(('%s: "%s" cannot be an option; a name is lower_snake and not help'):format(who,
      tostring(name)), 3)
  end
  for key in pairs(row) do
    if math.type(key) ~= "integer" and not ROW[key] then
      error(('%s: option %s: no field "%s"; fields are %s'):format(who, name, tostring(key),
        table.concat(sorted_keys(ROW), ", ")), 3)
    end
  end
  local option = {name = name, default = default, group = group, type = infer_type(row, default),
    flag = "--" .. name:gsub("_", "-"), list = type(default) == "table"}
  for key in pairs(ROW) do
    if key ~= "type" then option[key] = row[key] end
  end
  if option.type ~= "choice" and not TYPES[option.type] then
    error(("%s: option %s: give a default, choices, or a type: %s"):format(who, name,
      table.concat(sorted_keys(TYPES), ", ")), 3)
  end
  for _, value in ipairs(option.list and default or {default}) do
    local read, problem = value, nil
    if option.type ~= "flag" then read, problem = read_item(option, tostring(value)) end
    if read == nil then error(("%s: default of %s %s"):format(who, name, problem), 3) end
  end
  return option
end

--- Declares the options of a script.
--- The table holds `name` (of the script), `doc` (what it does), and a list: a string starts a
--- group of the help page, a table is one option `{name, default, doc = ..., ...}`.
---
--- The type follows from the default: `false`/`true` is a flag (`--x`, `--no-x`), then integer,
--- number, string; a list of these is given comma-separated. Without a default say `type`.
--- `choices = {...}` admits only these names. `min`, `max` (inclusive), `above`, `below`
--- (exclusive) bound numbers. `map` (a table or a function of the name) turns what was typed into
--- an object; a map function may return nil and a message. `saved = false` keeps the option out
--- of checkpoints. Mistakes in a declaration raise.
---@param declaration table
---@return table declared for `parse`, `read` and `help`
--- Example:
---     local options = require "lua_equi.options"
---     local declared = options.declare {name = "train.lua", doc = "Trains.",
---       "Model",
---       {"cell", "lstm", choices = {"rnn", "lstm"}, doc = "recurrent cell"},
---       "Training",
---       {"rate", 1e-4, above = 0, doc = "learning rate"},
---       {"seeds", {1, 2, 3}, doc = "one run each"},
---       {"tiny", false, doc = "a run of seconds"}}
---     local opt = options.read(declared, {"--rate", "0.01", "--tiny", "--seeds=4,5"})
---     print(opt.cell, opt.rate, opt.tiny, #opt.seeds)   --> lstm 0.01 true 2
function options.declare(declaration)
  if type(declaration) ~= "table" then error("options.declare: give one table", 2) end
  local who = declaration.name or "script"
  local declared = {name = who, doc = declaration.doc or "", list = {}, by_name = {}}
  local group
  for _, row in ipairs(declaration) do
    if type(row) == "string" then
      group = row
    else
      local option = declare_row(who, row, group)
      local off = option.name:match "^no_(.+)$" or ("no_" .. option.name)
      if declared.by_name[option.name] or declared.by_name[off] then
        error(("%s: option %s is declared twice (or clashes with %s)"):format(who, option.name,
          off), 2)
      end
      declared.list[#declared.list + 1] = option
      declared.by_name[option.name] = option
    end
  end
  return declared
end

-- Finds the option that a word `--name` means. Returns it and, for --no-x, false as its value.
local function find_option(declared, word)
  local name = word:gsub("^%-%-", ""):gsub("-", "_")
  local option = declared.by_name[name]
  if option then return option, true end
  local positive = name:match "^no_(.+)$"
  option = positive and declared.by_name[positive]
  if option and option.type == "flag" then return option, false end
  local flags = {"--help"}
  for _, known in ipairs(declared.list) do flags[#flags + 1] = known.flag end
  local near = nearest(word, flags)
  return nil, ("no option %s%s; --help lists them"):format(word,
    near and ("; did you mean %s?"):format(near) or "")
end

-- Applies one word (and perhaps the next) to `values`. Returns how many words were used.
local function read_word(declared, values, word, following)
  if not word:find "^%-%-%a" then
    return nil, ('unexpected "%s"; options are written --name value'):format(word)
  end
  local head, text = word:match "^([^=]+)=(.*)$"
  local option, on = find_option(declared, head or word)
  if not option then return nil, on end
  if option.type == "flag" then
    if text == nil then text = "true" end
    if text ~= "true" and text ~= "false" then
      return nil, ('%s is on or off: %s or --no-%s, got "%s"'):format(option.flag, option.flag,
        option.flag:sub(3), text)
    end
    values[option.name] = (text == "true") == on
    return 1
  end
  local used = 1
  if text == nil then
    if following == nil or following:find "^%-%-%a" then
      return nil, ("%s needs %s after it, got %s; write %s=VALUE"):format(option.flag,
        NEEDS[option.type], following or "nothing", option.flag)
    end
    text, used = following, 2
  end
  local value, problem = read_value(option, text)
  if value == nil then return nil, option.flag .. " " .. problem end
  values[option.name] = value
  return used
end

local function map_item(option, name)
  if type(option.map) ~= "table" then return option.map(name) end
  local object = option.map[name]
  if object == nil then return nil, ('has nothing for "%s"'):format(name) end
  return object
end

-- Replaces typed names by the objects they stand for.
local function map_values(declared, values)
  for _, option in ipairs(declared.list) do
    local typed = values[option.name]
    if option.map and typed ~= nil then
      local objects = {}
      for i, name in ipairs(option.list and typed or {typed}) do
        local object, problem = map_item(option, name)
        if object == nil then
          return nil, ("%s %s: %s"):format(option.flag, show(name), problem or "maps to nothing")
        end
        objects[i] = object
      end
      values[option.name] = option.list and objects or objects[1]
    end
  end
  return values
end

local function copy(t)
  local new = {}
  for key, value in pairs(t) do new[key] = value end
  return new
end

-- A value table refuses names that were never declared and remembers what was typed, and what of
-- it was given at all.
local function value_table(declared, values, typed, given)
  local function undeclared(_, key)
    if declared.by_name[key] then return nil end
    error(("%s: no option %s was declared"):format(declared.name, tostring(key)), 2)
  end
  return setmetatable(values, {declared = declared, typed = typed, given = given,
    __index = undeclared})
end

--- Reads command-line words against a declaration, without printing or exiting.
--- The last of repeated options wins. Dashes and underscores in names are the same.
---@param declared table from `declare`
---@param words string[] usually the global `arg`
---@return table? values by name (lower_snake); nil when there is a text to show instead
---@return string? text the help page, or one sentence that says what is wrong
---@return integer? code exit status that goes with the text: 0 for help, 2 for a mistake
--- Example:
---     local options = require "lua_equi.options"
---     local declared = options.declare {name = "run.lua", {"steps", 10, min = 1}}
---     print(options.read(declared, {"--step", "20"}))
---     --> nil run.lua: no option --step; did you mean --steps?; --help lists them 2
function options.read(declared, words)
  local values, given = {}, {}
  for _, word in ipairs(words) do
    if word == "--help" or word == "-h" then return nil, options.help(declared), 0 end
  end
  local at = 1
  while at <= #words do
    local used, problem = read_word(declared, given, words[at], words[at + 1])
    if not used then return nil, declared.name .. ": " .. problem, 2 end
    at = at + used
  end
  for _, option in ipairs(declared.list) do
    local value = given[option.name]
    if value == nil then value = option.default end
    values[option.name] = type(value) == "table" and copy(value) or value
  end
  local typed = copy(values)
  local mapped, problem = map_values(declared, values)
  if not mapped then return nil, declared.name .. ": " .. problem, 2 end
  return value_table(declared, mapped, typed, given)
end

--- Reads the command line of a script; on `--help` prints the page and exits with 0, on a mistake
--- prints one sentence to stderr and exits with 2.
---@param declared table from `declare`
---@param words string[]? default: the global `arg`
---@return table values
--- Example:
---     local options = require "lua_equi.options"
---     local declared = options.declare {name = "run.lua", {"steps", 10, min = 1}}
---     print(options.parse(declared, {"--steps", "20"}).steps)   --> 20
function options.parse(declared, words)
  local values, text, code = options.read(declared, words or arg or {})
  if values then return values end
  local out = code == 0 and io.stdout or io.stderr
  out:write(text, "\n")
  return os.exit(code, true)
end

--- The help page of a declaration: groups in the order declared, aligned, with ranges and defaults.
---@param declared table
---@return string page without a final line break
--- Example:
---     local options = require "lua_equi.options"
---     local declared = options.declare {name = "run.lua", doc = "Runs.",
---       {"steps", 10, min = 1, doc = "how far"}}
---     print(options.help(declared):match "(%-%-steps.-)\n")
---     --> --steps N  how far [at least 1; default 10]
function options.help(declared) return page(declared, range_text, show) end

--- Other defaults, such as those of a shortened run: they are taken where the command line says
--- nothing, what was given there stays.
---@param values table from `parse` or `read`; changed
---@param defaults table<string, any> by name
---@return table values the same
--- Example:
---     local options = require "lua_equi.options"
---     local declared = options.declare {name = "run.lua", {"steps", 1000}, {"batch", 1}}
---     local opt = options.read(declared, {"--steps", "50"})
---     options.preset(opt, {steps = 10, batch = 32})
---     print(opt.steps, opt.batch)   --> 50 32
function options.preset(values, defaults)
  local given = getmetatable(values).given
  for name, value in pairs(defaults) do
    if given[name] == nil then values[name] = value end
  end
  return values
end

--- The values as a plain table of booleans, numbers, strings and lists, for a checkpoint or a log.
--- Mapped options appear as they were typed; options declared with `saved = false` are left out.
---@param values table from `parse` or `read`
---@return table plain
--- Example:
---     local options = require "lua_equi.options"
---     local declared = options.declare {name = "run.lua",
---       {"group", "two", choices = {"one", "two"}, map = {one = {1}, two = {1, 2}}}}
---     local opt = options.read(declared, {})
---     print(#opt.group, options.describe(opt).group)   --> 2 two
function options.describe(values)
  local meta = getmetatable(values)
  if type(meta) ~= "table" or not meta.declared then
    error("options.describe: give the table that options.parse or options.read returned", 2)
  end
  local plain = {}
  for _, option in ipairs(meta.declared.list) do
    if option.saved ~= false then
      local value = option.map and meta.typed[option.name] or rawget(values, option.name)
      plain[option.name] = type(value) == "table" and copy(value) or value
    end
  end
  return plain
end

--- Which options differ between a checkpoint and this run.
---@param saved table from `describe`, as stored
---@param current table from `describe`
---@return table list of {name, saved value, current value}, by name
---@return string? text one clause for a message; nil when nothing differs
--- Example:
---     local options = require "lua_equi.options"
---     local list, text = options.differences({rate = 0.1, seed = 1}, {rate = 0.2, seed = 1})
---     print(#list, text)   --> 1 rate was 0.1, is 0.2
function options.differences(saved, current)
  local all = copy(saved)
  for name, value in pairs(current) do all[name] = value end
  local list, texts = {}, {}
  for _, name in ipairs(sorted_keys(all)) do
    if show(saved[name]) ~= show(current[name]) and saved[name] ~= current[name] then
      local function said(value) return value == nil and "absent" or show(value) end
      list[#list + 1] = {name, saved[name], current[name]}
      texts[#texts + 1] = ("%s was %s, is %s"):format(name, said(saved[name]), said(current[name]))
    end
  end
  return list, #list > 0 and table.concat(texts, "; ") or nil
end

return options
