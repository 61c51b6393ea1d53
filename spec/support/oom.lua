-- Every allocation fails once: the first, the second, the third ... of a set of tasks.
--   lua5.4 spec/support/oom.lua [words in the names of tasks ...]
-- A task is the example of an op, a backward pass through it, or a file of weights that is read.
-- Each allocation of tensors fails alone (the binding then tries again) and with all that follow.
-- After that a task has either worked or raised one sentence, live bytes are what they were, and
-- the next task runs. If oom.so is found, the same is done to the requests of Lua's own allocator.
local equi = require "lua_equi"
local has_oom, oom = pcall(require, "oom")

local faults, failures, recovered = 0, 0, 0

local function fault(name, ...)
  faults = faults + 1
  io.stderr:write(name, ": ", string.format(...), "\n")
end

local function silent() end

-- Returns a print that keeps its text in place, and a function that takes that text.
local function recorder()
  local said = {}
  local function say(...)
    for i = 1, select("#", ...) do said[#said + 1] = tostring((select(i, ...))) end
  end
  local function take()
    local text = table.concat(said, " ")
    said = {}
    return text
  end
  return say, take
end

-- A task: run; clean, which drops what a failed run leaves behind in the tool; said, which takes
-- what the run has printed (it must not depend on a failure that was overcome).
local function example(code)
  local say, said = recorder()
  local env = setmetatable({equi = equi, print = say, x = equi.tensor({{1, 2}, {3, 4}})},
                           {__index = _G})
  return {run = load(code, "=example", "t", env), clean = silent, said = said}
end

-- What runs in place of examples that show an operator, whole numbers or a pass of their own.
local lines = {
  add = "x:add(x)", sub = "x:sub(x)", mul = "x:mul(x)", div = "x:div(x)", pow = "x:pow(x)",
  remainder = "x:remainder(x)", flip = "x:flip(1)", roll = "x:roll({1}, {1})", to = "x:to 'f64'",
  reshape = "x:reshape(4)", narrow = "x:narrow(1, 2, 1)",
  index_select = "x:index_select(1, equi.core.tensor({2, 1}, {dtype = 'i64'}))",
  straight_through = "equi.straight_through(x, x:detach():round())",
}

-- The example with every tensor it makes a leaf, and a backward pass from the last result of the op
-- that requires a gradient, unless the example goes back itself and so uses its graph up. It
-- prints the gradients. reached: whether there was something to go back from.
local function with_gradient(row)
  local say, said = recorder()
  local last, reached, leaves
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
      if x.dtype == "f32" or x.dtype == "f64" then leaves[#leaves + 1] = x:requires_grad_() end
      return x
    end
  end
  local wrapped = {}
  for _, name in ipairs {"tensor", "ones", "zeros", "full", "linspace", "eye", "randn"} do
    wrapped[name] = leaf(equi[name])
  end
  local methods, method = equi.core.methods, equi.core.methods[row.name]
  local caught, caught_method = catch(equi.core[row.name]), method and catch(method)
  local proxy = setmetatable(wrapped, {__index = function(_, k)
    if k == row.name and equi.core[k] then return caught end
    return equi[k]
  end})
  local env = setmetatable({equi = proxy, print = say}, {__index = _G})
  local code = lines[row.name] or row.example
  if not code:find ":backward" then code = code .. "\nback()" end
  function env.back()
    if not last then return end
    reached = true;
    (last * last):sum():backward()
    for _, x in ipairs(leaves) do say(x.grad) end
  end
  local chunk = load(code, "=example", "t", env)
  local function run()
    leaves = {}
    env.x = proxy.tensor {{1, 2}, {3, 4}}
    methods[row.name] = caught_method
    chunk()
  end
  local known = {}
  for k in pairs(env) do known[k] = true end
  local function clean()
    methods[row.name] = method
    last, leaves = nil, nil
    for k in pairs(env) do
      if not known[k] then env[k] = nil end
    end
  end
  return {run = run, clean = clean, said = said, reached = function() return reached end}
end

local tasks = {}

local function add(name, make, from)
  for _, word in ipairs(arg) do
    if not name:find(word, 1, true) then return end
  end
  local task = make(from)
  task.name = name
  tasks[#tasks + 1] = task
end

for _, row in ipairs(equi.core.ops) do
  if not row.hidden and row.example then
    add(row.name, example, row.example)
    if row.differentiable then add(row.name .. ", backward", with_gradient, row) end
  end
end
for name, d in pairs(equi.core.docs) do
  if not name:find "^backend" then add(name, example, d.example) end
end
local load_file = [[
local total = 0
for _, y in pairs(equi.load_weights("spec/support/weights/%s")) do
  total = total + y:to("f64"):sum():item()
end
print(total)]]
for _, file in ipairs {"protocol4.pt", "python2.pth", "fortran.npy", "packed.npz"} do
  add("load_weights " .. file, example, load_file:format(file))
end
local pictures = {
  ["image files"] = [[
    local folder = "spec/support/images/"
    local x = equi.image.resize(equi.image.load(folder .. "kind6_8bit.png"), 5)
    local y = equi.image.load(folder .. "kind3_4bit_interlaced.png", {channels = 1})
    print(x:to("f32"):sum():item(), y:to("f32"):sum():item())
    local path = os.tmpname()
    equi.image.save(path, equi.image.sheet({x, y}, {size = 9, captions = {"x"}}))
    os.remove(path)]],
  ["data sets"] = [[
    local folder = "spec/support/images/"
    local x, y = equi.data.cifar.read_file(folder .. "cifar10.bin")
    if not x then error(y) end
    local z = assert(equi.data.idx.read(folder .. "idx.gz"))
    local set = equi.data.image_folder.load("spec/support", {classes = {"images"}})
    print(x:to("f32"):sum():item(), y:sum():item(), z:to("f32"):sum():item(), #set.paths)]],
  ["loader of files"] = [[
    local folder = "spec/support/images/kind"
    local set = {paths = {folder .. "6_8bit.png", folder .. "4_8bit.png", folder .. "2_16bit.png"}}
    local l <close> = equi.data.loader.new(set, {batch = 2, resize = {5, 6}, workers = 2})
    for x in l:batches() do print(x:sum():item()) end]],
  ["loader of a tensor"] = [[
    local set = {images = equi.rand(3, 3, 6, 6):mul(255):to "u8"}
    local l = equi.data.loader.new(set, {batch = 2, crop = 5, hflip = true, shuffle = true})
    for x in l:batches() do print(x:sum():item()) end]],
}
for name, code in pairs(pictures) do add(name, example, code) end
local tokenizers = {
  ["bpe.load"] = [[
    local tok = equi.data.bpe.load "spec/support/tokenizers"
    print(tok:decode(tok:encode "the cat") == "the cat", #tok)]],
  ["bpe, words of all lengths"] = [[
    KEPT = KEPT or equi.data.bpe.load "spec/support/tokenizers"
    local text = ("the cat's "):rep(40) .. ("ab"):rep(200) .. ("th"):rep(50) .. "<|endoftext|>x"
    local ids = KEPT:encode(text, {special = true})
    print(#ids, KEPT:decode(ids) == text)]],
  ["bpe.train"] = [[
    print(#equi.data.bpe.train("the cat and the hat", {size = 270, min_count = 1}))]],
  ["wordpiece"] = [[
    local tok = equi.data.wordpiece.load "spec/support/tokenizers"
    local ids = tok:batch {"The cats, naïve", "the"}
    print(ids:size(), tok:decode(ids[1]))]],
}
for name, code in pairs(tokenizers) do add(name, example, code) end
table.sort(tasks, function(a, b) return a.name < b.name end)

local start_state, start_threads = equi.rng_state(), equi.threads()

local function reset(task)
  equi.core.fail_allocation()
  if has_oom then oom.fail() end
  task.clean()
  equi.rng_state(start_state)
  equi.threads(start_threads)
  equi.debug(false)
end

-- Of the allocator of tensors and of Lua's own, in this order.
local memory_words = {"out of memory", "not enough memory"}

local function about_memory(message)
  for _, words in ipairs(memory_words) do
    if message:find(words, 1, true) then return true end
  end
  return false
end

-- Runs the task while `arm` lets something fail; checks what is left behind.
local function try(task, what, before, arm)
  arm()
  local ok, message = pcall(task.run)
  reset(task)
  local said = task.said()
  if ok then
    recovered = recovered + 1
    if said ~= task.expected then
      fault(task.name, "%s: gives %s, not %s", what, said, task.expected)
    end
  else
    failures = failures + 1
    message = tostring(message)
    if not about_memory(message) then fault(task.name, "%s: raised \"%s\"", what, message) end
  end
  local after = equi.memory("collect").live -- twice, all of it
  if after ~= before then
    fault(task.name, "%s: %d live bytes before, %d after", what, before, after)
  end
  if not equi.grad_enabled() then
    fault(task.name, "%s: recording is off", what)
    equi.grad_enabled(true)
  end
  if equi.ones(3):sum():item() ~= 3 then fault(task.name, "%s: sums are wrong", what) end
  return after
end

-- What the whole task asks for: allocations of tensors, requests of Lua.
local function measure(task)
  pcall(task.run) -- modules load, tables are made
  reset(task)
  local at = equi.memory().allocations
  local requests = has_oom and oom.count() or 0
  task.said()
  local ok, message = pcall(task.run)
  task.expected = task.said()
  local allocations = equi.memory().allocations - at
  requests = has_oom and oom.count() - requests or 0
  reset(task)
  if not ok then fault(task.name, "does not run: %s", message) end
  return allocations, requests
end

local function each_failure(task)
  local allocations, requests = measure(task)
  local live = equi.memory("collect").live
  for n = 1, allocations do
    live = try(task, ("allocation %d fails"):format(n), live,
               function() equi.core.fail_allocation(n) end)
    live = try(task, ("allocations from %d fail"):format(n), live, function()
      equi.core.fail_allocation(n, 1 << 40)
    end)
  end
  for n = 1, requests do
    live = try(task, ("Lua's request %d fails"):format(n), live, function() oom.fail(n) end)
  end
  if task.reached and not task.reached() then
    fault(task.name, "nothing to go back from; it needs an entry in `lines`")
  end
end

for _, task in ipairs(tasks) do
  if os.getenv "OOM_VERBOSE" then io.stderr:write(task.name, "\n") end
  each_failure(task)
end
print(("oom: %d tasks, %d failures raised, %d worked with the same result, %d faults%s"):format(
  #tasks, failures, recovered, faults,
  has_oom and "" or "; Lua's own allocator was left alone (oom.so is not there)"))
os.exit(faults == 0)
