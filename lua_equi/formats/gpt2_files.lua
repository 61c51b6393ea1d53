--- GPT-2's parameters under the names and in the layouts that programs write them.
--
-- Hugging Face's names, without a prefix, are the ones we keep: wte.weight, h.0.attn.c_attn.weight
-- [in, out] ... nanoGPT and minGPT have the same names behind "transformer.", weights [out, in],
-- and buffers of masks. Which layout a file has follows from c_attn, whose weight is three times as
-- wide one way. NOT a reader of files: that is lua_equi/weights.lua.
local core = require "lua_equi.core"

local gpt2_files = {}

local PREFIXES = {"_orig_mod.", "module.", "transformer."} -- of torch.compile, DataParallel, models
local TURNED = {"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"}

local function plain_name(name)
  local found = true
  while found do
    found = false
    for _, prefix in ipairs(PREFIXES) do
      if name:sub(1, #prefix) == prefix then name, found = name:sub(#prefix + 1), true end
    end
  end
  return name
end

local function is_mask(name)
  return name:find "^h%.%d+%.attn%.bias$" or name:find "^h%.%d+%.attn%.masked_bias$"
end

--- The parameters under our names, without the buffers that hold masks; nil and a message when two
--- would have one name or one is no tensor of floats.
---@param tensors table
---@return table?
---@return string? message
function gpt2_files.named(tensors)
  local state = {}
  for name, x in pairs(tensors) do
    local own = plain_name(tostring(name))
    if not is_mask(own) then
      if state[own] then return nil, ("two tensors are called %s"):format(own) end
      if not core.is_tensor(x) then
        return nil, ("%s is a %s, not a tensor"):format(tostring(name), type(x))
      end
      if x.dtype ~= "f32" and x.dtype ~= "f64" then
        return nil, ("%s is %s; parameters are f32 or f64"):format(name, x.dtype)
      end
      state[own] = x
    end
  end
  return state
end

--- How many blocks there are: different numbers behind "h.".
---@param state table
---@return integer
function gpt2_files.layers(state)
  local seen, count = {}, 0
  for name in pairs(state) do
    local layer = name:match "^h%.(%d+)%."
    if layer and not seen[layer] then seen[layer], count = true, count + 1 end
  end
  return count
end

local function size(state, name, dim)
  local x = state[name]
  return x and x.ndim == 2 and x:size(dim) or nil
end

--- Turns the weights of linear layers, [out, in], to [in, out]: as views, nothing is copied.
---@param state table changed
---@return boolean turned whether they were [out, in]
function gpt2_files.turn(state)
  local name = "h.0.attn.c_attn.weight"
  local rows, columns = size(state, name, 1), size(state, name, 2)
  if not rows or rows ~= 3 * columns then return false end
  for i = 0, gpt2_files.layers(state) - 1 do
    for _, part in ipairs(TURNED) do
      local full = ("h.%d.%s.weight"):format(i, part)
      if state[full] and state[full].ndim == 2 then state[full] = state[full]:t() end
    end
  end
  return true
end

--- The fields of a configuration that the shapes tell, n_head is not among them.
---@param state table turned
---@return table
function gpt2_files.fields(state)
  return {vocab_size = size(state, "wte.weight", 1), n_embd = size(state, "wte.weight", 2),
    n_positions = size(state, "wpe.weight", 1), n_layer = gpt2_files.layers(state),
    n_inner = size(state, "h.0.mlp.c_fc.weight", 2), bias = state["h.0.attn.c_attn.bias"] ~= nil}
end

--- nanoGPT's model_args as fields of a configuration. It computes gelu by the error function since
--- June 2023 and used the tanh form before; checkpoints do not tell. Those without the option
--- `bias` are older, the others are taken for newer; activation_function says otherwise.
---@param args table
---@return table
function gpt2_files.from_model_args(args)
  local old = args.bias == nil
  return {n_head = args.n_head, n_embd = args.n_embd, n_layer = args.n_layer, bias = args.bias,
    n_positions = args.block_size, vocab_size = args.vocab_size, embd_pdrop = args.dropout,
    attn_pdrop = args.dropout, resid_pdrop = args.dropout,
    activation_function = old and "gelu_new" or "gelu"}
end

-- ---- what a configuration asks for ----

local function block_shapes(c, add, i)
  local d, inner = c.n_embd, c.n_inner or 4 * c.n_embd
  local function name(part) return ("h.%d.%s"):format(i, part) end
  local wide = c.n_inner and {"n_embd", "n_inner"} or {"n_embd"}
  add(name "ln_1.weight", {d}, {"n_embd"})
  add(name "attn.c_attn.weight", {d, 3 * d}, {"n_embd"})
  add(name "attn.c_proj.weight", {d, d}, {"n_embd"})
  add(name "ln_2.weight", {d}, {"n_embd"})
  add(name "mlp.c_fc.weight", {d, inner}, wide)
  add(name "mlp.c_proj.weight", {inner, d}, wide)
  if not c.bias then return end
  for part, n in pairs {["ln_1"] = d, ["attn.c_attn"] = 3 * d, ["attn.c_proj"] = d, ln_2 = d,
    ["mlp.c_proj"] = d} do
    add(name(part .. ".bias"), {n}, {"n_embd"})
  end
  add(name "mlp.c_fc.bias", {inner}, wide)
end

--- Every parameter of a configuration: by name its sizes and the fields that they follow from.
---@param c table n_layer, n_embd, ...
---@return table<string, {sizes: integer[], fields: string[]}>
function gpt2_files.shapes(c)
  local shapes = {}
  local function add(name, sizes, fields) shapes[name] = {sizes = sizes, fields = fields} end
  add("wte.weight", {c.vocab_size, c.n_embd}, {"vocab_size", "n_embd"})
  add("wpe.weight", {c.n_positions, c.n_embd}, {"n_positions", "n_embd"})
  for i = 0, c.n_layer - 1 do block_shapes(c, add, i) end
  add("ln_f.weight", {c.n_embd}, {"n_embd"})
  if c.bias then add("ln_f.bias", {c.n_embd}, {"n_embd"}) end
  if not c.tie_word_embeddings then
    add("lm_head.weight", {c.vocab_size, c.n_embd}, {"vocab_size", "n_embd"})
  end
  return shapes
end

local function in_words(c, fields, from)
  local words = {}
  for i, field in ipairs(fields) do
    words[i] = ("%s = %d of %s"):format(field, c[field], from[field] or "the defaults")
  end
  return table.concat(words, " and ")
end

local function sorted(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function some(names)
  local n = #names
  return table.concat(names, ", ", 1, math.min(n, 4)) .. (n > 4 and (" and %d more"):format(n - 4)
    or "")
end

--- What keeps weights from being those of a configuration; nil when all fits.
---@param state table turned
---@param c table
---@param from table field -> where its value is from
---@param strict boolean whether tensors that are not used count
---@return string?
function gpt2_files.contradiction(state, c, from, strict)
  local layers = gpt2_files.layers(state)
  if layers ~= c.n_layer then
    return ("there are %d blocks, but %s"):format(layers, in_words(c, {"n_layer"}, from))
  end
  local shapes, missing, unknown = gpt2_files.shapes(c), {}, {}
  for _, name in ipairs(sorted(shapes)) do
    local x, want = state[name], shapes[name]
    if not x then
      missing[#missing + 1] = name
    elseif table.concat(x.shape, " x ") ~= table.concat(want.sizes, " x ") then
      return ("%s is %s, but %s make%s it %s"):format(name, table.concat(x.shape, " x "),
        in_words(c, want.fields, from), #want.fields == 1 and "s" or "",
        table.concat(want.sizes, " x "))
    end
  end
  if #missing > 0 then return some(missing) .. (#missing == 1 and " is" or " are") .. " missing" end
  for _, name in ipairs(sorted(state)) do
    if not shapes[name] and name ~= "lm_head.weight" then unknown[#unknown + 1] = name end
  end
  if strict and #unknown > 0 then
    return some(unknown) .. (#unknown == 1 and " is no parameter" or " are no parameters")
      .. " of GPT-2; strict = false leaves such tensors out"
  end
end

return gpt2_files
