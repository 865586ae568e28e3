-- `gamut data prepare`: finds the recipe of a data set, checks what was asked for, and hands its
-- items to the native pipeline (core/data/prepare).

local check = require "gamut.options"
local gamut = require "gamut"
local glob = require "gamut.native.data".glob
local native = require "gamut.native.prepare"
local nearest = require("gamut.native.tensor").nearest
local runtime = require "gamut.native.runtime"
local splits = require "gamut.data.splits"

local FOLDER = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" .. "/sets"

-- Settings that every set has. What decides how the work is done, and not what comes of it, is
-- marked so: it may differ when a preparation is gone on with.
local COMMON = {
  {"out", "string", doc = "the folder to make; with one that was begun, the preparation goes on"},
  {"tokenizer", "string", doc = "a tokenizer plugin; its own options are tokenizer.OPTION=VALUE"},
  {"workers", "integer", default = 0, min = 0,
    doc = "items that are worked on at once; 0: one a core, or one where the tokenizer uses a GPU"},
  {"max_skipped", "number", default = 0.5, min = 0, max = 1,
    doc = "share of the items that may be unusable; more is an error"},
  {"retry_skipped", "boolean", default = false, doc = "try again what an earlier call skipped"},
}
local HOW = {out = true, workers = true, max_skipped = true, retry_skipped = true}

local BY_KIND = {
  audio = {
    {"validation", "number", default = 0.05, min = 0, max = 1, doc = "share of the items that is held out"},
    {"test", "number", default = 0.0, min = 0, max = 1, doc = "share of the items that is kept for tests"},
    {"seed", "integer", default = 0, doc = "of the split, and of the choice of max_items"},
    {"split_file", "string", default = "",
      doc = "lines `name<TAB>split` or `name,split` with train, val or test; replaces the split by seed"},
    {"max_items", "integer", default = 0, min = 0, doc = "a seeded choice of so many items; 0: all"},
    {"min_seconds", "number", default = 0.1, min = 0, doc = "shorter items are skipped"},
    {"max_seconds", "number", default = 0.0, min = 0, doc = "of longer items only the beginning is taken; 0: all"},
    {"min_peak", "number", default = 1e-4, min = 0, max = 1,
      doc = "items that nowhere reach this amplitude are silent, and skipped"},
    {"accept_truncated", "boolean", default = false,
      doc = "take files that break off as far as they go, instead of skipping them"},
  },
  text = {
    {"validation", "number", default = 0.05, min = 0, max = 1, doc = "share of the documents that is held out"},
    {"seed", "integer", default = 0, doc = "of the split"},
    {"prefix", "string", default = "text", doc = "shards are called PREFIX_train_000000.bin, PREFIX_val_000000.bin"},
    {"shard_tokens", "integer", default = 100000000, min = 1, max = 2147483647, doc = "tokens a shard"},
  },
}

-- --- Recipes ------------------------------------------------------------------------------------

---@class gamut.data.Recipe
---@field doc string one line
---@field kind "audio"|"text"
---@field options table[] {name, type, default =, min =, max =, choices =, doc =}
---@field items fun(settings: table): table[] {name =, path =, split =, group =, facts =}

local function set_names()
  local names = {}
  for _, path in ipairs(glob(FOLDER .. "/*.lua")) do names[#names + 1] = path:match "([^/]*)%.lua$" end
  return names
end

local function check_recipe(recipe, path)
  check(path, recipe, {doc = "string", kind = "string", options = "table?", items = "function"})
  if not BY_KIND[recipe.kind] then
    error(("%s: kind is \"audio\" or \"text\", not %q"):format(path, recipe.kind), 0)
  end
  return recipe
end

local function load_recipe(name)
  local path = name
  if not name:find "[/.]" then
    path = ("%s/%s.lua"):format(FOLDER, name)
    if #glob(path) == 0 then
      local near = nearest(set_names(), name)
      error(("there is no data set `%s`; %s (a recipe of your own is named by its file, such as ./%s.lua)"):format(name,
        #near > 0 and ("did you mean `%s`?"):format(near[1]) or ("there are " .. table.concat(set_names(), ", ")),
        name), 0)
    end
  end
  local chunk, message = loadfile(path, "t")
  if not chunk then error("cannot load the recipe: " .. message, 0) end
  return check_recipe(chunk(), path)
end

-- The recipe's own settings first, as they are what a reader looks for.
local function settings_of(recipe)
  local all, own = {}, {}
  for _, option in ipairs(recipe.options or {}) do
    all[#all + 1] = option
    own[option[1]] = true
  end
  for _, list in ipairs{COMMON, BY_KIND[recipe.kind]} do
    for _, option in ipairs(list) do
      if not own[option[1]] then all[#all + 1] = option end
    end
  end
  return all
end

-- --- Help ---------------------------------------------------------------------------------------

local function list_sets()
  print "Usage: gamut data prepare SET [key=value...]\n\nData sets (gamut data prepare SET --help shows the settings):"
  for _, name in ipairs(set_names()) do print(("  %-16s %s"):format(name, load_recipe(name).doc)) end
  print "\nA recipe of your own is named by its file: gamut data prepare ./my_set.lua. See\nscripts/gamut/data/README.md for one."
end

local function describe(name, recipe)
  print(("%s: %s\n\nUsage: gamut data prepare %s [key=value...]\n"):format(name, recipe.doc, name))
  for _, option in ipairs(settings_of(recipe)) do
    local default = option.default == nil and "required" or option.default == "" and "none" or tostring(option.default)
    local choices = option.choices and (" (" .. table.concat(option.choices, ", ") .. ")") or ""
    print(("  %-18s %-10s %s%s"):format(option[1], default, option.doc, choices))
  end
  print "  tokenizer.OPTION   options of the tokenizer; `gamut plugins show NAME` lists them"
end

-- --- What was asked for -------------------------------------------------------------------------

-- Splits `tokenizer.weights=x` from the settings of the set.
local function sort_words(words)
  local own, of_tokenizer = {}, {}
  for _, word in ipairs(words) do
    if not word:find("=", 2, true) then error(("`%s` is not of the form key=value"):format(word), 0) end
    local option = word:match "^tokenizer%.(.*)$"
    if option then of_tokenizer[#of_tokenizer + 1] = option else own[#own + 1] = word end
  end
  return own, of_tokenizer
end

-- A setting that can have no effect is a mistake.
local function refuse_idle(words, items, kind)
  for _, item in ipairs(items) do
    if not item.split then return end
  end
  for _, word in ipairs(words) do
    local name = word:match "^[^=]*"
    if name == "validation" or name == "test" or (name == "seed" and kind == "text") then
      error(("`%s` has no effect: the data set brings its own split"):format(name), 0)
    end
  end
end

local function list_items(recipe, settings, words)
  local items = recipe.items(settings)
  if type(items) ~= "table" then error("the recipe's `items` returned no list", 0) end
  if #items == 0 then error("the data set has no items there", 0) end
  if recipe.kind ~= "audio" then
    refuse_idle(words, items, "text")
    return items
  end
  if settings.validation + settings.test > 1 then
    error(("validation and test are shares of the items; together they are %g, above 1")
      :format(settings.validation + settings.test), 0)
  end
  refuse_idle(words, items)
  if settings.max_items > 0 then items = splits.choose(items, settings.max_items, settings.seed) end
  items = splits.assign(items, settings)
  for _, item in ipairs(items) do item.group = nil end
  return items
end

-- What is written into the manifest, and compared when a preparation is gone on with.
local function request_of(name, settings)
  local options = {}
  for key, value in pairs(settings) do
    if not HOW[key] and key ~= "tokenizer" then options[key] = value end
  end
  return {recipe = name, options = options, gamut = runtime.version}
end

-- What was made earlier must still be there; whether its bytes are right is asked of `data inspect`.
local function check_sizes(manifest, out)
  for name, made in pairs(manifest.files) do
    local file <close> = io.open(out .. "/" .. name, "rb")
    local size = file and file:seek "end"
    if size ~= made.bytes then
      error(("%s was prepared, and its %s is %s now, not the %d bytes that the manifest says; remove the folder to make it again")
        :format(out, name, size and size .. " bytes" or "missing", made.bytes), 0)
    end
  end
end

local SHARES = {val = "validation", test = "test"}

local function summarize(manifest, already, settings)
  local out = settings.out
  if already then
    check_sizes(manifest, out)
    print(("%s is already prepared; nothing was done"):format(out))
  end
  for _, split in ipairs{"train", "val", "test"} do
    local counts = manifest.splits[split]
    if counts and counts.items then
      print(("%-5s  %d items, %.2f hours, %d frames in %d files"):format(split, counts.items, counts.hours,
        counts.frames, #counts.files))
    elseif counts then
      print(("%-5s  %d documents, %d tokens in %d files"):format(split, counts.documents, counts.tokens, #counts.files))
    elseif (settings[SHARES[split]] or 0) > 0 then
      print(("%-5s  nothing"):format(split))
    end
  end
  if manifest.units.skipped > 0 then
    print(("%d items were skipped; %s/skipped.jsonl says why"):format(manifest.units.skipped, out))
  end
end

local function run(name, recipe, words)
  local own, of_tokenizer = sort_words(words)
  local settings = native.settings(settings_of(recipe), own, ("the data set `%s`"):format(name))
  local tokenizer_options = native.tokenizer_settings(settings.tokenizer, of_tokenizer)
  local items = list_items(recipe, settings, own)
  if gamut.interrupted() then error("interrupted", 0) end
  local device = tokenizer_options.device or "cpu"
  local workers = settings.workers
  if workers == 0 and device ~= "cpu" then workers = 1 end
  local manifest, already = native.run{
    items = items, kind = recipe.kind, out = settings.out, request = request_of(name, settings),
    tokenizer = settings.tokenizer, tokenizer_options = tokenizer_options, workers = workers,
    max_skipped = settings.max_skipped, retry_skipped = settings.retry_skipped,
    min_seconds = settings.min_seconds, max_seconds = settings.max_seconds, min_peak = settings.min_peak,
    accept_truncated = settings.accept_truncated, validation = recipe.kind == "text" and settings.validation or nil,
    seed = recipe.kind == "text" and settings.seed or nil, shard_tokens = settings.shard_tokens,
    prefix = recipe.kind == "text" and settings.prefix or nil,
  }
  summarize(manifest, already, settings)
end

---@param mode "run"|"help"
---@param name string? a set, or the path of a recipe
return function(mode, name, ...)
  if not name then return list_sets() end
  local recipe = load_recipe(name)
  if mode == "help" then return describe(name, recipe) end
  run(name, recipe, {...})
end
