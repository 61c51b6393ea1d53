local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local initialise = equi.nn.initialise

-- Mean and standard deviation.
local function moments(x)
  local n = x:numel()
  local mean = x:sum():item() / n
  return mean, math.sqrt(((x - mean) ^ 2):sum():item() / n)
end

describe("nn.initialise", function()
  before_each(function() equi.seed(12) end)

  it("fills with uniform, normal and constant numbers, in place", function()
    local x = equi.zeros(100, 100, {requires_grad = true})
    assert.equal(x, initialise.uniform(x, -2, 4))
    local mean, std = moments(x:detach())
    oracle.near(mean, 1, 0.05)
    oracle.near(std, 6 / math.sqrt(12), 0.03)
    assert.is_true(x.is_leaf and x.requires_grad)
    mean, std = moments(initialise.normal(x, 3, 0.5):detach())
    oracle.near(mean, 3, 0.02)
    oracle.near(std, 0.5, 0.02)
    oracle.near(initialise.constant(x, 7):sum(), 70000, 0)
  end)

  it("follows equi.seed", function()
    local a = initialise.normal(equi.zeros(5))
    equi.seed(12)
    assert.equal(a:tobytes(), initialise.normal(equi.zeros(5)):tobytes())
  end)

  it("scales by fan-in and fan-out as PyTorch", function()
    local w = equi.zeros(300, 200, 2) -- fan_in 400, fan_out 600
    local function std_of(f, opts)
      local mean, std = moments(f(w, opts))
      oracle.near(mean, 0, 0.01)
      return std
    end
    oracle.near(std_of(initialise.xavier), math.sqrt(2 / 1000), 1e-3)
    oracle.near(std_of(initialise.xavier, {gain = 2, normal = true}), 2 * math.sqrt(2 / 1000), 1e-3)
    oracle.near(std_of(initialise.kaiming), math.sqrt(2 / 400), 1e-3)
    oracle.near(std_of(initialise.kaiming, {mode = "fan_out", normal = true}), math.sqrt(2 / 600),
      1e-3)
    oracle.near(std_of(initialise.kaiming, {a = 1}), math.sqrt(1 / 400), 1e-3)
    local bound = math.sqrt(6 / 400)
    initialise.kaiming(w)
    assert.is_true(w:abs():max():item() <= bound and w:abs():max():item() > 0.99 * bound)
  end)

  it("makes orthogonal rows or columns", function()
    if not equi.qr then
      pending "orthogonal matrices: this build has no qr"
      return
    end
    for _, shape in ipairs {{5, 5}, {7, 3}, {3, 7}, {4, 3, 2}} do
      local x = initialise.orthogonal(equi.zeros(shape, {dtype = "f64"}), {gain = 2})
      local m = x:reshape(shape[1], -1)
      local rows, columns = m:size()
      local gram = rows <= columns and m:matmul(m:transpose()) or m:transpose():matmul(m)
      oracle.near(gram, equi.eye(math.min(rows, columns), {dtype = "f64"}) * 4, 1e-10)
    end
  end)

  it("refuses vectors where fans are needed, and unknown modes", function()
    for _, name in ipairs {"xavier", "kaiming"} do
      local ok, text = pcall(function()
        local x = initialise[name](equi.zeros(3))
        return x
      end)
      assert.is_false(ok)
      assert.matches("^[^:]*initialise_spec%.lua:%d+: " .. name
        .. ": needs at least 2 dims, x is 1%-dimensional; use uniform or normal$", text)
    end
    assert.has_error(function() initialise.kaiming(equi.zeros(2, 2), {mode = "fan"}) end)
  end)

  it("leave everything as it is within `without`, and only there", function()
    local state = equi.rng_state()
    local layer, three = initialise.without(function(n) return equi.nn.linear(n, 2), n end, 3)
    assert.equal(3, three)
    assert.equal(0, layer.weight:abs():sum():item())
    assert.equal(0, initialise.without(initialise.orthogonal, equi.zeros(2, 2)):sum():item())
    assert.same(state, equi.rng_state())
    local ok, text = pcall(initialise.without, function() error("no", 0) end)
    assert.same({false, "no"}, {ok, text})
    assert.is_true(equi.nn.linear(3, 2).weight:abs():sum():item() > 0)
  end)
end)
