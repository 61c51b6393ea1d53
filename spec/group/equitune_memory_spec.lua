-- Equituned models give their memory back, also after errors and failed allocations; chunks bound
-- it.
local equi = require "lua_equi"
local files = require "spec.support.files"
local oracle = require "spec.support.oracle"
local action, combine = equi.action, equi.combine

local function live()
  collectgarbage()
  return equi.memory("collect").live
end

local d4 = equi.group.dihedral(4)
local grid, regular = action.grid(d4), action.regular(d4)
local w = oracle.data({16, 16}, {dtype = "f32"}):requires_grad_()
local x = oracle.data({2, 4, 4}, {dtype = "f32"})

local function f(v) return v:reshape(-1, 16):matmul(w):tanh():reshape(-1, 4, 4) end
local function top(y) return (y:reshape(-1, 16):max(-1)) end
local function sum(v) return v:reshape(-1, 16):sum(-1) end
local function first(v) return equi.ones(v:size(1), 2):to "i64" end

local function tuned(opts)
  opts.input, opts.output = grid, grid
  return equi.equitune(f, opts)
end

local jobs = {
  making = function() return tuned {combine = combine.best(top)} end,
  cloning = function() return tuned {combine = combine.weighted(equi.nn.linear(4, 1))}:clone() end,
  mean = function() return tuned {chunk = 3}(x) end,
  best = function() return tuned {combine = combine.best(top), chunk = 3}(x) end,
  weighted = function() return tuned {combine = combine.weighted(sum), chunk = 3}(x) end,
  ["weighted by exponentials"] = function()
    return tuned {combine = combine.weighted(function(v) return sum(v):exp() end,
      {softmax = false})}(x)
  end,
  ["weighted by results"] = function()
    return tuned {combine = combine.weighted(sum, {of = "results"}), chunk = 3}(x)
  end,
  ["training weighted by results"] = function()
    local net = combine.weighted(function(v) return sum(v):exp() end, {of = "results",
      softmax = false})
    tuned {combine = net}(x):sum():backward()
    w.grad = nil
  end,
  relaxed = function() return tuned {combine = combine.relaxed({2}, 4)}(x) end,
  frames = function() return tuned {pick = first}(x) end,
  training = function()
    tuned {combine = combine.best(top)}(x):sum():backward()
    w.grad = nil
  end,
  step = function()
    local model = {start = f, step = function(_, s, v) return v:matmul(w[{{1, 8}, {1, 8}}]), s end}
    return equi.equitune(model, {input = regular, output = regular}):step(0, equi.ones(2, 8))
  end,
}

describe("memory of equituned models:", function()
  for name, job in pairs(jobs) do
    -- Every seventh: a failure costs two full collections, with the heap of all specs before it.
    it(name .. " survives failing allocations", function()
      job()
      job()
      local before = live()
      for n = 1, 120, 7 do
        equi.core.fail_allocation(n)
        local ok, why = pcall(job)
        equi.core.fail_allocation()
        w.grad = nil
        assert.is_true(ok or tostring(why):find("memory", 1, true) ~= nil, why)
      end
      assert.equal(before, live())
    end)
  end

  it("errors of the model, the score, the net and pick leave nothing behind", function()
    local function raise() error "no" end
    local n
    local function third(v)
      n = n + 1
      return n == 3 and raise() or f(v)
    end
    local broken = {
      {third, {chunk = 2}}, {third, {chunk = 2, combine = combine.best(top)}},
      {f, {combine = combine.best(raise)}}, {f, {combine = combine.weighted(raise)}},
      {f, {combine = combine.weighted(raise, {of = "results"})}},
      {f, {combine = combine.weighted(function(v) return v[{{}, 1}] end, {of = "results"})}},
      {f, {pick = raise}}, {f, {combine = combine.best(f)}}, {function() return x end, {}},
      {f, {combine = combine.relaxed({1}, 5)}}, {function() end, {}},
    }
    local function all()
      for _, case in ipairs(broken) do
        n = 0
        case[2].input, case[2].output = grid, grid
        assert.is_false((pcall(equi.equitune(case[1], case[2]), x)))
      end
    end
    all()
    local before = live()
    for _ = 1, 20 do all() end
    assert.equal(before, live())
  end)

  it("10,000 made and dropped, some of them called, leave live bytes as they were", function()
    local before
    for i = 1, 10000 do
      local model = tuned {combine = i % 2 == 0 and combine.best(top) or nil}
      if i % 100 == 0 then model(x) end
      if i == 100 then before = live() end
    end
    assert.equal(before, live())
  end)

  it("cycles through model, net, score and pick are collected", function()
    local gone = setmetatable({}, {__mode = "v"})
    for i = 1, 3 do
      local layer = equi.nn.linear(4, 1)
      local opts = {input = action.regular(equi.group.cyclic(4))}
      if i == 1 then opts.combine = combine.weighted(layer) end
      if i == 2 then opts.combine = combine.best(layer) end
      if i == 3 then opts.pick = layer end
      layer.around = equi.equitune(layer, opts)
      layer.around:parameters()
      gone[i] = layer
    end
    live()
    collectgarbage()
    assert.is_nil(next(gone))
  end)

  -- In an interpreter of its own: how much garbage may wait follows what is live.
  it("with chunk, no more than a chunk's activations and one sum are held", function()
    local printed = files.lua [[
      local equi = require "lua_equi"
      local grid = equi.action.grid(equi.group.dihedral(4))
      local wide, batch, result = equi.randn(16, 4096), equi.randn(8, 4, 4), 8 * 4096 * 4
      local function large(v) return v:reshape(-1, 16):matmul(wide) end
      local function peak(chunk)
        local model = equi.equitune(large, {input = grid, chunk = chunk})
        return equi.no_grad(function()
          local start = equi.memory "collect".live
          equi.memory {soft_limit = start + 4 * result} -- garbage is collected from here on
          equi.memory "reset_peak"
          model(batch)
          return (equi.memory().peak - start) / result
        end)
      end
      print(peak(1) < 7, peak(8) > 9)]]
    assert.equal("true\ttrue\n", printed)
  end)
end)
