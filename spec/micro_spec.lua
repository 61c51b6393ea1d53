-- The f32 kernels of core/micro, every instruction set this machine has, through matmul and linear:
-- sizes around the block's edges, every way to lay out the operands, one and two threads.
local equi = require "lua_equi"
local core = require "lua_equi.core"

-- Small whole numbers: every order of the sum gives the same f32.
local function whole(rows, cols, transposed)
  if not transposed then return equi.randint(-3, 4, {rows, cols}):to "f32" end
  return equi.randint(-3, 4, {cols, rows}):to("f32"):transpose()
end

local function differs(a, b) return (a:to "f64" - b:to "f64"):abs():max():item() end

describe("kernels", function()
  local threads = equi.threads()
  after_each(function()
    core.use_kernels(nil)
    equi.threads(threads)
  end)

  it("are named, the best first, and refuse other names", function()
    local sets = core.use_kernels()
    assert.equal("base", sets[#sets])
    for _, name in ipairs(sets) do
      core.use_kernels(name)
      assert.equal(name, equi.config().kernels)
    end
    core.use_kernels "none"
    assert.equal("none", equi.config().kernels)
    assert.error_matches(function() core.use_kernels "v9" end, 'no kernels "v9" here')
  end)

  for _, set in ipairs {"none", table.unpack(core.use_kernels())} do
    describe(set, function()
      before_each(function() core.use_kernels(set) end)

      local function check(m, n, k, turned_x, turned_w)
        local x, w = whole(m, k, turned_x), whole(k, n, turned_w)
        local at = ("%d x %d x %d %s %s"):format(m, n, k, turned_x, turned_w)
        assert.equal(0, differs(x:matmul(w), x:to("f64"):matmul(w:to "f64")), at)
      end

      it("multiplies every number of rows and columns", function()
        for m = 2, 30 do check(m, 37, 33, m % 2 == 0, m % 3 == 0) end
        for n = 2, 70 do check(17, n, 21, n % 3 == 0, n % 2 == 0) end
      end)

      it("multiplies long, tall and page-wide matrices, turned or not", function()
        local sizes = {{2, 700, 350}, {8, 100, 641}, {9, 300, 330}, {170, 33, 1024}, {400, 20, 16},
          {15, 520, 1}, {40, 1100, 40}, {3, 5, 1000}}
        for _, s in ipairs(sizes) do
          for i = 0, 3 do check(s[1], s[2], s[3], i & 1 == 1, i & 2 == 2) end
        end
      end)

      it("adds the bias once", function()
        for _, s in ipairs {{3, 70, 40}, {20, 70, 700}, {20, 5, 40}} do
          local x, w = whole(s[1], s[3]), whole(s[2], s[3])
          local b = equi.randint(-9, 9, {s[2]}):to "f32"
          local expected = x:to("f64"):matmul(w:to("f64"):transpose()) + b:to "f64"
          assert.equal(0, differs(equi.linear(x, w, b), expected))
          local every_other = equi.stack({b, b}, 2):reshape(-1)[{{1, 2 * s[2]}}]
          local strided = every_other:reshape(s[2], 2):transpose()[1]
          assert.equal(0, differs(equi.linear(x, w, strided), expected))
        end
      end)

      it("leaves what surrounds a product alone, and passes NaN on", function()
        local x, w = equi.ones(20, 8), equi.ones(8, 19)
        x[3][1] = 0 / 0
        local y = x:matmul(w)
        assert.is_true(y[3]:is_nan():all():item())
        assert.equal(8 * 19 * 19, y[{{4, 20}}]:sum():item() + y[{{1, 2}}]:sum():item())
      end)

      it("gives the same bits on one and two threads", function()
        for _, s in ipairs {{300, 200, 700}, {6, 2000, 500}, {64, 700, 900}} do
          for turned = 0, 1 do
            local x = equi.randn(s[1], s[3])
            local w = turned == 0 and equi.randn(s[3], s[2]) or equi.randn(s[2], s[3]):transpose()
            equi.threads(1)
            local one = x:matmul(w)
            equi.threads(2)
            assert.is_true(one:eq(x:matmul(w)):all():item())
          end
        end
      end)
    end)
  end
end)
