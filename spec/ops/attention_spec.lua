-- Attention in blocks against the same formula in ops: values, gradients, masks, strides, blocks
-- that are not full, threads.
local equi = require "lua_equi"
local core = require "lua_equi.core"

local function composed(q, k, v, forbidden, causal, scale)
  local t, s = q:size(3), k:size(3)
  local scores = q:matmul(k:transpose()) * (scale or 1 / math.sqrt(q:size(4)))
  if causal then
    scores = scores:masked_fill(equi.ones(t, s):triu(s - t + 1):to "bool", -math.huge)
  end
  if forbidden then scores = scores:masked_fill(forbidden, -math.huge) end
  return scores:softmax(-1):matmul(v)
end

local function off(a, b) return (a:to "f64" - b:to "f64"):abs():max():item() end

-- Value and gradients of both ways, as the largest difference.
local function difference(inputs, g, one, other)
  local results = {}
  for i, way in ipairs {one, other} do
    for _, x in ipairs(inputs) do x.grad = nil end
    local y = way(table.unpack(inputs));
    (y * g):sum():backward()
    results[i] = {y:detach()}
    for _, x in ipairs(inputs) do table.insert(results[i], x.grad) end
  end
  local worst = 0
  for i, x in ipairs(results[1]) do worst = math.max(worst, off(x, results[2][i])) end
  return worst
end

describe("scaled_dot_product_attention", function()
  local threads = equi.threads()
  before_each(function()
    equi.seed(7)
    equi.threads(1)
  end)
  after_each(function()
    core.use_kernels(nil)
    equi.threads(threads)
  end)

  local function tensors(b, h, t, s, d, dtype)
    local list = {}
    for i, places in ipairs {t, s, s} do
      list[i] = equi.randn({b, h, places, d}, {dtype = dtype}):requires_grad_()
    end
    return list, equi.randn({b, h, t, d}, {dtype = dtype})
  end

  -- Never all keys of a query.
  local function some(...)
    local mask = equi.rand(...):gt(0.7)
    mask[{{}, {}, {}, {1, 1}}] = false
    return mask
  end

  local sizes = {{1, 1, 1, 1, 1}, {2, 3, 5, 7, 4}, {2, 2, 70, 70, 16}, {1, 2, 130, 300, 8},
    {1, 1, 64, 128, 64}, {1, 2, 1, 129, 33}}
  for _, z in ipairs(sizes) do
    local b, h, t, s, d = table.unpack(z)
    it(("is the formula for %d x %d x %d on %d x %d"):format(b, h, t, s, d), function()
      local masks = {false, some(b, 1, 1, s), some(b, h, t, s), some(1, h, 1, s):expand(b, h, t, s)}
      for dtype, most in pairs {f64 = 1e-12, f32 = 1e-4} do
        local inputs, g = tensors(b, h, t, s, d, dtype)
        for i, mask in ipairs(masks) do
          mask = mask or nil
          for _, causal in ipairs {false, true} do
            local scale = i == 2 and 0.3 or nil
            local worst = difference(inputs, g, function(q, k, v)
              return equi.scaled_dot_product_attention(q, k, v, mask, causal, scale)
            end, function(q, k, v) return composed(q, k, v, mask, causal, scale) end)
            assert.is_true(worst < most, ("%s mask %d %s: off by %g"):format(dtype, i, causal,
              worst))
          end
        end
      end
    end)
  end

  it("has the right gradients, and gradients of gradients", function()
    local q, k, v = equi.randn({1, 2, 5, 3}, {dtype = "f64"}),
      equi.randn({1, 2, 6, 3}, {dtype = "f64"}), equi.randn({1, 2, 6, 3}, {dtype = "f64"})
    assert.is_true(equi.check.gradients(function(a, b, c)
      return equi.scaled_dot_product_attention(a, b, c, {causal = true})
    end, {q, k, v}).ok)
    assert.is_true(equi.check.gradients(function(a, b, c)
      return equi.scaled_dot_product_attention(a, b, c, equi.eye(5, 6):eq(1), true, 0.4)
    end, {q, k, v}, {second = true}).ok)
  end)

  it("reads any strides, and gives heads that join without a copy", function()
    local x = equi.randn({2, 9, 3, 4, 5}, {dtype = "f64"})
    local parts = x:permute(3, 1, 4, 2, 5)
    local y = equi.scaled_dot_product_attention(parts[1], parts[2], parts[3], {causal = true})
    assert.is_true(off(y, composed(parts[1]:clone(), parts[2]:clone(), parts[3]:clone(), nil,
      true)) < 1e-12)
    assert.is_true(y:transpose(2, 3):is_contiguous())
    local turned = parts[1]:clone():transpose(3, 4):clone():transpose(3, 4)
    assert.is_true(off(y, equi.scaled_dot_product_attention(turned, parts[2], parts[3],
      {causal = true})) < 1e-12)
  end)

  it("gives 0, and no gradient, to a query that sees nothing", function()
    local inputs = tensors(1, 1, 3, 3, 2, "f32")
    local mask = equi.zeros(3, 3):to "bool"
    mask[2] = true
    local y = equi.scaled_dot_product_attention(inputs[1], inputs[2], inputs[3], mask)
    assert.equal(0, y[1][1][2]:abs():sum():item())
    y:sum():backward()
    assert.equal(0, inputs[1].grad[1][1][2]:abs():sum():item())
    assert.is_true(inputs[3].grad:is_finite():all():item())
  end)

  it("passes NaN and large scores on as softmax does", function()
    local q = equi.full({1, 1, 2, 1}, 1000)
    local k = equi.tensor({{{{1000}, {-1000}, {999}}}})
    local y = equi.scaled_dot_product_attention(q, k, equi.tensor({{{{1}, {2}, {3}}}}))
    assert.equal(1, y[1][1][1][1]:item())
    q[1][1][2][1] = 0 / 0
    y = equi.scaled_dot_product_attention(q, k, equi.tensor({{{{1}, {2}, {3}}}}))
    assert.is_true(y[1][1][2]:is_nan():item())
    assert.equal(1, y[1][1][1][1]:item())
  end)

  it("of joint tensors is the same of their thirds", function()
    for _, mask in ipairs {false, equi.rand(2, 1, 1, 70):gt(0.8)} do
      if mask then mask[{{}, {}, {}, {1, 1}}] = false end
      local x = equi.randn({2, 70, 24}, {dtype = "f64"}):requires_grad_()
      local worst = difference({x}, equi.randn({2, 70, 8}, {dtype = "f64"}), function(joint)
        return equi.joint_attention(joint, mask or nil, 2, {causal = true})
      end, function(joint)
        local parts = joint:reshape(2, 70, 3, 2, -1):permute(3, 1, 4, 2, 5)
        return composed(parts[1], parts[2], parts[3], mask or nil, true):transpose(2, 3):reshape(2,
          70, 8)
      end)
      assert.is_true(worst < 1e-12, "off by " .. worst)
    end
  end)

  it("has the same bits on one and two threads, and by every instruction set nearly", function()
    local inputs, g = tensors(2, 3, 150, 150, 16, "f32")
    local first
    for _, set in ipairs(core.use_kernels()) do
      core.use_kernels(set)
      local found = {}
      for n = 1, 2 do
        equi.threads(n)
        for _, x in ipairs(inputs) do x.grad = nil end
        local y = equi.scaled_dot_product_attention(inputs[1], inputs[2], inputs[3],
          {causal = true});
        (y * g):sum():backward()
        found[n] = {y:detach(), inputs[1].grad, inputs[2].grad, inputs[3].grad}
      end
      first = first or found[1]
      for i = 1, 4 do
        assert.equal(0, off(found[1][i], found[2][i]))
        assert.is_true(off(found[1][i], first[i]) < 1e-4)
      end
    end
  end)

  it("refuses shapes that do not fit", function()
    local q, k = equi.ones(1, 2, 3, 4), equi.ones(1, 2, 5, 6)
    assert.error_matches(function() equi.scaled_dot_product_attention(q, k, k) end,
      "q is 1 x 2 x 3 x 4, k 1 x 2 x 5 x 6")
    assert.error_matches(function()
      equi.scaled_dot_product_attention(q, q, q, equi.zeros(2, 3):to "bool")
    end, "forbidden is 2 x 3; it must broadcast to 1 x 2 x 3 x 3")
    assert.error_matches(function() equi.joint_attention(equi.ones(1, 2, 10), nil, 2) end,
      "x is 1 x 2 x 10; it must be B x T x 3 H D with H = 2 heads")
  end)
end)

describe("affine", function()
  it("is a product and a bias, with their gradients", function()
    equi.seed(8)
    for _, lead in ipairs {{}, {3}, {2, 7}, {2, 3, 11}} do
      local sizes = #lead == 0 and {5} or table.move({5}, 1, 1, #lead + 1, {table.unpack(lead)})
      local outs = table.move({4}, 1, 1, #sizes, {table.unpack(sizes)})
      local x = equi.randn(sizes, {dtype = "f64"}):requires_grad_()
      local w = equi.randn({5, 4}, {dtype = "f64"}):requires_grad_()
      local b = equi.randn({4}, {dtype = "f64"}):requires_grad_()
      local worst = difference({x, w, b}, equi.randn(outs, {dtype = "f64"}), equi.affine,
        function(a, m, c) return a:matmul(m) + c end)
      assert.is_true(worst < 1e-12, #sizes .. " dims")
    end
    assert.error_matches(function() equi.affine(equi.ones(2, 3), equi.ones(2, 3)) end,
      "inner sizes differ: x is 2 x 3, w is 2 x 3 %(in x out%)")
  end)
end)
