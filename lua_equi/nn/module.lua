--- Modules: plain Lua tables of tensors and modules with a `forward`.
--
-- Nothing is registered. One recursive walk with a visited set finds parameters and buffers, and
-- everything else (save, load, to, freeze, count, print) is that walk. Rules of the walk: fields
-- whose
-- name begins with "_" are private; a tensor whose name is in the class's `buffers` is a buffer,
-- every
-- other tensor is a parameter; list entries are named from 0, as PyTorch names them, so that
-- weights
-- import without a mapping. A userdata takes part if its metatable has `__children(u)`: it returns
-- the table of u's modules and tensors, the live one, since `to` replaces tensors in it.
local core = require "lua_equi.core"
local options = require "lua_equi.options"

local module = {}
local base = {}

-- ---- the walk ----

-- Keys in a fixed order: list entries, then names by the alphabet. pairs() has no order, and the
-- order
-- decides which random numbers initialise which weight and which optimizer state belongs to it.
local function sorted_keys(t)
  local numbers, names = {}, {}
  for k in pairs(t) do
    if math.type(k) == "integer" then
      numbers[#numbers + 1] = k
    elseif type(k) == "string" and k:byte() ~= 95 then -- "_": private
      names[#names + 1] = k
    end
  end
  table.sort(numbers)
  table.sort(names)
  table.move(names, 1, #names, #numbers + 1, numbers)
  return numbers
end

local function children_of(v)
  if type(v) == "table" then return v end
  if type(v) ~= "userdata" then return nil end
  local mt = getmetatable(v)
  local f = type(mt) == "table" and mt.__children
  return f and f(v) or nil
end

-- With `places`, f sees a shared tensor in each of its places.
local function visit(v, path, seen, f, places)
  if seen[v] then return end
  seen[v] = true
  local t = children_of(v)
  if not t then return end
  f("module", v, path)
  local class = getmetatable(v)
  local buffers = type(class) == "table" and class.buffers or {}
  for _, k in ipairs(sorted_keys(t)) do
    local child = t[k]
    local name = math.type(k) == "integer" and tostring(k - 1) or k
    local full = path == "" and name or path .. "." .. name
    if core.is_tensor(child) then
      if places or not seen[child] then
        seen[child] = true
        f(buffers[k] and "buffer" or "parameter", child, full, t, k)
      end
    elseif type(child) == "table" or type(child) == "userdata" then
      visit(child, full, seen, f, places)
    end
  end
end

--- Calls f(kind, value, name, owner, key) for every module, parameter and buffer below m, each
--- once,
--- in a fixed order. kind is "module", "parameter" or "buffer"; owner[key] is the value's place.
---
--- Example:
---     local nn = equi.nn
---     local n = 0
---     nn.walk(nn.linear(2, 3), function(kind) if kind == "parameter" then n = n + 1 end end)
---     print(n)   --> 2
---@param m any a module, a table of modules, or an equituned model
---@param f function
function module.walk(m, f)
  if not children_of(m) then
    error("walk: a module is a table of tensors and modules, got " .. type(m), 2)
  end
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

--- Copies a state dict into a module. Nothing is changed unless everything fits.
---
--- Raises with every missing, unexpected and misshapen name; with strict = false missing and
--- unexpected ones are returned instead, misshapen ones still raise.
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
  local own, problems = module.state_dict(m), module.differences(m, state)
  local fatal = {}
  for _, p in ipairs(problems) do
    if opts.strict or p:find(", the model's is", 1, true) then fatal[#fatal + 1] = p end
  end
  if #fatal > 0 then
    error(("load_state_dict: %d entries do not fit: %s"):format(#fatal, table.concat(fatal,
      "; ")), 2)
  end
  for name, tensor in pairs(own) do
    if state[name] then tensor:copy_(state[name]) end
  end
  return problems
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
    error(('to: a module\'s dtype is "f32" or "f64", got %s'):format(tostring(dtype)), 2)
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
function module.freeze(m, pattern) return set_trainable(m, pattern, false, "freeze") end

--- Lets the parameters whose names match a pattern learn again.
---
--- Example:
---     print(equi.nn.unfreeze(equi.nn.linear(2, 3)).weight.requires_grad)   --> true
---@param m any
---@param pattern? string
---@return any m
function module.unfreeze(m, pattern) return set_trainable(m, pattern, true, "unfreeze") end

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
--- in,
--- also after an error.
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
  if type(v) ~= "table" then return v end
  if seen[v] then return seen[v] end
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

-- ---- calling, with the path in messages ----

-- Set while a module runs: only the outermost call pays for the protected call.
local running = false

-- The name of each module below root, as one would write it in Lua: encoder.layers[1].rnn.
local function path_to(root, wanted)
  local found
  local function search(v, path, seen)
    if found or seen[v] or core.is_tensor(v) then return end
    seen[v] = true
    if rawequal(v, wanted) then
      found = path
      return
    end
    local t = children_of(v)
    for _, k in ipairs(t and sorted_keys(t) or {}) do
      search(t[k], path .. (math.type(k) == "integer" and "[" .. k .. "]" or "." .. k), seen)
    end
  end
  search(root, "", {})
  return found
end

local call -- the __call of all modules

-- A message without the position if that is in this folder or missing, and the level for error():
-- the user's own line says more. Functions of the user's keep theirs.
local function relocate(message)
  local where, text = message:match "^([^\n]-:%d+: )(.*)$"
  if where and not where:find "lua_equi[/\\]nn[/\\]" then return message, 0 end
  return text or message, 2
end

local located = {} -- marks what add_path made of a message

-- Runs where the error was raised: the innermost module on the stack gives the path.
local function add_path(message)
  if type(message) ~= "string" or message:find(": in ", 1, true) then return message end
  local inner, root
  for level = 2, 200 do
    local info = debug.getinfo(level, "f")
    if not info then break end
    if info.func == call then
      local _, self = debug.getlocal(level, 1)
      inner = inner or self
      root = self
    end
  end
  if not root then return message end
  local path = root:class_name() .. (inner ~= root and path_to(root, inner) or "")
  local text, level = relocate(message)
  local where = level == 0 and text:match "^.-:%d+: " or ""
  return setmetatable({text = where .. "in " .. path .. ": " .. text:sub(#where + 1),
    level = level},
    located)
end

-- Called as a tail: level 2 is the line that called the module.
local function finish(ok, ...)
  running = false
  if ok then return ... end
  local problem = ...
  if getmetatable(problem) ~= located then error(problem, 0) end
  error(problem.text, problem.level)
end

-- Not a tail call, so that add_path finds the frame of every module.
local function keep(...) return ... end

function call(self, ...)
  if running then return keep(self:forward(...)) end
  running = true
  return finish(xpcall(self.forward, add_path, self, ...))
end

-- ---- classes ----

--- The name of the module's class.
---
--- Example:
---     print(equi.nn.linear(2, 3):class_name())   --> linear
---@return string
function base:class_name() return getmetatable(self).name end

-- Worth a line: a module, or a table with something but numbers and names in it.
local function has_parts(v)
  if core.is_tensor(v) or not children_of(v) then return false end
  if getmetatable(v) then return true end
  for _, x in pairs(v) do
    if type(x) == "table" or type(x) == "userdata" then return true end
  end
  return false
end

local function describe(m, name, depth, lines)
  local class = getmetatable(m)
  local extra = class and class.extra and class.extra(m) or ""
  local head = ("  "):rep(depth) .. (name and name .. ": " or "")
  lines[#lines + 1] = head .. (class and (class.name or class.__name) or "table") .. "("
    .. extra .. ")"
  local t = children_of(m)
  for _, k in ipairs(sorted_keys(t)) do
    local child = t[k]
    local label = math.type(k) == "integer" and "[" .. k .. "]" or k
    if has_parts(child) then
      describe(child, label, depth + 1, lines)
    end
  end
end

for _, name in ipairs {"parameters", "named_parameters", "state_dict", "load_state_dict", "count",
  "to", "freeze", "unfreeze", "zero_grad", "train", "eval", "clone"} do
  base[name] = module[name]
end

--- Declares a class of modules. new(self, ...) fills a fresh table; forward(self, ...) computes.
---
--- class.buffers names tensors that are no parameters, class.extra(self) is shown by print.
---
--- Example:
---     local double = equi.nn.class("double", {
---       new = function(self, size) self.weight = equi.ones(size) end,
---       forward = function(self, x) return x * self.weight * 2 end,
---     })
---     print(double(3)(equi.ones(3)):sum():item())   --> 6.0
---@param name string
---@param methods table {new =, forward =, ...}
---@return function constructor
function module.class(name, methods)
  local class = {name = name, buffers = methods.buffers or {}, extra = methods.extra, __call = call}
  class.__index = setmetatable(methods, {__index = base})
  class.__tostring = function(self)
    local lines = {}
    describe(self, nil, 0, lines)
    return table.concat(lines, "\n")
  end
  return function(...)
    local self = setmetatable({training = true}, class)
    local ok, problem = pcall(methods.new, self, ...)
    if not ok then
      if type(problem) ~= "string" then error(problem, 0) end
      error(relocate(problem))
    end
    for k, v in pairs(self) do
      if core.is_tensor(v) and not class.buffers[k] and not v.requires_grad and v.is_leaf and
        (v.dtype == "f32" or v.dtype == "f64") and k:byte() ~= 95 then
        v:requires_grad_()
      end
    end
    return self
  end
end

return module
