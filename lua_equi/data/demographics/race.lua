--- Race: two members, {Black, White}, as in the experiments of the paper; `three` has three.
return setmetatable({
  {"Black", "White", plural = {"Blacks", "Whites"}},
}, {__index = {three = {
  {"Black", "White", "Asian", plural = {"Blacks", "Whites", "Asians"}},
}}})
