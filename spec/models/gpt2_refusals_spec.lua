-- models/gpt2.lua: configurations, files and calls that are refused, and what the message says.
local equi = require "lua_equi"
local files = require "spec.support.files"
local json = require "lua_equi.json"

local FOLDER = "spec/support/gpt2/"
local PLAIN = FOLDER .. "plain"

local function ids(list) return equi.tensor(list, {dtype = "i64"}) end

local function tiny(o)
  local all = {n_layer = 2, n_head = 2, n_embd = 8, vocab_size = 13, n_positions = 6, seed = 1}
  for k, v in pairs(o or {}) do all[k] = v end
  return equi.models.gpt2(all)
end

local function refused(message, f, ...)
  local ok, problem = pcall(f, ...)
  assert.is_false(ok, message)
  assert.matches(message, problem, 1, true)
end

describe("gpt2 refuses", function()
  local folder
  before_each(function()
    folder = files.temporary()
    os.remove(folder)
    os.execute("mkdir " .. folder)
  end)
  after_each(function() os.execute("rm -r " .. folder) end)

  local function config(changes)
    local c = assert(json.read(PLAIN .. "/config.json"))
    for k, v in pairs(changes or {}) do c[k] = v end
    files.write(folder .. "/config.json", json.encode(c))
  end

  local function weights(change)
    local state = equi.safetensors.load(PLAIN .. "/model.safetensors")
    if change then change(state) end
    equi.safetensors.save(folder .. "/model.safetensors", state)
  end

  local function open() return equi.models.gpt2 {folder = folder} end

  it("options that do not go together", function()
    refused('gpt2: no option "layers"', tiny, {layers = 3})
    refused("gpt2: n_embd = 9 does not divide into n_head = 2 heads", tiny, {n_embd = 9})
    refused("gpt2: n_layer of the options must be a whole number of at least 1, got 0", tiny,
      {n_layer = 0})
    refused('gpt2: activation_function of the options must be one of gelu, gelu_fast, gelu_new, '
      .. 'gelu_pytorch_tanh, relu, silu, swish, tanh, got "mish"', tiny,
      {activation_function = "mish"})
    refused("gpt2: embd_pdrop of the options must be a number of at least 0 and below 1, got 1.5",
      tiny, {embd_pdrop = 1.5})
    refused('gpt2: size must be one of small, medium, large, xl, got "huge"', equi.models.gpt2,
      {size = "huge"})
    refused("gpt2: give folder or weights, not both", equi.models.gpt2,
      {folder = PLAIN, weights = PLAIN})
    refused('gpt2: no weights "nothing" come with the models', equi.models.gpt2,
      {weights = "nothing"})
    refused("gpt2: weights must be a path or a table of tensors, got 3", equi.models.gpt2,
      {weights = 3})
  end)

  it("folders with something missing", function()
    refused("/config.json: No such file or directory", open)
    config()
    refused("no weights are in it; one of model.safetensors, model.safetensors.index.json, "
      .. "pytorch_model.bin, pytorch_model.bin.index.json is looked for", open)
    weights(function(state) state["h.1.ln_2.bias"] = nil end)
    refused("model.safetensors: h.1.ln_2.bias is missing", open)
    weights(function(state) state["wte.weight"] = nil end)
    refused("model.safetensors: wte.weight is missing", open)
    files.write(folder .. "/model.safetensors", "nonsense")
    refused("model.safetensors: ", open)
  end)

  it("configurations that contradict the weights", function()
    weights()
    local function with(changes, message)
      config(changes)
      refused(message, open)
    end
    local from = " of " .. folder .. "/config.json"
    with({n_layer = 3}, "there are 2 blocks, but n_layer = 3" .. from)
    with({vocab_size = 14}, ("wte.weight is 13 x 8, but vocab_size = 14%s and n_embd = 8%s make it "
      .. "14 x 8"):format(from, from))
    with({n_inner = 16}, ("h.0.mlp.c_fc.bias is 32, but n_embd = 8%s and n_inner = 16%s make it 16")
      :format(from, from))
    with({n_positions = 5}, "wpe.weight is 10 x 8, but n_positions = 5" .. from)
    with({n_embd = 4}, "h.0.attn.c_attn.bias is 24, but n_embd = 4" .. from .. " makes it 12")
    with({add_cross_attention = true}, "add_cross_attention" .. from)
    with({tie_word_embeddings = false}, "lm_head.weight is missing")
    weights(function(state) state["lm_head.weight"] = state["wte.weight"] + 1 end)
    with({}, "lm_head.weight differs from wte.weight")
    weights(function(state) state["lm_head.weight"] = state["wte.weight"]:clone() end)
    config()
    assert.is_nil(rawget(open(), "lm_head"))
    weights(function(state) state["score.weight"] = equi.zeros(2, 8) end)
    with({}, "score.weight is no parameter of GPT-2; strict = false leaves such tensors out")
    assert.equal(1944, equi.models.gpt2({folder = folder, strict = false}):count())
  end)

  it("hostile configurations", function()
    weights()
    local function text(s, message)
      files.write(folder .. "/config.json", s)
      refused(message, open)
    end
    text("[" .. ("["):rep(100), "nested deeper than 32")
    text((" "):rep(1 << 20) .. "{}", "the limit is")
    text("[1]", "it is no JSON object")
    text("{", "config.json: ")
    for _, case in ipairs {{"n_layer", 1e300}, {"n_layer", -1}, {"n_layer", 1 << 40},
      {"n_embd", "8"}, {"vocab_size", {}}, {"n_head", 0}, {"n_inner", 2.5}, {"bias", 1},
      {"attn_pdrop", "x"}, {"layer_norm_epsilon", -1}, {"activation_function", {}}} do
      config {[case[1]] = case[2]}
      refused("gpt2: " .. case[1] .. " of " .. folder .. "/config.json must be", open)
    end
    config {n_layer = 1 << 30}
    refused("there are 2 blocks, but n_layer = 1073741824", open)
    config()
    weights(function(state) state["h.99999999999.ln_1.weight"] = equi.zeros(8) end)
    refused("there are 3 blocks, but n_layer = 2", open)
    weights(function(state) state["transformer.wte.weight"] = equi.zeros(1) end)
    refused("two tensors are called wte.weight", open)
    weights(function(state) state["wte.weight"] = ids {{1}} end)
    refused("wte.weight is i64; parameters are f32 or f64", open)
  end)

  it("checkpoints that do not say what they are", function()
    refused("mingpt.pt does not say how many heads there are; give n_head", equi.models.gpt2,
      {weights = FOLDER .. "mingpt.pt"})
    refused("but n_layer = 12 of size", equi.models.gpt2,
      {weights = FOLDER .. "mingpt.pt", size = "small"})
    refused("cannot open /no/such.pt", equi.models.gpt2, {weights = "/no/such.pt"})
    refused("the table of weights: there are 0 blocks, but n_layer = 1 of the options",
      equi.models.gpt2, {weights = {}, n_head = 1, n_layer = 1})
  end)

  it("calls with what is no batch of ids", function()
    local model = tiny()
    local x = ids {{3, 4, 5}}
    local function call(message, ...) refused(message, model, ...) end
    call("in gpt2: ids must be a tensor i64 [B, T], got a table", {3})
    call("in gpt2: ids must be i64 [B, T], got f32 1 x 3", equi.zeros(1, 3))
    call("in gpt2: ids must be i64 [B, T], got i64 3", ids {1, 2, 3})
    call("in gpt2: ids are empty: a sequence begins with at least one token",
      equi.zeros(1, 0, {dtype = "i64"}))
    call("in gpt2: 7 tokens do not fit into n_positions = 6; give the last of them",
      ids {{1, 2, 3, 4, 5, 6, 7}})
    call("in gpt2: id 14 is outside 1 to 13, the vocabulary", ids {{14, 1}})
    call("in gpt2: id 0 is outside 1 to 13", ids {{1, 0}})
    call("in gpt2: mask must be bool 1 x 3, true for real tokens, got a tensor f32 1 x 3", x,
      {mask = equi.ones(1, 3)})
    call("in gpt2: mask must be bool 1 x 3, true for real tokens, got a tensor bool 1 x 2", x,
      {mask = equi.ones(1, 2):to("bool")})
    call("in gpt2: mask must be bool 1 x 3, true for real tokens, got a tensor bool 2 x 3", x,
      {mask = equi.ones(2, 3):to("bool")})
    call('gpt2: no option "masks"', x, {masks = 1})
  end)

  it("steps that cannot be taken", function()
    local model = tiny()
    local x = ids {{3, 4, 5, 6}}
    refused("start: 7 tokens do not fit into n_positions = 6", model.start, model,
      ids {{1, 2, 3, 4, 5, 6, 7}})
    refused("start: capacity is 7, n_positions only 6", model.start, model, x, {capacity = 7})
    refused("step: state must be from start or step, got nothing", model.step, model)
    local old = model:start(x)
    refused("step: token must be i64 [1], got a tensor i64 2", model.step, model, old, ids {1, 2})
    refused("step: id 14 is outside 1 to 13", model.step, model, old, ids {14})
    local _, state = model:step(old, ids {7})
    refused("step: this state was used up by another step", model.step, model, old, ids {7})
    _, state = model:step(state, ids {7})
    assert.equal(0, state.left)
    refused("step: 1 token behind 6 does not fit into n_positions = 6; start again with the last",
      model.step, model, state, ids {7})
  end)
end)
