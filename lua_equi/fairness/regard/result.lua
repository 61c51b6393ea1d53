--- What a study of regard found: shares of the classes for each demographic with intervals,
--- differences between demographics, tables, pictures, the samples as JSON lines.
--
-- Intervals are of 95 %: Wilson's for a share, Newcombe's (1998, method 10) for the difference of
-- two. They take samples for independent draws; those of one prompt share it, so the spread over
-- other prompts is not in them. NOT the sampling and scoring: fairness/regard.lua.
local core = require "lua_equi.core"
local json = require "lua_equi.json"
local log = require "lua_equi.log"
local options = require "lua_equi.options"
local plot = require "lua_equi.plot"

local result = {}

-- In the order of the paper's figures, from below, and colours.
local CLASSES = {"other", "positive", "neutral", "negative"}
local COLORS = {other = {150, 150, 150}, positive = {86, 160, 211}, neutral = {240, 200, 90},
  negative = {213, 94, 0}}
local Z = 1.959963984540054
local ALL = "all"

--- Wilson's interval of 95 % for k of n.
---@param k integer
---@param n integer at least 1
---@return number low
---@return number high
--- Example:
---     local regard = require "lua_equi.fairness.regard"
---     print(("%.3f %.3f"):format(regard.interval(0, 10)))   --> 0.000 0.278
function result.interval(k, n)
  local p, z = k / n, Z * Z / n
  local middle, half = p + z / 2, Z * math.sqrt(p * (1 - p) / n + z / (4 * n))
  return math.max(0, (middle - half) / (1 + z)), math.min(1, (middle + half) / (1 + z))
end

-- ---- counting ----

local function counts_of(samples, kind)
  local counts, order = {}, {}
  for _, s in ipairs(samples) do
    if kind == ALL or s.kind == kind then
      local c = counts[s.demographic]
      if not c then
        c = {n = 0}
        counts[s.demographic], order[#order + 1] = c, s.demographic
      end
      c.n = c.n + 1
      c[s.regard] = (c[s.regard] or 0) + 1
    end
  end
  return counts, order
end

local function shares_of(counts)
  local shares = {}
  for demographic, c in pairs(counts) do
    local row = {n = c.n}
    for _, class in ipairs(CLASSES) do
      local k = c[class] or 0
      local low, high = result.interval(k, c.n)
      row[class] = {share = k / c.n, low = low, high = high, count = k}
    end
    shares[demographic] = row
  end
  return shares
end

local function difference(a, b)
  local d = a.share - b.share
  return {difference = d,
    low = d - math.sqrt((a.share - a.low) ^ 2 + (b.high - b.share) ^ 2),
    high = d + math.sqrt((a.high - a.share) ^ 2 + (b.share - b.low) ^ 2)}
end

local function compare(shares, first, second)
  local row, half = {first = first, second = second}, 0
  for _, class in ipairs(CLASSES) do
    row[class] = difference(shares[first][class], shares[second][class])
    half = half + math.abs(row[class].difference) / 2
  end
  row.variation = half
  return row
end

-- Pairs of demographics of one attribute, the first minus the second, and their total variation.
local function differences_of(shares, order, attributes)
  local list = {}
  for i, first in ipairs(order) do
    for j = i + 1, #order do
      local a, b = attributes[first], attributes[order[j]]
      if a == b or not a or not b then list[#list + 1] = compare(shares, first, order[j]) end
    end
  end
  return list
end

local methods = {}
local mt = {__index = methods, __name = "regard.result"}

function mt:__tostring() return (self:table()) end

--- A result of samples that have a regard.
---@param samples table[] list of {demographic, kind, regard, text, masked, ...}
---@param attributes table<string, string> attribute by demographic: those of two different ones are
--- not compared
---@param told? table<string, boolean> classes that the classifier tells apart: only they are shown;
--- default all
---@return table
function result.new(samples, attributes, told)
  local self = {classes = {}, samples = samples, kinds = {}, demographics = nil, shares = {},
    differences = {}}
  for _, class in ipairs(CLASSES) do
    if not told or told[class] then self.classes[#self.classes + 1] = class end
  end
  local seen = {}
  for _, s in ipairs(samples) do
    if s.kind ~= nil and not seen[s.kind] then
      seen[s.kind] = true
      self.kinds[#self.kinds + 1] = s.kind
    end
  end
  for _, kind in ipairs {ALL, table.unpack(self.kinds)} do
    local counts, order = counts_of(samples, kind)
    self.shares[kind] = shares_of(counts)
    self.differences[kind] = differences_of(self.shares[kind], order, attributes)
    if kind == ALL then self.demographics = order end
  end
  return setmetatable(self, mt)
end

-- ---- tables ----

local function shown(v) return ("%.3f [%.3f, %.3f]"):format(v.share, v.low, v.high) end

local function shown_difference(v)
  return ("%+.3f [%+.3f, %+.3f]"):format(v.difference, v.low, v.high)
end

-- All prompts, and each kind of them where there are several.
local function panels(self)
  if #self.kinds < 2 then return {self.kinds[1] or ALL} end
  return {ALL, table.unpack(self.kinds)}
end

--- Shares of the classes for each demographic, and differences between demographics, as text.
---@param opts? {markdown: boolean, differences: boolean} default false and true
---@return string
--- Example:
---     local regard = require "lua_equi.fairness.regard"
---     local samples = {{text = "The man was kind.", demographic = "The man"},
---       {text = "The woman was kind.", demographic = "The woman"}}
---     local function classify(texts)
---       local labels = {}
---       for i in ipairs(texts) do labels[i] = "positive" end
---       return labels
---     end
---     local r = regard.score(samples, {classifier = classify})
---     print(r:table():match "The man .-%]")   --> The man        1  0.000 [0.000, 0.793]
function methods:table(opts)
  local o = options.check("table", opts, {markdown = false, differences = true})
  local classes = self.classes
  local rows = {{"prompts", "demographic", "n", table.unpack(classes)}}
  local pairs_of = {{"prompts", "difference", "variation", table.unpack(classes)}}
  for _, kind in ipairs(panels(self)) do
    for _, demographic in ipairs(self.demographics) do
      local s = self.shares[kind][demographic]
      if s then
        local row = {kind, demographic, s.n}
        for _, class in ipairs(classes) do row[#row + 1] = shown(s[class]) end
        rows[#rows + 1] = row
      end
    end
    for _, d in ipairs(self.differences[kind]) do
      local row = {kind, ("%s - %s"):format(d.first, d.second), ("%.3f"):format(d.variation)}
      for _, class in ipairs(classes) do row[#row + 1] = shown_difference(d[class]) end
      pairs_of[#pairs_of + 1] = row
    end
  end
  local text = log.table(rows, {markdown = o.markdown})
  if not o.differences or #pairs_of == 1 then return text end
  return text .. "\n\n" .. log.table(pairs_of, {markdown = o.markdown})
end

-- ---- pictures ----

-- One bar for each model and demographic, as in the paper's figures.
local function panel(list, kind, title)
  local names, parts, classes = {}, {}, list[1][2].classes
  for i, class in ipairs(classes) do parts[i] = {class, {}, color = COLORS[class]} end
  for _, entry in ipairs(list) do
    for _, demographic in ipairs(entry[2].demographics) do
      local s = entry[2].shares[kind] and entry[2].shares[kind][demographic]
      if s then
        local who = demographic:gsub("^[Tt]he ", "")
        names[#names + 1] = entry[1] and ("%s, %s"):format(entry[1], who) or who
        for i, class in ipairs(classes) do parts[i][2][#names] = s[class].share end
      end
    end
  end
  return plot.bars(names, parts, {stack = true, values = "%.2f", ylim = {0, 1}, title = title,
    ylabel = "share of texts", legend = "right"})
end

--- Stacked bars of the shares, one for each model and demographic, a plot for each kind of prompts
--- (respect, occupation), as in the figures of the paper. Returns what equi.plot.grid returns.
---@param list table[] list of {name of the model, result}
---@param opts? {title: string, width: integer, height: integer}
---@return table grid with save(path)
--- Example:
---     local regard = require "lua_equi.fairness.regard"
---     local samples = {{text = "The man was kind.", demographic = "The man"}}
---     local r = regard.score(samples, {classifier = function() return {"positive"} end})
---     print(#regard.plot({{"GPT-2", r}}).rows)   --> 1
function result.plot(list, opts)
  local o = options.check("regard.plot", opts, {title = options.any(), width = options.any(),
    height = options.any()})
  if type(list) ~= "table" or type(list[1]) ~= "table" or getmetatable(list[1][2]) ~= mt then
    error("regard.plot: give a list of {name, result of a study}", 2)
  end
  local first, rows = list[1][2], {}
  local kinds = #first.kinds > 0 and first.kinds or {ALL}
  for i, kind in ipairs(kinds) do
    rows[i] = {panel(list, kind, kind ~= ALL and kind .. " prompts" or nil)}
  end
  return plot.grid(rows, {title = o.title, width = o.width, height = o.height or 420 * #rows})
end

--- The picture of this result alone, see regard.plot.
---@param opts? {title: string, width: integer, height: integer}
---@return table grid with save(path)
function methods:plot(opts) return result.plot({{nil, self}}, opts) end

-- ---- samples ----

-- Generated bytes need not be UTF-8, JSON must.
local function clean(text)
  while not utf8.len(text) do
    local _, at = utf8.len(text)
    text = text:sub(1, at - 1) .. "\u{FFFD}" .. text:sub(at + 1)
  end
  return text
end

--- Writes the samples as JSON lines: demographic, kind, prompt, text, masked, regard,
--- probabilities.
---@param path string
---@return boolean? ok nil when it cannot be written
---@return string? message
function methods:write(path)
  local lines = {}
  for i, s in ipairs(self.samples) do
    local row = {}
    for key, value in pairs(s) do
      row[key] = type(value) == "string" and clean(value) or value
    end
    lines[i] = json.encode(row)
  end
  lines[#lines + 1] = ""
  local ok, problem = core.write_file_atomic(path, {table.concat(lines, "\n")})
  if ok then return true end
  return nil, problem
end

return result
