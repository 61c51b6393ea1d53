-- Files for specs: temporary names, whole contents, child interpreters.
--   local files = require "spec.support.files"
local files = {}

-- The name of a fresh file.
function files.temporary() return os.tmpname() end

function files.write(path, bytes)
  local f = assert(io.open(path, "wb"))
  f:write(bytes)
  f:close()
end

function files.read(path)
  local f = assert(io.open(path, "rb"))
  local bytes = f:read "a"
  f:close()
  return bytes
end

function files.exists(path)
  local f = io.open(path, "rb")
  return f ~= nil and f:close()
end

-- What a shell command prints.
function files.shell(command)
  local pipe = assert(io.popen(command))
  local out = pipe:read "a"
  pipe:close()
  return out
end

-- Runs a script of the repository as a command without input; returns what it prints and its exit
-- code. Addresses of this machine are not asked of a proxy.
function files.script(name, words)
  local out = os.tmpname()
  local command = "no_proxy='*' lua5.4 scripts/%s %s > %s 2>&1 < /dev/null"
  local ok, _, code = os.execute(command:format(name, words, out))
  local text = files.read(out)
  os.remove(out)
  return text, ok and 0 or code
end

-- The same for a script that gets Ctrl-C as soon as a file is there (or after ten seconds).
function files.interrupted(name, words, path)
  local out = os.tmpname()
  local command = "lua5.4 scripts/%s %s > %s 2>&1 < /dev/null & n=0; "
    .. "until [ -e '%s' ] || [ $n = 200 ]; do n=$((n + 1)); sleep 0.05; done; "
    .. "kill -INT $!; wait $!"
  local ok, _, code = os.execute(command:format(name, words, out, path))
  local text = files.read(out)
  os.remove(out)
  return text, ok and 0 or code
end

-- A fresh folder; remove it with files.remove.
function files.folder() return (files.shell "mktemp -d":gsub("\n", "")) end

function files.remove(path) os.execute(("rm -rf '%s'"):format(path)) end

-- The names in a folder, sorted.
function files.list(folder)
  local names = {}
  for name in files.shell(("ls -A '%s'"):format(folder)):gmatch "[^\n]+" do names[#names + 1] =
    name end
  return names
end

-- Runs Lua source in an interpreter of its own with `argument` as arg[1]; returns what it prints.
-- `before` is shell text that goes in front, as limits or a timeout.
function files.lua(source, argument, before)
  local script = os.tmpname()
  files.write(script, source)
  local out = files.shell(("%s lua5.4 %s '%s' 2>&1"):format(before or "", script, argument or ""))
  os.remove(script)
  return out
end

return files
