-- Reads the test vectors of the ONNX standard: models of one node, their inputs and outputs, as
-- protocol buffers (https://protobuf.dev/programming-guides/encoding, onnx.proto). Only the
-- fields that such a model has. Debian's package libonnx-testdata brings about 900 of them.
local equi = require "lua_equi"

local onnx = {}

-- Fields of a message: {number = {value, ...}}; a value is a number or a string.
local function fields(text)
  local found, at = {}, 1
  local function varint()
    local value, shift = 0, 0
    while true do
      local byte = text:byte(at)
      at = at + 1
      value = value | (byte & 127) << shift
      shift = shift + 7
      if byte < 128 then return value end
    end
  end
  while at <= #text do
    local key = varint()
    local number, wire = key >> 3, key & 7
    local value
    if wire == 0 then value = varint()
    elseif wire == 1 then value, at = string.unpack("<i8", text, at)
    elseif wire == 5 then value, at = string.unpack("<f", text, at)
    else
      local n = varint()
      value = text:sub(at, at + n - 1)
      at = at + n
    end
    found[number] = found[number] or {}
    table.insert(found[number], value)
  end
  return found
end

-- Repeated integers come one by one, or packed into a string.
local function integers(list)
  local result = {}
  for _, v in ipairs(list or {}) do
    if type(v) == "number" then result[#result + 1] = v
    else
      local value, shift = 0, 0
      for i = 1, #v do
        local byte = v:byte(i)
        value = value | (byte & 127) << shift
        shift = shift + 7
        if byte < 128 then
          result[#result + 1] = value
          value, shift = 0, 0
        end
      end
    end
  end
  return result
end

local function unpacked(text, format)
  local list, at = {}, 1
  while at <= #text do list[#list + 1], at = string.unpack(format, text, at) end
  return list
end

-- ONNX' number of a dtype: our dtype, how its elements lie in raw_data.
local dtypes = {
  [1] = {"f32", "<f"}, [2] = {"u8", "B"}, [6] = {"i64", "<i4"}, [7] = {"i64", "<i8"},
  [9] = {"bool", "B"}, [11] = {"f64", "<d"},
}

-- A tensor from the text of a TensorProto, or nil if its dtype is none of ours.
function onnx.tensor(text)
  local f = fields(text)
  local dtype = dtypes[f[2] and f[2][1] or 0]
  if not dtype then return nil end
  local values
  if f[9] then values = unpacked(f[9][1], dtype[2])
  elseif f[4] then values = unpacked(table.concat(f[4]), "<f")
  elseif f[10] then values = unpacked(table.concat(f[10]), "<d")
  else values = integers(f[7] or f[5]) end
  local x = equi.tensor(values, {dtype = dtype[1] == "bool" and "u8" or dtype[1]})
  x = x:reshape(integers(f[1]))
  return dtype[1] == "bool" and x:to("bool") or x
end

local function attributes(list)
  local result = {}
  for _, text in ipairs(list or {}) do
    local f = fields(text)
    local name, kind = f[1][1], f[20] and f[20][1]
    if kind == 1 then result[name] = f[2] and f[2][1] or 0.0
    elseif kind == 2 then result[name] = f[3] and f[3][1] or 0
    elseif kind == 3 then result[name] = f[4] and f[4][1] or ""
    elseif kind == 7 then result[name] = integers(f[8]) end
  end
  return result
end

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "a"
  file:close()
  return text
end

-- {type = , attributes = } of the only node of a model, or nil if it has several.
function onnx.node(path)
  local text = read(path)
  local graph = text and fields(fields(text)[7][1])
  if not graph or #graph[1] ~= 1 then return nil end
  local f = fields(graph[1][1])
  return {type = f[4][1], attributes = attributes(f[5]), inputs = f[1] or {}}
end

-- The tensors of input_0.pb, input_1.pb ... (or output_), false for a dtype that is not ours.
function onnx.tensors(folder, what)
  local list = {}
  for i = 0, 15 do
    local text = read(("%s/test_data_set_0/%s_%d.pb"):format(folder, what, i))
    if not text then break end
    list[#list + 1] = onnx.tensor(text) or false
  end
  return list
end

-- Where the vectors are, or nil.
function onnx.folder()
  local folder = "/usr/share/libonnx-testdata/data/node"
  local file = io.open(folder .. "/test_abs/model.onnx")
  if not file then return nil end
  file:close()
  return folder
end

return onnx
