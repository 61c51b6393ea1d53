--- JSON (RFC 8259), strict, for file headers, logs and vocabularies.
--
-- decode is written for hostile input: sizes and depth are bounded, every mistake is refused with
-- its byte position, nothing is guessed. encode writes only what decode reads back as it was:
-- integers stay integers, floats keep every bit.
-- Not a stream parser, and no comments, trailing commas, NaN or other extensions.

local options = require "lua_equi.options"

local json = {}

local find, sub, byte = string.find, string.sub, string.byte

--- The value that stands for JSON's null, which a Lua table cannot hold.
---@type table
--- Example:
---     local json = require "lua_equi.json"
---     print(json.decode("[1, null]")[2] == json.null)   --> true
json.null = setmetatable({}, {__name = "json.null", __tostring = function() return "null" end})

local array_mt = {__name = "json.array"}

--- Marks a table as a JSON array, so that an empty one is written `[]` and not `{}`.
---@param t table
---@return table t the same table
--- Example:
---     local json = require "lua_equi.json"
---     print(json.encode({shape = json.array {}}))   --> {"shape":[]}
function json.array(t)
  return setmetatable(t, array_mt)
end

--- Whether a value was read from a JSON array, or marked by `json.array`.
---@param value any
---@return boolean
--- Example:
---     local json = require "lua_equi.json"
---     print(json.is_array(json.decode "[]"), json.is_array(json.decode "{}"))   --> true false
function json.is_array(value)
  return type(value) == "table" and getmetatable(value) == array_mt
end

-- A decoding mistake travels as a table, so that errors of other kinds pass through untouched.
local function fail(pos, what)
  error({json = ("%s at byte %d"):format(what, pos)}, 0)
end

local function found(s, pos)
  local c = sub(s.text, pos, pos)
  if c == "" then return "the end" end
  if find(c, "[%w%p]") then return ('"%s"'):format(c) end
  return ("byte 0x%02x"):format(byte(c))
end

local function skip(s, pos)
  return find(s.text, "[^ \t\r\n]", pos) or #s.text + 1
end

local ESCAPES = {['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r",
  t = "\t"}

-- Reads the four digits after \u; pos is that of the backslash.
local function read_hex(s, pos)
  local digits = sub(s.text, pos + 2, pos + 5)
  if not find(digits, "^%x%x%x%x$") then fail(pos, "\\u needs four hexadecimal digits") end
  return tonumber(digits, 16)
end

-- Reads the escape at pos. Returns its bytes and the position after it.
local function read_escape(s, pos)
  local c = sub(s.text, pos + 1, pos + 1)
  if ESCAPES[c] then return ESCAPES[c], pos + 2 end
  if c ~= "u" then fail(pos, "no such escape: \\ before " .. found(s, pos + 1)) end
  local code = read_hex(s, pos)
  if code < 0xD800 or code > 0xDFFF then return utf8.char(code), pos + 6 end
  if code > 0xDBFF or sub(s.text, pos + 6, pos + 7) ~= "\\u" then
    fail(pos, "half a surrogate pair")
  end
  local low = read_hex(s, pos + 6)
  if low < 0xDC00 or low > 0xDFFF then fail(pos, "half a surrogate pair") end
  return utf8.char(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)), pos + 12
end

-- Reads the string whose opening quote is at pos. Returns it and the position after it.
local function read_string(s, pos)
  local parts, n, from = nil, 0, pos + 1
  while true do
    local at = find(s.text, '[\0-\31"\\]', from)
    if not at then fail(pos, "a string without its closing quote") end
    local c = byte(s.text, at)
    if c == 34 then
      local tail = sub(s.text, from, at - 1)
      return parts and table.concat(parts) .. tail or tail, at + 1
    elseif c ~= 92 then
      fail(at, ("control character 0x%02x inside a string"):format(c))
    end
    parts = parts or {}
    parts[n + 1] = sub(s.text, from, at - 1)
    parts[n + 2], from = read_escape(s, at)
    n = n + 2
  end
end

local function read_number(s, pos)
  local _, stop = find(s.text, "^-?%d+", pos)
  if not stop then fail(pos, "a minus sign without digits") end
  if find(s.text, "^-?0%d", pos) then fail(pos, "a number with a leading zero") end
  local is_float = false
  if sub(s.text, stop + 1, stop + 1) == "." then
    local _, last = find(s.text, "^%d+", stop + 2)
    if not last then fail(pos, "a decimal point without digits after it") end
    stop, is_float = last, true
  end
  if find(s.text, "^[eE]", stop + 1) then
    local _, last = find(s.text, "^[+-]?%d+", stop + 2)
    if not last then fail(pos, "an exponent without digits") end
    stop, is_float = last, true
  end
  local x = tonumber(sub(s.text, pos, stop))
  if is_float then
    x = x + 0.0
    if x == math.huge or x == -math.huge then fail(pos, "a number too large for a double") end
  elseif math.type(x) ~= "integer" then
    fail(pos, "an integer beyond 64 bits")
  end
  return x, stop + 1
end

local LITERALS = {t = {"true", true}, f = {"false", false}, n = {"null", json.null}}

local read_value -- the two readers below and this one call each other

local function read_array(s, pos, depth)
  local array, n = json.array {}, 0
  pos = skip(s, pos + 1)
  if byte(s.text, pos) == 93 then return array, pos + 1 end
  while true do
    n = n + 1
    array[n], pos = read_value(s, pos, depth)
    pos = skip(s, pos)
    local c = byte(s.text, pos)
    if c == 93 then return array, pos + 1 end
    if c ~= 44 then fail(pos, 'expected "," or "]", got ' .. found(s, pos)) end
    pos = skip(s, pos + 1)
  end
end

local function read_object(s, pos, depth)
  local object = {}
  pos = skip(s, pos + 1)
  if byte(s.text, pos) == 125 then return object, pos + 1 end
  while true do
    if byte(s.text, pos) ~= 34 then fail(pos, "expected a quoted key, got " .. found(s, pos)) end
    local key, colon = read_string(s, pos)
    if s.unique and object[key] ~= nil then
      fail(pos, ('key "%s" twice'):format(sub(key, 1, 60)))
    end
    colon = skip(s, colon)
    if byte(s.text, colon) ~= 58 then fail(colon, 'expected ":", got ' .. found(s, colon)) end
    object[key], pos = read_value(s, skip(s, colon + 1), depth)
    pos = skip(s, pos)
    local c = byte(s.text, pos)
    if c == 125 then return object, pos + 1 end
    if c ~= 44 then fail(pos, 'expected "," or "}", got ' .. found(s, pos)) end
    pos = skip(s, pos + 1)
  end
end

function read_value(s, pos, depth)
  local c = sub(s.text, pos, pos)
  if c == '"' then return read_string(s, pos) end
  if c == "{" or c == "[" then
    if depth >= s.max_depth then fail(pos, ("nested deeper than %d"):format(s.max_depth)) end
    if c == "{" then return read_object(s, pos, depth + 1) end
    return read_array(s, pos, depth + 1)
  end
  if find(c, "^[-%d]") then return read_number(s, pos) end
  local literal = LITERALS[c]
  if literal and sub(s.text, pos, pos + #literal[1] - 1) == literal[1] then
    return literal[2], pos + #literal[1]
  end
  return fail(pos, "expected a value, got " .. found(s, pos))
end

local function decode_all(s)
  local value, pos = read_value(s, skip(s, 1), 0)
  pos = skip(s, pos)
  if pos <= #s.text then fail(pos, "text after the value: " .. found(s, pos)) end
  return value
end

local DECODE = {unique = false, max_depth = 512, max_size = math.maxinteger}

--- Reads a JSON text.
--- Objects become tables with string keys, arrays lists (see `json.is_array`), null `json.null`.
--- A number without point and exponent is a Lua integer, refused beyond 64 bits; others are floats.
--- `unique` refuses a key that comes twice in an object (else the last wins); `max_depth` bounds
--- nesting (512), `max_size` the bytes of the text (no bound).
---@param text string UTF-8
---@param given? {unique: boolean, max_depth: integer, max_size: integer}
---@return any value nil when the text is refused
---@return string? message says what is wrong and at which byte, counted from 1
--- Example:
---     local json = require "lua_equi.json"
---     print(json.decode('{"shape": [2, 3]}').shape[2])   --> 3
---     print(json.decode("[1, 2"))
---     --> nil json.decode: expected "," or "]", got the end at byte 6
function json.decode(text, given)
  local s = options.check("json.decode", given, DECODE)
  if type(text) ~= "string" then
    error(("json.decode: text must be a string, got a %s"):format(type(text)), 2)
  end
  if #text > s.max_size then
    return nil, ("json.decode: the text has %d bytes, the limit is %d"):format(#text, s.max_size)
  end
  local length, bad = utf8.len(text)
  if not length then return nil, ("json.decode: not UTF-8 at byte %d"):format(bad) end
  s.text = text
  local ok, value = pcall(decode_all, s)
  if ok then return value end
  if type(value) ~= "table" or not value.json then error(value, 0) end
  return nil, "json.decode: " .. value.json
end

--- Reads a JSON file; options as for `json.decode`.
---@param path string
---@param given? table
---@return any value nil when it cannot be read
---@return string? message
--- Example:
---     local json = require "lua_equi.json"
---     print(json.read "no/such.json")
---     --> nil json.read: no/such.json: No such file or directory
function json.read(path, given)
  local file, problem = io.open(path, "rb")
  if not file then return nil, "json.read: " .. problem end
  local text
  text, problem = file:read "a"
  file:close()
  if not text then return nil, ("json.read: %s: %s"):format(path, problem) end
  local value
  value, problem = json.decode(text, given)
  if problem then return nil, ("%s: %s"):format(path, problem) end
  return value
end

--- A number as the shortest decimal text that reads back as the same number.
--- Floats keep a point or exponent; nan and infinities become nan, inf, -inf (not JSON).
---@param x number
---@return string
--- Example:
---     local json = require "lua_equi.json"
---     print(json.number(0.1), json.number(1), json.number(1.0))   --> 0.1 1 1.0
function json.number(x)
  if math.type(x) == "integer" then return ("%d"):format(x) end
  if x ~= x then return "nan" end
  if x == math.huge or x == -math.huge then return x > 0 and "inf" or "-inf" end
  local text
  for digits = 15, 17 do
    text = ("%." .. digits .. "g"):format(x)
    if tonumber(text) == x then break end
  end
  return find(text, "[.eE]") and text or text .. ".0"
end

local UNESCAPED = {['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n",
  ["\r"] = "\\r", ["\t"] = "\\t"}

local function write_string(s, text, path)
  if not utf8.len(text) then error({json = path .. " is not UTF-8"}, 0) end
  local escaped = text:gsub('[\0-\31"\\]', function(c)
    return UNESCAPED[c] or ("\\u%04x"):format(byte(c))
  end)
  s[#s + 1] = '"' .. escaped .. '"'
end

-- Lists the keys of an object in the order of writing; nil when the table is an array.
local function object_keys(s, t, path)
  local n, keys, texts = #t, {}, 0
  for key in pairs(t) do
    keys[#keys + 1] = key
    if type(key) == "string" then texts = texts + 1 end
  end
  if texts == #keys and not json.is_array(t) and (texts > 0 or n == 0) then
    if s.sort then table.sort(keys) end
    return keys
  end
  if texts > 0 then error({json = path .. " has names and list items together"}, 0) end
  for _, key in ipairs(keys) do
    if math.type(key) ~= "integer" or key < 1 or key > #keys then
      error({json = ("%s has the key %s: not a list without holes, not names"):format(path,
        tostring(key))}, 0)
    end
  end
  return nil
end

local write_value -- the writer below and this one call each other

local function write_table(s, t, path, depth)
  if depth >= s.max_depth then
    error({json = ("%s... is nested deeper than %d (a cycle?)"):format(sub(path, 1, 60),
      s.max_depth)}, 0)
  end
  local keys = object_keys(s, t, path)
  local count = keys and #keys or #t
  local inner = s.indent > 0 and count > 0 and "\n" .. (" "):rep(s.indent * (depth + 1)) or ""
  s[#s + 1] = keys and "{" or "["
  for i = 1, count do
    if i > 1 then s[#s + 1] = "," end
    s[#s + 1] = inner
    if keys then
      local key = keys[i]
      write_string(s, key, path .. "'s key")
      s[#s + 1] = s.indent > 0 and ": " or ":"
      write_value(s, t[key], path .. "." .. key, depth + 1)
    else
      write_value(s, t[i], ("%s[%d]"):format(path, i), depth + 1)
    end
  end
  if inner ~= "" then s[#s + 1] = "\n" .. (" "):rep(s.indent * depth) end
  s[#s + 1] = keys and "}" or "]"
end

function write_value(s, value, path, depth)
  local kind = type(value)
  if value == json.null or kind == "boolean" then
    s[#s + 1] = tostring(value)
  elseif kind == "number" then
    local text = json.number(value)
    if find(text, "[nN]") then error({json = ("%s is %s"):format(path, text)}, 0) end
    s[#s + 1] = text
  elseif kind == "string" then
    write_string(s, value, path)
  elseif kind == "table" then
    write_table(s, value, path, depth)
  else
    error({json = ("%s is a %s"):format(path, kind)}, 0)
  end
end

local ENCODE = {sort = true, indent = 0, max_depth = 512}

--- Writes a value as JSON.
--- A list without holes becomes an array, a table with string keys an object, an empty table `{}`
--- unless marked by `json.array`. Keys are sorted, so that equal values give equal bytes;
--- `sort = false` is faster. `indent` spaces a level, one item a line (0: one line).
--- Raises for what JSON has not: nan, infinities, functions, mixed tables, other keys, cycles,
--- strings that are not UTF-8; the message names the place.
---@param value any
---@param given? {sort: boolean, indent: integer, max_depth: integer}
---@return string text
--- Example:
---     local json = require "lua_equi.json"
---     print(json.encode({b = {1, 2.5}, a = "x"}))   --> {"a":"x","b":[1,2.5]}
function json.encode(value, given)
  local s = options.check("json.encode", given, ENCODE)
  local ok, problem = pcall(write_value, s, value, "value", 0)
  if not ok then
    if type(problem) ~= "table" or not problem.json then error(problem, 0) end
    error(("json.encode: %s; JSON has null, booleans, finite numbers, UTF-8 text, lists and names")
      :format(problem.json), 2)
  end
  return table.concat(s)
end

return json
