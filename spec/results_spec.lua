-- lua_equi/results.lua: means over runs, tables, reading a folder.
local results = require "lua_equi.results"

local function temporary()
  local folder = os.tmpname()
  os.remove(folder)
  os.execute(("mkdir -p '%s/a' '%s/b'"):format(folder, folder))
  return folder
end

local function write(path, text)
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
end

describe("results", function()
  it("gives mean and sample standard deviation", function()
    assert.same({5, 2}, {results.mean_std {3, 5, 7}})
    assert.same({3, 0}, {results.mean_std {3}})
  end)

  it("groups rows by keys, and shows the worst where asked", function()
    local list = {{cell = "gru", rows = {{name = "a", v = 1}, {name = "b", v = 5}}},
                  {cell = "gru", rows = {{name = "a", v = 3}}}}
    local text = results.table(list, {"cell", "name"}, {
      {field = "v", format = "%.1f"}, {field = "v", format = "%.0f", title = "top", worst = true}})
    local lines = {}
    for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line:gsub("%s+", " ") end
    assert.matches("^gru a 2 2.0 ± 1.4 3$", lines[3])
    assert.matches("^gru b 1 5.0 5$", lines[4])
  end)

  it("reads a folder, and names the file that is broken", function()
    local folder = temporary()
    write(folder .. "/a/result.json", '{"rows": []}')
    assert.equal(1, #results.read(folder))
    write(folder .. "/b/result.json", '{"rows": [')
    local list, message = results.read(folder)
    assert.is_nil(list)
    assert.matches("results.read: .*b/result.json", message)
    os.execute(("rm -r '%s'"):format(folder))
    assert.matches("no results in", select(2, results.read(folder)))
  end)
end)
