-- PNG files through core.png_write and core.png_read: round trips, damage, hostile headers.
local ok, core = pcall(require, "lua_equi.core")
local ready = ok and core.png_write ~= nil

local function bytes_of(h, w, c)
  local bytes = {}
  for i = 1, h * w * c do bytes[i] = string.char((i * 37 + i // 11) % 256) end
  return table.concat(bytes)
end

local function read_all(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

local function write_all(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
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

--- Stored (uncompressed) zlib data, so that a spec can write any kind of PNG by hand.
local function zlib(data)
  local a, b = 1, 0
  for i = 1, #data do
    a = (a + data:byte(i)) % 65521
    b = (b + a) % 65521
  end
  return "\x78\x01\x01" .. string.pack("<I2I2", #data, ~#data & 0xFFFF) .. data
    .. string.pack(">I4", b << 16 | a)
end

local function png(w, h, depth, kind, data, extra)
  return "\137PNG\r\n\26\n" .. chunk("IHDR", string.pack(">I4I4BBBBB", w, h, depth, kind, 0, 0, 0))
    .. (extra or "") .. chunk("IDAT", zlib(data)) .. chunk("IEND", "")
end

describe("core.png", function()
  local folder, path
  setup(function()
    if not ready then return end
    folder = os.tmpname()
    os.remove(folder)
    assert(os.execute("mkdir " .. folder))
    path = folder .. "/x.png"
  end)
  teardown(function() if folder then os.execute("rm -r " .. folder) end end)

  local function test(name, f)
    it(name, function()
      if not ready then
        pending "png: lua_equi/core.so with png_write is not built"
        return
      end
      f()
    end)
  end

  local function read_text(text)
    write_all(path, text)
    return core.png_read(path)
  end

  test("gives back every byte for 1, 3 and 4 channels", function()
    for _, c in ipairs {1, 3, 4} do
      local bytes = bytes_of(13, 7, c)
      assert.is_true(core.png_write(path, bytes, 13, 7, c))
      assert.same({bytes, 13, 7, c}, {core.png_read(path)})
    end
  end)

  test("reads 16 bit, 1 bit, palette and transparent files as 8 bit", function()
    assert.same({"\255\128", 1, 2, 1}, {read_text(png(2, 1, 16, 0, "\0\255\255\128\128"))})
    assert.same({"\255\0\255", 1, 3, 1}, {read_text(png(3, 1, 1, 0, "\0\xA0"))})
    local palette = chunk("PLTE", "\1\2\3\4\5\6")
    assert.same({"\4\5\6\1\2\3", 1, 2, 3}, {read_text(png(2, 1, 8, 3, "\0\1\0", palette))})
    local clear = palette .. chunk("tRNS", "\9")
    assert.same({"\1\2\3\9\4\5\6\255", 1, 2, 4}, {read_text(png(2, 1, 8, 3, "\0\0\1", clear))})
    assert.same({"\7\7\7\8", 1, 1, 4}, {read_text(png(1, 1, 8, 4, "\0\7\8"))})
  end)

  test("refuses a file cut off anywhere", function()
    core.png_write(path, bytes_of(40, 30, 3), 40, 30, 3)
    local whole = read_all(path)
    for n = 0, #whole - 1, 50 do
      local bytes, message = read_text(whole:sub(1, n))
      assert.is_nil(bytes)
      assert.matches("^png.read: ", message)
    end
    assert.is_nil((read_text(whole:sub(1, -2))))
  end)

  test("never crashes on a damaged byte", function()
    core.png_write(path, bytes_of(12, 9, 4), 12, 9, 4)
    local whole = read_all(path)
    for n = 1, #whole, 3 do
      local bytes, message = read_text(whole:sub(1, n - 1) .. string.char(whole:byte(n) ~ 0x55)
        .. whole:sub(n + 1))
      assert.is_true(bytes ~= nil or type(message) == "string")
    end
  end)

  test("refuses hostile sizes before taking memory", function()
    for _, size in ipairs {{0, 5}, {2 ^ 31 - 1, 2 ^ 31 - 1}, {2 ^ 32 - 1, 1}, {8000, 8000}} do
      local w, h = math.tointeger(size[1]), math.tointeger(size[2])
      local bytes, message = read_text(png(w, h, 8, 2, "\0\1\2\3"))
      assert.is_nil(bytes)
      assert.matches("^png.read: ", message)
    end
    core.png_write(path, bytes_of(4, 5, 1), 4, 5, 1)
    local _, message = core.png_read(path, 19)
    assert.matches("4 x 5 pixels, above the limit of 19", message, 1, true)
  end)

  test("returns nil and a message for what the world does", function()
    local bytes, message = core.png_read(folder .. "/absent.png")
    assert.is_nil(bytes)
    assert.matches("No such file", message)
    assert.matches("directory", select(2, core.png_read(folder)))
    assert.matches("not a PNG", select(2, read_text("hello, this is text")))
    local done, why = core.png_write(folder .. "/no/x.png", "abc", 1, 1, 3)
    assert.is_nil(done)
    assert.matches("^png.write: cannot create .*No such file", why)
    assert.matches("not a regular file", select(2, core.png_write("/dev/full", "abc", 1, 1, 3)))
  end)

  test("raises for the caller's mistakes", function()
    assert.has_error(function() core.png_write(path, "abc", 1, 1, 2) end)
    assert.has_error(function() core.png_write(path, "abc", 1, 1, 4) end)
    assert.has_error(function() core.png_write(path, "", 0, 1, 3) end)
    assert.has_error(function() core.png_write(path, "", 2 ^ 31 | 0, 2 ^ 31 | 0, 4) end)
    assert.has_error(function() core.png_write("a\0b", "abc", 1, 1, 3) end)
    assert.has_error(function() core.png_read(path, 0) end)
  end)

  test("leaves the old file alone when the disk is full", function()
    local mount = folder .. "/small"
    os.execute("mkdir -p " .. mount)
    if not os.execute("mount -t tmpfs -o size=16k none " .. mount .. " 2>/dev/null") then
      pending "png, disk full: mounting a small file system needs root"
      return
    end
    local target = mount .. "/x.png"
    local good = core.png_write(target, "abc", 1, 1, 3)
    local noise = {}
    for i = 1, 40000 do noise[i] = string.char(math.random(0, 255)) end
    local done, message = core.png_write(target, table.concat(noise), 200, 200, 1)
    local _, h = core.png_read(target)
    local listing = io.popen("ls " .. mount)
    local files = listing:read "a"
    listing:close()
    os.execute("umount " .. mount)
    assert.is_true(good)
    assert.is_nil(done)
    assert.matches("^png.write: cannot write .*No space", message)
    assert.equal(1, h)
    assert.equal("x.png\n", files)
  end)
end)
