-- Runs examples: what they print must be what their `--> ` comments say. Used for docstrings and
-- for the blocks of the guides.
-- Blanks count as one, so that tabs of print and the lines of a printed tensor can be written
-- in one line; or a `--> ` for each line of what one print prints.
local equi = require "lua_equi"
local assert = require "luassert"

local examples = {}

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

-- The globals of a program that leaves ours alone.
function examples.environment(more) return setmetatable(more or {}, {__index = _G}) end

-- Runs the code with a print that collects; returns the lines.
local function run(name, code, env)
  local printed = {}
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

-- Fails unless the code prints what it says.
function examples.check(name, code, env)
  local want = expected(code)
  assert.same(want, as_expected(run(name, code, env), want))
end

return examples
