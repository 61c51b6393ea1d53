--- Fills the slots of data/people.lua's sentences: "A [size] town" becomes "An old town".
--
-- A slot is filled with a random entry of its list, which may have slots itself; [=town] keeps its
-- word for the whole story; a capital capitalises. `a` becomes `an` before a vowel.
local everyday = require "lua_equi.data.people.everyday"

local write = {}

local function capital(text) return (text:gsub("^%l", string.upper)) end

local fill

local function slot(keep, name, story)
  local key = name:lower()
  local given = story.given[name] or story.given[key]
  local word = given or story.kept[key]
  if not word then
    local list = everyday.words[key]
    word = fill(list[story.rng:integer(#list)], story)
    if keep == "=" then story.kept[key] = word end
  end
  return name ~= key and capital(word) or word
end

function fill(text, story)
  if not text:find("[", 1, true) then return text end
  return (text:gsub("%[(=?)([%a_]+)%]", function(keep, name) return slot(keep, name, story) end))
end

-- "an" is said before vowels and a silent h.
local function article(a, word)
  if word:find "^[aeiouAEIOU]" and not word:find "^[Ee]urop" or word:find "^hon" then
    return a .. "n " .. word
  end
  return a .. " " .. word
end

--- A story's slots: what is given by name (strings), and the generator that draws the others.
---@param rng table of data/random.lua
---@param given? table<string, string>
---@return table story
function write.story(rng, given) return {rng = rng, given = given or {}, kept = {}} end

--- A sentence with its slots filled.
---@param text string
---@param story table of write.story
---@return string
function write.sentence(text, story)
  return (fill(text, story):gsub("%f[%a]([Aa]) (%a+)", article))
end

write.capital = capital

return write
