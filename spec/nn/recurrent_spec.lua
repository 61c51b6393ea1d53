local equi = require "lua_equi"
local formula = require "spec.support.formula"
local oracle = require "spec.support.oracle"
local vectors = require "spec.support.nn_vectors"
local nn = equi.nn

local function near(x, flat, what) oracle.near(x:reshape(-1), flat, 1e-8, what) end

describe("nn recurrent layers", function()
  for _, case in ipairs(vectors.recurrent) do
    it(("%s of %d layers%s matches PyTorch's packed sequences of %s"):format(case.kind, case.layers,
      case.both and ", both directions," or "", table.concat(case.lengths, ", ")), function()
      local layer = nn[case.kind](2, 3, {layers = case.layers, bidirectional = case.both,
        nonlinearity = case.nonlinearity})
      formula.fill(layer)
      local x = formula.filled({3, 4, 2}, 0):requires_grad_()
      local state
      if case.states then
        local rows = case.layers * (case.both and 2 or 1)
        local h0, c0 = formula.filled({rows, 3, 3}, 100), formula.filled({rows, 3, 3}, 200)
        state = case.kind == "lstm" and {h0, c0} or h0
      end
      local y, last = layer(x, state, {lengths = equi.tensor(case.lengths, {dtype = "i64"})})
      local h, c = last, nil
      if case.kind == "lstm" then h, c = last[1], last[2] end
      near(y, case.y, "y")
      near(h, case.h, "h")
      if c then near(c, case.c, "c") end
      local loss = formula.loss(y) + h:sum()
      if c then loss = loss + c:sum() * 2 end
      loss:backward()
      near(x.grad, case.gx, "gradient of x")
      near(layer.weight_ih_l0.grad, case.first, "gradient of weight_ih_l0")
      near(layer[case.deep].grad, case.last, "gradient of " .. case.deep)
    end)
  end

  it("has PyTorch's names and shapes", function()
    local shapes = {}
    local layer = nn.gru(5, 4, {layers = 2, bidirectional = true})
    for name, w in pairs(layer:state_dict()) do shapes[name] = table.concat(w.shape, "x") end
    local expected = {}
    for _, s in ipairs {"l0", "l0_reverse", "l1", "l1_reverse"} do
      expected["weight_ih_" .. s] = s:find "l0" and "12x5" or "12x8"
      expected["weight_hh_" .. s] = "12x4"
      expected["bias_ih_" .. s], expected["bias_hh_" .. s] = "12", "12"
    end
    assert.same(expected, shapes)
    assert.equal(2, #nn.rnn(5, 4, {bias = false}):parameters())
    assert.equal("gru(5, 4, layers 2, both directions)", tostring(layer))
  end)

  it("gives the same without lengths as with full ones", function()
    local layer, x = nn.lstm(2, 3, {bidirectional = true}), equi.randn(2, 4, 2)
    local a = layer(x)
    local b = layer(x, nil, {lengths = equi.tensor({4, 4}, {dtype = "i64"})})
    oracle.near(a, b, 1e-6)
  end)

  it("continues from the state it returned", function()
    for _, kind in ipairs {"rnn", "gru", "lstm"} do
      local layer, x = nn[kind](2, 3, {layers = 2}), equi.randn(1, 6, 2)
      local whole = layer(x)
      local _, state = layer(x[{{1, 1}, {1, 3}}])
      oracle.near(layer(x[{{1, 1}, {4, 6}}], state), whole[{{1, 1}, {4, 6}}], 1e-5, kind)
    end
  end)

  it("drops units between layers in training only", function()
    equi.seed(1)
    local layer, x = nn.lstm(2, 30, {layers = 2, dropout = 0.5}), equi.ones(1, 2, 2)
    assert.is_true((layer(x) - layer(x)):abs():sum():item() > 0)
    layer:eval()
    assert.equal(0.0, (layer(x) - layer(x)):abs():sum():item())
    local single = nn.lstm(2, 30, {dropout = 0.5}) -- nothing is between the layers of one
    assert.equal(0.0, (single(x) - single(x)):abs():sum():item())
  end)

  it("refuses mistakes", function()
    local function refuses(message, f)
      local ok, text = pcall(f)
      assert.is_false(ok)
      assert.matches("^[^:]*recurrent_spec%.lua:%d+: ", text)
      assert.equal(message, (text:gsub("^[^:]*:%d+: ", "")))
    end
    refuses(
      'lstm: no option "layer"; options are bias, bidirectional, dropout, layers; '
      .. 'did you mean "layers"?', function() nn.lstm(2, 3, {layer = 2}) end)
    refuses("in gru: the state must be 1 x 2 x 3, it is 2 x 2 x 3",
      function() nn.gru(2, 3)(equi.zeros(2, 4, 2), equi.zeros(2, 2, 3)) end)
    refuses("in lstm: the state is {h, c}, two tensors in a table, " ..
      "got a tensor f32 1 x 2 x 3",
      function() nn.lstm(2, 3)(equi.zeros(2, 4, 2), equi.zeros(1, 2, 3)) end)
    refuses("in lstm: the state must be {h, c}, each 1 x 2 x 3",
      function() nn.lstm(2, 3)(equi.zeros(2, 4, 2), {equi.zeros(1, 2, 3)}) end)
    refuses("in rnn: x must be [B, T, 2], it is 4 x 2",
      function() nn.rnn(2, 3)(equi.zeros(4, 2)) end)
  end)
end)
