-- IDX: plain and gzipped files, damage at every byte, whole sets, Debian's Fashion-MNIST.
local equi = require "lua_equi"
local files = require "spec.support.files"
local idx = equi.data.idx

local function idx_file(sizes, bytes)
  return "\0\0\8" .. string.char(#sizes) .. string.pack(">" .. ("I4"):rep(#sizes),
    table.unpack(sizes)) .. bytes
end

describe("data.idx", function()
  local folder
  setup(function() folder = files.folder() end)
  teardown(function() files.remove(folder) end)

  local function write(name, bytes)
    files.write(folder .. "/" .. name, bytes)
    return folder .. "/" .. name
  end

  local function packed(bytes)
    local path = write("pack.me", bytes)
    os.execute(("gzip -f -9 '%s'"):format(path))
    return files.read(path .. ".gz")
  end

  it("reads plain and gzipped files alike", function()
    local bytes = {}
    for i = 1, 60 do bytes[i] = string.char(i) end
    local plain = idx_file({3, 4, 5}, table.concat(bytes))
    for _, file in ipairs {plain, packed(plain)} do
      local x = assert(idx.read(write("x", file)))
      assert.same({3, 4, 5}, {x:size()})
      assert.equal(table.concat(bytes), x:tobytes())
    end
  end)

  it("refuses files cut off at any byte, and damage in packed ones", function()
    local plain = idx_file({6, 7}, ("abcdefg"):rep(6))
    for _, whole in ipairs {plain, packed(plain)} do
      for n = 0, #whole - 1 do
        local x, message = idx.read(write("x", whole:sub(1, n)))
        assert(x == nil, ("cut off after %d of %d"):format(n, #whole))
        assert.matches("^idx.read: ", message)
      end
    end
    local whole = packed(plain)
    for n = 1, #whole do
      local x = idx.read(write("x", whole:sub(1, n - 1) .. string.char(whole:byte(n) ~ 0x41)
        .. whole:sub(n + 1)))
      -- the time, the system and the name say nothing of the content
      assert(x == nil or x:tobytes() == ("abcdefg"):rep(6), n)
    end
  end)

  it("refuses hostile headers before taking memory", function()
    local before = equi.memory("reset_peak").live
    for _, file in ipairs {
      idx_file({0xffffffff, 0xffffffff, 0xffffffff}, "abc"), idx_file({1 << 31, 2}, ""),
      "\0\0\8\200" .. ("\0"):rep(800), "\0\0\8\0", "\0\0\13\1\0\0\0\1abcd", "hello", "",
      "\x1f\x8b\8\0\0\0\0\0\0\0\3\0\0\0\0\0\xff\xff\xff\xff",
      "\x1f\x8b\8\4\0\0\0\0\0\0\xff\xff" .. ("x"):rep(40),
      "\x1f\x8b\8\8\0\0\0\0\0\0" .. ("x"):rep(40)} do
      local x, message = idx.read(write("x", file))
      assert.is_nil(x)
      assert.matches("^idx.read: ", message)
    end
    assert.is_true(equi.memory().peak - before < 1e6)
    assert.matches("floats; unsigned bytes can be read",
      select(2, idx.read(write("x", "\0\0\13\1\0\0\0\1abcd"))))
  end)

  it("reads sets in MNIST's files", function()
    write("train-images-idx3-ubyte", idx_file({2, 2, 3}, "abcdefghijkl"))
    write("train-labels-idx1-ubyte.gz", packed(idx_file({2}, "\3\0")))
    local set = assert(idx.read_set(folder))
    assert.same({2, 1, 2, 3}, {set.images:size()})
    assert.same({4, 1}, set.labels:totable())
    assert.equal("3", set.classes[4])
    assert.matches("neither t10k%-images%-idx3%-ubyte nor",
      select(2, idx.read_set(folder, {part = "test"})))
    assert.matches("a label is 3; it must be below 2",
      select(2, idx.read_set(folder, {classes = {"a", "b"}})))
    write("train-labels-idx1-ubyte", idx_file({3}, "\3\0\1"))
    assert.matches("do not belong together", select(2, idx.read_set(folder)))
    assert.has_error(function() idx.read_set(folder, {part = "val"}) end)
  end)

  it("finds Debian's Fashion-MNIST", function()
    assert.matches("dataset%-fashion%-mnist has it",
      select(2, idx.fashion_mnist {folder = folder .. "/absent"}))
    if not files.exists(idx.fashion_folder .. "/t10k-labels-idx1-ubyte.gz") then
      return pending "idx, Fashion-MNIST: the package dataset-fashion-mnist is not installed"
    end
    local set = assert(idx.fashion_mnist {part = "test"})
    assert.same({10000, 1, 28, 28}, {set.images:size()})
    for k = 1, 10 do assert.equal(1000, set.labels:eq(k):to("f32"):sum():item()) end
  end)
end)
