-- busted's terminal report, closed by one plain line: `N passed, N failed, N skipped`.
-- A run of nothing at all counts as a failure: a wrong path must not look like success. What a spec
-- holds on to goes with it: collections walk through all that is left.
return function(options)
  local busted = require "busted"
  local base = require "busted.outputHandlers.plainTerminal"(options)

  busted.subscribe({"test", "end"}, function(test)
    test.run = nil
    return nil, true
  end)

  busted.subscribe({"exit"}, function()
    local passed, skipped = base.successesCount, base.pendingsCount
    local failed = base.failuresCount + base.errorsCount
    local nothing = passed + failed + skipped == 0
    if nothing then
      print "there was no spec to run"
      failed = 1
    end
    print(("%d passed, %d failed, %d skipped"):format(passed, failed, skipped))
    io.flush()
    if nothing then os.exit(1) end
    return nil, true
  end)
  return base
end
