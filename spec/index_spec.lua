-- Indexing that must be refused, and where its messages point; names that nothing has.
local equi = require "lua_equi"

-- The message of a mistake, and the line it names relative to the line of f.
local function complaint(f)
  local ok, message = pcall(f)
  assert.is_false(ok)
  local line, text = message:match "^[^:]*:(%d+): (.*)$"
  assert(line, "no line in: " .. tostring(message))
  return text, tonumber(line) - debug.getinfo(f, "S").linedefined
end

describe("indexing with a tensor", function()
  local x = equi.ones(2, 3)

  it("refuses positions that are not i64, whose bytes would be read as positions", function()
    for _, dtype in ipairs {"f32", "f64", "u8"} do
      local ids = equi.ones({1}, {dtype = dtype})
      local text, line = complaint(function()
        local y = x[{1, ids}]
        return y
      end)
      assert.equal("index: positions must have dtype i64, they are " .. dtype
        .. '; convert them: ids:to "i64"', text)
      assert.equal(1, line)
    end
    assert.has_error(function() return x[equi.ones(3)][1] end)
  end)

  it("refuses a mask among positions, and a single number", function()
    local mask = equi.tensor {true, false, true}
    assert.matches("a mask %(bool%) stands alone", (complaint(function()
      return x[{1, mask}][1]
    end)))
    assert.same({1, 3}, mask:nonzero():reshape(-1):totable()) -- what the message advises
    assert.matches("x is a single number", (complaint(function()
      return x[1][1][equi.tensor({1}, {dtype = "i64"})][1]
    end)))
  end)

  it("names the line of a position that does not exist, reading and writing", function()
    local _, line = complaint(function()
      local y = x[3]
      return y
    end)
    assert.equal(1, line)
    _, line = complaint(function()
      x[{1, 4}] = 0
    end)
    assert.equal(1, line)
  end)
end)

describe("a position under a name", function()
  it("is refused, in reading, in ranges and in assignment", function()
    local x = equi.ones(2, 3)
    for _, f in ipairs {function() return x[{dim = 1}] end, function() x[{dim = 1}] = 0 end,
                        function() return x[{1, {dim = 2}}] end} do
      assert.matches("index: positions stand in a list, one for each dim, got the key dim;",
                     (complaint(f)), 1, true)
    end
    assert.equal(6, x:sum():item())
  end)
end)

describe("a name that nothing has", function()
  local x = equi.ones(2, 3)

  it("is answered with what it is called here, or with the nearest name", function()
    assert.matches("it is x:reshape", (complaint(function() return x:view(6)[1] end)))
    assert.matches('did you mean "softmax"%?', (complaint(function() return x:softmx()[1] end)))
    assert.matches("equi.help%(x%) lists them", (complaint(function() return x.qqqqqq[1] end)))
    local text, line = complaint(function()
      return equi.sofmax(x)
    end)
    assert.equal('equi: nothing is called "sofmax"; did you mean "softmax"?', text)
    assert.equal(1, line)
    local method = complaint(function() return equi.detach(x)[1] end)
    assert.matches("it is the method x:detach", method)
    assert.matches("it is equi.seed", (complaint(function() return equi.manual_seed(1)[1] end)))
    assert.is_nil(equi[1])
  end)

  it("is refused by methods that are given no tensor", function()
    assert.equal("expand_as: y must be a tensor, got 3",
      (complaint(function() local _ = x:expand_as(3) end)))
  end)
end)
