--- A network without any data: what it says of a drawn picture, moved by a group, as it is and
--- equi-tuned.
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

--- Prints what the network and its equituned versions say.
---@param o table options of the command: backbone, weights, group, combine, head, ...
return function(o)
  local network, fresh = networks.build(o.backbone, #cifar.classes, {weights = o.weights,
    seed = o.seeds[1], pixels = o.pixels, resize = o.resize, crop = o.crop})
  if fresh then
    error("these weights are not for CIFAR-10's classes: the last layer would know nothing", 0)
  end
  network:eval()
  local action = networks.action(o.group)
  local models, rows = {network}, {{"moved by", "plain"}}
  for i, kind in ipairs(o.combine) do
    models[i + 1] = equi.nn.eval(networks.equituned(network, {group = o.group, combine = kind,
      head = o.head}))
    rows[1][i + 2] = "equi-tuned, " .. kind
  end
  local p = network.preprocessing
  local picture = equi.image.normalize(draw(), {mean = p.mean, std = p.std})
  for i, g in ipairs(action.group:elements()) do
    local x = action(g, picture)
    rows[i + 1] = {networks.groups[o.group].moves[tostring(g)]}
    for k, model in ipairs(models) do rows[i + 1][k + 1] = answer(model, x) end
  end
  print "CIFAR-10 is not here (scripts/get_data.lua fetches it), so this is about a drawn picture:"
  print(log.table(rows, {header = true}))
end
