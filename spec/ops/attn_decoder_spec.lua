-- attn_decoder and sequence_nll: against a naive decoder, central differences, and the
-- log-probabilities of a published checkpoint.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local naive = require "spec.support.naive_rnn"
local has_json, json = pcall(require, "lua_equi.json")

local CELLS = {"lstm", "gru", "rnn", "rnn_relu"}
local GATES = {lstm = 4, gru = 3, rnn = 1, rnn_relu = 1}
local ORDER = {"enc", "h0", "c0", "emb", "wc", "bc", "w_ih", "w_hh", "b_ih", "b_hh", "wo", "bo"}

local function weights(cell, B, places, opts)
  local o = opts or {}
  local G, H, E, X, V = GATES[cell], o.H or 4, o.E or 3, o.X or 5, o.V or 4
  local size = {
    enc = {B, places, H}, h0 = {B, H}, c0 = {B, H}, emb = {V, E}, wc = {X, E + H}, bc = {X},
    w_ih = {G * H, X}, w_hh = {G * H, H}, b_ih = {G * H}, b_hh = {G * H}, wo = {V, H}, bo = {V},
  }
  if cell ~= "lstm" then size.c0 = nil end
  local p = {}
  for i, name in ipairs(ORDER) do
    if size[name] then
      p[name] = oracle.data(size[name], {low = -1, high = 1, seed = i + 3 * #cell, dtype = o.dtype})
    end
  end
  return p
end

local function decode(p, o)
  local opts = {}
  for k, v in pairs(o) do opts[k] = v end
  for _, name in ipairs {"targets", "lengths", "start"} do
    if o[name] then opts[name] = equi.tensor(o[name], {dtype = "i64"}) end
  end
  return equi.attn_decoder(p.enc, p.h0, p.c0, p.emb, p.wc, p.bc, p.w_ih, p.w_hh, p.b_ih, p.b_hh,
                           p.wo, p.bo, opts.lengths, opts.targets, opts.start, {
    cell = opts.cell, steps = opts.steps, sos = opts.sos, eos = opts.eos, teacher = opts.teacher,
    stop = opts.stop, p = opts.p, training = opts.training,
  })
end

local TARGETS = {{3, 4, 1, 2, 3}, {4, 2, 3, 3, 1}, {2, 1, 1, 4, 4}}

local function each_setting(f)
  for _, cell in ipairs(CELLS) do
    for _, teacher in ipairs {true, false} do
      for _, stop in ipairs {true, false} do
        f(cell, {cell = cell, steps = 5, teacher = teacher, stop = stop, targets = TARGETS,
                 lengths = {3, 1, 2}, eos = 4})
      end
    end
  end
end

describe("attn_decoder", function()
  it("agrees with a naive decoder", function()
    each_setting(function(cell, o)
      local p, tables = weights(cell, 3, 3), {}
      for name, x in pairs(p) do tables[name] = x:totable() end
      local logp, tokens, h_n, c_n = naive.decoder(tables, o)
      local function compare(got, got_tokens, h, c)
        local what = ("%s teacher %s stop %s"):format(cell, o.teacher, o.stop)
        oracle.near(got, logp, 1e-12, what)
        oracle.near(got_tokens, tokens, 0, what)
        oracle.near(h, h_n, 1e-12, what)
        if c_n then oracle.near(c, c_n, 1e-12, what) else assert.same({0, 4}, {c:size()}) end
      end
      compare(decode(p, o))
      equi.no_grad(function() compare(decode(p, o)) end)
    end)
  end)

  it("has the gradients of its values, with dropout too", function()
    each_setting(function(cell, o)
      local p, list, names = weights(cell, 3, 3), {}, {}
      for _, name in ipairs(ORDER) do
        if p[name] then list[#list + 1], names[#names + 1] = p[name], name end
      end
      if o.stop == o.teacher then o.p, o.training = 0.4, true end
      oracle.gradcheck(function(...)
        local q, values = {}, {...}
        for i, name in ipairs(names) do q[name] = values[i] end
        equi.seed(5)
        local logp, _, h, c = decode(q, o)
        return logp, h, c
      end, list, {h = 1e-5, tol = 1e-6}) -- a step that crosses no kink of relu and flips no argmax
    end)
  end)

  it("steps one token at a time to the same result", function()
    local p = weights("lstm", 2, 3)
    local logp, tokens, h, c = decode(p, {steps = 4})
    local last, first = {h0 = p.h0, c0 = p.c0}, {1, 1}
    for s = 1, 4 do
      local q = setmetatable(last, {__index = p})
      local one, said, h1, c1 = decode(q, {steps = 1, start = first})
      oracle.near(one:reshape(2, 4), logp[{{}, s}], 0)
      oracle.near(said:reshape(2), tokens[{{}, s}], 0)
      last, first = {h0 = h1, c0 = c1}, said:reshape(2):totable()
    end
    oracle.near(last.h0, h, 0)
    oracle.near(last.c0, c, 0)
  end)

  it("drops only in training, by the seed, and leaves the mean", function()
    local p = weights("gru", 1, 3, {E = 64, dtype = "f32"})
    local function run(rate, training)
      equi.seed(11)
      return (decode(p, {cell = "gru", steps = 3, p = rate, training = training}))
    end
    oracle.near(run(0.5, false), run(0, true), 0)
    oracle.near(run(0.5, true), run(0.5, true), 0)
    assert.is_true((run(0.5, true) - run(0, true)):abs():sum():item() > 1e-3)
  end)

  it("does not depend on threads, company in the batch or recording", function()
    for _, cell in ipairs(CELLS) do
      local p = weights(cell, 70, 6, {H = 40, E = 20, X = 50, V = 9})
      local o = {cell = cell, steps = 12, stop = true, p = 0.1, training = true}
      for _, x in pairs(p) do x:requires_grad_() end
      oracle.both_threads(function()
        equi.seed(2)
        for _, x in pairs(p) do x.grad = nil end
        local logp, tokens, h = decode(p, o)
        local loss = (logp * logp):sum() + h:sum()
        loss:backward()
        local results = {logp:detach(), tokens, h:detach()}
        for _, name in ipairs(ORDER) do
          if p[name] then results[#results + 1] = p[name].grad end
        end
        return table.unpack(results)
      end)
      equi.no_grad(function()
        o.training = false
        local logp, tokens = decode(p, o)
        local one = setmetatable({enc = p.enc[{{70, 70}}], h0 = p.h0[{{70, 70}}],
                                  c0 = p.c0 and p.c0[{{70, 70}}]}, {__index = p})
        local alone, said = decode(one, o)
        oracle.near(alone, logp[{{70, 70}}], 1e-12)
        oracle.near(said, tokens[{{70, 70}}], 0)
      end)
    end
  end)

  it("takes strided inputs and batches without rows or steps", function()
    local p = weights("lstm", 3, 3)
    local want = decode(p, {steps = 3})
    local turned = setmetatable({enc = p.enc:transpose(1, 2):clone():transpose(1, 2),
                                 w_hh = p.w_hh:transpose(1, 2):clone():transpose(1, 2)},
                                {__index = p})
    oracle.near(decode(turned, {steps = 3}), want, 0)
    local logp, tokens, h = decode(p, {steps = 0})
    assert.same({3, 0, 4}, {logp:size()})
    assert.same({3, 0}, {tokens:size()})
    oracle.near(h, p.h0, 0)
    assert.same({0, 2, 4}, {decode(weights("lstm", 0, 3), {steps = 2}):size()})
  end)

  it("says what does not fit", function()
    local p = weights("lstm", 2, 3)
    local function refuses(part, changed, opts)
      oracle.raises(part, decode, setmetatable(changed, {__index = p}), opts or {steps = 2})
    end
    refuses("enc is 2 x 3; it must have 3 dimensions", {enc = equi.ones({2, 3}, {dtype = "f64"})})
    refuses("wc is 5 x 6; it must be 5 x 7", {wc = equi.ones({5, 6}, {dtype = "f64"})})
    refuses("w_hh is 12 x 4; it must be 16 x 4", {w_hh = equi.ones({12, 4}, {dtype = "f64"})})
    local plain = weights("rnn", 2, 3)
    plain.c0 = p.c0
    refuses("only an lstm cell has a c0", plain, {steps = 2, cell = "rnn"})
    refuses("teacher = true needs targets", {}, {teacher = true})
    refuses("targets has 2 columns for 3 steps", {}, {steps = 3, targets = {{1, 2}, {1, 2}}})
    refuses("targets holds 9; it must be from 0 to 4", {}, {steps = 2, targets = {{1, 2}, {9, 2}}})
    refuses("start holds 0; it must be from 1 to 4", {}, {steps = 2, start = {1, 0}})
    refuses("lengths holds 4; it must be from 0 to 3", {}, {steps = 2, lengths = {4, 1}})
    refuses("eos is 5; the vocabulary has 4 entries", {}, {steps = 2, eos = 5})
    refuses("p is 1; it must be at least 0 and below 1", {}, {steps = 2, p = 1})
  end)
end)

describe("sequence_nll", function()
  local targets = equi.tensor({{3, 4, 2, 1}, {4, 3, 3, 2}, {1, 2, 0, 0}}, {dtype = "i64"})
  local tokens = equi.tensor({{3, 2, 2, 2}, {4, 4, 4, 4}, {2, 2, 2, 2}}, {dtype = "i64"})

  it("sums the targets up to where the model ends", function()
    local logp = oracle.data(3, 4, 4)
    local v = logp:totable()
    local function sum(b, n)
      local s = 0
      for i = 1, n do s = s - v[b][i][targets[{b, i}]:item()] end
      return s
    end
    local function each(...) return equi.sequence_nll(logp, targets, ...) end
    oracle.near(each({reduction = "none"}), {sum(1, 4), sum(2, 4), sum(3, 2)}, 1e-12)
    oracle.near(each(tokens, {reduction = "none"}), {sum(1, 2), sum(2, 4), sum(3, 1)}, 1e-12)
    local lengths = equi.tensor({1, 3, 2}, {dtype = "i64"})
    oracle.near(each(tokens, lengths), sum(1, 1) + sum(2, 3) + sum(3, 1), 1e-12)
    oracle.near(each(tokens, nil, {eos = 4, reduction = "none"}),
                {sum(1, 4), sum(2, 1), sum(3, 2)}, 1e-12)
  end)

  it("has the gradients of its values", function()
    for _, reduction in ipairs {"sum", "none"} do
      oracle.gradcheck(function(x)
        return equi.sequence_nll(x, targets, tokens, {reduction = reduction}):reshape(-1)
      end, {oracle.data(3, 4, 4)})
    end
  end)

  it("says what does not fit", function()
    local logp = equi.zeros(3, 4, 3)
    oracle.raises("logp is 4 x 3; it must have 3", equi.sequence_nll, logp[1], targets)
    oracle.raises("targets[{1, 2}] is 4; the vocabulary has 3", equi.sequence_nll, logp, targets)
    oracle.raises("targets is 4; for logp of 3 x 4 x 3 it must be 3 x 4", equi.sequence_nll, logp,
                  targets[1])
    oracle.raises("lengths[1] is 5; there are 4 steps", equi.sequence_nll, equi.zeros(3, 4, 4),
                  targets, nil, equi.tensor({5, 1, 1}, {dtype = "i64"}))
  end)
end)

describe("a published SCAN model", function()
  local folder = "../shared/data/scan-rnn/"

  local function read(name)
    local file = io.open(folder .. name, "rb")
    if not file then return nil end
    local bytes = file:read "a"
    file:close()
    return bytes
  end

  -- The f32 tensors of a safetensors file.
  local function tensors(bytes)
    local n, list = string.unpack("<I8", bytes), {}
    for name, entry in pairs(json.decode(bytes:sub(9, 8 + n))) do
      if name ~= "__metadata__" then
        local from, to = entry.data_offsets[1], entry.data_offsets[2]
        local values = {}
        for at = from, to - 4, 4 do
          values[#values + 1] = string.unpack("<f", bytes, 9 + n + at)
        end
        list[name] = equi.tensor(values):reshape(table.unpack(entry.shape))
      end
    end
    return list
  end

  it("gets its reference log-probabilities", function()
    local model = read "best_validation.safetensors"
    local reference = read "reference_logprobs.safetensors"
    if not (model and reference and has_json) then
      pending("log-probabilities of the checkpoint: ../shared/data/scan-rnn is absent")
      return
    end
    local w, want = tensors(model), tensors(reference)
    local place = {}
    for i, word in ipairs(json.decode(read "vocabulary.json").input) do place[word] = i end
    local commands = {
      "turn opposite right thrice and turn opposite left", "run right twice after walk right twice",
      "look around right twice and turn left thrice",
      "jump around left thrice and run right thrice", "run thrice and walk opposite left",
      "jump opposite right after walk around right thrice",
      "look around left after jump around left twice",
      "look opposite right twice and jump opposite left twice",
    }
    for k, command in ipairs(commands) do
      local ids = {}
      for word in command:gmatch "%S+" do ids[#ids + 1] = place[word] end
      ids[#ids + 1] = place.EOS
      local x = {}
      for i, id in ipairs(ids) do x[i] = w["encoder.embedding.weight"][id]:totable() end
      x = equi.tensor({x})
      local y, h = {}, {}
      for i, side in ipairs {"", "_reverse"} do
        local function of(name) return w["encoder.rnn." .. name .. "_l0" .. side] end
        y[i], h[i] = equi.rnn(x, nil, of "weight_ih", of "weight_hh", of "bias_ih", of "bias_hh",
                              nil, {reverse = i == 2})
      end
      local enc, h0 = equi.zeros(1, #ids, 128), equi.zeros(1, 128)
      for i = 1, 2 do
        enc[{{}, {}, {64 * i - 63, 64 * i}}] = y[i]
        h0[{{}, {64 * i - 63, 64 * i}}] = h[i]
      end
      local function of(name) return w["decoder." .. name] end
      local got = decode({
        enc = enc, h0 = h0, emb = of "embedding.weight", wc = of "attn_combine.weight",
        bc = of "attn_combine.bias", w_ih = of "rnn.weight_ih_l0", w_hh = of "rnn.weight_hh_l0",
        b_ih = of "rnn.bias_ih_l0", b_hh = of "rnn.bias_hh_l0", wo = of "out.weight",
        bo = of "out.bias",
      }, {cell = "rnn", steps = 50, stop = true})
      local expected = want["logprob_" .. k - 1]
      local steps = expected:size(1)
      oracle.near(got[{1, {1, steps}}], expected, 1e-4, command)
      oracle.near(got[{1, {steps + 1, 50}}], equi.zeros(50 - steps, 8), 0)
    end
  end)
end)
