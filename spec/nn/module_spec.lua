local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local nn = equi.nn

local function names_of(m)
  local names = {}
  for _, p in ipairs(nn.named_parameters(m)) do names[#names + 1] = p.name end
  return names
end

-- A userdata that takes part in the walk through `children`, as an equituned model does. It is a
-- file of Lua's whose metatable is changed; f gets it.
local function with_userdata(children, f)
  local u = assert(io.tmpfile())
  local own = getmetatable(u)
  debug.setmetatable(u, {__children = function() return children end})
  local ok, problem = pcall(f, u)
  debug.setmetatable(u, own)
  u:close()
  assert.is_true(ok, problem)
end

describe("nn modules", function()
  it("are walked in a fixed order, shared tensors and cycles once", function()
    local a = nn.linear(2, 2)
    local m = {b = a, a = {nn.linear(1, 1), a}, w = a.weight, _hidden = nn.linear(9, 9), n = 3}
    m.loop = m
    assert.same({"a.0.bias", "a.0.weight", "a.1.bias", "a.1.weight"}, names_of(m))
    local kinds = {}
    nn.walk({x = nn.dropout()}, function(kind, _, name) kinds[#kinds + 1] = kind .. " " .. name end)
    assert.same({"module ", "module x"}, kinds)
    assert.has_error(function() nn.walk(3, print) end,
      "walk: a module is a table of tensors and modules, got 3")
  end)

  it("tell buffers from parameters", function()
    local class = nn.class("counter", {buffers = {seen = true},
      new = function(self) self.seen, self.w, self.ids = equi.zeros(2), equi.ones(3),
        equi.tensor({1}, {dtype = "i64"}) end,
      forward = function(self, x) return x * self.w end})
    local m = class()
    assert.same({"ids", "w"}, names_of(m))
    assert.is_true(m.w.requires_grad)
    assert.is_false(m.seen.requires_grad)
    assert.is_false(m.ids.requires_grad)
    local state = m:state_dict()
    assert.is_true(state.seen:shares_storage(m.seen))
    assert.is_false(state.w.requires_grad)
  end)

  it("load a state exactly or not at all, naming every difference", function()
    local a, b = nn.sequential(nn.linear(2, 3), nn.linear(3, 1)), nn.sequential(nn.linear(2, 3),
      nn.linear(3, 1))
    assert.same({}, b:load_state_dict(a:state_dict()))
    oracle.near(b[2].weight, a[2].weight, 0)
    local state = nn.sequential(nn.linear(2, 3), nn.linear(4, 1)):state_dict()
    state["0.bias"], state.more = nil, equi.ones(1)
    local before = b[1].weight:tobytes()
    assert.has_error(function() b:load_state_dict(state) end,
      "load_state_dict: 3 entries do not fit: 1.weight is 1 x 4, the model's is 1 x 3; "
      .. "missing 0.bias; unexpected more")
    assert.has_error(function() b:load_state_dict(state, {strict = false}) end,
      "load_state_dict: 1 entry does not fit: 1.weight is 1 x 4, the model's is 1 x 3")
    assert.equal(before, b[1].weight:tobytes())
    state["1.weight"] = nil
    assert.same({"missing 0.bias", "missing 1.weight", "unexpected more"},
      b:load_state_dict(state, {strict = false}))
    oracle.near(b[1].weight, state["0.weight"], 0)
    state["1.weight"] = 3
    assert.has_error(function() b:load_state_dict(state, {strict = false}) end,
      "load_state_dict: 1 entry does not fit: 1.weight is a number, the model's is a tensor")
  end)

  it("miss the counts of batches in old files, and say so", function()
    local class = nn.class("norm", {buffers = {num_batches_tracked = true},
      new = function(self) self.weight, self.num_batches_tracked = equi.ones(2), equi.zeros(1) end,
      forward = function(self, x) return x * self.weight end})
    local m = {norm = class()}
    m.norm.num_batches_tracked:fill_(5)
    assert.same({"missing norm.num_batches_tracked"},
      nn.load_state_dict(m, {["norm.weight"] = equi.zeros(2)}))
    assert.same({0.0, 0.0}, m.norm.weight:totable())
    assert.equal(5.0, m.norm.num_batches_tracked:item())
    assert.has_error(function() nn.load_state_dict(m, {}) end,
      "load_state_dict: 1 entry does not fit: missing norm.weight")
  end)

  it("load a file of PyTorch's, naming the file in what is wrong", function()
    local folder = "spec/support/weights/"
    local state = equi.load_weights(folder .. "protocol4.pt")
    local m = nn.linear(3, 2)
    m.bias, m.b, m.w, m.weight = nil, equi.zeros(3):requires_grad_(), m.weight, nil
    assert.same({}, m:load(folder .. "protocol4.pt"))
    oracle.near(m.w:detach(), state.w, 0)
    assert.is_true(m.w.requires_grad)
    local function wrong(message, f) assert.has_error(f, message) end
    wrong("load: the path must be a string, got a table; load_state_dict takes tensors",
      function() m:load(state) end)
    wrong("load: cannot open no/such: No such file or directory",
      function() m:load "no/such" end)
    wrong('load: no option "stict"; options are copy, max_inflated, raw, rename, strict; did you '
      .. 'mean "strict"?', function() m:load("x", {stict = false}) end)
    wrong("load: 3 entries do not fit in " .. folder .. "f32.npy: missing b; missing w; "
      .. "unexpected tensor", function() m:load(folder .. "f32.npy") end)
    assert.same({"missing b", "missing w", "unexpected tensor"},
      m:load(folder .. "f32.npy", {strict = false}))
    assert.same({"missing b"}, m:load(folder .. "protocol4.pt", {strict = false,
      rename = function(name) return name == "w" and name end}))
    assert.error_matches(function() m:load(folder .. "os_system.pt") end, "nothing was executed")
  end)

  it("freeze and unfreeze by pattern", function()
    local m = {encoder = nn.linear(2, 2), ["head.a-b"] = nn.linear(2, 2)}
    nn.freeze(m, "encoder.*")
    assert.same({6, 12}, {nn.count(m, {trainable = true}), nn.count(m)})
    nn.unfreeze(m)
    nn.freeze(m, "*.bias")
    assert.equal(8, nn.count(m, {trainable = true}))
    nn.freeze(m, "head.a-b.weight") -- no pattern of Lua's
    assert.equal(4, nn.count(m, {trainable = true}))
    assert.has_error(function() nn.freeze(m, "decoder.*") end,
      "freeze: no parameter is called decoder.*; named_parameters lists the names")
    assert.equal(m, nn.freeze(m))
    assert.equal(0, nn.count(m, {trainable = true}))
  end)

  it("convert their dtype, keeping what is frozen", function()
    local m = nn.freeze(nn.linear(2, 3), "bias")
    nn.to(m, "f64")
    assert.same({"f64", "f64", true, false},
      {m.weight.dtype, m.bias.dtype, m.weight.requires_grad, m.bias.requires_grad})
    assert.equal("f64", m(equi.ones(1, 2, {dtype = "f64"})).dtype)
    local tied = {a = nn.linear(2, 2)}
    tied.b = tied.a.weight
    nn.to(tied, "f64")
    assert.equal(tied.a.weight, tied.b)
  end)

  it("switch between training and evaluation, and come back to each module's own mode", function()
    local m = nn.sequential(nn.dropout(0.5), nn.dropout(0.5))
    m[2]:eval()
    local seen = nn.evaluating(m, function(x) return {x, m[1].training, m[2].training} end, 7)
    assert.same({7, false, false}, seen)
    assert.same({true, false}, {m[1].training, m[2].training})
    assert.has_error(function() nn.evaluating(m, function() error("oops", 0) end) end, "oops")
    assert.same({true, true, false}, {m.training, m[1].training, m[2].training})
    m:train()
    assert.is_true(m[2].training)
  end)

  it("are copied with their own tensors, sharing what was shared", function()
    local m = nn.sequential(nn.linear(2, 2), nn.linear(2, 2))
    m[2].weight = m[1].weight
    local c = m:clone()
    assert.equal(c[1].weight, c[2].weight)
    assert.is_false(c[1].weight:shares_storage(m[1].weight))
    assert.is_true(c[1].weight.requires_grad)
    oracle.near(c(equi.ones(1, 2)), m(equi.ones(1, 2)), 0)
    c[1].weight:detach():fill_(0)
    assert.is_true(m[1].weight:abs():sum():item() > 0)
  end)

  it("forget gradients", function()
    local m = nn.linear(2, 2)
    m(equi.ones(1, 2)):sum():backward()
    assert.is_true(equi.is_tensor(m.weight.grad))
    assert.equal(m, m:zero_grad())
    assert.is_nil(m.weight.grad)
  end)

  it("print as a tree", function()
    assert.equal("sequential()\n  [1]: linear(2, 3)\n  [2]: equi.tanh\n" ..
      "  [3]: sequential()\n    [1]: dropout(0.5)",
      tostring(nn.sequential(nn.linear(2, 3), equi.tanh, nn.sequential(nn.dropout()))))
  end)

  it("say where in the model a mistake happened, once, at the line that called the model",
    function()
    local net = nn.class("net", {
      new = function(self) self.layers = {nn.linear(2, 2), nn.sequential(nn.linear(3, 1))} end,
      forward = function(self, x) return self.layers[2](self.layers[1](x)) end})
    local m = net()
    local line = debug.getinfo(1, "l").currentline + 1
    local ok, text = pcall(function() local y = m(equi.ones(1, 2)) return y end)
    assert.is_false(ok)
    assert.matches("^[^:]*module_spec%.lua:" .. line
      .. ": in net%.layers%[2%]%[1%]: linear: [^\n]*2[^\n]*3", text)
    assert.equal(1, select(2, text:gsub(": in ", "")))
    assert.same({1, 1}, {(pcall(m, equi.ones(1, 2)) and 0 or 1),
      1}) -- and once more: no state is left
    local object = {code = 1}
    local raising = nn.class("raising", {new = function() end,
      forward = function() error(object) end})()
    local _, got = pcall(raising, 1)
    assert.equal(object, got)
    local own = nn.class("own", {new = function() end, forward = function() error "mine" end})()
    _, got = pcall(own)
    assert.matches("^[^:]*module_spec%.lua:%d+: in own: mine$", got)
  end)

  it("raise mistakes of construction at the line of the constructor's call", function()
    local line = debug.getinfo(1, "l").currentline + 1
    local ok, text = pcall(function() local m = nn.linear(2, 3, {bais = true}) return m end)
    assert.is_false(ok)
    assert.matches("^[^:]*module_spec%.lua:" .. line .. ': linear: no option "bais"', text)
    ok, text = pcall(function() local m = nn.linear(-2, 3) return m end)
    assert.is_false(ok)
    assert.matches("^[^:]*module_spec%.lua:", text)
  end)

  it("lists modules, and those directly below", function()
    local shared = nn.linear(2, 2)
    local net = nn.sequential(shared, nn.sequential(shared, nn.relu()))
    net.heads = {nn.identity(), {shared}}
    assert.same({net, shared, net[2], net[2][2], net.heads[1]}, net:modules())
    assert.same({shared, net[2], net.heads[1]}, net:children())
    assert.equal(net.heads[1], nn.children(net.heads)[1])
    assert.has_error(function() nn.children(3) end)
  end)

  it("freezes by requires_grad_", function()
    local net = nn.linear(2, 3)
    assert.equal(net, net:requires_grad_(false))
    assert.equal(0, net:count {trainable = true})
    assert.equal(9, net:requires_grad_():count {trainable = true})
    assert.has_error(function() net:requires_grad_(0) end)
    nn.relu():requires_grad_(false)
  end)

  it("saves what load reads", function()
    local path = os.tmpname()
    local a, b = nn.linear(2, 3), nn.linear(2, 3)
    a:save(path)
    assert.same({}, b:load(path))
    assert.equal(0, (a.weight - b.weight):abs():sum():item())
    os.remove(path)
    local ok, text = pcall(function() a:save "no/such/folder/x" end)
    assert.is_false(ok)
    assert.matches("^[^:]*module_spec%.lua:%d+: save: ", text)
    ok, text = pcall(function() a:save() end)
    assert.is_false(ok)
    assert.matches("save: the path must be a string, got nothing", text)
  end)

  it("may hold userdata that show their children", function()
    local inner = nn.linear(2, 2)
    with_userdata({model = inner, score = nn.linear(1, 1)}, function(u)
      local m = {net = u}
      assert.same({"net.model.bias", "net.model.weight", "net.score.bias", "net.score.weight"},
        names_of(m))
      assert.equal(8, nn.count(u))
      local holder = nn.identity()
      holder[1] = u
      assert.matches("%[1%]: [^\n]*%(%)\n    model: linear", tostring(holder))
      nn.eval(m)
      assert.is_false(inner.training)
      nn.freeze(m, "net.model.*")
      assert.is_false(inner.weight.requires_grad)
      nn.to(m, "f64")
      assert.equal("f64", inner.weight.dtype)
      nn.load_state_dict(m, nn.state_dict(m))
      assert.equal(4, #equi.optim.sgd(u).groups[1].params)
    end)
  end)
end)
