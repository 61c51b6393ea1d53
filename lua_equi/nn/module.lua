--- Modules: plain Lua tables of tensors and modules with a `forward`.
--
-- Nothing is registered. One recursive walk (walk.lua) finds parameters and buffers, and everything
-- else (save, load, to, freeze, count) is that walk. class.lua makes classes of modules.
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local options = require "lua_equi.options"
local safetensors = require "lua_equi.safetensors"
local walk = require "lua_equi.nn.walk"
local weights = require "lua_equi.weights"

local module = {}
local children_of, visit = walk.children_of, walk.visit

-- Told at the line that called a function of this file, in its name.
local function refuse(m)
  local here, who, level = debug.getinfo(1, "S").source, "walk", 2
  while (debug.getinfo(level, "S") or {}).source == here do
    who, level = debug.getinfo(level, "n").name or who, level + 1
  end
  error(("%s: a module is a table of tensors and modules, got %s"):format(who,
    arguments.shown(m)), level)
end

--- Calls f(kind, value, name, owner, key) for every module, parameter and buffer below m, each
--- once, in a fixed order. kind is "module", "parameter" or "buffer"; owner[key] is the value's
--- place.
---
--- Example:
---     local nn = equi.nn
---     local n = 0
---     nn.walk(nn.linear(2, 3), function(kind) if kind == "parameter" then n = n + 1 end end)
---     print(n)   --> 2
---@param m any a module, a table of modules, or an equituned model
---@param f function
function module.walk(m, f)
  if not children_of(m) then refuse(m) end
  visit(m, "", {}, f)
end

-- ---- what the walk is good for ----

local function collect(m, wanted)
  local list = {}
  module.walk(m, function(kind, v, name)
    if wanted[kind] then list[#list + 1] = {name = name, tensor = v, kind = kind} end
  end)
  return list
end

--- The parameters of a module as a list of tensors, each once, in a fixed order.
---
--- Example:
---     print(#equi.nn.parameters(equi.nn.linear(2, 3)))   --> 2
---@param m any
---@return table list of tensors
function module.parameters(m)
  local list = {}
  module.walk(m, function(kind, v)
    if kind == "parameter" then list[#list + 1] = v end
  end)
  return list
end

--- Parameters with their names: a list of {name =, tensor =}.
---
--- Example:
---     print(equi.nn.named_parameters(equi.nn.linear(2, 3))[1].name)   --> bias
---@param m any
---@return table
function module.named_parameters(m) return collect(m, {parameter = true}) end

--- Parameters and buffers by name, as PyTorch names them. The tensors are the module's own.
---
--- Example:
---     local state = equi.nn.state_dict(equi.nn.linear(2, 3))
---     print(state.weight:size())   --> 3 2
---@param m any
---@return table name -> tensor
function module.state_dict(m)
  local state = {}
  for _, entry in ipairs(collect(m, {parameter = true, buffer = true})) do
    state[entry.name] = entry.tensor:detach()
  end
  return state
end

local function shape_of(t)
  return t.ndim == 0 and "a single number" or table.concat(t.shape, " x ")
end

--- How a state dict differs from a module, in clauses: what is missing, misshapen, unexpected.
---
--- Example:
---     local net = equi.nn.linear(2, 3)
---     print(equi.nn.differences(net, {weight = net.weight})[1])   --> missing bias
---@param m any
---@param state table name -> tensor
---@return string[] sorted; empty when all fits
function module.differences(m, state)
  local own, list = module.state_dict(m), {}
  for name, tensor in pairs(own) do
    local given = state[name]
    if given == nil then
      list[#list + 1] = "missing " .. name
    elseif not core.is_tensor(given) then
      list[#list + 1] = ("%s is a %s, the model's is a tensor"):format(name, type(given))
    elseif shape_of(given) ~= shape_of(tensor) then
      list[#list + 1] = ("%s is %s, the model's is %s"):format(name, shape_of(given),
        shape_of(tensor))
    end
  end
  for name in pairs(state) do
    if own[name] == nil then list[#list + 1] = "unexpected " .. tostring(name) end
  end
  table.sort(list)
  return list
end

-- BatchNorm counts its batches since PyTorch 0.4.1; older files lack the counts, which no result
-- depends on.
local function is_count(problem) return problem:find "^missing .*num_batches_tracked$" ~= nil end

-- Copies a state into m; `from` says in a message where it came from. Raises at the line that
-- called what calls this.
local function fit(who, m, state, from, strict)
  local own, problems, fatal = module.state_dict(m), module.differences(m, state), {}
  for _, p in ipairs(problems) do
    if strict and not is_count(p) or p:find(", the model's is", 1, true) then
      fatal[#fatal + 1] = p
    end
  end
  if #fatal > 0 then
    error(("%s: %d %s%s: %s"):format(who, #fatal,
      #fatal == 1 and "entry does not fit" or "entries do not fit", from,
      table.concat(fatal, "; ")), 3)
  end
  for name, tensor in pairs(own) do
    if state[name] then tensor:copy_(state[name]) end
  end
  return problems
end

--- Copies a state dict into a module. Nothing is changed unless everything fits.
---
--- Raises with every missing, unexpected and misshapen name; with strict = false missing and
--- unexpected ones are returned instead, misshapen ones still raise. A missing num_batches_tracked
--- (files of before PyTorch 0.4.1) never raises, but is returned.
---
--- Example:
---     local a, b = equi.nn.linear(2, 3), equi.nn.linear(2, 3)
---     a:load_state_dict(b:state_dict())
---     print((a.weight - b.weight):abs():sum():item())   --> 0.0
---@param m any
---@param state table name -> tensor
---@param opts? table {strict = true}
---@return table problems empty when all was well
function module.load_state_dict(m, state, opts)
  opts = options.check("load_state_dict", opts, {strict = true})
  if type(state) ~= "table" then
    error(("load_state_dict: state must be a table of tensors by name, got %s; m:state_dict() and "
      .. "equi.load_weights make one"):format(arguments.shown(state)), 2)
  end
  local problems = fit("load_state_dict", m, state, "", opts.strict)
  return problems
end

--- Makes the tensors of a state dict a module's own, without copying: for a model made by
--- nn.initialise.hollow, whose weights come from a mapped file. Everything must fit, as strict
--- load_state_dict wants it. The module gets new tensors: make its optimizer afterwards.
---
--- Example:
---     local layer = equi.nn.initialise.hollow(equi.nn.linear, 2, 3)
---     local w = equi.ones(3, 2)
---     layer:adopt {weight = w, bias = equi.zeros(3)}
---     print(layer.weight:shares_storage(w), layer.weight.requires_grad)   --> true true
---@param m any
---@param state table name -> tensor
---@return any m
function module.adopt(m, state)
  local problems = module.differences(m, state)
  if #problems > 0 then
    error(("adopt: %d do%s not fit: %s"):format(#problems, #problems == 1 and "es" or "",
      table.concat(problems, "; ")), 2)
  end
  local places, own = {}, {}
  visit(m, "", {}, function(kind, v, name, owner, key)
    if kind == "module" then return end
    own[v] = own[v] or state[name]:detach():requires_grad_(v.requires_grad)
    places[#places + 1] = {owner, key, own[v]}
  end, true)
  for _, p in ipairs(places) do p[1][p[2]] = p[3] end
  return m
end

--- Copies the weights in a file of PyTorch's, NumPy's or safetensors into a module: load_weights
--- and load_state_dict in one. Nothing is changed unless everything fits.
---
--- Example:
---     local path = os.tmpname()
---     local a, b = equi.nn.linear(2, 3), equi.nn.linear(2, 3)
---     equi.safetensors.save(path, a:state_dict())
---     print(#b:load(path), (a.weight - b.weight):abs():sum():item())   --> 0 0.0
---     os.remove(path)
---@param m any
---@param path string
---@param opts? table {strict = true} and those of load_weights: raw, rename, copy, max_inflated
---@return table problems empty when all was well, see load_state_dict
function module.load(m, path, opts)
  opts = options.check("load", opts, {strict = true, raw = false, copy = false,
    rename = options.any(), max_inflated = options.any()})
  if type(path) ~= "string" then
    error(("load: the path must be a string, got %s; load_state_dict takes tensors"):format(
      arguments.shown(path)), 2)
  end
  local strict = opts.strict
  opts.strict = nil
  local state, problem = weights.read(path, opts)
  if not state then error("load: " .. problem, 2) end
  local problems = fit("load", m, state, " in " .. path, strict)
  return problems
end

--- Writes the module's parameters and buffers to a safetensors file, which `load` reads. Raises
--- when the file cannot be written.
---
--- Example:
---     local path = os.tmpname()
---     equi.nn.linear(2, 3):save(path)
---     print(equi.safetensors.load(path).weight:size())   --> 3 2
---     os.remove(path)
---@param m any
---@param path string
function module.save(m, path)
  if type(path) ~= "string" then
    error(("save: the path must be a string, got %s"):format(arguments.shown(path)), 2)
  end
  local ok, problem = safetensors.write(path, module.state_dict(m))
  if not ok then error("save: " .. problem, 2) end
end

--- The module itself and all modules below it, each once, in a fixed order. Plain tables on the way
--- are none.
---
--- Example:
---     local nn = equi.nn
---     print(#nn.sequential(nn.linear(2, 3), nn.relu()):modules())   --> 3
---@param m any
---@return table list of modules
function module.modules(m)
  local list = {}
  module.walk(m, function(kind, v)
    if kind == "module" and getmetatable(v) then list[#list + 1] = v end
  end)
  return list
end

--- The modules directly below a module, each once, in a fixed order; those in plain tables too.
---
--- Example:
---     local nn = equi.nn
---     print(nn.sequential(nn.linear(2, 3), nn.relu()):children()[2])   --> relu()
---@param m any
---@return table list of modules
function module.children(m)
  local list, seen = {}, {}
  local function search(v)
    for _, k in ipairs(walk.sorted_keys(children_of(v))) do
      local child = children_of(v)[k]
      if not core.is_tensor(child) and children_of(child) and not seen[child] then
        seen[child] = true
        if getmetatable(child) then list[#list + 1] = child else search(child) end
      end
    end
  end
  if not children_of(m) then refuse(m) end
  search(m)
  return list
end

--- Number of elements in all parameters; with {trainable = true} only those that require gradients.
---
--- Example:
---     print(equi.nn.count(equi.nn.linear(2, 3)))   --> 9
---@param m any
---@param opts? table {trainable = false}
---@return integer
function module.count(m, opts)
  opts = options.check("count", opts, {trainable = false})
  local n = 0
  for _, p in ipairs(module.parameters(m)) do
    if p.requires_grad or not opts.trainable then n = n + p:numel() end
  end
  return n
end

--- Converts all floating parameters and buffers to a dtype. The module gets new tensors: make its
--- optimizer afterwards.
---
--- Example:
---     print(equi.nn.to(equi.nn.linear(2, 3), "f64").weight.dtype)   --> f64
---@param m any
---@param dtype string "f32" or "f64"
---@return any m
function module.to(m, dtype)
  if dtype ~= "f32" and dtype ~= "f64" then
    error(('to: a module\'s dtype is "f32" or "f64", got %s'):format(
      arguments.shown(dtype)), 2)
  end
  local places, converted = {}, {}
  visit(m, "", {}, function(kind, v, _, owner, key)
    if kind ~= "module" and (v.dtype == "f32" or v.dtype == "f64") and v.dtype ~= dtype then
      places[#places + 1] = {owner, key, v}
    end
  end, true)
  for _, p in ipairs(places) do
    local old = p[3]
    if not converted[old] then
      converted[old] = old:detach():to(dtype)
      if old.requires_grad then converted[old]:requires_grad_() end
    end
    p[1][p[2]] = converted[old]
  end
  return m
end

-- "encoder.*" style patterns: * stands for any run of characters.
local function glob(pattern)
  return "^" .. pattern:gsub("[%^%$%(%)%%%.%[%]%+%-%?]", "%%%0"):gsub("%*", ".*") .. "$"
end

local function set_trainable(m, pattern, on, who)
  if pattern ~= nil and type(pattern) ~= "string" then
    error(('%s: the pattern must be a string such as "encoder.*", got %s'):format(who,
      arguments.shown(pattern)), 3)
  end
  local n, p = 0, glob(pattern or "*")
  for _, entry in ipairs(module.named_parameters(m)) do
    if entry.name:find(p) then
      entry.tensor:requires_grad_(on)
      n = n + 1
    end
  end
  if n == 0 then
    error(("%s: no parameter is called %s; named_parameters lists the names"):format(who,
      pattern), 3)
  end
  return m
end

--- Freezes the parameters whose names match a pattern (`*` any characters; nil: all).
---
--- Example:
---     print(equi.nn.freeze(equi.nn.linear(2, 3), "wei*").weight.requires_grad)   --> false
---@param m any
---@param pattern? string
---@return any m
function module.freeze(m, pattern)
  m = set_trainable(m, pattern, false, "freeze")
  return m
end

--- Lets the parameters whose names match a pattern learn again.
---
--- Example:
---     print(equi.nn.unfreeze(equi.nn.linear(2, 3)).weight.requires_grad)   --> true
---@param m any
---@param pattern? string
---@return any m
function module.unfreeze(m, pattern)
  m = set_trainable(m, pattern, true, "unfreeze")
  return m
end

--- Whether the parameters learn: freeze(m) with false, unfreeze(m) otherwise.
---
--- Example:
---     print(equi.nn.linear(2, 3):requires_grad_(false).weight.requires_grad)   --> false
---@param m any
---@param on? boolean default true
---@return any m
function module.requires_grad_(m, on)
  if on ~= nil and type(on) ~= "boolean" then
    error(("requires_grad_: on must be true or false, got %s"):format(arguments.shown(on)), 2)
  end
  for _, p in ipairs(module.parameters(m)) do p:requires_grad_(on ~= false) end
  return m
end

--- Forgets all gradients.
---
--- Example:
---     print(equi.nn.zero_grad(equi.nn.linear(2, 3)).weight.grad)   --> nil
---@param m any
---@return any m
function module.zero_grad(m)
  for _, p in ipairs(module.parameters(m)) do p.grad = nil end
  return m
end

--- Switches the module and all below to training mode (dropout and the like are active), or with
--- false to evaluation mode. Never changes names or shapes.
---
--- Example:
---     print(equi.nn.train(equi.nn.dropout(0.5)).training)   --> true
---@param m any
---@param on? boolean default true
---@return any m
function module.train(m, on)
  on = on ~= false
  module.walk(m, function(kind, v)
    if kind == "module" and type(v) == "table" and getmetatable(v) then rawset(v, "training",
      on) end
  end)
  return m
end

--- Evaluation mode: the same as train(m, false).
---
--- Example:
---     print(equi.nn.eval(equi.nn.dropout(0.5)).training)   --> false
---@param m any
---@return any m
function module.eval(m) return module.train(m, false) end

--- f(...) with the module and all below in evaluation mode; afterwards each is in the mode it was
--- in, also after an error.
---
--- Example:
---     local layer = equi.nn.dropout(0.5)
---     print(equi.nn.evaluating(layer, function() return layer.training end), layer.training)
---     --> false true
---@param m any
---@param f function
---@param ... any
---@return any ... what f returns
function module.evaluating(m, f, ...)
  local modes = {}
  module.walk(m, function(kind, v)
    if kind == "module" and type(v) == "table" and getmetatable(v) then
      modes[v] = v.training
      rawset(v, "training", false)
    end
  end)
  local function finish(ok, ...)
    for v, mode in pairs(modes) do rawset(v, "training", mode) end
    if not ok then error((...), 0) end
    return ...
  end
  return finish(pcall(f, ...))
end

local function copy(v, seen)
  if core.is_tensor(v) then
    if not seen[v] then
      seen[v] = v:detach():clone()
      if v.requires_grad then seen[v]:requires_grad_() end
    end
    return seen[v]
  end
  if seen[v] then return seen[v] end
  local clone = type(v) == "userdata" and (getmetatable(v) or {}).__clone
  if clone then return clone(v, seen, function(x) return copy(x, seen) end) end
  if type(v) ~= "table" or not children_of(v) then return v end
  local t = setmetatable({}, getmetatable(v))
  seen[v] = t
  for k, x in pairs(v) do rawset(t, k, copy(x, seen)) end
  return t
end

--- A deep copy with its own tensors; tensors and modules that are shared stay shared in the copy.
---
--- Example:
---     local a = equi.nn.linear(2, 3)
---     print(a:clone().weight:shares_storage(a.weight))   --> false
---@param m table
---@return table
function module.clone(m) return copy(m, {}) end

return module
