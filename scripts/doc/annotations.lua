--- LuaLS annotations of what is written in C: ops, tensor methods and operators, functions.
local equi = require "lua_equi"
local signature = require "signature"

local out

local function add(...) out[#out + 1] = string.format(...) end

local function comment(text)
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do out[#out + 1] = "---" .. line end
end

local reserved = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat
  return then true until while]]):gmatch "%a+" do reserved[word] = true end

local function keys(t)
  local list = {}
  for k in pairs(t) do list[#list + 1] = k end
  table.sort(list)
  return list
end

-- One function; `owner` is "equi." or "tensor:", which takes the first parameter for itself.
local function add_op(owner, name, row, s)
  local params = {}
  comment(row.doc or "")
  for i, p in ipairs(s.params) do
    if owner ~= "tensor:" or i > 1 then
      local safe = reserved[p.name] and p.name .. "_" or p.name
      params[#params + 1] = safe
      add("---@param %s%s %s%s", safe, p.optional and "?" or "", p.type,
          p.default and " default " .. p.default or "")
    end
  end
  for _, result in ipairs(s.outs) do add("---@return equi.Tensor %s", result) end
  add("function %s%s(%s) end\n", owner, name, table.concat(params, ", "))
end

local function add_ops()
  local rows = {}
  for _, row in ipairs(equi.core.ops) do
    if not row.hidden then rows[row.name] = row end
  end
  for _, name in ipairs(keys(rows)) do
    local row, s = rows[name], signature.read(rows[name].sig)
    if not row.method_only then add_op("equi.", name, row, s) end
    if equi.core.methods[name] then add_op("tensor:", name, row, s) end
    if row.inplace then add_op("tensor:", name .. "_", row, s) end
  end
end

local function add_function(name, d)
  comment(d.sig .. "\n\n" .. d.doc)
  local owner, separator, rest = name:match "^([%w_]+)([.:])([%w_]+)$"
  local declared = "equi." .. name
  if separator == ":" then declared = owner .. ":" .. rest
  elseif not owner and not equi.core[name] then declared = "tensor:" .. name end
  out[#out + 1] = "---@param ... any"
  out[#out + 1] = "---@return any ..."
  add("function %s(...) end\n", declared)
end

local head = [[
---@meta
-- Generated from the sources by `make doc`: what the editor knows of the functions written in C.

---@alias equi.Dtype "f32"|"f64"|"i64"|"u8"|"bool"

---@class equi.Tensor
---@field shape integer[]
---@field dtype equi.Dtype
---@field ndim integer
---@field grad equi.Tensor?
---@field requires_grad boolean
---@field is_leaf boolean
---@field grad_op string?
]]

local operators = {"add", "sub", "mul", "div", "pow", "mod", "idiv"}

--- The text of lua_equi/meta/core.lua.
return function()
  out = {head:sub(1, -2)}
  for _, name in ipairs(operators) do
    add("---@operator %s(equi.Tensor|number): equi.Tensor", name)
  end
  add "---@operator unm: equi.Tensor\n---@operator len: integer\nlocal tensor = {}\n"
  add "---@class equi\nlocal equi = {}\n"
  local owners = {}
  for name in pairs(equi.core.docs) do
    local owner, separator = name:match "^([%w_]+)([.:])"
    if owner then owners[owner] = owners[owner] or {}; owners[owner][separator] = true end
  end
  for _, owner in ipairs(keys(owners)) do
    if owners[owner]["."] then add("equi.%s = {}\n", owner) end
    if owners[owner][":"] then
      add("---@class equi.%s\nlocal %s = {}\n", owner:gsub("^%l", string.upper), owner)
    end
  end
  add_ops()
  for _, name in ipairs(keys(equi.core.docs)) do add_function(name, equi.core.docs[name]) end
  add "return equi"
  return table.concat(out, "\n")
end
