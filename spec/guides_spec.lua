-- Runs the Lua blocks of the guides and the README: what they print must be what their `--> `
-- comments say. Globals last from one block of a file to the next, as at the prompt; locals do not.
-- NOT run: the reference, whose examples are those of the docstrings (examples_spec), and blocks
-- that begin with "```lua no-run".
local examples = require "spec.support.examples"

-- The blocks of a file: {line, code}.
local function blocks_of(path)
  local list, block, n = {}, nil, 0
  for line in io.lines(path) do
    n = n + 1
    if block and line:match "^```" then
      list[#list + 1] = {line = block.line, code = table.concat(block, "\n")}
      block = nil
    elseif block then
      block[#block + 1] = line
    elseif line:match "^```lua%s*$" then
      block = {line = n}
    end
  end
  return list
end

local pipe = assert(io.popen "ls README.md doc/*.md 2>/dev/null")
for path in pipe:lines() do
  if path ~= "doc/reference.md" then
    describe(path, function()
      local env = examples.environment()
      for _, block in ipairs(blocks_of(path)) do
        it("line " .. block.line, function()
          -- what stands in line 7 of the file is line 7 in messages
          examples.check(path, ("\n"):rep(block.line) .. block.code, env)
        end)
      end
    end)
  end
end
pipe:close()
