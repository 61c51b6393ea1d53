-- Accuracy of classifiers under moves of a group, against counting by hand.
local equi = require "lua_equi"
local classify = equi.classify

local c3 = equi.group.cyclic(3)
local turn = equi.action.regular(c3)
local function ids(list) return equi.tensor(list, {dtype = "i64"}) end
local function same(x) return x end

-- Twelve examples of three classes; the model reads the class off the place of the largest entry.
local function examples()
  local labels = {1, 2, 3, 1, 2, 3, 1, 1, 2, 2, 3, 3}
  return ids(labels):one_hot(3):to "f32", ids(labels), labels
end

describe("classify.evaluate", function()
  it("counts each move, the identity first", function()
    local x, y = examples()
    y[1] = 2
    local report = classify.evaluate(same, {{x, y}}, {moves = turn})
    assert.near(100 * 11 / 12, report.accuracy, 1e-9)
    assert.same({"e", "r", "r2"}, {report.moves[1].name, report.moves[2].name,
                                   report.moves[3].name})
    assert.near(100 / 12, report.moves[2].accuracy, 1e-9) -- the first is right once it is turned on
    assert.equal(0, report.moves[3].accuracy)
    assert.equal(12, report.count)
    assert.near(1, report.gap, 1e-6)
  end)

  it("draws a move for each example, the same ones for every model", function()
    local x, y, labels = examples()
    local report = classify.evaluate(same, {{x, y}}, {moves = turn, seed = 4})
    local draw, right = equi.data.random.new(4), 0
    local matrix = {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}}
    for _, label in ipairs(labels) do
      local g = draw:integer(3)
      local guess = (label - 1 + g - 1) % 3 + 1
      matrix[label][guess] = matrix[label][guess] + 1
      if g == 1 then right = right + 1 end
    end
    assert.near(100 * right / 12, report.random, 1e-9)
    assert.same(matrix, report.confusion)
    local blind = classify.evaluate(function(v) return v * 0 + equi.tensor {0, 1, 0} end, {{x, y}},
      {moves = turn, seed = 4})
    assert.near(100 * 4 / 12, blind.random, 1e-9)
    assert.equal(0, blind.gap)
  end)

  it("takes batches as a list, by name, or from an iterator, and weights them by their size",
    function()
      local x, y = examples()
      local parts = {{x = x[{{1, 5}}], y = y[{{1, 5}}]}, {x[{{6, 12}}], y[{{6, 12}}]}}
      local logits = x * 3 + equi.tensor {0, 1, 2}
      local whole = classify.evaluate(function() return logits end, {{x, y}})
      local by_parts = classify.evaluate(function(v) return v * 3 + equi.tensor {0, 1, 2} end,
        function()
          local i = 0
          return function()
            i = i + 1
            if parts[i] then return parts[i].x or parts[i][1], parts[i].y or parts[i][2] end
          end
        end)
      assert.near(whole.loss, by_parts.loss, 1e-6)
      assert.same(whole.confusion, by_parts.confusion)
      assert.equal(100, classify.accuracy(same, parts))
    end)

  it("evaluates in evaluation mode, records nothing, and leaves the mode", function()
    local net = equi.nn.sequential(equi.nn.linear(3, 3), equi.nn.dropout(0.9))
    local x, y = examples()
    local seen
    local probe = equi.nn.class("probe", {new = function(self) self.net = net end,
      forward = function(self, v)
        local z = self.net(v)
        seen = {z.requires_grad, self.net[2].training}
        return z
      end})()
    classify.evaluate(probe, {{x, y}})
    assert.same({false, false}, seen)
    assert.is_true(net[2].training)
  end)

  it("says what is wrong with labels, results and empty sets", function()
    local x, y = examples()
    for text, f in pairs {
      ["a label is 3, the model tells 2 classes apart"] = function()
        classify.evaluate(function(v) return v[{{}, {1, 2}}] end, {{x, y}})
      end,
      ["the model's result is 12 for 12 labels; it must be [B, classes]"] = function()
        classify.evaluate(function(v) return v:sum(2) end, {{x, y}})
      end,
      ["there are no examples"] = function() classify.evaluate(same, {}) end,
      ["labels must be an i64 tensor"] = function() classify.evaluate(same, {{x, x}}) end,
      ["model must be a module or a function, got 3"] = function()
        classify.evaluate(3, {{x, y}})
      end,
    } do
      local ok, message = pcall(f)
      assert.is_false(ok)
      assert.matches("classify.evaluate: " .. text, message, 1, true)
    end
  end)

  it("scores every class of a confusion matrix", function()
    local s = equi.classify.scores {{5, 0, 5}, {0, 0, 0}, {1, 1, 8}}
    assert.same({10, 6}, {s[1].count, s[1].predicted})
    assert.near(100 * 5 / 6, s[1].precision, 1e-9)
    assert.near(50, s[1].recall, 1e-9)
    assert.near(62.5, s[1].f1, 1e-9)
    assert.same({0, 0, 0}, {s[2].precision, s[2].recall, s[2].f1})
    assert.near(100 * 13 / 20, s.accuracy, 1e-9)
    assert.near((62.5 + s[3].f1) / 2, s.f1, 1e-9)
    assert.equal(0, equi.classify.scores({}).accuracy)
  end)
end)
