--- Results of many runs as one table: means and standard deviations over what differs (seeds).
--
-- A result is a plain table with a list `rows`; each row is a table of numbers and texts. NOT a
-- data base: files are read whole, one JSON object each.
local checkpoint = require "lua_equi.checkpoint"
local json = require "lua_equi.json"
local log = require "lua_equi.log"
local options = require "lua_equi.options"

local results = {}

--- Mean and standard deviation (n - 1; 0 for a single value).
---
--- Example:
---     local results = require "lua_equi.results"
---     print(results.mean_std {1, 2, 3})   --> 2.0 1.0
---@param values number[]
---@return number mean
---@return number std
function results.mean_std(values)
  local sum, squares = 0, 0
  for _, v in ipairs(values) do sum = sum + v end
  local mean = sum / #values
  for _, v in ipairs(values) do squares = squares + (v - mean) ^ 2 end
  return mean, #values > 1 and math.sqrt(squares / (#values - 1)) or 0.0
end

--- Reads FOLDER/*/result.json, in the order of the folders' names.
---
--- Example:
---     print(equi.results.read "no/folder")
---     --> nil results.read: there are no results in no/folder
---@param folder string
---@return table[]? results nil when there are none or one cannot be read
---@return string? message
function results.read(folder)
  local quoted = "'" .. folder:gsub("'", "'\\''") .. "'"
  local list, out = io.popen(("ls -d %s/*/result.json 2>/dev/null"):format(quoted)), {}
  for path in list:lines() do
    local value, message = json.read(path)
    if not value then
      list:close()
      return nil, "results.read: " .. message
    end
    out[#out + 1] = value
  end
  list:close()
  if #out == 0 then return nil, "results.read: there are no results in " .. folder end
  return out
end

--- One metric of a log by step, from the JSON lines that train.run writes; empty without a file.
---
--- Example:
---     print(#equi.results.history("no/file.jsonl", "loss").steps)   --> 0
---@param path string
---@param field string
---@return table history {steps = list, values = list}
function results.history(path, field)
  local history, f = {steps = {}, values = {}}, io.open(path)
  if not f then return history end
  for line in f:lines() do
    local row = json.decode(line)
    if row and row[field] then
      table.insert(history.steps, row.step)
      table.insert(history.values, row[field])
    end
  end
  f:close()
  return history
end

--- How the options in a result (.json) or a checkpoint (.safetensors) differ from those of a run
--- that would overwrite it or go on with it; nil when none does or there is no such file.
---
--- Example:
---     local path = os.tmpname() .. ".json"
---     equi.write_file_atomic(path, {equi.json.encode {options = {group = "verbs2"}}})
---     print(equi.results.conflict(path, {group = "full"}))   --> group was "verbs2", is "full"
---     os.remove(path)
---@param path string
---@param current table options, plain
---@return string? text
---@return string? message nil, message when the file cannot be read
function results.conflict(path, current)
  local f = io.open(path, "rb")
  if not f then return nil end
  f:close()
  local saved, message
  if path:find "%.json$" then
    saved, message = json.read(path)
  else
    local ok, found = pcall(checkpoint.load, path, {rng = false})
    saved, message = ok and found, found
  end
  if not saved then return nil, message end
  return (select(2, options.differences(saved.options or {}, current)))
end

-- Rows of all results that agree in the keys, in order of first appearance.
local function grouped(list, keys)
  local order, by_key = {}, {}
  for _, result in ipairs(list) do
    for _, row in ipairs(result.rows) do
      local values = {}
      for i, k in ipairs(keys) do values[i] = tostring(row[k] or result[k]) end
      local id = table.concat(values, "\0")
      if not by_key[id] then
        by_key[id] = {keys = values, rows = {}}
        order[#order + 1] = by_key[id]
      end
      table.insert(by_key[id].rows, row)
    end
  end
  return order
end

local function cell(rows, column)
  local values = {}
  for _, row in ipairs(rows) do values[#values + 1] = row[column.field] end
  if #values == 0 then return "" end
  if column.worst then return column.format:format(math.max(table.unpack(values))) end
  local mean, std = results.mean_std(values)
  local text = column.format:format(mean)
  return std > 0 and not column.plain and text .. " ± " .. column.format:format(std) or text
end

--- The table as text, one line for each combination of the keys.
---
--- Example:
---     local list = {{cell = "gru", rows = {{test = 97}}}, {cell = "gru", rows = {{test = 99}}}}
---     local text = equi.results.table(list, {"cell"}, {{field = "test", format = "%.1f"}})
---     print(text:match "gru.*")   --> gru 2 98.0 ± 1.4
---@param list table[] results
---@param keys string[] fields that name a line, of the row or else of its result
---@param columns table[] {field =, format =, title = field, worst = false: the largest instead of
--- the mean, plain = false: no standard deviation}
---@param opts? table {markdown = false}
---@return string
function results.table(list, keys, columns, opts)
  local header, align = table.move(keys, 1, #keys, 1, {}), ("l"):rep(#keys) .. "r"
  header[#header + 1] = "runs"
  for _, c in ipairs(columns) do
    header[#header + 1] = c.title or c.field
    align = align .. "r"
  end
  local lines = {header}
  for _, g in ipairs(grouped(list, keys)) do
    local line = table.move(g.keys, 1, #g.keys, 1, {})
    line[#line + 1] = tostring(#g.rows)
    for _, c in ipairs(columns) do line[#line + 1] = cell(g.rows, c) end
    lines[#lines + 1] = line
  end
  return log.table(lines, {align = align, header = true,
                           markdown = opts and opts.markdown or false})
end

return results
