-- More seeds at 16k, where the published gap of two seeds against one is smallest: is it more than the seeds' spread?
-- Welch's t and the exact permutation test are printed in the end and kept in differences.json.
-- `gamut run experiments/golf_long_context/seeds_16k.lua`; seeds_16k.yaml lists what can be set.
local train = require("gamut").train
local variants = require "golf.variants"

local config = train.config "seeds_16k.yaml":plain()

local list = {}
for i, architecture in ipairs(config.architectures) do
  list[i] = { name = architecture, architecture = architecture, like = architecture }
end
variants.run(config, list, "Golf: seeds at 16k")
