--- Downloads for scripts that need files from elsewhere: with curl, resumed, checked by SHA-256.
--
-- A file is loaded into NAME.part, which stays when the connection breaks and is gone on with next
-- time; only what has the right checksum gets its name. Needs curl, and sha256sum or the like.
-- No command of its own: get_weights.lua and its like use it.
local fetch = {}

-- What curl's exit codes mean where no file came: https://curl.se/docs/manpage.html
local NO_NETWORK = {[5] = true, [6] = true, [7] = true, [28] = true, [35] = true, [45] = true,
  [56] = true}
local CANNOT_RESUME = {[31] = true, [33] = true, [36] = true}
local BROKEN = {[18] = true, [28] = true, [56] = true} -- the connection, in the middle

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function run(command)
  local ok, how, code = os.execute(command)
  -- Ctrl-C goes to the program below too, and only that one dies of it
  if how == "signal" and code == 2 or code == 130 then error("interrupted!", 0) end
  return ok and 0 or code
end

local function output(command)
  local pipe = io.popen(command .. " 2>/dev/null")
  local text = pipe and pipe:read "a" or ""
  if pipe then pipe:close() end
  return text
end

local function size_of(path)
  local file = io.open(path, "rb")
  local size = file and file:seek "end"
  if file then file:close() end
  return size
end

--- The SHA-256 of a file in hexadecimal digits, or nil and a message.
---@param path string
---@return string?
---@return string?
function fetch.sha256(path)
  for _, command in ipairs {"sha256sum <", "shasum -a 256 <", "openssl dgst -sha256 -r <"} do
    local digits = output(command .. quote(path)):match "^%x+"
    if digits and #digits == 64 then return digits end
  end
  return nil, "none of sha256sum, shasum and openssl gives a checksum of " .. path
end

-- True, or nil and what is wrong with the file.
local function check(path, wanted)
  local found, problem = fetch.sha256(path)
  if not found then return nil, problem end
  if found:sub(1, #wanted) == wanted then return true end
  return nil, ("its SHA-256 begins with %s and should begin with %s"):format(found:sub(1, #wanted),
    wanted)
end

local function curl(url, part, quiet)
  local command = "curl --fail --location --connect-timeout 20 --speed-limit 1 --speed-time 60 "
    .. "--continue-at - %s --output %s %s"
  return run(command:format(quiet and "--silent" or "--progress-bar", quote(part), quote(url)))
end

-- Goes on as long as each attempt brings something.
local function insist(url, part, quiet)
  local code, had
  repeat
    had = size_of(part) or 0
    code = curl(url, part, quiet)
  until not BROKEN[code] or (size_of(part) or 0) <= had
  return code
end

local function why(url, code, path)
  local host = url:match "^%a+://([^/]*)" or url
  if code == 127 then return "curl is not installed" end
  if NO_NETWORK[code] then
    return ("%s cannot be reached (curl ended with %d); is there a network? Otherwise fetch %s "
      .. "elsewhere and put it to %s"):format(host, code, url, path)
  end
  if code == 22 or code == 37 or code == 78 then return "there is no " .. url end
  return ("curl ended with %d for %s"):format(code, url)
end

local function download(file, part)
  local code = insist(file.url, part, file.quiet)
  if CANNOT_RESUME[code] then
    os.remove(part)
    code = insist(file.url, part, file.quiet)
  end
  if code ~= 0 then return nil, why(file.url, code, file.path) end
  return true
end

--- Puts the file at a URL to a path, unless it is there already.
---
--- What is there under that name and has another checksum is left alone and refused.
---@param file table {url =, path =, sha256 = its first digits, quiet = false}
---@return string? how "there already" or "fetched"; nil when it could not be had
---@return string? message
function fetch.file(file)
  local part = file.path .. ".part"
  if size_of(file.path) then
    local ok, problem = check(file.path, file.sha256)
    if ok then return "there already" end
    return nil, ("%s is there already, but %s; remove it first"):format(file.path, problem)
  end
  local folder = file.path:match "^(.*)/"
  if folder and run("mkdir -p " .. quote(folder)) ~= 0 then
    return nil, "cannot make the folder " .. folder
  end
  -- complete already, when a program was stopped before it gave the file its name
  if not (size_of(part) and check(part, file.sha256)) then
    local ok, problem = download(file, part)
    if ok then ok, problem = check(part, file.sha256) end
    if not ok then
      if problem:find "^its SHA" then
        os.remove(part)
        problem = ("%s is not the file it should be: %s"):format(file.url, problem)
      end
      return nil, problem
    end
  end
  local ok, problem = os.rename(part, file.path)
  if not ok then return nil, problem end
  return "fetched"
end

--- The folder for files that can be fetched again: ~/.cache/lua_equi.
---@return string
function fetch.folder()
  local cache = os.getenv "XDG_CACHE_HOME"
  if not cache or cache == "" then cache = (os.getenv "HOME" or ".") .. "/.cache" end
  return cache .. "/lua_equi"
end

--- A command line whose first words, before any option, are names: as the option --names.
---@param words string[]
---@return string[]
function fetch.words_first(words)
  local names, at = {}, 1
  while words[at] and not words[at]:find "^%-" do
    names[#names + 1], at = words[at], at + 1
  end
  local rest = table.move(words, at, #words, 1, {})
  if #names > 0 then table.insert(rest, 1, "--names=" .. table.concat(names, ",")) end
  return rest
end

return fetch
