--- Pixels: an RGB picture in a Lua table, with anti-aliased strokes, fills and text.
--
-- Positions are pixels from the top left corner; pixel (0, 0) covers [0, 1) x [0, 1). A stroke's
-- coverage of a pixel is clamp(half width + 1/2 - distance from the pixel's middle to the path):
-- the pieces of one path are merged by their maximum, then blended once, so that joins do not get
-- darker. NOT a general rasteriser: fills are rectangles and bands of columns, which plots need.
local font = require "lua_equi.plot.font"

local canvas = {}
canvas.__index = canvas

local floor, ceil, min, max, sqrt = math.floor, math.ceil, math.min, math.max, math.sqrt

--- A white picture.
---@param width integer
---@param height integer
function canvas.new(width, height)
  local pixels = {}
  for i = 1, width * height * 3 do pixels[i] = 255 end
  return setmetatable({width = width, height = height, pixels = pixels,
    clip_box = {0, 0, width, height}}, canvas)
end

--- Limits drawing to x0 <= x < x1, y0 <= y < y1; without arguments, to the whole picture.
function canvas:clip(x0, y0, x1, y1)
  self.clip_box = x0 and {max(0, floor(x0)), max(0, floor(y0)), min(self.width, ceil(x1)),
    min(self.height, ceil(y1))} or {0, 0, self.width, self.height}
end

--- While `ink` is a table, every pixel drawn is entered in it (index y * width + x).
function canvas:watch(ink) self.ink = ink end

--- Blends a mask {[y * width + x] = coverage} in one colour {r, g, b}.
local function blend(self, mask, color, alpha)
  local pixels, ink = self.pixels, self.ink
  local r, g, b = color[1], color[2], color[3]
  for at, coverage in pairs(mask) do
    local i = at * 3
    local a = coverage * alpha
    local p = pixels[i + 1]
    pixels[i + 1] = floor(p + (r - p) * a + 0.5)
    p = pixels[i + 2]
    pixels[i + 2] = floor(p + (g - p) * a + 0.5)
    p = pixels[i + 3]
    pixels[i + 3] = floor(p + (b - p) * a + 0.5)
    if ink then ink[at] = true end
  end
end

--- Liang-Barsky: the part of a segment inside the clip box widened by `pad`, or nothing.
-- Without it a point far outside the axes would cost a walk over all pixels on the way.
local function clip_segment(box, pad, x0, y0, x1, y1)
  local dx, dy, t0, t1 = x1 - x0, y1 - y0, 0, 1
  local function edge(p, q)
    if p == 0 then return q >= 0 end
    local t = q / p
    if p < 0 then t0 = max(t0, t) else t1 = min(t1, t) end
    return t0 <= t1
  end
  if edge(-dx, x0 - box[1] + pad) and edge(dx, box[3] + pad - x0)
    and edge(-dy, y0 - box[2] + pad) and edge(dy, box[4] + pad - y0) then
    return x0 + t0 * dx, y0 + t0 * dy, x0 + t1 * dx, y0 + t1 * dy
  end
end

--- Merges one segment into a mask. Walks the longer axis, and there the pixels near the line.
local function add_segment(self, mask, radius, ax, ay, bx, by)
  local box, width = self.clip_box, self.width
  local x0, y0, x1, y1 = clip_segment(box, radius + 2, ax, ay, bx, by)
  if not x0 then return end
  x0, y0, x1, y1 = x0 - 0.5, y0 - 0.5, x1 - 0.5, y1 - 0.5 -- to pixel middles
  local dx, dy = x1 - x0, y1 - y0
  local squared = dx * dx + dy * dy
  local inverse = squared > 1e-12 and 1 / squared or 0
  local reach, steep = radius + 0.5, math.abs(dy) > math.abs(dx)
  local left, top, right, bottom = box[1], box[2], box[3] - 1, box[4] - 1
  if steep then -- swap the axes
    x0, y0, dx, dy, x1 = y0, x0, dy, dx, y1
    left, top, right, bottom = top, left, bottom, right
  end
  local slope = dx ~= 0 and dy / dx or 0
  local spread = reach * sqrt(1 + slope * slope)
  local low, high = min(x0, x1), max(x0, x1)
  local start_y, end_y = y0, y0 + dy
  for u = max(left, ceil(low - reach)), min(right, floor(high + reach)) do
    local near = y0 + slope * (u - x0)
    local from, to = near - spread, near + spread
    if u < low or u > high then -- round caps
      local cap = (math.abs(u - x0) < math.abs(u - x1)) and start_y or end_y
      from, to = cap - reach, cap + reach
    end
    for v = max(top, ceil(from)), min(bottom, floor(to)) do
      local px, py = u - x0, v - y0
      local t = (px * dx + py * dy) * inverse
      if t < 0 then t = 0 elseif t > 1 then t = 1 end
      px, py = px - t * dx, py - t * dy
      local coverage = reach - sqrt(px * px + py * py)
      if coverage > 0 then
        if coverage > 1 then coverage = 1 end
        local at = steep and u * width + v or v * width + u
        local old = mask[at]
        if not old or old < coverage then mask[at] = coverage end
      end
    end
  end
end

--- Draws paths, each a list {x1, y1, x2, y2, ...}, as one stroke of the given width.
-- A path of one point is a disc. Lines thinner than a pixel are drawn paler.
---@param paths number[][]
---@param width number
---@param color number[] {r, g, b}
---@param alpha? number 1 covers wholly
function canvas:stroke(paths, width, color, alpha)
  local mask, radius = {}, max(width, 1) / 2
  for _, path in ipairs(paths) do
    if #path == 2 then add_segment(self, mask, radius, path[1], path[2], path[1], path[2]) end
    for k = 1, #path - 3, 2 do
      add_segment(self, mask, radius, path[k], path[k + 1], path[k + 2], path[k + 3])
    end
  end
  blend(self, mask, color, (alpha or 1) * min(width, 1))
end

--- Fills columns of pixels: each covers [x, x + 1) between the heights top(x) and bottom(x).
local function fill_columns(self, x0, x1, span, color, alpha)
  local box, width, mask = self.clip_box, self.width, {}
  for x = max(box[1], floor(x0)), min(box[3], ceil(x1)) - 1 do
    local part = min(x + 1, x1) - max(x, x0)
    local top, bottom = span(x)
    top, bottom = max(top, box[2]), min(bottom, box[4])
    for y = floor(top), ceil(bottom) - 1 do
      local coverage = part * (min(y + 1, bottom) - max(y, top))
      if coverage > 0 then mask[y * width + x] = coverage end
    end
  end
  blend(self, mask, color, alpha or 1)
end

--- Fills a rectangle; fractional edges are anti-aliased.
function canvas:rectangle(x0, y0, x1, y1, color, alpha)
  fill_columns(self, x0, x1, function() return y0, y1 end, color, alpha)
end

--- Fills between two curves; a pixel column takes their values at its middle.
---@param xs number[]
---@param tops number[]
---@param bottoms number[]
function canvas:band(xs, tops, bottoms, color, alpha)
  local columns, from, to = {}, math.huge, -math.huge
  for k = 1, #xs - 1 do
    local a, b = k, k + 1
    if xs[a] > xs[b] then a, b = b, a end
    local x0, x1 = xs[a], xs[b]
    for x = max(self.clip_box[1], ceil(x0 - 0.5)), min(self.clip_box[3] - 1, floor(x1 - 0.5)) do
      local t = x1 > x0 and (x + 0.5 - x0) / (x1 - x0) or 0
      columns[x] = {tops[a] + t * (tops[b] - tops[a]), bottoms[a] + t * (bottoms[b] - bottoms[a])}
      from, to = min(from, x), max(to, x + 1)
    end
  end
  fill_columns(self, from, to, function(x)
    local span = columns[x]
    if not span then return 0, 0 end
    return min(span[1], span[2]), max(span[1], span[2])
  end, color, alpha)
end

--- Writes a line of text.
---@param text string
---@param x number position of the anchor
---@param y number the middle of the capitals' height
---@param options table scale, color, anchor ("left", "center", "right"), angle in degrees, weight
function canvas:text(text, x, y, options)
  local scale = options.scale or 1
  local width = font.width(text, scale)
  local shift = options.anchor == "center" and -width / 2
    or options.anchor == "right" and -width or 0
  local angle = math.rad(options.angle or 0)
  local cosine, sine = math.cos(angle), math.sin(angle)
  local middle, base_x, base_y = 5 * scale, x, y
  if not options.angle then -- stems and baselines on the middles of pixels
    base_x, base_y = floor(x + shift) + 0.5 - shift, floor(y + middle) + 0.5 - middle
  elseif options.angle == 90 then
    base_x = floor(x + middle) + 0.5 - middle
  end
  local paths = font.strokes(text, scale)
  for _, path in ipairs(paths) do
    for k = 1, #path, 2 do
      local u, v = path[k] + shift, middle - path[k + 1]
      path[k], path[k + 1] = base_x + u * cosine + v * sine, base_y - u * sine + v * cosine
    end
  end
  self:stroke(paths, (options.weight or 1.3) * max(1, scale ^ 0.7), options.color or {38, 38, 38})
end

--- The picture as a string of height x width x 3 bytes.
---@return string
function canvas:bytes()
  local parts, pixels, n = {}, self.pixels, #self.pixels
  for i = 1, n, 240 do
    parts[#parts + 1] = string.char(table.unpack(pixels, i, min(i + 239, n)))
  end
  return table.concat(parts)
end

return canvas
