-- One token through all blocks in one op against the same blocks op by op; and equi.compress, whose
-- models step the same way.
local equi = require "lua_equi"
local core = require "lua_equi.core"

local function off(a, b) return (a - b):abs():max():item() end

local function model(fields)
  local o = {n_layer = 3, n_head = 4, n_embd = 128, vocab_size = 101, n_positions = 64, seed = 1,
    initializer_range = 0.2}
  for k, v in pairs(fields or {}) do o[k] = v end
  return equi.models.gpt2(o):eval()
end

-- False at the left, another number of places in every row.
local function padding(b, t)
  local mask = equi.ones(b, t)
  for r = 2, b do mask[{r, {1, math.min(r, t - 1)}}] = 0 end
  return mask:to "bool"
end

-- Logits of tokens 6 .. T, step by step; fused or op by op.
local function steps(m, ids, mask, fused)
  local t = ids:size(2)
  local state = m:start(ids:narrow(2, 1, 5), {mask = mask and mask:narrow(2, 1, 5), capacity = 7})
  if not fused then state.fused = false end
  local all = {}
  for i = 6, t do
    all[#all + 1], state = m:step(state, ids:narrow(2, i, 1):reshape(-1))
  end
  assert.equal(fused, state.fused and true or false)
  return equi.stack(all, 2)
end

describe("transformer_step", function()
  local threads = equi.threads()
  before_each(function()
    equi.seed(6)
    equi.threads(1)
  end)
  after_each(function()
    core.use_kernels(nil)
    equi.threads(threads)
  end)

  local kinds = {["as GPT-2"] = {}, ["without biases"] = {bias = false},
    ["with another head"] = {tie_word_embeddings = false, activation_function = "gelu"},
    ["with falling scales"] = {scale_attn_by_inverse_layer_idx = true,
      activation_function = "silu"},
    ["with relu"] = {activation_function = "relu", n_inner = 40},
    ["with tanh"] = {activation_function = "tanh", layer_norm_epsilon = 0.1}}
  for name, fields in pairs(kinds) do
    it("computes what blocks compute, " .. name, function()
      local m = model(fields)
      for _, b in ipairs {1, 2, 8} do
        local ids = equi.randint(1, 101, {b, 12})
        for _, mask in ipairs {false, padding(b, 5)} do
          mask = mask or nil
          local blocks = steps(m, ids, mask, false)
          assert.is_true(off(steps(m, ids, mask, true), blocks) < 2e-5 * blocks:abs():max():item())
          local small = equi.compress(m, "int8")
          blocks = steps(small, ids, mask, false)
          assert.is_true(off(steps(small, ids, mask, true), blocks) < 2e-5 *
            blocks:abs():max():item())
        end
      end
    end)
  end

  it("gives the logits of the whole sequence", function()
    local m = model()
    local ids = equi.randint(1, 101, {2, 12})
    local whole = equi.no_grad(m, ids)
    assert.is_true(off(steps(m, ids, nil, true), whole:narrow(2, 6, 7)) < 1e-4)
  end)

  it("does not depend on instruction sets, nor bit for bit on threads and other rows", function()
    local m, ids = model(), equi.randint(1, 101, {5, 12})
    local expected = steps(m, ids, nil, true)
    for _, set in ipairs(core.use_kernels()) do
      core.use_kernels(set)
      for _, way in ipairs {m, equi.compress(m, "bf16")} do
        equi.threads(1)
        local one = steps(way, ids, nil, true)
        assert.is_true(off(one, expected) < (way == m and 1e-4 or 0.3))
        equi.threads(2)
        assert.equal(0, off(one, steps(way, ids, nil, true)))
        local token, none = ids:narrow(2, 1, 1):reshape(-1), ids:narrow(2, 1, 0)
        local all = way:step(way:start(none), token)
        local alone = way:step(way:start(none:narrow(1, 4, 1)), token:narrow(1, 4, 1))
        assert.equal(0, off(all:narrow(1, 4, 1), alone))
      end
    end
  end)

  it("leaves adapted layers and large batches to the blocks", function()
    local m = model()
    local state = m:start(equi.randint(1, 101, {9, 0}))
    local _, after = m:step(state, equi.randint(1, 101, {9}))
    assert.is_false(after.fused)
    m.h[2].mlp = equi.nn.sequential(equi.nn.identity())
    state = m:start(equi.randint(1, 101, {2, 0}))
    _, after = m:step(state, equi.randint(1, 101, {2}))
    assert.is_false(after.fused)
  end)

  it("steps an orbit as one batch", function()
    local m = model()
    local function action(what)
      return equi.action.vocabulary(equi.group.cyclic(2), {size = 101, swaps = {{3, 4}, {7, 9}},
        what = what})
    end
    local fair = equi.equitune(m, {input = action "ids", output = action "logits"})
    local ids = equi.tensor({{3, 5, 9, 4}}, {dtype = "i64"})
    local state = fair:start(ids:narrow(2, 1, 3))
    local logits = fair:step(state, ids:narrow(2, 4, 1):reshape(-1))
    local whole = equi.no_grad(fair, ids)
    assert.is_true(off(logits, whole:narrow(2, 4, 1):reshape(1, -1)) < 1e-4)
  end)

  it("refuses sizes that do not fit, before it writes", function()
    local k = equi.zeros(1, 2, 4, 2)
    assert.error_matches(function()
      equi.transformer_step(equi.ones(1, 4), {equi.zeros(0)}, {k}, {k}, {length = 0, heads = 2})
    end, "1 weights, 1 keys and 1 values; each block has 16 weights, the end 4")
    assert.error_matches(function()
      equi.transformer_step(equi.ones(9, 4), {}, {}, {}, {length = 0, heads = 2})
    end, "x must be f32 of 1 to 8 rows, it is f32 9 x 4")
  end)
end)

describe("compress", function()
  it("makes a model of nearly the same results, and leaves the one given alone", function()
    local m = model()
    local ids = equi.randint(1, 101, {3, 12})
    local before = equi.no_grad(m, ids)
    for as, most in pairs {bf16 = 0.02, int8 = 0.05} do
      local y = equi.no_grad(equi.compress(m, as), ids)
      assert.is_true(off(y, before) < most * before:abs():max():item(), as)
    end
    assert.equal(0, off(before, equi.no_grad(m, ids)))
  end)

  it("takes single layers, sequences and equituned models", function()
    local nn, x = equi.nn, equi.randn(4, 6, 32)
    local net = nn.sequential(nn.linear(32, 16), equi.relu, nn.linear(16, 5, {bias = false}))
    local small = equi.compress(net)
    assert.is_true(off(small(x), net(x):detach()) < 0.05)
    assert.matches("compressed_linear%(32, 16, bf16%)", tostring(small))
    assert.equal(0, small:count())
    assert.is_true(off(equi.compress(net[1])(x), net[1](x):detach()) < 0.05)
    local fair = equi.equitune(net, {input = equi.action.trivial(equi.group.cyclic(2))})
    assert.is_true(off(equi.compress(fair)(x), fair(x):detach()) < 0.05)
  end)

  it("says what it cannot take", function()
    assert.error_matches(function() equi.compress(equi.ones(2)) end, "the model must be a module")
    assert.error_matches(function() equi.compress(equi.nn.linear(2, 2), "int4") end,
      'as must be one of bf16, int8')
    assert.error_matches(function() equi.compress(equi.nn.linear(2, 2):to "f64") end,
      "weight is f64; only f32 can be kept as bf16")
  end)
end)
