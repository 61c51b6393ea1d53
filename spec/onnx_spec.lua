-- The test vectors of the ONNX standard against our ops: another oracle, written by others.
-- An op's row turns a node (inputs, attributes) into our results; nil where ours does less.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local onnx = require "spec.support.onnx"

local folder = onnx.folder()

-- Positions count from 0 there, and from the end when negative.
local function dim(axis) return axis < 0 and axis or axis + 1 end
local function dims(list)
  local r = {}
  for i, axis in ipairs(list) do r[i] = dim(axis) end
  return r
end
local function positions(ids, size) return equi.where(ids:lt(0), ids + (size + 1), ids + 1) end
local function list(x) return x:reshape(-1):totable() end
local function floats(...)
  for _, x in ipairs {...} do
    if x.dtype ~= "f32" and x.dtype ~= "f64" then return false end
  end
  return true
end

local map = {}
for theirs, ours in pairs {
  Abs = "abs", Neg = "neg", Exp = "exp", Log = "log", Sqrt = "sqrt", Reciprocal = "reciprocal",
  Sin = "sin", Cos = "cos", Tan = "tan", Asin = "asin", Acos = "acos", Atan = "atan",
  Sinh = "sinh", Cosh = "cosh", Tanh = "tanh", Sigmoid = "sigmoid", Relu = "relu", Erf = "erf",
  Floor = "floor", Ceil = "ceil", Round = "round", Sign = "sign", IsNaN = "is_nan",
  Not = "logical_not", Softplus = "softplus", Add = "add", Sub = "sub",
  Mul = "mul", Equal = "eq", Less = "lt", Greater = "gt", LessOrEqual = "le",
  GreaterOrEqual = "ge", And = "logical_and", Or = "logical_or", Xor = "logical_xor",
  MatMul = "matmul", Where = "where",
} do
  map[theirs] = function(_, ...) return equi[ours](...) end
end

function map.Div(_, x, y) return floats(x) and x / y or x // y end
function map.Pow(_, x, y) return x ^ y:to(x.dtype) end
function map.Mod(a, x, y) return a.fmod ~= 1 and x % y or nil end
function map.Elu(a, x) return x:elu(a.alpha or 1) end
function map.LeakyRelu(a, x) return x:leaky_relu(a.alpha or 0.01) end
function map.ThresholdedRelu(a, x) return x:threshold(a.alpha or 1, 0) end
function map.IsInf(a, x)
  if not a.detect_negative and not a.detect_positive then return x:is_inf() end
end
function map.Clip(_, x, low, high)
  return x:clamp {min = low and low:item(), max = high and high:item()}
end
local function folded(name)
  return function(_, first, ...)
    for _, x in ipairs {...} do first = equi[name](first, x) end
    return first
  end
end
function map.Einsum(a, ...) return equi.einsum(a.equation, {...}) end
map.Max, map.Min, map.Sum = folded "maximum", folded "minimum", folded "add"
function map.Mean(_, ...) return map.Sum(_, ...) / select("#", ...) end

for theirs, reduce in pairs {
  Sum = equi.sum, Mean = equi.mean, Max = equi.amax, Min = equi.amin, Prod = equi.prod,
  LogSumExp = equi.logsumexp, L1 = function(x, ...) return x:norm(1, ...) end,
  L2 = function(x, ...) return x:norm(2, ...) end,
  SumSquare = function(x, ...) return x:square():sum(...) end,
  LogSum = function(x, ...) return x:sum(...):log() end,
} do
  map["Reduce" .. theirs] = function(a, x, axes)
    axes = a.axes or axes and list(axes)
    if axes and #axes == 0 then axes = nil end
    if not axes and a.noop_with_empty_axes == 1 then return x end
    return reduce(x, axes and dims(axes), a.keepdims ~= 0)
  end
end
for theirs, ours in pairs {ArgMax = "argmax", ArgMin = "argmin"} do
  map[theirs] = function(a, x)
    if a.select_last_index == 1 then return nil end
    return equi[ours](x, dim(a.axis or 0), a.keepdims ~= 0) - 1
  end
end
function map.Softmax(a, x) return x:softmax(dim(a.axis or -1)) end
function map.LogSoftmax(a, x) return x:log_softmax(dim(a.axis or -1)) end
function map.CumSum(a, x, axis)
  if a.exclusive or a.reverse then return nil end
  return x:cumsum(dim(axis:item()))
end
function map.LayerNormalization(a, x, w, b)
  local sizes, axis, n = {}, a.axis or -1, select("#", x:size())
  for d = (axis < 0 and axis + n or axis) + 1, n do sizes[#sizes + 1] = x:size(d) end
  return equi.layer_norm(x, sizes, w:reshape(sizes), b and b:reshape(sizes),
                         {eps = a.epsilon or 1e-5})
end

local function class_loss(name)
  return function(a, x, t, w)
    return equi[name](x, t + 1, w or nil, {reduction = a.reduction or "mean",
                                          ignore_index = a.ignore_index and a.ignore_index + 1})
  end
end
map.NegativeLogLikelihoodLoss = class_loss "nll_loss"
map.SoftmaxCrossEntropyLoss = class_loss "cross_entropy"

function map.Transpose(a, x)
  local order, n = {}, select("#", x:size())
  for d = 1, n do order[d] = a.perm and a.perm[d] + 1 or n + 1 - d end
  return x:permute(order)
end
function map.Concat(a, ...) return equi.cat({...}, dim(a.axis)) end
function map.Gather(a, x, ids)
  local d, sizes = a.axis or 0, {}
  d = d < 0 and d + select("#", x:size()) + 1 or d + 1
  for k, size in ipairs {x:size()} do
    if k ~= d then sizes[#sizes + 1] = size
    else
      for _, s in ipairs {ids:size()} do sizes[#sizes + 1] = s end
    end
  end
  return x:index_select(d, positions(ids:reshape(-1), x:size(d))):reshape(sizes)
end
function map.GatherElements(a, x, ids)
  local d = dim(a.axis or 0)
  return x:gather(d, positions(ids, x:size(d)))
end
function map.ScatterElements(a, x, ids, src)
  local d = dim(a.axis or 0)
  local how = ({none = "scatter", add = "scatter_add"})[a.reduction or "none"]
  if how then return equi[how](x, d, positions(ids, x:size(d)), src) end
end
function map.Gemm(a, x, y, z)
  local p = (a.transA == 1 and x:t() or x):matmul(a.transB == 1 and y:t() or y) * (a.alpha or 1)
  return z and p + z * (a.beta or 1) or p
end
function map.Unsqueeze(a, x, axes)
  local places = a.axes or list(axes)
  local n = select("#", x:size()) + #places
  for i, axis in ipairs(places) do places[i] = axis < 0 and axis + n or axis end
  table.sort(places)
  for _, axis in ipairs(places) do x = x:unsqueeze(axis + 1) end
  return x
end
function map.Tile(_, x, repeats) return x:tile(list(repeats)) end
function map.Trilu(a, x, k)
  return equi[a.upper == 0 and "tril" or "triu"](x, k and k:item() or 0)
end
function map.Flatten(a, x)
  local sizes, lead = {x:size()}, 1
  local axis = a.axis or 1
  for d = 1, axis < 0 and axis + #sizes or axis do lead = lead * sizes[d] end
  return x:reshape(lead, x:numel() // lead)
end
function map.NonZero(_, x) return x:nonzero():t() - 1 end

-- ---- images ----
-- {top, left, bottom, right} of a window that slides over x, whose result has ceil(size / stride).
local function sides(a, x, kernel)
  local stride, dilation = a.strides or {1, 1}, a.dilations or {1, 1}
  if (a.auto_pad or "NOTSET") == "NOTSET" then return a.pads or {0, 0, 0, 0} end
  if a.auto_pad == "VALID" then return {0, 0, 0, 0} end
  local pads = {}
  for d = 1, 2 do
    local n, covers = x:size(d + 2), (kernel[d] - 1) * dilation[d] + 1
    local all = math.max(0, ((n + stride[d] - 1) // stride[d] - 1) * stride[d] + covers - n)
    local less = all // 2
    pads[d] = a.auto_pad == "SAME_UPPER" and less or all - less
    pads[d + 2] = all - pads[d]
  end
  return pads
end
local function pairs_of(pads) return {pads[2], pads[4], pads[1], pads[3]} end

function map.Conv(a, x, w, b)
  if x.ndim ~= 4 then return nil end
  return equi.conv2d(x, w, b, {stride = a.strides or 1, padding = sides(a, x, a.kernel_shape),
    dilation = a.dilations or 1, groups = a.group or 1})
end
function map.ConvTranspose(a, x, w, b)
  local pads = a.pads or {0, 0, 0, 0}
  if x.ndim ~= 4 or a.output_shape or a.auto_pad or pads[1] ~= pads[3] or pads[2] ~= pads[4] then
    return nil
  end
  return equi.conv_transpose2d(x, w, b, {stride = a.strides or 1, padding = {pads[1], pads[2]},
    output_padding = a.output_padding or 0, dilation = a.dilations or 1, groups = a.group or 1})
end
function map.MaxPool(a, x)
  if x.ndim ~= 4 or not floats(x) or a.storage_order then return nil end
  x = x:pad(pairs_of(sides(a, x, a.kernel_shape)), {value = -math.huge})
  return equi.max_pool2d(x, a.kernel_shape, {stride = a.strides or 1,
    dilation = a.dilations or 1, ceil_mode = a.ceil_mode == 1})
end
function map.AveragePool(a, x)
  if x.ndim ~= 4 then return nil end
  local k, pads = a.kernel_shape, sides(a, x, a.kernel_shape)
  local even = pads[1] == pads[3] and pads[2] == pads[4] and pads[1] <= k[1] // 2 and
    pads[2] <= k[2] // 2
  if a.count_include_pad == 1 then x = x:pad(pairs_of(pads))
  elseif not even then return nil end
  return equi.avg_pool2d(x, k, {stride = a.strides or 1, ceil_mode = a.ceil_mode == 1,
    padding = a.count_include_pad ~= 1 and {pads[1], pads[2]} or 0, count_include_pad = false})
end
function map.GlobalAveragePool(_, x) return equi.adaptive_avg_pool2d(x, 1) end
function map.GlobalMaxPool(_, x) return equi.adaptive_max_pool2d(x, 1) end
function map.Pad(a, x, pads, value)
  local mode = ({constant = "constant", reflect = "reflect", edge = "replicate"})[a.mode]
  local both, n = list(pads), x.ndim
  local each = {}
  for d = n, 1, -1 do each[#each + 1], each[#each + 2] = both[d], both[d + n] end
  return x:pad(each, {mode = mode, value = value and value:item()})
end
function map.Resize(a, x, _, scales, want)
  local how = a.coordinate_transformation_mode or "half_pixel"
  local corners = how == "align_corners"
  if a.mode == "nearest" then -- other roundings than ours, except where pixels are repeated
    local times = scales and list(scales)
    if not times or times[3] < 1 then return nil end
    return equi.upsample(x, {size = {x:size(3) * times[3] // 1 | 0, x:size(4) * times[4] // 1 | 0}})
  end
  -- pytorch_half_pixel is what PyTorch did once: a single pixel took the first
  if a.mode ~= "linear" or how:find "^tf_" or how:find "^pytorch" then return nil end
  local o = {mode = "bilinear", align_corners = corners}
  -- there the corners of a result of 2.4 pixels lie on those of x
  if scales and corners and list(scales)[3] < 1 then return nil end
  if scales then o.scale = list(scales)[3] else o.size = {table.unpack(list(want), 3, 4)} end
  return equi.upsample(x, o)
end
function map.Upsample(_, x, scales)
  local times = list(scales)
  return equi.upsample(x, {size = {x:size(3) * times[3] // 1 | 0, x:size(4) * times[4] // 1 | 0}})
end

-- All vectors that have a row, {name = , node = }; made once, when the specs are collected.
local function vectors()
  local found, pipe = {}, assert(io.popen("ls '" .. folder .. "'"))
  for name in pipe:lines() do
    local node = not name:find "_expanded" and onnx.node(("%s/%s/model.onnx"):format(folder, name))
    if node and map[node.type] then found[#found + 1] = {name = name, node = node} end
  end
  pipe:close()
  return found
end

-- true when the vector was compared; false when its dtype or its variant is not ours.
local function compared(vector)
  local at = folder .. "/" .. vector.name
  local inputs, want = onnx.tensors(at, "input"), onnx.tensors(at, "output")
  for _, x in ipairs(inputs) do
    if not x then return false end
  end
  local place, args = 0, {}
  for i, name in ipairs(vector.node.inputs) do -- an absent input has no name and no file
    if name ~= "" then
      place = place + 1
      args[i] = inputs[place]
    end
  end
  local got = map[vector.node.type](vector.node.attributes,
                                    table.unpack(args, 1, #vector.node.inputs))
  if not got or not want[1] then return false end
  if got.dtype ~= want[1].dtype then got = got:to(want[1].dtype) end
  oracle.near(got, want[1], 1e-5, vector.name)
  return true
end

describe("the ONNX vectors of", function()
  if not folder then
    it("all ops", function() pending "ONNX vectors: the package libonnx-testdata is absent" end)
    return
  end
  local groups, order = {}, {}
  for _, v in ipairs(vectors()) do
    if not groups[v.node.type] then
      groups[v.node.type] = {}
      order[#order + 1] = v.node.type
    end
    table.insert(groups[v.node.type], v)
  end
  local total = 0
  for _, kind in ipairs(order) do
    it(kind, function()
      local count = 0
      for _, v in ipairs(groups[kind]) do
        if compared(v) then count = count + 1 end
      end
      assert.is_true(count > 0, "no vector of " .. kind .. " was compared")
      total = total + count
    end)
  end
  it("all of them were at least 400", function()
    assert.is_true(total >= 400, total .. " vectors were compared")
  end)
end)
