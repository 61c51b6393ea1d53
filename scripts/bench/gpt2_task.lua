#!/usr/bin/env lua5.4
--- Time and peak memory of one GPT-2 task in lua_equi: one JSON line, as pytorch/gpt2.py prints.
--
-- decode: a token for each row behind a prompt, median over the tokens; prompt: the logits of the
-- last token of a prompt; train: forward, cross entropy, backward, AdamW; load: a Hugging Face
-- folder until the model is there. gpt2.lua starts this.
local here = arg[0]:match "^(.*)gpt2_task%.lua$" or "./"
local root = here .. "../../"
package.path = ("%s?.lua;%s?.lua;%s?/init.lua;%s"):format(here, root, root, package.path)
package.cpath = ("%s?.so;%s"):format(root, package.cpath)

local equi = require "lua_equi"
local json = require "lua_equi.json"
local measure = require "measure"
local options = require "lua_equi.options"

local WORDS = 50257
local SIZES = {small = {size = "small"}, tiny = {n_layer = 2, n_head = 2, n_embd = 32}}

local opt = options.parse(options.declare {
  name = "scripts/bench/gpt2_task.lua",
  doc = "Times one task of GPT-2 with random weights; one JSON line.",
  {"task", "decode", choices = {"decode", "prompt", "train", "load", "save"}, doc = "which"},
  {"size", "small", choices = {"small", "tiny"}, doc = "of the model"},
  {"folder", type = "string", doc = "weights of this folder instead of random ones"},
  {"weights", "f32", choices = {"f32", "bf16", "int8"}, doc = "what matrices are kept as"},
  {"orbit", false, doc = "equi-tuned: two elements, two hundred words that change places"},
  {"batch", 1, min = 1, doc = "rows"},
  {"prompt", 64, min = 1, doc = "tokens in front"},
  {"tokens", 32, min = 3, doc = "decoded behind each prompt"},
  {"threads", 1, min = 1, doc = "threads"},
  {"seconds", 3.0, above = 0, doc = "for the measurement"},
  {"cpu_time", false, doc = "of the process, not of the clock: for busy machines, one thread"},
})
if opt.cpu_time then equi.clock = os.clock end

local function made()
  equi.seed(0)
  if opt.folder then return equi.models.gpt2 {folder = opt.folder} end
  local fields = {}
  for k, v in pairs(SIZES[opt.size]) do fields[k] = v end
  for _, name in ipairs {"resid_pdrop", "embd_pdrop", "attn_pdrop"} do fields[name] = 0 end
  return equi.models.gpt2(fields)
end

-- The action on ids or on logits.
local function swapped(what)
  local swaps = {}
  for i = 101, 299, 2 do swaps[#swaps + 1] = {i, i + 1} end
  return equi.action.vocabulary(equi.group.cyclic(2), {size = WORDS, swaps = swaps, what = what})
end

local function ids(...) return equi.randint(1, WORDS, {...}) end

local function model_of()
  local model = made():eval()
  if opt.weights ~= "f32" then model = equi.compress(model, opt.weights) end
  if not opt.orbit then return model end
  return equi.equitune(model, {input = swapped "ids", output = swapped "logits"})
end

local tasks = {}

function tasks.decode()
  local model, times, prompt = model_of(), {}, ids(opt.batch, opt.prompt)
  collectgarbage()
  local start = equi.clock()
  while #times == 0 or equi.clock() - start < opt.seconds do
    local state = model:start(prompt, {capacity = opt.prompt + opt.tokens})
    for i = 1, opt.tokens do
      local token = ids(opt.batch)
      local begin = equi.clock()
      local _
      _, state = model:step(state, token)
      if i > 2 then times[#times + 1] = equi.clock() - begin end
    end
  end
  return measure.median(times)
end

function tasks.prompt()
  local model, all = model_of(), ids(opt.batch, opt.prompt)
  local front, last = all:narrow(2, 1, opt.prompt - 1), all:narrow(2, opt.prompt, 1):reshape(-1)
  return measure.seconds_per_call(function()
    return model:step(model:start(front, {capacity = opt.prompt}), last)
  end, opt.seconds, 5)
end

function tasks.train()
  local model, all = made():train(), ids(opt.batch, opt.prompt + 1)
  local x, y = all:narrow(2, 1, opt.prompt), all:narrow(2, 2, opt.prompt):reshape(-1)
  local optimizer = equi.optim.adamw(model:parameters(), {lr = 1e-4})
  return measure.seconds_per_call(function()
    optimizer:zero_grad()
    model(x):reshape(-1, WORDS):cross_entropy(y):backward()
    optimizer:step()
  end, opt.seconds, 3)
end

function tasks.load()
  local function load() return equi.models.gpt2 {folder = opt.folder} end
  return measure.seconds_per_call(load, opt.seconds, 5)
end

local function peak_mib()
  for line in io.lines "/proc/self/status" do
    local kib = line:match "VmHWM:%s*(%d+)"
    if kib then return kib / 1024 end
  end
end

equi.threads(opt.threads)
if opt.task == "save" then
  local folder = opt.folder
  opt.folder = nil
  made():save(folder)
  os.exit(0)
end
local seconds = tasks[opt.task]()
print(json.encode {name = "gpt2 " .. opt.task, threads = opt.threads, seconds = seconds,
                   per_second = 1 / seconds, peak_mib = peak_mib()})
