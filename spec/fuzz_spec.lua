-- The fuzz targets in short: their seeds, what once failed, and a few hundred changed copies each.
-- `make fuzz` runs them for longer, under the address sanitizer.
local files = require "spec.support.files"
local fuzz = require "spec.fuzz.fuzz"
local mutate = require "spec.fuzz.mutate"

describe("fuzz", function()
  local path
  before_each(function() path = files.temporary() end)
  after_each(function() files.remove(path) end)

  for _, name in ipairs(fuzz.names()) do
    it(name .. ": damaged files are read or refused", function()
      local target, read = fuzz.load(name), 0
      local function try(bytes, label)
        local problem, was_read = fuzz.try(target, bytes, path)
        assert.is_nil(problem and label .. ": " .. problem)
        read = read + (was_read and 1 or 0)
      end
      for _, known in ipairs(target.known) do try(known[2], known[1]) end
      for i, bytes in ipairs(target.seeds) do try(bytes, "seed " .. i) end
      assert.is_true(read > 0, "no seed is read")
      for n = 1, 300 do try(mutate.make(target.seeds, target.words, n), "input " .. n) end
    end)
  end

  it("gives the same input for the same number, and others for others", function()
    local seeds, words, seen, distinct = {("abcdefgh"):rep(20), "other"}, {"cd", "xy"}, {}, 0
    for n = 1, 200 do
      local bytes = mutate.make(seeds, words, n)
      assert.equal(bytes, mutate.make(seeds, words, n))
      distinct = distinct + (seen[bytes] and 0 or 1)
      seen[bytes] = true
    end
    assert.is_true(distinct > 150, tostring(distinct))
    assert.is_string(mutate.make({""}, {}, 1))
    for n = 1, 200 do mutate.make({""}, {}, n) end
  end)

  it("notices readers that raise, say nothing, or take too much", function()
    local keep = {}
    local function problem(read, use)
      local target = {read = read, use = use or function() end, seconds = 0.05, bytes = 1 << 20}
      return (fuzz.try(target, "x", path))
    end
    assert.matches("^raised: .*oops", problem(function() error "oops" end))
    assert.equal("refused without a message", problem(function() return nil end))
    assert.equal("message: a\nb", problem(function() return nil, "a\nb" end))
    assert.matches("^its result cannot be used: .*bad", problem(function() return 1 end,
      function() error "bad" end))
    assert.matches("^took 0%.%d s$", problem(function()
      local stop = os.clock() + 0.1
      while os.clock() < stop do keep[1] = os.clock() end
      return 1
    end))
    assert.matches("^took %d+ bytes$", problem(function()
      for i = 1, 1 << 17 do keep[i] = {} end
      return keep
    end))
    assert.is_nil(problem(function(file) return files.read(file) == "x" and 1, "" end))
    assert.is_nil(problem(function() return nil, "no" end))
  end)
end)
