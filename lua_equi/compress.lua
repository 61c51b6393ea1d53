--- equi.compress: a model whose matrices are kept in half or a quarter of their bytes.
--
-- Generating a text reads every weight for every token, so a model of half the bytes is twice as
-- fast, where it does not fit into the caches. Which layers: linear and affine ones, and those
-- embeddings that a class names in `compresses = {wte = true}`, whose rows are also a head.
local arguments = require "lua_equi.arguments"
local compressed = require "lua_equi.nn.compressed"
local core = require "lua_equi.core"
local rebuilt = require "lua_equi.nn.rebuilt"
local module = require "lua_equi.nn.module"
local walk = require "lua_equi.nn.walk"

local FORMATS = {"bf16", "int8"}

--- A model for inference whose matrices are kept as bf16 (half of the bytes, about three digits) or
--- int8 (a quarter, with one scale for each output): a new one, in evaluation mode; the model given
--- stays as it is.
---
--- Sums are f32. The new model cannot be trained, converted or saved; memory is saved when the old
--- one is let go. Matrices must be f32. Equituned models work too.
---
--- Example:
---     local m = equi.models.gpt2 {n_layer = 1, n_head = 2, n_embd = 8, vocab_size = 11, seed = 1}
---     local small, ids = equi.compress(m:eval(), "bf16"), equi.tensor({{3, 4}}, {dtype = "i64"})
---     print((small(ids) - m(ids)):abs():max():item() < 0.01)   --> true
---@param model any
---@param as? string "bf16" (default) or "int8"
---@return any
local function compress(model, as)
  as = as or "bf16"
  if core.is_tensor(model) or not walk.children_of(model) then
    error("compress: the model must be a module, got " .. arguments.shown(model), 2)
  end
  arguments.choice("compress", "as", as, FORMATS)
  walk.visit(model, "", {}, function(kind, t, name)
    if kind == "parameter" and t.ndim == 2 and t.dtype ~= "f32" then
      error(("compress: %s is %s; only f32 can be kept as %s: use model:to \"f32\""):format(name,
        t.dtype, as), 3)
    end
  end)
  local function layers(t)
    local named = t.class_name and t.compresses or {}
    for k, part in pairs(t) do
      local made = compressed.of(part, as, named[k])
      if made then t[k] = made end
    end
  end
  return module.eval(rebuilt({model}, layers)[1])
end

return {compress = compress}
