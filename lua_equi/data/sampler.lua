--- Which example comes next: shuffled epochs, or independent draws.
--
-- The order depends on the seed alone, and the whole state is a few integers that fit a checkpoint:
-- an epoch's permutation is not stored but made again from the generator's state at its beginning.
local options = require "lua_equi.options"
local random = require "lua_equi.data.random"

local sampler = {}

local methods = {}
methods.__index = methods
methods.__name = "data.sampler"

local function begin_epoch(self)
  self.start = self.random:state()
  local order = self.order
  for i = 1, self.size do order[i] = i end
  self.random:shuffle(order)
  self.at = 0
end

--- A sampler of the positions 1 .. size.
---
--- Without `replace`, every epoch is a permutation of its own; with it each draw is independent.
---
--- Example:
---     local s = equi.data.sampler.new(3, {seed = 1})
---     print(s:next() + s:next() + s:next())   --> 6
---@param size integer at least 1
---@param opts? {seed: integer, replace: boolean} default seed 0, replace false
---@return table sampler
function sampler.new(size, opts)
  local o = options.check("sampler.new", opts, {seed = 0, replace = false})
  if math.type(size) ~= "integer" or size < 1 then
    error(("sampler.new: size must be a whole number of at least 1, got %s"):format(
      tostring(size)), 2)
  end
  local self = setmetatable({size = size, replace = o.replace, random = random.new(o.seed),
    drawn = 0, order = {}}, methods)
  if not o.replace then begin_epoch(self) end
  return self
end

--- The next position.
---
--- Example:
---     local s = equi.data.sampler.new(1, {replace = true})
---     print(s:next())   --> 1
---@return integer from 1 to size
function methods:next()
  self.drawn = self.drawn + 1
  if self.replace then return self.random:integer(self.size) end
  local at = self.at
  if at == self.size then
    begin_epoch(self)
    at = 0
  end
  self.at = at + 1
  return self.order[at + 1]
end

--- The next `count` positions as a list; it may reach into the next epoch.
---
--- Example:
---     print(#equi.data.sampler.new(3):batch(5))   --> 5
---@param count integer
---@return integer[]
function methods:batch(count)
  local list = {}
  for i = 1, count do list[i] = self:next() end
  return list
end

--- How many times the whole set was drawn, as a fraction.
---
--- Example:
---     local s = equi.data.sampler.new(4)
---     s:batch(6)
---     print(s:epoch())   --> 1.5
---@return number
function methods:epoch() return self.drawn / self.size end

--- A plain table of integers, for a checkpoint.
---
--- Example:
---     print(equi.data.sampler.new(4):state_dict().drawn)   --> 0
---@return table
function methods:state_dict()
  return {size = self.size, replace = self.replace, drawn = self.drawn, at = self.at,
    random = self.replace and self.random:state() or self.start}
end

local function kind(s) return s.replace and "with replacement" or "in shuffled epochs" end

--- How a saved state differs from this sampler's, in clauses; empty when it fits.
---
--- Example:
---     local a, b = equi.data.sampler.new(3), equi.data.sampler.new(4)
---     print(#a:differences(b:state_dict()))   --> 1
---@param saved table
---@return string[]
function methods:differences(saved)
  if saved.size == self.size and saved.replace == self.replace then return {} end
  return {("the saved sampler draws from %s %s, this one from %d %s"):format(tostring(saved.size),
    kind(saved), self.size, kind(self))}
end

--- Continues where the sampler was whose state_dict this is. Raises if it was of another set.
---
--- Example:
---     local a, b = equi.data.sampler.new(9, {seed = 1}), equi.data.sampler.new(9, {seed = 2})
---     a:batch(5)
---     b:load_state_dict(a:state_dict())
---     print(a:next() == b:next())   --> true
---@param saved table
function methods:load_state_dict(saved)
  local problem = self:differences(saved)[1]
  if problem then error("sampler: " .. problem, 2) end
  self.random:restore(saved.random)
  if not self.replace then
    begin_epoch(self)
    self.at = saved.at
  end
  self.drawn = saved.drawn
end

return sampler
