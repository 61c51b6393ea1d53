local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local nn = equi.nn

describe("nn basic layers", function()
  it("linear computes x W^T + b over the last dim", function()
    local layer = nn.linear(3, 2)
    layer.weight:detach():copy_(equi.tensor {{1, 2, 3}, {-1, 0, 1}})
    layer.bias:detach():copy_(equi.tensor {10, 20})
    oracle.near(layer(equi.tensor {{1, 1, 1}, {1, 2, 4}}), {{16, 20}, {27, 23}}, 1e-6)
    oracle.near(layer(equi.ones(2, 1, 3)), {{{16, 20}}, {{16, 20}}}, 1e-6)
    layer(equi.ones(4, 3)):sum():backward()
    oracle.near(layer.weight.grad, {{4, 4, 4}, {4, 4, 4}}, 1e-6)
    oracle.near(layer.bias.grad, {4, 4}, 1e-6)
    assert.equal("linear(3, 2)", tostring(layer))
    assert.equal("linear(3, 2, no bias)", tostring(nn.linear(3, 2, {bias = false})))
    assert.is_true(nn.linear(4, 100).weight:abs():max():item() <= 0.5)
  end)

  it("embedding picks rows, ids from 1, and sends gradients to them alone", function()
    local layer = nn.embedding(4, 2)
    local y = layer(equi.tensor({{2, 4, 2}}, {dtype = "i64"}))
    assert.same({1, 3, 2}, {y:size()})
    oracle.near(y[1][2], layer.weight[4], 0)
    y:sum():backward()
    oracle.near(layer.weight.grad, {{0, 0}, {2, 2}, {0, 0}, {1, 1}}, 0)
    assert.has_error(function() layer(equi.tensor({5}, {dtype = "i64"})) end)
    assert.has_error(function() layer(equi.tensor({0}, {dtype = "i64"})) end)
    assert.equal("embedding(4, 2)", tostring(layer))
  end)

  it("dropout zeroes in training only, keeping the mean", function()
    equi.seed(1)
    local layer, x = nn.dropout(0.25), equi.ones(20000)
    local y = layer(x)
    local zeros = (y:eq(0)):to("f32"):sum():item() / 20000
    oracle.near(zeros, 0.25, 0.02)
    oracle.near(y:max(), 1 / 0.75, 1e-6)
    layer:eval()
    oracle.near(layer(x), x, 0)
  end)

  it("layer_norm normalises over the last dims", function()
    local x = oracle.data({2, 3, 4}, {dtype = "f32"})
    local y = nn.layer_norm(4)(x)
    for b = 1, 2 do
      for t = 1, 3 do
        local row = y[b][t]:totable()
        local mean, square = 0, 0
        for i = 1, 4 do mean, square = mean + row[i] / 4, square + row[i] ^ 2 / 4 end
        oracle.near(mean, 0, 1e-5)
        oracle.near(square, 1, 1e-4)
      end
    end
    local both = nn.layer_norm({3, 4}, {eps = 1e-3})
    both.weight:detach():fill_(2)
    both.bias:detach():fill_(1)
    oracle.near(both(x):sum(), 24, 1e-4)
    assert.equal("layer_norm(3 x 4)", tostring(both))
    assert.equal(0, nn.layer_norm(4, {affine = false}):count())
  end)

  it("sequential runs modules and functions in turn, named from 0", function()
    local net = nn.sequential(nn.linear(2, 3), equi.tanh, nn.linear(3, 1))
    oracle.near(net(equi.ones(1, 2)), net[3](equi.tanh(net[1](equi.ones(1, 2)))), 0)
    local names = {}
    for _, p in ipairs(net:named_parameters()) do names[#names + 1] = p.name end
    assert.same({"0.bias", "0.weight", "2.bias", "2.weight"}, names)
    local ok, text = pcall(function()
      local bad = nn.sequential(equi.tanh, nil, equi.tanh)
      return bad
    end)
    assert.is_false(ok)
    assert.matches("^[^:]*basic_spec%.lua:%d+: sequential: entry 2 must be a module or a " ..
      "function, got nothing$", text)
  end)

  it("sequential takes one list of layers, and refuses what cannot be called", function()
    local linear = nn.linear(2, 3)
    local net = nn.sequential {linear, equi.tanh}
    assert.equal(linear, net[1])
    assert.equal(2, #net)
    assert.equal(2, #nn.sequential(nn.sequential(linear), equi.tanh))
    assert.equal(0, #nn.sequential())
    for problem, f in pairs {
      ["entry 2 must be a module or a function, got a table"] =
        function() return (nn.sequential(linear, {})) end,
      ["entry 1 must be a module or a function, got a table"] =
        function() return (nn.sequential {{linear}, equi.tanh}) end,
      ["entry 1 must be a module or a function, got a tensor f32 2"] =
        function() return (nn.sequential {equi.ones(2)}) end,
      ['layers stand in a list without names, got the name "a"'] =
        function() return (nn.sequential {linear, a = linear}) end,
    } do
      local ok, text = pcall(f)
      assert.is_false(ok)
      assert.matches("^[^:]*basic_spec%.lua:%d+: sequential: ", text)
      assert.truthy(text:find(problem, 1, true), text)
    end
  end)
end)
