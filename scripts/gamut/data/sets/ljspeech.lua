-- LJ Speech 1.1: clips of one reader with their sentences.

local recipe = require "gamut.data.recipe"

return {
  doc = "LJ Speech 1.1: 13,100 clips of one reader (24 hours), with their sentences",
  kind = "audio",
  options = {
    {"source", "string", doc = "the folder LJSpeech-1.1, with metadata.csv and wavs"},
    {"split_by", "string", default = "clip", choices = {"clip", "book"},
      doc = "what is never on both sides of the seeded split: a clip, or a book (LJ001) with all its clips"},
  },
  items = function(settings)
    local items = {}
    local path = settings.source .. "/metadata.csv"
    for line, number in recipe.lines(path) do
      -- No quoting: sentences hold quotes of their own.
      local id, written, spoken = table.unpack(recipe.split(line, "|"))
      if id ~= "" then
        if not written then
          error(("%s:%d: `%s` is not id|sentence|normalized sentence"):format(path, number, line), 0)
        end
        items[#items + 1] = {
          name = id, path = ("%s/wavs/%s.wav"):format(settings.source, id),
          group = settings.split_by == "book" and id:match "^[^-]*" or nil,
          -- The normalized sentence is what is said: numbers and abbreviations in words.
          facts = {text = spoken and spoken ~= "" and spoken or written, written = written},
        }
      end
    end
    return items
  end,
}
