--- SCAN: navigation commands and the actions they mean (Lake and Baroni, ICML 2018; templates:
--- Loula, Baroni and Lake, 2018).
--
--   C -> S and S | S after S | S;  S -> V twice | V thrice | V;  V -> D opposite | D around | D | U
--   D -> U left | U right | turn left | turn right;             U -> walk | look | run | jump
--
-- All 20,910 commands and every split that follows a rule are made here, without a file; they are
-- the official ones line for line, up to order. The random "simple" split alone has the official
-- sizes but its own draw. A pair is {input = command, output = actions}, both texts; actions are
-- written without the files' "I_" (JUMP, TURN_LEFT).
-- Not here: the filler, few-shot and added-examples variants.

local options = require "lua_equi.options"
local random = require "lua_equi.data.random"
local vocabulary = require "lua_equi.data.vocabulary"

local scan = {}

--- The four verbs, in the order in which the cyclic verb group turns them.
scan.verbs = {"walk", "look", "run", "jump"}

--- The two directions.
scan.directions = {"left", "right"}

local ACTION = {walk = "WALK", look = "LOOK", run = "RUN", jump = "JUMP", left = "TURN_LEFT",
  right = "TURN_RIGHT"}

-- The 34 V-phrases, as {input, output}.
local function verb_phrases()
  local list = {}
  local function add(input, ...) list[#list + 1] = {input, table.concat({...}, " ")} end
  for _, verb in ipairs(scan.verbs) do add(verb, ACTION[verb]) end
  for _, side in ipairs(scan.directions) do
    local turn = ACTION[side]
    add("turn " .. side, turn)
    add("turn opposite " .. side, turn, turn)
    add("turn around " .. side, turn, turn, turn, turn)
    for _, verb in ipairs(scan.verbs) do
      local act = ACTION[verb]
      add(verb .. " " .. side, turn, act)
      add(verb .. " opposite " .. side, turn, turn, act)
      add(verb .. " around " .. side, turn, act, turn, act, turn, act, turn, act)
    end
  end
  return list
end

-- The 102 S-phrases in a fixed order, and what each means.
local function make_phrases()
  local list, meaning = {}, {}
  for _, v in ipairs(verb_phrases()) do
    local once = v[2]
    for _, s in ipairs {{v[1], once}, {v[1] .. " twice", once .. " " .. once},
      {v[1] .. " thrice", once .. " " .. once .. " " .. once}} do
      list[#list + 1] = s[1]
      meaning[s[1]] = s[2]
    end
  end
  return list, meaning
end

local PHRASES, MEANING = make_phrases()

local function combine(first, word, second)
  if word == "and" then return first .. " " .. second end
  return second .. " " .. first
end

--- What a command means.
---@param command string
---@return string? actions nil when it is not a command
---@return string? message
--- Example:
---     local scan = require "lua_equi.data.scan"
---     print(scan.interpret "jump after turn left twice")   --> TURN_LEFT TURN_LEFT JUMP
---     print((select(2, scan.interpret "jump high")):match ";.*")
---     --> ; "high" is the first word that does not fit
function scan.interpret(command)
  if type(command) ~= "string" then
    error(("scan.interpret: the command must be a text, got a %s"):format(type(command)), 2)
  end
  if MEANING[command] then return MEANING[command] end
  for _, word in ipairs {"and", "after"} do
    local first, second = command:match("^(.-) " .. word .. " (.*)$")
    if MEANING[first] and MEANING[second] then
      return combine(MEANING[first], word, MEANING[second])
    end
  end
  -- The longest beginning that some command shares tells which word is wrong.
  local begins, phrase = {}, {}
  for _, p in ipairs(PHRASES) do
    local so_far = ""
    for word in p:gmatch "%S+" do
      so_far = so_far .. " " .. word
      begins[so_far] = true
    end
  end
  local joined = false
  for word in command:gmatch "%S+" do
    phrase[#phrase + 1] = word
    local text = " " .. table.concat(phrase, " ")
    if not begins[text] then
      local before = table.concat(phrase, " ", 1, #phrase - 1)
      if joined or not MEANING[before] or (word ~= "and" and word ~= "after") then
        return nil, ('scan.interpret: no such command: "%s"; "%s" is the first word that does not '
          .. "fit"):format(command, word)
      end
      joined, phrase = true, {}
    end
  end
  return nil, ('scan.interpret: no such command: "%s"; it is not complete, or not words with one '
    .. "space between"):format(command)
end

local all -- made at the first call, then shared: nobody may change a pair

--- All 20,910 commands with their actions, in a fixed order: single phrases, then pairs of them.
---@return table[] pairs a new list of {input, output}; the pairs themselves are shared
--- Example:
---     local scan = require "lua_equi.data.scan"
---     local pairs = scan.generate()
---     print(#pairs, pairs[1].input, pairs[1].output)   --> 20910 walk WALK
function scan.generate()
  if not all then
    all = {}
    for i, p in ipairs(PHRASES) do all[i] = {input = p, output = MEANING[p]} end
    for _, p in ipairs(PHRASES) do
      for _, q in ipairs(PHRASES) do
        for _, word in ipairs {"and", "after"} do
          all[#all + 1] = {input = p .. " " .. word .. " " .. q,
            output = combine(MEANING[p], word, MEANING[q])}
        end
      end
    end
  end
  return table.move(all, 1, #all, 1, {})
end

local function count_words(text)
  return select(2, text:gsub("%S+", ""))
end

-- A rule says of a pair: "train", "test" or nil (in neither).
local function by_length(pair)
  return count_words(pair.output) <= 22 and "train" or "test"
end

-- Everything with `phrase` is for the test, except the bare phrase, which is for training.
local function by_primitive(phrase)
  return function(pair)
    if pair.input == phrase then return "train" end
    return pair.input:find(phrase, 1, true) and "test" or "train"
  end
end

-- Commands with `turn <rest>` are left out, those with `U <rest>` for some verb are the test.
local function by_template(rest, verbs)
  return function(pair)
    if pair.input:find("turn " .. rest, 1, true) then return nil end
    for _, verb in ipairs(verbs) do
      if pair.input:find(verb .. " " .. rest, 1, true) then return "test" end
    end
    return "train"
  end
end

local RULES = {
  length = {rule = by_length},
  add_jump = {rule = by_primitive "jump", repeated = "jump", times = 1467},
  add_turn_left = {rule = by_primitive "turn left", repeated = "turn left", times = 2189},
  around_right = {rule = by_template("around right", scan.verbs)},
  opposite_right = {rule = by_template("opposite right", scan.verbs)},
  right = {rule = by_template("right", scan.verbs)},
  jump_around_right = {rule = by_template("around right", {"jump"})},
}

--- Names of the splits, for choices of an option.
scan.splits = {"simple", "length", "add_jump", "add_turn_left", "around_right", "opposite_right",
  "right", "jump_around_right"}

local SIMPLE_TRAIN = 16728

local function copy(list)
  return table.move(list, 1, #list, 1, {})
end

--- The training and test pairs of a split.
---
--- simple 16,728 / 4,182 (drawn by `seed`; the sizes are the official ones, the draw is not) ·
--- length 16,990 / 3,920 · add_jump 14,670 / 7,706 ("jump" 1,467 times in training) ·
--- add_turn_left 21,890 / 1,208 ("turn left" 2,189 times) · around_right, opposite_right, right
--- 15,225 / 4,476 · jump_around_right 18,528 / 1,173. Repetitions are those of the official files.
---@param name string one of `scan.splits`
---@param given? {seed: integer} of the simple split, default 0
---@return table[] train
---@return table[] test
--- Example:
---     local scan = require "lua_equi.data.scan"
---     local train, test = scan.split "add_jump"
---     print(#train, #test)   --> 14670 7706
function scan.split(name, given)
  local o = options.check("scan.split", given, {seed = 0})
  local list = scan.generate()
  if name == "simple" then
    random.new(o.seed):shuffle(list)
    return table.move(list, 1, SIMPLE_TRAIN, 1, {}),
      table.move(list, SIMPLE_TRAIN + 1, #list, 1, {})
  end
  local split = RULES[name]
  if not split then
    error(("scan.split: no split %q; splits are %s"):format(tostring(name),
      table.concat(scan.splits, ", ")), 2)
  end
  local parts = {train = {}, test = {}}
  for _, pair in ipairs(list) do
    local part = parts[split.rule(pair)]
    if part then
      for _ = 1, pair.input == split.repeated and split.times or 1 do part[#part + 1] = pair end
    end
  end
  return parts.train, parts.test
end

--- Holds out a part of some pairs for validation, drawn by `seed`; lines that repeat are drawn as
--- lines, so a repeated pair is in both parts.
---@param list table[]
---@param given? {fraction: number, seed: integer} default 0.2 and 0
---@return table[] train
---@return table[] validation floor(fraction * count) pairs
--- Example:
---     local scan = require "lua_equi.data.scan"
---     local train, validation = scan.holdout(scan.generate())
---     print(#train, #validation)   --> 16728 4182
function scan.holdout(list, given)
  local o = options.check("scan.holdout", given, {fraction = 0.2, seed = 0})
  if not (o.fraction >= 0 and o.fraction < 1) then
    error(("scan.holdout: fraction must be at least 0 and below 1, got %s"):format(o.fraction), 2)
  end
  local shuffled = random.new(o.seed):shuffle(copy(list))
  local n = #list - math.floor(o.fraction * #list)
  return table.move(shuffled, 1, n, 1, {}), table.move(shuffled, n + 1, #list, 1, {})
end

--- Unpacks a .gz file: a function of the path that returns the text, or nil and a message. This
--- one runs gzip; another may be put in its place.
---@param path string
---@return string? text
---@return string? message
--- Example:
---     local scan = require "lua_equi.data.scan"
---     print(scan.gunzip "no/such.gz")   --> nil no/such.gz: No such file or directory
function scan.gunzip(path)
  local file, problem = io.open(path, "rb")
  if not file then return nil, problem end
  file:close()
  -- The shell opens the file, so that a path that begins with "-" is no option of gzip.
  local quoted = "'" .. path:gsub("'", "'\\''") .. "'"
  local started, pipe = pcall(io.popen, "gzip -dc 2>/dev/null <" .. quoted)
  if not started or not pipe then return nil, path .. ": this Lua cannot start gzip" end
  local text = pipe:read "a"
  local ok, _, code = pipe:close()
  if ok then return text end
  if code == 127 then return nil, path .. ": gzip is not installed; unpack the file first" end
  return nil, path .. ": gzip refuses it: not a .gz file, or cut off"
end

--- The text of a file, plain or .gz.
---@param path string
---@return string? text
---@return string? message
--- Example:
---     local scan = require "lua_equi.data.scan"
---     print(scan.read_text "no/such")   --> nil no/such: No such file or directory
function scan.read_text(path)
  if path:find "%.gz$" then return scan.gunzip(path) end
  local file, problem = io.open(path, "rb")
  if not file then return nil, problem end
  local text
  text, problem = file:read "a"
  file:close()
  if not text then return nil, path .. ": " .. problem end
  return text
end

local function read_line(line)
  local input, output = line:match "^IN: (%l[%l ]*%l) OUT: (I_[%u_ ]*%u)$"
  if not input or (input .. output):find("  ", 1, true) then return nil end
  for word in output:gmatch "%S+" do
    if not word:find "^I_%u" then return nil end
  end
  return {input = input, output = (" " .. output):gsub(" I_", " "):sub(2)}
end

--- Reads an official file: a line a pair, `IN: jump twice OUT: I_JUMP I_JUMP`; plain or .gz.
---@param path string
---@return table[]? pairs nil when it cannot be read or a line is not of that form
---@return string? message with the line's number
--- Example:
---     local scan = require "lua_equi.data.scan"
---     print(scan.read "no/tasks.txt")
---     --> nil scan.read: no/tasks.txt: No such file or directory
function scan.read(path)
  local text, problem = scan.read_text(path)
  if not text then return nil, "scan.read: " .. problem end
  local list, at = {}, 1
  while at <= #text do
    local stop = text:find("\n", at, true) or #text + 1
    local line = text:sub(at, stop - 1):gsub("\r$", "")
    local pair = read_line(line)
    if not pair then
      return nil, ('scan.read: %s: line %d is %q, not "IN: words OUT: I_ACTIONS"'):format(path,
        #list + 1, line:sub(1, 60))
    end
    list[#list + 1], at = pair, stop + 1
  end
  if #list == 0 then return nil, ("scan.read: %s: no lines"):format(path) end
  return list
end

--- A pair as a line of the official files, without the line break.
---@param pair table {input, output}
---@return string line
--- Example:
---     local scan = require "lua_equi.data.scan"
---     print(scan.line {input = "turn left", output = "TURN_LEFT"})
---     --> IN: turn left OUT: I_TURN_LEFT
function scan.line(pair)
  return ("IN: %s OUT: %s"):format(pair.input, (pair.output:gsub("%S+", "I_%0")))
end

--- The vocabularies of some pairs, words in the order of first appearance after SOS, EOS.
---@param list? table[] default: all commands, 13 + 2 and 6 + 2 words in a fixed order
---@return table input
---@return table output
--- Example:
---     local scan = require "lua_equi.data.scan"
---     local input, output = scan.vocabularies()
---     print(#input, #output)   --> 15 8
function scan.vocabularies(list)
  local inputs, outputs = {}, {}
  for i, pair in ipairs(list or scan.generate()) do
    inputs[i], outputs[i] = pair.input, pair.output
  end
  return vocabulary.from_texts(inputs), vocabulary.from_texts(outputs)
end

--- A renaming of verbs or directions, in commands and actions alike. Every such renaming is an
--- exact symmetry of SCAN: interpret(rename(c)) = rename(interpret(c)) for all 20,910 commands.
--- Raises unless it is one to one and keeps verbs verbs and directions directions.
---@param map table<string, string> command words, e.g. {jump = "run", run = "jump"}
---@return table {input = map, output = map} plain tables; words not named stay
--- Example:
---     local scan = require "lua_equi.data.scan"
---     print(scan.rename({left = "right", right = "left"}).output.TURN_LEFT)   --> TURN_RIGHT
function scan.rename(map)
  local kind, from, both = {}, {}, {input = {}, output = {}}
  for _, verb in ipairs(scan.verbs) do kind[verb] = "verb" end
  for _, side in ipairs(scan.directions) do kind[side] = "direction" end
  for word, target in pairs(map) do
    if not kind[word] or kind[word] ~= kind[target] then
      error(('scan.rename: "%s" cannot become "%s"; verbs are %s, directions %s'):format(
        tostring(word), tostring(target), table.concat(scan.verbs, ", "),
        table.concat(scan.directions, ", ")), 2)
    end
    both.input[word], both.output[ACTION[word]] = target, ACTION[target]
    from[target] = word
  end
  for word in pairs(map) do
    if not from[word] then
      error(('scan.rename: not one to one: nothing becomes "%s"'):format(word), 2)
    end
  end
  return both
end

--- The exchange of two verbs, or of left and right.
---@param a string
---@param b string
---@return table {input = map, output = map}
--- Example:
---     local scan = require "lua_equi.data.scan"
---     print(scan.swap("jump", "run").input.jump)   --> run
function scan.swap(a, b)
  local both = scan.rename {[a] = b, [b] = a}
  return both
end

--- The words of a text, renamed.
---@param map table<string, string> one side of a renaming
---@param text string
---@return string
--- Example:
---     local scan = require "lua_equi.data.scan"
---     print(scan.apply(scan.swap("jump", "run").input, "jump twice"))   --> run twice
function scan.apply(map, text)
  return (text:gsub("%S+", map))
end

local CYCLE = scan.rename {walk = "look", look = "run", run = "jump", jump = "walk"}
local JUMP_RUN, LEFT_RIGHT = scan.swap("jump", "run"), scan.swap("left", "right")

--- Symmetry groups by name: the order of the group and renamings that generate it.
--- jump_run and left_right have order 2; verb_cycle is cyclic of order 4; verb_cycle_left_right
--- its product with left_right, 8; verbs is every permutation of the verbs, 24; full its product
--- with left_right, 48.
---@type table<string, table>
--- Example:
---     local scan = require "lua_equi.data.scan"
---     print(scan.symmetries.verb_cycle.order, #scan.symmetries.full.generators)   --> 4 3
scan.symmetries = {
  jump_run = {order = 2, generators = {JUMP_RUN}},
  left_right = {order = 2, generators = {LEFT_RIGHT}},
  verb_cycle = {order = 4, generators = {CYCLE}},
  verb_cycle_left_right = {order = 8, generators = {CYCLE, LEFT_RIGHT}},
  verbs = {order = 24, generators = {CYCLE, JUMP_RUN}},
  full = {order = 48, generators = {CYCLE, JUMP_RUN, LEFT_RIGHT}},
}

return scan
