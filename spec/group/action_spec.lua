-- Actions: homomorphisms on all pairs, exact moves, gradients, and refusals that name what fails.
local equi = require "lua_equi"
local group, action = equi.group, equi.action

local c2, c3, c4 = group.cyclic(2), group.cyclic(3), group.cyclic(4)
local d3, d4, s3 = group.dihedral(3), group.dihedral(4), group.symmetric(3)

local function list(x) return x:totable() end
local function ids(t) return equi.tensor(t, {dtype = "i64"}) end
local function f64(t) return equi.tensor(t, {dtype = "f64"}) end

-- 1 2 3 ... in a shape
local function count(...)
  local n = 1
  for _, size in ipairs{...} do n = n * size end
  local t = {}
  for i = 1, n do t[i] = i end
  return f64(t):reshape(...)
end

local function random(shape, requires_grad)
  local t, n = {}, 1
  for _, size in ipairs(shape) do n = n * size end
  for i = 1, n do t[i] = math.random() - 0.5 end
  local x = equi.tensor(list(f64(t):reshape(shape)), {dtype = "f64", requires_grad = requires_grad})
  return x
end

local function turn(degrees)
  local a = math.rad(degrees)
  return {{math.cos(a), -math.sin(a)}, {math.sin(a), math.cos(a)}}
end

local made = {
  ["trivial"] = action.trivial(d4),
  ["trivial with a size"] = action.trivial(d4, {size = 3, dim = 1}),
  ["permutation of generators"] = action.permutation(d3, {{2, 3, 1}, {1, 3, 2}}),
  ["permutation of elements"] = action.permutation(c3,
    {{1, 2, 3}, {2, 3, 1}, {3, 1, 2}}, {dim = 1}),
  ["natural permutation"] = action.permutation(group.symmetric(4), nil, {dim = -2}),
  ["regular, order 48"] = action.regular(group.symmetric(4) * c2),
  ["regular, quaternion"] = action.regular(group.quaternion(), {dim = 2}),
  ["matrices of C4"] = action.matrices(c4, {turn(90)}),
  ["matrices of D3 on dim 1"] = action.matrices(d3, {turn(120), {{1, 0}, {0, -1}}}, {dim = 1}),
  ["natural matrices"] = action.matrices(group.from_matrices{turn(45), {{1, 0}, {0, -1}}}),
  ["ids"] = action.vocabulary(c3, {size = 7, generators = {{{1, 4, 6}}}}),
  ["logits"] = action.vocabulary(c3, {size = 7, generators = {{{1, 4, 6}}}, what = "logits"}),
  ["grid of C4"] = action.grid(c4),
  ["grid of D4"] = action.grid(d4, {dims = {2, 3}}),
  ["grid of C2"] = action.grid(c2),
  ["grid of klein"] = action.grid(group.klein()),
  ["grid of klein, diagonals"] = action.grid(group.klein(),
    {generators = {"transpose", "antitranspose"}}),
  ["sum of permutations"] = action.sum{action.regular(c3), action.trivial(c3, {size = 2})},
  ["sum with matrices"] = action.sum{action.matrices(c4, {turn(90)}), action.regular(c4)},
  ["chain"] = action.chain{action.grid(d4), action.regular(d4, {dim = -3})},
  ["product"] = action.grid(d4) * action.regular(s3, {dim = -3}),
  ["product on one dim"] = action.permutation(c2, {{2, 1, 4, 3}}) *
    action.permutation(c2, {{3, 4, 1, 2}}),
  ["restricted"] = action.grid(d4):restrict(d4:subgroup{"r2", "s"}),
  ["tuple"] = action.tuple{action.grid(c4), action.regular(c4)},
}

describe("action", function()
  for name, act in pairs(made) do
    it(name .. " is a homomorphism", function()
      assert.is_true(act:verify())
      assert.is_true(act.exact)
    end)
  end

  it("permutes positions: g sends position i to entry i", function()
    local act = action.permutation(c3, {{2, 3, 1}})
    assert.same({30, 10, 20}, list(act("r", f64{10, 20, 30})))
    assert.same({20, 30, 10}, list(act(c3 "r" ^ -1, f64{10, 20, 30})))
    assert.same({{5, 6}, {1, 2}, {3, 4}},
      list(action.permutation(c3, {{2, 3, 1}}, {dim = -2})("r", count(3, 2))))
    assert.same({{3, 1, 2}, {6, 4, 5}}, list(act("r", count(2, 3))))
  end)

  it("moves every dtype and strided tensors", function()
    local act = action.permutation(c2, {{2, 1}}, {dim = 1})
    for _, dtype in ipairs{"f32", "f64", "i64", "u8"} do
      local y = act("r", equi.tensor({{1, 0, 2}, {0, 1, 3}}, {dtype = dtype}))
      assert.equal(dtype, y.dtype)
      assert.same({{0, 1, 3}, {1, 0, 2}}, list(y))
    end
    assert.same({{2, 4, 6}, {1, 3, 5}}, list(act("r", count(3, 2):transpose(1, 2))))
    assert.same({{0, 2}, {1, 3}}, list(action.grid(d4)("sr3", equi.tensor{{0, 1}, {2, 3}})))
  end)

  it("turns counterclockwise and flips", function()
    local act, x = action.grid(d4), equi.tensor{{0, 1}, {2, 3}}
    assert.same({{1, 3}, {0, 2}}, list(act("r", x)))
    assert.same({{3, 2}, {1, 0}}, list(act("r2", x)))
    assert.same({{2, 0}, {3, 1}}, list(act("r3", x)))
    assert.same({{1, 0}, {3, 2}}, list(act("s", x)))
    assert.same({{3, 2, 1}, {6, 5, 4}}, list(action.grid(c2)("r", count(2, 3))))
    assert.same({{4, 5, 6}, {1, 2, 3}}, list(action.grid(group.klein())("b", count(2, 3))))
  end)

  it("multiplies along any dim", function()
    local m = {{0, -1}, {1, 0}}
    assert.same({-2, 1}, list(action.matrices(c4, {m})("r", f64{1, 2})))
    assert.same({{-2, 1}, {-4, 3}}, list(action.matrices(c4, {m})("r", f64{{1, 2}, {3, 4}})))
    assert.same({{-3, -4}, {1, 2}},
      list(action.matrices(c4, {m}, {dim = -2})("r", f64{{1, 2}, {3, 4}})))
    assert.same({-2, 1}, list(action.matrices(c4, {f64(m)})("r", f64{1, 2})))
    assert.equal(4, group.from_matrices{f64(m)}.order)
    local x = count(3, 2, 4)
    local y = action.matrices(c4, {m}, {dim = 2})("r", x)
    assert.same({3, 2, 4}, y.shape)
    assert.same(list((x[{{}, 2}] * -1)), list(y[{{}, 1}]))
    assert.equal("f32", action.matrices(c4, {m})("r", equi.ones(2)).dtype)
  end)

  it("maps words, as ids and as logits alike", function()
    local words = {"walk", "jump", "run", "look"}
    local opts = {words = words, swaps = {{"jump", "run"}}}
    local act = action.vocabulary(c2, opts)
    assert.same({{1, 3}, {2, 4}}, list(act("r", ids{{1, 2}, {3, 4}})))
    opts.what = "logits"
    assert.same({1, 3, 2, 4}, list(action.vocabulary(c2, opts)("r", f64{1, 2, 3, 4})))
    local forms = {
      {{"jump", "run", "look"}}, {1, 3, 4, 2}, {jump = "run", run = "look", look = "jump"},
      {[2] = 3, [3] = 4, [4] = 2}, {{2, 3, 4}},
    }
    for _, map in ipairs(forms) do
      local a = action.vocabulary(c3, {words = words, generators = {map}})
      assert.same({1, 3, 4, 2}, list(a("r", ids{1, 2, 3, 4})))
      local b = action.vocabulary(c3, {words = words, generators = {map}, what = "logits"})
      -- the logit of a moved token is the logit the token had
      local x = f64{0.1, 0.2, 0.3, 0.4}
      for id = 1, 4 do
        local moved = a("r", ids{id})[1]:item()
        assert.equal(x[id]:item(), b("r", x)[moved]:item())
      end
    end
  end)

  it("sums are blocks", function()
    local act = action.sum{action.regular(c2), action.trivial(c2, {size = 1}), action.regular(c2)}
    assert.equal(5, act.size)
    assert.same({2, 1, 3, 5, 4}, list(act("r", f64{1, 2, 3, 4, 5})))
    local turns = action.matrices(c4, {{{0, -1}, {1, 0}}})
    local mixed = action.sum{turns, action.trivial(c4, {size = 1})}
    assert.same({-2, 1, 9}, list(mixed("r", f64{1, 2, 9})))
  end)

  it("products, chains, tuples and restrictions act as their parts do", function()
    local grid, swap = action.grid(d4), action.regular(c2, {dim = -3})
    local both, x = grid * swap, count(2, 3, 3)
    assert.equal(16, both.group.order)
    assert.equal("dihedral(4) x cyclic(2)", both.group.name)
    for g in d4:iter() do
      assert.same(list(grid(g, swap("r", x))), list(both({g, "r"}, x)))
    end
    local half = grid:restrict(d4:subgroup{"r2"})
    assert.same(list(grid("r2", x)), list(half(half.group[2], x)))
    assert.same(list(half(d4 "r2", x)), list(half(2, x)))
    local y = action.tuple{grid, action.trivial(d4)}("r", {x, f64{7}})
    assert.same(list(grid("r", x)), list(y[1]))
    assert.same({7}, list(y[2]))
  end)

  it("knows its group, dim, size and whether it is exact", function()
    local act = action.permutation(c3, {{2, 3, 1}}, {dim = -2})
    assert.equal(c3, act.group)
    assert.is_true(rawequal(c3, act.group))
    assert.equal(-2, act.dim)
    assert.equal(3, act.size)
    assert.equal("permutation action of cyclic(3) on 3 positions of dim -2", tostring(act))
    assert.is_false(action.matrices(c3, {{{-0.5, -0.8660254}, {0.8660254, -0.5}}}).exact)
  end)

  it("inverses undo, exactly for permutations", function()
    for _, act in ipairs{made["grid of D4"], made["chain"], made["regular, quaternion"]} do
      local x = random{8, 8, 8}
      for g in act.group:iter() do
        assert.same(list(x), list(act(g ^ -1, act(g, x))))
      end
    end
  end)

  -- The gradient of sum(w * g x) in x is g^-1 w when the moves are orthogonal.
  it("gradients are moved back", function()
    local cases = {
      {made["grid of D4"], {2, 4, 4}}, {made["permutation of generators"], {2, 3}},
      {made["regular, quaternion"], {2, 8, 3}}, {made["matrices of C4"], {3, 2}},
      {made["matrices of D3 on dim 1"], {2, 3}}, {made["chain"], {8, 3, 3}},
      {made["sum with matrices"], {2, 6}}, {made["logits"], {7}},
    }
    for _, case in ipairs(cases) do
      local act = case[1]
      for g in act.group:iter() do
        local x = random(case[2], true)
        local w = random(case[2]);
        (act(g, x) * w):sum():backward()
        local worst = (x.grad - act(g ^ -1, w)):pow(2):sum():item()
        assert.is_true(worst < 1e-24, tostring(act) .. " " .. tostring(g))
      end
    end
  end)

  it("orbits are stacked", function()
    if not equi.stack then return pending "orbit: the op stack is absent" end
    local act, x = action.grid(c4), count(2, 2)
    local all = act:orbit(x)
    assert.same({4, 2, 2}, all.shape)
    for i, g in ipairs(c4) do assert.same(list(act(g, x)), list(all[i])) end
  end)
end)

describe("a broken action is refused:", function()
  local function refuses(what, text, f)
    it(what, function()
      local ok, why = pcall(f)
      assert.is_false(ok)
      assert.is_truthy(why:find(text, 1, true), why)
    end)
  end

  refuses("a relation fails", "no action of cyclic(4): r3 after r is not e, at position 1",
    function() action.permutation(c4, {{2, 3, 1}}) end)
  refuses("generators disagree", "no action of dihedral(3): sr after r is not sr2, at", function()
    action.permutation(d3, {{2, 3, 1}, {2, 3, 1}})
  end)
  refuses("identity moves", "the map of the identity e moves positions", function()
    action.permutation(c2, {{2, 1}, {2, 1}})
  end)
  refuses("number of maps", "3 maps are given; cyclic(4) has 1 generators and 4", function()
    action.permutation(c4, {{1}, {1}, {1}})
  end)
  refuses("no bijection", "map 1 is no bijection: it sends both 1 and 2 to 2", function()
    action.permutation(c2, {{2, 2}})
  end)
  refuses("out of range", "map 1 sends 2 to 5; positions are 1 to 2", function()
    action.permutation(c2, {{1, 5}})
  end)
  refuses("matrices of the wrong period", "no action of cyclic(3): r2 after r is not e", function()
    action.matrices(c3, {turn(90)})
  end)
  refuses("matrix not square", "must be square", function() action.matrices(c3, {{{1, 2}}}) end)
  refuses("matrix of NaN", "entries must be finite", function()
    action.matrices(c3, {{{0 / 0}}})
  end)
  refuses("singular matrix", "no action of cyclic(2): r after r is not e", function()
    action.matrices(c2, {{{1, 0}, {0, 0}}})
  end)
  refuses("grid of the wrong group", "what do the generators of cyclic(3) do to a grid?", function()
    action.grid(c3)
  end)
  refuses("grid moves that are no action", "the moves of the square are no action of cyclic(2)",
    function() action.grid(c2, {generators = {"rot90"}}) end)
  refuses("unknown move", 'no move "rot45"; moves are identity, rot90', function()
    action.grid(c2, {generators = {"rot45"}})
  end)
  refuses("grid without square", "the grid is 2 x 3; quarter turns need a square", function()
    action.grid(c4)("r", equi.ones(2, 3))
  end)
  refuses("parts that do not commute", "no action of cyclic(2) x cyclic(2)", function()
    return action.permutation(c2, {{2, 1, 3}}) * action.permutation(c2, {{1, 3, 2}})
  end)
  refuses("parts of different sizes", "the parts move 2 and 3 positions along dim -1", function()
    return action.regular(c2) * action.regular(c3)
  end)
  refuses("sum over groups", "part 2 is an action of cyclic(3), part 1 of cyclic(2)", function()
    action.sum{action.regular(c2), action.regular(c3)}
  end)
  refuses("sum over dims", "part 2 moves another dim than part 1", function()
    action.sum{action.regular(c2), action.regular(c2, {dim = 1})}
  end)
  refuses("sum with a grid", "part 2 moves no fixed number of positions", function()
    action.sum{action.regular(c2), action.grid(c2)}
  end)
  refuses("restriction to a stranger", "cyclic(3) is no subgroup of dihedral(4)", function()
    action.grid(d4):restrict(c3)
  end)
  refuses("wrong size", "the action moves 3 positions along dim -1, the tensor has 4 there (2 x 4)",
    function() action.regular(c3)("r", equi.ones(2, 4)) end)
  refuses("missing dim", "the action moves dim 3, the tensor has 1 dims", function()
    action.regular(c3, {dim = 3})("r", equi.ones(3))
  end)
  refuses("dim 0", "dim is 0; dims are 1 to 8, or -1 to -8", function()
    action.regular(c3, {dim = 0})
  end)
  refuses("stranger's element", "sr is in dihedral(3), not in cyclic(3)", function()
    action.regular(c3)(d3 "sr", equi.ones(3))
  end)
  refuses("no tensor", "x must be a tensor, got number", function() action.regular(c3)("r", 3) end)
  refuses("unknown option", 'no option "dims"; options are dim', function()
    action.regular(c3, {dims = 1})
  end)
  refuses("a tensor that holds NaN", "action:verify: no action of cyclic(4): the", function()
    action.matrices(c4, {turn(90)}):verify(f64{1, 0 / 0})
  end)

  local words = {"walk", "run", "jump"}
  local function vocabulary(opts)
    return function() return action.vocabulary(c2, opts) end
  end
  refuses("two words to one", 'it sends both "run" and "jump" to "run"',
    vocabulary{words = words, generators = {{jump = "run"}}})
  refuses("a word in two cycles", '"run" occurs twice in its cycles',
    vocabulary{words = words, swaps = {{"run", "jump"}, {"run", "walk"}}})
  refuses("unknown word", '"fly" is not among the 3 words',
    vocabulary{words = words, swaps = {{"run", "fly"}}})
  refuses("word without list", '"run" is a word; give the list of words',
    vocabulary{size = 3, swaps = {{"run", "jump"}}})
  refuses("word twice", '"run" is listed twice, as 1 and as 2',
    vocabulary{words = {"run", "run"}, swaps = {}})
  refuses("id out of range", "id 4 is outside the vocabulary; ids are 1 to 3",
    vocabulary{size = 3, swaps = {{1, 4}}})
  refuses("sizes that disagree", "size is 4, but there are 3 words",
    vocabulary{size = 4, words = words, swaps = {}})
  refuses("cycle of the wrong length", "no action of cyclic(2): r after r is not e",
    vocabulary{words = words, swaps = {{"run", "jump", "walk"}}})
  refuses("swaps and generators", "give either swaps",
    vocabulary{words = words, swaps = {}, generators = {{}}})
  refuses("what", 'what is "id"; it is "ids" or "logits"',
    vocabulary{words = words, swaps = {}, what = "id"})
  refuses("no size", "size is 0; give the number of tokens", vocabulary{swaps = {}})
  refuses("an id beyond", "id 4 at position 2 is outside the vocabulary; ids are 1 to 3", function()
    action.vocabulary(c2, {words = words, swaps = {}})("r", ids{1, 4})
  end)
  refuses("logits to an action on ids", 'made with what = "logits"', function()
    action.vocabulary(c2, {words = words, swaps = {}})("r", equi.ones(3))
  end)
end)
