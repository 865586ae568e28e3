-- LJ Speech 1.1 (Ito and Johnson 2017): 13,100 clips of one speaker, 24 hours, public domain.
return {
  doc = "LJ Speech 1.1: 13,100 sentences of one speaker with their texts (2.7 GB, 3.8 GB more unpacked)",
  home = "https://data.keithito.com/data/speech",
  list = function()
    return {{
      path = "LJSpeech-1.1.tar.bz2", name = "LJSpeech-1.1.tar.bz2", bytes = 2748572632, unpack = true,
      unpacked_bytes = 3801111440,
      digest = "sha256:be1a30453f28eb8dd26af4101ae40cbf2c50413b1bb21936cbcdc6fae3de8aa5",
    }}
  end,
  next = "Next: gamut data prepare ljspeech source=OUT/LJSpeech-1.1 out=... tokenizer=encodec tokenizer.weights=...",
}
