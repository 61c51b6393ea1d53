-- einsum against one loop over all letters.
local equi = require "lua_equi"
local oracle = require "spec.support.oracle"
local op = require "spec.support.cases"

-- Nested loops over the letters of a plain equation (no dots): the definition.
local function naive(equation, sizes)
  local ins, out = equation:match "^(.*)%->(.*)$"
  local terms, letters, seen = {}, {}, {}
  for term in (ins .. ","):gmatch "(.-)," do terms[#terms + 1] = term end
  for ch in (out .. ins):gmatch "%a" do
    if not seen[ch] then letters[#letters + 1] = ch end
    seen[ch] = true
  end
  local function at(t, term, where)
    for ch in term:gmatch "%a" do t = t[where[ch]] end
    return t
  end
  return function(...)
    local xs = {...}
    local function sum(k, where)
      if k > #letters then
        local p = 1
        for i, x in ipairs(xs) do p = p * at(x, terms[i], where) end
        return p
      end
      local s = 0
      for i = 1, sizes[letters[k]] do
        where[letters[k]] = i
        s = s + sum(k + 1, where)
      end
      return s
    end
    local function build(k, where)
      if k > #out then return sum(#out + 1, where) end
      local t = {}
      for i = 1, sizes[letters[k]] do
        where[letters[k]] = i
        t[i] = build(k + 1, where)
      end
      return t
    end
    return build(1, {})
  end
end

local sizes = {i = 3, j = 4, k = 2, b = 2, A = 3, z = 1}
local cases = {}
for _, equation in ipairs {"ij,jk->ik", "ij->ji", "ii->i", "ii->", "ij->", "ij->i", "bij,bjk->bik",
  "i,j->ij", "i,i->", "ij,ij->i", "bij,kj->bki", "iij->j", "ij,jk,kb->ib", "ij,k->j", "iji->ij",
  "zi,zj->ij", "bij,bkj,bk->ib", "iAb->bAi", "->", "i,->i"} do
  local inputs = {}
  for term in (equation:match "^(.*)%->" .. ","):gmatch "(.-)," do
    local shape = {}
    for ch in term:gmatch "%a" do shape[#shape + 1] = sizes[ch] end
    inputs[#inputs + 1] = #shape > 0 and oracle.data(shape, {seed = #inputs + 1})
      or equi.tensor(0.5, {dtype = "f64"})
  end
  cases[#cases + 1] = {equation, f = function(...) return equi.einsum(equation, {...}) end,
                       inputs = inputs, naive = naive(equation, sizes)}
end
cases[1].second, cases[1].big = true, {{200, 150}, {150, 170}}
op("einsum", cases)

describe("einsum", function()
  local x, y = oracle.data(2, 3, 4), oracle.data({4, 3}, {seed = 2})

  local function same(a, b) oracle.near(a, b:totable(), 1e-12) end

  it("orders an implicit result by letter, capitals first", function()
    same(equi.einsum("ba", {y}), y:transpose())
    same(equi.einsum("bA", {y}), y:transpose())
    same(equi.einsum("ij,jk", {y, y:transpose()}), y:matmul(y:transpose()))
    same(equi.einsum("ii", {equi.eye(3, {dtype = "f64"})}), equi.tensor(3, {dtype = "f64"}))
  end)

  it("broadcasts the dims of ...", function()
    same(equi.einsum("...ij,...jk->...ik", {x, y}), x:matmul(y))
    same(equi.einsum("...ij,jk", {x, y}), x:matmul(y))
    same(equi.einsum("i...->...i", {x}), x:permute(2, 3, 1))
    same(equi.einsum("...,...->...", {x, x:narrow(1, 1, 1)}), x * x:narrow(1, 1, 1))
    same(equi.einsum("... j -> ...", {x}), x:sum(3))
  end)

  it("works on sizes of 0", function()
    assert.same({2, 4}, {equi.einsum("ij,jk->ik", {equi.ones(2, 0), equi.ones(0, 4)}):size()})
    assert.equal(0, equi.einsum("ij,jk->", {equi.ones(2, 0), equi.ones(0, 4)}):item())
  end)

  it("names the letter and the sizes that are wrong", function()
    local function raises(message, equation, ...)
      oracle.raises(message, equi.einsum, equation, {...})
    end
    raises("einsum: letter 'j' has size 4 in operand 1 and 3 in operand 2", "ij,jk->ik",
           equi.zeros(2, 4), equi.zeros(3, 2))
    raises("einsum: operand 1 has 3 letters, the tensor is 2 x 2", "ijk->i", equi.zeros(2, 2))
    raises("einsum: operand 1 has 1 letters, the tensor is 2 x 2", "i->i", equi.zeros(2, 2))
    raises("einsum: letter 'k' of the result is in no operand", "ij->ik", equi.zeros(2, 2))
    raises("einsum: letter 'i' comes twice in the result", "ij->ii", equi.zeros(2, 2))
    raises("einsum: the equation has 2 operands, the list has 1 tensors", "i,j->", equi.zeros(2))
    raises("einsum: '1' is no letter; an equation looks like \"ij,jk->ik\"", "i1->i",
           equi.zeros(2, 2))
    raises("einsum: '-' must be followed by '>'", "ij-ji", equi.zeros(2, 2))
    raises("einsum: ... may stand once in an operand", "...i...->i", equi.zeros(2, 2))
    raises("einsum: the dims for ... have sizes 2 in operand 1 and 3 in operand 2", "...,...->...",
           equi.zeros(2), equi.zeros(3))
    raises("einsum: ',' stands behind the result", "i->i,", equi.zeros(2))
    raises("einsum: the list of tensors is empty", "i->i")
    oracle.raises("einsum: xs[1] must have dtype f32 or f64, it is i64", equi.einsum, "i->i",
                  {equi.arange(3)})
  end)
end)
