-- The codecs with the weights and the audio that codecs_python.py wrote. A case writes `exchange`/gamut.safetensors: its
-- codes of the audio, and what it decodes from Python's codes.
local gamut = require "gamut"

-- `option_NAME=value` among the arguments is an option of the tokenizer.
local function options_of(a)
  local options = { weights = a.exchange .. "/weights.safetensors" }
  for key, value in pairs(a) do
    local name = key:match "^option_(.+)$"
    if name then options[name] = value end
  end
  return options
end

local function codec(name)
  return function(a)
    local tokenizer = gamut.tokenizer(name, options_of(a))
    local given = gamut.safetensors.load(a.exchange .. "/audio.safetensors")
    local audio = { samples = given.audio, sample_rate = given.rate:item() }
    local codes = gamut.safetensors.load(a.exchange .. "/python.safetensors").codes
    gamut.safetensors.save(a.exchange .. "/gamut.safetensors",
      { { "codes", tokenizer:encode(audio) }, { "audio", tokenizer:decode(codes).samples } })
    if a.part == "encode" then
      return function() tokenizer:encode(audio) end
    end
    return function() tokenizer:decode(codes) end
  end
end

return { dac = codec "dac", encodec = codec "encodec" }
