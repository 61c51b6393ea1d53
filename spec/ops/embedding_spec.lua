-- embedding: rows of a table by ids that count from 1.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local op = require "spec.support.cases"

local function rows(ids, weight)
  if type(ids) ~= "table" then return weight[ids] end
  local r = {}
  for i, id in ipairs(ids) do r[i] = rows(id, weight) end
  return r
end

local function ids(t) return equi.tensor(t, {dtype = "i64"}) end
local function padded(i, w) return equi.embedding(i, w, {padding_idx = 2}) end
local function swapped(w, i) return equi.embedding(i, w) end

op("embedding", {
  {"of a matrix of ids", inputs = {ids {{1, 3}, {3, 2}, {4, 1}}, oracle.data(4, 3)}, naive = rows,
   second = true},
  {"of one id", inputs = {ids(2), oracle.data(4, 3)}, naive = rows, second = true},
  {"of width 1", inputs = {ids {1, 1, 1}, oracle.data(1, 1)}, naive = rows, second = true},
  {"1 and 2 threads", f = swapped, inputs = {oracle.data(4, 3), ids {1, 2, 2, 1}},
   naive = function(w, i) return rows(i, w) end, big = {{2, 500}, {3000}}},
})

describe("embedding", function()
  it("gives the padding row no gradient, and the rule of that rule neither", function()
    local w = oracle.data(3, 2):requires_grad_()
    padded(ids {1, 2, 1}, w):sum():backward()
    oracle.near(w.grad, {{2, 2}, {0, 0}, {0, 0}}, 0)
    equi.embedding(ids {1, 2}, w, {padding_idx = -2}):sum():backward()
    oracle.near(w.grad, {{3, 3}, {0, 0}, {0, 0}}, 0)
    local g = oracle.data(3, 2):requires_grad_()
    local v = oracle.data(3, 2):requires_grad_()
    local first = equi.grad(padded(ids {1, 2, 1}, v), v, g, {create_graph = true})
    first:sum():backward()
    oracle.near(g.grad, {{1, 1}, {0, 0}, {1, 1}}, 0)
  end)

  it("takes no ids", function()
    local w = equi.ones(2, 3):requires_grad_()
    local y = equi.embedding(equi.zeros(0, {dtype = "i64"}), w)
    assert.same({0, 3}, {y:size()})
    y:sum():backward()
    oracle.near(w.grad, {{0, 0, 0}, {0, 0, 0}}, 0)
  end)

  it("names the id and the range", function()
    local w = equi.ones(3, 2)
    local message = "embedding: id %d at position %d is outside 1 to 3, the rows of weight"
    oracle.raises(message:format(4, 2), equi.embedding, ids {1, 4}, w)
    oracle.raises(message:format(0, 3), equi.embedding, ids {{1, 2}, {0, 5}}, w)
    oracle.raises(message:format(-1, 1), equi.embedding, ids {-1}, w)
    oracle.raises("embedding: weight must be rows x width, it is 3", equi.embedding, ids {1},
                  equi.ones(3))
    oracle.raises("embedding: padding_idx is 4, weight has rows 1 to 3", equi.embedding, ids {1}, w,
                  {padding_idx = 4})
    oracle.raises("embedding: ids must have dtype i64, it is f32", equi.embedding, equi.ones(2), w)
  end)
end)
