--- equi.image: pictures as tensors: read, write, resize, crop, flip, normalise, show.
--
-- A picture is a u8 tensor [3, H, W] (red, green, blue; 0 to 255), or [1, H, W] gray, whose
-- channels lie side by side in memory, as image networks want them. Sizes, crops and rounding are
-- those of torchvision's transforms on PIL pictures, so that published preprocessing gives the same
-- numbers. Whole data sets are read by lua_equi/data/loader.lua, which does all this in threads.
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local ending = require "lua_equi.formats.ending"
local options = require "lua_equi.options"

local image = {}

--- Pictures of more pixels are refused unless `max_pixels` allows them: a small file can claim any
--- size.
image.max_pixels = core.image_max_pixels

local function check_picture(who, x, level)
  if not core.is_tensor(x) or x.ndim < 2 or x.ndim > 4 then
    error(("%s: x must be a picture [C, H, W] or [H, W], or a batch [B, C, H, W], got %s"):format(
      who, arguments.shown(x)), level + 1)
  end
end

-- A side or {height, width}: returns height and width, or the side and nil.
local function sides(who, name, size, level)
  local h, w = size, nil
  if type(size) == "table" then h, w = size[1], size[2] end
  if math.type(h) ~= "integer" or h < 1 or (type(size) == "table" and
    (math.type(w) ~= "integer" or w < 1)) then
    error(("%s: %s must be a whole number of at least 1 or {height, width}, got %s"):format(who,
      name, type(size) == "table" and ("{%s, %s}"):format(tostring(h), tostring(w))
      or arguments.shown(size)), level + 1)
  end
  return h, w
end

-- ---- files ----

local READING = {channels = 3, max_pixels = image.max_pixels}

local function check_text(who, name, value)
  if type(value) ~= "string" then
    error(("%s: %s must be a string, got %s"):format(who, name, arguments.shown(value)), 4)
  end
end

-- o: checked options. Called by a public function.
local function read(who, o, kind, text)
  if o.channels ~= 1 and o.channels ~= 3 and o.channels ~= 4 then
    error(("%s: channels must be 1 (gray), 3 (RGB) or 4 (RGB and alpha), got %s"):format(who,
      tostring(o.channels)), 3)
  end
  if math.type(o.max_pixels) ~= "integer" or o.max_pixels < 1 then
    error(("%s: max_pixels must be a whole number of at least 1, got %s"):format(who,
      tostring(o.max_pixels)), 3)
  end
  check_text(who, kind, text)
  local is_file = kind ~= "bytes"
  local x, message = core.image_read(is_file and text or nil, text, o.channels, o.max_pixels)
  if not x then return nil, ("%s: %s"):format(who, message) end
  return x
end

--- Reads a PNG or JPEG file; the first bytes say which it is.
---
--- The pixels are those of PIL's convert("RGB"): palettes, gray and CMYK become RGB, alpha is
--- dropped, of 16-bit samples the upper byte is kept (PIL whitens 16-bit gray). {channels = 1}
--- gives PIL's gray, {channels = 4} keeps alpha. EXIF orientation is not applied. A cut-off or
--- damaged file gives no part of a picture; JPEG files need a build with libjpeg-turbo.
---@param path string
---@param opts? {channels: integer, max_pixels: integer} default 3 and 89,478,485
---@return table? picture u8 [channels, H, W]; nil when the file cannot be read
---@return string? message
--- Example:
---     print(equi.image.read "no/such.png")
---     --> nil image.read: no/such.png: cannot open it: No such file or directory
function image.read(path, opts)
  local o = options.check("image.read", opts, READING)
  local x, message = read("image.read", o, "the file name", path)
  return x, message
end

--- Like `read`, but raises when the file cannot be read.
---@param path string
---@param opts? {channels: integer, max_pixels: integer}
---@return table picture u8 [channels, H, W]
--- Example:
---     local path = os.tmpname()
---     equi.image.save(path, equi.zeros({3, 2, 4}, {dtype = "u8"}))
---     print(equi.image.load(path):size())   --> 3 2 4
---     os.remove(path)
function image.load(path, opts)
  local o = options.check("image.load", opts, READING)
  local x, message = read("image.load", o, "the file name", path)
  if not x then error(message, 2) end
  return x
end

--- Reads a picture from the bytes of a PNG or JPEG file; otherwise as `read`.
---@param bytes string
---@param opts? {channels: integer, max_pixels: integer}
---@return table? picture u8 [channels, H, W]
---@return string? message
--- Example:
---     print(equi.image.decode "GIF89a")
---     --> nil image.decode: a GIF picture; PNG and JPEG can be read
function image.decode(bytes, opts)
  local o = options.check("image.decode", opts, READING)
  local x, message = read("image.decode", o, "bytes", bytes)
  return x, message
end

-- u8 as it is, bool as black and white, floats from [0, 1].
local function to_bytes(who, x, level)
  if x.dtype == "u8" then return x end
  if x.dtype == "bool" then return x:to "u8" * 255 end
  if x.dtype ~= "f32" and x.dtype ~= "f64" then
    error(("%s: x is %s; a picture is u8, or float from 0 to 1"):format(who, x.dtype), level + 1)
  end
  return (x:detach():clamp(0, 1) * 255 + 0.5):floor():to "u8"
end

local function write(who, path, x)
  check_text(who, "the file name", path)
  local misnamed = ending(path)
  if misnamed then error(who .. ": " .. misnamed, 3) end
  check_picture(who, x, 3)
  local c = x.ndim == 3 and x:size(1) or 1
  if x.ndim == 4 or x:numel() == 0 or (c ~= 1 and c ~= 3 and c ~= 4) then
    error(("%s: x is %s; a picture is [H, W] or [C, H, W] with 1, 3 or 4 channels"):format(who,
      arguments.shown(x)), 3)
  end
  local done, message = core.image_write(path, to_bytes(who, x, 3))
  if not done then return nil, ("%s: %s"):format(who, message) end
  return true
end

--- Writes a picture as a PNG file, whole or not at all.
---@param path string
---@param x table u8, or float from 0 to 1 (clamped); [3, H, W], [1, H, W], [4, H, W] or [H, W]
---@return true? done nil when the file cannot be written
---@return string? message
--- Example:
---     print(equi.image.write("no/such/folder/x.png", equi.zeros(3, 2, 2)) == nil)   --> true
function image.write(path, x)
  local done, message = write("image.write", path, x)
  return done, message
end

--- Like `write`, a PNG whatever the name's ending (one of another format is refused), but raises
--- when the file cannot be written.
---@param path string
---@param x table
--- Example:
---     local path = os.tmpname()
---     equi.image.save(path, equi.tensor {{0, 0.5, 1}})
---     print(equi.image.load(path, {channels = 1}):totable()[1][1][2])   --> 128
---     os.remove(path)
function image.save(path, x)
  local done, message = write("image.save", path, x)
  if not done then error(message, 2) end
end

-- ---- geometry ----

--- Resizes pictures as PIL does, with antialiasing: a pixel becomes the mean of what it covers.
---
--- A number is the size of the shorter side, the other follows in proportion (as torchvision's
--- Resize); {height, width} sets both. u8 results are PIL's byte for byte; floats are not rounded.
--- The result has no gradient: inside a network use equi.upsample.
---@param x table u8, f32 or f64; [C, H, W], [H, W] or [B, C, H, W]
---@param size integer|integer[]
---@param opts? {filter: string} "bilinear" (default), "bicubic" or "nearest"
---@return table y channels side by side in memory
--- Example:
---     local x = equi.tensor({{{0, 10, 20, 30}, {0, 10, 20, 30}}}, {dtype = "u8"})
---     print(equi.image.resize(x, 1):size())        --> 1 1 2
---     print(equi.image.resize(x, {1, 2}):totable()[1][1][1])   --> 7
function image.resize(x, size, opts)
  local o = options.check("image.resize", opts, {filter = "bilinear"})
  check_picture("image.resize", x, 2)
  if o.filter ~= "bilinear" and o.filter ~= "bicubic" and o.filter ~= "nearest" then
    error(('image.resize: no filter "%s"; there are bicubic, bilinear, nearest'):format(
      tostring(o.filter)), 2)
  end
  local h, w = sides("image.resize", "size", size, 2)
  if not w then
    local short, height, width = h, x:size(-2), x:size(-1)
    h, w = short, short
    if height < width then w = short * width // height else h = short * height // width end
  end
  return core.image_resize(x, h, w, o.filter)
end

-- n / 2, halves to the even number, as Python rounds.
local function half(n) return n % 4 == 3 and n // 2 + 1 or n // 2 end

local function window(x, top, left, h, w)
  return x:narrow(-2, top + 1, h):narrow(-1, left + 1, w)
end

local function check_room(who, x, h, w)
  if x:size(-2) < h or x:size(-1) < w then
    error(("%s: the picture of %d x %d pixels is smaller than %d x %d; resize it first"):format(who,
      x:size(-2), x:size(-1), h, w), 3)
  end
end

--- The middle of a picture: a view. Where the border is not even, torchvision's choice.
---@param x table [.., H, W]
---@param size integer|integer[] a side of a square or {height, width}
---@return table view
--- Example:
---     print(equi.image.center_crop(equi.zeros(3, 6, 9), 4):size())   --> 3 4 4
function image.center_crop(x, size)
  check_picture("image.center_crop", x, 2)
  local h, w = sides("image.center_crop", "size", size, 2)
  w = w or h
  check_room("image.center_crop", x, h, w)
  return window(x, half(x:size(-2) - h), half(x:size(-1) - w), h, w)
end

-- One of 0 .. n - 1.
local function draw(random, n)
  if random then return random:integer(n) - 1 end
  return math.min(n - 1, math.floor(core.rand(1):item() * n))
end

--- A part of a picture at a random place, after `pad` black pixels were put around it.
---@param x table [.., H, W]
---@param size integer|integer[]
---@param opts? {pad: integer, random: table} random: a generator of data.random; default: the
--- stream of equi.seed
---@return table y
--- Example:
---     local x = equi.ones(3, 8, 8)
---     print(equi.image.random_crop(x, 8, {pad = 1}):size())   --> 3 8 8
function image.random_crop(x, size, opts)
  local o = options.check("image.random_crop", opts, {pad = 0, random = options.any()})
  check_picture("image.random_crop", x, 2)
  local h, w = sides("image.random_crop", "size", size, 2)
  w = w or h
  arguments.whole("image.random_crop", "pad", o.pad, 0)
  local sizes = x.shape
  if o.pad > 0 then
    sizes[x.ndim - 1], sizes[x.ndim] = sizes[x.ndim - 1] + 2 * o.pad, sizes[x.ndim] + 2 * o.pad
    local big = core.zeros(sizes, {dtype = x.dtype})
    window(big, o.pad, o.pad, x:size(-2), x:size(-1)):copy_(x)
    x = big
  end
  check_room("image.random_crop", x, h, w)
  local top = draw(o.random, x:size(-2) - h + 1)
  return window(x, top, draw(o.random, x:size(-1) - w + 1), h, w)
end

--- The mirror image, left and right exchanged.
---@param x table [.., H, W]
---@return table y
--- Example:
---     print(equi.image.hflip(equi.tensor {{1, 2}}):totable()[1][1])   --> 2.0
function image.hflip(x)
  check_picture("image.hflip", x, 2)
  return x:flip(-1)
end

-- ---- numbers ----

--- Bytes 0 .. 255 as f32 numbers 0 .. 1; floats are returned as they are.
---@param x table
---@return table y
--- Example:
---     print(equi.image.to_float(equi.tensor({0, 255}, {dtype = "u8"})):totable()[2])   --> 1.0
function image.to_float(x)
  arguments.tensor("image.to_float", "x", x)
  if x.dtype == "f32" or x.dtype == "f64" then return x end
  return x:to "f32" / 255
end

-- One number a channel as a tensor that broadcasts over the pixels of x.
local function per_channel(who, name, list, x)
  local c = x:size(-3)
  local ok = type(list) == "table" and #list == c
  for i = 1, c do ok = ok and type(list[i]) == "number" end
  if not ok then
    error(("%s: %s must be a list of %d numbers, one a channel"):format(who, name, c), 3)
  end
  return core.tensor(list, {dtype = x.dtype}):reshape(c, 1, 1)
end

--- (x - mean) / std for each channel; bytes are first made 0 .. 1.
---@param x table [C, H, W] or [B, C, H, W]
---@param opts {mean: number[], std: number[]} as published with the network
---@return table y float
--- Example:
---     local x = equi.full({3, 1, 1}, 255, {dtype = "u8"})
---     local y = equi.image.normalize(x, {mean = {0, 0.5, 1}, std = {1, 0.5, 1}})
---     print(y:totable()[1][1][1], y:totable()[2][1][1], y:totable()[3][1][1])   --> 1.0 1.0 0.0
function image.normalize(x, opts)
  local o = options.check("image.normalize", opts, {mean = options.any(), std = options.any()})
  check_picture("image.normalize", x, 2)
  if x.ndim < 3 then error("image.normalize: x must be [C, H, W] or [B, C, H, W]", 2) end
  x = image.to_float(x)
  local mean = per_channel("image.normalize", "mean", o.mean, x)
  local std = per_channel("image.normalize", "std", o.std, x)
  return (x - mean) / std
end

-- ---- contact sheets ----

--- One picture of many, in rows, each with a line of text below it: to look at data and mistakes.
---
--- Options: captions (a list of texts), columns (default: about square), size (of a cell; the
--- longer side of each picture is resized to it, nearest pixel when it grows; default 96), gap
--- (white pixels between cells, default 8), title.
---@param images table a list of pictures [C, H, W], or a batch [B, C, H, W]; u8, or float 0 .. 1
---@param opts? {captions: string[], columns: integer, size: integer, gap: integer, title: string}
---@return table picture u8 [3, H, W]
--- Example:
---     local x = equi.zeros({6, 3, 8, 8}, {dtype = "u8"})
---     print(equi.image.sheet(x, {columns = 3, size = 16, gap = 0}):size())   --> 3 32 48
function image.sheet(images, opts)
  local o = options.check("image.sheet", opts, {captions = options.any(), columns = options.any(),
    size = 96, gap = 8, title = options.any()})
  local picture = require("lua_equi.plot.sheet")(images, o, to_bytes)
  return picture
end

return image
