-- What a newcomer gets wrong, and what the plugin answers: the sentence, at the line of the caller.
local equi = require "lua_equi"

local weight = equi.ones(1, {requires_grad = true})
local env = setmetatable({equi = equi, nn = equi.nn, optim = equi.optim, weight = weight,
  opt = equi.optim.sgd({weight})}, {__index = _G})

-- What stands before "chunk:1: " is where the error was raised: nowhere else than in the chunk.
local function answer(code)
  local ok, problem = pcall(assert(load(code, "=chunk", "t", env)))
  return ok and "no error" or tostring(problem)
end

local function group(name, cases)
  describe(name, function()
    for _, case in ipairs(cases) do
      it(case[1], function() assert.equal("chunk:1: " .. case[2], answer(case[1])) end)
    end
  end)
end

local WHOLE = " must be a whole number of at least 1, got "
group("messages of nn", {
  {"nn.linear()", "linear: inputs" .. WHOLE .. "nothing"},
  {'nn.linear("a", 2)', "linear: inputs" .. WHOLE .. '"a"'},
  {"nn.linear(2)", "linear: outputs" .. WHOLE .. "nothing"},
  {"nn.linear(2, 0)", "linear: outputs" .. WHOLE .. "0"},
  {"nn.lstm(2)", "lstm: hidden" .. WHOLE .. "nothing"},
  {"nn.gru(2, 3, {layers = 0})", "gru: layers" .. WHOLE .. "0"},
  {"nn.embedding(10)", "embedding: features" .. WHOLE .. "nothing"},
  {"nn.layer_norm()", "layer_norm: shape" .. WHOLE .. "nothing"},
  {"nn.layer_norm {2, -1}", "layer_norm: each size" .. WHOLE .. "-1"},
  {'nn.dropout("x")', 'dropout: p must be a number of at least 0 and below 1, got "x"'},
  {"nn.dropout(1)", "dropout: p must be a number of at least 0 and below 1, got 1"},
  {"nn.attention(4, 0)", "attention: heads" .. WHOLE .. "0"},
  {"nn.embedding(10, 4, {padding_idx = 1})",
    'embedding: no option "padding_idx"; it has no options'},
  {"nn.layer_norm(4, {eps = -1})", "layer_norm: eps must be a number of at least 0, got -1"},
  {"nn.linear(2, 3, {bais = true})",
    'linear: no option "bais"; options are bias; did you mean "bias"?'},
  {'nn.rnn(2, 3, {nonlinearity = "than"})', "rnn: nonlinearity must be one of tanh, relu, got " ..
    '"than"'},
  {"nn.gru(2, 3, {dropout = 1})", "gru: dropout must be a number of at least 0 and below 1, got 1"},
  {"nn.parameters(3)", "parameters: a module is a table of tensors and modules, got 3"},
  {"nn.state_dict()", "state_dict: a module is a table of tensors and modules, got nothing"},
  {"nn.sequential(equi.tanh, 3)", "sequential: entry 2 must be a module or a function, got 3"},
  {"nn.freeze(nn.linear(2, 3), 3)",
    'freeze: the pattern must be a string such as "encoder.*", got 3'},
  {"nn.linear(2, 3):load_state_dict()", "load_state_dict: state must be a table of tensors by " ..
    "name, got nothing; m:state_dict() and equi.load_weights make one"},
  {"nn.class()", "class: name must be a string, got nothing"},
  {'nn.class("x")',
    "class: x needs {new = function, forward = function}, new is missing"},
  {'nn.class("x", {new = print})',
    "class: x needs {new = function, forward = function}, forward is missing"},
  {"nn.initialise.uniform(3)", "uniform: x must be a tensor, got 3"},
  {'nn.initialise.normal(weight, "a")', 'normal: mean must be a number, got "a"'},
  {"nn.initialise.constant(weight)", "constant: value must be a number, got nothing"},
  {"nn.initialise.xavier {}", "xavier: x must be a tensor, got a table"},
  {'nn.initialise.kaiming(equi.ones(2, 2), {mode = "x"})',
    'kaiming: mode must be "fan_in" or "fan_out", got "x"'},
  {'nn.linear(2, 3):to("f16")', 'to: a module\'s dtype is "f32" or "f64", got "f16"'},
  {"nn.lstm(2, 3)(equi.zeros(1, 1, 2), equi.zeros(1, 1, 3))", "in lstm: the state is " ..
    "{h, c}, two tensors in a table, got a tensor f32 1 x 1 x 3"},
  {"nn.attention(4, 2)(equi.zeros(3, 4))",
    "in attention: x must be B x T x 4, got a tensor f32 3 x 4"},
  {"nn.sequential(nn.linear(2, 3), nn.linear(2, 3))(equi.ones(1, 2))", "in sequential[2]: " ..
    "linear: inner sizes differ: x is 1 x 3, w is 3 x 2 (out x in); the last size of x must be 2"},
})

group("messages of optim", {
  {"optim.step_lr()", "step_lr: the first argument must be an optimizer, got nothing"},
  {"optim.step_lr(opt, 0)", "step_lr: every" .. WHOLE .. "0"},
  {"optim.cosine(opt)", "cosine: total" .. WHOLE .. "nothing"},
  {"optim.linear(opt, 1.5)", "linear: total" .. WHOLE .. "1.5"},
  {"optim.multi_step(opt, 3)", "multi_step: milestones must be a list of steps, got 3"},
  {'optim.plateau(opt, {mode = "x"})', 'plateau: mode must be one of min, max, got "x"'},
  {'opt:lr("x")', 'lr: the learning rate must be a number of at least 0, got "x"'},
  {"optim.adam({weight}, {beta1 = 1})", "adam: beta1 must be at least 0 and below 1, got 1"},
  {"optim.sgd({weight}, {momentum = -1})",
    "sgd: momentum must be finite and not negative, got -1"},
  {"optim.sgd({weight}, {lr = -1})", "sgd: lr must be finite and not negative, got -1"},
  {"optim.sgd({weight}, {lr = math.huge})", "sgd: lr must be finite and not negative, got inf"},
  {"optim.sgd({weight}, {dampening = -1})",
    "sgd: dampening must be finite and not negative, got -1"},
  {"optim.sgd({weight}, {nesterov = true})",
    "sgd: nesterov needs momentum above 0 and dampening 0, got 0 and 0"},
  {"optim.adam({weight}, {betas = {0.9, 0.99}})", 'adam: no option "betas"; options are beta1, ' ..
    'beta2, eps, lr, weight_decay; did you mean "beta1"?'},
  {"optim.adamw({weight}, {beta2 = -0.5})",
    "adamw: beta2 must be at least 0 and below 1, got -0.5"},
  {"optim.adamw({weight}, {eps = -1})", "adamw: eps must be finite and not negative, got -1"},
  {"optim.rmsprop({weight}, {alpha = 1})", "rmsprop: alpha must be at least 0 and below 1, got 1"},
  {"optim.rmsprop({weight}, {decay = 1})",
    'rmsprop: no option "decay"; options are alpha, eps, lr, momentum, weight_decay'},
  {"optim.sgd {{params = {weight}, rate = 1}}", 'sgd: no option "rate"; options are dampening, ' ..
    "lr, momentum, nesterov, weight_decay"},
  {"optim.sgd {{params = {weight}, lr = -1}}", "sgd: lr must be finite and not negative, got -1"},
  {"optim.sgd(3)", "sgd: params must be a module or a list of tensors, got 3"},
  {'optim.sgd {equi.ones(2, {dtype = "i64"})}',
    "sgd: parameter 1 of group 1 is i64; it must be f32 or f64"},
  {"opt:load_state_dict()",
    "load_state_dict: give what state_dict returned, {tensors = ..., numbers = ...}, got nothing"},
  {"optim.step_lr(opt, 1, {gamma = -1})",
    "step_lr: gamma must be a number of at least 0, got -1"},
  {"optim.step_lr(opt, 1, {gama = 1})",
    'step_lr: no option "gama"; options are gamma; did you mean "gamma"?'},
  {"optim.multi_step(opt, {1}, {gamma = -1})",
    "multi_step: gamma must be a number of at least 0, got -1"},
  {"optim.cosine(opt, 10, {floor = -1})", "cosine: floor must be a number of at least 0, got -1"},
  {"optim.cosine(opt, 10, {warmup = 1.5})",
    "cosine: warmup must be a whole number of at least 0, got 1.5"},
  {"optim.linear(opt, 10, {warmup = -1})",
    "linear: warmup must be a whole number of at least 0, got -1"},
  {"optim.plateau(opt, {gamma = -1})", "plateau: gamma must be a number of at least 0, got -1"},
  {"optim.plateau(opt, {patience = 1.5})",
    "plateau: patience must be a whole number of at least 0, got 1.5"},
  {"optim.plateau(opt, {threshold = -1})",
    "plateau: threshold must be a number of at least 0, got -1"},
  {"optim.cosine(opt, 10):load_state_dict {}",
    "load_state_dict: give what state_dict of such a schedule returned, got a table"},
  {"optim.clip_norm(3, 1)",
    "clip_norm: params must be an optimizer, a module or a list of tensors, got 3"},
  {"optim.clip_norm({weight})", "clip_norm: max_norm must be a number of at least 0, got nothing"},
})

group("messages of check, combine, train and files", {
  {"equi.check.equivariance(print, {equi.ones(1)}, {input = 3})", "check.equivariance: input " ..
    "must be an action, or a list of actions and false, got 3; equi.action makes them"},
  {"equi.combine.relaxed(3)", "combine.relaxed: ids must be a list of ids such as {2, 5}, got 3"},
  {"equi.train.run {optimizer = 3, steps = 1, step = print}",
    "train.run: optimizer must be an optimizer or a list of them, got 3"},
  {"equi.complete()",
    "complete: text must be a string, what stands before the cursor, got nothing"},
  {"equi.checkpoint.save()", "checkpoint.save: path must be a string, got nothing"},
  {"equi.safetensors.save({})", "safetensors.save: path must be a string, got a table"},
  {'equi.safetensors.save("x", {a = 3})',
    'safetensors.save: "a" must be a tensor, got number'},
  {'equi.safetensors.save("x", nn.linear(2, 3))', "safetensors.save: tensors must be a table of " ..
    "tensors by name, got a module; of a module, give m:state_dict()"},
})

group("messages of the core", {
  {'equi.arange("a")', 'arange: last must be a number, got "a"'},
  {"equi.linspace(1)", "linspace: last must be a number, got no value"},
  {'equi.memory("foo")',
    'memory: the verb must be one of "trim", "collect", "reset_peak", got "foo"'},
  {"equi.image.load {}", "image.load: the file name must be a string, got a table"},
  {'equi.image.save("x", 3)', "image.save: x must be a picture [C, H, W] " ..
    "or [H, W], or a batch [B, C, H, W], got 3"},
  {"equi.ones(3):normal_(1, {1})", "normal_: std must be a number, got table"},
  {'equi.frombytes("abc")', "frombytes: 3 bytes do not fill 0 of f32, 4 bytes each; " ..
    "{dtype = ...} says what the bytes are"},
  {"equi.no_grad(3)", "no_grad: needs a function to run without recording, got number"},
  {'equi.default_dtype("f16")', 'default_dtype: dtype must be "f32" or "f64", got "f16"'},
  {'equi.cat {equi.ones(2), equi.ones(2, {dtype = "f64"})}',
    'cat: tensors of dtype f32 and f64 do not mix; convert one: x:to "f64"'},
  {"equi.ones(2, {requires_grad = 3})", "ones: requires_grad must be true or false, got 3"},
  {"equi.randn(2, {requires_grad = 3})", "randn: requires_grad must be true or false, got 3"},
  {"weight.requires_grad = 3", "assignment: requires_grad must be true or false, got 3"},
  {"equi.zeros({2, 3}, 4)", "zeros: one list of sizes is enough, 4 is left over"},
  {"equi.softmax()", "softmax: x is missing; call it as softmax(x, dim = -1)"},
  {'equi.ones(3)[equi.tensor({1}, {dtype = "i64"})] = 3',
    "assignment: at an index tensor use x:scatter(dim, ids, values)"},
  {"equi.ones(2, 3, {requires_grad = true}):qr():sum():backward()", "backward: qr has a " ..
    "gradient for matrices with at least as many rows as columns, got 2 x 3"},
  {"equi.zeros_like(3)", "zeros_like: x must be a tensor, got 3"},
  {"equi.split(3, 1)", "split: x must be a tensor, got 3"},
})

describe("functions like another tensor", function()
  local x = equi.zeros(2, 3, {dtype = "f64"})

  it("have its shape and dtype", function()
    for name, value in pairs {zeros = 0, ones = 1, full = 7} do
      local y = equi[name .. "_like"](x, name == "full" and 7 or nil)
      assert.same({"f64", {2, 3}, value * 6}, {y.dtype, y.shape, y:sum():item()})
    end
    assert.equal("f64", equi.randn_like(x).dtype)
    assert.equal("f32", equi.rand_like(x, {dtype = "f32"}).dtype)
    assert.is_true(equi.ones_like(x, {requires_grad = true}).requires_grad)
  end)

  it("and the parts of one are there as functions", function()
    assert.equal(2, #equi.split(x, 1))
    assert.equal(3, #equi.unbind(x, 2))
    assert.equal(2, #equi.chunk(x, 2))
  end)
end)

describe("the public table", function()
  it("has no test hooks, and help lists no methods as functions", function()
    assert.is_nil(rawget(equi, "fail_allocation"))
    assert.is_function(equi.core.fail_allocation)
    local text = equi.help()
    assert.matches(" zeros_like", text, 1, true)
    assert.is_nil(text:find(" uniform_", 1, true))
    assert.is_nil(text:find(" backward", 1, true))
  end)
end)

describe("print", function()
  it("shows the functions of a sequential", function()
    local net = equi.nn.sequential(equi.nn.linear(2, 3), equi.tanh, function(x) return x end)
    assert.equal("sequential()\n  [1]: linear(2, 3)\n  [2]: equi.tanh\n  [3]: function",
      tostring(net))
  end)
end)
