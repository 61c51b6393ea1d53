-- Convolution, pooling, other sizes, borders and turning against PyTorch's numbers; see
-- spec/support/make_conv_vectors.py.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local vectors = require "spec.support.conv_vectors"

local function filled(sizes, seed)
  local n, values = 1, {}
  for _, size in ipairs(sizes) do n = n * size end
  for i = 1, n do values[i] = 0.4 * math.sin(1.7 * i + seed) end
  return equi.tensor(values, {dtype = "f64"}):reshape(sizes)
end

-- conv_transpose2d(1 x 3 x 3 x 2, {stride = 2}), as far as a line shows it.
local function label(case)
  local words = {}
  local function add(v)
    if type(v) ~= "table" then words[#words + 1] = tostring(v) return end
    for _, x in ipairs(v) do add(x) end
    local keys = {}
    for k in pairs(v) do if type(k) == "string" then keys[#keys + 1] = k end end
    table.sort(keys)
    for _, k in ipairs(keys) do
      words[#words + 1] = k
      add(v[k])
    end
  end
  for i = 1, 2 do if case.args[i] then add(case.args[i]) end end
  return ("%s of %s: %s"):format(case.op, table.concat(case.x, " x "), table.concat(words, " "))
end

local function check(case, layout, dtype, tol)
  local x = filled(case.x, 0):to(dtype)
  if layout and x.ndim == 4 then x = x:channels_last() end
  local leaves = {gx = x:requires_grad_()}
  local args = {x}
  if case.weight then
    leaves.gw = filled(case.weight, 1):to(dtype):requires_grad_()
    args[2] = leaves.gw
    if case.bias then
      leaves.gb = filled({case.bias}, 2):to(dtype):requires_grad_()
      args[3] = leaves.gb
    end
  end
  local n, last = #args, #args
  for i = 1, 2 do
    if case.args[i] ~= nil then
      args[n + i] = case.args[i]
      last = n + i
    end
  end
  local y = equi[case.op](table.unpack(args, 1, last))
  oracle.near(y, equi.tensor(case.y, {dtype = dtype}):reshape(case.sizes), tol)
  y:backward(filled(case.sizes, 50):to(dtype))
  for name, leaf in pairs(leaves) do
    oracle.near(leaf.grad:reshape(-1), case[name], tol, name)
  end
end

describe("PyTorch's", function()
  for _, case in ipairs(vectors) do
    it(label(case), function()
      check(case, false, "f64", 1e-8)
      check(case, true, "f64", 1e-8)
      check(case, true, "f32", 1e-5)
    end)
  end
end)
