--- A stroke font: ASCII 32 to 126 and a few signs, as lines and curves of constant width.
--
-- Drawn for this project on a grid where a capital is 10 high, a small letter 7, a descender goes
-- to -3, and upright stems stand on whole numbers, so that they are crisp at the natural size
-- (1 unit = 1 pixel). Being strokes, the letters can be scaled and turned freely.
--
-- It is NOT a typesetter: no kerning, no right-to-left, unknown signs become a box.
--
-- A glyph is "advance path"; the path is a small language, y upwards from the baseline:
--   M x y            move            L x y             line
--   Q cx cy x y      quadratic curve A cx cy rx ry a b elliptic arc from angle a to b, in degrees
local font = {}

local SOURCE = {
  [" "] = "4", ["!"] = "4 M0 10 L0 3.2 M0 .5 L0 0", ['"'] = "6 M0 10 L0 7 M3 10 L3 7",
  ["#"] = "11 M3 10 L1.4 0 M7 10 L5.4 0 M0 7 L8 7 M0 3 L8 3",
  ["$"] = "9 M5.6 8 Q4.7 9 3 9 Q.6 9 .6 7.2 Q.6 5.6 3 5 Q5.8 4.4 5.8 2.7 Q5.8 1 3 1 Q1.1 1 .2 2.1"
    .. " M3 10.6 L3 -.6",
  ["%"] = "13 A2.2 7.6 2.2 2.4 0 360 A7.8 2.4 2.2 2.4 0 360 M8 10 L2 0",
  ["&"] = "11 M8 0 L2.2 6.4 Q1 7.7 1.3 8.6 Q1.8 10 3.3 10 Q5 10 5 8.3 Q5 7 3 6 Q0 4.6 0 2.6"
    .. " Q0 0 3 0 Q6.6 0 7.4 4.6",
  ["'"] = "3 M0 10 L0 7", ["("] = "5 M2.4 11 Q0 8.4 0 4.5 Q0 .6 2.4 -2",
  [")"] = "5 M0 11 Q2.4 8.4 2.4 4.5 Q2.4 .6 0 -2",
  ["*"] = "8 M2.5 10 L2.5 5 M.2 8.8 L4.8 6.2 M4.8 8.8 L.2 6.2",
  ["+"] = "10 M0 4 L7 4 M3.5 7.5 L3.5 .5",
  [","] = "4 M.6 .6 L.4 -.3 L-.4 -1.9", ["-"] = "6 M0 4 L3 4", ["."] = "4 M.2 .5 L.2 0",
  ["/"] = "7 M4 10 L0 -1.4",
  ["0"] = "9 A3 5 3 5 0 360", ["1"] = "9 M.8 8.7 L3 10 L3 0 M.6 0 L5.4 0",
  ["2"] = "9 M.3 8.5 Q1.2 10 3 10 Q5.5 10 5.5 7.5 Q5.5 5.8 3.4 3.5 L.2 0 L5.7 0",
  ["3"] = "9 M.4 9 Q1.3 10 2.9 10 Q5.3 10 5.3 7.7 Q5.3 5.3 2.8 5.3 L1.8 5.3 M2.8 5.3"
    .. " Q5.7 5.3 5.7 2.7 Q5.7 0 2.7 0 Q1 0 .1 1.1",
  ["4"] = "9 M4 0 L4 10 L-.1 3 L5.9 3",
  ["5"] = "9 M5.1 10 L.9 10 L.6 5.4 Q1.6 6.4 2.9 6.4 Q5.7 6.4 5.7 3.2 Q5.7 0 2.7 0 Q1 0 .1 1.1",
  ["6"] = "9 M5 9.4 Q4.3 10 3.4 10 Q.1 10 .1 3.8 A2.95 3.1 2.85 3.1 180 540",
  ["7"] = "9 M.1 10 L5.7 10 L2 0", ["8"] = "9 A3 7.65 2.5 2.35 0 360 A3 2.65 2.85 2.65 0 360",
  ["9"] = "9 M1 .6 Q1.7 0 2.6 0 Q5.9 0 5.9 6.2 A3.05 6.9 2.85 3.1 0 360",
  [":"] = "4 M.2 .5 L.2 0 M.2 6.5 L.2 6", [";"] = "4 M.6 .6 L.4 -.3 L-.4 -1.9 M.5 6.5 L.5 6",
  ["<"] = "10 M7 7.4 L0 4 L7 .6", ["="] = "10 M0 6 L7 6 M0 2 L7 2", [">"] = "10 M0 7.4 L7 4 L0 .6",
  ["?"] = "8 M0 8.6 Q.8 10 2.5 10 Q4.9 10 4.9 7.8 Q4.9 6.6 3.4 5.4 Q2.4 4.5 2.4 3.2 M2.4 .5 L2.4 0",
  ["@"] = "13 M7 5.6 Q6.6 6.9 5 6.9 Q2.9 6.9 2.9 4.1 Q2.9 1.6 4.8 1.6 Q6.6 1.6 7 3.2 M7 6.8 L7 3"
    .. " Q7.1 1.7 8.2 1.7 Q10 1.8 10 4.8 Q10 10 5.2 10 Q0 10 0 4.2 Q0 -1.8 5.4 -1.8 Q7 -1.8 8.4 -1",
  A = "11 M0 0 L4 10 L8 0 M1.2 3 L6.8 3",
  B = "10 M3 5.3 L0 5.3 M0 0 L0 10 L3 10 Q5.6 10 5.6 7.7 Q5.6 5.3 3 5.3 Q6.2 5.3 6.2 2.6 Q6.2 0 3 0"
    .. " L0 0",
  C = "10 A4.2 5 4.2 5 45 315", D = "11 M2.5 0 L0 0 L0 10 L2.5 10 Q7.3 10 7.3 5 Q7.3 0 2.5 0",
  E = "9 M5.6 10 L0 10 L0 0 L5.8 0 M0 5 L5.2 5", F = "8.5 M5.6 10 L0 10 L0 0 M0 5 L4.8 5",
  G = "11 M7.3 8.5 A4.2 5 4.2 5 45 310 M4.6 4.6 L7.4 4.6 L7.4 1.1",
  H = "10 M0 10 L0 0 M7 10 L7 0 M0 5 L7 5",
  I = "3.6 M0 10 L0 0", J = "7 M4 10 L4 2.9 Q4 0 2 0 Q.6 0 -.2 .9",
  K = "9 M0 10 L0 0 M6.2 10 L0 3.8 M2.3 6.1 L6.6 0", L = "8 M0 10 L0 0 L5.4 0",
  M = "12 M0 0 L0 10 L4.5 2.6 L9 10 L9 0", N = "10.6 M0 0 L0 10 L7 0 L7 10",
  O = "11 A4 5 4.2 5 0 360",
  P = "9 M0 0 L0 10 L3 10 Q5.9 10 5.9 7.4 Q5.9 4.7 3 4.7 L0 4.7",
  Q = "11 A4 5 4.2 5 0 360 M4.8 2 L7.4 -1.2",
  R = "9.6 M0 0 L0 10 L3 10 Q5.9 10 5.9 7.4 Q5.9 4.8 3 4.8 L0 4.8 M3.2 4.8 L6.4 0",
  S = "9 M5.6 8.8 Q4.7 10 3 10 Q.3 10 .3 7.7 Q.3 5.9 3 5.3 Q6 4.6 6 2.6 Q6 0 3 0 Q1 0 0 1.3",
  T = "9 M-.4 10 L6.4 10 M3 10 L3 0", U = "10.4 M0 10 L0 3.8 Q0 0 3.5 0 Q7 0 7 3.8 L7 10",
  V = "10.4 M0 10 L3.8 0 L7.6 10", W = "13.4 M0 10 L2.7 0 L5.3 9.4 L7.9 0 L10.6 10",
  X = "9.6 M0 10 L6.8 0 M6.6 10 L-.2 0", Y = "9 M-.5 10 L3 4.8 L6.5 10 M3 4.8 L3 0",
  Z = "9.6 M0 10 L6.4 10 L0 0 L6.6 0",
  ["["] = "5 M2.4 11 L0 11 L0 -2 L2.4 -2", ["\\"] = "7 M0 10 L4 -1.4",
  ["]"] = "5 M0 11 L2.4 11 L2.4 -2 L0 -2", ["^"] = "9 M0 6.6 L3 10 L6 6.6",
  ["_"] = "8 M-.6 -2 L5.6 -2",
  ["`"] = "5 M0 10 L1.8 8",
  a = "8 M.5 6 Q1.3 7 2.6 7 Q5 7 5 4.6 L5 0 M5 4 L2.4 4 Q0 4 0 2 Q0 0 2 0 Q4.2 0 5 2.1",
  b = "8.4 M0 10 L0 0 M0 4.8 Q.8 7 2.8 7 Q5.4 7 5.4 3.5 Q5.4 0 2.8 0 Q.8 0 0 2.2",
  c = "7.6 A2.9 3.5 2.9 3.5 48 312",
  d = "8.4 M5 10 L5 0 M5 4.8 Q4.2 7 2.4 7 Q-.3 7 -.3 3.5 Q-.3 0 2.4 0 Q4.2 0 5 2.2",
  e = "8.2 M-.1 3.6 L5.4 3.6 A2.65 3.5 2.75 3.5 2 318",
  f = "5.2 M3.7 10 L3.1 10 Q1 10 1 7.8 L1 0 M-.5 7 L3.3 7",
  g = "8.4 M5 7 L5 -.5 Q5 -3 2.4 -3 Q1.1 -3 .3 -2.4 M5 4.8 Q4.2 7 2.4 7 Q-.3 7 -.3 3.5 Q-.3 0 2.4 0"
    .. " Q4.2 0 5 2.2",
  h = "8.2 M0 10 L0 0 M0 4.4 Q.6 7 2.8 7 Q5 7 5 4.2 L5 0", i = "3.4 M0 7 L0 0 M0 10 L0 9.5",
  j = "4 M.6 7 L.6 -1.2 Q.6 -3 -1 -3 M.6 10 L.6 9.5",
  k = "7.6 M0 10 L0 0 M4.7 7 L0 2.6 M1.7 4.2 L5 0",
  l = "3.4 M0 10 L0 0",
  m = "12.2 M0 7 L0 0 M0 4.6 Q.5 7 2.4 7 Q4.5 7 4.5 4.4 L4.5 0 M4.5 4.6 Q5 7 6.9 7 Q9 7 9 4.4 L9 0",
  n = "8.2 M0 7 L0 0 M0 4.4 Q.6 7 2.8 7 Q5 7 5 4.2 L5 0", o = "8.4 A2.7 3.5 2.9 3.5 0 360",
  p = "8.4 M0 7 L0 -3 M0 4.8 Q.8 7 2.8 7 Q5.4 7 5.4 3.5 Q5.4 0 2.8 0 Q.8 0 0 2.2",
  q = "8.4 M5 7 L5 -3 M5 4.8 Q4.2 7 2.4 7 Q-.3 7 -.3 3.5 Q-.3 0 2.4 0 Q4.2 0 5 2.2",
  r = "5.4 M0 7 L0 0 M0 4 Q.7 7 3.1 6.9",
  s = "7 M4 6.1 Q3.3 7 2.2 7 Q.2 7 .2 5.4 Q.2 4.1 2.2 3.6 Q4.3 3.1 4.3 1.7 Q4.3 0 2.1 0"
    .. " Q.7 0 -.1 1",
  t = "5.4 M1 9.2 L1 2 Q1 0 2.8 0 L3.3 0 M-.6 7 L3.3 7",
  u = "8.2 M0 7 L0 2.8 Q0 0 2.2 0 Q4.4 0 5 2.6 M5 7 L5 0", v = "8 M-.2 7 L2.5 0 L5.2 7",
  w = "11 M-.2 7 L1.9 0 L4 6.6 L6.1 0 L8.2 7", x = "7.6 M0 7 L4.8 0 M4.8 7 L0 0",
  y = "8 M-.2 7 L2.5 .2 M5.2 7 L2.2 -1.2 Q1.5 -3 -.1 -3", z = "7.4 M0 7 L4.4 7 L0 0 L4.5 0",
  ["{"] = "6 M3.2 11 Q1.4 11 1.4 9 L1.4 6.4 Q1.4 4.5 0 4.5 Q1.4 4.5 1.4 2.6 L1.4 0 Q1.4 -2 3.2 -2",
  ["|"] = "4 M0 11 L0 -2",
  ["}"] = "6 M0 11 Q1.8 11 1.8 9 L1.8 6.4 Q1.8 4.5 3.2 4.5 Q1.8 4.5 1.8 2.6 L1.8 0 Q1.8 -2 0 -2",
  ["~"] = "10 M0 3.2 Q.4 5.2 2 5.2 Q3 5.2 3.6 4.4 Q4.2 3.4 5.2 3.4 Q6.8 3.4 7 5.4",
  ["±"] = "10 M0 5 L7 5 M3.5 8.5 L3.5 1.5 M0 0 L7 0", ["×"] = "9 M0 7 L6 1 M6 7 L0 1",
  ["°"] = "6 A1.8 8.2 1.8 1.8 0 360", ["−"] = "10 M0 4 L7 4", ["–"] = "8 M0 4 L5 4",
  ["λ"] = "8 M.2 10 Q1.6 10 2.2 8.2 L5 0 M2.7 6.2 L0 0",
  ["α"] = "9 M6 7 Q5 0 2.4 0 Q-.2 0 -.2 3.5 Q-.2 7 2.4 7 Q5 7 6.2 0",
  ["ε"] = "7.4 M4.4 6.2 Q3.6 7 2.4 7 Q.2 7 .2 5.3 Q.2 3.7 2.4 3.7 L3 3.7 M2.4 3.7 Q-.1 3.7 -.1 1.8"
    .. " Q-.1 0 2.4 0 Q3.9 0 4.8 1",
  ["→"] = "13 M0 4 L10 4 M7 7 L10 4 L7 1", ["≤"] = "10 M7 8.4 L0 5.2 L7 2 M0 0 L7 0",
  ["≥"] = "10 M0 8.4 L7 5.2 L0 2 M0 0 L7 0",
}
local UNKNOWN = "9 M0 0 L0 10 L6 10 L6 0 L0 0"

--- Adds the points of a curve, cut fine enough for twice the natural size.
local function curve(stroke, steps, at)
  for k = 1, steps do
    local x, y = at(k / steps)
    stroke[#stroke + 1] = x
    stroke[#stroke + 1] = y
  end
end

local function quadratic(stroke, cx, cy, x, y)
  local x0, y0 = stroke[#stroke - 1], stroke[#stroke]
  curve(stroke, 8, function(t)
    local a, b, c = (1 - t) ^ 2, 2 * t * (1 - t), t * t
    return a * x0 + b * cx + c * x, a * y0 + b * cy + c * y
  end)
end

local function arc(stroke, cx, cy, rx, ry, from, to)
  curve(stroke, math.max(4, math.ceil(math.abs(to - from) / 15)), function(t)
    local angle = math.rad(from + (to - from) * t)
    return cx + rx * math.cos(angle), cy + ry * math.sin(angle)
  end)
end

local function start_of_arc(cx, cy, rx, ry, from)
  local angle = math.rad(from)
  return cx + rx * math.cos(angle), cy + ry * math.sin(angle)
end

--- Turns "advance path" into {advance = number, {x1, y1, x2, y2, ...}, ...}, a list a stroke.
local function parse(source)
  local glyph, stroke = {advance = tonumber(source:match("^[%d.]+"))}, nil
  for command, numbers in source:gmatch("([MLQA])([^MLQA]*)") do
    local v = {}
    for number in numbers:gmatch("[^%s]+") do v[#v + 1] = tonumber(number) end
    if command == "M" or not stroke then
      stroke = {}
      glyph[#glyph + 1] = stroke
    end
    if command == "Q" then
      quadratic(stroke, table.unpack(v))
    elseif command == "A" then
      local x, y = start_of_arc(table.unpack(v))
      local n = #stroke
      if n > 0 and math.abs(stroke[n - 1] - x) + math.abs(stroke[n] - y) > 1.5 then
        stroke = {}
        glyph[#glyph + 1] = stroke
        n = 0
      end
      if n == 0 then stroke[1], stroke[2] = x, y end
      arc(stroke, table.unpack(v))
    else
      stroke[#stroke + 1] = v[1]
      stroke[#stroke + 1] = v[2]
    end
  end
  return glyph
end

local parsed = {}

--- The glyph of one character (a string of one UTF-8 sign).
local function glyph_of(char)
  local glyph = parsed[char]
  if not glyph then
    glyph = parse(SOURCE[char] or UNKNOWN)
    parsed[char] = glyph
  end
  return glyph
end

--- Calls f(glyph) for every sign of text; bytes that are no UTF-8 count as one sign each.
local function each(text, f)
  if not utf8.len(text) then
    for i = 1, #text do f(glyph_of(text:sub(i, i))) end
    return
  end
  for _, code in utf8.codes(text) do f(glyph_of(utf8.char(code))) end
end

--- Whether the font has its own drawing of a sign.
---@param char string one UTF-8 sign
---@return boolean
function font.has(char) return SOURCE[char] ~= nil end

--- Width of a line of text in pixels.
---@param text string
---@param scale number pixels per grid unit
---@return number
function font.width(text, scale)
  local width = 0
  each(text, function(glyph) width = width + glyph.advance * scale end)
  return math.max(0, width - 3 * scale)
end

--- The strokes of a line of text, its baseline starting at 0, 0, y upwards, in pixels.
-- Each letter starts on a whole pixel: that keeps the stems crisp.
---@param text string
---@param scale number
---@return number[][] strokes each {x1, y1, x2, y2, ...}
function font.strokes(text, scale)
  local out, pen = {}, 0
  each(text, function(glyph)
    local left = math.floor(pen + 0.5)
    for _, stroke in ipairs(glyph) do
      local points = {}
      for k = 1, #stroke, 2 do
        points[k] = left + stroke[k] * scale
        points[k + 1] = stroke[k + 1] * scale
      end
      out[#out + 1] = points
    end
    pen = pen + glyph.advance * scale
  end)
  return out
end

return font
