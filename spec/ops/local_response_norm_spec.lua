-- local_response_norm against PyTorch.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local op = require "spec.support.cases"
local vectors = require "spec.support.image_norm_vectors"

local function filled(shape, seed)
  local n, values = 1, {}
  for _, size in ipairs(shape) do n = n * size end
  for i = 1, n do values[i] = math.sin(1.7 * i + seed) + 0.3 * seed end
  return equi.tensor(values, {dtype = "f64"}):reshape(shape)
end

describe("local_response_norm", function()
  it("is PyTorch's", function()
    for _, c in ipairs(vectors.local_response_norm) do
      local x = filled(c.shape, 0):requires_grad_()
      local y = equi.local_response_norm(x, c.size, c.alpha, c.beta, c.k)
      oracle.near(y:reshape(-1), c.y, 1e-11);
      (y * filled(c.shape, 5)):sum():backward()
      oracle.near(x.grad:reshape(-1), c.gx, 1e-11)
    end
  end)

  it("keeps images channels-last and says what does not fit", function()
    local y = equi.local_response_norm(equi.ones(1, 6, 3, 3), 5)
    assert.is_true(y:is_channels_last())
    oracle.raises("local_response_norm: size must be at least 1, got 0", equi.local_response_norm,
                  y, 0)
    oracle.raises("local_response_norm: x must be [B, C, ..], it is 3", equi.local_response_norm,
                  equi.ones(3), 2)
  end)
end)

op("local_response_norm", {
  {"over five channels", f = function(x) return equi.local_response_norm(x, 5, 0.1) end,
   inputs = {oracle.data(2, 6, 2, 2)}, second = true, gradtol = 1e-6, big = {{4, 30, 30, 31}}},
})
