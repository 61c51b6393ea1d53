-- Help, completion and configuration, as typed at the prompt.
local equi = require "lua_equi"

local function has(text, part) assert.matches(part, text, 1, true) end

describe("equi.help", function()
  it("gives an overview that names every function and module", function()
    local text = equi.help()
    for _, name in ipairs{"softmax", "matmul", "group", "nn", "train"} do
      assert.matches("%f[%w_]" .. name .. "%f[^%w_]", text)
    end
  end)

  it("shows signature, text, example and place of an op", function()
    local text = equi.help "softmax"
    has(text, "softmax(x:float, dim:dim=-1) -> y\n")
    has(text, "Example:")
    assert.matches("lua_equi/core/ops/softmax%.c:%d+", text)
    assert.equal(text, equi.help(equi.softmax))
    assert.equal(text, equi.help "equi.softmax")
    has(equi.help "relu", "x:relu_(...) writes the result into x")
  end)

  it("reads the docstring of a Lua function from its source", function()
    local text = equi.help(equi.help)
    has(text, "help(...)\n    Help on anything, as text")
    assert.matches("lua_equi/repl%.lua:%d+", text)
    has(equi.help "split", "Cuts a dim into parts")
    has(equi.help(equi.nn.linear), "linear(inputs, outputs, opts)")
    has(equi.help "nn.linear", "y = x W^T + b")
  end)

  it("lists a module, a family, a tensor's fields and methods", function()
    has(equi.help(equi.optim), "adamw")
    has(equi.help "group", "group.cyclic(n) -> group")
    has(equi.help(equi.group.cyclic(3)), "group:elements() -> list")
    local text = equi.help(equi.zeros(2, 3))
    has(text, "f32[2 x 3]\n")
    has(text, "x.grad ")
    has(text, "x:softmax")
    has(text, "x:split")
  end)

  it("knows every op and every documented function by name", function()
    for _, row in ipairs(equi.core.ops) do
      if not row.hidden then has(equi.help(row.name), row.name .. "(") end
    end
    for name, d in pairs(equi.core.docs) do
      has(equi.help(name), (d.doc:match "^[^\n]*"))
    end
  end)

  it("finds the functions that take an option, and names classes as the user does", function()
    local text = equi.help "lr"
    has(text, "lr: an option or argument of\n")
    for _, name in ipairs{"optim.sgd(", "optim.adam(", "optim.rmsprop("} do has(text, name) end
    has(equi.help "keepdim", "sum(x:tensor")
    has(equi.help(equi.nn.linear), "nn.linear(inputs, outputs, opts)")
    assert.equal(equi.help "nn.linear", equi.help(equi.nn.linear))
    assert.matches("modules:.-%f[%w]backend%f[%W]", equi.help())
  end)

  it("suggests the nearest name, and takes any value", function()
    assert.equal('help: nothing is called "sofmtax"; did you mean "softmax"?', equi.help "sofmtax")
    assert.equal('help: nothing is called "qqqqqqq"; equi.help() lists what there is',
                 equi.help "qqqqqqq")
    for _, v in ipairs{1, true, print, {}, io.stdout, coroutine.create(print)} do
      assert.equal("string", type(equi.help(v)))
    end
    assert.equal("string", type(equi.help(nil)))
  end)
end)

describe("equi.complete", function()
  local env = {equi = equi, x = equi.ones(2), t = {inner = {alpha = 1, beta = print}}, text = "s"}

  it("completes fields, functions and methods", function()
    assert.same({"equi.softmax", "equi.softplus"}, equi.complete("equi.soft", env))
    assert.same({"x:softmax", "x:softplus", "x:softplus_"}, equi.complete("y = x:soft", env))
    assert.same({"x.shape", "x.shares_storage"}, equi.complete("x.sha", env))
    assert.same({"x:shares_storage"}, equi.complete("x:sha", env))
    assert.same({"t.inner.alpha", "t.inner.beta"}, equi.complete("print(t.inner.", env))
    assert.same({"t.inner:beta"}, equi.complete("t.inner:", env))
    assert.same({"t", "text"}, equi.complete("t", env))
    assert.same({"equi.nn.linear"}, equi.complete("equi.nn.li", env))
    assert.same({"equi.config"}, equi.complete("equi.conf", env))
  end)

  it("calls nothing and knows nothing about results of calls", function()
    local trap = setmetatable({}, {__index = function() error "called" end})
    assert.same({}, equi.complete("trap.a.b", {trap = trap}))
    assert.same({}, equi.complete("f(x):so", env))
    assert.same({}, equi.complete("nowhere.at.all", env))
    assert.same({}, equi.complete("x.ndim.", env))
  end)
end)

describe("equi.config", function()
  it("says what the build is, as fields and as text", function()
    local c = equi.config()
    assert.equal(equi.threads(), c.threads)
    assert.equal("string", type(c.blas))
    local text = tostring(c)
    for _, word in ipairs{"version", "compiler", "BLAS", "threads", "memory", "seed"} do
      assert.matches("%f[%w]" .. word .. " ", text)
    end
    assert.equal(c.warning ~= nil, text:find "\nwarning" ~= nil)
  end)
end)
