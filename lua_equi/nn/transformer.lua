--- The blocks of a decoder-only transformer (Vaswani et al. 2017) as GPT-2 has them (Radford et al.
--- 2019): layer norm stands before each part,
--
--     x = x + attn(ln_1(x))        attn(x) = c_proj(softmax(q k' / sqrt(D) + mask) v)
--     x = x + mlp(ln_2(x))         mlp(x) = c_proj(f(c_fc(x)))
--
-- and q, k, v are the thirds of c_attn(x). Parameter names are GPT-2's. A block runs over whole
-- sequences, or over new places only while a cache holds the keys and values of the earlier ones.
-- NOT the model around the blocks (models/gpt2.lua), and not attention of general form, which is
-- attention.lua's. Shapes: B batch, T new places, S all places, H heads, D features of one head.
local arguments = require "lua_equi.arguments"
local basic = require "lua_equi.nn.basic"
local classes = require "lua_equi.nn.class"
local core = require "lua_equi.core"
local initialise = require "lua_equi.nn.initialise"
local options = require "lua_equi.options"

local transformer = {}

-- What forbids: finite, so that a row of padding, which sees nothing, does not become nan.
local NEVER = -1e30

--- y = x W + b with weight W [inputs, outputs], the transpose of linear's: "Conv1D" in the files of
--- Hugging Face's GPT-2. Starts normal with deviation 0.02, the bias at 0.
---
--- Example:
---     print(equi.nn.affine(3, 2)(equi.zeros(5, 3)):size())   --> 5 2
---@param inputs integer
---@param outputs integer
---@param opts? table {bias = true, std = 0.02}
transformer.affine = classes.class("affine", {
  new = function(self, inputs, outputs, opts)
    opts = options.check("affine", opts, {bias = true, std = 0.02})
    arguments.whole("affine", "inputs", inputs)
    arguments.whole("affine", "outputs", outputs)
    self.weight = initialise.normal(initialise.zeros(inputs, outputs), 0, opts.std)
    if opts.bias then self.bias = core.zeros(outputs) end
  end,
  forward = function(self, x)
    return core.affine(x, self.weight, self.bias)
  end,
  extra = function(self)
    return ("%d, %d%s"):format(self.weight:size(1), self.weight:size(2),
      self.bias and "" or ", no bias")
  end,
})

-- ---- activations ----

local function gelu_tanh(x) return core.gelu(x, "tanh") end
local ACTIVATIONS = {gelu_new = gelu_tanh, gelu_pytorch_tanh = gelu_tanh, gelu_fast = gelu_tanh,
  gelu = core.gelu, relu = core.relu, silu = core.silu, swish = core.silu, tanh = core.tanh}

--- The names of activations that blocks know, those of Hugging Face's config.json.
---
--- Example:
---     print(equi.nn.activations()[1])   --> gelu
---@return string[]
function transformer.activations()
  local names = {}
  for name in pairs(ACTIVATIONS) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- ---- attention ----

--- Which keys a query must not see: later ones, and those of padding. Made once for all blocks.
---
--- Example:
---     print(equi.nn.forbidden(2, 2):to "i64"[1][2]:item())   --> 1
---@param t integer queries, which are the last of the s keys
---@param s integer keys
---@param mask? any bool [B, s], true for real tokens
---@return any? bool [t, s] or [B, 1, t, s]; nil when nothing is forbidden
function transformer.forbidden(t, s, mask)
  local later = t > 1 and core.ones(t, s):triu(s - t + 1):to("bool") or nil
  if not mask then return later end
  local padding = mask:logical_not():reshape(mask:size(1), 1, 1, s)
  return later and padding:logical_or(later) or padding
end

local function either(a, b)
  if a and b then return a:logical_or(b) end
  return a or b
end

-- q [B, H, T, D], k and v [B, H, S, D] -> [B, H, T, D], with dropout of the weights.
local function weighted(q, k, v, o)
  local scores = q:matmul(k:transpose()) * o.scale
  if o.forbidden then scores = scores:masked_fill(o.forbidden, NEVER) end
  return core.dropout(scores:softmax(-1), o.dropout, true):matmul(v)
end

-- Writes k and v behind the `length` places that the cache holds; returns all of them.
local function remember(cache, length, k, v)
  local t = k:size(3)
  cache.k:narrow(3, length + 1, t):copy_(k)
  cache.v:narrow(3, length + 1, t):copy_(v)
  return cache.k:narrow(3, 1, length + t), cache.v:narrow(3, 1, length + t)
end

--- Attention of each place to itself and the earlier ones: x [B, T, features] -> the same shape.
---
--- The second argument tells what is common to all blocks: padding, a bool [B, 1, 1, S] that is
--- true for keys which nobody may see (nn.forbidden(1, s, mask)), and while generating caches, a
--- table with an entry {k =, v =} [B, H, capacity, D] under this layer's number (option layer), and
--- length, how many places they hold. A table forbidden, of nn.forbidden, replaces both padding and
--- causality. A query that sees nothing gets 0.
---
--- Example:
---     local attn = equi.nn.causal_attention(8, 2)
---     print(attn(equi.zeros(3, 5, 8)):size())   --> 3 5 8
---@param features integer
---@param heads integer
---@param opts? table {bias = true, dropout = 0 of the weights, residual_dropout = 0 of the result,
--- scale = 1 / sqrt(features / heads), std = 0.02, residual_std = 0.02 of c_proj, layer = 1}
transformer.causal_attention = classes.class("causal_attention", {
  new = function(self, features, heads, opts)
    opts = options.check("causal_attention", opts, {bias = true, dropout = 0, residual_dropout = 0,
      scale = options.any(), std = 0.02, residual_std = 0.02, layer = 1})
    arguments.whole("causal_attention", "features", features)
    arguments.whole("causal_attention", "heads", heads)
    if features % heads ~= 0 then
      error(("causal_attention: %d features do not divide into %d heads"):format(features, heads),
        3)
    end
    self.heads, self.layer = heads, opts.layer
    self.scale = opts.scale or 1 / math.sqrt(features / heads)
    self.dropout, self.residual_dropout = opts.dropout, opts.residual_dropout
    self.c_attn = transformer.affine(features, 3 * features, {bias = opts.bias, std = opts.std})
    self.c_proj = transformer.affine(features, features,
      {bias = opts.bias, std = opts.residual_std})
  end,
  forward = function(self, x, common)
    common = common or {}
    local y = self:attend(self.c_attn(x), common, self.training and self.dropout > 0)
    return core.dropout(self.c_proj(y), self.residual_dropout, self.training)
  end,
  -- q, k and v side by side [B, T, 3 H D] -> [B, T, H D].
  attend = function(self, joint, common, drops)
    local b, t = joint:size()
    local caches, hidden = common.caches, common.forbidden or common.padding
    local causal = not common.forbidden
    if not caches and not drops then
      return core.joint_attention(joint, hidden, self.heads, causal, self.scale)
    end
    local parts = joint:reshape(b, t, 3, self.heads, -1):permute(3, 1, 4, 2, 5)
    local q, k, v = parts[1], parts[2], parts[3]
    if caches then k, v = remember(caches[self.layer], common.length, k, v) end
    local y
    if drops then
      common.forbidden = common.forbidden or either(transformer.forbidden(t, k:size(3)), hidden)
      y = weighted(q, k, v, {scale = self.scale, forbidden = common.forbidden,
        dropout = self.dropout})
    else
      y = core.scaled_dot_product_attention(q, k, v, hidden, causal, self.scale)
    end
    return y:transpose(2, 3):reshape(b, t, -1)
  end,
  extra = function(self) return ("%d heads"):format(self.heads) end,
})

-- ---- the block ----

--- The other part of a block: c_proj(f(c_fc(x))), x [B, T, features] -> the same shape.
---
--- Example:
---     print(equi.nn.mlp(8, 32)(equi.zeros(3, 5, 8)):size())   --> 3 5 8
---@param features integer
---@param inner integer
---@param opts? table {activation = "gelu_new", bias = true, dropout = 0, std = 0.02,
--- residual_std = 0.02}
transformer.mlp = classes.class("mlp", {
  new = function(self, features, inner, opts)
    opts = options.check("mlp", opts, {bias = true, dropout = 0, activation = "gelu_new",
      std = 0.02, residual_std = 0.02})
    arguments.choice("mlp", "activation", opts.activation, transformer.activations())
    self.activation, self.dropout = opts.activation, opts.dropout
    self.c_fc = transformer.affine(features, inner, {bias = opts.bias, std = opts.std})
    self.c_proj = transformer.affine(inner, features, {bias = opts.bias, std = opts.residual_std})
  end,
  forward = function(self, x)
    local y = self.c_proj(ACTIVATIONS[self.activation](self.c_fc(x)))
    return core.dropout(y, self.dropout, self.training)
  end,
  extra = function(self) return self.activation end,
})

--- One block of GPT-2: x [B, T, features] -> the same shape; what else it takes is as of
--- causal_attention.
---
--- Example:
---     local block = equi.nn.block(8, 2)
---     print(block:count(), block(equi.zeros(3, 5, 8)):size())   --> 872 3 5 8
---@param features integer
---@param heads integer
---@param opts? table {inner = 4 * features, activation = "gelu_new", bias = true, eps = 1e-5,
--- attention_dropout = 0, residual_dropout = 0, scale = nil, std = 0.02, residual_std = 0.02,
--- layer = 1}
transformer.block = classes.class("block", {
  new = function(self, features, heads, opts)
    local o = options.check("block", opts, {inner = options.any(), activation = "gelu_new",
      bias = true, eps = 1e-5, attention_dropout = 0, residual_dropout = 0, scale = options.any(),
      std = 0.02, residual_std = 0.02, layer = 1})
    self.ln_1 = basic.layer_norm(features, {eps = o.eps, bias = o.bias})
    self.attn = transformer.causal_attention(features, heads, {bias = o.bias,
      dropout = o.attention_dropout, residual_dropout = o.residual_dropout, scale = o.scale,
      std = o.std, residual_std = o.residual_std, layer = o.layer})
    self.ln_2 = basic.layer_norm(features, {eps = o.eps, bias = o.bias})
    self.mlp = transformer.mlp(features, o.inner or 4 * features, {bias = o.bias,
      dropout = o.residual_dropout, activation = o.activation, std = o.std,
      residual_std = o.residual_std})
  end,
  forward = function(self, x, common)
    x = x + self.attn(self.ln_1(x), common)
    return x + self.mlp(self.ln_2(x))
  end,
})

return transformer
