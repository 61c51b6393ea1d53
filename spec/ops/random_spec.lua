-- Random tensors: moments, ranges, streams and their states, draws from weights.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"

local raises = oracle.raises
local floats = {"f32", "f64"}

local function moments(x)
  local d = x:to("f64")
  local mean = d:mean():item()
  local function central(k) return ((d - mean) ^ k):mean():item() end
  return mean, central(2), central(3), central(4)
end

-- Every way to make or change a tensor by chance, from generator g.
local function all(g, dtype)
  local opts = {dtype = dtype, generator = g}
  local x = equi.zeros(33, 7, {dtype = dtype})
  return equi.rand(30001, opts), equi.randn(30001, opts),
    equi.randint(-5, 5, 30001, {generator = g}), equi.permutation(1001, {generator = g}),
    equi.bernoulli(equi.full({30001}, 0.3, {dtype = dtype}), {generator = g}),
    equi.multinomial(equi.ones(3, 5, {dtype = dtype}), 4, {generator = g}),
    x:clone():uniform_(2, 3, {generator = g}), x:clone():normal_(2, 3, {generator = g}),
    x:clone():bernoulli_(0.5, {generator = g})
end

local function bytes(...)
  local list = {}
  for i, x in ipairs {...} do list[i] = x:tobytes() end
  return table.concat(list)
end

describe("random numbers", function()
  for _, dtype in ipairs(floats) do
    it("have the moments of their distributions: " .. dtype, function()
      local opts = {dtype = dtype, generator = equi.generator(5)}
      local mean, var, third, fourth = moments(equi.rand(100000, opts))
      oracle.near({mean, var, third, fourth}, {1 / 2, 1 / 12, 0, 1 / 80}, 5e-3)
      mean, var, third, fourth = moments(equi.randn(100000, opts))
      oracle.near({mean, var, third, fourth}, {0, 1, 0, 3}, 3e-2)
      local x = equi.zeros(100000, {dtype = dtype})
      mean, var = moments(x:normal_(-3, 0.5, {generator = opts.generator}))
      oracle.near({mean, var}, {-3, 0.25}, 5e-3)
      mean, var = moments(x:uniform_(-3, 1, {generator = opts.generator}))
      oracle.near({mean, var}, {-1, 16 / 12}, 1e-2)
      mean = moments(x:bernoulli_(0.2, {generator = opts.generator}))
      oracle.near(mean, 0.2, 5e-3)
    end)

    it("of neighbours do not depend on each other: " .. dtype, function()
      local x = equi.randn(100001, {dtype = dtype, generator = equi.generator(6)})
      for lag = 1, 4 do
        local n = 100001 - lag
        local product = x:narrow(1, 1, n) * x:narrow(1, 1 + lag, n)
        oracle.near(product:mean():item(), 0, 2e-2)
      end
    end)

    it("are equal for equal seeds and 1 and 2 threads, not for others: " .. dtype, function()
      oracle.both_threads(function() return all(equi.generator(7), dtype) end)
      assert.not_equal(bytes(all(equi.generator(7), dtype)), bytes(all(equi.generator(8), dtype)))
      oracle.both_threads(function()
        equi.seed(7)
        return all(nil, dtype)
      end)
      equi.seed(7)
      assert.equal(bytes(all(nil, dtype)), bytes(all(equi.generator(7), dtype)))
    end)

    it("of uniform_ lie in [low, high): " .. dtype, function()
      local x = equi.zeros(50000, {dtype = dtype})
      for _, ends in ipairs {{0, 1}, {-2, 3}, {1, 1 + 1e-6}, {16777216, 16777218}} do
        x:uniform_(ends[1], ends[2], {generator = equi.generator(9)})
        assert.is_true(x:ge(ends[1]):all():item())
        assert.is_true(x:lt(ends[2]):all():item())
      end
      assert.same({4, 4}, equi.zeros(2):uniform_(4, 4):totable())
    end)
  end

  it("continue where the state says", function()
    local g = equi.generator(3)
    equi.rand(5, {generator = g})
    local state = g:state()
    local want = bytes(all(g, "f32"))
    assert.not_equal(want, bytes(all(g, "f32")))
    g:state(state)
    assert.equal(want, bytes(all(g, "f32")))
    local other = equi.generator(0)
    other:state(state)
    assert.equal(want, bytes(all(other, "f32")))
    local whole = equi.rng_state()
    want = equi.rand(9):tobytes()
    equi.rng_state(whole)
    assert.equal(want, equi.rand(9):tobytes())
    assert.matches("generator%(seed 3, %d+ blocks used%)", tostring(g))
  end)

  it("do not repeat: two calls take different parts of a stream", function()
    local g, seen = equi.generator(11), {}
    for _ = 1, 50 do
      local b = equi.rand(3, {dtype = "f64", generator = g}):tobytes()
      assert.is_nil(seen[b])
      seen[b] = true
    end
  end)

  it("fill views and tensors without elements", function()
    local x = equi.zeros(4, 6)
    x:transpose():narrow(1, 2, 3):uniform_(1, 2)
    assert.equal(12, x:gt(0):to("i64"):sum():item())
    assert.same({0, 3}, {equi.rand(0, 3):size()})
    assert.same({}, {equi.randn({}):size()})
    assert.equal(0, equi.permutation(0):numel())
    assert.equal(1, equi.permutation(1):item())
    assert.same({3, 0}, {equi.multinomial(equi.ones(3, 2), 0):size()})
    assert.is_true(equi.rand(2, {requires_grad = true}).requires_grad)
  end)
end)

describe("whole numbers", function()
  it("of randint are all equally frequent, both ends included", function()
    local x = equi.randint(-2, 3, 60000, {generator = equi.generator(1)})
    assert.equal("i64", x.dtype)
    local values, _, counts = x:unique()
    assert.same({-2, -1, 0, 1, 2, 3}, values:totable())
    for _, n in ipairs(counts:totable()) do oracle.near(n / 10000, 1, 3e-2) end
  end)

  it("of randint reach over the whole range", function()
    local low, high = math.mininteger, math.maxinteger
    local x = equi.randint(low, high, 4000, {generator = equi.generator(2)})
    local positive = x:gt(0):to("i64"):sum():item()
    assert.is_true(positive > 1800 and positive < 2200)
    assert.equal(high, equi.randint(high, high, 1):item())
  end)

  it("of permutation come once each, every one as often in each place", function()
    local g, first = equi.generator(4), {0, 0, 0, 0, 0, 0}
    local order = {}
    for _ = 1, 6000 do
      local p = equi.permutation(3, {generator = g}):totable()
      local key = table.concat(p)
      order[key] = (order[key] or 0) + 1
    end
    local kinds = 0
    for _, n in pairs(order) do
      kinds = kinds + 1
      oracle.near(n / 1000, 1, 6e-2)
    end
    assert.equal(#first, kinds)
    local sorted = equi.permutation(10000, {generator = g}):sort()
    assert.same(equi.arange(10000):totable(), sorted:totable())
  end)
end)

describe("draws from weights", function()
  it("of bernoulli are as frequent as p says", function()
    local p = equi.tensor {0, 0.25, 1}:unsqueeze(2):expand(3, 20000)
    oracle.near(equi.bernoulli(p, {generator = equi.generator(1)}):mean(2), {0, 0.25, 1}, 1e-2)
  end)

  it("with replacement are as frequent as the weights", function()
    local w = equi.tensor {{0, 1, 3, 0}, {2, 0, 0, 2}}
    local ids = w:multinomial(20000, {replacement = true, generator = equi.generator(1)})
    assert.same({2, 20000}, {ids:size()})
    oracle.near(ids:one_hot(4):mean(2), {{0, 0.25, 0.75, 0}, {0.5, 0, 0, 0.5}}, 1.5e-2)
  end)

  it("without replacement come once each, in the order of draws one by one", function()
    local w = equi.tensor({1, 2, 0, 1}):expand(20000, 4)
    local ids = w:multinomial(3, {generator = equi.generator(1)})
    local sorted = ids:sort()
    assert.is_true(sorted:eq(equi.tensor({1, 2, 4}, {dtype = "i64"})):all():item())
    oracle.near(ids[{{}, 1}]:one_hot(4):mean(1), {0.25, 0.5, 0, 0.25}, 1.5e-2)
    -- second: 2 after 1 or 4 is 2/3; 1 after 2 is 1/2, after 4 is 1/3
    oracle.near(ids[{{}, 2}]:one_hot(4):mean(1), {1 / 3, 1 / 3, 0, 1 / 3}, 1.5e-2)
  end)

  it("of the smallest weights still come once each", function()
    local w = equi.tensor({0, 1e-310, 2e-310, 0}, {dtype = "f64"})
    for seed = 1, 5 do
      local ids = w:multinomial(2, {generator = equi.generator(seed)}):totable()
      table.sort(ids)
      assert.same({2, 3}, ids)
    end
  end)
end)

describe("random numbers are refused", function()
  it("with words that name the value", function()
    local x, i = equi.zeros(2), equi.zeros(2, {dtype = "i64"})
    raises("rand: dtype must be f32 or f64, it is i64", equi.rand, 2, {dtype = "i64"})
    raises("randn: dtype must be f32 or f64, it is u8", equi.randn, 2, {dtype = "u8"})
    raises("rand: sizes must not be negative, got -1", equi.rand, -1)
    raises("rand: sizes must be a whole number, got 1.5", equi.rand, 1.5)
    raises("rand: one list of sizes is enough, 3 is left over", equi.rand, {2}, 3)
    raises('rand: no option "dtpe"; options are dtype, generator, requires_grad', equi.rand, 2,
           {dtpe = "f32"})
    raises("rand: generator must come from equi.generator, got number", equi.rand, 2,
           {generator = 3})
    raises("randint: low must not be above high, got 3 and 2", equi.randint, 3, 2, 1)
    raises("randint: high must be a whole number, got no value", equi.randint, 3)
    raises('randint: no option "dtype"; options are generator', equi.randint, 1, 2, {dtype = "f32"})
    raises("permutation: sizes must not be negative, got -1", equi.permutation, -1)
    raises("permutation: n must be a whole number", equi.permutation, "x")
    raises("bernoulli: p must be from 0 to 1, got 1.5", equi.bernoulli, equi.tensor {0, 1.5})
    raises("bernoulli: p must be from 0 to 1, got -0.5", equi.bernoulli, equi.tensor {-0.5})
    raises("bernoulli: p must have dtype f32 or f64, it is i64", equi.bernoulli, i)
    raises("bernoulli: p must be a tensor, got number", equi.bernoulli, 0.5)
    raises("uniform_: low must not be above high and both be finite, got 2 and 1", x.uniform_, x, 2,
           1)
    raises("uniform_: low must not be above high and both be finite", x.uniform_, x, 0, math.huge)
    raises('uniform_: high must be a number, got "x"', x.uniform_, x, 0, "x")
    raises("uniform_: dtype must be f32 or f64, it is i64", x.uniform_, i)
    raises("uniform_: x is expanded in dim 1", x.uniform_, equi.zeros(1):expand(3))
    raises("normal_: std must not be negative, got -1", x.normal_, x, 0, -1)
    raises("bernoulli_: p must be from 0 to 1, got 2", x.bernoulli_, x, 2)
    raises("normal_: in-place changes are not recorded", x.normal_, equi.ones(2):requires_grad_())
    raises("generator: seed must be a whole number, got 1.5", equi.generator, 1.5)
    local g = equi.generator(1)
    raises("state: state must be {seed, counter}", g.state, g, {1})
    raises("state: state must be {seed, counter}, got string", g.state, g, "x")
  end)

  it("for weights that are none", function()
    local draw, t = equi.multinomial, equi.tensor
    raises("multinomial: weights must be finite and not negative, entry 2 of row 1 is -1", draw,
           t {1, -1}, 1)
    raises("multinomial: weights must be finite and not negative, entry 1 of row 2 is nan", draw,
           t {{1, 1}, {math.abs(0 / 0), 1}}, 1)
    raises("multinomial: weights must be finite and not negative, entry 1 of row 1 is inf", draw,
           t {math.huge}, 1)
    raises("multinomial: the weights of row 1 sum to 0", draw, t {0, 0}, 1)
    raises("multinomial: 3 draws without replacement from 2 positive weights in row 1; pass "
           .. "{replacement = true}", draw, t {1, 0, 1}, 3)
    raises("multinomial: needs at least one weight and a number of draws, got 0 and 1", draw,
           equi.zeros(0), 1)
    raises("multinomial: needs at least one weight and a number of draws, got 2 and -1", draw,
           t {1, 1}, -1)
    raises("multinomial: weights must have at least 1 dim", draw, t(1), 1)
    raises("multinomial: dtype must be f32 or f64, it is i64", draw, t({1}, {dtype = "i64"}), 1)
    raises("multinomial: draws must be a whole number", draw, t {1}, 1.5)
  end)
end)
