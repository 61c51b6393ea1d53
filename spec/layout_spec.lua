-- Layouts in memory: channels-last tensors, and results that lie like their inputs.
local equi = require "lua_equi"

local function image(dtype)
  return equi.arange(2 * 3 * 4 * 5):to(dtype or "f32"):reshape(2, 3, 4, 5)
end

describe("channels_last", function()
  it("has the values and the shape of x, with the channels side by side", function()
    for _, dtype in ipairs {"f32", "f64", "i64", "u8"} do
      local x = image(dtype)
      local y = x:channels_last()
      assert.same({2, 3, 4, 5}, {y:size()})
      assert.is_true(y:is_channels_last())
      assert.is_false(y:is_contiguous())
      assert.same(x:totable(), y:totable())
      assert.is_true(y:clone():is_contiguous())
    end
  end)

  it("is x itself when it already lies so", function()
    local y = image():channels_last()
    y:channels_last()[1] = 7
    assert.equal(7, y[{1, 2, 3, 4}]:item())
    local thin = equi.zeros(2, 1, 4, 5)
    assert.is_true(thin:is_channels_last() and thin:is_contiguous())
    assert.is_true(equi.zeros(0, 3, 4, 5):is_channels_last())
    assert.is_false(equi.zeros(3, 4, 5):is_channels_last())
  end)

  it("sends gradients back", function()
    local x = image "f64":requires_grad_()
    local w = image "f64" / 10
    ;(x:channels_last() * w):sum():backward()
    assert.same(w:totable(), x.grad:totable())
  end)

  it("wants four dims", function()
    local _, message = pcall(function() equi.zeros(3, 4):channels_last() end)
    assert.matches("channels_last: x must have 4 dims %[B, C, H, W%], got 3 x 4", message)
  end)
end)

describe("the layout of a result", function()
  it("is that of the first input of its shape", function()
    local x = image():channels_last()
    local row = image()
    assert.is_true(x:relu():is_channels_last())
    assert.is_true((x + row):is_channels_last())
    assert.is_true((x * equi.ones(3, 1, 1)):is_channels_last())
    assert.is_true((equi.ones(3, 1, 1) * x):is_channels_last())
    assert.is_true(x:gt(3):is_channels_last())
    assert.is_true(x:to("f64"):is_channels_last())
    assert.is_true((row + x):is_contiguous())
    assert.same((row * 2 + row):totable(), (x * 2 + row):totable())
    assert.same((row + equi.arange(5):float()):totable(), (x + equi.arange(5):float()):totable())
  end)

  it("follows any dense order of dims, and is row-major for parts and expanded tensors", function()
    local x = image()
    local turned = x:permute(4, 2, 1, 3)
    assert.same(turned:stride(), turned:neg():stride())
    assert.same(turned:clone():neg():totable(), turned:neg():totable())
    assert.is_true(x[{{}, {1, 2}}]:neg():is_contiguous())
    assert.is_true(equi.ones(3, 1):expand(3, 4):neg():is_contiguous())
  end)

  it("changes no value in place", function()
    local x, row = image():channels_last(), image()
    x:add_(row):mul_(equi.arange(5):float())
    row:add_(image()):mul_(equi.arange(5):float())
    assert.same(row:totable(), x:totable())
  end)
end)
