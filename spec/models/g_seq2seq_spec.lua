-- models/g_seq2seq.lua: exactly equivariant for every weight, group convolutions as defined, and
-- the plain model when the group is trivial.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local scan, sequences = equi.data.scan, equi.data.sequences

local CELLS = {"rnn", "gru", "lstm"}
local COMMANDS = {"jump around left twice and walk right thrice", "look", "turn opposite right",
  "run twice after jump left"}
-- No element but the identity of any group here leaves one of these alone: for others (turn right,
-- under renamings of verbs) words are tied, and the one that is fed decides.
local DISTINCT = {"walk left twice and run right thrice", "run around right after walk left",
  "look left and run thrice", "walk right after run opposite right"}
local words_in, words_out = scan.vocabularies()

local function ids(list) return equi.tensor(list, {dtype = "i64"}) end

-- The group that renamings of SCAN generate, with its actions, as scripts/scan.lua makes them.
local function symmetry(renamings)
  local input, output, joint = {}, {}, {}
  for i, r in ipairs(renamings) do
    input[i], output[i] = words_in:permutation(r.input), words_out:permutation(r.output)
    joint[i] = table.move(input[i], 1, #input[i], 1, {})
    for _, id in ipairs(output[i]) do joint[i][#joint[i] + 1] = #words_in + id end
  end
  local group = equi.group.from_permutations(joint)
  local function act(maps, what)
    return equi.action.vocabulary(group, {size = #maps[1], generators = maps, what = what})
  end
  return {group = group, input = act(input, "ids"), output = act(output, "ids"),
          logits = act(output, "logits")}
end

local GROUPS = {
  {name = "order 2", order = 2, generators = scan.symmetries.jump_run.generators},
  {name = "cyclic 4", order = 4, generators = scan.symmetries.verb_cycle.generators},
  {name = "cyclic 4 x left, right", order = 8,
   generators = scan.symmetries.verb_cycle_left_right.generators},
  {name = "all permutations of three verbs", order = 6,
   generators = {scan.swap("walk", "look"), scan.rename {walk = "look", look = "run",
                                                         run = "walk"}}},
}

local function build(s, cell, opts)
  local o = {group = s.group, input = s.input, output = s.output, cell = cell, hidden = 5,
             embedding = 4}
  for k, v in pairs(opts or {}) do o[k] = v end
  return equi.models.g_seq2seq(o)
end

local function batch(commands)
  local list = {}
  for i, c in ipairs(commands or COMMANDS) do list[i] = {words_in:encode(c)} end
  return sequences.batch(list)
end

-- The largest difference of f(g x) and g f(x), relative to the largest log-probability; with some
-- targets fed (moved too) for any command, and with the model's own words for distinct ones.
local function deviation(model, s)
  local worst, any, distinct = 0, batch(), batch(DISTINCT)
  local targets = ids {{3, 4, 5, 6}, {7, 8, 3, 3}, {8, 8, 5, 4}, {6, 5, 4, 2}}
  local function compare(b, y, opts)
    local plain = (model(b.x, y, b.lengths, opts))
    for g in s.group:iter() do
      local moved = (model(s.input(g, b.x), y and s.output(g, y), b.lengths, opts))
      local off = (moved - s.logits(g, plain)):abs():max() / plain:abs():max()
      worst = math.max(worst, off:item())
    end
  end
  equi.no_grad(function()
    compare(any, targets, {teacher = true})
    compare(distinct, nil, {steps = 8})
  end)
  return worst
end

describe("g_seq2seq", function()
  before_each(function() equi.seed(1) end)

  it("is equivariant for every weight", function()
    for _, group in ipairs(GROUPS) do
      local s = symmetry(group.generators)
      assert.equal(group.order, s.group.order)
      for _, cell in ipairs(CELLS) do
        local model, what = build(s, cell), group.name .. ", " .. cell
        assert.is_true(deviation(model, s) < 1e-5, what)
        assert.is_true(deviation(model:to "f64", s) < 1e-12, what)
        local y = (model(batch(DISTINCT).x, nil, batch(DISTINCT).lengths, {steps = 8}))
        assert.is_true((y - s.logits(s.group[2], y)):abs():max():item() > 1e-3, what)
      end
    end
  end)

  it("is not so for an action it was not built for", function()
    local s, other = symmetry(GROUPS[1].generators), symmetry {scan.swap("walk", "look")}
    assert.is_true(deviation(build(s, "gru"), other) > 1e-3)
    local broken = {group = s.group, input = s.input, output = s.output,
                    logits = equi.action.trivial(s.group)}
    assert.is_true(deviation(build(s, "gru"), broken) > 1e-3)
  end)

  it("convolves as defined", function()
    local s = symmetry(GROUPS[4].generators)
    local model, G = build(s, "gru", {bidirectional = false}):to "f64", s.group.order
    local function quotient(g, h) return (s.group[g] ^ -1 * s.group[h]).index end
    local conv = model.decoder.rnn.input
    local weight, bias = conv()
    local psi, b, K, O = conv.weight, conv.bias, 5, 5
    local f = oracle.data(G * K)
    local got = equi.linear(f:reshape(1, -1), weight, bias):reshape(3, G, O):totable()
    local values, filter, shift = f:reshape(G, K):totable(), psi:totable(), b:totable()
    for gate = 1, 3 do
      for g = 1, G do
        for i = 1, O do
          local row = (gate - 1) * O + i
          local sum = shift[row]
          for h = 1, G do
            for k = 1, K do sum = sum + filter[row][1][quotient(g, h)][k] * values[h][k] end
          end
          oracle.near(got[gate][g][i], sum, 1e-12)
        end
      end
    end
    local embedded = model.encoder.embedding():reshape(#words_in, G, 4)
    local readout, constant = model.decoder.out()
    readout = readout:reshape(#words_out, G, 5)
    for g = 1, G do
      local inverse = s.group[g] ^ -1
      for w = 1, #words_in do
        local source = s.input(inverse, ids {w}):item()
        oracle.near(embedded[{w, g}], model.encoder.embedding.weight[source], 0)
      end
      for w = 1, #words_out do
        local source = s.output(inverse, ids {w}):item()
        oracle.near(readout[{w, g}], model.decoder.out.weight[source], 0)
        oracle.near(constant[w], constant[source], 0)
      end
    end
    assert.equal(#words_out - 2, model.decoder.out.bias:numel()) -- three verbs, one orbit
  end)

  it("is the plain model when the group is trivial", function()
    local function identity(n)
      local p = {}
      for i = 1, n do p[i] = i end
      return {p}
    end
    for _, cell in ipairs(CELLS) do
      local g = build({group = equi.group.cyclic(1), input = identity(#words_in),
                       output = identity(#words_out)}, cell):to "f64"
      local plain = equi.models.seq2seq {cell = cell, hidden = 5, embedding = 4, dropout = 0}
      plain = plain:to "f64"
      assert.equal(plain:count(), g:count())
      local state, from = plain:state_dict(), g:state_dict()
      local function copy(to, name) state[to]:copy_(from[name]:reshape(state[to].shape)) end
      for _, side in ipairs {"encoder.embedding.weight", "decoder.embedding.weight",
        "decoder.attn_combine.weight", "decoder.attn_combine.bias", "decoder.out.weight",
        "decoder.out.bias"} do copy(side, side) end
      for _, cells in ipairs {{"encoder.rnn.", "", "encoder.forward_cell."},
        {"encoder.rnn.", "_reverse", "encoder.backward_cell."},
        {"decoder.rnn.", "", "decoder.rnn."}} do
        for name, part in pairs {ih = "input", hh = "hidden"} do
          copy(cells[1] .. "weight_" .. name .. "_l0" .. cells[2], cells[3] .. part .. ".weight")
          copy(cells[1] .. "bias_" .. name .. "_l0" .. cells[2], cells[3] .. part .. ".bias")
        end
      end
      local b = batch()
      oracle.near((g(b.x, nil, b.lengths, {steps = 6})),
                  (plain(b.x, nil, b.lengths, {steps = 6})), 1e-13, cell)
    end
  end)

  it("has the parameters of its filters", function()
    local s = symmetry(GROUPS[2].generators)
    for gates, cell in pairs {"rnn", [3] = "gru", [4] = "lstm"} do
      local model = build(s, cell, {hidden = 64, embedding = 64})
      local G, E, H, D = 4, 64, 64, 128
      local recurrent = 2 * gates * (G * H * E + G * H * H + 2 * H)
        + gates * (2 * G * D * D + 2 * D)
      local words = 15 * E + 8 * D + (8 * D + 5) -- 5 orbits of answer words
      assert.equal(recurrent + words + 2 * G * D * D + D, model:count())
    end
  end)

  it("steps and batches to the same log-probabilities as a whole call", function()
    local s, b = symmetry(GROUPS[2].generators), batch(DISTINCT)
    for _, cell in ipairs(CELLS) do
      local model = build(s, cell):to("f64"):eval()
      local logp, tokens = model(b.x, nil, b.lengths, {steps = 5})
      local state, token = model:start(b.x, b.lengths), ids {1, 1, 1, 1}
      for t = 1, 5 do
        local one
        one, state = model:step(state, token)
        oracle.near(one, logp[{{}, t}], 1e-13, cell)
        token = one:argmax(-1)
      end
      for i, command in ipairs(DISTINCT) do
        local alone = model(ids {words_in:encode(command)}, nil, nil, {steps = 5})
        oracle.near(alone, logp[{{i, i}}], 1e-12, cell)
      end
      assert.same({4, 5}, {tokens:size()})
    end
  end)

  it("gives every parameter a gradient, the same for x and g x", function()
    local s, b = symmetry(GROUPS[4].generators), batch()
    local y = ids {{3, 4, 5, 2}, {6, 2, 0, 0}, {7, 8, 2, 0}, {4, 4, 5, 2}}
    local function gradients(model, g)
      model:zero_grad()
      local target = g and s.output(g, y) or y
      local logp = model(g and s.input(g, b.x) or b.x, target, b.lengths, {teacher = true})
      equi.sequence_nll(logp, target):backward()
      local list = {}
      for i, p in ipairs(model:named_parameters()) do
        list[i] = assert(p.tensor.grad, p.name):clone()
        assert.is_true(list[i]:abs():sum():item() > 0, p.name)
      end
      return list
    end
    for _, cell in ipairs(CELLS) do
      local model = build(s, cell):to "f64"
      local plain, moved = gradients(model), gradients(model, s.group[5])
      for i, grad in ipairs(plain) do oracle.near(moved[i], grad, 1e-11, cell) end
    end
  end)

  it("learns, and so learns what it was not shown", function()
    local s = symmetry(GROUPS[1].generators)
    local model = build(s, "gru", {hidden = 16, embedding = 16})
    local shown, hidden = {}, {}
    for i, command in ipairs {"run", "run left", "run twice", "turn right", "walk left"} do
      local moved = scan.apply(scan.swap("run", "jump").input, command)
      shown[i] = {words_in:encode(command), words_out:encode(scan.interpret(command))}
      hidden[i] = {words_in:encode(moved), words_out:encode(scan.interpret(moved))}
    end
    local b, unseen = sequences.batch(shown), sequences.batch(hidden)
    local opt, first, last = equi.optim.adam(model, {lr = 0.01}), nil, nil
    for _ = 1, 60 do
      opt:zero_grad()
      local loss = equi.sequence_nll(model(b.x, b.y, b.lengths, {teacher = true}), b.y)
      loss:backward()
      opt:step()
      last = loss:item()
      first = first or last
    end
    assert.is_true(last < 0.1 * first)
    assert.same({5, 5}, {model:exact_match(b)})
    assert.same({5, 5}, {model:exact_match(unseen)}) -- "jump" was never shown
  end)

  it("survives a clone and a state dict", function()
    local s, b = symmetry(GROUPS[2].generators), batch()
    local model = build(s, "lstm")
    local twin, other = model:clone(), build(s, "lstm")
    other:load_state_dict(model:state_dict())
    local y = (model(b.x, nil, b.lengths, {steps = 3}))
    oracle.near((twin(b.x, nil, b.lengths, {steps = 3})), y, 0)
    oracle.near((other(b.x, nil, b.lengths, {steps = 3})), y, 0)
  end)

  it("says what does not fit", function()
    local c2, swap = equi.group.cyclic(2), {{1, 2, 3, 4}, {1, 2, 4, 3}}
    local function refuses(part, changed)
      local o = {group = c2, input = swap, output = swap}
      for k, v in pairs(changed) do o[k] = v end
      oracle.raises(part, equi.models.g_seq2seq, o)
    end
    refuses("g_seq2seq: group must be a group, got string", {group = "cyclic 4"})
    refuses("input must be an action on ids (equi.action.vocabulary)", {input = 5})
    refuses("or a list of permutations, one per element; got permutation action",
            {input = equi.action.vocabulary(c2, {size = 4, swaps = {{3, 4}}, what = "logits"})})
    refuses("input has 1 permutations, the group 2 elements", {input = {{1, 2}}})
    refuses("element 2 sends word 4 to 3; each of 1 to 4 must be reached once",
            {output = {{1, 2, 3, 4}, {1, 2, 3, 3}}})
    refuses("element 2 sends EOS, id 2, to 3; SOS and EOS must stay",
            {output = {{1, 2, 3}, {1, 3, 2}}})
    refuses("input is no action: (2 * 2) sends word 3 to 3, 2 after 2 sends it to 5",
            {input = {{1, 2, 3, 4, 5}, {1, 2, 4, 5, 3}}})
    refuses("input_words is 7, but input moves 4 words", {input_words = 7})
    refuses('cell must be one of rnn, gru, lstm, got "x"', {cell = "x"})
    local ok, message = pcall(function()
      local model = equi.models.g_seq2seq {group = 1}
      return model
    end)
    assert.is_false(ok)
    assert.matches("g_seq2seq_spec.lua:%d+: g_seq2seq: group", message)
  end)
end)
