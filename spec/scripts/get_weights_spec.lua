-- scripts/get_weights.lua as a command, and scripts/fetch.lua below it. Nothing leaves the machine:
-- addresses are folders (file://) or a port where nobody listens.
local fetch = require "scripts.fetch"
local files = require "spec.support.files"

local function run(words) return files.script("get_weights.lua", words) end

describe("scripts/get_weights.lua", function()
  local folder
  before_each(function() folder = files.folder() end)
  after_each(function() files.remove(folder) end)

  it("lists what it knows, each with an address that ends in its checksum", function()
    local text, code = run "--list"
    assert.equal(0, code)
    local count = 0
    for url in text:gmatch "https://%S+" do
      assert.matches("^https://[%w_./-]+/[%w_-]+%-%x%x%x%x%x%x%x%x%.p?th$", url)
      count = count + 1
    end
    assert.equal(26, count)
    for _, name in ipairs {"alexnet", "vgg16", "vgg19_bn", "resnet152", "densenet161",
      "squeezenet1_1", "resnet20", "resnet1202"} do
      assert.is_truthy(text:find("\n" .. name .. " +", 1) or text:find("^" .. name .. " +"), name)
    end
  end)

  it("says what is wrong with the command", function()
    local text, code = run ""
    assert.same({"get_weights.lua: name a network, as in get_weights.lua resnet20; --list prints "
      .. "those that are known\n", 2}, {text, code})
    text, code = run "resnet21"
    assert.same({2, 'get_weights.lua: no network "resnet21"; did you mean "resnet20"? '
      .. "--list prints those that are known\n"},
      {code, text})
    text, code = run "--nmes resnet20"
    assert.equal(2, code)
    assert.equal("get_weights.lua: no option --nmes; did you mean --names?; --help lists them\n",
      text)
  end)

  it("says clearly when there is no network", function()
    local text, code = run("resnet20 --quiet --from http://127.0.0.1:1 --out " .. folder)
    assert.same({("get_weights.lua: resnet20: 127.0.0.1:1 cannot be reached (curl ended with 7); "
      .. "is there a network? Otherwise fetch http://127.0.0.1:1/resnet20-12fca82f.th elsewhere "
      .. "and put it to %s/resnet20-12fca82f.th\n"):format(folder), 1}, {text, code})
    assert.same({}, files.list(folder))
  end)

  it("refuses a file with another checksum, and what is not there", function()
    local source = files.folder()
    files.write(source .. "/resnet20-12fca82f.th", "no weights")
    local text, code = run(("resnet20 --quiet --from file://%s --out %s"):format(source, folder))
    assert.equal(1, code)
    assert.matches("^get_weights%.lua: resnet20: file://%S+/resnet20%-12fca82f%.th is not the file "
      .. "it should be: its SHA%-256 begins with %x+ and should begin with 12fca82f\n$", text)
    assert.same({}, files.list(folder))
    text, code = run(("resnet32 --quiet --from file://%s --out %s"):format(source, folder))
    assert.equal(1, code)
    assert.matches("^get_weights%.lua: resnet32: there is no file://%S+/resnet32%-d509ac18%.th\n$",
      text)
    files.remove(source)
  end)

  it("fetches a published file once, and says what is in it", function()
    local data = files.shell "cd ../shared/data/cifar10-resnets 2>/dev/null && pwd":gsub("\n", "")
    if data == "" then pending "get_weights.lua: ../shared/data/cifar10-resnets is absent" end
    local words = ("resnet20 --quiet --from file://%s --out %s/new/folder/"):format(data, folder)
    local path = folder .. "/new/folder/resnet20-12fca82f.th"
    assert.same({"resnet20: " .. path .. ", fetched, 97 tensors\n", 0}, {run(words)})
    assert.same({"resnet20: " .. path .. ", there already, 97 tensors\n", 0}, {run(words)})
    files.write(path, "changed")
    local text, code = run(words)
    assert.equal(1, code)
    assert.matches("is there already, but its SHA%-256 begins with %x+ and should begin with "
      .. "12fca82f; remove it first\n$", text)
    assert.equal("changed", files.read(path))
  end)

  it("goes on where it stopped", function()
    local source, path = folder .. "/it's here", folder .. "/out/x"
    local bytes = ("0123456789abcdef"):rep(4096)
    files.write(source, bytes)
    local wanted = assert(fetch.sha256(source))
    local file = {url = "file://" .. source:gsub(" ", "%%20"), path = path, sha256 = wanted,
      quiet = true}
    files.shell(("mkdir '%s/out'"):format(folder))
    files.write(path .. ".part", bytes:sub(1, 1000))
    assert.same({"fetched"}, {fetch.file(file)})
    assert.equal(bytes, files.read(path))
    assert.same({"x"}, files.list(folder .. "/out"))
    -- the part is really used: a wrong one gives a wrong file, which is thrown away
    os.remove(path)
    files.write(path .. ".part", ("x"):rep(1000))
    local how, problem = fetch.file(file)
    assert.is_nil(how)
    assert.matches("is not the file it should be", problem)
    assert.same({"fetched"}, {fetch.file(file)})
    -- complete, but stopped before it was renamed
    os.rename(path, path .. ".part")
    os.remove(source)
    assert.same({"fetched"}, {fetch.file(file)})
  end)
end)
