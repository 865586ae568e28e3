-- The 8k run tuned on its own: there the hybrid is better by the step but slower, so its batch is chosen by what the
-- kernels take, and then rates and warm-down for it. `gamut run experiments/golf_long_context/tuned_8k.lua`;
-- tuned_8k.yaml lists what can be set.
--
-- The plan: (1) probe every number of tokens a step in every number of micro-batches; the fastest split is taken for
-- each. (2) Runs of the full budget with one seed, by stages: tokens a step, then the rates, then the warm-down; each
-- starts from the best of the one before. (3) The winner, the untuned hybrid and the baseline with other seeds.
-- The rule: the lowest val_bpb of the artifact wins a stage if it is more than `margin` below the setting in hand.
local gamut = require "gamut"
local comparison = require "golf.comparison"
local page = require "golf.page"
local results = require "golf.results"
local tuning = require "golf.tuning"
local variants = require "golf.variants"

local config = gamut.train.config "tuned_8k.yaml":plain()
config.contexts = { config.context }
local settings = variants.shared_settings(config)

local found
local function after(plan) found = page.write(plan.folder, plan:all_cells(), "Golf: the tuned 8k run") end

local best, batches = tuning.run(config, settings, after)

-- The winner, the hybrid as it was and the baseline, by seeds that had no part in the choice.
local reference = { name = config.reference, architecture = config.reference, like = config.reference }
local untuned = { name = config.architecture, architecture = config.architecture, like = config.architecture }
local final = variants.cells(config, { reference, untuned })
for _, seed in ipairs(config.seeds) do
  final[#final + 1] = tuning.cell(config, best, batches[best.tokens], settings, seed)
end
local plan = gamut.study.plan { cells = final }
plan:run { after = after }
print("\n" .. page.text(found))
print(("Chosen: %s, accumulate %d"):format(tuning.name(best), batches[best.tokens].accumulate))
local judged = results.collect(plan:cells(), { config.reference, config.architecture })
comparison.report(plan.folder, judged.comparisons)
plan:finish()
