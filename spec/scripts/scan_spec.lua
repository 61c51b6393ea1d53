-- scripts/scan.lua as a command: help, each kind of wrong option, a tiny run, resuming, the report.
local equi = require "lua_equi"
local files = require "spec.support.files"
local json = require "lua_equi.json"

local function run(words)
  local out = os.tmpname()
  local command = "lua5.4 scripts/scan.lua %s > %s 2>&1 < /dev/null"
  local ok, _, code = os.execute(command:format(words, out))
  local f = assert(io.open(out))
  local text = f:read "a"
  f:close()
  os.remove(out)
  return text, ok and 0 or code
end

local function read(path)
  local f = io.open(path, "rb")
  local text = f and f:read "a"
  if f then f:close() end
  return text
end

-- The tensors of a checkpoint as one string (its other entries hold seconds, which differ).
local function weights(path)
  local parts = {}
  for name, x in pairs(equi.safetensors.load(path)) do parts[#parts + 1] = name .. x:tobytes() end
  table.sort(parts)
  return table.concat(parts)
end

local function temporary()
  local folder = os.tmpname()
  os.remove(folder)
  return folder
end

describe("scripts/scan.lua", function()
  it("explains every option", function()
    local text, code = run "--help"
    assert.equal(0, code)
    for _, name in ipairs {"cells", "splits", "iterations", "lr", "teacher", "clip", "holdout",
                           "combine", "group", "tune-lr", "weight-decay", "decode", "resume",
                           "batch", "baseline"} do
      assert.matches("--" .. name, text, 1, true)
    end
  end)

  for _, case in ipairs {
    {"--iteration 5 --tiny", "did you mean --iterations"}, {"--lr 0", "lr"}, {"--lr fast", "fast"},
    {"--teacher 2", "teacher"}, {"--holdout 1", "holdout"}, {"--batch 0", "batch"},
    {"--dropout 1", "dropout"}, {"--clip -1", "clip"}, {"--combine median", "median"},
    {"--group s5", "s5"}, {"--decode both", "both"}, {"--cells tcn", "tcn"},
    {"--splits add_run", "add_run"}, {"--seeds x", "x"}, {"--hidden 0", "hidden"},
    {"--threads 0", "threads"}, {"--data no/such/folder --tiny", "no/such/folder"},
    {"--report --out no/such/folder", "no results in no/such/folder"},
    {"--tiny --demo", "--tiny and --demo are two sizes; give one"},
    {"--tiny --out /tmp/no-such-folder --pretrained no/such", "there is no no/such/add_jump-lstm"},
    {"--data no/such --splits simple",
     "there is neither no/such/simple_split/tasks_train_simple.txt nor no/such/simple_split/tasks_"
     .. "train_simple.txt.gz"},
  } do
    it("refuses " .. case[1] .. " in one sentence", function()
      local text, code = run(case[1])
      assert.equal(2, code)
      assert.matches(case[2], text, 1, true)
      assert.is_nil(text:find("stack traceback", 1, true))
      assert.equal(1, select(2, text:gsub("\n", "\n")))
    end)
  end

  it("runs, writes results, logs and curves, and resumes to the same bits", function()
    local a, b = temporary(), temporary()
    local text, code = run("--tiny --out " .. a)
    assert.equal(0, code, text)
    local name = "/add_jump-lstm-verbs2-mean-0/"
    for _, file in ipairs {"result.json", "curves.png", "pretrain.csv", "tune.jsonl"} do
      assert.is_truthy(read(a .. name .. file), file)
    end
    assert.matches("equi%-tuned, fine%-tuned", (run("--report --out " .. a)))
    run("--tiny --tiny-steps 10 --out " .. b)
    assert.is_nil(read(b .. name .. "result.json")) -- no such option: nothing was begun
    run("--tiny --out " .. b)
    os.remove(b .. name .. "tune.safetensors")
    run("--tiny --resume --out " .. b)
    for _, stage in ipairs {"pretrain", "tune"} do
      local file = name .. stage .. ".best.safetensors"
      assert.is_true(weights(a .. file) == weights(b .. file), stage)
    end
    os.execute(("rm -r '%s' '%s'"):format(a, b))
  end)

  it("gives every combination a folder, and refuses other options before any work", function()
    local a = temporary()
    local name = a .. "/add_jump-lstm-verbs2-mean-0/"
    run("--tiny --out " .. a)
    local first = read(name .. "result.json")
    for _, more in ipairs {"", " --resume", " --seeds 7,0"} do
      local words = "--dropout 0.3" .. more
      local text, code = run(("--tiny --out %s %s"):format(a, words))
      assert.equal(2, code)
      assert.matches("result.json has other options: dropout was 0.1, is 0.3;", text, 1, true)
      assert.equal(1, select(2, text:gsub("\n", "\n")))
    end
    assert.equal(first, read(name .. "result.json"))
    assert.is_nil(read(a .. "/add_jump-lstm-verbs2-mean-7/pretrain.csv"))
    os.remove(name .. "result.json")
    local text, code = run("--tiny --resume --dropout 0.3 --out " .. a)
    assert.equal(2, code)
    assert.matches("tune.safetensors has other options: dropout was 0.1, is 0.3;", text, 1, true)
    assert.equal(0, select(2, run("--tiny --force --dropout 0.3 --out " .. a)))
    assert.matches('"dropout": 0.3', read(name .. "result.json"), 1, true)
    assert.equal(0, select(2, run("--tiny --group cycle4 --combine best --out " .. a)))
    assert.is_truthy(read(a .. "/add_jump-lstm-cycle4-best-0/result.json"))
    os.execute(("rm -r '%s'"):format(a))
  end)

  it("takes the options that are given also with --tiny and --demo", function()
    local a = temporary()
    local words = "--iterations 6 --every 3 --tune-iterations 2 --hidden 5 --seeds 1 --out "
    for i, size in ipairs {"--tiny --batch 2 ", "--demo --batch 2 --embedding 4 "} do
      local out = a .. i
      local text, code = run(size .. words .. out .. (i == 2 and " --decode independent" or ""))
      assert.equal(0, code, text)
      local made = json.read(out .. "/add_jump-lstm-verbs2-mean-1/result.json").options
      assert.same({6, 3, 2, 5, 2}, {made.iterations, made.every, made.tune_iterations, made.hidden,
                                    made.batch})
      os.execute(("rm -r '%s'"):format(out))
    end
  end)

  it("never puts a result under options that it was not computed with", function()
    local a, b = temporary(), temporary()
    local name = "/add_jump-lstm-verbs2-mean-0/"
    run("--tiny --out " .. a)
    local text, code = run("--tiny --tune-lr 0.5 --resume --out " .. a)
    assert.equal(2, code)
    assert.matches(("tune_lr was 2e-05, is 0.5; take another --out with --pretrained %s, which "
      .. "keeps the pretraining, or --force"):format(a), text, 1, true)
    local before, first = read(a .. name .. "pretrain.csv"), weights(a .. name ..
      "tune.best.safetensors")
    text, code = run("--tiny --tune-lr 0.5 --resume --force --out " .. a)
    assert.equal(0, code, text)
    assert.matches("tune.safetensors has other options: tune_lr was 2e-05, is 0.5; this stage "
      .. "begins anew", text, 1, true)
    assert.equal(before, read(a .. name .. "pretrain.csv"))
    local second = weights(a .. name .. "tune.best.safetensors")
    assert.is_false(first == second)
    run("--tiny --tune-lr 0.5 --out " .. b)
    assert.is_true(second == weights(b .. name .. "tune.best.safetensors"))
    run("--tiny --lr 0.01 --tune-lr 0.5 --resume --force --out " .. a)
    assert.is_false(before == read(a .. name .. "pretrain.csv"))
    os.execute(("rm -r '%s' '%s'"):format(a, b))
  end)

  it("equi-tunes what another run has pretrained", function()
    local a, b, c = temporary(), temporary(), temporary()
    run("--tiny --out " .. a)
    local from = (" --pretrained %s --out "):format(a)
    for _, case in ipairs {{"--tune-lr 0.5", "mean"}, {"--combine best", "best"}} do
      local words, name = case[1], "/add_jump-lstm-verbs2-" .. case[2] .. "-0/"
      local text, code = run("--tiny " .. words .. from .. b)
      assert.equal(0, code, text)
      run(("--tiny %s --out %s"):format(words, c))
      for _, file in ipairs {"pretrain.safetensors", "tune.best.safetensors"} do
        assert.is_true(weights(b .. name .. file) == weights(c .. name .. file), file)
      end
      assert.equal(read(a .. "/add_jump-lstm-verbs2-mean-0/pretrain.csv"),
                   read(b .. name .. "pretrain.csv"))
    end
    assert.equal(0, select(2, run("--tiny --combine weighted" .. from .. a)))
    local text, code = run("--tiny --lr 0.5" .. from .. temporary())
    assert.equal(2, code)
    assert.matches("pretrain.safetensors has other options: lr was 0.0001, is 0.5\n", text, 1, true)
    os.execute(("rm -r '%s' '%s' '%s'"):format(a, b, c))
  end)

  it("goes on with a run that took its pretraining elsewhere, and draws its curves without a gap",
    function()
      local a, b = temporary(), temporary()
      local name = "/add_jump-lstm-verbs2-mean-0/"
      run("--tiny --out " .. a)
      local words = ("--tiny --tune-lr 0.5 --pretrained %s --out %s"):format(a, b)
      run(words)
      local whole = weights(b .. name .. "tune.best.safetensors")
      os.remove(b .. name .. "result.json")
      os.remove(b .. name .. "tune.safetensors")
      local text, code = run(words .. " --resume")
      assert.equal(0, code, text)
      assert.is_true(whole == weights(b .. name .. "tune.best.safetensors"))
      -- everything is 0 % here, a line along the axis from the first report to the last
      local picture = equi.image.read(b .. name .. "curves.png"):to "f32"
      local coloured = (picture:max(1) - picture:min(1)):gt(60):to "f32"
      local columns = coloured[{{470, 490}}]:max(1):totable()
      local first, last, count = nil, nil, 0
      for x, on in ipairs(columns) do
        if on > 0 then first, last, count = first or x, x, count + 1 end
      end
      assert.equal(last - first + 1, count)
      os.execute(("rm -r '%s' '%s'"):format(a, b))
    end)

  it("names absent data before anything else, and makes no folder", function()
    local a = temporary()
    run("--tiny --out " .. a)
    local text, code = run("--tiny --data no/such --out " .. a)
    assert.equal(2, code)
    assert.matches("there is neither no/such/", text, 1, true)
    os.execute(("rm -r '%s'"):format(a))
    run("--data no/such --out " .. a)
    assert.is_nil(os.rename(a, a))
  end)

  it("reports its own results where others lie too", function()
    local a = temporary()
    os.execute(("mkdir -p '%s/toy-resnet20-c4-plain-0'"):format(a))
    equi.write_file_atomic(a .. "/toy-resnet20-c4-plain-0/result.json",
      {'{"backbone": "resnet20", "moves": [], "options": {"group": "c4"}, "rows": [{"gap": 1}]}'})
    assert.same({"scan.lua: there are no results of scan.lua in " .. a .. ", only others\n", 2},
                {run("--report --out " .. a)})
    run("--tiny --out " .. a)
    local text, code = run("--report --out " .. a)
    assert.equal(0, code, text)
    assert.equal(5, select(2, text:gsub("\n", "\n")))
    os.execute(("rm -r '%s'"):format(a))
  end)

  it("ends at Ctrl-C with 130 and one sentence that says how to go on", function()
    local a = temporary()
    local path = a .. "/add_jump-lstm-verbs2-mean-0/pretrain.safetensors"
    local words = "--tiny --iterations 1000000 --out " .. a
    local text, code = files.interrupted("scan.lua", words, path)
    assert.equal(130, code)
    assert.equal(("scan.lua: interrupted; the checkpoint is %s; the same command with --resume "
      .. "goes on\n"):format(path), text)
    os.execute(("rm -r '%s'"):format(a))
  end)

  it("runs every combination, and the equivariant network of Gordon et al.", function()
    local a = temporary()
    for _, words in ipairs {"--combine best --cells gru", "--combine weighted --cells rnn",
                            "--baseline --batch 4",
                            "--group product --batch 4 --splits around_right"} do
      local text, code = run(("--tiny --out %s %s"):format(a, words))
      assert.equal(0, code, words .. ": " .. text)
    end
    os.execute(("rm -r '%s'"):format(a))
  end)
end)
