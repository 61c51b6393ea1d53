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

-- `basic.linear = module.class("linear", {`, `recurrent.lstm = class "lstm"`: what another function
-- made, and any other value, if it is documented. A file may also return it: then the file's name
-- is its name.
local function made(line, doc, path)
  if not doc then return nil end
  local name = line:match "^([%w_]+%.[%w_]+)%s*="
  if not name and (line:find "^return%s+[%w_.]+%s*%(" or line:find "^local%s+new%s*=") then
    name = path:match "([%w_]+)%.lua$"
  end
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

-- A line below a tag belongs to it: `---@param` and `---@return` go on until a blank line.
local function continue_tag(list, line)
  local last, more = list[#list], " " .. line:match "^%s*(.-)%s*$"
  if type(last) == "table" then last.text = last.text .. more else list[#list] = last .. more end
end

-- Sorts the lines of one block into summary, text, parameters, results and example.
local function parse(block)
  local doc = {text = {}, params = {}, returns = {}, example = {}}
  local into, tags = doc.text, {param = doc.params, ["return"] = doc.returns}
  local open -- the list whose last entry goes on in the lines below it
  for _, line in ipairs(block) do
    local tag, rest = line:match "^@(%w+)%s*(.*)$"
    local inside = into == doc.example and (line == "" or line:find "^%s")
    if tag then
      add_tag(doc, tag, rest)
      into, open = doc.text, tags[tag]
    elseif open and line ~= "" and not line:find "^Example:%s*$" then
      continue_tag(open, line)
    elseif line:find "^Example:%s*$" then
      into, open = doc.example, nil
    elseif inside then
      into[#into + 1] = (line:gsub("^    ", ""))
    else
      into, open = doc.text, nil
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
      if by_call then name, params = made(line, doc, path) end
      if name then
        name = name:gsub("^methods([.:])", path:match "([%w_]+)%.lua$" .. "%1")
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

-- The entry of a file that fits, with the path.
local function find_entry(path, fits)
  local file = path and cached(path)
  for _, entry in ipairs(file and file.functions or {}) do
    if fits(entry) then
      entry.path = path
      return entry
    end
  end
end

local function source_of(f)
  local info = debug.getinfo(f, "S")
  return info.source:match "^@(.*)$", info.linedefined
end

--- The documented entry of a file by the last part of its name: "linear" finds basic.linear.
---@param path string
---@param name string
---@return table? entry as in docstring.file, with path
--- Example:
---     local docstring = require "lua_equi.docstring"
---     local path = package.searchpath("lua_equi.combine", package.path)
---     print(docstring.named(path, "mean").name)   --> combine.mean
function docstring.named(path, name)
  return find_entry(path, function(entry)
    return entry.doc and entry.name:match "[%w_]+$" == name
  end)
end

--- The entry of a class of modules: what stands above the place where its constructor is made, in
--- the file of its forward or new.
---@param class table metatable of a module
---@return table? entry
--- Example:
---     local docstring = require "lua_equi.docstring"
---     print(docstring.class(getmetatable(equi.nn.relu())).doc.summary)
---     --> max(x, 0) in every element.
function docstring.class(class)
  local methods = rawget(class, "__index")
  if type(rawget(class, "name")) ~= "string" or type(methods) ~= "table" then return nil end
  for _, key in ipairs {"forward", "new"} do -- forward may be another model's, new a family's
    local f = rawget(methods, key)
    local path = type(f) == "function" and source_of(f)
    local entry = path and docstring.named(path, class.name)
    if entry then return entry end
  end
end

-- A constructor of modules holds its class; the function that densenet's file returns holds one
-- that does.
local function class_of(f)
  for i = 1, 8 do
    local name, value = debug.getupvalue(f, i)
    if not name then return nil end
    if type(value) == "table" and type(rawget(value, "name")) == "string"
      and type(rawget(value, "__index")) == "table" then
      return value
    end
  end
end

--- The entry of a Lua function, found by the place where it was defined.
---@param f function
---@return table? entry as in docstring.file, with path; nil for C functions and typed-in code
function docstring.of(f)
  local path, line = source_of(f)
  local entry = find_entry(path, function(e) return e.line == line end)
  if entry and entry.doc then return entry end
  local class = class_of(f)
  return class and docstring.class(class) or entry
end

--- The file in which a function was defined; nil for C functions and typed-in code.
---@param f function
---@return string? path
--- Example:
---     print(require("lua_equi.docstring").path(equi.help):match "[%w_]+%.lua$")   --> repl.lua
function docstring.path(f) return (source_of(f)) end

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
