--- What classifiers of texts share: options and seed, the tokenizer of a folder, probabilities of
--- texts, saving.
--
-- Such a model maps ids [B, T] and {mask = bool [B, T]} to logits [B, labels]. m.config.labels are
-- the names of the classes; m.tokenizer is the WordPiece tokenizer of the folder that the model was
-- loaded from, where it holds vocab.txt, or what is assigned. This file is no model itself; each
-- architecture has a file of its own (bert.lua, bag.lua).
local arguments = require "lua_equi.arguments"
local equi = require "lua_equi"
local hugging_face = require "lua_equi.formats.hugging_face"
local options = require "lua_equi.options"

local nn = equi.nn
local text_classifier = {}

local function has_vocabulary(folder)
  local f = io.open(folder .. "/vocab.txt", "rb")
  return f ~= nil and f:close()
end

-- config and tokenizer are no parts of the model to walk through; the tokenizer of a folder is read
-- when it is first asked for.
local function reach_private(class)
  if class.reaches_private then return end
  local methods = class.__index
  class.reaches_private = true
  function class.__index(self, name)
    if name ~= "config" and name ~= "tokenizer" then return methods[name] end
    local folder = rawget(self, "_folder")
    if name == "tokenizer" and not rawget(self, "_tokenizer") and folder
      and has_vocabulary(folder) then
      rawset(self, "_tokenizer", equi.data.wordpiece.load(folder))
    end
    return rawget(self, "_" .. name)
  end
  function class.__newindex(self, name, value)
    if name == "config" or name == "tokenizer" then name = "_" .. name end
    rawset(self, name, value)
  end
end

--- Probabilities of the classes for texts, in evaluation mode and without gradients. Needs
--- m.tokenizer; longer texts than the model takes are cut.
---@param texts string[]
---@param opts? {rows: integer} texts at a time, default 32
---@return any [texts, labels]
local function probabilities(self, texts, opts)
  local o = options.check("probabilities", opts, {rows = 32})
  arguments.whole("probabilities", "rows", o.rows)
  if type(texts) ~= "table" or #texts == 0 then
    error(("probabilities: texts must be a list of texts, got %s"):format(
      type(texts) == "table" and "none" or arguments.shown(texts)), 2)
  end
  local tokenizer = self.tokenizer
  if not tokenizer then
    error(("probabilities: the model has no tokenizer%s; set m.tokenizer = "
      .. "equi.data.wordpiece.load(folder)"):format(
      self._folder and (": there is no vocab.txt in %s"):format(self._folder) or ""), 2)
  end
  local function run()
    local list = {}
    for from = 1, #texts, o.rows do
      local some = table.move(texts, from, math.min(#texts, from + o.rows - 1), 1, {})
      local ids, mask = tokenizer:batch(some, {max = self.config.max_position_embeddings})
      list[#list + 1] = self(ids, {mask = mask}):softmax(-1)
    end
    return equi.cat(list, 1)
  end
  return (equi.no_grad(nn.evaluating, self, run))
end

--- Writes config.json, model.safetensors and, where m.tokenizer is set, vocab.txt: a folder that
--- loads again.
---@param folder string made if it is not there
local function save(self, folder)
  if type(folder) ~= "string" or folder == "" or folder:find("\0", 1, true) then
    error(("save: folder must be a path, got %s"):format(arguments.shown(folder)), 2)
  end
  local ok, problem = hugging_face.make_folder(folder)
  if ok then
    ok, problem = equi.safetensors.write(folder .. "/model.safetensors", self:state_dict())
  end
  if ok then
    local text = self:config_text()
    ok, problem = equi.core.write_file_atomic(folder .. "/config.json", {text})
  end
  if not ok then error("save: " .. problem, 2) end
  if self.tokenizer then self.tokenizer:save(folder) end
end

--- What is wrong with ids, types or a mask; nothing is returned when all is well.
---@param who string
---@param ids any i64 [B, T]
---@param mask any bool [B, T], or nil
---@param most integer the vocabulary
--- Example:
---     local check = equi.models.text_classifier.check
---     print(pcall(check, "bag", equi.tensor({{9}}, {dtype = "i64"}), nil, 8))
---     --> false bag: ids hold 9, outside 1 to 8 (they count from 1 here, from 0 in files)
function text_classifier.check(who, ids, mask, most)
  text_classifier.check_ids(who, "ids", ids, nil, most)
  if mask ~= nil and (not equi.is_tensor(mask) or mask.dtype ~= "bool"
    or table.concat(mask.shape, " ") ~= table.concat(ids.shape, " ")) then
    error(("%s: mask must be bool [%s], true for real tokens, got %s"):format(who,
      table.concat(ids.shape, ", "), arguments.shown(mask)), 0)
  end
end

--- Raises unless x are i64 [B, T] from 1 to `most`, and of the shape of `like`.
---@param who string
---@param name string
---@param x any
---@param like any tensor or nil
---@param most integer
--- Example:
---     local ids = equi.tensor({{2}}, {dtype = "i64"})
---     equi.models.text_classifier.check_ids("bert", "types", ids, ids, 2)
function text_classifier.check_ids(who, name, x, like, most)
  if not equi.is_tensor(x) or x.dtype ~= "i64" or x.ndim ~= 2 or x:numel() == 0 then
    error(("%s: %s must be i64 [B, T], got %s"):format(who, name, arguments.shown(x)), 0)
  end
  if like and table.concat(x.shape, " ") ~= table.concat(like.shape, " ") then
    error(("%s: %s are %s, ids are %s"):format(who, name, table.concat(x.shape, " x "),
      table.concat(like.shape, " x ")), 0)
  end
  local low, high = x:min():item(), x:max():item()
  if low < 1 or high > most then
    error(("%s: %s hold %d, outside 1 to %d (they count from 1 here, from 0 in files)"):format(who,
      name, low < 1 and low or high, most), 0)
  end
end

--- Declares a classifier of texts: a class of modules whose constructor takes one table of options,
--- `known` and seed.
---
--- The methods are make(self, o), which fills the module and sets self._config and self._folder;
--- config_text(self), what is written as config.json; and forward. The class has besides
---
---     m:probabilities(texts, {rows = 32})   [texts, labels], in evaluation mode, no gradients;
---                                           rows are texts at a time; needs m.tokenizer
---     m:save(folder)                        config.json, model.safetensors, and vocab.txt where
---                                           m.tokenizer is set; the folder loads again
---
--- Example:
---     local nn = equi.nn
---     local coin = equi.models.text_classifier.class("coin", {}, {
---       make = function(self)
---         self._config, self.logits = {labels = {"a", "b"}}, equi.zeros(1, 2)
---       end,
---       config_text = function() return "{}" end,
---       forward = function(self, ids) return self.logits:expand(ids:size(1), 2) end,
---     })
---     local m = coin()
---     m.tokenizer = {batch = function(_, texts) return equi.ones(#texts, 3):to "i64" end}
---     print(m:probabilities({"x", "y"})[2][1]:item(), m.config.labels[2])   --> 0.5 b
---@param name string
---@param known table options and their defaults, as options.check takes them
---@param methods table
---@return function constructor
function text_classifier.class(name, known, methods)
  known.seed = options.any()
  function methods.new(self, o)
    reach_private(getmetatable(self))
    local given = options.check(name, o, known)
    local state = given.seed and equi.rng_state()
    if given.seed then equi.seed(given.seed) end
    local ok, problem = pcall(self.make, self, given)
    if state then equi.rng_state(state) end
    if not ok then error(problem, 3) end
  end
  methods.probabilities, methods.save = probabilities, save
  return nn.class(name, methods)
end

return text_classifier
