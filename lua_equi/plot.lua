--- Plots as PNG files: learning curves, bars, confusion matrices, grids of plots.
--
-- Pure Lua down to the pixels; only `save` needs the C core (to write the file). Meant for the
-- pictures of a training run, NOT a general chart library: no interaction, no vector output.
--
--     local plot = require "lua_equi.plot"
--     local p = plot.new {title = "add-jump", xlabel = "iteration", ylabel = "loss"}
--     p:line({0, 100, 200}, {2.1, 0.7, 0.2}, {label = "LSTM"})
--     p:save "loss.png"
local axis = require "lua_equi.plot.axis"
local ending = require "lua_equi.formats.ending"

local plot = {}
local figure = {}
figure.__index = figure
figure.__name = "equi.plot"
local grid = {}
grid.__index = grid
grid.__name = "equi.plot.grid"

--- Colours that stay apart for colour-blind readers (Okabe and Ito, 2008), in the order of use.
plot.palette = {
  {0, 114, 178}, {213, 94, 0}, {0, 158, 115}, {204, 121, 167}, {230, 159, 0}, {86, 180, 233},
  {60, 60, 60}, {148, 103, 60},
}
local NAMES = {
  blue = 1, vermilion = 2, red = 2, green = 3, purple = 4, orange = 5, sky = 6, gray = 7, brown = 8,
}

-- ---- arguments ----

local LEVEL = 4 -- the line of the user: fail <- check_... <- method <- user

local function fail(level, message, ...) error(string.format(message, ...), level) end

local function sorted_keys(set)
  local keys = {}
  for key in pairs(set) do keys[#keys + 1] = key end
  table.sort(keys)
  return table.concat(keys, ", ")
end

local function check_options(who, options, valid)
  if options == nil then return {} end
  if type(options) ~= "table" then
    fail(LEVEL, "%s: options are a %s; give a table", who, type(options))
  end
  for key, value in pairs(options) do
    local kind = valid[key]
    if not kind then
      fail(LEVEL, "%s: no option %q; options are %s", who, tostring(key), sorted_keys(valid))
    elseif kind ~= "any" and not (" " .. kind .. " "):find(" " .. type(value) .. " ", 1, true) then
      fail(LEVEL, "%s: option %s is a %s; it must be a %s", who, key, type(value),
        (kind:gsub(" ", " or ")))
    end
  end
  return options
end

local function check_color(who, color)
  if color == nil then return nil end
  if type(color) == "number" then color = plot.palette[(color - 1) % #plot.palette + 1] end
  if NAMES[color] then return plot.palette[NAMES[color]] end
  if type(color) == "string" then
    local r, g, b = color:match("^#(%x%x)(%x%x)(%x%x)$")
    if r then return {tonumber(r, 16), tonumber(g, 16), tonumber(b, 16)} end
  elseif type(color) == "table" and #color == 3 then
    return color
  end
  fail(LEVEL, "%s: no color %s; colors are \"#rrggbb\", {r, g, b}, a number of the palette, or %s",
    who, type(color) == "string" and string.format("%q", color) or tostring(color),
    sorted_keys(NAMES))
end

--- A plain list of numbers; a tensor (anything with a `totable` method) is converted.
local function check_list(who, name, list, count)
  if type(list) == "userdata" and list.totable then list = list:totable() end
  if type(list) ~= "table" then
    fail(LEVEL, "%s: %s is a %s; give a list of numbers", who, name, type(list))
  end
  if #list == 0 then fail(LEVEL, "%s: %s is empty; a series needs a point", who, name) end
  if count and #list ~= count then
    fail(LEVEL, "%s: %s has %d values for %d; give one for each", who, name, #list, count)
  end
  for k = 1, #list do
    if type(list[k]) ~= "number" then
      fail(LEVEL, "%s: %s[%d] is a %s; give a number", who, name, k, type(list[k]))
    end
  end
  return list
end

local function check_drawable(who, ...)
  local lists = {...}
  for k = 1, #lists[1] do
    local good = true
    for _, list in ipairs(lists) do good = good and axis.is_finite(list[k]) end
    if good then return end
  end
  fail(LEVEL, "%s: all %d points are NaN or infinite; there is nothing to draw", who, #lists[1])
end

local function check_texts(who, name, list, count)
  if list == nil then return nil end
  if type(list) ~= "table" or #list ~= count then
    fail(LEVEL, "%s: %s must be a list of %d texts", who, name, count)
  end
  local texts = {}
  for k = 1, count do texts[k] = tostring(list[k]) end
  return texts
end

local function check_limits(who, name, limits)
  if limits == nil then return end
  local lo, hi = limits[1], limits[2]
  if not (axis.is_finite(lo) and axis.is_finite(hi) and lo < hi) then
    fail(LEVEL, "%s: %s is {%s, %s}; give {low, high} with low < high", who, name, tostring(lo),
      tostring(hi))
  end
end

local function check_size(who, options)
  for _, name in ipairs {"width", "height"} do
    local size = options[name]
    if size and (math.type(size) ~= "integer" or size < 100 or size > 10000) then
      fail(LEVEL, "%s: %s is %s; give whole pixels from 100 to 10000", who, name, tostring(size))
    end
  end
end

--- Refuses a second kind of axes: a heatmap is alone in its plot.
local function check_alone(who, self, is_heatmap)
  if self.matrix or is_heatmap and #self.series > 0 then
    fail(LEVEL, "%s: a heatmap shares its plot with nothing; put it into plot.grid", who)
  end
end

--- Adds a series; one without a colour takes the next of the palette.
local function add(self, series)
  if not series.color then
    self.used = self.used + 1
    series.color = plot.palette[(self.used - 1) % #plot.palette + 1]
  end
  self.series[#self.series + 1] = series
  return self
end

-- ---- the public functions ----

local NEW_OPTIONS = {
  width = "number", height = "number", title = "string", xlabel = "string", ylabel = "string",
  xlim = "table", ylim = "table", xscale = "string", yscale = "string", legend = "string boolean",
}
local PLACES = {
  auto = true, right = true, ["top left"] = true, ["top right"] = true, ["bottom left"] = true,
  ["bottom right"] = true,
}

--- A new, empty plot.
-- Options: width (900) and height (540) in pixels; title, xlabel, ylabel; xlim and ylim {low, high}
-- (default: the data with a margin; bars start at 0); xscale and yscale "linear" or "log";
-- legend "auto" (a free corner, else beside the axes), "top left" ..., "right", or false.
---@param options? table
---@return table plot
--- Example:
---     local plot = require "lua_equi.plot"
---     local p = plot.new {title = "loss", yscale = "log"}
---     print(#p:line({1, 2, 3}, {1, 0.1, 0.01}).series)   --> 1
function plot.new(options)
  local who = "plot.new"
  local self = {series = {}, used = 0}
  for key, value in pairs(check_options(who, options, NEW_OPTIONS)) do self[key] = value end
  check_size(who, self)
  for _, name in ipairs {"xscale", "yscale"} do
    local scale = self[name] or "linear"
    if scale ~= "linear" and scale ~= "log" then
      fail(3, "%s: %s is %q; scales are linear, log", who, name, scale)
    end
  end
  check_limits(who, "xlim", self.xlim)
  check_limits(who, "ylim", self.ylim)
  if type(self.legend) == "string" and not PLACES[self.legend] then
    fail(3, "%s: no legend place %q; places are %s", who, self.legend, sorted_keys(PLACES))
  end
  return setmetatable(self, figure)
end

--- Adds a line through points; a NaN or infinite value leaves a gap.
-- Options: label (for the legend), color, width (2 pixels), dash (true or {on, off} in pixels).
-- Colours are "#rrggbb", {r, g, b}, a name, or a number of the palette.
---@param xs number[]
---@param ys number[] as many as xs
---@param options? table
---@return table plot the same, so that calls chain
--- Example:
---     local p = require("lua_equi.plot").new()
---     p:line({1, 2, 3}, {3, 1, 2}, {label = "loss", dash = true})
function figure:line(xs, ys, options)
  local who = "plot.line"
  check_alone(who, self)
  options = check_options(who, options,
    {label = "string", color = "any", width = "number", dash = "boolean table"})
  xs = check_list(who, "xs", xs)
  ys = check_list(who, "ys", ys, #xs)
  check_drawable(who, xs, ys)
  local dash = options.dash
  if dash == true then dash = {7, 5} end
  if dash and not ((tonumber(dash[1]) or 0) > 0 and (tonumber(dash[2]) or 0) > 0) then
    fail(3, "%s: dash must be true or two positive lengths {on, off}", who)
  end
  return add(self, {kind = "line", xs = xs, ys = ys, label = options.label, dash = dash or nil,
    width = options.width or 2, color = check_color(who, options.color)})
end

--- Adds points; those with a NaN or infinite value are left out.
-- Options: label, color, size (diameter, 7 pixels), errors (a list: bars of ys - e to ys + e).
---@param xs number[]
---@param ys number[]
---@param options? table
---@return table plot
--- Example:
---     local p = require("lua_equi.plot").new()
---     p:points({1, 2}, {0.91, 0.95}, {errors = {0.02, 0.01}})
function figure:points(xs, ys, options)
  local who = "plot.points"
  check_alone(who, self)
  options = check_options(who, options,
    {label = "string", color = "any", size = "number", errors = "any"})
  xs = check_list(who, "xs", xs)
  ys = check_list(who, "ys", ys, #xs)
  check_drawable(who, xs, ys)
  local errors = options.errors and check_list(who, "errors", options.errors, #xs)
  return add(self, {kind = "points", xs = xs, ys = ys, label = options.label, errors = errors,
    size = options.size or 7, color = check_color(who, options.color)})
end

--- Adds a shaded band between two curves, such as mean - std and mean + std.
-- It takes the colour of the series added last (draw the line first), or the next of the palette.
-- Options: label, color, alpha (0.2).
---@param xs number[] rising
---@param lo number[]
---@param hi number[]
---@param options? table
---@return table plot
--- Example:
---     local p = require("lua_equi.plot").new()
---     p:line({1, 2}, {3, 4}):band({1, 2}, {2, 3.5}, {4, 4.5})
function figure:band(xs, lo, hi, options)
  local who = "plot.band"
  check_alone(who, self)
  options = check_options(who, options, {label = "string", color = "any", alpha = "number"})
  xs = check_list(who, "xs", xs)
  lo = check_list(who, "lo", lo, #xs)
  hi = check_list(who, "hi", hi, #xs)
  check_drawable(who, xs, lo, hi)
  local last = self.series[#self.series]
  return add(self, {kind = "band", xs = xs, lo = lo, hi = hi, label = options.label,
    alpha = options.alpha or 0.2, color = check_color(who, options.color) or last and last.color})
end

--- Adds bars, one for each category. A second call stands beside the first (grouped bars); with
-- `stack = true` it stands on top of the call before (stacked bars).
-- Options: label, color, errors (a list: half lengths of error bars), stack, values (a format such
-- as "%.2f": the heights are written into the bars).
---@param categories string[] the same in every call on one plot
---@param heights number[]
---@param options? table
---@return table plot
--- Example:
---     local p = require("lua_equi.plot").new {ylabel = "exact match, %"}
---     p:bars({"rnn", "gru", "lstm"}, {1, 0, 2}, {label = "plain"})
---     p:bars({"rnn", "gru", "lstm"}, {94, 97, 99}, {label = "equi-tuned", errors = {2, 1, 1}})
function figure:bars(categories, heights, options)
  local who = "plot.bars"
  check_alone(who, self)
  options = check_options(who, options,
    {label = "string", color = "any", errors = "any", stack = "boolean", values = "string"})
  heights = check_list(who, "heights", heights)
  categories = check_texts(who, "categories", categories, #heights)
  check_drawable(who, heights)
  local old = self.categories
  if old and table.concat(old, "\0") ~= table.concat(categories or {}, "\0") then
    fail(3, "%s: categories differ from those of the bars before (%s); give the same", who,
      table.concat(old, ", "))
  end
  if not categories then fail(3, "%s: categories are missing; give a text for each bar", who) end
  if options.values and not pcall(string.format, options.values, 0.5) then
    fail(3, "%s: values is %q; give the format of one number, such as \"%%.2f\"", who,
      options.values)
  end
  if options.stack and not old then
    fail(3, "%s: stack = true, but no bars to stand on; the first call goes without", who)
  end
  local errors = options.errors and check_list(who, "errors", options.errors, #heights)
  if not options.stack then self.slots = (self.slots or 0) + 1 end
  self.categories = categories
  return add(self, {kind = "bars", heights = heights, label = options.label, errors = errors,
    slot = self.slots, values = options.values, color = check_color(who, options.color)})
end

--- A plot of bars in one call: one series for each entry of `parts`, stacked or side by side.
-- Options: stack (false), values (a format such as "%.2f": the heights are written into the bars),
-- and those of plot.new. Entries are {label, heights, color = ...}.
---@param categories string[]
---@param parts table[] list of {label, heights, color =}
---@param options? table
---@return table plot
--- Example:
---     local plot = require "lua_equi.plot"
---     local p = plot.bars({"men", "women"}, {{"good", {0.4, 0.7}}, {"bad", {0.6, 0.3}}},
---       {stack = true, values = "%.1f", ylabel = "share"})
---     print(#p.series)   --> 2
function plot.bars(categories, parts, options)
  local who, rest, own = "plot.bars", {}, {}
  if type(options) ~= "table" and options ~= nil then
    fail(3, "%s: options are a %s; give a table", who, type(options))
  end
  for key, value in pairs(options or {}) do
    if key == "stack" or key == "values" then own[key] = value else rest[key] = value end
  end
  if type(parts) ~= "table" or type(parts[1]) ~= "table" then
    fail(3, "%s: parts must be a list of {label, heights}", who)
  end
  local function build()
    local p = plot.new(rest)
    for i, part in ipairs(parts) do
      p:bars(categories, part[2], {label = part[1], color = part.color, values = own.values,
        stack = own.stack and i > 1 or nil})
    end
    return p
  end
  local ok, p = pcall(build)
  if not ok then fail(3, "%s", (tostring(p):gsub("^[^\n]-:%d+: ", ""))) end
  return p
end

--- Shows a matrix as coloured cells with their values, such as a confusion matrix.
-- Row 1 is on top. Options: rows and cols (texts), format (of the values, default "%d" for whole
-- numbers, else "%.2f"), values (false hides them), min and max (ends of the colour scale).
---@param matrix number[][]
---@param options? table
---@return table plot
--- Example:
---     local p = require("lua_equi.plot").new {xlabel = "predicted", ylabel = "true"}
---     p:heatmap({{48, 2}, {5, 45}}, {rows = {"ant", "bee"}, cols = {"ant", "bee"}})
function figure:heatmap(matrix, options)
  local who = "plot.heatmap"
  check_alone(who, self, true)
  options = check_options(who, options, {rows = "table", cols = "table", format = "string",
    values = "boolean", min = "number", max = "number"})
  if type(matrix) == "userdata" and matrix.totable then matrix = matrix:totable() end
  if type(matrix) ~= "table" or #matrix == 0 or type(matrix[1]) ~= "table" then
    fail(3, "%s: the matrix is empty or no matrix; give a list of rows of numbers", who)
  end
  local rows = {}
  for r, row in ipairs(matrix) do
    rows[r] = check_list(who, "row " .. r, row, r > 1 and #matrix[1] or nil)
  end
  add(self, {kind = "heatmap", rows = rows, format = options.format, min = options.min,
    max = options.max, hide = options.values == false, color = plot.palette[1],
    row_texts = check_texts(who, "rows", options.rows, #rows),
    col_texts = check_texts(who, "cols", options.cols, #rows[1])})
  self.matrix = true
  return self
end

local GRID_OPTIONS = {width = "number", height = "number", title = "string"}

--- Several plots in one picture, as a table of rows; `false` leaves a cell empty.
-- Options: width (900), height (330 a row), title. Sizes of the plots themselves are not used.
---@param rows table[] lists of plots
---@param options? table
---@return table grid with `save` and `render` like a plot
--- Example:
---     local plot = require "lua_equi.plot"
---     local a, b = plot.new(), plot.new()
---     a:line({1, 2}, {1, 2})
---     b:line({1, 2}, {2, 1})
---     local g = plot.grid({{a, b}}, {title = "two runs"})
function plot.grid(rows, options)
  local who = "plot.grid"
  local self = {rows = rows}
  for key, value in pairs(check_options(who, options, GRID_OPTIONS)) do self[key] = value end
  check_size(who, self)
  if type(rows) ~= "table" or #rows == 0 then
    fail(3, "%s: no rows; give {{plot, plot}, {plot, plot}}", who)
  end
  for r, row in ipairs(rows) do
    for c = 1, type(row) == "table" and #row or 1 do
      local cell = type(row) == "table" and row[c]
      if cell ~= false and getmetatable(cell) ~= figure or type(row) ~= "table" then
        fail(3, "%s: row %d, place %d is no plot; give plots of plot.new, or false", who, r, c)
      end
    end
  end
  return setmetatable(self, grid)
end

-- ---- output ----

local function check_content(who, rows, level)
  for _, row in ipairs(rows) do
    for _, cell in ipairs(row) do
      if cell and #cell.series == 0 then
        fail(level, "%s: the plot%s is empty; add a line, points, bars, a band or a heatmap first",
          who, cell.title and string.format(" %q", cell.title) or "")
      end
    end
  end
end

local function draw(self, who)
  local rows = self.rows or {{self}}
  check_content(who, rows, LEVEL + 1)
  local width, height = self.width or 900, self.height or (self.rows and 330 * #rows or 540)
  return require("lua_equi.plot.render")(rows, width, height, self.rows and self.title), height,
    width, 3
end

--- The picture's bytes without a file: rows from the top, R G B for each pixel.
---@return string bytes, integer height, integer width, integer channels
function figure:render()
  local bytes, height, width, channels = draw(self, "plot.render")
  return bytes, height, width, channels
end

--- Writes the picture as a PNG file, whole or not at all.
---@param path string
---@return true? done, string? message nil and a message when the file cannot be written
--- Example:
---     local p = require("lua_equi.plot").new()
---     local path = os.tmpname()
---     print(p:line({1, 2}, {1, 2}):save(path))   --> true
---     os.remove(path)
function figure:save(path)
  if type(path) ~= "string" then
    fail(3, "plot.save: the path is a %s; give a file name", type(path))
  end
  local misnamed = ending(path)
  if misnamed then fail(3, "plot.save: %s", misnamed) end
  local bytes, height, width, channels = draw(self, "plot.save")
  local core = require "lua_equi.core" -- only here: a plot is drawn without it
  local pixels = core.frombytes(bytes, {height, width, channels}, {dtype = "u8"})
  local done, message = core.image_write(path, pixels:permute(3, 1, 2))
  if not done then return nil, "plot.save: " .. message end
  return true
end

grid.render, grid.save = figure.render, figure.save

return plot
