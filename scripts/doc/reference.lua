--- The reference as Markdown: ops by file, C functions by family, Lua functions by module.
local equi = require "lua_equi"
local docstring = require "lua_equi.docstring"
local public = require "lua_equi.public"
local order = require "gradients"

local out, contents

local function add(...) out[#out + 1] = string.format(...) end

local function heading(title)
  local anchor = title:lower():gsub("[^%w_ %-]", ""):gsub(" ", "-")
  contents[#contents + 1] = ("- [%s](#%s)"):format(title, anchor)
  add("\n## %s\n", title)
end

local function example(code)
  if code and code ~= "" then add("```lua\n%s\n```\n", code) end
end

local function keys(t)
  local list = {}
  for k in pairs(t) do list[#list + 1] = k end
  table.sort(list)
  return list
end

-- Text of docstrings is plain: what Markdown would take for markup is set as it is.
local function plain(text) return (text:gsub("([*_<>])", "\\%1")) end

-- ---- ops ----

-- "ops/softmax.c -- what it is." -> "what it is."
local function subject(path)
  local f = io.open(path)
  local head = f and f:read(600) or ""
  if f then f:close() end
  local text = head:match "%-%-%s*(.-)%s*\n%s*%*%s*\n" or head:match "%-%-%s*(.-)%s*%*/" or ""
  return (text:gsub("\n%s*%*%s*", " "))
end

local function op_flags(row)
  local words = {}
  local times = order(row)
  words[1] = times == "not" and "no gradient" or "differentiable " .. times
  if row.inplace then words[2] = ("in place: `x:%s_`"):format(row.name) end
  if row.method_only then words[#words + 1] = "method only" end
  if row.function_only then words[#words + 1] = "no method" end
  return table.concat(words, "; "), times
end

local function add_ops(summary)
  local files = {}
  for _, row in ipairs(equi.core.ops) do
    if not row.hidden then
      local file = row.where:match "^(.*):%d+$"
      files[file] = files[file] or {}
      table.insert(files[file], row)
    end
  end
  for _, file in ipairs(keys(files)) do
    table.sort(files[file], function(a, b) return a.name < b.name end)
    heading("Ops: " .. file:match "([%w_]+)%.c$")
    add("%s (%s)\n", plain(subject(file)), file)
    for _, row in ipairs(files[file]) do
      local words, times = op_flags(row)
      table.insert(summary[times], row.name)
      local arguments, results = row.sig:match "^(.-)%s*(%->.*)$"
      add("### %s\n\n    %s(%s) %s\n\n%s\n\n*%s*\n", row.name, row.name, arguments,
          (results:gsub("%s*;.*$", "")), plain(row.doc or ""), words)
      example(row.example)
    end
  end
end

local function add_summary(summary)
  heading "What can be differentiated"
  local titles = {twice = "Twice or more (the rule is a chain of ops)",
                  once = "Once (the rule is a kernel; a second derivative is refused)",
                  ["not"] = "Not (no gradient by nature)"}
  for _, times in ipairs{"twice", "once", "not"} do
    table.sort(summary[times])
    add("%s: %s.\n", titles[times], table.concat(summary[times], ", "))
  end
end

-- ---- functions in C that are no ops ----

local function add_functions()
  local families = {}
  for name in pairs(equi.core.docs) do
    local owner = name:match "^([%w_]+)[.:]"
    owner = owner or (equi.core[name] and "Functions") or "Methods of a tensor"
    families[owner] = families[owner] or {}
    table.insert(families[owner], name)
  end
  for _, owner in ipairs(keys(families)) do
    table.sort(families[owner])
    heading(owner)
    for _, name in ipairs(families[owner]) do
      local d = equi.core.docs[name]
      add("### %s\n\n    %s: %s\n\n%s\n", name, name, d.sig, plain(d.doc))
      example(d.example)
    end
  end
end

-- ---- Lua ----

local function lua_files()
  local pipe = assert(io.popen "find lua_equi models -name '*.lua'")
  local list = {}
  for path in pipe:lines() do
    if not path:find "^lua_equi/meta/" then list[#list + 1] = path end
  end
  pipe:close()
  table.sort(list)
  return list
end

local function title_of(path)
  local name = path:gsub("%.lua$", ""):gsub("/init$", ""):gsub("^lua_equi/", ""):gsub("/", ".")
  return name == "lua_equi" and "equi" or name
end

-- What a file gives: a table of functions, or one function.
local function value_of(path)
  local name = path:match "^models/([%w_]+)%.lua$"
  if name then return equi.models[name] end
  return require((path:gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")))
end

-- The name by which a user calls what a file calls `basic.linear`, and what has this name; methods
-- and what is not public keep theirs.
local function reached(entry, value)
  local key = entry.name:match "^[%w_]+%.([%w_]+)$"
  local inner = key and type(value) == "table" and rawget(value, key) or nil
  if entry.name:find "^tensor%." then inner = equi.core.methods[key] end
  if entry.name:find "^core%." then inner = equi.core[key] end
  if not key and entry.made then inner = value end -- the file gives the function itself
  local named = type(inner) == "function" or type(inner) == "table"
  return named and public.name(inner) or entry.name, inner
end

local function is_called(value)
  local meta = getmetatable(value)
  return value == nil or type(value) == "function" or type(meta) == "table" and meta.__call ~= nil
end

local function add_function(entry, file_value)
  local doc = entry.doc
  local name, value = reached(entry, file_value)
  add("### %s%s\n", plain(name), is_called(value) and plain(entry.params) or "")
  add("%s\n", plain(table.concat(doc.text, "\n")))
  for _, p in ipairs(doc.params) do add("- `%s` %s", p.name, plain(p.text)) end
  for _, r in ipairs(doc.returns) do add("- returns %s", plain(r)) end
  if #doc.params + #doc.returns > 0 then add "" end
  example(table.concat(doc.example, "\n"))
end

local function add_lua()
  for _, path in ipairs(lua_files()) do
    local file = docstring.file(path)
    local documented = {}
    for _, entry in ipairs(file.functions) do
      if entry.doc then documented[#documented + 1] = entry end
    end
    if file.header or #documented > 0 then
      heading("Lua: " .. title_of(path))
      if file.header then add("%s\n", plain(table.concat(file.header.text, "\n"))) end
      local value = #documented > 0 and value_of(path)
      for _, entry in ipairs(documented) do add_function(entry, value) end
    end
  end
end

local title = [[
# Reference

Generated from the sources by `make doc`. A signature names each argument and its kind; what follows
`->` are the results. Dims and positions count from 1, negative ones from the end. Every argument
may also be given by name in a last table.

]]

--- The text of doc/reference.md.
return function()
  local summary = {twice = {}, once = {}, ["not"] = {}}
  out, contents = {}, {}
  add_ops(summary)
  add_functions()
  add_lua()
  add_summary(summary)
  return title .. table.concat(contents, "\n") .. "\n" .. table.concat(out, "\n")
end
