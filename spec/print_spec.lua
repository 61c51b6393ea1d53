-- What tostring(x) shows: header, alignment, format, what is left out.
local equi = require "lua_equi"

local function shows(text, x) assert.equal(text, tostring(x)) end

describe("tostring of a tensor", function()
  after_each(function() equi.print_options{precision = 4, edge = 3, threshold = 1000} end)

  it("aligns numbers under a header", function()
    shows("f32[2 x 3]\n  1.0000   2.5000   3.0000\n -4.0000   5.0000   6.0000",
          equi.tensor{{1, 2.5, 3}, {-4, 5, 6}})
    shows("i64[3]\n   1  -20    3", equi.tensor({1, -20, 3}, {dtype = "i64"}))
    shows("u8[2]\n   0  255", equi.tensor({0, 255}, {dtype = "u8"}))
    shows("bool[2]\n  true  false", equi.tensor{true, false})
  end)

  it("shows whole numbers short, tiny and huge ones with an exponent", function()
    shows("f64[2]\n   1  200", equi.tensor({1, 200}, {dtype = "f64"}))
    shows("f32[2]\n 1.0000e-09  1.0000e+00", equi.tensor{1e-9, 1})
    shows("f32[2]\n 1.5000e+00  1.2346e+07", equi.tensor{1.5, 12345678})
  end)

  it("shows NaN and infinities beside numbers", function()
    shows("f32[4]\n    nan     inf    -inf  2.5000", equi.tensor{0 / 0, 1 / 0, -1 / 0, 2.5})
  end)

  it("shows single numbers in the header's line, and nothing of an empty tensor", function()
    shows("f32 3.5", equi.tensor(3.5))
    shows("i64 7", equi.tensor(7, {dtype = "i64"}))
    shows("f32[0 x 3]", equi.zeros(0, 3))
  end)

  it("says when gradients reach it", function()
    local x = equi.tensor({1}, {requires_grad = true})
    shows("f32[1] requires_grad\n 1", x)
    shows("f32[1] requires_grad, from mul\n 2", x * 2)
  end)

  it("has a title for each matrix, in Lua's counting", function()
    shows("f32[2 x 1 x 2]\n[1, :, :]\n 0  0\n[2, :, :]\n 0  0", equi.zeros(2, 1, 2))
  end)

  it("shortens above the threshold", function()
    shows("i64[2000]\n    1     2     3  ...  1998  1999  2000", equi.arange(2000))
    equi.print_options{threshold = 4, edge = 1}
    shows("f32[3 x 3]\n 1  ...  3\n ...\n 7  ...  9", equi.tensor{{1, 2, 3}, {4, 5, 6}, {7, 8, 9}})
    shows("i64[4]\n 1  2  3  4", equi.arange(4))
  end)

  it("takes the format from what it shows", function()
    local x = equi.zeros(2000)
    x[1000] = 1e-7
    shows("f32[2000]\n 0  0  0  ...  0  0  0", x)
  end)

  it("costs what it shows: expanded to 10^15 elements", function()
    local x = equi.tensor({{{1}}}):expand(100000, 100000, 100000)
    local text = tostring(x)
    assert.matches("^f32%[100000 x 100000 x 100000%]\n%[1, :, :%]", text)
    assert.is_true(#text < 2000)
    local deep = equi.ones(1, 1, 1, 1, 1, 1, 1, 1):expand(9, 9, 9, 9, 9, 9, 9, 9)
    assert.is_true(#tostring(deep) < 2000)
  end)

  it("shows views as they are", function()
    shows("f32[2 x 2]\n 1  3\n 2  4", equi.tensor({{1, 2}, {3, 4}}):t())
    shows("f32[2]\n 2  4", equi.tensor({{1, 2}, {3, 4}})[{{}, 2}])
  end)

  it("breaks long rows", function()
    local text = tostring(equi.arange(60))
    for line in text:gmatch "[^\n]+" do assert.is_true(#line <= 102) end
    assert.matches("58  59  60$", text)
  end)

  it("is set by print_options, which refuses what it does not know", function()
    equi.print_options{precision = 1}
    shows("f32[1]\n 0.5", equi.tensor{0.5})
    assert.same({precision = 1, edge = 3, threshold = 1000}, equi.print_options())
    assert.has_error(function() equi.print_options{digits = 3} end)
    assert.has_error(function() equi.print_options{edge = 0} end)
  end)
end)
