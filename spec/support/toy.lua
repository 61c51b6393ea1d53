-- A small model with everything that makes resuming hard: dropout, Adam's state, a schedule, a
-- sampler. Weights are formulas, so that two of them begin alike.
--   local toy = require "spec.support.toy"
--   local t = toy.new()   -- model, optimizer, schedules, sampler
--   t.step()              -- one training step; returns the loss
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"

local toy = {}

local net = equi.nn.class("toy", {
  new = function(self, width)
    self.first = oracle.data({width, 3}, {dtype = "f32", seed = 2})
    self.second = oracle.data({1, width}, {dtype = "f32", seed = 3})
  end,
  forward = function(self, x)
    local h = equi.dropout(equi.linear(x, self.first):tanh(), 0.3, self.training)
    return equi.linear(h, self.second)
  end,
})

function toy.new(width)
  local t = {model = net(width or 8)}
  t.optimizer = equi.optim.adam(t.model, {lr = 0.01})
  t.schedules = {equi.optim.cosine(t.optimizer, 200)}
  t.sampler = equi.data.sampler.new(20, {seed = 5})
  local inputs = oracle.data({20, 3}, {dtype = "f32", seed = 7})
  function t.step()
    local x = inputs[t.sampler:next()]:reshape(1, 3)
    local loss = ((t.model(x) - x:sum()) ^ 2):sum()
    t.optimizer:zero_grad()
    loss:backward()
    t.optimizer:step()
    t.schedules[1]:step()
    return loss
  end
  function t.bytes() return t.model.first:tobytes() .. t.model.second:tobytes() end
  function t.parts(extra)
    return {model = t.model, optimizer = t.optimizer, schedules = t.schedules, sampler = t.sampler,
      extra = extra}
  end
  return t
end

return toy
