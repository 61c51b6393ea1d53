--- Axes of a plot: limits from data, round tick marks, numbers as text, value to pixel.
--
-- Ticks stand at 1, 2 or 5 times a power of ten; on a logarithmic axis at powers of ten (with 2
-- and 5 between them when there are few). NOT here: drawing, which is in render.lua.
local axis = {}

local floor, ceil, abs, huge = math.floor, math.ceil, math.abs, math.huge

--- Whether a value can be drawn: a number that is neither NaN nor infinite.
function axis.is_finite(v)
  return type(v) == "number" and v == v and v ~= huge and v ~= -huge
end

--- The smallest step of 1, 2 or 5 times a power of ten that cuts a range into <= count parts.
---@param range number
---@param count integer
---@return number
function axis.step(range, count)
  local rough = range / count
  local power = 10.0 ^ floor(math.log(rough, 10))
  for _, factor in ipairs {1, 2, 5} do
    if power * factor >= rough * (1 - 1e-9) then return power * factor end
  end
  return power * 10
end

local function group_thousands(digits)
  local text = digits:reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (text:gsub("^,", ""))
end

--- A number as tick text, exact to the step between ticks: 0.25, 200,000, 1e-05.
---@param v number
---@param step number
---@return string
function axis.format(v, step)
  if abs(v) < step * 1e-6 then v = 0.0 end
  local size = math.max(abs(v), step)
  if size >= 1e7 or size < 1e-4 and v ~= 0 then return (string.format("%.6g", v)) end
  local decimals = math.max(0, -floor(math.log(step, 10) + 1e-9))
  local sign, whole, rest = string.format("%." .. decimals .. "f", v):match("^(-?)(%d+)(.*)$")
  if #whole > 4 then whole = group_thousands(whole) end
  return sign .. whole .. rest
end

local function linear_ticks(lo, hi, count)
  local step = axis.step(hi - lo, count)
  local ticks = {}
  for k = ceil(lo / step - 1e-9), floor(hi / step + 1e-9) do
    ticks[#ticks + 1] = {value = k * step, text = axis.format(k * step, step)}
  end
  return ticks
end

local function log_text(v)
  if v >= 1e5 or v < 1e-3 then
    return (string.format("%.0e", v):gsub("e([+-])0*", "e%1"):gsub("%+", ""))
  end
  return axis.format(v, math.min(v, 1))
end

local function log_ticks(lo, hi, count)
  local from, to = floor(math.log(lo, 10) + 1e-9), ceil(math.log(hi, 10) - 1e-9)
  local stride = math.max(1, ceil((to - from) / count))
  local factors = to - from <= 2 and {1, 2, 5} or {1}
  local ticks = {}
  for power = from, to, stride do
    for _, factor in ipairs(factors) do
      local v = factor * 10.0 ^ power
      if v >= lo * (1 - 1e-9) and v <= hi * (1 + 1e-9) then
        ticks[#ticks + 1] = {value = v, text = log_text(v)}
      end
    end
  end
  return ticks
end

--- The ticks between two limits.
---@param scale {lo: number, hi: number, log: boolean}
---@param count integer how many at most, about
---@return {value: number, text: string}[]
function axis.ticks(scale, count)
  return (scale.log and log_ticks or linear_ticks)(scale.lo, scale.hi, math.max(1, count))
end

--- Limits that hold all values with a margin: `pad` of the range on each side, none at an end
-- that is `fixed` (bars stand on their axis without a gap).
---@param values {lo: number, hi: number, least_positive: number}
---@param options {log: boolean?, pad: number, from_zero: boolean?}
---@return number lo, number hi
function axis.limits(values, options)
  local lo, hi = values.lo, values.hi
  if options.log then
    lo = math.log(values.least_positive, 10)
    hi = math.log(hi, 10)
  elseif options.from_zero then
    lo, hi = math.min(lo, 0), math.max(hi, 0)
  end
  if hi - lo <= 1e-12 * math.max(abs(lo), abs(hi)) then
    local half = (options.log or lo == 0) and 0.5 or abs(lo) * 0.1
    lo, hi = lo - half, hi + half
    if options.from_zero then lo = math.max(lo, 0) end
  end
  local pad = (hi - lo) * options.pad
  if not (options.from_zero and lo == 0) then lo = lo - pad end
  if not (options.from_zero and hi == 0) then hi = hi + pad end
  if options.log then return 10 ^ lo, 10 ^ hi end
  return lo, hi
end

--- The function from values to pixels; values that a logarithm cannot take become NaN.
---@param scale {lo: number, hi: number, log: boolean}
---@param from number pixel of lo
---@param to number pixel of hi
function axis.mapping(scale, from, to)
  if scale.log then
    local lo, hi = math.log(scale.lo, 10), math.log(scale.hi, 10)
    local factor = (to - from) / (hi - lo)
    return function(v) return v > 0 and from + (math.log(v, 10) - lo) * factor or 0 / 0 end
  end
  local lo, factor = scale.lo, (to - from) / (scale.hi - scale.lo)
  return function(v) return from + (v - lo) * factor end
end

return axis
