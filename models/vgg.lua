--- VGG networks (Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
--- recognition", ICLR 2015) with 11, 13, 16 and 19 layers, with batch norm or without, as
--- torchvision has them.
local equi = require "lua_equi"
local backbone = equi.models.backbone

local nn = equi.nn
local WIDTHS = {64, 128, 256, 512, 512}
local COUNTS = {[11] = {1, 1, 2, 2, 2}, [13] = {2, 2, 2, 2, 2}, [16] = {2, 2, 3, 3, 3},
  [19] = {2, 2, 4, 4, 4}}
local methods = {head = "classifier.6"}

local function features(counts, batch_norm)
  local list, inputs = {}, 3
  for i, width in ipairs(WIDTHS) do
    for _ = 1, counts[i] do
      list[#list + 1] = nn.conv2d(inputs, width, 3, {padding = 1})
      if batch_norm then list[#list + 1] = nn.batch_norm2d(width) end
      list[#list + 1] = equi.relu
      inputs = width
    end
    list[#list + 1] = nn.max_pool2d(2, {stride = 2})
  end
  return backbone.features(table.unpack(list))
end

local function initialise(self)
  backbone.initialise(self, {
    conv = function(layer)
      nn.initialise.kaiming(layer.weight, {mode = "fan_out", normal = true})
      nn.initialise.constant(layer.bias, 0)
    end,
    linear = function(layer)
      nn.initialise.normal(layer.weight, 0, 0.01)
      nn.initialise.constant(layer.bias, 0)
    end,
  })
end

function methods:build(o)
  backbone.one_of("vgg", "depth", o.depth, {11, 13, 16, 19})
  self.features = features(COUNTS[o.depth], o.batch_norm)
  self.classifier = nn.sequential(
    nn.linear(512 * 7 * 7, 4096), equi.relu, nn.dropout(o.dropout),
    nn.linear(4096, 4096), equi.relu, nn.dropout(o.dropout),
    nn.linear(4096, o.classes))
  initialise(self)
end

--- The vector that the last layer takes: m:features(x) is the same.
---@param x any images [B, 3, H, W], H and W at least 32
---@return any [B, 4096]
--- Example:
---     local m = equi.nn.initialise.without(equi.models.vgg, {depth = 11, classes = 2})
---     print(m:vector(equi.zeros(1, 3, 32, 32)):size())   --> 1 4096
function methods:vector(x)
  x = equi.adaptive_avg_pool2d(self.features(x), {7, 7}):flatten(2)
  for i = 1, #self.classifier - 1 do x = self.classifier[i](x) end
  return x
end

function methods:forward(x) return self.classifier[#self.classifier](self:vector(x)) end

--- Makes a VGG network: equi.models.vgg{depth = 11, batch_norm = true}. The head is
--- m.classifier[7], which files call classifier.6.
---@param o? table {depth = 16, 11, 13 or 19, batch_norm = false, classes = 1000, dropout = 0.5,
--- weights = path or table, seed = nil}
--- Example:
---     local m = equi.nn.initialise.without(equi.models.vgg, {depth = 11, batch_norm = true})
---     print(#m.features, m:count())   --> 29 132868840
return backbone.class("vgg", {depth = 16, batch_norm = false, dropout = 0.5}, methods)
