-- The image backbones: torchvision's numbers and names, gradients as PyTorch's autograd has them,
-- and the logits of published weights in all orientations.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local vectors = require "spec.support.backbone_vectors"
local models, nn = equi.models, equi.nn

local DATA = "../shared/data/"

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

-- Skips by name what needs a file of the data folder that is not there.
local function with(path, what, f)
  it(what, function()
    if not exists(DATA .. path) then pending(what .. ": " .. DATA .. path .. " is absent") end
    f()
  end)
end

local function quiet(f) return equi.no_grad(f) end

-- The model without random numbers: its names and shapes are all that is looked at.
local function shell(name, o) return nn.initialise.without(models[name], o) end

describe("backbones have torchvision's number of parameters:", function()
  for _, c in ipairs {
    {"alexnet", {}, 61100840, 4096}, {"vgg", {depth = 11}, 132863336, 4096},
    {"vgg", {depth = 16}, 138357544, 4096}, {"resnet", {depth = 18}, 11689512, 512},
    {"resnet", {depth = 34}, 21797672, 512}, {"resnet", {depth = 50}, 25557032, 2048},
    {"resnet", {depth = 101}, 44549160, 2048}, {"resnet", {depth = 152}, 60192808, 2048},
    {"densenet", {depth = 121}, 7978856, 1024}, {"densenet", {depth = 161}, 28681000, 2208},
    {"densenet", {depth = 169}, 14149480, 1664}, {"densenet", {depth = 201}, 20013928, 1920},
    {"squeezenet", {version = "1.0"}, 1248424, 512},
    {"squeezenet", {version = "1.1"}, 1235496, 512}, {"resnet", {depth = 20}, 269722, 64},
    {"resnet", {depth = 32}, 464154, 64}, {"resnet", {depth = 44}, 658586, 64},
    {"resnet", {depth = 56}, 853018, 64}, {"resnet", {depth = 110}, 1727962, 64},
    {"resnet", {depth = 1202}, 19421274, 64},
    {"densenet", {depth = 40, growth = 12, bottleneck = false}, 1019722, 448},
    {"densenet", {depth = 100, growth = 12, bottleneck = true}, 769162, 342},
    {"densenet", {fast = true}, 1002586, 448}} do
    local name = c[1] .. (c[2].depth or c[2].version or "")
    it(name .. " " .. c[3], function()
      local m = shell(c[1], c[2]):eval()
      assert.equal(c[3], m:count())
      local small = m.preprocessing.crop == 32
      assert.equal(small and 10 or 1000, m:state_dict()[m.head .. ".weight"]:size(1))
      if c[1] == "vgg" then return end -- its features are those of a smaller one, below
      local side = small and 16 or 64
      assert.same({1, c[4]}, {quiet(function()
        return m:features(equi.zeros(1, 3, side, side))
      end):size()})
    end)
  end

  it("vgg11 with batch norm", function()
    local m = shell("vgg", {batch_norm = true, depth = 11, classes = 10})
    assert.equal(128812810, m:count())
  end)
end)

describe("backbones", function()
  local function has(m, names)
    local state = m:state_dict()
    for _, name in ipairs(names) do assert.is_truthy(state[name], name) end
  end

  it("have torchvision's names", function()
    has(shell("resnet", {depth = 50}), {"conv1.weight", "bn1.running_var", "layer1.0.conv3.weight",
      "layer2.0.downsample.0.weight", "layer2.0.downsample.1.num_batches_tracked",
      "layer4.2.bn3.bias", "fc.weight"})
    has(shell("densenet", {depth = 121}), {"features.conv0.weight", "features.norm0.bias",
      "features.denseblock4.denselayer16.conv2.weight", "features.transition3.norm.running_mean",
      "features.norm5.weight", "classifier.bias"})
    has(shell("squeezenet", {version = "1.0"}), {"features.0.weight", "features.12.expand3x3.bias",
      "classifier.1.weight"})
    has(shell("alexnet", {classes = 2}), {"features.0.weight", "features.10.bias",
      "classifier.1.weight", "classifier.6.bias"})
    has(shell("vgg", {classes = 2, depth = 11, batch_norm = true}), {"features.0.weight",
      "features.1.running_mean", "features.25.weight", "classifier.0.weight",
      "classifier.3.weight", "classifier.6.weight"})
  end)

  it("start the same from the same seed, without moving the generator", function()
    equi.seed(3)
    local before = equi.rng_state()
    local a = models.resnet {depth = 20, seed = 5}
    assert.same(before, equi.rng_state())
    local b = models.resnet {depth = 20, seed = 5}
    oracle.near(a.layer3[2].conv1.weight, b.layer3[2].conv1.weight, 0)
    local std = a.layer1[1].conv1.weight:std():item()
    oracle.near(std, math.sqrt(2 / 144), 0.1)
  end)

  it("get a new head, or take one by assignment", function()
    local x = equi.zeros(1, 3, 32, 32)
    local m = models.resnet {depth = 20}:replace_head(3)
    assert.same({1, 3}, {m(x):size()})
    m.fc = nn.linear(64, 5)
    assert.same({1, 5}, {m(x):size()})
    oracle.near(m:eval()(x), m.fc(m:features(x)), 0)
    m = models.squeezenet {}:replace_head(4)
    assert.same({1, 4}, {m(equi.zeros(1, 3, 64, 64)):size()})
    assert.equal("f64", models.resnet {depth = 20}:to("f64"):replace_head(2).fc.weight.dtype)
    oracle.raises("replace_head: classes must be a whole number of at least 1, got 0",
                  m.replace_head, m, 0)
  end)

  it("load a table of weights, and leave a head of another size new when classes are named",
    function()
      local a = models.resnet {depth = 20, seed = 1}
      local b = models.resnet {depth = 20, weights = a:state_dict()}
      oracle.near(b.fc.weight, a.fc.weight, 0)
      local c = models.resnet {depth = 20, weights = a:state_dict(), classes = 4}
      oracle.near(c.conv1.weight, a.conv1.weight, 0)
      assert.equal(4, c.fc.weight:size(1))
      local state = c:state_dict()
      oracle.raises("fc.weight is 4 x 64, the model's is 10 x 64", models.resnet,
                    {depth = 20, weights = state})
      state["fc.weight"], state["fc.bias"] = nil, nil
      oracle.raises("missing fc.weight", models.resnet, {depth = 20, weights = state})
    end)

  it("understand the names of published dense networks", function()
    local a, old = models.densenet {depth = 22, bottleneck = true, growth = 4}, {}
    for name, tensor in pairs(a:state_dict()) do
      old[name:gsub("(denselayer%d+%.%a+)([12])%.", "%1.%2.")] = tensor
    end
    assert.is_truthy(old["features.denseblock1.denselayer2.norm.1.weight"])
    local b = models.densenet {depth = 22, bottleneck = true, growth = 4, weights = old}
    oracle.near(b.features.denseblock3.denselayer3.conv2.weight,
                a.features.denseblock3.denselayer3.conv2.weight, 0)
  end)

  it("say what there is", function()
    oracle.raises("resnet: depth must be one of 18, 34, 50, 101, 152, 20, 32, 44, 56, 110, 1202, "
      .. "got 19", models.resnet, {depth = 19})
    oracle.raises("densenet: depth must be 121, 161, 169 or 201, or, for CIFAR, 4 more than a " ..
      "multiple of 3; got 41", models.densenet, {depth = 41})
    oracle.raises("squeezenet: version must be one of 1.0, 1.1, got 2.0", models.squeezenet,
                  {version = "2.0"})
    oracle.raises("vgg: depth must be one of 11, 13, 16, 19, got 12", models.vgg, {depth = 12})
    oracle.raises("resnet: classes must be a whole number of at least 1, got ten", models.resnet,
                  {classes = "ten"})
    oracle.raises('alexnet: no option "deep"', models.alexnet, {deep = 1})
  end)
end)

-- ---- PyTorch's autograd ----

local function filled(shape, k)
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  local i = equi.arange(1, n, {dtype = "f64"})
  local v = i * i * 0.6180339887498949 + 0.7548776662466927 * k
  return (v - v:floor() - 0.5):reshape(shape)
end

-- Parameters as make_backbone_vectors.py fills them.
local function fill(m)
  local names, tensors = {}, {}
  for k, p in ipairs(m:named_parameters()) do names[k], tensors[p.name] = p.name, p.tensor end
  table.sort(names)
  for k, name in ipairs(names) do
    local p = tensors[name]
    local u = filled(p.shape, k)
    if p.ndim > 1 then u = u * math.sqrt(24 / (p:numel() // p:size(1)))
    else u = u * 0.4 + (name:find "weight$" and 1 or 0) end
    p:detach():copy_(u)
  end
end

local function compare(name, depth, dtype, worst, average)
  local m, want = models[name] {depth = depth, classes = 10}:to(dtype), vectors[name .. depth]
  fill(m)
  local y = m(filled({4, 3, 64, 64}, 61):to(dtype));
  (y * filled(y.shape, 50):to(dtype)):sum():backward()
  oracle.near(y:reshape(-1), want.logits, dtype == "f64" and 1e-11 or 1e-4, "logits")
  local sum, n = 0, 0
  for _, p in ipairs(m:named_parameters()) do
    local g, w = p.tensor.grad:to "f64", want.gradients[p.name]
    local got = {g:square():sum():sqrt():item(), g:reshape(-1)[1]:item(),
      (g * filled(g.shape, 7)):sum():item()}
    local scale = {w[1], w[1], w[1] * math.sqrt(g:numel() / 12)}
    for k = 1, 3 do
      local off = math.abs(got[k] - w[k]) / scale[k]
      sum, n = sum + off, n + 1
      assert.is_true(off < worst, ("%s, number %d: %g against %g"):format(p.name, k, got[k], w[k]))
    end
  end
  for _ in pairs(want.gradients) do n = n - 3 end
  assert.equal(0, n)
  assert.is_true(sum / (3 * #m:parameters()) < average)
  local moved = {running_mean = 0, running_var = 0}
  for key, t in pairs(m:state_dict()) do
    local part = key:match "running_%a+$"
    if part then moved[part] = moved[part] + t:to("f64"):sum():item() end
  end
  for part, total in pairs(moved) do
    oracle.near(total, want[part], dtype == "f64" and 1e-11 or 1e-4, part)
  end
end

describe("gradients of whole networks are PyTorch's:", function()
  it("resnet18, f64", function() compare("resnet", 18, "f64", 1e-9, 1e-10) end)
  it("resnet18, f32", function() compare("resnet", 18, "f32", 1e-3, 1e-4) end)
  it("densenet121, f64", function() compare("densenet", 121, "f64", 1e-9, 1e-10) end)
  -- A relu at its edge falls the other way, and a few tensors of PyTorch's own f32 are off as far.
  it("densenet121, f32", function() compare("densenet", 121, "f32", 1e-2, 1e-3) end)
end)

describe("a training step", function()
  it("has the same bits on one and two threads", function()
    for name, o in pairs {resnet = {depth = 20, seed = 1},
      densenet = {depth = 13, growth = 8, bottleneck = false, seed = 1}} do
      oracle.both_threads(function()
        local m, x = models[name](o), oracle.data({8, 3, 32, 32}, {dtype = "f32"})
        local results = {m(x)}
        results[1]:square():sum():backward()
        for _, p in ipairs(m:parameters()) do results[#results + 1] = p.grad end
        return table.unpack(results)
      end)
    end
  end)
end)

-- ---- published weights ----

local function cifar_images()
  local file, rows = assert(io.open(DATA .. "cifar10/test_first1000.bin", "rb")), {}
  for i = 1, 32 do
    rows[i] = equi.frombytes(file:read(3073):sub(2), {dtype = "u8"}):reshape(1, 3, 32, 32)
  end
  file:close()
  return equi.cat(rows, 1):to "f32" / 255
end

local function prepared(x, p)
  return (x - equi.tensor(p.mean):reshape(3, 1, 1)) / equi.tensor(p.std):reshape(3, 1, 1)
end

-- m in four orientations, and what equi.fuse makes of it, against logits [4, B, classes].
local function check_logits(m, x, want)
  m:eval()
  local function check(f, k, n)
    local y = quiet(function() return f(x:narrow(1, 1, n):rot90(k, {3, 4})) end)
    oracle.near((y - want[k + 1]:narrow(1, 1, n)):abs():max(), 0, 1e-3, "turned " .. k)
  end
  for k = 0, 3 do check(m, k, x:size(1)) end
  check(equi.fuse(m), 1, 4)
end

describe("logits of published weights:", function()
  for depth, hash in pairs {[20] = "12fca82f", [32] = "d509ac18", [44] = "014dd654",
    [56] = "4bfd9763"} do
    local name = "resnet" .. depth
    local file = ("cifar10-resnets/%s-%s"):format(name, hash)
    with(file .. ".th", name .. ", from PyTorch's own file", function()
      local want = equi.load_weights(DATA .. "cifar10-resnets/reference_logits.safetensors")[name]
      local m = models.resnet {depth = depth, weights = DATA .. file .. ".th"}
      check_logits(m, prepared(cifar_images(), m.preprocessing), want)
    end)
  end

  local dense = "cifar10-densenet/densenet_fast_40_12_cifar10.safetensors"
  with(dense, "densenet 40-12, fast", function()
    local want = equi.load_weights(DATA .. "cifar10-densenet/reference_logits.safetensors")
    local m = models.densenet {fast = true, weights = DATA .. dense}
    check_logits(m, prepared(cifar_images(), m.preprocessing), want.densenet_fast_40_12)
  end)

  local squeeze = "squeezenet/squeezenet1_1.fp16.safetensors"
  with(squeeze, "squeezenet 1.1", function()
    local reference = equi.load_weights(DATA .. "squeezenet/reference.safetensors")
    local x = reference.crops_bgr:to "f32" - equi.tensor({104, 117, 123}):reshape(3, 1, 1)
    check_logits(models.squeezenet {weights = DATA .. squeeze}, x, reference.logits)
  end)
end)
