-- Bytes: the peak of a loop of big temporaries, leaks, limits, and what happens when there is none.
local equi = require "lua_equi"
local files = require "spec.support.files"

local MB = 1000000

local function live() return equi.memory("collect").live end

-- Calls f many times and returns by how many bytes live memory grew.
local function growth(times, f)
  f(1)
  local before = live()
  for i = 1, times do f(i) end
  return live() - before
end

-- In an interpreter of their own: where Lua's own heap is large, as after many specs, collections
-- wait for it.
describe("the peak of a loop of big temporaries", function()
  local function peak(words)
    local printed = files.shell("lua5.4 spec/support/peak.lua " .. words)
    local peak_bytes, live_set, collections = printed:match "^(%d+) (%d+) (%d+)\n$"
    assert(peak_bytes, printed)
    return tonumber(peak_bytes), tonumber(live_set), tonumber(collections)
  end

  for _, mode in ipairs{"incremental", "generational"} do
    it("stays below twice the live set, " .. mode, function()
      local reached, live_set, collections = peak(mode .. " network 2000000")
      assert.is_true(reached < 2 * live_set,
                     ("peak %.1f MB of %.1f MB"):format(reached / MB, live_set / MB))
      assert.is_true(collections > 0)
    end)
  end

  it("follows the soft limit", function()
    assert.is_true(peak "incremental chain 4000000" < 7 * MB)
    assert.is_true(peak "incremental chain 40000000" > 20 * MB)
  end)
end)

describe("scratch memory of kernels", function()
  it("is given back and calls for no collection", function()
    local script = [[local equi = require "lua_equi"
      local x, w = equi.ones(1, 256, 7, 7), equi.ones(64, 256, 3, 3)
      local before = equi.memory("collect").collections
      for _ = 1, 100 do equi.conv2d(x, w) end
      print(equi.memory().collections - before)]]
    assert.equal("0\n", files.shell("lua5.4 -e '" .. script .. "'"))
  end)
end)

describe("nothing leaks", function()
  local x = equi.ones(3, 4)
  local w = equi.ones(4):requires_grad_()
  local double = equi.op{name = "double", forward = function(v) return v * 2 end,
                         backward = function(g) return g * 2 end}
  local cases = {
    tensors = function(i) return equi.full({3}, i) end,
    views = function() return x:t()[1]:expand(2, 3) end,
    strings = function() return equi.frombytes(x:tobytes(), {3, 4}) end,
    leaves = function() return equi.ones(2):requires_grad_() end,
    graphs = function() return (x * w):sum() end,
    ["backward passes"] = function()
      (x * w):sum():backward()
      w.grad = nil
    end,
    ["second derivatives"] = function()
      local g = equi.grad((w * w * w):sum(), w, {create_graph = true})
      equi.grad(g:sum(), w)
    end,
    ["hooks on leaves"] = function() w:hook(function(g) return g end):remove() end,
    ["hooks on results"] = function() (x * w):hook(function(g) return g end) end,
    ["hooks that ran"] = function()
      local y = x * w
      y:hook(function(g) return y:detach():mean() * g end)
      y:sum():backward()
      w.grad = nil
    end,
    ["custom ops"] = function()
      local f = equi.op{name = "one", forward = function(v) return v + 0 end}
      return f(w)
    end,
    ["calls of a custom op"] = function()
      double(w):sum():backward()
      w.grad = nil
    end,
    errors = function() pcall(function() return x + equi.ones(5) end) end,
    ["errors in backward"] = function()
      local y = x * w
      y:hook(function() error "stop" end)
      pcall(y.backward, y:sum())
    end,
    ["assignments"] = function(i) x[{1, 2}] = i end,
    groups = function() return equi.group.cyclic(4) * equi.group.cyclic(2) end,
  }
  local names = {}
  for name in pairs(cases) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    it("in 10,000 " .. name, function()
      assert.equal(0, growth(name == "groups" and 200 or 10000, cases[name]))
    end)
  end

  it("in Lua's own memory either", function()
    local function loop()
      for _ = 1, 2000 do
        local y = w * 2
        y:hook(function(g) return g end)
        double(y):sum():backward()
        w.grad = nil
        w:hook(print):remove()
      end
      collectgarbage()
      collectgarbage()
      return collectgarbage "count"
    end
    loop()
    local before = loop()
    assert.is_true(loop() - before < 20, "grew") -- kilobytes
  end)
end)

describe("the collector", function()
  it("is left alone when it is stopped", function()
    local before = equi.memory().collections
    collectgarbage "stop"
    equi.memory{soft_limit = MB}
    local x = equi.ones(100000)
    for _ = 1, 50 do x = x + 1 end
    assert.is_true(equi.memory().live > 15 * MB)
    assert.equal(before, equi.memory().collections)
    collectgarbage "restart"
    equi.memory{soft_limit = 24 << 20}
    x = nil -- luacheck: ignore
    live()
  end)

  it("may run finalizers that compute", function()
    local seen
    setmetatable({}, {__gc = function()
      local w = equi.ones(1000):requires_grad_();
      (w * 3):sum():backward()
      seen = w.grad[1]:item()
    end})
    collectgarbage()
    assert.equal(3, seen)
  end)

  it("lets a variable be closed early", function()
    local before = live()
    do
      local x <close> = equi.ones(1000)
      assert.is_true(x:sum():item() == 1000)
    end
    assert.is_true(equi.memory().live - before < 1000)
  end)
end)

describe("without memory", function()
  after_each(function() equi.core.fail_allocation() end)

  it("says how much was wanted and goes on", function()
    local ok, message = pcall(equi.zeros, 1 << 20, 1 << 20, 1 << 18)
    assert.is_false(ok)
    assert.matches("zeros: ", message, 1, true)
    assert.equal(2, equi.ones(2):sum():item())
  end)

  it("collects, tries again, and succeeds if one allocation failed", function()
    equi.core.fail_allocation(1)
    assert.equal(4, (equi.ones(4) * 1):sum():item())
  end)

  it("raises a clean error if it keeps failing", function()
    local x = equi.ones(4)
    equi.core.fail_allocation(1, 1000)
    local ok, message = pcall(function() return x * 2 end)
    equi.core.fail_allocation()
    assert.is_false(ok)
    assert.matches("mul: out of memory: %d+%.%d MB wanted, %d+%.%d MB in use", message)
    assert.equal(8, (x * 2):sum():item())
  end)
end)
