-- NumPy files whose headers lie, and archives whose deflated members do.
local archive = require "spec.support.archive"
local equi = require "lua_equi"
local files = require "spec.support.files"

describe("npy", function()
  local path
  before_each(function() path = files.temporary() end)
  after_each(function() files.remove(path) end)

  local function read(bytes, options)
    os.remove(path)
    files.write(path, bytes)
    return equi.weights.read(path, options)
  end

  local function refused(bytes, message, options)
    local tensors, problem = read(bytes, options)
    assert.is_nil(tensors, message)
    assert.equal(path .. ": " .. message, problem)
  end

  local function npy(header, data, version)
    return "\x93NUMPY" .. string.char(version or 1, 0)
      .. string.pack((version or 1) > 1 and "<s4" or "<s2", header) .. (data or "")
  end

  local function describes(shape, descr, fortran)
    return ("{'descr': '%s', 'fortran_order': %s, 'shape': (%s), }"):format(descr or "<f4",
      fortran or "False", shape)
  end

  local two = string.pack("<ff", 1.5, -2)

  it("reads headers of every version and order of keys", function()
    for version = 1, 3 do
      assert.same({1.5, -2.0}, assert(read(npy(describes "2,", two, version))).tensor:totable())
    end
    local other = '{"shape":(2L,), "fortran_order":True,"descr":"<f4"}  \n'
    assert.same({1.5, -2.0}, assert(read(npy(other, two))).tensor:totable())
    assert.equal(7, assert(read(npy(describes("", "|u1"), "\7"))).tensor:item())
    assert.same({0, 4}, assert(read(npy(describes("0, 4", "<f4", "True")))).tensor.shape)
  end)

  it("refuses headers that are damaged", function()
    refused("\x93NUMPY", "it has 6 bytes; an array's header needs 10")
    refused("\x93NUMPY\2\0\0\0\0", "it has 11 bytes; an array's header needs 12")
    refused(npy("", "", 4), "it is of NumPy's version 4; 1 to 3 are known")
    refused(npy("", "", 1):sub(1, 8) .. "\9\0x",
      "its header would take 9 bytes; it is cut off or damaged")
    refused("\x93NUMPY\2\0\255\255\255\255",
      "its header would take 4294967295 bytes; it is cut off or damaged")
    local function damaged(header)
      refused(npy(header, two), ('its header is damaged: "%s"'):format(header))
    end
    damaged ""
    damaged "{}"
    damaged "{'descr': '<f4', 'fortran_order': False}"
    damaged(describes("2", "<f4", "Maybe"))
    damaged(describes("2"):sub(1, -2))
    damaged "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}"
    damaged "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}"
    damaged "__import__('os').system('true')"
    refused(npy(describes "2, x", two), 'its shape is ("2, x")')
    refused(npy(describes "-2", two), 'its shape is ("-2")')
    refused(npy(describes "2.0", two), 'its shape is ("2.0")')
  end)

  it("refuses shapes that do not fit", function()
    local big = "9223372036854775807"
    refused(npy(describes "3,", two), "it has 8 bytes of numbers, but 3 of <f4 take 12")
    refused(npy(describes "1,", two), "it has 8 bytes of numbers, but 1 of <f4 take 4")
    refused(npy(describes("", "<f8", "True"), two .. "x"),
      "it has 9 bytes of numbers, but one of <f8 take 8")
    refused(npy(describes(big), two), big .. " numbers are more than any memory has")
    refused(npy(describes("4294967296, 4294967296"), two),
      "4294967296 x 4294967296 numbers are more than any memory has")
    refused(npy(describes("9223372036854775808"), two), "its sizes are larger than any memory")
    refused(npy(describes("1" .. ("0"):rep(400)), two), "its sizes are larger than any memory")
    refused(npy(describes(("1,"):rep(9)), two), "it has more than 8 dimensions")
    refused(npy(describes("1", "<u8"), ("\255"):rep(8)),
      "element 1 is 18446744073709551615, too large for i64")
  end)

  it("refuses deflated members that lie", function()
    local good = files.read "spec/support/weights/packed.npz"
    local at = good:find("PK\1\2", 1, true)
    local name = '"f2": '
    local function change(offset, format, value)
      local n = #string.pack(format, value)
      return good:sub(1, at + offset - 1) .. string.pack(format, value) .. good:sub(at + offset + n)
    end
    local crc, stored, size = string.unpack("<I4I4I4", good, at + 16)
    refused(change(16, "<I4", crc ~ 1), name
      .. "its bytes do not have the checksum that the archive says")
    for _, other in ipairs {size - 1, size + 1, 0} do
      refused(change(24, "<I4", other), name .. ("its deflated bytes do not become the %d that it "
        .. "is said to have"):format(other))
    end
    refused(change(24, "<I4", 0x7fffffff), name
      .. ("%d deflated bytes cannot become 2147483647"):format(stored))
    refused(change(20, "<I4", stored - 1), name .. ("its deflated bytes do not become the %d that "
      .. "it is said to have"):format(size))
    local junk = archive.zip {{"x.npy", "\255\255\255", method = 8, size = 200}}
    refused(junk, '"x": its deflated bytes are damaged')
  end)

  it("counts what all members take together", function()
    local bytes = files.read "spec/support/weights/packed.npz"
    local _, by_name = equi.load_weights "spec/support/weights/packed.npz"
    assert.equal("npz", by_name.format)
    local least
    for limit = 1000, 5000, 100 do
      if read(bytes, {max_inflated = limit}) then
        least = limit
        break
      end
    end
    assert.is_true(least > 2000, tostring(least)) -- the largest alone has 1,152
  end)

  it("names archives of something else", function()
    refused(archive.zip {{"word/document.xml", "<x>"}}, "it is a zip archive of neither PyTorch "
      .. 'nor NumPy: it begins with "word/document.xml"')
    assert.same({}, (read(archive.zip {})))
    refused(archive.zip {{"x.npy", "junk"}}, '"x": it has 4 bytes; an array\'s header needs 10')
    refused(archive.zip {{"x.npy", "junk", method = 9}},
      '"x": it is compressed by method 9; NumPy stores or deflates')
  end)
end)
