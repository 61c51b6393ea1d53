--- What a call costs when there is next to nothing to compute; what starting costs, in time and in
--- memory.
local equi = require "lua_equi"
local measure = require "measure"

local nn = equi.nn

local function filled(...)
  local n = 1
  for _, size in ipairs {...} do n = n * size end
  return (equi.arange(n, {dtype = "f32"}):remainder(101) / 50 - 1):reshape(...)
end

-- The operations of pytorch/small_ops.py, by its names; `build` may fail where a layer is absent.
local cases = {
  {"add_64", false, function()
    local a, b = filled(64), filled(64)
    return function() return a + b end
  end},
  {"add_64_recorded", true, function()
    local a, b = filled(64):requires_grad_(), filled(64):requires_grad_()
    return function() return a + b end
  end},
  {"tanh_64_recorded", true, function()
    local a = filled(64):requires_grad_()
    return function() return a:tanh() end
  end},
  {"mv_64x64", false, function()
    local m, a = filled(64, 64), filled(64)
    return function() return m:matmul(a) end
  end},
  {"mv_64x64_recorded", true, function()
    local m, a = filled(64, 64):requires_grad_(), filled(64):requires_grad_()
    return function() return m:matmul(a) end
  end},
  {"linear_64_recorded", true, function()
    local layer, row = nn.linear(64, 64), filled(1, 64)
    return function() return layer(row) end
  end},
  {"lstm_cell_64", false, function()
    local w, u, b, c = filled(256, 64), filled(256, 64), filled(256), filled(256)
    local row, h, s = filled(1, 64), equi.zeros(1, 64), equi.zeros(1, 64)
    return function() return equi.lstm_cell(row, h, s, w, u, b, c) end
  end},
  {"lstm_cell_64_recorded", true, function()
    local function leaf(...) return filled(...):requires_grad_() end
    local w, u, b, c = leaf(256, 64), leaf(256, 64), leaf(256), leaf(256)
    local row, h, s = filled(1, 64), equi.zeros(1, 64), equi.zeros(1, 64)
    return function() return equi.lstm_cell(row, h, s, w, u, b, c) end
  end},
  {"tanh_mv_forward_backward", true, function()
    local m, a, b = filled(64, 64), filled(64), filled(64)
    for _, leaf in ipairs {m, a, b} do leaf:requires_grad_() end
    return function()
      (m:matmul(a) + b):tanh():sum():backward()
      m.grad, a.grad, b.grad = nil, nil, nil
    end
  end},
}

local function ours(case, seconds)
  local ok, result = pcall(function()
    local call = case[3]()
    if case[2] then return measure.seconds_per_call(call, seconds) end
    return equi.no_grad(function() return measure.seconds_per_call(call, seconds) end)
  end)
  return ok and result or nil, result
end

local function small_ops(ctx)
  local chosen, mine, torch = {}, {}, {}
  for _, case in ipairs(cases) do
    if ctx.wanted("overhead " .. case[1]) then chosen[#chosen + 1] = case end
  end
  if #chosen == 0 then return end
  local command = measure.pytorch(ctx, "small_ops.py",
    ("--threads %d --seconds %g"):format(ctx.threads, ctx.seconds))
  for round = 1, ctx.rounds do
    for _, case in ipairs(chosen) do
      local t, problem = ours(case, ctx.seconds)
      mine[case[1]] = mine[case[1]] or {}
      table.insert(mine[case[1]], t)
      if not t and round == 1 then
        print(("overhead: %s is left out: %s"):format(case[1], problem))
      end
    end
    if command then
      measure.collect(torch, measure.child(command), function(row)
        return row.name, 1 / row.per_second
      end)
    end
  end
  local rows, records = {}, {}
  for _, case in ipairs(chosen) do
    local a, b = measure.median(mine[case[1]]), measure.median(torch[case[1]] or {})
    if a then
      rows[#rows + 1] = {case[1], ("%.3f"):format(a * 1e6), measure.number(b and b * 1e6, "%.3f"),
                         measure.ratio(a, b)}
      records[#records + 1] = {bench = "overhead", case = case[1], seconds = a, torch = b}
    end
  end
  measure.show(ctx, "overhead", "small ops: microseconds a call",
    {"operation", "ours", "PyTorch", "/ PyTorch"}, rows, records)
end

-- ---- starting ----

-- What a child says of itself at its end: the most memory it held, in MiB.
local LUA = [[%s
for line in io.lines "/proc/self/status" do
  local kib = line:match "VmHWM:%%s*(%%d+)"
  if kib then print('{"mib": ' .. kib / 1024 .. '}') end
end]]
local PYTHON = [[%s
for line in open("/proc/self/status"):
    if line.startswith("VmHWM:"): print('{"mib": %%f}' %% (int(line.split()[1]) / 1024))]]

local function start_once(command)
  local began = equi.clock()
  local rows = measure.child(command)
  return rows and equi.clock() - began, rows and rows[1] and rows[1].mib
end

local function starting(ctx)
  if not ctx.wanted "overhead starting" then return end
  local function lua(code)
    return ("%s -e %s"):format(ctx.lua, measure.quote(LUA:format(ctx.paths .. code)))
  end
  local function python(code)
    return ctx.python and ctx.python .. " -c " .. measure.quote(PYTHON:format(code))
  end
  local list = {
    {"lua5.4 alone", lua ""}, {'require "lua_equi"', lua 'require "lua_equi"'},
    {"python3 alone", python ""}, {"import torch", python "import torch"},
  }
  local rows, records, times, mib = {}, {}, {}, {}
  for _ = 1, ctx.tiny and 1 or 7 do
    for i, case in ipairs(list) do
      if case[2] then
        times[i] = times[i] or {}
        local t, m = start_once(case[2])
        table.insert(times[i], t)
        mib[i] = m
      end
    end
  end
  for i, case in ipairs(list) do
    local t = measure.median(times[i] or {})
    if t then
      rows[#rows + 1] = {case[1], ("%.1f"):format(t * 1e3), measure.number(mib[i], "%.1f")}
      records[#records + 1] = {bench = "starting", case = case[1], seconds = t, mib = mib[i],
                               torch = i == 2 and measure.median(times[4] or {}) or nil}
    end
  end
  measure.show(ctx, "starting", "a whole process, from start to exit",
    {"process", "ms", "peak MiB"}, rows, records)
end

return function(ctx)
  small_ops(ctx)
  starting(ctx)
end
