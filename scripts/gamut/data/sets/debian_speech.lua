-- The voice prompts of Asterisk as Debian packages them.

local recipe = require "gamut.data.recipe"

-- Below the root of a system, or of a folder that the packages were unpacked into.
local SOUNDS = "/usr/share/asterisk/sounds/en_US_f_Allison"
local TRANSCRIPTS = "/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt"

-- {name = transcript} of `name: transcript` lines; `;` begins a comment. A transcript in brackets is
-- a description of a sound that is no speech.
local function read_transcripts(path)
  local by_name = {}
  for line in recipe.lines(path) do
    local name, text = line:match "^([^;:%s][^:]*):%s*(.-)%s*$"
    if name then by_name[name] = text end
  end
  return by_name
end

return {
  doc = "asterisk-core-sounds-en-wav: 568 prompts of one speaker, 8 kHz, with their transcripts",
  kind = "audio",
  options = {
    {"source", "string", default = "/",
      doc = "the folder that the packages asterisk-core-sounds-en-wav and asterisk-core-sounds-en were "
        .. "unpacked into; / where they are installed"},
    {"speech_only", "boolean", default = false, doc = "leave out beeps, tones and monkeys"},
  },
  items = function(settings)
    local root = settings.source:gsub("/$", "")
    local folder = recipe.find("folder of prompts (`gamut data fetch debian_speech out=FOLDER` gets it)",
      {root .. SOUNDS})
    local transcripts = read_transcripts(
      recipe.find("list of transcripts", {root .. TRANSCRIPTS .. ".gz", root .. TRANSCRIPTS}))
    local items = {}
    for _, file in ipairs(recipe.walk(folder, {".wav"})) do
      local name = file:gsub("%.wav$", "")
      local text = transcripts[name]
      local sound = text and text:match "^%[(.*)%]$"
      if not (settings.speech_only and sound) then
        items[#items + 1] = {
          name = name, path = folder .. "/" .. file,
          facts = {text = not sound and text or nil, sound = sound},
        }
      end
    end
    return items
  end,
}
