local equi = require "lua_equi"
local files = require "spec.support.files"
local toy = require "spec.support.toy"
local train = equi.train

describe("train.run", function()
  local folder, path
  before_each(function()
    folder = files.folder()
    path = folder .. "/run.st"
  end)
  after_each(function() files.remove(folder) end)

  -- A run of a toy with what `given` adds.
  local function run(t, steps, given)
    local all = t.parts()
    all.extra = nil
    all.steps, all.step, all.every, all.checkpoint = steps, t.step, 20, path
    all.evaluate = function() return {mass = t.model.first:detach():abs():sum()} end
    for name, value in pairs(given or {}) do all[name] = value end
    return train.run(all)
  end

  it("resumes bit for bit, whether the run ended, failed or was stopped", function()
    equi.seed(3)
    local whole = toy.new()
    local expected = run(whole, 100)
    assert.equal(100, expected.step)
    assert.equal("steps", expected.stopped)

    equi.seed(3)
    files.remove(path)
    run(toy.new(), 50) -- ends between two reports
    equi.seed(1)
    local second = toy.new()
    assert.has_error(function()
      run(second, 100, {resume = true, hooks = {before_step = function(i)
        if i == 75 then error("oops", 0) end
      end}})
    end, "oops") -- goes on from 60
    local third = toy.new()
    local seen = {}
    local result = run(third, 100, {resume = true, hooks = {
      before_step = function(i) seen[#seen + 1] = i end}})
    assert.equal(61, seen[1])
    assert.equal(whole.bytes(), third.bytes())
    assert.same(expected.metrics, result.metrics)
  end)

  it("trains the same however often it evaluates", function()
    local bytes = {}
    for k, every in ipairs {7, 1000} do
      equi.seed(3)
      local t = toy.new()
      run(t, 30, {every = every, evaluate = function()
        assert.is_false(t.model.training)
        assert.is_false(equi.grad_enabled())
        return equi.dropout(equi.ones(50), 0.5, true):sum() -- draws random numbers
      end})
      assert.is_true(t.model.training)
      bytes[k] = t.bytes()
    end
    assert.equal(bytes[1], bytes[2])
  end)

  it("writes rows of means and metrics to both logs, and cuts them when it resumes", function()
    local prefix = folder .. "/log"
    local function go(steps, resume)
      return train.run {steps = steps, every = 2, log = prefix, checkpoint = path, resume = resume,
        step = function(i) return {loss = i, wrong = equi.tensor(2 * i)} end,
        evaluate = function(i) return {exact = i / 10} end}
    end
    go(5)
    local function column(name)
      local values = {}
      for line in io.lines(prefix .. ".jsonl") do
        values[#values + 1] = equi.json.decode(line)[name]
      end
      return values
    end
    assert.same({2, 4, 5}, column "step")
    assert.same({1.5, 3.5, 5.0}, column "loss")
    assert.same({3.0, 7.0, 10.0}, column "wrong")
    assert.same({0.2, 0.4, 0.5}, column "exact")
    go(8, true)
    assert.same({2, 4, 5, 6, 8}, column "step")
    assert.same({1.5, 3.5, 5.0, 5.5, 7.5}, column "loss") -- the row of 6 is of steps 5 and 6
    local lines = {}
    for line in io.lines(prefix .. ".csv") do lines[#lines + 1] = line end
    assert.equal("step,exact,loss,seconds,wrong", lines[1])
    assert.equal(6, #lines)
    assert.matches("^8,0.8,7.5,", lines[6])
  end)

  it("keeps the best and stops when patience runs out", function()
    local scores = {1, 3, 2, 3, 2.5, 9}
    local t = toy.new()
    local bytes = {}
    local result = run(t, 1000, {every = 5, best = "score", patience = 3,
      evaluate = function(i)
        bytes[i] = t.bytes()
        return {score = scores[i // 5]}
      end})
    assert.equal("patience", result.stopped)
    assert.equal(25, result.step)
    assert.equal(3, result.best)
    assert.equal(10, result.best_step)
    local best = toy.new()
    equi.checkpoint.load(folder .. "/run.best.st", {model = best.model})
    assert.equal(bytes[10], best.bytes())
    equi.checkpoint.load(path, {model = best.model})
    assert.equal(bytes[25], best.bytes())
    result = run(toy.new(), 30, {every = 5, best = "score", mode = "min", checkpoint = "",
      evaluate = function(i) return {score = scores[i // 5]} end})
    assert.same({1, 5, "steps"}, {result.best, result.best_step, result.stopped})
  end)

  it("calls hooks in order, and ends when one says so", function()
    local calls = {}
    local result = train.run {steps = 9, every = 2, step = function(i) return i end, hooks = {
      before_step = function(i) calls[#calls + 1] = "before " .. i end,
      after_step = function(i, loss) calls[#calls + 1] = ("after %d %d"):format(i, loss) end,
      after_evaluate = function(i, metrics)
        calls[#calls + 1] = ("report %d %g"):format(i, metrics.loss)
        return "stop"
      end}}
    assert.same({"before 1", "after 1 1", "before 2", "after 2 2", "report 2 1.5"}, calls)
    assert.equal("hook", result.stopped)
  end)

  it("ends with an error when the loss is no finite number, keeping the last checkpoint", function()
    local t = toy.new()
    assert.has_error(function()
      run(t, 100, {step = function(i)
        local loss = t.step()
        return i == 27 and loss * (0 / 0) or loss
      end})
    end, "train.run: loss is nan in step 27; lower the learning rate or clip gradients; "
      .. "the last checkpoint is kept")
    assert.equal(20, equi.checkpoint.load(path).extra.train.step)
    assert.has_error(function() train.run {steps = 1,
      step = function() return {kl = math.huge} end} end,
      "train.run: kl is inf in step 1; lower the learning rate or clip gradients")
    assert.has_error(function() train.run {steps = 1, step = function() return "x" end} end,
      "train.run: step must return numbers, loss of step 1 is a string")
  end)

  local CHILD = [[
    local equi = require "lua_equi"
    local toy = require "spec.support.toy"
    equi.seed(3)
    local t = toy.new()
    local given = t.parts()
    given.steps, given.every, given.checkpoint, given.resume = 60, 20, arg[1], true
    local function interrupt() -- what the terminal does; the pipe's shell sees the parent
      io.popen("kill -INT $PPID"):close()
    end
    local where = os.getenv "WHERE"
    given.step = function(i)
      if where == "step" and i == 31 then interrupt() end
      return t.step()
    end
    given.evaluate = function(i)
      if where == "evaluation" and i == 40 then interrupt() while true do end end
      return {x = equi.dropout(equi.ones(9), 0.5, true):sum()}
    end
    local ok, problem = pcall(equi.train.run, given)
    print(ok, ok and t.bytes():gsub(".",
      function(c) return ("%02x"):format(c:byte()) end) or problem)]]

  it("leaves a checkpoint to resume from on Ctrl-C, and raises it again", function()
    local whole = files.lua(CHILD, path)
    assert.matches("^true\t%x+", whole)
    for _, where in ipairs {"step", "evaluation"} do
      files.remove(path)
      local out = files.lua(CHILD, path, ("WHERE=%s timeout 5 "):format(where))
      assert.matches("^false\t.*interrupted!\n$", out)
      local state = equi.checkpoint.load(path).extra.train
      assert.equal(where == "step" and 31 or 40, state.step)
      assert.equal(20, state.evaluated)
      assert.equal(whole, files.lua(CHILD, path))
    end
  end)

  it("says once more when a checkpoint cannot be written, and goes on", function()
    local out = files.lua([[
      local equi = require "lua_equi"
      local result = equi.train.run {steps = 4, every = 2, checkpoint = arg[1] .. "/no/such",
        step = function(i) return i end}
      print(result.step)]], folder)
    assert.equal(("train.run: step %d: cannot create %s/no/such: No such file or directory; "
      .. "the last checkpoint is kept\n"):format(2, folder), out:match "^[^\n]*\n")
    assert.matches("4\n$", out)
  end)

  it("refuses mistakes at the caller's line", function()
    local function refuses(message, given)
      given.steps = given.steps or 1
      given.step = given.step or function() end
      local ok, text = pcall(function()
        local result = train.run(given)
        return result
      end)
      assert.is_false(ok)
      assert.matches("^[^:]*train_spec%.lua:%d+: ", text)
      assert.equal("train.run: " .. message, (text:gsub("^[^:]*:%d+: ", "")))
    end
    refuses("steps must be a whole number, got 1.5", {steps = 1.5})
    refuses("step must be a function, got a number", {step = 3})
    refuses("evaluate must be a function, got a number", {evaluate = 3})
    refuses("every must be a whole number of at least 1, got 0", {every = 0})
    refuses('mode must be "max" or "min", got "up"', {mode = "up"})
    refuses("resume needs checkpoint, the file to resume from", {resume = true})
    refuses("patience needs best, the name of the metric to wait for", {patience = 2})
    assert.matches('no option "stepz"', select(2, pcall(train.run, {stepz = 1})))
    assert.has_error(function()
      train.run {steps = 1, step = function() return 1 end, best = "exact"}
    end, 'train.run: best = "exact", but the metrics are loss')
  end)
end)

describe("train.rows_within", function()
  it("counts what one row more costs on top of what is in use", function()
    local held = equi.zeros(250000)
    local function f(n) return (equi.zeros(n, 25000) + 1):sum() end -- 200,000 bytes a row
    local base = equi.memory "collect".live
    local rows, one = equi.train.rows_within(base + 2000000, f)
    assert.is_true(rows >= 8 and rows <= 10, rows)
    assert.near(base + 200000, one, 40000)
    assert.equal(1, (equi.train.rows_within(1000, f)))
    assert.equal(250000, held:numel())
  end)

  it("is not asked for what costs nothing", function()
    assert.equal(math.maxinteger, (equi.train.rows_within(2 ^ 40, function() end)))
    assert.has_error(function() equi.train.rows_within("1 GB", print) end)
  end)
end)
