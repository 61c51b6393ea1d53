--- zip: the members of an archive, as PyTorch and NumPy write them.
--
-- Only the central directory at the end is believed (writers of streams leave the local headers'
-- sizes at 0), with the 64-bit fields of archives above 4 GB. Every size and place is checked: a
-- member lies inside the file, before the directory, and shares no byte with another.
-- Not an unpacker: no folders are made, nothing is encrypted, spread over disks or split.
local refusal = require "lua_equi.formats.refusal"

local zip = {}

local refuse, shown = refusal.refuse, refusal.shown
local MAX_MEMBERS = 1000000
local ALL32, ALL16 = 0xffffffff, 0xffff
local METHOD = {[0] = "stored", [8] = "deflated"}

-- The end record is the last thing in the file but for a comment.
local function find_end(mapping)
  local length = math.min(#mapping, 22 + 65535)
  local first = #mapping - length
  local tail = mapping:bytes(first, length)
  for at = length - 21, 1, -1 do
    if tail:byte(at) == 80 and tail:sub(at, at + 3) == "PK\5\6" and
      string.unpack("<I2", tail, at + 20) == length - at - 21 then
      return first + at - 1
    end
  end
  refuse "it is a zip archive without its end; it is cut off"
end

-- Where the directory lies: {at, bytes, members, limit}; nothing of it reaches limit.
local function find_directory(mapping)
  local stop = find_end(mapping)
  local disk, first_disk, here, members, bytes, at = string.unpack("<I2I2I2I2I4I4",
    mapping:bytes(stop + 4, 16))
  if stop >= 20 and mapping:bytes(stop - 20, 4) == "PK\6\7" then
    local place = string.unpack("<i8", mapping:bytes(stop - 12, 8))
    if place < 0 or place > stop - 76 or mapping:bytes(place, 4) ~= "PK\6\6" then
      refuse "its zip64 record is not where the archive says"
    end
    disk, first_disk, here, members, bytes, at = string.unpack("<I4I4i8i8i8i8",
      mapping:bytes(place + 16, 40))
    stop = place
  elseif members == ALL16 or bytes == ALL32 or at == ALL32 then
    refuse "its zip64 record is missing"
  end
  if disk ~= 0 or first_disk ~= 0 or here ~= members then
    refuse "it is a zip archive in several parts"
  end
  if at < 0 or bytes < 0 or at > stop or bytes > stop - at then
    refuse("its directory of %d bytes at %d is not inside the archive", bytes, at)
  end
  if members < 0 or members > MAX_MEMBERS or members * 46 > bytes then
    refuse("its directory of %d bytes cannot hold %d members", bytes, members)
  end
  return at, bytes, members
end

-- Sizes and place of a member above 4 GB are in an extra field, those that do not fit above.
local function read_zip64(member, extra)
  local at = 1
  while at + 3 <= #extra do
    local id, n = string.unpack("<I2I2", extra, at)
    if id == 1 and at + 3 + n <= #extra then
      local from, stop = at + 4, at + 4 + n
      for _, field in ipairs {"size", "stored", "header"} do
        if member[field] == ALL32 and from + 8 <= stop then
          member[field], from = string.unpack("<i8", extra, from)
        end
      end
    end
    at = at + 4 + n
  end
end

local function read_entry(mapping, at, stop)
  if stop - at < 46 or mapping:bytes(at, 4) ~= "PK\1\2" then
    refuse("its directory is damaged at byte %d", at)
  end
  local flags, method, _, crc, stored, size, name_n, extra_n, comment_n, disk, _, _, header =
    string.unpack("<I2I2I4I4I4I4I2I2I2I2I2I4I4", mapping:bytes(at + 8, 38))
  local next_at = at + 46 + name_n + extra_n + comment_n
  if next_at > stop then refuse("its directory is damaged at byte %d", at) end
  local member = {name = mapping:bytes(at + 46, name_n), crc = crc, stored = stored, size = size,
    header = header, method = METHOD[method] or ("compressed by method %d"):format(method)}
  read_zip64(member, mapping:bytes(at + 46 + name_n, extra_n))
  if disk ~= 0 then refuse "it is a zip archive in several parts" end
  if flags & 1 ~= 0 then refuse("%s is encrypted", shown(member.name)) end
  return member, next_at
end

-- Finds the bytes of a member behind its local header.
local function locate(mapping, member, limit)
  local at, name = member.header, shown(member.name)
  if at < 0 or at > limit - 30 or mapping:bytes(at, 4) ~= "PK\3\4" then
    refuse("%s is not where the directory says", name)
  end
  local name_n, extra_n = string.unpack("<I2I2", mapping:bytes(at + 26, 4))
  local start = at + 30 + name_n + extra_n
  if start > limit or name_n ~= #member.name or mapping:bytes(at + 30, name_n) ~= member.name then
    refuse("%s is not where the directory says", name)
  end
  if member.stored < 0 or member.size < 0 or member.stored > limit - start then
    refuse("%s of %d bytes at %d is not inside the archive", name, member.stored, start)
  end
  if member.method == "stored" and member.stored ~= member.size then
    refuse("%s is stored and takes %d bytes, not the %d it is said to have", name, member.stored,
      member.size)
  end
  member.at = start
end

local function check_overlap(list)
  local order = table.move(list, 1, #list, 1, {})
  table.sort(order, function(a, b) return a.header < b.header end)
  for i = 2, #order do
    local before = order[i - 1]
    if order[i].header < before.at + before.stored then
      refuse("%s and %s overlap", shown(before.name), shown(order[i].name))
    end
  end
end

--- The members of the archive that a mapping holds: a list, which also has each by its name.
---
--- A member is {name, at, stored, size, crc, method}: `stored` bytes at `at`, which become `size`;
--- method is "stored", "deflated" or a text for a message. Refuses what is damaged.
---@param mapping any from core.map
---@return table members
function zip.members(mapping)
  if #mapping < 22 then refuse "it is a zip archive without its end; it is cut off" end
  local at, bytes, count = find_directory(mapping)
  local limit, stop, list, by_name = at, at + bytes, {}, {}
  for i = 1, count do
    list[i], at = read_entry(mapping, at, stop)
    local name = list[i].name
    if by_name[name] then refuse("%s comes twice in it", shown(name)) end
    by_name[name] = list[i]
  end
  for _, member in ipairs(list) do locate(mapping, member, limit) end
  check_overlap(list)
  return list, by_name
end

return zip
