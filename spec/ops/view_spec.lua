-- Views and what is next to them (narrow, squeeze, flatten, permute, expand, diagonal, ...), the
-- triangles, clone and to: against loops over Lua tables.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local op = require "spec.support.cases"

local data, raises, z = oracle.data, oracle.raises, equi.zeros

-- A method with these arguments as a function of x.
local function with(name, ...)
  local args = table.pack(...)
  return function(x) return x[name](x, table.unpack(args, 1, args.n)) end
end

local function mapped(t, f)
  local r = {}
  for i, v in ipairs(t) do r[i] = f(v, i) end
  return r
end

local function same(x) return x end
local function wrapped(x) return {x} end
local function each_wrapped(x) return mapped(x, wrapped) end
local function range(t, a, b) return table.move(t, a, b, 1, {}) end

local function flat(t, list)
  list = list or {}
  for _, v in ipairs(t) do
    if type(v) == "table" then flat(v, list) else list[#list + 1] = v end
  end
  return list
end

-- A rows x cols table of f(row, column).
local function grid(rows, cols, f)
  local r = {}
  for i = 1, rows do
    r[i] = {}
    for j = 1, cols do r[i][j] = f(i, j) end
  end
  return r
end

local function reshaped(rows, cols)
  return function(x)
    local list = flat(x)
    return grid(rows, cols, function(i, j) return list[(i - 1) * cols + j] end)
  end
end

local function turned(x) return grid(#x[1], #x, function(i, j) return x[j][i] end) end

op("narrow", {
  {"rows", f = with("narrow", 1, 2, 2), inputs = {data(4, 3)}, second = true,
   naive = function(x) return range(x, 2, 3) end},
  {"columns from the end", f = with("narrow", -1, -2, 2), inputs = {data(2, 4)}, second = true,
   naive = function(x) return mapped(x, function(r) return range(r, 3, 4) end) end},
  {"everything", f = with("narrow", 1, 1, 3), inputs = {data(3)}, naive = same},
})

op("squeeze", {
  {"all", f = with "squeeze", inputs = {data(1, 3, 1)}, second = true,
   naive = function(x) return flat(x) end},
  {"one dim", f = with("squeeze", -1), inputs = {data(1, 3, 1)},
   naive = function(x) return {flat(x)} end},
  {"a dim that is larger", f = with("squeeze", 1), inputs = {data(2, 3)}, naive = same},
})

op("unsqueeze", {
  {"in front", f = with("unsqueeze", 1), inputs = {data(2, 3)}, naive = wrapped, second = true},
  {"in the middle", f = with("unsqueeze", 2), inputs = {data(2, 3)},
   naive = function(x) return mapped(x, wrapped) end},
  {"at the end", f = with("unsqueeze", -1), inputs = {data(2, 3)},
   naive = function(x) return mapped(x, each_wrapped) end},
})

op("flatten", {
  {"all", f = with "flatten", inputs = {data(2, 3, 2)}, naive = function(x) return flat(x) end,
   second = true},
  {"from dim 2", f = with("flatten", 2), inputs = {data(2, 3, 2)},
   naive = function(x) return mapped(x, function(r) return flat(r) end) end},
  {"the first two", f = with("flatten", 1, 2), inputs = {data(2, 3, 2)}, naive = reshaped(6, 2)},
})

op("unflatten", {
  {"a vector", f = with("unflatten", 1, {2, 3}), inputs = {data(6)}, naive = reshaped(2, 3),
   second = true},
  {"one size open", f = with("unflatten", -1, {-1, 2}), inputs = {data(2, 4)},
   naive = function(x) return mapped(x, reshaped(2, 2)) end},
})

op("reshape", {
  {"a matrix", f = with("reshape", 3, 2), inputs = {data(2, 3)}, naive = reshaped(3, 2),
   second = true},
  {"one size open", f = with("reshape", {2, -1}), inputs = {data(3, 2)}, naive = reshaped(2, 3)},
})

op("permute", {
  {"three dims", f = with("permute", 3, 1, 2), inputs = {data(2, 3, 4)}, second = true,
   naive = function(x)
     local r = {}
     for k = 1, 4 do r[k] = grid(2, 3, function(i, j) return x[i][j][k] end) end
     return r
   end},
})

op("transpose", {
  {"a matrix", f = with "transpose", inputs = {data(2, 3)}, naive = turned, second = true},
  {"the last two", f = with "transpose", inputs = {data(2, 3, 2)},
   naive = function(x) return mapped(x, turned) end},
  {"the outer two", f = with("transpose", 1, -1), inputs = {data(2, 1, 3)}, second = true,
   naive = function(x)
     return mapped({1, 2, 3}, function(k) return {{x[1][1][k], x[2][1][k]}} end)
   end},
})

op("movedim", {
  {"the last to the front", f = with("movedim", {-1}, {1}), inputs = {data(2, 3, 2)}, second = true,
   naive = function(x)
     return mapped({1, 2}, function(k) return grid(2, 3, function(i, j) return x[i][j][k] end) end)
   end},
  {"two at once", f = with("movedim", {1, 2}, {2, 1}), inputs = {data(2, 3)}, naive = turned},
  {"a number each", f = with("movedim", 1, -1), inputs = {data(2, 3)}, naive = turned},
})

op("t", {
  {"a matrix", f = with "t", inputs = {data(2, 3)}, naive = turned, second = true},
  {"a vector", f = with "t", inputs = {data(3)}, naive = same},
})

op("expand", {
  {"columns", f = with("expand", 2, 3), inputs = {data(2, 1)}, second = true,
   naive = function(x) return mapped(x, function(r) return {r[1], r[1], r[1]} end) end},
  {"new dims in front", f = with("expand", {2, -1}), inputs = {data(3)}, second = true,
   naive = function(x) return {x, x} end},
})

-- The entries (i, i + k).
local function diagonal_of(x, k)
  local r = {}
  for i = 1, #x do r[#r + 1] = x[i][i + k] end
  return r
end

for k = -2, 3 do
  op("diagonal", {{"offset " .. k, f = with("diagonal", k), inputs = {data(3, 4)}, second = true,
    naive = function(x) return diagonal_of(x, k) end}})
  local function kept(side)
    return function(x)
      return grid(3, 4, function(i, j) return side * (j - i - k) >= 0 and x[i][j] or 0 end)
    end
  end
  op("tril", {{"offset " .. k, f = with("tril", k), inputs = {data(3, 4)}, naive = kept(-1),
    second = true}})
  op("triu", {{"offset " .. k, f = with("triu", k), inputs = {data(3, 4)}, naive = kept(1),
    second = true}})
end

op("diagonal", {
  {"of the outer dims", f = with("diagonal", 1, 1, 3), inputs = {data(2, 2, 3)}, second = true,
   naive = function(x) return grid(2, 2, function(j, i) return x[i][j][i + 1] end) end},
})

op("tril", {
  {"of each matrix", f = with "tril", inputs = {data(2, 2, 2)},
   naive = function(x)
     return mapped(x, function(m) return {{m[1][1], 0}, {m[2][1], m[2][2]}} end)
   end},
})

op("diag", {
  {"of a matrix", f = with("diag", -1), inputs = {data(3, 2)}, second = true,
   naive = function(x) return {x[2][1], x[3][2]} end},
  {"of a vector", f = with("diag", 1), inputs = {data(2)}, second = true,
   naive = function(x) return {{0, x[1], 0}, {0, 0, x[2]}, {0, 0, 0}} end},
})

op("clone", {{"of a matrix", inputs = {data(2, 3)}, naive = same, second = true}})

op("to", {
  {"f64", f = with("to", "f64"), inputs = {data(2, 3)}, naive = same, second = true},
  {"i64", f = with("to", "i64"), inputs = {data(2, 3)}, grad = false,
   naive = oracle.each(function(v) return v < 0 and math.ceil(v) or math.floor(v) end)},
  {"bool", f = with("to", "bool"), inputs = {equi.tensor({0, -0.5, 1}, {dtype = "f64"})},
   grad = false, naive = oracle.each(function(v) return v ~= 0 end)},
})

describe("views", function()
  it("share x's memory; clone and the triangles do not", function()
    local x = equi.arange(6):reshape(2, 3)
    local views = {x:narrow(1, 1, 1), x:unsqueeze(1):squeeze(), x:flatten(), x:unflatten(2, {3, 1}),
                   x:movedim({1}, {2}), x:t(), x:diagonal(), x:diag(), x:reshape(3, 2),
                   x:permute(2, 1), x:transpose(), x:expand(2, 2, 3)}
    for i, y in ipairs(views) do assert.is_true(x:shares_storage(y), "view " .. i) end
    for i, y in ipairs {x:clone(), x:tril(), x:triu(), x:t():flatten(), x:to "i64"} do
      assert.is_false(x:shares_storage(y), "copy " .. i)
    end
    x:diagonal():fill_(0)
    x:narrow(2, 3, 1):fill_(9)
    assert.same({{0, 2, 9}, {4, 0, 9}}, x:totable())
    assert.same({0, 0, 1}, equi.ones(1, 1, 3):expand(2, 2, 3):stride())
    assert.is_true(x:t():clone():is_contiguous())
  end)

  it("take sizes of 0 and 1, and single numbers", function()
    local one = equi.tensor(3)
    local sizes = {
      {{2, 0}, z(2, 3):narrow(2, 4, 0)}, {{0, 3}, z(1, 0, 3):squeeze()},
      {{0, 1}, z(0):unsqueeze(2)},
      {{1}, one:unsqueeze(1)}, {{}, z(1, 1):squeeze()}, {{0}, z(2, 0, 3):flatten()},
      {{1}, one:flatten()}, {{0, 2}, z(0):unflatten(1, {-1, 2})},
      {{0, 2}, z(2, 0):movedim({1}, {2})},
      {{}, one:t()}, {{0, 2}, z(2, 0):t()}, {{0}, z(0, 2):diagonal()}, {{0}, z(2, 3):diagonal(9)},
      {{0}, z(2, 3):diagonal(math.mininteger)}, {{0, 0}, z(0):diag()}, {{1, 1}, z(0):diag(-1)},
      {{0, 2}, z(0, 2):tril()}, {{2, 0}, z(2, 0):triu()}, {{0, 0}, z(0):reshape(0, 0)},
      {{}, z(1):reshape {}}, {{3, 0}, z(0, 3):permute(2, 1)}, {{2, 0}, z(2, 1):expand(2, 0)},
      {{2, 1}, one:expand(2, 1)}, {{0, 1}, z(0, 1):clone()}, {{0}, z(0):to "u8"},
    }
    for i, case in ipairs(sizes) do assert.same(case[1], {case[2]:size()}, "case " .. i) end
    assert.same({{1, 1}, {1, 1}}, equi.ones(2, 2):tril(math.maxinteger):totable())
    assert.same({{0, 0}, {0, 0}}, equi.ones(2, 2):triu(math.maxinteger):totable())
  end)

  it("convert between dtypes", function()
    for _, from in ipairs {"f32", "f64", "i64", "u8"} do
      for _, dtype in ipairs {"f32", "f64", "i64", "u8"} do
        local y = equi.tensor({0, 1, 200}, {dtype = from}):to(dtype)
        assert.equal(dtype, y.dtype)
        assert.same({0, 1, 200}, y:totable())
      end
      local x = equi.tensor({0, 1, 200}, {dtype = from})
      assert.same({false, true, true}, x:to("bool"):totable())
      assert.same({1, 0}, equi.tensor({true, false}):to(from):totable())
    end
    local w = equi.ones(2):requires_grad_()
    w:double():sum():backward()
    assert.equal("f32", w.grad.dtype)
    assert.is_false(w:long().requires_grad)
  end)

  it("work in place where they may", function()
    local x = equi.ones(2, 2)
    assert.equal(x, x:tril_())
    assert.same({{1, 0}, {1, 1}}, x:totable())
    x:triu_(1)
    assert.same({{0, 0}, {0, 0}}, x:totable())
  end)

  it("refuse what does not fit", function()
    local x, one = z(2, 3), equi.tensor(1)
    for _, c in ipairs {{2, 3}, {1, 0}, {math.maxinteger, 2}, {-1, 1}} do
      raises(("narrow: %d entries from %d on do not lie in dim 2, which has size 3"):format(
        c[1], c[2]), equi.narrow, x, 2, c[2], c[1])
    end
    raises("narrow: x is a single number and has no dims", equi.narrow, one, 1, 1, 1)
    raises("squeeze: dims must be a whole number from 1 to 2 (or -2 to -1), got 3", x.squeeze, x, 3)
    raises("unsqueeze: dim must be a whole number from 1 to 3 (or -3 to -1), got 4", x.unsqueeze,
           x, 4)
    raises("flatten: the first dim, 2, lies behind the last, 1", x.flatten, x, 2, 1)
    raises("unflatten: dim 2 has size 3 and does not become 2 x 2", x.unflatten, x, 2, {2, 2})
    raises("unflatten: dim 2 has size 3 and does not become -1 x -1", x.unflatten, x, 2, {-1, -1})
    raises("movedim: 2 dims are to be moved to 1 places", x.movedim, x, {1, 2}, {1})
    raises("movedim: a dim is named twice", x.movedim, x, {1, 1}, {1, 2})
    raises("movedim: 1 dims are to be moved to 2 places", x.movedim, x, 2, 1, 2)
    raises("movedim: a dim is named twice", x.movedim, x, {1, 2}, {2, 2})
    raises("t: x must be a matrix, it is 1 x 2 x 3", equi.t, z(1, 2, 3))
    raises("diagonal: dim1 and dim2 are the same dim", x.diagonal, x, 0, 1, 1)
    raises("diag: x must be a vector or a matrix, it is 1 x 2 x 3", equi.diag, z(1, 2, 3))
    raises("diag: offset 1099511627776 is too large", equi.diag, z(2), 1 << 40)
    raises("tril: x must have at least 2 dims, it is 2", equi.tril, z(2))
    raises("triu: x must have at least 2 dims, it is 2", equi.triu, z(2))
    raises("reshape: 2 x 3 has 6 elements and does not become 4", x.reshape, x, 4)
    raises("reshape: sizes must not be negative, except one -1, got -1 x -1", x.reshape, x, -1, -1)
    raises("reshape: -1 is ambiguous beside a size of 0 in -1 x 0", x.reshape, z(0), -1, 0)
    raises("reshape: a tensor has at most 8 dimensions, got 9", x.reshape, x, 1, 1, 1, 1, 1, 1, 1,
           1, 6)
    raises("permute: dims must name each of the 2 dims once", x.permute, x, 1, 1)
    raises("transpose: dim2 must be a whole number from 1 to 2 (or -2 to -1), got 3", x.transpose,
           x, 1, 3)
    raises("expand: 2 x 3 needs at least 2 sizes, got 1", x.expand, x, 3)
    raises("expand: 2 x 3 does not expand to 2 x 4: only dims of size 1 do", x.expand, x, 2, 4)
    raises('to: dtype must be one of "f32", "f64", "i64", "u8", "bool", got "f16"', x.to, x, "f16")
    raises('no field or method "contiguous"; it is x:clone()', function() return x.contiguous end)
  end)
end)
