--- What the name of a picture's file says of its format: we write PNG and nothing else, and a PNG
--- called x.jpg surprises whoever opens it. NOT a look into the file.
local FORMATS = {jpg = "JPEG", jpeg = "JPEG", jpe = "JPEG", gif = "GIF", bmp = "BMP", tif = "TIFF",
  tiff = "TIFF", webp = "WebP", ppm = "PPM", pgm = "PGM", pnm = "PNM", pdf = "PDF", svg = "SVG"}

--- What is wrong with a name for a PNG file: nil if it ends in .png, in nothing, or in something
--- that is no format of pictures.
---@param path string
---@return string? problem
--- Example:
---     local ending = require "lua_equi.formats.ending"
---     print(ending "a.png", ending "a.JPG")
---     --> nil what is written is PNG, the name says JPEG: a.JPG; name it .png
local function ending(path)
  local format = FORMATS[(path:match "%.(%w+)$" or ""):lower()]
  return format and ("what is written is PNG, the name says %s: %s; name it .png"):format(format,
    path) or nil
end

return ending
