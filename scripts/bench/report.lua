#!/usr/bin/env lua5.4
--- Prints the README's table of speeds from the JSON lines that `make bench` left in out/bench.
--
--     lua5.4 scripts/bench/report.lua [folder]
--
local here = arg[0]:match "^(.*)report%.lua$" or "./"
local root = here .. "../../"
package.path = ("%s?.lua;%s?/init.lua;%s"):format(root, root, package.path)
package.cpath = ("%s?.so;%s"):format(root, package.cpath)

local json = require "lua_equi.json"
local log = require "lua_equi.log"

local folder = arg[1] or "out/bench"

-- What the table shows: file, case, what it is, how a value is printed, its unit.
local SHOWN = {
  {"starting", 'require "lua_equi"', "start, from nothing to the end", "%.0f ms", 1e3},
  {"overhead", "add_64_recorded", "add of 64 numbers, gradient recorded", "%.2f us", 1e6},
  {"overhead", "lstm_cell_64_recorded", "LSTM cell of 64, gradient recorded", "%.2f us", 1e6},
  {"ops", "matmul 1024 1024 1024", "product of 1024 x 1024 matrices", "%.2f ms", 1e3},
  {"ops", "softmax 512 1024", "softmax of 512 x 1024", "%.0f us", 1e6},
  {"ops", "layer_norm 512 1024", "layer_norm of 512 x 1024", "%.0f us", 1e6},
  {"scan", "lstm", "SCAN step, LSTM, against the published loop", "%.2f ms", 1e3},
  {"scan", "gru", "SCAN step, GRU, against the published loop", "%.2f ms", 1e3},
  {"scan", "rnn", "SCAN step, RNN, against the published loop", "%.2f ms", 1e3},
  {"models", "resnet18 inference b1", "ResNet-18, one image of 224 x 224", "%.1f ms", 1e3},
  {"models", "resnet18 training b16", "ResNet-18, training step of 16", "%.0f ms", 1e3},
  {"models", "vgg11 training b16", "VGG-11, training step of 16", "%.0f ms", 1e3},
  {"models", "densenet121 training b16", "DenseNet-121, training step of 16", "%.0f ms", 1e3},
  {"gpt2", "decode b1", "GPT-2 124M, a token", "%.1f ms", 1e3},
  {"gpt2", "decode b1 bf16", "GPT-2 124M, a token, weights as bf16", "%.1f ms", 1e3},
  {"gpt2", "prompt of 64", "GPT-2 124M, a prompt of 64 tokens", "%.0f ms", 1e3},
  {"gpt2", "train 4 x 64", "GPT-2 124M, training step of 4 x 64 tokens", "%.0f ms", 1e3},
  {"models", "resnet20 training b128", "CIFAR ResNet-20, training step of 128", "%.0f ms", 1e3},
}

local MOST_THREADS = 64

-- case -> threads -> record.
local function read(name)
  local found = {}
  for threads = 1, MOST_THREADS do
    local file = io.open(("%s/%s-%d.jsonl"):format(folder, name, threads))
    for line in file and file:lines() or function() end do
      local record = json.decode(line)
      found[record.case] = found[record.case] or {}
      found[record.case][threads] = record
    end
    if file then file:close() end
  end
  return found
end

-- Seconds of ours and of PyTorch.
local function seconds(record)
  if record.per_second then
    return 1 / record.per_second, record.torch_published and 1 / record.torch_published
  end
  return record.seconds, record.torch
end

local files, rows, where = {}, {{"", "threads", "lua_equi", "PyTorch", "times as fast"}}, nil
for _, shown in ipairs(SHOWN) do
  local name, case, title, format, scale = table.unpack(shown)
  files[name] = files[name] or read(name)
  for threads = 1, MOST_THREADS do
    local record = (files[name][case] or {})[threads]
    if record then
      local ours, torch = seconds(record)
      rows[#rows + 1] = {title, tostring(threads), format:format(ours * scale),
                         torch and format:format(torch * scale) or "-",
                         torch and ("%.1f"):format(torch / ours) or "-"}
      where = ("%s, %s"):format(record.machine, record.date)
    end
  end
end
if not where then
  io.stderr:write(("report: no measurements in %s; make bench writes them\n"):format(folder))
  os.exit(1)
end
print(where .. ":\n")
print(log.table(rows, {align = "lrrrr", markdown = true}))
