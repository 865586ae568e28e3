-- Any tree of audio files.

local recipe = require "gamut.data.recipe"

return {
  doc = "the audio files of a folder and of the folders in it: WAV, FLAC, OGG, MP3 and more",
  kind = "audio",
  options = {
    {"source", "string", doc = "the folder"},
    {"split_by", "string", default = "file", choices = {"file", "folder"},
      doc = "what is never on both sides of the seeded split: a file, or a folder with all its files"},
  },
  items = function(settings)
    local items = {}
    for i, name in ipairs(recipe.audio_files(settings.source)) do
      items[i] = {
        name = name, path = settings.source .. "/" .. name,
        group = settings.split_by == "folder" and (name:match "^(.*)/" or ".") or nil,
      }
    end
    return items
  end,
}
