local weights = require "spec.fuzz.weights"
return weights.target {
  seeds = {"all.pt", "net.pt", "wrapped.pt", "nested.pt", "protocol4.pt", "tensor.pt",
    "os_system.pt", "eval.pt", "deflated.pt", "scripted.pt", "big_endian.pt"},
  words = weights.pickle_words {"PK\1\2", "PK\3\4", "PK\5\6", "PK\6\6", "PK\6\7", "/data.pkl",
    "/data/0", "/data/1", "/byteorder", "\255\255\255\255\255\255\255\255"},
}
