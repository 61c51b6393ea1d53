--- Throughput of single ops beside PyTorch and beside the plainest C (bare.c).
--
-- Products in GFLOP/s; the others in GB/s, each input read once and the result written once.
local equi = require "lua_equi"
local json = require "lua_equi.json"
local measure = require "measure"

-- name -> our call, times x's bytes move. What the op table lacks is left out by name.
local calls = {
  matmul = function(x, y) return x:matmul(y) end,
  add = {function(x, y) return x + y end, 3},
  mul = {function(x, y) return x * y end, 3},
  relu = {function(x) return x:relu() end, 2},
  exp = {function(x) return x:exp() end, 2},
  tanh = {function(x) return x:tanh() end, 2},
  sigmoid = {function(x) return x:sigmoid() end, 2},
  gelu = {function(x) return x:gelu() end, 2},
  sum = {function(x) return x:sum() end, 1},
  max = {function(x) return x:max() end, 1},
  sum_rows = {function(x) return x:sum(-1) end, 1, "sum"},
  transpose_copy = {function(x) return x:transpose(1, 2):clone() end, 2, "transpose"},
  softmax = {function(x) return x:softmax(-1) end, 2},
  layer_norm = {function(x) return x:layer_norm(x:size(-1)) end, 2},
}

local cases = {
  {"matmul", 64, 64, 64}, {"matmul", 32, 512, 128}, {"matmul", 256, 256, 256},
  {"matmul", 1024, 1024, 1024}, {"matmul", 64, 2048, 512},
  {"add", 10000}, {"add", 1000000}, {"mul", 1000000}, {"relu", 1000000}, {"exp", 100000},
  {"tanh", 100000}, {"sigmoid", 100000}, {"gelu", 100000}, {"sum", 1000000}, {"max", 1000000},
  {"sum_rows", 1024, 1024}, {"transpose_copy", 1024, 1024}, {"softmax", 512, 1024},
  {"softmax", 4096, 64}, {"layer_norm", 512, 1024},
}

local function words(case) return table.concat(case, " ") end

local function filled(shape)
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  return (equi.arange(n, {dtype = "f32"}):remainder(1001) / 500 - 1):reshape(shape)
end

-- Closure to measure and the work of one call (flops or bytes).
local function prepare(case)
  local name, call = case[1], calls[case[1]]
  if name == "matmul" then
    local m, n, k = case[2], case[3], case[4]
    local x, y = filled {m, k}, filled {k, n}
    return function() return call(x, y) end, 2 * m * n * k
  end
  local shape = {table.unpack(case, 2)}
  local x, y = filled(shape), filled(shape)
  return function() return call[1](x, y) end, call[2] * 4 * x:numel()
end

local function present(case)
  local call = calls[case[1]]
  return equi.core.methods[type(call) == "table" and call[3] or case[1]] ~= nil
end

local function select_cases(ctx)
  local chosen, absent = {}, {}
  for _, case in ipairs(cases) do
    if ctx.wanted("ops " .. words(case)) then
      local list = present(case) and chosen or absent
      list[#list + 1] = case
    end
  end
  if ctx.tiny then chosen = table.move(chosen, 1, math.min(2, #chosen), 1, {}) end
  for _, case in ipairs(absent) do print(("ops: %s is absent, left out"):format(case[1])) end
  return chosen
end

local function peer_commands(ctx, chosen)
  local list, lines = {}, {}
  for i, case in ipairs(chosen) do
    list[i] = {op = case[1], sizes = {table.unpack(case, 2)}}
    lines[i] = words(case)
  end
  local text = ("%s --threads %d --seconds %g"):format(measure.quote(json.encode(list)),
    ctx.threads, ctx.seconds)
  local bare = ctx.bare and ("printf '%%s\\n' %s | OMP_NUM_THREADS=%d %s %g"):format(
    "'" .. table.concat(lines, "' '") .. "'", ctx.threads, ctx.bare, ctx.seconds)
  return {torch = measure.pytorch(ctx, "ops.py", text),
          tuned = measure.pytorch(ctx, "ops.py", text, true), bare = bare}
end

local function run_rounds(ctx, chosen)
  local got = {ours = {}, torch = {}, tuned = {}, bare = {}}
  local commands = peer_commands(ctx, chosen)
  for _ = 1, ctx.rounds do
    for i, case in ipairs(chosen) do
      local call = prepare(case)
      got.ours[i] = got.ours[i] or {}
      table.insert(got.ours[i], measure.seconds_per_call(call, ctx.seconds))
    end
    for _, peer in ipairs {"bare", "torch", "tuned"} do
      if commands[peer] then
        measure.collect(got[peer], measure.child(commands[peer]), function(row, i)
          return i, row.seconds or 1 / row.per_second
        end)
      end
    end
  end
  return got
end

return function(ctx)
  local chosen = select_cases(ctx)
  if #chosen == 0 then return end
  local got = run_rounds(ctx, chosen)
  local rows, records = {}, {}
  for i, case in ipairs(chosen) do
    local _, work = prepare(case)
    local m = {}
    for peer, list in pairs(got) do m[peer] = measure.median(list[i] or {}) end
    local function rate(t) return measure.number(t and work * 1e-9 / t, "%.1f") end
    rows[i] = {words(case), measure.number(m.ours * 1e6),
               case[1] == "matmul" and "GFLOP/s" or "GB/s",
               rate(m.ours), rate(m.bare), rate(m.torch), rate(m.tuned),
               measure.ratio(m.ours, m.bare), measure.ratio(m.ours, m.torch),
               measure.ratio(m.ours, m.tuned)}
    records[i] = {bench = "ops", case = words(case), work = work, seconds = m.ours, bare = m.bare,
                  torch = m.torch, tuned = m.tuned}
  end
  measure.show(ctx, "ops", "ops, f32: rates, and how many times as fast as each peer",
    {"op and sizes", "us", "unit", "ours", "plain C", "PyTorch", "tuned", "/ plain C", "/ PyTorch",
     "/ tuned"}, rows, records)
end
