#!/usr/bin/env lua5.4
--- Fair language generation: how unfair a GPT-2 is, and EquiGPT2 and R-EquiGPT2 beside it.
--
-- The experiments of Basu et al. (AAAI 2023; equizero: NeurIPS 2023): see doc/fairness.md. A run is
-- one task with one set of words and one seed; each leaves its result.json in a folder of its own,
-- such as audit-gender-0, from which the tables are made (also with --report). Parts:
-- fairness/setup.lua, fairness/tasks.lua, fairness/study.lua, fairness/truth.lua.
local here = arg[0]:match "^(.*)scripts/fairness%.lua$" or "./"
package.path = here .. "?.lua;" .. here .. "?/init.lua;" .. package.path
package.cpath = here .. "?.so;" .. package.cpath

local equi = require "lua_equi"
local command = require "scripts.command".new "fairness.lua"
local json = require "lua_equi.json"
local options = require "lua_equi.options"
local results = require "lua_equi.results"
local setup = require "scripts.fairness.setup"
local tasks = require "scripts.fairness.tasks"

local TASKS = {"audit", "generate", "perplexity", "finetune", "regard"}
local METHODS = {"plain", "equi", "relaxed"}

local declared = options.declare {
  name = "fairness.lua",
  doc = "Measures how unfairly a GPT-2 treats demographic groups, and makes it fair. The model is "
    .. "the one that comes with the models, which learned text of known bias, or a folder of "
    .. "Hugging Face.",
  "What to run",
  {"task", {"audit"}, choices = TASKS, doc = "audit: exact unfairness over contexts; generate: "
    .. "continuations side by side; perplexity; finetune: AdamW on text, before and after; regard: "
    .. "samples judged by a classifier"},
  {"model", "", doc = "folder with config.json, weights and tokenizer; default: the shipped one"},
  {"words", {"gender"}, doc = "equality words, one run each: gender, race, orientation, nation, "
    .. "religion, a product such as gender+race, or a file with one list a line"},
  {"general", {""}, doc = "general words of R-EquiGPT2; default: those of --words"},
  {"methods", METHODS, choices = METHODS, doc = "compared: the model, EquiGPT2, R-EquiGPT2"},
  {"combine", "mean", choices = {"mean", "best", "weighted"}, doc = "how the branches of equi "
    .. "become one: EquiGPT2, equizero, lambda-equitune"},
  {"multi", "skip", choices = {"exact", "skip", "refuse"}, doc = "words of several tokens: moved "
    .. "token by token, left out, refused"},
  {"seeds", {0}, doc = "one run each"},
  "Contexts",
  {"prompts", "", doc = "file with one prompt a line, to stand behind each group's name; default: "
    .. "the ten of the regard study"},
  {"text", "", doc = "file of held-out text, for contexts and perplexity; default: generated"},
  {"bytes", 60000, min = 100, doc = "of generated held-out text"},
  {"count", 100, min = 0, doc = "contexts out of the text, besides the prompts"},
  {"context_tokens", 24, min = 1, doc = "longest of them"},
  {"block", 0, min = 0, doc = "tokens a block of perplexity; 0: the model's context"},
  "Generation",
  {"samples", 2, min = 1, doc = "for each prompt and group"},
  {"tokens", 15, min = 1, doc = "new tokens"},
  {"temperature", 1.0, min = 0, doc = "0: the most likely token"},
  {"top_k", 40, min = 0, doc = "tokens to choose from; 0: all"},
  {"classifier", "", doc = "folder of a classifier of regard; default: one is trained first"},
  "Fine-tuning",
  {"train", "", doc = "file of text to learn from; default: generated"},
  {"train_bytes", 400000, min = 1000, doc = "of generated text"},
  {"epochs", 1, min = 1, doc = "passes over it"},
  {"batch", 4, min = 1, doc = "blocks a step"},
  {"lr", 5e-5, above = 0, doc = "of AdamW; falls to 0 on a straight line"},
  "Running",
  {"out", "", saved = false, doc = "folder for results; default: out/fairness, out/demo-fairness, "
    .. "out/tiny-fairness"},
  {"resume", false, saved = false, doc = "skip finished runs, go on from the last checkpoint"},
  {"force", false, saved = false, doc = "overwrite results of other options"},
  {"report", false, saved = false, doc = "only print the tables in --out, or of --task"},
  {"markdown", false, saved = false, doc = "print tables as Markdown"},
  {"threads", 0, min = 0, saved = false, doc = "results do not depend on it; 0: all cores"},
  {"demo", false, doc = "audit, samples and perplexity for gender, in seconds; options that are "
    .. "given win"},
  {"tiny", false, doc = "a run of seconds, to see that everything works; without --model of a "
    .. "model with random weights"},
}

-- ---- options ----

-- Which options decide the result of a task.
local shared = {"model", "words", "general", "methods", "combine", "multi", "seed", "tiny", "demo"}
local of_task = {
  audit = {"prompts", "text", "bytes", "count", "context_tokens"},
  generate = {"prompts", "samples", "tokens", "temperature", "top_k"},
  perplexity = {"text", "bytes", "block"},
  finetune = {"text", "bytes", "block", "prompts", "count", "context_tokens", "train",
    "train_bytes", "epochs", "batch", "lr"},
  regard = {"prompts", "samples", "tokens", "temperature", "top_k", "classifier"},
}

local function shorten(opt)
  if opt.tiny and opt.demo then command:fail "--tiny and --demo are two sizes; give one" end
  if opt.out == "" then
    opt.out = opt.tiny and "out/tiny-fairness" or opt.demo and "out/demo-fairness"
      or "out/fairness"
  end
  if opt.tiny then
    options.preset(opt, {count = 4, bytes = 3000, train_bytes = 3000, samples = 1, tokens = 6,
      threads = 1, lr = 1e-3})
  elseif opt.demo then
    options.preset(opt, {task = {"audit", "generate", "perplexity"}, count = 50, samples = 1})
  end
end

-- The options of one run; `saved` is what decides its result.
local function single(opt, task, words, seed)
  local all, saved = options.describe(opt), {task = task}
  all.words, all.seed = words, seed
  for _, list in ipairs {shared, of_task[task]} do
    for _, name in ipairs(list) do saved[name] = all[name] end
  end
  local one = {saved = saved, resume = opt.resume, out = opt.out, here = here}
  for name, value in pairs(saved) do one[name] = value end
  one.general = opt.general[1] ~= "" and opt.general or nil
  local label = words:gsub("%.[%w]+$", ""):gsub("[^%w+]+", "_"):gsub("^_+", "")
  one.label = ("%s, %s"):format(task, label)
  if task ~= "perplexity" or opt.combine ~= "mean" then
    label = label .. (opt.combine ~= "mean" and "-" .. opt.combine or "")
  end
  one.dir = ("%s/%s-%s-%d"):format(opt.out, task, label, seed)
  return one
end

local function all_runs(opt)
  local list = {}
  for _, task in ipairs(opt.task) do
    for _, words in ipairs(opt.words) do
      for _, seed in ipairs(opt.seeds) do list[#list + 1] = single(opt, task, words, seed) end
    end
  end
  return list
end

-- ---- tables ----

local measured = {
  {field = "max_tv", format = "%.2e", title = "max TV", worst = true},
  {field = "mean_tv", format = "%.2e", title = "mean TV"},
  {field = "max_kl", format = "%.2e", title = "max KL", worst = true},
  {field = "mean_kl", format = "%.2e", title = "mean KL"},
}
local columns = {
  audit = {
    measured[1], measured[2], measured[3], measured[4],
    {field = "contexts", format = "%.0f", plain = true},
    {field = "learned", format = "%.3f", title = "TV at prompts"},
    {field = "truth", format = "%.3f", title = "in the text"},
    {field = "distance", format = "%.3f", title = "TV to the text"},
  },
  generate = {
    {field = "same", format = "%.1f", title = "same up to the swap, %"},
    {field = "pairs", format = "%.0f", plain = true},
  },
  perplexity = {
    {field = "perplexity", format = "%.3f"},
    {field = "tokens", format = "%.0f", plain = true},
    {field = "tokens_s", format = "%.0f", title = "tokens/s", plain = true},
  },
  finetune = {
    {field = "perplexity", format = "%.3f"}, measured[1], measured[2],
    {field = "steps", format = "%.0f", plain = true},
    {field = "seconds", format = "%.0f", plain = true},
  },
  regard = {
    {field = "negative", format = "%.3f"}, {field = "neutral", format = "%.3f"},
    {field = "positive", format = "%.3f"}, {field = "other", format = "%.3f"},
    {field = "gap", format = "%.3f", title = "TV between groups"},
    {field = "samples", format = "%.0f", plain = true},
  },
}
local keys = {audit = {"words", "method"}, generate = {"words", "method"},
  perplexity = {"words", "method"}, finetune = {"words", "method", "state"},
  regard = {"words", "method", "kind", "group"}}

-- Columns that no row fills are left out.
local function used(list, all)
  local some = {}
  for _, c in ipairs(all) do
    local found = false
    for _, r in ipairs(list) do
      for _, row in ipairs(r.rows) do found = found or row[c.field] ~= nil end
    end
    if found then some[#some + 1] = c end
  end
  return some
end

local function print_tables(list, wanted, markdown)
  for _, task in ipairs(wanted) do
    local some = {}
    for _, r in ipairs(list) do
      if r.task == task then some[#some + 1] = r end
    end
    if #some > 0 then
      if #wanted > 1 then print(task .. "\n") end
      print(results.table(some, keys[task], used(some, columns[task]), {markdown = markdown}))
      if #wanted > 1 then print() end
    end
  end
end

-- ---- the command ----

local function run(one)
  local finished = one.resume and command.finished(one.dir .. "/result.json", one.saved)
  if finished then return finished end
  equi.seed(one.seed)
  command.leaves = one.task ~= "finetune"
    and "finished runs are kept, the same command with --resume skips them" or nil
  command:make_folder(one.dir)
  local result = command:try(tasks[one.task], one, command)
  result.options, result.task, result.words, result.seed = one.saved, one.task, one.words, one.seed
  local done, message = equi.write_file_atomic(one.dir .. "/result.json",
    {json.encode(result, {sort = true, indent = 2})})
  if not done then command:fail("%s", message) end
  io.stderr:write("wrote ", one.dir, "/result.json\n")
  return result
end

-- --tiny without a model makes one first.
local function random_model(opt)
  local folder = opt.out .. "/model"
  command:make_folder(folder)
  command:try(setup.random_model, folder)
  opt.model = folder
end

local function main()
  local opt = options.parse(declared)
  shorten(opt)
  if opt.report then
    local wanted = getmetatable(opt).given.task or TASKS
    return print_tables(command:results(opt.out, {"task", "words"}), wanted, opt.markdown)
  end
  if opt.threads > 0 then equi.threads(opt.threads) end
  for _, words in ipairs(opt.words) do
    for name in words:gmatch "[^+]+" do command:try(setup.lists, name, opt.model == "") end
  end
  local list, done = all_runs(opt), {}
  for _, one in ipairs(list) do
    if not opt.force then command:protect(one.dir .. "/result.json", one.saved) end
  end
  if opt.tiny and opt.model == "" then random_model(opt) end
  for i, one in ipairs(list) do
    one.folder = opt.model
    done[i] = run(one)
  end
  print_tables(done, TASKS, opt.markdown)
end

command:run(main)
