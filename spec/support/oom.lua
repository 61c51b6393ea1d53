-- Every allocation fails once: the first, the second, the third ... of a set of tasks.
--   lua5.4 spec/support/oom.lua [words in the names of tasks ...]
-- A task is the example of an op or a backward pass through it. Each allocation of tensors
-- fails alone (the binding then tries again) and with all that follow. After that a task has either
-- worked or raised one sentence, live bytes are what they were, and the next task runs. If oom.so
-- is found, the same is done to the requests of Lua's own allocator.
local equi = require "lua_equi"
local has_oom, oom = pcall(require, "oom")

local MOST = 60 -- allocations of a task that are let fail; later ones are like earlier ones
local faults, failures = 0, 0

local function fault(name, ...)
  faults = faults + 1
  io.stderr:write(name, ": ", string.format(...), "\n")
end

local function silent() end

local function example(code)
  local env = setmetatable({equi = equi, print = silent, x = equi.tensor({{1, 2}, {3, 4}})},
                           {__index = _G})
  return load(code, "=example", "t", env)
end

-- The example with every tensor it makes a leaf, and a backward pass from what an op returned.
local function with_gradient(row)
  local last
  local function catch(original)
    return function(...)
      local results = table.pack(original(...))
      for i = 1, results.n do
        local y = results[i]
        if equi.is_tensor(y) and y.requires_grad then last = y end
      end
      return table.unpack(results, 1, results.n)
    end
  end
  local function leaf(original)
    return function(...)
      local x = original(...)
      if x.dtype == "f32" or x.dtype == "f64" then x:requires_grad_() end
      return x
    end
  end
  local wrapped = {}
  for _, name in ipairs {"tensor", "ones", "zeros", "full", "linspace", "eye", "randn"} do
    wrapped[name] = leaf(equi[name])
  end
  local proxy = setmetatable(wrapped, {__index = function(_, k)
    return k == row.name and catch(equi.core[k]) or equi[k]
  end})
  local env = setmetatable({equi = proxy, print = silent}, {__index = _G})
  local chunk = load(row.example, "=example", "t", env)
  return function()
    last, env.x = nil, nil
    env.x = proxy.tensor {{1, 2}, {3, 4}}
    local methods, original = equi.core.methods, equi.core.methods[row.name]
    if original then methods[row.name] = catch(original) end
    local ok, message = pcall(chunk)
    methods[row.name] = original
    if last then ok, message = pcall(function() (last * last):sum():backward() end) end
    env.x, last = nil, nil
    if not ok then error(message, 0) end
  end
end

local tasks = {}

local function add(name, f)
  for _, word in ipairs(arg) do
    if not name:find(word, 1, true) then return end
  end
  if f then tasks[#tasks + 1] = {name = name, run = f} end
end

for _, row in ipairs(equi.core.ops) do
  if not row.hidden and row.example then
    add(row.name, example(row.example))
    if row.differentiable then add(row.name .. ", backward", with_gradient(row)) end
  end
end
for name, d in pairs(equi.core.docs) do
  if not name:find "^backend" then add(name, example(d.example)) end
end
table.sort(tasks, function(a, b) return a.name < b.name end)

local function settled()
  return equi.memory("collect").live
end

local start_state, start_threads = equi.rng_state(), equi.threads()

local function reset()
  equi.fail_allocation()
  if has_oom then oom.fail() end
  equi.rng_state(start_state)
  equi.threads(start_threads)
  equi.debug(false)
end

-- Runs the task while `arm` lets something fail; checks what is left behind.
local function try(task, what, arm)
  local before = settled()
  arm()
  local ok, message = pcall(task.run)
  reset()
  if not ok then
    failures = failures + 1
    message = tostring(message)
    if not message:find "out of memory" and not message:find "not enough memory" and
      not message:find "memory" then
      fault(task.name, "%s: raised \"%s\"", what, message)
    end
  end
  message = nil -- luacheck: ignore
  local after = settled()
  if after ~= before then
    fault(task.name, "%s: %d live bytes before, %d after", what, before, after)
  end
  if not equi.grad_enabled() then
    fault(task.name, "%s: recording is off", what)
    equi.grad_enabled(true)
  end
  if equi.ones(3):sum():item() ~= 3 then fault(task.name, "%s: sums are wrong", what) end
end

local function each_failure(task)
  pcall(task.run) -- modules load, tables are made
  local at = equi.memory().allocations
  local requests = has_oom and oom.count() or 0
  local ok, message = pcall(task.run)
  if not ok then fault(task.name, "does not run: %s", message) end
  local allocations = equi.memory().allocations - at
  requests = has_oom and oom.count() - requests or 0
  reset()
  for n = 1, math.min(allocations, MOST) do
    try(task, ("allocation %d fails"):format(n), function() equi.fail_allocation(n) end)
    try(task, ("allocations from %d fail"):format(n), function()
      equi.fail_allocation(n, 1 << 40)
    end)
  end
  for n = 1, math.min(requests, MOST) do
    try(task, ("Lua's request %d fails"):format(n), function() oom.fail(n) end)
  end
end

for _, task in ipairs(tasks) do
  if os.getenv "OOM_VERBOSE" then io.stderr:write(task.name, "\n") end
  each_failure(task)
end
print(("oom: %d tasks, %d clean failures, %d faults%s"):format(#tasks, failures, faults,
  has_oom and "" or "; Lua's own allocator was left alone (oom.so is not there)"))
os.exit(faults == 0)
