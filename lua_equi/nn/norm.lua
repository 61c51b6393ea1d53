--- Normalisation of images and of batches: batch_norm1d, batch_norm2d, group_norm,
--- local_response_norm. layer_norm is in basic.lua.
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local classes = require "lua_equi.nn.class"
local options = require "lua_equi.options"

local norm = {}

local function batch_norm(name, dims, shape)
  local function check_input(self, x)
    if not core.is_tensor(x) or not dims[x.ndim] or x:size(2) ~= self.running_mean:size(1) then
      error(("%s: x must be %s, got %s"):format(name,
        (shape:gsub("C", self.running_mean:size(1))), arguments.shown(x)), 0)
    end
  end
  return classes.class(name, {
    buffers = {running_mean = true, running_var = true, num_batches_tracked = true},
    new = function(self, channels, opts)
      opts = options.check(name, opts, {eps = 1e-5, momentum = 0.1, affine = true})
      arguments.whole(name, "channels", channels)
      self.eps, self.momentum = opts.eps, opts.momentum
      if opts.affine then self.weight, self.bias = core.ones(channels), core.zeros(channels) end
      self.running_mean, self.running_var = core.zeros(channels), core.ones(channels)
      self.num_batches_tracked = core.zeros({}, {dtype = "i64"})
    end,
    forward = function(self, x, opts)
      check_input(self, x)
      local relu, add = false, nil
      if opts then
        opts = options.check(name, opts, {relu = false, add = options.any()})
        relu, add = opts.relu, opts.add
      end
      local y = core.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, add,
        self.training, self.momentum, self.eps, relu)
      if self.training then self.num_batches_tracked:add_(1) end
      return y
    end,
    extra = function(self) return ("%d"):format(self.running_mean:size(1)) end,
  })
end

--- (x - mean) / sqrt(var + eps) * weight + bias for every channel of x [B, C] or [B, C, L]; see
--- batch_norm2d.
---
--- Example:
---     local layer = equi.nn.batch_norm1d(3)
---     print(layer(equi.randn(8, 3)):size())   --> 8 3
---@param channels integer
---@param opts? table {eps = 1e-5, momentum = 0.1, affine = true}
norm.batch_norm1d = batch_norm("batch_norm1d", {[2] = true, [3] = true}, "B x C or B x C x L")

--- (x - mean) / sqrt(var + eps) * weight + bias for every channel of x [B, C, H, W].
---
--- In training mean and var are the batch's and the running statistics move towards them; in
--- evaluation they are the running ones. Called as layer(x, {add = t, relu = true}) it is
--- relu(layer(x) + t) in one pass; both are optional. Ioffe and Szegedy, "Batch normalization",
--- 2015.
---
--- Example:
---     local layer = equi.nn.batch_norm2d(3):eval()
---     print(layer(-equi.ones(1, 3, 2, 2), {relu = true}):sum():item())   --> 0.0
---@param channels integer
---@param opts? table {eps = 1e-5, momentum = 0.1, affine = true}
norm.batch_norm2d = batch_norm("batch_norm2d", {[4] = true}, "B x C x H x W")

--- norm(conv(x)), + add, relu: what a block of a network does. In a model that equi.fuse has
--- prepared the convolution holds the norm and does all of it.
---
--- Example:
---     local nn = equi.nn
---     local conv, bn = nn.conv2d(3, 8, 3, {bias = false}), nn.batch_norm2d(8)
---     print(nn.conv_norm(conv, bn, equi.ones(1, 3, 5, 5), {relu = true}):size())   --> 1 8 3 3
---@param conv any module
---@param bn any module, or nil: there is none
---@param x any
---@param opts? table {add = tensor, relu = false}
---@return any
function norm.conv_norm(conv, bn, x, opts)
  if conv.fused then return conv(x, opts) end
  local y = conv(x)
  if bn then return bn(y, opts) end
  if not opts then return y end
  if opts.add then y = y + opts.add end
  return opts.relu and y:relu() or y
end

--- (x - mean) / sqrt(var + eps) * weight + bias over groups of neighbouring channels of one image.
---
--- Example:
---     print(equi.nn.group_norm(2, 6)(equi.randn(4, 6, 5, 5)):size())   --> 4 6 5 5
---@param groups integer
---@param channels integer
---@param opts? table {eps = 1e-5, affine = true}
norm.group_norm = classes.class("group_norm", {
  new = function(self, groups, channels, opts)
    opts = options.check("group_norm", opts, {eps = 1e-5, affine = true})
    arguments.whole("group_norm", "groups", groups)
    arguments.whole("group_norm", "channels", channels)
    if channels % groups ~= 0 then
      error(("group_norm: %d channels do not divide into %d groups"):format(channels, groups), 3)
    end
    self.groups, self.channels, self.eps = groups, channels, opts.eps
    if opts.affine then self.weight, self.bias = core.ones(channels), core.zeros(channels) end
  end,
  forward = function(self, x)
    return core.group_norm(x, self.groups, self.weight, self.bias, self.eps)
  end,
  extra = function(self) return ("%d, %d"):format(self.groups, self.channels) end,
})

--- x / (k + alpha / size * sum)^beta, where sum is that of x^2 over `size` neighbouring channels
--- (Krizhevsky et al. 2012).
---
--- Example:
---     print(equi.nn.local_response_norm(5)(equi.ones(1, 8, 2, 2)):size())   --> 1 8 2 2
---@param size integer
---@param opts? table {alpha = 1e-4, beta = 0.75, k = 1}
norm.local_response_norm = classes.class("local_response_norm", {
  new = function(self, size, opts)
    opts = options.check("local_response_norm", opts, {alpha = 1e-4, beta = 0.75, k = 1})
    arguments.whole("local_response_norm", "size", size)
    self.size, self.alpha, self.beta, self.k = size, opts.alpha, opts.beta, opts.k
  end,
  forward = function(self, x)
    return core.local_response_norm(x, self.size, self.alpha, self.beta, self.k)
  end,
  extra = function(self) return ("%d"):format(self.size) end,
})

return norm
