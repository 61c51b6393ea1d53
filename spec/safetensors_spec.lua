local equi = require "lua_equi"
local files = require "spec.support.files"
local safetensors = equi.safetensors

-- A file from the text of its header and its data.
local function craft(header, data, length)
  return string.pack("<I8", length or #header) .. header .. (data or "")
end

local function entry(dtype, shape, first, last)
  return ('{"dtype":"%s","shape":[%s],"data_offsets":[%s,%s]}'):format(dtype, shape, first, last)
end

describe("safetensors", function()
  local path
  before_each(function() path = files.temporary() end)
  after_each(function() files.remove(path) end)

  local function refused(bytes, message)
    files.write(path, bytes)
    local tensors, problem = safetensors.read(path)
    assert.is_nil(tensors)
    assert.equal(path .. ": " .. message, problem)
  end

  it("writes and reads every dtype, scalars, empty and transposed tensors", function()
    local given = {
      f32 = equi.tensor({{1.5, -2}, {3, 1e-40}}), f64 = equi.tensor({math.pi}, {dtype = "f64"}),
      i64 = equi.tensor({math.mininteger, 0, math.maxinteger}, {dtype = "i64"}),
      u8 = equi.tensor({0, 255, 7}, {dtype = "u8"}), bool = equi.tensor {true, false, true},
      scalar = equi.tensor(5), empty = equi.zeros(0, 3),
      turned = equi.tensor({{1, 2, 3}, {4, 5, 6}}):transpose(1, 2),
      ["n\195\164me \"x\"\n"] = equi.ones(1),
    }
    safetensors.save(path, given, {author = "me"})
    local got, metadata = safetensors.load(path)
    assert.same({format = "pt", author = "me"}, metadata)
    for name, x in pairs(given) do
      assert.equal(x.dtype, got[name].dtype, name)
      assert.same(x.shape, got[name].shape, name)
      assert.equal(x:tobytes(), got[name]:tobytes(), name)
      given[name] = nil
      got[name] = nil
    end
    assert.is_nil(next(got))
  end)

  it("writes tensors by falling alignment, then name, after a padded header", function()
    safetensors.save(path, {b = equi.ones(1), a = equi.tensor({true}), c = equi.ones(1,
      {dtype = "f64"}),
      aa = equi.ones(1)})
    local bytes = files.read(path)
    local n = string.unpack("<I8", bytes)
    assert.equal(0, n % 8)
    local names = {}
    for name in bytes:sub(9, 8 + n):gmatch '"([^"]*)":{"dtype"' do names[#names + 1] = name end
    assert.same({"c", "aa", "b", "a"}, names)
    assert.equal(8 + n + 8 + 4 + 4 + 1, #bytes)
  end)

  it("reads files without tensors and without metadata", function()
    files.write(path, craft "{}")
    assert.same({{}, {}}, {safetensors.load(path)})
    files.write(path, craft '{"__metadata__":{}}     ')
    assert.same({}, (safetensors.load(path)))
  end)

  it("converts the other stored types", function()
    local function read(dtype, count, bytes)
      files.write(path, craft(('{"x":%s}'):format(entry(dtype, count, 0, #bytes)), bytes))
      return safetensors.load(path).x
    end
    local function check(dtype, pattern, values, to)
      local x = read(dtype, #values, string.pack("<" .. pattern:rep(#values), table.unpack(values)))
      assert.equal(to or "i64", x.dtype)
      assert.same(values, x:totable())
    end
    check("I8", "i1", {-128, 127, 0})
    check("I16", "i2", {-32768, 32767})
    check("U16", "I2", {0, 65535})
    check("I32", "i4", {-2147483648, 2147483647})
    check("U32", "I4", {4294967295})
    check("U64", "I8", {0, math.maxinteger})
    local half = read("F16", 9, string.pack("<" .. ("I2"):rep(9), 0x3C00, 0xC000, 0x7BFF, 0x0400,
      0x0001,
      0x83FF, 0x7C00, 0xFC00, 0x8000))
    assert.same({1.0, -2.0, 65504.0, 2.0 ^ -14, 2.0 ^ -24, -1023 * 2.0 ^ -24, math.huge,
      -math.huge, -0.0},
      half:totable())
    assert.is_true(read("F16", 1, "\x01\x7e")[1]:item() ~= read("F16", 1, "\x01\x7e")[1]:item())
    local brain = read("BF16", 3, string.pack("<I2I2I2", 0x3F80, 0xC049, 0x0001))
    assert.same({1.0, -3.140625, 2.0 ^ -133}, brain:totable())
    assert.same({true, true, false}, read("BOOL", 3, "\1\255\0"):totable())
    files.write(path, craft(('{"x":%s}'):format(entry("U64", 1, 0, 8)), ("\255"):rep(8)))
    assert.has_error(function() safetensors.load(path) end,
      "safetensors.load: " .. path .. ': "x": element 1 is 18446744073709551615, too large for i64')
  end)

  it("reads unaligned data", function()
    local header = ('{"u":%s,"x":%s}'):format(entry("U8", 1, 0, 1), entry("F64", 1, 1, 9))
    files.write(path, craft(header, "\7" .. string.pack("<d", 0.1)))
    local got = safetensors.load(path)
    assert.equal(0.1, got.x:item())
    assert.equal(7, got.u:item())
  end)

  it("gives tensors that may be changed without changing the file or each other", function()
    safetensors.save(path, {a = equi.ones(3), b = equi.ones(3)})
    local before = files.read(path)
    local got = safetensors.load(path)
    local w = equi.ones(3):requires_grad_()
    local y = (w * got.b):sum()
    got.a:fill_(7) -- must not look like a change to b, which y has saved
    y:backward()
    assert.same({1.0, 1.0, 1.0}, w.grad:totable())
    assert.same({1.0, 1.0, 1.0}, got.b:totable())
    assert.equal(before, files.read(path))
  end)

  it("keeps tensors alive when the file is replaced or removed", function()
    safetensors.save(path, {a = equi.ones(1000)})
    local got = safetensors.load(path)
    safetensors.save(path, {a = got.a * 2})
    assert.equal(1000.0, got.a:sum():item())
    assert.equal(2000.0, safetensors.load(path).a:sum():item())
    files.remove(path)
    collectgarbage()
    assert.equal(1000.0, got.a:sum():item())
  end)

  it("refuses headers that lie about their length", function()
    refused("", "it has 0 bytes; a header needs 8")
    refused("1234567", "it has 7 bytes; a header needs 8")
    refused(craft("{}", "", 100000001),
      "the header would take 100000001 bytes; at most 100000000 are allowed")
    refused(craft("{}", "", -1),
      "the header would take 2^63 or more bytes; at most 100000000 are allowed")
    refused(craft("{}", "", 3),
      "the header would take 3 bytes and the file has 2; it is cut off or no safetensors file")
    refused(craft("", ""), "its header does not begin with {; it is no safetensors file")
    refused(craft(" {}", ""), "its header does not begin with {; it is no safetensors file")
    refused(craft "{\255}", "its header is not UTF-8")
    refused(craft "{", 'its header is damaged: expected a quoted key, got the end at byte 2')
  end)

  it("refuses entries that are wrong, naming the tensor", function()
    local function bad(text, message, data) refused(craft('{"w":' .. text .. "}", data),
      message) end
    bad("3", '"w" is described by no JSON object')
    bad("[]", '"w" is described by no JSON object')
    bad("{}", '"w" has the dtype "nil", which is none of safetensors\'')
    bad(entry("F33", "1", 0, 4), '"w" has the dtype "F33", which is none of safetensors\'')
    bad('{"dtype":"F32"}', '"w" has no shape that is a list of whole numbers')
    bad(entry("F32", "1.0", 0, 4), '"w" has no shape that is a list of whole numbers')
    bad(entry("F32", "-1", 0, 4), '"w" has a size of -1; sizes are not negative')
    bad(entry("F32", "-1,-1", 0, 4), '"w" has a size of -1; sizes are not negative')
    bad(entry("F32", "0,-1", 0, 0), '"w" has a size of -1; sizes are not negative')
    bad(entry("F32", "1,1,1,1,1,1,1,1,1", 0, 4), '"w" has 9 dimensions; at most 8 can be loaded')
    bad(entry("F32", "9223372036854775807", 0, 4),
      '"w" of 9223372036854775807 is larger than any memory')
    bad(entry("F32", "4294967296,4294967296", 0, 0),
      '"w" of 4294967296 x 4294967296 is larger than any memory')
    bad('{"dtype":"F32","shape":[1]}', '"w" has no data_offsets that are two whole numbers')
    bad('{"dtype":"F32","shape":[1],"data_offsets":[0]}',
      '"w" has no data_offsets that are two whole numbers')
    bad('{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}',
      '"w" has no data_offsets that are two whole numbers')
    bad(entry("F32", "1", -4, 0),
      '"w" has the data_offsets -4 to 0; they must not be negative or falling')
    bad(entry("F32", "1", 4, 0),
      '"w" has the data_offsets 4 to 0; they must not be negative or falling')
    bad(entry("F32", "1", 0, 5), '"w" takes 5 bytes in the file, but F32 of 1 takes 4')
    bad(entry("F64", "", 0, 4), '"w" takes 4 bytes in the file, but F64 of a single number takes 8')
    bad(entry("F32", "1", "9223372036854775804", "9223372036854775808"),
      "its header is damaged: an integer beyond 64 bits at byte 69")
    bad(entry("F32", "1", "9223372036854775803", "9223372036854775807"),
      '"w" begins at byte 9223372036854775803 of the data, but the header ends at 0; '
      .. "there must be no hole between them")
  end)

  it("refuses holes, overlaps, wrong lengths and names that come twice", function()
    local function two(a, b, data) return craft(('{"a":%s,"b":%s}'):format(a, b), data) end
    refused(two(entry("F32", "1", 0, 4), entry("F32", "1", 5, 9), ("x"):rep(9)),
      '"b" begins at byte 5 of the data, but "a" ends at 4; there must be no hole between them')
    refused(two(entry("F32", "1", 0, 4), entry("F32", "1", 2, 6), ("x"):rep(6)),
      '"b" begins at byte 2 of the data, but "a" ends at 4; there must be no overlap between them')
    refused(two(entry("F32", "1", 0, 4), entry("F32", "1", 0, 4), ("x"):rep(4)),
      '"b" begins at byte 0 of the data, but "a" ends at 4; there must be no overlap between them')
    refused(two(entry("F32", "1", 0, 4), entry("F32", "1", 4, 8), ("x"):rep(7)),
      "the tensors take 8 bytes and the file has 7 for them; it is cut off")
    refused(two(entry("F32", "1", 0, 4), entry("F32", "1", 4, 8), ("x"):rep(9)),
      "the tensors take 8 bytes and the file has 9 for them; it is longer than it says")
    local one = entry("F32", "1", 0, 4)
    files.write(path, craft(('{"a":%s,"a":%s}'):format(one, one), "1234"))
    assert.matches("its header is damaged: .*twice", (select(2, safetensors.read(path))))
  end)

  it("refuses metadata that is no map of strings", function()
    refused(craft '{"__metadata__":{"a":1}}', '__metadata__ of "a" is no string')
    refused(craft '{"__metadata__":[]}', "__metadata__ is no JSON object")
    refused(craft '{"__metadata__":"x"}', "__metadata__ is no JSON object")
  end)

  -- Whatever a damaged file says, it is read as a table of tensors or refused in one sentence.
  local function survives(bytes)
    files.write(path, bytes)
    local ok, tensors, problem = pcall(safetensors.read, path)
    assert.is_true(ok, tensors)
    if tensors == nil then
      assert.equal("string", type(problem))
      assert.is_nil(problem:find "\n")
    else
      for _, x in pairs(tensors) do x:tobytes() end
    end
    return tensors
  end

  it("survives every truncation of a valid file", function()
    safetensors.save(path, {a = equi.ones(2), b = equi.tensor({true}), c = equi.zeros(0)})
    local bytes = files.read(path)
    for n = 0, #bytes - 1 do assert.is_nil(survives(bytes:sub(1, n))) end
    assert.is_nil(survives(bytes .. "x"))
  end)

  it("survives changed bytes all over the header", function()
    safetensors.save(path, {a = equi.ones(2), b = equi.tensor({true}), c = equi.zeros(0)})
    local bytes = files.read(path)
    local n = 8 + string.unpack("<I8", bytes)
    for i = 1, n do
      local old = bytes:byte(i)
      for _, new in ipairs {old ~ 1, old ~ 128, old ~ 64, 0, 255, 45, 57, 34} do
        if new ~= old then survives(bytes:sub(1, i - 1) .. string.char(new) .. bytes:sub(i + 1)) end
      end
    end
  end)

  it("names what cannot be opened", function()
    assert.same({nil, "cannot open no/such: No such file or directory"},
      {safetensors.read "no/such"})
    assert.same({nil, "cannot read spec: it is a folder"}, {safetensors.read "spec"})
    assert.has_error(function() safetensors.load "no/such" end,
      "safetensors.load: cannot open no/such: No such file or directory")
    assert.has_error(function() safetensors.load(3) end,
      "safetensors.load: the path must be a string, got number")
  end)

  it("refuses to write what it could not read back", function()
    local function refuses(message, ...)
      local given = {...}
      assert.has_error(function() safetensors.save(path, table.unpack(given)) end,
        "safetensors.save: " .. message)
    end
    refuses('"a" must be a tensor, got number', {a = 1})
    refuses("1 cannot name a tensor; give UTF-8 text", {equi.ones(1)})
    refuses("__metadata__ cannot name a tensor; give UTF-8 text", {__metadata__ = equi.ones(1)})
    refuses("metadata maps strings to strings, got number of n", {}, {n = 1})
  end)

  it("leaves the old file and no other when a write fails", function()
    local folder = files.folder()
    local target = folder .. "/w.safetensors"
    safetensors.save(target, {a = equi.ones(3)})
    local before = files.read(target)
    -- the child may not write files above 4 KB (a disk that is full says so in the same place)
    local out = files.lua([[
      local equi = require "lua_equi"
      print(equi.safetensors.write(arg[1], {a = equi.ones(100000)}))]], target,
        "ulimit -f 4; trap '' XFSZ; ")
    assert.equal("nil\tcannot write " .. target .. ": File too large\n", out)
    assert.equal(before, files.read(target))
    assert.same({"w.safetensors"}, files.list(folder))
    files.remove(folder)
  end)

  it("follows a link, and refuses what is not a regular file", function()
    local folder = files.folder()
    safetensors.save(folder .. "/real", {a = equi.ones(3)})
    os.execute(("ln -s real %s/link"):format(folder))
    safetensors.save(folder .. "/link", {a = equi.zeros(3)})
    assert.equal(0.0, safetensors.load(folder .. "/real").a:sum():item())
    assert.same({"link", "real"}, files.list(folder))
    assert.same({nil, "cannot write /dev/null: it is not a regular file"},
      {safetensors.write("/dev/null", {})})
    files.remove(folder)
  end)

  it("reads a model in several files by its index", function()
    local folder = files.folder()
    safetensors.save(folder .. "/1.safetensors", {a = equi.ones(1)})
    safetensors.save(folder .. "/2.safetensors", {b = equi.ones(2), c = equi.ones(3)})
    local index = folder .. "/model.safetensors.index.json"
    files.write(index, '{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}')
    local got = safetensors.load(index)
    assert.equal(1, got.a:numel())
    assert.equal(2, got.b:numel())
    assert.is_nil(got.c)
    files.write(index, '{"weight_map":{"z":"1.safetensors"}}')
    assert.same({nil, index .. ': "z" is not in "1.safetensors"'}, {safetensors.read(index)})
    files.write(index, '{"weight_map":{"z":"../1.safetensors"}}')
    assert.same({nil, index .. ': "z" is not said to be in a file beside it'},
      {safetensors.read(index)})
    files.remove(folder)
  end)

  it("reads the published weights of a SCAN model", function()
    local name = "../shared/data/scan-rnn/best_validation.safetensors"
    if not files.exists(name) then
      pending("published weights of a SCAN model: " .. name .. " is absent")
      return
    end
    local got = safetensors.load(name)
    assert.same({128, 256}, got["decoder.attn_combine.weight"].shape)
    assert.is_true(got["decoder.attn_combine.weight"]:abs():sum():item() > 0)
  end)

  -- Every pattern of 16 bits but nan, as a file of that dtype.
  local function patterns(dtype, last)
    local parts, n = {}, 0
    for sign = 0, 0x8000, 0x8000 do
      for v = 0, last do
        n = n + 1
        parts[n] = string.pack("<I2", sign | v)
      end
    end
    local header = ('{"x":{"dtype":"%s","shape":[%d],"data_offsets":[0,%d]}}'):format(dtype, n,
      2 * n)
    return string.pack("<I8", #header) .. header, table.concat(parts)
  end

  it("writes floats in half of their bytes, to the nearest, of two the even one", function()
    for dtype, last in pairs {F16 = 0x7c00, BF16 = 0x7f80} do
      local head, bytes = patterns(dtype, last)
      files.write(path, head .. bytes)
      local x = equi.safetensors.load(path, {copy = true}).x
      local as = {as = dtype:lower()}
      local function stored(y)
        equi.safetensors.save(path, {x = y}, nil, as)
        return files.read(path):sub(-2 * y:numel())
      end
      assert.is_true(stored(x) == bytes)
      local low, high = x:narrow(1, 1, last - 1), x:narrow(1, 2, last - 1)
      local middle, expected = (low:to("f64") + high:to("f64")) / 2, {}
      for v = 0, last - 2 do expected[v + 1] = string.pack("<I2", v + v % 2) end
      assert.is_true(stored(middle:to("f32")) == table.concat(expected))
      for v = 0, last - 2 do expected[v + 1] = string.pack("<I2", v) end
      assert.is_true(stored((low:to("f64") * 0.51 + high:to("f64") * 0.49):to("f32"))
        == table.concat(expected))
      local nan = stored(equi.tensor {0 / 0})
      files.write(path, head .. nan:rep(2 * last + 2))
      local first = equi.safetensors.load(path, {copy = true}).x[1]:item()
      assert.is_true(first ~= first)
    end
    equi.safetensors.save(path, {i = equi.tensor({7}, {dtype = "i64"}), w = equi.ones(2, 3):t()},
      {}, {as = "bf16"})
    local back = equi.safetensors.load(path)
    assert.same({{7}, {3, 2}, "f32"}, {back.i:totable(), back.w.shape, back.w.dtype})
    local ok, problem = pcall(equi.safetensors.save, path, {w = equi.tensor {1, 65520}}, nil,
      {as = "f16"})
    assert.is_false(ok)
    assert.matches('safetensors.save: "w": element 2 is 65520, too large for F16', problem, 1, true)
    ok, problem = pcall(equi.safetensors.save, path, {}, nil, {as = "f8"})
    assert.is_false(ok)
    assert.matches('as must be one of f16, bf16, got "f8"', problem, 1, true)
  end)
end)
