-- How many of the hybrid's nine layers are attention: 6:3 and 8:1 of GDN to attention, against the study's 7:2, at one
-- budget of parameters. `gamut run experiments/golf_long_context/ratios.lua`; ratios.yaml lists what can be set.
local train = require("gamut").train
local variants = require "golf.variants"

local config = train.config "ratios.yaml":plain()

local list = {}
for i, places in ipairs(config.ratios) do
  list[i] = variants.hybrid(places, config.parameters)
  list[i].name = ("gdn_%d_to_%d"):format(9 - #places, #places)
end
variants.run(config, list, "Golf: GDN to attention")
