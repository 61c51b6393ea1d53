--- IDX files (MNIST and its relatives), plain or gzipped: tensors of bytes.
--
-- Two zero bytes, the type (8: unsigned bytes, the only one that is read), the number of dims, the
-- sizes as big-endian 32-bit numbers, then the bytes, row-major.
local core = require "lua_equi.core"
local options = require "lua_equi.options"

local idx = {}

local TYPES = {[0x09] = "signed bytes", [0x0B] = "16-bit numbers", [0x0C] = "32-bit numbers",
  [0x0D] = "floats", [0x0E] = "doubles"}
local MAX_RATIO = 1032 -- deflate cannot expand a byte to more

-- Where the deflated bytes of a gzip file begin (from 0), or nil and what is wrong.
local function after_header(m)
  local head = m:bytes(0, math.min(#m, 1 << 16))
  if #head < 18 or head:byte(3) ~= 8 then return nil, "a damaged gzip file" end
  local flags, at = head:byte(4), 11
  if flags & 4 ~= 0 then at = at + 2 + string.unpack("<I2", head, 11) end
  for bit = 3, 4 do -- a name, a comment
    if flags & 1 << bit ~= 0 then
      local stop = head:find("\0", at, true)
      if not stop then return nil, "a damaged gzip file" end
      at = stop + 1
    end
  end
  if flags & 2 ~= 0 then at = at + 2 end
  if at + 8 > #m then return nil, "the file is cut off" end
  return at - 1
end

-- A mapping of what is packed in the gzip file m.
local function unpacked(m)
  local at, problem = after_header(m)
  if not at then return nil, problem end
  local crc, size = string.unpack("<I4I4", m:bytes(#m - 8, 8))
  local count = #m - 8 - at
  if size > count * MAX_RATIO then
    return nil, ("%d packed bytes cannot hold the %d that it is said to have"):format(count, size)
  end
  return m:inflate(at, count, size, crc)
end

local function read(path)
  local m, message = core.map(path, {copy = true})
  if not m then return nil, message end
  if #m >= 2 and m:bytes(0, 2) == "\x1f\x8b" then
    local whole, problem = unpacked(m)
    if not whole then return nil, ("%s: %s"):format(path, problem) end
    m = whole
  end
  if #m < 4 or m:bytes(0, 2) ~= "\0\0" then return nil, path .. ": not an IDX file" end
  local kind, ndim = m:bytes(2, 2):byte(1, 2)
  if kind ~= 8 then
    return nil, ("%s: it holds %s; unsigned bytes can be read"):format(path, TYPES[kind]
      or ("data of type %d"):format(kind))
  end
  if ndim < 1 or ndim > 8 then
    return nil, ("%s: %d dims; 1 to 8 are possible"):format(path, ndim)
  end
  if #m < 4 + 4 * ndim then return nil, path .. ": the file is cut off" end
  local sizes = {string.unpack(">" .. ("I4"):rep(ndim), m:bytes(4, 4 * ndim))}
  sizes[ndim + 1] = nil
  local count = 1
  for _, n in ipairs(sizes) do count = n == 0 and 0 or count > #m and count or count * n end
  if count ~= #m - 4 - 4 * ndim then
    return nil, ("%s: %d bytes for %s; it is cut off or damaged"):format(path, #m - 4 - 4 * ndim,
      table.concat(sizes, " x "))
  end
  local x, problem = m:tensor("U8", sizes, 4 + 4 * ndim)
  if not x then return nil, problem end
  return x
end

--- Reads an IDX file of unsigned bytes; whether it is gzipped is seen by its first bytes.
---@param path string
---@return table? x u8 of the sizes in the file; nil when it cannot be read
---@return string? message
--- Example:
---     local path = os.tmpname()
---     local f = io.open(path, "wb")
---     f:write "\0\0\8\2\0\0\0\2\0\0\0\3abcdef"
---     f:close()
---     print(equi.data.idx.read(path):size())   --> 2 3
---     os.remove(path)
function idx.read(path)
  local x, message = read(path)
  if not x then return nil, "idx.read: " .. message end
  return x
end

local PARTS = {train = "train", test = "t10k"}

local function find(folder, name)
  for _, ending in ipairs {"", ".gz"} do
    local path = folder .. "/" .. name .. ending
    local f = io.open(path, "rb")
    if f then
      f:close()
      return path
    end
  end
  return nil, ("%s: neither %s nor %s.gz is there"):format(folder, name, name)
end

local function read_set(folder, part, classes)
  local x, y, path, message
  path, message = find(folder, PARTS[part] .. "-images-idx3-ubyte")
  if path then x, message = read(path) end
  if not x then return nil, message end
  path, message = find(folder, PARTS[part] .. "-labels-idx1-ubyte")
  if path then y, message = read(path) end
  if not y then return nil, message end
  if x.ndim ~= 3 or y.ndim ~= 1 or x:size(1) ~= y:size(1) then
    return nil, ("%s: pictures %s and labels %s do not belong together"):format(folder,
      table.concat(x.shape, " x "), table.concat(y.shape, " x "))
  end
  y = y:to "i64"
  if y:numel() > 0 and y:max():item() >= #classes then
    return nil, ("%s: a label is %d; it must be below %d"):format(path, y:max():item(), #classes)
  end
  return {images = x:unsqueeze(2), labels = y + 1, classes = classes}
end

local function check_part(who, o)
  if not PARTS[o.part] then
    error(('%s: part must be "train" or "test", got %s'):format(who, tostring(o.part)), 3)
  end
end

local DIGITS = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}

--- Reads a set in MNIST's files: train-images-idx3-ubyte, t10k-labels-idx1-ubyte ..., plain or .gz.
---@param folder string
---@param opts? {part: string, classes: string[]} "train" (default) or "test"; names of the classes
---@return table? set {images u8 [N, 1, H, W], labels i64 [N] from 1, classes}
---@return string? message
--- Example:
---     print((equi.data.idx.read_set("no/such/folder", {part = "test"})))   --> nil
function idx.read_set(folder, opts)
  local o = options.check("idx.read_set", opts, {part = "train", classes = DIGITS})
  check_part("idx.read_set", o)
  local set, message = read_set(folder, o.part, o.classes)
  if not set then return nil, "idx.read_set: " .. message end
  return set
end

--- Where Debian's package dataset-fashion-mnist puts its files.
idx.fashion_folder = "/usr/share/datasets/fashion-mnist"

--- Fashion-MNIST (Xiao and others 2017): 60,000 + 10,000 gray pictures of clothes, 28 x 28.
---@param opts? {part: string, folder: string} default "train" and the folder of Debian's package
---@return table? set {images u8 [N, 1, 28, 28], labels i64 [N], classes}
---@return string? message which package to install, when the folder is absent
--- Example:
---     print((equi.data.idx.fashion_mnist {folder = "no/such/folder"}))   --> nil
function idx.fashion_mnist(opts)
  local o = options.check("idx.fashion_mnist", opts, {part = "train", folder = idx.fashion_folder})
  check_part("idx.fashion_mnist", o)
  local set, message = read_set(o.folder, o.part, {"T-shirt", "trouser", "pullover", "dress",
    "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"})
  if not set then
    return nil, ("idx.fashion_mnist: %s; Debian's package dataset-fashion-mnist has it"):format(
      message)
  end
  return set
end

return idx
