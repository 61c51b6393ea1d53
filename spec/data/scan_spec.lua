local scan = require "lua_equi.data.scan"
local vocabulary = require "lua_equi.data.vocabulary"

local DATA = "../shared/data/scan/"

local function present(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

local function official(name)
  if not present(DATA .. name) then pending("SCAN: " .. DATA .. name .. " is absent") end
  return assert(scan.read(DATA .. name))
end

-- Lines with their counts, so that files compare as multisets.
local function counted(list)
  local counts = {}
  for _, pair in ipairs(list) do
    local line = scan.line(pair)
    counts[line] = (counts[line] or 0) + 1
  end
  return counts
end

local function same_lines(expected, got)
  assert.equal(#expected, #got)
  local a, b = counted(expected), counted(got)
  for line, n in pairs(a) do
    if b[line] ~= n then assert.equal(n, b[line], line) end
  end
end

describe("scan.generate and interpret #words", function()
  it("are the official tasks.txt, line for line", function()
    same_lines(official "tasks.txt.gz", scan.generate())
  end)

  it("agree on all commands", function()
    local list, lengths = scan.generate(), {}
    assert.equal(20910, #list)
    for _, pair in ipairs(list) do
      local n = select(2, pair.output:gsub("%S+", ""))
      lengths[n] = true
      if scan.interpret(pair.input) ~= pair.output then error(pair.input) end
    end
    assert.is_true(lengths[1] and lengths[48] and not lengths[49])
  end)

  it("say which word does not fit", function()
    local function refused(command, word)
      local value, problem = scan.interpret(command)
      assert.is_nil(value)
      assert.equal(('scan.interpret: no such command: "%s"; %s'):format(command, word), problem)
    end
    refused("jump high", '"high" is the first word that does not fit')
    refused("jump and run and walk", '"and" is the first word that does not fit')
    refused("and jump", '"and" is the first word that does not fit')
    refused("jump and hop", '"hop" is the first word that does not fit')
    refused("turn", "it is not complete, or not words with one space between")
    refused("", "it is not complete, or not words with one space between")
    refused("jump  twice", "it is not complete, or not words with one space between")
    assert.error_matches(function() scan.interpret(1) end,
      "the command must be a text, got a number")
  end)

  it("hand out lists that may be changed", function()
    scan.generate()[1] = nil
    assert.equal("walk", scan.generate()[1].input)
  end)
end)

describe("scan.split #words", function()
  local files = {
    length = "length_split/tasks_%s_length",
    add_jump = "add_prim_split/tasks_%s_addprim_jump",
    add_turn_left = "add_prim_split/tasks_%s_addprim_turn_left",
    around_right = "template_split/tasks_%s_template_around_right",
    opposite_right = "template_split/tasks_%s_template_opposite_right",
    right = "template_split/tasks_%s_template_right",
    jump_around_right = "template_split/tasks_%s_template_jump_around_right",
  }
  for name, path in pairs(files) do
    it(name .. " is the official one, repetitions included", function()
      local train, test = scan.split(name)
      same_lines(official(path:format "train" .. ".txt.gz"), train)
      same_lines(official(path:format "test" .. ".txt.gz"), test)
    end)
  end

  it("simple has the official sizes, follows the seed and loses nothing", function()
    local train, test = scan.split("simple", {seed = 4})
    assert.equal(16728, #train)
    assert.equal(4182, #test)
    same_lines(scan.generate(), table.move(test, 1, #test, #train + 1, {table.unpack(train)}))
    assert.equal(train[1], scan.split("simple", {seed = 4})[1])
    assert.not_equal(train[1], scan.split("simple", {seed = 5})[1])
  end)

  it("refuses unknown names, listing the splits", function()
    assert.error_matches(function() scan.split "jump" end,
      'scan.split: no split "jump"; splits are simple, length, add_jump, add_turn_left')
    assert.error_matches(function() scan.split("simple", {sed = 1}) end,
      'scan.split: no option "sed"; options are seed')
    for _, name in ipairs(scan.splits) do assert.is_true(#scan.split(name) > 0) end
  end)
end)

describe("scan.holdout #words", function()
  it("divides by the seed", function()
    local list = (scan.split "add_jump")
    local train, validation = scan.holdout(list, {seed = 1})
    assert.equal(2934, #validation)
    same_lines(list, table.move(validation, 1, #validation, #train + 1, {table.unpack(train)}))
    assert.equal(train[7], scan.holdout(list, {seed = 1})[7])
    assert.equal(14670, #scan.split "add_jump")
    assert.error_matches(function() scan.holdout(list, {fraction = 1.0}) end,
      "scan.holdout: fraction must be at least 0 and below 1, got 1.0")
  end)
end)

describe("scan.read", function()
  local function with_file(text, suffix, run)
    local path = os.tmpname()
    os.remove(path)
    path = path .. "'s file" .. suffix
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
    run(path)
    os.remove(path)
  end

  it("reads plain files, with either line ending and without the last one", function()
    with_file("IN: jump OUT: I_JUMP\r\nIN: turn left OUT: I_TURN_LEFT", ".txt", function(path)
      assert.same({{input = "jump", output = "JUMP"},
        {input = "turn left", output = "TURN_LEFT"}}, scan.read(path))
    end)
  end)

  it("refuses malformed lines with their number", function()
    local good = "IN: jump OUT: I_JUMP\n"
    for _, bad in ipairs {"", "IN: jump", "jump OUT: I_JUMP", "IN:  OUT: I_JUMP", "IN: jump OUT: ",
      "IN: jump OUT: JUMP", "IN: jump OUT: I_JUMP RUN", "IN: jump  twice OUT: I_JUMP",
      "IN: JUMP OUT: I_JUMP", "IN: jump OUT: I_JUMP ", "\0"} do
      with_file(good .. bad .. "\n" .. good, ".txt", function(path)
        local list, problem = scan.read(path)
        assert.is_nil(list)
        assert.equal(('scan.read: %s: line 2 is %q, not "IN: words OUT: I_ACTIONS"'):format(path,
          bad), problem)
      end)
    end
    with_file("", ".txt", function(path)
      assert.equal("scan.read: " .. path .. ": no lines", select(2, scan.read(path)))
    end)
  end)

  it("says why a .gz file cannot be unpacked", function()
    with_file("not gzip", ".gz", function(path)
      assert.equal("scan.read: " .. path .. ": gzip refuses it: not a .gz file, or cut off",
        select(2, scan.read(path)))
    end)
    assert.equal("scan.read: no/such.gz: No such file or directory",
      select(2, scan.read "no/such.gz"))
    assert.matches("scan.read: spec: ", (select(2, scan.read "spec")))
  end)

  it("unpacks through scan.gunzip, which may be replaced", function()
    local kept = scan.gunzip
    finally(function() scan.gunzip = kept end)
    scan.gunzip = function() return "IN: walk OUT: I_WALK\n" end
    assert.equal("WALK", scan.read("any.gz")[1].output)
  end)
end)

describe("symmetries of SCAN #words", function()
  local function holds(g)
    for _, pair in ipairs(scan.generate()) do
      local meant = scan.interpret(scan.apply(g.input, pair.input))
      if meant ~= scan.apply(g.output, pair.output) then error(pair.input) end
    end
  end

  it("hold on all 20,910 commands, for every generator", function()
    local done = {} -- the groups share their generators
    for _, symmetry in pairs(scan.symmetries) do
      for _, g in ipairs(symmetry.generators) do
        if not done[g] then holds(g) end
        done[g] = true
      end
    end
    for i, a in ipairs(scan.verbs) do
      for j = i + 1, 4 do
        holds(scan.swap(a, scan.verbs[j]))
      end
    end
  end)

  it("have the orders they state", function()
    local input, output = scan.vocabularies()
    for name, symmetry in pairs(scan.symmetries) do
      for _, side in ipairs {{"input", input}, {"output", output}} do
        local one = side[2]:permutation {}
        local seen, queue = {[table.concat(one, " ")] = true}, {one}
        for _, p in ipairs(queue) do
          for _, g in ipairs(symmetry.generators) do
            local q, product = side[2]:permutation(g[side[1]]), {}
            for i = 1, #p do product[i] = q[p[i]] end
            local key = table.concat(product, " ")
            if not seen[key] then
              seen[key] = true
              queue[#queue + 1] = product
            end
          end
        end
        assert.equal(symmetry.order, #queue, name)
      end
    end
  end)

  it("refuse what is no symmetry, naming the words", function()
    assert.error_matches(function() scan.swap("jump", "left") end,
      'scan.rename: ".-" cannot become ".-"; verbs are walk, look, run, jump, directions left')
    assert.error_matches(function() scan.rename {jump = "hop"} end, '"jump" cannot become "hop"')
    assert.error_matches(function() scan.rename {jump = "run"} end,
      'scan.rename: not one to one: nothing becomes "jump"')
  end)
end)

describe("vocabularies #words", function()
  it("are fixed for the whole set and reversible", function()
    local input, output = scan.vocabularies()
    assert.equal(15, #input)
    assert.equal(8, #output)
    assert.same({"SOS", "EOS", "walk", "twice"}, table.move(input.words, 1, 4, 1, {}))
    for _, pair in ipairs {scan.generate()[1], scan.generate()[20910]} do
      local ids = output:encode(pair.output)
      assert.equal(vocabulary.EOS, ids[#ids])
      assert.equal(pair.output, output:decode(ids))
    end
    assert.same({3}, input:encode("walk", {eos = false}))
    assert.same({2}, input:encode "")
    assert.equal("walk", input:decode {3, 2, 4})
    assert.equal("vocabulary of 3: SOS EOS a", tostring(vocabulary.from_texts {"a a"}))
  end)

  it("read from a file line up with the rows of the reference checkpoint", function()
    local path = "../shared/data/scan-rnn/vocabulary.json"
    if not present(path) then pending("SCAN vocabulary: " .. path .. " is absent") end
    local input, output = vocabulary.read(path)
    assert.equal(15, #input)
    assert.equal(3, input.ids.jump)
    assert.equal(8, output.ids.LOOK)
    local train = official "simple_split/tasks_train_simple.txt.gz"
    local a, b = scan.vocabularies(train)
    assert.same(input.words, a.words)
    assert.same(output.words, b.words)
  end)

  it("refuse malformed files", function()
    local path = os.tmpname()
    local function refused(text, message)
      local file = assert(io.open(path, "w"))
      file:write(text)
      file:close()
      local v, problem = vocabulary.read(path)
      assert.is_nil(v)
      assert.equal(message:gsub("PATH", path), problem)
    end
    local lists = 'vocabulary.read: PATH: no list "%s"; an object of the lists "input" and '
      .. '"output" is needed'
    refused("[]", lists:format "input")
    refused("7", lists:format "input")
    refused('{"input": ["SOS", "EOS"], "output": {}}', lists:format "output")
    refused('{"input": ["a"]}',
      "vocabulary.read: PATH: input: words must begin with SOS, EOS, got a, nil")
    refused('{"input": ["SOS", "EOS", "a", "a"]}',
      'vocabulary.read: PATH: input: word "a" twice, at 3 and 4')
    refused('{"input": ["SOS", "EOS", "a b"]}',
      'vocabulary.read: PATH: input: word 3 must be a text without spaces, got "a b"')
    refused("{", "PATH: json.decode: expected a quoted key, got the end at byte 2")
    os.remove(path)
  end)

  it("name unknown words and ids", function()
    local v = vocabulary.new {"SOS", "EOS", "jump", "run"}
    local function refused(message, f) assert.error_matches(f, message, 1, true) end
    refused('encode: unknown word "jmp" in "jmp run"; words are jump run; did you mean "jump"?',
      function() v:encode "jmp run" end)
    refused("decode: id 9 at place 2; ids are 1 to 4", function() v:decode {3, 9} end)
    refused('permutation: unknown word "hop"; words are SOS EOS jump run',
      function() v:permutation {jump = "hop"} end)
    refused('permutation: unknown word "hop"; words are SOS EOS jump run',
      function() v:permutation {hop = "jump"} end)
    refused('permutation: not one to one: "jump" and "run" both become "run"',
      function() v:permutation {jump = "run"} end)
    refused("vocabulary.new: words must be a list, got a nil", function() vocabulary.new() end)
  end)
end)
