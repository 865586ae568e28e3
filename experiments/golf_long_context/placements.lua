-- Where the attention of the hybrid goes: layers {2, 6}, {4, 8} or one layer only, against the study's {3, 7}.
-- `gamut run experiments/golf_long_context/placements.lua`; placements.yaml lists what can be set.
local train = require("gamut").train
local variants = require "golf.variants"

local config = train.config "placements.yaml":plain()

local list = {}
for i, places in ipairs(config.placements) do list[i] = variants.hybrid(places, config.parameters) end
variants.run(config, list, "Golf: places of attention")
