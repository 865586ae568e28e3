-- Raw text to what a run reads: a SentencePiece model with the study's options, and shards of the text by it, whole
-- documents held out. Done once, in a folder of its own; a call that was cut off is gone on with, and text or settings
-- that are no longer those it was made from are refused.
local gamut = require "gamut"
local check = require "gamut.options"
local context = require "gamut.train.context"
local finally = require "gamut.finally"
local json = require "gamut.native.json"
local maps = require "gamut.maps"
local preparation = require "gamut.data.preparation"
local recipe = require "gamut.data.recipe"
local system = require "gamut.native.system"
local data, study = gamut.data, gamut.study

local text = {}

local SETTINGS = {
  exclude = "string", field = "string", seed = "integer", validation = "number", vocab_size = "integer",
  trainer = "table",
}

-- The path of the text that is meant; "default" is what Debian's packages of documentation install.
local function find(path)
  if path ~= "default" then return path end
  local folder, package = data.default_text { "linux-doc", "perl-doc" }
  if package ~= "linux-doc" then
    print(("Debian's linux-doc is not on this machine, so the text of %s takes its place: less of it, and "
      .. "other losses."):format(package))
  end
  return folder
end

-- What the folder is made from, as it is written into text.json: first of all, so that what is begun is gone on
-- with from the same text or not at all.
local function plan_of(path, settings)
  local source = { source = path, exclude = settings.exclude, field = settings.field }
  local there = system.exists(path)
  return {
    text = path, fingerprint = there and preparation.fingerprint("text_folder", source) or nil,
    exclude = settings.exclude, field = settings.field, seed = settings.seed, validation = settings.validation,
    vocab_size = settings.vocab_size, trainer = settings.trainer,
  }
end

local function shown(value)
  return type(value) == "table" and json.encode(value) or value == "" and "nothing" or tostring(value)
end

-- Refuses a folder that was made from something else. Text that is gone since cannot have changed.
local function compare(folder, before, now)
  for _, key in ipairs { "text", "exclude", "vocab_size", "validation", "seed", "field", "trainer" } do
    if shown(before[key]) ~= shown(now[key]) then
      error(("the tokenizer and shards in %s were made with %s = %s, and now it is %s; go on with that, or begin "
        .. "another study (--run-dir)"):format(folder, key, shown(before[key]), shown(now[key])), 0)
    end
  end
  if now.fingerprint and now.fingerprint ~= before.fingerprint then
    error(("the text in %s changed since the tokenizer and shards in %s were made of it: files were added, removed "
      .. "or written to; begin another study with it (--run-dir)"):format(now.text, folder), 0)
  end
end

local function settle_plan(folder, path, settings)
  local file, plan = folder .. "/text.json", plan_of(path, settings)
  if system.exists(file) then return compare(folder, json.decode(system.read_file(file)), plan) end
  if not plan.fingerprint then error(("there is no text at %s"):format(path), 0) end
  system.write_file(file, json.encode(plan) .. "\n")
end

-- 15837588 as 15,837,588.
local function grouped(number)
  local digits = tostring(number):reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (digits:gsub("^,", ""))
end

local function need_both_sides(manifest, path)
  local train, val = manifest.splits.train, manifest.splits.val
  if train and val then return train, val end
  error(("%s has %d documents, and all of them fell to one side of the split; whole documents are held out, so give "
    .. "more of them (a file each, or lines of JSON), or another share or seed of the validation")
    :format(path, (train or val).documents), 0)
end

-- What is finished is kept: the model, shards of whole files.
local function end_if_interrupted()
  local signal = gamut.interrupted()
  if not signal then return end
  io.stderr:write "The same command goes on where this one stopped.\n"
  os.exit(signal == "SIGTERM" and 143 or 130, true)
end

local function train_tokenizer(path, model, settings)
  print(("Text: %s\nTraining a SentencePiece model of %d pieces on it:"):format(path, settings.vocab_size))
  local options = maps.over({ vocab_size = settings.vocab_size }, settings.trainer)
  local paths = {}
  for i, file in ipairs(recipe.text_files(path, settings.exclude)) do paths[i] = file.path end
  data.train_tokenizer("sentencepiece", { input = paths, output = model, field = settings.field, options = options })
end

-- The manifest of the shards, made where they are not.
local function shards_of(path, made, settings)
  local manifest = made.data .. "/manifest.json"
  if system.exists(manifest) then return json.decode(system.read_file(manifest)) end
  print "Turning the text into shards of tokens:"
  return data.prepare("text_folder", {
    source = path, exclude = settings.exclude, field = settings.field, out = made.data, order = "shuffled",
    tokenizer = "sentencepiece", validation = settings.validation, seed = settings.seed,
  }, { model = made.tokenizer })
end

---Where `prepare` puts what it makes.
---@param folder string
---@return {data: string, tokenizer: string} for config.yaml: folder of shards, model
function text.paths(folder) return { data = folder .. "/shards", tokenizer = folder .. "/tokenizer.model" } end

---Shards and tokenizer that a configuration names. A study that begins without them ends here, in words.
---@param config {data: string, tokenizer: string}
---@return {data: string, tokenizer: string}
function text.named(config)
  local begins = not study.is_dry_run() and not system.exists(study.folder() .. "/study.json")
  for _, key in ipairs { "data", "tokenizer" } do
    local path = config[key]
    if begins and path ~= "bytes" and not system.exists(path) then
      context.refuse(("there is no %s. `gamut data fetch fineweb_sp1024 out=data` gets the published shards and "
        .. "their tokenizer; others are named by data=FOLDER tokenizer=MODEL, and study.lua takes raw text, too: "
        .. "text=PATH"):format(path))
    end
  end
  return { data = config.data, tokenizer = config.tokenizer }
end

---Tokenizer and shards of a text, made in `folder` where they are not there yet.
---@param path string a file or folder of documents (.txt, .md, .rst, .pod, JSON lines, also .gz, Parquet), or
---  "default": the text of Debian's linux-doc, else of perl-doc
---@param folder string
---@param settings {exclude: string, vocab_size: integer, validation: number, seed: integer, field: string,
---  trainer: table} exclude: beginnings of names of files that are left out; validation: share of the documents held
---  out; seed: of that choice and of the order of documents; field: of JSON lines, the column of Parquet; trainer:
---  options of `gamut tokenizer train sentencepiece` over the study's
---@return {data: string, tokenizer: string} as of `paths`
function text.prepare(path, folder, settings)
  check("golf.text", settings, SETTINGS)
  path = find(path)
  system.make_directories(folder)
  -- Another node or command that has the same folder may be at work in it, and then has done it all.
  local claim = study.claim(folder .. "/.lock", "prepares the text in " .. folder) or end_if_interrupted()
  local _ <close> = finally(function()
    claim:release()
    end_if_interrupted()
  end)
  settle_plan(folder, path, settings)
  local made = text.paths(folder)
  if not system.exists(made.tokenizer) then train_tokenizer(path, made.tokenizer, settings) end
  local manifest = shards_of(path, made, settings)
  local train, val = need_both_sides(manifest, path)
  print(("Text: %s tokens of %s documents to train on; %s tokens of %s documents held out.")
    :format(grouped(train.tokens), grouped(train.documents), grouped(val.tokens), grouped(val.documents)))
  return made
end

return text
