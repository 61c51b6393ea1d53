--- Data sets by the names of the command line: training, validation and test parts, batches.
--
-- The validation images are split off the training images, always the same ones; no test image is
-- seen before the end. Size, mean and std are what the network wants.
local equi = require "lua_equi"

local random, sampler = equi.data.random, equi.data.sampler
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
          classes = {"down", "right", "both", "corner"}}
end

-- Of a set that a reader returned with nil and a message when it could not.
local function must(set, message)
  if not set then error(message, 0) end
  return set
end

-- Where scripts/get_data.lua puts things, or --data-dir.
local function folder_of(o)
  return o.data_dir ~= "" and o.data_dir or "data/" .. o.data
end

local sets = {}

function sets.toy() return toy(160, 1), toy(60, 2) end

function sets.cifar10(o)
  local folder = folder_of(o)
  return must(equi.data.cifar.read(folder, {part = "train"})),
    must(equi.data.cifar.read(folder, {part = "test"}))
end
sets.cifar100 = sets.cifar10

function sets.fashion_mnist(o)
  local folder = o.data_dir ~= "" and o.data_dir or nil
  return must(equi.data.idx.fashion_mnist {part = "train", folder = folder}),
    must(equi.data.idx.fashion_mnist {part = "test", folder = folder})
end

local function folders(path)
  local train = must(equi.data.image_folder.read(path .. "/train"))
  local test, message
  for _, name in ipairs {"test", "val"} do
    test, message = equi.data.image_folder.read(path .. "/" .. name, {classes = train.classes})
    if test then return train, test end
  end
  error(message, 0)
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
    error(("no data set %s; there are cifar10, cifar100, fashion_mnist, toy and folder:PATH")
      :format(o.data), 0)
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
  return {images = images, paths = paths, labels = equi.tensor(own, {dtype = "i64"}),
          classes = set.classes}
end

local function first(set, count)
  if count == 0 or count >= set.labels:size(1) then return set end
  local positions = {}
  for i = 1, count do positions[i] = i end
  return chosen(set, positions)
end

--- Reads a set and splits it: validation from the shuffled training images (one order for all
--- seeds), then the subset from what is left.
---@param o table {data =, data_dir =, holdout =, subset =, test_subset =}
---@return table {train =, validation =, test =, classes =, counts =}
function data.open(o)
  local train, test = data.read(o)
  local n, order = train.labels:size(1), {}
  for i = 1, n do order[i] = i end
  random.new(0):shuffle(order)
  local held = math.max(1, math.floor((o.holdout or 0.1) * n))
  local last = (o.subset or 0) > 0 and math.min(n, held + o.subset) or n
  local parts = {
    validation = chosen(train, table.move(order, 1, held, 1, {})),
    train = chosen(train, table.move(order, held + 1, last, 1, {})),
    test = first(test, o.test_subset or 0),
  }
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

--- Makes batches of the three parts, as a network wants its images.
---@param set table of data.open
---@param preprocessing table {resize =, crop =, mean =, std =} of a backbone
function data.prepare(set, preprocessing)
  for _, name in ipairs {"train", "validation", "test"} do
    set[name] = setmetatable({set = set[name], preprocessing = preprocessing}, part)
  end
end

-- Images at these positions, channels-last, and their classes.
function part:get(positions)
  local ids = equi.tensor(positions, {dtype = "i64"})
  local x = self.set.images:index_select(1, ids)
  return equi.image.normalize(x, self.preprocessing), self.set.labels:index_select(1, ids)
end

--- All images in their order: a list with get(i).
---@param size integer
---@return table
function part:batches(size)
  local n = self.set.labels:size(1)
  return setmetatable({get = function(_, i)
    local positions = {}
    for k = (i - 1) * size + 1, math.min(n, i * size) do positions[#positions + 1] = k end
    return self:get(positions)
  end}, {__len = function() return (n + size - 1) // size end})
end

-- ---- endless shuffled batches, with a state for checkpoints ----

local stream = {}
stream.__index = stream

--- Shuffled epochs of batches; the last one of an epoch reaches into the next.
---@param o table {batch =, seed =, augment = list of crop, flip, rot90, none; moves = action: each
--- image is moved by an element drawn for it}
---@return table stream with next, per_epoch and the methods of samplers
function part:stream(o)
  local n = self.set.labels:size(1)
  local self_ = setmetatable({part = self, batch = o.batch, moves = o.moves,
    per_epoch = math.max(1, math.floor(n / o.batch + 0.5)),
    order = sampler.new(n, {seed = o.seed})}, stream)
  if o.moves then
    self_.draw = sampler.new(o.moves.group.order, {seed = o.seed + 1000, replace = true})
  end
  return self_
end

function stream:next()
  local x, y = self.part:get(self.order:batch(self.batch))
  if not self.moves then return x, y end
  local rows, elements = {}, self.moves.group:elements()
  for b = 1, x:size(1) do rows[b] = self.moves(elements[self.draw:next()], x[{{b, b}}]) end
  return equi.cat(rows, 1), y
end

function stream:state_dict()
  return {order = self.order:state_dict(), draw = self.draw and self.draw:state_dict()}
end

function stream:load_state_dict(saved)
  self.order:load_state_dict(saved.order)
  if self.draw then self.draw:load_state_dict(saved.draw) end
end

return data
