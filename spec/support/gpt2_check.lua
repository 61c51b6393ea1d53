-- A model of GPT-2 small's size against PyTorch: `make gpt2-check` makes the files (about 1 GB) and
-- runs this. Prints load time, memory, and the largest differences of logits, loss and gradients;
-- ends with an error where one is over its bar.
--   lua5.4 spec/support/gpt2_check.lua FOLDER
local equi = require "lua_equi"

local folder = arg[1]
local failed = false

local function report(what, value, bar)
  local good = value <= bar -- false for nan
  failed = failed or not good
  print(("%-44s %10.3g   bar %g%s"):format(what, value, bar, good and "" or "   OVER"))
end

local function peak()
  for line in io.lines "/proc/self/status" do
    local kib = line:match "^VmHWM:%s*(%d+)"
    if kib then return kib * 1024 end
  end
end

-- Largest difference, as a part of the largest value.
local function apart(x, y) return ((x - y):abs():max() / y:abs():max()):item() end

local clock = os.clock()
local model = equi.models.gpt2 {folder = folder}
report("loading, seconds", os.clock() - clock, 0.3)

local weights = 4 * model:count()
local function steps(count)
  local token = equi.tensor({5}, {dtype = "i64"})
  local state = model:start(equi.zeros(1, 0, {dtype = "i64"}))
  for _ = 1, count do
    local _
    _, state = model:step(state, token)
  end
end
steps(32)
report("peak memory of 32 steps / weights", peak() / weights, 1.15)

local reference = equi.safetensors.load(folder .. "/reference.safetensors")
local ids = reference.ids:to("i64")
local x, y = ids:narrow(2, 1, ids:size(2) - 1), ids:narrow(2, 2, ids:size(2) - 1)
local logits = equi.no_grad(model, x)
report("logits, largest difference", (logits - reference.logits):abs():max():item(), 1e-3)

local state, worst = model:start(x:narrow(2, 1, 8)), 0
for t = 9, x:size(2) do
  local cached
  cached, state = model:step(state, x[{{}, t}])
  worst = math.max(worst, (cached - logits[{{}, t}]):abs():max():item())
end
report("step by step against a whole call", worst, 1e-4)

local loss = equi.cross_entropy(model(x):reshape(-1, model.config.vocab_size), y:reshape(-1))
report("loss", math.abs(loss:item() - reference.loss:item()), 1e-4)
loss:backward()
local apart_most, name = 0, "none"
for _, p in ipairs(model:named_parameters()) do
  local d = apart(p.tensor.grad, reference["gradient." .. p.name])
  if d > apart_most or d ~= d then apart_most, name = d, p.name end
end
report("gradients, relative, worst of " .. name, apart_most, 1e-3)
if failed then os.exit(1) end
