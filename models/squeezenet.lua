--- SqueezeNet 1.0 and 1.1 (Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer
--- parameters", 2016, arXiv 1602.07360), as torchvision has them.
--
-- A fire module squeezes the channels by a 1 x 1 convolution and widens them again by a 1 x 1 and a
-- 3 x 3 one side by side. The last layer is a convolution, whose maps are averaged.
local equi = require "lua_equi"
local backbone = equi.models.backbone

local nn = equi.nn
local RELU = {relu = true}
local methods = {head = "classifier.1"}

local fire = nn.class("fire", {
  new = function(self, inputs, squeeze, expand)
    self.squeeze = nn.conv2d(inputs, squeeze, 1)
    self.expand1x1 = nn.conv2d(squeeze, expand, 1)
    self.expand3x3 = nn.conv2d(squeeze, expand, 3, {padding = 1})
  end,
  folds = {squeeze = false, expand1x1 = false, expand3x3 = false},
  forward = function(self, x)
    x = nn.conv_norm(self.squeeze, nil, x, RELU)
    return equi.append(nn.conv_norm(self.expand1x1, nil, x, RELU),
      nn.conv_norm(self.expand3x3, nil, x, RELU))
  end,
})

local function pool() return nn.max_pool2d(3, {stride = 2, ceil_mode = true}) end

local function build_1_0()
  return backbone.features(
    nn.conv2d(3, 96, 7, {stride = 2}), equi.relu, pool(),
    fire(96, 16, 64), fire(128, 16, 64), fire(128, 32, 128), pool(),
    fire(256, 32, 128), fire(256, 48, 192), fire(384, 48, 192), fire(384, 64, 256), pool(),
    fire(512, 64, 256))
end

local function build_1_1()
  return backbone.features(
    nn.conv2d(3, 64, 3, {stride = 2}), equi.relu, pool(),
    fire(64, 16, 64), fire(128, 16, 64), pool(),
    fire(128, 32, 128), fire(256, 32, 128), pool(),
    fire(256, 48, 192), fire(384, 48, 192), fire(384, 64, 256), fire(512, 64, 256))
end

function methods:build(o)
  backbone.one_of("squeezenet", "version", o.version, {"1.0", "1.1"})
  self.features = o.version == "1.0" and build_1_0() or build_1_1()
  local last = nn.conv2d(512, o.classes, 1)
  self.classifier = nn.sequential(nn.dropout(o.dropout), last, equi.relu)
  backbone.initialise(self, {conv = function(layer)
    if layer == last then nn.initialise.normal(layer.weight, 0, 0.01)
    else nn.initialise.kaiming(layer.weight) end
    nn.initialise.constant(layer.bias, 0)
  end})
end

--- The mean over the pixels of what the last layer, a convolution, takes: m:features(x) is the
--- same.
---@param x any images [B, 3, H, W]
---@return any [B, 512]
--- Example:
---     local m = equi.models.squeezenet {classes = 10}
---     print(m:vector(equi.zeros(1, 3, 64, 64)):size())   --> 1 512
function methods:vector(x) return backbone.pooled(self.features(x)) end

function methods:forward(x) return backbone.pooled(self.classifier(self.features(x))) end

--- Makes a SqueezeNet: equi.models.squeezenet{version = "1.1"}. The head is m.classifier[2], a
--- convolution, which files call classifier.1.
---@param o? table {version = "1.1" or "1.0", classes = 1000, dropout = 0.5, weights = path or
--- table, seed = nil}
--- Example:
---     print(equi.models.squeezenet {version = "1.1"}:count())   --> 1235496
return backbone.class("squeezenet", {version = "1.1", dropout = 0.5}, methods)
