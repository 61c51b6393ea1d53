-- A small language model that speaks the protocol of models/gpt2.lua, and a tokenizer of whole
-- words with a space in front, as GPT-2's. Fast, deterministic, with weights that are formulas.
--   local toy = require "spec.support.toy_lm"
--   local model = toy.model {n_positions = 32}   -- h = tanh(h / 2 + E[token]), logits = h W
--   model.tokenizer:encode "The man worked"      -- 3 ids
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"

local toy = {}

local TOKENS = {"<|endoftext|>", "\n", ".", "The", "the", " the", "man", " man", "Man", "woman",
  " woman", "Woman", " men", " women", " he", " she", "he", "she", " his", " her", " him", " Black",
  " White", " gay", " straight", " Asian", " worked", " was", " as", " known", " for", " a",
  " nurse", " doctor", " and", " business", "sales", " sales", "An", " Christian", " Jewish",
  " Muslim", "\xE7", "\xBE", "\xA4", "Black", "White", " actor", " actress", " king", " queen",
  " prince", "ss", "s", " person", " people"}

local tokenizer = {}
tokenizer.__index = tokenizer
tokenizer.__len = function(self) return #self.tokens end

function toy.tokenizer(more)
  local self = setmetatable({tokens = {}, ids = {}, longest = 0, eot = 1}, tokenizer)
  for _, list in ipairs {TOKENS, more or {}} do
    for _, token in ipairs(list) do
      self.tokens[#self.tokens + 1] = token
      self.ids[token] = #self.tokens
      self.longest = math.max(self.longest, #token)
    end
  end
  return self
end

-- The longest token at every place.
function tokenizer:encode(text)
  local ids, at = {}, 1
  while at <= #text do
    local n = math.min(self.longest, #text - at + 1)
    while n > 0 and not self.ids[text:sub(at, at + n - 1)] do n = n - 1 end
    if n == 0 then error(("encode: no token at byte %d of %q"):format(at, text), 2) end
    ids[#ids + 1] = self.ids[text:sub(at, at + n - 1)]
    at = at + n
  end
  return ids
end

function tokenizer:decode(ids)
  local parts = {}
  if equi.is_tensor(ids) then ids = ids:totable() end
  for i, id in ipairs(ids) do parts[i] = self.tokens[id] end
  return table.concat(parts)
end

function tokenizer:token(id) return self.tokens[id] end
function tokenizer:id(token) return self.ids[token] end

local methods = {}

function methods:new(o)
  o = o or {}
  local V, D = o.vocab_size or #toy.tokenizer(), o.n_embd or 6
  self.E = oracle.data({V, D}, {dtype = o.dtype or "f32", seed = o.seed or 1})
  self.W = oracle.data({D, V}, {dtype = o.dtype or "f32", seed = (o.seed or 1) + 1}) * 2
  self.E:requires_grad_()
  self.W:requires_grad_()
  rawset(self, "config", {vocab_size = V, n_positions = o.n_positions})
  rawset(self, "tokenizer", o.tokenizer or V == #toy.tokenizer() and toy.tokenizer() or nil)
end

local function one(self, h, token, real)
  local new = (h * 0.5 + equi.embedding(token, self.E)):tanh()
  return real and equi.where(real:reshape(-1, 1), new, h) or new
end

local function column(x, t) return x:narrow(2, t, 1):reshape(-1) end

local function read(self, ids, opts, each)
  local b, mask = ids:size(1), opts and opts.mask
  if mask and mask:size(1) ~= b then mask = mask:tile({b // mask:size(1), 1}) end
  local h = equi.zeros({b, self.E:size(2)}, {dtype = self.E.dtype})
  for t = 1, ids:size(2) do
    h = one(self, h, column(ids, t), mask and column(mask, t))
    if each then each(h) end
  end
  return h
end

function methods:forward(ids, opts)
  local all = {}
  read(self, ids, opts, function(h) all[#all + 1] = h:matmul(self.W) end)
  return equi.stack(all, 2)
end

function methods:start(ids, opts)
  local o = equi.options.check("start", opts, {mask = equi.options.any(),
    capacity = equi.options.any()})
  return {h = read(self, ids, o)}
end

function methods:step(state, token)
  local h = one(self, state.h, token)
  return h:matmul(self.W), {h = h}
end

toy.model = equi.nn.class("toy_lm", methods)

return toy
