--- equi.data: readers, samplers, vocabularies. The parts of this folder, loaded when first used.
local parts = {random = true, sampler = true, scan = true, sequences = true,
  vocabulary = true}

return setmetatable({}, {
  __index = function(t, name)
    if not parts[name] then return nil end
    local part = require("lua_equi.data." .. name)
    rawset(t, name, part)
    return part
  end,
})
