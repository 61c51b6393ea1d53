--- Checkpoints: everything a run needs to go on as if it had never stopped, in one file.
--
-- The file is safetensors: the tensors of the model under "model.", those of the optimizers under
-- "optimizer.1." and so on, and all numbers as JSON in the metadata (exactly: integers stay
-- integers, floats keep every bit). Writing replaces the file as a whole, so that a full disk or a
-- killed process leaves the old one. Loading changes nothing unless everything fits.
-- Not kept: Lua's own math.random, and objects that are not handed in.
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local json = require "lua_equi.json"
local module = require "lua_equi.nn.module"
local options = require "lua_equi.options"
local safetensors = require "lua_equi.safetensors"

local checkpoint = {}

local KEY, VERSION = "lua_equi", 1
local LISTS = {"optimizer", "schedules", "sampler"}
local PARTS = {model = options.any(), optimizer = options.any(), schedules = options.any(),
  sampler = options.any(), rng = true, options = options.any(), extra = options.any()}

-- ---- plain values ----

-- JSON has no infinities and NaN; they occur as "best so far".
local function pack(v)
  if type(v) == "number" and (v ~= v or v == math.huge or v == -math.huge) then
    return {["$float"] = v ~= v and "nan" or v > 0 and "inf" or "-inf"}
  end
  if type(v) ~= "table" or json.is_array(v) then return v end
  local t = setmetatable({}, getmetatable(v))
  for k, x in pairs(v) do t[k] = pack(x) end
  return t
end

local FLOATS = {nan = 0 / 0, inf = math.huge, ["-inf"] = -math.huge}
local function unpack_plain(v)
  if type(v) ~= "table" then return v end
  if v["$float"] then return FLOATS[v["$float"]] end
  for k, x in pairs(v) do v[k] = unpack_plain(x) end
  return json.is_array(v) and setmetatable(v, nil) or v
end

-- One object, or a list of them, as a list.
local function as_list(v)
  if v == nil then return {} end
  return v.state_dict and {v} or v
end

local function check_path(path, who)
  if type(path) ~= "string" then
    error(("%s: path must be a string, got %s"):format(who, arguments.shown(path)), 3)
  end
end

-- ---- saving ----

-- What an optimizer, schedule or sampler says of itself; its tensors go to `tensors`.
local function collect(objects, name, tensors)
  local states = {}
  for i, object in ipairs(as_list(objects)) do
    local state = object:state_dict()
    if state.tensors then
      for key, x in pairs(state.tensors) do
        tensors[("%s.%d.%s"):format(name, i, key)] = x
      end
      state = state.numbers
    end
    states[i] = state
  end
  return json.array(states)
end

local function build(parts)
  local tensors, plain = {}, {version = VERSION, options = parts.options, extra = parts.extra}
  if parts.model then
    for name, x in pairs(module.state_dict(parts.model)) do tensors["model." .. name] = x end
  end
  for _, name in ipairs(LISTS) do
    if parts[name] then plain[name] = collect(parts[name], name, tensors) end
  end
  if parts.rng then plain.rng = core.rng_state() end
  return tensors, json.encode(pack(plain))
end

--- Writes a checkpoint, replacing the file as a whole.
---
--- Example:
---     local path = os.tmpname()
---     local net = equi.nn.linear(2, 3)
---     print(equi.checkpoint.write(path, {model = net, extra = {step = 7}}))   --> true
---     print(equi.checkpoint.load(path, {model = net}).extra.step)   --> 7
---     os.remove(path)
---@param path string
---@param parts table model (a module); optimizer, schedules, sampler (one object or a list: what
--- has state_dict and load_state_dict); rng (default true: the state of equi.seed's stream);
--- options and extra (plain tables of numbers, strings, booleans and tables)
---@return boolean? ok nil when the disk is full or the like
---@return string? message
function checkpoint.write(path, parts)
  local o = options.check("checkpoint.write", parts, PARTS)
  check_path(path, "checkpoint.write")
  local tensors, plain = build(o)
  return safetensors.write(path, tensors, {[KEY] = plain})
end

--- Like `write`, but raises when the file cannot be written.
---
--- Example:
---     local path = os.tmpname()
---     local w = equi.ones(1, {requires_grad = true})
---     local opt = equi.optim.adam({w})
---     equi.checkpoint.save(path, {model = {w = w}, optimizer = opt})
---     equi.checkpoint.load(path, {model = {w = w}, optimizer = opt})
---     os.remove(path)
---@param path string
---@param parts table as for `write`
function checkpoint.save(path, parts)
  local o = options.check("checkpoint.save", parts, PARTS)
  check_path(path, "checkpoint.save")
  local tensors, plain = build(o)
  local ok, problem = safetensors.write(path, tensors, {[KEY] = plain})
  if not ok then error("checkpoint.save: " .. problem, 2) end
end

-- ---- loading ----

-- The tensors whose names begin with prefix, without it.
local function below(tensors, prefix)
  local found = {}
  for name, x in pairs(tensors) do
    if name:sub(1, #prefix) == prefix then found[name:sub(#prefix + 1)] = x end
  end
  return found
end

-- What the object's state_dict returned when it was saved.
local function state_of(name, i, plain, tensors)
  if name ~= "optimizer" then return plain end
  return {tensors = below(tensors, ("optimizer.%d."):format(i)), numbers = plain}
end

-- Adds what does not fit between a model and its saved state; dtypes too, since a checkpoint is
-- exact.
local function check_model(m, state, problems)
  for _, text in ipairs(module.differences(m, state)) do problems[#problems + 1] = text end
  for name, x in pairs(module.state_dict(m)) do
    local s = state[name]
    if s and s.dtype ~= x.dtype then
      problems[#problems + 1] = ("%s is %s, the model's is %s"):format(name, s.dtype, x.dtype)
    end
  end
end

local function check_list(name, objects, saved, tensors, problems)
  local list = as_list(objects)
  if not saved or #saved ~= #list then
    problems[#problems + 1] = ("it holds %d of %s, %d are given"):format(saved and #saved or 0,
      name, #list)
    return
  end
  for i, object in ipairs(list) do
    if object.differences then
      local state = state_of(name, i, saved[i], tensors)
      for _, text in ipairs(object:differences(state)) do problems[#problems + 1] = text end
    end
  end
end

local function check(parts, tensors, plain)
  local problems = {}
  if parts.model then check_model(parts.model, below(tensors, "model."), problems) end
  for _, name in ipairs(LISTS) do
    if parts[name] then check_list(name, parts[name], plain[name], tensors, problems) end
  end
  return problems
end

local function restore(parts, tensors, plain)
  if parts.model then module.load_state_dict(parts.model, below(tensors, "model.")) end
  for _, name in ipairs(LISTS) do
    for i, object in ipairs(as_list(parts[name])) do
      object:load_state_dict(state_of(name, i, plain[name][i], tensors))
    end
  end
  if parts.rng and plain.rng then core.rng_state(plain.rng) end
end

local function open(path)
  local tensors, metadata = safetensors.read(path)
  if not tensors then return nil, metadata end
  local text = metadata[KEY]
  if not text then return nil,
    path .. ": it is no checkpoint, only tensors; use safetensors.load" end
  local plain, problem = json.decode(text, {unique = true})
  if type(plain) ~= "table" then
    return nil, ("%s: its numbers are damaged: %s"):format(path, tostring(problem))
  end
  if plain.version ~= VERSION then
    return nil, ("%s: a checkpoint of version %s; this is version %d"):format(path,
      tostring(plain.version), VERSION)
  end
  return tensors, unpack_plain(plain)
end

local function summary(problems)
  table.sort(problems)
  local shown = table.concat(problems, "; ", 1, math.min(#problems, 5))
  return #problems > 5 and ("%s; and %d more"):format(shown, #problems - 5) or shown
end

--- Restores the given objects, bit for bit. Raises when the file cannot be read or is of another
--- model, naming what differs; then nothing was changed. Parts that are not given are left out: a
--- model alone can be loaded from the checkpoint of a whole training.
---
--- Example:
---     local path = os.tmpname()
---     equi.checkpoint.save(path, {model = equi.nn.linear(2, 3)})
---     print((select(2, pcall(equi.checkpoint.load, path, {model = equi.nn.linear(2, 4)}))):match
---       "bias.-;")   --> bias is 3, the model's is 4;
---     os.remove(path)
---@param path string
---@param parts table as for `save`; options is compared with the saved ones
---@return table info {options =, extra =, differences =}: the saved plain tables, and which options
--- differ in one clause (nil when none does)
function checkpoint.load(path, parts)
  local o = options.check("checkpoint.load", parts, PARTS)
  check_path(path, "checkpoint.load")
  local tensors, plain = open(path)
  if not tensors then error("checkpoint.load: " .. plain, 2) end
  local problems = check(o, tensors, plain)
  if #problems > 0 then
    error(("checkpoint.load: %s does not fit: %s"):format(path, summary(problems)), 2)
  end
  restore(o, tensors, plain)
  local info = {options = plain.options, extra = plain.extra}
  if o.options and plain.options then
    local _, text = options.differences(plain.options, o.options)
    info.differences = text
  end
  return info
end

return checkpoint
