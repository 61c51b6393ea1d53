--- What a person at the prompt needs: help and completion.
--
-- All text comes from where things are defined: the rows of ops, the tables of C functions and the
-- `---` lines above Lua functions. Everything is returned, nothing printed; the prompt shows it.
local arguments = require "lua_equi.arguments"
local core = require "lua_equi.core"
local docstring = require "lua_equi.docstring"
local elsewhere = require "lua_equi.elsewhere"
local printed = require "lua_equi.printed"
local public = require "lua_equi.public"

local repl = {}

local fields = {
  {"shape", "list of sizes"}, {"dtype", "\"f32\", \"f64\", \"i64\", \"u8\" or \"bool\""},
  {"ndim", "number of dims"}, {"grad", "gradient of a leaf, or nil; may be set"},
  {"requires_grad", "whether gradients reach it; may be set on a leaf"},
  {"is_leaf", "true if no recorded op made it"},
  {"grad_op", "name of the op that made it, or nil"},
}

local function first_line(text) return (text or ""):match "^[^\n]*" end

local function indent(text) return (("\n" .. text):gsub("\n([^\n])", "\n    %1"):sub(2)) end

-- ---- what there is: name -> {title, text, example, where, [params]} ----

local function row_entry(row)
  local title = ("%s(%s"):format(row.name, row.sig):gsub("%s*;.*$", "")
    :gsub("%s*%->", ") ->", 1)
  return {name = row.name, title = title, text = row.doc, example = row.example, where = row.where,
          inplace = row.inplace}
end

local function doc_entry(name, d)
  local before, after = d.sig:match "^(.-)%s*%->%s*(.*)$"
  before = before or d.sig
  local title = ("%s(%s)"):format(name, before:gsub("^%(%)$", ""))
  if after then title = title .. " -> " .. after end
  if d.sig:find ";" then title = name .. ": " .. d.sig end
  return {name = name, title = title, text = d.doc, example = d.example}
end

-- `value`: what has the name, if that is no function.
local function lua_entry(name, found, value)
  local doc = found.doc or {text = {}, params = {}, returns = {}, example = {}}
  local params = {}
  for _, p in ipairs(doc.params) do params[#params + 1] = p.name .. ": " .. p.text end
  for _, r in ipairs(doc.returns) do params[#params + 1] = "-> " .. r end
  local meta = getmetatable(value)
  local plain = value ~= nil and not (type(meta) == "table" and rawget(meta, "__call"))
  return {name = name, title = name .. (plain and "" or found.params),
          text = table.concat(doc.text, "\n"), params = params,
          example = table.concat(doc.example, "\n"),
          where = ("%s:%d"):format(found.path, found.line)}
end

local entries -- of C functions and ops, made at the first call

local function known()
  if entries then return entries end
  entries = {}
  for _, row in ipairs(core.ops) do
    if not row.hidden then entries[row.name] = row_entry(row) end
  end
  for name, d in pairs(core.docs) do entries[name] = doc_entry(name, d) end
  return entries
end

local function show(e)
  local out = {e.title}
  if e.text and e.text ~= "" then out[#out + 1] = indent(e.text) end
  if e.inplace then out[#out + 1] = ("    x:%s_(...) writes the result into x."):format(e.name) end
  if e.params and #e.params > 0 then
    out[#out + 1] = indent("  " .. table.concat(e.params, "\n  "))
  end
  if e.example and e.example ~= "" then
    out[#out + 1] = indent("Example:\n" .. indent(e.example))
  end
  if e.where then out[#out + 1] = "    " .. e.where end
  return table.concat(out, "\n")
end

-- ---- finding ----

local function root() return require "lua_equi" end

local LUA_MODULES = {"nn", "optim", "train", "data.scan", "data.sampler", "data.sequences",
  "check", "checkpoint", "combine"} -- whose docstrings are searched for the names of options

local function sorted_keys(t, keep)
  local names = {}
  for k, v in pairs(t) do
    if type(k) == "string" and (not keep or keep(k, v)) then names[#names + 1] = k end
  end
  table.sort(names)
  return names
end

-- The name of a C function, by identity.
local function name_of(f)
  for _, t in ipairs {core, core.methods} do
    for name, v in pairs(t) do
      if v == f then return name end
    end
  end
  for owner, t in pairs(core) do
    if type(t) == "table" and type(owner) == "string" and owner ~= "docs" then
      for name, v in pairs(t) do
        if v == f then return owner .. "." .. tostring(name) end
      end
    end
  end
end

local function module_name(t)
  for name, v in pairs(package.loaded) do
    if rawequal(v, t) then return name end
  end
end

local function all_names()
  local names = sorted_keys(known())
  local equi = root()
  for _, name in ipairs(sorted_keys(getmetatable(equi).lazy)) do names[#names + 1] = name end
  for _, name in ipairs(sorted_keys(core.methods)) do names[#names + 1] = name end
  for _, name in ipairs {"nn", "optim", "check", "data", "train"} do
    local module = package.loaded["lua_equi." .. name]
    if type(module) == "table" then
      for _, inner in ipairs(sorted_keys(module)) do names[#names + 1] = name .. "." .. inner end
    end
  end
  return names
end

-- ---- help for each kind of thing ----

local help_value, help_string

local function module_path(t)
  local name = module_name(t)
  return name and package.searchpath(name, package.path)
end

-- A value that is no function, such as combine.mean: its docstring is in the file of its owner.
local function help_named(owner, key, value, name)
  if type(value) == "function" or type(owner) ~= "table" then return nil end
  local path = module_path(owner)
  local entry = path and docstring.named(path, key)
  return entry and show(lua_entry(name, entry, value))
end

-- A word that only options have, such as "lr": the functions that take it.
local function option(word)
  local out, seen = {}, {}
  local function look(title, text)
    text = " " .. text .. " "
    local listed = text:find("[%s{,%(]" .. word .. "%s*=") or text:find("[%s,%(]" .. word .. ":")
    if listed and not seen[title] then
      seen[title] = true
      out[#out + 1] = "  " .. title
    end
  end
  for _, name in ipairs(sorted_keys(known())) do look(entries[name].title, entries[name].title) end
  for _, owner in ipairs(LUA_MODULES) do
    local module = require("lua_equi." .. owner)
    for _, name in ipairs(sorted_keys(module)) do
      local f = module[name]
      local found = type(f) == "function" and docstring.of(f)
      for _, p in ipairs(found and found.doc and found.doc.params or {}) do
        look(("%s.%s%s"):format(owner, name, found.params), p.text)
      end
    end
  end
  return #out > 0 and word .. ": an option or argument of\n" .. table.concat(out, "\n") or nil
end

-- "group": the list of what is documented under that word, as group.x and group:x.
local function family(word)
  local out = {}
  for _, name in ipairs(sorted_keys(known())) do
    local owner = name:match "^([%w_]+)[.:]"
    if owner == word then
      out[#out + 1] = ("  %s\n      %s"):format(entries[name].title, first_line(entries[name].text))
    end
  end
  return #out > 0 and word .. "\n" .. table.concat(out, "\n") or nil
end

-- "adam", "cyclic": what stands under that word in equi.optim, equi.group ...
local function in_families(word)
  for _, owner in ipairs {"nn", "optim", "group", "action"} do
    local name, f = owner .. "." .. word, rawget(root()[owner], word)
    if f ~= nil then return known()[name] and show(known()[name]) or help_value(f, name) end
  end
end

function help_string(topic)
  local word = topic:gsub("^equi[.:]", ""):gsub("^x:", ""):gsub("^tensor:", "")
  local e = known()[word] or known()[word:gsub("_$", "")]
  if e then
    local more = family(word)
    return show(e) .. (more and "\n\n" .. more or "")
  end
  local method = core.methods[word]
  if type(method) == "function" then return help_value(method, "x:" .. word) end
  local value, owner, key = root(), nil, nil
  for part in word:gmatch "[^.:]+" do
    owner, key = value, part
    local ok, next_value = pcall(function() return value[part] end)
    value = ok and next_value or nil
    if value == nil then break end
  end
  local listed = not word:find "[.:]" and family(word)
  local text = listed or value ~= nil and (help_named(owner, key, value, word)
    or help_value(value, word))
  text = text or in_families(word) or word:find "^[%a_][%w_]*$" and option(word)
  if text then return text end
  local hint = elsewhere.hint("help", word, all_names())
  return ('help: nothing is called "%s"; %s'):format(topic,
    hint or "equi.help() lists what there is")
end

local function help_function(f, name)
  local found = docstring.of(f)
  if found then return show(lua_entry(name or public.name(f) or found.name, found)) end
  local own = name_of(f)
  local e = own and (known()[own] or known()[own:gsub("_$", "")])
  if e then return show(e) end
  return ("%s: a function without documentation"):format(name or own or tostring(f))
end

-- What stands beside a name in a list: the summary of what it is.
local function summary(owner, key, v)
  if type(v) == "function" then
    local entry = docstring.of(v)
    if entry then return entry.doc and entry.doc.summary or "" end
    local own = name_of(v)
    return own and known()[own] and first_line(known()[own].text) or ""
  end
  local call = type(v) == "table" and rawget(getmetatable(v) or {}, "__call")
  local path = call and docstring.path(call) or module_path(owner)
  local entry = path and docstring.named(path, key)
  if entry then return entry.doc.summary end
  local header = type(v) == "table" and module_name(v) and docstring.module(module_name(v))
  return header and header.summary or type(v) == "table" and "table" or ""
end

local function list(out, t)
  for _, key in ipairs(public.names(t)) do
    out[#out + 1] = ("  %-20s %s"):format(key, summary(t, key, t[key]))
  end
end

local function help_module(t, name)
  local full = module_name(t)
  local header, path = nil, nil
  if full then header, path = docstring.module(full) end
  local out = {name or full or "table"}
  if header then out[#out + 1] = indent(table.concat(header.text, "\n")) end
  list(out, t)
  if path then out[#out + 1] = "    " .. path end
  return table.concat(out, "\n")
end

-- The methods of an object, with those that its class has from another one.
local function methods_of(class)
  local all = {}
  while type(class) == "table" do
    for name, f in next, class do
      local fits = type(name) == "string" and name:find "^%a" and type(f) == "function"
      if fits and name ~= "new" and name ~= "build" and not all[name] then all[name] = f end
    end
    local meta = getmetatable(class)
    class = type(meta) == "table" and rawget(meta, "__index")
  end
  return all
end

-- An object of a class written in Lua: what made it (a class of modules, or what __topic of the
-- metatable names), and what can be done with it; its fields are its own matter.
local function help_object(v, meta)
  local out = {tostring(v):match "^[^\n]*"}
  local entry = docstring.class(meta)
  if entry then
    out[#out + 1] = show(lua_entry(public.name(rawget(meta, "constructor")) or entry.name, entry))
  elseif rawget(meta, "__topic") then
    out[#out + 1] = help_string(rawget(meta, "__topic")(v))
  end
  local class = rawget(meta, "__index")
  if type(class) == "table" then
    local methods, lines = methods_of(class), {"methods:"}
    for _, key in ipairs(sorted_keys(methods)) do
      local about = summary(class, key, methods[key])
      if about ~= "" then lines[#lines + 1] = ("  :%-19s %s"):format(key, about) end
    end
    if #lines > 1 then out[#out + 1] = table.concat(lines, "\n") end
  end
  return table.concat(out, "\n")
end

-- A table that is called like a function: its docstring, and what else is in it.
local function help_callable(t, meta, name)
  local full = module_name(t)
  local path = docstring.path(rawget(meta, "__call"))
  local entry = full and path and docstring.named(path, full:match "[%w_]+$")
  if not entry then return nil end
  local out = {show(lua_entry(name or public.name(t) or entry.name, entry, t))}
  list(out, t)
  return table.concat(out, "\n")
end

local function help_table(t, name)
  local meta = getmetatable(t)
  local call = type(meta) == "table" and rawget(meta, "__call")
  if type(meta) ~= "table" or rawget(meta, "title") or module_name(t) and not call then
    return help_module(t, name)
  end
  local callable = type(call) == "function" and module_name(t)
  return callable and help_callable(t, meta, name) or help_object(t, meta)
end

local function help_tensor(x)
  local out = {tostring(x):match "^[^\n]*", "fields:"}
  for _, f in ipairs(fields) do out[#out + 1] = ("  x.%-16s %s"):format(f[1], f[2]) end
  out[#out + 1] = "methods:"
  for _, name in ipairs(sorted_keys(core.methods)) do
    local e = known()[name]
    local found = not e and docstring.of(core.methods[name])
    local about = e and first_line(e.text) or found and found.doc and found.doc.summary
    if about then out[#out + 1] = ("  x:%-16s %s"):format(name, about) end
  end
  out[#out + 1] = "operators: + - * / ^ % // and unary -; x[1], x[{1, {2, 5}}], x[mask], x[ids]"
  return table.concat(out, "\n")
end

local function help_userdata(v)
  local meta = getmetatable(v)
  local kind = type(meta) == "table" and meta.__name or "userdata"
  local word = (kind:match "([%w_]+)%*?$" or ""):lower() -- Lua's own are called FILE*
  return tostring(v) .. "\n" .. (family(word) or kind)
end

function help_value(v, name)
  if core.is_tensor(v) then return help_tensor(v) end
  local kind = type(v)
  if kind == "function" then return help_function(v, name) end
  if kind == "userdata" then return help_userdata(v) end
  if kind == "table" then return help_table(v, name) end
  return ("%s: %s %s"):format(name or "value", kind, tostring(v))
end

local overview = [[
lua_equi: tensors, gradients, and networks made equivariant to a group.
  equi.help "softmax"     one function          equi.help(equi.nn)   a module
  equi.help(x)            a tensor's methods    equi.help "group"    groups and their elements
  equi.config()           this build            equi.memory()        bytes in use
]]

local function help_overview()
  local out, line = {overview .. "functions:"}, " "
  local names = sorted_keys(core, function(k, v)
    return type(v) == "function" and (known()[k] or docstring.of(v)) and root()[k] ~= nil
  end)
  for _, name in ipairs(names) do
    if #line + #name > 96 then
      out[#out + 1] = line
      line = " "
    end
    line = line .. " " .. name
  end
  out[#out + 1] = line
  local modules = sorted_keys(getmetatable(root()).lazy, function(_, v) return v == true end)
  for _, name in ipairs {"group", "backend", "action"} do table.insert(modules, 1, name) end
  out[#out + 1] = "modules:\n  " .. table.concat(modules, " ")
  return table.concat(out, "\n")
end

--- Help on anything, as text: the prompt shows it, a script prints it.
--- Without argument an overview. A string names a function, a method or a module ("softmax",
--- "nn.linear", "group"); any other value is described: a tensor, a function, a module.
---@param topic any
---@return string text
--- Example:
---     print(equi.help("relu"):match "^[^\n]*")   --> relu(x:float) -> y
function repl.help(...)
  if select("#", ...) == 0 then return help_overview() end
  local topic = ...
  if type(topic) == "string" then return help_string(topic) end
  return help_value(topic)
end

-- ---- completion ----

-- Looks a key up without running code of strangers: plain tables, tables behind __index, and our
-- own modules, which load their parts when asked.
local function peek(v, key)
  if core.is_tensor(v) then
    if core.methods[key] then return core.methods[key] end
    local ok, value = pcall(function() return v[key] end)
    return ok and value or nil
  end
  if type(v) ~= "table" then return nil end
  local value = rawget(v, key)
  local meta = getmetatable(v)
  if value ~= nil or type(meta) ~= "table" then return value end
  if type(meta.__index) == "table" then return peek(meta.__index, key) end
  local own = rawequal(v, root()) or (module_name(v) or ""):find "^lua_equi"
  if not own then return nil end
  local ok, found = pcall(function() return v[key] end)
  return ok and found or nil
end

-- Names that may follow v, into the set `names`: name -> is it callable.
local function collect(v, names)
  if core.is_tensor(v) then
    for _, f in ipairs(fields) do names[f[1]] = false end
    for name in pairs(core.methods) do names[name] = true end
    return
  end
  local meta = getmetatable(v)
  if type(v) == "table" then
    for k, value in next, v do
      if type(k) == "string" then names[k] = type(value) == "function" end
    end
    if type(meta) == "table" and type(meta.names) == "function" then
      for _, k in ipairs(meta.names()) do names[k] = names[k] or false end
    end
    if type(meta) == "table" and meta.lazy then
      for k, kind in pairs(meta.lazy) do names[k] = kind ~= true end
    end
  elseif type(v) == "userdata" and type(meta) == "table" then
    local word = (meta.__name or ""):match "([%w_]+)$" or ""
    for name in pairs(known()) do
      local method = name:match("^" .. word:lower() .. ":(.*)$")
      if method then names[method] = true end
    end
  end
  if type(meta) == "table" and type(meta.__index) == "table" then collect(meta.__index, names) end
end

--- What a word at the prompt may become, sorted: completion data for any line editor.
--- The word is the end of `text`: names joined by . and a last : for methods. Only looks up, never
--- calls.
---@param text string what stands before the cursor
---@param env? table where names are looked up; the globals by default
---@return string[] completions whole words, each beginning with the word
--- Example:
---     print(table.concat(equi.complete("equi.softm", {equi = equi}), " "))   --> equi.softmax
function repl.complete(text, env)
  if type(text) ~= "string" then
    error("complete: text must be a string, what stands before the cursor, got "
      .. arguments.shown(text), 2)
  end
  local word = text:match "[%w_.:]*$"
  local path, separator, start = word:match "^(.-)([.:]?)([%w_]*)$"
  local value = env or _G
  for part in path:gmatch "[^.:]+" do value = peek(value, part) end
  if value == nil or (path ~= "" and separator == "") or text:find "[%)%]\"']%s*[.:][%w_]*$" then
    return {}
  end
  local names, found = {}, {}
  collect(value, names)
  for name, callable in pairs(names) do
    local fits = name:sub(1, #start) == start and name:find "^[%a_][%w_]*$"
    local shown = start ~= "" or name:sub(1, 1) ~= "_"
    if fits and shown and (separator ~= ":" or callable) then
      found[#found + 1] = path .. separator .. name
    end
  end
  table.sort(found)
  return printed.lines(found)
end

-- ---- line editors ----

-- The host offers completion if it has loaded the `readline` module; stock lua5.4 does not.
local host = package.loaded.readline
if type(host) == "table" and type(host.set_complete_function) == "function" then
  host.set_complete_function(function(_, from, to, line)
    return repl.complete((line or ""):sub(1, to or -1), nil, from)
  end)
end

return repl
