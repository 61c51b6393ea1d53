--- Tokenizers: megabytes of text a second, encoded and decoded, on one thread; and the time that
--- training a vocabulary takes.
--
-- The text is one of our own, with a vocabulary learnt from it; where ../shared/data has them,
-- WikiText-2's test part with GPT-2's vocabulary, too.
local equi = require "lua_equi"
local measure = require "measure"

local SHARED = "../shared/data/"

local function unzipped(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  file:close()
  local pipe = assert(io.popen("gzip -dc " .. measure.quote(path)))
  local text = pipe:read "a"
  pipe:close()
  return text
end

-- Words spelt at random are met once each, so nothing is remembered of them.
local function rare_words(bytes)
  local rng, list, n = equi.data.random.new(1), {}, 0
  while n < bytes do
    local word = {}
    for i = 1, 4 + rng:integer(8) do word[i] = string.char(96 + rng:integer(26)) end
    list[#list + 1] = table.concat(word)
    n = n + #word + 1
  end
  return table.concat(list, " ")
end

local function cases(ctx)
  local bytes = ctx.tiny and 20000 or 1000000
  local story = equi.data.people.text {bytes = bytes}
  local own = equi.data.bpe.train(story, {size = ctx.tiny and 300 or 8000})
  local list = {{"own text, own vocabulary", own, story},
                {"words met once, own vocabulary", own, rare_words(bytes)}}
  local wiki = not ctx.tiny and unzipped(SHARED .. "wikitext-2/wiki.test.raw.gz")
  local gpt2 = wiki and equi.data.bpe.read(SHARED .. "gpt2-bpe")
  if gpt2 then list[#list + 1] = {"WikiText-2 test, GPT-2's vocabulary", gpt2, wiki} end
  return list
end

local function measure_case(ctx, tok, text)
  local encode, decode = {}, {}
  for r = 1, ctx.rounds do
    local ids = tok:encode(text)
    encode[r] = #text / 1e6 / measure.seconds_per_call(function() tok:encode(text) end, ctx.seconds)
    decode[r] = #text / 1e6 / measure.seconds_per_call(function() tok:decode(ids) end, ctx.seconds)
  end
  return measure.median(encode), measure.median(decode)
end

local function training(ctx)
  local text = equi.data.people.text {bytes = ctx.tiny and 20000 or 5000000}
  local start = equi.clock()
  equi.data.bpe.train(text, {size = ctx.tiny and 300 or 8000})
  return #text / 1e6, equi.clock() - start
end

return function(ctx)
  local rows, records = {}, {}
  if not ctx.wanted "text" then return end
  for _, case in ipairs(cases(ctx)) do
    local encode, decode = measure_case(ctx, case[2], case[3])
    rows[#rows + 1] = {case[1], ("%.1f"):format(encode), ("%.1f"):format(decode)}
    records[#records + 1] = {bench = "text", case = case[1], encode = encode, decode = decode}
  end
  measure.show(ctx, "text", "Byte-level BPE: MB of text a second", {"text", "encode", "decode"},
    rows, records)
  print(("training 8,000 tokens on %.1f MB: %.2f s"):format(training(ctx)))
end
