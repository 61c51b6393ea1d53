--- The tensors in nested containers, as a flat list of names: what a checkpoint is turned into.
--
-- Dicts, lists and tuples are those of pickle.lua. Names are joined by dots, places in lists count
-- from 0, as PyTorch names its parameters. Numbers, texts and the like are passed over.
local refusal = require "lua_equi.formats.refusal"

local tree = {}

local refuse, shown = refusal.refuse, refusal.shown
local MAX_DEPTH, MAX_STEPS, MAX_TENSORS = 64, 4000000, 1 << 18
local MAX_SETTINGS = 10000
local WRAPPERS = {"state_dict", "model_state_dict", "model"}

local function is_container(v)
  return type(v) == "table" and (v.kind == "dict" or v.kind == "list" or v.kind == "tuple")
end

-- Whether there is a tensor in v or a few levels below; the settings of a model have none.
local function has_tensor(v, depth, budget)
  if v.kind == "tensor" then return true end
  for i = 1, v.n do
    budget[1] = budget[1] - 1
    if budget[1] < 0 then return false end
    local child = v.kind == "dict" and v.values[v.keys[i]] or v[i]
    if type(child) == "table" and (child.kind == "tensor" or depth > 0 and is_container(child)) and
      has_tensor(child, depth - 1, budget) then
      return true
    end
  end
  return false
end

local function inner(v)
  for _, name in ipairs(WRAPPERS) do
    local w = v.values and v.values[name]
    if is_container(w) and w.kind == "dict" and has_tensor(w, 4, {100000}) then return w, name end
  end
  return nil
end

--- What a training script has put around a state dict is taken off: {"state_dict": {...}}. A dict
--- of that name without tensors, as the settings of a model, is none.
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

-- Containers may hold each other many times over, so that a small file has endlessly many names.
local function count_steps(s, n)
  s.steps = s.steps + n
  if s.steps > MAX_STEPS then refuse "its containers hold each other too often" end
end

local function add_tensor(s, name, t)
  if s.found[name] then refuse("%s comes twice", shown(name)) end
  if #s.names == MAX_TENSORS then refuse("it has more than %d tensors", MAX_TENSORS) end
  s.found[name] = t
  s.names[#s.names + 1] = name
end

local collect

local function collect_child(s, path, key, v, depth)
  count_steps(s, 1)
  if type(v) ~= "table" or v.kind ~= "tensor" and not is_container(v) then return end
  if type(key) ~= "string" and math.type(key) ~= "integer" then
    key = ("(a %s)"):format(type(key) == "table" and key.kind or type(key))
  end
  path = path == "" and tostring(key) or path .. "." .. key
  count_steps(s, #path // 32)
  collect(s, path, v, depth)
end

function collect(s, path, v, depth)
  if depth > MAX_DEPTH then refuse("its containers are nested deeper than %d", MAX_DEPTH) end
  if v.kind == "tensor" then
    add_tensor(s, path == "" and "tensor" or path, v)
  elseif v.kind == "dict" then
    for i = 1, v.n do
      local key = v.keys[i]
      collect_child(s, path, key, v.values[key], depth + 1)
    end
  else
    for i = 1, v.n do collect_child(s, path, i - 1, v[i], depth + 1) end
  end
end

-- Lua's own values for a container's; what has no counterpart (None, bytes) is left out.
local function plain(v, depth, budget)
  if type(v) ~= "table" then return v end
  if not is_container(v) or depth > MAX_DEPTH then return nil end
  local t = {}
  for i = 1, v.n do
    budget[1] = budget[1] - 1
    if budget[1] < 0 then return nil end
    local key, child = i, v[i]
    if v.kind == "dict" then key, child = v.keys[i], v.values[v.keys[i]] end
    if type(key) ~= "table" then t[key] = plain(child, depth + 1, budget) end
  end
  return t
end

--- The settings beside the tensors of a checkpoint: what its outermost dict holds but containers
--- of tensors, as plain Lua tables, numbers, strings and booleans. Beyond 10,000 of them the rest
--- is left out, entry by entry.
---@param v any
---@return table
function tree.settings(v)
  local settings, left = {}, MAX_SETTINGS
  if not is_container(v) or v.kind ~= "dict" then return settings end
  for i = 1, v.n do
    local key = v.keys[i]
    local child, budget = v.values[key], {left - 1}
    if left > 0 and type(key) == "string" and
      not (is_container(child) and has_tensor(child, 8, {left})) then
      local value = plain(child, 1, budget)
      if budget[1] >= 0 then settings[key], left = value, budget[1] end
    end
  end
  return settings
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
