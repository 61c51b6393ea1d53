--- Recurrent layers over whole sequences: rnn, gru, lstm with several layers, both directions,
--- dropout between layers, and sequences of different lengths.
--
-- Each layer and direction is one fused op (core/ops/rnn.c). Names and gate order are PyTorch's:
-- weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, with _reverse for the second direction.
-- Shapes: x [B, T, D]; states [layers * directions, B, H].
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local initialise = require "lua_equi.nn.initialise"
local classes = require "lua_equi.nn.class"
local options = require "lua_equi.options"

local recurrent = {}
local gates = {rnn = 1, gru = 3, lstm = 4}
local function defaults(kind)
  return {layers = 1, bidirectional = false, dropout = 0, bias = true,
    nonlinearity = kind == "rnn" and "tanh" or nil}
end

local function suffix(layer, reverse) return ("_l%d%s"):format(layer - 1,
  reverse and "_reverse" or "") end

local function add_weights(self, inputs, layer, reverse)
  local H, rows, s = self.hidden, gates[self.kind] * self.hidden, suffix(layer, reverse)
  local bound = 1 / math.sqrt(H)
  self["weight_ih" .. s] = initialise.uniform(core.zeros(rows, inputs), -bound, bound)
  self["weight_hh" .. s] = initialise.uniform(core.zeros(rows, H), -bound, bound)
  if self.bias then
    self["bias_ih" .. s] = initialise.uniform(core.zeros(rows), -bound, bound)
    self["bias_hh" .. s] = initialise.uniform(core.zeros(rows), -bound, bound)
  end
end

-- One layer, one direction -> y, last h, last c (lstm only).
local function run(self, x, lengths, h, c, layer, reverse)
  local s = suffix(layer, reverse)
  local w_ih, w_hh = self["weight_ih" .. s], self["weight_hh" .. s]
  local b_ih, b_hh = self["bias_ih" .. s], self["bias_hh" .. s]
  local opts = {lengths = lengths, reverse = reverse}
  if self.kind == "lstm" then return core.lstm(x, h, c, w_ih, w_hh, b_ih, b_hh, opts) end
  if self.kind == "rnn" then opts.nonlinearity = self.nonlinearity end
  return core[self.kind](x, h, w_ih, w_hh, b_ih, b_hh, opts)
end

local function new(kind)
  return function(self, inputs, hidden, opts)
    opts = options.check(kind, opts, defaults(kind))
    arguments.whole(kind, "inputs", inputs)
    arguments.whole(kind, "hidden", hidden)
    arguments.whole(kind, "layers", opts.layers)
    arguments.number(kind, "dropout", opts.dropout, 0, 1)
    if kind == "rnn" then
      arguments.choice(kind, "nonlinearity", opts.nonlinearity, {"tanh", "relu"})
    end
    self.kind, self.inputs, self.hidden = kind, inputs, hidden
    self.layers, self.bidirectional, self.dropout = opts.layers, opts.bidirectional, opts.dropout
    self.bias, self.nonlinearity = opts.bias, opts.nonlinearity
    local directions = opts.bidirectional and 2 or 1
    for layer = 1, opts.layers do
      local size = layer == 1 and inputs or hidden * directions
      add_weights(self, size, layer, false)
      if opts.bidirectional then add_weights(self, size, layer, true) end
    end
  end
end

local function shape_is(x, ...)
  if not core.is_tensor(x) or x.ndim ~= select("#", ...) then return false end
  for d = 1, x.ndim do
    if x:size(d) ~= select(d, ...) then return false end
  end
  return true
end

-- The ops would complain about one row of the state; the user knows the whole.
local function check(self, x, h0, c0)
  local kind = self.kind
  if not core.is_tensor(x) or x.ndim ~= 3 or x:size(3) ~= self.inputs then
    error(("%s: x must be [B, T, %d], it is %s"):format(kind, self.inputs,
      core.is_tensor(x) and table.concat(x.shape, " x ") or type(x)), 0)
  end
  local rows, B, H = self.layers * (self.bidirectional and 2 or 1), x:size(1), self.hidden
  if kind == "lstm" then
    if (h0 == nil) ~= (c0 == nil) or h0 and not (shape_is(h0, rows, B, H) and shape_is(c0, rows,
      B, H)) then
      error(("lstm: the state must be {h, c}, each %d x %d x %d"):format(rows, B, H), 0)
    end
  elseif h0 and not shape_is(h0, rows, B, H) then
    error(("%s: the state must be %d x %d x %d, it is %s"):format(kind, rows, B, H,
      core.is_tensor(h0) and table.concat(h0.shape, " x ") or type(h0)), 0)
  end
end

local function forward(self, x, state, opts)
  opts = options.check(self.kind, opts, {lengths = options.any()})
  local h0, c0 = state, nil
  if self.kind == "lstm" and state then
    if type(state) ~= "table" then
      error("lstm: the state is {h, c}, two tensors in a table, got " .. arguments.shown(state), 0)
    end
    h0, c0 = state[1], state[2]
  end
  check(self, x, h0, c0)
  local hs, cs, k = {}, {}, 0
  for layer = 1, self.layers do
    local ys = {}
    for direction = 1, self.bidirectional and 2 or 1 do
      k = k + 1
      ys[direction], hs[k], cs[k] = run(self, x, opts.lengths, h0 and h0[k], c0 and c0[k], layer,
        direction == 2)
    end
    x = #ys == 2 and core.cat(ys, 3) or ys[1]
    if layer < self.layers and self.dropout > 0 then x = core.dropout(x, self.dropout,
      self.training) end
  end
  local h = core.stack(hs, 1)
  return x, self.kind == "lstm" and {h, core.stack(cs, 1)} or h
end

local function extra(self)
  return ("%d, %d%s%s"):format(self.inputs, self.hidden,
    self.layers > 1 and ", layers " .. self.layers or "",
                               self.bidirectional and ", both directions" or "")
end

local function class(kind)
  return classes.class(kind, {new = new(kind), forward = forward, extra = extra})
end

--- Elman network: h' = tanh(W_ih x + b_ih + W_hh h + b_hh).
---
--- Call it as layer(x, h0, {lengths = ids}) -> y [B, T, H * directions], h [layers * directions, B,
--- H].
---
--- Example:
---     local y, h = equi.nn.rnn(3, 4)(equi.zeros(2, 5, 3))
---     print(y:size())   --> 2 5 4
---@param inputs integer
---@param hidden integer
---@param opts? table {layers = 1, bidirectional = false, dropout = 0, bias = true,
--- nonlinearity = "tanh"}
recurrent.rnn = class "rnn"

--- Gated recurrent unit (Cho et al. 2014), PyTorch's variant: n = tanh(W x + b + r (U h + c)).
---
--- Called as rnn.
---
--- Example:
---     local y, h = equi.nn.gru(3, 4, {bidirectional = true})(equi.zeros(2, 5, 3))
---     print(y:size())   --> 2 5 8
---@param inputs integer
---@param hidden integer
---@param opts? table as rnn, without nonlinearity
recurrent.gru = class "gru"

--- Long short-term memory (Hochreiter & Schmidhuber 1997), gates in the order i f g o.
---
--- Called as rnn, but the state is {h, c}.
---
--- Example:
---     local y, state = equi.nn.lstm(3, 4, {layers = 2})(equi.zeros(2, 5, 3))
---     print(state[2]:size())   --> 2 2 4
---@param inputs integer
---@param hidden integer
---@param opts? table as rnn, without nonlinearity
recurrent.lstm = class "lstm"

return recurrent
