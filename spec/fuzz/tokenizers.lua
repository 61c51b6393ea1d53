--- What the targets that read tokenizers share: where the seeds are, and how a result is used up.
local tokenizers = {}

tokenizers.folder = "spec/support/tokenizers/"

-- Encodes and decodes; `exact`: every text comes back.
local function use(tok, exact)
  for _, text in ipairs {"the cats' hats", "", "naïve 你好 \xFF\0", ("ab"):rep(100)} do
    local back = tok:decode(tok:encode(text))
    assert(not exact or back == text, "a text does not come back")
  end
end

--- A target of spec/fuzz/fuzz.lua whose seed is a file of spec/support/tokenizers. `ending`: what
--- the name of the file that is read must end in.
---@param t table {seed =, words =, read = function(path), exact = boolean, ending = string?}
---@return table
function tokenizers.target(t)
  local function read(path)
    if not t.ending then return t.read(path) end
    local named = path .. t.ending
    assert(os.rename(path, named))
    local tok, message = t.read(named)
    assert(os.rename(named, path))
    return tok, message
  end
  return {seeds = {tokenizers.folder .. t.seed}, words = t.words, read = read,
    use = function(tok) use(tok, t.exact) end}
end

return tokenizers
