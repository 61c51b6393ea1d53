-- The loader beside a slow one made of tensor operations; the same batches for any number of
-- workers and after a resume; errors by file; closing, collecting and Ctrl-C at any time.
local equi = require "lua_equi"
local core = require "lua_equi.core"
local files = require "spec.support.files"
local image, loader = equi.image, equi.data.loader

local mean, std = {0.5, 0.4, 0.3}, {0.2, 0.25, 0.5}

local function numbers(n) return equi.arange(1, n):to "i64" end

local function all_batches(l)
  local list = {}
  for x, y, positions in l:batches() do
    list[#list + 1] = x:tobytes() .. table.concat(y:totable(), ",") .. "/"
      .. table.concat(positions, ",")
  end
  return list
end

local function largest(x) return x:abs():max():item() end

describe("data.loader", function()
  local folder, set, pictures
  setup(function()
    folder = files.folder()
    set, pictures = {paths = {}, labels = numbers(11)}, {}
    for i = 1, 11 do
      local h, w = 20 + i % 4 * 3, 31 - i
      local x = equi.rand(3, h, w):mul(255):to "u8"
      set.paths[i], pictures[i] = ("%s/%02d.png"):format(folder, i), x
      image.save(set.paths[i], x)
    end
  end)
  teardown(function() files.remove(folder) end)

  local function memory_set(n, c)
    return {images = equi.rand(n, c or 3, 12, 12):mul(255):to "u8", labels = numbers(n)}
  end

  it("resizes, crops and normalises as equi.image does", function()
    local l <close> = loader.new(set, {batch = 4, resize = 16, crop = {14, 12}, mean = mean,
      std = std})
    local seen = 0
    for x, y in l:batches() do
      assert.equal("f32", x.dtype)
      assert.is_true(x:is_channels_last())
      for k = 1, x:size(1) do
        seen = seen + 1
        assert.equal(seen, y[k]:item())
        local small = image.center_crop(image.resize(pictures[seen], 16), {14, 12})
        local expected = image.normalize(small, {mean = mean, std = std})
        assert.is_true(largest(x[k] - expected) < 1e-5)
      end
    end
    assert.equal(11, seen)
  end)

  it("gives the same batches for any number of workers", function()
    local given = {batch = 3, resize = {18, 18}, crop = 16, random_crop = true, pad = 2,
      hflip = true, rot90 = true, shuffle = true, seed = 5}
    local first
    for _, workers in ipairs {1, 2, 7} do
      given.workers, given.ahead = workers, workers
      local l <close> = loader.new(set, given)
      local list = all_batches(l)
      table.move(all_batches(l), 1, 4, 5, list)
      first = first or list
      assert.same(first, list)
    end
    assert.equal(8, #first)
    assert.not_equal(first[1], first[5]) -- another epoch, another order
    given.seed = 6
    local l <close> = loader.new(set, given)
    assert.not_equal(first[1], all_batches(l)[1])
  end)

  it("treats pictures in files and in memory alike", function()
    local paths, rows = {}, memory_set(7)
    for i = 1, 7 do
      paths[i] = ("%s/m%d.png"):format(folder, i)
      image.save(paths[i], rows.images[i])
    end
    for _, o in ipairs {{crop = 10, random_crop = true, pad = 3, hflip = 0.5, rot90 = true},
      {resize = 9, crop = 8}, {crop = 6, random_resized = true}, {channels = 1, crop = 12}} do
      o.batch, o.seed = 4, 3
      local one = loader.new(rows, o)
      local two <close> = loader.new({paths = paths, labels = rows.labels}, o)
      assert.same(all_batches(one), all_batches(two))
      local last = loader.new({images = rows.images:channels_last(), labels = rows.labels}, o)
      assert.same(all_batches(loader.new(rows, o)), all_batches(last))
    end
  end)

  it("gathers large pictures alike on one thread and on several", function()
    local rows = {images = equi.rand(7, 3, 300, 300):mul(255):to "u8"}
    local before, first = equi.threads(), nil
    for threads = 1, 3 do
      equi.threads(threads)
      local x = loader.new(rows, {batch = 7, crop = 280, random_crop = true, rot90 = true}):next()
      first = first or x
      assert.is_true((x - first):abs():max():item() == 0)
    end
    equi.threads(before)
  end)

  it("crops the middle where image.center_crop does", function()
    local rows = {images = equi.arange(1, 7):reshape(1, 1, 1, 7):expand(1, 1, 7, 7):to "u8"}
    for side = 1, 7 do
      local y = loader.new(rows, {crop = side}):next()
      local expected = image.to_float(image.center_crop(rows.images[1], side))
      assert.equal(expected:tobytes(), y[1]:tobytes())
    end
  end)

  for _, hflip in ipairs {true, false} do
    it("draws every window and turn, and no other; flips: " .. tostring(hflip), function()
      local rows = {images = equi.rand(1, 3, 4, 4):mul(255):to "u8"}
      local x = image.to_float(rows.images[1])
      local padded = equi.zeros(3, 6, 6)
      padded:narrow(2, 2, 4):narrow(3, 2, 4):copy_(x)
      local expected, count = {}, 0
      for top = 0, 2 do
        for left = 0, 2 do
          local part = padded:narrow(2, top + 1, 4):narrow(3, left + 1, 4)
          for _, y in ipairs {part, hflip and part:flip(3) or nil} do
            for turns = 0, 3 do
              expected[equi.rot90(y, turns, {2, 3}):tobytes()], count = 0, count + 1
            end
          end
        end
      end
      local l = loader.new(rows, {crop = 4, random_crop = true, pad = 1, hflip = hflip,
        rot90 = true})
      local kinds = 0
      for _ = 1, 20 * count do
        for y in l:batches() do
          local bytes = y[1]:tobytes()
          assert(expected[bytes], "a picture that no choice makes")
          if expected[bytes] == 0 then kinds = kinds + 1 end
          expected[bytes] = expected[bytes] + 1
        end
      end
      assert.equal(hflip and 72 or 36, count)
      assert.equal(count, kinds)
      for _, times in pairs(expected) do assert.is_true(times < 60) end -- 20 on average
    end)
  end

  it("resizes random parts within their ranges", function()
    local ramp = equi.arange(0, 99):reshape(1, 1, 1, 100):expand(1, 1, 100, 100):to "u8"
    local l = loader.new({images = ramp}, {crop = 10, random_resized = {area = {0.25, 0.25},
      ratio = {1, 1}}})
    local lowest, highest = 1, 0
    for _ = 1, 60 do
      for y in l:batches() do
        local row = y[{1, 1, 1}] * 255
        local step = (row[10] - row[1]):item() / 9
        assert.is_true(math.abs(step - 5) < 0.2) -- 50 of 100 pixels become 10
        lowest, highest = math.min(lowest, row[1]:item()), math.max(highest, row[10]:item())
      end
    end
    assert.is_true(lowest < 10 and highest > 90)
  end)

  it("leaves the last batch out when asked", function()
    assert.equal(3, #loader.new(memory_set(7), {batch = 3}))
    local l = loader.new(memory_set(7), {batch = 3, last = false})
    assert.equal(2, #l)
    assert.equal(2, #all_batches(l))
    assert.equal(2, #all_batches(l))
  end)

  it("shuffles every epoch as a permutation", function()
    local l = loader.new(memory_set(50), {batch = 8, shuffle = true})
    for _ = 1, 3 do
      local seen = {}
      for _, _, positions in l:batches() do
        for _, p in ipairs(positions) do seen[p] = true end
      end
      assert.equal(50, #seen)
    end
    assert.equal(3, l:epoch())
  end)

  it("continues where a saved one was", function()
    local given = {batch = 2, crop = 16, random_crop = true, shuffle = true, hflip = true, seed = 9}
    local a <close> = loader.new(set, given)
    local b <close> = loader.new(set, given)
    all_batches(a)
    a:next()
    a:next()
    local state = a:state_dict()
    local rest = all_batches(a)
    b:next() -- some are on their way already
    b:load_state_dict(state)
    assert.same(rest, all_batches(b))
    given.batch = 3
    local c <close> = loader.new(set, given)
    assert.matches("loader_spec.lua:%d+: loader: the saved loader has batch 2, this one 3",
      select(2, pcall(function() c:load_state_dict(state) end)))
  end)

  it("goes into a checkpoint as a sampler does", function()
    local rows = memory_set(9)
    local function new() return loader.new(rows, {batch = 2, shuffle = true, seed = 1}) end
    local a, b, path = new(), new(), files.temporary()
    a:next()
    equi.checkpoint.save(path, {sampler = a})
    local rest = all_batches(a)
    equi.checkpoint.load(path, {sampler = b})
    assert.same(rest, all_batches(b))
    os.remove(path)
  end)

  it("names the file that it cannot read, and goes on", function()
    local bad = {paths = {table.unpack(set.paths)}, labels = set.labels}
    bad.paths[5], bad.paths[6] = folder .. "/absent.png", folder .. "/cut.png"
    files.write(bad.paths[6], files.read(set.paths[6]):sub(1, -30))
    for _ = 1, 5 do
      local l <close> = loader.new(bad, {batch = 4, resize = {9, 9}, workers = 4})
      assert.is_truthy(l:next())
      local ok, message = pcall(function() l:next() end)
      assert.is_false(ok)
      assert.matches("^spec/data/loader_spec.lua:%d+: loader: .*/absent.png: cannot open it: No s",
        message)
      local x, y = l:next()
      assert.equal(3, x:size(1))
      assert.equal(9, y[1]:item())
      assert.is_nil(l:next())
    end
    local l <close> = loader.new({paths = set.paths}, {crop = 22})
    assert.matches("/04.png: 20 x 27 pixels are too few for a crop of 22 x 22; resize first",
      select(2, pcall(function() l:next() end)))
  end)

  it("refuses mistakes at the caller's line", function()
    local rows = memory_set(4)
    for message, case in pairs {
      ["rot90 needs square pictures, these become 10 x 8"] = {rows, {crop = {10, 8}, rot90 = true}},
      ["12 x 12 pixels are too few for a crop of 13 x 13"] = {rows, {crop = 13}},
      ["batch must be a whole number of at least 1, got 0"] = {rows, {batch = 0}},
      ['no option "mirror"'] = {rows, {mirror = true}},
      ["mean must be a list of 3 numbers"] = {rows, {mean = {1}}},
      ["std must be a list of 3 numbers above 0"] = {rows, {std = {1, 0, 1}}},
      ["pad = 4 needs a crop that is larger"] = {rows, {crop = 4, pad = 4}},
      ["random_resized needs crop"] = {rows, {random_resized = true}},
      ["4 pictures fill no batch of 5"] = {rows, {batch = 5, last = false}},
      ["hflip must be true %(one half%) or a probability, got 2"] = {rows, {hflip = 2}},
      ["the pictures of a batch must have one size"] = {set, {}},
      ["got both or neither"] = {{}, {}},
      ["labels must be i64 %[4%]"] = {{images = rows.images, labels = numbers(3)}, {}},
      ["the set is empty"] = {{paths = {}}, {}},
      ["images must be u8"] = {{images = equi.zeros(4, 3, 2, 2)}, {}},
    } do
      local ok, text = pcall(function() loader.new(case[1], case[2]) end)
      assert.is_false(ok)
      assert.matches("^spec/data/loader_spec.lua:%d+: loader.new: .*" .. message, text)
    end
    local l = loader.new(set, {crop = 8})
    l:close()
    l:close()
    assert.matches("it is closed", select(2, pcall(l.next, l)))
  end)

  it("can be closed or collected while it works", function()
    local before = equi.memory("collect").live
    for k = 1, 30 do
      local l = loader.new(set, {batch = 2, resize = {40, 40}, workers = 3, ahead = 4})
      if k % 3 > 0 then l:next() end
      if k % 2 == 0 then l:close() end
    end
    assert.equal(before, equi.memory("collect").live)
  end)

  it("leaves nothing behind when memory ends", function()
    local rows = memory_set(6)
    for n = 1, 6 do
      for times = 1, 100, 99 do
        collectgarbage()
        local before = equi.memory("collect").live
        do
          local l <close> = loader.new(set, {batch = 2, resize = {9, 9}})
          local m = loader.new(rows, {batch = 2})
          core.fail_allocation(n, times)
          pcall(l.next, l)
          core.fail_allocation(n, times)
          pcall(m.next, m)
          core.fail_allocation()
          assert.is_truthy(l:next())
          assert.is_truthy(m:next())
        end
        assert.equal(before, equi.memory("collect").live)
      end
    end
  end)

  it("lets Ctrl-C through while it waits, and loses no batch", function()
    local text = files.lua([[
      local equi = require "lua_equi"
      local path = arg[1] .. "/big.png"
      equi.image.save(path, equi.rand(3, 1500, 1500))
      local paths = {}
      for i = 1, 60 do paths[i] = path end
      local l = equi.data.loader.new({paths = paths}, {batch = 30, resize = {8, 8}, workers = 1})
      local shell = io.popen("sleep 0.3; kill -INT $PPID")
      print(pcall(l.next, l))
      print(l.at)
      l:close()
      print "closed"
      shell:close()
    ]], folder, "timeout 20")
    assert.matches("^false\t.*interrupted!\n0\nclosed\n", text)
  end)

  it("ends with the program, whatever it was doing", function()
    for _, ending in ipairs {"", "os.exit(3)", "os.exit(3, true)", "error 'x'"} do
      local text = files.lua([[
        local equi = require "lua_equi"
        local paths = {}
        for i = 1, 40 do paths[i] = arg[1] .. "/01.png" end
        L = equi.data.loader.new({paths = paths}, {batch = 10, resize = {200, 200}, workers = 4})
        L:next()
        print "here"
        io.stdout:flush()
      ]] .. ending, folder, "timeout 20")
      assert.matches("^here\n", text)
      assert.not_matches("fault|Abort|dumped", text)
    end
  end)
end)
