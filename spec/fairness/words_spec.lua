-- Word lists to actions: forms, bijections, words of several tokens, products, refusals by name.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local toy = require "spec.support.toy_lm"

local tok = toy.tokenizer {" big", " small", "big", " Big"}
local function words(lists, opts) return equi.fairness.words(tok, lists, opts) end

local function moved(w, name, text) return w:move(w.group(name), text) end

describe("fairness.words", function()
  it("moves every form that is there, and lists those that are not", function()
    local w = words {{"man", "woman", plural = {"men", "women"}}}
    assert.equal("cyclic(2)", w.group.name)
    assert.equal("The woman wasWomanman women", moved(w, "r", "The man wasManman men"))
    assert.equal("The man wasManman men", moved(w, "r", "The woman wasWomanman women"))
    assert.equal(6, #w.equality)
    assert.equal("equality", w:kind(tok.ids[" man"]))
    assert.equal("neutral", w:kind(tok.ids[" was"]))
    local left = {}
    for _, l in ipairs(w.left_out) do left[#left + 1] = table.concat(l.words, "/") end
    assert.same({" Man/ Woman", " Men/ Women", "Men/Women"}, left)
    assert.is_true(w.ids:verify() and w.logits:verify())
  end)

  it("moves logits as it moves ids", function()
    local w = words {{"Christian", "Jewish", "Muslim"}, {"man", "woman", "person"}}
    local x = oracle.index(#tok, 4, 7)
    for _, g in ipairs(w.group:elements()) do
      local hot = x:one_hot(#tok):to "f64"
      oracle.near(w.logits(g, hot), w.ids(g, x):one_hot(#tok):to "f64", 0)
    end
    assert.equal(" Jewish woman", moved(w, "r", " Christian man"))
    assert.equal(" Muslim person", moved(w, "r2", " Christian man"))
  end)

  it("without its first form, the others of a word are left out with it", function()
    local w = words({{"person", "man"}, {"Salesman", "Man"}, {"king", "queen",
      plural = {"kings", "Man"}}}, {multi = "skip"})
    local left = {}
    for i, l in ipairs(w.left_out) do left[i] = table.concat(l.words, "/") end
    assert.same({" Salesman/ Man", " kings/ Man", " Person/ Man", "Person/Man",
      " King/ Queen", "King/Queen"}, left)
  end)

  it("words with a capital have no small form; forms given must all work", function()
    assert.equal(4, #words({{"Black", "White"}}).equality)
    assert.equal(4, #words({{"man", "woman"}}, {forms = {"space", "bare"}}).equality)
    assert.equal(2, #words({{"Black", "nurse"}}).equality)
    assert.equal(2, #words({{"man", "woman"}}, {forms = {"space"}}).equality)
    oracle.raises('fairness.words: " Man": encode: no token at byte 1', words, {{"man", "woman"}},
      {forms = {"space", "space_capital"}})
    local w = words({{"man", "woman"}, {"king", "queen"}}, {forms = {"space", "capital"},
      multi = "skip"})
    assert.equal(6, #w.equality)
    assert.equal(1, #w.left_out)
  end)

  it("words of several tokens: place by place, with what else moves", function()
    local w = words {{"businessman", "businesswoman"}, {"man", "woman"}}
    assert.equal(" businesswoman woman", moved(w, "r", " businessman man"))
    assert.same({{tokens = {"man", "woman"}, because = {" businessman", " businesswoman"}}},
      w.side_effects)
    assert.equal("The womanwoman", moved(w, "r", "The manman"))
    assert.is_truthy(tostring(w):find('"man", "woman" move wherever they stand, because of '
      .. '" businessman", " businesswoman"', 1, true))
  end)

  it("several attributes make the product of their groups", function()
    local w = words {gender = {{"man", "woman"}}, religion = {{"Christian", "Jewish", "Muslim"}}}
    assert.equal("cyclic(2) x cyclic(3)", w.group.name)
    assert.equal(" woman Muslim", w:move(w.group {"r", "r2"}, " man Christian"))
    assert.is_true(w.ids:verify() and w.logits:verify())
  end)

  it("fits vocabularies of another size", function()
    local w = words {{"man", "woman"}}
    local ids, logits = w:actions(#tok + 8)
    assert.same({1, #tok + 8}, {logits("r", equi.ones(1, #tok + 8)):size()})
    assert.equal(#tok + 8, ids("r", equi.tensor({#tok + 8}, {dtype = "i64"}))[1]:item())
    oracle.raises("the vocabulary has 9 tokens, the words move tokens up to", w.actions, w, 9)
  end)

  it("general words are their forms of one token", function()
    local w = words({{"man", "woman"}}, {general = {"he", "him", 4}})
    assert.same({4, tok.ids[" he"], tok.ids[" him"]}, w.general)
    assert.equal("general", w:kind(tok.ids[" he"]))
    assert.is_truthy(tostring(w):find('general: "The", " he", " him"', 1, true))
  end)

  it("prints what moves and what does not", function()
    local shown = tostring(words {gender = {{"man", "woman"}}})
    for _, part in ipairs {"fairness.words: cyclic(2), 4 of 60 tokens move", "gender: ",
      '" man" -> " woman"', 'left out: " Man", " Woman" (" Man": encode: no token'} do
      assert.is_truthy(shown:find(part, 1, true), part)
    end
  end)

  it("move takes lists of ids, and nothing", function()
    local w = words {{"man", "woman"}}
    assert.same({tok.ids[" woman"], 5}, moved(w, "r", {tok.ids[" man"], 5}))
    assert.equal("", moved(w, "r", ""))
    oracle.raises('fairness.words: move: no element "x" in cyclic(2), order 2: e r', w.move, w, "x",
      "The man")
    oracle.raises("fairness.words: move: give a text or a list of ids, got 3", w.move, w, "r", 3)
  end)
end)

describe("fairness.words refuses", function()
  local BIJECTION = ", so that the exchange would be no bijection; leave one of the lists out, or "
    .. "make such words general ones (relaxed)"
  local cases = {
    {'" her" stands in list 1 (" his", " her") and in list 2 (" him", " her")' .. BIJECTION,
      {{"his", "her"}, {"him", "her"}}},
    {'" man" stands in list 1 (" man", " woman") and in list 2 (" man", " king")' .. BIJECTION,
      {{"man", "woman"}, {"man", "king"}}},
    {'" woman" stands in list 1 of gender (" man", " woman") and in list 1 of race (" woman", '
      .. '" Black")' .. BIJECTION, {gender = {{"man", "woman"}}, race = {{"woman", "Black"}}}},
    {'" Jewish" stands in list 1 (" Christian", " Jewish", " Muslim") and in list 2 (" Jewish", '
      .. '" Christian", " Muslim")' .. BIJECTION, {{"Christian", "Jewish", "Muslim"},
      {"Jewish", "Christian", "Muslim"}}},
    {'" man" is 1 token and " salesman" 2; only words of as many tokens can take each other\'s '
      .. 'places; choose other words, or multi = "skip" leaves them out', {{"man", "salesman"}}},
    {'" businessman", " salesman", " businesswoman" share token 1 with some but not with all',
      {{"businessman", "salesman", "businesswoman"}}},
    {'" businessman", " businesswoman" of list 1 are 2 tokens each; choose other words',
      {{"businessman", "businesswoman"}}, {multi = "refuse"}},
    {'" Xyz": encode: no token at byte 1', {{"man", "Xyz"}}},
    {"list 2 must be a list of at least two words such as", {{"man", "woman"}, {"a"}}},
    {"list 2 has 3 words, list 1 has 2; all lists of an attribute have one for each member",
      {{"man", "woman"}, {"Christian", "Jewish", "Muslim"}}},
    {"the plural of list 1 has 3 words, list 1 has 2",
      {{"man", "woman", plural = {"a", "b", "c"}}}},
    {"list 1: word 2 must be a text, got 3", {{"man", 3}}},
    {'list 1 has "man" twice', {{"man", "man"}}},
    {"give lists of words such as", {}},
    {'give lists of words such as {{"man", "woman"}, {"king", "queen"}}, or several attributes '
      .. '{gender = lists, race = lists}, got "man"', "man"},
    {"attribute gender must be a list of lists of words, got none", {gender = {}}},
    {'" man" cannot be general: it stands in list 1 (" man", " woman"), and moves',
      {{"man", "woman"}}, {general = {"man"}}},
    {'the general word " businessman" is 2 tokens; general words are one token',
      {{"man", "woman"}}, {general = {"businessman"}}},
    {'the general word " Xyz" cannot be used: encode', {{"man", "woman"}}, {general = {"Xyz"}}},
    {"a general word must be a text or an id, got true", {{"man", "woman"}}, {general = {true}}},
    {'multi must be one of exact, skip, refuse, got "yes"', {{"man", "woman"}}, {multi = "yes"}},
    {"each form must be one of space, space_capital, capital, bare", {{"man", "woman"}},
      {forms = {"upper"}}},
    {"no word is left: all were left out", {{"man", "salesman"}}, {multi = "skip"}},
  }
  for _, case in ipairs(cases) do
    it(case[1], function() oracle.raises(case[1], words, case[2], case[3]) end)
  end

  it("a tokenizer that is none", function()
    oracle.raises("fairness.words: tokenizer must have encode and decode, got 3",
      equi.fairness.words, 3, {})
  end)

  it("tokens that cannot be told apart, and unknown ones", function()
    local deaf = {encode = function() return {1} end, decode = function() return "x" end}
    oracle.raises('" man", " woman" are the same tokens', equi.fairness.words, deaf,
      {{"man", "woman"}}, {size = 3})
    deaf.unk = 1
    oracle.raises('" man": it is not in the vocabulary', equi.fairness.words, deaf,
      {{"man", "woman"}}, {size = 3})
    deaf.encode = function() return {} end
    oracle.raises('" man": it has no tokens', equi.fairness.words, deaf, {{"man", "woman"}},
      {size = 3})
  end)
end)
