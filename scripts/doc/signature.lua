--- Signatures of ops, as their rows state them: "x:float, w:float?, dim:dim=-1 -> y, i; reserve".
local signature = {}

local types = {
  tensor = "equi.Tensor", float = "equi.Tensor", number = "equi.Tensor", index = "equi.Tensor",
  mask = "equi.Tensor", operand = "equi.Tensor|number", tensors = "equi.Tensor[]",
  floats = "equi.Tensor[]", int = "integer", num = "number", bool = "boolean", dim = "integer",
  ["dim+"] = "integer", dims = "integer|integer[]", ints = "integer|integer[]",
  dtype = "equi.Dtype", str = "string",
}

local function type_of(kind)
  if not kind:find("|", 1, true) then return types[kind] or "any" end
  local choices = {}
  for word in kind:gmatch "[^|]+" do
    choices[#choices + 1] = word == "ints" and types.ints or ('"%s"'):format(word)
  end
  return table.concat(choices, "|")
end

local function parameter(text)
  local name, kind = text:match "^%s*([%w_]+)%s*:%s*(.-)%s*$"
  if not name then return nil end
  local default = kind:match "=%s*(.*)$"
  kind = kind:gsub("%s*=.*$", "")
  local optional = kind:sub(-1) == "?" or default ~= nil
  return {name = name, type = type_of((kind:gsub("%?$", ""))), optional = optional,
          default = default ~= "nil" and default or nil}
end

--- Reads a signature into params (name, type for the editor, optional, default) and outs (names).
---@param text string
---@return table
function signature.read(text)
  local before, after = text:match "^(.-)%s*%->%s*(.*)$"
  local s = {params = {}, outs = {}}
  for part in (before or text):gmatch "[^,]+" do s.params[#s.params + 1] = parameter(part) end
  for out in (after or ""):gsub(";.*$", ""):gmatch "[%w_]+" do s.outs[#s.outs + 1] = out end
  return s
end

return signature
