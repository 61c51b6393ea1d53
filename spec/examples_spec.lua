-- Runs the example of every docstring: what it prints must be what its `--> ` lines say.
local equi = require "lua_equi"
local examples = require "spec.support.examples"

local function check(name, code)
  it(name, function()
    local env = examples.environment {equi = equi, x = equi.tensor({{1, 2}, {3, 4}})}
    examples.check(name, code, env)
  end)
end

describe("the example of", function()
  for _, row in ipairs(equi.core.ops) do
    if row.example then check(row.name, row.example) end
  end
  for name, doc in pairs(equi.core.docs) do
    if doc.example then check(name, doc.example) end
  end
end)

-- In Lua sources an example is the run of `---     code` lines below `--- Example:`.
local function examples_in(path)
  local list, code, n = {}, nil, 0
  for line in io.lines(path) do
    n = n + 1
    local text = line:match "^%s*%-%-%-     ?(.*)$"
    if line:match "^%s*%-%-%- Example:%s*$" then
      code = {line = n}
      list[#list + 1] = code
    elseif code and text then
      code[#code + 1] = text
    elseif not line:match "^%s*%-%-%-%s*$" then
      code = nil
    end
  end
  return list
end

describe("the example in", function()
  local pipe = assert(io.popen "find lua_equi models -name '*.lua' -not -path '*/meta/*'")
  for path in pipe:lines() do
    for _, code in ipairs(examples_in(path)) do
      check(("%s:%d"):format(path, code.line), table.concat(code, "\n"))
    end
  end
  pipe:close()
end)
