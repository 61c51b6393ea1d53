--- What a run tells: CSV and JSONL files, a progress line, aligned tables, human numbers.
--
-- Files are flushed row by row, so that a killed run loses at most the row it was writing, and a
-- resumed run cuts what lies beyond its checkpoint. Not a logging framework: no levels, no sinks.

local json = require "lua_equi.json"
local options = require "lua_equi.options"

local log = {}

--- Whether a file is a terminal. Plain Lua cannot tell, so this says no; put a better one here.
---@param _file file*
---@return boolean
--- Example:
---     local log = require "lua_equi.log"
---     print(type(log.isatty(io.stderr)))   --> boolean
function log.isatty(file)
  local core = package.loaded["lua_equi.core"]
  return core ~= nil and core.is_terminal(file)
end

--- Seconds of wall-clock time; whole ones in plain Lua. A finer clock may be put here.
---@return number
--- Example:
---     local log = require "lua_equi.log"
---     print(log.clock() > 0)   --> true
function log.clock()
  local core = package.loaded["lua_equi.core"]
  return core and core.clock() or os.time()
end

local WIDE = {{0x1100, 0x115F}, {0x2E80, 0x303E}, {0x3041, 0xA4CF}, {0xAC00, 0xD7A3},
  {0xF900, 0xFAFF}, {0xFE30, 0xFE6F}, {0xFF00, 0xFF60}, {0xFFE0, 0xFFE6}, {0x1F300, 0x1F64F},
  {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD}}
local EMPTY = {{0x0300, 0x036F}, {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x200B, 0x200D},
  {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}}

local function within(ranges, code)
  for _, r in ipairs(ranges) do
    if code >= r[1] and code <= r[2] then return true end
  end
  return false
end

--- The columns a text takes on a terminal: 2 for wide letters, 0 for combining marks; bytes when
--- it is not UTF-8.
---@param text string
---@return integer
--- Example:
---     local log = require "lua_equi.log"
---     print(log.width "±é", log.width "群")   --> 2 2
function log.width(text)
  if not text:find "[\128-\255]" or not utf8.len(text) then return #text end
  local n = 0
  for _, code in utf8.codes(text) do
    if not within(EMPTY, code) then n = n + (within(WIDE, code) and 2 or 1) end
  end
  return n
end

local function pad(text, width, right)
  local space = (" "):rep(width - log.width(text))
  return right and space .. text or text .. space
end

-- The cell as text, and whether it may stand in a column of numbers.
local function cell(value)
  if value == nil then return "", true end
  if math.type(value) == "float" then return ("%.4g"):format(value), true end
  return (tostring(value):gsub("%c", " ")), type(value) == "number"
end

--- Rows as an aligned table. Floats are shown with four digits; format them yourself for others.
---@param rows any[][] the first row is the header unless header = false
---@param given? {align: string, header: boolean, markdown: boolean} align: a letter l or r for
--- each column; default: a column is right-aligned when its cells below the header are numbers
---@return string lines without a final line break
--- Example:
---     local log = require "lua_equi.log"
---     print(log.table {{"split", "test"}, {"add_jump", 98.5}})
---     --> split     test
---     --> --------  ----
---     --> add_jump  98.5
function log.table(rows, given)
  local o = options.check("log.table", given, {align = "", header = true, markdown = false})
  if not o.align:find "^[lr]*$" then
    error(('log.table: align is a letter l or r for each column, got "%s"'):format(o.align), 2)
  end
  local columns, texts, widths, right = 0, {}, {}, {}
  for _, row in ipairs(rows) do columns = math.max(columns, #row) end
  for i, row in ipairs(rows) do
    texts[i] = {}
    for c = 1, columns do
      local text, number = cell(row[c])
      if o.markdown then text = text:gsub("|", "\\|") end
      texts[i][c] = text
      widths[c] = math.max(widths[c] or 0, log.width(text))
      if i > 1 or not o.header then right[c] = right[c] ~= false and number end
    end
  end
  for c = 1, #o.align do right[c] = o.align:sub(c, c) == "r" end
  local lines = {}
  local function add(parts)
    local line = table.concat(parts, o.markdown and " | " or "  ")
    lines[#lines + 1] = o.markdown and "| " .. line .. " |" or (line:gsub(" +$", ""))
  end
  for i, row in ipairs(texts) do
    for c = 1, columns do row[c] = pad(row[c], widths[c], right[c]) end
    add(row)
    if i == 1 and (o.header or o.markdown) then
      local rule = {}
      for c = 1, columns do
        local dashes = ("-"):rep(math.max(widths[c] - (o.markdown and right[c] and 1 or 0), 1))
        rule[c] = dashes .. (o.markdown and right[c] and ":" or "")
      end
      add(rule)
    end
  end
  return table.concat(lines, "\n")
end

--- Seconds for people.
---@param seconds number
---@return string
--- Example:
---     local log = require "lua_equi.log"
---     print(log.duration(0.0421), log.duration(75), log.duration(8000))
---     --> 42.1 ms 1 min 15 s 2 h 13 min
function log.duration(seconds)
  if seconds ~= seconds or math.abs(seconds) == math.huge then return "?" end
  if seconds < 0 then return "-" .. log.duration(-seconds) end
  if seconds < 0.9995e-3 then return ("%.3g us"):format(seconds * 1e6) end
  if seconds < 0.9995 then return ("%.3g ms"):format(seconds * 1e3) end
  if seconds < 59.95 then return ("%.3g s"):format(seconds) end
  local whole = math.floor(seconds + 0.5)
  if whole < 3600 then return ("%d min %02d s"):format(whole // 60, whole % 60) end
  local minutes = (whole + 30) // 60
  if minutes < 1440 then return ("%d h %02d min"):format(minutes // 60, minutes % 60) end
  local hours = (minutes + 30) // 60
  return ("%d d %02d h"):format(hours // 24, hours % 24)
end

--- A count for people: whole with commas.
---@param n integer
---@return string
--- Example:
---     local log = require "lua_equi.log"
---     print(log.count(20910))   --> 20,910
function log.count(n)
  local sign, digits = ("%.0f"):format(n):match "^(-?)(%d+)$"
  if not digits then return tostring(n) end
  local grouped = digits:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", "")
  return sign .. grouped
end


local function csv_text(value)
  if value == nil then return "" end
  if type(value) == "number" then return json.number(value) end
  local text = tostring(value)
  if text:find '[,"\r\n]' then return '"' .. text:gsub('"', '""') .. '"' end
  return text
end

-- Reads the CSV record at pos. Returns its fields and the position after it; nil when the record
-- is not complete, as the last one of a killed run.
local function csv_record(text, pos)
  local fields = {}
  while true do
    local field, stop
    if text:sub(pos, pos) == '"' then
      local from = pos + 1
      repeat
        stop = text:find('"', from, true)
        if not stop then return nil end
        from = stop + 2
      until text:sub(stop + 1, stop + 1) ~= '"'
      field, stop = text:sub(pos + 1, stop - 1):gsub('""', '"'), stop + 1
    else
      stop = text:find("[,\n]", pos)
      if not stop then return nil end
      field = text:sub(pos, stop - 1)
    end
    fields[#fields + 1] = field
    local c = text:sub(stop, stop)
    if c == "\n" then return fields, stop + 1 end
    if c ~= "," then return nil end
    pos = stop + 1
  end
end

local function read_all(path)
  local file, problem, code = io.open(path, "rb")
  if not file then
    if code == 2 then return "" end -- ENOENT: nothing to resume is an empty log
    return nil, problem
  end
  local text
  text, problem = file:read "a"
  file:close()
  return text, problem and path .. ": " .. problem
end

-- How many bytes of a CSV text hold its header and the rows up to a step.
local function keep_csv(text, columns, key, step)
  local header, pos = csv_record(text, 1)
  if not header then return 0 end
  if table.concat(header, ",") ~= table.concat(columns, ",") then
    return nil, ("its columns are %s, this run writes %s"):format(table.concat(header, ", "),
      table.concat(columns, ", "))
  end
  local place
  for i, name in ipairs(columns) do place = name == key and i or place end
  if not place then return nil, ('no column "%s" to resume by'):format(key) end
  while true do
    local row, after = csv_record(text, pos)
    local at = row and tonumber(row[place])
    if not at or at > step then return pos - 1 end
    pos = after
  end
end

local function keep_jsonl(text, _, key, step)
  local pos = 1
  while true do
    local stop = text:find("\n", pos, true)
    local row = stop and json.decode(text:sub(pos, stop - 1))
    local at = type(row) == "table" and tonumber(row[key])
    if not at or at > step then return pos - 1 end
    pos = stop + 1
  end
end

local writer = {}
writer.__index = writer
writer.__name = "log.writer"

-- Opens a log; `resume` keeps the rows up to that step. The kept part is written beside the file
-- and renamed, so that a full disk cannot lose it.
local function open(who, path, columns, given, keep)
  local o = options.check(who, given, {resume = options.any(), key = "step"})
  local kept = ""
  if o.resume then
    local text, problem = read_all(path)
    if not text then return nil, ("%s: %s"):format(who, problem) end
    local bytes
    bytes, problem = keep(text, columns, o.key, o.resume)
    if not bytes then return nil, ("%s: %s: %s"):format(who, path, problem) end
    kept = text:sub(1, bytes)
  end
  local fresh = path .. ".new"
  local file, problem = io.open(fresh, "wb")
  local done = file
  if file then
    if kept == "" and columns then
      local names = {}
      for i, name in ipairs(columns) do names[i] = csv_text(name) end
      kept = table.concat(names, ",") .. "\n"
    end
    done, problem = file:write(kept)
    if done then done, problem = file:flush() end
  end
  if done then done, problem = os.rename(fresh, path) end
  if not done then
    if file then file:close() end
    return nil, ("%s: %s: %s"):format(who, path, problem)
  end
  return setmetatable({file = file, path = path, columns = columns, who = who}, writer)
end

--- Opens a CSV log. Without `resume` an existing file is replaced.
---@param path string
---@param columns string[]
---@param given? {resume: integer, key: string} resume keeps the rows whose `key` (default "step")
--- is at most this and drops the rest, a half-written last row included
---@return table? writer nil when the file cannot be opened or its columns differ
---@return string? message
--- Example:
---     local log = require "lua_equi.log"
---     local path = os.tmpname()
---     local csv = log.csv(path, {"step", "loss"})
---     csv:row {step = 1, loss = 0.5}
---     csv:close()
---     print((io.open(path):read "a"):gsub("\n", ";"))   --> step,loss;1,0.5; 2
---     os.remove(path)
function log.csv(path, columns, given)
  local w, problem = open("log.csv", path, columns, given, keep_csv)
  return w, problem
end

--- Opens a JSONL log: an object a line, any keys. nan and infinities are written as null.
---@param path string
---@param given? {resume: integer, key: string} as for `log.csv`
---@return table? writer
---@return string? message
--- Example:
---     local log = require "lua_equi.log"
---     local path = os.tmpname()
---     local lines = log.jsonl(path)
---     lines:row {step = 1, loss = 0.5}
---     lines:close()
---     print(io.open(path):read())   --> {"loss":0.5,"step":1}
---     os.remove(path)
function log.jsonl(path, given)
  local w, problem = open("log.jsonl", path, nil, given, keep_jsonl)
  return w, problem
end

local function csv_line(self, row)
  local texts, known = {}, {}
  for i, name in ipairs(self.columns) do
    texts[i], known[name] = csv_text(row[name]), true
  end
  for name in pairs(row) do
    if not known[name] then
      error(('log.csv: no column "%s"; columns are %s'):format(tostring(name),
        table.concat(self.columns, ", ")), 3)
    end
  end
  return table.concat(texts, ",")
end

local function jsonl_line(row)
  local clean = {}
  for name, value in pairs(row) do
    local finite = type(value) ~= "number" or (value == value and math.abs(value) ~= math.huge)
    clean[name] = finite and value or not finite and json.null or value
  end
  return json.encode(clean)
end

--- Writes a row and flushes it. A CSV column without a value stays empty.
---@param row table<string, any>
---@return boolean? ok nil when the disk is full or the like
---@return string? message
--- Example:
---     local log = require "lua_equi.log"
---     local path = os.tmpname()
---     local csv = log.csv(path, {"step"})
---     print(csv:row {step = 1}, csv:close(), os.remove(path))   --> true true true
function writer:row(row)
  local line = self.columns and csv_line(self, row) or jsonl_line(row)
  local ok, problem = self.file:write(line, "\n")
  if ok then ok, problem = self.file:flush() end
  if not ok then return nil, ("%s: %s: %s"):format(self.who, self.path, problem) end
  return true
end

--- Closes the file.
---@return boolean? ok
---@return string? message
--- Example:
---     local log = require "lua_equi.log"
---     local path = os.tmpname()
---     print(log.jsonl(path):close(), os.remove(path))   --> true true
function writer:close()
  return self.file:close()
end


local progress = {}
progress.__index = progress
progress.__name = "log.progress"

--- A progress line: on a terminal one line that updates, elsewhere a line every `every` seconds.
---@param total integer steps of the whole run
---@param given? {label: string, start: integer, every: number, interval: number, quiet: boolean,
--- out: file*} start: the step resumed from; every: 30 s; interval: of the terminal, 0.1 s
---@return table progress with update(step, values) and done(text)
--- Example:
---     local log = require "lua_equi.log"
---     local p = log.progress(1000, {label = "train"})
---     for step = 1, 1000 do p:update(step, {loss = 1 / step}) end
---     p:done()
function log.progress(total, given)
  local o = options.check("log.progress", given, {label = "", start = 0, every = 30,
    interval = 0.1, quiet = false, out = options.any(io.stderr)})
  o.total, o.began, o.terminal = total, log.clock(), log.isatty(o.out)
  o.last = o.terminal and -math.huge or o.began
  return setmetatable(o, progress)
end

-- The line for a step: label, step, rate, time left, values by name.
local function progress_line(self, step, values, now)
  local parts = {("%s %s/%s"):format(self.label, log.count(step), log.count(self.total))}
  local rate = now > self.began and (step - self.start) / (now - self.began) or 0
  if rate > 0 then
    parts[2] = ("%.4g/s"):format(rate)
    parts[3] = log.duration(math.max(self.total - step, 0) / rate) .. " left"
  end
  local names = {}
  for name in pairs(values or {}) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do parts[#parts + 1] = name .. " " .. cell(values[name]) end
  return (table.concat(parts, "  "):gsub("^ +", ""))
end

-- Cuts a line to the terminal's width, so that it never wraps.
local function fit(line, width)
  while log.width(line) > width do
    line = line:sub(1, (utf8.offset(line, -1) or #line) - 1)
  end
  return line
end

--- Reports a step; cheap enough to call at every one.
---@param step integer
---@param values? table<string, any> shown by name, e.g. {loss = 0.5}
--- Example:
---     local log = require "lua_equi.log"
---     log.progress(10, {quiet = true}):update(1, {loss = 0.5})
function progress:update(step, values)
  if self.quiet then return end
  local now = log.clock()
  if now - self.last < (self.terminal and self.interval or self.every) then return end
  self.last = now
  local line = progress_line(self, step, values, now)
  if self.terminal then
    local width = tonumber(os.getenv "COLUMNS") or 80
    self.out:write("\r", fit(line, width - 1), "\27[K")
  else
    self.out:write(line, "\n")
  end
  self.out:flush()
end

--- Ends the progress line, leaving a text in its place.
---@param text? string
--- Example:
---     local log = require "lua_equi.log"
---     log.progress(10, {quiet = true}):done "finished"
function progress:done(text)
  if self.quiet then return end
  if self.terminal then self.out:write "\r\27[K" end
  if text then self.out:write(text, "\n") end
  self.out:flush()
end

return log
