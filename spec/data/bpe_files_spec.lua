-- Files of tokenizers: every layout that is read, what is written, and what is refused, and how.
local equi = require "lua_equi"
local files = require "spec.support.files"

local bpe, json = equi.data.bpe, equi.json
local GOOD = "spec/support/tokenizers/"

describe("bpe: files", function()
  local folder, vocab, merges, tokenizer
  before_each(function()
    folder = files.folder()
    vocab, merges = assert(json.read(GOOD .. "vocab.json")), files.read(GOOD .. "merges.txt")
    tokenizer = assert(json.read(GOOD .. "tokenizer.json"))
  end)
  after_each(function() files.remove(folder) end)

  local function write(name, content)
    if type(content) == "table" then content = json.encode(content) end
    files.write(folder .. "/" .. name, content)
  end

  local function write_pair()
    write("vocab.json", vocab)
    write("merges.txt", merges)
  end

  local function same(a, b)
    assert.same(a.tokens, b.tokens)
    assert.same(a.merges, b.merges)
    assert.same(a.special, b.special)
  end

  it("are read in every layout, to the same tokenizer", function()
    local tok = bpe.load(GOOD)
    assert.equal(280, #tok)
    same(tok, bpe.load(GOOD .. "tokenizer.json"))
    same(tok, bpe.load {vocab = GOOD .. "vocab.json", merges = GOOD .. "merges.txt"})
    write("encoder.json", vocab)
    write("vocab.bpe", merges)
    same(tok, bpe.load(folder))
    files.remove(folder .. "/vocab.bpe")
    files.remove(folder .. "/encoder.json")
    for i, merge in ipairs(tokenizer.model.merges) do
      tokenizer.model.merges[i] = json.array {merge:match "^(%S+) (%S+)$"}
    end
    write("tokenizer.json", tokenizer)
    same(tok, bpe.load(folder))
    write("merges.txt", merges:gsub("^#version[^\n]*\n", ""):gsub("\n", "\r\n") .. "\r\n\r\n")
    write("vocab.json", vocab)
    same(tok, bpe.load(folder))
  end)

  it("are read back as they were written", function()
    local tok = bpe.train("“naïve” 你好 \0\1\"\\ \r\n the the", {size = 300, min_count = 1,
      special = {"<|endoftext|>", "<é>"}})
    tok:save(folder)
    local again = bpe.load(folder)
    same(tok, again)
    local text = "“naïve” \xFF<é>"
    assert.same(tok:encode(text, {special = true}), again:encode(text, {special = true}))
    assert.equal(text, again:decode(again:encode(text, {special = true})))
  end)

  it("may add tokens, which are special", function()
    write_pair()
    write("added_tokens.json", {["<pad>"] = 280, ["<sep>"] = 281})
    local tok = bpe.load(folder)
    assert.equal(282, #tok)
    assert.same({281, 282}, tok:encode("<pad><sep>", {special = true}))
    assert.equal(5, #tok:encode "<pad>")
    table.insert(tokenizer.added_tokens, {id = 280, content = "<pad>", special = true})
    write("tokenizer.json", tokenizer)
    assert.same({281}, bpe.load(folder .. "/tokenizer.json"):encode("<pad>", {special = true}))
  end)

  it("may ask for a space in front", function()
    tokenizer.pre_tokenizer.add_prefix_space = true
    write("tokenizer.json", tokenizer)
    local tok = bpe.load(folder)
    assert.equal(" the", tok:decode(tok:encode "the"))
    assert.equal(" the", tok:decode(tok:encode " the"))
    assert.equal("", tok:decode(tok:encode ""))
  end)

  it("lead to one sentence when they are not there", function()
    local function refused(text, source)
      local tok, message = bpe.read(source)
      assert.is_nil(tok)
      assert.matches("^bpe.read: ", message)
      assert.matches(text, message)
      local ok, raised = pcall(function() bpe.load(source) end)
      assert.is_false(ok)
      assert.matches("bpe_files_spec.lua:%d+: bpe.load: .*" .. text, raised)
    end
    refused("has no tokenizer; vocab.json with merges.txt, encoder.json with vocab.bpe, or "
      .. "tokenizer.json is needed$", folder)
    refused("no/such/tokenizer.json: No such file or directory$", "no/such/tokenizer.json")
    write("vocab.json", vocab)
    refused("has vocab.json but no merges.txt$", folder)
    refused("merges.txt: No such file or directory$",
      {vocab = folder .. "/vocab.json", merges = folder .. "/merges.txt"})
    assert.matches("bpe.load: the tokenizer must be a folder, a tokenizer.json or .* got 5$",
      (select(2, pcall(bpe.load, 5))))
    assert.matches("bpe.load: give {vocab = path, merges = path}$",
      (select(2, pcall(bpe.load, {vocab = "x"}))))
    assert.matches('bpe.load: no option "merge"; options are merges, vocab',
      (select(2, pcall(bpe.load, {vocab = "x", merge = "y"}))))
  end)

  describe("are refused", function()
    local function refused(text)
      local tok, message = bpe.read(folder)
      assert.is_nil(tok)
      assert.matches("^bpe.read: " .. folder:gsub("%p", "%%%0") .. "/" .. text, message)
    end

    it("without a byte", function()
      vocab["Ġ"], vocab["zzz"] = nil, vocab["Ġ"]
      write_pair()
      refused 'vocab.json: no token is the byte 0x20 %(written "Ġ"%); every byte needs one$'
    end)

    it("with ids that come twice, are missing, or are none", function()
      vocab["the cat"] = 5
      write_pair()
      refused 'vocab.json: ".-" and ".-" have the same id 5$'
      vocab["the cat"] = 300
      write_pair()
      refused "vocab.json: no token has the id 280; the ids of 281 tokens are 0 to 280$"
      for _, bad in ipairs {-1, 1.5, "7", json.null, {}} do
        vocab["the cat"] = bad
        write_pair()
        refused 'vocab.json: the id of "the cat" is ".-"; ids are whole numbers from 0$'
      end
    end)

    it("with a token that comes twice", function()
      write_pair()
      write("vocab.json", (json.encode(vocab):gsub("^{", '{"a": 5, ')))
      refused 'vocab.json: .*key "a" twice at byte %d+$'
    end)

    it("with merges of what is not in the vocabulary, named", function()
      merges = merges .. "q z\n"
      write_pair()
      refused 'merges.txt: merge 24, "q" with "z": "qz" is not in the vocabulary$'
      merges = merges:gsub("q z", "qqq z")
      write_pair()
      refused 'merges.txt: merge 24, "qqq" with "z": "qqq" is not in the vocabulary$'
      merges = merges:gsub("qqq z", "qqqz")
      write_pair()
      refused 'merges.txt: merge 24, "qqqz", is not two tokens parted by a space$'
    end)

    it("when they are cut off or something else", function()
      write_pair()
      write("vocab.json", files.read(GOOD .. "vocab.json"):sub(1, 500))
      refused "vocab.json: json.decode: .* at byte %d+$"
      write("vocab.json", "[1, 2]")
      refused "vocab.json: vocab.json is no object of tokens and their ids$"
      write("vocab.json", "null")
      refused "vocab.json: vocab.json is no object of tokens and their ids$"
      write("vocab.json", ("["):rep(100000))
      refused "vocab.json: json.decode: nested deeper than 32 at byte 33$"
      write("vocab.json", "{}")
      refused "vocab.json: no token is the byte 0x00"
    end)

    it("when merges are cut at the end of a line, or none", function()
      local lines = {}
      for line in merges:gmatch "[^\n]+\n" do lines[#lines + 1] = line end
      for n = 0, #lines - 1 do
        local last = table.concat(lines, "", 1, n)
        if lines[n + 1]:find "^\u{120}" then
          merges = last
          write_pair()
          refused 'vocab.json: no merge makes "\u{120}.*the merges are cut or another'
        end
      end
    end)

    it("with added tokens that contradict", function()
      write_pair()
      write("added_tokens.json", {a = 280})
      refused 'added_tokens.json: "a" has the id %d+ and, as an added token, "280"$'
      write("added_tokens.json", {[""] = 280})
      refused "vocab.json: the token with the id 280 is empty$"
    end)

    it("as tokenizer.json, when it is not GPT-2's kind", function()
      local function change(text, f)
        local copy = assert(json.read(GOOD .. "tokenizer.json"))
        f(copy)
        write("tokenizer.json", copy)
        refused("tokenizer.json: " .. text)
      end
      change('its model is "WordPiece"; BPE can be read$',
        function(t) t.model.type = "WordPiece" end)
      change('its model is "missing"; BPE can be read$', function(t) t.model = nil end)
      change('its model has end_of_word_suffix = "</w>"; GPT%-2\'s has none$',
        function(t) t.model.end_of_word_suffix = "</w>" end)
      change("its model has no list of merges$", function(t) t.model.merges = nil end)
      change("model.vocab is no object", function(t) t.model.vocab = nil end)
      change("merge 3 is neither a text nor two of them$", function(t) t.model.merges[3] = 5 end)
      change("it normalises; GPT%-2's does not$", function(t) t.normalizer = {type = "NFC"} end)
      change('its pre_tokenizer is "Whitespace"; GPT%-2\'s',
        function(t) t.pre_tokenizer.type = "Whitespace" end)
      change('its pre_tokenizer is "missing"', function(t) t.pre_tokenizer = nil end)
      change("added_tokens is no list$", function(t) t.added_tokens = "x" end)
      change("added token 1 has no content$", function(t) t.added_tokens[1].content = nil end)
      change('the id of "<|endoftext|>" is', function(t)
        t.added_tokens[1].id, t.model.vocab["<|endoftext|>"] = 1.5, nil
      end)
      write("tokenizer.json", "5")
      refused "tokenizer.json: it is no object$"
    end)
  end)
end)
