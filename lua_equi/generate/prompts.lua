--- Prompts of equi.generate: texts, tensors and lists become rows of ids, padded on the left.
--
-- And what generation asks of a model, plain or equituned: its tokenizer, its context, the model
-- inside.
local arguments = require "lua_equi.arguments"
local caller = require "lua_equi.caller"
local core = require "lua_equi.core"
local module = require "lua_equi.nn.module"

local prompts = {}

---@param model any
---@return boolean
function prompts.is_equituned(model)
  return type(model) == "userdata" and (getmetatable(model) or {}).__name == "equi.Equitune"
end

--- The model that does the work: of an equituned one, the one inside.
---@param model any
---@return any
function prompts.inner(model)
  while prompts.is_equituned(model) do model = model.model end
  return model
end

local function field(model, name)
  local inner = prompts.inner(model)
  if type(inner) == "table" then return inner[name] end
end

--- Raises unless a language model can be what is given: something to call, or with start and step.
---@param who string
---@param model any
function prompts.check_model(who, model)
  if arguments.is_callable(model) then return end
  if type(model) == "table" and model.start and model.step then return end
  error(("%s: the model must be a language model (callable, or with start and step), got %s")
    :format(who, arguments.shown(model)), caller(3))
end

--- The tokenizer that came with the model, or nil.
---@param model any
---@return any
function prompts.tokenizer(model) return field(model, "tokenizer") end

--- Whether a model, or the one inside, has start and step.
---@param model any
---@return boolean
function prompts.has_state(model)
  local inner = prompts.inner(model)
  return type(inner) == "table" and inner.start ~= nil and inner.step ~= nil
end

--- How many tokens the model's context holds; nil: no limit is known.
---@param model any
---@return integer?
function prompts.positions(model)
  local config = field(model, "config")
  return type(config) == "table" and config.n_positions or nil
end

--- How many tokens the model has logits for; nil when it does not say.
---@param model any
---@return integer?
function prompts.vocabulary(model)
  local config = field(model, "config")
  return type(config) == "table" and config.vocab_size or nil
end

--- f(...) with the model in evaluation mode, if it has modes.
---@param model any
---@param f function
---@param ... any
---@return any ... what f returns
function prompts.evaluating(model, f, ...)
  if type(prompts.inner(model)) == "function" then return f(...) end
  return module.evaluating(model, f, ...)
end

-- ---- reading ----

local function encode(text, o, fail)
  if not o.tokenizer then
    fail("a text needs a tokenizer; give tokenizer = ..., or ids instead of texts")
  end
  return o.tokenizer:encode(text)
end

-- Rows of a tensor of ids; entries that the mask calls padding are left out.
local function from_tensor(ids, o, fail)
  if ids.dtype ~= "i64" or ids.ndim < 1 or ids.ndim > 2 then
    fail("prompts must be ids [B, T] of dtype i64, got %s", arguments.shown(ids))
  end
  if ids.ndim == 1 then ids = ids:reshape(1, -1) end
  local B, T, mask = ids:size(1), ids:size(2), o.mask
  if mask ~= nil then
    if not core.is_tensor(mask) or mask.ndim ~= 2 or mask:size(1) ~= B or mask:size(2) ~= T then
      fail("mask must be a tensor %d x %d as the ids are, got %s", B, T, arguments.shown(mask))
    end
    mask = mask:to("i64"):totable()
  end
  local list, rows = ids:totable(), {}
  for r = 1, B do
    rows[r] = {}
    for t = 1, T do
      if not mask or mask[r][t] ~= 0 then rows[r][#rows[r] + 1] = list[r][t] end
    end
  end
  return rows
end

local function from_list(list, o, fail)
  if math.type(list[1]) == "integer" then return {list} end
  local rows = {}
  for i, p in ipairs(list) do
    if type(p) ~= type(list[1]) or type(p) ~= "string" and type(p) ~= "table" then
      fail("prompt %d must be a %s as prompt 1 is, got %s", i,
        type(list[1]) == "string" and "text" or "list of ids", arguments.shown(p))
    end
    rows[i] = type(p) == "string" and encode(p, o, fail) or p
  end
  return rows
end

local function check_row(ids, i, o, fail)
  if #ids == 0 then
    if not (o.tokenizer and o.tokenizer.eot) then
      fail("prompt %d is empty; give at least one id, or a tokenizer with an end-of-text token", i)
    end
    return {o.tokenizer.eot}
  end
  for k, id in ipairs(ids) do
    if math.type(id) ~= "integer" or id < 1 then
      fail("prompt %d: id %d is %s; ids are whole numbers from 1", i, k, arguments.shown(id))
    elseif o.size and id > o.size then
      fail("prompt %d: id %d is %d; the model's vocabulary has %d tokens", i, k, id, o.size)
    end
  end
  return ids
end

--- Lists of ids, none of them empty. fail(...) raises.
---@param given any
---@param o table {tokenizer, mask, size = of the vocabulary, if known}
---@param fail function
---@return integer[][]
function prompts.read(given, o, fail)
  local rows
  if core.is_tensor(given) then
    rows = from_tensor(given, o, fail)
  elseif type(given) == "string" then
    rows = {encode(given, o, fail)}
  elseif type(given) == "table" and not getmetatable(given) then
    rows = from_list(given, o, fail)
  else
    fail("prompts must be texts or ids, got %s", arguments.shown(given))
  end
  if #rows == 0 then fail("the list is empty; give a text, ids or a list of them") end
  for i, ids in ipairs(rows) do rows[i] = check_row(ids, i, o, fail) end
  return rows
end

-- ---- batches ----

--- Rows of one width: {ids [B, T], mask [B, T] (true: a token) or nil when none is padded, width}.
--- Padding stands on the left, so that the last column holds the last token of every row.
---@param rows table[] each with prompt, a list of ids
---@return table batch
function prompts.batch(rows)
  local width, even = 0, true
  for _, row in ipairs(rows) do
    even = even and (width == 0 or #row.prompt == width)
    width = math.max(width, #row.prompt)
  end
  local ids, mask = {}, {}
  for r, row in ipairs(rows) do
    local pad = width - #row.prompt
    ids[r], mask[r] = {}, {}
    for k = 1, pad do ids[r][k], mask[r][k] = row.prompt[1], false end -- any id the model knows
    for k, id in ipairs(row.prompt) do ids[r][pad + k], mask[r][pad + k] = id, true end
  end
  return {ids = core.tensor(ids, {dtype = "i64"}), width = width,
    mask = not even and core.tensor(mask, {dtype = "bool"}) or nil}
end

return prompts
