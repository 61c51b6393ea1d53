--- The tensors in nested containers, as a flat list of names: what a checkpoint is turned into.
--
-- Dicts, lists and tuples are those of pickle.lua. Names are joined by dots, places in lists count
-- from 0, as PyTorch names its parameters. Numbers, texts and the like are passed over.
local refusal = require "lua_equi.formats.refusal"

local tree = {}

local refuse, shown = refusal.refuse, refusal.shown
local MAX_DEPTH, MAX_STEPS = 64, 10000000
local WRAPPERS = {"state_dict", "model_state_dict", "model"}

local function is_container(v)
  return type(v) == "table" and (v.kind == "dict" or v.kind == "list" or v.kind == "tuple")
end

local function inner(v)
  for _, name in ipairs(WRAPPERS) do
    local w = v.values and v.values[name]
    if is_container(w) and w.kind == "dict" then return w, name end
  end
  return nil
end

--- What a training script has put around a state dict is taken off: {"state_dict": {...}}.
---@param v any
---@return any v
---@return string prefix what was taken off the names: "state_dict."
function tree.unwrap(v)
  local prefix = ""
  for _ = 1, MAX_DEPTH do
    local w, name = inner(v)
    if not w then return v, prefix end
    v, prefix = w, prefix .. name .. "."
  end
  refuse "its dicts hold themselves"
end

local function step(s)
  s.steps = s.steps + 1
  if s.steps > MAX_STEPS then refuse "its containers hold each other too often" end
end

local collect

local function collect_child(s, path, key, v, depth)
  step(s)
  if type(v) ~= "table" or v.kind ~= "tensor" and not is_container(v) then return end
  if type(key) ~= "string" and math.type(key) ~= "integer" then
    key = ("(a %s)"):format(type(key) == "table" and key.kind or type(key))
  end
  collect(s, path == "" and tostring(key) or path .. "." .. key, v, depth)
end

function collect(s, path, v, depth)
  if depth > MAX_DEPTH then
    refuse("its containers are nested deeper than %d", MAX_DEPTH)
  elseif v.kind == "tensor" then
    local name = path == "" and "tensor" or path
    if s.found[name] then refuse("%s comes twice", shown(name)) end
    s.found[name] = v
    s.names[#s.names + 1] = name
  elseif v.kind == "dict" then
    for i = 1, v.n do
      local key = v.keys[i]
      collect_child(s, path, key, v.values[key], depth + 1)
    end
  else
    for i = 1, v.n do collect_child(s, path, i - 1, v[i], depth + 1) end
  end
end

--- Every tensor below v by its name; a tensor alone is called "tensor".
---@param v any
---@return string[] names in the file's order
---@return table<string, any> found
function tree.flatten(v)
  local s = {names = {}, found = {}, steps = 0}
  if type(v) == "table" and (v.kind == "tensor" or is_container(v)) then collect(s, "", v, 0) end
  return s.names, s.found
end

return tree
