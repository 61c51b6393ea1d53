-- CIFAR: both forms give the same tensors; damaged files are refused with the place of the damage.
local equi = require "lua_equi"
local files = require "spec.support.files"
local cifar = equi.data.cifar

local shared = "../shared/data/cifar10"

local function record(label, byte) return string.char(label) .. string.char(byte):rep(3072) end

describe("data.cifar", function()
  local folder
  setup(function() folder = files.folder() end)
  teardown(function() files.remove(folder) end)

  local function write(name, bytes)
    files.write(folder .. "/" .. name, bytes)
    return folder .. "/" .. name
  end

  it("puts red, green and blue where they belong", function()
    local bytes = {}
    for i = 1, 3072 do bytes[i] = string.char(i * 7 % 256) end
    local x, y = cifar.read_file(write("one.bin", "\9" .. table.concat(bytes)))
    assert.same({1, 3, 32, 32}, {x:size()})
    assert.equal("u8", x.dtype)
    assert.same({10}, y:totable())
    for _, at in ipairs {{1, 1, 1}, {1, 1, 2}, {1, 2, 1}, {2, 1, 1}, {3, 32, 32}} do
      local i = (at[1] - 1) * 1024 + (at[2] - 1) * 32 + at[3]
      assert.equal(i * 7 % 256, x[{1, at[1], at[2], at[3]}]:item())
    end
  end)

  it("reads whole sets of CIFAR-10 and CIFAR-100", function()
    for i = 1, 5 do write(("data_batch_%d.bin"):format(i), record(i, 10 * i) .. record(0, 3)) end
    write("test_batch.bin", record(9, 1))
    local set = cifar.load(folder)
    assert.same({10, 3, 32, 32}, {set.images:size()})
    assert.same({2, 1, 3, 1, 4, 1, 5, 1, 6, 1}, set.labels:totable())
    assert.equal(30, set.images[{5, 2, 7, 7}]:item())
    assert.equal("truck", set.classes[10])
    assert.equal(1, cifar.load(folder, {part = "test"}).images:size(1))
    local hundred = files.folder()
    files.write(hundred .. "/train.bin", "\19\99" .. ("\1"):rep(3072) .. "\2\5" .. ("\2"):rep(3072))
    files.write(hundred .. "/fine_label_names.txt", "apple\nbaby\n")
    set = cifar.load(hundred)
    assert.same({100, 6}, set.labels:totable())
    assert.same({"apple", "baby"}, set.classes)
    assert.same({20, 3}, cifar.load(hundred, {labels = "coarse"}).labels:totable())
    assert.equal("cifar100", set.name)
    files.remove(hundred)
  end)

  it("refuses what is cut off or out of range, with the place", function()
    local whole = record(1, 2) .. record(3, 4)
    for n = 0, #whole - 1, 97 do
      if n ~= #whole // 2 then
        local x, message = cifar.read_file(write("x.bin", whole:sub(1, n)))
        assert.is_nil(x)
        assert.matches("no whole number of records of 3073", message)
      end
    end
    assert.matches("record 2 has the label 10; it must be below 10",
      select(2, cifar.read_file(write("x.bin", record(1, 2) .. record(10, 4)))))
    assert.matches("No such file", select(2, cifar.read_file(folder .. "/absent.bin")))
    assert.matches("^cifar.read: ", select(2, cifar.read(folder .. "/absent")))
    assert.matches("cifar_spec.lua:%d+: cifar.load: ",
      select(2, pcall(function() cifar.load(folder .. "/absent") end)))
    assert.has_error(function() cifar.read(folder, {part = "val"}) end)
    assert.has_error(function() cifar.read_file("x", {kind = "cifar1000"}) end)
  end)

  it("reads the picture form", function()
    local pictures = files.folder()
    local x = equi.arange(1, 2 * 3072):reshape(2, 3, 32, 32):remainder(251):to "u8"
    local rows = x:permute(2, 1, 3, 4):reshape(3, 2, 1024)
    equi.image.save(pictures .. "/test_batch.png", rows)
    files.write(pictures .. "/test_lables.json", "[7, 0]\n")
    local set = cifar.load(pictures, {part = "test"})
    assert.equal(x:tobytes(), set.images:tobytes())
    assert.same({8, 1}, set.labels:totable())
    for text, message in pairs {["[7]"] = "1 labels, pictures 1 to 2 need theirs",
      ["[7, 11]"] = "label 2 is 11", ["{}"] = "not a JSON list"} do
      files.write(pictures .. "/test_lables.json", text)
      assert.matches(message, select(2, cifar.read(pictures, {part = "test"})))
    end
    equi.image.save(pictures .. "/test_batch.png", rows:narrow(3, 1, 1000))
    assert.matches("1000 pixels wide", select(2, cifar.read(pictures, {part = "test"})))
    files.remove(pictures)
  end)

  it("agrees with itself on the real test set", function()
    if not files.exists(shared .. "/test_batch.png") then
      return pending "cifar, real pictures: ../shared/data/cifar10 is absent"
    end
    local x, y = cifar.read_file(shared .. "/test_first1000.bin")
    local set = cifar.load(shared, {part = "test"})
    assert.equal(10000, set.images:size(1))
    assert.equal(x:tobytes(), set.images:narrow(1, 1, 1000):tobytes())
    assert.same(y:totable(), set.labels:narrow(1, 1, 1000):totable())
    assert.same(cifar.classes, set.classes)
    for k = 1, 10 do assert.equal(1000, set.labels:eq(k):to("f32"):sum():item()) end
  end)
end)
