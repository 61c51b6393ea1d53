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

  it("reads one metric of a log by step", function()
    local path = os.tmpname()
    write(path, '{"step": 2, "loss": 0.5}\n{"step": 4, "other": 1}\n{"step": 6, "loss": 0.25}\n')
    assert.same({steps = {2, 6}, values = {0.5, 0.25}}, results.history(path, "loss"))
    os.remove(path)
    assert.same({steps = {}, values = {}}, results.history(path, "loss"))
  end)

  it("names the options in which a file differs from a run", function()
    local equi = require "lua_equi"
    local folder = temporary()
    local plain, saved = folder .. "/result.json", folder .. "/run.safetensors"
    assert.is_nil(results.conflict(plain, {lr = 0.1}))
    write(plain, '{"options": {"lr": 0.1, "cell": "gru"}}')
    equi.checkpoint.save(saved, {options = {lr = 0.1, cell = "gru"}})
    for _, path in ipairs {plain, saved} do
      assert.is_nil(results.conflict(path, {lr = 0.1, cell = "gru"}))
      assert.equal('cell was "gru", is "rnn"; lr was 0.1, is 0.2',
                   results.conflict(path, {lr = 0.2, cell = "rnn"}))
      write(path, "{")
      local text, message = results.conflict(path, {})
      assert.is_nil(text)
      assert.matches(path, message, 1, true)
    end
    os.execute(("rm -r '%s'"):format(folder))
  end)
end)
