--- Models in several files: an index {"weight_map": {tensor: file}} beside them, as Hugging Face
--- writes it.
--
-- Only names of files beside the index are followed, and each file is read once.
local json = require "lua_equi.json"
local refusal = require "lua_equi.formats.refusal"

local shards = {}

local shown = refusal.shown
local MAX_INDEX = 100000000
local MAX_FILES = 10000

local function read_index(path)
  local index, problem = json.read(path, {unique = true, max_depth = 8, max_size = MAX_INDEX})
  if not index then return nil, problem end
  local map = type(index) == "table" and index.weight_map
  if type(map) ~= "table" then return nil, path .. ": there is no weight_map in it" end
  return map
end

--- The tensors that an index names, with what read(path, options) returns for each of its files.
---@param path string
---@param options table
---@param read function returns tensors by name and a table of metadata, or nil and a message
---@return table? tensors
---@return table|string metadata of all files, or the message
function shards.read(path, options, read)
  local map, problem = read_index(path)
  if not map then return nil, problem end
  local folder, files, count, tensors, metadata = path:match "^(.*[/\\])" or "", {}, 0, {}, {}
  for name, file in pairs(map) do
    if type(file) ~= "string" or file:find "[/\\\0]" or file == "" or type(name) ~= "string" then
      return nil, ("%s: %s is not said to be in a file beside it"):format(path,
        shown(tostring(name)))
    end
    if not files[file] then
      count = count + 1
      if count > MAX_FILES then
        return nil, ("%s: it names more than %d files"):format(path, MAX_FILES)
      end
      local found, meta = read(folder .. file, options)
      if not found then return nil, meta end
      files[file] = found
      for k, v in pairs(meta) do metadata[k] = v end
    end
    tensors[name] = files[file][name]
    if not tensors[name] then
      return nil, ("%s: %s is not in %s"):format(path, shown(name), shown(file))
    end
  end
  return tensors, metadata
end

return shards
