-- Checks what no compiler or linter knows: who may call whom, how large files grow, and, given the
-- library, what it exports. Prints the line totals; exits with 1 when a rule is broken.
--   lua5.4 spec/support/tree.lua [core.so]
-- Formatting is not its business: clang-format and luacheck see to that.
local faults = 0

local function fault(...)
  faults = faults + 1
  io.stderr:write(string.format(...), "\n")
end

local function lines_of(command)
  local pipe = assert(io.popen(command))
  local found = {}
  for line in pipe:lines() do found[#found + 1] = line end
  pipe:close()
  return found
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

-- Which files may say what: a line of a file below `within` that matches `says` is a fault, unless
-- the file's path matches one of `but`.
local rules = {
  {within = "", says = "\t", why = "sources have no tabs"},
  {within = "", says = "\r", why = "lines end with a newline alone"},
  {within = "", says = "%s$", why = "no blanks at the end of a line"},
  {within = "", says = "TO" .. "DO", why = "what is not done is not in the sources"},
  {within = "", says = "FIX" .. "ME", why = "what is not done is not in the sources"},
}

local function only(header, ...)
  local why = ("only %s includes <%s>"):format(table.concat({...}, ", "):gsub("[%%$]", ""), header)
  local says = "^%s*#%s*include%s*[<\"][%w/]*" .. header:gsub("%.", "%%.")
  rules[#rules + 1] = {within = "lua_equi/", says = says, but = {...}, why = why}
end
only("lua.h", "core/lua/")
only("lualib.h", "core/lua/")
only("lauxlib.h", "core/lua/")
only("cblas.h", "core/blas%.c$")
only("omp.h", "core/parallel%.c$")
only("png.h", "core/image/png%.c$")
only("zlib.h", "core/inflate%.c$")
only("jpeglib.h", "core/image/jpeg%.c$")
only("pthread.h", "core/image/pool%.c$", "core/parallel%.c$")

local function no_call(name, why)
  rules[#rules + 1] = {within = "lua_equi/core/", says = "%f[%w_]" .. name .. "%(", why = why}
end
no_call("abort", "nothing in the library ends the process")
no_call("exit", "nothing in the library ends the process")
no_call("printf", "nothing in the library prints")

local function no_require(within, module, why)
  local says = "require%s*%(?%s*[\"']" .. module:gsub("%.", "%%.")
  rules[#rules + 1] = {within = within, says = says, why = why}
end
no_require("models/", "lua_equi.core", "models are written against the public table")
no_require("scripts/", "lua_equi.core", "scripts are written against the public table")
no_require("lua_equi/", "lua_equi.models", "the library does not know its models")
no_require("lua_equi/", "models.", "the library does not know its models")
no_require("lua_equi/", "scripts.", "the library does not know the scripts")
no_require("models/", "scripts.", "models do not know the scripts")

local MAX_COLUMNS, MAX_LINES = 100, 500

local function starts(text, prefix) return text:sub(1, #prefix) == prefix end

local function excepted(rule, path)
  for _, pattern in ipairs(rule.but or {}) do
    if path:find(pattern) then return true end
  end
  return false
end

local function rules_for(path)
  local found = {}
  for _, rule in ipairs(rules) do
    if starts(path, rule.within) and not excepted(rule, path) then found[#found + 1] = rule end
  end
  return found
end

-- Returns the number of lines of the file at `path`.
local function check_file(path)
  local text = read(path)
  -- what a generator wrote
  local generated = starts(path, "lua_equi/meta/") or path:find "^spec/support/.*_vectors%.lua$"
  local checks, count = rules_for(path), 0
  if text ~= "" and text:sub(-1) ~= "\n" then fault("%s: the last line has no newline", path) end
  for line in text:gmatch "([^\n]*)\n" do
    count = count + 1
    for _, rule in ipairs(checks) do
      if line:find(rule.says) then fault("%s:%d: %s", path, count, rule.why) end
    end
    if not generated and (utf8.len(line) or #line) > MAX_COLUMNS then
      fault("%s:%d: the line is longer than %d columns", path, count, MAX_COLUMNS)
    end
  end
  if not generated and count > MAX_LINES then
    fault("%s: %d lines; a file has at most %d, split it by subject", path, count, MAX_LINES)
  end
  return count
end

-- Budgets are looked at, not enforced: a total above its mark is said, with the mark.
local budgets = {
  {name = "equi.h", within = "lua_equi/core/equi.h", most = 250},
  {name = "core", within = "lua_equi/core/", most = 9000},
  {name = "backends", within = "lua_equi/backends/"},
  {name = "library", within = "lua_equi/", but = {"/core/", "/backends/", "/meta/"}, most = 4000},
  {name = "models", within = "models/", most = 1200},
  {name = "scripts", within = "scripts/", most = 1500},
  {name = "specs", within = "spec/"},
}

local function print_totals(counts)
  local parts = {}
  for _, budget in ipairs(budgets) do
    local total = 0
    for path, count in pairs(counts) do
      if starts(path, budget.within) and not excepted(budget, path) then total = total + count end
    end
    local part = ("%s %d"):format(budget.name, total)
    if budget.most then part = part .. " of " .. budget.most end
    parts[#parts + 1] = total > (budget.most or math.huge) and part .. " (OVER)" or part
  end
  print("lines: " .. table.concat(parts, " · "))
end

-- A symbol that leaks out of the library can be bound to another library's of the same name.
local function check_exports(library)
  for _, line in ipairs(lines_of("nm -D --defined-only '" .. library .. "' 2>/dev/null")) do
    local name = line:match " [TDBRVWi] (%S+)$"
    if name and not starts(name, "luaopen_") then
      fault("%s: exports %s; only luaopen_ functions are for others", library, name)
    end
  end
end

local counts = {}
local sources = "find lua_equi models scripts spec -name '*.[ch]' -o -name '*.lua' 2>/dev/null"
for _, path in ipairs(lines_of(sources)) do counts[path] = check_file(path) end
if arg[1] and io.open(arg[1]) then check_exports(arg[1]) end
print_totals(counts)
os.exit(faults == 0)
