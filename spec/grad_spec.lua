-- The graph and its walk back: hooks, custom ops, modes, messages, deep graphs, nested passes.
local equi = require "lua_equi"

local function leaf(...) return equi.tensor(...):requires_grad_() end

local function message_of(f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  return message
end

local function line() return debug.getinfo(2, "l").currentline end

local square = equi.op{
  name = "square",
  forward = function(x) return x * x end,
  backward = function(gy, _, x) return gy * x * 2 end,
}

describe("backward", function()
  it("accumulates into the leaves, once per use", function()
    local x = leaf{1, 2};
    (x * x + x):sum():backward()
    assert.same({3, 5}, x.grad:totable());
    (x * 2):sum():backward()
    assert.same({5, 7}, x.grad:totable())
    x.grad = nil
    local y = x
    for _ = 1, 20 do y = y + x end
    y:sum():backward()
    assert.same({21, 21}, x.grad:totable())
  end)

  it("visits a shared subgraph once, after all its users", function()
    local x, calls = leaf{3}, 0
    local shared = x * 2
    shared:hook(function() calls = calls + 1 end)
    local y = shared
    for _ = 1, 40 do y = y + y end
    y:sum():backward()
    assert.equal(1, calls)
    assert.equal(2 * 2.0 ^ 40, x.grad[1]:item())
  end)

  it("refuses a second pass over a released graph and says what to do", function()
    local x = leaf{1}
    local y = (x * x):sum()
    y:backward()
    assert.matches("already used and released; pass {retain = true} to the first backward",
                   message_of(y.backward, y), 1, true)
    local z = (x * x):sum()
    z:backward(nil, {retain = true})
    z:backward()
    assert.equal(6, x.grad[1]:item())
  end)

  it("returns gradients without touching leaves; nil where there is no dependence", function()
    local x, w, unused = leaf{2}, leaf{5}, leaf{7}
    local gx, none, gw = equi.grad((x * w):sum(), {x, unused, w})
    assert.equal(5, gx:item())
    assert.is_nil(none)
    assert.equal(2, gw:item())
    assert.is_nil(x.grad)
  end)

  it("starts only where a gradient is known", function()
    local x = leaf{1, 2}
    assert.matches("backward: a gradient starts at a single number, this tensor is 2",
                   message_of(function() (x * 2):backward() end), 1, true)
    assert.matches("does not depend on one that requires a gradient",
                   message_of(function() equi.ones(1):backward() end), 1, true)
    assert.matches("the gradient given is f32 3, the tensor is f32 2",
                   message_of(function() (x * 2):backward(equi.ones(3)) end), 1, true)
  end)

  it("notices that a saved tensor was changed", function()
    local x, w = leaf{1, 2}, equi.tensor{3, 4}
    local y = (x * w):sum()
    w:fill_(0)
    assert.matches("a tensor that mul needs for its gradient was changed in place",
                   message_of(y.backward, y), 1, true)
  end)

  it("differentiates three times", function()
    local x = leaf({2}, {dtype = "f64"})
    local y = (x * x * x * x):sum()
    local g = equi.grad(y, x, {create_graph = true})
    local h = equi.grad(g:sum(), x, {create_graph = true})
    local k = equi.grad(h:sum(), x)
    assert.same({32, 48, 48}, {g:item(), h:item(), k:item()})
  end)

  it("refuses a second derivative where the rule is a kernel", function()
    local logp = leaf({{{-1, -2}}}, {dtype = "f64"})
    local loss = equi.sequence_nll(logp, equi.tensor({{1}}, {dtype = "i64"}))
    local g = equi.grad((loss * loss):sum(), logp, {create_graph = true})
    assert.matches("sequence_nll can be differentiated once, not twice",
                   message_of(equi.grad, g:sum(), logp), 1, true)
  end)

  it("stops at detach", function()
    local x = leaf{3};
    (x * x:detach()):sum():backward()
    assert.equal(3, x.grad[1]:item())
  end)
end)

describe("deep graphs", function()
  for _, depth in ipairs{5000, 200000} do
    it(("of %d nodes go forward, back and away"):format(depth), function()
      equi.memory "collect"
      local live = equi.memory().live
      local x = leaf{1}
      local y = x
      for _ = 1, depth do y = y + x end
      y:sum():backward()
      assert.equal(depth + 1, x.grad[1]:item())
      y = x
      for _ = 1, depth do y = y + x end -- freed without having been walked
      x, y = nil, nil -- luacheck: ignore
      assert.equal(live, equi.memory("collect").live)
    end)
  end
end)

describe("recording", function()
  it("is on again when a coroutine tries to yield inside no_grad, which is refused", function()
    local went_on = false
    local run = coroutine.wrap(function()
      equi.no_grad(function()
        coroutine.yield(1)
        went_on = true
      end)
    end)
    local ok, text = pcall(run)
    assert.is_false(ok or went_on)
    assert.matches("no_grad: a coroutine cannot yield inside no_grad;", text, 1, true)
    assert.is_true(equi.grad_enabled())
    local inner = coroutine.wrap(function()
      local other = coroutine.wrap(function() coroutine.yield(5) end)
      equi.no_grad(function() assert.equal(5, other()) end)
      coroutine.yield(equi.grad_enabled())
    end)
    assert.is_true(inner())
  end)

  it("is off inside no_grad, and on again after an error", function()
    local x = leaf{1}
    assert.is_false(equi.no_grad(function() return x * 2 end).requires_grad)
    assert.is_false(pcall(equi.no_grad, error, "stop"))
    assert.is_true(equi.grad_enabled())
    assert.is_true((x * 2).requires_grad)
  end)

  it("is on again after an error in backward", function()
    local x = leaf{1}
    x:hook(function() error "stop" end)
    assert.is_false(pcall(function() (x * 2):sum():backward() end))
    assert.is_true(equi.grad_enabled())
  end)

  it("works in coroutines", function()
    local x = leaf{2}
    local step = coroutine.wrap(function()
      local y = x * x
      y:hook(function(g) return g * 10 end)
      coroutine.yield()
      y:sum():backward()
    end)
    step()
    collectgarbage()
    step()
    assert.equal(40, x.grad[1]:item())
  end)
end)

describe("a hook", function()
  it("replaces the gradient of a leaf or a result until it is removed", function()
    local x = leaf{1, 2}
    local on_leaf = x:hook(function(g) return g * 2 end)
    local y = x * 3
    y:hook(function(g) return g + 1 end)
    y:sum():backward()
    assert.same({12, 12}, x.grad:totable())
    on_leaf:remove()
    on_leaf:remove()
    x.grad = nil;
    (x * 3):sum():backward()
    assert.same({3, 3}, x.grad:totable())
  end)

  it("runs in the order of adding and may remove itself or the next", function()
    local x, seen = leaf{1}, {}
    local first, second
    first = x:hook(function()
      seen[#seen + 1] = 1
      first:remove()
      second:remove()
    end)
    second = x:hook(function() seen[#seen + 1] = 2 end)
    x:hook(function() seen[#seen + 1] = 3 end);
    (x * 1):sum():backward();
    (x * 1):sum():backward()
    assert.same({1, 3, 3}, seen)
  end)

  it("outlives the variable of its tensor", function()
    local seen
    local function build(x)
      local y = x * 2
      y:hook(function(g) seen = g:item() end)
      return (y * 3):sum()
    end
    local loss = build(leaf{1})
    collectgarbage()
    loss:backward()
    assert.equal(3, seen)
  end)

  it("does not keep its own leaf alive", function()
    local gone = setmetatable({}, {__mode = "k"})
    do
      local x = leaf{1}
      x:hook(function() return x end)
      gone[x] = true
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(gone))
  end)

  it("lets its function go with the graph, and when removed", function()
    local gone = setmetatable({}, {__mode = "k"})
    local x = leaf{1}
    do
      local f, h = function(g) return g * 2 end, function(g) return g end
      gone[f], gone[h] = true, true;
      (x * 2):hook(f)
      x:hook(h):remove()
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(gone))
  end)

  it("names its op when it fails or returns what does not fit", function()
    local x = leaf{1, 2}
    local function run(f)
      local y = x * 2
      y:hook(f)
      local weighted = y * equi.tensor({3, 5}, {dtype = x.dtype}) -- no expanded gradient
      return message_of(function() weighted:sum():backward() end)
    end
    local expected = ("backward: in a hook of mul: spec/grad_spec.lua:%d: stop"):format(line() + 1)
    assert.matches(expected, run(function() error "stop" end), 1, true)
    assert.matches("it returned f32 3 for a gradient that is f32 2",
                   run(function() return equi.ones(3) end), 1, true)
    assert.matches("it must return a tensor or nothing, got number",
                   run(function() return 3 end), 1, true)
    assert.matches("changed in place", run(function(g) equi.no_grad(g.zero_, g) end), 1, true)
    assert.matches("in a hook of mul: table", run(function() error {} end), 1, true)
    assert.matches("x does not require a gradient",
                   message_of(function() equi.ones(1):hook(print) end), 1, true)
    assert.is_nil(x.grad);
    (x * 2):sum():backward()
    assert.same({2, 2}, x.grad:totable())
  end)

  it("may differentiate: through the same leaf, and through the graph it stands in", function()
    local x, inner = leaf{3}, nil
    local y = x * x
    local z = y * 2
    local handle
    handle = y:hook(function(g)
      handle:remove() -- the pass below meets y again
      equi.grad_enabled(true)
      inner = equi.grad((x * x * x):sum(), x):item()
      y:backward(nil, {retain = true})
      return g
    end);
    (z + x):sum():backward()
    assert.equal(27, inner)
    assert.equal(12 + 1 + 6, x.grad[1]:item())
  end)

  it("sees recorded gradients with create_graph", function()
    local x = leaf({3}, {dtype = "f64"})
    x:hook(function(g) return g * g end)
    local g = equi.grad((x * x):sum(), x, {create_graph = true})
    assert.equal(36, g:item())
    assert.is_true(g.requires_grad)
  end)
end)

describe("a custom op", function()
  it("is used like any op", function()
    local x = leaf{1, 2, 3}
    local y = square(x * 2)
    assert.same({4, 16, 36}, y:totable())
    assert.equal("square", y.grad_op)
    y:sum():backward()
    assert.same({8, 16, 24}, x.grad:totable())
    assert.is_false(square(equi.ones(2)).requires_grad)
    assert.equal("op square", tostring(square))
  end)

  it("differentiates again where its rule is made of ops", function()
    local x = leaf({3}, {dtype = "f64"})
    local g = equi.grad(square(x * x):sum(), x, {create_graph = true})
    assert.equal(108, g:item())
    assert.equal(108, equi.grad(g:sum(), x):item())
  end)

  it("takes and returns several values", function()
    local both = equi.op{
      name = "both",
      forward = function(a, k, b) return a * k + b, a * b end,
      backward = function(g1, g2, y1, y2, a, k, b)
        assert(y1 and y2)
        return g1 * k + g2 * b, nil, g1 + g2 * a
      end,
    }
    local a, b = leaf{2}, leaf{5}
    local s, p = both(a, 10, b)
    assert.same({25, 10}, {s:item(), p:item()});
    (s + p * 100):sum():backward()
    assert.same({10 + 500, 1 + 200}, {a.grad:item(), b.grad:item()})
    local _, only = both(a, 10, b)
    assert.equal(5, equi.grad(only:sum(), a):item())
  end)

  it("may return its argument", function()
    local reverse = equi.op{name = "reverse", forward = function(x) return x end,
                            backward = function(g) return -g end}
    local x = leaf{2}
    local y = reverse(x)
    assert.is_true(x.is_leaf)
    y:sum():backward()
    assert.equal(-1, x.grad:item())
  end)

  it("stays as long as its graph", function()
    local x = leaf{3}
    local y
    do
      local cube = equi.op{name = "cube", forward = function(v) return v * v * v end,
                           backward = function(g, _, v) return g * v * v * 3 end}
      y = cube(x):sum()
    end
    collectgarbage()
    collectgarbage()
    y:backward()
    assert.equal(27, x.grad:item())
  end)

  it("fails with its name and leaves modes and graph in order", function()
    local x = leaf{1, 2}
    local function failing(backward)
      local f = equi.op{name = "odd", forward = function(v) return v + 0 end, backward = backward}
      return message_of(function() f(x):sum():backward() end)
    end
    assert.matches("backward: in backward of odd: spec/grad_spec.lua:%d+: stop",
                   failing(function() error "stop" end))
    assert.matches("it returned 0 values", failing(function() end), 1, true)
    assert.matches("it returned 2 values", failing(function(g) return g, g end), 1, true)
    assert.matches("result 1 must be the gradient of argument 1 or nil, got string",
                   failing(function() return "g" end), 1, true)
    assert.matches("the gradient of argument 1 is f32 3, the argument is f32 2",
                   failing(function() return equi.ones(3) end), 1, true)
    local bad = equi.op{name = "bad", forward = function() error "no way" end}
    assert.matches("no way", message_of(bad, x), 1, true)
    assert.is_true(equi.grad_enabled())
    local nothing = equi.op{name = "nothing", forward = function() end}
    assert.matches("nothing: forward returned 0 values", message_of(nothing, x), 1, true)
    assert.is_nil(x.grad)
    square(x):sum():backward()
    assert.same({2, 4}, x.grad:totable())
  end)

  it("without a rule fails in backward, naming itself and the line of the call", function()
    local step = equi.op{name = "step", forward = function(x) return x + 0 end}
    local x = leaf{1}
    local y = step(x):sum()
    local text = "step has no gradient rule (called at spec/grad_spec.lua:%d)"
    local expected = text:format(line() - 2)
    assert.matches(expected, message_of(y.backward, y), 1, true)
    local deep = coroutine.wrap(function() return step(x):sum() end)()
    expected = text:format(line() - 1)
    assert.matches(expected, message_of(deep.backward, deep), 1, true)
  end)

  it("is declared with known keys", function()
    assert.matches('op: no option "back"; options are name, forward, backward',
                   message_of(equi.op, {back = print}), 1, true)
    assert.matches("op: forward of f must be a function, got nil",
                   message_of(equi.op, {name = "f"}), 1, true)
  end)
end)

describe("debug mode", function()
  before_each(function() equi.debug(true) end)
  after_each(function() equi.debug(false) end)

  it("is switched by true and false only, as is recording", function()
    assert.matches('debug: on must be true or false, got "x"',
      message_of(function() return equi.debug "x" end), 1, true)
    assert.matches("grad_enabled: on must be true or false, got 0",
      message_of(function() return equi.grad_enabled(0) end), 1, true)
    assert.is_true(equi.debug())
    assert.is_true(equi.grad_enabled())
  end)

  it("names the op and the line where NaN appears, forward", function()
    local x = equi.tensor{-1}
    local text = "spec/grad_spec.lua:%d: log: first NaN appeared in the result of log"
    local expected = text:format(line() + 1)
    assert.matches(expected, message_of(function() return x:log() end), 1, true)
    assert.matches("first NaN appeared in the result of log_",
                   message_of(function() return x:log_() end), 1, true)
  end)

  it("lets a NaN that comes from outside pass", function()
    assert.is_true((equi.tensor{0 / 0} + 1)[1]:item() ~= 0)
  end)

  it("names both in the gradient", function()
    local x = leaf{0}
    local y = (x:sqrt() * 0):sum()
    local expected = ("first NaN appeared in the gradient of sqrt, called at spec/grad_spec.lua:%d")
      :format(line() - 2)
    assert.matches(expected, message_of(y.backward, y), 1, true)
  end)

  it("names the line of a coroutine", function()
    local x = leaf{0}
    local y = coroutine.wrap(function() return (x:sqrt() * 0):sum() end)()
    local expected = ("called at spec/grad_spec.lua:%d"):format(line() - 1)
    assert.matches(expected, message_of(y.backward, y), 1, true)
  end)
end)
