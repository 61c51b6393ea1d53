-- WordPiece against vectors made by Python's unicodedata (spec/support/make_wordpiece_vectors.py).
local equi = require "lua_equi"
local files = require "spec.support.files"
local vectors = require "spec.support.wordpiece_vectors"

local wordpiece = equi.data.wordpiece
local FRAME = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}

local function with(tokens)
  return table.move(tokens, 1, #tokens, #FRAME + 1, table.move(FRAME, 1, #FRAME, 1, {}))
end

local function basic(text, lower)
  local words = {}
  for word in equi.core.basic_words(text, lower):gmatch "[^ ]+" do words[#words + 1] = word end
  return words
end

describe("wordpiece: words", function()
  it("are BERT's, uncased and cased", function()
    for _, v in ipairs(vectors.words) do
      assert.same(v.uncased, basic(v.text, true))
      assert.same(v.cased, basic(v.text, false))
    end
  end)

  it("of every code point alone, but most Hangul, whose formula repeats", function()
    local sum, gaps, next_gap = 0, vectors.unassigned, 1
    local function add(byte) sum = (sum * 31 + byte) % 2147483647 end
    for code = 0, 0x10FFFF do
      while gaps[next_gap + 1] and gaps[next_gap + 1] < code do next_gap = next_gap + 2 end
      local assigned = not gaps[next_gap] or code < gaps[next_gap]
      local surrogate = code >= 0xD800 and code <= 0xDFFF
      local hangul = code >= 0xAC00 and code <= 0xD7A3 and code % 97 ~= 0
      if assigned and not surrogate and not hangul then
        local text = equi.core.basic_words(utf8.char(code), true):gsub(" ", "")
        for at = 1, #text do add(text:byte(at)) end
        add(10)
      end
    end
    assert.equal(vectors.folded, sum)
  end)

  it("leave out what is not UTF-8, and take texts of any size", function()
    assert.same({"ab", "c"}, basic("a\xFF\xC3b\xE4\xBD c\xF0\x9F", true))
    local long = ("Straße, über 你好 "):rep(3000)
    local words = basic(long, true)
    assert.equal(5 * 3000, #words)
    assert.same({"straße", ",", "uber", "你", "好"}, {table.unpack(words, 5 * 2999 + 1)})
  end)
end)

describe("wordpiece: encoding", function()
  local tok = wordpiece.new(with {"un", "##aff", "##able", "##a", "##b", "a", "want", "##want",
    "##ed", "wa", "runn", "##ing", ",", "low", "##er", "."})

  local function tokens(text, opts)
    local list = {}
    for i, id in ipairs(tok:encode(text, opts)) do list[i] = tok:token(id) end
    return table.concat(list, " ")
  end

  it("takes the longest token that fits", function()
    assert.equal("[CLS] un ##aff ##able [SEP]", tokens "unaffable")
    assert.equal("[CLS] un ##want ##ed runn ##ing [SEP]", tokens "Unwanted RUNNING")
    assert.equal("[CLS] [UNK] runn ##ing , low ##er . [SEP]", tokens "unwantedX running, lower.")
    assert.equal("[CLS] [SEP]", tokens "")
  end)

  it("takes words of more than 100 characters as unknown", function()
    assert.equal(102, #tok:encode("a" .. ("b"):rep(99)))
    assert.equal("[CLS] [UNK] [SEP]", tokens("a" .. ("b"):rep(100)))
    local greek = wordpiece.new(with {"α", "##α"})
    assert.equal(102, #greek:encode(("Ά"):rep(100)))
    assert.equal(3, #greek:encode(("Ά"):rep(101)))
  end)

  it("cuts long texts and keeps [SEP]", function()
    assert.equal("[CLS] a a [SEP]", tokens("a a a a", {max = 4}))
    assert.equal("[CLS] [SEP]", tokens("a a a a", {max = 2}))
    assert.equal("a a", tokens("a a a a", {max = 2, ends = false}))
    local ids, mask = tok:batch({"a a a a", "a"}, {max = 4})
    assert.same({2, 4}, ids.shape)
    assert.same({true, true, true, false}, mask:totable()[2])
    assert.equal(tok.pad, ids:totable()[2][4])
    ids = tok:batch({"a a", "a"}, {side = "left"})
    assert.equal(tok.pad, ids:totable()[2][1])
  end)

  it("knows special tokens only when asked to", function()
    assert.equal("[CLS] [UNK] [UNK] [UNK] a [SEP]", tokens "[MASK] a")
    assert.equal("[CLS] [MASK] a [UNK] low [SEP]", tokens("[MASK] a [low", {special = true}))
    assert.equal("[CLS] [UNK] [UNK] [UNK] [MASK] a [SEP]",
      tokens("[PAD2][MASK]a", {special = true}))
  end)

  it("decodes to words and marks", function()
    assert.equal("unwanted , low", tok:decode(tok:encode "unwanted,LOW"))
    assert.equal("a", tok:decode({10}, {base = 0}))
    assert.equal("low", tok:decode(equi.tensor({tok:id "low"}, {dtype = "i64"})))
  end)

  it("gives the same ids when it has forgotten words", function()
    local before = tokens "unwanted low lower"
    local list = {}
    for i = 1, 20000 do list[i] = "a" .. i end
    tok:encode(table.concat(list, " "))
    assert.equal(before, tokens "unwanted low lower")
  end)

  it("keeps letters as they are when it is cased", function()
    local cased = wordpiece.new(with {"É", "e", "A"}, {lower = false})
    assert.same({6, 8, 2}, cased:encode("É A a", {ends = false}))
    assert.matches("cased$", tostring(cased))
  end)
end)

describe("wordpiece: training", function()
  it("learns characters, then the pieces that come most often", function()
    local tok = wordpiece.train("Hug hug hugs hug bun pun hugs", {size = 100})
    assert.same(with {"h", "##g", "##n", "##s", "##u", "hu", "hug", "hugs"}, tok.tokens)
    assert.equal("[UNK] hug", tok:decode(tok:encode "bun HUG")) -- b and p come once
    tok = wordpiece.train("Hug hug hugs hug bun pun hugs", {size = 12})
    assert.equal("hug", tok:token(12))
  end)

  it("gives every word of the text back, in any script", function()
    local text = "Naïve cafés, 你好 ÉTÉ été! ### #a привет мир"
    for _, lower in ipairs {true, false} do
      local tok = wordpiece.train(text, {min_count = 1, lower = lower})
      local words = equi.core.basic_words(text, lower):gsub(" +", " "):gsub("^ ", ""):gsub(" $", "")
      assert.equal(words, tok:decode(tok:encode(text)))
      assert.same(tok.tokens, wordpiece.train(text, {min_count = 1, lower = lower}).tokens)
    end
  end)

  it("takes parts from a function, and refuses what it cannot take", function()
    local parts, n = {"a b", "ab", "ab"}, 0
    local tok = wordpiece.train(function()
      n = n + 1
      return parts[n]
    end)
    assert.is_number(tok:id "ab")
    assert.matches("wordpiece_spec.lua:%d+: wordpiece.train: size is 6, but characters and special "
      .. "tokens are 9; give more",
      (select(2, pcall(function() wordpiece.train("aa bb aa bb", {size = 6}) end))))
    assert.matches("wordpiece.train: the text must be a string, got 5",
      (select(2, pcall(function() wordpiece.train(5) end))))
  end)
end)

describe("wordpiece: files", function()
  local folder
  before_each(function() folder = files.folder() end)
  after_each(function() files.remove(folder) end)

  it("are read as they were written, the case included", function()
    for _, lower in ipairs {true, false} do
      local tok = wordpiece.new(with {"a", "É"}, {lower = lower})
      tok:save(folder)
      local again = wordpiece.load(folder)
      assert.same(tok.tokens, again.tokens)
      assert.equal(lower, again.lower)
      assert.is_true(wordpiece.load(folder .. "/vocab.txt").lower)
      assert.is_true(wordpiece.load(folder, {lower = true}).lower)
    end
    files.write(folder .. "/vocab.txt", "[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\nx\r\n")
    assert.equal(5, wordpiece.load(folder):id "x")
  end)

  it("are refused in one sentence that says what is wrong", function()
    local function refused(text, content)
      files.write(folder .. "/vocab.txt", content)
      local tok, message = wordpiece.read(folder)
      assert.is_nil(tok)
      assert.matches("^wordpiece.read: " .. folder:gsub("%p", "%%%0") .. "/vocab.txt: " .. text,
        message)
      local ok, raised = pcall(function() wordpiece.load(folder) end)
      assert.is_false(ok)
      assert.matches("wordpiece_spec.lua:%d+: wordpiece.load: .*" .. text, raised)
    end
    refused("there is no token %[%u+%]$", "")
    refused("there is no token %[SEP%]$", "[PAD]\n[UNK]\n[CLS]\n")
    refused('"a" is listed twice, as 4 and 6, counted from 0$',
      table.concat({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "a"}, "\n"))
    refused("token 1, counted from 0, is empty$", "[PAD]\n\n[UNK]\n[CLS]\n[SEP]\n")
    files.write(folder .. "/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n")
    files.write(folder .. "/tokenizer_config.json", "{")
    assert.matches("^wordpiece.read: .*tokenizer_config.json: json.decode: ",
      (select(2, wordpiece.read(folder))))
    assert.matches("wordpiece.read: the vocabulary must be a folder or a vocab.txt, got 5$",
      (select(2, pcall(wordpiece.read, 5))))
  end)
end)
