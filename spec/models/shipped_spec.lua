-- Weights that come with the models, by name, and what backbones say of their last layer.
local equi = require "lua_equi"
local backbone = equi.models.backbone

describe("weights by name", function()
  it("a plain name is a file beside the models, everything else a path", function()
    assert.matches("models/weights/resnet20%-cifar10%.safetensors$",
      backbone.weights_path("resnet20", "cifar10"))
    assert.equal("./cifar10", backbone.weights_path("resnet20", "./cifar10"))
    assert.equal("x.pth", backbone.weights_path("resnet20", "x.pth"))
  end)

  it("are loaded when they are there", function()
    local path = backbone.weights_path("resnet20", "of_this_spec")
    local folder = path:match "^(.*)/"
    local made = os.execute(("[ ! -d '%s' ] && mkdir '%s'"):format(folder, folder))
    local net = equi.models.resnet {depth = 20, seed = 3}
    equi.safetensors.save(path, net:state_dict())
    local loaded = equi.models.resnet {depth = 20, seed = 4, weights = "of_this_spec"}
    os.remove(path)
    if made then os.execute(("rmdir '%s'"):format(folder)) end
    assert.is_true(loaded.fc.weight:eq(net.fc.weight):all():item())
    assert.is_true(loaded.layer1[1].conv1.weight:eq(net.layer1[1].conv1.weight):all():item())
  end)

  it("that do not come with the models are named", function()
    local ok, message = pcall(function()
      return equi.models.resnet {depth = 32, weights = "mars"}
    end)
    assert.is_false(ok)
    assert.matches('resnet: no weights "mars" of resnet32 come with the models; give the path',
      message, 1, true)
    ok, message = pcall(function() return equi.models.resnet {weights = "no/such.pth"} end)
    assert.is_false(ok)
    assert.matches("load_weights: cannot open no/such.pth", message, 1, true)
  end)

  it("of the network that ships tell CIFAR-10's classes apart", function()
    local f = io.open(backbone.weights_path("resnet20", "cifar10"), "rb")
    if not f then return pending "the shipped network: models/weights has none" end
    assert.is_true(f:seek "end" < 2000000)
    f:close()
    local net = equi.models.resnet {depth = 20, weights = "cifar10"}
    assert.same({1, 10}, {net:eval()(equi.zeros(1, 3, 32, 32)):size()})
  end)
end)

describe("last_layer", function()
  it("is what makes the logits, also after it was replaced", function()
    local net = equi.models.resnet {depth = 20}:eval()
    assert.equal(net.fc, net:last_layer())
    net:replace_head(3)
    local x = equi.randn(2, 3, 16, 16)
    assert.same(net(x):totable(), net:last_layer()(net:features(x)):totable())
    assert.same({4, 512, 1, 1},
      {equi.models.squeezenet {classes = 4}:last_layer().weight:size()})
  end)
end)
