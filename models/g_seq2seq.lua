--- The group-equivariant sequence to sequence network of Gordon, Lopez-Paz, Baroni and Bouchacourt
--- (ICLR 2020): G-RNN, G-GRU, G-LSTM with attention. f(g x) = g f(x) holds for every weight.
--
-- Every feature is a function on a group G that moves the words of both languages:
--
--     embedding of a word w     e(h) = psi(h^-1 w)
--     group convolution         phi(g) = b + sum over h of psi(g^-1 h) f(h)
--     readout                   logit(w) = c(w) + sum over g of psi(g^-1 w) . f(g)
--
-- The gates of the cells and the mixing of embedding and context are group convolutions; attention
-- weighs by the inner product over group and units. All of them are ordinary layers with repeated
-- weights: W[(g, i), (h, j)] = psi[i, g^-1 h, j]. The repeated weights are made once per call (one
-- differentiable selection of rows each), and then the fused ops of seq2seq run on them.
-- The readout's bias c is one number per orbit of words; one per word would break equivariance.
-- A command that some g leaves as it is (turn right, when g swaps verbs) gives the words that g
-- moves equal probabilities. No choice among them can be equivariant: if one is the greedy choice,
-- what follows it is not. With targets fed the equation holds for every command.
-- Two choices are those of models/seq2seq.lua, not of the authors' code: relu after the mixing
-- (theirs: tanh), and a cell of its own for each direction (theirs shares one).
-- Not here: equi-tuning, which makes any model equivariant. Ids count from 1: SOS is 1, EOS 2.
-- Shapes: B batch, T command length, L answer length, V words, G group order, K units, O outputs.
local arguments = require "lua_equi.arguments"
local equi = require "lua_equi"
local options = require "lua_equi.options"

local nn, base = equi.nn, equi.models.seq2seq.methods
local gates = {rnn = 1, gru = 3, lstm = 4}
local NAME = "g_seq2seq"

-- ---- the group and how it moves words ----

-- table[a][b], the number of a^-1 b.
local function quotients(group)
  local product, inverse, identity = group:table(), {}, group.identity.index
  for a, row in ipairs(product) do
    for b, ab in ipairs(row) do
      if ab == identity then inverse[a] = b end
    end
  end
  local quotient = {}
  for a = 1, #product do quotient[a] = product[inverse[a]] end
  return quotient, inverse
end

-- An action on ids, or a list of permutations, one per element -> that list.
local function read_words(given, what)
  if type(given) == "table" then return given end
  if type(given) ~= "userdata" or given.kind ~= "vocabulary" or given.dim then
    error(("%s: %s must be an action on ids (equi.action.vocabulary) or a list of permutations, "
      .. "one per element; got %s"):format(NAME, what, tostring(given)), 5)
  end
  return given:orbit(equi.arange(1, given.size, {dtype = "i64"})):totable()
end

local function check_permutation(p, size, what, g)
  local seen = {}
  for w = 1, size do
    local to = p[w]
    if math.type(to) ~= "integer" or to < 1 or to > size or seen[to] then
      error(("%s: %s: element %d sends word %d to %s; each of 1 to %d must be reached once"):format(
        NAME, what, g, w, tostring(to), size), 6)
    end
    seen[to] = true
  end
  for w = 1, 2 do
    if p[w] ~= w then
      error(("%s: %s: element %d sends %s, id %d, to %d; SOS and EOS must stay"):format(NAME, what,
        g, w == 1 and "SOS" or "EOS", w, p[w]), 6)
    end
  end
end

local function check_words(group, perms, what)
  local product = group:table()
  if #perms ~= group.order then
    error(("%s: %s has %d permutations, the group %d elements"):format(NAME, what, #perms,
      group.order), 5)
  end
  for g, p in ipairs(perms) do check_permutation(p, #perms[1], what, g) end
  for a, row in ipairs(product) do
    for b, ab in ipairs(row) do
      for w, to in ipairs(perms[b]) do
        if perms[ab][w] ~= perms[a][to] then
          error(("%s: %s is no action: (%d * %d) sends word %d to %d, %d after %d sends it to %d")
            :format(NAME, what, a, b, w, perms[ab][w], a, b, perms[a][to]), 5)
        end
      end
    end
  end
end

-- The number of each word's orbit, and how many orbits there are.
local function orbits(perms)
  local orbit, n = {}, 0
  for w = 1, #perms[1] do
    if not orbit[w] then
      n = n + 1
      for _, p in ipairs(perms) do orbit[p[w]] = n end
    end
  end
  return orbit, n
end

local function ids(list) return equi.tensor(list, {dtype = "i64"}) end

-- For each word and then element: the row of psi, g^-1 w.
local function word_rows(perms, inverse)
  local rows = {}
  for w = 1, #perms[1] do
    for g = 1, #perms do rows[#rows + 1] = perms[inverse[g]][w] end
  end
  return ids(rows)
end

local function read_group(o)
  if type(o.group) ~= "userdata" then
    error(("%s: group must be a group, got %s; equi.group.cyclic(4) is one"):format(NAME,
      type(o.group)), 4)
  end
  local s = {order = o.group.order, title = tostring(o.group.name)}
  local inverse
  s.quotient, inverse = quotients(o.group)
  for _, side in ipairs {"input", "output"} do
    local perms = read_words(o[side], side)
    check_words(o.group, perms, side)
    s[side] = {rows = word_rows(perms, inverse), size = #perms[1]}
    s[side].orbit, s[side].orbits = orbits(perms)
  end
  return s
end

-- ---- psi, and what is made of it ----

local function uniform(bound, ...) return nn.initialise.uniform(equi.zeros(...), -bound, bound) end

-- A function on words: psi [V, K] -> [V, G K], row w holding psi(g^-1 w) for every g.
local word_filter = nn.class("word_filter", {
  new = function(self, symmetry, side, units)
    local words = symmetry[side]
    self._rows, self._order = words.rows, symmetry.order
    self.weight = nn.initialise.normal(equi.zeros(words.size, units))
  end,
  forward = function(self)
    local units = self.weight:size(2)
    return self.weight:index_select(1, self._rows):reshape(-1, self._order * units)
  end,
  extra = function(self) return ("%d words, %d units"):format(self.weight:size()) end,
})

-- The readout: psi [V, K] and a bias per orbit -> weight [V, G K] and bias [V].
local readout = nn.class("readout", {
  new = function(self, symmetry, units)
    local words, bound = symmetry.output, 1 / math.sqrt(symmetry.order * units)
    self._rows, self._order, self._orbit = words.rows, symmetry.order, ids(words.orbit)
    self.weight, self.bias = uniform(bound, words.size, units), uniform(bound, words.orbits)
  end,
  forward = function(self)
    local units = self.weight:size(2)
    local weight = self.weight:index_select(1, self._rows):reshape(-1, self._order * units)
    return weight, self.bias:index_select(1, self._orbit)
  end,
  extra = function(self) return ("%d words, %d units"):format(self.weight:size()) end,
})

-- Where each row of K weights of W [gates G O, parts G K] lies in psi [gates O, parts, G, K]: rows
-- go by gate, element g, output; columns by part, element h.
local function conv_rows(symmetry, blocks, outputs, parts)
  local rows, biases, G = {}, {}, symmetry.order
  for block = 0, blocks - 1 do
    for g = 1, G do
      local quotient = symmetry.quotient[g]
      for i = 0, outputs - 1 do
        local row = block * outputs + i
        biases[#biases + 1] = row + 1
        for part = 0, parts - 1 do
          for h = 1, G do rows[#rows + 1] = (row * parts + part) * G + quotient[h] end
        end
      end
    end
  end
  return ids(rows), ids(biases)
end

-- A group convolution, for several gates at once and several inputs side by side:
-- psi [gates O, parts, G, K], b [gates O] -> W [gates G O, parts G K], bias [gates G O].
local group_conv = nn.class("group_conv", {
  new = function(self, symmetry, units, outputs, opts)
    local blocks, parts, G = opts.gates or 1, opts.parts or 1, symmetry.order
    local bound = 1 / math.sqrt(opts.fan or parts * G * units)
    self._rows, self._biases = conv_rows(symmetry, blocks, outputs, parts)
    self.weight = uniform(bound, blocks * outputs, parts, G, units)
    self.bias = uniform(bound, blocks * outputs)
  end,
  forward = function(self)
    local _, parts, G, units = self.weight:size()
    local weight = self.weight:reshape(-1, units):index_select(1, self._rows)
    return weight:reshape(-1, parts * G * units), self.bias:index_select(1, self._biases)
  end,
  extra = function(self) return ("%d x %d x %d x %d"):format(self.weight:size()) end,
})

-- The two convolutions of a recurrent cell, in the ops' order.
local cell = nn.class("g_cell", {
  new = function(self, symmetry, kind, inputs, hidden)
    local opts = {gates = gates[kind], fan = symmetry.order * hidden}
    self.input = group_conv(symmetry, inputs, hidden, opts)
    self.hidden = group_conv(symmetry, hidden, hidden, opts)
  end,
  forward = function(self)
    local w_ih, b_ih = self.input()
    local w_hh, b_hh = self.hidden()
    return w_ih, w_hh, b_ih, b_hh
  end,
})

-- ---- encoder and decoder ----

-- Functions on the group side by side: [.., G K] twice -> [.., G 2K], unit by unit of each element.
local function join(list, order)
  if #list == 1 then return list[1] end
  local shape = list[1].shape
  local last = #shape
  local units = shape[last] // order
  shape[last], shape[last + 1] = order, units
  local split = {}
  for i, x in ipairs(list) do split[i] = x:reshape(shape) end
  shape[last], shape[last + 1] = order * units * #list, nil
  return equi.cat(split, -1):reshape(shape)
end

-- x [B, T] -> outputs [B, T, G H], state {h =, c =} [B, G H]; H is K, or 2 K with both directions.
local encoder = nn.class("g_encoder", {
  new = function(self, symmetry, o)
    self.embedding = word_filter(symmetry, "input", o.embedding)
    self.forward_cell = cell(symmetry, o.cell, o.embedding, o.hidden)
    if o.bidirectional then self.backward_cell = cell(symmetry, o.cell, o.embedding, o.hidden) end
    self.cell, self.order, self.hidden = o.cell, symmetry.order, o.hidden
  end,
  forward = function(self, x, lengths)
    local e = equi.embedding(x, self.embedding())
    local zero = equi.zeros({x:size(1), self.order * self.hidden}, {dtype = e.dtype})
    local ys, hs, cs = {}, {}, {}
    for i, part in ipairs {self.forward_cell, self.backward_cell} do
      local w_ih, w_hh, b_ih, b_hh = part()
      local opts = {lengths = lengths, reverse = i == 2}
      if self.cell == "lstm" then
        ys[i], hs[i], cs[i] = equi.lstm(e, zero, zero, w_ih, w_hh, b_ih, b_hh, opts)
      else
        ys[i], hs[i] = equi[self.cell](e, zero, w_ih, w_hh, b_ih, b_hh, opts)
      end
    end
    return join(ys, self.order), {h = join(hs, self.order), c = cs[1] and join(cs, self.order)}
  end,
})

local decoder = nn.class("g_decoder", {
  new = function(self, symmetry, o, units)
    self.embedding = word_filter(symmetry, "output", units)
    self.attn_combine = group_conv(symmetry, units, units, {parts = 2})
    self.rnn = cell(symmetry, o.cell, units, units)
    self.out = readout(symmetry, units)
    self.cell, self.dropout = o.cell, o.dropout
  end,
  -- The repeated weights as the fused op wants them.
  weights = function(self)
    local wc, bc = self.attn_combine()
    local w_ih, w_hh, b_ih, b_hh = self.rnn()
    local wo, bo = self.out()
    return {self.embedding(), wc, bc, w_ih, w_hh, b_ih, b_hh, wo, bo}
  end,
  forward = function(self, enc, state, o)
    local emb, wc, bc, w_ih, w_hh, b_ih, b_hh, wo, bo = table.unpack(state.weights)
    return equi.attn_decoder(enc, state.h, state.c, emb, wc, bc, w_ih, w_hh, b_ih, b_hh, wo, bo,
      {lengths = o.lengths, targets = o.targets, start = o.start, cell = self.cell, steps = o.steps,
       teacher = o.teacher, stop = o.stop, p = self.dropout, training = self.training})
  end,
})

-- ---- the model ----

local methods = {step = base.step, forward = base.forward, greedy = base.greedy,
                 exact_match = base.exact_match}

function methods:new(o)
  o = options.check(NAME, o, {group = options.any(), input = options.any(), output = options.any(),
    cell = "lstm", hidden = 64, embedding = 64, dropout = 0, bidirectional = true,
    input_words = options.any(), output_words = options.any()})
  arguments.choice(NAME, "cell", o.cell, {"rnn", "gru", "lstm"})
  for _, name in ipairs {"hidden", "embedding"} do arguments.whole(NAME, name, o[name]) end
  arguments.number(NAME, "dropout", o.dropout, 0, 1)
  local symmetry = read_group(o)
  for _, side in ipairs {"input", "output"} do
    local given = o[side .. "_words"]
    if given and given ~= symmetry[side].size then
      error(("%s: %s_words is %s, but %s moves %d words"):format(NAME, side, given, side,
        symmetry[side].size), 3)
    end
  end
  self.cell, self.group = o.cell, symmetry.title
  self.encoder = encoder(symmetry, o)
  self.decoder = decoder(symmetry, o, o.hidden * (o.bidirectional and 2 or 1))
end

--- Encodes commands: the state that decoding starts from.
---
--- It holds the decoder's repeated weights too, so that every step finds them.
---@param x any ids [B, T]
---@param lengths? any ids per row [B]; nil: all T
---@return table {enc =, h =, c =, lengths =, weights =}
--- Example:
---     local swap = {{1, 2, 3, 4}, {1, 2, 4, 3}}
---     local group = equi.group.cyclic(2)
---     local model = equi.models.g_seq2seq {group = group, input = swap, output = swap}
---     print(model:start(equi.tensor({{3, 4, 2}}, {dtype = "i64"})).h:size())   --> 1 256
function methods:start(x, lengths)
  local enc, state = self.encoder(x, lengths)
  state.enc, state.lengths, state.weights = enc, lengths, self.decoder:weights()
  return state
end

--- Makes an equivariant model; start, step, forward, greedy and exact_match are seq2seq's.
---@param o table {group = the group, input = how it moves command ids, output = how it moves answer
--- ids (each an action on ids, or a list of permutations, one per element), cell = "lstm" or "rnn"
--- or "gru", hidden = 64 units per direction and element, embedding = 64 per element, bidirectional
--- = true, dropout = 0; input_words and output_words may state the sizes, which the actions know}
--- Example:
---     local group = equi.group.cyclic(2)
---     local swap = equi.action.vocabulary(group, {size = 5, swaps = {{3, 4}}})
---     local model = equi.models.g_seq2seq {group = group, input = swap, output = swap}
---     local x = equi.tensor({{3, 5, 2}}, {dtype = "i64"})
---     local a, b = model(x, nil, nil, {steps = 4}), model(swap("r", x), nil, nil, {steps = 4})
---     print((a[{1, 1, 3}] - b[{1, 1, 4}]):abs():item() < 1e-5)   --> true
return nn.class(NAME, methods)
