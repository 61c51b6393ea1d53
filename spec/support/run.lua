-- Runs specs with busted under the interpreter that runs this file, whatever Lua the `busted`
-- command is tied to.
--   lua5.4 spec/support/run.lua [--gc=incremental|generational] [busted's options] [files ...]
-- --gc makes the collector as eager as it gets: what nobody holds is gone when next touched.
local eager = {
  -- collectgarbage("incremental", 0) would mean "leave the pause alone", hence the older call.
  incremental = function()
    collectgarbage("incremental", 0, 400, 9)
    collectgarbage("setpause", 0)
  end,
  generational = function() collectgarbage("generational", 1, 100) end,
}

local mode = arg[1] and arg[1]:match "^%-%-gc=(.*)$"
if mode then
  table.remove(arg, 1)
  assert(eager[mode], "--gc: no such collector; there are incremental and generational")()
end
table.insert(arg, 1, "--output=spec/support/summary.lua")
table.insert(arg, 1, "--ignore-lua")
require "busted.runner"({standalone = false})
