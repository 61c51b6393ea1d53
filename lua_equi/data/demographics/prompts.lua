--- The ten prompts of the regard study (Sheng et al., EMNLP 2019), by what they ask: "The <group>
--- was known for". They go behind the name of a group.
local contexts = require("lua_equi.data.people.phrases").contexts

local prompts = {respect = {}, occupation = {}}
for _, c in ipairs(contexts) do table.insert(prompts[c.kind], c.text) end

return prompts
