--- equi.fuse: a model made ready for inference.
--
-- Batch norm with running statistics is a product and a sum for every channel, so it is folded into
-- the convolution before it: w' = w s, b' = (b - mean) s + bias with s = weight / sqrt(var + eps).
-- What follows, a residual and relu, is done on the convolution's own result. Which layers follow
-- each other is known of the entries of a sequential, and of the pairs that a class names:
-- `folds = {conv1 = "bn1", squeeze = false}`, whose forward calls nn.conv_norm(self.conv1,
-- self.bn1, x, {relu = true}). A fused convolution keeps its weights packed
-- (core/conv/fused.c). Not an optimizer of graphs: everything else stays as it is.
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local classes = require "lua_equi.nn.class"
local rebuilt = require "lua_equi.nn.rebuilt"
local walk = require "lua_equi.nn.walk"

-- A residual and relu, in the convolution's own result where nothing is recorded.
local function finish(y, add, relu)
  if y.requires_grad or add and add.requires_grad then
    if add then y = y + add end
    return relu and y:relu() or y
  end
  if add then y = y:add_(add) end
  return relu and y:relu_() or y
end

local fused_conv = classes.class("fused_conv2d", {
  new = function(self, conv, relu)
    self.conv, self.relu, self.fused = conv, relu, true
  end,
  forward = function(self, x, opts)
    if self.training then
      error("fused_conv2d: a fused model is for evaluation, where batch norm does not change; "
        .. "train the model that it was made of, and fuse it again", 0)
    end
    local conv, add = self.conv, opts and opts.add
    local relu = self.relu or opts and opts.relu or false
    if conv.padding_mode ~= "zeros" or x.requires_grad or add and add.requires_grad then
      return finish(conv(x), add, relu)
    end
    local packed = self._packed
    if packed and packed.dtype ~= x.dtype then packed = nil end
    local y, used = core.conv2d_fused(x, conv.weight, conv.bias, packed, add, conv.stride,
      conv.padding, conv.dilation, conv.groups, relu)
    self._packed = used
    return y
  end,
  extra = function(self) return self.relu and "relu" or "" end,
})

-- ---- one convolution and the norm behind it ----

local function class_of(v)
  return type(v) == "table" and v.class_name and v:class_name() or nil
end

local function is_relu(v) return rawequal(v, core.relu) or class_of(v) == "relu" end

local function folded(weight, bias, bn)
  local dtype = weight.dtype
  local function exact(x) return x:detach():to "f64" end
  local scale = (exact(bn.running_var) + bn.eps):rsqrt()
  if bn.weight then scale = scale * exact(bn.weight) end
  local shift = (bias and exact(bias) or 0) - exact(bn.running_mean)
  shift = shift * scale
  if bn.bias then shift = shift + exact(bn.bias) end
  return (exact(weight) * scale:reshape(-1, 1, 1, 1)):to(dtype), shift:to(dtype)
end

local function fuse_conv(conv, bn, relu)
  local own = setmetatable({}, getmetatable(conv))
  for key, value in pairs(conv) do rawset(own, key, value) end
  if bn then own.weight, own.bias = folded(conv.weight, conv.bias, bn) end
  local fused = fused_conv(own, relu or nil)
  fused.training = false
  return fused
end

-- ---- where they are ----

local function identity(x) return x end

local function fuse_chain(m)
  for i = 1, #m do
    if class_of(m[i]) == "conv2d" then
      local bn = class_of(m[i + 1]) == "batch_norm2d" and m[i + 1] or nil
      local after = i + (bn and 2 or 1)
      local relu = m[after] ~= nil and is_relu(m[after])
      m[i] = fuse_conv(m[i], bn, relu)
      for k = i + 1, relu and after or after - 1 do m[k] = identity end
    end
  end
end

local function fuse_pairs(m, folds)
  for name, norm in pairs(folds) do
    local conv, bn = m[name], norm and m[norm] or nil
    if class_of(conv) == "conv2d" and (bn == nil or class_of(bn) == "batch_norm2d") then
      m[name] = fuse_conv(conv, bn)
      if norm then m[norm] = nil end
    end
  end
end

local function fuse_parts(m)
  local class = getmetatable(m)
  local methods = type(class) == "table" and class.__index
  if type(methods) ~= "table" then return end
  if methods.folds then fuse_pairs(m, methods.folds) end
  if class_of(m) == "sequential" or methods.chain then fuse_chain(m) end
end

-- The name of a part that is in training mode.
local function training_part(m)
  local found
  walk.visit(m, "", {}, function(kind, v, name)
    if kind == "module" and type(v) == "table" and getmetatable(v) and rawget(v, "training") then
      found = found or (name == "" and "the model" or name)
    end
  end)
  return found
end

--- A model made ready for inference: a new one, with the same results up to rounding, in which
--- batch norm is folded into the convolutions before it, and residuals and relu are done on their
--- results.
---
--- The model must be in evaluation mode. It stays as it is; layers that are not convolutions are
--- shared, so fuse again after training. Equituned models work too. Own classes of modules take
--- part through `folds = {conv1 = "bn1"}` and nn.conv_norm.
---
--- Example:
---     local nn = equi.nn
---     local net = nn.sequential(nn.conv2d(3, 8, 3), nn.batch_norm2d(8), equi.relu):eval()
---     local fast, x = equi.fuse(net), equi.randn(1, 3, 8, 8)
---     print((fast(x) - net(x)):abs():max():item() < 1e-5)   --> true
---@param model any
---@return any
local function fuse(model)
  if core.is_tensor(model) or not walk.children_of(model) then
    error("fuse: the model must be a module, got " .. arguments.shown(model), 2)
  end
  local training = training_part(model)
  if training then
    error(("fuse: %s is in training mode, where batch norm takes the batch's own statistics; call "
      .. "eval() on the model first"):format(training), 2)
  end
  return rebuilt(model, fuse_parts)
end

return {fuse = fuse}
