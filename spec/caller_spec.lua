-- The line that messages name: the user's, also where functions of the library lie in between.
local equi = require "lua_equi"

local function answer(code)
  return select(2, pcall(assert(load(code, "=user", "t", {equi = equi}))))
end

describe("the line of a message", function()
  it("is the user's", function()
    assert.matches('^user:2: train.run: no option "foo"',
      answer "\nequi.train.run {foo = 1}")
  end)

  it("is that of a tail call's caller", function()
    local code = "local function f() return equi.train.run {foo = 1} end\n\nlocal r = f()"
    assert.matches("^user:3: train.run: ", answer(code))
  end)

  it("is left out where a tail call has taken its place", function()
    assert.matches('^train.run: no option "foo"', answer "return equi.train.run {foo = 1}")
    assert.matches('^lstm: no option "foo"', answer "return equi.nn.lstm(2, 3, {foo = 1})")
  end)
end)
