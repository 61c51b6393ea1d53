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
    local sum, most = 0, -math.huge
    for _, e in ipairs(list) do most = math.max(most, e.s) end
    for _, e in ipairs(list) do sum = sum + math.exp(e.s - most) end
    for _, e in ipairs(list) do e.p = math.exp(e.s - most) / sum end
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
    for _, e in ipairs(list) do
      entropy = entropy - (e.p > 0 and e.p * math.log(e.p) or 0)
    end
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

  -- Only a search by ranks over many tokens counts them in buckets.
  it("picks of a large vocabulary as the definitions say, whatever the logits", function()
    local size, rng = 3001, equi.generator(5)
    local normal = equi.randn({size}, {dtype = "f64", generator = rng})
    local kinds = {
      normal = normal * 3,
      ["f32"] = (normal * 3):to "f32",
      ["almost flat"] = normal * 1e-5,
      ["far apart"] = normal * 1e5,
      ["many equal"] = (normal * 2):floor(),
      ["one is certain"] = equi.where(equi.arange(1, size, {dtype = "f64"}):eq(77), 60, normal),
      ["some of -inf"] = equi.where(normal:gt(1), -math.huge, normal),
      ["beyond f32"] = normal * 1e300,
      ["hardly numbers"] = normal * 1e-200,
    }
    for name, x in pairs(kinds) do
      local list = {}
      for i, v in ipairs(x:totable()) do list[i] = v end
      for _, o in ipairs {{}, {top_k = 50}, {top_p = 0.9}, {typical = 0.8},
        {temperature = 0.7, top_k = 900, top_p = 0.951, typical = 0.9}} do
        -- by definition what differs by so little is as typical; to numbers it is not
        if name == "hardly numbers" then o.typical = nil end
        local sorted = naive(list, o)
        local at = {}
        for rank, e in ipairs(sorted) do at[e.id] = rank end
        for v = 0.01, 0.99, 0.14 do
          local sum, rank = 0, #sorted
          for r, e in ipairs(sorted) do
            sum = sum + e.p
            if sum > v then
              rank = r
              break
            end
          end
          local id = equi.sample(x:reshape(1, -1), u(v), nil, o)[1]:item()
          assert.equal(sorted[rank].id, id, ("%s at %g: rank %d, not %s"):format(name, v, rank,
            tostring(at[id])))
        end
      end
    end
  end)

  it("a renaming renames the pick wherever the tokens stand, also where sums must be exact",
    function()
      local size, rng = 1003, equi.generator(9)
      local x = equi.randn({size}, {generator = rng})
      local order = equi.permutation(size, {generator = rng})
      local there = x:index_select(1, order):reshape(1, -1)
      local rank = {}
      for i, e in ipairs(naive(x:totable(), {})) do rank[i] = e end
      local total = 0
      for i, e in ipairs(rank) do -- at the borders between ranks every bit of the sum counts
        total = total + e.p
        for _, o in ipairs {{}, {typical = 0.95}} do
          local v = i < size and total or 0.5
          local a = equi.sample(x:reshape(1, -1), u(v), nil, o)[1]:item()
          assert.equal(a, order[equi.sample(there, u(v), nil, o)[1]:item()]:item(), i)
        end
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
