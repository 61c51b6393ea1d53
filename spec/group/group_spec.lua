-- Groups: every axiom on every constructor, known counts, and refusals that say what is wrong.
local equi = require "lua_equi"
local group = equi.group

local rotation = {{0, -1}, {1, 0}}
local mirror = {{1, 0}, {0, -1}}
local invert = function(h, n) return h == h.group.identity and n or n ^ -1 end

local made = {
  group.cyclic(1), group.cyclic(2), group.cyclic(5), group.cyclic(48), group.dihedral(1),
  group.dihedral(2), group.dihedral(3), group.dihedral(4), group.dihedral(24),
  group.symmetric(1), group.symmetric(2), group.symmetric(3), group.symmetric(4),
  group.alternating(2), group.alternating(3), group.alternating(4), group.alternating(5),
  group.quaternion(), group.klein(), group.symmetric(4) * group.cyclic(2),
  group.product(group.klein(), group.cyclic(3), group.dihedral(2)),
  group.semidirect(group.cyclic(7), group.cyclic(2), invert),
  group.semidirect(group.cyclic(5), group.cyclic(4), function(h, n)
    return n ^ (1 << h.index - 1)
  end),
  group.from_permutations{{2, 3, 4, 1}, {1, 4, 3, 2}},
  group.from_matrices{rotation, mirror}, group.from_table(group.quaternion():table()),
  group.symmetric(4):subgroup{"(1 2 3)", "(1 2)"},
}

local function check_axioms(g)
  local n, all, e = g.order, g:elements(), g.identity
  local t = g:table()
  assert.equal(n, #g)
  assert.equal(n, #all)
  for a = 1, n do
    assert.equal(all[a], e * all[a])
    assert.equal(all[a], all[a] * e)
    assert.equal(e, all[a] * all[a].inverse)
    assert.equal(e, all[a] ^ all[a].order)
    assert.equal(0, n % all[a].order)
    local seen = {}
    for b = 1, n do
      assert(all[a] * all[b] == all[t[a][b]])
      seen[t[a][b]] = true
      local row_ab, row_a, row_b = t[t[a][b]], t[a], t[b]
      for c = 1, n do
        if row_ab[c] ~= row_a[row_b[c]] then error(("%s: %d %d %d"):format(g.name, a, b, c)) end
      end
    end
    assert.equal(n, #seen)
  end
end

describe("group", function()
  for _, g in ipairs(made) do
    it("axioms hold in " .. g.name, function() check_axioms(g) end)
  end

  it("generators generate, names are distinct and find their element", function()
    for _, g in ipairs(made) do
      assert.equal(g.order, g:subgroup(g.generators).order)
      for i, a in ipairs(g) do
        assert.equal(i, a.index)
        assert.equal(a, g:element(a.name))
        assert.equal(a, g(tostring(a)))
        assert.equal(g, a.group)
      end
    end
  end)

  it("numbers of subgroups are those of the literature", function()
    local known = {
      {group.symmetric(3), 6}, {group.symmetric(4), 30}, {group.dihedral(4), 10},
      {group.quaternion(), 6}, {group.alternating(4), 10}, {group.alternating(5), 59},
      {group.symmetric(5), 156}, {group.klein(), 5}, {group.cyclic(48), 10},
      {group.cyclic(2) * group.cyclic(2) * group.cyclic(2), 16},
    }
    for _, case in ipairs(known) do
      local found = case[1]:subgroups()
      assert.equal(case[2], #found, case[1].name)
      for i, h in ipairs(found) do
        assert.equal(0, case[1].order % h.order)
        assert.is_true(h:is_subgroup(case[1]))
        assert.equal(case[1], h.parent)
        assert.is_true(i == 1 or found[i - 1].order <= h.order)
        if h.order <= 24 then check_axioms(h) end
      end
    end
  end)

  it("numbers of conjugacy classes, centers and orders of elements", function()
    assert.equal(5, #group.symmetric(4):classes())
    assert.equal(7, #group.symmetric(5):classes())
    assert.equal(5, #group.alternating(5):classes())
    assert.equal(5, #group.quaternion():classes())
    assert.equal(2, group.quaternion():center().order)
    assert.equal(1, group.dihedral(3):center().order)
    assert.equal(12, group.cyclic(12):center().order)
    local count = {}
    for a in group.symmetric(4):iter() do count[a.order] = (count[a.order] or 0) + 1 end
    assert.same({1, 9, 8, 6}, count)
    count = {}
    for a in group.quaternion():iter() do count[a.order] = (count[a.order] or 0) + 1 end
    assert.same({1, 1, nil, 6}, count)
  end)

  it("cosets part the group", function()
    local g = group.symmetric(4)
    local h = g:subgroup{"(1 2 3)"}
    for _, side in ipairs{"left", "right"} do
      local seen, parts = 0, g:cosets(h, side)
      assert.equal(8, #parts)
      for _, part in ipairs(parts) do
        seen = seen + #part
        local first = part[1]
        for _, a in ipairs(part) do
          assert.is_true(h:contains(side == "left" and first ^ -1 * a or a * first ^ -1))
        end
      end
      assert.equal(24, seen)
    end
    assert.has_error(function() g:cosets(group.cyclic(3)) end)
  end)

  it("is printed and read as in textbooks", function()
    assert.equal("cyclic(4), order 4: e r r2 r3", tostring(group.cyclic(4)))
    assert.equal("dihedral(3), order 6: e r r2 s sr sr2", tostring(group.dihedral(3)))
    local d = group.dihedral(4)
    local r, s = d "r", d "s"
    assert.equal(d "s r", s * r)
    assert.equal(r ^ -1, s * r * s)
    assert.equal("sr2", tostring(s * r ^ 2))
    assert.equal(r ^ 3, r ^ -5)
    assert.equal(d.identity, r ^ 0)
    assert.is_nil(d[9])
    assert.is_nil(d[0])
    assert.is_false(d.is_abelian)
    assert.is_true(group.klein().is_abelian)
    assert.equal("(1 2 3)", tostring(group.symmetric(3)[4]))
    assert.same({2, 3, 1}, group.symmetric(3)[4].permutation)
    local m = group.from_matrices{rotation, mirror}
    assert.same(rotation, m "a".matrix)
    assert.equal(m "ba", m "b" * m "a")
    assert.equal("k", tostring(group.quaternion() "i" * group.quaternion() "j"))
  end)

  it("elements are values: equal across equal groups, usable as keys", function()
    assert.equal(group.cyclic(4), group.cyclic(4))
    assert.not_equal(group.cyclic(4), group.klein())
    assert.equal(group.cyclic(4) "r", group.cyclic(4) "r")
    local g = group.cyclic(4)
    assert.is_true(rawequal(g "r" * g "r", g "r2"))
    assert.equal(group.cyclic(4) "r3", g "r" * group.cyclic(4) "r2")
  end)

  it("permutations compose from right to left", function()
    local g = group.symmetric(4)
    for a in g:iter() do
      for b in g:iter() do
        local p, q, pq = a.permutation, b.permutation, (a * b).permutation
        for i = 1, 4 do assert.equal(p[q[i]], pq[i]) end
      end
    end
  end)

  it("products have parts, and elements move between group and subgroup", function()
    local c2, d3 = group.cyclic(2), group.dihedral(3)
    local g = c2 * d3
    local a = g:element{"r", d3 "sr"}
    assert.same({c2 "r", d3 "sr"}, a.parts)
    assert.equal("cyclic(2) x dihedral(3)", g.name)
    assert.same({c2, d3}, g.factors)
    local h = d3:subgroup{"r"}
    assert.equal("<r> in dihedral(3)", h.name)
    assert.equal(d3 "r2", d3:element(h "r2"))
    assert.equal(h "r2", h:element(d3 "r2"))
    assert.is_false(h:contains(d3 "s"))
    assert.error_matches(function() h:element(d3 "s") end, "s does not lie in <r> in dihedral")
    assert.equal(d3:subgroup{"r"}, d3:subgroup{"r2"})
  end)

  it("homomorphisms are told from other maps", function()
    local d, c2 = group.dihedral(5), group.cyclic(2)
    assert.is_true(d:is_homomorphism(c2, function(a) return a.index > 5 and "r" or "e" end))
    local ok, why = group.cyclic(3):is_homomorphism(c2, {1, 2, 1})
    assert.is_false(ok)
    assert.equal("no homomorphism: r * r2 goes to e, but the images multiply to r", why)
  end)

  it("the largest group is made, larger ones are refused", function()
    assert.equal(5040, group.symmetric(7).order)
    assert.error_matches(function() group.symmetric(8) end, "group.symmetric: n is 8; .* 1 to 7")
    assert.error_matches(function() return group.symmetric(7) * group.cyclic(2) end,
      "10080 elements or more; groups are kept up to 5040")
    assert.error_matches(function() group.cyclic(math.maxinteger) end, "n is 1 to 5040")
    assert.error_matches(function() group.symmetric(6):subgroups() end, "720 elements.* order 200")
  end)
end)

describe("a broken group is refused:", function()
  local function refuses(what, text, f, ...)
    local args = table.pack(...)
    it(what, function()
      local ok, why = pcall(f, table.unpack(args, 1, args.n))
      assert.is_false(ok)
      assert.is_truthy(why:find(text, 1, true), why)
    end)
  end
  local table_of = group.from_table

  refuses("not square", "group.from_table: row 2 has 1 entries, the table has 2 rows", table_of,
    {{1, 2}, {2}})
  refuses("entry out of range", "row 1, column 2 is 3; the entries of a table of 2 elements are 1",
    table_of, {{1, 3}, {2, 1}})
  refuses("entry no whole number", "each entry must be a whole number, got 1.5", table_of,
    {{1, 1.5}, {2, 1}})
  refuses("row repeats", "row 2 holds 2 twice, at columns 1 and 2", table_of, {{1, 2}, {2, 2}})
  refuses("column repeats", "column 1 holds 1 twice, at rows 1 and 2", table_of, {{1, 2}, {1, 2}})
  refuses("no identity", "no identity", table_of, {{2, 3, 1}, {1, 2, 3}, {3, 1, 2}})
  refuses("not associative", "group.from_table: not associative: (2*2)*3 is 3 but 2*(2*3) is 5",
    table_of, {{1, 2, 3, 4, 5}, {2, 1, 4, 5, 3}, {3, 5, 1, 2, 4}, {4, 3, 5, 1, 2}, {5, 4, 2, 3, 1}})
  refuses("empty table", "the table has 0 rows", table_of, {})
  refuses("no table", "the table must be a list, got number", table_of, 3)
  refuses("no bijection", "permutation 2 sends both 1 and 3 to 2", group.from_permutations,
    {{1, 2, 3}, {2, 1, 2}})
  refuses("entry too large", "permutation 1 sends 2 to 4; its numbers are 1 to 3",
    group.from_permutations, {{1, 4, 3}})
  refuses("different degrees", "permutation 2 has 2 entries, permutation 1 has 3",
    group.from_permutations, {{1, 2, 3}, {2, 1}})
  refuses("closure beyond the limit", "more than 100 elements", group.from_permutations,
    {{2, 3, 4, 5, 1}, {2, 1, 3, 4, 5}}, {limit = 100})
  refuses("unknown option", 'no option "max"; options are limit', group.from_permutations, {{1}},
    {max = 2})
  refuses("infinite matrix group", "more than 5040 elements", group.from_matrices,
    {{{1, 1}, {0, 1}}})
  refuses("singular matrix", "matrix 1 has no inverse", group.from_matrices, {{{1, 0}, {0, 0}}})
  refuses("NaN in a matrix", "entries must be finite", group.from_matrices, {{{0 / 0}}})
  refuses("matrix not square", "it must be square", group.from_matrices, {{{1, 0, 0}, {0, 1, 0}}})
  refuses("no automorphism", "no automorphism: it sends r * r to r, but the images multiply to e",
    group.semidirect, group.cyclic(4), group.cyclic(2), {{1, 2, 3, 4}, {1, 3, 2, 4}})
  refuses("no bijection of the factor", "it sends both r and r2 to r", group.semidirect,
    group.cyclic(3), group.cyclic(2), {{1, 2, 3}, {1, 2, 2}})
  refuses("automorphisms of the wrong period", "the automorphisms do not multiply like cyclic(2)",
    group.semidirect, group.cyclic(3), group.cyclic(2), {{1, 3, 2}, {1, 3, 2}})
  refuses("cyclic(0)", "group.cyclic: n is 0", group.cyclic, 0)
  refuses("cyclic of a string", 'group.cyclic: n must be a whole number, got "x"', group.cyclic,
    "x")
  refuses("product with a number", "each factor must be a group, got number", group.product, 3)
  refuses("strangers multiplied", "r is in cyclic(4) and a in klein; only elements of one group",
    function() return group.cyclic(4) "r" * group.klein() "a" end)
  refuses("unknown name", 'no element "q" in cyclic(2), order 2: e r', group.cyclic(2), "q")
  refuses("number out of range", "no element number 3; cyclic(2) has elements 1 to 2",
    group.cyclic(2), 3)
  refuses("assignment", "cannot be changed", function() group.cyclic(2).order = 3 end)
  refuses("fractional power", "the exponent must be a whole number", function()
    return group.cyclic(2) "r" ^ 0.5
  end)
end)
