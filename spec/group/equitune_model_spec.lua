-- Equituned models as models: several inputs and results, gradients and training, the methods of
-- modules, state, refusals, memory.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local group, action, combine, nn = equi.group, equi.action, equi.combine, equi.nn

local c2, c3, c4 = group.cyclic(2), group.cyclic(3), group.cyclic(4)
local act = action.regular(c4)
local function f64(...) return oracle.data(...) end
local function ids(t) return equi.tensor(t, {dtype = "i64"}) end

describe("inputs and results", function()
  it("several inputs move together; false is repeated, nil and the rest are handed on", function()
    local seen = {}
    local w = f64({4, 4}, {seed = 2})
    local function f(x, y, z, absent, extra, options)
      seen = {x:size(1), y:size(1), z:size(1), absent, extra, options}
      return (x:matmul(w) + y * z):tanh()
    end
    local model = equi.equitune(f, {input = {act, act, false, act}, output = act, chunk = 2})
    local x, y, z, opts = f64(3, 4), f64({3, 4}, {seed = 2}), f64({3, 1}, {seed = 3}), {}
    local got = model(x, y, z, nil, "text", opts)
    assert.same({6, 6, 6, nil, "text", opts}, seen)
    local total = 0
    for _, g in ipairs(c4:elements()) do
      total = total + act(g.inverse, f(act(g, x), act(g, y), z, nil, nil, nil))
    end
    oracle.near(got, total / 4, 1e-14)
    local report = equi.check.equivariance(model, {x, y, z})
    assert.is_true(report.ok and report.worst > 0, tostring(report))
  end)

  it("an input that is false and no tensor is handed on", function()
    local got
    local function f(x, v) got = v return x end
    equi.equitune(f, {input = {act, false}, output = act})(f64(2, 4), "word")
    assert.equal("word", got)
    equi.equitune(f, {input = {act, false}, output = act})(f64(2, 4))
    assert.is_nil(got)
  end)

  it("several results have an action each", function()
    local w = f64({4, 4}, {seed = 2})
    local function f(x) return x:matmul(w):tanh(), x:matmul(w):sin(), "not combined" end
    local kinds = {combine.mean, combine.best(function(a, b) return (a + b):sum(-1) end),
                   combine.weighted(function(x) return x:cos():sum(-1) end)}
    for _, kind in ipairs(kinds) do
      local model = equi.equitune(f, {input = act, output = {act, false}, combine = kind})
      local x = f64(3, 4)
      assert.equal(2, select("#", model(x)))
      local a, b = model(x)
      for _, g in ipairs(c4:elements()) do
        local ga, gb = model(act(g, x))
        oracle.near(ga, act(g, a), 1e-14)
        oracle.near(gb, b, 1e-14)
      end
      assert.is_true(equi.check.equivariance(model, {x}).ok)
    end
  end)

  it("models nest: equituned over both factors of a product", function()
    local w, rows = f64({12, 12}, {seed = 4}), action.regular(c3, {dim = -2})
    local function f(x) return x:reshape(-1, 12):matmul(w):tanh():reshape(-1, 3, 4) end
    local inner = equi.equitune(f, {input = act, output = act})
    local outer = equi.equitune(inner, {input = rows, output = rows})
    local both = rows * act
    local at_once = equi.equitune(f, {input = both, output = both})
    oracle.near(outer(f64(2, 3, 4)), at_once(f64(2, 3, 4)), 1e-14)
    assert.equal(12, at_once.order)
  end)

  it("an empty batch is one", function()
    local model = equi.equitune(function(x) return x * 2 end, {input = act, output = act})
    assert.same({0, 4}, model(equi.zeros(0, 4)).shape)
  end)
end)

local function linear(dtype)
  local layer = nn.linear(4, 4)
  layer.weight:detach():copy_(f64({4, 4}, {seed = 3, low = -0.5, high = 0.5}))
  layer.bias:detach():copy_(f64({4}, {seed = 4, low = -0.5, high = 0.5}))
  return layer:to(dtype or "f64")
end

-- What the model's parameters are without equi.nn: tensors given from outside.
local function with_weights(w)
  return function(x) return x:matmul(w):tanh() end
end

describe("gradients", function()
  local x, w, v = f64(2, 4), f64({4, 4}, {seed = 2}), f64({4, 1}, {seed = 6})
  local kinds = {
    mean = function() return combine.mean end,
    weighted = function(net) return combine.weighted(function(z) return z:matmul(net) end) end,
    ["weighted without softmax"] = function(net)
      return combine.weighted(function(z) return z:matmul(net):exp() end, {softmax = false})
    end,
    relaxed = function() return combine.relaxed({2}, 4) end,
  }
  for name, kind in pairs(kinds) do
    it("of " .. name .. " are right for inputs, weights and the weighting net", function()
      for _, chunk in ipairs {1, 4} do
        oracle.gradcheck(function(input, weight, net)
          return equi.equitune(with_weights(weight), {input = act, output = act,
            combine = kind(net), chunk = chunk})(input)
        end, {x, w, v}, {second = chunk == 4})
      end
    end)
  end

  it("of best pass straight through: they are the mean's", function()
    local function gradients(kind)
      local a, b = x:clone():requires_grad_(), w:clone():requires_grad_()
      local model = equi.equitune(with_weights(b), {input = act, output = act, combine = kind});
      (model(a) * f64(2, 4)):sum():backward()
      return {a.grad:totable(), b.grad:totable()}
    end
    local best = combine.best(function(y) return (y:max(-1)) end)
    assert.same(gradients(combine.mean), gradients(best))
    local report = equi.check.gradients(equi.equitune(with_weights(w), {input = act, output = act,
      combine = best}), {x})
    assert.is_false(report.ok) -- not the slope of the choice, as documented
  end)

  it("training keeps it equivariant and changes it", function()
    local nets = {combine.mean, combine.weighted(nn.linear(4, 1):to "f64"),
                  combine.best(function(y) return (y:max(-1)) end)}
    for _, kind in ipairs(nets) do
      local layer = linear()
      local model = equi.equitune(layer, {input = act, output = act, combine = kind})
      local opt, before = equi.optim.adam(model, {lr = 0.05}), model(x)
      for _ = 1, 3 do
        opt:zero_grad();
        ((model(x) - 1) ^ 2):sum():backward()
        opt:step()
      end
      assert.is_true((model(x) - before):abs():max():item() > 1e-3)
      local report = equi.check.equivariance(model, {x})
      assert.is_true(report.ok, tostring(report))
    end
  end)
end)

describe("as a module", function()
  local function tuned()
    return equi.equitune(linear "f32", {input = act, output = act,
                                        combine = combine.weighted(nn.linear(4, 1))})
  end

  it("has the methods of modules", function()
    local m = tuned()
    assert.equal(4, #m:parameters())
    assert.equal(4 * 5 + 5, m:count())
    local names = {}
    for _, p in ipairs(m:named_parameters()) do names[#names + 1] = p.name end
    assert.same({"model.bias", "model.weight", "weight.bias", "weight.weight"}, names)
    m:eval()
    assert.is_false(m.model.training or m.combine.net.training)
    assert.is_true(m:train().model.training)
    m:freeze "model.*"
    assert.equal(5, m:count {trainable = true})
    m:unfreeze()
    m(equi.ones(2, 4)):sum():backward()
    assert.is_truthy(m.model.weight.grad)
    m:zero_grad()
    assert.is_nil(m.model.weight.grad)
    assert.equal("f64", m:to "f64".model.weight.dtype)
    assert.equal("f64", m(equi.ones({2, 4}, {dtype = "f64"})).dtype)
  end)

  it("saves and loads, and is part of another module", function()
    local a, b = tuned(), tuned()
    b.model.weight:detach():fill_(3)
    b:load_state_dict(a:state_dict())
    assert.equal(a.model.weight:tobytes(), b.model.weight:tobytes())
    local holder = nn.class("holder", {
      new = function(self) self.inner = a end,
      forward = function(self, x) return self.inner(x) end,
    })()
    assert.equal(25, holder:count())
    assert.is_truthy(holder:state_dict()["inner.model.weight"])
    assert.same({2, 4}, holder(equi.ones(2, 4)).shape)
  end)

  it("clones are independent, shared parts stay shared, cycles end", function()
    local m = tuned()
    local c, x = m:clone(), f64({2, 4}, {dtype = "f32"})
    assert.equal(m(x):tobytes(), c(x):tobytes())
    c.model.weight:detach():fill_(0)
    c.combine.net.weight:detach():fill_(0)
    assert.is_true(m.model.weight:abs():sum():item() > 0)
    assert.is_true(m.combine.net.weight:abs():sum():item() > 0)
    local layer = linear "f32"
    layer.equituned = equi.equitune(layer, {input = act, output = act})
    local copy = layer:clone()
    assert.equal(copy, copy.equituned.model)
    assert.not_equal(layer.equituned, copy.equituned)
    assert.equal(20, layer:count())
  end)

  it("tells what it is, and cannot be changed behind its back", function()
    local m = tuned()
    assert.matches("equitune%(weighted, cyclic%(4%), order 4%)\n  model: linear", tostring(m))
    assert.same({4, 4, true, c4}, {m.order, m.chunk, m.exact, m.group})
    m.input[1] = action.regular(group.cyclic(5))
    assert.equal(c4, m.input[1].group)
    assert.equal(1, #m.output)
    oracle.raises('no field "wieght"; there are model, group', function() return m.wieght end)
    oracle.raises("is not changed by assignment", function() m.model = 1 end)
  end)
end)

describe("models with state", function()
  local words, answers = 7, 6
  local input = action.vocabulary(c2, {size = words, swaps = {{4, 5}}})
  local target = action.vocabulary(c2, {size = answers, swaps = {{3, 4}}})
  local logits = action.vocabulary(c2, {size = answers, swaps = {{3, 4}}, what = "logits"})
  local x = ids {{3, 4, 6, 2}, {5, 4, 7, 2}, {6, 7, 5, 2}}

  local function model(cell, kind)
    equi.seed(3)
    local base = equi.models.seq2seq {input_words = words, output_words = answers, cell = cell,
                                      hidden = 6, embedding = 5}:eval():to "f64"
    for _, p in ipairs(base:parameters()) do p:detach():mul_(4) end -- answers that vary
    return equi.equitune(base, {input = {input, target, false}, output = logits, combine = kind,
                                start = {input, false}, token = target})
  end

  -- Greedy with one shared choice of token; the log-probabilities of all steps as well.
  local function greedy(m, v)
    local state, token, tokens, all = m:start(v), equi.full({v:size(1)}, 1, {dtype = "i64"}), {}, {}
    for t = 1, 6 do
      local y
      y, state = m:step(state, token)
      token = y:argmax(-1)
      tokens[t], all[t] = token, y
    end
    return equi.stack(tokens, 2), equi.stack(all, 2)
  end

  local function top(y) return (y:max(-1)) end
  for _, cell in ipairs {"lstm", "gru", "rnn"} do
    it("greedy answers of " .. cell .. " follow the group", function()
      for _, kind in ipairs {combine.mean, combine.best(top)} do
        local m = model(cell, kind)
        equi.no_grad(function()
          local tokens, logp = greedy(m, x)
          local moved, moved_logp = greedy(m, input("r", x))
          oracle.near(moved_logp, logits("r", logp), 1e-12)
          assert.same(target("r", tokens):totable(), moved:totable())
          local plain = m.model:greedy(x, nil, {steps = 6})
          local plain_moved = m.model:greedy(input("r", x), nil, {steps = 6})
          assert.not_same(target("r", plain):totable(), plain_moved:totable())
        end)
      end
    end)
  end

  it("the first step is the call's, and steps are differentiable", function()
    local m = model("lstm", combine.mean)
    local _, logp = greedy(m, x)
    local whole = m(x, nil, nil, {steps = 1})
    oracle.near(logp[{{}, {1, 1}}], whole, 1e-13)
    logp:sum():backward()
    assert.is_true(m.model.encoder.embedding.weight.grad:abs():sum():item() > 0)
  end)

  it("teacher forcing gives each branch its own targets", function()
    local m = model("gru", combine.mean)
    local y = ids {{3, 5, 2}, {4, 4, 2}, {5, 3, 2}}
    local report = equi.check.equivariance(function(v, u)
      return (m(v, u, nil, {teacher = true, steps = 3}))
    end, {x, y}, {input = {input, target}, output = logits})
    assert.is_true(report.ok, tostring(report))
  end)

  it("refuses what has no meaning", function()
    local m = model("gru", combine.weighted(function(v) return v:to "f64":sum(-1) end))
    local s = m:start(x)
    oracle.raises("step cannot weight by a network of the inputs", m.step, m, s, ids {1, 1, 1})
    m = model("gru")
    oracle.raises("the token must be a tensor", m.step, m, m:start(x), 3)
    local plain = equi.equitune(function(v) return v end, {input = input})
    oracle.raises("the model has no method start", plain.start, plain, x)
    oracle.raises("the model has no method step", plain.step, plain, 0, ids {1})
    local picks = equi.equitune(function(v) return v end, {input = input, pick = function() end})
    oracle.raises("pick has no start", picks.start, picks, x)
  end)
end)

describe("equitune refuses", function()
  local function refuses(what, text, f)
    it(what, function() oracle.raises(text, f) end)
  end
  local function id(x) return x end
  local function made(opts, f) return equi.equitune(f or id, opts) end
  local x = f64(2, 4)

  refuses("no model", "the model must be a function, a module", function()
    equi.equitune(3, {input = act})
  end)
  refuses("a table that is no module", "got table", function() equi.equitune({}, {input = act}) end)
  refuses("no options", "must be a table of options", function() equi.equitune(id) end)
  refuses("an action instead of options", "must be a table of options, {input = action, ...}",
    function() equi.equitune(id, act) end)
  refuses("an unknown option", 'no option "inputs"; options are input, output', function()
    made {inputs = act}
  end)
  refuses("no input", "input is missing", function() made {output = act} end)
  refuses("only false", "input is missing", function() made {input = {false}} end)
  refuses("an empty list", "input lists 0 actions; 1 to 16", function() made {input = {}} end)
  refuses("a string", "input must be an action, or a list of actions and false, got string",
    function() made {input = "cyclic"} end)
  refuses("a group", "got a group; equi.action makes them", function() made {input = c4} end)
  refuses("a tuple", "input holds a tuple of actions; give the list", function()
    made {input = action.tuple {act, act}}
  end)
  refuses("actions of two groups", "output has an action of cyclic(3), input of cyclic(4)",
    function() made {input = act, output = action.regular(c3)} end)
  refuses("a combination by name", "combine must be made by equi.combine: mean, best(score)",
    function() made {input = act, combine = "mean"} end)
  refuses("a constructor as combination", "got function", function()
    made {input = act, combine = combine.best}
  end)
  refuses("a table as combination", "got table", function()
    made {input = act, combine = {kind = "median"}}
  end)
  refuses("chunk 0", "chunk must be at least 1 element, got 0", function()
    made {input = act, chunk = 0}
  end)
  refuses("chunk 1.5", "chunk", function() made {input = act, chunk = 1.5} end)
  refuses("pick that is no function", "pick must be a function of the inputs", function()
    made {input = act, pick = 3}
  end)
  refuses("pick and combine", "pick goes without combine", function()
    made {input = act, pick = id, combine = combine.mean}
  end)
  refuses("a call without input", "input 1 must be a tensor, got no value", function()
    made {input = act}()
  end)
  refuses("an input that is no tensor", "input 2 must be a tensor, got string", function()
    made {input = {act, act}}(x, "x")
  end)
  refuses("batches that differ", "input 2 has a batch of 3, input 1 of 2", function()
    made {input = {act, act}}(x, f64(3, 4))
  end)
  refuses("a single number", "input 1 is a single number", function()
    made {input = act}(equi.tensor(1))
  end)
  refuses("no batch dim", "the action moves dim 1 of the input (4), which is the batch", function()
    made {input = act}(f64(4))
  end)
  refuses("another size", "equitune: input 1: the action moves 4 positions", function()
    made {input = act}(f64(2, 5))
  end)
  refuses("a result without batch dim", "the action moves dim 1 of the result (8)", function()
    made({input = act, output = act}, function(v) return v:sum(-1) end)(x)
  end)
  refuses("a result of another batch",
    "the model's result is 1 x 4 for a batch of 8 rows (4 elements of 2)", function()
      made({input = act}, function(v) return v:sum(1, {keepdim = true}) end)(x)
    end)
  refuses("a number as result", "result 1 of the model must be a tensor, got number", function()
    made({input = act}, function() return 3 end)(x)
  end)
  refuses("a missing second result", "result 2 of the model must be a tensor, got nil", function()
    made {input = act, output = {act, act}}(x)
  end)
  refuses("integers to average", "result 1 of the model is i64; results are averaged", function()
    made({input = act}, function(v) return v:argmax(-1) end)(x)
  end)
  refuses("results that change between chunks", "the result is 2 x 4 for one chunk and 2 x 3",
    function()
      local n = 4
      made({input = act, chunk = 1}, function(v)
        n = n - 1
        return n == 3 and v or v[{{}, {1, 3}}]
      end)(x)
    end)
  refuses("scores of another size", "must return one f32 or f64 number for each of the 8 rows, it "
    .. "returned f64 8 x 4", function() made {input = act, combine = combine.best(id)}(x) end)
  refuses("no weights", "the weight network must return one f32 or f64 number", function()
    made {input = act, combine = combine.weighted(function() end)}(x)
  end)
  refuses("negative weights", "weight 1 of row 1 is -1; weights must not be negative", function()
    made {input = act, combine = combine.weighted(function(v) return v:sum(-1) * 0 - 1 end,
      {softmax = false})}(x)
  end)
  refuses("weights of 0", "all weights of row 1 are 0", function()
    made {input = act, combine = combine.weighted(function(v) return v:sum(-1) * 0 end,
      {softmax = false})}(x)
  end)
  refuses("a mask of another vocabulary", "the mask of general ids has 5 entries, the result is "
    .. "2 x 4", function() made {input = act, combine = combine.relaxed({1}, 5)}(x) end)
  refuses("general ids outside", "id 1 is 6; ids are 1 to 5", function()
    combine.relaxed({6}, 5)
  end)
  refuses("a score that is none", "score must be a function of the model's result, got nil",
    function() combine.best() end)
  refuses("a negative tolerance", "tolerance is -1", function()
    combine.best(id, {tolerance = -1})
  end)
  refuses("a net that is none", "net must be a module or a function of the inputs, got a tensor",
    function() combine.weighted(x) end)
  refuses("picks that are no integers", "pick must return i64 numbers of elements", function()
    made {input = act, pick = id}(x)
  end)
  refuses("picks of no tensor", "what pick returns must be a tensor", function()
    made {input = act, pick = function() end}(x)
  end)
  refuses("picks of another batch", "for each of the 2 rows, it returned i64 3", function()
    made {input = act, pick = function() return ids {1, 1, 1} end}(x)
  end)
  refuses("picks outside of the group",
    "pick returned element 5 for row 2; cyclic(4) has elements 1 to 4",
    function() made {input = act, pick = function() return ids {1, 5} end}(x) end)

  it("and an error of the model passes through as it is", function()
    local model = made({input = act}, function() error({code = 3}) end)
    local ok, e = pcall(model, x)
    assert.is_false(ok)
    assert.equal(3, e.code)
  end)
end)
