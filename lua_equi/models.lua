--- equi.models.NAME: backbones, one architecture a file, loaded when first used.
--
-- Installed they are the modules lua_equi.models.NAME; in a checkout they lie in models/ beside
-- lua_equi/, found through this file's own place. No global `models` enters anyone's path.
local strict = require "lua_equi.strict"

-- The folder of the models: in a checkout, and as installed.
local function beside()
  local source = debug.getinfo(1, "S").source
  local root = source:match "^@(.*)lua_equi[/\\]models%.lua$"
  return root and root .. "models/", source:match "^@(.*)%.lua$"
end

local function load_model(name)
  local ok, found = pcall(require, "lua_equi.models." .. name)
  if ok then return found end
  local root = beside()
  local path = root and root .. name .. ".lua"
  local f = path and io.open(path)
  if not f then
    local absent = "module 'lua_equi.models." .. name .. "' not found"
    if not found:find(absent, 1, true) then error(found, 0) end
    return nil
  end
  f:close()
  local chunk, message = loadfile(path)
  if not chunk then error(message, 0) end
  local model = chunk("lua_equi.models." .. name, path)
  package.loaded["lua_equi.models." .. name] = model
  return model
end

local SHARED = {backbone = true, text_classifier = true} -- no models, but what models share

-- The names of the files in both folders: for messages and completion, so what cannot be listed is
-- left out.
local function names()
  local list = {}
  for _, folder in ipairs {beside()} do
    local files = io.popen(("ls '%s' 2>/dev/null"):format(folder:gsub("'", "'\\''")))
    for file in files:lines() do
      local name = file:match "^([%w_]+)%.lua$"
      if not SHARED[name] then list[#list + 1] = name end
    end
    files:close()
  end
  return list
end

return strict({}, "equi.models", function(name)
  return name:find "^[%w_]+$" and load_model(name) or nil
end, names)
