-- PyTorch files that lie: about sizes, strides, storages, and what their pickles may ask for.
local archive = require "spec.support.archive"
local equi = require "lua_equi"
local files = require "spec.support.files"

local int, text, tuple, tensor, dict = archive.int, archive.text, archive.tuple, archive.tensor,
  archive.dict
local BIG = math.maxinteger

describe("torch_file", function()
  local path
  before_each(function() path = files.temporary() end)
  after_each(function() files.remove(path) end)

  local function read(bytes)
    os.remove(path)
    files.write(path, bytes)
    return equi.weights.read(path)
  end

  local function refused(bytes, message)
    local tensors, problem = read(bytes)
    assert.is_nil(tensors, message)
    assert.equal(path .. ": " .. message, problem)
  end

  local six = string.pack("<ffffff", 0, 1, 2, 3, 4, 5)
  local function one(t) return archive.legacy(dict {{"w", tensor(t)}}, {{"0", six}}) end

  it("reads what the parts say", function()
    local got = assert(read(one {size = {2, 3}, stride = {3, 1}}))
    assert.same({{0.0, 1.0, 2.0}, {3.0, 4.0, 5.0}}, got.w:totable())
    got = assert(read(one {size = {3, 2}, stride = {1, 3}, offset = 0}))
    assert.same({{0.0, 3.0}, {1.0, 4.0}, {2.0, 5.0}}, got.w:totable())
    assert.same({5.0}, assert(read(one {size = {1}, stride = {BIG}, offset = 5})).w:totable())
    assert.same({0}, assert(read(one {size = {0}, stride = {1}, offset = 6})).w.shape)
    assert.same({2, 0}, assert(read(one {size = {2, 0}, stride = {BIG, 1}, offset = BIG})).w.shape)
    assert.equal(4.0, assert(read(one {size = {}, stride = {}, offset = 4})).w:item())
    assert.same({1 << 20}, assert(read(one {size = {1 << 20}, stride = {0}})).w.shape)
  end)

  it("takes off wrappers only where tensors are in them", function()
    local settings = dict {{"model", dict {{"depth", "K\20"}}}, {"w", tensor {}}}
    assert.same({6}, assert(read(archive.legacy(settings))).w.shape)
    local weights = dict {{"model", dict {{"state_dict", dict {{"w", tensor {}}}}}}}
    assert.same({6}, assert(read(archive.legacy(weights))).w.shape)
    local none = archive.legacy(dict {{"epoch", "K\1"}, {"model", "N"}}, {})
    assert.same({}, (assert(read(none))))
  end)

  it("tells the settings beside the tensors, within bounds", function()
    local function settings(entries)
      local _, info = assert(read(archive.legacy(dict(entries))))
      return info.settings
    end
    local w = {"w", tensor {}}
    assert.same({depth = 20, name = "net", on = true, inner = {a = {7, 8}}}, settings {w,
      {"depth", int(20)}, {"name", text "net"}, {"on", "\x88"}, {"nothing", "N"},
      {"inner", dict {{"a", tuple {7, 8}}, {"b", "N"}}}, {"other", dict {{"v", tensor {}}}}})
    local many, entries = {}, {w, {"before", int(1)}}
    for i = 1, 10000 do many[i] = 7 end
    entries[3], entries[4] = {"many", tuple(many)}, {"after", int(2)}
    assert.same({before = 1, after = 2}, settings(entries))
    local x, info = assert(read(archive.legacy(tensor {})))
    assert.same({{}, 6}, {info.settings, x.tensor:numel()})
  end)

  it("refuses sizes and strides that leave the storage", function()
    local function leaves(size, stride, offset, shape)
      refused(one {size = size, stride = stride, offset = offset}, ('"w": %s at element %d reaches '
        .. "beyond the 6 that are stored"):format(shape, offset))
    end
    leaves({7}, {1}, 0, "7")
    leaves({6}, {1}, 1, "6")
    leaves({2}, {6}, 0, "2")
    leaves({2, 3}, {4, 1}, 0, "2 x 3")
    leaves({2}, {BIG}, 0, "2")
    leaves({3, 3}, {BIG // 2, BIG // 2}, 0, "3 x 3")
    leaves({2, 2}, {BIG, BIG}, 0, "2 x 2")
    leaves({}, {}, 6, "a single number")
    refused(one {size = {1}, offset = 7}, '"w" begins at element 7 of 6')
    refused(one {size = {1}, offset = BIG}, ('"w" begins at element %d of 6'):format(BIG))
    local beyond = '"w" of %s repeats a storage of 6 numbers beyond any use'
    refused(one {size = {1 << 25}, stride = {0}}, beyond:format(1 << 25))
    refused(one {size = {BIG}, stride = {0}}, beyond:format(BIG))
    refused(one {size = {BIG, BIG}, stride = {0, 0}}, beyond:format(BIG .. " x " .. BIG))
    refused(one {size = {BIG}, stride = {1}}, beyond:format(BIG))
  end)

  it("refuses tensors that are none", function()
    local function wrong(t, what)
      refused(one(t), "its pickle describes a tensor wrongly: " .. what)
    end
    wrong({size = {-1}}, "sizes are no counts")
    wrong({size = {math.mininteger}}, "sizes are no counts")
    wrong({stride = {-1}}, "strides are no counts")
    wrong({offset = -1}, "its offset is no count")
    wrong({size = {text "6"}}, "sizes are no counts")
    wrong({size = {"G\64\24\0\0\0\0\0\0"}}, "sizes are no counts")
    wrong({size = {2, 3}, stride = {1}}, "2 sizes and 1 strides")
    wrong({size = {1, 1, 1, 1, 1, 1, 1, 1, 1}}, "it has 9 dimensions; at most 8 can be loaded")
    wrong({count = -1}, "its storage has another form")
    wrong({count = math.mininteger}, "its storage has another form")
    wrong({view = tuple {text "v", 0, 7}}, "its part of a storage lies outside")
    wrong({view = tuple {text "v", BIG, 1}}, "its part of a storage lies outside")
    wrong({view = tuple {text "v", 7, BIG}}, "its part of a storage lies outside")
    wrong({view = "K\1"}, "its part of a storage lies outside")
    refused(one {count = BIG},
      ('the storage "0" of %d numbers is larger than any memory'):format(BIG))
    local function calls(opcodes, what)
      refused(archive.legacy(opcodes), "its pickle describes a tensor wrongly: " .. what)
    end
    calls("ctorch._utils\n_rebuild_tensor\n)R", "0 arguments")
    calls("ctorch._utils\n_rebuild_tensor\n(NNNNtR", "it has no storage")
    calls("ctorch._utils\n_rebuild_parameter\n(NtR", "a parameter without a tensor")
    calls("NQ", "its storage has another form")
  end)

  it("refuses storages that do not fit their file", function()
    local w = dict {{"w", tensor {}}}
    local two = dict {{"a", tensor {}}, {"b", tensor {key = "1"}}}
    refused(archive.legacy(w, {{"0", six, 5}}),
      'the storage "0" has 5 numbers, not the 6 it is said to have')
    refused(archive.legacy(w, {{"0", six, -1}}),
      'the storage "0" has -1 numbers, not the 6 it is said to have')
    refused(archive.legacy(w, {{"0", six:sub(1, 23), 6}}),
      'it ends inside the storage "0" of 24 bytes')
    refused(archive.legacy(w, {{"0", six .. "x", 6}}), "1 bytes follow its last storage")
    refused(archive.legacy(w, {}), 'the storage "0" is not in its list')
    refused(archive.legacy(w, {{"0", six}, {"0", six}}), 'the storage "0" comes twice')
    refused(archive.legacy(w, {{"1", six}}),
      "its list of storages names one that no tensor uses")
    refused(archive.legacy(w, nil, {keys = "N"}), "its list of storages is none")
    refused(archive.legacy(two, {{"0", six}}), 'the storage "1" is not in its list')
    refused(archive.legacy(dict {{"a", tensor {}}, {"b", tensor {type = "Long"}}}),
      'the storage "0" is said to have 6 of F32 and 6 of I64')
    refused(archive.legacy(dict {{"a", tensor {}}, {"b", tensor {count = 5}}}),
      'the storage "0" is said to have 6 of F32 and 5 of F32')
  end)

  it("refuses other forms of pickles", function()
    local w = dict {{"w", tensor {}}}
    refused(archive.legacy(w, nil, {magic = int(7)}), "it is a pickle that torch.save did not "
      .. "write; save the tensors with torch.save or numpy.savez")
    refused(archive.legacy(w, nil, {version = int(1002)}),
      "it is of a form of PyTorch's that is not 1001")
    refused(archive.legacy(w, nil, {system = "}"}),
      "its numbers are big-endian; save it on a little-endian machine")
    refused(archive.legacy(dict {{"w", tensor {}}, {"w", tensor {}}}), '"w" comes twice in a dict')
    refused(archive.legacy(dict {{"a.b", tensor {}}, {"a", dict {{"b", tensor {}}}}}),
      '"a.b" comes twice')
  end)

  it("holds out against containers without end #words", function()
    local laughs = {"](" .. tensor {} .. "eq\0"}
    for i = 1, 40 do
      laughs[#laughs + 1] = ("](%seq%s"):format(("h" .. string.char(i - 1)):rep(10),
        string.char(i))
    end
    refused(archive.legacy(table.concat(laughs)), "it has more than 262144 tensors")
    local function alone(body) return archive.legacy(body, {}) end
    laughs[1] = "](]eq\0"
    refused(alone(table.concat(laughs)), "its containers hold each other too often")
    refused(alone("]q\0h\0a"), "its containers are nested deeper than 64")
    refused(archive.legacy("}q\0" .. text "state_dict" .. "h\0s" .. text "w" .. tensor {} .. "s"),
      "its dicts hold themselves")
    refused(alone("}q\0" .. text "state_dict" .. "h\0s"),
      "its containers are nested deeper than 64")
    refused(alone(("]"):rep(100000) .. ("a"):rep(99999)),
      "its containers are nested deeper than 64")
    refused(archive.legacy("}" .. text(("n"):rep(5000)) .. tensor {} .. "s"),
      "its pickle has a dict with a key of 5000 letters")
  end)

  it("reads archives only as PyTorch writes them", function()
    local pid = tuple {text "storage", "ctorch\nFloatStorage\n", text "0", text "cpu", 6} .. "Q"
    local w = "ctorch._utils\n_rebuild_tensor_v2\n" .. tuple {pid, 0, tuple {2, 3}, tuple {3, 1},
      "\x89", "ccollections\nOrderedDict\n)R"} .. "R"
    local good = archive.pickle(dict {{"w", w}})
    assert.same({2, 3}, assert(read(archive.zip {{"x/data.pkl", good}, {"x/data/0", six}})).w.shape)
    assert.same({2, 3}, assert(read(archive.zip({{"x/data.pkl", good}, {"x/data/0", six}},
      {zip64 = true}))).w.shape)
    refused(archive.zip {{"x/data.pkl", good}}, '"x/data/0" is missing in it')
    refused(archive.zip {{"x/data.pkl", good}, {"y/data/0", six}}, '"x/data/0" is missing in it')
    refused(archive.zip {{"x/data.pkl", good}, {"x/data/0", six:sub(2)}},
      'the storage "0" takes 23 bytes in it, but 6 of F32 take 24')
    refused(archive.zip {{"x/data.pkl", good .. "x"}, {"x/data/0", six}},
      "its data.pkl is longer than its pickle")
    refused(archive.zip {{"x/data.pkl", good:sub(1, -2)}, {"x/data/0", six}},
      ("its pickle is cut off at byte %d"):format(30 + 10 + #good - 1))
    refused(archive.zip {{"x/data.pkl", good}, {"x/data/0", six, method = 12, size = 30}},
      '"x/data/0" is compressed by method 12 in it, and PyTorch stores; save it again with '
      .. "torch.save")
  end)

  it("refuses every truncation #words", function()
    local folder = "spec/support/weights/"
    for _, name in ipairs {"protocol4.pt", "python2.pth", "wrapped.th", "packed.npz", "fortran.npy",
      "scalar.npy"} do
      local bytes = files.read(folder .. name)
      for n = 0, #bytes - 1 do
        local tensors, problem = read(bytes:sub(1, n))
        assert.is_nil(tensors, name .. " of " .. n)
        assert.is_nil(problem:find "\n")
      end
      assert.is_truthy(read(bytes))
    end
  end)
end)
