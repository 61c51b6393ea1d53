-- models/gpt2.lua: against PyTorch in every layout of files, against itself (steps, padding), and
-- what it refuses.
local equi = require "lua_equi"
local files = require "spec.support.files"
local oracle = require "spec.support.oracle"
local vectors = require "spec.support.gpt2.vectors"

local FOLDER = "spec/support/gpt2/"
local CASES = {
  {"plain", {folder = FOLDER .. "plain"}},
  {"plain", {folder = FOLDER .. "prefixed"}},
  {"plain", {weights = FOLDER .. "mingpt.pt", n_head = 2}},
  {"other", {folder = FOLDER .. "other"}},
  {"bare", {weights = FOLDER .. "nanogpt.pt"}},
}
local WORDS, WIDTH = 13, #vectors.ids[1]

local function ids(list) return equi.tensor(list, {dtype = "i64"}) end
local function bools(list) return equi.tensor(list, {dtype = "bool"}) end
local X = ids(vectors.ids)

local function tiny(o)
  local all = {n_layer = 2, n_head = 2, n_embd = 8, vocab_size = WORDS, n_positions = 10, seed = 1}
  for k, v in pairs(o or {}) do all[k] = v end
  return equi.models.gpt2(all)
end

local function hollow(o) return equi.nn.initialise.hollow(equi.models.gpt2, o) end

-- Rows whose first pads[i] places are padding.
local function mask_of(pads, width)
  local rows = {}
  for i, n in ipairs(pads) do
    rows[i] = {}
    for t = 1, width do rows[i][t] = t > n end
  end
  return bools(rows)
end

local function loss_of(model, x)
  local t = x:size(2) - 1
  return equi.cross_entropy(model(x:narrow(2, 1, t)):reshape(-1, WORDS),
    x:narrow(2, 2, t):reshape(-1))
end

describe("gpt2", function()
  it("has GPT-2's parameter counts", function()
    local counts = {small = 124439808, medium = 354823168, large = 774030080, xl = 1557611200}
    for size, count in pairs(counts) do assert.equal(count, hollow({size = size}):count()) end
    local bare = hollow {size = "small", bias = false}
    assert.equal(counts.small - 12 * 11 * 768 - 768, bare:count())
  end)

  it("computes what PyTorch computes, from every layout of files", function()
    for _, case in ipairs(CASES) do
      local want, model = vectors[case[1]], equi.models.gpt2(case[2]):to("f64")
      local name = case[2].folder or case[2].weights
      oracle.near(model(X):reshape(-1), want.logits, 1e-12, name)
      oracle.near(model(X, {mask = mask_of(vectors.pads, WIDTH)}):narrow(2, 3, WIDTH - 2)
        :reshape(-1), want.padded, 1e-12, name)
      local loss = loss_of(model, X)
      oracle.near(loss, want.loss, 1e-12, name)
      loss:backward()
      local n = 0
      for _, p in ipairs(model:named_parameters()) do
        assert.is_true(p.tensor:is_contiguous())
        local g = p.tensor.grad:reshape(-1)
        local wave = equi.arange(1, g:numel(), {dtype = "f64"}):sin()
        oracle.near({g:sum():item(), (g * wave):sum():item()}, want.gradients[p.name], 1e-12,
          name .. " " .. p.name)
        n = n + 1
      end
      for _ in pairs(want.gradients) do n = n - 1 end
      assert.equal(0, n)
    end
  end)

  it("starts as GPT-2 does", function()
    local model = equi.models.gpt2 {n_layer = 8, n_head = 2, n_embd = 64, vocab_size = 500,
      n_positions = 64, seed = 3}
    local function spread(x) return x:var():sqrt():item() end
    assert.near(0.02, spread(model.wte.weight), 0.0005)
    assert.near(0.02, spread(model.h[3].mlp.c_fc.weight), 0.0005)
    assert.near(0.005, spread(model.h[3].mlp.c_proj.weight), 0.0002)
    assert.near(0.005, spread(model.h[8].attn.c_proj.weight), 0.0003)
    assert.equal(0, model.h[1].attn.c_attn.bias:abs():max():item())
    assert.is_true(model.training)
    local again = equi.models.gpt2 {n_layer = 8, n_head = 2, n_embd = 64, vocab_size = 500,
      n_positions = 64, seed = 3}
    assert.equal(0, (model.wpe.weight - again.wpe.weight):abs():max():item())
  end)

  it("steps to the logits of a whole call", function()
    local model = tiny():to("f64"):eval()
    local want = model(X)
    for prompt = 0, WIDTH - 1 do
      local state = model:start(X:narrow(2, 1, prompt), {capacity = prompt % 2 == 0 and 1 or nil})
      assert.equal(prompt, state.length)
      for t = prompt + 1, WIDTH do
        local logits
        logits, state = model:step(state, X[{{}, t}])
        oracle.near(logits, want[{{}, t}], 1e-13, ("prompt %d, step %d"):format(prompt, t))
        assert.equal(10 - t, state.left)
      end
    end
  end)

  it("neither sees nor counts padding", function()
    local model = tiny():to("f64"):eval()
    local want = model(X)
    local junk = ids {{13, 1, 5}, {2, 2, 8}}
    local padded, mask = equi.cat({junk, X}, 2), mask_of({3, 3}, WIDTH + 3)
    oracle.near(model(padded, {mask = mask}):narrow(2, 4, WIDTH), want, 1e-13, "whole")
    local state = model:start(padded:narrow(2, 1, 5), {mask = mask:narrow(2, 1, 5), capacity = 5})
    for t = 3, WIDTH do
      local logits
      logits, state = model:step(state, X[{{}, t}])
      oracle.near(logits, want[{{}, t}], 1e-13, "step " .. t)
    end
    local short = model:start(junk:narrow(2, 1, 1), {mask = mask_of({1, 0}, 1)})
    local logits = model:step(short, X[{{}, 1}]) -- the first row is a prompt of one token
    oracle.near(logits[1], want[1][1], 1e-13, "empty prompt in a batch")
  end)

  it("takes a mask for every element of an orbit", function()
    local model = tiny():to("f64"):eval()
    local mask = mask_of(vectors.pads, WIDTH)
    local both = model(equi.cat({X, X}, 1), {mask = mask})
    oracle.near(both:narrow(1, 3, 2), model(X, {mask = mask}), 1e-13, "second element")
  end)

  it("steps as an equituned model, with a mask too", function()
    local model = tiny():to("f64"):eval()
    local group = equi.group.cyclic(3)
    local o = {size = WORDS, swaps = {{3, 5, 12}}}
    local logits = {size = WORDS, swaps = {{3, 5, 12}}, what = "logits"}
    local tuned = equi.equitune(model, {input = equi.action.vocabulary(group, o),
      output = equi.action.vocabulary(group, logits)})
    for _, mask in ipairs {false, mask_of(vectors.pads, WIDTH)} do
      local whole = tuned(X, {mask = mask or nil})
      local first = mask and mask:narrow(2, 1, 4)
      local state = tuned:start(X:narrow(2, 1, 4), {mask = first or nil})
      for t = 5, WIDTH do
        local y
        y, state = tuned:step(state, X[{{}, t}])
        oracle.near(y, whole[{{}, t}]:detach(), 1e-13, "step " .. t)
      end
      assert.equal(6, state.batch)
    end
  end)

  it("drops in training only, and not while it generates", function()
    local model = tiny {resid_pdrop = 0.5}
    assert.not_equal(0, (model(X) - model(X)):abs():max():item())
    local first = model:step(model:start(X:narrow(2, 1, 3)), X[{{}, 4}])
    local second = model:step(model:start(X:narrow(2, 1, 3)), X[{{}, 4}])
    assert.equal(0, (first - second):abs():max():item())
    assert.is_false(first.requires_grad)
    model:eval()
    assert.equal(0, (model(X) - model(X)):abs():max():item())
  end)

  it("trains the same with recomputed blocks", function()
    local function gradients(recompute)
      local model = tiny {recompute = recompute, resid_pdrop = 0.3}
      equi.seed(5)
      loss_of(model, X):backward()
      return model:named_parameters(), equi.rng_state()
    end
    local plain, state = gradients(false)
    local again, after = gradients(true)
    assert.same(state, after)
    for i, p in ipairs(plain) do
      oracle.near(again[i].tensor.grad, p.tensor.grad, 1e-6, p.name)
    end
  end)

  it("saves a folder that it loads, and that keeps its settings", function()
    local path = files.temporary()
    os.remove(path)
    for _, o in ipairs {{}, {bias = false, n_inner = 12, activation_function = "gelu"},
      {tie_word_embeddings = false, layer_norm_epsilon = 1e-3}} do
      local model = tiny(o):eval()
      model:save(path)
      local copy = equi.models.gpt2 {folder = path}
      assert.is_false(copy.training)
      oracle.near(copy(X), model(X), 0, "loaded")
      assert.equal(model.config.n_inner, copy.config.n_inner)
      assert.equal(model.config.layer_norm_epsilon, copy.config.layer_norm_epsilon)
      local tensors, metadata = equi.safetensors.load(path .. "/model.safetensors")
      assert.same({format = "pt"}, metadata)
      assert.same({8, 24}, tensors["transformer.h.0.attn.c_attn.weight"].shape)
      assert.equal(o.tie_word_embeddings == false, tensors["lm_head.weight"] ~= nil)
      os.remove(path .. "/model.safetensors")
      os.remove(path .. "/config.json")
    end
    os.remove(path)
  end)

  it("saves in half of the bytes", function()
    local path, model = files.temporary(), tiny():eval()
    os.remove(path)
    model:save(path, {as = "f16"})
    local f = assert(io.open(path .. "/model.safetensors"))
    assert.is_true(f:seek "end" < 2 * model:count() + 4000)
    f:close()
    oracle.near(equi.models.gpt2({folder = path})(X), model(X):detach(), 1e-3)
    os.execute("rm -r " .. path)
  end)

  it("keeps its configuration and tokenizer out of the walk", function()
    local model = tiny()
    model.tokenizer = setmetatable({tokens = {}}, {__children = false})
    assert.equal(22, #model:modules())
    assert.is_nil(tostring(model):find "config" or tostring(model):find "tokenizer")
    local copy = model:clone()
    assert.equal(8, copy.config.n_embd)
    assert.is_true(rawequal(copy.tokenizer, model.tokenizer))
  end)

  it("saves its tokenizer and reads it back when it is asked for", function()
    local path = files.temporary()
    os.remove(path)
    local text = "the man walked home. the woman walked home. "
    local tok = equi.data.bpe.train(text:rep(9), {size = 270, special = {"<|endoftext|>"}})
    local model = tiny {vocab_size = #tok}
    model.tokenizer = tok
    assert.equal(22, #model:modules())
    model:save(path)
    local copy, load = equi.models.gpt2 {folder = path}, equi.data.bpe.load
    local loads = 0
    equi.data.bpe.load = function(folder)
      loads = loads + 1
      return load(folder)
    end
    local read = copy.tokenizer
    assert.equal(0, loads)
    assert.same(tok:encode(text), read:encode(text))
    assert.same({text, #tok, tok.eot, tostring(tok)}, {read:decode(read:encode(text)), #read,
      read.eot, tostring(read)})
    assert.equal(1, loads)
    equi.data.bpe.load = load
    os.execute("rm -r " .. path)
  end)

  it("knows what a nanoGPT checkpoint says beside its tensors", function()
    local path = FOLDER .. "nanogpt.pt"
    local _, info = equi.load_weights(path)
    assert.same({model_args = {n_layer = 2, n_head = 2, n_embd = 8, bias = false, block_size = 10,
      vocab_size = WORDS, dropout = 0.25}, iter_num = 7, config = {out_dir = "out",
      wandb_log = false, learning_rate = 6e-4, always_save_checkpoint = true}}, info.settings)
    local c = equi.models.gpt2({weights = path}).config
    assert.same({"gelu", 0.25, false}, {c.activation_function, c.resid_pdrop, c.bias})
    c = equi.models.gpt2({weights = path, activation_function = "relu", resid_pdrop = 0}).config
    assert.same({"relu", 0}, {c.activation_function, c.resid_pdrop})
  end)

  it("loads weights in several files", function()
    local path, map = files.temporary(), {}
    os.remove(path)
    os.execute("mkdir " .. path)
    files.write(path .. "/config.json", files.read(FOLDER .. "plain/config.json"))
    local parts = {{}, {}}
    for name, x in pairs(equi.safetensors.load(FOLDER .. "plain/model.safetensors")) do
      local k = name:find "^h%.1" and 2 or 1
      parts[k][name], map[name] = x, ("model-%d-of-2.safetensors"):format(k)
    end
    for k, part in ipairs(parts) do
      equi.safetensors.save(("%s/model-%d-of-2.safetensors"):format(path, k), part)
    end
    local index = require("lua_equi.json").encode {weight_map = map}
    files.write(path .. "/model.safetensors.index.json", index)
    local model = equi.models.gpt2({folder = path}):to("f64")
    oracle.near(model(X):reshape(-1), vectors.plain.logits, 1e-12)
    os.execute("rm -r " .. path)
  end)

  it("copies tensors that are given in a table", function()
    local state = tiny():state_dict()
    local model = equi.models.gpt2 {weights = state, n_head = 2}
    assert.is_false(model.wte.weight:shares_storage(state["wte.weight"]))
    oracle.near(model(X), tiny():eval()(X):detach(), 0)
  end)

  it("trains from a mapped file and leaves the file as it is", function()
    local model = equi.models.gpt2 {folder = FOLDER .. "plain"}
    local before = files.read(FOLDER .. "plain/model.safetensors")
    model:train()
    local optimizer = equi.optim.adamw(model:parameters(), {lr = 0.1})
    local first = loss_of(model, X):item()
    for _ = 1, 5 do
      optimizer:zero_grad()
      loss_of(model, X):backward()
      optimizer:step()
    end
    assert.is_true(loss_of(model:eval(), X):item() < first)
    assert.equal(before, files.read(FOLDER .. "plain/model.safetensors"))
  end)
end)
