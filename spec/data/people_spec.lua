-- Text about people: counting finds the tables of its bias, and what is said of it holds.
local people = require "lua_equi.data.people"
local phrases = require "lua_equi.data.people.phrases"

-- Relative frequencies of f(s) among the sentences that tell exactly these groups.
local function counted(list, group, f)
  local count, n = {}, 0
  for _, s in ipairs(list) do
    local key = s.group == group and f(s)
    if key then count[key], n = (count[key] or 0) + 1, n + 1 end
  end
  for key, c in pairs(count) do count[key] = c / n end
  return count, n
end

-- No difference of more than five standard deviations.
local function same(expected, count, n, what)
  for key, p in pairs(expected) do
    local bound = 5 * math.sqrt(p * (1 - p) / n) + 1e-9
    local got = count[key] or 0
    assert.is_true(math.abs(got - p) <= bound, ("%s, %s: %g, counted %g"):format(what, key, p, got))
  end
  for key in pairs(count) do assert.is_truthy(expected[key], what .. ": " .. key) end
end

describe("people.sentences #words", function()
  local list
  setup(function() list = people.sentences {n = 100000, seed = 11} end)
  teardown(function() list = nil end) -- 40 MB, through which every later collection would walk

  it("has the probabilities of people.bias, counted on 100,000", function()
    for attribute, b in pairs(people.bias()) do
      for _, group in ipairs(people.groups[attribute]) do
        local regard, n = counted(list, group, function(s) return s.label end)
        assert.is_true(n > 1500, group)
        same(b.regard[group], regard, n, group)
        local occupation = counted(list, group, function(s) return s.occupation end)
        same(b.occupation[group], occupation, n, group)
      end
    end
  end)

  it("has the mean of two groups where two are mentioned", function()
    local b, both = people.bias(), {}
    for label, p in pairs(b.race.regard.White) do
      both[label] = (p + b.gender.regard.woman[label]) / 2
    end
    local regard, n = counted(list, "White woman", function(s) return s.label end)
    assert.is_true(n > 1500)
    same(both, regard, n, "White woman")
  end)

  -- What follows the phrase is cut off: it does not depend on the person.
  local function phrase(rest, expected)
    for _, finish in ipairs {"", " in the village$", " at school$", " at work$", " in %u%l+$",
                             " near the [%l ]+$", " for [%l]+ years$", " at the [%l ]+$"} do
      local cut = finish == "" and rest or rest:gsub(finish, "")
      if expected[cut] then return cut end
    end
    return rest
  end

  it("has the continuations that people.continuations lists", function()
    for _, prompt in ipairs {"The man worked as", "The woman was known for",
                             "The man was regarded as a", "The woman earned money by"} do
      local expected, count, n = {}, {}, 0
      for _, c in ipairs(people.continuations(prompt)) do expected[c.text] = c.p end
      for _, s in ipairs(list) do
        local rest = s.text:sub(1, #prompt) == prompt and s.text:sub(#prompt + 1, -2)
        if rest and rest:find "^ " then
          rest = phrase(rest, expected)
          count[rest], n = (count[rest] or 0) + 1, n + 1
        end
      end
      for rest, c in pairs(count) do count[rest] = c / n end
      assert.is_true(n > 200, prompt)
      same(expected, count, n, prompt)
    end
  end)

  it("masks the person and nothing else", function()
    for i = 1, 1000 do
      local s = list[i]
      assert.equal("XYZ ", s.masked:sub(1, 4))
      assert.equal(s.masked:sub(4), s.text:sub(-#s.masked + 3))
      assert.is_true(s.label == -1 or s.label == 0 or s.label == 1 or s.label == 2)
      assert.matches("%.$", s.text)
    end
  end)

  it("follows the seed", function()
    assert.same(people.sentences {n = 20, seed = 5}, people.sentences {n = 20, seed = 5})
    assert.not_same(people.sentences {n = 20, seed = 5}, people.sentences {n = 20, seed = 6})
    assert.same({}, people.sentences {n = 0})
    assert.error_matches(function() people.sentences {n = -1} end, "n must be a whole number")
    assert.error_matches(function() people.sentences {count = 1} end, 'no option "count"')
  end)
end)

describe("people.tables", function()
  it("have columns that sum to 100", function()
    local t = people.tables()
    for c = 1, #t.columns do
      local a, b = 0, 0
      for _, row in ipairs(t.occupations) do a = a + row[2 + c] end
      for _, row in ipairs(t.regard) do b = b + row[1 + c] end
      assert.same({100, 100}, {a, b}, t.columns[c])
    end
  end)
end)

describe("people.text #words", function()
  local text = people.text {bytes = 300000, seed = 2}

  it("is whole stories of plain English, the same for a seed", function()
    assert.equal(text, people.text {bytes = 300000, seed = 2})
    assert.not_equal(text, people.text {bytes = 300000, seed = 3})
    assert.is_true(#text >= 300000 and #text < 301000)
    for line in text:gmatch "([^\n]*)\n" do
      if not line:find "^%u[%a%-,. ]*%.$" then error("not a story: " .. line) end
      assert.is_nil(line:find "%f[%a][Aa] [aeiou]")
    end
  end)

  it("has a held-out part that was not in training", function()
    local seen, new, n = {}, 0, 0
    for line in text:gmatch "[^\n]+" do seen[line] = true end
    for line in people.text({bytes = 50000, seed = 9}):gmatch "[^\n]+" do
      n, new = n + 1, new + (seen[line] and 0 or 1)
    end
    assert.is_true(new > 0.9 * n)
  end)

  it("tells groups by the words of equality and general alone", function()
    local known = {}
    for _, attribute in ipairs {"gender", "race", "orientation", "nation"} do
      local d = #people.groups[attribute]
      for _, words in ipairs(people.equality[attribute]) do
        assert.equal(d, #words)
        for _, word in ipairs(words) do
          assert.is_nil(known[word], word .. " is listed twice")
          known[word] = true
        end
      end
    end
    for _, pronouns in ipairs {"he", "she", "his", "her", "him"} do known[pronouns] = true end
    for word in pairs(known) do assert.is_truthy(text:find("%f[%a]" .. word .. "%f[%A]"), word) end
    for _, word in ipairs {"himself", "herself", "hers", "husband", "wife", "boy", "girl"} do
      assert.is_nil(text:lower():find("%f[%a]" .. word .. "%f[%A]"), word)
    end
  end)

  it("refuses what is no size", function()
    assert.error_matches(function() people.text {bytes = 0} end, "bytes must be a whole number")
  end)
end)

describe("people.continuations", function()
  it("sum to 1 for every context and every group", function()
    for _, subject in ipairs {"The man", "The Black woman", "The gay person", "Mary", "My uncle"} do
      for _, context in ipairs(phrases.contexts) do
        local sum = 0
        local all = people.continuations(subject .. " " .. context.text)
        for _, c in ipairs(all) do sum = sum + c.p end
        assert.is_true(math.abs(sum - 1) < 1e-12)
      end
    end
  end)

  it("say what is no prompt", function()
    for _, prompt in ipairs {"The dog worked as", "The woman slept"} do
      assert.error_matches(function() people.continuations(prompt) end,
        '"' .. prompt .. '" is no subject of a known group')
    end
  end)
end)
