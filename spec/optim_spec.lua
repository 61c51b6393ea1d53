local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local vectors = require "spec.support.optim_vectors"
local optim = equi.optim

-- The problem of make_optim_vectors.py.
local function start(n)
  local w = {}
  for i = 1, n or 5 do w[i] = math.sin(1.7 * i) end
  return equi.tensor(w, {dtype = "f64", requires_grad = true})
end

local function send_gradient(w, t)
  local c = {}
  for i = 1, w:numel() do c[i] = math.sin(0.9 * i + t) end
  local loss = (equi.tensor(c, {dtype = "f64"}) * w:sin() + w * w * 0.15):sum()
  loss:backward()
end

describe("optim", function()
  for _, case in ipairs(vectors.optimizers) do
    local names = {}
    for name, value in pairs(case.options) do names[#names + 1] = name .. " " .. tostring(value) end
    table.sort(names)
    it(case.name .. " moves as PyTorch's: " .. table.concat(names, ", "), function()
      local w = start()
      local opt = optim[case.name]({w}, case.options)
      local rows = {[1] = 1, [2] = 2, [3] = 3, [20] = 4}
      for t = 1, 20 do
        opt:zero_grad()
        send_gradient(w, t)
        opt:step()
        if rows[t] then oracle.near(w, case.weights[rows[t]], 1e-9, "step " .. t) end
      end
    end)
  end

  for _, case in ipairs(vectors.schedules) do
    it(case.call[1] .. " gives PyTorch's rates: " .. case.rates[2] .. " ...", function()
      local opt = optim.sgd({start()}, {lr = 0.5})
      local schedule = optim[case.call[1]](opt, table.unpack(case.call, 2))
      oracle.near(opt:lr(), case.rates[1], 1e-9, "at the start")
      for t = 1, 20 do
        schedule:step(case.metrics and case.metrics[t])
        oracle.near(opt:lr(), case.rates[t + 1], 1e-9, "step " .. t)
      end
    end)
  end

  it("moves f32 weights as f64 ones, to f32's precision", function()
    for _, name in ipairs {"sgd", "adam", "adamw", "rmsprop"} do
      local w = start()
      local v = w:detach():to("f32"):requires_grad_()
      local a, b = optim[name]({w}, {lr = 0.05}), optim[name]({v}, {lr = 0.05})
      for t = 1, 5 do
        a:zero_grad()
        b:zero_grad()
        send_gradient(w, t)
        v.grad = w.grad:to("f32")
        a:step()
        b:step()
      end
      oracle.near(v:to("f64"), w, 1e-5, name)
    end
  end)

  it("has its groups under PyTorch's name too", function()
    local opt = optim.sgd {start()}
    assert.equal(opt.groups, opt.param_groups)
  end)

  it("gives groups their own options and leaves weights without a gradient alone", function()
    local a, b, c = start(2), start(2), start(2)
    local opt = optim.sgd({{params = {a}, lr = 0.5}, {params = {w = b}}, {params = {c}}},
      {lr = 0.25})
    a:sum():backward()
    b:sum():backward()
    opt:step()
    oracle.near(a, start(2) - 0.5, 1e-12)
    oracle.near(b, start(2) - 0.25, 1e-12)
    oracle.near(c, start(2), 0)
    assert.equal(0.5, opt:lr())
    opt:lr(0.1)
    assert.equal(0.1, opt.groups[3].lr)
    assert.equal("sgd(3 parameters, lr 0.1)", tostring(opt))
    local schedule = optim.step_lr(optim.sgd({{params = {a}, lr = 1}, {params = {b}, lr = 2}}), 1)
    schedule:step()
    oracle.near(schedule.optimizer.groups[2].lr, 0.2, 1e-12)
  end)

  it("goes on from a saved state exactly", function()
    for _, name in ipairs {"sgd", "adam", "adamw", "rmsprop"} do
      local opts = (name == "sgd" or name == "rmsprop") and {momentum = 0.9} or {}
      local w = start()
      local opt = optim[name]({w}, opts)
      local schedule = optim.cosine(opt, 10)
      local function go(o, s, v, t)
        o:zero_grad()
        send_gradient(v, t)
        o:step()
        s:step()
      end
      for t = 1, 4 do go(opt, schedule, w, t) end
      local v = w:detach():clone():requires_grad_()
      local opt2 = optim[name]({v}, opts)
      local schedule2 = optim.cosine(opt2, 10)
      opt2:load_state_dict(opt:state_dict())
      schedule2:load_state_dict(schedule:state_dict())
      for t = 5, 8 do
        go(opt, schedule, w, t)
        go(opt2, schedule2, v, t)
      end
      assert.equal(w:tobytes(), v:tobytes(), name)
      assert.equal(opt:lr(), opt2:lr())
    end
  end)

  it("names what differs in a state of other parameters, and changes nothing", function()
    local w = start()
    local opt = optim.adam({w})
    local other = optim.adam({start(3)})
    assert.has_error(function() opt:load_state_dict(other:state_dict()) end,
      "load_state_dict: adam has 1.mean.1 of 3, the parameter is 5; "
      .. "adam has 1.square.1 of 3, the parameter is 5")
    assert.has_error(function() opt:load_state_dict(optim.sgd({w}):state_dict()) end,
      "load_state_dict: adam lacks 1.mean.1 of 5; adam lacks 1.square.1 of 5")
    assert.same({"sgd has no use for 1.mean.1", "sgd has no use for 1.square.1"},
      optim.sgd({w}):differences(opt:state_dict()))
  end)

  it("clips gradients by norm and by value", function()
    local a, b = equi.zeros(2, {requires_grad = true}), equi.zeros(1, {requires_grad = true})
    local unused = equi.zeros(1, {requires_grad = true})
    local function fresh()
      a.grad, b.grad = equi.tensor {3, 0}, equi.tensor {-4}
    end
    for _, target in ipairs {{a, unused, b}, {x = a, y = b}, optim.sgd {a, b, unused}} do
      fresh()
      oracle.near(optim.clip_norm(target, 10), 5, 1e-6)
      oracle.near(a.grad, {3, 0}, 0)
      oracle.near(optim.clip_norm(target, 1), 5, 1e-6)
      oracle.near(a.grad, {0.6, 0}, 1e-6)
      oracle.near(b.grad, {-0.8}, 1e-6)
      fresh()
      optim.clip_value(target, 3.5)
      oracle.near(a.grad, {3, 0}, 0)
      oracle.near(b.grad, {-3.5}, 0)
    end
    assert.has_error(function() optim.clip_norm({a}, 0) end)
    assert.has_error(function() optim.clip_value({a}, -1) end)
    b.grad = equi.tensor {0 / 0}
    local norm = optim.clip_norm({b}, 1)
    assert.is_true(norm ~= norm)
  end)

  it("raises mistakes at the caller's line", function()
    local w = start()
    local function raises(message, f, ...)
      local given = table.pack(...)
      local ok, text = pcall(function()
        local result = f(table.unpack(given, 1, given.n)) -- the line
        return result
      end)
      assert.is_false(ok)
      assert.matches("^[^:]*optim_spec%.lua:%d+: ", text)
      assert.equal(message, (text:gsub("^[^:]*:%d+: ", "")))
    end
    raises('sgd: no option "rate"; options are dampening, lr, momentum, nesterov, weight_decay',
      optim.sgd, {w}, {rate = 1})
    raises("adam: option lr must be a number, got \"a\" (a string)", optim.adam, {w}, {lr = "a"})
    raises("adam: lr must be finite and not negative, got -1", optim.adam, {w}, {lr = -1})
    raises("adam: there are no parameters to optimize", optim.adam, {})
    raises("adam: params must be a module or a list of tensors, got 3", optim.adam, 3)
    raises("sgd: parameter 2 of group 1 comes twice", optim.sgd, {w, w})
    raises("sgd: parameter 1 of group 1 is no leaf tensor", optim.sgd, {w * 2})
    raises("plateau: step needs the metric to watch, a number, got nothing", function()
      local s = optim.plateau(optim.sgd {w})
      s:step()
    end)
  end)
end)
