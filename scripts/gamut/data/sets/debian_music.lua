-- The music of The Battle for Wesnoth as Debian packages it.

local recipe = require "gamut.data.recipe"

local MUSIC = "/usr/share/games/wesnoth/*/data/core/music"

return {
  doc = "wesnoth-1.16-music: about 40 orchestral tracks (2.5 hours) in OGG, 44.1 kHz stereo",
  kind = "audio",
  options = {
    {"source", "string", default = "/",
      doc = "the folder that the package wesnoth-1.16-music was unpacked into; / where it is installed"},
  },
  items = function(settings)
    local root = settings.source:gsub("/$", "")
    local folder = recipe.find("folder of music (`gamut data fetch debian_music out=FOLDER` gets it)", {root .. MUSIC})
    local items = {}
    for i, file in ipairs(recipe.audio_files(folder)) do
      items[i] = {name = (file:gsub("%.ogg$", "")), path = folder .. "/" .. file}
    end
    return items
  end,
}
