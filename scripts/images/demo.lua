--- The shipped network without any data: what it says of a drawn picture, turned four times, as it
--- is and equi-tuned.
local equi = require "lua_equi"
local cifar = equi.data.cifar
local log = require "lua_equi.log"
local networks = require "images.networks"

-- A ship, more or less: sky, sea, a hull and a funnel; f32 [1, 3, 32, 32] from 0 to 1.
local function draw()
  local x = equi.zeros(1, 3, 32, 32)
  local function fill(top, bottom, left, right, rgb)
    for c = 1, 3 do x[{1, c, {top, bottom}, {left, right}}] = rgb[c] end
  end
  fill(1, 20, 1, 32, {0.62, 0.76, 0.9})
  fill(21, 32, 1, 32, {0.13, 0.27, 0.42})
  for row = 17, 23 do fill(row, row, row - 13, 46 - row, {0.55, 0.1, 0.1}) end
  fill(13, 16, 9, 25, {0.92, 0.92, 0.9})
  fill(8, 12, 18, 21, {0.75, 0.2, 0.15})
  return x
end

local function answer(model, x)
  local p, class = equi.no_grad(function() return model(x):softmax(-1):max(-1) end)
  return ("%s %.0f %%"):format(cifar.classes[class:item()], 100 * p:item())
end

return function()
  local network = equi.models.resnet {depth = 20, weights = "cifar10"}:eval()
  local action = networks.action "c4"
  local models = {network}
  for i, kind in ipairs {"mean", "best"} do
    models[i + 1] = networks.equituned(network, {group = "c4", combine = kind, head = "logits"})
  end
  local p = network.preprocessing
  local picture = equi.image.normalize(draw(), {mean = p.mean, std = p.std})
  local rows = {{"turned by", "plain", "equi-tuned, mean", "equi-tuned, best"}}
  for i, g in ipairs(action.group:elements()) do
    local x = action(g, picture)
    rows[i + 1] = {networks.groups.c4.moves[tostring(g)]}
    for k, model in ipairs(models) do rows[i + 1][k + 1] = answer(model, x) end
  end
  print "CIFAR-10 is not here (scripts/get_data.lua fetches it), so this is about a drawn picture:"
  print(log.table(rows, {header = true}))
end
