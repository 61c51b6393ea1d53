-- equi.image: every kind of PNG and JPEG beside PIL's pixels, damaged and hostile files, resizing
-- beside PIL's, the transforms, contact sheets.
local equi = require "lua_equi"
local core = require "lua_equi.core"
local files = require "spec.support.files"
local vectors = require "spec.support.image_vectors"

local image = equi.image

local function bytes_of(hex)
  return (hex:gsub("%x%x", function(b) return string.char(tonumber(b, 16)) end))
end

-- H x W x C bytes of a picture.
local function pixels(x) return x:permute(2, 3, 1):tobytes() end

local function picture(hex, h, w, c)
  return equi.frombytes(bytes_of(hex), {h, w, c}, {dtype = "u8"}):permute(3, 1, 2)
end

local function noise(h, w, c)
  local bytes = {}
  for i = 1, h * w * c do bytes[i] = string.char((i * 37 + i // 11) % 256) end
  return equi.frombytes(table.concat(bytes), {h, w, c}, {dtype = "u8"}):permute(3, 1, 2)
end

local has_jpeg = core.build().jpeg ~= nil

local function need_jpeg()
  if not has_jpeg then pending "JPEG: this build has no libjpeg" end
  return has_jpeg
end

--- CRC-32 of PNG's chunks, so that a hostile header gets past the checksum.
local function crc32(text)
  local crc = 0xFFFFFFFF
  for i = 1, #text do
    crc = crc ~ text:byte(i)
    for _ = 1, 8 do crc = crc & 1 == 1 and crc >> 1 ~ 0xEDB88320 or crc >> 1 end
  end
  return crc ~ 0xFFFFFFFF
end

local function chunk(kind, data)
  return string.pack(">I4", #data) .. kind .. data .. string.pack(">I4", crc32(kind .. data))
end

local function png_header(w, h)
  return "\137PNG\r\n\26\n" .. chunk("IHDR", string.pack(">I4I4BBBBB", w, h, 8, 2, 0, 0, 0))
    .. chunk("IDAT", "\x78\x01\x01\4\0\xfb\xff\0\1\2\3\0\x10\0\7") .. chunk("IEND", "")
end

local function no_blocks_left(f)
  f()
  local before = equi.memory("collect").live
  f()
  assert.equal(before, equi.memory("collect").live)
end

describe("image.decode", function()
  for _, case in ipairs(vectors.png) do
    it("reads PNG " .. case.name, function()
      local x = assert(image.decode(bytes_of(case.file)))
      assert.same({3, vectors.height, vectors.width}, {x:size()})
      assert.equal("u8", x.dtype)
      assert.equal(case.pixels, (pixels(x):gsub(".", function(b)
        return ("%02x"):format(b:byte())
      end)))
    end)
  end

  for _, case in ipairs(vectors.jpeg) do
    it("reads JPEG " .. case.name, function()
      if not need_jpeg() then return end
      local x = assert(image.decode(bytes_of(case.file)))
      assert.same({3, 13, 18}, {x:size()})
      assert.equal(bytes_of(case.pixels), pixels(x))
    end)
  end

  it("keeps alpha and makes gray when asked", function()
    local x = noise(5, 4, 4)
    local path = files.temporary()
    image.save(path, x)
    assert.equal(pixels(x), pixels(image.load(path, {channels = 4})))
    assert.equal(pixels(x[{{1, 3}}]), pixels(image.load(path)))
    local v = vectors.resize
    image.save(path, picture(v.pixels, v.height, v.width, 3))
    assert.equal(bytes_of(vectors.gray), pixels(image.load(path, {channels = 1})))
    assert.equal(255, image.load(path, {channels = 4})[{4, 1, 1}]:item())
    os.remove(path)
  end)

  it("gives channels-last tensors", function()
    local x = assert(image.decode(bytes_of(vectors.png[1].file)))
    assert.is_true(x:unsqueeze(1):is_channels_last())
  end)

  it("refuses a file cut off at any byte", function()
    local list = {bytes_of(vectors.png[20].file), bytes_of(vectors.png[3].file)}
    if has_jpeg then
      list[3], list[4] = bytes_of(vectors.jpeg[4].file), bytes_of(vectors.jpeg[5].file)
    end
    for k, whole in ipairs(list) do
      assert(image.decode(whole))
      for n = 0, #whole - 1 do
        local x, message = image.decode(whole:sub(1, n))
        assert(x == nil, ("file %d, cut off after %d of %d"):format(k, n, #whole))
        assert.matches("^image.decode: ", message)
      end
    end
  end)

  it("never crashes on a damaged byte", function()
    local list = {bytes_of(vectors.png[20].file)}
    if has_jpeg then
      list[2], list[3] = bytes_of(vectors.jpeg[4].file), bytes_of(vectors.jpeg[5].file)
    end
    for _, whole in ipairs(list) do
      for n = 1, #whole do
        for _, flip in ipairs {0x55, 0xff, 0x01} do
          local x, message = image.decode(whole:sub(1, n - 1)
            .. string.char(whole:byte(n) ~ flip) .. whole:sub(n + 1))
          assert.is_true(x ~= nil or type(message) == "string")
        end
      end
    end
  end)

  it("refuses hostile sizes before taking memory", function()
    for _, size in ipairs {{0, 5}, {5, 0}, {0x7fffffff, 0x7fffffff}, {0xffffffff, 1},
      {65535, 65535}, {8000, 8000}} do
      local before = equi.memory("reset_peak").live
      local x, message = image.decode(png_header(size[1], size[2]))
      assert.is_nil(x)
      assert.matches("^image.decode: ", message)
      assert.is_true(equi.memory().peak - before < 1e6)
    end
    assert.matches("65535 x 65535 pixels, above the limit of 89478485",
      select(2, image.decode(png_header(65535, 65535))), 1, true)
    assert.matches("2 x 3 pixels, above the limit of 5",
      select(2, image.decode(png_header(3, 2), {max_pixels = 5})), 1, true)
    if not has_jpeg then return end
    local jpeg = bytes_of(vectors.jpeg[4].file)
    local at = jpeg:find "\xff\xc0"
    local huge = jpeg:sub(1, at + 4) .. "\xff\xdc\xff\xdc" .. jpeg:sub(at + 9)
    assert.matches("65500 x 65500 pixels, above the limit",
      select(2, image.decode(huge)), 1, true)
    huge = jpeg:sub(1, at + 4) .. "\x23\x28\x23\x28" .. jpeg:sub(at + 9)
    local before = equi.memory("reset_peak").live
    assert.equal("image.decode: the file is cut off", select(2, image.decode(huge)))
    assert.is_true(equi.memory().peak - before < 1e6)
  end)

  it("says what else a file is", function()
    for start, name in pairs {["GIF89a"] = "GIF", ["RIFFxxxxWEBPVP8 "] = "WebP",
      ["BMxxxx"] = "BMP", ["II*\0xxxx"] = "TIFF"} do
      assert.equal(("image.decode: a %s picture; PNG and JPEG can be read"):format(name),
        select(2, image.decode(start)))
    end
    assert.matches("not a PNG or JPEG picture", select(2, image.decode "hello, this is text"))
    assert.matches("empty", select(2, image.decode ""))
  end)

  it("refuses JPEGs of two components by number", function()
    if not need_jpeg() then return end
    local gray = bytes_of(vectors.jpeg[1].file)
    local at = gray:find "\xff\xc0"
    local two = gray:sub(1, at + 1) .. "\0\14" .. gray:sub(at + 4, at + 8) .. "\2"
      .. gray:sub(at + 10, at + 12) .. "\2\x11\0" .. gray:sub(at + 13)
    assert.matches("2 components; gray, colour and CMYK", select(2, image.decode(two)), 1, true)
  end)

  it("leaves no block behind, whatever fails", function()
    local whole = bytes_of(vectors.png[20].file)
    no_blocks_left(function()
      image.decode(whole)
      image.decode(whole:sub(1, -20))
      if has_jpeg then
        image.decode(bytes_of(vectors.jpeg[1].file), {channels = 1})
        image.decode(bytes_of(vectors.jpeg[1].file):sub(1, -20))
      end
    end)
    for n = 1, 3 do
      no_blocks_left(function()
        core.fail_allocation(n, 100)
        pcall(image.decode, whole)
        core.fail_allocation()
      end)
    end
    core.fail_allocation(1)
    local x = image.decode(whole) -- a second attempt after collecting
    core.fail_allocation()
    assert.is_truthy(x)
  end)
end)

describe("image files", function()
  local folder
  setup(function() folder = files.folder() end)
  teardown(function() files.remove(folder) end)

  it("give back every byte for 1, 3 and 4 channels", function()
    local path = folder .. "/x.png"
    for _, c in ipairs {1, 3, 4} do
      local x = noise(13, 7, c)
      image.save(path, x)
      assert.equal(pixels(x), pixels(image.load(path, {channels = c})))
      image.save(path, x:clone()) -- rows of planes
      assert.equal(pixels(x), pixels(image.load(path, {channels = c})))
    end
  end)

  it("are not written under the name of another format", function()
    for _, name in ipairs {"x.jpg", "x.JPEG", "x.gif"} do
      local path = folder .. "/" .. name
      for _, write in ipairs {image.save, image.write} do
        local ok, text = pcall(function() write(path, equi.ones(2, 2)) end)
        assert.is_false(ok)
        assert.matches("^[^:]*image_spec%.lua:%d+: image%.%a+: what is written is PNG, ", text)
      end
      assert.is_nil(io.open(path))
    end
    local path = folder .. "/x.of.2024"
    image.save(path, equi.ones(2, 2))
    assert.equal(4, image.load(path, {channels = 1}):numel())
  end)

  it("take floats from 0 to 1, and masks", function()
    local path = folder .. "/x.png"
    image.save(path, equi.tensor({{-1, 0, 0.5}, {0.9999, 1, 7}}))
    assert.same({0, 0, 128, 255, 255, 255},
      {image.load(path, {channels = 1}):tobytes():byte(1, -1)})
    image.save(path, equi.tensor({{1, 0}}):gt(0))
    assert.same({255, 0}, {image.load(path, {channels = 1}):tobytes():byte(1, -1)})
  end)

  it("raise or return what the world does", function()
    local absent = folder .. "/absent.png"
    assert.same({nil, ("image.read: %s: cannot open it: No such file or directory"):format(absent)},
      {image.read(absent)})
    assert.has_error(function() image.load(absent) end)
    assert.matches("image_spec.lua:%d+: image.load: .*No such file",
      select(2, pcall(function() image.load(absent) end)))
    assert.matches("directory", select(2, image.read(folder)))
    os.execute("mkfifo " .. folder .. "/pipe")
    assert.is_nil(image.read(folder .. "/pipe"))
    assert.matches("^image.write: cannot create .*No such file",
      select(2, image.write(folder .. "/no/x.png", noise(2, 2, 3))))
    assert.matches("not a regular file", select(2, image.write("/dev/full", noise(2, 2, 3))))
  end)

  it("raise for the caller's mistakes, at his line", function()
    local function fails(pattern, f, ...)
      local ok, message = pcall(f, ...)
      assert.is_false(ok)
      assert.matches("^spec/image/image_spec.lua:%d+: " .. pattern, message)
    end
    fails("image.load: the file name must be a string, got nothing",
      function() image.load() end)
    fails('image.read: no option "gray"', function() image.read("x", {gray = true}) end)
    fails("image.read: channels must be 1", function() image.read("x", {channels = 2}) end)
    fails("image.decode: max_pixels must be", function() image.decode("x", {max_pixels = 0}) end)
    fails("image.save: x is a tensor f32 2 x 4 x 4; a picture",
      function() image.save("x", equi.zeros(2, 4, 4)) end)
    fails("image.write: x is i64", function()
      image.write("x", equi.zeros({4, 4}, {dtype = "i64"}))
    end)
    fails("image.resize: size must be", function() image.resize(noise(2, 2, 3), 0) end)
    fails("image.resize: size must be .*, got {2, nil}", function()
      image.resize(noise(2, 2, 3), {2})
    end)
    fails('image.resize: no filter "area"', function()
      image.resize(noise(2, 2, 3), 2, {filter = "area"})
    end)
    fails("image.center_crop: the picture of 2 x 2 pixels is smaller than 3 x 3; resize it first",
      function() image.center_crop(noise(2, 2, 3), 3) end)
    fails("image.random_crop: the picture", function() image.random_crop(noise(2, 2, 3), 3) end)
    fails("image.normalize: mean must be a list of 3 numbers", function()
      image.normalize(noise(2, 2, 3), {mean = {1}, std = {1, 1, 1}})
    end)
    fails("image.sheet: images must be a list", function() image.sheet {} end)
    fails("image.sheet: picture 2 must be", function()
      image.sheet {noise(2, 2, 3), equi.zeros(2, 2, 2)}
    end)
    fails("image.sheet: columns must be", function()
      image.sheet({noise(2, 2, 3)}, {columns = 0})
    end)
  end)

  it("leave the old file alone when the disk is full", function()
    local mount = folder .. "/small"
    os.execute("mkdir -p " .. mount)
    if not os.execute("mount -t tmpfs -o size=16k none " .. mount .. " 2>/dev/null") then
      pending "image.write, disk full: mounting a small file system needs root"
      return
    end
    local target = mount .. "/x.png"
    local good = image.write(target, noise(1, 1, 3))
    local done, message = image.write(target, equi.rand(200, 200))
    local h = image.load(target):size(2)
    local listing = files.list(mount)
    os.execute("umount " .. mount)
    assert.is_true(good)
    assert.is_nil(done)
    assert.matches("^image.write: cannot write .*No space", message)
    assert.equal(1, h)
    assert.same({"x.png"}, listing)
  end)
end)

describe("image.resize", function()
  local v = vectors.resize
  local x = picture(v.pixels, v.height, v.width, 3)
  for _, case in ipairs(v) do
    it(("is PIL's: %s, %d x %d"):format(case.filter, case.height, case.width), function()
      local y = image.resize(x, {case.height, case.width}, {filter = case.filter})
      assert.equal(bytes_of(case.pixels), pixels(y))
      -- the order in memory and the number of channels change nothing
      local rows = image.resize(x:clone(), {case.height, case.width}, {filter = case.filter})
      assert.equal(pixels(y), pixels(rows))
      local one = image.resize(x[2], {case.height, case.width}, {filter = case.filter})
      assert.equal(y[2]:tobytes(), one:tobytes())
      local batch = image.resize(equi.cat({x:unsqueeze(1), x:flip(3):unsqueeze(1)}, 1),
        {case.height, case.width}, {filter = case.filter})
      assert.equal(pixels(y), pixels(batch[1]))
    end)
  end

  it("does not round floats", function()
    local gray = equi.frombytes(bytes_of(vectors.gray), {23, 17}, {dtype = "u8"})
    local expected = equi.tensor(vectors.float):reshape(8, 6)
    for dtype, bound in pairs {f32 = 1e-4, f64 = 1e-4} do
      local y = image.resize(gray:to(dtype), {8, 6})
      assert.equal(dtype, y.dtype)
      assert.is_true((y:to "f32" - expected):abs():max():item() < bound)
    end
  end)

  it("sets the shorter side as torchvision does", function()
    local function size(h, w, short)
      local y = image.resize(equi.zeros({1, h, w}, {dtype = "u8"}), short)
      return {y:size(2), y:size(3)}
    end
    assert.same({256, 341}, size(375, 500, 256))
    assert.same({341, 256}, size(500, 375, 256))
    assert.same({7, 7}, size(3, 3, 7))
    assert.same({5, 13}, size(3, 8, 5))
  end)

  it("keeps a picture of the same size", function()
    assert.equal(pixels(x), pixels(image.resize(x, {23, 17})))
  end)

  it("leaves no block behind when memory ends", function()
    for n = 1, 4 do
      no_blocks_left(function()
        core.fail_allocation(n, 100)
        pcall(image.resize, x, 9)
        core.fail_allocation()
      end)
    end
  end)
end)

describe("image transforms", function()
  it("crop the middle where torchvision does", function()
    local x = equi.arange(1, 7):reshape(1, 1, 7)
    local function first(width) return image.center_crop(x, {1, width})[{1, 1, 1}]:item() end
    -- round((7 - width) / 2): 0.5 is 0, 1.5 is 2, 2.5 is 2
    assert.same({1, 2, 3, 3, 3, 4}, {first(6), first(5), first(4), first(3), first(2), first(1)})
  end)

  it("crop anywhere, after padding", function()
    local random = equi.data.random.new(3)
    local x, seen = equi.arange(1, 9):reshape(1, 3, 3), {}
    for _ = 1, 200 do
      local y = image.random_crop(x, 2, {pad = 1, random = random})
      assert.same({1, 2, 2}, {y:size()})
      seen[table.concat({y:tobytes():byte(1, -1)}, " ")] = true
    end
    local n = 0
    for _ in pairs(seen) do n = n + 1 end
    assert.equal(16, n)
  end)

  it("crop by the stream of equi.seed", function()
    local x = equi.arange(1, 400):reshape(1, 20, 20)
    local function draw() return image.random_crop(x, 3)[{1, 1, 1}]:item() end
    equi.seed(4)
    local a, b, c = draw(), draw(), draw()
    equi.seed(4)
    assert.same({a, b, c}, {draw(), draw(), draw()})
    assert.is_false(a == b and b == c)
  end)

  it("flip and normalise", function()
    local x = equi.tensor({{{0, 255}}, {{51, 102}}, {{255, 0}}}, {dtype = "u8"})
    assert.same({{{255, 0}}, {{102, 51}}, {{0, 255}}}, image.hflip(x):totable())
    local y = image.normalize(x, {mean = {0.5, 0, 1}, std = {0.5, 0.2, 2}})
    local expected = equi.tensor {{{-1, 1}}, {{1, 2}}, {{0, -0.5}}}
    assert.is_true((y - expected):abs():max():item() < 1e-6)
    local batch = image.normalize(x:unsqueeze(1), {mean = {0.5, 0, 1}, std = {0.5, 0.2, 2}})
    assert.is_true((batch[1] - expected):abs():max():item() < 1e-6)
    assert.equal("f32", image.to_float(x).dtype)
  end)
end)

describe("image.sheet", function()
  it("puts every picture at its place", function()
    local list = {}
    for i = 1, 5 do list[i] = equi.full({3, 4, 4}, i, {dtype = "u8"}) end
    local s = image.sheet(list, {columns = 3, size = 8, gap = 2})
    assert.same({3, 22, 32}, {s:size()})
    local function at(row, column) return s[{1, row, column}]:item() end
    assert.same({255, 1, 1, 255, 2, 3}, {at(1, 1), at(3, 3), at(10, 10), at(11, 11), at(3, 13),
      at(10, 30)})
    assert.same({4, 5, 255}, {at(13, 3), at(20, 20), at(20, 30)})
  end)

  it("writes captions and a title, and takes every kind of picture", function()
    local s = image.sheet({equi.rand(3, 9, 5), equi.zeros({7, 3}, {dtype = "u8"}),
      equi.rand(1, 200, 100)}, {captions = {"cat 0.93", "a very long caption that does not fit"},
      title = "Mistakes", columns = 3})
    assert.equal("u8", s.dtype)
    local inked = s:to "f32":lt(200):to "f32"
    assert.is_true(inked[{1, {1, 30}}]:sum():item() > 50)   -- the title
    assert.is_true(inked[{1, {131, 144}}]:sum():item() > 20) -- the captions
    local path = files.temporary()
    image.save(path, s)
    assert.equal(pixels(s), pixels(image.load(path)))
    os.remove(path)
  end)
end)
