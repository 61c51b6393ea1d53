--- Layers that change the size of images and have no weights: pooling, upsample.
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local classes = require "lua_equi.nn.class"
local options = require "lua_equi.options"

local pool = {}

-- {3, 3} as 3, {3, 2} as 3 x 2.
local function shown(v)
  if type(v) ~= "table" then return tostring(v) end
  return v[1] == v[2] and tostring(v[1]) or table.concat(v, " x ")
end

-- The options that are numbers for both dims, and the least they may be.
local pairs_of = {stride = 1, padding = 0, dilation = 1}

-- A layer that calls the op of its name. Its fields are the options; those that are as ever are not
-- printed.
local function window_layer(who, names, defaults)
  return classes.class(who, {
    new = function(self, kernel, opts)
      opts = options.check(who, opts, defaults)
      self.kernel = arguments.each(who, "kernel", kernel, 2)
      if opts.stride == nil then opts.stride = self.kernel end
      for _, name in ipairs(names) do
        local least, value = pairs_of[name], opts[name]
        self[name] = least and arguments.each(who, name, value, 2, least) or value
      end
      for d = 1, 2 do
        if self.padding[d] > self.kernel[d] // 2 then
          error(("%s: padding must be at most half the kernel, got %d for a kernel of %d"):format(
            who, self.padding[d], self.kernel[d]), 3)
        end
      end
      if opts.divisor ~= nil then arguments.whole(who, "divisor", opts.divisor) end
    end,
    forward = function(self, x)
      local o = {}
      for _, name in ipairs(names) do o[name] = self[name] end
      return core[who](x, self.kernel, o)
    end,
    extra = function(self)
      local parts = {shown(self.kernel)}
      for _, name in ipairs(names) do
        local value = shown(self[name])
        local usual = {stride = parts[1], padding = "0", dilation = "1", ceil_mode = "false",
          count_include_pad = "true", divisor = "nil"}
        if value ~= usual[name] then
          parts[#parts + 1] = value == "true" and name or name .. " " .. value
        end
      end
      return table.concat(parts, ", ")
    end,
  })
end

--- The largest number of each window of an image, per channel (equi.max_pool2d).
---
--- kernel, stride (by default the kernel), padding and dilation are one number, or {height, width}.
---
--- Example:
---     print(equi.nn.max_pool2d(3, {stride = 2, padding = 1})(equi.ones(1, 4, 8, 8)):size())
---     --> 1 4 4 4
---@param kernel integer|table
---@param opts? table {stride = kernel, padding = 0, dilation = 1, ceil_mode = false}
pool.max_pool2d = window_layer("max_pool2d", {"stride", "padding", "dilation",
  "ceil_mode"}, {stride = options.any(), padding = options.any(0),
  dilation = options.any(1), ceil_mode = false})

--- The mean of each window of an image, per channel (equi.avg_pool2d).
---
--- Example:
---     print(equi.nn.avg_pool2d(2)(equi.ones(1, 4, 8, 8)):size())   --> 1 4 4 4
---@param kernel integer|table
---@param opts? table {stride = kernel, padding = 0, ceil_mode = false, count_include_pad = true,
---  divisor = nil}
pool.avg_pool2d = window_layer("avg_pool2d", {"stride", "padding", "ceil_mode",
  "count_include_pad", "divisor"}, {stride = options.any(), padding = options.any(0),
  ceil_mode = false, count_include_pad = true, divisor = options.any()})

local function adaptive(who)
  return classes.class(who, {
    new = function(self, size, opts)
      options.check(who, opts, {})
      self.size = arguments.each(who, "size", size, 2)
    end,
    forward = function(self, x) return core[who](x, self.size) end,
    extra = function(self) return shown(self.size) end,
  })
end

--- Means of windows that cover an image evenly: the result is size x size, or {height, width}.
---
--- Example:
---     print(equi.nn.adaptive_avg_pool2d(1)(equi.ones(1, 4, 8, 8)):size())   --> 1 4 1 1
---@param size integer|table
pool.adaptive_avg_pool2d = adaptive "adaptive_avg_pool2d"

--- The largest numbers of windows that cover an image evenly: the result is size x size, or
--- {height, width}.
---
--- Example:
---     print(equi.nn.adaptive_max_pool2d({2, 3})(equi.ones(1, 4, 8, 8)):size())   --> 1 4 2 3
---@param size integer|table
pool.adaptive_max_pool2d = adaptive "adaptive_max_pool2d"

--- Images of another size, or `scale` times theirs (equi.upsample): one of the two must be given.
---
--- Example:
---     print(equi.nn.upsample({scale = 2})(equi.ones(1, 4, 8, 8)):size())   --> 1 4 16 16
---@param opts table {size = nil, scale = nil, mode = "nearest" or "bilinear",
---  align_corners = false}
pool.upsample = classes.class("upsample", {
  new = function(self, opts)
    opts = options.check("upsample", opts, {size = options.any(), scale = options.any(),
      mode = "nearest", align_corners = false})
    if (opts.size == nil) == (opts.scale == nil) then
      error("upsample: needs either size or scale" .. (opts.size and ", not both" or ""), 3)
    end
    if opts.size ~= nil then opts.size = arguments.each("upsample", "size", opts.size, 2) end
    if opts.scale ~= nil then arguments.number("upsample", "scale", opts.scale, 0) end
    if opts.mode ~= "nearest" and opts.mode ~= "bilinear" then
      error(('upsample: mode must be "nearest" or "bilinear", got "%s"'):format(opts.mode), 3)
    end
    if opts.align_corners and opts.mode ~= "bilinear" then
      error('upsample: align_corners goes with mode "bilinear" only', 3)
    end
    for name, value in pairs(opts) do self[name] = value end
  end,
  forward = function(self, x)
    return core.upsample(x, self.size, self.scale, self.mode, self.align_corners)
  end,
  extra = function(self)
    return ("%s, %s%s"):format(self.size and "size " .. shown(self.size) or
      "scale " .. self.scale, self.mode, self.align_corners and ", align_corners" or "")
  end,
})

return pool
