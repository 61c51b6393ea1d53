--- equi.combine: how the branches of an equituned model become one result.
--
-- Objects for the `combine` option of equi.equitune. y_g below is g^-1 M(g x).
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local options = require "lua_equi.options"

local mt = {
  __name = "combine",
  __tostring = function(self) return "combine." .. self.kind end,
}

local combine = {}

local function check_callable(v, who, what)
  local class = getmetatable(v)
  if type(v) == "function" or type(class) == "table" and class.__call then return end
  error(("%s: %s, got %s"):format(who, what, core.is_tensor(v) and "a tensor" or type(v)), 3)
end

--- The mean of all branches: 1/|G| sum y_g (equitune; Basu et al., AAAI 2023).
---
--- Example:
---     print(equi.combine.mean)   --> combine.mean
combine.mean = setmetatable({kind = "mean"}, mt)

--- The branch with the highest score (equizero; Basu et al., NeurIPS 2023).
---
--- score(M(g x)) gives one number per row of the model's result, before it is moved back. The
--- gradient is that of the mean, straight through. Branches within `tolerance` (relative) of the
--- highest score share the place: a tie broken by order would not be equivariant.
---
--- Example:
---     local c = equi.combine.best(function(y) return (y:max(-1)) end)
---     print(c)   --> combine.best
---@param score function result [N, ...] -> [N]
---@param opts? table {tolerance = 1e-6}
---@return table
function combine.best(score, opts)
  opts = options.check("combine.best", opts, {tolerance = 1e-6})
  check_callable(score, "combine.best", "score must be a function of the model's result")
  if opts.tolerance < 0 then
    error(("combine.best: tolerance is %g; it must not be negative"):format(opts.tolerance), 2)
  end
  return setmetatable({kind = "best", score = score, tolerance = opts.tolerance}, mt)
end

--- Weighted mean: sum of lambda(g x) y_g / sum of lambda(g x) (lambda-equitune; Basu et al.,
--- NeurIPS 2023).
---
--- net is called with the orbits of the inputs that equitune's `input` lists, and gives one number
--- per row. With softmax = true these are scores, normalised over the group; else they are the
--- weights and must not be negative. A constant net is the mean. A net that is a module appears
--- under the equituned model's parameters as `weight`.
---
--- Example:
---     local c = equi.combine.weighted(equi.nn.linear(4, 1))
---     print(c.softmax)   --> true
---@param net any module or function: inputs [N, ...] -> [N] or [N, 1]
---@param opts? table {softmax = true}
---@return table
function combine.weighted(net, opts)
  opts = options.check("combine.weighted", opts, {softmax = true})
  check_callable(net, "combine.weighted", "net must be a module or a function of the inputs")
  return setmetatable({kind = "weighted", net = net, softmax = opts.softmax}, mt)
end

--- The mean, except at general ids, where the identity's branch stays (R-EquiGPT2; Basu et al.,
--- AAAI 2023).
---
--- For results whose last dim is a vocabulary. Not equivariant at the ids named: that is the
--- relaxation.
---
--- Example:
---     local c = equi.combine.relaxed({2, 5}, 8)
---     print(c.mask:to("i64"):sum():item())   --> 2
---@param ids table list of ids, from 1
---@param size integer size of the vocabulary
---@return table
function combine.relaxed(ids, size)
  if type(ids) ~= "table" then
    error(("combine.relaxed: ids must be a list of ids such as {2, 5}, got %s"):format(
      arguments.shown(ids)), 2)
  end
  if math.type(size) ~= "integer" or size < 1 then
    error(("combine.relaxed: size must be the size of the vocabulary, got %s"):format(
      tostring(size)), 2)
  end
  local mask = core.zeros(size, {dtype = "bool"})
  for i, id in ipairs(ids) do
    if math.type(id) ~= "integer" or id < 1 or id > size then
      error(("combine.relaxed: id %d is %s; ids are 1 to %d"):format(i, tostring(id), size), 2)
    end
    mask[id] = true
  end
  return setmetatable({kind = "relaxed", mask = mask}, mt)
end

return combine
