--- Scaled dot-product attention and its multi-head module (Vaswani et al. 2017, equation 1):
--- softmax(q k^T / sqrt(D)) v.
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local basic = require "lua_equi.nn.basic"
local classes = require "lua_equi.nn.class"
local options = require "lua_equi.options"

local attention = {}

local function causal_mask(t, s) return core.ones(t, s):triu(s - t + 1):to("bool") end

--- q [..., T, D], k and v [..., S, D] -> [..., T, D]. mask is true where attention is forbidden.
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
