#!/usr/bin/env lua5.4
--- Measures lua_equi beside PyTorch and beside plain C, all in one run, and prints tables.
--
-- `make bench` builds bare.c and starts this. Absent peers are left out, and it says so.
local here = arg[0]:match "^(.*)run%.lua$" or "./"
local root = here:gsub("scripts/bench/$", "")
if root == "" then root = "./" end

-- These settings halve OpenBLAS' speed on some machines: neither side gets them.
local SETTINGS = {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"}

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function start_again()
  local found, words = {}, {}
  for _, name in ipairs(SETTINGS) do
    if os.getenv(name) then found[#found + 1] = name end
  end
  if #found == 0 then return end
  print(("unset for this run, on both sides: %s"):format(table.concat(found, ", ")))
  io.stdout:flush()
  for i = 1, #arg do words[i] = quote(arg[i]) end
  local lua = arg[-1] or "lua5.4"
  local _, _, code = os.execute(("env -u %s BENCH_UNSET=%s %s %s %s"):format(
    table.concat(found, " -u "), table.concat(found, ","), lua, quote(arg[0]),
    table.concat(words, " ")))
  os.exit(code)
end
start_again()

local paths = ("package.path = %q .. package.path package.cpath = %q .. package.cpath "):format(
  here .. "?.lua;" .. root .. "?.lua;" .. root .. "?/init.lua;", root .. "?.so;")
load(paths)()

local equi = require "lua_equi"
local options = require "lua_equi.options"

local opt = options.parse(options.declare {
  name = "scripts/bench/run.lua",
  doc = "Measures ops, overhead, SCAN training and image networks beside PyTorch and plain C.",
  {"threads", 1, min = 1, doc = "threads of every side"},
  {"filter", type = "string",
   doc = "only what has this in its name: scan, softmax, models, resnet18 ..."},
  {"seconds", 0.3, above = 0, doc = "for each measurement of a round"},
  {"rounds", 3, min = 1, doc = "ours and the peers take turns this often; the median counts"},
  {"python", "/usr/bin/python3", doc = "interpreter that has PyTorch"},
  {"bare", root .. "build/bench/bare", doc = "the program made of bare.c"},
  {"out", "out/bench", doc = "folder for the JSON lines"},
  {"cpu_time", false, doc = "gpt2: the processor's time, for a busy machine; one thread"},
  {"tiny", false, doc = "a run of seconds, to see that everything works"},
})

local function first_line(command)
  local pipe = io.popen(command .. " 2>/dev/null")
  local line = pipe:read "l"
  return pipe:close() and line or nil
end

local function cpu()
  return first_line "sed -n 's/^model name[^:]*: //p' /proc/cpuinfo" or "unknown processor"
end

local function readable(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

local torch = first_line(quote(opt.python) .. " -c 'import torch; print(torch.__version__)'")
local ctx = {
  here = here, out = opt.out, threads = opt.threads, tiny = opt.tiny,
  seconds = opt.tiny and 0.01 or opt.seconds, rounds = opt.tiny and 1 or opt.rounds,
  python = torch and quote(opt.python), bare = readable(opt.bare) and quote(opt.bare) or nil,
  lua = arg[-1] or "lua5.4", paths = paths, date = os.date "!%Y-%m-%d", cpu = cpu(),
  filter = opt.filter, cpu_time = opt.cpu_time and opt.threads == 1,
  wanted = function(name) return not opt.filter or name:find(opt.filter, 1, true) ~= nil end,
}
equi.threads(opt.threads)

local build = equi.core.build()
print(("%s: %s, %d cores, %s; %d thread%s"):format(ctx.date, ctx.cpu, build.cores, build.simd,
  opt.threads, opt.threads == 1 and "" or "s"))
print(("lua_equi: %s, BLAS %s"):format(build.compiler, build.blas))
print(torch and "PyTorch " .. torch or ("no PyTorch in %s: our numbers alone"):format(opt.python))
if not ctx.bare then print(("no %s (make bench builds it): no plain C"):format(opt.bare)) end
if build.warning then print(build.warning) end
local load_average = first_line "cut -d' ' -f1-3 /proc/loadavg"
if load_average then print("load average at the start: " .. load_average) end

if not os.execute("mkdir -p " .. quote(opt.out)) then os.exit(1) end
for _, subject in ipairs {"overhead", "ops", "scan", "models", "gpt2", "text"} do
  require(subject)(ctx)
end
