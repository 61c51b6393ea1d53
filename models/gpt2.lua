--- GPT-2 (Radford, Wu, Child, Luan, Amodei and Sutskever, "Language models are unsupervised
--- multitask learners", 2019): decoder-only transformers of any size, with the files of Hugging
--- Face, nanoGPT and minGPT.
--
--     x = wte[ids] + wpe[1 .. T]      n_layer times x = block(x)      logits = ln_f(x) wte'
--
-- Parameter names are Hugging Face's without the prefix `transformer.`; the blocks are those of
-- lua_equi/nn/transformer.lua. Ids count from 1: GPT-2's published id n is n + 1 here, row n + 1 of
-- wte; so are columns of logits. Token ids in m.config (eos_token_id) stay as in the file.
-- Shapes: B batch, T tokens, V words, H heads, D features of one head.
local arguments = require "lua_equi.arguments"
local equi = require "lua_equi"
local gpt2_config = require "lua_equi.formats.gpt2_config"
local gpt2_files = require "lua_equi.formats.gpt2_files"
local hugging_face = require "lua_equi.formats.hugging_face"
local json = require "lua_equi.json"
local options = require "lua_equi.options"
local step = require "lua_equi.nn.step"

local nn = equi.nn
local initialise = nn.initialise
-- Weights that come with the models are folders beside this file.
local SHIPPED = ((select(2, ...) or ""):match "^(.*[/\\])" or "") .. "weights/gpt2-"

-- ---- building ----

local function build(self, c)
  local std = c.initializer_range
  self.wte = initialise.without(nn.embedding, c.vocab_size, c.n_embd)
  self.wpe = initialise.without(nn.embedding, c.n_positions, c.n_embd)
  initialise.normal(self.wte.weight, 0, std)
  initialise.normal(self.wpe.weight, 0, std)
  self.h = {}
  for i = 1, c.n_layer do
    local scale = c.scale_attn_weights and math.sqrt(c.n_head / c.n_embd) or 1.0
    if c.scale_attn_by_inverse_layer_idx then scale = scale / i end
    self.h[i] = nn.block(c.n_embd, c.n_head, {inner = c.n_inner, bias = c.bias,
      activation = c.activation_function, eps = c.layer_norm_epsilon, scale = scale,
      attention_dropout = c.attn_pdrop, residual_dropout = c.resid_pdrop, std = std,
      residual_std = std / math.sqrt(2 * c.n_layer), layer = i})
  end
  self.ln_f = nn.layer_norm(c.n_embd, {eps = c.layer_norm_epsilon, bias = c.bias})
  if not c.tie_word_embeddings then
    self.lm_head = initialise.without(nn.linear, c.n_embd, c.vocab_size, {bias = false})
    initialise.normal(self.lm_head.weight, 0, std)
  end
end

-- The tokenizer in a folder, which is read when it is first used: that takes longer than all else.
local function lazy_tokenizer(folder)
  local read
  local function real()
    read = read or equi.data.bpe.load(folder)
    return read
  end
  return setmetatable({}, {__children = false, __name = "bpe",
    __len = function() return #real() end,
    __tostring = function() return tostring(real()) end,
    __index = function(_, name)
      local value = real()[name]
      if type(value) ~= "function" then return value end
      return function(_, ...) return value(real(), ...) end
    end})
end

local function make(self, o)
  local c, state, folder = gpt2_config.resolve(o, SHIPPED)
  self.config = setmetatable(c, {__children = false}) -- no part to walk through
  if folder and hugging_face.has_tokenizer(folder) then self.tokenizer = lazy_tokenizer(folder) end
  if not state then return build(self, c) end
  initialise.hollow(build, self, c)
  self:adopt(state):eval()
end

-- file_prefix: of names in files. compresses: what equi.compress takes besides the layers.
local methods = {file_prefix = "transformer.", compresses = {wte = true}}

function methods:new(o)
  local given = options.check("gpt2", o, gpt2_config.options)
  local state = given.seed and equi.rng_state()
  if given.seed then equi.seed(given.seed) end
  local ok, problem = pcall(make, self, given)
  if state then equi.rng_state(state) end
  if not ok then error(problem, 3) end
  self.recompute = given.recompute
end

-- ---- calling ----

local function shape_of(x) return x.ndim == 0 and "a number" or table.concat(x.shape, " x ") end

-- What is wrong with ids that stand behind `length` others; nil when they can be read.
local function wrong_ids(self, ids, length, least)
  local c = self.config
  if not equi.is_tensor(ids) then
    return ("ids must be a tensor i64 [B, T], got %s"):format(arguments.shown(ids))
  end
  if ids.dtype ~= "i64" or ids.ndim ~= 2 then
    return ("ids must be i64 [B, T], got %s %s"):format(ids.dtype, shape_of(ids))
  end
  local t = ids:size(2)
  if t < least then return "ids are empty: a sequence begins with at least one token" end
  if length + t > c.n_positions then
    return ("%d token%s%s do%s not fit into n_positions = %d; %s"):format(t, t == 1 and "" or "s",
      length > 0 and (" behind %d"):format(length) or "", t == 1 and "es" or "", c.n_positions,
      length > 0 and "start again with the last of them" or "give the last of them")
  end
  if ids:numel() == 0 then return nil end
  local low, high = ids:min():item(), ids:max():item()
  if low < 1 or high > c.vocab_size then
    return ("id %d is outside 1 to %d, the vocabulary (ids count from 1 here, from 0 in the files "
      .. "of tokenizers)"):format(low < 1 and low or high, c.vocab_size)
  end
end

-- What is wrong with a mask for ids [b, t].
local function wrong_mask(mask, b, t)
  if mask == nil then return nil end
  local ok = equi.is_tensor(mask) and mask.dtype == "bool" and mask.ndim == 2 and
    mask:size(2) == t and mask:size(1) > 0 and b % mask:size(1) == 0
  if ok then return nil end
  return ("mask must be bool %d x %d, true for real tokens, got %s"):format(b, t,
    arguments.shown(mask))
end

-- An orbit stacks its elements on the batch: a mask of the batch holds for each of them.
local function fit_mask(mask, b)
  if not mask or mask:size(1) == b then return mask end
  return mask:tile({b // mask:size(1), 1})
end

-- ids [B, T] behind `length` places, of which `count` [B, 1] are real -> x [B, T, features], and
-- how many are real then.
local function embed(self, ids, length, mask, count)
  local x = self.wte(ids)
  if not mask then return x + self.wpe.weight:narrow(1, length + 1, ids:size(2)) end
  local place = mask:to("i64"):cumsum(2)
  if count then place = place + count end
  return x + self.wpe(place:clamp(1)), place
end

local function run_blocks(self, x, common)
  local recompute = self.recompute and self.training and not common.caches and equi.grad_enabled()
  for _, block in ipairs(self.h) do
    if recompute then x = nn.recompute(block, x, common) else x = block(x, common) end
  end
  return x
end

local function output(self, x)
  local head = self.lm_head or self.wte
  x = self.ln_f(x)
  return head.project and head:project(x) or equi.linear(x, head.weight)
end

--- The logits of every next token, all places at once: m(ids).
---@param ids any [B, T], T from 1 to n_positions
---@param opts? table {mask = bool [B, T], true for real tokens; padding is seen by none, and
--- positions count real tokens only}
---@return any logits [B, T, V]
function methods:forward(ids, opts)
  local o = options.check("gpt2", opts, {mask = options.any()})
  local problem = wrong_ids(self, ids, 0, 1) or wrong_mask(o.mask, ids:size())
  if problem then error("gpt2: " .. problem, 0) end
  local b, t = ids:size()
  local mask = fit_mask(o.mask, b)
  local x = equi.dropout(embed(self, ids, 0, mask), self.config.embd_pdrop, self.training)
  return output(self, run_blocks(self, x, {padding = nn.forbidden(1, t, mask)}))
end

-- ---- step by step ----

local function new_caches(self, b, capacity)
  local c, caches = self.config, {}
  local sizes = {b, c.n_head, capacity, c.n_embd // c.n_head}
  local like = {dtype = self.ln_f.weight.dtype}
  for i = 1, c.n_layer do caches[i] = {k = equi.zeros(sizes, like), v = equi.zeros(sizes, like)} end
  return caches
end

-- Room for `wanted` places: doubled, up to n_positions.
local function make_room(self, state, wanted)
  if wanted <= state.capacity then return end
  local capacity = math.min(math.max(wanted, 2 * state.capacity), self.config.n_positions)
  local like = {dtype = self.ln_f.weight.dtype}
  for _, cache in ipairs(state.caches) do
    for _, part in ipairs {"k", "v"} do
      local old = cache[part]
      local b, h, _, d = old:size()
      cache[part] = equi.zeros({b, h, capacity, d}, like)
      cache[part]:narrow(3, 1, state.length):copy_(old:narrow(3, 1, state.length))
    end
  end
  state.capacity = capacity
end

-- Makes room for ids [B, T] behind what the state holds -> x [B, T, features].
local function enter(self, state, ids, mask)
  local t, length = ids:size(2), state.length
  make_room(self, state, length + t)
  if not mask and state.mask then mask = equi.ones(state.batch, t):to("bool") end
  local x, count = embed(self, ids, length, mask, state.count)
  if mask then
    state.count = count:narrow(2, t, 1)
    state.mask = state.mask and equi.cat({state.mask, mask}, 2) or mask
  end
  return x
end

local function grow(self, state, t)
  state.length = state.length + t
  state.left = self.config.n_positions - state.length
end

-- Runs ids [B, T] behind what the state holds, which then holds them too.
local function extend(self, state, ids, mask)
  local x, t = enter(self, state, ids, mask), ids:size(2)
  x = run_blocks(self, x, {caches = state.caches, length = state.length,
    padding = nn.forbidden(1, state.length + t, state.mask)})
  grow(self, state, t)
  return x
end

-- f(self, ...) without recording and without dropout.
local function generating(self, f, ...)
  if self.training then return nn.evaluating(self, equi.no_grad, f, self, ...) end
  return equi.no_grad(f, self, ...)
end

--- Takes prompts: the state that generation goes on from. Of a prompt of T tokens, start takes the
--- first T - 1 and step the last, whose logits are those of the first new token. They are computed
--- together, in that first step.
---
--- Nothing is recorded and no dropout happens. state.length is the number of places taken and
--- state.left how many of n_positions are left.
---
--- Example:
---     local m = equi.models.gpt2 {n_layer = 1, n_head = 2, n_embd = 8, vocab_size = 11, seed = 1}
---     local state = m:start(equi.tensor({{3, 4}}, {dtype = "i64"}))
---     print(state.length, state.left)   --> 2 1022
---@param ids any [B, T]; T may be 0
---@param opts? table {mask = bool [B, T], true for real tokens, padding left of them, as
--- tokenizer:batch(texts, {side = "left"}) gives it; capacity =
--- places to make room for at once, default grows as needed}
---@return table state
function methods:start(ids, opts)
  local o = options.check("start", opts, {mask = options.any(), capacity = options.any()})
  local problem = wrong_ids(self, ids, 0, 0) or wrong_mask(o.mask, ids:size())
  if problem then error("start: " .. problem, 2) end
  local b, t = ids:size()
  local most = self.config.n_positions
  if o.capacity ~= nil then
    arguments.whole("start", "capacity", o.capacity)
    if o.capacity > most then
      error(("start: capacity is %d, n_positions only %d"):format(o.capacity, most), 2)
    end
  end
  local capacity = math.min(most, math.max(t, o.capacity or t + 64, 1))
  local state = {batch = b, length = t, left = most - t, capacity = capacity,
    caches = new_caches(self, b, capacity)}
  if t > 0 then state.waiting, state.waiting_mask = ids:clone(), fit_mask(o.mask, b) end
  return state
end

-- The prompt that waits and the token behind it together: the weights are read once for all.
local function read_prompt(self, state, token)
  local ids, mask, batch = equi.cat({state.waiting, token}, 2), state.waiting_mask, state.batch
  if mask then mask = equi.cat({mask, equi.ones(batch, 1):to("bool")}, 2) end
  state.waiting, state.waiting_mask, state.length = nil, nil, 0
  local x = extend(self, state, ids, mask)
  return output(self, x:narrow(2, ids:size(2), 1):reshape(batch, -1))
end

-- Logits [B, V] of the token after `token`: all blocks in one op, where it can.
local function decode(self, state, token)
  local ids, batch = token:reshape(-1, 1), state.batch
  if state.waiting then return read_prompt(self, state, ids) end
  if state.fused == nil then
    state.fused = batch <= step.MOST and step.of(self.h, self.ln_f, self.lm_head or self.wte)
      or false
  end
  if not state.fused then return output(self, extend(self, state, ids):reshape(batch, -1)) end
  local x = enter(self, state, ids):reshape(batch, -1)
  local logits = step.run(state.fused, x, state.caches, state.length, state.mask)
  grow(self, state, 1)
  return logits
end

--- One more token for every row: its place in the cache is taken, the logits of the next returned.
---@param state table from start or step; it is used up, the one returned takes its place
---@param token any ids [B]
---@return any logits [B, V]
---@return table state
--- Example:
---     local m = equi.models.gpt2 {n_layer = 1, n_head = 2, n_embd = 8, vocab_size = 11, seed = 1}
---     local state = m:start(equi.tensor({{3, 4}}, {dtype = "i64"}))
---     local logits
---     logits, state = m:step(state, equi.tensor({5}, {dtype = "i64"}))
---     print(state.length, logits:size())   --> 3 1 11
function methods:step(state, token)
  if type(state) ~= "table" or not state.batch then
    error(("step: state must be from start or step, got %s"):format(arguments.shown(state)), 2)
  end
  if not state.caches then
    error("step: this state was used up by another step; go on from the one which that returned",
      2)
  end
  if not equi.is_tensor(token) or token.ndim ~= 1 or token:size(1) ~= state.batch then
    error(("step: token must be i64 [%d], got %s"):format(state.batch, arguments.shown(token)), 2)
  end
  local problem = wrong_ids(self, token:reshape(-1, 1), state.length, 1)
  if problem then error("step: " .. problem, 2) end
  local new = {}
  for k, v in pairs(state) do new[k] = v end
  state.caches = nil
  return generating(self, decode, new, token), new
end

-- ---- saving ----

-- What is written for a configuration: Hugging Face's fields only.
local function settings_of(c)
  local settings = {model_type = "gpt2", architectures = json.array {"GPT2LMHeadModel"},
    n_ctx = c.n_positions}
  for field, value in pairs(c) do settings[field] = value end
  settings.bias = nil
  return settings
end

-- Biases that a model does without are zeros in other programs' GPT-2.
local function tensors_of(self)
  local state, c = {}, {}
  for k, v in pairs(self.config) do c[k] = v end
  c.bias = true
  local own, like = self:state_dict(), {dtype = self.wte.weight.dtype}
  for name, shape in pairs(gpt2_files.shapes(c)) do
    local full = name == "lm_head.weight" and name or self.file_prefix .. name
    state[full] = own[name] or equi.zeros(shape.sizes, like)
    own[name] = nil
  end
  return state, next(own)
end

--- Writes a folder that Hugging Face's GPT2LMHeadModel loads, and equi.models.gpt2 {folder = ...}:
--- config.json, model.safetensors and, where m.tokenizer is set, its files.
---
--- Example:
---     local m = equi.models.gpt2 {n_layer = 1, n_head = 2, n_embd = 8, vocab_size = 11}
---     local folder = os.tmpname() .. "-gpt2"
---     m:save(folder)
---     print(equi.models.gpt2 {folder = folder}:count())   --> 9168
---     os.execute("rm -r " .. folder)
---@param folder string made if it is not there
---@param opts? table {as = nil; "f16" or "bf16" take half of the bytes}
function methods:save(folder, opts)
  local o = options.check("save", opts, {as = options.any()})
  if type(folder) ~= "string" or folder == "" or folder:find("\0", 1, true) then
    error(("save: folder must be a path, got %s"):format(arguments.shown(folder)), 2)
  end
  local tensors, extra = tensors_of(self)
  if extra then
    error(("save: %s is no parameter of GPT-2; adapters are saved by adapter:save, or become a "
      .. "part of the weights by adapter:merge():remove()"):format(extra), 2)
  end
  local ok, problem = hugging_face.make_folder(folder)
  local path = folder .. "/model.safetensors"
  if ok then ok, problem = equi.safetensors.write(path, tensors, nil, o) end
  if ok then
    local text = json.encode(settings_of(self.config), {indent = 2}) .. "\n"
    ok, problem = equi.core.write_file_atomic(folder .. "/config.json", {text})
  end
  if not ok then error("save: " .. problem, 2) end
  if self.tokenizer and self.tokenizer.save then self.tokenizer:save(folder) end
end

--- Makes GPT-2: equi.models.gpt2 {size = "small"}, {folder = path}, {weights = path}, or fields by
--- their names in config.json.
---
--- folder is a Hugging Face folder: config.json, weights (model.safetensors, pytorch_model.bin, or
--- either in several files) and perhaps a tokenizer, which is m.tokenizer then. weights is a file
--- of Hugging Face's, nanoGPT's (ckpt.pt) or minGPT's, a folder, a table of tensors, or the name of
--- weights that come with the models. What the files do not say is given as fields: minGPT's need
--- n_head, nanoGPT's from before June 2023 activation_function = "gelu_new" (newer ones compute
--- "gelu"). Weights of safetensors are mapped, not copied. A model with weights is in evaluation
--- mode, as every pretrained one; m:train() switches dropout on.
---
--- bias = false leaves all biases out, as nanoGPT can; recompute = true trains with less memory
--- (nn.recompute for every block).
---
--- Example:
---     local small = equi.nn.initialise.hollow(equi.models.gpt2, {size = "small"})
---     print(small:count())   --> 124439808
---@param o? table {size = nil or "small", "medium", "large", "xl"; folder, weights = nil; seed =
--- nil; strict = true: refuse weights that no parameter takes; recompute = false; vocab_size =
--- 50257, n_positions = 1024, n_layer = 12, n_head = 12, n_embd = 768, n_inner = 4 n_embd,
--- activation_function = "gelu_new", resid_pdrop, embd_pdrop, attn_pdrop = 0.1, layer_norm_epsilon
--- = 1e-5, initializer_range = 0.02, scale_attn_weights = true, scale_attn_by_inverse_layer_idx =
--- false, tie_word_embeddings = true, bias = true, bos_token_id, eos_token_id = 50256}
return nn.class("gpt2", methods)
