-- Voice prompts of Asterisk: 568 clips of one speaker in English, 8 kHz, with their texts.
return {
  doc = "voice prompts of Asterisk, one English speaker, with their texts, from packages of Debian (18 MB)",
  run = require "gamut.data.sources.debian"{"asterisk-core-sounds-en-wav", "asterisk-core-sounds-en"},
  next = "Next: gamut data prepare debian_speech source=OUT out=... tokenizer=encodec tokenizer.weights=...",
}
