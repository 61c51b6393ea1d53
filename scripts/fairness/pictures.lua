--- The pictures of fairness.lua: PNG files in the folder of a run.
local plot = require "lua_equi.plot"

local pictures = {}

local function save(figure, one, name)
  local done, message = figure:save(("%s/%s.png"):format(one.dir, name))
  if not done then error(message, 0) end
end

local function column(rows, field)
  local list = {}
  for i, row in ipairs(rows) do list[i] = row[field] end
  return list
end

--- Largest and mean total variation of every method.
---@param one table options of the run
---@param rows table[]
function pictures.unfairness(one, rows)
  local names = column(rows, "method")
  for i, row in ipairs(rows) do -- a bar of nothing needs its number
    if row.max_tv < 1e-6 then names[i] = ("%s: %.0e"):format(names[i], row.max_tv) end
  end
  save(plot.bars(names, {{"largest", column(rows, "max_tv")},
    {"mean", column(rows, "mean_tv")}}, {values = "%.2g", title = "unfairness, " .. one.words,
    ylabel = "total variation", ylim = {0, 1.1}}), one, "unfairness")
end

--- Total variation between groups behind the ten contexts, of the text and of every method.
---@param one table
---@param by_method table[] {method, rows = of truth.compare}
function pictures.contexts(one, by_method)
  local first = by_method[1].rows
  local parts = {{"the text", column(first, "truth")}}
  for i, m in ipairs(by_method) do parts[i + 1] = {m.method, column(m.rows, "learned")} end
  save(plot.bars(column(first, "context"), parts, {values = "%.2f", width = 1700, height = 600,
    title = "total variation between groups of the next word, " .. one.words,
    legend = "right"}), one, "contexts")
end

--- Perplexity of every method.
---@param one table
---@param rows table[]
function pictures.perplexity(one, rows)
  save(plot.bars(column(rows, "method"), {{"held-out text", column(rows, "perplexity")}},
    {values = "%.3f", title = "perplexity, " .. one.words}), one, "perplexity")
end

--- Perplexity and mean unfairness before and after fine-tuning.
---@param one table
---@param rows table[] before and after of every method, one behind the other
function pictures.finetune(one, rows)
  local before, after = {}, {}
  for i = 1, #rows, 2 do before[#before + 1], after[#after + 1] = rows[i], rows[i + 1] end
  local names = column(before, "method")
  local function panel(field, values, label)
    return plot.bars(names, {{"before", column(before, field)}, {"after", column(after, field)}},
      {values = values, ylabel = label, legend = "right"})
  end
  save(plot.grid({{panel("perplexity", "%.3f", "perplexity, held-out text"),
    panel("mean_tv", "%.2g", "mean total variation")}},
    {title = "fine-tuning, " .. one.words, width = 1500, height = 420}), one, "finetune")
end

return pictures
