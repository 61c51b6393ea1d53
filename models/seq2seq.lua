--- Sequence to sequence with attention: the base model of the SCAN experiments (Lake and Baroni,
--- ICML 2018; Gordon et al., ICLR 2020; Basu et al., AAAI 2023).
--
-- Encoder: embedding and a recurrent layer over the command, both directions. Decoder, one step:
--
--     a = softmax(h . encoder outputs)     k = sum of a * encoder outputs
--     x = relu(W [dropout(embedding(token)); k] + b)
--     h = cell(x, h)                       log p = log_softmax(V h + c)
--
-- It starts from the two final states of the encoder, joined. Parameter names are those of the
-- authors' checkpoints. The decoder is one fused op (core/ops/attn_decoder.c).
-- Ids count from 1: SOS is 1, EOS 2. Shapes: B batch, T command length, L answer length, V words.
local arguments = require "lua_equi.arguments"
local equi = require "lua_equi"
local options = require "lua_equi.options"

local nn, sequences = equi.nn, equi.data.sequences

local encoder = nn.class("encoder", {
  new = function(self, o)
    self.embedding = nn.embedding(o.input_words, o.embedding)
    self.rnn = nn[o.cell](o.embedding, o.hidden,
                          {bidirectional = o.bidirectional, layers = o.layers})
  end,
  forward = function(self, x, lengths)
    return self.rnn(self.embedding(x), nil, {lengths = lengths})
  end,
})

local decoder = nn.class("decoder", {
  new = function(self, o, size)
    self.embedding = nn.embedding(o.output_words, size)
    self.attn_combine = nn.linear(size + size, size)
    self.rnn = nn[o.cell](size, size)
    self.out = nn.linear(size, o.output_words)
    self.cell, self.dropout = o.cell, o.dropout
  end,
  -- enc [B, T, H], state {h, c} -> logp [B, L, V], tokens [B, L], h, c
  forward = function(self, enc, state, o)
    local rnn = self.rnn
    return equi.attn_decoder(enc, state.h, state.c, self.embedding.weight, self.attn_combine.weight,
      self.attn_combine.bias, rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0, rnn.bias_hh_l0,
      self.out.weight, self.out.bias,
      {lengths = o.lengths, targets = o.targets, start = o.start, cell = self.cell, steps = o.steps,
       teacher = o.teacher, stop = o.stop, p = self.dropout, training = self.training})
  end,
})

-- The last layer's final states, directions joined: [B, H * directions].
local function join_states(h, directions)
  local last = h:size(1)
  if directions == 1 then return h[last] end
  return equi.cat({h[last - 1], h[last]}, 2)
end

local methods = {}

function methods:new(o)
  o = options.check("seq2seq", o, {input_words = 15, output_words = 8, cell = "lstm", hidden = 64,
    embedding = 64, layers = 1, dropout = 0.1, bidirectional = true})
  arguments.choice("seq2seq", "cell", o.cell, {"rnn", "gru", "lstm"})
  for _, name in ipairs {"input_words", "output_words"} do -- SOS and EOS are among them
    arguments.whole("seq2seq", name, o[name], 2)
  end
  for _, name in ipairs {"hidden", "embedding", "layers"} do
    arguments.whole("seq2seq", name, o[name])
  end
  arguments.number("seq2seq", "dropout", o.dropout, 0, 1)
  self.cell, self.directions = o.cell, o.bidirectional and 2 or 1
  self.encoder = encoder(o)
  self.decoder = decoder(o, o.hidden * self.directions)
end

--- Encodes commands: the state that decoding starts from.
---@param x any ids [B, T]
---@param lengths? any ids per row [B]; nil: all T
---@return table {enc =, h =, c =, lengths =}
--- Example:
---     local model = equi.models.seq2seq()
---     local state = model:start(equi.tensor({{3, 4, 2}}, {dtype = "i64"}))
---     print(state.h:size())   --> 1 128
function methods:start(x, lengths)
  local enc, last = self.encoder(x, lengths)
  local state = {enc = enc, lengths = lengths}
  if self.cell == "lstm" then
    state.h, state.c = join_states(last[1], self.directions), join_states(last[2], self.directions)
  else
    state.h = join_states(last, self.directions)
  end
  return state
end

--- One decoding step for every row: feeds a token, returns log-probabilities and the next state.
---@param state table from start or step; not changed
---@param token any ids [B]
---@return any logp [B, V]
---@return table state
--- Example:
---     local model = equi.models.seq2seq()
---     local state = model:start(equi.tensor({{3, 4, 2}}, {dtype = "i64"}))
---     print(model:step(state, equi.tensor({1}, {dtype = "i64"})):size())   --> 1 8
function methods:step(state, token)
  local o = {lengths = state.lengths, start = token, steps = 1}
  local logp, _, h, c = self.decoder(state.enc, state, o)
  return logp:reshape(logp:size(1), -1), {enc = state.enc, lengths = state.lengths, h = h,
    c = self.cell == "lstm" and c or nil, weights = state.weights}
end

--- Whole answers: log-probabilities of every step and the tokens they favour.
---@param x any ids [B, T], EOS last
---@param y? any target ids [B, L], padded with 0
---@param lengths? any command lengths [B]
---@param opts? table {teacher = false: feed the targets instead of the own tokens,
--- steps = nil: L or 50, stop = false: rows end at their own EOS, log-probabilities after it are 0}
---@return any logp [B, L, V]
---@return any tokens [B, L]
--- Example:
---     local model = equi.models.seq2seq():eval()
---     local logp = model(equi.tensor({{3, 4, 2}}, {dtype = "i64"}), nil, nil, {steps = 5})
---     print(logp:size())   --> 1 5 8
function methods:forward(x, y, lengths, opts)
  local o = options.check("seq2seq", opts, {teacher = false, stop = false, steps = options.any()})
  local state = self:start(x, lengths)
  o.targets, o.lengths = y, lengths
  local logp, tokens = self.decoder(state.enc, state, o)
  return logp, tokens
end

--- Answers commands greedily, in evaluation mode and without gradients. As a function,
--- `equi.models.seq2seq.greedy(model, ...)`, it serves everything that is called as these models
--- are, an equituned model too.
---@param x any ids [B, T]
---@param lengths? any command lengths [B]
---@param opts? {steps: integer} longest answer, default 50
---@return any tokens [B, steps]; what follows an EOS means nothing
--- Example:
---     local model = equi.models.seq2seq()
---     local x = equi.tensor({{3, 4, 2}}, {dtype = "i64"})
---     print(model:greedy(x, nil, {steps = 5}):size())   --> 1 5
function methods:greedy(x, lengths, opts)
  local o = options.check("greedy", opts, {steps = 50})
  arguments.whole("greedy", "steps", o.steps)
  local function answer()
    local logp, tokens = self(x, nil, lengths, {steps = o.steps, stop = true})
    return tokens or logp:argmax(-1)
  end
  if type(self) == "function" then return (equi.no_grad(answer)) end
  return (equi.no_grad(nn.evaluating, self, answer))
end

--- Counts the commands whose whole answer is right, EOS included. Also a function for any model, as
--- greedy.
---@param batches table a batch of equi.data.sequences, or a list of them
---@param opts? {steps: integer} longest answer, default 50
---@return integer right
---@return integer of so many
--- Example:
---     local model = equi.models.seq2seq()
---     local batch = equi.data.sequences.batch {{{3, 4, 2}, {3, 3, 2}}, {{5, 2}, {4, 2}}}
---     print(select(2, model:exact_match(batch)))   --> 2
function methods:exact_match(batches, opts)
  local right, n = 0, 0
  for _, b in ipairs(batches.x and {batches} or batches) do
    right = right + sequences.exact(methods.greedy(self, b.x, b.lengths, opts), b.y)
    n = n + b.x:size(1)
  end
  return right, n
end

--- Makes a model: equi.models.seq2seq{...}. The defaults are the paper's sizes for SCAN.
---
--- In the same table are greedy and exact_match, for other models as well, and `methods`, from
--- which models of other parts (g_seq2seq) take step and forward.
---@param o? table {input_words = 15, output_words = 8, cell = "lstm" or "rnn" or "gru", hidden = 64
--- per direction, embedding = 64 of commands, layers = 1 of the encoder, bidirectional = true,
--- dropout = 0.1 of the answer's embedding}
--- Example:
---     print(equi.models.seq2seq {cell = "rnn"}:count())   --> 85576
local new = nn.class("seq2seq", methods)

return setmetatable({methods = methods, greedy = methods.greedy, exact_match = methods.exact_match},
  {__call = function(_, ...) return new(...) end})
