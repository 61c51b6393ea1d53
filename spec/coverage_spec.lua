-- Every function that a user sees has a docstring, an example that prints something, and a spec
-- that names it. A new op without them fails here, by name.
local equi = require "lua_equi"

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "a"
  file:close()
  return text
end

-- All words of all specs but this one, as a set.
local function words_of_specs()
  local words, pipe = {}, assert(io.popen "find spec -name '*_spec.lua'")
  for path in pipe:lines() do
    if not path:find("coverage_spec", 1, true) then
      for word in read(path):gmatch "[%a_][%w_]*" do words[word] = true end
    end
  end
  pipe:close()
  return words
end

local function report(missing)
  table.sort(missing)
  assert(#missing == 0, table.concat(missing, "\n"))
end

describe("coverage", function()
  it("every op has a docstring and an example that says what it prints", function()
    local missing = {}
    for _, row in ipairs(equi.core.ops) do
      local function lacks(what) missing[#missing + 1] = row.name .. " has no " .. what end
      if not row.doc or row.doc == "" then lacks "docstring" end
      if not row.where then lacks "place in the sources" end
      if not row.hidden then
        if not row.example then lacks "example"
        elseif not row.example:find "%-%-> " then lacks "`--> ` in its example" end
      end
    end
    report(missing)
  end)

  it("every other function of the core has a docstring and an example", function()
    local missing = {}
    for name, doc in pairs(equi.core.docs) do
      if not doc.doc or doc.doc == "" then missing[#missing + 1] = name .. " has no docstring" end
      if not doc.example then missing[#missing + 1] = name .. " has no example" end
    end
    report(missing)
  end)

  it("every op is named in a spec", function()
    local words, missing = words_of_specs(), {}
    for _, row in ipairs(equi.core.ops) do
      if not row.hidden and not words[row.name] then
        missing[#missing + 1] = row.name .. " is in no spec"
      end
    end
    report(missing)
  end)

  it("what the table of ops says is there", function()
    for _, row in ipairs(equi.core.ops) do
      if not row.hidden then
        if not row.method_only then assert.is_function(equi[row.name], row.name) end
        if row.inplace then assert.is_function(equi.core.methods[row.name .. "_"], row.name) end
      end
    end
  end)
end)
