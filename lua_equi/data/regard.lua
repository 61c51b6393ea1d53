--- Sentences about people, labelled by the regard in which the person is held (Sheng, Chang,
--- Natarajan and Peng, "The woman worked as a babysitter", EMNLP 2019).
--
-- A file has one sentence a line: the label, a tab, the text with the person masked as XYZ. Labels
-- are -1 negative, 0 neutral, 1 positive and 2 other; classes count from 1 in the same order.
-- An example is {text =, label =}. NOT here: the classifier (scripts/train_regard.lua), and the
-- study of a language model with it (lua_equi/fairness/regard.lua).
local options = require "lua_equi.options"
local people = require "lua_equi.data.people"
local scan = require "lua_equi.data.scan"

local regard = {}

--- The labels in files, in the order of the classes.
regard.labels = {-1, 0, 1, 2}

--- What the labels are called, in the same order.
regard.names = {"negative", "neutral", "positive", "other"}

local CLASS_OF = {}
for class, label in ipairs(regard.labels) do
  CLASS_OF[label], CLASS_OF[regard.names[class]] = class, class
  CLASS_OF[tostring(label)] = class
end

--- The class of a label, from 1: of -1, "-1" or "negative" it is 1, and so on.
---@param label integer|string
---@return integer? class nil for anything else
--- Example:
---     local regard = require "lua_equi.data.regard"
---     print(regard.class(-1), regard.class "2", regard.class "positive", regard.class "good")
---     --> 1 4 3 nil
function regard.class(label)
  if type(label) == "string" then label = label:lower() end
  return label ~= nil and CLASS_OF[label] or nil
end

--- The lines of a text file, plain or .gz, without their ends and without empty ones at the end.
---@param path string
---@return string[]? lines nil when it cannot be read, or holds none
---@return string? message
--- Example:
---     local regard = require "lua_equi.data.regard"
---     print(regard.lines "no/such.tsv")   --> nil no/such.tsv: No such file or directory
function regard.lines(path)
  local text, problem = scan.read_text(path)
  if not text then return nil, problem end
  local list = {}
  for line in (text:gsub("%s+$", "") .. "\n"):gmatch "([^\n]*)\n" do
    list[#list + 1] = line:gsub("\r$", "")
  end
  if #list == 1 and list[1] == "" then return nil, path .. ": no lines" end
  return list
end

-- What is wrong with a line, or the example.
local function read_line(line, largest)
  local word, text = line:match "^([^\t]*)\t(.*)$"
  if not word then
    return nil, ("%q has no tab; a line is a label, a tab and a text"):format(line:sub(1, 40))
  end
  local label = math.tointeger(tonumber(word))
  if not label or not CLASS_OF[label] or CLASS_OF[label] > largest then
    return nil, ('the label is "%s"; labels are %s'):format(word:sub(1, 20),
      table.concat(regard.labels, ", ", 1, largest))
  end
  if not text:find "%S" then return nil, "there is no text behind the label" end
  if not utf8.len(text) then return nil, "the text is not UTF-8" end
  return {label = label, text = text}
end

--- Reads a file of labelled sentences: label, tab, text; plain or .gz.
---@param path string
---@param given? {other: boolean} other = false refuses the label 2
---@return table[]? examples list of {label, text}; nil when it cannot be read or a line is wrong
---@return string? message with the line's number
--- Example:
---     local path = os.tmpname()
---     local f = io.open(path, "w")
---     f:write("1\tXYZ was known for being kind.\n3\tXYZ worked as a cook.\n")
---     f:close()
---     print((select(2, require("lua_equi.data.regard").read(path)):match "line.*"))
---     --> line 2: the label is "3"; labels are -1, 0, 1, 2
---     os.remove(path)
function regard.read(path, given)
  local o = options.check("regard.read", given, {other = true})
  local lines, problem = regard.lines(path)
  if not lines then return nil, "regard.read: " .. problem end
  local list = {}
  for i, line in ipairs(lines) do
    local example, wrong = read_line(line, o.other and 4 or 3)
    if not example then
      return nil, ("regard.read: %s: line %d: %s"):format(path, i, wrong)
    end
    list[i] = example
  end
  return list
end

--- Labelled sentences of our own, from a seed: those of equi.data.people, masked.
---@param given? {n: integer, seed: integer} default 1000 and 0
---@return table[] examples list of {label, text}
--- Example:
---     local list = require("lua_equi.data.regard").generated {n = 2, seed = 1}
---     print(#list, list[1].text:sub(1, 4))   --> 2 XYZ
function regard.generated(given)
  local o = options.check("regard.generated", given, {n = 1000, seed = 0})
  local list = {}
  for i, s in ipairs(people.sentences(o)) do list[i] = {label = s.label, text = s.masked} end
  return list
end

--- How many examples there are of each class.
---@param list table[] examples
---@return integer[] counts four, in the order of the classes
--- Example:
---     local regard = require "lua_equi.data.regard"
---     print(table.concat(regard.counts {{label = 0, text = ""}, {label = 2, text = ""}}, " "))
---     --> 0 1 0 1
function regard.counts(list)
  local counts = {0, 0, 0, 0}
  for i, example in ipairs(list) do
    local class = regard.class(example.label)
    if not class then
      error(("regard.counts: example %d has the label %s; labels are %s"):format(i,
        tostring(example.label), table.concat(regard.labels, ", ")), 2)
    end
    counts[class] = counts[class] + 1
  end
  return counts
end

return regard
