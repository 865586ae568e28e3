-- Preparing a data set: finds its recipe, checks what was asked for, and hands its items to the native
-- pipeline (core/data/prepare). prepare.lua is the verb, data.prepare the function.

local check = require "gamut.options"
local gamut = require "gamut"
local glob = require "gamut.native.data".glob
local native = require "gamut.native.prepare"
local nearest = require("gamut.native.tensor").nearest
local runtime = require "gamut.native.runtime"
local splits = require "gamut.data.splits"
local strict = require "gamut.strict"

local preparation = strict("gamut.data.preparation", {})

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
    {"seed", "integer", default = 0, doc = "of the split, and of a shuffled order"},
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

---@return string[] the sets that come with Gamut
function preparation.sets()
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

---@param name string a set, or the path of a recipe
---@return gamut.data.Recipe
function preparation.recipe(name)
  local path = name
  if not name:find "[/.]" then
    path = ("%s/%s.lua"):format(FOLDER, name)
    if #glob(path) == 0 then
      local near = nearest(preparation.sets(), name)
      local hint = #near > 0 and ("did you mean `%s`?"):format(near[1])
        or "there are " .. table.concat(preparation.sets(), ", ")
      error(("there is no data set `%s`; %s (a recipe of your own is named by its file, such as ./%s.lua)")
        :format(name, hint, name), 0)
    end
  end
  local chunk, message = loadfile(path, "t")
  if not chunk then error("cannot load the recipe: " .. message, 0) end
  return check_recipe(chunk(), path)
end

---The settings of a recipe, its own first, as they are what a reader looks for.
---@param recipe gamut.data.Recipe
function preparation.settings(recipe)
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
      error(("%s was prepared, and its %s is %s now, not the %d bytes that the manifest says; remove the folder to "
        .. "make it again"):format(out, name, size and size .. " bytes" or "missing", made.bytes), 0)
    end
  end
end

---@param name string a set, or the path of a recipe
---@param words string[] `key=value`: settings of the set
---@param of_tokenizer string[] `key=value`: options of the tokenizer
---@return table manifest, boolean already, table settings
function preparation.run(name, words, of_tokenizer)
  local recipe = preparation.recipe(name)
  local settings = native.settings(preparation.settings(recipe), words, ("the data set `%s`"):format(name))
  local tokenizer_options = native.tokenizer_settings(settings.tokenizer, of_tokenizer)
  local items = list_items(recipe, settings, words)
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
  if already then check_sizes(manifest, settings.out) end
  return manifest, already, settings
end

-- `key=value` words, in the order of the keys.
local function words_of(options)
  local words = {}
  for key, value in pairs(options or {}) do
    local text = math.type(value) == "float" and ("%.17g"):format(value) or tostring(value)
    words[#words + 1] = key .. "=" .. text
  end
  table.sort(words)
  return words
end

---Prepares a data set as `gamut data prepare` does: goes on where an earlier call ended, and does nothing
---where all is there. Errors are those of the verb: other settings than before, text that cannot be read.
---@param name string a set, or the path of a recipe
---@param settings table {source =, out =, tokenizer =, ...}
---@param tokenizer_options? table
---@return table manifest what manifest.json in `out` says
---@return boolean already whether it was there
function preparation.prepare(name, settings, tokenizer_options)
  local manifest, already = preparation.run(name, words_of(settings), words_of(tokenizer_options))
  return manifest, already
end

---Whether files were added, removed or written to since another call: a fingerprint of their names, sizes
---and times.
---@param name string a set, or the path of a recipe
---@param settings table those of the recipe that say which items there are, such as source
---@return string
function preparation.fingerprint(name, settings)
  local recipe = preparation.recipe(name)
  return native.fingerprint(recipe.items(native.settings(recipe.options, words_of(settings),
    ("the data set `%s`"):format(name))))
end

return preparation
