--- Batches of pictures for training: shuffled, augmented, normalised; files are read by threads.
--
-- A set of files (image_folder) is decoded by workers ahead of its use, a set in memory (cifar,
-- idx) is gathered when asked for. Either way what a picture becomes depends on the seed, the epoch
-- and its position alone: not on the number of workers, nor on which was first. The state is two
-- numbers, so a resumed run sees the batches that it would have seen.
--
-- Batches are f32 [B, C, H, W] whose channels lie side by side in memory (channels-last).
-- NOT a general pipeline: what is done to a picture is the list of options below, in C.
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local options = require "lua_equi.options"
local random = require "lua_equi.data.random"

local loader = {}

local methods = {}
methods.__index = methods
methods.__name = "data.loader"

local DEFAULTS = {
  batch = 32, shuffle = false, seed = 0, last = true, workers = options.any(), ahead = 3,
  channels = options.any(), resize = options.any(), crop = options.any(), random_crop = false,
  pad = 0, random_resized = options.any(false), hflip = options.any(0), rot90 = false,
  filter = "bilinear", mean = options.any(), std = options.any(),
  max_pixels = core.image_max_pixels,
}

-- Without a position: `new` adds that of its caller.
local function fail(...) error("loader.new: " .. string.format(...), 0) end

local function check_whole(name, value, least)
  if math.type(value) ~= "integer" or value < least then
    fail("%s must be a whole number of at least %d, got %s", name, least, arguments.shown(value))
  end
end

local function pair(name, value)
  local ok = type(value) == "table" and math.type(value[1]) == "integer" and value[1] >= 1
    and math.type(value[2]) == "integer" and value[2] >= 1
  if not ok then
    fail("%s must be a whole number of at least 1 or {height, width}, got %s", name,
      arguments.shown(value))
  end
  return value[1], value[2]
end

-- resize and crop as the recipe has them.
local function add_sizes(r, o)
  r.resize, r.height, r.width, r.crop_h, r.crop_w = 0, 0, 0, 0, 0
  if type(o.resize) == "table" then
    r.height, r.width = pair("resize", o.resize)
  elseif o.resize ~= nil then
    check_whole("resize", o.resize, 1)
    r.resize = o.resize
  end
  if o.crop ~= nil then
    if type(o.crop) ~= "table" then check_whole("crop", o.crop, 1) end
    r.crop_h, r.crop_w = pair("crop", type(o.crop) == "table" and o.crop or {o.crop, o.crop})
  end
  check_whole("pad", o.pad, 0)
  if o.pad > 0 and (r.crop_h == 0 or o.pad >= math.min(r.crop_h, r.crop_w)) then
    fail("pad = %d needs a crop that is larger", o.pad)
  end
  if o.random_crop and r.crop_h == 0 then fail("random_crop needs the size: give crop") end
  r.pad, r.random_crop = o.pad, o.random_crop
end

-- random_resized: true or {area = {from, to}, ratio = {from, to}}.
local function add_random_resized(r, o)
  local given = o.random_resized
  r.area_from, r.area_to, r.ratio_from, r.ratio_to = 0, 0, 1, 1
  if not given then return end
  if r.crop_h == 0 or o.resize ~= nil or o.random_crop then
    fail("random_resized needs crop, and neither resize nor random_crop")
  end
  local area, ratio = {0.08, 1}, {3 / 4, 4 / 3}
  if type(given) == "table" then area, ratio = given.area or area, given.ratio or ratio end
  for name, range in pairs {area = area, ratio = ratio} do
    if type(range) ~= "table" or type(range[1]) ~= "number" or type(range[2]) ~= "number"
      or not (range[1] > 0 and range[1] <= range[2]) or name == "area" and range[2] > 1 then
      fail("random_resized: %s must be {from, to}, above 0%s", name,
        name == "area" and " and at most 1" or "")
    end
  end
  r.area_from, r.area_to, r.ratio_from, r.ratio_to = area[1], area[2], ratio[1], ratio[2]
end

-- One number a channel; the recipe always has three.
local function add_numbers(r, name, value, default)
  local list = value or {default, default, default}
  local ok = type(list) == "table" and (value == nil or #list == r.channels)
  for i = 1, ok and #list or 0 do
    ok = ok and type(list[i]) == "number" and (name == "mean" or list[i] > 0)
  end
  if not ok then
    fail("%s must be a list of %d numbers%s, one a channel", name, r.channels,
      name == "std" and " above 0" or "")
  end
  r[name] = {list[1], list[2] or list[1], list[3] or list[1]}
end

local function recipe_of(o, channels)
  local r = {channels = o.channels or channels, seed = o.seed, rot90 = o.rot90, filter = o.filter,
    max_pixels = o.max_pixels}
  if r.channels ~= 3 and r.channels ~= 1 or r.channels > channels then
    fail("channels must be 1 or 3, and the pictures have %d; got %s", channels,
      arguments.shown(r.channels))
  end
  check_whole("max_pixels", o.max_pixels, 1)
  if o.filter ~= "bilinear" and o.filter ~= "bicubic" and o.filter ~= "nearest" then
    fail('no filter "%s"; there are bicubic, bilinear, nearest', tostring(o.filter))
  end
  add_sizes(r, o)
  add_random_resized(r, o)
  r.hflip = o.hflip == true and 0.5 or o.hflip or 0
  if type(r.hflip) ~= "number" or not (r.hflip >= 0 and r.hflip <= 1) then
    fail("hflip must be true (one half) or a probability, got %s", arguments.shown(o.hflip))
  end
  add_numbers(r, "mean", o.mean, 0)
  add_numbers(r, "std", o.std, 1)
  return r
end

-- How many pictures the set has, and how many channels; raises when it is no set.
local function check_set(set)
  local images, paths = type(set) == "table" and set.images, type(set) == "table" and set.paths
  if (images and true) == (paths and true) then
    fail("the set must have images (u8 [N, C, H, W]) or paths (a list of files), got %s",
      type(set) == "table" and "both or neither" or arguments.shown(set))
  end
  if images and not (core.is_tensor(images) and images.dtype == "u8" and images.ndim == 4
    and (images:size(2) == 1 or images:size(2) == 3)) then
    fail("images must be u8 [N, C, H, W] with 1 or 3 channels, got %s", arguments.shown(images))
  end
  local size = images and images:size(1) or #paths
  if size == 0 then fail("the set is empty") end
  local y = set.labels
  if y ~= nil and not (core.is_tensor(y) and y.dtype == "i64" and y.ndim == 1
    and y:size(1) == size) then
    fail("labels must be i64 [%d], got %s", size, arguments.shown(y))
  end
  return size, images and images:size(2) or 3
end

local function open_pool(self)
  self.waiting, self.sent = {}, self.at
  self.pool = core.image_pool(self.set.paths, self.recipe, self.workers, self.ahead)
end

local function make(set, o)
  local size, channels = check_set(set)
  check_whole("batch", o.batch, 1)
  check_whole("ahead", o.ahead, 1)
  check_whole("workers", o.workers or core.build().cores, 1)
  if math.type(o.seed) ~= "integer" then fail("seed must be a whole number") end
  local self = setmetatable({set = set, size = size, batch = o.batch, shuffle = o.shuffle,
    seed = o.seed, number = 0, at = 0, ahead = o.ahead,
    workers = o.workers or core.build().cores}, methods)
  self.recipe = recipe_of(o, channels)
  self.stop = o.last and size or size - size % o.batch
  if self.stop == 0 then
    fail("%d pictures fill no batch of %d, and last = false drops the rest", size, o.batch)
  end
  if set.paths then
    open_pool(self)
  else
    core.image_batch(set.images, {1}, self.recipe, 0) -- to see now that the recipe fits
  end
  return self
end

--- A loader of a set: {images = u8 [N, C, H, W]} or {paths = list}, with labels = i64 [N] or
--- without, as cifar, idx and image_folder read them.
---
--- Options: batch (32) · shuffle (false: in order), seed (0) · last (true: also the batch that is
--- not full) · channels (3, or 1: gray) · resize (the shorter side, or {height, width}; PIL's
--- bilinear; filter: bicubic, nearest) · crop (a side or {height, width}; from the middle),
--- random_crop (from anywhere), pad (0; black pixels put around before it) · random_resized (true
--- or {area = {0.08, 1}, ratio = {3/4, 4/3}}: a random part, resized to crop) · hflip (false; true:
--- one half, or a probability) · rot90 (false; true: a random number of quarter turns, square
--- pictures only) · mean, std (one number a channel; (x / 255 - mean) / std). Of files also:
--- workers (as many threads as processors), ahead (3 batches being made), max_pixels (89,478,485).
---
--- Without resize and crop all pictures must have one size. A file that cannot be read ends the
--- loop with an error that names it; going on then leaves its batch out.
---@param set table
---@param opts? table
---@return table loader #loader is the number of batches of an epoch
--- Example:
---     local set = {images = equi.zeros({10, 3, 8, 8}, {dtype = "u8"})}
---     local loader = equi.data.loader.new(set, {batch = 4, crop = 8, random_crop = true, pad = 1})
---     for x in loader:batches() do print(x:size()) end
---     --> 4 3 8 8
---     --> 4 3 8 8
---     --> 2 3 8 8
function loader.new(set, opts)
  local o = options.check("loader.new", opts, DEFAULTS)
  local ok, self = pcall(make, set, o)
  if not ok then
    -- what the core refuses has the line above in front
    error(type(self) == "string" and self:gsub("^%S*loader%.lua:%d+: loader: ", "loader.new: ")
      or self, 2)
  end
  return self
end

-- The positions of the epoch in the order of their use.
local function order_of(self)
  if self.order_number ~= self.number then
    local list = {}
    for i = 1, self.size do list[i] = i end
    if self.shuffle then
      random.new(random.new(self.seed):bits() + self.number):shuffle(list)
    end
    self.order, self.order_number = list, self.number
  end
  return self.order
end

local function positions(self, from)
  local order = order_of(self)
  return table.move(order, from + 1, math.min(from + self.batch, self.stop), 1, {})
end

local function take(self)
  if self.set.images then
    local list = positions(self, self.at)
    local x = core.image_batch(self.set.images, list, self.recipe, self.number)
    self.at = self.at + #list
    return list, x
  end
  if not self.pool then error("loader: it is closed", 4) end
  while self.sent < self.stop and #self.waiting < self.ahead do
    local list = positions(self, self.sent)
    self.pool:add(list, self.number)
    self.waiting[#self.waiting + 1] = list
    self.sent = self.sent + #list
  end
  local x, message = self.pool:take() -- Ctrl-C raises here, and the batch is still to come
  local list = table.remove(self.waiting, 1)
  self.at = self.at + #list
  return list, x, message
end

-- Called by public functions: an error is raised at the line that called them.
local function step(self)
  if self.at >= self.stop then
    self.number, self.at, self.sent = self.number + 1, 0, 0
    return nil
  end
  local list, x, message = take(self)
  if not x then error("loader: " .. message, 3) end
  local labels = self.set.labels
  local y = labels and labels:index_select(1, core.tensor(list, {dtype = "i64"}))
  return x, y, list
end

--- The next batch of the epoch; nil at its end, and the next call begins the next epoch.
---@return table? x f32 [B, C, H, W], channels-last
---@return table? y labels i64 [B], nil when the set has none
---@return integer[]? positions of the pictures in the set
--- Example:
---     local set = {images = equi.zeros({3, 1, 2, 2}, {dtype = "u8"})}
---     local loader = equi.data.loader.new(set, {batch = 2})
---     local x, y, positions = loader:next()
---     print(x:size(1), y, positions[2])   --> 2 nil 2
function methods:next()
  local x, y, list = step(self)
  return x, y, list
end

--- An iterator over what is left of the epoch, for `for x, y, positions in loader:batches() do`.
---@return function
--- Example:
---     local set = {images = equi.zeros({4, 1, 2, 2}, {dtype = "u8"}), labels = equi.arange(1, 4)}
---     for x, y in equi.data.loader.new(set, {batch = 3}):batches() do print(y) end
---     --> i64[3]
---     -->  1  2  3
---     --> i64[1]
---     -->  4
function methods:batches()
  return function()
    local x, y, list = step(self)
    return x, y, list
  end
end

--- The number of batches of an epoch.
---@return integer
--- Example:
---     local set = {images = equi.zeros({5, 1, 2, 2}, {dtype = "u8"})}
---     print(#equi.data.loader.new(set, {batch = 2}))   --> 3
function methods:__len() return (self.stop + self.batch - 1) // self.batch end

--- How many times the whole set was drawn, as a fraction.
---
--- Example:
---     local set = {images = equi.zeros({4, 1, 2, 2}, {dtype = "u8"})}
---     local loader = equi.data.loader.new(set, {batch = 3})
---     loader:next()
---     print(loader:epoch())   --> 0.75
---@return number
function methods:epoch() return self.number + self.at / self.size end

--- A plain table of integers, for a checkpoint: where the loader is, and whose order it is.
---
--- Example:
---     local set = {images = equi.zeros({4, 1, 2, 2}, {dtype = "u8"})}
---     print(equi.data.loader.new(set):state_dict().at)   --> 0
---@return table
function methods:state_dict()
  return {size = self.size, batch = self.batch, shuffle = self.shuffle, seed = self.seed,
    number = self.number, at = self.at}
end

--- How a saved state differs from this loader, in clauses; empty when it fits.
---@param saved table
---@return string[]
--- Example:
---     local set = {images = equi.zeros({4, 1, 2, 2}, {dtype = "u8"})}
---     local a, b = equi.data.loader.new(set), equi.data.loader.new(set, {batch = 2})
---     print(a:differences(b:state_dict())[1])   --> the saved loader has batch 2, this one 32
function methods:differences(saved)
  local list = {}
  for _, name in ipairs {"size", "batch", "shuffle", "seed"} do
    if saved[name] ~= self[name] then
      list[#list + 1] = ("the saved loader has %s %s, this one %s"):format(name,
        tostring(saved[name]), tostring(self[name]))
    end
  end
  return list
end

--- Continues where the loader was whose state_dict this is. Raises if it was another one.
---@param saved table
--- Example:
---     local set = {images = equi.zeros({9, 1, 2, 2}, {dtype = "u8"})}
---     local a = equi.data.loader.new(set, {batch = 2, shuffle = true})
---     local b = equi.data.loader.new(set, {batch = 2, shuffle = true})
---     a:next()
---     b:load_state_dict(a:state_dict())
---     print(select(3, a:next())[1] == select(3, b:next())[1])   --> true
function methods:load_state_dict(saved)
  local problem = self:differences(saved)[1]
  if problem then error("loader: " .. problem, 2) end
  self.number, self.at = saved.number, saved.at
  if self.pool then -- what is on its way belongs to another place
    self.pool:close()
    open_pool(self)
  end
end

--- Stops the workers of a set of files; collecting the loader does it too.
--- Example:
---     local set = {images = equi.zeros({4, 1, 2, 2}, {dtype = "u8"})}
---     equi.data.loader.new(set):close()
---     print "done"   --> done
function methods:close()
  if self.pool then self.pool:close() end
  self.pool = nil
end

methods.__close = methods.close

return loader
