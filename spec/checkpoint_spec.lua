local equi = require "lua_equi"
local files = require "spec.support.files"
local toy = require "spec.support.toy"
local checkpoint = equi.checkpoint

describe("checkpoint", function()
  local folder, path
  before_each(function()
    folder = files.folder()
    path = folder .. "/run.safetensors"
  end)
  after_each(function() files.remove(folder) end)

  it("makes 50 + 50 steps equal 100, bit for bit", function()
    equi.seed(11)
    local whole = toy.new()
    for _ = 1, 100 do whole.step() end
    local stream = equi.rng_state()

    equi.seed(11)
    local first = toy.new()
    for _ = 1, 50 do first.step() end
    checkpoint.save(path, first.parts {note = "half"})

    equi.seed(999)
    local second = toy.new()
    for _ = 1, 3 do second.step() end
    local info = checkpoint.load(path, second.parts())
    assert.same({note = "half"}, info.extra)
    for _ = 1, 50 do second.step() end
    assert.equal(whole.bytes(), second.bytes())
    assert.not_equal(whole.bytes(), first.bytes())
    assert.same(stream, equi.rng_state())
    assert.equal(whole.optimizer:lr(), second.optimizer:lr())
    assert.equal(whole.sampler:next(), second.sampler:next())
  end)

  it("keeps plain values exactly", function()
    local extra = {int = math.mininteger, float = 0.1, whole = 3.0, yes = true, text = "\195\164\n",
      list = {1, 2.5, "x"}, nested = {a = {b = 1e-300}}, inf = math.huge, less = -math.huge,
      nan = 0 / 0, list_of_inf = {math.huge}}
    checkpoint.save(path, {extra = extra})
    local got = checkpoint.load(path).extra
    assert.is_true(got.nan ~= got.nan)
    got.nan, extra.nan = nil, nil
    assert.same(extra, got)
    assert.equal("float", math.type(got.whole))
    assert.equal("integer", math.type(got.int))
  end)

  it("compares options", function()
    checkpoint.save(path, {options = {rate = 0.1, cell = "lstm"}})
    local info = checkpoint.load(path, {options = {rate = 0.2, cell = "lstm"}})
    assert.equal("rate was 0.1, is 0.2", info.differences)
    assert.equal(0.1, info.options.rate)
    assert.is_nil(checkpoint.load(path, {options = {rate = 0.1, cell = "lstm"}}).differences)
  end)

  it("loads the model alone, and leaves the random stream alone when asked to", function()
    local t = toy.new()
    t.step()
    checkpoint.save(path, t.parts())
    local other = toy.new()
    equi.seed(77)
    local stream = equi.rng_state()
    checkpoint.load(path, {model = other.model, rng = false})
    assert.equal(t.bytes(), other.bytes())
    assert.same(stream, equi.rng_state())
  end)

  it("names what differs in another model, and changes nothing", function()
    checkpoint.save(path, toy.new().parts())
    local other = toy.new(9)
    local before = other.bytes()
    assert.has_error(function() checkpoint.load(path, {model = other.model}) end,
      "checkpoint.load: " .. path .. " does not fit: first is 8 x 3, the model's is 9 x 3; "
      .. "second is 1 x 8, the model's is 1 x 9")
    assert.has_error(function() checkpoint.load(path, {model = {w = other.model.first}}) end,
      "checkpoint.load: " .. path
        .. " does not fit: missing w; unexpected first; unexpected second")
    -- the model fits, the optimizer does not: the model must not have been loaded
    local fresh = toy.new()
    fresh.step()
    local kept = fresh.bytes()
    assert.has_error(function()
      checkpoint.load(path, {model = fresh.model, optimizer = equi.optim.sgd(fresh.model)})
    end)
    assert.equal(kept, fresh.bytes())
    assert.has_error(function() checkpoint.load(path, {model = equi.nn.to(toy.new().model,
      "f64")}) end,
      "checkpoint.load: " .. path .. " does not fit: first is f32, the model's is f64; "
      .. "second is f32, the model's is f64")
    local short = toy.new()
    short.sampler = equi.data.sampler.new(3)
    equi.seed(5)
    local untouched, stream = short.bytes(), equi.rng_state()
    assert.has_error(function() checkpoint.load(path, short.parts()) end,
      "checkpoint.load: " .. path .. " does not fit: "
      .. "the saved sampler draws from 20 in shuffled epochs, this one from 3 in shuffled epochs")
    assert.equal(untouched, short.bytes())
    assert.equal(before, other.bytes())
    assert.same(stream, equi.rng_state())
    checkpoint.save(path, {model = other.model})
    assert.has_error(function() checkpoint.load(path, other.parts()) end,
      "checkpoint.load: " .. path .. " does not fit: it holds 0 of optimizer, 1 are given; "
      .. "it holds 0 of sampler, 1 are given; it holds 0 of schedules, 1 are given")
  end)

  it("refuses what is no checkpoint", function()
    assert.has_error(function() checkpoint.load(folder .. "/none") end,
      "checkpoint.load: cannot open "
      .. folder .. "/none: No such file or directory")
    equi.safetensors.save(path, {w = equi.ones(1)})
    assert.has_error(function() checkpoint.load(path) end,
      "checkpoint.load: " .. path .. ": it is no checkpoint, only tensors; use safetensors.load")
    equi.safetensors.save(path, {}, {lua_equi = "{"})
    assert.matches("its numbers are damaged", select(2, pcall(checkpoint.load, path)))
    equi.safetensors.save(path, {}, {lua_equi = '{"version":2}'})
    assert.has_error(function() checkpoint.load(path) end,
      "checkpoint.load: " .. path .. ": a checkpoint of version 2; this is version 1")
    assert.matches("checkpoint.save: no option \"modle\"", select(2, pcall(checkpoint.save, path,
      {modle = 1})))
  end)

  local SAVE = [[
    local equi = require "lua_equi"
    for i = 1, tonumber(os.getenv "ROUNDS") do
      print(equi.checkpoint.write(arg[1], {model = {w = equi.ones(300000) * i}, extra = {i = i}}))
    end]]

  it("keeps the old checkpoint when the disk is full", function()
    if files.shell "id -u" ~= "0\n" or not os.execute(
      ("mount -t tmpfs -o size=1800k none '%s' 2>/dev/null"):format(folder)) then
      pending "disk full while writing a checkpoint: mounting a small file system needs root"
      return
    end
    local ok, problem = pcall(function()
      -- the first takes 1.2 MB of 1.8; the second cannot stand beside it
      assert.equal("true\nnil\tcannot write " .. path .. ": No space left on device\n",
        files.lua(SAVE, path, "ROUNDS=2 "))
      assert.equal(1, checkpoint.load(path).extra.i)
      assert.equal(300000.0, equi.safetensors.load(path)["model.w"]:sum():item())
      assert.same({"run.safetensors"}, files.list(folder))
    end)
    collectgarbage() -- a mapped file keeps the file system busy
    os.execute(("umount '%s'"):format(folder))
    assert.is_true(ok, problem)
  end)

  it("keeps a whole checkpoint when the process is killed while it writes", function()
    for _, seconds in ipairs {0.05, 0.08, 0.13, 0.2} do
      files.lua(SAVE, path, ("ROUNDS=100000 timeout -s KILL %g "):format(seconds))
      if files.exists(path) then
        local w = equi.safetensors.load(path)["model.w"]
        assert.equal(checkpoint.load(path).extra.i + 0.0, w[1]:item())
        assert.equal(w[1]:tobytes():rep(w:numel()), w:tobytes())
      end
    end
    assert.is_true(files.exists(path))
  end)
end)
