--- The help page of a script's options: two columns, groups in the order declared.
local PAGE = 80 -- columns of a help page
local LETTER = {integer = "N", number = "X", string = "TEXT", choice = "NAME"}

-- Breaks a text into lines of at most `width` letters.
local function wrap(text, width)
  local lines, line = {}, ""
  for word in text:gmatch "%S+" do
    if line ~= "" and utf8.len(line) + 1 + utf8.len(word) > width then
      lines[#lines + 1], line = line, word
    else
      line = line == "" and word or line .. " " .. word
    end
  end
  lines[#lines + 1] = line
  return lines
end

-- The two columns of an option on the help page.
local function help_row(option, range_text, show)
  local left, notes = option.flag, {}
  if option.type == "flag" then
    if option.default then left = "--no-" .. option.flag:sub(3) end
    if option.default then return left, "turns off: " .. (option.doc or option.name) end
  else
    left = left .. " " .. LETTER[option.type] .. (option.list and ",..." or "")
    if option.choices then notes[#notes + 1] = table.concat(option.choices, " | ") end
    local range = range_text(option)
    if range ~= "" then notes[#notes + 1] = range end
    local none = option.default == nil or option.default == "" or
      option.list and #option.default == 0
    notes[#notes + 1] = none and "none by default" or "default "
      .. show(option.default):gsub('"', "")
  end
  local note = #notes > 0 and ("[%s]"):format(table.concat(notes, "; ")) or ""
  local right = (option.doc or "") .. " " .. note
  return left, right:find "%S" and right or "on or off"
end

--- The page as text, without a final line break.
---@param declared table of options.declare
---@param range_text function an option's range in words
---@param show function a value as it is written
---@return string
return function(declared, range_text, show)
  local rows, column = {}, #"--help"
  for i, option in ipairs(declared.list) do
    local left, right = help_row(option, range_text, show)
    rows[i] = {left, right, option.group}
    if #left <= 24 then column = math.max(column, #left) end
  end
  rows[#rows + 1] = {"--help", "this page", rows[#rows] and rows[#rows][3]}
  local lines = {"usage: " .. declared.name .. " [--name value | --name=value ...]"}
  if declared.doc ~= "" then lines[#lines + 1] = "" end
  for _, line in ipairs(declared.doc ~= "" and wrap(declared.doc, PAGE) or {}) do
    lines[#lines + 1] = line
  end
  local group
  for i, row in ipairs(rows) do
    if i == 1 or row[3] ~= group then
      lines[#lines + 1] = ""
      group = row[3]
      if group then lines[#lines + 1] = group .. ":" end
    end
    local left = row[1]
    for _, text in ipairs(wrap(row[2], PAGE - column - 4)) do
      if #left > column then
        lines[#lines + 1], left = "  " .. left, ""
      end
      lines[#lines + 1] = ("  %s%s  %s"):format(left, (" "):rep(column - #left), text)
      left = ""
    end
  end
  return table.concat(lines, "\n")
end
