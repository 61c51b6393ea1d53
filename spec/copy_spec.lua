-- Copies of transposed tensors go through tiles: every element must land where it belongs.
local equi = require "lua_equi"

local function numbered(shape, dtype)
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  return equi.arange(n):remainder(250):to(dtype):reshape(shape)
end

-- x copied after a permutation of its dims, against the same permutation done element by element.
local function check(shape, order, dtype)
  local x = numbered(shape, dtype)
  local y = x:permute(order):clone()
  assert.is_true(y:is_contiguous())
  local stride, n = x:stride(), {}
  for i, d in ipairs(order) do n[i] = shape[d] end
  local flat, out, at = x:reshape(-1):totable(), y:reshape(-1):totable(), {}
  for i = 1, #order do at[i] = 0 end
  for k = 1, #out do
    local from = 1
    for i, d in ipairs(order) do from = from + at[i] * stride[d] end
    if out[k] ~= flat[from] then
      error(("element %d of %s"):format(k, table.concat(shape, " x ")))
    end
    for i = #order, 1, -1 do
      at[i] = at[i] + 1
      if at[i] < n[i] then break end
      at[i] = 0
    end
  end
end

describe("copy", function()
  for _, dtype in ipairs {"f32", "f64", "i64", "u8"} do
    it("of a transposed matrix, whole tiles and rests, " .. dtype, function()
      local shapes = {{64, 64}, {16, 16}, {17, 33}, {100, 31}, {16, 500}, {3, 40}, {40, 3}}
      for _, shape in ipairs(shapes) do
        check(shape, {2, 1}, dtype)
      end
    end)
  end

  it("of permuted dims", function()
    check({5, 20, 33}, {3, 2, 1}, "f32")
    check({5, 20, 33}, {1, 3, 2}, "f32")
    check({2, 20, 3, 33}, {1, 4, 3, 2}, "f32")
    check({2, 3, 17, 18}, {2, 4, 1, 3}, "f64")
  end)

  it("into a transposed target, from a slice, with sizes of one", function()
    local x = numbered({40, 50}, "f32")
    local target = equi.zeros(50, 40)
    target:transpose(1, 2):copy_(x)
    assert.same(x:transpose(1, 2):totable(), target:totable())
    local part = x[{{3, 33}, {5, 45}}]:transpose(1, 2)
    assert.same(part:totable(), part:clone():totable())
    check({1, 40, 1, 50}, {4, 3, 2, 1}, "f32")
  end)

  it("is the same on two threads", function()
    local x = numbered({300, 700}, "f32")
    local before = equi.threads()
    equi.threads(1)
    local one = x:transpose(1, 2):clone()
    equi.threads(2)
    local two = x:transpose(1, 2):clone()
    equi.threads(before)
    assert.equal(one:tobytes(), two:tobytes())
  end)
end)
