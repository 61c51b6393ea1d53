-- Prints the peak of live bytes of a loop, what it needs at once, and how often it was collected:
--   lua5.4 spec/support/peak.lua incremental|generational network|chain SOFT_LIMIT
local equi = require "lua_equi"
local mode, loop, limit = table.unpack(arg)

-- A network's step in small: parameters, five activations of 0.8 MB that live until backward, and
-- temporaries of the same size.
local weights = {}
for i = 1, loop == "network" and 5 or 0 do weights[i] = equi.ones(200000):requires_grad_() end
local loops = {}
function loops.network()
  local x = equi.ones(200000)
  local h = x
  for _, w in ipairs(weights) do h = (h * w + x):tanh() end
  h:sum():backward()
  for _, w in ipairs(weights) do w.grad = nil end
end
-- Results of a megabyte that die with the next one.
function loops.chain()
  local x = equi.ones(250000)
  for _ = 1, 5 do x = x + 1 end
end

collectgarbage(mode)
equi.memory{soft_limit = math.tointeger(limit)}
local function start()
  equi.memory "collect"
  equi.memory "reset_peak"
end
start()
collectgarbage "stop"
loops[loop]() -- no collection: only what backward releases goes
local needed = equi.memory().peak
collectgarbage "restart"
start()
local collections = equi.memory().collections
for _ = 1, 20 do loops[loop]() end
print(("%d %d %d"):format(equi.memory().peak, needed, equi.memory().collections - collections))
