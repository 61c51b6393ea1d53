--- Classes of modules: construction, calling, printing; messages say where in the model.
local arguments = require "lua_equi.arguments"
local caller = require "lua_equi.caller"
local core = require "lua_equi.core"
local elsewhere = require "lua_equi.elsewhere"
local module = require "lua_equi.nn.module"
local walk = require "lua_equi.nn.walk"

local classes = {}
local instance = {}
local children_of, sorted_keys = walk.children_of, walk.sorted_keys

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
  text = text:sub(#where + 1)
  local last = path:match "[%w_]+$" -- "in net.linear: linear: ..." would say it twice
  if last and text:sub(1, #last + 2) == last .. ": " then text = text:sub(#last + 3) end
  return setmetatable({text = where .. "in " .. path .. ": " .. text, level = level}, located)
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
function instance:class_name() return getmetatable(self).name end

-- Worth a line: a module, or a table with something but numbers and names in it.
local function has_parts(v)
  if core.is_tensor(v) or not children_of(v) then return false end
  if getmetatable(v) then return true end
  for _, x in pairs(v) do
    if type(x) == "table" or type(x) == "userdata" then return true end
  end
  return false
end

-- A function in a list, as in sequential: by its name if it is one of ours.
local function function_name(f)
  for name, v in pairs(core) do
    if rawequal(v, f) then return "equi." .. name end
  end
  return "function"
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
    elseif type(child) == "function" and label ~= k then
      lines[#lines + 1] = ("  "):rep(depth + 1) .. label .. ": " .. function_name(child)
    end
  end
end

for _, name in ipairs {"parameters", "named_parameters", "state_dict", "load_state_dict", "adopt",
  "load",
  "save", "modules", "children", "requires_grad_", "count", "to", "freeze", "unfreeze", "zero_grad",
  "train", "eval", "clone"} do
  instance[name] = module[name]
  core.equitune_methods[name] = module[name]
end

-- Names that modules do not have. Most are fields that are absent on purpose (no bias), so a name
-- is refused only if it is known from elsewhere or a slip of one letter, and not inside of this
-- library or of a method, where fields are asked for.
local unsuspected = {}

local function absent(_, name)
  if unsuspected[name] or type(name) ~= "string" or not name:find "^%a" then return nil end
  local names = {"weight", "training"}
  for method in pairs(instance) do names[#names + 1] = method end
  table.sort(names)
  local hint = elsewhere.of_module(name, names)
  unsuspected[name] = not hint
  if not hint or caller(2) ~= 2 or debug.getlocal(2, 1) == "self" then return nil end
  if debug.getinfo(2, "S").what == "C" then return nil end
  error(('module: there is no "%s"; %s'):format(name, hint), 2)
end
setmetatable(instance, {__index = absent})

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
function classes.class(name, methods)
  if type(name) ~= "string" then
    error("class: name must be a string, got " .. arguments.shown(name), 2)
  end
  for _, needed in ipairs {"new", "forward"} do
    local f = type(methods) == "table" and methods[needed]
    if not arguments.is_callable(f) then
      error(("class: %s needs {new = function, forward = function}, %s is missing"):format(name,
        needed), 2)
    end
  end
  local class = {name = name, buffers = methods.buffers or {}, extra = methods.extra, __call = call}
  class.__index = setmetatable(methods, {__index = instance})
  class.__tostring = function(self)
    local lines = {}
    describe(self, nil, 0, lines)
    return table.concat(lines, "\n")
  end
  function class.constructor(...)
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
  return class.constructor
end

return classes
