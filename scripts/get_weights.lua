#!/usr/bin/env lua5.4
--- Fetches published weights by the name of their network, from where their authors put them.
--
--     lua5.4 scripts/get_weights.lua resnet20 vgg16 --out weights
--
-- Names of files end in the first eight digits of their SHA-256, which are checked. Licences are
-- those of their authors: BSD 3-clause (torchvision; ImageNet), BSD 2-clause (the CIFAR ResNets).
local here = arg[0]:match "^(.*)scripts/get_weights%.lua$" or "./"
package.path = here .. "?.lua;" .. here .. "?/init.lua;" .. package.path
package.cpath = here .. "?.so;" .. package.cpath

local equi = require "lua_equi"
local command = require "scripts.command".new "get_weights.lua"
local fetch = require "scripts.fetch"
local nearest = require "lua_equi.nearest"
local options = require "lua_equi.options"

local TORCHVISION = "https://download.pytorch.org/models/"
local CIFAR = "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/"

-- Where, and the files there: the name is what comes before the last "-".
local sources = {
  {TORCHVISION, "ImageNet, 1,000 classes, 224 x 224, by torchvision", [[
    alexnet-owt-7be5be79.pth
    vgg11-8a719046.pth vgg13-19584684.pth vgg16-397923af.pth vgg19-dcbb9e9d.pth
    vgg11_bn-6002323d.pth vgg13_bn-abd245e5.pth vgg16_bn-6c64b313.pth vgg19_bn-c79401a0.pth
    resnet18-f37072fd.pth resnet34-b627a593.pth resnet50-0676ba61.pth resnet101-63fe2227.pth
    resnet152-394f9c45.pth
    densenet121-a639ec97.pth densenet161-8d451a50.pth densenet169-b2777c0a.pth
    densenet201-c1103571.pth
    squeezenet1_0-b66bff10.pth squeezenet1_1-b8a52dc0.pth]]},
  {CIFAR, "CIFAR-10, 32 x 32, by Yerlan Idelbayev", [[
    resnet20-12fca82f.th resnet32-d509ac18.th resnet44-014dd654.th resnet56-4bfd9763.th
    resnet110-1d1ed7c2.th resnet1202-f3b1deed.th]]},
}

local known, order = {}, {}
for _, source in ipairs(sources) do
  for file in source[3]:gmatch "%S+" do
    local name, digits = file:match "^([%w_]+).*%-(%x+)%."
    known[name] = {name = name, file = file, url = source[1] .. file, sha256 = digits,
      of = source[2]}
    order[#order + 1] = name
  end
end

local declared = options.declare {
  name = "get_weights.lua",
  doc = "Fetches published weights of networks: get_weights.lua NAME ... [--out FOLDER].",
  {"names", {}, type = "string", doc = "networks, as in --list; may also stand first, without it"},
  {"list", false, doc = "only print what is known: name, what it was trained on, address"},
  {"out", "", doc = "folder for the files; default: ~/.cache/lua_equi"},
  {"from", "", doc = "another address that has files of the same names: https://... or file://..."},
  {"quiet", false, doc = "no progress"},
}

local function print_list()
  for _, name in ipairs(order) do
    print(("%-14s %s\n%-14s %s"):format(name, known[name].of, "", known[name].url))
  end
end

-- Fetches one network's file and says what is in it; false when it could not be had.
local function get(opt, entry)
  local folder = opt.out ~= "" and opt.out:gsub("(.)/+$", "%1") or fetch.folder()
  local path = folder .. "/" .. entry.file
  local url = opt.from ~= "" and opt.from:gsub("/+$", "") .. "/" .. entry.file or entry.url
  if not opt.quiet then print(("%s: %s"):format(entry.name, url)) end
  local how, problem = fetch.file {url = url, path = path, sha256 = entry.sha256, quiet = opt.quiet}
  local state
  if how then state, problem = equi.weights.read(path) end
  if not state then
    io.stderr:write(("get_weights.lua: %s: %s\n"):format(entry.name, problem))
    return false
  end
  local count = 0
  for _ in pairs(state) do count = count + 1 end
  print(("%s: %s, %s, %d tensors"):format(entry.name, path, how, count))
  return true
end

local function main()
  local opt = options.parse(declared, fetch.words_first(arg))
  if opt.list then
    print_list()
    os.exit(0)
  end
  local wanted = {}
  for i, name in ipairs(opt.names) do
    wanted[i] = known[name]
    if not wanted[i] then
      local names = table.move(order, 1, #order, 1, {})
      table.sort(names)
      local near = nearest(name, names)
      command:fail('no network "%s"; %s--list prints those that are known', name,
        near and ('did you mean "%s"? '):format(near) or "")
    end
  end
  if #wanted == 0 then
    command:fail("name a network, as in get_weights.lua resnet20; --list prints those that are "
      .. "known")
  end
  local all_well = true
  for _, entry in ipairs(wanted) do all_well = get(opt, entry) and all_well end
  os.exit(all_well)
end

command.leaves = "what has arrived is kept, and the same command goes on"
command:run(main)
