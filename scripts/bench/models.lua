--- Whole networks beside PyTorch: inference, training, and the same equi-tuned over four turns.
--
-- Every measurement is a process of its own, ours too, so that its peak memory is its own. "tuned"
-- is PyTorch with its memory kept between calls and, for inference, traced, frozen and optimised.
local measure = require "measure"

-- {network, training, batch, size, orbit}
local cases = {
  {"resnet18", false, 1, 224}, {"resnet18", false, 16, 224}, {"resnet18", true, 16, 224},
  {"vgg11", false, 1, 224}, {"vgg11", false, 16, 224}, {"vgg11", true, 16, 224},
  {"resnet50", false, 1, 224}, {"resnet50", false, 16, 224}, {"resnet50", true, 16, 224},
  {"alexnet", false, 1, 224}, {"alexnet", false, 16, 224}, {"alexnet", true, 16, 224},
  {"densenet121", false, 1, 224}, {"densenet121", false, 16, 224},
  {"densenet121", true, 16, 224},
  {"resnet20", false, 128, 32}, {"resnet20", true, 128, 32},
  {"resnet18", false, 4, 224, true}, {"resnet18", true, 4, 224, true},
  {"resnet20", false, 32, 32, true}, {"resnet20", true, 32, 32, true},
}

local function name_of(case)
  return ("%s%s %s b%d"):format(case[5] and "C4 " or "", case[1],
    case[2] and "training" or "inference", case[3])
end

local function words(ctx, case, seconds)
  return ("--network %s%s%s --batch %d --size %d --threads %d --seconds %g"):format(case[1],
    case[2] and " --train" or "", case[5] and " --orbit" or "", case[3], case[4], ctx.threads,
    seconds)
end

local function commands(ctx, case)
  local text = words(ctx, case, 3 * ctx.seconds)
  return {
    ours = ("%s %snetwork.lua %s"):format(ctx.lua, ctx.here, text),
    torch = measure.pytorch(ctx, "models.py", text),
    tuned = measure.pytorch(ctx, "models.py", text .. " --tuned", true),
    last = measure.pytorch(ctx, "models.py", text .. " --tuned --channels-last", true),
  }
end

local function measure_case(ctx, case)
  local seconds, mib = {}, {}
  local list = commands(ctx, case)
  for _ = 1, ctx.rounds do
    for _, side in ipairs {"ours", "torch", "tuned", "last"} do
      local row = list[side] and (measure.child(list[side]) or {})[1]
      if row then
        seconds[side] = seconds[side] or {}
        table.insert(seconds[side], row.seconds)
        mib[side] = math.max(mib[side] or 0, row.peak_mib)
      end
    end
  end
  local median = {}
  for side, times in pairs(seconds) do median[side] = measure.median(times) end
  -- of the two tuned layouts the faster one is the peer
  if median.last and (not median.tuned or median.last < median.tuned) then
    median.tuned = median.last
  end
  return median, mib
end

local HEADER = {"network", "ours ms", "PyTorch ms", "tuned ms", "/ PyTorch", "/ tuned", "ours MiB",
                "PyTorch MiB"}

return function(ctx)
  local rows, records = {}, {}
  if not ctx.filter then -- an hour and more
    print "models: whole networks are measured when --filter names them: models, resnet18 ..."
    return
  end
  for _, case in ipairs(cases) do
    local name = name_of(case)
    if ctx.wanted("models " .. name) and not (ctx.tiny and case[4] > 32) then
      local t, mib = measure_case(ctx, case)
      if not t.ours then
        print(("models: %s is left out: our side failed, see above"):format(name))
      else
        local function ms(x) return measure.number(x and x * 1e3, "%.1f") end
        rows[#rows + 1] = {name, ms(t.ours), ms(t.torch), ms(t.tuned),
                           measure.ratio(t.ours, t.torch), measure.ratio(t.ours, t.tuned),
                           ("%.0f"):format(mib.ours), measure.number(mib.torch, "%.0f")}
        records[#records + 1] = {bench = "models", case = name, seconds = t.ours, torch = t.torch,
                                 tuned = t.tuned, mib = mib.ours, torch_mib = mib.torch}
        io.stderr:write(table.concat(rows[#rows], "  "), "\n")
      end
    end
  end
  if #rows == 0 then return end
  measure.show(ctx, "models", "networks: milliseconds a call, and how many times as fast",
    HEADER, rows, records)
end
