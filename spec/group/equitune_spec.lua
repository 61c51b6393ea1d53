-- Equituned models: f(g x) = g f(x) for every action and combination, values against a plain
-- average over the group, chunks, frames.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local group, action, combine = equi.group, equi.action, equi.combine

local c2, c3, c4, c5 = group.cyclic(2), group.cyclic(3), group.cyclic(4), group.cyclic(5)
local d4, s4 = group.dihedral(4), group.symmetric(4)

local function f64(...) return oracle.data(...) end
local function flat(x)
  local inner = 1
  for d = 2, x.ndim do inner = inner * x:size(d) end
  return x:reshape(x:size(1), inner)
end

-- A model without any symmetry: tanh of a full matrix on everything but the batch.
local function mixing(inner, outer, seed)
  local w = oracle.data({inner, outer}, {seed = seed or 5, low = -0.7, high = 0.7})
  return function(x)
    return flat(x):matmul(w:to(x.dtype)):tanh()
  end
end

-- The same, with results in a shape of their own.
local function shaped(inner, ...)
  local shape, outer = {...}, 1
  for _, n in ipairs(shape) do outer = outer * n end
  local f = mixing(inner, outer)
  return function(x) return f(x):reshape(x:size(1), table.unpack(shape)) end
end

-- Logits of a sequence of ids, which depend on every position.
local function reader(size, words)
  local emb, out = oracle.data({size, 6}, {seed = 3}), oracle.data({6, words}, {seed = 4})
  return function(ids, dtype)
    local e = equi.embedding(ids, emb:to(dtype or "f64"))
    local spread = (e:cumsum(2) + e * e:sum(2, {keepdim = true})):tanh()
    return spread:matmul(out:to(dtype or "f64"))
  end
end

local full = { -- all permutations of four verbs, and left and right: order 48
  ids = action.vocabulary(s4, {size = 9, generators = {{{2, 3}}, {{2, 3, 4, 5}}}}) *
    action.vocabulary(c2, {size = 9, swaps = {{7, 8}}}),
  logits = action.vocabulary(s4, {size = 7, generators = {{{1, 2}}, {{1, 2, 3, 4}}},
                                  what = "logits"}) *
    action.vocabulary(c2, {size = 7, swaps = {{5, 6}}, what = "logits"}),
}
local turn = {{0, -1}, {1, 0}}
local d4grid, c4grid = action.grid(d4), action.grid(c4)

local cases = {
  {"cyclic(5) on features", input = action.regular(c5), output = action.regular(c5),
   x = f64(3, 5), f = mixing(5, 5)},
  {"cyclic(48)", input = action.regular(group.cyclic(48)),
   output = action.regular(group.cyclic(48)), x = f64(2, 48), f = mixing(48, 48)},
  {"symmetric(4)", input = action.permutation(s4), output = action.regular(s4), x = f64(3, 4),
   f = mixing(4, 24)},
  {"quaternion, regular", input = action.regular(group.quaternion()),
   output = action.regular(group.quaternion()), x = f64(3, 8), f = mixing(8, 8)},
  {"images turned and flipped, even size", input = d4grid, output = d4grid, x = f64(2, 3, 4, 4),
   f = shaped(48, 2, 4, 4)},
  {"images turned and flipped, odd size", input = d4grid, output = d4grid, x = f64(2, 5, 5),
   f = shaped(25, 3, 3)},
  {"images flipped, not square", input = action.grid(group.klein()),
   output = action.grid(group.klein()), x = f64(2, 3, 4), f = shaped(12, 2, 5)},
  {"an invariant classifier", input = d4grid, x = f64(4, 1, 3, 3), f = mixing(9, 10)},
  {"matrices", input = action.matrices(c4, {turn}), output = action.matrices(c4, {turn}),
   x = f64(3, 2), f = mixing(2, 2)},
  {"turned images to turned vectors", input = c4grid, output = action.matrices(c4, {turn}),
   x = f64(3, 3, 3), f = mixing(9, 2)},
  {"feature maps of a group convolution",
   input = action.chain {d4grid, action.regular(d4, {dim = -3})},
   output = action.chain {d4grid, action.regular(d4, {dim = -3})}, x = f64(2, 8, 3, 3),
   f = shaped(72, 8, 2, 2)},
  {"a product acting on two dims", input = action.regular(c3) * action.regular(c2, {dim = -2}),
   output = action.regular(c3, {dim = -2}) * action.regular(c2), x = f64(2, 2, 3),
   f = shaped(6, 3, 2)},
  {"ids to logits, order 48", input = full.ids, output = full.logits, x = oracle.index(9, 3, 5),
   f = reader(9, 7)},
}

local function seen_as(x, dtype) return x.dtype == "i64" and x or x:to(dtype) end

-- The average over the group, one element after the other.
local function naive(case, x, weights)
  local total, norm
  for i, g in ipairs(case.input.group:elements()) do
    local y = case.f(case.input(g, x))
    if case.output then y = case.output(g.inverse, y) end
    if weights then
      local w = weights(case.input(g, x), i):reshape(-1, table.unpack(equi.ones(y.ndim - 1):to(
        "i64"):totable()))
      y, norm = y * w, norm and norm + w or w
    end
    total = total and total + y or y
  end
  return total / (norm or case.input.group.order)
end

local function score(y) return (flat(y):max(-1)) end
local function lambda(x) return flat(x:to "f64"):cos():sum(-1):exp() end

local function check(model, x, dtype)
  local report = equi.check.equivariance(model, {seen_as(x, dtype or "f64")})
  assert.is_true(report.ok, tostring(report))
  assert.is_true(report.expected, tostring(report))
  return report
end

local function options(case, more)
  local o = {input = case.input, output = case.output}
  for k, v in pairs(more or {}) do o[k] = v end
  return o
end

for _, case in ipairs(cases) do
  describe("equitune: " .. case[1], function()
    it("f(g x) = g f(x), in f64 and f32", function()
      check(equi.equitune(case.f, options(case)), case.x)
      local narrow = case.x.dtype == "i64" and function(x) return case.f(x, "f32") end or case.f
      local report = check(equi.equitune(narrow, options(case)), case.x, "f32")
      assert.equal(1e-5, report.tolerance)
    end)

    it("the model itself is not equivariant", function()
      local report = equi.check.equivariance(case.f, {case.x}, options(case))
      assert.is_false(report.ok)
      assert.is_true(report.worst > 1e-3, tostring(report))
    end)

    it("is the average over the group", function()
      local model = equi.equitune(case.f, options(case))
      oracle.near(model(case.x), naive(case, case.x), 1e-13)
    end)

    it("combine.best and combine.weighted are equivariant", function()
      check(equi.equitune(case.f, options(case, {combine = combine.best(score)})), case.x)
      check(equi.equitune(case.f, options(case, {combine = combine.weighted(lambda)})), case.x)
      check(equi.equitune(case.f, options(case, {combine = combine.weighted(lambda,
        {softmax = false})})), case.x)
    end)

    it("weights are normalised over the group", function()
      local plain = combine.weighted(lambda, {softmax = false})
      oracle.near(equi.equitune(case.f, options(case, {combine = plain}))(case.x),
        naive(case, case.x, lambda), 1e-12)
      local soft = combine.weighted(function(x) return lambda(x):log():reshape(-1, 1) end)
      oracle.near(equi.equitune(case.f, options(case, {combine = soft}))(case.x),
        naive(case, case.x, lambda), 1e-12)
      local constant = combine.weighted(function(x) return flat(x):sum(-1):to "f64" * 0 + 3 end,
        {softmax = false})
      oracle.near(equi.equitune(case.f, options(case, {combine = constant}))(case.x),
        naive(case, case.x), 1e-12)
    end)

    it("chunks do not change values", function()
      local kinds = {combine.mean, combine.best(score), combine.weighted(lambda),
                     combine.weighted(lambda, {softmax = false})}
      for _, kind in ipairs(kinds) do
        local whole = equi.equitune(case.f, options(case, {combine = kind}))(case.x)
        for _, n in ipairs {1, 2, case.input.group.order - 1, 10000} do
          local model = equi.equitune(case.f, options(case, {combine = kind, chunk = n}))
          oracle.near(model(case.x), whole, 1e-14, tostring(kind) .. " chunk " .. n)
        end
      end
    end)
  end)
end

describe("equitune: the largest group", function()
  it("symmetric(7), 5,040 elements at once", function()
    local act, probe = action.permutation(group.symmetric(7)), f64({7}, {seed = 2})
    local x = f64(1, 7)
    local kinds = {combine.mean, combine.best(function(y) return y[{{}, 1}] end)}
    for i, kind in ipairs(kinds) do
      local model = equi.equitune(function(v) return v * probe end, {input = act, combine = kind})
      oracle.near(model(x)[{1, 1}], i == 1 and (x:mean() * probe[1]):item() or
        (x * probe[1]):max():item(), 1e-12)
    end
  end)
end)

describe("combine.best", function()
  local act = action.regular(c4)
  local values = f64(3, 4)
  local f = mixing(4, 4)

  it("takes the branch with the highest score", function()
    local model = equi.equitune(f, {input = act, output = act, combine = combine.best(score)})
    local y = model(values)
    for b = 1, 3 do
      local row, top, expected = values[{{b, b}}], -math.huge, nil
      for _, g in ipairs(c4:elements()) do
        local branch = f(act(g, row))
        local s = score(branch):item()
        if s > top then top, expected = s, act(g.inverse, branch) end
      end
      assert.same(expected:totable()[1], y[b]:totable())
    end
  end)

  it("exact ties share the place: a symmetric input stays symmetric", function()
    local model = equi.equitune(f, {input = act, output = act, combine = combine.best(score)})
    local y = model(equi.ones({2, 4}, {dtype = "f64"})):totable()
    for k = 2, 4 do assert.near(y[1][1], y[1][k], 1e-15) end
    local half = equi.tensor({{1, 2, 1, 2}}, {dtype = "f64"}) -- r2 maps it to itself
    check(model, half)
  end)

  it("near ties share the place too, within the tolerance", function()
    local tied = combine.best(function(y) return flat(y):sum(-1) * 1e-9 + 1 end)
    local mean = equi.equitune(f, {input = act, output = act})(values)
    oracle.near(equi.equitune(f, {input = act, output = act, combine = tied})(values), mean, 1e-14)
    local strict = combine.best(function(y) return flat(y):sum(-1) * 1e-9 + 1 end, {tolerance = 0})
    local apart = equi.equitune(f, {input = act, output = act, combine = strict})(values)
    assert.is_true((apart - mean):abs():max():item() > 1e-3)
  end)

  it("keeps infinities of the branches that lost to themselves", function()
    local function log_of(x) return x:log() end -- -inf where x is 0
    local x = equi.tensor({{0, 1, 2, 3}}, {dtype = "f64", requires_grad = true})
    local function first(y) return y[{{}, 2}]:clamp(-9, 9) end
    local model = equi.equitune(log_of, {input = act, combine = combine.best(first)})
    local y = model(x)
    assert.equal(math.log(3), y[{1, 2}]:item())
    assert.is_true(y.requires_grad)
    local nan = combine.best(function(v) return v[{{}, 1}] * 0 / 0 end)
    local none = equi.equitune(f, {input = act, combine = nan})(values)
    assert.is_true(none:ne(none):all():item()) -- no score, no choice
    local infinite = combine.best(function(v) return v[{{}, 1}] * 0 + math.huge end)
    oracle.near(equi.equitune(f, {input = act, combine = infinite})(values),
      equi.equitune(f, {input = act})(values), 1e-14)
  end)

  it("has the value of the choice and the gradient of the mean, exactly", function()
    local w = oracle.data({4, 4}, {seed = 8}):requires_grad_()
    local function net(x) return (x:matmul(w)):tanh() end
    local function gradient(kind)
      w.grad = nil
      local model = equi.equitune(net, {input = act, output = act, combine = kind});
      (model(values) * f64({3, 4}, {seed = 9})):sum():backward()
      return w.grad
    end
    assert.same(gradient(combine.mean):totable(), gradient(combine.best(score)):totable())
    local model = equi.equitune(net, {input = act, output = act, combine = combine.best(score)})
    local quiet = equi.no_grad(function() return model(values) end)
    assert.equal(quiet:tobytes(), model(values):tobytes())
  end)
end)

describe("scores and weights of the results", function()
  local ids = action.vocabulary(c3, {size = 9, generators = {{{2, 3, 5}, {7, 8, 9}}}})
  local logits = action.vocabulary(c3, {size = 9, generators = {{{2, 3, 5}, {7, 8, 9}}},
    what = "logits"})
  local f, x = reader(9, 9), oracle.index(9, 2, 4)
  local function by_place(y) return (y:max(-1)) end
  local function tuned(kind, chunk)
    return equi.equitune(f, {input = ids, output = logits, combine = kind, chunk = chunk})
  end

  it("may differ from place to place, and are equivariant", function()
    local branches, scores = {}, {}
    for k, g in ipairs(c3:elements()) do
      local y = f(ids(g, x))
      scores[k], branches[k] = by_place(y), logits(g.inverse, y)
    end
    local y, s = equi.stack(branches), equi.stack(scores)
    local w = s:softmax(1)
    oracle.near(tuned(combine.weighted(by_place, {of = "results"}))(x),
      (y * w:unsqueeze(-1)):sum(1), 1e-13)
    w = s:exp() / s:exp():sum(1, {keepdim = true})
    local own = combine.weighted(function(v) return by_place(v):exp() end, {of = "results",
      softmax = false})
    oracle.near(tuned(own)(x), (y * w:unsqueeze(-1)):sum(1), 1e-13)
    local best = tuned(combine.best(by_place))(x)
    for b = 1, 2 do
      for t = 1, 4 do
        local k = s[{{}, b, t}]:argmax():item()
        assert.same(y[{k, b, t}]:totable(), best[{b, t}]:totable())
      end
    end
    for _, kind in ipairs {own, combine.best(by_place),
      combine.weighted(by_place, {of = "results"})} do
      check(tuned(kind), x)
      oracle.near(tuned(kind, 1)(x), tuned(kind)(x), 1e-14)
      oracle.near(tuned(kind, 2)(x), tuned(kind)(x), 1e-14)
    end
  end)

  it("a network of results learns with the model", function()
    local net, w = equi.nn.linear(4, 1):to "f64", oracle.data({4, 4}, {seed = 8}):requires_grad_()
    local act = action.regular(c4)
    local model = equi.equitune(function(v) return v:matmul(w):tanh() end,
      {input = act, output = act, combine = combine.weighted(net, {of = "results"})})
    assert.equal(2, #net:parameters())
    oracle.gradcheck(function(a, b, v)
      local m = equi.equitune(function(u) return u:matmul(a):tanh() end, {input = act,
        output = act, combine = combine.weighted(function(y) return y:matmul(b) end,
        {of = "results"})})
      return m(v)
    end, {oracle.data(4, 4), oracle.data({4, 1}, {seed = 4}), f64(2, 4)})
    model(f64(3, 4)):sum():backward()
    assert.is_truthy(net.weight.grad and w.grad)
  end)

  it("places that the action moves have no score of their own", function()
    local function g(v) return v:reshape(-1, 9, 1) * equi.tensor({1, 2}, {dtype = "f64"}) end
    local act = action.permutation(c3, {{2, 3, 1, 5, 6, 4, 8, 9, 7}}, {dim = 2})
    oracle.raises("equitune: there is a score for each of 6 x 9 places, but the action moves these;"
      .. " give one number for each row", equi.equitune(g, {input = act, output = act,
      combine = combine.best(function(y) return (y:max(-1)) end)}), f64(2, 9))
  end)

  it("says what the numbers are of", function()
    oracle.raises('combine.weighted: of must be one of inputs, results, got "logits"',
      combine.weighted, print, {of = "logits"})
    oracle.raises("combine.weighted: net must be a module or a function of the results",
      combine.weighted, 3, {of = "results"})
  end)
end)

describe("the mean in f32", function()
  it("is the same bits whatever element stands first, for more than two elements", function()
    local act = action.regular(c5)
    local w = oracle.data({5, 5}, {dtype = "f32", seed = 3, low = -90, high = 90})
    local function f(v) -- row by row, so that the branches themselves do not depend on their order
      return equi.stack({(v:unsqueeze(2) * w):sum(-1)})[1]
    end
    local model = equi.equitune(f, {input = act, output = act})
    local x = oracle.data({200, 5}, {dtype = "f32", low = -9, high = 9})
    local y = model(x)
    assert.equal("f32", y.dtype)
    for _, g in ipairs(c5:elements()) do
      assert.equal(act(g, y):tobytes(), model(act(g, x)):tobytes())
    end
  end)

  it("its gradient is that of the mean", function()
    local act = action.regular(c4)
    local function gradient(dtype)
      local w = oracle.data({4, 4}, {dtype = dtype, seed = 8}):requires_grad_()
      local model = equi.equitune(function(v) return v:matmul(w):tanh() end, {input = act,
        output = act, chunk = 3})
      local loss = (model(oracle.data({3, 4}, {dtype = dtype})) ^ 2):sum()
      loss:backward()
      return w.grad:to "f64"
    end
    oracle.near(gradient "f32", gradient "f64", 1e-5)
  end)
end)

describe("combine.relaxed", function()
  local ids = action.vocabulary(c2, {size = 9, swaps = {{2, 3}, {7, 8}}})
  local logits = action.vocabulary(c2, {size = 9, swaps = {{2, 3}, {7, 8}}, what = "logits"})
  local f, x = reader(9, 9), oracle.index(9, 2, 4)

  it("is the identity's branch at the general ids and equivariant elsewhere", function()
    for _, chunk in ipairs {1, 2} do
      local model = equi.equitune(f, {input = ids, output = logits, chunk = chunk,
                                      combine = combine.relaxed({5, 9}, 9)})
      local mean, y = equi.equitune(f, {input = ids, output = logits})(x), model(x)
      local gy = model(ids("r", x))
      for v = 1, 9 do
        local general = v == 5 or v == 9
        oracle.near(y[{{}, {}, v}], (general and f(x) or mean)[{{}, {}, v}], 1e-14)
        local same = (gy - logits("r", y))[{{}, {}, v}]:abs():max():item()
        assert.is_true(general == (same > 1e-6))
      end
    end
  end)

  it("without general ids it is the mean", function()
    local model = equi.equitune(f, {input = ids, output = logits, combine = combine.relaxed({}, 9)})
    assert.equal(equi.equitune(f, {input = ids, output = logits})(x):tobytes(), model(x):tobytes())
  end)
end)

describe("pick", function()
  local calls, rows = 0, 0
  local w = oracle.data({9, 9}, {seed = 2}):requires_grad_()
  local function f(x)
    calls, rows = calls + 1, rows + x:size(1)
    return (flat(x):matmul(w)):tanh():reshape(x:size(1), 3, 3)
  end
  -- The element whose inverse brings the largest energy forward; random images have no ties.
  local function energies(x, act)
    local probe, list = f64({3, 3}, {seed = 7}), {}
    for i, g in ipairs(act.group:elements()) do
      list[i] = (act(g.inverse, x) * probe):sum({2, 3})
    end
    return equi.stack(list, 2)
  end

  it("canonicalizes with one pass of the model", function()
    local function pick(x) return energies(x, d4grid):argmax(2) end
    local model = equi.equitune(f, {input = d4grid, output = d4grid, pick = pick})
    local x = f64(4, 3, 3)
    calls, rows = 0, 0
    local y = model(x)
    assert.same({1, 4}, {calls, rows})
    for b = 1, 4 do
      local h, row = d4:element(pick(x)[b]:item()), x[{{b, b}}]
      oracle.near(y[{{b, b}}], d4grid(h, f(d4grid(h.inverse, row))), 1e-14)
    end
    check(model, x)
    oracle.gradcheck(model, {x})
  end)

  it("averages over frames when it names several elements", function()
    -- C2 of D4: the half turn; the frame of an image is the coset that its energy names.
    local function frame(x)
      local h = energies(x, d4grid):argmax(2)
      local other = {}
      for b = 1, h:size(1) do other[b] = (d4:element(h[b]:item()) * d4 "r2").index end
      return equi.stack({h, equi.tensor(other, {dtype = "i64"})}, 2)
    end
    local model = equi.equitune(f, {input = d4grid, output = d4grid, pick = frame})
    local x = f64(4, 3, 3)
    calls, rows = 0, 0
    local y, list = model(x), frame(x)
    assert.same({1, 8}, {calls, rows})
    local sum
    for k = 1, 2 do
      local part = {}
      for b = 1, 4 do
        local h = d4:element(list[{b, k}]:item())
        part[b] = d4grid(h, f(d4grid(h.inverse, x[{{b, b}}])))
      end
      sum = sum and sum + equi.cat(part) or equi.cat(part)
    end
    oracle.near(y, sum / 2, 1e-14)
    check(model, x)
    local whole = equi.equitune(f, {input = d4grid, output = d4grid, pick = function(v)
      return equi.arange(1, 8, {dtype = "i64"}):reshape(1, 8):expand(v:size(1), 8)
    end})
    oracle.near(whole(x), equi.equitune(f, {input = d4grid, output = d4grid})(x), 1e-14)
  end)

  it("leaves integers and absent outputs as the model gives them", function()
    local function pick(x) return energies(x, d4grid):argmax(2) end
    local model = equi.equitune(function(x) return f(x):reshape(-1, 9):argmax(2) end,
      {input = d4grid, pick = pick})
    assert.equal("i64", model(f64(2, 3, 3)).dtype)
    check(model, f64(2, 3, 3))
    assert.same({0, 3, 3}, equi.equitune(f, {input = d4grid, output = d4grid, pick = pick})(
      equi.zeros({0, 3, 3}, {dtype = "f64"})).shape)
  end)

  it("factors of a product share the passes: |G1| + |G2| instead of |G1| |G2|", function()
    -- Each term is the average over one factor of a model that is canonical for the other one.
    local rows_act = action.permutation(c3, {{2, 3, 1}}, {dim = 2})
    local cols_act = action.permutation(c3, {{2, 3, 1}}, {dim = 3})
    local function canonical(act)
      return equi.equitune(f, {input = act, output = act, pick = function(x)
        return energies(x, act):argmax(2)
      end})
    end
    local one = equi.equitune(canonical(cols_act), {input = rows_act, output = rows_act})
    local two = equi.equitune(canonical(rows_act), {input = cols_act, output = cols_act})
    local function both(x) return (one(x) + two(x)) / 2 end
    local act, x = rows_act * cols_act, f64(2, 3, 3)
    calls, rows = 0, 0
    both(x)
    assert.equal(2 * (3 + 3), rows)
    local report = equi.check.equivariance(both, {x}, {input = act, output = act})
    assert.is_true(report.ok, tostring(report))
    assert.equal(9, act.group.order)
  end)
end)
