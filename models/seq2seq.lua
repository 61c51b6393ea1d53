--- Sequence to sequence with attention: the base model of the SCAN experiments (Lake and Baroni, ICML
--- 2018; Gordon et al., ICLR 2020; Basu et al., AAAI 2023).
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
local equi = require "lua_equi"
local options = require "lua_equi.options"

local nn = equi.nn
local gates = {rnn = 1, gru = 3, lstm = 4}

local encoder = nn.class("encoder", {
  new = function(self, o)
    self.embedding = nn.embedding(o.input_words, o.embedding)
    self.rnn = nn[o.cell](o.embedding, o.hidden, {bidirectional = o.bidirectional, layers = o.layers})
  end,
  forward = function(self, x, lengths) return self.rnn(self.embedding(x), nil, {lengths = lengths}) end,
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
  if not gates[o.cell] then
    error(("seq2seq: cell must be rnn, gru or lstm, got %s"):format(tostring(o.cell)), 3)
  end
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
  local logp, _, h, c = self.decoder(state.enc, state, {lengths = state.lengths, start = token, steps = 1})
  local next_state = {enc = state.enc, lengths = state.lengths, h = h, c = self.cell == "lstm" and c or nil}
  return logp:reshape(logp:size(1), -1), next_state
end

--- Whole answers: log-probabilities of every step and the tokens they favour.
---@param x any ids [B, T], EOS last
---@param y? any target ids [B, L], padded with 0
---@param lengths? any command lengths [B]
---@param opts? table {teacher = false: feed the targets instead of the own tokens, steps = nil: L or 50,
--- stop = false: rows end at their own EOS, the log-probabilities after it are 0}
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

return nn.class("seq2seq", methods)
