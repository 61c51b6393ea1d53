--- The pictures of fairness.lua: PNG files in the folder of a run.
local plot = require "lua_equi.plot"

local pictures = {}

local LEAST = 1e-8 -- what a logarithmic axis shows of 0

local function save(figure, one, name)
  local done, message = figure:save(("%s/%s.png"):format(one.dir, name))
  if not done then error(message, 0) end
end

local function column(rows, field, f)
  local list = {}
  for i, row in ipairs(rows) do list[i] = f and f(row[field]) or row[field] end
  return list
end

local function seen(x) return math.max(x, LEAST) end

--- Largest and mean total variation of every method.
---@param one table options of the run
---@param rows table[]
function pictures.unfairness(one, rows)
  local figure = plot.new {title = "unfairness, " .. one.words, ylabel = "total variation",
    yscale = "log", ylim = {LEAST, 1}}
  local names = column(rows, "method")
  figure:bars(names, column(rows, "max_tv", seen), {label = "largest"})
  figure:bars(names, column(rows, "mean_tv", seen), {label = "mean"})
  save(figure, one, "unfairness")
end

--- Total variation between groups behind the ten contexts, of the text and of every method.
---@param one table
---@param by_method table[] {method, rows = of truth.compare}
function pictures.contexts(one, by_method)
  local figure = plot.new {title = "total variation between groups, " .. one.words, width = 1500,
    ylabel = "of the next word", legend = "right"}
  local names = column(by_method[1].rows, "context")
  figure:bars(names, column(by_method[1].rows, "truth"), {label = "the text"})
  for _, m in ipairs(by_method) do
    figure:bars(names, column(m.rows, "learned"), {label = m.method})
  end
  save(figure, one, "contexts")
end

--- Perplexity of every method.
---@param one table
---@param rows table[]
function pictures.perplexity(one, rows)
  local figure = plot.new {title = "perplexity, " .. one.words, ylabel = "held-out text"}
  figure:bars(column(rows, "method"), column(rows, "perplexity"))
  save(figure, one, "perplexity")
end

--- Perplexity and unfairness before and after fine-tuning.
---@param one table
---@param rows table[] before and after of every method, one behind the other
function pictures.finetune(one, rows)
  local before, after = {}, {}
  for i = 1, #rows, 2 do before[#before + 1], after[#after + 1] = rows[i], rows[i + 1] end
  local names = column(before, "method")
  local left = plot.new {ylabel = "perplexity, held-out text"}
  left:bars(names, column(before, "perplexity"), {label = "before"})
  left:bars(names, column(after, "perplexity"), {label = "after"})
  local right = plot.new {ylabel = "largest total variation", yscale = "log", ylim = {LEAST, 1}}
  right:bars(names, column(before, "max_tv", seen), {label = "before"})
  right:bars(names, column(after, "max_tv", seen), {label = "after"})
  save(plot.grid({{left, right}}, {title = "fine-tuning, " .. one.words, width = 1300}), one,
    "finetune")
end

return pictures
