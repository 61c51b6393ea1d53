--- Layers without memory: linear, embedding, dropout, layer_norm, flatten, relu, identity,
--- sequential.
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local initialise = require "lua_equi.nn.initialise"
local classes = require "lua_equi.nn.class"
local options = require "lua_equi.options"

local basic = {}

--- y = x W^T + b. weight is [outputs, inputs], bias [outputs]; x is [..., inputs].
---
--- Both start uniform in +-1/sqrt(inputs), as PyTorch's.
---
--- Example:
---     local layer = equi.nn.linear(3, 2)
---     print(layer(equi.zeros(5, 3)):size())   --> 5 2
---@param inputs integer
---@param outputs integer
---@param opts? table {bias = true}
basic.linear = classes.class("linear", {
  new = function(self, inputs, outputs, opts)
    opts = options.check("linear", opts, {bias = true})
    arguments.whole("linear", "inputs", inputs)
    arguments.whole("linear", "outputs", outputs)
    local bound = 1 / math.sqrt(inputs)
    self.weight = initialise.uniform(initialise.zeros(outputs, inputs), -bound, bound)
    if opts.bias then self.bias = initialise.uniform(core.zeros(outputs), -bound, bound) end
  end,
  forward = function(self, x) return core.linear(x, self.weight, self.bias) end,
  extra = function(self)
    return ("%d, %d%s"):format(self.weight:size(2), self.weight:size(1),
      self.bias and "" or ", no bias")
  end,
})

--- Rows of a table: ids (i64, from 1) of any shape -> [..., features]. weight is [entries,
--- features], normal at the start.
---
--- Example:
---     local layer = equi.nn.embedding(10, 4)
---     print(layer(equi.tensor({{1, 10}}, {dtype = "i64"})):size())   --> 1 2 4
---@param entries integer
---@param features integer
basic.embedding = classes.class("embedding", {
  new = function(self, entries, features, opts)
    options.check("embedding", opts, {})
    arguments.whole("embedding", "entries", entries)
    arguments.whole("embedding", "features", features)
    self.weight = initialise.normal(initialise.zeros(entries, features))
  end,
  forward = function(self, ids) return core.embedding(ids, self.weight) end,
  extra = function(self) return ("%d, %d"):format(self.weight:size()) end,
})

--- In training: zeroes each element with probability p and scales the rest by 1 / (1 - p).
---
--- Example:
---     print(equi.nn.dropout(0.5):eval()(equi.ones(4)):sum():item())   --> 4.0
---@param p? number default 0.5
basic.dropout = classes.class("dropout", {
  new = function(self, p)
    self.p = p == nil and 0.5 or p
    arguments.number("dropout", "p", self.p, 0, 1)
  end,
  forward = function(self, x) return core.dropout(x, self.p, self.training) end,
  extra = function(self) return ("%g"):format(self.p) end,
})

--- (x - mean) / sqrt(var + eps) * weight + bias over the last dims (Ba et al. 2016).
---
--- Example:
---     print(equi.nn.layer_norm(4)(equi.ones(2, 4)):abs():max():item())   --> 0.0
---@param shape integer|table size of the last dim, or sizes of the last dims
---@param opts? table {eps = 1e-5, affine = true, bias = true}
basic.layer_norm = classes.class("layer_norm", {
  new = function(self, shape, opts)
    opts = options.check("layer_norm", opts, {eps = 1e-5, affine = true, bias = true})
    self._shape = type(shape) == "table" and shape or {shape}
    arguments.number("layer_norm", "eps", opts.eps, 0)
    if #self._shape == 0 then arguments.whole("layer_norm", "shape", shape) end
    for _, n in ipairs(self._shape) do arguments.whole("layer_norm", "each size", n) end
    self.eps = opts.eps
    if opts.affine then
      self.weight = core.ones(self._shape)
      if opts.bias then self.bias = core.zeros(self._shape) end
    end
  end,
  forward = function(self, x)
    return core.layer_norm(x, self._shape, self.weight, self.bias, self.eps)
  end,
  extra = function(self) return table.concat(self._shape, " x ") end,
})

--- Dims from `first` to `last` as one: by default all but the first, so [B, C, H, W] becomes
--- [B, C H W], in the order of the dims whatever the layout in memory.
---
--- Example:
---     print(equi.nn.flatten()(equi.ones(2, 3, 4, 5)):size())   --> 2 60
---@param first? integer default 2
---@param last? integer default -1, the last
basic.flatten = classes.class("flatten", {
  new = function(self, first, last)
    self.first, self.last = first or 2, last or -1
    for name, d in pairs {first = self.first, last = self.last} do
      if math.type(d) ~= "integer" or d == 0 then
        error(("flatten: %s must be a dim, from 1 or negative from the end, got %s"):format(name,
          arguments.shown(d)), 3)
      end
    end
  end,
  forward = function(self, x) return core.flatten(x, self.first, self.last) end,
  extra = function(self) return ("%d, %d"):format(self.first, self.last) end,
})

--- max(x, 0) in every element.
---
--- Example:
---     print(equi.nn.relu()(equi.tensor {-1, 2}):sum():item())   --> 2.0
basic.relu = classes.class("relu", {
  new = function(_, opts) options.check("relu", opts, {}) end,
  forward = function(_, x) return core.relu(x) end,
})

--- x as it is: a place for a layer that is not there.
---
--- Example:
---     print(equi.nn.identity()(equi.ones(3)):sum():item())   --> 3.0
basic.identity = classes.class("identity", {
  new = function(_, opts) options.check("identity", opts, {}) end,
  forward = function(_, x) return x end,
})

-- The layers of sequential(a, b) and of sequential {a, b}, and how many.
local function layers_of(...)
  local first = ...
  if select("#", ...) == 1 and type(first) == "table" and not getmetatable(first) then
    for key in pairs(first) do
      if math.type(key) ~= "integer" then
        error(("sequential: layers stand in a list without names, got the name %s"):format(
          arguments.shown(key)), 4)
      end
    end
    return first, #first
  end
  return {...}, select("#", ...)
end

--- One after the other. Entries are modules or functions; found under 1, 2, 3 ... A list of them
--- is taken as well: `sequential {a, b}`.
---
--- Example:
---     local net = equi.nn.sequential(equi.nn.linear(2, 3), equi.tanh, equi.nn.linear(3, 1))
---     print(net(equi.zeros(5, 2)):size())   --> 5 1
basic.sequential = classes.class("sequential", {
  new = function(self, ...)
    local layers, n = layers_of(...)
    for i = 1, n do
      if not arguments.is_callable(layers[i]) then
        error(("sequential: entry %d must be a module or a function, got %s"):format(i,
          arguments.shown(layers[i])), 3)
      end
      self[i] = layers[i]
    end
  end,
  forward = function(self, x)
    for i = 1, #self do x = self[i](x) end
    return x
  end,
})

return basic
