-- `gamut data inspect`: what a codes shard, a golf shard or a prepared folder holds, whether it is
-- whole, and a stretch of it as audio or text.

local codes = require "gamut.data.codes"
local gamut = require "gamut"
local json = require "gamut.native.json"
local maps = require "gamut.maps"
local native = require "gamut.native.codes"
local prepare = require "gamut.native.prepare"
local system = require "gamut.native.system"
local token = require "gamut.native.data"

local SETTINGS = {
  {"split", "string", default = "", doc = "of a folder: the one to look into; else the one that the item is in"},
  {"items", "integer", default = 10, min = 0, doc = "list so many items"},
  {"item", "string", default = "", doc = "which item to list or decode: its name, or its number from 0"},
  {"start", "number", default = 0.0, min = 0, doc = "of the stretch: seconds from the item's beginning"},
  {"seconds", "number", default = 10.0, min = 0, doc = "of the stretch; 0: to the item's end"},
  {"codebooks", "integer", default = 0, min = 0, doc = "decode from so many leading codebooks; 0: all"},
  {"token", "integer", default = 0, min = 0, doc = "of text: the first token of the stretch"},
  {"tokens", "integer", default = 256, min = 0, doc = "of text: so many tokens"},
  {"out", "string", default = "", doc = "write the stretch to this file: .wav or .flac, or any for text"},
  {"tokenizer", "string", default = "", doc = "the one that made the tokens, where that is not recorded"},
}

local function fail(message, ...) error(message:format(...), 0) end

-- --- Lines ---------------------------------------------------------------------------------------

local function fact(name, text, ...)
  print(("  %-12s %s"):format(name, select("#", ...) > 0 and text:format(...) or text))
end

-- "weights=/a/b seed=3".
local function in_words(map)
  local words = {}
  for _, key in ipairs(maps.keys(map)) do
    local value = map[key]
    words[#words + 1] = ("%s=%s"):format(key, type(value) == "table" and json.encode(value) or tostring(value))
  end
  return table.concat(words, " ")
end

local function tell_tokenizer(tokenizer)
  fact("tokenizer", "%s %s", tokenizer.name, tokenizer.version)
  if next(tokenizer.options) then fact("options", "%s", in_words(tokenizer.options)) end
  if next(tokenizer.identity) then fact("identity", "%s", in_words(tokenizer.identity)) end
end

local function duration(seconds)
  if seconds < 60 then return ("%.2f s"):format(seconds) end
  if seconds < 3600 then return ("%.1f min"):format(seconds / 60) end
  return ("%.2f hours"):format(seconds / 3600)
end

local function plural(count, name)
  return ("%d %s%s"):format(count, name, count == 1 and "" or "s")
end

-- --- The tokenizer -------------------------------------------------------------------------------

-- Makes the tokenizer again that is recorded, with options of the command line over its own.
local function make_tokenizer(record, words)
  local options = {}
  for name, value in pairs(record.options) do options[name] = value end
  for name, value in pairs(prepare.tokenizer_settings(record.name, words)) do options[name] = value end
  local made, tokenizer = pcall(gamut.tokenizer, record.name, options)
  if made then return tokenizer, options end
  fail("the tokenizer that made these tokens cannot be made again: %s\n"
    .. "  (its options are those it was made with, here; a file that has moved is named by tokenizer.OPTION=PATH)",
    (tostring(tokenizer):gsub("^[^\n]-%.lua:%d+: ", "")))
end

-- --- Codes ---------------------------------------------------------------------------------------

local function find_item(set, name)
  local index = set:find(name) or math.tointeger(tonumber(name))
  if index and index >= 0 and index < set.items then return index end
  fail("there is no item `%s`; items are named, and numbered from 0 to %d", name, set.items - 1)
end

local function list_items(set, settings)
  local first, last = 0, math.min(settings.items, set.items) - 1
  if settings.item ~= "" then
    first = find_item(set, settings.item)
    last = first
  end
  if last < first then return end
  print(("\n  %6s  %9s  %s"):format("item", "seconds", "name and text"))
  for index = first, last do
    local facts = set:facts(index)
    local text = facts.text and ("  " .. facts.text:gsub("%s+", " ")) or ""
    print(("  %6d  %9.2f  %s%s"):format(index, set:length(index) / set.frame_rate, facts.name, text))
  end
  if settings.item == "" and last + 1 < set.items then print(("  and %d more"):format(set.items - last - 1)) end
  if settings.item ~= "" then
    print ""
    local facts = set:facts(first)
    for _, key in ipairs(maps.keys(facts)) do
      fact(key, "%s", type(facts[key]) == "table" and json.encode(facts[key]) or tostring(facts[key]))
    end
  end
end

local function tell_use(set)
  if set.frames == 0 then return end
  print(("\n  %8s  %14s  %s"):format("codebook", "distinct codes",
    ("entropy (of %.2f bits)"):format(math.log(set.vocab_size, 2))))
  for book, use in ipairs(native.use(set)) do
    print(("  %8d  %14d  %.2f"):format(book - 1, use.distinct, use.bits))
  end
end

local function decode_codes(set, settings, words)
  if set.items == 0 then fail("there is nothing to decode: the set has no items") end
  local item = settings.item == "" and 0 or find_item(set, settings.item)
  local tokenizer, options = make_tokenizer(set.tokenizer, words)
  local made = native.decode(set, tokenizer, options, {
    item = item, start = settings.start, seconds = settings.seconds, codebooks = settings.codebooks, out = settings.out,
  })
  print(("\n%s: %.2f s of item %d (%s), %s at %d Hz"):format(settings.out, made.samples / made.sample_rate, item,
    set:facts(item).name, plural(made.channels, "channel"), made.sample_rate))
end

local function inspect_codes(path, settings, words)
  local set = codes.codes(path, {split = settings.split ~= "" and settings.split or nil})
  print(("%s: codes of audio in %s"):format(path, plural(#set.files, "file")))
  tell_tokenizer(set.tokenizer)
  fact("codes", "%d codebooks of %d; %.4g frames a second, %d samples each at %d Hz", set.codebooks, set.vocab_size,
    set.frame_rate, set.hop_length, set.sample_rate)
  fact("holds", "%s, %d frames, %s", plural(set.items, "item"), set.frames, duration(set.frames / set.frame_rate))
  set:verify()
  fact("checksums", "right, and all codes in the vocabulary")
  fact("fingerprint", "%s", set.fingerprint)
  tell_use(set)
  list_items(set, settings)
  if settings.out ~= "" then decode_codes(set, settings, words) end
end

-- --- Text ----------------------------------------------------------------------------------------

-- How many different ones occur, the largest, and the entropy of a token on its own.
local function token_use(set)
  local counts = gamut.zeros({65536}, {dtype = "int64"})
  for begin = 0, set.tokens - 1, 1 << 20 do
    gamut.scope(function()
      local ids = set:read(begin, math.min(1 << 20, set.tokens - begin))
      counts:add_(ids:bincount{minlength = 65536})
    end)
  end
  local share = counts:masked_select(counts:gt(0)):to "float64" / set.tokens
  return share:size(0), counts:nonzero():max():item(), -(share * share:log2()):sum():item()
end

-- What a manifest in the shard's folder says of its tokenizer.
local function recorded_tokenizer(path)
  local file = io.open((path:match "^(.*/)" or "") .. "manifest.json", "rb")
  if not file then return nil end
  local read, manifest = pcall(json.decode, file:read "a")
  file:close()
  local name = path:match "([^/]*)$"
  if read and type(manifest) == "table" and manifest.files and manifest.files[name] then return manifest.tokenizer end
end

local function decode_text(set, record, settings, words)
  local tokenizer = make_tokenizer(record, words)
  if tokenizer.is_audio then fail("the tokenizer `%s` is of audio, and these are tokens of text", record.name) end
  if settings.token >= set.tokens then
    fail("there are %d tokens; there is nothing at %d", set.tokens, settings.token)
  end
  local count = math.min(settings.tokens, set.tokens - settings.token)
  local text = tokenizer:decode(set:read(settings.token, count):reshape{1, count})
  if settings.out == "" then return print(("\n%s"):format(text)) end
  local file <close> = assert(io.open(settings.out, "wb"))
  assert(file:write(text))
  print(("\n%s: %d bytes of text"):format(settings.out, #text))
end

local function inspect_text(path, settings, words)
  local set = token.token_set({path})
  local record = recorded_tokenizer(path)
  if settings.tokenizer ~= "" then
    record = {name = settings.tokenizer, version = "", options = {}, identity = {}}
  end
  print(("%s: tokens of text"):format(path))
  if record then tell_tokenizer(record) end
  fact("holds", "%d tokens", set.tokens)
  if set.tokens > 0 then fact("tokens", "%d distinct, the largest %d; entropy %.2f bits", token_use(set)) end
  fact("fingerprint", "%s", set.fingerprint)
  if record then
    decode_text(set, record, settings, words)
  elseif settings.out ~= "" then
    fail("%s does not say which tokenizer made it; name it with tokenizer=NAME and its options, such as "
      .. "tokenizer=sentencepiece tokenizer.model=PATH", path)
  end
end

-- --- Folders -------------------------------------------------------------------------------------

local function check_files(folder, files)
  for _, name in ipairs(maps.keys(files)) do
    local path = ("%s/%s"):format(folder, name)
    local sum = system.sha256(path)
    if sum ~= files[name].sha256 then
      fail("%s is damaged: its SHA-256 is %s, and the manifest says %s", path, sum, files[name].sha256)
    end
  end
  fact("checksums", "right, of %d files", #maps.keys(files))
end

local function read_manifest(folder)
  local path = folder .. "/manifest.json"
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "a"
  file:close()
  local manifest = json.decode(text)
  if type(manifest) ~= "table" or manifest.format ~= "gamut.data/1" then
    fail("%s is not the manifest of a prepared data set", path)
  end
  return manifest
end

-- "508 items, 0.71 hours, 2 files": what the manifest counts in a split.
local function counts_of(split)
  local counts = {}
  for _, key in ipairs{"items", "documents", "tokens"} do
    if split[key] then counts[#counts + 1] = ("%d %s"):format(split[key], key) end
  end
  if split.hours then counts[#counts + 1] = ("%.2f hours"):format(split.hours) end
  counts[#counts + 1] = plural(#split.files, "file")
  return table.concat(counts, ", ")
end

local function is_codes(shard) return shard:match "%.safetensors$" ~= nil end

-- The split that is asked for; else the one that the item is in; else the first that holds anything.
local function split_of(folder, manifest, settings)
  local found
  for _, split in ipairs{"train", "val", "test"} do
    local shards = (manifest.splits[split] or {files = {}}).files
    if #shards > 0 and (settings.split == "" or settings.split == split) then
      found = found or split
      if settings.item == "" or not is_codes(shards[1]) then return found end
      if codes.codes(folder, {split = split}):find(settings.item) then return split end
    end
  end
  return found
end

local function inspect_folder(folder, settings, words)
  local manifest = read_manifest(folder)
  if not manifest then
    if #token.glob(folder .. "/*.bin") == 0 then return inspect_codes(folder, settings, words) end
    fail("%s has no manifest.json; name one of its shards", folder)
  end
  print(("%s: the data set `%s`"):format(folder, manifest.recipe))
  fact("settings", "%s", in_words(manifest.options))
  for _, split in ipairs(maps.keys(manifest.splits)) do fact(split, "%s", counts_of(manifest.splits[split])) end
  fact("sources", "%d used, %d skipped", manifest.units.used, manifest.units.skipped)
  check_files(folder, manifest.files)
  local split = split_of(folder, manifest, settings)
  if not split then fail("%s has no split `%s`", folder, settings.split) end
  print ""
  settings.split = split
  local shard = manifest.splits[split].files[1]
  if is_codes(shard) then return inspect_codes(folder, settings, words) end
  inspect_text(("%s/%s"):format(folder, shard), settings, words)
end

-- --- The verb ------------------------------------------------------------------------------------

local function help()
  print "Usage: gamut data inspect FILE [key=value...]\n"
  print "FILE is a codes shard (.safetensors), a golf shard (.bin) or a folder of them.\n"
  for _, option in ipairs(SETTINGS) do
    local default = option.default == "" and "none" or tostring(option.default)
    print(("  %-18s %-10s %s"):format(option[1], default, option.doc))
  end
  print "  tokenizer.OPTION   options over those that are recorded: where the weights are now, say"
end

---@param mode "run"|"help"
---@param path string?
return function(mode, path, ...)
  if mode == "help" or not path then return help() end
  local own, of_tokenizer = {}, {}
  for _, word in ipairs{...} do
    if not word:find("=", 2, true) then fail("`%s` is not of the form key=value", word) end
    local option = word:match "^tokenizer%.(.*)$"
    if option then of_tokenizer[#of_tokenizer + 1] = option else own[#own + 1] = word end
  end
  local settings = prepare.settings(SETTINGS, own, "gamut data inspect")
  if not system.exists(path) then fail("there is no file or folder %s", path) end
  path = path:gsub("(.)/+$", "%1")
  if system.exists(path .. "/.") then return inspect_folder(path, settings, of_tokenizer) end
  if path:match "%.bin$" then return inspect_text(path, settings, of_tokenizer) end
  inspect_codes(path, settings, of_tokenizer)
end
