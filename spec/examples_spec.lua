-- Runs the example of every docstring: what it prints must be what its `--> ` lines say.
-- Blanks count as one, so that tabs of print and the lines of a printed tensor can be written
-- in one line; or a `--> ` for each line of what one print prints.
local equi = require "lua_equi"

local function squeezed(text) return (text:gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")) end

local function squeezed_all(list)
  local result = {}
  for i, text in ipairs(list) do result[i] = squeezed(text) end
  return result
end

local function expected(code)
  local list = {}
  for text in code:gmatch "%-%->%s*([^\n]*)" do list[#list + 1] = squeezed(text) end
  return list
end

-- Runs the code with `equi`, `x` and a print that collects; returns the lines.
local function run(name, code)
  local printed = {}
  local env = setmetatable({equi = equi, x = equi.tensor({{1, 2}, {3, 4}})}, {__index = _G})
  function env.print(...)
    local parts = {}
    for i = 1, select("#", ...) do parts[i] = tostring((select(i, ...))) end
    printed[#printed + 1] = table.concat(parts, " ")
  end
  local chunk, why = load(code, "=" .. name, "t", env)
  assert(chunk, why)
  local state, threads, dtype = equi.rng_state(), equi.threads(), equi.default_dtype()
  local ok, message = pcall(chunk)
  equi.rng_state(state)
  equi.threads(threads)
  equi.default_dtype(dtype)
  assert(ok, message)
  return printed
end

-- What was printed, cut into lines when there are as many as are expected.
local function as_expected(printed, want)
  if #printed == #want then return squeezed_all(printed) end
  local lines = {}
  for _, text in ipairs(printed) do
    for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
  end
  return squeezed_all(lines)
end

local function check(name, code)
  it(name, function()
    local want = expected(code)
    assert.same(want, as_expected(run(name, code), want))
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
  local pipe = assert(io.popen "find lua_equi -name '*.lua' -not -path '*/meta/*'")
  for path in pipe:lines() do
    for _, code in ipairs(examples_in(path)) do
      check(("%s:%d"):format(path, code.line), table.concat(code, "\n"))
    end
  end
  pipe:close()
end)
