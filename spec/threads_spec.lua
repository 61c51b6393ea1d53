-- A training run has one result: the same bits on one thread and on two, and each time it is run.
-- So has an op while the number of threads grows and shrinks between calls.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local sampler = require "lua_equi.data.sampler"
local scan = require "lua_equi.data.scan"
local sequences = equi.data.sequences

local STEPS = 30
local words_in, words_out = scan.vocabularies()
local pairs_of_ids = {}
for i, pair in ipairs(scan.split "add_jump") do
  if i > 200 then break end
  pairs_of_ids[i] = {words_in:encode(pair.input), words_out:encode(pair.output)}
end

-- Every bit that training leaves behind: weights, then the last loss. Half of the steps feed the
-- target, the others the model's own answers.
local function trained(batch, hidden)
  equi.seed(11)
  local model = equi.models.seq2seq {cell = "lstm", hidden = hidden, dropout = 0.1}
  local optimizer = equi.optim.adam(model, {lr = 1e-3})
  local source = sampler.new(#pairs_of_ids, {seed = 3})
  local loss
  for step = 1, STEPS do
    local chosen = {}
    for i = 1, batch do chosen[i] = pairs_of_ids[source:next()] end
    local b = sequences.batch(chosen)
    local logp, tokens = model(b.x, b.y, b.lengths, {teacher = step % 2 == 0, steps = b.y:size(2)})
    loss = equi.sequence_nll(logp, b.y, tokens) / batch
    optimizer:zero_grad()
    loss:backward()
    equi.optim.clip_norm(optimizer.groups[1].params, 5)
    optimizer:step()
  end
  local bytes = {}
  for i, p in ipairs(model:named_parameters()) do bytes[i] = p.tensor:tobytes() end
  bytes[#bytes + 1] = loss:detach():tobytes()
  return table.concat(bytes)
end

describe("training on SCAN", function()
  for _, batch in ipairs {4, 32} do
    it(("has the same bits on 1 and 2 threads and when repeated, batch %d"):format(batch),
       function()
      local first
      oracle.both_threads(function()
        local bytes = trained(batch, 64)
        first = first or bytes
        return bytes
      end)
      assert.is_true(first == trained(batch, 64)) -- not assert.equal, which would print the bytes
    end)
  end
end)

describe("the number of threads", function()
  it("may change between any two calls, to more than there are cores and back", function()
    local before = equi.threads()
    finally(function() equi.threads(before) end)
    equi.seed(5)
    local x, a = equi.randn(300000), equi.randn(200, 300)
    local d = equi.randn({150, 150}, {dtype = "f64"})
    local function bytes()
      return x:exp():tobytes() .. x:sum():tobytes() .. a:matmul(a:t()):tobytes()
             .. d:matmul(d):tobytes()
    end
    equi.threads(1)
    local first = bytes()
    for _, n in ipairs {2, 5, 1, 3, 8, 2, 1, 4} do
      assert.equal(n, equi.threads(n))
      for _ = 1, 5 do assert.is_true(first == bytes(), n .. " threads") end
    end
  end)
end)
