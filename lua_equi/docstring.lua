--- Docstrings: the `---` lines above a Lua function or at the top of a file, read from the source.
--
-- What equi.help shows, what the reference prints and what the editor reads is one text, written
-- next to the code. A docstring is a summary line, more text, `---@param` and `---@return` lines
-- and an example block. Not a parser of Lua: it looks at lines.
local docstring = {}

local patterns = {
  "^%s*local%s+function%s+([%w_]+)%s*(%b())",
  "^%s*function%s+([%w_.:]+)%s*(%b())",
  "^%s*([%w_.]+)%s*=%s*function%s*(%b())",
  "^%s*local%s+([%w_]+)%s*=%s*function%s*(%b())",
}

local function declaration(line)
  for _, pattern in ipairs(patterns) do
    local name, params = line:match(pattern)
    if name then return name, params end
  end
end

-- `basic.linear = module.class("linear", {`: a function made by another one, if it is documented.
local function made(line, doc)
  local name = doc and line:match "^([%w_]+%.[%w_]+)%s*=%s*[%w_.]+%s*[%({]"
  if not name then return nil end
  local params = {}
  for _, p in ipairs(doc.params) do params[#params + 1] = (p.name:gsub("%?$", "")) end
  return name, "(" .. table.concat(params, ", ") .. ")"
end

local function trim_blank(lines)
  while lines[1] == "" do table.remove(lines, 1) end
  while lines[#lines] == "" do lines[#lines] = nil end
  return lines
end

local function add_tag(doc, tag, rest)
  if tag == "param" then
    local name, kind = rest:match "^(%S+)%s*(.*)$"
    doc.params[#doc.params + 1] = {name = name, text = kind}
  elseif tag == "return" then
    doc.returns[#doc.returns + 1] = rest
  end
end

-- Sorts the lines of one block into summary, text, parameters, results and example.
local function parse(block)
  local doc = {text = {}, params = {}, returns = {}, example = {}}
  local into = doc.text
  for _, line in ipairs(block) do
    local tag, rest = line:match "^@(%w+)%s*(.*)$"
    local inside = into == doc.example and (line == "" or line:find "^%s")
    if tag then
      add_tag(doc, tag, rest)
      into = doc.text
    elseif line:find "^Example:%s*$" then
      into = doc.example
    elseif inside then
      into[#into + 1] = (line:gsub("^    ", ""))
    else
      into = doc.text
      into[#into + 1] = line
    end
  end
  trim_blank(doc.text)
  trim_blank(doc.example)
  doc.summary = doc.text[1] or ""
  return doc
end

-- The text of a comment line, or nil: `--- text`, and in a block also `-- text`.
local function comment(line, within)
  local text = line:match "^%s*%-%-%- ?(.*)$"
  if not text and within then text = line:match "^%s*%-%- ?(.*)$" end
  return text
end

--- Reads the docstrings of a file.
--- The result has `header`, the docstring at the top, and `functions`, a list in the order of the
--- file: name as declared ("nn.linear", "split"), params "(x, size)", line, and doc with the fields
--- summary, text, params, returns and example. A function without docstring has no doc.
---@param path string
---@return table? file nil if it cannot be read
---@return string? message
--- Example:
---     local docstring = require "lua_equi.docstring"
---     local path = package.searchpath("lua_equi.docstring", package.path)
---     print(docstring.file(path).functions[1].name)   --> declaration
function docstring.file(path)
  local f, message = io.open(path, "r")
  if not f then return nil, message end
  local file, block, number, first = {functions = {}}, nil, 0, true
  for line in f:lines() do
    number = number + 1
    local text = comment(line, block and first)
    if text then
      block = block or {}
      block[#block + 1] = text
    else
      if block and first then
        file.header = parse(block)
        block = nil
      end
      local doc = block and parse(block)
      local name, params = declaration(line)
      local by_call = not name
      if by_call then name, params = made(line, doc) end
      if name then
        local entry = {name = name, params = params, line = number, doc = doc, made = by_call}
        file.functions[#file.functions + 1] = entry
      end
      block, first = nil, false
    end
  end
  f:close()
  return file
end

local cache = {}

local function cached(path)
  if cache[path] == nil then cache[path] = docstring.file(path) or false end
  return cache[path]
end

-- The entry that fits(entry) in the file that defines f.
local function entry_in_file(f, fits)
  local info = debug.getinfo(f, "S")
  local path = info.source:match "^@(.*)$"
  local file, last = path and cached(path), nil
  for _, entry in ipairs(file and file.functions or {}) do
    if fits(entry, info.linedefined) then last = entry end
  end
  if last then last.path = path end
  return last
end

local function at_line(entry, line) return entry.line == line end
local function around_line(entry, line) return entry.made and entry.line < line end

-- A constructor made from a table of functions holds that table: the docstring stands above it.
local function maker_of(f)
  for i = 1, 8 do
    local name, value = debug.getupvalue(f, i)
    if not name then return nil end
    local new = type(value) == "table" and rawget(value, "new")
    if type(new) == "function" then return new end
  end
end

--- The entry of a Lua function, found by the place where it was defined.
---@param f function
---@return table? entry as in docstring.file, with path; nil for C functions and typed-in code
function docstring.of(f)
  local entry = entry_in_file(f, at_line)
  if entry and entry.doc then return entry end
  local new = maker_of(f)
  return new and entry_in_file(new, around_line) or entry
end

--- The docstring at the top of a module's file.
---@param name string the module's name, as for require
---@return table? header
---@return string? path
function docstring.module(name)
  local path = package.searchpath(name, package.path)
  local file = path and cached(path)
  if file then return file.header, path end
end

return docstring
