-- nn/lora.lua: what adapters add, what learns, merging, PEFT's files.
local equi = require "lua_equi"
local files = require "spec.support.files"
local json = require "lua_equi.json"
local oracle = require "spec.support.oracle"

local nn = equi.nn
local X = equi.tensor({{3, 5, 13, 1, 8}, {2, 3, 11, 5, 5}}, {dtype = "i64"})

local function tiny(o)
  local all = {n_layer = 2, n_head = 2, n_embd = 8, vocab_size = 13, n_positions = 10, seed = 1,
    resid_pdrop = 0, attn_pdrop = 0, embd_pdrop = 0}
  for k, v in pairs(o or {}) do all[k] = v end
  return equi.models.gpt2(all)
end

-- B is zeros at first: as if it had learnt.
local function stir(adapter)
  for k, p in ipairs(adapter:parameters()) do
    p:detach():copy_(oracle.data(p.shape, {low = -0.5, high = 0.5, seed = k, dtype = p.dtype}))
  end
end

describe("lora", function()
  local path
  before_each(function()
    path = files.temporary()
    os.remove(path)
  end)
  after_each(function() os.execute("rm -rf " .. path) end)

  it("changes nothing at first, and only the adapters learn", function()
    local model = tiny()
    local want, names = model(X), #model:named_parameters()
    local adapter = nn.lora(model, {rank = 3, targets = {"c_attn", "c_fc"}})
    oracle.near(model(X), want:detach(), 0)
    assert.equal(names + 8, #model:named_parameters())
    assert.equal(2 * (3 * (8 + 24) + 3 * (8 + 32)), model:count {trainable = true})
    local optimizer = equi.optim.adamw(adapter:parameters(), {lr = 0.1})
    local before, first = model.h[1].attn.c_attn.weight:clone(), nil
    for _ = 1, 20 do
      local loss = equi.cross_entropy(model(X):reshape(-1, 13), X:reshape(-1))
      first = first or loss:item()
      optimizer:zero_grad()
      loss:backward()
      optimizer:step()
    end
    local last = equi.cross_entropy(model(X):reshape(-1, 13), X:reshape(-1)):item()
    assert.is_true(last < first - 0.05)
    assert.equal(0, (model.h[1].attn.c_attn.weight - before):abs():max():item())
    assert.is_nil(model.wte.weight.grad)
  end)

  it("adds alpha / rank B A, in both layouts of weights", function()
    for _, stable in ipairs {false, true} do
      local net = nn.to(nn.sequential(nn.linear(4, 3), nn.affine(3, 5)), "f64")
      local w1, w2, x = net[1].weight:clone(), net[2].weight:clone(), oracle.data(6, 4)
      local b1, b2 = net[1].bias, net[2].bias
      local adapter = nn.lora(net, {rank = 2, alpha = 6, targets = {"0", "1"},
        rank_stable = stable})
      stir(adapter)
      local p, scale = adapter:parameters(), stable and 6 / math.sqrt(2) or 3
      local full1 = w1 + p[2]:matmul(p[1]) * scale
      local full2 = w2 + p[4]:matmul(p[3]):t() * scale
      local want = (x:matmul(full1:t()) + b1):matmul(full2) + b2
      oracle.near(net(x), want:detach(), 1e-13)
      oracle.near(nn.applied_weight(net[1]), full1:detach(), 1e-13)
      oracle.near(nn.applied_weight(net[2]), full2:detach(), 1e-13)
      adapter:merge():merge()
      oracle.near(net(x), want:detach(), 1e-13)
      oracle.near(nn.applied_weight(net[2]), full2:detach(), 1e-13)
      oracle.near(net[2].weight, full2:detach(), 1e-13)
      adapter:unmerge():unmerge()
      oracle.near(net[2].weight, w2, 1e-13)
      oracle.near(net(x), want:detach(), 1e-13)
      local plain = adapter:remove()
      assert.equal("linear", plain[1]:class_name())
      assert.equal(4, #plain:named_parameters())
      oracle.near(plain(x), ((x:matmul(w1:t()) + b1):matmul(w2) + b2):detach(), 1e-13)
      nn.lora(plain, {targets = {"0"}})
    end
  end)

  it("writes PEFT's files and loads them", function()
    local model = tiny()
    local adapter = nn.lora(model, {rank = 3, alpha = 5, targets = {"c_attn", "mlp.c_proj"},
      dropout = 0.25})
    stir(adapter)
    adapter:save(path)
    local c = assert(json.read(path .. "/adapter_config.json"))
    assert.same({"LORA", 3, 5, 0.25, true, "none"}, {c.peft_type, c.r, c.lora_alpha,
      c.lora_dropout, c.fan_in_fan_out, c.bias})
    local tensors = equi.safetensors.load(path .. "/adapter_model.safetensors")
    local layer = "base_model.model.transformer.h.0.attn.c_attn."
    assert.same({3, 8}, tensors[layer .. "lora_A.weight"].shape)
    assert.same({24, 3}, tensors[layer .. "lora_B.weight"].shape)
    local copy = tiny():eval()
    local loaded = nn.lora(copy, {folder = path})
    assert.same({3, 5, 0.25}, {loaded.rank, loaded.alpha, loaded.dropout})
    oracle.near(copy(X), model:eval()(X), 0)
    assert.equal(0, copy:count {trainable = true} - model:count {trainable = true})
  end)

  it("drops in training only, and learns inside of recompute and equitune", function()
    local model = tiny {recompute = true}:train()
    local adapter = nn.lora(model, {targets = {"c_attn"}, dropout = 0.5})
    stir(adapter)
    assert.not_equal(0, (model(X) - model(X)):abs():max():item())
    model(X):sum():backward()
    for _, p in ipairs(adapter:parameters()) do assert.is_true(p.grad:abs():max():item() > 0) end
    local state = model:start(X:narrow(2, 1, 4))
    local whole = model:eval()(X)
    oracle.near(model:step(state, X[{{}, 5}]), whole[{{}, 5}]:detach(), 1e-5)
  end)

  it("refuses what it cannot do", function()
    local model = tiny()
    local function refused(message, ...)
      local ok, problem = pcall(nn.lora, ...)
      assert.is_false(ok)
      assert.matches(message, problem, 1, true)
    end
    refused("lora: no layer is called c_atn; the linear and affine layers are called c_attn, c_fc, "
      .. "c_proj", model, {targets = {"c_atn"}})
    refused("lora: rank must be a whole number of at least 1, got 0", model, {rank = 0})
    refused('lora: no option "r"', model, {r = 4})
    refused("lora: needs a module, got 3", 3)
    refused("adapter_config.json: No such file", model, {folder = path})
    local adapter = nn.lora(model)
    refused("lora: there are adapters already; remove them first", model)
    local ok, problem = pcall(model.save, model, path)
    assert.is_false(ok)
    assert.matches("adapter:merge():remove()", problem, 1, true)
    adapter:save(path)
    adapter:remove()
    local small = tiny {n_embd = 4}
    refused("are for 8 inputs and 24 outputs, the layer has 4 and 12", small, {folder = path})
    local one = tiny {n_layer = 1}
    refused("h.1.attn.c_attn is no linear or affine layer", one, {folder = path})
    local function with(settings, message)
      local c = {peft_type = "LORA", r = 8, lora_alpha = 8, target_modules = {"c_attn"}}
      for k, v in pairs(settings) do c[k] = v end
      files.write(path .. "/adapter_config.json", json.encode(c))
      refused(message, model, {folder = path})
    end
    with({peft_type = "IA3"}, "peft_type is IA3; only LORA can be loaded")
    with({use_dora = true}, "use_dora is set, which cannot be loaded")
    with({rank_pattern = {h = 3}}, "rank_pattern is set")
    with({r = 4}, "but r is 4")
    with({r = "x"}, "r must be a whole number")
  end)
end)
