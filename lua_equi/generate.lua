--- Text from a language model: prompts go on token by token.
--
-- One loop for everything that speaks the protocol of models/gpt2.lua, plain or equituned:
--
--     model:start(ids [B, T], {mask =, capacity =}) -> state
--     model:step(state, token [B]) -> logits [B, V], state
--
-- or, without these, model(ids, {mask =}) -> logits [B, T, V], which is then called on the whole
-- text for every token. Ids count from 1. Tokens are picked by rank (core/ops/sample.c), each row
-- with uniform numbers of its own, so that a model with P(. | g x) = g P(. | x) goes on alike for x
-- and g x, up to g, under equal seeds. NOT here: what fairness is, and beam search.
local arguments = require "lua_equi.arguments"
local caller = require "lua_equi.caller"
local core = require "lua_equi.core"
local frame = require "lua_equi.generate.frame"
local options = require "lua_equi.options"
local prompts = require "lua_equi.generate.prompts"
local writer = require "lua_equi.generate.writer"

local generate = {}

local GIVEN = {tokens = 15, temperature = 1, top_k = 0, top_p = 1, typical = 1,
  repetition_penalty = 1, greedy = false, stop = options.any {}, stop_ids = options.any(),
  seed = options.any(), samples = 1, on_token = options.any(), logprobs = false,
  tokenizer = options.any(), mask = options.any()}
local WHO = "generate"

local function fail(...) error(WHO .. ": " .. string.format(...), caller(2)) end

-- ---- options ----

local function share(name, value)
  if value > 0 and value <= 1 then return end
  fail("%s must be above 0 and at most 1, got %s", name, tostring(value))
end

local function list_of(name, value, kind)
  if type(value) == kind or math.type(value) == kind then value = {value} end
  if type(value) ~= "table" then
    fail("%s must be a list, got %s", name, arguments.shown(value))
  end
  for i, v in ipairs(value) do
    if type(v) ~= kind and math.type(v) ~= kind or v == "" then
      fail("%s: entry %d must be a%s, got %s", name, i,
        kind == "string" and " text that is not empty" or "n id", arguments.shown(v))
    end
  end
  return value
end

local function check(model, given)
  local o = options.check(WHO, given, GIVEN)
  prompts.check_model(WHO, model)
  arguments.whole(WHO, "tokens", o.tokens)
  arguments.whole(WHO, "samples", o.samples)
  arguments.number(WHO, "temperature", o.temperature, 0)
  arguments.whole(WHO, "top_k", o.top_k, 0)
  share("top_p", o.top_p)
  share("typical", o.typical)
  if o.repetition_penalty <= 0 then
    fail("repetition_penalty must be above 0, got %s; 1 changes nothing",
      tostring(o.repetition_penalty))
  end
  if o.on_token ~= nil and not arguments.is_callable(o.on_token) then
    fail("on_token must be a function, got %s", arguments.shown(o.on_token))
  end
  if o.greedy then o.temperature = 0 end
  o.tokenizer = o.tokenizer or prompts.tokenizer(model)
  o.stop = list_of("stop", o.stop, "string")
  if #o.stop > 0 and not o.tokenizer then
    fail("stop is a list of texts, which needs a tokenizer; give tokenizer = ..., or stop_ids")
  end
  o.is_end = {}
  for _, id in ipairs(list_of("stop_ids", o.stop_ids or o.tokenizer and o.tokenizer.eot or {},
    "integer")) do
    o.is_end[id] = true
  end
  return o
end

-- A stream of uniform numbers for each row: row r of a batch with seed s is alone with s + r - 1.
local function generators(seed, rows)
  local list = {}
  if seed == nil then seed = core.randint(0, 1 << 40, 1)[1]:item() end
  if type(seed) == "table" then
    if #seed ~= rows then fail("seed lists %d numbers for %d rows", #seed, rows) end
  elseif math.type(seed) ~= "integer" then
    fail("seed must be a whole number, or a list of one for each row, got %s",
      arguments.shown(seed))
  end
  for r = 1, rows do
    local s = type(seed) == "table" and seed[r] or seed + r - 1
    if math.type(s) ~= "integer" then fail("seed of row %d is %s", r, arguments.shown(s)) end
    list[r] = core.generator(s)
  end
  return list
end

local function uniforms(list)
  local u = {}
  for r, g in ipairs(list) do u[r] = core.rand(1, {generator = g, dtype = "f64"})[1]:item() end
  return core.tensor(u, {dtype = "f64"})
end

-- ---- the model, with state or without ----

-- Returns next_logits(token [B, 1] or nil) -> [B, V]; the first call is without a token.
local function stepper(model, batch, capacity)
  local ids, mask, width = batch.ids, batch.mask, batch.width
  if prompts.has_state(model) then
    local head = mask and mask:narrow(2, 1, width - 1)
    local state = model:start(ids:narrow(2, 1, width - 1), {mask = head, capacity = capacity})
    local last = ids:narrow(2, width, 1):reshape(-1)
    return function(token)
      local logits
      logits, state = model:step(state, token or last)
      return logits
    end
  end
  return function(token)
    if token then
      ids = core.cat({ids, token:reshape(-1, 1)}, 2)
      mask = mask and core.cat({mask, core.ones({ids:size(1), 1}, {dtype = "bool"})}, 2)
    end
    local logits
    if mask then logits = model(ids, {mask = mask}) else logits = model(ids) end
    return logits:narrow(2, ids:size(2), 1):reshape(ids:size(1), -1)
  end
end

-- How many tokens there is room for behind the prompts.
local function room(model, width)
  local positions = prompts.positions(model)
  if not positions then return math.huge end
  if width > positions then
    fail("the longest prompt has %d tokens, the model's context %d; give the end of the text",
      width, positions)
  end
  return positions - width + 1 -- the last token need not be read
end

-- ---- rows ----

-- What the penalty looks at: everything a row has read, 0 behind it.
local function seen_by(rows, width)
  local all = {}
  for r, row in ipairs(rows) do
    local ids = table.move(row.prompt, 1, #row.prompt, 1, {})
    table.move(row.picked, 1, #row.picked, #ids + 1, ids)
    for k = #ids + 1, width do ids[k] = 0 end
    all[r] = ids
  end
  return core.tensor(all, {dtype = "i64"})
end

local function tell(row, o, piece, id, logp)
  if o.on_token and o.on_token(piece, row.number, id, logp) == false then
    row.why = row.why or "callback"
  end
end

-- Takes one token: decides whether the row ends, and tells the caller what can be printed.
local function take(row, id, logp, o)
  row.ids[#row.ids + 1], row.logprobs[#row.logprobs + 1] = id, logp
  if o.is_end[id] then row.why = "end" end
  local piece = ""
  if row.writer and not row.why then
    piece = row.writer:add(id)
    if row.writer.stopped then row.why = "stop" end
  end
  tell(row, o, piece, id, logp)
end

local function loop(model, batch, rows, o, hold)
  local width, left = batch.width, #rows
  local most = math.min(o.tokens, batch.room)
  local next_logits = stepper(model, batch, width + most - 1)
  local token
  for n = 1, most do
    if hold:pressed() then return "interrupted" end
    local logits = next_logits(token)
    local seen = o.repetition_penalty ~= 1 and seen_by(rows, width + n - 1) or nil
    local picked, logp = core.sample(logits, uniforms(batch.streams), seen, {penalty =
      o.repetition_penalty, temperature = o.temperature, top_k = o.top_k, top_p = o.top_p,
      typical = o.typical})
    token = picked
    local there, numbers = picked:totable(), logp:totable()
    local ids = batch.frame and batch.frame:leave(picked) or there
    for r, row in ipairs(rows) do
      row.picked[n] = there[r]
      if not row.why then
        take(row, ids[r], numbers[r], o)
        if row.why then left = left - 1 end
      end
    end
    if left == 0 then break end
  end
  return most < o.tokens and "context" or "tokens"
end

-- ---- the result ----

local result = {}

function result:__tostring()
  local out = {}
  for i, ids in ipairs(self.ids) do
    out[i] = self.texts and self.texts[i] or table.concat(ids, " ")
  end
  return table.concat(out, "\n")
end

local function results(rows, o, why)
  local t = {ids = {}, prompts = {}, why = {}, texts = o.tokenizer and {} or nil,
    logprobs = o.logprobs and {} or nil, interrupted = why == "interrupted"}
  for r, row in ipairs(rows) do
    t.ids[r], t.prompts[r], t.why[r] = row.ids, row.given or row.prompt, row.why or why
    if t.logprobs then t.logprobs[r] = row.logprobs end
    if row.writer then
      t.texts[r] = row.writer:text()
      local rest = row.writer:rest()
      if rest ~= "" then tell(row, o, rest) end
    end
  end
  return setmetatable(t, result)
end

--- Goes on with one or several prompts, in evaluation mode and without gradients.
---
--- Prompts are texts (they need a tokenizer: the option, or model.tokenizer) or ids, which count
--- from 1; those of a batch may differ in length. An empty prompt begins at the tokenizer's
--- end-of-text token. Works on plain and equituned models alike, with state (start and step) or
--- without.
---
--- What is picked follows from `seed`: row r of a batch with seed s goes on as a prompt alone with
--- seed s + r - 1. Options of picking are those of Hugging Face, in its order:
--- repetition_penalty, temperature (0, or greedy = true: the most likely token), top_k (0: all),
--- top_p, typical.
---
--- A row ends after `tokens` tokens ("tokens"), with an id of stop_ids ("end"), when its text holds
--- one of the `stop` texts ("stop"; the text is cut there, the ids are not), when on_token returns
--- false ("callback"), when the model's context is full ("context": a prompt longer than that is
--- refused), or at Ctrl-C ("interrupted": what there is comes back, and result.interrupted is
--- true). on_token(piece, row, id, logprob) is called for every token with the text that can be
--- printed: whole characters, and nothing that may yet become a stop text; the rest may follow at
--- the end, without an id.
---
--- Example:
---     local function always(ids) return equi.one_hot(ids % 4 + 1, 4) * 50 end
---     local out = equi.generate(always, {{1}, {2, 3}}, {tokens = 3})
---     print(table.concat(out.ids[1], " "), table.concat(out.ids[2], " "))   --> 2 3 4 4 1 2
---@param model any
---@param given any a text, ids (tensor [B, T] or [T], list), or a list of texts or of lists of ids
---@param opts? table {tokens = 15, temperature = 1, top_k = 0, top_p = 1, typical = 1,
--- repetition_penalty = 1, greedy = false, stop = texts, stop_ids = ids (default: end of text),
--- seed = a number or a list of one for each row, samples = 1 for each prompt, on_token,
--- logprobs = false, tokenizer, mask = [B, T] (false: padding of a tensor of ids)}
---@return table result {ids, texts, why, prompts (ids), logprobs (of the logits as they came, if
--- asked for): lists of one entry for each row; interrupted}
function generate.generate(model, given, opts)
  local o = check(model, opts)
  local rows = {}
  o.size = prompts.vocabulary(model)
  for _, ids in ipairs(prompts.read(given, o, fail)) do
    for _ = 1, o.samples do
      rows[#rows + 1] = {number = #rows + 1, prompt = ids, ids = {}, picked = {}, logprobs = {},
        writer = o.tokenizer and writer.new(o.tokenizer, o.stop)}
    end
  end
  local moved = frame.enter(model, rows)
  local batch = prompts.batch(rows)
  batch.streams = generators(o.seed, #rows)
  batch.frame, batch.room = moved, room(model, batch.width)
  local hold <close> = core.hold_interrupts()
  local why = core.no_grad(function()
    return prompts.evaluating(model, loop, model, batch, rows, o, hold)
  end)
  return results(rows, o, why)
end

return generate
