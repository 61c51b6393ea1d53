--- Tensor methods that are plain Lua: splitting into lists, and shorthands.
--
-- Everything here is built from ops and so differentiable. Methods are added to the table that all
-- tensors share; `require "lua_equi"` loads this file.
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local printed = require "lua_equi.printed"
local elsewhere = require "lua_equi.elsewhere"

local methods = core.methods

-- The end of the message about a name that tensors do not have.
local function unknown(name)
  local names = {"shape", "dtype", "ndim", "grad", "requires_grad", "is_leaf", "grad_op"}
  for method in pairs(methods) do names[#names + 1] = method end
  table.sort(names)
  return elsewhere.hint("tensor", name, names) or "equi.help(x) lists them"
end

setmetatable(methods, {unknown = unknown})

-- x:METHOD(y.shape), whose message is told as that of `who`.
local function by_shape(who, method, x, y)
  if not core.is_tensor(x) or not core.is_tensor(y) then
    local name, v = "x", x
    if core.is_tensor(x) then name, v = "y", y end
    error(("%s: %s must be a tensor, got %s"):format(who, name, arguments.shown(v)), 3)
  end
  local ok, found = pcall(methods[method], x, y.shape)
  if ok then return found end
  error(type(found) == "string" and found:gsub("^.-" .. method .. ": ", who .. ": ", 1) or found, 3)
end

-- Reads a dim, given by place or as {dim = ...}.
local function check_dim(x, dim, who)
  if not core.is_tensor(x) then
    error(("%s: x must be a tensor, got %s"):format(who, type(x)), 3)
  end
  if type(dim) == "table" then
    for key in pairs(dim) do
      if key ~= "dim" then
        error(("%s: no option %q; options are dim"):format(who, tostring(key)), 3)
      end
    end
    dim = dim.dim
  end
  local n = x.ndim
  if n == 0 then error(who .. ": x is a single number and has no dims", 3) end
  local d = dim == nil and 1 or dim
  if math.type(d) ~= "integer" or d == 0 or d > n or d < -n then
    error(("%s: dim must be a whole number from 1 to %d (or -%d to -1), got %s")
      :format(who, n, n, tostring(d)), 3)
  end
  return d < 0 and d + n + 1 or d
end

local function check_count(value, who, name, least)
  if math.type(value) ~= "integer" or value < least then
    error(("%s: %s must be a whole number of at least %d, got %s")
      :format(who, name, least, tostring(value)), 3)
  end
end

--- Cuts a dim into parts: of one size each (the last may be smaller), or of the sizes in a list.
--- The parts are views.
---
--- Example:
---     local parts = equi.arange(5):split(2)
---     print(#parts, parts[3]:item())   --> 3 5
---@param x equi.Tensor
---@param size integer|integer[] size of each part, or the sizes of all parts
---@param dim? integer 1 by default
---@return equi.Tensor[] parts
function methods.split(x, size, dim)
  arguments.tensor("split", "x", x)
  dim = check_dim(x, dim, "split")
  local total = x:size(dim)
  local parts, at = {}, 1
  if type(size) == "table" then
    local sum = 0
    for _, n in ipairs(size) do
      check_count(n, "split", "each size", 0)
      sum = sum + n
    end
    if sum ~= total then
      error(("split: sizes add up to %d, dim %d has size %d"):format(sum, dim, total), 2)
    end
    for i, n in ipairs(size) do
      parts[i] = x:narrow(dim, at, n)
      at = at + n
    end
    return parts
  end
  check_count(size, "split", "size", 1)
  repeat
    parts[#parts + 1] = x:narrow(dim, at, math.min(size, total - at + 1))
    at = at + size
  until at > total
  return parts
end

--- Cuts a dim into at most `n` parts of equal size; the last may be smaller. Views.
---
--- Example:
---     print(#equi.zeros(7, 2):chunk(3))   --> 3
---@param x equi.Tensor
---@param n integer number of parts
---@param dim? integer 1 by default
---@return equi.Tensor[] parts
function methods.chunk(x, n, dim)
  arguments.tensor("chunk", "x", x)
  dim = check_dim(x, dim, "chunk")
  check_count(n, "chunk", "the number of parts", 1)
  return methods.split(x, math.max(1, (x:size(dim) + n - 1) // n), dim)
end

--- The entries of a dim as a list of tensors with one dim less. Views.
---
--- Example:
---     local rows = equi.eye(2):unbind()
---     print(#rows, rows[2]:size())   --> 2 2
---@param x equi.Tensor
---@param dim? integer 1 by default
---@return equi.Tensor[] entries
function methods.unbind(x, dim)
  arguments.tensor("unbind", "x", x)
  dim = check_dim(x, dim, "unbind")
  local entries = {}
  for i = 1, x:size(dim) do
    entries[i] = x:narrow(dim, i, 1):squeeze(dim)
  end
  return entries
end

--- x repeated as a view to the shape of another tensor: `x:expand(y:size())`.
---
--- Example:
---     print(equi.ones(3, 1):expand_as(equi.zeros(3, 4)):size())   --> 3 4
---@param x equi.Tensor
---@param y equi.Tensor
---@return equi.Tensor
function methods.expand_as(x, y)
  local z = by_shape("expand_as", "expand", x, y)
  return z
end

--- x with the shape of another tensor and the same elements: `x:reshape(y:size())`.
---
--- Example:
---     print(equi.ones(6):view_as(equi.zeros(2, 3)):size())   --> 2 3
---@param x equi.Tensor
---@param y equi.Tensor
---@return equi.Tensor
function methods.view_as(x, y)
  local z = by_shape("view_as", "reshape", x, y)
  return z
end

--- x in f32: `x:to "f32"`.
---
--- Example:
---     print(equi.arange(2):float().dtype)   --> f32
---@param x equi.Tensor
---@return equi.Tensor
function methods.float(x)
  return x:to("f32")
end

--- x in f64: `x:to "f64"`.
---
--- Example:
---     print(equi.ones(2):double().dtype)   --> f64
---@param x equi.Tensor
---@return equi.Tensor
function methods.double(x)
  return x:to("f64")
end

--- x in i64, fractions cut off: `x:to "i64"`.
---
--- Example:
---     print(equi.tensor({1.5}):long():item())   --> 1
---@param x equi.Tensor
---@return equi.Tensor
function methods.long(x)
  return x:to("i64")
end

-- ---- functions ----

-- The options of a constructor after x: x's dtype unless another is given.
local function like(who, x, opts)
  if not core.is_tensor(x) then
    error(("%s: x must be a tensor, got %s"):format(who, arguments.shown(x)), 3)
  end
  if opts ~= nil and type(opts) ~= "table" then
    error(("%s: options must be a table, got %s"):format(who, arguments.shown(opts)), 3)
  end
  local own = {dtype = x.dtype}
  for k, v in pairs(opts or {}) do own[k] = v end
  return own
end

--- A tensor of zeros with the shape and dtype of another.
---
--- Example:
---     print(equi.zeros_like(equi.ones(2, 3)):size())   --> 2 3
---@param x equi.Tensor
---@param opts? table {dtype = x.dtype, requires_grad = false}
---@return equi.Tensor
function core.zeros_like(x, opts)
  opts = like("zeros_like", x, opts)
  local y = core.zeros(x.shape, opts)
  return y
end

--- A tensor of ones with the shape and dtype of another.
---
--- Example:
---     print(equi.ones_like(equi.zeros(2)):sum():item())   --> 2.0
---@param x equi.Tensor
---@param opts? table {dtype = x.dtype, requires_grad = false}
---@return equi.Tensor
function core.ones_like(x, opts)
  opts = like("ones_like", x, opts)
  local y = core.ones(x.shape, opts)
  return y
end

--- A tensor filled with one value, with the shape and dtype of another.
---
--- Example:
---     print(equi.full_like(equi.zeros(2), 3):sum():item())   --> 6.0
---@param x equi.Tensor
---@param value number
---@param opts? table {dtype = x.dtype, requires_grad = false}
---@return equi.Tensor
function core.full_like(x, value, opts)
  opts = like("full_like", x, opts)
  arguments.number("full_like", "value", value)
  local y = core.full(x.shape, value, opts)
  return y
end

--- Random numbers uniform in [0, 1), with the shape and dtype of another tensor.
---
--- Example:
---     print(equi.rand_like(equi.zeros(2, 3)):size())   --> 2 3
---@param x equi.Tensor
---@param opts? table {dtype = x.dtype, requires_grad = false, generator =}
---@return equi.Tensor
function core.rand_like(x, opts)
  opts = like("rand_like", x, opts)
  local y = core.rand(x.shape, opts)
  return y
end

--- Random numbers from the normal distribution, with the shape and dtype of another tensor.
---
--- Example:
---     print(equi.randn_like(equi.zeros(2, 3)):size())   --> 2 3
---@param x equi.Tensor
---@param opts? table {dtype = x.dtype, requires_grad = false, generator =}
---@return equi.Tensor
function core.randn_like(x, opts)
  opts = like("randn_like", x, opts)
  local y = core.randn(x.shape, opts)
  return y
end

core.split, core.chunk, core.unbind = methods.split, methods.chunk, methods.unbind

-- What equi.memory() returns prints its numbers.
getmetatable(core.memory()).__tostring = getmetatable(printed.fields {}).__tostring

return methods
