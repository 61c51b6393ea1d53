-- The backend's way in: a library replaces one op's kernel, the results stay what they were.
local equi = require "lua_equi"
local backend = equi.backend

local x = equi.tensor({{1, 2, 3}, {4, 5, 6}})
local y = equi.tensor({{10, 20, 30}, {40, 50, 60}})
local row = equi.tensor({100, 200, 300})

local function calls() return backend.list()[1].calls end

-- Compiles `source`, which stands for a backend called `name`; the path of the library.
local function build(name, source)
  local path = os.tmpname()
  os.remove(path)
  assert(os.execute("mkdir " .. path))
  local file = assert(io.open(path .. "/" .. name .. ".c", "w"))
  file:write('#include "lua_equi/core/equi.h"\n', source)
  file:close()
  local library = ("%s/%s.so"):format(path, name)
  finally(function() os.execute("rm -r " .. path) end)
  local compile = "cc -std=c11 -shared -fPIC -I. %s/%s.c -o %s"
  if not os.execute(compile:format(path, name, library)) then
    pending("a library of the spec's own: there is no C compiler called cc")
  end
  return library
end

describe("backend", function()
  after_each(backend.reset)

  it("stub adds like the portable kernel, and is the one that ran", function()
    local expected = (x + y):totable()
    assert.equal("stub", backend.load "stub")
    local before = calls()
    assert.same(expected, (x + y):totable())
    assert.equal(before + 1, calls())
    assert.same({"add"}, backend.list()[1].ops)
  end)

  it("what the stub does not do goes to the portable kernel", function()
    local xt, yt = x:transpose(1, 2), y:transpose(1, 2)
    local function sums()
      return {(x + row):totable(), (x:to "f64" + 1):totable(), (xt + yt):totable()}
    end
    local expected = sums()
    backend.load "stub"
    local before = calls()
    assert.same(expected, sums())
    assert.equal(before, calls())
  end)

  it("gradients pass through a replaced kernel", function()
    backend.load "stub"
    local a = equi.tensor({1, 2}):requires_grad_();
    (a + a):sum():backward()
    assert.same({2, 2}, a.grad:totable())
  end)

  it("reset brings the portable kernel back", function()
    backend.load "stub"
    local before = calls()
    backend.reset()
    assert.same({}, backend.list())
    assert.same({{11, 22, 33}, {44, 55, 66}}, (x + y):totable())
    backend.load "stub"
    assert.equal(before, calls())
  end)

  it("refuses a library that is none, in one sentence", function()
    assert.has_error(function() backend.load "nothing" end,
      'backend.load: there is no backend "nothing" in package.cpath; give its name or the path of '
      .. "its library")
    local ok, message = pcall(backend.load, "./no/such/file.so")
    assert.is_false(ok)
    assert.matches("^backend.load: .*no/such/file.so.*$", message)
    local core = package.searchpath("lua_equi.core", package.cpath)
    ok, message = pcall(backend.load, core)
    assert.is_false(ok)
    assert.matches("has no symbol eq_backend_core; ", message, 1, true)
    assert.same({}, backend.list())
  end)

  it("refuses another version, and an op that is none", function()
    local old = build("old", "const eq_backend eq_backend_old = {.version = 77, .name = \"old\"};")
    local ok, message = pcall(backend.load, old)
    assert.is_false(ok)
    assert.matches("made for version 77, this is version %d; rebuild it", message)
    local odd = build("odd", [[
      static int run(eq_call *c) { (void)c; return EQ_OK; }
      const eq_backend eq_backend_odd = {.version = EQ_BACKEND_VERSION, .name = "odd",
                                         .entry = {{"add", run}, {"frobnicate", run}}};]])
    ok, message = pcall(backend.load, odd)
    assert.is_false(ok)
    assert.matches("backend 'odd' replaces 'frobnicate', which is no op", message, 1, true)
    assert.same({{11, 22, 33}, {44, 55, 66}}, (x + y):totable())
  end)
end)
