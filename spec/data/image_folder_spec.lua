-- Folders of pictures: order, what counts as a picture, what is refused.
local equi = require "lua_equi"
local files = require "spec.support.files"
local image_folder = equi.data.image_folder

describe("data.image_folder", function()
  local folder
  before_each(function() folder = files.folder() end)
  after_each(function() files.remove(folder) end)

  local function touch(...)
    for _, name in ipairs {...} do
      os.execute(("mkdir -p '%s'"):format((folder .. "/" .. name):match "^(.*)/"))
      files.write(folder .. "/" .. name, "")
    end
  end

  it("sorts classes and files by their names", function()
    touch("bees/b.PNG", "bees/a b.jpeg", "ants/2.jpg", "ants/10.jpg", "bees/deep/0.png",
      "ants/imageNotFound.gif", "ants/readme", "top.png")
    local set = image_folder.load(folder)
    assert.same({"ants", "bees"}, set.classes)
    local names = {}
    for i, path in ipairs(set.paths) do names[i] = path:sub(#folder + 2) end
    assert.same({"ants/10.jpg", "ants/2.jpg", "bees/a b.jpeg", "bees/b.PNG", "bees/deep/0.png"},
      names)
    assert.same({1, 1, 2, 2, 2}, set.labels:totable())
    assert.same({folder .. "/ants/imageNotFound.gif", folder .. "/ants/readme"}, set.skipped)
    local other = image_folder.load(folder, {classes = {"bees", "ants"}})
    assert.same({1, 1, 1, 2, 2}, other.labels:totable())
  end)

  it("refuses empty folders by name, and follows no circle", function()
    assert.matches("no folders in it", select(2, image_folder.read(folder)))
    touch("ants/a.png", "bees/only.gif")
    assert.matches("/bees: no pictures; names end in .jpg, .jpeg, .png",
      select(2, image_folder.read(folder)))
    os.execute(("ln -s . '%s/ants/again'"):format(folder))
    assert.is_nil((image_folder.read(folder)))
    assert.matches("cannot list .*/none", select(2, image_folder.read(folder .. "/none")))
    assert.matches("cannot list .*/wasps",
      select(2, image_folder.read(folder, {classes = {"wasps"}})))
    assert.matches("image_folder_spec.lua:%d+: image_folder.load: ",
      select(2, pcall(function() image_folder.load(folder .. "/none") end)))
    assert.has_error(function() image_folder.read(3) end)
  end)

  it("reads Hymenoptera as its tutorial counts it", function()
    local shared = "../shared/data/hymenoptera"
    if not files.exists(shared .. "/train/ants/imageNotFound.gif") then
      return pending "image_folder, Hymenoptera: ../shared/data/hymenoptera is absent"
    end
    local train, val = image_folder.load(shared .. "/train"), image_folder.load(shared .. "/val")
    assert.same({244, 153}, {#train.paths, #val.paths})
    assert.same({"ants", "bees"}, train.classes)
    assert.equal(123, train.labels:eq(1):to("f32"):sum():item())
    assert.equal(1, #train.skipped)
  end)
end)
