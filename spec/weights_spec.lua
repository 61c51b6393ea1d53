-- Files that PyTorch 1.13 and NumPy wrote (spec/support/make_weight_files.py) and what they hold.
-- Hostile ones are in spec/formats and spec/fuzz.
local equi = require "lua_equi"
local files = require "spec.support.files"

local folder = "spec/support/weights/"

-- Names, dtypes, shapes and bits must be those of `expected`.
local function same(expected, got, what)
  for name, x in pairs(expected) do
    local y = got[name]
    assert.is_true(equi.is_tensor(y), what .. ": no " .. name)
    assert.equal(x.dtype, y.dtype, what .. ": " .. name)
    assert.same(x.shape, y.shape, what .. ": " .. name)
    assert.is_true(x:tobytes() == y:tobytes(), what .. ": bits of " .. name)
  end
  for name in pairs(got) do assert.is_true(expected[name] ~= nil, what .. ": also " .. name) end
end

local function as_expected(name)
  local got, info = equi.load_weights(folder .. name)
  same(equi.safetensors.load(folder .. name .. ".expected"), got, name)
  return got, info
end

local function refused(name, message)
  local got, problem = equi.weights.read(folder .. name)
  assert.is_nil(got, name)
  assert.equal(folder .. name .. ": " .. message, problem)
end

describe("load_weights", function()
  it("reads every file that comes with what it holds", function()
    local seen = 0
    for _, name in ipairs(files.list(folder)) do
      local file = name:match "^(.*)%.expected$"
      if file then
        as_expected(file)
        seen = seen + 1
      end
    end
    assert.is_true(seen >= 15)
  end)

  it("says the format, and what it took off the names", function()
    local function info(name)
      local _, i = equi.load_weights(folder .. name)
      return i.format .. ":" .. i.prefix
    end
    assert.equal("torch zip:", info "all.pt")
    assert.equal("torch legacy:state_dict.module.", info "wrapped.th")
    assert.equal("torch zip:model_state_dict.", info "wrapped.pt")
    assert.equal("npy:", info "f32.npy")
    assert.equal("npz:", info "many.npz")
    assert.equal("index:", info "shards.index.json")
    assert.equal("safetensors:", info "all.pt.expected")
  end)

  it("goes by the content, not by the name", function()
    local path = files.temporary()
    for _, name in ipairs {"all.th", "many.npz", "fortran.npy", "net.pt.expected"} do
      files.write(path, files.read(folder .. name))
      same(equi.load_weights(folder .. name), equi.load_weights(path), name)
    end
    files.remove(path)
  end)

  it("keeps strides, and shares what is shared in the file", function()
    for _, name in ipairs {"all.pt", "all.th"} do
      local got = equi.load_weights(folder .. name)
      assert.is_false(got.transposed:is_contiguous())
      assert.is_true(got.transposed:shares_storage(got.strided))
      assert.is_true(got["tied.a"]:shares_storage(got["tied.b"]))
      assert.is_false(got.f32:shares_storage(got.f64))
      got["tied.a"]:fill_(7)
      assert.same({7.0, 7.0}, got["tied.part"]:totable())
    end
  end)

  it("leaves the file as it is when a tensor is changed, and outlives it", function()
    local path = files.temporary()
    files.write(path, files.read(folder .. "net.pt"))
    local got = equi.load_weights(path)
    got["0.bias"]:fill_(9)
    assert.equal(files.read(folder .. "net.pt"), files.read(path))
    files.remove(path)
    collectgarbage()
    assert.same({9.0, 9.0, 9.0}, got["0.bias"]:totable())
  end)

  it("reads a copy when asked, which the file may be shortened under", function()
    local path = files.temporary()
    for _, name in ipairs {"all.pt", "all.th", "f32.npy", "all.pt.expected"} do
      files.write(path, files.read(folder .. name))
      local got = equi.load_weights(path, {copy = true})
      files.write(path, "")
      same(equi.load_weights(folder .. name), got, name)
    end
    files.remove(path)
  end)

  it("keeps the names when raw", function()
    local got, info = equi.load_weights(folder .. "wrapped.th", {raw = true})
    assert.equal("", info.prefix)
    assert.equal(71.5, got.best_prec1:item())
    assert.same({3, 2, 2, 2}, got["state_dict.module.0.weight"].shape)
    assert.same({3, 2, 2, 2}, got["optimizer.state.0.momentum_buffer"].shape)
    local path = files.temporary()
    equi.safetensors.save(path, {["module.a"] = equi.ones(1), ["module.b"] = equi.ones(1)})
    assert.is_truthy(equi.load_weights(path).a)
    assert.is_truthy(equi.load_weights(path, {raw = true})["module.a"])
    equi.safetensors.save(path, {["module.a"] = equi.ones(1), b = equi.ones(1)})
    assert.is_truthy(equi.load_weights(path)["module.a"])
    files.remove(path)
  end)

  it("renames and leaves out", function()
    local function rename(name)
      if name:find "num_batches" then return false end
      return (name:gsub("^1%.", "bn."))
    end
    local got = equi.load_weights(folder .. "net.pt", {rename = rename})
    assert.is_nil(got["bn.num_batches_tracked"])
    assert.same({3}, got["bn.running_var"].shape)
    local path = folder .. "tensor.pt"
    local none, problem = equi.weights.read(folder .. "protocol4.pt",
      {rename = function() return "same" end})
    assert.is_nil(none)
    assert.equal(folder .. 'protocol4.pt: "b" and "w" would both be called "same"', problem)
    assert.error_matches(function() equi.load_weights(path, {rename = function() return 3 end}) end,
      'load_weights: rename must return a string or false, got 3 for "tensor"')
  end)

  it("executes nothing and says what it met", function()
    local how = ', and only tensors and plain containers are read (nothing was executed); where it '
      .. 'is trusted, save the state dict: torch.save(model.state_dict(), "weights.pth")'
    local function holds(name, what) refused(name, "it holds a pickled " .. what .. how) end
    os.remove "/tmp/lua_equi_was_executed"
    holds("os_system.pt", '"posix.system"')
    holds("os_system.th", '"posix.system"')
    holds("eval.pt", '"builtins.eval"')
    holds("module.pt", '"torch.nn.modules.linear.Linear"')
    holds("complex.pt", '"torch.ComplexFloatStorage"')
    holds("bare.pkl", '"numpy.core.multiarray._reconstruct"')
    assert.is_false(files.exists "/tmp/lua_equi_was_executed")
  end)

  it("refuses by name what it does not read", function()
    refused("deflated.pt", '"protocol4/data.pkl" is deflated in it, and PyTorch stores; save it '
      .. "again with torch.save")
    local big = "its numbers are big-endian; save it on a little-endian machine"
    refused("big_endian.pt", big)
    refused("big_endian.th", big)
    refused("scripted.pt", "it is a TorchScript archive; save its weights in PyTorch: torch.save("
      .. 'torch.jit.load(path).state_dict(), "weights.pth")')
    refused("big.npy", 'its numbers (">f4") are big-endian; save '
      .. "x.astype(x.dtype.newbyteorder('<'))")
    refused("objects.npy", "it is an array of Python objects, which are pickled; save it with a "
      .. "dtype of numbers")
    refused("fields.npy", "it is a structured array; save its fields one by one")
    refused("text.npy", 'its dtype "<U2" is not one of numbers that can be loaded; convert it, as '
      .. "in x.astype(numpy.float32)")
    refused("complex.npy", 'its dtype "<c8" is not one of numbers that can be loaded; convert it, '
      .. "as in x.astype(numpy.float32)")
  end)

  it("knows what is taken for weights by mistake", function()
    local path = files.temporary()
    local function is(bytes, what)
      files.write(path, bytes)
      assert.equal(path .. ": it is " .. what, (select(2, equi.weights.read(path))))
    end
    is("version https://git-lfs.github.com/spec/v1\n",
      "a pointer of git-lfs, not the file itself; run git lfs pull")
    is("\137HDF\r\n\26\n", "an HDF5 file (Keras); save the weights with numpy.savez")
    is("\31\139\8", "compressed by gzip; unpack it first: gunzip")
    is("<!DOCTYPE html>", "a page of text, perhaps of a failed download; fetch it again")
    local nothing = "no safetensors, PyTorch or NumPy file that is whole; these are what can "
      .. "be read"
    is("", nothing)
    is("# weights\n", nothing)
    files.remove(path)
  end)

  it("inflates within a limit", function()
    local path = folder .. "packed.npz"
    local _, problem = equi.weights.read(path, {max_inflated = 1000})
    assert.matches('^spec/support/weights/packed%.npz: "[%w/]+": its arrays take more than 1000 '
      .. "bytes once inflated; allow it with max_inflated$", problem)
    assert.is_truthy(equi.weights.read(path, {max_inflated = 100000}))
  end)

  it("raises for mistakes at the caller's line", function()
    local function position(...)
      local line = debug.getinfo(1, "l").currentline + 1
      local ok, text = pcall(function(...) local x = equi.load_weights(...) return x end, ...)
      assert.is_false(ok)
      assert.matches("weights_spec%.lua:" .. line .. ": load_weights: ", text)
    end
    position(3)
    position "no/such"
    position("x", {row = true})
    position(folder .. "tensor.pt", {rename = function() return 3 end})
    assert.error_matches(function() equi.load_weights(3) end,
      "load_weights: the path must be a string, got 3")
    assert.error_matches(function() equi.load_weights "" end,
      "load_weights: a file name is not empty")
    assert.error_matches(function() equi.load_weights("x", {row = true}) end,
      'load_weights: no option "row"; options are copy, max_inflated, raw, '
      .. 'rename; did you mean "raw"%?')
    assert.error_matches(function() equi.load_weights("x", {max_inflated = 1.5}) end,
      "option max_inflated must be a number of bytes, got 1.5")
    assert.error_matches(function() equi.load_weights("x", {rename = 3}) end,
      "option rename must be a function of a name, got 3")
    assert.error_matches(function() equi.load_weights "no/such" end,
      "load_weights: cannot open no/such: No such file or directory")
  end)

  it("loads the published CIFAR ResNets as their safetensors", function()
    local path = "../shared/data/cifar10-resnets/"
    if not files.exists(path .. "resnet20-12fca82f.th") then
      pending "load_weights: ../shared/data/cifar10-resnets is absent"
    end
    for _, name in ipairs {"resnet20-12fca82f", "resnet32-d509ac18"} do
      same(equi.safetensors.load(path .. name .. ".safetensors"),
        equi.load_weights(path .. name .. ".th"), name)
    end
  end)

  it("loads a published zip archive as its safetensors", function()
    local path = "../shared/data/scan-rnn/best_validation"
    if not files.exists(path .. ".pt") then
      pending "load_weights: ../shared/data/scan-rnn is absent"
    end
    same(equi.safetensors.load(path .. ".safetensors"), equi.load_weights(path .. ".pt"), path)
  end)
end)
