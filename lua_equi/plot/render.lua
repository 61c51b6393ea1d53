--- Draws plots onto a canvas: margins, axes, series, legend.
--
-- A plot is first measured (limits, ticks, how much room their texts need), then its axes are
-- placed so that nothing is cut, then grid lines, series, axes and legend are drawn in this order.
-- Input is what lua_equi/plot.lua has checked; this file checks nothing again.
local axis = require "lua_equi.plot.axis"
local canvas = require "lua_equi.plot.canvas"
local font = require "lua_equi.plot.font"
local series = require "lua_equi.plot.series"

local TEXT, SPINE, GRID = {38, 38, 38}, {90, 90, 90}, {228, 228, 228}
local SMALL, LABEL, TITLE = 0.95, 1.05, 1.3 -- text sizes: ticks and legend, axis labels, title
local LINE = 13 -- pixels from the middle of a text to what it belongs to
local LEGEND_ROW, LEGEND_KEY, LEGEND_PAD = 20, 26, 9

local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min

-- ---- measuring ----

local function widest(texts)
  local width = 0
  for _, text in ipairs(texts) do width = max(width, font.width(text, SMALL)) end
  return width
end

local function tick_texts(ticks)
  local texts = {}
  for k, tick in ipairs(ticks) do texts[k] = tick.text end
  return texts
end

--- {lo, hi, log} of one axis: the user's limits or those of the data.
local function scale_of(plot, range, name, options)
  local log = plot[name .. "scale"] == "log"
  local limits = plot[name .. "lim"]
  if limits then
    if log and limits[1] <= 0 then
      error(string.format("plot: %slim starts at %s; a log scale needs positive limits", name,
        limits[1]), 0)
    end
    return {lo = limits[1], hi = limits[2], log = log}
  end
  if log and range.least_positive == math.huge then
    error("plot: no value of " .. name .. " is positive; a log scale needs one", 0)
  end
  if range.lo > range.hi then range = {lo = 0, hi = 1, least_positive = 1} end
  local lo, hi = axis.limits(range, {log = log, pad = options.pad, from_zero = options.from_zero})
  return {lo = lo, hi = hi, log = log}
end

local function category_ticks(texts)
  local ticks = {}
  for k, text in ipairs(texts) do ticks[k] = {value = k, text = text} end
  return ticks
end

local function numbers_to(n)
  local texts = {}
  for k = 1, n do texts[k] = tostring(k) end
  return texts
end

--- Decides scales and ticks of both axes for a box of about width x height pixels.
local function measure(plot, width, height)
  local m = {}
  if plot.matrix then
    local map = plot.series[1]
    m.x = {lo = 0.5, hi = #map.rows[1] + 0.5}
    m.y = {lo = #map.rows + 0.5, hi = 0.5}
    m.xticks = category_ticks(map.col_texts or numbers_to(#map.rows[1]))
    m.yticks = category_ticks(map.row_texts or numbers_to(#map.rows))
    m.bare = true
  else
    local xrange, yrange = series.ranges(plot)
    if plot.categories then
      m.x = {lo = 0.4, hi = #plot.categories + 0.6}
      m.xticks = category_ticks(plot.categories)
    else
      m.x = scale_of(plot, xrange, "x", {pad = 0.03})
      m.xticks = axis.ticks(m.x, max(2, floor(width / 85)))
    end
    m.y = scale_of(plot, yrange, "y", {pad = 0.06, from_zero = plot.categories ~= nil})
    m.yticks = axis.ticks(m.y, max(2, floor(height / 42)))
  end
  m.xtexts, m.ytexts = tick_texts(m.xticks), tick_texts(m.yticks)
  local slot = width / max(1, #m.xticks)
  m.turned = (plot.categories or plot.matrix) and widest(m.xtexts) > slot - 8
  return m
end

local function legend_entries(plot)
  local entries = {}
  for _, s in ipairs(plot.series) do
    if s.label and plot.legend ~= false then entries[#entries + 1] = s end
  end
  return entries
end

local function legend_size(entries)
  local texts = {}
  for k, s in ipairs(entries) do texts[k] = s.label end
  return ceil(widest(texts)) + LEGEND_KEY + 3 * LEGEND_PAD, #entries * LEGEND_ROW + LEGEND_PAD
end

--- How far the turned text of a category reaches left of and below its tick.
local TURN = 35
local function turned_reach(texts)
  local width = widest(texts)
  return width * math.cos(math.rad(TURN)), width * math.sin(math.rad(TURN))
end

--- The box of the axes inside the plot's rectangle, in whole pixels.
local function axes_box(plot, m, rect, legend_width)
  local left = 10 + (plot.ylabel and 24 or 0) + widest(m.ytexts) + 13
  local bottom = 10 + (plot.xlabel and 24 or 0) + 20
  local right = 14
  if m.turned then
    local reach_x, reach_y = turned_reach(m.xtexts)
    bottom = bottom + reach_y
    left = max(left, reach_x - (rect[3] - rect[1]) / (2.4 * #m.xticks))
  elseif #m.xticks > 0 then -- half of the last number stands right of the axes
    right = max(right, font.width(m.xtexts[#m.xtexts], SMALL) / 2 + 6)
  end
  local top = plot.title and 40 or 16
  if legend_width then right = right + legend_width + 8 end
  return {rect[1] + ceil(left), rect[2] + top, rect[3] - ceil(right), rect[4] - ceil(bottom)}
end

-- ---- axes ----

local function draw_grid(pixels, plot, m, box)
  if m.bare then return end
  for _, tick in ipairs(m.yticks) do
    local y = floor(m.to_y(tick.value))
    pixels:rectangle(box[1], y, box[3], y + 1, GRID)
  end
  if plot.categories then return end
  for _, tick in ipairs(m.xticks) do
    local x = floor(m.to_x(tick.value))
    pixels:rectangle(x, box[2], x + 1, box[4], GRID)
  end
end

local function draw_spines(pixels, m, box)
  if m.bare then return end
  pixels:rectangle(box[1] - 1, box[2], box[1], box[4] + 1, SPINE)
  pixels:rectangle(box[1] - 1, box[4], box[3], box[4] + 1, SPINE)
  for _, tick in ipairs(m.yticks) do
    local y = floor(m.to_y(tick.value))
    pixels:rectangle(box[1] - 5, y, box[1] - 1, y + 1, SPINE)
  end
  for _, tick in ipairs(m.xticks) do
    local x = floor(m.to_x(tick.value))
    pixels:rectangle(x, box[4] + 1, x + 1, box[4] + 5, SPINE)
  end
end

local function draw_texts(pixels, plot, m, box, rect)
  for _, tick in ipairs(m.yticks) do
    pixels:text(tick.text, box[1] - 9, m.to_y(tick.value),
      {scale = SMALL, anchor = "right", color = TEXT})
  end
  for _, tick in ipairs(m.xticks) do
    local x = m.to_x(tick.value)
    if m.turned then
      pixels:text(tick.text, x + 3, box[4] + 12,
        {scale = SMALL, anchor = "right", angle = TURN, color = TEXT})
    else
      pixels:text(tick.text, x, box[4] + LINE + 2, {scale = SMALL, anchor = "center", color = TEXT})
    end
  end
  local middle_x, middle_y = (box[1] + box[3]) / 2, (box[2] + box[4]) / 2
  if plot.xlabel then
    pixels:text(plot.xlabel, middle_x, rect[4] - 16,
      {scale = LABEL, anchor = "center", color = TEXT})
  end
  if plot.ylabel then
    pixels:text(plot.ylabel, rect[1] + 17, middle_y,
      {scale = LABEL, anchor = "center", angle = 90, color = TEXT})
  end
  if plot.title then
    local scale = min(TITLE, TITLE * (rect[3] - rect[1] - 16) / font.width(plot.title, TITLE))
    local half = font.width(plot.title, scale) / 2
    local x = min(max(middle_x, rect[1] + half + 8), rect[3] - half - 8)
    pixels:text(plot.title, x, rect[2] + 21, {scale = scale, anchor = "center", color = TEXT})
  end
end

-- ---- legend ----

local function corner(place, box, width, height)
  local gap = 8
  local x = place:find "left" and box[1] + gap
    or place:find "center" and (box[1] + box[3] - width) / 2 or box[3] - gap - width
  local y = place:find "top" and box[2] + gap or place:find "middle"
    and (box[2] + box[4] - height) / 2 or box[4] - gap - height
  return floor(x), floor(y)
end

--- The first place inside the axes without a drawn pixel below it, or nothing.
local PLACES = {"top right", "top left", "bottom right", "bottom left", "middle right",
  "middle left", "top center", "bottom center"}
local function free_place(pixels, ink, box, width, height)
  if width > box[3] - box[1] - 16 or height > box[4] - box[2] - 16 then return end
  for _, place in ipairs(PLACES) do
    local x, y = corner(place, box, width, height)
    local free = true
    for row = y - 3, y + height + 3 do
      for at = row * pixels.width + x - 3, row * pixels.width + x + width + 3 do
        if ink[at] then
          free = false
          break
        end
      end
      if not free then break end
    end
    if free then return x, y end
  end
end

local function draw_legend(pixels, entries, x, y, framed)
  local width, height = legend_size(entries)
  if framed then
    pixels:rectangle(x, y, x + width, y + height, {204, 204, 204})
    pixels:rectangle(x + 1, y + 1, x + width - 1, y + height - 1, {255, 255, 255})
  end
  for k, s in ipairs(entries) do
    local middle = y + LEGEND_PAD / 2 + (k - 0.5) * LEGEND_ROW
    series.key(pixels, s, x + LEGEND_PAD, middle, LEGEND_KEY)
    pixels:text(s.label, x + 2 * LEGEND_PAD + LEGEND_KEY, middle, {scale = SMALL, color = TEXT})
  end
end

-- ---- one plot ----

--- Draws the plot with its legend beside the axes (`outside`) or in a place inside them. Returns
-- false when no place inside is free; the caller then clears and draws it again.
local function attempt(pixels, plot, rect, entries, outside)
  local width, height = 0, 0
  if #entries > 0 then width, height = legend_size(entries) end
  local m = measure(plot, rect[3] - rect[1] - 90 - (outside and width or 0),
    rect[4] - rect[2] - 100)
  local box = axes_box(plot, m, rect, outside and width)
  if box[3] - box[1] < 30 or box[4] - box[2] < 30 then
    error(string.format("plot: %d x %d pixels leave no room for the axes; make the picture larger",
      rect[3] - rect[1], rect[4] - rect[2]), 0)
  end
  m.to_x = axis.mapping(m.x, box[1], box[3])
  m.to_y = axis.mapping(m.y, box[4], box[2])
  draw_grid(pixels, plot, m, box)
  local ink = {}
  pixels:clip(box[1], box[2], box[3], box[4])
  pixels:watch(ink)
  series.draw(pixels, plot, m, box)
  pixels:watch(nil)
  pixels:clip()
  draw_spines(pixels, m, box)
  draw_texts(pixels, plot, m, box, rect)
  if #entries == 0 then return true end
  local x, y
  if outside then
    x, y = box[3] + 10, box[2]
  elseif plot.legend and plot.legend ~= "auto" and plot.legend ~= true then
    x, y = corner(plot.legend, box, width, height)
  else
    x, y = free_place(pixels, ink, box, width, height)
  end
  if not x then return false end
  draw_legend(pixels, entries, x, y, not outside)
  return true
end

local function draw_plot(pixels, plot, rect)
  local entries = legend_entries(plot)
  if attempt(pixels, plot, rect, entries, plot.legend == "right") then return end
  pixels:rectangle(rect[1], rect[2], rect[3], rect[4], {255, 255, 255})
  attempt(pixels, plot, rect, entries, true)
end

--- Draws rows of plots (false: an empty cell) into one picture.
---@param rows table[]
---@param width integer
---@param height integer
---@param title? string above all of them
---@return string bytes height x width x 3
return function(rows, width, height, title)
  local pixels = canvas.new(width, height)
  local top = 0
  if title then
    top = 36
    local scale = min(1.45, 1.45 * (width - 16) / font.width(title, 1.45))
    pixels:text(title, width / 2, 22, {scale = scale, anchor = "center", color = TEXT})
  end
  local cell_height = (height - top) / #rows
  for r, row in ipairs(rows) do
    local cell_width = width / #row
    for c, plot in ipairs(row) do
      if plot then
        draw_plot(pixels, plot, {floor((c - 1) * cell_width), floor(top + (r - 1) * cell_height),
          floor(c * cell_width), floor(top + r * cell_height)})
      end
    end
  end
  return pixels:bytes()
end
