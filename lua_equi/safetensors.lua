--- safetensors: tensors by name in one file, as PyTorch's users exchange weights.
--
-- A file is 8 bytes of header length N (little-endian), N bytes of JSON padded with spaces, then
-- the elements. Reading maps the file: F32, F64, I64, U8 and BOOL are not copied, F16 and BF16
-- become f32, other integers i64. Every claim of the header is checked before anything is read by
-- it, and a file that lies is refused with the name of the tensor. Changing a loaded tensor leaves
-- the file as it is. Writing replaces the file as a whole.
-- Not a converter: numbers stay as stored, so token ids in files of other programs count from 0.
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local json = require "lua_equi.json"
local options = require "lua_equi.options"
local refusal = require "lua_equi.formats.refusal"
local shards = require "lua_equi.formats.shards"

local safetensors = {}

local refuse, shown = refusal.refuse, refusal.shown

local MAX_HEADER = 100000000 -- the reference reader's limit
local MAX_DIMS = 8
local MAX_BYTES = 1 << 60
local SIZE = {BOOL = 1, U8 = 1, I8 = 1, I16 = 2, U16 = 2, F16 = 2, BF16 = 2, I32 = 4, U32 = 4,
  F32 = 4, F64 = 8, I64 = 8, U64 = 8}
local STORED = {f32 = "F32", f64 = "F64", i64 = "I64", u8 = "U8", bool = "BOOL"}

-- ---- reading ----

local function is_list(v, item)
  if not json.is_array(v) then return false end
  for _, x in ipairs(v) do
    if math.type(x) ~= item then return false end
  end
  return true
end

local function bytes_of(name, entry)
  local n = SIZE[entry.dtype]
  for _, size in ipairs(entry.shape) do
    if size < 0 then refuse("%s has a size of %d; sizes are not negative", shown(name), size) end
    if size > 0 and n > MAX_BYTES // size then
      refuse("%s of %s is larger than any memory", shown(name), table.concat(entry.shape, " x "))
    end
    n = n * size
  end
  return n
end

local function check_entry(name, entry)
  if type(entry) ~= "table" or json.is_array(entry) then
    refuse("%s is described by no JSON object", shown(name))
  end
  if type(entry.dtype) ~= "string" or not SIZE[entry.dtype] then
    refuse("%s has the dtype %s, which is none of safetensors'", shown(name),
      shown(tostring(entry.dtype)))
  end
  if not is_list(entry.shape, "integer") then
    refuse("%s has no shape that is a list of whole numbers", shown(name))
  end
  if #entry.shape > MAX_DIMS then
    refuse("%s has %d dimensions; at most %d can be loaded", shown(name), #entry.shape, MAX_DIMS)
  end
  local at = entry.data_offsets
  if not is_list(at, "integer") or #at ~= 2 then
    refuse("%s has no data_offsets that are two whole numbers", shown(name))
  end
  if at[1] < 0 or at[2] < at[1] then
    refuse("%s has the data_offsets %d to %d; they must not be negative or falling", shown(name),
      at[1], at[2])
  end
  local wanted = bytes_of(name, entry)
  if at[2] - at[1] ~= wanted then
    refuse("%s takes %d bytes in the file, but %s of %s takes %d", shown(name), at[2] - at[1],
      entry.dtype, #entry.shape == 0 and "a single number" or table.concat(entry.shape, " x "),
        wanted)
  end
end

local function check_metadata(metadata)
  if metadata == nil then return {} end
  if type(metadata) ~= "table" or json.is_array(metadata) then
    refuse("__metadata__ is no JSON object")
  end
  for key, value in pairs(metadata) do
    if type(value) ~= "string" then refuse("__metadata__ of %s is no string", shown(key)) end
  end
  return metadata
end

-- The tensors must follow each other without holes or overlaps and end where the file ends.
local function check_cover(header, data)
  local order = {}
  for name in pairs(header) do order[#order + 1] = name end
  table.sort(order, function(a, b)
    local x, y = header[a].data_offsets, header[b].data_offsets
    if x[1] ~= y[1] then return x[1] < y[1] end
    if x[2] ~= y[2] then return x[2] < y[2] end
    return a < b
  end)
  local stop, before = 0, "the header"
  for _, name in ipairs(order) do
    local at = header[name].data_offsets
    if at[1] ~= stop then
      refuse(
        "%s begins at byte %d of the data, but %s ends at %d; there must be no %s between them",
        shown(name), at[1], before, stop, at[1] > stop and "hole" or "overlap")
    end
    stop, before = at[2], shown(name)
  end
  if stop ~= data then
    refuse("the tensors take %d bytes and the file has %d for them; it is %s", stop, data,
      stop > data and "cut off" or "longer than it says")
  end
  return order
end

local function read_header(mapping)
  if #mapping < 8 then refuse("it has %d bytes; a header needs 8", #mapping) end
  local n = string.unpack("<i8", mapping:bytes(0, 8))
  if n < 0 or n > MAX_HEADER then
    refuse("the header would take %s bytes; at most %d are allowed",
      n < 0 and "2^63 or more" or n, MAX_HEADER)
  end
  if n > #mapping - 8 then
    refuse(
      "the header would take %d bytes and the file has %d; it is cut off or no safetensors file",
        n, #mapping - 8)
  end
  local text = mapping:bytes(8, n)
  if text:byte() ~= 123
    then refuse("its header does not begin with {; it is no safetensors file") end
  if not utf8.len(text) then refuse("its header is not UTF-8") end
  local header, problem = json.decode(text, {unique = true, max_depth = 8})
  if not header then refuse("its header is damaged: %s", problem:gsub("^json.decode: ", "")) end
  return header, 8 + n
end

--- The tensors of a mapping that holds a safetensors file; what refuses is formats/refusal.lua.
---@param mapping any from equi.map
---@return table tensors
---@return table metadata
function safetensors.read_mapping(mapping)
  local header, start = read_header(mapping)
  local metadata = check_metadata(header.__metadata__)
  header.__metadata__ = nil
  for name, entry in pairs(header) do check_entry(name, entry) end
  local tensors = {}
  for _, name in ipairs(check_cover(header, #mapping - start)) do
    local entry = header[name]
    local x, problem = mapping:tensor(entry.dtype, entry.shape, start + entry.data_offsets[1])
    if not x then refuse("%s: %s", shown(name), problem) end
    tensors[name] = x
  end
  return tensors, metadata
end

local READ = {copy = false}

local function read_file(path, opts) return refusal.read(path, opts, safetensors.read_mapping) end

local function read_any(path, opts)
  if path:find "%.json$" then return shards.read(path, opts, read_file) end
  return read_file(path, opts)
end

--- Reads a safetensors file, or the index (`.json`) of one in several files.
---
--- The file is mapped: nobody may shorten it while its tensors live (replacing or removing it is
--- fine), the system would end the process (SIGBUS). With copy = true it is read instead.
---
--- Example:
---     print(equi.safetensors.read "no/such/file")
---     --> nil cannot open no/such/file: No such file or directory
---@param path string
---@param opts? table {copy = false}
---@return table? tensors by name; nil when the file cannot be read or is damaged
---@return table|string metadata strings by name, or the message
function safetensors.read(path, opts)
  if type(path) ~= "string" then error("safetensors.read: the path must be a string, got "
    .. type(path), 2) end
  opts = options.check("safetensors.read", opts, READ)
  local tensors, other = read_any(path, opts)
  return tensors, other
end

--- Like `read`, but raises when the file cannot be read.
---
--- Example:
---     local path = os.tmpname()
---     equi.safetensors.save(path, {w = equi.ones(2, 3)})
---     local tensors, metadata = equi.safetensors.load(path)
---     print(tensors.w:sum():item(), metadata.format)   --> 6.0 pt
---     os.remove(path)
---@param path string
---@param opts? table {copy = false}
---@return table<string, any> tensors by name
---@return table<string, string> metadata
function safetensors.load(path, opts)
  if type(path) ~= "string" then error("safetensors.load: the path must be a string, got "
    .. type(path), 2) end
  opts = options.check("safetensors.load", opts, READ)
  local tensors, other = read_any(path, opts)
  if not tensors then error("safetensors.load: " .. other, 2) end
  return tensors, other
end

-- ---- writing ----

-- Raises at the line that called save or write.
local function check_names(who, tensors, metadata)
  local class = getmetatable(tensors)
  if type(tensors) ~= "table" or type(class) == "table" and class.__call then
    error(("%s: tensors must be a table of tensors by name, got %s; of a module, give "
      .. "m:state_dict()"):format(who, type(tensors) == "table" and "a module" or
      arguments.shown(tensors)), 5)
  end
  local names = {}
  for name, x in pairs(tensors) do
    if type(name) ~= "string" or name == "__metadata__" or not utf8.len(name) then
      error(("%s: %s cannot name a tensor; give UTF-8 text"):format(who, tostring(name)), 5)
    end
    if not core.is_tensor(x) then
      error(("%s: %s must be a tensor, got %s"):format(who, shown(name), type(x)), 5)
    end
    names[#names + 1] = name
  end
  for key, value in pairs(metadata) do
    if type(key) ~= "string" or type(value) ~= "string" then
      error(("%s: metadata maps strings to strings, got %s of %s"):format(who, type(value),
        tostring(key)), 5)
    end
  end
  return names
end

-- The bytes of a tensor that is stored in less than it has, or the tensor itself.
local function piece_of(who, name, x, stored)
  if stored ~= "F16" and stored ~= "BF16" then return x end
  local ok, bytes = pcall(core.halves, x.dtype == "f64" and x:to("f32") or x, stored)
  if ok then return bytes end
  error(("%s: %s: %s"):format(who, shown(name), bytes:gsub("^halves: ", "")), 5)
end

-- The header and the pieces after it: falling alignment, then name, so that nothing needs padding.
local function layout(who, tensors, metadata, half)
  local names = check_names(who, tensors, metadata)
  local size, stored = {}, {}
  for _, name in ipairs(names) do
    local dtype = tensors[name].dtype
    stored[name] = half and (dtype == "f32" or dtype == "f64") and half or STORED[dtype]
    size[name] = SIZE[stored[name]]
  end
  table.sort(names, function(a, b)
    if size[a] ~= size[b] then return size[a] > size[b] end
    return a < b
  end)
  local entries, pieces, at = {'"__metadata__":' .. json.encode(metadata)}, {"", ""}, 0
  for _, name in ipairs(names) do
    local x = tensors[name]
    local stop = at + x:numel() * size[name]
    entries[#entries + 1] = ('%s:{"dtype":"%s","shape":[%s],"data_offsets":[%d,%d]}'):format(
      json.encode(name), stored[name], table.concat(x.shape, ","), at, stop)
    pieces[#pieces + 1], at = piece_of(who, name, x, stored[name]), stop
  end
  local header = "{" .. table.concat(entries, ",") .. "}"
  header = header .. (" "):rep(-#header % 8)
  pieces[1], pieces[2] = string.pack("<I8", #header), header
  return pieces
end

local function write(who, path, tensors, metadata, opts)
  local o = options.check(who, opts, {as = options.any()})
  if o.as ~= nil then arguments.choice(who, "as", o.as, {"f16", "bf16"}) end
  local all = {format = "pt"}
  for key, value in pairs(metadata or {}) do all[key] = value end
  if type(path) ~= "string" then
    error(("%s: path must be a string, got %s"):format(who, arguments.shown(path)), 3)
  end
  return core.write_file_atomic(path, layout(who, tensors, all, o.as and o.as:upper()))
end

--- Writes tensors by name; the file changes completely or not at all.
---
--- Example:
---     print(equi.safetensors.write("no/such/folder/x", {}))
---     --> nil cannot create no/such/folder/x: No such file or directory
---@param path string
---@param tensors table<string, any> e.g. a module's state_dict()
---@param metadata? table<string, string> kept beside {format = "pt"}, which PyTorch's users expect
---@param opts? table {as = "f16" or "bf16": floats in half of their bytes}
---@return boolean? ok nil when the disk is full or the like
---@return string? message
function safetensors.write(path, tensors, metadata, opts)
  local ok, problem = write("safetensors.write", path, tensors, metadata, opts)
  if ok then return true end
  return nil, problem
end

--- Like `write`, but raises when the file cannot be written.
---
--- Example:
---     local path = os.tmpname()
---     equi.safetensors.save(path, equi.nn.linear(2, 3):state_dict(), {author = "me"})
---     print(equi.safetensors.load(path).weight:size())   --> 3 2
---     os.remove(path)
---@param path string
---@param tensors table<string, any>
---@param metadata? table<string, string>
---@param opts? table {as = "f16" or "bf16": floats in half of their bytes}
function safetensors.save(path, tensors, metadata, opts)
  local ok, problem = write("safetensors.save", path, tensors, metadata, opts)
  if not ok then error("safetensors.save: " .. problem, 2) end
end

return safetensors
