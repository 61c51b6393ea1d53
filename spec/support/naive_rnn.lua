-- Recurrent layers over nested Lua tables, one gate and one number at a time: PyTorch's formulas as
-- its documentation states them, with no regard for speed.
local naive = {}

local function sigmoid(v) return 1 / (1 + math.exp(-v)) end
local function tanh(v) return 1 - 2 / (math.exp(2 * v) + 1) end
local function relu(v) return math.max(v, 0) end

-- Row i of w times v, plus b[i]; blocks of rows belong to gates: row(gate, unit).
local function affine(w, b, v, i)
  local sum = b and b[i] or 0
  for k = 1, #v do sum = sum + w[i][k] * v[k] end
  return sum
end

-- p: w_ih, w_hh, b_ih, b_hh. Returns h (and c) after one step.
function naive.step(kind, p, x, h, c)
  local H, h1, c1 = #h, {}, c and {}
  local function from_x(gate, u) return affine(p.w_ih, p.b_ih, x, (gate - 1) * H + u) end
  local function from_h(gate, u) return affine(p.w_hh, p.b_hh, h, (gate - 1) * H + u) end
  local function both(gate, u) return from_x(gate, u) + from_h(gate, u) end
  for u = 1, H do
    if kind == "lstm" then
      local i, f = sigmoid(both(1, u)), sigmoid(both(2, u))
      local g, o = tanh(both(3, u)), sigmoid(both(4, u))
      c1[u] = f * c[u] + i * g
      h1[u] = o * tanh(c1[u])
    elseif kind == "gru" then
      local r, z = sigmoid(both(1, u)), sigmoid(both(2, u))
      local n = tanh(from_x(3, u) + r * from_h(3, u))
      h1[u] = (1 - z) * n + z * h[u]
    else
      h1[u] = (kind == "rnn_relu" and relu or tanh)(both(1, u))
    end
  end
  return h1, c1
end

-- x [B][T][D], h and c [B][H] -> y, h_n, c_n. lengths and reverse as in equi.rnn.
function naive.sequence(kind, p, x, h, c, lengths, reverse)
  local y, h_n, c_n = {}, {}, c and {}
  for b = 1, #x do
    local n, hb, cb = lengths and lengths[b] or #x[b], h[b], c and c[b]
    y[b] = {}
    for s = 1, n do
      local t = reverse and n + 1 - s or s
      hb, cb = naive.step(kind, p, x[b][t], hb, cb)
      y[b][t] = hb
    end
    for t = n + 1, #x[b] do
      y[b][t] = {}
      for u = 1, #hb do y[b][t][u] = 0 end
    end
    h_n[b] = hb
    if c then c_n[b] = cb end
  end
  return y, h_n, c_n
end

local function log_softmax(v)
  local sum, out = 0, {}
  for i = 1, #v do sum = sum + math.exp(v[i]) end
  for i = 1, #v do out[i] = v[i] - math.log(sum) end
  return out
end

-- The decoder of equi.attn_decoder, without dropout. p: enc, h0, c0, emb, wc, bc, the cell's, wo,
-- bo; o: cell, steps, sos, eos, teacher, stop, targets, lengths, start. -> logp, tokens, h_n, c_n
function naive.decoder(p, o)
  local logp, tokens, h_n, c_n = {}, {}, {}, p.c0 and {}
  for b = 1, #p.enc do
    local h, c, ended = p.h0[b], p.c0 and p.c0[b], false
    local word = o.start and o.start[b] or o.sos or 1
    local places = o.lengths and o.lengths[b] or #p.enc[b]
    logp[b], tokens[b] = {}, {}
    for s = 1, o.steps do
      if ended then
        tokens[b][s], logp[b][s] = o.eos or 2, {}
        for v = 1, #p.wo do logp[b][s][v] = 0 end
      else
        local cat, weight, sum, x = {table.unpack(p.emb[word])}, {}, 0, {}
        for t = 1, places do
          weight[t] = math.exp(affine(p.enc[b], nil, h, t))
          sum = sum + weight[t]
        end
        for u = 1, #h do
          local k = 0
          for t = 1, places do k = k + weight[t] / sum * p.enc[b][t][u] end
          cat[#cat + 1] = k
        end
        for i = 1, #p.wc do x[i] = relu(affine(p.wc, p.bc, cat, i)) end
        h, c = naive.step(o.cell or "lstm", p, x, h, c)
        local logits, best = {}, 1
        for v = 1, #p.wo do
          logits[v] = affine(p.wo, p.bo, h, v)
          if logits[v] > logits[best] then best = v end
        end
        logp[b][s], tokens[b][s] = log_softmax(logits), best
        word = o.teacher and o.targets[b][s] or best
        ended = o.stop and best == (o.eos or 2)
      end
    end
    h_n[b] = h
    if c then c_n[b] = c end
  end
  return logp, tokens, h_n, c_n
end

return naive
