-- nn/recompute.lua: the same results and gradients as without it, dropout included, in less memory.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local nn = equi.nn

describe("nn.recompute", function()
  local function leaf(...) return oracle.data(...):requires_grad_() end

  it("gives results, gradients and random numbers as a plain call does", function()
    local net = nn.to(nn.sequential(nn.linear(4, 5), equi.tanh, nn.dropout(0.5), nn.linear(5, 3)),
      "f64")
    local function run(call)
      local x = leaf(6, 4)
      equi.seed(3)
      local y = call(x)
      local before = equi.rng_state();
      (y * y):sum():backward()
      assert.same(before, equi.rng_state())
      local list = {y:detach(), x.grad}
      for _, p in ipairs(net:parameters()) do
        list[#list + 1], p.grad = p.grad, nil
      end
      return list
    end
    local want = run(function(x) return net(x) end)
    local got = run(function(x) return nn.recompute(net, x) end)
    assert.equal(6, #want)
    for i in ipairs(want) do oracle.near(got[i], want[i], 0) end
    got = run(function(x) return nn.recompute(function(y) return net(y) end, x) end)
    for i in ipairs(want) do oracle.near(got[i], want[i], 0) end
  end)

  it("sends gradients to parameters when no argument needs one", function()
    local layer = nn.linear(3, 2)
    nn.recompute(layer, equi.ones(4, 3)):sum():backward()
    assert.same({4.0, 4.0}, layer.bias.grad:totable())
    layer:zero_grad()
    nn.recompute(function(l, x) return l(x) end, layer, equi.ones(4, 3)):sum():backward()
    assert.same({4.0, 4.0}, layer.bias.grad:totable())
  end)

  it("adds to gradients that are there, and equi.grad stores none", function()
    local w, x = leaf(3), leaf({3}, {seed = 2})
    w.grad = equi.ones(3, {dtype = "f64"})
    nn.recompute(function(a) return a * w end, x):sum():backward()
    oracle.near(w.grad, (x + 1):detach(), 1e-15)
    oracle.near(x.grad, w:detach(), 1e-15)
    local layer = nn.linear(3, 2)
    local g = equi.grad(nn.recompute(layer, equi.ones(4, 3)):sum(), layer.bias)
    assert.same({4.0, 4.0}, g:totable())
    assert.is_nil(layer.weight.grad)
  end)

  it("takes and returns several values", function()
    local x, y = leaf(3), leaf({3}, {seed = 2})
    local a, b = nn.recompute(function(u, scale, v) return u * v * scale, u + v end, x, 2, y);
    (a:sum() + (b * b):sum()):backward()
    oracle.near(x.grad, (y * 2 + (x + y) * 2):detach(), 1e-14)
    oracle.near(y.grad, (x * 2 + (x + y) * 2):detach(), 1e-14)
    local c = nn.recompute(function(u, v) return u * v, v * 3 end, x, y)
    x.grad = nil
    c:sum():backward()
    oracle.near(x.grad, y:detach(), 1e-15)
  end)

  it("nests, and keeps less in memory", function()
    local net = nn.sequential(nn.linear(64, 512), equi.tanh, nn.linear(512, 512), equi.tanh,
      nn.linear(512, 64))
    local x = equi.randn(64, 64)
    local function live() -- without what is no longer held
      for _ = 1, 3 do equi.memory "collect" end
      return equi.memory().live
    end
    local function kept(call)
      local before, y = live(), call()
      return live() - before, y
    end
    local plain = kept(function() return net(x) end)
    local less, y = kept(function() return nn.recompute(net, x) end)
    assert.is_true(less < plain / 4)
    y:sum():backward()
    local want = net[1].bias.grad:clone()
    net:zero_grad()
    nn.recompute(function(z) return nn.recompute(net, z) end, x:clone():requires_grad_()):sum()
      :backward()
    oracle.near(net[1].bias.grad, want, 1e-6)
  end)

  it("refuses what it cannot do, and hands errors on", function()
    local x = leaf(3)
    local function refused(message, f, ...)
      local ok, problem = pcall(f, ...)
      assert.is_false(ok)
      assert.matches(message, problem, 1, true)
    end
    refused("recompute: f must be a module or a function, got 3", nn.recompute, 3, x)
    refused("recompute: it cannot be differentiated twice", function()
      equi.grad(nn.recompute(function(u) return u * u end, x):sum(), x, {create_graph = true})
    end)
    local calls = 0
    local y = nn.recompute(function(u)
      calls = calls + 1
      if calls > 1 then error "second thoughts" end
      return u * 2
    end, x)
    refused("second thoughts", function() y:sum():backward() end)
    assert.is_true(equi.grad_enabled())
  end)
end)
