-- models/seq2seq.lua: against PyTorch, against itself (steps, batches), and a published checkpoint.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local vectors = require "spec.support.seq2seq_vectors"
local data = equi.data

local CELLS = {"rnn", "gru", "lstm"}
local GATES = {rnn = 1, gru = 3, lstm = 4}

local function ids(list) return equi.tensor(list, {dtype = "i64"}) end

local function small(cell, opts)
  local o = {cell = cell, input_words = 6, output_words = 5, hidden = 3, embedding = 4}
  for k, v in pairs(opts or {}) do o[k] = v end
  return equi.models.seq2seq(o):to("f64")
end

-- Weights as make_seq2seq_vectors.py fills them.
local function fill(model)
  local names, state = {}, model:state_dict()
  for name in pairs(state) do names[#names + 1] = name end
  table.sort(names)
  for k, name in ipairs(names) do
    local values = {}
    for i = 1, state[name]:numel() do values[i] = 0.6 * math.sin(1.7 * i + k) end
    state[name]:copy_(equi.tensor(values, {dtype = "f64"}):reshape(state[name].shape))
  end
  return model
end

local COMMANDS = {{3, 5, 4, 6, 2}, {4, 2}, {6, 6, 3, 2}}

describe("seq2seq", function()
  before_each(function() equi.seed(1) end)

  it("has PyTorch's parameter count at the paper's sizes", function()
    for _, cell in ipairs(CELLS) do
      local model = equi.models.seq2seq {cell = cell}
      local g, E, H, D, vin, vout = GATES[cell], 64, 64, 128, 15, 8
      local recurrent = 2 * g * (H * E + H * H + 2 * H) + g * (D * D + D * D + 2 * D)
      local rest = vin * E + vout * D + (2 * D * D + D) + (D * vout + vout)
      assert.equal(recurrent + rest, model:count())
      assert.equal(vectors[cell].count, model:count())
    end
  end)

  it("computes what PyTorch computes, gradients included", function()
    for _, cell in ipairs(CELLS) do
      local want, model = vectors[cell], fill(small(cell, {dropout = 0}))
      local x, y = ids {vectors.command}, ids {vectors.targets}
      local logp = model(x, y, nil, {teacher = true})
      oracle.near(logp:reshape(-1), want.logp, 1e-9, cell)
      local loss = equi.sequence_nll(logp, y)
      oracle.near(loss, want.loss, 1e-9, cell)
      loss:backward()
      local n = 0
      for _, p in ipairs(model:named_parameters()) do
        local g = p.tensor.grad:reshape(-1)
        local wave = {}
        for i = 1, g:numel() do wave[i] = math.sin(i) end
        local weighted = (g * equi.tensor(wave, {dtype = "f64"})):sum():item()
        oracle.near({g:sum():item(), weighted}, want.gradients[p.name], 1e-9, cell .. " " .. p.name)
        n = n + 1
      end
      for _ in pairs(want.gradients) do n = n - 1 end
      assert.equal(0, n)
      assert.same({want.answer}, model:greedy(x, nil, {steps = #want.answer}):totable())
    end
  end)

  it("steps to the same log-probabilities as a whole call", function()
    for _, cell in ipairs(CELLS) do
      local model = small(cell):eval()
      local batch = data.sequences.batch {{COMMANDS[1]}, {COMMANDS[2]}, {COMMANDS[3]}}
      local logp, tokens = model(batch.x, nil, batch.lengths, {steps = 6})
      local state, token = model:start(batch.x, batch.lengths), ids {1, 1, 1}
      for t = 1, 6 do
        local one
        one, state = model:step(state, token)
        oracle.near(one, logp[{{}, t}], 1e-14, cell)
        token = one:argmax(-1)
        assert.same(tokens[{{}, t}]:totable(), token:totable())
      end
    end
  end)

  it("leaves the state of a step as it was", function()
    local model = small "lstm":eval()
    local state = model:start(ids {COMMANDS[1]})
    local first = model:step(state, ids {1})
    model:step(state, ids {3})
    oracle.near(model:step(state, ids {1}), first, 0)
  end)

  it("feeds the targets only when it is taught", function()
    local model = small "gru":eval()
    local x = ids {COMMANDS[1]}
    local a, b = ids {{3, 4, 5, 2}}, ids {{5, 5, 3, 2}}
    local taught, otherwise = model(x, a, nil, {teacher = true}), model(x, b, nil, {teacher = true})
    oracle.near(taught[{1, 1}], otherwise[{1, 1}], 0)
    assert.is_true((taught - otherwise):abs():max():item() > 1e-4)
    oracle.near(model(x, a), model(x, b), 0)
    local own, tokens = model(x, nil, nil, {steps = 4})
    oracle.near(model(x, tokens, nil, {teacher = true}), own, 1e-14)
  end)

  it("answers a padded batch as it answers row by row", function()
    for _, cell in ipairs(CELLS) do
      for _, layers in ipairs {1, 2} do
        local model = small(cell, {layers = layers, bidirectional = layers == 1}):eval()
        local batch = data.sequences.batch {{COMMANDS[1]}, {COMMANDS[2]}, {COMMANDS[3]}}
        local logp = model(batch.x, nil, batch.lengths, {steps = 5, stop = true})
        for i, command in ipairs(COMMANDS) do
          local alone = model(ids {command}, nil, nil, {steps = 5, stop = true})
          oracle.near(logp[{{i, i}}], alone, 1e-12, cell)
        end
      end
    end
  end)

  it("gives every parameter a gradient", function()
    for _, cell in ipairs(CELLS) do
      local model = small(cell, {bidirectional = cell ~= "gru", layers = cell == "rnn" and 2 or 1})
      local logp = model(ids {COMMANDS[1], COMMANDS[1]}, ids {{3, 4, 5, 2}, {4, 4, 2, 0}}, nil,
                         {teacher = true})
      equi.sequence_nll(logp, ids {{3, 4, 5, 2}, {4, 4, 2, 0}}):backward()
      for _, p in ipairs(model:named_parameters()) do
        assert.is_true(p.tensor.grad and p.tensor.grad:abs():sum():item() > 0, p.name)
      end
    end
  end)

  it("counts exact answers in evaluation mode and leaves the mode alone", function()
    local model = small("rnn", {dropout = 0.5})
    model.encoder:eval()
    local list = {}
    for i, command in ipairs(COMMANDS) do
      local said = model:greedy(ids {command}, nil, {steps = 4}):totable()[1]
      list[i] = {command, i == 2 and {4, 4, 4, 4, 4, 4, 2} or said}
    end
    local batch = data.sequences.batch(list)
    assert.same({2, 3}, {model:exact_match(batch, {steps = 4})})
    assert.same({2, 3}, {model:exact_match({batch}, {steps = 4})})
    local mode
    local watched = equi.nn.class("watched", {
      new = function(self) self.inner = model end,
      forward = function(self, ...)
        mode = self.inner.decoder.training
        return self.inner(...)
      end,
    })()
    assert.same({2, 3}, {equi.models.seq2seq.exact_match(watched, batch, {steps = 4})})
    assert.is_false(mode)
    assert.is_true(model.training and model.decoder.training)
    assert.is_false(model.encoder.training)
    assert.is_false(pcall(model.greedy, model, ids {{99}}))
    assert.is_true(model.decoder.training)
    model:eval()
    local function called_alike(...) return (model(...)) end -- without tokens, as equituned ones
    assert.same({2, 3}, {equi.models.seq2seq.exact_match(called_alike, batch, {steps = 4})})
  end)

  it("says what does not fit", function()
    for _, case in ipairs {
      {{cell = "gated"}, 'cell must be one of rnn, gru, lstm, got "gated"'},
      {{cell = "ltsm"}, 'got "ltsm"; did you mean "lstm"?'},
      {{hidden = 0}, "hidden must be a whole number of at least 1, got 0"},
      {{embedding = 1.5}, "embedding must be a whole number of at least 1, got 1.5"},
      {{layers = 0}, "layers must be a whole number of at least 1, got 0"},
      {{output_words = 1}, "output_words must be a whole number of at least 2, got 1"},
      {{dropout = 1}, "dropout must be a number of at least 0 and below 1, got 1"},
    } do
      oracle.raises(case[2], equi.models.seq2seq, case[1])
    end
    oracle.raises('no option "hiden"', equi.models.seq2seq, {hiden = 3})
    local ok, message = pcall(function()
      local model = equi.models.seq2seq {cell = "gated"}
      return model
    end)
    assert.is_false(ok)
    assert.matches("seq2seq_spec.lua:%d+: seq2seq: cell", message)
  end)
end)

describe("a published SCAN model", function()
  local folder, official = "../shared/data/scan-rnn/", "../shared/data/scan/simple_split/"

  local function read()
    local weights = equi.safetensors.read(folder .. "best_validation.safetensors")
    local list = data.scan.read(official .. "tasks_test_simple.txt.gz")
    local words_in, words_out = data.vocabulary.read(folder .. "vocabulary.json")
    if not (weights and list and words_in) then return {} end
    local model = equi.models.seq2seq {cell = "rnn"}:eval()
    local problems = model:load_state_dict(weights, {strict = false})
    local pairs_of_ids = {}
    for i, pair in ipairs(list) do
      pairs_of_ids[i] = {words_in:encode(pair.input), words_out:encode(pair.output)}
    end
    return {model, pairs_of_ids, problems}
  end

  -- The model, the test's pairs of ids and what did not fit; read once, nil when data are absent.
  local kept
  local function published()
    kept = kept or read()
    return table.unpack(kept, 1, 3)
  end

  it("loads by name, three unused entries apart", function()
    local model, _, problems = published()
    if not model then
      return pending "entries of the checkpoint: ../shared/data/scan-rnn is absent"
    end
    assert.same({"unexpected decoder.attn.bias", "unexpected decoder.attn.weight",
      "unexpected encoder.semantic_embedding.weight"}, problems)
  end)

  it("gives its reference log-probabilities", function()
    local model, list = published()
    local want = equi.safetensors.read(folder .. "reference_logprobs.safetensors")
    if not (model and want) then
      return pending "log-probabilities of the model: ../shared/data/scan-rnn is absent"
    end
    local first = table.move(list, 1, 8, 1, {})
    local batch = data.sequences.batch(first)
    local logp = equi.no_grad(function()
      return (model(batch.x, nil, batch.lengths, {steps = 50, stop = true}))
    end)
    for k = 1, 8 do
      local expected = want["logprob_" .. k - 1]
      local steps = expected:size(1)
      oracle.near(logp[{k, {1, steps}}], expected, 1e-4, "command " .. k)
      oracle.near(logp[{k, {steps + 1, 50}}], equi.zeros(50 - steps, 8), 0)
    end
  end)

  it("answers 37.02 % of the simple split's test commands", function()
    local model, list = published()
    if not model then return pending "accuracy of the model: ../shared/data/scan-rnn is absent" end
    local right, n = model:exact_match(data.sequences.batches(list))
    assert.equal(4182, n)
    assert.equal("37.02", ("%.2f"):format(100 * right / n))
  end)
end)
