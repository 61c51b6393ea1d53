-- Fuzzes the readers, each for a set time: run by `make fuzz` under the address sanitizer.
--   lua5.4 spec/fuzz/run.lua [--seconds N] [--from N] [--keep FOLDER] [TARGET ...]
-- Each target has a process of its own, which writes an input to a file before it reads it: after a
-- crash that file is the culprit. What fails is kept as FOLDER/TARGET-NUMBER; once mended, it goes
-- to spec/fuzz/regressions/TARGET. Inputs are numbered from --from, a number gives the same bytes.
local fuzz = require "spec.fuzz.fuzz"
local files = require "spec.support.files"
local mutate = require "spec.fuzz.mutate"

local settings, targets = {seconds = "20", from = "1", keep = "build/fuzz", target = false}, {}
do
  local i = 1
  while arg[i] do
    local name = arg[i]:match "^%-%-(%l+)$"
    if name and settings[name] ~= nil then
      settings[name], i = assert(arg[i + 1], arg[i] .. ": a value is missing"), i + 1
    else
      targets[#targets + 1] = arg[i]
    end
    i = i + 1
  end
end
local seconds = assert(tonumber(settings.seconds), "--seconds: give a number")
local from = assert(math.tointeger(tonumber(settings.from)), "--from: give a whole number")

-- One target, in this process.
local function run(name)
  local target = fuzz.load(name)
  local path = ("%s/%s-input"):format(settings.keep, name)
  local failed, count, read, stop = 0, 0, 0, os.time() + seconds
  local function try(bytes, label)
    local problem, was_read = fuzz.try(target, bytes, path)
    count, read = count + 1, read + (was_read and 1 or 0)
    if problem then
      failed = failed + 1
      files.write(("%s/%s-%s"):format(settings.keep, name, label), bytes)
      print(("%s: input %s: %s"):format(name, label, problem))
    end
  end
  for _, known in ipairs(target.known) do try(known[2], known[1]) end
  for i, bytes in ipairs(target.seeds) do try(bytes, "seed" .. i) end
  local n = from
  while os.time() < stop and failed < 10 do
    try(mutate.make(target.seeds, target.words, n), tostring(n))
    n = n + 1
  end
  print(("%s: %d inputs, %d of them read, %d failed; the next is --from %d"):format(name, count,
    read, failed, n))
  os.remove(path)
  os.exit(failed == 0, true)
end

if settings.target then run(settings.target) end

files.shell(("mkdir -p '%s'"):format(settings.keep))
local all_well = true
for _, name in ipairs(#targets > 0 and targets or fuzz.names()) do
  local command = "%s spec/fuzz/run.lua --target %s --seconds %s --from %d --keep '%s'"
  local ok, how, code = os.execute(command:format(arg[-1], name, settings.seconds, from,
    settings.keep))
  if not ok then
    all_well = false
    if how == "signal" or code ~= 1 then
      print(("%s: ended by %s %s while reading %s/%s-input"):format(name, how, code, settings.keep,
        name))
    end
  end
end
os.exit(all_well)
