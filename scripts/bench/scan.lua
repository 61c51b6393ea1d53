--- SCAN training steps a second, batch 1: the paper's model with attention, loss, backward,
--- clipping, two Adams, beside the same step in PyTorch (both variants of pytorch/scan.py).
local equi = require "lua_equi"
local measure = require "measure"
local random = require "lua_equi.data.random"
local scan = require "lua_equi.data.scan"

local PAIRS = 400

-- The pairs of add_jump's training set that both sides train on: as ids, and as a file for PyTorch.
local function draw_pairs(path)
  local train = scan.split "add_jump"
  local words_in, words_out = scan.vocabularies()
  local rng, pairs_out, lines = random.new(1), {}, {}
  for i = 1, PAIRS do
    local pair = train[rng:integer(#train)]
    pairs_out[i] = {equi.tensor({words_in:encode(pair.input)}, {dtype = "i64"}),
                    equi.tensor({words_out:encode(pair.output)}, {dtype = "i64"})}
    lines[i] = ("IN: %s OUT: %s\n"):format(pair.input, pair.output)
  end
  local file = assert(io.open(path, "w"))
  file:write(table.concat(lines))
  file:close()
  return pairs_out
end

local function stepper(cell, pairs_in)
  local model = equi.models.seq2seq {cell = cell, dropout = 0.1}
  local parts = {model.encoder, model.decoder}
  local opts = {}
  for i, part in ipairs(parts) do opts[i] = equi.optim.adam(part, {lr = 1e-4}) end
  local turn = 0
  return function()
    turn = turn % #pairs_in + 1
    local x, y = pairs_in[turn][1], pairs_in[turn][2]
    local teacher = turn % 2 == 1
    local logp, tokens = model(x, y, nil,
      {teacher = teacher, steps = y:size(2), stop = not teacher})
    local loss = equi.sequence_nll(logp, y, tokens)
    for _, o in ipairs(opts) do o:zero_grad() end
    loss:backward()
    for _, o in ipairs(opts) do
      equi.optim.clip_norm(o.groups[1].params, 5)
      o:step()
    end
    return loss:item()
  end
end

local function torch_rows(ctx, path, cell)
  local command = measure.pytorch(ctx, "scan.py",
    ("--cells %s --threads %d --seconds %g --pairs %s"):format(cell:upper(), ctx.threads,
      4 * ctx.seconds, measure.quote(path)))
  return command and measure.child(command)
end

local function measure_cell(ctx, cell, pairs_in, path)
  local ours, torch = {}, {}
  local step = stepper(cell, pairs_in)
  local name = "scan_" .. cell .. "_"
  for r = 1, ctx.rounds do
    ours[r] = 1 / measure.seconds_per_call(step, 4 * ctx.seconds)
    measure.collect(torch, torch_rows(ctx, path, cell), function(row)
      return row.name:sub(#name + 1), row.per_second
    end)
  end
  return measure.median(ours), measure.median(torch.as_published or {}),
    measure.median(torch.fast or {})
end

return function(ctx)
  local rows, records, path = {}, {}, os.tmpname()
  local pairs_in = draw_pairs(path)
  for _, cell in ipairs(ctx.tiny and {"lstm"} or {"lstm", "gru", "rnn"}) do
    if ctx.wanted("scan " .. cell) then
      local ok, mine, published, fast = pcall(measure_cell, ctx, cell, pairs_in, path)
      if not ok then
        print(("scan: %s is left out: %s"):format(cell, mine))
      else
        rows[#rows + 1] = {cell, ("%.0f"):format(mine), measure.number(published, "%.1f"),
                           measure.number(fast, "%.1f"), measure.ratio(published, mine),
                           measure.ratio(fast, mine)}
        records[#records + 1] = {bench = "scan", case = cell, per_second = mine,
                                 torch_published = published, torch_fast = fast}
      end
    end
  end
  os.remove(path)
  if #rows == 0 then return end
  measure.show(ctx, "scan", "SCAN training, batch 1, attention: steps a second",
    {"cell", "ours", "PyTorch, published", "PyTorch, fast", "/ published", "/ fast"}, rows, records)
end
