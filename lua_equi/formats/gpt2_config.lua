--- What model the options of equi.models.gpt2 mean: its configuration and its weights.
--
-- A field is a default, or of a size (small ...), of config.json or of what a checkpoint says of
-- itself, or of the options, the later one counts; `from` remembers where each value came from, for
-- messages. Files are untrusted: every field is checked before anything is made of it, and the
-- shapes of all weights against the fields. Messages are raised without a line, "gpt2: ...".
local arguments = require "lua_equi.arguments"
local gpt2_files = require "lua_equi.formats.gpt2_files"
local hugging_face = require "lua_equi.formats.hugging_face"
local options = require "lua_equi.options"
local transformer = require "lua_equi.nn.transformer"
local weights = require "lua_equi.weights"

local gpt2_config = {}

local SIZES = {
  small = {n_layer = 12, n_head = 12, n_embd = 768},
  medium = {n_layer = 24, n_head = 16, n_embd = 1024},
  large = {n_layer = 36, n_head = 20, n_embd = 1280},
  xl = {n_layer = 48, n_head = 25, n_embd = 1600},
}
local DEFAULTS = {vocab_size = 50257, n_positions = 1024, n_layer = 12, n_head = 12, n_embd = 768,
  activation_function = "gelu_new", resid_pdrop = 0.1, embd_pdrop = 0.1, attn_pdrop = 0.1,
  layer_norm_epsilon = 1e-5, initializer_range = 0.02, scale_attn_weights = true,
  scale_attn_by_inverse_layer_idx = false, tie_word_embeddings = true, bias = true,
  bos_token_id = 50256, eos_token_id = 50256}
local WHOLE = {"vocab_size", "n_positions", "n_layer", "n_head", "n_embd", "n_inner"}
local SWITCHES = {"scale_attn_weights", "scale_attn_by_inverse_layer_idx", "tie_word_embeddings",
  "bias"}
local CHANCES = {"resid_pdrop", "embd_pdrop", "attn_pdrop"}
local MOST = (1 << 31) - 1
local ROWS = 4096 -- compared at once

--- The options of equi.models.gpt2.
gpt2_config.options = {n_inner = options.any(), size = options.any(), folder = options.any(),
  weights = options.any(), seed = options.any(), recompute = false, strict = true}
for field in pairs(DEFAULTS) do gpt2_config.options[field] = options.any() end

-- Puts the fields of `more` over those of c, and says where they are from.
local function overlay(c, from, more, source)
  for field, value in pairs(more) do c[field], from[field] = value, source end
end

local function overlay_size(c, from, o)
  if o.size == nil then return end
  arguments.choice("gpt2", "size", o.size, {"small", "medium", "large", "xl"})
  overlay(c, from, SIZES[o.size], ("size %q"):format(o.size))
end

local function overlay_options(c, from, o)
  for field in pairs(DEFAULTS) do
    if o[field] ~= nil then overlay(c, from, {[field] = o[field]}, "the options") end
  end
  if o.n_inner ~= nil then overlay(c, from, {n_inner = o.n_inner}, "the options") end
end

local function refuse(format, ...) error("gpt2: " .. format:format(...), 0) end

local function check_field(c, from, field, ok, wanted)
  if ok then return end
  refuse("%s%s must be %s, got %s", field, from[field] and " of " .. from[field] or "", wanted,
    arguments.shown(c[field]))
end

local function check_config(c, from)
  for _, field in ipairs(WHOLE) do
    local v = c[field]
    local ok = math.type(v) == "integer" and v >= 1 and v <= MOST
    check_field(c, from, field, ok or v == nil and field == "n_inner",
      "a whole number of at least 1")
  end
  for _, field in ipairs(SWITCHES) do
    check_field(c, from, field, type(c[field]) == "boolean", "true or false")
  end
  for _, field in ipairs(CHANCES) do
    local v = c[field]
    check_field(c, from, field, type(v) == "number" and v >= 0 and v < 1,
      "a number of at least 0 and below 1")
  end
  for _, field in ipairs {"layer_norm_epsilon", "initializer_range"} do
    local v = c[field]
    check_field(c, from, field, type(v) == "number" and v >= 0 and v < math.huge,
      "a number of at least 0")
  end
  local names, known = transformer.activations(), false
  for _, name in ipairs(names) do known = known or name == c.activation_function end
  check_field(c, from, "activation_function", known, "one of " .. table.concat(names, ", "))
  if c.add_cross_attention then
    refuse("add_cross_attention%s: an encoder's output is nothing that this model attends to",
      from.add_cross_attention and " of " .. from.add_cross_attention or "")
  end
  if c.n_embd % c.n_head ~= 0 then
    refuse("n_embd = %d does not divide into n_head = %d heads", c.n_embd, c.n_head)
  end
end

-- ---- weights ----

-- The folder or file that `weights` means; a plain name is that of weights that come with the
-- models.
local function weights_path(name, shipped)
  if name:find "[/\\.]" then return name end
  local path = shipped .. name:gsub("^gpt2%-", "")
  if hugging_face.is_folder(path) then return path end
  refuse('no weights "%s" come with the models; give the path of a file or folder', name)
end

local function read_tensors(path)
  local tensors, info = weights.read(path)
  if not tensors then refuse("%s", info) end
  return tensors, info
end

local function is_same(x, y)
  if x:shares_storage(y) then return true end
  if table.concat(x.shape, " ") ~= table.concat(y.shape, " ") or x.ndim ~= 2 then return false end
  for from = 1, x:size(1), ROWS do
    local rows = math.min(ROWS, x:size(1) - from + 1)
    local a, b = x:narrow(1, from, rows):detach(), y:narrow(1, from, rows):detach()
    if not a:to(b.dtype):eq(b):all():item() then return false end
  end
  return true
end

-- An output layer of its own may lie in the file and still be wte. What a configuration says of it
-- counts, by default that it is wte; a file without a configuration speaks for itself.
local function check_head(state, c, from, path, has_config)
  local head, wte = state["lm_head.weight"], state["wte.weight"]
  local says = has_config or from.tie_word_embeddings
  if not says then c.tie_word_embeddings = not head or not wte or is_same(head, wte) end
  if not says or not c.tie_word_embeddings or not head or not wte or is_same(head, wte) then
    return
  end
  refuse("%s: lm_head.weight differs from wte.weight, but tie_word_embeddings of %s says that they "
    .. "are one; with tie_word_embeddings = false the file's own is used", path,
    from.tie_word_embeddings or "the defaults")
end

-- What the file says of its model, from nanoGPT's settings and from the shapes.
local function describe_file(state, info, c, from, path)
  overlay(c, from, gpt2_files.fields(state), path)
  local args = info.settings and info.settings.model_args
  if type(args) == "table" then
    overlay(c, from, gpt2_files.from_model_args(args), "model_args in " .. path)
  end
end

-- Tensors by our names, of one dtype and row-major; those of a table of the user's are copied.
local function prepare(state, c, copy)
  local dtype, result = state["wte.weight"].dtype, {}
  for name in pairs(gpt2_files.shapes(c)) do
    local x = state[name]:detach()
    if x.dtype ~= dtype then x = x:to(dtype) end
    if not x:is_contiguous() then x = x:clone() end
    result[name] = copy and x:shares_storage(state[name]) and x:clone() or x
  end
  return result
end

-- Fills c and from out of the weights at path (or a table of them); returns the state to adopt.
local function open_weights(source, c, from, o, has_config)
  local path, tensors, info = "the table of weights", source, {}
  if type(source) == "string" then
    path = source
    tensors, info = read_tensors(path)
  end
  local state, problem = gpt2_files.named(tensors)
  if not state then refuse("%s: %s", path, problem) end
  gpt2_files.turn(state)
  if not has_config then describe_file(state, info, c, from, path) end
  overlay_size(c, from, o)
  overlay_options(c, from, o)
  if not has_config and not from.n_head then
    refuse("%s does not say how many heads there are; give n_head", path)
  end
  check_config(c, from)
  check_head(state, c, from, path, has_config)
  problem = gpt2_files.contradiction(state, c, from, o.strict)
  if problem then refuse("%s: %s", path, problem) end
  return prepare(state, c, type(source) == "table")
end

--- The configuration that the options of equi.models.gpt2 ask for, and the weights.
---@param o table options, checked against gpt2_config.options
---@param shipped string what stands before the name of weights that come with the models
---@return table c
---@return table? state tensors by name, for nn.adopt
---@return string? folder that the model is from
function gpt2_config.resolve(o, shipped)
  local c, from, source, from_folder = {}, {}, o.weights, nil
  overlay(c, {}, DEFAULTS)
  if o.folder and o.weights then refuse "give folder or weights, not both" end
  source = o.folder or source
  if type(source) == "string" then
    if not o.folder then source = weights_path(source, shipped) end
    if o.folder or hugging_face.is_folder(source) then
      local folder, settings, path = source, hugging_face.config(source)
      if not settings then refuse("%s", path) end
      settings.n_positions = settings.n_positions or settings.n_ctx
      overlay(c, from, settings, path)
      from_folder = folder
      source, path = hugging_face.weights(folder)
      if not source then refuse("%s", path) end
    end
  elseif source ~= nil and type(source) ~= "table" then
    refuse("weights must be a path or a table of tensors, got %s", arguments.shown(source))
  end
  if source then
    return c, open_weights(source, c, from, o, from_folder ~= nil), from_folder
  end
  overlay_size(c, from, o)
  overlay_options(c, from, o)
  check_config(c, from)
  return c
end

return gpt2_config
