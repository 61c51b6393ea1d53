--- Convolutions: conv1d, conv2d, conv_transpose2d. Weights have the shapes that they have in
--- PyTorch, and start as there.
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local classes = require "lua_equi.nn.class"
local initialise = require "lua_equi.nn.initialise"
local options = require "lua_equi.options"

local conv = {}

local modes = {zeros = true, reflect = true, replicate = true, circular = true}

-- Padding is one number, one for each dim, one for each side (before all dims, then behind), or a
-- word; returned as a word or as numbers for each side.
local function sides(who, value, n)
  if value == "same" or value == "valid" then return value end
  if type(value) == "string" then
    error(('%s: padding must be numbers, "same" or "valid", got "%s"'):format(who, value), 3)
  end
  if type(value) == "table" and #value == 2 * n then
    return arguments.each(who, "padding", value, 2 * n, 0)
  end
  local list = arguments.each(who, "padding", value, n, 0)
  for d = 1, n do list[n + d] = list[d] end
  return list
end

-- The padding of x that "same" stands for, as sides.
local function same_sides(kernel, dilation)
  local list = {}
  for d, k in ipairs(kernel) do
    local all = dilation[d] * (k - 1)
    list[d], list[#kernel + d] = all // 2, all - all // 2
  end
  return list
end

-- Reads what all three share into self and makes weight and bias. `turned`: of a transposed one.
local function construct(self, who, n, inputs, outputs, kernel, opts, turned)
  arguments.whole(who, "inputs", inputs)
  arguments.whole(who, "outputs", outputs)
  arguments.whole(who, "groups", opts.groups)
  for name, count in pairs {inputs = inputs, outputs = outputs} do
    if count % opts.groups ~= 0 then
      error(("%s: %s is %d, which %d groups do not divide"):format(who, name, count, opts.groups),
        3)
    end
  end
  self.kernel = arguments.each(who, "kernel", kernel, n, 1)
  self.stride = arguments.each(who, "stride", opts.stride, n, 1)
  self.dilation = arguments.each(who, "dilation", opts.dilation, n, 1)
  self.groups = opts.groups
  local first, second = outputs, inputs
  if turned then first, second = inputs, outputs end
  self.weight = core.zeros {first, second // self.groups, table.unpack(self.kernel)}
  initialise.kaiming(self.weight, {a = math.sqrt(5)})
  if opts.bias then
    local bound = 1 / math.sqrt(self.weight:numel() // first)
    self.bias = initialise.uniform(core.zeros(outputs), -bound, bound)
  end
end

local function all_equal(list, value)
  for _, v in ipairs(list) do
    if v ~= value then return false end
  end
  return true
end

-- " x " between numbers, or one number where all are the same.
local function sizes(list)
  return all_equal(list, list[1]) and tostring(list[1]) or table.concat(list, " x ")
end

local function extra(self)
  local w, parts = self.weight, {}
  local inputs, outputs = w:size(2) * self.groups, w:size(1)
  if self.output_padding then inputs, outputs = w:size(1), w:size(2) * self.groups end
  local function add(name, value, default)
    if type(value) == "string" then parts[#parts + 1] = ('%s "%s"'):format(name, value)
    elseif not all_equal(value, default) then parts[#parts + 1] = name .. " " .. sizes(value) end
  end
  add("stride", self.stride, 1)
  add("padding", self.padding, 0)
  if self.output_padding then add("output_padding", self.output_padding, 0) end
  add("dilation", self.dilation, 1)
  if self.groups ~= 1 then parts[#parts + 1] = "groups " .. self.groups end
  if (self.padding_mode or "zeros") ~= "zeros" then parts[#parts + 1] = self.padding_mode end
  if not self.bias then parts[#parts + 1] = "no bias" end
  table.insert(parts, 1, ("%d, %d, %s"):format(inputs, outputs,
    table.concat(self.kernel, " x ")))
  return table.concat(parts, ", ")
end

local function convolution(who, n)
  return classes.class(who, {
    new = function(self, inputs, outputs, kernel, opts)
      opts = options.check(who, opts, {stride = options.any(1), padding = options.any(0),
        dilation = options.any(1), groups = 1, bias = true, padding_mode = "zeros"})
      construct(self, who, n, inputs, outputs, kernel, opts)
      self.padding = sides(who, opts.padding, n)
      if not modes[opts.padding_mode] then
        error(('%s: padding_mode must be "zeros", "reflect", "replicate" or "circular", got "%s"')
          :format(who, opts.padding_mode), 3)
      end
      self.padding_mode = opts.padding_mode
      if self.padding == "same" and not all_equal(self.stride, 1) then
        error(('%s: padding "same" keeps sizes with stride 1 only, the stride is %s'):format(who,
          sizes(self.stride)), 3)
      end
    end,
    forward = function(self, x)
      local padding = self.padding
      if self.padding_mode ~= "zeros" and padding ~= "valid" then
        local side = padding == "same" and same_sides(self.kernel, self.dilation) or padding
        local pads = {} -- pairs, the last dim first
        for d = n, 1, -1 do pads[#pads + 1], pads[#pads + 2] = side[d], side[n + d] end
        arguments.tensor(who, "x", x)
        x, padding = core.pad(x, pads, {mode = self.padding_mode}), 0
      end
      return core[who](x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)
    end,
    extra = extra,
  })
end

--- Convolution of sequences [B, inputs, T]; weight is [outputs, inputs / groups, kernel], bias
--- [outputs]. Options are conv2d's.
---
--- Example:
---     local layer = equi.nn.conv1d(4, 6, 3, {padding = "same"})
---     print(layer(equi.zeros(2, 4, 9)):size())   --> 2 6 9
---@param inputs integer
---@param outputs integer
---@param kernel integer
---@param opts? table {stride = 1, padding = 0, dilation = 1, groups = 1, bias = true,
---  padding_mode = "zeros"}
conv.conv1d = convolution("conv1d", 1)

--- Convolution of images [B, inputs, H, W]; weight is [outputs, inputs / groups, KH, KW], bias
--- [outputs]; both start uniform in +-1/sqrt(inputs / groups KH KW).
---
--- kernel, stride, padding and dilation are one number, or {height, width}; padding may also be
--- {top, left, bottom, right}, "same" or "valid". padding_mode "reflect", "replicate" and
--- "circular" take the border from the image (equi.pad).
---
--- Example:
---     local layer = equi.nn.conv2d(3, 8, 3, {stride = 2, padding = 1})
---     print(layer(equi.zeros(1, 3, 32, 32)):size())   --> 1 8 16 16
---@param inputs integer
---@param outputs integer
---@param kernel integer|table
---@param opts? table {stride = 1, padding = 0, dilation = 1, groups = 1, bias = true,
---  padding_mode = "zeros"}
conv.conv2d = convolution("conv2d", 2)

--- The transpose of conv2d, which makes images larger; weight is [inputs, outputs / groups, KH,
--- KW], bias [outputs]. See equi.conv_transpose2d.
---
--- Example:
---     local layer = equi.nn.conv_transpose2d(8, 3, 2, {stride = 2})
---     print(layer(equi.zeros(1, 8, 5, 5)):size())   --> 1 3 10 10
---@param inputs integer
---@param outputs integer
---@param kernel integer|table
---@param opts? table {stride = 1, padding = 0, output_padding = 0, dilation = 1, groups = 1,
---  bias = true}
conv.conv_transpose2d = classes.class("conv_transpose2d", {
  new = function(self, inputs, outputs, kernel, opts)
    local who = "conv_transpose2d"
    opts = options.check(who, opts, {stride = options.any(1), padding = options.any(0),
      output_padding = options.any(0), dilation = options.any(1), groups = 1, bias = true})
    construct(self, who, 2, inputs, outputs, kernel, opts, true)
    self.padding = arguments.each(who, "padding", opts.padding, 2, 0)
    self.output_padding = arguments.each(who, "output_padding", opts.output_padding, 2, 0)
  end,
  forward = function(self, x)
    return core.conv_transpose2d(x, self.weight, self.bias, self.stride, self.padding,
      self.output_padding, self.dilation, self.groups)
  end,
  extra = extra,
})

return conv
