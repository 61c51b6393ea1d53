-- equi.check must be able to say no, and say why equality is not to be expected.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local action, check = equi.action, equi.check

local c4 = equi.group.cyclic(4)
local act = action.regular(c4)
local function f64(...) return oracle.data(...) end
local w = f64({4, 4}, {seed = 2})
local function f(x) return x:matmul(w):tanh() end

describe("check.equivariance", function()
  local model = equi.equitune(f, {input = act, output = act})

  it("passes an equituned model and names the error of every element", function()
    local report = check.equivariance(model, f64(3, 4))
    assert.is_true(report.ok and report.exact and report.expected)
    assert.equal(1e-12, report.tolerance)
    local names = {}
    for i, e in ipairs(report.errors) do names[i] = e.element end
    assert.same({"e", "r", "r2", "r3"}, names)
    assert.equal(0, report.errors[1].error)
    local text = tostring(report)
    assert.matches("equivariant; equality is to be expected, up to rounding", text, 1, true)
    assert.matches("r3 +%d", text)
  end)

  it("fails for a plain model and for a wrong output action", function()
    local report = check.equivariance(f, {f64(3, 4)}, {input = act, output = act})
    assert.is_false(report.ok)
    assert.is_true(report.errors[2].error > 0.01)
    assert.matches("NOT equivariant", tostring(report), 1, true)
    assert.is_false(check.equivariance(model, f64(3, 4), {output = action.trivial(c4)}).ok)
    -- moved the other way round: no error for r2 and e, which are their own inverses
    local backwards = equi.equitune(f, {input = act, output = action.permutation(c4,
      {{4, 1, 2, 3}})})
    report = check.equivariance(backwards, f64(3, 4), {output = act})
    assert.is_false(report.ok)
    assert.is_true(report.errors[2].error > 0.01 and report.errors[3].error < 1e-12)
  end)

  it("the error is relative to the largest value", function()
    local function constant(x) return x * 0 + equi.tensor({1, 0, 0, 0}, {dtype = "f64"}) * 1e9 end
    local report = check.equivariance(constant, f64(1, 4), {input = act, output = act})
    assert.equal(1, report.worst)
  end)

  it("several results and integers are compared", function()
    local function two(x) return model(x), x:argmax(-1) end
    local report = check.equivariance(two, f64(3, 4), {input = act, output = {act, false}})
    assert.is_false(report.ok)
    assert.is_true(check.equivariance(two, f64(3, 4), {input = act, output = act}).ok)
    local function best(x) return x:max(-1):gt(0) end
    report = check.equivariance(best, f64(3, 4), {input = act})
    assert.same({true, 0}, {report.ok, report.tolerance})
  end)

  it("NaN is an error, equal infinities are none", function()
    local function nan(x) return x * 0 / 0 end
    local report = check.equivariance(nan, f64(3, 4), {input = act, output = act})
    assert.is_true(report.worst ~= report.worst and not report.ok)
    local function infinite(x) return (model(x) * 0 - 1):log() * 0 - math.huge + x end
    report = check.equivariance(infinite, f64(3, 4), {input = act, output = act})
    assert.is_false(report.ok) -- log(-1)
    local function masked(x)
      return equi.where(x:eq(x:amax(-1, {keepdim = true})), x, -math.huge)
    end
    assert.is_true(check.equivariance(masked, f64(3, 4), {input = act, output = act}).ok)
  end)

  it("says when equality is not to be expected", function()
    local root = math.sqrt(0.5)
    local c8 = equi.group.cyclic(8)
    local rough = action.matrices(c8, {{{root + 1e-8, -root}, {root, root}}})
    local about = equi.equitune(function(x) return x end, {input = rough, output = rough})
    local report = check.equivariance(about, f64(2, 2))
    assert.same({false, false}, {report.exact, report.expected})
    assert.matches("not to be expected: an action is approximate", tostring(report), 1, true)

    local layer = equi.nn.sequential(equi.nn.linear(4, 4), equi.nn.dropout(0.5))
    local random = equi.equitune(layer, {input = act, output = act})
    report = check.equivariance(random, equi.ones(5, 4))
    assert.is_false(report.expected)
    assert.matches("equal inputs give different results (dropout", tostring(report), 1, true)
    random:eval()
    assert.is_true(check.equivariance(random, equi.ones(5, 4)).expected)

    local relaxed = equi.equitune(f, {input = act, output = act, combine =
      equi.combine.relaxed({1}, 4)})
    assert.matches("general ids", check.equivariance(relaxed, f64(2, 4)).notes[1])

    local norm = equi.nn.class("norm", {
      buffers = {running_mean = true},
      new = function(self) self.running_mean = equi.zeros(4) end,
      forward = function(self, x)
        return self.training and x - x:mean(1, {keepdim = true}) or x - self.running_mean
      end,
    })
    local normed = equi.equitune(norm(), {input = act, output = act})
    assert.matches("batch norm is in training mode", check.equivariance(normed,
      equi.ones(2, 4)).notes[1])
    assert.same({}, check.equivariance(normed:eval(), equi.ones(2, 4)).notes)
  end)

  it("refuses what cannot be compared", function()
    local x = f64(3, 4)
    oracle.raises("no action is given; pass input = action", check.equivariance, f, x)
    oracle.raises("result 1 of f must be a tensor, got nil", check.equivariance, function() end, x,
      {input = act})
    oracle.raises('no option "inputs"', check.equivariance, f, x, {inputs = act})
    oracle.raises("f(g x) is", check.equivariance, function(v)
      return v[{1, 1}]:item() == x[{1, 1}]:item() and v or v[{{1, 2}}]
    end, x, {input = act, output = act})
  end)
end)

describe("check.gradients", function()
  it("passes right gradients of first and second order", function()
    local x = f64(2, 3)
    local before = x:tobytes()
    local report = check.gradients(function(a, b) return (a * b):sin(), a:exp() end,
      {x, f64({2, 3}, {seed = 3})}, {second = true})
    assert.is_true(report.ok)
    assert.equal(4, #report.errors)
    assert.equal(before, x:tobytes())
    assert.is_false(x.requires_grad)
    assert.matches("the gradients are right", tostring(report), 1, true)
  end)

  it("finds a wrong element, and says where", function()
    local hole = equi.tensor({1, 1, 0, 1}, {dtype = "f64"})
    local function wrong(x) return x * hole + (x * (1 - hole)):detach() end
    local report = check.gradients(wrong, f64(4))
    assert.is_false(report.ok)
    assert.same({1, 3, 0.0}, {report.errors[1].input, report.errors[1].at,
      report.errors[1].gradient})
    assert.matches("WRONG", tostring(report), 1, true)
  end)

  it("NaN gradients are wrong", function()
    local report = check.gradients(function(x) return x:sqrt() end, {equi.zeros({2},
      {dtype = "f64"})})
    assert.is_false(report.ok)
  end)

  it("refuses f32 and functions without floats", function()
    oracle.raises("input 1 is f32; convert it", check.gradients, f, equi.ones(2, 4))
    oracle.raises("f returned no float tensor", check.gradients, function(x)
      return x:argmax()
    end, f64(3))
  end)
end)
