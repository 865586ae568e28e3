-- The grid of the golf study as cells: which runs, in which order, with which settings.
package.path = os.getenv "GAMUT_SOURCE" .. "/experiments/golf_long_context/?.lua;" .. package.path
local testing = require "gamut.testing"
local test, equal, raises = testing.test, testing.equal, testing.raises

-- As the run verb would tell it; a refusal ends the process there, here it is an error.
package.loaded["gamut.native.run"] = { script_dir = os.getenv "GAMUT_SOURCE" .. "/experiments/golf_long_context" }
local context = require "gamut.train.context"
context.refuse = function(message) error(message, 0) end

local cells = require "golf.cells"
local GRID = { contexts = { 8192, 16384, 32768 }, architectures = { "baseline", "hybrid" } }

local function names(list)
  local all = {}
  for i, cell in ipairs(list) do all[i] = cell.name end
  return all
end

test("the grid is the published table in its order, with its seeds", function()
  equal(names(cells.grid(GRID)), {
    "baseline_8192_seed1337", "hybrid_8192_seed1337", "baseline_16384_seed1337", "hybrid_16384_seed1337",
    "hybrid_16384_seed1341", "baseline_32768_seed1337", "hybrid_32768_seed1342", "hybrid_32768_seed42",
  })
end)

test("seeds that are given take the place of the published ones", function()
  equal(names(cells.grid { contexts = { 32768 }, architectures = { "hybrid" }, seeds = { 7, 8 } }),
    { "hybrid_32768_seed7", "hybrid_32768_seed8" })
  equal(cells.published_seeds(1024, "baseline"), { 1337 })
end)

test("a cell is a run of train.lua with its axes, what all runs have, and its schedule", function()
  local list = cells.grid {
    contexts = { 8192 }, architectures = { "baseline", "hybrid" },
    settings = { data = "d", model = { n_heads = 4 }, max_seconds = 300 },
    schedules = { { warmdown_steps = 1 }, { warmdown_steps = 2, momentum = { warmup_steps = 3 } } },
  }
  equal(list[2], {
    name = "hybrid_8192_seed1337", title = "hybrid, 8192, seed 1337", script = "train.lua", seconds = 300,
    labels = { context = 8192, architecture = "hybrid", seed = 1337 },
    settings = {
      context = 8192, seed = 1337, data = "d", model = { architecture = "hybrid", n_heads = 4 }, max_seconds = 300,
      warmdown_steps = 2, momentum = { warmup_steps = 3 },
    },
  })
  equal(list[1].settings.warmdown_steps, 1)
end)

test("how long a run takes is said only where the clock ends it", function()
  local function seconds(settings)
    return cells.cell { context = 64, seed = 1, variant = "v", settings = settings }.seconds
  end
  equal({ seconds {}, seconds { max_seconds = 0 }, seconds { iterations = 5 } }, { 600.0 })
end)

test("what names a cell is not set behind its back", function()
  local function with(settings)
    return function() cells.grid { contexts = {}, architectures = {}, settings = settings } end
  end
  raises(with { seed = 3 }, "set seeds instead of run.seed")
  raises(with { context = 3 }, "set contexts instead of run.context")
  raises(with { model = { architecture = "hybrid" } }, "set architectures instead")
end)

test("a run that train.lua would refuse is refused before the first one", function()
  local function checked(grid) return function() return cells.checked(cells.grid(grid)) end end
  equal(#checked(GRID)(), 8)
  raises(checked { contexts = { 4096 }, architectures = { "hybrid" } },
    "^hybrid, 4096, seed 1337: .*give train_batch_tokens, momentum.warmup_steps, warmdown_steps")
  raises(checked { contexts = { 8192 }, architectures = { "hybird" } }, "must be baseline, hybrid or hybrid_4k")
  local misspelt = { contexts = { 8192 }, architectures = { "baseline" }, settings = { warmdown = 3 } }
  raises(checked(misspelt), "^baseline, 8192, seed 1337: argument `warmdown=3`: unknown key `warmdown`")
end)

testing.finish()
