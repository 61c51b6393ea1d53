--- Weights from where people have them: tensors by name out of the files of other programs.
--
-- PyTorch's .pt and .pth (zip archives), its older .pth and .th (pickles), safetensors, also in
-- several files, and NumPy's .npy and .npz. What a file is follows from its content, not from its
-- name. Files are mapped; each reader is a file in formats/, and none of them executes anything.
-- Not a converter: names and shapes stay as they are in the file, see `rename`; token ids count
-- from 0 there.
local arguments = require "lua_equi.arguments"
local npy = require "lua_equi.formats.npy"
local options = require "lua_equi.options"
local refusal = require "lua_equi.formats.refusal"
local safetensors = require "lua_equi.safetensors"
local shards = require "lua_equi.formats.shards"
local torch_file = require "lua_equi.formats.torch_file"
local zip = require "lua_equi.formats.zip"

local weights = {}

local refuse, shown = refusal.refuse, refusal.shown
local OPTIONS = {raw = false, copy = false, max_inflated = 1 << 32, rename = options.any()}

-- ---- which format ----

-- What people give by mistake, by its first bytes: at which byte, which, and what it is.
local MISTAKEN = {
  {1, "version https://git-lfs", "a pointer of git-lfs, not the file itself; run git lfs pull"},
  {1, "\137HDF\r\n", "an HDF5 file (Keras); save the weights with numpy.savez"},
  {1, "\31\139", "compressed by gzip; unpack it first: gunzip"},
  {1, "7z\188\175\39\28", "a 7z archive; unpack it first"},
  {1, "BZh", "compressed by bzip2; unpack it first: bunzip2"},
  {1, "<", "a page of text, perhaps of a failed download; fetch it again"},
  {5, "TFL3", "a TensorFlow Lite model; save the weights with numpy.savez"},
  {258, "ustar", "a tar archive; if PyTorch before 0.1.10 wrote it, save it with a newer one"},
}

local function read_archive(mapping, opts)
  local list, by_name = zip.members(mapping)
  local stem = torch_file.stem(list)
  if stem then
    local tensors, prefix, settings = torch_file.read_zip(mapping, stem, by_name, opts)
    return tensors, {format = "torch zip", prefix = prefix, metadata = {}, settings = settings}
  end
  local tensors = npy.read_archive(mapping, list, opts)
  if next(tensors) == nil and #list > 0 then
    refuse("it is a zip archive of neither PyTorch nor NumPy: it begins with %s",
      shown(list[1].name))
  end
  return tensors, {format = "npz", prefix = "", metadata = {}}
end

-- A header's length of 8 bytes, of which the upper half is 0, and the brace of its JSON.
local function is_safetensors(head)
  return head:byte(9) == 123 and head:sub(5, 8) == "\0\0\0\0"
end

local function read_content(mapping, opts)
  local head = mapping:bytes(0, math.min(#mapping, 512))
  if head:find "^PK[\3\5][\4\6]" then return read_archive(mapping, opts) end
  if head:sub(1, 6) == npy.MAGIC then
    return npy.read(mapping), {format = "npy", prefix = "", metadata = {}}
  end
  if head:byte() == 0x80 and not is_safetensors(head) then
    local tensors, prefix, settings = torch_file.read_legacy(mapping, opts)
    return tensors, {format = "torch legacy", prefix = prefix, metadata = {}, settings = settings}
  end
  if is_safetensors(head) then
    local tensors, metadata = safetensors.read_mapping(mapping)
    return tensors, {format = "safetensors", prefix = "", metadata = metadata}
  end
  for _, m in ipairs(MISTAKEN) do
    if head:sub(m[1], m[1] + #m[2] - 1) == m[2] then refuse("it is %s", m[3]) end
  end
  refuse "it is no safetensors, PyTorch or NumPy file that is whole; these are what can be read"
end

local function read_one(path, opts)
  local tensors, info = refusal.read(path, opts, function(m) return read_content(m, opts) end)
  if not tensors then return nil, info end
  return tensors, info.metadata, info
end

local function is_index(mapping)
  local head = mapping:bytes(0, math.min(#mapping, 512))
  return head:find "^%s*{" ~= nil and not is_safetensors(head)
end

local function read_any(path, opts)
  local index, problem = refusal.read(path, opts, is_index)
  if index == nil then return nil, problem end
  if index then
    local tensors, metadata = shards.read(path, opts, read_one)
    if not tensors then return nil, metadata end
    return tensors, {format = "index", prefix = "", metadata = metadata}
  end
  local tensors, message, info = read_one(path, opts)
  return tensors, tensors and info or message
end

-- ---- names ----

local function new_name(rename, name)
  local new = rename(name)
  if new == false then return nil end
  if type(new) ~= "string" then
    error(("load_weights: rename must return a string or false, got %s for %s"):format(
      arguments.shown(new), shown(name)), 5) -- the call below is a tail call
  end
  return new
end

-- nn.DataParallel puts `module.` before every name.
local function wrapped(tensors)
  for name in pairs(tensors) do
    if name:sub(1, 7) ~= "module." then return false end
  end
  return next(tensors) ~= nil
end

local function renamed(path, tensors, f)
  local result, from = {}, {}
  for name, x in pairs(tensors) do
    local new = f(name)
    if new and result[new] then
      local first, second = shown(name), shown(from[new])
      if second < first then first, second = second, first end
      return nil, ("%s: %s and %s would both be called %s"):format(path, first, second, shown(new))
    end
    if new then result[new], from[new] = x, name end
  end
  return result
end

local function read(path, opts)
  local tensors, info = read_any(path, opts)
  if tensors and not opts.raw and wrapped(tensors) then
    info.prefix = info.prefix .. "module."
    tensors = renamed(path, tensors, function(name) return name:sub(8) end)
  end
  if tensors and opts.rename then
    local named, problem = renamed(path, tensors, function(name)
      return new_name(opts.rename, name)
    end)
    if not named then return nil, problem end
    tensors = named
  end
  return tensors, info
end

-- Raises at the line that called what calls this.
local function check(who, path, opts)
  if type(path) ~= "string" then
    error(("%s: the path must be a string, got %s"):format(who, arguments.shown(path)), 3)
  end
  if path == "" or path:find("\0", 1, true) then
    error(who .. ": a file name is not empty and holds no \\0", 3)
  end
  if math.type(opts.max_inflated) ~= "integer" or opts.max_inflated < 0 then
    error(("%s: option max_inflated must be a number of bytes, got %s"):format(who,
      arguments.shown(opts.max_inflated)), 3)
  end
  if opts.rename ~= nil and not arguments.is_callable(opts.rename) then
    error(("%s: option rename must be a function of a name, got %s"):format(who,
      arguments.shown(opts.rename)), 3)
  end
end

--- Tensors by name out of a file of PyTorch's, NumPy's or safetensors; like load_weights, but what
--- is wrong with the file comes back as a message.
---
--- Example:
---     print(equi.weights.read "no/such/file")
---     --> nil cannot open no/such/file: No such file or directory
---@param path string
---@param opts? table as of load_weights
---@return table? tensors by name; nil when the file cannot be read, is damaged or not allowed
---@return table|string info {format =, prefix = what was taken off the names, metadata =}, or the
--- message
function weights.read(path, opts)
  opts = options.check("weights.read", opts, OPTIONS)
  check("weights.read", path, opts)
  local tensors, info = read(path, opts)
  return tensors, info
end

--- Loads weights from a file: PyTorch's .pt, .pth, .th and .bin, safetensors (also the .json index
--- of several files), NumPy's .npy and .npz. The content decides, not the name.
---
--- Names are those in the file, joined by dots where dicts are nested. What training scripts put
--- around them is taken off: dicts called state_dict, model_state_dict or model, and `module.`
--- before all names; raw = true keeps it. A tensor without a name is called "tensor".
--- rename(name) returns another name, or false to leave the tensor out.
--- f16 and bf16 become f32, small integers i64, all exactly. Tensors that share memory in the file
--- (tied weights) share it here, and strides are kept.
---
--- A file is untrusted: only tensors and plain containers are read, everything else is refused by
--- name and nothing is executed. Deflated arrays may grow to max_inflated bytes (4 GiB).
--- The file is mapped: nobody may shorten it while its tensors live (replacing or removing it is
--- fine), the system would end the process (SIGBUS). With copy = true it is read instead.
--- Raises when the file cannot be read; equi.weights.read returns nil and the message.
---
--- Example:
---     local path = os.tmpname()
---     equi.safetensors.save(path, {["module.w"] = equi.ones(2, 3)})
---     local state, info = equi.load_weights(path)
---     print(state.w:size())                  --> 2 3
---     print(info.format, info.prefix)        --> safetensors module.
---     os.remove(path)
---@param path string
---@param opts? table {raw = false, rename = nil, copy = false, max_inflated = 1 << 32}
---@return table<string, any> tensors by name
---@return table info {format =, prefix = what was taken off the names, metadata =, settings =
--- numbers, texts and tables of them that a PyTorch checkpoint holds beside its tensors}
function weights.load_weights(path, opts)
  opts = options.check("load_weights", opts, OPTIONS)
  check("load_weights", path, opts)
  local tensors, info = read(path, opts)
  if not tensors then error("load_weights: " .. info, 2) end
  return tensors, info
end

return weights
