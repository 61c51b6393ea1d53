-- Groups and actions give their memory back: after use, after a refusal, after a failed allocation.
local equi = require "lua_equi"
local group, action = equi.group, equi.action

local function live()
  collectgarbage()
  return equi.memory("collect").live
end

local c2, c4, d4 = group.cyclic(2), group.cyclic(4), group.dihedral(4)
local rotation = {{0, -1}, {1, 0}}
local words = {"walk", "run", "jump"}
local grid, regular = action.grid(d4), action.regular(d4)
local x = equi.ones({2, 8, 8}, {dtype = "f64"})

local jobs = {
  cyclic = function() return group.cyclic(6) end,
  symmetric = function() return group.symmetric(4) end,
  product = function() return c2 * d4 end,
  semidirect = function()
    return group.semidirect(c4, c2, {{1, 2, 3, 4}, {1, 4, 3, 2}})
  end,
  permutations = function() return group.from_permutations{{2, 3, 4, 1}, {2, 1, 3, 4}} end,
  matrices = function() return group.from_matrices{rotation, {{1, 0}, {0, -1}}} end,
  table = function() return group.from_table(d4:table()) end,
  subgroups = function() return d4:subgroups() end,
  ["axis action"] = function() return action.permutation(c2, {{2, 1}}) end,
  ["matrix action"] = function() return action.matrices(c4, {rotation}) end,
  ["grid action"] = function() return action.grid(d4) end,
  vocabulary = function() return action.vocabulary(c2, {words = words, swaps = {{2, 3}}}) end,
  sum = function() return action.sum{regular, action.trivial(d4, {size = 2})} end,
  chain = function() return action.chain{grid, action.regular(d4, {dim = 1})} end,
  ["product action"] = function() return grid * action.regular(c2, {dim = 1}) end,
  ["moving a grid"] = function() return grid("sr", x) end,
  ["moving a dim"] = function() return regular("sr", x) end,
  verification = function() return grid:verify() end,
}

local refusals = {
  function() group.from_table{{1, 2, 3}, {2, 1, 3}, {3, 3, 1}} end,
  function() group.from_matrices{{{1, 1}, {0, 1}}} end,
  function() group.from_permutations({{2, 3, 4, 1}, {2, 1, 3, 4}}, {limit = 5}) end,
  function() group.from_matrices{{{1, 0}, {0, 0}}} end,
  function() group.semidirect(c4, c2, {{1, 2, 3, 4}, {1, 3, 2, 4}}) end,
  function() action.permutation(c4, {{2, 3, 1}}) end,
  function() action.matrices(c2, {rotation}) end,
  function() action.grid(c2, {generators = {"rot90"}}) end,
  function() return regular * action.regular(c2) end,
  function() regular("r", equi.ones(3)) end,
}

describe("memory of groups and actions", function()
  for name, job in pairs(jobs) do
    it("survives every failing allocation: " .. name, function()
      job()
      local before = live()
      for n = 1, 60 do
        equi.core.fail_allocation(n)
        local ok, why = pcall(job)
        equi.core.fail_allocation()
        assert.is_true(ok or tostring(why):find("memory", 1, true) ~= nil, why)
      end
      assert.equal(before, live())
    end)
  end

  it("is given back after a refusal", function()
    for _, refused in ipairs(refusals) do assert.is_false((pcall(refused))) end
    local before = live()
    for _ = 1, 20 do
      for _, refused in ipairs(refusals) do pcall(refused) end
    end
    assert.equal(before, live())
  end)

  it("a closed group says so", function()
    local g = group.cyclic(3)
    local r = g "r"
    getmetatable(g).__close(g)
    assert.equal("a closed group", tostring(g))
    assert.has_error(function() return r * r end)
    assert.has_error(function() return g.order end)
  end)
end)
