--- What the measurements share: timing by medians, peers as child processes, tables.
--
-- A peer is measured in rounds that alternate with ours, so that a busy machine is busy for both;
-- what is shown is the median over the rounds.
local equi = require "lua_equi"
local json = require "lua_equi.json"
local log = require "lua_equi.log"

local measure = {}

function measure.median(list)
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted)
  local n = #sorted
  if n == 0 then return nil end
  return n % 2 == 1 and sorted[n // 2 + 1] or (sorted[n // 2] + sorted[n // 2 + 1]) / 2
end

-- Median over the rounds (9) of the mean time of a call; `budget` in seconds for all rounds.
function measure.seconds_per_call(call, budget, rounds)
  local times = {}
  rounds = rounds or 9
  call()
  local start = equi.clock()
  call()
  local once = math.max(equi.clock() - start, 1e-7)
  local count = math.max(1, budget / rounds / once // 1 | 0)
  for r = 1, rounds do
    start = equi.clock()
    for _ = 1, count do call() end
    times[r] = (equi.clock() - start) / count
  end
  return measure.median(times)
end

function measure.quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- Runs a command; the lines it prints that are JSON objects, or nil when it fails.
function measure.child(command)
  local pipe = io.popen(command, "r")
  local rows = {}
  for line in pipe:lines() do
    if line:sub(1, 1) == "{" then rows[#rows + 1] = json.decode(line) end
  end
  return pipe:close() and rows or nil
end

-- The variables that leave PyTorch's memory in the process between calls, as ours stays.
local TUNED = "GLIBC_TUNABLES=glibc.malloc.mmap_threshold=8589934592:"
  .. "glibc.malloc.trim_threshold=17179869184:glibc.malloc.hugetlb=1 "

-- The command line of a PyTorch peer, or nil when there is no PyTorch.
function measure.pytorch(ctx, script, words, tuned)
  if not ctx.python then return nil end
  return ("%s%s %spytorch/%s %s"):format(tuned and TUNED or "", ctx.python, ctx.here, script, words)
end

-- measured[name] gets one more sample from every row of a child that ran.
function measure.collect(measured, rows, value)
  for i, row in ipairs(rows or {}) do
    local key, sample = value(row, i)
    measured[key] = measured[key] or {}
    table.insert(measured[key], sample)
  end
end

function measure.number(x, format)
  return x and (format or "%.3g"):format(x) or "-"
end

-- b / a as text: how many times as fast a is as b.
function measure.ratio(a, b) return a and b and ("%.2f"):format(b / a) or "-" end

-- Prints the table and writes the lines to out/bench/NAME-THREADS.jsonl.
function measure.show(ctx, name, title, header, rows, records)
  print()
  print(title)
  local lines = {header}
  for _, row in ipairs(rows) do lines[#lines + 1] = row end
  print(log.table(lines, {align = "l" .. ("r"):rep(#header - 1)}))
  local path = ("%s/%s-%d.jsonl"):format(ctx.out, name, ctx.threads)
  local writer, problem = log.jsonl(path)
  if not writer then
    io.stderr:write("bench: ", problem, "\n")
    os.exit(1)
  end
  for _, record in ipairs(records) do
    record.threads, record.date, record.machine = ctx.threads, ctx.date, ctx.cpu
    writer:row(record)
  end
  writer:close()
end

return measure
