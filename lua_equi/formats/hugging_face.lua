--- A folder as Hugging Face's libraries write models: config.json beside the weights, which lie in
--- one file or in several with an index.
--
-- The folder is untrusted: config.json is JSON of bounded size and depth, and the weights are read
-- by lua_equi/weights.lua, which executes nothing. NOT the names inside: each architecture has its
-- own (models/gpt2.lua).
local json = require "lua_equi.json"

local hugging_face = {}

local MAX_CONFIG = 1 << 20
local WEIGHTS = {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
  "pytorch_model.bin.index.json"}

local function exists(path)
  local f = io.open(path, "rb")
  if f then f:close() end
  return f ~= nil
end

--- The settings in FOLDER/config.json, without those that are null.
---@param folder string
---@return table? settings nil when there are none or they cannot be read
---@return string path of the file, or the message
function hugging_face.config(folder)
  local path = folder .. "/config.json"
  local settings, problem = json.read(path, {max_depth = 32, max_size = MAX_CONFIG})
  if not settings then return nil, problem end
  if type(settings) ~= "table" or json.is_array(settings) then
    return nil, path .. ": it is no JSON object"
  end
  for name, value in pairs(settings) do
    if value == json.null then settings[name] = nil end
  end
  return settings, path
end

--- The file that holds the weights of a folder.
---@param folder string
---@return string? path
---@return string? message
function hugging_face.weights(folder)
  for _, name in ipairs(WEIGHTS) do
    if exists(folder .. "/" .. name) then return folder .. "/" .. name end
  end
  return nil, ("%s: no weights are in it; one of %s is looked for"):format(folder,
    table.concat(WEIGHTS, ", "))
end

--- Whether a folder holds a tokenizer of GPT-2's kind.
---@param folder string
---@return boolean
function hugging_face.has_tokenizer(folder)
  return exists(folder .. "/tokenizer.json") or
    exists(folder .. "/vocab.json") and exists(folder .. "/merges.txt")
end

--- Whether a path is that of a folder.
---@param path string
---@return boolean
function hugging_face.is_folder(path)
  if exists(path .. "/config.json") then return true end
  local f = io.open(path .. "/.", "rb")
  if f then f:close() end
  return f ~= nil
end

--- Makes a folder and those above it.
---@param path string
---@return boolean? ok nil when that fails
---@return string? message
function hugging_face.make_folder(path)
  if hugging_face.is_folder(path) then return true end
  if os.execute(("mkdir -p -- '%s' 2>/dev/null"):format(path:gsub("'", "'\\''"))) then
    return true
  end
  return nil, "cannot create the folder " .. path
end

return hugging_face
