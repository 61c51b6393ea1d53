--- What image backbones share: options, weights from a file, the head, preprocessing.
--
-- A backbone is a module with torchvision's parameter names: its state dicts load as they are. In
-- all of them
--
--     m(x)               logits [B, classes] of images x [B, 3, H, W], prepared as m.preprocessing
--                        says
--     m:features(x)      the vector [B, D] that the last layer takes
--     m:last_layer()     the module that makes logits of it
--     m:replace_head(n)  a fresh last layer for n classes; also by assignment: m.fc = ...
--
-- This file is not a backbone itself; each architecture has a file of its own.
local equi = require "lua_equi"
local options = require "lua_equi.options"

local nn = equi.nn
local backbone = {}
local folder = (select(2, ...) or ""):match "^(.*[/\\])" or "" -- this file's
local RELU = {relu = true}

local MEAN, STD = {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}
-- Images with values from 0 to 1: the shorter side to `resize`, the middle `crop` x `crop`, then
-- (x - mean) / std for each channel.
backbone.imagenet = {resize = 256, crop = 224, mean = MEAN, std = STD}
backbone.cifar = {resize = 32, crop = 32, mean = MEAN, std = STD}

-- ---- weights ----

local function renamed(state, rename)
  local result = {}
  for name, tensor in pairs(state) do
    result[rename and type(name) == "string" and rename(name) or name] = tensor
  end
  return result
end

-- ---- the head ----

-- "classifier.6" names the entry 7 of a list: as in files, lists count from 0 there.
local function place_of(model, path)
  local owner, key = model, nil
  for part in path:gmatch "[^.]+" do
    if key then owner = owner[key] end
    key = math.tointeger(part) and math.tointeger(part) + 1 or part
  end
  return owner, key
end

-- The last layer, with weight and bias.
local function last_layer(self)
  local owner, key = place_of(self, self.head)
  return owner[key]
end

local function replace_head(self, classes)
  if math.type(classes) ~= "integer" or classes < 1 then
    error(("replace_head: classes must be a whole number of at least 1, got %s"):format(
      tostring(classes)), 2)
  end
  local owner, key = place_of(self, self.head)
  local weight = owner[key].weight
  local new = weight.ndim == 4 and nn.conv2d(weight:size(2), classes, 1) or
    nn.linear(weight:size(2), classes)
  owner[key] = nn.to(new, weight.dtype):train(self.training)
  return self
end

-- ---- loading ----

-- With the number of classes given, a head for another number is left out: the model's is new then.
local function drop_head(state, own, head, classes)
  local given = state[head .. ".weight"]
  if not classes or not equi.is_tensor(given) or given:size(1) == classes then return false end
  for _, part in ipairs {".weight", ".bias"} do state[head .. part] = own[head .. part] end
  return true
end

--- The file that `weights` means: a path is one, and a plain name such as "cifar10" is that of
--- weights which come with the models: weights/NETWORK-NAME.safetensors beside this file.
---
--- Example:
---     print(equi.models.backbone.weights_path("resnet20", "my.safetensors"))   --> my.safetensors
---     print(equi.models.backbone.weights_path("resnet20", "cifar10"):match "weights.*")
---     --> weights/resnet20-cifar10.safetensors
---@param network string architecture and depth
---@param weights string
---@return string path
function backbone.weights_path(network, weights)
  if weights:find "[/\\.]" then return weights end
  return ("%sweights/%s-%s.safetensors"):format(folder, network, weights)
end

local function read_weights(who, network, weights)
  if type(weights) ~= "string" then return weights end
  local path = backbone.weights_path(network, weights)
  local f = path ~= weights and io.open(path, "rb")
  if path ~= weights and not f then
    error(('%s: no weights "%s" of %s come with the models; give the path of a file'):format(who,
      weights, network), 0)
  end
  if f then f:close() end
  return (equi.load_weights(path))
end

local function load_into(model, who, network, weights, classes, rename)
  local state, is_new = read_weights(who, network, weights), false
  if type(state) == "table" then
    state = renamed(state, rename)
    is_new = drop_head(state, model:state_dict(), model.head, classes)
  end
  model:load_state_dict(state)
  if is_new then model:replace_head(classes) end
end

-- ---- classes ----

--- Declares a backbone: a class of modules whose constructor takes one table of options.
---
--- To the defaults are added weights (a file, the name of weights that come with the models, or a
--- table of tensors by name), classes and seed.
--- The methods are build(self, o), which fills the module, and forward; `head` is the name of the
--- last layer as in state dicts; rename(name) turns names of published files into the model's own;
--- is_small(o) says that it is a network for CIFAR-10, with 10 classes instead of 1000.
---
--- Example:
---     local nn = equi.nn
---     local tiny = equi.models.backbone.class("tiny", {width = 4}, {
---       head = "fc",
---       build = function(self, o) self.fc = nn.linear(o.width, o.classes) end,
---       features = function(_, x) return x:mean({3, 4}) end,
---       forward = function(self, x) return self.fc(self:features(x)) end,
---     })
---     local m = tiny {classes = 3, seed = 1}
---     print(m:replace_head(7)(equi.ones(2, 4, 5, 5)):size())   --> 2 7
---@param name string
---@param defaults table options and their defaults
---@param methods table
---@return function constructor
function backbone.class(name, defaults, methods)
  local known = {classes = options.any(), weights = options.any(), seed = options.any()}
  for key, value in pairs(defaults) do known[key] = value end
  function methods.new(self, o)
    local given = options.check(name, o, known)
    local asked = given.classes
    if asked ~= nil and (math.type(asked) ~= "integer" or asked < 1) then
      error(("%s: classes must be a whole number of at least 1, got %s"):format(name,
        tostring(asked)), 3)
    end
    given.classes = asked or (methods.is_small and methods.is_small(given) and 10) or 1000
    local state = given.seed and equi.rng_state()
    if given.seed then equi.seed(given.seed) end
    local ok, problem
    if given.weights then
      ok, problem = pcall(nn.initialise.without, self.build, self, given)
      local network = name .. (given.depth or given.version or "")
      if ok then
        ok, problem = pcall(load_into, self, name, network, given.weights, asked, methods.rename)
      end
    else
      ok, problem = pcall(self.build, self, given)
    end
    if state then equi.rng_state(state) end
    if not ok then error(problem, 3) end
    self.preprocessing = self.preprocessing or backbone.imagenet
  end
  methods.replace_head, methods.last_layer = replace_head, last_layer
  return nn.class(name, methods)
end

--- Raises unless an option is one of the values that there are.
---
--- Example:
---     print(pcall(equi.models.backbone.one_of, "resnet", "depth", 19, {18, 34}))
---     --> false resnet: depth must be one of 18, 34, got 19
---@param who string
---@param option string
---@param value any
---@param values any[]
function backbone.one_of(who, option, value, values)
  for _, v in ipairs(values) do
    if v == value then return end
  end
  error(("%s: %s must be one of %s, got %s"):format(who, option, table.concat(values, ", "),
    tostring(value)), 0)
end

--- Initialises all layers below m: linear(layer) and conv(layer) are called for each of them.
---
--- Example:
---     local net = equi.nn.sequential(equi.nn.linear(2, 3), equi.nn.linear(3, 1))
---     local n = 0
---     equi.models.backbone.initialise(net, {linear = function() n = n + 1 end})
---     print(n)   --> 2
---@param m any
---@param how {linear: function?, conv: function?}
function backbone.initialise(m, how)
  nn.walk(m, function(kind, v)
    if kind ~= "module" or not getmetatable(v) or not v.class_name then return end
    local class = v:class_name()
    if class == "linear" and how.linear then how.linear(v) end
    if class == "conv2d" and how.conv then how.conv(v) end
  end)
end

--- The mean over the pixels: [B, C, H, W] -> [B, C].
---
--- Example:
---     print(equi.models.backbone.pooled(equi.ones(2, 3, 4, 4)):size())   --> 2 3
---@param x any
---@return any
function backbone.pooled(x)
  return equi.adaptive_avg_pool2d(x, {1, 1}):reshape(x:size(1), x:size(2))
end

--- A sequential that does norm and relu in one pass and is called `features`, as in torchvision:
--- m.features(x) is the map of features [B, C, H, W], m:features(x) the vector that the head takes,
--- which is m:vector(x).
---
--- Example:
---     local f = equi.models.backbone.features(equi.relu)
---     print(f(equi.ones(2)):sum():item())   --> 2.0
backbone.features = nn.class("features", {
  chain = true,
  new = function(self, ...)
    for i, part in ipairs {...} do self[i] = part end
  end,
  forward = function(self, x, images)
    if images ~= nil then return x:vector(images) end
    local i, n = 1, #self
    while i <= n do
      local both = self[i + 1] == equi.relu and type(self[i]) == "table" and self[i].running_mean
      if both then x = self[i](x, RELU) else x = self[i](x) end
      i = i + (both and 2 or 1)
    end
    return x
  end,
})

return backbone
