--- Contact sheets: pictures in rows with captions, for equi.image.sheet, which documents it.
--
-- Texts are drawn by the plots' canvas into a strip as wide as the sheet; only strips are Lua
-- tables, the pictures stay tensors.
local canvas = require "lua_equi.plot.canvas"
local core = require "lua_equi.core"
local font = require "lua_equi.plot.font"

local LINE, TITLE = 15, 26 -- heights of a caption and of the title
local SMALL, LARGE = 0.8, 1.2

local function list_of(images)
  if core.is_tensor(images) and images.ndim == 4 then
    local list = {}
    for i = 1, images:size(1) do list[i] = images[i] end
    return list
  end
  if type(images) ~= "table" or #images == 0 then
    error("image.sheet: images must be a list of pictures [C, H, W] or a batch [B, C, H, W]", 4)
  end
  return images
end

-- As u8 [3, h, w] with the longer side `size`.
local function cell(x, i, size, to_bytes)
  local ok = core.is_tensor(x) and (x.ndim == 2 or x.ndim == 3) and x:numel() > 0
  local c = ok and x.ndim == 3 and x:size(1) or 1
  if not ok or (c ~= 1 and c ~= 3) then
    error(("image.sheet: picture %d must be [3, H, W], [1, H, W] or [H, W]"):format(i), 4)
  end
  x = to_bytes("image.sheet", x, 4)
  if x.ndim == 2 then x = x:unsqueeze(1) end
  local h, w = x:size(2), x:size(3)
  local longer = math.max(h, w)
  if longer ~= size then
    local function scaled(n) return math.max(1, (n * size + longer // 2) // longer) end
    x = core.image_resize(x, scaled(h), scaled(w), longer < size and "nearest" or "bilinear")
  end
  return x
end

-- The longest beginning of a text that fits, with an ellipsis when it is not the whole.
local function fitted(text, width)
  if font.width(text, SMALL) <= width then return text end
  for n = utf8.len(text) or #text, 1, -1 do
    local stop = utf8.offset(text, n) or n
    local short = text:sub(1, stop - 1) .. "..."
    if font.width(short, SMALL) <= width then return short end
  end
  return ""
end

-- Draws texts {text, x = middle} into a white strip and puts it at `top`.
local function put_texts(sheet, top, height, texts, scale)
  local width = sheet:size(3)
  local strip = canvas.new(width, height)
  for _, t in ipairs(texts) do
    strip:text(t[1], t.x, height / 2, {scale = scale, anchor = "center"})
  end
  local pixels = core.frombytes(strip:bytes(), {height, width, 3}, {dtype = "u8"})
  sheet:narrow(2, top + 1, height):copy_(pixels:permute(3, 1, 2))
end

local function check(o)
  for name, least in pairs {size = 1, gap = 0, columns = 1} do
    local v = o[name]
    if v ~= nil and (math.type(v) ~= "integer" or v < least) then
      error(("image.sheet: %s must be a whole number of at least %d, got %s"):format(name, least,
        tostring(v)), 4)
    end
  end
  if o.captions ~= nil and type(o.captions) ~= "table" then
    error("image.sheet: captions must be a list of texts", 4)
  end
end

-- o: options, known ones only. Called by image.sheet alone: levels of errors count on it.
return function(images, o, to_bytes)
  check(o)
  local list = list_of(images)
  local columns = math.min(o.columns or math.ceil(math.sqrt(#list)), #list)
  local rows = (#list + columns - 1) // columns
  local line = o.captions and LINE or 0
  local top = o.gap + (o.title and TITLE or 0)
  local across, down = o.size + o.gap, o.size + line + o.gap
  local sheet = core.full({3, top + rows * down, o.gap + columns * across}, 255, {dtype = "u8"})
  if o.title then
    put_texts(sheet, o.gap // 2, TITLE, {{o.title, x = sheet:size(3) / 2}}, LARGE)
  end
  for r = 1, rows do
    local y, texts = top + (r - 1) * down, {}
    for k = 1, columns do
      local i = (r - 1) * columns + k
      if not list[i] then break end
      local x, left = cell(list[i], i, o.size, to_bytes), o.gap + (k - 1) * across
      local h, w = x:size(2), x:size(3)
      sheet:narrow(2, y + (o.size - h) // 2 + 1, h):narrow(3, left + (o.size - w) // 2 + 1, w)
        :copy_(x)
      if o.captions and o.captions[i] then
        texts[#texts + 1] = {fitted(tostring(o.captions[i]), across), x = left + o.size / 2}
      end
    end
    if #texts > 0 then put_texts(sheet, y + o.size, LINE, texts, SMALL) end
  end
  return sheet
end
