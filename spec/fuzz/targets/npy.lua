local weights = require "spec.fuzz.weights"
return weights.target {
  seeds = {"f32.npy", "fortran.npy", "scalar.npy", "empty.npy", "big.npy", "objects.npy",
    "fields.npy", "text.npy"},
  words = {"\x93NUMPY", "'descr': ", "'fortran_order': ", "True", "False", "'shape': (", "'<f4'",
    "'<f8'", "'<f2'", "'|b1'", "'<u8'", "'|u1'", "'>f4'", "'|O'", "0,", "9223372036854775807,",
    "4294967296, ", "-1,", "1L,", "(((("},
}
