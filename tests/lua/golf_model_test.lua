-- The models of the golf study: parameter counts, what the plugins call the tensors, initial values draw by draw,
-- the loss of the untrained model, and any mixer at any layer. Counts and values are those of the published study.
local gamut = require "gamut"
local testing = require "gamut.testing"

package.path = os.getenv "GAMUT_SOURCE" .. "/experiments/golf_long_context/?.lua;" .. package.path
local Model = require "golf.model"
local architectures = require "golf.architectures"
local precision = require "golf.precision"

local function build(given, seed, data)
  gamut.manual_seed(seed or 1337)
  data = data or {}
  return Model(architectures.options(given, {
    vocab_size = data.vocab_size or 1024, precision = data.precision or "float32", d_model = data.d_model,
  }))
end

-- A small model of the layers that are given.
local function small(layers, kind)
  return build({ layers = layers, d_model = 32, n_heads = 4, n_kv_heads = 2 }, 5, { vocab_size = 50, precision = kind })
end

local function shape_of(model, name)
  for _, entry in ipairs(model:named_parameters()) do
    if entry.name == name then return table.concat(entry.tensor.shape, " x ") end
  end
end

testing.test("parameter counts are the published ones", function()
  for architecture, count in pairs { baseline = 17059912, hybrid = 17424332, hybrid_4k = 14390216 } do
    testing.equal(build({ architecture = architecture }):parameter_count(), count, architecture)
  end
end)

testing.test("numbers of state tensors and shapes inside a block", function()
  local baseline, hybrid = build { architecture = "baseline" }, build { architecture = "hybrid" }
  testing.equal(#baseline:state_dict(), 92)
  testing.equal(#hybrid:state_dict(), 148)
  testing.equal(shape_of(baseline, "skip_weights"), "4 x 512")
  testing.equal(shape_of(baseline, "blocks.3.mixer.k_proj.weight"), "256 x 512")
  testing.equal(shape_of(baseline, "blocks.8.mlp.up_proj.weight"), "1024 x 512")
  testing.equal(shape_of(hybrid, "blocks.0.mixer.q_proj.weight"), "336 x 448")
  testing.equal(shape_of(hybrid, "blocks.0.mixer.v_proj.weight"), "672 x 448")
  testing.equal(shape_of(hybrid, "blocks.8.mixer.a_proj.weight"), "8 x 448")
  testing.equal(shape_of(hybrid, "blocks.0.mixer.q_conv1d.weight"), "336 x 1 x 4")
  testing.equal(shape_of(hybrid, "blocks.7.mixer.q_gain"), "8")
end)

-- The first three entries of row 0 in float32, before any cast, as PyTorch draws them on the CPU.
local PROBES = {
  { "baseline", 1337,
    ["tok_emb.weight"] = { -0.00471155, 0.00183675, -0.00427210 },
    ["blocks.0.mixer.q_proj.weight"] = { -0.0265580, -0.0439086, 0.00546281 },
    ["blocks.8.mlp.up_proj.weight"] = { 0.00972062, -0.0157745, -0.0243000 } },
  { "hybrid", 1337,
    ["tok_emb.weight"] = { -0.00189744, -0.00307623, 0.00049891 },
    ["blocks.0.mixer.q_proj.weight"] = { -0.0163312, -0.0330507, 0.00035770 },
    ["blocks.8.mlp.up_proj.weight"] = { 0.0177069, 0.00760211, 0.0242129 },
    ["blocks.0.mixer.A_log"] = { 1.924285, 0.725756, 2.317080 } },
  { "hybrid", 1342,
    ["tok_emb.weight"] = { -0.00289128, 0.00015151, 0.00127627 },
    ["blocks.0.mixer.q_proj.weight"] = { -0.0212670, -0.0257599, -0.00651611 },
    ["blocks.8.mlp.up_proj.weight"] = { 0.00890125, -0.00010949, 0.0465980 },
    ["blocks.0.mixer.A_log"] = { 2.427413, 1.852638, 2.020743 } },
}

-- Half a unit of the last digit that is printed: six significant ones, eight places behind the point at most.
local function half_unit(x)
  local digits = math.min(8, 5 - math.floor(math.log(math.abs(x), 10)))
  return 0.51 * 10.0 ^ -digits
end

testing.test("initial values are drawn in the study's order", function()
  for _, probe in ipairs(PROBES) do
    local values = {}
    local model = build({ architecture = probe[1] }, probe[2])
    for _, entry in ipairs(model:state_dict()) do values[entry.name] = entry.tensor end
    for name, expected in pairs(probe) do
      for i = 1, type(name) == "string" and 3 or 0 do
        testing.close(values[name]:flatten():select(0, i - 1):item(), expected[i], half_unit(expected[i]),
          ("%s %d %s"):format(probe[1], probe[2], name))
      end
    end
  end
end)

testing.test("rows that start at zero, and vectors that start at one", function()
  local model = build { architecture = "hybrid" }
  for i, block in ipairs(model.blocks) do
    testing.equal(block.mlp.down_proj.weight:abs():max():item(), 0.0)
    testing.equal(block.mixer["o_proj.weight"]:abs():max():item(), 0.0, "block " .. i)
    testing.equal(block.resid_mix:sum(1), gamut.tensor { 448.0, 0.0 })
  end
end)

local function rms(h) return h / (h:square():mean { dim = { -1 }, keepdim = true } + 2.0 ^ -23):sqrt() end

-- At step 0 every mixer and MLP adds zero, and each of the four skips adds the normalised embedding once more.
local function loss_of_embedding(model, ids, targets)
  local weight = model.tok_emb.weight:to "float64"
  local h = rms(5 * rms(weight:index { ids }))
  local logits = gamut.tanh(h:matmul(weight:t()) / 30.0) * 30.0
  return gamut.cross_entropy_loss(logits:flatten(0, 1), targets:flatten()):item()
end

testing.test("the loss of the untrained model is that of its embedding alone", function()
  local ids = gamut.randint(0, 1024, { 2, 33 })
  local x, y = ids:narrow(1, 0, 32), ids:narrow(1, 1, 32)
  for _, architecture in ipairs { "baseline", "hybrid", "hybrid_4k" } do
    local model = build { architecture = architecture }
    gamut.no_grad(function()
      testing.close(model:loss(x, y):item(), loss_of_embedding(model, x, y), 2e-5, architecture)
    end)
  end
end)

-- Forward and backward in the types that are asked for; the loss. Every gradient has its parameter's type.
local function one_step(model, kind)
  local autocast = precision.apply(model, kind)
  local ids = gamut.randint(0, 50, { 2, 17 })
  local function loss() return model:loss(ids:narrow(1, 0, 16), ids:narrow(1, 1, 16)) end
  local value = autocast and gamut.autocast(autocast, loss) or loss()
  value:backward()
  for _, entry in ipairs(model:named_parameters()) do
    local grad = entry.tensor.grad
    testing.is_true(grad or entry.tensor:numel() == 0, ("no gradient of %s (%s)"):format(entry.name, kind))
    if grad then testing.equal(grad.dtype, entry.tensor.dtype, entry.name) end
    testing.is_true(not grad or grad:isfinite():all():item(), "gradient of " .. entry.name)
  end
  return value:item()
end

testing.test("any mixer at any layer trains, in float32 and in the study's types", function()
  require "gamut.nn.mixers.linear_attention"
  local lists = {
    { "gdn", "attention", "mamba", { mixer = "memory_cache", segment_size = 4 } },
    {
      { mixer = "memory_cache", segment_size = 4 }, { mixer = "mamba", version = 2, head_dim = 16 },
      { mixer = "attention", window = 4 },
    },
    { "linear_attention", "gdn" }, { "attention" },
  }
  for _, layers in ipairs(lists) do
    for _, kind in ipairs { "float32", "bfloat16" } do
      testing.close(one_step(small(layers, kind), kind), math.log(50), 0.1)
    end
  end
end)

testing.test("options of mixers go over the study's, a layer's own over both", function()
  local options = architectures.options({
    layers = { "attention", { mixer = "attention", window = 8 }, "gdn", "memory_cache" }, d_model = 32, n_heads = 4,
    mixers = { attention = { window = 16, n_kv_heads = 1 }, memory_cache = { mixer = "linear_attention" } },
  }, { vocab_size = 50, precision = "float32" })
  local layers = options.layers
  testing.equal({ layers[1].options.window, layers[2].options.window }, { 16, 8 })
  testing.equal({ layers[1].options.n_kv_heads, layers[1].options.q_gain }, { 1, 1.5 })
  testing.equal({ layers[3].options.head_dim, layers[3].options.preset }, { 6, "golf" })
  testing.equal({ layers[4].options.mixer, layers[4].options.mixer_options }, { "linear_attention" })
  testing.equal(layers[1].options.rope_dtype, "float32")
end)

testing.test("placements by the numbers of their layers", function()
  testing.equal(architectures.layers { 2, 6 },
    { "gdn", "gdn", "attention", "gdn", "gdn", "gdn", "attention", "gdn", "gdn" })
  testing.equal(architectures.layers({ 0 }, 2), { "attention", "gdn" })
  testing.raises(function() architectures.layers { 9 } end, "attention is asked for at layer 9; layers are 0 to 8")
end)

testing.test("models that cannot be meant are refused in words", function()
  local function options(given) return function() architectures.options(given, { vocab_size = 10 }) end end
  testing.raises(options { architecture = "hybird" },
    "architecture is hybird; it must be baseline, hybrid or hybrid_4k")
  testing.raises(options {}, "architecture is null")
  testing.raises(options { layers = { "gdn" } }, "needs a width: give model.d_model, or model.parameters")
  testing.raises(options { architecture = "hybrid", d_model = 64, parameters = 10 }, "both say how wide")
  testing.raises(options { architecture = "hybrid", mlp_mult = 0 }, "model.mlp_mult must be at least 1, not 0")
  testing.raises(options { layers = { 3 }, d_model = 8 }, "layer 0 must be a mixer's name")
  testing.raises(options { architecture = "baseline", mixers = { gdn = {} } },
    "model.mixers.gdn is given, but no layer is `gdn`")
  testing.raises(options { layers = { "mamab" }, d_model = 8 }, "mamab")
  testing.raises(options { architecture = "hybrid", n_head = 8 }, "no option `n_head`; did you mean `n_heads`")
  testing.raises(options { architecture = "hybrid", gdn = { heads = 8 } }, "model.gdn has no option `heads`")
end)

testing.finish()
