-- sample: one token a row, by rank; the filters against a plain reading of their definitions.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"

local function row(list) return equi.tensor({list}, {dtype = "f64"}) end
local function u(...) return equi.tensor({...}, {dtype = "f64"}) end

-- Probabilities of tokens left by Hugging Face's filters, in ranks, by tables and sorting.
local function naive(logits, o)
  local n, list = #logits, {}
  for id = 1, n do
    list[id] = {id = id, s = logits[id] / (o.temperature or 1)}
  end
  local function normalise()
    local sum = 0
    for _, e in ipairs(list) do sum = sum + math.exp(e.s) end
    for _, e in ipairs(list) do e.p = math.exp(e.s) / sum end
  end
  local function cut(key, share)
    table.sort(list, function(a, b) return a[key] > b[key] or a[key] == b[key] and a.id < b.id end)
    local kept, sum = {}, 0
    for _, e in ipairs(list) do
      if share(#kept, sum) or kept[1] and kept[#kept][key] == e[key] then
        kept[#kept + 1] = e
        sum = sum + e.p
      end
    end
    list = kept
    normalise()
  end
  normalise()
  if o.top_k then cut("s", function(k) return k < o.top_k end) end
  if o.top_p then cut("s", function(_, sum) return sum < o.top_p end) end
  if o.typical then
    local entropy = 0
    for _, e in ipairs(list) do entropy = entropy - e.p * math.log(e.p) end
    for _, e in ipairs(list) do e.near = -math.abs(-math.log(e.p) - entropy) end
    cut("near", function(_, sum) return sum < o.typical end)
  end
  cut("s", function() return true end)
  return list
end

local function expected(logits, o, x)
  local sum = 0
  local list = naive(logits, o)
  for _, e in ipairs(list) do
    sum = sum + e.p
    if sum > x then return e.id end
  end
  return list[#list].id
end

describe("sample", function()
  local logits = oracle.data({40}, {low = -3, high = 3}):totable()

  it("filters and picks as the definitions say", function()
    local cases = {{}, {temperature = 0.5}, {top_k = 7}, {top_p = 0.6}, {typical = 0.4},
      {temperature = 1.5, top_k = 20, top_p = 0.8, typical = 0.7}, {top_k = 1}, {top_p = 1e-9}}
    for i, o in ipairs(cases) do
      for x = 0, 0.999, 0.0137 do
        local ids = equi.sample(row(logits), u(x), nil, o)
        assert.equal(expected(logits, o, x), ids[1]:item(), ("case %d at %g"):format(i, x))
      end
    end
  end)

  it("gives the log-probability under the logits as they came", function()
    local ids, logp = equi.sample(row(logits), u(0.3), nil, {temperature = 0.3, top_k = 3})
    local all = equi.log_softmax(row(logits))
    assert.near(all[{1, ids[1]:item()}]:item(), logp[1]:item(), 1e-12)
  end)

  it("a renaming of the tokens renames the pick", function()
    local order = equi.permutation(40, {generator = equi.generator(3)})
    local there = equi.tensor(logits, {dtype = "f64"}):index_select(1, order):reshape(1, -1)
    for x = 0, 0.99, 0.09 do
      local a = equi.sample(row(logits), u(x), nil, {typical = 0.9})
      local b = equi.sample(there, u(x), nil, {typical = 0.9})
      assert.equal(a[1]:item(), order[b[1]:item()]:item())
    end
  end)

  it("equally likely tokens stay or go together, and stand in the order of their ids", function()
    local flat = row {1, 2, 2, 2, 0}
    local function picks(o)
      local seen = {}
      for x = 0, 0.999, 0.01 do seen[equi.sample(flat, u(x), nil, o)[1]:item()] = true end
      return seen
    end
    assert.same({[2] = true, [3] = true, [4] = true}, picks {top_k = 1})
    assert.same({[2] = true, [3] = true, [4] = true}, picks {top_p = 0.1})
    assert.same({[2] = true}, picks {temperature = 0})
    assert.equal(2, equi.sample(flat, u(0), nil, {})[1]:item())
  end)

  it("penalises what was seen, once, as the sign of the logit demands", function()
    local x, seen = row {2, -1, 1.2}, equi.tensor({{1, 1, 2, 0}}, {dtype = "i64"})
    assert.equal(3, equi.sample(x, u(0), seen, {penalty = 2, temperature = 0})[1]:item())
    assert.equal(1, equi.sample(x, u(0), seen, {penalty = 1.5, temperature = 0})[1]:item())
    local _, logp = equi.sample(x, u(0), seen, {penalty = 2, temperature = 0})
    assert.near(equi.log_softmax(x)[{1, 3}]:item(), logp[1]:item(), 1e-12)
    assert.equal(2, equi.sample(x, u(0.999999), seen, {penalty = 5})[1]:item())
  end)

  it("rows are apart, tokens of -inf never come, f32 and i64 come back", function()
    local x = equi.tensor {{0, -math.huge, 0}, {-math.huge, 5, -math.huge}}
    local ids, logp = equi.sample(x, equi.tensor {0.6, 0.99})
    assert.same({3, 2}, ids:totable())
    assert.same({"i64", "f32"}, {ids.dtype, logp.dtype})
    assert.same({0}, {equi.sample(equi.zeros(0, 3), equi.zeros(0)):size()})
  end)

  it("names what is wrong", function()
    local x, one = row {1, 2}, u(0.5)
    oracle.raises("sample: logits must be batch x vocabulary, they are 2", equi.sample,
      equi.ones(2), one)
    oracle.raises("sample: uniform must be one number for each of the 1 rows, it is 2", equi.sample,
      x, u(0.1, 0.2))
    oracle.raises("sample: uniform must be from 0 to below 1, it is 1 in row 1", equi.sample, x,
      u(1))
    oracle.raises("sample: seen holds id 3; ids are 1 to 2, or 0 for none", equi.sample, x, one,
      equi.tensor({{3}}, {dtype = "i64"}))
    oracle.raises("sample: seen must be a list of ids for each of the 1 rows, it is 1", equi.sample,
      x, one, equi.tensor({3}, {dtype = "i64"}))
    oracle.raises("sample: temperature must not be negative, got -1", equi.sample, x, one, nil,
      {temperature = -1})
    oracle.raises("sample: top_k must be 0 (all) or more, got -2", equi.sample, x, one, nil,
      {top_k = -2})
    oracle.raises("sample: top_p must be above 0 and at most 1, got 0", equi.sample, x, one, nil,
      {top_p = 0})
    oracle.raises("sample: typical must be above 0 and at most 1, got 2", equi.sample, x, one, nil,
      {typical = 2})
    oracle.raises("sample: penalty must be above 0, got 0", equi.sample, x, one, nil, {penalty = 0})
    oracle.raises("sample: row 1 has no token to pick: its logits hold nan or inf", equi.sample,
      row {0 / 0, 1}, one)
    oracle.raises("row 1 has no token", equi.sample, row {-math.huge, -math.huge}, one)
  end)
end)
