--- Adapters as the PEFT library writes them: adapter_config.json beside adapter_model.safetensors,
--- whose tensors are called base_model.model.LAYER.lora_A.weight [rank, in] and lora_B [out, rank].
--
-- Only LoRA of one rank without trained biases; what a configuration asks for beyond that is
-- refused by name. NOT the adapters themselves: nn/lora.lua.
local core = require "lua_equi.core"
local hugging_face = require "lua_equi.formats.hugging_face"
local json = require "lua_equi.json"
local safetensors = require "lua_equi.safetensors"
local weights = require "lua_equi.weights"

local peft = {}

local PREFIX = "base_model.model."
-- What we have no counterpart for, unless it has this value or is empty.
local REFUSED = {use_dora = false, bias = "none", modules_to_save = false, rank_pattern = false,
  alpha_pattern = false, layer_replication = false, trainable_token_indices = false,
  lora_bias = false}

local function is_nothing(v)
  return v == nil or v == false or v == json.null or type(v) == "table" and next(v) == nil
end

local function settings_of(c, path)
  if c.peft_type ~= "LORA" then
    return nil, ("%s: peft_type is %s; only LORA can be loaded"):format(path, tostring(c.peft_type))
  end
  for field, allowed in pairs(REFUSED) do
    if not is_nothing(c[field]) and c[field] ~= allowed then
      return nil, ("%s: %s is set, which cannot be loaded"):format(path, field)
    end
  end
  local targets = c.target_modules
  if type(targets) == "string" then targets = {targets} end
  if type(targets) ~= "table" or type(targets[1]) ~= "string" then
    return nil, path .. ": target_modules is no list of names"
  end
  if math.type(c.r) ~= "integer" or c.r < 1 or type(c.lora_alpha) ~= "number" then
    return nil, path .. ": r must be a whole number of at least 1 and lora_alpha a number"
  end
  return {rank = c.r, alpha = c.lora_alpha, dropout = c.lora_dropout or 0.0,
    targets = table.move(targets, 1, #targets, 1, {}), rank_stable = c.use_rslora == true}
end

local function layers_of(tensors, path, prefix, rank)
  local found = {}
  for name, x in pairs(tensors) do
    local layer, part = name:match "^(.*)%.lora_([AB])%.weight$"
    if not layer then layer, part = name:match "^(.*)%.lora_([AB])%.[%w_]+%.weight$" end
    if not layer or layer:sub(1, #PREFIX) ~= PREFIX then
      return nil, ("%s: %s is no part of an adapter"):format(path, name)
    end
    layer = layer:sub(#PREFIX + 1)
    if layer:sub(1, #prefix) == prefix then layer = layer:sub(#prefix + 1) end
    if x.ndim ~= 2 or x:size(part == "A" and 1 or 2) ~= rank then
      return nil, ("%s: %s is %s, but r is %d"):format(path, name, table.concat(x.shape, " x "),
        rank)
    end
    found[layer] = found[layer] or {}
    found[layer][part] = x
  end
  for layer, parts in pairs(found) do
    if not parts.A or not parts.B then
      return nil, ("%s: %s has only one of lora_A and lora_B"):format(path, layer)
    end
  end
  return found
end

--- Reads a folder of PEFT's.
---@param folder string
---@param prefix string what the files put before our names of layers, as "transformer."
---@return table? settings {rank =, alpha =, dropout =, targets =, rank_stable =}
---@return table|string layers by name {A =, B =}, or the message
function peft.read(folder, prefix)
  if type(folder) ~= "string" then return nil, "folder must be a path" end
  local path = folder .. "/adapter_config.json"
  local c, problem = json.read(path, {max_depth = 32, max_size = 1 << 20})
  if not c then return nil, problem end
  if type(c) ~= "table" or json.is_array(c) then return nil, path .. ": it is no JSON object" end
  local settings
  settings, problem = settings_of(c, path)
  if not settings then return nil, problem end
  for _, name in ipairs {"adapter_model.safetensors", "adapter_model.bin"} do
    path = folder .. "/" .. name
    local f = io.open(path, "rb")
    if f then
      f:close()
      local tensors, info = weights.read(path)
      if not tensors then return nil, info end
      local layers
      layers, problem = layers_of(tensors, path, prefix, settings.rank)
      return layers and settings, layers or problem
    end
  end
  return nil, folder .. ": neither adapter_model.safetensors nor adapter_model.bin is in it"
end

--- Writes a folder that PEFT's PeftModel.from_pretrained loads.
---@param folder string
---@param o table {rank =, alpha =, dropout =, targets =, rank_stable =}
---@param layers table list of {name =, A =, B =, turned = weight is [in, out]}
---@param prefix string
---@return boolean? ok
---@return string? message
function peft.write(folder, o, layers, prefix)
  local tensors, turned = {}, false
  for _, layer in ipairs(layers) do
    local name = PREFIX .. prefix .. layer.name
    tensors[name .. ".lora_A.weight"], tensors[name .. ".lora_B.weight"] = layer.A, layer.B
    turned = turned or layer.turned
  end
  local config = {peft_type = "LORA", r = o.rank, lora_alpha = o.alpha, lora_dropout = o.dropout,
    target_modules = json.array(table.move(o.targets, 1, #o.targets, 1, {})), bias = "none",
    fan_in_fan_out = turned, use_rslora = o.rank_stable, inference_mode = true,
    task_type = prefix ~= "" and "CAUSAL_LM" or json.null, base_model_name_or_path = json.null,
    modules_to_save = json.null}
  local ok, problem = hugging_face.make_folder(folder)
  if ok then ok, problem = safetensors.write(folder .. "/adapter_model.safetensors", tensors) end
  if not ok then return nil, problem end
  return core.write_file_atomic(folder .. "/adapter_config.json",
    {json.encode(config, {indent = 2}) .. "\n"})
end

return peft
