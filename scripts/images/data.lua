--- Data sets by the names of the command line: training, validation and test parts, batches.
--
-- The validation images are split off the training images, always the same ones; no test image is
-- seen before the end. Size, mean and std are what the network wants.
local equi = require "lua_equi"
local fetch = require "scripts.fetch"

local random = equi.data.random
local data = {}

-- ---- sets: {images u8 [N, C, H, W] or paths, labels i64 [N], classes} ----

-- Small squares whose brightness rises to the right, down, in both directions or to a corner:
-- turns and flips confuse the first two. No download.
local function toy(count, seed)
  local draw, side = random.new(seed), 8
  local pictures, labels = {}, {}
  for i = 1, count do
    local label, rows = draw:integer(4), {}
    for r = 1, side do
      rows[r] = {}
      for c = 1, side do
        local edge = ({r / side, c / side, (r + c) / (2 * side), math.max(r, c) / side})[label]
        rows[r][c] = math.floor(200 * edge + 55 * draw:uniform())
      end
    end
    pictures[i], labels[i] = {rows, rows, rows}, label
  end
  return {images = equi.tensor(pictures, {dtype = "u8"}),
          labels = equi.tensor(labels, {dtype = "i64"}),
          classes = {"down", "right", "both", "corner"}, size = side}
end

-- Of a set that a reader returned with nil and a message when it could not.
local function must(set, message, o)
  if set then return set end
  local hint = o and o.data_dir == "" and ("; lua5.4 scripts/get_data.lua %s fetches it"):format(
    o.data) or ""
  error(message .. hint, 0)
end

-- --data-dir, or where scripts/get_data.lua puts things.
local function folder_of(o)
  return o.data_dir ~= "" and o.data_dir or fetch.folder() .. "/" .. o.data
end

local sets = {}

function sets.toy() return toy(160, 1), toy(60, 2) end

function sets.cifar10(o)
  local parts = {}
  for i, part in ipairs {"train", "test"} do
    local set, message = equi.data.cifar.read(folder_of(o), {part = part})
    parts[i] = must(set, message, o)
  end
  return parts[1], parts[2]
end
sets.cifar100 = sets.cifar10

-- FOLDER/train/CLASS, and test/CLASS or val/CLASS.
local function folders(path)
  local train = must(equi.data.image_folder.read(path .. "/train"))
  local test, message
  for _, name in ipairs {"test", "val"} do
    test, message = equi.data.image_folder.read(path .. "/" .. name, {classes = train.classes})
    if test then return train, test end
  end
  error(message, 0)
end

function sets.hymenoptera(o) return folders(folder_of(o)) end

function sets.fashion_mnist(o)
  local folder = o.data_dir ~= "" and o.data_dir or nil
  return must(equi.data.idx.fashion_mnist {part = "train", folder = folder}),
    must(equi.data.idx.fashion_mnist {part = "test", folder = folder})
end

--- Whether the files of a set are where they are looked for.
---@param o table {data =, data_dir =}
---@return boolean
function data.find(o)
  return (pcall(data.read, o))
end

--- The training and the test set.
---@param o table {data =, data_dir =}
---@return table train
---@return table test
function data.read(o)
  local path = o.data:match "^folder:(.+)$"
  if path then return folders(path) end
  if not sets[o.data] then
    error(("no data set %s; there are cifar10, cifar100, fashion_mnist, hymenoptera, toy and "
      .. "folder:PATH"):format(o.data), 0)
  end
  return sets[o.data](o)
end

-- ---- parts of a set ----

-- The pictures at these positions.
local function chosen(set, positions)
  local labels = set.labels:totable()
  local own, paths = {}, set.paths and {}
  for i, k in ipairs(positions) do
    own[i] = labels[k]
    if paths then paths[i] = set.paths[k] end
  end
  local images
  if not paths then images = set.images:index_select(1, equi.tensor(positions, {dtype = "i64"})) end
  return {images = images, paths = paths, labels = equi.tensor(own, {dtype = "i64"})}
end

-- The positions 1 .. n in an order that is always the same.
local function shuffled(n)
  local order = {}
  for i = 1, n do order[i] = i end
  random.new(0):shuffle(order)
  return order
end

local function some(set, count)
  local n = set.labels:size(1)
  if count == 0 or count >= n then return set end
  local positions = table.move(shuffled(n), 1, count, 1, {})
  table.sort(positions)
  return chosen(set, positions)
end

--- Reads a set and splits it: validation from the shuffled training images (one order for all
--- seeds), then the subset from what is left.
---@param o table {data =, data_dir =, holdout =, subset =, test_subset =}
---@return table {train =, validation =, test =, classes =, counts =, size = of pictures that are
--- taken as they are, or nil}
function data.open(o)
  local train, test = data.read(o)
  local n = train.labels:size(1)
  local order = shuffled(n)
  local held = math.max(1, math.floor((o.holdout or 0.1) * n))
  local last = (o.subset or 0) > 0 and math.min(n, held + o.subset) or n
  local parts = {
    validation = chosen(train, table.move(order, 1, held, 1, {})),
    train = chosen(train, table.move(order, held + 1, last, 1, {})),
    test = some(test, o.test_subset or 0),
  }
  parts.size = train.size
  local classes = {}
  for i, name in ipairs(train.classes or {}) do classes[i] = name end
  for i = #classes + 1, train.labels:max():item() do classes[i] = tostring(i) end
  parts.classes, parts.counts = classes, {}
  for _, name in ipairs {"train", "validation", "test"} do
    parts.counts[name] = parts[name].labels:size(1)
  end
  return parts
end

-- ---- batches ----

local part = {}
part.__index = part

-- Gray pictures three times, for networks that take colours.
local function coloured(set)
  local x = set.images
  if x and x:size(2) == 1 then set.images = x:expand(-1, 3, -1, -1):clone() end
  return set
end

--- Makes batches of the three parts, as a network wants its images.
---@param set table of data.open
---@param want table {resize =, crop =, mean =, std =} of a backbone
function data.prepare(set, want)
  for _, name in ipairs {"train", "validation", "test"} do
    set[name] = setmetatable({set = coloured(set[name]), count = set.counts[name],
      want = {resize = want.resize, crop = want.crop, mean = want.mean, std = want.std}}, part)
  end
end

function part:loader(more)
  local o = {}
  for _, given in ipairs {self.want, more} do
    for name, value in pairs(given) do o[name] = value end
  end
  return equi.data.loader.new(self.set, o)
end

--- All images in their order: how many batches, and a function that begins anew.
---@param size integer
---@return function begin
---@return integer count
function part:batches(size)
  return function() return self:loader {batch = size}:batches() end, (self.count + size - 1) // size
end

-- ---- endless shuffled batches, with a state for checkpoints ----

local stream = {}
stream.__index = stream

--- Shuffled epochs of batches; what is left at the end of one and fills no batch is left out.
---@param o table {batch =, seed =, augment = list of crop, flip, rot90, none; moves = action: each
--- image is moved by an element drawn for it}
---@return table stream with next, per_epoch and `states`, what a checkpoint keeps
function part:stream(o)
  local how = {batch = math.min(o.batch, self.count), shuffle = true, seed = o.seed, last = false}
  for _, name in ipairs(o.augment or {}) do
    if name == "crop" then
      how.random_crop, how.pad = true, math.max(1, self.want.crop // 8)
    elseif name == "flip" then
      how.hflip = true
    elseif name == "rot90" then
      how.rot90 = true
    end
  end
  local loader = self:loader(how)
  local s = setmetatable({loader = loader, moves = o.moves, per_epoch = #loader,
                          batch = how.batch, states = {loader}}, stream)
  if o.moves then
    s.draw = equi.data.sampler.new(o.moves.group.order, {seed = o.seed + 1000, replace = true})
    s.states[2] = s.draw
  end
  return s
end

--- The next batch.
---@return any x f32 [B, 3, H, W], channels-last
---@return any y i64 [B]
function stream:next()
  local x, y = self.loader:next()
  if not x then x, y = self.loader:next() end
  if not self.moves then return x, y end
  local rows, elements = {}, self.moves.group:elements()
  for b = 1, x:size(1) do rows[b] = self.moves(elements[self.draw:next()], x[{{b, b}}]) end
  return equi.cat(rows, 1), y
end

return data
