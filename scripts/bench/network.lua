#!/usr/bin/env lua5.4
--- Time and peak memory of one network in lua_equi: one JSON line, as pytorch/models.py prints.
--
-- A call is an inference of a batch through a prepared model (equi.fuse), or a training step
-- (forward, cross entropy, backward, SGD with momentum). models.lua starts this.
local here = arg[0]:match "^(.*)network%.lua$" or "./"
local root = here .. "../../"
package.path = ("%s?.lua;%s?.lua;%s?/init.lua;%s"):format(here, root, root, package.path)
package.cpath = ("%s?.so;%s"):format(root, package.cpath)

local equi = require "lua_equi"
local json = require "lua_equi.json"
local measure = require "measure"
local options = require "lua_equi.options"

local NETWORKS = {
  alexnet = function() return equi.models.alexnet {} end,
  vgg11 = function() return equi.models.vgg {depth = 11} end,
  resnet18 = function() return equi.models.resnet {depth = 18} end,
  resnet50 = function() return equi.models.resnet {depth = 50} end,
  densenet121 = function() return equi.models.densenet {depth = 121} end,
  resnet20 = function() return equi.models.resnet {depth = 20} end,
}

local names = {}
for name in pairs(NETWORKS) do names[#names + 1] = name end
table.sort(names)

local opt = options.parse(options.declare {
  name = "scripts/bench/network.lua",
  doc = "Times one network; one JSON line.",
  {"network", "resnet20", choices = names, doc = "which"},
  {"train", false, doc = "a training step instead of an inference"},
  {"orbit", false, doc = "equi-tuned over the four turns of the image"},
  {"plain", false, doc = "inference without equi.fuse"},
  {"batch", 1, min = 1, doc = "images in a batch"},
  {"size", 224, min = 8, doc = "height and width"},
  {"threads", 1, min = 1, doc = "threads"},
  {"seconds", 3.0, above = 0, doc = "for the measurement"},
})

equi.threads(opt.threads)
equi.seed(0)
local net = NETWORKS[opt.network]()
local x = equi.rand(opt.batch, 3, opt.size, opt.size)

local function orbit_of(model)
  if not opt.orbit then return model end
  return equi.equitune(model, {input = equi.action.grid(equi.group.cyclic(4))})
end

local function inference()
  net:eval()
  local model = orbit_of(opt.plain and net or equi.fuse(net))
  return function() return equi.no_grad(function() return model(x) end) end
end

local function training()
  net:train()
  local model = orbit_of(net)
  local y = equi.arange(opt.batch):remainder(10):long() + 1
  local optimizer = equi.optim.sgd(net:parameters(), {lr = 1e-3, momentum = 0.9})
  return function()
    optimizer:zero_grad()
    model(x):cross_entropy(y):backward()
    optimizer:step()
  end
end

local function peak_mib()
  for line in io.lines "/proc/self/status" do
    local kib = line:match "VmHWM:%s*(%d+)"
    if kib then return kib / 1024 end
  end
end

local seconds = measure.seconds_per_call(opt.train and training() or inference(), opt.seconds, 5)
print(json.encode {name = opt.network, threads = opt.threads, seconds = seconds,
                   per_second = 1 / seconds, peak_mib = peak_mib()})
