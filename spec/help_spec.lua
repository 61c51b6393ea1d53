-- equi.help knows everything public, and by its own text: walked, not listed.
local docstring = require "lua_equi.docstring"
local equi = require "lua_equi"
local public = require "lua_equi.public"

local function has(text, part) assert.matches(part, text, 1, true) end

-- The text of a help page, without its title and the place.
local function body(page)
  return (page:gsub("^[^\n]*\n?", ""):gsub("\n?    [^\n]*%.lua:?%d*$", ""))
end

describe("equi.help, of everything public,", function()
  local functions, others = {}, {}

  setup(function()
    public.walk(function(name, value)
      local list = type(value) == "function" and functions or others
      list[#list + 1] = {name = name, value = value}
    end)
  end)

  it("walks all modules", function()
    local names = {}
    for _, list in ipairs {functions, others} do
      for _, entry in ipairs(list) do names[entry.name] = true end
    end
    for _, name in ipairs {"softmax", "nn.lstm", "nn.initialise.kaiming", "optim.cosine",
      "models.resnet", "models.seq2seq.greedy", "combine.mean", "data.scan.generate",
      "image.read", "group.cyclic", "train.run", "check.equivariance"} do
      assert.is_true(names[name], name)
    end
    assert.is_true(#functions > 300)
  end)

  it("finds a text for every function, by name and by value", function()
    local bare = {}
    for _, entry in ipairs(functions) do
      for _, page in ipairs {equi.help(entry.name), equi.help(entry.value)} do
        local found = page:find("%S\n    %S") and not page:find "without documentation"
        if not found then bare[#bare + 1] = entry.name .. ": " .. page:sub(1, 60) end
      end
    end
    assert.same({}, bare)
  end)

  it("titles every page with the name that was asked for", function()
    local wrong = {}
    for _, entry in ipairs(functions) do
      local title = equi.help(entry.name):gsub("^x:", ""):match "^[%w_.]*"
      if title ~= entry.name then wrong[#wrong + 1] = entry.name .. ": " .. title end
    end
    assert.same({}, wrong)
  end)

  it("gives no two functions the same text", function()
    local first, same = {}, {}
    for _, entry in ipairs(functions) do
      local text = body(equi.help(entry.name))
      local other = first[text]
      if other and other.value ~= entry.value then
        same[#same + 1] = entry.name .. " has the text of " .. other.name
      end
      first[text] = other or entry
    end
    assert.same({}, same)
  end)

  it("shows the docstring that stands where a Lua function is declared", function()
    local wrong = {}
    for _, entry in ipairs(functions) do
      local found = docstring.of(entry.value)
      local last = entry.name:match "[%w_]+$"
      if found and found.name:match "[%w_]+$" ~= last then
        wrong[#wrong + 1] = entry.name .. ": " .. found.name
      end
    end
    assert.same({}, wrong)
  end)

  it("finds a text for every table and number", function()
    local bare = {}
    for _, entry in ipairs(others) do
      if not equi.help(entry.name):find "\n?[^\n]*\n  +%S" then bare[#bare + 1] = entry.name end
    end
    assert.same({}, bare)
  end)

  it("leaves no line of a module's list blank", function()
    for _, module in ipairs {equi.nn, equi.models, equi.optim, equi.combine, equi.data} do
      for line in equi.help(module):gmatch "[^\n]+" do
        assert.not_matches("^  [%w_]+%s*$", line)
      end
    end
  end)
end)

describe("at the prompt", function()
  it("tables show what is in them, and are tables as before", function()
    assert.equal("equi.softmax\nequi.softplus", tostring(equi.complete("equi.soft", {equi = equi})))
    local memory = equi.memory()
    assert.matches("\nlive +" .. memory.live .. "\n", tostring(memory))
    local names = {}
    for name in pairs(memory) do names[#names + 1] = name end
    assert.equal(7, #names)
    local w = equi.ones(1)
    local result = equi.train.run {steps = 1, model = {w = w}, step = function() return w:sum() end}
    assert.matches("\nstep +1\nstopped +steps$", tostring(result))
    assert.equal("equi.nn; equi.help(equi.nn) lists what it has", tostring(equi.nn))
    assert.equal("equi.group; equi.help(equi.group) lists what it has", tostring(equi.group))
  end)
end)

describe("equi.help", function()
  it("keeps the lines below a tag with it", function()
    local text = equi.help "nn.conv2d"
    assert.matches("opts%?: table {stride = 1, .- bias = true, padding_mode = \"zeros\"}\n", text)
    assert.matches("%(equi%.pad%)%.\n      inputs: integer\n", text)
    assert.matches("%-> table result {step, .- when resumed%)}\n", equi.help "train.run")
  end)

  it("shows of a module, an optimizer, a rule to combine what its class is", function()
    local net = equi.help(equi.nn.linear(2, 3))
    has(net, "linear(2, 3)\nnn.linear(inputs, outputs, opts)\n    y = x W^T + b.")
    assert.matches("\n  :state_dict +Parameters and buffers", net)
    local opt = equi.help(equi.optim.adam(equi.nn.linear(2, 3)))
    has(opt, "optim.adam(params, opts)\n    Adam (Kingma & Ba 2015)")
    assert.matches("\n  :zero_grad +Forgets", opt)
    for _, page in ipairs {equi.help "combine.mean", equi.help(equi.combine.mean)} do
      has(page, "combine.mean\n    The mean of all branches")
    end
    has(equi.help(equi.combine.relaxed({2}, 5)), "combine.relaxed(ids, size)\n    The mean, except")
    local seq2seq = equi.models.seq2seq {hidden = 4, embedding = 4}
    has(equi.help(seq2seq), "Makes a model: equi.models.seq2seq{...}.")
  end)
end)
