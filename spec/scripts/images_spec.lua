-- scripts/images.lua as a command: help, wrong options, tiny runs of every method and combination,
-- resuming, feature extraction, memory limits, the report.
local equi = require "lua_equi"
local files = require "spec.support.files"
local json = require "lua_equi.json"

local function run(words)
  local out = os.tmpname()
  local command = "lua5.4 scripts/images.lua %s > %s 2>&1 < /dev/null"
  local ok, _, code = os.execute(command:format(words, out))
  local f = assert(io.open(out))
  local text = f:read "a"
  f:close()
  os.remove(out)
  return text, ok and 0 or code
end

-- The same where no data set has been fetched.
local function without_data(words)
  return files.shell("XDG_CACHE_HOME=/no/such/folder lua5.4 scripts/images.lua " .. words
    .. " 2>&1 < /dev/null; echo $?")
end

local function exists(path)
  local f = io.open(path, "rb")
  return f ~= nil and f:close()
end

-- The tensors of a file as one string (a checkpoint's other entries hold seconds, which differ).
local function weights(path)
  local parts = {}
  for name, x in pairs(equi.safetensors.load(path)) do parts[#parts + 1] = name .. x:tobytes() end
  table.sort(parts)
  return table.concat(parts)
end

local function row(folder, name)
  local result = assert(json.read(("%s/toy-resnet20-%s/result.json"):format(folder, name)))
  return result.rows[1], result
end

describe("scripts/images.lua", function()
  local folder, network

  setup(function()
    folder = os.tmpname()
    os.remove(folder)
    local text, code = run("--tiny --methods plain --out " .. folder)
    assert.equal(0, code, text)
    network = folder .. "/toy-resnet20-c4-scratch-0/weights.safetensors"
  end)

  teardown(function() os.execute(("rm -r '%s'"):format(folder)) end)

  local function tiny(words)
    local text, code = run(("--tiny --weights %s --out %s "):format(network, folder) .. words)
    assert.equal(0, code, text)
    return text
  end

  it("explains every option", function()
    local text, code = run "--help"
    assert.equal(0, code)
    for _, name in ipairs {"task", "backbone", "weights", "data", "group", "combine", "head",
                           "methods", "seeds", "learn", "epochs", "batch", "lr", "schedule",
                           "augment", "no-equal-compute", "holdout", "subset", "max-memory",
                           "resume", "demo", "tiny"} do
      assert.matches("--" .. name, text, 1, true)
    end
  end)

  for _, case in ipairs {
    {"--epoch 5 --tiny", "did you mean --epochs"}, {"--lr -1", "lr"}, {"--lr fast", "fast"},
    {"--backbone resnet19", "did you mean resnet"}, {"--combine median", "median"},
    {"--group c5", "c5"}, {"--task train", "train"}, {"--methods plan", "plan"},
    {"--holdout 1", "holdout"}, {"--learn body", "body"}, {"--data mars", "no data set mars"},
    {"--data folder:no/such", "no/such"}, {"--weights no/such.pth --tiny", "no/such.pth"},
    {"--head features --combine best", "goes without --combine best"},
    {"--ship x --task tune", "goes with --task scratch"},
    {"--tiny --demo", "--tiny and --demo are two sizes; give one"},
    {"--demo --weights none --backbone resnet32", 'no weights "none" of resnet32 come with the '
      .. "models; give --weights FILE"},
    {"--report --out no/such/folder", "no results in no/such/folder"},
    {"--data cifar10 --data-dir no/such/folder --out build/none", "no/such/folder"},
  } do
    it("refuses " .. case[1] .. " in one sentence", function()
      local text, code = run(case[1])
      assert.equal(2, code)
      assert.matches(case[2], text, 1, true)
      assert.is_nil(text:find("stack traceback", 1, true))
      assert.equal(1, select(2, text:gsub("\n", "\n")), text)
    end)
  end

  it("trains from scratch and measures: files, pictures, every turn", function()
    local r, result = row(folder, "c4-scratch-0")
    for _, file in ipairs {"train.csv", "train.jsonl", "train.safetensors", "curves.png",
                           "train.best.safetensors", "confusion.png", "weights.safetensors"} do
      assert.is_true(exists(folder .. "/toy-resnet20-c4-scratch-0/" .. file), file)
    end
    assert.is_true(r.upright > 60, r.upright)
    assert.is_true(r["90"] < r.upright and r["270"] < r.upright)
    assert.same({40, 16}, {result.images.test, result.images.validation})
    local plain = row(folder, "c4-plain-0")
    assert.same({r.upright, r["90"], r["180"], r["270"], r.random},
      {plain.upright, plain["90"], plain["180"], plain["270"], plain.random})
    assert.is_true(plain.gap > 0.1)
  end)

  it("puts a trained network beside the models, with its recipe and log", function()
    local name = "of_images_spec"
    local path = equi.models.backbone.weights_path("resnet20", name)
    local folder_of_weights = path:match "^(.*)/"
    local existed = os.execute(("[ -d '%s' ]"):format(folder_of_weights))
    local text, code = run(("--tiny --task scratch --epochs 1 --ship %s --out %s/ship"):format(name,
      folder))
    assert.equal(0, code, text)
    local net = equi.models.resnet {depth = 20, weights = name, classes = 4}
    local notes = io.open((path:gsub("safetensors$", "md")))
    local described = notes:read "a"
    notes:close()
    os.remove(path)
    os.remove((path:gsub("safetensors$", "md")))
    if not existed then os.execute(("rmdir '%s'"):format(folder_of_weights)) end
    assert.equal(4, net.fc.weight:size(1))
    for _, word in ipairs {'"lr": 0.02', "| scratch", "step,"} do
      assert.matches(word, described, 1, true)
    end
  end)

  it("equi-tunes by every combination, zero-shot and fine-tuned: no turn changes an answer",
    function()
      tiny "--methods equi,equi_tuned --combine mean,best,weighted,canonical"
      for _, kind in ipairs {"mean", "best", "weighted", "canonical"} do
        for _, method in ipairs {"equi", "equi_tuned"} do
          local r = row(folder, ("c4-%s-%s-0"):format(method, kind))
          assert.is_true(r.gap < 1e-5, method .. kind)
          assert.same({r.upright, r.upright, r.upright}, {r["90"], r["180"], r["270"]})
          assert.equal(r.upright, r.random)
        end
      end
      local text = run("--report --out " .. folder)
      assert.matches("equi_tuned, canonical", text, 1, true)
    end)

  it("fine-tunes plain networks with as many passes as equi-tuned ones", function()
    tiny "--methods plain_tuned,plain_augmented --group d4"
    for _, method in ipairs {"plain_tuned", "plain_augmented"} do
      local r = row(folder, "d4-" .. method .. "-0")
      assert.equal(8, r.epochs)
      assert.is_number(r.hflip and r.vflip and r.transpose and r.antitranspose)
    end
    local text = run("--report --out " .. folder)
    for _, name in ipairs {"upright", "90", "180", "270", "hflip", "vflip", "transpose",
                           "antitranspose"} do
      assert.matches("  " .. name .. "  ", text, 1, true)
    end
    tiny "--methods plain_tuned --group hflip --no-equal-compute"
    local r = row(folder, "hflip-plain_tuned-0")
    assert.equal(1, r.epochs)
    assert.is_number(r.hflip)
    assert.is_nil(r["90"])
  end)

  it("extracts features: only the last layer learns, also on equituned features", function()
    local before = equi.load_weights(network)
    for _, words in ipairs {"--methods plain_tuned --group vflip",
                            "--methods equi_tuned --group vflip --head features"} do
      tiny("--learn head " .. words)
    end
    for _, name in ipairs {"plain_tuned-last_layer", "equi_tuned-mean-features-last_layer"} do
      local after = equi.load_weights(("%s/toy-resnet20-vflip-%s-0/weights.safetensors"):format(
        folder, name))
      for key, x in pairs(after) do
        local same = x:eq(before[key]):all():item()
        assert.equal(not key:find "^fc%.", same, name .. " " .. key)
      end
    end
  end)

  it("goes on with a run to the same bits", function()
    local words = "--methods equi_tuned --combine weighted --group c2 "
    tiny(words .. "--epochs 2")
    local path = folder .. "/toy-resnet20-c2-equi_tuned-weighted-0/"
    local whole = weights(path .. "train.safetensors")
    os.execute(("rm -r '%s'"):format(path))
    tiny(words .. "--epochs 1")
    os.remove(path .. "result.json")
    tiny(words .. "--epochs 2 --resume --force")
    assert.is_true(whole == weights(path .. "train.safetensors"))
    local text = tiny(words .. "--epochs 2 --resume")
    assert.is_nil(text:find("wrote", 1, true))
  end)

  it("trains again what was made with other options, when forced to go on", function()
    local words = "--methods plain_tuned --group vflip --resume "
    tiny(words)
    local path = folder .. "/toy-resnet20-vflip-plain_tuned-0/train.safetensors"
    local before = weights(path)
    local text = tiny(words .. "--momentum 0.5 --force")
    assert.matches("train.safetensors has other options: momentum was 0.9, is 0.5; this stage "
      .. "begins anew", text, 1, true)
    assert.equal(0.5, select(2, row(folder, "vflip-plain_tuned-0")).options.momentum)
    local after = weights(path)
    assert.is_false(before == after)
    tiny(words:gsub("%-%-resume", "--force") .. "--momentum 0.5")
    assert.is_true(after == weights(path))
  end)

  it("computes again what starts from a network that was trained again", function()
    local own = folder .. "/own"
    local words = "--tiny --methods plain --out " .. own
    local text = run(words)
    assert.matches("scratch", text, 1, true)
    assert.matches("plain", text, 1, true)
    text = run(words .. " --resume --force --momentum 0.5")
    assert.matches("c4-plain-0/result.json", text, 1, true)
    assert.equal(row(own, "c4-scratch-0").loss, row(own, "c4-plain-0").loss)
  end)

  it("takes the options that are given also with --tiny and --demo", function()
    local out = folder .. "/given"
    local text, code = run(("--tiny --weights %s --methods plain --test-subset 20 --out %s"):format(
      network, out))
    assert.equal(0, code, text)
    assert.same({20}, {select(2, row(out, "c4-plain-0")).images.test})
    local cifar = folder .. "/cifar.safetensors"
    equi.safetensors.save(cifar, equi.models.resnet {depth = 32, seed = 1}:state_dict())
    text = without_data("--demo --backbone resnet32 --group flips --combine mean --weights "
      .. cifar)
    assert.matches("about a drawn picture", text, 1, true)
    assert.matches("hflip", text, 1, true)
    assert.is_nil(text:find("equi-tuned, best", 1, true), text)
    assert.matches("\n0\n$", text)
    text = without_data "--demo"
    if text:find "no weights" then -- where none come with the models
      assert.matches('^images.lua: no weights "cifar10" of resnet20 come with the models; give '
        .. "%-%-weights FILE[^\n]*\n2\n$", text)
    end
  end)

  it("reports its own results where others lie too", function()
    local both = folder .. "/both"
    os.execute(("mkdir -p '%s/add_jump-lstm-verbs2-mean-0'"):format(both))
    equi.write_file_atomic(both .. "/add_jump-lstm-verbs2-mean-0/result.json",
      {'{"split": "add_jump", "group_order": 2, "options": {}, "rows": [{"test": 1}]}'})
    local text, code = run("--report --out " .. both)
    assert.equal(2, code)
    assert.equal("images.lua: there are no results of images.lua in " .. both .. ", only others\n",
      text)
    os.execute(("cp -r '%s/toy-resnet20-c4-plain-0' '%s'"):format(folder, both))
    text, code = run("--report --out " .. both)
    assert.equal(0, code, text)
    assert.is_nil(text:find "add_jump")
  end)

  it("ends at Ctrl-C with 130 and one sentence that says how to go on", function()
    local out = folder .. "/stopped"
    local path = out .. "/toy-resnet20-c4-scratch-0/train.safetensors"
    local words = "--tiny --task scratch --epochs 100000 --out " .. out
    local text, code = files.interrupted("images.lua", words, path)
    assert.equal(130, code)
    assert.equal(("images.lua: interrupted; the checkpoint is %s; the same command with --resume "
      .. "goes on\n"):format(path), text)
  end)

  it("does not overwrite what other options made", function()
    tiny "--methods plain_tuned --group flips"
    local words = "--tiny --weights %s --out %s --methods plain_tuned --group flips --momentum 0.5"
    local text, code = run(words:format(network, folder))
    assert.equal(2, code)
    assert.matches("result.json has other options: momentum was 0.9, is 0.5;", text, 1, true)
  end)

  it("computes the same within a limit of memory", function()
    tiny "--methods equi,plain_tuned --group c4"
    local free, tuned = row(folder, "c4-equi-mean-0"), row(folder, "c4-plain_tuned-0")
    tiny "--methods equi,plain_tuned --group c4 --max-memory 6 --force --frozen-norm"
    assert.equal(free.upright, row(folder, "c4-equi-mean-0").upright)
    assert.is_number(tuned.upright)
  end)

  it("leaves out networks whose last layer has learned nothing", function()
    local other = folder .. "/other.safetensors"
    equi.safetensors.save(other, equi.models.resnet {depth = 20, classes = 7}:state_dict())
    local words = "--tiny --weights %s --out %s --methods plain,equi --group flips"
    local text, code = run(words:format(other, folder))
    assert.equal(0, code)
    assert.matches("plain: left out, the last layer is new and has learned nothing", text, 1, true)
  end)

  it("gives Caffe's networks, which want BGR from 0 to 255, what they want", function()
    local data = "../shared/data/squeezenet/"
    if not exists(data .. "reference.safetensors") then
      return pending "Caffe's pixels: ../shared/data/squeezenet is absent"
    end
    package.path = "scripts/?.lua;" .. package.path
    local networks = require "images.networks"
    local net, fresh = networks.build("squeezenet1_1", 1000, {pixels = "caffe", resize = 0,
      crop = 0, weights = data .. "squeezenet1_1.fp16.safetensors"})
    assert.is_false(fresh)
    networks.exchange_colours(net)
    assert.is_true(net.features[1].weight:eq(equi.load_weights(data ..
      "squeezenet1_1.fp16.safetensors")["features.0.weight"]:to "f32"):all():item())
    networks.exchange_colours(net)
    local reference = equi.safetensors.load(data .. "reference.safetensors")
    local x = reference.crops_bgr[{{1, 2}}]:flip(2)
    local p = net.preprocessing
    local y = net:eval()(equi.image.normalize(x, {mean = p.mean, std = p.std}))
    local apart = (y - reference.logits[{1, {1, 2}}]):abs():max():item()
    assert.is_true(apart < 1e-3, apart)
  end)
end)
