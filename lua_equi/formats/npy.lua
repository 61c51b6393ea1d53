--- NumPy's files: one array (.npy), or a zip archive of them (.npz).
--
-- The header of an array is a Python dict of three literals, read by a reader of just these. Arrays
-- in Fortran's order become strided tensors. Object arrays are pickles and are refused unread;
-- deflated members (numpy.savez_compressed) are inflated within a limit.
-- Not for structured, text, complex, date or big-endian arrays.
local refusal = require "lua_equi.formats.refusal"

local npy = {}

local refuse, shown = refusal.refuse, refusal.shown
local MAX_DIMS = 8
local MAX_HEADER = 65536
local MAX_BYTES = 1 << 60
local MAX_RATIO = 1032 -- what deflate reaches at best

npy.MAGIC = "\x93NUMPY"

local STORED = {f4 = "F32", f8 = "F64", f2 = "F16", i8 = "I64", i4 = "I32", i2 = "I16", i1 = "I8",
  u8 = "U64", u4 = "U32", u2 = "U16", u1 = "U8", b1 = "BOOL"}
local SIZE = {f4 = 4, f8 = 8, f2 = 2, i8 = 8, i4 = 4, i2 = 2, i1 = 1, u8 = 8, u4 = 4, u2 = 2,
  u1 = 1, b1 = 1}

-- ---- the header ----

local function stored_as(descr)
  local order, kind = descr:match "^([<>|=]?)(%a%d+)$"
  if descr == "|O" or descr == "O" then
    refuse "it is an array of Python objects, which are pickled; save it with a dtype of numbers"
  elseif not kind or not STORED[kind] then
    refuse("its dtype %s is not one of numbers that can be loaded; convert it, as in "
      .. "x.astype(numpy.float32)", shown(descr))
  elseif order == ">" or order == "" and SIZE[kind] > 1 then
    refuse("its numbers (%s) are big-endian; save x.astype(x.dtype.newbyteorder('<'))",
      shown(descr))
  end
  return STORED[kind], SIZE[kind]
end

local function read_shape(text)
  local shape = {}
  for item in text:gmatch "[^,]+" do
    local digits = item:match "^%s*(%d+)L?%s*$"
    local n = digits and #digits < 20 and math.tointeger(tonumber(digits))
    if digits and not n then refuse "its sizes are larger than any memory" end
    if n then
      shape[#shape + 1] = n
    elseif item:find "%S" then
      refuse("its shape is (%s)", shown(text))
    end
    if #shape > MAX_DIMS then refuse("it has more than %d dimensions", MAX_DIMS) end
  end
  return shape
end

local VALUES = {
  descr = {"^'([^']*)'()", '^"([^"]*)"()'},
  fortran_order = {"^(True)()", "^(False)()"},
  shape = {"^%(([^()]*)%)()"},
}

-- One `'key': value,` at the beginning of rest, and what follows it; nil when there is none.
local function read_pair(rest)
  local key, from = rest:match "^%s*['\"]([%w_]+)['\"]%s*:%s*()"
  for _, pattern in ipairs(VALUES[key] or {}) do
    local value, behind = rest:match(pattern, from)
    if value then return key, value, (rest:sub(behind):gsub("^%s*,", "", 1)) end
  end
  return nil
end

-- {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, in any order.
local function read_dict(text)
  local found, rest = {}, text:match "^%s*{(.*)}%s*$"
  while rest and rest:find "%S" do
    local key, value, behind = read_pair(rest)
    rest = key and not found[key] and behind
    if rest then found[key] = value end
  end
  if rest and found.descr and found.fortran_order and found.shape then return found end
  if text:find "['\"]descr['\"]:%s*%[" then
    refuse "it is a structured array; save its fields one by one"
  end
  refuse("its header is damaged: %s", shown(text))
end

local function read_header(mapping, at, bytes)
  if bytes < 10 then refuse("it has %d bytes; an array's header needs 10", bytes) end
  if mapping:bytes(at, 6) ~= npy.MAGIC then refuse "it is no NumPy array" end
  local major = mapping:bytes(at + 6, 1):byte()
  if major < 1 or major > 3 then refuse("it is of NumPy's version %d; 1 to 3 are known", major) end
  local wide = major > 1
  if wide and bytes < 12 then refuse("it has %d bytes; an array's header needs 12", bytes) end
  local start = wide and 12 or 10
  local n = string.unpack(wide and "<I4" or "<I2", mapping:bytes(at + 8, wide and 4 or 2))
  if n > MAX_HEADER or n > bytes - start then
    refuse("its header would take %d bytes; it is cut off or damaged", n)
  end
  return read_dict(mapping:bytes(at + start, n)), start + n
end

local function elements(shape)
  local n = 1
  for _, size in ipairs(shape) do
    if size > 0 and n > MAX_BYTES // 8 // size then
      refuse("%s numbers are more than any memory has", table.concat(shape, " x "))
    end
    n = n * size
  end
  return n
end

-- Fortran's order: the first place varies fastest.
local function turned(mapping, x, shape)
  local strides, stride = {}, 1
  for i, size in ipairs(shape) do
    strides[i] = stride
    stride = stride * size
  end
  return mapping:view(x, shape, strides, 0)
end

local function read_array(mapping, at, bytes)
  local header, start = read_header(mapping, at, bytes)
  local stored, size = stored_as(header.descr)
  local shape = read_shape(header.shape)
  local n = elements(shape)
  if n * size ~= bytes - start then
    refuse("it has %d bytes of numbers, but %s of %s take %d", bytes - start,
      #shape == 0 and "one" or table.concat(shape, " x "), header.descr, n * size)
  end
  local turn = header.fortran_order == "True" and #shape > 1
  local x, problem = mapping:tensor(stored, turn and {n} or shape, at + start)
  if x and turn then x, problem = turned(mapping, x, shape) end
  if not x then refuse("%s", problem) end
  return x
end

--- The tensor of an .npy file, called "tensor".
---@param mapping any
---@return table tensors
function npy.read(mapping) return {tensor = read_array(mapping, 0, #mapping)} end

-- ---- archives ----

local function inflate(mapping, member, options, before)
  if member.size > MAX_RATIO * member.stored + 64 then
    refuse("%d deflated bytes cannot become %d", member.stored, member.size)
  end
  if member.size > options.max_inflated - before then
    refuse("its arrays take more than %d bytes once inflated; allow it with max_inflated",
      options.max_inflated)
  end
  local made, problem = mapping:inflate(member.at, member.stored, member.size, member.crc)
  if not made then refuse("%s", problem) end
  return made
end

local function read_member(mapping, member, options, before)
  if member.method == "stored" then return read_array(mapping, member.at, member.stored), 0 end
  if member.method ~= "deflated" then
    refuse("it is %s; NumPy stores or deflates", member.method)
  end
  local made <close> = inflate(mapping, member, options, before)
  return read_array(made, 0, member.size), member.size
end

--- The arrays of an .npz file by name.
---@param mapping any
---@param list table from zip.members
---@param options table {max_inflated =}
---@return table tensors
function npy.read_archive(mapping, list, options)
  local tensors, inflated = {}, 0
  for _, member in ipairs(list) do
    local name = member.name:match "^(.*)%.npy$"
    if name then
      local ok, x, bytes = pcall(read_member, mapping, member, options, inflated)
      if not ok then
        if type(x) == "table" and x.bad_file then refuse("%s: %s", shown(name), x.bad_file) end
        error(x, 0)
      end
      tensors[name], inflated = x, inflated + bytes
    end
  end
  return tensors
end

return npy
