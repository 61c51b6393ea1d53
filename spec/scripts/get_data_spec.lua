-- scripts/get_data.lua as a command. Nothing leaves the machine: addresses are folders (file://) or
-- a port where nobody listens.
local files = require "spec.support.files"

local function run(words) return files.script("get_data.lua", words) end

describe("scripts/get_data.lua", function()
  local folder
  before_each(function() folder = files.folder() end)
  after_each(function() files.remove(folder) end)

  it("lists what it knows", function()
    local text, code = run "--list"
    assert.equal(0, code)
    for _, name in ipairs {"cifar10", "cifar10-npm", "cifar100", "hymenoptera"} do
      assert.is_truthy(("\n" .. text):find("\n" .. name .. " ", 1, true), name)
    end
  end)

  it("says what is wrong with the command", function()
    assert.same({'get_data.lua: no data set "cifar11"; there are cifar10, cifar10-npm, cifar100, '
      .. 'hymenoptera; did you mean "cifar10"?\n', 2}, {run "cifar11"})
    local text, code = run ""
    assert.equal(2, code)
    assert.matches("^get_data.lua: name a data set", text)
  end)

  it("says clearly when there is no network", function()
    local text, code = run("cifar10 --quiet --from http://127.0.0.1:1 --out " .. folder)
    assert.equal(1, code)
    assert.matches("^get_data.lua: cifar10: 127.0.0.1:1 cannot be reached %(curl ended with 7%); "
      .. "is there a network%? Otherwise fetch http://127.0.0.1:1/cifar%-10%-binary.tar.gz "
      .. "elsewhere and put it to ", text)
    assert.same({}, files.list(folder)) -- no empty folder is left behind
  end)

  it("ends at Ctrl-C with 130 and one sentence", function()
    files.write(folder .. "/curl", "#!/bin/sh\nkill -INT $$\n") -- as Ctrl-C ends it
    local command = "chmod +x %s/curl; PATH=%s:$PATH lua5.4 scripts/get_data.lua hymenoptera "
      .. "--quiet --out %s 2>&1; echo $?"
    assert.equal("get_data.lua: interrupted; what has arrived is kept, and the same command goes on"
      .. "\n130\n", files.shell(command:format(folder, folder, folder)))
  end)

  it("refuses an archive with another checksum", function()
    local source = files.folder()
    files.write(source .. "/hymenoptera_data.zip", "no pictures")
    local text, code = run(("hymenoptera --quiet --from file://%s --out %s"):format(source, folder))
    assert.equal(1, code)
    assert.matches("hymenoptera_data.zip is not the file it should be: its SHA%-256 begins", text)
    assert.same({}, files.list(folder))
    files.remove(source)
  end)

  it("sees what is there already, and what is damaged", function()
    local set = folder .. "/hymenoptera"
    local link = "mkdir -p '%s' && ln -s \"$PWD\"/../shared/data/hymenoptera/* '%s'"
    os.execute(link:format(set, set))
    if not files.exists(set .. "/train") then
      return pending "get_data, pictures: ../shared/data/hymenoptera is absent"
    end
    assert.same({("hymenoptera: %s, there already, 244 and 153 pictures\n"):format(set), 0},
      {run("hymenoptera --from http://127.0.0.1:1 --out " .. folder)})
    os.execute(("mkdir '%s/cifar10'"):format(folder))
    files.write(folder .. "/cifar10/data_batch_1.bin", "")
    local text, code = run("cifar10 --quiet --from http://127.0.0.1:1 --out " .. folder)
    assert.equal(1, code)
    assert.matches("cannot be reached", text)
  end)
end)
