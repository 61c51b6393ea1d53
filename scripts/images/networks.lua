--- Backbones, groups and combinations by the names of the command line; models made of them.
local equi = require "lua_equi"

local nn, combine = equi.nn, equi.combine
local networks = {}

-- ---- backbones ----

local known = {alexnet = {"alexnet", {}}}
local names = {"alexnet"}

local function add(name, file, options)
  known[name] = {file, options}
  names[#names + 1] = name
end

for _, depth in ipairs {20, 32, 44, 56, 110, 1202, 18, 34, 50, 101, 152} do
  add("resnet" .. depth, "resnet", {depth = depth})
end
for _, depth in ipairs {11, 13, 16, 19} do
  add("vgg" .. depth, "vgg", {depth = depth})
  add("vgg" .. depth .. "_bn", "vgg", {depth = depth, batch_norm = true})
end
add("densenet40", "densenet", {depth = 40, growth = 12, bottleneck = false})
add("densenet40_fast", "densenet", {depth = 40, growth = 12, fast = true})
for _, depth in ipairs {121, 161, 169, 201} do
  add("densenet" .. depth, "densenet", {depth = depth})
end
add("squeezenet1_0", "squeezenet", {version = "1.0"})
add("squeezenet1_1", "squeezenet", {version = "1.1"})
networks.names = names

-- What Caffe's networks want: BGR, 0 .. 255, minus a mean. The same as RGB from 0 to 1 with the
-- channels of the first convolution exchanged and these numbers.
local caffe = {mean = {123 / 255, 117 / 255, 104 / 255}, std = {1 / 255, 1 / 255, 1 / 255}}

--- Turns the channels of the first convolution around: a network for BGR takes RGB, and back.
---@param network table
function networks.exchange_colours(network)
  local done = false
  nn.walk(network, function(kind, t)
    if kind == "parameter" and not done and t.ndim == 4 and t:size(2) == 3 then
      t:detach():copy_(t:detach():flip(2))
      done = true
    end
  end)
end

-- Whether the weights have a last layer for another number of classes, or none.
local function is_fresh(network, state, classes)
  for name, t in pairs(state) do
    name = network.rename and network.rename(name) or name
    if name == network.head .. ".weight" then return t:size(1) ~= classes end
  end
  return true
end

--- A backbone for so many classes; with weights, whether its last layer is new.
---@param name string
---@param classes integer
---@param o table {weights = path, shipped name or "", seed =, pixels = "torch" or "caffe",
--- resize =, crop =: sides, 0 for the network's own; size = of pictures that are taken as they are}
---@return table network
---@return boolean fresh the last layer knows nothing yet
function networks.build(name, classes, o)
  local file, options = table.unpack(known[name])
  local given = {classes = classes, seed = o.seed}
  for key, value in pairs(options) do given[key] = value end
  local state = nil
  if o.weights ~= "" then
    local network = file .. (options.depth or options.version or "")
    local path = equi.models.backbone.weights_path(network, o.weights)
    local f = path == o.weights or io.open(path, "rb")
    if not f then
      error(('no weights "%s" of %s come with the models; give --weights FILE, such as one that '
        .. "scripts/get_weights.lua fetches"):format(o.weights, network), 0)
    end
    if f ~= true then f:close() end
    state = equi.load_weights(path)
  end
  given.weights = state
  local net = equi.models[file](given)
  local own = net.preprocessing
  local want = {resize = own.resize, crop = own.crop, mean = own.mean, std = own.std}
  if o.pixels == "caffe" then
    networks.exchange_colours(net)
    want.mean, want.std = caffe.mean, caffe.std
  end
  if o.size then want.resize, want.crop = o.size, o.size end
  if o.resize > 0 then want.resize = o.resize end
  if o.crop > 0 then want.crop = o.crop end
  net.preprocessing = want
  return net, not state or is_fresh(net, state, classes)
end

-- ---- groups ----

-- What the elements do to an image, by their names in the group; the names of the tables' columns.
local turns = {e = "upright", r = "90", r2 = "180", r3 = "270", s = "hflip", sr2 = "vflip",
               sr = "antitranspose", sr3 = "transpose"}

networks.groups = {
  c4 = {group = equi.group.cyclic(4), moves = turns},
  d4 = {group = equi.group.dihedral(4), moves = turns},
  c2 = {group = equi.group.cyclic(2), generators = {"rot180"}, moves = {e = "upright", r = "180"}},
  hflip = {group = equi.group.cyclic(2), generators = {"hflip"},
           moves = {e = "upright", r = "hflip"}},
  vflip = {group = equi.group.cyclic(2), generators = {"vflip"},
           moves = {e = "upright", r = "vflip"}},
  flips = {group = equi.group.klein(), moves = {e = "upright", a = "hflip", b = "vflip",
                                                ab = "180"}},
}
networks.group_names = {"c4", "d4", "c2", "hflip", "vflip", "flips"}

--- The action of a group on images.
---@param name string
---@return any action
function networks.action(name)
  local g = networks.groups[name]
  return equi.action.grid(g.group, g.generators and {generators = g.generators} or nil)
end

-- ---- equituned classifiers ----

-- What a network sees, as a module of its own: its features are equituned, a head follows.
local features = nn.class("features", {
  new = function(self, network) self.network = network end,
  forward = function(self, x) return self.network:features(x) end,
})

-- The largest probability: which branch is surest of its answer.
local function confidence(logits) return (logits:softmax(-1):max(-1)) end

local function feature_size(network)
  local p = network.preprocessing
  return equi.no_grad(function()
    return nn.evaluating(network, function()
      return network:features(equi.zeros(1, 3, p.crop, p.crop)):size(2)
    end)
  end)
end

-- Images down to at most 32 x 32 pixels, which show well enough where up is.
local function small(x)
  return x:size(3) > 32 and equi.adaptive_avg_pool2d(x, 32) or x
end

--- The energy of canonicalization: a small network, one number per image.
---@return table module
function networks.energy()
  return nn.sequential(small, nn.conv2d(3, 32, 5, {stride = 2, padding = 2}), equi.relu,
    nn.conv2d(32, 64, 3, {stride = 2, padding = 1}), equi.relu,
    nn.conv2d(64, 64, 3, {padding = 1}), equi.relu,
    function(x) return equi.adaptive_avg_pool2d(x, 4):reshape(x:size(1), -1) end,
    nn.linear(1024, 128), equi.relu, nn.linear(128, 1))
end

--- The equituned classifier.
---@param network table
---@param o table {group = name, combine = name, head = "logits" or "features", chunk =}
---@return any model
---@return table parts {net = the weight network, pick = the choice of elements, head = last layer}
function networks.equituned(network, o)
  local action, parts = networks.action(o.group), {head = network:last_layer()}
  local given = {input = action, chunk = o.chunk}
  if o.combine == "canonical" then
    parts.pick = combine.canonical(networks.energy(), action)
    given.pick, given.chunk = parts.pick, nil
  elseif o.combine == "best" then
    given.combine = combine.best(confidence)
  elseif o.combine == "weighted" then
    parts.net = combine.lambda(network, feature_size(network))
    given.combine = combine.weighted(parts.net)
  end
  if o.head == "logits" then return equi.equitune(network, given), parts end
  if parts.head.weight.ndim ~= 2 then
    parts.head = nn.linear(feature_size(network), parts.head.weight:size(1))
  end
  return nn.sequential(equi.equitune(features(network), given), parts.head), parts
end

--- The same model for evaluation in batches that keep a processor busy by themselves: one element
--- of the group at a time, which stays in the caches (ResNet-20, 64 images: 4.3 times the plain
--- network instead of 5.6).
---@param model any
---@return any
function networks.for_batches(model)
  if type(model) ~= "userdata" or model.pick then return model end
  return equi.equitune(model.model, {input = model.input, combine = model.combine, chunk = 1})
end

--- What a training step costs for each image, in those of the plain network. The frozen copy of
--- lambda-equitune only goes forward, a third of a pass that learns.
---@param o table {group =, combine =}
---@return number
function networks.passes(o)
  if o.combine == "canonical" then return 1 end
  local order = networks.groups[o.group].group.order
  return o.combine == "weighted" and order * 4 / 3 or order
end

return networks
