-- rnn, gru, lstm and their cells: against naive loops, PyTorch's numbers and central differences.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local cases = require "spec.support.cases"
local naive = require "spec.support.naive_rnn"

local KINDS = {"rnn", "gru", "lstm"}
local GATES = {rnn = 1, gru = 3, lstm = 4}

-- x, h0, [c0], w_ih, w_hh, b_ih, b_hh with numbers small enough for the gates not to saturate.
local function sizes(kind, B, T, D, H)
  local G = GATES[kind]
  local list = {{B, T, D}, {B, H}}
  if kind == "lstm" then list[3] = {B, H} end
  for _, size in ipairs {{G * H, D}, {G * H, H}, {G * H}, {G * H}} do list[#list + 1] = size end
  return list
end

local function inputs(kind, ...)
  local list = sizes(kind, ...)
  for i, size in ipairs(list) do
    list[i] = oracle.data(size, {low = -0.7, high = 0.7, seed = i})
  end
  return list
end

local function call(kind, opts)
  return function(...)
    local list = {...}
    list[#list + 1] = opts
    return equi[kind](table.unpack(list))
  end
end

local function naive_call(kind, variant, lengths, reverse)
  return function(x, h, ...)
    local rest, c = {...}, nil
    if kind == "lstm" then c = table.remove(rest, 1) end
    local p = {w_ih = rest[1], w_hh = rest[2], b_ih = rest[3], b_hh = rest[4]}
    return naive.sequence(variant or kind, p, x, h, c, lengths, reverse)
  end
end

for _, kind in ipairs(KINDS) do
  local lengths = {4, 0, 3}
  local index = equi.tensor(lengths, {dtype = "i64"})
  local list = {
    {"one sequence", f = call(kind), inputs = inputs(kind, 1, 4, 3, 5), naive = naive_call(kind),
     big = sizes(kind, 40, 9, 33, 70)},
    {"a batch backwards", f = call(kind, {reverse = true}), inputs = inputs(kind, 3, 4, 2, 4),
     naive = naive_call(kind, nil, nil, true)},
    {"a batch of different lengths", f = call(kind, {lengths = index}),
     inputs = inputs(kind, 3, 4, 2, 3), naive = naive_call(kind, nil, lengths)},
    {"different lengths backwards", f = call(kind, {lengths = index, reverse = true}),
     inputs = inputs(kind, 3, 4, 2, 3), naive = naive_call(kind, nil, lengths, true)},
    {"one step", f = call(kind), inputs = inputs(kind, 2, 1, 3, 2), naive = naive_call(kind)},
  }
  if kind == "rnn" then
    list[#list + 1] = {"relu", f = call(kind, {nonlinearity = "relu"}),
                       inputs = inputs(kind, 2, 3, 3, 4), naive = naive_call(kind, "rnn_relu")}
  end
  cases(kind, list)
end

describe("recurrent layers", function()
  it("agree with PyTorch in values and gradients", function()
    local function filled(size, seed, scale)
      local n, values = 1, {}
      for _, d in ipairs(size) do n = n * d end
      for i = 1, n do values[i] = (scale or 0.5) * math.sin(1.7 * i + seed) end
      return equi.tensor(values, {dtype = "f64"}):reshape(table.unpack(size))
    end
    local seeds = {"x", "h0", "c0", "w_ih", "w_hh", "b_ih", "b_hh"}
    for _, v in ipairs(require "spec.support.rnn_vectors") do
      local p, list = {}, {}
      local shapes = sizes(v.kind, 3, 4, 3, 5)
      for seed, name in ipairs(seeds) do
        if name ~= "c0" or v.kind == "lstm" then
          p[name] = filled(table.remove(shapes, 1), seed):requires_grad_()
          list[#list + 1] = p[name]
        end
      end
      list[#list + 1] = {lengths = equi.tensor(v.lengths, {dtype = "i64"}), reverse = v.reverse,
                         nonlinearity = v.kind == "rnn" and v.nonlinearity or nil}
      local y, h, c = equi[v.kind](table.unpack(list))
      local loss = (y * filled({3, 4, 5}, 8, 1)):sum() + h:sum()
      if c then loss = loss + 2 * c:sum() end
      loss:backward()
      local what = v.kind .. (v.reverse and " reversed " or " ")
      local function same(name, x, want)
        oracle.near(x:reshape(x:numel()), want, 1e-10, what .. name)
      end
      same("y", y:detach(), v.y)
      same("h_n", h:detach(), v.h_n)
      if c then same("c_n", c:detach(), v.c_n) end
      for name, x in pairs(p) do same("gradient of " .. name, x.grad, v["g_" .. name]) end
    end
  end)

  it("start from zero and go without biases", function()
    for _, kind in ipairs(KINDS) do
      local G = GATES[kind]
      local x, w, u = oracle.data(2, 3, 4), oracle.data(G * 5, 4), oracle.data(G * 5, 5)
      local zero, none = equi.zeros({2, 5}, {dtype = "f64"}), equi.zeros({G * 5}, {dtype = "f64"})
      local short, long
      if kind == "lstm" then
        short = equi.lstm(x, nil, nil, w, u)
        long = equi.lstm(x, zero, zero, w, u, none, none)
      else
        short = equi[kind](x, nil, w, u)
        long = equi[kind](x, zero, w, u, none, none)
      end
      oracle.near(short, long, 0)
    end
  end)

  it("cells make one step", function()
    for _, kind in ipairs(KINDS) do
      local list = inputs(kind, 2, 1, 3, 4)
      local _, h, c = equi[kind](table.unpack(list))
      list[1] = list[1]:reshape(2, 3)
      local h1, c1 = equi[kind .. "_cell"](table.unpack(list))
      oracle.near(h1, h, 0)
      if c then oracle.near(c1, c, 0) else assert.is_nil(c1) end
      oracle.gradcheck(equi[kind .. "_cell"], list)
    end
    oracle.near(equi.rnn_cell(equi.ones(1, 1), nil, equi.ones(1, 1), equi.ones(1, 1),
                              equi.full({1}, -3), nil, {nonlinearity = "relu"}), {{0}}, 0)
    local list = inputs("lstm", 2, 1, 3, 4)
    local x, zeros = list[1]:reshape(2, 3), equi.zeros(2, 4, {dtype = "f64"})
    local h, c = equi.lstm_cell(x, nil, nil, list[4], list[5])
    local h0, c0 = equi.lstm_cell(x, zeros, zeros, list[4], list[5])
    oracle.near(h, h0, 0, "absent states are zeros")
    oracle.near(c, c0, 0, "absent states are zeros")
  end)

  it("accept no steps and no rows", function()
    for _, kind in ipairs(KINDS) do
      for _, size in ipairs {{2, 0, 3}, {0, 4, 3}} do
        local list = inputs(kind, size[1], 1, 3, 5)
        list[1] = equi.zeros(size, {dtype = "f64"})
        list[4] = list[4]:requires_grad_()
        local y, h = equi[kind](table.unpack(list))
        assert.same({size[1], size[2], 5}, {y:size()})
        oracle.near(h:detach(), list[2], 0)
        local loss = y:sum() + h:sum()
        loss:backward()
        oracle.near(list[4].grad, equi.zeros({list[4]:size()}, {dtype = "f64"}), 0, kind)
      end
    end
  end)

  it("give the same bits alone and in a batch of any composition", function()
    for _, kind in ipairs(KINDS) do
      local list = inputs(kind, 20, 6, 7, 9)
      local many = equi[kind](table.unpack(list))
      for _, b in ipairs {1, 7, 20} do
        local one = {table.unpack(list)}
        for i = 1, kind == "lstm" and 3 or 2 do one[i] = list[i][{{b, b}}] end
        oracle.near(equi[kind](table.unpack(one)), many[{{b, b}}], 1e-14)
      end
    end
  end)

  it("follow a sequence of 3,000 steps there and back", function()
    local x = oracle.data(1, 3000, 2):requires_grad_()
    local w, u = oracle.data(12, 2), oracle.data({12, 3}, {low = -0.5, high = 0.5})
    local y, h, c = equi.lstm(x, nil, nil, w, u)
    assert.same({1, 3000, 3}, {y:size()})
    local loss = h:sum() + c:sum()
    loss:backward()
    assert.is_true(x.grad[{1, 3000}]:abs():sum():item() > 0)
  end)

  it("say what does not fit", function()
    local x, w, u = equi.ones(2, 3, 4), equi.ones(20, 4), equi.ones(20, 5)
    local function refuses(part, ...) oracle.raises(part, equi.lstm, ...) end
    refuses("x is 3 x 4; it must have 3 dimensions", x[1], nil, nil, w, u)
    refuses("w_hh is 19 x 5; it must be 4 H x H", x, nil, nil, w, equi.ones(19, 5))
    refuses("w_ih is 20 x 3; it must be 20 x 4", x, nil, nil, equi.ones(20, 3), u)
    refuses("h0 is 2 x 4; it must be 2 x 5", x, equi.ones(2, 4), nil, w, u)
    refuses("c0 is 1 x 5; it must be 2 x 5", x, nil, equi.ones(1, 5), w, u)
    refuses("b_ih is 5; it must be 20", x, nil, nil, w, u, equi.ones(5))
    local function lengths(...) return {lengths = equi.tensor({...}, {dtype = "i64"})} end
    refuses("lengths is 1; it must be 2", x, nil, nil, w, u, nil, nil, lengths(3))
    refuses("lengths[2] is 4; x has 3 steps", x, nil, nil, w, u, nil, nil, lengths(3, 4))
    refuses("lengths[1] is -1", x, nil, nil, w, u, nil, nil, lengths(-1, 3))
    oracle.raises("it must have 2 dimensions", equi.gru_cell, x, nil, equi.ones(15, 4),
                  equi.ones(15, 5))
  end)
end)
