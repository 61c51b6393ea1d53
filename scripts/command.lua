--- What the experiments share as commands: one sentence instead of a traceback, Ctrl-C, and what
--- may be gone on with, overwritten or reported in a folder of results.
local equi = require "lua_equi"
local json = require "lua_equi.json"
local options = require "lua_equi.options"
local results = require "lua_equi.results"

local command = {}
command.__index = command

--- A command by its name.
---@param name string of the script
---@return table
function command.new(name) return setmetatable({name = name}, command) end

local function exists(path)
  local f = io.open(path, "rb")
  return f ~= nil and f:close()
end

local function quote(path) return "'" .. path:gsub("'", "'\\''") .. "'" end

local function is_interrupt(problem)
  return tostring(problem):find("interrupted!", 1, true) ~= nil
end

-- ---- ends ----

--- Ends the program with one sentence.
---@param ... any as of string.format
function command:fail(...)
  os.exit(io.stderr:write(self.name, ": ", string.format(...), "\n") and 2)
end

--- Calls a function whose failures are those of files and the like: one sentence and the end.
---@param f function
---@param ... any
---@return any results of f
function command:try(f, ...)
  local got = table.pack(pcall(f, ...))
  if got[1] then return table.unpack(got, 2, got.n) end
  if is_interrupt(got[2]) then error(got[2], 0) end
  return self:fail("%s", (tostring(got[2]):gsub("^[^\n]-:%d+: ", ""):match "^[^\n]*"))
end

-- What Ctrl-C leaves. `checkpoint` is the file that the stage now at work writes, `leaves` a text
-- for commands without one.
local function left_over(self)
  local path = self.checkpoint
  if self.leaves then return self.leaves end
  if not path then return "nothing was begun" end
  if not exists(path) then return "there is no checkpoint yet" end
  return ("the checkpoint is %s; the same command with --resume goes on"):format(path)
end

--- Runs the command. Ctrl-C says what is left and ends with 130, mistakes show where they are.
---@param main function
function command:run(main)
  local ok, message = xpcall(main, function(problem)
    return not is_interrupt(problem) and debug.traceback(problem, 2)
  end)
  if ok then return end
  if message then os.exit(io.stderr:write(message, "\n") and 1) end
  os.exit(io.stderr:write(self.name, ": interrupted; ", left_over(self), "\n") and 130)
end

-- ---- folders ----

---@param path string
function command:make_folder(path)
  if not os.execute(("mkdir -p %s 2>/dev/null"):format(quote(path))) then
    self:fail("cannot make the folder %s", path)
  end
end

--- Paths that match one of the patterns in a folder, sorted.
---@param folder string
---@param patterns string[] of the shell
---@return string[]
function command.list(folder, patterns)
  local words, found = {}, {}
  for i, pattern in ipairs(patterns) do words[i] = quote(folder) .. "/" .. pattern end
  local pipe = io.popen(("ls -d %s 2>/dev/null"):format(table.concat(words, " ")))
  for path in pipe:lines() do found[#found + 1] = path end
  pipe:close()
  return found
end

--- Copies files of one folder into another.
---@param from string
---@param to string
---@param names string[] those that are absent are left out
function command:copy(from, to, names)
  for _, name in ipairs(names) do
    local path = from .. "/" .. name
    if exists(path) and not os.execute(("cp %s %s"):format(quote(path), quote(to))) then
      self:fail("cannot copy %s to %s", path, to)
    end
  end
end

-- ---- options of results and checkpoints ----

local function without(all, left_out)
  local some = {}
  for name, value in pairs(all) do
    if not (left_out and left_out[name]) then some[name] = value end
  end
  return some
end

--- How the options of a checkpoint differ from these: nil when they do not or there is none.
---@param path string
---@param saved table options of this run
---@param left_out? table<string, boolean> options that do not matter
---@return string? text
---@return table? list of options.differences
---@return integer step that the checkpoint is at; 0 without one
function command:differences(path, saved, left_out)
  if not exists(path) then return nil, nil, 0 end
  local info = self:try(equi.checkpoint.load, path, {rng = false})
  local list, text = options.differences(without(info.options or {}, left_out),
    without(saved, left_out))
  return text, list, info.extra and info.extra.train and info.extra.train.step or 0
end

--- Whether a stage goes on with its checkpoint: one of the same options, or of fewer steps that end
--- where this run looks too. Another one is said to be left, since its numbers would pass for those
--- of these options.
---@param path string
---@param saved table options of this run
---@param o? table {left_out = options that do not matter, longer = the option that says how long,
--- unit = it may have been a multiple of this}
---@return boolean
function command:goes_on(path, saved, o)
  o = o or {}
  local text, list = self:differences(path, saved, o.left_out)
  if not text then return true end
  local name, old, new = table.unpack(list[1])
  if #list == 1 and name == o.longer and old and new and old < new and old % o.unit == 0 then
    return true
  end
  io.stderr:write(("%s: %s has other options: %s; this stage begins anew\n"):format(self.name, path,
    text))
  return false
end

--- Ends the program where a result or a checkpoint was made with other options.
---@param path string
---@param saved table options of this run
---@param advice? string what would work too
function command:protect(path, saved, advice)
  local text, message = results.conflict(path, saved)
  if message then self:fail("%s", message) end
  if text then
    self:fail("%s has other options: %s; take another --out%s, or --force", path, text,
      advice or "")
  end
end

--- A finished result of exactly these options.
---@param path string
---@param saved table
---@return table?
function command.finished(path, saved)
  local result = json.read(path)
  return result and not results.conflict(path, saved) and result or nil
end

--- The results in a folder that are this command's; others may lie there too.
---@param folder string
---@param fields string[] what its results have
---@return table[]
function command:results(folder, fields)
  local list, message = results.read(folder)
  local own = {}
  for _, result in ipairs(list or self:fail("%s", message)) do
    local is_own = type(result) == "table" and type(result.rows) == "table"
      and type(result.options) == "table"
    for _, field in ipairs(fields) do is_own = is_own and result[field] ~= nil end
    if is_own then own[#own + 1] = result end
  end
  if #own == 0 then
    self:fail("there are no results of %s in %s, only others", self.name, folder)
  end
  return own
end

return command
