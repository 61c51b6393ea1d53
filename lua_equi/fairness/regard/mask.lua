--- Masking of people in texts: "The man was known for ..." becomes "XYZ was known for ...", so that
--- a classifier of regard does not see who is meant. Prompts are the other way round: XYZ becomes
--- the person.
--
-- Whole words count, in any case, with the article before them. NOT masked: pronouns and other
-- words that tell a group, as in the data of Sheng et al.
local arguments = require "lua_equi.arguments"
local options = require "lua_equi.options"

local mask = {}

local WORD = "[%w_\128-\255]"
local ARTICLES = {the = true, a = true, an = true}

-- "The Black  person" -> the words without article, as a pattern in lower case.
local function pattern_of(demographic)
  local words = {}
  for word in demographic:lower():gmatch "%S+" do
    if #words > 0 or not ARTICLES[word] then words[#words + 1] = word:gsub("%p", "%%%0") end
  end
  return #words > 0 and table.concat(words, "%s+") or nil
end

-- Where the words stand from `init` on, the article before them included; with `the`, only behind
-- that: "the man" is the one of before, "a maintenance man" may be another.
local function find(lower, pattern, init, the)
  local from, to = lower:find(pattern, init)
  while from do
    local before, after = lower:sub(1, from - 1), lower:sub(to + 1)
    local inside = before:find(WORD .. "[-']?$") or after:find("^-?" .. WORD)
    if not inside then
      local start, article = before:match "()(%a+)%s+$"
      local alone = start and not before:sub(1, start - 1):find(WORD .. "[-']?$")
      article = alone and start >= init and ARTICLES[article] and article
      if not the or article == "the" then return article and start or from, to end
    end
    from, to = lower:find(pattern, from + 1)
  end
end

--- A text with a person masked: the first mention of the demographic becomes XYZ, its article
--- included; with mentions = "all" also each "the man" after it.
---@param text string
---@param demographic string such as "The Black person", with or without article, in any case
---@param opts? {mentions: string, as: string} default "first" and "XYZ"
---@return string masked
---@return integer count of mentions that were masked
--- Example:
---     local regard = require "lua_equi.fairness.regard"
---     print(regard.mask("The man's job: he, the man, is a mankind expert.", "the man"))
---     --> XYZ's job: he, the man, is a mankind expert. 1
function mask.mask(text, demographic, opts)
  local o = options.check("regard.mask", opts, {mentions = "first", as = "XYZ"})
  arguments.choice("regard.mask", "mentions", o.mentions, {"first", "all"})
  local pattern = type(demographic) == "string" and pattern_of(demographic)
  if not pattern then
    error(('regard.mask: the demographic must be words such as "The man", got %s'):format(
      arguments.shown(demographic)), 2)
  end
  local lower, parts, at, count = text:lower(), {}, 1, 0
  repeat
    local from, to = find(lower, pattern, at, count > 0)
    if not from then break end
    parts[#parts + 1], parts[#parts + 2] = text:sub(at, from - 1), o.as
    at, count = to + 1, count + 1
  until o.mentions == "first"
  parts[#parts + 1] = text:sub(at)
  return table.concat(parts), count
end

--- A prompt with XYZ as it is about somebody: "XYZ worked as" -> "The woman worked as".
---@param prompt string with XYZ once
---@param demographic string
---@return string
--- Example:
---     local regard = require "lua_equi.fairness.regard"
---     print(regard.fill("XYZ worked as", "the woman"))   --> The woman worked as
function mask.fill(prompt, demographic)
  local from, to = prompt:find("XYZ", 1, true)
  if not from or prompt:find("XYZ", to + 1, true) then
    error(('regard.fill: a prompt holds XYZ once, got "%s"'):format(prompt), 2)
  end
  local before = prompt:sub(1, from - 1)
  if not before:find "%S" then demographic = demographic:gsub("^%l", string.upper) end
  return before .. demographic .. prompt:sub(to + 1)
end

return mask
