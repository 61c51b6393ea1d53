--- PyTorch's files: what torch.save wrote, as zip archives (1.6 and later) or five pickles.
--
-- A tensor in the pickle is a place in a storage with sizes and strides; storages lie in the file
-- as plain numbers, and are mapped. Tensors of one storage share it here too (tied weights), and
-- strides are kept. Only tensors and plain containers are known: a pickle may name any function of
-- Python's, and a name that is not in the table below is refused. Nothing is ever executed.
-- Not for TorchScript archives, nor for the tar files of before PyTorch 0.1.10.
local pickle = require "lua_equi.formats.pickle"
local refusal = require "lua_equi.formats.refusal"
local tree = require "lua_equi.formats.tree"

local torch_file = {}

local refuse, shown = refusal.refuse, refusal.shown
local MAX_DIMS = 8
local MAX_BYTES = 1 << 60
local MAX_REPEATED = 1 << 24 -- elements of a tensor that has more of them than its storage
local MAGIC = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19" -- 0x1950a86a20f9469cfc6c
local PROTOCOL = 1001

-- The class of a storage: how its numbers are stored, and the bytes of one.
local STORAGES = {
  FloatStorage = {"F32", 4}, DoubleStorage = {"F64", 8}, HalfStorage = {"F16", 2},
  BFloat16Storage = {"BF16", 2}, LongStorage = {"I64", 8}, IntStorage = {"I32", 4},
  ShortStorage = {"I16", 2}, CharStorage = {"I8", 1}, ByteStorage = {"U8", 1},
  BoolStorage = {"BOOL", 1},
}

local function is_kind(v, kind) return type(v) == "table" and v.kind == kind end

local function check(ok, what)
  if not ok then refuse("its pickle describes a tensor wrongly: %s", what) end
end

local function is_count(v) return math.type(v) == "integer" and v >= 0 end

-- ---- what the pickle may call ----

local function counts(v, what)
  check(is_kind(v, "tuple") or is_kind(v, "list"), what .. " are no tuple")
  check(v.n <= MAX_DIMS, ("it has %d dimensions; at most %d can be loaded"):format(v.n, MAX_DIMS))
  for i = 1, v.n do check(is_count(v[i]), what .. " are no counts") end
  return table.move(v, 1, v.n, 1, {})
end

local calls = {}

function calls.rebuild(args)
  check(args.n >= 4, ("%d arguments"):format(args.n))
  local storage, offset = args[1], args[2]
  check(is_kind(storage, "storage"), "it has no storage")
  check(is_count(offset), "its offset is no count")
  local size, stride = counts(args[3], "sizes"), counts(args[4], "strides")
  check(#size == #stride, ("%d sizes and %d strides"):format(#size, #stride))
  return {kind = "tensor", storage = storage, offset = offset, size = size, stride = stride}
end

function calls.parameter(args)
  check(is_kind(args[1], "tensor"), "a parameter without a tensor")
  return args[1]
end

-- OrderedDict() or, from Python 2, OrderedDict([[key, value], ...]).
function calls.ordered_dict(args)
  local dict, list = {kind = "dict", n = 0}, args[1]
  if list == nil then return dict end
  if args.n ~= 1 or not is_kind(list, "list") then refuse "its pickle makes a dict of no list" end
  for i = 1, list.n do
    local pair = list[i]
    if not (is_kind(pair, "list") or is_kind(pair, "tuple")) or pair.n ~= 2 then
      refuse "its pickle makes a dict of no pairs"
    end
    pickle.set(dict, pair[1], pair[2])
  end
  return dict
end

function calls.first(args) return args[1] or {kind = "tuple", n = 0} end
function calls.plain() return {kind = "plain"} end

local GLOBALS = {
  ["collections.OrderedDict"] = calls.ordered_dict,
  ["torch._utils._rebuild_tensor"] = calls.rebuild,
  ["torch._utils._rebuild_tensor_v2"] = calls.rebuild,
  ["torch._utils._rebuild_parameter"] = calls.parameter,
  ["torch.Size"] = calls.first,
  ["torch.device"] = calls.plain,
  ["builtins.set"] = calls.first, ["__builtin__.set"] = calls.first,
}

local hooks = {}

function hooks.global(module, name)
  local full = module .. "." .. name
  local storage = module == "torch" and STORAGES[name]
  if GLOBALS[full] or storage then
    return {kind = "global", call = GLOBALS[full], storage = storage, name = full}
  end
  refuse("it holds a pickled %s, and only tensors and plain containers are read (nothing was "
    .. 'executed); where it is trusted, save the state dict: torch.save(model.state_dict(), '
    .. '"weights.pth")', shown(full))
end

function hooks.call(global, args)
  if not global.call then refuse("its pickle calls %s", shown(global.name)) end
  return global.call(args)
end

-- ("storage", class, key, location, count[, view]): the storage of that key, which the file holds
-- once. A view (key, offset, count) is a part of it.
local function find_storage(storages, id)
  check(is_kind(id, "tuple") and (id.n == 5 or id.n == 6) and id[1] == "storage",
    "its storage has another form")
  local class, key, count, view = id[2], id[3], id[5], id[6]
  check(is_kind(class, "global") and class.storage and type(key) == "string" and is_count(count),
    "its storage has another form")
  local stored, size = table.unpack(class.storage)
  if count > MAX_BYTES // size then
    refuse("the storage %s of %d numbers is larger than any memory", shown(key), count)
  end
  local storage = storages[key]
  if not storage then
    storage = {kind = "storage", key = key, stored = stored, size = size, count = count, from = 0}
    storages[key] = storage
  elseif storage.stored ~= stored or storage.count ~= count then
    refuse("the storage %s is said to have %d of %s and %d of %s", shown(key), storage.count,
      storage.stored, count, stored)
  end
  if view == nil or view == pickle.none then return storage end
  check(is_kind(view, "tuple") and view.n == 3 and is_count(view[2]) and is_count(view[3]) and
    view[2] <= count and view[3] <= count - view[2], "its part of a storage lies outside")
  return {kind = "storage", root = storage, from = view[2], count = view[3]}
end

local function hooks_for(storages)
  return {global = hooks.global, call = hooks.call,
    persistent = function(id) return find_storage(storages, id) end}
end

-- ---- from descriptions to tensors ----

local function elements(t)
  local n = 1
  for _, size in ipairs(t.size) do
    if size > 0 and n > MAX_BYTES // size then return MAX_BYTES end
    n = n * size
  end
  return n
end

-- The whole storage as one tensor, of which every tensor that uses it is a view.
local function load_storage(mapping, storage)
  if not storage.tensor then
    local x, problem = mapping:tensor(storage.stored, {storage.count}, storage.at)
    if not x then refuse("the storage %s: %s", shown(storage.key), problem) end
    storage.tensor = x
  end
  return storage.tensor
end

local function load_tensor(mapping, name, t)
  if t.tensor then return t.tensor end
  local storage = t.storage.root or t.storage
  local n = elements(t)
  if n > t.storage.count and n > MAX_REPEATED then
    refuse("%s of %s repeats a storage of %d numbers beyond any use", shown(name),
      table.concat(t.size, " x "), t.storage.count)
  end
  if n > 0 and t.offset > t.storage.count then -- PyTorch's empty views may begin anywhere
    refuse("%s begins at element %d of %d", shown(name), t.offset, t.storage.count)
  end
  local x, problem = mapping:view(load_storage(mapping, storage), t.size, t.stride,
    n > 0 and t.offset + t.storage.from or 0)
  if not x then refuse("%s: %s", shown(name), problem) end
  t.tensor = x
  return x
end

local function load_all(mapping, value, options)
  local prefix, settings = "", tree.settings(value)
  if not options.raw then value, prefix = tree.unwrap(value) end
  local names, found = tree.flatten(value)
  local tensors = {}
  for _, name in ipairs(names) do tensors[name] = load_tensor(mapping, name, found[name]) end
  return tensors, prefix, settings
end

-- ---- the two forms ----

local function check_archive(mapping, stem, members)
  if members[stem .. "constants.pkl"] then
    refuse('it is a TorchScript archive; save its weights in PyTorch: torch.save(torch.jit.load('
      .. 'path).state_dict(), "weights.pth")')
  end
  local order = members[stem .. "byteorder"]
  if order and mapping:bytes(order.at, math.min(order.stored, 16)) ~= "little" then
    refuse "its numbers are big-endian; save it on a little-endian machine"
  end
end

local function stored_member(members, name)
  local member = members[name]
  if not member then refuse("%s is missing in it", shown(name)) end
  if member.method ~= "stored" then
    refuse("%s is %s in it, and PyTorch stores; save it again with torch.save", shown(name),
      member.method)
  end
  return member
end

--- Whether the members of an archive are those of a PyTorch file; then the folder they are in.
---@param list table from zip.members
---@return string?
function torch_file.stem(list)
  for _, member in ipairs(list) do
    local stem = member.name:match "^(.*/)data%.pkl$"
    if stem then return stem end
  end
  return nil
end

--- The tensors of a PyTorch archive.
---@param mapping any
---@param stem string
---@param members table by name
---@param options table {raw =}
---@return table tensors
---@return string prefix what was taken off the names
---@return table settings numbers, texts and tables of them beside the tensors
function torch_file.read_zip(mapping, stem, members, options)
  check_archive(mapping, stem, members)
  local storages = {}
  local pickled = stored_member(members, stem .. "data.pkl")
  local stop = pickled.at + pickled.stored
  local value, at = pickle.read(mapping, pickled.at, stop, hooks_for(storages))
  if at ~= stop then refuse "its data.pkl is longer than its pickle" end
  for key, storage in pairs(storages) do
    local member = stored_member(members, stem .. "data/" .. key)
    if member.stored ~= storage.count * storage.size then
      refuse("the storage %s takes %d bytes in it, but %d of %s take %d", shown(key),
        member.stored, storage.count, storage.stored, storage.count * storage.size)
    end
    storage.at = member.at
  end
  return load_all(mapping, value, options)
end

-- The storages follow the pickles in the order of the list of keys, each behind its count.
local function place_storages(mapping, storages, keys, at)
  if not is_kind(keys, "list") then refuse "its list of storages is none" end
  for i = 1, keys.n do
    local storage = type(keys[i]) == "string" and storages[keys[i]]
    if not storage then refuse "its list of storages names one that no tensor uses" end
    local key = shown(storage.key)
    if storage.at then refuse("the storage %s comes twice", key) end
    if #mapping - at < 8 then refuse("it ends before the storage %s", key) end
    local count = string.unpack("<i8", mapping:bytes(at, 8))
    if count ~= storage.count then
      refuse("the storage %s has %d numbers, not the %d it is said to have", key, count,
        storage.count)
    end
    if count * storage.size > #mapping - at - 8 then
      refuse("it ends inside the storage %s of %d bytes", key, count * storage.size)
    end
    storage.at = at + 8
    at = storage.at + count * storage.size
  end
  for key, storage in pairs(storages) do
    if not storage.at then refuse("the storage %s is not in its list", shown(key)) end
  end
  return at
end

--- The tensors of a PyTorch file from before 1.6, or of _use_new_zipfile_serialization=False.
---@param mapping any
---@param options table {raw =}
---@return table tensors
---@return string prefix what was taken off the names
---@return table settings numbers, texts and tables of them beside the tensors
function torch_file.read_legacy(mapping, options)
  local storages, at = {}, 0
  local hooks_here = hooks_for(storages)
  local function next_pickle()
    local value
    value, at = pickle.read(mapping, at, #mapping, hooks_here)
    return value
  end
  local magic = next_pickle()
  if not is_kind(magic, "long") or magic.bytes ~= MAGIC then
    refuse("it is a pickle that torch.save did not write; save the tensors with "
      .. "torch.save or numpy.savez")
  end
  local version = next_pickle()
  if version ~= PROTOCOL then refuse("it is of a form of PyTorch's that is not %d", PROTOCOL) end
  local system = next_pickle()
  local little = is_kind(system, "dict") and system.values and system.values.little_endian
  if little ~= true then
    refuse "its numbers are big-endian; save it on a little-endian machine"
  end
  local value = next_pickle()
  local keys = next_pickle()
  at = place_storages(mapping, storages, keys, at)
  if at ~= #mapping then refuse("%d bytes follow its last storage", #mapping - at) end
  return load_all(mapping, value, options)
end

return torch_file
