-- Ctrl-C: a real lua5.4 gets a real SIGINT in the middle of long work and goes on afterwards.
local program = arg and arg[-1] or "lua5.4"
for i = 0, -10, -1 do
  if arg and arg[i] and not arg[i - 1] then program = arg[i] end
end

local function has_shell()
  local f = io.popen("kill -0 $$ && sleep 0.01 && echo yes")
  local text = f and f:read "a" or ""
  if f then f:close() end
  return text:find "yes" ~= nil
end

-- Runs `body` in a new process. There, hit(seconds) lets SIGINT come that much later, from a shell
-- that is our child; report(...) prints a line.
local prelude = [[
local equi = require "lua_equi"
local shells = {} -- a closed shell would be waited for
local function hit(seconds)
  shells[#shells + 1] = io.popen("sleep " .. seconds .. "; kill -INT $PPID", "r")
end
local function report(...) print(...) io.flush() end
local function state()
  local before = equi.memory("collect").live
  local sum = equi.ones(100):sum():item()
  report(equi.grad_enabled(), sum, before)
end
]]

local function run(body, flags)
  local name = os.tmpname()
  local f = assert(io.open(name, "w"))
  f:write(prelude, body)
  f:close()
  local command = ("%s %s %s 2>&1"):format(program, flags or "", name)
  if flags == "-i" then command = ("%s -i < %s 2>&1"):format(program, name) end
  local p = assert(io.popen(command))
  local text = p:read "a"
  p:close()
  os.remove(name)
  return text
end

local function case(name, body, check)
  it(name, function()
    if not has_shell() then return pending("no shell that sends signals") end
    local text = run(body)
    assert.matches("interrupted!", text, 1, true)
    assert.not_matches("never", text)
    check(text)
  end)
end

-- live bytes before and after, recording on, sums right
local function in_order(text)
  local first, second
  for recording, sum, live in text:gmatch "(%a+)\t([%d.]+)\t(%d+)\n" do
    assert.equal("true", recording)
    assert.equal("100.0", sum)
    first, second = first or live, live
  end
  assert.is_truthy(second)
  assert.equal(first, second)
end

describe("Ctrl-C", function()
  case("stops a long element-wise op", [[
    local x = equi.ones(1000):expand(2000000, 1000)
    state()
    hit(0.3)
    report(pcall(function() x:sin():sum() report "never" end))
    state()
  ]], in_order)

  case("stops a long sum", [[
    local x = equi.ones(1):expand(4000000, 100000)
    state()
    hit(0.3)
    report(pcall(function() x:sum(2) report "never" end))
    state()
  ]], in_order)

  case("stops one sum over everything", [[
    local x = equi.ones(1):expand(400000000000)
    state()
    hit(0.3)
    report(pcall(function() x:sum() report "never" end))
    state()
  ]], in_order)

  case("stops the sorting of one long line", [[
    local x = equi.rand(20000000)
    state()
    hit(0.3)
    report(pcall(function() x:sort() report "never" end))
    state()
  ]], in_order)

  case("stops a long matrix product", [[
    local x = equi.ones(3000, 3000)
    state()
    hit(0.3)
    report(pcall(function() for _ = 1, 1000 do x:matmul(x) end report "never" end))
    state()
  ]], in_order)

  case("stops the encoding of one long word, and of many", [[
    local tok = equi.data.bpe.load "spec/support/tokenizers"
    local word = ("th"):rep(8000000)
    local text = (" the cat"):rep(8000000)
    state()
    hit(0.3)
    report(pcall(function() tok:encode(word) report "never" end))
    state()
    hit(0.3)
    report(pcall(function() while true do tok:encode(text) end end))
    state()
  ]], in_order)

  case("stops backward, and the leaves can be used again", [[
    local x = equi.ones(20000):requires_grad_()
    state()
    do
      local y = x
      for _ = 1, 1000 do y = y * x end
      y = y:sum()
      hit(0.2)
      report(pcall(function()
        while true do y:backward(nil, {retain = true}) end
      end))
      x.grad = nil
    end
    state();
    (x * 2):sum():backward()
    report(x.grad[1]:item() == 2)
  ]], function(text)
    in_order(text)
    assert.matches("true\n$", text)
  end)

  case("stops a loop of small steps, also inside no_grad", [[
    local w = equi.ones(4):requires_grad_()
    state()
    hit(0.3)
    report(pcall(equi.no_grad, function() while true do local _ = w * 2 end end))
    state()
  ]], in_order)

  case("stops small ops in a coroutine, where lua.c's own hook does not reach", [[
    local w = equi.ones(4):requires_grad_()
    state()
    hit(0.3)
    local co = coroutine.create(function() while true do local _ = w * 2 end end)
    report(coroutine.resume(co))
    state()
  ]], in_order)

  case("stops a long op in a coroutine", [[
    state()
    hit(0.3)
    report(coroutine.resume(coroutine.create(function()
      return equi.ones(1000):expand(2000000, 1000):sin()
    end)))
    state()
  ]], in_order)

  case("stops a custom op", [[
    local slow = equi.op{name = "slow", forward = function() while true do end end}
    local x = equi.ones(2):requires_grad_()
    state()
    hit(0.2)
    report(pcall(slow, x))
    state()
  ]], in_order)

  case("stops a hook", [[
    local x = equi.ones(2):requires_grad_()
    state()
    local h = x:hook(function() while true do end end)
    hit(0.2)
    report(pcall(function() (x * 2):sum():backward() end))
    h:remove()
    h = nil
    state()
  ]], in_order)

  it("does not mistake a debugger's hook for it", function()
    local text = run [[
      debug.sethook(function() end, "crl", 1)
      local ok, message = pcall(function() return equi.ones(200000):exp():sum():item() end)
      print(ok, message)
      local co = coroutine.wrap(function() return equi.ones(200000):exp():sum():item() end)
      print(pcall(co))
    ]]
    assert.matches("^true\t%d+", text)
    assert.not_matches("interrupted", text)
  end)

  it("returns to the prompt of an interactive lua5.4", function()
    if not has_shell() then return pending("no shell that sends signals") end
    local text = run([[
      equi = require "lua_equi"
      x = equi.ones(1000):expand(2000000, 1000)
      shell = io.popen("sleep 0.4; kill -INT $PPID", "r"); y = x:sin(); print "never"
      print("alive", equi.ones(3):sum():item())
    ]], "-i")
    assert.matches("interrupted!", text, 1, true)
    assert.matches("alive\t3.0", text, 1, true)
    assert.not_matches("\nnever", text)
  end)
end)
