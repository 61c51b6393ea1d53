-- Misspelt names of modules: refused at the user's line, while everything else sees plain tables.
local equi = require "lua_equi"

local function message(code)
  local ok, text = pcall(load("local equi = ... return " .. code, "=user"), equi)
  assert.is_false(ok, code)
  return text
end

describe("a misspelt name", function()
  it("is refused in every module, with the nearest name", function()
    for code, near in pairs {
      ["equi.nn.Linear"] = "linear", ["equi.optim.adm"] = "adam", ["equi.optim.cosin"] = "cosine",
      ["equi.data.scam"] = "scan", ["equi.data.scan.splt"] = "split",
      ["equi.models.seq_2_seq"] = "seq2seq", ["equi.group.cylic"] = "cyclic",
      ["equi.action.vocabulry"] = "vocabulary", ["equi.check.gradient"] = "gradients",
      ["equi.json.decod"] = "decode", ["equi.nn.initialise.norml"] = "normal",
      ["equi.train.runs"] = "run", ["equi.checkpoint.sav"] = "save",
    } do
      local module, name = code:match "^(.*)%.([%w_]+)$"
      assert.equal(('user:1: %s: there is no "%s"; did you mean "%s"?'):format(module, name, near),
                   message(code))
    end
  end)

  it("is answered with the names there are when none is near", function()
    assert.matches("equi.models: there is no \"nope\"; it has alexnet, ",
                   message "equi.models.nope", 1, true)
    assert.matches("equi.nn: there is no \"nope\"; equi.help(equi.nn) lists what there is",
                   message "equi.nn.nope", 1, true)
    assert.matches("equi.optim: there is no \"nope\"; it has adam, adamw, ",
                   message "equi.optim.nope", 1, true)
  end)

  it("leaves rawget, next, underscores, numbers, assignment and completion as they are", function()
    assert.is_nil(rawget(equi.nn, "nope"))
    assert.is_nil(equi.nn._nope)
    assert.is_nil(equi.nn[1])
    for name, value in pairs(equi.nn) do assert.equal(value, equi.nn[name]) end
    equi.nn.of_the_user = 3
    assert.equal(3, equi.nn.of_the_user)
    equi.nn.of_the_user = nil
    assert.same({"equi.nn.linear"}, equi.complete("equi.nn.li", {equi = equi}))
    assert.same({"equi.data.sampler", "equi.data.scan", "equi.data.sequences"},
                equi.complete("equi.data.s", {equi = equi}))
    assert.same({}, equi.complete("equi.nn.nope.", {equi = equi}))
  end)
end)
