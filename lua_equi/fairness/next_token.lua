--- Logits of the next token at many contexts, a bounded number at a time.
--
-- What audit.lua and others measure. A model with state reads all but the last token of a context
-- and steps once, so that V logits come for each context and not for each of its tokens.
local arguments = require "lua_equi.arguments"
local caller = require "lua_equi.caller"
local core = require "lua_equi.core"
local prompts = require "lua_equi.generate.prompts"

local next_token = {}

--- Logits [N, V] behind contexts of one length.
---@param model any
---@param ids any [N, T]
---@return any
function next_token.last(model, ids)
  local n, t = ids:size()
  if not prompts.has_state(model) then
    return model(ids):narrow(2, t, 1):reshape(n, -1)
  end
  local state = model:start(ids:narrow(2, 1, t - 1), {capacity = t})
  local logits = model:step(state, ids:narrow(2, t, 1):reshape(-1))
  return logits
end

--- Calls each(t, logits [N, V]) for t = 1 .. T: the logits behind the first t tokens. All at once
--- where they fit into `bytes`, else (with state) token by token.
---@param model any
---@param ids any [N, T]
---@param each function
---@param bytes number
function next_token.all(model, ids, each, bytes)
  local n, t = ids:size()
  local size = prompts.vocabulary(model)
  if prompts.has_state(model) and (not size or n * t * size * 4 > bytes) then
    local state = model:start(ids:narrow(2, 1, 0), {capacity = t})
    for k = 1, t do
      local logits
      logits, state = model:step(state, ids:narrow(2, k, 1):reshape(-1))
      each(k, logits)
    end
    return
  end
  local logits = model(ids)
  for k = 1, t do each(k, logits:narrow(2, k, 1):reshape(n, -1)) end
end

--- Contexts as lists of ids: texts are encoded, an empty one is the end of text.
---@param who string
---@param contexts any a text, a list of ids, or a list of them
---@param tokenizer any
---@param size? integer of the vocabulary
---@return table[] {ids, text or nil}
function next_token.contexts(who, contexts, tokenizer, size)
  local function fail(...) error(who .. ": " .. string.format(...), caller(2)) end
  local rows = prompts.read(contexts, {tokenizer = tokenizer, size = size}, fail)
  for i, ids in ipairs(rows) do
    rows[i] = {ids = ids, text = tokenizer and tokenizer:decode(ids) or table.concat(ids, " ")}
  end
  return rows
end

--- The images of a context under all elements, in their order: ids [G, T].
---@param words any from equi.fairness.words
---@param action any on ids
---@param ids integer[]
---@return any
function next_token.orbit(words, action, ids)
  local x, list = core.tensor({ids}, {dtype = "i64"}), {}
  for k, g in ipairs(words.group:elements()) do list[k] = action(g, x) end
  return core.cat(list, 1)
end

--- Raises unless the model is one and words come from equi.fairness.words; their actions for the
--- model's vocabulary.
---@param who string
---@param model any
---@param words any
---@return any ids
---@return any logits
function next_token.actions(who, model, words)
  if type(words) ~= "table" or not words.general_ids then
    error(("%s: words must come from equi.fairness.words, got %s"):format(who,
      arguments.shown(words)), caller(2))
  end
  prompts.check_model(who, model)
  local size = prompts.vocabulary(model) or words.size
  if size == words.size then return words.ids, words.logits end
  return words:actions(size)
end

return next_token
