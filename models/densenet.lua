--- Densely connected networks (Huang, Liu, van der Maaten and Weinberger, CVPR 2017): torchvision's
--- for ImageNet (121, 161, 169, 201), and the paper's for CIFAR (depth 40, growth 12, and others).
--
-- Every layer of a block sees the features of all layers before it. They lie in one channels-last
-- buffer, to which a layer's own are appended (equi.append), so nothing is copied twice; batch norm
-- and relu read ranges of its channels. A layer is norm, relu, conv 3 x 3, with a bottleneck norm,
-- relu, conv 1 x 1 before it. densenet{fast = true} is another, simpler network: see below.
local equi = require "lua_equi"
local options = require "lua_equi.options"

local backbone = equi.models.backbone

local nn = equi.nn
local RELU = {relu = true}
local IMAGENET = {
  [121] = {growth = 32, width = 64, blocks = {6, 12, 24, 16}},
  [161] = {growth = 48, width = 96, blocks = {6, 12, 36, 24}},
  [169] = {growth = 32, width = 64, blocks = {6, 12, 32, 32}},
  [201] = {growth = 32, width = 64, blocks = {6, 12, 48, 32}},
}
local BOTTLENECK = 4 -- its width in growths

local function conv(inputs, outputs, kernel, stride)
  return nn.conv2d(inputs, outputs, kernel,
    {stride = stride or 1, padding = kernel // 2, bias = false})
end

local dense_layer = nn.class("dense_layer", {
  folds = {conv1 = "norm2"},
  new = function(self, inputs, o)
    local inner = BOTTLENECK * o.growth
    self._dropout = o.dropout
    self.norm1 = nn.batch_norm2d(inputs)
    if o.bottleneck then
      self.conv1, self.norm2 = conv(inputs, inner, 1), nn.batch_norm2d(inner)
      self.conv2 = conv(inner, o.growth, 3)
    else
      self.conv1 = conv(inputs, o.growth, 3)
    end
  end,
  forward = function(self, x)
    x = self.norm1(x, RELU)
    if self.conv2 then x = self.conv2(nn.conv_norm(self.conv1, self.norm2, x, RELU))
    else x = self.conv1(x) end
    if self._dropout > 0 then x = equi.dropout(x, self._dropout, self.training) end
    return x
  end,
})

-- Layers are found under `name` .. i; apply(layer, x) computes what is appended to x.
local function grow(self, name, x, apply)
  local room = self._outputs
  for i = 1, self._layers do x = equi.append(x, apply(self[name .. i], x), room) end
  return x
end

local function run(layer, x) return layer(x) end

local dense_block = nn.class("dense_block", {
  new = function(self, inputs, layers, o)
    self._layers, self._outputs = layers, inputs + layers * o.growth
    for i = 1, layers do
      self["denselayer" .. i] = dense_layer(inputs + (i - 1) * o.growth, o)
    end
  end,
  forward = function(self, x) return grow(self, "denselayer", x, run) end,
})

local transition = nn.class("transition", {
  new = function(self, inputs, outputs)
    self.norm, self.conv = nn.batch_norm2d(inputs), conv(inputs, outputs, 1)
  end,
  forward = function(self, x) return equi.avg_pool2d(self.conv(self.norm(x, RELU)), 2) end,
})

local features = nn.class("features", {
  folds = {conv0 = "norm0"},
  new = function(self, o, blocks, width)
    self._blocks, self._small = #blocks, o.small
    if o.small then
      self.conv0 = conv(3, width, 3)
    else
      self.conv0 = nn.conv2d(3, width, 7, {stride = 2, padding = 3, bias = false})
      self.norm0 = nn.batch_norm2d(width)
    end
    for i, layers in ipairs(blocks) do
      self["denseblock" .. i] = dense_block(width, layers, o)
      width = width + layers * o.growth
      if i < #blocks then
        local inputs = width
        width = math.floor(width * o.compression)
        self["transition" .. i] = transition(inputs, width)
      end
    end
    self.norm5 = nn.batch_norm2d(width)
  end,
  -- Called as a method of the model it is the vector that the head takes; see backbone.features.
  forward = function(self, x, images)
    if images ~= nil then return x:vector(images) end
    return self.norm5(self:before_norm(x))
  end,
  before_norm = function(self, x)
    if self._small then
      x = self.conv0(x)
    else
      x = nn.conv_norm(self.conv0, self.norm0, x, RELU)
      x = equi.max_pool2d(x, 3, {stride = 2, padding = 1})
    end
    for i = 1, self._blocks do
      x = self["denseblock" .. i](x)
      if i < self._blocks then x = self["transition" .. i](x) end
    end
    return x
  end,
})

local methods = {head = "classifier"}

-- Published files say norm.1 and conv.2 in the dense layers.
function methods.rename(name)
  return (name:gsub("(denselayer%d+%.%a+)%.([12])%.", "%1%2."))
end

function methods.is_small(o) return not IMAGENET[o.depth] end

-- The layers of the three blocks of a network for CIFAR.
local function small_blocks(o)
  local per = o.bottleneck and 6 or 3
  if math.type(o.depth) ~= "integer" or o.depth < 4 + per or (o.depth - 4) % per ~= 0 then
    error(("densenet: depth must be 121, 161, 169 or 201, or, for CIFAR, 4 more than a multiple of "
      .. "%d; got %s"):format(per, tostring(o.depth)), 0)
  end
  local n = (o.depth - 4) // per
  return {n, n, n}
end

local function complete(o)
  local known = IMAGENET[o.depth]
  o.small = not known
  if o.bottleneck == nil then o.bottleneck = known ~= nil end
  o.growth = o.growth or known and known.growth or 12
  o.compression = o.compression or o.bottleneck and 0.5 or 1
  return known and known.blocks or small_blocks(o),
    known and known.width or o.bottleneck and 2 * o.growth or 16
end

function methods:build(o)
  local blocks, width = complete(o)
  if o.small then self.preprocessing = backbone.cifar end
  self.features = features(o, blocks, width)
  self.classifier = nn.linear(self.features.norm5.weight:size(1), o.classes)
  backbone.initialise(self, {
    conv = function(layer) nn.initialise.kaiming(layer.weight, {normal = true}) end,
    linear = function(layer) nn.initialise.constant(layer.bias, 0) end,
  })
end

--- The vector that the last layer takes: m:features(x) is the same.
---@param x any images [B, 3, H, W]
---@return any [B, D]; D is 1024 of densenet121
--- Example:
---     local m = equi.models.densenet {depth = 40, growth = 12, bottleneck = false}
---     print(m:vector(equi.zeros(1, 3, 32, 32)):size())   --> 1 448
function methods:vector(x)
  return backbone.pooled(self.features.norm5(self.features:before_norm(x), RELU))
end

function methods:forward(x) return self.classifier(self:vector(x)) end

-- ---- the fast network for CIFAR ----

-- A layer is relu and conv alone; norms stand behind the first convolution and the transitions:
-- https://github.com/titu1994/DenseNet, "DenseNet-Fast". Pixels are 0 to 255 there.
local fast_block = nn.class("fast_block", {
  new = function(self, inputs, layers, growth)
    self._layers, self._outputs = layers, inputs + layers * growth
    for i = 1, layers do self["conv" .. i] = conv(inputs + (i - 1) * growth, growth, 3) end
  end,
  forward = function(self, x)
    return grow(self, "conv", x, function(layer, y) return layer(y:relu()) end)
  end,
})

local fast_transition = nn.class("fast_transition", {
  new = function(self, width)
    self.conv, self.bn = conv(width, width, 1), nn.batch_norm2d(width, {eps = 1e-3})
  end,
  forward = function(self, x) return self.bn(equi.avg_pool2d(self.conv(x), 2)) end,
})

local fast = {head = "fc", folds = {conv0 = "bn0"}}

function fast.is_small() return true end

function fast:build(o)
  local blocks, width = small_blocks(o), 16
  self.preprocessing = {resize = 32, crop = 32, mean = {0, 0, 0}, std = {1 / 255, 1 / 255, 1 / 255}}
  self.conv0, self.bn0 = conv(3, width, 3), nn.batch_norm2d(width, {eps = 1e-3})
  for i, layers in ipairs(blocks) do
    self["block" .. i] = fast_block(width, layers, o.growth)
    width = width + layers * o.growth
    if i < #blocks then self["trans" .. i] = fast_transition(width) end
  end
  self._blocks = #blocks
  self.fc = nn.linear(width, o.classes)
  backbone.initialise(self, {
    conv = function(layer) nn.initialise.kaiming(layer.weight, {normal = true}) end,
  })
end

function fast:features(x)
  x = nn.conv_norm(self.conv0, self.bn0, x)
  for i = 1, self._blocks do
    x = self["block" .. i](x)
    if i < self._blocks then x = self["trans" .. i](x) end
  end
  return backbone.pooled(x:relu())
end

function fast:forward(x) return self.fc(self:features(x)) end

local new = backbone.class("densenet", {depth = 121, growth = options.any(),
  bottleneck = options.any(), compression = options.any(), dropout = 0}, methods)
local new_fast = backbone.class("densenet_fast", {depth = 40, growth = 12}, fast)

--- Makes a densely connected network: equi.models.densenet{depth = 121}.
---
--- depth is 121, 161, 169 or 201 for ImageNet; another one, as in {depth = 40, growth = 12,
--- bottleneck = false}, is for CIFAR: three blocks. fast = true is the variant for CIFAR without
--- norms in its layers, whose images have values from 0 to 255. Published files of before 2018 call
--- norm1 norm.1; that is understood.
---@param o? table {depth = 121, growth = 32 or the depth's own, bottleneck = true, of CIFAR false,
--- compression = 0.5, without bottleneck 1, dropout = 0, fast = false, classes = 1000 or 10 of
--- CIFAR, weights = path or table, seed = nil}
--- Example:
---     print(equi.models.densenet {depth = 40, growth = 12, bottleneck = false}:count())
---     --> 1019722
return function(o)
  if type(o) ~= "table" or o.fast == nil then return new(o) end
  local rest = {}
  for key, value in pairs(o) do
    if key ~= "fast" then rest[key] = value end
  end
  return (o.fast and new_fast or new)(rest)
end
