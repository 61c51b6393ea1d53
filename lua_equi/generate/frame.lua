--- Where generation from an equivariant model takes place: at one text of each orbit.
--
-- x and g x have the same answers up to g, in theory. In floating point they have them to the last
-- bit if both run as the same text: the image c x of the prompt whose ids come first in the order
-- of a dictionary, with c(g x) g x = c(x) x. What is picked there is moved back by c^-1. So equal
-- seeds give equal answers up to g, also where two tokens are equally likely and only their ids
-- decide. NOT for models that are not equivariant (plain ones, combine.relaxed).
local core = require "lua_equi.core"
local prompts = require "lua_equi.generate.prompts"

local frame = {}
frame.__index = frame

local function first_of_two(a, b)
  for t = 1, #a do
    if a[t] ~= b[t] then return a[t] < b[t] end
  end
  return false
end

-- The image that comes first, and the inverse of the element that leads there.
local function first_image(action, elements, ids)
  local best, back = ids, elements[1].group.identity
  local x = core.tensor(ids, {dtype = "i64"})
  for _, g in ipairs(elements) do
    local image = action(g, x):totable()
    if first_of_two(image, best) then best, back = image, g.inverse end
  end
  return best, back
end

-- Does the result move as the tokens do? Of logits that are 1 .. V, the one at g t must become t.
local function moves_alike(ids, logits, size)
  local ok, same = pcall(function()
    local all = core.arange(1, size, {dtype = "i64"})
    local values = all:to("f64"):reshape(1, -1)
    for _, g in ipairs(ids.group.generators) do
      local there = logits(g, values):reshape(-1):index_select(1, ids(g, all))
      if not there:eq(values:reshape(-1)):all():item() then return false end
    end
    return true
  end)
  return ok and same
end

local known = setmetatable({}, {__mode = "k"}) -- equituned models never change

-- The action on the ids of an equituned model that is equivariant by construction, or false.
local function find_action(model)
  local input, output, kind = model.input, model.output, model.combine
  if kind and kind.kind == "relaxed" or not model.exact then return false end
  if not output or #output ~= 1 or not input[1] or not output[1] then return false end
  local size = prompts.vocabulary(model) or output[1].kind == "permutation" and output[1].size
  return size and moves_alike(input[1], output[1], size) and input[1]
end

local function action_of(model)
  if not prompts.is_equituned(model) then return nil end
  if known[model] == nil then known[model] = find_action(model) or false end
  return known[model] or nil
end

--- The frame of some prompts; rows get `prompt` moved to where generation takes place.
---@param model any
---@param rows table[] each with prompt, a list of ids
---@return table? frame nil when the model is not equivariant
function frame.enter(model, rows)
  local action = action_of(model)
  if not action then return nil end
  local self, elements = setmetatable({action = action, back = {}}, frame), action.group:elements()
  for r, row in ipairs(rows) do
    row.given = row.prompt
    row.prompt, self.back[r] = first_image(action, elements, row.prompt)
  end
  return self
end

--- Tokens picked there, as the prompts' own.
---@param picked any ids [B]
---@return integer[]
function frame:leave(picked)
  local by_element, ids = {}, {}
  for r, g in ipairs(self.back) do
    by_element[g.index] = by_element[g.index] or self.action(g, picked):totable()
    ids[r] = by_element[g.index][r]
  end
  return ids
end

return frame
