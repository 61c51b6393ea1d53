-- Archives whose directory lies.
local archive = require "spec.support.archive"
local core = require "lua_equi.core"
local files = require "spec.support.files"
local zip = require "lua_equi.formats.zip"

describe("zip", function()
  local path
  before_each(function() path = files.temporary() end)
  after_each(function() files.remove(path) end)

  local function members(bytes)
    os.remove(path)
    files.write(path, bytes)
    local mapping <close> = assert(core.map(path))
    local ok, list, by_name = pcall(zip.members, mapping)
    if ok then return list, by_name end
    assert.is_table(list, list)
    return nil, list.bad_file
  end

  local function refused(bytes, message)
    local list, problem = members(bytes)
    assert.is_nil(list)
    assert.equal(message, problem)
  end

  local two = {{"a", "one"}, {"b/c", "three", extra = "\254\202\1\0x"}}

  it("finds members, also of big archives and before a comment", function()
    for _, options in ipairs {{}, {zip64 = true}, {comment = "PK\5\6 is no end"},
      {comment = ("c"):rep(65535)}} do
      local list, by_name = assert(members(archive.zip(two, options)))
      assert.equal(2, #list)
      assert.same({name = "b/c", at = 34 + 30 + 3 + 5, stored = 5, size = 5, crc = 0,
        method = "stored", header = 34}, by_name["b/c"])
      assert.equal(list[1], by_name.a)
    end
    assert.same({}, (members(archive.zip {})))
  end)

  it("refuses archives without their end", function()
    refused("PK\3\4", "it is a zip archive without its end; it is cut off")
    local bytes = archive.zip(two)
    refused(bytes:sub(1, -2), "it is a zip archive without its end; it is cut off")
    refused(bytes .. "x", "it is a zip archive without its end; it is cut off")
  end)

  it("refuses directories that are not in the file", function()
    local function lies(options, message) refused(archive.zip(two, options), message) end
    lies({at = 500}, "its directory of 96 bytes at 500 is not inside the archive")
    lies({bytes = 4000000}, "its directory of 4000000 bytes at 77 is not inside the archive")
    lies({members = 3}, "its directory of 96 bytes cannot hold 3 members")
    lies({at = 0, members = 1}, "its directory is damaged at byte 0")
    local function lies64(options, message)
      options.zip64 = true
      refused(archive.zip(two, options), message)
    end
    lies64({members = math.maxinteger},
      ("its directory of 152 bytes cannot hold %d members"):format(math.maxinteger))
    lies64({members = -1}, "its directory of 152 bytes cannot hold -1 members")
    lies64({at = -1}, "its directory of 152 bytes at -1 is not inside the archive")
    lies64({bytes = math.maxinteger}, ("its directory of %d bytes at 77 is not inside the archive")
      :format(math.maxinteger))
    lies64({record = math.maxinteger}, "its zip64 record is not where the archive says")
    lies64({record = -8}, "its zip64 record is not where the archive says")
    lies64({record = 0}, "its zip64 record is not where the archive says")
  end)

  it("refuses members that are not where they should be", function()
    local function lies(change, message, options)
      local list = {{"a", "one"}, {"b", "three"}}
      for k, v in pairs(change) do list[2][k] = v end
      refused(archive.zip(list, options), message)
    end
    lies({at = 1}, '"b" is not where the directory says')
    lies({at = 5000}, '"b" is not where the directory says')
    lies({at = 0}, '"b" is not where the directory says') -- there is a
    lies({at = -1}, '"b" is not where the directory says', {zip64 = true})
    lies({at = math.mininteger}, '"b" is not where the directory says', {zip64 = true})
    lies({stored = 4}, '"b" is stored and takes 4 bytes, not the 5 it is said to have')
    lies({stored = 6, size = 6}, '"b" of 6 bytes at 65 is not inside the archive')
    lies({stored = math.maxinteger}, ('"b" of %d bytes at 65 is not inside the archive'):format(
      math.maxinteger), {zip64 = true})
    lies({stored = -1}, '"b" of -1 bytes at 65 is not inside the archive', {zip64 = true})
    lies({size = -5, method = 8}, '"b" of 5 bytes at 65 is not inside the archive', {zip64 = true})
    lies({[1] = "a"}, '"a" comes twice in it')
    lies({flags = 1}, '"b" is encrypted')
    refused(archive.zip {{"a", "one", stored = 10, size = 10}, {"b", "three"}},
      '"a" and "b" overlap')
  end)

  it("names other methods", function()
    local function method(n)
      return members(archive.zip {{"a", "x", method = n}})[1].method
    end
    assert.same({"stored", "deflated", "compressed by method 93"},
      {method(0), method(8), method(93)})
  end)
end)
