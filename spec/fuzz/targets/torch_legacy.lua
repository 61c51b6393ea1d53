local weights = require "spec.fuzz.weights"
return weights.target {
  seeds = {"all.th", "wrapped.th", "python2.pth", "os_system.th", "big_endian.th", "bare.pkl"},
  words = weights.pickle_words {"little_endian",
    "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"},
}
