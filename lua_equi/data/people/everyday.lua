--- Plain sentences about weather, travel, food, work and places, and the words that fill slots.
--
-- A slot in brackets is filled with one of its words; [=town] keeps the same word for the whole
-- story. No person is described here and nothing depends on one. NOT here: people (phrases.lua).
local everyday = {}

--- Words by slot. A name with a capital is the slot in lower case at the start of a sentence.
everyday.words = {
  town = {"London", "Paris", "Berlin", "Rome", "Madrid", "Vienna", "Lisbon", "Oslo", "Dublin",
    "Boston", "Chicago", "Toronto", "Sydney", "Bath", "York", "Milan"},
  place = {"market", "station", "harbour", "bridge", "library", "school", "park", "church",
    "hospital", "museum", "tower", "mill", "theatre", "bakery", "town hall", "post office"},
  season = {"spring", "summer", "autumn", "winter"},
  month = {"January", "March", "April", "May", "June", "July", "September", "October", "December"},
  weekday = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"},
  daytime = {"morning", "afternoon", "evening", "night"},
  weather = {"cold", "warm", "rainy", "sunny", "windy", "cloudy", "foggy", "bright"},
  falling = {"rain", "snow", "hail", "fog"},
  wind = {"west wind", "north wind", "storm", "breeze"},
  food = {"soup", "bread", "cheese", "fish", "rice", "pancakes", "potatoes", "noodles", "salad"},
  drink = {"tea", "coffee", "milk", "lemonade", "water", "apple juice"},
  fruit = {"apples", "pears", "plums", "cherries", "grapes", "oranges"},
  vegetable = {"carrots", "onions", "beans", "cabbages", "tomatoes", "peas"},
  spice = {"salt", "pepper", "garlic", "butter", "honey", "sugar"},
  animal = {"dog", "cat", "horse", "goat", "rabbit", "donkey", "hen", "duck"},
  bird = {"swallows", "crows", "geese", "storks", "gulls", "sparrows"},
  tree = {"oak", "birch", "apple", "pine", "willow", "chestnut"},
  flower = {"roses", "tulips", "violets", "daisies", "lilies"},
  colour = {"red", "blue", "green", "yellow", "grey", "brown"},
  vehicle = {"bicycle", "car", "boat", "cart"},
  transport = {"train", "bus", "ship", "bicycle", "car"},
  number = {"two", "three", "four", "five", "six", "seven", "nine", "ten", "twelve", "twenty"},
  hour = {"six", "seven", "eight", "nine", "ten", "eleven"},
  good = {"bread", "cloth", "paper", "shoes", "glass", "furniture", "wool", "clocks", "tools"},
  building = {"factory", "workshop", "office", "warehouse", "shop", "mill"},
  landscape = {"hills", "fields", "woods", "mountains", "meadows", "valleys"},
  water = {"river", "lake", "sea", "canal", "stream"},
  size = {"small", "large", "old", "new", "quiet", "famous"},
  a_book = {"a book", "a newspaper", "an old map", "a long letter", "a short story"},
  sport = {"football", "chess", "tennis", "cards"},
  instrument = {"piano", "violin", "guitar", "drum", "flute"},
}

--- Sentences by topic; a story takes some of one topic.
everyday.topics = {
  {
    "It was a [weather] [daytime] in [=town].", "The [falling] began at [hour] in the [daytime].",
    "A [wind] came over the [landscape].", "By [weekday] the [falling] had stopped.",
    "In [=season] the [landscape] near [=town] are often [weather].",
    "[=Season] was [weather] that year.", "Clouds hung over the [water] all day.",
    "The forecast for [weekday] was [weather] with some [falling].",
    "After the [falling] the air was clear.", "The ice on the [water] melted in [month].",
    "Nobody had expected so much [falling] in [month].", "The streets of [=town] were empty.",
    "The sun rose at [hour] and the fog went away.", "It rained for [number] days.",
  }, {
    "The [transport] to [=town] left at [hour].", "The journey from [town] to [=town] took "
      .. "[number] hours.", "From the window one could see [landscape] and a [water].",
    "A ticket to [=town] cost [number] coins.", "The road went through the [landscape].",
    "The [transport] was late because of the [falling].",
    "At the station there was a [size] clock.",
    "In [month] few people travel to [=town].", "The hotel stood near the [place].",
    "The map showed a [size] bridge over the [water].", "We reached [=town] in the [daytime].",
    "Our bags were heavy, and the [transport] was full.", "[=Town] lies on a [size] [water].",
    "The ship stopped for [number] hours in [town].", "The way back was shorter.",
  }, {
    "The soup was made of [vegetable] and [vegetable].",
    "Cut the [vegetable] and add some [spice].",
    "For breakfast there was [food] with [drink].", "The market sold [fruit], [fruit] and [food].",
    "Boil the water and add the [vegetable].", "[Fruit] are cheap in [month].",
    "The bread was still warm.", "The bakery near the [place] opens at [hour].",
    "Serve the [food] with [spice].", "[Drink] was served after [number] minutes.",
    "The recipe needs [number] spoons of [spice].", "In [=season] people eat more [fruit].",
    "A cake with [fruit] stood on the table.", "The kitchen smelled of [spice] and fresh [food].",
    "Leave the dough for [number] hours.", "The [food] was better than last year.",
  }, {
    "The [building] in [=town] made [good].", "Work began at [hour] in the [daytime].",
    "The new machine was [colour] and very loud.", "Orders for [good] came from [town] and [town].",
    "In [month] the [building] was closed for [number] days.", "All of it was sold in [town].",
    "The price of [good] rose in [=season].", "A meeting was held on [weekday] at [hour].",
    "The [building] had [number] rooms and a [size] yard.", "The letter arrived on [weekday].",
    "The report was [number] pages long.",
    "Every [weekday] a cart brought [good] from the harbour.",
    "The company moved from [town] to [=town].", "They had enough [good] for [number] weeks.",
    "The boxes stood near the door of the [building].", "The work took [number] months.",
  }, {
    "[=Town] is a [size] town near the [water].", "The [place] was built [number] years ago.",
    "There are [number] bridges over the [water].",
    "The [place] is open from [weekday] to [weekday].",
    "Around the square stand [tree] trees.", "The [size] church has a [colour] roof.",
    "In the middle of the park there is a [size] lake.", "The streets lead from the [place] to the "
      .. "[place].", "The museum shows [size] clocks and maps.", "On [weekday] there is a market.",
    "The walls of the [place] are [colour].", "The library has [number] thousand books.",
    "Many houses in [=town] have [colour] doors.", "The [landscape] begin behind the [place].",
    "In [=season] the gardens are full of [flower].", "The harbour is small, but deep.",
  }, {
    "The [animal] slept under a [tree] tree.", "[Bird] flew over the [landscape] in [month].",
    "The garden was full of [flower] and [flower].", "A [colour] [animal] stood in the meadow.",
    "In [=season] the [bird] leave for the south.",
    "The [tree] trees lose their leaves in October.",
    "The [animal] drank from the [water].", "[Flower] grow best in the sun.",
    "The farm had [number] hens and a [animal].", "The bees made honey from the [flower].",
    "A path led through the woods to the [water].",
    "The [animal] followed the [animal] to the gate.",
    "The grass was wet after the [falling].", "The [bird] came back in [month].",
    "Between the stones grew [flower].", "The old [tree] tree fell in the storm.",
  }, {
    "On [weekday] there was music at the [place].", "The concert began at [hour] in the evening.",
    "The children played [sport] behind the [place].", "Somebody played the [instrument].",
    "The game of [sport] lasted [number] hours.", "The theatre in [=town] has [number] doors.",
    "The first song was about the [water].", "The team from [=town] won by [number] points.",
    "The [instrument] was old, but the sound was clear.", "The book has [number] chapters.",
    "In [=season] the theatre is closed.", "Tickets are sold at the [place].",
    "The story begins in [=town] on a [weather] [daytime].", "The festival takes place in [month].",
    "Lamps hung in the [tree] trees.", "The visitors came by [transport] from [town].",
  },
}

return everyday
