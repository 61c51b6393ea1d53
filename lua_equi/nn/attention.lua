--- Scaled dot-product attention and its multi-head module (Vaswani et al. 2017, equation 1):
--- softmax(q k^T / sqrt(D)) v.
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local basic = require "lua_equi.nn.basic"
local classes = require "lua_equi.nn.class"
local options = require "lua_equi.options"

local attention = {}

local function causal_mask(t, s) return core.ones(t, s):triu(s - t + 1):to("bool") end

-- As [B, H, T, D], which the op in C takes; nil for what it does not.
local function with_heads(x)
  if x.ndim == 4 then return x end
  return x.ndim == 3 and x:unsqueeze(2) or nil
end

local function same_batch(q, k)
  for d = 1, q.ndim - 2 do
    if q:size(d) ~= k:size(d) then return false end
  end
  return true
end

-- The result of scaled_dot_product_attention; nil where only ops can do it.
local function fused(q, k, v, opts)
  local mask = opts.mask
  local drops = opts.dropout > 0 and opts.training
  if drops or q.ndim ~= k.ndim or k.ndim ~= v.ndim or not with_heads(q) or not same_batch(q, k)
    or k:size(-1) ~= v:size(-1) or not same_batch(q, v) then return nil end
  if mask and mask.ndim > 2 then mask = with_heads(mask) end
  local y = core.scaled_dot_product_attention(with_heads(q), with_heads(k), with_heads(v), mask,
    opts.causal)
  return q.ndim == 3 and y:squeeze(2) or y
end

--- q [..., T, D], k and v [..., S, D] -> [..., T, D]. mask is true where attention is forbidden.
---
--- Without dropout, tensors of 3 or 4 dims go to equi.scaled_dot_product_attention, which keeps no
--- T x S weights; a query that sees nothing gets 0 there.
---
--- Example:
---     local x = equi.ones(1, 3, 4)
---     print(equi.nn.dot_product_attention(x, x, x, {causal = true}):size())   --> 1 3 4
---@param q any
---@param k any
---@param v any
---@param opts? table {causal = false, mask = nil, dropout = 0, training = false}
---@return any
function attention.dot_product_attention(q, k, v, opts)
  opts = options.check("dot_product_attention", opts,
    {causal = false, dropout = 0, training = false, mask = options.any()})
  local y = fused(q, k, v, opts)
  if y then return y end
  local scores = q:matmul(k:transpose()) / math.sqrt(q:size(-1))
  if opts.causal then scores = scores:masked_fill(causal_mask(q:size(-2), k:size(-2)),
    -math.huge) end
  if opts.mask then scores = scores:masked_fill(opts.mask, -math.huge) end
  local weights = core.dropout(scores:softmax(-1), opts.dropout, opts.training)
  return weights:matmul(v)
end

local function check_input(x, name, features)
  if not core.is_tensor(x) or x.ndim ~= 3 or x:size(3) ~= features then
    error(("attention: %s must be B x T x %d, got %s"):format(name, features,
      arguments.shown(x)), 0)
  end
end

--- Attention with several heads: x [B, T, D] -> [B, T, D]; a second tensor is attended to instead.
---
--- Example:
---     local layer = equi.nn.attention(8, 2)
---     print(layer(equi.zeros(3, 5, 8)):size())   --> 3 5 8
---@param features integer
---@param heads integer
---@param opts? table {bias = true, causal = false, dropout = 0}
attention.attention = classes.class("attention", {
  new = function(self, features, heads, opts)
    opts = options.check("attention", opts, {bias = true, causal = false, dropout = 0})
    arguments.whole("attention", "features", features)
    arguments.whole("attention", "heads", heads)
    arguments.number("attention", "dropout", opts.dropout, 0, 1)
    if features % heads ~= 0 then
      error(("attention: %d features do not divide into %d heads"):format(features, heads), 3)
    end
    self.features = features
    self.heads, self.causal, self.dropout = heads, opts.causal, opts.dropout
    for _, name in ipairs {"q_proj", "k_proj", "v_proj", "out_proj"} do
      self[name] = basic.linear(features, features, {bias = opts.bias})
    end
  end,
  forward = function(self, x, memory, mask)
    local function split(y) return y:reshape(y:size(1), y:size(2), self.heads, -1):transpose(2,
      3) end
    memory = memory or x
    check_input(x, "x", self.features)
    check_input(memory, "memory", self.features)
    local y = attention.dot_product_attention(
      split(self.q_proj(x)), split(self.k_proj(memory)), split(self.v_proj(memory)),
      {causal = self.causal, mask = mask, dropout = self.dropout, training = self.training})
    return self.out_proj(y:transpose(2, 3):reshape(x:size(1), x:size(2), -1))
  end,
})

return attention
