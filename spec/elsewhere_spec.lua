-- What a newcomer from PyTorch, NumPy or Torch7 writes, and where the message leads.
local elsewhere = require "lua_equi.elsewhere"
local equi = require "lua_equi"

local function env()
  local net = equi.nn.sequential(equi.nn.linear(3, 4), equi.nn.relu())
  return {equi = equi, nn = equi.nn, x = equi.ones(3, 4), net = net, G = equi.group.cyclic(4),
    opt = equi.optim.adam(net)}
end

local function answer(code)
  local ok, text = pcall(assert(load("local r = " .. code .. " return r", "=user", "t", env())))
  assert.is_false(ok, code)
  assert.equal("user:1: ", text:sub(1, 8), code .. " told elsewhere: " .. text)
  return text
end

local CPU = "there is one device, the CPU"
local LEADS = {
  ["nn.GELU()"] = "it is equi.gelu", ["nn.gelu()"] = "it is equi.gelu",
  ["nn.tanh"] = "it is equi.tanh", ["nn.softmax"] = "it is equi.softmax",
  ["nn.CrossEntropyLoss"] = "it is equi.cross_entropy(logits, classes)",
  ["nn.multihead_attention"] = "it is equi.nn.attention(features, heads)",
  ["nn.module_list"] = "it is a plain Lua table of modules",
  ["nn.Linear"] = 'did you mean "linear"?',
  ["nn.lstm(3, 4, {num_layers = 2})"] = 'did you mean "layers"?',
  ["equi.optim.lr_scheduler"] = "it is equi.optim.step_lr",
  ["equi.clip"] = "it is x:clamp(min, max)", ["equi.hstack"] = "it is equi.cat(list, 2)",
  ["equi.as_tensor"] = "it is equi.tensor", ["equi.allclose"] = "it is (x - y):abs():max()",
  ["equi.random"] = "equi.seed(n) starts", ["equi.array"] = "it is equi.tensor",
  ["equi.empty"] = "it is equi.zeros", ["equi.float32"] = 'it is the dtype "f32"',
  ["equi.inference_mode"] = "it is equi.no_grad(f)", ["equi.meshgrid"] = "it is equi.arange",
  ["equi.cuda"] = '"cuda"; ' .. CPU, ["equi.Linear"] = 'did you mean "linear"?',
  ["equi.relu_"] = 'did you mean "relu"?', ["equi.backward"] = "it is the method x:backward(...)",
  ["equi.adam"] = "it is equi.optim.adam", ["equi.cyclic"] = "it is equi.group.cyclic",
  ["equi.zeros(2, {dtype = 'float32'})"] = 'got "float32"; write "f32"',
  ["x:to 'float64'"] = 'got "float64"; write "f64"',
  ["x:to 'half'"] = "there is no arithmetic in 16 bits",
  ["x:sum {axis = 1}"] = 'did you mean "dim"?',
  ["x:new_zeros(2)"] = "it is equi.zeros_like(x)", ["x:nelement()"] = "it is x:numel()",
  ["x:cuda()"] = CPU, ["x:cpu()"] = CPU, ["x.device"] = '"device"; ' .. CPU,
  ["x:half()"] = "numbers are computed in f32 or f64",
  ["x:new_foo()"] = "equi.help(x) lists them",
  ["equi.einsum('ij,jk->ik', x, x)"] = "write them in braces: {x, y}",
  ["equi.action.regular(G)(x)"] = "got a tensor",
  ["equi.equitune(net, {input = G})"] = "got a group",
  ["nn.linear(G, 3)"] = "got a group",
  ["net:cuda()"] = CPU, ["net.weights"] = "it is net.weight", ["net.wieght"] = '"weight"?',
  ["net:zerograd()"] = '"zero_grad"?', ["net:trian()"] = '"train"?',
  ["net:add_module('x', net)"] = "it is net.name = module",
  ["opt:zerograd()"] = "it is opt:zero_grad()", ["opt.foo"] = "it has differences, groups, ",
  ["G.size"] = "it is G.order", ["G.foo"] = "it has center, ", ["G:element_s()"] = "elements",
  ["equi.action.regular(G).grop"] = 'did you mean "group"?',
}

describe("a name from elsewhere", function()
  for code, lead in pairs(LEADS) do
    it(code, function()
      local text = answer(code)
      assert.truthy(text:find(lead, 1, true), text)
      assert.is_nil(text:find "it is there is")
    end)
  end

  it("leads to what is there", function() -- every equi.NAME and equi.FAMILY.NAME in the rows
    local seen, missing = 0, {}
    for name in io.open "lua_equi/elsewhere.lua":read "a":gmatch '"[^"\n]*"' do
      for path in name:gmatch "%f[%w_]equi%.([%a_][%w_.]*)" do
        local value = equi
        for part in path:gmatch "[%w_]+" do
          local ok, found = pcall(function() return value[part] end)
          value = ok and found or nil
          if value == nil then break end
        end
        seen = seen + 1
        if value == nil then missing[#missing + 1] = path end
      end
    end
    assert.same({}, missing)
    assert.is_true(seen > 50)
  end)

  it("is found by help", function()
    assert.matches("^optim.adam%(", equi.help "adam")
    assert.matches("^action.grid%(", equi.help "grid")
    assert.matches("^group.cyclic%(", equi.help "cyclic")
    assert.matches("it is equi.cat(list, 2)", equi.help "hstack", 1, true)
  end)

  it("prefers the options that the function has", function()
    assert.equal("dim", elsewhere.options.axis)
    assert.is_nil(select(2, pcall(equi.nn.linear, 2, 3, {axis = 1})):find "did you mean")
  end)
end)

describe("a name that a module does not have", function()
  it("is nil where it may be absent on purpose", function()
    local net = equi.nn.linear(2, 3, {bias = false})
    assert.is_nil(net.bias)
    assert.is_nil(net.cell)
    assert.is_nil(net._weights)
    assert.is_nil(rawget(net, "weights"))
    assert.is_nil(net[1])
    for name in pairs(net) do assert.not_equal("weights", name) end
  end)

  it("is nil inside of methods, and in the parts of an equituned model", function()
    local class = equi.nn.class("probe", {
      new = function(self) self.found = self.weights end,
      forward = function(self) return self.device end,
    })
    assert.is_nil(class().found)
    assert.is_nil(class()())
  end)
end)

describe("optional fields of groups and actions", function()
  it("are nil", function()
    local g = equi.group.cyclic(4)
    assert.is_nil(g.parent)
    assert.is_nil(g.factors)
    assert.is_nil(g._anything)
    assert.is_nil(equi.action.regular(g).parts)
  end)
end)
