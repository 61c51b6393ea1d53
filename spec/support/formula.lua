-- The tensors of make_nn_vectors.py: element i, row-major, is 0.4 sin(1.7 i + seed), in f64.
--   local formula = require "spec.support.formula"
local equi = require "lua_equi"

local formula = {}

function formula.filled(shape, seed)
  local values, n = {}, 1
  for _, size in ipairs(shape) do n = n * size end
  for i = 1, n do values[i] = 0.4 * math.sin(1.7 * i + seed) end
  return equi.tensor(values, {dtype = "f64"}):reshape(shape)
end

-- The module in f64, its parameters filled with the seeds 1, 2, 3 ... in the order of their names.
function formula.fill(m)
  equi.nn.to(m, "f64")
  local list = equi.nn.named_parameters(m)
  table.sort(list, function(a, b) return a.name < b.name end)
  for seed, p in ipairs(list) do p.tensor:detach():copy_(formula.filled(p.tensor.shape, seed)) end
  return m
end

-- The loss whose gradients are stored: sum(y wave).
function formula.loss(y) return (y * formula.filled(y.shape, 50)):sum() end

return formula
