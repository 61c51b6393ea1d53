-- The stack machine alone: every opcode, and every way to use one wrongly.
local archive = require "spec.support.archive"
local core = require "lua_equi.core"
local files = require "spec.support.files"
local pickle = require "lua_equi.formats.pickle"

local hooks = {
  global = function(module, name) return {kind = "global", name = module .. "." .. name} end,
  call = function(f, args) return {kind = "called", f = f.name, n = args.n} end,
  persistent = function(id) return {kind = "persistent", id = id} end,
}

describe("pickle", function()
  local path
  before_each(function() path = files.temporary() end)
  after_each(function() files.remove(path) end)

  local function read(bytes)
    os.remove(path)
    files.write(path, bytes)
    local mapping <close> = assert(core.map(path))
    local ok, value, at = pcall(pickle.read, mapping, 0, #mapping, hooks)
    if ok then return value, at end
    assert.is_table(value)
    return nil, value.bad_file
  end

  -- The value as plain Lua, lists and tuples as lists and dicts as maps.
  local function plain(v)
    if type(v) ~= "table" then return v end
    local t = {}
    if v.kind == "dict" then
      for i = 1, v.n do t[v.keys[i]] = plain(v.values[v.keys[i]]) end
      return t
    elseif not v.n or v.kind == "called" then
      return v
    end
    for i = 1, v.n do t[i] = plain(v[i]) end
    return t
  end

  local function is(expected, body)
    local value = read(body .. ".")
    assert.same(expected, plain(value))
  end

  local function refused(body, message)
    local value, problem = read(body)
    assert.is_nil(value)
    assert.equal(message, problem)
  end

  it("reads numbers, texts and constants", function()
    is(7, "\x80\4K\7")
    is({255, 65535, -1, -2, math.mininteger, 0, 1.5},
      "(K\255M\255\255J\255\255\255\255\x8a\1\254\x8a\8\0\0\0\0\0\0\0\128\x8a\0G\63\248"
        .. ("\0"):rep(6) .. "t")
    is({true, false}, "\x88\x89\x86")
    is({"a", "bc", "d", "e", "f\n"}, "(U\1aT\2\0\0\0bcX\1\0\0\0d\x8c\1e\x8d\2" .. ("\0"):rep(7)
      .. "f\nt")
    assert.equal(pickle.none, (read "N."))
    is({kind = "bytes", bytes = "xy"}, "C\2xy")
    is({kind = "bytes", bytes = "x"}, "B\1\0\0\0x")
    is({kind = "long", bytes = ("\1"):rep(9)}, "\x8a\9" .. ("\1"):rep(9))
  end)

  it("reads containers, and what is remembered", function()
    is({}, ")")
    is({{}, {1}, {1, 2}, {1, 2, 3}}, "()K\1\x85K\1K\2\x86K\1K\2K\3\x87t")
    is({1, 2, 3}, "]K\1a(K\2K\3e")
    is({1, 2}, "\x8f(K\1K\2\x90")
    is({1, 2}, "(K\1K\2\x91")
    is({a = 1, [2] = "b", [true] = {}}, "}U\1aK\1s(K\2U\1b\x88]u")
    is({{5}, {5}}, "]q\7K\5ah\7\x86")
    is({{5}, {5}}, "]r\0\1\0\0K\5aj\0\1\0\0\x86")
    is({"x", {}, "x"}, "\x95\9\0\0\0\0\0\0\0U\1x\x94]\x94h\0\x87")
  end)

  it("asks the hooks for what is not plain", function()
    is({kind = "called", f = "a.b.c", n = 1}, "ca.b\nc\nN\x85R")
    is({kind = "called", f = "a.b", n = 0}, "U\1aU\1b\x93)\x81")
    is({kind = "persistent", id = "k"}, "U\1kQ")
    is({a = 1}, "}U\1aK\1s}b")
  end)

  it("says where a pickle ends", function()
    assert.same({"a", 4}, {read "U\1a.rest"})
  end)

  it("refuses what is cut off, empty or out of order", function()
    refused("", "its pickle is cut off at byte 0")
    refused("K", "its pickle is cut off at byte 1")
    refused("X\255\255\255\255a", "its pickle is cut off at byte 5")
    refused("\x8d\255\255\255\255\255\255\255\127", "its pickle is cut off at byte 9")
    refused("\x8d\255\255\255\255\255\255\255\255",
      "its pickle has a text of a negative length at byte 9")
    refused("T\255\255\255\255", "its pickle has a text of a negative length at byte 5")
    refused("\x95\255\0\0\0\0\0\0\0N.", "its pickle is cut off at byte 9")
    refused("\x95\255\255\255\255\255\255\255\255N.", "its pickle is cut off at byte 9")
    refused("cabc", "its pickle is cut off at byte 4")
    refused("c" .. ("a"):rep(600) .. "\n",
      "its pickle has a name of more than 512 letters at byte 514")
    local empty = "its pickle takes from an empty stack at byte %d"
    for _, op in ipairs {".", "a", "s", "R", "b", "Q", "\x93", "\x85", "\x81", "K\1a"} do
      refused(op, empty:format(#op))
    end
    refused("](a", empty:format(3)) -- what is below the mark is not to be had
    refused("](.", empty:format(3))
    refused("t", "its pickle misses a mark at byte 1")
    refused("]e", "its pickle misses a mark at byte 2")
    refused("q\0", "its pickle remembers nothing at byte 2")
    refused("h\0", "its pickle recalls what it never had at byte 2")
    refused("j\255\255\255\255", "its pickle recalls what it never had at byte 5")
  end)

  it("refuses to fill, call and import what is none", function()
    refused("K\1K\2a", "its pickle fills something that is no list at byte 5")
    refused("](K\1K\2u", "its pickle fills something that is no dict at byte 7")
    refused("}(K\1e", "its pickle fills something that is no list at byte 5")
    refused("]}b", "its pickle fills something that is no dict at byte 3")
    refused("N)R", "its pickle calls what is no function at byte 3")
    refused("ca\nb\nNR", "its pickle calls what is no function at byte 7")
    refused("ca\nb\n]\x81", "its pickle calls what is no function at byte 7")
    refused("NU\1a\x93", "its pickle imports what has no name at byte 5")
    refused("}(K\1u", "its pickle has a key without a value")
    refused("}G\127\248\0\0\0\0\0\0Ns", "its pickle has a dict with the key nan")
    refused("}(U\1aK\1U\1aK\2u", '"a" comes twice in a dict')
    refused("}(K\1N\x8a\1\1Nu", '"1" comes twice in a dict')
  end)

  it("refuses what it does not know", function()
    refused("\x80\6", "its pickle is of protocol 6; up to 5 are known")
    for _, op in ipairs {"I", "i", "o", "P", "F", "S", "V", "L", "d", "l", "p", "g", "0", "1", "2",
      "\x82", "\x83", "\x84", "\x8b", "\x92", "\x96", "\x97", "\x98", "\0", "\255"} do
      refused(op .. "1\n.", ("its pickle has the opcode 0x%02x at byte 0, which no file of tensors "
        .. "needs"):format(op:byte()))
    end
  end)

  it("bounds its work #words", function()
    refused(("]"):rep(1000001), "its pickle has more than 1000000 containers")
    refused(archive.text(("x"):rep((1 << 24) + 1)),
      "its pickle has a text of 16777217 bytes at byte 5")
    refused(("\x80\2"):rep(5000001), "its pickle has more than 5000000 opcodes")
  end)

  it("reads texts longer than its window", function()
    local long = ("abc"):rep(100000)
    is({long, long .. "d"}, archive.text(long) .. archive.text(long .. "d") .. "\x86")
  end)
end)
