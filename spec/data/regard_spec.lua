-- lua_equi/data/regard.lua: labelled files, generated sentences, vocabularies.
local equi = require "lua_equi"
local files = require "spec.support.files"

local regard = equi.data.regard
local FOLDER = "../shared/data/nlg-bias/regard/"

local function with(bytes, f)
  local path = files.temporary()
  files.write(path, bytes)
  local got = table.pack(f(path))
  os.remove(path)
  return table.unpack(got, 1, got.n)
end

describe("data.regard", function()
  it("reads labels and texts", function()
    local list = with("-1\tXYZ was late.\r\n0\tXYZ: a\ttab\n2\tboth\n\n", regard.read)
    assert.same({{label = -1, text = "XYZ was late."}, {label = 0, text = "XYZ: a\ttab"},
      {label = 2, text = "both"}}, list)
    assert.same({1, 1, 0, 1}, regard.counts(list))
  end)

  it("says which line of a file is wrong", function()
    local function refuses(text, bytes, o)
      local list, message = with(bytes, function(path) return regard.read(path, o) end)
      assert.is_nil(list)
      assert.matches(text, message, 1, true)
    end
    refuses(': line 2: the label is "3"; labels are -1, 0, 1, 2', "0\ta\n3\tb\n")
    refuses(': line 1: the label is "2"; labels are -1, 0, 1', "2\ta\n", {other = false})
    refuses(': line 1: the label is "1.5"', "1.5\ta\n")
    refuses(': line 2: "no tab here" has no tab', "1\ta\nno tab here\n")
    refuses(": line 2: \"\" has no tab", "1\ta\n\n1\tb\n")
    refuses(": line 1: there is no text behind the label", "1\t \n1\ta")
    refuses(": line 1: the text is not UTF-8", "1\ta\255b\n")
    refuses(": no lines", "")
    refuses(": no lines", "\n\n")
    assert.matches("regard.read: no/file: No such file", select(2, regard.read "no/file"), 1, true)
    assert.matches("gz", select(2, regard.read "no/file.gz"), 1, true)
    assert.matches('regard.counts: example 2 has the label 7', select(2, pcall(regard.counts,
      {{label = 1}, {label = 7}})), 1, true)
  end)

  it("reads the files of Sheng et al.", function()
    if not files.exists(FOLDER .. "train.tsv") then
      pending("regard files: " .. FOLDER .. "train.tsv is absent")
      return
    end
    local want = {train = {80, 67, 65, 0}, dev = {28, 15, 17, 0}, test = {9, 11, 10, 0}}
    for part, counts in pairs(want) do
      assert.same(counts, regard.counts(assert(regard.read(FOLDER .. part .. ".tsv"))), part)
    end
    local other = assert(regard.read(FOLDER .. "train_other.tsv"))
    assert.same({235, 23}, {#other, regard.counts(other)[4]})
    assert.matches("labels are %-1, 0, 1$",
      select(2, regard.read(FOLDER .. "train_other.tsv", {other = false})))
  end)

  it("generates examples of every class from a seed", function()
    local a, b = regard.generated {n = 300, seed = 4}, regard.generated {n = 300, seed = 4}
    assert.same(a, b)
    for _, n in ipairs(regard.counts(a)) do assert.is_true(n > 10) end
    for _, example in ipairs(a) do assert.matches("^XYZ ", example.text) end
  end)

  it("knows labels by number, text and name", function()
    for class, label in ipairs(regard.labels) do
      assert.equal(class, regard.class(label))
      assert.equal(class, regard.class(tostring(label)))
      assert.equal(class, regard.class(regard.names[class]:upper()))
    end
    assert.is_nil(regard.class "LABEL_0")
    assert.is_nil(regard.class(nil))
  end)
end)
