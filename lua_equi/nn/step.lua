--- Blocks of transformer.lua as the list of tensors that core.transformer_step runs: one token
--- through all of them in one op, which is what makes generating fast.
local core = require "lua_equi.core"

local step = {MOST = 8} -- rows of a batch

-- Activations by their names in config.json and in transformer_step.
local ACTIVATIONS = {gelu_new = "gelu_tanh", gelu_pytorch_tanh = "gelu_tanh",
  gelu_fast = "gelu_tanh", gelu = "gelu", relu = "relu", silu = "silu", swish = "silu",
  tanh = "tanh"}

local function class_of(m) return type(m) == "table" and m.class_name and m:class_name() or nil end

local function plain(w) return w.dtype == "f32" and w:is_contiguous() end

-- Adds the tensors of a matrix; false when it is of another kind, as an adapted one.
local function add_matrix(list, m, none)
  local class = class_of(m)
  local affine = class == "affine" or class == "lora" and m._merged and m._turned
  if class ~= "compressed_linear" and (not affine or not plain(m.weight)) then return false end
  list[#list + 1] = m.weight
  list[#list + 1] = m.scale or none
  list[#list + 1] = m.bias or none
  return true
end

local function add_norm(list, m, none)
  if class_of(m) ~= "layer_norm" or m.weight and not plain(m.weight) then return false end
  list[#list + 1] = m.weight or none
  list[#list + 1] = m.bias or none
  return true
end

local function add_head(list, head, none)
  local class = class_of(head)
  local whole = (class == "linear" or class == "embedding") and plain(head.weight) and
    not head.bias
  if not whole and class ~= "compressed_embedding" and
    not (class == "compressed_linear" and not head.bias) then return false end
  list[#list + 1] = head.weight
  list[#list + 1] = head.scale or none
  return true
end

-- What all blocks must have in common, of the first.
local function settings_of(blocks, norm)
  local first = blocks[1]
  return {heads = first.attn.heads, eps = norm.eps, activation = ACTIVATIONS[first.mlp.activation],
    scale = first.attn.scale}
end

local function fits(block, s)
  return class_of(block) == "block" and class_of(block.attn) == "causal_attention" and
    class_of(block.mlp) == "mlp" and block.attn.heads == s.heads and
    ACTIVATIONS[block.mlp.activation] == s.activation and block.ln_1.eps == s.eps and
    block.ln_2.eps == s.eps
end

-- One scale for all blocks, or the first's divided by the block's number.
local function same_scales(blocks, s)
  local equal, falling = true, true
  for i, block in ipairs(blocks) do
    equal = equal and block.attn.scale == s.scale
    falling = falling and math.abs(block.attn.scale * i - s.scale) < 1e-9
  end
  s.by_layer = falling and not equal
  return equal or falling
end

-- The weights and options of core.transformer_step for a list of blocks, a last norm and a head;
-- nil when one of them is of a kind that it does not compute.
function step.of(blocks, norm, head)
  if #blocks == 0 or class_of(blocks[1]) ~= "block" then return nil end
  local s, list, none = settings_of(blocks, norm), {}, core.zeros(0)
  if not s.activation or not same_scales(blocks, s) then return nil end
  for _, block in ipairs(blocks) do
    if not (fits(block, s) and add_norm(list, block.ln_1, none) and
      add_matrix(list, block.attn.c_attn, none) and add_matrix(list, block.attn.c_proj, none) and
      add_norm(list, block.ln_2, none) and add_matrix(list, block.mlp.c_fc, none) and
      add_matrix(list, block.mlp.c_proj, none)) then return nil end
  end
  if not (add_norm(list, norm, none) and add_head(list, head, none)) then return nil end
  return {weights = list, options = s}
end

-- x [M, D] behind `length` places of the caches {k =, v =} -> logits [M, V].
function step.run(of, x, caches, length, mask)
  local keys, values, o = {}, {}, of.options
  for i, cache in ipairs(caches) do keys[i], values[i] = cache.k, cache.v end
  return core.transformer_step(x, of.weights, keys, values, mask, length, o.heads, o.eps, o.scale,
    o.activation, o.by_layer)
end

return step
