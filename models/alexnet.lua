--- AlexNet (Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014,
--- arXiv 1404.5997), as torchvision has it: one column, no response normalisation.
local equi = require "lua_equi"
local backbone = equi.models.backbone

local nn = equi.nn
local methods = {head = "classifier.6"}

local function conv(inputs, outputs, kernel, padding, stride)
  return nn.conv2d(inputs, outputs, kernel, {stride = stride or 1, padding = padding})
end

local function pool() return nn.max_pool2d(3, {stride = 2}) end

function methods:build(o)
  local relu = equi.relu
  self.features = backbone.features(
    conv(3, 64, 11, 2, 4), relu, pool(),
    conv(64, 192, 5, 2), relu, pool(),
    conv(192, 384, 3, 1), relu,
    conv(384, 256, 3, 1), relu,
    conv(256, 256, 3, 1), relu, pool())
  self.classifier = nn.sequential(
    nn.dropout(o.dropout), nn.linear(256 * 6 * 6, 4096), relu,
    nn.dropout(o.dropout), nn.linear(4096, 4096), relu,
    nn.linear(4096, o.classes))
end

--- The vector that the last layer takes: m:features(x) is the same.
---@param x any images [B, 3, H, W], H and W at least 63
---@return any [B, 4096]
--- Example:
---     local m = equi.nn.initialise.without(equi.models.alexnet, {classes = 10})
---     print(m:vector(equi.zeros(1, 3, 64, 64)):size())   --> 1 4096
function methods:vector(x)
  x = equi.adaptive_avg_pool2d(self.features(x), {6, 6}):flatten(2)
  for i = 1, #self.classifier - 1 do x = self.classifier[i](x) end
  return x
end

function methods:forward(x) return self.classifier[#self.classifier](self:vector(x)) end

--- Makes an AlexNet: equi.models.alexnet{}. Layers start as PyTorch's do. The head is
--- m.classifier[7], which files call classifier.6.
---@param o? table {classes = 1000, dropout = 0.5, weights = path or table, seed = nil}
--- Example:
---     local m = equi.nn.initialise.without(equi.models.alexnet)
---     print(m:count())   --> 61100840
return backbone.class("alexnet", {dropout = 0.5}, methods)
