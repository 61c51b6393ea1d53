--- GPT-2 of 124M parameters beside PyTorch: generating, reading a prompt, training, loading.
--
-- Random weights on both sides. Every measurement is a process of its own, as in models.lua. The
-- peer of bf16 and int8 is PyTorch's f32: its own bf16 is slower on processors. The peer of an
-- equi-tuned model of two elements is our plain one: how much more a fair model costs.
local measure = require "measure"

-- {name, what our side is asked, what PyTorch is asked (nil: what ours is), peer of another name}
local cases = {
  {"decode b1", "--task decode --batch 1"},
  {"decode b2", "--task decode --batch 2"},
  {"decode b1 bf16", "--task decode --batch 1 --weights bf16", "--task decode --batch 1"},
  {"decode b2 bf16", "--task decode --batch 2 --weights bf16", "--task decode --batch 2"},
  {"decode b1 int8", "--task decode --batch 1 --weights int8", "--task decode --batch 1"},
  {"decode b2 int8", "--task decode --batch 2 --weights int8", "--task decode --batch 2"},
  {"prompt of 64", "--task prompt --prompt 64"},
  {"train 4 x 64", "--task train --batch 4 --prompt 64"},
}

local function run(command)
  local row = command and (measure.child(command) or {})[1]
  return row
end

local function ours(ctx, words)
  return ("%s %sgpt2_task.lua %s"):format(ctx.lua, ctx.here, words)
end

local function common(ctx)
  return (" --size %s --threads %d --seconds %g%s"):format(ctx.tiny and "tiny" or "small",
    ctx.threads, 5 * ctx.seconds, ctx.cpu_time and " --cpu-time" or "")
end

-- Rounds of all commands in turn -> median seconds and largest peak of each that ran.
local function rounds(ctx, commands)
  local seconds, mib = {}, {}
  for _ = 1, ctx.rounds do
    for key, command in pairs(commands) do
      local row = run(command)
      if row then
        seconds[key] = seconds[key] or {}
        table.insert(seconds[key], row.seconds)
        mib[key] = math.max(mib[key] or 0, row.peak_mib)
      end
    end
  end
  for key, list in pairs(seconds) do seconds[key] = measure.median(list) end
  return seconds, mib
end

local HEADER = {"GPT-2 124M", "ours ms", "PyTorch ms", "/ PyTorch", "ours MiB", "PyTorch MiB"}

local function ms(x) return measure.number(x and x * 1e3, "%.1f") end

local function add(list, records, name, seconds, mib, note)
  list[#list + 1] = {name, ms(seconds.ours), ms(seconds.torch),
                     note or measure.ratio(seconds.ours, seconds.torch),
                     measure.number(mib.ours, "%.0f"), measure.number(mib.torch, "%.0f")}
  records[#records + 1] = {bench = "gpt2", case = name, seconds = seconds.ours,
                           torch = seconds.torch, mib = mib.ours, torch_mib = mib.torch}
  io.stderr:write(table.concat(list[#list], "  "), "\n")
end

-- The cost of an equi-tuned model of two elements, as a multiple of the plain one's.
local function orbit(ctx, list, records)
  local words = "--task decode --batch 1" .. common(ctx)
  local seconds, mib = rounds(ctx, {ours = ours(ctx, words .. " --orbit"),
                                    plain = ours(ctx, words)})
  if not seconds.ours then return end
  add(list, records, "EquiGPT2 decode b1", seconds, mib,
    ("%.2f x plain"):format(seconds.ours / seconds.plain))
end

-- Reading a folder of safetensors, and peaks of a model that is mapped from it.
local function mapped(ctx, list, records)
  local folder = ctx.out .. "/gpt2-folder"
  os.execute(ours(ctx, "--task save --folder " .. measure.quote(folder)) .. " --size "
    .. (ctx.tiny and "tiny" or "small"))
  local from = " --folder " .. measure.quote(folder)
  for _, case in ipairs {{"load", "--task load"}, {"decode b1, mapped", "--task decode"}} do
    local seconds, mib = rounds(ctx, {ours = ours(ctx, case[2] .. common(ctx) .. from)})
    if seconds.ours then add(list, records, case[1], seconds, mib) end
  end
  os.execute("rm -r " .. measure.quote(folder))
end

return function(ctx)
  local list, records = {}, {}
  if not ctx.filter then -- minutes
    print "gpt2: measured when --filter names it: gpt2, gpt2 decode, gpt2 train ..."
    return
  end
  for _, case in ipairs(cases) do
    if ctx.wanted("gpt2 " .. case[1]) then
      local seconds, mib = rounds(ctx, {
        ours = ours(ctx, case[2] .. common(ctx)),
        torch = measure.pytorch(ctx, "gpt2.py", (case[3] or case[2]) .. common(ctx)),
      })
      if seconds.ours then
        add(list, records, case[1], seconds, mib)
      else
        print(("gpt2: %s is left out: our side failed, see above"):format(case[1]))
      end
    end
  end
  if ctx.wanted "gpt2 EquiGPT2" then orbit(ctx, list, records) end
  if ctx.wanted "gpt2 load" then mapped(ctx, list, records) end
  if #list == 0 then return end
  measure.show(ctx, "gpt2", "GPT-2: milliseconds a token, prompt or step, and how many times as "
    .. "fast", HEADER, list, records)
end
