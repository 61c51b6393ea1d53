--- equi.config(): what this build is and how it is set.
local core = require "lua_equi.core"

local build, config = {}, {}

function config:__tostring()
  local mb = function(n) return ("%.1f MB"):format(n / 1e6) end
  local m = self.memory
  local rows = {
    {"version", self.version}, {"Lua", self.lua}, {"compiler", self.compiler}, {"simd", self.simd},
    {"kernels", self.kernels},
    {"BLAS", self.blas}, {"warning", self.warning}, {"OpenMP", self.openmp},
    {"JPEG", self.jpeg or "not built in"},
    {"threads", ("%d of %d"):format(self.threads, self.cores)},
    {"memory", ("%s live, %s peak, %s cached, collects above %s"):format(
      mb(m.live), mb(m.peak), mb(m.cached), mb(m.soft_limit))},
    {"seed", tostring(self.seed)}, {"dtype", self.dtype}, {"debug", tostring(self.debug)},
    {"conv", self.conv},
  }
  local out = {}
  for _, row in ipairs(rows) do
    if row[2] then out[#out + 1] = ("%-9s %s"):format(row[1], row[2]) end
  end
  return table.concat(out, "\n")
end

--- What this build is and how it is set: a table that prints as a list.
--- Fields: version, lua, compiler, simd, kernels (the inner loop of f32 products: v4, v3 or base;
--- LUA_EQUI_SIMD in the environment picks one), blas, warning (or nil), openmp, jpeg (the library,
--- or nil), threads, cores, memory (as equi.memory()), seed, dtype, debug, conv (as
--- equi.conv_path).
---@return table config
--- Example:
---     print(equi.config().threads >= 1)   --> true
function build.config()
  local c = core.build()
  c.version, c.lua = require("lua_equi")._VERSION, _VERSION
  c.threads, c.memory, c.seed = core.threads(), core.memory(), core.seed()
  c.dtype, c.debug, c.conv = core.default_dtype(), core.debug(), (core.conv_path())
  return setmetatable(c, config)
end

return build
