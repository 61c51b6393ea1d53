local weights = require "spec.fuzz.weights"
return weights.target {
  seeds = {"all.pt.expected", "net.pt.expected", "empty.npy.expected"},
  words = {'"dtype":"', '"F32"', '"F64"', '"F16"', '"BF16"', '"I8"', '"U64"', '"BOOL"', '"shape":[',
    '"data_offsets":[', "[0,", "[-1,", "1e9", "9223372036854775807", "9223372036854775808",
    '"__metadata__":{', "{}", "[[[[[[[[", '"a":', "null", "\\u0000", "\\ud800"},
  read = function(path, equi) return equi.safetensors.read(path) end,
}
