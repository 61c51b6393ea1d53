local log = require "lua_equi.log"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

-- A file that remembers what was written.
local function memory()
  local m = {text = ""}
  function m:write(...) self.text = self.text .. table.concat({...}) end
  function m.flush() end
  return m
end

describe("log.table", function()
  it("aligns columns by the width that a terminal shows", function()
    assert.equal(table.concat({
      "name  score",
      "----  -----",
      "群       12",
      "é±     98.5",
      "e\u{301}         1",
      "a b"}, "\n"),
      log.table {{"name", "score"}, {"群", 12}, {"é±", 98.5}, {"e\u{301}", 1}, {"a\nb", nil}})
  end)

  it("takes alignment, no header, Markdown", function()
    assert.equal(" a  1\nbb  22", log.table({{"a", "1"}, {"bb", "22"}},
      {header = false, align = "rl"}))
    assert.equal("| a\\|b |  n |\n| ---- | -: |\n| x    | 10 |",
      log.table({{"a|b", "n"}, {"x", 10}}, {markdown = true}))
    assert.equal("", log.table {})
    assert.error_matches(function() log.table({}, {align = "lx"}) end,
      'log.table: align is a letter l or r for each column, got "lx"')
  end)
end)

describe("human numbers", function()
  it("name durations and counts", function()
    local expected = {[0] = "0 us", [2e-6] = "2 us", [0.0421] = "42.1 ms", [0.9996] = "1 s",
      [5.25] = "5.25 s", [59.96] = "1 min 00 s", [75] = "1 min 15 s", [3599.6] = "1 h 00 min",
      [8000] = "2 h 13 min", [86400] = "1 d 00 h", [-75] = "-1 min 15 s", [math.huge] = "?"}
    for seconds, text in pairs(expected) do assert.equal(text, log.duration(seconds)) end
    assert.equal("0", log.count(0))
    assert.equal("999", log.count(999))
    assert.equal("-1,000", log.count(-1000))
    assert.equal("1,234,567", log.count(1234567))
  end)
end)

describe("log.csv", function()
  local path
  before_each(function() path = os.tmpname() end)
  after_each(function() os.remove(path) end)

  it("writes each row at once, quoting what needs it", function()
    local csv = assert(log.csv(path, {"step", "loss", "note"}))
    assert.is_true(csv:row {step = 1, loss = 0.1, note = 'a,"b"\nc'})
    assert.equal('step,loss,note\n1,0.1,"a,""b""\nc"\n', read(path))
    assert.is_true(csv:row {step = 2, loss = 0 / 0})
    assert.matches("\n2,%-?nan,\n$", read(path))
    assert.error_matches(function() csv:row {los = 1} end,
      'log.csv: no column "los"; columns are step, loss, note')
    csv:close()
  end)

  it("cuts rows beyond the resumed step, and a half-written one", function()
    write(path, 'step,note\n1,"a\nb"\n2,x\n3,y\n4,"half')
    local csv = assert(log.csv(path, {"step", "note"}, {resume = 2}))
    csv:row {step = 3, note = "z"}
    csv:close()
    assert.equal('step,note\n1,"a\nb"\n2,x\n3,z\n', read(path))
    assert(log.csv(path, {"step", "note"}, {resume = 9})):close()
    assert.equal('step,note\n1,"a\nb"\n2,x\n3,z\n', read(path))
    assert(log.csv(path, {"step", "note"})):close()
    assert.equal("step,note\n", read(path))
    os.remove(path)
    assert(log.csv(path, {"step"}, {resume = 9})):close()
    assert.equal("step\n", read(path))
  end)

  it("refuses to resume a log of other columns, and leaves it alone", function()
    write(path, "step,loss\n1,2\n")
    assert.equal("log.csv: " .. path .. ": its columns are step, loss, this run writes step, acc",
      select(2, log.csv(path, {"step", "acc"}, {resume = 1})))
    assert.equal("log.csv: " .. path .. ': no column "epoch" to resume by',
      select(2, log.csv(path, {"step", "loss"}, {resume = 1, key = "epoch"})))
    assert.equal("step,loss\n1,2\n", read(path))
  end)

  it("says why it cannot write", function()
    assert.equal("log.csv: no/such/log.csv: no/such/log.csv.new: No such file or directory",
      select(2, log.csv("no/such/log.csv", {"step"})))
    local full = io.open("/dev/full", "w")
    if not full then pending "full disk: /dev/full is absent" end
    local csv = assert(log.csv(path, {"step"}))
    csv.file:close()
    csv.file = full
    local ok, problem = csv:row {step = 1}
    assert.is_nil(ok)
    assert.equal("log.csv: " .. path .. ": No space left on device", problem)
    assert.error_matches(function() log.csv(path, {"step"}, {resum = 1}) end,
      'log.csv: no option "resum"; options are key, resume')
  end)
end)

describe("log.jsonl", function()
  it("writes sorted objects, null for what is not finite, and resumes", function()
    local path = os.tmpname()
    local lines = assert(log.jsonl(path))
    for step = 1, 3 do lines:row {step = step, loss = 1 / (step - 1), last = false} end
    lines:close()
    assert.equal('{"last":false,"loss":null,"step":1}\n{"last":false,"loss":1.0,"step":2}\n'
      .. '{"last":false,"loss":0.5,"step":3}\n', read(path))
    write(path, read(path) .. '{"step":')
    assert(log.jsonl(path, {resume = 2})):close()
    assert.equal('{"last":false,"loss":null,"step":1}\n{"last":false,"loss":1.0,"step":2}\n',
      read(path))
    os.remove(path)
  end)
end)

describe("log.progress", function()
  local clock, isatty, now = log.clock, log.isatty, 0
  before_each(function()
    now = 100
    log.clock = function() return now end
  end)
  after_each(function() log.clock, log.isatty = clock, isatty end)

  it("writes a sparse line where there is no terminal", function()
    local out = memory()
    local p = log.progress(2000, {label = "train", start = 1000, out = out})
    p:update(1001, {loss = 0.5})
    assert.equal("", out.text)
    now = 130
    p:update(1300, {loss = 0.25, acc = 1})
    now = 131
    p:update(1310)
    p:done "trained"
    assert.equal("train 1,300/2,000  10/s  1 min 10 s left  acc 1  loss 0.25\ntrained\n", out.text)
  end)

  it("updates one line on a terminal, never wider than it", function()
    log.isatty = function() return true end
    local out = memory()
    local p = log.progress(10, {out = out})
    p:update(1)
    now = now + 0.05
    p:update(2)
    now = now + 0.15
    p:update(3, {note = ("é"):rep(200)})
    p:done()
    local first, second = out.text:match "^\r(.-)\27%[K\r(.-)\27%[K\r\27%[K$"
    assert.equal("1/10", first)
    assert.is_true(log.width(second) <= (tonumber(os.getenv "COLUMNS") or 80) - 1)
    assert.matches("^3/10  15/s  467 ms left  note é", second)
  end)

  it("says nothing when quiet", function()
    local out = memory()
    local p = log.progress(10, {out = out, quiet = true})
    now = 1000
    p:update(1)
    p:done "x"
    assert.equal("", out.text)
  end)
end)
