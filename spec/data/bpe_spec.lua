-- Byte-level BPE against Python's regex module, a naive encoder and trainer, and GPT-2's own ids.
local equi = require "lua_equi"
local files = require "spec.support.files"
local naive = require "spec.support.naive_bpe"
local vectors = require "spec.support.bpe_vectors"

local bpe = equi.data.bpe
local SHARED = "../shared/data/"

local NAMES = {l = "letter", n = "number", s = "space", o = "other"}

-- The kind of a code point by the vectors, not by the library's table.
local function class_of(code)
  local kinds = vectors.kinds
  local low, high = 1, #kinds // 2 + 1
  while high - low > 1 do
    local middle = (low + high) // 2
    if kinds[2 * middle - 1] <= code then low = middle else high = middle end
  end
  return NAMES[kinds[2 * low]]
end

local function counted(words)
  local counts = {}
  for _, word in ipairs(words) do counts[word] = (counts[word] or 0) + 1 end
  return counts
end

local function count_words(text)
  local counts = {}
  equi.core.count_words(text, counts)
  return counts
end

-- Texts of all vectors, one after the other: some 5 KB of everything.
local function all_text()
  local parts = {}
  for i, words in ipairs(vectors.words) do parts[i] = table.concat(words) end
  return table.concat(parts, "\n")
end

local function random_bytes(n, from, to)
  local list = {}
  for i = 1, n do list[i] = string.char(math.random(from or 0, to or 255)) end
  return table.concat(list)
end

local function bytes_of(tok, ids)
  local list = {}
  for i, id in ipairs(ids) do list[i] = tok:token(id) end
  return list
end

local function unzipped(name)
  if not files.exists(SHARED .. name) then return nil end
  return files.shell("gzip -dc " .. SHARED .. name)
end

describe("bpe: splitting", function()
  it("is that of Python's regex module", function()
    for _, words in ipairs(vectors.words) do
      assert.same(counted(words), count_words(table.concat(words)))
    end
  end)

  it("the naive splitter agrees, in order", function()
    for _, words in ipairs(vectors.words) do
      assert.same(words, naive.words(table.concat(words), class_of))
    end
  end)

  it("knows letters, numbers and spaces of all of Unicode", function()
    local friend = {letter = "a", number = "1", other = "!"}
    for i = 1, #vectors.kinds, 2 do
      local first = vectors.kinds[i]
      local last = (vectors.kinds[i + 2] or 0x110000) - 1
      for _, code in ipairs {first, (first + last) // 2, last} do
        if code < 0xD800 or code > 0xDFFF then
          local kind, found = NAMES[vectors.kinds[i + 1]], "space"
          for name, mate in pairs(friend) do
            if count_words(mate .. utf8.char(code))[mate .. utf8.char(code)] then found = name end
          end
          assert(kind == found, ("U+%04X is a %s, not a %s"):format(code, kind, found))
        end
      end
    end
  end)

  it("takes a byte that is not UTF-8 as a character of its own, no letter", function()
    for _, bad in ipairs {"\x80", "\xFF", "\xC3", "\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80",
      "\xF4\x90\x80\x80", "\xF0\x8F\xBF\xBF", "\xF5\x80\x80\x80", "\xE4\xBD", "\xF0\x9F\x98"} do
      assert.same({a = 1, [bad .. "!"] = 1, b = 1}, count_words("a" .. bad .. "!b"))
      assert.same({a = 1, [" " .. bad] = 1, ["é"] = 1}, count_words("a " .. bad .. "é"))
    end
    math.randomseed(3)
    for _ = 1, 300 do
      local text = random_bytes(math.random(0, 60))
      assert.same(counted(naive.words(text, class_of)), count_words(text))
    end
  end)
end)

describe("bpe: encoding", function()
  local tok = bpe.train(all_text():rep(2), {size = 700})
  local ranks = naive.ranks(tok)

  local function check(text)
    local ids = tok:encode(text)
    assert.same(naive.encode(text, class_of, ranks), bytes_of(tok, ids))
    assert.equal(text, tok:decode(ids))
  end

  it("is that of the naive encoder, and decoding gives the text back", function()
    check ""
    check(all_text())
    for _, words in ipairs(vectors.words) do check(table.concat(words)) end
  end)

  it("is exact for words of every length, through the list and through the heap", function()
    for _, unit in ipairs {"a", "ab", "the", "é", "=-", "\xF0\x9F", "0"} do
      for _, n in ipairs {1, 30, 31, 32, 33, 63, 64, 65, 66, 130, 301} do check(unit:rep(n)) end
    end
    math.randomseed(5)
    for _ = 1, 200 do
      local list = {}
      for i = 1, math.random(1, 200) do list[i] = ("aeinorst"):sub(math.random(8)):sub(1, 1) end
      check(table.concat(list))
    end
  end)

  it("takes any bytes", function()
    math.randomseed(7)
    for _ = 1, 200 do check(random_bytes(math.random(0, 200))) end
    check(random_bytes(5000, 128, 255))
  end)

  it("takes a word of 200,000 bytes in little time", function()
    for _, text in ipairs {("a"):rep(200000), ("ab"):rep(100000), ("\xFF"):rep(200000)} do
      assert.equal(text, tok:decode(tok:encode(text)))
    end
  end)

  it("gives the same ids whatever was encoded before", function()
    local text, fresh = all_text(), {}
    for i = 1, 40 do
      math.randomseed(i)
      tok:encode((random_bytes(3000, 97, 122):gsub("[xyz]", " ")))
      fresh[i] = table.concat(tok:encode(text), " ")
      assert.equal(fresh[1], fresh[i])
    end
  end)

  it("counts ids from 1, or from 0 as files do", function()
    local from_one, from_zero = tok:encode "the thing", tok:encode("the thing", {base = 0})
    for i, id in ipairs(from_one) do assert.equal(id - 1, from_zero[i]) end
    assert.equal("the thing", tok:decode(from_zero, {base = 0}))
    assert.equal("the thing", tok:decode(equi.tensor(from_one, {dtype = "i64"})))
    assert.equal("!", tok:decode({0}, {base = 0}))
  end)

  it("knows special tokens only when asked to", function()
    local two = bpe.train("", {size = 258, special = {"<|a|>", "<|a|><|b|>"}})
    assert.equal(5, #two:encode "<|a|>")
    assert.same({257}, two:encode("<|a|>", {special = true}))
    assert.same({258, 257, 67, 257}, two:encode("<|a|><|b|><|a|>c<|a|>", {special = true}))
    assert.same({257, 28}, two:encode("<|a|><", {special = true}))
    assert.equal("x<|a|>y", two:decode(two:encode("x<|a|>y", {special = true})))
    assert.is_nil(two.eot)
    assert.same({699, 699}, tok:encode("<|endoftext|><|endoftext|>", {special = true, base = 0}))
    assert.equal(#tok, tok.eot)
  end)

  it("splits what lies between special tokens by itself", function()
    local spaced = bpe.train("  ", {size = 258, min_count = 1})
    assert.same({257, 258}, spaced:encode("  <|endoftext|>", {special = true}))
  end)

  it("names tokens and ids", function()
    for id = 1, #tok do assert.equal(id, tok:id(tok:token(id))) end
    assert.is_nil(tok:id "no such token at all")
    assert.matches("^byte%-level BPE of 700 tokens: 256 bytes, 443 merges", tostring(tok))
  end)

  it("makes batches padded at either side", function()
    local small = bpe.train("", {size = 257})
    local ids, mask = small:batch {"ab", "", "c"}
    assert.same({{65, 66}, {257, 257}, {67, 257}}, ids:totable())
    assert.same({{true, true}, {false, false}, {true, false}}, mask:totable())
    ids, mask = small:batch({"ab", "c"}, {side = "left"})
    assert.same({{65, 66}, {257, 67}}, ids:totable())
    assert.same({{true, true}, {false, true}}, mask:totable())
    ids, mask = small:batch {"", ""}
    assert.same({2, 0}, ids.shape)
    assert.equal("bool", mask.dtype)
  end)

  it("refuses what it cannot take, in one sentence at the caller's line", function()
    local here = "bpe_spec.lua:%d+: "
    local function refuses(text, f, ...)
      local ok, message = pcall(f, ...)
      assert.is_false(ok)
      assert.matches(here .. text, message)
    end
    refuses("encode: the text must be a string, got 5", function() tok:encode(5) end)
    refuses("encode: base must be 0, for the ids of files, or 1, got 2", function()
      tok:encode("a", {base = 2})
    end)
    refuses('encode: no option "specials"', function() tok:encode("a", {specials = true}) end)
    refuses("decode: id 701 at place 2; ids are 1 to 700", function() tok:decode {1, 701} end)
    refuses("decode: id 0 at place 1; ids are 1 to 700", function() tok:decode {0} end)
    refuses("decode: id 700 at place 1; ids are 0 to 699", function()
      tok:decode({700}, {base = 0})
    end)
    refuses("decode: id 1.5 at place 1", function() tok:decode {1.5} end)
    refuses("decode: the ids must be a list or an i64 tensor of one dim, got a tensor f32 2 x 2",
      function() tok:decode(equi.zeros(2, 2)) end)
    refuses("token: id 701; ids are 1 to 700", function() tok:token(701) end)
    refuses('batch: side must be one of right, left, got "up"', function()
      tok:batch({"a"}, {side = "up"})
    end)
    refuses("batch: text 2 must be a string, got 3", function() tok:batch {"a", 3} end)
    refuses("batch: needs a list of texts, got none", function() tok:batch {} end)
    refuses("bpe.train: size must be a whole number of at least 257, got 200", function()
      bpe.train("a", {size = 200})
    end)
    refuses("bpe.train: the text must be a string or a function", function() bpe.train {} end)
    refuses('bpe.train: special "the" is also what the text taught; choose another', function()
      bpe.train("the the", {special = {"the"}})
    end)
    refuses("bpe.train: special must list different texts", function()
      bpe.train("a", {special = {"<a>", "<a>"}})
    end)
  end)
end)

describe("bpe: training", function()
  -- Counts everything anew before each merge.
  local function naive_merges(text, tok, size)
    local words, ids = {}, {}
    for word, n in pairs(count_words(text)) do
      words[#words + 1] = {n = n, parts = naive.merge(word, {})}
    end
    for id = 1, 256 do ids[tok:token(id)] = id end
    local made = {}
    while 256 + #made < size do
      local counts, best = {}, nil
      for _, word in ipairs(words) do
        for k = 1, #word.parts - 1 do
          local key = ids[word.parts[k]] << 32 | ids[word.parts[k + 1]]
          counts[key] = (counts[key] or 0) + word.n
        end
      end
      for key, n in pairs(counts) do
        if n >= 2 and (not best or n > counts[best] or n == counts[best] and key < best) then
          best = key
        end
      end
      if not best then break end
      local left, right = tok:token(best >> 32), tok:token(best & 0xFFFFFFFF)
      made[#made + 1] = left .. "|" .. right
      ids[left .. right] = 256 + #made
      for _, word in ipairs(words) do
        local k = 1
        while k < #word.parts do
          if word.parts[k] == left and word.parts[k + 1] == right then
            word.parts[k] = left .. table.remove(word.parts, k + 1)
          end
          k = k + 1
        end
      end
    end
    return made
  end

  local function merges_of(tok)
    local list = {}
    for i = 1, #tok.merges, 3 do
      list[#list + 1] = tok:token(tok.merges[i] + 1) .. "|" .. tok:token(tok.merges[i + 1] + 1)
    end
    return list
  end

  it("gives the merges of a trainer that counts everything anew", function()
    local texts = {all_text(), ("aaaa aaa aa aaaaaaa baba abab "):rep(3), "abcabcabc", ""}
    for _, text in ipairs(texts) do
      local tok = bpe.train(text, {size = 420})
      assert.same(naive_merges(text, tok, 419), merges_of(tok))
    end
  end)

  it("takes parts from a function, each split by itself", function()
    local parts = {"low low", " lower", "est lowest"}
    local n = 0
    local tok = bpe.train(function()
      n = n + 1
      return parts[n]
    end, {size = 300, min_count = 1})
    assert.is_nil(tok:id " lowerest")
    assert.is_number(tok:id " lowest")
  end)

  it("puts special tokens behind the others, and stops where nothing is frequent", function()
    local tok = bpe.train("ab ab cd", {size = 1000, special = {"<s>", "<pad>"}})
    assert.same({258, 259}, {tok:id "<s>", tok:id "<pad>"}) -- "ab" alone comes twice
    assert.equal(259, #tok)
  end)
end)

describe("bpe: GPT-2's vocabulary", function()
  local gpt2 = files.exists(SHARED .. "gpt2-bpe/encoder.json") and bpe.load(SHARED .. "gpt2-bpe")

  it("has 50,257 tokens", function()
    if not gpt2 then return pending "bpe, GPT-2: ../shared/data/gpt2-bpe is absent" end
    assert.equal(50257, #gpt2)
    assert.equal(50257, gpt2.eot)
    assert.same({"<|endoftext|>"}, gpt2.specials)
    assert.equal(" the", gpt2:token(263))
  end)

  -- Each line, an empty one as nothing, joined by two newlines: Hugging Face's perplexity guide.
  local function joined(raw)
    local lines = {}
    for line in raw:gmatch "[^\n]*\n" do
      lines[#lines + 1] = line:find "^%s*\n$" and "" or line
    end
    return table.concat(lines, "\n\n")
  end

  for name, prepare in pairs {raw = function(text) return text end, joined = joined} do
    it("gives the ids of WikiText-2's test part, " .. name, function()
      local raw = unzipped "wikitext-2/wiki.test.raw.gz"
      if not raw or not gpt2 then
        return pending "bpe, WikiText-2: ../shared/data/wikitext-2 is absent"
      end
      local wanted = unzipped("wikitext-2/wiki.test." .. name .. ".gpt2.u16.gz")
      local text = prepare(raw)
      local ids = gpt2:encode(text, {base = 0})
      assert.equal(name == "raw" and 286221 or 287644, #ids)
      for i, id in ipairs(ids) do
        if id ~= string.unpack("<I2", wanted, 2 * i - 1) then error("id " .. i .. " differs") end
      end
      assert.is_true(gpt2:decode(ids, {base = 0}) == text)
    end)
  end
end)
