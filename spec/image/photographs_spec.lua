-- Real photographs beside PIL: decoded, and with the shorter side resized to 224. Progressive ones,
-- chroma at half the size, a name with a space, a name in .jpeg, the smallest of the set.
local equi = require "lua_equi"
local files = require "spec.support.files"

local FOLDER = "../shared/data/hymenoptera/"

-- name, height, width, MD5 of the H x W x 3 bytes of PIL's convert("RGB") and of its resize
local photographs = {
  {"train/ants/ant photos.jpg", 236, 343, "9999785720dc656fcc4435f345f1b285",
    "d9bafcf7834ed2168a5e17194f8615ca"},
  {"val/bees/6a00d8341c630a53ef00e553d0beb18834-800wi.jpg", 533, 800,
    "100fca05f41e108f759526d3881d31d9", "55b3ad187d36fea9052c3370a0159b93"},
  {"train/ants/175998972.jpg", 359, 479, "a105c3535b96fdad96c99f52124a8ad4",
    "aba30c54082c81da70d139fea3e3f92a"},
  {"train/ants/Nepenthes_rafflesiana_ant.jpg", 1984, 1488, "001b9bdee836fc304f64afeb306ab990",
    "a117a499f571a28a3f729ca1f95c6038"},
  {"train/ants/formica.jpeg", 130, 193, "ce9221405e46009c3bb0393b7f7c7ebf",
    "4612e6414143f05e3d7330c6ba91e944"},
  {"train/ants/trap-jaw-ant-insect-bg.jpg", 160, 200, "2e09d1088c8b9e0083a34fc9e6e21336",
    "f9a97374d6b287eb0095dc91f67e4f04"},
}

describe("photographs", function()
  local path
  setup(function() path = files.temporary() end)
  teardown(function() os.remove(path) end)

  local function md5(x)
    files.write(path, x:permute(2, 3, 1):tobytes())
    return files.shell("md5sum < " .. path):match "^%x+"
  end

  for _, p in ipairs(photographs) do
    it("have PIL's pixels: " .. p[1], function()
      if not files.exists(FOLDER .. p[1]) then
        return pending "photographs: ../shared/data/hymenoptera is absent"
      end
      if not equi.core.build().jpeg then return pending "photographs: this build has no libjpeg" end
      local x = equi.image.load(FOLDER .. p[1])
      assert.same({3, p[2], p[3]}, {x:size()})
      assert.equal(p[4], md5(x))
      assert.equal(p[5], md5(equi.image.resize(x, 224)))
    end)
  end

  it("are read by the loader", function()
    if not files.exists(FOLDER .. photographs[1][1]) or not equi.core.build().jpeg then
      return pending "photographs, loader: ../shared/data/hymenoptera or libjpeg is absent"
    end
    local paths = {}
    for i, p in ipairs(photographs) do paths[i] = FOLDER .. p[1] end
    local l <close> = equi.data.loader.new({paths = paths}, {batch = 6, resize = 256, crop = 224,
      mean = {0.485, 0.456, 0.406}, std = {0.229, 0.224, 0.225}})
    local x = l:next()
    assert.same({6, 3, 224, 224}, {x:size()})
    local y = equi.image.center_crop(equi.image.resize(equi.image.load(paths[4]), 256), 224)
    y = equi.image.normalize(y, {mean = {0.485, 0.456, 0.406}, std = {0.229, 0.224, 0.225}})
    assert.is_true((x[4] - y):abs():max():item() < 1e-5)
  end)
end)
