-- Runs specs with busted under the interpreter that runs this file, whatever Lua the `busted` command is tied to.
--   lua5.4 spec/support/run.lua [busted's options] [files or folders]
arg[0] = "spec/support/run.lua"
table.insert(arg, 1, "--output=spec/support/summary.lua")
table.insert(arg, 1, "--ignore-lua")
require "busted.runner"({standalone = false})
