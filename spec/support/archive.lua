--- Zip archives and old PyTorch files from their parts, right or wrong, for the specs of readers.
local archive = {}

local ALL32 = 0xffffffff

local function local_header(m)
  return string.pack("<c4I2I2I2I2I2I4I4I4I2I2", "PK\3\4", 20, 0, m.method, 0, 0, m.crc, 0, 0,
    #m.name, #m.extra) .. m.name .. m.extra
end

local function entry(m, zip64)
  local extra, size, stored, at = "", m.size, m.stored, m.at
  if zip64 then
    extra = string.pack("<I2I2i8i8i8", 1, 24, size, stored, at)
    size, stored, at = ALL32, ALL32, ALL32
  end
  return string.pack("<c4I2I2I2I2I2I2I4I4I4I2I2I2I2I2I4I4", "PK\1\2", 45, 20, m.flags, m.method, 0,
    0, m.crc, stored & ALL32, size & ALL32, #m.name, #extra, 0, 0, 0, 0, at & ALL32) .. m.name
    .. extra
end

--- A zip archive. A member is {name, data} with, to lie: size, stored, at, method, flags, crc.
--- options: zip64; members, bytes and at of the directory in the end record; comment.
---@param members table
---@param options? table
---@return string
function archive.zip(members, options)
  options = options or {}
  local parts, at = {}, 0
  local list = {}
  for i, given in ipairs(members) do
    local data = given[2]
    local m = {name = given[1], method = given.method or 0, crc = given.crc or 0,
      flags = given.flags or 0, extra = given.extra or "", stored = given.stored or #data,
      size = given.size or #data, at = given.at or at}
    list[i] = m
    parts[#parts + 1] = local_header(m) .. data
    at = at + #parts[#parts]
  end
  local start = at
  for _, m in ipairs(list) do
    parts[#parts + 1] = entry(m, options.zip64)
    at = at + #parts[#parts]
  end
  local count, bytes, from = options.members or #list, options.bytes or at - start,
    options.at or start
  if options.zip64 then
    parts[#parts + 1] = string.pack("<c4I8I2I2I4I4i8i8i8i8", "PK\6\6", 44, 45, 45, 0, 0, count,
      count, bytes, from) .. string.pack("<c4I4i8I4", "PK\6\7", 0, options.record or at, 1)
    count, bytes, from = 0xffff, ALL32, ALL32
  end
  local comment = options.comment or ""
  parts[#parts + 1] = string.pack("<c4I2I2I2I2I4I4I2", "PK\5\6", 0, 0, count, count, bytes, from,
    #comment) .. comment
  return table.concat(parts)
end

-- ---- pickles ----

--- Opcodes that push a whole number, of any size.
function archive.int(n) return "\x8a\8" .. string.pack("<i8", n) end

--- Opcodes that push a text.
function archive.text(s) return "X" .. string.pack("<s4", s) end

--- Opcodes that push a tuple of whole numbers (or of what is given as opcodes already).
function archive.tuple(list)
  local parts = {"("}
  for i, v in ipairs(list) do parts[i + 1] = type(v) == "string" and v or archive.int(v) end
  parts[#parts + 1] = "t"
  return table.concat(parts)
end

--- Opcodes that push a tensor: {key =, count =, type =, offset =, size =, stride =, view =}.
function archive.tensor(t)
  local pid = archive.tuple {archive.text "storage", ("ctorch\n%sStorage\n"):format(t.type or
    "Float"), archive.text(t.key or "0"), archive.text "cpu", t.count or 6, t.view} .. "Q"
  return "ctorch._utils\n_rebuild_tensor\n" .. archive.tuple {pid, t.offset or 0,
    archive.tuple(t.size or {6}), archive.tuple(t.stride or {1})} .. "R"
end

--- Opcodes that push a dict of names and opcodes.
function archive.dict(list)
  local parts = {"}("}
  for _, pair in ipairs(list) do parts[#parts + 1] = archive.text(pair[1]) .. pair[2] end
  return table.concat(parts) .. "u"
end

local function pickle(body) return "\x80\2" .. body .. "." end
archive.pickle = pickle

--- An old PyTorch file: the opcodes of its object, then storages as {key, bytes, count}.
---@param body string
---@param storages? table
---@param changes? table {magic =, version =, system =}: opcodes
---@return string
function archive.legacy(body, storages, changes)
  changes = changes or {}
  storages = storages or {{"0", ("\0"):rep(24), 6}}
  local keys, data = {"]("}, {}
  for _, s in ipairs(storages) do
    keys[#keys + 1] = archive.text(s[1])
    data[#data + 1] = string.pack("<i8", s[3] or #s[2] // 4) .. s[2]
  end
  return pickle(changes.magic or "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")
    .. pickle(changes.version or archive.int(1001))
    .. pickle(changes.system or archive.dict {{"little_endian", "\x88"}})
    .. pickle(body) .. pickle(changes.keys or table.concat(keys) .. "e") .. table.concat(data)
end

return archive
