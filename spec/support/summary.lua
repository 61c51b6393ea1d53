--- busted's terminal report, closed by one plain line: `N passed, N failed, N skipped`.
-- A run in which nothing was executed counts as one failure: a wrong path must not look like success.
return function(options)
  local busted = require "busted"
  local base = require "busted.outputHandlers.plainTerminal"(options)

  busted.subscribe({"exit"}, function()
    local failed = base.failuresCount + base.errorsCount
    local line = "%d passed, %d failed, %d skipped\n"
    io.write(line:format(base.successesCount, failed, base.pendingsCount))
    io.flush()
    return nil, true
  end)
  return base
end
