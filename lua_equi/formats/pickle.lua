--- pickle: the values that a Python pickle of plain containers holds. Nothing is ever executed.
--
-- A small stack machine for the opcodes that PyTorch's files need. What a pickle would import or
-- call is given to three hooks of the caller's, which know a few names and refuse all others.
-- Strings, numbers and booleans become Lua's; everything else is a table with a `kind`: "none",
-- "list", "tuple" and "set" ([1] ... [n]), "dict" (keys in order, values by key), "bytes", and
-- what the hooks return. Opcodes and containers are counted, so that time and memory are bounded.
-- Not a writer, and no general unpickler: text opcodes of protocol 0 are not known.
local refusal = require "lua_equi.formats.refusal"

local pickle = {}

local refuse, shown = refusal.refuse, refusal.shown
local MAX_OPCODES, MAX_CONTAINERS, MAX_LINE, MAX_KEY = 5000000, 1000000, 512, 4096
local MAX_TEXT = 1 << 24
local WINDOW = 65536

--- None.
pickle.none = {kind = "none"}

-- ---- bytes ----

-- The next n bytes. They are taken from a window, since most are one or two.
local function take(s, n)
  if n > s.stop - s.at then refuse("its pickle is cut off at byte %d", s.at) end
  local from = s.at - s.window_at
  if from + n > #s.window then
    s.window = s.mapping:bytes(s.at, math.min(s.stop - s.at, math.max(n, WINDOW)))
    s.window_at, from = s.at, 0
  end
  s.at = s.at + n
  return s.window:sub(from + 1, from + n)
end

local function number(s, format, n) return (string.unpack(format, take(s, n))) end

local function counted(s, format, n)
  local length = number(s, format, n)
  if length < 0 then refuse("its pickle has a text of a negative length at byte %d", s.at) end
  if length > MAX_TEXT and length <= s.stop - s.at then
    refuse("its pickle has a text of %d bytes at byte %d", length, s.at)
  end
  return take(s, length)
end

local function line(s)
  local letters = {}
  while #letters <= MAX_LINE do
    local c = take(s, 1)
    if c == "\n" then return table.concat(letters) end
    letters[#letters + 1] = c
  end
  refuse("its pickle has a name of more than %d letters at byte %d", MAX_LINE, s.at)
end

-- ---- stack ----

local function push(s, v)
  s.top = s.top + 1
  s.stack[s.top] = v
end

-- What lies below the last mark belongs to another container.
local function pop(s)
  if s.top <= (s.marks[#s.marks] or 0) then
    refuse("its pickle takes from an empty stack at byte %d", s.at)
  end
  local v = s.stack[s.top]
  s.stack[s.top] = nil
  s.top = s.top - 1
  return v
end

local function peek(s, kind)
  local v = pop(s)
  push(s, v)
  if type(v) ~= "table" or v.kind ~= kind then
    refuse("its pickle fills something that is no %s at byte %d", kind, s.at)
  end
  return v
end

local function container(s, kind)
  s.containers = s.containers + 1
  if s.containers > MAX_CONTAINERS then
    refuse("its pickle has more than %d containers", MAX_CONTAINERS)
  end
  return {kind = kind, n = 0}
end

local function append(list, v)
  list.n = list.n + 1
  list[list.n] = v
end

-- Everything above the last mark, as a container.
local function marked(s, kind)
  local from = table.remove(s.marks)
  if not from then refuse("its pickle misses a mark at byte %d", s.at) end
  local list = container(s, kind)
  for i = from + 1, s.top do
    append(list, s.stack[i])
    s.stack[i] = nil
  end
  s.top = from
  return list
end

local function tuple_of(s, n)
  local list = container(s, "tuple")
  list.n = n
  for i = n, 1, -1 do list[i] = pop(s) end
  return list
end

--- Puts a value into a dict. A key that comes twice is refused: which value counts is a trap.
---@param dict table
---@param key any
---@param value any
function pickle.set(dict, key, value)
  if key ~= key then refuse "its pickle has a dict with the key nan" end
  if type(key) == "string" and #key > MAX_KEY then
    refuse("its pickle has a dict with a key of %d letters", #key)
  end
  if not dict.keys then dict.keys, dict.values = {}, {} end
  if dict.values[key] ~= nil then
    refuse("%s comes twice in a dict", shown(type(key) == "table" and key.kind or tostring(key)))
  end
  dict.n = dict.n + 1
  dict.keys[dict.n], dict.values[key] = key, value
end

local function set_pairs(dict, list)
  if list.n % 2 ~= 0 then refuse "its pickle has a key without a value" end
  for i = 1, list.n, 2 do pickle.set(dict, list[i], list[i + 1]) end
end

local function put(s, index)
  if s.top == 0 then refuse("its pickle remembers nothing at byte %d", s.at) end
  if s.memo[index] == nil then s.remembered = s.remembered + 1 end
  s.memo[index] = s.stack[s.top]
end

local function get(s, index)
  local v = s.memo[index]
  if v == nil then refuse("its pickle recalls what it never had at byte %d", s.at) end
  push(s, v)
end

-- Whole numbers of up to 8 bytes are Lua's; longer ones are kept as their bytes.
local function long(s)
  local n = number(s, "B", 1)
  if n == 0 then return 0 end
  local bytes = take(s, n)
  if n <= 8 then return (string.unpack("<i" .. n, bytes)) end
  return {kind = "long", bytes = bytes}
end

-- ---- opcodes ----

local STOP = 46
local opcodes = {}
local function opcode(letter, f)
  opcodes[type(letter) == "string" and letter:byte() or letter] = f
end
local function constant(letter, v) opcode(letter, function(s) push(s, v) end) end
local function reads(letter, f, format, n)
  opcode(letter, function(s) push(s, f(s, format, n)) end)
end

opcode(0x80, function(s)
  local version = number(s, "B", 1)
  if version > 5 then refuse("its pickle is of protocol %d; up to 5 are known", version) end
end)
opcode(0x95, function(s)
  local n = number(s, "<i8", 8)
  if n < 0 or n > s.stop - s.at then refuse("its pickle is cut off at byte %d", s.at) end
end)

constant("N", pickle.none)
constant(0x88, true)
constant(0x89, false)
reads("J", number, "<i4", 4)
reads("K", number, "B", 1)
reads("M", number, "<I2", 2)
reads("G", number, ">d", 8)
reads(0x8a, long)
reads("X", counted, "<I4", 4)
reads(0x8c, counted, "B", 1)
reads(0x8d, counted, "<i8", 8)
reads("U", counted, "B", 1)
reads("T", counted, "<i4", 4)
reads("C", function(s) return {kind = "bytes", bytes = counted(s, "B", 1)} end)
reads("B", function(s) return {kind = "bytes", bytes = counted(s, "<I4", 4)} end)

opcode("(", function(s) s.marks[#s.marks + 1] = s.top end)
for letter, kind in pairs {[")"] = "tuple", ["]"] = "list", ["}"] = "dict", [0x8f] = "set"} do
  reads(letter, container, kind)
end
for n = 1, 3 do reads(0x84 + n, tuple_of, n) end
reads("t", marked, "tuple")
reads(0x91, marked, "set")
opcode("a", function(s)
  local v = pop(s)
  append(peek(s, "list"), v)
end)
local function extends(letter, kind)
  opcode(letter, function(s)
    local more = marked(s, "list")
    local list = peek(s, kind)
    for i = 1, more.n do append(list, more[i]) end
  end)
end
extends("e", "list")
extends(0x90, "set")
opcode("s", function(s)
  local value = pop(s)
  local key = pop(s)
  pickle.set(peek(s, "dict"), key, value)
end)
opcode("u", function(s)
  local list = marked(s, "list")
  set_pairs(peek(s, "dict"), list)
end)

opcode("q", function(s) put(s, number(s, "B", 1)) end)
opcode("r", function(s) put(s, number(s, "<I4", 4)) end)
opcode(0x94, function(s) put(s, s.remembered) end)
opcode("h", function(s) get(s, number(s, "B", 1)) end)
opcode("j", function(s) get(s, number(s, "<I4", 4)) end)

opcode("c", function(s)
  local module = line(s)
  push(s, s.hooks.global(module, line(s)))
end)
opcode(0x93, function(s)
  local name = pop(s)
  local module = pop(s)
  if type(module) ~= "string" or type(name) ~= "string" then
    refuse("its pickle imports what has no name at byte %d", s.at)
  end
  push(s, s.hooks.global(module, name))
end)

local function call(s)
  local arguments = pop(s)
  local f = pop(s)
  if type(f) ~= "table" or f.kind ~= "global" or type(arguments) ~= "table" or
    arguments.kind ~= "tuple" then
    refuse("its pickle calls what is no function at byte %d", s.at)
  end
  push(s, s.hooks.call(f, arguments))
end
opcode("R", call)
opcode(0x81, call)
opcode("Q", function(s) push(s, s.hooks.persistent(pop(s))) end)
-- An OrderedDict's attributes, as the versions of modules in `_metadata`: nothing we need.
opcode("b", function(s)
  pop(s)
  peek(s, "dict")
end)

--- Reads one pickle from the bytes [at, stop) of a mapping.
---
--- hooks.global(module, name) returns {kind = "global", ...}, hooks.call(global, tuple) what
--- calling it would, hooks.persistent(value) what a persistent id stands for; each refuses what it
--- does not know.
---@param mapping any from core.map
---@param at integer
---@param stop integer
---@param hooks table
---@return any value
---@return integer at behind the pickle
function pickle.read(mapping, at, stop, hooks)
  local s = {mapping = mapping, at = at, stop = stop, hooks = hooks, window = "", window_at = at,
    stack = {}, top = 0, marks = {}, memo = {}, remembered = 0, containers = 0}
  for _ = 1, MAX_OPCODES do
    local op = take(s, 1):byte()
    if op == STOP then return pop(s), s.at end
    local f = opcodes[op]
    if not f then
      refuse("its pickle has the opcode 0x%02x at byte %d, which no file of tensors needs", op,
        s.at - 1)
    end
    f(s)
  end
  refuse("its pickle has more than %d opcodes", MAX_OPCODES)
end

return pickle
