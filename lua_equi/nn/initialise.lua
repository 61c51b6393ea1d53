--- Initialisers: fill a tensor in place with random numbers from equi.seed's stream, and return it.
--
-- fan_in is the number of inputs of one output: size(2) times the rest; fan_out is size(1) times
-- the rest. Gains and defaults are PyTorch's.
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local options = require "lua_equi.options"

local initialise = {}

local idle = false -- set while `without` runs
local no_memory = false -- set while `hollow` runs

-- In place on a parameter: filled through a detached view, so nothing is recorded.
local function fill(x, method, a, b)
  if idle then return x end
  local view = x:detach()
  view[method](view, a, b)
  return x
end

local function fans(x, who)
  local shape = x.shape
  if #shape < 2 then
    error(("%s: needs at least 2 dims, x is %d-dimensional; use uniform or normal"):format(who,
      #shape), 3)
  end
  local rest = 1
  for d = 3, #shape do rest = rest * shape[d] end
  return shape[2] * rest, shape[1] * rest
end

--- Runs f(...) while initialisers leave tensors as they are: for a model whose weights come from
--- elsewhere at once, which is then made in no time. Its parameters are zeros.
---
--- Example:
---     local layer = equi.nn.initialise.without(equi.nn.linear, 2, 3)
---     print(layer.weight:abs():sum():item())   --> 0.0
---@param f function
---@param ... any
---@return any ... what f returns
function initialise.without(f, ...)
  local before = idle
  local function finish(ok, ...)
    idle = before
    if not ok then error((...), 0) end
    return ...
  end
  idle = true
  return finish(pcall(f, ...))
end

--- Runs f(...), usually a model's constructor, while layers are made without memory: their large
--- parameters are views of a single zero. For counting, and for a model that takes the tensors of
--- a file as its own (module.adopt); what is left hollow cannot learn.
---
--- Example:
---     local layer = equi.nn.initialise.hollow(equi.nn.embedding, 1000000, 1000000)
---     print(layer:count())   --> 1000000000000
---@param f function
---@param ... any
---@return any ... what f returns
function initialise.hollow(f, ...)
  local before = no_memory
  local function finish(ok, ...)
    no_memory = before
    if not ok then error((...), 0) end
    return ...
  end
  no_memory = true
  return finish(pcall(initialise.without, f, ...))
end

--- Zeros for a layer's parameter; while `hollow` runs a view of one zero.
---
--- Example:
---     print(equi.nn.initialise.zeros(2, 3):size())   --> 2 3
---@param ... integer sizes
---@return any
function initialise.zeros(...)
  if no_memory then return core.zeros(1):expand(...) end
  return core.zeros(...)
end

--- Uniform between low and high.
---
--- Example:
---     local x = equi.nn.initialise.uniform(equi.zeros(100), -1, 1)
---     print(x:abs():max():item() <= 1)   --> true
---@param x any tensor
---@param low? number default 0
---@param high? number default 1
---@return any x
function initialise.uniform(x, low, high)
  low, high = low or 0, high or 1
  arguments.tensor("uniform", "x", x)
  arguments.number("uniform", "low", low)
  arguments.number("uniform", "high", high)
  return fill(x, "uniform_", low, high)
end

--- Normal with mean and standard deviation.
---
--- Example:
---     print(equi.nn.initialise.normal(equi.zeros(2, 3), 0, 0.02):size())   --> 2 3
---@param x any tensor
---@param mean? number default 0
---@param std? number default 1
---@return any x
function initialise.normal(x, mean, std)
  mean, std = mean or 0, std or 1
  arguments.tensor("normal", "x", x)
  arguments.number("normal", "mean", mean)
  arguments.number("normal", "std", std, 0)
  return fill(x, "normal_", mean, std)
end

--- The same value everywhere.
---
--- Example:
---     print(equi.nn.initialise.constant(equi.zeros(2), 3):sum():item())   --> 6.0
---@param x any tensor
---@param value number
---@return any x
function initialise.constant(x, value)
  arguments.tensor("constant", "x", x)
  if type(value) ~= "number" then
    error("constant: value must be a number, got " .. arguments.shown(value), 2)
  end
  return fill(x, "fill_", value)
end

--- Xavier / Glorot: variance 2 / (fan_in + fan_out) (Glorot & Bengio 2010).
---
--- Example:
---     local x = equi.nn.initialise.xavier(equi.zeros(6, 6))
---     print(x:abs():max():item() <= math.sqrt(0.5))   --> true
---@param x any tensor
---@param opts? table {gain = 1, normal = false}
---@return any x
function initialise.xavier(x, opts)
  arguments.tensor("xavier", "x", x)
  opts = options.check("xavier", opts, {gain = 1, normal = false})
  local fan_in, fan_out = fans(x, "xavier")
  local std = opts.gain * math.sqrt(2 / (fan_in + fan_out))
  if opts.normal then return initialise.normal(x, 0, std) end
  return initialise.uniform(x, -std * math.sqrt(3), std * math.sqrt(3))
end

--- Kaiming / He: variance gain^2 / fan, gain from the slope a of leaky ReLU (He et al. 2015).
---
--- Example:
---     print(equi.nn.initialise.kaiming(equi.zeros(4, 3)):size())   --> 4 3
---@param x any tensor
---@param opts? table {a = 0, mode = "fan_in" or "fan_out", normal = false}
---@return any x
function initialise.kaiming(x, opts)
  arguments.tensor("kaiming", "x", x)
  opts = options.check("kaiming", opts, {a = 0, mode = "fan_in", normal = false})
  if opts.mode ~= "fan_in" and opts.mode ~= "fan_out" then
    error(('kaiming: mode must be "fan_in" or "fan_out", got "%s"'):format(opts.mode), 2)
  end
  local fan_in, fan_out = fans(x, "kaiming")
  local fan = opts.mode == "fan_out" and fan_out or fan_in
  local std = math.sqrt(2 / (1 + opts.a * opts.a) / fan)
  if opts.normal then return initialise.normal(x, 0, std) end
  return initialise.uniform(x, -std * math.sqrt(3), std * math.sqrt(3))
end

--- Orthogonal rows or columns, whichever are fewer (Saxe et al. 2014).
---
--- Example:
---     local x = equi.nn.initialise.orthogonal(equi.zeros(3, 3))
---     print((x:matmul(x:t()) - equi.eye(3)):abs():max():item() < 1e-5)   --> true
---@param x any tensor of at least 2 dims
---@param opts? table {gain = 1}
---@return any x
function initialise.orthogonal(x, opts)
  arguments.tensor("orthogonal", "x", x)
  opts = options.check("orthogonal", opts, {gain = 1})
  fans(x, "orthogonal")
  if idle then return x end
  local rows = x:size(1)
  local cols = x:numel() // rows
  local tall = rows >= cols
  local g = core.randn(tall and {rows, cols} or {cols, rows}, {dtype = x.dtype})
  local q, r = g:qr()
  q = q * r:diagonal():sign():reshape(1, -1) -- the sign makes the distribution uniform
  fill(x, "copy_", ((tall and q or q:t()) * opts.gain):reshape(x.shape))
  return x
end

return initialise
