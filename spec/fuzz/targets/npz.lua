local weights = require "spec.fuzz.weights"
return weights.target {
  seeds = {"many.npz", "packed.npz"},
  words = {"PK\1\2", "PK\3\4", "PK\5\6", "PK\6\6", "PK\6\7", ".npy", "\0\0\8\0", "\x93NUMPY",
    "\255\255\255\255", "\1\0\16\0"},
}
