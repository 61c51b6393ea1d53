--- Folders of pictures: FOLDER/CLASS/name.jpg, one folder a class, as torchvision's ImageFolder.
--
-- Only names are read here; lua_equi/data/loader.lua decodes the files in threads. Classes and
-- files are sorted by the bytes of their names, so that positions are the same on every machine.
local core = require "lua_equi.core"
local options = require "lua_equi.options"

local image_folder = {}

--- Endings of the names that are read, in small letters.
image_folder.extensions = {".jpg", ".jpeg", ".png"}

local function is_picture(name)
  name = name:lower()
  for _, ending in ipairs(image_folder.extensions) do
    if name:sub(-#ending) == ending then return true end
  end
  return false
end

local DEPTH = 64 -- folders within folders; links may run in circles

-- Adds the pictures below `folder`, those of a folder before those of the folders in it.
local function walk(folder, set, depth)
  local names, folders = core.list_folder(folder)
  if not names then return nil, folders end
  table.sort(names)
  table.sort(folders)
  for _, name in ipairs(names) do
    local path = folder .. "/" .. name
    local to = is_picture(name) and set.paths or set.skipped
    to[#to + 1] = path
  end
  if depth == 0 and #folders > 0 then return nil, folder .. ": folders without end" end
  for _, name in ipairs(folders) do
    local ok, message = walk(folder .. "/" .. name, set, depth - 1)
    if not ok then return nil, message end
  end
  return true
end

local function read(folder, classes)
  if type(folder) ~= "string" then
    error(("image_folder: the folder must be a string, got a %s"):format(type(folder)), 3)
  end
  local _, found = core.list_folder(folder)
  if not _ then return nil, found end
  table.sort(found)
  classes = classes or found
  if #classes == 0 then
    return nil, folder .. ": no folders in it; each class needs one, with its pictures"
  end
  local set, labels = {paths = {}, classes = classes, skipped = {}}, {}
  for k, class in ipairs(classes) do
    local before = #set.paths
    local ok, message = walk(folder .. "/" .. class, set, DEPTH)
    if not ok then return nil, message end
    if #set.paths == before then
      return nil, ("%s/%s: no pictures; names end in %s"):format(folder, class,
        table.concat(image_folder.extensions, ", "))
    end
    for i = before + 1, #set.paths do labels[i] = k end
  end
  set.labels = core.tensor(labels, {dtype = "i64"})
  return set
end

--- The pictures of a folder and their classes.
---
--- Every folder in it is a class, numbered from 1 in the order of the names; the pictures in it and
--- in folders below it are its examples. By their ending files count as pictures (.jpg, .jpeg,
--- .png, large or small letters); all others are named in `skipped`.
---@param folder string
---@param opts? {classes: string[]} these folders only, in this order: a test set with the numbers
--- of its training set
---@return table? set {paths, labels i64 [N], classes, skipped}; nil when it cannot be read, or when
--- a class has no picture
---@return string? message
--- Example:
---     print(equi.data.image_folder.read "no/such/folder")
---     --> nil image_folder.read: cannot list no/such/folder: No such file or directory
function image_folder.read(folder, opts)
  local o = options.check("image_folder.read", opts, {classes = options.any()})
  local set, message = read(folder, o.classes)
  if not set then return nil, "image_folder.read: " .. message end
  return set
end

--- Like `read`, but raises when the folder cannot be read.
---@param folder string
---@param opts? {classes: string[]}
---@return table set
--- Example:
---     local set = equi.data.image_folder.load
---     print(pcall(set, "no/such/folder"))
---     --> false image_folder.load: cannot list no/such/folder: No such file or directory
function image_folder.load(folder, opts)
  local o = options.check("image_folder.load", opts, {classes = options.any()})
  local set, message = read(folder, o.classes)
  if not set then error("image_folder.load: " .. message, 2) end
  return set
end

return image_folder
