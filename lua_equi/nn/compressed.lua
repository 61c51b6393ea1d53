--- Layers whose matrices are kept in fewer bytes (core/ops/compressed.c): what equi.compress puts
--- in the place of linear, affine and embedding. For inference only.
local classes = require "lua_equi.nn.class"
local core = require "lua_equi.core"

local compressed = {}

-- The matrix w, out x in, as tensors of self.
local function keep(self, w, as)
  self.weight, self.scale = core.compress_weights(w:detach(), as)
  self.kept_as, self.inputs = as, w:size(2)
  if self.scale:numel() == 0 then self.scale = nil end
end

local BUFFERS = {weight = true, scale = true, bias = true}

local linear = classes.class("compressed_linear", {
  buffers = BUFFERS,
  new = function(self, w, bias, as)
    keep(self, w, as)
    self.bias = bias and bias:detach()
  end,
  forward = function(self, x)
    return core.compressed_linear(x, self.weight, self.scale, self.bias)
  end,
  project = function(self, x) return self(x) end, -- as a head
  extra = function(self)
    return ("%d, %d, %s"):format(self.inputs, self.weight:size(1), self.kept_as)
  end,
})

local embedding = classes.class("compressed_embedding", {
  buffers = BUFFERS,
  new = function(self, w, as) keep(self, w, as) end,
  forward = function(self, ids)
    return core.compressed_rows(ids, self.weight, self.scale, self.inputs)
  end,
  -- x times the transposed table: a head that is tied to it.
  project = function(self, x) return core.compressed_linear(x, self.weight, self.scale) end,
  extra = function(self)
    return ("%d, %d, %s"):format(self.weight:size(1), self.inputs, self.kept_as)
  end,
})

local function class_of(m)
  return type(m) == "table" and m.class_name and m:class_name() or nil
end

-- The layer that takes the place of m, or nil.
function compressed.of(m, as, embeddings)
  local class = class_of(m)
  local made
  if class == "linear" then made = linear(m.weight, m.bias, as)
  elseif class == "affine" then made = linear(m.weight:detach():transpose(), m.bias, as)
  elseif class == "embedding" and embeddings then made = embedding(m.weight, as) end
  if made then made.training = m.training end
  return made
end

return compressed
