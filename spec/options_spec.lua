local options = require "lua_equi.options"
local nearest = require "lua_equi.nearest"

local function declared()
  return options.declare {name = "run.lua", doc = "Runs.",
    "Model",
    {"cell", "lstm", choices = {"rnn", "gru", "lstm"}, doc = "recurrent cell"},
    {"group", "two", choices = {"one", "two"}, map = {one = {1}, two = {1, 2}}},
    "Training",
    {"steps", 10, min = 1, max = 100, doc = "how far"},
    {"learning_rate", 1e-4, above = 0, below = 1},
    {"seeds", {1, 2}, min = 0},
    {"tiny", false},
    {"plot", true, doc = "draw"},
    {"resume", type = "string", saved = false}}
end

local function read(...) return options.read(declared(), {...}) end

describe("nearest", function()
  it("suggests what is near, nothing else", function()
    assert.equal("lstm", nearest("ltsm", {"rnn", "gru", "lstm"}))
    assert.equal("pad", nearest("padding", {"bias", "pad", "stride"}))
    assert.equal("stride", nearest("Strides", {"bias", "pad", "stride"}))
    assert.is_nil(nearest("colour", {"bias", "pad"}))
    assert.is_nil(nearest(("x"):rep(100000), {"x"}))
    assert.is_nil(nearest("x", {}))
  end)
end)

describe("options.check", function()
  local function conv(given)
    local filled = options.check("conv2d", given, {pad = 0, stride = 1, mask = options.any(),
      by = options.any(2)})
    return filled
  end
  local function refused(given, message)
    local ok, problem = pcall(function()
      local filled = conv(given)
      return filled
    end)
    assert.is_false(ok)
    assert.equal(message, problem:match "options_spec.lua:%d+: (.*)")
  end

  it("fills in defaults without touching its arguments", function()
    assert.same({pad = 0, stride = 1, by = 2}, conv())
    local given = {pad = 3, by = "x", mask = {}}
    assert.same({pad = 3, stride = 1, by = "x", mask = {}}, conv(given))
    assert.same({pad = 3, by = "x", mask = {}}, given)
  end)

  it("refuses unknown keys, wrong types and non-tables", function()
    refused({padding = 1}, 'conv2d: no option "padding"; options are by, mask, pad, stride; '
      .. 'did you mean "pad"?')
    refused({colour = 1}, 'conv2d: no option "colour"; options are by, mask, pad, stride')
    refused({7}, "conv2d: options are named, got a value at [1]; options are by, mask, pad, stride")
    refused({pad = "x"}, 'conv2d: option pad must be a number, got "x" (a string)')
    refused(3, "conv2d: options must be a table, got 3 (a number); "
      .. "options are by, mask, pad, stride")
    local function f() return options.check("f", {x = 1}, {}) .. "" end
    assert.error_matches(f, 'f: no option "x"; it has no options')
  end)
end)

describe("options.read", function()
  it("reads every form of every type", function()
    local opt = assert(read())
    assert.equal("lstm", opt.cell)
    assert.same({1, 2}, opt.seeds)
    assert.is_nil(opt.resume)
    opt = assert(read("--cell=gru", "--steps", "1e2", "--learning-rate", "0.5", "--seeds=4,5,6",
      "--tiny", "--no-plot", "--resume", "a=b"))
    assert.equal("gru", opt.cell)
    assert.equal(100, opt.steps)
    assert.equal("integer", math.type(opt.steps))
    assert.equal(0.5, opt.learning_rate)
    assert.same({4, 5, 6}, opt.seeds)
    assert.is_true(opt.tiny)
    assert.is_false(opt.plot)
    assert.equal("a=b", opt.resume)
    assert.equal(0.25, read("--learning_rate=0.5", "--learning_rate=0.25").learning_rate)
    assert.is_false(read("--tiny=false").tiny)
    assert.equal("--x", read("--resume=--x").resume)
  end)

  it("says what is wrong in one sentence, with status 2", function()
    local function refused(message, ...)
      local value, problem, code = read(...)
      assert.is_nil(value)
      assert.equal("run.lua: " .. message, problem)
      assert.equal(2, code)
    end
    refused("no option --step; did you mean --steps?; --help lists them", "--step", "1")
    refused("no option --zebra; --help lists them", "--zebra=1")
    refused("no option --no-steps; did you mean --steps?; --help lists them", "--no-steps")
    refused('unexpected "x"; options are written --name value', "x")
    refused('unexpected "-s"; options are written --name value', "-s", "1")
    refused('--steps must be an integer, got "fast"', "--steps", "fast")
    refused('--steps must be an integer, got "1.5"', "--steps=1.5")
    refused("--steps must be at least 1 and at most 100, got 0", "--steps=0")
    refused("--steps must be at least 1 and at most 100, got -3", "--steps", "-3")
    refused('--learning-rate must be a number, got "nan"', "--learning-rate=nan")
    refused('--learning-rate must be a number, got "1e999"', "--learning-rate=1e999")
    refused("--learning-rate must be above 0 and below 1, got 1", "--learning-rate=1")
    refused("--learning-rate must be above 0 and below 1, got 0", "--learning-rate=0")
    refused("--seeds names 4 twice; give each once", "--seeds=4,5,4")
    refused('--seeds must be an integer, got ""; separate several by commas', "--seeds=1,,2")
    refused('--cell must be one of rnn, gru, lstm, got "ltsm"; did you mean lstm?', "--cell=ltsm")
    refused('--cell must be one of rnn, gru, lstm, got "transformer"', "--cell=transformer")
    refused('--tiny is on or off: --tiny or --no-tiny, got "maybe"', "--tiny=maybe")
    refused("--steps needs an integer after it, got nothing; write --steps=VALUE", "--steps")
    refused("--steps needs an integer after it, got --tiny; write --steps=VALUE", "--steps",
      "--tiny")
  end)

  it("turns names into objects", function()
    assert.same({1}, read("--group=one").group)
    local mapped = options.declare {name = "m", {"g", "a", choices = {"a", "b", "c"},
      map = function(name)
        if name == "b" then return nil, "b needs more" end
        return name == "a" and 1 or nil
      end}}
    assert.equal(1, options.read(mapped, {}).g)
    assert.equal('m: --g "b": b needs more', select(2, options.read(mapped, {"--g=b"})))
    assert.equal('m: --g "c": maps to nothing', select(2, options.read(mapped, {"--g=c"})))
  end)

  it("refuses to be asked for an option that was not declared", function()
    local opt = read()
    assert.error_matches(function() return opt.lerning_rate end,
      "run.lua: no option lerning_rate was declared")
  end)

  it("prints an aligned page for --help, with status 0", function()
    local value, page, code = read("--steps", "bad", "--help")
    assert.is_nil(value)
    assert.equal(0, code)
    assert.equal([[
usage: run.lua [--name value | --name=value ...]

Runs.

Model:
  --cell NAME        recurrent cell [rnn | gru | lstm; default lstm]
  --group NAME       [one | two; default two]

Training:
  --steps N          how far [at least 1 and at most 100; default 10]
  --learning-rate X  [above 0 and below 1; default 0.0001]
  --seeds N,...      [at least 0; default 1,2]
  --tiny             on or off
  --no-plot          turns off: draw
  --resume TEXT      [none by default]
  --help             this page]], page)
    for line in page:gmatch "[^\n]+" do assert.is_true(#line <= 80) end
  end)
end)

describe("options.parse", function()
  it("exits with 2 and one sentence on stderr, with 0 after --help", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write 'local o = require "lua_equi.options"\n'
    file:write 'print(o.parse(o.declare {name = "s", {"n", 1}}).n)\n'
    file:close()
    local function run(words)
      local pipe = io.popen("lua5.4 " .. path .. " " .. words .. " 2>&1; echo $?")
      local text = pipe:read "a"
      pipe:close()
      return text
    end
    assert.equal("5\n0\n", run "--n 5")
    assert.equal('s: --n must be an integer, got "x"\n2\n', run "--n x")
    assert.matches("^usage: s .*\n0\n$", run "--help")
    os.remove(path)
  end)
end)

describe("options.declare", function()
  it("refuses mistakes in the declaration", function()
    local function refused(row, message)
      assert.error_matches(function() options.declare {name = "d", row} end, message)
    end
    refused({"Bad-Name", 1}, 'd: "Bad%-Name" cannot be an option')
    refused({"help", false}, 'd: "help" cannot be an option')
    refused({"x", 1, mim = 0}, 'd: option x: no field "mim"; fields are above, below, choices')
    refused({"x"}, "d: option x: give a default, choices, or a type: flag, integer")
    refused({"x", 0, min = 1}, "d: default of x must be at least 1, got 0")
    refused({"x", "c", choices = {"a"}}, 'd: default of x must be one of a, got "c"')
    assert.error_matches(function() options.declare {name = "d", {"x", 1}, {"x", 2}} end,
      "d: option x is declared twice")
    assert.error_matches(function() options.declare {name = "d", {"x", false}, {"no_x", 2}} end,
      "d: option no_x is declared twice %(or clashes with x%)")
    assert.error_matches(function() options.declare(3) end, "options.declare: give one table")
  end)
end)

describe("options.describe and differences", function()
  it("record what was typed and say what changed", function()
    local a = options.describe(read("--group=one"))
    assert.same({cell = "lstm", group = "one", steps = 10, learning_rate = 1e-4, seeds = {1, 2},
      tiny = false, plot = true}, a)
    local b = options.describe(read("--seeds=1", "--resume=x", "--steps=11"))
    local list, text = options.differences(a, b)
    assert.same({"group", "one", "two"}, list[1])
    assert.equal('group was "one", is "two"; seeds was 1,2, is 1; steps was 10, is 11', text)
    assert.same({}, (options.differences(a, a)))
    local json = require "lua_equi.json"
    assert.same({}, (options.differences(json.decode(json.encode(a)), a)))
    assert.equal("x was absent, is 1", select(2, options.differences({}, {x = 1})))
    assert.equal("x was 1, is absent", select(2, options.differences({x = 1}, {})))
    assert.error_matches(function() options.describe {} end, "options.describe: give the table")
  end)
end)
