-- Equi-tuning of images: grids of both layouts, every combination on a convolutional network, dense
-- results, heads on equituned features, one call per orbit.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local group, combine, nn = equi.group, equi.combine, equi.nn

local d4 = group.dihedral(4)
local grids = {
  {"C4", equi.action.grid(group.cyclic(4))},
  {"D4", equi.action.grid(d4)},
  {"C2, half turns", equi.action.grid(group.cyclic(2), {generators = {"rot180"}})},
  {"horizontal flips", equi.action.grid(group.cyclic(2), {generators = {"hflip"}})},
  {"vertical flips", equi.action.grid(group.cyclic(2), {generators = {"vflip"}})},
  {"both flips", equi.action.grid(group.klein())},
}

local function images(dtype, ...)
  local x = oracle.data({...}, {low = -1, high = 1})
  return x:to(dtype):channels_last()
end

local function constant(dtype, seed, ...)
  return oracle.data({...}, {seed = seed, low = -0.6, high = 0.6}):to(dtype)
end

-- A small network without any symmetry: strided convolution, batch norm, even padding, a head.
local network = nn.class("network", {
  new = function(self, dtype, dense)
    self.conv1 = {weight = constant(dtype, 2, 6, 3, 3, 3), bias = constant(dtype, 3, 6)}
    self.bn = nn.batch_norm2d(6)
    self.conv2 = {weight = constant(dtype, 4, 2, 6, 3, 3)}
    self.fc = nn.linear(6, 5)
    self.dense = dense
    nn.to(self, dtype)
    for _, t in ipairs {self.conv1.weight, self.conv1.bias, self.conv2.weight} do
      t:requires_grad_()
    end
  end,
  features = function(self, x)
    local stride = self.dense and 1 or 2
    return self.bn(equi.conv2d(x, self.conv1.weight, self.conv1.bias,
      {stride = stride, padding = 1})):relu()
  end,
  forward = function(self, x)
    local y = self:features(x)
    if self.dense then return equi.conv2d(y, self.conv2.weight, nil, {padding = 1}) end
    return self.fc(y:tanh():max(-1):mean(-1))
  end,
})

local function confidence(y) return (y:reshape(y:size(1), -1):softmax(-1):max(-1)) end

-- The energy by which images are turned to a standard orientation.
local function energy(x)
  local w = oracle.data({x:size(3), x:size(4)}, {seed = 9}):to(x.dtype)
  return (x:mean(2) * w):sum({2, 3})
end

local function kinds(net, size)
  return {
    mean = {combine = combine.mean}, best = {combine = combine.best(confidence)},
    weighted = {combine = combine.weighted(nn.to(combine.lambda(net, size), net.fc.weight.dtype))},
    chunked = {chunk = 3}, canonical = {},
  }
end

local function tuned(net, act, kind, more, dense)
  local o = {input = act, output = dense and act or nil}
  for k, v in pairs(more) do o[k] = v end
  if kind == "canonical" then o.pick = combine.canonical(energy, act) end
  return equi.equitune(net, o)
end

describe("a grid of channels-last images", function()
  for _, case in ipairs(grids) do
    it("is moved as row-major ones are, and keeps its layout: " .. case[1], function()
      local act = case[2]
      for _, dtype in ipairs {"f32", "f64", "u8"} do
        for _, channels in ipairs {1, 3, 16, 7} do
          local x = equi.arange(2 * channels * 25):remainder(251):to(dtype)
            :reshape(2, channels, 5, 5)
          for _, g in ipairs(act.group:elements()) do
            local turned = act(g, x:channels_last())
            assert.is_true(turned:is_channels_last())
            assert.is_true(turned:eq(act(g, x)):all():item())
            assert.is_true(act(g, x):is_contiguous())
            assert.is_true(act(g.inverse, turned):eq(x):all():item())
          end
        end
      end
    end)
  end

  it("turns counterclockwise: the top right corner goes to the top left", function()
    local x = images("f32", 1, 3, 4, 4)
    local y = grids[1][2]("r", x)
    assert.equal(x[{1, 2, 1, 4}]:item(), y[{1, 2, 1, 1}]:item())
    assert.equal(x[{1, 2, 1, 1}]:item(), y[{1, 2, 4, 1}]:item())
  end)

  it("may be cut out of larger ones, and of any shape where no quarter turn is", function()
    local x = images("f32", 2, 3, 6, 8)
    local part = x[{{}, {1, 2}, {2, 5}, {3, 6}}]
    assert.same(part:rot90(1, {3, 4}):totable(), grids[1][2]("r", part):totable())
    assert.same(x:flip({3, 4}):totable(), grids[3][2]("r", x):totable())
    assert.is_true(grids[3][2]("r", x):is_channels_last())
  end)

  it("has a gradient in the same layout", function()
    local x = images("f64", 2, 3, 4, 4):requires_grad_()
    local w = images("f64", 2, 3, 4, 4) * 2
    for _, g in ipairs(d4:elements()) do
      x.grad = nil
      ;(grids[2][2](g, x) * w):sum():backward()
      assert.same(grids[2][2](g.inverse, w):totable(), x.grad:totable())
    end
  end)

  it("must be square for quarter turns, and the message says so", function()
    local x = images("f32", 2, 3, 4, 6)
    for _, f in ipairs {function() return grids[1][2]("r", x) end,
                        function() return tuned(network "f32", grids[1][2], "mean", {})(x) end} do
      local ok, message = pcall(f)
      assert.is_false(ok)
      assert.matches("the grid is 4 x 6; quarter turns need a square", message, 1, true)
    end
  end)
end)

describe("an equituned convolutional network", function()
  for _, dtype in ipairs {"f32", "f64"} do
    for _, dense in ipairs {false, true} do
      local what = (dense and "its map turns with the image, " or "f(g x) = f(x), ") .. dtype
      it(what, function()
        local net = network(dtype, dense)
        local size = dense and 6 * 7 * 7 or 6 * 4 * 4
        local x = images(dtype, 3, 3, 7, 7)
        nn.eval(net)
        for i = 1, 2 do
          local act = grids[i][2]
          local output = dense and act or nil
          assert.is_false(equi.check.equivariance(net, {x}, {input = act, output = output}).ok)
          for kind, more in pairs(kinds(net, size)) do
            local report = equi.check.equivariance(nn.eval(tuned(net, act, kind, more, dense)),
              {x})
            assert.is_true(report.ok and report.expected, kind .. "\n" .. tostring(report))
            assert.equal(dtype == "f32" and 1e-5 or 1e-12, report.tolerance)
          end
        end
      end)
    end
  end

  it("keeps the layout of maps", function()
    local x = images("f32", 2, 3, 6, 6)
    local y = tuned(network("f32", true):eval(), grids[2][2], "mean", {}, true)(x)
    assert.same({2, 2, 6, 6}, {y:size()})
    assert.is_true(y:is_channels_last())
  end)

  it("sends gradients through all branches, as many single passes would", function()
    for _, dense in ipairs {false, true} do
      local net, act = network("f64", dense):eval(), grids[2][2]
      local x = images("f64", 2, 3, 6, 6)
      local y = tuned(net, act, "mean", {}, dense)(x)
      local weights = oracle.data({y:size()}, {seed = 8})
      ;(y * weights):sum():backward()
      local got = net.conv1.weight.grad:clone()
      nn.zero_grad(net)
      local total
      for _, g in ipairs(d4:elements()) do
        local branch = net(act(g, x))
        if dense then branch = act(g.inverse, branch) end
        local part = (branch * weights):sum() / 8
        total = total and total + part or part
      end
      total:backward()
      oracle.near(got, net.conv1.weight.grad, 1e-12)
    end
  end)

  it("calls the network once for an orbit, with |G| batches in one, channels-last", function()
    local calls = {}
    local function model(x)
      calls[#calls + 1] = {x:size(1), x:is_channels_last()}
      return x:mean({2, 3, 4})
    end
    local x = images("f32", 5, 3, 4, 4)
    equi.equitune(model, {input = grids[1][2]})(x)
    assert.same({{20, true}}, calls)
    calls = {}
    equi.equitune(model, {input = grids[1][2]})(x:clone()) -- row-major
    assert.same({{20, true}}, calls)
    calls = {}
    equi.equitune(model, {input = grids[2][2], chunk = 3})(x)
    assert.same({{15, true}, {15, true}, {10, true}}, calls)
    calls = {}
    equi.equitune(model, {input = grids[2][2], pick = combine.canonical(energy, grids[2][2])})(x)
    assert.same({{5, true}}, calls)
  end)
end)

describe("heads", function()
  it("a linear head on the mean of features is the mean of logits", function()
    local net, act = network "f64":eval(), grids[2][2]
    local x = images("f64", 3, 3, 6, 6)
    local body = equi.equitune(function(v) return net:features(v):mean({3, 4}) end, {input = act})
    local headed = nn.sequential(body, net.fc)
    local logits = equi.equitune(function(v) return net.fc(net:features(v):mean({3, 4})) end,
      {input = act})
    oracle.near(headed(x), logits(x), 1e-13)
    assert.is_true(equi.check.equivariance(headed, {x}, {input = act}).ok)
  end)
end)

describe("combine.lambda", function()
  local net = network("f32"):eval()
  local x = images("f32", 4, 3, 8, 8)

  it("has the layers of the paper, on a copy that neither learns nor follows", function()
    local lambda = combine.lambda(net, 96)
    assert.equal(96 * 100 + 100 + 100 * 100 + 100 + 101, nn.count(lambda, {trainable = true}))
    local before = lambda:eval()(x):totable()
    local old = net.conv1.weight:detach():clone()
    net.conv1.weight:detach():mul_(2)
    assert.same(before, lambda(x):totable())
    net.conv1.weight:detach():copy_(old)
    lambda:train()
    local mean = lambda.backbone.bn.running_mean:clone()
    lambda(x):sum():backward()
    assert.same(mean:totable(), lambda.backbone.bn.running_mean:totable())
    assert.is_nil(lambda.backbone.conv1.weight.grad)
    assert.is_truthy(lambda.fc1.weight.grad)
  end)

  it("learns through the loss of the equituned model", function()
    local lambda = combine.lambda(net, 96)
    local model = equi.equitune(net, {input = grids[1][2], combine = combine.weighted(lambda)})
    model(x):pow(2):sum():backward()
    assert.is_true(lambda.fc1.weight.grad:abs():sum():item() > 0)
    nn.zero_grad(model)
  end)

  it("refuses what is no module", function()
    assert.has_error(function() combine.lambda(print, 3) end,
      "combine.lambda: backbone must be a module, got a function")
    local ok, message = pcall(combine.lambda, net, 0)
    assert.is_false(ok)
    assert.matches("combine.lambda: size must be", message, 1, true)
  end)
end)

describe("combine.canonical", function()
  local act = grids[1][2]

  it("h(g x) = g h(x), and the image that the model sees is always the same", function()
    local pick = combine.canonical(energy, act)
    local x, elements = images("f64", 6, 3, 5, 5), act.group:elements()
    local h = pick(x):totable()
    for _, g in ipairs(elements) do
      local moved = pick(act(g, x)):totable()
      for b = 1, 6 do assert.equal(tostring(g * elements[h[b]]), tostring(elements[moved[b]])) end
    end
  end)

  it("learns from upright images that they are upright", function()
    equi.seed(1)
    local x = images("f32", 64, 1, 4, 4)
    x[{{}, {}, 1}] = x[{{}, {}, 1}] + 3 -- the sky is bright
    local net = nn.sequential(function(v) return v:reshape(-1, 16) end, nn.linear(16, 1))
    local pick = combine.canonical(net, act)
    local opt = equi.optim.sgd(pick, {lr = 0.1})
    for _ = 1, 30 do
      opt:zero_grad()
      pick:loss(x):backward()
      opt:step()
    end
    assert.is_true(pick:loss(x):item() < 0.1)
    assert.is_true(pick(x):eq(1):all():item())
    assert.is_true(pick(act("r3", x)):eq(4):all():item())
  end)

  it("refuses an action that is none, and an energy of another shape", function()
    assert.has_error(function() combine.canonical(energy, 4) end,
      "combine.canonical: action must be the action on the input, got 4")
    local pick = combine.canonical(function(x) return x:mean({3, 4}) end, act)
    local ok, message = pcall(pick, images("f32", 2, 3, 4, 4))
    assert.is_false(ok)
    assert.matches("energy must be one number for each of the 8 rows, it is 8 x 3", message, 1,
      true)
  end)
end)
