-- FMA-Large (Defferrard et al. 2017): 106,574 clips of 30 seconds under Creative Commons licences.
return {
  doc = "FMA-Large: 106,574 clips of music, 30 s each, and their metadata (101 GB, as much again unpacked)",
  home = "https://os.unil.cloud.switch.ch/fma",
  list = function()
    return {
      {path = "fma_metadata.zip", name = "fma_metadata.zip", unpack = true,
        digest = "sha1:f0df49ffe5f2a6008d7dc83c6915b31835dfe733"},
      {path = "fma_large.zip", name = "fma_large.zip", unpack = true, bytes = 100306112191,
        unpacked_bytes = 100000000000, -- about: MP3 does not shrink
        digest = "sha1:497109f4dd721066b5ce5e5f250ec604dc78939e"},
    }
  end,
  next = "Next: gamut data prepare fma source=OUT out=... tokenizer=dac tokenizer.weights=...",
}
