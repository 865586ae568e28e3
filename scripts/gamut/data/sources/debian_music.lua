-- The music of The Battle for Wesnoth: orchestral tracks in Ogg Vorbis.
return {
  doc = "the music of The Battle for Wesnoth, orchestral tracks, from a package of Debian (153 MB)",
  run = require "gamut.data.sources.debian"{"wesnoth-1.16-music"},
  next = "Next: gamut data prepare debian_music source=OUT out=... tokenizer=dac tokenizer.weights=...",
}
