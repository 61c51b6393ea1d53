--- Fuzzing of readers: changed copies of good files must be read or refused, in little time and
--- memory, and nothing may raise or crash.
--
-- A target is a file in spec/fuzz/targets that returns
--   {name = "npy", seeds = {paths of good files}, words = {texts of the format}, read = f}
-- where f(path) returns a value, or nil and a message; `use`(value), if there, touches all of it.
-- Optional limits: seconds (2) and bytes (256 MiB) for one input. Inputs that once failed lie in
-- spec/fuzz/regressions/NAME and are tried first, unchanged, and changed like the seeds.
local equi = require "lua_equi"
local files = require "spec.support.files"

local fuzz = {}

local TARGETS, REGRESSIONS = "spec/fuzz/targets", "spec/fuzz/regressions/"
local SECONDS, BYTES = 2, 256 << 20

--- The names of all targets.
---@return string[]
function fuzz.names()
  local names = {}
  for _, file in ipairs(files.list(TARGETS)) do names[#names + 1] = file:match "^(.*)%.lua$" end
  return names
end

local function regressions(name)
  for _, folder in ipairs(files.list(REGRESSIONS)) do
    if folder == name then return files.list(REGRESSIONS .. name) end
  end
  return {}
end

--- A target with its seeds and regressions read.
---@param name string
---@return table
function fuzz.load(name)
  local t = assert(loadfile(("%s/%s.lua"):format(TARGETS, name)))()
  local seeds, known = {}, {}
  for i, path in ipairs(t.seeds) do seeds[i] = files.read(path) end
  for _, file in ipairs(regressions(name)) do
    known[#known + 1] = {file, files.read(REGRESSIONS .. name .. "/" .. file)}
    seeds[#seeds + 1] = known[#known][2]
  end
  return {name = name, read = t.read, use = t.use or function() end, words = t.words or {},
    seeds = seeds, known = known, seconds = t.seconds or SECONDS, bytes = t.bytes or BYTES}
end

local function judge(target, ok, value, message)
  if not ok then return "raised: " .. tostring(value) end
  if value ~= nil then
    local used, problem = pcall(target.use, value)
    return not used and "its result cannot be used: " .. tostring(problem) or nil
  end
  if type(message) ~= "string" then return "refused without a message" end
  if message:find "\n" or #message > 2000 then return "message: " .. message:sub(1, 2000) end
  return nil
end

--- Lets a target read bytes, through the file at path.
---@param target table
---@param bytes string
---@param path string
---@return string? problem nil when they were read or refused as they should be
---@return boolean read whether they were read
function fuzz.try(target, bytes, path)
  os.remove(path) -- some file systems wait for the disk when a file is written over
  files.write(path, bytes)
  local memory, lua = equi.memory().live, collectgarbage "count"
  local begun = os.clock()
  local ok, value, message = pcall(target.read, path)
  local problem = judge(target, ok, value, message)
  local took, grown = os.clock() - begun, (collectgarbage "count" - lua) * 1024
  if not problem and took > target.seconds then problem = ("took %.1f s"):format(took) end
  grown = grown + equi.memory().live - memory
  if not problem and grown > target.bytes then problem = ("took %.0f bytes"):format(grown) end
  return problem, ok and value ~= nil
end

return fuzz
