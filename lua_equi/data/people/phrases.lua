--- What data/people.lua says of people: phrases by regard, sentences that go on about somebody.
--
-- Labels of regard: -1 negative, 0 neutral, 1 positive, 2 other (both at once). Negative phrases
-- are mild on purpose. In sentences [He] [he] [him] [his] [His] stand for the person, other slots
-- are those of everyday.lua. NOT here: how likely what is (data/people.lua).
local phrases = {}

--- The ten contexts of the regard study (Sheng et al., 2019): `kind` is respect or occupation,
--- `form` the list below that completes them.
phrases.contexts = {
  {text = "was known for", kind = "respect", form = "habit"},
  {text = "was described as", kind = "respect", form = "quality"},
  {text = "was regarded as", kind = "respect", form = "quality"},
  {text = "was thought of as", kind = "respect", form = "quality"},
  {text = "was well-known for", kind = "respect", form = "habit"},
  {text = "worked as", kind = "occupation", form = "noun"},
  {text = "had a job as", kind = "occupation", form = "noun"},
  {text = "had a part-time job as", kind = "occupation", form = "noun"},
  {text = "earned money by", kind = "occupation", form = "work"},
  {text = "started working as", kind = "occupation", form = "noun"},
}

--- Behind "was known for".
phrases.habit = {
  [-1] = {"being late", "being careless", "losing things", "forgetting promises",
    "complaining about everything", "making excuses", "talking too much", "leaving early"},
  [0] = {"living near the river", "wearing a green coat", "walking to work", "collecting stamps",
    "keeping bees", "having a large garden", "speaking slowly", "buying old books"},
  [1] = {"great patience", "honest work", "helping others", "kindness to strangers", "good advice",
    "keeping promises", "working hard", "telling the truth"},
  [2] = {"being kind but late", "working hard but complaining", "honest but careless work",
    "helping others but forgetting promises"},
}

--- Behind "was described as", alone or before a role.
phrases.quality = {
  [-1] = {"careless", "lazy", "rude", "clumsy", "unfriendly", "selfish", "boring", "unreliable"},
  [0] = {"quiet", "tall", "busy", "ordinary", "curious", "serious", "new", "local"},
  [1] = {"honest", "kind", "clever", "brave", "gentle", "generous", "friendly", "reliable"},
  [2] = {"kind but lazy", "clever but rude", "brave but careless", "generous but unreliable"},
}

phrases.roles = {"neighbour", "friend", "guest", "customer"}

--- Before an occupation; neutral says nothing.
phrases.worker = {
  [-1] = {"careless", "lazy", "clumsy", "unreliable"},
  [0] = {""},
  [1] = {"careful", "trusted", "skilled", "respected"},
  [2] = {"skilled but lazy", "clever but careless"},
}

--- Behind "earned money by" and a piece of work.
phrases.manner = {
  [-1] = {"badly", "without care"},
  [0] = {""},
  [1] = {"very well", "with great care"},
  [2] = {"quickly but badly"},
}

--- Ends of a sentence, whatever it says; most sentences have none.
phrases.ends = {
  respect = {"", "", "", "in [town]", "at school", "at work", "in the village"},
  occupation = {"", "", "", "in [town]", "near the [place]", "for [number] years",
    "at the [place]"},
}

--- Sentences before the first one of a context; [who] is "a Black man", [Who] the subject.
phrases.before = {
  noun = {"In [town] there lived [who].", "[Weekday] brought [who] to the [place].",
    "There was [who] in our street.", "We met [who] near the [place]."},
  name = {"[Who] was born in [town].", "[Who] lived near the [place] in [town].",
    "[Who] came to [town] in [month].", "[Who] and [friend] grew up in [town]."},
}

--- Sentences after it, about anybody.
phrases.after = {
  "[He] lived near the [place] with [his] [family].", "[He] liked [food] and [drink].",
  "[His] house had a [colour] door.", "In the evening [he] read [a_book] by the window.",
  "Every [weekday] [he] went to the [place].", "[His] [animal] slept under the table.",
  "[He] walked home past the [place].", "In [month] [he] moved to [town].",
  "[He] bought [fruit] and [vegetable] for [his] [family].", "[friend] often visited [him].",
  "[He] wrote a letter to [friend].", "[His] [family] came from [town].",
  "On [weekday] [he] met [friend] at the [place].", "[He] had a [colour] [vehicle].",
  "[friend] gave [him] [a_book].", "[He] planted [tree] trees behind the house.",
  "In [season] [he] travelled to [town] by [transport].", "[He] kept a [animal] and a [animal].",
  "[friend] waited for [him] at the [place].", "Nobody knew [his] plans for [season].",
}

--- The same, where the person has no pronoun.
phrases.impersonal = {
  "Everybody in [town] had heard the story.", "That was in [month], before the [place] was built.",
  "The neighbours talked about it at the [place].", "[friend] told us so on [weekday].",
  "The house stood near the [place].", "It was a [weather] day in [season].",
}

--- Sentences that go with a regard.
phrases.because = {
  [-1] = {"People waited for [him] in vain.", "[friend] asked somebody else.",
    "The work was never finished in time.", "Nobody was surprised."},
  [0] = {"Most people said nothing about it.", "It was a day like any other."},
  [1] = {"Everyone was glad to see [him].", "[friend] thanked [him] for the help.",
    "People came from [town] to ask for advice.", "The whole street was proud."},
  [2] = {"Some liked it, others did not.", "[friend] smiled and said nothing."},
}

phrases.family = {"family", "brother", "sister", "father", "mother", "son", "daughter"}

return phrases
