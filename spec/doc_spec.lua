-- The reference and the editor's annotations: complete, valid, the same twice.
local equi = require "lua_equi"

local program = "lua5.4"
for i = 0, -10, -1 do
  if arg and arg[i] and not arg[i - 1] then program = arg[i] end
end

local function read(path)
  local f = assert(io.open(path))
  local text = f:read "a"
  f:close()
  return text
end

describe("make doc", function()
  local folder, reference, annotations

  setup(function()
    folder = os.tmpname()
    os.remove(folder)
    assert(os.execute(("%s scripts/doc/run.lua --root %s"):format(program, folder)))
    reference = read(folder .. "/doc/reference.md")
    annotations = read(folder .. "/lua_equi/meta/core.lua")
  end)
  teardown(function() os.execute("rm -rf " .. folder) end)

  it("covers every op and every function", function()
    for _, row in ipairs(equi.core.ops) do
      if not row.hidden then
        assert.matches("\n### " .. row.name .. "\n", reference, 1, true)
        assert.matches("[.:]" .. row.name .. "%(", annotations)
      end
    end
    for name in pairs(equi.core.docs) do
      assert.matches("\n### " .. name .. "\n", reference, 1, true)
    end
  end)

  it("covers Lua modules and says how often ops can be differentiated", function()
    for _, part in ipairs{"## Lua: optim", "### nn.linear(", "## Lua: seq2seq",
                          "## What can be differentiated"} do
      assert.matches(part, reference:gsub("models%.", ""), 1, true)
    end
    assert.matches("### softmax\n.-%*differentiable twice%*", reference)
    assert.matches("### lstm\n.-%*differentiable once;", reference)
    assert.matches("### argmax\n.-%*no gradient", reference)
  end)

  it("has an entry for everything public that is called, by the name of the user", function()
    local absent = {}
    local public = require "lua_equi.public"
    public.walk(function(name, value)
      name = public.name(value) or name
      local title = name:gsub("[_*<>]", "\\%0")
      local last = title:match "[^.]+$"
      local found = type(value) ~= "function"
      for _, heading in ipairs {name .. "\n", title .. "(", "seq2seq:" .. last .. "("} do
        found = found or reference:find("\n### " .. heading, 1, true) ~= nil
      end
      if not found then absent[#absent + 1] = name end
    end)
    assert.same({}, absent)
    assert.matches("### nn.conv2d%(inputs, outputs, kernel, opts%)\n", reference)
    assert.matches("\n%- `opts%?` table {stride = 1, [^\n]* padding\\_mode = \"zeros\"}\n",
                   reference)
  end)

  it("writes annotations that are Lua", function()
    assert.is_function(load(annotations))
    assert.matches("---@meta\n", annotations, 1, true)
    assert.matches("---@param dim? integer default -1\n---@return equi.Tensor y\n" ..
                   "function equi.softmax", annotations, 1, true)
  end)

  it("writes the same bytes again", function()
    assert(os.execute(("%s scripts/doc/run.lua --root %s"):format(program, folder)))
    assert.equal(reference, read(folder .. "/doc/reference.md"))
    assert.equal(annotations, read(folder .. "/lua_equi/meta/core.lua"))
  end)

  it("refuses other options", function()
    local p = io.popen(program .. " scripts/doc/run.lua --rot x 2>&1")
    assert.matches('doc: no option "--rot"; call it as', p:read "a", 1, true)
    p:close()
  end)
end)
