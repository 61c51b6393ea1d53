--- Residual networks (He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR
--- 2016): torchvision's for ImageNet (18, 34, 50, 101, 152), and those of the paper's section 4.2
--- for CIFAR (20, 32, 44, 56, 110, 1202).
--
-- A block is relu(F(x) + shortcut(x)). Where the shape changes the shortcut is a 1 x 1 convolution
-- and batch norm, or for CIFAR ("option A") every second pixel with channels of zeros around it,
-- without parameters. The stride of a bottleneck is in its 3 x 3 convolution, as torchvision's.
local equi = require "lua_equi"
local backbone = equi.models.backbone

local nn = equi.nn
local RELU = {relu = true}
local IMAGENET = {[18] = {2, 2, 2, 2}, [34] = {3, 4, 6, 3}, [50] = {3, 4, 6, 3},
  [101] = {3, 4, 23, 3}, [152] = {3, 8, 36, 3}}
local CIFAR = {[20] = 3, [32] = 5, [44] = 7, [56] = 9, [110] = 18, [1202] = 200}
local DEPTHS = {18, 34, 50, 101, 152, 20, 32, 44, 56, 110, 1202}

local function conv(inputs, outputs, kernel, stride)
  return nn.conv2d(inputs, outputs, kernel,
    {stride = stride or 1, padding = kernel // 2, bias = false})
end

-- Every second pixel, a quarter of the wider block's channels of zeros on both sides.
local function option_a(x, stride, outputs)
  local quarter = (outputs - x:size(2)) // 2
  return x[{{}, {}, {1, -1, stride}, {1, -1, stride}}]:pad({0, 0, 0, 0, quarter, quarter})
end

local function shortcut(self, x)
  if self.downsample then return self.downsample(x) end
  if self._option_a then return option_a(x, self._stride, self._outputs) end
  return x
end

local function make_shortcut(self, inputs, outputs, stride, parameters)
  self._stride, self._outputs = stride, outputs
  if stride == 1 and inputs == outputs then return end
  if parameters then
    self.downsample = nn.sequential(conv(inputs, outputs, 1, stride), nn.batch_norm2d(outputs))
  else
    self._option_a = true
  end
end

local basic = nn.class("basic_block", {
  folds = {conv1 = "bn1", conv2 = "bn2"},
  new = function(self, inputs, width, stride, parameters)
    self.conv1, self.bn1 = conv(inputs, width, 3, stride), nn.batch_norm2d(width)
    self.conv2, self.bn2 = conv(width, width, 3), nn.batch_norm2d(width)
    make_shortcut(self, inputs, width, stride, parameters)
  end,
  forward = function(self, x)
    local y = nn.conv_norm(self.conv1, self.bn1, x, RELU)
    return nn.conv_norm(self.conv2, self.bn2, y, {add = shortcut(self, x), relu = true})
  end,
})

local bottleneck = nn.class("bottleneck", {
  folds = {conv1 = "bn1", conv2 = "bn2", conv3 = "bn3"},
  new = function(self, inputs, width, stride, parameters)
    self.conv1, self.bn1 = conv(inputs, width, 1), nn.batch_norm2d(width)
    self.conv2, self.bn2 = conv(width, width, 3, stride), nn.batch_norm2d(width)
    self.conv3, self.bn3 = conv(width, 4 * width, 1), nn.batch_norm2d(4 * width)
    make_shortcut(self, inputs, 4 * width, stride, parameters)
  end,
  forward = function(self, x)
    local y = nn.conv_norm(self.conv1, self.bn1, x, RELU)
    y = nn.conv_norm(self.conv2, self.bn2, y, RELU)
    return nn.conv_norm(self.conv3, self.bn3, y, {add = shortcut(self, x), relu = true})
  end,
})

-- One layer of `count` blocks; returns it and its number of channels.
local function make_layer(block, inputs, width, count, stride, parameters)
  local blocks, outputs = {}, block == bottleneck and 4 * width or width
  for i = 1, count do
    blocks[i] = block(i == 1 and inputs or outputs, width, i == 1 and stride or 1, parameters)
  end
  return nn.sequential(table.unpack(blocks)), outputs
end

local function build_layers(self, o, counts, width, block, parameters)
  local outputs = width
  for i, count in ipairs(counts) do
    self["layer" .. i], outputs = make_layer(block, outputs, width << (i - 1), count,
      i == 1 and 1 or 2, parameters)
  end
  self.layers = #counts
  self.fc = nn.linear(outputs, o.classes)
end

local function initialise(self, o)
  local mode = o.cifar and "fan_in" or "fan_out"
  local function kaiming(layer)
    nn.initialise.kaiming(layer.weight, {mode = mode, normal = true})
  end
  backbone.initialise(self, {conv = kaiming, linear = o.cifar and kaiming or nil})
end

local methods = {folds = {conv1 = "bn1"}, head = "fc"}

-- The CIFAR networks' authors and their readers call the head linear as often as fc.
function methods.rename(name) return (name:gsub("^linear%.", "fc.")) end

function methods.is_small(o) return CIFAR[o.depth] ~= nil end

function methods:build(o)
  backbone.one_of("resnet", "depth", o.depth, DEPTHS)
  local counts = IMAGENET[o.depth]
  o.cifar = not counts
  if o.cifar then
    local n = CIFAR[o.depth]
    self.preprocessing = backbone.cifar
    self.conv1, self.bn1 = conv(3, 16, 3), nn.batch_norm2d(16)
    build_layers(self, o, {n, n, n}, 16, basic, false)
  else
    self.conv1 = nn.conv2d(3, 64, 7, {stride = 2, padding = 3, bias = false})
    self.bn1, self.pools = nn.batch_norm2d(64), true
    build_layers(self, o, counts, 64, o.depth >= 50 and bottleneck or basic, true)
  end
  initialise(self, o)
end

--- The map of features before the mean is taken over its pixels.
---@param x any images [B, 3, H, W]
---@return any [B, C, H / 32, W / 32], or H / 4 and W / 4 in the CIFAR networks
--- Example:
---     local m = equi.models.resnet {depth = 20}
---     print(m:feature_map(equi.zeros(1, 3, 32, 32)):size())   --> 1 64 8 8
function methods:feature_map(x)
  x = nn.conv_norm(self.conv1, self.bn1, x, RELU)
  if self.pools then x = equi.max_pool2d(x, 3, {stride = 2, padding = 1}) end
  for i = 1, self.layers do x = self["layer" .. i](x) end
  return x
end

--- The vector that the last layer takes.
---@param x any images [B, 3, H, W]
---@return any [B, 64] of the CIFAR networks, [B, 512] of 18 and 34, else [B, 2048]
--- Example:
---     local m = equi.models.resnet {depth = 20}
---     print(m:features(equi.zeros(1, 3, 32, 32)):size())   --> 1 64
function methods:features(x) return backbone.pooled(self:feature_map(x)) end

function methods:forward(x) return self.fc(self:features(x)) end

--- Makes a residual network: equi.models.resnet{depth = 18}.
---
--- depth is 18, 34, 50, 101 or 152 for ImageNet, 20, 32, 44, 56, 110 or 1202 for CIFAR. With
--- weights and another number of classes than the file's the last layer is new.
---@param o? table {depth = 18, classes = 1000 or 10 of CIFAR, weights = path or table, seed = nil}
--- Example:
---     print(equi.models.resnet {depth = 20}:count())   --> 269722
return backbone.class("resnet", {depth = 18}, methods)
