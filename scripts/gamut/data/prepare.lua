-- `gamut data prepare`: lists the sets, describes one, or prepares it and says what came of it.

local preparation = require "gamut.data.preparation"

-- --- Help ---------------------------------------------------------------------------------------

local function list_sets()
  print "Usage: gamut data prepare SET [key=value...]\n\nData sets (gamut data prepare SET --help shows the settings):"
  for _, name in ipairs(preparation.sets()) do print(("  %-16s %s"):format(name, preparation.recipe(name).doc)) end
  print "\nA recipe of your own is named by its file: gamut data prepare ./my_set.lua. See"
  print "scripts/gamut/data/README.md for one."
end

local function describe(name, recipe)
  print(("%s: %s\n\nUsage: gamut data prepare %s [key=value...]\n"):format(name, recipe.doc, name))
  for _, option in ipairs(preparation.settings(recipe)) do
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

local SHARES = {val = "validation", test = "test"}

local function summarize(manifest, already, settings)
  local out = settings.out
  if already then
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

---@param mode "run"|"help"
---@param name string? a set, or the path of a recipe
return function(mode, name, ...)
  if not name then return list_sets() end
  if mode == "help" then return describe(name, preparation.recipe(name)) end
  summarize(preparation.run(name, sort_words{...}))
end
