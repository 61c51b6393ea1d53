--- LoRA (Hu et al., "Low-rank adaptation of large language models", ICLR 2022): fine-tuning of a
--- few numbers beside frozen weights,
--
--     y = layer(x) + scale B A dropout(x)        A [rank, in], B [out, rank], scale = alpha / rank
--
-- A begins as linear's weights do and B with zeros, so that at first nothing changes. Layers are
-- linear or affine ones, by name. The files are PEFT's: adapter_config.json beside
-- adapter_model.safetensors. NOT its other methods, ranks that differ by layer, or trained biases.
local arguments = require "lua_equi.arguments"
local basic = require "lua_equi.nn.basic"
local classes = require "lua_equi.nn.class"
local core = require "lua_equi.core"
local initialise = require "lua_equi.nn.initialise"
local options = require "lua_equi.options"
local peft = require "lua_equi.formats.peft"
local walk = require "lua_equi.nn.walk"

local lora = {}

local LAYERS = {linear = true, affine = true}

-- ---- one layer ----

-- Has the fields of the layer in whose place it stands, so that names of weights stay.
local adapted = classes.class("lora", {
  new = function(self, base, o)
    for name, value in pairs(base) do self[name] = value end
    self._base, self._forward = getmetatable(base), base.forward
    self._turned = base:class_name() == "affine"
    local outputs, inputs = base.weight:size()
    if self._turned then outputs, inputs = inputs, outputs end
    self.scale, self.dropout = o.scale, o.dropout
    self.lora_A = basic.linear(inputs, o.rank, {bias = false})
    self.lora_B = initialise.without(basic.linear, o.rank, outputs, {bias = false})
    for _, part in ipairs {"lora_A", "lora_B"} do
      if base.weight.dtype == "f64" then
        self[part].weight = self[part].weight:detach():to("f64"):requires_grad_()
      end
      self[part].training = self.training
    end
  end,
  forward = function(self, x)
    local y = self._forward(self, x)
    if self._merged then return y end
    local z = core.dropout(x, self.dropout, self.training)
    return y + self.lora_B(self.lora_A(z)) * self.scale
  end,
  extra = function(self)
    return ("%s, rank %d%s"):format(self._base.name, self.lora_A.weight:size(1),
      self._merged and ", merged" or "")
  end,
})

-- scale B A in the layout of the layer's weight.
local function change_of(layer)
  local change = layer.lora_B.weight:detach():matmul(layer.lora_A.weight:detach()) * layer.scale
  return layer._turned and change:t() or change
end

--- The weight that a layer applies: its own, with the change of an adapter that is not merged.
---
--- Example:
---     local net = equi.nn.sequential(equi.nn.linear(3, 2))
---     equi.nn.lora(net, {targets = {"0"}})
---     print(equi.nn.applied_weight(net[1]):size())   --> 2 3
---@param layer any
---@return any without gradient
function lora.applied_weight(layer)
  if not layer.lora_A or layer._merged then return layer.weight:detach() end
  return layer.weight:detach() + change_of(layer)
end

-- ---- adapters ----

local adapter = {}
adapter.__index, adapter.__name = adapter, "equi.adapter"

function adapter.__tostring(self)
  return ("lora(rank %d, alpha %g, %d layers: %s)"):format(self.rank, self.alpha, #self.layers,
    table.concat(self.targets, ", "))
end

local function set_merged(self, on)
  for _, entry in ipairs(self.layers) do
    local layer = entry.owner[entry.key]
    if (layer._merged or false) ~= on then
      local change = change_of(layer)
      layer.weight:detach():add_(on and change or -change)
      layer._merged = on
    end
  end
  return self
end

--- Adds the changes to the weights themselves: as fast as without adapters, which then do not
--- learn.
---
--- Example:
---     local net = equi.nn.sequential(equi.nn.linear(3, 2))
---     local adapter = equi.nn.lora(net, {rank = 1, targets = {"0"}})
---     print(adapter:merge() == adapter)   --> true
---@return table adapter
function adapter:merge() return set_merged(self, true) end

--- Takes them out again, up to rounding.
---
--- Example:
---     local net = equi.nn.sequential(equi.nn.linear(3, 2))
---     local adapter = equi.nn.lora(net, {rank = 1, targets = {"0"}})
---     print(adapter:merge():unmerge() == adapter)   --> true
---@return table adapter
function adapter:unmerge() return set_merged(self, false) end

--- The tensors that learn.
---
--- Example:
---     local net = equi.nn.sequential(equi.nn.linear(3, 2))
---     local adapter = equi.nn.lora(net, {rank = 1, targets = {"0"}})
---     print(#adapter:parameters())   --> 2
---@return table list
function adapter:parameters()
  local list = {}
  for _, entry in ipairs(self.layers) do
    local layer = entry.owner[entry.key]
    list[#list + 1] = layer.lora_A.weight
    list[#list + 1] = layer.lora_B.weight
  end
  return list
end

--- The model without adapters: merged changes stay in its weights, which stay frozen.
---
--- Example:
---     local net = equi.nn.sequential(equi.nn.linear(3, 2))
---     local adapter = equi.nn.lora(net, {rank = 1, targets = {"0"}})
---     print(adapter:remove():count())   --> 8
---@return any model
function adapter:remove()
  for _, entry in ipairs(self.layers) do
    local layer, base = entry.owner[entry.key], {}
    for name, value in pairs(layer) do base[name] = value end
    for _, name in ipairs {"lora_A", "lora_B", "_base", "_forward", "_turned", "_merged"} do
      base[name] = nil
    end
    base.scale, base.dropout = nil, nil
    entry.owner[entry.key] = setmetatable(base, layer._base)
  end
  self.layers = {}
  return self.model
end

--- Writes PEFT's two files into a folder, which is made if it is not there.
---
--- Example:
---     local net = equi.nn.sequential(equi.nn.linear(3, 2))
---     local adapter = equi.nn.lora(net, {rank = 1, targets = {"0"}})
---     local folder = os.tmpname() .. "-lora"
---     adapter:save(folder)
---     print(equi.nn.lora(adapter:remove(), {folder = folder}).rank)   --> 1
---     os.execute("rm -r " .. folder)
---@param folder string
function adapter:save(folder)
  local layers = {}
  for i, entry in ipairs(self.layers) do
    local layer = entry.owner[entry.key]
    layers[i] = {name = entry.name, A = layer.lora_A.weight:detach(),
      B = layer.lora_B.weight:detach(), turned = layer._turned}
  end
  local ok, problem = peft.write(folder, self, layers, self.model.file_prefix or "")
  if not ok then error("save: " .. problem, 2) end
end

-- Linear and affine layers below m: {name =, owner =, key =, layer =}, and whether one is adapted.
local function find_layers(m)
  local list, taken = {}, false
  local function search(t, path, seen)
    if seen[t] then return end
    seen[t] = true
    for _, key in ipairs(walk.sorted_keys(t)) do
      local v = t[key]
      if type(v) == "table" then
        local name = path .. (math.type(key) == "integer" and tostring(key - 1) or key)
        local class = getmetatable(v)
        class = type(class) == "table" and class.name
        taken = taken or class == "lora"
        if LAYERS[class] then
          list[#list + 1] = {name = name, owner = t, key = key, layer = v}
        else
          search(v, name .. ".", seen)
        end
      end
    end
  end
  search(m, "", {})
  return list, taken
end

local function matches(name, targets)
  for _, target in ipairs(targets) do
    if name == target or name:sub(-#target - 1) == "." .. target then return true end
  end
  return false
end

local function chosen(layers, targets)
  local list, parts, names = {}, {}, {}
  for _, entry in ipairs(layers) do
    if matches(entry.name, targets) then list[#list + 1] = entry end
    parts[entry.name:match "[^.]+$"] = true
  end
  if #list > 0 then return list end
  for name in pairs(parts) do names[#names + 1] = name end
  table.sort(names)
  error(("lora: no layer is called %s; the linear and affine layers are called %s"):format(
    table.concat(targets, " or "), #names > 0 and table.concat(names, ", ") or "nothing"), 0)
end

-- The layers that a file has tensors for, which must be all those and only such that there are.
local function in_file(layers, found, folder)
  local list, left = {}, {}
  for name in pairs(found) do left[name] = true end
  for _, entry in ipairs(layers) do
    local given = found[entry.name]
    if given then
      left[entry.name], list[#list + 1] = nil, entry
      local rows, columns = entry.layer.weight:size()
      if entry.layer:class_name() == "affine" then rows, columns = columns, rows end
      if given.A:size(2) ~= columns or given.B:size(1) ~= rows then
        error(("lora: %s: lora_A and lora_B of %s are for %d inputs and %d outputs, the layer has "
          .. "%d and %d"):format(folder, entry.name, given.A:size(2), given.B:size(1), columns,
          rows), 0)
      end
    end
  end
  local unknown = next(left)
  if unknown then
    error(("lora: %s: %s is no linear or affine layer of this model"):format(folder, unknown), 0)
  end
  return list
end

local function check(o)
  arguments.whole("lora", "rank", o.rank)
  arguments.number("lora", "alpha", o.alpha, 0)
  arguments.number("lora", "dropout", o.dropout, 0, 1)
  if #o.targets == 0 then error("lora: targets must name at least one layer", 0) end
  for _, target in ipairs(o.targets) do
    if type(target) ~= "string" then
      error("lora: targets must be names of layers, got " .. arguments.shown(target), 0)
    end
  end
end

local function attach(m, given)
  local o = options.check("lora", given, {rank = 8, alpha = options.any(), dropout = 0.0,
    targets = {"c_attn"}, folder = options.any(), rank_stable = false})
  if type(m) ~= "table" or not getmetatable(m) then
    error("lora: needs a module, got " .. arguments.shown(m)
      .. "; of an equituned model, give the module inside", 0)
  end
  local layers, taken = find_layers(m)
  if taken then error("lora: there are adapters already; remove them first", 0) end
  local found
  if o.folder then
    local settings, tensors = peft.read(o.folder, m.file_prefix or "")
    if not settings then error("lora: " .. tensors, 0) end
    for name, value in pairs(settings) do o[name] = value end
    found = tensors
  end
  o.alpha = o.alpha or 2 * o.rank
  check(o)
  o.scale = o.alpha / (o.rank_stable and math.sqrt(o.rank) or o.rank)
  local list = found and in_file(layers, found, o.folder) or chosen(layers, o.targets)
  m:freeze()
  for _, entry in ipairs(list) do
    local layer = adapted(entry.layer, o)
    layer.weight:requires_grad_(false)
    if layer.bias then layer.bias:requires_grad_(false) end
    if found then
      layer.lora_A.weight:detach():copy_(found[entry.name].A)
      layer.lora_B.weight:detach():copy_(found[entry.name].B)
    end
    entry.owner[entry.key], entry.layer = layer, nil
  end
  return setmetatable({model = m, layers = list, rank = o.rank, alpha = o.alpha,
    dropout = o.dropout, targets = o.targets, rank_stable = o.rank_stable}, adapter)
end

--- Puts adapters beside layers of a model and freezes everything else: only they learn.
---
--- targets are ends of names: "c_attn" is every layer h.N.attn.c_attn, "0" the first of a
--- sequential. With folder the adapters come from PEFT's files, which also say rank, alpha and
--- dropout. What comes back has merge() (the change goes into the weights), unmerge(),
--- parameters(), save(folder) and remove(), which returns the model as it was. An equituned model
--- learns by the adapters of the model inside it.
---
--- Example:
---     local m = equi.models.gpt2 {n_layer = 2, n_head = 2, n_embd = 8, vocab_size = 11}
---     local adapter = equi.nn.lora(m, {rank = 4, alpha = 8, targets = {"c_attn"}})
---     print(m:count {trainable = true}, #adapter:parameters())   --> 256 4
---@param m any module
---@param opts? table {rank = 8, alpha = 2 * rank, targets = {"c_attn"}, dropout = 0, folder = nil,
--- rank_stable = false: scale = alpha / sqrt(rank)}
---@return table adapter
function lora.lora(m, opts)
  local ok, result = pcall(attach, m, opts)
  if not ok then error((tostring(result):gsub("^[^\n]-:%d+: (lora: )", "%1")), 2) end
  return result
end

return lora
