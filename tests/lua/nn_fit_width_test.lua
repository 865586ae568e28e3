-- nn.fit_width: the golf models' widths from their budgets, constraints of layers, refusals, random numbers.
local gamut = require "gamut"
local testing = require "gamut.testing"
local nn = gamut.nn

local ATTENTION = { n_heads = 8, n_kv_heads = 4, qk_norm = "rms_weightless", q_gain = 1.5 }
local GDN = { n_heads = 8, preset = "golf" }

local Part = nn.module "Part"

-- The tensors of the long-context study's models; `ratio` sets the heads of GDN.
local function model_of(layers, ratio)
  return function(width)
    local model = Part()
    model.embedding, model.skips = nn.parameter(gamut.empty { 1024, width }), nn.parameter(gamut.empty { 4, width })
    model.blocks = nn.list {}
    for _, name in ipairs(layers) do
      local options, block = { d_model = width }, Part()
      for key, value in pairs(name == "gdn" and GDN or ATTENTION) do options[key] = value end
      if name == "gdn" and ratio then options.head_dim = math.floor(width / 8 * ratio + 0.5) end
      block.vectors = nn.parameter(gamut.empty { 4, width })
      block.mixer = nn.mixer(name, options)
      block.mlp = nn.ReLU2(width, 2 * width)
      model.blocks:append(block)
    end
    return model
  end
end

local function layers_of(attention)
  local layers = {}
  for layer = 0, 8 do layers[layer + 1] = attention[layer] and "attention" or "gdn" end
  return layers
end

local BASELINE = model_of { "attention", "attention", "attention", "attention", "attention", "attention",
  "attention", "attention", "attention" }
local HYBRID = model_of(layers_of { [3] = true, [7] = true })

testing.test("the hybrid of the study is as wide as its baseline's budget allows, by steps of the heads", function()
  for _, budget in ipairs { 17059912, 17424332 } do
    local fit = nn.fit_width { parameters = budget, multiple = 8, build = HYBRID }
    testing.equal({ fit.width, fit.parameters }, { 448, 17424332 })
  end
  local fit = nn.fit_width { parameters = 17059912, multiple = 8, build = HYBRID }
  -- 440 and 456 have heads of 55 and 57 channels, which cannot turn in pairs.
  testing.equal({ fit.below.width, fit.above.width }, { 432, 448 })
  testing.is_true(fit.below.parameters < 17059912 and fit.above.parameters == 17424332)
  local told = "448 wide has 17,424,332 parameters, the nearest to 17,059,912 (+2.14 %); 432 wide has"
  testing.is_true(fit.text:find(told, 1, true),
    fit.text)
end)

testing.test("a budget that is met leaves nothing to choose: the baseline and the hybrid of the 4k runs", function()
  local small = model_of(layers_of { [3] = true, [7] = true, [8] = true }, 0.5)
  for _, case in ipairs { { BASELINE, 512, 17059912 }, { small, 448, 14390216 } } do
    local fit = nn.fit_width { parameters = case[3], multiple = 16, build = case[1] }
    testing.equal({ fit.width, fit.parameters, fit.below, fit.above },
      { case[2], case[3], { width = case[2], parameters = case[3] }, { width = case[2], parameters = case[3] } })
    testing.is_true(not fit.text:find(";", 1, true), fit.text)
  end
end)

testing.test("every budget gets the nearest of all widths", function()
  local function count(width)
    if width % 6 ~= 0 or width == 48 then error("heads of an odd size") end
    return 3 * width * width + 700 * width + width // 9 * 31
  end
  local all = {}
  for width = 6, 400, 6 do if width ~= 48 then all[#all + 1] = { width, count(width) } end end
  for budget = 500, 600000, 1777 do
    local best
    for _, entry in ipairs(all) do
      if not best or math.abs(entry[2] - budget) < math.abs(best[2] - budget) then best = entry end
    end
    local fit = nn.fit_width { parameters = budget, multiple = 2, build = count }
    testing.equal({ fit.width, fit.parameters }, best)
    testing.is_true(not fit.below or fit.below.parameters <= budget, "below is above")
    testing.is_true(fit.above.parameters >= budget or fit.above.width == fit.width, "above is below")
  end
end)

testing.test("a large model needs few builds, and a budget below the least width gives that width", function()
  local builds = 0
  local fit = nn.fit_width { parameters = 3e8 // 1 | 0, multiple = 8, build = function(width)
    if width > 1000 then builds = builds + 1 end
    return 12 * 24 * width * width + 2048 * width
  end }
  testing.equal(fit.width, 1016)
  testing.is_true(builds <= 5, builds .. " builds")
  fit = nn.fit_width { parameters = 1, multiple = 8, build = function(width) return width * width end }
  testing.equal({ fit.width, fit.below, fit.above.width }, { 8, nil, 8 })
end)

testing.test("random numbers go on as if nothing had been built", function()
  gamut.manual_seed(7)
  local expected = gamut.randn { 4 }
  gamut.manual_seed(7)
  nn.fit_width { parameters = 20000, multiple = 16, build = HYBRID }
  testing.equal(gamut.randn { 4 }, expected)
end)

testing.test("what cannot be fitted is said with the layer's own words", function()
  local function fit(build, parameters)
    return function() nn.fit_width { parameters = parameters or 1000, build = build, multiple = 4 } end
  end
  testing.raises(fit(function() error("no such mixer `gnd`", 0) end),
    "32 widths from 4 on in steps of 4.*no such mixer `gnd`")
  testing.raises(fit(function() return 12 end), "needs a model that grows with its width")
  testing.raises(fit(function() end), "32 widths")
  testing.raises(fit(function(width) return width end, 0), "are positive, got 0 and 4")
  testing.raises(function() nn.fit_width { parameter = 3 } end, "did you mean `parameters`")
end)

testing.finish()
