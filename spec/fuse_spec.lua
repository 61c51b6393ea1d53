-- equi.fuse: the same outputs, fewer passes, and what it refuses.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local nn, models = equi.nn, equi.models

-- Running statistics and affine numbers that matter.
local function stir(m)
  for name, t in pairs(m:state_dict()) do
    if name:find "running_mean" then t:normal_(0, 0.3)
    elseif name:find "running_var" then t:uniform_(0.5, 2)
    elseif t.ndim == 1 then t:uniform_(0.5, 1.5) end
  end
  return m:eval()
end

local function count_norms(m)
  local n = 0
  nn.walk(m, function(kind, v)
    if kind == "module" and type(v) == "table" and v.class_name and
      v:class_name() == "batch_norm2d" then n = n + 1 end
  end)
  return n
end

local function check(m, x, norms)
  local fused = equi.fuse(m)
  assert.equal(norms, count_norms(fused))
  equi.no_grad(function()
    local y = m(x)
    local off = (fused(x) - y):abs():max():item() / y:abs():max():item()
    assert.is_true(off < (x.dtype == "f64" and 1e-12 or 1e-4), "off by " .. off)
  end)
  return fused
end

describe("fuse", function()
  before_each(function() equi.seed(1) end)
  local small, large = equi.ones(2, 3, 32, 32), equi.ones(1, 3, 64, 64)
  before_each(function()
    small, large = equi.randn(2, 3, 32, 32), equi.randn(1, 3, 64, 64)
  end)

  it("folds every norm of a residual network", function()
    check(stir(models.resnet {depth = 20}), small, 0)
    check(stir(models.resnet {depth = 18, classes = 5}), large, 0)
    check(stir(models.resnet {depth = 20}:to "f64"), small:to "f64", 0)
  end)

  it("follows a change of dtype", function()
    local m = stir(models.resnet {depth = 20})
    local fused = equi.fuse(m)
    equi.no_grad(function()
      fused(small)
      oracle.near(fused:to "f64"(small:to "f64"), m:to "f64"(small:to "f64"), 1e-3)
    end)
  end)

  it("folds the inner norms of a dense network", function()
    check(stir(models.densenet {depth = 22, growth = 4, bottleneck = true}), small, 12)
    check(stir(models.densenet {depth = 13, growth = 4, fast = true}), small, 2)
  end)

  it("folds sequences, with biases of their own and without norms", function()
    check(stir(models.squeezenet {classes = 5}), large, 0)
    local net = nn.sequential(nn.conv2d(3, 4, 3, {stride = 2}), nn.batch_norm2d(4), nn.relu(),
      nn.conv2d(4, 4, 3, {groups = 2, padding = "same"}), equi.relu, nn.conv2d(4, 2, 1),
      nn.batch_norm2d(2, {affine = false}))
    local fused = check(stir(net), small, 0)
    assert.equal(7, #fused)
    local vgg = models.vgg {depth = 11, batch_norm = true, classes = 2}
    local f = equi.fuse(stir(vgg.features))
    assert.equal(0, count_norms(f))
    oracle.near(f(small), vgg.features(small), 1e-3)
  end)

  it("keeps what it does not know, and leaves the model as it was", function()
    local net = nn.sequential(nn.batch_norm2d(3), nn.conv2d(3, 4, 3), nn.dropout(0.5),
      nn.batch_norm2d(4))
    stir(net)
    local before = net[2].weight:clone()
    check(net, small, 2)
    oracle.near(net[2].weight, before, 0)
    assert.equal("conv2d", net[2]:class_name())
    assert.is_true(net[2].weight.requires_grad)
  end)

  it("keeps layers that occur twice one, and gradients of the input", function()
    local conv = nn.conv2d(3, 3, 3, {padding = 1})
    local net = nn.sequential(conv, equi.relu, nn.sequential(conv, equi.relu)):eval()
    local fused = equi.fuse(net)
    local x = small:detach():requires_grad_()
    local y = small:detach():requires_grad_()
    net(x):sum():backward()
    fused(y):sum():backward()
    oracle.near(x.grad, y.grad, 1e-5)
  end)

  it("takes classes that name their pairs", function()
    local block = nn.class("block", {
      folds = {conv = "norm"},
      new = function(self) self.conv, self.norm = nn.conv2d(3, 3, 1), nn.batch_norm2d(3) end,
      forward = function(self, x)
        return nn.conv_norm(self.conv, self.norm, x, {add = x, relu = true})
      end,
    })
    check(stir(block()), small, 0)
  end)

  it("makes equituned models ready too", function()
    local c4 = equi.group.cyclic(4)
    local model = stir(models.resnet {depth = 20})
    local tuned = equi.equitune(model, {input = equi.action.grid(c4),
                                        output = equi.action.trivial(c4)})
    local fused = equi.fuse(tuned)
    equi.no_grad(function() oracle.near(fused(small), tuned(small), 1e-3) end)
    assert.equal(0, count_norms(fused))
  end)

  it("refuses training, before and after", function()
    local net = nn.sequential(nn.conv2d(3, 4, 3), nn.batch_norm2d(4))
    oracle.raises("fuse: the model is in training mode, where batch norm takes the batch's own " ..
      "statistics; call eval() on the model first", equi.fuse, net)
    net:eval()[2]:train()
    oracle.raises("fuse: 1 is in training mode", equi.fuse, net)
    local fused = equi.fuse(net:eval())
    oracle.raises("fused_conv2d: a fused model is for evaluation", fused:train(), small)
    oracle.raises("fuse: the model must be a module, got 3", equi.fuse, 3)
  end)
end)
