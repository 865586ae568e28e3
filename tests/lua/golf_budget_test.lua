-- Widths from budgets: the study's own, and of lists of mixers with constraints of their own.
package.path = os.getenv "GAMUT_SOURCE" .. "/experiments/golf_long_context/?.lua;" .. package.path
local gamut = require "gamut"
local testing = require "gamut.testing"
local Model = require "golf.model"
local architectures = require "golf.architectures"
local budget = require "golf.budget"

local function fit(model, vocab_size) return budget.fit(model, { vocab_size = vocab_size or 1024 }) end

testing.test("the published widths come out of the published counts, and the hybrid's out of the baseline's", function()
  for _, case in ipairs {
    { "baseline", 17059912, 512, 17059912 }, { "hybrid", 17424332, 448, 17424332 },
    { "hybrid", 17059912, 448, 17424332 },
    { "hybrid_4k", 14390216, 448, 14390216 },
  } do
    local found = fit { architecture = case[1], parameters = case[2] }
    testing.equal({ found.width, found.parameters }, { case[3], case[4] })
  end
end)

testing.test("other ratios of GDN to attention are told with the nearest on both sides", function()
  local one = fit { layers = architectures.layers { 4 }, parameters = 17424332 }
  testing.equal({ one.width, one.below.width, one.above.width }, { 432, 432, 448 })
  testing.equal({ one.below.parameters, one.above.parameters }, { 16904600, 18039080 })
  testing.equal(fit({ layers = architectures.layers { 2, 5, 8 }, parameters = 17424332 }).width, 448)
end)

testing.test("any mixers, and the model that is then built has the count that was told", function()
  local model = { layers = { "gdn", "mamba", "memory_cache", "attention" }, parameters = 400000, n_heads = 4,
    n_kv_heads = 2 }
  gamut.manual_seed(3)
  local found = fit(model, 260)
  local after = gamut.randn { 3 }
  gamut.manual_seed(3)
  testing.equal(gamut.randn { 3 }, after)
  local built = Model(architectures.options(model, { vocab_size = 260, d_model = found.width }))
  testing.equal(built:parameter_count(), found.parameters)
  testing.is_true(found.below.parameters <= 400000 and found.above.parameters >= 400000)
  testing.is_true(found.above.width > found.below.width)
end)

testing.test("what no width can meet is said in the mixer's words", function()
  testing.raises(function() fit { layers = { "gnd" }, parameters = 1000 } end,
    "unknown mixer `gnd`; did you mean `gdn`")
  testing.raises(function() fit { layers = { "gdn" } } end, "budget.fit needs model.parameters")
end)

testing.finish()
