-- Weights in fewer bytes: what is kept, products with it by every instruction set and number of
-- rows, and what is refused.
local equi = require "lua_equi"
local core = require "lua_equi.core"

local function off(a, b) return (a:to "f64" - b:to "f64"):abs():max():item() end
local function all_ids(n) return equi.arange(n):long() end

-- The numbers that are kept, in f64.
local function kept(w, as)
  local y, scale = equi.compress_weights(w, as)
  return y, scale, equi.compressed_rows(all_ids(w:size(1)), y, scale, w:size(2))
end

describe("compress_weights", function()
  before_each(function() equi.seed(4) end)

  it("rounds bf16 to the nearest, ties to even, and keeps what is not finite", function()
    local w = equi.tensor({{1, 1 + 2 ^ -8, 1 + 3 * 2 ^ -8, 1 + 2 ^ -8 + 2 ^ -20, -3.140625, 0,
      math.huge, -math.huge, 3.4e38}})
    local _, scale, y = kept(w, "bf16")
    assert.equal(0, scale:numel())
    assert.same({1.0, 1.0, 1 + 2 ^ -6, 1 + 2 ^ -7, -3.140625, 0.0, math.huge, -math.huge,
      math.huge}, y:totable()[1])
    local _, _, nan = kept(equi.full({1, 2}, 0 / 0), "bf16")
    assert.is_true(nan:is_nan():all():item())
  end)

  it("keeps int8 within half a step of a row's largest / 127", function()
    local w = equi.randn(9, 33)
    w[3] = equi.zeros(33)
    local _, scale, y = kept(w, "int8")
    assert.is_true(off(scale, w:abs():max(2) / 127) < 1e-8)
    assert.is_true(((y - w):abs() / (scale:reshape(-1, 1) + 1e-30)):max():item() < 0.5001)
    assert.equal(0, y[3]:abs():max():item())
  end)

  it("refuses what it cannot keep", function()
    assert.error_matches(function() equi.compress_weights(equi.ones(2, 2):to "f64", "bf16") end,
      "w must be f32 of out x in, it is f64 2 x 2")
    assert.error_matches(function() equi.compress_weights(equi.full({1, 2}, math.huge), "int8") end,
      "w holds inf; int8 can keep finite numbers only")
    assert.error_matches(function() equi.compressed_linear(equi.ones(2, 3), equi.ones(2, 3)) end,
      "w must be of compress_weights")
    local w, scale = equi.compress_weights(equi.ones(2, 4), "int8")
    assert.error_matches(function() equi.compressed_linear(equi.ones(1, 3), w, scale) end,
      "weights are u8 of 2 x 4, which are none for 3 inputs")
    assert.error_matches(function()
      equi.compressed_rows(equi.tensor({3}, {dtype = "i64"}), w, scale, 4)
    end, "id 3 at position 1 is outside 1 to 2")
  end)
end)

describe("products of few rows", function()
  local threads = equi.threads()
  before_each(function()
    equi.seed(5)
    equi.threads(1)
  end)
  after_each(function()
    core.use_kernels(nil)
    equi.threads(threads)
  end)

  for _, set in ipairs(core.use_kernels()) do
    for _, as in ipairs {"bf16", "int8"} do
      it(("with %s by %s are those with the numbers that are kept"):format(as, set), function()
        core.use_kernels(set)
        for _, size in ipairs {{1, 1}, {7, 5}, {64, 16}, {129, 333}, {48, 700}} do
          local k, n = size[1], size[2]
          local y, scale, w = kept(equi.randn(n, k), as)
          local b = equi.randn(n)
          for _, m in ipairs {1, 2, 3, 4, 5, 6, 7, 8, 9, 40} do
            local x = equi.randn(m, k)
            local expected = equi.linear(x:to "f64", w:to "f64", b:to "f64")
            local got = equi.compressed_linear(x, y, scale, b)
            local at = ("%d x %d x %d"):format(m, n, k)
            assert.is_true(off(got, expected) < 1e-5 * k ^ 0.5 + 1e-5, at)
          end
        end
      end)
    end

    it("have rows by " .. set .. " with the same bits alone as among others", function()
      core.use_kernels(set)
      for _, size in ipairs {{128, 130}, {333, 129}, {200, 768}} do
        local k, n = size[1], size[2]
        local rows, columns = equi.randn(k, n), equi.randn(n, k)
        local half, scales = equi.compress_weights(columns, "int8")
        local ways = {function(x) return x:matmul(rows) end,
          function(x) return equi.linear(x, columns) end,
          function(x) return equi.compressed_linear(x, half, scales) end}
        local x = equi.randn(8, k)
        for i, way in ipairs(ways) do
          local all = way(x)
          for m = 1, 7 do
            for at = 1, 9 - m, 3 do
              assert.equal(0, off(way(x:narrow(1, at, m)), all:narrow(1, at, m)),
                ("way %d, %d rows from %d"):format(i, m, at))
            end
          end
        end
      end
    end)
  end

  it("have the same bits on one and two threads", function()
    local w, scale = equi.compress_weights(equi.randn(3000, 500), "bf16")
    for _, m in ipairs {1, 5, 30} do
      local x = equi.randn(m, 500)
      equi.threads(1)
      local one = equi.compressed_linear(x, w, scale)
      equi.threads(2)
      assert.equal(0, off(one, equi.compressed_linear(x, w, scale)))
    end
  end)
end)
