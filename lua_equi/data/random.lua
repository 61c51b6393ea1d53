--- Random numbers for choosing and shuffling data, in plain Lua.
--
-- xoshiro256** (Blackman and Vigna 2018), its state filled by splitmix64 from one integer. The
-- same seed gives the same numbers on every machine, whatever else draws random numbers, and the
-- state is four integers that fit a checkpoint. Not for weights or dropout (tensors have their
-- own generator), and not for secrets.

local random = {}

local generator = {}
generator.__index = generator
generator.__name = "data.random"

local function rotate(x, k)
  return (x << k) | (x >> (64 - k))
end

-- One step of splitmix64. Returns the new state and a number.
local function splitmix(state)
  state = state + 0x9e3779b97f4a7c15
  local z = (state ~ (state >> 30)) * 0xbf58476d1ce4e5b9
  z = (z ~ (z >> 27)) * 0x94d049bb133111eb
  return state, z ~ (z >> 31)
end

--- A generator of random numbers.
---@param seed? integer default 0
---@return table generator with bits, integer, uniform, shuffle, state and restore
--- Example:
---     local random = require "lua_equi.data.random"
---     local a, b = random.new(7), random.new(7)
---     print(a:integer(1000) == b:integer(1000))   --> true
function random.new(seed)
  local state = math.tointeger(seed or 0)
  if not state then
    error(("random.new: the seed must be an integer, got %s"):format(tostring(seed)), 2)
  end
  local g = setmetatable({}, generator)
  for i = 1, 4 do state, g[i] = splitmix(state) end
  return g
end

--- The next 64 random bits as an integer, negative in half of the cases.
---@return integer
--- Example:
---     local g = require("lua_equi.data.random").new(1)
---     g:restore {1, 2, 3, 4}
---     print(g:bits())   --> 11520
function generator:bits()
  local s2 = self[2]
  local result = rotate(s2 * 5, 7) * 9
  local c, d = self[3] ~ self[1], self[4] ~ s2
  self[2], self[1] = s2 ~ c, self[1] ~ d
  self[3], self[4] = c ~ (s2 << 17), rotate(d, 45)
  return result
end

--- A random integer from 1 to n, all equally likely.
---@param n integer at least 1
---@return integer
--- Example:
---     local g = require("lua_equi.data.random").new(1)
---     print(g:integer(1))   --> 1
function generator:integer(n)
  if math.type(n) ~= "integer" or n < 1 then
    error(("random: integer(n) needs n of at least 1, got %s"):format(tostring(n)), 2)
  end
  -- The lowest all-ones mask that covers n - 1; draws above it are repeated, so none is favoured.
  local mask, shift = n - 1, 1
  while shift < 64 do
    mask, shift = mask | (mask >> shift), shift * 2
  end
  local x
  repeat x = self:bits() & mask until x < n
  return x + 1
end

--- A random float, at least 0 and below 1, with 53 random bits.
---@return number
--- Example:
---     local g = require("lua_equi.data.random").new(1)
---     local x = g:uniform()
---     print(x >= 0 and x < 1)   --> true
function generator:uniform()
  return (self:bits() >> 11) * 0x1p-53
end

--- Shuffles a list in place (Fisher and Yates).
---@param list table
---@return table list the same table
--- Example:
---     local g = require("lua_equi.data.random").new(1)
---     print(#g:shuffle {"a", "b", "c"})   --> 3
function generator:shuffle(list)
  for i = #list, 2, -1 do
    local j = self:integer(i)
    list[i], list[j] = list[j], list[i]
  end
  return list
end

--- The state as a list of four integers, for a checkpoint.
---@return integer[]
--- Example:
---     local g = require("lua_equi.data.random").new(1)
---     local state = g:state()
---     local x = g:bits()
---     print(g:restore(state):bits() == x)   --> true
function generator:state()
  return {self[1], self[2], self[3], self[4]}
end

--- Continues from a state that `state` returned.
---@param state integer[]
---@return table generator itself
--- Example:
---     local g = require("lua_equi.data.random").new(1)
---     print(g:restore({1, 2, 3, 4}) == g)   --> true
function generator:restore(state)
  local ok = type(state) == "table" and #state == 4
  for i = 1, 4 do ok = ok and math.type(state[i]) == "integer" end
  if not ok or state[1] | state[2] | state[3] | state[4] == 0 then
    error("random: a state is a list of four integers, not all 0", 2)
  end
  for i = 1, 4 do self[i] = state[i] end
  return self
end

return random
