--- equi.models.NAME: backbones, one architecture a file, loaded when first used.
--
-- Installed they are the modules lua_equi.models.NAME; in a checkout they lie in models/ beside
-- lua_equi/, found through this file's own place. No global `models` enters anyone's path.
local function beside()
  local source = debug.getinfo(1, "S").source
  local root = source:match "^@(.*)lua_equi[/\\]models%.lua$"
  return root and root .. "models/"
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

return setmetatable({}, {
  __index = function(t, name)
    if type(name) ~= "string" or not name:find "^[%w_]+$" then return nil end
    local model = load_model(name)
    rawset(t, name, model)
    return model
  end,
})
