-- The whole study: contexts x architectures x seeds. Runs what is not done, goes on with what was cut off, and rewrites
-- the page after every run. `gamut run experiments/golf_long_context/study.lua`; study.yaml lists what can be set.

local gamut = require "gamut"
local cells = require "golf.cells"
local study, train = gamut.study, gamut.train

local config = train.config "study.yaml":plain()

local settings = { data = config.data, tokenizer = config.tokenizer }
for key, value in pairs(config.run) do settings[key] = value end

local plan = study.plan {
  cells = cells.grid {
    contexts = config.contexts, architectures = config.architectures, seeds = config.seeds, settings = settings,
  },
}
plan:run()
study.print(study.summarize(plan:cells(), { figures = { "val_bpb", "step_average_ms" } }), { "val_bpb", "step_average_ms" })
plan:finish()
