--- The kinds of series: the range of values each needs, how each is drawn, its key in the legend.
--
-- One row of `kinds` below is one kind. Values that are NaN or infinite are left out everywhere.
local axis = require "lua_equi.plot.axis"
local font = require "lua_equi.plot.font"

local series = {}
local VALUE = 0.85 -- text size of numbers in bars
local is_finite, floor, max, min = axis.is_finite, math.floor, math.max, math.min

-- ---- ranges ----

local function new_range() return {lo = math.huge, hi = -math.huge, least_positive = math.huge} end

local function extend(range, v)
  if not is_finite(v) then return end
  if v < range.lo then range.lo = v end
  if v > range.hi then range.hi = v end
  if v > 0 and v < range.least_positive then range.least_positive = v end
end

local function extend_points(x, y, s, ys, errors)
  for k = 1, #s.xs do
    if is_finite(s.xs[k]) and is_finite(ys[k]) then
      local e = errors and is_finite(errors[k]) and errors[k] or 0
      extend(x, s.xs[k])
      extend(y, ys[k] - e)
      extend(y, ys[k] + e)
    end
  end
end

--- Where each bar starts: at 0, or for stacked ones on those of its slot before it.
local function bar_bases(plot)
  local bases, tops, slot = {}, nil, nil
  for _, s in ipairs(plot.series) do
    if s.kind == "bars" then
      if s.slot ~= slot then tops, slot = {}, s.slot end
      bases[s] = {}
      for k, height in ipairs(s.heights) do
        bases[s][k] = tops[k] or 0
        tops[k] = (tops[k] or 0) + (is_finite(height) and height or 0)
      end
    end
  end
  return bases
end

-- ---- drawing ----

--- Points of one pixel column as first, lowest, highest, last: a curve of 200,000 points then costs
-- what its picture has columns, and looks the same.
local function thin(path)
  local n = #path / 2
  if n < 2000 then return path end
  local out, k = {}, 1
  while k <= n do
    local column, from = floor(path[2 * k - 1]), k
    local low, high = k, k
    while k < n and floor(path[2 * k + 1]) == column do
      k = k + 1
      if path[2 * k] < path[2 * low] then low = k end
      if path[2 * k] > path[2 * high] then high = k end
    end
    local last = 0
    for _, i in ipairs {from, min(low, high), max(low, high), k} do
      if i > last then
        out[#out + 1] = path[2 * i - 1]
        out[#out + 1] = path[2 * i]
        last = i
      end
    end
    k = k + 1
  end
  return out
end

--- Cuts paths into dashes by length; the pattern runs on through the corners.
local function dashed(paths, on, off)
  local out = {}
  for _, path in ipairs(paths) do
    local drawing, left, dash = true, on, {path[1], path[2]}
    for k = 1, #path - 3, 2 do
      local x, y, x1, y1 = path[k], path[k + 1], path[k + 2], path[k + 3]
      local length = math.sqrt((x1 - x) ^ 2 + (y1 - y) ^ 2)
      local walked = 0
      while length - walked > left do
        walked = walked + left
        local px, py = x + (x1 - x) * walked / length, y + (y1 - y) * walked / length
        if drawing then
          dash[#dash + 1], dash[#dash + 2] = px, py
          out[#out + 1] = dash
        end
        drawing = not drawing
        dash, left = {px, py}, drawing and on or off
      end
      left = left - (length - walked)
      if drawing then dash[#dash + 1], dash[#dash + 2] = x1, y1 end
    end
    if drawing and #dash > 2 then out[#out + 1] = dash end
  end
  return out
end

--- Pixel positions of a curve, cut where a value cannot be drawn.
local function pieces(m, xs, ys)
  local out, path = {}, nil
  for k = 1, #xs do
    local x, y = m.to_x(xs[k]), m.to_y(ys[k])
    if is_finite(x) and is_finite(y) then
      if not path then
        path = {}
        out[#out + 1] = path
      end
      path[#path + 1], path[#path + 2] = x, y
    else
      path = nil
    end
  end
  return out
end

--- Strokes that may reach over the edge of the axes by their own width: what lies at a limit, as
-- 100 % does, is seen whole.
local function stroke_over(pixels, box, paths, width, color)
  local reach = width / 2 + 1
  pixels:clip(box[1] - reach, box[2] - reach, box[3] + reach, box[4] + reach)
  pixels:stroke(paths, width, color)
  pixels:clip(box[1], box[2], box[3], box[4])
end

--- A point without a neighbour is no line: it becomes a disc.
local function draw_line(pixels, s, m, box)
  local paths, discs = {}, {}
  for _, path in ipairs(pieces(m, s.xs, s.ys)) do
    if #path == 2 then discs[#discs + 1] = path else paths[#paths + 1] = thin(path) end
  end
  if s.dash then paths = dashed(paths, s.dash[1], s.dash[2]) end
  stroke_over(pixels, box, paths, s.width, s.color)
  stroke_over(pixels, box, discs, s.width + 5, s.color)
end

--- An error bar from lo to hi with short caps, in pixels.
local function error_bar(paths, x, y0, y1, cap)
  paths[#paths + 1] = {x, y0, x, y1}
  paths[#paths + 1] = {x - cap, y0, x + cap, y0}
  paths[#paths + 1] = {x - cap, y1, x + cap, y1}
end

--- A log scale cannot show what is not above 0: such an end goes to the bottom of the axes.
local function y_or(m, v, other)
  local y = m.to_y(v)
  return is_finite(y) and y or other
end

local function draw_points(pixels, s, m, box)
  local discs, bars = {}, {}
  for k = 1, #s.xs do
    local x, y = m.to_x(s.xs[k]), m.to_y(s.ys[k])
    if is_finite(x) and is_finite(y) then
      discs[#discs + 1] = {x, y}
      local e = s.errors and s.errors[k]
      if is_finite(e) then
        error_bar(bars, x, y_or(m, s.ys[k] - e, box[4]), y_or(m, s.ys[k] + e, box[2]), 4)
      end
    end
  end
  pixels:stroke(bars, 1.4, s.color)
  stroke_over(pixels, box, discs, s.size, s.color)
end

local function draw_band(pixels, s, m, box)
  local xs, tops, bottoms = {}, {}, {}
  local function flush()
    if #xs > 1 then pixels:band(xs, tops, bottoms, s.color, s.alpha) end
    xs, tops, bottoms = {}, {}, {}
  end
  for k = 1, #s.xs do
    local x = m.to_x(s.xs[k])
    if is_finite(x) and is_finite(s.lo[k]) and is_finite(s.hi[k]) then
      xs[#xs + 1] = x
      tops[#tops + 1] = y_or(m, s.hi[k], box[4])
      bottoms[#bottoms + 1] = y_or(m, s.lo[k], box[4])
    else
      flush()
    end
  end
  flush()
end

local function draw_bars(pixels, s, m, box, plot)
  local bases, slots, whiskers = bar_bases(plot)[s], plot.slots, {}
  local width = slots == 1 and 0.62 or 0.8
  for k, height in ipairs(s.heights) do
    if is_finite(height) then
      local from = k - width / 2 + (s.slot - 1) * width / slots
      local x0, x1 = floor(m.to_x(from) + 0.5), floor(m.to_x(from + width / slots) + 0.5)
      if slots > 1 then x1 = x1 - 1 end -- a pixel between neighbours
      local top = bases[k] + height
      local y0, y1 = y_or(m, bases[k], box[4]), y_or(m, top, box[4])
      pixels:rectangle(x0, floor(min(y0, y1) + 0.5), x1, floor(max(y0, y1) + 0.5), s.color)
      local e = s.errors and s.errors[k]
      if is_finite(e) and e > 0 then
        error_bar(whiskers, (x0 + x1) / 2, y_or(m, top - e, box[4]), y_or(m, top + e, box[2]),
          min(5, (x1 - x0) / 3))
      end
    end
  end
  pixels:stroke(whiskers, 1.4, {50, 50, 50})
end

--- The bars' own heights, written into them where they fit, dark or light as the colour wants.
local function draw_values(pixels, s, m, box, plot)
  local bases, slots = bar_bases(plot)[s], plot.slots
  local width = (slots == 1 and 0.62 or 0.8) / slots
  local red, green, blue = table.unpack(s.color)
  local light = 0.3 * red + 0.59 * green + 0.11 * blue > 140
  for k, height in ipairs(s.heights) do
    if is_finite(height) then
      local text = string.format(s.values, height)
      local x = k - width * slots / 2 + (s.slot - 0.5) * width
      local y0, y1 = y_or(m, bases[k], box[4]), y_or(m, bases[k] + height, box[4])
      local room = m.to_x(x + width / 2) - m.to_x(x - width / 2) - 6
      if font.width(text, VALUE) <= room and math.abs(y1 - y0) >= 13 then
        pixels:text(text, m.to_x(x), (y0 + y1) / 2, {anchor = "center", scale = VALUE,
          color = light and {38, 38, 38} or {255, 255, 255}})
      end
    end
  end
end

--- White to dark blue (anchors after ColorBrewer's "Blues"): its darkness alone tells the value.
local SHADES = {
  {247, 251, 255}, {222, 235, 247}, {198, 219, 239}, {158, 202, 225}, {107, 174, 214},
  {66, 146, 198}, {33, 113, 181}, {8, 81, 156}, {8, 48, 107},
}
local function shade(t)
  local at = max(0, min(1, t)) * (#SHADES - 1)
  local k = min(#SHADES - 1, floor(at) + 1)
  local a, b, part = SHADES[k], SHADES[k + 1], at - (k - 1)
  return {a[1] + (b[1] - a[1]) * part, a[2] + (b[2] - a[2]) * part, a[3] + (b[3] - a[3]) * part}
end

local function cell_format(s)
  if s.format then return s.format end
  for _, row in ipairs(s.rows) do
    for _, v in ipairs(row) do
      if is_finite(v) and v % 1 ~= 0 then return "%.2f" end
    end
  end
  return "%.0f"
end

local function draw_heatmap(pixels, s, m)
  local range, format = new_range(), cell_format(s)
  for _, row in ipairs(s.rows) do
    for _, v in ipairs(row) do extend(range, v) end
  end
  local lo, hi = s.min or min(0, range.lo), s.max or range.hi
  for r, row in ipairs(s.rows) do
    for c, v in ipairs(row) do
      local t = hi > lo and (v - lo) / (hi - lo) or 0
      local x0, x1 = floor(m.to_x(c - 0.5) + 0.5), floor(m.to_x(c + 0.5) + 0.5)
      local y0, y1 = floor(m.to_y(r - 0.5) + 0.5), floor(m.to_y(r + 0.5) + 0.5)
      pixels:rectangle(x0, y0, x1 - 1, y1 - 1, is_finite(v) and shade(t) or {225, 225, 225})
      local text = is_finite(v) and string.format(format, v) or "-"
      local scale = min(1.05, (x1 - x0 - 4) / max(1, font.width(text, 1)), (y1 - y0 - 2) / 12)
      if not s.hide and scale >= 0.55 then
        pixels:text(text, (x0 + x1) / 2, (y0 + y1) / 2, {anchor = "center", scale = scale,
          color = t > 0.55 and {255, 255, 255} or {38, 38, 38}})
      end
    end
  end
end

-- ---- keys of the legend ----

local function line_key(pixels, s, x, y, width)
  local path = {{x, y, x + width, y}}
  if s.kind == "line" and s.dash then path = dashed(path, s.dash[1], s.dash[2]) end
  pixels:stroke(path, s.width, s.color)
end

local function point_key(pixels, s, x, y, width)
  pixels:stroke({{x + width / 2, y}}, min(s.size, 12), s.color)
end

local function box_key(pixels, s, x, y, width)
  pixels:rectangle(x + 3, floor(y) - 5, x + width - 3, floor(y) + 6, s.color, s.alpha)
end

-- ---- the table of kinds ----

local kinds = {
  band = {order = 1, draw = draw_band, key = box_key, range = function(x, y, s)
    extend_points(x, y, s, s.lo)
    extend_points(x, y, s, s.hi)
  end},
  bars = {order = 2, draw = draw_bars, key = box_key, range = function(_, y, s, bases)
    for k, height in ipairs(s.heights) do
      local e = s.errors and is_finite(s.errors[k]) and s.errors[k] or 0
      extend(y, bases[s][k] + height + e)
      extend(y, bases[s][k] + height - e)
    end
  end},
  line = {order = 3, draw = draw_line, key = line_key, range = function(x, y, s)
    extend_points(x, y, s, s.ys)
  end},
  points = {order = 4, draw = draw_points, key = point_key, range = function(x, y, s)
    extend_points(x, y, s, s.ys, s.errors)
  end},
  heatmap = {order = 1, draw = draw_heatmap, key = box_key, range = function() end},
}

--- The ranges of x and y over all series of a plot.
function series.ranges(plot)
  local x, y, bases = new_range(), new_range(), bar_bases(plot)
  for _, s in ipairs(plot.series) do kinds[s.kind].range(x, y, s, bases) end
  return x, y
end

--- Draws all series: bands below bars below lines below points, each kind in the order of adding.
function series.draw(pixels, plot, m, box)
  for order = 1, 4 do
    for _, s in ipairs(plot.series) do
      if kinds[s.kind].order == order then kinds[s.kind].draw(pixels, s, m, box, plot) end
    end
  end
  for _, s in ipairs(plot.series) do
    if s.values then draw_values(pixels, s, m, box, plot) end
  end
end

--- Draws the legend's sign for a series from x, with its middle at y.
function series.key(pixels, s, x, y, width) kinds[s.kind].key(pixels, s, x, y, width) end

return series
